//! Recorded executions against `advance`. The reference's recordings lie outside of the repository
//! (`../shared/conformance`, or where `STINT_CONFORMANCE` points); our own, in the same form, are in
//! `tests/cases`. The engine knows no case by name.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;
use stint_flow::{CompileOptions, ExecutionMode, Outcome, compile};
use stint_model::time::Timestamp;

use crate::world::{Answer, World};

/// One line of a file of cases.
#[derive(Deserialize)]
struct Case {
    name: String,
    definition: Value,
    input: Value,
    expected_status: String,
    expected_output: Value,
    expected_error: Option<String>,
    #[serde(rename = "type")]
    mode: String,
    #[serde(default)]
    placeholders_in_expected: Vec<String>,
    #[serde(default)]
    task_results: Vec<Recorded>,
    runnable_standalone: bool,
    replayable: bool,
}

/// What a task answered.
#[derive(Deserialize)]
struct Recorded {
    state: String,
    event: String,
    output: Option<Value>,
    error: Option<String>,
    cause: Option<Value>,
}

impl Recorded {
    fn answer(&self) -> Answer {
        if self.event.ends_with("TimedOut") {
            return Answer::Silence;
        }
        if self.event.ends_with("Succeeded") {
            return Answer::Output(self.output.clone().unwrap_or(Value::Null));
        }
        // A cause that was recorded as an object is JSON text.
        let cause = self.cause.as_ref().map(|cause| match cause {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        });
        Answer::Error(self.error.clone(), cause)
    }
}

/// Deep equality in which 1 is 1.0 and a placeholder is anything.
fn same(expected: &Value, found: &Value, placeholders: &[String]) -> bool {
    match (expected, found) {
        (Value::String(text), _) if placeholders.contains(text) => true,
        // A cause holds placeholders inside its text.
        (Value::String(text), Value::String(other)) => {
            text == other
                || (placeholders.iter().any(|p| text.contains(p.as_str()))
                    && text.starts_with('{')
                    && other.starts_with('{'))
        }
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b, placeholders))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter()
                    .all(|(key, value)| b.get(key).is_some_and(|b| same(value, b, placeholders)))
        }
        (a, b) => a == b,
    }
}

/// When the recordings were made: some of them name dates near it.
const RECORDED: i64 = 1_795_341_684;

fn judge(case: &Case) -> Result<(), String> {
    let mode = match case.mode.as_str() {
        "EXPRESS" => ExecutionMode::Express,
        _ => ExecutionMode::Standard,
    };
    let compiled = compile(&case.definition.to_string(), CompileOptions { mode });
    let Some(plan) = compiled.plan else {
        return Err(format!("does not compile: {:?}", compiled.problems));
    };
    let mut world = World::new(&plan, Timestamp::from_millis(RECORDED * 1_000));
    for recorded in &case.task_results {
        let queue: &mut VecDeque<_> = world.script.entry(recorded.state.clone()).or_default();
        queue.push_back(recorded.answer());
    }
    let outcome = world.run(case.input.clone());
    gapless(&world);
    let (status, output, error, cause) = match outcome {
        Outcome::Succeeded { output } => ("SUCCEEDED", output, None, None),
        Outcome::Failed { error, cause } => ("FAILED", Value::Null, error, cause),
        Outcome::TimedOut { error, cause } => ("TIMED_OUT", Value::Null, error, cause),
        Outcome::Stopped { error, cause } => ("ABORTED", Value::Null, error, cause),
    };
    let is_same = status == case.expected_status
        && error == case.expected_error
        && same(&case.expected_output, &output, &case.placeholders_in_expected);
    if is_same {
        return Ok(());
    }
    Err(format!(
        "expected {} {:?} {}\n      found {status} {error:?} {output} ({cause:?})",
        case.expected_status, case.expected_error, case.expected_output
    ))
}

/// Ids of a history have no gaps, and each names an earlier one.
fn gapless(world: &World<'_>) {
    for (at, row) in world.rows.iter().enumerate() {
        assert_eq!(row.id, at as u64 + 1);
        assert!(row.previous < row.id);
    }
    assert_eq!(world.state.history_len(), world.rows.len() as u64);
}

fn run(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap();
    let text = text.replace("<partition>", "aws").replace("<region>", "us-east-1");
    let mut groups: BTreeMap<String, (u32, u32)> = BTreeMap::new();
    let mut failures = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let case: Case =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:.200}"));
        assert!(case.runnable_standalone || case.replayable);
        let group = case.name.split('/').next().unwrap_or_default().to_owned();
        let counts = groups.entry(group).or_default();
        match judge(&case) {
            Ok(()) => counts.0 += 1,
            Err(why) => {
                counts.1 += 1;
                failures.push(format!("{}\n      {why}", case.name));
            }
        }
    }
    println!("{}", path.display());
    for (group, (passed, failed)) in &groups {
        println!("  {group:<40.40} {passed:>5} passed {failed:>5} failed");
    }
    let (passed, failed) = groups.values().fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1));
    println!("  {:<40} {passed:>5} passed {failed:>5} failed", "all");
    failures
}

fn shared(file: &str) -> Option<PathBuf> {
    let said = std::env::var_os("STINT_CONFORMANCE").map(PathBuf::from);
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance");
    let path = said.unwrap_or(beside).join(file);
    path.is_file().then_some(path)
}

#[test]
fn executions_recorded_at_the_reference_end_the_same() {
    let Some(path) = shared("asl.jsonl") else {
        println!("the reference's recordings are not here; set STINT_CONFORMANCE to their folder");
        return;
    };
    let failures = run(&path);
    assert!(failures.is_empty(), "{} fail:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn our_own_executions_end_as_they_should() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/asl.jsonl");
    let failures = run(&path);
    assert!(failures.is_empty(), "{} fail:\n{}", failures.len(), failures.join("\n"));
}
