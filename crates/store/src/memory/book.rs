//! The book itself: plain ordered maps and the rules of a commit.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use stint_model::id::{FunctionId, TaskUid, number_floor};
use stint_model::shard::{Epoch, LetterId, Shard};
use stint_model::task::Task;
use stint_model::time::{Span, Timestamp};

use super::executions::Shelf;
use crate::batch::{Batch, Committed, Letter, Put, TaskRow, is_open};
use crate::record::{Key, Kind, Record};
use crate::store::{CommitError, Opened, Page, StoreError, TaskQuery};

#[derive(Debug, Default)]
pub(super) struct Book {
    shards: BTreeMap<Shard, ShardRow>,
    records: BTreeMap<Key, Record>,
    tasks: BTreeMap<TaskUid, Task>,
    chosen: BTreeMap<(FunctionId, String), TaskUid>,
    /// By receiver and arrival.
    letters: BTreeMap<(Shard, u64), Letter>,
    letters_sent: u64,
    pub(super) executions: Shelf,
    applied: BTreeSet<(Shard, LetterId)>,
    /// Shards whose owner has not been told of a letter yet.
    nudges: BTreeSet<Shard>,
}

#[derive(Debug, Default)]
struct ShardRow {
    epoch: Epoch,
    seq: u64,
    seen_at: Timestamp,
    minted: u64,
}

impl Book {
    pub(super) fn shard_open(&mut self, shard: Shard, now: Timestamp) -> Opened {
        let row = self.shards.entry(shard).or_default();
        row.epoch = Epoch(row.epoch.0 + 1);
        let seen_at = row.seen_at;
        // Ids go on after everything that could have been minted by then.
        let minted_then = match seen_at {
            Timestamp::ZERO => 0,
            at => number_floor(at + Span::from_millis(1)) - 1,
        };
        row.seen_at = row.seen_at.max(now);
        let opened = Opened { epoch: row.epoch, minted_max: row.minted.max(minted_then), seen_at };
        if self.letters.range((shard, 0)..=(shard, u64::MAX)).next().is_some() {
            self.nudges.insert(shard);
        }
        opened
    }

    /// Checks everything, then writes everything.
    pub(super) fn commit(&mut self, batch: Batch) -> Result<Committed, CommitError> {
        let shard = batch.fence.shard;
        let row = self.shards.get(&shard).ok_or(CommitError::Deposed)?;
        if row.epoch != batch.fence.epoch {
            return Err(CommitError::Deposed);
        }
        self.check_expects(&batch)?;
        self.check_letters(&batch)?;
        self.check_puts(&batch)?;
        self.executions.check(&batch.puts)?;
        let minted = highest_number(&batch);
        for letter in batch.sends {
            self.send(letter);
        }
        for id in batch.applies {
            self.letters.retain(|(to, _), letter| *to != shard || letter.id != id);
            self.applied.insert((shard, id));
        }
        for put in batch.puts {
            self.put(put);
        }
        let row = self.shards.get_mut(&shard).expect("looked up above");
        row.seq += 1;
        row.seen_at = row.seen_at.max(batch.at);
        row.minted = row.minted.max(minted);
        Ok(Committed { seq: row.seq, epoch: row.epoch, at: None })
    }

    fn check_expects(&self, batch: &Batch) -> Result<(), CommitError> {
        for expect in &batch.expects {
            let version = self.records.get(&expect.key).map_or(0, |record| record.version);
            if version != expect.version {
                return Err(CommitError::Stale(expect.key.clone()));
            }
        }
        Ok(())
    }

    fn check_letters(&self, batch: &Batch) -> Result<(), CommitError> {
        let shard = batch.fence.shard;
        let mut gone = BTreeSet::new();
        for id in &batch.applies {
            let waits = self.waits(shard, *id)
                || batch.sends.iter().any(|letter| letter.to == shard && letter.id == *id);
            if !waits || self.applied.contains(&(shard, *id)) || !gone.insert(*id) {
                return Err(CommitError::LetterApplied);
            }
        }
        Ok(())
    }

    fn check_puts(&self, batch: &Batch) -> Result<(), CommitError> {
        // What this batch itself has done so far: true there, false gone.
        let mut there: BTreeMap<TaskUid, bool> = BTreeMap::new();
        let mut named: BTreeMap<(FunctionId, &str), bool> = BTreeMap::new();
        let mut orders: BTreeMap<TaskUid, &TaskRow> = BTreeMap::new();
        for put in &batch.puts {
            match put {
                Put::Record { .. }
                | Put::Delete { .. }
                | Put::Execution { .. }
                | Put::Document { .. }
                | Put::History { .. }
                | Put::ForgetExecution { .. } => {}
                Put::Task(row) => {
                    let uid = row.uid();
                    let exists =
                        there.get(&uid).copied().unwrap_or_else(|| self.tasks.contains_key(&uid));
                    if !row.is_new {
                        if !exists {
                            return Err(CommitError::TaskMissing(uid));
                        }
                        continue;
                    }
                    let taken = row.chosen_id().is_some_and(|id| {
                        let key = (row.function(), id);
                        named.get(&key).copied().unwrap_or_else(|| {
                            self.chosen.contains_key(&(row.function(), id.to_owned()))
                        })
                    });
                    if exists || taken {
                        return Err(CommitError::TaskExists(uid));
                    }
                    there.insert(uid, true);
                    orders.insert(uid, row);
                    if let Some(id) = row.chosen_id() {
                        named.insert((row.function(), id), true);
                    }
                }
                Put::Forget { task } => {
                    there.insert(*task, false);
                    let stored = self.tasks.get(task).map(Task::order);
                    let order = orders.get(task).map(|row| row.task.order()).or(stored);
                    if let Some(order) = order
                        && let Some(id) = order.chosen_id.as_deref()
                    {
                        named.insert((order.function, id), false);
                    }
                }
            }
        }
        Ok(())
    }

    fn waits(&self, to: Shard, id: LetterId) -> bool {
        self.letters.range((to, 0)..=(to, u64::MAX)).any(|(_, letter)| letter.id == id)
    }

    fn send(&mut self, letter: Letter) {
        if self.waits(letter.to, letter.id) || self.applied.contains(&(letter.to, letter.id)) {
            return;
        }
        self.letters_sent += 1;
        self.nudges.insert(letter.to);
        self.letters.insert((letter.to, self.letters_sent), letter);
    }

    fn put(&mut self, put: Put) {
        match put {
            Put::Record { key, shard, body } => {
                let version = self.records.get(&key).map_or(0, |record| record.version) + 1;
                self.records.insert(key.clone(), Record { key, shard, version, body });
            }
            Put::Delete { key } => {
                self.records.remove(&key);
            }
            Put::Task(row) => {
                if row.is_new
                    && let Some(id) = row.chosen_id()
                {
                    self.chosen.insert((row.function(), id.to_owned()), row.uid());
                }
                self.tasks.insert(row.uid(), row.task);
            }
            Put::Forget { task } => {
                let Some(task) = self.tasks.remove(&task) else { return };
                if let Some(id) = task.order().chosen_id.clone() {
                    self.chosen.remove(&(task.order().function, id));
                }
            }
            put @ (Put::Execution { .. }
            | Put::Document { .. }
            | Put::History { .. }
            | Put::ForgetExecution { .. }) => self.executions.put(put),
        }
    }

    pub(super) fn record_get(&self, key: &Key) -> Option<Record> {
        self.records.get(key).cloned()
    }

    pub(super) fn record_list(
        &self,
        kind: Kind,
        prefix: &str,
        cursor: Option<&str>,
        limit: usize,
    ) -> Page<Record> {
        let start = match cursor {
            Some(name) if name >= prefix => Bound::Excluded(Key::new(kind, name)),
            Some(_) | None => Bound::Included(Key::new(kind, prefix)),
        };
        let mut found =
            self.records.range((start, Bound::Unbounded)).map(|(_, record)| record).take_while(
                |record| record.key.kind == kind && record.key.name.starts_with(prefix),
            );
        let items: Vec<Record> = found.by_ref().take(limit.max(1)).cloned().collect();
        let more = found.next().is_some();
        let next = items.last().filter(|_| more).map(|record| record.key.name.clone());
        Page { items, next }
    }

    pub(super) fn tasks(&self) -> impl Iterator<Item = &Task> {
        self.tasks.values()
    }

    pub(super) fn task(&self, uid: TaskUid) -> Option<&Task> {
        self.tasks.get(&uid)
    }

    pub(super) fn chosen(&self, key: &(FunctionId, String)) -> Option<TaskUid> {
        self.chosen.get(key).copied()
    }

    pub(super) fn task_list(&self, query: &TaskQuery) -> Result<Page<Task>, StoreError> {
        let after = query.resume()?.map_or(Bound::Unbounded, Bound::Excluded);
        let size = query.page_size();
        let (items, more) = if query.ascending {
            page(self.tasks.range((after, Bound::Unbounded)), query, size)
        } else {
            page(self.tasks.range((Bound::Unbounded, after)).rev(), query, size)
        };
        let next = items.last().filter(|_| more).map(|task: &Task| task.uid().to_string());
        Ok(Page { items, next })
    }

    pub(super) fn task_open(
        &self,
        shard: Shard,
        after: Option<TaskUid>,
        limit: usize,
    ) -> Vec<Task> {
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.tasks
            .range((after, Bound::Unbounded))
            .filter(|(uid, task)| uid.shard() == shard && is_open(task))
            .map(|(_, task)| task.clone())
            .take(limit)
            .collect()
    }

    pub(super) fn task_old(&self, shard: Shard, before: Timestamp, limit: usize) -> Vec<TaskUid> {
        self.tasks
            .values()
            .filter(|task| task.uid().shard() == shard && !is_open(task))
            .filter(|task| task.order().submitted_at < before)
            .map(Task::uid)
            .take(limit)
            .collect()
    }

    pub(super) fn letter_list(&self, to: Shard, limit: usize) -> Vec<Letter> {
        let letters = self.letters.range((to, 0)..=(to, u64::MAX));
        letters.take(limit).map(|(_, letter)| letter.clone()).collect()
    }

    pub(super) fn take_nudge(&mut self, to: Shard) -> bool {
        self.nudges.remove(&to)
    }

    pub(super) fn figures(&self) -> Vec<(&'static str, u64)> {
        let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        let open = self.tasks.values().filter(|task| !task.state().is_terminal()).count();
        vec![
            ("tasks", count(self.tasks.len())),
            ("tasks_open", count(open)),
            ("executions", count(self.executions.len())),
            ("executions_open", count(self.executions.len_open())),
            ("records", count(self.records.len())),
            ("letters", count(self.letters.len())),
            ("search_lag", 0),
        ]
    }
}

/// The highest minted number a batch shows.
fn highest_number(batch: &Batch) -> u64 {
    let shard = batch.fence.shard;
    let uids = batch.puts.iter().filter_map(|put| match put {
        Put::Task(row) if row.is_new && row.uid().shard() == shard => Some(row.uid().number()),
        Put::Execution { is_new: true, execution } if execution.uid.shard() == shard => {
            Some(execution.uid.number())
        }
        Put::Task(_)
        | Put::Record { .. }
        | Put::Delete { .. }
        | Put::Forget { .. }
        | Put::Execution { .. }
        | Put::Document { .. }
        | Put::History { .. }
        | Put::ForgetExecution { .. } => None,
    });
    let sends = batch.sends.iter().map(|letter| letter.id);
    let numbers = sends.filter(|id| id.from == shard).map(|id| id.number);
    uids.chain(numbers).max().unwrap_or(0).max(batch.minted)
}

fn page<'a>(
    tasks: impl Iterator<Item = (&'a TaskUid, &'a Task)>,
    query: &TaskQuery,
    size: usize,
) -> (Vec<Task>, bool) {
    let mut found = tasks.map(|(_, task)| task).filter(|task| query.matches(task));
    let items: Vec<Task> = found.by_ref().take(size).cloned().collect();
    (items, found.next().is_some())
}
