//! Reads objects. Whoever reads has the object as it was when it was opened: what is replaced or deleted
//! meanwhile stays until the last reader is done.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use stint_model::access::Caller;
use stint_model::code::Code;
use stint_model::object::{Object, Run, slices};

use super::{ObjectStream, no_key};
use crate::access::Operation;
use crate::engine::Engine;
use crate::error::EngineError;

/// How often an object is opened again that is replaced at that moment.
const TRIES: u32 = 8;

/// Keeps runs where they are.
#[derive(Debug)]
struct Pin {
    engine: Engine,
    runs: Vec<Run>,
}

impl Pin {
    fn new(engine: &Engine, runs: &[Run]) -> Self {
        engine.objects().pin(runs);
        Self { engine: engine.clone(), runs: runs.to_vec() }
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        self.engine.objects().unpin(&self.runs);
    }
}

/// An opened object.
#[derive(Clone, Debug)]
pub struct ObjectReader {
    object: Arc<Object>,
    pin: Arc<Pin>,
}

impl ObjectReader {
    /// Its record.
    pub fn object(&self) -> &Object {
        &self.object
    }

    /// All of its bytes.
    pub fn whole(&self) -> ObjectStream {
        self.range(0..self.object.bytes)
    }

    /// Some of its bytes; what is past its end is left out.
    pub fn range(&self, range: Range<u64>) -> ObjectStream {
        let rest = slices(&self.object.runs, &range).into_iter();
        let (engine, account) = (self.pin.engine.clone(), self.object.account);
        let state = (rest, Arc::clone(&self.pin));
        let read = futures_util::stream::try_unfold(state, move |(mut rest, pin)| {
            let engine = engine.clone();
            async move {
                let Some(slice) = rest.next() else { return Ok(None) };
                let place = engine.object_place().await;
                let blob = slice.run.blob(account, slice.piece);
                let bytes = engine.blobs().get(&blob).await.map_err(std::io::Error::other)?;
                drop(place);
                let part = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
                let (from, to) = (part(slice.bytes.start), part(slice.bytes.end));
                if bytes.len() < to {
                    return Err(std::io::Error::other(format!("blob {blob} is too short")));
                }
                Ok(Some((bytes.slice(from..to), (rest, pin))))
            }
        });
        Box::pin(read)
    }
}

impl Engine {
    /// Opens an object to read it.
    ///
    /// # Errors
    /// `NoSuchBucket`, `NoSuchKey`.
    pub async fn object_open(
        &self,
        caller: &Caller,
        bucket: &str,
        key: &str,
    ) -> Result<ObjectReader, EngineError> {
        self.authorize(caller, Operation::ObjectGet, None)?;
        for _ in 0..TRIES {
            let Some(read) = self.object_find(caller.account, bucket, key).await? else { break };
            let pin = Pin::new(self, &read.value.runs);
            // Whoever replaced it before it was pinned may have let its bytes go.
            let again = self.object_find(caller.account, bucket, key).await?;
            if again.is_some_and(|again| again.value.runs == read.value.runs) {
                return Ok(ObjectReader { object: Arc::new(read.value), pin: Arc::new(pin) });
            }
        }
        self.bucket_read(caller.account, bucket).await?;
        Err(no_key(bucket, key))
    }

    /// Reads a whole object of at most `bytes_max` into memory.
    ///
    /// # Errors
    /// As [`Engine::object_open`], and `EntityTooLarge`.
    pub async fn object_read(
        &self,
        caller: &Caller,
        (bucket, key): (&str, &str),
        bytes_max: u64,
    ) -> Result<Bytes, EngineError> {
        use futures_util::StreamExt as _;
        let reader = self.object_open(caller, bucket, key).await?;
        let bytes = reader.object().bytes;
        if bytes > bytes_max {
            let message =
                format!("object '{key}' exceeds the maximum allowed size ({bytes_max} bytes)");
            return Err(EngineError::refused(Code::EntityTooLarge, message));
        }
        let mut whole = Vec::with_capacity(usize::try_from(bytes).unwrap_or_default());
        let mut pieces = reader.whole();
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|error| {
                tracing::error!(error = stint_supervise::chain(&error), "read an object");
                EngineError::refused(Code::InternalServerError, "the object could not be read")
            })?;
            whole.extend_from_slice(&piece);
        }
        Ok(Bytes::from(whole))
    }
}
