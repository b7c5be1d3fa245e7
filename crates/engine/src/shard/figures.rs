//! What a shard counts for whoever watches: the phases of attempts, and for each function its
//! invocations, their errors and their time. Handles are kept, so that a settle looks nothing up.
//!
//! Labels are bounded: the functions that came first have their own, the rest shares one.

use std::collections::HashMap;

use metrics::{Counter, Histogram};
use stint_model::id::FunctionId;
use stint_model::link::Outcome;
use stint_model::task::{Attempt, Measured};
use stint_model::time::Timestamp;

use crate::catalog::Catalog;

/// Functions with labels of their own, in each shard.
const FUNCTIONS_MAX: usize = 500;
/// The label of all others.
const OTHER: &str = "other";

/// See the module.
#[derive(Debug)]
pub(super) struct Figures {
    queued: Histogram,
    placed: Histogram,
    cold_start: Histogram,
    ran: Histogram,
    settled: Histogram,
    functions: HashMap<FunctionId, OfFunction>,
    others: Option<OfFunction>,
}

/// How an invocation came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Came {
    /// As a task.
    Task,
    /// As a call that somebody waits for.
    Call,
}

#[derive(Debug)]
struct OfFunction {
    tasks: Counter,
    calls: Counter,
    user_errors: Counter,
    throttles: Counter,
    system_errors: Counter,
    cold_starts: Counter,
    duration: Histogram,
}

impl Default for Figures {
    fn default() -> Self {
        let phase = |name| metrics::histogram!("stint_attempt_phase_seconds", "phase" => name);
        Self {
            queued: phase("queued"),
            placed: phase("placed"),
            cold_start: phase("cold_start"),
            ran: phase("ran"),
            settled: phase("settled"),
            functions: HashMap::new(),
            others: None,
        }
    }
}

impl Figures {
    /// An attempt of a task ended; its times as the history will have them.
    pub(super) fn phases(&self, attempt: &Attempt, measured: &Measured, now: Timestamp) {
        let record = |phase: &Histogram, from: Timestamp, to: Timestamp| {
            if from != Timestamp::ZERO && to != Timestamp::ZERO {
                phase.record(to.since(from).to_std());
            }
        };
        record(&self.queued, attempt.queued_at, attempt.leased_at);
        record(&self.placed, attempt.leased_at, measured.placed_at);
        if measured.cold {
            record(&self.cold_start, measured.placed_at, measured.started_at);
        }
        record(&self.ran, measured.started_at, measured.ended_at);
        record(&self.settled, measured.ended_at, now);
    }

    /// An invocation of a function ended.
    pub(super) fn ended(
        &mut self,
        function: FunctionId,
        (came, outcome): (Came, &Outcome),
        measured: &Measured,
        catalog: &Catalog,
    ) {
        let of = self.of(function, catalog);
        match came {
            Came::Task => of.tasks.increment(1),
            Came::Call => of.calls.increment(1),
        }
        match outcome {
            Outcome::Ok | Outcome::Stopped(_) => {}
            Outcome::UserError { .. } | Outcome::NotStarted { .. } => of.user_errors.increment(1),
            Outcome::Refused { .. } => of.throttles.increment(1),
            Outcome::SystemError { .. } => of.system_errors.increment(1),
        }
        if measured.cold {
            of.cold_starts.increment(1);
        }
        if measured.started_at != Timestamp::ZERO && measured.ended_at != Timestamp::ZERO {
            of.duration.record(measured.ended_at.since(measured.started_at).to_std());
        }
    }

    fn of(&mut self, function: FunctionId, catalog: &Catalog) -> &OfFunction {
        if self.functions.len() >= FUNCTIONS_MAX && !self.functions.contains_key(&function) {
            return self.others.get_or_insert_with(|| OfFunction::new(OTHER, OTHER));
        }
        self.functions.entry(function).or_insert_with(|| match catalog.function_by_id(function) {
            Some(entry) => {
                let function = &entry.function;
                OfFunction::new(&function.account.to_string(), &function.name)
            }
            // Deleted while it ran.
            None => OfFunction::new(OTHER, OTHER),
        })
    }
}

impl OfFunction {
    fn new(account: &str, function: &str) -> Self {
        let own = |more: &[(&'static str, &'static str)]| {
            let mut labels = vec![
                metrics::Label::new("account", account.to_owned()),
                metrics::Label::new("function", function.to_owned()),
            ];
            labels.extend(more.iter().map(|(key, value)| metrics::Label::new(*key, *value)));
            labels
        };
        let count =
            |kind| metrics::counter!("stint_function_invocations_total", own(&[("kind", kind)]));
        let errors =
            |error| metrics::counter!("stint_function_errors_total", own(&[("error", error)]));
        Self {
            tasks: count("task"),
            calls: count("sync"),
            user_errors: errors("function"),
            throttles: errors("throttled"),
            system_errors: errors("system"),
            cold_starts: metrics::counter!("stint_function_cold_starts_total", own(&[])),
            duration: metrics::histogram!("stint_function_duration_seconds", own(&[])),
        }
    }
}
