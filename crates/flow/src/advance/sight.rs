//! What expressions see: input, variables, the context object in its three projections, and what the
//! evaluator of JSONata is sent.

use serde_json::json;
use stint_model::time::Timestamp;

use super::Turn;
use crate::command::{Command, Evaluation, MapFrame};
use crate::fault::Fault;
use crate::path::Env;
use crate::plan::{Dialect, Language, Step};
use crate::prelude::*;
use crate::stamp;
use crate::state::{Item, Phase, Stage};
use crate::template::{Answers, Desk, Lapse, Template};

/// What is there beside the thread's own data.
#[derive(Clone, Copy)]
pub(super) struct Seen<'a> {
    /// `$` of JSONPath and of FDL's conditions.
    pub(super) current: &'a Value,
    /// `$output` and `$local`: what the work gave.
    pub(super) output: Option<&'a Value>,
    /// What `$Input` and `$input` are.
    pub(super) input: &'a Value,
    pub(super) item: Option<&'a Item>,
}

impl<'a> Seen<'a> {
    pub(super) fn of(current: &'a Value) -> Self {
        Self { current, output: None, input: current, item: None }
    }
}

impl<'p> Turn<'p> {
    /// Evaluates a template of the thread's step.
    pub(super) fn fill(
        &self,
        id: u64,
        template: &Template,
        seen: Seen<'_>,
        answers: &mut Answers,
    ) -> Result<Value, Fault> {
        if let Some(constant) = template.constant() {
            return Ok(constant.clone());
        }
        self.with_desk(id, seen, answers, |desk| template.fill(desk))
    }

    pub(super) fn with_desk<T>(
        &self,
        id: u64,
        seen: Seen<'_>,
        answers: &mut Answers,
        work: impl FnOnce(&mut Desk<'_, '_>) -> Result<T, Lapse>,
    ) -> Result<T, Fault> {
        let Some(step) = self.step(id) else {
            return Err(Fault::exhausted(self.plan.dialect, "the step is gone"));
        };
        let context = if step.sees_context { self.context(id, step, seen) } else { Value::Null };
        let globals = match step.language {
            Language::Cloud => Value::Object(self.run.globals.clone()),
            Language::JsonPath | Language::Jsonata | Language::Fdl => Value::Null,
        };
        let item = seen.item.map_or(&Value::Null, |item| &item.value);
        let output = seen.output.unwrap_or(&Value::Null);
        let mut env = Env::new(seen.current, &context);
        match step.language {
            Language::JsonPath | Language::Jsonata => env.variables = self.variables(id),
            Language::Cloud => {
                env.named =
                    vec![("Input", seen.input), ("Global", &globals), ("Context", &context)];
                env.named.extend(seen.output.map(|_| ("Output", output)));
                env.named.extend(seen.item.map(|_| ("Item", item)));
            }
            Language::Fdl => {
                env.named = vec![("input", seen.input), ("context", &context), ("local", output)];
            }
        }
        let mut desk = Desk { env: &env, random: &self.random, answers };
        work(&mut desk).map_err(|lapse| Fault::lapse(step.language, &lapse))
    }

    /// Innermost first. Parents wait while their children run, so looking up is looking back.
    pub(super) fn variables(&self, id: u64) -> Vec<&Map<String, Value>> {
        let mut scopes = Vec::new();
        let mut here = self.thread(id);
        while let Some(thread) = here {
            if !thread.variables.is_empty() {
                scopes.push(&thread.variables);
            }
            here = thread.parent.and_then(|parent| self.thread(parent.thread));
        }
        scopes
    }

    fn visible(&self, id: u64) -> Map<String, Value> {
        let mut all = Map::new();
        for scope in self.variables(id).into_iter().rev() {
            all.extend(scope.iter().map(|(name, value)| (name.clone(), value.clone())));
        }
        all
    }

    /// The item of the nearest iteration around.
    fn item(&self, id: u64) -> Option<&Item> {
        let mut here = self.thread(id);
        while let Some(thread) = here {
            if thread.item.is_some() {
                return thread.item.as_ref();
            }
            here = thread.parent.and_then(|parent| self.thread(parent.thread));
        }
        None
    }

    pub(super) fn context(&self, id: u64, step: &Step, seen: Seen<'_>) -> Value {
        match self.plan.dialect {
            Dialect::StatesLanguage => self.states_context(id, step, seen.item),
            Dialect::CloudFlow => self.cloud_context(id, step, seen),
            Dialect::Fdl => {
                let facts = &self.run.facts;
                let entered = self.thread(id).map_or(0, |thread| thread.entered);
                let mut context = json!({
                    "flow": {"name": facts.flow_name},
                    "execution": {"name": facts.name, "input": self.run.input},
                    "step": {"name": step.name, "eventId": entered},
                });
                if let Some(token) = self.token_of(id) {
                    context["task"] = json!({"token": token});
                }
                context
            }
        }
    }

    fn token_of(&self, id: u64) -> Option<&str> {
        self.token.as_ref().filter(|(thread, _)| *thread == id).map(|(_, token)| token.as_str())
    }

    fn retry_count(&self, id: u64) -> u32 {
        let retries = self.thread(id).map(|thread| thread.retries.iter().sum());
        retries.unwrap_or(0)
    }

    fn states_context(&self, id: u64, step: &Step, item: Option<&Item>) -> Value {
        let facts = &self.run.facts;
        let entered = self.thread(id).map_or(0, |thread| thread.entered_at);
        let write = |micros| stamp::write(Timestamp::from_micros(micros));
        let mut execution = json!({
            "Id": facts.id,
            "Input": self.run.input,
            "StartTime": write(self.run.started_at),
            "Name": facts.name,
            "RoleArn": facts.role,
            "RedriveCount": self.run.redrives,
        });
        if self.run.redrives > 0 {
            execution["RedriveTime"] = Value::String(write(self.run.redriven_at));
        }
        let mut context = json!({
            "Execution": execution,
            "StateMachine": {"Id": facts.flow_id, "Name": facts.flow_name},
            "State": {
                "Name": step.name,
                "EnteredTime": write(entered),
                "RetryCount": self.retry_count(id),
            },
        });
        if let Some(token) = self.token_of(id) {
            context["Task"] = json!({"Token": token});
        }
        if let Some(item) = item.or_else(|| self.item(id)) {
            context["Map"] = json!({"Item": {"Index": item.index, "Value": item.value}});
            if let Some(key) = &item.key {
                context["Map"]["Item"]["Key"] = Value::String(key.clone());
            }
        }
        context
    }

    fn cloud_context(&self, id: u64, step: &Step, seen: Seen<'_>) -> Value {
        let facts = &self.run.facts;
        let mut current = json!({
            "Name": step.name,
            "Input": seen.input,
            "RetryCount": self.retry_count(id),
        });
        if let Some(output) = seen.output {
            current["Output"] = output.clone();
        }
        if let Some(token) = self.token_of(id) {
            current["TaskToken"] = Value::String(token.to_owned());
        }
        if let Some(fault) = self.thread(id).and_then(|thread| thread.error.as_ref()) {
            current["Error"] = json!({"Code": fault.error, "Detail": fault.cause});
        }
        json!({
            "Execution": {"Name": facts.name, "Input": self.run.input, "RoleArn": facts.role},
            "Current": current,
            "Environment": facts.environment,
        })
    }

    /// Asks the evaluator for every JSONata expression of a stage.
    pub(super) fn ask(&mut self, id: u64, step: &'p Step, stage: Stage, sources: Vec<&'p str>) {
        let Some(thread) = self.thread(id) else { return };
        let item = thread.item.as_ref().filter(|_| stage == Stage::Item);
        // An iteration's input is made in the sight of its map.
        let seer =
            if item.is_some() { thread.parent.map_or(id, |parent| parent.thread) } else { id };
        let input = self.thread(seer).map_or(Value::Null, |thread| thread.raw.clone());
        let seen = Seen { item, ..Seen::of(&input) };
        let mut states = json!({"input": input, "context": self.context(seer, step, seen)});
        match &stage {
            Stage::Leave { result, .. } if step.has_result() => states["result"] = result.clone(),
            Stage::Catch { fault, .. } => states["errorOutput"] = fault.output(),
            Stage::Leave { .. } | Stage::Item | Stage::Enter | Stage::Begin => {}
        }
        let evaluation = self.run.evaluation_next;
        self.run.evaluation_next += 1;
        let variables = self.visible(seer);
        let sources = sources.into_iter().map(ToOwned::to_owned).collect();
        let step = step.name.clone();
        let asked = Evaluation { id: evaluation, step, sources, states, variables };
        self.commands.push(Command::Evaluate(Box::new(asked)));
        self.set(id, Phase::Asked { evaluation, stage });
    }

    /// What the items of a distributed map are shaped in.
    pub(super) fn frame(&self, id: u64, step: &Step, input: &Value) -> MapFrame {
        let context = self.context(id, step, Seen::of(input));
        MapFrame { input: input.clone(), context, variables: self.visible(id) }
    }
}
