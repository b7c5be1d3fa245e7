//! Where work comes from and where results go: *sources* that deliver events, *destinations* that take
//! messages, one file per kind, behind two narrow ports. Nothing here sees the book, chooses a node or
//! knows what a task is: the engine hosts a source, turns its events into tasks, and remembers how far it
//! is.
//!
//! # Writing a kind
//!
//! 1. Copy `kind/memory.rs` to `kind/NAME.rs`. It is the smallest source there is, and its tests are the
//!    laws every source keeps.
//! 2. Write its **settings**: a `serde` struct with `deny_unknown_fields` and `rename_all = "camelCase"`,
//!    read with [`settings::read`] and then checked by hand, so that a bad field is refused by its path
//!    with what would be right. Every number has a bound, every text a length. What is secret is a
//!    [`SecretRef`] (`{"secret": "name"}`) and never a text.
//! 3. Write the **source** ([`Source`]). Its life, as the host leads it:
//!
//!    ```text
//!    open(host, start) ─►  read(room) ─► [events become tasks, cursor is kept: one commit] ─► settle(receipt) ─┐
//!         ▲   │               ▲  │                                                                            │
//!         │   └─ SourceError ─┼──┴─ SourceError: it is dropped, shown, and opened again after a growing pause  │
//!         │                   └───────────────────────────────────────────────────────────────────────────────┘
//!         └─ paused, changed, stopped: it is dropped wherever it is, also within `read`
//!    ```
//!
//!    - `read` returns what is there, at most as much as the [`Room`], and waits at most as long as it says.
//!      Not being read is the backpressure: the host does not call `read` while the backlog is full. What
//!      must go on meanwhile (a heartbeat, a client's event loop) runs as a task under
//!      [`Host::supervisor`], behind a bounded channel.
//!    - A source with **positions** ([`Promise::ExactlyOnce`]) gives a [`Cursor`] with every reading and
//!      starts after the one it is opened with, whatever the other side believes was acknowledged.
//!    - A source **without** ([`Promise::AtLeastOnce`]) acknowledges in `settle`, and never before; what was
//!      not settled comes again, under the same [`Event::id`].
//!    - A failure is a [`SourceError`] whose variant says what a person should look at. The texts never
//!      hold a secret.
//! 4. Add it to [`kind::Kind`] and [`kind::Settings`]: the compiler then asks for the rest.
//! 5. Run the laws against the real thing: implement [`conformance::Rig`] over a server that the test
//!    starts on a free port, and say `stint_connect::source_conformance!(rig);`.
//!
//! A **destination** ([`Destination`]) is one method: `deliver` returns when the other side has the message
//! for good. The host keeps it, tries again for as long as the error says that it may help, and gives the
//! same [`Message::id`] each time.
#![warn(missing_docs)]

pub mod calendar;
pub mod cloudevents;
pub mod conformance;
pub mod delivery;
pub mod destination;
pub mod event;
pub mod kind;
pub mod network;
pub mod path;
pub mod pattern;
pub mod reach;
pub mod secret;
pub mod settings;
pub mod source;
pub mod target;
pub mod template;
#[cfg(test)]
mod testbed;

pub use delivery::{Delivery, OrderKey, Parcel};
pub use destination::{DeliverError, Destination, Message};
pub use event::{Data, Event};
pub use kind::{Kind, Settings, Shape};
pub use secret::{Secret, SecretRef};
pub use settings::ConfigError;
pub use source::{Class, Cursor, Host, Origin, Promise, Reading, Room, Source, SourceError, Start};
pub use target::{Target, TargetKind};
