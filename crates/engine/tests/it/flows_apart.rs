//! Executions over several shards, and over the death of the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use stint_engine::flows::{ExecutionRef, Report};
use stint_model::execution::ExecutionStatus;
use stint_model::time::Span;
use stint_store::memory::Fault;

use crate::flows::{ended, history, make, named, output, play, start, token_of};
use crate::house::{Answer, House, Plan, caller};

fn several(mut plan: Plan) -> Plan {
    plan.shards = 5;
    plan
}

fn call(function: &str) -> serde_json::Value {
    serde_json::json!({"StartAt": "T", "States": {"T": {"Type": "Task", "Resource": function, "End": true}}})
}

fn many(function: &str) -> serde_json::Value {
    let inner = serde_json::json!({"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
        "StartAt": "I", "States": {"I": {"Type": "Task", "Resource": function, "End": true}}});
    serde_json::json!({"StartAt": "M", "States": {"M": {"Type": "Map", "ItemsPath": "$.items",
        "ItemProcessor": inner, "MaxConcurrency": 5, "End": true}}})
}

fn callback() -> serde_json::Value {
    serde_json::json!({"StartAt": "T", "States": {"T": {
        "Type": "Task", "Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken",
        "Parameters": {"FunctionName": "f", "Payload": {"token.$": "$$.Task.Token"}}, "End": true
    }}})
}

#[tokio::test]
async fn steps_reach_functions_of_other_shards() {
    let house = House::build(several(Plan::new(|_| Answer::Ok(b"{\"n\":1}")))).await;
    make(&house, "calling", call("f")).await;
    for n in 0..10 {
        let started = start(&house, "calling", named(&format!("e{n}"), "{}")).await;
        let done = ended(&house, &started.execution).await;
        assert_eq!(output(&done)["n"], 1);
        let results = history(&house, &done).await;
        let results = results.iter().filter(|(_, name)| name == "LambdaFunctionSucceeded");
        assert_eq!(results.count(), 1, "a result is applied once");
    }
    assert_eq!(house.started().len(), 10);
}

#[tokio::test]
async fn children_live_where_their_names_lead() {
    let house = House::build(several(Plan::new(|_| Answer::Ok(b"1")))).await;
    make(&house, "child", call("g")).await;
    make(
        &house,
        "parent",
        serde_json::json!({"StartAt": "C", "States": {"C": {"Type": "Map", "End": true, "ItemProcessor":
            {"StartAt": "S", "States": {"S": {"Type": "Task", "End": true,
                "Resource": "arn:aws:states:::states:startExecution.sync:2",
                "Parameters": {"StateMachineArn": "arn:aws:states:local:1:stateMachine:child", "Input": {}}}}}}}}),
    )
    .await;
    let done = play(&house, "parent", "[1,2,3,4,5,6]").await;
    let output = output(&done);
    assert_eq!(output.as_array().map(Vec::len), Some(6));
    assert_eq!(output[5]["Output"], 1);
    let shards: std::collections::BTreeSet<_> =
        house.store.executions().iter().map(|(head, _)| head.uid.shard()).collect();
    assert!(shards.len() > 1, "they are spread");
}

#[tokio::test]
async fn units_of_a_map_are_spread() {
    let house = House::build(several(Plan::new(|_| Answer::Ok(b"2")))).await;
    make(&house, "many", many("f")).await;
    let items: Vec<u32> = (0..40).collect();
    let done = play(&house, "many", &serde_json::json!({"items": items}).to_string()).await;
    assert_eq!(output(&done), serde_json::json!(vec![2; 40]));
    let children = house.store.executions();
    let children: Vec<_> = children.iter().filter(|(head, _)| head.map.is_some()).collect();
    let shards: std::collections::BTreeSet<_> =
        children.iter().map(|(head, _)| head.uid.shard()).collect();
    assert!(children.len() == 40 && shards.len() > 1);
}

#[tokio::test]
async fn a_stop_reaches_what_runs_elsewhere() {
    let house = House::build(several(Plan::new(|_| Answer::Hang))).await;
    make(&house, "child", call("g")).await;
    make(
        &house,
        "parent",
        serde_json::json!({"StartAt": "P", "States": {"P": {"Type": "Parallel", "End": true, "Branches": [
            {"StartAt": "F", "States": {"F": {"Type": "Task", "Resource": "f", "End": true}}},
            {"StartAt": "C", "States": {"C": {"Type": "Task", "End": true,
                "Resource": "arn:aws:states:::states:startExecution.sync",
                "Parameters": {"StateMachineArn": "arn:aws:states:local:1:stateMachine:child"}}}}]}}}),
    )
    .await;
    let started = start(&house, "parent", named("one", "{}")).await;
    house.until("both run", async |house| house.started().len() == 2).await;
    let one = ExecutionRef::named("parent", "one");
    house.engine.execution_stop(&caller(), &one, None, None).await.expect("stops");
    assert_eq!(ended(&house, &started.execution).await.status, ExecutionStatus::Stopped);
    house
        .until("all of it has ended", async |house| {
            let executions = house.store.executions();
            house.store.tasks().iter().all(|task| task.state().is_terminal())
                && executions.iter().all(|(head, _)| head.status.is_terminal())
        })
        .await;
}

#[tokio::test]
async fn what_waits_survives_the_process() {
    for shards in [1, 5] {
        let plan = move || {
            let mut plan = Plan::new(|_| Answer::Ok(b"{}"));
            plan.shards = shards;
            plan
        };
        let house = House::build(plan()).await;
        make(&house, "callback", callback()).await;
        make(
            &house,
            "waiting",
            serde_json::json!({"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 1, "Next": "T"},
                "T": {"Type": "Task", "Resource": "f", "End": true}}}),
        )
        .await;
        let waiting = start(&house, "waiting", named("w", "{}")).await.execution;
        let reported = start(&house, "callback", named("c", "{}")).await.execution;
        let token = token_of(&house, &reported).await;
        let house = House::open(house.crash(), plan()).await;
        let report = Report::Succeeded(serde_json::json!({"late": true}));
        house.engine.execution_report(&caller(), &token, report).await.expect("is applied");
        assert_eq!(output(&ended(&house, &reported).await)["late"], true);
        assert_eq!(output(&ended(&house, &waiting).await), serde_json::json!({}));
    }
}

#[tokio::test]
async fn a_task_that_ran_when_the_process_died_is_applied_once() {
    let house = House::build(Plan::new(|_| Answer::Hang)).await;
    make(&house, "calling", call("f")).await;
    make(&house, "many", many("f")).await;
    let one = start(&house, "calling", named("one", "{}")).await.execution;
    let map =
        start(&house, "many", named("map", "{\"items\":[1,2,3,4,5,6,7,8,9]}")).await.execution;
    house.until("they run", async |house| house.started().len() == 6).await;
    let house = House::open(house.crash(), Plan::new(|_| Answer::Ok(b"3"))).await;
    assert_eq!(output(&ended(&house, &one).await), 3);
    assert_eq!(output(&ended(&house, &map).await), serde_json::json!(vec![3; 9]));
    let rows = history(&house, &one).await;
    let ids: Vec<u64> = rows.iter().map(|(id, _)| *id).collect();
    assert_eq!(ids, (1..=ids.len() as u64).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_failed_commit_loses_no_step() {
    let calls = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&calls);
    let house = House::build(Plan::new(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        Answer::Ok(b"{}")
    }))
    .await;
    let steps: serde_json::Map<String, serde_json::Value> = (0..12)
        .map(|n| {
            let mut step = serde_json::json!({"Type": "Task", "Resource": "f"});
            if n == 11 {
                step["End"] = true.into();
            } else {
                step["Next"] = format!("S{}", n + 1).into();
            }
            (format!("S{n}"), step)
        })
        .collect();
    make(&house, "long", serde_json::json!({"StartAt": "S0", "States": steps})).await;
    let started = start(&house, "long", named("one", "{}")).await;
    for n in 1..4 {
        house.until("it goes on", async |_| calls.load(Ordering::Relaxed) >= n * 3).await;
        let fault = if n % 2 == 0 { Fault::NotWritten } else { Fault::WrittenUnanswered };
        house.store.fail_next_commit(fault);
    }
    let uid = ExecutionRef::Uid(started.execution.uid);
    house
        .until("it has ended", async |house| {
            let now = house.engine.execution_get(&caller(), &uid, None).await.expect("is known");
            now.status == ExecutionStatus::Succeeded
        })
        .await;
    let rows = history(&house, &started.execution).await;
    let done = rows.iter().filter(|(_, name)| name == "LambdaFunctionSucceeded").count();
    assert_eq!(done, 12, "each step has one result");
}

#[tokio::test]
async fn evaluations_and_pollers_are_asked_again() {
    let house = House::build(Plan::new(|_| Answer::Ok(b""))).await;
    house.engine.activity_create(&caller(), "dig").await.expect("is made");
    make(
        &house,
        "dig",
        serde_json::json!({"StartAt": "T", "States": {"T": {
            "Type": "Task", "Resource": "arn:aws:states:local:1:activity:dig", "End": true
        }}}),
    )
    .await;
    let started = start(&house, "dig", named("one", "{\"k\":1}")).await;
    let house = House::open(house.crash(), Plan::new(|_| Answer::Ok(b""))).await;
    let (me, wait) = (caller(), Span::from_secs(10));
    let work = house.engine.activity_take(&me, "dig", None, wait).await.expect("is fine");
    let work = work.expect("it waits still");
    assert_eq!(work.input, "{\"k\":1}");
    let report = Report::Failed { error: Some("Stone".into()), cause: None };
    house.engine.execution_report(&me, &work.token, report).await.expect("is applied");
    let done = ended(&house, &started.execution).await;
    assert_eq!(done.error.as_deref(), Some("Stone"));
}
