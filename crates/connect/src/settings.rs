//! Reading what a user wrote: JSON into a bounded type, or a refusal that names the field.

use serde::de::DeserializeOwned;
use thiserror::Error;

/// The largest configuration in bytes.
pub const CONFIG_BYTES_MAX: usize = 64 << 10;

/// Why settings are refused.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum ConfigError {
    /// It does not read.
    #[error("{0}")]
    Malformed(String),
    /// A field has a value that cannot be.
    #[error("{field}: {why}")]
    Field {
        /// Its path, such as `batch.count`.
        field: String,
        /// What would be right.
        why: String,
    },
    /// There is no such kind.
    #[error("there is no trigger type {word:?}; there are: {known}")]
    UnknownKind {
        /// What was asked for.
        word: String,
        /// What there is.
        known: String,
    },
    /// The kind is known and this server has nothing to take its events from.
    #[error("{0}")]
    NoSource(String),
}

impl ConfigError {
    /// A field has a value that cannot be.
    pub fn field(field: impl Into<String>, why: impl Into<String>) -> Self {
        Self::Field { field: field.into(), why: why.into() }
    }
}

/// Reads JSON text into a kind's settings.
///
/// # Errors
/// With the path of the field that is wrong.
pub fn read<T: DeserializeOwned>(text: &str) -> Result<T, ConfigError> {
    if text.len() > CONFIG_BYTES_MAX {
        let message = format!("the configuration has at most {CONFIG_BYTES_MAX} bytes");
        return Err(ConfigError::Malformed(message));
    }
    let text = if text.trim().is_empty() { "{}" } else { text };
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let why = plain(&error.inner().to_string());
        if path == "." { ConfigError::Malformed(why) } else { ConfigError::field(path, why) }
    })?;
    reader.end().map_err(|error| ConfigError::Malformed(error.to_string()))?;
    Ok(value)
}

/// Where in the text something is says nothing once it was an object; its path does.
fn plain(message: &str) -> String {
    message.split_once(" at line ").map_or(message, |(what, _)| what).to_owned()
}

/// That a number is within its bounds.
///
/// # Errors
/// With the bounds.
pub fn within(field: &str, value: u64, (least, most): (u64, u64)) -> Result<(), ConfigError> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(ConfigError::field(field, format!("must be from {least} to {most}, not {value}")))
}

/// That a text is there and not too long.
///
/// # Errors
/// With its bounds.
pub fn text(field: &str, value: &str, chars_max: usize) -> Result<(), ConfigError> {
    let chars = value.chars().count();
    if (1..=chars_max).contains(&chars) && !value.chars().any(char::is_control) {
        return Ok(());
    }
    let why = format!("must have 1 to {chars_max} characters and no control characters");
    Err(ConfigError::field(field, why))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Deserialize, Debug)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Outer {
        #[serde(default)]
        inner: Option<Inner>,
    }

    #[derive(Deserialize, Debug)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Inner {
        #[expect(dead_code, reason = "only its reading is tested")]
        batch_size: u32,
    }

    #[test]
    fn a_bad_field_is_named_by_its_path() {
        let why = |text: &str| read::<Outer>(text).unwrap_err().to_string();
        assert_eq!(
            why(r#"{"inner":{"batchSize":"x"}}"#),
            r#"inner.batchSize: invalid type: string "x", expected u32"#
        );
        assert!(why(r#"{"inner":{"size":1}}"#).contains("unknown field `size`"));
        assert!(why("{} {}").contains("trailing"));
        assert!(why("[").contains("EOF") || why("[").contains("invalid"));
        assert!(read::<Outer>("").unwrap().inner.is_none(), "nothing said is an empty object");
        let long = format!("{{\"inner\":null}}{}", " ".repeat(CONFIG_BYTES_MAX));
        assert!(why(&long).contains("at most"));
    }
}
