//! Submitting tasks, one or ten thousand.

use http::StatusCode;
use stint_engine::{Accepted, BatchMode};
use stint_model::code::Refusal;
use stint_wire::native::{
    BatchItem, BatchMode as WireMode, BatchRefusal, BatchResult, BatchSubmit, TaskAccepted,
    TaskSubmit,
};

use crate::answer::{Answer, json};
use crate::call::Call;
use crate::error::Problem;
use crate::options;

fn accepted(accepted: Accepted) -> TaskAccepted {
    TaskAccepted {
        uid: accepted.uid.to_string(),
        task_id: accepted.task_id,
        request_id: accepted.request_id.to_string(),
        task_mode: accepted.task_mode,
    }
}

pub(crate) async fn one(call: Call) -> Result<Answer, Problem> {
    let task: TaskSubmit = call.json_or_default()?;
    let function = call.function();
    let submit = options::submit(task, &function.name)?;
    let done = call.engine().submit(&call.caller, &function, submit).await?;
    Ok(json(StatusCode::ACCEPTED, &accepted(done)))
}

pub(crate) async fn batch(call: Call) -> Result<Answer, Problem> {
    let batch: BatchSubmit = call.json()?;
    let mode = match batch.mode {
        WireMode::AllOrNothing => BatchMode::AllOrNothing,
        WireMode::PerItem => BatchMode::PerItem,
    };
    let function = call.function();
    let read = |task| {
        options::submit(task, &function.name)
            .map_err(|problem| Refusal::new(problem.code, problem.message))
    };
    let items = batch.tasks.into_iter().map(read).collect();
    let done = call.engine().submit_batch(&call.caller, &function, items, mode).await?;
    let results: Vec<BatchItem> = done
        .into_iter()
        .map(|result| match result {
            Ok(task) => BatchItem::Accepted(accepted(task)),
            Err(refusal) => BatchItem::Refused(BatchRefusal {
                code: refusal.code.text().to_owned(),
                message: refusal.message,
            }),
        })
        .collect();
    let good = results.iter().filter(|item| matches!(item, BatchItem::Accepted(_))).count();
    let result = BatchResult { accepted: good, refused: results.len() - good, results };
    Ok(json(StatusCode::ACCEPTED, &result))
}
