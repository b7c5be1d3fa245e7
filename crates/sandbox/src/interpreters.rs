//! Which interpreters can run functions here, proven by running each inside the sandbox.
//!
//! Only what the sandbox can show its instances counts: the distribution's interpreters below
//! `/usr`, and those the operator names. A version manager's shim below `/root` or `/home` works in
//! the operator's shell and nowhere else; it is refused with that reason.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::io::AsyncReadExt;

use crate::launcher::{Launched, Launcher, SandboxError};
use crate::spec::{
    Bind, Channel, ExitHow, HostUser, Inside, LaunchSpec, Limits, Network, Outfit, RootFs,
};

/// Where distributions and administrators put interpreters.
const DIRECTORIES: &[&str] = &["/usr/bin", "/usr/local/bin"];
/// Java machines lie side by side, each in a directory of its own.
const JAVA_HOMES: &[&str] = &["/usr/lib/jvm", "/usr/java"];
/// Homes are never shown to an instance.
const PRIVATE: &[&str] = &["/root", "/home"];
/// How long a proof may take on a busy machine.
const PROOF_WITHIN: Duration = Duration::from_secs(30);
/// A version is a short line; more is not a version.
const PROOF_BYTES_MAX: u64 = 200;

/// A kind of interpreter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    Python,
    Node,
    Java,
    Bash,
}

/// Something that may be an interpreter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    pub family: Family,
    pub path: PathBuf,
}

/// An interpreter that ran inside the sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interpreter {
    pub family: Family,
    /// The same inside and outside.
    pub path: PathBuf,
    pub version: (u32, u32, u32),
    /// What an instance needs besides `/usr` to run it.
    pub binds: Vec<Bind>,
}

/// A candidate that is not used, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    pub path: PathBuf,
    pub reason: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Discovery {
    /// Oldest first within a family.
    pub found: Vec<Interpreter>,
    pub refused: Vec<Refused>,
}

impl Discovery {
    /// Looks for interpreters and proves each; `configured` ones are looked at first.
    pub async fn run(launcher: &Launcher, configured: Vec<Candidate>) -> Self {
        let mut discovery = Self::default();
        let mut seen = BTreeSet::new();
        let mut admitted = Vec::new();
        for Candidate { family, path } in configured.into_iter().chain(installed()) {
            match admit(&path) {
                Ok((real, binds)) => {
                    if seen.insert((family, real.clone())) {
                        admitted.push((family, real, binds));
                    }
                }
                Err(reason) => discovery.refused.push(Refused { path, reason }),
            }
        }
        // Side by side: a server that starts waits for the slowest, not for the sum.
        let proofs =
            admitted.iter().map(|(family, path, binds)| prove(launcher, *family, path, binds));
        let proofs = join_all(proofs).await;
        for ((family, path, binds), proof) in admitted.into_iter().zip(proofs) {
            match proof {
                Ok(version) => {
                    discovery.found.push(Interpreter { family, path, version, binds });
                }
                Err(reason) => discovery.refused.push(Refused { path, reason }),
            }
        }
        discovery.found.sort_by_key(|found| (found.family, found.version));
        discovery
    }

    /// The interpreter for a version: the same minor (Python) or major (the others), else the
    /// nearest newer one, which may stand in for it.
    pub fn choose(&self, family: Family, wanted: (u32, u32)) -> Option<&Interpreter> {
        self.found.iter().filter(|found| found.family == family).find(|found| match family {
            Family::Python => {
                found.version.0 == wanted.0 && (found.version.0, found.version.1) >= wanted
            }
            Family::Node | Family::Java => found.version.0 >= wanted.0,
            Family::Bash => (found.version.0, found.version.1) >= wanted,
        })
    }
}

/// Names that belong to interpreters in the usual directories.
fn installed() -> Vec<Candidate> {
    let mut candidates = Vec::new();
    for dir in DIRECTORIES {
        let Ok(entries) = std::fs::read_dir(dir) else { continue };
        for entry in entries.flatten() {
            if let Some(family) = entry.file_name().to_str().and_then(family_of) {
                candidates.push(Candidate { family, path: entry.path() });
            }
        }
    }
    for home in JAVA_HOMES {
        let Ok(entries) = std::fs::read_dir(home) else { continue };
        let programs = entries.flatten().map(|entry| entry.path().join("bin/java"));
        let there = programs.filter(|path| path.is_file());
        candidates.extend(there.map(|path| Candidate { family: Family::Java, path }));
    }
    // Directories come in no order.
    candidates.sort_by(|a, b| a.path.cmp(&b.path));
    candidates
}

fn family_of(name: &str) -> Option<Family> {
    match name {
        "node" | "nodejs" => return Some(Family::Node),
        "java" => return Some(Family::Java),
        "bash" => return Some(Family::Bash),
        _ => {}
    }
    let minor = name.strip_prefix("python3")?;
    let digits = minor.strip_prefix('.').unwrap_or(minor);
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    (plain && !minor.ends_with('.')).then_some(Family::Python)
}

/// Where a candidate really is, and what it takes to show it to an instance.
fn admit(path: &Path) -> Result<(PathBuf, Vec<Bind>), String> {
    let real = std::fs::canonicalize(path).map_err(|error| error.to_string())?;
    if let Some(private) = PRIVATE.iter().find(|private| real.starts_with(private)) {
        return Err(format!(
            "it is {} below {private}, which no instance may see; install it below /usr",
            real.display()
        ));
    }
    if real.starts_with("/usr") {
        return Ok((real, Vec::new()));
    }
    // `PREFIX/bin/python3`: the library is below the prefix, too.
    let prefix = real.parent().and_then(Path::parent).filter(|prefix| prefix.parent().is_some());
    match prefix {
        Some(prefix) => Ok((real.clone(), vec![Bind::read_only(prefix, prefix)])),
        None => Err(format!("{} has no directory of its own", real.display())),
    }
}

/// Runs it in a sandbox like any function, and reads the version it prints.
async fn prove(
    launcher: &Launcher,
    family: Family,
    path: &Path,
    binds: &[Bind],
) -> Result<(u32, u32, u32), String> {
    let program = path.to_str().ok_or("its path is not text")?.to_owned();
    let arguments: &[&str] = match family {
        Family::Python => {
            &["-I", "-S", "-c", "import sys; print('%d.%d.%d' % sys.version_info[:3])"]
        }
        Family::Node => &["-p", "process.versions.node"],
        // To standard error, and the only form that every version understands.
        Family::Java => &["-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", "-version"],
        Family::Bash => &["--version"],
    };
    let spec = LaunchSpec {
        root: RootFs::Host,
        argv: [program].into_iter().chain(arguments.iter().map(|&a| a.to_owned())).collect(),
        env: Vec::new(),
        cwd: "/tmp".into(),
        binds: binds.to_vec(),
        limits: Limits { memory_mb: 512, cpu_milli: 1000, pids_max: 64, nofile: 1024, tmp_mb: 16 },
        user: HostUser { uid: 65_534, gid: 65_534 },
        inside: Inside::default(),
        network: Network::Loopback,
        channel: Channel::None,
        outfit: Outfit::Whole,
    };
    let launched = launcher.launch(spec).await.map_err(|error| error.to_string())?;
    let instance = launched.instance.clone();
    let Ok(read) = tokio::time::timeout(PROOF_WITHIN, listen(launched)).await else {
        instance.kill();
        return Err(format!("it did not answer within {} s", PROOF_WITHIN.as_secs()));
    };
    let (how, said) = read.map_err(|error| error.to_string())?;
    if how != ExitHow::Code(0) {
        return Err(format!("inside the sandbox it ended with {how:?}: {}", said.trim()));
    }
    parse_version(family, &said)
        .ok_or_else(|| format!("it printed {:?} for its version", said.trim()))
}

async fn listen(launched: Launched) -> Result<(ExitHow, String), SandboxError> {
    let mut said = Vec::new();
    let mut output = launched.stdout.take(PROOF_BYTES_MAX);
    let mut errors = launched.stderr.take(PROOF_BYTES_MAX);
    let reading = |source| SandboxError::System { doing: "cannot read an interpreter", source };
    output.read_to_end(&mut said).await.map_err(reading)?;
    if said.is_empty() {
        errors.read_to_end(&mut said).await.map_err(reading)?;
    }
    // More than that nobody reads, so the program cannot wait for us.
    drop((output, errors));
    let exit = launched.exit.await.map_err(|_| SandboxError::Gone)?;
    Ok((exit.how, String::from_utf8_lossy(&said).into_owned()))
}

/// `3.11.2`; `openjdk version "17.0.15" 2025-04-15`, with `1.8.0_392` for 8 and perhaps `25`;
/// `GNU bash, version 5.2.15(1)-release (…)`.
fn parse_version(family: Family, text: &str) -> Option<(u32, u32, u32)> {
    let word = match family {
        Family::Python | Family::Node => text.trim(),
        Family::Java => text.split('"').nth(1)?,
        Family::Bash => text.split_once("version ")?.1.split(' ').next()?,
    };
    let mut numbers = Vec::new();
    for part in word.split(['.', '_', '+', '-', '(']).take(4) {
        match part.parse() {
            Ok(number) => numbers.push(number),
            Err(_) => break,
        }
    }
    match (family, numbers.as_slice()) {
        (Family::Java, [1, major, minor, patch @ ..]) => {
            Some((*major, *minor, patch.first().copied().unwrap_or(0)))
        }
        (Family::Java, [major, rest @ ..]) => {
            let at = |n: usize| rest.get(n).copied().unwrap_or(0);
            Some((*major, at(0), at(1)))
        }
        (_, [major, minor, patch, ..]) => Some((*major, *minor, *patch)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_interpreters_are_candidates() {
        assert_eq!(family_of("python3"), Some(Family::Python));
        assert_eq!(family_of("python3.11"), Some(Family::Python));
        assert_eq!(family_of("node"), Some(Family::Node));
        assert_eq!(family_of("nodejs"), Some(Family::Node));
        assert_eq!(family_of("java"), Some(Family::Java));
        assert_eq!(family_of("bash"), Some(Family::Bash));
        for other in
            ["python3-config", "python3.11-config", "python3.", "python", "node-gyp", "javac"]
        {
            assert_eq!(family_of(other), None, "{other}");
        }
    }

    #[test]
    fn homes_are_refused_with_the_reason() {
        let home = std::fs::read_dir("/root").is_ok();
        if home {
            assert!(admit(Path::new("/root")).unwrap_err().contains("no instance may see"));
        }
        let gone = Path::new("/nowhere/python3");
        assert!(admit(gone).unwrap_err().contains("No such file"));
    }

    #[test]
    fn a_prefix_outside_usr_is_bound_read_only() {
        let dir = tempfile::tempdir().unwrap();
        let prefix = std::fs::canonicalize(dir.path()).unwrap().join("py");
        std::fs::create_dir_all(prefix.join("bin")).unwrap();
        std::fs::write(prefix.join("bin/python3"), "").unwrap();
        let path = prefix.join("bin/python3");
        let (real, binds) = admit(&path).unwrap();
        assert_eq!((real, binds), (path, vec![Bind::read_only(&prefix, &prefix)]));
    }

    #[test]
    fn a_newer_one_stands_in_for_an_older_name() {
        let make = |family, version| Interpreter {
            family,
            path: "/usr/bin/x".into(),
            version,
            binds: vec![],
        };
        let discovery = Discovery {
            found: vec![
                make(Family::Python, (3, 9, 2)),
                make(Family::Python, (3, 11, 2)),
                make(Family::Node, (20, 1, 0)),
            ],
            refused: vec![],
        };
        let version = |family, wanted| discovery.choose(family, wanted).map(|i| i.version);
        assert_eq!(version(Family::Python, (3, 9)), Some((3, 9, 2)));
        assert_eq!(version(Family::Python, (3, 10)), Some((3, 11, 2)));
        assert_eq!(version(Family::Python, (3, 12)), None);
        assert_eq!(version(Family::Python, (2, 7)), None);
        assert_eq!(version(Family::Node, (18, 0)), Some((20, 1, 0)));
        assert_eq!(version(Family::Node, (22, 0)), None);
    }

    #[test]
    fn versions_are_three_numbers() {
        for (family, said, version) in [
            (Family::Python, "3.11.2\n", Some((3, 11, 2))),
            (Family::Python, "3.11", None),
            (Family::Node, "v20.1.0", None),
            (Family::Java, "openjdk version \"17.0.15\" 2025-04-15\nOpenJDK", Some((17, 0, 15))),
            (Family::Java, "java version \"1.8.0_392\"", Some((8, 0, 392))),
            (Family::Java, "openjdk version \"25\" 2025-09-16", Some((25, 0, 0))),
            (Family::Java, "openjdk version \"26-ea\"", Some((26, 0, 0))),
            (Family::Java, "Error: could not open `jvm.cfg'", None),
            (Family::Bash, "GNU bash, version 5.2.15(1)-release (x86_64)", Some((5, 2, 15))),
            (Family::Bash, "bash: no", None),
        ] {
            assert_eq!(parse_version(family, said), version, "{said}");
        }
    }
}
