//! One execution: wait for it, explain it, stop it, run it again.

use std::time::Duration;

use clap::Args;
use stint_model::time::Span;
use stint_supervise::Clock;
use stint_wire::client::Client;
use stint_wire::native::{Execution, ExecutionStop};

use super::Which;
use crate::command::{Context, when};
use crate::config::unit;
use crate::failure::{Exit, Failure};
use crate::screen::Rows;

/// One wait of the server; then it is asked again.
const WAIT: Duration = Duration::from_secs(50);

/// Wait for an execution's end.
#[derive(Debug, Args)]
pub(crate) struct Wait {
    #[command(flatten)]
    which: Which,
    /// At most this long; exit code 4 then.
    #[arg(long, value_parser = unit::duration)]
    timeout: Option<Span>,
}

/// Stop an execution.
#[derive(Debug, Args)]
pub(crate) struct Stop {
    #[command(flatten)]
    which: Which,
    /// Error name to record.
    #[arg(long)]
    error: Option<String>,
    /// Text to record.
    #[arg(long)]
    cause: Option<String>,
}

/// Run again what failed.
#[derive(Debug, Args)]
pub(crate) struct Redrive {
    #[command(flatten)]
    which: Which,
    /// Wait for its end; exit code 6 when it did not succeed.
    #[arg(long)]
    wait: bool,
}

/// One execution with all that is known of it.
pub(super) fn one(run: &Execution, context: &Context) -> Rows {
    let mut rows = Rows::of_one();
    rows.line("execution", format!("{}/{}", run.flow, run.name));
    rows.line("id", run.id.as_str());
    rows.line("status", context.screen.state(&run.status));
    rows.line("mode", run.mode.as_str());
    rows.line("version", run.version.as_deref().unwrap_or_default());
    rows.line("alias", run.alias.as_deref().unwrap_or_default());
    rows.line("map run", run.map_run.as_deref().unwrap_or_default());
    rows.line("started", when(run.started_at.0));
    rows.line("ended", run.ended_at.map(|at| when(at.0)).unwrap_or_default());
    let tags: Vec<_> = run.tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
    rows.line("tags", tags.join(" "));
    if run.redrives > 0 {
        rows.line("redriven", format!("{} times", run.redrives));
    }
    rows.line("input", run.input.as_ref().map(ToString::to_string).unwrap_or_default());
    rows.line("output", run.output.as_ref().map(ToString::to_string).unwrap_or_default());
    rows.line("error", run.error.as_deref().unwrap_or_default());
    rows.line("cause", run.cause.as_deref().unwrap_or_default());
    rows
}

/// How an execution's end becomes an exit code.
pub(super) fn verdict(run: &Execution) -> Result<(), Failure> {
    if run.status == "Succeeded" {
        return Ok(());
    }
    let said: Vec<&str> = run.error.iter().chain(&run.cause).map(String::as_str).collect();
    let why = if said.is_empty() { String::new() } else { format!(": {}", said.join(": ")) };
    let name = format!("{}/{}", run.flow, run.name);
    let text = format!("execution {name} is {}{why}", run.status);
    Err(Failure::new(Exit::TaskFailed, text).next(format!("stint flow history {name}")))
}

/// Shows one that has ended; it is the exit code too.
pub(super) fn shown(run: &Execution, context: &Context) -> Result<(), Failure> {
    context.screen.show(run, || one(run, context))?;
    verdict(run)
}

/// The execution when it has ended.
pub(super) async fn until_end(
    client: &Client,
    flow: &str,
    name: &str,
    timeout: Option<Span>,
    context: &Context,
) -> Result<Execution, Failure> {
    let clock = Clock::start();
    let end = timeout.map(|timeout| clock.now() + timeout);
    let bar = context.screen.bar(1, &format!("waiting for {flow}/{name}"));
    loop {
        let left = end.map_or(WAIT, |end| end.since(clock.now()).to_std().min(WAIT));
        let run = client.execution_wait(flow, name, left).await?;
        if run.ended {
            bar.finish_and_clear();
            return Ok(run);
        }
        if end.is_some_and(|end| clock.now() >= end) {
            bar.finish_and_clear();
            return Err(still_running(&run));
        }
    }
}

pub(super) fn still_running(run: &Execution) -> Failure {
    let name = format!("{}/{}", run.flow, run.name);
    Failure::new(Exit::TimedOut, format!("execution {name} is still {}", run.status))
        .next(format!("stint flow why {name}"))
}

pub(super) async fn wait(args: &Wait, context: &Context) -> Result<(), Failure> {
    let (flow, name) = args.which.parts()?;
    let run = until_end(&context.client()?, flow, name, args.timeout, context).await?;
    shown(&run, context)
}

pub(super) async fn why(which: &Which, context: &Context) -> Result<(), Failure> {
    let (flow, name) = which.parts()?;
    let why = context.client()?.execution_why(flow, name).await?;
    context.screen.show(&why, || {
        let mut rows = Rows::of_one();
        rows.line("execution", format!("{}/{}", why.flow, why.name));
        rows.line("status", context.screen.state(&why.status));
        rows.line("why", why.sentence.as_str());
        for step in &why.steps {
            let retries = match step.retries {
                0 => String::new(),
                count => format!(" (retried {count} times)"),
            };
            rows.line(&format!("step {}", step.step), format!("{}{retries}", step.sentence));
            let further = step.task.as_ref().map(|task| format!("stint why {task}"));
            let child = step.execution.as_ref().map(|child| format!("stint flow why {child}"));
            rows.line("", further.or(child).unwrap_or_default());
        }
        rows
    })
}

pub(super) async fn stop(args: &Stop, context: &Context) -> Result<(), Failure> {
    let (flow, name) = args.which.parts()?;
    let stop = ExecutionStop { error: args.error.clone(), cause: args.cause.clone() };
    let run = context.client()?.execution_stop(flow, name, &stop).await?;
    context.screen.show(&run, || one(&run, context))
}

pub(super) async fn redrive(args: &Redrive, context: &Context) -> Result<(), Failure> {
    let (flow, name) = args.which.parts()?;
    let client = context.client()?;
    let run = client.execution_redrive(flow, name).await?;
    if args.wait {
        return shown(&until_end(&client, flow, name, None, context).await?, context);
    }
    context.screen.show(&run, || one(&run, context))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_success_is_a_success() {
        let run = |status: &str, error: Option<&str>| Execution {
            status: status.to_owned(),
            error: error.map(str::to_owned),
            ..Execution::default()
        };
        assert!(verdict(&run("Succeeded", None)).is_ok());
        for status in ["Failed", "TimedOut", "Stopped"] {
            let failure = verdict(&run(status, Some("E"))).unwrap_err();
            assert_eq!(failure.exit, Exit::TaskFailed);
            assert!(failure.message.ends_with(&format!("{status}: E")), "{failure}");
        }
    }
}
