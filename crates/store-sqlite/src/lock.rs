//! One process per data directory: an advisory lock of the operating system on `DIR/lock`, which ends
//! with the process however it ends. The file carries the holder's process id for the message.

use std::fs::{File, OpenOptions, create_dir_all};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::store::OpenError;

/// Held as long as it lives.
#[derive(Debug)]
pub struct DirLock {
    _file: File,
}

impl DirLock {
    /// Takes the directory, making it when it is missing.
    ///
    /// # Errors
    /// `AlreadyOpen` when another process (or another lock of this one) holds it.
    pub fn take(dir: &Path) -> Result<Self, OpenError> {
        let failed = |source| OpenError::Directory { path: dir.to_owned(), source };
        create_dir_all(dir).map_err(failed)?;
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).read(true).write(true);
        let mut file = options.open(dir.join("lock")).map_err(failed)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                let mut text = String::new();
                file.read_to_string(&mut text).map_err(failed)?;
                let pid = text.trim().parse().ok();
                return Err(OpenError::AlreadyOpen { dir: dir.to_owned(), pid });
            }
            Err(errno) => return Err(failed(errno.into())),
        }
        file.set_len(0).and_then(|()| file.rewind()).map_err(failed)?;
        writeln!(file, "{}", std::process::id()).map_err(failed)?;
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_one_holder() {
        let dir = tempfile::tempdir().expect("a directory");
        let held = DirLock::take(dir.path()).expect("is free");
        let refused = DirLock::take(dir.path()).expect_err("is held");
        let pid = std::process::id();
        assert!(
            matches!(&refused, OpenError::AlreadyOpen { pid: Some(p), .. } if *p == pid),
            "{refused:?}"
        );
        assert!(refused.to_string().contains(&pid.to_string()), "{refused}");
        drop(held);
        drop(DirLock::take(dir.path()).expect("is free again"));
    }
}
