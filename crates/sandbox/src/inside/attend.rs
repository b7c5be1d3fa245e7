//! Process 1 of a sandbox after the program runs: reaps, forwards signals, connects on request,
//! and watches the memory where no control group does.

use std::net::Ipv4Addr;
use std::os::fd::{AsFd, OwnedFd};

use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, signal, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrV4, SocketFlags, SocketType, bind, connect, listen, socket_with,
    sockopt,
};

use crate::message::{Connect, Connected, Orders, Word, decode, encode, receive, send};
use crate::spec::LimitedBy;
use crate::sys;

/// How often the watchdog adds up the memory of the sandbox.
const WATCH_EVERY: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
const PAGE_BYTES: u64 = 4096;
/// Connections that wait to be taken; a program of one instance makes a handful.
const LISTEN_BACKLOG: i32 = 128;

#[derive(Debug)]
pub(super) struct Attendant {
    signals: SignalFd,
    /// Bytes the sandbox may use when the watchdog is what limits it.
    watched: Option<u64>,
    exceeded: bool,
}

impl Attendant {
    /// Holds every signal back for [`Self::attend`]; the program undoes that before its exec.
    pub(super) fn prepare(orders: &Orders) -> Result<Self, Errno> {
        let all = SigSet::all();
        let errno = |errno: nix::Error| Errno::from_raw_os_error(errno as i32);
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&all), None).map_err(errno)?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let signals = SignalFd::with_flags(&all, flags).map_err(errno)?;
        let watched = (orders.memory == LimitedBy::Watchdog)
            .then(|| u64::from(orders.spec.limits.memory_mb) << 20);
        Ok(Self { signals, watched, exceeded: false })
    }

    /// Until the program has ended or the spawner is gone; then the sandbox ends with us.
    pub(super) fn attend(
        &mut self,
        program: i32,
        spawner: &OwnedFd,
        control: OwnedFd,
    ) -> Result<(), Errno> {
        let mut control = Some(control);
        loop {
            let mut watched = vec![
                PollFd::new(&self.signals, PollFlags::IN),
                PollFd::new(spawner, PollFlags::IN),
            ];
            watched.extend(control.as_ref().map(|fd| PollFd::new(fd, PollFlags::IN)));
            let timeout = self.watched.map(|_| &WATCH_EVERY);
            match poll(&mut watched, timeout) {
                Err(Errno::INTR) => continue,
                other => other?,
            };
            let ready: Vec<bool> = watched.iter().map(|fd| !fd.revents().is_empty()).collect();
            if ready.get(2) == Some(&true) && !control.as_ref().is_some_and(answer) {
                control = None;
            }
            self.watch();
            if ready[0] {
                self.forward_signals(program);
                if let Some(ended) = self.reap(program) {
                    return send(spawner, &encode(&ended), &[]);
                }
            }
            // The spawner never speaks again: readable means gone.
            if ready[1] {
                return Ok(());
            }
        }
    }

    fn forward_signals(&self, program: i32) {
        while let Ok(Some(info)) = self.signals.read_signal() {
            let number = i32::try_from(info.ssi_signo).unwrap_or(0);
            let forwarded = match Signal::try_from(number) {
                Ok(Signal::SIGCHLD) | Err(_) => continue,
                Ok(signal) => signal,
            };
            // It may just have ended.
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(program), forwarded).ok();
        }
    }

    /// Takes ended children, orphans included; says how the program ended when it was among them.
    fn reap(&self, program: i32) -> Option<Word> {
        while let Some(reaped) = sys::reap() {
            if reaped.pid == program {
                return Some(Word::Ended {
                    code: reaped.code,
                    signal: reaped.signal,
                    watchdog: self.exceeded,
                    peak_kb: reaped.peak_kb,
                    cpu_us: reaped.cpu_us,
                });
            }
        }
        None
    }

    fn watch(&mut self) {
        let Some(limit) = self.watched else { return };
        if !self.exceeded && used_bytes() > limit {
            self.exceeded = true;
            // From process 1 this reaches everybody but itself.
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(-1), Signal::SIGKILL).ok();
        }
    }
}

/// Handles one request of the big process; false when it is gone.
fn answer(control: &OwnedFd) -> bool {
    let mut buffer = [0; 16];
    let Ok(Some((length, _))) = receive(control, &mut buffer) else { return false };
    let Ok(Connect { port }) = decode(&buffer[..length]) else { return false };
    let made = connect_loopback(port);
    let errno = made.as_ref().err().map_or(0, |errno| errno.raw_os_error());
    let fds: Vec<_> = made.as_ref().ok().map(AsFd::as_fd).into_iter().collect();
    send(control, &encode(&Connected { errno }), &fds).is_ok()
}

/// Starts a connection; whoever asked waits for its end.
fn connect_loopback(port: u16) -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    match connect(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(errno) => Err(errno),
    }
}

/// Opens a port on the sandbox's loopback and hands the listening socket out; our copy closes here.
pub(super) fn offer_listener(control: &OwnedFd, port: u16) -> Result<(), Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))?;
    listen(&socket, LISTEN_BACKLOG)?;
    send(control, &encode(&Connected { errno: 0 }), &[socket.as_fd()])
}

/// Private memory of every process of the sandbox, and what its `/tmp` holds.
fn used_bytes() -> u64 {
    let mut pages = 0;
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let text = std::fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
        let mut fields = text.split(' ').skip(1).map(|field| field.parse::<u64>().unwrap_or(0));
        let (resident, shared) = (fields.next().unwrap_or(0), fields.next().unwrap_or(0));
        pages += resident.saturating_sub(shared);
    }
    let tmp = rustix::fs::statvfs("/tmp")
        .map_or(0, |fs| (fs.f_blocks - fs.f_bfree).saturating_mul(fs.f_frsize));
    pages * PAGE_BYTES + tmp
}

/// Every signal as a fresh program expects it.
pub(super) fn default_signals() -> Result<(), Errno> {
    let errno = |errno: nix::Error| Errno::from_raw_os_error(errno as i32);
    for number in Signal::iterator() {
        if !matches!(number, Signal::SIGKILL | Signal::SIGSTOP) {
            set_default(number).map_err(errno)?;
        }
    }
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None).map_err(errno)
}

fn set_default(number: Signal) -> Result<(), nix::Error> {
    // SAFETY: the default disposition runs no code of ours.
    unsafe { signal(number, SigHandler::SigDfl) }.map(drop)
}
