//! `advance`: one event in, the next state and what is wanted out. Total and deterministic: every
//! event in every state has an answer, users' mistakes end as faults in the history, and nothing here
//! looks at a clock.
//!
//! A turn applies the event and then lets every thread that can go on do so, until all wait for
//! something or the turn's share of steps is used up.

mod begin;
mod call;
mod handle;
mod scope;
mod sight;
mod step;

use serde_json::json;
use stint_model::time::{Span, Timestamp};

use crate::command::{Command, Outcome};
use crate::event::{CallId, Event, EventBody, Start, TimerId};
use crate::fault::Fault;
use crate::history::{About, Moment, Row, name};
use crate::plan::{Dialect, Kind, Plan, ScopeKind, Step, Work};
use crate::prelude::*;
use crate::random::Random;
use crate::state::{Phase, Run, Stage, State, Thread};
use crate::template::Answers;

pub use call::TokenAddress;

/// What a turn comes to. The shell commits state and rows together, then acts on the commands.
#[derive(Debug)]
pub struct Decision {
    /// The execution after the event.
    pub state: State,
    /// What is wanted, in order.
    pub commands: Vec<Command>,
    /// New history, in order.
    pub rows: Vec<Row>,
    /// What became of the event.
    pub verdict: Verdict,
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was applied. A report's event id is what `ReportTask*` answers.
    Applied {
        /// Id of the history event that records it, if one does.
        event: Option<u64>,
    },
    /// It changes nothing: late, doubled, or about something that is not there.
    Refused(Refusal),
}

/// Why an event changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The execution has not started.
    NotStarted,
    /// It has started already.
    AlreadyStarted,
    /// It has ended.
    Ended,
    /// It has not failed, so there is nothing to run again.
    NotFailed,
    /// No such call is under way: its result is known, its time is up, or another took its place.
    UnknownCall,
    /// No call waits for this token.
    UnknownToken,
    /// The timer is not set, or not due.
    UnknownTimer,
    /// Nobody waits for this evaluation.
    UnknownEvaluation,
    /// The flow has no such map step.
    UnknownStep,
}

const APPLIED: Verdict = Verdict::Applied { event: None };

/// Applies one event.
pub fn advance(plan: &Plan, state: State, event: Event) -> Decision {
    let Event { at, entropy, body } = event;
    let random = Random::new(entropy);
    match (state.run, body) {
        (None, EventBody::Started(start)) => match Turn::start(plan, *start, (at, random)) {
            Some(turn) => turn.finish(APPLIED),
            None => refused(None, Refusal::UnknownStep),
        },
        (None, _) => refused(None, Refusal::NotStarted),
        (Some(run), EventBody::Started(_)) => refused(Some(run), Refusal::AlreadyStarted),
        (Some(run), body) => {
            let mut turn =
                Turn { plan, run, at, random, commands: Vec::new(), rows: Vec::new(), token: None };
            match turn.apply(body) {
                Verdict::Refused(why) => refused(Some(turn.run), why),
                applied @ Verdict::Applied { .. } => turn.finish(applied),
            }
        }
    }
}

fn refused(run: Option<Box<Run>>, why: Refusal) -> Decision {
    let verdict = Verdict::Refused(why);
    Decision { state: State { run }, commands: Vec::new(), rows: Vec::new(), verdict }
}

/// One event being applied.
struct Turn<'p> {
    plan: &'p Plan,
    run: Box<Run>,
    at: Timestamp,
    random: Random,
    commands: Vec<Command>,
    rows: Vec<Row>,
    /// The token of the call that is being made: kept nowhere but in the call's input.
    token: Option<(u64, String)>,
}

impl<'p> Turn<'p> {
    fn start(plan: &'p Plan, start: Start, (at, random): (Timestamp, Random)) -> Option<Self> {
        let Start { input, facts, limits, item_of } = start;
        let scope = match item_of {
            None => 0,
            Some(name) => plan.iteration_of(&name)?,
        };
        let seconds = plan.timeout.filter(|_| scope == 0).unwrap_or(u64::MAX);
        let seconds = seconds.min(limits.execution_seconds_max).min(100 * 365 * 86_400);
        let deadline = at + Span::from_secs(seconds);
        let run = Box::new(Run {
            facts,
            limits,
            input: input.clone(),
            started_at: at.micros(),
            deadline: deadline.micros(),
            scope,
            threads: Default::default(),
            ready: Default::default(),
            thread_next: 0,
            history_next: 1,
            evaluation_next: 1,
            globals: Map::new(),
            redrives: 0,
            redriven_at: 0,
            outcome: None,
        });
        let (commands, rows, token) = (Vec::new(), Vec::new(), None);
        let mut turn = Self { plan, run, at, random, commands, rows, token };
        turn.machine_row(Moment::ExecutionStarted, json!({"input": input}));
        turn.commands.push(Command::Wake { timer: TimerId::Execution, at: deadline });
        turn.begin_machine();
        Some(turn)
    }

    fn apply(&mut self, body: EventBody) -> Verdict {
        let has_ended = self.run.outcome.is_some();
        match body {
            EventBody::Redriven => return self.redrive(),
            _ if has_ended => return Verdict::Refused(Refusal::Ended),
            EventBody::Started(_) => return Verdict::Refused(Refusal::AlreadyStarted),
            EventBody::Continued => {}
            EventBody::Evaluated { evaluation, answers } => {
                let asked = |thread: &Thread| matches!(&thread.phase, Phase::Asked { evaluation: e, .. } if *e == evaluation);
                let Some(id) = self.find(asked) else {
                    return Verdict::Refused(Refusal::UnknownEvaluation);
                };
                self.answered(id, answers);
            }
            EventBody::Submitted { call } => return self.submitted(call),
            EventBody::Taken { call, poller } => return self.taken(call, poller),
            EventBody::Succeeded { call, output } => return self.settled(call, Ok(output)),
            EventBody::Failed { call, error, cause } => {
                return self.settled(call, Err((error, cause)));
            }
            EventBody::Reported { token, report } => return self.reported(&token, report),
            EventBody::Woken { timer } => return self.woken(timer),
            EventBody::MapRunEnded { call, outcome } => return self.map_run_ended(call, outcome),
            EventBody::Stop { error, cause } => {
                let Fault { error, cause, .. } = Fault::reported(error, cause);
                let detail = json!({"error": error, "cause": cause});
                self.end(Moment::ExecutionStopped, detail, Outcome::Stopped { error, cause });
            }
        }
        APPLIED
    }

    /// Runs what can go on, then gives the decision.
    fn finish(mut self, verdict: Verdict) -> Decision {
        let mut left = self.run.limits.turn_steps_max.max(1);
        while let Some(id) = self.run.ready.pop_front() {
            if self.run.outcome.is_some() {
                self.run.ready.clear();
                break;
            }
            if left == 0 {
                self.run.ready.push_front(id);
                self.commands.push(Command::Continue);
                break;
            }
            left -= 1;
            self.go_on(id);
        }
        let Self { run, commands, rows, .. } = self;
        Decision { state: State { run: Some(run) }, commands, rows, verdict }
    }

    fn go_on(&mut self, id: u64) {
        let Some(thread) = self.run.threads.get(&id) else { return };
        if let Phase::Ready(stage) = &thread.phase {
            let stage = stage.clone();
            self.stage(id, stage, None);
        }
    }

    fn answered(&mut self, id: u64, answers: Vec<Result<Value, String>>) {
        let Some(thread) = self.run.threads.get(&id) else { return };
        if let Phase::Asked { stage, .. } = &thread.phase {
            let stage = stage.clone();
            self.stage(id, stage, Some(Answers::new(answers)));
        }
    }

    fn find(&self, is_meant: impl Fn(&Thread) -> bool) -> Option<u64> {
        self.run.threads.iter().find(|(_, thread)| is_meant(thread)).map(|(id, _)| *id)
    }

    fn find_call(&self, call: CallId) -> Option<u64> {
        self.find(|thread| matches!(&thread.phase, Phase::Called(called) if called.call == call))
    }

    fn thread(&self, id: u64) -> Option<&Thread> {
        self.run.threads.get(&id)
    }

    fn step(&self, id: u64) -> Option<&'p Step> {
        self.plan.steps.get(self.thread(id)?.step)
    }

    fn set(&mut self, id: u64, phase: Phase) {
        if let Some(thread) = self.run.threads.get_mut(&id) {
            thread.phase = phase;
        }
    }

    /// Lets a thread go on at `stage`, after those that are ready already.
    fn ready(&mut self, id: u64, stage: Stage) {
        self.set(id, Phase::Ready(stage));
        self.run.ready.push_back(id);
    }

    /// A history row about a thread's step. Gives its id, or that of the last one where upstream has
    /// no such event.
    fn row(&mut self, id: u64, moment: Moment, detail: Value) -> u64 {
        let Some(step) = self.step(id) else { return 0 };
        let resource = match &step.work {
            Work::Task(task) => Some(&task.resource),
            Work::Pass { .. }
            | Work::Wait(_)
            | Work::Choice { .. }
            | Work::Succeed
            | Work::Fail { .. }
            | Work::Parallel(_)
            | Work::Map(_) => None,
        };
        let name = name(self.plan.dialect, moment, About { kind: step.kind, resource });
        let (at, next) = (self.at, self.run.history_next);
        let Some(thread) = self.run.threads.get_mut(&id) else { return 0 };
        let Some(name) = name else { return thread.last_event };
        let (previous, step) = (thread.last_event, step.name.clone());
        thread.last_event = next;
        self.run.history_next += 1;
        self.rows.push(Row { id: next, previous, at, step, thread: id, moment, name, detail });
        next
    }

    /// A row about the execution.
    fn machine_row(&mut self, moment: Moment, detail: Value) {
        let about = About { kind: Kind::Pass, resource: None };
        let Some(name) = name(self.plan.dialect, moment, about) else { return };
        let id = self.run.history_next;
        self.run.history_next += 1;
        let (at, step) = (self.at, String::new());
        self.rows.push(Row { id, previous: id - 1, at, step, thread: 0, moment, name, detail });
    }

    /// The end of the execution: everything under way is given up, nothing goes on.
    fn end(&mut self, moment: Moment, detail: Value, outcome: Outcome) {
        let all: Vec<u64> = self.run.threads.keys().copied().collect();
        for id in all {
            self.release(id);
        }
        self.run.ready.clear();
        self.machine_row(moment, detail);
        self.commands.push(Command::Unwake { timer: TimerId::Execution });
        self.commands.push(Command::Finish(outcome.clone()));
        self.run.outcome = Some(outcome);
    }
}

impl Plan {
    /// The scope that children of a distributed map run.
    fn iteration_of(&self, step: &str) -> Option<usize> {
        let owner = self.steps.iter().position(|known| known.name == step)?;
        let is_meant = |scope: &crate::plan::Scope| {
            scope.owner == Some(owner) && scope.kind == ScopeKind::Iteration
        };
        self.scopes.iter().position(is_meant)
    }

    /// Whether steps share their scope's data (FDL) or hand it from one to the next.
    fn accumulates(&self) -> bool {
        self.dialect == Dialect::Fdl
    }
}
