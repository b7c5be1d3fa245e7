//! The input of one child of a distributed map, for whoever runs the map: the shell reads items and
//! this shapes them. Pure, like everything here; JSONata is asked for and comes back.

use serde_json::json;

use crate::command::{Evaluation, MapRun};
use crate::fault::Fault;
use crate::path::Env;
use crate::plan::{Language, Plan, Work};
use crate::prelude::*;
use crate::random::Random;
use crate::template::{Answers, Desk};

/// A shaped item, or what has to be evaluated first.
#[derive(Debug, PartialEq)]
pub enum Shaped {
    /// The item as the child's input, or why there is none.
    Done(Result<Value, Fault>),
    /// Evaluate this and ask again with the answers.
    Evaluate(Box<Evaluation>),
}

/// One item of a map run, with its key where the items are an object.
#[derive(Clone, Copy, Debug)]
pub struct RawItem<'a> {
    /// Counts from zero.
    pub index: u64,
    /// Its key.
    pub key: Option<&'a str>,
    /// Its value.
    pub value: &'a Value,
}

/// Shapes one item by the map's `ItemSelector` or `ItemConstructor`.
pub fn map_item(
    plan: &Plan,
    run: &MapRun,
    item: RawItem<'_>,
    answers: Option<Vec<Result<Value, String>>>,
) -> Shaped {
    let found = plan.steps.iter().find(|step| step.name == run.step);
    let Some((step, Work::Map(map))) = found.map(|step| (step, &step.work)) else {
        return Shaped::Done(Ok(item.value.clone()));
    };
    let Some(selector) = &map.selector else {
        return Shaped::Done(Ok(whole(item)));
    };
    let mut context = run.frame.context.clone();
    context["Map"] = json!({"Item": {"Index": item.index, "Value": item.value}});
    if let Some(key) = item.key {
        context["Map"]["Item"]["Key"] = Value::String(key.to_owned());
    }
    if step.language == Language::Jsonata && answers.is_none() {
        let mut sources = Vec::new();
        selector.leaves(&mut |leaf| sources.extend(leaf.jsonata().map(ToOwned::to_owned)));
        if !sources.is_empty() {
            let states = json!({"input": run.frame.input, "context": context});
            let (step, variables) = (run.step.clone(), run.frame.variables.clone());
            let evaluation = Evaluation { id: item.index, step, sources, states, variables };
            return Shaped::Evaluate(Box::new(evaluation));
        }
    }
    let mut answers = Answers::new(answers.unwrap_or_default());
    let mut env = Env::new(&run.frame.input, &context);
    match step.language {
        Language::Cloud => {
            env.named =
                vec![("Input", &run.frame.input), ("Context", &context), ("Item", item.value)];
        }
        Language::JsonPath | Language::Jsonata | Language::Fdl => {
            env.variables = vec![&run.frame.variables];
        }
    }
    let random = Random::seeded(&format!("{}#{}", run.id, item.index));
    let mut desk = Desk { env: &env, random: &random, answers: &mut answers };
    Shaped::Done(selector.fill(&mut desk).map_err(|lapse| Fault::lapse(step.language, &lapse)))
}

/// Items of an object come as their key and value.
fn whole(item: RawItem<'_>) -> Value {
    match item.key {
        None => item.value.clone(),
        Some(key) => json!({"Key": key, "Value": item.value}),
    }
}
