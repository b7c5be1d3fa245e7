//! The arrows between the crates. The table is the one of docs/adr/0001-layers-and-arrows.md; a
//! manifest that names more than its row is refused, so that a wall is moved by a decision and
//! never by a line in a Cargo.toml.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::manifest::{self, Dependency};

/// A crate, its floor, and what it may name. Arrows only point down, or to a row above its own.
struct Row {
    floor: u8,
    name: &'static str,
    may_use: &'static [&'static str],
}

const fn row(floor: u8, name: &'static str, may_use: &'static [&'static str]) -> Row {
    Row { floor, name, may_use }
}

/// The floors. `ALL` stands for every crate of the table but the simulator.
const ROWS: &[Row] = &[
    row(0, "model", &[]),
    row(1, "flow", &["model"]),
    row(1, "sched", &["model"]),
    row(1, "sign", &["model"]),
    row(1, "expr", &["model"]),
    row(1, "store", &["model"]),
    row(1, "wire", &["model", "sign"]),
    row(1, "supervise", &["model"]),
    row(2, "store-sqlite", &["model", "store", "supervise"]),
    row(2, "store-postgres", &["model", "store", "supervise"]),
    row(2, "sandbox", &["model", "supervise"]),
    row(2, "wasm", &[]),
    row(2, "connect", &["model", "sign", "supervise"]),
    row(3, "engine", &["model", "flow", "sched", "expr", "store", "connect", "supervise"]),
    row(3, "object", &["model", "sign", "store", "supervise"]),
    row(3, "message", &["model", "sign", "store", "supervise"]),
    row(3, "watch", &["model", "store", "supervise"]),
    row(3, "node", &["model", "wire", "sandbox", "supervise"]),
    row(4, "api", &["model", "wire", "sign", "engine", "object", "message", "watch", "supervise"]),
    row(5, "stint", &[ALL]),
    row(6, "sim", &["model", "flow", "sched", "store", "connect", "engine", "supervise"]),
    row(6, "bench", &["model", "sign"]),
    row(6, "xtask", &[]),
];

const ALL: &str = "*";

/// Arrows that only tests may have, each with its reason.
const TEST_ARROWS: &[(&str, &str, &str)] = &[
    ("api", "store", "handlers are tested with the engine over the memory store"),
    ("flow", "expr", "recorded executions hold JSONata, which is evaluated outside of flow"),
];

/// Outside crates that have one home. What is not listed may be used anywhere.
const HOMES: &[(&str, &[&str])] = &[
    ("axum", &["api"]),
    ("rusqlite", &["store-sqlite"]),
    ("seccompiler", &["sandbox"]),
    ("landlock", &["sandbox"]),
    ("wasmtime", &["wasm"]),
    ("wasmtime-wasi", &["wasm"]),
    ("wasmtime-wasi-http", &["wasm"]),
    ("wasmparser", &["wasm"]),
    ("clap", &["stint"]),
    ("jsonata-core", &["expr"]),
    ("granit-parser", &["flow"]),
    ("anyhow", &["stint", "sim", "bench"]),
    ("reqwest", &["wire", "connect", "node", "stint"]),
    ("tar", &["node"]),
    // Brought by others, never named by us: one time crate, one lazy cell, no umbrella crate.
    ("chrono", &[]),
    ("time", &[]),
    ("lazy_static", &[]),
    ("once_cell", &[]),
    ("futures", &[]),
];

/// These decide. They see no clock, runtime, file, socket or randomness.
const PURE: &[&str] = &["model", "flow", "sched", "sign"];
const IMPURE: &[&str] = &["tokio", "tokio-util", "getrandom", "rand", "rustix", "nix", "libc"];

/// Fails when a manifest names an internal crate outside its row.
pub(crate) fn check(root: &Path) -> Result<Vec<String>, String> {
    let mut problems = Vec::new();
    let mut crates = 0;
    for (dir, text) in manifests(root)? {
        crates += 1;
        problems.extend(judge(&dir, &text));
        let lib = fs::read_to_string(root.join("crates").join(&dir).join("src/lib.rs"));
        problems.extend(lib.ok().and_then(|lib| judge_purity(&dir, &lib)));
    }
    if problems.is_empty() {
        return Ok(vec![format!("{crates} manifests keep to their rows")]);
    }
    Err(problems.join("\n"))
}

fn manifests(root: &Path) -> Result<Vec<(String, String)>, String> {
    let mut found = Vec::new();
    let dir = root.join("crates");
    let entries = fs::read_dir(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    for entry in entries.flatten() {
        let path = entry.path().join("Cargo.toml");
        if let Ok(text) = fs::read_to_string(&path) {
            found.push((entry.file_name().to_string_lossy().into_owned(), text));
        }
    }
    for beside in ["bench", "xtask"] {
        let path = root.join(beside).join("Cargo.toml");
        let text =
            fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        found.push((beside.to_owned(), text));
    }
    found.sort();
    Ok(found)
}

fn judge(dir: &str, text: &str) -> Vec<String> {
    let Some(row) = ROWS.iter().find(|row| row.name == dir) else {
        return vec![format!("crates/{dir}: not in the table of xtask/src/layers.rs")];
    };
    let mut problems = Vec::new();
    let package = if dir == "stint" || dir == "xtask" { dir } else { &format!("stint-{dir}") };
    if !text.lines().any(|line| line == format!("name = \"{package}\"")) {
        problems.push(format!("{dir}: the package must be called {package}"));
    }
    if manifest::section(text, "[lints]") != ["workspace = true"] {
        problems.push(format!("{dir}: [lints] must say workspace = true and no more"));
    }
    let named = manifest::dependencies(text);
    problems.extend(named.iter().filter_map(|dependency| refuse(row, dependency)));
    problems
}

/// Why this dependency may not be there.
fn refuse(row: &Row, dependency: &Dependency) -> Option<String> {
    let Dependency { name, dev } = dependency;
    let from = row.name;
    if from == "xtask" {
        return Some(format!("xtask: depends on nothing, not on {name}"));
    }
    let Some(to) = name.strip_prefix("stint-") else {
        return refuse_outside(from, name, *dev);
    };
    let all = row.may_use == [ALL] && to != "sim";
    let in_row = all || row.may_use.contains(&to);
    let in_tests = *dev && TEST_ARROWS.iter().any(|arrow| (arrow.0, arrow.1) == (from, to));
    if in_row || in_tests {
        return None;
    }
    Some(format!(
        "{from} → {to}: not in its row (floor {}, may use: {})",
        row.floor,
        row.may_use.join(" ")
    ))
}

fn refuse_outside(from: &str, name: &str, dev: bool) -> Option<String> {
    if dev {
        return None;
    }
    if let Some((_, homes)) = HOMES.iter().find(|home| home.0 == name)
        && !homes.contains(&from)
    {
        return match homes {
            [] => Some(format!("{from} → {name}: not used in this house")),
            homes => Some(format!("{from} → {name}: lives only in {}", homes.join(", "))),
        };
    }
    let banned = PURE.contains(&from) && IMPURE.contains(&name);
    banned
        .then(|| format!("{from} → {name}: {from} is pure; time and randomness come in as values"))
}

fn judge_purity(dir: &str, lib: &str) -> Option<String> {
    let missing = PURE.contains(&dir) && !lib.lines().any(|line| line == "#![no_std]");
    missing.then(|| format!("{dir}: src/lib.rs must say #![no_std]: this crate only decides"))
}

/// Every crate the table knows, for the documents' rule.
pub(crate) fn crate_names(root: &Path) -> BTreeSet<String> {
    let found = manifests(root).unwrap_or_default();
    found.into_iter().map(|(name, _)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(package: &str, dependencies: &str) -> String {
        format!("[package]\nname = \"{package}\"\n[lints]\nworkspace = true\n\n{dependencies}\n")
    }

    fn problems(dir: &str, dependencies: &str) -> Vec<String> {
        judge(dir, &manifest(&format!("stint-{dir}"), dependencies))
    }

    #[test]
    fn a_crate_inside_its_row_passes() {
        let good = "[dependencies]\nstint-model.workspace = true\nstint-sandbox.workspace = true";
        assert_eq!(problems("node", good), Vec::<String>::new());
        let all = manifest("stint", "[dependencies]\nstint-node.workspace = true\nclap = \"4\"");
        assert_eq!(judge("stint", &all), Vec::<String>::new());
    }

    #[test]
    fn an_arrow_outside_the_row_is_refused() {
        for (from, to) in [("node", "store"), ("node", "engine"), ("connect", "store")] {
            let bad = format!("[dependencies]\nstint-{to}.workspace = true");
            let found = problems(from, &bad);
            assert_eq!(found.len(), 1, "{from} → {to}");
            assert!(found[0].contains(&format!("{from} → {to}: not in its row")), "{found:?}");
        }
    }

    #[test]
    fn a_renamed_or_hidden_arrow_is_refused_too() {
        let renamed = "[dependencies]\nbook = { package = \"stint-store\", path = \"../store\" }";
        assert_eq!(problems("node", renamed).len(), 1);
        let table = "[target.'cfg(unix)'.dependencies.stint-store]\nworkspace = true";
        assert_eq!(problems("node", table).len(), 1);
        let dev = "[dev-dependencies]\nstint-store.workspace = true";
        assert_eq!(problems("node", dev).len(), 1);
        assert_eq!(problems("api", dev).len(), 0, "a named exception for tests");
        assert_eq!(problems("api", &dev.replace("dev-", "")).len(), 1, "and only for tests");
    }

    #[test]
    fn nobody_ships_the_simulator() {
        let bad = manifest("stint", "[dependencies]\nstint-sim.workspace = true");
        assert_eq!(judge("stint", &bad).len(), 1);
    }

    #[test]
    fn an_unknown_or_misnamed_crate_is_refused() {
        assert!(problems("helpers", "")[0].contains("not in the table"));
        assert!(judge("node", &manifest("node", ""))[0].contains("must be called stint-node"));
        assert!(judge("node", "name = \"stint-node\"\n")[0].contains("[lints]"));
    }

    #[test]
    fn outside_crates_have_their_homes() {
        let axum = "[dependencies]\naxum.workspace = true";
        assert!(problems("engine", axum)[0].contains("lives only in api"));
        assert_eq!(problems("api", axum), Vec::<String>::new());
        let tokio = "[dependencies]\ntokio.workspace = true";
        assert!(problems("sched", tokio)[0].contains("is pure"));
        assert_eq!(problems("engine", tokio), Vec::<String>::new());
        let own = judge("xtask", &manifest("xtask", "[dependencies]\nregex = \"1\""));
        assert!(own[0].contains("depends on nothing"));
    }

    #[test]
    fn a_pure_crate_says_so() {
        assert!(judge_purity("sched", "//! Decides.\nuse std::time;").is_some());
        assert!(judge_purity("sched", "//! Decides.\n#![no_std]\n").is_none());
        assert!(judge_purity("engine", "//! Acts.\n").is_none());
    }

    #[test]
    fn the_table_itself_has_no_way_up() {
        for (place, row) in ROWS.iter().enumerate().filter(|(_, row)| row.may_use != [ALL]) {
            for name in row.may_use {
                let below = ROWS[..place].iter().find(|other| other.name == *name);
                let below = below.unwrap_or_else(|| panic!("{} → {name}", row.name));
                assert!(below.floor <= row.floor);
            }
        }
    }
}
