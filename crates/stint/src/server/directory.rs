//! The data directory: made for its owner alone, and the small files in it that are not the book's.

use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use stint_engine::secret::MasterKeeper;
use stint_supervise::Supervisor;
use zeroize::Zeroizing;

/// Master keys that seal secrets: not part of a backup.
pub(crate) const MASTER_KEY: &str = "master.key";
/// The embedded store's file.
pub(crate) const BOOK: &str = "book.db";
/// Where the trigger listener is.
pub(crate) const TRIGGER_ADDRESS: &str = "trigger-address";

/// Makes the directory and its parents; a new one is for its owner alone.
pub(crate) fn make(dir: &Path) -> std::io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// Replaces a file in one step, on disk when this returns; readable by its owner only.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let parent = path.parent().unwrap_or(Path::new("."));
    let mut draft = path.as_os_str().to_owned();
    draft.push(".new");
    let draft = PathBuf::from(draft);
    // What a crash left behind may have other permissions.
    match std::fs::remove_file(&draft) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file =
        std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&draft, path)?;
    std::fs::File::open(parent)?.sync_all()
}

/// A file that may not be there.
pub(crate) fn read_if_there(path: &Path) -> std::io::Result<Option<String>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Keeps the master keys in `DIR/master.key`.
#[derive(Debug)]
pub(crate) struct MasterFile {
    pub(crate) path: PathBuf,
    pub(crate) supervisor: Supervisor,
}

#[async_trait]
impl MasterKeeper for MasterFile {
    async fn keep(&self, text: Zeroizing<String>) -> std::io::Result<()> {
        let path = self.path.clone();
        let write = move || write_private(&path, text.as_bytes());
        self.supervisor.blocking(write).await.map_err(std::io::Error::other)?
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn what_is_private_is_for_its_owner_alone() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("a/b");
        make(&dir).unwrap();
        make(&dir).unwrap();
        assert_eq!(mode(&dir), 0o700);
        let file = dir.join("credentials.json");
        std::fs::write(dir.join("credentials.json.new"), "left by a crash").unwrap();
        for text in ["one", "two"] {
            write_private(&file, text.as_bytes()).unwrap();
            assert_eq!(read_if_there(&file).unwrap().as_deref(), Some(text));
            assert_eq!(mode(&file), 0o600);
        }
        assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 1);
        assert_eq!(read_if_there(&dir.join("none")).unwrap(), None);
    }

    #[tokio::test]
    async fn master_keys_are_replaced_durably() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join(MASTER_KEY);
        let supervisor = Supervisor::new(stint_supervise::Clock::start());
        let keeper = MasterFile { path: path.clone(), supervisor };
        keeper.keep(Zeroizing::new("1 00".to_owned())).await.unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "1 00");
        assert_eq!(mode(&path), 0o600);
    }
}
