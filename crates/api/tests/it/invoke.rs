//! `InvokeFunction`: sync, async, as a task; what comes back in each case.

use stint_model::code::Code;
use stint_wire::client::{Invocation, InvokeOptions};
use stint_wire::time::Seconds;

use crate::house::House;

fn as_task(id: &str) -> InvokeOptions {
    InvokeOptions {
        invocation: Invocation::Async,
        task_id: Some(id.into()),
        ..InvokeOptions::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sync_call_gets_the_functions_answer() {
    let house = House::build().await;
    house.function("f").await;
    let options = InvokeOptions { log_tail: true, ..InvokeOptions::default() };
    let answer = house.admin.invoke("f", "hello", options).await.unwrap();
    assert_eq!((answer.status, &answer.body[..]), (200, &b"hello"[..]));
    assert_eq!(answer.error_type, None);
    assert_eq!(answer.log_tail.as_deref(), Some("the tail\n"));
    assert_eq!(answer.memory_mb.as_deref(), Some("9.20"));
    assert!(answer.instance_id.unwrap().starts_with("c-"));
    assert!(answer.request_id.starts_with("1-"));
    assert!(answer.duration_ms.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_of_the_function_is_an_answer_and_one_of_the_platform_is_not() {
    let house = House::build().await;
    house.function("f").await;
    let plain = InvokeOptions::default;
    let failed = house.admin.invoke("f", "fail", plain()).await.unwrap();
    assert_eq!(failed.status, 200);
    assert_eq!(failed.error_type.as_deref(), Some("UnhandledInvocationError"));
    assert_eq!(&failed.body[..], b"{\"errorMessage\":\"boom\"}");
    let not_started = house.admin.invoke("f", "not-started", plain()).await.unwrap_err();
    assert_eq!(
        (not_started.code(), not_started.status()),
        (Some(Code::FunctionNotStarted), Some(412))
    );
    let full = house.admin.invoke("f", "full", plain()).await.unwrap_err();
    assert!(matches!(full.status(), Some(429 | 503)), "{full}");
    let absent = house.admin.invoke("g", "x", plain()).await.unwrap_err();
    assert_eq!((absent.code(), absent.status()), (Some(Code::FunctionNotFound), Some(404)));
    let options = InvokeOptions { qualifier: Some("prod".into()), ..plain() };
    let alias = house.admin.invoke("f", "x", options).await.unwrap_err();
    assert_eq!(alias.code(), Some(Code::AliasNotFound));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_streamed_answer_arrives_whole_or_breaks_off() {
    let house = House::build().await;
    house.function("f").await;
    let answer = house.admin.invoke("f", "stream", InvokeOptions::default()).await.unwrap();
    assert_eq!(&answer.body[..], b"one two ");
    let broken = house.admin.invoke("f", "break", InvokeOptions::default()).await;
    assert!(broken.is_err(), "a part must not be taken for the whole");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_is_there_right_after_202_and_refused_twice() {
    let house = House::build().await;
    house.function("f").await;
    let accepted = house.admin.invoke("f", "{\"a\":1}", as_task("job-1")).await.unwrap();
    assert_eq!((accepted.status, accepted.body.len()), (202, 0));
    assert_eq!(accepted.task_id.as_deref(), Some("job-1"));
    let task = house.admin.async_task_get("f", "job-1").await.unwrap();
    assert_eq!(task.request_id, accepted.request_id);
    assert_eq!(task.task_payload.as_deref(), Some("{\"a\":1}"));
    assert_eq!(task.events[0].status, "Enqueued");
    let twice = house.admin.invoke("f", "{}", as_task("job-1")).await.unwrap_err();
    assert_eq!((twice.code(), twice.status()), (Some(Code::AsyncTaskAlreadyExists), Some(409)));
    house
        .until("the task succeeds", async || {
            house.admin.async_task_get("f", "job-1").await.unwrap().status == "Succeeded"
        })
        .await;
    let task = house.admin.async_task_get("f", "job-1").await.unwrap();
    assert_eq!(task.return_payload.as_deref(), Some("{\"a\":1}"));
    assert!(task.end_time >= task.started_time && task.started_time > 0);
    assert_eq!(task.function_arn, "acs:fc:local:1000000000000001:functions/f");
    let absent = house.admin.async_task_get("f", "nobody").await.unwrap_err();
    assert_eq!(absent.code(), Some(Code::AsyncTaskNotFound));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delay_and_the_native_headers_reach_the_task() {
    let house = House::build().await;
    house.function("f").await;
    let options = InvokeOptions {
        delay: Some(Seconds(stint_model::time::Span::from_secs(86_400))),
        headers: vec![
            ("x-stint-priority", "9".into()),
            ("x-stint-tags", "team=a,kind=b".into()),
            ("x-stint-order-key", "o".into()),
        ],
        ..as_task("later")
    };
    house.admin.invoke("f", "x", options).await.unwrap();
    let task = house.admin.task_get("f/later").await.unwrap();
    assert_eq!((task.state.as_str(), task.priority), ("Enqueued", 9));
    assert_eq!(task.tags["team"], "a");
    assert_eq!(task.order_key.as_deref(), Some("o"));
    let wait = task.eligible_at.unwrap().0.since(task.submitted_at.0);
    assert_eq!(wait.secs(), 86_400);
    let why = house.admin.task_why("f/later").await.unwrap();
    assert_eq!(why.cause, "delayed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn payloads_over_the_inline_bound_are_accepted_and_over_the_limit_refused() {
    let house = House::build().await;
    house.function("f").await;
    let large = vec![b'x'; 300 << 10];
    house.admin.invoke("f", large.clone(), as_task("large")).await.unwrap();
    let payload = house.admin.task_payload("f/large").await.unwrap();
    assert_eq!(payload.len(), large.len());
    let over = vec![b'x'; (32 << 20) + 1];
    let refused = house.admin.invoke("f", over, as_task("over")).await;
    // The server may close before everything was sent.
    if let Err(error) = refused {
        assert!(matches!(error.code(), None | Some(Code::EntityTooLarge)), "{error}");
    } else {
        panic!("over the limit");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_neither_sync_nor_async_is_refused() {
    let house = House::build().await;
    house.function("f").await;
    let options = InvokeOptions {
        headers: vec![("x-fc-invocation-type", "Sometimes".into())],
        ..InvokeOptions::default()
    };
    let refused = house.admin.invoke("f", "x", options).await.unwrap_err();
    assert_eq!(refused.code(), Some(Code::InvalidArgument));
    let options = InvokeOptions { task_id: Some("1-bad".into()), ..as_task("") };
    let refused = house.admin.invoke("f", "x", options).await.unwrap_err();
    assert_eq!(refused.code(), Some(Code::InvalidArgument));
}
