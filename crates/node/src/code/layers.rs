//! Lays directories over each other with hard links: what is there already wins.

use std::path::Path;

use super::{CodeError, disk};

/// Puts everything of `source` into `target` that is not there yet. A file on one side and a
/// directory on the other: what is there stays.
pub(super) fn lay_under(source: &Path, target: &Path) -> Result<(), CodeError> {
    use std::os::unix::fs::PermissionsExt as _;
    let open = std::fs::Permissions::from_mode(0o755);
    disk("open", target, std::fs::set_permissions(target, open))?;
    for found in disk("list", source, std::fs::read_dir(source))? {
        let found = disk("list", source, found)?;
        let (from, to) = (found.path(), target.join(found.file_name()));
        let kind = disk("look at", &from, found.file_type())?;
        let there = std::fs::symlink_metadata(&to).ok();
        if kind.is_dir() {
            match there {
                None => disk("create", &to, std::fs::create_dir(&to))?,
                Some(meta) if meta.is_dir() => {}
                Some(_) => continue,
            }
            lay_under(&from, &to)?;
        } else if there.is_none() {
            // A link is linked itself, not what it points to.
            disk("link", &to, std::fs::hard_link(&from, &to))?;
        }
    }
    Ok(())
}

/// Bytes of all files below.
pub(super) fn size_of(dir: &Path) -> Result<u64, CodeError> {
    let mut bytes = 0;
    for found in disk("list", dir, std::fs::read_dir(dir))? {
        let found = disk("list", dir, found)?;
        let meta = disk("look at", dir, found.metadata())?;
        bytes += if meta.is_dir() { size_of(&found.path())? } else { meta.len() };
    }
    Ok(bytes)
}
