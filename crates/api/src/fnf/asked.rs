//! One request as handlers see it: who, which operation, and its parameters by name, as the SDKs
//! write them (booleans in any case, numbers and JSON as texts).

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use stint_engine::Engine;
use stint_engine::flows::FlowListing;
use stint_model::access::Caller;
use stint_supervise::Stop;
use stint_wire::fnf::operation::Operation;
use stint_wire::fnf::{Environment, Variable};
use tokio::sync::OwnedSemaphorePermit;

use crate::answer::{self, Answer};
use crate::dispatch::Door;
use crate::error::Problem;

/// See the module comment.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) params: BTreeMap<String, String>,
    pub(super) operation: &'static Operation,
    pub(super) caller: Caller,
    pub(super) request_id: Arc<str>,
    /// Scheme and authority under which the client reached us.
    pub(super) origin: String,
    pub(super) door: Arc<Door>,
    pub(super) stop: Stop,
    /// Held while the request is served.
    pub(super) _room: Option<OwnedSemaphorePermit>,
}

impl Asked {
    pub(super) fn engine(&self) -> &Engine {
        &self.door.engine
    }

    /// A parameter, if it is there and not empty.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.params.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// A parameter that may be there and be empty: a description that is taken away.
    pub(super) fn said(&self, name: &str) -> Option<String> {
        self.params.get(name).cloned()
    }

    /// A parameter that the operation's table says is there.
    pub(super) fn need(&self, name: &str) -> &str {
        self.get(name).unwrap_or_default()
    }

    /// One of a type that is read from text.
    pub(super) fn read<T: FromStr>(&self, name: &str) -> Result<Option<T>, Problem> {
        let Some(text) = self.get(name) else { return Ok(None) };
        text.trim().parse().map(Some).map_err(|_| invalid(name, text))
    }

    /// `True`, `true`, `False`, `false`.
    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>, Problem> {
        match self.get(name) {
            None => Ok(None),
            Some(text) if text.eq_ignore_ascii_case("true") => Ok(Some(true)),
            Some(text) if text.eq_ignore_ascii_case("false") => Ok(Some(false)),
            Some(text) => Err(invalid(name, text)),
        }
    }

    /// A number within bounds.
    pub(super) fn within(&self, name: &str, least: u32, most: u32) -> Result<Option<u32>, Problem> {
        let number: Option<u32> = self.read(name)?;
        match number.filter(|number| !(least..=most).contains(number)) {
            Some(number) => {
                let message = format!("parameter {name} is {least} to {most}, not {number}");
                Err(Problem::invalid(message))
            }
            None => Ok(number),
        }
    }

    /// A text of so many characters.
    pub(super) fn bounded(&self, name: &str, most: usize) -> Result<Option<String>, Problem> {
        let text = self.get(name);
        match text.map(|text| text.chars().count()).filter(|count| *count > most) {
            Some(count) => {
                let message = format!("parameter {name} has 1 to {most} characters, not {count}");
                Err(Problem::invalid(message))
            }
            None => Ok(text.map(str::to_owned)),
        }
    }

    /// JSON in a text.
    pub(super) fn json<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, Problem> {
        let Some(text) = self.get(name) else { return Ok(None) };
        serde_json::from_str(text)
            .map(Some)
            .map_err(|error| Problem::invalid(format!("parameter {name} is not valid: {error}")))
    }

    /// `Environment={"Variables":[{"Name":"A","Value":"b"}]}`, each name once.
    pub(super) fn environment(&self) -> Result<Option<BTreeMap<String, String>>, Problem> {
        let Some(environment) = self.json::<Environment>("Environment")? else { return Ok(None) };
        let mut variables = BTreeMap::new();
        for Variable { name, value } in environment.variables {
            if variables.insert(name.clone(), value).is_some() {
                let message = format!("parameter Environment names the variable {name} twice");
                return Err(Problem::invalid(message));
            }
        }
        Ok(Some(variables))
    }

    /// The page that a listing asks for.
    pub(super) fn listing(&self, most: u32) -> Result<FlowListing, Problem> {
        let limit = self.within("Limit", 1, most)?;
        let token = self.get("NextToken").map(str::to_owned);
        Ok(FlowListing { prefix: String::new(), limit, token })
    }

    /// An answer: the request's id stands beside what was asked for.
    #[expect(clippy::unnecessary_wraps, reason = "handlers end with it")]
    pub(super) fn ok<T: Serialize>(&self, body: T) -> Result<Answer, Problem> {
        let request_id = self.request_id.to_string();
        let answer = stint_wire::fnf::Answer { body, request_id };
        Ok(answer::json(http::StatusCode::OK, &answer))
    }
}

/// An environment as answers show it; none for an empty one.
pub(super) fn shown(environment: &BTreeMap<String, String>) -> Option<Environment> {
    if environment.is_empty() {
        return None;
    }
    let variable =
        |(name, value): (&String, &String)| Variable { name: name.clone(), value: value.clone() };
    Some(Environment { variables: environment.iter().map(variable).collect() })
}

fn invalid(name: &str, text: &str) -> Problem {
    let shown: String = text.chars().take(100).collect();
    Problem::invalid(format!("parameter {name} is not valid: {shown:?}"))
}
