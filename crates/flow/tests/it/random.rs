//! What must hold for every text, every order of events and every crash. Texts are made of the pieces
//! definitions are made of, so that many of them get far.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};
use stint_flow::{
    CallId, CompileOptions, Decision, Event, EventBody, Moment, Outcome, Report, Row, State,
    TimerId, Verdict, Waits, advance, compile,
};
use stint_model::time::{Span, Timestamp};

use crate::world::{Answer, World, ready};

const PIECES: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    "\"",
    ":",
    ",",
    "\n",
    "  ",
    "- ",
    "StartAt",
    "States",
    "Type",
    "Pass",
    "Map",
    "Choice",
    "$",
    "$$",
    ".",
    "..",
    "[*]",
    "[?(@.a=='b')]",
    "States.Format('{}', $.a)",
    "End",
    "true",
    "null",
    "1",
    "-1.5e9",
    "version: v1",
    "type: flow",
    "steps:",
    "name: a",
    "source: $input.a",
    "condition: $.a == 1",
    "&a ",
    "*a",
    "<<: ",
    "é",
    "\u{0}",
    "\\",
    "'",
    "{% $x %}",
    "SpecVersion: v1",
];

fn text() -> impl Strategy<Value = String> {
    let piece =
        prop_oneof![4 => prop::sample::select(PIECES).prop_map(str::to_owned), 1 => ".{0,8}"];
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

/// A JSON value of what definitions hold.
fn value() -> impl Strategy<Value = Value> {
    let word = prop::sample::select(PIECES).prop_map(|word| json!(word));
    let leaf = prop_oneof![
        word,
        Just(json!(null)),
        Just(json!(true)),
        any::<i32>().prop_map(|n| json!(n))
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
            prop::collection::btree_map(prop::sample::select(FIELDS), inner, 0..6).prop_map(
                |map| map.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
            ),
        ]
    })
}

const FIELDS: &[&str] = &[
    "StartAt",
    "States",
    "Type",
    "Next",
    "End",
    "Parameters",
    "a.$",
    "Branches",
    "ItemProcessor",
    "Choices",
    "Variable",
    "And",
    "Retry",
    "Catch",
    "ErrorEquals",
    "Assign",
    "ResultPath",
    "Resource",
    "A",
    "steps",
    "version",
    "type",
    "name",
    "choices",
    "SpecVersion",
    "Name",
    "QueryLanguage",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn no_text_breaks_the_compiler(text in text()) {
        let compiled = compile(&text, CompileOptions::default());
        prop_assert!(compiled.plan.is_some() || compiled.problems.iter().any(stint_flow::Problem::is_error));
    }

    #[test]
    fn no_document_breaks_the_compiler(mut document in value(), states in value()) {
        if let Some(map) = document.as_object_mut() {
            map.insert("StartAt".into(), json!("A"));
            map.insert("States".into(), states);
        }
        let compiled = compile(&document.to_string(), CompileOptions::default());
        prop_assert!(compiled.plan.is_some() || !compiled.problems.is_empty());
    }

    #[test]
    fn no_expression_breaks_an_execution(text in text(), input in value()) {
        let definition = json!({"StartAt": "A", "States": {"A": {"Type": "Pass", "End": true,
            "Parameters": {"a.$": text}, "InputPath": "$"}}});
        if let Some(plan) = compile(&definition.to_string(), CompileOptions::default()).plan {
            ready(&plan, &[]).run(input.clone());
        }
        let condition = json!({"version": "v1", "type": "flow", "steps": [{"type": "choice", "name": "a",
            "choices": [{"condition": text}]}]});
        if let Some(plan) = compile(&condition.to_string(), CompileOptions::default()).plan {
            ready(&plan, &[]).run(input);
        }
    }
}

/// A flow with everything that waits.
fn busy() -> Value {
    json!({"StartAt": "Map", "States": {
        "Map": {"Type": "Map", "MaxConcurrency": 2, "ItemProcessor": {"StartAt": "Work", "States": {
            "Work": {"Type": "Task", "Resource": "f", "TimeoutSeconds": 50, "HeartbeatSeconds": 20,
                "Retry": [{"ErrorEquals": ["Again"], "MaxAttempts": 2}], "Assign": {"got.$": "$"}, "Next": "Pause"},
            "Pause": {"Type": "Wait", "Seconds": 5, "Next": "Ask"},
            "Ask": {"Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
                "Parameters": {"t.$": "$$.Task.Token"}, "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "Shrug"}], "End": true},
            "Shrug": {"Type": "Pass", "End": true}}},
            "Retry": [{"ErrorEquals": ["Again"], "MaxAttempts": 1}],
            "Catch": [{"ErrorEquals": ["Bad"], "Next": "Both"}], "Next": "Both"},
        "Both": {"Type": "Parallel", "QueryLanguage": "JSONata", "Arguments": {"n": "{% $count($states.input) %}"},
            "Branches": [
                {"StartAt": "L", "States": {"L": {"Type": "Wait", "QueryLanguage": "JSONPath", "Seconds": 3, "End": true}}},
                {"StartAt": "R", "States": {"R": {"Type": "Task", "Resource": "g", "End": true}}}],
            "Output": "{% $states.result %}", "End": true}}})
}

/// What may happen next, chosen by numbers.
fn happen(world: &mut World<'_>, (what, which): (u8, u8)) {
    let calls: Vec<(CallId, Option<String>)> = world
        .calls
        .iter()
        .map(|call| (call.id, call.input.get("t").and_then(Value::as_str).map(str::to_owned)))
        .collect();
    let call = (!calls.is_empty()).then(|| calls[usize::from(which) % calls.len()].clone());
    let body = match (what, call) {
        (0..=4, Some((call, None))) => EventBody::Succeeded { call, output: json!([which]) },
        (0..=4, Some((_, Some(token)))) => {
            EventBody::Reported { token, report: Report::Succeeded(json!(which)) }
        }
        (5, Some((_, Some(token)))) => EventBody::Reported { token, report: Report::Alive },
        (5..=6, Some((call, _))) => {
            EventBody::Failed { call, error: Some("Again".into()), cause: None }
        }
        (7, Some((call, _))) => EventBody::Failed { call, error: Some("Bad".into()), cause: None },
        (8, Some((call, _))) => EventBody::Submitted { call },
        (9, _) => EventBody::Woken { timer: TimerId::Thread(u64::from(which)) },
        (10, _) => {
            EventBody::Evaluated { evaluation: u64::from(which), answers: vec![Ok(json!(1))] }
        }
        (11, _) if which == 0 => EventBody::Stop { error: None, cause: None },
        (12, _) => EventBody::Redriven,
        _ => {
            world.now = world.now + Span::from_secs(1);
            world.wake();
            return;
        }
    };
    world.send(body);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, ..ProptestConfig::default() })]

    #[test]
    fn replay_equals_the_state_and_history_tells_it(events in prop::collection::vec((0_u8..16, any::<u8>()), 0..120)) {
        let plan = compile(&busy().to_string(), CompileOptions::default()).plan.unwrap();
        let mut world = ready(&plan, &[]);
        world.start(json!([1, 2, 3]));
        for event in events {
            world.act_all();
            happen(&mut world, event);
        }
        world.act_all();
        check_history(&world);
        // Every event again, from nothing: the same state, the same history.
        let (mut state, mut rows) = (State::new(), Vec::new());
        for event in &world.journal {
            let decision = advance(&plan, state, event.clone());
            state = decision.state;
            rows.extend(decision.rows);
        }
        prop_assert_eq!(&state, &world.state);
        prop_assert_eq!(&rows, &world.rows);
    }

    #[test]
    fn a_crash_between_two_beats_loses_and_doubles_nothing(at in 0_usize..40) {
        let plan = compile(&busy().to_string(), CompileOptions::default()).plan.unwrap();
        let mut world = ready(&plan, &[]);
        world.start(json!([1, 2]));
        for turn in 0..40 {
            world.act_all();
            if turn == at {
                crash(&world);
            }
            happen(&mut world, (0, u8::try_from(turn % 3).unwrap()));
            happen(&mut world, (15, 0));
        }
    }
}

/// The last turn made again from the state before it: the same calls under the same ids, whatever the
/// randomness, so that who keeps calls says "exists".
fn crash(world: &World<'_>) {
    let Some((last, before)) = world.journal.split_last() else { return };
    let mut state = State::new();
    for event in before {
        state = advance(world.plan, state, event.clone()).state;
    }
    let again = Event { entropy: [0xee; 16], ..last.clone() };
    let calls = |decision: Decision| -> Vec<CallId> {
        let submits = decision.commands.into_iter().filter_map(|command| match command {
            stint_flow::Command::Submit(call) => Some(call.id),
            _ => None,
        });
        submits.collect()
    };
    let first = calls(advance(world.plan, state.clone(), last.clone()));
    assert_eq!(first, calls(advance(world.plan, state, again)));
}

/// Folds the history and compares with what the state says.
fn check_history(world: &World<'_>) {
    let mut inside: BTreeMap<u64, (&str, u64)> = BTreeMap::new();
    for (at, row) in world.rows.iter().enumerate() {
        assert_eq!(row.id, at as u64 + 1, "gapless");
        assert!(row.previous < row.id);
        match row.moment {
            Moment::Entered => drop(inside.insert(row.thread, (&row.step, row.id))),
            Moment::Exited => {
                let entered = inside.remove(&row.thread);
                assert_eq!(entered.map(|(step, _)| step), Some(row.step.as_str()), "{row:?}");
            }
            _ => {}
        }
    }
    let has_ended = world.state.outcome().is_some();
    for open in world.state.open_steps(world.plan) {
        let is_entered = open.entered > 0 && !matches!(open.waits, Waits::Turn);
        if is_entered {
            assert_eq!(inside.get(&open.thread), Some(&(open.step.as_str(), open.entered)));
        }
        assert!(
            !has_ended || matches!(open.waits, Waits::Redrive | Waits::Threads { .. }),
            "{open:?}"
        );
    }
    let ends = |row: &&Row| {
        matches!(
            row.moment,
            Moment::ExecutionSucceeded | Moment::ExecutionFailed | Moment::ExecutionStopped
        )
    };
    let last =
        world.rows.iter().rev().find(|row| ends(row) || row.moment == Moment::ExecutionRedriven);
    assert_eq!(has_ended, last.is_some_and(|row| ends(&row)));
    if let Some(Outcome::Succeeded { output }) = world.state.outcome() {
        assert_eq!(last.unwrap().detail["output"], *output);
    }
}

#[test]
fn an_execution_that_has_not_started_refuses_everything_else() {
    let plan = compile(&busy().to_string(), CompileOptions::default()).plan.unwrap();
    let event = Event { at: Timestamp::ZERO, entropy: [0; 16], body: EventBody::Continued };
    let decision = advance(&plan, State::new(), event);
    assert!(matches!(decision.verdict, Verdict::Refused(stint_flow::Refusal::NotStarted)));
}

#[test]
fn the_busy_flow_can_end() {
    let plan = compile(&busy().to_string(), CompileOptions::default()).plan.unwrap();
    let done = |state: &'static str, n: usize| vec![(state, Answer::Output(json!([1]))); n];
    let script = [done("Work", 3), done("Ask", 3), done("R", 1)].concat();
    let outcome = ready(&plan, &script).run(json!([1, 2, 3]));
    assert_eq!(outcome, Outcome::Succeeded { output: json!([{"n": 3}, [1]]) });
}
