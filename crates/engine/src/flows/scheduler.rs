//! Schedules fire: a pass over the catalog at each moment that one of them has, and after each change. The name
//! of the execution follows from the schedule and the moment, so that a moment fires once whoever looks, and
//! nothing has to be remembered.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};
use stint_model::execution::ExecutionStatus;
use stint_model::flow::{FlowSchedule, Misfire};
use stint_model::time::{Span, Timestamp};
use stint_store::{ExecutionList, ExecutionQuery};
use stint_supervise::Stop;

use super::ExecutionStart;
use super::calendar::Calendar;
use super::start::StartOutcome;
use crate::catalog::FlowEntry;
use crate::engine::Engine;
use crate::error::EngineError;

/// A moment this long ago was missed.
const LATE_MAX: Span = Span::from_secs(60);
/// The part of a schedule's name that an execution's name holds.
const NAME_CHARS_MAX: usize = 60;
/// After a failure it is tried again this soon.
const RETRY_PAUSE: Span = Span::from_secs(1);

pub(crate) async fn run(engine: Engine, stop: Stop) {
    // What was missed before is judged once; from then on moments are taken as they come.
    let mut seen = engine.clock().now();
    let mut is_first = true;
    loop {
        let now = engine.clock().now();
        let (next, has_failed) = pass(&engine, (seen, now), is_first).await;
        if has_failed {
            if stop.until(engine.clock().sleep(RETRY_PAUSE)).await.is_none() {
                return;
            }
            continue;
        }
        (seen, is_first) = (now, false);
        let changed = engine.schedules_nudge().notified();
        let waited = async {
            match next {
                Some(at) => {
                    tokio::select! {
                        // A notice that is dropped here is made up for by the next pass.
                        () = changed => {}
                        // A sleep loses nothing.
                        () = engine.clock().sleep_until(at) => {}
                    }
                }
                None => changed.await,
            }
        };
        if stop.until(waited).await.is_none() {
            return;
        }
    }
}

/// Fires what is due after `seen` up to `now`. Gives the next moment, and whether something failed.
async fn pass(
    engine: &Engine,
    (seen, now): (Timestamp, Timestamp),
    is_first: bool,
) -> (Option<Timestamp>, bool) {
    let (mut next, mut has_failed): (Option<Timestamp>, bool) = (None, false);
    for entry in engine.catalog().flows() {
        for schedule in entry.schedules.values().filter(|schedule| schedule.is_enabled) {
            let Ok(calendar) = Calendar::read(&schedule.expression) else { continue };
            let since = schedule.modified_at;
            let due = calendar.last(since, now).filter(|at| {
                let is_fresh = *at > seen && now.since(*at) <= LATE_MAX;
                let is_missed = (is_first || *at > seen) && schedule.misfire == Misfire::Once;
                is_fresh || is_missed
            });
            if let Some(at) = due
                && let Err(error) = fire(engine, &entry, schedule, at).await
            {
                let flow = &entry.flow.name;
                tracing::warn!(%error, %flow, schedule = schedule.name, "a schedule did not fire");
                has_failed |= matches!(error, EngineError::Store(_) | EngineError::Commit(_));
            }
            if let Some(at) = calendar.next(since, now) {
                next = Some(next.map_or(at, |known| known.min(at)));
            }
        }
    }
    (next, has_failed)
}

async fn fire(
    engine: &Engine,
    entry: &Arc<FlowEntry>,
    schedule: &FlowSchedule,
    at: Timestamp,
) -> Result<(), EngineError> {
    if !schedule.may_overlap && still_runs(engine, entry, schedule).await? {
        metrics::counter!("stint_schedules_skipped_total").increment(1);
        return Ok(());
    }
    let said = schedule.payload.as_deref().filter(|payload| !payload.is_empty());
    let payload: Value = said.and_then(|text| serde_json::from_str(text).ok()).unwrap_or(json!({}));
    let time = jiff::Timestamp::from_microsecond(at.micros()).map(|at| at.to_string());
    let input = json!({
        "payload": payload,
        "scheduleName": schedule.name,
        "triggerTime": time.unwrap_or_default(),
    });
    let short: String = schedule.name.chars().take(NAME_CHARS_MAX).collect();
    let start = ExecutionStart {
        name: Some(format!("{short}-{}", at.seconds())),
        input: Bytes::from(input.to_string()),
        ..ExecutionStart::default()
    };
    let started = engine.start_of(entry, start, Some(schedule.name.clone())).await?;
    if started.outcome == StartOutcome::New {
        metrics::counter!("stint_schedules_fired_total").increment(1);
    }
    Ok(())
}

async fn still_runs(
    engine: &Engine,
    entry: &FlowEntry,
    schedule: &FlowSchedule,
) -> Result<bool, EngineError> {
    let query = ExecutionQuery {
        statuses: vec![ExecutionStatus::Running],
        schedule: Some(schedule.name.clone()),
        limit: 1,
        ..ExecutionQuery::of(ExecutionList::Flow(entry.flow.id))
    };
    Ok(!engine.store().execution_list(&query).await?.items.is_empty())
}
