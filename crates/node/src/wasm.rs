//! The Wasm tier, seen from the node: a program of ours that compiles and runs WebAssembly, always
//! inside a sandbox, and the machine code it has made.
//!
//! Machine code is kept by account, package and engine, with a digest of our own beside it, in a
//! directory nobody but the node can write; a shim is shown the one file it runs. What a user hands
//! in as machine code is refused by the compiler and never gets here.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use stint_model::function::CodePackage;
use stint_model::id::AccountId;
use stint_model::time::Span;
use stint_sandbox::{
    Bind, Channel, Exit, ExitHow, HostUser, Inside, LaunchSpec, Launched, Launcher, Limits,
    Network, Outfit, RootFs,
};
use stint_supervise::{Clock, Supervisor};
use stint_wire::node::PoolSpec;
use tokio::io::AsyncReadExt as _;

use crate::code::{CodeCache, CodeError, Held, Keeps, UnpackLimits};
use crate::config::NodeConfig;
use crate::environment::CODE;
use crate::ports::CodeSource;
use crate::shared::NodeShared;

/// Where a sandbox sees the program.
const PROGRAM: &str = "/var/stint/wasm";
/// Where a shim sees its machine code.
const ARTEFACT: &str = "/var/stint/code.cwasm";
/// Where a compiler sees what it remembers.
const FUNCTIONS: &str = "/var/stint/functions";
/// The machine code in its directory, and its digest.
const CODE_FILE: &str = "code.cwasm";
const DIGEST_FILE: &str = "digest";
/// Machine code of one program, at most.
const ARTEFACT_BYTES_MAX: u64 = 1 << 30;
/// Machine code of all programs; the least used goes first.
const ARTEFACTS_BYTES_MAX: u64 = 10 << 30;
/// What a compiler says about a package.
const WORDS_BYTES_MAX: u64 = 4 * 1024;
/// The largest programs take some seconds at full speed.
const COMPILE_MAX: Span = Span::from_secs(300);
/// Memory for compiling one program.
const COMPILE_MB: u32 = 3 * 1024;
/// More processors than this do not help.
const COMPILE_CPU_MILLI: u32 = 4_000;
const PROBE_MAX: Span = Span::from_secs(30);
/// Anybody but root.
const NOBODY: u32 = 65_534;
/// What the compiler exits with when the package is to blame.
const REFUSED: i32 = 2;

/// How to start the program, and what its machine code is called.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WasmProgram {
    /// The binary.
    pub path: PathBuf,
    /// What leads it to the Wasm tier.
    pub arguments: Vec<String>,
    /// Names the machine code it makes and runs; code of another key is never used.
    pub key: String,
    /// For people.
    pub version: String,
}

impl WasmProgram {
    /// Proves that it can compile and run behind the sandbox's walls; says what it is, or why not.
    pub async fn prove(&self, launcher: &Launcher, clock: &Clock) -> Result<String, String> {
        let mut argv = vec![PROGRAM.to_owned()];
        argv.extend(self.arguments.iter().cloned());
        argv.push("probe".to_owned());
        let limits =
            Limits { memory_mb: 256, cpu_milli: 1_000, pids_max: 64, nofile: 256, tmp_mb: 16 };
        let user = HostUser { uid: NOBODY, gid: NOBODY };
        let spec = plain(argv, vec![Bind::read_only(&self.path, PROGRAM)], limits, user);
        let run = run(launcher, clock, spec, PROBE_MAX).await?;
        match run.exit.how {
            ExitHow::Code(0) => Ok(String::from_utf8_lossy(&run.stdout).trim().to_owned()),
            how => Err(format!("it ended with {how:?}: {}", run.words())),
        }
    }
}

/// The tier's part of a node.
#[derive(Clone, Debug)]
pub(crate) struct Wasm {
    program: PathBuf,
    arguments: Vec<String>,
    key: String,
    version: String,
    artefacts: CodeCache,
    /// What compilers remember, by account.
    functions: PathBuf,
}

/// A program that will be started soon.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Prime {
    /// Whose it is.
    pub account: AccountId,
    /// Its package.
    pub code: CodePackage,
    /// What names the file in it.
    pub handler: String,
}

impl Wasm {
    /// Blocks on the disk.
    fn open(
        program: &WasmProgram,
        dir: &Path,
        source: Arc<dyn CodeSource>,
        supervisor: Supervisor,
    ) -> Result<Self, CodeError> {
        let artefacts = CodeCache::open(
            dir.join("artefacts"),
            Keeps::UntilChecked,
            (ARTEFACTS_BYTES_MAX, UnpackLimits::DEFAULT),
            source,
            supervisor,
        )?;
        let functions = dir.join("functions");
        make_dir(&functions, 0o711)?;
        Ok(Self {
            program: keep(&program.path, dir)?,
            arguments: program.arguments.clone(),
            key: program.key.clone(),
            version: program.version.clone(),
            artefacts,
            functions,
        })
    }

    /// What holds a guest besides the sandbox, for people.
    pub(crate) fn words(&self) -> String {
        format!(
            "wasm: {}, a fresh store for each request; its memory, tables, time and imports are \
             bounded by the engine",
            self.version
        )
    }

    /// The program's machine code, compiled if it is not there yet.
    pub(crate) async fn artefact(
        &self,
        shared: &NodeShared,
        wanted: &Prime,
        code: &Held,
    ) -> Result<Held, CodeError> {
        let mut name = Sha256::new();
        for part in [self.key.as_bytes(), wanted.account.to_string().as_bytes()] {
            name.update(part);
            name.update([0]);
        }
        name.update(wanted.code.sha256);
        name.update(wanted.handler.as_bytes());
        let name = hex::encode(name.finalize());
        self.artefacts
            .held(name.clone(), async |path| {
                if let Some(bytes) = self.checked(shared, &path, &name).await {
                    return Ok(bytes);
                }
                let bytes = self.compile(shared, wanted, code).await?;
                self.artefacts.build(path, move |draft| write(draft, &name, &bytes)).await
            })
            .await
    }

    /// The size of machine code that is there and whole.
    async fn checked(&self, shared: &NodeShared, path: &Path, name: &str) -> Option<u64> {
        let (path, name) = (path.to_owned(), name.to_owned());
        let checked = shared.supervisor.blocking(move || {
            let bytes = std::fs::read(path.join(CODE_FILE)).ok()?;
            let said = std::fs::read_to_string(path.join(DIGEST_FILE)).ok();
            if said.as_deref() == Some(&digest(&name, &bytes)) {
                return u64::try_from(bytes.len()).ok();
            }
            tracing::warn!(path = %path.display(), "machine code is not what was written; again");
            // What stays makes the compiled one fail to move in, which is reported.
            drop(std::fs::remove_dir_all(&path));
            None
        });
        checked.await.ok().flatten()
    }

    async fn compile(
        &self,
        shared: &NodeShared,
        wanted: &Prime,
        code: &Held,
    ) -> Result<Vec<u8>, CodeError> {
        let machine = |error: &dyn std::fmt::Display| CodeError::Crashed(error.to_string());
        let user = shared.identities.user(wanted.account).map_err(|error| machine(&error))?;
        let functions = self.functions.join(wanted.account.to_string());
        let made = functions.clone();
        let made = shared.supervisor.blocking(move || make_account_dir(&made, user));
        made.await.map_err(|crash| machine(&crash))??;
        let mut argv = vec![PROGRAM.to_owned()];
        argv.extend(self.arguments.iter().cloned());
        argv.extend(["compile", CODE, &wanted.handler, FUNCTIONS].map(str::to_owned));
        let binds = vec![
            Bind::read_only(&self.program, PROGRAM),
            Bind::read_only(code.path(), CODE),
            Bind::read_write(functions, FUNCTIONS),
        ];
        let limits = Limits {
            memory_mb: COMPILE_MB,
            cpu_milli: shared.config.capacity.cpu_milli.clamp(1_000, COMPILE_CPU_MILLI),
            pids_max: 64,
            nofile: 1_024,
            tmp_mb: 16,
        };
        let spec = plain(argv, binds, limits, user);
        let run = run(&shared.launcher, &shared.clock, spec, COMPILE_MAX).await;
        let run = run.map_err(|reason| machine(&reason))?;
        match run.exit.how {
            ExitHow::Code(0) => Ok(run.stdout),
            ExitHow::Code(REFUSED) => Err(CodeError::Program(run.words())),
            _ if run.exit.out_of_memory => Err(CodeError::Program(format!(
                "the program takes more than {COMPILE_MB} MB to compile"
            ))),
            how => Err(machine(&format!("the compiler ended with {how:?}: {}", run.words()))),
        }
    }

    /// What a shim needs to see.
    pub(crate) fn binds(&self, artefact: &Held) -> [Bind; 2] {
        [
            Bind::read_only(&self.program, PROGRAM),
            Bind::read_only(artefact.path().join(CODE_FILE), ARTEFACT),
        ]
    }

    /// How a shim is started. Its environment is empty: what the user configured belongs to the
    /// guest and must not reach the program around it.
    pub(crate) fn command(&self) -> Vec<String> {
        let mut argv = vec![PROGRAM.to_owned()];
        argv.extend(self.arguments.iter().cloned());
        argv.extend(["shim", ARTEFACT].map(str::to_owned));
        argv
    }
}

/// The tier of a node, if it has one. Blocks on the disk.
pub(crate) fn open(
    program: Option<&WasmProgram>,
    config: &NodeConfig,
    code: &Arc<dyn CodeSource>,
    supervisor: &Supervisor,
) -> Result<Option<Wasm>, CodeError> {
    let dir = config.dir.join("wasm");
    let open = |program| Wasm::open(program, &dir, Arc::clone(code), supervisor.clone());
    program.map(open).transpose()
}

/// What a shim is told besides what every shim is: more fields, and the guest's environment.
pub(crate) fn configuration(
    spec: &PoolSpec,
    environment: &[(String, String)],
    result_bytes_max: u64,
) -> (Vec<u8>, Vec<u8>) {
    let layers = (!spec.layers.is_empty()).then(|| "r:/opt".to_owned());
    let volumes = spec.config.nas.iter().flat_map(|nas| &nas.mounts);
    let mounts: Vec<String> =
        layers.into_iter().chain(volumes.map(|mount| format!("w:{}", mount.mount_dir))).collect();
    let network = if spec.config.internet_access { "yes" } else { "no" };
    let fields = [
        ("network", network.to_owned()),
        ("result_bytes_max", result_bytes_max.to_string()),
        ("mounts", mounts.join("\u{1f}")),
    ];
    let mut head = Vec::new();
    for (name, value) in fields {
        for part in [name, &value] {
            head.push(0);
            head.extend(part.bytes().filter(|byte| *byte != 0));
        }
    }
    let mut body = Vec::new();
    for part in environment.iter().flat_map(|(name, value)| [name, value]) {
        if !body.is_empty() {
            body.push(0);
        }
        body.extend(part.bytes().filter(|byte| *byte != 0));
    }
    (head, body)
}

/// Compiles ahead of the first start, one after the other.
pub(crate) async fn prime(shared: &NodeShared, wanted: &Prime) {
    let Some(wasm) = &shared.wasm else { return };
    let primed = async {
        let code = shared.cache.code(&wanted.code).await?;
        wasm.artefact(shared, wanted, &code).await
    };
    if let Err(error) = primed.await {
        // The first start finds the same and says it to whoever waits.
        let error = stint_supervise::chain(&error);
        tracing::info!(account = %wanted.account, error, "a program was not compiled ahead");
    }
}

/// A program of ours: no environment, no network, no channel.
fn plain(argv: Vec<String>, binds: Vec<Bind>, limits: Limits, user: HostUser) -> LaunchSpec {
    LaunchSpec {
        root: RootFs::Host,
        argv,
        env: Vec::new(),
        cwd: "/tmp".into(),
        binds,
        limits,
        user,
        inside: Inside::default(),
        network: Network::Loopback,
        channel: Channel::None,
        outfit: Outfit::Whole,
    }
}

struct Run {
    exit: Exit,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Run {
    fn words(&self) -> String {
        String::from_utf8_lossy(&self.stderr).trim().to_owned()
    }
}

/// Runs it to its end.
async fn run(
    launcher: &Launcher,
    clock: &Clock,
    spec: LaunchSpec,
    within: Span,
) -> Result<Run, String> {
    let launched = launcher.launch(spec).await.map_err(|error| stint_supervise::chain(&error))?;
    let instance = launched.instance.clone();
    let ended = clock.within(within, output_of(launched)).await;
    instance.kill();
    ended.ok_or_else(|| format!("it took longer than {} s", within.secs()))?
}

async fn output_of(launched: Launched) -> Result<Run, String> {
    let Launched { stdout, stderr, exit, .. } = launched;
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut stdout = stdout.take(ARTEFACT_BYTES_MAX);
    let mut stderr = stderr.take(WORDS_BYTES_MAX);
    let (read, also) = tokio::join!(stdout.read_to_end(&mut out), stderr.read_to_end(&mut err));
    read.and(also).map_err(|error| error.to_string())?;
    // What it says beyond is not read; a pipe that nobody reads ends it.
    drop((stdout, stderr));
    let exit = exit.await.map_err(|_| "the spawner ended".to_owned())?;
    Ok(Run { exit, stdout: out, stderr: err })
}

fn digest(name: &str, bytes: &[u8]) -> String {
    let mut hash = Sha256::new();
    hash.update(name.as_bytes());
    hash.update([0]);
    hash.update(bytes);
    hex::encode(hash.finalize())
}

fn write(draft: &Path, name: &str, bytes: &[u8]) -> Result<u64, CodeError> {
    let disk = |path: PathBuf, written: std::io::Result<()>| {
        written.map_err(|source| CodeError::Disk { doing: "write", path, source })
    };
    let code = draft.join(CODE_FILE);
    disk(code.clone(), std::fs::write(&code, bytes))?;
    // Its account's user reads it through the bind; the directory is the node's alone.
    disk(code.clone(), set_mode(&code, 0o444))?;
    let said = draft.join(DIGEST_FILE);
    disk(said.clone(), std::fs::write(&said, digest(name, bytes)))?;
    Ok(u64::try_from(bytes.len()).unwrap_or(u64::MAX))
}

/// A name of our own for the program: the binary may be replaced while this node runs.
fn keep(program: &Path, dir: &Path) -> Result<PathBuf, CodeError> {
    let kept = dir.join("program");
    let failed =
        |source| CodeError::Disk { doing: "keep the program as", path: kept.clone(), source };
    match std::fs::remove_file(&kept) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    if std::fs::hard_link(program, &kept).is_err() {
        std::fs::copy(program, &kept).map_err(failed)?;
        set_mode(&kept, 0o755).map_err(failed)?;
    }
    Ok(kept)
}

fn make_dir(dir: &Path, mode: u32) -> Result<(), CodeError> {
    let failed = |source| CodeError::Disk { doing: "make", path: dir.to_owned(), source };
    std::fs::create_dir_all(dir).map_err(failed)?;
    set_mode(dir, mode).map_err(failed)
}

/// What an account's compilers write to; the directory around it is the node's alone.
fn make_account_dir(dir: &Path, user: HostUser) -> Result<(), CodeError> {
    if dir.is_dir() {
        return Ok(());
    }
    make_dir(dir, 0o770)?;
    let failed = |source| CodeError::Disk { doing: "give away", path: dir.to_owned(), source };
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(dir, Some(user.uid), Some(user.gid)).map_err(failed)?;
    }
    Ok(())
}

fn set_mode(path: &Path, mode: u32) -> std::io::Result<()> {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
}

#[cfg(test)]
mod tests {
    use stint_model::function::{NasConfig, NasMount};

    use super::*;
    use crate::testing;

    #[test]
    fn a_shim_is_told_what_only_it_needs() {
        let mut draft = testing::spec("wasm", "main.wasm");
        draft.config_mut(|config| {
            config.internet_access = false;
            let mount = NasMount {
                server_addr: "volume:a".into(),
                mount_dir: "/mnt/a".into(),
                enable_tls: false,
            };
            config.nas = Some(NasConfig { mounts: vec![mount], ..NasConfig::default() });
        });
        let environment = [("A".to_owned(), "1\u{0}2".to_owned()), ("B".to_owned(), String::new())];
        let (head, body) = configuration(&draft.spec, &environment, 10);
        assert_eq!(head, b"\0network\0no\0result_bytes_max\x0010\0mounts\0w:/mnt/a");
        assert_eq!(body, b"A\x0012\0B\0");
    }

    #[test]
    fn machine_code_that_was_changed_has_another_digest() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(write(dir.path(), "name", b"code").unwrap(), 4);
        let said = std::fs::read_to_string(dir.path().join(DIGEST_FILE)).unwrap();
        assert_eq!(said, digest("name", b"code"));
        assert_ne!(said, digest("name", b"cod3"));
        assert_ne!(said, digest("other", b"code"), "nor can it be moved");
    }

    #[test]
    fn the_program_is_kept_under_a_name_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("stint");
        std::fs::write(&program, "one").unwrap();
        let kept = keep(&program, dir.path()).unwrap();
        std::fs::remove_file(&program).unwrap();
        std::fs::write(&program, "two").unwrap();
        assert_eq!(std::fs::read(&kept).unwrap(), b"one");
        assert_eq!(keep(&program, dir.path()).unwrap(), kept);
        assert_eq!(std::fs::read(&kept).unwrap(), b"two");
    }
}
