//! Starting an execution, and waiting for it or looking on.

use clap::Args;
use serde_json::Value;
use stint_model::time::Span;
use stint_wire::native::ExecutionStart;

use super::{execution, watch};
use crate::command::{Context, by_key, pair, payload};
use crate::config::unit;
use crate::failure::Failure;

/// Start an execution.
#[derive(Debug, Args)]
pub(crate) struct Start {
    /// The flow.
    flow: String,
    /// Its input: JSON, @file, or - for standard input; {} without one.
    input: Option<String>,
    /// The name you choose; the same twice is the same execution while it runs, and refused after.
    #[arg(long)]
    name: Option<String>,
    /// A version or an alias.
    #[arg(long)]
    qualifier: Option<String>,
    /// A label to search by. May be repeated.
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = pair)]
    tags: Vec<(String, String)>,
    /// Wait for its end; exit code 6 when it did not succeed.
    #[arg(long)]
    wait: bool,
    /// Look on: the graph with the state of each step, live on a terminal, event by event elsewhere.
    #[arg(long)]
    watch: bool,
    /// Wait at most this long; exit code 4 then.
    #[arg(long, value_parser = unit::duration)]
    timeout: Option<Span>,
}

pub(super) async fn run(args: &Start, context: &Context) -> Result<(), Failure> {
    let input = payload(args.input.as_deref())?;
    let input: Option<Value> = match input.trim_ascii() {
        b"" => None,
        text => Some(
            serde_json::from_slice(text)
                .map_err(|error| Failure::usage(format!("the input is no JSON: {error}")))?,
        ),
    };
    let start = ExecutionStart {
        name: args.name.clone(),
        input,
        qualifier: args.qualifier.clone(),
        tags: by_key(&args.tags)?,
    };
    let client = context.client()?;
    let run = client.execution_start(&args.flow, &start).await?;
    if args.watch && !run.ended {
        return watch::run(&client, &run, args.timeout, context).await;
    }
    if args.wait && !run.ended {
        let wait = execution::until_end(&client, &run.flow, &run.name, args.timeout, context);
        return execution::shown(&wait.await?, context);
    }
    if run.ended {
        return execution::shown(&run, context);
    }
    context.screen.show(&run, || execution::one(&run, context))
}
