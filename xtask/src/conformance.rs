//! What others recorded against what we do: flows of the reference service, the official JSONata suite.
//! The recordings lie beside the repository, at `../shared/conformance` or where `STINT_CONFORMANCE`
//! points; the cases of our own are in the tree and always run.

use std::env;
use std::path::Path;

use crate::ci::Notes;
use crate::shell;

/// Packages with such tests, and the tests.
const SUITES: &[(&str, &str)] = &[("stint-flow", "conformance"), ("stint-expr", "suite")];

/// Runs them and lets them print their tables: per group, passed and failed.
pub(crate) fn run(root: &Path) -> Result<Notes, String> {
    let said = env::var_os("STINT_CONFORMANCE");
    let folder = said.map_or_else(|| root.join("../shared/conformance"), Into::into);
    let folder = folder.to_str().ok_or("the folder of recordings is not UTF-8")?.to_owned();
    for (package, test) in SUITES {
        let args = ["test", "--quiet", "--release", "--locked", "-p", package, "--test", "it"];
        let args = [&args[..], &["--", "--nocapture", "--test-threads=1", test]].concat();
        shell::run_with(root, "cargo", &args, &[("STINT_CONFORMANCE", &folder)])?;
    }
    let there = Path::new(&folder).is_dir();
    let note = if there {
        "recordings and our own cases"
    } else {
        "our own cases only: the recordings are not here"
    };
    Ok(vec![note.to_owned()])
}
