//! What went wrong in a step, as a value. The names of errors are the dialect's; which of them can be
//! retried or caught is decided here and nowhere else.

use serde::{Deserialize, Serialize};

use crate::path::Miss;
use crate::plan::{CatchRule, Dialect, Language, RetryRule};
use crate::prelude::*;
use crate::template::{Lapse, Why};
use crate::value;

const ERROR_BYTES_MAX: usize = 256;
const CAUSE_BYTES_MAX: usize = 32 * 1024;

/// An error with its cause, as users see them; both may be absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Name that retry and catch rules match.
    pub error: Option<String>,
    /// Text for people.
    pub cause: Option<String>,
    /// Neither retried nor caught.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub(crate) is_fatal: bool,
}

impl Fault {
    pub(crate) fn new(error: impl Into<String>, cause: impl Into<String>) -> Self {
        Self { error: Some(error.into()), cause: Some(cause.into()), is_fatal: false }
    }

    fn fatal(error: &str, cause: impl Into<String>) -> Self {
        Self { is_fatal: true, ..Self::new(error, cause) }
    }

    /// An error that came from outside: its texts are cut to what upstream takes.
    pub fn reported(error: Option<String>, cause: Option<String>) -> Self {
        let error = error.map(|error| value::cut(error, ERROR_BYTES_MAX));
        let cause = cause.map(|cause| value::cut(cause, CAUSE_BYTES_MAX));
        Self { error, cause, is_fatal: false }
    }

    /// A value that a state cannot work with.
    pub(crate) fn unusable(language: Language, cause: impl Into<String>) -> Self {
        match language {
            Language::JsonPath => Self::fatal("States.Runtime", cause),
            Language::Jsonata => Self::new("States.QueryEvaluationError", cause),
            Language::Cloud | Language::Fdl => Self::new("FnF.RuntimeError", cause),
        }
    }

    /// An expression without a value.
    pub(crate) fn lapse(language: Language, lapse: &Lapse) -> Self {
        let Lapse { field, expression, why } = lapse;
        match (language, why) {
            (Language::JsonPath, Why::Miss(Miss::Wrong(said))) => {
                Self::new("States.IntrinsicFailure", format!("{said} (field '{field}')"))
            }
            (Language::JsonPath, Why::Miss(Miss::Nothing(said))) => Self::fatal(
                "States.Runtime",
                format!(
                    "The JSONPath '{expression}' specified for the field '{field}' could not be found in the input: {said}"
                ),
            ),
            (_, Why::Jsonata(said)) => Self::new(
                "States.QueryEvaluationError",
                format!(
                    "The JSONata expression '{expression}' specified for the field '{field}' {said}"
                ),
            ),
            (language, Why::Miss(miss)) => Self::unusable(
                language,
                format!("'{expression}' (field '{field}'): {}", miss.text()),
            ),
        }
    }

    /// A task that took too long.
    pub(crate) fn timeout(dialect: Dialect) -> Self {
        match dialect {
            Dialect::StatesLanguage => Self::new("States.Timeout", ""),
            Dialect::Fdl | Dialect::CloudFlow => {
                Self::new("FnF.TaskTimeout", "the task took too long")
            }
        }
    }

    /// A task that stopped to report.
    pub(crate) fn heartbeat() -> Self {
        Self::new("States.HeartbeatTimeout", "")
    }

    /// A result of a task above the limit can be handled; an input or output cannot.
    pub(crate) fn too_large(dialect: Dialect, what: &str, limit: usize) -> Self {
        let cause = format!("The {what} has more than {limit} bytes as JSON");
        let error = match dialect {
            Dialect::StatesLanguage => "States.DataLimitExceeded",
            Dialect::Fdl | Dialect::CloudFlow => "FnF.InvalidLocal",
        };
        if what == "task result" { Self::new(error, cause) } else { Self::fatal(error, cause) }
    }

    /// A value that must be an object and is none.
    pub(crate) fn too_deep(dialect: Dialect, what: &str, limit: usize) -> Self {
        let fault = Self::too_large(dialect, what, limit);
        let cause =
            format!("The {what} has objects or arrays more than {limit} deep in each other");
        Self { cause: Some(cause), ..fault }
    }

    pub(crate) fn no_object(what: &str, value: &Value) -> Self {
        let cause = format!("the {what} must be a JSON object, not a {}", value::kind(value));
        Self::new("FnF.InvalidLocal", cause)
    }

    pub(crate) fn no_choice() -> Self {
        Self::new("States.NoChoiceMatched", "No choice rule matched and there is no default")
    }

    pub(crate) fn result_path(path: &str) -> Self {
        let cause = format!("Unable to apply the path '{path}' to the input of the state");
        Self::new("States.ResultPathMatchFailure", cause)
    }

    /// The execution has used up something that bounds it.
    pub(crate) fn exhausted(dialect: Dialect, cause: impl Into<String>) -> Self {
        match dialect {
            Dialect::StatesLanguage => Self::fatal("States.Runtime", cause),
            Dialect::Fdl | Dialect::CloudFlow => Self::fatal("FnF.RuntimeError", cause),
        }
    }

    /// What a catcher of States Language hands on.
    pub(crate) fn output(&self) -> Value {
        let text = |text: &Option<String>| text.clone().map_or(Value::Null, Value::String);
        let mut map = Map::new();
        map.insert("Error".to_owned(), text(&self.error));
        map.insert("Cause".to_owned(), text(&self.cause));
        Value::Object(map)
    }

    /// Whether a rule that lists `names` applies.
    fn is_listed(&self, dialect: Dialect, names: &[String]) -> bool {
        if self.is_fatal {
            return false;
        }
        let error = self.error.as_deref().unwrap_or_default();
        let is_timeout = matches!(error, "States.Timeout" | "States.HeartbeatTimeout");
        let applies = |name: &str| match dialect {
            Dialect::StatesLanguage => match name {
                "States.ALL" => true,
                "States.TaskFailed" => !is_timeout,
                "States.Timeout" => is_timeout,
                name => name == error,
            },
            Dialect::Fdl | Dialect::CloudFlow => name == "FnF.ALL" || name == error,
        };
        names.iter().any(|name| applies(name))
    }

    pub(crate) fn retry_rule(&self, dialect: Dialect, rules: &[RetryRule]) -> Option<usize> {
        rules.iter().position(|rule| self.is_listed(dialect, &rule.errors))
    }

    pub(crate) fn catch_rule(&self, dialect: Dialect, rules: &[CatchRule]) -> Option<usize> {
        rules.iter().position(|rule| self.is_listed(dialect, &rule.errors))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(error: &str, names: &[&str]) -> bool {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        Fault::new(error, "").is_listed(Dialect::StatesLanguage, &names)
    }

    #[test]
    fn wildcards_match_what_they_say() {
        assert!(listed("Mine", &["States.ALL"]));
        assert!(listed("Mine", &["States.TaskFailed"]));
        assert!(!listed("States.Timeout", &["States.TaskFailed"]));
        assert!(listed("States.HeartbeatTimeout", &["States.Timeout"]));
        assert!(!listed("States.Timeout", &["States.HeartbeatTimeout"]));
        assert!(!listed("Mine", &["Other", "mine"]));
        let fatal = Fault::fatal("States.Runtime", "");
        let names = ["States.ALL".to_owned(), "States.Runtime".to_owned()];
        assert!(!fatal.is_listed(Dialect::StatesLanguage, &names));
        assert!(Fault::new("X", "").is_listed(Dialect::Fdl, &["FnF.ALL".to_owned()]));
        assert!(!Fault::new("X", "").is_listed(Dialect::Fdl, &["States.ALL".to_owned()]));
    }
}
