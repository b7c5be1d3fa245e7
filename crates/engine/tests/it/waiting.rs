//! What waits: too old wherever it waits, and for each other within a batch.

use bytes::Bytes;
use stint_engine::{BatchMode, FunctionRef, Submit, TaskOptions, TaskRef};
use stint_model::code::{Code, Refusal};
use stint_model::task::{TaskState, When};
use stint_model::time::Span;

use crate::house::{Answer, House, Plan, caller};

fn named(id: &str) -> TaskOptions {
    TaskOptions { task_id: Some(id.to_owned()), ..TaskOptions::default() }
}

fn by_name(id: &str) -> TaskRef {
    TaskRef::Named { function: "f".into(), task_id: id.into() }
}

/// An item that waits for others by their names.
fn item(id: &str, others: &[&str]) -> Result<Submit, Refusal> {
    let depends_on = others.iter().map(|other| (by_name(other), When::Succeeded)).collect();
    Ok(Submit { payload: Bytes::new(), options: TaskOptions { depends_on, ..named(id) } })
}

async fn batch(
    house: &House,
    items: &[(&str, &[&str])],
    mode: BatchMode,
) -> Result<Vec<Result<(), Refusal>>, Refusal> {
    let items = items.iter().map(|(id, others)| item(id, others)).collect();
    let function = FunctionRef::latest("f");
    match house.engine.submit_batch(&caller(), &function, items, mode).await {
        Ok(results) => Ok(results.into_iter().map(|result| result.map(drop)).collect()),
        Err(stint_engine::EngineError::Refused(refusal)) => Err(refusal),
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_task_expires_on_time_wherever_it_waits() {
    let mut plan = Plan::new(|_| Answer::Hang);
    plan.functions[0].0.paused = true;
    plan.functions[1].0.limits.concurrency_max = Some(1);
    let house = House::build(plan).await;
    let deadline = house.clock.now() + Span::from_millis(60);
    let aging = || TaskOptions { deadline: Some(deadline), ..TaskOptions::default() };
    // Runs for ever, and is in everybody's way.
    let key = || Some("one".to_owned());
    let hanging =
        house.submit("g", TaskOptions { order_key: key(), ..TaskOptions::default() }).await;
    house.until("it runs", async |house| house.started().len() == 1).await;
    let depends_on = vec![(hanging, When::Ended)];
    let delay = Some(Span::from_secs(3_600));
    let waiting = [
        house.submit("f", aging()).await,
        house.submit("g", aging()).await,
        house.submit("g", TaskOptions { order_key: key(), ..aging() }).await,
        house.submit("g", TaskOptions { depends_on, ..aging() }).await,
        house.submit("g", TaskOptions { delay, ..aging() }).await,
    ];
    for task in &waiting {
        let ended = house.ended(task).await;
        assert_eq!(ended.state(), TaskState::Expired);
        assert!(ended.ended_at() >= deadline);
        assert!(ended.ended_at().since(deadline) < Span::from_secs(5));
    }
    assert_eq!(house.started().len(), 1, "none of them ran");
}

#[tokio::test]
async fn an_attempt_that_says_nothing_fails_and_is_retried() {
    let house = House::build(Plan::new(|start| {
        if start.lease.attempt == 1 { Answer::Hang } else { Answer::Ok(b"") }
    }))
    .await;
    let heartbeat = Some(Span::from_secs(1));
    let backoff_base = Some(Span::from_millis(1));
    let options = TaskOptions { heartbeat, backoff_base, ..TaskOptions::default() };
    let ended = house.ended(&house.submit("f", options).await).await;
    assert_eq!((ended.state(), ended.user_retries()), (TaskState::Succeeded, 1));
    let first = ended.attempts()[0].outcome.clone();
    let Some(stint_model::task::AttemptOutcome::UserError(error)) = first else {
        panic!("{first:?}")
    };
    assert_eq!(error.kind, "HeartbeatTimeout");
}

#[tokio::test]
async fn what_waits_for_an_expired_task_is_told() {
    let mut plan = Plan::new(|_| Answer::Ok(b""));
    plan.functions[0].0.paused = true;
    let house = House::build(plan).await;
    let deadline = Some(house.clock.now() + Span::from_millis(20));
    let first = house.submit("f", TaskOptions { deadline, ..named("first") }).await;
    let after =
        |when| TaskOptions { depends_on: vec![(first.clone(), when)], ..TaskOptions::default() };
    let strict = house.submit("g", after(When::Succeeded)).await;
    let loose = house.submit("g", after(When::Ended)).await;
    assert_eq!(house.ended(&first).await.state(), TaskState::Expired);
    assert_eq!(house.ended(&strict).await.state(), TaskState::Invalid);
    assert_eq!(house.ended(&loose).await.state(), TaskState::Succeeded);
}

#[tokio::test]
async fn items_of_a_batch_wait_for_each_other_in_any_order() {
    let house = House::build(Plan::new(|_| Answer::Ok(b""))).await;
    let items: [(&str, &[&str]); 4] = [
        ("merge", &["left", "right"]),
        ("left", &["split"]),
        ("right", &["split"]),
        ("split", &[]),
    ];
    let done = batch(&house, &items, BatchMode::AllOrNothing).await.expect("accepted");
    assert!(done.iter().all(Result::is_ok));
    let merge = house.ended(&by_name("merge")).await;
    assert_eq!(merge.state(), TaskState::Succeeded);
    let started = house.started();
    assert_eq!((started[0].as_str(), started[3].as_str()), ("split#1", "merge#1"), "{started:?}");
}

#[tokio::test]
async fn a_circle_is_refused() {
    let house = House::build(Plan::new(|_| Answer::Ok(b""))).await;
    let items: [(&str, &[&str]); 4] = [("a", &["b"]), ("b", &["a"]), ("c", &["a"]), ("free", &[])];
    let refused = batch(&house, &items, BatchMode::AllOrNothing).await.expect_err("refused");
    assert_eq!(refused.code, Code::InvalidArgument);
    assert!(refused.message.contains("item 0: dependsOn goes in a circle"), "{refused:?}");
    let each = batch(&house, &items, BatchMode::PerItem).await.expect("answered");
    let good: Vec<bool> = each.iter().map(Result::is_ok).collect();
    assert_eq!(good, [false, false, false, true]);
    assert_eq!(house.ended(&by_name("free")).await.state(), TaskState::Succeeded);
}

#[tokio::test]
async fn what_waits_for_a_refused_item_is_refused_with_it() {
    let house = House::build(Plan::new(|_| Answer::Ok(b""))).await;
    house.submit("f", named("taken")).await;
    let items: [(&str, &[&str]); 5] = [
        ("last", &["middle"]),
        ("middle", &["taken"]),
        ("taken", &[]),
        ("lost", &["nobody"]),
        ("fine", &[]),
    ];
    let each = batch(&house, &items, BatchMode::PerItem).await.expect("answered");
    let codes: Vec<_> = each.iter().map(|r| r.as_ref().err().map(|r| r.code)).collect();
    let invalid = Some(Code::InvalidArgument);
    let (taken, lost) = (Some(Code::AsyncTaskAlreadyExists), Some(Code::AsyncTaskNotFound));
    assert_eq!(codes, [invalid, invalid, taken, lost, None]);
    let all = batch(&house, &items, BatchMode::AllOrNothing).await.expect_err("refused");
    assert_eq!(all.code, Code::AsyncTaskNotFound, "nothing was accepted before");
}

#[tokio::test]
async fn a_dependency_has_to_be_there_and_of_the_same_account() {
    let house = House::build(Plan::new(|_| Answer::Ok(b""))).await;
    let known = house.submit("f", TaskOptions::default()).await;
    let TaskRef::Uid(uid) = known else { unreachable!("submit gives a uid") };
    let never = stint_model::id::TaskUid::from_number(uid.number() + 1_000_000);
    let depends_on = vec![(TaskRef::Uid(never), When::Ended)];
    let submit = Submit {
        payload: Bytes::new(),
        options: TaskOptions { depends_on, ..TaskOptions::default() },
    };
    let refused = house.engine.submit(&caller(), &FunctionRef::latest("f"), submit).await;
    assert_eq!(refused.expect_err("refused").code(), Code::AsyncTaskNotFound);
}

#[tokio::test]
async fn a_task_that_ran_again_does_not_disturb_what_waited_for_it() {
    let house = House::build(Plan::new(|start| match start.spec.function_name.as_ref() {
        "f" => Answer::Ok(b""),
        _ => Answer::Hang,
    }))
    .await;
    let first = house.submit("f", named("first")).await;
    let depends_on = vec![(first.clone(), When::Succeeded)];
    let second = house.submit("g", TaskOptions { depends_on, ..TaskOptions::default() }).await;
    house.until("both ran", async |house| house.started().len() == 2).await;
    house.engine.task_retry(&caller(), &first).await.expect("runs again");
    house.until("it ran again", async |house| house.started().len() == 3).await;
    house.ended(&first).await;
    house.engine.task_stop(&caller(), &second, "enough").await.expect("it runs");
    assert_eq!(house.ended(&second).await.state(), TaskState::Stopped);
    let again = house.engine.task_stop(&caller(), &second, "again").await;
    assert_eq!(again.expect_err("it has ended").code(), Code::AsyncTaskAlreadyFinished);
}
