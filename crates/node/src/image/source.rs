//! Where an image comes from, behind one face: what a reference means now, the documents, and the
//! layers as files to unpack.

use std::io::Read;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use stint_model::image::{ImageSource, PinnedImage};
use stint_wire::node::ImageOrder;

use super::archive::{self, Checked, Files};
use super::manifest::{self, Descriptor, Document, RunConfig, Step};
use super::registry::{self, Registry};
use super::unpack::{self, LayerLimits, Unpacked};
use super::{ImageError, ImageSettings};

/// See the module.
pub(super) enum Source {
    Registry {
        registry: Registry,
        host: String,
        repository: String,
        reference: String,
    },
    /// A layout; in a draft file when it came as code.
    Layout {
        files: Files,
        tag: Option<String>,
        shown: String,
    },
}

/// Everything about an image but its layers' bytes.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) pinned: PinnedImage,
    pub(super) run: RunConfig,
    /// The lowest first.
    pub(super) layers: Vec<Layer>,
}

/// A layer of a plan.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    /// Digest of its uncompressed tar.
    pub(super) diff: String,
    blob: Blob,
}

#[derive(Clone, Debug)]
enum Blob {
    /// By its own digest.
    Digest(Descriptor),
    /// By its name in the archive; the digest of the uncompressed tar has to do.
    File(String),
}

/// How deep indexes may lie in each other.
const INDEXES_MAX: usize = 3;

impl Source {
    /// `code` is the file that holds an uploaded archive.
    pub(super) async fn open(
        order: &ImageOrder,
        settings: &ImageSettings,
        code: Option<PathBuf>,
    ) -> Result<Self, ImageError> {
        let parsed = ImageSource::parse(&order.reference).map_err(ImageError::Invalid)?;
        match parsed {
            ImageSource::Registry { host, repository, tag, digest } => {
                allowed_registry(&host, settings)?;
                let registry = Registry::open(&host, &repository, &order.access).await?;
                let reference = digest.or(tag).unwrap_or_default();
                Ok(Self::Registry { registry, host, repository, reference })
            }
            ImageSource::Layout { path, tag } => {
                let files = Files::directory(allowed_layout(&path, settings)?);
                Ok(Self::Layout { files, tag, shown: format!("oci:{path}") })
            }
            ImageSource::Code { tag } => {
                let path = code.ok_or_else(|| {
                    let message = "image `code` needs an archive uploaded as the function's code";
                    ImageError::Invalid(message.to_owned())
                })?;
                Ok(Self::Layout { files: Files::tar(path)?, tag, shown: "code".to_owned() })
            }
        }
    }

    /// What the reference means now, and everything it says. With a pin: that image, as long as the
    /// reference still means it.
    pub(super) async fn plan(&self, pinned: Option<&PinnedImage>) -> Result<Plan, ImageError> {
        let plan = match self {
            Self::Registry { reference, .. } => {
                let (digest, bytes) = self.top_manifest(reference).await?;
                self.documents(digest, &bytes).await?
            }
            Self::Layout { files, tag, .. } if files.has("index.json") => {
                let top = files.top(tag.as_deref())?;
                let bytes = self.checked_document(&top).await?;
                self.documents(top.digest, &bytes).await?
            }
            Self::Layout { files, tag, .. } => {
                let saved = files.saved(tag.as_deref())?;
                let bytes = files.document(&saved.config)?;
                let (diffs, run) = manifest::config(&bytes)?;
                let digest = format!("sha256:{}", hex::encode(Sha256::digest(&bytes)));
                let layers = saved.layers.into_iter().map(Blob::File);
                Plan { pinned: self.pin(digest), run, layers: paired(diffs, layers.collect())? }
            }
        };
        match pinned {
            Some(pin) if pin.digest != plan.pinned.digest => {
                Err(ImageError::Changed { was: pin.digest.clone(), is: plan.pinned.digest })
            }
            Some(_) | None => Ok(plan),
        }
    }

    async fn top_manifest(&self, reference: &str) -> Result<(String, Bytes), ImageError> {
        match self {
            Self::Registry { registry, .. } => registry.manifest(reference).await,
            Self::Layout { files, .. } => {
                let bytes = files.document(&archive::blob_file(reference)?)?;
                Ok((reference.to_owned(), bytes))
            }
        }
    }

    /// Follows a manifest to the configuration and the layers for this machine.
    async fn documents(&self, digest: String, bytes: &Bytes) -> Result<Plan, ImageError> {
        let mut document = Document::read(bytes)?;
        for _ in 0..INDEXES_MAX {
            match document.step()? {
                Step::Manifest(next) => {
                    let (found, bytes) = self.top_manifest(&next.digest).await?;
                    verify(&next.digest, &bytes)?;
                    debug_assert_eq!(found, next.digest);
                    document = Document::read(&bytes)?;
                }
                Step::Image { config, layers } => {
                    let bytes = self.checked_document(&config).await?;
                    let (diffs, run) = manifest::config(&bytes)?;
                    let blobs = layers.into_iter().map(Blob::Digest).collect();
                    return Ok(Plan {
                        pinned: self.pin(digest),
                        run,
                        layers: paired(diffs, blobs)?,
                    });
                }
            }
        }
        Err(ImageError::Invalid("its indexes lie too deep in each other".to_owned()))
    }

    async fn checked_document(&self, at: &Descriptor) -> Result<Bytes, ImageError> {
        let file = archive::blob_file(&at.digest)?;
        let bytes = match self {
            Self::Registry { registry, .. } => registry.document(at).await?,
            Self::Layout { files, .. } => files.document(&file)?,
        };
        verify(&at.digest, &bytes)?;
        Ok(bytes)
    }

    fn pin(&self, digest: String) -> PinnedImage {
        let uri = match self {
            Self::Registry { host, repository, .. } => format!("{host}/{repository}@{digest}"),
            Self::Layout { shown, .. } => format!("{shown}@{digest}"),
        };
        PinnedImage { digest, uri }
    }

    /// Gets a layer's bytes to where they can be read from: into `draft`, or nothing to do.
    pub(super) async fn fetch(
        &self,
        layer: &Layer,
        draft: PathBuf,
        settings: &ImageSettings,
    ) -> Result<Fetched, ImageError> {
        match (self, &layer.blob) {
            (Self::Registry { registry, .. }, Blob::Digest(blob)) => {
                archive::blob_file(&blob.digest)?;
                if blob.size > settings.layer.bytes_max {
                    return Err(ImageError::Invalid("one of its layers is too large".to_owned()));
                }
                registry.blob(blob, &draft).await?;
                Ok(Fetched::Draft(draft))
            }
            (Self::Layout { files, .. }, Blob::Digest(blob)) => {
                let name = archive::blob_file(&blob.digest)?;
                let stream = files.stream(&name)?;
                Ok(Fetched::Stream(Box::new(stream), Some(blob.digest.clone())))
            }
            (Self::Layout { files, .. }, Blob::File(name)) => {
                Ok(Fetched::Stream(Box::new(files.stream(name)?), None))
            }
            (Self::Registry { .. }, Blob::File(_)) => {
                unreachable!("a registry's plan names blobs by digest")
            }
        }
    }
}

/// A layer's bytes.
pub(super) enum Fetched {
    /// In a file of ours; its digest was checked as it came.
    Draft(PathBuf),
    /// To be read where they lie, and their digest if there is one.
    Stream(Box<dyn Read + Send>, Option<String>),
}

impl Fetched {
    /// Unpacks them. Blocks on the disk.
    pub(super) fn unpack(
        self,
        target: &Path,
        limits: &LayerLimits,
        owner: Option<stint_sandbox::HostUser>,
    ) -> Result<Unpacked, ImageError> {
        match self {
            Self::Draft(path) => {
                let file = std::fs::File::open(&path);
                let file =
                    file.map_err(|source| ImageError::Disk { doing: "read", path, source })?;
                Ok(unpack::unpack(file, target, limits, owner)?)
            }
            Self::Stream(stream, digest) => {
                let mut checked = Checked::new(stream);
                let unpacked = unpack::unpack(&mut checked, target, limits, owner)?;
                let is = checked.digest().map_err(unpack::LayerError::Tar)?;
                match digest {
                    Some(digest) if digest != is => Err(ImageError::Digest(digest)),
                    Some(_) | None => Ok(unpacked),
                }
            }
        }
    }
}

fn verify(digest: &str, bytes: &[u8]) -> Result<(), ImageError> {
    if format!("sha256:{}", hex::encode(Sha256::digest(bytes))) == digest {
        return Ok(());
    }
    Err(ImageError::Digest(digest.to_owned()))
}

/// Layers with the digests that the configuration gives them.
fn paired(diffs: Vec<String>, blobs: Vec<Blob>) -> Result<Vec<Layer>, ImageError> {
    if diffs.len() != blobs.len() {
        let (named, there) = (diffs.len(), blobs.len());
        let message = format!("its configuration names {named} layers, its manifest {there}");
        return Err(ImageError::Invalid(message));
    }
    Ok(diffs.into_iter().zip(blobs).map(|(diff, blob)| Layer { diff, blob }).collect())
}

/// On a node for several accounts this machine's own ports are not a registry unless it is listed:
/// an image's owner would make the node talk to what only the node may talk to.
fn allowed_registry(host: &str, settings: &ImageSettings) -> Result<(), ImageError> {
    let listed = settings.registries.iter().any(|one| one == host);
    let open = settings.registries.is_empty()
        && (settings.loopback_allowed || !registry::is_loopback(host));
    if listed || open {
        return Ok(());
    }
    Err(ImageError::NotAllowed(format!(
        "registry {host} (`node.registries` lists those it allows)"
    )))
}

fn allowed_layout(path: &str, settings: &ImageSettings) -> Result<PathBuf, ImageError> {
    let denied = || {
        ImageError::NotAllowed(format!("directory {path} (`node.oci_allow` lists those it allows)"))
    };
    // What the operator allows decides first: whether a path exists is nobody's business.
    let lies_in = |path: &Path| {
        settings.layouts.iter().any(|allowed| {
            std::fs::canonicalize(allowed).is_ok_and(|allowed| path.starts_with(allowed))
        })
    };
    let named = settings.layouts.iter().any(|allowed| Path::new(path).starts_with(allowed));
    match std::fs::canonicalize(path) {
        Ok(real) if lies_in(&real) => Ok(real),
        Err(_) if named => Err(ImageError::NotFound(format!("directory {path}"))),
        Ok(_) | Err(_) => Err(denied()),
    }
}
