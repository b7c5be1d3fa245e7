//! Object storage: buckets and objects over the book and the blob store. An object's bytes are on disk
//! before the commit that names them; its record and the event that tells of it are one commit. What a
//! replaced or deleted object had is let go after that, once nobody reads it any more.
//!
//! All records of an account lie in its home shard, so that its events have one order.

pub mod buckets;
pub mod events;
pub mod list;
pub mod put;
pub mod read;
mod sweep;
pub mod uploads;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::Stream;
use stint_model::access::Caller;
use stint_model::code::Code;
use stint_model::id::AccountId;
use stint_model::object::{Bucket, Object, ObjectDeed, ObjectEvent, PIECE, Run};
use stint_model::time::{Span, Timestamp};
use stint_store::record::object as stored;
use tokio::sync::{Semaphore, watch};

use crate::control::{Read, expect_of};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::storage::Storage;

pub use read::ObjectReader;

/// Bytes on their way in or out. An error ends them.
pub type ObjectStream = Pin<Box<dyn Stream<Item = std::io::Result<Bytes>> + Send>>;

/// Pieces that are in memory at the same time; what has no place waits.
const PIECES_MAX: usize = 256;
/// How long a bucket that is about to be deleted refuses what is put into it; then whoever wanted to
/// delete it is taken for gone.
const CLOSING: Span = Span::from_secs(30);

/// What the verbs share beside the book.
#[derive(Debug)]
pub(crate) struct Objects {
    state: Mutex<State>,
    /// Room for pieces in memory.
    places: Arc<Semaphore>,
    /// Counts commits that told of something.
    told: watch::Sender<u64>,
    /// Bytes of objects, by account.
    pub(crate) storage: Storage,
}

#[derive(Debug, Default)]
struct State {
    /// Runs that are written and in no record yet: the sweep leaves them.
    writing: BTreeSet<u128>,
    /// Runs that are read, by how many.
    reading: BTreeMap<u128, u32>,
    /// Runs that no record names and somebody still reads.
    doomed: BTreeMap<u128, (AccountId, Run)>,
    /// Runs that no record names; their blobs are to be deleted.
    loose: Vec<(AccountId, Run)>,
    /// When blobs that nothing names were looked for.
    swept_at: Option<Timestamp>,
}

impl Default for Objects {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            places: Arc::new(Semaphore::new(PIECES_MAX)),
            told: watch::Sender::new(0),
            storage: Storage::default(),
        }
    }
}

impl Objects {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to read runs: what they lie in stays until [`Objects::unpin`].
    fn pin(&self, runs: &[Run]) {
        let mut state = self.state();
        for run in runs {
            *state.reading.entry(run.id).or_default() += 1;
        }
    }

    fn unpin(&self, runs: &[Run]) {
        let mut state = self.state();
        for run in runs {
            let Some(readers) = state.reading.get_mut(&run.id) else { continue };
            *readers -= 1;
            if *readers == 0 {
                state.reading.remove(&run.id);
                if let Some(doomed) = state.doomed.remove(&run.id) {
                    state.loose.push(doomed);
                }
            }
        }
    }

    /// These runs are in no record any more.
    fn release(&self, account: AccountId, runs: &[Run]) {
        let mut state = self.state();
        for run in runs {
            if state.reading.contains_key(&run.id) {
                state.doomed.insert(run.id, (account, *run));
            } else {
                state.loose.push((account, *run));
            }
        }
    }

    fn take_loose(&self) -> Vec<(AccountId, Run)> {
        std::mem::take(&mut self.state().loose)
    }
}

/// The refusal for a bucket that is not there.
pub(crate) fn no_bucket(name: &str) -> EngineError {
    EngineError::refused(Code::NoSuchBucket, format!("bucket '{name}' does not exist"))
}

/// The refusal for an object that is not there.
pub(crate) fn no_key(bucket: &str, key: &str) -> EngineError {
    let message = format!("object '{key}' does not exist in bucket '{bucket}'");
    EngineError::refused(Code::NoSuchKey, message)
}

impl Engine {
    /// A bucket as the book has it.
    async fn bucket_read(
        &self,
        account: AccountId,
        name: &str,
    ) -> Result<Read<Bucket>, EngineError> {
        let record = self.store().record_get(&stored::bucket_key(account, name)).await?;
        let record = record.ok_or_else(|| no_bucket(name))?;
        Ok(Read { value: stored::decode_bucket(&record.body)?, expect: expect_of(&record) })
    }

    /// An object as the book has it, if it has.
    async fn object_find(
        &self,
        account: AccountId,
        bucket: &str,
        key: &str,
    ) -> Result<Option<Read<Object>>, EngineError> {
        let record = self.store().record_get(&stored::key(account, bucket, key)).await?;
        let read = record.map(|record| {
            Ok(Read { value: stored::decode(&record.body)?, expect: expect_of(&record) })
        });
        read.transpose()
    }

    /// Deletes the blobs of runs that nothing names. What cannot be deleted now is swept later.
    async fn objects_tidy(&self) {
        for (account, run) in self.objects().take_loose() {
            for piece in 0..run.pieces() {
                let blob = run.blob(account, piece);
                if let Err(error) = self.blobs().delete(&blob).await {
                    let error = stint_supervise::chain(&error);
                    tracing::warn!(blob, error, "the blob stays for the sweep");
                }
            }
            self.objects().storage.give_back(account, run.bytes);
        }
    }

    /// Lets go of runs that were in a record until now.
    async fn objects_free(&self, account: AccountId, runs: &[Run]) {
        self.objects().release(account, runs);
        self.objects_tidy().await;
    }

    /// What happened, before it has a number.
    fn object_event(&self, caller: &Caller, object: &Object, deed: ObjectDeed) -> ObjectEvent {
        ObjectEvent {
            number: 0,
            account: object.account,
            bucket: object.bucket.to_string(),
            key: object.key.clone(),
            deed,
            bytes: object.bytes,
            etag: object.etag.clone(),
            at: self.clock().now(),
            request_id: caller.request_id.as_deref().unwrap_or_default().to_owned(),
            key_id: caller.key_id.to_string(),
        }
    }
}

/// Whether somebody is about to delete the bucket.
fn is_closing(bucket: &Bucket, now: Timestamp) -> bool {
    bucket.closing_at.is_some_and(|since| now.since(since) < CLOSING)
}

/// How many bytes a piece has.
fn piece_len() -> usize {
    usize::try_from(PIECE).expect("a piece fits into memory")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Run = Run { id: 1, bytes: 5 };

    #[test]
    fn what_is_read_goes_when_the_last_reader_does() {
        let objects = Objects::default();
        objects.pin(&[ONE]);
        objects.pin(&[ONE]);
        objects.release(AccountId::ROOT, &[ONE]);
        assert!(objects.take_loose().is_empty());
        objects.unpin(&[ONE]);
        assert!(objects.take_loose().is_empty());
        objects.unpin(&[ONE]);
        assert_eq!(objects.take_loose(), vec![(AccountId::ROOT, ONE)]);
        objects.release(AccountId::ROOT, &[ONE]);
        assert_eq!(objects.take_loose().len(), 1, "nobody reads it: at once");
    }
}
