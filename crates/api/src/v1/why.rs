//! Why is it waiting? The scheduler's cause as a stable word and as a sentence.

use stint_engine::{Cause, Why};
use stint_model::limit::Resources;
use stint_model::task::TaskState;
use stint_model::time::Timestamp;
use stint_wire::native::Why as WireWhy;
use stint_wire::time::Time;

use crate::answer::{Answer, ok};
use crate::call::Call;
use crate::error::Problem;
use crate::v1::backlogs;

pub(crate) async fn get(call: Call) -> Result<Answer, Problem> {
    let why = call.engine().task_why(&call.caller, &call.task()?).await?;
    let mut view = view(&why);
    // For the scheduler a backlog stands still or it does not; there is more than one reason.
    if why.cause == Some(Cause::Paused)
        && let Some((cause, sentence)) = backlogs::held(&call, &why.task.order().function_name)
    {
        (view.cause, view.sentence) = (cause.to_owned(), sentence);
    }
    ok(&view)
}

fn view(why: &Why) -> WireWhy {
    let task = &why.task;
    let waits_for: Vec<String> = task.waits_for().iter().map(|on| on.task.to_string()).collect();
    let (cause, sentence) = match &why.cause {
        Some(Cause::HeldByDependency) => ("dependency", held_by(&waits_for)),
        Some(cause) => explain(cause),
        None => by_state(why),
    };
    WireWhy {
        uid: task.uid().to_string(),
        task_id: task.task_id(),
        function: task.order().function_name.to_string(),
        state: task.state().word().to_owned(),
        cause: cause.to_owned(),
        sentence,
        waits_for: waits_for.into_iter().take(NAMED_MAX).collect(),
        position: (why.position > 0).then_some(why.position),
        estimated_start: why.estimated_start.map(Time),
    }
}

/// Of what a task waits for so many are named.
const NAMED_MAX: usize = 20;

fn held_by(waits_for: &[String]) -> String {
    match waits_for {
        [] => "what it depended on has ended; it is about to be released".to_owned(),
        [one] => format!("task {one}, which it depends on, has not ended"),
        [first, rest @ ..] => {
            format!("task {first} and {} more, which it depends on, have not ended", rest.len())
        }
    }
}

fn at(time: Timestamp) -> String {
    Time(time).to_string()
}

fn size(size: &Resources) -> String {
    let cpu = f64::from(size.cpu_milli) / 1_000.0;
    format!("{cpu} vCPU and {} MB", size.memory_mb)
}

/// Cause and sentence of a task that does not wait for the scheduler.
fn by_state(why: &Why) -> (&'static str, String) {
    let task = &why.task;
    let error = task.error().map(|error| format!(": {}", error.message)).unwrap_or_default();
    match task.state() {
        TaskState::Enqueued | TaskState::Retrying => {
            ("settling", "its last change is being written; ask again".to_owned())
        }
        TaskState::Dequeued => {
            ("starting", "an instance is being found or started for it".to_owned())
        }
        TaskState::Running => ("running", format!("it runs since {}", at(task.first_started_at()))),
        TaskState::Stopping => ("stopping", "its attempt is being ended".to_owned()),
        TaskState::Succeeded => ("ended", format!("it succeeded at {}", at(task.ended_at()))),
        TaskState::Failed => ("ended", format!("it failed at {}{error}", at(task.ended_at()))),
        TaskState::Stopped => {
            let reason = task.stop_reason();
            let colon = if reason.is_empty() { "" } else { ": " };
            ("ended", format!("it was stopped at {}{colon}{reason}", at(task.ended_at())))
        }
        TaskState::Expired => {
            ("ended", format!("it did not start before {}", at(task.order().expires_at)))
        }
        TaskState::Invalid => ("ended", format!("it could not run{error}")),
    }
}

/// A stable word and a sentence for each cause.
pub(crate) fn explain(cause: &Cause) -> (&'static str, String) {
    match cause {
        Cause::Paused => ("paused", "the function's backlog is paused; resume it to go on".into()),
        Cause::FunctionGone => ("functionGone", "its function was deleted".into()),
        Cause::HeldByDependency => ("dependency", "a task it depends on has not ended".into()),
        Cause::NotYetEligible { at: time } => {
            ("delayed", format!("it is put off until {}", at(*time)))
        }
        Cause::Expired { at: time } => ("expired", format!("its deadline was {}", at(*time))),
        Cause::OrderKeyBusy { .. } => {
            ("orderKey", "another task with its ordering key is before it".into())
        }
        Cause::AccountBudget { until } => (
            "accountBudget",
            format!("the account has used up its budget, which begins anew at {}", at(*until)),
        ),
        Cause::AccountConcurrency { limit } => {
            ("accountConcurrency", format!("the account runs its most, {limit} at once"))
        }
        Cause::FunctionConcurrency { limit } => {
            ("functionConcurrency", format!("the function runs its most, {limit} at once"))
        }
        Cause::InstancesMax { limit } => {
            ("instancesMax", format!("the function has its most instances ({limit}), all busy"))
        }
        Cause::AccountInstances { limit } => {
            ("accountInstances", format!("the account has its most instances ({limit}), all busy"))
        }
        Cause::OnlyKept { kept } => (
            "onlyKept",
            format!("only the {kept} minimum instances serve the function, and all are busy"),
        ),
        Cause::KeyConcurrency { limit } => {
            ("keyConcurrency", format!("its limit key runs its most, {limit} at once"))
        }
        Cause::AccountRate { next_at } => {
            ("accountRate", format!("the account's rate lets the next start at {}", at(*next_at)))
        }
        Cause::FunctionRate { next_at } => {
            ("functionRate", format!("the function's rate lets the next start at {}", at(*next_at)))
        }
        Cause::KeyRate { next_at } => {
            ("keyRate", format!("its limit key's rate lets the next start at {}", at(*next_at)))
        }
        Cause::NoPool => ("noPool", "what it would run on is being prepared".into()),
        Cause::NoNode => ("noNode", "no node is there".into()),
        Cause::TooBigForAnyNode { size: wanted } => {
            ("tooBig", format!("no node can hold an instance of {}", size(wanted)))
        }
        Cause::NodeFull { missing } => {
            ("nodeFull", format!("every node is full; the best one lacks {}", size(missing)))
        }
        Cause::BehindOthers { position } => (
            "behindOthers",
            format!("others are before it; it is number {position} of its backlog"),
        ),
        Cause::Next => ("next", "nothing holds it: it starts next".into()),
    }
}
