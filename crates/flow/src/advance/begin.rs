//! The work of a step begins, by type.

use serde_json::json;
use stint_model::time::Span;

use super::Turn;
use super::call::Sizes;
use super::sight::Seen;
use crate::command::Command;
use crate::event::TimerId;
use crate::fault::Fault;
use crate::history::Moment;
use crate::path::Miss;
use crate::plan::{Language, MapSpec, Rule, SECONDS_MAX, Step, WaitFor, When, Work};
use crate::prelude::*;
use crate::stamp;
use crate::state::{Phase, Stage};
use crate::template::{Answers, Lapse, Template, Why};
use crate::term::truth;
use crate::value;

impl<'p> Turn<'p> {
    pub(super) fn begin(
        &mut self,
        id: u64,
        step: &'p Step,
        answers: &mut Answers,
    ) -> Result<(), Fault> {
        self.check_history()?;
        let input = self.thread(id).map_or(Value::Null, |thread| thread.input.clone());
        match &step.work {
            Work::Pass { result } => {
                let shaped = self.params(id, step, &input, answers)?;
                let result = match (result, step.language) {
                    (Some(result), _) => result.clone(),
                    (None, Language::Fdl) => Value::Object(Map::new()),
                    (None, Language::JsonPath | Language::Jsonata | Language::Cloud) => shaped,
                };
                self.work_done(id, step, result, None);
            }
            Work::Succeed => self.work_done(id, step, nothing_or(step, input), None),
            Work::Choice { rules, default } => {
                let way = self.choose(id, step, (rules, &input), answers)?;
                if way.is_none() && default.is_none() {
                    return Err(Fault::no_choice());
                }
                match step.way(way).and_then(|way| way.block) {
                    Some(block) => self.fork_block(id, block, (way, input))?,
                    None => self.work_done(id, step, nothing_or(step, input), way),
                }
            }
            Work::Wait(wait) => self.wait(id, step, (wait, &input), answers)?,
            Work::Fail { error, cause } => {
                let mut text = |template: &Option<Template>| -> Result<Option<String>, Fault> {
                    let Some(template) = template else { return Ok(None) };
                    match self.fill(id, template, Seen::of(&input), answers)? {
                        Value::String(text) => Ok(Some(text)),
                        Value::Null => Ok(None),
                        other @ (Value::Bool(_)
                        | Value::Number(_)
                        | Value::Array(_)
                        | Value::Object(_)) => {
                            let kind = value::kind(&other);
                            let said = format!("Error and Cause must be strings, not {kind}");
                            Err(Fault::unusable(step.language, said))
                        }
                    }
                };
                let (error, cause) = (text(error)?, text(cause)?);
                return Err(Fault { error, cause, is_fatal: false });
            }
            Work::Task(task) => self.call(id, step, (task, &input), answers)?,
            Work::Parallel(branches) => {
                let shaped = self.params(id, step, &input, answers)?;
                self.row(id, Moment::Started, json!({"input": shaped}));
                self.fork(id, branches, &shaped)?;
            }
            Work::Map(map) => self.map(id, step, (map, &input), answers)?,
        }
        Ok(())
    }

    /// What the work gets: `Parameters`, `Arguments`, `serviceParams`, or the input.
    pub(super) fn params(
        &self,
        id: u64,
        step: &Step,
        input: &Value,
        answers: &mut Answers,
    ) -> Result<Value, Fault> {
        match &step.params {
            Some(template) => self.fill(id, template, Seen::of(input), answers),
            None => Ok(input.clone()),
        }
    }

    /// The work gave `result`: what follows is shaping it.
    pub(super) fn work_done(&mut self, id: u64, step: &'p Step, result: Value, way: Option<usize>) {
        let _last = step;
        self.set(id, Phase::Ready(Stage::Leave { result, way }));
        self.run.ready.push_front(id);
    }

    fn choose(
        &self,
        id: u64,
        step: &Step,
        (rules, input): (&[Rule], &Value),
        answers: &mut Answers,
    ) -> Result<Option<usize>, Fault> {
        for (at, rule) in rules.iter().enumerate() {
            let holds = match &rule.when {
                When::Jsonata(template) => {
                    let said = self.fill(id, template, Seen::of(input), answers)?;
                    said.as_bool().ok_or_else(|| {
                        let said = value::excerpt(&said);
                        let said = format!("Condition must be a boolean, but was: {said}");
                        Fault::unusable(step.language, said)
                    })?
                }
                When::Test(test) => {
                    // A path applied to null is an error of the reference service, `$` included.
                    if input.is_null() {
                        let said = "Invalid path '$': the input is null";
                        return Err(Fault::unusable(step.language, said));
                    }
                    self.with_desk(id, Seen::of(input), answers, |desk| {
                        test.holds(desk.env).map_err(|miss| lapse("Choices", miss))
                    })?
                }
                When::Term(term) => self.with_desk(id, Seen::of(input), answers, |desk| {
                    truth(term, desk.env, desk.random).map_err(|miss| lapse("condition", miss))
                })?,
            };
            if holds {
                return Ok(Some(at));
            }
        }
        Ok(None)
    }

    fn wait(
        &mut self,
        id: u64,
        step: &'p Step,
        (wait, input): (&WaitFor, &Value),
        answers: &mut Answers,
    ) -> Result<(), Fault> {
        let unusable = |said: String| Fault::unusable(step.language, said);
        let (WaitFor::Seconds(template) | WaitFor::Until(template)) = wait;
        let said = self.fill(id, template, Seen::of(input), answers)?;
        let until = match wait {
            WaitFor::Seconds(_) => {
                let seconds = value::whole(&said).and_then(|seconds| u64::try_from(seconds).ok());
                let seconds = seconds.filter(|seconds| *seconds <= SECONDS_MAX.unsigned_abs());
                let seconds = seconds.ok_or_else(|| {
                    unusable(format!("Wait seconds must be a whole number from 0 to {SECONDS_MAX}, but was: {said}"))
                })?;
                self.at + Span::from_secs(seconds)
            }
            WaitFor::Until(_) => {
                let until = said.as_str().and_then(stamp::parse).ok_or_else(|| {
                    unusable(format!(
                        "The Timestamp is no valid ISO-8601 extended offset date-time: {said}"
                    ))
                })?;
                if until.since(self.at).secs() > SECONDS_MAX.unsigned_abs() {
                    return Err(unusable("Wait state delay is too long.".to_owned()));
                }
                until
            }
        };
        if until <= self.at {
            let result = nothing_or(step, input.clone());
            self.work_done(id, step, result, None);
            return Ok(());
        }
        self.set(id, Phase::Waiting { until: until.micros() });
        self.commands.push(Command::Wake { timer: TimerId::Thread(id), at: until });
        Ok(())
    }

    fn map(
        &mut self,
        id: u64,
        step: &'p Step,
        (map, input): (&'p MapSpec, &Value),
        answers: &mut Answers,
    ) -> Result<(), Fault> {
        let items = match &map.items {
            crate::plan::Items::Whole => input.clone(),
            crate::plan::Items::Template(template) => {
                self.fill(id, template, Seen::of(input), answers)?
            }
            crate::plan::Items::Read => Value::Null,
        };
        let asked = match &map.concurrency {
            Some(template) => self.fill(id, template, Seen::of(input), answers)?,
            None => Value::from(0),
        };
        let concurrency = value::whole(&asked).and_then(|number| u32::try_from(number).ok());
        let concurrency = concurrency.ok_or_else(|| {
            let said = format!("MaxConcurrency must be a whole number from 0, but was: {asked}");
            Fault::unusable(step.language, said)
        })?;
        let tolerated = self.tolerances(id, step, (map, input), answers)?;
        if let Some(spread) = &map.distributed {
            let sizes = Sizes { items, concurrency, tolerated };
            return self.start_map_run(id, step, (spread, input, sizes), answers);
        }
        let Value::Array(items) = items else {
            let said =
                format!("Map state input must be an array but was: {}", value::excerpt(&items));
            return Err(Fault::unusable(step.language, said));
        };
        self.row(id, Moment::Started, json!({"length": items.len(), "input": input}));
        self.fork_items(id, items, concurrency)
    }

    /// Count, and percentage in hundredths of a percent.
    fn tolerances(
        &self,
        id: u64,
        step: &Step,
        (map, input): (&MapSpec, &Value),
        answers: &mut Answers,
    ) -> Result<(Option<u64>, Option<u32>), Fault> {
        let unusable = |said: &str| Fault::unusable(step.language, said);
        let mut number = |template: &Option<Template>| match template {
            Some(template) => self.fill(id, template, Seen::of(input), answers).map(Some),
            None => Ok(None),
        };
        let count = match number(&map.tolerances.count)? {
            None => None,
            Some(count) => {
                let whole = value::whole(&count).and_then(|count| u64::try_from(count).ok());
                Some(whole.ok_or_else(|| {
                    unusable("ToleratedFailureCount must be a whole number from 0.")
                })?)
            }
        };
        let percentage = match number(&map.tolerances.percentage)? {
            None => None,
            Some(said) => {
                let percent = said.as_f64().filter(|percent| (0.0..=100.0).contains(percent));
                let percent = percent.ok_or_else(|| {
                    unusable("ToleratedFailurePercentage must be between 0 and 100.")
                })?;
                u32::try_from(value::round_half_up(percent * 100.0)).ok()
            }
        };
        Ok((count, percentage))
    }
}

fn lapse(field: &str, miss: Miss) -> Lapse {
    Lapse { field: field.to_owned(), expression: field.to_owned(), why: Why::Miss(miss) }
}

/// FDL's waits, choices and ends give nothing; the others give their input.
fn nothing_or(step: &Step, input: Value) -> Value {
    match step.language {
        Language::Fdl => Value::Object(Map::new()),
        Language::JsonPath | Language::Jsonata | Language::Cloud => input,
    }
}
