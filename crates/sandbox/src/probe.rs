//! Finds out what the machine can enforce by doing it once, when the spawner starts.

use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::cgroup::Controller;
use crate::inside::FILTER_STAGE;
use crate::message::{Failure, Word, decode, pair, receive};
use crate::policy::{Capabilities, Finding};
use crate::seat::{Ground, Seat};
use crate::spec::{
    Channel, HostUser, ImageRoot, Inside, LaunchSpec, Limits, Network, Outfit, RootFs,
};
use crate::sys;

/// How long the trial sandbox may take; it is milliseconds on an idle machine.
const TRIAL_WITHIN: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };

const NAMESPACE_ADVICE: &str = "run on Linux 5.12 or newer, from a disk (not an initramfs), outside containers that mask /proc";
const SECCOMP_ADVICE: &str = "boot a kernel with CONFIG_SECCOMP_FILTER";
const USER_ADVICE: &str = "sysctl user.max_user_namespaces=15000; on Ubuntu also \
    kernel.apparmor_restrict_unprivileged_userns=0; on older Debian kernel.unprivileged_userns_clone=1; \
    or run as root";
const LANDLOCK_ADVICE: &str = "boot a kernel with CONFIG_SECURITY_LANDLOCK and `landlock` in lsm=";
const IMAGE_ADVICE: &str =
    "load the overlay module (modprobe overlay); without root a kernel from 5.11 on";
/// Nothing an image could hold: a trial that came as far as looking for it has a root.
const NO_PROGRAM: &str = "/nothing/to/run";
const CGROUP_ADVICE: &str = "run as root, or under systemd with Delegate=yes \
    (systemd-run --user --scope -p Delegate=yes stint up)";

/// Whether a process may make a user namespace.
pub(crate) fn user_namespace() -> Result<(), Errno> {
    // It only has to exist; the spawner's reaping takes it.
    sys::fork(sys::NEW_USER, None, || 0).map(drop)
}

/// Everything `stint doctor` shows and the policy compares.
pub(crate) fn probe(ground: &mut Ground, user_namespace: Result<(), Errno>) -> Capabilities {
    let mut findings = vec![identity(ground), user_finding(ground, user_namespace)];
    let (namespaces, seccomp) = wall_findings(&trial(ground, shell_spec()));
    let walls = (namespaces.works, seccomp.works);
    findings.extend([namespaces, seccomp]);
    let image = image_spec(ground);
    findings.push(image_finding(&trial(ground, image)));
    findings.push(match ground.landlock_abi {
        0 => Finding::no("landlock", "not in this kernel", LANDLOCK_ADVICE),
        abi => Finding::yes("landlock", format!("version {abi}")),
    });
    for controller in Controller::ALL {
        findings.push(cgroup_finding(ground, controller));
    }
    Capabilities {
        root: ground.root,
        user_namespace: ground.user_namespace,
        namespaces: walls.0,
        seccomp: walls.1,
        landlock_abi: ground.landlock_abi,
        cgroup: ground.cgroups.mode(),
        limits_memory: ground.cgroups.has(Controller::Memory),
        limits_processes: ground.cgroups.has(Controller::Pids),
        limits_cpu: ground.cgroups.has(Controller::Cpu),
        findings,
    }
}

/// How far the trial came says which wall is missing.
fn wall_findings(trial: &Result<u32, Failure>) -> (Finding, Finding) {
    let namespaces = Finding::yes("namespaces", "mount, pid, ipc, uts, cgroup, net");
    match trial {
        Ok(length) => (namespaces, Finding::yes("seccomp", format!("{length} instructions"))),
        Err(failure) => {
            let errno = std::io::Error::from_raw_os_error(failure.errno);
            let seen = format!("{}: {errno}", failure.stage);
            if failure.stage == FILTER_STAGE {
                return (namespaces, Finding::no("seccomp", seen, SECCOMP_ADVICE));
            }
            let unknown = Finding::no("seccomp", "the trial did not come that far", SECCOMP_ADVICE);
            (Finding::no("namespaces", seen, NAMESPACE_ADVICE), unknown)
        }
    }
}

fn identity(ground: &Ground) -> Finding {
    let uid = rustix::process::geteuid().as_raw();
    if ground.root {
        return Finding::yes("root", "each account gets host ids of its own");
    }
    let advice = "run as root to separate accounts by host user";
    Finding::no("root", format!("user {uid}; every instance is this user on the host"), advice)
}

fn user_finding(ground: &Ground, made: Result<(), Errno>) -> Finding {
    match made {
        Ok(()) if ground.user_namespace => Finding::yes("user-namespace", "used"),
        Ok(()) => Finding::yes("user-namespace", "available, switched off by the configuration"),
        Err(errno) => Finding::no("user-namespace", errno.to_string(), USER_ADVICE),
    }
}

fn cgroup_finding(ground: &Ground, controller: Controller) -> Finding {
    let name = format!("cgroup-{}", controller.name());
    match ground.cgroups.refusal(controller) {
        None => Finding::yes(&name, format!("{:?}", ground.cgroups.mode())),
        Some(why) => Finding::no(&name, why, CGROUP_ADVICE),
    }
}

/// Whether the root of an image could be made, from how far its trial came.
fn image_finding(trial: &Result<u32, Failure>) -> Finding {
    match trial {
        Err(failure) if !failure.stage.contains(NO_PROGRAM) => {
            let errno = std::io::Error::from_raw_os_error(failure.errno);
            Finding::no("images", format!("{}: {errno}", failure.stage), IMAGE_ADVICE)
        }
        Ok(_) | Err(_) => Finding::yes("images", "overlay"),
    }
}

fn shell_spec() -> LaunchSpec {
    LaunchSpec {
        root: RootFs::Host,
        argv: vec!["/bin/sh".to_owned(), "-c".to_owned(), "exit 0".to_owned()],
        env: Vec::new(),
        cwd: "/tmp".into(),
        binds: Vec::new(),
        limits: Limits { memory_mb: 64, cpu_milli: 1000, pids_max: 8, nofile: 64, tmp_mb: 1 },
        user: HostUser { uid: 65_534, gid: 65_534 },
        inside: Inside::default(),
        network: Network::Loopback,
        channel: Channel::None,
        outfit: Outfit::Whole,
    }
}

/// An image of one layer without a program in it.
fn image_spec(ground: &Ground) -> LaunchSpec {
    let root = RootFs::Image(ImageRoot { layers: vec![ground.base_dir.join("etc")] });
    let inside = Inside::alone(0, 0);
    LaunchSpec { root, inside, argv: vec![NO_PROGRAM.to_owned()], ..shell_spec() }
}

/// Runs a program in a real sandbox, with every limit set; the length of its filter when it went well.
fn trial(ground: &mut Ground, spec: LaunchSpec) -> Result<u32, Failure> {
    let at = |stage: &'static str| move |errno: Errno| Failure::new(stage, errno);
    let seat = Seat::open(ground, Network::Loopback)?;
    let (output, _control) = pair().map_err(at("making a socket"))?;
    let copy = || output.try_clone().map_err(|error| Failure::io("copying a socket", &error));
    let fds = [copy()?, copy()?, copy()?];
    let heard = seat.order(ground, spec, &fds).and_then(|_| hear(&seat));
    // Ended already is as good.
    seat.kill().ok();
    wait_for(&seat);
    drop(seat.leaf.remove());
    heard
}

fn hear(seat: &Seat) -> Result<u32, Failure> {
    let silent = || Failure::new("the trial sandbox said nothing", Errno::TIMEDOUT);
    let mut buffer = [0; 4096];
    let mut filter = None;
    loop {
        let mut socket = [PollFd::new(&seat.socket, PollFlags::IN)];
        if poll(&mut socket, Some(&TRIAL_WITHIN)).is_ok_and(|ready| ready == 0) {
            return Err(silent());
        }
        let packet = receive(&seat.socket, &mut buffer).ok().flatten().ok_or_else(silent)?;
        match decode(&buffer[..packet.0]) {
            Ok(Word::Parked | Word::Equipped) => {}
            Ok(Word::Running { filter_length, .. }) => filter = Some(filter_length),
            Ok(Word::Failed(failure)) => return Err(failure),
            Ok(Word::Ended { code: Some(0), .. }) => return filter.ok_or_else(silent),
            Ok(Word::Ended { code, signal, .. }) => {
                let stage = format!("/bin/sh in the trial sandbox ended with {code:?} {signal:?}");
                return Err(Failure { stage, errno: 0 });
            }
            Err(errno) => return Err(Failure::new("understanding the trial sandbox", errno)),
        }
    }
}

/// Until its descriptor says it has ended, so that its cgroup can go.
fn wait_for(seat: &Seat) {
    let mut ended = [PollFd::from_borrowed_fd(seat.pidfd.as_fd(), PollFlags::IN)];
    // Late is harmless: the sweep at the next start takes the leaf.
    poll(&mut ended, Some(&TRIAL_WITHIN)).ok();
    while sys::reap().is_some() {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_failed_stage_says_which_wall_is_missing() {
        let names = |trial: Result<u32, Failure>| {
            let (namespaces, seccomp) = wall_findings(&trial);
            (namespaces.works, seccomp.works)
        };
        assert_eq!(names(Ok(168)), (true, true));
        assert_eq!(names(Err(Failure::new(FILTER_STAGE, Errno::INVAL))), (true, false));
        assert_eq!(names(Err(Failure::new("mounting /proc", Errno::PERM))), (false, false));
    }
}
