//! Calls of steps: what a step wants becomes a task, a child, a request or work for pollers; and a task that
//! ended becomes an event of its execution.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;
use stint_flow::{Call, CallId, EventBody};
use stint_model::code::Code;
use stint_model::function::{LATEST, RetryPolicy};
use stint_model::id::{ExecutionUid, FunctionId, RequestId, TaskUid};
use stint_model::limit::Priority;
use stint_model::payload::Payload;
use stint_model::shard::Shard as ShardNumber;
use stint_model::task::{Order, Task, request_text};
use stint_model::time::Timestamp;
use stint_sched::Change;

use super::integration::{
    Aim, FunctionShape, TaskEnd, Wait, Wrong, accepted_of, aim, answer_of, failure_of, uncallable,
};
use super::letters::FlowLetter;
use super::live::Live;
use super::notes::{Ask, Target, task_of};
use super::{FlowAct, Happening, Shard};
use crate::shard::{Act, Effect, LetterBody, Reads};

/// What a function's task is made of.
struct FunctionCall {
    name: String,
    qualifier: String,
    event: Value,
    shape: FunctionShape,
    how: Wait,
}

/// The chosen id of a step's task: no client can choose one with a dot.
fn chosen_id(execution: ExecutionUid, call: CallId) -> String {
    format!("{execution}.{call}")
}

/// The execution and the call that a task is of.
pub(crate) fn step_of(task: &Task) -> Option<(ExecutionUid, CallId)> {
    let (execution, call) = task.order().chosen_id.as_deref()?.split_once('.')?;
    Some((execution.parse().ok()?, call.parse().ok()?))
}

fn failed(call: CallId, wrong: Wrong) -> EventBody {
    EventBody::Failed { call, error: Some(wrong.error), cause: Some(wrong.cause) }
}

impl Shard {
    pub(super) fn submit_call(&mut self, live: &mut Live, call: Call, reads: &mut Reads) {
        metrics::counter!("stint_flow_calls_total").increment(1);
        let (uid, id) = (live.head.uid, call.id);
        let done = match aim(&call, live.definition.plan.dialect()) {
            Err(wrong) => Err(wrong),
            Ok(Aim::Function { name, qualifier, event, shape, how }) => {
                let function = FunctionCall { name, qualifier, event, shape, how };
                self.submit_function(live, (id, call.timeout), function, reads)
            }
            Ok(Aim::Flow { name, execution, input, told, how }) => {
                self.start_child(live, (id, name, execution), (input, told, how), reads)
            }
            Ok(Aim::Http(order)) => {
                let order = Box::new(order);
                live.notes.call(id, Target::Http { url: order.url.clone() });
                live.notes.ask(Ask::Http { call: id, order: order.clone() });
                let act = FlowAct::Http { execution: uid, call: id, order };
                self.after_commit(Effect::Act(Act::Flow(act)));
                Ok(())
            }
            Ok(Aim::Activity { name }) => self.offer_work(live, name, call),
        };
        if let Err(wrong) = done {
            let event = Box::new(failed(id, wrong));
            self.flows.queue.push_back((uid, Happening::Event(event)));
        }
    }

    fn submit_function(
        &mut self,
        live: &mut Live,
        (id, timeout): (CallId, Option<u64>),
        call: FunctionCall,
        reads: &mut Reads,
    ) -> Result<(), Wrong> {
        let order = self.step_order(live, (id, timeout), &call, reads)?;
        let (uid, function, name) =
            (live.head.uid, order.function, order.function_name.to_string());
        let is_detached = call.how == Wait::Accepted;
        if is_detached {
            let output = accepted_of(call.shape, &order.request_id);
            let event = EventBody::Succeeded { call: id, output };
            self.flows.queue.push_back((uid, Happening::Event(Box::new(event))));
        }
        let home =
            ShardNumber::of_function(order.account, &order.function_name, self.config.shards);
        let mut task = None;
        if home == self.fence.shard {
            let mut order = order;
            order.uid = self.mint_task();
            task = Some(order.uid.number());
            self.note_chosen(&order);
            metrics::counter!("stint_tasks_submitted_total").increment(1);
            self.admit_task(Task::submit(Arc::new(order)), reads);
        } else {
            self.post(home, &LetterBody::Submit { order: Box::new(order) });
        }
        if !is_detached {
            let (shape, how) = (call.shape, call.how);
            live.notes
                .call(id, Target::Task { function: function.number(), name, task, shape, how });
        }
        Ok(())
    }

    fn step_order(
        &mut self,
        live: &Live,
        (id, timeout): (CallId, Option<u64>),
        call: &FunctionCall,
        reads: &Reads,
    ) -> Result<Order, Wrong> {
        let dialect = live.definition.plan.dialect();
        let account = live.head.account;
        // The old form names a service before the function; here it has no meaning.
        let bare = call.name.rsplit_once('$').map(|(_, name)| name);
        let entry = self.catalog.function(account, &call.name);
        let entry = entry.or_else(|| self.catalog.function(account, bare?));
        let Some(entry) = entry else {
            let message = format!("function '{}' does not exist", call.name);
            return Err(uncallable(dialect, Code::FunctionNotFound.text(), message));
        };
        let qualifier = if call.qualifier == "$LATEST" { LATEST } else { &call.qualifier };
        let entropy = self.flows.entropy(&reads.seed);
        let draw = u32::from_le_bytes([entropy[0], entropy[1], entropy[2], 0]) % 1_000_000;
        let refused = |refusal: stint_model::code::Refusal| {
            uncallable(dialect, refusal.code.text(), refusal.message)
        };
        let target = entry.resolve(qualifier, draw).map_err(refused)?;
        if let Some(disabled) = &entry.function.disabled {
            return Err(refused(disabled.refusal(&entry.function.name)));
        }
        let payload = serde_json::to_vec(&call.event).expect("JSON values serialize");
        let request = RequestId::new(reads.now, u128::from_le_bytes(entropy));
        let is_detached = call.how == Wait::Accepted;
        let config = entry.async_config(qualifier);
        // The step retries, not the task; what nobody waits for is as any async call.
        let retry = if is_detached {
            config.retry.clone()
        } else {
            RetryPolicy { retries_max: 0, ..config.retry.clone() }
        };
        Ok(Order {
            uid: TaskUid::from_number(0),
            account,
            function: entry.function.id,
            function_name: Arc::clone(&entry.function.name),
            qualifier: target.qualifier,
            chosen_id: (!is_detached).then(|| chosen_id(live.head.uid, id)),
            request_id: request_text(request),
            task_mode: config.task_mode || !is_detached,
            submitted_at: reads.now,
            not_before: reads.now,
            // How long it may wait is the step's to say: it stops what it does not want any more.
            expires_at: if is_detached { reads.now + config.age_max } else { Timestamp::MAX },
            priority: Priority::DEFAULT,
            tags: BTreeMap::new(),
            order_key: None,
            limit_key: None,
            after: Vec::new(),
            timeout: timeout
                .filter(|_| call.how != Wait::Reported)
                .map(stint_model::time::Span::from_secs),
            heartbeat: None,
            size: None,
            retry,
            on_success: if is_detached { config.on_success.clone() } else { String::new() },
            on_failure: if is_detached { config.on_failure.clone() } else { String::new() },
            payload: Payload::Inline(Bytes::from(payload)),
            letter: None,
        })
    }

    /// A task's chosen id is taken from now on.
    pub(in crate::shard) fn note_chosen(&mut self, order: &Order) {
        if let Some(id) = &order.chosen_id {
            let key = (order.function, id.clone());
            self.new_ids.insert(key, (self.gathering_number, order.uid));
        }
    }

    /// The task of a step ended: its execution is told, in this batch or by letter.
    pub(in crate::shard) fn step_task_ended(&mut self, task: &Task) {
        if let Some((uid, call)) = step_of(task) {
            self.tell_execution(uid, Happening::Task(call, Box::new(TaskEnd::of(task))));
        }
    }

    /// What the end of a task is to its execution. None when the call is not open any more.
    pub(super) fn task_ended(
        &mut self,
        uid: ExecutionUid,
        call: CallId,
        end: &TaskEnd,
    ) -> Option<EventBody> {
        let live = self.flows.live.get(&uid)?;
        let Some(Target::Task { shape, how, .. }) = live.notes.target(call) else { return None };
        let dialect = live.definition.plan.dialect();
        if !end.is_well() {
            return Some(failed(call, failure_of(dialect, end)));
        }
        if *how == Wait::Reported {
            return Some(EventBody::Submitted { call });
        }
        Some(match answer_of(*shape, end) {
            Ok(output) => EventBody::Succeeded { call, output },
            Err(wrong) => failed(call, wrong),
        })
    }

    /// Nobody waits for a call any more: what works on it is stopped where that is possible.
    pub(super) fn stop_call(&mut self, live: &mut Live, call: CallId, reads: &mut Reads) {
        let Some(target) = live.notes.end_call(call) else { return };
        let task = task_of(&target);
        match target {
            Target::Task { function, name, .. } => {
                let reason = "the step that called it does not wait any more";
                match task {
                    Some(task) => self.stop_task(task, reason, reads),
                    None => {
                        let home =
                            ShardNumber::of_function(live.head.account, &name, self.config.shards);
                        let function = FunctionId::from_number(function);
                        let chosen = chosen_id(live.head.uid, call);
                        let reason = reason.to_owned();
                        self.post_flow(home, FlowLetter::StopStep { function, chosen, reason });
                    }
                }
            }
            Target::Child { list, name, how, .. } => {
                if how != Wait::Accepted {
                    let home = ShardNumber::of_execution(list, &name, self.config.shards);
                    self.post_flow(home, FlowLetter::StopExecution { list, name });
                }
            }
            Target::Work { activity, .. } => self.withdraw_work(live, &activity, call),
            Target::Http { .. } | Target::Map => {}
        }
    }

    /// Stops a task of this shard, whatever it does; one that is not at hand is read first.
    pub(in crate::shard) fn stop_task(&mut self, uid: TaskUid, reason: &str, reads: &mut Reads) {
        if self.leases.contains_key(&uid.number()) {
            if let Err(refusal) = self.stop_leased(uid, reason, reads.now) {
                tracing::debug!(%uid, %refusal, "the task of a step is not stopped");
            }
            return;
        }
        let Some(mut task) = self.look(uid, reads) else {
            let reason = reason.to_owned();
            return self.post_flow(self.fence.shard, FlowLetter::StopTask { task: uid, reason });
        };
        if task.state().is_waiting() && task.stop(reason, reads.now).is_ok() {
            self.unkeep(uid);
            self.sched.observe(Change::Dequeued(Self::work(uid)));
            self.put(&task, false);
            self.told_watchers(&task, reads);
            self.ended(task);
        }
    }
}
