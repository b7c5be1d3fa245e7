//! Aliases and canaries (§1.10).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// `CreateAliasInput` and `UpdateAliasInput`: in an update, absent is unchanged.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "upstream's names")]
pub struct AliasInput {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alias_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub additional_version_weight: Option<BTreeMap<String, f64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// `Alias`.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "upstream's names")]
pub struct Alias {
    pub alias_name: String,
    pub version_id: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub additional_version_weight: BTreeMap<String, f64>,
    pub description: String,
    pub created_time: String,
    pub last_modified_time: String,
}

/// Answer of `ListAliases`.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "upstream's names")]
pub struct AliasList {
    pub aliases: Vec<Alias>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}
