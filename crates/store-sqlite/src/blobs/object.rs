//! Blobs in an S3-compatible object store.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::TryStreamExt as _;
use object_store::aws::AmazonS3Builder;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt as _};
use stint_model::time::Timestamp;
use stint_store::blobs::{BlobEntry, BlobError, Blobs, check_name};

/// Where the bucket is and who we are there.
#[derive(Clone)]
pub struct S3Config {
    /// `https://…` or, for a test server, `http://…`.
    pub endpoint: String,
    /// The region's name; many servers take any.
    pub region: String,
    /// The bucket.
    pub bucket: String,
    /// Put before every name; empty for none.
    pub prefix: String,
    /// Access key id.
    pub key_id: String,
    /// Access key secret.
    pub key_secret: String,
    /// `https://bucket.host` instead of `https://host/bucket`.
    pub virtual_hosted: bool,
}

impl std::fmt::Debug for S3Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("S3Config")
            .field("endpoint", &self.endpoint)
            .field("bucket", &self.bucket)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

/// Blobs in an object store.
#[derive(Clone, Debug)]
pub struct ObjectBlobs {
    store: Arc<dyn ObjectStore>,
    prefix: String,
    in_order: bool,
}

impl ObjectBlobs {
    /// In any object store, below `prefix` (empty for its root).
    pub fn new(store: Arc<dyn ObjectStore>, prefix: &str) -> Self {
        let prefix = prefix.trim_matches('/');
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        Self { store, prefix, in_order: false }
    }

    /// The store lists by name, as S3 promises: a page is read and no more.
    #[must_use]
    pub fn in_order(self) -> Self {
        Self { in_order: true, ..self }
    }

    /// In a bucket of an S3-compatible server.
    ///
    /// # Errors
    /// When the configuration makes no client.
    pub fn s3(config: &S3Config) -> Result<Self, object_store::Error> {
        let store = AmazonS3Builder::new()
            .with_endpoint(&config.endpoint)
            .with_region(&config.region)
            .with_bucket_name(&config.bucket)
            .with_access_key_id(&config.key_id)
            .with_secret_access_key(&config.key_secret)
            .with_virtual_hosted_style_request(config.virtual_hosted)
            .with_allow_http(config.endpoint.starts_with("http://"))
            .build()?;
        Ok(Self::new(Arc::new(store), &config.prefix).in_order())
    }

    fn path(&self, name: &str) -> Result<Path, BlobError> {
        check_name(name)?;
        Path::parse(format!("{}{name}", self.prefix))
            .map_err(|_| BlobError::BadName(name.to_owned()))
    }

    fn entry(&self, meta: &ObjectMeta) -> Option<BlobEntry> {
        let name = meta.location.as_ref().strip_prefix(&*self.prefix)?.to_owned();
        let modified_at = Timestamp::from_micros(meta.last_modified.timestamp_micros());
        Some(BlobEntry { name, len: meta.size, modified_at })
    }
}

fn failed(operation: &'static str, name: &str, error: object_store::Error) -> BlobError {
    match error {
        object_store::Error::NotFound { .. } => BlobError::Missing(name.to_owned()),
        error => BlobError::Backend { operation, name: name.to_owned(), source: Box::new(error) },
    }
}

#[async_trait]
impl Blobs for ObjectBlobs {
    async fn put(&self, name: &str, bytes: Bytes) -> Result<(), BlobError> {
        let path = self.path(name)?;
        self.store.put(&path, bytes.into()).await.map_err(|e| failed("put", name, e))?;
        Ok(())
    }

    async fn get(&self, name: &str) -> Result<Bytes, BlobError> {
        let path = self.path(name)?;
        let found = self.store.get(&path).await.map_err(|e| failed("get", name, e))?;
        found.bytes().await.map_err(|e| failed("get", name, e))
    }

    async fn delete(&self, name: &str) -> Result<(), BlobError> {
        let path = self.path(name)?;
        match self.store.delete(&path).await.map_err(|e| failed("delete", name, e)) {
            Err(BlobError::Missing(_)) => Ok(()),
            done => done,
        }
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<BlobEntry>, BlobError> {
        // The client lists whole path parts; the rest of the prefix is ours to check.
        let whole = prefix.rfind('/').map_or("", |slash| &prefix[..slash]);
        let whole = Path::parse(format!("{}{whole}", self.prefix).trim_end_matches('/'))
            .map_err(|_| BlobError::BadName(prefix.to_owned()))?;
        let listed = match after {
            Some(after) => self.store.list_with_offset(Some(&whole), &self.path(after)?),
            None => self.store.list(Some(&whole)),
        };
        let matching = listed.try_filter_map(|meta| async move {
            Ok(self.entry(&meta).filter(|entry| entry.name.starts_with(prefix)))
        });
        let mut matching = std::pin::pin!(matching);
        let mut found: Vec<BlobEntry> = Vec::new();
        // Where order is not promised, everything is read before the page is cut.
        while !(self.in_order && found.len() >= limit)
            && let Some(entry) = matching.try_next().await.map_err(|e| failed("list", prefix, e))?
        {
            found.push(entry);
        }
        found.sort_unstable_by(|one, two| one.name.cmp(&two.name));
        found.truncate(limit);
        Ok(found)
    }
}
