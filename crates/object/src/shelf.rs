//! The port to whoever keeps buckets and objects: the engine, or a test.

use std::ops::Range;
use std::pin::Pin;

use async_trait::async_trait;
use bytes::Bytes;
use stint_model::access::Caller;
use stint_model::code::Refusal;
use stint_model::object::asked::{
    ObjectOrder, ObjectPage, ObjectQuery, PartAsked, PartSource, UploadRef,
};
use stint_model::object::{Bucket, Object, Part, Upload};

/// Bytes on their way in or out. An error ends them.
pub type Stream = Pin<Box<dyn futures_util::Stream<Item = std::io::Result<Bytes>> + Send>>;

/// The secret of a key, for one request. Does not print.
pub struct KeySecret(String);

impl KeySecret {
    /// From its text.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    pub(crate) fn into_text(self) -> String {
        self.0
    }
}

impl std::fmt::Debug for KeySecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeySecret")
    }
}

/// An object that was opened: its bytes stay as they are while this is held.
pub trait OpenObject: Send + Sync {
    /// Its record.
    fn object(&self) -> &Object;
    /// Some of its bytes.
    fn read(&self, range: Range<u64>) -> Stream;
}

/// Verbs over buckets and objects. Each authorizes its caller; what it cannot do is a [`Refusal`] with a
/// stable code.
#[async_trait]
pub trait Shelf: std::fmt::Debug + Send + Sync + 'static {
    /// What requests of a key are signed with.
    fn secret(&self, key_id: &str) -> Result<KeySecret, Refusal>;
    /// Who calls, once the signature was good and if the session token is the key's.
    fn admit(&self, key_id: &str, session_token: Option<&str>) -> Result<Caller, Refusal>;
    /// Where the buckets are, as S3 calls it.
    fn region(&self) -> &str;

    /// Makes a bucket.
    async fn bucket_create(&self, caller: &Caller, name: &str) -> Result<Bucket, Refusal>;
    /// Deletes an empty bucket.
    async fn bucket_delete(&self, caller: &Caller, name: &str) -> Result<(), Refusal>;
    /// A bucket.
    async fn bucket_get(&self, caller: &Caller, name: &str) -> Result<Bucket, Refusal>;
    /// All buckets of the caller's account, by name.
    async fn bucket_list(&self, caller: &Caller) -> Result<Vec<Bucket>, Refusal>;

    /// Puts an object at once.
    async fn object_put(
        &self,
        caller: &Caller,
        order: &ObjectOrder,
        body: Stream,
    ) -> Result<Object, Refusal>;
    /// Copies an object's bytes.
    async fn object_copy(
        &self,
        caller: &Caller,
        source: (&str, &str),
        order: &ObjectOrder,
    ) -> Result<Object, Refusal>;
    /// An object's record.
    async fn object_get(&self, caller: &Caller, bucket: &str, key: &str)
    -> Result<Object, Refusal>;
    /// Opens an object to read it.
    async fn object_open(
        &self,
        caller: &Caller,
        bucket: &str,
        key: &str,
    ) -> Result<Box<dyn OpenObject>, Refusal>;
    /// Deletes an object, if there is one.
    async fn object_delete(&self, caller: &Caller, bucket: &str, key: &str) -> Result<(), Refusal>;
    /// Deletes many.
    async fn objects_delete(
        &self,
        caller: &Caller,
        bucket: &str,
        keys: &[String],
    ) -> Result<(), Refusal>;
    /// A page of a bucket's objects.
    async fn object_list(
        &self,
        caller: &Caller,
        bucket: &str,
        query: &ObjectQuery,
    ) -> Result<ObjectPage, Refusal>;

    /// Begins an upload in parts.
    async fn upload_create(&self, caller: &Caller, order: &ObjectOrder) -> Result<Upload, Refusal>;
    /// Writes a part.
    async fn upload_part(
        &self,
        caller: &Caller,
        at: UploadRef<'_>,
        number: u32,
        body: Stream,
    ) -> Result<Part, Refusal>;
    /// Makes a part of an object's bytes.
    async fn upload_part_copy(
        &self,
        caller: &Caller,
        at: UploadRef<'_>,
        number: u32,
        source: &PartSource,
    ) -> Result<Part, Refusal>;
    /// The parts of an upload so far, by number.
    async fn upload_parts(&self, caller: &Caller, at: UploadRef<'_>) -> Result<Vec<Part>, Refusal>;
    /// Uploads of a bucket, by key and time.
    async fn upload_list(&self, caller: &Caller, bucket: &str) -> Result<Vec<Upload>, Refusal>;
    /// Makes an object of parts.
    async fn upload_complete(
        &self,
        caller: &Caller,
        upload: (&ObjectOrder, &str),
        parts: &[PartAsked],
    ) -> Result<Object, Refusal>;
    /// Gives an upload up.
    async fn upload_abort(&self, caller: &Caller, at: UploadRef<'_>) -> Result<(), Refusal>;
}
