//! Distributed maps without a shell: a reader that gives what it is asked for, children that end in any
//! order.

use std::collections::VecDeque;

use proptest::prelude::*;
use serde_json::{Value, json};
use stint_flow::{
    CallId, ExecutionMode, Fault, MapCommand, MapEvent, MapFrame, MapRun, MapRunState, MapStatus,
    Outcome,
};

fn run(more: impl FnOnce(&mut MapRun)) -> MapRunState {
    let frame =
        MapFrame { input: json!({}), context: json!({}), variables: serde_json::Map::new() };
    let mut run = MapRun {
        id: CallId { entered: 2, attempt: 1 },
        step: "M".into(),
        mode: ExecutionMode::Express,
        label: None,
        items: None,
        reader: None,
        writer: None,
        batch: None,
        concurrency: None,
        items_max: None,
        tolerated_count: None,
        tolerated_basis_points: None,
        frame: Box::new(frame),
    };
    more(&mut run);
    MapRunState::new(&run, 256 * 1024)
}

/// What became of a map over `total` items whose children end as `end` says, newest first if `late`.
struct Ended {
    result: Result<Option<Value>, Fault>,
    state: MapRunState,
    started: u64,
    stopped: u64,
    document_max: usize,
}

fn drive(state: MapRunState, total: u64, late: bool, end: impl Fn(u64, Value) -> Outcome) -> Ended {
    let mut todo = VecDeque::new();
    let (mut state, commands) = state.advance(MapEvent::Begun);
    todo.extend(commands);
    let mut open: VecDeque<(u64, Value)> = VecDeque::new();
    let (mut started, mut stopped, mut document_max, mut turns) = (0, 0, 0, 0_u64);
    let mut result = None;
    while result.is_none() {
        let event = match todo.pop_front() {
            Some(MapCommand::Read { from, count }) => {
                let to = total.min(from + count);
                let items = (from..to).map(|n| json!({"n": n})).collect();
                MapEvent::Items { items, is_last: to == total }
            }
            Some(MapCommand::Start { unit, input, .. }) => {
                started += 1;
                open.push_back((unit, input));
                continue;
            }
            Some(MapCommand::StopChild { .. }) => {
                stopped += 1;
                continue;
            }
            Some(MapCommand::Finish(finished)) => {
                result = Some(finished);
                continue;
            }
            None => {
                let next = if late { open.pop_back() } else { open.pop_front() };
                let (unit, input) = next.expect("it ends, or something is open");
                MapEvent::ChildEnded { unit, outcome: end(unit, input) }
            }
        };
        let (next, commands) = state.advance(event);
        state = next;
        todo.extend(commands);
        turns += 1;
        if turns.is_multiple_of(997) || total < 1_000 {
            let document = serde_json::to_string(&state).unwrap();
            document_max = document_max.max(document.len());
            let back: MapRunState = serde_json::from_str(&document).unwrap();
            assert_eq!(back, state);
        }
    }
    Ended { result: result.unwrap(), state, started, stopped, document_max }
}

fn echo(_: u64, input: Value) -> Outcome {
    Outcome::Succeeded { output: input }
}

fn failing(which: impl Fn(u64) -> bool) -> impl Fn(u64, Value) -> Outcome {
    move |unit, output| {
        if which(unit) {
            Outcome::Failed { error: Some("X".into()), cause: None }
        } else {
            Outcome::Succeeded { output }
        }
    }
}

#[test]
fn outputs_keep_the_order_of_items() {
    let ended = drive(run(|run| run.concurrency = Some(3)), 10, true, echo);
    let expected: Vec<Value> = (0..10).map(|n| json!({"n": n})).collect();
    assert_eq!(ended.result, Ok(Some(Value::Array(expected))));
    assert_eq!((ended.state.counts().succeeded, ended.state.counts().pending), (10, 0));
    assert_eq!(ended.state.status(), MapStatus::Succeeded);
    let none = drive(run(|_| {}), 0, false, echo);
    assert_eq!(none.result, Ok(Some(json!([]))));
}

#[test]
fn one_failure_is_too_many_unless_some_are_tolerated() {
    let strict = drive(run(|run| run.concurrency = Some(2)), 10, false, failing(|unit| unit == 3));
    let error = strict.result.unwrap_err().error;
    assert_eq!(error.as_deref(), Some("States.ExceedToleratedFailureThreshold"));
    assert_eq!(
        (strict.started, strict.stopped),
        (5, 1),
        "the rest never starts, what runs is stopped"
    );
    let counted =
        drive(run(|run| run.tolerated_count = Some(2)), 10, false, failing(|unit| unit % 5 == 0));
    let Ok(Some(Value::Array(outputs))) = counted.result else { panic!() };
    assert_eq!(outputs.len(), 8, "those that failed give nothing");
    let share = |points, bad: u64| {
        let state = run(|run| run.tolerated_basis_points = Some(points));
        drive(state, 1_000, false, failing(move |unit| unit < bad)).result.is_ok()
    };
    assert!(share(1_000, 100) && !share(1_000, 101) && share(10_000, 1_000) && !share(0, 1));
}

#[test]
fn batches_are_bounded_by_items_and_bytes() {
    let batched = |batch: Value| drive(run(|run| run.batch = Some(batch)), 10, false, echo);
    let by_items = batched(json!({"MaxItemsPerBatch": 4, "BatchInput": {"b": 1}}));
    let Ok(Some(Value::Array(units))) = by_items.result else { panic!() };
    let sizes: Vec<_> = units.iter().map(|unit| unit["Items"].as_array().unwrap().len()).collect();
    assert_eq!((sizes, &units[0]["BatchInput"]), (vec![4, 4, 2], &json!({"b": 1})));
    let by_bytes = batched(json!({"MaxInputBytesPerBatch": 60}));
    let Ok(Some(Value::Array(units))) = by_bytes.result else { panic!() };
    assert!(units.len() > 3 && units.iter().all(|unit| unit.to_string().len() <= 60));
}

#[test]
fn outputs_that_are_too_large_fail_the_map_unless_a_writer_takes_them() {
    let large = |_: u64, _: Value| Outcome::Succeeded { output: json!("x".repeat(10_000)) };
    let kept = drive(run(|_| {}), 100, false, large);
    assert_eq!(kept.result.unwrap_err().error.as_deref(), Some("States.DataLimitExceeded"));
    let written = drive(run(|run| run.writer = Some(json!({}))), 100, false, large);
    assert_eq!(written.result, Ok(None));
}

#[test]
fn a_million_items_take_no_more_memory_than_a_thousand() {
    let writer = |run: &mut MapRun| {
        run.writer = Some(json!({}));
        run.concurrency = Some(100);
    };
    let ended = drive(run(writer), 1_000_000, false, echo);
    assert_eq!(ended.state.counts().succeeded, 1_000_000);
    assert!(ended.document_max < 100_000, "{} bytes", ended.document_max);
    let limited = drive(run(|run| run.items_max = Some(1_500)), 1_000_000, false, echo);
    assert_eq!(limited.state.counts().total, 1_500);
}

#[test]
fn what_comes_after_the_end_changes_nothing() {
    let ended = drive(run(|_| {}), 3, false, failing(|unit| unit == 0));
    let before = ended.state.clone();
    let outcome = Outcome::Succeeded { output: json!(1) };
    let (after, commands) = ended.state.advance(MapEvent::ChildEnded { unit: 1, outcome });
    assert_eq!((after, commands), (before, Vec::new()));
}

proptest! {
    #[test]
    fn counts_always_add_up(total in 0_u64..300, concurrency in 1_u32..20, bad in 0_u64..10, tolerated in 0_u64..40) {
        let state = run(|run| {
            run.concurrency = Some(concurrency);
            run.tolerated_count = Some(tolerated);
        });
        let ended = drive(state, total, bad % 2 == 0, failing(move |unit| bad > 0 && unit % 10 < bad));
        let counts = ended.state.counts();
        let sum = counts.pending + counts.running + counts.succeeded + counts.failed + counts.aborted;
        prop_assert_eq!(sum, counts.total);
        prop_assert_eq!(counts.running, 0);
        prop_assert_eq!(ended.result.is_ok(), counts.failed <= tolerated);
    }
}
