//! Dispatch: the scheduler's plan is acted on. A lease goes to its node at once; the book hears of it
//! with the next batch, or first where the function asks for that.

use std::sync::Arc;

use stint_model::id::TaskUid;
use stint_model::limit::Class;
use stint_model::link::{Event, Lease, Start, StopReason, ToNode};
use stint_model::payload::Payload;
use stint_model::session::SessionSeat;
use stint_model::task::{AttemptFence, Place, Task};
use stint_model::time::{Span, Timestamp};
use stint_sched::{Assignment, Change, Eviction, Plan};

use super::lanes::Served;
use super::{Act, Effect, Reads, SILENCE_MAX, Shard, TaskLease};
use crate::sessions::Coming;

/// How many plans one turn makes at most; the rest waits for the next turn.
const PLANS_MAX: u32 = 8;

impl Shard {
    /// Plans and acts until nothing more can start now.
    pub(super) fn dispatch(&mut self, now: Timestamp) {
        if self.draining {
            self.wake_at = None;
            return self.calls_waiting(now);
        }
        self.observe_budgets(now);
        self.observe_elsewhere();
        self.keep_numbers(now);
        for _ in 0..PLANS_MAX {
            let lent = self.borrow_starts(now);
            let plan = self.sched.plan(now, self.config.plan_max);
            self.wake_at = plan.wake_at;
            let moved = self.act_on(plan, now);
            self.settle_loans(now);
            let again = lent || self.wake_at.is_some_and(|at| at <= now);
            if moved == 0 || !again {
                break;
            }
        }
        self.calls_waiting(now);
    }

    /// How many tasks and calls left the backlog.
    fn act_on(&mut self, plan: Plan, now: Timestamp) -> usize {
        for eviction in plan.evictions {
            let (node, pool, count) = (eviction.node, eviction.pool, eviction.count);
            self.acts.push(Act::Send(node, ToNode::Evict { pool: pool.0, count }));
            self.sched.observe(Change::Evicted { node, pool, count });
        }
        self.shrink(&plan.surplus);
        self.keep_acted(&plan.keepings, now);
        for work in plan.takebacks {
            self.take_back(work.0);
        }
        let mut moved = 0;
        for work in plan.expired {
            moved += usize::from(self.expire(TaskUid::from_number(work.0), now));
        }
        for assignment in plan.assignments {
            moved += usize::from(self.start(assignment, now));
        }
        moved
    }

    /// Ends idle instances that demand does not ask for, unless their function says how long those stay, or
    /// sessions live in them.
    fn shrink(&mut self, surplus: &[Eviction]) {
        for Eviction { node, pool, count } in surplus.iter().copied() {
            let Some(served) = self.lanes.by_pool(pool) else { continue };
            let config = &served.revision.config;
            let stays = config.idle_timeout != Span::ZERO;
            if stays || crate::sessions::rules_of(config).is_some() {
                continue;
            }
            self.acts.push(Act::Send(node, ToNode::Evict { pool: pool.0, count }));
            self.sched.observe(Change::Evicted { node, pool, count });
        }
    }

    /// Acts on one assignment. False when the body must be read first.
    fn start(&mut self, assignment: Assignment, now: Timestamp) -> bool {
        let Some(served) = self.lanes.by_pool(assignment.pool).cloned() else {
            return false;
        };
        if !self.has_credentials(&served, now) {
            return false;
        }
        let is_cold = assignment.start == stint_sched::Start::Cold;
        if is_cold && !self.may_start_instance(served.spec.account) {
            return false;
        }
        if self.calls.waits(assignment.work.0) {
            self.start_call(assignment, &served, now);
            return true;
        }
        let uid = TaskUid::from_number(assignment.work.0);
        match self.unkeep(uid) {
            Some(task) => self.lease(task, assignment, &served, now),
            None => {
                if !self.wanted.contains(&uid) {
                    self.wanted.push(uid);
                }
                false
            }
        }
    }

    fn lease(&mut self, mut task: Task, at: Assignment, served: &Served, now: Timestamp) -> bool {
        let place = Place { node: at.node, revision: served.revision.id };
        let Some(fence) = task.lease(self.fence.epoch, place, now) else {
            // What does not wait has no business in the backlog.
            self.sched.observe(Change::Dequeued(at.work));
            return false;
        };
        self.sched.observe(Change::Leased { work: at.work, node: at.node, at: now });
        let mut start = start_of(&task, fence, served, at, self.fence);
        start.session = self.session_of(&task, served, now);
        let start = ToNode::Start(Box::new(start));
        let strict = self
            .catalog
            .function_by_id(task.order().function)
            .is_some_and(|entry| entry.function.limits.strict_start);
        if strict {
            self.put(&task, false);
            self.after_commit(Effect::Act(Act::Send(at.node, start)));
        } else {
            self.unwritten.push_back((now, at.work.0));
            self.acts.push(Act::Send(at.node, start));
        }
        let timeout = timeout_of(&task, served);
        let initializer = served.revision.config.initializer.as_ref();
        let starting = initializer.map_or(Span::ZERO, |hook| hook.timeout) + START_MAX;
        self.leases.insert(
            at.work.0,
            TaskLease {
                fence,
                node: at.node,
                size: served.spec.size,
                leased_at: now,
                written: strict,
                lost_at: now + timeout + starting + SILENCE_MAX,
                ending: false,
                task,
            },
        );
        true
    }

    /// The session a task names by its ordering key, where its function has sessions.
    fn session_of(&self, task: &Task, served: &Served, now: Timestamp) -> Option<SessionSeat> {
        let order = task.order();
        let id = order.order_key.as_deref()?.strip_prefix(stint_model::session::ORDER_KEY)?;
        let config = &served.revision.config;
        let rules = crate::sessions::rules_of(config)?;
        let instances_max = self.catalog.function_by_id(order.function)?.function.instances_max;
        let coming = Coming {
            key: (order.function, Arc::clone(&order.qualifier), id.into()),
            rules: &rules,
            isolation: config.isolation,
            instances_max,
            draw: 0,
        };
        Some(self.link.sessions().visit(&coming, now, now + timeout_of(task, served)))
    }

    /// Bodies that were asked for are here; what cannot be found leaves the backlog.
    pub(super) fn take_fetched(&mut self, reads: &mut Reads) {
        for uid in std::mem::take(&mut self.wanted) {
            if self.bodies.contains_key(&uid) || self.leases.contains_key(&uid.number()) {
                continue;
            }
            match self.look(uid, reads) {
                Some(task) if task.state().is_waiting() => {
                    // Its turn has come: it is kept whatever the cache holds.
                    self.bodies_bytes += super::weight(&task);
                    self.bodies.insert(uid, task);
                }
                Some(_) | None => self.sched.observe(Change::Dequeued(Self::work(uid))),
            }
        }
    }

    /// Leases that have run for a while without settling are written to the book.
    pub(super) fn write_leases(&mut self, now: Timestamp) {
        let delay = self.config.lease_write_delay;
        while let Some((leased_at, work)) = self.unwritten.front().copied() {
            if leased_at + delay > now {
                break;
            }
            self.unwritten.pop_front();
            let Some(lease) = self.leases.get_mut(&work) else { continue };
            if !lease.written && lease.leased_at == leased_at {
                lease.written = true;
                let task = lease.task.clone();
                self.put(&task, false);
            }
        }
    }

    fn take_back(&mut self, work: u64) {
        let grace = self.config.stop_grace;
        let Some(lease) = self.leases.get_mut(&work) else { return };
        if std::mem::replace(&mut lease.ending, true) {
            return;
        }
        let stop = ToNode::Stop {
            lease: lease_of(self.fence, work, lease.fence),
            reason: StopReason::TakenBack,
            grace: grace.min(TAKE_BACK_GRACE),
        };
        self.acts.push(Act::Send(lease.node, stop));
    }

    /// A waiting task is too old. False when its body must be read first.
    fn expire(&mut self, uid: TaskUid, now: Timestamp) -> bool {
        let Some(mut task) = self.unkeep(uid) else {
            if !self.wanted.contains(&uid) {
                self.wanted.push(uid);
            }
            return false;
        };
        self.sched.observe(Change::Dequeued(Self::work(uid)));
        if task.expire(now) {
            metrics::counter!("stint_tasks_expired_total").increment(1);
            self.put(&task, false);
            self.told_watchers(&task, &mut Reads::at(now));
            self.ended(task);
        } else {
            // The scheduler went by what the task said before it was run again by hand.
            let entry = super::accept::entry(&task);
            self.keep(task);
            self.enqueue(&entry);
        }
        true
    }
}

/// Batch work taken back for online work has this long for its PreStop hook.
const TAKE_BACK_GRACE: Span = Span::from_secs(5);
/// An instance may take this long to start (§4.5).
const START_MAX: Span = Span::from_secs(120);

fn timeout_of(task: &Task, served: &Served) -> Span {
    task.order().timeout.unwrap_or(served.revision.config.timeout)
}

pub(super) fn lease_of(
    fence: stint_model::shard::Fence,
    work: u64,
    attempt: AttemptFence,
) -> Lease {
    Lease { shard: fence.shard, epoch: attempt.epoch, work, attempt: attempt.number }
}

fn start_of(
    task: &Task,
    fence: AttemptFence,
    served: &Served,
    at: Assignment,
    owner: stint_model::shard::Fence,
) -> Start {
    let order = task.order();
    Start {
        lease: lease_of(owner, at.work.0, fence),
        spec: Arc::clone(&served.spec),
        class: Class::Batch,
        request_id: Arc::clone(&order.request_id),
        task_id: Some(task.task_id().into()),
        qualifier: Arc::clone(&order.qualifier),
        event: match &order.payload {
            Payload::Inline(bytes) => Event::Inline(bytes.clone()),
            Payload::Blob { name, .. } => Event::Blob(name.clone()),
        },
        timeout: timeout_of(task, served),
        retries: task.user_retries(),
        idempotency_key: format!("{}/{}", order.uid, task.user_retries() + 1).into(),
        log_tail: false,
        session: None,
        warm: at.start == stint_sched::Start::Warm,
    }
}
