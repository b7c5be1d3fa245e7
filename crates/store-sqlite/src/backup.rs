//! Copies of a data directory: made and checked while a server uses it. The book and the journal are
//! copied as they are at one moment; blobs are linked where the file system can, before and after, so
//! that every blob the copied book names is there. The search index is left out: it is made again.
//!
//! A copy carries `MANIFEST`: one line per file with its SHA-256, its length and its name, after a
//! line that says what it is. It is written last: a copy without one is not complete.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

mod manifest;
mod verify;

pub use verify::{Verified, verify};

use manifest::Manifest;

/// Pages of one step between two reports.
const STEP_PAGES: i32 = 2_048;
/// Databases that are copied as they are at one moment.
pub(crate) const DATABASES: [&str; 2] = ["book.db", "journal.db"];
/// Where blobs lie below the data directory.
pub(crate) const BLOBS: &str = "blobs";

/// Why there is no copy.
#[derive(Debug, Error)]
pub enum BackupError {
    /// A file or directory cannot be used.
    #[error("{operation} {}", path.display())]
    File {
        /// `read`, `write` …
        operation: &'static str,
        /// Which.
        path: PathBuf,
        /// The system's words.
        #[source]
        source: std::io::Error,
    },
    /// A database cannot be read or written.
    #[error("copy {}", path.display())]
    Database {
        /// Which.
        path: PathBuf,
        /// SQLite's words.
        #[source]
        source: rusqlite::Error,
    },
    /// There is something where the copy should go.
    #[error("write to {}: it is not empty", .0.display())]
    NotEmpty(PathBuf),
    /// There is no book.
    #[error("read {}: there is no book in it", .0.display())]
    NoBook(PathBuf),
    /// The copy's list of files is missing or does not read: it is not complete.
    #[error("read {}: it is not a complete backup", .0.display())]
    Incomplete(PathBuf),
    /// A file of the copy is not what was written.
    #[error("restore {0}: it is damaged")]
    Damaged(String),
}

/// How far it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Progress<'a> {
    /// What is being done, in the words of a user: `copying book.db`.
    pub step: &'a str,
    /// Of `total`; pages, files or rows.
    pub done: u64,
    /// Zero when it is not known.
    pub total: u64,
}

/// What a copy holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Copied {
    /// Files, blobs among them.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

pub(crate) fn failed(
    operation: &'static str,
    path: &Path,
) -> impl FnOnce(std::io::Error) -> BackupError {
    let path = path.to_owned();
    move |source| BackupError::File { operation, path, source }
}

/// Copies the data directory `from` to the empty or missing directory `to`, while a server may be
/// using it. `also` names files of the data directory that go along when they exist (the master key
/// and what else the server keeps beside the book).
///
/// # Errors
/// When `to` is not empty, or something does not read or write; what was copied so far stays.
pub fn backup(
    from: &Path,
    to: &Path,
    also: &[&str],
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Copied, BackupError> {
    if !from.join(DATABASES[0]).is_file() {
        return Err(BackupError::NoBook(from.to_owned()));
    }
    make_empty(to)?;
    let mut blobs = BTreeMap::new();
    link_blobs(from, to, &mut blobs, progress)?;
    for name in DATABASES {
        if from.join(name).is_file() {
            copy_database(&from.join(name), &to.join(name), name, progress)?;
        }
    }
    // Those that came while the book was copied.
    link_blobs(from, to, &mut blobs, progress)?;
    for name in also {
        let source = from.join(name);
        if source.is_file() {
            fs::copy(&source, to.join(name)).map_err(failed("copy", &source))?;
        }
    }
    let manifest = Manifest::of(to, progress)?;
    manifest.write(to)?;
    sync_tree(to)?;
    Ok(manifest.sum())
}

/// Makes a data directory from a copy, checking every file against the copy's list. The directory must
/// be empty or missing, and the copy complete.
///
/// # Errors
/// When `to` is not empty or a file is missing or damaged; what was restored so far stays, without a
/// book until the end.
pub fn restore(
    from: &Path,
    to: &Path,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Copied, BackupError> {
    let manifest = Manifest::read(from)?;
    make_empty(to)?;
    let total = u64::try_from(manifest.files.len()).unwrap_or(0);
    // The book comes last, so that half a restore does not look like a whole one.
    let books_last = |name: &&String| **name == DATABASES[0];
    let (last, first): (Vec<_>, Vec<_>) = manifest.files.keys().partition(books_last);
    for (done, name) in first.into_iter().chain(last).enumerate() {
        let done = u64::try_from(done).unwrap_or(0);
        progress(Progress { step: "restoring files", done, total });
        let (source, target) = (from.join(name), to.join(name));
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).map_err(failed("make", parent))?;
        }
        let copied = copy_hashed(&source, &target)?;
        if Some(&copied) != manifest.files.get(name) {
            drop(fs::remove_file(&target));
            return Err(BackupError::Damaged(name.clone()));
        }
    }
    sync_tree(to)?;
    Ok(manifest.sum())
}

fn make_empty(path: &Path) -> Result<(), BackupError> {
    fs::create_dir_all(path).map_err(failed("make", path))?;
    let mut entries = fs::read_dir(path).map_err(failed("read", path))?;
    if entries.next().is_some() { Err(BackupError::NotEmpty(path.to_owned())) } else { Ok(()) }
}

/// A connection for copying and checking: it may have to rebuild the log's index of a server that
/// died, so it opens for writing, and never writes.
pub(crate) fn open(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(std::time::Duration::from_secs(10))?;
    conn.pragma_update(None, "query_only", true)?;
    conn.pragma_update(None, "wal_autocheckpoint", 0)?;
    Ok(conn)
}

fn copy_database(
    from: &Path,
    to: &Path,
    name: &str,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<(), BackupError> {
    let failed = |source| BackupError::Database { path: from.to_owned(), source };
    let step = format!("copying {name}");
    let source = open(from).map_err(failed)?;
    // One open read keeps the copy at one moment, whatever is committed meanwhile.
    let moment = source.unchecked_transaction().map_err(failed)?;
    let tables = "SELECT count(*) FROM sqlite_schema";
    let _tables: i64 = moment.query_row(tables, [], |row| row.get(0)).map_err(failed)?;
    let mut target = Connection::open(to).map_err(failed)?;
    {
        let copy = Backup::new(&source, &mut target).map_err(failed)?;
        loop {
            let result = copy.step(STEP_PAGES).map_err(failed)?;
            let at = copy.progress();
            let count = |pages: i32| u64::try_from(pages).unwrap_or(0);
            let (total, done) = (count(at.pagecount), count(at.pagecount - at.remaining));
            progress(Progress { step: &step, done, total });
            if result == StepResult::Done {
                break;
            }
        }
    }
    // A single file without a log beside it.
    target.pragma_update(None, "journal_mode", "DELETE").map_err(failed)
}

/// Links (or copies) every blob that is not there yet.
fn link_blobs(
    from: &Path,
    to: &Path,
    seen: &mut BTreeMap<String, ()>,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<(), BackupError> {
    let root = from.join(BLOBS);
    if !root.is_dir() {
        return Ok(());
    }
    for name in files(&root)? {
        if name.starts_with('.') || seen.contains_key(&name) {
            continue;
        }
        let (source, target) = (root.join(&name), to.join(BLOBS).join(&name));
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).map_err(failed("make", parent))?;
        }
        // Blobs are replaced, never changed: a link keeps what was there.
        let linked = fs::hard_link(&source, &target);
        let copied = linked.or_else(|_| fs::copy(&source, &target).map(drop));
        match copied {
            // Deleted since the directory was read: the book does not name it any more.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            done => done.map_err(failed("copy", &source))?,
        }
        seen.insert(name, ());
        let done = u64::try_from(seen.len()).unwrap_or(0);
        progress(Progress { step: "keeping blobs", done, total: 0 });
    }
    Ok(())
}

/// Every file below a directory, by name.
pub(crate) fn files(root: &Path) -> Result<Vec<String>, BackupError> {
    let mut found = Vec::new();
    let mut directories = vec![String::new()];
    while let Some(directory) = directories.pop() {
        let path = root.join(&directory);
        let entries = match fs::read_dir(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            entries => entries.map_err(failed("read", &path))?,
        };
        for entry in entries {
            let entry = entry.map_err(failed("read", &path))?;
            let Some(name) = entry.file_name().to_str().map(|name| format!("{directory}{name}"))
            else {
                continue;
            };
            if entry.file_type().map_err(failed("read", &path))?.is_dir() {
                directories.push(format!("{name}/"));
            } else {
                found.push(name);
            }
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// The SHA-256 and the length of what was copied.
fn copy_hashed(from: &Path, to: &Path) -> Result<(String, u64), BackupError> {
    let file = File::open(from).map_err(failed("read", from))?;
    let about = file.metadata().map_err(failed("read", from))?;
    let mut target = File::create(to).map_err(failed("write", to))?;
    let hashed = hash(file, from, |piece| target.write_all(piece).map_err(failed("write", to)))?;
    target
        .set_permissions(about.permissions())
        .and_then(|()| target.sync_all())
        .map_err(failed("write", to))?;
    Ok(hashed)
}

pub(crate) fn hash(
    mut file: File,
    path: &Path,
    mut also: impl FnMut(&[u8]) -> Result<(), BackupError>,
) -> Result<(String, u64), BackupError> {
    let (mut sha, mut len, mut buffer) = (Sha256::new(), 0_u64, vec![0_u8; 1 << 18]);
    loop {
        let read = file.read(&mut buffer).map_err(failed("read", path))?;
        if read == 0 {
            let hex = sha.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
            return Ok((hex, len));
        }
        sha.update(&buffer[..read]);
        also(&buffer[..read])?;
        len += u64::try_from(read).unwrap_or(0);
    }
}

/// Files, then the directories that name them.
fn sync_tree(root: &Path) -> Result<(), BackupError> {
    let sync = |path: &Path| {
        File::open(path).and_then(|file| file.sync_all()).map_err(failed("sync", path))
    };
    let mut directories = std::collections::BTreeSet::from([root.to_owned()]);
    for name in files(root)? {
        let path = root.join(name);
        sync(&path)?;
        let above = path.ancestors().skip(1).take_while(|above| above.starts_with(root));
        directories.extend(above.map(Path::to_owned));
    }
    directories.iter().rev().try_for_each(|path| sync(path))
}
