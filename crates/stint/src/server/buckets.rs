//! Object storage that the operator configured: the blob store, and buckets that code may be taken
//! from. How to reach them is said by `AWS_*` variables.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};
use stint_engine::control::code::{BucketError, CodeBuckets};
use stint_store::Blobs;
use stint_store_sqlite::{LocalBlobs, ObjectBlobs};
use stint_supervise::Supervisor;
use url::Url;

use crate::config::environment::Environment;
use crate::config::resolved::{BlobsBackend, Config};
use crate::failure::Failure;

/// The blob store of the configuration.
pub(crate) fn blobs(
    config: &Config,
    environment: &Environment,
    supervisor: &Supervisor,
) -> Result<Arc<dyn Blobs>, Failure> {
    match &config.blobs {
        BlobsBackend::Local => {
            let blobs = LocalBlobs::open(config.data.join("blobs"), supervisor);
            Ok(Arc::new(blobs.map_err(|error| Failure::cannot("open the blob directory", &error))?))
        }
        BlobsBackend::Store(url) => {
            let (store, prefix) = open(url, environment)?;
            Ok(Arc::new(ObjectBlobs::new(store, prefix.as_ref()).in_order()))
        }
    }
}

fn open(url: &Url, environment: &Environment) -> Result<(Arc<dyn ObjectStore>, Path), Failure> {
    let options = environment.of_aws().map(|(k, v)| (k.to_ascii_lowercase(), v.to_owned()));
    let opened = object_store::parse_url_opts(url, options);
    let (store, path) =
        opened.map_err(|error| Failure::cannot(format_args!("use {url}"), &error))?;
    Ok((Arc::from(store), path))
}

/// One configured bucket: a store, and where in it objects begin.
type Bucket = (Arc<dyn ObjectStore>, Path);

/// Buckets by their configured names.
#[derive(Debug)]
pub(crate) struct Buckets {
    stores: BTreeMap<String, Bucket>,
}

impl Buckets {
    pub(crate) fn open(config: &Config, environment: &Environment) -> Result<Self, Failure> {
        let open = |(name, url): (&String, &Url)| Ok((name.clone(), open(url, environment)?));
        let stores = config.buckets.iter().map(open).collect::<Result<_, Failure>>()?;
        Ok(Self { stores })
    }
}

#[async_trait]
impl CodeBuckets for Buckets {
    async fn fetch(
        &self,
        bucket: &str,
        object: &str,
        bytes_max: u64,
    ) -> Result<Bytes, BucketError> {
        let (store, prefix) =
            self.stores.get(bucket).ok_or_else(|| BucketError::NoBucket(bucket.to_owned()))?;
        let failed = |error: object_store::Error| match error {
            object_store::Error::NotFound { .. } => BucketError::NoObject(object.to_owned()),
            error => BucketError::Failed { object: object.to_owned(), source: Box::new(error) },
        };
        let relative = Path::parse(object).map_err(|_| BucketError::NoObject(object.to_owned()))?;
        let path: Path = prefix.parts().chain(relative.parts()).collect();
        let found = store.get(&path).await.map_err(failed)?;
        if found.meta.size > bytes_max {
            return Err(BucketError::TooLarge { object: object.to_owned(), max: bytes_max });
        }
        found.bytes().await.map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(dir: &std::path::Path) -> Buckets {
        let url = Url::from_directory_path(dir).unwrap();
        let opened = open(&url, &Environment::default()).unwrap();
        Buckets { stores: BTreeMap::from([("code".to_owned(), opened)]) }
    }

    #[tokio::test]
    async fn objects_of_configured_buckets_only() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("in")).unwrap();
        std::fs::write(dir.path().join("in/f.zip"), "zip").unwrap();
        let buckets = buckets(&dir.path().join("in"));
        assert_eq!(buckets.fetch("code", "f.zip", 3).await.unwrap(), "zip");
        let error = buckets.fetch("other", "f.zip", 3).await.unwrap_err();
        assert!(matches!(error, BucketError::NoBucket(_)));
        let error = buckets.fetch("code", "none", 3).await.unwrap_err();
        assert!(matches!(error, BucketError::NoObject(_)), "{error}");
        let error = buckets.fetch("code", "f.zip", 2).await.unwrap_err();
        assert!(matches!(error, BucketError::TooLarge { .. }));
    }

    #[tokio::test]
    async fn nothing_outside_a_bucket_is_read() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("in")).unwrap();
        std::fs::write(dir.path().join("secret"), "s").unwrap();
        let buckets = buckets(&dir.path().join("in"));
        for object in ["../secret", "/../secret", "a/../../secret", "..", ""] {
            assert!(buckets.fetch("code", object, 100).await.is_err(), "{object}");
        }
    }
}
