//! `stint instance`.

mod exec;

use clap::Subcommand;
use stint_wire::client::Client;
use stint_wire::native::Instance;

use super::{Context, when, whole};
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
        /// Those that ended lately too, and why they did.
        #[arg(long)]
        all: bool,
    },
    /// End an instance when what runs on it has ended.
    Stop {
        /// Its id, as `instance list` shows it.
        id: String,
        /// At once; what runs on it is tried again elsewhere.
        #[arg(long)]
        now: bool,
    },
    /// Run a command in a live instance, behind its walls and within its limits.
    Exec(exec::Exec),
}

pub(crate) async fn run(command: Command, context: &Context) -> Result<(), Failure> {
    match command {
        Command::Exec(exec) => exec::run(exec, context).await,
        Command::List { function, all } => list(function.as_deref(), all, context).await,
        Command::Stop { id, now } => {
            let instance = context.client()?.instance_stop(&id, now).await?;
            context.screen.show(&instance, || {
                let mut rows = Rows::of_one();
                rows.line("instance", instance.id.as_str());
                rows.line("function", instance.function.as_str());
                rows.line("was", context.screen.state(&instance.state));
                rows.line("ends", if now { "now" } else { "when what runs on it has ended" });
                rows
            })
        }
    }
}

/// All there are, page by page.
async fn every(client: &Client, function: Option<&str>) -> Result<Vec<Instance>, Failure> {
    let (mut items, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let page = client.instance_list(function, cursor.as_deref()).await?;
        items.extend(page.items);
        cursor = page.next;
        if cursor.is_none() {
            return Ok(items);
        }
    }
}

async fn list(function: Option<&str>, all: bool, context: &Context) -> Result<(), Failure> {
    let mut items = every(&context.client()?, function).await?;
    items.retain(|instance| all || instance.destroyed_at.is_none());
    let page = whole(items);
    context.screen.show(&page, || {
        let last = if all { "REASON" } else { "ENFORCED" };
        let header = ["INSTANCE", "FUNCTION", "VERSION", "NODE", "STATE", "CREATED", last];
        let mut rows = Rows::new(&header).or_say("no live instances");
        for instance in &page.items {
            rows.row([
                instance.id.clone(),
                instance.function.clone(),
                instance.version.clone(),
                instance.node.clone(),
                context.screen.state(&instance.state),
                when(instance.created_at.0),
                if all { instance.reason.clone() } else { instance.enforced.join(" ") },
            ]);
        }
        rows
    })
}
