//! The embedded book: one SQLite file with one writer thread and group commit, the journal beside it,
//! blobs in a directory or an object store, and the tools that keep all of it: backup, restore,
//! verify, and the guard over free space.
//!
//! A data directory holds `lock` (one process at a time), `book.db` (what an acknowledgement
//! promises), `search.db` (derived from the book; may be thrown away), `journal.db` and `blobs/`.
//!
//! Row operations per task: submit writes two rows (`task`, `task_open`; one more, `task_chosen`, when
//! the client chose an id), the final settle writes one (`task_life`) and deletes one (`task_open`).
//! The `task` row with its payload is never written again. Each commit writes two more rows, however
//! many tasks it carries.
#![warn(missing_docs)]

mod backup;
mod blobs;
mod config;
mod disk;
mod figure;
mod format;
mod journal;
mod lock;
mod read;
mod schema;
mod search;
mod store;
mod writer;

pub use backup::{BackupError, Copied, Progress, Verified, backup, restore, verify};
pub use blobs::{LocalBlobs, ObjectBlobs, S3Config};
pub use config::{JournalConfig, SqliteConfig};
pub use disk::{DiskConfig, DiskGuard};
pub use figure::describe_metrics;
pub use journal::SqliteJournal;
pub use lock::DirLock;
pub use store::{OpenError, SqliteStore};
