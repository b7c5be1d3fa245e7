//! The spawner: a small process with one thread that forks, reaps and reports.
//!
//! It is the same binary, started again before any thread or runtime exists, because forking a
//! large or threaded process is slow and unsound. It owns every sandbox: when its socket ends (the
//! server has gone, in whatever way) it kills them all and leaves; when it is killed itself, the
//! kernel kills them, because each asked to follow it.

mod etc;
mod parking;

use std::collections::{BTreeMap, VecDeque};
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;

use crate::cgroup::Leaf;
use crate::message::{
    Failure, PACKET_BYTES_MAX, Report, Request, SpawnerSetup, Word, decode, encode, receive, send,
};
use crate::policy::UserNamespace;
use crate::probe;
use crate::seat::{Ground, Seat};
use crate::spawner::parking::Parking;
use crate::spec::{Enforced, Equipment, Exit, ExitHow, LaunchSpec, Network};
use crate::sys::{self, Reaped};

/// What the spawner raises its own limit of open files to, where it may; instances inherit it.
const NOFILE: u64 = 100_000;
/// How soon a cgroup that could not be removed is tried again, and parking after a pause.
const SWEEP_AFTER: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

const SERVER: u64 = 0;
const CHILDREN: u64 = 1;

/// One child, from its fork to its end.
struct Child {
    seat: Seat,
    state: State,
    ended: Option<Word>,
}

enum State {
    /// In its place or on the way there, without orders.
    Parking {
        ready: bool,
    },
    Starting {
        id: u64,
        enforced: Enforced,
    },
    Running {
        id: u64,
        /// Equipment is on its way.
        equipping: bool,
    },
    /// Its end has been reported, or nobody asked for it.
    Disowned,
}

struct Spawner {
    server: OwnedFd,
    epoll: OwnedFd,
    signals: SignalFd,
    ground: Ground,
    children: BTreeMap<i32, Child>,
    parked: VecDeque<i32>,
    parking: Parking,
    /// Leaves of ended children that still had somebody in them.
    unswept: Vec<Leaf>,
    /// Held for as long as we live.
    _lock: std::fs::File,
}

/// Runs the spawner over its standard input until the server is gone. To be called before anything
/// else in `main`, while the process has one thread.
pub fn spawner_main() -> ExitCode {
    match prepare() {
        Ok(mut spawner) => {
            let ended = spawner.run();
            spawner.end();
            if ended.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(_) => ExitCode::FAILURE,
    }
}

/// Takes the first message and answers it; after an error the server reads why, then the end.
fn prepare() -> Result<Spawner, Errno> {
    let server = take_stdin()?;
    let mut buffer = vec![0; PACKET_BYTES_MAX];
    let (length, _) = receive(&server, &mut buffer)?.ok_or(Errno::PIPE)?;
    let Request::Configure(setup) = decode(&buffer[..length])? else { return Err(Errno::PROTO) };
    match ready(&server, &setup) {
        Ok(spawner) => Ok(spawner),
        Err(failure) => {
            let errno = Errno::from_raw_os_error(failure.errno);
            send(&server, &encode(&Report::Failed { id: 0, failure }), &[])?;
            Err(errno)
        }
    }
}

fn ready(server: &OwnedFd, setup: &SpawnerSetup) -> Result<Spawner, Failure> {
    let at = |stage: &'static str| move |errno: Errno| Failure::new(stage, errno);
    if sys::threads() != 1 {
        return Err(Failure::new("starting the spawner in a process with threads", Errno::BUSY));
    }
    let signals = isolate().map_err(at("isolating the spawner"))?;
    let lock = etc::lock(&setup.base_dir).map_err(|error| {
        let stage = format!("taking {} (is another Stint using it?)", setup.base_dir.display());
        Failure::io(stage, &error)
    })?;
    etc::prepare(&setup.base_dir)
        .map_err(|error| Failure::io(format!("preparing {}", setup.base_dir.display()), &error))?;
    let user_namespace = probe::user_namespace();
    let wanted = setup.user_namespace == UserNamespace::WhenAvailable
        || !rustix::process::geteuid().is_root();
    let mut ground = Ground::new(setup, wanted && user_namespace.is_ok());
    let capabilities = probe::probe(&mut ground, user_namespace);
    let server = server.try_clone().map_err(|error| Failure::io("keeping the socket", &error))?;
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(at("making an epoll"))?;
    let watch = |fd, data| {
        epoll::add(&epoll, fd, epoll::EventData::new_u64(data), epoll::EventFlags::IN)
            .map_err(at("watching"))
    };
    watch(server.as_fd(), SERVER)?;
    watch(signals.as_fd(), CHILDREN)?;
    send(&server, &encode(&Report::Ready(capabilities)), &[]).map_err(at("reporting"))?;
    Ok(Spawner {
        server,
        epoll,
        signals,
        ground,
        children: BTreeMap::new(),
        parked: VecDeque::new(),
        parking: Parking::new(usize::try_from(setup.parked).unwrap_or(0)),
        unswept: Vec::new(),
        _lock: lock,
    })
}

/// Moves the socket away from the number that children take for their input.
fn take_stdin() -> Result<OwnedFd, Errno> {
    use rustix::fs::{Mode, OFlags, open};
    let server = sys::lift(std::io::stdin().as_fd())?;
    let null = open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    sys::dup_onto(null.as_fd(), 0)?;
    sys::dup_onto(null.as_fd(), 1)?;
    Ok(server)
}

/// A session of its own, so that a Ctrl-C meant for the server does not end its instances, and
/// children's ends as a descriptor.
fn isolate() -> Result<SignalFd, Errno> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    // Already a leader is as good.
    rustix::process::setsid().ok();
    let errno = |errno: nix::Error| Errno::from_raw_os_error(errno as i32);
    let mut held = SigSet::empty();
    for signal in [Signal::SIGCHLD, Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        held.add(signal);
    }
    held.thread_block().map_err(errno)?;
    let mut children = SigSet::empty();
    children.add(Signal::SIGCHLD);
    let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
    let signals = SignalFd::with_flags(&children, flags).map_err(errno)?;
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(NOFILE);
    let wanted = Rlimit { current: Some(most.max(NOFILE)), maximum: Some(most.max(NOFILE)) };
    if setrlimit(Resource::Nofile, wanted).is_err() {
        // Without privilege the hard limit is what there is.
        setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum: Some(most) })?;
    }
    Ok(signals)
}

impl Spawner {
    fn run(&mut self) -> Result<(), Errno> {
        let mut buffer = vec![0; PACKET_BYTES_MAX];
        self.refill()?;
        loop {
            let mut events = Vec::with_capacity(64);
            let again = !self.unswept.is_empty() || self.parking.pauses();
            let timeout = again.then_some(&SWEEP_AFTER);
            match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), timeout) {
                Err(Errno::INTR) => continue,
                other => other?,
            };
            for event in &events {
                match event.data.u64() {
                    SERVER => {
                        let Some((length, fds)) = receive(&self.server, &mut buffer)? else {
                            return Ok(());
                        };
                        match decode(&buffer[..length])? {
                            Request::Launch { id, spec } => self.launch(id, spec, &fds)?,
                            Request::Equip { id, equipment } => self.equip(id, equipment)?,
                            Request::Abandon { id } => self.abandon(id),
                            Request::Configure(_) => return Err(Errno::PROTO),
                        }
                    }
                    CHILDREN => self.reap()?,
                    pid => self.listen(i32::try_from(pid).map_err(|_| Errno::PROTO)?)?,
                }
            }
            self.unswept.retain(|leaf| leaf.remove().is_err());
            // After what was asked for, so that a burst is not slowed by preparing the next one.
            if events.iter().all(|event| event.data.u64() != SERVER) {
                self.refill()?;
            }
        }
    }

    fn launch(&mut self, id: u64, spec: LaunchSpec, fds: &[OwnedFd]) -> Result<(), Errno> {
        let parked = if spec.network.is_own() { self.take_parked() } else { None };
        if let Some(pid) = parked {
            // A parked child can be killed at any moment. Whatever is wrong with it, a fresh one tells
            // whether it was the spec.
            if self.order(pid, id, spec.clone(), fds).is_ok() {
                return Ok(());
            }
        }
        let ordered = self.open(spec.network).and_then(|pid| self.order(pid, id, spec, fds));
        match ordered {
            Ok(()) => Ok(()),
            Err(failure) => self.report(&Report::Failed { id, failure }, &[]),
        }
    }

    /// Gives a child its orders, or ends it.
    fn order(
        &mut self,
        pid: i32,
        id: u64,
        spec: LaunchSpec,
        fds: &[OwnedFd],
    ) -> Result<(), Failure> {
        let child = self.children.get_mut(&pid).expect("a seat just taken is there");
        let parked = matches!(child.state, State::Parking { ready: true });
        match child.seat.order(&self.ground, spec, fds) {
            Ok(enforced) => {
                child.state = State::Starting { id, enforced: Enforced { parked, ..enforced } };
                Ok(())
            }
            Err(failure) => {
                child.state = State::Disowned;
                // Gone already is as good.
                child.seat.kill().ok();
                Err(failure)
            }
        }
    }

    /// Ends a launch that is still under way; its reaping reports the rest.
    fn abandon(&self, id: u64) {
        let starting =
            |child: &&Child| matches!(child.state, State::Starting { id: i, .. } if i == id);
        if let Some(child) = self.children.values().find(starting) {
            // Ended already is as good.
            child.seat.kill().ok();
        }
    }

    /// Equips a waiting instance; one that has ended is told by its end.
    fn equip(&mut self, id: u64, equipment: Equipment) -> Result<(), Errno> {
        let waiting = |child: &&mut Child| match child.state {
            State::Running { id: other, equipping } => other == id && !equipping,
            State::Parking { .. } | State::Starting { .. } | State::Disowned => false,
        };
        let Some(child) = self.children.values_mut().find(waiting) else { return Ok(()) };
        match child.seat.equip(&self.ground, equipment) {
            Ok(()) => {
                child.state = State::Running { id, equipping: true };
                Ok(())
            }
            Err(failure) => {
                // Ended already is as good.
                child.seat.kill().ok();
                self.report(&Report::Equipped { id, failed: Some(failure) }, &[])
            }
        }
    }

    fn open(&mut self, network: Network) -> Result<i32, Failure> {
        let seat = Seat::open(&mut self.ground, network)?;
        let pid = seat.pid;
        let data = epoll::EventData::new_u64(u64::from(pid.unsigned_abs()));
        if let Err(errno) = epoll::add(&self.epoll, &seat.socket, data, epoll::EventFlags::IN) {
            // It ends as its socket drops, and is reaped as a stranger.
            return Err(Failure::new("watching a sandbox", errno));
        }
        let state = State::Parking { ready: false };
        self.children.insert(pid, Child { seat, state, ended: None });
        Ok(pid)
    }

    /// A child that is parked and still lives: its death may not have been noticed yet.
    fn take_parked(&mut self) -> Option<i32> {
        while let Some(pid) = self.parked.pop_front() {
            if self.children.get(&pid).is_some_and(|child| child.seat.lives()) {
                return Some(pid);
            }
        }
        None
    }

    /// Keeps the wanted number of children parked, one at a time.
    fn refill(&mut self) -> Result<(), Errno> {
        let parking =
            self.children.values().filter(|c| matches!(c.state, State::Parking { .. })).count();
        if parking >= self.parking.wanted() {
            return Ok(());
        }
        match self.open(Network::Loopback) {
            Ok(_) => Ok(()),
            // The machine may be short of something; trying again at once would not help.
            Err(failure) => self.parked_lost(&failure.to_string()),
        }
    }

    fn parked_lost(&mut self, why: &str) -> Result<(), Errno> {
        self.parking.failed();
        self.report(&Report::ParkedLost { why: why.to_owned() }, &[])
    }

    /// Reads one word of a child.
    fn listen(&mut self, pid: i32) -> Result<(), Errno> {
        let Some(child) = self.children.get_mut(&pid) else { return Ok(()) };
        let mut buffer = [0; 4096];
        let word = match receive(&child.seat.socket, &mut buffer) {
            Ok(Some((length, _))) => decode::<Word>(&buffer[..length]).ok(),
            Ok(None) | Err(_) => None,
        };
        let Some(word) = word else {
            // It ends, or talks nonsense: either way its reaping tells the rest.
            epoll::delete(&self.epoll, &child.seat.socket)?;
            return child.seat.kill().or(Ok(()));
        };
        self.heed(pid, word)
    }

    fn heed(&mut self, pid: i32, word: Word) -> Result<(), Errno> {
        let child = self.children.get_mut(&pid).expect("the caller has it");
        match (word, &mut child.state) {
            (Word::Parked, State::Parking { ready }) if !*ready => {
                *ready = true;
                if child.seat.network.is_own() {
                    self.parked.push_back(pid);
                    self.parking.succeeded();
                }
                Ok(())
            }
            (Word::Running { landlock_abi, filter_length }, State::Starting { id, enforced }) => {
                let id = *id;
                let enforced = Enforced { landlock_abi, filter_length, ..enforced.clone() };
                child.state = State::Running { id, equipping: false };
                let cgroup = child.seat.leaf.dirs();
                let report = Report::Launched { id, pid: pid.unsigned_abs(), enforced, cgroup };
                send(&self.server, &encode(&report), &[child.seat.pidfd.as_fd()])
            }
            (Word::Equipped, State::Running { id, equipping: equipping @ true }) => {
                *equipping = false;
                let report = Report::Equipped { id: *id, failed: None };
                self.report(&report, &[])
            }
            (Word::Failed(failure), State::Running { id, equipping: true }) => {
                let report = Report::Equipped { id: *id, failed: Some(failure) };
                self.report(&report, &[])
            }
            (Word::Failed(failure), State::Starting { id, .. }) => {
                let id = *id;
                child.state = State::Disowned;
                self.report(&Report::Failed { id, failure }, &[])
            }
            (Word::Failed(failure), State::Parking { .. }) => {
                child.state = State::Disowned;
                self.parked_lost(&failure.to_string())
            }
            (ended @ Word::Ended { .. }, State::Running { .. }) if child.ended.is_none() => {
                child.ended = Some(ended);
                Ok(())
            }
            // Orders may overtake the word that it is parked; everything else is out of turn.
            (Word::Parked, State::Starting { .. }) => Ok(()),
            (_, State::Disowned) => Ok(()),
            _ => child.seat.kill().or(Ok(())),
        }
    }

    fn reap(&mut self) -> Result<(), Errno> {
        while let Ok(Some(_)) = self.signals.read_signal() {}
        while let Some(reaped) = sys::reap() {
            // The last words are still in the socket.
            while self.children.get(&reaped.pid).is_some_and(has_words) {
                self.listen(reaped.pid)?;
            }
            if let Some(child) = self.children.remove(&reaped.pid) {
                self.bury(&reaped, child)?;
            }
        }
        Ok(())
    }

    fn bury(&mut self, reaped: &Reaped, child: Child) -> Result<(), Errno> {
        let Child { seat, state, ended } = child;
        self.parked.retain(|pid| *pid != reaped.pid);
        match state {
            State::Running { id, .. } => {
                let exit = exit(reaped, ended, &seat.leaf);
                self.report(&Report::Exited { id, exit }, &[])?;
            }
            State::Starting { id, .. } => {
                self.report(&Report::Failed { id, failure: ended_early() }, &[])?;
            }
            State::Parking { .. } => self.parked_lost(&describe(reaped))?,
            State::Disowned => {}
        }
        let Seat { leaf, .. } = seat;
        if leaf.remove().is_err() {
            self.unswept.push(leaf);
        }
        Ok(())
    }

    fn report(&self, report: &Report, fds: &[std::os::fd::BorrowedFd<'_>]) -> Result<(), Errno> {
        send(&self.server, &encode(report), fds)
    }

    /// Nobody is left behind.
    fn end(&mut self) {
        for child in self.children.values() {
            // Gone already is as good.
            child.seat.kill().ok();
        }
        self.children.clear();
        self.ground.cgroups.close();
    }
}

fn ended_early() -> Failure {
    Failure::new("the sandbox ended before the program started", Errno::CANCELED)
}

/// How a child ended, for people.
fn describe(reaped: &Reaped) -> String {
    match (reaped.code, reaped.signal) {
        (_, Some(signal)) => format!("it ended by signal {signal}"),
        (code, None) => format!("it ended with code {}", code.unwrap_or(0)),
    }
}

fn has_words(child: &Child) -> bool {
    use rustix::event::{PollFd, PollFlags, poll};
    let mut socket = [PollFd::new(&child.seat.socket, PollFlags::IN)];
    let ready = poll(&mut socket, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
    ready == Ok(1) && socket[0].revents().contains(PollFlags::IN) && pending(child)
}

/// Whether there is a packet and not just the end.
fn pending(child: &Child) -> bool {
    rustix::io::ioctl_fionread(&child.seat.socket).is_ok_and(|bytes| bytes > 0)
}

/// How an instance ended: by its own word, or by what happened to its init.
fn exit(reaped: &Reaped, ended: Option<Word>, leaf: &Leaf) -> Exit {
    let mut usage = leaf.usage();
    let (code, signal, watchdog, peak_kb, cpu_us) = match ended {
        Some(Word::Ended { code, signal, watchdog, peak_kb, cpu_us }) => {
            (code, signal, watchdog, peak_kb, cpu_us)
        }
        _ => (reaped.code, reaped.signal, false, reaped.peak_kb, reaped.cpu_us),
    };
    usage.memory_peak_bytes = usage.memory_peak_bytes.or(Some(peak_kb * 1024));
    usage.cpu = usage.cpu.or(Some(Duration::from_micros(cpu_us)));
    let how = match (code, signal) {
        (Some(code), _) => ExitHow::Code(code),
        (None, signal) => ExitHow::Signal(signal.unwrap_or(libc::SIGKILL)),
    };
    Exit { how, out_of_memory: watchdog || usage.oom_kills > 0, usage }
}
