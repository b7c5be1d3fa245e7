//! What to launch, what is really enforced for it, and how it ended: plain values.

use std::collections::BTreeSet;
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
/// The user and group inside when nothing else is asked for.
pub(crate) const INSIDE_ID: u32 = 1000;
/// The most further ids of one kind that one instance knows; the kernel takes 340 lines.
pub(crate) const KNOWN_IDS_MAX: usize = 128;
/// Where a waiting instance may be given something.
pub(crate) const EQUIPPED: [&str; 2] = ["/code", "/opt"];
/// Ids above do not fit what programs keep them in.
const INSIDE_ID_MAX: u32 = i32::MAX.unsigned_abs();

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
    /// Who that is inside. Without a user namespace there is no difference: ignored and reported.
    pub inside: Inside,
    pub network: Network,
    pub channel: Channel,
    pub outfit: Outfit,
}

/// Whether all of an instance is there when its program starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outfit {
    Whole,
    /// The program is the operator's own and waits; [`crate::Launcher::equip`] brings what belongs to
    /// one function, once, before any of it runs. Until then only the program is behind the walls:
    /// the sandbox's init, which mounts, follows it there.
    Later,
}

/// What a waiting instance is given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Equipment {
    pub limits: Limits,
    /// Read-only ones, onto places that are there: `/code`, `/opt`.
    pub binds: Vec<Bind>,
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

    /// Users write there, so no symbolic link on the way to the source is followed.
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

/// The ids of the instance's user as it sees them, and those of its account's other users, by which
/// it tells the owners of shared files apart. Ids it does not know it sees as 65534.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inside {
    pub uid: u32,
    pub gid: u32,
    /// Further user ids, inside and on the host. Only a privileged spawner may map them.
    pub users: Vec<(u32, u32)>,
    /// Further group ids.
    pub groups: Vec<(u32, u32)>,
}

impl Inside {
    /// Only itself.
    pub fn alone(uid: u32, gid: u32) -> Self {
        Self { uid, gid, users: Vec::new(), groups: Vec::new() }
    }

    /// The lines of a `uid_map` and a `gid_map`.
    pub(crate) fn maps(&self, host: HostUser, whom: Whom) -> (String, String) {
        let lines = |own: (u32, u32), others: &[(u32, u32)]| {
            let others = if whom == Whom::Everybody { others } else { &[] };
            let lines = [own].into_iter().chain(others.iter().copied());
            lines.map(|(inside, host)| format!("{inside} {host} 1\n")).collect()
        };
        (lines((self.uid, host.uid), &self.users), lines((self.gid, host.gid), &self.groups))
    }
}

/// `stint`, as the instance's `/etc/passwd` calls it.
impl Default for Inside {
    fn default() -> Self {
        Self::alone(INSIDE_ID, INSIDE_ID)
    }
}

/// Whose ids are mapped into an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whom {
    Itself,
    Everybody,
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
    #[error("{0} cannot be given to an instance that runs")]
    TooLate(PathBuf),
    #[error("the host identity must not be root")]
    RootUser,
    #[error(
        "ids inside go from 0 to {INSIDE_ID_MAX}, each once, at most {KNOWN_IDS_MAX} further ones"
    )]
    InsideIds,
    #[error(
        "the ports of the doors must differ from each other and the listener's and be above 1023, not {0} and {1}"
    )]
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
        plain_env(&self.env)?;
        plain("cwd", &self.cwd)?;
        validate_binds(&self.binds)?;
        self.limits.validate()?;
        self.validate_ports()?;
        if self.user.uid == 0 || self.user.gid == 0 {
            return Err(SpecError::RootUser);
        }
        self.validate_ids()
    }

    fn validate_ports(&self) -> Result<(), SpecError> {
        let own = match (self.channel, self.network) {
            (Channel::Listener(_), Network::Host) => return Err(SpecError::SharedListener),
            (Channel::Listener(port), Network::Loopback | Network::Doors(_)) => Some(port),
            (Channel::None | Channel::Stream, _) => None,
        };
        let Network::Doors(DoorPorts { egress, api }) = self.network else { return Ok(()) };
        let is_taken = egress == api || [egress, api].map(Some).contains(&own);
        // Below that the user of the instance may not listen.
        if is_taken || egress.min(api) < 1_024 {
            return Err(SpecError::DoorPorts(egress, api));
        }
        Ok(())
    }

    fn validate_ids(&self) -> Result<(), SpecError> {
        let good = |own: (u32, u32), others: &[(u32, u32)]| {
            let all = || [own].into_iter().chain(others.iter().copied());
            let inside: BTreeSet<u32> = all().map(|(inside, _)| inside).collect();
            let host: BTreeSet<u32> = all().map(|(_, host)| host).collect();
            let each_once = inside.len() == host.len() && host.len() == others.len() + 1;
            others.len() <= KNOWN_IDS_MAX
                && each_once
                && inside.iter().all(|id| *id <= INSIDE_ID_MAX)
                && !host.contains(&0)
        };
        let Inside { uid, gid, users, groups } = &self.inside;
        let fine = good((*uid, self.user.uid), users) && good((*gid, self.user.gid), groups);
        if fine { Ok(()) } else { Err(SpecError::InsideIds) }
    }
}

impl Equipment {
    /// Checks what does not depend on the machine.
    pub fn validate(&self) -> Result<(), SpecError> {
        validate_binds(&self.binds)?;
        for bind in &self.binds {
            let place = EQUIPPED.iter().any(|place| bind.target == Path::new(place));
            if !place || bind.access != Access::ReadOnly {
                return Err(SpecError::TooLate(bind.target.clone()));
            }
        }
        self.limits.validate()
    }
}

impl Limits {
    fn validate(&self) -> Result<(), SpecError> {
        let Self { memory_mb, cpu_milli, pids_max, nofile, tmp_mb } = *self;
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
        Ok(())
    }
}

fn validate_binds(binds: &[Bind]) -> Result<(), SpecError> {
    if binds.len() > BINDS_MAX {
        return Err(SpecError::TooManyBinds(binds.len()));
    }
    for bind in binds {
        plain("a bind source", &bind.source)?;
        plain("a bind target", &bind.target)?;
        if reserved(&bind.target) {
            return Err(SpecError::Reserved(bind.target.clone()));
        }
    }
    Ok(())
}

/// Names that are some, and no NUL.
pub(crate) fn plain_env(env: &[(String, String)]) -> Result<(), SpecError> {
    for (name, value) in env {
        if name.is_empty() || name.contains('=') {
            return Err(SpecError::EnvName(name.clone()));
        }
        if name.contains('\0') || value.contains('\0') {
            return Err(SpecError::Nul { field: "the environment" });
        }
    }
    Ok(())
}

/// Absolute, without `..`, without NUL.
pub(crate) fn plain(field: &'static str, path: &Path) -> Result<(), SpecError> {
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
            inside: Inside::default(),
            network: Network::Loopback,
            channel: Channel::None,
            outfit: Outfit::Whole,
        }
    }

    #[test]
    fn only_code_and_layers_come_later() {
        let limits = good().limits;
        let equip = |bind: Bind| Equipment { limits, binds: vec![bind] }.validate();
        assert_eq!(equip(Bind::read_only("/srv/code", "/code")), Ok(()));
        for bind in [Bind::read_write("/srv/v", "/code"), Bind::read_only("/srv/v", "/mnt/v")] {
            assert!(matches!(equip(bind), Err(SpecError::TooLate(_))));
        }
    }

    #[test]
    fn a_good_spec_passes() {
        assert_eq!(good().validate(), Ok(()));
    }

    #[test]
    fn without_privilege_only_oneself_is_mapped() {
        let inside = Inside { users: vec![(0, 100_000), (7, 100_002)], ..Inside::alone(1234, 55) };
        let host = HostUser { uid: 100_001, gid: 100_009 };
        let (users, groups) = inside.maps(host, Whom::Everybody);
        assert_eq!(users, "1234 100001 1\n0 100000 1\n7 100002 1\n");
        assert_eq!(groups, "55 100009 1\n");
        assert_eq!(inside.maps(host, Whom::Itself).0, "1234 100001 1\n");
    }

    #[test]
    fn what_cannot_be_launched_says_why() {
        type Break = fn(&mut LaunchSpec);
        let cases: [(Break, &str); 17] = [
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
            (|s| s.inside.uid = u32::MAX, "ids inside"),
            (|s| s.inside.users = vec![(1000, 100_001)], "ids inside"),
            (|s| s.inside.groups = vec![(7, 100_000)], "ids inside"),
            (|s| s.network = Network::Doors(DoorPorts { egress: 80, api: 3129 }), "above 1023"),
            (|s| s.network = Network::Doors(DoorPorts { egress: 3129, api: 3129 }), "differ"),
            (
                |s| (s.network, s.channel) = (Network::Host, Channel::Listener(9001)),
                "loopback of its own",
            ),
            (
                |s| {
                    let doors = DoorPorts { egress: 9001, api: 9002 };
                    (s.network, s.channel) = (Network::Doors(doors), Channel::Listener(9001));
                },
                "differ",
            ),
        ];
        for (spoil, expected) in cases {
            let mut spec = good();
            spoil(&mut spec);
            let said = spec.validate().unwrap_err().to_string();
            assert!(said.contains(expected), "{said} should contain {expected}");
        }
        let image = |layers: Vec<PathBuf>| {
            let (root, inside) = (RootFs::Image(ImageRoot { layers }), Inside::alone(0, 0));
            LaunchSpec { root, inside, argv: vec!["serve".to_owned()], ..good() }.validate()
        };
        assert_eq!(image(vec!["/a".into()]), Ok(()));
        assert_eq!(image(vec![]), Err(SpecError::Layers(0)));
        assert!(matches!(image(vec!["/a/../b".into()]), Err(SpecError::Path { .. })));
        let mut spec = good();
        spec.binds = vec![Bind::read_only("/srv", "/mnt"); BINDS_MAX + 1];
        assert!(matches!(spec.validate(), Err(SpecError::TooManyBinds(_))));
    }
}
