//! Submitting: one task, or one per line of a file in batches.

use std::io::BufRead as _;
use std::path::{Path, PathBuf};

use clap::Args;
use stint_model::time::Span;
use stint_wire::client::Client;
use stint_wire::native::{BatchSubmit, DependsOn, DependsWhen, TaskAccepted, TaskSubmit};
use stint_wire::time::Seconds;

use super::{Which, follow};
use crate::command::{Context, by_key, pair, payload};
use crate::config::unit;
use crate::failure::Failure;
use crate::screen::Rows;

/// Tasks sent in one request.
const BATCH: usize = 5_000;

/// Submit a task.
#[derive(Clone, Debug, Args)]
pub(crate) struct Submit {
    /// The function.
    function: String,
    /// What it gets: a text, @file, or - for standard input.
    payload: Option<String>,
    /// One task per line of this file: the line is the payload.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["payload", "task_id", "wait"])]
    lines: Option<PathBuf>,
    /// LATEST, a version or an alias.
    #[arg(long)]
    qualifier: Option<String>,
    /// The id you choose; the same twice is refused.
    #[arg(long)]
    task_id: Option<String>,
    /// 0 (last) to 9 (first).
    #[arg(long)]
    priority: Option<u8>,
    /// A label to search by. May be repeated.
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = pair)]
    tags: Vec<(String, String)>,
    /// Tasks of one key run one at a time, in order.
    #[arg(long)]
    order_key: Option<String>,
    /// Limits at key level count by this.
    #[arg(long)]
    limit_key: Option<String>,
    /// Start this long after acceptance.
    #[arg(long, value_parser = unit::duration)]
    delay: Option<Span>,
    /// A bound for one attempt instead of the function's.
    #[arg(long, value_parser = unit::duration)]
    timeout: Option<Span>,
    /// An attempt that reports no progress and no heartbeat for so long fails.
    #[arg(long, value_parser = unit::duration)]
    heartbeat: Option<Span>,
    /// Retries instead of the configuration's.
    #[arg(long)]
    retries: Option<u32>,
    /// A task (uid, FUNCTION/TASK-ID, or TASK-ID of the same function) that must succeed first. May be repeated.
    #[arg(long, value_name = "TASK")]
    after: Vec<String>,
    /// Wait for its end.
    #[arg(long)]
    wait: bool,
}

impl Submit {
    fn task(&self, payload: &[u8]) -> Result<TaskSubmit, Failure> {
        let depends =
            |task: &String| DependsOn { task: task.clone(), when: DependsWhen::Succeeded };
        Ok(TaskSubmit {
            task_id: self.task_id.clone(),
            priority: self.priority,
            tags: by_key(&self.tags)?,
            order_key: self.order_key.clone(),
            limit_key: self.limit_key.clone(),
            delay: self.delay.map(Seconds),
            timeout: self.timeout.map(Seconds),
            heartbeat: self.heartbeat.map(Seconds),
            retries: self.retries,
            depends_on: self.after.iter().map(depends).collect(),
            ..TaskSubmit::with_payload(payload)
        })
    }
}

pub(super) async fn run(args: Submit, context: &Context) -> Result<(), Failure> {
    let client = context.client()?;
    if let Some(path) = &args.lines {
        return many(&args, path, &client, context).await;
    }
    let task = args.task(&payload(args.payload.as_deref())?)?;
    let accepted = client.task_submit(&args.function, args.qualifier.as_deref(), &task).await?;
    if args.wait {
        let which = Which { id: accepted.uid, function: None };
        return follow::wait(&which, None, context).await;
    }
    context.screen.show(&accepted, || show(&accepted))?;
    context.screen.note(format!("next: stint task wait {}", accepted.uid));
    Ok(())
}

fn show(accepted: &TaskAccepted) -> Rows {
    let mut rows = Rows::of_one();
    rows.line("task", accepted.task_id.as_str());
    rows.line("uid", accepted.uid.as_str());
    rows.line("request", accepted.request_id.as_str());
    rows
}

async fn many(
    args: &Submit,
    path: &Path,
    client: &Client,
    context: &Context,
) -> Result<(), Failure> {
    let cannot =
        |error: std::io::Error| Failure::cannot(format_args!("read {}", path.display()), &error);
    let file = std::fs::File::open(path).map_err(cannot)?;
    let size = file.metadata().map_err(cannot)?.len();
    let bar = context.screen.bar(size, "submitting");
    let (mut count, mut waiting) = (0_usize, Vec::with_capacity(BATCH));
    let mut lines = std::io::BufReader::new(file).split(b'\n');
    loop {
        let line = lines.next().transpose().map_err(cannot)?;
        let is_end = line.is_none();
        if let Some(line) = line {
            bar.inc(u64::try_from(line.len()).unwrap_or(0) + 1);
            if !line.is_empty() {
                waiting.push(args.task(&line)?);
            }
        }
        if waiting.len() >= BATCH || (is_end && !waiting.is_empty()) {
            let batch =
                BatchSubmit { tasks: std::mem::take(&mut waiting), ..BatchSubmit::default() };
            count += batch.tasks.len();
            let sent = client.task_submit_batch(&args.function, args.qualifier.as_deref(), &batch);
            sent.await.map_err(Failure::from).map_err(|failure| {
                let before = count - batch.tasks.len();
                failure.next(format!("the first {before} lines are accepted, the rest is not"))
            })?;
        }
        if is_end {
            break;
        }
    }
    bar.finish_and_clear();
    let value = serde_json::json!({ "submitted": count });
    context.screen.show(&value, || {
        let mut rows = Rows::of_one();
        rows.line("submitted", count.to_string());
        rows
    })
}
