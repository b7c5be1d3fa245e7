//! The cache: once per checksum, merged layers, eviction of what nobody uses.

use std::io::{Cursor, Write as _};
use std::sync::atomic::AtomicUsize;

use async_trait::async_trait;
use bytes::Bytes;
use stint_supervise::Clock;

use super::*;

struct Shelf {
    blobs: HashMap<String, Bytes>,
    gets: AtomicUsize,
}

#[async_trait]
impl CodeSource for Shelf {
    async fn get(&self, name: &str) -> Result<Bytes, FetchError> {
        self.gets.fetch_add(1, Ordering::Relaxed);
        let missing = || FetchError { name: name.to_owned(), reason: "absent".to_owned() };
        self.blobs.get(name).cloned().ok_or_else(missing)
    }
}

fn package(files: &[(&str, &str)]) -> (Bytes, CodePackage) {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, text) in files {
        zip.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(text.as_bytes()).unwrap();
    }
    let bytes = Bytes::from(zip.finish().unwrap().into_inner());
    let sha256: [u8; 32] = Sha256::digest(&bytes).into();
    let size = u64::try_from(bytes.len()).unwrap();
    (bytes, CodePackage { blob: hex::encode(sha256), size, crc64: 0, sha256 })
}

fn cache(
    dir: &Path,
    bytes_max: u64,
    packages: &[&(Bytes, CodePackage)],
) -> (CodeCache, Arc<Shelf>) {
    let blobs = packages.iter().map(|(bytes, p)| (p.blob.clone(), bytes.clone())).collect();
    let shelf = Arc::new(Shelf { blobs, gets: AtomicUsize::new(0) });
    let supervisor = Supervisor::new(Clock::start());
    let source: Arc<dyn CodeSource> = Arc::clone(&shelf) as Arc<dyn CodeSource>;
    let cache = CodeCache::open(
        dir.join("code"),
        Keeps::ThisBoot,
        (bytes_max, UnpackLimits::DEFAULT),
        source,
        supervisor,
    );
    (cache.unwrap(), shelf)
}

#[tokio::test]
async fn a_package_is_fetched_once_even_when_many_ask() {
    let dir = tempfile::tempdir().unwrap();
    let one = package(&[("index.py", "x = 1")]);
    let (cache, shelf) = cache(dir.path(), 1 << 20, &[&one]);
    let (a, b) = tokio::join!(cache.code(&one.1), cache.code(&one.1));
    assert_eq!(a.unwrap().path(), b.unwrap().path());
    assert_eq!(shelf.gets.load(Ordering::Relaxed), 1);
    drop(cache);
    let (again, shelf) = self::cache(dir.path(), 1 << 20, &[&one]);
    let held = again.code(&one.1).await.unwrap();
    assert_eq!(std::fs::read(held.path().join("index.py")).unwrap(), b"x = 1");
    assert_eq!(shelf.gets.load(Ordering::Relaxed), 0, "kept over a restart");
}

#[tokio::test]
async fn a_package_with_another_checksum_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut one = package(&[("index.py", "x = 1")]);
    one.1.sha256 = [7; 32];
    let (cache, _) = cache(dir.path(), 1 << 20, &[&one]);
    let refused = cache.code(&one.1).await.unwrap_err();
    assert!(matches!(refused, CodeError::Checksum { .. }), "{refused:?}");
    assert!(refused.is_permanent());
    let drafts = dir.path().join("code").join(DRAFTS);
    assert_eq!(std::fs::read_dir(drafts).unwrap().count(), 0, "nothing is left behind");
}

#[tokio::test]
async fn the_first_layer_wins() {
    let dir = tempfile::tempdir().unwrap();
    let one = package(&[("bin/tool", "one"), ("a", "file")]);
    let two = package(&[("bin/tool", "two"), ("bin/other", "two"), ("a/b", "hidden")]);
    let (cache, _) = cache(dir.path(), 1 << 20, &[&one, &two]);
    assert!(cache.layers(&[]).await.unwrap().is_none());
    let held = cache.layers(&[one.1.clone(), two.1.clone()]).await.unwrap().unwrap();
    let read = |name: &str| std::fs::read_to_string(held.path().join(name)).unwrap();
    assert_eq!(
        (read("bin/tool"), read("bin/other"), read("a")),
        ("one".into(), "two".into(), "file".into())
    );
    let single = cache.layers(std::slice::from_ref(&two.1)).await.unwrap().unwrap();
    assert_eq!(std::fs::read_to_string(single.path().join("a/b")).unwrap(), "hidden");
}

#[tokio::test]
async fn unused_code_makes_room_and_used_code_stays() {
    let dir = tempfile::tempdir().unwrap();
    let text = "x".repeat(1000);
    let packages: Vec<_> =
        (0..4).map(|n| package(&[(format!("f{n}").as_str(), text.as_str())])).collect();
    let (cache, shelf) = cache(dir.path(), 2500, &packages.iter().collect::<Vec<_>>());
    let held = cache.code(&packages[0].1).await.unwrap();
    for package in &packages[1..] {
        drop(cache.code(&package.1).await.unwrap());
    }
    assert!(held.path().join("f0").exists(), "an instance uses it");
    let gone = dir.path().join("code").join(hex::encode(packages[1].1.sha256));
    assert!(!gone.exists(), "least recently used");
    cache.code(&packages[1].1).await.unwrap();
    assert_eq!(shelf.gets.load(Ordering::Relaxed), 5, "fetched again when needed");
}
