//! `stint logs`: what functions wrote, found again across the account.

use clap::Args;
use stint_supervise::Clock;
use stint_wire::client::Client;
use stint_wire::native::{LogFilter, LogLine};

use super::Context;
use super::patience::{Following, Next};
use super::task::find::{Moment, moment};
use super::task::follow::show_lines;
use crate::failure::Failure;
use crate::screen::Format;

/// Log lines of one function or of all; the newest ones, oldest first. All conditions hold together.
#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// Of this function.
    #[arg(short, long)]
    function: Option<String>,
    /// Of this task: its uid, FUNCTION/TASK-ID, or its id when no other task of the account has it.
    #[arg(long)]
    task: Option<String>,
    /// Of this request.
    #[arg(long)]
    request: Option<String>,
    /// Of this instance.
    #[arg(long)]
    instance: Option<String>,
    /// Containing this text.
    #[arg(long)]
    text: Option<String>,
    /// Written at or after: 2026-01-02T03:04:05Z, or how long ago, as in 2h.
    #[arg(long, value_parser = moment)]
    from: Option<Moment>,
    /// Written before.
    #[arg(long, value_parser = moment)]
    until: Option<Moment>,
    /// New lines as they come, and no old ones.
    #[arg(long, conflicts_with_all = ["from", "until"])]
    follow: bool,
    /// At most so many lines.
    #[arg(long, default_value_t = 1_000)]
    limit: usize,
}

impl Logs {
    fn filter(&self) -> LogFilter {
        LogFilter {
            function: self.function.clone(),
            task: self.task.clone(),
            request_id: self.request.clone(),
            instance: self.instance.clone(),
            attempt: None,
            text: self.text.clone(),
            from: self.from.map(Moment::time),
            until: self.until.map(Moment::time),
        }
    }
}

pub(crate) async fn run(args: &Logs, context: &Context) -> Result<(), Failure> {
    let (client, filter) = (context.client()?, args.filter());
    if args.follow {
        return follow(&client, &filter, context).await;
    }
    let (mut lines, mut cursor): (Vec<LogLine>, Option<String>) = (Vec::new(), None);
    while lines.len() < args.limit {
        let limit = (args.limit - lines.len()).min(1_000);
        let page = client.log_search(&filter, false, Some(limit), cursor.as_deref()).await?;
        lines.extend(page.items);
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    // The newest were asked for; people read downwards.
    lines.reverse();
    show_lines(lines, cursor, args.limit, context, |line| write(line, context))
}

/// Until it is interrupted, or the server has gone for good.
async fn follow(client: &Client, filter: &LogFilter, context: &Context) -> Result<(), Failure> {
    let mut following = Following::new(Clock::start());
    loop {
        match following.next(async || client.log_follow(filter).await, context).await? {
            Next::Begun => {}
            Next::Line(line) => write(&line, context)?,
            Next::Whole => return Ok(()),
        }
    }
}

fn write(line: &LogLine, context: &Context) -> Result<(), Failure> {
    let text = match context.screen.format {
        Format::Table => {
            format!("{} {} {} {}\n", line.at, line.function, line.request_id, line.text)
        }
        Format::Json | Format::Yaml => {
            let value = serde_json::to_string(line);
            value.map_err(|error| Failure::cannot("write JSON", &error))? + "\n"
        }
    };
    context.screen.raw(text.as_bytes())
}
