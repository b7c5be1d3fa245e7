//! Submit → commit → enqueue: what the home shard does with the door's orders.

use std::collections::HashSet;
use std::sync::Arc;

use stint_model::code::{Code, Refusal};
use stint_model::function::AsyncConfig;
use stint_model::id::{FunctionId, TaskUid};
use stint_model::limit::Class;
use stint_model::task::{Order, Task};
use stint_model::time::Span;
use stint_sched::Change;

use super::lanes::key_number;
use super::{Effect, Entry, LetterBody, Reads, Reply, Shard, Wants, tell};
use crate::submit::{Accepted, BatchMode, Orders};

/// What the orders of one batch that were looked at so far mean for the next.
#[derive(Default)]
struct Checked {
    /// Chosen ids they take.
    taken: HashSet<(FunctionId, String)>,
    /// How many were fine; they are all of one function.
    fresh: u64,
    /// Those that were refused.
    refused: HashSet<TaskUid>,
}

impl Shard {
    pub(super) fn wants_of_submit(&self, orders: &Orders, wants: &mut Wants) {
        for order in orders.items.iter().flatten() {
            if let Some(id) = &order.chosen_id {
                let id = (order.function, id.clone());
                if !self.new_ids.contains_key(&id) {
                    wants.chosen.push(id);
                }
            }
            for dependency in &order.after {
                if dependency.task.shard() == self.fence.shard {
                    self.want(dependency.task, wants);
                }
            }
        }
    }

    /// Takes the orders into the batch. The callers are told after the commit.
    pub(super) fn accept(
        &mut self,
        orders: Orders,
        reply: Reply<Vec<Result<Accepted, Refusal>>>,
        reads: &mut Reads,
    ) {
        let mut so_far = Checked::default();
        let mut checked: Vec<Result<Order, Refusal>> = Vec::with_capacity(orders.items.len());
        for item in orders.items {
            checked.push(item.and_then(|order| self.check(order, &mut so_far, reads)));
        }
        if orders.mode == BatchMode::AllOrNothing {
            let refused = checked.iter().enumerate();
            let mut refused =
                refused.filter_map(|(index, result)| Some((index, result.as_ref().err()?)));
            if let Some((index, refusal)) = refused.next() {
                let index = orders.places.get(index).copied().unwrap_or(index);
                let message = format!("item {index}: {}", refusal.message);
                return tell(reply, Err(Refusal::new(refusal.code, message).into()));
            }
        }
        let results = checked.into_iter().map(|r| r.map(|order| self.admit(order, reads)));
        let results: Vec<Result<Accepted, Refusal>> = results.collect();
        self.after_commit(Effect::Accepted(results, reply));
    }

    fn check(&self, order: Order, so_far: &mut Checked, reads: &Reads) -> Result<Order, Refusal> {
        let uid = order.uid;
        let checked = self.check_alone(order, so_far, reads);
        match &checked {
            Ok(_) => so_far.fresh += 1,
            Err(_) => {
                so_far.refused.insert(uid);
            }
        }
        checked
    }

    fn check_alone(
        &self,
        order: Order,
        so_far: &mut Checked,
        reads: &Reads,
    ) -> Result<Order, Refusal> {
        if order.after.iter().any(|other| so_far.refused.contains(&other.task)) {
            return Err(Refusal::invalid("it depends on a task of the batch that was refused"));
        }
        let entry = self.catalog.function_by_id(order.function);
        if entry.is_none() {
            let message = format!("function '{}' does not exist", order.function_name);
            return Err(Refusal::new(Code::FunctionNotFound, message));
        }
        if let Some(limit) =
            self.catalog.account(order.account).and_then(|a| a.limits.tasks_queued_max)
        {
            let open = self.open.get(&order.account).copied().unwrap_or(0) + so_far.fresh;
            self.check_open(order.account, (open, limit))?;
        }
        if let Some(id) = &order.chosen_id {
            let key = (order.function, id.clone());
            let taken = self.new_ids.contains_key(&key)
                || reads.chosen.contains_key(&key)
                || so_far.taken.contains(&key);
            if taken {
                let message = format!("async task '{id}' already exists");
                return Err(Refusal::new(Code::AsyncTaskAlreadyExists, message));
            }
            so_far.taken.insert(key);
        }
        Ok(order)
    }

    fn admit(&mut self, order: Order, reads: &mut Reads) -> Accepted {
        let order = Arc::new(order);
        let accepted = Accepted {
            uid: order.uid,
            task_id: order.chosen_id.clone().unwrap_or_else(|| order.uid.to_string()),
            request_id: Arc::clone(&order.request_id),
            task_mode: order.task_mode,
        };
        if let Some(id) = &order.chosen_id {
            let key = (order.function, id.clone());
            self.new_ids.insert(key, (self.gathering_number, order.uid));
        }
        metrics::counter!("stint_tasks_submitted_total").increment(1);
        let task = Task::submit(order);
        self.admit_task(task, reads);
        accepted
    }

    /// A fresh task, from a client or a letter: into the batch, and to the scheduler afterwards.
    pub(super) fn admit_task(&mut self, mut task: Task, reads: &mut Reads) {
        *self.open.entry(task.order().account).or_default() += 1;
        self.look_around(&mut task, reads);
        self.put(&task, true);
        if task.state().is_terminal() {
            return self.ended(task);
        }
        self.after_commit(Effect::Enqueue(entry(&task)));
        self.keep(task);
    }

    /// Tells what `task` depends on that it waits, and it what has ended already.
    pub(super) fn look_around(&mut self, task: &mut Task, reads: &mut Reads) {
        let after: Vec<_> = task.waits_for().to_vec();
        if after.is_empty() {
            return;
        }
        for dependency in after {
            self.watch(dependency.task, task.uid(), reads);
            if let Some(other) = self.look(dependency.task, reads)
                && other.state().is_terminal()
            {
                task.dependency_ended(dependency.task, other.state(), reads.now);
            }
        }
        if task.waits_for().is_empty() && !task.state().is_terminal() {
            let age_max = self.age_max(task);
            task.age_from(reads.now, age_max);
        }
    }

    /// How old a task may become before it starts, as its function says now.
    pub(super) fn age_max(&self, task: &Task) -> Span {
        let order = task.order();
        let function = self.catalog.function_by_id(order.function);
        function.map_or_else(
            || AsyncConfig::default().age_max,
            |function| function.async_config(&order.qualifier).age_max,
        )
    }

    /// Tells `task` that `by` waits for it: at once when it is of this shard, else by letter.
    fn watch(&mut self, task: TaskUid, by: TaskUid, reads: &mut Reads) {
        if task.shard() != self.fence.shard {
            return self.post(task.shard(), &LetterBody::Watch { task, by });
        }
        self.watched(task, by, reads);
    }

    /// The scheduler hears of a task that is in the book now. What it waited for may have ended
    /// since it was accepted, and it may have been stopped.
    pub(super) fn enqueue_committed(&mut self, mut entry: Entry) {
        if let Some((_, task)) = self.overlay.get(&entry.uid) {
            if !task.state().is_waiting() {
                return;
            }
            entry.held = !task.waits_for().is_empty();
            entry.deadline = task.order().expires_at;
        }
        self.enqueue(&entry);
    }

    /// Gives a waiting task to the scheduler.
    pub(super) fn enqueue(&mut self, entry: &Entry) {
        let Some(lane) = self.lane(entry) else {
            self.sweeps.push((entry.function, None));
            return;
        };
        self.observe_key(entry);
        self.sched.observe(Change::Queued {
            work: Self::work(entry.uid),
            lane,
            class: Class::Batch,
            priority: entry.priority,
            eligible_at: entry.eligible_at,
            order_key: entry.order_key,
            limit_key: entry.limit_key,
            deadline: Some(entry.deadline),
        });
        if entry.held {
            self.sched.observe(Change::Held(Self::work(entry.uid)));
        }
    }

    /// A task waits again: in the batch, and with the scheduler at once.
    pub(super) fn requeue(&mut self, task: Task) {
        self.put(&task, false);
        let entry = entry(&task);
        self.keep(task);
        self.enqueue(&entry);
    }
}

/// What the scheduler must know of a waiting task.
pub(super) fn entry(task: &Task) -> Entry {
    let order = task.order();
    let key = |text: &Option<String>| text.as_ref().map(|text| key_number(order.function, text));
    Entry {
        uid: order.uid,
        function: order.function,
        qualifier: Arc::clone(&order.qualifier),
        size: order.size,
        priority: order.priority,
        eligible_at: task.eligible_at(),
        order_key: key(&order.order_key),
        limit_key: key(&order.limit_key),
        deadline: order.expires_at,
        held: !task.waits_for().is_empty(),
    }
}
