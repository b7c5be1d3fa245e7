//! The statements of a commit. A batch is checked and written in one go, inside its savepoint: fence,
//! expectations, letters, puts.

use rusqlite::{Connection, ErrorCode, OptionalExtension as _, Statement, params};
use stint_model::id::{TaskUid, number_floor};
use stint_model::shard::{Epoch, LetterId, Shard};
use stint_model::time::{Span, Timestamp};
use stint_store::record::task::read_order;
use stint_store::{CommitError, Committed, Expect, Key, Letter, Opened, StoreError};

use super::encode::{Encoded, Insert, Op};
use super::{ShardRow, Shards};
use crate::search::Mark;

/// Applied letters are remembered this long after they were minted …
const APPLIED_KEPT: Span = Span::from_secs(3_600);
/// … and dropped after every so many.
const APPLIED_PRUNE_EVERY: u64 = 1_024;

/// The world failed, or the batch is refused.
pub(super) type Applied<T> = Result<Result<T, CommitError>, rusqlite::Error>;

macro_rules! statements {
    ($($name:ident: $sql:literal,)*) => {
        /// Every statement of the writer, prepared once.
        #[derive(Debug)]
        pub(crate) struct Statements<'c> {
            applied: u64,
            /// Up to here `task_touched` was emptied.
            forgotten: i64,
            $(pub(super) $name: Statement<'c>,)*
        }

        impl<'c> Statements<'c> {
            pub(crate) fn prepare(conn: &'c Connection) -> rusqlite::Result<Self> {
                Ok(Self { applied: 0, forgotten: 0, $($name: conn.prepare($sql)?,)* })
            }
        }
    };
}

statements! {
    begin: "BEGIN IMMEDIATE",
    commit: "COMMIT",
    rollback: "ROLLBACK",
    savepoint: "SAVEPOINT batch",
    release: "RELEASE batch",
    undo: "ROLLBACK TO batch",
    shard_all: "SELECT shard, epoch, seq, seen_at, minted, tasks, tasks_open, executions,
        executions_open FROM shard",
    shard_put: "INSERT OR REPLACE INTO shard VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    touched_put: "INSERT INTO task_touched VALUES (?1, ?2)",
    touched_delete: "DELETE FROM task_touched WHERE seq <= ?1",
    record_version: "SELECT version FROM record WHERE kind = ?1 AND name = ?2",
    record_put: "INSERT INTO record VALUES (?1, ?2, ?3, 1, ?4) ON CONFLICT (kind, name)
        DO UPDATE SET shard = ?3, version = version + 1, body = ?4",
    record_delete: "DELETE FROM record WHERE kind = ?1 AND name = ?2",
    task_put: "INSERT INTO task VALUES (?1, ?2)",
    task_body: "SELECT body FROM task WHERE uid = ?1",
    task_exists: "SELECT 1 FROM task WHERE uid = ?1",
    task_delete: "DELETE FROM task WHERE uid = ?1",
    life_put: "INSERT OR REPLACE INTO task_life VALUES (?1, ?2)",
    life_delete: "DELETE FROM task_life WHERE uid = ?1",
    open_put: "INSERT OR IGNORE INTO task_open VALUES (?1)",
    open_delete: "DELETE FROM task_open WHERE uid = ?1",
    chosen_put: "INSERT INTO task_chosen VALUES (?1, ?2, ?3)",
    chosen_delete: "DELETE FROM task_chosen WHERE function = ?1 AND id = ?2",
    head_put: "INSERT INTO execution VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    head_change: "UPDATE execution SET status = ?2, ended = ?3, body = ?4 WHERE uid = ?1",
    head_delete: "DELETE FROM execution WHERE uid = ?1",
    document_change: "UPDATE execution_open SET wake_at = ?2, asks = ?3, body = ?4 WHERE uid = ?1",
    document_put: "INSERT INTO execution_open VALUES (?1, ?2, ?3, ?4)",
    document_delete: "DELETE FROM execution_open WHERE uid = ?1",
    rest_put: "INSERT OR REPLACE INTO execution_ended VALUES (?1, ?2)",
    rest_delete: "DELETE FROM execution_ended WHERE uid = ?1",
    history_put: "INSERT INTO history VALUES (?1, ?2, ?3, ?4)",
    history_delete: "DELETE FROM history WHERE execution = ?1",
    letter_put: "INSERT OR IGNORE INTO letter (to_shard, from_shard, number, body)
        VALUES (?1, ?2, ?3, ?4)",
    letter_delete: "DELETE FROM letter WHERE to_shard = ?1 AND from_shard = ?2 AND number = ?3",
    letter_any: "SELECT 1 FROM letter WHERE to_shard = ?1 LIMIT 1",
    applied_any: "SELECT 1 FROM letter_applied WHERE to_shard = ?1 AND from_shard = ?2
        AND number = ?3",
    applied_put: "INSERT OR IGNORE INTO letter_applied VALUES (?1, ?2, ?3)",
    applied_prune: "DELETE FROM letter_applied WHERE to_shard = ?1 AND from_shard = ?2
        AND number < ?3",
}

impl Statements<'_> {
    pub(crate) fn begin(&mut self) -> rusqlite::Result<()> {
        self.begin.raw_execute().map(drop)
    }

    pub(crate) fn commit(&mut self) -> rusqlite::Result<()> {
        self.commit.raw_execute().map(drop)
    }

    pub(crate) fn rollback(&mut self) -> rusqlite::Result<()> {
        self.rollback.raw_execute().map(drop)
    }

    /// Every shard as its row says.
    pub(crate) fn shards(&mut self) -> rusqlite::Result<Shards> {
        let rows = self.shard_all.query_map([], |row| {
            let shard = Shard::new(row.get::<_, u16>(0)?.min(Shard::COUNT_MAX - 1));
            let shard_row = ShardRow {
                epoch: row.get(1)?,
                seq: row.get(2)?,
                seen_at: row.get(3)?,
                minted: row.get(4)?,
                tasks: row.get(5)?,
                tasks_open: row.get(6)?,
                executions: row.get(7)?,
                executions_open: row.get(8)?,
            };
            Ok((shard, shard_row))
        })?;
        rows.collect()
    }

    /// Writes the rows of shards whose sequence moved. The caller only keeps shards it touched or
    /// loaded, of which there are few.
    pub(crate) fn write_shards(
        &mut self,
        shards: &Shards,
        before: &Shards,
    ) -> rusqlite::Result<()> {
        for (shard, row) in shards {
            if before.get(shard) == Some(row) {
                continue;
            }
            self.shard_put.execute(params![
                shard.number(),
                row.epoch,
                row.seq,
                row.seen_at,
                row.minted,
                row.tasks,
                row.tasks_open,
                row.executions,
                row.executions_open
            ])?;
        }
        Ok(())
    }

    /// Remembers durably what the search index has to look at, and forgets what it has seen.
    pub(crate) fn write_touched(
        &mut self,
        (seq, seen): (i64, i64),
        marks: &[Mark],
    ) -> rusqlite::Result<()> {
        if seen > self.forgotten {
            self.touched_delete.execute([seen])?;
            self.forgotten = seen;
        }
        if !marks.is_empty() {
            self.touched_put.execute(params![seq, Mark::pack(marks)])?;
        }
        Ok(())
    }

    pub(crate) fn open_shard(
        &mut self,
        shards: &mut Shards,
        shard: Shard,
        now: Timestamp,
    ) -> rusqlite::Result<(Opened, bool)> {
        let row = shards.entry(shard).or_default();
        let seen_at = Timestamp::from_micros(row.seen_at);
        let minted_then = match seen_at {
            Timestamp::ZERO => 0,
            at => number_floor(at + Span::from_millis(1)) - 1,
        };
        row.epoch += 1;
        row.seen_at = row.seen_at.max(now.micros());
        let minted_max = row.minted.max(minted_then);
        let opened = Opened { epoch: Epoch(row.epoch), minted_max, seen_at };
        Ok((opened, self.letter_any.exists([shard.number()])?))
    }

    /// Writes one batch, or undoes what it wrote and says why it is refused.
    pub(crate) fn apply(&mut self, shards: &mut Shards, batch: &Encoded) -> Applied<Committed> {
        let shard = batch.fence.shard;
        let Some(row) = shards.get_mut(&shard).filter(|row| row.epoch == batch.fence.epoch.0)
        else {
            return Ok(Err(CommitError::Deposed));
        };
        self.savepoint.raw_execute()?;
        let done = self.apply_all(batch)?;
        if done.is_err() {
            self.undo.raw_execute()?;
        }
        self.release.raw_execute()?;
        Ok(done.map(|counts| {
            row.seq += 1;
            row.seen_at = row.seen_at.max(batch.at.micros());
            row.minted = row.minted.max(batch.minted);
            row.tasks += counts.tasks;
            row.tasks_open += counts.open;
            row.executions += counts.executions;
            row.executions_open += counts.executions_open;
            Committed { seq: row.seq, epoch: batch.fence.epoch, at: None }
        }))
    }

    fn apply_all(&mut self, batch: &Encoded) -> Applied<Counts> {
        let mut counts = Counts::default();
        for expect in &batch.expects {
            if let Err(refused) = self.check(expect)? {
                return Ok(Err(refused));
            }
        }
        for letter in &batch.sends {
            self.send(letter)?;
        }
        for id in &batch.applies {
            if let Err(refused) = self.take(batch.fence.shard, *id)? {
                return Ok(Err(refused));
            }
        }
        for op in &batch.ops {
            if let Err(refused) = self.op(op, &mut counts)? {
                return Ok(Err(refused));
            }
        }
        Ok(Ok(counts))
    }

    fn check(&mut self, expect: &Expect) -> Applied<()> {
        let Key { kind, name } = &expect.key;
        let version: Option<u64> = self
            .record_version
            .query_row(params![kind.number(), name], |row| row.get(0))
            .optional()?;
        if version.unwrap_or(0) == expect.version {
            Ok(Ok(()))
        } else {
            Ok(Err(CommitError::Stale(expect.key.clone())))
        }
    }

    fn send(&mut self, letter: &Letter) -> rusqlite::Result<()> {
        let (to, from, number) = (letter.to.number(), letter.id.from.number(), letter.id.number);
        if !self.applied_any.exists(params![to, from, number.cast_signed()])? {
            let body: &[u8] = &letter.body;
            self.letter_put.execute(params![to, from, number.cast_signed(), body])?;
        }
        Ok(())
    }

    fn take(&mut self, to: Shard, id: LetterId) -> Applied<()> {
        let key = (to.number(), id.from.number(), id.number.cast_signed());
        if self.letter_delete.execute(params![key.0, key.1, key.2])? == 0 {
            return Ok(Err(CommitError::LetterApplied));
        }
        self.applied_put.execute(params![key.0, key.1, key.2])?;
        self.applied += 1;
        if self.applied.is_multiple_of(APPLIED_PRUNE_EVERY) {
            let minted_at = TaskUid::from_number(id.number).minted_at();
            let floor = number_floor(minted_at - APPLIED_KEPT).cast_signed();
            self.applied_prune.execute(params![key.0, key.1, floor])?;
        }
        Ok(Ok(()))
    }

    fn op(&mut self, op: &Op, counts: &mut Counts) -> Applied<()> {
        match op {
            Op::Record { key, shard, body } => {
                let body: &[u8] = body;
                self.record_put.execute(params![key.kind.number(), key.name, shard, body])?;
            }
            Op::Delete { key } => {
                self.record_delete.execute(params![key.kind.number(), key.name])?;
            }
            Op::Insert(insert) => return self.insert(insert, counts),
            Op::Update { mark, life, is_open } => {
                return self.update(*mark, life, *is_open, counts);
            }
            Op::Forget { mark } => return self.forget(*mark, counts),
            Op::Head(head) => return self.head(head, counts),
            Op::Document { execution, document } => {
                self.document(*execution, document.as_ref(), counts)?;
            }
            Op::History { execution, first, count, body } => {
                return self.history(*execution, (*first, *count), body);
            }
            Op::ForgetExecution { execution } => self.forget_execution(*execution, counts)?,
        }
        Ok(Ok(()))
    }

    fn insert(&mut self, insert: &Insert, counts: &mut Counts) -> Applied<()> {
        let uid = insert.mark.uid();
        let exists = || Ok(Err(CommitError::TaskExists(insert.mark.task_uid())));
        if is_taken(self.task_put.execute(params![uid, insert.order]))? {
            return exists();
        }
        if let Some(id) = &insert.chosen
            && is_taken(self.chosen_put.execute(params![insert.mark.function(), id, uid]))?
        {
            return exists();
        }
        if insert.is_open {
            self.open_put.execute([uid])?;
            counts.open += 1;
        }
        if let Some(life) = &insert.life {
            self.life_put.execute(params![uid, life])?;
        }
        counts.tasks += 1;
        Ok(Ok(()))
    }

    fn update(
        &mut self,
        mark: Mark,
        life: &[u8],
        is_open: bool,
        counts: &mut Counts,
    ) -> Applied<()> {
        let uid = mark.uid();
        let statement = if is_open { &mut self.open_put } else { &mut self.open_delete };
        let has_moved = statement.execute([uid])? == 1;
        if has_moved {
            counts.open += if is_open { 1 } else { -1 };
        }
        // An open row proves that the task is there; without one, look.
        let proven = is_open != has_moved;
        if !proven && !self.task_exists.exists([uid])? {
            return Ok(Err(CommitError::TaskMissing(mark.task_uid())));
        }
        self.life_put.execute(params![uid, life])?;
        Ok(Ok(()))
    }

    fn forget(&mut self, mark: Mark, counts: &mut Counts) -> Applied<()> {
        let uid = mark.uid();
        let body: Option<Vec<u8>> = self.task_body.query_row([uid], |row| row.get(0)).optional()?;
        let Some(body) = body else {
            return Ok(Ok(()));
        };
        let order = match read_order(&body) {
            Ok(order) => order,
            Err(StoreError::Corrupt { what }) => {
                let what = format!("{} ({what})", mark.task_uid());
                return Ok(Err(StoreError::Corrupt { what }.into()));
            }
            Err(other) => return Ok(Err(other.into())),
        };
        if let Some(id) = &order.chosen_id {
            self.chosen_delete.execute(params![order.function.number().cast_signed(), id])?;
        }
        self.task_delete.execute([uid])?;
        self.life_delete.execute([uid])?;
        if self.open_delete.execute([uid])? == 1 {
            counts.open -= 1;
        }
        counts.tasks -= 1;
        Ok(Ok(()))
    }
}

/// How a batch changes what its shard holds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    tasks: i64,
    open: i64,
    pub(super) executions: i64,
    pub(super) executions_open: i64,
}

/// Whether an insert met a row that is there.
pub(super) fn is_taken(result: rusqlite::Result<usize>) -> rusqlite::Result<bool> {
    match result {
        Ok(_) => Ok(false),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => Ok(true),
        Err(error) => Err(error),
    }
}
