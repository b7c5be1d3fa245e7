//! `stint invoke`.

use clap::Args;
use serde::Serialize;
use stint_model::time::Span;
use stint_wire::client::{Invocation, InvokeAnswer, InvokeOptions};
use stint_wire::time::Seconds;

use super::{Context, payload};
use crate::config::unit;
use crate::failure::{Exit, Failure};
use crate::screen::{Format, Rows};

/// Call a function: its answer goes to standard output as it is.
#[derive(Debug, Args)]
pub(crate) struct Invoke {
    /// The function.
    pub(crate) function: String,
    /// What it gets: a text, @file, or - for standard input.
    pub(crate) payload: Option<String>,
    /// LATEST, a version or an alias.
    #[arg(long)]
    pub(crate) qualifier: Option<String>,
    /// Accept it and run it later; it is a task when the function has task mode.
    #[arg(long = "async")]
    pub(crate) asynchronous: bool,
    /// Show the end of the function's log on standard error.
    #[arg(long, conflicts_with = "asynchronous")]
    pub(crate) tail: bool,
    /// The task's id, chosen by you.
    #[arg(long, requires = "asynchronous")]
    pub(crate) task_id: Option<String>,
    /// Start this long after acceptance, as in 5m.
    #[arg(long, requires = "asynchronous", value_parser = unit::duration)]
    pub(crate) delay: Option<Span>,
    /// Wait this long for the answer.
    #[arg(long, value_parser = unit::duration, default_value = "1h")]
    pub(crate) wait: Span,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    request_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    task_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_ms: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_mb: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log_tail: Option<String>,
    body: String,
}

pub(crate) async fn run(args: Invoke, context: &Context) -> Result<(), Failure> {
    let body = payload(args.payload.as_deref())?;
    let options = InvokeOptions {
        qualifier: args.qualifier,
        invocation: if args.asynchronous { Invocation::Async } else { Invocation::Sync },
        log_tail: args.tail,
        task_id: args.task_id,
        delay: args.delay.map(Seconds),
        headers: Vec::new(),
        timeout: Some(args.wait.to_std()),
    };
    let answer = context.client()?.invoke(&args.function, body, options).await?;
    let error = answer.error_type.clone();
    show(answer, args.asynchronous, context)?;
    match error {
        None => Ok(()),
        Some(kind) => Err(Failure::new(Exit::TaskFailed, format!("the function failed: {kind}"))
            .next("its answer above says why; --tail shows the end of its log")),
    }
}

fn show(answer: InvokeAnswer, asynchronous: bool, context: &Context) -> Result<(), Failure> {
    if context.screen.format == Format::Table && !asynchronous {
        if let Some(tail) = &answer.log_tail {
            context.screen.note(tail.trim_end());
        }
        context.screen.raw(&answer.body)?;
        if context.screen.is_live && !answer.body.ends_with(b"\n") {
            context.screen.raw(b"\n")?;
        }
        return Ok(());
    }
    let shown = Shown {
        request_id: answer.request_id,
        task_id: answer.task_id,
        error_type: answer.error_type,
        instance_id: answer.instance_id,
        duration_ms: answer.duration_ms,
        memory_mb: answer.memory_mb,
        log_tail: answer.log_tail,
        body: String::from_utf8_lossy(&answer.body).into_owned(),
    };
    context.screen.show(&shown, || {
        let mut rows = Rows::of_one();
        rows.line("request", shown.request_id.as_str());
        rows.line("task", shown.task_id.as_deref().unwrap_or_default());
        rows
    })
}
