//! Finding tasks by condition. The index lives in a file of its own (`search.db`), is written behind
//! the commits, and is never trusted alone: what it has not seen yet ([`Pending`]) is looked at row by
//! row, and what it finds is checked against the row. So an answer is always the book's, and the file
//! may be thrown away: until it is made again, the book itself is walked.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::{Connection, params};
use stint_model::id::{TaskUid, number_floor};
use stint_model::task::Task;
use stint_store::{Page, StoreError, TaskQuery};
use stint_supervise::Supervisor;

use crate::config::SqliteConfig;
use crate::lock::DirLock;
use crate::read::failed;
use crate::read::rows::{MINT_SLACK, task_of};
use crate::store::OpenError;

mod find;
mod indexer;
mod pending;

pub(crate) use pending::{Mark, Pending};

/// Finds tasks. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Search {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    pending: Arc<Pending>,
    /// Whether the index has seen everything but what is pending.
    ready: AtomicBool,
    index: find::Index,
}

impl Search {
    /// Opens the index, or begins to make it again.
    pub(crate) fn open(
        config: &SqliteConfig,
        (pending, lock): (&Arc<Pending>, Arc<DirLock>),
        supervisor: &Supervisor,
    ) -> Result<Self, OpenError> {
        let path = config.dir.join("search.db");
        let (conn, done) = indexer::open(&path)?;
        let index = find::Index::open(&path, config)
            .map_err(|source| OpenError::Prepare { path: path.clone(), source })?;
        let ready = AtomicBool::new(done);
        let shared = Arc::new(Shared { pending: Arc::clone(pending), ready, index });
        indexer::start(config, (conn, Arc::downgrade(&shared), lock), supervisor)?;
        Ok(Self { shared })
    }

    /// One page.
    pub(crate) fn list(
        &self,
        conn: &Connection,
        query: &TaskQuery,
    ) -> Result<Page<Task>, StoreError> {
        if self.shared.ready.load(Ordering::Acquire) {
            find::list(&self.shared.index, &self.shared.pending, conn, query)
        } else {
            scan_page(conn, query)
        }
    }

    /// How many.
    pub(crate) fn count(&self, conn: &Connection, query: &TaskQuery) -> Result<u64, StoreError> {
        if self.shared.ready.load(Ordering::Acquire) {
            find::count(&self.shared.index, &self.shared.pending, conn, query)
        } else {
            scan_count(conn, query)
        }
    }

    /// Changes that the index has not seen.
    pub(crate) fn lag(&self) -> u64 {
        u64::try_from(self.shared.pending.rows()).unwrap_or(u64::MAX)
    }

    /// Returns when it has seen what was committed before the call.
    pub(crate) async fn settled(&self) {
        self.shared.pending.settled().await;
    }
}

/// Uids a query is about, both ends inside.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Window {
    pub(crate) first: i64,
    pub(crate) last: i64,
}

impl Window {
    /// From the query's times and, unless it is a count, its cursor.
    pub(crate) fn of(query: &TaskQuery, cursor: Option<TaskUid>) -> Self {
        let floor = |at| number_floor(at).cast_signed();
        let mut window = Self { first: 0, last: i64::MAX };
        if let Some(from) = query.from {
            window.first = floor(from - MINT_SLACK);
        }
        if let Some(until) = query.until {
            window.last = floor(until + MINT_SLACK);
        }
        if let Some(cursor) = cursor {
            let cursor = cursor.number().cast_signed();
            if query.ascending {
                window.first = window.first.max(cursor.saturating_add(1));
            } else {
                window.last = window.last.min(cursor.saturating_sub(1));
            }
        }
        window
    }
}

/// Walks the book itself, in order, and hands every task that matches to `take` until it says stop.
pub(crate) fn scan(
    conn: &Connection,
    query: &TaskQuery,
    window: Window,
    mut take: impl FnMut(Task) -> bool,
) -> Result<(), StoreError> {
    let sql = if query.ascending {
        "SELECT task.body, task_life.body FROM task
         LEFT JOIN task_life ON task_life.uid = task.uid
         WHERE task.uid BETWEEN ?1 AND ?2 ORDER BY task.uid"
    } else {
        "SELECT task.body, task_life.body FROM task
         LEFT JOIN task_life ON task_life.uid = task.uid
         WHERE task.uid BETWEEN ?1 AND ?2 ORDER BY task.uid DESC"
    };
    let mut statement = conn.prepare_cached(sql).map_err(failed)?;
    let mut rows = statement.query(params![window.first, window.last]).map_err(failed)?;
    while let Some(row) = rows.next().map_err(failed)? {
        let task = task_of(row, 0)?;
        if query.matches(&task) && !take(task) {
            return Ok(());
        }
    }
    Ok(())
}

/// One page by walking the book.
pub(crate) fn scan_page(conn: &Connection, query: &TaskQuery) -> Result<Page<Task>, StoreError> {
    let (window, size) = (Window::of(query, query.resume()?), query.page_size());
    let mut items = Vec::new();
    scan(conn, query, window, |task| {
        items.push(task);
        items.len() <= size
    })?;
    Ok(page(items, size))
}

/// At most `size` items; one more says that there is a next page.
pub(crate) fn page(mut items: Vec<Task>, size: usize) -> Page<Task> {
    let more = items.len() > size;
    items.truncate(size);
    let next = items.last().filter(|_| more).map(|task| task.uid().to_string());
    Page { items, next }
}

/// How many, by walking the book.
pub(crate) fn scan_count(conn: &Connection, query: &TaskQuery) -> Result<u64, StoreError> {
    let mut count = 0;
    scan(conn, query, Window::of(query, None), |_| {
        count += 1;
        true
    })?;
    Ok(count)
}
