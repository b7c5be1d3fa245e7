//! Reading a request's body: bounded in size, in time, and in what all bodies take together.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use stint_model::code::Code;
use stint_model::time::Span;
use stint_supervise::Clock;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::Problem;

/// Bodies up to this size are not counted: connections bound them.
const SMALL: u64 = 64 << 10;
/// A body that does not say its length is given room in steps of so many KiB.
const STEP_KIB: u32 = 1 << 10;

/// Room for large bodies, in KiB.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    kib: Arc<Semaphore>,
    clock: Clock,
    timeout: Span,
}

/// A body and the room it takes while the request is served.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) bytes: Bytes,
    pub(crate) room: Option<OwnedSemaphorePermit>,
}

impl Room {
    pub(crate) fn new(bytes_max: usize, timeout: Span, clock: Clock) -> Self {
        let kib = Arc::new(Semaphore::new((bytes_max / 1024).min(Semaphore::MAX_PERMITS)));
        Self { kib, clock, timeout }
    }

    /// Reads a whole body of at most `max` bytes. A body in one piece is not copied.
    pub(crate) async fn read(&self, body: Incoming, max: u64) -> Result<Read, Problem> {
        if body.is_end_stream() {
            return Ok(Read { bytes: Bytes::new(), room: None });
        }
        if body.size_hint().lower() > max {
            return Err(too_large(max));
        }
        let read = self.clock.within(self.timeout, self.gather(body, max)).await;
        read.unwrap_or_else(|| Err(Problem::invalid("the body did not arrive in time")))
    }

    async fn gather(&self, mut body: Incoming, max: u64) -> Result<Read, Problem> {
        let mut room = match body.size_hint().exact() {
            Some(len) if len > SMALL => Some(self.wait_for(len).await?),
            Some(_) | None => None,
        };
        let known = body.size_hint().exact().is_some();
        let (mut first, mut rest, mut total) = (Bytes::new(), BytesMut::new(), 0_u64);
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| Problem::invalid("the body broke off"))?;
            let Ok(piece) = frame.into_data() else { continue };
            total += piece.len() as u64;
            if total > max {
                return Err(too_large(max));
            }
            if !known && total > SMALL {
                self.grow(&mut room, total)?;
            }
            if first.is_empty() {
                first = piece;
            } else {
                if rest.is_empty() {
                    let left = body.size_hint().lower();
                    rest.reserve(first.len() + piece.len() + usize::try_from(left).unwrap_or(0));
                    rest.extend_from_slice(&first);
                }
                rest.extend_from_slice(&piece);
            }
        }
        Ok(Read { bytes: if rest.is_empty() { first } else { rest.freeze() }, room })
    }

    async fn wait_for(&self, len: u64) -> Result<OwnedSemaphorePermit, Problem> {
        let kib = u32::try_from(len.div_ceil(1024)).map_err(|_| no_room())?;
        Arc::clone(&self.kib).acquire_many_owned(kib).await.map_err(|_| no_room())
    }

    fn grow(&self, room: &mut Option<OwnedSemaphorePermit>, total: u64) -> Result<(), Problem> {
        let have = room.as_ref().map_or(0, OwnedSemaphorePermit::num_permits) as u64;
        if total <= have * 1024 {
            return Ok(());
        }
        // Not waited for: two half-read bodies could wait for each other for ever.
        let more = Arc::clone(&self.kib).try_acquire_many_owned(STEP_KIB).map_err(|_| no_room())?;
        match room {
            Some(room) => room.merge(more),
            None => *room = Some(more),
        }
        Ok(())
    }
}

fn too_large(max: u64) -> Problem {
    let message = format!("payload size exceeds maximum allowed size ({max} bytes)");
    Problem::new(Code::EntityTooLarge, message)
}

fn no_room() -> Problem {
    Problem::new(Code::ResourceThrottled, "too many large requests at once; try again")
}
