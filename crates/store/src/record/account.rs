//! The stored form of an account.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use stint_model::account::{Account, AccountLimits, Budget, Period};
use stint_model::id::AccountId;

use super::json::{at, read, write};
use super::limit::RateForm;
use super::{Key, Kind};
use crate::store::StoreError;

/// Where an account's record lies.
pub fn key(account: AccountId) -> Key {
    Key::new(Kind::Account, account.to_string())
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
    name: String,
    display: String,
    created_us: i64,
    modified_us: i64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    disabled_us: Option<i64>,
    limits: LimitsForm,
}

#[derive(Serialize, Deserialize)]
struct LimitsForm {
    instances_max: u32,
    #[serde(default)]
    concurrency_max: Option<u32>,
    #[serde(default)]
    rate: Option<RateForm>,
    weight: u32,
    #[serde(default)]
    tasks_queued_max: Option<u64>,
    #[serde(default)]
    storage_bytes_max: Option<u64>,
    functions_max: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    budget: Option<BudgetForm>,
}

#[derive(Serialize, Deserialize)]
struct BudgetForm {
    micro_units: u64,
    period: String,
}

/// An account as bytes.
pub fn encode(account: &Account) -> Bytes {
    let limits = &account.limits;
    write(&Stored::V1(Form {
        id: account.id.number(),
        name: account.name.to_string(),
        display: account.display.clone(),
        created_us: account.created_at.micros(),
        modified_us: account.modified_at.micros(),
        disabled_us: account.disabled.map(|since| since.micros()),
        limits: LimitsForm {
            instances_max: limits.instances_max,
            concurrency_max: limits.concurrency_max,
            rate: limits.rate.map(Into::into),
            weight: limits.weight,
            tasks_queued_max: limits.tasks_queued_max,
            storage_bytes_max: limits.storage_bytes_max,
            functions_max: limits.functions_max,
            budget: limits.budget.map(|budget| BudgetForm {
                micro_units: budget.micro_units,
                period: budget.period.word().to_owned(),
            }),
        },
    }))
}

/// Bytes as an account.
pub fn decode(body: &[u8]) -> Result<Arc<Account>, StoreError> {
    let Stored::V1(form) = read("account", body)?;
    // A period that is not known bounds the shorter time.
    let budget = form.limits.budget.map(|budget| Budget {
        micro_units: budget.micro_units,
        period: Period::from_word(&budget.period).unwrap_or(Period::Day),
    });
    Ok(Arc::new(Account {
        id: AccountId::new(form.id),
        name: form.name.into(),
        display: form.display,
        created_at: at(form.created_us),
        modified_at: at(form.modified_us),
        disabled: form.disabled_us.map(at),
        limits: AccountLimits {
            instances_max: form.limits.instances_max,
            concurrency_max: form.limits.concurrency_max,
            rate: form.limits.rate.map(Into::into),
            weight: form.limits.weight,
            tasks_queued_max: form.limits.tasks_queued_max,
            storage_bytes_max: form.limits.storage_bytes_max,
            functions_max: form.limits.functions_max,
            budget,
        },
    }))
}
