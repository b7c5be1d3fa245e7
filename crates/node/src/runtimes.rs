//! Which interpreter stands behind a runtime's name. Pure: what was found and proven comes in.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use stint_sandbox::{Discovery, Family, Interpreter};

use crate::wasm::WasmProgram;

/// Names and what stands behind them.
#[derive(Clone, Debug, Default)]
pub struct RuntimeTable {
    /// What the operator said: the interpreter, or why it cannot be used.
    configured: BTreeMap<String, Result<Interpreter, String>>,
    found: Discovery,
    /// What runs WebAssembly, or why nothing does.
    wasm: Option<Result<WasmProgram, String>>,
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
    "java8",
    "java11",
    "bash",
];

/// What runs under these names comes with the code.
const OWN: &[(&str, &str)] = &[
    ("custom", "the package's own server"),
    ("custom.debian10", "the package's own server"),
    ("custom.debian11", "the package's own server"),
    ("custom.debian12", "the package's own server"),
    ("custom-container", "the image's own server"),
    ("go1", "the package's own program"),
];

/// How a runtime's code is run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Runtime {
    /// By one of our shims over the framed channel.
    Shim(Interpreter),
    /// By a program that polls the runtime API.
    Poll(Poller),
    /// By itself, as an HTTP server.
    Custom,
    /// The same, in an image.
    Image,
    /// By our Wasm shim.
    Wasm,
}

/// Which program polls.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Poller {
    /// The package's own: the handler names it.
    Own,
    /// Our shim for Java.
    Java(Interpreter),
    /// Our shim for bash.
    Bash(Interpreter),
}

impl Runtime {
    /// How an interpreter's shim is talked to.
    fn of(interpreter: &Interpreter) -> Self {
        let interpreter = interpreter.clone();
        match interpreter.family {
            Family::Python | Family::Node => Self::Shim(interpreter),
            Family::Java => Self::Poll(Poller::Java(interpreter)),
            Family::Bash => Self::Poll(Poller::Bash(interpreter)),
        }
    }

    /// What of the machine runs it, if not the package alone.
    pub(crate) fn interpreter(&self) -> Option<&Interpreter> {
        match self {
            Self::Shim(found) | Self::Poll(Poller::Java(found) | Poller::Bash(found)) => {
                Some(found)
            }
            Self::Poll(Poller::Own) | Self::Custom | Self::Image | Self::Wasm => None,
        }
    }
}

impl RuntimeTable {
    /// `configured` maps runtime names to interpreters; they win over what was found. Their paths
    /// must have been candidates of the discovery, which has proven or refused them.
    pub fn new(configured: BTreeMap<String, PathBuf>, found: Discovery) -> Self {
        let configured = configured
            .into_iter()
            .map(|(name, path)| {
                let interpreter = proven(&found, &path);
                (name, interpreter)
            })
            .collect();
        Self { configured, found, wasm: None }
    }

    /// With what runs WebAssembly: a program that was proven, or why it was not.
    pub fn with_wasm(mut self, wasm: Result<WasmProgram, String>) -> Self {
        self.wasm = Some(wasm);
        self
    }

    /// What runs WebAssembly here.
    pub(crate) fn wasm(&self) -> Option<&WasmProgram> {
        self.wasm.as_ref().and_then(|wasm| wasm.as_ref().ok())
    }

    /// The runtime behind a name, or what to do so that there is one.
    pub(crate) fn resolve(&self, name: &str) -> Result<Runtime, String> {
        match self.configured.get(name) {
            Some(Ok(interpreter)) => return Ok(Runtime::of(interpreter)),
            Some(Err(reason)) => {
                return Err(format!("The function cannot be started. Runtime {name}: {reason}"));
            }
            None => {}
        }
        match name {
            "custom" | "custom.debian10" | "custom.debian11" | "custom.debian12" => {
                return Ok(Runtime::Custom);
            }
            "go1" => return Ok(Runtime::Poll(Poller::Own)),
            "custom-container" => return Ok(Runtime::Image),
            "wasm" => return self.resolve_wasm(),
            _ => {}
        }
        let Some((family, wanted)) = parse(name) else {
            return Err(format!("runtime {name} is not run by this node"));
        };
        match self.found.choose(family, wanted) {
            Some(interpreter) => Ok(Runtime::of(interpreter)),
            None => Err(advice(name, family, wanted)),
        }
    }

    /// What stands behind the newest names of each family that can be run, each once.
    pub(crate) fn usual(&self) -> Vec<Interpreter> {
        let mut usual: Vec<Interpreter> = Vec::new();
        for family in [Family::Python, Family::Node] {
            let names = NAMES.iter().filter(|name| parse(name).is_some_and(|(f, _)| f == family));
            let newest = names.rev().find_map(|name| match self.resolve(name) {
                Ok(Runtime::Shim(interpreter)) => Some(interpreter),
                _ => None,
            });
            usual.extend(newest);
        }
        usual
    }

    fn resolve_wasm(&self) -> Result<Runtime, String> {
        match &self.wasm {
            Some(Ok(_)) => Ok(Runtime::Wasm),
            Some(Err(reason)) => Err(format!(
                "The function cannot be started. Runtime wasm does not work in this machine's \
                 sandbox: {reason}"
            )),
            None => Err("runtime wasm is not run by this node".to_owned()),
        }
    }

    /// Every proven Python, each once.
    pub(crate) fn pythons(&self) -> Vec<Interpreter> {
        self.found.found.iter().filter(|found| found.family == Family::Python).cloned().collect()
    }

    /// Every known name that can be run, with what stands behind it.
    pub fn names(&self) -> BTreeMap<String, String> {
        let mut names = BTreeMap::new();
        let known = NAMES.iter().copied().chain(self.configured.keys().map(String::as_str));
        for name in known {
            if let Some(interpreter) =
                self.resolve(name).ok().as_ref().and_then(Runtime::interpreter)
            {
                let (major, minor, patch) = interpreter.version;
                let shown = format!("{} ({major}.{minor}.{patch})", interpreter.path.display());
                names.insert(name.to_owned(), shown);
            }
        }
        let own = OWN.iter().map(|(name, behind)| ((*name).to_owned(), (*behind).to_owned()));
        names.extend(own);
        names.extend(self.wasm().map(|wasm| ("wasm".to_owned(), wasm.version.clone())));
        names
    }
}

fn proven(found: &Discovery, path: &Path) -> Result<Interpreter, String> {
    let real = std::fs::canonicalize(path)
        .map_err(|error| format!("the configured {} cannot be used: {error}", path.display()))?;
    if let Some(interpreter) = found.found.iter().find(|found| found.path == real) {
        return Ok(interpreter.clone());
    }
    let refused = found.refused.iter().find(|refused| refused.path == real || refused.path == path);
    let reason = refused.map_or("it was not proven", |refused| &refused.reason);
    Err(format!("the configured {} cannot be used: {reason}", path.display()))
}

/// `python3.10` → (Python, (3, 10)); `nodejs20` → (Node.js, (20, 0)); `java11` → (Java, (11, 0)).
fn parse(name: &str) -> Option<(Family, (u32, u32))> {
    if let Some(version) = name.strip_prefix("python") {
        return match version {
            "" | "3" => Some((Family::Python, (3, 6))),
            _ => {
                let minor = version.strip_prefix("3.")?.parse().ok()?;
                Some((Family::Python, (3, minor)))
            }
        };
    }
    if name == "bash" {
        return Some((Family::Bash, BASH));
    }
    if let Some(version) = name.strip_prefix("java") {
        return Some((Family::Java, (version.parse().ok()?, 0)));
    }
    let major = name.strip_prefix("nodejs")?.parse().ok()?;
    Some((Family::Node, (major, 0)))
}

/// The oldest bash the shim runs on.
const BASH: (u32, u32) = (4, 4);

fn advice(name: &str, family: Family, wanted: (u32, u32)) -> String {
    let (major, minor) = wanted;
    let wanted = match family {
        Family::Python => format!("python{major}.{minor}"),
        Family::Node => format!("Node.js {major}"),
        Family::Java => format!("a Java runtime {major} (default-jre-headless)"),
        Family::Bash => format!("bash {major}.{minor}"),
    };
    format!(
        "The function cannot be started. Runtime {name} is not available on this node: \
         install {wanted} or newer below /usr, or configure an interpreter for it"
    )
}

#[cfg(test)]
mod tests {
    use stint_sandbox::Refused;

    use super::*;

    fn found(family: Family, path: &str, version: (u32, u32, u32)) -> Interpreter {
        Interpreter { family, path: path.into(), version, binds: Vec::new() }
    }

    fn table() -> RuntimeTable {
        let discovery = Discovery {
            found: vec![
                found(Family::Python, "/usr/bin/env", (3, 8, 1)),
                found(Family::Python, "/usr/bin/python3.11", (3, 11, 2)),
                found(Family::Python, "/usr/bin/python3.13", (3, 13, 0)),
                found(Family::Node, "/usr/bin/node", (20, 20, 2)),
                found(Family::Java, "/usr/lib/jvm/java-11/bin/java", (11, 0, 22)),
            ],
            refused: vec![Refused { path: "/usr/bin/false".into(), reason: "it fails".into() }],
        };
        // Paths that exist everywhere, because links in configured ones are resolved.
        let env = std::fs::canonicalize("/usr/bin/env").unwrap();
        let mut discovery = discovery;
        discovery.found[0].path = env.clone();
        let configured = BTreeMap::from([
            ("python3.13".to_owned(), env),
            ("nodejs12".to_owned(), PathBuf::from("/usr/bin/false")),
            ("nodejs10".to_owned(), PathBuf::from("/nowhere/node")),
        ]);
        RuntimeTable::new(configured, discovery)
    }

    #[test]
    fn a_newer_interpreter_stands_in_for_an_older_name() {
        for (name, version) in [
            ("python3", (3, 8)),
            ("python", (3, 8)),
            ("python3.9", (3, 11)),
            ("python3.11", (3, 11)),
            ("python3.12", (3, 13)),
            ("python3.13", (3, 8)),
            ("nodejs14", (20, 20)),
            ("nodejs20", (20, 20)),
        ] {
            let Ok(Runtime::Shim(interpreter)) = table().resolve(name) else { panic!("{name}") };
            let (major, minor, _) = interpreter.version;
            assert_eq!((major, minor), version, "{name}");
        }
        assert_eq!(table().resolve("custom.debian12"), Ok(Runtime::Custom));
        assert_eq!(table().resolve("custom-container"), Ok(Runtime::Image));
    }

    #[test]
    fn some_programs_poll() {
        assert_eq!(table().resolve("go1"), Ok(Runtime::Poll(Poller::Own)));
        for name in ["java8", "java11"] {
            let Ok(Runtime::Poll(Poller::Java(java))) = table().resolve(name) else {
                panic!("{name}")
            };
            assert_eq!(java.version, (11, 0, 22), "{name}");
        }
    }

    #[test]
    fn what_is_missing_says_what_to_do() {
        for (name, word) in [
            ("python3.14", "install python3.14 or newer"),
            ("nodejs22", "install Node.js 22 or newer"),
            ("java17", "install a Java runtime 17 (default-jre-headless) or newer"),
            ("java", "java is not run"),
            ("bash", "install bash 4.4 or newer"),
            ("php7.2", "php7.2 is not run"),
            ("python2.7", "python2.7 is not run"),
            ("nodejsx", "nodejsx is not run"),
            ("nodejs12", "it fails"),
            ("nodejs10", "/nowhere/node cannot be used"),
        ] {
            let said = table().resolve(name).unwrap_err();
            assert!(said.contains(word), "{said}");
        }
        let names = table().names();
        assert_eq!(names["python3.10"], "/usr/bin/python3.11 (3.11.2)");
        assert!(!names.contains_key("nodejs22"));
        assert_eq!(names["java8"], "/usr/lib/jvm/java-11/bin/java (11.0.22)");
        assert!(names.contains_key("custom") && names.contains_key("go1"));
        assert!(!names.contains_key("wasm"));
    }

    #[test]
    fn wasm_is_there_when_it_was_proven() {
        let program = WasmProgram {
            path: "/usr/bin/stint".into(),
            arguments: vec!["__wasm".into()],
            key: "k".into(),
            version: "wasmtime 48".into(),
        };
        let good = table().with_wasm(Ok(program));
        assert_eq!(good.resolve("wasm"), Ok(Runtime::Wasm));
        assert_eq!(good.names()["wasm"], "wasmtime 48");
        let bad = table().with_wasm(Err("no executable memory".into()));
        assert!(bad.resolve("wasm").unwrap_err().contains("no executable memory"));
        assert!(!bad.names().contains_key("wasm"));
        assert!(table().resolve("wasm").is_err());
    }
}
