//! The language of the transcripts: a line is a fact or a question. Times are milliseconds, sizes
//! are milli-vCPU/MB, rates are starts a second/burst.

use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use stint_model::id::NodeId;
use stint_model::limit::{Class, Priority, Rate, Resources};
use stint_model::scaling::OnDemand;
use stint_model::time::Timestamp;

use super::world::{account, function, ms};
use crate::{Change, Lane, Plan, Pool, SchedConfig, Scheduler, Start, Used, Work};

/// Runs a script and compares what it says.
pub(super) fn check(script: &str, expected: &str) {
    let mut sched = Scheduler::new(SchedConfig::for_tests());
    let mut said: Vec<String> = Vec::new();
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        step(&mut sched, &Line::new(line), &mut said);
        sched.check();
    }
    let expected: Vec<&str> =
        expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    assert_eq!(said, expected, "\nscript:{script}\nsaid:\n{}\n", said.join("\n"));
}

/// Words: `verb number`, then pairs of a name and a value; a name may stand alone.
struct Line<'a>(Vec<&'a str>);

impl<'a> Line<'a> {
    fn new(text: &'a str) -> Self {
        Self(text.split_whitespace().collect())
    }

    fn value(&self, name: &str) -> Option<&'a str> {
        let at = self.0.iter().position(|word| *word == name)?;
        self.0.get(at + 1).copied()
    }

    fn has(&self, name: &str) -> bool {
        self.0.contains(&name)
    }

    fn number<T: core::str::FromStr>(&self, name: &str) -> Option<T> {
        let text = self.value(name)?;
        Some(text.parse().ok().unwrap_or_else(|| panic!("{name} {text} in {:?}", self.0)))
    }

    fn id<T: core::str::FromStr>(&self) -> T {
        self.number(self.0[0]).unwrap_or_else(|| panic!("a number in {:?}", self.0))
    }

    fn pair(&self, name: &str) -> Option<(u32, u32)> {
        let (a, b) = self.value(name)?.split_once('/').expect("a/b");
        Some((a.parse().unwrap(), b.parse().unwrap()))
    }

    fn at(&self, name: &str) -> Timestamp {
        ms(self.number(name).unwrap_or(0))
    }

    fn rate(&self) -> Option<Rate> {
        let (per_second, burst) = self.pair("rate")?;
        Some(Rate { milli_per_second: u64::from(per_second) * 1_000, burst })
    }

    fn size(&self, name: &str) -> Resources {
        let (cpu_milli, memory_mb) = self.pair(name).unwrap_or((1_000, 1_024));
        Resources { cpu_milli, memory_mb }
    }
}

fn step(sched: &mut Scheduler, line: &Line<'_>, said: &mut Vec<String>) {
    match line.0[0] {
        "plan" => say(&sched.plan(ms(line.id()), line.number("limit").unwrap_or(100)), line, said),
        "act" => {
            let plan = sched.plan(ms(line.id()), line.number("limit").unwrap_or(100));
            say(&plan, line, said);
            act(sched, &plan, ms(line.id()));
        }
        "why" => {
            let answer = sched.explain(Work(line.id()), line.at("at"));
            let id: u64 = line.id();
            said.push(answer.map_or(format!("{id} does not wait"), |why| {
                let start =
                    why.start_at.map_or(String::from("unknown"), |at| at.millis().to_string());
                format!("{id}: {:?}, position {}, start {start}", why.cause, why.position)
            }));
        }
        "backlog" => {
            let view = sched.backlog(function(line.id()));
            said.push(format!(
                "waiting {} online {} batch {} held {} delayed {} ordered {} running {}",
                view.waiting,
                view.online,
                view.batch,
                view.held,
                view.delayed,
                view.ordered,
                view.running
            ));
        }
        _ => sched.observe(fact(line)),
    }
}

fn fact(line: &Line<'_>) -> Change {
    match line.0[0] {
        "clock" => Change::Clock(ms(line.id())),
        "account" => Change::Account {
            account: account(line.id()),
            weight: line.number("weight").unwrap_or(1),
            concurrency_max: line.number("concurrency"),
            rate: line.rate(),
            instances_max: line.number("instances"),
        },
        "keep" => Change::Keep { pool: Pool(line.id()), count: line.number("count").unwrap_or(0) },
        "hold_keep" => Change::KeepHeld { pool: Pool(line.id()), until: line.at("until") },
        "kept" => Change::Kept {
            node: NodeId(line.number("on").unwrap_or(1)),
            pool: Pool(line.id()),
            count: line.number("count").unwrap_or(1),
        },
        "elsewhere" => Change::Elsewhere {
            account: account(line.id()),
            instances: line.number("instances").unwrap_or(0),
        },
        "function" => Change::Function {
            function: function(line.id()),
            account: account(line.number("of").unwrap_or(1)),
            weight: line.number("weight").unwrap_or(1),
            instances_max: line.number("instances"),
            concurrency_max: line.number("concurrency"),
            rate: line.rate(),
            paused: line.has("paused"),
        },
        "gone" => Change::FunctionGone(function(line.number("function").unwrap())),
        "pool" => Change::Pool {
            pool: Pool(line.id()),
            function: function(line.number("of").unwrap_or(1)),
            size: line.size("size"),
            slots: line.number("slots").unwrap_or(1),
            on_demand: if line.has("kept-only") { OnDemand::Off } else { OnDemand::On },
        },
        "lane" => Change::Lane {
            lane: Lane(line.id()),
            function: function(line.number("of").unwrap_or(1)),
            pool: Pool(line.number("pool").unwrap_or(1)),
        },
        "keys" => Change::Keys {
            function: function(line.id()),
            concurrency_max: line.number("concurrency"),
            rate: line.rate(),
        },
        "key" => Change::Key {
            key: line.id(),
            function: function(line.number("of").unwrap_or(1)),
            concurrency_max: line.number("concurrency"),
            rate: line.rate(),
        },
        "node" => {
            let (cpu_milli, memory_mb) = line.pair("with").unwrap_or((1_000_000, 1_000_000));
            Change::Node { node: NodeId(line.id()), capacity: Resources { cpu_milli, memory_mb } }
        }
        "budget" => {
            Change::Budget { account: account(line.id()), shut_until: line.number("until").map(ms) }
        }
        "away" => Change::NodeGone(NodeId(line.id())),
        "report" => Change::Instances {
            node: NodeId(line.id()),
            pool: Pool(line.number("pool").unwrap_or(1)),
            live: line.number("live").unwrap_or(0),
            starting: line.number("starting").unwrap_or(0),
        },
        _ => work_fact(line),
    }
}

fn work_fact(line: &Line<'_>) -> Change {
    match line.0[0] {
        "task" | "call" => Change::Queued {
            work: Work(line.id()),
            lane: Lane(line.number("lane").unwrap_or(1)),
            class: if line.0[0] == "call" { Class::Online } else { Class::Batch },
            priority: Priority::new(line.number("priority").unwrap_or(4)).unwrap(),
            eligible_at: line.at("from"),
            order_key: line.number("order"),
            limit_key: line.number("key"),
            deadline: line.number("until").map(ms),
        },
        "hold" => Change::Held(Work(line.id())),
        "release" => Change::Released(Work(line.id())),
        "until" => Change::Deadline { work: Work(line.id()), at: line.number("at").map(ms) },
        "drop" => Change::Dequeued(Work(line.id())),
        "lease" => Change::Leased {
            work: Work(line.id()),
            node: NodeId(line.number("on").unwrap_or(1)),
            at: line.at("at"),
        },
        "end" => Change::Ended {
            work: Work(line.id()),
            used: Used {
                cpu_micros: line.number::<u64>("cpu").unwrap_or(100) * 1_000,
                memory_mb_micros: 0,
            },
            at: line.at("at"),
        },
        other => panic!("no such line: {other}"),
    }
}

fn say(plan: &Plan, line: &Line<'_>, said: &mut Vec<String>) {
    let at: i64 = line.id();
    for eviction in &plan.evictions {
        let (pool, node) = (eviction.pool.0, eviction.node.0);
        said.push(format!("{at}: evict {} of pool {pool} on node {node}", eviction.count));
    }
    for keeping in &plan.keepings {
        let (pool, node) = (keeping.pool.0, keeping.node.0);
        said.push(format!("{at}: keep {} of pool {pool} on node {node}", keeping.count));
    }
    for assignment in &plan.assignments {
        let cold = match assignment.start {
            Start::Warm => "",
            Start::Cold => ", cold",
        };
        let (work, node) = (assignment.work.0, assignment.node.0);
        said.push(format!("{at}: {work} on node {node}{cold}"));
    }
    for work in &plan.takebacks {
        said.push(format!("{at}: take back {}", work.0));
    }
    for work in &plan.expired {
        said.push(format!("{at}: {} expired", work.0));
    }
    for refusal in &plan.refusals {
        let number = refusal.function.number();
        said.push(format!("{at}: {} of {number} wait: {:?}", refusal.count, refusal.cause));
    }
    if let Some(wake) = plan.wake_at {
        said.push(format!("{at}: wake at {}", wake.millis()));
    }
    if *plan == Plan::default() {
        said.push(format!("{at}: nothing"));
    }
}

fn act(sched: &mut Scheduler, plan: &Plan, at: Timestamp) {
    for eviction in &plan.evictions {
        let (node, pool, count) = (eviction.node, eviction.pool, eviction.count);
        sched.observe(Change::Evicted { node, pool, count });
    }
    for assignment in &plan.assignments {
        sched.observe(Change::Leased { work: assignment.work, node: assignment.node, at });
    }
}
