//! Layers (§1.12).

use serde::{Deserialize, Serialize};

use super::function::CodeLocation;

/// Body of `CreateLayerVersion`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "upstream's names")]
pub struct LayerInput {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<CodeLocation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compatible_runtime: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
}

/// `Layer`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "upstream's names")]
pub struct Layer {
    pub layer_name: String,
    pub version: u64,
    pub layer_version_arn: String,
    pub description: String,
    pub compatible_runtime: Vec<String>,
    pub code: LayerCode,
    pub code_size: u64,
    pub code_checksum: String,
    pub create_time: String,
    pub license: String,
    pub acl: String,
}

/// Where a layer's zip can be fetched.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "upstream's names")]
pub struct LayerCode {
    pub location: String,
    pub repository_type: String,
}

/// Answer of `ListLayerVersions`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "upstream's names")]
pub struct LayerVersionList {
    pub layers: Vec<Layer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_version: Option<u64>,
}

/// Answer of `ListLayers`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "upstream's names")]
pub struct LayerList {
    pub layers: Vec<Layer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}
