//! Stop, retry, wait: what a person asks of one task; and retention.

use std::sync::Arc;

use stint_model::code::{Code, Refusal};
use stint_model::id::{FunctionId, TaskUid};
use stint_model::link::{StopReason, ToNode};
use stint_model::payload::Payload;
use stint_model::task::{Delivery, Stop, Task};
use stint_model::time::{Span, Timestamp};
use stint_sched::Change;
use stint_store::Put;

use super::dispatch::lease_of;
use super::{Act, Effect, GoneBlob, Reads, Reply, Shard, tell};
use crate::error::EngineError;

/// A node that was told to stop an attempt has this long beyond the grace to say it is done.
const STOP_SILENCE_MAX: Span = Span::from_secs(10);

fn missing(task: TaskUid) -> EngineError {
    EngineError::refused(Code::AsyncTaskNotFound, format!("async task '{task}' does not exist"))
}

impl Shard {
    pub(super) fn stop(&mut self, uid: TaskUid, reason: &str, reply: Reply<()>, reads: &mut Reads) {
        if self.leases.contains_key(&uid.number()) {
            return self.stop_running(uid, reason, reply, reads.now);
        }
        let Some(mut task) = self.look(uid, reads) else {
            return tell(reply, Err(missing(uid)));
        };
        match task.stop(reason, reads.now) {
            Err(refusal) => tell(reply, Err(refusal.into())),
            Ok(Stop::Ended) => {
                self.unkeep(uid);
                self.sched.observe(Change::Dequeued(Self::work(uid)));
                self.put(&task, false);
                self.told_watchers(&task, reads);
                self.ended(task);
                self.after_commit(Effect::Done(reply));
            }
            Ok(Stop::Already | Stop::TellNode(_)) => {
                unreachable!("a task that is stopping or leased has a lease in memory")
            }
        }
    }

    fn stop_running(&mut self, uid: TaskUid, reason: &str, reply: Reply<()>, now: Timestamp) {
        match self.stop_leased(uid, reason, now) {
            Ok(()) => self.after_commit(Effect::Done(reply)),
            Err(refusal) => tell(reply, Err(refusal.into())),
        }
    }

    /// Ends what runs of a function, tasks and calls; what waits stays.
    pub(super) fn end_all(
        &mut self,
        function: FunctionId,
        refusal: &Refusal,
        reply: Reply<()>,
        now: Timestamp,
    ) {
        let of_it = |lease: &&super::TaskLease| lease.task.order().function == function;
        let mut running: Vec<TaskUid> =
            self.leases.values().filter(of_it).map(|lease| lease.task.uid()).collect();
        running.sort_unstable();
        for uid in running {
            if let Err(refusal) = self.stop_leased(uid, &refusal.message, now) {
                tracing::debug!(%uid, %refusal, "a running task is not stopped");
            }
        }
        self.end_calls(function, refusal);
        self.after_commit(Effect::Done(reply));
    }

    pub(super) fn stop_leased(
        &mut self,
        uid: TaskUid,
        reason: &str,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let (fence, grace) = (self.fence, self.config.stop_grace);
        let lease = self.leases.get_mut(&uid.number()).expect("just seen");
        match lease.task.stop(reason, now)? {
            Stop::TellNode(attempt) => {
                lease.ending = true;
                lease.written = true;
                lease.lost_at = lease.lost_at.min(now + grace + STOP_SILENCE_MAX);
                let node = lease.node;
                let task = lease.task.clone();
                let message = ToNode::Stop {
                    lease: lease_of(fence, uid.number(), attempt),
                    reason: StopReason::Stopped,
                    grace,
                };
                self.put(&task, false);
                self.after_commit(Effect::Act(Act::Send(node, message)));
            }
            Stop::Ended | Stop::Already => {}
        }
        Ok(())
    }

    pub(super) fn retry(&mut self, uid: TaskUid, reply: Reply<()>, reads: &mut Reads) {
        let Some(mut task) = self.look(uid, reads) else {
            return tell(reply, Err(missing(uid)));
        };
        let Some(function) = self.catalog.function_by_id(task.order().function) else {
            let message = format!("function '{}' does not exist", task.order().function_name);
            return tell(reply, Err(EngineError::refused(Code::FunctionNotFound, message)));
        };
        if task.delivery() == Delivery::Pending {
            let message = "the task's outcome is being delivered; try again in a moment";
            return tell(reply, Err(EngineError::refused(Code::ConcurrentUpdateError, message)));
        }
        let age_max = function.async_config(&task.order().qualifier).age_max;
        match task.retry(age_max, reads.now) {
            Err(refusal) => tell(reply, Err(refusal.into())),
            Ok(()) => {
                *self.open.entry(task.order().account).or_default() += 1;
                self.look_around(&mut task, reads);
                self.put(&task, false);
                self.after_commit(Effect::Done(reply));
                if task.state().is_terminal() {
                    return self.ended(task);
                }
                self.after_commit(Effect::Enqueue(super::accept::entry(&task)));
                self.keep(task);
            }
        }
    }

    pub(super) fn wait(&mut self, uid: TaskUid, reply: Reply<Task>, reads: &Reads) {
        match self.look(uid, reads) {
            None => tell(reply, Err(missing(uid))),
            Some(task) if task.state().is_terminal() && !self.is_unwritten(uid) => {
                tell(reply, Ok(task));
            }
            Some(_) => self.waiters.entry(uid).or_default().push(reply),
        }
    }

    /// Whether the task's end is not in the book yet: whoever waits is told after the commit.
    fn is_unwritten(&self, uid: TaskUid) -> bool {
        self.overlay.contains_key(&uid)
    }

    /// Retention: ended tasks go, and what they alone name.
    pub(super) fn forget(&mut self, tasks: &[TaskUid], reply: Reply<usize>, reads: &Reads) {
        let mut blobs = Vec::new();
        let mut count = 0;
        for uid in tasks {
            let Some(task) = self.look(*uid, reads) else { continue };
            let open = !task.state().is_terminal() || task.delivery() == Delivery::Pending;
            if open || self.is_unwritten(*uid) {
                continue;
            }
            for payload in [&task.order().payload, task.result()] {
                if let Payload::Blob { name, len } = payload {
                    let account = task.order().account;
                    blobs.push(GoneBlob { account, name: name.clone(), len: *len });
                }
            }
            self.batch.puts.push(Put::Forget { task: *uid });
            count += 1;
        }
        if !blobs.is_empty() {
            self.after_commit(Effect::Act(Act::DeleteBlobs(blobs)));
        }
        self.after_commit(Effect::Counted(count, reply));
    }

    /// Reads a page of each swept function's open tasks and ends what cannot run any more.
    pub(super) fn sweep(&mut self, reads: &mut Reads) {
        if reads.sweeps.is_empty() {
            return;
        }
        self.sweeps.clear();
        for (function, tasks, next) in std::mem::take(&mut reads.sweeps) {
            if next.is_some() {
                self.sweeps.push((function, next));
            }
            for task in tasks {
                self.sweep_one(task, reads);
            }
        }
    }

    fn sweep_one(&mut self, read: Task, reads: &mut Reads) {
        let uid = read.uid();
        if self.leases.contains_key(&uid.number()) {
            return;
        }
        let Some(mut task) = self.look(uid, reads).or(Some(read)) else { return };
        if !task.state().is_waiting() || self.lane(&super::accept::entry(&task)).is_some() {
            return;
        }
        let order = Arc::new(task.order().clone());
        let why = if self.catalog.function_by_id(order.function).is_none() {
            format!("function '{}' was deleted", order.function_name)
        } else {
            format!(
                "qualifier '{}' of function '{}' leads nowhere",
                order.qualifier, order.function_name
            )
        };
        if task.invalidate(&why, reads.now) {
            self.unkeep(uid);
            self.sched.observe(Change::Dequeued(Self::work(uid)));
            self.put(&task, false);
            self.told_watchers(&task, reads);
            self.ended(task);
        }
    }
}
