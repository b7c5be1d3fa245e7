//! The port of what delivers events, and the keyhole through which it sees the house.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use stint_model::id::AccountId;
use stint_model::time::{Span, Timestamp};
use stint_supervise::{Clock, Supervisor};
use thiserror::Error;

use crate::event::Event;
use crate::secret::{Secret, SecretRef};

/// How far a source is, in its own words; the engine keeps it in the commit of the tasks it stands for.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Cursor(String);

impl Cursor {
    /// The longest cursor in bytes: room for the offsets of a few thousand partitions.
    pub const BYTES_MAX: usize = 64 << 10;

    /// A cursor.
    ///
    /// # Errors
    /// [`SourceError::Broken`] when it is longer than [`Self::BYTES_MAX`].
    pub fn new(text: impl Into<String>) -> Result<Self, SourceError> {
        let text = text.into();
        if text.len() > Self::BYTES_MAX {
            let why = format!("its position takes {} bytes, more than can be kept", text.len());
            return Err(SourceError::Broken { what: "keep the position", why });
        }
        Ok(Self(text))
    }

    /// As the source wrote it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a kind of source promises about an event when servers are killed on both sides.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Promise {
    /// It has positions: exactly one task.
    ExactlyOnce,
    /// It is delivered again until it is settled: at least one task, and one per event id.
    AtLeastOnce,
    /// What is sent while nobody listens is gone.
    Lossy,
}

impl Promise {
    /// As it is shown.
    pub const fn word(self) -> &'static str {
        match self {
            Self::ExactlyOnce => "exactly-once",
            Self::AtLeastOnce => "at-least-once",
            Self::Lossy => "lossy",
        }
    }
}

/// How much one reading may hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Room {
    /// At most so many events; at least 1.
    pub events_max: usize,
    /// No further event once their data have so many bytes: the last one may pass it.
    pub bytes_max: usize,
    /// How long to wait for the first event. An empty reading after that is no failure.
    pub wait_max: Span,
}

impl Room {
    /// One event, waiting a second.
    pub const ONE: Self = Self { events_max: 1, bytes_max: 1 << 20, wait_max: Span::from_secs(1) };
}

/// What one `read` gave.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Reading {
    /// In the source's order.
    pub events: Vec<Event>,
    /// Where the source is once these events are done; sources without positions say nothing. A reading
    /// without events may still move it.
    pub cursor: Option<Cursor>,
    /// What `settle` is called with; rises with each reading of a source.
    pub receipt: u64,
}

/// Where a source begins.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Start {
    /// Whose source it is.
    pub origin: Origin,
    /// How far its predecessor was; go on just after that. Without one: where the settings say.
    pub cursor: Option<Cursor>,
    /// When the settings were made or changed, or the trigger was resumed: nothing was missed before.
    pub since: Timestamp,
}

/// The trigger that a source works for. As text (`account/function/trigger`) it names groups, clients and
/// durable subscriptions on the other side.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Origin {
    /// The account's id.
    pub account: AccountId,
    /// The function's name.
    pub function: String,
    /// The trigger's name.
    pub trigger: String,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.account, self.function, self.trigger)
    }
}

/// Delivers events. One at a time owns it: methods are never called at once. It is dropped wherever it
/// stands when the trigger is paused, changed or deleted or the server stops; whatever it had read and the
/// host did not settle is delivered to its successor.
#[async_trait]
pub trait Source: Send + fmt::Debug {
    /// Connects, and goes to where it starts. Called once. A source with positions that starts at the end
    /// gives its first reading at once, empty and with the cursor of that end: from then on nothing is
    /// passed over.
    ///
    /// # Errors
    /// See [`SourceError`]; the host opens another one later.
    async fn open(&mut self, host: Arc<dyn Host>, start: Start) -> Result<(), SourceError>;

    /// The next events: returns as soon as there is one, or when `room.wait_max` has passed.
    ///
    /// # Errors
    /// See [`SourceError`]; it is not read again after one.
    async fn read(&mut self, room: Room) -> Result<Reading, SourceError>;

    /// All readings up to this receipt are in the book, with their cursors. A source with positions may
    /// tell the other side, for its displays; one without acknowledges now.
    ///
    /// # Errors
    /// See [`SourceError`]; what could not be acknowledged comes again and is recognised.
    async fn settle(&mut self, receipt: u64) -> Result<(), SourceError>;

    /// How many events wait on the other side, as far as it is known without asking.
    fn lag(&self) -> Option<u64> {
        None
    }
}

/// What a source or destination may ask of the house.
#[async_trait]
pub trait Host: Send + Sync + fmt::Debug {
    /// The only time there is.
    fn clock(&self) -> &Clock;

    /// Runs what must go on beside `read`; what is spawned here ends with the source.
    fn supervisor(&self) -> &Supervisor;

    /// The secret of this name, of the trigger's account.
    ///
    /// # Errors
    /// [`SourceError::Credentials`] when there is none.
    async fn secret(&self, secret: &SecretRef) -> Result<Secret, SourceError>;

    /// Asks whether the operator lets triggers connect there. Ask before every connection: the name is
    /// resolved and each of its addresses judged.
    ///
    /// # Errors
    /// [`SourceError::Forbidden`], or [`SourceError::Unreachable`] when the name has no address.
    async fn may_reach(&self, host: &str, port: u16) -> Result<(), SourceError>;

    /// Asks whether the operator lets triggers look into this directory of the server.
    ///
    /// # Errors
    /// [`SourceError::Forbidden`]
    fn may_read(&self, directory: &Path) -> Result<(), SourceError>;
}

/// Whether trying again can help.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// By itself: the host pauses, longer each time, and opens the source again.
    Transient,
    /// Not before a person changes something: the trigger stands until it is changed or resumed.
    Permanent,
}

/// Why a source cannot go on. `what` reads after "failed to"; `why` is the other side's word, without
/// secrets.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum SourceError {
    /// Nobody answers, or the connection broke.
    #[error("{what}: {why}")]
    Unreachable {
        /// What was tried.
        what: &'static str,
        /// What came of it.
        why: String,
    },
    /// The other side does not accept who we are, or a secret is not there. They may be put right on
    /// either side, so it is tried again.
    #[error("{what}: {why}")]
    Credentials {
        /// What was tried.
        what: &'static str,
        /// What came of it.
        why: String,
    },
    /// The topic, queue, stream, table, bucket or directory is not there (yet).
    #[error("{what}: {why}")]
    Missing {
        /// What was tried.
        what: &'static str,
        /// What came of it.
        why: String,
    },
    /// The other side answered what it must not, or asks for something we cannot do.
    #[error("{what}: {why}")]
    Broken {
        /// What was tried.
        what: &'static str,
        /// What came of it.
        why: String,
    },
    /// The other side no longer has what comes after the cursor: going on would silently lose events.
    #[error("go on after the kept position: {why}")]
    Lost {
        /// What is gone.
        why: String,
    },
    /// The operator does not let triggers connect there.
    #[error("connect to {to}: {why}")]
    Forbidden {
        /// Host and port.
        to: String,
        /// Which rule.
        why: String,
    },
    /// The settings cannot work with what is there; another setting could.
    #[error("{what}: {why}")]
    Misconfigured {
        /// What was tried.
        what: &'static str,
        /// What should be said instead.
        why: String,
    },
}

impl SourceError {
    /// Whether the host opens the source again by itself.
    pub const fn class(&self) -> Class {
        match self {
            Self::Unreachable { .. }
            | Self::Credentials { .. }
            | Self::Missing { .. }
            | Self::Broken { .. } => Class::Transient,
            Self::Lost { .. } | Self::Forbidden { .. } | Self::Misconfigured { .. } => {
                Class::Permanent
            }
        }
    }
}
