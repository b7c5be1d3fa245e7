//! Finding executions, and reading one's history.

use clap::Args;
use stint_wire::client::ExecutionNews;
use stint_wire::native::{Execution, ExecutionEvent, ExecutionFilter};
use stint_wire::time::Time;

use super::{Which, execution};
use crate::command::{Context, by_key, pair, when, whole};
use crate::failure::Failure;
use crate::screen::{Format, Rows};

/// Find executions.
#[derive(Debug, Args)]
pub(crate) struct Executions {
    /// Of this flow.
    #[arg(long)]
    flow: Option<String>,
    /// Running, Succeeded, Failed, TimedOut, Stopped, or ended. May be repeated.
    #[arg(long)]
    status: Vec<String>,
    /// Only names that start so.
    #[arg(long)]
    prefix: Option<String>,
    /// Began at or after this time.
    #[arg(long)]
    from: Option<Time>,
    /// Began before this time.
    #[arg(long)]
    until: Option<Time>,
    /// With this label. May be repeated.
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = pair)]
    tags: Vec<(String, String)>,
    /// Ended with this error.
    #[arg(long)]
    error: Option<String>,
    /// At most so many.
    #[arg(long, default_value_t = 100)]
    limit: usize,
    /// From the page before.
    #[arg(long)]
    cursor: Option<String>,
}

pub(super) async fn executions(args: &Executions, context: &Context) -> Result<(), Failure> {
    let filter = ExecutionFilter {
        flow: args.flow.clone(),
        status: args.status.clone(),
        prefix: args.prefix.clone(),
        from: args.from,
        until: args.until,
        tags: by_key(&args.tags)?,
        error: args.error.clone(),
    };
    let client = context.client()?;
    let (mut found, mut cursor) = (Vec::<Execution>::new(), args.cursor.clone());
    while found.len() < args.limit {
        let limit = (args.limit - found.len()).min(1_000);
        let page = client.execution_list(&filter, Some(limit), cursor.as_deref()).await?;
        found.extend(page.items);
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    let mut page = whole(found);
    page.next.clone_from(&cursor);
    context.screen.show(&page, || table(&page.items, context))?;
    if let (Some(next), Format::Table) = (cursor, context.screen.format) {
        context.screen.note(format!("there are more: --cursor {next}"));
    }
    Ok(())
}

fn table(executions: &[Execution], context: &Context) -> Rows {
    let header = ["EXECUTION", "STATUS", "STARTED", "ENDED", "ERROR"];
    let mut rows = Rows::new(&header).or_say("no executions");
    for run in executions {
        rows.row([
            format!("{}/{}", run.flow, run.name),
            context.screen.state(&run.status),
            when(run.started_at.0),
            run.ended_at.map(|at| when(at.0)).unwrap_or_default(),
            run.error.clone().unwrap_or_default(),
        ]);
    }
    rows
}

/// What happened in an execution.
#[derive(Debug, Args)]
pub(crate) struct History {
    #[command(flatten)]
    which: Which,
    /// Go on until it ends.
    #[arg(long)]
    follow: bool,
    /// Only events after the one with this id.
    #[arg(long, default_value_t = 0, value_name = "ID")]
    after: u64,
    /// At most so many.
    #[arg(long, default_value_t = 10_000)]
    limit: usize,
}

pub(super) async fn history(args: &History, context: &Context) -> Result<(), Failure> {
    let (flow, name) = args.which.parts()?;
    let client = context.client()?;
    if args.follow {
        let mut after = args.after;
        loop {
            let mut news = client.execution_follow(flow, name, after).await?;
            while let Some(next) = news.next().await? {
                match next {
                    ExecutionNews::Event(event) => {
                        after = event.id;
                        write(&event, context)?;
                    }
                    ExecutionNews::Ended(run) => return execution::verdict(&run),
                }
            }
        }
    }
    let mut cursor = (args.after > 0).then(|| (args.after + 1).to_string());
    let mut found: Vec<ExecutionEvent> = Vec::new();
    while found.len() < args.limit {
        let limit = (args.limit - found.len()).min(1_000);
        let page = client.execution_history(flow, name, Some(limit), cursor.as_deref()).await?;
        found.extend(page.items);
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    let mut page = whole(found);
    page.next = cursor;
    context.screen.show(&page, || {
        let mut rows = Rows::new(&["EVENT", "AFTER", "AT", "TYPE", "STEP", "DETAIL"]);
        for event in &page.items {
            rows.row([
                event.id.to_string(),
                event.previous.to_string(),
                event.at.to_string(),
                event.kind.clone(),
                event.step.clone(),
                short(event),
            ]);
        }
        rows
    })
}

/// Characters of an event's detail that a table shows.
const DETAIL: usize = 80;

fn short(event: &ExecutionEvent) -> String {
    let text = event.detail.to_string();
    if text == "{}" {
        return String::new();
    }
    match text.char_indices().nth(DETAIL) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

/// One event as a line, or as a JSON value per line for scripts.
pub(super) fn write(event: &ExecutionEvent, context: &Context) -> Result<(), Failure> {
    let text = match context.screen.format {
        Format::Table => {
            let line = format!("{} {:>5} {} {}", event.at, event.id, event.kind, event.step);
            format!("{} {}", line.trim_end(), short(event)).trim_end().to_owned() + "\n"
        }
        Format::Json | Format::Yaml => {
            let value = serde_json::to_string(event);
            value.map_err(|error| Failure::cannot("write JSON", &error))? + "\n"
        }
    };
    context.screen.raw(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_detail_is_cut_between_characters() {
        let event = |text: &str| ExecutionEvent {
            detail: serde_json::json!({ "a": text }),
            ..ExecutionEvent::default()
        };
        assert_eq!(short(&event("é")), "{\"a\":\"é\"}");
        assert_eq!(short(&event(&"é".repeat(200))).chars().count(), DETAIL + 1);
        let none = ExecutionEvent { detail: serde_json::json!({}), ..ExecutionEvent::default() };
        assert_eq!(short(&none), "");
    }
}
