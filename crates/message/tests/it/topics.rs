//! Publications: into queues in one commit, to endpoints and functions until they are taken or given up.

use std::sync::atomic::Ordering;

use stint_message::{Publication, QueuePatch, TopicPatch};
use stint_model::message::{
    Content, ContentFormat, Endpoint, NotifyStrategy, SubscriptionSettings,
};

use crate::house::{House, caller};

async fn subscribed(house: &House, endpoint: Endpoint, filter_tag: Option<&str>) {
    let settings = SubscriptionSettings {
        endpoint,
        filter_tag: filter_tag.map(str::to_owned),
        strategy: NotifyStrategy::Decay,
        format: ContentFormat::Simplified,
    };
    house.messages.topic_create(&caller(), "t", TopicPatch::default()).await.expect("made");
    house.messages.subscribe(&caller(), ("t", "s"), settings).await.expect("subscribed");
}

async fn publish(house: &House, body: &str, tag: Option<&str>) {
    let content =
        Content { body: body.to_owned(), tag: tag.map(str::to_owned), ..Content::default() };
    house.messages.publish(&caller(), "t", Publication { content }).await.expect("published");
}

async fn waiting(house: &House) -> usize {
    house.messages.topic_get(&caller(), "t").await.expect("there").waiting
}

#[tokio::test]
async fn a_notification_is_tried_until_it_is_taken_over_a_crash_too() {
    let house = House::new();
    subscribed(&house, Endpoint::Http("http://x/y".into()), None).await;
    house.world.failures.store(2, Ordering::Release);
    publish(&house, "m", None).await;
    let tries = |house: &House| house.world.posts.lock().unwrap().len();
    house.until("the first try", async || tries(&house) == 1).await;
    house.until("it is put off", async || waiting(&house).await == 1).await;
    let house = house.crash();
    for count in 2..=3 {
        house
            .until("the next try", async || {
                // Whether the loop sleeps already is not known: time goes on in small steps.
                house.pass(1);
                tries(&house) >= count
            })
            .await;
    }
    house.until("it is delivered", async || waiting(&house).await == 0).await;
    let posts = house.world.posts.lock().unwrap().clone();
    assert!(posts.iter().all(|post| post.body == "m" && post.url == "http://x/y"));
}

#[tokio::test]
async fn a_function_gets_the_same_key_for_every_try() {
    let house = House::new();
    subscribed(&house, Endpoint::Function("f".into(), "LATEST".into()), Some("g")).await;
    house.world.failures.store(1, Ordering::Release);
    publish(&house, "other", Some("h")).await;
    publish(&house, "m", Some("g")).await;
    house
        .until("two tries", async || {
            house.pass(1);
            house.world.calls.lock().unwrap().len() == 2
        })
        .await;
    let calls = house.world.calls.lock().unwrap().clone();
    assert_eq!(calls[0], calls[1]);
    assert_eq!((calls[0].function.as_str(), calls[0].payload.as_str()), ("f", "m"));
}

#[tokio::test]
async fn a_queue_gets_it_at_once_or_when_it_is_there() {
    let house = House::new();
    subscribed(&house, Endpoint::Queue("q".into()), None).await;
    publish(&house, "early", None).await;
    house.until("it waits", async || waiting(&house).await == 1).await;
    house.queue("q", QueuePatch::default()).await;
    publish(&house, "late", None).await;
    assert_eq!(house.bodies("q").await, ["late"]);
    house
        .until("the early one comes", async || {
            house.pass(1);
            house.bodies("q").await == ["early"]
        })
        .await;
}
