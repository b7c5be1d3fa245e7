//! One world: a book, several lives on it, and what the checkers found.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use stint_engine::control::code::{NoBuckets, NoJudge};
use stint_engine::secret::Keyring;
use stint_engine::{EngineConfig, Entropy, Ports};
use stint_model::account::{Account, AccountLimits};
use stint_model::function::{
    AsyncConfig, Function, FunctionConfig, FunctionLimits, Readiness, Revision,
};
use stint_model::id::{AccountId, FunctionId, RevisionId};
use stint_model::limit::{Rate, Resources};
use stint_model::shard::{Fence, Shard};
use stint_model::task::Task;
use stint_model::time::{Span, Timestamp};
use stint_store::memory::{Fault, MemoryBlobs, MemoryStore};
use stint_store::record::{account, async_config, function};
use stint_store::{Batch, Put, Store};
use stint_supervise::{Clock, OnExit, SimClock, Supervisor};
use tokio::sync::mpsc;

use crate::checkers;
use crate::client::{Acked, Client};
use crate::dice::Dice;
use crate::flows::{self, Begun, Starter};
use crate::node::{Diary, Faults, SimNode};

/// The functions of every world. The first sends its outcomes to the second.
pub const FUNCTIONS: [&str; 3] = ["alpha", "beta", LIMITED];
/// The function that may run only so many at once.
pub const LIMITED: &str = "gamma";
/// How many.
pub const LIMIT: usize = 2;

/// In every other world the account may run only so many at once, whatever shards they are in.
pub const ACCOUNT_LIMIT: usize = 3;
/// And start only so many a second, with this burst.
pub const ACCOUNT_RATE: Rate = Rate { milli_per_second: 4_000, burst: 2 };

/// What kind of world.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Decides everything.
    pub seed: u64,
    /// How many shards the book has.
    pub shards: u16,
    /// How often the process dies.
    pub crashes: u32,
    /// Tasks of each client in each life.
    pub tasks: u32,
    /// Executions of flows in each life.
    pub executions: u32,
}

/// What a world came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    /// What was wrong; empty when all held.
    pub wrong: Vec<String>,
    /// Tasks in the book at the end.
    pub tasks: usize,
    /// Executions in the book at the end.
    pub executions: usize,
    /// Runs of user code.
    pub runs: usize,
    /// A digest of every task's states and times: the same seed gives the same.
    pub digest: u64,
}

/// When the simulated time of a world begins.
const BEGINNING: Timestamp = Timestamp::from_millis(1_800_000_000_000);
/// A healed world must have settled everything after this much simulated time.
const HEALED: Span = Span::from_secs(6 * 3_600);
/// Clients of each life.
const CLIENTS: u32 = 3;
/// How often time moves before a process dies at the latest.
const STEPS_MAX: u64 = 400;

struct World {
    settings: Settings,
    dice: Dice,
    book: MemoryStore,
    blobs: MemoryBlobs,
    acked: Acked,
    begun: Begun,
    diary: Diary,
    now: Timestamp,
    /// When each life began and ended.
    lives: Vec<(Timestamp, Timestamp)>,
    wrong: Vec<String>,
}

/// Plays a world to its end.
pub fn play(settings: Settings) -> Report {
    let mut world = World {
        settings,
        dice: Dice::new(settings.seed),
        book: MemoryStore::new(),
        blobs: MemoryBlobs::new(),
        acked: Acked::default(),
        begun: Begun::default(),
        diary: Diary::default(),
        now: BEGINNING,
        lives: Vec::new(),
        wrong: Vec::new(),
    };
    world.found();
    world.found_flows();
    for life in 0..settings.crashes {
        let before = world.book.tasks();
        world.live(life, true);
        world.wrong.extend(checkers::ends_stay(&before, &world.book.tasks()));
    }
    world.live(settings.crashes, false);
    world.check()
}

impl World {
    /// Whether the account is limited here.
    fn is_limited(&self) -> bool {
        self.settings.seed % 2 == 1
    }

    /// Whether its starts are, too. Where they are, the clock wakes who waits for them, which hides
    /// a shard that was not told that something is free.
    fn is_rated(&self) -> bool {
        self.settings.seed % 4 == 1
    }

    /// Writes the account and the functions into the empty book.
    fn found(&mut self) {
        let runtime = runtime();
        let home = Shard::of_account(AccountId::ROOT, self.settings.shards);
        let (book, limits) = (self.book.clone(), (self.is_limited(), self.is_rated()));
        runtime.block_on(async move {
            let opened = book.shard_open(home, BEGINNING).await.expect("opens");
            let mut batch = Batch::new(Fence { shard: home, epoch: opened.epoch });
            let (key, body) = (account::key(AccountId::ROOT), account::encode(&an_account(limits)));
            batch.puts.push(Put::Record { key, shard: home, body });
            book.commit(batch).await.expect("commits");
        });
        for (number, name) in (1_u64..).zip(FUNCTIONS) {
            let home = Shard::of_function(AccountId::ROOT, name, self.settings.shards);
            let (function, config) = a_function(number, name);
            let book = self.book.clone();
            runtime.block_on(async move {
                let opened = book.shard_open(home, BEGINNING).await.expect("opens");
                let mut batch = Batch::new(Fence { shard: home, epoch: opened.epoch });
                let put = |key, body| Put::Record { key, shard: home, body };
                let key = function::key(AccountId::ROOT, name);
                batch.puts.push(put(key, function::encode(&function)));
                let key = async_config::key(AccountId::ROOT, name, "LATEST");
                batch.puts.push(put(key, async_config::encode(&config)));
                book.commit(batch).await.expect("commits");
            });
        }
    }

    /// Writes the flows.
    fn found_flows(&mut self) {
        let book = self.book.clone();
        let puts = flows::puts(self.settings.shards, BEGINNING);
        runtime().block_on(async move {
            for (shard, put) in puts {
                let opened = book.shard_open(shard, BEGINNING).await.expect("opens");
                let mut batch = Batch::new(Fence { shard, epoch: opened.epoch });
                batch.puts.push(put);
                book.commit(batch).await.expect("commits");
            }
        });
    }

    /// One life of the process: until a drawn moment, or until everything has settled.
    fn live(&mut self, life: u32, faulty: bool) {
        let (clock, hand) = Clock::simulated(self.now);
        let runtime = runtime();
        let mut dice = self.dice.fork();
        runtime.block_on(self.breathe(life, faulty, (clock, &hand), &mut dice));
        // Dropping the runtime kills everything at the await it stands at.
        drop(runtime);
        self.lives.push((self.now, hand.now()));
        self.now = hand.now() + Span::from_millis(1 + self.dice.below(5_000));
        self.diary.cut(hand.now());
        self.book = self.book.crash();
    }

    async fn breathe(
        &self,
        life: u32,
        faulty: bool,
        (clock, hand): (Clock, &SimClock),
        dice: &mut Dice,
    ) {
        let supervisor = Supervisor::new(clock.clone());
        let ports = Ports {
            store: Arc::new(self.book.clone()),
            blobs: Arc::new(self.blobs.clone()),
            buckets: Arc::new(NoBuckets),
            judge: Arc::new(NoJudge),
            http: Arc::new(stint_engine::flows::http::NoHttp),
            clock: clock.clone(),
            keyring: Keyring::in_memory(),
            entropy: Entropy::seeded(dice.bits()),
            spending: Arc::new(stint_engine::Unmetered),
            storage_allows: Arc::new(AtomicBool::new(true)),
        };
        let config = EngineConfig { shards: self.settings.shards, ..EngineConfig::for_tests() };
        let running =
            stint_engine::start(config, ports, &supervisor).await.expect("the catalog reads");
        let engine = running.engine.clone();
        let (to_node, inbox) = mpsc::channel(4_096);
        let (outbox, from_node) = mpsc::channel(4_096);
        let pump = engine.clone();
        let guests = supervisor.guests("sim/outside", 64);
        supervisor
            .spawn("link", OnExit::Ignore, |stop| pump.run_node(from_node, to_node, guests, stop));
        let faults = if faulty {
            Faults { doubled: 10, late: 10, refused: 5, failing: 20 }
        } else {
            Faults::default()
        };
        let diary = self.diary.clone();
        let node = SimNode { life, clock: clock.clone(), diary, faults, dice: dice.fork(), outbox };
        let capacity = Resources { cpu_milli: 1_000, memory_mb: 2_048 };
        supervisor.spawn("node", OnExit::Ignore, |stop| node.run(capacity, inbox, stop));
        let busy = Arc::new(AtomicU32::new(CLIENTS + 1));
        for n in 0..CLIENTS {
            let client = Client {
                name: format!("c{life}-{n}"),
                engine: engine.clone(),
                clock: clock.clone(),
                dice: dice.fork(),
                acked: self.acked.clone(),
                tasks: self.settings.tasks,
            };
            let busy = Arc::clone(&busy);
            supervisor.spawn(format!("client/{n}"), OnExit::Ignore, |stop| async move {
                client.run(stop).await;
                busy.fetch_sub(1, Ordering::Relaxed);
            });
        }
        let starter = Starter {
            name: format!("x{life}"),
            engine: engine.clone(),
            clock: clock.clone(),
            dice: dice.fork(),
            begun: self.begun.clone(),
            executions: self.settings.executions,
        };
        let working = Arc::clone(&busy);
        supervisor.spawn("starter", OnExit::Ignore, |stop| async move {
            starter.run(stop).await;
            working.fetch_sub(1, Ordering::Relaxed);
        });
        let (poller, throws) = (engine.clone(), dice.fork());
        let time = clock.clone();
        supervisor.spawn("poller", OnExit::Ignore, |stop| flows::poll(poller, time, throws, stop));
        if faulty {
            return self.stumble(hand, dice).await;
        }
        self.settle_down(hand, dice, &busy).await;
    }

    /// Moves time in drawn steps with drawn faults, and leaves at a drawn moment.
    async fn stumble(&self, hand: &SimClock, dice: &mut Dice) {
        let steps = dice.below(STEPS_MAX);
        for _ in 0..steps {
            if dice.percent(2) {
                let fault =
                    if dice.percent(50) { Fault::NotWritten } else { Fault::WrittenUnanswered };
                self.book.fail_next_commit(fault);
            }
            match dice.below(100) {
                0..3 => self.book.hold_commits(),
                3..10 => self.book.release_commits(),
                _ => {}
            }
            hand.advance(Span::from_millis(dice.below(200)));
            for _ in 0..dice.below(40) {
                tokio::task::yield_now().await;
            }
        }
        // Somewhere between two polls.
        for _ in 0..dice.below(20) {
            tokio::task::yield_now().await;
        }
    }

    /// Moves time from sleeper to sleeper until the clients have done and the book has settled. No
    /// fault any more, so that nothing is read anew from the book and what memory forgot shows; the
    /// disk is slow at times.
    async fn settle_down(&self, hand: &SimClock, dice: &mut Dice, busy: &AtomicU32) {
        let until = hand.now() + HEALED;
        while hand.now() < until {
            let is_busy = busy.load(Ordering::Relaxed) > 0;
            if is_busy && dice.percent(10) {
                self.book.hold_commits();
            } else {
                self.book.release_commits();
            }
            for _ in 0..200 {
                tokio::task::yield_now().await;
            }
            let tasks = self.book.tasks();
            let is_done = checkers::everything_ended(&tasks).is_empty()
                && flows::all_ended(&self.book.executions()).is_empty();
            if !is_busy && is_done {
                return;
            }
            let next = hand.next_wake().unwrap_or(until).min(until);
            hand.advance_to(next.max(hand.now() + Span::from_millis(1)));
        }
    }

    fn check(mut self) -> Report {
        let (tasks, runs) = (self.book.tasks(), self.diary.runs());
        self.wrong.extend(checkers::nothing_lost(&self.acked, &tasks));
        self.wrong.extend(checkers::everything_ended(&tasks));
        self.wrong.extend(checkers::runs_kept_the_limits(&runs, &tasks));
        self.wrong.extend(checkers::deadlines_kept(&tasks));
        if self.is_limited() {
            self.wrong.extend(checkers::account_kept_its_limits(
                &runs,
                &tasks,
                (&self.lives, self.settings.shards == 1, self.is_rated()),
            ));
        }
        self.wrong.extend(checkers::dependencies_held(&tasks));
        self.wrong.extend(checkers::delivered_once(&tasks));
        let kept = self.book.executions();
        self.wrong.extend(flows::all_ended(&kept));
        self.wrong.extend(flows::executions_hold(&kept, &self.begun));
        let digest = digest(&tasks);
        let (tasks, executions) = (tasks.len(), kept.len());
        Report { wrong: self.wrong, tasks, executions, runs: runs.len(), digest }
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime without drivers")
}

fn digest(tasks: &[Task]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut write = |value: u64| hash = (hash ^ value).wrapping_mul(0x0100_0000_01b3);
    for task in tasks {
        write(task.uid().number());
        for event in task.events() {
            write(u64::from(event.state.number()));
            write(event.at.micros().unsigned_abs());
        }
    }
    hash
}

fn an_account((limited, rated): (bool, bool)) -> Account {
    let mut limits = AccountLimits::default();
    if limited {
        limits.concurrency_max = Some(u32::try_from(ACCOUNT_LIMIT).expect("a small limit"));
        limits.rate = rated.then_some(ACCOUNT_RATE);
    }
    Account {
        id: AccountId::ROOT,
        name: "root".into(),
        display: String::new(),
        created_at: BEGINNING,
        modified_at: BEGINNING,
        disabled: None,
        limits,
    }
}

fn a_function(number: u64, name: &str) -> (Function, AsyncConfig) {
    let concurrency_max = (name == LIMITED).then(|| u32::try_from(LIMIT).expect("a small limit"));
    let head = Revision {
        id: RevisionId::from_number(1_000 + number),
        config: a_config(),
        code: None,
        created_at: BEGINNING,
    };
    let function = Function {
        id: FunctionId::from_number(number),
        account: AccountId::ROOT,
        name: name.into(),
        head: Arc::new(head),
        readiness: Readiness::Active,
        update: None,
        created_at: BEGINNING,
        modified_at: BEGINNING,
        tags: BTreeMap::new(),
        resource_group: String::new(),
        version_newest: 0,
        disabled: None,
        paused: false,
        instances_max: None,
        limits: FunctionLimits { concurrency_max, ..FunctionLimits::default() },
    };
    let mut config = AsyncConfig { task_mode: true, ..AsyncConfig::default() };
    if name == FUNCTIONS[0] {
        let target = format!("acs:fc:local:{}:functions/{}", AccountId::ROOT, FUNCTIONS[1]);
        config.on_success.clone_from(&target);
        config.on_failure = target;
    }
    (function, config)
}

fn a_config() -> FunctionConfig {
    FunctionConfig {
        description: String::new(),
        runtime: "python3.10".into(),
        handler: "index.handler".into(),
        size: Resources { cpu_milli: 100, memory_mb: 128 },
        disk_mb: 512,
        timeout: Span::from_secs(60),
        instance_concurrency: 1,
        environment: BTreeMap::new(),
        layers: Vec::new(),
        custom_runtime: None,
        custom_container: None,
        custom_dns: None,
        internet_access: true,
        role: String::new(),
        initializer: None,
        pre_stop: None,
        nas: None,
        log: None,
        idle_timeout: Span::ZERO,
        disable_ondemand: false,
        inject: Default::default(),
        isolation: Default::default(),
        kept: BTreeMap::new(),
    }
}
