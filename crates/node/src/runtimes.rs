//! Which interpreter stands behind a runtime's name. Pure: what was found and proven comes in.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// The languages we have shims for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Language {
    /// CPython 3.
    Python,
    /// Node.js.
    NodeJs,
}

/// An interpreter that ran inside the sandbox.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Interpreter {
    /// What it interprets.
    pub language: Language,
    /// Where it is, inside and outside.
    pub program: PathBuf,
    /// Major and minor version, as it said itself.
    pub version: (u32, u32),
}

/// Names and what stands behind them.
#[derive(Clone, Debug, Default)]
pub struct RuntimeTable {
    configured: BTreeMap<String, Interpreter>,
    found: Vec<Interpreter>,
}

/// Upstream's names, for `Hello` and `doctor`.
const NAMES: &[&str] = &[
    "python3",
    "python3.6",
    "python3.9",
    "python3.10",
    "python3.11",
    "python3.12",
    "python3.13",
    "nodejs12",
    "nodejs14",
    "nodejs16",
    "nodejs18",
    "nodejs20",
    "nodejs22",
];

/// How a runtime's code is run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Runtime {
    /// By one of our shims.
    Shim(Interpreter),
    /// By itself, as an HTTP server.
    Custom,
}

impl RuntimeTable {
    /// Names the operator configured win over what was found.
    pub fn new(configured: BTreeMap<String, Interpreter>, mut found: Vec<Interpreter>) -> Self {
        // The oldest that is new enough is taken.
        found.sort_by_key(|interpreter| interpreter.version);
        Self { configured, found }
    }

    /// The runtime behind a name, or what to do so that there is one.
    pub(crate) fn resolve(&self, name: &str) -> Result<Runtime, String> {
        if let Some(interpreter) = self.configured.get(name) {
            return Ok(Runtime::Shim(interpreter.clone()));
        }
        match name {
            "custom" | "custom.debian10" | "custom.debian11" | "custom.debian12" => {
                return Ok(Runtime::Custom);
            }
            "custom-container" => {
                return Err("container images are not run by this node yet".to_owned());
            }
            _ => {}
        }
        let Some((language, wanted)) = parse(name) else {
            return Err(format!("runtime {name} is not run by this node"));
        };
        let stands_in = |found: &&Interpreter| {
            found.language == language && found.version.0 >= wanted.0 && found.version >= wanted
        };
        match self.found.iter().find(stands_in) {
            Some(interpreter) => Ok(Runtime::Shim(interpreter.clone())),
            None => Err(advice(name, language, wanted)),
        }
    }

    /// Every known name that can be run, with what stands behind it.
    pub fn names(&self) -> BTreeMap<String, String> {
        let mut names = BTreeMap::new();
        let known = NAMES.iter().copied().chain(self.configured.keys().map(String::as_str));
        for name in known {
            if let Ok(Runtime::Shim(interpreter)) = self.resolve(name) {
                let (major, minor) = interpreter.version;
                let shown = format!("{} ({major}.{minor})", interpreter.program.display());
                names.insert(name.to_owned(), shown);
            }
        }
        for name in ["custom", "custom.debian10", "custom.debian11", "custom.debian12"] {
            names.insert(name.to_owned(), "the package's own server".to_owned());
        }
        names
    }
}

/// `python3.10` → (Python, (3, 10)); `nodejs20` → (Node.js, (20, 0)).
fn parse(name: &str) -> Option<(Language, (u32, u32))> {
    if let Some(version) = name.strip_prefix("python") {
        return match version {
            "" | "3" => Some((Language::Python, (3, 6))),
            _ => {
                let minor = version.strip_prefix("3.")?.parse().ok()?;
                Some((Language::Python, (3, minor)))
            }
        };
    }
    let major = name.strip_prefix("nodejs")?.parse().ok()?;
    Some((Language::NodeJs, (major, 0)))
}

fn advice(name: &str, language: Language, wanted: (u32, u32)) -> String {
    let (major, minor) = wanted;
    match language {
        Language::Python => format!(
            "The function cannot be started. Runtime {name} is not available on this node: \
             install python{major}.{minor} or newer below /usr, or configure an interpreter for it"
        ),
        Language::NodeJs => format!(
            "The function cannot be started. Runtime {name} is not available on this node: \
             install Node.js {major} or newer below /usr, or configure an interpreter for it"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(language: Language, program: &str, version: (u32, u32)) -> Interpreter {
        Interpreter { language, program: program.into(), version }
    }

    fn table() -> RuntimeTable {
        RuntimeTable::new(
            BTreeMap::from([(
                "python3.8".to_owned(),
                found(Language::Python, "/opt/py38/bin/python3", (3, 8)),
            )]),
            vec![
                found(Language::Python, "/usr/bin/python3.13", (3, 13)),
                found(Language::Python, "/usr/bin/python3.11", (3, 11)),
                found(Language::NodeJs, "/usr/bin/node", (20, 20)),
            ],
        )
    }

    #[test]
    fn a_newer_interpreter_stands_in_for_an_older_name() {
        for (name, expected) in [
            ("python3", "/usr/bin/python3.11"),
            ("python", "/usr/bin/python3.11"),
            ("python3.10", "/usr/bin/python3.11"),
            ("python3.11", "/usr/bin/python3.11"),
            ("python3.12", "/usr/bin/python3.13"),
            ("python3.8", "/opt/py38/bin/python3"),
            ("nodejs14", "/usr/bin/node"),
            ("nodejs20", "/usr/bin/node"),
        ] {
            let Ok(Runtime::Shim(interpreter)) = table().resolve(name) else { panic!("{name}") };
            assert_eq!(interpreter.program, PathBuf::from(expected), "{name}");
        }
        assert_eq!(table().resolve("custom.debian12"), Ok(Runtime::Custom));
    }

    #[test]
    fn what_is_missing_says_what_to_install() {
        for (name, word) in [
            ("python3.14", "install python3.14 or newer"),
            ("nodejs22", "install Node.js 22 or newer"),
            ("java11", "java11 is not run"),
            ("python2.7", "python2.7 is not run"),
            ("nodejsx", "nodejsx is not run"),
            ("custom-container", "container images"),
        ] {
            let said = table().resolve(name).unwrap_err();
            assert!(said.contains(word), "{said}");
        }
        let names = table().names();
        assert_eq!(names["python3.10"], "/usr/bin/python3.11 (3.11)");
        assert!(!names.contains_key("nodejs22"));
        assert!(names.contains_key("custom"));
    }
}
