//! Rules for Rust files.

use super::tree::File;

/// Names that say nothing about what is inside.
const BAD_NAMES: &[&str] = &[
    "mod", "util", "utils", "common", "core", "helper", "helpers", "misc", "types", "imp", "impl",
    "manager", "base", "errors",
];

/// Texts that may not stand in code, and why.
const LEFTOVERS: &[(&str, &str)] = &[
    ("#[ignore", "a test that does not run is not a test"),
    ("#[should_panic", "return an error, or catch what is meant"),
    ("#[allow(", "use expect with a reason"),
    ("#![allow(", "use expect with a reason"),
    ("unbounded_channel", "everything is bounded"),
    ("todo!(", "finish it"),
    ("unimplemented!(", "finish it"),
    ("dbg!(", "a leftover"),
    ("process::exit", "main returns an exit code"),
];

/// Words that the house does not use for its own things: one word per thing. Words of others (an
/// outside API's `workflow`) may appear in text, not in what we name.
const BAD_WORDS: &[(&str, &str)] = &[
    ("tenant", "account"),
    ("worker", "node or poller"),
    ("workflow", "flow"),
    ("cancel", "stop"),
    ("job", "task"),
];

pub(super) fn check(file: &File) -> Vec<String> {
    let File { path, text } = file;
    let mut problems = Vec::new();
    if !text.starts_with("//!") {
        problems.push(format!("{path}: must open with //! saying what it is for"));
    }
    let name = path.rsplit('/').next().unwrap_or(path).trim_end_matches(".rs");
    if BAD_NAMES.contains(&name) {
        problems.push(format!("{path}: {name} is no name; use a noun or verb of the path"));
    }
    for (number, line) in (1..).zip(text.lines()) {
        let code = without_text(line);
        for (leftover, why) in LEFTOVERS {
            if code.contains(leftover) {
                problems.push(format!("{path}:{number}: {leftover}: {why}"));
            }
        }
        if let Some((bad, good)) = defined_name(&code).and_then(bad_word) {
            problems.push(format!("{path}:{number}: do not say {bad}, say {good}"));
        }
    }
    problems
}

/// How many lines a file has before its inline tests; a file of tests has none.
pub(super) fn lines_without_tests(path: &str, text: &str) -> usize {
    if path.contains("/tests/") || path.ends_with("tests.rs") {
        return 0;
    }
    let lines: Vec<_> = text.lines().collect();
    let is_tests = |pair: &[&str]| pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod tests {");
    lines.windows(2).position(is_tests).unwrap_or(lines.len())
}

/// Integration tests that nobody compiles: one binary per crate, whose main.rs lists the rest.
pub(super) fn unlisted_tests(files: &[File]) -> Vec<String> {
    let mut problems = Vec::new();
    for file in files {
        let Some((krate, rest)) = file.path.split_once("/tests/") else { continue };
        let is_crate = krate.starts_with("crates/") && krate.matches('/').count() == 1;
        if !is_crate || !file.path.ends_with(".rs") || rest == "it/main.rs" {
            continue;
        }
        let Some(test) = rest.strip_prefix("it/") else {
            problems.push(format!("{}: integration tests live in tests/it/", file.path));
            continue;
        };
        let module = format!("mod {};", test.split(['/', '.']).next().unwrap_or(test));
        let main = files.iter().find(|main| main.path == format!("{krate}/tests/it/main.rs"));
        if !main.is_some_and(|main| main.text.lines().any(|line| line.trim() == module)) {
            problems.push(format!("{}: tests/it/main.rs does not list it", file.path));
        }
    }
    problems
}

/// A line without its comment and without what stands in its string literals.
fn without_text(line: &str) -> String {
    let mut code = String::with_capacity(line.len());
    let mut chars = line.chars().peekable();
    let mut in_string = false;
    while let Some(c) = chars.next() {
        match c {
            '\\' if in_string => drop(chars.next()),
            '"' => in_string = !in_string,
            '/' if !in_string && chars.peek() == Some(&'/') => break,
            _ if !in_string => code.push(c),
            _ => {}
        }
    }
    code
}

/// The name that a line of code defines, if it defines one.
fn defined_name(code: &str) -> Option<&str> {
    let mut words = code.split_whitespace();
    let is_keyword = |word: &&str| {
        ["fn", "struct", "enum", "trait", "type", "mod", "const", "static"].contains(word)
    };
    words.by_ref().take(6).find(is_keyword)?;
    let name = words.next()?;
    name.split(|c: char| !c.is_alphanumeric() && c != '_').next()
}

fn bad_word(name: &str) -> Option<(&'static str, &'static str)> {
    let mut words = Vec::new();
    for part in name.split('_') {
        let mut word = String::new();
        for c in part.chars() {
            if c.is_uppercase() && word.ends_with(char::is_lowercase) {
                words.push(std::mem::take(&mut word));
            }
            word.push(c);
        }
        words.push(word);
    }
    let words: Vec<_> = words.iter().map(|word| word.to_lowercase()).collect();
    let is_said = |bad: &str| words.iter().any(|word| word == bad || *word == format!("{bad}s"));
    BAD_WORDS.iter().find(|(bad, _)| is_said(bad)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(path: &str, text: &str) -> Vec<String> {
        check(&File { path: path.to_owned(), text: text.to_owned() })
    }

    #[test]
    fn a_file_says_what_it_is_for_and_has_a_name() {
        assert!(problems("crates/a/src/lease.rs", "//! Leases.\n").is_empty());
        assert!(problems("crates/a/src/lease.rs", "use x;\n")[0].contains("must open with //!"));
        for bad in ["mod.rs", "utils.rs", "types.rs", "imp.rs"] {
            let path = format!("crates/a/src/b/{bad}");
            assert!(problems(&path, "//! X.\n")[0].contains("is no name"), "{bad}");
        }
    }

    #[test]
    fn leftovers_are_found_in_code_only() {
        for (leftover, _) in LEFTOVERS {
            let found = problems("a.rs", &format!("//! X.\n    {leftover}\n"));
            assert_eq!(found.len(), 1, "{leftover}: {found:?}");
            assert!(found[0].starts_with("a.rs:2:"));
            let quoted = format!("//! X.\n// {leftover}\nlet x = \"{leftover}\";\n");
            assert!(problems("a.rs", &quoted).is_empty(), "{leftover}");
        }
    }

    #[test]
    fn banned_words_are_found_in_what_we_name() {
        for bad in ["fn cancel_task() {", "pub(crate) struct JobQueue;", "enum Tenants {"] {
            assert_eq!(problems("a.rs", &format!("//! X.\n{bad}\n")).len(), 1, "{bad}");
        }
        for good in
            ["fn jobless() {", "let worker = 1;", "struct CancellationToken;", "use a::Job;"]
        {
            assert!(problems("a.rs", &format!("//! X.\n{good}\n")).is_empty(), "{good}");
        }
    }

    #[test]
    fn tests_are_not_counted() {
        let text = "//! X.\nfn a() {}\n\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\n";
        assert_eq!(lines_without_tests("crates/a/src/b.rs", text), 3);
        assert_eq!(lines_without_tests("a.rs", "//! X.\n#[cfg(test)]\nmod tests;\n"), 3);
        assert_eq!(lines_without_tests("crates/a/src/b/tests.rs", text), 0);
        assert_eq!(lines_without_tests("crates/a/tests/it/b.rs", text), 0);
    }

    #[test]
    fn a_test_file_that_nobody_lists_is_found() {
        let file = |path: &str, text: &str| File { path: path.to_owned(), text: text.to_owned() };
        let files = [
            file("crates/a/tests/it/main.rs", "//! X.\nmod listed;\n"),
            file("crates/a/tests/it/listed.rs", ""),
            file("crates/a/tests/it/listed/more.rs", ""),
            file("crates/a/tests/it/forgotten.rs", ""),
            file("crates/a/tests/other.rs", ""),
            file("crates/a/src/tests/unit.rs", ""),
        ];
        let found = unlisted_tests(&files);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].contains("forgotten.rs") && found[1].contains("other.rs"));
    }
}
