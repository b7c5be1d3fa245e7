//! `explain` tells the truth: what it names is there, and when all that it names one after the
//! other is gone, the work starts.

use core::cmp::Reverse;
use std::vec::Vec;

use proptest::prelude::*;
use stint_model::limit::Class;

use super::properties::{apply, steps, world};
use super::world::{Spec, Task, World, account, function};
use crate::{Cause, Change, Explanation, Work};

/// Takes away what `cause` names, after seeing that it is there.
fn lift(world: &mut World, task: Task, why: Explanation) {
    let spec = world.specs[&task.function];
    let running = |keep: &dyn Fn(&Task) -> bool| {
        u32::try_from(world.running.values().filter(|r| keep(&r.task)).count()).unwrap()
    };
    match why.cause {
        Cause::HeldByDependency => {
            assert!(world.held.contains(&task.work));
            world.release(task.work);
        }
        Cause::NotYetEligible { at } => {
            assert!(task.eligible_at == at && at > world.now);
            world.now = at;
        }
        Cause::OrderKeyBusy { by } => lift_order(world, task, by.0),
        Cause::Paused => {
            assert!(spec.paused);
            world.function(Spec { paused: false, ..spec });
        }
        Cause::FunctionConcurrency { limit } => {
            assert_eq!(spec.concurrency_max, Some(limit));
            assert!(running(&|other| other.function == task.function) >= limit);
            world.function(Spec { concurrency_max: None, ..spec });
        }
        Cause::InstancesMax { limit } => {
            assert_eq!(spec.instances_max, Some(limit));
            let of = world.instances.iter().filter(|((_, of), _)| *of == task.function);
            assert_eq!(of.map(|(_, count)| *count).sum::<u32>(), limit);
            world.function(Spec { instances_max: None, ..spec });
        }
        Cause::AccountConcurrency { limit } => {
            assert_eq!(world.account_max.get(&spec.account), Some(&limit));
            let of_account = |other: &Task| world.specs[&other.function].account == spec.account;
            assert!(running(&of_account) >= limit);
            world.account(spec.account, None);
        }
        Cause::KeyConcurrency { limit } => {
            let key = task.limit_key.expect("it has a key");
            assert_eq!(world.key_max.get(&(task.function, key)), Some(&limit));
            let of_key =
                |other: &Task| other.function == task.function && other.limit_key == Some(key);
            assert!(running(&of_key) >= limit);
            world.key(task.function, key, None);
        }
        Cause::FunctionRate { next_at } => {
            assert!(spec.rate.is_some() && next_at > world.now);
            world.now = next_at;
        }
        Cause::NoNode | Cause::TooBigForAnyNode { .. } | Cause::NodeFull { .. } => {
            lift_room(world, spec, why.cause);
        }
        Cause::BehindOthers { position } => {
            assert!(position >= 1);
            for other in world.waiting.keys().copied().collect::<Vec<_>>() {
                if other != task.work {
                    world.drop_task(other);
                }
            }
        }
        Cause::FunctionGone
        | Cause::Expired { .. }
        | Cause::AccountBudget { .. }
        | Cause::AccountInstances { .. }
        | Cause::OnlyKept { .. }
        | Cause::AccountRate { .. }
        | Cause::KeyRate { .. }
        | Cause::NoPool
        | Cause::Next => panic!("{:?} cannot be here", why.cause),
    }
}

fn lift_room(world: &mut World, spec: Spec, cause: Cause) {
    if let Cause::NoNode = cause {
        assert!(world.nodes.is_empty());
        return world.node(7, 100, 1);
    }
    if let Cause::TooBigForAnyNode { size } = cause {
        let small = |node: &stint_model::limit::Resources| {
            node.cpu_milli < size.cpu_milli || node.memory_mb < size.memory_mb
        };
        assert!(size == spec.size && world.nodes.values().all(small));
        return world.node(8, 100_000, 100_000);
    }
    let Cause::NodeFull { missing } = cause else { panic!("{cause:?} is not about room") };
    assert!(missing.cpu_milli > 0 || missing.memory_mb > 0);
    world.node(9, 100_000, 100_000);
}

fn lift_order(world: &mut World, task: Task, by: u64) {
    let same = |other: &Task| {
        other.function == task.function
            && other.order_key == task.order_key
            && task.order_key.is_some()
    };
    if let Some(other) = world.running.get(&by) {
        assert!(same(&other.task));
        world.end(by);
    } else {
        assert!(same(&world.waiting[&by]) && by < task.work);
        world.drop_task(by);
    }
}

fn kind(cause: Cause) -> core::mem::Discriminant<Cause> {
    core::mem::discriminant(&cause)
}

/// What is planned is next, and nothing else is; positions count as a sort does.
fn agrees(world: &World) {
    let planned: Vec<Work> = world.plan(256).assignments.iter().map(|a| a.work).collect();
    let mut ready: Vec<(u64, _, u64, u64)> = Vec::new();
    for task in world.waiting.values() {
        let why = world.sched.explain(Work(task.work), world.now).expect("it waits");
        assert_eq!(planned.contains(&Work(task.work)), why.cause == Cause::Next, "{task:?}");
        if why.position == 0 || matches!(why.cause, Cause::KeyConcurrency { .. }) {
            continue;
        }
        let age = world.now.since(task.eligible_at).secs() / 60;
        let rank = (u64::from(task.priority) + age).min(9);
        let order = (task.class == Class::Batch, Reverse(rank), task.eligible_at, task.work);
        ready.push((task.function, order, why.position, task.work));
    }
    ready.sort_unstable();
    let mut last = (0, 0);
    for (function, _, position, work) in ready {
        last = if last.0 == function { (function, last.1 + 1) } else { (function, 1) };
        // A key at its limit steps aside only while it is there.
        let blocked = |task: &&Task| task.function == function && task.limit_key.is_some();
        if !world.waiting.values().any(|task| blocked(&task)) {
            assert_eq!(position, last.1, "position of {work}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_named_cause_is_true(
        steps in steps(60),
        pick in any::<u16>(),
        settle in any::<bool>(),
    ) {
        let mut world = world();
        let mut next = 0;
        for step in &steps {
            apply(&mut world, &mut next, step);
        }
        if settle {
            world.run();
        }
        world.drop_expired();
        agrees(&world);
        let count = world.waiting.len();
        if count == 0 {
            return Ok(());
        }
        let task = *world.waiting.values().nth(usize::from(pick) % count).unwrap();
        let mut seen = Vec::new();
        loop {
            let why = world.sched.explain(Work(task.work), world.now).expect("it waits");
            if why.cause == Cause::Next {
                break;
            }
            if let Cause::Expired { at } = why.cause {
                prop_assert!(task.deadline == Some(at) && at <= world.now);
                return Ok(());
            }
            // What was taken away does not come back. Several may stand before it in its order.
            let ordered = matches!(why.cause, Cause::OrderKeyBusy { .. });
            prop_assert!(ordered || !seen.contains(&kind(why.cause)), "{why:?} again");
            seen.push(kind(why.cause));
            lift(&mut world, task, why);
        }
        let plan = world.plan(256);
        prop_assert!(plan.assignments.iter().any(|a| a.work.0 == task.work));
    }
}

#[test]
fn estimates_follow_the_pace() {
    let mut world = world();
    world.function(Spec { concurrency_max: Some(1), ..Spec::new(6, 3, 100, 128) });
    for work in 1..=100 {
        world.submit(Task::new(work, 6));
    }
    for _ in 0..20 {
        world.run();
        world.now = world.now + stint_model::time::Span::from_millis(50);
        world.end_all();
    }
    world.run();
    let why = world.sched.explain(Work(31), world.now).unwrap();
    assert_eq!(why.cause, Cause::FunctionConcurrency { limit: 1 });
    assert_eq!(why.position, 10);
    assert_eq!(why.start_at.map(|at| at.since(world.now).millis()), Some(500));
}

#[test]
fn account_and_key_rates_are_named() {
    let mut world = world();
    let rate = Some(stint_model::limit::Rate { milli_per_second: 1_000, burst: 1 });
    world.function(Spec::new(6, 3, 100, 128));
    world.sched.observe(Change::Key { function: function(6), key: 5, concurrency_max: None, rate });
    for work in 1..=2 {
        world.submit(Task { limit_key: Some(5), ..Task::new(work, 6) });
    }
    world.submit(Task::new(3, 6));
    world.run();
    assert!(world.running.contains_key(&3), "the key hides nobody");
    let next_at = super::world::ms(1_000);
    let why = world.sched.explain(Work(2), world.now).unwrap();
    assert_eq!(why.cause, Cause::KeyRate { next_at });
    assert_eq!(world.plan(9).wake_at, Some(next_at));
    world.sched.observe(Change::Account {
        account: account(3),
        weight: 1,
        concurrency_max: None,
        rate,
        instances_max: None,
    });
    world.submit(Task::new(4, 6));
    world.submit(Task::new(5, 6));
    world.run();
    let why = world.sched.explain(Work(5), world.now).unwrap();
    assert_eq!(why.cause, Cause::AccountRate { next_at });
}
