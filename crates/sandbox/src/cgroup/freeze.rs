//! Makes the processes of a leaf stand still and go on, where a control group can. Nobody inside can
//! tell: no signal is sent, no parent is told.

use std::io;
use std::path::PathBuf;

use super::write;

const V2: &str = "cgroup.freeze";
const V1: &str = "freezer.state";

/// Whether a leaf stands still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Frozen {
    Yes,
    No,
}

/// Stops a leaf or lets it go on; `leaf` holds its directory in each tree. False where no control
/// group can: then it is as it was.
pub(crate) fn set_frozen(leaf: &[PathBuf], frozen: Frozen) -> io::Result<bool> {
    if let Some(dir) = leaf.iter().find(|dir| dir.join(V2).exists()) {
        write(dir, V2, u32::from(frozen == Frozen::Yes))?;
        return Ok(true);
    }
    let Some(dir) = leaf.iter().find(|dir| dir.join(V1).exists()) else { return Ok(false) };
    write(dir, V1, if frozen == Frozen::Yes { "FROZEN" } else { "THAWED" })?;
    Ok(true)
}

/// On version 1 a frozen process does not die before it goes on; on version 2 it does.
pub(crate) fn thaw_to_kill(leaf: &[PathBuf]) {
    if let Some(dir) = leaf.iter().find(|dir| dir.join(V1).exists()) {
        // Its end is on the way, or it was never frozen.
        write(dir, V1, "THAWED").ok();
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn either_version_is_written_and_the_second_comes_first() {
        let dir = tempfile::tempdir().unwrap();
        let leaf = vec![dir.path().join("none"), dir.path().to_owned()];
        let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
        assert!(!set_frozen(&leaf, Frozen::Yes).unwrap());
        fs::write(dir.path().join(V1), "THAWED").unwrap();
        assert!(set_frozen(&leaf, Frozen::Yes).unwrap());
        assert_eq!(read(V1), "FROZEN");
        thaw_to_kill(&leaf);
        assert_eq!(read(V1), "THAWED");
        fs::write(dir.path().join(V2), "0").unwrap();
        assert!(set_frozen(&leaf, Frozen::Yes).unwrap());
        assert_eq!((read(V2).as_str(), read(V1).as_str()), ("1", "THAWED"));
        set_frozen(&leaf, Frozen::No).unwrap();
        assert_eq!(read(V2), "0");
    }
}
