//! Rules for documents: what they name exists, and the map names every crate.

use std::path::Path;

use super::tree::File;
use crate::layers;

const MAP: &str = "docs/architecture.md";
const MAP_LINES_MAX: usize = 500;
const README_LINES_MAX: usize = 120;

/// Texts in backticks that begin so are paths of this tree.
const ROOTS: &[&str] = &[
    "crates/",
    "docs/",
    "xtask/",
    "e2e/",
    "examples/",
    "deploy/",
    "scripts/",
    "bench/",
    "runtimes/",
    "console/",
    ".ci/",
    ".cargo/",
];

pub(super) fn check(root: &Path, files: &[File]) -> Vec<String> {
    let exists = |path: &str| root.join(path).exists();
    let mut problems = Vec::new();
    for file in files.iter().filter(|file| file.path.ends_with(".md")) {
        problems.extend(broken_links(file, exists));
        if file.path == MAP || file.path.starts_with("docs/adr/") || !file.path.contains('/') {
            problems.extend(missing_paths(file, exists));
        }
    }
    problems.extend(too_long(files, MAP, MAP_LINES_MAX));
    problems.extend(too_long(files, "README.md", README_LINES_MAX));
    match files.iter().find(|file| file.path == MAP) {
        Some(map) => problems.extend(unnamed_crates(&map.text, layers::crate_names(root))),
        None => problems.push(format!("{MAP}: missing")),
    }
    problems
}

fn too_long(files: &[File], path: &str, max: usize) -> Option<String> {
    let lines = files.iter().find(|file| file.path == path)?.text.lines().count();
    (lines > max).then(|| format!("{path}: {lines} lines, at most {max}"))
}

fn unnamed_crates(map: &str, names: impl IntoIterator<Item = String>) -> Vec<String> {
    let named = |name: &String| map.contains(&format!("`{name}`"));
    let unnamed = names.into_iter().filter(|name| !named(name));
    unnamed.map(|name| format!("{MAP}: does not name the crate `{name}`")).collect()
}

/// Paths in backticks that are not there.
fn missing_paths(file: &File, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let mut problems = Vec::new();
    let mut in_block = false;
    for (number, line) in (1..).zip(file.text.lines()) {
        if line.starts_with("```") {
            in_block = !in_block;
        }
        if in_block {
            continue;
        }
        for quoted in line.split('`').skip(1).step_by(2) {
            let is_path = ROOTS.iter().any(|root| quoted.starts_with(root));
            let is_pattern = quoted.contains(['*', '<', '{', ' ', 'X', '…']);
            if is_path && !is_pattern && !exists(quoted) {
                problems.push(format!("{}:{number}: {quoted} does not exist", file.path));
            }
        }
    }
    problems
}

/// Relative links that lead nowhere.
fn broken_links(file: &File, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let mut problems = Vec::new();
    let dir = file.path.rsplit_once('/').map_or("", |(dir, _)| dir);
    for (number, line) in (1..).zip(file.text.lines()) {
        for rest in line.split("](").skip(1) {
            let target = rest.split([')', '#', ' ']).next().unwrap_or("");
            let is_foreign = target.contains("://") || target.starts_with("mailto:");
            if !target.is_empty() && !is_foreign && !exists(&resolve(dir, target)) {
                problems.push(format!("{}:{number}: broken link to {target}", file.path));
            }
        }
    }
    problems
}

fn resolve(dir: &str, target: &str) -> String {
    let mut parts: Vec<&str> = dir.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/') {
        match part {
            ".." => drop(parts.pop()),
            "." | "" => {}
            name => parts.push(name),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File { path: path.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn a_path_that_does_not_exist_is_found() {
        let text = "See `crates/a/src/lib.rs` and `crates/gone.rs` and `cargo run`.\n\
                    ```\n`crates/in-a-block.rs`\n```\n`crates/*/src` is a pattern.\n";
        let found = missing_paths(&file(MAP, text), |path| path == "crates/a/src/lib.rs");
        assert_eq!(found, ["docs/architecture.md:1: crates/gone.rs does not exist"]);
    }

    #[test]
    fn a_crate_that_the_map_forgets_is_found() {
        let names = ["model", "engine"].map(str::to_owned);
        let found = unnamed_crates("- `model`: nouns; the engine is not named so", names);
        assert_eq!(found, ["docs/architecture.md: does not name the crate `engine`"]);
    }

    #[test]
    fn a_link_that_leads_nowhere_is_found() {
        let text = "[a](adr/one.md#part) [b](../README.md) [c](https://example.org) [d](#here)\n\
                    [e](adr/gone.md)\n";
        let there = ["docs/adr/one.md", "README.md"];
        let found = broken_links(&file("docs/index.md", text), |path| there.contains(&path));
        assert_eq!(found, ["docs/index.md:2: broken link to adr/gone.md"]);
    }

    #[test]
    fn long_documents_are_found() {
        let files = [file("README.md", &"x\n".repeat(121))];
        assert!(too_long(&files, "README.md", README_LINES_MAX).is_some());
        assert!(too_long(&files, MAP, MAP_LINES_MAX).is_none());
    }
}
