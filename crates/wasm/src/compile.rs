//! The compiler process: a package's directory in, machine code on standard output.
//!
//! It runs in a sandbox of its own, at the lowest priority, and says on standard error what the
//! author of the package has to know. The exit code tells whose fault it is.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use wasmtime::Engine;

use crate::engine;
use crate::incremental::FunctionStore;
use crate::package::{self, Form, PROGRAM_BYTES_MAX, PackageError};
use crate::program::{self, Code};

/// The package is to blame.
const REFUSED: u8 = 2;
/// The machine is.
const FAILED: u8 = 1;
/// Directories below each other that are looked into.
const DEPTH_MAX: usize = 16;

/// Compiles the program of the package at `code`; `cache` remembers functions between runs.
pub(crate) fn main(code: &str, handler: &str, cache: &str) -> ExitCode {
    // Latency elsewhere comes first. A machine that does not allow it compiles all the same.
    rustix::process::setpriority_process(None, 19).ok();
    match compile(Path::new(code), handler, Path::new(cache)) {
        Ok(artefact) => match std::io::stdout().write_all(&artefact) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::from(FAILED),
        },
        Err(refused) => {
            // Nobody reads it: the exit code remains.
            writeln!(std::io::stderr(), "{refused}").ok();
            ExitCode::from(match refused {
                PackageError::Unreadable(_) => FAILED,
                _ => REFUSED,
            })
        }
    }
}

fn compile(code: &Path, handler: &str, cache: &Path) -> Result<Vec<u8>, PackageError> {
    let mut names = Vec::new();
    list(code, "", DEPTH_MAX, &mut names);
    let name = package::choose(names.iter().map(String::as_str), handler)?;
    let path = code.join(&name);
    let unreadable = |error: std::io::Error| PackageError::Unreadable(format!("{name}: {error}"));
    if std::fs::metadata(&path).map_err(unreadable)?.len() > PROGRAM_BYTES_MAX {
        return Err(PackageError::TooLarge { name, max: PROGRAM_BYTES_MAX });
    }
    let bytes = std::fs::read(&path).map_err(unreadable)?;
    let form = package::judge(&name, &bytes)?;
    let store = cache.is_dir().then(|| Arc::new(FunctionStore::new(cache)));
    let shared = store.clone().map(|store| store as Arc<dyn wasmtime::CacheStore>);
    let engine = engine::compiler(shared).map_err(ours)?;
    let artefact = translate(&engine, form, &bytes)?;
    if let Some(store) = store {
        store.prune();
    }
    Ok(artefact)
}

/// Compiles, and proves that everything the program imports can be given to it.
pub(crate) fn translate(
    engine: &Engine,
    form: Form,
    bytes: &[u8],
) -> Result<Vec<u8>, PackageError> {
    let invalid = |error: wasmtime::Error| PackageError::Invalid(format!("{error:#}"));
    let (code, artefact) = match form {
        Form::Module => {
            let module = wasmtime::Module::from_binary(engine, bytes).map_err(invalid)?;
            let artefact = module.serialize().map_err(ours)?;
            (Code::Module(module), artefact)
        }
        Form::Command | Form::Handler | Form::Http => {
            let component =
                wasmtime::component::Component::from_binary(engine, bytes).map_err(invalid)?;
            let artefact = component.serialize().map_err(ours)?;
            (Code::Component(component), artefact)
        }
    };
    program::link(engine, code).map_err(|error| PackageError::Unlinkable(format!("{error:#}")))?;
    Ok(artefact)
}

fn ours(error: wasmtime::Error) -> PackageError {
    PackageError::Unreadable(format!("{error:#}"))
}

/// Regular files below `dir`, relative to it.
fn list(dir: &Path, prefix: &str, depth: usize, names: &mut Vec<String>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        let name = format!("{prefix}{name}");
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && depth > 0 => {
                list(&entry.path(), &format!("{name}/"), depth - 1, names);
            }
            Ok(kind) if kind.is_file() => names.push(name),
            Ok(_) | Err(_) => {}
        }
    }
}

/// The smallest program that shows that a machine can run any: it is compiled, loaded and called.
const PROOF: &[u8] = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x07\x0a\x01\x06_start\0\0\x0a\x04\x01\x02\0\x0b";

/// Proves that this process, behind its walls, can compile and run; says the version.
pub(crate) fn probe() -> ExitCode {
    let run = || -> wasmtime::Result<()> {
        let engine = engine::shim()?;
        let module = wasmtime::Module::from_binary(&engine, PROOF)?;
        let mut store = wasmtime::Store::new(&engine, ());
        store.set_epoch_deadline(1);
        let instance = wasmtime::Instance::new(&mut store, &module, &[])?;
        instance.get_typed_func::<(), ()>(&mut store, "_start")?.call(&mut store, ())
    };
    match run() {
        Ok(()) => match writeln!(std::io::stdout(), "{}", engine::VERSION) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::from(FAILED),
        },
        Err(error) => {
            writeln!(std::io::stderr(), "{error:#}").ok();
            ExitCode::from(FAILED)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
        dir
    }

    #[test]
    fn a_package_becomes_machine_code_and_the_second_time_from_memory() {
        let wasm = wat::parse_str(r#"(module (memory 1) (func (export "_start")))"#).unwrap();
        let code = package(&[("lib/a.txt", b"x"), ("lib/prog.wasm", &wasm)]);
        let cache = tempfile::tempdir().unwrap();
        let one = compile(code.path(), "index.handler", cache.path()).unwrap();
        assert!(package::is_machine_code(&one));
        assert!(std::fs::read_dir(cache.path()).unwrap().count() > 0, "functions are kept");
        let two = compile(code.path(), "lib/prog.wasm", cache.path()).unwrap();
        assert_eq!(one, two);
        assert!(compile(code.path(), "x", Path::new("/nowhere")).is_ok(), "without a memory, too");
    }

    #[test]
    fn what_cannot_be_given_is_refused_before_it_runs() {
        let signature = r#"(module (import "wasi_snapshot_preview1" "fd_write" (func (param i64)))
            (func (export "_start")))"#;
        let unknown = r#"(module (import "wasi_snapshot_preview1" "reboot" (func))
            (func (export "_start")))"#;
        for text in [signature, unknown] {
            let code = package(&[("main.wasm", &wat::parse_str(text).unwrap())]);
            let refused = compile(code.path(), "x", Path::new("/nowhere")).unwrap_err();
            assert!(matches!(refused, PackageError::Unlinkable(_)), "{refused}");
        }
    }

    #[test]
    fn precompiled_code_is_refused_whatever_its_name() {
        let engine = engine::compiler(None).unwrap();
        let real = translate(&engine, Form::Module, PROOF).unwrap();
        for (name, bytes) in [("main.wasm", &real[..]), ("main.cwasm", &real), ("a.cwasm", b"x")] {
            let code = package(&[(name, bytes)]);
            let refused = compile(code.path(), "x", Path::new("/nowhere")).unwrap_err();
            assert!(matches!(refused, PackageError::MachineCode(_)), "{refused}");
        }
    }

    #[test]
    fn the_probe_runs() {
        assert_eq!(probe(), ExitCode::SUCCESS);
    }
}
