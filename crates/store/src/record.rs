//! What the book holds: control records under a [`Key`], and task rows. The stored forms of the
//! nouns are in the modules below: one tagged enum of versions each, converted through checks.

pub mod access_key;
pub mod account;
pub mod alias;
pub mod async_config;
pub mod audit;
pub mod check;
pub mod execution;
pub mod flow;
pub mod function;
mod json;
pub mod layer;
mod limit;
mod revision;
pub mod scaling;
pub mod version;

use bytes::Bytes;
use stint_model::shard::Shard;

pub mod task;

/// The closed set of control records. The number is stored; never reuse one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Kind {
    /// An account: `{account}`.
    Account = 1,
    /// An access key: `{key id}`.
    AccessKey = 2,
    /// A function and its head: `{account}/{function}`.
    Function = 3,
    /// A published version: `{account}/{function}/{number, 12 digits}`.
    Version = 4,
    /// An alias: `{account}/{function}/{alias}`.
    Alias = 5,
    /// An async invoke configuration: `{account}/{function}/{qualifier}`.
    AsyncConfig = 6,
    /// A layer version, or (number 0) the layer's counter: `{account}/{layer}/{number, 12 digits}`.
    Layer = 7,
    /// What the owner of a shard must remember: `{shard, 4 digits}`.
    ShardState = 8,
    /// An audit entry: `{account}/{what is left of time in µs, 16 digits}-{distinct}`, newest first.
    Audit = 9,
    /// A secret sealed under the master key: `{name}`.
    Secret = 10,
    /// A setting of the whole installation: `{name}`.
    Setting = 11,
    /// A provision or scaling configuration: `{account}/{function}/{qualifier}`.
    Scaling = 12,
    /// A flow and its head: `{account}/{flow}`.
    Flow = 13,
    /// A definition of a flow, which never changes: `{flow id}/{revision, 12 digits}`.
    FlowDefinition = 14,
    /// A published version of a flow: `{account}/{flow}/{number, 12 digits}`.
    FlowVersion = 15,
    /// An alias of a flow: `{account}/{flow}/{alias}`.
    FlowAlias = 16,
    /// A schedule of a flow: `{account}/{flow}/{schedule}`.
    FlowSchedule = 17,
    /// An activity: `{account}/{activity}`.
    Activity = 18,
    /// A distributed map of an execution: `{execution}/{event, 12 digits}.{attempt}`.
    MapRun = 19,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 19] = [
        Self::Account,
        Self::AccessKey,
        Self::Function,
        Self::Version,
        Self::Alias,
        Self::AsyncConfig,
        Self::Layer,
        Self::ShardState,
        Self::Audit,
        Self::Secret,
        Self::Setting,
        Self::Scaling,
        Self::Flow,
        Self::FlowDefinition,
        Self::FlowVersion,
        Self::FlowAlias,
        Self::FlowSchedule,
        Self::Activity,
        Self::MapRun,
    ];

    /// The stored number.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// From the stored number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.number() == number)
    }
}

/// A control record's key. `name` sorts bytewise; listing is by prefix.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Key {
    /// Which kind.
    pub kind: Kind,
    /// As the kind says.
    pub name: String,
}

impl Key {
    /// A key.
    pub fn new(kind: Kind, name: impl Into<String>) -> Self {
        Self { kind, name: name.into() }
    }
}

/// A control record as it is stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// Its key.
    pub key: Key,
    /// The shard whose owner may write it.
    pub shard: Shard,
    /// 1 after the first write; one more with each.
    pub version: u64,
    /// A stored form.
    pub body: Bytes,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_found_by_its_number() {
        for kind in Kind::ALL {
            assert_eq!(Kind::from_number(kind.number()), Some(kind));
        }
        assert_eq!(Kind::from_number(0), None);
    }
}
