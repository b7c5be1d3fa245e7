//! Message topics (§6.6) as far as their configuration goes. Where the messages come from is the message
//! service's.

use serde::Deserialize;

use crate::settings::{self, ConfigError};

/// A topic trigger's settings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Only messages with this tag; empty for all.
    pub filter_tag: String,
    /// Whether the function is given the whole message, or its body.
    pub is_json: bool,
    /// Whether a delivery is tried for a day, or three times.
    pub is_patient: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Said {
    #[serde(default)]
    filter_tag: String,
    #[serde(default)]
    notify_content_format: String,
    #[serde(default)]
    notify_strategy: String,
}

impl Settings {
    /// Reads and checks.
    ///
    /// # Errors
    /// With the field that is wrong.
    pub fn read(text: &str) -> Result<Self, ConfigError> {
        let said: Said = settings::read(text)?;
        if said.filter_tag.chars().count() > 16 {
            return Err(ConfigError::field("filterTag", "has at most 16 characters"));
        }
        let is_json = match said.notify_content_format.as_str() {
            "" | "STREAM" => false,
            "JSON" => true,
            other => {
                let why = format!("is STREAM or JSON, not {other:?}");
                return Err(ConfigError::field("notifyContentFormat", why));
            }
        };
        let is_patient = match said.notify_strategy.as_str() {
            "" | "BACKOFF_RETRY" => false,
            "EXPONENTIAL_DECAY_RETRY" => true,
            other => {
                let why = format!("is BACKOFF_RETRY or EXPONENTIAL_DECAY_RETRY, not {other:?}");
                return Err(ConfigError::field("notifyStrategy", why));
            }
        };
        Ok(Self { filter_tag: said.filter_tag, is_json, is_patient })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_is_upstreams_default() {
        let settings = Settings::read("{}").unwrap();
        assert_eq!((settings.is_json, settings.is_patient), (false, false));
        assert!(Settings::read(r#"{"notifyContentFormat":"XML"}"#).is_err());
        assert!(Settings::read(r#"{"filterTag":"12345678901234567"}"#).is_err());
    }
}
