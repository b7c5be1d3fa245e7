//! `stint backlog`.

use clap::Subcommand;
use stint_wire::native::Backlog;

use super::{Context, every, when, whole};
use crate::failure::Failure;
use crate::screen::Rows;

/// What waits, per function.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show one backlog, or all of them, longest first.
    Show {
        /// The function.
        function: Option<String>,
    },
    /// Let nothing of a function start; submits are still accepted.
    Pause {
        /// The function.
        function: String,
    },
    /// Let it go on.
    Resume {
        /// The function.
        function: String,
    },
}

pub(crate) async fn run(command: Command, context: &Context) -> Result<(), Failure> {
    let client = context.client()?;
    let page = match command {
        Command::Show { function: None } => {
            every!(cursor => client.backlog_list(Some(100), cursor))
        }
        Command::Show { function: Some(function) } => {
            whole(vec![client.backlog_get(&function).await?])
        }
        Command::Pause { function } => whole(vec![client.backlog_pause(&function).await?]),
        Command::Resume { function } => whole(vec![client.backlog_resume(&function).await?]),
    };
    context.screen.show(&page, || table(&page.items, context))
}

fn table(backlogs: &[Backlog], context: &Context) -> Rows {
    let header = ["FUNCTION", "WAITING", "DELAYED", "RUNNING", "INSTANCES", "OLDEST", "HELD BY"];
    let mut rows = Rows::new(&header).or_say("nothing waits");
    for backlog in backlogs {
        let held = if backlog.paused { "paused" } else { "" };
        let held = backlog.sentence.as_deref().unwrap_or(held);
        rows.row([
            backlog.function.clone(),
            backlog.waiting.to_string(),
            backlog.delayed.to_string(),
            backlog.running.to_string(),
            format!("{} of {}", backlog.instances, backlog.wanted),
            backlog.oldest_at.map(|at| when(at.0)).unwrap_or_default(),
            context.screen.state(held),
        ]);
    }
    rows
}
