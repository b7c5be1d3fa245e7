//! Questions: what a shard knows that the book does not, such as why a task waits.

use stint_model::id::{FunctionId, TaskUid};
use stint_model::task::{Task, TaskState};
use stint_model::time::Timestamp;
use stint_sched::{BacklogView, Cause, DemandView};

use super::{Reads, Reply, Shard, Wants, tell};
use crate::control::scalings::KeptStatus;
use crate::error::EngineError;

/// A question and where the answer goes.
#[derive(Debug)]
pub(crate) enum Ask {
    /// Tasks as memory has them now; those it does not have are left out.
    Live(Vec<TaskUid>, Reply<Vec<Task>>),
    /// Why a task is where it is.
    Why(TaskUid, Reply<Option<Why>>),
    /// Backlogs of these functions; of all that have any, if `None`.
    Backlogs(Option<Vec<FunctionId>>, Reply<Vec<BacklogReport>>),
    /// How what a qualifier of a function keeps is met.
    Kept((FunctionId, String), Reply<KeptStatus>),
    /// The shard in figures.
    Report(Reply<ShardReport>),
}

/// Why a task is where it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Why {
    /// The task as it is now.
    pub task: Task,
    /// What stands in its way; `None` when it does not wait.
    pub cause: Option<Cause>,
    /// Its place in its function's backlog, from one; zero when it has none.
    pub position: u64,
    /// When it starts if things go on as they do.
    pub estimated_start: Option<Timestamp>,
}

/// What waits in a function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BacklogReport {
    /// Which.
    pub function: FunctionId,
    /// The figures.
    pub view: BacklogView,
    /// How many instances its demand asks for.
    pub demand: DemandView,
}

/// A shard in figures.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ShardReport {
    /// Its number.
    pub shard: u16,
    /// How often it was opened.
    pub epoch: u64,
    /// Tasks and calls that wait.
    pub waiting: u64,
    /// Tasks and calls that run.
    pub running: u64,
    /// Bodies of waiting tasks in memory.
    pub bodies: u64,
    /// Their bytes.
    pub bodies_bytes: u64,
}

impl Shard {
    pub(super) fn wants_of_ask(&self, ask: &Ask, wants: &mut Wants) {
        match ask {
            Ask::Why(task, _) => self.want(*task, wants),
            Ask::Live(..) | Ask::Backlogs(..) | Ask::Kept(..) | Ask::Report(_) => {}
        }
    }

    pub(super) fn answer(&mut self, ask: Ask, reads: &Reads, now: Timestamp) {
        match ask {
            Ask::Live(tasks, reply) => {
                let none = Reads::default();
                let live = tasks.iter().filter_map(|task| self.look(*task, &none)).collect();
                tell(reply, Ok(live));
            }
            Ask::Why(task, reply) => tell(reply, Ok(self.why(task, reads, now))),
            Ask::Backlogs(functions, reply) => tell(reply, Ok(self.backlogs(functions))),
            Ask::Kept(asked, reply) => self.kept_status(asked, reply),
            Ask::Report(reply) => tell(reply, self.report()),
        }
    }

    fn why(&self, uid: TaskUid, reads: &Reads, now: Timestamp) -> Option<Why> {
        let task = self.look(uid, reads)?;
        let explanation = match task.state() {
            TaskState::Enqueued | TaskState::Retrying => self.sched.explain(Self::work(uid), now),
            TaskState::Dequeued
            | TaskState::Running
            | TaskState::Stopping
            | TaskState::Succeeded
            | TaskState::Failed
            | TaskState::Stopped
            | TaskState::Expired
            | TaskState::Invalid => None,
        };
        Some(Why {
            task,
            cause: explanation.as_ref().map(|explanation| explanation.cause),
            position: explanation.as_ref().map_or(0, |explanation| explanation.position),
            estimated_start: explanation.and_then(|explanation| explanation.start_at),
        })
    }

    fn backlogs(&self, functions: Option<Vec<FunctionId>>) -> Vec<BacklogReport> {
        let now = self.sched.now();
        let report = |function, view| {
            let demand = self.sched.demand(function, now);
            BacklogReport { function, view, demand }
        };
        match functions {
            Some(functions) => {
                functions.into_iter().map(|f| report(f, self.sched.backlog(f))).collect()
            }
            None => self.sched.backlogs().into_iter().map(|(f, view)| report(f, view)).collect(),
        }
    }

    fn report(&self) -> Result<ShardReport, EngineError> {
        Ok(ShardReport {
            shard: self.fence.shard.number(),
            epoch: self.epoch().0,
            waiting: self.sched.waiting(),
            running: self.sched.running(),
            bodies: self.bodies.len() as u64,
            bodies_bytes: self.bodies_bytes as u64,
        })
    }
}
