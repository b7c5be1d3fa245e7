//! Regions: there is one.

use serde::{Deserialize, Serialize};

/// Answer of `DescribeRegions`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[expect(missing_docs, reason = "upstream's names")]
pub struct RegionsAnswer {
    pub regions: Regions,
    pub request_id: String,
}

/// The list inside it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[expect(missing_docs, reason = "upstream's names")]
pub struct Regions {
    pub region: Vec<Region>,
}

/// One region.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[expect(missing_docs, reason = "upstream's names")]
pub struct Region {
    pub region_id: String,
    pub local_name: String,
}
