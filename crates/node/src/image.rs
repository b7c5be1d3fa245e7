//! The images of a node: resolved, fetched and unpacked once, kept until room is needed.
//!
//! Layers are kept per account. Their files belong to the account's host user, which is what lets an
//! instance's only user own its whole root; and whether another account has a layer is nobody's
//! business. Within an account every function shares them, because they are read-only: what an instance
//! writes goes to a layer of its own. What an instance uses is held and never removed under it.
//!
//! A layer is on disk before its name is, so the store survives a reboot; a pinned image runs from
//! here without asking its registry.

mod archive;
mod manifest;
mod registry;
mod source;
mod store;
mod trust;
mod unpack;
mod user;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::Digest as _;
use stint_model::id::AccountId;
use stint_model::image::{ImageFault, ImageFaultKind, ImageSource, PinnedImage};
use stint_model::time::Span;
use stint_sandbox::HostUser;
use stint_supervise::{Clock, Guests, Supervisor};
use stint_wire::node::ImageOrder;
use thiserror::Error;
use tokio::sync::oneshot;

use crate::ports::{CodeSource, FetchError};

use source::{Layer, Plan, Source};
use store::{ImageEntry, LayerEntry, Store, StoredImage};

pub(crate) use manifest::RunConfig;
pub(crate) use user::ImageUser;

pub use unpack::{LayerError, LayerLimits};

/// Tries at a source that does not answer, and the pause before the second; it doubles.
const TRIES: u32 = 4;
const PAUSE: Span = Span::from_millis(500);
/// For one image, from its reference to its last layer.
const FETCH_WITHIN: Span = Span::from_secs(30 * 60);

/// What the operator says about images.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ImageSettings {
    /// Registries as `host[:port]`; empty for any.
    pub registries: Vec<String>,
    /// Whether this machine's own ports may be registries without being listed.
    pub loopback_allowed: bool,
    /// Directories with OCI layouts, with everything below them.
    pub layouts: Vec<PathBuf>,
    /// Bytes of unpacked layers that are kept.
    pub bytes_max: u64,
    /// What an image may become; the depth and the entries count for each layer.
    pub layer: LayerLimits,
}

/// Why an image cannot be had.
#[derive(Debug, Error)]
pub(crate) enum ImageError {
    #[error("{0} has no such image")]
    NotFound(String),
    #[error("{0}")]
    Denied(String),
    #[error("{0}")]
    Unreachable(String),
    #[error("{0}")]
    Invalid(String),
    #[error("what came for {0} has another digest")]
    Digest(String),
    #[error("a layer cannot be unpacked: {0}")]
    Layer(#[from] LayerError),
    #[error("the operator of this node does not allow {0}")]
    NotAllowed(String),
    #[error(
        "the reference means {is} now, not {was} as when the function was created or updated; \
         update the function to take the new image"
    )]
    Changed { was: String, is: String },
    #[error(transparent)]
    Code(#[from] FetchError),
    #[error("cannot {doing} {path}: {source}")]
    Disk { doing: &'static str, path: PathBuf, source: std::io::Error },
    #[error("fetching it took longer than {0} seconds")]
    Late(u64),
    #[error("unpacking crashed: {0}")]
    Crashed(String),
}

impl ImageError {
    /// What the function's owner is told.
    pub(crate) fn fault(&self) -> ImageFault {
        let kind = match self {
            Self::NotFound(_) => ImageFaultKind::NotFound,
            Self::Denied(_) => ImageFaultKind::AccessDenied,
            Self::Unreachable(_) | Self::Late(_) => ImageFaultKind::Unreachable,
            Self::Layer(error) if error.is_local() => ImageFaultKind::Internal,
            Self::Invalid(_) | Self::Digest(_) | Self::Layer(_) => ImageFaultKind::Invalid,
            Self::NotAllowed(_) => ImageFaultKind::NotAllowed,
            Self::Changed { .. } => ImageFaultKind::Changed,
            Self::Code(_) | Self::Disk { .. } | Self::Crashed(_) => ImageFaultKind::Internal,
        };
        ImageFault { kind, reason: self.to_string() }
    }

    /// Whether the same may go well in a moment.
    fn is_passing(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Code(_))
    }
}

/// An image that an instance runs; it stays while this lives.
#[derive(Clone, Debug)]
pub(crate) struct HeldImage {
    stored: Arc<StoredImage>,
    /// The topmost first.
    pub(crate) layers: Vec<PathBuf>,
    _entry: Arc<ImageEntry>,
}

impl HeldImage {
    pub(crate) fn run(&self) -> &RunConfig {
        &self.stored.run
    }

    pub(crate) fn user(&self) -> &ImageUser {
        &self.stored.user
    }
}

/// Images fetched at once because an instance needs them.
const FETCHES_MAX: usize = 64;
/// What is left free on the node's disk, whatever comes.
const DISK_FREE_MIN: u64 = 1 << 30;

/// What the images of a node stand on.
pub(crate) struct ImageDeps {
    pub(crate) source: Arc<dyn CodeSource>,
    pub(crate) supervisor: Supervisor,
    pub(crate) clock: Clock,
}

/// Cheap to clone.
#[derive(Clone)]
pub(crate) struct Images {
    shared: Arc<Shared>,
}

struct Shared {
    settings: ImageSettings,
    store: Store,
    deps: ImageDeps,
    fetches: Guests,
    tick: AtomicU64,
}

impl std::fmt::Debug for Images {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Images").field("settings", &self.shared.settings).finish_non_exhaustive()
    }
}

impl Images {
    /// Opens the store. Blocks on the disk.
    pub(crate) fn open(
        dir: PathBuf,
        settings: ImageSettings,
        deps: ImageDeps,
    ) -> Result<Self, ImageError> {
        let store = Store::open(dir)?;
        let fetches = deps.supervisor.guests("image-fetch", FETCHES_MAX);
        let shared = Shared { settings, store, deps, fetches, tick: AtomicU64::new(1) };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// What the reference means now, with the image ready to run.
    pub(crate) async fn resolve(
        &self,
        order: &ImageOrder,
        owner: HostUser,
    ) -> Result<PinnedImage, ImageError> {
        let asked = ImageOrder { pinned: None, ..order.clone() };
        let (pinned, _) = self.fetched(&asked, owner).await?;
        Ok(pinned)
    }

    /// The pinned image. Asks its source only when it is not here, and then waits no longer than
    /// `patience`: what is being fetched goes on, for whoever asks next.
    pub(crate) async fn hold(
        &self,
        order: &ImageOrder,
        owner: HostUser,
        patience: Span,
    ) -> Result<HeldImage, ImageError> {
        let Some(pin) = &order.pinned else {
            return Err(ImageError::Invalid("it has never been resolved".to_owned()));
        };
        let entry = self.entry(order.account, &pin.digest);
        let ready = entry.ready.lock().await.clone();
        if let Some(stored) = ready {
            return Ok(self.held(order.account, stored, entry));
        }
        drop(entry);
        let (tell, heard) = oneshot::channel();
        let (images, order) = (self.clone(), order.clone());
        self.shared.fetches.admit().await.spawn(move |_stop| async move {
            let fetched = images.fetched(&order, owner).await;
            // Nobody may wait any more.
            drop(tell.send(fetched.map(|(_, held)| held)));
        });
        let crashed = || ImageError::Crashed("the fetch".to_owned());
        match self.shared.deps.clock.within(patience, heard).await {
            Some(fetched) => fetched.unwrap_or_else(|_| Err(crashed())),
            None => Err(ImageError::Late(patience.secs())),
        }
    }

    fn entry(&self, account: AccountId, digest: &str) -> Arc<ImageEntry> {
        let entry = self.shared.store.image(account, digest);
        let tick = self.shared.tick.fetch_add(1, Ordering::Relaxed);
        entry.used_at.store(tick, Ordering::Relaxed);
        entry
    }

    fn held(
        &self,
        account: AccountId,
        stored: Arc<StoredImage>,
        entry: Arc<ImageEntry>,
    ) -> HeldImage {
        let path = |diff: &String| self.shared.store.layer_path(account, diff);
        let layers = stored.diffs.iter().rev().map(path).collect();
        HeldImage { stored, layers, _entry: entry }
    }

    /// Fetches with patience for a source that does not answer.
    async fn fetched(
        &self,
        order: &ImageOrder,
        owner: HostUser,
    ) -> Result<(PinnedImage, HeldImage), ImageError> {
        let clock = &self.shared.deps.clock;
        let tries = async {
            let mut pause = PAUSE;
            for _ in 1..TRIES {
                match self.fetch_once(order, owner).await {
                    Err(error) if error.is_passing() => clock.sleep(pause).await,
                    other => return other,
                }
                pause = pause.times(2);
            }
            self.fetch_once(order, owner).await
        };
        let late = ImageError::Late(FETCH_WITHIN.secs());
        clock.within(FETCH_WITHIN, tries).await.unwrap_or(Err(late))
    }

    async fn fetch_once(
        &self,
        order: &ImageOrder,
        owner: HostUser,
    ) -> Result<(PinnedImage, HeldImage), ImageError> {
        let draft = self.shared.store.draft();
        let code = self.take_code(order, &draft.path).await?;
        let source = Source::open(order, &self.shared.settings, code).await?;
        let plan = source.plan(order.pinned.as_ref()).await?;
        let pinned = plan.pinned.clone();
        let entry = self.entry(order.account, &pinned.digest);
        // Only one fetches; the rest wait.
        let mut ready = entry.ready.lock().await;
        let stored = match &*ready {
            Some(stored) => Arc::clone(stored),
            None => {
                let stored = Arc::new(self.build(order.account, &source, plan, owner).await?);
                *ready = Some(Arc::clone(&stored));
                stored
            }
        };
        drop(ready);
        let held = self.held(order.account, stored, entry);
        self.make_room().await?;
        Ok((pinned, held))
    }

    /// An archive that was uploaded as code, as a tar in a draft.
    async fn take_code(
        &self,
        order: &ImageOrder,
        draft: &Path,
    ) -> Result<Option<PathBuf>, ImageError> {
        let is_code = matches!(ImageSource::parse(&order.reference), Ok(ImageSource::Code { .. }));
        let Some(package) = order.code.clone().filter(|_| is_code) else { return Ok(None) };
        let bytes = self.shared.deps.source.get(&package.blob).await?;
        let path = draft.with_extension("tar");
        let (to, bytes_max) = (path.clone(), self.shared.settings.layer.bytes_max);
        self.blocking(move || {
            if sha2::Sha256::digest(&bytes)[..] != package.sha256[..] {
                return Err(ImageError::Digest("the code package".to_owned()));
            }
            archive::take_tar(&bytes, &to, bytes_max)
        })
        .await?;
        Ok(Some(path))
    }

    /// Layers first, then the image that names them.
    async fn build(
        &self,
        account: AccountId,
        source: &Source,
        plan: Plan,
        owner: HostUser,
    ) -> Result<StoredImage, ImageError> {
        let owner = rustix::process::geteuid().is_root().then_some(owner);
        let mut layers = Vec::with_capacity(plan.layers.len().max(1));
        let mut diffs = Vec::with_capacity(plan.layers.len().max(1));
        let mut limits = self.shared.settings.layer;
        for layer in &plan.layers {
            let entry = self.layer(account, source, layer, (owner, limits)).await?;
            // The bound is the whole image's.
            let bytes = entry.bytes.load(Ordering::Relaxed);
            limits.bytes_max = limits.bytes_max.saturating_sub(bytes);
            layers.push(entry);
            diffs.push(layer.diff.clone());
        }
        if layers.is_empty() {
            return Err(ImageError::Invalid("it has no layers".to_owned()));
        }
        let paths: Vec<PathBuf> =
            diffs.iter().rev().map(|diff| self.shared.store.layer_path(account, diff)).collect();
        let said = plan.run.user.clone();
        let user = self.blocking(move || user::resolve(&said, &paths)).await?;
        let stored = StoredImage::new(diffs, plan.run, user, layers);
        let (store, digest) = (self.shared.store.clone(), plan.pinned.digest);
        self.blocking(move || {
            store.write_image(account, &digest, &stored)?;
            Ok(stored)
        })
        .await
    }

    async fn layer(
        &self,
        account: AccountId,
        source: &Source,
        layer: &Layer,
        (owner, limits): (Option<HostUser>, LayerLimits),
    ) -> Result<Arc<LayerEntry>, ImageError> {
        let entry = self.shared.store.layer(account, &layer.diff);
        let mut is_ready = entry.ready.lock().await;
        if *is_ready {
            drop(is_ready);
            return Ok(entry);
        }
        self.shared.store.has_room(DISK_FREE_MIN)?;
        let blob = self.shared.store.draft();
        let fetched = source.fetch(layer, blob.path.clone(), &self.shared.settings).await?;
        let store = self.shared.store.clone();
        let diff = layer.diff.clone();
        let bytes = self
            .blocking(move || {
                let draft = store.draft();
                store::make_directory(&draft.path)?;
                let unpacked = fetched.unpack(&draft.path, &limits, owner)?;
                if format!("sha256:{}", hex::encode(unpacked.diff)) != diff {
                    return Err(ImageError::Digest(diff));
                }
                store.keep_layer(account, &diff, &draft.path, unpacked.bytes)?;
                Ok(unpacked.bytes)
            })
            .await?;
        entry.bytes.store(bytes, Ordering::Relaxed);
        *is_ready = true;
        drop(is_ready);
        drop(blob);
        Ok(entry)
    }

    /// Removes what nobody uses, least recently used first, until the rest fits.
    async fn make_room(&self) -> Result<(), ImageError> {
        let (store, bytes_max) = (self.shared.store.clone(), self.shared.settings.bytes_max);
        self.blocking(move || {
            store.make_room(bytes_max);
            Ok(())
        })
        .await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, ImageError> + Send + 'static,
    ) -> Result<T, ImageError> {
        let done = self.shared.deps.supervisor.blocking(work).await;
        done.map_err(|crash| ImageError::Crashed(crash.to_string()))?
    }
}

#[cfg(test)]
mod tests;
