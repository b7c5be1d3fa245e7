//! One atomic write: the fence, what must still be so, what is put, and the letters.

use bytes::Bytes;
use stint_model::execution::Execution;
use stint_model::id::{AccountId, ExecutionUid, FunctionId, TaskUid};
use stint_model::shard::{Epoch, Fence, LetterId, Shard};
use stint_model::task::{Delivery, Task, TaskState};
use stint_model::time::Timestamp;

use crate::record::Key;

/// All or nothing. A batch is refused whole when its fence is old or an expectation fails.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Batch {
    /// Who writes.
    pub fence: Fence,
    /// What must still be so.
    pub expects: Vec<Expect>,
    /// What is written, in order.
    pub puts: Vec<Put>,
    /// Letters, kept until their receiver has applied them. Sending one twice is sending it once.
    pub sends: Vec<Letter>,
    /// Letters to this shard that the batch applies (its own sends among them): they are gone from
    /// the mailbox and remembered, so that a second delivery is refused.
    pub applies: Vec<LetterId>,
    /// The engine's time, so that time goes on from there after a restart; zero: not told.
    pub at: Timestamp,
    /// The highest number the owner has minted, so that none is minted twice; zero: not told.
    /// Backends also see the uids and letter numbers in the batch.
    pub minted: u64,
}

impl Batch {
    /// Nothing yet.
    pub fn new(fence: Fence) -> Self {
        Self {
            fence,
            expects: Vec::new(),
            puts: Vec::new(),
            sends: Vec::new(),
            applies: Vec::new(),
            at: Timestamp::ZERO,
            minted: 0,
        }
    }

    /// Whether committing it would change nothing.
    pub fn is_empty(&self) -> bool {
        self.puts.is_empty() && self.sends.is_empty() && self.applies.is_empty()
    }
}

/// The version a control record must have; zero: it must not exist.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Expect {
    /// Which record.
    pub key: Key,
    /// Its version.
    pub version: u64,
}

/// One write.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Put {
    /// A control record, new or replaced; its version becomes one more.
    Record {
        /// Which.
        key: Key,
        /// Whose.
        shard: Shard,
        /// Its stored form.
        body: Bytes,
    },
    /// A control record goes.
    Delete {
        /// Which.
        key: Key,
    },
    /// A task row, new or replaced.
    Task(Box<TaskRow>),
    /// A task row goes (retention).
    Forget {
        /// Which.
        task: TaskUid,
    },
    /// An execution's head, new or replaced.
    Execution {
        /// Whether this batch creates it: uid and name must be free.
        is_new: bool,
        /// The head.
        execution: Box<Execution>,
    },
    /// The document of an execution, new or replaced; none: it goes.
    Document {
        /// Whose.
        execution: ExecutionUid,
        /// What is kept.
        document: Option<Document>,
    },
    /// New history of an execution; never rewritten.
    History {
        /// Whose.
        execution: ExecutionUid,
        /// The number of the first event.
        first: u64,
        /// How many there are.
        count: u32,
        /// A form of whoever decides.
        body: Bytes,
    },
    /// An execution goes with its document and history (retention).
    ForgetExecution {
        /// Which.
        execution: ExecutionUid,
    },
}

/// What an execution goes on from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Document {
    /// Whether recovery must see it: it has not ended.
    pub is_open: bool,
    /// When it is to be woken.
    pub wake_at: Timestamp,
    /// Whether something was asked outside and is to be asked again.
    pub asks: bool,
    /// A form of whoever decides.
    pub body: Bytes,
}

/// A task with what the book indexes it by, all derived from the task. What was ordered is written
/// when the task is new and never again: a later put changes nothing of it but `expires_at`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TaskRow {
    /// Its home, which is its uid's shard.
    pub shard: Shard,
    /// Whether this batch creates it: backends insert without looking.
    pub is_new: bool,
    /// The task.
    pub task: Task,
}

impl TaskRow {
    /// The row of a task.
    pub fn new(task: Task, is_new: bool) -> Self {
        Self { shard: task.uid().shard(), is_new, task }
    }

    /// Primary key.
    pub fn uid(&self) -> TaskUid {
        self.task.uid()
    }

    /// Index: account.
    pub fn account(&self) -> AccountId {
        self.task.order().account
    }

    /// Index: function.
    pub fn function(&self) -> FunctionId {
        self.task.order().function
    }

    /// Unique with the function, when the client chose an id.
    pub fn chosen_id(&self) -> Option<&str> {
        self.task.order().chosen_id.as_deref()
    }

    /// Whether recovery must see it: it has not ended, or its outcome is not delivered yet.
    pub fn is_open(&self) -> bool {
        is_open(&self.task)
    }

    /// Index: state.
    pub fn state(&self) -> TaskState {
        self.task.state()
    }
}

/// Whether recovery must see a task: it has not ended, or its outcome is not delivered yet.
pub fn is_open(task: &Task) -> bool {
    !task.state().is_terminal() || task.delivery() == Delivery::Pending
}

/// What crosses shards. Delivered at least once, applied once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Letter {
    /// Its id.
    pub id: LetterId,
    /// To whom.
    pub to: Shard,
    /// A stored form (`record::letter`).
    pub body: Bytes,
}

/// What a commit did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Committed {
    /// Rises with each commit of the shard.
    pub seq: u64,
    /// The epoch it was committed under.
    pub epoch: Epoch,
    /// When the backend had it on disk, if it can tell.
    pub at: Option<Timestamp>,
}
