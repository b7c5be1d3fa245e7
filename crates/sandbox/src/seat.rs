//! A child that is already placed: in its cgroup, in its namespaces, waiting for orders.
//!
//! Every launch goes through a seat; the only difference between a parked and a fresh one is when
//! it was made.

use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::cgroup::{Cgroups, Controller, Leaf};
use crate::inside;
use crate::message::{Failure, Identity, Later, Orders, SpawnerSetup, encode, pair, send};
use crate::spec::{Enforced, Equipment, HostUser, LaunchSpec, LimitedBy, Network, UserWall, Whom};
use crate::sys;

/// What every seat stands on.
#[derive(Debug)]
pub(crate) struct Ground {
    pub(crate) cgroups: Cgroups,
    pub(crate) base_dir: PathBuf,
    pub(crate) root: bool,
    pub(crate) user_namespace: bool,
    pub(crate) landlock_abi: u32,
}

#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) pid: i32,
    pub(crate) pidfd: OwnedFd,
    /// To the child that becomes the sandbox's init.
    pub(crate) socket: OwnedFd,
    pub(crate) leaf: Leaf,
    pub(crate) network: Network,
}

impl Ground {
    pub(crate) fn new(setup: &SpawnerSetup, user_namespace: bool) -> Self {
        Self {
            cgroups: Cgroups::open(&setup.cgroup_name),
            base_dir: setup.base_dir.clone(),
            root: rustix::process::geteuid().is_root(),
            user_namespace,
            landlock_abi: sys::landlock_abi(),
        }
    }

    fn caller(&self) -> HostUser {
        HostUser {
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
        }
    }

    fn user_wall(&self, wanted: HostUser) -> UserWall {
        match (self.user_namespace, self.root) {
            (true, true) => UserWall::MappedTo(wanted),
            (true, false) => UserWall::MappedToCaller(self.caller()),
            (false, _) => UserWall::HostIds(wanted),
        }
    }

    fn limited(&self, controller: Controller, otherwise: LimitedBy) -> LimitedBy {
        if self.cgroups.has(controller) { LimitedBy::Cgroup } else { otherwise }
    }

    /// What will hold an instance on this ground, before it says how it went.
    pub(crate) fn enforced(&self, spec: &LaunchSpec) -> Enforced {
        Enforced {
            user: self.user_wall(spec.user),
            network: spec.network,
            memory: self.limited(Controller::Memory, LimitedBy::Watchdog),
            processes: self.limited(Controller::Pids, LimitedBy::Rlimit),
            cpu: self.limited(Controller::Cpu, LimitedBy::Nothing),
            landlock_abi: self.landlock_abi,
            filter_length: 0,
            parked: false,
        }
    }
}

impl Seat {
    /// Forks a child into its place.
    pub(crate) fn open(ground: &mut Ground, network: Network) -> Result<Self, Failure> {
        let leaf = ground
            .cgroups
            .leaf()
            .map_err(|error| Failure::io("making the instance's cgroup", &error))?;
        match Self::open_in(ground, network, &leaf) {
            Ok((forked, socket)) => {
                Ok(Self { pid: forked.pid, pidfd: forked.pidfd, socket, leaf, network })
            }
            Err(failure) => {
                // The failure matters more than the empty directory, which the next start reaps.
                drop(leaf.remove());
                Err(failure)
            }
        }
    }

    fn open_in(
        ground: &Ground,
        network: Network,
        leaf: &Leaf,
    ) -> Result<(sys::Forked, OwnedFd), Failure> {
        let opening = |error: &std::io::Error| Failure::io("opening the instance's cgroup", error);
        let entrances = leaf.entrances().map_err(|error| opening(&error))?;
        let birthplace = leaf.birthplace().map_err(|error| opening(&error))?;
        let (ours, theirs) = pair().map_err(|errno| Failure::new("making a socket", errno))?;
        let mut namespaces = sys::NEW_NAMESPACES;
        if ground.user_namespace {
            namespaces |= sys::NEW_USER;
        }
        if network.is_own() {
            namespaces |= sys::NEW_NET;
        }
        let forked = sys::fork(namespaces, birthplace.as_ref().map(AsFd::as_fd), move || {
            let keep: Vec<_> = entrances.iter().chain([&theirs]).map(AsRawFd::as_raw_fd).collect();
            match sys::close_others(&keep) {
                Ok(()) => inside::main(theirs, entrances),
                Err(_) => 71,
            }
        });
        let forked = forked.map_err(|errno| Failure::new("making namespaces", errno))?;
        Ok((forked, ours))
    }

    /// Gives the child its limits, its identity and its orders.
    pub(crate) fn order(
        &self,
        ground: &Ground,
        spec: LaunchSpec,
        fds: &[OwnedFd],
    ) -> Result<Enforced, Failure> {
        let enforced = ground.enforced(&spec);
        self.leaf
            .limit(&spec.limits)
            .map_err(|error| Failure::io(format!("limiting the instance: {error}"), &error))?;
        let unmapped = |error: std::io::Error| Failure::io("mapping the user", &error);
        let identity = match enforced.user {
            UserWall::MappedTo(user) => {
                self.map(&spec, user, Whom::Everybody).map_err(unmapped)?;
                Identity::Mapped
            }
            UserWall::MappedToCaller(user) => {
                self.map_caller(&spec, user).map_err(unmapped)?;
                Identity::MappedWithGroups
            }
            UserWall::HostIds(user) => Identity::Host(user),
        };
        let etc = ground.base_dir.join("etc");
        let opened = match enforced.user {
            UserWall::MappedTo(_) => inside::open_granted(&etc, &spec)?,
            // Without privilege the child can see what we can, and only it may mount.
            UserWall::MappedToCaller(_) | UserWall::HostIds(_) => Vec::new(),
        };
        let orders = Orders {
            etc,
            identity,
            landlock_abi: ground.landlock_abi,
            memory: enforced.memory,
            processes: enforced.processes,
            spec,
        };
        let fds: Vec<_> = fds.iter().chain(&opened).map(AsFd::as_fd).collect();
        send(&self.socket, &encode(&orders), &fds)
            .map_err(|errno| Failure::new("giving the sandbox its orders", errno))?;
        Ok(enforced)
    }

    /// Gives a waiting instance its limits and what belongs to its function.
    pub(crate) fn equip(&self, ground: &Ground, equipment: Equipment) -> Result<(), Failure> {
        self.leaf
            .limit(&equipment.limits)
            .map_err(|error| Failure::io(format!("limiting the instance: {error}"), &error))?;
        // Without privilege init still sees the host's tree as we do.
        let opened = if ground.root { inside::open_binds(&equipment.binds)? } else { Vec::new() };
        let fds: Vec<_> = opened.iter().map(AsFd::as_fd).collect();
        send(&self.socket, &encode(&Later { equipment }), &fds)
            .map_err(|errno| Failure::new("giving the sandbox its equipment", errno))
    }

    fn map(&self, spec: &LaunchSpec, user: HostUser, whom: Whom) -> std::io::Result<()> {
        let proc = PathBuf::from(format!("/proc/{}", self.pid));
        let (users, groups) = spec.inside.maps(user, whom);
        fs::write(proc.join("uid_map"), users)?;
        fs::write(proc.join("gid_map"), groups)
    }

    /// Without privilege only oneself can be mapped, and supplementary groups stay.
    fn map_caller(&self, spec: &LaunchSpec, user: HostUser) -> std::io::Result<()> {
        fs::write(format!("/proc/{}/setgroups", self.pid), "deny")?;
        self.map(spec, user, Whom::Itself)
    }

    /// Whether the child has not ended yet.
    pub(crate) fn lives(&self) -> bool {
        let mut ended = [PollFd::new(&self.pidfd, PollFlags::IN)];
        poll(&mut ended, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|ready| ready == 0)
    }

    pub(crate) fn kill(&self) -> Result<(), Errno> {
        rustix::process::pidfd_send_signal(&self.pidfd, rustix::process::Signal::KILL)
    }
}
