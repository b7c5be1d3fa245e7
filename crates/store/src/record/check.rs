//! Reads any stored form and says which blobs it names: what verifying a book needs.

use stint_model::payload::Payload;
use stint_model::task::Task;

use super::{
    Kind, access_key, account, alias, async_config, audit, flow, function, layer, scaling, version,
};
use crate::store::StoreError;

/// The blobs a control record names.
///
/// # Errors
/// `Corrupt` when the bytes make no record of this kind.
pub fn record_blobs(kind: Kind, body: &[u8]) -> Result<Vec<String>, StoreError> {
    match kind {
        Kind::Account => account::decode(body).map(|_| Vec::new()),
        Kind::AccessKey => access_key::decode(body).map(|_| Vec::new()),
        Kind::Alias => alias::decode(body).map(|_| Vec::new()),
        Kind::AsyncConfig => async_config::decode(body).map(|_| Vec::new()),
        Kind::Scaling => scaling::decode(body).map(|_| Vec::new()),
        Kind::Audit => audit::decode(body).map(|_| Vec::new()),
        Kind::Function => {
            let function = function::decode(body)?;
            Ok(function.head.code.iter().map(|code| code.blob.clone()).collect())
        }
        Kind::Version => {
            let version = version::decode(body)?;
            Ok(version.revision.code.iter().map(|code| code.blob.clone()).collect())
        }
        Kind::Layer => match layer::decode(body)? {
            layer::LayerRecord::Version(version) => Ok(vec![version.code.blob.clone()]),
            layer::LayerRecord::Counter { newest: _, public: _ } => Ok(Vec::new()),
        },
        Kind::Flow => flow::decode(body).map(|_| Vec::new()),
        Kind::FlowDefinition => flow::decode_definition(body).map(|_| Vec::new()),
        Kind::FlowVersion => flow::decode_version(body).map(|_| Vec::new()),
        Kind::FlowAlias => flow::decode_alias(body).map(|_| Vec::new()),
        Kind::FlowSchedule => flow::decode_schedule(body).map(|_| Vec::new()),
        Kind::Activity => flow::decode_activity(body).map(|_| Vec::new()),
        // Their owners read them; to the book they are bytes.
        Kind::ShardState | Kind::Secret | Kind::Setting | Kind::MapRun => Ok(Vec::new()),
    }
}

/// The blobs a task names.
pub fn task_blobs(task: &Task) -> Vec<String> {
    let payloads = [&task.order().payload, task.result()];
    let name = |payload: &Payload| match payload {
        Payload::Inline(_) => None,
        Payload::Blob { name, .. } => Some(name.clone()),
    };
    payloads.into_iter().filter_map(name).collect()
}
