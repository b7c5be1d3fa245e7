//! Every law of every port, and random stories.

use std::sync::Arc;

use stint_store::conformance::agree::play;
use stint_store::conformance::run;
use stint_store::{Blobs, Journal, Store};
use stint_store_sqlite::{
    JournalConfig, LocalBlobs, ObjectBlobs, SqliteConfig, SqliteJournal, SqliteStore,
};
use stint_supervise::{Clock, Supervisor};
use tempfile::TempDir;

fn dir() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

fn supervisor() -> Supervisor {
    Supervisor::new(Clock::start())
}

async fn fresh() -> (Arc<dyn Store>, TempDir) {
    let dir = dir();
    let store = SqliteStore::open(&SqliteConfig::in_dir(dir.path()), &supervisor());
    (Arc::new(store.expect("opens")), dir)
}

async fn fresh_journal() -> (Arc<dyn Journal>, TempDir) {
    let dir = dir();
    let journal = SqliteJournal::open(&JournalConfig::in_dir(dir.path()), &supervisor());
    (Arc::new(journal.expect("opens")), dir)
}

async fn fresh_local_blobs() -> (Arc<dyn Blobs>, TempDir) {
    let dir = dir();
    let blobs = LocalBlobs::open(dir.path().join("blobs"), &supervisor()).expect("opens");
    (Arc::new(blobs), dir)
}

async fn fresh_object_blobs() -> (Arc<dyn Blobs>, ()) {
    let memory = Arc::new(object_store::memory::InMemory::new());
    (Arc::new(ObjectBlobs::new(memory, "below/this")), ())
}

mod store {
    stint_store::store_conformance!(super::fresh);
}
mod journal {
    stint_store::journal_conformance!(super::fresh_journal);
}
mod local_blobs {
    stint_store::blobs_conformance!(super::fresh_local_blobs);
}
mod object_blobs {
    stint_store::blobs_conformance!(super::fresh_object_blobs);
}

#[test]
fn random_stories_agree_with_the_specification() {
    run(async {
        for seed in 1..=6 {
            let (store, _dir) = fresh().await;
            play(&*store, seed).await;
        }
    });
}
