//! The book's ports: [`Store`], [`Journal`] and [`Blobs`]; the batch; the stored forms; the
//! in-memory store, which is the executable specification; and the conformance suite every backend
//! passes. Backends know records, versions and indexes, and no rule of the domain.

pub mod batch;
pub mod blobs;
pub mod conformance;
pub mod executions;
pub mod journal;
pub mod memory;
pub mod query;
pub mod record;
pub mod store;

pub use batch::{Batch, Committed, Document, Expect, Letter, Put, TaskRow};
pub use blobs::{BlobError, Blobs};
pub use executions::{
    ExecutionList, ExecutionQuery, Executions, HistoryChunk, ListedName, OpenExecution,
};
pub use journal::{Chunk, Journal, JournalError, JournalQuery, Scope};
pub use memory::{Fault, MemoryBlobs, MemoryJournal, MemoryStore};
pub use record::{Key, Kind, Record};
pub use store::{Class, CommitError, Opened, Page, Store, StoreError, TaskQuery};
