//! `stint flow`: definitions, with or without a server; flows, and their executions.

mod definition;
mod execution;
mod find;
mod graph;
mod manage;
mod report;
mod start;
mod watch;

use clap::{Args, Subcommand};

pub(super) use manage::checked;

use super::Context;
use crate::failure::Failure;

/// Flows: FDL, CloudFlow and Amazon States Language.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Check definitions; what is wrong is shown with file, line and column. Needs no server.
    Validate(definition::Validate),
    /// Draw a definition, a flow, or an execution with its live state: in the terminal, as SVG, or as
    /// a document (--output json).
    Graph(graph::Draw),
    /// Make a flow from a definition.
    Create(manage::Create),
    /// Change a flow; executions under way keep what they began with.
    Update(manage::Update),
    /// Flows by name.
    List {
        /// Only names that start so.
        #[arg(long)]
        prefix: Option<String>,
    },
    /// Show a flow, or an execution with input, output and error.
    Show(manage::Show),
    /// Remove a flow with its versions and aliases.
    Delete {
        /// The flow.
        flow: String,
    },
    /// Publish a flow as it is now as a version that does not change.
    Publish {
        /// The flow.
        flow: String,
        /// What it is for.
        #[arg(long, default_value = "")]
        description: String,
    },
    /// Published versions.
    Versions {
        /// The flow.
        flow: String,
    },
    /// Names for versions.
    #[command(subcommand)]
    Alias(manage::Alias),
    /// Start an execution; durable when this returns.
    Start(start::Start),
    /// Find executions, newest first.
    Executions(find::Executions),
    /// Wait for an execution's end; exit code 6 when it did not succeed.
    Wait(execution::Wait),
    /// What happened in an execution, event by event.
    History(find::History),
    /// What each step of an execution waits for.
    Why {
        #[command(flatten)]
        which: Which,
    },
    /// Stop an execution and the work it waits for.
    Stop(execution::Stop),
    /// Run again what failed or was stopped; what succeeded keeps its result.
    Redrive(execution::Redrive),
}

/// One execution.
#[derive(Clone, Debug, Args)]
pub(crate) struct Which {
    /// FLOW/EXECUTION, as `start` and `executions` print it.
    #[arg(value_name = "FLOW/EXECUTION")]
    pub(crate) execution: String,
}

impl Which {
    /// Flow and name.
    pub(crate) fn parts(&self) -> Result<(&str, &str), Failure> {
        parts(&self.execution).ok_or_else(|| {
            Failure::usage(format!("`{}` names no execution: write FLOW/EXECUTION", self.execution))
                .next("stint flow executions")
        })
    }
}

/// Flow and execution of `FLOW/EXECUTION`.
fn parts(text: &str) -> Option<(&str, &str)> {
    text.split_once('/').filter(|(flow, name)| !flow.is_empty() && !name.is_empty())
}

pub(crate) async fn run(command: Command, context: &Context) -> Result<(), Failure> {
    match command {
        Command::Validate(args) => definition::validate(&args, context),
        Command::Graph(args) => graph::draw(&args, context).await,
        Command::Create(args) => manage::create(&args, context).await,
        Command::Update(args) => manage::update(&args, context).await,
        Command::List { prefix } => manage::list(prefix.as_deref(), context).await,
        Command::Show(args) => manage::show(&args, context).await,
        Command::Delete { flow } => manage::delete(&flow, context).await,
        Command::Publish { flow, description } => {
            manage::publish(&flow, &description, context).await
        }
        Command::Versions { flow } => manage::versions(&flow, context).await,
        Command::Alias(command) => manage::alias(&command, context).await,
        Command::Start(args) => start::run(&args, context).await,
        Command::Executions(args) => find::executions(&args, context).await,
        Command::Wait(args) => execution::wait(&args, context).await,
        Command::History(args) => find::history(&args, context).await,
        Command::Why { which } => execution::why(&which, context).await,
        Command::Stop(args) => execution::stop(&args, context).await,
        Command::Redrive(args) => execution::redrive(&args, context).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_execution_is_named_by_its_flow() {
        let which = |text: &str| Which { execution: text.to_owned() };
        assert_eq!(which("f/e").parts(), Ok(("f", "e")));
        assert_eq!(which("f/n:uuid").parts(), Ok(("f", "n:uuid")));
        for bad in ["f", "f/", "/e"] {
            assert!(which(bad).parts().is_err(), "{bad}");
        }
    }
}
