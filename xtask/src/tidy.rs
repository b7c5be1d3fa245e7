//! The rules about files that no compiler checks: a reviewer should never have to say them.

mod documents;
mod rust;
mod tree;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::ci::Notes;
use tree::File;

/// Lines of a source file without its tests.
const FILE_LINES_MAX: usize = 800;
/// Above this a file is only counted, so that one can see where the house grows.
const FILE_LINES_GOAL: usize = 500;
/// Above this a crate does more than its name says. `engine` sets it: every verb and the shell of all that
/// is durable live there, a third of it the shell of flows. What comes next gets a crate of its own.
const CRATE_LINES_MAX: usize = 24_000;
/// `lib.rs` is a table of contents, `main.rs` a list of commands.
const ENTRY_LINES_MAX: usize = 150;

const RATCHET: &str = "xtask/ratchet.txt";

pub(crate) fn check(root: &Path) -> Result<Notes, String> {
    let files = tree::walk(root)?;
    let ratchet = Ratchet::of(&fs::read_to_string(root.join(RATCHET)).unwrap_or_default())?;
    let mut problems = Vec::new();
    let mut sizes = BTreeMap::new();
    for file in &files {
        problems.extend(text_rules(file));
        if file.path.ends_with(".rs") {
            problems.extend(rust::check(file));
            sizes.insert(file.path.as_str(), rust::lines_without_tests(&file.path, &file.text));
        }
    }
    problems.extend(ratchet.judge(&sizes));
    problems.extend(rust::unlisted_tests(&files));
    problems.extend(large_crates(&sizes));
    problems.extend(documents::check(root, &files));
    if !problems.is_empty() {
        problems.sort();
        return Err(format!("{}\n{} problems", problems.join("\n"), problems.len()));
    }
    let large = sizes.values().filter(|lines| **lines > FILE_LINES_GOAL).count();
    Ok(vec![format!("{} files; {large} above the goal of {FILE_LINES_GOAL} lines", files.len())])
}

/// Rules for every text file.
fn text_rules(file: &File) -> Vec<String> {
    // gofmt writes tabs.
    let may_have_tabs =
        [".svg", ".go", "Makefile"].iter().any(|ending| file.path.ends_with(ending));
    let mut problems = Vec::new();
    for (number, line) in (1..).zip(file.text.split('\n')) {
        let mut say = |what: &str| problems.push(format!("{}:{number}: {what}", file.path));
        if line.ends_with('\r') {
            say("a carriage return");
        } else if line.ends_with([' ', '\t']) {
            say("white space at the end of the line");
        } else if line.contains('\t') && !may_have_tabs {
            say("a tab");
        }
    }
    if !file.text.is_empty() && (!file.text.ends_with('\n') || file.text.ends_with("\n\n")) {
        problems.push(format!("{}: must end with one newline", file.path));
    }
    problems
}

fn size_max(path: &str) -> usize {
    let is_entry = path.ends_with("src/lib.rs") || path.ends_with("src/main.rs");
    if is_entry { ENTRY_LINES_MAX } else { FILE_LINES_MAX }
}

fn large_crates(sizes: &BTreeMap<&str, usize>) -> Vec<String> {
    let mut crates = BTreeMap::<&str, usize>::new();
    for (path, lines) in sizes {
        if let Some((krate, _)) = path.split_once("/src/") {
            *crates.entry(krate).or_default() += lines;
        }
    }
    let large = crates.into_iter().filter(|(_, lines)| *lines > CRATE_LINES_MAX);
    large
        .map(|(krate, lines)| format!("{krate}: {lines} lines, the wall is {CRATE_LINES_MAX}"))
        .collect()
}

/// Files that were once allowed to be larger. An entry may only shrink, and goes when it is not
/// needed any more.
#[derive(Debug, Default)]
struct Ratchet {
    allowed: BTreeMap<String, usize>,
}

impl Ratchet {
    fn of(text: &str) -> Result<Self, String> {
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let entries = lines.map(|line| {
            let (lines, path) = line.split_once(' ')?;
            Some((path.trim().to_owned(), lines.parse().ok()?))
        });
        let allowed = entries.collect::<Option<_>>();
        allowed.map(|allowed| Self { allowed }).ok_or_else(|| format!("{RATCHET}: `LINES PATH`"))
    }

    fn judge(&self, sizes: &BTreeMap<&str, usize>) -> Vec<String> {
        let mut problems = Vec::new();
        for (path, lines) in sizes {
            let wall = size_max(path);
            match self.allowed.get(*path) {
                None if *lines > wall => {
                    problems.push(format!("{path}: {lines} lines, the wall is {wall}; split it"));
                }
                Some(allowed) if lines > allowed => {
                    problems.push(format!(
                        "{path}: {lines} lines, it had {allowed} and may only shrink"
                    ));
                }
                Some(_) if *lines <= wall => {
                    problems.push(format!("{RATCHET}: {path} is below the wall; remove its line"));
                }
                Some(allowed) if lines < allowed => {
                    problems.push(format!("{RATCHET}: {path} shrank; write {lines}"));
                }
                None | Some(_) => {}
            }
        }
        let gone = self.allowed.keys().filter(|path| !sizes.contains_key(path.as_str()));
        problems.extend(gone.map(|path| format!("{RATCHET}: {path} is gone; remove its line")));
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File { path: path.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn white_space_is_found() {
        let found = text_rules(&file("a.toml", "x = 1 \n\ty = 2\nz\r\n"));
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found[0].starts_with("a.toml:1: white space"));
        assert!(text_rules(&file("Makefile", "run:\n\tcargo run\n")).is_empty());
        assert_eq!(text_rules(&file("a.md", "no end")).len(), 1);
        assert_eq!(text_rules(&file("a.md", "two ends\n\n")).len(), 1);
        assert!(text_rules(&file("empty", "")).is_empty());
    }

    #[test]
    fn a_file_over_the_wall_needs_an_entry_that_only_shrinks() {
        let judge = |entry: &str, lines: usize| {
            Ratchet::of(entry).unwrap().judge(&BTreeMap::from([("crates/a/src/b.rs", lines)]))
        };
        assert!(judge("", 800).is_empty());
        assert!(judge("", 801)[0].contains("split it"));
        assert!(judge("# why\n900 crates/a/src/b.rs\n", 900).is_empty());
        assert!(judge("900 crates/a/src/b.rs", 901)[0].contains("may only shrink"));
        assert!(judge("900 crates/a/src/b.rs", 850)[0].contains("write 850"));
        assert!(judge("900 crates/a/src/b.rs", 700)[0].contains("remove its line"));
        assert!(judge("900 crates/a/src/gone.rs", 700)[0].contains("is gone"));
        assert!(Ratchet::of("crates/a/src/b.rs 900").is_err());
    }

    #[test]
    fn a_crate_has_a_wall_too() {
        let sizes =
            BTreeMap::from([("crates/a/src/b.rs", 13_000), ("crates/a/src/c/d.rs", 12_000)]);
        assert_eq!(large_crates(&sizes), ["crates/a: 25000 lines, the wall is 24000"]);
    }

    #[test]
    fn entries_of_crates_are_short() {
        let lib = BTreeMap::from([("crates/a/src/lib.rs", 151)]);
        assert_eq!(Ratchet::default().judge(&lib).len(), 1);
    }
}
