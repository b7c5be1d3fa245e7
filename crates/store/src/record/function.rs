//! The stored form of a function and its head.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use stint_model::function::{Disabled, Function, FunctionLimits, HeadUpdate, Readiness};
use stint_model::id::{AccountId, FunctionId};
use stint_model::image::{ImageFault, ImageFaultKind};

use super::json::{at, corrupt, read, write};
use super::limit::RateForm;
use super::revision::RevisionForm;
use super::{Key, Kind};
use crate::store::StoreError;

/// Where a function's record lies.
pub fn key(account: AccountId, name: &str) -> Key {
    Key::new(Kind::Function, format!("{account}/{name}"))
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "form")]
enum Stored {
    #[serde(rename = "1")]
    V1(Form),
}

#[derive(Serialize, Deserialize)]
struct Form {
    id: u64,
    account: u64,
    name: String,
    head: RevisionForm,
    #[serde(skip_serializing_if = "ReadinessForm::is_active", default)]
    readiness: ReadinessForm,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    update: Option<UpdateForm>,
    created_us: i64,
    modified_us: i64,
    #[serde(default)]
    tags: BTreeMap<String, String>,
    #[serde(default)]
    resource_group: String,
    version_newest: u64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    disabled: Option<DisabledForm>,
    #[serde(default)]
    paused: bool,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    instances_max: Option<u32>,
    #[serde(default)]
    limits: LimitsForm,
}

#[derive(Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
enum ReadinessForm {
    #[default]
    Active,
    Pending,
    Failed(FaultForm),
}

impl ReadinessForm {
    fn is_active(&self) -> bool {
        matches!(self, Self::Active)
    }
}

#[derive(Serialize, Deserialize)]
struct FaultForm {
    kind: String,
    reason: String,
}

#[derive(Serialize, Deserialize)]
struct UpdateForm {
    revision: RevisionForm,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    failed: Option<FaultForm>,
}

#[derive(Serialize, Deserialize)]
struct DisabledForm {
    reason: String,
    at_us: i64,
}

#[derive(Serialize, Deserialize, Default)]
#[serde(default)]
struct LimitsForm {
    concurrency_max: Option<u32>,
    rate: Option<RateForm>,
    weight: Option<u32>,
    key_concurrency_max: Option<u32>,
    key_rate: Option<RateForm>,
    payload_schema: Option<String>,
    strict_start: bool,
}

/// A function as bytes.
pub fn encode(function: &Function) -> Bytes {
    write(&Stored::V1(Form {
        id: function.id.number(),
        account: function.account.number(),
        name: function.name.to_string(),
        head: function.head.as_ref().into(),
        readiness: (&function.readiness).into(),
        update: function.update.as_ref().map(|update| UpdateForm {
            revision: update.revision.as_ref().into(),
            failed: update.failed.as_ref().map(Into::into),
        }),
        created_us: function.created_at.micros(),
        modified_us: function.modified_at.micros(),
        tags: function.tags.clone(),
        resource_group: function.resource_group.clone(),
        version_newest: function.version_newest,
        disabled: function
            .disabled
            .as_ref()
            .map(|d| DisabledForm { reason: d.reason.clone(), at_us: d.at.micros() }),
        paused: function.paused,
        instances_max: function.instances_max,
        limits: (&function.limits).into(),
    }))
}

/// Bytes as a function.
pub fn decode(body: &[u8]) -> Result<Arc<Function>, StoreError> {
    let Stored::V1(form) = read("function", body)?;
    Ok(Arc::new(Function {
        id: FunctionId::from_number(form.id),
        account: AccountId::new(form.account),
        name: form.name.into(),
        head: form.head.try_into()?,
        readiness: form.readiness.try_into()?,
        update: form.update.map(update).transpose()?,
        created_at: at(form.created_us),
        modified_at: at(form.modified_us),
        tags: form.tags,
        resource_group: form.resource_group,
        version_newest: form.version_newest,
        disabled: form.disabled.map(|d| Disabled { reason: d.reason, at: at(d.at_us) }),
        paused: form.paused,
        instances_max: form.instances_max,
        limits: form.limits.into(),
    }))
}

fn update(form: UpdateForm) -> Result<HeadUpdate, StoreError> {
    let failed = form.failed.map(TryInto::try_into).transpose()?;
    Ok(HeadUpdate { revision: form.revision.try_into()?, failed })
}

impl From<&Readiness> for ReadinessForm {
    fn from(readiness: &Readiness) -> Self {
        match readiness {
            Readiness::Active => Self::Active,
            Readiness::Pending => Self::Pending,
            Readiness::Failed(fault) => Self::Failed(fault.into()),
        }
    }
}

impl TryFrom<ReadinessForm> for Readiness {
    type Error = StoreError;
    fn try_from(form: ReadinessForm) -> Result<Self, StoreError> {
        Ok(match form {
            ReadinessForm::Active => Self::Active,
            ReadinessForm::Pending => Self::Pending,
            ReadinessForm::Failed(fault) => Self::Failed(fault.try_into()?),
        })
    }
}

impl From<&ImageFault> for FaultForm {
    fn from(fault: &ImageFault) -> Self {
        Self { kind: fault.kind.text().to_owned(), reason: fault.reason.clone() }
    }
}

impl TryFrom<FaultForm> for ImageFault {
    type Error = StoreError;
    fn try_from(form: FaultForm) -> Result<Self, StoreError> {
        let kind = ImageFaultKind::ALL.into_iter().find(|kind| kind.text() == form.kind);
        let kind = kind.ok_or_else(|| corrupt("function", &format!("fault {:?}", form.kind)))?;
        Ok(Self { kind, reason: form.reason })
    }
}

impl From<&FunctionLimits> for LimitsForm {
    fn from(limits: &FunctionLimits) -> Self {
        Self {
            concurrency_max: limits.concurrency_max,
            rate: limits.rate.map(Into::into),
            weight: limits.weight,
            key_concurrency_max: limits.key_concurrency_max,
            key_rate: limits.key_rate.map(Into::into),
            payload_schema: limits.payload_schema.as_deref().map(str::to_owned),
            strict_start: limits.strict_start,
        }
    }
}

impl From<LimitsForm> for FunctionLimits {
    fn from(form: LimitsForm) -> Self {
        Self {
            concurrency_max: form.concurrency_max,
            rate: form.rate.map(Into::into),
            weight: form.weight,
            key_concurrency_max: form.key_concurrency_max,
            key_rate: form.key_rate.map(Into::into),
            payload_schema: form.payload_schema.map(Into::into),
            strict_start: form.strict_start,
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
