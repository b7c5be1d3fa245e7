//! The files of the tree, without asking git: a tree from an archive is judged as well.

use std::fs;
use std::path::Path;

/// A text file; its path is relative to the workspace, with slashes.
#[derive(Debug)]
pub(super) struct File {
    pub(super) path: String,
    pub(super) text: String,
}

/// What is ours to judge, by the ending of the name.
const ENDINGS: &[&str] = &[
    ".rs",
    ".toml",
    ".md",
    ".sh",
    ".py",
    ".mjs",
    ".js",
    ".ts",
    ".tsx",
    ".css",
    ".html",
    ".yaml",
    ".yml",
    ".json",
    ".service",
    ".sql",
    ".wat",
    ".wit",
    "Makefile",
    "Containerfile",
    ".ci/run",
    ".editorconfig",
];

/// Hidden directories that are ours; all others belong to tools.
const HIDDEN: &[&str] = &[".ci", ".cargo"];
const FOREIGN: &[&str] = &["node_modules", "__pycache__", "target", "package-lock.json"];

pub(super) fn walk(root: &Path) -> Result<Vec<File>, String> {
    let mut files = Vec::new();
    enter(root, "", &mut files).map_err(|error| format!("{}: {error}", root.display()))?;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn enter(dir: &Path, prefix: &str, files: &mut Vec<File>) -> std::io::Result<()> {
    // Tools mark directories that can be made again, such as cargo's target, with this file.
    if dir.join("CACHEDIR.TAG").exists() {
        return Ok(());
    }
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{prefix}{name}");
        if FOREIGN.contains(&name.as_str()) {
            continue;
        }
        let kind = entry.file_type()?;
        if kind.is_dir() {
            if !name.starts_with('.') || HIDDEN.contains(&name.as_str()) {
                enter(&entry.path(), &format!("{path}/"), files)?;
            }
        } else if kind.is_file() && ENDINGS.iter().any(|ending| path.ends_with(ending)) {
            let bytes = fs::read(entry.path())?;
            let text = String::from_utf8_lossy(&bytes).into_owned();
            files.push(File { path, text });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_very_file_is_found_and_no_foreign_one() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let files = walk(root).unwrap();
        assert!(files.iter().any(|file| file.path == "xtask/src/tidy/tree.rs"));
        assert!(files.iter().any(|file| file.path == ".cargo/config.toml"));
        let foreign =
            |file: &&File| file.path.contains("node_modules/") || file.path.contains(".venv");
        assert!(files.iter().find(foreign).is_none());
    }
}
