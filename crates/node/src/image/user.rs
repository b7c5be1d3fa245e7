//! Who an image's user is: its number, its group and its home, from the image's own `passwd` and
//! `group`. They are read through the layers as an overlay would show them, without following a link.

use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, openat, statat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::ImageError;

/// Bytes of `passwd` or `group` that are read.
const TABLE_BYTES_MAX: u64 = 1 << 20;

/// The largest number of a user or a group.
const ID_MAX: u32 = i32::MAX.unsigned_abs();

/// The user of an image.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct ImageUser {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) home: String,
}

/// Resolves `said` (`name`, `number`, either with `:group`) in layers, the topmost first.
pub(super) fn resolve(said: &str, layers: &[PathBuf]) -> Result<ImageUser, ImageError> {
    let (user, group) = match said.split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
        None => (said, None),
    };
    let user = if user.is_empty() { "0" } else { user };
    let passwd = table(layers, "passwd");
    // name:password:uid:gid:comment:home:shell
    let entry = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|fields| {
        fields.len() >= 6 && (fields[0] == user || (is_number(user) && fields[2] == user))
    });
    let number = |text: &str| text.parse::<u32>().ok();
    let unknown = |what: &str, name: &str| {
        ImageError::Invalid(format!("its {what} {name:?} is neither a number nor in its own table"))
    };
    let uid =
        number(user).or_else(|| number(entry.as_ref()?[2])).ok_or_else(|| unknown("user", user))?;
    let gid = match group {
        Some(group) => number(group)
            .or_else(|| group_number(layers, group))
            .ok_or_else(|| unknown("group", group))?,
        None => entry.as_ref().and_then(|fields| number(fields[3])).unwrap_or(0),
    };
    if uid > ID_MAX || gid > ID_MAX {
        return Err(ImageError::Invalid(format!("its user {uid}:{gid} is above {ID_MAX}")));
    }
    let home = entry.as_ref().map(|fields| fields[5].to_owned());
    let home = home.filter(|home| home.starts_with('/'));
    let otherwise = if uid == 0 { "/root" } else { "/" };
    Ok(ImageUser { uid, gid, home: home.unwrap_or_else(|| otherwise.to_owned()) })
}

fn group_number(layers: &[PathBuf], name: &str) -> Option<u32> {
    // name:password:gid:members
    let groups = table(layers, "group");
    let mut lines = groups.lines().map(|line| line.split(':').collect::<Vec<_>>());
    lines.find(|fields| fields.len() >= 3 && fields[0] == name)?[2].parse().ok()
}

fn is_number(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// `/etc/NAME` of the image; empty where there is none.
fn table(layers: &[PathBuf], name: &str) -> String {
    for layer in layers {
        match look(layer, name) {
            Ok(Look::Found(text)) => return text,
            Ok(Look::Hidden) => return String::new(),
            // As good as absent: the number of a user may still do.
            Ok(Look::Below) | Err(_) => {}
        }
    }
    String::new()
}

enum Look {
    Found(String),
    /// It or its directory is deleted here, or is something else.
    Hidden,
    /// This layer says nothing about it.
    Below,
}

fn look(layer: &Path, name: &str) -> Result<Look, Errno> {
    let directory = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let root = openat(CWD, layer, directory, Mode::empty())?;
    let etc = match openat(&root, "etc", directory, Mode::empty()) {
        Ok(etc) => etc,
        Err(Errno::NOENT) => return Ok(Look::Below),
        Err(_) => return Ok(Look::Hidden),
    };
    let stat = match statat(&etc, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        Err(Errno::NOENT) => {
            return Ok(if is_opaque(&etc) { Look::Hidden } else { Look::Below });
        }
        Err(errno) => return Err(errno),
    };
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Ok(Look::Hidden);
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = std::fs::File::from(openat(&etc, name, flags, Mode::empty())?);
    let mut text = Vec::new();
    file.take(TABLE_BYTES_MAX).read_to_end(&mut text).map_err(|_| Errno::IO)?;
    Ok(Look::Found(String::from_utf8_lossy(&text).into_owned()))
}

fn is_opaque(directory: &OwnedFd) -> bool {
    let mut value = [0_u8; 1];
    rustix::fs::fgetxattr(directory, "user.overlay.opaque", &mut value[..]).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("etc")).unwrap();
        for (name, text) in files {
            std::fs::write(dir.path().join("etc").join(name), text).unwrap();
        }
        dir
    }

    #[test]
    fn a_user_is_found_in_the_images_own_tables() {
        let low = layer(&[
            ("passwd", "root:x:0:0:root:/root:/bin/sh\nold:x:7:8::/old:/bin/sh\n"),
            ("group", "root:x:0:\nstaff:x:50:\n"),
        ]);
        let high = layer(&[(
            "passwd",
            "root:x:0:0:root:/root:/bin/sh\napp:x:101:102:App:/srv/app:/bin/sh\n",
        )]);
        let layers = [high.path().to_owned(), low.path().to_owned()];
        let of = |said: &str| {
            resolve(said, &layers)
                .map(|user| (user.uid, user.gid, user.home))
                .map_err(|e| e.to_string())
        };
        assert_eq!(of(""), Ok((0, 0, "/root".into())));
        assert_eq!(of("app"), Ok((101, 102, "/srv/app".into())));
        assert_eq!(of("101"), Ok((101, 102, "/srv/app".into())));
        assert_eq!(of("app:staff"), Ok((101, 50, "/srv/app".into())));
        assert_eq!(of("app:7"), Ok((101, 7, "/srv/app".into())));
        assert_eq!(of("4321"), Ok((4321, 0, "/".into())));
        assert!(of("old").unwrap_err().contains("\"old\""), "a layer above replaces the table");
        assert!(of("4294967295").unwrap_err().contains("above"));
        assert!(of("app:wheel").unwrap_err().contains("group"));
    }

    #[test]
    fn a_link_is_not_followed_and_no_table_is_no_obstacle() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc", dir.path().join("etc")).unwrap();
        let layers = [dir.path().to_owned()];
        assert_eq!(resolve("0", &layers).unwrap().home, "/root");
        assert!(resolve("root", &layers).is_err(), "the host's own table is not read");
    }
}
