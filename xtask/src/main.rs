//! The house's own tools: `cargo xtask <command>`. It depends on nothing, neither ours nor others',
//! so that it builds in a second and can judge a tree that does not compile.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a tool talks to its user")]

mod ci;
mod conformance;
mod deny;
mod e2e;
mod generated;
mod layers;
mod manifest;
mod shell;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask <command>

  ci       everything below, in order, as `make test` and the CI run it
  fmt      is everything formatted?
  layers   does every Cargo.toml keep to the arrows of docs/architecture.md?
  tidy     file rules: headers, names, sizes, leftovers, paths and links in documents
  deny     licences and banned crates, offline; cargo-deny as well where it is installed
  clippy   lints, warnings are errors
  rustdoc  the crates' documentation builds without a warning
  docs     write the generated files (`ci` only compares them)
  test     all tests of the workspace, release profile
  conformance  recorded flows and the JSONata suite: per group, passed and failed
  e2e      the black-box suites against the release binary
  deb      a Debian package of the release binary, under target/";

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let command = args.next();
    let rest: Vec<String> = args.collect();
    let root = root();
    let result = match command.as_deref() {
        Some("ci") => ci::run(&root),
        Some("docs") => generated::write(&root),
        Some("deb") => shell::run(&root, "deploy/deb/build.sh", &[]),
        Some("conformance") => conformance::run(&root).map(print_notes),
        Some("e2e") => e2e::run(&root, &rest).map(print_notes),
        Some(name) => match ci::step(name) {
            Some(step) => (step.run)(&root).map(print_notes),
            None => return usage(),
        },
        None => return usage(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(2)
}

fn print_notes(notes: Vec<String>) {
    for note in notes {
        println!("{note}");
    }
}

/// The workspace: cargo runs us from anywhere in it.
fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().expect("xtask lies in the workspace").to_owned()
}
