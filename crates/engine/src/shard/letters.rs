//! Letters: what crosses shards. A letter is part of the batch that decides it and is applied once,
//! in a batch that remembers it; a letter to oneself is applied in the batch that would send it.

use serde::{Deserialize, Serialize};
use stint_model::id::TaskUid;
use stint_model::shard::{LetterId, Shard as ShardNumber};
use stint_model::task::{Delivery, Order, Task, TaskState};
use stint_sched::Change;
use stint_store::Letter;
use stint_store::record::task::{read_order, write_order};

use super::flows::letters::{FlowLetter, StoredFlowLetter};
use super::{Reads, Shard, Wants};

/// What a letter says.
#[derive(Clone, Debug)]
pub(crate) enum LetterBody {
    /// `by` waits for the end of `task`.
    Watch { task: TaskUid, by: TaskUid },
    /// `task`, which `by` waits for, has ended so.
    Ended { task: TaskUid, state: TaskState, by: TaskUid },
    /// A fresh task for a function of the receiving shard.
    Submit { order: Box<Order> },
    /// About executions.
    Flow(FlowLetter),
}

/// The stored form.
#[derive(Serialize, Deserialize)]
enum StoredLetter {
    WatchV1 { task: u64, by: u64 },
    EndedV1 { task: u64, state: u8, by: u64 },
    SubmitV1 { order: Vec<u8> },
    Flow(StoredFlowLetter),
}

impl LetterBody {
    fn encode(&self) -> bytes::Bytes {
        let stored = match self {
            Self::Watch { task, by } => {
                StoredLetter::WatchV1 { task: task.number(), by: by.number() }
            }
            Self::Ended { task, state, by } => StoredLetter::EndedV1 {
                task: task.number(),
                state: state.number(),
                by: by.number(),
            },
            Self::Submit { order } => StoredLetter::SubmitV1 { order: write_order(order) },
            Self::Flow(letter) => StoredLetter::Flow(letter.store()),
        };
        serde_json::to_vec(&stored).expect("numbers and bytes serialize").into()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        Some(match serde_json::from_slice(bytes).ok()? {
            StoredLetter::WatchV1 { task, by } => {
                Self::Watch { task: TaskUid::from_number(task), by: TaskUid::from_number(by) }
            }
            StoredLetter::EndedV1 { task, state, by } => Self::Ended {
                task: TaskUid::from_number(task),
                state: TaskState::from_number(state)?,
                by: TaskUid::from_number(by),
            },
            StoredLetter::SubmitV1 { order } => {
                Self::Submit { order: Box::new(read_order(&order).ok()?) }
            }
            StoredLetter::Flow(letter) => Self::Flow(FlowLetter::read(letter)?),
        })
    }
}

impl Shard {
    /// Puts a letter for another shard into the batch.
    pub(super) fn post(&mut self, to: ShardNumber, body: &LetterBody) {
        let number = self.mint_number();
        let id = LetterId { from: self.fence.shard, number };
        self.batch.sends.push(Letter { id, to, body: body.encode() });
    }

    pub(super) fn wants_of_letters(&self, letters: &[Letter], wants: &mut Wants) {
        for letter in letters {
            match LetterBody::decode(&letter.body) {
                Some(LetterBody::Watch { task, .. }) => self.want(task, wants),
                Some(LetterBody::Ended { by, .. }) => self.want(by, wants),
                Some(LetterBody::Flow(letter)) => self.wants_of_flow_letter(&letter, wants),
                Some(LetterBody::Submit { .. }) | None => {}
            }
        }
    }

    pub(super) fn letters(&mut self, letters: Vec<Letter>, reads: &mut Reads) {
        for letter in letters {
            if self.batch.applies.contains(&letter.id) {
                continue;
            }
            self.batch.applies.push(letter.id);
            match LetterBody::decode(&letter.body) {
                Some(LetterBody::Watch { task, by }) => self.watched(task, by, reads),
                Some(LetterBody::Ended { task, state, by }) => {
                    self.dependency_ended(by, task, state, reads);
                }
                Some(LetterBody::Submit { order }) => self.submit_letter(*order, reads),
                Some(LetterBody::Flow(letter)) => self.flow_letter(letter, reads),
                None => tracing::error!(id = ?letter.id, "a letter does not read; it is dropped"),
            }
        }
    }

    /// `by` waits for `task` of this shard: it is noted, or told at once that the task has ended.
    pub(super) fn watched(&mut self, uid: TaskUid, by: TaskUid, reads: &mut Reads) {
        let state = if let Some(lease) = self.leases.get_mut(&uid.number()) {
            lease.task.watch(by);
            let task = lease.task.clone();
            self.put(&task, false);
            return;
        } else {
            match self.look(uid, reads) {
                Some(mut task) if !task.state().is_terminal() => {
                    task.watch(by);
                    self.put(&task, false);
                    self.keep(task);
                    return;
                }
                Some(task) => task.state(),
                // What retention has dropped has ended; how is not known any more.
                None => TaskState::Succeeded,
            }
        };
        if by.shard() != self.fence.shard {
            self.post(by.shard(), &LetterBody::Ended { task: uid, state, by });
        }
    }

    /// Tells everybody who waits for a task that it has ended.
    pub(super) fn told_watchers(&mut self, task: &Task, reads: &mut Reads) {
        for by in task.watchers().to_vec() {
            if by.shard() == self.fence.shard {
                self.dependency_ended(by, task.uid(), task.state(), reads);
            } else {
                let body = LetterBody::Ended { task: task.uid(), state: task.state(), by };
                self.post(by.shard(), &body);
            }
        }
    }

    fn dependency_ended(
        &mut self,
        by: TaskUid,
        task: TaskUid,
        state: TaskState,
        reads: &mut Reads,
    ) {
        if self.leases.contains_key(&by.number()) {
            // It was released before; the other task has ended once more.
            return;
        }
        let Some(mut waiting) = self.look(by, reads) else {
            // Not at hand: as a letter to oneself it is read first, in the next turn.
            return self.post(self.fence.shard, &LetterBody::Ended { task, state, by });
        };
        let held_by = waiting.waits_for().len();
        match waiting.dependency_ended(task, state, reads.now) {
            Some(true) => {
                let age_max = self.age_max(&waiting);
                waiting.age_from(reads.now, age_max);
                let deadline = waiting.order().expires_at;
                self.put(&waiting, false);
                self.keep(waiting);
                let work = Self::work(by);
                self.sched.observe(Change::Deadline { work, at: Some(deadline) });
                self.sched.observe(Change::Released(work));
            }
            Some(false) => {
                self.unkeep(by);
                self.sched.observe(Change::Dequeued(Self::work(by)));
                self.put(&waiting, false);
                self.told_watchers(&waiting, reads);
                self.ended(waiting);
            }
            None => {
                if waiting.waits_for().len() < held_by {
                    self.put(&waiting, false);
                    self.keep(waiting);
                }
            }
        }
    }

    fn submit_letter(&mut self, mut order: Order, reads: &mut Reads) {
        order.uid = self.mint_task();
        order.submitted_at = reads.now;
        order.not_before = reads.now;
        self.note_chosen(&order);
        self.admit_task(Task::submit(std::sync::Arc::new(order)), reads);
    }

    /// An outcome is on its way: its own task is marked, and the destination's task is part of the
    /// same batch, here or as a letter. Without an order it could not be delivered.
    pub(super) fn deliver(
        &mut self,
        source: TaskUid,
        order: Option<Box<Order>>,
        reads: &mut Reads,
    ) {
        let Some(mut task) = self.look(source, reads) else { return };
        if task.delivery() != Delivery::Pending {
            return;
        }
        let delivered = if order.is_some() { Delivery::Succeeded } else { Delivery::Failed };
        task.delivered(delivered);
        self.put(&task, false);
        let Some(order) = order else { return };
        let count = self.config.shards;
        let home = ShardNumber::of_function(order.account, &order.function_name, count);
        if home == self.fence.shard {
            self.submit_letter(*order, reads);
        } else {
            self.post(home, &LetterBody::Submit { order });
        }
    }
}
