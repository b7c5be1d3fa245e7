//! What a trigger's source delivered: its tasks and how far it is, in one batch. Either all of it is in the
//! book or nothing, so a crash neither loses an event nor doubles one.

use stint_model::code::{Code, Refusal};
use stint_model::id::TaskUid;
use stint_model::task::Order;
use stint_model::trigger::TriggerCursor;
use stint_store::record::trigger as stored;
use stint_store::{CommitError, Expect, Key, Put};

use super::accept::Checked;
use super::{Effect, Reads, Reply, Shard, Wants, tell};
use crate::error::EngineError;

/// What is to be committed together.
#[derive(Debug)]
pub(crate) struct Fire {
    /// The function's and the trigger's names in the account: where the cursor lies.
    pub(crate) key: Key,
    /// The version the cursor was read at; zero: there is none.
    pub(crate) version: u64,
    /// What the cursor becomes, but for what only the shard knows: how many tasks are new.
    pub(crate) cursor: TriggerCursor,
    /// What the events ask for.
    pub(crate) orders: Vec<Order>,
}

/// What was committed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Fired {
    /// The cursor as it is in the book.
    pub(crate) cursor: TriggerCursor,
    /// Its version.
    pub(crate) version: u64,
    /// For each order its task; `None` when a task of its id was there already.
    pub(crate) tasks: Vec<Option<TaskUid>>,
}

impl Shard {
    pub(super) fn wants_of_fire(&self, fire: &Fire, wants: &mut Wants) {
        wants.records.push(fire.key.clone());
        for order in &fire.orders {
            self.wants_of_order(order, wants);
        }
    }

    /// Takes the tasks and the cursor into the batch, or refuses all of it. A task that is there already
    /// is an event that came again, and no reason to refuse the rest.
    pub(super) fn fire(&mut self, fire: Fire, reply: Reply<Fired>, reads: &mut Reads) {
        let Fire { key, version, mut cursor, orders } = fire;
        let read = reads.records.get(&key).copied().unwrap_or(0);
        let overlaid = self.records.get(&key).map(|(_, version)| *version);
        if overlaid.unwrap_or(read) != version {
            return tell(reply, Err(EngineError::Commit(CommitError::Stale(key))));
        }
        let mut so_far = Checked::default();
        let mut checked: Vec<Option<Order>> = Vec::with_capacity(orders.len());
        for order in orders {
            match self.check(order, &mut so_far, reads) {
                Ok(order) => checked.push(Some(order)),
                Err(Refusal { code: Code::AsyncTaskAlreadyExists, .. }) => checked.push(None),
                Err(refusal) => return tell(reply, Err(refusal.into())),
            }
        }
        let tasks: Vec<Option<TaskUid>> =
            checked.into_iter().map(|order| Some(self.admit(order?, reads).uid)).collect();
        let made = tasks.iter().flatten().count();
        cursor.tasks += made as u64;
        cursor.known += (tasks.len() - made) as u64;
        cursor.last_task = tasks.iter().flatten().next_back().copied().or(cursor.last_task);
        if overlaid.is_none() {
            self.batch.expects.push(Expect { key: key.clone(), version });
        }
        let body = stored::encode_cursor(&cursor);
        self.records.insert(key.clone(), (self.gathering_number, version + 1));
        self.batch.puts.push(Put::Record { key, shard: self.fence.shard, body });
        let fired = Fired { cursor, version: version + 1, tasks };
        self.after_commit(Effect::Fired(Box::new(fired), reply));
    }
}
