//! Resource names as upstream writes them (§1.1).

use stint_model::function::LATEST;
use stint_model::id::AccountId;

/// `acs:fc:{region}:{account}:functions/{name}`, with `/{qualifier}` unless it is `LATEST`.
pub(crate) fn function(region: &str, account: AccountId, name: &str, qualifier: &str) -> String {
    if qualifier.is_empty() || qualifier == LATEST {
        format!("acs:fc:{region}:{account}:functions/{name}")
    } else {
        format!("acs:fc:{region}:{account}:functions/{name}/{qualifier}")
    }
}

/// `acs:fc:{region}:{account}:layers/{layer}/versions/{n}`.
pub(crate) fn layer(region: &str, account: AccountId, layer: &str, version: u64) -> String {
    format!("acs:fc:{region}:{account}:layers/{layer}/versions/{version}")
}
