//! What must hold, whatever happened. Each checker says what it found wrong, or nothing.

use std::collections::BTreeMap;

use stint_model::id::TaskUid;
use stint_model::task::{Delivery, Task, TaskState, When};
use stint_model::time::Timestamp;

use crate::client::Acked;
use crate::node::{Ran, task_of};
use crate::world::{ACCOUNT_LIMIT, ACCOUNT_RATE, LIMIT, LIMITED};

/// Nothing that was acknowledged is lost, and each id is one task.
pub fn nothing_lost(acked: &Acked, tasks: &[Task]) -> Vec<String> {
    let mut by_id: BTreeMap<(String, String), Vec<TaskUid>> = BTreeMap::new();
    for task in tasks {
        if let Some(id) = &task.order().chosen_id {
            let key = (task.order().function_name.to_string(), id.clone());
            by_id.entry(key).or_default().push(task.uid());
        }
    }
    let mut wrong = Vec::new();
    for (key, uid) in acked.tasks() {
        match by_id.get(&key).map(Vec::as_slice) {
            None => wrong.push(format!("{key:?} was acknowledged and is lost")),
            Some([one]) if uid.is_none_or(|uid| uid == *one) => {}
            Some(several) => wrong.push(format!("{key:?} is {several:?}, told was {uid:?}")),
        }
    }
    wrong
}

/// Everything has ended.
pub fn everything_ended(tasks: &[Task]) -> Vec<String> {
    let open = tasks
        .iter()
        .filter(|task| !task.state().is_terminal() || task.delivery() == Delivery::Pending);
    open.map(|task| format!("{} is still {}: {:?}", task.uid(), task.state(), task.events()))
        .collect()
}

/// What had ended in an earlier look at the book has not moved since.
pub fn ends_stay(before: &[Task], after: &[Task]) -> Vec<String> {
    let after: BTreeMap<TaskUid, &Task> = after.iter().map(|task| (task.uid(), task)).collect();
    let ended = before.iter().filter(|task| task.state().is_terminal());
    ended
        .filter_map(|task| match after.get(&task.uid()) {
            None => Some(format!("{} had ended and is gone", task.uid())),
            Some(now) if now.events() == task.events() && now.result() == task.result() => None,
            Some(now) => Some(format!("{} moved after its end: {:?}", task.uid(), now.events())),
        })
        .collect()
}

/// At every instant: at most the limit of the limited function, one task per order key, one run per
/// attempt, and no run of a task after its end.
pub fn runs_kept_the_limits(runs: &[Ran], tasks: &[Task]) -> Vec<String> {
    let mut wrong = Vec::new();
    wrong.extend(at_once(
        runs.iter().filter(|ran| ran.function == LIMITED),
        LIMIT,
        "the limited function",
    ));
    let tasks: BTreeMap<TaskUid, &Task> = tasks.iter().map(|task| (task.uid(), task)).collect();
    let mut by_key: BTreeMap<(String, String), Vec<&Ran>> = BTreeMap::new();
    let mut by_lease: BTreeMap<(u32, stint_model::link::Lease), u32> = BTreeMap::new();
    for ran in runs {
        *by_lease.entry((ran.life, ran.lease)).or_default() += 1;
        let Some(task) = task_of(&ran.lease).and_then(|uid| tasks.get(&uid)) else { continue };
        if let Some(key) = &task.order().order_key {
            by_key.entry((ran.function.clone(), key.clone())).or_default().push(ran);
        }
        let ended = task.ended_at();
        if ended != Timestamp::ZERO && ran.from > ended {
            wrong.push(format!("{} ran at {:?}, after its end at {ended:?}", task.uid(), ran.from));
        }
    }
    for (key, runs) in by_key {
        wrong.extend(at_once(runs.into_iter(), 1, &format!("order key {key:?}")));
    }
    for ((_, lease), count) in by_lease {
        if count > 1 {
            wrong.push(format!("{lease:?} was started {count} times"));
        }
    }
    wrong
}

/// Over all shards: at most the account's limit at every instant, and no more starts in any time than
/// its rate gives. A restarted process begins with a full burst, and so does a shard that is alone
/// when it is opened again; `alone` says that there is but one.
pub fn account_kept_its_limits(
    runs: &[Ran],
    tasks: &[Task],
    (lives, alone, rated): (&[(Timestamp, Timestamp)], bool, bool),
) -> Vec<String> {
    let mut wrong: Vec<String> =
        at_once(runs.iter(), ACCOUNT_LIMIT, "the account").into_iter().collect();
    if !rated {
        return wrong;
    }
    let mut by_burst: BTreeMap<u64, Vec<Timestamp>> = BTreeMap::new();
    for attempt in tasks.iter().flat_map(Task::attempts) {
        let at = attempt.leased_at;
        let life = lives.iter().position(|(began, ended)| *began <= at && at <= *ended);
        let life = life.map_or(0, |life| u64::try_from(life).expect("few"));
        let burst = if alone { attempt.epoch.0 } else { life };
        by_burst.entry(burst).or_default().push(at);
    }
    for mut starts in by_burst.into_values() {
        starts.sort_unstable();
        for (index, first) in starts.iter().enumerate() {
            for (count, last) in (1_u64..).zip(&starts[index..]) {
                let time = last.since(*first).micros() * ACCOUNT_RATE.milli_per_second / 1_000_000;
                let may = u64::from(ACCOUNT_RATE.burst) * 1_000 + time;
                if count * 1_000 > may {
                    wrong.push(format!("the account: {count} starts from {first:?} to {last:?}"));
                    return wrong;
                }
            }
        }
    }
    wrong
}

/// Nothing began after its deadline, and nothing expired before it.
pub fn deadlines_kept(tasks: &[Task]) -> Vec<String> {
    let mut wrong = Vec::new();
    for task in tasks {
        let deadline = task.order().expires_at;
        let late = task.attempts().iter().any(|attempt| attempt.leased_at >= deadline);
        let early = task.state() == TaskState::Expired && task.ended_at() < deadline;
        if late || early {
            wrong.push(format!(
                "{} has the deadline {deadline:?}: {:?}",
                task.uid(),
                task.events()
            ));
        }
    }
    wrong
}

fn at_once<'a>(runs: impl Iterator<Item = &'a Ran>, limit: usize, what: &str) -> Option<String> {
    // An end at an instant comes before a beginning at the same.
    let mut edges: Vec<(Timestamp, i64)> =
        runs.flat_map(|ran| [(ran.from, 1), (ran.until, -1)]).collect();
    edges.sort_by_key(|(at, step)| (*at, *step));
    let limit = i64::try_from(limit).expect("small");
    let mut running = 0;
    for (at, step) in edges {
        running += step;
        if running > limit {
            return Some(format!("{what}: {running} at once at {at:?}, the limit is {limit}"));
        }
    }
    None
}

/// A task that waited for another began after that one's end.
pub fn dependencies_held(tasks: &[Task]) -> Vec<String> {
    let by_uid: BTreeMap<TaskUid, &Task> = tasks.iter().map(|task| (task.uid(), task)).collect();
    let mut wrong = Vec::new();
    for task in tasks.iter().filter(|task| task.state() == TaskState::Succeeded) {
        for dependency in &task.order().after {
            let Some(other) = by_uid.get(&dependency.task) else { continue };
            let well = dependency.when == When::Ended || other.state() == TaskState::Succeeded;
            if !well || task.first_started_at() < other.ended_at() {
                wrong.push(format!("{} did not wait for {}", task.uid(), other.uid()));
            }
        }
    }
    wrong
}

/// Each outcome with a destination made one task there, and only one.
pub fn delivered_once(tasks: &[Task]) -> Vec<String> {
    let mut by_source: BTreeMap<u64, u32> = BTreeMap::new();
    for letter in tasks.iter().filter_map(|task| task.order().letter) {
        *by_source.entry(letter.number).or_default() += 1;
    }
    let mut wrong = Vec::new();
    for task in tasks.iter().filter(|task| !task.destination().is_empty()) {
        let count = by_source.get(&task.uid().number()).copied().unwrap_or(0);
        if count != 1 || task.delivery() != Delivery::Succeeded {
            wrong.push(format!(
                "{} was delivered {count} times ({:?})",
                task.uid(),
                task.delivery()
            ));
        }
    }
    wrong
}
