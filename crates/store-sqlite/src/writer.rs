//! The one writer: takes everything that waits in its inbox, writes it in one transaction, syncs
//! once, and answers. A refused batch is undone alone (each has a savepoint); when the transaction as
//! a whole fails, nothing of it was written and everybody is told.

use std::collections::BTreeMap;
use std::sync::Arc;

use metrics::{counter, gauge, histogram};
use rusqlite::Connection;
use stint_model::shard::Shard;
use stint_model::time::{Span, Timestamp};
use stint_store::{CommitError, Committed, Opened, StoreError};
use stint_supervise::{Clock, Stop, Supervisor};
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc, oneshot};

use crate::config::SqliteConfig;
use crate::figure;
use crate::search::Pending;
use crate::store::Mail;

pub(crate) mod apply;
pub(crate) mod checkpoint;
pub(crate) mod encode;
mod executions;
pub(crate) mod log;

use apply::Statements;
use encode::Encoded;

/// The writer waits for the search index when this many times its usual lag has gathered.
const SEARCH_LAG_FACTOR: usize = 32;

/// What the writer is asked.
#[derive(Debug)]
pub(crate) enum Request {
    /// Write a batch.
    Commit { batch: Encoded, reply: oneshot::Sender<Result<Committed, CommitError>> },
    /// Become the owner of a shard.
    Open { shard: Shard, now: Timestamp, reply: oneshot::Sender<Result<Opened, StoreError>> },
}

/// What the writer knows of a shard; the same as its row after every commit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct ShardRow {
    pub(crate) epoch: u64,
    pub(crate) seq: u64,
    pub(crate) seen_at: i64,
    pub(crate) minted: u64,
    pub(crate) tasks: i64,
    pub(crate) tasks_open: i64,
    pub(crate) executions: i64,
    pub(crate) executions_open: i64,
}

pub(crate) type Shards = BTreeMap<Shard, ShardRow>;

#[derive(Debug)]
pub(crate) struct Writer {
    requests: mpsc::Receiver<Request>,
    group_rows: usize,
    search_rows_max: usize,
    checkpoint_bytes: u64,
    written_bytes: u64,
    nudge: Arc<Notify>,
    mail: Arc<Mail>,
    pending: Arc<Pending>,
    clock: Clock,
}

/// An answer that waits for the commit.
enum Answer {
    Committed(oneshot::Sender<Result<Committed, CommitError>>, Result<Committed, CommitError>),
    Opened(oneshot::Sender<Result<Opened, StoreError>>, Opened),
}

/// What one transaction did, to be told once it is on disk.
#[derive(Default)]
struct Group {
    answers: Vec<Answer>,
    letters_to: Vec<Shard>,
    touched: Vec<crate::search::Mark>,
    rows: usize,
    bytes: u64,
}

impl Writer {
    pub(crate) fn new(
        config: &SqliteConfig,
        requests: mpsc::Receiver<Request>,
        (mail, pending): (Arc<Mail>, Arc<Pending>),
        supervisor: &Supervisor,
    ) -> Self {
        Self {
            requests,
            group_rows: config.group_rows.max(1),
            search_rows_max: config.search_lag_rows.saturating_mul(SEARCH_LAG_FACTOR),
            checkpoint_bytes: config.checkpoint_bytes,
            written_bytes: 0,
            nudge: Arc::new(Notify::new()),
            mail,
            pending,
            clock: supervisor.clock().clone(),
        }
    }

    /// Rings when there is something to fold into the file.
    pub(crate) fn checkpoint_nudge(&self) -> Arc<Notify> {
        Arc::clone(&self.nudge)
    }

    /// Writes until told to stop or the last handle is gone; what waits in the inbox then is still
    /// written.
    pub(crate) fn run(
        mut self,
        conn: Connection,
        runtime: &Handle,
        stop: &Stop,
    ) -> Result<(), rusqlite::Error> {
        let ended = self.serve(&conn, runtime, stop);
        self.mail.close();
        self.nudge.notify_one();
        ended
    }

    fn serve(
        &mut self,
        conn: &Connection,
        runtime: &Handle,
        stop: &Stop,
    ) -> Result<(), rusqlite::Error> {
        let mut statements = Statements::prepare(conn)?;
        let mut shards = statements.shards()?;
        loop {
            let first = runtime.block_on(async {
                tokio::select! {
                    biased;
                    // A request taken is returned: nothing is lost by dropping the other branch.
                    request = self.requests.recv() => request,
                    // Dropping the receive takes nothing from the channel.
                    () = stop.stopped() => { self.requests.close(); self.requests.recv().await }
                }
            });
            let Some(first) = first else {
                return Ok(());
            };
            let requests = self.gather(first);
            self.turn(conn, &mut statements, &mut shards, requests)?;
            if self.pending.rows() >= self.search_rows_max {
                // Commits slow down to what the index keeps up with; it always ends, or the server.
                runtime.block_on(stop.until(self.pending.room(self.search_rows_max)));
            }
        }
    }

    /// Everything that waits, up to the size of a group.
    fn gather(&mut self, first: Request) -> Vec<Request> {
        let mut rows = first.rows();
        let mut requests = vec![first];
        while rows < self.group_rows
            && let Ok(request) = self.requests.try_recv()
        {
            rows += request.rows();
            requests.push(request);
        }
        gauge!(figure::INBOX_BATCHES).set(lossy(self.requests.len()));
        requests
    }

    fn turn(
        &mut self,
        conn: &Connection,
        statements: &mut Statements<'_>,
        shards: &mut Shards,
        requests: Vec<Request>,
    ) -> Result<(), rusqlite::Error> {
        let began = self.clock.now();
        let batches = requests.len();
        let before = shards.clone();
        match self.write(statements, (&mut *shards, &before), requests) {
            Ok(group) => {
                histogram!(figure::COMMIT_SECONDS).record(seconds(self.clock.now().since(began)));
                histogram!(figure::COMMIT_BATCHES).record(lossy(batches));
                histogram!(figure::COMMIT_ROWS).record(lossy(group.rows));
                self.published(group);
                Ok(())
            }
            Err(lost) => {
                let (group, error) = *lost;
                counter!(figure::COMMIT_FAILURES).increment(1);
                tracing::error!(%error, batches, "a commit failed; nothing of it was written");
                if !conn.is_autocommit() {
                    statements.rollback()?;
                }
                *shards = before;
                let error = Arc::new(error);
                group.answers.into_iter().for_each(|answer| answer.failed(&error));
                Ok(())
            }
        }
    }

    /// Begins, applies every request, syncs. On an error the transaction is still open or was undone by
    /// SQLite; the group carries everybody who waits.
    fn write(
        &mut self,
        statements: &mut Statements<'_>,
        (shards, before): (&mut Shards, &Shards),
        requests: Vec<Request>,
    ) -> Result<Group, Box<(Group, rusqlite::Error)>> {
        let mut group = Group::default();
        let mut requests = requests.into_iter();
        let done = statements.begin().and_then(|()| {
            for request in requests.by_ref() {
                self.apply(statements, shards, &mut group, request)?;
            }
            statements.write_shards(shards, before)?;
            let (seq, seen) = self.pending.next();
            statements.write_touched((seq, seen), &group.touched)?;
            let syncing = self.clock.now();
            statements.commit()?;
            histogram!(figure::SYNC_SECONDS).record(seconds(self.clock.now().since(syncing)));
            Ok(seq)
        });
        match done {
            Ok(seq) => {
                self.pending.add(seq, std::mem::take(&mut group.touched));
                Ok(group)
            }
            Err(error) => {
                group.answers.extend(requests.map(Answer::of));
                Err(Box::new((group, error)))
            }
        }
    }

    fn apply(
        &self,
        statements: &mut Statements<'_>,
        shards: &mut Shards,
        group: &mut Group,
        request: Request,
    ) -> Result<(), rusqlite::Error> {
        match request {
            Request::Open { shard, now, reply } => {
                let (opened, has_letters) = statements.open_shard(shards, shard, now)?;
                if has_letters {
                    group.letters_to.push(shard);
                }
                group.answers.push(Answer::Opened(reply, opened));
            }
            Request::Commit { batch, reply } => {
                let (rows, bytes) = (batch.rows(), batch.bytes);
                let result = match statements.apply(shards, &batch) {
                    Ok(result) => result,
                    Err(error) => {
                        group.answers.push(Answer::Committed(reply, Err(CommitError::Deposed)));
                        return Err(error);
                    }
                };
                let result = result.map(|done| Committed { at: Some(self.clock.now()), ..done });
                if result.is_ok() {
                    group.rows += rows;
                    group.bytes += bytes;
                    group.letters_to.extend(batch.sends.iter().map(|letter| letter.to));
                    group.touched.extend(batch.marks());
                }
                group.answers.push(Answer::Committed(reply, result));
            }
        }
        Ok(())
    }

    fn published(&mut self, group: Group) {
        self.mail.put(group.letters_to);
        for answer in group.answers {
            answer.send();
        }
        // A row costs some thirty bytes of its own besides its body.
        let overhead = u64::try_from(group.rows).unwrap_or(0) * 32;
        self.written_bytes += group.bytes + overhead + 8_192;
        if self.written_bytes >= self.checkpoint_bytes {
            self.written_bytes = 0;
            self.nudge.notify_one();
        }
    }
}

impl Request {
    fn rows(&self) -> usize {
        match self {
            Self::Commit { batch, .. } => batch.rows(),
            Self::Open { .. } => 1,
        }
    }
}

impl Answer {
    /// For a request that was not reached.
    fn of(request: Request) -> Self {
        match request {
            Request::Commit { reply, .. } => Self::Committed(reply, Err(CommitError::Deposed)),
            Request::Open { shard: _, now, reply } => {
                let epoch = stint_model::shard::Epoch(0);
                Self::Opened(reply, Opened { epoch, minted_max: 0, seen_at: now })
            }
        }
    }

    /// The commit is on disk. Whoever no longer listens is not told.
    fn send(self) {
        match self {
            Self::Committed(reply, result) => drop(reply.send(result)),
            Self::Opened(reply, opened) => drop(reply.send(Ok(opened))),
        }
    }

    /// The commit failed as a whole: nothing of any batch was written.
    fn failed(self, error: &Arc<rusqlite::Error>) {
        let source = Box::new(SharedError(Arc::clone(error)));
        let failed = StoreError::Backend { operation: "commit to", source };
        match self {
            Self::Committed(reply, _) => drop(reply.send(Err(failed.into()))),
            Self::Opened(reply, _) => drop(reply.send(Err(failed))),
        }
    }
}

/// One failure that several callers are told of.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct SharedError(Arc<rusqlite::Error>);

pub(crate) fn seconds(span: Span) -> f64 {
    span.to_std().as_secs_f64()
}

/// For metrics, where the last digits do not matter.
pub(crate) fn lossy(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::from(u32::MAX), f64::from)
}
