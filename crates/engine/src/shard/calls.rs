//! Sync calls: admitted by the same scheduler as tasks, in class online, and never written down.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use stint_model::code::{Code, Refusal};
use stint_model::function::Revision;
use stint_model::id::{FunctionId, NodeId};
use stint_model::limit::{Class, Priority};
use stint_model::link::{Event, Lease, Outcome, Start, StopReason, ToNode};
use stint_model::task::Measured;
use stint_model::time::{Span, Timestamp};
use stint_sched::{Assignment, Cause, Change, Used, Work};

use super::lanes::{LaneKey, Served};
use super::{Act, Call, Shard};
use crate::invoke::Ended;

/// A call has one attempt; a node that refuses it has not begun it.
const ATTEMPT: u32 = 1;
/// Before a call that a node refused looks for room again: what the node holds is heard of meanwhile.
const REFUSED_PAUSE: Span = Span::from_millis(10);

#[derive(Debug, Default)]
pub(super) struct Calls {
    waiting: HashMap<u64, Waiting>,
    /// By when each waiting call gives up; calls that were started meanwhile are skipped.
    give_up: BTreeMap<(Timestamp, u64), ()>,
    running: HashMap<u64, Running>,
    /// Calls that came in since the last plan: told at once when a limit is in their way.
    fresh: Vec<u64>,
}

#[derive(Clone, Debug)]
struct Waiting {
    call: Call,
    give_up_at: Timestamp,
}

#[derive(Debug)]
pub(super) struct Running {
    node: NodeId,
    pub(super) function: FunctionId,
    slot: Arc<crate::invoke::CallSlot>,
    /// The call as it waited, until user code is entered: its node may have no room for it after all.
    again: Option<Box<Waiting>>,
}

impl Calls {
    pub(super) fn waits(&self, work: u64) -> bool {
        self.waiting.contains_key(&work)
    }

    pub(super) fn give_up_at(&self) -> Option<Timestamp> {
        self.give_up.first_key_value().map(|((at, _), ())| *at)
    }

    pub(super) fn ended(&mut self, work: u64) -> Option<Running> {
        self.running.remove(&work)
    }

    /// User code was entered: from here on there is no second try.
    pub(super) fn started(&mut self, work: u64) {
        if let Some(running) = self.running.get_mut(&work) {
            running.again = None;
        }
    }

    fn take(&mut self, work: u64) -> Option<Waiting> {
        let waiting = self.waiting.remove(&work)?;
        self.give_up.remove(&(waiting.give_up_at, work));
        Some(waiting)
    }
}

impl Shard {
    pub(super) fn call(&mut self, call: Call, now: Timestamp) {
        let work = call.slot.work;
        self.queue_call(Waiting { call, give_up_at: now + self.config.online_wait }, now);
        self.calls.fresh.push(work);
    }

    /// A node had no room for a call: it waits on as it did before, or has waited long enough.
    pub(super) fn call_refused(&mut self, running: Running, reason: String, now: Timestamp) {
        let eligible_at = now + REFUSED_PAUSE;
        match running.again.filter(|waiting| waiting.give_up_at > eligible_at) {
            Some(waiting) => self.queue_call(*waiting, eligible_at),
            None => {
                self.link.close_call(running.slot.work);
                running.slot.refuse(Refusal::new(Code::ResourceThrottled, reason));
            }
        }
    }

    fn queue_call(&mut self, waiting: Waiting, eligible_at: Timestamp) {
        let call = &waiting.call;
        let work = call.slot.work;
        let Some(function) = self.catalog.function_by_id(call.function) else {
            let refusal = Refusal::new(Code::FunctionNotFound, "the function was just deleted");
            return self.refuse_call(call, refusal);
        };
        // It was let in at the door before the switch was turned.
        if let Some(disabled) = &function.function.disabled {
            return self.refuse_call(call, disabled.refusal(&function.function.name));
        }
        let key = LaneKey {
            function: call.function,
            qualifier: Arc::clone(&call.version),
            canary: false,
            size: None,
        };
        let Some(lane) = self.lane_of(key, &function) else {
            let refusal = Refusal::new(Code::VersionNotFound, "the version was just deleted");
            return self.refuse_call(call, refusal);
        };
        self.sched.observe(Change::Queued {
            work: Work(work),
            lane,
            class: Class::Online,
            priority: Priority::DEFAULT,
            eligible_at,
            order_key: None,
            limit_key: None,
            deadline: None,
        });
        self.calls.give_up.insert((waiting.give_up_at, work), ());
        self.calls.waiting.insert(work, waiting);
    }

    fn refuse_call(&self, call: &Call, refusal: Refusal) {
        self.link.close_call(call.slot.work);
        call.slot.refuse(refusal);
    }

    pub(super) fn start_call(&mut self, at: Assignment, served: &Served, now: Timestamp) {
        let work = at.work.0;
        let waiting = self.calls.take(work).expect("a waiting call was assigned");
        let again = Some(Box::new(waiting.clone()));
        let call = waiting.call;
        self.sched.observe(Change::Leased { work: at.work, node: at.node, at: now });
        let revision: &Revision = &call.revision;
        let start = Start {
            lease: self.call_lease(work),
            spec: Arc::clone(&served.spec),
            class: Class::Online,
            request_id: Arc::clone(&call.request_id),
            task_id: None,
            qualifier: Arc::clone(&call.qualifier),
            event: Event::Inline(call.payload),
            timeout: revision.config.timeout,
            retries: 0,
            idempotency_key: Arc::clone(&call.request_id),
            log_tail: call.log_tail,
            session: call.session,
            warm: at.start == stint_sched::Start::Warm,
        };
        let running = Running { node: at.node, function: call.function, slot: call.slot, again };
        self.calls.running.insert(work, running);
        self.acts.push(Act::Send(at.node, ToNode::Start(Box::new(start))));
    }

    fn call_lease(&self, work: u64) -> Lease {
        Lease { shard: self.fence.shard, epoch: self.fence.epoch, work, attempt: ATTEMPT }
    }

    /// After planning: calls that a limit holds back are refused at once, calls that only lack
    /// room wait a little.
    pub(super) fn calls_waiting(&mut self, now: Timestamp) {
        for work in std::mem::take(&mut self.calls.fresh) {
            if !self.calls.waits(work) {
                continue;
            }
            let cause = self.sched.explain(Work(work), now).map(|explanation| explanation.cause);
            if let Some(refusal) = cause.and_then(refusal_of) {
                self.drop_call(work, refusal);
            }
        }
        while let Some(at) = self.calls.give_up_at().filter(|at| *at <= now) {
            let ((_, work), ()) = self.calls.give_up.pop_first().expect("just seen");
            tracing::debug!(work, ?at, "a call found no room in time");
            let message = "no node has room for another instance of the function";
            self.drop_call(work, Refusal::new(Code::ResourceThrottled, message));
        }
    }

    /// What stands in the way of waiting calls may have changed.
    pub(super) fn calls_look_again(&mut self) {
        self.calls.fresh = self.calls.waiting.keys().copied().collect();
        self.calls.fresh.sort_unstable();
    }

    fn drop_call(&mut self, work: u64, refusal: Refusal) {
        self.sched.observe(Change::Dequeued(Work(work)));
        if let Some(Waiting { call, .. }) = self.calls.take(work) {
            metrics::counter!("stint_calls_refused_total").increment(1);
            self.refuse_call(&call, refusal);
        }
    }

    /// The caller is gone, or too slow for the answer.
    pub(super) fn end_call(&mut self, work: u64, reason: StopReason) {
        if let Some(Waiting { call, .. }) = self.calls.take(work) {
            self.link.close_call(call.slot.work);
            return self.sched.observe(Change::Dequeued(Work(work)));
        }
        let Some(running) = self.calls.running.get(&work) else { return };
        let lease = self.call_lease(work);
        let grace = self.config.stop_grace;
        self.acts.push(Act::Send(running.node, ToNode::Stop { lease, reason, grace }));
    }

    /// Ends every call of a function. Callers are told at once; nodes end what runs within the grace.
    pub(super) fn end_calls(&mut self, function: FunctionId, refusal: &Refusal) {
        let waiting = self.calls.waiting.iter();
        let waiting = waiting.filter(|(_, waiting)| waiting.call.function == function);
        let mut waiting: Vec<u64> = waiting.map(|(work, _)| *work).collect();
        waiting.sort_unstable();
        for work in waiting {
            self.drop_call(work, refusal.clone());
        }
        let running = self.calls.running.iter();
        let running = running.filter(|(_, running)| running.function == function);
        let mut running: Vec<u64> = running.map(|(work, _)| *work).collect();
        running.sort_unstable();
        for work in running {
            self.link.close_call(work);
            self.calls.running[&work].slot.cut(refusal.clone());
            self.end_call(work, StopReason::Stopped);
        }
    }

    /// A node went away with its calls.
    pub(super) fn calls_lost(&mut self, node: NodeId, now: Timestamp) {
        let mut lost: Vec<u64> = self
            .calls
            .running
            .iter()
            .filter(|(_, running)| running.node == node)
            .map(|(work, _)| *work)
            .collect();
        lost.sort_unstable();
        for work in lost {
            let Some(running) = self.calls.ended(work) else { continue };
            self.sched.observe(Change::Ended { work: Work(work), used: Used::default(), at: now });
            self.link.close_call(work);
            running.slot.end(Ended {
                outcome: Outcome::SystemError { reason: "the node is away".to_owned() },
                body: bytes::Bytes::new(),
                measured: Measured::default(),
                log_tail: bytes::Bytes::new(),
            });
        }
    }
}

/// The refusal of a call that a limit holds back; `None` when waiting may help.
fn refusal_of(cause: Cause) -> Option<Refusal> {
    let exhausted = |message: String| Some(Refusal::new(Code::ResourceExhausted, message));
    match cause {
        Cause::AccountConcurrency { limit } => {
            exhausted(format!("the account runs {limit} invocations, which is its limit"))
        }
        Cause::AccountBudget { .. } => {
            let message = "the account's budget is used up; it begins anew with its next period";
            Some(Refusal::new(Code::QuotaExceeded, message))
        }
        Cause::FunctionConcurrency { limit } => {
            exhausted(format!("the function runs {limit} invocations, which is its limit"))
        }
        Cause::InstancesMax { limit } => {
            exhausted(format!("the function has {limit} instances, which is its limit"))
        }
        Cause::AccountInstances { limit } => {
            exhausted(format!("the account has {limit} instances, which is its limit"))
        }
        Cause::OnlyKept { kept } => exhausted(format!(
            "all {kept} minimum instances of the function are busy, and it has no others"
        )),
        Cause::KeyConcurrency { limit } => {
            exhausted(format!("the key runs {limit} invocations, which is its limit"))
        }
        Cause::AccountRate { .. } | Cause::FunctionRate { .. } | Cause::KeyRate { .. } => {
            exhausted("the rate limit is reached; try again in a moment".to_owned())
        }
        Cause::TooBigForAnyNode { size } => Some(Refusal::new(
            Code::ResourceThrottled,
            format!(
                "an instance takes {} vCPU and {} MB, more than any node has",
                f64::from(size.cpu_milli) / 1_000.0,
                size.memory_mb
            ),
        )),
        Cause::FunctionGone | Cause::NoPool => {
            Some(Refusal::new(Code::FunctionNotFound, "the function was just deleted"))
        }
        Cause::Paused
        | Cause::HeldByDependency
        | Cause::NotYetEligible { .. }
        | Cause::Expired { .. }
        | Cause::OrderKeyBusy { .. }
        | Cause::NoNode
        | Cause::NodeFull { .. }
        | Cause::BehindOthers { .. }
        | Cause::Next => None,
    }
}
