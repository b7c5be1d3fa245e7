//! What to launch, what is really enforced for it, and how it ended: plain values.

use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The longest encoded spec that a launch may send to the spawner.
pub(crate) const SPEC_BYTES_MAX: usize = 120 * 1024;
/// The most bind mounts of one instance.
pub(crate) const BINDS_MAX: usize = 64;
/// The most layers of one image.
pub(crate) const LAYERS_MAX: usize = 127;
/// The only user and group inside a sandbox over the host's `/usr`.
pub(crate) const INSIDE_ID: u32 = 1000;

/// Everything one instance needs. Nothing is inherited from the server: no environment, no
/// descriptor, no directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaunchSpec {
    /// What the program sees as `/`.
    pub root: RootFs,
    /// The program (an absolute path inside the sandbox) and its arguments. In an image the program
    /// may also be relative to `cwd`, or a bare name that is looked for in the `PATH` of `env`.
    pub argv: Vec<String>,
    /// The whole environment.
    pub env: Vec<(String, String)>,
    /// Working directory inside the sandbox, for example `/code`.
    pub cwd: PathBuf,
    /// Host directories or files shown inside, in this order. Code goes to `/code`, layers to
    /// `/opt`, both read-only; shared volumes are read-write.
    pub binds: Vec<Bind>,
    pub limits: Limits,
    /// The host identity the instance's user is mapped to. Ignored (and reported so) when the
    /// spawner is not root.
    pub user: HostUser,
    pub network: Network,
    pub channel: Channel,
}

/// What the program sees as `/`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RootFs {
    /// A small read-only root over the host's `/usr`.
    Host,
    /// The layers of an image, read-only, under a writable layer of the instance's own.
    Image(ImageRoot),
}

/// An unpacked image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageRoot {
    /// Host directories, the topmost layer first. What overlays mean by a whiteout (a 0/0 device) and
    /// by an opaque directory (`user.overlay.opaque`) is honoured.
    pub layers: Vec<PathBuf>,
    pub user: InsideUser,
}

/// Who the instance's only user is in its own eyes. On the host it is [`LaunchSpec::user`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct InsideUser {
    pub uid: u32,
    pub gid: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bind {
    pub source: PathBuf,
    pub target: PathBuf,
    pub access: Access,
}

impl Bind {
    pub fn read_only(source: impl Into<PathBuf>, target: impl Into<PathBuf>) -> Self {
        Self { source: source.into(), target: target.into(), access: Access::ReadOnly }
    }

    pub fn read_write(source: impl Into<PathBuf>, target: impl Into<PathBuf>) -> Self {
        Self { source: source.into(), target: target.into(), access: Access::ReadWrite }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Access {
    ReadOnly,
    ReadWrite,
}

/// Bounds of one instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    pub memory_mb: u32,
    /// Thousandths of one CPU.
    pub cpu_milli: u32,
    pub pids_max: u32,
    /// Open files per process; lowered to what the host allows.
    pub nofile: u32,
    /// Size of `/tmp`, or of an image's writable layer; it counts towards the memory.
    pub tmp_mb: u32,
}

/// The host ids behind the instance's only user: one pair per account, so that the functions of an
/// account share files and those of two accounts cannot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostUser {
    pub uid: u32,
    pub gid: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Network {
    /// A network namespace of its own with nothing but `lo`.
    Loopback,
    /// The same, with two doors: ports of its loopback whose listeners are handed out before the
    /// program runs. Whoever launches answers them, and decides what lies behind.
    Doors(DoorPorts),
    /// The host's network as it is, host loopback included. Refused unless the operator allows it.
    Host,
}

impl Network {
    /// Whether the instance has a network namespace of its own.
    pub fn is_own(self) -> bool {
        match self {
            Self::Loopback | Self::Doors(_) => true,
            Self::Host => false,
        }
    }
}

/// Where an instance finds its doors on its own 127.0.0.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoorPorts {
    /// To the world outside, as far as it may go there.
    pub egress: u16,
    /// To the platform's own API.
    pub api: u16,
}

/// How the program and the big process talk, besides the pipes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Channel {
    None,
    /// Descriptor 3 of the program is a stream socket whose other end is [`crate::Launched::channel`].
    Stream,
    /// Before the program runs, this port of its own loopback is open, and [`crate::Launched::listener`]
    /// takes the connections. Not on the host's network, where others could connect, too.
    Listener(u16),
}

/// Signals that make sense to send to an instance; the sandbox's init forwards them to the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Signal {
    Terminate,
    Interrupt,
    Hangup,
    User1,
    User2,
}

/// What holds a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LimitedBy {
    /// A control group: the whole instance, by the kernel.
    Cgroup,
    /// Limits per process and a watchdog over the sum: weaker, a burst may pass before it is seen.
    Watchdog,
    /// A limit per process or per user namespace.
    Rlimit,
    Nothing,
}

/// Who the instance is on the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum UserWall {
    /// A user namespace mapped to the host ids of the spec.
    MappedTo(HostUser),
    /// A user namespace mapped to the unprivileged user that runs Stint.
    MappedToCaller(HostUser),
    /// The host ids of the spec without a user namespace.
    HostIds(HostUser),
}

/// What really holds one instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enforced {
    pub user: UserWall,
    pub network: Network,
    pub memory: LimitedBy,
    pub processes: LimitedBy,
    pub cpu: LimitedBy,
    /// Zero: no landlock.
    pub landlock_abi: u32,
    /// Instructions of the installed system call filter.
    pub filter_length: u32,
    /// The process was started, placed in its cgroup and in its namespaces before the request.
    pub parked: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExitHow {
    Code(i32),
    Signal(i32),
}

/// The end of an instance: of its program, and with it of every process in its sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    pub how: ExitHow,
    /// The kernel or the watchdog killed a process of the instance for memory.
    pub out_of_memory: bool,
    pub usage: Usage,
}

/// What an instance has used. `None`: nothing on this machine can tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    pub memory_bytes: Option<u64>,
    pub memory_peak_bytes: Option<u64>,
    pub cpu: Option<Duration>,
    /// Processes of the instance killed for memory so far; a program may survive its children.
    pub oom_kills: u32,
}

/// A spec that cannot be launched anywhere.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SpecError {
    #[error("the program must be an absolute path inside the sandbox, not {0:?}")]
    Program(String),
    #[error("{field} must be an absolute path without `..`, not {path:?}")]
    Path { field: &'static str, path: PathBuf },
    #[error("{field} holds a NUL byte")]
    Nul { field: &'static str },
    #[error("environment name {0:?} is empty or holds `=`")]
    EnvName(String),
    #[error("{0} must be at least {1}")]
    TooSmall(&'static str, u32),
    #[error("{0} bind mounts, at most {BINDS_MAX}")]
    TooManyBinds(usize),
    #[error("an image has 1 to {LAYERS_MAX} layers, not {0}")]
    Layers(usize),
    #[error("{0} may not be mounted over")]
    Reserved(PathBuf),
    #[error("arguments, environment and binds take {0} bytes, at most {SPEC_BYTES_MAX}")]
    TooLarge(usize),
    #[error("the host identity must not be root")]
    RootUser,
    #[error("the ports of the doors must differ and be above 1023, not {0} and {1}")]
    DoorPorts(u16, u16),
    #[error("a listener needs a loopback of its own")]
    SharedListener,
}

impl LaunchSpec {
    /// Checks what does not depend on the machine.
    pub fn validate(&self) -> Result<(), SpecError> {
        let program = self.argv.first().map(String::as_str).unwrap_or_default();
        let is_found = match &self.root {
            RootFs::Host => program.starts_with('/'),
            RootFs::Image(_) => !program.is_empty(),
        };
        if !is_found {
            return Err(SpecError::Program(program.to_owned()));
        }
        if let RootFs::Image(image) = &self.root {
            if !(1..=LAYERS_MAX).contains(&image.layers.len()) {
                return Err(SpecError::Layers(image.layers.len()));
            }
            image.layers.iter().try_for_each(|layer| plain("a layer", layer))?;
        }
        if self.argv.iter().any(|arg| arg.contains('\0')) {
            return Err(SpecError::Nul { field: "an argument" });
        }
        for (name, value) in &self.env {
            if name.is_empty() || name.contains('=') {
                return Err(SpecError::EnvName(name.clone()));
            }
            if name.contains('\0') || value.contains('\0') {
                return Err(SpecError::Nul { field: "the environment" });
            }
        }
        plain("cwd", &self.cwd)?;
        if self.binds.len() > BINDS_MAX {
            return Err(SpecError::TooManyBinds(self.binds.len()));
        }
        for bind in &self.binds {
            plain("a bind source", &bind.source)?;
            plain("a bind target", &bind.target)?;
            if reserved(&bind.target) {
                return Err(SpecError::Reserved(bind.target.clone()));
            }
        }
        self.validate_limits()
    }

    /// The ids the instance's user has in its own eyes.
    pub(crate) fn inside(&self) -> InsideUser {
        match &self.root {
            RootFs::Host => InsideUser { uid: INSIDE_ID, gid: INSIDE_ID },
            RootFs::Image(image) => image.user,
        }
    }

    fn validate_limits(&self) -> Result<(), SpecError> {
        let Limits { memory_mb, cpu_milli, pids_max, nofile, tmp_mb } = self.limits;
        for (name, value, least) in [
            ("memory_mb", memory_mb, 16),
            ("cpu_milli", cpu_milli, 10),
            ("pids_max", pids_max, 1),
            ("nofile", nofile, 16),
            ("tmp_mb", tmp_mb, 1),
        ] {
            if value < least {
                return Err(SpecError::TooSmall(name, least));
            }
        }
        if self.user.uid == 0 || self.user.gid == 0 {
            return Err(SpecError::RootUser);
        }
        if matches!((self.channel, self.network), (Channel::Listener(_), Network::Host)) {
            return Err(SpecError::SharedListener);
        }
        self.validate_doors()
    }

    fn validate_doors(&self) -> Result<(), SpecError> {
        let Network::Doors(DoorPorts { egress, api }) = self.network else { return Ok(()) };
        // Below that the user of the instance may not listen.
        if egress == api || egress.min(api) < 1_024 {
            return Err(SpecError::DoorPorts(egress, api));
        }
        Ok(())
    }
}

/// Absolute, without `..`, without NUL.
fn plain(field: &'static str, path: &Path) -> Result<(), SpecError> {
    let dots = path.components().any(|part| part == Component::ParentDir);
    let nul = path.as_os_str().as_encoded_bytes().contains(&0);
    if path.is_absolute() && !dots && !nul {
        return Ok(());
    }
    Err(SpecError::Path { field, path: path.to_owned() })
}

/// Places whose content is part of the wall.
fn reserved(target: &Path) -> bool {
    let root = target.components().all(|part| part == Component::RootDir);
    root || ["/proc", "/sys", "/dev", "/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc"]
        .iter()
        .any(|wall| target.starts_with(wall))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> LaunchSpec {
        LaunchSpec {
            root: RootFs::Host,
            argv: vec!["/bin/true".to_owned()],
            env: vec![("A".to_owned(), "b=c".to_owned())],
            cwd: "/".into(),
            binds: vec![Bind::read_only("/srv/code", "/code")],
            limits: Limits { memory_mb: 128, cpu_milli: 100, pids_max: 8, nofile: 64, tmp_mb: 16 },
            user: HostUser { uid: 100_000, gid: 100_000 },
            network: Network::Loopback,
            channel: Channel::None,
        }
    }

    #[test]
    fn a_good_spec_passes() {
        assert_eq!(good().validate(), Ok(()));
    }

    #[test]
    fn what_cannot_be_launched_says_why() {
        type Break = fn(&mut LaunchSpec);
        let cases: [(Break, &str); 13] = [
            (|s| s.argv.clear(), "absolute path"),
            (|s| s.argv[0] = "true".to_owned(), "absolute path"),
            (|s| s.argv.push("a\0b".to_owned()), "NUL"),
            (|s| s.env[0].0 = "A=B".to_owned(), "holds `=`"),
            (|s| s.cwd = "code".into(), "cwd"),
            (|s| s.binds[0].source = "/srv/../etc".into(), "without `..`"),
            (|s| s.binds[0].target = "/".into(), "mounted over"),
            (|s| s.binds[0].target = "/usr/lib".into(), "mounted over"),
            (|s| s.limits.memory_mb = 0, "memory_mb"),
            (|s| s.user.uid = 0, "root"),
            (|s| s.network = Network::Doors(DoorPorts { egress: 80, api: 3129 }), "above 1023"),
            (|s| s.network = Network::Doors(DoorPorts { egress: 3129, api: 3129 }), "differ"),
            (
                |s| (s.network, s.channel) = (Network::Host, Channel::Listener(9001)),
                "loopback of its own",
            ),
        ];
        for (spoil, expected) in cases {
            let mut spec = good();
            spoil(&mut spec);
            let said = spec.validate().unwrap_err().to_string();
            assert!(said.contains(expected), "{said} should contain {expected}");
        }
        let image = |layers: Vec<PathBuf>| {
            let user = InsideUser { uid: 0, gid: 0 };
            let root = RootFs::Image(ImageRoot { layers, user });
            LaunchSpec { root, argv: vec!["serve".to_owned()], ..good() }.validate()
        };
        assert_eq!(image(vec!["/a".into()]), Ok(()));
        assert_eq!(image(vec![]), Err(SpecError::Layers(0)));
        assert!(matches!(image(vec!["/a/../b".into()]), Err(SpecError::Path { .. })));
        let mut spec = good();
        spec.binds = vec![Bind::read_only("/srv", "/mnt"); BINDS_MAX + 1];
        assert!(matches!(spec.validate(), Err(SpecError::TooManyBinds(_))));
    }
}
