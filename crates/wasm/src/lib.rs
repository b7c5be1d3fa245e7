//! Runs WebAssembly functions: the Wasm tier's inside.
//!
//! Nothing here runs in the server. The binary starts itself again inside a sandbox, as a *compiler*
//! (a package in, machine code out) or as a *shim* (one instance of a function: it speaks the
//! frames of `runtimes/README.md` and makes a fresh store for every invocation). Both meet hostile
//! input and therefore live behind the process tier's wall, so that a hole in the engine is no more
//! than any custom runtime has anyway. The server itself only looks at packages ([`inspect`]), with
//! a validator that generates nothing.
//!
//! **Invariant:** machine code is only ever made by the compiler of this version from a module or
//! component; what a user hands in is refused when it is machine code already.

#![expect(
    unsafe_code,
    reason = "loading our own machine code and taking over an inherited descriptor"
)]

mod compile;
mod engine;
mod incremental;
mod package;
mod program;
mod shim;

use std::process::ExitCode;

pub use engine::{VERSION, key};
pub use package::{Form, PackageError, choose, inspect, is_machine_code};

/// What the binary was started as, after the word that leads here.
pub fn main(arguments: &[String]) -> ExitCode {
    match arguments {
        [task, code, handler, cache] if task == "compile" => compile::main(code, handler, cache),
        [task, artefact] if task == "shim" => shim::main(artefact),
        [task, count] if task == "measure" => shim::measure::main(count),
        [task] if task == "probe" => compile::probe(),
        _ => ExitCode::from(64),
    }
}
