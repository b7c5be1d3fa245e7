//! Online and batch together: what a call of a stated service time takes alone, and while tasks keep the
//! machine busy.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use super::{drive, row, zip};
use crate::Plan;
use crate::figures::write;
use crate::report::Row;
use crate::request::Api;
use crate::server::Server;

/// Processor time of one online call, and of one task.
const SERVICE_MS: u32 = 5;
const TASK_MS: u32 = 250;
/// Takes as much processor time as it is told, whatever else runs.
const SPIN: &str = "
import time
def handler(event, context):
    until = time.process_time() + float(event) / 1000
    while time.process_time() < until:
        pass
    return 'done'
";
/// More than the machine can do meanwhile.
const TASKS: usize = 2_000;
const CALLS: usize = 1_000;
/// All of the tasks' instances run within this.
const BUSY_MAX: Duration = Duration::from_secs(60);

pub(super) async fn together(plan: &Plan) -> Result<Vec<Row>> {
    let mut alone = row("online call of 5 ms, alone, p99", "ms", "–");
    let mut beside = row("… while tasks keep the machine busy, p99", "ms", "≤ 1.15 × alone");
    let mut times = row("… that is, times the p99 alone", "×", "≤ 1.15");
    let calls = CALLS / plan.divide;
    for _ in 0..plan.repeats {
        let server = Server::start(&plan.bin).await?;
        let mut api = server.api().await?;
        spinner(&mut api, "online").await?;
        spinner(&mut api, "batch").await?;
        let cores = std::thread::available_parallelism().context("cores")?.get();
        let limit = json!({"reservedConcurrency": cores});
        api.call("PUT", "/2023-03-30/functions/batch/concurrency", &limit).await?;
        let address = server.address()?;
        let event = SERVICE_MS.to_string();
        let mut make = |count: usize| -> Result<Vec<Vec<u8>>> {
            (0..count).map(|_| api.invocation("online", &[], event.as_bytes())).collect()
        };
        let (warm, first, second) = (make(50)?, make(calls)?, make(calls)?);
        drive(&address, vec![warm], 200).await?;
        let (_, quiet) = drive(&address, vec![first], 200).await?;
        fill(&mut api).await?;
        busy(&mut api, cores).await?;
        let before = ticks()?;
        let (_, loud) = drive(&address, vec![second], 200).await?;
        let after = ticks()?;
        if api.get("/v1/overview").await?["running"].as_u64().is_none_or(|running| running == 0) {
            bail!("the tasks ended before the calls did");
        }
        alone.taken.push(quiet.percentile(99));
        beside.taken.push(loud.percentile(99));
        times.taken.push(loud.percentile(99) / quiet.percentile(99));
        alone.note = format!("p50 {} ms", write(quiet.percentile(50)));
        beside.note = format!("p50 {} ms", write(loud.percentile(50)));
        times.note = format!("the machine was {} % busy", write(share(before, after)));
    }
    Ok(vec![alone, beside, times])
}

async fn spinner(api: &mut Api, name: &str) -> Result<()> {
    let function = json!({
        "functionName": name, "runtime": "python3.10", "handler": "index.handler", "cpu": 1,
        "memorySize": 1024, "timeout": 60, "code": {"zipFile": zip(&[("index.py", SPIN)])?},
    });
    api.call("POST", "/2023-03-30/functions", &function).await.map(drop)
}

async fn fill(api: &mut Api) -> Result<()> {
    let task = json!({"payloadText": TASK_MS.to_string()});
    let tasks = json!({"tasks": vec![task; TASKS]});
    api.call("POST", "/v1/functions/batch/tasks:batch", &tasks).await.map(drop)
}

/// Waits until every processor has a task.
async fn busy(api: &mut Api, cores: usize) -> Result<()> {
    let began = Instant::now();
    loop {
        let backlog: Value = api.get("/v1/backlogs/batch").await?;
        let running = backlog["running"].as_u64().unwrap_or(0);
        if usize::try_from(running).is_ok_and(|running| running >= cores) {
            return Ok(());
        }
        if began.elapsed() > BUSY_MAX {
            bail!("the tasks do not run: {backlog}");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Ticks of all processors since the start of the machine, and of these the idle ones.
fn ticks() -> Result<(u64, u64)> {
    let stat = std::fs::read_to_string("/proc/stat").context("/proc/stat")?;
    let line = stat.lines().next().context("/proc/stat")?;
    let fields: Vec<u64> =
        line.split_whitespace().skip(1).map(|field| field.parse().unwrap_or(0)).collect();
    // Idle, and waiting for a disk. Guests' time is part of the users'.
    let idle = fields.iter().skip(3).take(2).sum();
    Ok((fields.iter().take(8).sum(), idle))
}

/// How busy the machine was between two readings, in percent.
fn share((total, idle): (u64, u64), (total_after, idle_after): (u64, u64)) -> f64 {
    let passed = u32::try_from(total_after.saturating_sub(total)).unwrap_or(u32::MAX).max(1);
    let rested = u32::try_from(idle_after.saturating_sub(idle)).unwrap_or(u32::MAX);
    100.0 - 100.0 * f64::from(rested) / f64::from(passed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_ticks_are_a_share_of_all() {
        assert_eq!(share((100, 50), (200, 60)), 90.0);
        assert_eq!(share((100, 50), (100, 50)), 100.0);
        let (total, idle) = ticks().unwrap();
        assert!(total >= idle && total > 0);
    }
}
