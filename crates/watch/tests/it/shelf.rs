//! A journal for these tests that can be told to fail.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use stint_model::time::Timestamp;
use stint_store::{Chunk, Journal, JournalError, JournalQuery};

/// Chunks in memory; the next `failing` appends fail.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    pub(crate) chunks: Mutex<Vec<Chunk>>,
    pub(crate) failing: AtomicU32,
}

#[async_trait]
impl Journal for Shelf {
    async fn append(&self, chunks: Vec<Chunk>) -> Result<u64, JournalError> {
        let failing = self.failing.load(Ordering::Relaxed);
        if failing > 0 {
            self.failing.store(failing - 1, Ordering::Relaxed);
            return Err(JournalError { operation: "append to", source: "disk on fire".into() });
        }
        let mut kept = self.chunks.lock().unwrap();
        let mut seq = kept.last().map_or(0, |chunk| chunk.seq);
        for chunk in chunks {
            seq += 1;
            kept.push(Chunk { seq, ..chunk });
        }
        Ok(seq)
    }

    async fn range(&self, query: &JournalQuery) -> Result<Vec<Chunk>, JournalError> {
        let kept = self.chunks.lock().unwrap();
        let wanted = |chunk: &&Chunk| query.matches(chunk);
        let matching = kept.iter().filter(wanted).cloned();
        Ok(if query.descending {
            matching.rev().take(query.limit).collect()
        } else {
            matching.take(query.limit).collect()
        })
    }

    async fn retain(&self, before: Timestamp, limit: usize) -> Result<usize, JournalError> {
        let mut kept = self.chunks.lock().unwrap();
        let mut gone = 0;
        kept.retain(|chunk| {
            let goes = chunk.at < before && gone < limit;
            gone += usize::from(goes);
            !goes
        });
        Ok(gone)
    }
}
