//! Packs a directory into a zip: sorted, without times, so that the same files give the same bytes
//! and an unchanged function is not uploaded again.

use std::io::{Cursor, Write as _};
use std::path::{Path, PathBuf};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use crate::failure::Failure;

/// What the API takes in one request, before Base64.
const ZIP_BYTES_MAX: usize = 72 << 20;
/// Never packed.
const ALWAYS_IGNORED: [&str; 5] = [".git", ".stint", "__pycache__", ".DS_Store", "stint.yaml"];
/// Files with further patterns, one a line.
const IGNORE_FILES: [&str; 2] = [".stintignore", ".fcignore"];

/// The zip of a directory; of a file that is one, its bytes.
pub(crate) fn pack(path: &Path) -> Result<Vec<u8>, Failure> {
    let cannot =
        |error: std::io::Error| Failure::cannot(format_args!("read {}", path.display()), &error);
    let meta = std::fs::metadata(path).map_err(|error| {
        cannot(error).next("`code` is relative to the project file; correct it there")
    })?;
    if meta.is_file() {
        return std::fs::read(path).map_err(cannot);
    }
    pack_with(path, &[])
}

/// The files of a directory that are packed, sorted.
pub(crate) fn files(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    let ignore = Ignore::read(path);
    let mut files = Vec::new();
    gather(path, Path::new(""), &ignore, &mut files)?;
    files.sort();
    Ok(files)
}

/// The zip of a directory with more files, which win.
pub(crate) fn pack_with(path: &Path, more: &[(&str, &[u8])]) -> Result<Vec<u8>, Failure> {
    let mut files = files(path)?;
    files.retain(|file| !more.iter().any(|(name, _)| file.as_path() == Path::new(name)));
    if files.is_empty() && more.is_empty() {
        return Err(Failure::usage(format!("{} holds no files to deploy", path.display())));
    }
    let bytes = write(path, &files, more)?;
    if bytes.len() > ZIP_BYTES_MAX {
        let (got, max) = (bytes.len() >> 20, ZIP_BYTES_MAX >> 20);
        return Err(Failure::usage(format!(
            "the code packs to {got} MiB, and {max} MiB may be sent"
        ))
        .next("leave files out with .stintignore, use a layer, or put the zip into a bucket"));
    }
    Ok(bytes)
}

/// CRC-64/ECMA of a zip, as upstream shows it.
pub(crate) fn checksum(bytes: &[u8]) -> String {
    crc::Crc::<u64>::new(&crc::CRC_64_XZ).checksum(bytes).to_string()
}

/// Relative paths of every file that is packed.
fn gather(
    root: &Path,
    relative: &Path,
    ignore: &Ignore,
    files: &mut Vec<PathBuf>,
) -> Result<(), Failure> {
    let here = root.join(relative);
    let cannot =
        |error: std::io::Error| Failure::cannot(format_args!("read {}", here.display()), &error);
    for entry in std::fs::read_dir(&here).map_err(cannot)? {
        let entry = entry.map_err(cannot)?;
        let path = relative.join(entry.file_name());
        if ignore.matches(&path) {
            continue;
        }
        let meta = std::fs::metadata(entry.path()).map_err(cannot)?;
        if meta.is_dir() {
            let linked = entry.file_type().map_err(cannot)?.is_symlink();
            if linked {
                // A directory behind a link may lead back here; its files would be packed twice.
                return Err(Failure::usage(format!(
                    "{} is a link to a directory, which is not packed: copy it",
                    entry.path().display()
                )));
            }
            gather(root, &path, ignore, files)?;
        } else if meta.is_file() {
            files.push(path);
        }
    }
    Ok(())
}

fn write(root: &Path, files: &[PathBuf], more: &[(&str, &[u8])]) -> Result<Vec<u8>, Failure> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for path in files {
        let full = root.join(path);
        let cannot = |error: &(dyn std::error::Error + 'static)| {
            Failure::cannot(format_args!("pack {}", full.display()), error)
        };
        let bytes = std::fs::read(&full).map_err(|error| cannot(&error))?;
        let meta = std::fs::metadata(&full).map_err(|error| cannot(&error))?;
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .last_modified_time(DateTime::default())
            .unix_permissions(permissions(&meta));
        let name = path.to_str().ok_or_else(|| {
            Failure::usage(format!("{} has a name that is not UTF-8", full.display()))
        })?;
        zip.start_file(name, options).map_err(|error| cannot(&error))?;
        zip.write_all(&bytes).map_err(|error| cannot(&error))?;
    }
    for (name, bytes) in more {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .last_modified_time(DateTime::default())
            .unix_permissions(0o644);
        let added = zip.start_file(*name, options).map_err(std::io::Error::from);
        let added = added.and_then(|()| zip.write_all(bytes));
        added.map_err(|error| Failure::cannot(format_args!("pack {name}"), &error))?;
    }
    let done = zip.finish().map_err(|error| Failure::cannot("finish the zip", &error))?;
    Ok(done.into_inner())
}

/// Only whether it may be executed: the rest differs between machines.
fn permissions(meta: &std::fs::Metadata) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    if meta.permissions().mode() & 0o111 == 0 { 0o644 } else { 0o755 }
}

#[derive(Debug, Default)]
struct Ignore {
    patterns: Vec<String>,
}

impl Ignore {
    fn read(root: &Path) -> Self {
        let mut patterns: Vec<String> = Vec::new();
        for name in IGNORE_FILES {
            let text = std::fs::read_to_string(root.join(name)).unwrap_or_default();
            let lines = text.lines().map(str::trim);
            let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
            patterns.extend(lines.map(|line| line.trim_matches('/').to_owned()));
        }
        Self { patterns }
    }

    /// A pattern with a slash is for the whole path, one without for a name anywhere.
    fn matches(&self, path: &Path) -> bool {
        let whole = path.to_string_lossy();
        let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
        ALWAYS_IGNORED.contains(&&*name)
            || IGNORE_FILES.contains(&&*name)
            || name.ends_with(".pyc")
            || self.patterns.iter().any(|pattern| {
                glob(
                    pattern.as_bytes(),
                    if pattern.contains('/') { &whole } else { &name }.as_bytes(),
                )
            })
    }
}

/// `*` is any run of bytes, `?` is any byte.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                retry = Some((p, t));
                p += 1;
            }
            Some(byte) if *byte == b'?' || *byte == text[t] => {
                p += 1;
                t += 1;
            }
            Some(_) | None => match retry {
                Some((star, from)) => {
                    retry = Some((star, from + 1));
                    p = star + 1;
                    t = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        dir
    }

    fn names(bytes: &[u8]) -> Vec<String> {
        let zip = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
        zip.file_names().map(|name| name.unwrap().into_owned()).collect()
    }

    #[test]
    fn the_same_files_give_the_same_bytes() {
        let files = [("index.py", "def handler(e, c): return e"), ("lib/a.py", "A = 1")];
        let (one, two) = (tree(&files), tree(&files));
        let (a, b) = (pack(one.path()).unwrap(), pack(two.path()).unwrap());
        assert_eq!(a, b);
        assert_eq!(names(&a), ["index.py", "lib/a.py"]);
        assert_eq!(checksum(b"123456789"), 0x995d_c9bb_df19_39fa_u64.to_string());
        let mut zip = zip::ZipArchive::new(Cursor::new(&a)).unwrap();
        let mut text = String::new();
        zip.by_name("lib/a.py").unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "A = 1");
    }

    #[test]
    fn a_program_stays_one() {
        let dir = tree(&[("bootstrap", "#!/bin/sh")]);
        let path = dir.path().join("bootstrap");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
        let bytes = pack(dir.path()).unwrap();
        let mut zip = zip::ZipArchive::new(Cursor::new(&bytes)).unwrap();
        let mode = zip.by_index(0).unwrap().unix_mode().unwrap();
        assert_eq!(mode & 0o777, 0o755);
    }

    #[test]
    fn what_is_ignored_stays_out() {
        let dir = tree(&[
            ("index.js", "x"),
            (".git/config", "x"),
            ("__pycache__/a.pyc", "x"),
            ("notes.md", "x"),
            ("data/big.bin", "x"),
            ("data/small.txt", "x"),
            ("stint.yaml", "x"),
            (".stintignore", "# docs\n*.md\ndata/*.bin\n"),
        ]);
        assert_eq!(names(&pack(dir.path()).unwrap()), ["data/small.txt", "index.js"]);
    }

    #[test]
    fn a_zip_is_taken_as_it_is_and_mistakes_are_told() {
        let dir = tree(&[("f.zip", "not really")]);
        assert_eq!(pack(&dir.path().join("f.zip")).unwrap(), b"not really");
        assert!(pack(&dir.path().join("none")).unwrap_err().next.unwrap().contains("relative"));
        let empty = tree(&[("stint.yaml", "x")]);
        assert!(pack(empty.path()).unwrap_err().message.contains("no files"));
        std::os::unix::fs::symlink("/", dir.path().join("loop")).unwrap();
        assert!(pack(dir.path()).unwrap_err().message.contains("link"));
    }

    #[test]
    fn globs() {
        for (pattern, text, matches) in [
            ("*.md", "a.md", true),
            ("*.md", "a.mdx", false),
            ("a?c", "abc", true),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxbyy", false),
            ("", "", true),
            ("*", "", true),
            ("ab", "abc", false),
        ] {
            assert_eq!(glob(pattern.as_bytes(), text.as_bytes()), matches, "{pattern} {text}");
        }
    }
}
