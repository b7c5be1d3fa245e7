//! The workflow API of version 2019-03-15 (FnF), as the official SDK speaks it: parameters in query
//! and form, answers in JSON with `PascalCase` names, times with milliseconds, and texts that hold
//! JSON or YAML.

pub mod operation;

use serde::Serialize;

/// Any answer: what was asked for, and the request's id.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Answer<T> {
    /// Its fields stand beside the id.
    #[serde(flatten)]
    pub body: T,
    /// The request's id.
    #[serde(rename = "RequestId")]
    pub request_id: String,
}

/// An answer that says nothing more.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Nothing {}

/// A refused or failed request.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Refused {
    /// A stable code.
    pub code: String,
    /// For a person.
    pub message: String,
    /// The request's id.
    pub request_id: String,
    /// The host that was asked.
    pub host_id: String,
}

/// One entry of a flow's environment.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value.
    #[serde(default)]
    pub value: String,
}

/// A flow's environment.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Environment {
    /// Its entries.
    #[serde(default)]
    pub variables: Vec<Variable>,
}

/// A flow, or one version of it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Flow {
    /// Made by the server.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Text of the definition.
    pub definition: String,
    /// What it is for.
    pub description: String,
    /// `FDL` for both dialects of the workflow service, `ASL` for States Language.
    #[serde(rename = "Type")]
    pub kind: String,
    /// The role it was made with.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub role_arn: String,
    /// `Standard` or `Express`.
    pub execution_mode: String,
    /// Kept and given back.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub external_storage_location: String,
    /// Absent without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<Environment>,
    /// Kept and given back.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub resource_group_id: String,
    /// When it was made.
    pub created_time: String,
    /// When it was last changed.
    pub last_modified_time: String,
}

/// A page of flows.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Flows {
    /// By name.
    pub flows: Vec<Flow>,
    /// Absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

/// A published version.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct FlowVersion {
    /// Its flow; absent in listings.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub flow_name: String,
    /// Its number as text.
    pub version: String,
    /// What it is for.
    pub description: String,
    /// When it was published.
    pub created_time: String,
}

/// A page of versions.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct FlowVersions {
    /// Newest first.
    pub flow_versions: Vec<FlowVersion>,
    /// Absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

/// Where a share of an alias's executions goes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Route {
    /// A version's number.
    pub version: String,
    /// In percent; a number, but a text in listings, as upstream.
    pub weight: Weight,
}

/// A weight in either of its two forms.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(untagged)]
pub enum Weight {
    /// In answers about one alias.
    Number(u32),
    /// In listings.
    Text(String),
}

/// An alias.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Alias {
    /// Its flow; absent where the flow was named.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub flow_name: String,
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Where executions go.
    pub routing_configurations: Vec<Route>,
    /// When it was made.
    pub created_time: String,
}

/// One alias, as `DescribeFlowAlias` wraps it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct OneAlias {
    /// The alias.
    pub alias: Alias,
}

/// A page of aliases.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Aliases {
    /// By name.
    pub aliases: Vec<Alias>,
    /// Absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

/// An execution.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Execution {
    /// Its name.
    pub name: String,
    /// Its flow.
    pub flow_name: String,
    /// The definition it runs, as it was at its start; absent in listings of metadata.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flow_definition: Option<String>,
    /// JSON as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<String>,
    /// JSON as text; empty before it succeeded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// `Starting`, `Running`, `Stopped`, `Succeeded`, `Failed`, `TimedOut`.
    pub status: String,
    /// When it began.
    pub started_time: String,
    /// When it ended; empty before.
    pub stopped_time: String,
    /// The flow's role at its start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role_arn: Option<String>,
    /// The flow's environment at its start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<Environment>,
}

/// What a synchronous execution came to.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct SyncExecution {
    /// Its name.
    pub name: String,
    /// Its flow.
    pub flow_name: String,
    /// How it ended.
    pub status: String,
    /// JSON as text.
    pub output: String,
    /// Of one that did not succeed.
    pub error_code: String,
    /// Of one that did not succeed.
    pub error_message: String,
    /// When it began.
    pub started_time: String,
    /// When it ended.
    pub stopped_time: String,
    /// Absent without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<Environment>,
}

/// A page of executions.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Executions {
    /// Newest first.
    pub executions: Vec<Execution>,
    /// Absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

/// One event of a history.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct HistoryEvent {
    /// Counts from one, without gaps.
    pub event_id: u64,
    /// The event that caused it; 0 for the first.
    pub schedule_event_id: u64,
    /// Empty for events about the execution.
    pub step_name: String,
    /// What happened.
    #[serde(rename = "Type")]
    pub kind: String,
    /// When.
    pub time: String,
    /// JSON as text.
    pub event_detail: String,
}

/// A page of a history.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct History {
    /// In order.
    pub events: Vec<HistoryEvent>,
    /// The id of the event at which the next page starts; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

/// What a report came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reported {
    /// The history event that records it.
    pub event_id: u64,
}

/// A schedule.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Schedule {
    /// Made by the server.
    pub schedule_id: String,
    /// Its name.
    pub schedule_name: String,
    /// When it fires.
    pub cron_expression: String,
    /// JSON as text; part of the execution's input.
    pub payload: String,
    /// Whether it fires.
    pub enable: bool,
    /// What it is for.
    pub description: String,
    /// When it was made.
    pub created_time: String,
    /// When it was last changed.
    pub last_modified_time: String,
}

/// A page of schedules.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Schedules {
    /// By name.
    pub schedules: Vec<Schedule>,
    /// Absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

/// A distributed map under way.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct MapRun {
    /// The execution it belongs to.
    pub execution_name: String,
    /// Its name.
    pub map_run_name: String,
    /// `Running`, `Succeeded`, `Failed`, `Stopped`.
    pub status: String,
    /// When it began.
    pub started_time: String,
    /// When it ended; empty before.
    pub stopped_time: String,
    /// Children at one moment.
    pub concurrency: u64,
    /// Items that may fail.
    pub tolerated_failed_count: u64,
    /// Items that may fail, in percent.
    pub tolerated_failed_percentage: f64,
    /// Items by what became of them.
    pub item_counts: ItemCounts,
}

/// Items by what became of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ItemCounts {
    /// Known so far.
    pub total: u64,
    /// Not started.
    pub pending: u64,
    /// In a child that runs.
    pub running: u64,
    /// Ended well.
    pub succeed: u64,
    /// Failed, or ran out of time.
    pub failed: u64,
    /// Stopped.
    pub aborted: u64,
}

/// Where the service is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Regions {
    /// The list in its wrapper.
    pub regions: RegionList,
}

/// The list in its wrapper.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct RegionList {
    /// Regions.
    pub region: Vec<Region>,
}

/// A region.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Region {
    /// Its id.
    pub region_id: String,
    /// Its name for people.
    pub local_name: String,
    /// Where it answers.
    pub region_endpoint: String,
}
