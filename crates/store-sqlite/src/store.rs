//! [`SqliteStore`]: the handle. It takes batches apart and encodes them on the caller's thread, hands
//! them to the writer, and reads through the pool.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use rusqlite::Connection;
use stint_model::execution::Execution;
use stint_model::id::{ExecutionUid, FunctionId, TaskUid};
use stint_model::shard::Shard;
use stint_model::task::Task;
use stint_model::time::Timestamp;
use stint_store::{
    Batch, CommitError, Committed, ExecutionQuery, Executions, HistoryChunk, Key, Kind, Letter,
    ListedName, OpenExecution, Opened, Page, Record, Store, StoreError, TaskQuery,
};
use stint_supervise::{OnExit, Supervisor};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot, watch};

use crate::config::SqliteConfig;
use crate::lock::DirLock;
use crate::read::{Readers, executions, rows};
use crate::schema;
use crate::search::{Pending, Search};
use crate::writer::{Request, Writer, checkpoint, encode, log};

/// Why a file did not open.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The data directory cannot be used.
    #[error("use the data directory {}", path.display())]
    Directory {
        /// What was touched.
        path: PathBuf,
        /// The system's words.
        #[source]
        source: std::io::Error,
    },
    /// Another process has it.
    #[error(
        "open {}: {} uses it; stop that one first or choose another --data directory",
        dir.display(),
        pid.map_or("another process".to_owned(), |pid| format!("process {pid}"))
    )]
    AlreadyOpen {
        /// The data directory.
        dir: PathBuf,
        /// Whose it is, when the lock file says.
        pid: Option<u32>,
    },
    /// Made by a newer Stint.
    #[error(
        "open {}: its data format is {found} and this program knows up to {known}; use the newer program",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// Made by a Stint so old that no step leads from there.
    #[error(
        "open {}: no step leads from its data format {found} to ours; upgrade through an older program",
        path.display()
    )]
    TooOld {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// Not ours.
    #[error("open {}: it is not a {name} of Stint", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What was expected.
        name: &'static str,
    },
    /// The file does not open or migrate.
    #[error("prepare {}", path.display())]
    Prepare {
        /// The file.
        path: PathBuf,
        /// SQLite's words.
        #[source]
        source: rusqlite::Error,
    },
    /// A thread does not start.
    #[error("start a thread of the store")]
    Thread {
        /// The system's words.
        #[source]
        source: std::io::Error,
    },
}

/// The embedded store. Cheap to clone; the writer and its helpers end with the supervisor's stop, or
/// when the last handle is gone.
#[derive(Clone, Debug)]
pub struct SqliteStore {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    inbox: mpsc::Sender<Request>,
    readers: Readers,
    search: Search,
    mail: Arc<Mail>,
}

/// Which shards have letters that their owner was not told of.
#[derive(Debug)]
pub(crate) struct Mail {
    waiting: Mutex<BTreeSet<Shard>>,
    /// Sent on every letter and once, as `true`, when the book closes.
    changed: watch::Sender<bool>,
}

impl Mail {
    fn new() -> Self {
        Self { waiting: Mutex::default(), changed: watch::Sender::new(false) }
    }

    pub(crate) fn put(&self, shards: impl IntoIterator<Item = Shard>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let before = waiting.len();
        waiting.extend(shards);
        let grew = waiting.len() > before;
        drop(waiting);
        if grew {
            self.changed.send_modify(|_| ());
        }
    }

    pub(crate) fn close(&self) {
        self.changed.send_replace(true);
    }

    fn take(&self, shard: Shard) -> bool {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&shard)
    }

    async fn wait(&self, shard: Shard) -> Option<()> {
        let mut changed = self.changed.subscribe();
        loop {
            let closed = *changed.borrow_and_update();
            if self.take(shard) {
                return Some(());
            }
            if closed || changed.changed().await.is_err() {
                return None;
            }
        }
    }
}

impl SqliteStore {
    /// Opens or makes the book in the directory, which is locked for this process.
    ///
    /// # Errors
    /// When another process has it, the format is newer, or a file cannot be used.
    pub fn open(config: &SqliteConfig, supervisor: &Supervisor) -> Result<Self, OpenError> {
        let lock = Arc::new(DirLock::take(&config.dir)?);
        let path = config.dir.join("book.db");
        let failed = |source| OpenError::Prepare { path: path.clone(), source };
        if !log::path_of(&path).exists() {
            drop(open_writer(&path, config)?);
            // Without room for it the log grows as it always did.
            if let Err(error) = log::make_ready(&path, config.log_bytes_ready) {
                tracing::warn!(%error, "the log's file could not be made beforehand");
            }
        }
        let conn = open_writer(&path, config)?;
        let readers = Readers::open(&path, config, supervisor).map_err(failed)?;
        let pending = Arc::new(Pending::load(&conn).map_err(failed)?);
        let search = Search::open(config, (&pending, Arc::clone(&lock)), supervisor)?;
        let (inbox, requests) = mpsc::channel(config.inbox.max(1));
        let mail = Arc::new(Mail::new());
        let writer = Writer::new(config, requests, (Arc::clone(&mail), pending), supervisor);
        let nudge = writer.checkpoint_nudge();
        let runtime = tokio::runtime::Handle::current();
        let thread_failed = |source| OpenError::Thread { source };
        let held = Arc::clone(&lock);
        let run = move |stop| {
            let ended = writer.run(conn, &runtime, &stop);
            drop(held);
            ended
        };
        supervisor
            .thread("store/writer", OnExit::StopServer, run)
            .map_err(thread_failed)
            .map(drop)?;
        checkpoint::start(config, (nudge, lock), supervisor)?;
        Ok(Self { shared: Arc::new(Shared { inbox, readers, search, mail }) })
    }

    /// The latest time the book in the directory has seen; zero when there is none or it cannot be
    /// read (opening it will say why). A clock starts there, so that time goes on after a restart
    /// even when the wall clock was set back meanwhile.
    pub fn last_seen(dir: &Path) -> Timestamp {
        use rusqlite::OpenFlags;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let seen = Connection::open_with_flags(dir.join("book.db"), flags).and_then(|conn| {
            let latest = "SELECT coalesce(max(seen_at), 0) FROM shard";
            conn.query_row(latest, [], |row| row.get::<_, i64>(0))
        });
        seen.map_or(Timestamp::ZERO, Timestamp::from_micros)
    }

    /// Waits until the search index has seen every change that was committed before the call.
    pub async fn search_settled(&self) {
        self.shared.search.settled().await;
    }

    async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<T>) -> Request,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.shared.inbox.send(request(reply)).await.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        if self.shared.inbox.is_closed() {
            return Err(StoreError::Closed);
        }
        self.shared.readers.run(work).await
    }
}

/// The connection that commits, on a book of our format.
fn open_writer(path: &Path, config: &SqliteConfig) -> Result<Connection, OpenError> {
    let failed = |source| OpenError::Prepare { path: path.to_owned(), source };
    let mut conn = Connection::open(path).map_err(failed)?;
    schema::tune_writer(&conn, config).map_err(failed)?;
    schema::BOOK.prepare(&mut conn, path)?;
    Ok(conn)
}

#[async_trait]
impl Store for SqliteStore {
    async fn shard_open(&self, shard: Shard, now: Timestamp) -> Result<Opened, StoreError> {
        self.ask(|reply| Request::Open { shard, now, reply }).await?
    }

    async fn commit(&self, batch: Batch) -> Result<Committed, CommitError> {
        let batch = encode::batch(batch);
        self.ask(|reply| Request::Commit { batch, reply }).await?
    }

    async fn record_get(&self, key: &Key) -> Result<Option<Record>, StoreError> {
        let key = key.clone();
        self.read(move |conn| rows::record_get(conn, key)).await
    }

    async fn record_list(
        &self,
        kind: Kind,
        prefix: &str,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<Record>, StoreError> {
        let (prefix, cursor) = (prefix.to_owned(), cursor.map(str::to_owned));
        self.read(move |conn| {
            rows::record_list(conn, kind, (&prefix, cursor.as_deref()), limit.max(1))
        })
        .await
    }

    async fn task_get(&self, uids: &[TaskUid]) -> Result<Vec<Option<Task>>, StoreError> {
        if uids.is_empty() {
            return Ok(Vec::new());
        }
        let uids = uids.to_vec();
        self.read(move |conn| rows::task_get(conn, &uids)).await
    }

    async fn task_find(
        &self,
        chosen: &[(FunctionId, String)],
    ) -> Result<Vec<Option<TaskUid>>, StoreError> {
        if chosen.is_empty() {
            return Ok(Vec::new());
        }
        let chosen = chosen.to_vec();
        self.read(move |conn| rows::task_find(conn, &chosen)).await
    }

    async fn task_list(&self, query: &TaskQuery) -> Result<Page<Task>, StoreError> {
        let (query, search) = (query.clone(), self.shared.search.clone());
        self.read(move |conn| search.list(conn, &query)).await
    }

    async fn task_count(&self, query: &TaskQuery) -> Result<u64, StoreError> {
        let (query, search) = (query.clone(), self.shared.search.clone());
        self.read(move |conn| search.count(conn, &query)).await
    }

    async fn task_open(
        &self,
        shard: Shard,
        after: Option<TaskUid>,
        limit: usize,
    ) -> Result<Vec<Task>, StoreError> {
        self.read(move |conn| rows::task_open(conn, shard, after, limit)).await
    }

    async fn task_old(
        &self,
        shard: Shard,
        before: Timestamp,
        limit: usize,
    ) -> Result<Vec<TaskUid>, StoreError> {
        self.read(move |conn| rows::task_old(conn, shard, before, limit)).await
    }

    async fn letter_list(&self, to: Shard, limit: usize) -> Result<Vec<Letter>, StoreError> {
        self.read(move |conn| rows::letter_list(conn, to, limit)).await
    }

    async fn change_wait(&self, to: Shard) -> Option<()> {
        self.shared.mail.wait(to).await
    }

    async fn figures(&self) -> Result<Vec<(&'static str, u64)>, StoreError> {
        let lag = self.shared.search.lag();
        let mut figures = self.read(rows::figures).await?;
        figures.push(("search_lag", lag));
        Ok(figures)
    }
}

#[async_trait]
impl Executions for SqliteStore {
    async fn execution_get(
        &self,
        uids: &[ExecutionUid],
    ) -> Result<Vec<Option<Execution>>, StoreError> {
        let uids = uids.to_vec();
        self.read(move |conn| executions::get(conn, &uids)).await
    }

    async fn execution_document(
        &self,
        uids: &[ExecutionUid],
    ) -> Result<Vec<Option<Bytes>>, StoreError> {
        let uids = uids.to_vec();
        self.read(move |conn| executions::document(conn, &uids)).await
    }

    async fn execution_find(
        &self,
        names: &[ListedName],
    ) -> Result<Vec<Option<ExecutionUid>>, StoreError> {
        let names = names.to_vec();
        self.read(move |conn| executions::find(conn, &names)).await
    }

    async fn execution_list(&self, query: &ExecutionQuery) -> Result<Page<Execution>, StoreError> {
        let query = query.clone();
        self.read(move |conn| executions::list(conn, &query)).await
    }

    async fn execution_open(
        &self,
        shard: Shard,
        after: Option<ExecutionUid>,
        limit: usize,
    ) -> Result<Vec<OpenExecution>, StoreError> {
        self.read(move |conn| executions::open(conn, shard, after, limit)).await
    }

    async fn execution_old(
        &self,
        shard: Shard,
        before: Timestamp,
        limit: usize,
    ) -> Result<Vec<ExecutionUid>, StoreError> {
        self.read(move |conn| executions::old(conn, shard, before, limit)).await
    }

    async fn history_list(
        &self,
        execution: ExecutionUid,
        from: (u64, bool),
        limit: usize,
    ) -> Result<Vec<HistoryChunk>, StoreError> {
        self.read(move |conn| executions::history(conn, execution, from, limit)).await
    }
}
