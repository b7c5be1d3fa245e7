//! The stored forms of a layer version, and of the counter that keeps a layer's version numbers
//! from being used twice (it lies at number zero).

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use stint_model::function::LayerVersion;
use stint_model::id::AccountId;

use super::json::{at, read, write};
use super::revision::CodeForm;
use super::{Key, Kind};
use crate::store::StoreError;

/// Where a layer version's record lies; number zero is the layer's counter.
pub fn key(account: AccountId, layer: &str, number: u64) -> Key {
    Key::new(Kind::Layer, format!("{account}/{layer}/{number:012}"))
}

/// A layer's record: a version, or the counter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LayerRecord {
    /// The newest number given, and whether the layer is public.
    Counter {
        /// The newest number given.
        newest: u64,
        /// What new versions start as.
        public: bool,
    },
    /// A version.
    Version(Arc<LayerVersion>),
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "form")]
enum Stored {
    #[serde(rename = "counter-1")]
    Counter { newest: u64, public: bool },
    #[serde(rename = "1")]
    V1(Form),
}

#[derive(Serialize, Deserialize)]
struct Form {
    account: u64,
    layer: String,
    version: u64,
    code: CodeForm,
    #[serde(default)]
    compatible_runtimes: Vec<String>,
    description: String,
    license: String,
    public: bool,
    created_us: i64,
}

/// A layer's record as bytes.
pub fn encode(record: &LayerRecord) -> Bytes {
    write(&match record {
        LayerRecord::Counter { newest, public } => {
            Stored::Counter { newest: *newest, public: *public }
        }
        LayerRecord::Version(layer) => Stored::V1(Form {
            account: layer.account.number(),
            layer: layer.layer.clone(),
            version: layer.version,
            code: (&layer.code).into(),
            compatible_runtimes: layer.compatible_runtimes.clone(),
            description: layer.description.clone(),
            license: layer.license.clone(),
            public: layer.public,
            created_us: layer.created_at.micros(),
        }),
    })
}

/// Bytes as a layer's record.
pub fn decode(body: &[u8]) -> Result<LayerRecord, StoreError> {
    Ok(match read("layer", body)? {
        Stored::Counter { newest, public } => LayerRecord::Counter { newest, public },
        Stored::V1(form) => LayerRecord::Version(Arc::new(LayerVersion {
            account: AccountId::new(form.account),
            layer: form.layer,
            version: form.version,
            code: form.code.try_into()?,
            compatible_runtimes: form.compatible_runtimes,
            description: form.description,
            license: form.license,
            public: form.public,
            created_at: at(form.created_us),
        })),
    })
}
