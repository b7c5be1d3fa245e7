//! One task's life, station by station.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use stint_engine::{BatchMode, FunctionRef, Submit, TaskFilter, TaskOptions, TaskRef};
use stint_model::code::Code;
use stint_model::function::{AsyncConfig, FunctionLimits, RetryPolicy};
use stint_model::limit::Priority;
use stint_model::payload::Payload;
use stint_model::task::{Delivery, TaskState, When};
use stint_model::time::{Span, Timestamp};
use stint_sched::Cause;

use crate::house::{Answer, House, Plan, a_function, caller};

fn options() -> TaskOptions {
    TaskOptions::default()
}

fn named(id: &str) -> TaskOptions {
    TaskOptions { task_id: Some(id.to_owned()), ..options() }
}

fn quick_retries(retries_max: u32) -> AsyncConfig {
    let retry = RetryPolicy {
        retries_max,
        backoff_base: Span::from_millis(1),
        backoff_cap: Span::from_millis(2),
        final_errors: vec!["BadInput".into()],
    };
    AsyncConfig { task_mode: true, retry, ..AsyncConfig::default() }
}

#[tokio::test]
async fn a_task_runs_and_its_result_and_times_are_kept() {
    let house = House::build(Plan::new(|_| Answer::Ok(b"42"))).await;
    let task = house.submit("f", named("one")).await;
    let ended = house.ended(&task).await;
    assert_eq!(ended.state(), TaskState::Succeeded);
    assert_eq!(*ended.result(), Payload::Inline(Bytes::from_static(b"42")));
    let states: Vec<TaskState> = ended.events().iter().map(|event| event.state).collect();
    let expected =
        [TaskState::Enqueued, TaskState::Dequeued, TaskState::Running, TaskState::Succeeded];
    assert_eq!(states, expected);
    let attempt = ended.attempt().expect("one attempt");
    assert!(attempt.queued_at <= attempt.leased_at && attempt.leased_at <= attempt.started_at);
    assert!(attempt.ended_at <= attempt.settled_at && attempt.settled_at != Timestamp::ZERO);
    let by_name = TaskRef::Named { function: "f".into(), task_id: "one".into() };
    assert_eq!(house.get(&by_name).await, ended);
}

#[tokio::test]
async fn a_task_can_be_read_right_after_it_was_accepted() {
    let house = House::build(Plan::new(|_| Answer::Hang)).await;
    for n in 0..50 {
        let task = house.submit("f", named(&format!("t{n}"))).await;
        assert!(!house.get(&task).await.state().is_terminal());
    }
}

#[tokio::test]
async fn the_same_id_twice_is_refused() {
    let house = House::build(Plan::new(|_| Answer::Ok(b""))).await;
    let first = house.submit("f", named("same")).await;
    let submit = || Submit { payload: Bytes::new(), options: named("same") };
    let function = FunctionRef::latest("f");
    let again = house.engine.submit(&caller(), &function, submit()).await;
    assert_eq!(again.expect_err("refused").code(), Code::AsyncTaskAlreadyExists);
    house.ended(&first).await;
    let later = house.engine.submit(&caller(), &function, submit()).await;
    assert_eq!(later.expect_err("refused").code(), Code::AsyncTaskAlreadyExists);
    house.submit("g", named("same")).await;
}

#[tokio::test]
async fn many_racing_submits_of_one_id_give_one_task() {
    let house = Arc::new(House::build(Plan::new(|_| Answer::Ok(b""))).await);
    let race = (0..32).map(|_| {
        let house = Arc::clone(&house);
        async move {
            let submit = Submit { payload: Bytes::new(), options: named("raced") };
            house.engine.submit(&caller(), &FunctionRef::latest("f"), submit).await.is_ok()
        }
    });
    let mut won = 0;
    for result in join_all(race).await {
        won += u32::from(result);
    }
    assert_eq!(won, 1);
}

async fn join_all<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut futures: Vec<_> = futures.map(Box::pin).collect();
    let mut outputs = Vec::new();
    std::future::poll_fn(|cx| {
        futures.retain_mut(|future| match future.as_mut().poll(cx) {
            std::task::Poll::Ready(output) => {
                outputs.push(output);
                false
            }
            std::task::Poll::Pending => true,
        });
        if futures.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    outputs
}

#[tokio::test]
async fn user_errors_are_retried_and_then_final() {
    let mut plan = Plan::new(|_| Answer::Fail("ValueError"));
    plan.functions[0].1 = quick_retries(2);
    let house = House::build(plan).await;
    let ended = house.ended(&house.submit("f", options()).await).await;
    assert_eq!(ended.state(), TaskState::Failed);
    assert_eq!((ended.attempts_total(), ended.user_retries()), (3, 2));
    assert_eq!(ended.error().expect("an error").kind, "ValueError");
    assert_eq!(
        *ended.result(),
        Payload::Inline(Bytes::from_static(b"{\"errorMessage\":\"boom\"}"))
    );
}

#[tokio::test]
async fn an_error_that_is_final_is_not_retried() {
    let mut plan = Plan::new(|_| Answer::Fail("BadInput"));
    plan.functions[0].1 = quick_retries(5);
    let house = House::build(plan).await;
    let ended = house.ended(&house.submit("f", options()).await).await;
    assert_eq!((ended.state(), ended.attempts_total()), (TaskState::Failed, 1));
}

#[tokio::test]
async fn a_refused_attempt_is_not_charged() {
    let count = Arc::new(AtomicU32::new(0));
    let seen = Arc::clone(&count);
    let plan = Plan::new(move |_| match seen.fetch_add(1, Ordering::SeqCst) {
        0 => Answer::Refuse,
        _ => Answer::Ok(b"done"),
    });
    let house = House::build(plan).await;
    let ended = house.ended(&house.submit("f", options()).await).await;
    assert_eq!(ended.state(), TaskState::Succeeded);
    assert_eq!((ended.user_retries(), ended.system_retries()), (0, 1));
    assert_eq!(ended.attempts_total(), 2);
}

#[tokio::test]
async fn a_delayed_task_says_when_it_starts() {
    let house = House::build(Plan::new(|_| Answer::Ok(b""))).await;
    let delay = Some(Span::from_secs(7_200));
    let task = house.submit("f", TaskOptions { delay, ..options() }).await;
    house
        .until("the scheduler knows it", async |house| {
            let why = house.engine.task_why(&caller(), &task).await.expect("known");
            matches!(why.cause, Some(Cause::NotYetEligible { .. }))
        })
        .await;
    let soon = TaskOptions { delay: Some(Span::from_millis(30)), ..options() };
    let ended = house.ended(&house.submit("f", soon).await).await;
    let waited = ended.first_started_at().since(ended.order().submitted_at);
    assert!(waited >= Span::from_millis(30), "{waited:?}");
}

#[tokio::test]
async fn a_waiting_and_a_running_task_can_be_stopped() {
    let house = House::build(Plan::new(|_| Answer::Hang)).await;
    let delay = Some(Span::from_secs(3_600));
    let waiting = house.submit("f", TaskOptions { delay, ..options() }).await;
    house.engine.task_stop(&caller(), &waiting, "enough").await.expect("stops");
    let stopped = house.get(&waiting).await;
    assert_eq!((stopped.state(), stopped.attempts_total()), (TaskState::Stopped, 0));
    assert_eq!(stopped.stop_reason(), "enough");

    let running = house.submit("f", options()).await;
    house
        .until("it runs", async |house| house.get(&running).await.state() == TaskState::Running)
        .await;
    house.engine.task_stop(&caller(), &running, "enough").await.expect("stops");
    let stopped = house.ended(&running).await;
    assert_eq!(stopped.state(), TaskState::Stopped);
    let again = house.engine.task_stop(&caller(), &running, "").await.expect_err("has ended");
    assert_eq!(again.code(), Code::AsyncTaskAlreadyFinished);
}

#[tokio::test]
async fn an_ended_task_can_be_run_again() {
    let count = Arc::new(AtomicU32::new(0));
    let seen = Arc::clone(&count);
    let mut plan = Plan::new(move |_| match seen.fetch_add(1, Ordering::SeqCst) {
        0 => Answer::Fail("E"),
        _ => Answer::Ok(b"now"),
    });
    plan.functions[0].1 = quick_retries(0);
    let house = House::build(plan).await;
    let task = house.submit("f", options()).await;
    assert_eq!(house.ended(&task).await.state(), TaskState::Failed);
    house.engine.task_retry(&caller(), &task).await.expect("runs again");
    let ended = house.ended(&task).await;
    assert_eq!((ended.state(), ended.attempts_total()), (TaskState::Succeeded, 2));
}

#[tokio::test]
async fn a_task_waits_for_what_it_depends_on() {
    let house = House::build(Plan::new(|start| match start.task_id.as_deref() {
        Some("bad") => Answer::Fail("BadInput"),
        _ => Answer::Ok(b""),
    }))
    .await;
    let delay = Some(Span::from_millis(40));
    let first = house.submit("f", TaskOptions { delay, ..named("first") }).await;
    let after =
        |task: &TaskRef, when| TaskOptions { depends_on: vec![(task.clone(), when)], ..options() };
    let second = house.submit("g", after(&first, When::Succeeded)).await;
    let why = house.engine.task_why(&caller(), &second).await.expect("known");
    assert!(matches!(why.cause, Some(Cause::HeldByDependency)), "{why:?}");
    let (first, second) = (house.ended(&first).await, house.ended(&second).await);
    assert_eq!(second.state(), TaskState::Succeeded);
    assert!(second.first_started_at() >= first.ended_at());
    // What has ended already holds nothing back.
    let third = house.submit("f", after(&TaskRef::Uid(first.uid()), When::Succeeded)).await;
    assert_eq!(house.ended(&third).await.state(), TaskState::Succeeded);
}

#[tokio::test]
async fn a_dependency_that_ends_badly_makes_the_task_invalid() {
    let mut plan = Plan::new(|start| match start.task_id.as_deref() {
        Some("bad") => Answer::Fail("BadInput"),
        _ => Answer::Ok(b""),
    });
    plan.functions[0].1 = quick_retries(0);
    let house = House::build(plan).await;
    let delay = Some(Span::from_millis(40));
    let bad = house.submit("f", TaskOptions { delay, ..named("bad") }).await;
    let needs = TaskOptions { depends_on: vec![(bad.clone(), When::Succeeded)], ..options() };
    let any = TaskOptions { depends_on: vec![(bad.clone(), When::Ended)], ..options() };
    let (needs, any) = (house.submit("g", needs).await, house.submit("g", any).await);
    assert_eq!(house.ended(&needs).await.state(), TaskState::Invalid);
    assert_eq!(house.ended(&any).await.state(), TaskState::Succeeded);
}

#[tokio::test]
async fn tasks_of_one_order_key_go_one_at_a_time() {
    let house = House::build(Plan::new(|_| Answer::Ok(b""))).await;
    let mut tasks = Vec::new();
    for n in 0..20 {
        let order_key = Some("k".to_owned());
        tasks.push(house.submit("f", TaskOptions { order_key, ..named(&format!("o{n}")) }).await);
    }
    let mut ended = Vec::new();
    for task in &tasks {
        ended.push(house.ended(task).await);
    }
    for pair in ended.windows(2) {
        assert!(pair[0].ended_at() <= pair[1].first_started_at());
    }
}

#[tokio::test]
async fn a_batch_is_all_or_nothing_or_item_by_item() {
    let house = House::build(Plan::new(|_| Answer::Ok(b""))).await;
    house.submit("f", named("taken")).await;
    let items = || -> Vec<_> {
        let item = |id| Ok(Submit { payload: Bytes::new(), options: named(id) });
        ["a", "taken", "b"].map(item).into()
    };
    let function = FunctionRef::latest("f");
    let all =
        house.engine.submit_batch(&caller(), &function, items(), BatchMode::AllOrNothing).await;
    assert_eq!(all.expect_err("refused").code(), Code::AsyncTaskAlreadyExists);
    let each = house.engine.submit_batch(&caller(), &function, items(), BatchMode::PerItem).await;
    let each: Vec<bool> = each.expect("answered").iter().map(Result::is_ok).collect();
    assert_eq!(each, [true, false, true]);
    let item = || Ok(Submit { payload: Bytes::new(), options: named("t") });
    let twice = vec![item(), item()];
    let each = house.engine.submit_batch(&caller(), &function, twice, BatchMode::PerItem).await;
    let each: Vec<bool> = each.expect("answered").iter().map(Result::is_ok).collect();
    assert_eq!(each, [true, false]);
}

#[tokio::test]
async fn an_outcome_goes_to_its_destination_with_the_exact_payload() {
    let mut plan = Plan::new(|start| match start.spec.function_name.as_ref() {
        "f" => Answer::Ok(b"result"),
        _ => Answer::Ok(b""),
    });
    plan.functions[0].1.on_success =
        format!("acs:fc:local:{}:functions/g", stint_model::id::AccountId::ROOT);
    let house = House::build(plan).await;
    let task = house.submit("f", named("source")).await;
    let source = house.ended(&task).await;
    house
        .until("it is delivered", async |house| {
            house.get(&task).await.delivery() == Delivery::Succeeded
        })
        .await;
    let filter = TaskFilter { functions: vec!["g".into()], ..TaskFilter::default() };
    let page = house.engine.task_list(&caller(), &filter, 10, None).await.expect("lists");
    assert_eq!(page.items.len(), 1, "exactly one");
    let Payload::Inline(bytes) = &page.items[0].order().payload else { panic!("small") };
    let body: serde_json::Value = serde_json::from_slice(bytes).expect("JSON");
    assert_eq!(body["requestPayload"], "{}");
    assert_eq!(body["responsePayload"], "result");
    assert_eq!(body["requestContext"]["requestId"], source.order().request_id.as_ref());
    assert_eq!(body["requestContext"]["condition"], "");
    assert_eq!(body["requestContext"]["approximateInvokeCount"], 1);
    assert_eq!(body["responseContext"]["statusCode"], 200);
}

#[tokio::test]
async fn large_payloads_spill_and_come_back() {
    let house = House::build(Plan::new(|_| Answer::Hang)).await;
    let big = Bytes::from(vec![7_u8; 300 << 10]);
    let submit = Submit { payload: big.clone(), options: options() };
    let accepted = house.engine.submit(&caller(), &FunctionRef::latest("f"), submit).await;
    let task = house.get(&TaskRef::Uid(accepted.expect("accepted").uid)).await;
    assert!(matches!(task.order().payload, Payload::Blob { .. }));
    assert_eq!(house.engine.payload(&task.order().payload).await.expect("reads"), big);
    let huge = Submit { payload: Bytes::from(vec![0_u8; (32 << 20) + 1]), options: options() };
    let refused = house.engine.submit(&caller(), &FunctionRef::latest("f"), huge).await;
    assert_eq!(refused.expect_err("too large").code(), Code::EntityTooLarge);
}

#[tokio::test]
async fn a_payload_is_checked_against_the_schema_at_submit() {
    let schema = r#"{"type":"object","required":["url"]}"#;
    let limits =
        FunctionLimits { payload_schema: Some(schema.into()), ..FunctionLimits::default() };
    let mut plan = Plan::new(|_| Answer::Ok(b""));
    plan.functions[0].0 = a_function("f", 1, limits);
    let house = House::build(plan).await;
    let bad = Submit { payload: Bytes::from_static(b"{}"), options: options() };
    let refused = house.engine.submit(&caller(), &FunctionRef::latest("f"), bad).await;
    assert_eq!(refused.expect_err("refused").code(), Code::PayloadSchemaMismatch);
}

#[tokio::test]
async fn higher_priorities_go_first() {
    let mut plan = Plan::new(|_| Answer::Ok(b""));
    let limits = FunctionLimits { concurrency_max: Some(1), ..FunctionLimits::default() };
    plan.functions[0].0 = a_function("f", 1, limits);
    let house = House::build(plan).await;
    let function = FunctionRef::latest("f");
    let items = (0..10_u8).map(|n| {
        let options = TaskOptions { priority: Priority::new(n), ..named(&format!("p{n}")) };
        Ok(Submit { payload: Bytes::new(), options })
    });
    let accepted = house
        .engine
        .submit_batch(&caller(), &function, items.collect(), BatchMode::AllOrNothing)
        .await;
    for result in accepted.expect("accepted") {
        house.ended(&TaskRef::Uid(result.expect("accepted").uid)).await;
    }
    let expected: Vec<String> = (0..10).rev().map(|n| format!("p{n}#1")).collect();
    assert_eq!(house.started(), expected);
}

#[tokio::test]
async fn tasks_are_stopped_and_retried_by_query() {
    let house = House::build(Plan::new(|_| Answer::Ok(b""))).await;
    let delay = Some(Span::from_secs(3_600));
    for n in 0..30 {
        let tags =
            [("batch".to_owned(), if n % 2 == 0 { "even" } else { "odd" }.to_owned())].into();
        house.submit("f", TaskOptions { delay, tags, ..named(&format!("q{n}")) }).await;
    }
    let filter = TaskFilter {
        functions: vec!["f".into()],
        tags: vec![("batch".into(), "even".into())],
        ..TaskFilter::default()
    };
    let dry = house.engine.tasks_stop(&caller(), &filter, true, "enough").await.expect("counts");
    assert_eq!((dry.matched, dry.changed, dry.sample.len()), (15, 0, 15));
    let wet = house.engine.tasks_stop(&caller(), &filter, false, "enough").await.expect("stops");
    assert_eq!((wet.matched, wet.changed), (15, 15));
    let again = house.engine.tasks_stop(&caller(), &filter, false, "enough").await.expect("stops");
    assert_eq!(again.matched, 0);
    let retried = house.engine.tasks_retry(&caller(), &filter, false).await.expect("retries");
    assert_eq!((retried.matched, retried.changed), (15, 15));
}

#[tokio::test]
async fn a_task_of_another_account_is_not_there() {
    let house = House::build(Plan::new(|_| Answer::Ok(b""))).await;
    let task = house.submit("f", options()).await;
    let mut stranger = caller();
    stranger.account = stint_model::id::AccountId::new(5);
    let refused = house.engine.task_get(&stranger, &task).await.expect_err("not theirs");
    assert_eq!(refused.code(), Code::AsyncTaskNotFound);
}
