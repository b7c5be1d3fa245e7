//! The reads of executions, each on one connection within one transaction.

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use stint_model::execution::Execution;
use stint_model::id::{ExecutionUid, number_floor};
use stint_model::shard::Shard;
use stint_model::time::Timestamp;
use stint_store::record::execution::decode;
use stint_store::{
    ExecutionList, ExecutionQuery, HistoryChunk, ListedName, OpenExecution, Page, StoreError,
};

use super::failed;
use super::rows::{Found, MINT_SLACK, bound, each};

fn number(uid: ExecutionUid) -> i64 {
    uid.number().cast_signed()
}

fn uid(number: i64) -> ExecutionUid {
    ExecutionUid::from_number(number.cast_unsigned())
}

/// The head in column `at`; the row's own number names it when it does not read.
pub(crate) fn head_of(row: &Row<'_>, at: usize) -> Found<Execution> {
    let body = row.get_ref(at).map_err(failed)?;
    decode(body.as_blob().map_err(|error| failed(error.into()))?)
}

pub(crate) fn get(conn: &Connection, uids: &[ExecutionUid]) -> Found<Vec<Option<Execution>>> {
    let sql = "SELECT body FROM execution WHERE uid = ?1";
    let mut statement = conn.prepare_cached(sql).map_err(failed)?;
    let mut found = Vec::with_capacity(uids.len());
    for uid in uids {
        let mut rows = statement.query([number(*uid)]).map_err(failed)?;
        found.push(match rows.next().map_err(failed)? {
            Some(row) => Some(head_of(row, 0).map_err(|error| named(*uid, error))?),
            None => None,
        });
    }
    Ok(found)
}

fn named(uid: ExecutionUid, error: StoreError) -> StoreError {
    match error {
        StoreError::Corrupt { what } => StoreError::Corrupt { what: format!("{uid} ({what})") },
        other @ (StoreError::Backend { .. } | StoreError::BadCursor | StoreError::Closed) => other,
    }
}

pub(crate) fn document(conn: &Connection, uids: &[ExecutionUid]) -> Found<Vec<Option<Bytes>>> {
    let sql = "SELECT body FROM execution_open WHERE uid = ?1
        UNION ALL SELECT body FROM execution_ended WHERE uid = ?1";
    let mut statement = conn.prepare_cached(sql).map_err(failed)?;
    let mut read = |uid: &ExecutionUid| {
        let found = statement.query_row([number(*uid)], |row| row.get::<_, Vec<u8>>(0));
        found.optional().map(|body| body.map(Bytes::from)).map_err(failed)
    };
    uids.iter().map(&mut read).collect()
}

pub(crate) fn find(conn: &Connection, names: &[ListedName]) -> Found<Vec<Option<ExecutionUid>>> {
    let sql = "SELECT uid FROM execution WHERE list = ?1 AND name = ?2";
    let mut statement = conn.prepare_cached(sql).map_err(failed)?;
    let mut find = |(list, name): &ListedName| {
        let found = statement.query_row(params![list.cast_signed(), name], |row| row.get(0));
        found.optional().map(|number| number.map(uid)).map_err(failed)
    };
    names.iter().map(&mut find).collect()
}

/// Walks the index that fits best and lets the query itself judge each head.
pub(crate) fn list(conn: &Connection, query: &ExecutionQuery) -> Found<Page<Execution>> {
    let (index, condition, value) = match query.list {
        ExecutionList::Account(account) => {
            ("execution_account", "account = ?1 AND is_child = 0", account.number())
        }
        ExecutionList::Flow(flow) => ("execution_list", "list = ?1", flow.number()),
        ExecutionList::Children(of) => ("execution_list", "list = ?1", of.number()),
    };
    let (index, by_status) = match (query.list, query.statuses.as_slice()) {
        (ExecutionList::Flow(_) | ExecutionList::Children(_), [only]) => {
            ("execution_status", format!(" AND status = {}", only.number()))
        }
        (ExecutionList::Flow(_) | ExecutionList::Children(_), _)
        | (ExecutionList::Account(_), _) => (index, String::new()),
    };
    let mut from = query.from.map_or(0, |at| number_floor(at - MINT_SLACK).cast_signed());
    let mut until = query.until.map_or(i64::MAX, |at| number_floor(at + MINT_SLACK).cast_signed());
    if let Some(after) = query.resume()? {
        if query.ascending {
            from = from.max(number(after) + 1);
        } else {
            until = until.min(number(after));
        }
    }
    let order = if query.ascending { "ASC" } else { "DESC" };
    let sql = format!(
        "SELECT body FROM execution INDEXED BY {index}
         WHERE {condition}{by_status} AND uid >= ?2 AND uid < ?3 ORDER BY uid {order}"
    );
    let mut statement = conn.prepare_cached(&sql).map_err(failed)?;
    let mut rows = statement.query(params![value.cast_signed(), from, until]).map_err(failed)?;
    let mut items: Vec<Execution> = Vec::new();
    while let Some(row) = rows.next().map_err(failed)? {
        let head = head_of(row, 0)?;
        if !query.matches(&head) {
            continue;
        }
        if items.len() == query.page_size() {
            let next = items.last().map(|last| last.uid.to_string());
            return Ok(Page { items, next });
        }
        items.push(head);
    }
    Ok(Page { items, next: None })
}

pub(crate) fn open(
    conn: &Connection,
    shard: Shard,
    after: Option<ExecutionUid>,
    limit: usize,
) -> Found<Vec<OpenExecution>> {
    let sql = "SELECT uid, wake_at, asks FROM execution_open
        WHERE uid > ?1 AND ((uid >> 12) & 1023) = ?2 ORDER BY uid LIMIT ?3";
    each(conn, sql, params![after.map_or(-1, number), shard.number(), bound(limit)], |row| {
        Ok(OpenExecution {
            uid: uid(row.get(0).map_err(failed)?),
            wake_at: Timestamp::from_micros(row.get(1).map_err(failed)?),
            asks: row.get(2).map_err(failed)?,
        })
    })
}

/// Walks the oldest rows; what has ended before a time was started before it.
pub(crate) fn old(
    conn: &Connection,
    shard: Shard,
    before: Timestamp,
    limit: usize,
) -> Found<Vec<ExecutionUid>> {
    let sql = "SELECT uid FROM execution WHERE uid < ?1 AND ((uid >> 12) & 1023) = ?2
        AND status <> 1 AND ended < ?3 ORDER BY uid LIMIT ?4";
    let end = number_floor(before + MINT_SLACK).cast_signed();
    each(conn, sql, params![end, shard.number(), before.micros(), bound(limit)], |row| {
        row.get(0).map(uid).map_err(failed)
    })
}

pub(crate) fn history(
    conn: &Connection,
    execution: ExecutionUid,
    (from, reverse): (u64, bool),
    limit: usize,
) -> Found<Vec<HistoryChunk>> {
    let from_number = i64::try_from(from).unwrap_or(i64::MAX);
    let read = |row: &Row<'_>| {
        let first: i64 = row.get(0).map_err(failed)?;
        let body: Vec<u8> = row.get(2).map_err(failed)?;
        let (first, count) = (first.cast_unsigned(), row.get(1).map_err(failed)?);
        Ok(HistoryChunk { first, count, body: Bytes::from(body) })
    };
    if reverse {
        let sql = "SELECT first, count, body FROM history WHERE execution = ?1 AND first <= ?2
            ORDER BY first DESC LIMIT ?3";
        return each(conn, sql, params![number(execution), from_number, bound(limit)], read);
    }
    // The chunk that `from` lies in begins at or before it; it may end before it, too.
    let sql = "SELECT first, count, body FROM history WHERE execution = ?1 AND first >= (
            SELECT ifnull(max(first), 0) FROM history WHERE execution = ?1 AND first <= ?2
        ) ORDER BY first LIMIT ?3";
    let asked = bound(limit).saturating_add(1);
    let mut found = each(conn, sql, params![number(execution), from_number, asked], read)?;
    found.retain(|chunk| chunk.first + u64::from(chunk.count) > from);
    found.truncate(limit);
    Ok(found)
}
