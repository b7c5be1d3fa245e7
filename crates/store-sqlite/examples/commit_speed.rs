//! How fast the embedded store commits: new tasks in batches of several sizes, their final updates,
//! many committers at once, and recovery. Run it with
//! `cargo run --release -p stint-store-sqlite --example commit_speed [directory]`.
//!
//! Row operations per task: three rows in (`task`, `task_open`, later `task_life`) and one out
//! (`task_open`); two rows per commit.
//!
//! First figures, a floor and not a claim: dev profile (SQLite at -O1), two cores shared at a load of
//! 8 to 10, batches of 1 / 32 / 256 / 4,096: 254 / 12,700 / 49,900 / 83,500 new tasks a second and
//! 330 / 12,700 / 41,500 / 59,300 settles a second; 64 committers of single tasks 6,200 a second;
//! 100,000 open tasks read in 1.0 to 1.8 s; 258 bytes of book per settled task. By processor time the
//! writer took 36 %, the search index 45 % (it ran all the time), encoding 13 %.
#![expect(clippy::print_stdout, reason = "a program that prints a table")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use stint_model::shard::{Fence, Shard};
use stint_model::task::Task;
use stint_store::conformance::life::{Lives, START};
use stint_store::{Batch, Put, Store, TaskRow};
use stint_store_sqlite::{SqliteConfig, SqliteStore};
use stint_supervise::{Clock, Supervisor};

#[expect(clippy::disallowed_methods, reason = "a measurement")]
fn now() -> Instant {
    Instant::now()
}

fn rate(count: usize, began: Instant) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / began.elapsed().as_secs_f64()
}

async fn write(store: &SqliteStore, fence: Fence, tasks: &[Task], is_new: bool) {
    let mut batch = Batch::new(fence);
    let rows = tasks.iter().map(|task| TaskRow::new(task.clone(), is_new));
    batch.puts.extend(rows.map(|row| Put::Task(Box::new(row))));
    store.commit(batch).await.expect("commits");
}

async fn measure(store: &Arc<SqliteStore>, fence: Fence, lives: &mut Lives) {
    println!("{:>8} {:>14} {:>14}", "batch", "new tasks/s", "settles/s");
    for (size, count) in [(1, 4_000), (32, 60_000), (256, 200_000), (4_096, 400_000)] {
        let mut tasks: Vec<Task> = (0..count).map(|_| lives.plain()).collect();
        let began = now();
        for batch in tasks.chunks(size) {
            write(store, fence, batch, true).await;
        }
        let new = rate(count, began);
        tasks.iter_mut().for_each(|task| lives.run_to_success(task));
        let began = now();
        for batch in tasks.chunks(size) {
            write(store, fence, batch, false).await;
        }
        println!("{size:>8} {new:>14.0} {:>14.0}", rate(count, began));
        store.search_settled().await;
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let temporary = tempfile::tempdir().expect("a directory");
    let dir = std::env::args().nth(1).map_or(temporary.path().to_owned(), PathBuf::from);
    let supervisor = Supervisor::new(Clock::start());
    let config = SqliteConfig::in_dir(&dir);
    let store = Arc::new(SqliteStore::open(&config, &supervisor).expect("opens"));
    let epoch = store.shard_open(Shard::FIRST, START).await.expect("opens").epoch;
    let fence = Fence { shard: Shard::FIRST, epoch };
    let mut lives = Lives::new(1, Shard::FIRST);
    measure(&store, fence, &mut lives).await;

    let tasks: Vec<Task> = (0..40_000).map(|_| lives.plain()).collect();
    let began = now();
    let committers = tasks.chunks(tasks.len() / 64).map(|mine| {
        let store = Arc::clone(&store);
        async move {
            for task in mine {
                write(&store, fence, std::slice::from_ref(task), true).await;
            }
        }
    });
    futures_util::future::join_all(committers).await;
    println!("64 committers of single tasks: {:.0} tasks/s", rate(tasks.len(), began));

    let more: Vec<Task> = (0..60_000).map(|_| lives.plain()).collect();
    for batch in more.chunks(4_096) {
        write(&store, fence, batch, true).await;
    }
    let began = now();
    store.search_settled().await;
    println!("search index settled in {:?} more", began.elapsed());
    for _ in 0..2 {
        let began = now();
        let found = store.task_open(Shard::FIRST, None, 1_000_000).await.expect("reads");
        println!("recovery: {} open tasks in {:?}", found.len(), began.elapsed());
    }
    for (name, value) in store.figures().await.expect("reads") {
        println!("{name}: {value}");
    }
    drop(store);
    supervisor.stop().request();
    supervisor.ended().await;
}
