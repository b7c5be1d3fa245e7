//! Further programs in a sandbox that lives: started by its init, which is behind the walls already,
//! told of when they end, and ended when nobody wants to hear that any more.

use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::process::{Pid, Signal};

use super::{attend, pairs, search, start, strings, walls};
use crate::exec::{EXECS_MAX, ExecSpec};
use crate::message::{Failure, Orders, encode};
use crate::spec::ExitHow;
use crate::sys::{self, Reaped};

/// What a program that comes in must still go behind.
#[derive(Debug)]
pub(super) enum Entrance {
    /// Nothing of a function is here yet, and init is before the walls: nobody comes in.
    Closed,
    /// Init is behind all of the walls, and its children with it.
    Behind,
    /// Init is behind all but those that the program has raised for itself alone.
    Besides(Box<Orders>),
}

/// A further program.
#[derive(Debug)]
struct Visitor {
    pid: i32,
    /// Where its end is told; broken when it shall end.
    tell: OwnedFd,
}

#[derive(Debug, Default)]
pub(super) struct Visitors {
    inside: Vec<Visitor>,
}

impl Visitors {
    /// To be watched: one for each, in the order of [`Self::leave`]. Nothing but the break of the pipe wakes.
    pub(super) fn watched(&self) -> impl Iterator<Item = PollFd<'_>> {
        self.inside.iter().map(|visitor| PollFd::new(&visitor.tell, PollFlags::empty()))
    }

    /// Starts one; returns when it has been executed.
    pub(super) fn begin(
        &mut self,
        entrance: &Entrance,
        spec: &ExecSpec,
        fds: Vec<OwnedFd>,
    ) -> Result<(), Errno> {
        let walls = match entrance {
            Entrance::Closed => return Err(Errno::BUSY),
            Entrance::Behind => None,
            Entrance::Besides(orders) => Some(orders.as_ref()),
        };
        if self.inside.len() >= EXECS_MAX {
            return Err(Errno::USERS);
        }
        let [input, output, errors, tell] =
            <[OwnedFd; 4]>::try_from(fds).map_err(|_| Errno::BADF)?;
        let refused = |failure: Failure| Errno::from_raw_os_error(failure.errno);
        let argv = strings(spec.argv.clone()).map_err(refused)?;
        let env = strings(pairs(&spec.env)).map_err(refused)?;
        let ends = [input, output, errors];
        let pid = start(|| become_visitor(spec, walls, (&argv, &env), &ends)).map_err(refused)?;
        self.inside.push(Visitor { pid, tell });
        Ok(())
    }

    /// Ends those whose pipe is broken: nobody hears them any more.
    pub(super) fn leave(&mut self, broken: &[bool]) {
        let mut broken = broken.iter();
        self.inside.retain(|visitor| {
            let gone = broken.next() == Some(&true);
            if gone {
                end_session(visitor.pid);
            }
            !gone
        });
    }

    /// Tells of one that has ended, if it is one of these. What it has left behind in its session ends.
    pub(super) fn ended(&mut self, reaped: &Reaped) {
        let Some(at) = self.inside.iter().position(|visitor| visitor.pid == reaped.pid) else {
            return;
        };
        let visitor = self.inside.swap_remove(at);
        let how = match (reaped.code, reaped.signal) {
            (Some(code), _) => ExitHow::Code(code),
            (None, signal) => ExitHow::Signal(signal.unwrap_or(libc::SIGKILL)),
        };
        // Who does not listen any more needs not know.
        rustix::io::write(&visitor.tell, &encode(&how)).ok();
        end_session(visitor.pid);
    }
}

/// Ends every process of a session, also those in the background.
fn end_session(leader: i32) {
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        if session(&stat) == Some(leader)
            && let Some(pid) = Pid::from_raw(pid)
        {
            // Ended meanwhile is as good.
            rustix::process::kill_process(pid, Signal::KILL).ok();
        }
    }
}

/// The session in a line of `/proc/PID/stat`. The name before it may hold anything, also brackets.
fn session(stat: &str) -> Option<i32> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(3)?.parse().ok()
}

/// Returns only when it fails.
fn become_visitor(
    spec: &ExecSpec,
    walls: Option<&Orders>,
    (argv, env): (&[CString], &[CString]),
    ends: &[OwnedFd; 3],
) -> Failure {
    let prepare = || -> Result<(), Errno> {
        rustix::process::setsid()?;
        if rustix::process::chdir(&spec.cwd).is_err() {
            rustix::process::chdir("/")?;
        }
        // Everything out of the way first: a descriptor may sit where another must go.
        let lifted = ends.iter().map(|fd| sys::lift(fd.as_fd())).collect::<Result<Vec<_>, _>>()?;
        for (fd, number) in lifted.iter().zip(0..) {
            sys::dup_onto(fd.as_fd(), number)?;
        }
        sys::cloexec_from(3)?;
        if spec.terminal.is_some() {
            rustix::process::ioctl_tiocsctty(&lifted[0])?;
        }
        attend::default_signals()
    };
    if let Err(errno) = prepare() {
        return Failure::new("preparing a further program", errno);
    }
    if let Some(orders) = walls
        && let Err(failure) = walls::raise_rest(orders)
    {
        return failure;
    }
    let program = argv.first().map_or(c"", |program| program.as_c_str());
    let errno = search(program, env, |found| match nix::unistd::execve(found, argv, env) {
        Err(errno) => Errno::from_raw_os_error(errno as i32),
    });
    Failure::new("executing a further program", errno)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_found_behind_any_name() {
        assert_eq!(session("7 (sh) S 1 7 5 0 -1 4194304"), Some(5));
        assert_eq!(session("7 (a) b (c) S 1 7 5 0"), Some(5));
        assert_eq!(session("7 (sh"), None);
        assert_eq!(session(""), None);
    }

    #[test]
    fn nobody_comes_in_before_the_walls_or_past_the_bound() {
        let spec = ExecSpec {
            argv: vec!["/bin/true".to_owned()],
            env: Vec::new(),
            cwd: "/".into(),
            terminal: None,
        };
        let mut visitors = Visitors::default();
        let begun = visitors.begin(&Entrance::Closed, &spec, Vec::new());
        assert_eq!(begun, Err(Errno::BUSY));
        let begun = visitors.begin(&Entrance::Behind, &spec, Vec::new());
        assert_eq!(begun, Err(Errno::BADF));
        let null = || OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
        visitors.inside = (0..4).map(|pid| Visitor { pid: -pid - 2, tell: null() }).collect();
        let begun = visitors.begin(&Entrance::Behind, &spec, Vec::new());
        assert_eq!(begun, Err(Errno::USERS));
    }
}
