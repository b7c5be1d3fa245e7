//! The spawner by itself. The server re-executes its own binary instead; the tests of this crate,
//! which have no such binary, start this one.

use std::process::ExitCode;

fn main() -> ExitCode {
    stint_sandbox::spawner_main()
}
