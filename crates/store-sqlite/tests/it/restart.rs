//! What a second process finds.

use std::path::Path;

use stint_model::shard::{Fence, Shard};
use stint_model::task::Task;
use stint_model::time::Timestamp;
use stint_store::conformance::life::{Lives, START};
use stint_store::conformance::run;
use stint_store::{Batch, CommitError, Put, Store, StoreError, TaskQuery, TaskRow};
use stint_store_sqlite::{OpenError, SqliteConfig, SqliteStore};
use stint_supervise::{Clock, Supervisor};

fn open(dir: &Path) -> (SqliteStore, Supervisor) {
    let supervisor = Supervisor::new(Clock::start());
    (SqliteStore::open(&SqliteConfig::in_dir(dir), &supervisor).expect("opens"), supervisor)
}

async fn fence(store: &SqliteStore) -> Fence {
    let epoch = store.shard_open(Shard::FIRST, START).await.expect("opens").epoch;
    Fence { shard: Shard::FIRST, epoch }
}

async fn put(store: &SqliteStore, fence: Fence, tasks: &[Task], is_new: bool) {
    let mut batch = Batch::new(fence);
    let rows = tasks.iter().map(|task| TaskRow::new(task.clone(), is_new));
    batch.puts.extend(rows.map(|row| Put::Task(Box::new(row))));
    store.commit(batch).await.expect("commits");
}

async fn close(store: SqliteStore, supervisor: &Supervisor) {
    drop(store);
    supervisor.stop().request();
    supervisor.ended().await;
}

async fn list(store: &SqliteStore) -> Vec<Task> {
    let query = TaskQuery { limit: 10_000, ascending: true, ..TaskQuery::default() };
    store.task_list(&query).await.expect("lists").items
}

#[test]
fn everything_is_there_again_and_older_owners_are_not() {
    run(async {
        let dir = tempfile::tempdir().expect("a directory");
        let mut lives = Lives::new(3, Shard::FIRST);
        let mut tasks: Vec<Task> = (0..50).map(|_| lives.fresh()).collect();
        let (store, supervisor) = open(dir.path());
        let old = fence(&store).await;
        put(&store, old, &tasks, true).await;
        for task in &mut tasks[..10] {
            for _ in 0..5 {
                stint_store::conformance::life::step(task, lives.random());
            }
        }
        put(&store, old, &tasks[..10], false).await;
        close(store, &supervisor).await;

        let (store, supervisor) = open(dir.path());
        assert_eq!(list(&store).await, tasks);
        store.search_settled().await;
        assert_eq!(list(&store).await, tasks);
        let new = fence(&store).await;
        assert!(new.epoch > old.epoch);
        let refused = store.commit(Batch::new(old)).await;
        assert!(matches!(refused, Err(CommitError::Deposed)), "{refused:?}");
        close(store, &supervisor).await;
    });
}

#[test]
fn a_lost_search_index_is_made_again_and_missed_by_nobody() {
    run(async {
        let dir = tempfile::tempdir().expect("a directory");
        let mut lives = Lives::new(3, Shard::FIRST);
        let tasks: Vec<Task> = (0..300).map(|_| lives.fresh()).collect();
        let (store, supervisor) = open(dir.path());
        let owner = fence(&store).await;
        put(&store, owner, &tasks, true).await;
        store.search_settled().await;
        close(store, &supervisor).await;

        for damage in ["", "this is not a database, it is some text that is long enough ..."] {
            for ending in ["search.db-wal", "search.db-shm"] {
                drop(std::fs::remove_file(dir.path().join(ending)));
            }
            std::fs::write(dir.path().join("search.db"), damage).expect("writes");
            let (store, supervisor) = open(dir.path());
            assert_eq!(list(&store).await, tasks);
            store.search_settled().await;
            assert_eq!(list(&store).await, tasks);
            close(store, &supervisor).await;
        }
    });
}

#[test]
fn a_second_opening_names_the_first() {
    run(async {
        let dir = tempfile::tempdir().expect("a directory");
        let (store, supervisor) = open(dir.path());
        let refused = SqliteStore::open(&SqliteConfig::in_dir(dir.path()), &supervisor);
        let pid = std::process::id();
        assert!(
            matches!(&refused, Err(OpenError::AlreadyOpen { pid: Some(p), .. }) if *p == pid),
            "{refused:?}"
        );
        close(store, &supervisor).await;
        let (store, supervisor) = open(dir.path());
        close(store, &supervisor).await;
    });
}

#[test]
fn what_waits_at_the_stop_is_written_and_what_comes_later_is_refused() {
    run(async {
        let dir = tempfile::tempdir().expect("a directory");
        let (store, supervisor) = open(dir.path());
        let owner = fence(&store).await;
        let tasks: Vec<Task> = {
            let mut lives = Lives::new(1, Shard::FIRST);
            (0..20).map(|_| lives.plain()).collect()
        };
        let commits = tasks.iter().map(|task| put(&store, owner, std::slice::from_ref(task), true));
        let commits = futures_util::future::join_all(commits);
        let (_, ()) = tokio::join!(biased; commits, async { supervisor.stop().request() });
        supervisor.ended().await;
        let refused = store.commit(Batch::new(owner)).await;
        assert!(matches!(refused, Err(CommitError::Store(StoreError::Closed))), "{refused:?}");
        assert_eq!(store.change_wait(Shard::FIRST).await, None);
        close(store, &supervisor).await;
        let (store, supervisor) = open(dir.path());
        assert_eq!(list(&store).await, tasks);
        close(store, &supervisor).await;
    });
}

#[test]
fn a_clock_starts_where_the_book_stopped() {
    run(async {
        let dir = tempfile::tempdir().expect("a directory");
        assert_eq!(SqliteStore::last_seen(dir.path()), Timestamp::ZERO, "no book yet");
        let (store, supervisor) = open(dir.path());
        let fence = fence(&store).await;
        assert_eq!(SqliteStore::last_seen(dir.path()), START, "also while another has it");
        let mut batch = Batch::new(fence);
        batch.at = START + stint_model::time::Span::from_secs(60);
        let later = batch.at;
        store.commit(batch).await.expect("commits");
        close(store, &supervisor).await;
        assert_eq!(SqliteStore::last_seen(dir.path()), later);
        std::fs::write(dir.path().join("book.db"), "no book at all").expect("writes");
        assert_eq!(SqliteStore::last_seen(dir.path()), Timestamp::ZERO);
    });
}
