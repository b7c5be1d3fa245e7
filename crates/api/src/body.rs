//! Reading a request's body: bounded in size, in time, and in what all bodies take together.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::header::EXPECT;
use http::request::Parts;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use stint_model::code::Code;
use stint_model::time::Span;
use stint_supervise::{Clock, Guests, Stop};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::Problem;

/// Bodies up to this size are not counted: connections bound them.
const SMALL: u64 = 64 << 10;
/// A body that does not say its length is given room in steps of so many KiB.
const STEP_KIB: u32 = 1 << 10;
/// So much of a refused body is read and thrown away …
const DRAIN_BYTES_MAX: u64 = 256 << 20;
/// … for so long.
const DRAIN_TIME_MAX: Span = Span::from_secs(30);

/// Where refused bodies go. Most clients send all they have before they look for an answer: were the
/// connection closed on them meanwhile, they would see a broken pipe and not why they were refused.
#[derive(Debug)]
pub(crate) struct Drains {
    guests: Guests,
    clock: Clock,
}

impl Drains {
    pub(crate) fn new(guests: Guests, clock: Clock) -> Arc<Self> {
        Arc::new(Self { guests, clock })
    }
}

/// A body on its way. Dropped before its end it goes on being read beside the answer, within bounds,
/// and past them the connection is closed.
#[derive(Debug)]
pub(crate) struct Arriving {
    body: Option<Incoming>,
    /// The client sends nothing before it is told to.
    waits: bool,
    drains: Arc<Drains>,
}

impl Arriving {
    pub(crate) fn new(parts: &Parts, body: Incoming, drains: Arc<Drains>) -> Self {
        let waits = parts.headers.contains_key(EXPECT);
        Self { body: Some(body), waits, drains }
    }

    fn lower(&self) -> u64 {
        self.body.as_ref().map_or(0, |body| body.size_hint().lower())
    }

    fn exact(&self) -> Option<u64> {
        self.body.as_ref().map_or(Some(0), |body| body.size_hint().exact())
    }

    fn is_over(&self) -> bool {
        self.body.as_ref().is_none_or(Incoming::is_end_stream)
    }

    /// The next piece of data; `None` at the end.
    async fn piece(&mut self) -> Result<Option<Bytes>, Problem> {
        self.waits = false;
        while let Some(body) = &mut self.body {
            match body.frame().await {
                Some(Ok(frame)) => {
                    if let Ok(piece) = frame.into_data() {
                        return Ok(Some(piece));
                    }
                }
                Some(Err(_)) => {
                    self.give_up();
                    return Err(Problem::invalid("the body broke off"));
                }
                None => self.give_up(),
            }
        }
        Ok(None)
    }

    /// Nothing more of it is wanted, not even to throw it away.
    fn give_up(&mut self) {
        self.body = None;
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        let Some(body) = self.body.take().filter(|body| !body.is_end_stream()) else { return };
        if self.waits {
            return;
        }
        if let Some(guest) = self.drains.guests.try_admit() {
            let clock = self.drains.clock.clone();
            guest.spawn(|stop| drain(body, clock, stop));
        }
    }
}

async fn drain(mut body: Incoming, clock: Clock, stop: Stop) {
    let reading = async {
        let mut total = 0_u64;
        while let Some(Ok(frame)) = body.frame().await {
            total += frame.data_ref().map_or(0, Bytes::len) as u64;
            if total > DRAIN_BYTES_MAX {
                break;
            }
        }
    };
    // Only throws away: dropping it loses nothing.
    let read = stop.until(clock.within(DRAIN_TIME_MAX, reading)).await;
    if read != Some(Some(())) {
        tracing::debug!("a refused body did not come to its end in time");
    }
}

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
    pub(crate) async fn read(&self, mut body: Arriving, max: u64) -> Result<Read, Problem> {
        if body.is_over() {
            return Ok(Read { bytes: Bytes::new(), room: None });
        }
        if body.lower() > max {
            return Err(too_large(max));
        }
        let read = self.clock.within(self.timeout, self.gather(&mut body, max)).await;
        read.unwrap_or_else(|| {
            body.give_up();
            Err(Problem::invalid("the body did not arrive in time"))
        })
    }

    async fn gather(&self, body: &mut Arriving, max: u64) -> Result<Read, Problem> {
        let known = body.exact();
        let mut room = match known {
            Some(len) if len > SMALL => Some(self.wait_for(len).await?),
            Some(_) | None => None,
        };
        let (mut first, mut rest, mut total) = (Bytes::new(), BytesMut::new(), 0_u64);
        while let Some(piece) = body.piece().await? {
            total += piece.len() as u64;
            if total > max {
                return Err(too_large(max));
            }
            if known.is_none() && total > SMALL {
                self.grow(&mut room, total)?;
            }
            if first.is_empty() {
                first = piece;
            } else {
                if rest.is_empty() {
                    let left = usize::try_from(body.lower()).unwrap_or(0);
                    rest.reserve(first.len() + piece.len() + left);
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
