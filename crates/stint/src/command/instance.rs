//! `stint instance`.

use clap::Subcommand;

use super::{Context, when};
use crate::failure::Failure;
use crate::screen::Rows;

/// Live instances.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List live instances and what each enforces.
    List {
        /// Only of this function.
        #[arg(long)]
        function: Option<String>,
    },
}

pub(crate) async fn run(command: Command, context: &Context) -> Result<(), Failure> {
    let Command::List { function } = command;
    let page = context.client()?.instance_list(function.as_deref()).await?;
    context.screen.show(&page, || {
        let header = ["INSTANCE", "FUNCTION", "VERSION", "NODE", "STATE", "CREATED", "ENFORCED"];
        let mut rows = Rows::new(&header).or_say("no live instances");
        for instance in &page.items {
            rows.row([
                instance.id.clone(),
                instance.function.clone(),
                instance.version.clone(),
                instance.node.clone(),
                context.screen.state(&instance.state),
                when(instance.created_at.0),
                instance.enforced.join(" "),
            ]);
        }
        rows
    })
}
