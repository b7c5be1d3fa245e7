//! `stint why`: the scheduler's own answer.

use clap::Args;

use super::{Context, task, when};
use crate::failure::Failure;
use crate::screen::Rows;

/// Say why a task waits, or what became of it.
#[derive(Debug, Args)]
pub(crate) struct Why {
    #[command(flatten)]
    pub(crate) task: task::Which,
}

pub(crate) async fn run(args: &Why, context: &Context) -> Result<(), Failure> {
    let why = context.client()?.task_why(&args.task.address()).await?;
    context.screen.show(&why, || {
        let mut rows = Rows::of_one();
        rows.line("task", format!("{} ({})", why.task_id, why.uid));
        rows.line("function", why.function.as_str());
        rows.line("state", context.screen.state(&why.state));
        rows.line("why", why.sentence.as_str());
        rows.line("cause", why.cause.as_str());
        rows.line("position", why.position.map(|n| n.to_string()).unwrap_or_default());
        rows.line("expected start", why.estimated_start.map(|at| when(at.0)).unwrap_or_default());
        rows
    })
}
