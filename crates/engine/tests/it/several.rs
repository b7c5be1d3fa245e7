//! Several shards: letters carry what crosses them.

use stint_engine::{TaskFilter, TaskOptions};
use stint_model::id::AccountId;
use stint_model::shard::Shard;
use stint_model::task::{Delivery, TaskState, When};
use stint_model::time::Span;

use crate::house::{Answer, House, Plan, ROOT, caller};

/// Two shards in which "f" and "g" do not live together.
fn apart() -> u16 {
    (2..64)
        .find(|count| {
            Shard::of_function(ROOT, "f", *count) != Shard::of_function(ROOT, "g", *count)
        })
        .expect("some count parts them")
}

#[tokio::test]
async fn a_dependency_crosses_shards() {
    let mut plan = Plan::new(|_| Answer::Ok(b""));
    plan.shards = apart();
    let house = House::build(plan).await;
    let delay = Some(Span::from_millis(40));
    let first = house.submit("f", TaskOptions { delay, ..TaskOptions::default() }).await;
    let depends_on = vec![(first.clone(), When::Succeeded)];
    let second = house.submit("g", TaskOptions { depends_on, ..TaskOptions::default() }).await;
    let (first, second) = (house.ended(&first).await, house.ended(&second).await);
    assert_ne!(first.uid().shard(), second.uid().shard());
    assert_eq!(second.state(), TaskState::Succeeded);
    assert!(second.first_started_at() >= first.ended_at());
}

#[tokio::test]
async fn a_dependency_that_ended_before_is_told_by_letter() {
    let mut plan = Plan::new(|_| Answer::Ok(b""));
    plan.shards = apart();
    let house = House::build(plan).await;
    let first = house.submit("f", TaskOptions::default()).await;
    house.ended(&first).await;
    let depends_on = vec![(first, When::Succeeded)];
    let second = house.submit("g", TaskOptions { depends_on, ..TaskOptions::default() }).await;
    assert_eq!(house.ended(&second).await.state(), TaskState::Succeeded);
}

#[tokio::test]
async fn an_outcome_crosses_shards_once() {
    let mut plan = Plan::new(|_| Answer::Ok(b"x"));
    plan.shards = apart();
    plan.functions[0].1.on_success = format!("acs:fc:local:{}:functions/g", AccountId::ROOT);
    let house = House::build(plan).await;
    let task = house.submit("f", TaskOptions::default()).await;
    house.ended(&task).await;
    house
        .until("it is delivered", async |house| {
            house.get(&task).await.delivery() == Delivery::Succeeded
        })
        .await;
    let filter = TaskFilter {
        functions: vec!["g".into()],
        states: vec![TaskState::Succeeded],
        ..TaskFilter::default()
    };
    house
        .until("it ran", async |house| {
            house.engine.task_count(&caller(), &filter).await.expect("counts") == 1
        })
        .await;
}
