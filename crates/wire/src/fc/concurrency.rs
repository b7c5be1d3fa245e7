//! Concurrency configurations (§1.15).

use serde::{Deserialize, Serialize};

/// Body of `PutConcurrencyConfig`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "upstream's names")]
pub struct ConcurrencyInput {
    pub reserved_concurrency: Option<u32>,
}

/// `ConcurrencyConfig`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "upstream's names")]
pub struct ConcurrencyConfig {
    pub function_arn: String,
    pub reserved_concurrency: u32,
}

/// Answer of `ListConcurrencyConfigs`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "upstream's names")]
pub struct ConcurrencyList {
    pub configs: Vec<ConcurrencyConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}
