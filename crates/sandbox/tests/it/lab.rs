//! A launcher per test, as root or with an unprivileged spawner, and short ways to run things in it.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use stint_sandbox::{
    Bind, Channel, Exit, ExitHow, HostUser, Inside, IsolationPolicy, LaunchSpec, Launched,
    Launcher, LauncherConfig, Limits, Network, Outfit, RootFs, SandboxError, SpawnerCommand,
    UserNamespace,
};
use tempfile::TempDir;
use tokio::io::AsyncReadExt;

/// Nobody's id, on every Linux.
pub(crate) const NOBODY: u32 = 65_534;
/// No test waits longer for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// With everything the machine gives this user.
    Own,
    /// A spawner without any privilege.
    Nobody,
    /// Root that does without user namespaces.
    HostIds,
}

pub(crate) struct Lab {
    pub launcher: Launcher,
    pub dir: TempDir,
    pump: tokio::task::JoinHandle<SandboxError>,
}

/// What came out of a run.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub exit: Exit,
    pub out: String,
    pub err: String,
}

/// The modes this user can test in. Root tests them all.
pub(crate) fn modes() -> Vec<Mode> {
    if is_root() { vec![Mode::Own, Mode::Nobody, Mode::HostIds] } else { vec![Mode::Own] }
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

impl Lab {
    pub(crate) async fn open(mode: Mode) -> Self {
        Self::with(mode, |_| {}).await
    }

    pub(crate) async fn with(mode: Mode, adjust: impl FnOnce(&mut LauncherConfig)) -> Self {
        let dir = tempfile::Builder::new().prefix("stint-sandbox-").tempdir().unwrap();
        open_to_all(dir.path());
        let mut config = config(mode, dir.path());
        adjust(&mut config);
        let (launcher, pump) = Launcher::start(config).await.unwrap();
        #[expect(clippy::disallowed_methods, reason = "a test has no supervisor")]
        let pump = tokio::spawn(pump.run());
        Self { launcher, dir, pump }
    }

    /// Runs a shell script to its end.
    pub(crate) async fn sh(&self, script: &str) -> Outcome {
        self.run(spec(&["/bin/sh", "-c", script])).await
    }

    pub(crate) async fn python(&self, script: &str) -> Outcome {
        self.run(spec(&["/usr/bin/python3", "-I", "-S", "-c", script])).await
    }

    pub(crate) async fn run(&self, spec: LaunchSpec) -> Outcome {
        let launched = self.launcher.launch(spec).await.unwrap();
        finish(launched).await
    }

    /// Ends the launcher as a vanished server does, and waits for the spawner to be gone.
    pub(crate) async fn vanish(self) -> TempDir {
        drop(self.launcher);
        self.pump.abort();
        drop(self.pump.await);
        self.dir
    }
}

pub(crate) fn config(mode: Mode, dir: &Path) -> LauncherConfig {
    let built = PathBuf::from(env!("CARGO_BIN_EXE_stint-sandbox-spawner"));
    let base_dir = dir.join("base");
    let unique = dir.file_name().unwrap().to_str().unwrap().replace('.', "_");
    let mut config = LauncherConfig {
        spawner: SpawnerCommand { program: built.clone(), args: vec![] },
        cgroup_name: unique,
        base_dir: base_dir.clone(),
        host_network_allowed: true,
        policy: IsolationPolicy::personal(),
        parked: 0,
        user_namespace: UserNamespace::WhenAvailable,
    };
    match mode {
        Mode::Own => {}
        Mode::HostIds => config.user_namespace = UserNamespace::Never,
        Mode::Nobody => {
            // The build directory may be closed to others.
            let copy = dir.join("spawner");
            std::fs::copy(built, &copy).unwrap();
            std::fs::create_dir(&base_dir).unwrap();
            std::os::unix::fs::chown(&base_dir, Some(NOBODY), Some(NOBODY)).unwrap();
            let id = NOBODY.to_string();
            let args = ["--reuid", &id, "--regid", &id, "--clear-groups", "--inh-caps=-all"];
            config.spawner.program = "/usr/bin/setpriv".into();
            config.spawner.args = args.map(str::to_owned).to_vec();
            config.spawner.args.push(copy.to_str().unwrap().to_owned());
        }
    }
    config
}

pub(crate) fn open_to_all(path: &Path) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

pub(crate) fn spec(argv: &[&str]) -> LaunchSpec {
    LaunchSpec {
        root: RootFs::Host,
        argv: argv.iter().map(|&arg| arg.to_owned()).collect(),
        env: vec![("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned())],
        cwd: "/tmp".into(),
        binds: Vec::<Bind>::new(),
        limits: Limits { memory_mb: 128, cpu_milli: 1000, pids_max: 32, nofile: 1024, tmp_mb: 16 },
        user: HostUser { uid: 123_456, gid: 123_456 },
        inside: Inside::default(),
        network: Network::Loopback,
        channel: Channel::None,
        outfit: Outfit::Whole,
    }
}

pub(crate) async fn finish(launched: Launched) -> Outcome {
    let Launched { mut stdout, mut stderr, exit, .. } = launched;
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let all = async {
        let (a, b, exit) =
            tokio::join!(stdout.read_to_end(&mut out), stderr.read_to_end(&mut err), exit);
        a.unwrap();
        b.unwrap();
        exit.unwrap()
    };
    let exit = tokio::time::timeout(PATIENCE, all).await.expect("the instance ends");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Outcome { exit, out: text(out), err: text(err) }
}

impl Outcome {
    pub(crate) fn code(&self) -> i32 {
        match self.exit.how {
            ExitHow::Code(code) => code,
            ExitHow::Signal(signal) => panic!("ended by signal {signal}: {self:?}"),
        }
    }
}

/// Waits until something holds.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let patience = tokio::time::timeout(PATIENCE, async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(patience.await.is_ok(), "waited in vain until {what}");
}
