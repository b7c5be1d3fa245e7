//! Writes one stream of bytes as a run: piece by piece into the blob store, summed up on the way.
//! Nothing names the run until the caller commits; a run that is let fall is let go.

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use md5::{Digest as _, Md5};
use stint_model::code::{Code, Refusal};
use stint_model::id::AccountId;
use stint_model::object::{Run, STREAM_BYTES_MAX};

use super::{ObjectStream, piece_len};
use crate::engine::Engine;
use crate::error::EngineError;

/// A written run that no record names yet. Dropped, it is given to whoever tidies up.
#[derive(Debug)]
pub(super) struct Written {
    engine: Engine,
    account: AccountId,
    pub(super) run: Run,
    /// The MD5 of its bytes.
    pub(super) md5: [u8; 16],
    /// What becomes of it.
    fate: Fate,
}

#[derive(Clone, Copy, Debug)]
enum Fate {
    /// No record names it.
    Loose,
    /// A record names it, or might.
    Kept,
}

impl Written {
    /// From now on a commit may name it, also when whoever asked for it goes away before the answer.
    pub(super) fn hand_over(&mut self) {
        self.fate = Fate::Kept;
    }

    /// No commit names it: lets it go. When that is not certain, the sweep decides.
    pub(super) fn take_back(&mut self, error: &EngineError) {
        use stint_store::CommitError;
        let certain =
            matches!(error, EngineError::Refused(_) | EngineError::Commit(CommitError::Stale(_)));
        if certain {
            self.fate = Fate::Loose;
        }
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        let objects = self.engine.objects();
        objects.state().writing.remove(&self.run.id);
        match self.fate {
            Fate::Loose => objects.release(self.account, &[self.run]),
            Fate::Kept => {}
        }
    }
}

/// The refusal for a stream that ended before its end.
fn broken(error: &std::io::Error) -> Refusal {
    Refusal::invalid(format!("the body could not be read to its end: {error}"))
}

impl Engine {
    /// Writes a stream; all of it is on disk when this returns.
    pub(super) async fn object_write(
        &self,
        account: AccountId,
        mut body: ObjectStream,
    ) -> Result<Written, EngineError> {
        self.storage_allows()?;
        let run = Run { id: self.random_u128(), bytes: 0 };
        self.objects().state().writing.insert(run.id);
        let mut written =
            Written { engine: self.clone(), account, run, md5: [0; 16], fate: Fate::Loose };
        let (mut sum, mut piece, mut count) = (Md5::new(), BytesMut::new(), 0);
        let mut place = None;
        while let Some(bytes) = body.next().await {
            let mut bytes = bytes.map_err(|error| broken(&error))?;
            sum.update(&bytes);
            while !bytes.is_empty() {
                if place.is_none() {
                    place = Some(self.object_place().await);
                }
                let room = (piece_len() - piece.len()).min(bytes.len());
                piece.extend_from_slice(&bytes.split_to(room));
                if piece.len() == piece_len() {
                    self.object_piece_write(&mut written, count, piece.split().freeze()).await?;
                    count += 1;
                    place = None;
                }
            }
        }
        if !piece.is_empty() {
            self.object_piece_write(&mut written, count, piece.freeze()).await?;
        }
        written.md5 = sum.finalize().into();
        Ok(written)
    }

    async fn object_piece_write(
        &self,
        written: &mut Written,
        number: u64,
        bytes: Bytes,
    ) -> Result<(), EngineError> {
        let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if written.run.bytes + len > STREAM_BYTES_MAX {
            let message = format!(
                "{STREAM_BYTES_MAX} bytes are the most that are sent at once; upload it in parts"
            );
            return Err(EngineError::refused(Code::EntityTooLarge, message));
        }
        self.storage_take_object(written.account, len)?;
        // Before the write: a piece that failed half may be there.
        written.run.bytes += len;
        self.blobs().put(&written.run.blob(written.account, number), bytes).await?;
        Ok(())
    }

    /// Room for a piece in memory.
    pub(super) async fn object_place(&self) -> tokio::sync::OwnedSemaphorePermit {
        let places = std::sync::Arc::clone(&self.objects().places);
        places.acquire_owned().await.expect("it is never closed")
    }
}
