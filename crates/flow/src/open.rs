//! Where an execution stands: the steps it is in and what each waits for. This answers "why is it
//! waiting?" and gives a console its live state.

use serde::Serialize;
use stint_model::time::Timestamp;

use crate::event::CallId;
use crate::plan::Plan;
use crate::prelude::*;
use crate::state::{Phase, State};

/// A step that an execution is in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OpenStep {
    /// The thread that is in it.
    pub thread: u64,
    /// Its name.
    pub step: String,
    /// History id with which it was entered.
    pub entered: u64,
    /// Retries so far.
    pub retries: u32,
    /// What it waits for.
    pub waits: Waits,
}

/// What a step waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Waits {
    /// Nothing: the next turn goes on with it.
    Turn,
    /// The evaluator of expressions.
    Evaluation,
    /// The end of a call, at most until a time.
    Call {
        /// Which call.
        #[serde(serialize_with = "as_text")]
        call: CallId,
        /// When its time is up, in microseconds since the epoch.
        until: Option<i64>,
    },
    /// A time, in microseconds since the epoch.
    Time {
        /// When.
        until: i64,
    },
    /// The time of its next attempt.
    Retry {
        /// When.
        until: i64,
    },
    /// Branches or iterations.
    Threads {
        /// How many are running.
        running: usize,
        /// How many wait for a place.
        waiting: usize,
    },
    /// A distributed map.
    MapRun {
        /// The call it is.
        #[serde(serialize_with = "as_text")]
        call: CallId,
    },
    /// A redrive: it failed, or was stopped because another failed.
    Redrive,
}

fn as_text<S: serde::Serializer>(call: &CallId, out: S) -> Result<S::Ok, S::Error> {
    out.collect_str(call)
}

impl State {
    /// The steps it is in, by thread.
    pub fn open_steps(&self, plan: &Plan) -> Vec<OpenStep> {
        let Some(run) = &self.run else { return Vec::new() };
        let open = run.threads.iter().filter_map(|(id, thread)| {
            let step = plan.steps.get(thread.step)?.name.clone();
            let waits = match &thread.phase {
                Phase::Ready(_) => Waits::Turn,
                Phase::Asked { .. } => Waits::Evaluation,
                Phase::Called(called) => Waits::Call { call: called.call, until: called.deadline },
                Phase::Waiting { until } => Waits::Time { until: *until },
                Phase::Backoff { until } => Waits::Retry { until: *until },
                Phase::Joined(join) => {
                    Waits::Threads { running: join.running, waiting: join.waiting.len() }
                }
                Phase::Mapped { call } => Waits::MapRun { call: *call },
                Phase::Broken => Waits::Redrive,
            };
            let retries = thread.retries.iter().sum();
            Some(OpenStep { thread: *id, step, entered: thread.entered, retries, waits })
        });
        open.collect()
    }

    /// When it started.
    pub fn started_at(&self) -> Option<Timestamp> {
        self.run.as_ref().map(|run| Timestamp::from_micros(run.started_at))
    }
}
