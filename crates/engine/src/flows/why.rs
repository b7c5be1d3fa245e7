//! Why an execution waits, and where it stands in its graph.

use std::collections::HashMap;

use stint_flow::{CallId, Graph, Moment, OpenStep, Waits};
use stint_model::access::Caller;
use stint_model::id::{ExecutionUid, FunctionId, TaskUid};

use super::ExecutionRef;
use crate::access::Operation;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::shard::flows::Looked;
use crate::shard::flows::integration::Wait;
use crate::shard::flows::notes::Target;
use crate::shard::{Ask, FlowInput, Input, Why};

/// A step that an execution is in, and what that waits for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StepWhy {
    /// The step, and what it waits for in the flow's words.
    pub open: OpenStep,
    /// What its call is, if it waits for one.
    pub target: Option<CallTarget>,
    /// Why the task of a function has not ended, as `task_why` says it.
    pub task: Option<Box<Why>>,
}

/// What a call of a step is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CallTarget {
    /// A task of a function.
    Task {
        /// The function.
        function: String,
        /// The task, once its home has taken it.
        task: Option<TaskUid>,
    },
    /// An execution of another flow.
    Execution {
        /// The flow.
        flow: String,
        /// The child, once its home has started it.
        execution: Option<ExecutionUid>,
    },
    /// An HTTP request.
    Http {
        /// Where to.
        url: String,
    },
    /// Work for a poller.
    Activity {
        /// Of this activity.
        name: String,
        /// Whether somebody has taken it.
        is_taken: bool,
    },
    /// Somebody reports with the token.
    Report,
}

/// How a step of the graph stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum StepState {
    /// It was never entered.
    Untouched,
    /// It was left.
    Done,
    /// It failed, and a handler went on.
    Caught,
    /// It was stopped because another failed.
    Aborted,
    /// It failed.
    Failed,
    /// It is entered and not left.
    Active,
}

/// A step of the graph as it stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LiveStep {
    /// Its index in the graph.
    pub step: usize,
    /// How it stands.
    pub state: StepState,
    /// How often it was entered.
    pub entered: u64,
    /// How often it failed.
    pub failed: u64,
}

/// A graph with what happened in it.
#[derive(Clone, PartialEq, Debug)]
pub struct LiveGraph {
    /// The graph of the definition that runs.
    pub graph: Graph,
    /// One for each step of the graph, in order.
    pub steps: Vec<LiveStep>,
}

impl Engine {
    /// What each step that an execution is in waits for; empty when it has ended.
    ///
    /// # Errors
    /// As `execution_get`.
    pub async fn execution_why(
        &self,
        caller: &Caller,
        execution: &ExecutionRef,
    ) -> Result<Vec<StepWhy>, EngineError> {
        let found = self.execution_for(caller, Operation::ExecutionWhy, execution).await?;
        if found.status.is_terminal() {
            return Ok(Vec::new());
        }
        let looked = self.look(found.uid).await?;
        let mut all = Vec::with_capacity(looked.open.len());
        for open in looked.open {
            let target = match open.waits {
                Waits::Call { call, .. } => looked.targets.iter().find(|(known, _)| *known == call),
                Waits::Turn
                | Waits::Evaluation
                | Waits::Time { .. }
                | Waits::Retry { .. }
                | Waits::Threads { .. }
                | Waits::MapRun { .. }
                | Waits::Redrive => None,
            };
            let target = match target {
                Some((call, target)) => self.target(found.uid, *call, target).await?,
                None => None,
            };
            let task = match &target {
                Some(CallTarget::Task { task: Some(uid), .. }) => self.why_task(*uid).await?,
                Some(_) | None => None,
            };
            all.push(StepWhy { open, target, task });
        }
        Ok(all)
    }

    /// The graph of an execution with how each step stands.
    ///
    /// # Errors
    /// As `execution_get`.
    pub async fn execution_graph(
        &self,
        caller: &Caller,
        execution: &ExecutionRef,
    ) -> Result<LiveGraph, EngineError> {
        let found = self.execution_for(caller, Operation::ExecutionWhy, execution).await?;
        let graph = self.definition(found.flow, found.revision).await?.plan.graph();
        let mut steps: Vec<LiveStep> = (0..graph.steps.len())
            .map(|step| LiveStep { step, state: StepState::Untouched, entered: 0, failed: 0 })
            .collect();
        let index: HashMap<&str, usize> =
            graph.steps.iter().enumerate().map(|(at, step)| (step.name.as_str(), at)).collect();
        let mut open: Vec<u64> = vec![0; steps.len()];
        let mut from = 1;
        loop {
            let slice = self.history_of(found.uid, (from, false), 1_000).await?;
            for row in &slice.rows {
                if let Some(at) = index.get(row.step.as_str()) {
                    walk(&mut steps[*at], &mut open[*at], row.moment);
                }
            }
            match slice.next {
                Some(next) => from = next,
                None => break,
            }
        }
        for (step, open) in steps.iter_mut().zip(open) {
            if open > 0 {
                let is_running = !found.status.is_terminal();
                step.state = if is_running { StepState::Active } else { StepState::Failed };
            }
        }
        Ok(LiveGraph { graph, steps })
    }
}

impl Engine {
    async fn look(&self, uid: ExecutionUid) -> Result<Looked, EngineError> {
        self.ask_shard(uid.shard(), |reply| Input::Flow(FlowInput::Look { execution: uid, reply }))
            .await
    }

    async fn why_task(&self, uid: TaskUid) -> Result<Option<Box<Why>>, EngineError> {
        let why = self.ask_shard(uid.shard(), |reply| Input::Ask(Ask::Why(uid, reply))).await?;
        Ok(why.map(Box::new))
    }

    async fn target(
        &self,
        execution: ExecutionUid,
        call: CallId,
        target: &Target,
    ) -> Result<Option<CallTarget>, EngineError> {
        Ok(Some(match target {
            Target::Task { function, name, task, .. } => {
                let mut found = task.map(TaskUid::from_number);
                if found.is_none() {
                    let key = (FunctionId::from_number(*function), format!("{execution}.{call}"));
                    found = self.store().task_find(&[key]).await?.pop().flatten();
                }
                // The function of a callback may have ended: then it is the report that is missing.
                CallTarget::Task { function: name.clone(), task: found }
            }
            Target::Child { list, flow, name, how } => {
                let key = (*list, name.clone());
                let child = self.store().execution_find(&[key]).await?.pop().flatten();
                if *how == Wait::Reported {
                    return Ok(Some(CallTarget::Report));
                }
                CallTarget::Execution { flow: flow.clone(), execution: child }
            }
            Target::Http { url } => CallTarget::Http { url: url.clone() },
            Target::Work { activity, is_taken } => {
                CallTarget::Activity { name: activity.clone(), is_taken: *is_taken }
            }
            Target::Map => return Ok(None),
        }))
    }
}

/// What an event says about its step.
fn walk(step: &mut LiveStep, open: &mut u64, moment: Moment) {
    match moment {
        Moment::Entered => {
            step.entered += 1;
            *open += 1;
            if step.state == StepState::Untouched {
                step.state = StepState::Active;
            }
        }
        Moment::Exited => {
            *open = open.saturating_sub(1);
            let is_caught = step.state == StepState::Failed;
            step.state = if is_caught { StepState::Caught } else { StepState::Done };
        }
        Moment::Aborted => {
            *open = open.saturating_sub(1);
            step.state = StepState::Aborted;
        }
        Moment::Failed
        | Moment::TaskFailed
        | Moment::TaskTimedOut
        | Moment::TaskSubmitFailed
        | Moment::MapRunFailed
        | Moment::EvaluationFailed => {
            step.failed += 1;
            step.state = StepState::Failed;
        }
        Moment::Succeeded | Moment::TaskSucceeded | Moment::MapRunSucceeded => {
            step.state = StepState::Done;
        }
        Moment::ExecutionStarted
        | Moment::ExecutionSucceeded
        | Moment::ExecutionFailed
        | Moment::ExecutionTimedOut
        | Moment::ExecutionStopped
        | Moment::ExecutionRedriven
        | Moment::Started
        | Moment::BranchEntered
        | Moment::BranchExited
        | Moment::IterationStarted
        | Moment::IterationSucceeded
        | Moment::IterationFailed
        | Moment::IterationAborted
        | Moment::TaskScheduled
        | Moment::TaskStarted
        | Moment::TaskSubmitted
        | Moment::MapRunStarted => {}
    }
}
