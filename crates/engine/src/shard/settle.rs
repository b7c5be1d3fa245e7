//! Settle: what nodes report is applied to the leases they hold. A report that carries another fence
//! than the live lease is stale and changes nothing.

use stint_model::id::{NodeId, TaskUid};
use stint_model::link::{Lease, Outcome, StopReason, ToNode};
use stint_model::payload::Payload;
use stint_model::task::{
    AttemptOutcome, Delivery, Measured, Next, Progress, Task, TaskError, TaskState,
};
use stint_model::time::{Span, Timestamp};
use stint_sched::{Change, Pool, Used, Work};

use super::dispatch::lease_of;
use super::figures::Came;
use super::{Act, Effect, Input, NodeEvent, Reads, Reply, Returned, Shard, TaskLease, Wants, tell};
use crate::error::EngineError;

impl Shard {
    pub(super) fn node(&mut self, event: NodeEvent, reads: &mut Reads) {
        match event {
            NodeEvent::Joined { node, capacity } => {
                self.sched.observe(Change::Node { node, capacity });
                self.keep_forget(node);
                self.calls_look_again();
            }
            NodeEvent::Left { node } => self.node_left(node, reads.now),
            NodeEvent::Pool { node, pool, live, starting } => {
                self.sched.observe(Change::Instances { node, pool: Pool(pool), live, starting });
            }
            NodeEvent::Came { pool } => self.kept_came(pool),
            NodeEvent::Went { instance, pool, failed } => {
                self.kept_went((instance, pool), failed, reads.now);
            }
            NodeEvent::Gauge { instance, pool, gauge } => {
                self.kept_gauge((instance, pool), gauge, reads.now);
            }
            NodeEvent::Started { lease, measured } => {
                if lease.is_call() {
                    self.calls.started(lease.work);
                } else if let Some(held) = self.held(lease) {
                    held.task.started(held.fence, &measured);
                    // Whoever asked has seen that it runs: soon the book knows it, too.
                    if std::mem::take(&mut held.written) {
                        let (leased_at, work) = (held.leased_at, lease.work);
                        self.unwritten.push_back((leased_at, work));
                    }
                }
            }
            NodeEvent::Progress { lease, progress } => {
                if let Some(held) = self.held(lease) {
                    held.task.report(held.fence, progress);
                    // Told to the book like a lease: soon, and with whatever comes first.
                    if held.written {
                        held.written = false;
                        let (leased_at, work) = (held.leased_at, lease.work);
                        self.unwritten.push_back((leased_at, work));
                    }
                }
            }
            NodeEvent::Finished { lease, outcome, returned } => {
                self.finished(lease, outcome, returned, reads);
            }
        }
    }

    /// The live lease a report is about.
    fn held(&mut self, lease: Lease) -> Option<&mut TaskLease> {
        let held = self.leases.get_mut(&lease.work)?;
        let fits = held.fence.epoch == lease.epoch && held.fence.number == lease.attempt;
        if !fits {
            metrics::counter!("stint_stale_reports_total").increment(1);
        }
        fits.then_some(held)
    }

    fn finished(&mut self, lease: Lease, outcome: Outcome, returned: Returned, reads: &mut Reads) {
        if let Some(call) = self.calls.ended(lease.work) {
            let how = (Came::Call, &outcome);
            self.figures.ended(call.function, how, &returned.measured, &self.catalog);
            let used = Used { cpu_micros: returned.measured.cpu_micros, memory_mb_micros: 0 };
            let work = Work(lease.work);
            self.sched.observe(Change::Ended { work, used, at: reads.now });
            if let Outcome::Refused { reason } = outcome {
                self.call_refused(call, reason, reads.now);
            }
            return;
        }
        if self.held(lease).is_none() {
            return;
        }
        let held = self.leases.remove(&lease.work).expect("just seen");
        self.settle(held, outcome, returned, reads);
    }

    fn settle(&mut self, held: TaskLease, outcome: Outcome, returned: Returned, reads: &mut Reads) {
        let TaskLease { mut task, fence, size, leased_at, .. } = held;
        let Returned { result, measured, note } = returned;
        let work = Self::work(task.uid());
        // Fair share counts what the others could not have: the instance's size for as long as
        // the lease held it.
        let micros = reads.now.since(leased_at).micros();
        let used = Used {
            cpu_micros: micros.saturating_mul(u64::from(size.cpu_milli)) / 1_000,
            memory_mb_micros: micros.saturating_mul(u64::from(size.memory_mb)),
        };
        self.sched.observe(Change::Ended { work, used, at: reads.now });
        let how = (Came::Task, &outcome);
        self.figures.ended(task.order().function, how, &measured, &self.catalog);
        if let Some(attempt) = task.attempt() {
            self.figures.phases(attempt, &measured, reads.now);
        }
        let next = match outcome_of(outcome) {
            Some(outcome) => {
                let backoff = self.backoff();
                count_attempt(&outcome);
                task.settle(fence, outcome, result, &measured, (reads.now, backoff))
            }
            None => task.take_back(fence, &measured, reads.now),
        };
        if let Some(note) = note {
            task.note(&note);
        }
        match next {
            Next::Ended(_) => {
                self.put(&task, false);
                self.told_watchers(&task, reads);
                self.ended(task);
            }
            Next::Waits(_) => self.requeue(task),
            Next::Stale => unreachable!("the lease held this very attempt"),
        }
    }

    /// What follows a task's end, once it is in the book.
    pub(super) fn ended(&mut self, task: Task) {
        if let Some(open) = self.open.get_mut(&task.order().account) {
            *open = open.saturating_sub(1);
        }
        count_end(task.state());
        self.step_task_ended(&task);
        self.after_commit(Effect::Ended(task.uid()));
        if task.delivery() == Delivery::Pending {
            self.after_commit(Effect::Act(Act::Deliver(Box::new(task))));
        }
    }

    pub(super) fn tell_waiters(&mut self, uid: TaskUid) {
        let Some(waiters) = self.waiters.remove(&uid) else { return };
        let Some((_, task)) = self.overlay.get(&uid) else { return };
        let task = task.clone();
        for waiter in waiters {
            tell(waiter, Ok(task.clone()));
        }
    }

    pub(super) fn wants_of_watchers(&self, work: u64, wants: &mut Wants) {
        let Some(lease) = self.leases.get(&work) else { return };
        if let Some((execution, _)) = super::flows::step_of(&lease.task) {
            self.want_execution(execution, wants);
        }
        for watcher in lease.task.watchers() {
            if watcher.shard() == self.fence.shard {
                self.want(*watcher, wants);
            }
        }
    }

    /// Leases whose node went silent are given up, attempts whose user code did are ended; stops
    /// whose bound has passed are forced.
    pub(super) fn reconcile(&mut self, now: Timestamp) {
        let mut silent: Vec<u64> = self
            .leases
            .iter()
            .filter(|(_, lease)| lease.lost_at <= now)
            .map(|(work, _)| *work)
            .collect();
        // In order, so that the same history gives the same decisions.
        silent.sort_unstable();
        for work in silent {
            self.give_up(work, unreported("the node reported no end in time"), now);
        }
        let leases = self.leases.iter();
        let quiet = leases.filter(|(_, lease)| !lease.ending && is_quiet(&lease.task, now));
        let mut quiet: Vec<u64> = quiet.map(|(work, _)| *work).collect();
        quiet.sort_unstable();
        for work in quiet {
            let heartbeat = self.leases[&work].task.order().heartbeat.unwrap_or_default();
            self.give_up(work, no_heartbeat(heartbeat), now);
        }
    }

    fn node_left(&mut self, node: NodeId, now: Timestamp) {
        let mut lost: Vec<u64> = self
            .leases
            .iter()
            .filter(|(_, lease)| lease.node == node)
            .map(|(work, _)| *work)
            .collect();
        lost.sort_unstable();
        for work in lost {
            self.give_up(work, unreported("the node is away"), now);
        }
        self.calls_lost(node, now);
        self.sched.observe(Change::NodeGone(node));
    }

    fn give_up(&mut self, work: u64, (outcome, result): (Outcome, Payload), now: Timestamp) {
        let Some(held) = self.leases.remove(&work) else { return };
        let lease = lease_of(self.fence, work, held.fence);
        let stop = ToNode::Stop { lease, reason: StopReason::Deposed, grace: Default::default() };
        self.acts.push(Act::Send(held.node, stop));
        let measured = last_measured(&held.task, now);
        let returned = Returned { result, measured, ..Returned::default() };
        self.settle(held, outcome, returned, &mut Reads::at(now));
    }

    /// Progress told through the API.
    pub(super) fn progress(&mut self, task: TaskUid, progress: Progress, reply: Reply<()>) {
        let work = task.number();
        let Some(held) = self.leases.get_mut(&work) else {
            let message = "only a running task reports progress";
            return tell(
                reply,
                Err(EngineError::refused(stint_model::code::Code::InvalidArgument, message)),
            );
        };
        let fence = held.fence;
        held.task.report(fence, progress);
        let task = held.task.clone();
        self.put(&task, false);
        self.after_commit(Effect::Done(reply));
    }

    /// Answers everybody in a batch that failed; called before the shard is dropped.
    pub(crate) fn fail(self, inputs: Vec<Input>, error: impl Fn() -> EngineError) {
        let effects =
            self.gathering.effects.into_iter().chain(self.in_flight.into_iter().flatten());
        for effect in effects {
            match effect {
                Effect::Accepted(_, reply) => tell(reply, Err(error())),
                Effect::Done(reply) | Effect::Edited(_, reply) => tell(reply, Err(error())),
                Effect::Counted(_, reply) => tell(reply, Err(error())),
                Effect::Flow(followup) => followup.fail(error()),
                Effect::Enqueue(_) | Effect::Ended(_) | Effect::Act(_) => {}
            }
        }
        for waiter in self.waiters.into_values().flatten() {
            tell(waiter, Err(error()));
        }
        self.flows.fail(&error);
        // Inputs that were not decided lose their reply, which tells their callers to try again.
        drop(inputs);
    }
}

/// What becomes of an attempt that nobody will report the end of.
fn unreported(why: &str) -> (Outcome, Payload) {
    (Outcome::SystemError { reason: why.to_owned() }, Payload::empty())
}

/// Whether user code has said nothing for longer than its task allows.
fn is_quiet(task: &Task, now: Timestamp) -> bool {
    let Some(heartbeat) = task.order().heartbeat else { return false };
    let started = task.attempt().map_or(Timestamp::ZERO, |attempt| attempt.started_at);
    let heard = task.progress().map_or(started, |progress| progress.at.max(started));
    task.state() == TaskState::Running && now.since(heard) > heartbeat
}

fn no_heartbeat(heartbeat: Span) -> (Outcome, Payload) {
    let seconds = heartbeat.millis().div_ceil(1_000);
    let message = format!("The function sent no heartbeat for {seconds} seconds");
    let kind = "HeartbeatTimeout".to_owned();
    let body = serde_json::json!({ "errorMessage": message, "errorType": kind });
    let body = serde_json::to_vec(&body).expect("texts serialize");
    let class = "UnhandledInvocationError".to_owned();
    (Outcome::UserError { class, kind, message }, Payload::Inline(body.into()))
}

/// The attempt's outcome; `None` when it was taken back.
fn outcome_of(outcome: Outcome) -> Option<AttemptOutcome> {
    Some(match outcome {
        Outcome::Ok => AttemptOutcome::Ok,
        Outcome::UserError { class, kind, message } => {
            AttemptOutcome::UserError(TaskError { class, kind, message })
        }
        Outcome::NotStarted { message } => AttemptOutcome::UserError(TaskError {
            class: "FunctionNotStarted".to_owned(),
            kind: "FunctionNotStarted".to_owned(),
            message,
        }),
        Outcome::Refused { reason } => AttemptOutcome::Throttled(reason),
        Outcome::SystemError { reason } => AttemptOutcome::SystemError(reason),
        Outcome::Stopped(StopReason::Stopped | StopReason::ClientGone) => AttemptOutcome::Stopped,
        Outcome::Stopped(StopReason::Deposed) => {
            AttemptOutcome::SystemError("the lease was of an older epoch".to_owned())
        }
        Outcome::Stopped(StopReason::TakenBack) => return None,
    })
}

fn last_measured(task: &Task, now: Timestamp) -> Measured {
    let Some(attempt) = task.attempt() else { return Measured::default() };
    Measured {
        instance: attempt.instance,
        placed_at: attempt.placed_at,
        started_at: attempt.started_at,
        ended_at: if attempt.started_at == Timestamp::ZERO { Timestamp::ZERO } else { now },
        cold: attempt.cold,
        memory_milli_mb: attempt.memory_milli_mb,
        cpu_micros: attempt.cpu_micros,
    }
}

fn count_attempt(outcome: &AttemptOutcome) {
    let word = match outcome {
        AttemptOutcome::Ok => "ok",
        AttemptOutcome::UserError(_) => "user_error",
        AttemptOutcome::Throttled(_) => "throttled",
        AttemptOutcome::SystemError(_) => "system_error",
        AttemptOutcome::Stopped => "stopped",
    };
    metrics::counter!("stint_attempts_total", "outcome" => word).increment(1);
}

fn count_end(state: TaskState) {
    metrics::counter!("stint_tasks_ended_total", "state" => state.word()).increment(1);
}
