//! The whole at a glance, health and settings.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::backlog::Backlog;
use super::instance::Node;
use crate::time::Time;

/// What goes on in the account now; what `stint top` shows.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Overview {
    /// The server's time.
    pub now: Time,
    /// Since when the server runs.
    pub started_at: Time,
    /// The server's version.
    pub version: String,
    /// Functions of the account.
    pub functions: u64,
    /// Tasks that could start now.
    pub waiting: u64,
    /// Tasks put off.
    pub delayed: u64,
    /// Attempts that run.
    pub running: u64,
    /// Live instances.
    pub instances: u64,
    /// Tasks submitted since the server started; clients derive rates.
    pub submitted_total: u64,
    /// Attempts started since then.
    pub started_total: u64,
    /// Tasks that ended well since then.
    pub succeeded_total: u64,
    /// Tasks that ended otherwise since then.
    pub failed_total: u64,
    /// The functions with the longest backlogs.
    pub backlogs: Vec<Backlog>,
    /// The nodes.
    pub nodes: Vec<Node>,
}

/// Whether the server is well.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Health {
    /// `ok`, `starting` or `stopping`.
    pub status: String,
    /// The server's version.
    pub version: String,
}

/// One setting: value and where it was said.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Setting {
    /// Its name.
    pub name: String,
    /// Its value; secrets are not shown.
    pub value: String,
    /// `default`, `file …`, `environment …` or `flag …`.
    pub origin: String,
}
