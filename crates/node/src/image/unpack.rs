//! Unpacks one layer that a stranger made into an empty directory, in the form overlays read.
//!
//! Every name is walked part by part from the layer's own directory and no link is ever followed, so
//! nothing can be written outside, through a link, or into another layer. Refused with a reason: names
//! that climb, entries below a file or a link, hard links to anything but a file of this layer, and
//! layers with too many, too large or too deep entries. Left out: devices and pipes, set-user-id bits,
//! extended attributes. What a layer deletes becomes an overlay's whiteout. Every file belongs to the
//! account's host user: there is one user in an instance.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags, chownat,
    fchmod, fsetxattr, futimens, linkat, mkdirat, mknodat, openat, statat, symlinkat, unlinkat,
};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};
use stint_sandbox::HostUser;
use tar::EntryType;
use thiserror::Error;

/// Bounds of what one layer may become.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LayerLimits {
    /// Bytes of all files together.
    pub bytes_max: u64,
    /// Files, directories and links together.
    pub entries_max: u64,
    /// Directories below each other.
    pub depth_max: usize,
}

impl LayerLimits {
    /// Upstream's 10 GB images.
    pub const DEFAULT: Self = Self { bytes_max: 10 << 30, entries_max: 1_000_000, depth_max: 128 };
}

/// Why a layer is refused.
#[derive(Debug, Error)]
pub enum LayerError {
    /// Not a tar we can read.
    #[error("it is not a readable tar: {0}")]
    Tar(#[source] std::io::Error),
    /// Compressed in a way we do not read.
    #[error("it is compressed with {0}, which is not supported: use gzip or none")]
    Compression(&'static str),
    /// A name that may not be.
    #[error("{0:?} is not a name inside the image")]
    Name(String),
    /// Below a file or a link.
    #[error("{0:?} lies below something that is no directory")]
    Below(String),
    /// A directory and something else under one name.
    #[error("{0:?} is a directory and something else")]
    Kinds(String),
    /// A hard link to nothing of this layer.
    #[error("the hard link {name:?} points to {target:?}, which is no file of its layer")]
    HardLink {
        /// The link.
        name: String,
        /// What it says.
        target: String,
    },
    /// A form of entry that is not read.
    #[error("{0:?} is stored in a form that is not supported")]
    Form(String),
    /// Too much of something.
    #[error("it has more than {0} {1}")]
    TooMuch(u64, &'static str),
    /// The disk.
    #[error("cannot write {name:?}: {source}")]
    Write {
        /// Which entry.
        name: String,
        /// Why not.
        source: std::io::Error,
    },
}

impl LayerError {
    /// Whether it is the disk's fault, not the layer's.
    pub(crate) fn is_local(&self) -> bool {
        matches!(self, Self::Write { .. })
    }
}

/// A layer that is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Unpacked {
    /// SHA-256 of the uncompressed tar.
    pub(super) diff: [u8; 32],
    pub(super) bytes: u64,
}

/// What precedes the names of what a layer deletes.
const WHITEOUT: &[u8] = b".wh.";
/// The directory shows nothing of the layers below.
const OPAQUE: &[u8] = b".wh..wh..opq";
const OPAQUE_ATTRIBUTE: &str = "user.overlay.opaque";
/// Bytes of one extended header or long name.
const HEADER_BYTES_MAX: u64 = 1 << 20;
/// Bytes of one whole name, and of one part of it.
const NAME_BYTES_MAX: usize = 4_096;
const PART_BYTES_MAX: usize = 255;
/// What an entry costs besides its bytes.
const ENTRY_BYTES: u64 = 512;
/// Bytes after the end of the archive: padding.
const TAIL_BYTES_MAX: u64 = 16 << 20;

/// Unpacks `blob` into `target`, which exists and is empty.
pub(super) fn unpack(
    blob: impl Read,
    target: &Path,
    limits: &LayerLimits,
    owner: Option<HostUser>,
) -> Result<Unpacked, LayerError> {
    let mut blob = BufReader::with_capacity(1 << 16, blob);
    let magic = blob.fill_buf().map_err(LayerError::Tar)?;
    let plain: Box<dyn Read + '_> = match magic {
        [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(blob)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => return Err(LayerError::Compression("zstd")),
        [b'B', b'Z', b'h', ..] => return Err(LayerError::Compression("bzip2")),
        [0xfd, b'7', b'z', ..] => return Err(LayerError::Compression("xz")),
        _ => Box::new(blob),
    };
    let mut hashed = Hashed { inner: plain, hash: Sha256::new() };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = openat(CWD, target, flags, Mode::empty()).map_err(at(Path::new("/")))?;
    let mut work = Work { root, limits: *limits, owner, entries: 0, bytes: 0, last: None };
    work.own(&work.root, OsStr::new("."), Path::new("/"))?;
    work.read(&mut hashed)?;
    // Padding belongs to what the digest is of.
    let tail = std::io::copy(&mut hashed.by_ref().take(TAIL_BYTES_MAX), &mut std::io::sink());
    if tail.map_err(LayerError::Tar)? == TAIL_BYTES_MAX {
        return Err(LayerError::TooMuch(TAIL_BYTES_MAX, "bytes after its end"));
    }
    let bytes = work.bytes + work.entries * ENTRY_BYTES;
    Ok(Unpacked { diff: hashed.hash.finalize().into(), bytes })
}

struct Hashed<R> {
    inner: R,
    hash: Sha256,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hash.update(&buffer[..count]);
        Ok(count)
    }
}

struct Work {
    root: OwnedFd,
    limits: LayerLimits,
    owner: Option<HostUser>,
    entries: u64,
    bytes: u64,
    /// The directory of the entry before: most are neighbours.
    last: Option<(PathBuf, OwnedFd)>,
}

/// What headers before an entry say about it.
#[derive(Default)]
struct Said {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    sparse: bool,
}

impl Work {
    fn read(&mut self, tar: impl Read) -> Result<(), LayerError> {
        let mut archive = tar::Archive::new(tar);
        let mut said = Said::default();
        // Raw: what the library reads for us it reads without a bound.
        for entry in archive.entries().map_err(LayerError::Tar)?.raw(true) {
            let mut entry = entry.map_err(LayerError::Tar)?;
            match entry.header().entry_type() {
                EntryType::GNULongName => said.name = Some(text(&mut entry)?),
                EntryType::GNULongLink => said.link = Some(text(&mut entry)?),
                EntryType::XHeader => extended(&bounded(&mut entry)?, &mut said)?,
                EntryType::XGlobalHeader => drop(bounded(&mut entry)?),
                kind => self.entry(&mut entry, kind, std::mem::take(&mut said))?,
            }
        }
        Ok(())
    }

    fn entry<R: Read>(
        &mut self,
        entry: &mut tar::Entry<'_, R>,
        kind: EntryType,
        said: Said,
    ) -> Result<(), LayerError> {
        let header = entry.header();
        let raw = said.name.unwrap_or_else(|| header.path_bytes().into_owned());
        let path = inside(&raw, self.limits.depth_max)?;
        let size = header.entry_size().map_err(LayerError::Tar)?;
        let mismatch = said.size.is_some_and(|said| said != size);
        if mismatch || said.sparse || kind == EntryType::GNUSparse {
            return Err(LayerError::Form(shown(&path)));
        }
        self.entries += 1;
        if self.entries > self.limits.entries_max {
            return Err(LayerError::TooMuch(self.limits.entries_max, "entries"));
        }
        let mode = header.mode().map_err(LayerError::Tar)?;
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            // The root itself.
            return Ok(());
        };
        let (parent, name) = (parent.to_owned(), name.to_owned());
        if name.as_bytes().starts_with(WHITEOUT) {
            return self.white_out(&parent, name.as_bytes());
        }
        match kind {
            EntryType::Directory => self.make_directory(&path, mode),
            EntryType::Regular | EntryType::Continuous => {
                let modified = header.mtime().unwrap_or(0);
                self.write(entry, &path, (mode, modified))
            }
            EntryType::Symlink | EntryType::Link => {
                let target = said.link.or_else(|| header.link_name_bytes().map(|b| b.into_owned()));
                let target = target.filter(|target| target.len() < NAME_BYTES_MAX);
                let target = target.ok_or_else(|| LayerError::Name(shown(&path)))?;
                if kind == EntryType::Symlink {
                    self.make_symlink(&path, target)
                } else {
                    self.make_hard_link(&path, &target)
                }
            }
            // The sandbox has devices of its own; nobody is at the other end of a pipe.
            EntryType::Char | EntryType::Block | EntryType::Fifo => Ok(()),
            _ => Err(LayerError::Form(shown(&path))),
        }
    }

    /// Opens the directory at `path`, made on the way where it is not there yet.
    fn directory(&mut self, path: &Path) -> Result<OwnedFd, LayerError> {
        if let Some((last, fd)) = &self.last
            && last == path
        {
            return fd.try_clone().map_err(|source| write_error(path, source));
        }
        let mut fd = self.root.try_clone().map_err(|source| write_error(path, source))?;
        for part in path {
            fd = match open_directory(&fd, part) {
                Ok(next) => next,
                Err(Errno::NOENT) => {
                    self.entries += 1;
                    self.fresh_directory(&fd, part, path)?
                }
                // A link, a file, or what this layer has deleted.
                Err(Errno::LOOP | Errno::NOTDIR) if is_whiteout(&fd, part) => {
                    unlinkat(&fd, part, AtFlags::empty()).map_err(at(path))?;
                    let made = self.fresh_directory(&fd, part, path)?;
                    opaque(&made).map_err(at(path))?;
                    made
                }
                Err(Errno::LOOP | Errno::NOTDIR) => return Err(LayerError::Below(shown(path))),
                Err(errno) => return Err(at(path)(errno)),
            };
        }
        let copy = fd.try_clone().map_err(|source| write_error(path, source))?;
        self.last = Some((path.to_owned(), copy));
        Ok(fd)
    }

    fn fresh_directory(
        &self,
        parent: &OwnedFd,
        name: &OsStr,
        path: &Path,
    ) -> Result<OwnedFd, LayerError> {
        mkdirat(parent, name, Mode::from_raw_mode(0o755)).map_err(at(path))?;
        self.own(parent, name, path)?;
        open_directory(parent, name).map_err(at(path))
    }

    fn make_directory(&mut self, path: &Path, mode: u32) -> Result<(), LayerError> {
        let fd = self.directory(path)?;
        // Its owner must be able to fill it, and the cache to remove it.
        fchmod(&fd, Mode::from_raw_mode(mode & 0o1777 | 0o700)).map_err(at(path))
    }

    /// The directory of an entry with nothing under its name.
    fn cleared(&mut self, path: &Path) -> Result<(OwnedFd, OsString), LayerError> {
        let parent = self.directory(path.parent().unwrap_or(Path::new("")))?;
        let name = path.file_name().unwrap_or_default().to_owned();
        match unlinkat(&parent, &name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok((parent, name)),
            Err(Errno::ISDIR | Errno::PERM) => Err(LayerError::Kinds(shown(path))),
            Err(errno) => Err(at(path)(errno)),
        }
    }

    fn write(
        &mut self,
        from: &mut impl Read,
        path: &Path,
        (mode, modified): (u32, u64),
    ) -> Result<(), LayerError> {
        let (parent, name) = self.cleared(path)?;
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = openat(&parent, &name, flags, Mode::from_raw_mode(0o600)).map_err(at(path))?;
        let mut file = File::from(fd);
        let left = self.limits.bytes_max.saturating_sub(self.bytes);
        let written = copy(&mut from.take(left.saturating_add(1)), &mut file, path)?;
        if written > left {
            return Err(LayerError::TooMuch(self.limits.bytes_max, "bytes"));
        }
        self.bytes += written;
        self.own(&parent, &name, path)?;
        fchmod(&file, Mode::from_raw_mode(mode & 0o777)).map_err(at(path))?;
        // Interpreters compare it with what they have compiled.
        let seconds = i64::from(u32::try_from(modified).unwrap_or(0));
        let time = Timespec { tv_sec: seconds, tv_nsec: 0 };
        futimens(&file, &Timestamps { last_access: time, last_modification: time })
            .map_err(at(path))
    }

    fn make_symlink(&mut self, path: &Path, target: Vec<u8>) -> Result<(), LayerError> {
        let (parent, name) = self.cleared(path)?;
        // Wherever it points: it is resolved inside the instance and by nobody else.
        symlinkat(OsString::from_vec(target), &parent, &name).map_err(at(path))?;
        self.own(&parent, &name, path)
    }

    fn make_hard_link(&mut self, path: &Path, target: &[u8]) -> Result<(), LayerError> {
        let refused = || LayerError::HardLink {
            name: shown(path),
            target: String::from_utf8_lossy(target).into_owned(),
        };
        let to = inside(target, self.limits.depth_max).map_err(|_| refused())?;
        if to == path {
            return Err(refused());
        }
        let mut fd = self.root.try_clone().map_err(|source| write_error(path, source))?;
        for part in to.parent().unwrap_or(Path::new("")) {
            fd = open_directory(&fd, part).map_err(|_| refused())?;
        }
        let there = to.file_name().ok_or_else(refused)?;
        let stat = statat(&fd, there, AtFlags::SYMLINK_NOFOLLOW).map_err(|_| refused())?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(refused());
        }
        let (parent, name) = self.cleared(path)?;
        linkat(&fd, there, &parent, &name, AtFlags::empty()).map_err(at(path))
    }

    fn white_out(&mut self, parent: &Path, name: &[u8]) -> Result<(), LayerError> {
        let fd = self.directory(parent)?;
        if name == OPAQUE {
            return opaque(&fd).map_err(at(parent));
        }
        let gone = &name[WHITEOUT.len()..];
        if gone.starts_with(WHITEOUT) {
            // Another file system's own bookkeeping.
            return Ok(());
        }
        if gone.is_empty() || gone == b"." || gone == b".." {
            return Err(LayerError::Name(String::from_utf8_lossy(name).into_owned()));
        }
        let gone = OsStr::from_bytes(gone);
        match statat(&fd, gone, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => {
                let mode = Mode::from_raw_mode(0o600);
                mknodat(&fd, gone, FileType::CharacterDevice, mode, 0).map_err(at(parent))
            }
            // It is about the layers below: what this layer has itself, it keeps.
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
                opaque(&open_directory(&fd, gone).map_err(at(parent))?).map_err(at(parent))
            }
            Ok(_) => Ok(()),
            Err(errno) => Err(at(parent)(errno)),
        }
    }

    fn own(&self, parent: &OwnedFd, name: &OsStr, path: &Path) -> Result<(), LayerError> {
        let Some(owner) = self.owner else { return Ok(()) };
        let (uid, gid) = (Uid::from_raw(owner.uid), Gid::from_raw(owner.gid));
        chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW).map_err(at(path))
    }
}

fn open_directory(parent: &OwnedFd, name: &OsStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(parent, name, flags, Mode::empty())
}

fn is_whiteout(parent: &OwnedFd, name: &OsStr) -> bool {
    statat(parent, name, AtFlags::SYMLINK_NOFOLLOW).is_ok_and(|stat| {
        FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
    })
}

fn opaque(directory: &OwnedFd) -> Result<(), Errno> {
    fsetxattr(directory.as_fd(), OPAQUE_ATTRIBUTE, b"y", XattrFlags::empty())
}

/// A read that fails is the archive's fault, a write that fails the disk's.
fn copy(from: &mut impl Read, to: &mut File, path: &Path) -> Result<u64, LayerError> {
    let mut buffer = vec![0; 1 << 16];
    let mut written = 0;
    loop {
        let count = from.read(&mut buffer).map_err(LayerError::Tar)?;
        if count == 0 {
            return Ok(written);
        }
        to.write_all(&buffer[..count]).map_err(|source| write_error(path, source))?;
        written += u64::try_from(count).unwrap_or(0);
    }
}

fn bounded(entry: &mut impl Read) -> Result<Vec<u8>, LayerError> {
    let mut bytes = Vec::new();
    entry.take(HEADER_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(LayerError::Tar)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > HEADER_BYTES_MAX) {
        return Err(LayerError::TooMuch(HEADER_BYTES_MAX, "bytes in one header"));
    }
    Ok(bytes)
}

fn text(entry: &mut impl Read) -> Result<Vec<u8>, LayerError> {
    let mut bytes = bounded(entry)?;
    while bytes.last() == Some(&0) {
        bytes.pop();
    }
    Ok(bytes)
}

fn extended(bytes: &[u8], said: &mut Said) -> Result<(), LayerError> {
    for record in tar::PaxExtensions::new(bytes) {
        let record = record.map_err(LayerError::Tar)?;
        match record.key_bytes() {
            b"path" => said.name = Some(record.value_bytes().to_vec()),
            b"linkpath" => said.link = Some(record.value_bytes().to_vec()),
            b"size" => said.size = record.value().ok().and_then(|size| size.parse().ok()),
            key if key.starts_with(b"GNU.sparse.") => said.sparse = true,
            _ => {}
        }
    }
    Ok(())
}

/// The path below the layer's directory that a name stands for.
fn inside(name: &[u8], depth_max: usize) -> Result<PathBuf, LayerError> {
    let refused = || LayerError::Name(String::from_utf8_lossy(name).chars().take(200).collect());
    if name.len() > NAME_BYTES_MAX || name.contains(&0) {
        return Err(refused());
    }
    let mut path = PathBuf::new();
    for part in name.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => return Err(refused()),
            part if part.len() > PART_BYTES_MAX => return Err(refused()),
            part => path.push(OsStr::from_bytes(part)),
        }
    }
    let below_deleted = path
        .parent()
        .is_some_and(|parent| parent.iter().any(|part| part.as_bytes().starts_with(WHITEOUT)));
    if path.components().count() > depth_max || below_deleted {
        return Err(refused());
    }
    Ok(path)
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().chars().take(200).collect()
}

fn at(path: &Path) -> impl FnOnce(Errno) -> LayerError {
    let path = path.to_owned();
    move |errno| write_error(&path, errno.into())
}

fn write_error(path: &Path, source: std::io::Error) -> LayerError {
    LayerError::Write { name: shown(path), source }
}

#[cfg(test)]
#[path = "unpack_tests.rs"]
mod tests;
