//! Laws of owners, epochs and what a shard remembers.

use stint_model::shard::{Epoch, Fence, LetterId, Shard};
use stint_model::time::{Span, Timestamp};

use super::life::{Lives, START};
use super::tasks::new_row;
use crate::batch::{Batch, Letter};
use crate::store::{CommitError, Store};

/// Opens a shard and gives its fence.
pub(super) async fn open(store: &dyn Store, shard: Shard) -> Fence {
    let opened = store.shard_open(shard, START).await.expect("opens");
    Fence { shard, epoch: opened.epoch }
}

/// Commits a batch with one change.
pub(super) async fn commit(store: &dyn Store, fence: Fence, fill: impl FnOnce(&mut Batch)) {
    let mut batch = Batch::new(fence);
    fill(&mut batch);
    store.commit(batch).await.expect("commits");
}

/// Who opened before cannot write any more.
pub async fn a_deposed_owner_cannot_commit(store: &dyn Store) {
    let old = open(store, Shard::FIRST).await;
    let new = open(store, Shard::FIRST).await;
    let task = Lives::new(1, Shard::FIRST).plain();
    let mut batch = Batch::new(old);
    batch.puts.push(new_row(&task));
    let refused = store.commit(batch.clone()).await;
    assert!(matches!(refused, Err(CommitError::Deposed)), "{refused:?}");
    assert_eq!(store.task_get(&[task.uid()]).await.expect("reads"), [None]);
    batch.fence = new;
    store.commit(batch).await.expect("the new owner writes");
}

/// Nobody owns it yet.
pub async fn an_unopened_shard_takes_no_batch(store: &dyn Store) {
    let fence = Fence { shard: Shard::new(3), epoch: Epoch(0) };
    let refused = store.commit(Batch::new(fence)).await;
    assert!(matches!(refused, Err(CommitError::Deposed)), "{refused:?}");
    let fence = Fence { epoch: Epoch(1), ..fence };
    let refused = store.commit(Batch::new(fence)).await;
    assert!(matches!(refused, Err(CommitError::Deposed)), "{refused:?}");
}

/// 1, 2, 3, …
pub async fn every_opening_raises_the_epoch(store: &dyn Store) {
    for epoch in 1..=3 {
        assert_eq!(open(store, Shard::FIRST).await.epoch, Epoch(epoch));
    }
}

/// One shard's owner is not deposed by another's.
pub async fn shards_have_their_own_epochs(store: &dyn Store) {
    let first = open(store, Shard::FIRST).await;
    let other = open(store, Shard::new(7)).await;
    assert_eq!(open(store, Shard::new(7)).await.epoch, Epoch(2));
    commit(store, first, |_| ()).await;
    let refused = store.commit(Batch::new(other)).await;
    assert!(matches!(refused, Err(CommitError::Deposed)), "{refused:?}");
}

/// Also across owners.
pub async fn the_sequence_rises_with_each_commit(store: &dyn Store) {
    let mut last = 0;
    for _ in 0..2 {
        let fence = open(store, Shard::FIRST).await;
        for _ in 0..3 {
            let committed = store.commit(Batch::new(fence)).await.expect("commits");
            assert!(committed.seq > last, "{committed:?} after {last}");
            assert_eq!(committed.epoch, fence.epoch);
            last = committed.seq;
        }
    }
}

/// Whatever its noun; a refused batch does not count.
pub async fn what_was_minted_is_remembered(store: &dyn Store) {
    let shard = Shard::new(2);
    let mut lives = Lives::new(1, shard);
    let opened = store.shard_open(shard, START).await.expect("opens");
    assert_eq!(opened.minted_max, 0);
    let fence = Fence { shard, epoch: opened.epoch };
    let minted = |store| async move { Store::shard_open(store, shard, START).await };
    let task = lives.plain();
    commit(store, fence, |batch| batch.puts.push(new_row(&task))).await;
    let opened = minted(store).await.expect("opens");
    assert!(opened.minted_max >= task.uid().number());
    let fence = Fence { shard, epoch: opened.epoch };
    let number = opened.minted_max + 5;
    let letter =
        Letter { id: LetterId { from: shard, number }, to: Shard::FIRST, body: "x".into() };
    commit(store, fence, |batch| batch.sends.push(letter)).await;
    let opened = minted(store).await.expect("opens");
    assert!(opened.minted_max >= number);
    let fence = Fence { shard, epoch: opened.epoch };
    let number = opened.minted_max + 5;
    commit(store, fence, |batch| batch.minted = number).await;
    assert!(minted(store).await.expect("opens").minted_max >= number);
}

/// The clock of the next owner starts there, and its ids lie after.
pub async fn time_goes_on_from_what_was_seen(store: &dyn Store) {
    let fence = open(store, Shard::FIRST).await;
    let later = START + Span::from_secs(3_600);
    commit(store, fence, |batch| batch.at = later).await;
    let opened = store.shard_open(Shard::FIRST, START).await.expect("opens");
    assert!(opened.seen_at >= later - Span::from_secs(2), "{opened:?}");
    let floor = stint_model::id::number_floor(opened.seen_at);
    assert!(opened.minted_max >= floor, "ids of a time that was seen are spent");
    commit(store, Fence { shard: Shard::FIRST, epoch: opened.epoch }, |batch| {
        batch.at = Timestamp::ZERO;
    })
    .await;
    let again = store.shard_open(Shard::FIRST, START).await.expect("opens");
    assert!(again.seen_at >= opened.seen_at, "time does not go back");
}

/// It proves that its writer still owns the shard.
pub async fn an_empty_batch_commits(store: &dyn Store) {
    let fence = open(store, Shard::FIRST).await;
    assert!(Batch::new(fence).is_empty());
    commit(store, fence, |_| ()).await;
}
