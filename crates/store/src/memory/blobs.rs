//! Blobs in memory.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use stint_model::time::Timestamp;

use crate::blobs::{BlobEntry, BlobError, Blobs, check_name};

/// Blobs in memory; clones share them.
#[derive(Clone, Debug, Default)]
pub struct MemoryBlobs {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    now: Timestamp,
    blobs: BTreeMap<String, (Bytes, Timestamp)>,
}

impl MemoryBlobs {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// What `modified_at` says of the blobs put from now on.
    pub fn set_now(&self, now: Timestamp) {
        self.with(|state| state.now = now);
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl Blobs for MemoryBlobs {
    async fn put(&self, name: &str, bytes: Bytes) -> Result<(), BlobError> {
        check_name(name)?;
        self.with(|state| state.blobs.insert(name.to_owned(), (bytes, state.now)));
        Ok(())
    }

    async fn get(&self, name: &str) -> Result<Bytes, BlobError> {
        check_name(name)?;
        let found = self.with(|state| state.blobs.get(name).map(|(bytes, _)| bytes.clone()));
        found.ok_or_else(|| BlobError::Missing(name.to_owned()))
    }

    async fn delete(&self, name: &str) -> Result<(), BlobError> {
        check_name(name)?;
        self.with(|state| state.blobs.remove(name));
        Ok(())
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<BlobEntry>, BlobError> {
        let start = match after {
            Some(name) if name >= prefix => Bound::Excluded(name.to_owned()),
            Some(_) | None => Bound::Included(prefix.to_owned()),
        };
        Ok(self.with(|state| {
            let found = state.blobs.range((start, Bound::Unbounded));
            let found = found.take_while(|(name, _)| name.starts_with(prefix)).take(limit);
            let entry = |(name, (bytes, modified_at)): (&String, &(Bytes, Timestamp))| BlobEntry {
                name: name.clone(),
                len: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
                modified_at: *modified_at,
            };
            found.map(entry).collect()
        }))
    }
}
