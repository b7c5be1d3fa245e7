//! Configuration in two stages: what was said ([`raw`]: defaults < file < environment < flags, each
//! value with its origin, unknown keys refused) and what it means ([`resolved`]). The table in
//! [`setting`] is the only list of settings; the reference page is written from it.

pub(crate) mod environment;
pub(crate) mod machine;
pub(crate) mod raw;
pub(crate) mod reference;
pub(crate) mod resolved;
pub(crate) mod setting;
pub(crate) mod unit;

#[cfg(test)]
mod tests;

use std::path::PathBuf;

use thiserror::Error;

pub(crate) use raw::{Origin, Raw};
pub(crate) use resolved::Config;

/// What is wrong with the configuration, and where.
#[derive(Debug, Error)]
pub(crate) enum ConfigError {
    #[error("cannot read {path}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path} is not valid TOML")]
    Syntax { path: PathBuf, source: Box<toml::de::Error> },
    #[error("{origin} sets `{key}`, which is no setting{hint}; `stint config show` lists them all")]
    Unknown { origin: Origin, key: String, hint: String },
    #[error("{origin} sets `{key}` to {value}: {reason}")]
    Value { origin: Origin, key: String, value: String, reason: String },
    #[error("{0}")]
    Together(String),
}
