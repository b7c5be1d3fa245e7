//! Reports of those who hold a task token.

use serde_json::{Value, json};
use stint_engine::flows::Report;
use stint_model::code::Code;

use super::asked::Asked;
use super::refused::Refused;

/// The largest output, in bytes of its text.
const OUTPUT_BYTES_MAX: usize = 262_144;

async fn report(asked: &Asked, report: Report) -> Result<Value, Refused> {
    let token = asked.need("taskToken")?;
    let reported = asked.engine().execution_report(&asked.caller, token, report).await;
    reported.map_err(|error| Refused::from(error).named(Code::InvalidArgument, "InvalidOutput"))?;
    Ok(json!({}))
}

pub(super) async fn success(asked: Asked) -> Result<Value, Refused> {
    let output = asked.need("output")?;
    let invalid = |message: String| Refused::new("InvalidOutput", message);
    if output.len() > OUTPUT_BYTES_MAX {
        return Err(invalid(format!("the output has more than {OUTPUT_BYTES_MAX} bytes")));
    }
    let output = serde_json::from_str(output)
        .map_err(|error| invalid(format!("Invalid Output: the output is no JSON: {error}")))?;
    report(&asked, Report::Succeeded(output)).await
}

pub(super) async fn failure(asked: Asked) -> Result<Value, Refused> {
    let (error, cause) = (asked.bounded("error", 256)?, asked.bounded("cause", 32_768)?);
    report(&asked, Report::Failed { error, cause }).await
}

pub(super) async fn heartbeat(asked: Asked) -> Result<Value, Refused> {
    report(&asked, Report::Alive).await
}
