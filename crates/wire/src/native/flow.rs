//! Flows: definitions with their versions and aliases, whatever API they were made through.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::time::Time;

/// A flow to be made.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FlowCreate {
    /// Its name: a letter or underscore, then letters, digits, hyphens and underscores, 128 at most.
    pub name: String,
    /// The definition's text, JSON or YAML, in any of the three dialects.
    pub definition: String,
    /// What it is for.
    #[serde(default)]
    pub description: String,
    /// `Standard` (if absent) or `Express`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// Recorded with its executions.
    #[serde(default)]
    pub role: String,
    /// What expressions may read (`$Context.Environment.NAME`).
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// Labels.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}

/// What is to change about a flow; absent fields stay as they are.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FlowPatch {
    /// The definition's text; the mode cannot change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definition: Option<String>,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Recorded with its executions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// All of it, in place of what is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<BTreeMap<String, String>>,
    /// All labels, in place of what is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<BTreeMap<String, String>>,
}

/// A flow.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Flow {
    /// Its own id; another flow of the same name, made later, has another.
    pub id: String,
    /// Its name.
    pub name: String,
    /// `FDL`, `CloudFlow` or `States Language`.
    pub dialect: String,
    /// `Standard` or `Express`.
    pub mode: String,
    /// What it is for.
    pub description: String,
    /// Recorded with its executions.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub role: String,
    /// What expressions may read.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, String>,
    /// Labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// The definition's text; left out of listings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definition: Option<String>,
    /// The version shown; absent for the flow as it is now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// When it was made.
    pub created_at: Time,
    /// When it was last changed.
    pub modified_at: Time,
}

/// A version to be published.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FlowPublish {
    /// What it is for.
    #[serde(default)]
    pub description: String,
}

/// A published version of a flow.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FlowVersion {
    /// Its flow.
    pub flow: String,
    /// Its number as text.
    pub version: String,
    /// What it is for.
    pub description: String,
    /// When it was published.
    pub created_at: Time,
}

/// Where a share of an alias's executions goes.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FlowRoute {
    /// A version's number.
    pub version: String,
    /// In percent; all of an alias's add up to 100.
    pub weight: u32,
}

/// An alias as it is to be.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FlowAliasPut {
    /// One route, or two.
    pub routes: Vec<FlowRoute>,
    /// What it is for.
    #[serde(default)]
    pub description: String,
}

/// An alias of a flow.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FlowAlias {
    /// Its flow.
    pub flow: String,
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Where executions go.
    pub routes: Vec<FlowRoute>,
    /// When it was made.
    pub created_at: Time,
    /// When it was last changed.
    pub modified_at: Time,
}

/// A flow as a graph, for consoles; of an execution also how each step stands.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FlowGraph {
    /// `FDL`, `CloudFlow` or `States Language`.
    pub dialect: String,
    /// How the execution stands; absent for a flow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Lists of steps that run as one; the first is the flow itself.
    pub scopes: Vec<GraphScope>,
    /// Steps; scopes and edges name them by their place in this list.
    pub steps: Vec<GraphStep>,
    /// Ways between steps.
    pub edges: Vec<GraphEdge>,
}

/// A list of steps that run as one.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct GraphScope {
    /// `machine`, `branch`, `iteration` or `block`.
    pub kind: String,
    /// The step that holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<usize>,
    /// The first step.
    pub start: usize,
    /// All of them.
    pub steps: Vec<usize>,
}

/// A step of a graph.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct GraphStep {
    /// Its name.
    pub name: String,
    /// `Task`, `Pass`, `Wait`, `Choice`, `Parallel`, `Map`, `Succeed` or `Fail`.
    pub kind: String,
    /// The scope it lies in.
    pub scope: usize,
    /// Line of the definition.
    pub line: u32,
    /// What a task calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls: Option<String>,
    /// Whether a map's items run as executions of their own.
    pub is_distributed: bool,
    /// Retry rules.
    pub retries: usize,
    /// How it stands in an execution; absent for a flow, and where it was never entered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live: Option<StepLive>,
}

/// How a step stands in an execution. In loops and iterations one step is entered many times.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StepLive {
    /// `active` (entered and not left), `done`, `caught` (failed, and a handler went on), `failed` or
    /// `aborted` (stopped because another failed).
    pub state: String,
    /// How often it was entered.
    pub visits: u64,
    /// How often it failed, whether or not it was caught.
    pub failed: u64,
}

/// A way between steps.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct GraphEdge {
    /// From this step.
    pub from: usize,
    /// To this one; absent at the end of the scope.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<usize>,
    /// `next`, `rule`, `default` or `catch`.
    pub kind: String,
    /// In words: which rule, which errors.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub label: String,
}
