//! What a child gives up for good before the program runs, in the only order that works.

use landlock::{
    ABI, Access as _, AccessFs, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetStatus, Scope,
    path_beneath_rules,
};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{Gid, Uid};

use crate::filter;
use crate::message::{Failure, Identity, Orders};
use crate::spec::{Access, LimitedBy, Outfit, RootFs};
use crate::sys;

/// The version the rules are written for; older kernels enforce the part they know.
const ABI_WRITTEN_FOR: ABI = ABI::V6;
/// No root, no set-uid fix-ups, no kept or ambient capabilities; all locked.
const SECURE_BITS: libc::c_ulong = 0b1110_1111;
/// Room for reservations above the memory limit where the watchdog, not the kernel, counts.
const DATA_SLACK_MB: u64 = 512;

/// Named, because the probe tells by it which wall is missing.
pub(crate) const FILTER_STAGE: &str = "installing the system call filter";

/// What was raised, as far as machines differ.
#[derive(Debug)]
pub(super) struct Raised {
    pub(super) landlock_abi: u32,
    pub(super) filter_length: u32,
}

fn at(stage: &'static str) -> impl Fn(Errno) -> Failure {
    move |errno| Failure::new(stage, errno)
}

/// Hides the cgroup paths of the host.
pub(super) fn own_cgroup_view() -> Result<(), Errno> {
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWCGROUP)
        .map_err(|errno| Errno::from_raw_os_error(errno as i32))
}

/// Becomes the instance's user. Capabilities stay until they are cleared: until now this process was
/// nobody in there, so the kernel sees no change away from its root, whoever it becomes.
pub(super) fn take_ids(orders: &Orders) -> Result<(), Failure> {
    let identity = orders.identity;
    let (uid, gid) = match identity {
        Identity::Mapped | Identity::MappedWithGroups => {
            (orders.spec.inside.uid, orders.spec.inside.gid)
        }
        Identity::Host(user) => (user.uid, user.gid),
    };
    if !matches!(identity, Identity::MappedWithGroups) {
        rustix::thread::set_thread_groups(&[]).map_err(at("giving up groups"))?;
    }
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    rustix::thread::set_thread_res_gid(gid, gid, gid).map_err(at("taking the group"))?;
    rustix::thread::set_thread_res_uid(uid, uid, uid).map_err(at("taking the user"))
}

/// What [`raise`] will have raised, for a program that does so itself.
pub(super) fn promised(orders: &Orders) -> Raised {
    let filter_length = u32::try_from(filter::program().len()).expect("a few hundred instructions");
    Raised { landlock_abi: orders.landlock_abi, filter_length }
}

/// Lowers what a running program may take, to what its function may.
pub(super) fn tighten(program: i32, orders: &Orders) -> Result<(), Failure> {
    if orders.memory != LimitedBy::Watchdog {
        return Ok(());
    }
    let limit = data_limit(orders.spec.limits.memory_mb);
    let limit = Rlimit { current: Some(limit), maximum: Some(limit) };
    let program = rustix::process::Pid::from_raw(program);
    rustix::process::prlimit(program, Resource::Data, limit)
        .map(drop)
        .map_err(at("limiting the program's memory"))
}

fn data_limit(memory_mb: u32) -> u64 {
    (4 * u64::from(memory_mb) + DATA_SLACK_MB) << 20
}

/// Who goes behind the walls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    /// The program, or init on its behalf.
    Program,
    /// Init alone, whose program is behind walls of its own and must still get its signals.
    Init,
}

/// Everything after the root is in place.
pub(super) fn raise(orders: &Orders, who: Who) -> Result<Raised, Failure> {
    // A courtesy, not a wall: service managers may forbid the call to us and all our children.
    rustix::system::sethostname(b"stint").ok();
    limit(orders).map_err(at("setting resource limits"))?;
    // Landlock would part init from a program in a domain of its own: no signals, no look at what it
    // uses. Init runs nothing but this file's callers.
    let landlocks = orders.landlock_abi > 0 && who == Who::Program;
    let landlock_abi = if landlocks { landlock(orders)? } else { 0 };
    drop_bounding_set()?;
    sys::prctl(libc::PR_SET_SECUREBITS, SECURE_BITS).map_err(at("locking the secure bits"))?;
    if let Identity::Host(_) = orders.identity {
        take_ids(orders)?;
    }
    sys::clear_capabilities().map_err(at("dropping capabilities"))?;
    sys::prctl(libc::PR_SET_DUMPABLE, 0).map_err(at("refusing debuggers"))?;
    // A change of identity forgets it.
    sys::prctl(libc::PR_SET_PDEATHSIG, 9).map_err(at("following the spawner"))?;
    rustix::thread::set_no_new_privs(true).map_err(at("refusing new privileges"))?;
    let program = filter::program();
    sys::install_filter(&program).map_err(at(FILTER_STAGE))?;
    let filter_length = u32::try_from(program.len()).expect("a few hundred instructions");
    Ok(Raised { landlock_abi, filter_length })
}

/// What a child of an init that is behind the walls as [`Who::Init`] must still go behind, to be where
/// the program is.
pub(super) fn raise_rest(orders: &Orders) -> Result<(), Failure> {
    if orders.memory == LimitedBy::Watchdog {
        let limit = data_limit(orders.spec.limits.memory_mb);
        setrlimit(Resource::Data, Rlimit { current: Some(limit), maximum: Some(limit) })
            .map_err(at("limiting the program's memory"))?;
    }
    if orders.landlock_abi > 0 {
        landlock(orders)?;
    }
    Ok(())
}

fn limit(orders: &Orders) -> Result<(), Errno> {
    let limits = &orders.spec.limits;
    let set = |resource: Resource, value: u64| {
        // Nobody may raise a limit here; a lower host limit stays.
        let hard = getrlimit(resource).maximum.map_or(value, |hard| hard.min(value));
        setrlimit(resource, Rlimit { current: Some(hard), maximum: Some(hard) })
    };
    set(Resource::Nofile, u64::from(limits.nofile))?;
    set(Resource::Core, 0)?;
    set(Resource::Rtprio, 0)?;
    if orders.processes == LimitedBy::Rlimit {
        // Counted per user namespace; one more for init.
        set(Resource::Nproc, u64::from(limits.pids_max) + 1)?;
    }
    if orders.memory == LimitedBy::Watchdog {
        // A program that waits may grow to what its function will be allowed.
        if orders.spec.outfit == Outfit::Whole {
            set(Resource::Data, data_limit(limits.memory_mb))?;
        }
    }
    Ok(())
}

/// A second opinion on files, and the only wall around abstract sockets on a shared network.
fn landlock(orders: &Orders) -> Result<u32, Failure> {
    let all = AccessFs::from_all(ABI_WRITTEN_FOR);
    let read = AccessFs::from_read(ABI_WRITTEN_FOR);
    let volumes = orders.spec.binds.iter().filter(|bind| bind.access == Access::ReadWrite);
    // An image is writable as a whole; what is not, is read-only by its mount.
    let ours: &[&str] = match &orders.spec.root {
        RootFs::Host => &["/tmp", "/dev"],
        RootFs::Image(_) => &["/"],
    };
    let writable: Vec<_> = ours
        .iter()
        .map(std::path::PathBuf::from)
        .chain(volumes.map(|bind| bind.target.clone()))
        .collect();
    let restrict = || {
        Ruleset::default()
            .handle_access(all)?
            .scope(Scope::from_all(ABI_WRITTEN_FOR))?
            .create()?
            .add_rules(path_beneath_rules(["/"], read))?
            .add_rules(path_beneath_rules(&writable, all))?
            .restrict_self()
    };
    let status = restrict().map_err(|_| Failure::new("raising landlock", Errno::INVAL))?;
    match status.ruleset {
        RulesetStatus::NotEnforced => Err(Failure::new("raising landlock", Errno::OPNOTSUPP)),
        RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced => Ok(orders.landlock_abi),
    }
}

fn drop_bounding_set() -> Result<(), Failure> {
    for capability in 0..64 {
        match sys::prctl(libc::PR_CAPBSET_DROP, capability) {
            Ok(()) => {}
            // Past the last one the kernel knows.
            Err(Errno::INVAL) => break,
            Err(errno) => return Err(Failure::new("emptying the bounding set", errno)),
        }
    }
    Ok(())
}
