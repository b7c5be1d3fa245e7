//! Calls: they are made, accepted, taken, kept alive, answered, or run out of time. A call is over with
//! its first end: what comes later finds no call and changes nothing.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use stint_model::time::{Span, Timestamp};

use super::sight::Seen;
use super::{APPLIED, Refusal, Turn, Verdict};
use crate::command::{Call, Command, MapRun};
use crate::event::{CallId, Report, TimerId};
use crate::fault::Fault;
use crate::history::Moment;
use crate::plan::{CallMode, Dialect, Distributed, Language, Step, Task, Work};
use crate::prelude::*;
use crate::state::{Called, Phase};
use crate::template::{Answers, Template};
use crate::value;

/// What a map state knows about its items before they run.
pub(super) struct Sizes {
    pub(super) items: Value,
    pub(super) concurrency: u32,
    /// Count, and percentage in hundredths of a percent.
    pub(super) tolerated: (Option<u64>, Option<u32>),
}

impl<'p> Turn<'p> {
    fn call_id(&self, id: u64) -> CallId {
        let thread = self.thread(id);
        let entered = thread.map_or(0, |thread| thread.entered);
        let retries: u32 = thread.map_or(0, |thread| thread.retries.iter().sum());
        CallId { entered, attempt: retries.saturating_add(1) }
    }

    /// A new token for each attempt. Its text goes into the input; the state keeps its hash.
    pub(super) fn make_token(&mut self, id: u64, step: &Step) {
        let Work::Task(task) = &step.work else { return };
        self.token = None;
        if task.mode == CallMode::Callback {
            self.mint_token(id);
        }
    }

    fn mint_token(&mut self, id: u64) -> String {
        let (facts, call) = (&self.run.facts, self.call_id(id));
        let secret = self.random.secret();
        let text = format!("v1#{}#{}#{call}#{secret}", facts.flow_name, facts.id);
        let token = STANDARD.encode(text);
        let hash = hash(&token);
        if let Some(thread) = self.run.threads.get_mut(&id) {
            thread.token = Some(hash);
        }
        self.token = Some((id, token.clone()));
        token
    }

    pub(super) fn call(
        &mut self,
        id: u64,
        step: &'p Step,
        (task, input): (&Task, &Value),
        answers: &mut Answers,
    ) -> Result<(), Fault> {
        let shaped = match (&step.params, step.language) {
            // An API without parameters gets none; elsewhere the work gets the step's input.
            (None, Language::Cloud) => Value::Object(Map::new()),
            (_, Language::Cloud | Language::JsonPath | Language::Jsonata | Language::Fdl) => {
                self.params(id, step, input, answers)?
            }
        };
        self.check_size(&shaped, "state input")?;
        let timeout = self.seconds(id, step, (&task.timeout, input), answers)?;
        let heartbeat = self.seconds(id, step, (&task.heartbeat, input), answers)?;
        let credentials = match &task.credentials {
            Some(template) => Some(self.fill(id, template, Seen::of(input), answers)?),
            None => None,
        };
        let token = (task.mode == CallMode::Poll).then(|| self.mint_token(id));
        let call = self.call_id(id);
        self.row(id, Moment::Started, json!({"input": input}));
        let mut detail = json!({"resource": task.resource, "parameters": shaped});
        for (name, seconds) in [("timeoutInSeconds", timeout), ("heartbeatInSeconds", heartbeat)] {
            if let Some(seconds) = seconds {
                detail[name] = Value::from(seconds);
            }
        }
        self.row(id, Moment::TaskScheduled, detail);
        let is_polled = task.mode == CallMode::Poll;
        if !is_polled {
            self.row(id, Moment::TaskStarted, json!({}));
        }
        let after = |seconds: Option<u64>| seconds.map(|s| (self.at + Span::from_secs(s)).micros());
        let micros =
            |seconds: u64| i64::try_from(Span::from_secs(seconds).micros()).unwrap_or(i64::MAX);
        let called = Called {
            call,
            mode: task.mode,
            deadline: after(timeout),
            heartbeat: heartbeat.map(micros),
            beat_due: after(heartbeat.filter(|_| !is_polled)),
            timeout,
        };
        self.watch(id, &called);
        self.set(id, Phase::Called(called));
        self.commands.push(Command::Submit(Box::new(Call {
            id: call,
            step: step.name.clone(),
            resource: task.resource.clone(),
            mode: task.mode,
            input: shaped,
            credentials,
            token,
            timeout,
            heartbeat,
        })));
        self.token = None;
        Ok(())
    }

    /// A positive number of seconds; zero is "none" where the dialect says so.
    fn seconds(
        &self,
        id: u64,
        step: &Step,
        (template, input): (&Option<Template>, &Value),
        answers: &mut Answers,
    ) -> Result<Option<u64>, Fault> {
        let Some(template) = template else { return Ok(None) };
        let said = self.fill(id, template, Seen::of(input), answers)?;
        let seconds = value::whole(&said).filter(|seconds| (0..=99_999_999).contains(seconds));
        match seconds.and_then(|seconds| u64::try_from(seconds).ok()) {
            Some(0) if step.language == Language::Cloud => Ok(None),
            Some(seconds) if seconds > 0 => Ok(Some(seconds)),
            Some(_) | None => {
                let said =
                    format!("a number of seconds from 1 to 99999999 is expected, but was: {said}");
                Err(Fault::unusable(step.language, said))
            }
        }
    }

    fn watch(&mut self, id: u64, called: &Called) {
        if let Some(due) = called.due() {
            let at = Timestamp::from_micros(due);
            self.commands.push(Command::Wake { timer: TimerId::Thread(id), at });
        }
    }

    pub(super) fn start_map_run(
        &mut self,
        id: u64,
        step: &'p Step,
        (spread, input, sizes): (&Distributed, &Value, Sizes),
        answers: &mut Answers,
    ) -> Result<(), Fault> {
        let Sizes { items, concurrency, tolerated } = sizes;
        let mut fill = |template: &Option<Template>| match template {
            Some(template) => self.fill(id, template, Seen::of(input), answers).map(Some),
            None => Ok(None),
        };
        let (reader, writer) = (fill(&spread.reader)?, fill(&spread.writer)?);
        let (items_max, batch) = (fill(&spread.items_max)?, fill(&spread.batch)?);
        let is_usable = match step.language {
            Language::Jsonata => items.is_array() || items.is_object(),
            Language::JsonPath | Language::Cloud | Language::Fdl => items.is_array(),
        };
        if reader.is_none() && !is_usable {
            let said =
                format!("Map state input must be an array but was: {}", value::excerpt(&items));
            return Err(Fault::unusable(step.language, said));
        }
        let call = self.call_id(id);
        let length = items.as_array().map_or(0, Vec::len);
        self.row(id, Moment::Started, json!({"length": length}));
        self.row(id, Moment::MapRunStarted, json!({"MapRunName": call.to_string()}));
        let frame = Box::new(self.frame(id, step, input));
        let items_max = items_max.as_ref().and_then(value::whole);
        let map_run = MapRun {
            id: call,
            step: step.name.clone(),
            mode: spread.mode,
            label: spread.label.clone(),
            items: reader.is_none().then_some(items),
            reader,
            writer,
            batch,
            concurrency: Some(concurrency).filter(|number| *number > 0),
            items_max: items_max.and_then(|number| u64::try_from(number).ok()),
            tolerated_count: tolerated.0,
            tolerated_basis_points: tolerated.1,
            frame,
        };
        self.commands.push(Command::StartMapRun(Box::new(map_run)));
        self.set(id, Phase::Mapped { call });
        Ok(())
    }

    pub(super) fn map_run_ended(
        &mut self,
        call: CallId,
        outcome: Result<Value, (String, String)>,
    ) -> Verdict {
        let is_meant =
            |phase: &Phase| matches!(phase, Phase::Mapped { call: known } if *known == call);
        let Some(id) = self.find(|thread| is_meant(&thread.phase)) else {
            return Verdict::Refused(Refusal::UnknownCall);
        };
        let Some(step) = self.step(id) else { return Verdict::Refused(Refusal::UnknownCall) };
        match outcome {
            Err((error, cause)) => {
                let event =
                    self.row(id, Moment::MapRunFailed, json!({"error": error, "cause": cause}));
                self.fail(id, Fault::reported(Some(error), Some(cause)));
                Verdict::Applied { event: Some(event) }
            }
            Ok(output) => {
                let output = match (step.language, output) {
                    (Language::Cloud, Value::Array(items)) => json!({"Items": items}),
                    (_, output) => output,
                };
                let event = self.row(id, Moment::MapRunSucceeded, json!({}));
                if let Err(fault) = self.check_size(&output, "task result") {
                    self.fail(id, fault);
                    return Verdict::Applied { event: Some(event) };
                }
                self.row(id, Moment::Succeeded, json!({"output": output}));
                self.work_done(id, step, output, None);
                Verdict::Applied { event: Some(event) }
            }
        }
    }

    pub(super) fn submitted(&mut self, call: CallId) -> Verdict {
        match self.find_call(call) {
            None => Verdict::Refused(Refusal::UnknownCall),
            Some(id) => {
                let event = self.row(id, Moment::TaskSubmitted, json!({}));
                Verdict::Applied { event: Some(event) }
            }
        }
    }

    /// A poller has the work: from now on it must show signs of life.
    pub(super) fn taken(&mut self, call: CallId, poller: Option<String>) -> Verdict {
        let Some(id) = self.find_call(call) else { return Verdict::Refused(Refusal::UnknownCall) };
        let event = self.row(id, Moment::TaskStarted, json!({"workerName": poller}));
        self.beat(id);
        if let Some(Phase::Called(called)) = self.thread(id).map(|thread| thread.phase.clone()) {
            self.watch(id, &called);
        }
        Verdict::Applied { event: Some(event) }
    }

    fn beat(&mut self, id: u64) {
        let now = self.at.micros();
        if let Some(thread) = self.run.threads.get_mut(&id)
            && let Phase::Called(called) = &mut thread.phase
        {
            called.beat_due = called.heartbeat.map(|every| now.saturating_add(every));
        }
    }

    pub(super) fn reported(&mut self, token: &str, report: Report) -> Verdict {
        let hash = hash(token);
        let Some(id) = self.find(|thread| thread.token.as_deref() == Some(hash.as_str())) else {
            return Verdict::Refused(Refusal::UnknownToken);
        };
        let Some(Phase::Called(called)) = self.thread(id).map(|thread| &thread.phase) else {
            return Verdict::Refused(Refusal::UnknownToken);
        };
        let call = called.call;
        match report {
            // The timer stands where it stood; when it goes off it is set again.
            Report::Alive => {
                self.beat(id);
                APPLIED
            }
            Report::Succeeded(output) => self.settled(call, Ok(output)),
            Report::Failed { error, cause } => self.settled(call, Err((error, cause))),
        }
    }

    pub(super) fn settled(
        &mut self,
        call: CallId,
        outcome: Result<Value, (Option<String>, Option<String>)>,
    ) -> Verdict {
        let Some(id) = self.find_call(call) else { return Verdict::Refused(Refusal::UnknownCall) };
        let Some(step) = self.step(id) else { return Verdict::Refused(Refusal::UnknownCall) };
        self.forget_call(id);
        let (event, fault) = match outcome {
            Ok(output) => {
                let event = self.row(id, Moment::TaskSucceeded, json!({"output": output}));
                match self.usable(output) {
                    Ok(output) => {
                        self.row(id, Moment::Succeeded, json!({"output": output}));
                        self.work_done(id, step, output, None);
                        return Verdict::Applied { event: Some(event) };
                    }
                    Err(fault) => (event, fault),
                }
            }
            Err((error, cause)) => {
                let fault = Fault::reported(error, cause);
                let detail = json!({"error": fault.error, "cause": fault.cause});
                (self.row(id, Moment::TaskFailed, detail), fault)
            }
        };
        self.fail(id, fault);
        Verdict::Applied { event: Some(event) }
    }

    fn usable(&self, output: Value) -> Result<Value, Fault> {
        self.check_size(&output, "task result")?;
        let must_be_object = self.plan.dialect != Dialect::StatesLanguage;
        if must_be_object && !output.is_object() {
            return Err(Fault::no_object("task result", &output));
        }
        Ok(output)
    }

    fn forget_call(&mut self, id: u64) {
        if let Some(thread) = self.run.threads.get_mut(&id) {
            thread.token = None;
            if let Phase::Called(called) = &thread.phase
                && called.due().is_some()
            {
                self.commands.push(Command::Unwake { timer: TimerId::Thread(id) });
            }
        }
    }

    /// A timer went off. What it says is checked against what is due: heartbeats only move the due time.
    pub(super) fn woken(&mut self, timer: TimerId) -> Verdict {
        let now = self.at.micros();
        let early = Verdict::Refused(Refusal::UnknownTimer);
        let TimerId::Thread(id) = timer else {
            return if now >= self.run.deadline { self.time_up() } else { early };
        };
        let (Some(thread), Some(step)) = (self.thread(id), self.step(id)) else { return early };
        match thread.phase.clone() {
            Phase::Waiting { until } if now >= until => {
                let result = match step.language {
                    Language::Fdl => Value::Object(Map::new()),
                    Language::JsonPath | Language::Jsonata | Language::Cloud => {
                        thread.input.clone()
                    }
                };
                self.work_done(id, step, result, None);
            }
            Phase::Backoff { until } if now >= until => {
                self.ready(id, crate::state::Stage::Begin);
            }
            Phase::Called(called) => {
                let is_due = |due: Option<i64>| due.is_some_and(|due| now >= due);
                if is_due(called.deadline) {
                    self.ran_out(id, called.call, Fault::timeout(self.plan.dialect));
                } else if is_due(called.beat_due) {
                    self.ran_out(id, called.call, Fault::heartbeat());
                } else {
                    self.watch(id, &called);
                }
            }
            Phase::Waiting { .. }
            | Phase::Backoff { .. }
            | Phase::Ready(_)
            | Phase::Asked { .. }
            | Phase::Joined(_)
            | Phase::Mapped { .. }
            | Phase::Broken => return early,
        }
        APPLIED
    }

    /// The attempt is over and its token void; whoever works on it is told to stop.
    fn ran_out(&mut self, id: u64, call: CallId, fault: Fault) {
        if let Some(thread) = self.run.threads.get_mut(&id) {
            thread.token = None;
        }
        let detail = json!({"error": fault.error, "cause": fault.cause});
        self.row(id, Moment::TaskTimedOut, detail);
        self.commands.push(Command::Stop { call });
        self.fail(id, fault);
    }
}

fn hash(token: &str) -> String {
    hex::encode(Sha256::digest(token.as_bytes()))
}

/// Where a token leads: enough to route a report, nothing to trust. [`crate::advance()`] checks the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenAddress {
    /// Name of the flow.
    pub flow_name: String,
    /// Id of the execution.
    pub execution_id: String,
    /// The call that waits.
    pub call: CallId,
}

impl TokenAddress {
    /// Reads a token's address; `None` for what no execution has made.
    pub fn parse(token: &str) -> Option<Self> {
        if token.len() > 2_048 {
            return None;
        }
        let text = String::from_utf8(STANDARD.decode(token).ok()?).ok()?;
        let (flow_name, rest) = text.strip_prefix("v1#")?.split_once('#')?;
        let (rest, _secret) = rest.rsplit_once('#')?;
        let (execution, call) = rest.rsplit_once('#')?;
        let (flow_name, execution_id) = (flow_name.to_owned(), execution.to_owned());
        Some(Self { flow_name, execution_id, call: call.parse().ok()? })
    }
}
