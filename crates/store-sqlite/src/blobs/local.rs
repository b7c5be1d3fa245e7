//! Blobs as files. A put writes a temporary file, syncs it, renames it into place and syncs the
//! directory, so that a blob is there whole or not at all, and stays.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::UNIX_EPOCH;

use async_trait::async_trait;
use bytes::Bytes;
use stint_model::time::Timestamp;
use stint_store::blobs::{BlobEntry, BlobError, Blobs, check_name};
use stint_supervise::Supervisor;

/// Not a name a blob can have.
const TEMPORARY: &str = ".new";

/// Blobs in a directory.
#[derive(Clone, Debug)]
pub struct LocalBlobs {
    root: Arc<PathBuf>,
    count: Arc<AtomicU64>,
    supervisor: Supervisor,
}

impl LocalBlobs {
    /// Uses the directory, making it when missing; what half-written puts left is removed.
    ///
    /// # Errors
    /// When the directory cannot be used.
    pub fn open(root: impl Into<PathBuf>, supervisor: &Supervisor) -> std::io::Result<Self> {
        let root = root.into();
        let temporary = root.join(TEMPORARY);
        match fs::remove_dir_all(&temporary) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        fs::create_dir_all(&temporary)?;
        let count = Arc::new(AtomicU64::new(0));
        Ok(Self { root: Arc::new(root), count, supervisor: supervisor.clone() })
    }

    async fn run<T: Send + 'static>(
        &self,
        operation: &'static str,
        name: &str,
        work: impl FnOnce(&Path) -> std::io::Result<T> + Send + 'static,
    ) -> Result<T, BlobError> {
        let root = Arc::clone(&self.root);
        let done = self.supervisor.blocking(move || work(&root)).await;
        let backend = |source| BlobError::Backend { operation, name: name.to_owned(), source };
        match done {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) if operation == "get" && is_missing(&error) => {
                Err(BlobError::Missing(name.to_owned()))
            }
            Ok(Err(error)) => Err(backend(error.into())),
            Err(crash) => Err(backend(crash.into())),
        }
    }
}

/// Also when a part of the name is a file, or the name is a directory.
fn is_missing(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::IsADirectory)
}

#[async_trait]
impl Blobs for LocalBlobs {
    async fn put(&self, name: &str, bytes: Bytes) -> Result<(), BlobError> {
        check_name(name)?;
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let path = PathBuf::from(name);
        self.run("put", name, move |root| put(root, number, &path, &bytes)).await
    }

    async fn get(&self, name: &str) -> Result<Bytes, BlobError> {
        check_name(name)?;
        let path = PathBuf::from(name);
        let read = self.run("get", name, move |root| {
            let mut bytes = Vec::new();
            File::open(root.join(path))?.read_to_end(&mut bytes)?;
            Ok(Bytes::from(bytes))
        });
        read.await
    }

    async fn delete(&self, name: &str) -> Result<(), BlobError> {
        check_name(name)?;
        let path = PathBuf::from(name);
        let delete = self.run("delete", name, move |root| {
            match fs::remove_file(root.join(&path)) {
                Err(error) if is_missing(&error) => return Ok(()),
                done => done?,
            }
            // Directories that this emptied go too; one that is not empty says so by failing.
            for parent in path.ancestors().skip(1).filter(|p| !p.as_os_str().is_empty()) {
                if fs::remove_dir(root.join(parent)).is_err() {
                    break;
                }
            }
            Ok(())
        });
        delete.await
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<BlobEntry>, BlobError> {
        let walk = (prefix.to_owned(), after.map(str::to_owned));
        let list = self.run("list", prefix, move |root| {
            let mut walk = Walk { prefix: walk.0, after: walk.1, limit, found: Vec::new() };
            walk.directory(root, "")?;
            Ok(walk.found)
        });
        list.await
    }
}

fn put(root: &Path, number: u64, name: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let temporary = root.join(TEMPORARY).join(number.to_string());
    let target = root.join(name);
    let parent = target.parent().unwrap_or(root);
    let written = File::create(&temporary).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_data()
    });
    let placed = written.and_then(|()| {
        loop {
            make_directories(root, parent)?;
            match fs::rename(&temporary, &target) {
                // A delete took the empty directory away in between.
                Err(error) if error.kind() == ErrorKind::NotFound && temporary.exists() => {}
                done => break done,
            }
        }
    });
    if placed.is_err() {
        // The next start removes what this cannot.
        drop(fs::remove_file(&temporary));
    }
    placed?;
    File::open(parent)?.sync_all()
}

/// Makes the directories between `root` and `parent`, each entry synced.
fn make_directories(root: &Path, parent: &Path) -> std::io::Result<()> {
    if parent.is_dir() || parent == root {
        return Ok(());
    }
    let above = parent.parent().unwrap_or(root);
    make_directories(root, above)?;
    match fs::create_dir(parent) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        done => done?,
    }
    File::open(above)?.sync_all()
}

/// Names in the order of their bytes: a directory sorts as its name with a slash.
struct Walk {
    prefix: String,
    after: Option<String>,
    limit: usize,
    found: Vec<BlobEntry>,
}

impl Walk {
    fn directory(&mut self, path: &Path, name: &str) -> std::io::Result<()> {
        let entries = match fs::read_dir(path) {
            Err(error) if is_missing(&error) => return Ok(()),
            entries => entries?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry?;
            let Some(part) = entry.file_name().to_str().map(str::to_owned) else { continue };
            let slash = if entry.file_type()?.is_dir() { "/" } else { "" };
            names.push(format!("{name}{part}{slash}"));
        }
        names.sort_unstable();
        for name in names {
            if self.found.len() >= self.limit {
                return Ok(());
            }
            let last = name.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
            let path = path.join(OsStr::new(last));
            if name.ends_with('/') {
                if self.may_hold(&name) {
                    self.directory(&path, &name)?;
                }
            } else {
                self.file(&path, name)?;
            }
        }
        Ok(())
    }

    fn may_hold(&self, directory: &str) -> bool {
        let on_the_way = directory.starts_with(&*self.prefix) || self.prefix.starts_with(directory);
        let is_past = self
            .after
            .as_deref()
            .is_some_and(|after| after > directory && !after.starts_with(directory));
        on_the_way && !is_past && directory != format!("{TEMPORARY}/")
    }

    fn file(&mut self, path: &Path, name: String) -> std::io::Result<()> {
        let is_after = self.after.as_deref().is_none_or(|after| *name > *after);
        if !name.starts_with(&*self.prefix) || !is_after || check_name(&name).is_err() {
            return Ok(());
        }
        let about = match fs::metadata(path) {
            // Deleted since the directory was read.
            Err(error) if is_missing(&error) => return Ok(()),
            about => about?,
        };
        let since = about.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        let micros = i64::try_from(since.as_micros()).unwrap_or(i64::MAX);
        let modified_at = Timestamp::from_micros(micros);
        self.found.push(BlobEntry { name, len: about.len(), modified_at });
        Ok(())
    }
}
