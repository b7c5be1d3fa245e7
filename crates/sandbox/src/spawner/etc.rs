//! The `/etc` that instances see: a few files of ours, and mount points for the host's live parts.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use rustix::event::{Timespec, poll};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::spec::INSIDE_ID;

/// Copied from the host as they are; absent ones stay absent.
const COPIED: &[&str] = &[
    "services",
    "protocols",
    "mime.types",
    "localtime",
    "timezone",
    "ld.so.conf",
    "os-release",
    "debian_version",
    "ssl/openssl.cnf",
    "gai.conf",
];

/// Directories that a Java machine reads through links from below `/usr`, without which it does not
/// start: `java-17-openjdk` and its like.
const JAVA: (&str, &str) = ("java-", "-openjdk");
/// How deep a copied directory is followed; Java's has three levels.
const DEPTH_MAX: u32 = 5;

/// How long a dying spawner of the same directory is waited for, and in which steps.
const LOCK_TRIES: u32 = 200;
const LOCK_PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 25_000_000 };

/// Takes the directory for this spawner alone: what another one finds in it, it would take for
/// leftovers. The lock goes with the process, however it ends.
pub(super) fn lock(base: &Path) -> io::Result<File> {
    fs::create_dir_all(base)?;
    let file = File::create(base.join("lock"))?;
    for _ in 0..LOCK_TRIES {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(Errno::WOULDBLOCK) => poll(&mut [], Some(&LOCK_PAUSE)).map(drop)?,
            Err(errno) => return Err(errno.into()),
        }
    }
    Err(Errno::WOULDBLOCK.into())
}

/// Makes the tree again at every start: the host may have changed.
pub(super) fn prepare(base: &Path) -> io::Result<()> {
    let etc = base.join("etc");
    if etc.exists() {
        fs::remove_dir_all(&etc)?;
    }
    for dir in ["alternatives", "ssl/certs", "fonts"] {
        fs::create_dir_all(etc.join(dir))?;
    }
    for (file, text) in [
        (
            "passwd",
            format!(
                "root:x:0:0:root:/:/bin/sh\n\
                 stint:x:{INSIDE_ID}:{INSIDE_ID}:stint:/tmp:/bin/sh\n\
                 nobody:x:65534:65534:nobody:/:/bin/false\n"
            ),
        ),
        ("group", format!("root:x:0:\nstint:x:{INSIDE_ID}:\nnogroup:x:65534:\n")),
        ("hosts", "127.0.0.1 localhost stint\n::1 localhost stint\n".to_owned()),
        ("hostname", "stint\n".to_owned()),
        ("nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n".to_owned()),
        ("resolv.conf", String::new()),
        ("ld.so.cache", String::new()),
    ] {
        fs::write(etc.join(file), text)?;
    }
    for file in COPIED {
        if let Ok(bytes) = fs::read(Path::new("/etc").join(file)) {
            fs::write(etc.join(file), bytes)?;
        }
    }
    for entry in fs::read_dir("/etc")?.flatten() {
        let name = entry.file_name();
        let is_java = |name: &str| name.starts_with(JAVA.0) && name.ends_with(JAVA.1);
        if name.to_str().is_some_and(is_java) {
            copy(&entry.path(), &etc.join(name), DEPTH_MAX)?;
        }
    }
    readable(&etc)
}

/// Copies what we may read; the rest (passwords of Java's management) stays out.
fn copy(from: &Path, to: &Path, depth: u32) -> io::Result<()> {
    let Ok(entries) = fs::read_dir(from) else { return Ok(()) };
    fs::create_dir_all(to)?;
    for entry in entries.flatten() {
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_dir() && depth > 0 {
            copy(&source, &target, depth - 1)?;
        } else if kind.is_file()
            && is_public(&entry.metadata()?)
            && let Ok(bytes) = fs::read(&source)
        {
            fs::write(target, bytes)?;
        }
    }
    Ok(())
}

fn is_public(file: &fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    file.permissions().mode() & 0o004 != 0
}

/// The instance's user is a stranger here, whatever the server's umask says.
fn readable(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755))?;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            readable(&entry.path())?;
        } else {
            fs::set_permissions(entry.path(), fs::Permissions::from_mode(0o644))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_directory_has_one_owner() {
        let base = tempfile::tempdir().unwrap();
        let first = lock(base.path()).unwrap();
        let second = File::open(base.path().join("lock")).unwrap();
        let taken = flock(&second, FlockOperation::NonBlockingLockExclusive);
        assert_eq!(taken, Err(Errno::WOULDBLOCK));
        drop(first);
        lock(base.path()).unwrap();
    }

    #[test]
    fn a_copied_directory_leaves_private_files_out() {
        let base = tempfile::tempdir().unwrap();
        let (from, to) = (base.path().join("from"), base.path().join("to"));
        fs::create_dir_all(from.join("security/policy")).unwrap();
        for (name, mode) in [("jvm.cfg", 0o644), ("security/policy/x", 0o444), ("secret", 0o600)] {
            fs::write(from.join(name), name).unwrap();
            let mode = fs::Permissions::from_mode(mode);
            fs::set_permissions(from.join(name), mode).unwrap();
        }
        std::os::unix::fs::symlink("/etc/shadow", from.join("link")).unwrap();
        copy(&from, &to, DEPTH_MAX).unwrap();
        assert_eq!(fs::read_to_string(to.join("security/policy/x")).unwrap(), "security/policy/x");
        assert!(to.join("jvm.cfg").exists());
        assert!(!to.join("secret").exists() && !to.join("link").exists());
    }

    #[test]
    fn the_tree_is_made_again_and_everybody_may_read_it() {
        let base = tempfile::tempdir().unwrap();
        let stale = base.path().join("etc/stale");
        fs::create_dir_all(stale.parent().unwrap()).unwrap();
        fs::write(&stale, "").unwrap();
        prepare(base.path()).unwrap();
        prepare(base.path()).unwrap();
        assert!(!stale.exists());
        let passwd = base.path().join("etc/passwd");
        assert!(fs::read_to_string(&passwd).unwrap().contains("stint:x:1000:1000:"));
        let mode = fs::metadata(&passwd).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o644);
        // Every live part has something to be mounted over.
        for place in ["alternatives", "ssl/certs", "fonts", "ld.so.cache", "resolv.conf"] {
            assert!(base.path().join("etc").join(place).exists(), "{place}");
        }
    }
}
