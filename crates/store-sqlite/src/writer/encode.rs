//! A batch taken apart into rows, before it reaches the writer: encoding is done on the thread of
//! whoever commits, so that the writer only moves bytes.

use bytes::Bytes;
use stint_model::execution::Execution;
use stint_model::id::ExecutionUid;
use stint_model::shard::{Fence, LetterId};
use stint_model::time::Timestamp;
use stint_store::record::execution;
use stint_store::record::task::{write_life, write_life_always, write_order};
use stint_store::{Batch, Document, Expect, Key, Letter, Put, TaskRow};

use crate::search::Mark;

/// A batch as rows.
#[derive(Debug)]
pub(crate) struct Encoded {
    pub(crate) fence: Fence,
    pub(crate) expects: Vec<Expect>,
    pub(crate) ops: Vec<Op>,
    pub(crate) sends: Vec<Letter>,
    pub(crate) applies: Vec<LetterId>,
    pub(crate) at: Timestamp,
    pub(crate) minted: u64,
    /// Bytes of all bodies.
    pub(crate) bytes: u64,
}

/// One row operation or a few that belong together.
#[derive(Debug)]
pub(crate) enum Op {
    Record { key: Key, shard: u16, body: Bytes },
    Delete { key: Key },
    Insert(Box<Insert>),
    Update { mark: Mark, life: Vec<u8>, is_open: bool },
    Forget { mark: Mark },
    Head(Box<Head>),
    Document { execution: ExecutionUid, document: Option<Document> },
    History { execution: ExecutionUid, first: u64, count: u32, body: Bytes },
    ForgetExecution { execution: ExecutionUid },
}

/// The head of an execution.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) is_new: bool,
    pub(crate) uid: ExecutionUid,
    pub(crate) list: u64,
    pub(crate) name: String,
    pub(crate) account: u64,
    pub(crate) is_child: bool,
    pub(crate) status: u8,
    pub(crate) ended: i64,
    pub(crate) body: Vec<u8>,
}

/// A new task.
#[derive(Debug)]
pub(crate) struct Insert {
    pub(crate) mark: Mark,
    pub(crate) chosen: Option<String>,
    pub(crate) order: Vec<u8>,
    pub(crate) life: Option<Vec<u8>>,
    pub(crate) is_open: bool,
}

impl Encoded {
    pub(crate) fn rows(&self) -> usize {
        self.ops.len() + self.sends.len() + self.applies.len() + 1
    }

    /// The tasks that the search index must look at again.
    pub(crate) fn marks(&self) -> impl Iterator<Item = Mark> {
        self.ops.iter().filter_map(|op| match op {
            Op::Insert(insert) => Some(insert.mark),
            Op::Update { mark, .. } | Op::Forget { mark } => Some(*mark),
            Op::Record { .. }
            | Op::Delete { .. }
            | Op::Head(_)
            | Op::Document { .. }
            | Op::History { .. }
            | Op::ForgetExecution { .. } => None,
        })
    }
}

/// Takes a batch apart.
pub(crate) fn batch(batch: Batch) -> Encoded {
    let mut minted = batch.minted;
    let mut bytes = 0;
    let mut count = |body: &[u8]| bytes += u64::try_from(body.len()).unwrap_or(0);
    let shard = batch.fence.shard;
    let mut ops = Vec::with_capacity(batch.puts.len());
    for put in batch.puts {
        ops.push(match put {
            Put::Record { key, shard, body } => {
                count(&body);
                Op::Record { key, shard: shard.number(), body }
            }
            Put::Delete { key } => Op::Delete { key },
            Put::Task(row) if row.is_new => {
                if row.uid().shard() == shard {
                    minted = minted.max(row.uid().number());
                }
                let insert = Insert::of(&row);
                count(&insert.order);
                insert.life.iter().for_each(|life| count(life));
                Op::Insert(Box::new(insert))
            }
            Put::Task(row) => {
                let life = write_life_always(&row.task);
                count(&life);
                let is_open = row.is_open();
                Op::Update { mark: Mark::of(&row), life, is_open }
            }
            Put::Forget { task } => Op::Forget { mark: Mark::unknown(task.number()) },
            Put::Execution { is_new, execution } => {
                if is_new && execution.uid.shard() == shard {
                    minted = minted.max(execution.uid.number());
                }
                let head = Head::of(is_new, *execution);
                count(&head.body);
                Op::Head(Box::new(head))
            }
            Put::Document { execution, document } => {
                document.iter().for_each(|document| count(&document.body));
                Op::Document { execution, document }
            }
            Put::History { execution, first, count: events, body } => {
                count(&body);
                Op::History { execution, first, count: events, body }
            }
            Put::ForgetExecution { execution } => Op::ForgetExecution { execution },
        });
    }
    for letter in &batch.sends {
        count(&letter.body);
        if letter.id.from == shard {
            minted = minted.max(letter.id.number);
        }
    }
    Encoded {
        fence: batch.fence,
        expects: batch.expects,
        ops,
        sends: batch.sends,
        applies: batch.applies,
        at: batch.at,
        minted,
        bytes,
    }
}

impl Insert {
    fn of(row: &TaskRow) -> Self {
        Self {
            mark: Mark::of(row),
            chosen: row.chosen_id().map(str::to_owned),
            order: write_order(row.task.order()),
            life: write_life(&row.task),
            is_open: row.is_open(),
        }
    }
}

impl Head {
    fn of(is_new: bool, execution: Execution) -> Self {
        Self {
            is_new,
            uid: execution.uid,
            list: execution.list(),
            account: execution.account.number(),
            is_child: execution.map.is_some(),
            status: execution.status.number(),
            ended: execution.ended_at.micros(),
            body: execution::encode(&execution),
            name: execution.name,
        }
    }
}
