//! Executions of flows in process: the real engine over the memory store, with a node that is a script.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use stint_engine::flows::{
    ExecutionFilter, ExecutionRef, ExecutionStart, FlowAliasCreate, FlowCreate, FlowPatch,
    Followed, HistoryAsked, Report, StartOutcome, Started, Waits,
};
use stint_model::code::Code;
use stint_model::execution::{Execution, ExecutionStatus};
use stint_model::flow::{FlowMode, FlowRoute};
use stint_model::payload::Payload;
use stint_model::time::Span;

use crate::house::{Answer, House, Plan, caller};

pub(crate) async fn make(house: &House, name: &str, definition: serde_json::Value) {
    make_in(house, name, definition, FlowMode::Standard).await;
}

async fn make_in(house: &House, name: &str, definition: serde_json::Value, mode: FlowMode) {
    let input = FlowCreate {
        name: name.into(),
        definition: definition.to_string(),
        mode,
        ..FlowCreate::default()
    };
    house.engine.flow_create(&caller(), input).await.expect("is made");
}

pub(crate) fn named(name: &str, input: &str) -> ExecutionStart {
    let input = Bytes::from(input.to_owned());
    ExecutionStart { name: Some(name.into()), input, ..ExecutionStart::default() }
}

pub(crate) async fn start(house: &House, flow: &str, start: ExecutionStart) -> Started {
    house.engine.execution_start(&caller(), flow, start).await.expect("starts")
}

pub(crate) async fn ended(house: &House, execution: &Execution) -> Execution {
    let wait = Some(Span::from_secs(20));
    let uid = ExecutionRef::Uid(execution.uid);
    let ended = house.engine.execution_get(&caller(), &uid, wait).await.expect("is known");
    assert!(ended.status.is_terminal(), "it should have ended: {ended:?}");
    ended
}

pub(crate) async fn play(house: &House, flow: &str, input: &str) -> Execution {
    let input = Bytes::from(input.to_owned());
    let started = start(house, flow, ExecutionStart { input, ..ExecutionStart::default() }).await;
    ended(house, &started.execution).await
}

pub(crate) fn output(execution: &Execution) -> serde_json::Value {
    assert_eq!(execution.status, ExecutionStatus::Succeeded, "{execution:?}");
    let Payload::Inline(bytes) = &execution.output else { panic!("outputs lie in the book") };
    serde_json::from_slice(bytes).expect("JSON")
}

pub(crate) async fn history(house: &House, execution: &Execution) -> Vec<(u64, String)> {
    let uid = ExecutionRef::Uid(execution.uid);
    let asked = HistoryAsked { limit: Some(1_000), ..HistoryAsked::default() };
    let slice = house.engine.execution_history(&caller(), &uid, asked).await.expect("reads");
    slice.rows.into_iter().map(|row| (row.id, row.name)).collect()
}

async fn until_waits(house: &House, execution: &Execution, is_it: fn(&Waits) -> bool) {
    let uid = ExecutionRef::Uid(execution.uid);
    house
        .until("it waits", async |house| {
            let why = house.engine.execution_why(&caller(), &uid).await.expect("explains");
            why.iter().any(|step| is_it(&step.open.waits))
        })
        .await;
}

fn pass() -> serde_json::Value {
    serde_json::json!({"StartAt": "A", "States": {
        "A": {"Type": "Pass", "Result": {"a": 1}, "Next": "B"},
        "B": {"Type": "Choice", "Choices": [{"Variable": "$.a", "NumericEquals": 1, "Next": "C"}], "Default": "D"},
        "C": {"Type": "Succeed"},
        "D": {"Type": "Fail", "Error": "Never"}
    }})
}

fn task(function: &str) -> serde_json::Value {
    task_in("T", function)
}

fn task_in(state: &str, function: &str) -> serde_json::Value {
    serde_json::json!({"StartAt": state, "States": {state: {
        "Type": "Task", "Resource": format!("arn:aws:lambda:local:1:function:{function}"), "End": true
    }}})
}

#[tokio::test]
async fn a_flow_without_calls_ends_in_one_turn() {
    let house = House::build(Plan::new(|_| Answer::Ok(b""))).await;
    make(&house, "pass", pass()).await;
    let done = play(&house, "pass", "{}").await;
    assert_eq!(output(&done), serde_json::json!({"a": 1}));
    let rows = history(&house, &done).await;
    let ids: Vec<u64> = rows.iter().map(|(id, _)| *id).collect();
    assert_eq!(ids, (1..=ids.len() as u64).collect::<Vec<_>>(), "history is gapless");
    assert_eq!(rows.first().map(|(_, name)| name.as_str()), Some("ExecutionStarted"));
    assert_eq!(rows.last().map(|(_, name)| name.as_str()), Some("ExecutionSucceeded"));
}

#[tokio::test]
async fn tasks_of_functions_follow_each_other() {
    let house = House::build(Plan::new(|_| Answer::Ok(b"{\"n\":2}"))).await;
    make(
        &house,
        "two",
        serde_json::json!({"StartAt": "F", "States": {
            "F": {"Type": "Task", "Resource": "f", "ResultPath": "$.f", "Next": "G"},
            "G": {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke",
                  "Parameters": {"FunctionName": "g", "Payload.$": "$"}, "End": true}
        }}),
    )
    .await;
    let done = play(&house, "two", "{\"x\":1}").await;
    let output = output(&done);
    assert_eq!((&output["Payload"]["n"], &output["StatusCode"]), (&2.into(), &200.into()));
    assert_eq!(house.started().len(), 2);
}

#[tokio::test]
async fn a_failing_task_is_retried_and_caught_by_its_own_name() {
    let tries = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&tries);
    let house = House::build(Plan::new(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        Answer::Fail("Boom")
    }))
    .await;
    make(
        &house,
        "catching",
        serde_json::json!({"StartAt": "T", "States": {
            "T": {"Type": "Task", "Resource": "f", "End": true,
                  "Retry": [{"ErrorEquals": ["Boom"], "MaxAttempts": 2, "IntervalSeconds": 1, "BackoffRate": 1.0}],
                  "Catch": [{"ErrorEquals": ["Boom"], "Next": "H"}]},
            "H": {"Type": "Pass", "End": true}
        }}),
    )
    .await;
    let done = play(&house, "catching", "{}").await;
    assert_eq!(output(&done)["Error"], "Boom");
    assert_eq!(tries.load(Ordering::Relaxed), 3, "one call and two retries of the step");
}

#[tokio::test]
async fn branches_and_items_run_side_by_side() {
    let house = House::build(Plan::new(|_| Answer::Ok(b"7"))).await;
    make(
        &house,
        "wide",
        serde_json::json!({"StartAt": "P", "States": {
            "P": {"Type": "Parallel", "Next": "M", "Branches": [task_in("A", "f"), task_in("B", "g")]},
            "M": {"Type": "Map", "End": true, "ItemProcessor": task_in("I", "f")}
        }}),
    )
    .await;
    let done = play(&house, "wide", "{}").await;
    assert_eq!(output(&done), serde_json::json!([7, 7]));
}

#[tokio::test]
async fn a_name_starts_once() {
    let house = House::build(Plan::new(|_| Answer::Hang)).await;
    make(&house, "held", task("f")).await;
    let first = start(&house, "held", named("one", "{\"a\":1}")).await;
    assert_eq!(first.outcome, StartOutcome::New);
    let again = start(&house, "held", named("one", "{\"a\": 1}")).await;
    assert_eq!((again.outcome, again.same_input), (StartOutcome::Running, true));
    assert_eq!(again.execution.uid, first.execution.uid);
    let other = start(&house, "held", named("one", "{\"a\":2}")).await;
    assert_eq!((other.outcome, other.same_input), (StartOutcome::Running, false));
    let one = ExecutionRef::named("held", "one");
    let stop = house.engine.execution_stop(&caller(), &one, Some("E".into()), None).await;
    assert_eq!(stop.expect("stops").status, ExecutionStatus::Stopped);
    let third = start(&house, "held", named("one", "{}")).await;
    assert_eq!(third.outcome, StartOutcome::Ended);
    let twice = house.engine.execution_stop(&caller(), &one, None, None).await;
    assert_eq!(twice.expect_err("has ended").code(), Code::ExecutionAlreadyCompleted);
}

#[tokio::test]
async fn a_stop_reaches_the_task() {
    let house = House::build(Plan::new(|_| Answer::Hang)).await;
    make(&house, "held", task("f")).await;
    let started = start(&house, "held", named("one", "{}")).await;
    house.until("it runs", async |house| house.started().len() == 1).await;
    let one = ExecutionRef::named("held", "one");
    house.engine.execution_stop(&caller(), &one, None, None).await.expect("stops");
    assert_eq!(ended(&house, &started.execution).await.status, ExecutionStatus::Stopped);
    house
        .until("its task is stopped", async |house| {
            house.store.tasks().iter().all(|task| task.state().is_terminal())
        })
        .await;
}

#[tokio::test]
async fn a_report_by_token_ends_the_step_once() {
    let house = House::build(Plan::new(|_| Answer::Ok(b"{}"))).await;
    make(
        &house,
        "callback",
        serde_json::json!({"StartAt": "T", "States": {"T": {
            "Type": "Task", "Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken",
            "Parameters": {"FunctionName": "f", "Payload": {"token.$": "$$.Task.Token"}}, "End": true
        }}}),
    )
    .await;
    let started = start(&house, "callback", named("one", "{}")).await;
    let token = token_of(&house, &started.execution).await;
    let alive = house.engine.execution_report(&caller(), &token, Report::Alive).await;
    assert_eq!(alive.expect("is heard"), None);
    let report = Report::Succeeded(serde_json::json!({"done": true}));
    let event = house.engine.execution_report(&caller(), &token, report.clone()).await;
    assert!(event.expect("is applied").is_some());
    assert_eq!(output(&ended(&house, &started.execution).await)["done"], true);
    let again = house.engine.execution_report(&caller(), &token, report.clone()).await;
    assert_eq!(again.expect_err("is over").code(), Code::TaskAlreadyCompleted);
    let foreign = house.engine.execution_report(&caller(), "bm9uc2Vuc2U=", report).await;
    assert_eq!(foreign.expect_err("is none").code(), Code::InvalidTaskToken);
}

/// The token lies in the input of the task that the step made.
pub(crate) async fn token_of(house: &House, execution: &Execution) -> String {
    let prefix = format!("{}.", execution.uid);
    let mut token = String::new();
    house
        .until("the task is there", async |house| {
            let tasks = house.store.tasks();
            let mine = tasks.iter().find(|task| {
                task.order().chosen_id.as_deref().is_some_and(|id| id.starts_with(&prefix))
            });
            let Some(mine) = mine else { return false };
            let Payload::Inline(bytes) = &mine.order().payload else { return false };
            let input: serde_json::Value = serde_json::from_slice(bytes).expect("JSON");
            token = input["token"].as_str().expect("a token").to_owned();
            true
        })
        .await;
    token
}

#[tokio::test]
async fn a_silent_callback_times_out_and_its_token_is_void() {
    let house = House::build(Plan::new(|_| Answer::Ok(b"{}"))).await;
    make(
        &house,
        "silent",
        serde_json::json!({"StartAt": "T", "States": {"T": {
            "Type": "Task", "Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken",
            "HeartbeatSeconds": 1, "TimeoutSeconds": 60,
            "Parameters": {"FunctionName": "f", "Payload": {"token.$": "$$.Task.Token"}}, "End": true
        }}}),
    )
    .await;
    let started = start(&house, "silent", named("one", "{}")).await;
    let token = token_of(&house, &started.execution).await;
    let done = ended(&house, &started.execution).await;
    assert_eq!(done.error.as_deref(), Some("States.HeartbeatTimeout"));
    let late = house.engine.execution_report(&caller(), &token, Report::Alive).await;
    assert_eq!(late.expect_err("is over").code(), Code::TaskAlreadyCompleted);
}

#[tokio::test]
async fn a_child_is_followed_and_its_failure_is_told() {
    let house = House::build(Plan::new(|_| Answer::Fail("Boom"))).await;
    make(&house, "well", pass()).await;
    make(&house, "badly", task("f")).await;
    let parent = |flow: &str, how: &str| {
        serde_json::json!({"StartAt": "C", "States": {"C": {
            "Type": "Task", "Resource": format!("arn:aws:states:::states:startExecution{how}"),
            "Parameters": {"StateMachineArn": format!("arn:aws:states:local:1:stateMachine:{flow}"), "Input": {}},
            "End": true
        }}})
    };
    make(&house, "p1", parent("well", ".sync:2")).await;
    make(&house, "p2", parent("badly", ".sync")).await;
    make(&house, "p3", parent("well", "")).await;
    let done = play(&house, "p1", "{}").await;
    assert_eq!(output(&done)["Output"]["a"], 1);
    let done = play(&house, "p2", "{}").await;
    assert_eq!(done.error.as_deref(), Some("States.TaskFailed"));
    assert!(done.cause.as_deref().is_some_and(|cause| cause.contains("Boom")), "{done:?}");
    let done = play(&house, "p3", "{}").await;
    assert!(output(&done)["ExecutionArn"].as_str().is_some());
}

#[tokio::test]
async fn fdl_follows_its_child_and_hands_its_token_on() {
    let house = House::build(Plan::new(|_| Answer::Ok(b"{\"r\":5}"))).await;
    let fdl = |steps: &str| serde_json::Value::String(steps.to_owned());
    let create = |name: &str, text: serde_json::Value| FlowCreate {
        name: name.into(),
        definition: text.as_str().expect("text").to_owned(),
        ..FlowCreate::default()
    };
    let child = "version: v1\ntype: flow\nsteps:\n  - type: task\n    name: t\n    resourceArn: acs:fc:::functions/f\n";
    let parent = "version: v1\ntype: flow\nsteps:\n  - type: task\n    name: c\n    resourceArn: acs:fnf:::flow/child\n    pattern: sync\n";
    for (name, text) in [("child", child), ("parent", parent)] {
        let made = house.engine.flow_create(&caller(), create(name, fdl(text))).await;
        made.expect("is made");
    }
    let done = play(&house, "parent", "{}").await;
    assert_eq!(output(&done), serde_json::json!({"r": 5}));
}

#[tokio::test]
async fn jsonata_is_evaluated_outside() {
    let house = House::build(Plan::new(|_| Answer::Ok(b"{\"n\":20}"))).await;
    make(
        &house,
        "sum",
        serde_json::json!({"QueryLanguage": "JSONata", "StartAt": "T", "States": {"T": {
            "Type": "Task", "Resource": "f", "Arguments": {"x": "{% $states.input.a + 1 %}"},
            "Output": {"sum": "{% $states.result.n + $states.input.a %}"}, "End": true
        }}}),
    )
    .await;
    let done = play(&house, "sum", "{\"a\":1}").await;
    assert_eq!(output(&done)["sum"], 21);
}

#[tokio::test]
async fn what_cannot_be_called_fails_by_name() {
    let house = House::build(Plan::new(|_| Answer::Ok(b""))).await;
    make(&house, "nobody", task("nobody")).await;
    let done = play(&house, "nobody", "{}").await;
    assert_eq!(done.error.as_deref(), Some("Lambda.ResourceNotFoundException"));
    make(
        &house,
        "http",
        serde_json::json!({"StartAt": "T", "States": {"T": {
            "Type": "Task", "Resource": "arn:aws:states:::http:invoke",
            "Parameters": {"ApiEndpoint": "http://127.0.0.1/", "Method": "GET"}, "End": true
        }}}),
    )
    .await;
    let done = play(&house, "http", "{}").await;
    assert_eq!(done.error.as_deref(), Some("States.Http.Socket"));
}

#[tokio::test]
async fn an_express_flow_is_waited_for() {
    let house = House::build(Plan::new(|_| Answer::Ok(b"{\"k\":1}"))).await;
    make_in(&house, "quick", task("f"), FlowMode::Express).await;
    let refused = house.engine.execution_start(&caller(), "quick", named("a", "{}")).await;
    assert_eq!(refused.expect_err("is Express").code(), Code::ActionNotSupported);
    for _ in 0..2 {
        let done =
            house.engine.execution_start_sync(&caller(), "quick", named("a", "{}"), None).await;
        let done = done.expect("ends");
        assert_eq!(output(&done)["k"], 1);
        assert!(done.name.starts_with("a:"), "{}", done.name);
    }
}

#[tokio::test]
async fn versions_and_aliases_lead_to_definitions() {
    let house = House::build(Plan::new(|_| Answer::Ok(b""))).await;
    let says = |text: &str| serde_json::json!({"StartAt": "A", "States": {"A": {"Type": "Pass", "Result": text, "End": true}}});
    make(&house, "v", says("one")).await;
    let engine = &house.engine;
    assert_eq!(engine.flow_version_publish(&caller(), "v", "").await.expect("publishes").number, 1);
    let patch = FlowPatch { definition: Some(says("two").to_string()), ..FlowPatch::default() };
    engine.flow_update(&caller(), "v", &patch).await.expect("updates");
    assert_eq!(engine.flow_version_publish(&caller(), "v", "").await.expect("publishes").number, 2);
    let route = |version, weight| FlowRoute { version, weight };
    let alias = FlowAliasCreate {
        name: "prod".into(),
        description: String::new(),
        routes: vec![route(1, 100)],
    };
    engine.flow_alias_create(&caller(), "v", &alias).await.expect("is made");
    for (qualifier, said) in
        [(None, "two"), (Some("1"), "one"), (Some("2"), "two"), (Some("prod"), "one")]
    {
        let start_with =
            ExecutionStart { qualifier: qualifier.map(str::to_owned), ..ExecutionStart::default() };
        let started = start(&house, "v", start_with).await;
        assert_eq!(output(&ended(&house, &started.execution).await), said, "{qualifier:?}");
    }
    let held = engine.flow_version_delete(&caller(), "v", 1).await;
    assert!(held.is_err(), "an alias leads to it");
    let none = ExecutionStart { qualifier: Some("9".into()), ..ExecutionStart::default() };
    let refused = engine.execution_start(&caller(), "v", none).await;
    assert_eq!(refused.expect_err("is none").code(), Code::FlowVersionNotExists);
}

#[tokio::test]
async fn executions_are_listed_and_searched() {
    let house = House::build(Plan::new(|_| Answer::Ok(b""))).await;
    make(&house, "pass", pass()).await;
    for n in 0..5 {
        let started = start(&house, "pass", named(&format!("e{n}"), "{}")).await;
        ended(&house, &started.execution).await;
    }
    let filter = ExecutionFilter { flow: Some("pass".into()), ..ExecutionFilter::default() };
    let list = house.engine.execution_list(&caller(), &filter, 3, None).await.expect("lists");
    let names: Vec<_> = list.items.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["e4", "e3", "e2"]);
    let rest = house.engine.execution_list(&caller(), &filter, 3, list.next).await.expect("lists");
    assert_eq!((rest.items.len(), rest.next), (2, None));
    let filter = ExecutionFilter { statuses: vec![ExecutionStatus::Failed], ..filter };
    let none = house.engine.execution_list(&caller(), &filter, 3, None).await.expect("lists");
    assert!(none.items.is_empty());
    let uid = ExecutionRef::named("pass", "e0");
    let asked = HistoryAsked { limit: Some(2), reverse: true, ..HistoryAsked::default() };
    let slice = house.engine.execution_history(&caller(), &uid, asked).await.expect("reads");
    assert_eq!(slice.rows[0].name, "ExecutionSucceeded");
    assert_eq!(slice.next, Some(slice.rows[1].id - 1));
}

#[tokio::test]
async fn a_failed_execution_is_run_again_from_where_it_failed() {
    let fails = Arc::new(AtomicU32::new(1));
    let left = Arc::clone(&fails);
    let house = House::build(Plan::new(move |_| {
        let failing = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
        if failing.is_ok() { Answer::Fail("Boom") } else { Answer::Ok(b"1") }
    }))
    .await;
    make(&house, "again", task("f")).await;
    let started = start(&house, "again", named("one", "{}")).await;
    assert_eq!(ended(&house, &started.execution).await.status, ExecutionStatus::Failed);
    let one = ExecutionRef::named("again", "one");
    let driven = house.engine.execution_redrive(&caller(), &one).await.expect("goes on");
    assert_eq!(driven.redrives, 1);
    let done = ended(&house, &started.execution).await;
    assert_eq!(output(&done), 1);
    let refused = house.engine.execution_redrive(&caller(), &one).await;
    assert_eq!(refused.expect_err("went well").code(), Code::ExecutionNotRedrivable);
}

#[tokio::test]
async fn pollers_take_work_and_report() {
    let house = House::build(Plan::new(|_| Answer::Ok(b""))).await;
    house.engine.activity_create(&caller(), "dig").await.expect("is made");
    make(
        &house,
        "digging",
        serde_json::json!({"StartAt": "T", "States": {"T": {
            "Type": "Task", "Resource": "arn:aws:states:local:1:activity:dig", "End": true
        }}}),
    )
    .await;
    let none = house.engine.activity_take(&caller(), "dig", None, Span::from_millis(20)).await;
    assert_eq!(none.expect("is fine"), None);
    let started = start(&house, "digging", named("one", "{\"deep\":3}")).await;
    let (me, poller) = (caller(), Some("me".into()));
    let work = house.engine.activity_take(&me, "dig", poller, Span::from_secs(10)).await;
    let work = work.expect("is fine").expect("there is work");
    assert_eq!(work.input, "{\"deep\":3}");
    let report = Report::Succeeded(serde_json::json!("done"));
    house.engine.execution_report(&caller(), &work.token, report).await.expect("is applied");
    assert_eq!(output(&ended(&house, &started.execution).await), "done");
}

#[tokio::test]
async fn an_execution_is_followed_to_its_end() {
    let house = House::build(Plan::new(|_| Answer::Ok(b"1"))).await;
    make(&house, "one", task("f")).await;
    let started = start(&house, "one", named("x", "{}")).await;
    let uid = ExecutionRef::Uid(started.execution.uid);
    let mut follow = house.engine.execution_follow(&caller(), &uid, 0).await.expect("follows");
    let mut ids = Vec::new();
    while let Some(what) = follow.next().await.expect("goes on") {
        match what {
            Followed::Row(row) => ids.push(row.id),
            Followed::Ended(end) => assert_eq!(end.status, ExecutionStatus::Succeeded),
        }
    }
    assert_eq!(ids, (1..=ids.len() as u64).collect::<Vec<_>>());
    let graph = house.engine.execution_graph(&caller(), &uid).await.expect("draws");
    assert_eq!(graph.steps[0].state, stint_engine::flows::StepState::Done);
}

#[tokio::test]
async fn a_distributed_map_runs_children_of_its_own() {
    let house = House::build(Plan::new(|_| Answer::Ok(b"1"))).await;
    let inner = serde_json::json!({"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
        "StartAt": "I", "States": {"I": {"Type": "Pass", "End": true}}});
    make(
        &house,
        "many",
        serde_json::json!({"StartAt": "M", "States": {"M": {"Type": "Map", "ItemsPath": "$.items",
            "ItemProcessor": inner, "MaxConcurrency": 7, "End": true}}}),
    )
    .await;
    let items: Vec<u32> = (0..2_500).collect();
    let input = serde_json::json!({"items": items}).to_string();
    let done = play(&house, "many", &input).await;
    assert_eq!(output(&done), serde_json::json!(items));
    let uid = ExecutionRef::Uid(done.uid);
    let runs = house.engine.map_run_list(&caller(), &uid).await.expect("lists");
    assert_eq!((runs.len(), runs[0].counts.succeeded), (1, 2_500));
    let filter = ExecutionFilter {
        map_run: Some((uid, runs[0].name.clone())),
        ..ExecutionFilter::default()
    };
    let children = house.engine.execution_list(&caller(), &filter, 1_000, None).await;
    assert_eq!(children.expect("lists").items.len(), 1_000);
    let filter = ExecutionFilter { flow: Some("many".into()), ..ExecutionFilter::default() };
    let own = house.engine.execution_list(&caller(), &filter, 10, None).await.expect("lists");
    assert_eq!(own.items.len(), 1, "children stand in a list of their own");
}

#[tokio::test]
async fn a_waiting_step_says_why() {
    let house = House::build(Plan::new(|_| Answer::Hang)).await;
    make(&house, "held", task("f")).await;
    let started = start(&house, "held", named("one", "{}")).await;
    until_waits(&house, &started.execution, |waits| matches!(waits, Waits::Call { .. })).await;
    let uid = ExecutionRef::Uid(started.execution.uid);
    let why = house.engine.execution_why(&caller(), &uid).await.expect("explains");
    assert!(why[0].task.is_some(), "the task of the step is explained: {why:?}");
}

#[tokio::test]
async fn a_schedule_starts_executions() {
    let house = House::build(Plan::new(|_| Answer::Ok(b""))).await;
    make(
        &house,
        "tick",
        serde_json::json!({"StartAt": "A", "States": {"A": {"Type": "Pass", "End": true}}}),
    )
    .await;
    let schedule = stint_engine::flows::ScheduleCreate {
        name: "often".into(),
        expression: "@every 1s".into(),
        payload: Some("{\"k\":1}".into()),
        is_enabled: true,
        description: String::new(),
        misfire: Default::default(),
        may_overlap: true,
    };
    house.engine.schedule_create(&caller(), "tick", schedule).await.expect("is made");
    let filter = ExecutionFilter { flow: Some("tick".into()), ..ExecutionFilter::default() };
    house
        .until("it fires twice", async |house| {
            let list = house.engine.execution_list(&caller(), &filter, 10, None).await;
            list.expect("lists").items.len() >= 2
        })
        .await;
    let list = house.engine.execution_list(&caller(), &filter, 1, None).await.expect("lists");
    let done = ended(&house, &list.items[0]).await;
    assert_eq!(output(&done)["payload"]["k"], 1);
    assert_eq!(done.schedule.as_deref(), Some("often"));
}
