//! What a package holds: which file is the program, what kind of program it is, and whether it may
//! run here. Pure, and generates no code: the server asks this before it keeps anything.

use std::io::{Cursor, Read as _};

use semver::{Version, VersionReq};
use thiserror::Error;
use wasmparser::{
    ComponentExternalKind, ComponentTypeRef, Encoding, ExternalKind, Parser, Payload, Validator,
    WasmFeatures,
};

/// The largest program: compiling takes some hundred times as much memory.
pub(crate) const PROGRAM_BYTES_MAX: u64 = 64 << 20;
/// Looked for when the handler names no file.
const DEFAULT: &str = "main.wasm";
/// What a core module may import.
const PREVIEW1: &str = "wasi_snapshot_preview1";
const MAGIC: &[u8] = b"\0asm";
/// Machine code comes as this kind of file.
const ELF: &[u8] = b"\x7fELF";
const WASI: &str = "^0.2.0";
const OURS: &str = "^0.1.0";
/// Interfaces a component may import; each in any version that is compatible.
const IMPORTS: &[(&str, &str)] = &[
    ("wasi:cli/", WASI),
    ("wasi:clocks/", WASI),
    ("wasi:filesystem/", WASI),
    ("wasi:http/", WASI),
    ("wasi:io/", WASI),
    ("wasi:random/", WASI),
    ("wasi:sockets/", WASI),
    ("stint:function/", OURS),
];

/// What a program is, which decides how it is called.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// A WASI preview 1 command: event on standard input, result on standard output.
    Module,
    /// The same as a component (`wasi:cli/run`).
    Command,
    /// A component that exports `stint:function/handler`.
    Handler,
    /// A component that exports `wasi:http/incoming-handler`.
    Http,
}

/// Why a package is refused; the text is for its author.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum PackageError {
    /// Nothing to run.
    #[error("the package holds no .wasm file")]
    NoProgram,
    /// The handler names a file that is not there.
    #[error("the handler names {0}, which is not in the package")]
    NotThere(String),
    /// More than one.
    #[error("the package holds {0} .wasm files; name one of them as handler, or call it main.wasm")]
    Many(usize),
    /// Machine code.
    #[error(
        "{0} is precompiled machine code, which is never run: deploy the component or module it was \
         made from"
    )]
    MachineCode(String),
    /// Something else.
    #[error("{0} is no WebAssembly: it does not begin with \\0asm")]
    NotWasm(String),
    /// Too large.
    #[error("{name} has more than {max} bytes")]
    TooLarge {
        /// Which file.
        name: String,
        /// The bound.
        max: u64,
    },
    /// It does not validate.
    #[error("it is not valid WebAssembly: {0}")]
    Invalid(String),
    /// It wants what is not there.
    #[error(
        "it imports {0}, which this platform does not offer: modules may import \
         wasi_snapshot_preview1, components WASI 0.2 and stint:function@0.1"
    )]
    Import(String),
    /// Something it wants is there in another form.
    #[error("it does not fit what this platform offers: {0}")]
    Unlinkable(String),
    /// It cannot be called.
    #[error(
        "it can be called in no way known here: a module must export _start (a WASI command), a \
         component stint:function/handler@0.1.0, wasi:http/incoming-handler@0.2 or wasi:cli/run@0.2"
    )]
    NoEntry,
    /// The zip itself.
    #[error("the package cannot be read: {0}")]
    Unreadable(String),
}

/// Which of these files is the program. `handler` is a file, or upstream's `file.method`.
pub fn choose<'a>(
    names: impl Iterator<Item = &'a str>,
    handler: &str,
) -> Result<String, PackageError> {
    let mut programs = Vec::new();
    for name in names {
        let name = name.strip_prefix("./").unwrap_or(name);
        let lower = name.to_ascii_lowercase();
        if lower.ends_with(".cwasm") {
            return Err(PackageError::MachineCode(name.to_owned()));
        }
        if lower.ends_with(".wasm") {
            programs.push(name.to_owned());
        }
    }
    let has = |wanted: &str| programs.iter().any(|name| name == wanted);
    let handler = handler.strip_prefix("./").unwrap_or(handler);
    if handler.ends_with(".wasm") {
        return match has(handler) {
            true => Ok(handler.to_owned()),
            false => Err(PackageError::NotThere(handler.to_owned())),
        };
    }
    let by_method = handler.rsplit_once('.').map(|(file, _)| format!("{file}.wasm"));
    if let Some(file) = by_method.filter(|file| has(file)) {
        return Ok(file);
    }
    if has(DEFAULT) {
        return Ok(DEFAULT.to_owned());
    }
    let count = programs.len();
    match (programs.pop(), count) {
        (Some(only), 1) => Ok(only),
        (Some(_), _) => Err(PackageError::Many(count)),
        (None, _) => Err(PackageError::NoProgram),
    }
}

/// Judges a whole package.
pub fn inspect(zip: &[u8], handler: &str) -> Result<Form, PackageError> {
    let unreadable = |error: zip::result::ZipError| PackageError::Unreadable(error.to_string());
    let mut archive = zip::ZipArchive::new(Cursor::new(zip)).map_err(unreadable)?;
    let mut names = Vec::with_capacity(archive.len());
    for index in 0..archive.len() {
        let entry = archive.by_index_raw(index).map_err(unreadable)?;
        names.push(entry.name().map_err(unreadable)?.into_owned());
    }
    let chosen = choose(names.iter().map(String::as_str), handler)?;
    let at = names.iter().position(|name| name.strip_prefix("./").unwrap_or(name) == chosen);
    let entry = archive.by_index(at.ok_or(PackageError::NoProgram)?).map_err(unreadable)?;
    let mut bytes = Vec::new();
    let read = entry.take(PROGRAM_BYTES_MAX + 1).read_to_end(&mut bytes);
    read.map_err(|error| PackageError::Unreadable(error.to_string()))?;
    judge(&chosen, &bytes)
}

/// Whether these bytes are machine code of any engine.
pub fn is_machine_code(bytes: &[u8]) -> bool {
    bytes.starts_with(ELF)
}

/// Judges one program.
pub(crate) fn judge(name: &str, bytes: &[u8]) -> Result<Form, PackageError> {
    if is_machine_code(bytes) {
        return Err(PackageError::MachineCode(name.to_owned()));
    }
    if !bytes.starts_with(MAGIC) {
        return Err(PackageError::NotWasm(name.to_owned()));
    }
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > PROGRAM_BYTES_MAX {
        return Err(PackageError::TooLarge { name: name.to_owned(), max: PROGRAM_BYTES_MAX });
    }
    // A shared memory cannot be bounded like others, and nothing here could share it.
    let features = WasmFeatures::default().difference(WasmFeatures::THREADS);
    Validator::new_with_features(features).validate_all(bytes).map_err(invalid)?;
    form(bytes)
}

fn invalid(error: wasmparser::BinaryReaderError) -> PackageError {
    PackageError::Invalid(error.to_string())
}

/// What the program is, by its exports, unless it imports what is not offered.
fn form(bytes: &[u8]) -> Result<Form, PackageError> {
    let mut encoding = None;
    let mut entry = None;
    let mut depth = 0_u32;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(invalid)? {
            Payload::Version { encoding: found, .. } => {
                encoding = encoding.or(Some(found));
                depth += 1;
            }
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ImportSection(section) if depth == 1 => {
                for import in section.into_imports() {
                    let import = import.map_err(invalid)?;
                    if import.module != PREVIEW1 {
                        let name = format!("{}.{}", import.module, import.name);
                        return Err(PackageError::Import(name));
                    }
                }
            }
            Payload::ExportSection(section) if depth == 1 => {
                for export in section {
                    let export = export.map_err(invalid)?;
                    if export.name == "_start" && export.kind == ExternalKind::Func {
                        entry = Some(Form::Module);
                    }
                }
            }
            Payload::ComponentImportSection(section) if depth == 1 => {
                for import in section {
                    let import = import.map_err(invalid)?;
                    if !is_allowed(import.name.name, import.ty) {
                        return Err(PackageError::Import(import.name.name.to_owned()));
                    }
                }
            }
            Payload::ComponentExportSection(section) if depth == 1 => {
                for export in section {
                    let export = export.map_err(invalid)?;
                    if export.kind == ComponentExternalKind::Instance {
                        entry = best(entry, entry_of(export.name.name));
                    }
                }
            }
            _ => {}
        }
    }
    match (encoding, entry) {
        (Some(Encoding::Module), Some(Form::Module)) => Ok(Form::Module),
        (Some(Encoding::Component), Some(form)) if form != Form::Module => Ok(form),
        _ => Err(PackageError::NoEntry),
    }
}

/// What a component may want from outside: interfaces that are offered, and names for types.
fn is_allowed(name: &str, kind: ComponentTypeRef) -> bool {
    match kind {
        ComponentTypeRef::Instance(_) => is_offered(name),
        ComponentTypeRef::Type(_) => true,
        ComponentTypeRef::Module(_)
        | ComponentTypeRef::Func(_)
        | ComponentTypeRef::Value(_)
        | ComponentTypeRef::Component(_) => false,
    }
}

fn is_offered(name: &str) -> bool {
    IMPORTS.iter().any(|(package, version)| {
        let rest = name.strip_prefix(package).and_then(|rest| rest.split_once('@'));
        rest.is_some_and(|(_, found)| is_compatible(found, version))
    })
}

fn is_compatible(version: &str, wanted: &str) -> bool {
    let parsed = (Version::parse(version), VersionReq::parse(wanted));
    matches!(parsed, (Ok(version), Ok(wanted)) if wanted.matches(&version))
}

fn entry_of(name: &str) -> Option<Form> {
    let (interface, version) = name.split_once('@')?;
    match interface {
        "stint:function/handler" if is_compatible(version, OURS) => Some(Form::Handler),
        "wasi:http/incoming-handler" if is_compatible(version, WASI) => Some(Form::Http),
        "wasi:cli/run" if is_compatible(version, WASI) => Some(Form::Command),
        _ => None,
    }
}

/// A component may export several; ours says most, then HTTP.
fn best(one: Option<Form>, other: Option<Form>) -> Option<Form> {
    let rank = |form: &Form| match form {
        Form::Handler => 3,
        Form::Http => 2,
        Form::Command => 1,
        Form::Module => 0,
    };
    one.into_iter().chain(other).max_by_key(rank)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(text: &str) -> Result<Form, PackageError> {
        judge("main.wasm", &wat::parse_str(text).unwrap())
    }

    #[test]
    fn the_program_is_found_by_its_name_or_because_it_is_the_only_one() {
        let find = |names: &[&str], handler: &str| choose(names.iter().copied(), handler);
        assert_eq!(find(&["a.wasm", "b.txt"], "index.handler"), Ok("a.wasm".into()));
        assert_eq!(find(&["a.wasm", "main.wasm"], "index.handler"), Ok("main.wasm".into()));
        assert_eq!(find(&["main.wasm", "index.wasm"], "index.handler"), Ok("index.wasm".into()));
        assert_eq!(find(&["bin/x.wasm", "main.wasm"], "bin/x.wasm"), Ok("bin/x.wasm".into()));
        assert_eq!(find(&["./a.wasm"], "./a.wasm"), Ok("a.wasm".into()));
        assert_eq!(find(&["a.wasm"], "b.wasm"), Err(PackageError::NotThere("b.wasm".into())));
        assert_eq!(find(&["a.wasm", "b.wasm"], "x"), Err(PackageError::Many(2)));
        assert_eq!(find(&["a.txt"], "x"), Err(PackageError::NoProgram));
        for names in [&["main.wasm", "cache/main.cwasm"][..], &["X.CWASM"]] {
            assert!(matches!(find(names, "x"), Err(PackageError::MachineCode(_))), "{names:?}");
        }
    }

    #[test]
    fn each_form_is_told_by_what_it_exports() {
        assert_eq!(judged(r#"(module (func (export "_start")))"#), Ok(Form::Module));
        let component =
            |name: &str| format!(r#"(component (instance $i) (export "{name}" (instance $i)))"#);
        for (name, expected) in [
            ("stint:function/handler@0.1.0", Ok(Form::Handler)),
            ("stint:function/handler@0.1.7", Ok(Form::Handler)),
            ("stint:function/handler@0.2.0", Err(PackageError::NoEntry)),
            ("wasi:http/incoming-handler@0.2.3", Ok(Form::Http)),
            ("wasi:cli/run@0.2.0", Ok(Form::Command)),
            ("wasi:cli/run@0.3.0", Err(PackageError::NoEntry)),
        ] {
            assert_eq!(judged(&component(name)), expected, "{name}");
        }
        assert_eq!(judged(r#"(module (func (export "run")))"#), Err(PackageError::NoEntry));
        assert_eq!(judged("(module)"), Err(PackageError::NoEntry));
        // What a component exports inside is nobody's business.
        let inner = r#"(component (core module (func (export "_start"))))"#;
        assert_eq!(judged(inner), Err(PackageError::NoEntry));
    }

    #[test]
    fn what_is_not_offered_is_named() {
        let module = |import: &str| {
            judged(&format!(r#"(module (import {import} (func)) (func (export "_start")))"#))
        };
        assert_eq!(module(r#""wasi_snapshot_preview1" "sched_yield""#), Ok(Form::Module));
        let refused = module(r#""env" "system""#).unwrap_err();
        assert_eq!(refused, PackageError::Import("env.system".into()));
        for (name, offered) in [
            ("wasi:io/streams@0.2.6", true),
            ("stint:function/platform@0.1.0", true),
            ("wasi:nn/tensor@0.2.0", false),
            ("wasi:cli/stdout@0.3.0", false),
            ("evil:host/exec@0.2.0", false),
            ("wasi:io/streams", false),
        ] {
            let text = format!(r#"(component (import "{name}" (instance)))"#);
            let found = judged(&text).unwrap_err();
            assert_eq!(found == PackageError::NoEntry, offered, "{name}: {found}");
        }
    }

    #[test]
    fn machine_code_and_rubbish_are_told_apart() {
        assert!(matches!(judge("x", b"\x7fELF\x02\x01"), Err(PackageError::MachineCode(_))));
        assert!(matches!(judge("x", b"#!/bin/sh"), Err(PackageError::NotWasm(_))));
        assert!(matches!(judge("x", b""), Err(PackageError::NotWasm(_))));
        assert!(matches!(judge("x", b"\0asm\x01\0\0\0\xff"), Err(PackageError::Invalid(_))));
        let shared = judged(r#"(module (memory 1 1 shared) (func (export "_start")))"#);
        assert!(matches!(shared, Err(PackageError::Invalid(_))), "{shared:?}");
    }

    #[test]
    fn a_package_is_judged_as_a_whole() {
        use std::io::Write as _;
        let zip = |files: &[(&str, &[u8])]| {
            let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
            for (name, bytes) in files {
                writer.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
                writer.write_all(bytes).unwrap();
            }
            writer.finish().unwrap().into_inner()
        };
        let good = wat::parse_str(r#"(module (func (export "_start")))"#).unwrap();
        assert_eq!(inspect(&zip(&[("main.wasm", &good)]), "index.handler"), Ok(Form::Module));
        let disguised = inspect(&zip(&[("main.wasm", b"\x7fELF...")]), "x");
        assert!(matches!(disguised, Err(PackageError::MachineCode(_))), "{disguised:?}");
        let large = vec![0; usize::try_from(PROGRAM_BYTES_MAX).unwrap() + 1];
        let mut huge = MAGIC.to_vec();
        huge.extend(large);
        let refused = inspect(&zip(&[("main.wasm", &huge)]), "x");
        assert!(matches!(refused, Err(PackageError::TooLarge { .. })), "{refused:?}");
        assert!(matches!(inspect(b"no zip", "x"), Err(PackageError::Unreadable(_))));
    }
}
