//! Messages of queues: held, deleted, seen again, put aside, expired; and what a crash or a failed commit
//! leaves of them.

use stint_message::{MessageConfig, QueuePatch};
use stint_model::code::Code;
use stint_model::message::DeadLetter;
use stint_store::memory::Fault;
use stint_store::{Kind, Store as _};

use crate::house::{House, caller};

async fn records(house: &House) -> usize {
    house.store.record_list(Kind::Message, "", None, 10_000).await.expect("reads").items.len()
}

#[tokio::test]
async fn what_was_answered_survives_a_crash() {
    let house = House::new();
    house.queue("q", QueuePatch::default()).await;
    for body in ["a", "b", "c"] {
        house.send("q", body).await;
    }
    let taken = house.take("q", 2).await;
    assert!(house.delete("q", &taken[0]).await);
    let house = house.crash();
    assert_eq!(house.bodies("q").await, ["c"], "a is deleted, b is held");
    assert!(house.delete("q", &taken[1]).await, "its holder is still its holder");
    house.pass(31);
    assert_eq!(house.bodies("q").await, ["c"]);
    assert_eq!(records(&house).await, 2, "one message and what became of it");
}

#[tokio::test]
async fn a_failed_commit_is_told_and_everything_goes_on_from_the_book() {
    for fault in [Fault::NotWritten, Fault::WrittenUnanswered] {
        let house = House::new();
        house.queue("q", QueuePatch::default()).await;
        house.send("q", "first").await;
        house.store.fail_next_commit(fault);
        let content = stint_model::message::Content { body: "second".into(), ..Default::default() };
        let message = stint_message::Outgoing { content, ..Default::default() };
        let failed = house.messages.send(&caller(), "q", vec![message]).await;
        assert_eq!(failed.expect_err("not on disk").code(), Code::InternalServerError);
        house.pass(1);
        let expected: &[&str] = match fault {
            Fault::NotWritten => &["first"],
            Fault::WrittenUnanswered => &["first", "second"],
        };
        assert_eq!(house.bodies("q").await, expected, "{fault:?}");
    }
}

#[tokio::test]
async fn a_receive_waits_and_what_nobody_takes_is_not_taken() {
    let house = House::new();
    house.queue("q", QueuePatch::default()).await;
    let who = caller();
    {
        // Gone before anything came.
        let gone = house.messages.receive(&who, "q", (1, Some(30)));
        let mut gone = std::pin::pin!(gone);
        let polled = tokio::select! { biased; _ = &mut gone => true, () = tokio::task::yield_now() => false };
        assert!(!polled);
    }
    let waiting = house.messages.receive(&who, "q", (1, Some(30)));
    let sending = async {
        tokio::task::yield_now().await;
        house.send("q", "m").await;
    };
    let (received, ()) = tokio::join!(waiting, sending);
    let received = received.expect("received");
    assert_eq!((received.len(), received[0].life.received), (1, 1));
    let late = house.messages.receive(&who, "q", (1, Some(20)));
    let passing = async {
        tokio::task::yield_now().await;
        house.pass(20);
    };
    let (late, ()) = tokio::join!(late, passing);
    assert_eq!(late.expect("an answer").len(), 0);
}

#[tokio::test]
async fn a_dead_letter_is_moved_in_one_commit_also_when_its_body_is_on_disk_only() {
    for cache_bytes_max in [0, 1 << 20] {
        let house = House::with(MessageConfig { cache_bytes_max, ..MessageConfig::new("local") });
        house.queue("dead", QueuePatch::default()).await;
        let dead = DeadLetter { queue: "dead".into(), receives_max: 2 };
        let patch = QueuePatch { dead_letter: Some(Some(dead)), ..QueuePatch::default() };
        house.queue("q", patch).await;
        house.send("q", "poison").await;
        for count in 1..=2 {
            let taken = house.take("q", 1).await;
            assert_eq!(taken[0].life.received, count);
            house.pass(31);
        }
        let house = house.crash();
        assert_eq!(house.take("q", 1).await.len(), 0);
        house.until("it is moved", async || house.bodies("dead").await == ["poison"]).await;
        assert_eq!(house.messages.queue_get(&caller(), "q").await.unwrap().active, 0);
        assert_eq!(records(&house).await, 2);
    }
}

#[tokio::test]
async fn what_is_too_old_goes_by_itself() {
    let house = House::new();
    let patch = QueuePatch { retention_secs: Some(60), ..QueuePatch::default() };
    house.queue("q", patch).await;
    house.send("q", "old").await;
    house.pass(30);
    house.send("q", "new").await;
    house.pass(30);
    house.until("the old one is gone", async || records(&house).await == 1).await;
    assert_eq!(house.bodies("q").await, ["new"]);
}

#[tokio::test]
async fn an_emptied_queue_is_empty_at_once_and_swept_in_steps() {
    let house = House::new();
    house.queue("q", QueuePatch::default()).await;
    for _ in 0..30 {
        house.send("q", "m").await;
    }
    let held = house.take("q", 1).await;
    let view = house.messages.queue_purge(&caller(), "q").await.expect("emptied");
    assert_eq!((view.active, view.inactive), (0, 0));
    assert!(!house.delete("q", &held[0]).await, "an old receipt is nothing");
    house.send("q", "after").await;
    let house = house.crash();
    house.until("the book is swept", async || records(&house).await == 1).await;
    assert_eq!(house.bodies("q").await, ["after"]);
    house.messages.queue_delete(&caller(), "q").await.expect("deleted");
    house.until("the book is empty", async || records(&house).await == 0).await;
}

#[tokio::test]
async fn bounds_are_named() {
    let config = MessageConfig { messages_max: 2, queues_max: 1, ..MessageConfig::new("local") };
    let house = House::with(config);
    house.queue("q", QueuePatch::default()).await;
    let more = house.messages.queue_create(&caller(), "r", QueuePatch::default()).await;
    assert_eq!(more.expect_err("too many").code(), Code::LimitExceededError);
    house.send("q", "a").await;
    house.send("q", "b").await;
    let full = house.messages.send(&caller(), "q", vec![Default::default()]).await;
    assert_eq!(full.expect_err("full").code(), Code::ResourceExhausted);
    let none = house.messages.send(&caller(), "none", vec![Default::default()]).await;
    assert_eq!(none.expect_err("no queue").code(), Code::QueueNotExist);
}
