//! A world for one execution: a clock that is moved, an evaluator, and tasks that answer from a script.
//! It does what commands say and feeds back what happens, as a shell would.

use std::collections::{BTreeMap, VecDeque};

use serde_json::Value;
use stint_expr::{Bounds, Evaluator as _, Jsonata, Request};
use stint_flow::{
    Call, CallId, Command, Decision, Evaluation, Event, EventBody, ExecutionMode, Facts, Fault,
    Limits, MapCommand, MapEvent, MapRun, MapRunState, Outcome, Plan, RawItem, Row, Shaped, Start,
    State, TimerId, Verdict, advance, map_item,
};
use stint_model::time::Timestamp;

/// What a task of a script does.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Output(Value),
    Error(Option<String>, Option<String>),
    /// Nothing, until its time is up.
    Silence,
}

pub(crate) struct World<'p> {
    pub(crate) plan: &'p Plan,
    pub(crate) state: State,
    pub(crate) now: Timestamp,
    pub(crate) rows: Vec<Row>,
    pub(crate) calls: Vec<Call>,
    pub(crate) journal: Vec<Event>,
    pub(crate) script: BTreeMap<String, VecDeque<Answer>>,
    /// Calls that were told to stop.
    pub(crate) stopped: Vec<CallId>,
    /// Turns that went on with what another left over.
    pub(crate) continued: u64,
    timers: BTreeMap<TimerId, Timestamp>,
    todo: VecDeque<Command>,
    expr: Jsonata,
    turns: u64,
}

/// A world that answers and whose clock stands at a fixed time.
pub(crate) fn ready<'p>(plan: &'p Plan, script: &[(&str, Answer)]) -> World<'p> {
    World::new(plan, Timestamp::from_millis(1_700_000_000_000)).answers(script)
}

/// Turns after which an execution is said to hang.
const TURNS_MAX: u64 = 200_000;

impl<'p> World<'p> {
    pub(crate) fn new(plan: &'p Plan, now: Timestamp) -> Self {
        Self {
            plan,
            state: State::new(),
            now,
            rows: Vec::new(),
            calls: Vec::new(),
            journal: Vec::new(),
            script: BTreeMap::new(),
            stopped: Vec::new(),
            continued: 0,
            timers: BTreeMap::new(),
            todo: VecDeque::new(),
            expr: Jsonata::new(Bounds::default()),
            turns: 0,
        }
    }

    pub(crate) fn start(&mut self, input: Value) -> Verdict {
        let limits = Limits::of(self.plan.dialect(), ExecutionMode::Standard);
        self.start_with(input, limits, None)
    }

    pub(crate) fn start_with(
        &mut self,
        input: Value,
        limits: Limits,
        item_of: Option<String>,
    ) -> Verdict {
        let facts = Facts {
            id: "arn:aws:states:us-east-1:111111111111:execution:flow:e1".into(),
            name: "e1".into(),
            flow_id: "arn:aws:states:us-east-1:111111111111:stateMachine:flow".into(),
            flow_name: "flow".into(),
            role: "role".into(),
            ..Facts::default()
        };
        self.send(EventBody::Started(Box::new(Start { input, facts, limits, item_of })))
    }

    /// One turn. The state goes through its stored form, as it would between two processes.
    pub(crate) fn send(&mut self, body: EventBody) -> Verdict {
        self.turns += 1;
        assert!(self.turns < TURNS_MAX, "the execution does not end");
        let mut entropy = [0; 16];
        entropy[..8].copy_from_slice(&self.turns.to_be_bytes());
        let event = Event { at: self.now, entropy, body };
        self.journal.push(event.clone());
        let state = State::load(&self.state.store()).unwrap();
        assert_eq!(state, self.state, "a stored state reads back as it was");
        let Decision { state, commands, rows, verdict } = advance(self.plan, state, event);
        self.state = state;
        self.rows.extend(rows);
        self.todo.extend(commands);
        verdict
    }

    /// Answers of tasks, by state, in order.
    pub(crate) fn answers(mut self, script: &[(&str, Answer)]) -> Self {
        for (state, answer) in script {
            self.script.entry((*state).to_owned()).or_default().push_back(answer.clone());
        }
        self
    }

    pub(crate) fn run(&mut self, input: Value) -> Outcome {
        self.start(input);
        self.settle();
        // Whoever has not answered by now never does: the execution's own limit ends it.
        if let Some(at) = self.timers.remove(&TimerId::Execution)
            && self.state.outcome().is_none()
        {
            self.now = at;
            self.send(EventBody::Woken { timer: TimerId::Execution });
        }
        self.state.outcome().cloned().expect("the execution ends")
    }

    /// Until the end, or until nothing but an outside report can go on.
    pub(crate) fn settle(&mut self) {
        loop {
            while let Some(command) = self.todo.pop_front() {
                self.act(command);
            }
            if self.state.outcome().is_some() || !self.wake() {
                return;
            }
        }
    }

    /// Moves the clock to the next timer. An execution that only its own limit would end waits for
    /// somebody outside.
    pub(crate) fn wake(&mut self) -> bool {
        if !self.timers.keys().any(|timer| *timer != TimerId::Execution) {
            return false;
        }
        let next = self.timers.iter().min_by_key(|(timer, at)| (**at, **timer));
        let Some((timer, at)) = next else { return false };
        let (timer, at) = (*timer, *at);
        self.timers.remove(&timer);
        self.now = self.now.max(at);
        self.send(EventBody::Woken { timer });
        true
    }

    /// When a timer stands, in seconds from a moment.
    pub(crate) fn timer_at(&self, timer: TimerId) -> Option<Timestamp> {
        self.timers.get(&timer).copied()
    }

    /// What is wanted, undone.
    pub(crate) fn take_commands(&mut self) -> Vec<Command> {
        self.todo.drain(..).collect()
    }

    /// Does what is wanted, without moving the clock.
    pub(crate) fn act_all(&mut self) {
        while let Some(command) = self.todo.pop_front() {
            self.act(command);
        }
    }

    fn act(&mut self, command: Command) {
        match command {
            Command::Submit(call) => self.task(*call),
            Command::Evaluate(evaluation) => {
                let answers = self.evaluate(&evaluation);
                self.send(EventBody::Evaluated { evaluation: evaluation.id, answers });
            }
            Command::Wake { timer, at } => {
                self.timers.insert(timer, at);
            }
            Command::Unwake { timer } => {
                self.timers.remove(&timer);
            }
            Command::StartMapRun(run) => {
                let outcome = self.map_run(&run);
                self.send(EventBody::MapRunEnded { call: run.id, outcome });
            }
            Command::Continue => {
                self.continued += 1;
                self.send(EventBody::Continued);
            }
            Command::Stop { call } => self.stopped.push(call),
            Command::StopMapRun { .. } | Command::Finish(_) => {}
        }
    }

    fn evaluate(&mut self, evaluation: &Evaluation) -> Vec<Result<Value, String>> {
        self.expr.evaluate(&Request {
            sources: evaluation.sources.clone(),
            states: Some(evaluation.states.clone()),
            variables: evaluation.variables.clone(),
            now_ms: self.now.millis(),
            ..Request::default()
        })
    }

    fn task(&mut self, call: Call) {
        self.calls.push(call.clone());
        let answer = self.script.get_mut(&call.step).and_then(VecDeque::pop_front);
        let body = match answer {
            None | Some(Answer::Silence) => return,
            Some(Answer::Output(output)) => EventBody::Succeeded { call: call.id, output },
            Some(Answer::Error(error, cause)) => EventBody::Failed { call: call.id, error, cause },
        };
        self.send(body);
    }

    /// A map run whose children run one after another.
    fn map_run(&mut self, run: &MapRun) -> Result<Value, (String, String)> {
        let limits = Limits::of(self.plan.dialect(), run.mode);
        let state = MapRunState::new(run, limits.payload_bytes_max);
        let (mut state, commands) = state.advance(MapEvent::Begun);
        let mut todo = VecDeque::from(commands);
        loop {
            let event = match todo.pop_front().expect("a map run ends") {
                MapCommand::Read { from, count } => self.read(run, from, count),
                MapCommand::Start { unit, input, .. } => {
                    let outcome = self.child(run, input, limits);
                    MapEvent::ChildEnded { unit, outcome }
                }
                MapCommand::StopChild { .. } => continue,
                MapCommand::Finish(result) => {
                    let output = result.map(Option::unwrap_or_default);
                    return output.map_err(|fault| {
                        (fault.error.unwrap_or_default(), fault.cause.unwrap_or_default())
                    });
                }
            };
            let (next, commands) = state.advance(event);
            state = next;
            todo.extend(commands);
        }
    }

    fn read(&mut self, run: &MapRun, from: u64, count: u64) -> MapEvent {
        let all: Vec<(Option<String>, Value)> = match &run.items {
            Some(Value::Array(items)) => items.iter().map(|item| (None, item.clone())).collect(),
            Some(Value::Object(map)) => {
                map.iter().map(|(key, value)| (Some(key.clone()), value.clone())).collect()
            }
            _ => Vec::new(),
        };
        let all_len = all.len() as u64;
        let mut items = Vec::new();
        for (index, (key, value)) in (0_u64..).zip(all) {
            if (from..from + count).contains(&index) {
                let item = RawItem { index, key: key.as_deref(), value: &value };
                match self.shape(run, item) {
                    Ok(shaped) => items.push(shaped),
                    Err(fault) => return MapEvent::ReadFailed(fault),
                }
            }
        }
        MapEvent::Items { items, is_last: from + count >= all_len }
    }

    fn shape(&mut self, run: &MapRun, item: RawItem<'_>) -> Result<Value, Fault> {
        match map_item(self.plan, run, item, None) {
            Shaped::Done(shaped) => shaped,
            Shaped::Evaluate(asked) => {
                let answers = self.evaluate(&asked);
                match map_item(self.plan, run, item, Some(answers)) {
                    Shaped::Done(shaped) => shaped,
                    Shaped::Evaluate(_) => panic!("asks twice"),
                }
            }
        }
    }

    fn child(&mut self, run: &MapRun, input: Value, limits: Limits) -> Outcome {
        let mut child = World::new(self.plan, self.now);
        child.script = std::mem::take(&mut self.script);
        child.start_with(input, limits, Some(run.step.clone()));
        child.settle();
        self.script = std::mem::take(&mut child.script);
        child.state.outcome().cloned().expect("a child ends")
    }
}
