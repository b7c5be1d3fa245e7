//! What is measured. Each case starts a server of its own on an empty directory, so that no figure
//! depends on the one before it.

mod backlog;
mod beside;
mod colocation;
mod flows;

use std::io::{Cursor, Write as _};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use futures_util::future::{join_all, try_join_all};
use serde_json::{Value, json};

use crate::Plan;
use crate::connection::Connection;
use crate::figures::{Latencies, float, millis, write};
use crate::image;
use crate::report::{Row, say};
use crate::request::{Api, Draft};
use crate::server::Server;

const PYTHON: &str = "def handler(event, context):\n    return event\n";
const NODE: &str = "exports.handler = async (event) => event;\n";
const CUSTOM: &str = r#"
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args):
        pass
http.server.HTTPServer(("0.0.0.0", int(os.environ["FC_CUSTOM_LISTEN_PORT"])), Handler).serve_forever()
"#;
const BATCH: usize = 10_000;
const DONE_MAX: Duration = Duration::from_secs(300);

/// Runs what the plan wants; rows in the order of the table.
pub(crate) async fn run(plan: &Plan) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    if plan.wants("start") {
        rows.extend(start(plan).await.context("start")?);
    }
    if plan.wants("submit-1") {
        rows.extend(submit(plan, 1, 3_000).await.context("submit-1")?);
    }
    if plan.wants("submit-64") {
        rows.extend(submit(plan, 64, 60_000).await.context("submit-64")?);
    }
    if plan.wants("batch") {
        rows.extend(batch(plan).await.context("batch")?);
    }
    if plan.wants("tasks") {
        rows.extend(tasks(plan).await.context("tasks")?);
    }
    if plan.wants("latency") {
        rows.extend(latency(plan).await.context("latency")?);
    }
    if plan.wants("steady") {
        rows.extend(backlog::steady(plan).await.context("steady")?);
    }
    if plan.wants("sync") {
        rows.extend(sync(plan).await.context("sync")?);
    }
    if plan.wants("flows") {
        rows.extend(flows::flows(plan).await.context("flows")?);
    }
    if plan.wants("cold") {
        rows.extend(cold(plan).await.context("cold")?);
    }
    if plan.wants("beside") {
        rows.extend(beside::beside(plan).context("beside")?);
    }
    if plan.wants("colocation") {
        rows.extend(colocation::together(plan).await.context("colocation")?);
    }
    if plan.wants("recovery") {
        rows.extend(recovery(plan).await.context("recovery")?);
    }
    if plan.wants("backlog") {
        rows.extend(backlog::waiting(plan).await.context("backlog")?);
    }
    Ok(rows)
}

/// The runtime of images.
const CONTAINER: &str = "custom-container";

fn row(name: &'static str, unit: &'static str, target: &'static str) -> Row {
    say(&format!("measuring: {name}"));
    Row { name, unit, taken: Vec::new(), target, note: String::new() }
}

fn zip(files: &[(&str, &str)]) -> Result<String> {
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, text) in files {
        let options = zip::write::SimpleFileOptions::default().unix_permissions(0o755);
        archive.start_file(*name, options)?;
        archive.write_all(text.as_bytes())?;
    }
    let bytes = archive.finish()?.into_inner();
    Ok(base64::engine::general_purpose::STANDARD.encode(bytes))
}

/// A function in task mode that gives back what it gets.
async fn create(api: &mut Api, name: &str, runtime: &str) -> Result<()> {
    let files: &[(&str, &str)] = match runtime {
        "custom" => &[
            ("bootstrap", "#!/bin/sh\nexec /usr/bin/python3 /code/server.py\n"),
            ("server.py", CUSTOM),
        ],
        "nodejs20" => &[("index.js", NODE)],
        _ => &[("index.py", PYTHON)],
    };
    let code = if runtime == CONTAINER { image::archive()? } else { zip(files)? };
    let mut function = json!({
        "functionName": name, "runtime": runtime, "handler": "index.handler", "cpu": 0.25,
        "memorySize": 256, "timeout": 60, "code": {"zipFile": code},
    });
    if runtime == CONTAINER {
        function["customContainerConfig"] = json!({"image": "code"});
    }
    api.call("POST", "/2023-03-30/functions", &function).await?;
    let config = json!({"asyncTask": true, "maxAsyncRetryAttempts": 0});
    let path = format!("/2023-03-30/functions/{name}/async-invoke-config");
    api.call("PUT", &path, &config).await?;
    Ok(())
}

/// Waits until the last update is what runs: an image's digest is asked for anew.
async fn in_force(api: &mut Api, function: &str) -> Result<()> {
    let path = format!("/2023-03-30/functions/{function}");
    loop {
        let found = api.get(&path).await?;
        match (found["state"].as_str(), found["lastUpdateStatus"].as_str()) {
            (Some("Active"), Some("Successful")) => return Ok(()),
            (Some("Failed"), _) | (_, Some("Failed")) => bail!("the function failed: {found}"),
            _ => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

async fn pause(api: &mut Api, function: &str) -> Result<()> {
    api.call("POST", &format!("/v1/backlogs/{function}:pause"), &Value::Null).await?;
    Ok(())
}

/// Puts `count` tasks into a backlog by batches.
async fn fill(api: &mut Api, function: &str, count: usize) -> Result<()> {
    let path = format!("/v1/functions/{function}/tasks:batch");
    for from in (0..count).step_by(BATCH) {
        let tasks: Vec<Value> =
            (from..count.min(from + BATCH)).map(|n| json!({"payload": {"n": n}})).collect();
        api.call("POST", &path, &json!({ "tasks": tasks })).await?;
    }
    Ok(())
}

/// Sends requests over several connections, one under way on each. Gives the time it took and the
/// latency of each.
async fn drive(
    address: &str,
    lanes: Vec<Vec<Vec<u8>>>,
    wanted: u16,
) -> Result<(Duration, Latencies)> {
    let connections =
        try_join_all(lanes.iter().map(|_| Connection::open(address))).await.context("connect")?;
    let began = Instant::now();
    let runs = connections.into_iter().zip(&lanes).map(|(mut connection, lane)| async move {
        let mut taken = Vec::with_capacity(lane.len());
        for request in lane {
            let sent = Instant::now();
            let answer = connection.exchange(request).await?;
            taken.push(millis(sent.elapsed()));
            if answer.status != wanted {
                bail!("{}: {}", answer.status, String::from_utf8_lossy(&answer.body));
            }
        }
        Ok(taken)
    });
    let taken: Result<Vec<Vec<f64>>> = join_all(runs).await.into_iter().collect();
    Ok((began.elapsed(), Latencies::of(taken?.concat())))
}

/// How much processor the server and this program took, for a row's note.
struct Meter {
    server: Duration,
    own: Duration,
}

impl Meter {
    fn start(server: &Server) -> Result<Self> {
        Ok(Self { server: server.cpu()?, own: own_cpu()? })
    }

    fn note(&self, server: &Server, took: Duration, count: usize) -> Result<String> {
        let spent = server.cpu()?.saturating_sub(self.server).as_secs_f64();
        let own = own_cpu()?.saturating_sub(self.own).as_secs_f64();
        let seconds = took.as_secs_f64();
        Ok(format!(
            "server {:.2} cores, {:.1} µs each; generator {:.2} cores",
            spent / seconds,
            spent * 1e6 / float(count),
            own / seconds
        ))
    }
}

fn own_cpu() -> Result<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat").context("stat")?;
    let (_, rest) = stat.rsplit_once(')').context("stat")?;
    let mut fields = rest.split_whitespace().skip(11);
    let mut ticks = || -> Result<u64> { Ok(fields.next().context("stat")?.parse()?) };
    Ok(Duration::from_millis((ticks()? + ticks()?) * 10))
}

async fn start(plan: &Plan) -> Result<Vec<Row>> {
    let mut ready = row("start on an existing directory, to ready", "ms", "≤ 300 ms");
    let mut memory = row("memory at rest", "MB", "≤ 60 MB");
    for _ in 0..plan.repeats {
        let mut server = Server::start(&plan.bin).await?;
        server.kill()?;
        server.up().await?;
        ready.taken.push(millis(server.ready_after));
        tokio::time::sleep(Duration::from_secs(1)).await;
        memory.taken.push(server.memory_mb()?);
    }
    memory.note = "the server's process; spawner and parked interpreters are beside it".into();
    Ok(vec![ready, memory])
}

async fn submit(plan: &Plan, connections: usize, count: usize) -> Result<Vec<Row>> {
    let count = count / plan.divide;
    let (mut rate, mut tail) = match connections {
        1 => (row("submit, 1 connection", "/s", "–"), row("… latency p99", "ms", "–")),
        _ => (
            row("submit, 64 connections", "/s", "≥ 30,000/s"),
            row("… latency p99", "ms", "≤ 20 ms"),
        ),
    };
    for _ in 0..plan.repeats {
        let server = Server::start(&plan.bin).await?;
        let mut api = server.api().await?;
        create(&mut api, "noop", "python3.10").await?;
        pause(&mut api, "noop").await?;
        let mut lanes = Vec::new();
        for _ in 0..connections {
            let lane: Result<Vec<_>> = (0..count / connections)
                .map(|_| api.invocation("noop", &[("x-fc-invocation-type", "Async")], b"{\"n\":1}"))
                .collect();
            lanes.push(lane?);
        }
        let meter = Meter::start(&server)?;
        let (took, latencies) = drive(&server.address()?, lanes, 202).await?;
        rate.note = meter.note(&server, took, count)?;
        rate.taken.push(float(count) / took.as_secs_f64());
        tail.taken.push(latencies.percentile(99));
        tail.note = format!("p50 {} ms", write(latencies.percentile(50)));
    }
    Ok(vec![rate, tail])
}

async fn batch(plan: &Plan) -> Result<Vec<Row>> {
    let mut rate = row("submit in batches of 10,000", "tasks/s", "≥ 100,000/s, then 300,000/s");
    let count = 200_000 / plan.divide;
    for _ in 0..plan.repeats {
        let server = Server::start(&plan.bin).await?;
        let mut api = server.api().await?;
        create(&mut api, "noop", "python3.10").await?;
        pause(&mut api, "noop").await?;
        let tasks: Vec<Value> = (0..BATCH).map(|n| json!({"payload": {"n": n}})).collect();
        let body = serde_json::to_vec(&json!({ "tasks": tasks }))?;
        let mut lanes = vec![Vec::new(), Vec::new()];
        for n in 0..count / BATCH {
            lanes[n % 2].push(api.signer.sign(&Draft {
                method: "POST",
                path: "/v1/functions/noop/tasks:batch",
                query: "",
                headers: &[("content-type", "application/json")],
                body: &body,
            })?);
        }
        let meter = Meter::start(&server)?;
        let (took, _) = drive(&server.address()?, lanes, 202).await?;
        rate.note = meter.note(&server, took, count)?;
        rate.taken.push(float(count) / took.as_secs_f64());
    }
    Ok(vec![rate])
}

async fn tasks(plan: &Plan) -> Result<Vec<Row>> {
    let mut rate = row("no-op tasks end to end (Python)", "tasks/s", "≥ 20,000/s, then 50,000/s");
    let count = 60_000 / plan.divide;
    for _ in 0..plan.repeats {
        let server = Server::start(&plan.bin).await?;
        let mut api = server.api().await?;
        create(&mut api, "noop", "python3.10").await?;
        let limit = json!({"reservedConcurrency": 4});
        api.call("PUT", "/2023-03-30/functions/noop/concurrency", &limit).await?;
        pause(&mut api, "noop").await?;
        fill(&mut api, "noop", count).await?;
        let meter = Meter::start(&server)?;
        let began = Instant::now();
        api.call("POST", "/v1/backlogs/noop:resume", &Value::Null).await?;
        let wanted = u64::try_from(count)?;
        while api.get("/v1/overview").await?["succeededTotal"].as_u64() < Some(wanted) {
            if began.elapsed() > DONE_MAX {
                bail!("the tasks have not run after {DONE_MAX:?}");
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        let took = began.elapsed();
        rate.note = meter.note(&server, took, count)?;
        rate.taken.push(float(count) / took.as_secs_f64());
    }
    Ok(vec![rate])
}

/// Submits one task, waits for its end, gives it.
async fn one_task(api: &mut Api, connection: &mut Connection, function: &str) -> Result<Value> {
    let path = format!("/v1/functions/{function}/tasks");
    let accepted = api.call("POST", &path, &json!({"payload": 1})).await?;
    let uid = accepted["uid"].as_str().context("uid")?.to_owned();
    let path = format!("/v1/tasks/{uid}/wait");
    let wait = Draft { method: "GET", path: &path, query: "timeout=30", headers: &[], body: b"" };
    let request = api.signer.sign(&wait)?;
    let answer = connection.exchange(&request).await?;
    let task: Value = serde_json::from_slice(&answer.body)?;
    if task["state"] != "Succeeded" {
        bail!("a task ended so: {task}");
    }
    if task["attempts"][0].is_null() {
        api.get(&format!("/v1/tasks/{uid}")).await
    } else {
        Ok(task)
    }
}

fn phase(task: &Value, name: &str) -> Result<f64> {
    task["attempts"][0]["phases"][name].as_f64().with_context(|| format!("{name} of {task}"))
}

/// From acceptance until user code is entered, in ms.
fn before_start(task: &Value) -> Result<f64> {
    Ok(phase(task, "queuedMs")? + phase(task, "placedMs")? + phase(task, "coldStartMs")?)
}

async fn latency(plan: &Plan) -> Result<Vec<Row>> {
    let mut half = row("submit → user code starts, warm, p50", "ms", "≤ 1.0 ms");
    let mut tail = row("… p99, one after the other", "ms", "–");
    for _ in 0..plan.repeats {
        let server = Server::start(&plan.bin).await?;
        let mut api = server.api().await?;
        let mut connection = Connection::open(&server.address()?).await?;
        create(&mut api, "noop", "python3.10").await?;
        one_task(&mut api, &mut connection, "noop").await?;
        let mut taken = Vec::new();
        for _ in 0..500 / plan.divide {
            let task = one_task(&mut api, &mut connection, "noop").await?;
            taken.push(before_start(&task)?);
        }
        let taken = Latencies::of(taken);
        half.taken.push(taken.percentile(50));
        tail.taken.push(taken.percentile(99));
    }
    half.note = "queued + placed + cold start, as the task's own history tells".into();
    Ok(vec![half, tail])
}

async fn sync(plan: &Plan) -> Result<Vec<Row>> {
    let mut half = row("synchronous call, warm, round trip p50", "ms", "overhead ≤ 0.15 ms");
    let mut tail = row("… p99", "ms", "–");
    let mut rate = row("synchronous calls, 8 connections", "/s", "–");
    for _ in 0..plan.repeats {
        let server = Server::start(&plan.bin).await?;
        let mut api = server.api().await?;
        create(&mut api, "noop", "python3.10").await?;
        let mut make = |count: usize| -> Result<Vec<Vec<u8>>> {
            (0..count / plan.divide).map(|_| api.invocation("noop", &[], b"1")).collect()
        };
        let address = server.address()?;
        drive(&address, vec![make(200)?], 200).await?;
        let (_, latencies) = drive(&address, vec![make(3_000)?], 200).await?;
        half.taken.push(latencies.percentile(50));
        tail.taken.push(latencies.percentile(99));
        let lanes: Result<Vec<_>> = (0..8).map(|_| make(1_500)).collect();
        let (warm, lanes) = (vec![make(200)?; 1], lanes?);
        drive(&address, warm, 200).await?;
        let count = lanes.iter().map(Vec::len).sum();
        let meter = Meter::start(&server)?;
        let (took, _) = drive(&address, lanes, 200).await?;
        rate.note = meter.note(&server, took, count)?;
        rate.taken.push(float(count) / took.as_secs_f64());
    }
    half.note = "with the no-op handler's own time and two passes over loopback".into();
    Ok(vec![half, tail, rate])
}

/// Between starts that come now and then.
const NOW_AND_THEN: Duration = Duration::from_millis(300);

async fn cold(plan: &Plan) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let (seldom, burst) = (NOW_AND_THEN, Duration::ZERO);
    for (runtime, pause, name, target) in [
        ("python3.10", seldom, "cold start, Python, now and then, p50", "≤ 10 ms"),
        ("python3.10", burst, "… one after the other, p50", "–"),
        ("nodejs20", seldom, "cold start, Node.js, now and then, p50", "–"),
        ("nodejs20", burst, "… one after the other, p50", "–"),
        (CONTAINER, seldom, "cold start, container image already local, p50", "≤ 50 ms"),
        ("custom", seldom, "cold start, own server (Python http.server), p50", "–"),
    ] {
        let mut row = row(name, "ms", target);
        for _ in 0..plan.repeats {
            let taken = cold_starts(plan, runtime, pause).await?;
            row.taken.push(taken.percentile(50));
            row.note = format!("p99 {} ms", write(taken.percentile(99)));
            if runtime == CONTAINER {
                row.note.push_str(
                    "; `docker run` of a bare program took 257 to 280 ms on such a machine",
                );
            }
        }
        rows.push(row);
    }
    Ok(rows)
}

async fn cold_starts(plan: &Plan, runtime: &str, pause: Duration) -> Result<Latencies> {
    let server = Server::start(&plan.bin).await?;
    let mut api = server.api().await?;
    let mut connection = Connection::open(&server.address()?).await?;
    create(&mut api, "noop", runtime).await?;
    let mut taken = Vec::new();
    for n in 0..(20 / plan.divide).max(5) {
        // Another configuration is another revision: no warm instance may serve it.
        let change = json!({"environmentVariables": {"N": n.to_string()}});
        api.call("PUT", "/2023-03-30/functions/noop", &change).await?;
        in_force(&mut api, "noop").await?;
        tokio::time::sleep(pause).await;
        let task = one_task(&mut api, &mut connection, "noop").await?;
        if task["attempts"][0]["cold"] != true {
            bail!("not a cold start: {task}");
        }
        taken.push(phase(&task, "coldStartMs")?);
    }
    Ok(Latencies::of(taken))
}

async fn recovery(plan: &Plan) -> Result<Vec<Row>> {
    let mut ready = row("kill -9 with 100,000 queued, to ready", "ms", "≤ 1,000 ms");
    let count = 100_000 / plan.divide;
    for _ in 0..plan.repeats {
        let mut server = Server::start(&plan.bin).await?;
        let mut api = server.api().await?;
        create(&mut api, "noop", "python3.10").await?;
        pause(&mut api, "noop").await?;
        fill(&mut api, "noop", count).await?;
        server.kill()?;
        server.up().await?;
        ready.taken.push(millis(server.ready_after));
        let waiting = server.api().await?.get("/v1/backlogs/noop").await?["waiting"].clone();
        if waiting.as_u64() != u64::try_from(count).ok() {
            bail!("{waiting} of {count} tasks came back");
        }
    }
    ready.note = format!("{} tasks read back", write(float(count)));
    Ok(vec![ready])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_hold_what_they_are_given() {
        let text = zip(&[("index.py", PYTHON)]).unwrap();
        let bytes = base64::engine::general_purpose::STANDARD.decode(text).unwrap();
        let archive = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
        assert_eq!(archive.len(), 1);
    }

    #[test]
    fn phases_are_read_from_a_task() {
        let task = json!({"attempts": [{"phases": {"queuedMs": 0.5}}]});
        assert_eq!(phase(&task, "queuedMs").unwrap(), 0.5);
        assert!(phase(&task, "placedMs").is_err());
    }
}
