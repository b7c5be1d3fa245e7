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

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use stint_model::time::{Span, Timestamp};
use stint_sandbox::{
    Channel as WithChannel, Doors, Inside, Interpreter, LaunchSpec, Launched, Limits, Network,
    Outfit, RootFs,
};
use stint_supervise::{Clock, Stop};
use tokio::sync::{mpsc, oneshot};

use self::shelves::{Plan, Shelves};
use super::process::{Process, attend};
use super::start::shim_binds;
use crate::environment;
use crate::frame::{Channel, Heard};
use crate::output::Output;
use crate::shared::NodeShared;
use crate::shims;

mod shelves;

/// Takes that may wait for the loop; it never waits for anything but the next event.
const REQUESTS_MAX: usize = 64;
/// Whoever finds none waits so long for one that is just being made; a start of its own would not be
/// there sooner.
const SOON: Span = Span::from_millis(100);
/// Limits of one that waits.
const WAITING: Limits =
    Limits { memory_mb: 256, cpu_milli: 1_000, pids_max: 1_024, nofile: 100_000, tmp_mb: 16 };

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
        let mut shelves = Shelves::new(plan);
        for kind in first {
            shelves.of(&kind);
        }
        let requests = self.requests;
        Keeper { requests, shared, shelves, making: None, soon: None, made: 0 }.run(stop).await;
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
        u32::try_from(self.shelves.count()).unwrap_or(u32::MAX)
    }
}

/// Waits until some of those that wait have ended, and removes them.
async fn ended(shelves: &mut Shelves<Box<Parked>>) -> usize {
    std::future::poll_fn(|context: &mut Context<'_>| {
        let count =
            shelves.retain(|parked| pin!(parked.process.ended()).poll(context).is_pending());
        if count > 0 { Poll::Ready(count) } else { Poll::Pending }
    })
    .await
}

/// Starts one and waits until it waits.
async fn make(shared: Arc<NodeShared>, kind: Kind, number: u32) -> Result<Box<Parked>, String> {
    let launched = shared.launcher.launch(launch_spec(&shared, &kind, number)).await;
    let Launched { instance, stdout, stderr, channel, doors, exit, .. } =
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
