//! Waiting for a task, and what it writes. Both outlive a restart of the server.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use clap::Args;
use stint_model::time::Span;
use stint_supervise::Clock;
use stint_wire::native::LogLine;

use super::{Which, show, verdict};
use crate::command::patience::{Following, Next, Patience};
use crate::command::{Context, whole};
use crate::failure::{Exit, Failure};
use crate::screen::Format;

/// One wait of the server; then it is asked again.
const WAIT: Duration = Duration::from_secs(50);

/// Waits for a task's end.
pub(super) async fn wait(
    which: &Which,
    timeout: Option<Span>,
    context: &Context,
) -> Result<(), Failure> {
    let (client, address, clock) = (context.client()?, which.address(), Clock::start());
    let end = timeout.map(|timeout| clock.now() + timeout);
    let bar = context.screen.bar(100, &format!("waiting for {}", which.id));
    let mut patience = Patience::new(clock.clone());
    loop {
        let left = end.map_or(WAIT, |end| end.since(clock.now()).to_std().min(WAIT));
        let task = match client.task_wait(&address, left).await {
            Ok(task) => task,
            Err(error) => {
                patience.bear(error, context).await?;
                continue;
            }
        };
        patience.answered();
        if let Some(progress) = &task.progress {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "clamped to a percentage"
            )]
            bar.set_position(progress.percent.clamp(0.0, 100.0) as u64);
        }
        bar.set_message(format!("{} {}", which.id, task.state));
        if task.ended {
            bar.finish_and_clear();
            context.screen.show(&task, || show(&task, context))?;
            return verdict(&task);
        }
        if end.is_some_and(|end| clock.now() >= end) {
            bar.finish_and_clear();
            let text = format!("task {} is still {}", task.task_id, task.state);
            return Err(Failure::new(Exit::TimedOut, text).next(format!("stint why {}", task.uid)));
        }
    }
}

/// What a task wrote.
#[derive(Debug, Args)]
pub(crate) struct Logs {
    #[command(flatten)]
    task: Which,
    /// Go on until the task ends.
    #[arg(long)]
    follow: bool,
    /// At most so many lines.
    #[arg(long, default_value_t = 10_000)]
    limit: usize,
    /// With time, try and instance before each line.
    #[arg(long)]
    long: bool,
}

pub(super) async fn logs(args: &Logs, context: &Context) -> Result<(), Failure> {
    let (client, address) = (context.client()?, args.task.address());
    if args.follow {
        return follow(args, context).await;
    }
    let (mut lines, mut cursor): (Vec<LogLine>, Option<String>) = (Vec::new(), None);
    while lines.len() < args.limit {
        let limit = (args.limit - lines.len()).min(1_000);
        let page = client.task_logs(&address, Some(limit), cursor.as_deref()).await?;
        lines.extend(page.items);
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    show_lines(lines, cursor, args.limit, context, |line| write(line, args.long, context))
}

/// Lines that are remembered, so that they are not written again after a restart of the server.
const WRITTEN_MAX: usize = 1_000_000;

async fn follow(args: &Logs, context: &Context) -> Result<(), Failure> {
    let (client, address) = (context.client()?, args.task.address());
    let mut following = Following::new(Clock::start());
    let (mut written, hasher) = (HashSet::new(), RandomState::new());
    // Lines that are alike are told apart by their count.
    let mut alike = HashMap::<u64, u32>::new();
    loop {
        match following.next(async || client.task_logs_follow(&address).await, context).await? {
            Next::Begun => alike.clear(),
            Next::Line(line) => {
                let what = (&line.at, line.attempt, &line.instance, &line.text);
                let mark = hasher.hash_one(what);
                let count = alike.entry(mark).or_default();
                *count += 1;
                let mark = hasher.hash_one((mark, *count));
                if written.len() >= WRITTEN_MAX || written.insert(mark) {
                    write(&line, args.long, context)?;
                }
            }
            Next::Whole => return Ok(()),
        }
    }
}

/// A page for scripts, lines for people.
pub(crate) fn show_lines(
    lines: Vec<LogLine>,
    next: Option<String>,
    limit: usize,
    context: &Context,
    write: impl Fn(&LogLine) -> Result<(), Failure>,
) -> Result<(), Failure> {
    if context.screen.format != Format::Table {
        let mut page = whole(lines);
        page.next = next;
        return context.screen.show(&page, crate::screen::Rows::of_one);
    }
    for line in &lines {
        write(line)?;
    }
    if next.is_some() {
        context.screen.note(format!("there are more: --limit {}", limit.saturating_mul(2)));
    }
    Ok(())
}

/// One line: the text, or a JSON value per line for scripts.
fn write(line: &LogLine, long: bool, context: &Context) -> Result<(), Failure> {
    let text = match context.screen.format {
        Format::Table if long => {
            format!("{} {} {} {}\n", line.at, line.attempt, line.instance, line.text)
        }
        Format::Table => format!("{}\n", line.text),
        Format::Json | Format::Yaml => {
            let value = serde_json::to_string(line);
            value.map_err(|error| Failure::cannot("write JSON", &error))? + "\n"
        }
    };
    context.screen.raw(text.as_bytes())
}
