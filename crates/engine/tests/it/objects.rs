//! Buckets and objects over the real shard loop: what is kept, what is let go, and what is told.

use bytes::Bytes;
use futures_util::StreamExt as _;
use stint_engine::{Engine, EngineError, ObjectStream};
use stint_model::access::{Caller, Role};
use stint_model::code::Code;
use stint_model::id::AccountId;
use stint_model::object::asked::{Condition, ObjectOrder, ObjectQuery, PartAsked, UploadRef};
use stint_model::object::{BLOB_AREA, Object, ObjectDeed, PART_BYTES_MIN, PIECE};
use stint_store::Blobs as _;

use crate::control::house;
use crate::house::{House, caller};

fn stream(pieces: Vec<Bytes>) -> ObjectStream {
    Box::pin(futures_util::stream::iter(pieces.into_iter().map(Ok)))
}

fn body(len: u64, seed: u8) -> Bytes {
    let len = usize::try_from(len).expect("small");
    (0..len).map(|n| (n % 251) as u8 ^ seed).collect::<Vec<u8>>().into()
}

fn order(bucket: &str, key: &str) -> ObjectOrder {
    ObjectOrder { bucket: bucket.into(), key: key.into(), ..ObjectOrder::default() }
}

async fn put(engine: &Engine, key: &str, bytes: &Bytes) -> Result<Object, EngineError> {
    engine.object_put(&caller(), &order("one", key), stream(vec![bytes.clone()])).await
}

async fn blobs(house: &House) -> usize {
    house.blobs.list(BLOB_AREA, None, 1_000).await.expect("lists").len()
}

async fn opened() -> House {
    let house = house().await;
    house.engine.bucket_create(&caller(), "one").await.expect("made");
    house
}

#[tokio::test]
async fn an_object_is_pieces_that_go_with_it() {
    let house = opened().await;
    let bytes = body(2 * PIECE + 7, 0);
    let made = put(&house.engine, "k", &bytes).await.expect("put");
    assert_eq!((made.bytes, blobs(&house).await), (2 * PIECE + 7, 3));
    let read = house.engine.object_read(&caller(), ("one", "k"), 1 << 30).await.expect("read");
    assert_eq!(read, bytes);
    let too_large = house.engine.object_read(&caller(), ("one", "k"), 10).await.expect_err("large");
    assert_eq!(too_large.code(), Code::EntityTooLarge);
    assert_eq!(house.engine.storage_use(AccountId::ROOT).objects, 2 * PIECE + 7);
    put(&house.engine, "k", &body(3, 1)).await.expect("replaced");
    assert_eq!(blobs(&house).await, 1);
    assert!(house.engine.object_delete(&caller(), "one", "k").await.expect("deleted"));
    assert!(!house.engine.object_delete(&caller(), "one", "k").await.expect("was not there"));
    assert_eq!(blobs(&house).await, 0);
    assert_eq!(house.engine.storage_use(AccountId::ROOT).objects, 0);
}

#[tokio::test]
async fn whoever_reads_has_it_as_it_was() {
    let house = opened().await;
    let bytes = body(2 * PIECE, 0);
    put(&house.engine, "k", &bytes).await.expect("put");
    let reader = house.engine.object_open(&caller(), "one", "k").await.expect("opened");
    let mut pieces = reader.whole();
    let mut read = pieces.next().await.expect("a piece").expect("read").to_vec();
    put(&house.engine, "k", &body(5, 1)).await.expect("replaced");
    house.engine.object_delete(&caller(), "one", "k").await.expect("deleted");
    while let Some(piece) = pieces.next().await {
        read.extend_from_slice(&piece.expect("read"));
    }
    assert_eq!(read, bytes);
    drop((pieces, reader));
    put(&house.engine, "other", &body(1, 0)).await.expect("put");
    house.engine.object_delete(&caller(), "one", "other").await.expect("deleted");
    assert_eq!(blobs(&house).await, 0, "let go after the last reader");
}

#[tokio::test]
async fn a_body_that_breaks_off_leaves_nothing() {
    let house = opened().await;
    put(&house.engine, "k", &body(4, 0)).await.expect("put");
    let broken = vec![Ok(body(PIECE + 1, 0)), Err(std::io::Error::other("gone"))];
    let broken: ObjectStream = Box::pin(futures_util::stream::iter(broken));
    let refused = house.engine.object_put(&caller(), &order("one", "k"), broken).await;
    assert_eq!(refused.expect_err("broken").code(), Code::InvalidArgument);
    let kept = house.engine.object_read(&caller(), ("one", "k"), 100).await.expect("read");
    assert_eq!((kept, blobs(&house).await), (body(4, 0), 1));
}

#[tokio::test]
async fn events_are_told_in_the_order_of_the_commits() {
    let house = opened().await;
    let engine = &house.engine;
    let watch = engine.object_events_watch();
    let begin = engine.object_events_end(AccountId::ROOT);
    put(engine, "a", &body(3, 0)).await.expect("put");
    put(engine, "a", &body(4, 0)).await.expect("put");
    engine.object_copy(&caller(), ("one", "a"), &order("one", "b")).await.expect("copied");
    let many = ["a".to_owned(), "b".to_owned(), "none".to_owned()];
    assert_eq!(engine.objects_delete(&caller(), "one", &many).await.expect("deleted"), 2);
    assert!(watch.has_changed().expect("open"));
    let told = engine.object_events(AccountId::ROOT, None, 100).await.expect("read");
    let said: Vec<_> = told.iter().map(|e| (e.key.as_str(), e.deed, e.bytes)).collect();
    assert_eq!(
        said,
        [
            ("a", ObjectDeed::Put, 3),
            ("a", ObjectDeed::Put, 4),
            ("b", ObjectDeed::Copy, 4),
            ("a", ObjectDeed::DeleteMany, 4),
            ("b", ObjectDeed::DeleteMany, 4),
        ]
    );
    assert!(told.is_sorted_by(|one, other| one.number < other.number));
    assert!(told.iter().all(|event| event.number > begin));
    let rest = engine.object_events(AccountId::ROOT, Some(told[2].number), 1).await.expect("read");
    assert_eq!(rest, told[3..4]);
}

#[tokio::test]
async fn one_of_many_writers_makes_it_first() {
    let house = opened().await;
    let absent = ObjectOrder { condition: Condition::Absent, ..order("one", "k") };
    let (me, one) = (caller(), body(9, 0));
    let tries = (0..6).map(|_| house.engine.object_put(&me, &absent, stream(vec![one.clone()])));
    let done = futures_util::future::join_all(tries).await;
    assert_eq!(done.iter().filter(|one| one.is_ok()).count(), 1);
    assert_eq!(blobs(&house).await, 1);
}

#[tokio::test]
async fn parts_become_an_object_without_being_copied() {
    let house = opened().await;
    let (engine, me) = (&house.engine, caller());
    let upload = engine.upload_create(&me, &order("one", "big")).await.expect("begun");
    let at = UploadRef { bucket: "one", key: "big", id: &upload.id };
    let (one, two) = (body(PART_BYTES_MIN, 1), body(9, 2));
    let mut asked = Vec::new();
    for (number, bytes) in [(1, &one), (2, &two), (3, &two)] {
        let part = engine.upload_part(&me, at, number, stream(vec![bytes.clone()])).await;
        let etag = part.expect("written").etag;
        asked.push(PartAsked { number, etag });
    }
    let full = blobs(&house).await;
    asked.pop();
    let refused = engine.bucket_delete(&me, "one").await.expect_err("an upload is in it");
    assert_eq!(refused.code(), Code::BucketNotEmpty);
    let done = engine.upload_complete(&me, (&order("one", "big"), &upload.id), &asked).await;
    assert_eq!(done.expect("completed").bytes, PART_BYTES_MIN + 9);
    assert_eq!(blobs(&house).await, full - 1, "the part that was left out went");
    let read = engine.object_read(&me, ("one", "big"), 1 << 30).await.expect("read");
    assert_eq!(read, [one, two].concat());
    let again = engine.upload_parts(&me, at).await.expect_err("over");
    assert_eq!(again.code(), Code::NoSuchUpload);
}

#[tokio::test]
async fn a_listing_goes_on_where_it_ended() {
    let house = opened().await;
    let engine = &house.engine;
    for key in ["a/1", "a/2", "b", "c/1", "c/d/2", "e"] {
        put(engine, key, &body(1, 0)).await.expect("put");
    }
    let mut found = Vec::new();
    let mut query = ObjectQuery { delimiter: "/".into(), limit: 1, ..ObjectQuery::default() };
    loop {
        let page = engine.object_list(&caller(), "one", &query).await.expect("listed");
        found.extend(page.entries.iter().map(|entry| entry.name().to_owned()));
        match page.next() {
            Some(next) => query.after = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(found, ["a/", "b", "c/", "e"]);
    query.after = "a/1".into();
    let page = engine.object_list(&caller(), "one", &query).await.expect("listed");
    assert_eq!(page.entries[0].name(), "a/", "there is more of it after that key");
}

#[tokio::test]
async fn a_bucket_that_is_being_deleted_takes_nothing() {
    let house = opened().await;
    let engine = &house.engine;
    put(engine, "k", &body(1, 0)).await.expect("put");
    let full = engine.bucket_delete(&caller(), "one").await.expect_err("full");
    assert_eq!(full.code(), Code::BucketNotEmpty);
    put(engine, "k", &body(1, 0)).await.expect("and it goes on");
    engine.object_delete(&caller(), "one", "k").await.expect("deleted");
    engine.bucket_delete(&caller(), "one").await.expect("deleted");
    let gone = put(engine, "k", &body(1, 0)).await.expect_err("gone");
    assert_eq!(gone.code(), Code::NoSuchBucket);
    assert_eq!(blobs(&house).await, 0);
}

#[tokio::test]
async fn every_verb_asks_who_calls() {
    let house = opened().await;
    let engine = &house.engine;
    put(engine, "k", &body(1, 0)).await.expect("put");
    let as_role = |role| Caller { role, ..caller() };
    let viewer = as_role(Role::Viewer);
    assert!(engine.object_get(&viewer, "one", "k").await.is_ok());
    let writes = engine.object_put(&viewer, &order("one", "k"), stream(Vec::new())).await;
    assert_eq!(writes.expect_err("a viewer").code(), Code::AccessDenied);
    let invoker = as_role(Role::Invoker);
    let reads = engine.object_open(&invoker, "one", "k").await;
    assert_eq!(reads.expect_err("an invoker").code(), Code::AccessDenied);
    let other = Caller { account: AccountId::new(5), ..caller() };
    let reads = engine.object_get(&other, "one", "k").await;
    assert_eq!(reads.expect_err("another's").code(), Code::NoSuchBucket);
}
