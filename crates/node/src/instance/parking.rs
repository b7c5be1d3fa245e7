//! Interpreters that wait: each is started in a sandbox of its own with our shim and what most code
//! imports anyway, and has nothing of any function in it. An instance that begins takes one, gives it
//! code, limits and environment, and so saves the start of the interpreter. One is used once.
//!
//! ```text
//! empty ──launch──► starting ──"I wait"──► ready ──take──► an instance's
//!   ▲                                        │
//!   └── demand falls, or it ended by itself ─┘
//! ```
//!
//! One loop owns them all. How many of a kind wait follows what was taken lately, within a number and
//! a sum of memory. They are made one at a time, and not while a take has just begun to use what
//! processor there is. Whoever finds none starts the ordinary way.

use std::collections::VecDeque;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use stint_model::time::{Span, Timestamp};
use stint_sandbox::{
    Channel as WithChannel, Doors, Family, Inside, Interpreter, LaunchSpec, Launched, Limits,
    Network, Outfit, RootFs,
};
use stint_supervise::{Clock, Stop};
use tokio::sync::{mpsc, oneshot};

use super::process::{Process, attend};
use super::start::shim_binds;
use crate::environment;
use crate::frame::{Channel, Heard};
use crate::output::Output;
use crate::shared::NodeShared;
use crate::shims;

/// Takes that may wait for the loop; it never waits for anything but the next event.
const REQUESTS_MAX: usize = 64;
/// What was taken within this time is expected to be taken again.
const DEMAND_OVER: Span = Span::from_secs(30);
/// How many of a kind wait when nobody has asked for any lately.
const AT_REST: usize = 2;
/// After a take nothing is made for so long, unless takes never cease: the taker is using the
/// processor.
const QUIET: Span = Span::from_millis(30);
/// Whoever finds none waits so long for one that is just being made; a start of its own would not be
/// there sooner.
const SOON: Span = Span::from_millis(100);
/// After a failure nothing of that kind is made for so long, and after each further one in a row for
/// twice as long as before, up to the second figure. Somebody may just have killed the one that started.
const AFTER_FAILURE: Span = Span::from_secs(1);
const AFTER_FAILURES: Span = Span::from_secs(60);
/// Limits of one that waits.
const WAITING: Limits =
    Limits { memory_mb: 256, cpu_milli: 1_000, pids_max: 1_024, nofile: 100_000, tmp_mb: 16 };

/// What one that waits costs, rounded up.
fn memory_mb(family: Family) -> u32 {
    match family {
        Family::Python => 24,
        Family::Node => 64,
    }
}

/// What interpreters are told apart by.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Kind {
    pub(crate) interpreter: Interpreter,
    pub(crate) network: Network,
}

/// One that waits for its configuration.
pub(super) struct Parked {
    pub(super) process: Process,
    pub(super) output: Output,
    pub(super) channel: Channel,
    /// Nobody knocks before it is an instance's.
    pub(super) doors: Option<Doors>,
}

struct Take {
    kind: Kind,
    reply: Reply,
}

type Reply = oneshot::Sender<Option<Box<Parked>>>;

/// A cheap handle on the loop.
#[derive(Clone, Debug)]
pub(crate) struct Parking {
    requests: mpsc::Sender<Take>,
    clock: Clock,
}

/// What the loop is made of, until it runs.
pub(crate) struct Lot {
    requests: mpsc::Receiver<Take>,
}

impl Parking {
    /// The handle, and the loop to run under supervision.
    pub(crate) fn with_lot(clock: Clock) -> (Self, Lot) {
        let (sender, requests) = mpsc::channel(REQUESTS_MAX);
        (Self { requests: sender, clock }, Lot { requests })
    }

    /// One of that kind, if one waits or soon will. The asking is what makes more of them wait.
    pub(super) async fn take(&self, kind: Kind) -> Option<Box<Parked>> {
        let (reply, answer) = oneshot::channel();
        self.requests.try_send(Take { kind, reply }).ok()?;
        self.clock.within(SOON, answer).await?.ok()?
    }
}

impl Lot {
    /// Keeps them until it is stopped; those that still wait end then. `first` are made at once.
    pub(crate) async fn run(self, shared: Arc<NodeShared>, first: Vec<Kind>, stop: Stop) {
        let bounds = shared.config.bounds;
        let plan = Plan { most: bounds.parked_max, memory_mb: bounds.parked_memory_mb };
        let mut shelves = Shelves { plan, all: Vec::new(), quiet_until: Timestamp::ZERO };
        for kind in first {
            shelves.of(&kind);
        }
        let requests = self.requests;
        Keeper { requests, shared, shelves, making: None, soon: None, made: 0 }.run(stop).await;
    }
}

/// What bounds them.
#[derive(Clone, Copy, Debug)]
struct Plan {
    most: usize,
    memory_mb: u32,
}

/// Those of one kind.
struct Shelf<P> {
    kind: Kind,
    ready: VecDeque<P>,
    /// When some were asked for, lately.
    asked: VecDeque<Timestamp>,
    /// What could not be made since the last that could.
    failures: u32,
    not_before: Timestamp,
}

impl<P> Shelf<P> {
    fn put(&mut self, made: Option<P>) {
        self.failures = 0;
        self.ready.extend(made);
    }

    fn failed(&mut self, now: Timestamp) {
        let pause = AFTER_FAILURE.times(1 << self.failures.min(10));
        self.failures = self.failures.saturating_add(1);
        self.not_before = now + pause.min(AFTER_FAILURES);
    }

    /// A few, and as many more as were asked for lately.
    fn wanted(&self, plan: Plan) -> usize {
        (AT_REST + self.asked.len()).min(plan.most)
    }

    fn lack(&self, plan: Plan) -> usize {
        self.wanted(plan).saturating_sub(self.ready.len())
    }
}

/// All of them. Generic over what waits, so that the numbers can be tested without processes.
struct Shelves<P> {
    plan: Plan,
    all: Vec<Shelf<P>>,
    quiet_until: Timestamp,
}

impl<P> Shelves<P> {
    fn of(&mut self, kind: &Kind) -> &mut Shelf<P> {
        let at = self.all.iter().position(|shelf| shelf.kind == *kind).unwrap_or_else(|| {
            self.all.push(Shelf {
                kind: kind.clone(),
                ready: VecDeque::new(),
                asked: VecDeque::new(),
                failures: 0,
                not_before: Timestamp::ZERO,
            });
            self.all.len() - 1
        });
        &mut self.all[at]
    }

    fn take(&mut self, kind: &Kind, now: Timestamp) -> Option<P> {
        let most = self.plan.most;
        let shelf = self.of(kind);
        shelf.asked.push_back(now);
        // More than that would not make more wait.
        while shelf.asked.len() > most {
            shelf.asked.pop_front();
        }
        let taken = shelf.ready.pop_front();
        if now >= self.quiet_until + QUIET {
            self.quiet_until = now + QUIET;
        }
        taken
    }

    /// Forgets demand that is too old, and gives up what waits for nobody.
    fn forget(&mut self, now: Timestamp) -> Vec<P> {
        let mut given_up = Vec::new();
        for shelf in &mut self.all {
            while shelf.asked.front().is_some_and(|at| now.since(*at) >= DEMAND_OVER) {
                shelf.asked.pop_front();
            }
            while shelf.ready.len() > shelf.wanted(self.plan) {
                given_up.extend(shelf.ready.pop_front());
            }
        }
        given_up
    }

    /// What to make next: of the kind that lacks most, if the memory allows one more.
    fn lacking(&self, now: Timestamp) -> Option<Kind> {
        if now < self.quiet_until {
            return None;
        }
        let held: u32 = self.all.iter().map(Self::held_mb).sum();
        let room = |shelf: &&Shelf<P>| {
            held + memory_mb(shelf.kind.interpreter.family) <= self.plan.memory_mb
        };
        let due = |shelf: &&Shelf<P>| now >= shelf.not_before && shelf.lack(self.plan) > 0;
        let able = self.all.iter().filter(due);
        // Of equals the first: those the node began with.
        let most = able.filter(room).rev().max_by_key(|shelf| shelf.lack(self.plan));
        most.map(|shelf| shelf.kind.clone())
    }

    fn held_mb(shelf: &Shelf<P>) -> u32 {
        let count = u32::try_from(shelf.ready.len()).unwrap_or(u32::MAX);
        count.saturating_mul(memory_mb(shelf.kind.interpreter.family))
    }

    /// When there may be something to do without anybody asking.
    fn next_wake(&self, now: Timestamp) -> Option<Timestamp> {
        let demand = self.all.iter().filter_map(|shelf| shelf.asked.front());
        let demand = demand.map(|at| *at + DEMAND_OVER);
        let pauses = self.all.iter().map(|shelf| shelf.not_before).chain([self.quiet_until]);
        demand.chain(pauses).filter(|at| *at > now).min()
    }
}

type Making = Pin<Box<dyn Future<Output = Result<Box<Parked>, String>> + Send>>;

struct Keeper {
    requests: mpsc::Receiver<Take>,
    shared: Arc<NodeShared>,
    shelves: Shelves<Box<Parked>>,
    making: Option<(Kind, Making)>,
    /// Who waits for what is being made.
    soon: Option<Reply>,
    made: u32,
}

enum Wake {
    Asked(Take),
    Made(Result<Box<Parked>, String>),
    /// Some have ended by themselves; they are gone from their shelves.
    Ended(usize),
    Due,
}

impl Keeper {
    async fn run(mut self, stop: Stop) {
        loop {
            let now = self.shared.clock.now();
            drop(self.shelves.forget(now));
            if self.making.is_none()
                && let Some(kind) = self.shelves.lacking(now)
            {
                self.made = self.made.wrapping_add(1);
                let making = make(Arc::clone(&self.shared), kind.clone(), self.made);
                self.making = Some((kind, Box::pin(making)));
            }
            metrics::gauge!("stint_node_parked_interpreters").set(f64::from(self.ready()));
            let Some(wake) = self.wait(&stop, now).await else { return };
            self.heed(wake);
        }
    }

    async fn wait(&mut self, stop: &Stop, now: Timestamp) -> Option<Wake> {
        let until = self.shelves.next_wake(now);
        let Self { requests, shared, shelves, making, .. } = self;
        let sleep = async {
            match until {
                Some(at) => shared.clock.sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let made = async {
            match making {
                Some((_, making)) => making.await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            // A wait.
            () = stop.stopped() => None,
            // A request taken is answered.
            take = requests.recv() => take.map(Wake::Asked),
            // Kept in `self` and polled again.
            made = made => Some(Wake::Made(made)),
            // What has ended is removed in the moment it is seen.
            count = ended(shelves) => Some(Wake::Ended(count)),
            // A wait.
            () = sleep => Some(Wake::Due),
        }
    }

    fn heed(&mut self, wake: Wake) {
        let now = self.shared.clock.now();
        match wake {
            Wake::Asked(take) => self.answer(take, now),
            Wake::Made(made) => {
                let Some((kind, _)) = self.making.take() else { return };
                let soon = self.soon.take();
                self.put(&kind, soon, made, now);
            }
            Wake::Ended(count) => {
                tracing::warn!(count, "interpreters that waited have ended; others replace them");
            }
            Wake::Due => {}
        }
    }

    fn answer(&mut self, Take { kind, reply }: Take, now: Timestamp) {
        let taken = self.shelves.take(&kind, now);
        let in_the_making = self.making.as_ref().is_some_and(|(making, _)| *making == kind);
        let result = match taken {
            Some(_) => "hit",
            None if in_the_making && self.soon.is_none() => "soon",
            None => "miss",
        };
        metrics::counter!("stint_node_parked_taken_total", "result" => result).increment(1);
        if result == "soon" {
            self.soon = Some(reply);
        } else {
            // Nobody there any more: it is used once, so it ends.
            drop(reply.send(taken));
        }
    }

    /// Gives what was made to who waits for it, or onto its shelf.
    fn put(
        &mut self,
        kind: &Kind,
        soon: Option<Reply>,
        made: Result<Box<Parked>, String>,
        now: Timestamp,
    ) {
        match made {
            Ok(parked) => {
                let left = match soon {
                    Some(reply) => reply.send(Some(parked)).err().flatten(),
                    None => Some(parked),
                };
                // Whoever did not wait so long has not seen it.
                self.shelves.of(kind).put(left);
            }
            Err(reason) => {
                let interpreter = kind.interpreter.path.display();
                tracing::warn!(%interpreter, reason, "an interpreter cannot be kept waiting");
                self.shelves.of(kind).failed(now);
                if let Some(reply) = soon {
                    drop(reply.send(None));
                }
            }
        }
    }

    fn ready(&self) -> u32 {
        let ready: usize = self.shelves.all.iter().map(|shelf| shelf.ready.len()).sum();
        u32::try_from(ready).unwrap_or(u32::MAX)
    }
}

/// Waits until some of those that wait have ended, and removes them.
async fn ended(shelves: &mut Shelves<Box<Parked>>) -> usize {
    std::future::poll_fn(|context: &mut Context<'_>| {
        let mut count = 0;
        for shelf in &mut shelves.all {
            shelf.ready.retain_mut(|parked| {
                let gone = pin!(parked.process.ended()).poll(context).is_ready();
                count += usize::from(gone);
                !gone
            });
        }
        if count > 0 { Poll::Ready(count) } else { Poll::Pending }
    })
    .await
}

/// Starts one and waits until it waits.
async fn make(shared: Arc<NodeShared>, kind: Kind, number: u32) -> Result<Box<Parked>, String> {
    let launched = shared.launcher.launch(launch_spec(&shared, &kind, number)).await;
    let Launched { instance, stdout, stderr, channel, doors, exit } =
        launched.map_err(|error| stint_supervise::chain(&error))?;
    let mut process = Process::new(instance, exit);
    let mut output = Output::new(stdout, stderr);
    let stream = channel.ok_or("the sandbox gave no channel")?;
    let mut channel = Channel::new(stream, shared.config.bounds.result_bytes_max);
    let limit = shared.config.bounds.start_timeout;
    let waits = shared.clock.within(limit, channel.read());
    match attend(&mut process, &mut output, waits).await {
        Some(Some(Ok(frame))) if frame.kind == Heard::Waiting => {
            Ok(Box::new(Parked { process, output, channel, doors }))
        }
        Some(Some(Ok(_))) => Err("it said something else than that it waits".to_owned()),
        Some(Some(Err(error))) => Err(stint_supervise::chain(&error)),
        Some(None) => Err("it did not become ready in time".to_owned()),
        None => Err("it ended while it started".to_owned()),
    }
}

fn launch_spec(shared: &NodeShared, kind: &Kind, number: u32) -> LaunchSpec {
    let mut argv = shims::command(&kind.interpreter);
    argv.push(shims::WAIT.to_owned());
    let bounds = &shared.config.bounds;
    LaunchSpec {
        root: RootFs::Host,
        argv,
        env: environment::waiting(&shared.egress.outside(kind.network)),
        cwd: "/".into(),
        binds: shim_binds(shared, &kind.interpreter),
        limits: Limits { pids_max: bounds.pids_max, nofile: bounds.nofile, ..WAITING },
        user: shared.identities.nobody(number),
        inside: Inside::default(),
        network: kind.network,
        channel: WithChannel::Stream,
        outfit: Outfit::Later,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(path: &str, family: Family) -> Kind {
        let interpreter =
            Interpreter { family, path: path.into(), version: (3, 11, 0), binds: Vec::new() };
        Kind { interpreter, network: Network::Loopback }
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(1_000_000 + millis)
    }

    fn shelves(most: usize, memory_mb: u32) -> Shelves<u32> {
        let plan = Plan { most, memory_mb };
        Shelves { plan, all: Vec::new(), quiet_until: Timestamp::ZERO }
    }

    /// Makes until nothing is lacking; how many of each wait then.
    fn fill(shelves: &mut Shelves<u32>, now: Timestamp) -> Vec<usize> {
        while let Some(kind) = shelves.lacking(now) {
            shelves.of(&kind).put(Some(0));
        }
        shelves.all.iter().map(|shelf| shelf.ready.len()).collect()
    }

    #[test]
    fn a_few_of_each_wait_and_more_when_they_are_asked_for() {
        let mut shelves = shelves(5, 1_000);
        let (python, node) = (kind("/p", Family::Python), kind("/n", Family::Node));
        shelves.of(&python);
        shelves.of(&node);
        assert_eq!(fill(&mut shelves, at(0)), [2, 2]);
        assert_eq!(shelves.take(&python, at(100)), Some(0));
        assert_eq!(shelves.take(&python, at(100)), Some(0));
        assert_eq!(shelves.take(&python, at(100)), None, "whoever finds none starts otherwise");
        assert_eq!(shelves.lacking(at(110)), None, "the takers use the processor");
        shelves.take(&python, at(125));
        assert!(shelves.lacking(at(131)).is_some(), "but not for ever");
        assert_eq!(fill(&mut shelves, at(150)), [5, 2], "never more than the bound");
        assert_eq!(shelves.forget(at(20_000)).len(), 0);
        assert_eq!(shelves.next_wake(at(20_000)), Some(at(30_100)));
        assert_eq!(shelves.forget(at(31_000)).len(), 3, "demand is over");
        assert_eq!(shelves.next_wake(at(31_000)), None, "nothing moves at rest");
    }

    #[test]
    fn what_fails_once_is_tried_again_soon_and_what_always_fails_seldom() {
        let mut shelves = shelves(5, 1_000);
        let python = kind("/p", Family::Python);
        shelves.of(&python).failed(at(0));
        assert_eq!(shelves.lacking(at(999)), None);
        assert_eq!(fill(&mut shelves, at(1_000)), [2]);
        let pauses = (0..9).map(|_| {
            let shelf = shelves.of(&python);
            shelf.failed(at(0));
            shelf.not_before.since(at(0)).secs()
        });
        assert_eq!(pauses.collect::<Vec<_>>(), [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    }

    #[test]
    fn the_memory_is_a_bound_and_none_means_none() {
        let mut shelves = shelves(8, 100);
        let (python, node) = (kind("/p", Family::Python), kind("/n", Family::Node));
        shelves.of(&python);
        shelves.of(&node);
        for _ in 0..8 {
            shelves.take(&python, at(0));
        }
        assert_eq!(fill(&mut shelves, at(100)), [4, 0]);
        let mut tiny = self::shelves(8, 0);
        tiny.of(&python);
        assert_eq!(fill(&mut tiny, at(0)), [0]);
        let mut off = self::shelves(0, 1_000);
        off.of(&python);
        assert_eq!(fill(&mut off, at(0)), [0]);
    }
}
