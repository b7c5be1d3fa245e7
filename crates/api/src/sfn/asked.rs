//! One request as handlers see it: who, which operation, and its input by name.

use std::sync::Arc;

use serde_json::{Map, Value};
use stint_engine::Engine;
use stint_engine::flows::FlowListing;
use stint_model::access::Caller;
use stint_model::time::Timestamp;
use stint_supervise::Stop;
use stint_wire::sfn::operation::Operation;
use tokio::sync::OwnedSemaphorePermit;

use super::arn::Arns;
use super::refused::Refused;
use crate::dispatch::Door;

/// See the module comment.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) input: Map<String, Value>,
    pub(super) operation: &'static Operation,
    pub(super) caller: Caller,
    pub(super) door: Arc<Door>,
    #[expect(dead_code, reason = "for the log of a failure")]
    pub(super) request_id: Arc<str>,
    pub(super) stop: Stop,
    /// Held while the request is served.
    pub(super) _room: Option<OwnedSemaphorePermit>,
}

impl Asked {
    pub(super) fn engine(&self) -> &Engine {
        &self.door.engine
    }

    pub(super) fn arns(&self) -> Arns<'_> {
        Arns { region: &self.door.engine.config().region, account: self.caller.account }
    }

    fn value(&self, name: &str) -> Option<&Value> {
        self.input.get(name).filter(|value| !value.is_null())
    }

    /// A text, if it is there.
    pub(super) fn text(&self, name: &str) -> Result<Option<&str>, Refused> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(wrong(name, "a string")),
        }
    }

    /// A text that must be there.
    pub(super) fn need(&self, name: &str) -> Result<&str, Refused> {
        self.text(name)?.ok_or_else(|| {
            let message = format!(
                "1 validation error detected: Value at '{name}' failed to satisfy constraint: \
                 Member must not be null"
            );
            Refused::invalid(message)
        })
    }

    /// A text of at most so many characters.
    pub(super) fn bounded(&self, name: &str, most: usize) -> Result<Option<String>, Refused> {
        let text = self.text(name)?;
        match text.filter(|text| text.chars().count() > most) {
            Some(_) => {
                let message = format!(
                    "1 validation error detected: Value at '{name}' failed to satisfy constraint: \
                     Member must have length less than or equal to {most}"
                );
                Err(Refused::invalid(message))
            }
            None => Ok(text.map(str::to_owned)),
        }
    }

    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>, Refused> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(_) => Err(wrong(name, "a boolean")),
        }
    }

    /// A whole number that is not negative.
    pub(super) fn whole(&self, name: &str) -> Result<Option<u64>, Refused> {
        match self.value(name) {
            None => Ok(None),
            Some(value) => value.as_u64().map(Some).ok_or_else(|| wrong(name, "a whole number")),
        }
    }

    pub(super) fn number(&self, name: &str) -> Result<Option<f64>, Refused> {
        match self.value(name) {
            None => Ok(None),
            Some(value) => value.as_f64().map(Some).ok_or_else(|| wrong(name, "a number")),
        }
    }

    pub(super) fn list(&self, name: &str) -> Result<Option<&[Value]>, Refused> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::Array(list)) => Ok(Some(list)),
            Some(_) => Err(wrong(name, "a list")),
        }
    }

    /// `maxResults` within bounds; 0 is the default, as upstream.
    pub(super) fn max_results(&self) -> Result<Option<u32>, Refused> {
        let limit = self.whole("maxResults")?.filter(|limit| *limit > 0);
        match limit.map(u32::try_from) {
            None => Ok(None),
            Some(Ok(limit)) if limit <= 1_000 => Ok(Some(limit)),
            Some(_) => Err(Refused::invalid("maxResults is 0 to 1000")),
        }
    }

    /// The page that a listing asks for.
    pub(super) fn listing(&self) -> Result<FlowListing, Refused> {
        let token = self.text("nextToken")?.map(str::to_owned);
        Ok(FlowListing {
            prefix: String::new(),
            limit: Some(self.max_results()?.unwrap_or(100)),
            token,
        })
    }
}

fn wrong(name: &str, what: &str) -> Refused {
    Refused::new("SerializationException", format!("'{name}' must be {what}"))
}

/// A moment as this API writes it: seconds since the epoch, with fractions.
pub(super) fn seconds(at: Timestamp) -> Value {
    #[expect(
        clippy::cast_precision_loss,
        reason = "milliseconds of our centuries are far below 2^53"
    )]
    let millis = at.millis() as f64;
    if at == Timestamp::ZERO { Value::Null } else { Value::from(millis / 1e3) }
}

/// An object without what is not there: clients take `null` for a value.
pub(super) fn object(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            Value::Object(fields.into_iter().filter(|(_, value)| !value.is_null()).collect())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn times_are_seconds_and_nothing_is_null() {
        assert_eq!(seconds(Timestamp::from_millis(1_500)), json!(1.5));
        assert_eq!(seconds(Timestamp::ZERO), Value::Null);
        assert_eq!(object(json!({"a": 1, "b": null})), json!({"a": 1}));
    }
}
