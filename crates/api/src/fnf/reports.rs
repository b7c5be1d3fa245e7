//! Reports of those who hold a task token. The token travels in the query even on POST; here it may
//! stand in either place.

use stint_engine::flows::Report;
use stint_wire::fnf::Reported;

use super::asked::Asked;
use crate::answer::Answer;
use crate::error::Problem;

async fn report(asked: Asked, report: Report) -> Result<Answer, Problem> {
    let token = asked.need("TaskToken");
    let event = asked.engine().execution_report(&asked.caller, token, report).await?;
    asked.ok(Reported { event_id: event.unwrap_or_default() })
}

pub(super) async fn succeeded(asked: Asked) -> Result<Answer, Problem> {
    let output: Option<serde_json::Value> = asked.json("Output")?;
    let output = output.filter(serde_json::Value::is_object);
    let output = output
        .ok_or_else(|| Problem::invalid("parameter Output must be the text of a JSON object"))?;
    report(asked, Report::Succeeded(output)).await
}

pub(super) async fn failed(asked: Asked) -> Result<Answer, Problem> {
    let (error, cause) = (asked.bounded("Error", 128)?, asked.bounded("Cause", 4_096)?);
    report(asked, Report::Failed { error, cause }).await
}
