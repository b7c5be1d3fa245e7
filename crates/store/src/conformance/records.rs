//! Laws of control records.

use bytes::Bytes;
use stint_model::shard::{Fence, Shard};

use super::shards::{commit, open};
use crate::batch::{Batch, Expect, Put};
use crate::record::{Key, Kind};
use crate::store::{CommitError, Store};

fn key(name: &str) -> Key {
    Key::new(Kind::Function, name)
}

pub(super) fn put(key: Key, body: &str) -> Put {
    Put::Record { key, shard: Shard::FIRST, body: Bytes::copy_from_slice(body.as_bytes()) }
}

async fn write(store: &dyn Store, fence: Fence, name: &str, body: &str) {
    commit(store, fence, |batch| batch.puts.push(put(key(name), body))).await;
}

async fn body(store: &dyn Store, name: &str) -> Option<(u64, Bytes)> {
    let record = store.record_get(&key(name)).await.expect("reads");
    record.map(|record| (record.version, record.body))
}

/// One failed expectation is enough.
pub async fn a_stale_batch_writes_nothing(store: &dyn Store) {
    let fence = open(store, Shard::FIRST).await;
    write(store, fence, "1/a", "one").await;
    let mut batch = Batch::new(fence);
    batch.expects.push(Expect { key: key("1/a"), version: 1 });
    batch.expects.push(Expect { key: key("1/b"), version: 1 });
    batch.puts.push(put(key("1/a"), "two"));
    batch.puts.push(put(key("1/c"), "three"));
    let refused = store.commit(batch).await;
    assert!(matches!(&refused, Err(CommitError::Stale(k)) if *k == key("1/b")), "{refused:?}");
    assert_eq!(body(store, "1/a").await, Some((1, "one".into())));
    assert_eq!(body(store, "1/c").await, None);
}

/// Zero: it must not exist.
pub async fn an_expectation_of_absence_holds_once(store: &dyn Store) {
    let fence = open(store, Shard::FIRST).await;
    let mut batch = Batch::new(fence);
    batch.expects.push(Expect { key: key("1/a"), version: 0 });
    batch.puts.push(put(key("1/a"), "one"));
    store.commit(batch.clone()).await.expect("commits");
    let refused = store.commit(batch).await;
    assert!(matches!(refused, Err(CommitError::Stale(_))), "{refused:?}");
}

/// 1 after the first, one more with each.
pub async fn versions_count_the_writes(store: &dyn Store) {
    let fence = open(store, Shard::FIRST).await;
    for version in 1..=3 {
        write(store, fence, "1/a", "text").await;
        let record = store.record_get(&key("1/a")).await.expect("reads").expect("is there");
        assert_eq!(record.version, version);
        assert_eq!((record.key, record.shard), (key("1/a"), Shard::FIRST));
    }
}

/// And counts anew when it comes again; deleting what is not there is no error.
pub async fn a_deleted_record_is_gone(store: &dyn Store) {
    let fence = open(store, Shard::FIRST).await;
    write(store, fence, "1/a", "one").await;
    write(store, fence, "1/a", "two").await;
    for _ in 0..2 {
        commit(store, fence, |batch| batch.puts.push(Put::Delete { key: key("1/a") })).await;
        assert_eq!(body(store, "1/a").await, None);
    }
    write(store, fence, "1/a", "three").await;
    assert_eq!(body(store, "1/a").await, Some((1, "three".into())));
}

async fn names(
    store: &dyn Store,
    prefix: &str,
    cursor: Option<&str>,
    limit: usize,
) -> (Vec<String>, Option<String>) {
    let page = store.record_list(Kind::Function, prefix, cursor, limit).await.expect("lists");
    (page.items.into_iter().map(|record| record.key.name).collect(), page.next)
}

const NAMES: [&str; 7] = ["1/a", "1/a%", "1/a_", "1/ab", "1/b", "10/a", "2/ü"];

async fn fill(store: &dyn Store) {
    let fence = open(store, Shard::FIRST).await;
    commit(store, fence, |batch| {
        batch.puts.extend(NAMES.iter().rev().map(|name| put(key(name), name)));
        batch.puts.push(put(Key::new(Kind::Alias, "1/a"), "another kind"));
    })
    .await;
}

/// Bytewise, of one kind, and no character of the prefix is special.
pub async fn records_list_by_prefix_in_order(store: &dyn Store) {
    fill(store).await;
    assert_eq!(names(store, "", None, 100).await, (NAMES.map(str::to_owned).to_vec(), None));
    assert_eq!(names(store, "1/", None, 100).await.0, NAMES[..5]);
    assert_eq!(names(store, "1/a_", None, 100).await.0, ["1/a_"]);
    assert_eq!(names(store, "1/a%", None, 100).await.0, ["1/a%"]);
    assert_eq!(names(store, "2/ü", None, 100).await.0, ["2/ü"]);
    assert!(names(store, "3", None, 100).await.0.is_empty());
}

/// And says when there is no more.
pub async fn listing_goes_on_after_the_cursor(store: &dyn Store) {
    fill(store).await;
    let (first, next) = names(store, "1/", None, 2).await;
    assert_eq!(first, NAMES[..2]);
    let (second, next) = names(store, "1/", next.as_deref(), 2).await;
    assert_eq!(second, NAMES[2..4]);
    let (third, next) = names(store, "1/", next.as_deref(), 2).await;
    assert_eq!((third.as_slice(), next), (&[NAMES[4].to_owned()][..], None));
    assert_eq!(names(store, "1/", None, 5).await.1, None, "a full last page is the last");
}

/// The last word counts.
pub async fn puts_of_one_batch_apply_in_order(store: &dyn Store) {
    let fence = open(store, Shard::FIRST).await;
    commit(store, fence, |batch| {
        batch.puts.push(put(key("1/a"), "one"));
        batch.puts.push(put(key("1/a"), "two"));
        batch.puts.push(put(key("1/b"), "one"));
        batch.puts.push(Put::Delete { key: key("1/b") });
    })
    .await;
    assert_eq!(body(store, "1/a").await, Some((2, "two".into())));
    assert_eq!(body(store, "1/b").await, None);
}
