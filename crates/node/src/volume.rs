//! Shared volumes: what `nasConfig` names becomes a directory of the host, or is refused.
//!
//! `volume:NAME[/sub]` is a named volume of the account, made when it is first used. `host:/dir` (or
//! `localhost:/dir`) is a directory the operator allows: after every link is resolved it must lie in
//! an allowed one.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path, PathBuf};

use stint_model::function::{NasConfig, NasMount};
use stint_model::id::{AccountId, is_name};
use stint_sandbox::{Bind, HostUser};
use thiserror::Error;

/// Why a volume is not mounted; the text is for the caller.
#[derive(Debug, Error)]
pub(crate) enum VolumeError {
    #[error("the volume name {0:?} must match [A-Za-z_][A-Za-z0-9_-]*")]
    Name(String),
    #[error("the server address {0:?} is neither volume:NAME[/sub] nor host:/directory")]
    Address(String),
    #[error("the path {0:?} must not hold `..`")]
    Climbs(String),
    #[error("the operator of this node does not allow {0}")]
    Denied(PathBuf),
    #[error("cannot use {path} as a volume: {source}")]
    Disk { path: PathBuf, source: std::io::Error },
}

/// Where volumes may lie.
#[derive(Clone, Debug)]
pub(crate) struct Volumes {
    dir: PathBuf,
    allowed: Vec<PathBuf>,
}

impl Volumes {
    pub(crate) fn new(dir: PathBuf, allowed: Vec<PathBuf>) -> Self {
        Self { dir, allowed }
    }

    /// The binds of a function. Blocks on the disk.
    pub(crate) fn binds(
        &self,
        account: AccountId,
        user: HostUser,
        nas: Option<&NasConfig>,
    ) -> Result<Vec<Bind>, VolumeError> {
        let mounts = nas.map(|nas| nas.mounts.as_slice()).unwrap_or_default();
        mounts.iter().map(|mount| self.bind(account, user, mount)).collect()
    }

    fn bind(
        &self,
        account: AccountId,
        user: HostUser,
        mount: &NasMount,
    ) -> Result<Bind, VolumeError> {
        let address = mount.server_addr.as_str();
        let (host, path) =
            address.split_once(':').ok_or_else(|| VolumeError::Address(address.to_owned()))?;
        let source = match host {
            "volume" => self.named(account, user, path)?,
            "host" | "localhost" => self.allowed(path)?,
            _ => return Err(VolumeError::Address(address.to_owned())),
        };
        Ok(Bind::read_write(source, &mount.mount_dir))
    }

    fn named(
        &self,
        account: AccountId,
        user: HostUser,
        path: &str,
    ) -> Result<PathBuf, VolumeError> {
        let (name, sub) = path.split_once('/').unwrap_or((path, ""));
        if !is_name(name) {
            return Err(VolumeError::Name(name.to_owned()));
        }
        let mut dir = self.dir.join(account.to_string());
        make(&dir, None)?;
        dir.push(name);
        make(&dir, Some(user))?;
        for part in Path::new(sub).components() {
            match part {
                Component::Normal(part) => dir.push(part),
                Component::CurDir => continue,
                Component::ParentDir | Component::RootDir | Component::Prefix(_) => {
                    return Err(VolumeError::Climbs(path.to_owned()));
                }
            }
            // What is inside belongs to user code: a link there may point anywhere.
            if dir.symlink_metadata().is_ok_and(|meta| !meta.is_dir()) {
                return Err(VolumeError::Denied(dir));
            }
            make(&dir, Some(user))?;
        }
        Ok(dir)
    }

    fn allowed(&self, path: &str) -> Result<PathBuf, VolumeError> {
        if !path.starts_with('/') {
            return Err(VolumeError::Address(path.to_owned()));
        }
        if Path::new(path).components().any(|part| part == Component::ParentDir) {
            return Err(VolumeError::Climbs(path.to_owned()));
        }
        let real = std::fs::canonicalize(path)
            .map_err(|source| VolumeError::Disk { path: path.into(), source })?;
        let is_allowed = self.allowed.iter().any(|allowed| {
            std::fs::canonicalize(allowed).is_ok_and(|allowed| real.starts_with(allowed))
        });
        if is_allowed && real.is_dir() { Ok(real) } else { Err(VolumeError::Denied(path.into())) }
    }
}

/// A directory that exists afterwards and, where we may say so, belongs to the account's user.
pub(crate) fn make(dir: &Path, user: Option<HostUser>) -> Result<(), VolumeError> {
    let failed = |source| VolumeError::Disk { path: dir.to_owned(), source };
    if dir.is_dir() {
        return Ok(());
    }
    std::fs::create_dir_all(dir).map_err(failed)?;
    let mode = if user.is_some() { 0o770 } else { 0o711 };
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(mode)).map_err(failed)?;
    if let Some(user) = user
        && rustix::process::geteuid().is_root()
    {
        std::os::unix::fs::chown(dir, Some(user.uid), Some(user.gid)).map_err(failed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: AccountId = AccountId::ROOT;

    fn user() -> HostUser {
        HostUser { uid: 100_000, gid: 100_000 }
    }

    fn mount(server_addr: &str) -> NasMount {
        NasMount { server_addr: server_addr.into(), mount_dir: "/mnt/x".into(), enable_tls: false }
    }

    #[test]
    fn a_named_volume_is_made_when_it_is_used() {
        let dir = tempfile::tempdir().unwrap();
        let volumes = Volumes::new(dir.path().join("volumes"), Vec::new());
        let bind = volumes.bind(ME, user(), &mount("volume:data/a/b")).unwrap();
        let expected = dir.path().join("volumes").join(ME.to_string()).join("data/a/b");
        assert_eq!(bind.source, expected);
        assert!(expected.is_dir());
        let again = volumes.bind(ME, user(), &mount("volume:data")).unwrap();
        assert_eq!(again.source, expected.parent().unwrap().parent().unwrap());
        let other = volumes.bind(AccountId::new(5), user(), &mount("volume:data")).unwrap();
        assert_ne!(other.source, again.source, "accounts do not share");
    }

    #[test]
    fn what_leaves_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let volumes = Volumes::new(dir.path().join("volumes"), Vec::new());
        for address in [
            "volume:../x",
            "volume:",
            "volume:a/../../b",
            "volume:a//../b",
            "nas.example:/x",
            "plain",
            "host:/etc",
            "localhost:/",
            "host:etc",
        ] {
            assert!(volumes.bind(ME, user(), &mount(address)).is_err(), "{address}");
        }
        let data = volumes.bind(ME, user(), &mount("volume:data")).unwrap().source;
        std::os::unix::fs::symlink("/etc", data.join("link")).unwrap();
        let refused = volumes.bind(ME, user(), &mount("volume:data/link")).unwrap_err();
        assert!(matches!(refused, VolumeError::Denied(_)), "{refused}");
    }

    #[test]
    fn an_allowed_directory_is_judged_after_links_are_resolved() {
        let dir = tempfile::tempdir().unwrap();
        let (good, secret) = (dir.path().join("good"), dir.path().join("secret"));
        std::fs::create_dir_all(good.join("sub")).unwrap();
        std::fs::create_dir_all(&secret).unwrap();
        std::os::unix::fs::symlink(&secret, good.join("out")).unwrap();
        let volumes = Volumes::new(dir.path().join("volumes"), vec![good.clone()]);
        let at = |path: &Path| mount(&format!("host:{}", path.display()));
        assert!(volumes.bind(ME, user(), &at(&good.join("sub"))).is_ok());
        assert!(volumes.bind(ME, user(), &at(&good)).is_ok());
        assert!(volumes.bind(ME, user(), &at(&good.join("out"))).is_err());
        assert!(volumes.bind(ME, user(), &at(&secret)).is_err());
    }
}
