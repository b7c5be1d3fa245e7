//! The object service over the engine's verbs: a shelf that translates, and nothing more.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::TryStreamExt as _;
use http::Request;
use hyper::body::Incoming;
use stint_engine::{Engine, EngineError, ObjectReader};
use stint_model::access::Caller;
use stint_model::code::Refusal;
use stint_model::object::asked::{
    ObjectOrder, ObjectPage, ObjectQuery, PartAsked, PartSource, UploadRef,
};
use stint_model::object::{Bucket, Object, Part, Upload};
use stint_model::time::Span;
use stint_object::{KeySecret, ObjectConfig, ObjectService, OpenObject, Shelf, Stream};

use crate::answer::{Answer, ApiBody};
use crate::dispatch::count;
use crate::error::Problem;

/// The service over an engine.
pub(crate) fn service(engine: &Engine, idle_timeout: Span) -> ObjectService {
    let shelf: Arc<dyn Shelf> = Arc::new(EngineShelf(engine.clone()));
    ObjectService::new(&ObjectConfig { idle_timeout }, &shelf, engine.clock().clone())
}

/// Answers a request to the object service.
pub(crate) async fn serve(
    service: &ObjectService,
    request: Request<Incoming>,
    request_id: &Arc<str>,
) -> Answer {
    count("S3");
    let response = service.call(request, request_id).await;
    response.map(|body| {
        let body = http_body_util::BodyExt::map_err(body, std::io::Error::other);
        ApiBody::Pieces(Box::pin(body))
    })
}

#[derive(Debug)]
struct EngineShelf(Engine);

fn refused(error: EngineError) -> Refusal {
    let Problem { code, message } = Problem::from(error);
    Refusal { code, message }
}

struct Opened(ObjectReader);

impl OpenObject for Opened {
    fn object(&self) -> &Object {
        self.0.object()
    }

    fn read(&self, range: Range<u64>) -> Stream {
        let told = |error: &std::io::Error| {
            tracing::error!(error = stint_supervise::chain(error), "read an object");
        };
        Box::pin(self.0.range(range).inspect_err(told))
    }
}

#[async_trait]
impl Shelf for EngineShelf {
    fn secret(&self, key_id: &str) -> Result<KeySecret, Refusal> {
        let material = self.0.authenticate_key(key_id).map_err(refused)?;
        Ok(KeySecret::new(material.secret.expose()))
    }

    fn admit(&self, key_id: &str, session_token: Option<&str>) -> Result<Caller, Refusal> {
        let material = self.0.authenticate_key(key_id).map_err(refused)?;
        material.check_session_token(session_token).map_err(refused)?;
        Ok(material.caller)
    }

    fn region(&self) -> &str {
        &self.0.config().region
    }

    async fn bucket_create(&self, caller: &Caller, name: &str) -> Result<Bucket, Refusal> {
        self.0.bucket_create(caller, name).await.map_err(refused)
    }

    async fn bucket_delete(&self, caller: &Caller, name: &str) -> Result<(), Refusal> {
        self.0.bucket_delete(caller, name).await.map_err(refused)
    }

    async fn bucket_get(&self, caller: &Caller, name: &str) -> Result<Bucket, Refusal> {
        self.0.bucket_get(caller, name).await.map_err(refused)
    }

    async fn bucket_list(&self, caller: &Caller) -> Result<Vec<Bucket>, Refusal> {
        self.0.bucket_list(caller).await.map_err(refused)
    }

    async fn object_put(
        &self,
        caller: &Caller,
        order: &ObjectOrder,
        body: Stream,
    ) -> Result<Object, Refusal> {
        self.0.object_put(caller, order, body).await.map_err(refused)
    }

    async fn object_copy(
        &self,
        caller: &Caller,
        source: (&str, &str),
        order: &ObjectOrder,
    ) -> Result<Object, Refusal> {
        self.0.object_copy(caller, source, order).await.map_err(refused)
    }

    async fn object_get(
        &self,
        caller: &Caller,
        bucket: &str,
        key: &str,
    ) -> Result<Object, Refusal> {
        self.0.object_get(caller, bucket, key).await.map_err(refused)
    }

    async fn object_open(
        &self,
        caller: &Caller,
        bucket: &str,
        key: &str,
    ) -> Result<Box<dyn OpenObject>, Refusal> {
        let reader = self.0.object_open(caller, bucket, key).await.map_err(refused)?;
        Ok(Box::new(Opened(reader)))
    }

    async fn object_delete(&self, caller: &Caller, bucket: &str, key: &str) -> Result<(), Refusal> {
        self.0.object_delete(caller, bucket, key).await.map(drop).map_err(refused)
    }

    async fn objects_delete(
        &self,
        caller: &Caller,
        bucket: &str,
        keys: &[String],
    ) -> Result<(), Refusal> {
        self.0.objects_delete(caller, bucket, keys).await.map(drop).map_err(refused)
    }

    async fn object_list(
        &self,
        caller: &Caller,
        bucket: &str,
        query: &ObjectQuery,
    ) -> Result<ObjectPage, Refusal> {
        self.0.object_list(caller, bucket, query).await.map_err(refused)
    }

    async fn upload_create(&self, caller: &Caller, order: &ObjectOrder) -> Result<Upload, Refusal> {
        self.0.upload_create(caller, order).await.map_err(refused)
    }

    async fn upload_part(
        &self,
        caller: &Caller,
        at: UploadRef<'_>,
        number: u32,
        body: Stream,
    ) -> Result<Part, Refusal> {
        self.0.upload_part(caller, at, number, body).await.map_err(refused)
    }

    async fn upload_part_copy(
        &self,
        caller: &Caller,
        at: UploadRef<'_>,
        number: u32,
        source: &PartSource,
    ) -> Result<Part, Refusal> {
        self.0.upload_part_copy(caller, at, number, source).await.map_err(refused)
    }

    async fn upload_parts(&self, caller: &Caller, at: UploadRef<'_>) -> Result<Vec<Part>, Refusal> {
        self.0.upload_parts(caller, at).await.map_err(refused)
    }

    async fn upload_list(&self, caller: &Caller, bucket: &str) -> Result<Vec<Upload>, Refusal> {
        self.0.upload_list(caller, bucket).await.map_err(refused)
    }

    async fn upload_complete(
        &self,
        caller: &Caller,
        upload: (&ObjectOrder, &str),
        parts: &[PartAsked],
    ) -> Result<Object, Refusal> {
        self.0.upload_complete(caller, upload, parts).await.map_err(refused)
    }

    async fn upload_abort(&self, caller: &Caller, at: UploadRef<'_>) -> Result<(), Refusal> {
        self.0.upload_abort(caller, at).await.map_err(refused)
    }
}
