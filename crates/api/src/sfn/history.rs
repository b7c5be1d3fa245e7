//! The history of an execution: each event with the one details object that its type has.

use serde_json::{Map, Value, json};
use stint_engine::flows::{HistoryAsked, HistoryRow, Moment};
use stint_model::code::Code;

use super::arn::Arns;
use super::asked::{Asked, object, seconds};
use super::refused::Refused;
use crate::flow::Called;

/// What events are shown with.
struct Sight<'a> {
    arns: Arns<'a>,
    /// Names a map run by its call.
    map_run: &'a dyn Fn(&str) -> String,
    /// Without, inputs and outputs are left out.
    has_data: bool,
}

pub(super) async fn get(asked: Asked) -> Result<Value, Refused> {
    let meant = asked.arns().read_execution(asked.need("executionArn")?)?;
    let from = asked.text("nextToken")?.map(str::parse).transpose();
    let wanted = HistoryAsked {
        from: from.map_err(|_| Refused::new("InvalidToken", "Invalid Token: nextToken"))?,
        limit: Some(asked.max_results()?.unwrap_or(100)),
        reverse: asked.flag("reverseOrder")?.unwrap_or(false),
    };
    let run = asked.engine().execution_get(&asked.caller, &meant, None).await?;
    let slice = asked.engine().execution_history(&asked.caller, &meant, wanted).await;
    let slice = slice.map_err(|e| Refused::from(e).named(Code::InvalidArgument, "InvalidToken"))?;
    let sight = Sight {
        arns: asked.arns(),
        map_run: &|call| asked.arns().map_run(&run, call),
        has_data: asked.flag("includeExecutionData")?.unwrap_or(true),
    };
    let events: Vec<Value> = slice.rows.iter().map(|row| sight.event(row)).collect();
    let next = slice.next.map(|id| id.to_string());
    Ok(object(json!({"events": events, "nextToken": next})))
}

impl Sight<'_> {
    fn event(&self, row: &HistoryRow) -> Value {
        let mut event = json!({
            "id": row.id,
            "previousEventId": row.previous,
            "timestamp": seconds(row.at),
            "type": row.name,
        });
        if let Some(details) = self.details(row) {
            // `PassStateEntered` and its like share one object; every other type has its own.
            let name = match row.moment {
                Moment::Entered => "stateEntered".to_owned(),
                Moment::Exited => "stateExited".to_owned(),
                Moment::IterationStarted
                | Moment::IterationSucceeded
                | Moment::IterationFailed
                | Moment::IterationAborted
                | Moment::ExecutionStarted
                | Moment::ExecutionSucceeded
                | Moment::ExecutionFailed
                | Moment::ExecutionTimedOut
                | Moment::ExecutionStopped
                | Moment::ExecutionRedriven
                | Moment::Started
                | Moment::Succeeded
                | Moment::Failed
                | Moment::Aborted
                | Moment::BranchEntered
                | Moment::BranchExited
                | Moment::TaskScheduled
                | Moment::TaskStarted
                | Moment::TaskSubmitted
                | Moment::TaskSubmitFailed
                | Moment::TaskSucceeded
                | Moment::TaskFailed
                | Moment::TaskTimedOut
                | Moment::MapRunStarted
                | Moment::MapRunSucceeded
                | Moment::MapRunFailed
                | Moment::EvaluationFailed => lower_first(&row.name),
            };
            event[format!("{name}EventDetails")] = object(details);
        }
        event
    }

    fn details(&self, row: &HistoryRow) -> Option<Value> {
        let said = |name: &str| row.detail.get(name).filter(|v| !v.is_null()).cloned();
        let failure = || json!({"error": said("error"), "cause": said("cause")});
        Some(match row.moment {
            Moment::ExecutionStarted => {
                let mut details = self.data("input", row);
                details.insert("roleArn".to_owned(), said("roleArn").unwrap_or_default());
                details.into()
            }
            Moment::ExecutionSucceeded => self.data("output", row).into(),
            Moment::ExecutionRedriven => json!({"redriveCount": said("redriveCount")}),
            Moment::Entered => self.named(row, self.data("input", row)),
            Moment::Exited => {
                let mut details = self.data("output", row);
                self.assigned(row, &mut details);
                self.named(row, details)
            }
            Moment::Started => json!({"length": said("length")?}),
            Moment::IterationStarted
            | Moment::IterationSucceeded
            | Moment::IterationFailed
            | Moment::IterationAborted => {
                json!({"name": said("name").unwrap_or(row.step.clone().into()), "index": said("index")})
            }
            Moment::TaskScheduled => self.scheduled(row),
            Moment::TaskStarted => json!({"workerName": said("workerName")?}),
            Moment::TaskSucceeded => self.data("output", row).into(),
            Moment::MapRunStarted => {
                let call = row.detail.get("MapRunName").and_then(Value::as_str)?;
                json!({"mapRunArn": (self.map_run)(call)})
            }
            Moment::EvaluationFailed => json!({
                "error": said("error"), "cause": said("cause"), "state": row.step,
            }),
            Moment::ExecutionFailed
            | Moment::ExecutionTimedOut
            | Moment::ExecutionStopped
            | Moment::TaskSubmitFailed
            | Moment::TaskFailed
            | Moment::TaskTimedOut
            | Moment::MapRunFailed => failure(),
            Moment::Succeeded
            | Moment::Failed
            | Moment::Aborted
            | Moment::BranchEntered
            | Moment::BranchExited
            | Moment::TaskSubmitted
            | Moment::MapRunSucceeded => return None,
        })
    }

    /// An input or output as JSON text.
    fn data(&self, name: &str, row: &HistoryRow) -> Map<String, Value> {
        let mut details = Map::new();
        if self.has_data
            && let Some(value) = row.detail.get(name)
        {
            details.insert(name.to_owned(), value.to_string().into());
            details.insert(format!("{name}Details"), json!({"truncated": false}));
        }
        details
    }

    fn named(&self, row: &HistoryRow, mut details: Map<String, Value>) -> Value {
        details.insert("name".to_owned(), row.step.clone().into());
        details.into()
    }

    /// Variables as JSON texts.
    fn assigned(&self, row: &HistoryRow, details: &mut Map<String, Value>) {
        let variables = row.detail.get("assignedVariables").and_then(Value::as_object);
        if let Some(variables) = variables.filter(|_| self.has_data) {
            let text = |(name, value): (&String, &Value)| (name.clone(), value.to_string().into());
            let texts: Map<String, Value> = variables.iter().map(text).collect();
            details.insert("assignedVariables".to_owned(), texts.into());
            details.insert("assignedVariablesDetails".to_owned(), json!({"truncated": false}));
        }
    }

    /// What is called, in the words of its family.
    fn scheduled(&self, row: &HistoryRow) -> Value {
        let said = |name: &str| row.detail.get(name).filter(|v| !v.is_null()).cloned();
        let parameters =
            said("parameters").filter(|_| self.has_data).map(|value| value.to_string());
        let Arns { region, account } = self.arns;
        let (timeout, heartbeat) = (said("timeoutInSeconds"), said("heartbeatInSeconds"));
        let resource = row.detail.get("resource");
        match resource.and_then(Called::of) {
            Some(Called::Function { name, qualifier }) => {
                let qualifier =
                    qualifier.map(|qualifier| format!(":{qualifier}")).unwrap_or_default();
                json!({
                    "resource": format!("arn:aws:lambda:{region}:{account}:function:{name}{qualifier}"),
                    "input": parameters,
                    "timeoutInSeconds": timeout,
                })
            }
            Some(Called::Activity(name)) => {
                let resource = if name.starts_with("arn:") {
                    name.to_owned()
                } else {
                    self.arns.activity(name)
                };
                json!({
                    "resource": resource,
                    "input": parameters,
                    "timeoutInSeconds": timeout,
                    "heartbeatInSeconds": heartbeat,
                })
            }
            Some(Called::Flow(name)) => self.service(
                ("states", "startExecution"),
                (parameters, timeout, heartbeat),
                Some(name),
            ),
            Some(Called::Service { product, api }) => {
                self.service((product, api), (parameters, timeout, heartbeat), None)
            }
            None => json!({ "resource": resource }),
        }
    }

    fn service(
        &self,
        (kind, resource): (&str, &str),
        (parameters, timeout, heartbeat): (Option<String>, Option<Value>, Option<Value>),
        flow: Option<&str>,
    ) -> Value {
        let resource = flow.map_or(resource.to_owned(), |flow| format!("{resource}:{flow}"));
        json!({
            "resourceType": kind,
            "resource": resource,
            "region": self.arns.region,
            "parameters": parameters.unwrap_or_default(),
            "timeoutInSeconds": timeout,
            "heartbeatInSeconds": heartbeat,
        })
    }
}

fn lower_first(name: &str) -> String {
    let mut chars = name.chars();
    match chars.next() {
        Some(first) => first.to_lowercase().chain(chars).collect(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use stint_model::id::AccountId;
    use stint_model::time::Timestamp;

    use super::*;

    fn show(moment: Moment, name: &str, detail: Value, has_data: bool) -> Value {
        let arns = Arns { region: "r", account: AccountId::new(7) };
        let sight = Sight { arns, map_run: &|call| arns.map_run_of("f", "e", call), has_data };
        let row = HistoryRow {
            id: 2,
            previous: 1,
            at: Timestamp::from_millis(1_500),
            step: "S".into(),
            thread: 0,
            moment,
            name: name.into(),
            detail,
        };
        sight.event(&row)
    }

    #[test]
    fn each_type_has_its_details() {
        let event = show(Moment::Entered, "TaskStateEntered", json!({"input": {"a": 1}}), true);
        assert_eq!(event["stateEnteredEventDetails"]["name"], "S");
        assert_eq!(event["stateEnteredEventDetails"]["input"], "{\"a\":1}");
        assert_eq!((&event["id"], &event["previousEventId"]), (&json!(2), &json!(1)));
        assert_eq!(event["timestamp"], json!(1.5));
        let hidden = show(Moment::Entered, "TaskStateEntered", json!({"input": {"a": 1}}), false);
        assert_eq!(hidden["stateEnteredEventDetails"], json!({"name": "S"}));
        let resource = json!({"Function": {"name": "g", "qualifier": null}});
        let detail = json!({"resource": resource, "parameters": {"x": 1}, "timeoutInSeconds": 5});
        let event = show(Moment::TaskScheduled, "LambdaFunctionScheduled", detail, true);
        let details = &event["lambdaFunctionScheduledEventDetails"];
        assert_eq!(
            details["resource"],
            format!("arn:aws:lambda:r:{}:function:g", AccountId::new(7))
        );
        assert_eq!(
            (&details["input"], &details["timeoutInSeconds"]),
            (&json!("{\"x\":1}"), &json!(5))
        );
        let failed = json!({"error": "E", "cause": null});
        let event = show(Moment::TaskFailed, "LambdaFunctionFailed", failed, true);
        assert_eq!(event["lambdaFunctionFailedEventDetails"], json!({"error": "E"}));
        let exited = json!({"output": 1, "assignedVariables": {"v": [1]}});
        let event = show(Moment::Exited, "PassStateExited", exited, true);
        assert_eq!(event["stateExitedEventDetails"]["assignedVariables"], json!({"v": "[1]"}));
        let event =
            show(Moment::MapRunStarted, "MapRunStarted", json!({"MapRunName": "4.1"}), true);
        let arn = event["mapRunStartedEventDetails"]["mapRunArn"].as_str().unwrap();
        assert!(arn.ends_with(":mapRun:f/e:4.1"), "{arn}");
    }
}
