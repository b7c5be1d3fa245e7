//! The Wasm tier: what a call costs whose instance of the program is fresh, what the shim's own
//! start costs, and what many living instances take.

use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::{create, drive, row};
use crate::Plan;
use crate::figures::{Latencies, write};
use crate::report::Row;
use crate::server::Server;

/// Living instances in one process.
const INSTANCES: usize = 10_000;

pub(super) async fn wasm(plan: &Plan) -> Result<Vec<Row>> {
    let mut rows = calls(plan).await?;
    rows.extend(engine(plan)?);
    Ok(rows)
}

/// Through the platform: every call has an instance of its own.
async fn calls(plan: &Plan) -> Result<Vec<Row>> {
    let mut half = row("Wasm: synchronous call, fresh instance in a warm shim, p50", "ms", "–");
    let mut tail = row("… p99", "ms", "–");
    for _ in 0..plan.repeats {
        let server = Server::start(&plan.bin).await?;
        let mut api = server.api().await?;
        create(&mut api, "noop", "wasm").await?;
        let mut make = |count: usize| -> Result<Vec<Vec<u8>>> {
            (0..count / plan.divide).map(|_| api.invocation("noop", &[], b"1")).collect()
        };
        let address = server.address()?;
        drive(&address, vec![make(200)?], 200).await?;
        let (_, latencies): (_, Latencies) = drive(&address, vec![make(3_000)?], 200).await?;
        half.taken.push(latencies.percentile(50));
        tail.taken.push(latencies.percentile(99));
    }
    half.note = "a WASI program that reads and writes; two passes over loopback included".into();
    Ok(vec![half, tail])
}

/// The engine by itself, in the binary's own words.
fn engine(plan: &Plan) -> Result<Vec<Row>> {
    let mut fresh = row("Wasm: fresh instance, its call and its end, p50", "µs", "≤ 100 µs");
    let mut memory = row("Wasm: memory of each of 10,000 living instances", "KB", "≤ 20 KB");
    let count = INSTANCES / plan.divide;
    for _ in 0..plan.repeats {
        let done = Command::new(&plan.bin)
            .args(["__wasm", "measure", &count.to_string()])
            .output()
            .context("run the engine")?;
        if !done.status.success() {
            bail!("the engine: {}", String::from_utf8_lossy(&done.stderr));
        }
        let figures: Value = serde_json::from_slice(&done.stdout).context("read its figures")?;
        let figure = |name: &str| figures[name].as_f64().with_context(|| format!("no {name}"));
        fresh.taken.push(figure("freshP50Micros")?);
        fresh.note = format!("p99 {} µs", write(figure("freshP99Micros")?));
        memory.taken.push(figure("kilobytesEach")?);
        memory.note = format!("page tables included; made in {} ms", write(figure("startedInMs")?));
    }
    Ok(vec![fresh, memory])
}
