//! Tags and resource groups (§1.22): upper-case names.

use serde::{Deserialize, Serialize};

use super::function::Tag;

/// Body of `TagResources`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[expect(missing_docs, reason = "upstream's names")]
pub struct TagResourcesInput {
    pub resource_type: String,
    pub resource_id: Vec<String>,
    pub tag: Vec<Tag>,
}

/// Answer of `ListTagResources`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[expect(missing_docs, reason = "upstream's names")]
pub struct TagResourceList {
    pub tag_resources: Vec<TagResource>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
    pub request_id: String,
}

/// One tag of one resource.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[expect(missing_docs, reason = "upstream's names")]
pub struct TagResource {
    pub resource_id: String,
    pub resource_type: String,
    pub tag_key: String,
    pub tag_value: String,
}

/// Body of `ChangeResourceGroup`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[expect(missing_docs, reason = "upstream's names")]
pub struct ResourceGroupInput {
    pub resource_type: String,
    pub resource_id: String,
    pub new_resource_group_id: String,
}

/// Answer of `ChangeResourceGroup`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[expect(missing_docs, reason = "upstream's names")]
pub struct ResourceGroupChanged {
    pub resource_id: String,
    pub old_resource_group_id: String,
    pub new_resource_group_id: String,
}
