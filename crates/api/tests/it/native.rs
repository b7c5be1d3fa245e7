//! The native API, end to end over the typed client.

use std::collections::BTreeMap;
use std::time::Duration;

use stint_model::code::Code;
use stint_wire::native::{
    AccountCreate, AccountLimits, AccountPatch, BatchItem, BatchMode, BatchSubmit, BulkRequest,
    FunctionLimits, LogFilter, ProgressReport, RateLimit, RetryPolicy, TaskFilter, TaskSubmit,
};
use stint_wire::time::Seconds;

use crate::house::House;

fn task(id: &str, payload: &str) -> TaskSubmit {
    TaskSubmit {
        task_id: Some(id.into()),
        payload_text: Some(payload.into()),
        ..TaskSubmit::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_is_submitted_waited_for_and_found_again() {
    let house = House::build().await;
    house.function("f").await;
    let client = &house.admin;
    let mut submit = task("a", "hello");
    submit.tags.insert("team".into(), "x".into());
    let accepted = client.task_submit("f", None, &submit).await.unwrap();
    assert_eq!(accepted.task_id, "a");
    let ended = client.task_wait(&accepted.uid, Duration::from_secs(20)).await.unwrap();
    assert_eq!((ended.state.as_str(), ended.result.as_deref()), ("Succeeded", Some("hello")));
    assert_eq!(ended.attempts[0].outcome.as_deref(), Some("ok"));
    assert_eq!(ended.events.last().unwrap().state, "Succeeded");
    client.task_submit("f", None, &task("b", "fail")).await.unwrap();
    let failed = client.task_wait("f/b", Duration::from_secs(20)).await.unwrap();
    assert_eq!(failed.error.unwrap().kind, "ValueError");
    let by = |filter: TaskFilter| async move {
        client.task_list(&filter, false, None, None).await.unwrap().items.len()
    };
    let function = || TaskFilter { function: Some("f".into()), ..TaskFilter::default() };
    assert_eq!(by(function()).await, 2);
    assert_eq!(by(TaskFilter { state: vec!["failed".into()], ..function() }).await, 1);
    let tags = BTreeMap::from([("team".to_owned(), "x".to_owned())]);
    assert_eq!(by(TaskFilter { tags, ..function() }).await, 1);
    assert_eq!(by(TaskFilter { error: Some("ValueError".into()), ..function() }).await, 1);
    assert_eq!(by(TaskFilter { id_prefix: Some("b".into()), ..function() }).await, 1);
    assert_eq!(client.task_count(&function()).await.unwrap(), 2);
    let first = client.task_list(&function(), true, Some(1), None).await.unwrap();
    let next = client.task_list(&function(), true, Some(1), first.next.as_deref()).await.unwrap();
    assert_eq!((first.items[0].task_id.as_str(), next.items[0].task_id.as_str()), ("a", "b"));
    let why = client.task_why("f/b").await.unwrap();
    assert_eq!(why.cause, "ended");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_is_all_or_nothing_or_item_by_item() {
    let house = House::build().await;
    house.function("f").await;
    let client = &house.admin;
    let tasks = (0..500).map(|n| task(&format!("t{n}"), "x")).collect();
    let batch = BatchSubmit { tasks, ..BatchSubmit::default() };
    let done = client.task_submit_batch("f", None, &batch).await.unwrap();
    assert_eq!(done.accepted, 500);
    let mixed = || vec![task("new", "x"), task("t0", "x")];
    let all = BatchSubmit { mode: BatchMode::AllOrNothing, tasks: mixed() };
    let refused = client.task_submit_batch("f", None, &all).await.unwrap_err();
    assert_eq!(refused.code(), Some(Code::AsyncTaskAlreadyExists));
    assert!(refused.to_string().contains("item 1"), "{refused}");
    assert!(client.task_get("f/new").await.is_err());
    let each = BatchSubmit { mode: BatchMode::PerItem, tasks: mixed() };
    let done = client.task_submit_batch("f", None, &each).await.unwrap();
    assert_eq!((done.accepted, done.refused), (1, 1));
    assert!(
        matches!(&done.results[1], BatchItem::Refused(r) if r.code == "AsyncTaskAlreadyExists")
    );
    let none = client.task_submit_batch("f", None, &BatchSubmit::default()).await.unwrap_err();
    assert_eq!(none.code(), Some(Code::InvalidArgument));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_backlog_waits_says_so_and_is_stopped_by_query() {
    let house = House::build().await;
    house.function("f").await;
    let client = &house.admin;
    assert!(client.backlog_pause("f").await.unwrap().paused);
    for id in ["a", "b", "c"] {
        client.task_submit("f", None, &task(id, "x")).await.unwrap();
    }
    let backlog = client.backlog_get("f").await.unwrap();
    assert_eq!(
        (backlog.waiting, backlog.running, backlog.held_by.as_deref()),
        (3, 0, Some("paused"))
    );
    assert_eq!(client.backlog_list(None, None).await.unwrap().items.len(), 1);
    let why = client.task_why("f/b").await.unwrap();
    assert_eq!(why.cause, "paused");
    let mut request = BulkRequest {
        filter: TaskFilter { function: Some("f".into()), ..TaskFilter::default() },
        dry_run: true,
        reason: "test".into(),
    };
    let dry = client.tasks_stop(&request).await.unwrap();
    assert_eq!((dry.matched, dry.changed, dry.sample.len()), (3, 0, 3));
    request.dry_run = false;
    assert_eq!(client.tasks_stop(&request).await.unwrap().changed, 3);
    let stopped = client.task_get("f/a").await.unwrap();
    assert_eq!(stopped.state, "Stopped");
    let again = client.task_stop("f/a", "again").await.unwrap_err();
    assert_eq!((again.code(), again.status()), (Some(Code::AsyncTaskAlreadyFinished), Some(409)));
    client.backlog_resume("f").await.unwrap();
    client.task_retry("f/a").await.unwrap();
    let ended = client.task_wait("f/a", Duration::from_secs(20)).await.unwrap();
    assert_eq!(ended.state, "Succeeded");
    let overview = client.overview().await.unwrap();
    assert_eq!((overview.functions, overview.version.as_str()), (1, "1.2.3"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn progress_is_told_and_logs_are_found_and_followed() {
    let house = House::build().await;
    house.function("f").await;
    let client = &house.admin;
    client.task_submit("f", None, &task("a", "hang")).await.unwrap();
    house.until("it runs", async || client.task_get("f/a").await.unwrap().state == "Running").await;
    let report = ProgressReport { percent: 41.5, message: "frames".into() };
    client.task_progress("f/a", &report).await.unwrap();
    let progress = client.task_get("f/a").await.unwrap().progress.unwrap();
    assert_eq!((progress.percent, progress.message.as_str()), (41.5, "frames"));
    let mut follow = client.task_logs_follow("f/a").await.unwrap();
    assert_eq!(follow.next().await.unwrap().unwrap().text, "begin");
    assert_eq!(follow.next().await.unwrap().unwrap().text, "got 4 bytes");
    client.task_stop("f/a", "enough").await.unwrap();
    assert_eq!(follow.next().await.unwrap(), None, "it ends when the task has");
    let lines = client.task_logs("f/a", None, None).await.unwrap().items;
    assert_eq!(lines.len(), 2);
    assert_eq!((lines[0].function.as_str(), lines[0].attempt), ("f", 1));
    let filter =
        LogFilter { function: Some("f".into()), text: Some("got".into()), ..LogFilter::default() };
    let found = client.log_search(&filter, false, None, None).await.unwrap().items;
    assert_eq!(found.len(), 1);
    let anywhere = LogFilter { text: Some("got".into()), ..LogFilter::default() };
    assert_eq!(client.log_search(&anywhere, false, None, None).await.unwrap().items, found);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_schemas_and_retry_policies() {
    let house = House::build().await;
    house.function("f").await;
    let client = &house.admin;
    let limits = FunctionLimits {
        concurrency_max: Some(2),
        rate: Some(RateLimit { per_second: 0.5, burst: Some(3) }),
        payload_schema: Some(serde_json::json!({"type":"object","required":["url"]})),
        ..FunctionLimits::default()
    };
    assert_eq!(client.limits_put("f", &limits).await.unwrap(), limits);
    assert_eq!(client.limits_get("f").await.unwrap(), limits);
    let refused = client.task_submit("f", None, &task("a", "{}")).await.unwrap_err();
    assert_eq!(refused.code(), Some(Code::PayloadSchemaMismatch));
    let bad = FunctionLimits {
        rate: Some(RateLimit { per_second: -1.0, burst: None }),
        ..FunctionLimits::default()
    };
    assert_eq!(client.limits_put("f", &bad).await.unwrap_err().code(), Some(Code::InvalidArgument));
    let policy = RetryPolicy {
        retries: Some(20),
        backoff: Some("250ms".parse::<Seconds>().unwrap()),
        ..RetryPolicy::default()
    };
    let put = client.retry_policy_put("f", None, &policy).await.unwrap();
    assert_eq!((put.retries, put.backoff), (Some(20), policy.backoff));
    let summary = client.function_summary("f").await.unwrap();
    assert_eq!(summary.limits.concurrency_max, Some(2));
    assert_eq!(client.function_summaries(Some("f"), None, None).await.unwrap().items.len(), 1);
    let runtimes = client.runtime_list().await.unwrap().items;
    assert_eq!(runtimes[0].behind, "/usr/bin/python3.11");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accounts_are_apart() {
    let house = House::build().await;
    house.function("f").await;
    let client = &house.admin;
    let made = client
        .account_create(&AccountCreate { name: "acme".into(), ..AccountCreate::default() })
        .await
        .unwrap();
    let limits = AccountLimits { weight: Some(300), ..AccountLimits::default() };
    let patch = AccountPatch { limits: Some(limits), ..AccountPatch::default() };
    let changed = client.account_update("acme", &patch).await.unwrap();
    assert_eq!((changed.limits.weight, changed.limits.instances_max), (Some(300), Some(300)));
    let key = stint_wire::native::KeyCreate {
        account: Some(made.id.clone()),
        role: "admin".into(),
        ..stint_wire::native::KeyCreate::default()
    };
    let key = client.key_create(&key).await.unwrap();
    let other = house.client(stint_wire::client::Credentials::Key {
        id: key.key.id,
        secret: key.secret.unwrap(),
        security_token: None,
    });
    assert_eq!(other.function_get("f", None).await.unwrap_err().status(), Some(404));
    assert_eq!(other.account_list(None, None).await.unwrap_err().status(), Some(403));
    assert_eq!(other.account_get("acme").await.unwrap().id, made.id);
    assert_eq!(other.account_get("1000000000000001").await.unwrap_err().status(), Some(403));
    assert_eq!(client.account_list(None, None).await.unwrap().items.len(), 2);
    assert!(!client.audit_list(None, None).await.unwrap().items.is_empty());
    assert_eq!(client.setting_list().await.unwrap().items[0].name, "listen");
    assert_eq!(other.setting_list().await.unwrap_err().status(), Some(403));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_narrowed_key_reaches_its_functions_only() {
    let house = House::build().await;
    house.function("img-thumb").await;
    house.function("etl").await;
    let narrowed = house.with_role("developer", &["img-*"]).await;
    narrowed.task_submit("img-thumb", None, &task("a", "x")).await.unwrap();
    let denied = narrowed.task_submit("etl", None, &task("a", "x")).await.unwrap_err();
    assert_eq!((denied.code(), denied.status()), (Some(Code::AccessDenied), Some(403)));
    let all = narrowed.task_list(&TaskFilter::default(), false, None, None).await.unwrap_err();
    assert_eq!(all.status(), Some(403));
}
