//! `stint flow`: definitions, before there is a server that runs them. Everything here is local.

mod report;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde::Serialize;
use stint_flow::{CompileOptions, Compiled, Dialect, ExecutionMode, Plan, compile};

use super::Context;
use crate::failure::{Exit, Failure};
use crate::screen::{Format, Rows};
use report::Finding;

/// Flow definitions: FDL, CloudFlow and Amazon States Language.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Check definitions; what is wrong is shown with file, line and column.
    Validate(Validate),
    /// Draw a definition: in the terminal, as SVG, or as a document (--output json).
    Graph(Draw),
}

/// Check definitions.
#[derive(Debug, Args)]
pub(crate) struct Validate {
    /// Definitions, JSON or YAML; `-` for standard input.
    #[arg(required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// For Express executions, which can do less.
    #[arg(long)]
    pub(crate) express: bool,
}

/// Draw a definition.
#[derive(Debug, Args)]
pub(crate) struct Draw {
    /// The definition, JSON or YAML; `-` for standard input.
    pub(crate) file: PathBuf,
    /// Write SVG to this file; `-` for standard output.
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
}

/// What is known about one definition.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    file: String,
    valid: bool,
    dialect: Option<&'static str>,
    steps: usize,
    problems: Vec<Finding>,
}

pub(crate) fn run(command: &Command, context: &Context) -> Result<(), Failure> {
    match command {
        Command::Validate(args) => validate(args, context),
        Command::Graph(args) => draw(args, context),
    }
}

fn validate(args: &Validate, context: &Context) -> Result<(), Failure> {
    let mode = if args.express { ExecutionMode::Express } else { ExecutionMode::Standard };
    let mut reports = Vec::new();
    for file in &args.files {
        let (name, text) = read(file)?;
        let compiled = judged(&text, mode);
        if context.screen.format == Format::Table {
            report::show(&name, &text, &compiled.problems, context);
        }
        reports.push(Report {
            valid: compiled.plan.is_some(),
            dialect: compiled.dialect.map(dialect),
            steps: compiled.plan.as_ref().map_or(0, Plan::step_count),
            problems: compiled.problems.iter().map(|problem| Finding::of(&name, problem)).collect(),
            file: name,
        });
    }
    let wrong = reports.iter().filter(|report| !report.valid).count();
    context.screen.show(&reports, || {
        let mut rows = Rows::new(&["FILE", "DIALECT", "STEPS", "VALID"]);
        for report in &reports {
            let valid = context.screen.state(if report.valid { "yes" } else { "no" });
            let dialect = report.dialect.unwrap_or_default().to_owned();
            rows.row([report.file.clone(), dialect, report.steps.to_string(), valid]);
        }
        rows
    })?;
    if wrong == 0 {
        return Ok(());
    }
    Err(Failure::usage(format!("{wrong} of {} definitions cannot be used", reports.len())))
}

fn draw(args: &Draw, context: &Context) -> Result<(), Failure> {
    let (name, text) = read(&args.file)?;
    let compiled = judged(&text, ExecutionMode::Standard);
    let Some(plan) = compiled.plan else {
        report::show(&name, &text, &compiled.problems, context);
        return Err(Failure::usage(format!("{name} cannot be used")));
    };
    let graph = plan.graph();
    match &args.svg {
        Some(path) if path.as_os_str() == "-" => context.screen.raw(graph.svg().as_bytes()),
        Some(path) => std::fs::write(path, graph.svg())
            .map_err(|error| Failure::cannot(format_args!("write {}", path.display()), &error)),
        None if context.screen.format == Format::Table => {
            context.screen.raw(graph.terminal().as_bytes())
        }
        None => context.screen.show(&graph, || Rows::new(&[])),
    }
}

/// Compiles, and lets the evaluator look at every expression.
fn judged(text: &str, mode: ExecutionMode) -> Compiled {
    let mut compiled = compile(text, CompileOptions { mode });
    compiled.judge_jsonata(&|source| stint_expr::check(source).map_err(|mistake| mistake.message));
    compiled
}

const fn dialect(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Fdl => "FDL",
        Dialect::CloudFlow => "CloudFlow",
        Dialect::StatesLanguage => "States Language",
    }
}

fn read(file: &PathBuf) -> Result<(String, String), Failure> {
    let is_input = file.as_os_str() == "-";
    let name = if is_input { "<stdin>".to_owned() } else { file.display().to_string() };
    let bytes =
        if is_input { super::payload(Some("-")) } else { std::fs::read(file).map_err(Into::into) };
    let bytes = bytes.map_err(|failure: Failure| {
        let exit = if file.exists() || is_input { failure.exit } else { Exit::NotFound };
        Failure::new(exit, format!("cannot read {name}: {}", failure.message))
    })?;
    let text = String::from_utf8(bytes);
    let text = text.map_err(|_| Failure::usage(format!("{name} is no UTF-8 text")))?;
    Ok((name, text))
}
