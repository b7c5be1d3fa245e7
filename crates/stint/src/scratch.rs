//! A directory that is removed again.

use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// See the module.
#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
}

impl Scratch {
    pub(crate) fn make(purpose: &str) -> Result<Self, Failure> {
        let mut random = [0_u8; 8];
        getrandom::fill(&mut random).map_err(|error| Failure::local(error.to_string()))?;
        let name = format!("stint-{purpose}-{}", hex::encode(random));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path)
            .map_err(|error| Failure::cannot(format_args!("make {}", path.display()), &error))?;
        Ok(Self { path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays behind is a directory among temporary files.
        drop(std::fs::remove_dir_all(&self.path));
    }
}
