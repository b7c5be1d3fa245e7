//! Drawing: a definition, a flow of the server, or an execution with how each of its steps stands.

use std::path::PathBuf;

use clap::Args;
use stint_flow::{ExecutionMode, Graph};
use stint_wire::native::FlowGraph;

use super::{definition, parts, report};
use crate::command::Context;
use crate::failure::Failure;
use crate::screen::{Format, Rows};

/// Draw a definition, a flow or an execution.
#[derive(Debug, Args)]
pub(crate) struct Draw {
    /// The definition, JSON or YAML; `-` for standard input.
    #[arg(required_unless_present_any = ["flow", "execution"])]
    file: Option<PathBuf>,
    /// Of this flow, FLOW or FLOW:VERSION.
    #[arg(long, conflicts_with_all = ["file", "execution"])]
    flow: Option<String>,
    /// Of this execution, FLOW/EXECUTION, with how its steps stand.
    #[arg(long, conflicts_with = "file")]
    execution: Option<String>,
    /// Write SVG to this file; `-` for standard output.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

pub(super) async fn draw(args: &Draw, context: &Context) -> Result<(), Failure> {
    if let Some(flow) = &args.flow {
        let client = context.client()?;
        let (flow, version) = match flow.split_once(':') {
            Some((flow, version)) => (flow, Some(version)),
            None => (flow.as_str(), None),
        };
        let text = client.flow_get(flow, version).await?.definition.unwrap_or_default();
        return show(&compiled(flow, &text, context)?, args, context);
    }
    if let Some(execution) = &args.execution {
        let (flow, name) = parts(execution)
            .ok_or_else(|| Failure::usage(format!("`{execution}`: write FLOW/EXECUTION")))?;
        let client = context.client()?;
        let live = client.execution_graph(flow, name).await?;
        if context.screen.format != Format::Table && args.svg.is_none() {
            return context.screen.show(&live, Rows::of_one);
        }
        let text = client.execution_get(flow, name).await?.definition.unwrap_or_default();
        let mut graph = compiled(execution, &text, context)?;
        mark(&mut graph, &live);
        return show(&graph, args, context);
    }
    let Some(file) = &args.file else { return Err(Failure::usage("which definition?")) };
    let (name, text) = definition::read(file)?;
    show(&compiled(&name, &text, context)?, args, context)
}

/// The graph of a text; what is wrong with it is shown.
pub(super) fn compiled(name: &str, text: &str, context: &Context) -> Result<Graph, Failure> {
    let compiled = definition::judged(text, ExecutionMode::Standard);
    match compiled.plan {
        Some(plan) => Ok(plan.graph()),
        None => {
            report::show(name, text, &compiled.problems, context);
            Err(Failure::usage(format!("{name} cannot be used")))
        }
    }
}

/// Writes beside each step how it stands.
pub(super) fn mark(graph: &mut Graph, live: &FlowGraph) {
    for (step, seen) in graph.steps.iter_mut().zip(&live.steps) {
        let Some(state) = &seen.live else { continue };
        let sign = match state.state.as_str() {
            "active" => "▶ active",
            "done" => "✓",
            "caught" => "⚠ caught",
            "failed" => "✗ failed",
            other => other,
        };
        let times = if state.visits > 1 { format!(" ×{}", state.visits) } else { String::new() };
        let calls = step.calls.take().map(|calls| format!("{calls} ")).unwrap_or_default();
        step.calls = Some(format!("{calls} {sign}{times}"));
    }
}

fn show(graph: &Graph, args: &Draw, context: &Context) -> Result<(), Failure> {
    match &args.svg {
        Some(path) if path.as_os_str() == "-" => context.screen.raw(graph.svg().as_bytes()),
        Some(path) => std::fs::write(path, graph.svg())
            .map_err(|error| Failure::cannot(format_args!("write {}", path.display()), &error)),
        None if context.screen.format == Format::Table => {
            context.screen.raw(graph.terminal().as_bytes())
        }
        None => context.screen.show(graph, Rows::of_one),
    }
}

#[cfg(test)]
mod tests {
    use stint_flow::{CompileOptions, compile};
    use stint_wire::native::{GraphStep, StepLive};

    use super::*;

    #[test]
    fn a_step_says_how_it_stands() {
        let text = "{version: v1, type: flow, steps: [{type: pass, name: a}, {type: task, name: b, resourceArn: 'acs:fc:::functions/f'}, {type: pass, name: c}]}";
        let mut graph = compile(text, CompileOptions::default()).plan.unwrap().graph();
        let live = |state: &str, visits| GraphStep {
            live: Some(StepLive { state: state.into(), visits, failed: 0 }),
            ..GraphStep::default()
        };
        let steps = vec![live("done", 1), live("active", 3), GraphStep::default()];
        mark(&mut graph, &FlowGraph { steps, ..FlowGraph::default() });
        let drawn = graph.terminal();
        let line = |name: &str| drawn.lines().find(|line| line.contains(name)).unwrap().to_owned();
        assert!(line("● a ").ends_with('✓'), "{drawn}");
        assert!(line("● b ").ends_with("f  ▶ active ×3"), "{drawn}");
        assert!(line("● c ").trim_end().ends_with("Pass"), "{drawn}");
    }
}
