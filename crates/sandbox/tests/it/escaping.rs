//! The escape suite: everything is shut inside, and the same attempts are open outside.

use std::collections::BTreeMap;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::process::{Child, Command};

use stint_sandbox::{Bind, DoorPorts, Network};

use crate::lab::{Lab, Mode, finish, is_root, modes, open_to_all, spec};

pub(crate) const SCRIPT: &str = include_str!("escape.py");

/// What root can do on any machine the suite may run on, containers included. The other attempts
/// depend on how the kernel was built; outside, their verdict is printed.
const CONTROLS: &[&str] = &[
    "shadow",
    "canary",
    "traversal",
    "canary-by-fd",
    "init-fds",
    "write-usr",
    "write-root",
    "write-etc",
    "see-host-pid",
    "unshare-user",
    "unshare-net",
    "unshare-mount",
    "clone-user",
    "clone3",
    "setns",
    "chroot",
    "mount",
    "remount",
    "signal-host-pid",
    "host-env",
    "personality",
    "ptrace",
    "vm-read",
    "setuid",
    "setgroups",
    "effective-caps",
    "bounding-caps",
    "new-privileges",
    "unfiltered",
    "terminal",
    "host-loopback",
    "host-abstract",
    "netlink",
    "packet",
    "raw-icmp",
    "cgroup-files",
];
/// On a shared network these are what sharing means.
const SHARED_NETWORK: &[&str] = &["host-loopback", "metadata"];

/// Things of the host that an instance must not reach.
pub(crate) struct Canaries {
    sleeper: Child,
    file: tempfile::NamedTempFile,
    tcp: std::net::TcpListener,
    _abstract: UnixListener,
    abstract_name: String,
}

impl Canaries {
    pub(crate) fn new() -> Self {
        let abstract_name = format!("stint-canary-{}-{}", std::process::id(), line!());
        let unique = tempfile::NamedTempFile::new().unwrap();
        let abstract_name =
            format!("{abstract_name}-{}", unique.path().file_name().unwrap().to_str().unwrap());
        let address = SocketAddr::from_abstract_name(&abstract_name).unwrap();
        open_to_all(unique.path());
        Self {
            sleeper: Command::new("/usr/bin/sleep").arg("1000").spawn().unwrap(),
            file: unique,
            tcp: std::net::TcpListener::bind("127.0.0.1:0").unwrap(),
            _abstract: UnixListener::bind_addr(&address).unwrap(),
            abstract_name,
        }
    }

    pub(crate) fn arguments(&self) -> [String; 4] {
        [
            self.file.path().to_str().unwrap().to_owned(),
            self.sleeper.id().to_string(),
            self.tcp.local_addr().unwrap().port().to_string(),
            self.abstract_name.clone(),
        ]
    }
}

impl Drop for Canaries {
    fn drop(&mut self) {
        self.sleeper.kill().unwrap();
        self.sleeper.wait().unwrap();
    }
}

pub(crate) fn verdicts(text: &str) -> BTreeMap<String, bool> {
    let line = |line: &str| {
        let (name, verdict) = line.split_once(' ').unwrap();
        (name.to_owned(), verdict == "open")
    };
    let verdicts: BTreeMap<_, _> = text.lines().map(line).collect();
    assert!(verdicts.len() > 50, "the script ran to its end: {text}");
    verdicts
}

async fn inside(lab: &Lab, canaries: &Canaries, network: Network) -> BTreeMap<String, bool> {
    let code = lab.dir.path().join("code");
    std::fs::create_dir_all(&code).unwrap();
    open_to_all(&code);
    std::fs::write(code.join("escape.py"), SCRIPT).unwrap();
    let mut spec = spec(&["/usr/bin/python3", "-I", "-S", "/code/escape.py"]);
    spec.argv.extend(canaries.arguments());
    spec.binds = vec![Bind::read_only(&code, "/code")];
    spec.network = network;
    let outcome = finish(lab.launcher.launch(spec).await.unwrap()).await;
    assert_eq!(outcome.code(), 0, "{outcome:?}");
    verdicts(&outcome.out)
}

#[cfg(target_arch = "x86_64")]
#[tokio::test(flavor = "multi_thread")]
async fn every_way_out_is_shut_and_was_open() {
    let canaries = Canaries::new();
    if is_root() {
        let output = Command::new("/usr/bin/python3")
            .args(["-I", "-S", "-c", SCRIPT])
            .args(canaries.arguments())
            .env("STINT_CANARY", "the server's own")
            .output()
            .unwrap();
        let control = verdicts(&String::from_utf8(output.stdout).unwrap());
        let shut: Vec<_> = control.iter().filter(|(_, open)| !**open).map(|(n, _)| n).collect();
        println!("shut on this machine even outside: {shut:?}");
        let proves_nothing: Vec<_> = CONTROLS.iter().filter(|name| !control[**name]).collect();
        assert!(proves_nothing.is_empty(), "shut outside, too: {proves_nothing:?}");
    }
    for mode in modes() {
        let lab = Lab::open(mode).await;
        // Doors that nobody answers are no way out either.
        let doors = Network::Doors(DoorPorts { egress: 3128, api: 3129 });
        for network in [Network::Loopback, doors] {
            let verdicts = inside(&lab, &canaries, network).await;
            let ways_out: Vec<_> = verdicts.iter().filter(|(_, open)| **open).collect();
            assert!(ways_out.is_empty(), "{mode:?} {network:?}: {ways_out:?}");
        }
    }
}

/// Sharing the host's network opens its loopback and nothing else; with landlock, abstract sockets
/// stay shut even then.
#[cfg(target_arch = "x86_64")]
#[tokio::test(flavor = "multi_thread")]
async fn a_shared_network_opens_the_network_only() {
    let canaries = Canaries::new();
    let lab = Lab::open(Mode::Own).await;
    let scoped = lab.launcher.capabilities().landlock_abi >= 6;
    let verdicts = inside(&lab, &canaries, Network::Host).await;
    let ways_out: Vec<_> = verdicts
        .iter()
        .filter(|(name, open)| **open && !SHARED_NETWORK.contains(&name.as_str()))
        .filter(|(name, _)| scoped || *name != "host-abstract")
        .collect();
    assert!(ways_out.is_empty(), "{ways_out:?}");
    assert!(verdicts["host-loopback"], "sharing is real, and reported as such");
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_do_not_meet() {
    for mode in modes() {
        let lab = Lab::open(mode).await;
        let left = lab.sh("echo secret > /tmp/left; ls /tmp").await;
        assert_eq!(left.out, "left\n");
        let right = lab.sh("ls /tmp /dev/shm; ls -d /proc/[0-9]* | wc -l").await;
        assert_eq!(right.out.lines().next(), Some("/dev/shm:"), "{right:?}");
        assert!(!right.out.contains("left"));
    }
}
