//! The log's file, made beforehand. A commit that grows a file waits for the file system's own
//! journal as well; one that writes over what is there waits for its bytes alone, which takes less
//! than half the time. SQLite takes a log of zeros for an empty one.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Zeros are written in pieces of this size.
const PIECE_BYTES: usize = 1 << 20;

/// The log of a book.
pub(crate) fn path_of(book: &Path) -> PathBuf {
    let mut name = book.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

/// Makes the log when there is none; a log that is there may hold commits and is left alone. The book
/// must have been made and closed: SQLite removes the log of an empty one.
pub(crate) fn make_ready(book: &Path, bytes: u64) -> io::Result<()> {
    let path = path_of(book);
    let mut log = match File::create_new(&path) {
        Ok(log) => log,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        Err(error) => return Err(error),
    };
    let zeros = vec![0; PIECE_BYTES];
    let mut left = usize::try_from(bytes).unwrap_or(usize::MAX);
    while left > 0 {
        let piece = left.min(PIECE_BYTES);
        log.write_all(&zeros[..piece])?;
        left -= piece;
    }
    log.sync_all()
}
