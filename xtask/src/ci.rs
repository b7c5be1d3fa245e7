//! The list of steps that a change must pass, and nothing that is not on it.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::{deny, e2e, generated, layers, shell, tidy};

/// What a step has to say when it passed.
pub(crate) type Notes = Vec<String>;

/// One thing that must hold.
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) run: fn(&Path) -> Result<Notes, String>,
}

/// The order is by cost: a slip should be seen in seconds.
const STEPS: &[Step] = &[
    Step { name: "fmt", run: fmt },
    Step { name: "layers", run: layers::check },
    Step { name: "tidy", run: tidy::check },
    Step { name: "deny", run: deny::check },
    Step { name: "runtimes", run: runtimes },
    Step { name: "clippy", run: clippy },
    Step { name: "rustdoc", run: rustdoc },
    Step { name: "generated", run: generated::check },
    Step { name: "test", run: test },
    Step { name: "e2e", run: |root| e2e::run(root, &[]) },
];

pub(crate) fn step(name: &str) -> Option<&'static Step> {
    STEPS.iter().find(|step| step.name == name)
}

/// Walks the list, stops at the first step that fails, and ends with a table.
pub(crate) fn run(root: &Path) -> Result<(), String> {
    let mut table = Vec::new();
    for step in STEPS {
        println!("\n--- {}", step.name);
        let started = now();
        let result = (step.run)(root);
        let took = started.elapsed();
        match result {
            Ok(notes) => table.push((step.name, took, notes)),
            Err(problem) => {
                print_table(&table);
                return Err(format!("{problem}\n\nFAILED: {} (cargo xtask {0})", step.name));
            }
        }
    }
    print_table(&table);
    println!("\nall {} steps passed", STEPS.len());
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a tool that measures itself")]
fn now() -> Instant {
    Instant::now()
}

fn print_table(table: &[(&str, Duration, Notes)]) {
    println!();
    for (name, took, notes) in table {
        let mut notes = notes.iter();
        let first = notes.next().map_or("", String::as_str);
        println!("{name:<10} ok {:>7.1} s  {first}", took.as_secs_f64());
        for note in notes {
            println!("{:24}{note}", "");
        }
    }
}

fn fmt(root: &Path) -> Result<Notes, String> {
    shell::run(root, "cargo", &["fmt", "--all", "--check"])?;
    Ok(Vec::new())
}

fn clippy(root: &Path) -> Result<Notes, String> {
    let args = ["clippy", "--release", "--locked", "--workspace", "--all-targets"];
    shell::run(root, "cargo", &[&args[..], &["--", "-D", "warnings"]].concat())?;
    Ok(Vec::new())
}

/// The shims alone, on every interpreter below `/usr`.
fn runtimes(root: &Path) -> Result<Notes, String> {
    let args = ["-B", "-m", "unittest", "discover", "-s", "runtimes/tests"];
    shell::run(root, "/usr/bin/python3", &args)?;
    Ok(Vec::new())
}

fn rustdoc(root: &Path) -> Result<Notes, String> {
    let args = ["doc", "--release", "--locked", "--workspace", "--no-deps"];
    let args = [&args[..], &["--document-private-items"]].concat();
    // Private items are documented too, so links to them lead somewhere.
    let flags = "-D warnings -A rustdoc::private-intra-doc-links";
    shell::run_with(root, "cargo", &args, &[("RUSTDOCFLAGS", flags)])?;
    Ok(Vec::new())
}

fn test(root: &Path) -> Result<Notes, String> {
    let args = ["test", "--release", "--locked", "--workspace"];
    let lines = shell::run_watched(root, "cargo", &args, "test result:")?;
    let total = TestTotal::of(&lines);
    if total.ignored > 0 {
        return Err(format!("{} tests are ignored; nothing may be", total.ignored));
    }
    Ok(vec![format!("test result: {} passed in {} binaries", total.passed, lines.len())])
}

/// The sum over cargo's closing lines.
#[derive(Debug, Default, PartialEq, Eq)]
struct TestTotal {
    passed: u64,
    ignored: u64,
}

impl TestTotal {
    fn of(lines: &[String]) -> Self {
        let count = |line: &str, what: &str| {
            let before = line.split(what).next().filter(|before| before.len() < line.len())?;
            before.rsplit(' ').next()?.parse::<u64>().ok()
        };
        lines.iter().fold(Self::default(), |sum, line| Self {
            passed: sum.passed + count(line, " passed").unwrap_or(0),
            ignored: sum.ignored + count(line, " ignored").unwrap_or(0),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_are_summed() {
        let lines = [
            "test result: ok. 31 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out",
            "test result: ok. 4 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out",
        ];
        let total = TestTotal::of(&lines.map(str::to_owned));
        assert_eq!(total, TestTotal { passed: 35, ignored: 2 });
    }

    #[test]
    fn every_step_is_found_by_its_name() {
        for listed in STEPS {
            assert_eq!(step(listed.name).map(|found| found.name), Some(listed.name));
        }
        assert!(step("no such step").is_none());
    }
}
