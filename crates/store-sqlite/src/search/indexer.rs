//! Writes the index behind the commits: when the store is quiet for a moment, when something has
//! waited for a second, or when enough has gathered. Ten changes of one task in that time cost one
//! write. A missing or unreadable index is made again by walking the book.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use metrics::gauge;
use rusqlite::{Connection, OptionalExtension as _, params};
use stint_model::task::Task;
use stint_model::time::{Span, Timestamp};
use stint_store::StoreError;
use stint_supervise::{Clock, OnExit, Stop, Supervisor};
use tokio::runtime::Handle;

use super::Shared;
use crate::config::SqliteConfig;
use crate::figure;
use crate::lock::DirLock;
use crate::read::rows::task_of;
use crate::read::{failed, open_reader};
use crate::schema;
use crate::store::OpenError;
use crate::writer::lossy;

/// Nothing was committed for this long: a good time to index.
const QUIET: Span = Span::from_millis(50);
/// Nothing waits longer than this when the indexer keeps up.
const PATIENCE: Span = Span::from_secs(1);
/// Rows of one transaction of the index.
const STEP_ROWS: usize = 4_096;
/// After a failure (a full disk, say) it tries again this much later.
const PAUSE: Span = Span::from_secs(5);

/// Opens the file for writing; makes it anew when it is not usable. Also says whether it is complete.
pub(super) fn open(path: &Path) -> Result<(Connection, bool), OpenError> {
    match open_once(path) {
        Ok(opened) => Ok(opened),
        Err(error) => {
            tracing::warn!(%error, "the search index is not usable and is made again");
            for ending in ["", "-wal", "-shm"] {
                let mut name = path.as_os_str().to_owned();
                name.push(ending);
                match std::fs::remove_file(&name) {
                    Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                        return Err(OpenError::Directory { path: name.into(), source });
                    }
                    Ok(()) | Err(_) => {}
                }
            }
            open_once(path)
        }
    }
}

fn open_once(path: &Path) -> Result<(Connection, bool), OpenError> {
    let failed = |source| OpenError::Prepare { path: path.to_owned(), source };
    let mut conn = Connection::open(path).map_err(failed)?;
    schema::tune_indexer(&conn).map_err(failed)?;
    schema::SEARCH.prepare(&mut conn, path)?;
    let done = conn.query_row("SELECT done FROM walk", [], |row| row.get(0)).map_err(failed)?;
    Ok((conn, done))
}

struct Indexer {
    index: Connection,
    book: Connection,
    shared: Weak<Shared>,
    rows_due: usize,
    clock: Clock,
}

/// Starts the thread.
pub(super) fn start(
    config: &SqliteConfig,
    (index, shared, lock): (Connection, Weak<Shared>, Arc<DirLock>),
    supervisor: &Supervisor,
) -> Result<(), OpenError> {
    let path = config.dir.join("book.db");
    let book = open_reader(&path, 1_024, config.mmap_bytes)
        .map_err(|source| OpenError::Prepare { path, source })?;
    let clock = supervisor.clock().clone();
    let indexer = Indexer { index, book, shared, rows_due: config.search_lag_rows, clock };
    let runtime = Handle::current();
    let run = move |stop: Stop| {
        indexer.run(&runtime, &stop);
        drop(lock);
    };
    supervisor
        .thread("store/search", OnExit::StopServer, run)
        .map(drop)
        .map_err(|source| OpenError::Thread { source })
}

impl Indexer {
    fn run(self, runtime: &Handle, stop: &Stop) {
        let mut walking = self.shared.upgrade().is_some_and(|s| !s.ready.load(Ordering::Acquire));
        while !stop.is_stopped() {
            let Some(shared) = self.shared.upgrade() else { return };
            let due = walking && shared.pending.rows() < self.rows_due;
            let stepped = if due { self.walk(&shared) } else { self.step(&shared) };
            gauge!(figure::SEARCH_LAG_ROWS).set(lossy(shared.pending.rows()));
            match stepped {
                Ok(More::Walked) => {
                    shared.ready.store(true, Ordering::Release);
                    walking = false;
                }
                Ok(More::Some) => {}
                Ok(More::None) if walking => {}
                Ok(More::None) => {
                    let mut changed = shared.pending.watch();
                    drop(shared);
                    runtime.block_on(stop.until(self.wait(&mut changed)));
                }
                Err(error) => {
                    tracing::error!(%error, "the search index is not written; trying again");
                    drop(shared);
                    runtime.block_on(stop.until(self.clock.sleep(PAUSE)));
                }
            }
        }
    }

    /// Until something waits and it is time for it; also when the store has gone.
    async fn wait(&self, changed: &mut tokio::sync::watch::Receiver<usize>) {
        let mut first: Option<Timestamp> = None;
        loop {
            let rows = *changed.borrow_and_update();
            if rows >= self.rows_due {
                return;
            }
            if rows > 0 {
                let now = self.clock.now();
                let patience = *first.get_or_insert(now) + PATIENCE;
                tokio::select! {
                    biased;
                    // Sleeping again from now on is right: something has just changed.
                    () = self.clock.sleep_until(patience.min(now + QUIET)) => return,
                    // Nothing is lost: the value is read anew.
                    gone = changed.changed() => if gone.is_err() { return },
                }
                if self.clock.now() >= patience {
                    return;
                }
            } else if changed.changed().await.is_err() {
                return;
            }
        }
    }

    /// Brings the oldest changes into the index.
    fn step(&self, shared: &Shared) -> Result<More, StoreError> {
        let Some((last, uids)) = shared.pending.oldest(STEP_ROWS) else {
            return Ok(More::None);
        };
        self.write(uids.iter().copied(), |_| Ok(()))?;
        shared.pending.seen(last);
        Ok(if shared.pending.rows() == 0 { More::None } else { More::Some })
    }

    /// Brings the next stretch of the book into the index.
    fn walk(&self, _shared: &Shared) -> Result<More, StoreError> {
        let sql = "SELECT uid FROM walk";
        let from: i64 = self.index.query_row(sql, [], |row| row.get(0)).map_err(failed)?;
        let sql = "SELECT uid FROM task WHERE uid > ?1 ORDER BY uid LIMIT ?2";
        let limit = i64::try_from(STEP_ROWS).expect("a small number");
        let mut statement = self.book.prepare_cached(sql).map_err(failed)?;
        let uids: Vec<i64> = statement
            .query_map(params![from, limit], |row| row.get(0))
            .and_then(Iterator::collect)
            .map_err(failed)?;
        let last = uids.last().copied();
        self.write(uids.iter().copied(), |index| {
            let sql = "UPDATE walk SET uid = ifnull(?1, uid), done = ?1 IS NULL";
            index.execute(sql, [last]).map(drop)
        })?;
        Ok(if last.is_none() { More::Walked } else { More::Some })
    }

    /// Reads the tasks as they are now and writes their rows in one transaction.
    fn write(
        &self,
        uids: impl Iterator<Item = i64>,
        also: impl FnOnce(&Connection) -> rusqlite::Result<()>,
    ) -> Result<(), StoreError> {
        let book = self.book.unchecked_transaction().map_err(failed)?;
        let index = self.index.unchecked_transaction().map_err(failed)?;
        {
            let sql = "SELECT task.body, task_life.body FROM task
                LEFT JOIN task_life ON task_life.uid = task.uid WHERE task.uid = ?1";
            let mut read = book.prepare_cached(sql).map_err(failed)?;
            for uid in uids {
                let mut rows = read.query([uid]).map_err(failed)?;
                match rows.next().map_err(failed)? {
                    Some(row) => put(&index, &task_of(row, 0)?).map_err(failed)?,
                    None => remove(&index, uid).map_err(failed)?,
                }
            }
        }
        also(&index).map_err(failed)?;
        index.commit().map_err(failed)?;
        book.finish().map_err(failed)
    }
}

/// What a step left.
enum More {
    Some,
    None,
    Walked,
}

fn put(index: &Connection, task: &Task) -> rusqlite::Result<()> {
    let order = task.order();
    let uid = order.uid.number().cast_signed();
    let known = "SELECT 1 FROM task_search WHERE uid = ?1";
    let known: Option<i64> =
        index.prepare_cached(known)?.query_row([uid], |row| row.get(0)).optional()?;
    let (state, duration) = (task.state().number(), task.duration().micros().cast_signed());
    let class = task.error().map(|error| error.class.as_str());
    let kind = task.error().map(|error| error.kind.as_str());
    if known.is_some() {
        let sql = "UPDATE task_search SET state = ?2, duration = ?3, error_class = ?4,
            error_kind = ?5 WHERE uid = ?1";
        index.prepare_cached(sql)?.execute(params![uid, state, duration, class, kind])?;
        return Ok(());
    }
    let sql = "INSERT INTO task_search VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
    let account = order.account.number().cast_signed();
    index.prepare_cached(sql)?.execute(params![
        uid,
        account,
        order.function.number().cast_signed(),
        &*order.qualifier,
        order.chosen_id,
        state,
        order.task_mode,
        order.submitted_at.micros(),
        duration,
        class,
        kind
    ])?;
    for (key, value) in &order.tags {
        let sql = "INSERT OR IGNORE INTO task_tag VALUES (?1, ?2, ?3, ?4)";
        index.prepare_cached(sql)?.execute(params![account, key, value, uid])?;
    }
    Ok(())
}

fn remove(index: &Connection, uid: i64) -> rusqlite::Result<()> {
    for sql in ["DELETE FROM task_search WHERE uid = ?1", "DELETE FROM task_tag WHERE uid = ?1"] {
        index.prepare_cached(sql)?.execute([uid])?;
    }
    Ok(())
}
