//! Object storage that the operator configured: the blob store, and buckets that code and the items of maps are
//! taken from and results written to. How to reach them is said by `AWS_*` variables.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::TryStreamExt as _;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};
use stint_engine::control::code::{BucketError, CodeBuckets, ObjectInfo};
use stint_model::time::Timestamp;
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

    fn bucket(&self, name: &str) -> Result<&Bucket, BucketError> {
        self.stores.get(name).ok_or_else(|| BucketError::NoBucket(name.to_owned()))
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
        let (store, prefix) = self.bucket(bucket)?;
        let failed = |error: object_store::Error| match error {
            object_store::Error::NotFound { .. } => BucketError::NoObject(object.to_owned()),
            error => BucketError::Failed { object: object.to_owned(), source: Box::new(error) },
        };
        let path = inside(prefix, object)?;
        let found = store.get(&path).await.map_err(failed)?;
        if found.meta.size > bytes_max {
            return Err(BucketError::TooLarge { object: object.to_owned(), max: bytes_max });
        }
        found.bytes().await.map_err(failed)
    }

    async fn put(&self, bucket: &str, object: &str, bytes: Bytes) -> Result<(), BucketError> {
        let (store, prefix) = self.bucket(bucket)?;
        let path = inside(prefix, object)?;
        let failed = |error: object_store::Error| BucketError::NotWritten {
            object: object.to_owned(),
            source: Box::new(error),
        };
        store.put(&path, bytes.into()).await.map_err(failed)?;
        Ok(())
    }

    async fn list(
        &self,
        bucket: &str,
        prefix: &str,
        most: usize,
    ) -> Result<Vec<ObjectInfo>, BucketError> {
        let (store, root) = self.bucket(bucket)?;
        let failed = |error: object_store::Error| BucketError::NotListed {
            prefix: prefix.to_owned(),
            source: Box::new(error),
        };
        // A store lists whole directories; keys begin anywhere.
        let (directory, _) = prefix.rsplit_once('/').unwrap_or_default();
        let under = inside(root, directory).unwrap_or_else(|_| root.clone());
        let mut found = Vec::new();
        let mut listed = store.list(Some(&under));
        while let Some(object) = listed.try_next().await.map_err(failed)? {
            let Some(parts) = object.location.prefix_match(root) else { continue };
            let key: Path = parts.collect();
            if !key.as_ref().starts_with(prefix) {
                continue;
            }
            found.push(ObjectInfo {
                key: key.to_string(),
                size: object.size,
                modified_at: Timestamp::from_millis(object.last_modified.timestamp_millis()),
                tag: object.e_tag,
            });
            // In no order: all are seen before the first of them are known.
            if found.len() >= most.saturating_mul(2).max(4_096) {
                shorten(&mut found, most);
            }
        }
        shorten(&mut found, most);
        Ok(found)
    }
}

fn shorten(found: &mut Vec<ObjectInfo>, most: usize) {
    found.sort_unstable_by(|a, b| a.key.cmp(&b.key));
    found.truncate(most);
}

/// Where an object of a bucket lies.
fn inside(prefix: &Path, object: &str) -> Result<Path, BucketError> {
    let relative = Path::parse(object).map_err(|_| BucketError::NoObject(object.to_owned()))?;
    Ok(prefix.parts().chain(relative.parts()).collect())
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
    async fn what_is_written_is_listed_by_key() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("in")).unwrap();
        let buckets = buckets(&dir.path().join("in"));
        for key in ["b/2", "b/10", "a", "b/x/1", "c"] {
            buckets.put("code", key, Bytes::from_static(b"123")).await.unwrap();
        }
        let keys =
            |found: Vec<ObjectInfo>| found.into_iter().map(|one| one.key).collect::<Vec<_>>();
        let list = |prefix, most| buckets.list("code", prefix, most);
        assert_eq!(keys(list("", 9).await.unwrap()), ["a", "b/10", "b/2", "b/x/1", "c"]);
        assert_eq!(keys(list("b/", 2).await.unwrap()), ["b/10", "b/2"]);
        let found = list("b/1", 9).await.unwrap();
        assert_eq!((found[0].size, keys(found)), (3, vec!["b/10".to_owned()]));
        assert!(list("none/", 9).await.unwrap().is_empty());
        assert!(buckets.put("code", "../x", Bytes::new()).await.is_err());
        assert!(matches!(buckets.list("o", "", 1).await, Err(BucketError::NoBucket(_))));
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
