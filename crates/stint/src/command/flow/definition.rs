//! Definitions before they are flows: checked here, without a server.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use stint_flow::{CompileOptions, Compiled, Dialect, ExecutionMode, Plan, compile};

use super::report::{self, Finding};
use crate::command::{Context, payload};
use crate::failure::{Exit, Failure};
use crate::screen::{Format, Rows};

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

pub(super) fn validate(args: &Validate, context: &Context) -> Result<(), Failure> {
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

/// Compiles, and lets the evaluator look at every expression.
pub(super) fn judged(text: &str, mode: ExecutionMode) -> Compiled {
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

/// A definition's text, and what it is called in messages.
pub(super) fn read(file: &Path) -> Result<(String, String), Failure> {
    let is_input = file.as_os_str() == "-";
    let name = if is_input { "<stdin>".to_owned() } else { file.display().to_string() };
    let bytes = if is_input { payload(Some("-")) } else { std::fs::read(file).map_err(Into::into) };
    let bytes = bytes.map_err(|failure: Failure| {
        let exit = if file.exists() || is_input { failure.exit } else { Exit::NotFound };
        Failure::new(exit, format!("cannot read {name}: {}", failure.message))
    })?;
    let text = String::from_utf8(bytes);
    let text = text.map_err(|_| Failure::usage(format!("{name} is no UTF-8 text")))?;
    Ok((name, text))
}
