//! Versions (§1.9).

use serde::{Deserialize, Serialize};

/// Body of `PublishFunctionVersion`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "upstream's names")]
pub struct PublishVersionInput {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// `Version`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "upstream's names")]
pub struct Version {
    pub version_id: String,
    pub description: String,
    pub created_time: String,
    pub last_modified_time: String,
}

/// Answer of `ListFunctionVersions`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "upstream's names")]
pub struct VersionList {
    pub versions: Vec<Version>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
    pub direction: String,
}
