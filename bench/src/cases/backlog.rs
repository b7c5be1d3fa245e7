//! A full backlog and a steady stream: what waiting tasks cost, and how long a start takes while five
//! thousand others are submitted each second.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use futures_util::future::{join_all, try_join_all};
use serde_json::{Value, json};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::{before_start, create, drive, fill, one_task, pause, row};
use crate::Plan;
use crate::connection::Connection;
use crate::figures::{Latencies, float, write};
use crate::report::Row;
use crate::request::{Api, Draft};
use crate::server::Server;

/// Connections of the steady stream; one submits every tick.
const STREAMS: u32 = 50;
const TICK: Duration = Duration::from_millis(10);
/// Of so many tasks one is looked at.
const LOOK_EVERY: usize = 20;

/// A million tasks wait: memory, and submits on top of them.
pub(super) async fn waiting(plan: &Plan) -> Result<Vec<Row>> {
    let count = 1_000_000 / plan.divide;
    let mut memory = row("memory for 1,000,000 queued", "MB", "≤ 1,536 MB for 10,000,000");
    let mut rate =
        row("submit, 64 connections, over 1,000,000 queued", "/s", "within 10 % of empty");
    for _ in 0..plan.repeats {
        let server = Server::start(&plan.bin).await?;
        let mut api = server.api().await?;
        create(&mut api, "noop", "python3.10").await?;
        pause(&mut api, "noop").await?;
        let empty = server.memory_mb()?;
        fill(&mut api, "noop", count).await?;
        server.caught_up().await?;
        let full = server.memory_mb()?;
        memory.taken.push(full - empty);
        let mut lanes = Vec::new();
        for _ in 0..64 {
            let lane: Result<Vec<_>> = (0..600 / plan.divide)
                .map(|_| api.invocation("noop", &[("x-fc-invocation-type", "Async")], b"{\"n\":1}"))
                .collect();
            lanes.push(lane?);
        }
        let sent: usize = lanes.iter().map(Vec::len).sum();
        let (took, _) = drive(&server.address()?, lanes, 202).await?;
        rate.taken.push(float(sent) / took.as_secs_f64());
    }
    memory.note = "a cache of up to 256 MB for the bodies of waiting tasks is part of it".into();
    Ok(vec![memory, rate])
}

/// Five thousand submits a second for two seconds, each commit-and-acknowledge of its own.
pub(super) async fn steady(plan: &Plan) -> Result<Vec<Row>> {
    let mut half = row("submit → user code starts at 5,000/s, p50", "ms", "–");
    let mut tail = row("… p99", "ms", "≤ 5 ms");
    let ticks = 200 / plan.divide;
    for _ in 0..plan.repeats {
        let server = Server::start(&plan.bin).await?;
        let mut api = server.api().await?;
        create(&mut api, "noop", "python3.10").await?;
        let limit = json!({"reservedConcurrency": 4});
        api.call("PUT", "/2023-03-30/functions/noop/concurrency", &limit).await?;
        let mut connection = Connection::open(&server.address()?).await?;
        let warm: Vec<Value> = (0..4).map(|_| json!({"payload": 1})).collect();
        api.call("POST", "/v1/functions/noop/tasks:batch", &json!({"tasks": warm})).await?;
        one_task(&mut api, &mut connection, "noop").await?;
        // The first second brings up the instances, and others that wait in their place.
        stream(&server, &mut api, ticks / 2).await?;
        let uids = stream(&server, &mut api, ticks).await?;
        let last = uids.last().context("tasks")?.clone();
        api.get(&format!("/v1/tasks/{last}/wait?timeout=30")).await?;
        let mut taken = Vec::new();
        for uid in uids.iter().step_by(LOOK_EVERY) {
            let task = api.get(&format!("/v1/tasks/{uid}")).await?;
            taken.push(before_start(&task)?);
        }
        let taken = Latencies::of(taken);
        half.taken.push(taken.percentile(50));
        tail.taken.push(taken.percentile(99));
        tail.note = format!("most {} ms", write(taken.percentile(100)));
    }
    Ok(vec![half, tail])
}

/// Submits one task on every connection at every tick; the ids in order of the ticks.
async fn stream(server: &Server, api: &mut Api, ticks: usize) -> Result<Vec<String>> {
    let mut lanes = Vec::new();
    for _ in 0..STREAMS {
        let lane: Result<Vec<_>> = (0..ticks)
            .map(|_| {
                api.signer.sign(&Draft {
                    method: "POST",
                    path: "/v1/functions/noop/tasks",
                    query: "",
                    headers: &[("content-type", "application/json")],
                    body: b"{\"payload\":1}",
                })
            })
            .collect();
        lanes.push(lane?);
    }
    let address = server.address()?;
    let connections = try_join_all(lanes.iter().map(|_| Connection::open(&address))).await?;
    // Evenly over a tick: a steady stream, no volleys.
    let begin = Instant::now();
    let offsets = (0..STREAMS).map(|at| TICK * at / STREAMS);
    let lanes_of = connections.into_iter().zip(&lanes).zip(offsets);
    let runs = lanes_of.map(|((mut connection, lane), offset)| async move {
        let mut clock = interval_at(begin + offset, TICK);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut uids = Vec::with_capacity(lane.len());
        for request in lane {
            clock.tick().await;
            let answer = connection.exchange(request).await?;
            if answer.status != 202 {
                bail!("{}: {}", answer.status, String::from_utf8_lossy(&answer.body));
            }
            let task: Value = serde_json::from_slice(&answer.body)?;
            uids.push(task["uid"].as_str().context("uid")?.to_owned());
        }
        Ok(uids)
    });
    let lanes: Result<Vec<Vec<String>>> = join_all(runs).await.into_iter().collect();
    let lanes = lanes?;
    let in_order = (0..ticks).flat_map(|tick| lanes.iter().map(move |lane| lane[tick].clone()));
    Ok(in_order.collect())
}
