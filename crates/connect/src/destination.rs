//! The port of what takes messages: outcomes of tasks, dead letters, results of steps.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use thiserror::Error;

use crate::source::{Class, Host, SourceError};

/// What is delivered.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Message {
    /// The same at every try, and of nothing else: what the other side may recognise it by.
    pub id: String,
    /// The media type of the body.
    pub content_type: String,
    /// The attributes of CloudEvents beside `id`, and headers of the kind's own.
    pub attributes: BTreeMap<String, String>,
    /// Messages of one key stay in order where the other side has such a thing.
    pub key: Option<String>,
    /// The body.
    pub body: Bytes,
}

/// Takes messages. Cheap to call at once from several places; it connects when it must and keeps its
/// connection.
#[async_trait]
pub trait Destination: Send + Sync + fmt::Debug {
    /// Returns when the other side has the message for good. A message may arrive twice, never not at all.
    ///
    /// # Errors
    /// See [`DeliverError`]: its class decides whether it is tried again.
    async fn deliver(&self, host: Arc<dyn Host>, message: &Message) -> Result<(), DeliverError>;
}

/// Why a message was not taken.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum DeliverError {
    /// The way there failed, as it does for sources.
    #[error(transparent)]
    Way(#[from] SourceError),
    /// The other side is there and cannot take it now.
    #[error("deliver: {0}")]
    Busy(String),
    /// The other side will never take this message: too large, not allowed, not understood.
    #[error("deliver: {0}")]
    Refused(String),
}

impl DeliverError {
    /// Whether it is tried again.
    pub const fn class(&self) -> Class {
        match self {
            Self::Way(error) => error.class(),
            Self::Busy(_) => Class::Transient,
            Self::Refused(_) => Class::Permanent,
        }
    }
}

/// A destination in memory, for tests: keeps what it is given, once per id, and fails on demand.
#[derive(Clone, Debug, Default)]
pub struct MemoryDestination {
    kept: Arc<Mutex<Kept>>,
}

#[derive(Debug, Default)]
struct Kept {
    messages: Vec<Message>,
    failures: Vec<DeliverError>,
}

impl MemoryDestination {
    /// What it has, in the order of arrival.
    pub fn messages(&self) -> Vec<Message> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).messages.clone()
    }

    /// The next delivery fails so; said twice, the next two.
    pub fn fail_next(&self, error: DeliverError) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).failures.push(error);
    }
}

#[async_trait]
impl Destination for MemoryDestination {
    async fn deliver(&self, _: Arc<dyn Host>, message: &Message) -> Result<(), DeliverError> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if !kept.failures.is_empty() {
            return Err(kept.failures.remove(0));
        }
        if !kept.messages.iter().any(|known| known.id == message.id) {
            kept.messages.push(message.clone());
        }
        Ok(())
    }
}
