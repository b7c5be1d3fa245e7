//! A directory of the server: one event per version of a file. What a file's version is, and how far the
//! source is, is the time of its last change of state (`ctime`), which a write, a rename and a copy all set and
//! nobody can set back; so a listing finds what happened while nobody looked. The kernel's notices (inotify)
//! only say when it is worth looking.
//!
//! A file is taken once it has been left alone for `quietSeconds`, so that one that is still written is not.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use serde::Deserialize;
use serde_json::json;
use stint_model::time::{Span, Timestamp};
use tokio::net::unix::pipe::Receiver;

use crate::event::{Data, Event, rfc3339};
use crate::settings::{self, ConfigError};
use crate::source::{Cursor, Host, Reading, Room, Source, SourceError, Start};

/// The most files of a directory with what is below it.
const FILES_MAX: usize = 200_000;
/// The most directories that are watched.
const WATCHED_MAX: usize = 4_096;
/// How deep is looked.
const DEPTH_MAX: usize = 16;

/// A directory's settings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Absolute.
    pub path: PathBuf,
    /// How names begin, from `path` on.
    pub prefix: String,
    /// How names end.
    pub suffix: String,
    /// Whether it looks into directories below.
    pub recursive: bool,
    /// How long a file must have been left alone.
    pub quiet: Span,
    /// Whether files that are there already are taken too.
    pub from_beginning: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Said {
    path: String,
    #[serde(default)]
    prefix: String,
    #[serde(default)]
    suffix: String,
    #[serde(default)]
    recursive: bool,
    #[serde(default = "quiet_seconds")]
    quiet_seconds: u64,
    #[serde(default)]
    start: StartSaid,
}

#[derive(Deserialize, Default, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum StartSaid {
    #[default]
    Now,
    Beginning,
}

const fn quiet_seconds() -> u64 {
    1
}

impl Settings {
    /// Reads and checks.
    ///
    /// # Errors
    /// With the field that is wrong.
    pub fn read(text: &str) -> Result<Self, ConfigError> {
        let said: Said = settings::read(text)?;
        settings::text("path", &said.path, 4_096)?;
        settings::within("quietSeconds", said.quiet_seconds, (1, 3_600))?;
        let path = PathBuf::from(said.path);
        let is_plain = path.is_absolute()
            && path.components().all(|part| !matches!(part, std::path::Component::ParentDir));
        if !is_plain {
            return Err(ConfigError::field("path", "must be absolute and without .."));
        }
        Ok(Self {
            path,
            prefix: said.prefix,
            suffix: said.suffix,
            recursive: said.recursive,
            quiet: Span::from_secs(said.quiet_seconds),
            from_beginning: said.start == StartSaid::Beginning,
        })
    }
}

/// A place in the order of changes: nanoseconds and the name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Place {
    nanos: i128,
    name: String,
}

impl Place {
    fn of(cursor: &Cursor) -> Option<Self> {
        let (nanos, name) = cursor.as_str().split_once(' ')?;
        Some(Self { nanos: nanos.parse().ok()?, name: name.to_owned() })
    }

    fn cursor(&self) -> Result<Cursor, SourceError> {
        Cursor::new(format!("{} {}", self.nanos, self.name))
    }
}

/// A version of a file.
#[derive(Clone, Debug)]
struct Found {
    place: Place,
    size: u64,
    modified_nanos: i128,
}

/// The source.
#[derive(Debug)]
pub struct Directory {
    settings: Settings,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    host: Arc<dyn Host>,
    root: PathBuf,
    /// The kernel's notices: read as a pipe is, with the runtime's own safe means.
    notices: Receiver,
    done: Place,
    /// Versions that wait for room, in order; found by the last look.
    waiting: std::collections::VecDeque<Found>,
    /// Whether the end must be told although nothing came.
    is_fresh: bool,
    receipt: u64,
}

impl Directory {
    /// Not open yet.
    pub fn new(settings: Settings) -> Self {
        Self { settings, open: None }
    }
}

const LOOK: &str = "look into the directory";

fn trouble(path: &Path, error: &io::Error) -> SourceError {
    let why = format!("{}: {error}", path.display());
    match error.kind() {
        io::ErrorKind::NotFound => SourceError::Missing { what: LOOK, why },
        io::ErrorKind::PermissionDenied => SourceError::Credentials { what: LOOK, why },
        _ => SourceError::Unreachable { what: LOOK, why },
    }
}

#[async_trait]
impl Source for Directory {
    async fn open(&mut self, host: Arc<dyn Host>, start: Start) -> Result<(), SourceError> {
        let path = self.settings.path.clone();
        let resolved = host.supervisor().blocking(move || std::fs::canonicalize(&path)).await;
        let root = resolved
            .map_err(|crash| crashed(&crash.to_string()))?
            .map_err(|error| trouble(&self.settings.path, &error))?;
        // What a link leads to counts, not where it stands.
        host.may_read(&root)?;
        let notices = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)
            .map_err(io::Error::from)
            .and_then(Receiver::from_owned_fd_unchecked)
            .map_err(|error| trouble(&root, &error))?;
        let is_fresh = start.cursor.is_none();
        let done = match start.cursor.as_ref() {
            Some(cursor) => Place::of(cursor).ok_or_else(|| SourceError::Lost {
                why: format!("{:?} is no place in a directory", cursor.as_str()),
            })?,
            None if self.settings.from_beginning => Place { nanos: 0, name: String::new() },
            None => Place { nanos: nanos(start.since), name: String::new() },
        };
        let waiting = std::collections::VecDeque::new();
        self.open = Some(Open { host, root, notices, done, waiting, is_fresh, receipt: 0 });
        Ok(())
    }

    async fn read(&mut self, room: Room) -> Result<Reading, SourceError> {
        let open = self.open.as_mut().expect("it is opened before it is read");
        let until = open.host.clock().now() + room.wait_max;
        loop {
            if open.waiting.is_empty() {
                let next = open.look(&self.settings).await?;
                let now = open.host.clock().now();
                if open.waiting.is_empty() && now < until && !open.is_fresh {
                    open.wait(until.min(next)).await?;
                    continue;
                }
            }
            return open.reading(room);
        }
    }

    async fn settle(&mut self, _: u64) -> Result<(), SourceError> {
        Ok(())
    }

    fn lag(&self) -> Option<u64> {
        self.open.as_ref().map(|open| open.waiting.len() as u64)
    }
}

fn crashed(why: &str) -> SourceError {
    SourceError::Broken { what: LOOK, why: why.to_owned() }
}

fn nanos(at: Timestamp) -> i128 {
    i128::from(at.micros()) * 1_000
}

impl Open {
    /// Fills what waits with everything that was left alone long enough; gives when to look again.
    async fn look(&mut self, settings: &Settings) -> Result<Timestamp, SourceError> {
        let (now, wall) = (self.host.clock().now(), self.host.clock().wall_now());
        let horizon = nanos(wall - settings.quiet);
        let (root, rules, done) = (self.root.clone(), settings.clone(), self.done.clone());
        let watched = self.notices.as_fd().try_clone_to_owned();
        let watched = watched.map_err(|error| trouble(&self.root, &error))?;
        let scanned = self.host.supervisor().blocking(move || {
            let mut scan = Scan {
                root: &root,
                rules: &rules,
                done,
                found: Vec::new(),
                files: 0,
                watches: 0,
                watched: &watched,
            };
            scan.directory(&root, 0).map(|()| scan.found)
        });
        let found = scanned.await.map_err(|crash| crashed(&crash.to_string()))?;
        let mut found = found.map_err(|error| trouble(&self.root, &error))?;
        found.sort_by(|a, b| a.place.cmp(&b.place));
        let young = found.partition_point(|one| one.place.nanos <= horizon);
        let next = found.get(young).map(|one| {
            let left = u64::try_from((one.place.nanos - horizon) / 1_000).unwrap_or(0);
            now + Span::from_micros(left) + Span::from_millis(5)
        });
        found.truncate(young);
        self.waiting = found.into();
        Ok(next.unwrap_or(Timestamp::MAX))
    }

    /// Returns at a notice, or at the time.
    async fn wait(&self, until: Timestamp) -> Result<(), SourceError> {
        let noticed = async {
            self.notices.readable().await?;
            // What happened is what the next look finds.
            let mut buffer = [0; 4_096];
            while self.notices.try_read(&mut buffer).is_ok_and(|count| count > 0) {}
            Ok::<(), io::Error>(())
        };
        tokio::select! {
            // A notice that was read is followed by a look.
            done = noticed => done.map_err(|error| trouble(&self.root, &error)),
            // A sleep loses nothing.
            () = self.host.clock().sleep_until(until) => Ok(()),
        }
    }

    fn reading(&mut self, room: Room) -> Result<Reading, SourceError> {
        self.receipt += 1;
        let count = self.waiting.len().min(room.events_max);
        let taken: Vec<Found> = self.waiting.drain(..count).collect();
        if let Some(last) = taken.last() {
            self.done = last.place.clone();
        }
        let tells = !taken.is_empty() || std::mem::take(&mut self.is_fresh);
        self.is_fresh = false;
        let cursor = if tells { Some(self.done.cursor()?) } else { None };
        let events = taken.iter().map(|found| event(&self.root, found)).collect();
        Ok(Reading { events, cursor, receipt: self.receipt })
    }
}

struct Scan<'a> {
    root: &'a Path,
    rules: &'a Settings,
    done: Place,
    found: Vec<Found>,
    files: usize,
    watches: usize,
    watched: &'a OwnedFd,
}

impl Scan<'_> {
    fn directory(&mut self, at: &Path, depth: usize) -> io::Result<()> {
        // Watched before it is read: what comes between is noticed.
        if self.watches < WATCHED_MAX {
            self.watches += 1;
            let what = WatchFlags::CLOSE_WRITE
                | WatchFlags::MOVED_TO
                | WatchFlags::CREATE
                | WatchFlags::ATTRIB
                | WatchFlags::ONLYDIR;
            match inotify::add_watch(self.watched, at, what) {
                Ok(_) => {}
                // Without notices there is still the look at each time-out.
                Err(rustix::io::Errno::NOSPC) => self.watches = WATCHED_MAX,
                Err(error) => return Err(error.into()),
            }
        }
        for entry in std::fs::read_dir(at)? {
            let entry = entry?;
            // It may be gone by now, which is no failure of ours.
            let Ok(meta) = std::fs::symlink_metadata(entry.path()) else { continue };
            if meta.is_dir() {
                if self.rules.recursive && depth < DEPTH_MAX {
                    match self.directory(&entry.path(), depth + 1) {
                        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                        other => other?,
                    }
                }
                continue;
            }
            if !meta.is_file() {
                continue;
            }
            self.files += 1;
            if self.files > FILES_MAX {
                let why = format!("it has more than {FILES_MAX} files: move away what is done");
                return Err(io::Error::other(why));
            }
            let path = entry.path();
            let name = path.strip_prefix(self.root).ok().and_then(|name| name.to_str());
            // A name that is no text cannot be told.
            let Some(name) = name else { continue };
            if !name.starts_with(&self.rules.prefix) || !name.ends_with(&self.rules.suffix) {
                continue;
            }
            let at =
                |seconds: i64, nanos: i64| i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
            let place = Place { nanos: at(meta.ctime(), meta.ctime_nsec()), name: name.to_owned() };
            if place > self.done {
                let modified_nanos = at(meta.mtime(), meta.mtime_nsec());
                self.found.push(Found { place, size: meta.len(), modified_nanos });
            }
        }
        Ok(())
    }
}

fn event(root: &Path, found: &Found) -> Event {
    let time = |nanos: i128| Timestamp::from_micros(i64::try_from(nanos / 1_000).unwrap_or(0));
    let name = &found.place.name;
    let whole = root.join(name);
    let base = whole.file_name().and_then(OsStr::to_str).unwrap_or(name);
    Event {
        id: Some(format!("{name}@{}", found.place.nanos)),
        source: format!("directory:{}", root.display()),
        event_type: "stint:directory:file".to_owned(),
        subject: Some(name.clone()),
        time: Some(time(found.place.nanos)),
        data: Data::Json(json!({
            "path": whole.to_string_lossy(),
            "directory": root.to_string_lossy(),
            "key": name,
            "name": base,
            "size": found.size,
            "modifiedTime": rfc3339(time(found.modified_nanos)),
        })),
        order_key: Some(name.clone()),
        ..Event::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::Rig;
    use crate::source::Promise;

    struct Files {
        dir: tempfile::TempDir,
        last: (i64, i64),
    }

    fn settings(dir: &Path) -> Settings {
        let text = json!({
            "path": dir, "prefix": "in/", "suffix": ".txt", "recursive": true, "start": "beginning"
        });
        Settings::read(&text.to_string()).unwrap()
    }

    #[async_trait]
    impl Rig for Files {
        fn promise(&self) -> Promise {
            Promise::ExactlyOnce
        }

        async fn publish(&mut self, number: u64) {
            let path = self.dir.path().join(format!("in/{number}.txt"));
            std::fs::write(self.dir.path().join("in/half"), "half").unwrap();
            // The clock of files is coarse: written until it has moved on.
            loop {
                std::fs::write(&path, number.to_string()).unwrap();
                let meta = std::fs::metadata(&path).unwrap();
                let changed = (meta.ctime(), meta.ctime_nsec());
                if changed > self.last {
                    self.last = changed;
                    return;
                }
            }
        }

        fn source(&mut self) -> Box<dyn Source> {
            Box::new(Directory::new(settings(self.dir.path())))
        }

        fn number(&self, event: &Event) -> u64 {
            let name = event.data.to_json()["name"].as_str().unwrap().to_owned();
            name.trim_end_matches(".txt").parse().unwrap()
        }
    }

    async fn rig() -> Files {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("in")).unwrap();
        Files { dir, last: (0, 0) }
    }
    crate::source_conformance!(rig);

    #[test]
    fn bad_settings_are_named() {
        for (text, what) in [
            (r#"{"path":"in"}"#, "absolute"),
            (r#"{"path":"/a/../b"}"#, "without .."),
            (r#"{"path":"/a","quietSeconds":0}"#, "from 1 to 3600"),
            (r#"{"path":"/a","start":"never"}"#, "start"),
        ] {
            let why = Settings::read(text).unwrap_err().to_string();
            assert!(why.contains(what), "{text}: {why}");
        }
    }
}
