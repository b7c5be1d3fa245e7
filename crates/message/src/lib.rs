//! The message service: queues and topics on the book. One loop owns them all (shard
//! [`stint_model::shard::Shard::MESSAGES`]) and is the only one who commits them; memory is a cache of
//! the book, which is read again after a crash or a failed commit.
//!
//! What must stay true, whatever fails:
//! - A message whose sending was answered is in the book until it is deleted, put aside as a dead
//!   letter, or past its retention.
//! - A receive hides the message for the visibility time under a receipt handle of its own; at most one
//!   handle is good at a time, and only while the message is hidden. Any other is refused.
//! - A deletion that was answered is for ever.
//! - A publication and what it puts into queues and outboxes are one commit.
//!
//! Modules in the order of a message's life; what it stands on comes after it.
#![warn(missing_docs)]

mod messages;
mod notify;
mod queues;
mod shelf;
mod topics;

mod access;
mod config;
mod error;
mod format;
mod run;
mod service;
mod state;

pub use access::Operation;
pub use config::MessageConfig;
pub use error::MessageError;
pub use format::md5_hex;
pub use messages::{Outgoing, Received, SentInfo};
pub use notify::{Endpoints, FunctionCall, Post, PushError};
pub use queues::{QueuePatch, QueueView};
pub use service::{MessageParts, Messages, Wanted, start};
pub use topics::{Publication, SubscriptionPatch, TopicPatch, TopicView};
