//! Errors: who handles one, what is given up for it, and what a redrive begins again.

use serde_json::json;
use stint_model::time::{Span, Timestamp};

use super::{APPLIED, Refusal, Turn, Verdict};
use crate::command::{Command, Outcome};
use crate::event::TimerId;
use crate::fault::Fault;
use crate::history::Moment;
use crate::plan::{Dialect, Kind, RetryRule, ScopeKind, Step};
use crate::prelude::*;
use crate::state::{Phase, Stage};
use crate::value;

impl<'p> Turn<'p> {
    /// An error in a stage. What makes an iteration's input belongs to the map; what a catch does
    /// wrong is not caught again.
    pub(super) fn fail_in(&mut self, id: u64, stage: &Stage, fault: Fault) {
        if let Stage::Item = stage {
            let parent = self.thread(id).and_then(|thread| thread.parent);
            self.branch_row(id, Moment::IterationFailed, json!({}));
            return match parent {
                Some(parent) => self.fail(parent.thread, fault),
                None => self.end_failed(fault),
            };
        }
        if fault.error.as_deref() == Some("States.QueryEvaluationError") {
            let detail = json!({"error": fault.error, "cause": fault.cause});
            self.row(id, Moment::EvaluationFailed, detail);
        }
        match stage {
            Stage::Catch { .. } => self.fail_above(id, fault),
            Stage::Item | Stage::Enter | Stage::Begin | Stage::Leave { .. } => self.fail(id, fault),
        }
    }

    /// The error looks for a handler, from the step where it happened outwards. Only when one is found
    /// something is given up, so that a redrive finds everything as it was.
    pub(super) fn fail(&mut self, id: u64, fault: Fault) {
        let mut here = id;
        loop {
            let Some(step) = self.step(here) else { return self.end_failed(fault) };
            if self.handle(here, step, &fault) {
                return;
            }
            if matches!(step.kind, Kind::Parallel | Kind::Map)
                || self.plan.dialect != Dialect::StatesLanguage
            {
                let detail = json!({"error": fault.error, "cause": fault.cause});
                self.row(here, Moment::Failed, detail);
            }
            match self.leave_broken(here) {
                Some(parent) => here = parent,
                None => return self.end_failed(fault),
            }
        }
    }

    fn fail_above(&mut self, id: u64, fault: Fault) {
        match self.leave_broken(id) {
            Some(parent) => self.fail(parent, fault),
            None => self.end_failed(fault),
        }
    }

    /// The thread stays as what a redrive begins with; gives its parent.
    fn leave_broken(&mut self, id: u64) -> Option<u64> {
        if !matches!(self.thread(id)?.phase, Phase::Joined(_)) {
            self.set(id, Phase::Broken);
        }
        let thread = self.thread(id)?;
        let kind = self.plan.scopes.get(thread.scope).map(|scope| scope.kind);
        let parent = thread.parent?;
        if kind == Some(ScopeKind::Iteration) {
            self.branch_row(id, Moment::IterationFailed, json!({"index": parent.slot}));
        }
        Some(parent.thread)
    }

    /// Retries or catches, if a rule says so.
    fn handle(&mut self, id: u64, step: &'p Step, fault: &Fault) -> bool {
        let dialect = self.plan.dialect;
        if let Some(at) = fault.retry_rule(dialect, &step.retry) {
            let rule = &step.retry[at];
            let done =
                self.thread(id).and_then(|thread| thread.retries.get(at).copied()).unwrap_or(0);
            if done < rule.attempts {
                self.give_up_below(id);
                if let Some(thread) = self.run.threads.get_mut(&id) {
                    thread.retries[at] = done.saturating_add(1);
                    thread.error = Some(fault.clone());
                }
                self.back_off(id, rule, done);
                return true;
            }
        }
        if let Some(rule) = fault.catch_rule(dialect, &step.catch) {
            self.give_up_below(id);
            let fault = fault.clone();
            self.ready(id, Stage::Catch { rule, fault });
            return true;
        }
        false
    }

    /// Retry k waits interval × rate^(k−1), capped; jitter comes after the cap.
    fn back_off(&mut self, id: u64, rule: &RetryRule, done: u32) {
        let delay = delay(rule, done) * if rule.has_jitter { self.random.fraction() } else { 1.0 };
        let micros = value::to_i64(delay * 1e6).max(0).unsigned_abs();
        let until: Timestamp = self.at + Span::from_micros(micros);
        self.set(id, Phase::Backoff { until: until.micros() });
        self.commands.push(Command::Wake { timer: TimerId::Thread(id), at: until });
    }

    /// What is under way below a thread is not wanted any more.
    fn give_up_below(&mut self, id: u64) {
        for child in self.below(id) {
            let Some(thread) = self.thread(child) else { continue };
            let is_alive = !matches!(thread.phase, Phase::Broken);
            let has_entered = thread.entered > 0;
            let kind = self.plan.scopes.get(thread.scope).map(|scope| scope.kind);
            self.release(child);
            if is_alive && has_entered {
                self.row(child, Moment::Aborted, json!({}));
            }
            if is_alive && kind == Some(ScopeKind::Iteration) {
                self.branch_row(child, Moment::IterationAborted, json!({}));
            }
        }
        let gone: Vec<u64> = self.below(id);
        for child in gone {
            self.run.threads.remove(&child);
        }
        let threads = &self.run.threads;
        self.run.ready.retain(|ready| threads.contains_key(ready));
    }

    /// Takes back what a thread has asked for.
    pub(super) fn release(&mut self, id: u64) {
        let Some(thread) = self.run.threads.get_mut(&id) else { return };
        thread.token = None;
        let timer = TimerId::Thread(id);
        match &thread.phase {
            Phase::Called(called) => {
                let (call, has_timer) = (called.call, called.due().is_some());
                self.commands.push(Command::Stop { call });
                if has_timer {
                    self.commands.push(Command::Unwake { timer });
                }
            }
            Phase::Waiting { .. } | Phase::Backoff { .. } => {
                self.commands.push(Command::Unwake { timer });
            }
            Phase::Mapped { call } => {
                let call = *call;
                self.commands.push(Command::StopMapRun { call });
            }
            Phase::Ready(_) | Phase::Asked { .. } | Phase::Joined(_) | Phase::Broken => {}
        }
        if !matches!(thread.phase, Phase::Joined(_)) {
            thread.phase = Phase::Broken;
        }
    }

    /// The time of the whole execution is up.
    pub(super) fn time_up(&mut self) -> Verdict {
        let (error, cause) = match self.plan.dialect {
            Dialect::StatesLanguage => (Some("States.Timeout".to_owned()), Some(String::new())),
            Dialect::Fdl | Dialect::CloudFlow => {
                (None, Some("the execution took too long".to_owned()))
            }
        };
        let detail = json!({"error": error, "cause": cause});
        self.end(Moment::ExecutionTimedOut, detail, Outcome::TimedOut { error, cause });
        APPLIED
    }

    /// Runs again what failed or was stopped; what succeeded keeps its results.
    pub(super) fn redrive(&mut self) -> Verdict {
        match &self.run.outcome {
            None | Some(Outcome::Succeeded { .. }) => return Verdict::Refused(Refusal::NotFailed),
            Some(Outcome::Failed { .. } | Outcome::TimedOut { .. } | Outcome::Stopped { .. }) => {}
        }
        self.run.outcome = None;
        self.run.redrives = self.run.redrives.saturating_add(1);
        self.run.redriven_at = self.at.micros();
        let seconds =
            self.plan.timeout.unwrap_or(u64::MAX).min(self.run.limits.execution_seconds_max);
        let deadline = self.at + Span::from_secs(seconds.min(100 * 365 * 86_400));
        self.run.deadline = deadline.micros();
        self.machine_row(Moment::ExecutionRedriven, json!({"redriveCount": self.run.redrives}));
        self.commands.push(Command::Wake { timer: TimerId::Execution, at: deadline });
        let broken = |(id, thread): (&u64, &crate::state::Thread)| {
            matches!(thread.phase, Phase::Broken)
                .then_some((*id, thread.entered > 0 || thread.item.is_none()))
        };
        let broken: Vec<(u64, bool)> = self.run.threads.iter().filter_map(broken).collect();
        for (id, has_input) in broken {
            self.ready(id, if has_input { Stage::Enter } else { Stage::Item });
        }
        APPLIED
    }
}

/// Seconds before the retry that follows `done` earlier ones.
fn delay(rule: &RetryRule, done: u32) -> f64 {
    let most = rule.delay_max.unwrap_or(f64::INFINITY).min(value::to_f64(crate::plan::SECONDS_MAX));
    let mut delay = rule.interval;
    for _ in 0..done {
        if delay >= most || rule.rate <= 1.0 {
            break;
        }
        delay *= rule.rate;
    }
    if delay > most { most } else { delay }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_up_to_the_cap() {
        let rule = |delay_max| RetryRule {
            errors: Vec::new(),
            interval: 3.0,
            rate: 2.0,
            attempts: 9,
            delay_max,
            has_jitter: false,
        };
        let delays: Vec<f64> = (0..4).map(|done| delay(&rule(Some(10.0)), done)).collect();
        assert_eq!(delays, [3.0, 6.0, 10.0, 10.0]);
        assert!(delay(&rule(None), u32::MAX) <= value::to_f64(crate::plan::SECONDS_MAX));
    }
}
