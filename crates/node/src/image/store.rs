//! Unpacked layers and the images that name them, on disk and in memory.
//!
//! ```text
//! DIR/mark                          the form of all this, and whose files they are
//! DIR/drafts/N                      being written; worthless after a crash
//! DIR/ACCOUNT/layers/HEX            a layer, named by the digest of its uncompressed tar
//! DIR/ACCOUNT/layers/HEX.json       what it weighs; written before the layer gets its name
//! DIR/ACCOUNT/images/HEX.json       an image, named by its pinned digest
//! ```
//! Everything is synced before it gets its name, so what has one is whole.

use std::collections::HashMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use stint_model::id::AccountId;

use super::{ImageError, ImageUser, RunConfig};

const DRAFTS: &str = "drafts";
const FORM: u32 = 1;

/// A layer, there or on its way.
#[derive(Debug, Default)]
pub(super) struct LayerEntry {
    /// Only one fetches; the rest wait.
    pub(super) ready: tokio::sync::Mutex<bool>,
    pub(super) bytes: AtomicU64,
}

/// An image, there or on its way. Whoever has it holds it.
#[derive(Debug, Default)]
pub(crate) struct ImageEntry {
    /// Only one fetches; the rest wait.
    pub(super) ready: tokio::sync::Mutex<Option<Arc<StoredImage>>>,
    pub(super) used_at: AtomicU64,
}

/// An image that is there.
#[derive(Debug)]
pub(super) struct StoredImage {
    /// Its layers, the lowest first.
    pub(super) diffs: Vec<String>,
    pub(super) run: RunConfig,
    pub(super) user: ImageUser,
    /// The same layers, held so that they stay.
    _layers: Vec<Arc<LayerEntry>>,
}

impl StoredImage {
    pub(super) fn new(
        diffs: Vec<String>,
        run: RunConfig,
        user: ImageUser,
        layers: Vec<Arc<LayerEntry>>,
    ) -> Self {
        Self { diffs, run, user, _layers: layers }
    }
}

#[derive(Serialize, Deserialize)]
struct ImageForm {
    diffs: Vec<String>,
    run: RunConfig,
    user: ImageUser,
}

#[derive(Serialize, Deserialize)]
struct LayerForm {
    bytes: u64,
}

type Name = (AccountId, String);

#[derive(Debug, Default)]
struct Entries {
    images: HashMap<Name, Arc<ImageEntry>>,
    layers: HashMap<Name, Arc<LayerEntry>>,
}

/// Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Store {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    dir: PathBuf,
    entries: Mutex<Entries>,
    drafts: AtomicU64,
}

/// A path of ours for the time being; what is there when this goes, goes too.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) path: PathBuf,
}

impl Drop for Draft {
    fn drop(&mut self) {
        // Absent is usual: it was renamed, or never made.
        drop(fs::remove_file(&self.path));
        drop(fs::remove_file(self.path.with_extension("tar")));
        if self.path.is_dir()
            && let Err(error) = fs::remove_dir_all(&self.path)
        {
            tracing::warn!(%error, path = %self.path.display(), "cannot remove a draft");
        }
    }
}

impl Store {
    pub(super) fn open(dir: PathBuf) -> Result<Self, ImageError> {
        let mark = format!("{FORM} {}\n", rustix::process::geteuid().as_raw());
        let path = dir.join("mark");
        if dir.exists() && !fs::read_to_string(&path).is_ok_and(|seen| seen == mark) {
            // Another form, or files of another user: all of it can be fetched again.
            disk("empty", &dir, fs::remove_dir_all(&dir))?;
        }
        let drafts = dir.join(DRAFTS);
        if drafts.exists() {
            disk("empty", &drafts, fs::remove_dir_all(&drafts))?;
        }
        disk("create", &drafts, fs::create_dir_all(&drafts))?;
        disk("write", &path, fs::write(&path, mark))?;
        let entries = survey(&dir)?;
        let shared = Shared { dir, entries: Mutex::new(entries), drafts: AtomicU64::new(0) };
        Ok(Self { shared: Arc::new(shared) })
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.shared.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn draft(&self) -> Draft {
        let number = self.shared.drafts.fetch_add(1, Ordering::Relaxed);
        Draft { path: self.shared.dir.join(DRAFTS).join(number.to_string()) }
    }

    /// Whether so much is free that a layer may come.
    pub(super) fn has_room(&self, free_min: u64) -> Result<(), ImageError> {
        let dir = &self.shared.dir;
        let disk = rustix::fs::statvfs(dir.as_path())
            .map_err(|errno| failed("look at", dir, errno.into()))?;
        if disk.f_bavail.saturating_mul(disk.f_frsize) >= free_min {
            return Ok(());
        }
        Err(failed("add to", dir, std::io::ErrorKind::StorageFull.into()))
    }

    pub(super) fn image(&self, account: AccountId, digest: &str) -> Arc<ImageEntry> {
        Arc::clone(self.entries().images.entry((account, digest.to_owned())).or_default())
    }

    pub(super) fn layer(&self, account: AccountId, diff: &str) -> Arc<LayerEntry> {
        Arc::clone(self.entries().layers.entry((account, diff.to_owned())).or_default())
    }

    pub(super) fn layer_path(&self, account: AccountId, diff: &str) -> PathBuf {
        self.place(account, "layers", diff)
    }

    fn place(&self, account: AccountId, kind: &str, digest: &str) -> PathBuf {
        let hex = digest.strip_prefix("sha256:").unwrap_or(digest);
        self.shared.dir.join(account.to_string()).join(kind).join(hex)
    }

    /// Puts an unpacked layer in its place.
    pub(super) fn keep_layer(
        &self,
        account: AccountId,
        diff: &str,
        draft: &Path,
        bytes: u64,
    ) -> Result<(), ImageError> {
        let path = self.layer_path(account, diff);
        let parent = path.parent().unwrap_or(&self.shared.dir);
        disk("create", parent, fs::create_dir_all(parent))?;
        let opened = disk("open", draft, fs::File::open(draft))?;
        rustix::fs::syncfs(&opened)
            .map_err(|errno| failed("sync", draft, std::io::Error::from(errno)))?;
        self.write(&path.with_extension("json"), &LayerForm { bytes })?;
        disk("rename", draft, fs::rename(draft, &path))
    }

    pub(super) fn write_image(
        &self,
        account: AccountId,
        digest: &str,
        image: &StoredImage,
    ) -> Result<(), ImageError> {
        let path = self.place(account, "images", digest).with_extension("json");
        let StoredImage { diffs, run, user, .. } = image;
        let form = ImageForm { diffs: diffs.clone(), run: run.clone(), user: user.clone() };
        self.write(&path, &form)
    }

    /// A small file, whole or not at all.
    fn write(&self, path: &Path, form: &impl Serialize) -> Result<(), ImageError> {
        let parent = path.parent().unwrap_or(&self.shared.dir);
        disk("create", parent, fs::create_dir_all(parent))?;
        let draft = self.draft();
        let text =
            serde_json::to_vec(form).map_err(|error| failed("encode", path, error.into()))?;
        let mut file = disk("create", &draft.path, fs::File::create(&draft.path))?;
        disk("write", path, file.write_all(&text).and_then(|()| file.sync_all()))?;
        disk("rename", path, fs::rename(&draft.path, path))?;
        let directory = disk("open", parent, fs::File::open(parent))?;
        disk("sync", parent, directory.sync_all())
    }

    /// Removes images that nobody holds, least recently used first, and the layers that only they
    /// named, until the rest fits.
    pub(super) fn make_room(&self, bytes_max: u64) {
        let mut doomed = Vec::new();
        {
            let mut entries = self.entries();
            let mut unused: Vec<(u64, Name)> = entries
                .images
                .iter()
                .filter(|(_, entry)| Arc::strong_count(entry) == 1)
                .map(|(name, entry)| (entry.used_at.load(Ordering::Relaxed), name.clone()))
                .collect();
            // Popped from the end: the oldest.
            unused.sort_unstable_by(|a, b| b.cmp(a));
            while entries.bytes() > bytes_max {
                doomed.extend(self.forget_unnamed(&mut entries));
                if entries.bytes() <= bytes_max {
                    break;
                }
                let Some((_, name)) = unused.pop() else { break };
                let path = self.place(name.0, "images", &name.1).with_extension("json");
                // The name first: what has one is whole.
                if let Err(error) = fs::remove_file(&path)
                    && error.kind() != std::io::ErrorKind::NotFound
                {
                    tracing::warn!(%error, path = %path.display(), "cannot remove an image");
                    continue;
                }
                entries.images.remove(&name);
                doomed.extend(self.forget_unnamed(&mut entries));
            }
        }
        // Off the lock: a layer may be large.
        drop(doomed);
    }

    /// Layers that no image names and nobody fetches leave the store.
    fn forget_unnamed(&self, entries: &mut Entries) -> Vec<Draft> {
        let unnamed: Vec<Name> = entries
            .layers
            .iter()
            .filter(|(_, entry)| Arc::strong_count(entry) == 1)
            .map(|(name, _)| name.clone())
            .collect();
        let mut gone = Vec::new();
        for name in unnamed {
            let path = self.layer_path(name.0, &name.1);
            let draft = self.draft();
            // Absent: it was never fetched.
            if fs::rename(&path, &draft.path).is_ok() {
                gone.push(draft);
            }
            drop(fs::remove_file(path.with_extension("json")));
            entries.layers.remove(&name);
        }
        gone
    }
}

impl Entries {
    fn bytes(&self) -> u64 {
        self.layers.values().map(|layer| layer.bytes.load(Ordering::Relaxed)).sum()
    }
}

/// An empty directory that everybody may enter.
pub(super) fn make_directory(path: &Path) -> Result<(), ImageError> {
    use std::os::unix::fs::PermissionsExt as _;
    disk("create", path, fs::create_dir(path))?;
    disk("open", path, fs::set_permissions(path, fs::Permissions::from_mode(0o755)))
}

/// What is there from before. What is not whole is removed.
fn survey(dir: &Path) -> Result<Entries, ImageError> {
    let mut entries = Entries::default();
    for found in disk("list", dir, fs::read_dir(dir))? {
        let found = disk("list", dir, found)?;
        let Ok(account) = found.file_name().to_string_lossy().parse::<AccountId>() else {
            continue;
        };
        survey_layers(account, &found.path().join("layers"), &mut entries)?;
        survey_images(account, &found.path().join("images"), &mut entries)?;
    }
    Ok(entries)
}

fn survey_layers(account: AccountId, dir: &Path, entries: &mut Entries) -> Result<(), ImageError> {
    for (hex, path) in documents(dir)? {
        let text = fs::read(&path).unwrap_or_default();
        let layer = path.with_extension("");
        match serde_json::from_slice::<LayerForm>(&text) {
            Ok(form) if layer.is_dir() => {
                let entry = LayerEntry {
                    ready: tokio::sync::Mutex::new(true),
                    bytes: AtomicU64::new(form.bytes),
                };
                entries.layers.insert((account, format!("sha256:{hex}")), Arc::new(entry));
            }
            Ok(_) | Err(_) => {
                disk("remove", &path, fs::remove_file(&path))?;
                if layer.is_dir() {
                    disk("remove", &layer, fs::remove_dir_all(&layer))?;
                }
            }
        }
    }
    Ok(())
}

fn survey_images(account: AccountId, dir: &Path, entries: &mut Entries) -> Result<(), ImageError> {
    for (hex, path) in documents(dir)? {
        let text = fs::read(&path).unwrap_or_default();
        let form = serde_json::from_slice::<ImageForm>(&text).ok();
        let stored = form.and_then(|form| {
            let layer = |diff: &String| entries.layers.get(&(account, diff.clone())).cloned();
            let layers: Option<Vec<_>> = form.diffs.iter().map(layer).collect();
            let ImageForm { diffs, run, user } = form;
            Some(StoredImage::new(diffs, run, user, layers?))
        });
        let Some(stored) = stored else {
            disk("remove", &path, fs::remove_file(&path))?;
            continue;
        };
        let entry = ImageEntry {
            ready: tokio::sync::Mutex::new(Some(Arc::new(stored))),
            used_at: AtomicU64::new(0),
        };
        entries.images.insert((account, format!("sha256:{hex}")), Arc::new(entry));
    }
    Ok(())
}

/// The documents of a directory, by their names without the ending.
fn documents(dir: &Path) -> Result<Vec<(String, PathBuf)>, ImageError> {
    let mut found = Vec::new();
    if !dir.exists() {
        return Ok(found);
    }
    for entry in disk("list", dir, fs::read_dir(dir))? {
        let path = disk("list", dir, entry)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if let Some(hex) = name.strip_suffix(".json") {
            found.push((hex.to_owned(), path));
        }
    }
    Ok(found)
}

fn failed(doing: &'static str, path: &Path, source: std::io::Error) -> ImageError {
    ImageError::Disk { doing, path: path.to_owned(), source }
}

fn disk<T>(doing: &'static str, path: &Path, done: std::io::Result<T>) -> Result<T, ImageError> {
    done.map_err(|source| failed(doing, path, source))
}
