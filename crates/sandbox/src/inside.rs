//! What happens between fork and exec, and the sandbox's init afterwards.
//!
//! ```text
//! forked ──► enters its cgroup ──► parked ──orders──► root ──► walls ──► program
//!                                    │                                     │
//!                                    └── spawner gone: ends                └── ended: says how, ends
//! ```
//!
//! Init is process 1 of the sandbox's PID namespace: when it ends, the kernel ends everything in
//! there, daemons included. It stays behind the same walls as the program, minus being debuggable.
//!
//! A program that waits ([`Outfit::Later`]) raises the walls for itself. Init stays before them until
//! the equipment comes, mounts it, and raises them too, before it says so: nothing of a user has run
//! until then.

mod attend;
mod doors;
mod exec;
mod image;
mod root;
mod walls;

pub(crate) use root::{open_binds, open_granted};
pub(crate) use walls::FILTER_STAGE;
use walls::Who;

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;

use crate::message::{Failure, Orders, PACKET_BYTES_MAX, Word, decode, encode, receive, send};
use crate::spec::{Channel, Outfit};
use crate::sys;

/// Somebody has to be killed first when the host runs out of memory, and it is not the server.
const OOM_SCORE_ADJ: &[u8] = b"500";

/// The descriptors that come with the orders.
#[derive(Debug)]
struct Ends {
    stdout: OwnedFd,
    stderr: OwnedFd,
    control: OwnedFd,
    channel: Option<OwnedFd>,
}

/// The whole life of a child; the result is its exit code.
pub(crate) fn main(spawner: OwnedFd, entrances: Vec<OwnedFd>) -> i32 {
    match live(&spawner, entrances) {
        Ok(()) => 0,
        Err(failure) => {
            // When the spawner is gone there is nobody to tell.
            send(&spawner, &encode(&Word::Failed(failure)), &[]).ok();
            1
        }
    }
}

fn live(spawner: &OwnedFd, entrances: Vec<OwnedFd>) -> Result<(), Failure> {
    let at = |stage: &'static str| move |errno: Errno| Failure::new(stage, errno);
    settle(&entrances)?;
    drop(entrances);
    send(spawner, &encode(&Word::Parked), &[]).map_err(at("parking"))?;
    let mut buffer = vec![0; PACKET_BYTES_MAX];
    let Some((length, fds)) = receive(spawner, &mut buffer).map_err(at("reading the orders"))?
    else {
        return Ok(());
    };
    let orders: Orders = decode(&buffer[..length]).map_err(at("parsing the orders"))?;
    drop(buffer);
    let (ends, opened) = ends(fds, orders.spec.channel)
        .ok_or_else(|| Failure::new("counting the descriptors", Errno::BADF))?;
    root::build(&orders, opened)?;
    // Before the program: it must not meet a closed door, nor take the place of one.
    doors::hand_out(&orders.spec, &ends.control)?;
    let waits = orders.spec.outfit == Outfit::Later;
    let raised =
        if waits { walls::promised(&orders) } else { walls::raise(&orders, Who::Program)? };
    let mut attendant = attend::Attendant::prepare(&orders).map_err(at("preparing init"))?;
    silence().map_err(at("leaving the server's output"))?;
    let Ends { stdout, stderr, control, channel } = ends;
    let program = execute(&orders, [Some(stdout), Some(stderr), channel])?;
    let running =
        Word::Running { landlock_abi: raised.landlock_abi, filter_length: raised.filter_length };
    send(spawner, &encode(&running), &[]).map_err(at("reporting"))?;
    let waiting = waits.then_some(orders);
    attendant.attend(program, spawner, control, waiting)
}

/// What a child can do before it knows what for.
fn settle(entrances: &[OwnedFd]) -> Result<(), Failure> {
    let at = |stage: &'static str| move |errno: Errno| Failure::new(stage, errno);
    rustix::process::setsid().map_err(at("starting a session"))?;
    sys::prctl(libc::PR_SET_PDEATHSIG, 9).map_err(at("following the spawner"))?;
    sys::set_process_name(c"stint-init").map_err(at("naming init"))?;
    std::fs::write("/proc/self/oom_score_adj", OOM_SCORE_ADJ)
        .map_err(|error| Failure::io("offering itself to the OOM killer", &error))?;
    for entrance in entrances {
        rustix::io::write(entrance, b"0").map_err(at("entering the cgroup"))?;
    }
    walls::own_cgroup_view().map_err(at("making a cgroup namespace"))
}

/// The server's standard streams end here.
fn silence() -> Result<(), Errno> {
    use rustix::fs::{Mode, OFlags, open};
    let null = open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    (0..3).try_for_each(|number| sys::dup_onto(null.as_fd(), number))
}

/// The ends, and the mounts after them.
fn ends(fds: Vec<OwnedFd>, channel: Channel) -> Option<(Ends, Vec<OwnedFd>)> {
    let mut fds = fds.into_iter();
    let (stdout, stderr, control) = (fds.next()?, fds.next()?, fds.next()?);
    let channel = match channel {
        Channel::Stream => Some(fds.next()?),
        Channel::None | Channel::Listener(_) => None,
    };
    Some((Ends { stdout, stderr, control, channel }, fds.collect()))
}

/// Forks the program and returns when it has been executed. Our copies of its descriptors close
/// here, so that their other ends see the program's end.
fn execute(orders: &Orders, ends: [Option<OwnedFd>; 3]) -> Result<i32, Failure> {
    let argv = strings(orders.spec.argv.clone())?;
    let env = strings(pairs(&orders.spec.env))?;
    start(|| become_program(orders, &argv, &env, &ends))
}

fn strings(values: Vec<String>) -> Result<Vec<CString>, Failure> {
    let nul = || Failure::new("arguments", Errno::INVAL);
    values.into_iter().map(|value| CString::new(value).map_err(|_| nul())).collect()
}

fn pairs(env: &[(String, String)]) -> Vec<String> {
    env.iter().map(|(name, value)| format!("{name}={value}")).collect()
}

/// Forks a child that is to execute a program, and returns when it has: what `child` returns with is why
/// it has not.
fn start(child: impl FnOnce() -> Failure) -> Result<i32, Failure> {
    let at = |stage: &'static str| move |errno: Errno| Failure::new(stage, errno);
    let (told, low) =
        rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(at("making a pipe"))?;
    let tell = sys::lift(low.as_fd()).map_err(at("moving a pipe"))?;
    drop(low);
    let pid = sys::fork_plain(|| {
        let failure = child();
        // The reader is our parent and waits.
        rustix::io::write(&tell, &encode(&failure)).ok();
        127
    })
    .map_err(at("forking the program"))?;
    drop(tell);
    let mut report = [0; 4096];
    match rustix::io::retry_on_intr(|| rustix::io::read(&told, &mut report)) {
        Ok(0) => Ok(pid),
        Ok(length) => match decode(&report[..length]) {
            Ok(failure) => Err(failure),
            Err(errno) => Err(Failure::new("starting the program", errno)),
        },
        Err(errno) => Err(Failure::new("waiting for the program", errno)),
    }
}

/// Returns only when it fails: which stage, and why.
fn become_program(
    orders: &Orders,
    argv: &[CString],
    env: &[CString],
    [stdout, stderr, channel]: &[Option<OwnedFd>; 3],
) -> Failure {
    let spec = &orders.spec;
    if spec.outfit == Outfit::Later
        && let Err(failure) = walls::raise(orders, Who::Program)
    {
        return failure;
    }
    if let Err(errno) = rustix::process::chdir(&spec.cwd) {
        return Failure::new(
            format!("entering the working directory {}", spec.cwd.display()),
            errno,
        );
    }
    let arrange = || -> Result<(), Errno> {
        use rustix::fs::{Mode, OFlags, open};
        // Everything out of the way first: a descriptor may sit where another must go.
        let lifted = |fd: &Option<OwnedFd>| fd.as_ref().map(|fd| sys::lift(fd.as_fd())).transpose();
        let (stdout, stderr, channel) = (lifted(stdout)?, lifted(stderr)?, lifted(channel)?);
        let null = open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        let null = sys::lift(null.as_fd())?;
        let places = [(Some(null), 0), (stdout, 1), (stderr, 2), (channel, 3)];
        for (fd, number) in &places {
            if let Some(fd) = fd {
                sys::dup_onto(fd.as_fd(), *number)?;
            }
        }
        let first_closed = if places[3].0.is_some() { 4 } else { 3 };
        sys::cloexec_from(first_closed)?;
        attend::default_signals()
    };
    if let Err(errno) = arrange() {
        return Failure::new("arranging the program's descriptors", errno);
    }
    let program = argv.first().map_or(c"", |program| program.as_c_str());
    let errno = search(program, env, |found| match nix::unistd::execve(found, argv, env) {
        Err(errno) => Errno::from_raw_os_error(errno as i32),
    });
    Failure::new(format!("executing {}", program.to_string_lossy()), errno)
}

/// Where a bare name is looked for when the environment does not say.
const PATH_DEFAULT: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Tries a program that is named by a path, or one after the other what its bare name means in the
/// environment's `PATH`. Returns only when nothing could be executed: the error that says most.
fn search(program: &CStr, env: &[CString], execute: impl Fn(&CStr) -> Errno) -> Errno {
    if program.to_bytes().contains(&b'/') {
        return execute(program);
    }
    let path = env.iter().find_map(|pair| pair.to_bytes().strip_prefix(b"PATH="));
    let mut worst = Errno::NOENT;
    for dir in path.unwrap_or(PATH_DEFAULT.as_bytes()).split(|byte| *byte == b':') {
        let dir = if dir.is_empty() { b".".as_slice() } else { dir };
        let Ok(candidate) = CString::new([dir, b"/", program.to_bytes()].concat()) else {
            continue;
        };
        match execute(&candidate) {
            Errno::NOENT | Errno::NOTDIR => {}
            errno => worst = errno,
        }
    }
    worst
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn a_bare_name_is_looked_for_in_the_path_and_a_path_is_not() {
        let tried = RefCell::new(Vec::new());
        let attempt = |program: &CStr, env: &[&CStr], found: Errno| {
            tried.borrow_mut().clear();
            let env: Vec<CString> = env.iter().map(|&pair| pair.to_owned()).collect();
            search(program, &env, |candidate| {
                tried.borrow_mut().push(candidate.to_str().unwrap().to_owned());
                found
            })
        };
        assert_eq!(attempt(c"./serve", &[c"PATH=/a"], Errno::NOENT), Errno::NOENT);
        assert_eq!(*tried.borrow(), ["./serve"]);
        assert_eq!(attempt(c"serve", &[c"A=b", c"PATH=/a::/b"], Errno::ACCESS), Errno::ACCESS);
        assert_eq!(*tried.borrow(), ["/a/serve", "./serve", "/b/serve"]);
        assert_eq!(attempt(c"serve", &[], Errno::NOTDIR), Errno::NOENT);
        assert_eq!(tried.borrow().len(), 6);
    }
}
