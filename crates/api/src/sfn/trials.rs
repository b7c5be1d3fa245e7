//! `TestState`: one state on its own, without a flow and without calling anything.

use serde_json::{Map, Value, json};
use stint_engine::flows::{FlowTrial, FlowTried, Moment, TrialEnd, TrialMock};
use stint_model::code::Code;

use super::asked::{Asked, object};
use super::refused::Refused;

/// A JSON text that the request holds.
fn parsed(name: &str, text: &str) -> Result<Value, Refused> {
    serde_json::from_str(text)
        .map_err(|error| Refused::invalid(format!("{name} is no JSON: {error}")))
}

/// What the call of the state is to give.
fn mock(asked: &Asked) -> Result<Option<TrialMock>, Refused> {
    let Some(mock) = asked.input.get("mock").filter(|mock| !mock.is_null()) else {
        return Ok(None);
    };
    let part =
        |value: &Value, name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    match (part(mock, "result"), mock.get("errorOutput")) {
        (Some(result), None) => Ok(Some(Ok(parsed("mock.result", &result)?))),
        (None, Some(failed)) => {
            let (error, cause) = (part(failed, "error"), part(failed, "cause"));
            Ok(Some(Err((error.unwrap_or_default(), cause.unwrap_or_default()))))
        }
        (Some(_), Some(_)) | (None, None) => {
            Err(Refused::invalid("mock has either result, a JSON text, or errorOutput"))
        }
    }
}

pub(super) async fn test_state(asked: Asked) -> Result<Value, Refused> {
    let definition = asked.need("definition")?;
    let definition = serde_json::from_str(definition).map_err(|error| {
        Refused::new("InvalidDefinition", format!("the definition is no JSON: {error}"))
    })?;
    let input = match asked.text("input")? {
        Some(text) => serde_json::from_str(text).map_err(|error| {
            Refused::new("InvalidExecutionInput", format!("the input is no JSON: {error}"))
        })?,
        None => json!({}),
    };
    let variables = match asked.text("variables")? {
        Some(text) => match parsed("variables", text)? {
            Value::Object(variables) => variables,
            _ => return Err(Refused::invalid("variables is the text of a JSON object")),
        },
        None => Map::new(),
    };
    let config = asked.input.get("stateConfiguration");
    let retries = config.and_then(|config| config.get("retrierRetryCount")?.as_u64()).unwrap_or(0);
    let trial = FlowTrial {
        definition,
        name: asked.text("stateName")?.map(str::to_owned),
        input: Value::clone(&input),
        variables,
        mock: mock(&asked)?,
        retries: u32::try_from(retries)
            .map_err(|_| Refused::invalid("retrierRetryCount is too large"))?,
    };
    let tried = asked.engine().flow_try(&asked.caller, trial).await.map_err(|error| {
        Refused::from(error)
            .named(Code::InvalidArgument, "InvalidDefinition")
            .named(Code::ActionNotSupported, "ValidationException")
    })?;
    Ok(view(&tried, &input, asked.text("inspectionLevel")?.unwrap_or("INFO")))
}

fn view(tried: &FlowTried, input: &Value, level: &str) -> Value {
    let failure = |status: &str, error: &Option<String>, cause: &Option<String>| json!({"status": status, "error": error, "cause": cause});
    let mut view = match &tried.end {
        TrialEnd::Succeeded(output) => json!({"status": "SUCCEEDED", "output": output.to_string()}),
        TrialEnd::Caught { error, cause, output } => {
            let mut view = failure("CAUGHT_ERROR", error, cause);
            view["output"] = output.to_string().into();
            view
        }
        TrialEnd::Retriable { error, cause } => failure("RETRIABLE", error, cause),
        TrialEnd::Failed { error, cause } => failure("FAILED", error, cause),
    };
    view["nextState"] = tried.next.clone().into();
    if level != "INFO" {
        let detail = |moment: Moment, name: &str| {
            let row = tried.rows.iter().rev().find(|row| row.moment == moment);
            row.and_then(|row| row.detail.get(name)).map(Value::to_string)
        };
        view["inspectionData"] = object(json!({
            "input": input.to_string(),
            "afterArguments": detail(Moment::TaskScheduled, "parameters"),
            "result": detail(Moment::TaskSucceeded, "output"),
        }));
    }
    object(view)
}
