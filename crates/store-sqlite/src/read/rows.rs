//! The reads of the book, each on one connection within one transaction.

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use stint_model::id::{FunctionId, TaskUid, number_floor};
use stint_model::shard::{LetterId, Shard};
use stint_model::task::Task;
use stint_model::time::{Span, Timestamp};
use stint_store::record::task;
use stint_store::{Key, Kind, Letter, Page, Record, StoreError};

use super::failed;

/// A task's uid is minted within a minute of its submission.
pub(crate) const MINT_SLACK: Span = Span::from_secs(60);

pub(super) type Found<T> = Result<T, StoreError>;

/// A prepared read and its rows, mapped by a function that may find one corrupt.
pub(crate) fn each<T>(
    conn: &Connection,
    sql: &str,
    params: impl rusqlite::Params,
    mut read: impl FnMut(&Row<'_>) -> Found<T>,
) -> Found<Vec<T>> {
    let mut statement = conn.prepare_cached(sql).map_err(failed)?;
    let mut rows = statement.query(params).map_err(failed)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().map_err(failed)? {
        found.push(read(row)?);
    }
    Ok(found)
}

/// The task in columns `at` (order) and `at + 1` (life).
pub(crate) fn task_of(row: &Row<'_>, at: usize) -> Found<Task> {
    let blob = |at| row.get_ref(at).map_err(failed);
    let order = blob(at)?.as_blob().map_err(|e| failed(e.into()))?;
    let life = blob(at + 1)?.as_blob_or_null().map_err(|e| failed(e.into()))?;
    task::read(order, life)
}

fn uid(number: i64) -> TaskUid {
    TaskUid::from_number(number.cast_unsigned())
}

/// The row of the body names its task when it does not read.
fn named(number: i64, error: StoreError) -> StoreError {
    match error {
        StoreError::Corrupt { what } => {
            StoreError::Corrupt { what: format!("{} ({what})", uid(number)) }
        }
        other => other,
    }
}

pub(crate) fn record_get(conn: &Connection, key: Key) -> Found<Option<Record>> {
    let sql = "SELECT shard, version, body FROM record WHERE kind = ?1 AND name = ?2";
    let mut statement = conn.prepare_cached(sql).map_err(failed)?;
    let found = statement
        .query_row(params![key.kind.number(), key.name], |row| {
            Ok((row.get::<_, u16>(0)?, row.get(1)?, row.get::<_, Vec<u8>>(2)?))
        })
        .optional()
        .map_err(failed)?;
    found
        .map(|(shard, version, body)| {
            let shard = read_shard(shard)?;
            Ok(Record { key, shard, version, body: Bytes::from(body) })
        })
        .transpose()
}

pub(crate) fn record_list(
    conn: &Connection,
    kind: Kind,
    (prefix, cursor): (&str, Option<&str>),
    limit: usize,
) -> Found<Page<Record>> {
    // `>= prefix` and `> cursor` together; what does not start with the prefix ends the list.
    let sql = "SELECT name, shard, version, body FROM record
        WHERE kind = ?1 AND name >= ?2 AND (?3 IS NULL OR name > ?3) ORDER BY name";
    let mut statement = conn.prepare_cached(sql).map_err(failed)?;
    let from = cursor.filter(|cursor| *cursor >= prefix).unwrap_or(prefix);
    let mut rows = statement.query(params![kind.number(), from, cursor]).map_err(failed)?;
    let mut items: Vec<Record> = Vec::new();
    while let Some(row) = rows.next().map_err(failed)? {
        let name: String = row.get(0).map_err(failed)?;
        if !name.starts_with(prefix) {
            break;
        }
        if items.len() == limit {
            let next = items.last().map(|record| record.key.name.clone());
            return Ok(Page { items, next });
        }
        let shard = read_shard(row.get(1).map_err(failed)?)?;
        let version = row.get(2).map_err(failed)?;
        let body: Vec<u8> = row.get(3).map_err(failed)?;
        items.push(Record { key: Key::new(kind, name), shard, version, body: Bytes::from(body) });
    }
    Ok(Page { items, next: None })
}

fn read_shard(number: u16) -> Found<Shard> {
    if number < Shard::COUNT_MAX {
        Ok(Shard::new(number))
    } else {
        Err(StoreError::Corrupt { what: format!("shard number {number}") })
    }
}

pub(crate) fn task_get(conn: &Connection, uids: &[TaskUid]) -> Found<Vec<Option<Task>>> {
    let sql = "SELECT task.body, task_life.body FROM task
        LEFT JOIN task_life ON task_life.uid = task.uid WHERE task.uid = ?1";
    let mut statement = conn.prepare_cached(sql).map_err(failed)?;
    let mut found = Vec::with_capacity(uids.len());
    for uid in uids {
        let number = uid.number().cast_signed();
        let mut rows = statement.query([number]).map_err(failed)?;
        found.push(match rows.next().map_err(failed)? {
            Some(row) => Some(task_of(row, 0).map_err(|error| named(number, error))?),
            None => None,
        });
    }
    Ok(found)
}

pub(crate) fn task_find(
    conn: &Connection,
    chosen: &[(FunctionId, String)],
) -> Found<Vec<Option<TaskUid>>> {
    let sql = "SELECT uid FROM task_chosen WHERE function = ?1 AND id = ?2";
    let mut statement = conn.prepare_cached(sql).map_err(failed)?;
    let mut find = |(function, id): &(FunctionId, String)| {
        let function = function.number().cast_signed();
        let found = statement.query_row(params![function, id], |row| row.get(0)).optional();
        found.map(|number| number.map(uid)).map_err(failed)
    };
    chosen.iter().map(&mut find).collect()
}

pub(crate) fn task_open(
    conn: &Connection,
    shard: Shard,
    after: Option<TaskUid>,
    limit: usize,
) -> Found<Vec<Task>> {
    let sql = "SELECT task_open.uid, task.body, task_life.body FROM task_open
        JOIN task ON task.uid = task_open.uid
        LEFT JOIN task_life ON task_life.uid = task_open.uid
        WHERE task_open.uid > ?1 AND ((task_open.uid >> 12) & 1023) = ?2
        ORDER BY task_open.uid LIMIT ?3";
    let after = after.map_or(-1, |uid| uid.number().cast_signed());
    each(conn, sql, params![after, shard.number(), bound(limit)], |row| {
        let number = row.get(0).map_err(failed)?;
        task_of(row, 1).map_err(|error| named(number, error))
    })
}

/// Walks the oldest rows: what is open among them is skipped by its key alone.
pub(crate) fn task_old(
    conn: &Connection,
    shard: Shard,
    before: Timestamp,
    limit: usize,
) -> Found<Vec<TaskUid>> {
    let sql = "SELECT task.uid, task.body FROM task
        WHERE task.uid < ?1 AND ((task.uid >> 12) & 1023) = ?2
        AND NOT EXISTS (SELECT 1 FROM task_open WHERE task_open.uid = task.uid)
        ORDER BY task.uid";
    let end = number_floor(before + MINT_SLACK).cast_signed();
    let mut statement = conn.prepare_cached(sql).map_err(failed)?;
    let mut rows = statement.query(params![end, shard.number()]).map_err(failed)?;
    let mut found = Vec::new();
    while found.len() < limit
        && let Some(row) = rows.next().map_err(failed)?
    {
        let number: i64 = row.get(0).map_err(failed)?;
        let body = row.get_ref(1).map_err(failed)?;
        let body = body.as_blob().map_err(|e| failed(e.into()))?;
        let order = task::read_order(body).map_err(|error| named(number, error))?;
        if order.submitted_at < before {
            found.push(uid(number));
        }
    }
    Ok(found)
}

pub(crate) fn letter_list(conn: &Connection, to: Shard, limit: usize) -> Found<Vec<Letter>> {
    let sql = "SELECT from_shard, number, body FROM letter WHERE to_shard = ?1
        ORDER BY arrival LIMIT ?2";
    each(conn, sql, params![to.number(), bound(limit)], |row| {
        let from = read_shard(row.get(0).map_err(failed)?)?;
        let number: i64 = row.get(1).map_err(failed)?;
        let body: Vec<u8> = row.get(2).map_err(failed)?;
        let id = LetterId { from, number: number.cast_unsigned() };
        Ok(Letter { id, to, body: Bytes::from(body) })
    })
}

pub(crate) fn figures(conn: &Connection) -> Found<Vec<(&'static str, u64)>> {
    let one = |sql: &str| -> Found<u64> {
        let mut statement = conn.prepare_cached(sql).map_err(failed)?;
        let value: i64 = statement.query_row([], |row| row.get(0)).map_err(failed)?;
        Ok(u64::try_from(value).unwrap_or(0))
    };
    let page = one("PRAGMA page_size")?;
    Ok(vec![
        ("tasks", one("SELECT ifnull(sum(tasks), 0) FROM shard")?),
        ("tasks_open", one("SELECT ifnull(sum(tasks_open), 0) FROM shard")?),
        ("executions", one("SELECT ifnull(sum(executions), 0) FROM shard")?),
        ("executions_open", one("SELECT ifnull(sum(executions_open), 0) FROM shard")?),
        ("records", one("SELECT count(*) FROM record")?),
        ("letters", one("SELECT count(*) FROM letter")?),
        ("book_bytes", one("PRAGMA page_count")? * page),
        ("book_free_bytes", one("PRAGMA freelist_count")? * page),
    ])
}

/// A limit for SQL.
pub(crate) fn bound(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
