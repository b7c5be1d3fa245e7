//! Distributed maps: how many items a second a fan-out of 10,000 and a map of 1,000,000 items make, and what
//! memory the server has while it does so. Children are the engine's own work, so that what is measured is the map.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use super::flows::{call, define};
use super::{Meter, row};
use crate::Plan;
use crate::connection::Connection;
use crate::report::Row;
use crate::request::Api;
use crate::server::Server;

const FAN: usize = 10_000;
const MILLION: usize = 1_000_000;

pub(super) async fn maps(plan: &Plan) -> Result<Vec<Row>> {
    let mut fan = row("map of 10,000 items, a child each", "ms", "–");
    let mut many = row("map of 1,000,000 items, a child each", "s", "≤ 60 s");
    let mut peak = row("… most memory of the server meanwhile", "MB", "flat");
    for _ in 0..plan.repeats {
        let server = Server::start(&plan.bin).await?;
        let mut api = server.api().await?;
        let child = json!({"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
            "StartAt": "P", "States": {"P": {"Type": "Pass", "End": true}}});
        let map = |more: Value| {
            let mut map = json!({"Type": "Map", "ItemProcessor": child, "End": true});
            map.as_object_mut().expect("a map").extend(more.as_object().expect("fields").clone());
            json!({"StartAt": "M", "States": {"M": map}})
        };
        let reader = |key: &str| {
            json!({"Resource": "arn:aws:states:::s3:getObject", "ReaderConfig": {"InputType": "JSONL"},
                "Parameters": {"Bucket": "bench", "Key": key}})
        };
        let writer = json!({"Resource": "arn:aws:states:::s3:putObject",
            "Parameters": {"Bucket": "bench", "Prefix": "results"}, "WriterConfig": {"Transformation": "COMPACT"}});
        define(&mut api, "fan", &map(json!({"ItemReader": reader("fan.jsonl")}))).await?;
        define(
            &mut api,
            "many",
            &map(json!({"ItemReader": reader("many.jsonl"), "ResultWriter": writer})),
        )
        .await?;
        lines(&server, "fan.jsonl", FAN / plan.divide)?;
        let (took, _) = drive(&server, &mut api, "fan").await?;
        fan.taken.push(took.as_secs_f64() * 1e3);
        let count = MILLION / plan.divide;
        lines(&server, "many.jsonl", count)?;
        let meter = Meter::start(&server)?;
        let (took, most) = drive(&server, &mut api, "many").await?;
        many.taken.push(took.as_secs_f64());
        many.note = meter.note(&server, took, count)?;
        peak.taken.push(most);
    }
    Ok(vec![fan, many, peak])
}

/// An object of so many small items, a line each.
fn lines(server: &Server, key: &str, count: usize) -> Result<()> {
    let mut lines = String::new();
    for number in 0..count {
        writeln!(lines, "{{\"n\":{number}}}").context("a line")?;
    }
    std::fs::write(server.bucket().join(key), lines).context("items")
}

/// Starts an execution and waits for its end; the time it took and the most memory seen, in MB.
async fn drive(server: &Server, api: &mut Api, flow: &str) -> Result<(Duration, f64)> {
    let which = [("FlowName", flow), ("ExecutionName", "one")];
    let start = call(api, "StartExecution", &[which[0], which[1], ("Input", "{}")])?;
    let mut connection = Connection::open(&server.address()?).await?;
    let began = Instant::now();
    let answer = connection.exchange(&start).await?;
    if answer.status != 200 {
        bail!("StartExecution: {}", String::from_utf8_lossy(&answer.body));
    }
    let mut most: f64 = 0.0;
    loop {
        let asked = [which[0], which[1], ("WaitTimeSeconds", "1")];
        let wait = call(api, "DescribeExecution", &asked)?;
        let answer = connection.exchange(&wait).await?;
        most = most.max(server.memory_mb()?);
        let found: Value = serde_json::from_slice(&answer.body)?;
        match found["Status"].as_str() {
            Some("Running" | "Starting") => {}
            Some("Succeeded") => return Ok((began.elapsed(), most)),
            _ => bail!("the map ended so: {found}"),
        }
    }
}
