//! One state of States Language on its own: what it would do with an input, before there is a flow.
//! Nothing is called and nothing is kept; what a call gives is said by who asks.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use stint_flow::{
    Command, Decision, Dialect, Event, EventBody, ExecutionMode, Facts, Limits, Moment, Outcome,
    Plan, Row, Start, State, TimerId, Waits, advance,
};
use stint_model::access::Caller;
use stint_model::code::{Code, Refusal};
use stint_model::flow::FlowMode;
use stint_model::time::Timestamp;

use super::definitions::compiled;
use crate::access::Operation;
use crate::engine::Engine;
use crate::error::EngineError;

/// Turns that one trial may take.
const TURNS_MAX: u32 = 10_000;
/// Sets the variables before the state.
const BEFORE: &str = "(variables)";

/// What the call of a state gives: a result, or error and cause.
pub type TrialMock = Result<Value, (String, String)>;

/// What is tried.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct FlowTrial {
    /// A state, or a machine that has it.
    pub definition: Value,
    /// Its name in the machine.
    pub name: Option<String>,
    /// What it gets.
    pub input: Value,
    /// Variables that are visible to it.
    pub variables: Map<String, Value>,
    /// What its call gives; without one it may call nothing.
    pub mock: Option<TrialMock>,
    /// Tries that failed before.
    pub retries: u32,
}

/// What became of it.
#[derive(Clone, PartialEq, Debug)]
pub struct FlowTried {
    /// How it ended.
    pub end: TrialEnd,
    /// The state that follows; none at an end.
    pub next: Option<String>,
    /// What would stand in the history about it.
    pub rows: Vec<Row>,
}

/// How a trial ended.
#[derive(Clone, PartialEq, Debug)]
pub enum TrialEnd {
    /// Well, with this output.
    Succeeded(Value),
    /// An error was caught; this is what its handler gets.
    Caught {
        /// Error name.
        error: Option<String>,
        /// Text for people.
        cause: Option<String>,
        /// The handler's input.
        output: Value,
    },
    /// It would be tried again.
    Retriable {
        /// Error name.
        error: Option<String>,
        /// Text for people.
        cause: Option<String>,
    },
    /// With an error that nobody caught.
    Failed {
        /// Error name.
        error: Option<String>,
        /// Text for people.
        cause: Option<String>,
    },
}

/// A machine around the state, in which every way out of it ends.
struct Bench {
    plan: Plan,
    name: String,
    /// Where only a catch leads.
    handlers: BTreeSet<String>,
}

fn invalid(message: impl Into<String>) -> EngineError {
    Refusal::invalid(message).into()
}

impl Bench {
    fn build(trial: &FlowTrial) -> Result<Self, EngineError> {
        let whole = trial.definition.as_object().ok_or_else(|| invalid("a state is an object"))?;
        let name = trial.name.clone().unwrap_or_else(|| "State".to_owned());
        let found = match (whole.get("States"), &trial.name) {
            (None, _) => Some(&trial.definition),
            (Some(states), Some(name)) => states.get(name),
            (Some(_), None) => {
                return Err(invalid("a machine has many states: name the one meant"));
            }
        };
        let mut state =
            found.cloned().ok_or_else(|| invalid(format!("there is no state '{name}'")))?;
        let (mut ways, mut handlers) = (BTreeSet::new(), BTreeSet::new());
        targets(&mut state, &name, &mut ways, &mut handlers);
        let mut states = Map::new();
        for end in ways.iter().chain(&handlers) {
            // The handler's input is what is asked for: nothing may change it.
            states.insert(end.clone(), json!({"Type": "Succeed", "QueryLanguage": "JSONPath"}));
        }
        states.insert(name.clone(), state);
        let mut start = name.clone();
        if !trial.variables.is_empty() {
            start = BEFORE.to_owned();
            let set = json!({"Type": "Pass", "QueryLanguage": "JSONPath", "Assign": trial.variables, "Next": name});
            states.insert(start.clone(), set);
        }
        let mut machine = json!({"StartAt": start, "States": states});
        if let Some(language) = whole.get("QueryLanguage").filter(|_| whole.contains_key("States"))
        {
            machine["QueryLanguage"] = language.clone();
        }
        let compiled = compiled(&machine.to_string(), FlowMode::Standard);
        let Some(plan) = compiled.plan else {
            let first = compiled.problems.into_iter().find(stint_flow::Problem::is_error);
            return Err(invalid(first.map_or_else(String::new, |problem| problem.message)));
        };
        let handlers = handlers.difference(&ways).cloned().collect();
        Ok(Self { plan, name, handlers })
    }
}

/// Where a state leads, and where its catches do. A way back to itself would go round for ever, so it
/// leads to another name.
fn targets(
    state: &mut Value,
    own: &str,
    ways: &mut BTreeSet<String>,
    handlers: &mut BTreeSet<String>,
) {
    let take = |value: &mut Value, into: &mut BTreeSet<String>| {
        if let Value::String(target) = value {
            if target == own {
                *target = again(own);
            }
            into.insert(target.clone());
        }
    };
    for field in ["Next", "Default"] {
        if let Some(target) = state.get_mut(field) {
            take(target, ways);
        }
    }
    for (list, into) in [("Choices", &mut *ways), ("Catch", &mut *handlers)] {
        let rules = state.get_mut(list).and_then(Value::as_array_mut);
        for target in rules.into_iter().flatten().filter_map(|rule| rule.get_mut("Next")) {
            take(target, into);
        }
    }
}

fn again(name: &str) -> String {
    format!("{name} (again)")
}

impl Engine {
    /// Tries one state of States Language.
    ///
    /// # Errors
    /// `AccessDenied`; `InvalidArgument` for a state that cannot be used; `ActionNotSupported` for a call
    /// without a mock, and for distributed maps.
    pub async fn flow_try(
        &self,
        caller: &Caller,
        trial: FlowTrial,
    ) -> Result<FlowTried, EngineError> {
        self.authorize(caller, Operation::FlowCheck, None)?;
        let bench = Bench::build(&trial)?;
        let now = self.clock().now();
        let start = Start {
            input: trial.input.clone(),
            facts: Facts { id: "trial".into(), name: "trial".into(), ..Facts::default() },
            limits: Limits::of(Dialect::StatesLanguage, ExecutionMode::Standard),
            item_of: None,
        };
        let mut runs = Running { rows: Vec::new(), retries: trial.retries, now };
        let mut next = Some(EventBody::Started(Box::new(start)));
        let mut state = State::new();
        for _ in 0..TURNS_MAX {
            let Some(body) = next.take() else { break };
            let event = Event { at: runs.now, entropy: rand::random(), body };
            let Decision { state: after, commands, rows, .. } = advance(&bench.plan, state, event);
            state = after;
            runs.rows.extend(rows);
            if let Some(outcome) = state.outcome() {
                return Ok(runs.ended(&bench, outcome));
            }
            for command in commands {
                if let Some(body) = self.answer(&bench, &trial, command, runs.now).await? {
                    next = Some(body);
                }
            }
            if next.is_none() {
                match runs.wait(&bench, &state) {
                    Ok(body) => next = Some(body),
                    Err(tried) => return Ok(*tried),
                }
            }
        }
        Err(EngineError::refused(Code::LimitExceededError, "the state goes on for too long"))
    }

    /// What answers a command; none for those that need no answer.
    async fn answer(
        &self,
        bench: &Bench,
        trial: &FlowTrial,
        command: Command,
        now: Timestamp,
    ) -> Result<Option<EventBody>, EngineError> {
        Ok(match command {
            Command::Evaluate(asked) => {
                let moment = (rand::random(), now);
                let answers = self.evaluator().evaluate(self.clock(), &asked, moment).await;
                Some(EventBody::Evaluated { evaluation: asked.id, answers })
            }
            Command::Submit(call) => match &trial.mock {
                Some(Ok(output)) if call.step == bench.name => {
                    Some(EventBody::Succeeded { call: call.id, output: output.clone() })
                }
                Some(Err((error, cause))) if call.step == bench.name => {
                    let (error, cause) = (Some(error.clone()), Some(cause.clone()));
                    Some(EventBody::Failed { call: call.id, error, cause })
                }
                Some(_) | None => {
                    let message = format!(
                        "a trial calls nothing: say with `mock` what the call of '{}' gives",
                        call.step
                    );
                    return Err(EngineError::refused(Code::ActionNotSupported, message));
                }
            },
            Command::StartMapRun(_) => {
                let message = "a distributed map cannot be tried; try its processor's states";
                return Err(EngineError::refused(Code::ActionNotSupported, message));
            }
            Command::Continue => Some(EventBody::Continued),
            Command::Stop { .. }
            | Command::Wake { .. }
            | Command::Unwake { .. }
            | Command::StopMapRun { .. }
            | Command::Finish(_) => None,
        })
    }
}

/// A trial on its way.
struct Running {
    rows: Vec<Row>,
    retries: u32,
    now: Timestamp,
}

impl Running {
    /// Nothing is being answered: the state waits. A wait is over at once; a retry is the end, unless
    /// it is one of those that are behind it.
    fn wait(&mut self, bench: &Bench, state: &State) -> Result<EventBody, Box<FlowTried>> {
        for open in state.open_steps(&bench.plan) {
            let until = match open.waits {
                Waits::Time { until } => until,
                Waits::Retry { until } if self.retries > 0 => {
                    self.retries -= 1;
                    until
                }
                Waits::Retry { .. } => {
                    let (error, cause) = self.error(bench);
                    let end = TrialEnd::Retriable { error, cause };
                    return Err(Box::new(self.tried(bench, end, None)));
                }
                Waits::Turn
                | Waits::Evaluation
                | Waits::Call { .. }
                | Waits::Threads { .. }
                | Waits::MapRun { .. }
                | Waits::Redrive => continue,
            };
            self.now = self.now.max(Timestamp::from_micros(until));
            return Ok(EventBody::Woken { timer: TimerId::Thread(open.thread) });
        }
        let end = TrialEnd::Failed { error: None, cause: Some("the state waits for ever".into()) };
        Err(Box::new(self.tried(bench, end, None)))
    }

    /// The last error of the state.
    fn error(&self, bench: &Bench) -> (Option<String>, Option<String>) {
        let failed = self.rows.iter().rev().find(|row| {
            let is_error = matches!(
                row.moment,
                Moment::Failed
                    | Moment::TaskFailed
                    | Moment::TaskTimedOut
                    | Moment::TaskSubmitFailed
                    | Moment::EvaluationFailed
            );
            is_error && row.step == bench.name
        });
        let text = |name: &str| {
            let said = failed.and_then(|row| row.detail.get(name)?.as_str());
            said.map(str::to_owned)
        };
        (text("error"), text("cause"))
    }

    fn ended(self, bench: &Bench, outcome: &Outcome) -> FlowTried {
        let next = self.rows.iter().find(|row| {
            row.moment == Moment::Entered && row.step != bench.name && row.step != BEFORE
        });
        let next = next.map(|row| row.step.clone());
        let is_handler = next.as_ref().is_some_and(|next| bench.handlers.contains(next));
        let (error, cause) = self.error(bench);
        let end = match outcome.clone() {
            Outcome::Succeeded { output } if is_handler => {
                TrialEnd::Caught { error, cause, output }
            }
            Outcome::Succeeded { output } => TrialEnd::Succeeded(output),
            Outcome::Failed { error, cause }
            | Outcome::TimedOut { error, cause }
            | Outcome::Stopped { error, cause } => TrialEnd::Failed { error, cause },
        };
        let next =
            next.map(|next| if next == again(&bench.name) { bench.name.clone() } else { next });
        self.tried(bench, end, next)
    }

    fn tried(&self, bench: &Bench, end: TrialEnd, next: Option<String>) -> FlowTried {
        let rows = self.rows.iter().filter(|row| row.step == bench.name).cloned().collect();
        FlowTried { end, next, rows }
    }
}
