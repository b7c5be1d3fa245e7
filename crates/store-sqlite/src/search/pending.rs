//! The tasks that the search index has not seen since they changed: in memory for queries and the
//! indexer, and in the book (`task_touched`, one row per commit) so that a crash forgets none.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;
use stint_model::id::TaskUid;
use stint_store::{TaskQuery, TaskRow};
use tokio::sync::watch;

/// A task that changed, with what a query can rule it out by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Mark {
    uid: u64,
    /// Zero: not known.
    account: u64,
    function: u64,
}

impl Mark {
    pub(crate) fn of(row: &TaskRow) -> Self {
        Self {
            uid: row.uid().number(),
            account: row.account().number(),
            function: row.function().number(),
        }
    }

    pub(crate) const fn unknown(uid: u64) -> Self {
        Self { uid, account: 0, function: 0 }
    }

    /// As a row id.
    pub(crate) const fn uid(self) -> i64 {
        self.uid.cast_signed()
    }

    pub(crate) const fn task_uid(self) -> TaskUid {
        TaskUid::from_number(self.uid)
    }

    /// As a column.
    pub(crate) const fn function(self) -> i64 {
        self.function.cast_signed()
    }

    /// Whether the task may meet the query; what is not known may.
    fn may_match(self, query: &TaskQuery) -> bool {
        self.account == 0
            || (query.account.is_none_or(|account| account.number() == self.account)
                && (query.functions.is_empty()
                    || query.functions.iter().any(|f| f.number() == self.function)))
    }

    /// Eight bytes each.
    pub(crate) fn pack(marks: &[Self]) -> Vec<u8> {
        marks.iter().flat_map(|mark| mark.uid.to_be_bytes()).collect()
    }

    fn unpack(bytes: &[u8]) -> impl Iterator<Item = Self> {
        bytes.as_chunks().0.iter().map(|eight| Self::unknown(u64::from_be_bytes(*eight)))
    }
}

/// Commits the index has not seen, oldest first.
#[derive(Debug)]
pub(crate) struct Pending {
    state: Mutex<State>,
    /// Rows that wait; sent on every change.
    rows: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct State {
    commits: VecDeque<(i64, Vec<Mark>)>,
    rows: usize,
    /// The highest number given to a commit, in the book or by this process.
    last: i64,
    /// Everything up to here is in the index.
    seen: i64,
}

impl Pending {
    /// What a process before this one left.
    pub(crate) fn load(conn: &Connection) -> rusqlite::Result<Self> {
        let mut statement = conn.prepare("SELECT seq, uids FROM task_touched ORDER BY seq")?;
        let read = |row: &rusqlite::Row<'_>| {
            let uids: Vec<u8> = row.get(1)?;
            Ok((row.get(0)?, Mark::unpack(&uids).collect()))
        };
        let commits: VecDeque<(i64, Vec<Mark>)> =
            statement.query_map([], read)?.collect::<rusqlite::Result<_>>()?;
        let rows = commits.iter().map(|(_, marks)| marks.len()).sum();
        let last = commits.back().map_or(0, |(seq, _)| *seq);
        let state = Mutex::new(State { commits, rows, last, seen: 0 });
        Ok(Self { state, rows: watch::Sender::new(rows) })
    }

    /// The next commit's number; and up to which the book may forget.
    pub(crate) fn next(&self) -> (i64, i64) {
        let mut state = self.lock();
        state.last += 1;
        (state.last, state.seen)
    }

    /// Returns when fewer than `rows_max` rows wait.
    pub(crate) async fn room(&self, rows_max: usize) {
        let mut rows = self.rows.subscribe();
        // The sender is part of self.
        drop(rows.wait_for(|rows| *rows < rows_max).await);
    }

    /// Returns when the index has seen what was committed before the call.
    pub(crate) async fn settled(&self) {
        let mut rows = self.rows.subscribe();
        let target = self.lock().commits.back().map_or(0, |(seq, _)| *seq);
        let seen = |_: &usize| self.lock().commits.front().is_none_or(|(seq, _)| *seq > target);
        drop(rows.wait_for(seen).await);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A commit is on disk; called before it is answered, so that who reads after the answer sees it.
    pub(crate) fn add(&self, seq: i64, marks: Vec<Mark>) {
        if marks.is_empty() {
            return;
        }
        let mut state = self.lock();
        state.rows += marks.len();
        state.commits.push_back((seq, marks));
        let rows = state.rows;
        drop(state);
        self.rows.send_replace(rows);
    }

    pub(crate) fn rows(&self) -> usize {
        self.lock().rows
    }

    /// Tells of every change of [`Self::rows`].
    pub(crate) fn watch(&self) -> watch::Receiver<usize> {
        self.rows.subscribe()
    }

    /// The oldest commits with about `limit` rows: the last one's number and the uids, each once.
    pub(crate) fn oldest(&self, limit: usize) -> Option<(i64, Vec<i64>)> {
        let state = self.lock();
        let mut uids: Vec<i64> = Vec::new();
        let mut last = None;
        for (seq, marks) in &state.commits {
            if !uids.is_empty() && uids.len() + marks.len() > limit {
                break;
            }
            uids.extend(marks.iter().map(|mark| mark.uid()));
            last = Some(*seq);
        }
        drop(state);
        uids.sort_unstable();
        uids.dedup();
        last.map(|last| (last, uids))
    }

    /// The index has seen everything up to a commit.
    pub(crate) fn seen(&self, last: i64) {
        let mut state = self.lock();
        while state.commits.front().is_some_and(|(seq, _)| *seq <= last) {
            let (_, marks) = state.commits.pop_front().expect("there is a front");
            state.rows -= marks.len();
        }
        state.seen = state.seen.max(last);
        let rows = state.rows;
        drop(state);
        self.rows.send_replace(rows);
    }

    /// Uids that may meet the query, in order, each once.
    pub(crate) fn candidates(&self, query: &TaskQuery, first: i64, last: i64) -> Vec<i64> {
        let state = self.lock();
        let marks = state.commits.iter().flat_map(|(_, marks)| marks);
        let mut uids: Vec<i64> = marks
            .filter(|mark| (first..=last).contains(&mark.uid()) && mark.may_match(query))
            .map(|mark| mark.uid())
            .collect();
        drop(state);
        uids.sort_unstable();
        uids.dedup();
        uids
    }
}

#[cfg(test)]
mod tests {
    use stint_store::conformance::life::{ACCOUNTS, Lives};

    use super::*;

    fn pending() -> Pending {
        Pending { state: Mutex::default(), rows: watch::Sender::new(0) }
    }

    #[test]
    fn marks_pack_and_unpack() {
        let marks = [Mark::unknown(5), Mark::unknown(u64::MAX >> 1)];
        assert_eq!(Mark::unpack(&Mark::pack(&marks)).collect::<Vec<_>>(), marks);
    }

    #[test]
    fn commits_go_in_order_and_in_steps() {
        let pending = pending();
        for seq in 1..=3 {
            pending.add(seq, vec![Mark::unknown(7), Mark::unknown(seq.cast_unsigned())]);
        }
        pending.add(4, Vec::new());
        assert_eq!(pending.oldest(1), Some((1, vec![1, 7])), "one commit at least");
        assert_eq!(pending.oldest(100), Some((3, vec![1, 2, 3, 7])));
        pending.seen(2);
        assert_eq!((pending.rows(), pending.oldest(9)), (2, Some((3, vec![3, 7]))));
        pending.seen(3);
        assert_eq!((pending.rows(), pending.oldest(9)), (0, None));
    }

    #[test]
    fn candidates_are_ruled_out_by_account_and_window_only() {
        let mut lives = Lives::new(1, stint_model::shard::Shard::FIRST);
        let (one, two) = (lives.of(0, None), lives.of(1, None));
        let pending = pending();
        let mark = |task: &stint_model::task::Task| Mark::of(&TaskRow::new(task.clone(), true));
        pending.add(1, vec![mark(&one), mark(&two), Mark::unknown(3), mark(&one)]);
        let query = TaskQuery { account: Some(ACCOUNTS[1]), ..TaskQuery::default() };
        let two = mark(&two).uid();
        assert_eq!(pending.candidates(&query, 0, i64::MAX), [3, two]);
        assert_eq!(pending.candidates(&query, 4, i64::MAX), [two]);
        assert_eq!(pending.candidates(&TaskQuery::default(), 0, 9), [3]);
    }
}
