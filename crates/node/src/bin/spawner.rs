//! The sandbox's spawner by itself, for the tests of this crate. The server re-executes its own
//! binary instead.

use std::process::ExitCode;

fn main() -> ExitCode {
    stint_sandbox::spawner_main()
}
