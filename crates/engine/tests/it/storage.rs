//! The limit on what an account keeps: code, layers, large payloads and large results.

use bytes::Bytes;
use stint_engine::control::accounts::AccountPatch;
use stint_engine::{EngineError, FunctionRef, Submit, TaskOptions, TaskRef};
use stint_model::account::AccountLimits;
use stint_model::code::Code;
use stint_model::payload::Payload;
use stint_model::task::TaskState;

use crate::control::{create, zip_of};
use crate::house::{Answer, House, Plan, ROOT, caller};

/// More than stays in the book.
static LARGE: [u8; 2 << 20] = [b'x'; 2 << 20];

async fn limited(house: &House, bytes: u64) {
    house.engine.bootstrap(None).await.expect("a root account");
    let limits = AccountLimits { storage_bytes_max: Some(bytes), ..AccountLimits::default() };
    let patch = AccountPatch { limits: Some(limits), ..AccountPatch::default() };
    house.engine.account_update(&caller(), ROOT, &patch).await.expect("limited");
}

async fn submit(house: &House, bytes: usize, id: Option<&str>) -> Result<TaskRef, EngineError> {
    let options = TaskOptions { task_id: id.map(str::to_owned), ..TaskOptions::default() };
    let submit = Submit { payload: Bytes::from(vec![7_u8; bytes]), options };
    let accepted = house.engine.submit(&caller(), &FunctionRef::latest("f"), submit).await?;
    Ok(TaskRef::Uid(accepted.uid))
}

fn code_of<T>(result: Result<T, EngineError>) -> Code {
    result.map(drop).expect_err("should be refused").code()
}

#[tokio::test]
async fn payloads_fit_or_are_refused() {
    let house = House::build(Plan::new(|_| Answer::Hang)).await;
    limited(&house, 700_000).await;
    for id in ["a", "b"] {
        submit(&house, 300_000, Some(id)).await.expect("fits");
    }
    assert_eq!(code_of(submit(&house, 300_000, Some("c")).await), Code::QuotaExceeded);
    assert_eq!(house.engine.storage_use(ROOT).tasks, 600_000);
    submit(&house, 1_000, Some("small")).await.expect("the book takes small ones");
}

#[tokio::test]
async fn what_is_refused_takes_nothing() {
    let house = House::build(Plan::new(|_| Answer::Hang)).await;
    limited(&house, 1_000_000).await;
    submit(&house, 300_000, Some("a")).await.expect("fits");
    for _ in 0..5 {
        let again = submit(&house, 300_000, Some("a")).await;
        assert_eq!(code_of(again), Code::AsyncTaskAlreadyExists);
    }
    assert_eq!(house.engine.storage_use(ROOT).tasks, 300_000);
}

#[tokio::test]
async fn a_result_that_does_not_fit_is_told_and_the_task_ends_well() {
    let house = House::build(Plan::new(|_| Answer::Ok(&LARGE))).await;
    limited(&house, 3 << 20).await;
    let first = submit(&house, 0, None).await.expect("accepted");
    let first = house.ended(&first).await;
    assert!(matches!(first.result(), Payload::Blob { len: 2_097_152, .. }));
    let second = submit(&house, 0, None).await.expect("accepted");
    let second = house.ended(&second).await;
    assert_eq!((second.state(), second.result().len()), (TaskState::Succeeded, 0));
    let detail = &second.events().last().expect("events").detail;
    let detail: serde_json::Value = serde_json::from_str(detail).expect("JSON");
    let note = detail["Note"].as_str().expect("a note");
    assert!(note.starts_with("the result was not kept: 2097152 more bytes do not fit"), "{note}");
}

#[tokio::test]
async fn code_fits_or_is_refused_and_may_be_replaced() {
    let house = House::build(Plan::new(|_| Answer::Ok(b""))).await;
    let engine = &house.engine;
    engine.function_create(&caller(), create("one")).await.expect("created");
    let size = engine.storage_use(ROOT).code;
    assert!(size > 0);
    limited(&house, size + size / 2).await;
    let refused = engine.function_create(&caller(), create("two")).await;
    assert_eq!(code_of(refused), Code::QuotaExceeded);
    let code = Some(zip_of("def handler(event, context): return None"));
    let update = stint_engine::control::functions::FunctionUpdate { code, ..Default::default() };
    engine.function_update(&caller(), "one", update.clone()).await.expect("in its place");
    engine.version_publish(&caller(), "one", "").await.expect("published");
    let refused = engine.function_update(&caller(), "one", update).await;
    assert_eq!(code_of(refused), Code::QuotaExceeded, "the version keeps the old code");
}
