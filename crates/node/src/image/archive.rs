//! Images that lie in files: OCI layouts, as a directory or in a tar, and what `docker save` writes.
//!
//! A tar is read in place: first which file is where in it, then only what is asked for. A zip around
//! it is taken off before.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::ImageError;
use super::manifest::{DOCUMENT_BYTES_MAX, Descriptor, Document};

/// Files of one archive.
const FILES_MAX: usize = 10_000;
/// Images of one `docker save`.
const IMAGES_MAX: usize = 1_000;

/// Files by name, wherever they lie.
#[derive(Debug)]
pub(super) enum Files {
    Directory(PathBuf),
    Tar { path: PathBuf, places: HashMap<String, Place> },
}

/// Where a file lies in a tar.
#[derive(Clone, Debug)]
pub(super) enum Place {
    Here {
        offset: u64,
        length: u64,
    },
    /// Old archives name a layer twice by a link.
    Link(String),
}

/// An image of `docker save`: files by name, no digests but the configuration's.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct SavedImage {
    pub(super) config: String,
    pub(super) repo_tags: Option<Vec<String>>,
    pub(super) layers: Vec<String>,
}

impl Files {
    pub(super) fn directory(path: PathBuf) -> Self {
        Self::Directory(path)
    }

    /// Reads which file is where. Blocks on the disk.
    pub(super) fn tar(path: PathBuf) -> Result<Self, ImageError> {
        let unreadable = |error: std::io::Error| {
            ImageError::Invalid(format!("the archive cannot be read: {error}"))
        };
        let file = File::open(&path).map_err(unreadable)?;
        let mut archive = tar::Archive::new(file);
        let mut places = HashMap::new();
        // Names in image archives are short; extended headers say nothing that is needed here.
        for entry in archive.entries_with_seek().map_err(unreadable)?.raw(true) {
            let entry = entry.map_err(unreadable)?;
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            let name = name.trim_start_matches("./").to_owned();
            let place = match entry.header().entry_type() {
                tar::EntryType::Regular | tar::EntryType::Continuous => {
                    Place::Here { offset: entry.raw_file_position(), length: entry.size() }
                }
                tar::EntryType::Symlink | tar::EntryType::Link => {
                    let target = entry.link_name_bytes().unwrap_or_default();
                    let target = String::from_utf8_lossy(&target);
                    // `../other/layer.tar`: beside its own directory.
                    Place::Link(target.trim_start_matches("../").to_owned())
                }
                _ => continue,
            };
            places.insert(name, place);
            if places.len() > FILES_MAX {
                let message = format!("the archive has more than {FILES_MAX} files");
                return Err(ImageError::Invalid(message));
            }
        }
        Ok(Self::Tar { path, places })
    }

    /// A file, open at its beginning, and its length. Blocks on the disk.
    fn open(&self, name: &str) -> Result<(File, u64), ImageError> {
        let absent = || ImageError::NotFound(format!("file {name} of the archive"));
        match self {
            Self::Directory(dir) => {
                let path = dir.join(name);
                let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
                let flags = i32::try_from(flags.bits()).expect("small bits");
                let file = File::options().read(true).custom_flags(flags).open(&path);
                let file = file.map_err(|_| absent())?;
                let meta = file.metadata().map_err(|_| absent())?;
                if meta.is_file() { Ok((file, meta.len())) } else { Err(absent()) }
            }
            Self::Tar { path, places } => {
                let place = match places.get(name) {
                    Some(Place::Link(target)) => places.get(target),
                    place => place,
                };
                let Some(Place::Here { offset, length }) = place else { return Err(absent()) };
                let disk = |source| ImageError::Disk { doing: "read", path: path.clone(), source };
                let mut file = File::open(path).map_err(disk)?;
                file.seek(SeekFrom::Start(*offset)).map_err(disk)?;
                Ok((file, *length))
            }
        }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.open(name).is_ok()
    }

    /// A small file, whole.
    pub(super) fn document(&self, name: &str) -> Result<Bytes, ImageError> {
        let (file, length) = self.open(name)?;
        if length > DOCUMENT_BYTES_MAX {
            return Err(ImageError::Invalid(format!("{name} is too large")));
        }
        let mut bytes = Vec::new();
        file.take(length).read_to_end(&mut bytes).map_err(|source| ImageError::Disk {
            doing: "read",
            path: name.into(),
            source,
        })?;
        Ok(bytes.into())
    }

    /// A large file. Blocks on the disk.
    pub(super) fn stream(&self, name: &str) -> Result<impl Read + use<>, ImageError> {
        let (file, length) = self.open(name)?;
        Ok(file.take(length))
    }

    /// What the index names `tag`, or the only one that it names.
    pub(super) fn top(&self, tag: Option<&str>) -> Result<Descriptor, ImageError> {
        let index = Document::read(&self.document("index.json")?)?;
        let mut found: Vec<Descriptor> = match tag {
            Some(tag) => index
                .manifests
                .into_iter()
                .filter(|one| one.ref_name().is_some_and(|name| is_named(name, tag)))
                .collect(),
            None => index.manifests,
        };
        let only = found.pop().filter(|_| found.is_empty());
        only.ok_or_else(|| none_or_several(tag))
    }

    /// The images of `docker save`.
    pub(super) fn saved(&self, tag: Option<&str>) -> Result<SavedImage, ImageError> {
        let text = self.document("manifest.json")?;
        let images: Vec<SavedImage> = serde_json::from_slice(&text).map_err(|error| {
            ImageError::Invalid(format!("its manifest.json cannot be read: {error}"))
        })?;
        let named = |image: &SavedImage| {
            let tags = image.repo_tags.iter().flatten();
            tag.is_none_or(|tag| tags.clone().any(|name| is_named(name, tag)))
        };
        let mut found: Vec<_> = images.into_iter().take(IMAGES_MAX).filter(named).collect();
        let only = found.pop().filter(|_| found.is_empty());
        only.ok_or_else(|| none_or_several(tag))
    }
}

/// A whole name, or the tag at its end.
fn is_named(name: &str, tag: &str) -> bool {
    name == tag || name.rsplit_once(':').is_some_and(|(_, end)| end == tag)
}

fn none_or_several(tag: Option<&str>) -> ImageError {
    match tag {
        Some(tag) => ImageError::NotFound(format!("tag {tag} of it")),
        None => ImageError::Invalid(
            "it holds no image, or several: name one by its tag (oci:/directory:TAG, code:TAG)"
                .to_owned(),
        ),
    }
}

/// The file that a layout keeps a blob in.
pub(super) fn blob_file(digest: &str) -> Result<String, ImageError> {
    match digest.strip_prefix("sha256:") {
        Some(hex) if stint_model::image::is_digest(digest) => Ok(format!("blobs/sha256/{hex}")),
        Some(_) | None => Err(ImageError::Invalid("it names something not by its sha256".into())),
    }
}

/// Writes the tar that a code package holds to `to`: the package itself, or the only tar in its zip.
/// Blocks on the disk.
pub(super) fn take_tar(package: &[u8], to: &Path, bytes_max: u64) -> Result<(), ImageError> {
    let disk = |source| ImageError::Disk { doing: "write", path: to.to_owned(), source };
    let mut out = File::create(to).map_err(disk)?;
    if !package.starts_with(b"PK") {
        return out.write_all(package).map_err(disk);
    }
    let odd = |why: String| ImageError::Invalid(format!("the code package: {why}"));
    let mut zip = zip::ZipArchive::new(std::io::Cursor::new(package))
        .map_err(|error| odd(error.to_string()))?;
    let is_tar = |name: &str| name.ends_with(".tar") && !name.contains('/');
    let names: Vec<String> = zip
        .file_names()
        .filter_map(|name| name.ok().map(|name| name.to_string()))
        .filter(|name| is_tar(name))
        .collect();
    let [name] = names.as_slice() else {
        return Err(odd(format!(
            "it must hold one .tar at its top (from docker save, or an OCI archive), it holds {}",
            names.len()
        )));
    };
    let file = zip.by_name(name).map_err(|error| odd(error.to_string()))?;
    let mut limited = file.take(bytes_max.saturating_add(1));
    let written = std::io::copy(&mut limited, &mut out).map_err(|error| odd(error.to_string()))?;
    if written > bytes_max {
        return Err(odd(format!("its tar is larger than {bytes_max} bytes")));
    }
    Ok(())
}

/// The digest of what a reader gives.
pub(super) struct Checked<R> {
    inner: R,
    hash: Sha256,
}

impl<R: Read> Checked<R> {
    pub(super) fn new(inner: R) -> Self {
        Self { inner, hash: Sha256::new() }
    }

    /// Reads what is left and gives the digest of all.
    pub(super) fn digest(mut self) -> std::io::Result<String> {
        let mut buffer = vec![0; 1 << 16];
        while self.read(&mut buffer)? > 0 {}
        Ok(format!("sha256:{}", hex::encode(self.hash.finalize())))
    }
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hash.update(&buffer[..count]);
        Ok(count)
    }
}
