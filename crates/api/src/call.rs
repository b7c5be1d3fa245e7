//! One request as handlers see it: who, what, and the body, all checked.

use std::sync::Arc;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use stint_engine::control::Listing;
use stint_engine::{Engine, FunctionRef, TaskRef};
use stint_model::access::Caller;
use stint_model::time::Timestamp;
use stint_supervise::Stop;
use tokio::sync::OwnedSemaphorePermit;

use crate::dispatch::Door;
use crate::error::Problem;
use crate::query::Query;

/// One request; see the module comment.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) door: Arc<Door>,
    pub(crate) caller: Caller,
    /// Decoded path parameters, in order.
    pub(crate) params: Vec<String>,
    pub(crate) query: Query,
    pub(crate) body: Bytes,
    pub(crate) request_id: Arc<str>,
    /// `Last-Event-ID`: where a broken stream of events is to go on.
    pub(crate) last_event: Option<u64>,
    /// Scheme and authority under which the client reached us.
    pub(crate) origin: String,
    /// Asked for when the server stops.
    pub(crate) stop: Stop,
    #[expect(dead_code, reason = "held while the request is served, never looked at")]
    pub(crate) room: Option<OwnedSemaphorePermit>,
}

impl Call {
    pub(crate) fn engine(&self) -> &Engine {
        &self.door.engine
    }

    pub(crate) fn param(&self, index: usize) -> &str {
        self.params.get(index).map_or("", String::as_str)
    }

    /// The body as JSON.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        parse(&self.body)
    }

    /// The body as JSON; no body is the default.
    pub(crate) fn json_or_default<T: DeserializeOwned + Default>(&self) -> Result<T, Problem> {
        if self.body.trim_ascii().is_empty() { Ok(T::default()) } else { self.json() }
    }

    /// The function of the first path parameter, through `qualifier`.
    pub(crate) fn function(&self) -> FunctionRef {
        let qualifier = self.query.get("qualifier").unwrap_or(stint_model::function::LATEST);
        FunctionRef { name: self.param(0).to_owned(), qualifier: qualifier.to_owned() }
    }

    /// The page that a Function Compute listing asks for.
    pub(crate) fn listing(&self) -> Result<Listing, Problem> {
        let either = |lower: &str, upper: &str| {
            let found = self.query.get(lower).or_else(|| self.query.get(upper));
            found.map(str::to_owned)
        };
        let limit = match either("limit", "Limit") {
            None => None,
            Some(text) => Some(text.parse().map_err(|_| {
                Problem::invalid(format!("parameter 'limit' is not valid: {text:?}"))
            })?),
        };
        let prefix = self.query.get("prefix").unwrap_or("").to_owned();
        Ok(Listing { prefix, limit, token: either("nextToken", "NextToken") })
    }

    /// The page that a native listing asks for.
    pub(crate) fn native_listing(&self) -> Result<Listing, Problem> {
        let limit = self.query.limit("limit", 100, 100)?;
        Ok(Listing {
            prefix: self.query.get("prefix").unwrap_or("").to_owned(),
            limit: u32::try_from(limit).ok(),
            token: self.query.get("cursor").map(str::to_owned),
        })
    }

    /// The task of the path: a `uid`, or a function and a task id.
    pub(crate) fn task(&self) -> Result<TaskRef, Problem> {
        match self.params.as_slice() {
            [uid] => uid.parse().map_err(|_| {
                Problem::new(
                    stint_model::code::Code::AsyncTaskNotFound,
                    format!(
                        "async task '{uid}' does not exist; write its uid (tsk_…), or use \
                             /v1/functions/FUNCTION/tasks/TASK"
                    ),
                )
            }),
            [function, task_id, ..] => {
                Ok(TaskRef::Named { function: function.clone(), task_id: task_id.clone() })
            }
            [] => Err(Problem::invalid("no task is named")),
        }
    }
}

/// A JSON object, with errors that say which field.
pub(crate) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    // A list would fill the fields in the order in which they are declared.
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err(Problem::invalid("the request body must be a JSON object"));
    }
    serde_json::from_slice(body).map_err(|error| bad_body(&place_of::<T>(body), &error))
}

/// The longest name of a field that is told.
const PATH_MAX: usize = 200;

/// Reads a body that is not valid once more, to say where.
fn place_of<T: DeserializeOwned>(body: &[u8]) -> String {
    let mut json = serde_json::Deserializer::from_slice(body);
    match serde_path_to_error::deserialize::<_, T>(&mut json) {
        Err(error) => match error.path().to_string() {
            path if path == "." || path.contains('?') => String::new(),
            path => format!(": field '{}'", path.chars().take(PATH_MAX).collect::<String>()),
        },
        Ok(_) => String::new(),
    }
}

/// Types of ours are nothing to a caller.
fn bad_body(at: &str, error: &serde_json::Error) -> Problem {
    let mut text = error.to_string();
    for whole in ["u8", "u16", "u32", "u64", "i64", "usize"] {
        text = text.replace(&format!("expected {whole} "), "expected a whole number in its range ");
    }
    text = text.replace("expected f64 ", "expected a number ");
    let said = match text.split_once("expected struct ") {
        Some((before, after)) => {
            let rest = after.split_once(' ').map_or("", |(_, rest)| rest);
            format!("{before}expected an object {rest}")
        }
        None => text,
    };
    Problem::invalid(format!("the request body is not valid{at}: {said}"))
}

/// Bytes as they are shown inside JSON: text, or base64 when they are none (§3.9 \[choice\]).
pub(crate) fn show(bytes: &[u8]) -> String {
    use base64::Engine as _;
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => base64::engine::general_purpose::STANDARD.encode(bytes),
    }
}

/// A time as Function Compute's resources write it, in whole seconds.
pub(crate) fn rfc3339(at: Timestamp) -> String {
    stint_sign::format_utc(at)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize, Debug, PartialEq)]
    #[serde(rename_all = "camelCase")]
    struct Inner {
        memory_size: u32,
    }

    #[derive(Deserialize, Debug, PartialEq)]
    struct Outer {
        code: Inner,
    }

    #[test]
    fn a_body_that_is_not_valid_says_which_field() {
        let says = |body: &str| parse::<Outer>(body.as_bytes()).unwrap_err().message;
        assert_eq!(
            parse(br#" {"code":{"memorySize":5}}"#),
            Ok(Outer { code: Inner { memory_size: 5 } })
        );
        assert!(
            says(r#"{"code":{"memorySize":"x"}}"#)
                .contains("valid: field 'code.memorySize': invalid")
        );
        let text = says(r#"{"code":{"memorySize":-1}}"#);
        assert!(text.contains("expected a whole number in its range at line"), "{text}");
        let text = says(r#"{"code":5}"#);
        assert!(text.contains("field 'code'") && text.contains("expected an object"), "{text}");
        assert!(!text.contains("Inner"), "{text}");
        for bad in ["", "[{}]", "null", "5"] {
            assert_eq!(says(bad), "the request body must be a JSON object");
        }
        assert!(says(r#"{"code":{"memorySize":5}} x"#).contains("trailing characters"));
        assert!(says("{").starts_with("the request body is not valid: EOF"));
    }
}
