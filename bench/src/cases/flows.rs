//! Flows: how long ten steps in a row take, and how many steps a second many executions make together.
//! A step is a task of a no-op function, or one that the engine makes by itself.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use futures_util::future::{join_all, try_join_all};
use serde_json::{Value, json};
use stint_sign::encode_component;

use super::{Meter, create, row};
use crate::Plan;
use crate::connection::Connection;
use crate::figures::{Latencies, float, millis, write};
use crate::report::Row;
use crate::request::{Api, Draft};
use crate::server::Server;

const STEPS: usize = 10;
const LANES: usize = 32;

pub(super) async fn flows(plan: &Plan) -> Result<Vec<Row>> {
    let mut ten = row("ten sequential steps of a flow (Python tasks), p50", "ms", "≤ 10 ms");
    let mut tasks = row("flow steps that are tasks (Python)", "steps/s", "≥ 10,000/s");
    let mut own = row("flow steps that are the engine's own", "steps/s", "–");
    for _ in 0..plan.repeats {
        let server = Server::start(&plan.bin).await?;
        let mut api = server.api().await?;
        create(&mut api, "noop", "python3.10").await?;
        make(&mut api, "tasks", &json!({"Type": "Task", "Resource": "noop"})).await?;
        make(&mut api, "own", &json!({"Type": "Pass"})).await?;
        let address = server.address()?;
        drive(&address, lanes(&mut api, "tasks", "warm", (4, 2))?).await?;
        let (_, alone) =
            drive(&address, lanes(&mut api, "tasks", "alone", (1, 100 / plan.divide))?).await?;
        ten.taken.push(alone.percentile(50));
        ten.note = format!("start to answered; p99 {} ms", write(alone.percentile(99)));
        for (row, flow, each) in [(&mut tasks, "tasks", 40), (&mut own, "own", 80)] {
            let each = (each / plan.divide).max(1);
            let lanes = lanes(&mut api, flow, "many", (LANES, each))?;
            let meter = Meter::start(&server)?;
            let (took, _) = drive(&address, lanes).await?;
            let count = LANES * each * STEPS;
            row.taken.push(float(count) / took.as_secs_f64());
            row.note = meter.note(&server, took, count)?;
        }
    }
    Ok(vec![ten, tasks, own])
}

/// A flow of so many states alike.
async fn make(api: &mut Api, name: &str, state: &Value) -> Result<()> {
    let mut states = serde_json::Map::new();
    for at in 0..STEPS {
        let mut state = state.clone();
        if at + 1 == STEPS {
            state["End"] = true.into();
        } else {
            state["Next"] = format!("S{}", at + 1).into();
        }
        states.insert(format!("S{at}"), state);
    }
    let definition = json!({"StartAt": "S0", "States": states}).to_string();
    let asked = [("Name", name), ("Definition", &definition), ("Description", ""), ("Type", "FDL")];
    let request = call(api, "CreateFlow", &asked)?;
    let mut connection = Connection::open(api.signer.address()).await?;
    let answer = connection.exchange(&request).await?;
    if answer.status != 200 {
        bail!("CreateFlow: {}", String::from_utf8_lossy(&answer.body));
    }
    Ok(())
}

/// The bytes of a signed call.
fn call(api: &mut Api, action: &str, asked: &[(&str, &str)]) -> Result<Vec<u8>> {
    let mut query = format!("Action={action}&Version=2019-03-15&Format=json");
    for (name, value) in asked {
        query.push('&');
        query.push_str(name);
        query.push('=');
        encode_component(value.as_bytes(), &mut query);
    }
    api.signer.sign(&Draft { method: "POST", path: "/", query: &query, headers: &[], body: b"" })
}

/// For each lane pairs of calls: a start, and the wait for its end.
fn lanes(
    api: &mut Api,
    flow: &str,
    round: &str,
    (lanes, each): (usize, usize),
) -> Result<Vec<Vec<[Vec<u8>; 2]>>> {
    let mut pair = |name: String| -> Result<[Vec<u8>; 2]> {
        let which = [("FlowName", flow), ("ExecutionName", name.as_str())];
        let start = call(api, "StartExecution", &[which[0], which[1], ("Input", "{}")])?;
        let wait =
            call(api, "DescribeExecution", &[which[0], which[1], ("WaitTimeSeconds", "60")])?;
        Ok([start, wait])
    };
    (0..lanes)
        .map(|lane| (0..each).map(|n| pair(format!("{round}-{lane}-{n}"))).collect())
        .collect()
}

/// Runs the lanes beside each other; the time it took, and the latency of each execution.
async fn drive(address: &str, lanes: Vec<Vec<[Vec<u8>; 2]>>) -> Result<(Duration, Latencies)> {
    let connections =
        try_join_all(lanes.iter().map(|_| Connection::open(address))).await.context("connect")?;
    let began = Instant::now();
    let runs = connections.into_iter().zip(&lanes).map(|(mut connection, lane)| async move {
        let mut taken = Vec::with_capacity(lane.len());
        for [start, wait] in lane {
            let sent = Instant::now();
            for request in [start, wait] {
                let answer = connection.exchange(request).await?;
                if answer.status != 200 {
                    bail!("{}: {}", answer.status, String::from_utf8_lossy(&answer.body));
                }
                if std::ptr::eq(request, wait) {
                    let ended: Value = serde_json::from_slice(&answer.body)?;
                    if ended["Status"] != "Succeeded" {
                        bail!("an execution ended so: {ended}");
                    }
                }
            }
            taken.push(millis(sent.elapsed()));
        }
        Ok(taken)
    });
    let taken: Result<Vec<Vec<f64>>> = join_all(runs).await.into_iter().collect();
    Ok((began.elapsed(), Latencies::of(taken?.concat())))
}
