//! `stint deploy --wasm`: a Python or JavaScript handler becomes a WebAssembly component, made on this
//! machine by a tool that must be installed: componentize-py, and componentize-js or componentize-qjs.
//!
//! The handler stays as it is. An adapter from `runtimes/wasm` shows it what the ordinary runtime of
//! its language would; the package keeps its files, so that the program finds its data in `/code`.

use std::fmt::Write as _;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::{Code, FunctionPlan, pack};
use crate::failure::Failure;
use crate::scratch::Scratch;

/// What the program is called in the package.
pub(crate) const PROGRAM: &str = "main.wasm";

const WIT: &str = include_str!("../../../../runtimes/wasm/wit/function.wit");
const PYTHON_ADAPTER: &str = include_str!("../../../../runtimes/wasm/adapter.py");
const PYTHON_CONTEXT: &str = include_str!("../../../../runtimes/python/stint_context.py");
const PYTHON_ERRORS: &str = include_str!("../../../../runtimes/python/stint_errors.py");
const JAVASCRIPT_ADAPTER: &str = include_str!("../../../../runtimes/wasm/adapter.js");
/// Source of all JavaScript modules together.
const MODULES_BYTES_MAX: usize = 16 << 20;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Language {
    Python,
    JavaScript,
}

impl Language {
    fn of(runtime: &str) -> Option<Self> {
        if runtime.starts_with("python") {
            Some(Self::Python)
        } else if runtime.starts_with("nodejs") {
            Some(Self::JavaScript)
        } else {
            None
        }
    }
}

/// Turns a function into a component where its language allows it; says whether it did. `base` is
/// where the project is, whose tools come first.
pub(crate) fn transform(plan: &mut FunctionPlan, base: &Path) -> Result<bool, Failure> {
    let text = |key: &str| plan.config.get(key).and_then(Value::as_str).unwrap_or_default();
    let (Some(language), Code::Path(path)) = (Language::of(text("runtime")), &plan.code) else {
        return Ok(false);
    };
    if !path.is_dir() {
        return Err(Failure::usage(format!("{} is no directory", path.display()))
            .next("a component is made from source files, not from a zip"));
    }
    let path = std::path::absolute(path)
        .map_err(|error| Failure::cannot(format_args!("find {}", path.display()), &error))?;
    let handler = text("handler").to_owned();
    let program = match language {
        Language::Python => python(&handler, &path, base)?,
        Language::JavaScript => javascript(&handler, &path, base)?,
    };
    plan.config.insert("runtime".to_owned(), "wasm".into());
    plan.config.insert("handler".to_owned(), PROGRAM.into());
    plan.code = Code::Component { path, program };
    Ok(true)
}

fn python(handler: &str, code: &Path, base: &Path) -> Result<Vec<u8>, Failure> {
    let shop = Scratch::make("component")?;
    let adapter = PYTHON_ADAPTER.replace("@HANDLER@", handler);
    put(&shop, "wit/function.wit", WIT)?;
    put(&shop, "adapter/stint_adapter.py", &adapter)?;
    put(&shop, "adapter/stint_context.py", PYTHON_CONTEXT)?;
    put(&shop, "adapter/stint_errors.py", PYTHON_ERRORS)?;
    let mut command = Command::new(tool("componentize-py", ".venv/bin", base));
    command
        .args(["-d", "wit", "-w", "function", "componentize", "stint_adapter"])
        .args(["-p", "adapter", "-p"])
        .arg(code)
        .args(["-o", PROGRAM]);
    make(&shop, command)?.ok_or_else(|| {
        Failure::usage("componentize-py is not installed")
            .next("pip install componentize-py, on the PATH or in the project's .venv")
    })
}

fn javascript(handler: &str, code: &Path, base: &Path) -> Result<Vec<u8>, Failure> {
    let shop = Scratch::make("component")?;
    put(&shop, "wit/function.wit", WIT)?;
    let modules = modules(code)?;
    let entry = JAVASCRIPT_ADAPTER
        .replace("'@HANDLER@'", &Value::from(handler).to_string())
        .replace("/*MODULES*/", &modules);
    put(&shop, "entry.js", &entry)?;
    // The larger engine knows async handlers.
    let mut command = Command::new(tool("componentize-js", "node_modules/.bin", base));
    command.args(["entry.js", "--wit", "wit", "-n", "function", "-o", PROGRAM]);
    if let Some(program) = make(&shop, command)? {
        return Ok(program);
    }
    let mut command = Command::new(tool("componentize-qjs", "node_modules/.bin", base));
    command.args(["--sync", "--wit", "wit", "--world", "function", "--js", "entry.js"]);
    command.args(["-o", PROGRAM]);
    make(&shop, command)?.ok_or_else(|| {
        Failure::usage("neither componentize-js nor componentize-qjs is installed")
            .next("npm install componentize-qjs, or @bytecodealliance/componentize-js")
    })
}

/// The package's modules as functions, by name.
fn modules(code: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    for file in pack::files(code)? {
        let name = file.to_string_lossy().into_owned();
        let cannot = |error: std::io::Error| Failure::cannot(format_args!("read {name}"), &error);
        let read = || std::fs::read_to_string(code.join(&file)).map_err(cannot);
        let quoted = Value::from(name.as_str()).to_string();
        let written = match file.extension().and_then(|ending| ending.to_str()) {
            Some("js" | "cjs") => {
                writeln!(text, "\n{quoted}: (module, exports, require) => {{\n{}\n}},", read()?)
            }
            Some("json") => {
                writeln!(text, "\n{quoted}: (module) => {{ module.exports = {} }},", read()?)
            }
            Some("mjs") => {
                return Err(Failure::usage(format!("{name} is an ES module"))
                    .next("--wasm takes CommonJS modules (exports.handler = …)"));
            }
            Some(_) | None => Ok(()),
        };
        written.map_err(|error| Failure::local(error.to_string()))?;
        if text.len() > MODULES_BYTES_MAX {
            let max = MODULES_BYTES_MAX >> 20;
            return Err(Failure::usage(format!("the modules have more than {max} MiB"))
                .next("bundle them into one file, or leave files out with .stintignore"));
        }
    }
    Ok(text)
}

fn put(shop: &Scratch, name: &str, text: &str) -> Result<(), Failure> {
    let path = shop.path().join(name);
    let cannot = |error: std::io::Error| Failure::cannot(format_args!("write {name}"), &error);
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(cannot)?;
    }
    std::fs::write(&path, text).map_err(cannot)
}

/// The project's own tool, or whatever the PATH has under that name.
fn tool(name: &str, place: &str, base: &Path) -> PathBuf {
    let base = std::path::absolute(base).unwrap_or_else(|_| base.to_owned());
    let own = base.ancestors().map(|dir| dir.join(place).join(name)).find(|path| path.is_file());
    own.unwrap_or_else(|| name.into())
}

/// Runs a tool in the shop; nothing when there is no such tool.
fn make(shop: &Scratch, mut command: Command) -> Result<Option<Vec<u8>>, Failure> {
    let name = Path::new(command.get_program()).file_name().unwrap_or_default();
    let name = name.to_string_lossy().into_owned();
    let done = match command.current_dir(shop.path()).output() {
        Ok(done) => done,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Failure::cannot(format_args!("run {name}"), &error)),
    };
    let program = shop.path().join(PROGRAM);
    if !done.status.success() || !program.is_file() {
        let said = String::from_utf8_lossy(&done.stderr);
        let end: Vec<&str> = said.trim().lines().rev().take(12).collect();
        let end: Vec<&str> = end.into_iter().rev().collect();
        return Err(Failure::usage(format!("{name} made no component:\n{}", end.join("\n"))));
    }
    let read = std::fs::read(&program);
    read.map(Some).map_err(|error| Failure::cannot("read the component", &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(runtime: &str, path: &Path) -> FunctionPlan {
        let mut config = serde_json::Map::new();
        config.insert("runtime".into(), runtime.into());
        config.insert("handler".into(), "index.handler".into());
        FunctionPlan {
            name: "f".into(),
            config,
            code: Code::Path(path.to_owned()),
            async_config: None,
            retry: None,
            reserved_concurrency: None,
            limits: None,
        }
    }

    /// A tool of a project that copies what it is given.
    fn install(base: &Path, place: &str, name: &str, script: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        let path = base.join(place).join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn a_handler_is_given_to_the_tool_of_its_language() {
        let dir = tempfile::tempdir().unwrap();
        let code = dir.path().join("code");
        std::fs::create_dir_all(code.join("lib")).unwrap();
        std::fs::write(code.join("index.js"), "exports.handler = require('./lib/a').run;").unwrap();
        std::fs::write(code.join("lib/a.js"), "exports.run = () => 1;").unwrap();
        std::fs::write(code.join("data.json"), "{\"a\": 1}").unwrap();
        install(
            dir.path(),
            "node_modules/.bin",
            "componentize-js",
            "cat entry.js wit/* >main.wasm",
        );
        install(dir.path(), ".venv/bin", "componentize-py", "cat adapter/* >main.wasm");
        let mut javascript = plan("nodejs20", &code);
        assert!(transform(&mut javascript, dir.path()).unwrap());
        let Code::Component { program, .. } = &javascript.code else { panic!("a component") };
        let program = String::from_utf8_lossy(program);
        for part in
            ["const HANDLER = \"index.handler\"", "\"lib/a.js\": (module", "package stint:function"]
        {
            assert!(program.contains(part), "{part}");
        }
        assert_eq!(javascript.config["runtime"], "wasm");
        assert_eq!(javascript.config["handler"], PROGRAM);
        let mut python = plan("python3.10", &code);
        assert!(transform(&mut python, dir.path()).unwrap());
        let Code::Component { program, .. } = &python.code else { panic!("a component") };
        assert!(String::from_utf8_lossy(program).contains("HANDLER = \"index.handler\""));
        let mut other = plan("custom", &code);
        assert!(!transform(&mut other, dir.path()).unwrap());
        assert_eq!(other.config["runtime"], "custom");
    }

    #[test]
    fn what_goes_wrong_says_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let code = dir.path().join("code");
        std::fs::create_dir_all(&code).unwrap();
        std::fs::write(code.join("index.mjs"), "export const handler = 1;").unwrap();
        let module = transform(&mut plan("nodejs20", &code), dir.path()).unwrap_err();
        assert!(module.message.contains("ES module"), "{module}");
        install(dir.path(), ".venv/bin", "componentize-py", "echo no such module >&2; exit 1");
        let failed = transform(&mut plan("python3.10", &code), dir.path()).unwrap_err();
        assert!(failed.message.contains("no such module"), "{failed}");
        let zip = transform(&mut plan("python3.10", &code.join("index.mjs")), dir.path());
        assert!(zip.unwrap_err().message.contains("no directory"));
    }
}
