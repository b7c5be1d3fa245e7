//! Whatever happens: no limit is broken, nothing starves, plans are stable, facts may come twice.

use std::vec;
use std::vec::Vec;

use proptest::prelude::*;
use stint_model::limit::{Class, Rate};
use stint_model::time::Span;

use super::world::{Spec, Task, World, ms};
use crate::{Change, Plan, SchedConfig};

#[derive(Clone, Debug)]
pub(super) enum Step {
    Submit { count: u8, function: u64, priority: u8, delay: u16, keys: u8, age: Option<u16> },
    Call { function: u64 },
    Hold(u8),
    Release(u8),
    Drop(u8),
    End(u8),
    EndAll,
    Retry { pick: u8, delay: u16 },
    Pass(u16),
    Pause { function: u64, paused: bool },
    Account { number: u64, max: Option<u32> },
    Key { function: u64, max: Option<u32> },
    NodeGone(u32),
    NodeBack(u32),
    Reclaim,
    Run,
}

const FUNCTIONS: u64 = 5;
const NODES: u32 = 3;

fn step() -> impl Strategy<Value = Step> {
    let function = 1..=FUNCTIONS;
    prop_oneof![
        8 => (1_u8..10, function.clone(), 0_u8..10, 0_u16..3, 0_u8..16, age()).prop_map(
            |(count, function, priority, delay, keys, age)| {
                Step::Submit { count, function, priority, delay: delay * 700, keys, age }
            }
        ),
        3 => function.clone().prop_map(|function| Step::Call { function }),
        1 => any::<u8>().prop_map(Step::Hold),
        1 => any::<u8>().prop_map(Step::Release),
        1 => any::<u8>().prop_map(Step::Drop),
        6 => any::<u8>().prop_map(Step::End),
        1 => Just(Step::EndAll),
        2 => (any::<u8>(), 0_u16..2_000).prop_map(|(pick, delay)| Step::Retry { pick, delay }),
        4 => (0_u16..3_000).prop_map(Step::Pass),
        1 => (function.clone(), any::<bool>())
            .prop_map(|(function, paused)| Step::Pause { function, paused }),
        1 => (1_u64..3, proptest::option::of(1_u32..6))
            .prop_map(|(number, max)| Step::Account { number, max }),
        1 => (function, proptest::option::of(1_u32..3))
            .prop_map(|(function, max)| Step::Key { function, max }),
        1 => (1_u32..=NODES).prop_map(Step::NodeGone),
        1 => (1_u32..=NODES).prop_map(Step::NodeBack),
        1 => Just(Step::Reclaim),
        8 => Just(Step::Run),
    ]
}

/// After how many milliseconds work is too old; most never is.
fn age() -> impl Strategy<Value = Option<u16>> {
    proptest::option::weighted(0.3, 1_u16..5_000)
}

pub(super) fn steps(max: usize) -> impl Strategy<Value = Vec<Step>> {
    proptest::collection::vec(step(), 1..max)
}

/// Two accounts, five functions with every kind of limit, three nodes.
pub(super) fn world() -> World {
    let mut world = World::new(SchedConfig::for_tests());
    world.account(1, Some(6));
    world.account(2, None);
    let spec = Spec::new;
    world.function(Spec { slots: 3, concurrency_max: Some(4), ..spec(1, 1, 500, 256) });
    world.function(Spec { instances_max: Some(2), ..spec(2, 1, 1_000, 1_024) });
    world.function(Spec {
        rate: Some(Rate { milli_per_second: 2_000, burst: 3 }),
        ..spec(3, 2, 200, 512)
    });
    world.function(Spec { slots: 2, instances_max: Some(3), ..spec(4, 2, 1_500, 512) });
    world.function(spec(5, 2, 2_000, 2_048));
    world.key(1, 1, Some(1));
    world.key(2, 1, Some(2));
    node(&mut world, 1);
    node(&mut world, 2);
    node(&mut world, 3);
    world
}

fn node(world: &mut World, number: u32) {
    match number {
        1 => world.node(1, 2_000, 2_048),
        2 => world.node(2, 1_500, 4_096),
        _ => world.node(3, 4_000, 3_000),
    }
}

/// The `pick`th of a sorted list.
fn nth<T: Copy>(all: impl ExactSizeIterator<Item = T>, pick: u8) -> Option<T> {
    let count = all.len();
    let mut all = all;
    (count > 0).then(|| all.nth(usize::from(pick) % count)).flatten()
}

pub(super) fn apply(world: &mut World, next: &mut u64, step: &Step) {
    match *step {
        Step::Submit { count, function, priority, delay, keys, age } => {
            for _ in 0..count {
                *next += 1;
                world.submit(Task {
                    priority,
                    eligible_at: world.now + Span::from_millis(delay.into()),
                    deadline: age.map(|age| world.now + Span::from_millis(age.into())),
                    order_key: (keys & 3 == 1).then_some(u64::from(keys) >> 3),
                    limit_key: (keys & 4 == 4).then_some(1 + (u64::from(keys) >> 3)),
                    ..Task::new(*next, function)
                });
            }
        }
        Step::Call { function } => {
            *next += 1;
            let eligible_at = world.now;
            world.submit(Task { class: Class::Online, eligible_at, ..Task::new(*next, function) });
        }
        Step::Hold(pick) => {
            if let Some(work) = nth(world.waiting.keys().copied(), pick) {
                world.hold(work);
            }
        }
        Step::Release(pick) => {
            let held: Vec<u64> = world.held.iter().copied().collect();
            if let Some(work) = nth(held.into_iter(), pick) {
                world.release(work);
            }
        }
        Step::Drop(pick) => {
            if let Some(work) = nth(world.waiting.keys().copied(), pick) {
                world.drop_task(work);
            }
        }
        Step::End(pick) => {
            if let Some(work) = nth(world.running.keys().copied(), pick) {
                world.end(work);
            }
        }
        Step::EndAll => world.end_all(),
        Step::Retry { pick, delay } => {
            if let Some(work) = nth(world.running.keys().copied(), pick) {
                let task = world.end(work).unwrap().task;
                let eligible_at = world.now + Span::from_millis(delay.into());
                world.submit(Task { eligible_at, ..task });
            }
        }
        Step::Pass(millis) => world.now = world.now + Span::from_millis(millis.into()),
        Step::Pause { function, paused } => {
            let spec = world.specs[&function];
            world.function(Spec { paused, ..spec });
        }
        // A limit set below what runs is broken until enough has ended; that is nobody's fault.
        Step::Account { number, max } => {
            world.end_all();
            world.account(number, max);
        }
        Step::Key { function, max } => {
            world.end_all();
            world.key(function, 1, max);
        }
        Step::NodeGone(number) => world.node_gone(number),
        Step::NodeBack(number) => node(world, number),
        Step::Reclaim => world.reclaim(),
        Step::Run => world.run(),
    }
    world.check();
}

fn played(steps: &[Step]) -> World {
    let mut world = world();
    let mut next = 0;
    for step in steps {
        apply(&mut world, &mut next, step);
    }
    world
}

/// Lifts everything that only an outsider can lift.
fn heal(world: &mut World) {
    for number in 1..=NODES {
        node(world, number);
    }
    for function in 1..=FUNCTIONS {
        let spec = world.specs[&function];
        world.function(Spec { paused: false, ..spec });
    }
    for work in world.held.clone() {
        world.release(work);
    }
}

fn drop_online(world: &mut World) {
    let online = world.waiting.values().filter(|task| task.class == Class::Online);
    for work in online.map(|task| task.work).collect::<Vec<_>>() {
        world.drop_task(work);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_limit_is_ever_broken(steps in steps(120)) {
        played(&steps);
    }

    #[test]
    fn everything_starts_in_the_end(steps in steps(120)) {
        let mut world = played(&steps);
        heal(&mut world);
        let mut rounds = 0;
        while !world.waiting.is_empty() {
            world.run();
            world.now = world.now + Span::from_millis(500);
            world.end_all();
            world.check();
            rounds += 1;
            prop_assert!(rounds < 3_000, "{:?} wait", world.waiting.values().next());
        }
    }

    #[test]
    fn what_waited_first_starts_though_more_keeps_coming(steps in steps(60)) {
        let mut world = played(&steps);
        heal(&mut world);
        let first: Vec<u64> = world.waiting.keys().copied().collect();
        let mut next = 1_000_000;
        for round in 0..4_000_u64 {
            if first.iter().all(|work| !world.waiting.contains_key(work)) {
                return Ok(());
            }
            next += 1;
            let eligible_at = world.now;
            let function = 1 + round % FUNCTIONS;
            world.submit(Task { priority: 9, eligible_at, ..Task::new(next, function) });
            world.run();
            world.now = world.now + Span::from_secs(1);
            // One ends at a time, the longest running first.
            let oldest = world.running.iter().min_by_key(|(_, r)| r.since).map(|(work, _)| *work);
            oldest.and_then(|work| world.end(work));
            world.check();
        }
        prop_assert!(false, "something starved");
    }

    #[test]
    fn online_work_never_waits_for_batch(steps in steps(60)) {
        let mut world = played(&steps);
        heal(&mut world);
        let online = world.running.iter().filter(|(_, r)| r.task.class == Class::Online);
        for work in online.map(|(work, _)| *work).collect::<Vec<_>>() {
            world.end(work);
        }
        drop_online(&mut world);
        world.run();
        // The largest function, with no limits of its own.
        world.account(2, None);
        let eligible_at = world.now;
        world.submit(Task { class: Class::Online, eligible_at, ..Task::new(1_000_000, 5) });
        for _ in 0..8 {
            let plan = world.plan(32);
            world.act(&plan);
            world.check();
            if world.running.contains_key(&1_000_000) {
                return Ok(());
            }
            prop_assert!(!plan.takebacks.is_empty(), "{plan:?}");
            for work in plan.takebacks {
                let task = world.end(work.0).expect("a live lease").task;
                prop_assert_eq!(task.class, Class::Batch);
                world.submit(task);
            }
        }
        prop_assert!(false, "it still waits");
    }

    #[test]
    fn planning_changes_nothing_and_says_the_same_twice(steps in steps(60)) {
        let world = played(&steps);
        let before = world.sched.fingerprint();
        let plan = world.plan(32);
        for task in world.waiting.keys() {
            world.sched.explain(crate::Work(*task), world.now);
        }
        prop_assert_eq!(&plan, &world.plan(32));
        prop_assert_eq!(before, world.sched.fingerprint());
        // A shorter plan is the beginning of a longer one.
        let short = world.plan(3);
        let count = short.assignments.len();
        prop_assert_eq!(&short.assignments[..], &plan.assignments[..count]);
    }

    #[test]
    fn the_same_facts_make_the_same_plan(steps in steps(60)) {
        prop_assert_eq!(played(&steps).plan(32), played(&steps).plan(32));
    }

    #[test]
    fn a_plan_wakes_when_it_can_find_more(steps in steps(60)) {
        let mut world = played(&steps);
        // While online work waits, the ends of what it takes back wake the engine, and which node
        // is cleared for it may change with its age.
        drop_online(&mut world);
        world.run();
        let plan = world.plan(100);
        prop_assert!(plan.assignments.is_empty());
        prop_assert!(plan.wake_at.is_none_or(|at| at > world.now));
        // A moment before waking there is nothing to do yet, whenever that is.
        let later = world.now + Span::from_secs(3_600);
        let before = plan.wake_at.map_or(later, |at| at - Span::from_micros(1));
        prop_assert!(world.sched.plan(before, 100).assignments.is_empty());
    }

    #[test]
    fn what_is_too_old_is_named_wherever_it_waits(steps in steps(120), pass in 0_u64..6_000) {
        let mut world = played(&steps);
        let first = |world: &World| world.waiting.values().filter_map(|task| task.deadline).min();
        world.run();
        prop_assert!(first(&world).is_none_or(|at| at > world.now));
        // Nobody has to look before then.
        let plan = world.plan(100);
        let next = first(&world);
        prop_assert!(next.is_none() || plan.wake_at.is_some_and(|at| at <= next.unwrap()));
        world.now = world.now + Span::from_millis(pass);
        let over = |task: &&Task| task.deadline.is_some_and(|at| at <= world.now);
        let over: Vec<u64> = world.waiting.values().filter(over).map(|task| task.work).collect();
        let mut named: Vec<u64> = world.plan(1_000).expired.iter().map(|work| work.0).collect();
        named.sort_unstable();
        prop_assert_eq!(over, named);
    }

    #[test]
    fn telling_the_time_changes_no_order(steps in steps(60), pass in 0_u64..3_000) {
        let mut world = played(&steps);
        world.now = world.now + Span::from_millis(pass);
        let untold = world.plan(32);
        world.sched.observe(Change::Clock(world.now));
        world.sched.check();
        // Who is told the time looks what is idle, and when to look again.
        let order = |plan: Plan| Plan { surplus: Vec::new(), wake_at: None, ..plan };
        prop_assert_eq!(order(untold), order(world.plan(32)));
    }

    #[test]
    fn a_new_node_moves_nothing_that_runs(steps in steps(60)) {
        let mut world = played(&steps);
        world.run();
        let running: Vec<_> = world.running.iter().map(|(work, r)| (*work, r.node)).collect();
        // Only online work takes back, and it would without the node too.
        drop_online(&mut world);
        world.node(9, 8_000, 8_192);
        let plan = world.plan(32);
        prop_assert!(plan.takebacks.is_empty());
        for (work, node) in running {
            prop_assert_eq!(world.sched.lease_node(crate::Work(work)), Some(node));
            prop_assert!(plan.assignments.iter().all(|a| a.work.0 != work));
        }
    }

    #[test]
    fn facts_may_come_twice(steps in steps(60)) {
        let mut world = played(&steps);
        let plan = world.plan(32);
        let (specs, waiting) = (world.specs.clone(), world.waiting.clone());
        for (number, max) in world.account_max.clone() {
            world.account(number, Some(max));
        }
        for spec in specs.values() {
            world.function(*spec);
        }
        for ((function, key), max) in world.key_max.clone() {
            world.key(function, key, Some(max));
        }
        for task in waiting.values() {
            world.sched.observe(World::queued(*task));
            if world.held.contains(&task.work) {
                world.sched.observe(Change::Held(crate::Work(task.work)));
            }
        }
        for (work, running) in world.running.clone() {
            world.sched.observe(World::queued(running.task));
            let (work, node, at) = (crate::Work(work), running.node, running.since);
            world.sched.observe(Change::Leased { work, node, at });
        }
        world.sched.check();
        prop_assert_eq!(plan, world.plan(32));
    }
}

/// How long the second account's tasks wait when the first has `flood` tasks queued, in service
/// times of ten milliseconds.
fn waits(flood: u64, seats: u32) -> Vec<u64> {
    let mut world = World::new(SchedConfig::for_tests());
    world.function(Spec::new(1, 1, 1_000, 128));
    world.function(Spec::new(2, 2, 1_000, 128));
    world.node(1, seats * 1_000, 65_536);
    for work in 1..=flood {
        world.submit(Task::new(1_000_000 + work, 1));
    }
    let mut waits = Vec::new();
    let mut submitted = std::collections::BTreeMap::new();
    for tick in 0..400_i64 {
        world.now = ms(tick);
        let over: Vec<u64> = world
            .running
            .iter()
            .filter(|(_, running)| world.now.since(running.since) >= Span::from_millis(10))
            .map(|(work, _)| *work)
            .collect();
        for work in over {
            world.end(work);
        }
        if tick % 37 == 0 {
            let work = 10 + u64::try_from(tick).unwrap();
            submitted.insert(work, world.now);
            world.submit(Task { eligible_at: world.now, ..Task::new(work, 2) });
        }
        let plan = world.plan(64);
        world.act(&plan);
        for assignment in plan.assignments {
            if let Some(at) = submitted.remove(&assignment.work.0) {
                waits.push(world.now.since(at).millis());
            }
        }
    }
    assert!(submitted.len() <= 1, "the second account is served");
    waits
}

#[test]
fn a_flood_makes_others_wait_one_service_time_at_most() {
    for seats in [1, 4] {
        let alone = waits(0, seats);
        let flooded = waits(100_000, seats);
        assert!(alone.iter().all(|wait| *wait == 0), "{alone:?}");
        assert!(flooded.len() >= 10 && flooded.iter().all(|wait| *wait <= 10), "{flooded:?}");
    }
}

#[test]
fn shares_follow_weights_whatever_the_attempts_cost() {
    let mut world = World::new(SchedConfig::for_tests());
    world.function(Spec::new(1, 1, 1_000, 128));
    world.function(Spec::new(2, 2, 1_000, 128));
    world.sched.observe(Change::Account {
        account: super::world::account(2),
        weight: 3,
        concurrency_max: None,
        rate: None,
        instances_max: None,
    });
    world.node(1, 1_000, 65_536);
    for work in 1..=4_000 {
        world.submit(Task::new(work, 1));
        world.submit(Task::new(10_000 + work, 2));
    }
    // Attempts of the first take 5 ms, of the second 20 ms.
    let mut used = [0_u64; 2];
    while used.iter().sum::<u64>() < 20_000 {
        let plan = world.plan(1);
        world.act(&plan);
        let work = plan.assignments[0].work.0;
        let (which, cost) = if work > 10_000 { (1, 20) } else { (0, 5) };
        world.now = world.now + Span::from_millis(cost);
        used[which] += cost;
        world.end(work);
    }
    let share = used[1] * 100 / (used[0] + used[1]);
    assert!((73..=77).contains(&share), "{share} % of {used:?}");
}

#[test]
fn the_lowest_priority_does_not_starve_behind_a_stream_of_the_highest() {
    let mut world = World::new(SchedConfig::for_tests());
    world.function(Spec::new(1, 1, 1_000, 128));
    world.node(1, 1_000, 1_024);
    world.submit(Task { priority: 0, ..Task::new(1, 1) });
    for second in 1..=700_u64 {
        world.now = ms(1_000) + Span::from_secs(second - 1);
        // Twice what can be served.
        for work in [second * 2, second * 2 + 1] {
            world.submit(Task { priority: 9, eligible_at: world.now, ..Task::new(work, 1) });
        }
        world.run();
        world.end_all();
        if world.started.iter().any(|(work, _)| *work == 1) {
            let waited = world.now.since(ms(0)).secs();
            assert!((540..=545).contains(&waited), "nine classes take nine minutes: {waited} s");
            return;
        }
    }
    panic!("it starved");
}

#[test]
fn a_large_instance_gets_its_turn_between_small_ones() {
    let mut world = World::new(SchedConfig::for_tests());
    world.function(Spec::new(1, 1, 1_000, 1_024));
    world.function(Spec::new(2, 2, 4_000, 4_096));
    world.node(1, 4_000, 4_096);
    for work in 1..=1_000 {
        world.submit(Task::new(work, 1));
    }
    world.submit(Task::new(5_000, 2));
    // Small ones end one by one, so that there is never room for four at once by chance.
    let mut order = std::collections::VecDeque::new();
    for tick in 0..200 {
        world.now = ms(tick * 100);
        let plan = world.plan(8);
        world.act(&plan);
        order.extend(plan.assignments.iter().map(|assignment| assignment.work.0));
        if order.contains(&5_000) {
            assert!(tick >= 100, "not before it waited ten seconds");
            return;
        }
        if let Some(work) = order.pop_front() {
            world.end(work);
        }
    }
    panic!("it starved");
}
