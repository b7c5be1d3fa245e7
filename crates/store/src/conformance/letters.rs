//! Laws of what crosses shards.

use std::time::Duration;

use bytes::Bytes;
use stint_model::shard::{Fence, LetterId, Shard};

use super::life::Lives;
use super::shards::{commit, open};
use super::tasks::row;
use crate::batch::{Batch, Letter};
use crate::store::{CommitError, Store};

const FROM: Shard = Shard::new(1);
const TO: Shard = Shard::new(2);

fn letter(number: u64) -> Letter {
    let body = Bytes::from(format!("letter {number}"));
    Letter { id: LetterId { from: FROM, number }, to: TO, body }
}

async fn send(store: &dyn Store, fence: Fence, number: u64) {
    commit(store, fence, |batch| batch.sends.push(letter(number))).await;
}

async fn mailbox(store: &dyn Store, to: Shard) -> Vec<Letter> {
    store.letter_list(to, 100).await.expect("lists")
}

async fn apply(store: &dyn Store, fence: Fence, number: u64) -> Result<(), CommitError> {
    let mut batch = Batch::new(fence);
    batch.applies.push(letter(number).id);
    store.commit(batch).await.map(|_| ())
}

/// In its receiver's box and in no other.
pub async fn a_letter_waits_until_it_is_applied(store: &dyn Store) {
    let (from, to) = (open(store, FROM).await, open(store, TO).await);
    send(store, from, 5).await;
    assert_eq!(mailbox(store, TO).await, [letter(5)]);
    assert_eq!(mailbox(store, FROM).await, []);
    apply(store, to, 5).await.expect("applies");
    assert_eq!(mailbox(store, TO).await, []);
}

/// Also by the next owner, in one batch, and when it was never sent.
pub async fn an_applied_letter_is_refused_twice(store: &dyn Store) {
    let (from, to) = (open(store, FROM).await, open(store, TO).await);
    send(store, from, 5).await;
    send(store, from, 6).await;
    apply(store, to, 5).await.expect("applies");
    let refused = apply(store, to, 5).await;
    assert!(matches!(refused, Err(CommitError::LetterApplied)), "{refused:?}");
    let to = open(store, TO).await;
    let refused = apply(store, to, 5).await;
    assert!(matches!(refused, Err(CommitError::LetterApplied)), "{refused:?}");
    let refused = apply(store, to, 7).await;
    assert!(matches!(refused, Err(CommitError::LetterApplied)), "{refused:?}");
    let mut batch = Batch::new(to);
    batch.applies.extend([letter(6).id, letter(6).id]);
    let refused = store.commit(batch).await;
    assert!(matches!(refused, Err(CommitError::LetterApplied)), "{refused:?}");
    assert_eq!(mailbox(store, TO).await, [letter(6)]);
}

/// At least once on the way, once in the box.
pub async fn a_letter_sent_twice_waits_once(store: &dyn Store) {
    let from = open(store, FROM).await;
    send(store, from, 5).await;
    send(store, from, 5).await;
    assert_eq!(mailbox(store, TO).await, [letter(5)]);
}

/// A late second delivery changes nothing.
pub async fn an_applied_letter_sent_again_stays_applied(store: &dyn Store) {
    let (from, to) = (open(store, FROM).await, open(store, TO).await);
    send(store, from, 5).await;
    apply(store, to, 5).await.expect("applies");
    send(store, from, 5).await;
    assert_eq!(mailbox(store, TO).await, []);
    let refused = apply(store, to, 5).await;
    assert!(matches!(refused, Err(CommitError::LetterApplied)), "{refused:?}");
}

/// One shard is enough for everything.
pub async fn a_letter_to_oneself_applies_in_its_own_batch(store: &dyn Store) {
    let from = open(store, FROM).await;
    let own = Letter { to: FROM, ..letter(9) };
    commit(store, from, |batch| {
        batch.sends.push(own.clone());
        batch.applies.push(own.id);
    })
    .await;
    assert_eq!(mailbox(store, FROM).await, []);
    let refused = apply(store, from, 9).await;
    assert!(matches!(refused, Err(CommitError::LetterApplied)), "{refused:?}");
}

/// Whatever their numbers.
pub async fn letters_come_in_the_order_they_were_sent(store: &dyn Store) {
    let from = open(store, FROM).await;
    for number in [50, 7, 60] {
        send(store, from, number).await;
    }
    assert_eq!(mailbox(store, TO).await, [letter(50), letter(7), letter(60)]);
    assert_eq!(store.letter_list(TO, 2).await.expect("lists"), [letter(50), letter(7)]);
}

/// Nor does it apply any.
pub async fn a_refused_batch_sends_nothing(store: &dyn Store) {
    let (from, to) = (open(store, FROM).await, open(store, TO).await);
    send(store, from, 5).await;
    let mut batch = Batch::new(to);
    batch.applies.push(letter(5).id);
    batch.sends.push(letter(6));
    batch.puts.push(row(&Lives::new(1, TO).plain()));
    let refused = store.commit(batch).await;
    assert!(matches!(refused, Err(CommitError::TaskMissing(_))), "{refused:?}");
    assert_eq!(mailbox(store, TO).await, [letter(5)]);
}

/// Before or after it begins to wait.
pub async fn a_letter_wakes_its_receiver(store: &dyn Store) {
    let from = open(store, FROM).await;
    send(store, from, 5).await;
    assert_eq!(wake(store, TO).await, Some(()), "sent before");
    let sending = async {
        // The receiver is polled first, so it waits by now.
        send(store, from, 6).await;
    };
    let (woken, ()) = tokio::join!(biased; wake(store, TO), sending);
    assert_eq!(woken, Some(()), "sent after");
}

/// The one before may have died before it looked.
pub async fn an_opened_shard_is_told_of_waiting_letters(store: &dyn Store) {
    let from = open(store, FROM).await;
    send(store, from, 5).await;
    assert_eq!(wake(store, TO).await, Some(()));
    open(store, TO).await;
    assert_eq!(wake(store, TO).await, Some(()));
}

async fn wake(store: &dyn Store, to: Shard) -> Option<()> {
    let waiting = tokio::time::timeout(Duration::from_secs(10), store.change_wait(to));
    waiting.await.expect("woken in time")
}
