//! Accounts, what they may take, and the keys that act for them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::RateLimit;
use crate::time::{Seconds, Time};

/// An account: the tenant boundary.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Account {
    /// Its 16-digit number.
    pub id: String,
    /// Unique in the installation.
    pub name: String,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub display: String,
    /// When it was created.
    pub created_at: Time,
    /// When it last changed.
    pub modified_at: Time,
    /// Since when it is switched off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled_at: Option<Time>,
    /// What it may take.
    pub limits: AccountLimits,
    /// What it has taken; not in listings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<AccountUsage>,
}

/// What an account has taken of what is limited.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccountUsage {
    /// Bytes of code, layers, and payloads and results in the blob store: what `storageBytesMax`
    /// bounds.
    pub storage_bytes: u64,
    /// Of these, code packages and layers.
    pub code_bytes: u64,
    /// Of these, payloads and results.
    pub task_bytes: u64,
    /// Functions.
    pub functions: u64,
    /// Compute units of the budget's period, when there is a budget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_units: Option<f64>,
    /// When the budget begins anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_renews_at: Option<Time>,
}

/// What an account may take. In a PATCH, absent fields stay as they are.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AccountLimits {
    /// Most instances at once; `reservedConcurrency` is carved out of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instances_max: Option<u32>,
    /// Most attempts and calls running at once; 0 in a PATCH: no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency_max: Option<u32>,
    /// Starts per second; 0 in a PATCH: no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<RateLimit>,
    /// Weight in the fair share between accounts; 100 unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
    /// Most tasks waiting; 0 in a PATCH: no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tasks_queued_max: Option<u64>,
    /// Most bytes of code, layers, and payloads and results in the blob store; 0 in a PATCH: no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_bytes_max: Option<u64>,
    /// Most functions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub functions_max: Option<u32>,
    /// What it may use in a period; when it has, nothing new of it starts. `units: 0` in a PATCH: no
    /// bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<AccountBudget>,
}

/// What an account may use in a period.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AccountBudget {
    /// In compute units (see `Usage`).
    pub units: f64,
    /// `day` or `month` (if absent), in UTC.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub period: String,
}

/// A new account.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AccountCreate {
    /// Unique in the installation; letters, digits, `_` and `-`.
    pub name: String,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub display: String,
    /// What it may take; defaults where absent.
    #[serde(default)]
    pub limits: AccountLimits,
}

/// A change of an account; absent fields stay as they are.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AccountPatch {
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display: Option<String>,
    /// Switch it off or on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<bool>,
    /// What it may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<AccountLimits>,
}

/// A key, without its secret.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Key {
    /// The access key id.
    pub id: String,
    /// The account it acts for.
    pub account: String,
    /// `admin`, `developer`, `viewer` or `invoker`.
    pub role: String,
    /// Function names and `prefix*` patterns it is narrowed to; empty: all.
    #[serde(default)]
    pub functions: Vec<String>,
    /// `permanent`, `temporary` or `token`.
    pub kind: String,
    /// What was said about it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// The key that made it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub issued_by: String,
    /// When it was created.
    pub created_at: Time,
    /// When its secret was last replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotated_at: Option<Time>,
    /// Not accepted from then on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
    /// Since when it is switched off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled_at: Option<Time>,
}

/// A new key.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KeyCreate {
    /// For which account; absent: the caller's own. Others need an admin of the root account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// `permanent` (signs requests; the default) or `token` (a bearer token).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// `admin`, `developer`, `viewer` or `invoker`.
    pub role: String,
    /// Narrows it to these function names and `prefix*` patterns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub functions: Vec<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Tokens only: not accepted after this long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<Seconds>,
}

/// A temporary key: the caller's own rights or fewer, for a while.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KeyTemporary {
    /// The role, not above the caller's; absent: the caller's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Narrows it to these function names and `prefix*` patterns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub functions: Vec<String>,
    /// How long it is good: one minute to 36 hours; one hour if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<Seconds>,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
}

/// A change of a key.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KeyPatch {
    /// Switch it off or on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<bool>,
}

/// A key that was just made: the only answer that carries its secrets.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyCreated {
    /// The key.
    #[serde(flatten)]
    pub key: Key,
    /// What requests are signed with; keys that sign only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// To be sent with each request as `x-acs-security-token`; temporary keys only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security_token: Option<String>,
    /// To be sent as `Authorization: Bearer …`; tokens only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

impl std::fmt::Debug for KeyCreated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyCreated").field("key", &self.key).finish_non_exhaustive()
    }
}

/// A master key was replaced.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MasterKeyRotated {
    /// The number of the new one.
    pub master_key: u32,
    /// Secrets that were sealed again.
    pub sealed: u64,
}

/// Who the request is from, as the server sees it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WhoAmI {
    /// The account acted in.
    pub account: String,
    /// The role.
    pub role: String,
    /// Functions it is narrowed to; empty: all.
    pub functions: Vec<String>,
    /// The access key id.
    pub key_id: String,
}
