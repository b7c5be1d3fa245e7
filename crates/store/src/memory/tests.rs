//! The memory store against the laws of the ports, and its own hooks.

use stint_model::id::TaskUid;
use stint_model::shard::Fence;

use super::*;
use crate::conformance::agree::play;
use crate::conformance::life::{Lives, START};
use crate::conformance::run;
use crate::{Put, TaskRow};

async fn fresh() -> (Arc<dyn Store>, ()) {
    (Arc::new(MemoryStore::new()), ())
}

async fn fresh_journal() -> (Arc<dyn crate::Journal>, ()) {
    (Arc::new(MemoryJournal::new()), ())
}

async fn fresh_blobs() -> (Arc<dyn crate::Blobs>, ()) {
    (Arc::new(MemoryBlobs::new()), ())
}

mod store {
    crate::store_conformance!(super::fresh);
}
mod journal {
    crate::journal_conformance!(super::fresh_journal);
}
mod blobs {
    crate::blobs_conformance!(super::fresh_blobs);
}

async fn batch(store: &MemoryStore) -> (Batch, TaskUid) {
    let epoch = store.shard_open(Shard::FIRST, START).await.expect("opens").epoch;
    let mut batch = Batch::new(Fence { shard: Shard::FIRST, epoch });
    let task = Lives::new(1, Shard::FIRST).plain();
    let uid = task.uid();
    batch.puts.push(Put::Task(Box::new(TaskRow::new(task, true))));
    (batch, uid)
}

#[test]
fn a_crash_closes_the_handles_and_keeps_the_book() {
    run(async {
        let store = MemoryStore::new();
        let (batch, uid) = batch(&store).await;
        store.commit(batch).await.expect("commits");
        let next = store.crash();
        assert!(matches!(store.task_get(&[uid]).await, Err(StoreError::Closed)));
        assert_eq!(store.change_wait(Shard::FIRST).await, None);
        assert!(next.task_get(&[uid]).await.expect("reads")[0].is_some());
        assert_eq!(next.tasks().len(), 1);
    });
}

#[test]
fn a_fault_strikes_once_and_says_nothing_of_what_was_written() {
    run(async {
        let store = MemoryStore::new();
        let (batch, uid) = batch(&store).await;
        store.fail_next_commit(Fault::NotWritten);
        store.fail_next_commit(Fault::WrittenUnanswered);
        store.commit(batch.clone()).await.expect_err("not written");
        assert_eq!(store.task_get(&[uid]).await.expect("reads"), [None]);
        store.commit(batch.clone()).await.expect_err("written");
        assert!(store.task_get(&[uid]).await.expect("reads")[0].is_some());
        let exists = store.commit(batch).await;
        assert!(matches!(exists, Err(CommitError::TaskExists(_))), "{exists:?}");
    });
}

#[test]
fn a_held_commit_is_not_written_until_released_and_lost_in_a_crash() {
    run(async {
        let store = MemoryStore::new();
        let (batch, uid) = batch(&store).await;
        store.hold_commits();
        let lost = async { store.commit(batch.clone()).await };
        let (lost, next) = tokio::join!(biased; lost, async {
            assert_eq!(store.task_get(&[uid]).await.expect("reads"), [None]);
            store.crash()
        });
        assert!(matches!(lost, Err(CommitError::Store(StoreError::Closed))), "{lost:?}");
        next.hold_commits();
        let (done, ()) = tokio::join!(biased; next.commit(batch), async {
            assert_eq!(next.task_get(&[uid]).await.expect("reads"), [None]);
            next.release_commits();
        });
        done.expect("commits");
        assert!(next.task_get(&[uid]).await.expect("reads")[0].is_some());
    });
}

#[test]
fn the_specification_agrees_with_itself() {
    run(async {
        for seed in 0..20 {
            play(&MemoryStore::new(), seed).await;
        }
    });
}
