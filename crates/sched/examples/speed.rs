//! How fast the scheduler is and how much memory a waiting task takes. Prints figures and asserts
//! nothing: `cargo run --release -p stint-sched --example speed -- [TASKS]`.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "measuring needs a real clock, and somebody reads the figures"
)]

use std::time::Instant;

use stint_model::id::{AccountId, FunctionId, NodeId};
use stint_model::limit::{Class, Priority, Resources};
use stint_model::time::{Span, Timestamp};
use stint_sched::{Change, Lane, Pool, SchedConfig, Scheduler, Used, Work};

const CONFIG: SchedConfig = SchedConfig {
    aging: Span::from_secs(60),
    cpu_overcommit_percent: 100,
    credit: Span::from_secs(1),
    estimate_first: Span::from_millis(100),
    reserve_after: Span::from_secs(10),
    takebacks_max: 64,
    refusals_max: 64,
};
const INSTANCES: u32 = 64;

fn main() {
    let tasks = std::env::args().nth(1).map_or(1_000_000, |text| text.parse().expect("a number"));
    println!("{:<52} {:>12}", "what", "figure");
    memory(tasks);
    for (functions, idle) in [(1, 0), (100, 0), (100, 100_000)] {
        for backlog in [1_000, 1_000_000] {
            cycle(functions, idle, backlog);
        }
    }
    blocked(1_000);
}

fn say(what: &str, figure: u128, unit: &str) {
    println!("{what:<52} {figure:>12} {unit}");
}

/// A scheduler with `functions` functions of ten accounts on one node.
fn house(functions: u32, instances: u32) -> Scheduler {
    let mut sched = Scheduler::new(CONFIG);
    let capacity = Resources { cpu_milli: 64_000_000, memory_mb: 64_000_000 };
    sched.observe(Change::Node { node: NodeId(1), capacity });
    for number in 0..functions {
        let function = FunctionId::from_number(u64::from(number));
        let account = AccountId::new(u64::from(number % 10));
        sched.observe(Change::Function {
            function,
            account,
            weight: 1,
            instances_max: None,
            concurrency_max: None,
            rate: None,
            paused: false,
        });
        let pool = Pool(number);
        let size = Resources { cpu_milli: 1_000, memory_mb: 512 };
        sched.observe(Change::Pool {
            pool,
            function,
            size,
            slots: 1,
            on_demand: Default::default(),
        });
        sched.observe(Change::Lane { lane: Lane(number), function, pool });
        let node = NodeId(1);
        sched.observe(Change::Instances { node, pool, live: instances, starting: 0 });
    }
    sched
}

fn queue(sched: &mut Scheduler, work: u64, lane: u32, eligible_at: Timestamp) {
    sched.observe(Change::Queued {
        work: Work(work),
        lane: Lane(lane),
        class: Class::Batch,
        priority: Priority::DEFAULT,
        eligible_at,
        order_key: None,
        limit_key: None,
        // As every task has one.
        deadline: Some(eligible_at + Span::from_secs(86_400)),
    });
}

/// Whole lives: queued, planned, leased, ended, with a steady backlog.
fn cycle(functions: u32, idle: u32, backlog: u64) {
    let mut sched = house(functions + idle, 0);
    let (node, functions) = (NodeId(1), u64::from(functions));
    for number in 0..u32::try_from(functions).expect("few") {
        let change = Change::Instances { node, pool: Pool(number), live: INSTANCES, starting: 0 };
        sched.observe(change);
    }
    let lane = |work: u64| u32::try_from(work % functions).expect("few");
    for work in 0..backlog {
        queue(&mut sched, work, lane(work), Timestamp::ZERO);
    }
    let rounds = 4_000;
    let (mut plans, mut facts, mut done) = (0, 0, 0_u64);
    let mut next = backlog;
    let mut now = Timestamp::ZERO;
    for _ in 0..rounds {
        now = now + Span::from_micros(300);
        let begun = Instant::now();
        let plan = sched.plan(now, 32);
        plans += begun.elapsed().as_nanos();
        let begun = Instant::now();
        for assignment in &plan.assignments {
            let (work, node) = (assignment.work, assignment.node);
            sched.observe(Change::Leased { work, node, at: now });
        }
        for assignment in &plan.assignments {
            let used = Used { cpu_micros: 50, memory_mb_micros: 25_600 };
            sched.observe(Change::Ended { work: assignment.work, used, at: now });
            queue(&mut sched, next, lane(next), now);
            next += 1;
        }
        facts += begun.elapsed().as_nanos();
        done += u64::try_from(plan.assignments.len()).expect("at most 32");
    }
    let what = format!("{functions} functions, {idle} idle, {backlog} waiting");
    say(&format!("{what}: plan"), plans / u128::from(done), "ns/assignment");
    say(&format!("{what}: facts"), facts / u128::from(done), "ns/task");
}

/// Many functions that find no room.
fn blocked(functions: u32) {
    let mut sched = house(functions, 0);
    let capacity = Resources { cpu_milli: 100, memory_mb: 100_000 };
    sched.observe(Change::Node { node: NodeId(1), capacity });
    sched.observe(Change::Node {
        node: NodeId(2),
        capacity: Resources { cpu_milli: 1_000, memory_mb: 100_000 },
    });
    for number in 0..functions {
        queue(&mut sched, u64::from(number), number, Timestamp::ZERO);
    }
    sched.observe(Change::Leased { work: Work(0), node: NodeId(2), at: Timestamp::ZERO });
    let begun = Instant::now();
    for _ in 0..100 {
        assert!(sched.plan(Timestamp::ZERO, 32).assignments.is_empty());
    }
    say(
        &format!("{functions} functions without room: a plan"),
        begun.elapsed().as_nanos() / 100,
        "ns",
    );
}

fn memory(tasks: u64) {
    let mut sched = house(10, 0);
    let before = resident();
    let begun = Instant::now();
    for work in 0..tasks {
        let lane = u32::try_from(work % 10).expect("below ten");
        queue(&mut sched, work, lane, Timestamp::from_micros(i64::try_from(work).expect("small")));
    }
    let taken = begun.elapsed().as_nanos();
    say(&format!("{tasks} waiting: queue one"), taken / u128::from(tasks), "ns");
    say(
        &format!("{tasks} waiting: memory"),
        u128::from((resident() - before) / tasks),
        "bytes/task",
    );
    let begun = Instant::now();
    sched.explain(Work(tasks - 1), Timestamp::from_millis(1_000_000));
    say(&format!("{tasks} waiting: explain the last"), begun.elapsed().as_nanos() / 1_000, "us");
    let begun = Instant::now();
    sched.backlogs();
    say(&format!("{tasks} waiting: all backlogs"), begun.elapsed().as_nanos() / 1_000, "us");
}

/// Resident bytes of this process.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmRSS")).expect("a VmRSS line");
    let kilobytes: u64 =
        line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number");
    kilobytes * 1_024
}
