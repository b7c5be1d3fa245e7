//! The `/etc` that instances see: a few files of ours, and mount points for the host's live parts.

use std::fs;
use std::io;
use std::path::Path;

use crate::seat::INSIDE_ID;

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

/// Makes one tree per kind of network, again at every start: the host may have changed.
pub(super) fn prepare(base: &Path) -> io::Result<()> {
    let hosts = "127.0.0.1 localhost stint\n::1 localhost stint\n";
    for (name, resolver) in [("etc-loopback", String::new()), ("etc-host", resolver())] {
        let etc = base.join(name);
        if etc.exists() {
            fs::remove_dir_all(&etc)?;
        }
        for dir in ["alternatives", "ssl/certs", "fonts"] {
            fs::create_dir_all(etc.join(dir))?;
        }
        let id = INSIDE_ID;
        for (file, text) in [
            (
                "passwd",
                format!(
                    "root:x:0:0:root:/:/bin/sh\nstint:x:{id}:{id}:stint:/tmp:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"
                ),
            ),
            ("group", format!("root:x:0:\nstint:x:{id}:\nnogroup:x:65534:\n")),
            ("hosts", hosts.to_owned()),
            ("hostname", "stint\n".to_owned()),
            ("nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n".to_owned()),
            ("resolv.conf", resolver),
            ("ld.so.cache", String::new()),
        ] {
            fs::write(etc.join(file), text)?;
        }
        for file in COPIED {
            match fs::read(Path::new("/etc").join(file)) {
                Ok(bytes) => fs::write(etc.join(file), bytes)?,
                Err(_) => continue,
            }
        }
        readable(&etc)?;
    }
    Ok(())
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

fn resolver() -> String {
    fs::read_to_string("/etc/resolv.conf").unwrap_or_default()
}
