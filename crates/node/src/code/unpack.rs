//! Unpacks a zip that a stranger made into an empty directory.
//!
//! Refused with a reason: names that leave the directory, two entries for one file, entries below a
//! file or a link, links that leave, anything that is neither file, directory nor link, encryption,
//! overlapping data, and bombs (too many entries, too much data, too good a ratio). What an entry
//! *says* about its size is checked first, what it *gives* is counted while it is written.

use std::collections::HashMap;
use std::fs::{DirBuilder, OpenOptions, Permissions};
use std::io::{Cursor, Read, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use thiserror::Error;
use zip::ZipArchive;
use zip::result::ZipError;

use super::names::{self, NameError};

/// Bounds on what a package may become.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UnpackLimits {
    /// Bytes of all files together.
    pub bytes_max: u64,
    /// Files, directories and links together.
    pub entries_max: usize,
    /// Directories below each other.
    pub depth_max: usize,
    /// Unpacked bytes per packed byte …
    pub ratio_max: u64,
    /// … for packages that unpack to more than this.
    pub ratio_from_bytes: u64,
}

impl UnpackLimits {
    /// What a node uses unless it is told otherwise: upstream's 500 MB zips with room to spare.
    pub const DEFAULT: Self = Self {
        bytes_max: 4 << 30,
        entries_max: 200_000,
        depth_max: 64,
        ratio_max: 200,
        ratio_from_bytes: 64 << 20,
    };
}

/// Bytes a link's target may have.
const LINK_BYTES_MAX: u64 = 4_096;
const FILE_TYPE_BITS: u32 = 0o170_000;
const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
const LINK: u32 = 0o120_000;
const ANY_EXECUTE: u32 = 0o111;

/// Why a package is refused.
#[derive(Debug, Error)]
pub enum UnpackError {
    /// Not a zip we can read.
    #[error("it is not a readable zip: {0}")]
    Zip(#[from] ZipError),
    /// A name that may not be.
    #[error(transparent)]
    Name(#[from] NameError),
    /// One file twice.
    #[error("{0:?} is in it twice")]
    Twice(String),
    /// Something below a file or a link.
    #[error("{0:?} lies below something that is no directory")]
    BelowFile(String),
    /// A device, a pipe, a socket.
    #[error("{0:?} is neither a file nor a directory nor a link")]
    Kind(String),
    /// Encrypted.
    #[error("{0:?} is encrypted")]
    Encrypted(String),
    /// Data shared between entries.
    #[error("its entries overlap")]
    Overlap,
    /// Too many entries.
    #[error("it has {0} entries, at most {1} are taken")]
    Entries(usize, usize),
    /// Too much data.
    #[error("it unpacks to more than {0} bytes")]
    Bytes(u64),
    /// Too good a ratio.
    #[error("it unpacks to more than {0} times its size")]
    Ratio(u64),
    /// An entry gives more than it says.
    #[error("{0:?} is larger than the package says")]
    Lies(String),
    /// The disk.
    #[error("cannot write {path:?}")]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Directory,
    File,
    Link,
}

/// Unpacks into `target`, which exists and is empty. Returns the bytes written.
pub(super) fn unpack(zip: &[u8], target: &Path, limits: &UnpackLimits) -> Result<u64, UnpackError> {
    let mut archive = ZipArchive::new(Cursor::new(zip))?;
    if archive.len() > limits.entries_max {
        return Err(UnpackError::Entries(archive.len(), limits.entries_max));
    }
    if archive.has_duplicate_names() {
        return Err(UnpackError::Twice("an entry".to_owned()));
    }
    if archive.has_overlapping_files()? {
        return Err(UnpackError::Overlap);
    }
    let packed = u64::try_from(zip.len()).unwrap_or(u64::MAX);
    let mut work = Work {
        target,
        limits,
        budget: budget(packed, limits),
        written: 0,
        seen: HashMap::new(),
        links: Vec::new(),
    };
    DirBuilder::new().mode(0o755).recursive(true).create(target).map_err(at(target))?;
    set_mode(target, 0o755)?;
    for index in 0..archive.len() {
        work.entry(&mut archive, index)?;
    }
    work.make_links()?;
    Ok(work.written)
}

/// The most bytes a package of this size may become.
fn budget(packed: u64, limits: &UnpackLimits) -> Budget {
    let by_ratio = packed.saturating_mul(limits.ratio_max).max(limits.ratio_from_bytes);
    if by_ratio < limits.bytes_max {
        Budget { bytes: by_ratio, by_ratio: Some(limits.ratio_max) }
    } else {
        Budget { bytes: limits.bytes_max, by_ratio: None }
    }
}

#[derive(Clone, Copy)]
struct Budget {
    bytes: u64,
    by_ratio: Option<u64>,
}

impl Budget {
    fn exceeded(self) -> UnpackError {
        self.by_ratio.map_or(UnpackError::Bytes(self.bytes), UnpackError::Ratio)
    }
}

struct Work<'a> {
    target: &'a Path,
    limits: &'a UnpackLimits,
    budget: Budget,
    written: u64,
    /// Everything that exists by now, directories made on the way included.
    seen: HashMap<PathBuf, Kind>,
    links: Vec<(PathBuf, String)>,
}

impl Work<'_> {
    fn entry(
        &mut self,
        archive: &mut ZipArchive<Cursor<&[u8]>>,
        index: usize,
    ) -> Result<(), UnpackError> {
        let mut file = archive.by_index(index)?;
        let name = file.name()?.into_owned();
        let path = names::relative(&name, self.limits.depth_max)?;
        if file.encrypted() {
            return Err(UnpackError::Encrypted(name));
        }
        let mode = file.unix_mode().unwrap_or(0);
        let kind = match mode & FILE_TYPE_BITS {
            DIRECTORY => Kind::Directory,
            LINK => Kind::Link,
            REGULAR | 0 if name.ends_with('/') => Kind::Directory,
            REGULAR | 0 => Kind::File,
            _ => return Err(UnpackError::Kind(name)),
        };
        if path.as_os_str().is_empty() {
            // "./": the package itself.
            return Ok(());
        }
        self.make_parents(&path)?;
        match (self.seen.get(&path), kind) {
            (None, _) => {}
            // Made on the way to something inside it, or named twice: the same directory.
            (Some(Kind::Directory), Kind::Directory) => return Ok(()),
            (Some(_), _) => return Err(UnpackError::Twice(name)),
        }
        self.seen.insert(path.clone(), kind);
        match kind {
            Kind::Directory => self.make_dir(&path),
            Kind::File => self.write(&mut file, &path, mode),
            Kind::Link => {
                let mut target = String::new();
                let read = file.by_ref().take(LINK_BYTES_MAX).read_to_string(&mut target);
                read.map_err(at(&path))?;
                names::link(&path, &target)?;
                self.links.push((path, target));
                Ok(())
            }
        }
    }

    fn make_parents(&mut self, path: &Path) -> Result<(), UnpackError> {
        let mut ancestors: Vec<_> =
            path.ancestors().skip(1).filter(|a| !a.as_os_str().is_empty()).collect();
        ancestors.reverse();
        for ancestor in ancestors {
            match self.seen.get(ancestor) {
                Some(Kind::Directory) => {}
                Some(Kind::File | Kind::Link) => {
                    return Err(UnpackError::BelowFile(path.display().to_string()));
                }
                None => {
                    self.make_dir(ancestor)?;
                    self.seen.insert(ancestor.to_owned(), Kind::Directory);
                    if self.seen.len() > self.limits.entries_max.saturating_mul(2) {
                        let max = self.limits.entries_max;
                        return Err(UnpackError::Entries(self.seen.len(), max));
                    }
                }
            }
        }
        Ok(())
    }

    fn make_dir(&self, path: &Path) -> Result<(), UnpackError> {
        let whole = self.target.join(path);
        std::fs::create_dir(&whole).map_err(at(path))?;
        set_mode(&whole, 0o755)
    }

    fn write(
        &mut self,
        file: &mut zip::read::ZipFile<'_, Cursor<&[u8]>>,
        path: &Path,
        mode: u32,
    ) -> Result<(), UnpackError> {
        let says = file.size();
        if self.written.saturating_add(says) > self.budget.bytes {
            return Err(self.budget.exceeded());
        }
        let whole = self.target.join(path);
        // `create_new` does not follow a link and does not overwrite.
        let mut out = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o644)
            .open(&whole)
            .map_err(at(path))?;
        let written = std::io::copy(&mut file.take(says.saturating_add(1)), &mut out)
            .and_then(|n| out.flush().map(|()| n))
            .map_err(at(path))?;
        if written > says {
            return Err(UnpackError::Lies(path.display().to_string()));
        }
        self.written += written;
        // Readable by every instance; execute bits kept, set-user-id and the like dropped.
        let mode = if mode & ANY_EXECUTE == 0 { 0o644 } else { 0o755 };
        out.set_permissions(Permissions::from_mode(mode)).map_err(at(path))
    }

    /// Last, so that nothing can have been written through one.
    fn make_links(&self) -> Result<(), UnpackError> {
        for (path, target) in &self.links {
            std::os::unix::fs::symlink(target, self.target.join(path)).map_err(at(path))?;
        }
        Ok(())
    }
}

fn set_mode(path: &Path, mode: u32) -> Result<(), UnpackError> {
    std::fs::set_permissions(path, Permissions::from_mode(mode)).map_err(at(path))
}

fn at(path: &Path) -> impl FnOnce(std::io::Error) -> UnpackError {
    let path = path.to_owned();
    move |source| UnpackError::Write { path, source }
}

#[cfg(test)]
#[path = "unpack_tests.rs"]
mod tests;
