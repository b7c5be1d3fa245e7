//! Distributed maps without a shell: a reader that gives what it is asked for, children that end in any
//! order.

use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;
use serde_json::{Value, json};
use stint_flow::{
    CallId, ExecutionMode, Fault, FoundChild, MapCommand, MapEvent, MapFrame, MapRun, MapRunState,
    MapStatus, Outcome,
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
            Some(MapCommand::Find | MapCommand::Redrive { .. }) => panic!("nobody redrives here"),
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

/// Redrives a map run whose children are as `children` says (none failed), `page` of them at a time; gives the
/// result, the units that ran again and those that are new.
fn redrive(
    state: MapRunState,
    total: u64,
    (mut children, page): (BTreeMap<u64, Option<Value>>, usize),
) -> (MapRunState, Result<Option<Value>, Fault>, Vec<u64>, Vec<u64>) {
    let (mut state, commands) = state.advance(MapEvent::Redriven);
    let (mut todo, mut again, mut new) = (VecDeque::from(commands), Vec::new(), Vec::new());
    let asked: Vec<(u64, Option<Value>)> =
        children.iter().map(|(unit, output)| (*unit, output.clone())).collect();
    let mut left = VecDeque::from(asked);
    let mut open = VecDeque::new();
    loop {
        let event = match todo.pop_front() {
            Some(MapCommand::Find) => {
                let many = left.len().min(page);
                let found =
                    left.drain(..many).map(|(unit, output)| FoundChild { unit, items: 1, output });
                let children = found.collect();
                MapEvent::Found { children, is_last: left.is_empty() }
            }
            Some(MapCommand::Redrive { unit }) => {
                again.push(unit);
                open.push_back((unit, json!({"n": unit})));
                continue;
            }
            Some(MapCommand::Start { unit, input, .. }) => {
                new.push(unit);
                open.push_back((unit, input));
                continue;
            }
            Some(MapCommand::Read { from, count }) => {
                let to = total.min(from + count);
                let items = (from..to).map(|n| json!({"n": n})).collect();
                MapEvent::Items { items, is_last: to == total }
            }
            Some(MapCommand::StopChild { .. }) => continue,
            Some(MapCommand::Finish(result)) => return (state, result, again, new),
            None => {
                let (unit, input) = open.pop_front().expect("it ends, or something is open");
                children.insert(unit, Some(input.clone()));
                MapEvent::ChildEnded { unit, outcome: Outcome::Succeeded { output: input } }
            }
        };
        let (next, commands) = state.advance(event);
        let document = serde_json::to_string(&next).unwrap();
        state = serde_json::from_str(&document).unwrap();
        assert_eq!(state, next, "a redrive reads back as it was");
        todo.extend(commands);
    }
}

#[test]
fn a_redrive_runs_what_failed_or_never_ran_and_keeps_the_rest() {
    for (page, keeps) in [(1, true), (3, true), (100, true), (2, false)] {
        let state = run(|run| {
            run.concurrency = Some(4);
            run.writer = (!keeps).then(|| json!({}));
        });
        let ended = drive(state, 20, false, failing(|unit| unit == 5));
        let started = ended.started;
        assert!(ended.result.is_err() && started < 20);
        let aborted = ended.state.counts().aborted;
        // Those that were stopped are the last ones that began.
        let is_well = |unit: u64| unit != 5 && unit < started - aborted;
        let children: BTreeMap<u64, Option<Value>> = (0..started)
            .map(|unit| (unit, is_well(unit).then(|| json!({"n": unit}))))
            .filter(|(_, output)| keeps || output.is_none())
            .collect();
        let (state, result, again, new) = redrive(ended.state, 20, (children, page));
        let expected: Vec<u64> = (0..started).filter(|unit| !is_well(*unit)).collect();
        assert_eq!(again, expected, "page of {page}");
        assert_eq!(new, (started..20).collect::<Vec<u64>>());
        let all = Value::Array((0..20).map(|n| json!({"n": n})).collect());
        assert_eq!(result, Ok(keeps.then_some(all)));
        let counts = state.counts();
        assert_eq!((counts.succeeded, counts.total, counts.pending), (20, 20, 0));
        assert_eq!((counts.failed, counts.aborted, state.redrives()), (0, 0, 1));
    }
}

#[test]
fn a_child_that_is_nowhere_to_be_found_has_failed() {
    let ended = drive(run(|_| {}), 3, false, failing(|unit| unit == 1));
    assert_eq!(ended.state.counts().failed, 1);
    let (state, commands) = ended.state.advance(MapEvent::Redriven);
    assert!(commands.contains(&MapCommand::Find));
    let (state, _) = state.advance(MapEvent::Found { children: Vec::new(), is_last: true });
    assert_eq!(state.status(), MapStatus::Failed);
    let counts = state.counts();
    let sum = counts.pending + counts.running + counts.succeeded + counts.failed + counts.aborted;
    assert_eq!((sum, counts.running), (counts.total, 0));
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
