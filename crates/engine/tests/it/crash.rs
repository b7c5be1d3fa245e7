//! The process dies at any moment: nothing acknowledged is lost, and each task settles once.

use stint_engine::{FunctionRef, Submit, TaskOptions, TaskRef};
use stint_model::task::TaskState;
use stint_store::memory::Fault;
use stint_supervise::Clock;

use crate::house::{Answer, House, Plan, caller};

#[tokio::test]
async fn what_was_accepted_survives_and_runs_again() {
    let house = House::build(Plan::new(|_| Answer::Hang)).await;
    let mut tasks = Vec::new();
    for _ in 0..100 {
        tasks.push(house.submit("f", TaskOptions::default()).await);
    }
    house.until("some run", async |house| house.started().len() >= 10).await;
    let book = house.crash();
    let house = House::open(book, Plan::new(|_| Answer::Ok(b""))).await;
    for task in &tasks {
        let ended = house.ended(task).await;
        assert_eq!(ended.state(), TaskState::Succeeded);
        assert_eq!(ended.user_retries(), 0, "a lost lease is not charged");
    }
}

#[tokio::test]
async fn a_failed_commit_is_told_and_the_shard_goes_on() {
    let house = House::build(Plan::new(|_| Answer::Ok(b""))).await;
    let done = house.submit("f", TaskOptions::default()).await;
    house.ended(&done).await;
    house.store.fail_next_commit(Fault::NotWritten);
    let submit = Submit { payload: bytes::Bytes::new(), options: TaskOptions::default() };
    let failed = house.engine.submit(&caller(), &FunctionRef::latest("f"), submit).await;
    assert!(failed.is_err(), "what was not written is not acknowledged");
    let next = house.submit("f", TaskOptions::default()).await;
    assert_eq!(house.ended(&next).await.state(), TaskState::Succeeded);
}

#[tokio::test]
async fn a_commit_without_an_answer_may_have_happened() {
    let house = House::build(Plan::new(|_| Answer::Ok(b""))).await;
    house.store.fail_next_commit(Fault::WrittenUnanswered);
    let id = || TaskOptions { task_id: Some("maybe".into()), ..TaskOptions::default() };
    let submit = || Submit { payload: bytes::Bytes::new(), options: id() };
    let function = FunctionRef::latest("f");
    assert!(house.engine.submit(&caller(), &function, submit()).await.is_err());
    // The client's idiom: the same id again; "exists" means accepted.
    assert!(house.engine.submit(&caller(), &function, submit()).await.is_err());
    let task = TaskRef::Named { function: "f".into(), task_id: "maybe".into() };
    assert_eq!(house.ended(&task).await.state(), TaskState::Succeeded);
}

#[tokio::test]
async fn a_second_owner_deposes_the_first() {
    use stint_store::Store as _;
    let house = House::build(Plan::new(|_| Answer::Ok(b""))).await;
    let now = Clock::start().now();
    house.store.shard_open(stint_model::shard::Shard::FIRST, now).await.expect("opens");
    let submit = Submit { payload: bytes::Bytes::new(), options: TaskOptions::default() };
    let refused = house.engine.submit(&caller(), &FunctionRef::latest("f"), submit).await;
    assert!(refused.is_err());
    assert!(house.store.tasks().is_empty(), "a deposed owner writes nothing");
}
