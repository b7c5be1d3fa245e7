//! Backup, restore and verify, with a server at work.

use std::path::Path;

use bytes::Bytes;
use stint_model::payload::Payload;
use stint_model::shard::{Fence, Shard};
use stint_model::task::Task;
use stint_store::conformance::life::{Lives, START};
use stint_store::conformance::run;
use stint_store::{Batch, Blobs as _, Key, Kind, Put, Store, TaskQuery, TaskRow};
use stint_store_sqlite::{
    BackupError, LocalBlobs, SqliteConfig, SqliteStore, backup, restore, verify,
};
use stint_supervise::{Clock, Supervisor};

struct Server {
    store: SqliteStore,
    blobs: LocalBlobs,
    supervisor: Supervisor,
    fence: Fence,
}

impl Server {
    async fn start(dir: &Path) -> Self {
        let supervisor = Supervisor::new(Clock::start());
        let store = SqliteStore::open(&SqliteConfig::in_dir(dir), &supervisor).expect("opens");
        let blobs = LocalBlobs::open(dir.join("blobs"), &supervisor).expect("opens");
        let epoch = store.shard_open(Shard::FIRST, START).await.expect("opens").epoch;
        Self { store, blobs, supervisor, fence: Fence { shard: Shard::FIRST, epoch } }
    }

    async fn commit(&self, puts: Vec<Put>) {
        let mut batch = Batch::new(self.fence);
        batch.puts = puts;
        self.store.commit(batch).await.expect("commits");
    }

    async fn stop(self) {
        drop(self.store);
        self.supervisor.stop().request();
        self.supervisor.ended().await;
    }

    async fn tasks(&self) -> Vec<Task> {
        let query = TaskQuery { limit: 10_000, ascending: true, ..TaskQuery::default() };
        self.store.task_list(&query).await.expect("lists").items
    }
}

fn new(task: &Task) -> Put {
    Put::Task(Box::new(TaskRow::new(task.clone(), true)))
}

/// Fifty tasks, some with a blob, and what a server keeps beside them.
async fn fill(server: &Server, dir: &Path) -> Vec<Task> {
    let mut lives = Lives::new(9, Shard::FIRST);
    let tasks: Vec<Task> = (0..50).map(|_| lives.fresh()).collect();
    for task in &tasks {
        if let Payload::Blob { name, .. } = &task.order().payload {
            server.blobs.put(name, Bytes::from_static(b"payload")).await.expect("puts");
        }
    }
    server.commit(tasks.iter().map(new).collect()).await;
    std::fs::write(dir.join("master.key"), "secret").expect("writes");
    tasks
}

#[test]
fn a_backup_taken_at_work_restores_to_one_moment() {
    run(async {
        let dir = tempfile::tempdir().expect("a directory");
        let (data, copy, again) =
            (dir.path().join("data"), dir.path().join("copy"), dir.path().join("again"));
        let server = Server::start(&data).await;
        let tasks = fill(&server, &data).await;
        let mut lives = Lives::new(10, Shard::FIRST);
        let mut more: Vec<Put> = (0..200).map(|_| new(&lives.plain())).collect();
        let mut steps = Vec::new();
        let copied = {
            let (server, data, copy) = (&server, data.clone(), copy.clone());
            let done = std::sync::atomic::AtomicBool::new(false);
            let making = server.supervisor.blocking(move || {
                let copied = backup(&data, &copy, &["master.key", "none"], &mut |_| ());
                copied.expect("copies")
            });
            let writing = async {
                while !done.load(std::sync::atomic::Ordering::Relaxed) && !more.is_empty() {
                    server.commit(vec![more.pop().expect("not empty")]).await;
                }
            };
            let making = async {
                let copied = making.await.expect("does not panic");
                done.store(true, std::sync::atomic::Ordering::Relaxed);
                copied
            };
            tokio::join!(making, writing).0
        };
        assert!(copied.files >= 4 && copied.bytes > 4_096, "{copied:?}");
        server.stop().await;

        let checked = verify(&copy, false, &mut |_| ()).expect("checks");
        assert_eq!(checked.problems, Vec::<String>::new());
        let restored = restore(&copy, &again, &mut |at| steps.push(at.done)).expect("restores");
        assert_eq!(restored, copied);
        assert!(!steps.is_empty());
        assert_eq!(std::fs::read_to_string(again.join("master.key")).expect("reads"), "secret");
        let server = Server::start(&again).await;
        let found = server.tasks().await;
        assert!(tasks.iter().all(|task| found.contains(task)), "what was there before is there");
        server.store.search_settled().await;
        assert_eq!(server.tasks().await, found);
        server.stop().await;
        assert_eq!(verify(&again, false, &mut |_| ()).expect("checks").problems_total, 0);
    });
}

#[test]
fn nothing_is_written_over() {
    run(async {
        let dir = tempfile::tempdir().expect("a directory");
        let (data, copy) = (dir.path().join("data"), dir.path().join("copy"));
        assert!(matches!(backup(&data, &copy, &[], &mut |_| ()), Err(BackupError::NoBook(_))));
        Server::start(&data).await.stop().await;
        backup(&data, &copy, &[], &mut |_| ()).expect("copies");
        let refused = backup(&data, &copy, &[], &mut |_| ());
        assert!(matches!(refused, Err(BackupError::NotEmpty(_))), "{refused:?}");
        let refused = restore(&copy, &data, &mut |_| ());
        assert!(matches!(refused, Err(BackupError::NotEmpty(_))), "{refused:?}");
        let refused = restore(&data, &dir.path().join("new"), &mut |_| ());
        assert!(matches!(refused, Err(BackupError::Incomplete(_))), "{refused:?}");
    });
}

#[test]
fn damage_is_found_and_not_restored() {
    run(async {
        let dir = tempfile::tempdir().expect("a directory");
        let (data, copy) = (dir.path().join("data"), dir.path().join("copy"));
        let server = Server::start(&data).await;
        let tasks = fill(&server, &data).await;
        let key = Key::new(Kind::Account, "0000000000000001");
        server
            .commit(vec![Put::Record { key, shard: Shard::FIRST, body: "no account".into() }])
            .await;
        server.stop().await;
        backup(&data, &copy, &[], &mut |_| ()).expect("copies");

        let checked = verify(&data, false, &mut |_| ()).expect("checks");
        assert_eq!((checked.tasks, checked.problems_total), (50, 1), "{checked:?}");
        assert!(checked.problems[0].contains("Account"), "{checked:?}");

        let blob = tasks.iter().find_map(|task| match &task.order().payload {
            Payload::Blob { name, .. } => Some(name.clone()),
            Payload::Inline(_) => None,
        });
        let blob = blob.expect("one of fifty");
        std::fs::remove_file(data.join("blobs").join(&blob)).expect("removes");
        let checked = verify(&data, false, &mut |_| ()).expect("checks");
        assert!(checked.problems.iter().any(|words| words.contains(&blob)), "{checked:?}");
        assert_eq!(verify(&data, true, &mut |_| ()).expect("checks").problems_total, 1);

        // The copy's blob is a link to what was deleted, and is still whole; now it is replaced.
        let linked = copy.join("blobs").join(&blob);
        assert_eq!(std::fs::read(&linked).expect("reads"), b"payload");
        std::fs::write(&linked, "payloae").expect("writes");
        let checked = verify(&copy, false, &mut |_| ()).expect("checks");
        assert!(checked.problems.iter().any(|words| words.contains(&blob)), "{checked:?}");
        let refused = restore(&copy, &dir.path().join("new"), &mut |_| ());
        assert!(matches!(&refused, Err(BackupError::Damaged(name)) if name.contains(&blob)));
        assert!(!dir.path().join("new/book.db").exists(), "half a restore has no book");
    });
}
