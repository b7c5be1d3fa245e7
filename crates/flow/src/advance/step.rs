//! The stages of a step: its input is shaped, its work begins, its result is shaped, and the thread
//! goes on. Output and assignments see the same snapshot: neither sees the other's effect.

use serde_json::json;

use super::Turn;
use super::sight::Seen;
use crate::fault::Fault;
use crate::history::Moment;
use crate::path::put;
use crate::plan::{
    CatchShape, Dialect, Enter, Kind, Language, Leave, Next, ResultPath, Step, Way, When, Work,
};
use crate::prelude::*;
use crate::state::{Phase, Stage};
use crate::template::{Answers, Template};
use crate::value;

impl Step {
    /// Whether `$states.result` exists.
    pub(super) const fn has_result(&self) -> bool {
        matches!(self.kind, Kind::Task | Kind::Parallel | Kind::Map)
    }

    const fn shapes_each_attempt(&self) -> bool {
        matches!((self.language, self.kind), (Language::Fdl, Kind::Task))
    }

    pub(super) fn way(&self, way: Option<usize>) -> Option<&Way> {
        match &self.work {
            Work::Choice { rules, default } => match way {
                Some(rule) => rules.get(rule).map(|rule| &rule.way),
                None => default.as_ref(),
            },
            Work::Pass { .. }
            | Work::Task(_)
            | Work::Wait(_)
            | Work::Succeed
            | Work::Fail { .. }
            | Work::Parallel(_)
            | Work::Map(_) => None,
        }
    }

    /// Output and assignments of the way that a step leaves by. A rule's own apply if a rule matched,
    /// the state's otherwise.
    fn leaving(&self, way: Option<usize>) -> (Option<&Template>, Option<&Template>) {
        if let (Some(way), Some(_)) = (self.way(way), way) {
            return (way.output.as_ref(), way.assign.as_ref());
        }
        let output = match &self.leave {
            Leave::Output(output) => output.as_ref(),
            Leave::Pipe { .. } | Leave::Construct { .. } | Leave::Mappings { .. } => None,
        };
        (output, self.assign.as_ref())
    }

    /// Templates of a stage, in the order in which they are filled.
    fn templates_of(&self, stage: &Stage) -> Vec<&Template> {
        let mut all = Vec::new();
        match stage {
            Stage::Enter | Stage::Item => {}
            Stage::Begin => {
                all.extend(&self.params);
                self.work.begin_templates(&mut all);
            }
            Stage::Leave { way, .. } => {
                let (output, assign) = self.leaving(*way);
                all.extend(output.into_iter().chain(assign));
            }
            Stage::Catch { rule, .. } => {
                if let Some(rule) = self.catch.get(*rule) {
                    if let CatchShape::Output(output) = &rule.shape {
                        all.extend(output);
                    }
                    all.extend(&rule.assign);
                }
            }
        }
        all
    }
}

impl Work {
    fn begin_templates<'a>(&'a self, all: &mut Vec<&'a Template>) {
        match self {
            Self::Pass { .. } | Self::Succeed | Self::Parallel(_) => {}
            Self::Task(task) => {
                all.extend(task.timeout.iter().chain(&task.heartbeat).chain(&task.credentials));
            }
            Self::Wait(
                crate::plan::WaitFor::Seconds(template) | crate::plan::WaitFor::Until(template),
            ) => {
                all.push(template);
            }
            Self::Fail { error, cause } => all.extend(error.iter().chain(cause)),
            Self::Choice { rules, .. } => {
                for rule in rules {
                    if let When::Jsonata(template) = &rule.when {
                        all.push(template);
                    }
                }
            }
            Self::Map(map) => {
                if let crate::plan::Items::Template(template) = &map.items {
                    all.push(template);
                }
                all.extend(&map.concurrency);
                all.extend(&map.tolerances);
                if let Some(spread) = &map.distributed {
                    all.extend(spread.templates().into_iter().flatten());
                }
            }
        }
    }
}

impl<'p> Turn<'p> {
    /// Runs a stage, or asks for what only the evaluator can say.
    pub(super) fn stage(&mut self, id: u64, stage: Stage, answers: Option<Answers>) {
        let Some(step) = self.step_of_stage(id, &stage) else { return };
        if stage == Stage::Begin && answers.is_none() {
            self.make_token(id, step);
        }
        if step.language == Language::Jsonata && answers.is_none() {
            let mut sources = Vec::new();
            let templates = match (&stage, &step.work) {
                (Stage::Item, Work::Map(map)) => map.selector.iter().collect(),
                (stage, _) => step.templates_of(stage),
            };
            for template in templates {
                template.leaves(&mut |leaf| sources.extend(leaf.jsonata()));
            }
            if !sources.is_empty() {
                self.ask(id, step, stage, sources);
                return;
            }
        }
        let mut answers = answers.unwrap_or_default();
        if stage == Stage::Begin
            && step.shapes_each_attempt()
            && let Err(fault) = self.take_input(id, step)
        {
            return self.fail_in(id, &stage, fault);
        }
        let done = match &stage {
            Stage::Item => self.make_item(id, step, &mut answers),
            Stage::Enter => self.enter(id, step),
            Stage::Begin => self.begin(id, step, &mut answers),
            Stage::Leave { result, way } => self.leave(id, step, (result, *way), &mut answers),
            Stage::Catch { rule, fault } => self.caught(id, step, (*rule, fault), &mut answers),
        };
        if let Err(fault) = done {
            self.fail_in(id, &stage, fault);
        }
    }

    /// An iteration's input belongs to its map.
    fn step_of_stage(&self, id: u64, stage: &Stage) -> Option<&'p Step> {
        match (stage, self.thread(id)?.parent) {
            (Stage::Item, Some(parent)) => self.step(parent.thread),
            (
                Stage::Item
                | Stage::Enter
                | Stage::Begin
                | Stage::Leave { .. }
                | Stage::Catch { .. },
                _,
            ) => self.step(id),
        }
    }

    fn enter(&mut self, id: u64, step: &'p Step) -> Result<(), Fault> {
        self.check_history()?;
        let raw = self.thread(id).map_or(Value::Null, |thread| thread.raw.clone());
        let mut detail = json!({"input": raw});
        if self.plan.accumulates()
            && let Some(thread) = self.thread(id)
        {
            detail = json!({"input": thread.scope_input, "local": thread.scope_local});
        }
        let entered = self.row(id, Moment::Entered, detail);
        let at = self.at.micros();
        if let Some(thread) = self.run.threads.get_mut(&id) {
            (thread.entered, thread.entered_at) = (entered, at);
            thread.retries = vec![0; step.retry.len()];
            thread.error = None;
        }
        self.check_size(&raw, "state input")?;
        // FDL's tasks take their token by their input mapping: each attempt shapes its own.
        if !step.shapes_each_attempt() {
            self.take_input(id, step)?;
        }
        self.stage(id, Stage::Begin, None);
        Ok(())
    }

    /// Loops and retries end here at the latest.
    pub(super) fn check_history(&self) -> Result<(), Fault> {
        let most = self.run.limits.history_events_max;
        if self.run.history_next <= most {
            return Ok(());
        }
        let said = format!("The execution reached the maximum number of history events ({most})");
        Err(Fault::exhausted(self.plan.dialect, said))
    }

    fn take_input(&mut self, id: u64, step: &'p Step) -> Result<(), Fault> {
        let raw = self.thread(id).map_or(Value::Null, |thread| thread.raw.clone());
        let input = self.shape(id, step, raw)?;
        self.check_size(&input, "state input")?;
        if self.plan.dialect != Dialect::StatesLanguage && !input.is_object() {
            return Err(Fault::no_object("input", &input));
        }
        if let Some(thread) = self.run.threads.get_mut(&id) {
            thread.input = input;
        }
        Ok(())
    }

    fn shape(&self, id: u64, step: &Step, raw: Value) -> Result<Value, Fault> {
        let Some(thread) = self.thread(id) else { return Ok(raw) };
        let mut answers = Answers::default();
        match &step.enter {
            Enter::Whole => Ok(raw),
            Enter::Merge => Ok(value::merged(&thread.scope_input, &thread.scope_local)),
            Enter::Select(selector) => {
                self.with_desk(id, Seen::of(&raw), &mut answers, |desk| selector.select(desk))
            }
            Enter::Shape(template) if step.language == Language::Fdl => {
                let (input, local) = (&thread.scope_input, &thread.scope_local);
                let seen = Seen { output: Some(local), ..Seen::of(input) };
                self.fill(id, template, seen, &mut answers)
            }
            Enter::Shape(template) => self.fill(id, template, Seen::of(&raw), &mut answers),
        }
    }

    pub(super) fn check_size(&self, value: &Value, what: &str) -> Result<(), Fault> {
        let limit = self.run.limits.payload_bytes_max;
        let depth = self.run.limits.depth_max;
        if !value::is_flat(value, depth) {
            return Err(Fault::too_deep(self.plan.dialect, what, depth));
        }
        if value::size(value) <= limit {
            return Ok(());
        }
        Err(Fault::too_large(self.plan.dialect, what, limit))
    }

    /// Shapes the result and goes on.
    fn leave(
        &mut self,
        id: u64,
        step: &'p Step,
        (result, way): (&Value, Option<usize>),
        answers: &mut Answers,
    ) -> Result<(), Fault> {
        let Some(thread) = self.thread(id) else { return Ok(()) };
        let (raw, input) = (thread.raw.clone(), thread.input.clone());
        let (template, assign) = step.leaving(way);
        let mut globals = None;
        let output;
        // What `$` is in `Assign`: the result before it is put anywhere.
        let mut current = result.clone();
        match &step.leave {
            Leave::Output(_) => {
                output = match template {
                    Some(template) => self.fill(id, template, Seen::of(&raw), answers)?,
                    None if step.has_result() => result.clone(),
                    None => raw,
                };
            }
            Leave::Pipe { selector, result: place, output: select } => {
                if let Some(selector) = selector {
                    current = self.fill(id, selector, Seen::of(result), answers)?;
                }
                let whole = apply_result(place, raw, current.clone())?;
                output =
                    self.with_desk(id, Seen::of(&whole), answers, |desk| select.select(desk))?;
            }
            Leave::Construct { output: template, global } => {
                let seen = Seen { output: Some(result), ..Seen::of(&input) };
                output = match template {
                    Some(template) => self.fill(id, template, seen, answers)?,
                    None => result.clone(),
                };
                globals = match global {
                    Some(template) => Some(self.fill(id, template, seen, answers)?),
                    None => None,
                };
            }
            Leave::Mappings { output: template, gives_local } => {
                let seen = Seen { output: Some(result), ..Seen::of(&input) };
                output = match template {
                    Some(template) => self.fill(id, template, seen, answers)?,
                    None if *gives_local => result.clone(),
                    None => Value::Object(Map::new()),
                };
            }
        }
        let assigned = match assign {
            Some(assign) => Some(self.fill(id, assign, Seen::of(&current), answers)?),
            None => None,
        };
        if self.plan.dialect != Dialect::StatesLanguage && !output.is_object() {
            return Err(Fault::no_object("output", &output));
        }
        self.check_size(&output, "state output")?;
        self.assign(id, assigned.clone())?;
        self.assign_globals(globals)?;
        let next = step.way(way).map_or(step.next, |way| way.next);
        self.exit(id, (output, assigned), next);
        Ok(())
    }

    /// The handler of an error gets its input.
    fn caught(
        &mut self,
        id: u64,
        step: &'p Step,
        (rule, fault): (usize, &Fault),
        answers: &mut Answers,
    ) -> Result<(), Fault> {
        let Some(rule) = step.catch.get(rule) else { return Err(fault.clone()) };
        if let Some(thread) = self.run.threads.get_mut(&id) {
            thread.error = Some(fault.clone());
        }
        let Some(thread) = self.thread(id) else { return Ok(()) };
        let (raw, input) = (thread.raw.clone(), thread.input.clone());
        let error = fault.output();
        let output = match (&rule.shape, step.language) {
            (CatchShape::Result(place), _) => apply_result(place, raw, error.clone())?,
            (CatchShape::Output(None), Language::Fdl) => Value::Object(Map::new()),
            (CatchShape::Output(None), Language::Cloud) => raw,
            (CatchShape::Output(None), Language::Jsonata | Language::JsonPath) => error.clone(),
            (CatchShape::Output(Some(template)), Language::Fdl) => {
                // `$local.code` is named once as another word for the error.
                let local =
                    json!({"error": fault.error, "cause": fault.cause, "code": fault.error});
                let seen = Seen { output: Some(&local), ..Seen::of(&input) };
                self.fill(id, template, seen, answers)?
            }
            (CatchShape::Output(Some(template)), _) => {
                let seen = Seen { output: Some(&error), ..Seen::of(&input) };
                self.fill(id, template, seen, answers)?
            }
        };
        let assigned = match &rule.assign {
            Some(assign) => Some(self.fill(id, assign, Seen::of(&error), answers)?),
            None => None,
        };
        self.check_size(&output, "state output")?;
        self.assign(id, assigned.clone())?;
        self.exit(id, (output, assigned), rule.next);
        Ok(())
    }

    fn assign(&mut self, id: u64, assigned: Option<Value>) -> Result<(), Fault> {
        let Some(assigned) = assigned else { return Ok(()) };
        let Value::Object(assigned) = assigned else {
            let language = self.step(id).map_or(Language::JsonPath, |step| step.language);
            return Err(Fault::unusable(language, "Assign must give an object"));
        };
        let (dialect, limits) = (self.plan.dialect, self.run.limits);
        let most = limits.variable_bytes_max;
        let size: usize = assigned.values().map(value::size).sum();
        if size > most {
            return Err(Fault::too_large(dialect, "assignment", most));
        }
        if !assigned.values().all(|value| value::is_flat(value, limits.depth_max)) {
            return Err(Fault::too_deep(dialect, "assignment", limits.depth_max));
        }
        let held: usize = self
            .run
            .threads
            .values()
            .flat_map(|thread| thread.variables.values())
            .map(value::size)
            .sum();
        if held + size > limits.variables_bytes_max {
            return Err(Fault::too_large(dialect, "set of variables", limits.variables_bytes_max));
        }
        if let Some(thread) = self.run.threads.get_mut(&id) {
            thread.variables.extend(assigned);
        }
        Ok(())
    }

    fn assign_globals(&mut self, globals: Option<Value>) -> Result<(), Fault> {
        let Some(Value::Object(globals)) = globals else { return Ok(()) };
        let (dialect, limits) = (self.plan.dialect, self.run.limits);
        for (name, value) in globals {
            if name.len() > 128 || value::size(&value) > limits.variable_bytes_max {
                return Err(Fault::too_large(dialect, "global", limits.variable_bytes_max));
            }
            if !value::is_flat(&value, limits.depth_max) {
                return Err(Fault::too_deep(dialect, "global", limits.depth_max));
            }
            self.run.globals.insert(name, value);
        }
        let held: usize = self.run.globals.values().map(value::size).sum();
        if held > limits.variables_bytes_max {
            return Err(Fault::too_large(dialect, "set of globals", limits.variables_bytes_max));
        }
        Ok(())
    }

    /// Records the exit and moves the thread.
    fn exit(&mut self, id: u64, (output, assigned): (Value, Option<Value>), next: Next) {
        let mut detail = json!({"output": output});
        if let Some(assigned) = assigned {
            detail["assignedVariables"] = assigned;
        }
        self.row(id, Moment::Exited, detail);
        let accumulates = self.plan.accumulates();
        let Some(thread) = self.run.threads.get_mut(&id) else { return };
        let mut carried = output;
        if accumulates {
            thread.scope_local = value::merged(&thread.scope_local, &carried);
            carried = thread.scope_local.clone();
        }
        match next {
            Next::Step(step) => {
                thread.raw = if accumulates { Value::Object(Map::new()) } else { carried };
                thread.step = step;
                self.ready(id, Stage::Enter);
            }
            Next::End => {
                thread.phase = Phase::Broken;
                self.end_scope(id, carried);
            }
        }
    }
}

fn apply_result(place: &ResultPath, raw: Value, result: Value) -> Result<Value, Fault> {
    match place {
        ResultPath::Replace => Ok(result),
        ResultPath::Discard => Ok(raw),
        ResultPath::At(path) => {
            put(path, raw, result).ok_or_else(|| Fault::result_path(&path.text))
        }
    }
}
