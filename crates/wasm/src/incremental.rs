//! The compiler's memory: functions it has compiled before, a file each, so that the next version of
//! a program takes a fraction of the time.
//!
//! One directory per account: what one account's code makes the compiler write, another's never
//! reads. A file that cannot be read or written only costs time.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use sha2::{Digest as _, Sha256};
use wasmtime::CacheStore;

/// What a directory may hold before the oldest files go.
const BYTES_MAX: u64 = 512 << 20;

#[derive(Debug)]
pub(crate) struct FunctionStore {
    dir: PathBuf,
    written: AtomicU64,
}

impl FunctionStore {
    pub(crate) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), written: AtomicU64::new(0) }
    }

    fn path(&self, key: &[u8]) -> PathBuf {
        self.dir.join(hex::encode(Sha256::digest(key)))
    }

    /// Makes room when this run has added something.
    pub(crate) fn prune(&self) {
        if self.written.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut files: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
        for entry in std::fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            if let Ok(meta) = entry.metadata() {
                let used = meta.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                files.push((used, meta.len(), entry.path()));
            }
        }
        let mut total: u64 = files.iter().map(|(_, bytes, _)| bytes).sum();
        files.sort_unstable();
        for (_, bytes, path) in files {
            if total <= BYTES_MAX {
                break;
            }
            // What stays is looked at again next time.
            if std::fs::remove_file(&path).is_ok() {
                total = total.saturating_sub(bytes);
            }
        }
    }
}

impl CacheStore for FunctionStore {
    fn get(&self, key: &[u8]) -> Option<Cow<'_, [u8]>> {
        std::fs::read(self.path(key)).ok().map(Cow::Owned)
    }

    fn insert(&self, key: &[u8], value: Vec<u8>) -> bool {
        let path = self.path(key);
        let number = self.written.fetch_add(1, Ordering::Relaxed);
        let draft = self.dir.join(format!("draft-{}-{number}", std::process::id()));
        // Readers see a whole file or none.
        std::fs::write(&draft, value).and_then(|()| std::fs::rename(&draft, &path)).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_comes_back_and_a_directory_that_is_gone_is_no_error() {
        let dir = tempfile::tempdir().unwrap();
        let store = FunctionStore::new(dir.path());
        assert!(store.get(b"key").is_none());
        assert!(store.insert(b"key", b"code".to_vec()));
        assert_eq!(store.get(b"key").unwrap().as_ref(), b"code");
        store.prune();
        assert!(store.get(b"key").is_some(), "there is room");
        let gone = FunctionStore::new(&dir.path().join("gone"));
        assert!(!gone.insert(b"key", b"code".to_vec()));
        assert!(gone.get(b"key").is_none());
    }
}
