//! Queries over the index, completed by what it has not seen and checked against the book.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rusqlite::types::Value;
use rusqlite::{Connection, Statement, params_from_iter};
use stint_model::id::TaskUid;
use stint_model::task::{Task, TaskState};
use stint_store::{Page, StoreError, TaskQuery};

use super::{Pending, Window, page};
use crate::config::SqliteConfig;
use crate::read::rows::task_of;
use crate::read::{failed, open_reader};

/// Connections to the index; one per reader at most.
#[derive(Debug)]
pub(super) struct Index {
    path: PathBuf,
    cache_kib: u32,
    idle: Mutex<Vec<Connection>>,
}

impl Index {
    pub(super) fn open(path: &Path, config: &SqliteConfig) -> rusqlite::Result<Self> {
        let (path, cache_kib) = (path.to_owned(), config.reader_cache_kib);
        let first = open_reader(&path, cache_kib, 0)?;
        Ok(Self { path, cache_kib, idle: Mutex::new(vec![first]) })
    }

    /// Runs a read at one moment of the index. As many at once as the book has readers.
    fn with<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let conn = match idle {
            Some(conn) => conn,
            None => open_reader(&self.path, self.cache_kib, 0).map_err(failed)?,
        };
        let transaction = conn.unchecked_transaction().map_err(failed)?;
        let found = work(&transaction);
        drop(transaction);
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(conn);
        found
    }
}

/// One page. Three looks in this order: what is pending, the index, the book; a change between two of
/// them is seen at least once.
pub(super) fn list(
    index: &Index,
    pending: &Pending,
    book: &Connection,
    query: &TaskQuery,
) -> Result<Page<Task>, StoreError> {
    let window = Window::of(query, query.resume()?);
    let mut fresh = pending.candidates(query, window.first, window.last);
    if query.ascending {
        fresh.reverse();
    }
    let size = query.page_size();
    index.with(|conn| {
        let find = Find::of(query, window);
        let order = if query.ascending { "ASC" } else { "DESC" };
        let sql = format!("SELECT s.uid {} ORDER BY s.uid {order}", find.sql);
        let mut statement = conn.prepare_cached(&sql).map_err(failed)?;
        let mut rows = statement.query(params_from_iter(&find.params)).map_err(failed)?;
        let mut next_indexed = move || -> Result<Option<i64>, StoreError> {
            rows.next().and_then(|row| row.map(|row| row.get(0)).transpose()).map_err(failed)
        };
        let mut read = Reader::new(book)?;
        let mut items = Vec::new();
        // Both are in the order asked for; `fresh` is taken from its end.
        let mut indexed = next_indexed()?;
        while items.len() <= size {
            let uid = match (indexed, fresh.last().copied()) {
                (None, None) => break,
                (Some(one), None) => one,
                (None, Some(two)) => two,
                (Some(one), Some(two)) if query.ascending => one.min(two),
                (Some(one), Some(two)) => one.max(two),
            };
            if indexed == Some(uid) {
                indexed = next_indexed()?;
            }
            if fresh.last() == Some(&uid) {
                fresh.pop();
            }
            if let Some(task) = read.task(uid)?
                && query.matches(&task)
            {
                items.push(task);
            }
        }
        Ok(page(items, size))
    })
}

/// How many: what the index counts, with each pending task's part in it replaced by the truth.
pub(super) fn count(
    index: &Index,
    pending: &Pending,
    book: &Connection,
    query: &TaskQuery,
) -> Result<u64, StoreError> {
    let window = Window::of(query, None);
    let fresh = pending.candidates(query, window.first, window.last);
    index.with(|conn| {
        let find = Find::of(query, window);
        let mut count: i64 = {
            let sql = format!("SELECT count(*) {}", find.sql);
            let mut statement = conn.prepare_cached(&sql).map_err(failed)?;
            statement.query_row(params_from_iter(&find.params), |row| row.get(0)).map_err(failed)?
        };
        let mut read = Reader::new(book)?;
        for uid in fresh {
            let find = Find::of(query, Window { first: uid, last: uid });
            let sql = format!("SELECT count(*) {}", find.sql);
            let mut statement = conn.prepare_cached(&sql).map_err(failed)?;
            let params = params_from_iter(&find.params);
            let was: i64 = statement.query_row(params, |row| row.get(0)).map_err(failed)?;
            let is = read.task(uid)?.is_some_and(|task| query.matches(&task));
            count += i64::from(is) - was;
        }
        Ok(u64::try_from(count).unwrap_or(0))
    })
}

/// Reads tasks from the book by row id.
struct Reader<'c> {
    statement: Statement<'c>,
}

impl<'c> Reader<'c> {
    fn new(book: &'c Connection) -> Result<Self, StoreError> {
        let sql = "SELECT task.body, task_life.body FROM task
            LEFT JOIN task_life ON task_life.uid = task.uid WHERE task.uid = ?1";
        Ok(Self { statement: book.prepare(sql).map_err(failed)? })
    }

    fn task(&mut self, uid: i64) -> Result<Option<Task>, StoreError> {
        let mut rows = self.statement.query([uid]).map_err(failed)?;
        rows.next().map_err(failed)?.map(|row| task_of(row, 0)).transpose()
    }
}

/// A query as SQL over the index: `FROM … WHERE …`, exact.
struct Find {
    sql: String,
    params: Vec<Value>,
}

/// The first state that is a bad end; they are the last four.
const TROUBLE: [TaskState; 4] =
    [TaskState::Failed, TaskState::Stopped, TaskState::Expired, TaskState::Invalid];

impl Find {
    fn of(query: &TaskQuery, window: Window) -> Self {
        let mut find = Self { sql: String::from("FROM "), params: Vec::new() };
        let is_trouble = query.error.is_some()
            || (!query.states.is_empty() && query.states.iter().all(|s| TROUBLE.contains(s)));
        let mut tags = query.tags.as_slice();
        match (query.account, query.functions.as_slice(), tags) {
            (Some(account), _, [(key, value), rest @ ..]) => {
                tags = rest;
                find.sql.push_str("task_tag t CROSS JOIN task_search s ON s.uid = t.uid WHERE 1");
                find.and("t.account = ?", [number(account.number())]);
                find.and("t.key = ?", [text(key)]);
                find.and("t.value = ?", [text(value)]);
                find.and(
                    "t.uid BETWEEN ? AND ?",
                    [Value::from(window.first), Value::from(window.last)],
                );
            }
            (_, [_], _) => find.sql.push_str("task_search s INDEXED BY by_function WHERE 1"),
            (Some(_), _, _) if is_trouble => find.sql.push_str(
                "task_search s INDEXED BY by_trouble
                 WHERE (s.error_kind IS NOT NULL OR s.state BETWEEN 6 AND 9)",
            ),
            (Some(_), _, _) => find.sql.push_str("task_search s INDEXED BY by_account WHERE 1"),
            (None, _, _) => find.sql.push_str("task_search s NOT INDEXED WHERE 1"),
        }
        find.and("s.uid BETWEEN ? AND ?", [Value::from(window.first), Value::from(window.last)]);
        find.conditions(query);
        for (key, value) in tags {
            find.and(
                "EXISTS (SELECT 1 FROM task_tag x WHERE x.account = s.account AND x.key = ?
                 AND x.value = ? AND x.uid = s.uid)",
                [text(key), text(value)],
            );
        }
        find
    }

    fn conditions(&mut self, query: &TaskQuery) {
        if let Some(account) = query.account {
            self.and("s.account = ?", [number(account.number())]);
        }
        self.any_of("s.function", query.functions.iter().map(|f| number(f.number())).collect());
        let state = |state: &TaskState| Value::from(i64::from(state.number()));
        self.any_of("s.state", query.states.iter().map(state).collect());
        if let Some(qualifier) = &query.qualifier {
            self.and("s.qualifier = ?", [text(qualifier)]);
        }
        if let Some(mode) = query.task_mode {
            self.and("s.mode = ?", [Value::from(i64::from(mode))]);
        }
        if let Some(from) = query.from {
            self.and("s.submitted >= ?", [Value::from(from.micros())]);
        }
        if let Some(until) = query.until {
            self.and("s.submitted < ?", [Value::from(until.micros())]);
        }
        if let Some(least) = query.duration_min {
            self.and("s.duration >= ?", [number(least.micros())]);
        }
        if let Some(most) = query.duration_max {
            self.and("s.duration <= ?", [number(most.micros())]);
        }
        if let Some(word) = &query.error {
            self.and("(s.error_kind = ? OR s.error_class = ?)", [text(word), text(word)]);
        }
        if let Some(prefix) = &query.id_prefix {
            let (first, last) = own_ids(prefix).unwrap_or((1, 0));
            self.and(
                "CASE WHEN s.chosen_id IS NULL THEN s.uid BETWEEN ? AND ?
                 ELSE substr(s.chosen_id, 1, length(?)) = ? END",
                [Value::from(first), Value::from(last), text(prefix), text(prefix)],
            );
        }
    }

    fn and<const N: usize>(&mut self, condition: &str, params: [Value; N]) {
        self.sql.push_str(" AND ");
        self.sql.push_str(condition);
        self.params.extend(params);
    }

    fn any_of(&mut self, column: &str, mut values: Vec<Value>) {
        match values.len() {
            0 => {}
            1 => self.and(&format!("{column} = ?"), [values.remove(0)]),
            n => {
                let marks = vec!["?"; n].join(", ");
                // The plus keeps the planner from taking an index on the column for an unordered set.
                write!(self.sql, " AND +{column} IN ({marks})").expect("a String takes everything");
                self.params.extend(values);
            }
        }
    }
}

/// A number that is stored with the same bits.
fn number(value: u64) -> Value {
    Value::from(value.cast_signed())
}

fn text(value: &str) -> Value {
    Value::from(value.to_owned())
}

/// The row ids whose text begins with `prefix`: 13 digits of five bits after `tsk_`.
fn own_ids(prefix: &str) -> Option<(i64, i64)> {
    let all = "tsk_";
    if all.starts_with(prefix) {
        return Some((0, i64::MAX));
    }
    let digits = prefix.strip_prefix(all)?;
    let fill = |digit: &str| -> Option<i64> {
        let missing = 13_usize.checked_sub(digits.len())?;
        let uid: TaskUid = format!("{prefix}{}", digit.repeat(missing)).parse().ok()?;
        Some(uid.number().cast_signed())
    };
    Some((fill("0")?, fill("z")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_of_an_own_id_is_a_range() {
        let uid = TaskUid::from_number(0x1234_5678_9abc_def0);
        let (id, number) = (uid.to_string(), uid.number().cast_signed());
        for len in 0..=id.len() {
            let (first, last) = own_ids(&id[..len]).expect("is a prefix");
            assert!((first..=last).contains(&number), "{len}");
        }
        assert_eq!(own_ids(&id), Some((number, number)));
        assert_eq!(own_ids("tsk_7zz"), own_ids("tsk_7zz"));
        for other in ["x", "tsk_i", "tsk_00000000000000", "TSK"] {
            assert_eq!(own_ids(other), None, "{other}");
        }
    }
}
