//! The journal: a file of its own, so that logs never wait for the book nor hold it up. Its writer
//! appends everything that waits in one transaction and does not sync: a power cut may take the last
//! moments, a crash of the process takes nothing.

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;
use bytes::Bytes;
use metrics::counter;
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};
use stint_model::time::Timestamp;
use stint_store::{Chunk, Journal, JournalError, JournalQuery, Scope, StoreError};
use stint_supervise::{OnExit, Stop, Supervisor};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use crate::config::{JournalConfig, SqliteConfig};
use crate::figure;
use crate::read::rows::bound;
use crate::read::{Readers, failed};
use crate::schema;
use crate::store::OpenError;

/// Appends that one transaction takes together.
const GROUP_MAX: usize = 256;
/// Names of streams that the writer remembers the numbers of.
const STREAMS_KEPT: usize = 10_000;
/// Pages that the log holds before it is folded into the file, by the journal's own writer.
const LOG_PAGES: u32 = 4_000;

/// The embedded journal. Cheap to clone.
#[derive(Clone, Debug)]
pub struct SqliteJournal {
    inbox: mpsc::Sender<Request>,
    readers: Readers,
}

#[derive(Debug)]
enum Request {
    Append { chunks: Vec<Chunk>, reply: oneshot::Sender<Result<u64, String>> },
    Retain { before: Timestamp, limit: usize, reply: oneshot::Sender<Result<usize, String>> },
}

impl SqliteJournal {
    /// Opens or makes `journal.db` in the directory. Whoever opens it holds the directory already
    /// (through [`SqliteStore`](crate::SqliteStore) or [`DirLock`](crate::DirLock)).
    ///
    /// # Errors
    /// When the file cannot be used or is of a newer format.
    pub fn open(config: &JournalConfig, supervisor: &Supervisor) -> Result<Self, OpenError> {
        std::fs::create_dir_all(&config.dir)
            .map_err(|source| OpenError::Directory { path: config.dir.clone(), source })?;
        let path = config.dir.join("journal.db");
        let failed = |source| OpenError::Prepare { path: path.clone(), source };
        let mut conn = Connection::open(&path).map_err(failed)?;
        schema::tune_relaxed(&conn, 4 << 10).map_err(failed)?;
        conn.pragma_update(None, "wal_autocheckpoint", LOG_PAGES).map_err(failed)?;
        schema::JOURNAL.prepare(&mut conn, &path)?;
        let reading = SqliteConfig { readers: config.readers, ..SqliteConfig::in_dir(&config.dir) };
        let readers = Readers::open(&path, &reading, supervisor).map_err(failed)?;
        let writer = Writer::new(conn).map_err(failed)?;
        let (inbox, requests) = mpsc::channel(config.inbox.max(1));
        let runtime = Handle::current();
        let run = move |stop: Stop| writer.run(requests, &runtime, &stop);
        supervisor
            .thread("store/journal", OnExit::StopServer, run)
            .map_err(|source| OpenError::Thread { source })?;
        Ok(Self { inbox, readers })
    }

    async fn ask<T>(
        &self,
        operation: &'static str,
        request: impl FnOnce(oneshot::Sender<Result<T, String>>) -> Request,
    ) -> Result<T, JournalError> {
        let failed = |words: String| JournalError { operation, source: words.into() };
        let closed = || failed("it is closed".to_owned());
        let (reply, answer) = oneshot::channel();
        self.inbox.send(request(reply)).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?.map_err(failed)
    }
}

#[async_trait]
impl Journal for SqliteJournal {
    async fn append(&self, chunks: Vec<Chunk>) -> Result<u64, JournalError> {
        self.ask("append to", |reply| Request::Append { chunks, reply }).await
    }

    async fn range(&self, query: &JournalQuery) -> Result<Vec<Chunk>, JournalError> {
        let query = query.clone();
        let found = self.readers.run(move |conn| range(conn, &query)).await;
        found.map_err(|source| JournalError { operation: "read", source: Box::new(source) })
    }

    async fn retain(&self, before: Timestamp, limit: usize) -> Result<usize, JournalError> {
        self.ask("shorten", |reply| Request::Retain { before, limit, reply }).await
    }
}

struct Writer {
    conn: Connection,
    last: u64,
    streams: HashMap<String, i64>,
}

impl Writer {
    fn new(conn: Connection) -> rusqlite::Result<Self> {
        let sql = "SELECT max((SELECT seq FROM last), ifnull((SELECT max(seq) FROM chunk), 0))";
        let last = conn.query_row(sql, [], |row| row.get(0))?;
        Ok(Self { conn, last, streams: HashMap::new() })
    }

    fn run(mut self, mut requests: mpsc::Receiver<Request>, runtime: &Handle, stop: &Stop) {
        loop {
            let first = runtime.block_on(async {
                tokio::select! {
                    biased;
                    // A request taken is returned.
                    request = requests.recv() => request,
                    // Dropping the receive takes nothing from the channel; what waits is written.
                    () = stop.stopped() => { requests.close(); requests.recv().await }
                }
            });
            let Some(first) = first else { return };
            let mut group = vec![first];
            while group.len() < GROUP_MAX
                && let Ok(request) = requests.try_recv()
            {
                group.push(request);
            }
            self.turn(group);
        }
    }

    /// One transaction for all that waited; all of them fail together.
    fn turn(&mut self, group: Vec<Request>) {
        let before = self.last;
        let mut appended = Vec::new();
        let mut retained = Vec::new();
        let done = self.write(group, &mut appended, &mut retained);
        if let Err(error) = &done {
            tracing::error!(%error, "the journal is not written");
            self.last = before;
            self.streams.clear();
        }
        let words = done.err().map(|error| error.to_string());
        // Whoever no longer listens is not told.
        for (reply, last) in appended {
            drop(reply.send(words.clone().map_or(Ok(last), Err)));
        }
        for (reply, count) in retained {
            drop(reply.send(words.clone().map_or(Ok(count), Err)));
        }
    }

    fn write(
        &mut self,
        group: Vec<Request>,
        appended: &mut Vec<(oneshot::Sender<Result<u64, String>>, u64)>,
        retained: &mut Vec<(oneshot::Sender<Result<usize, String>>, usize)>,
    ) -> rusqlite::Result<()> {
        let mut requests = group.into_iter();
        let Self { conn, last, streams } = self;
        let done = conn.transaction().and_then(|change| {
            for request in requests.by_ref() {
                match request {
                    Request::Append { chunks, reply } => {
                        let done = append(&change, last, streams, &chunks);
                        appended.push((reply, *last));
                        done?;
                    }
                    Request::Retain { before, limit, reply } => {
                        let done = retain(&change, *last, before, limit);
                        retained.push((reply, done.as_ref().map_or(0, |count| *count)));
                        done?;
                    }
                }
            }
            change.commit()
        });
        for request in requests {
            match request {
                Request::Append { reply, .. } => appended.push((reply, 0)),
                Request::Retain { reply, .. } => retained.push((reply, 0)),
            }
        }
        done
    }
}

fn append(
    change: &Transaction<'_>,
    last: &mut u64,
    streams: &mut HashMap<String, i64>,
    chunks: &[Chunk],
) -> rusqlite::Result<()> {
    let mut put = change.prepare_cached("INSERT INTO chunk VALUES (?1, ?2, ?3, ?4, ?5)")?;
    let mut bytes = 0;
    for chunk in chunks {
        let stream = match streams.get(&chunk.stream) {
            Some(stream) => *stream,
            None => stream_of(change, streams, &chunk.stream)?,
        };
        *last += 1;
        let body: &[u8] = &chunk.body;
        bytes += u64::try_from(body.len()).unwrap_or(0);
        put.execute(params![*last, stream, chunk.subject, chunk.at.micros(), body])?;
    }
    counter!(figure::JOURNAL_CHUNKS).increment(u64::try_from(chunks.len()).unwrap_or(0));
    counter!(figure::JOURNAL_BYTES).increment(bytes);
    Ok(())
}

fn stream_of(
    change: &Transaction<'_>,
    streams: &mut HashMap<String, i64>,
    name: &str,
) -> rusqlite::Result<i64> {
    change.prepare_cached("INSERT OR IGNORE INTO stream (name) VALUES (?1)")?.execute([name])?;
    let sql = "SELECT id FROM stream WHERE name = ?1";
    let id = change.prepare_cached(sql)?.query_row([name], |row| row.get(0))?;
    if streams.len() >= STREAMS_KEPT {
        streams.clear();
    }
    streams.insert(name.to_owned(), id);
    Ok(id)
}

fn retain(
    change: &Transaction<'_>,
    last: u64,
    before: Timestamp,
    limit: usize,
) -> rusqlite::Result<usize> {
    // Numbers rise with time, so the old ones are in front; the walk ends soon after them.
    let sql = "DELETE FROM chunk WHERE seq IN
        (SELECT seq FROM chunk WHERE at < ?1 ORDER BY seq LIMIT ?2)";
    let count = change.prepare_cached(sql)?.execute(params![before.micros(), bound(limit)])?;
    change.prepare_cached("UPDATE last SET seq = ?1")?.execute([last])?;
    Ok(count)
}

fn range(conn: &Connection, query: &JournalQuery) -> Result<Vec<Chunk>, StoreError> {
    let streams = streams(conn, query).map_err(failed)?;
    let found = numbers(conn, query, &streams).map_err(failed)?;
    let mut read = conn
        .prepare_cached("SELECT subject, at, body FROM chunk WHERE seq = ?1")
        .map_err(failed)?;
    let mut chunks = Vec::with_capacity(found.len());
    for (seq, stream) in found {
        let chunk = read.query_row([seq], |row| {
            Ok(Chunk {
                seq,
                stream: streams[stream].1.clone(),
                subject: row.get(0)?,
                at: Timestamp::from_micros(row.get(1)?),
                body: Bytes::from(row.get::<_, Vec<u8>>(2)?),
            })
        });
        // Retention may have taken it in between.
        chunks.extend(chunk.optional().map_err(failed)?);
    }
    Ok(chunks)
}

/// Number and name of the streams that are asked for.
fn streams(conn: &Connection, query: &JournalQuery) -> rusqlite::Result<Vec<(i64, String)>> {
    let (least, most) = match query.scope {
        Scope::Exactly => (query.stream.clone(), query.stream.clone()),
        // Names below end before the character that follows the slash.
        Scope::Below => (format!("{}/", query.stream), format!("{}0", query.stream)),
    };
    let sql =
        "SELECT id, name FROM stream WHERE name >= ?1 AND name <= ?2 AND (?1 = ?2 OR name < ?2)";
    let mut find = conn.prepare_cached(sql)?;
    find.query_map([least, most], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

/// Which pieces, with the place of their stream, in order: the first of all streams together. Each
/// stream is only read as far as its pieces are among those, from its index alone.
fn numbers(
    conn: &Connection,
    query: &JournalQuery,
    streams: &[(i64, String)],
) -> rusqlite::Result<Vec<(u64, usize)>> {
    let index = if query.subject.is_some() { "chunk_subject" } else { "chunk_stream" };
    let subject = if query.subject.is_some() { "AND subject = ?2" } else { "AND ?2 IS NULL" };
    let order = if query.descending { "DESC" } else { "ASC" };
    let sql = format!(
        "SELECT seq FROM chunk INDEXED BY {index} WHERE stream = ?1 {subject}
         AND seq > ?3 AND seq < ?4 AND at >= ?5 AND at < ?6 ORDER BY seq {order} LIMIT ?7"
    );
    let mut find = conn.prepare_cached(&sql)?;
    let after = query.after.map(|after| i64::try_from(after).unwrap_or(i64::MAX));
    let (mut above, mut below) = match (after, query.descending) {
        (None, _) => (0, i64::MAX),
        (Some(after), false) => (after, i64::MAX),
        (Some(after), true) => (0, after),
    };
    let from = query.from.map_or(i64::MIN, Timestamp::micros);
    let until = query.until.map_or(i64::MAX, Timestamp::micros);
    let mut found: BTreeMap<u64, usize> = BTreeMap::new();
    for (place, (stream, _)) in streams.iter().enumerate() {
        let limit = bound(query.limit);
        let rows = params![stream, query.subject, above, below, from, until, limit];
        for seq in find.query_map(rows, |row| row.get(0))? {
            found.insert(seq?, place);
        }
        while found.len() > query.limit {
            if query.descending {
                found.pop_first()
            } else {
                found.pop_last()
            };
        }
        if found.len() == query.limit {
            // Nothing past the last of them can be among them any more.
            let edge = |seq: &u64| i64::try_from(*seq).unwrap_or(i64::MAX);
            if query.descending {
                above = found.keys().next().map_or(above, edge);
            } else {
                below = found.keys().next_back().map_or(below, edge);
            }
        }
    }
    let in_order = found.into_iter();
    Ok(if query.descending { in_order.rev().collect() } else { in_order.collect() })
}
