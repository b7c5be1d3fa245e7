//! Retention: ended tasks past their time go, in bounded steps, and what they alone named; blobs that
//! nothing names are swept after a grace. An idempotent pass over the book, on a period.

use stint_model::id::FlowId;
use stint_model::shard::Shard;
use stint_model::time::Span;
use stint_store::{ExecutionList, ExecutionQuery, Kind};
use stint_supervise::Stop;

use crate::control::{Change, expect_of};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::shard::{FlowInput, Input};
use crate::storage::{TASK_AREAS, task_of};

/// How often the pass runs.
const PERIOD: Span = Span::from_secs(600);
/// Tasks of one step.
const STEP: usize = 1_000;
/// Definitions of one step: each may be large.
const DEFINITIONS: usize = 50;
/// Between two steps, so that the path keeps its disk.
const STEP_PAUSE: Span = Span::from_millis(20);
/// Keys that ended stay this long, so that a late question about one has an answer.
const KEY_GRACE: Span = Span::from_secs(3_600);
/// A blob younger than this may still be on its way into a commit.
const ORPHAN_GRACE: Span = Span::from_secs(86_400);

pub(crate) async fn run(engine: Engine, stop: Stop) {
    loop {
        if let Err(error) = pass(&engine, &stop).await {
            tracing::warn!(
                error = stint_supervise::chain(&error),
                "retention did not finish; it goes on later"
            );
        }
        if stop.until(engine.clock().sleep(PERIOD)).await.is_none() {
            return;
        }
    }
}

async fn pass(engine: &Engine, stop: &Stop) -> Result<(), EngineError> {
    for number in 0..engine.shards() {
        forget_tasks(engine, Shard::new(number), stop).await?;
        forget_executions(engine, Shard::new(number), stop).await?;
    }
    for area in TASK_AREAS {
        sweep_blobs(engine, area, stop).await?;
    }
    engine.storage_measure(stop).await?;
    sweep_control(engine).await
}

/// What the control plane leaves behind: packages no record names, keys that ended, old audit
/// entries.
async fn sweep_control(engine: &Engine) -> Result<(), EngineError> {
    let packages = engine.code_sweep(engine.clock().wall_now() - ORPHAN_GRACE).await?;
    metrics::counter!("stint_blobs_swept_total").increment(packages as u64);
    engine.keys_sweep(engine.clock().now() - KEY_GRACE).await?;
    let old = engine.clock().now() - engine.config().audit_retention;
    engine.audit_sweep(old).await?;
    sweep_definitions(engine).await
}

/// Definitions of flows that were deleted go when nothing that ran them is kept any more.
async fn sweep_definitions(engine: &Engine) -> Result<(), EngineError> {
    let mut after: Option<String> = None;
    loop {
        let kind = Kind::FlowDefinition;
        let page = engine.store().record_list(kind, "", after.as_deref(), DEFINITIONS).await?;
        for record in page.items {
            let flow = record.key.name.split_once('/').and_then(|(flow, _)| flow.parse().ok());
            // A flow that is made at this moment may not be in the catalog yet.
            let old = engine.clock().now() - KEY_GRACE;
            let is_gone = |flow: &FlowId| {
                flow.minted_at() < old && engine.catalog().flow_by_id(*flow).is_none()
            };
            let Some(flow) = flow.filter(is_gone) else { continue };
            let list = ExecutionList::Flow(flow);
            let query = ExecutionQuery { limit: 1, ..ExecutionQuery::of(list) };
            if engine.store().execution_list(&query).await?.items.is_empty() {
                let mut change = Change::new(record.shard);
                change.delete(expect_of(&record));
                engine.commit_untold(change).await?;
            }
        }
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(()),
        }
    }
}

async fn forget_tasks(engine: &Engine, shard: Shard, stop: &Stop) -> Result<(), EngineError> {
    while !stop.is_stopped() {
        let before = engine.clock().now() - engine.config().history_retention;
        let tasks = engine.store().task_old(shard, before, STEP).await?;
        let count = tasks.len();
        if count == 0 {
            break;
        }
        let forgotten = engine.ask_shard(shard, |reply| Input::Forget { tasks, reply }).await?;
        metrics::counter!("stint_tasks_forgotten_total").increment(forgotten as u64);
        if count < STEP || forgotten == 0 {
            break;
        }
        engine.clock().sleep(STEP_PAUSE).await;
    }
    Ok(())
}

/// Ended executions past their time, with their history and map runs.
async fn forget_executions(engine: &Engine, shard: Shard, stop: &Stop) -> Result<(), EngineError> {
    while !stop.is_stopped() {
        let before = engine.clock().now() - engine.config().flows.retention;
        let executions = engine.store().execution_old(shard, before, STEP).await?;
        let count = executions.len();
        if count == 0 {
            break;
        }
        let mut map_runs = Vec::new();
        for uid in &executions {
            let prefix = format!("{uid}/");
            let page = engine.store().record_list(Kind::MapRun, &prefix, None, STEP).await?;
            map_runs.extend(page.items.into_iter().map(|record| record.key));
        }
        let forget = |reply| Input::Flow(FlowInput::Forget { executions, map_runs, reply });
        let forgotten = engine.ask_shard(shard, forget).await?;
        metrics::counter!("stint_executions_forgotten_total").increment(forgotten as u64);
        if count < STEP || forgotten == 0 {
            break;
        }
        engine.clock().sleep(STEP_PAUSE).await;
    }
    Ok(())
}

async fn sweep_blobs(engine: &Engine, area: &str, stop: &Stop) -> Result<(), EngineError> {
    let mut after: Option<String> = None;
    while !stop.is_stopped() {
        let entries = engine.blobs().list(area, after.as_deref(), STEP).await?;
        let Some(last) = entries.last() else { break };
        after = Some(last.name.clone());
        let old = engine.clock().wall_now() - ORPHAN_GRACE;
        for entry in entries.iter().filter(|entry| entry.modified_at < old) {
            let Some(task) = task_of(&entry.name) else { continue };
            let known = engine.store().task_get(&[task]).await?;
            if known.iter().all(Option::is_none) {
                engine.blobs().delete(&entry.name).await?;
                metrics::counter!("stint_blobs_swept_total").increment(1);
            }
        }
        engine.clock().sleep(STEP_PAUSE).await;
    }
    Ok(())
}
