//! Tasks and random legal moves for tests, from a seed: the same seed lives the same lives.

use std::sync::Arc;

use bytes::Bytes;
use stint_model::function::RetryPolicy;
use stint_model::id::{
    AccountId, FunctionId, InstanceId, Mint, NodeId, RevisionId, TaskUid, number_floor,
};
use stint_model::limit::{Priority, Resources};
use stint_model::payload::Payload;
use stint_model::shard::{Epoch, LetterId, Shard};
use stint_model::task::{
    AttemptFence, AttemptOutcome, Backoff, Delivery, Dependency, Measured, Order, Place, Progress,
    Task, TaskError, When,
};
use stint_model::time::{Span, Timestamp};

/// When the stories begin.
pub const START: Timestamp = Timestamp::from_millis(1_800_000_000_000);

/// SplitMix64: small, good enough, the same everywhere.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// From a seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        let n = u64::try_from(n.max(1)).expect("a small bound");
        usize::try_from(self.draw() % n).expect("below a usize")
    }

    /// Once in `n`.
    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

/// Makes tasks of one shard.
#[derive(Debug)]
pub struct Lives {
    random: Random,
    mint: Mint,
    now: Timestamp,
}

/// Accounts that tests use.
pub const ACCOUNTS: [AccountId; 2] = [AccountId::new(1_000_000_000_000_001), AccountId::new(22)];

/// The `n`-th function that tests use; even ones are the first account's.
pub fn function(n: usize) -> (AccountId, FunctionId) {
    let number = number_floor(START) + u64::try_from(n).expect("small");
    (ACCOUNTS[n % 2], FunctionId::from_number(number))
}

impl Lives {
    /// Tasks of `shard`, all drawn from `seed`.
    pub fn new(seed: u64, shard: Shard) -> Self {
        let mint = Mint::resume(shard, 0);
        Self { random: Random::new(seed), mint, now: START }
    }

    /// The next random number.
    pub fn random(&mut self) -> u64 {
        self.random.draw()
    }

    /// The next uid; time goes on by up to 3 ms.
    pub fn uid(&mut self) -> TaskUid {
        self.now = self.now + Span::from_micros(self.random.draw() % 3_000);
        self.mint.task(self.now)
    }

    /// A number for a letter.
    pub fn number(&mut self) -> u64 {
        self.mint.number(self.now)
    }

    /// A plain task as it is submitted.
    pub fn plain(&mut self) -> Task {
        let uid = self.uid();
        Task::submit(Arc::new(Order { uid, submitted_at: self.now, ..self.order() }))
    }

    /// A plain task of the `n`-th function, perhaps with a chosen id.
    pub fn of(&mut self, n: usize, chosen_id: Option<&str>) -> Task {
        let uid = self.uid();
        let (account, function) = function(n);
        let chosen_id = chosen_id.map(str::to_owned);
        let order =
            Order { uid, account, function, chosen_id, submitted_at: self.now, ..self.order() };
        Task::submit(Arc::new(order))
    }

    /// A task with random fields as it is submitted.
    pub fn fresh(&mut self) -> Task {
        let uid = self.uid();
        let draw = self.random.below(6);
        let (account, function) = function(draw);
        let mut order = Order { uid, account, function, submitted_at: self.now, ..self.order() };
        order.qualifier = ["LATEST", "prod"][self.random.below(2)].into();
        order.chosen_id = self.random.one_in(2).then(|| format!("id-{}", uid.number() % 1_000_003));
        order.task_mode = self.random.one_in(2);
        order.priority = Priority::new(u8::try_from(self.random.below(10)).expect("below 10"))
            .expect("below 10");
        for n in 0..self.random.below(3) {
            order.tags.insert(format!("k{n}"), format!("v{}", self.random.below(3)));
        }
        if self.random.one_in(3) {
            order.not_before = self.now + Span::from_micros(self.random.draw() % 9_000_000);
            order.timeout = Some(Span::from_micros(self.random.draw() >> 20));
            order.size = Some(Resources { cpu_milli: 350, memory_mb: 512 });
            order.order_key = Some("one at a time".into());
            order.limit_key = Some("customer".into());
            order.on_success = "acs:fc:::functions/good".into();
            order.on_failure = "acs:fc:::functions/bad".into();
            order.retry.final_errors = vec!["ValueError".into()];
        }
        if self.random.one_in(4) {
            let task = TaskUid::from_number(uid.number() - 1);
            let when = if self.random.one_in(2) { When::Ended } else { When::Succeeded };
            order.after = vec![Dependency { task, when }];
            order.letter = Some(LetterId { from: Shard::new(1), number: self.random.draw() >> 1 });
        }
        order.payload = payload(&mut self.random);
        Task::submit(Arc::new(order))
    }

    /// A task with every field set.
    pub fn full(&mut self) -> Task {
        loop {
            let task = self.fresh();
            let order = task.order();
            let rich = order.chosen_id.is_some() && order.timeout.is_some();
            if rich && !order.after.is_empty() && !order.tags.is_empty() {
                return task;
            }
        }
    }

    /// Leases, starts and settles a waiting task.
    pub fn run_to_success(&mut self, task: &mut Task) {
        let at = task.order().submitted_at + Span::from_micros(180);
        let place = Place { node: NodeId(1), revision: RevisionId::from_number(3) };
        let fence = task.lease(Epoch(1), place, at).expect("it waits");
        let measured = measured(at, self.random.draw());
        assert!(task.started(fence, &measured), "the lease is live");
        let result = Payload::Inline(Bytes::from_static(b"{\"ok\":true}"));
        let backoff = Backoff { draw_millionths: 0 };
        let settled = (at + Span::from_millis(3), backoff);
        task.settle(fence, AttemptOutcome::Ok, result, &measured, settled);
        assert!(task.state().is_terminal(), "it succeeded");
    }

    fn order(&mut self) -> Order {
        order(self.random.draw())
    }
}

/// A plain order; times are at [`START`].
pub fn order(seed: u64) -> Order {
    let (account, function) = function(0);
    Order {
        uid: TaskUid::from_number(number_floor(START)),
        account,
        function,
        function_name: "thumbnail".into(),
        qualifier: "LATEST".into(),
        chosen_id: None,
        request_id: format!("1-6b49d200-15fe1a5b-{:012x}", seed & 0xffff_ffff_ffff).into(),
        task_mode: true,
        submitted_at: START,
        not_before: START,
        expires_at: START + Span::from_secs(86_400),
        priority: Priority::DEFAULT,
        tags: std::collections::BTreeMap::new(),
        order_key: None,
        limit_key: None,
        after: Vec::new(),
        timeout: None,
        heartbeat: None,
        size: None,
        retry: RetryPolicy::default(),
        on_success: String::new(),
        on_failure: String::new(),
        payload: Payload::Inline(Bytes::from_static(b"{\"key\":\"value\"}")),
        letter: None,
    }
}

/// A random move, which the task may refuse.
pub fn step(task: &mut Task, seed: u64) {
    let mut random = Random::new(seed);
    let last = task.events().last().map_or(START, |event| event.at);
    let now = last + Span::from_micros(random.draw() % 5_000_000);
    let fence = task.attempt().map_or(AttemptFence { epoch: Epoch(1), number: 1 }, |attempt| {
        AttemptFence { epoch: attempt.epoch, number: attempt.number }
    });
    let measured = measured(now, random.draw());
    let place = Place { node: NodeId(4), revision: RevisionId::from_number(seed >> 2) };
    match random.below(16) {
        0..4 => drop(task.lease(Epoch(1 + seed % 3), place, now)),
        4..6 => drop(task.started(fence, &measured)),
        6..10 => {
            let backoff = Backoff { draw_millionths: 500_000 };
            let (outcome, result) = (outcome(&mut random), payload(&mut random));
            task.settle(fence, outcome, result, &measured, (now, backoff));
        }
        10 => drop(
            task.report(fence, Progress { permille: 250, message: "a quarter".into(), at: now }),
        ),
        11 => drop(task.stop("enough", now)),
        12 => drop(task.lost(now)),
        13 => drop(task.retry(Span::from_secs(60), now)),
        14 => drop(task.watch(TaskUid::from_number(seed >> 1))),
        _ => {
            task.delivered(if random.one_in(2) { Delivery::Succeeded } else { Delivery::Failed });
            let held = task.waits_for().first().map(|dependency| dependency.task);
            if let Some(other) = held {
                task.dependency_ended(other, stint_model::task::TaskState::Succeeded, now);
            }
        }
    }
}

fn measured(at: Timestamp, seed: u64) -> Measured {
    Measured {
        instance: Some(InstanceId(u128::from(seed) << 32)),
        placed_at: at + Span::from_micros(40),
        started_at: at + Span::from_micros(90),
        ended_at: at + Span::from_micros(90 + seed % 4_000_000),
        cold: seed.is_multiple_of(2),
        memory_milli_mb: seed % 100_000,
        cpu_micros: seed % 1_000_000,
    }
}

fn outcome(random: &mut Random) -> AttemptOutcome {
    match random.below(6) {
        0 | 1 => AttemptOutcome::Ok,
        2 | 3 => AttemptOutcome::UserError(TaskError {
            class: "UnhandledInvocationError".into(),
            kind: ["ValueError", "KeyError"][random.below(2)].into(),
            message: "it \"broke\"".into(),
        }),
        4 => AttemptOutcome::Throttled("no room".into()),
        _ => AttemptOutcome::SystemError("the node is gone".into()),
    }
}

fn payload(random: &mut Random) -> Payload {
    match random.below(4) {
        0 => Payload::empty(),
        1 => Payload::Blob { name: format!("payload/1/{}", random.below(99)), len: 200_000 },
        _ => {
            let len = random.below(400);
            let byte = u8::try_from(random.below(256)).expect("a byte");
            Payload::Inline(Bytes::from(vec![byte; len]))
        }
    }
}
