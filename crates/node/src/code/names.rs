//! Whether a name in an archive may become a file below a directory, and whether a link may point
//! where it points. Pure: no file is touched here.

use std::path::{Component, Path, PathBuf};

use thiserror::Error;

/// Bytes of one whole name.
const NAME_BYTES_MAX: usize = 2_048;
/// Bytes of one part of a name (what file systems take).
const PART_BYTES_MAX: usize = 255;

/// A name that is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NameError {
    /// No name at all.
    #[error("it has an entry without a name")]
    Empty,
    /// It starts at the root.
    #[error("{0:?} is an absolute path")]
    Absolute(String),
    /// It climbs.
    #[error("{0:?} leaves the package")]
    Climbs(String),
    /// NUL, backslash or another control character.
    #[error("{0:?} holds a character that does not belong into a name")]
    Character(String),
    /// Longer than file systems take.
    #[error("{0:?} is too long")]
    Long(String),
    /// Deeper than allowed.
    #[error("{0:?} is deeper than {1} directories")]
    Deep(String, usize),
    /// A link that does not stay inside.
    #[error("the link {name:?} points to {target:?}, outside of the package")]
    Link {
        /// The link.
        name: String,
        /// What it says.
        target: String,
    },
}

/// The path below the target directory that `name` stands for.
pub(super) fn relative(name: &str, depth_max: usize) -> Result<PathBuf, NameError> {
    let shown = || name.chars().take(200).collect::<String>();
    if name.len() > NAME_BYTES_MAX {
        return Err(NameError::Long(shown()));
    }
    if name.bytes().any(|b| b == b'\\' || b < b' ' || b == 0x7f) {
        return Err(NameError::Character(shown()));
    }
    if name.starts_with('/') {
        return Err(NameError::Absolute(shown()));
    }
    let mut path = PathBuf::new();
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => return Err(NameError::Climbs(shown())),
            part if part.len() > PART_BYTES_MAX => return Err(NameError::Long(shown())),
            part => path.push(part),
        }
    }
    match path.components().count() {
        0 if name.is_empty() => Err(NameError::Empty),
        depth if depth > depth_max => Err(NameError::Deep(shown(), depth_max)),
        _ => Ok(path),
    }
}

/// Whether the link at `path` may point to `target`: relative, climbing first (never above the
/// package) and going down afterwards. Links are made last and nothing is written through one, so
/// the directories a link climbs are real, and by induction every link stays inside.
pub(super) fn link(path: &Path, target: &str) -> Result<(), NameError> {
    let refuse = || NameError::Link { name: path.display().to_string(), target: target.to_owned() };
    if target.is_empty() || target.len() > NAME_BYTES_MAX || target.contains('\0') {
        return Err(refuse());
    }
    let mut above = path.parent().map_or(0, |parent| parent.components().count());
    let mut descending = false;
    for part in Path::new(target).components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if descending || above == 0 => return Err(refuse()),
            Component::ParentDir => above -= 1,
            Component::Normal(_) => descending = true,
            Component::RootDir | Component::Prefix(_) => return Err(refuse()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_that_stay_inside() {
        for (name, expected) in [
            ("index.py", "index.py"),
            ("a/b/c.txt", "a/b/c.txt"),
            ("./a//b/", "a/b"),
            ("übung/…", "übung/…"),
            ("a..b/...", "a..b/..."),
            ("./", ""),
        ] {
            assert_eq!(relative(name, 8), Ok(PathBuf::from(expected)), "{name}");
        }
    }

    #[test]
    fn names_that_do_not() {
        let long = "x".repeat(300);
        let deep = "a/".repeat(9);
        type Is = fn(&NameError) -> bool;
        let cases: [(&str, Is); 11] = [
            ("", |e| matches!(e, NameError::Empty)),
            ("/etc/passwd", |e| matches!(e, NameError::Absolute(_))),
            ("../x", |e| matches!(e, NameError::Climbs(_))),
            ("a/../../x", |e| matches!(e, NameError::Climbs(_))),
            ("a/../b", |e| matches!(e, NameError::Climbs(_))),
            ("a\\..\\b", |e| matches!(e, NameError::Character(_))),
            ("C:\\x", |e| matches!(e, NameError::Character(_))),
            ("a\0b", |e| matches!(e, NameError::Character(_))),
            ("a\nb", |e| matches!(e, NameError::Character(_))),
            (&long, |e| matches!(e, NameError::Long(_))),
            (&deep, |e| matches!(e, NameError::Deep(_, 8))),
        ];
        for (name, is) in cases {
            let refused = relative(name, 8).unwrap_err();
            assert!(is(&refused), "{name}: {refused}");
        }
    }

    #[test]
    fn links_stay_inside_or_are_refused() {
        for (path, target, good) in [
            ("bin/tool", "../lib/tool.js", true),
            ("node_modules/.bin/x", "../x/cli.js", true),
            ("a", "b", true),
            ("a/b", "..", true),
            ("a", "..", false),
            ("a/b", "../../x", false),
            ("a", "/etc/passwd", false),
            ("a/b/c", "../x/../../y", false),
            ("a", "", false),
        ] {
            assert_eq!(link(Path::new(path), target).is_ok(), good, "{path} -> {target}");
        }
    }

    proptest! {
        #[test]
        fn whatever_passes_stays_inside(name in "(\\PC|/|\\.|\\\\){0,40}") {
            if let Ok(path) = relative(&name, 16) {
                prop_assert!(path.components().all(|c| matches!(c, Component::Normal(_))));
            }
        }
    }
}
