//! The code cache: packages are fetched, checked, unpacked once per checksum and kept until room is
//! needed. What an instance uses is held by a [`Held`] and never removed under it.
//!
//! The cache holds nothing that cannot be fetched again. It is emptied when the machine was booted
//! since (files of before may be incomplete, nothing is fsynced here).

mod layers;
mod names;
mod unpack;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sha2::{Digest as _, Sha256};
use stint_model::function::CodePackage;
use stint_supervise::Supervisor;
use thiserror::Error;

use crate::ports::{CodeSource, FetchError};

pub use names::NameError;
pub use unpack::{UnpackError, UnpackLimits};

/// Where the current boot is named; a cache of another boot is not trusted.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// Directory of what is being written; its content is worthless after a crash.
const DRAFTS: &str = "drafts";

/// Code that did not become available.
#[derive(Debug, Error)]
pub enum CodeError {
    /// The blob did not come.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The blob is not what the function was created with.
    #[error("the package {name} does not have the checksum it was stored with")]
    Checksum {
        /// The blob's name.
        name: String,
    },
    /// The package cannot be used.
    #[error("the package cannot be unpacked: {0}")]
    Unpack(#[from] UnpackError),
    /// The cache's directory cannot be used.
    #[error("cannot {doing} {path}")]
    Disk {
        /// What was being done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The program in it cannot be run.
    #[error("{0}")]
    Program(String),
    /// Unpacking did not end.
    #[error("preparing it crashed: {0}")]
    Crashed(String),
}

impl CodeError {
    /// Whether the package itself is bad, so that trying again cannot help.
    pub fn is_permanent(&self) -> bool {
        matches!(self, Self::Unpack(_) | Self::Checksum { .. } | Self::Program(_))
    }
}

/// How far files of an earlier run are believed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Keeps {
    /// As they are, unless the machine was booted since.
    ThisBoot,
    /// Whoever wants one looks at it first, because whoever makes it can.
    UntilChecked,
}

/// Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct CodeCache {
    shared: Arc<Shared>,
}

struct Shared {
    dir: PathBuf,
    bytes_max: u64,
    limits: UnpackLimits,
    source: Arc<dyn CodeSource>,
    supervisor: Supervisor,
    entries: Mutex<HashMap<String, Arc<Entry>>>,
    /// Counts uses; larger is more recent.
    tick: AtomicU64,
    drafts: AtomicU64,
}

#[derive(Debug, Default)]
struct Entry {
    /// Only one fetches; the rest wait. Holds the unpacked size once it is there.
    ready: tokio::sync::Mutex<Option<u64>>,
    bytes: AtomicU64,
    used_at: AtomicU64,
}

/// A directory that stays while this lives.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    path: PathBuf,
    _entry: Arc<Entry>,
}

impl Held {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CodeCache").field("dir", &self.dir).finish_non_exhaustive()
    }
}

impl CodeCache {
    /// Opens (and where needed empties) the cache. Blocks on the disk.
    pub(crate) fn open(
        dir: PathBuf,
        keeps: Keeps,
        (bytes_max, limits): (u64, UnpackLimits),
        source: Arc<dyn CodeSource>,
        supervisor: Supervisor,
    ) -> Result<Self, CodeError> {
        prepare(&dir, keeps)?;
        let entries = survey(&dir, keeps)?;
        let shared = Shared {
            dir,
            bytes_max,
            limits,
            source,
            supervisor,
            tick: AtomicU64::new(u64::try_from(entries.len()).unwrap_or(0)),
            entries: Mutex::new(entries),
            drafts: AtomicU64::new(0),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The package's files, fetched and unpacked if they are not there yet.
    pub(crate) async fn code(&self, package: &CodePackage) -> Result<Held, CodeError> {
        let name = hex::encode(package.sha256);
        let shared = Arc::clone(&self.shared);
        let package = package.clone();
        self.held(name, async move |path| {
            let zip = shared.source.get(&package.blob).await?;
            let limits = shared.limits;
            shared
                .build(path, move |draft| {
                    if Sha256::digest(&zip)[..] != package.sha256[..] {
                        return Err(CodeError::Checksum { name: package.blob });
                    }
                    Ok(unpack::unpack(&zip, draft, &limits)?)
                })
                .await
        })
        .await
    }

    /// The layers laid over each other: the first wins. One layer is used as it is.
    pub(crate) async fn layers(&self, layers: &[CodePackage]) -> Result<Option<Held>, CodeError> {
        let mut held = Vec::with_capacity(layers.len());
        for layer in layers {
            held.push(self.code(layer).await?);
        }
        if held.len() < 2 {
            return Ok(held.pop());
        }
        let mut hash = Sha256::new();
        for layer in layers {
            hash.update(layer.sha256);
        }
        let name = format!("layers-{}", hex::encode(hash.finalize()));
        let shared = Arc::clone(&self.shared);
        let merged = self
            .held(name, async move |path| {
                shared
                    .build(path, move |draft| {
                        for layer in &held {
                            layers::lay_under(layer.path(), draft)?;
                        }
                        layers::size_of(draft)
                    })
                    .await
            })
            .await?;
        Ok(Some(merged))
    }

    /// What lies under this name, made if it is not there yet.
    pub(crate) async fn held(
        &self,
        name: String,
        make: impl AsyncFnOnce(PathBuf) -> Result<u64, CodeError>,
    ) -> Result<Held, CodeError> {
        let path = self.shared.dir.join(&name);
        let entry = Arc::clone(self.shared.entries().entry(name).or_default());
        let tick = self.shared.tick.fetch_add(1, Ordering::Relaxed);
        entry.used_at.store(tick, Ordering::Relaxed);
        let mut ready = entry.ready.lock().await;
        if ready.is_none() {
            let bytes = make(path.clone()).await?;
            *ready = Some(bytes);
            entry.bytes.store(bytes, Ordering::Relaxed);
            drop(ready);
            self.make_room().await?;
        } else {
            drop(ready);
        }
        Ok(Held { path, _entry: entry })
    }

    /// Fills a directory off the runtime and puts it in place when it is whole.
    pub(crate) async fn build(
        &self,
        path: PathBuf,
        fill: impl FnOnce(&Path) -> Result<u64, CodeError> + Send + 'static,
    ) -> Result<u64, CodeError> {
        self.shared.build(path, fill).await
    }

    /// Removes what nobody uses, least recently used first, until the rest fits.
    async fn make_room(&self) -> Result<(), CodeError> {
        let mut doomed = Vec::new();
        {
            let mut entries = self.shared.entries();
            let mut total: u64 = entries.values().map(|e| e.bytes.load(Ordering::Relaxed)).sum();
            let mut unused: Vec<_> = entries
                .iter()
                .filter(|(_, entry)| Arc::strong_count(entry) == 1)
                .map(|(name, entry)| (entry.used_at.load(Ordering::Relaxed), name.clone()))
                .collect();
            unused.sort_unstable();
            for (_, name) in unused {
                if total <= self.shared.bytes_max {
                    break;
                }
                let draft = self.shared.draft();
                let path = self.shared.dir.join(&name);
                // Renamed while the map is locked: whoever comes next finds nothing and fetches anew.
                if std::fs::rename(&path, &draft).is_ok() {
                    doomed.push(draft);
                }
                if let Some(entry) = entries.remove(&name) {
                    total = total.saturating_sub(entry.bytes.load(Ordering::Relaxed));
                }
            }
        }
        if doomed.is_empty() {
            return Ok(());
        }
        let removed = self.shared.supervisor.blocking(move || {
            for path in doomed {
                if let Err(error) = std::fs::remove_dir_all(&path) {
                    tracing::warn!(%error, path = %path.display(), "cannot remove unused code");
                }
            }
        });
        removed.await.map_err(|crash| CodeError::Crashed(crash.to_string()))
    }
}

impl Shared {
    fn entries(&self) -> MutexGuard<'_, HashMap<String, Arc<Entry>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn draft(&self) -> PathBuf {
        let number = self.drafts.fetch_add(1, Ordering::Relaxed);
        self.dir.join(DRAFTS).join(number.to_string())
    }

    /// Fills a draft off the runtime and puts it in place only when it is whole.
    async fn build(
        &self,
        path: PathBuf,
        fill: impl FnOnce(&Path) -> Result<u64, CodeError> + Send + 'static,
    ) -> Result<u64, CodeError> {
        let draft = self.draft();
        let built = self.supervisor.blocking(move || {
            let filled = disk("create", &draft, std::fs::create_dir(&draft))
                .and_then(|()| fill(&draft))
                .and_then(|bytes| {
                    disk("rename", &draft, std::fs::rename(&draft, &path))?;
                    Ok(bytes)
                });
            if filled.is_err()
                && let Err(error) = std::fs::remove_dir_all(&draft)
            {
                tracing::warn!(%error, path = %draft.display(), "cannot remove a draft");
            }
            filled
        });
        built.await.map_err(|crash| CodeError::Crashed(crash.to_string()))?
    }
}

/// Makes the directories; throws away the content of another boot and all drafts.
fn prepare(dir: &Path, keeps: Keeps) -> Result<(), CodeError> {
    let boot = std::fs::read_to_string(BOOT_ID).unwrap_or_default();
    let mark = dir.join("boot");
    let same = !boot.is_empty() && std::fs::read_to_string(&mark).is_ok_and(|seen| seen == boot);
    if keeps == Keeps::ThisBoot && !same && dir.exists() {
        disk("empty", dir, std::fs::remove_dir_all(dir))?;
    }
    let drafts = dir.join(DRAFTS);
    if drafts.exists() {
        disk("empty", &drafts, std::fs::remove_dir_all(&drafts))?;
    }
    disk("create", &drafts, std::fs::create_dir_all(&drafts))?;
    disk("write", &mark, std::fs::write(&mark, boot))
}

/// What is there from before, with its size.
fn survey(dir: &Path, keeps: Keeps) -> Result<HashMap<String, Arc<Entry>>, CodeError> {
    let mut entries = HashMap::new();
    for found in disk("list", dir, std::fs::read_dir(dir))? {
        let found = disk("list", dir, found)?;
        let name = found.file_name().to_string_lossy().into_owned();
        let is_dir = disk("list", dir, found.file_type())?.is_dir();
        if !is_dir || name == DRAFTS {
            continue;
        }
        let bytes = layers::size_of(&found.path())?;
        let entry = Entry {
            ready: tokio::sync::Mutex::new((keeps == Keeps::ThisBoot).then_some(bytes)),
            bytes: AtomicU64::new(bytes),
            used_at: AtomicU64::new(0),
        };
        entries.insert(name, Arc::new(entry));
    }
    Ok(entries)
}

fn disk<T>(doing: &'static str, path: &Path, result: std::io::Result<T>) -> Result<T, CodeError> {
    result.map_err(|source| CodeError::Disk { doing, path: path.to_owned(), source })
}

#[cfg(test)]
mod tests;
