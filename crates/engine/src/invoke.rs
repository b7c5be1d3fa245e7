//! A sync invocation takes the short path: admission by the home shard, a warm or cold instance, the
//! answer streamed back. Nothing is committed.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use stint_model::access::Caller;
use stint_model::code::{Code, Refusal};
use stint_model::id::{InstanceId, RequestId};
use stint_model::link::{AnswerHead, Outcome, StopReason};
use stint_model::task::{Measured, request_text};
use stint_model::time::{Span, Timestamp};
use tokio::sync::Notify;

use crate::access::Operation;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::sessions::{SessionSaid, Visit};
use crate::shard::{Call, Input};
use crate::submit::FunctionRef;

/// The most bytes of a streamed answer that wait for a slow caller before the call is ended.
const STREAM_BYTES_MAX: usize = 64 << 20;

/// A call somebody waits for.
#[derive(Clone, Debug, Default)]
pub struct Invoke {
    /// What the user code gets.
    pub payload: Bytes,
    /// The request's id; ours if absent.
    pub request_id: Option<String>,
    /// Keep the last 4 KB of the log.
    pub log_tail: bool,
    /// Which session it belongs to.
    pub session: SessionSaid,
}

/// What came back, or is coming back.
#[derive(Debug)]
pub struct Answer {
    /// The request's id.
    pub request_id: Arc<str>,
    /// "LATEST" or the version's number that served.
    pub version: Arc<str>,
    /// CRC-64 of the code that served.
    pub code_crc64: Option<u64>,
    /// The session it belonged to, and when that ends.
    pub session: Option<(Arc<str>, Timestamp)>,
    /// The beginning: either all is known, or a stream has begun.
    pub body: AnswerBody,
}

/// The answer's bytes.
#[derive(Debug)]
pub enum AnswerBody {
    /// The call has ended; everything is here.
    Whole(Ended),
    /// A custom server streams: its head, then pieces, then the end.
    Stream(AnswerHead, AnswerStream),
}

/// How a call ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// How.
    pub outcome: Outcome,
    /// The result or the error body; empty at the end of a stream.
    pub body: Bytes,
    /// Which instance, and what it took.
    pub measured: Measured,
    /// The last 4 KB of the log, when asked for.
    pub log_tail: Bytes,
}

impl Ended {
    /// Which instance served.
    pub fn instance(&self) -> Option<InstanceId> {
        self.measured.instance
    }

    /// Time in user code; of what ended before it got there, the time in the instance.
    pub fn duration(&self) -> Span {
        let Measured { placed_at, started_at, ended_at, .. } = self.measured;
        ended_at.since(if started_at == Timestamp::ZERO { placed_at } else { started_at })
    }
}

/// A running answer. Dropping it before the end tells the node that the caller is gone.
#[derive(Debug)]
pub struct AnswerStream {
    slot: Arc<CallSlot>,
    engine: Engine,
}

/// A piece of a running answer.
#[derive(Clone, Debug)]
pub enum Piece {
    /// Bytes.
    Bytes(Bytes),
    /// The end.
    End(Box<Ended>),
}

impl AnswerStream {
    /// The next piece; `None` after the end. Safe to drop.
    pub async fn next(&mut self) -> Option<Piece> {
        self.slot.next().await
    }
}

impl Drop for AnswerStream {
    fn drop(&mut self) {
        if !self.slot.is_over() {
            self.engine.abandon(&self.slot);
        }
    }
}

/// Where the link puts what a node says about one call, and the caller finds it.
#[derive(Debug)]
pub(crate) struct CallSlot {
    pub(crate) work: u64,
    pub(crate) shard: stint_model::shard::Shard,
    parts: Mutex<Parts>,
    changed: Notify,
    /// Its session hears of its end when nobody holds this any more.
    visit: OnceLock<Visit>,
}

#[derive(Debug, Default)]
struct Parts {
    refused: Option<Refusal>,
    head: Option<AnswerHead>,
    pieces: VecDeque<Bytes>,
    bytes: usize,
    ended: Option<Ended>,
    taken: bool,
}

impl CallSlot {
    pub(crate) fn new(work: u64, shard: stint_model::shard::Shard) -> Self {
        Self {
            work,
            shard,
            parts: Mutex::default(),
            changed: Notify::new(),
            visit: OnceLock::new(),
        }
    }

    fn parts(&self) -> std::sync::MutexGuard<'_, Parts> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// User code was entered in this instance.
    pub(crate) fn seated(&self, instance: Option<InstanceId>) {
        if let (Some(visit), Some(instance)) = (self.visit.get(), instance) {
            visit.seated(instance);
        }
    }

    pub(crate) fn refuse(&self, refusal: Refusal) {
        self.parts().refused = Some(refusal);
        self.changed.notify_one();
    }

    pub(crate) fn head(&self, head: AnswerHead) {
        self.parts().head = Some(head);
        self.changed.notify_one();
    }

    /// False when the caller is too slow: the call must be ended.
    pub(crate) fn push(&self, bytes: Bytes) -> bool {
        let mut parts = self.parts();
        parts.bytes += bytes.len();
        parts.pieces.push_back(bytes);
        let fits = parts.bytes <= STREAM_BYTES_MAX;
        drop(parts);
        self.changed.notify_one();
        fits
    }

    pub(crate) fn end(&self, ended: Ended) {
        self.parts().ended = Some(ended);
        self.changed.notify_one();
    }

    /// The call is ended from outside: a caller that has nothing yet is told why, one that reads a
    /// stream sees it break.
    pub(crate) fn cut(&self, refusal: Refusal) {
        let mut parts = self.parts();
        parts.refused = Some(refusal);
        parts.ended = Some(Ended {
            outcome: Outcome::Stopped(StopReason::Stopped),
            body: Bytes::new(),
            measured: Measured::default(),
            log_tail: Bytes::new(),
        });
        drop(parts);
        self.changed.notify_one();
    }

    fn is_over(&self) -> bool {
        let parts = self.parts();
        parts.ended.is_some() || parts.taken || parts.refused.is_some()
    }

    /// The refusal, the whole answer, or the head of a stream.
    async fn begin(&self) -> Result<Begun, Refusal> {
        loop {
            {
                let mut parts = self.parts();
                if let Some(refusal) = parts.refused.take() {
                    parts.taken = true;
                    return Err(refusal);
                }
                if parts.head.is_none()
                    && let Some(ended) = parts.ended.take()
                {
                    parts.taken = true;
                    return Ok(Begun::Whole(ended));
                }
                if let Some(head) = parts.head.take() {
                    return Ok(Begun::Stream(head));
                }
            }
            self.changed.notified().await;
        }
    }

    async fn next(&self) -> Option<Piece> {
        loop {
            {
                let mut parts = self.parts();
                if let Some(bytes) = parts.pieces.pop_front() {
                    parts.bytes -= bytes.len();
                    return Some(Piece::Bytes(bytes));
                }
                if let Some(ended) = parts.ended.take() {
                    parts.taken = true;
                    return Some(Piece::End(Box::new(ended)));
                }
                if parts.taken {
                    return None;
                }
            }
            self.changed.notified().await;
        }
    }
}

enum Begun {
    Whole(Ended),
    Stream(AnswerHead),
}

impl Engine {
    /// Calls a function and waits for the beginning of its answer.
    ///
    /// # Errors
    /// Refusals of §2.4; `ResourceExhausted` at a limit, `ResourceThrottled` without room.
    pub async fn invoke(
        &self,
        caller: &Caller,
        function: &FunctionRef,
        invoke: Invoke,
    ) -> Result<Answer, EngineError> {
        let door = self.door(caller, Operation::Invoke, function)?;
        let bytes_max = self.config().payload_bytes_max;
        if invoke.payload.len() as u64 > bytes_max {
            let message = format!("payload size exceeds maximum allowed size ({bytes_max} bytes)");
            return Err(EngineError::refused(Code::EntityTooLarge, message));
        }
        let random = self.random_u128();
        let request_id = match &invoke.request_id {
            Some(given) => Arc::from(given.as_str()),
            None => request_text(RequestId::new(self.clock().now(), random)),
        };
        let session = self.begin_session(&door.entry, &function.qualifier, &invoke.session)?;
        let draw = match &session {
            Some(session) => session.draw,
            None => u32::try_from(random % 1_000_000).expect("below a million"),
        };
        let target = door.entry.resolve(&function.qualifier, draw)?;
        let slot = self.open_call(door.shard);
        let (seat, session) = match session {
            None => (None, None),
            Some(begun) => {
                slot.visit.set(begun.visit).expect("made just now");
                (Some(begun.seat), Some((begun.id, begun.ends_at)))
            }
        };
        let guard = AnswerStream { slot: Arc::clone(&slot), engine: self.clone() };
        let call = Call {
            slot: Arc::clone(&slot),
            function: door.entry.function.id,
            qualifier: door.qualifier,
            revision: Arc::clone(&target.revision),
            version: Arc::clone(&target.version_label),
            request_id: Arc::clone(&request_id),
            payload: invoke.payload,
            log_tail: invoke.log_tail,
            session: seat,
        };
        self.tell_shard(door.shard, Input::Call(Box::new(call))).await?;
        let begun = slot.begin().await;
        let body = match begun? {
            Begun::Whole(ended) => AnswerBody::Whole(ended),
            Begun::Stream(head) => AnswerBody::Stream(head, guard),
        };
        let code_crc64 = target.revision.code.as_ref().map(|code| code.crc64);
        Ok(Answer { request_id, version: target.version_label, code_crc64, session, body })
    }
}
