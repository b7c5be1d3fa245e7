//! What is done outside for executions: expressions, HTTP requests, items of maps. Each answer is an input of
//! the execution's shard; asked twice it is answered twice, and the second answer changes nothing.

use std::sync::Arc;

use stint_flow::EventBody;
use stint_model::id::ExecutionUid;
use stint_model::shard::Shard;
use stint_model::time::Span;

use super::http::{self, HttpBounds, HttpOrder};
use super::items;
use crate::engine::Engine;
use crate::shard::flows::integration::Wrong;
use crate::shard::{FlowAct, FlowInput, Input};

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
            let why = "no bucket can be written by this version of Stint; the results are in the map \
                       run's executions";
            let result = Err(Wrong::new("States.ResultWriterFailed", why));
            FlowInput::MapWritten { execution: execution.uid, call: run.id, result }
        }
        FlowAct::Work => return engine.work_nudge().notify_waiters(),
    };
    // A closed inbox means that the server is stopping: an opened shard asks again.
    drop(engine.tell_shard(shard, Input::Flow(input)).await);
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
