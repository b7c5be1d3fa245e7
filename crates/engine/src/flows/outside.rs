//! What is done outside for executions: expressions, HTTP requests, items of maps. Each answer is an input of
//! the execution's shard; asked twice it is answered twice, and the second answer changes nothing.

use std::sync::Arc;

use stint_flow::EventBody;
use stint_model::id::ExecutionUid;
use stint_model::shard::Shard;
use stint_model::time::Span;

use super::http::{self, HttpBounds, HttpOrder};
use super::{items, map_runs, results};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::shard::flows::integration::Wrong;
use crate::shard::{FlowAct, FlowInput, Input};

/// How often a book that cannot be read is asked again.
const READS_MAX: u32 = 30;

pub(crate) async fn act(engine: Engine, shard: Shard, act: FlowAct) {
    let input = match act {
        FlowAct::Evaluate { execution, evaluation, entropy } => {
            let now = engine.clock().now();
            let evaluator = engine.evaluator();
            let answers = evaluator.evaluate(engine.clock(), &evaluation, (entropy, now)).await;
            happened(execution, EventBody::Evaluated { evaluation: evaluation.id, answers })
        }
        FlowAct::Http { execution, call, order } => match request(&engine, &order).await {
            Ok(_) if order.is_reported => FlowInput::Submitted { execution, call },
            Ok(output) => happened(execution, EventBody::Succeeded { call, output }),
            Err(Wrong { error, cause }) => {
                let (error, cause) = (Some(error), Some(cause));
                happened(execution, EventBody::Failed { call, error, cause })
            }
        },
        FlowAct::Items { execution, definition, run, from, count } => {
            let read = items::read(&engine, (&execution, &definition), &run, (from, count)).await;
            FlowInput::Items { execution: execution.uid, call: run.id, items: read }
        }
        FlowAct::Write { execution, run } => {
            let result = results::write(&engine, &execution, &run).await;
            FlowInput::MapWritten { execution: execution.uid, call: run.id, result }
        }
        FlowAct::Reopen { execution, call } => {
            let map = persistently(&engine, || map_runs::kept(&engine, execution, call)).await;
            let map = map.unwrap_or_else(|error| {
                tracing::error!(%execution, %call, %error, "a map run cannot be read");
                None
            });
            FlowInput::MapReopened { execution, call, map: map.map(Box::new) }
        }
        FlowAct::Find { execution, call, cursor, has_outputs } => {
            let page = || map_runs::found(&engine, (execution, call), cursor.clone(), has_outputs);
            let found = persistently(&engine, page).await.map_err(|error| {
                Wrong::new("States.Runtime", format!("the children cannot be listed: {error}"))
            });
            FlowInput::MapFound { execution, call, cursor, found }
        }
        FlowAct::Work => return engine.work_nudge().notify_waiters(),
    };
    // A closed inbox means that the server is stopping: an opened shard asks again.
    drop(engine.tell_shard(shard, Input::Flow(input)).await);
}

/// A book that cannot be read is asked again for a while: nobody else goes on with what waits for it.
async fn persistently<T, F: Future<Output = Result<T, EngineError>>>(
    engine: &Engine,
    read: impl Fn() -> F,
) -> Result<T, EngineError> {
    let mut tries = 0;
    loop {
        match read().await {
            Err(_) if tries < READS_MAX => {
                tries += 1;
                engine.clock().sleep(Span::from_secs(1)).await;
            }
            done => return done,
        }
    }
}

fn happened(execution: ExecutionUid, body: EventBody) -> FlowInput {
    FlowInput::Happened { execution, body: Box::new(body) }
}

async fn request(engine: &Engine, order: &HttpOrder) -> Result<serde_json::Value, Wrong> {
    let said = &engine.config().flows;
    let timeout = order
        .timeout
        .map_or(said.http_timeout, |seconds| Span::from_secs(seconds).min(said.http_timeout));
    let bounds = HttpBounds {
        timeout,
        answer_bytes_max: said.http_answer_bytes_max,
        allow_private: said.http_allow_private,
    };
    let caller = Arc::clone(engine.http());
    let reply = caller.call(order, bounds).await;
    http::answer_of(order, reply)
}
