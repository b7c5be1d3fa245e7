//! The outside suites: the released binary, driven by the official SDKs of two languages.

use std::fs;
use std::path::Path;

use crate::ci::Notes;
use crate::shell;

const PYTHON: &str = ".venv/bin/python";
/// Two at a time, a file stays together: the tests mostly wait, for a timer, a death or a restart.
const TOGETHER: [&str; 4] = ["-n", "2", "--dist", "loadfile"];

/// Runs both suites against the release binary; `args` go to pytest (such as `-k name`) and then
/// only that suite runs.
pub(crate) fn run(root: &Path, args: &[String]) -> Result<Notes, String> {
    if !root.join("e2e").is_dir() {
        return Err("e2e/ is missing".to_owned());
    }
    if !root.join(PYTHON).exists() {
        return Err(format!("{PYTHON} is missing; run scripts/setup.sh"));
    }
    let stint = shell::stint(root)?;
    let stint = stint.to_str().ok_or("the target directory is not UTF-8")?;
    let mut notes = pytest(root, stint, args)?;
    if args.is_empty() {
        notes.extend(node(root, stint)?);
    }
    Ok(notes)
}

fn pytest(root: &Path, stint: &str, args: &[String]) -> Result<Notes, String> {
    let env = format!("STINT_BIN={stint}");
    let mut all = vec![env.as_str(), PYTHON, "-m", "pytest", "-q", "-rs", "e2e"];
    all.extend(TOGETHER);
    all.extend(args.iter().map(String::as_str));
    let lines = shell::run_watched(root, "env", &all, " in ")?;
    let closing = lines.last().map_or("", |line| line.trim_matches(['=', ' ']));
    if closing.contains("skipped") {
        return Err(format!("pytest: {closing}: nothing may be skipped"));
    }
    Ok(vec![format!("pytest: {closing}")])
}

fn node(root: &Path, stint: &str) -> Result<Notes, String> {
    let files = node_files(root);
    if files.is_empty() {
        return Err("e2e/node has no *.test.mjs".to_owned());
    }
    let env = format!("STINT_BIN={stint}");
    let mut all = vec![env.as_str(), "node", "--test", "--test-reporter=tap"];
    all.extend(files.iter().map(String::as_str));
    let counts = ["# tests", "# pass", "# fail"];
    let lines = shell::run_watched(root, "env", &all, "# ")?;
    let closing = lines.iter().filter(|line| counts.iter().any(|count| line.starts_with(count)));
    let closing: Vec<_> = closing.map(|line| line.trim_start_matches("# ")).collect();
    Ok(vec![format!("node: {}", closing.join(", "))])
}

/// Named one by one: what a directory means to `node --test` differs between its versions.
fn node_files(root: &Path) -> Vec<String> {
    let entries = fs::read_dir(root.join("e2e/node")).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let is_test = |name: &String| {
        [".test.mjs", ".test.js", ".test.cjs"].iter().any(|ending| name.ends_with(ending))
    };
    let mut files: Vec<_> = names.filter(is_test).map(|name| format!("e2e/node/{name}")).collect();
    files.sort();
    files
}
