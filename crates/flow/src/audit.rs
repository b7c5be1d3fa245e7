//! History against state: the history of an execution, folded, says where it stands, and the state must say the same.
//! Nothing that runs needs this; tests and the simulator ask it after crashes, when the two have been written
//! and read by several lives of a process.

use alloc::collections::BTreeMap;

use crate::command::Outcome;
use crate::history::{Moment, Row};
use crate::open::Waits;
use crate::plan::Plan;
use crate::prelude::*;
use crate::state::State;

/// How far a history is, without the state.
#[derive(Debug, Default)]
struct Fold<'r> {
    /// The step that each thread is in, and the event with which it came there.
    inside: BTreeMap<u64, (&'r str, u64)>,
    /// The row of the end; none while it goes on.
    end: Option<&'r Row>,
}

impl<'r> Fold<'r> {
    fn take(&mut self, row: &'r Row, wrong: &mut Vec<String>) {
        match row.moment {
            Moment::Entered => {
                self.inside.insert(row.thread, (&row.step, row.id));
            }
            Moment::Exited => {
                let entered = self.inside.remove(&row.thread).map(|(step, _)| step);
                if entered != Some(row.step.as_str()) {
                    wrong.push(format!("event {} leaves a step that was not entered", row.id));
                }
            }
            Moment::ExecutionSucceeded
            | Moment::ExecutionFailed
            | Moment::ExecutionTimedOut
            | Moment::ExecutionStopped => {
                if self.end.replace(row).is_some() {
                    wrong.push(format!("event {} ends it again", row.id));
                }
            }
            Moment::ExecutionRedriven => self.end = None,
            Moment::ExecutionStarted
            | Moment::Started
            | Moment::Succeeded
            | Moment::Failed
            | Moment::Aborted
            | Moment::BranchEntered
            | Moment::BranchExited
            | Moment::IterationStarted
            | Moment::IterationSucceeded
            | Moment::IterationFailed
            | Moment::IterationAborted
            | Moment::TaskScheduled
            | Moment::TaskStarted
            | Moment::TaskSubmitted
            | Moment::TaskSubmitFailed
            | Moment::TaskSucceeded
            | Moment::TaskFailed
            | Moment::TaskTimedOut
            | Moment::MapRunStarted
            | Moment::MapRunSucceeded
            | Moment::MapRunFailed
            | Moment::MapRunRedriven
            | Moment::EvaluationFailed => {}
        }
    }
}

/// What of a history does not agree with the state after it: nothing, if all is well.
///
/// History of FDL has no event for a redrive, so an execution of it that was redriven is not for this.
pub fn audit(plan: &Plan, state: &State, rows: &[Row]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut fold = Fold::default();
    for (at, row) in (1_u64..).zip(rows) {
        if row.id != at || row.previous >= row.id {
            wrong.push(format!("event {} after {} stands at {at}", row.id, row.previous));
        }
        fold.take(row, &mut wrong);
    }
    if state.history_len() != u64::try_from(rows.len()).unwrap_or(u64::MAX) {
        let (told, kept) = (state.history_len(), rows.len());
        wrong.push(format!("the state has written {told} events, {kept} are kept"));
    }
    let outcome = state.outcome();
    for open in state.open_steps(plan) {
        let is_entered = open.entered > 0 && !matches!(open.waits, Waits::Turn);
        let told = fold.inside.get(&open.thread);
        if is_entered && told != Some(&(open.step.as_str(), open.entered)) {
            wrong.push(format!("it is in {open:?}, history says {told:?}"));
        }
        if outcome.is_some() && !matches!(open.waits, Waits::Redrive | Waits::Threads { .. }) {
            wrong.push(format!("it has ended and goes on: {open:?}"));
        }
    }
    let ends = |moment| fold.end.is_some_and(|row| row.moment == moment);
    let agrees = match outcome {
        None => fold.end.is_none(),
        Some(Outcome::Succeeded { output }) => {
            ends(Moment::ExecutionSucceeded)
                && fold.end.and_then(|row| row.detail.get("output")) == Some(output)
        }
        Some(Outcome::Failed { .. }) => ends(Moment::ExecutionFailed),
        Some(Outcome::TimedOut { .. }) => ends(Moment::ExecutionTimedOut),
        Some(Outcome::Stopped { .. }) => ends(Moment::ExecutionStopped),
    };
    if !agrees {
        wrong.push(format!("it ended as {outcome:?}, history says {:?}", fold.end));
    }
    wrong
}
