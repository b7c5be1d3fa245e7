//! The shims: carried in the binary, written out once per version, bound read-only into instances.

mod precompile;

use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use stint_sandbox::{Family, Interpreter};

pub(crate) use precompile::precompile;

/// Where an instance sees them.
pub(crate) const INSIDE: &str = "/var/stint";

/// Tells a shim that it is started before anybody needs it.
pub(crate) const WAIT: &str = "--wait";

const FILES: &[(&str, &[u8])] = &[
    ("python/bootstrap.py", include_bytes!("../../../runtimes/python/bootstrap.py")),
    ("python/stint_loop.py", include_bytes!("../../../runtimes/python/stint_loop.py")),
    ("python/stint_context.py", include_bytes!("../../../runtimes/python/stint_context.py")),
    ("python/stint_errors.py", include_bytes!("../../../runtimes/python/stint_errors.py")),
    ("python/stint_logging.py", include_bytes!("../../../runtimes/python/stint_logging.py")),
    ("nodejs/bootstrap.js", include_bytes!("../../../runtimes/nodejs/bootstrap.js")),
    ("nodejs/proxy.js", include_bytes!("../../../runtimes/nodejs/proxy.js")),
    ("java/stint-runtime.jar", include_bytes!("../../../runtimes/java/stint-runtime.jar")),
    ("bash/bootstrap.sh", include_bytes!("../../../runtimes/bash/bootstrap.sh")),
];

/// How an interpreter is started with its shim.
pub(crate) fn command(interpreter: &Interpreter) -> Vec<String> {
    let program = interpreter.path.display().to_string();
    match interpreter.family {
        // Without `site`: the shim sets the path itself, and starting costs a quarter less.
        Family::Python => {
            vec![program, "-S".into(), "-s".into(), "-B".into(), inside("python/bootstrap.py")]
        }
        Family::Node => vec![program, inside("nodejs/bootstrap.js")],
        Family::Java | Family::Bash => unreachable!("their shims poll, see Runtime::of"),
    }
}

fn inside(name: &str) -> String {
    format!("{INSIDE}/{name}")
}

/// Writes the shims below `dir` unless this version is there, removes other versions, and returns
/// the version's directory.
pub(crate) fn write_out(dir: &Path) -> std::io::Result<PathBuf> {
    let mut hash = Sha256::new();
    for (name, bytes) in FILES {
        hash.update(name.as_bytes());
        hash.update([0]);
        hash.update(bytes);
        hash.update([0]);
    }
    let version = hex::encode(&hash.finalize()[..8]);
    std::fs::create_dir_all(dir)?;
    let target = dir.join(&version);
    for found in std::fs::read_dir(dir)? {
        let path = found?.path();
        if path != target {
            std::fs::remove_dir_all(&path)?;
        }
    }
    if target.join("complete").exists() {
        return Ok(target);
    }
    for (name, bytes) in FILES {
        let path = target.join(name);
        let parent = path.parent().expect("every name has a directory");
        std::fs::create_dir_all(parent)?;
        open_to_all(parent, 0o755)?;
        std::fs::write(&path, bytes)?;
        open_to_all(&path, 0o644)?;
    }
    open_to_all(&target, 0o755)?;
    std::fs::write(target.join("complete"), &version)?;
    Ok(target)
}

fn open_to_all(path: &Path, mode: u32) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shims_are_written_once_and_old_ones_removed() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("0123/python")).unwrap();
        let target = write_out(dir.path()).unwrap();
        assert!(target.join("python/stint_loop.py").exists());
        assert!(target.join("nodejs/bootstrap.js").exists());
        assert!(!dir.path().join("0123").exists());
        std::fs::write(target.join("mark"), "").unwrap();
        assert_eq!(write_out(dir.path()).unwrap(), target);
        assert!(target.join("mark").exists(), "not written again");
    }

    #[test]
    fn every_file_of_the_runtimes_is_carried() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../runtimes");
        for language in ["python", "nodejs", "bash"] {
            for found in std::fs::read_dir(root.join(language)).unwrap() {
                let name = found.unwrap().file_name().into_string().unwrap();
                let name = format!("{language}/{name}");
                let carried = FILES.iter().any(|(known, _)| *known == name);
                assert!(carried || name.contains("__pycache__"), "{name} is not in FILES");
            }
        }
    }

    #[test]
    fn the_jar_was_made_from_these_sources() {
        let java = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../runtimes/java");
        let mut sources = Vec::new();
        let mut dirs = vec![java.join("src")];
        while let Some(dir) = dirs.pop() {
            for found in std::fs::read_dir(dir).unwrap() {
                let path = found.unwrap().path();
                if path.is_dir() {
                    dirs.push(path);
                } else {
                    let name = path.strip_prefix(&java).unwrap().to_str().unwrap().to_owned();
                    sources.push((name, std::fs::read(&path).unwrap()));
                }
            }
        }
        sources.sort();
        let mut hash = Sha256::new();
        for (name, text) in &sources {
            hash.update(name.as_bytes());
            hash.update([0]);
            hash.update(text);
            hash.update([0]);
        }
        let hash = hex::encode(hash.finalize());
        let (_, jar) = FILES.iter().find(|(name, _)| name.ends_with(".jar")).unwrap();
        let mut jar = zip::ZipArchive::new(std::io::Cursor::new(*jar)).unwrap();
        let mut manifest = String::new();
        let mut entry = jar.by_name("META-INF/MANIFEST.MF").unwrap();
        std::io::Read::read_to_string(&mut entry, &mut manifest).unwrap();
        let same = manifest.contains(&format!("Sources-Sha256: {hash}"));
        assert!(same, "runtimes/java/build.py must be run again: {hash}");
    }
}
