//! `stint task`.

pub(crate) mod find;
pub(crate) mod follow;
mod submit;

use clap::{Args, Subcommand};
use stint_model::time::Span;
use stint_wire::native::{BulkResult, Task};

use super::{Context, millis, when, whole};
use crate::config::unit;
use crate::failure::{Exit, Failure};
use crate::screen::{Format, Rows};

/// Durable tasks.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Submit a task, or one per line of a file; durable when this returns.
    Submit(Box<submit::Submit>),
    /// Find tasks, newest first.
    List(Box<find::List>),
    /// Show one: attempts, phases, events, result.
    Get {
        #[command(flatten)]
        task: Which,
        /// Write only its result, as it is.
        #[arg(long, conflicts_with = "payload")]
        result: bool,
        /// Write only its payload, as it is.
        #[arg(long)]
        payload: bool,
    },
    /// Wait for its end; exit code 6 when it did not succeed.
    Wait {
        #[command(flatten)]
        task: Which,
        /// At most this long; exit code 4 then.
        #[arg(long, value_parser = unit::duration)]
        timeout: Option<Span>,
    },
    /// Stop a task, or with filters every task that meets them.
    Stop(Box<find::Bulk>),
    /// Start an ended task anew, or with filters every one that meets them.
    Retry(Box<find::Bulk>),
    /// What it wrote.
    Logs(follow::Logs),
}

/// One task.
#[derive(Clone, Debug, Args)]
pub(crate) struct Which {
    /// A task's uid (tsk_…), FUNCTION/TASK-ID, or with --function a task id.
    #[arg(value_name = "TASK")]
    pub(crate) id: String,
    /// The function whose task id is meant.
    #[arg(short, long)]
    pub(crate) function: Option<String>,
}

impl Which {
    /// As the client takes it.
    pub(crate) fn address(&self) -> String {
        match &self.function {
            Some(function) => format!("{function}/{}", self.id),
            None => self.id.clone(),
        }
    }
}

pub(crate) async fn run(command: Command, context: &Context) -> Result<(), Failure> {
    let screen = &context.screen;
    match command {
        Command::Submit(args) => submit::run(*args, context).await,
        Command::List(args) => find::list(*args, context).await,
        Command::Get { task, result, payload } => {
            let (client, address) = (context.client()?, task.address());
            if result {
                return screen.raw(&client.task_result(&address).await?);
            }
            if payload {
                return screen.raw(&client.task_payload(&address).await?);
            }
            let task = client.task_get(&address).await?;
            screen.show(&task, || show(&task, context))
        }
        Command::Wait { task, timeout } => follow::wait(&task, timeout, context).await,
        Command::Stop(args) => {
            let (client, reason) = (context.client()?, args.reason.clone());
            match args.one()? {
                Some(one) => {
                    let task = client.task_stop(&one.address(), &reason).await?;
                    screen.show(&task, || table(std::slice::from_ref(&task), context))
                }
                None => {
                    let result = client.tasks_stop(&args.request()?).await?;
                    bulk(&result, "stopped", context)
                }
            }
        }
        Command::Retry(args) => {
            let client = context.client()?;
            match args.one()? {
                Some(one) => {
                    let task = client.task_retry(&one.address()).await?;
                    screen.show(&task, || table(std::slice::from_ref(&task), context))
                }
                None => {
                    let result = client.tasks_retry(&args.request()?).await?;
                    bulk(&result, "started anew", context)
                }
            }
        }
        Command::Logs(args) => follow::logs(&args, context).await,
    }
}

fn bulk(result: &BulkResult, done: &str, context: &Context) -> Result<(), Failure> {
    context.screen.show(result, || {
        let mut rows = Rows::of_one();
        rows.line("met the filter", result.matched.to_string());
        rows.line(done, result.changed.to_string());
        rows.line("for example", result.sample.join("\n"));
        rows
    })
}

/// Tasks as a table.
fn table(tasks: &[Task], context: &Context) -> Rows {
    let header = ["TASK", "FUNCTION", "STATE", "SUBMITTED", "RAN", "TRIES", "ERROR"];
    let mut rows = Rows::new(&header).or_say("no tasks");
    for task in tasks {
        let error = task.error.as_ref().map(|error| error.kind.clone()).unwrap_or_default();
        rows.row([
            task.task_id.clone(),
            task.function.clone(),
            context.screen.state(&task.state),
            when(task.submitted_at.0),
            if task.duration_ms > 0.0 { millis(task.duration_ms) } else { String::new() },
            task.attempts_total.to_string(),
            error,
        ]);
    }
    rows
}

/// One task with all of its life.
fn show(task: &Task, context: &Context) -> Rows {
    let mut rows = Rows::of_one();
    rows.line("task", task.task_id.as_str());
    rows.line("uid", task.uid.as_str());
    rows.line("function", format!("{} ({})", task.function, task.qualifier));
    rows.line("state", context.screen.state(&task.state));
    rows.line("request", task.request_id.as_str());
    rows.line("submitted", when(task.submitted_at.0));
    rows.line("started", task.started_at.map(|at| when(at.0)).unwrap_or_default());
    rows.line("ended", task.ended_at.map(|at| when(at.0)).unwrap_or_default());
    let tags: Vec<_> = task.tags.iter().map(|(k, v)| format!("{k}={v}")).collect();
    rows.line("tags", tags.join(" "));
    if let Some(progress) = &task.progress {
        rows.line("progress", format!("{} % {}", progress.percent, progress.message));
    }
    if let Some(error) = &task.error {
        rows.line("error", format!("{}: {} ({})", error.kind, error.message, error.class));
    }
    rows.line("stopped because", task.stop_reason.as_deref().unwrap_or_default());
    for attempt in &task.attempts {
        let phases = attempt.phases;
        let text = format!(
            "{} on {}{}: queued {}, placed {}, {} start {}, ran {}, settled {}",
            attempt.outcome.as_deref().unwrap_or("running"),
            attempt.node,
            attempt.instance.as_deref().map(|id| format!(" {id}")).unwrap_or_default(),
            millis(phases.queued_ms),
            millis(phases.placed_ms),
            if attempt.cold { "cold" } else { "warm" },
            millis(phases.cold_start_ms),
            millis(phases.ran_ms),
            millis(phases.settled_ms),
        );
        rows.line(&format!("attempt {}", attempt.number), text);
    }
    let events: Vec<_> = task
        .events
        .iter()
        .map(|event| format!("{} {} {}", event.at, event.state, event.detail).trim_end().to_owned())
        .collect();
    rows.line("events", events.join("\n"));
    rows.line("result", task.result.as_deref().unwrap_or_default());
    rows
}

/// How a task's end becomes an exit code.
fn verdict(task: &Task) -> Result<(), Failure> {
    if task.state == "Succeeded" {
        return Ok(());
    }
    let why = task.error.as_ref().map(|e| format!(": {}: {}", e.kind, e.message));
    let text = format!("task {} is {}{}", task.task_id, task.state, why.unwrap_or_default());
    Err(Failure::new(Exit::TaskFailed, text).next(format!("stint task logs {}", task.uid)))
}

/// Tables for people, a page for scripts.
fn show_all(tasks: Vec<Task>, next: Option<String>, context: &Context) -> Result<(), Failure> {
    let mut page = whole(tasks);
    page.next.clone_from(&next);
    context.screen.show(&page, || table(&page.items, context))?;
    if let (Some(next), Format::Table) = (next, context.screen.format) {
        context.screen.note(format!("there are more: --cursor {next}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_named_in_three_ways() {
        let which = |id: &str, function: Option<&str>| {
            Which { id: id.to_owned(), function: function.map(str::to_owned) }.address()
        };
        assert_eq!(which("tsk_1", None), "tsk_1");
        assert_eq!(which("etl/job-1", None), "etl/job-1");
        assert_eq!(which("job-1", Some("etl")), "etl/job-1");
    }

    #[test]
    fn only_success_is_a_success() {
        let task = |state: &str| Task { state: state.to_owned(), ..Task::default() };
        assert!(verdict(&task("Succeeded")).is_ok());
        for state in ["Failed", "Stopped", "Expired", "Invalid"] {
            assert_eq!(verdict(&task(state)).unwrap_err().exit, Exit::TaskFailed);
        }
    }
}
