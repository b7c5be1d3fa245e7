//! Laws of blobs.

use bytes::Bytes;

use crate::blobs::{BlobError, Blobs, NAME_MAX};

async fn put(blobs: &dyn Blobs, name: &str, text: &str) {
    blobs.put(name, Bytes::copy_from_slice(text.as_bytes())).await.expect("puts");
}

/// The empty one and a large one too.
pub async fn a_blob_reads_as_written(blobs: &dyn Blobs) {
    let large = Bytes::from(vec![42; 3 << 20]);
    for (name, bytes) in [("code/1/a.zip", Bytes::from("zip")), ("p/1", Bytes::new()), ("x", large)]
    {
        blobs.put(name, bytes.clone()).await.expect("puts");
        assert_eq!(blobs.get(name).await.expect("reads"), bytes);
    }
}

/// Whole, whatever the lengths.
pub async fn a_second_put_replaces(blobs: &dyn Blobs) {
    put(blobs, "p/1/a", "long text").await;
    put(blobs, "p/1/a", "short").await;
    assert_eq!(blobs.get("p/1/a").await.expect("reads"), "short");
    assert_eq!(blobs.list("p/", None, 9).await.expect("lists").len(), 1);
}

/// Deleting twice is deleting once; a neighbour stays.
pub async fn a_deleted_blob_is_missing(blobs: &dyn Blobs) {
    put(blobs, "p/1/a", "a").await;
    put(blobs, "p/1/a.b", "b").await;
    for _ in 0..2 {
        blobs.delete("p/1/a").await.expect("deletes");
        let missing = blobs.get("p/1/a").await;
        assert!(
            matches!(&missing, Err(BlobError::Missing(name)) if name == "p/1/a"),
            "{missing:?}"
        );
    }
    assert_eq!(blobs.get("p/1/a.b").await.expect("reads"), "b");
    assert!(matches!(blobs.get("p/2/never").await, Err(BlobError::Missing(_))));
}

/// By every verb, before anything is touched.
pub async fn bad_names_are_refused(blobs: &dyn Blobs) {
    let long = "a".repeat(NAME_MAX + 1);
    let bad = ["", "/", "/a", "a/", "a//b", "..", "a/../b", "a/.hidden", "a b", "ü", "a\0", &long];
    for name in bad {
        let refused = blobs.put(name, Bytes::new()).await;
        assert!(matches!(refused, Err(BlobError::BadName(_))), "put {name:?}: {refused:?}");
        let refused = blobs.get(name).await;
        assert!(matches!(refused, Err(BlobError::BadName(_))), "get {name:?}: {refused:?}");
        let refused = blobs.delete(name).await;
        assert!(matches!(refused, Err(BlobError::BadName(_))), "delete {name:?}: {refused:?}");
    }
}

/// In pages, with their lengths.
pub async fn blobs_list_by_prefix_in_order(blobs: &dyn Blobs) {
    for name in ["p/2/b", "p/1/c", "p/1-x", "p/1/a", "q/1/a", "p/1/a.d/e"] {
        put(blobs, name, name).await;
    }
    let names = async |prefix: &str, after: Option<&str>, limit| -> Vec<String> {
        let entries = blobs.list(prefix, after, limit).await.expect("lists");
        assert!(entries.iter().all(|entry| entry.len == entry.name.len() as u64));
        entries.into_iter().map(|entry| entry.name).collect()
    };
    assert_eq!(names("p/", None, 9).await, ["p/1-x", "p/1/a", "p/1/a.d/e", "p/1/c", "p/2/b"]);
    assert_eq!(names("p/1", None, 9).await, ["p/1-x", "p/1/a", "p/1/a.d/e", "p/1/c"]);
    assert_eq!(names("p/", None, 2).await, ["p/1-x", "p/1/a"]);
    assert_eq!(names("p/", Some("p/1/a"), 2).await, ["p/1/a.d/e", "p/1/c"]);
    assert_eq!(names("p/", Some("p/2/b"), 2).await, Vec::<String>::new());
    assert_eq!(names("", None, 99).await.len(), 6);
    assert!(names("nothing/", None, 9).await.is_empty());
}
