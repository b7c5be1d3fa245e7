//! The history of an execution. Rows are written in the vocabulary of the definition's API: FnF for
//! FDL and CloudFlow, Step Functions for States Language. Their ids are gapless, and each names the row
//! that caused it.

use serde::{Deserialize, Serialize};
use stint_model::time::Timestamp;

use crate::plan::{Dialect, Kind, Resource};
use crate::prelude::*;

/// One event of the history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Counts from one, without gaps.
    pub id: u64,
    /// The row that caused it; zero for the first.
    pub previous: u64,
    /// When.
    #[serde(with = "crate::stamp::micros")]
    pub at: Timestamp,
    /// The step; empty for rows about the execution.
    pub step: String,
    /// The thread it is about: branches and iterations have their own.
    pub thread: u64,
    /// What happened.
    pub moment: Moment,
    /// The name upstream gives it.
    pub name: String,
    /// Upstream's details.
    pub detail: Value,
}

macro_rules! moments {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// What can stand in a history, in no API's words.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum Moment {
            $($(#[doc = $doc])+ $name,)+
        }
    };
}

moments! {
    /// The execution began.
    ExecutionStarted,
    /// It ended well.
    ExecutionSucceeded,
    /// It ended badly.
    ExecutionFailed,
    /// Its time was up.
    ExecutionTimedOut,
    /// It was stopped.
    ExecutionStopped,
    /// It runs again from where it failed.
    ExecutionRedriven,
    /// A step began, before its input is shaped.
    Entered,
    /// The work of a step began, with the shaped input.
    Started,
    /// The work of a step ended well.
    Succeeded,
    /// The work of a step ended badly.
    Failed,
    /// A step was stopped because another failed.
    Aborted,
    /// A step was left.
    Exited,
    /// A branch began.
    BranchEntered,
    /// A branch ended.
    BranchExited,
    /// An iteration began.
    IterationStarted,
    /// An iteration ended well.
    IterationSucceeded,
    /// An iteration ended badly.
    IterationFailed,
    /// An iteration was stopped.
    IterationAborted,
    /// A call was made.
    TaskScheduled,
    /// Its work began.
    TaskStarted,
    /// Its submit was accepted.
    TaskSubmitted,
    /// Its submit was refused.
    TaskSubmitFailed,
    /// Its work was done.
    TaskSucceeded,
    /// Its work failed.
    TaskFailed,
    /// Its time was up.
    TaskTimedOut,
    /// A distributed map began.
    MapRunStarted,
    /// It ended well.
    MapRunSucceeded,
    /// It ended badly.
    MapRunFailed,
    /// An expression had no value.
    EvaluationFailed,
}

/// What a row's name depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct About<'a> {
    pub(crate) kind: Kind,
    pub(crate) resource: Option<&'a Resource>,
}

/// Upstream's name; none where its vocabulary has no such event.
pub(crate) fn name(dialect: Dialect, moment: Moment, about: About<'_>) -> Option<String> {
    match dialect {
        Dialect::StatesLanguage => states(moment, about),
        Dialect::Fdl | Dialect::CloudFlow => fnf(moment).map(ToOwned::to_owned),
    }
}

const fn fnf(moment: Moment) -> Option<&'static str> {
    Some(match moment {
        Moment::ExecutionStarted => "ExecutionStarted",
        Moment::ExecutionSucceeded => "ExecutionSucceeded",
        Moment::ExecutionFailed => "ExecutionFailed",
        Moment::ExecutionTimedOut => "ExecutionTimedOut",
        Moment::ExecutionStopped => "ExecutionStopped",
        Moment::Entered => "StepEntered",
        Moment::Started => "StepStarted",
        Moment::Succeeded => "StepSucceeded",
        Moment::Failed => "StepFailed",
        Moment::Exited => "StepExited",
        Moment::BranchEntered => "BranchEntered",
        Moment::BranchExited => "BranchExited",
        Moment::IterationStarted => "IterationEntered",
        Moment::IterationSucceeded => "IterationExited",
        Moment::TaskScheduled => "TaskScheduled",
        Moment::TaskStarted => "TaskStarted",
        Moment::TaskSubmitted => "TaskSubmitted",
        Moment::TaskSubmitFailed => "TaskSubmitFailed",
        Moment::TaskSucceeded => "TaskSucceeded",
        Moment::TaskFailed => "TaskFailed",
        Moment::TaskTimedOut => "TaskTimedOut",
        Moment::MapRunStarted => "MapRunStarted",
        Moment::ExecutionRedriven
        | Moment::Aborted
        | Moment::IterationFailed
        | Moment::IterationAborted
        | Moment::MapRunSucceeded
        | Moment::MapRunFailed
        | Moment::EvaluationFailed => return None,
    })
}

const fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Pass => "Pass",
        Kind::Task => "Task",
        Kind::Choice => "Choice",
        Kind::Wait => "Wait",
        Kind::Succeed => "Succeed",
        Kind::Fail => "Fail",
        Kind::Parallel => "Parallel",
        Kind::Map => "Map",
    }
}

fn states(moment: Moment, about: About<'_>) -> Option<String> {
    let kind = kind_name(about.kind);
    let has_body = matches!(about.kind, Kind::Parallel | Kind::Map);
    let family = match about.resource {
        Some(Resource::Function { .. }) => "LambdaFunction",
        Some(Resource::Activity { .. }) => "Activity",
        Some(Resource::Flow { .. } | Resource::Service { .. }) | None => "Task",
    };
    let is_service = family == "Task";
    let task = |what: &str| Some(format!("{family}{what}"));
    match moment {
        Moment::ExecutionStarted => Some("ExecutionStarted".to_owned()),
        Moment::ExecutionSucceeded => Some("ExecutionSucceeded".to_owned()),
        Moment::ExecutionFailed => Some("ExecutionFailed".to_owned()),
        Moment::ExecutionTimedOut => Some("ExecutionTimedOut".to_owned()),
        Moment::ExecutionStopped => Some("ExecutionAborted".to_owned()),
        Moment::ExecutionRedriven => Some("ExecutionRedriven".to_owned()),
        Moment::Entered => Some(format!("{kind}StateEntered")),
        Moment::Exited if about.kind == Kind::Fail => None,
        Moment::Exited => Some(format!("{kind}StateExited")),
        Moment::Started => has_body.then(|| format!("{kind}StateStarted")),
        Moment::Succeeded => has_body.then(|| format!("{kind}StateSucceeded")),
        Moment::Failed => has_body.then(|| format!("{kind}StateFailed")),
        Moment::Aborted => {
            let is_named = has_body || matches!(about.kind, Kind::Task | Kind::Wait);
            is_named.then(|| format!("{kind}StateAborted"))
        }
        Moment::BranchEntered | Moment::BranchExited => None,
        Moment::IterationStarted => Some("MapIterationStarted".to_owned()),
        Moment::IterationSucceeded => Some("MapIterationSucceeded".to_owned()),
        Moment::IterationFailed => Some("MapIterationFailed".to_owned()),
        Moment::IterationAborted => Some("MapIterationAborted".to_owned()),
        Moment::TaskScheduled => task("Scheduled"),
        Moment::TaskStarted => task("Started"),
        Moment::TaskSubmitted => is_service.then(|| "TaskSubmitted".to_owned()),
        Moment::TaskSubmitFailed => is_service.then(|| "TaskSubmitFailed".to_owned()),
        Moment::TaskSucceeded => task("Succeeded"),
        Moment::TaskFailed => task("Failed"),
        Moment::TaskTimedOut => task("TimedOut"),
        Moment::MapRunStarted => Some("MapRunStarted".to_owned()),
        Moment::MapRunSucceeded => Some("MapRunSucceeded".to_owned()),
        Moment::MapRunFailed => Some("MapRunFailed".to_owned()),
        Moment::EvaluationFailed => Some("EvaluationFailed".to_owned()),
    }
}
