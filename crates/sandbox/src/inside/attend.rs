//! Process 1 of a sandbox after the program runs: reaps, forwards signals, connects on request,
//! and watches the memory where no control group does.

use std::net::Ipv4Addr;
use std::os::fd::{AsFd, OwnedFd};

use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, signal, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrV4, SocketFlags, SocketType, connect, socket_with};

use super::exec::{Entrance, Visitors};
use super::{root, walls};
use crate::message::{
    Control, Done, Failure, Later, Orders, PACKET_BYTES_MAX, Word, decode, encode, receive, send,
};
use crate::spec::{LimitedBy, Outfit};
use crate::sys;

/// How often the watchdog adds up the memory of the sandbox.
const WATCH_EVERY: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
const PAGE_BYTES: u64 = 4096;

#[derive(Debug)]
pub(super) struct Attendant {
    signals: SignalFd,
    /// Bytes the sandbox may use when the watchdog is what limits it.
    watched: Option<u64>,
    exceeded: bool,
    entrance: Entrance,
    visitors: Visitors,
    /// What the big process asks for is read into it.
    buffer: Vec<u8>,
}

impl Attendant {
    /// Holds every signal back for [`Self::attend`]; the program undoes that before its exec.
    pub(super) fn prepare(orders: &Orders) -> Result<Self, Errno> {
        let all = SigSet::all();
        let errno = |errno: nix::Error| Errno::from_raw_os_error(errno as i32);
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&all), None).map_err(errno)?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let signals = SignalFd::with_flags(&all, flags).map_err(errno)?;
        let entrance = match orders.spec.outfit {
            Outfit::Whole => Entrance::Behind,
            Outfit::Later => Entrance::Closed,
        };
        let (watched, visitors) = (watched(orders), Visitors::default());
        let buffer = vec![0; PACKET_BYTES_MAX];
        Ok(Self { signals, watched, exceeded: false, entrance, visitors, buffer })
    }

    /// Until the program has ended or the spawner is gone; then the sandbox ends with us. `waiting`
    /// holds the orders of a program that is still to be equipped.
    pub(super) fn attend(
        &mut self,
        program: i32,
        spawner: &OwnedFd,
        control: OwnedFd,
        mut waiting: Option<Orders>,
    ) -> Result<(), Failure> {
        let at = |errno: Errno| Failure::new("attending the program", errno);
        let mut control = Some(control);
        loop {
            let mut watched = vec![
                PollFd::new(&self.signals, PollFlags::IN),
                PollFd::new(spawner, PollFlags::IN),
            ];
            watched.extend(control.as_ref().map(|fd| PollFd::new(fd, PollFlags::IN)));
            let fixed = watched.len();
            watched.extend(self.visitors.watched());
            let timeout = self.watched.map(|_| &WATCH_EVERY);
            match poll(&mut watched, timeout) {
                Err(Errno::INTR) => continue,
                other => other.map_err(at)?,
            };
            let ready: Vec<bool> = watched.iter().map(|fd| !fd.revents().is_empty()).collect();
            self.visitors.leave(&ready[fixed..]);
            if fixed == 3 && ready[2] && !control.as_ref().is_some_and(|fd| self.answer(fd)) {
                control = None;
            }
            self.watch();
            if ready[0] {
                self.forward_signals(program);
                if let Some(ended) = self.reap(program) {
                    return send(spawner, &encode(&ended), &[]).map_err(at);
                }
            }
            if ready[1] {
                // The spawner speaks once more to those who wait; else readable means gone.
                let Some(orders) = waiting.take() else { return Ok(()) };
                if !self.equip(program, spawner, orders)? {
                    return Ok(());
                }
            }
        }
    }

    /// Takes what belongs to the function, then goes behind the walls; false when the spawner is gone.
    fn equip(
        &mut self,
        program: i32,
        spawner: &OwnedFd,
        mut orders: Orders,
    ) -> Result<bool, Failure> {
        let at = |stage: &'static str| move |errno: Errno| Failure::new(stage, errno);
        let mut buffer = vec![0; PACKET_BYTES_MAX];
        let Some((length, opened)) =
            receive(spawner, &mut buffer).map_err(at("reading the equipment"))?
        else {
            return Ok(false);
        };
        let Later { equipment } = decode(&buffer[..length]).map_err(at("parsing the equipment"))?;
        orders.spec.limits = equipment.limits;
        root::equip(&orders, &equipment.binds, opened)?;
        walls::tighten(program, &orders)?;
        self.watched = watched(&orders);
        walls::raise(&orders, walls::Who::Init)?;
        self.entrance = Entrance::Besides(Box::new(orders));
        send(spawner, &encode(&Word::Equipped), &[]).map_err(at("reporting"))?;
        Ok(true)
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
    fn reap(&mut self, program: i32) -> Option<Word> {
        while let Some(reaped) = sys::reap() {
            self.visitors.ended(&reaped);
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

    /// Handles one request of the big process; false when it is gone.
    fn answer(&mut self, control: &OwnedFd) -> bool {
        let Self { buffer, visitors, entrance, .. } = self;
        let Ok(Some((length, fds))) = receive(control, buffer) else { return false };
        let Ok(asked) = decode(&buffer[..length]) else { return false };
        let done = match asked {
            Control::Connect { port } => connect_loopback(port).map(Some),
            Control::Freeze => signal_all(Signal::SIGSTOP).map(|()| None),
            Control::Thaw => signal_all(Signal::SIGCONT).map(|()| None),
            Control::Exec(spec) => visitors.begin(entrance, &spec, fds).map(|()| None),
        };
        let errno = done.as_ref().err().map_or(0, |errno| errno.raw_os_error());
        let fds: Vec<_> = done.as_ref().ok().into_iter().flatten().map(AsFd::as_fd).collect();
        send(control, &encode(&Done { errno }), &fds).is_ok()
    }

    fn watch(&mut self) {
        let Some(limit) = self.watched else { return };
        if !self.exceeded && used_bytes() > limit {
            self.exceeded = true;
            // The next look tries again.
            signal_all(Signal::SIGKILL).ok();
        }
    }
}

fn watched(orders: &Orders) -> Option<u64> {
    let limit = u64::from(orders.spec.limits.memory_mb) << 20;
    (orders.memory == LimitedBy::Watchdog).then_some(limit)
}

/// From process 1 this reaches everybody but itself. Nobody there is no failure.
fn signal_all(signal: Signal) -> Result<(), Errno> {
    match nix::sys::signal::kill(nix::unistd::Pid::from_raw(-1), signal) {
        Ok(()) | Err(nix::Error::ESRCH) => Ok(()),
        Err(errno) => Err(Errno::from_raw_os_error(errno as i32)),
    }
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
