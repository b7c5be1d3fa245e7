//! Definitions: create, change, read, list, delete, check; and published versions.

use std::collections::BTreeMap;
use std::sync::Arc;

use stint_flow::{Dialect, Graph, Problem};
use stint_model::access::Caller;
use stint_model::flow::{Flow, FlowMode, FlowVersion};
use stint_store::Page;

use super::FlowListing;
use crate::engine::Engine;
use crate::error::EngineError;

/// A new flow.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FlowCreate {
    /// Unique in the account: `^[A-Za-z_][A-Za-z0-9_-]{0,127}$`.
    pub name: String,
    /// FDL v1, CloudFlow or States Language, as YAML or JSON.
    pub definition: String,
    /// Standard or Express.
    pub mode: FlowMode,
    /// Free text, at most 256 bytes.
    pub description: String,
    /// Recorded.
    pub role: String,
    /// Recorded.
    pub external_storage: String,
    /// Variables that expressions can read.
    pub environment: BTreeMap<String, String>,
    /// Recorded.
    pub resource_group: String,
    /// Labels, at most 20.
    pub tags: BTreeMap<String, String>,
}

/// A change of a flow; what is `None` stays. Executions that run keep what they started with.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FlowPatch {
    /// Another definition, of any dialect.
    pub definition: Option<String>,
    /// Free text.
    pub description: Option<String>,
    /// Recorded.
    pub role: Option<String>,
    /// Replaces all variables.
    pub environment: Option<BTreeMap<String, String>>,
    /// Replaces all labels.
    pub tags: Option<BTreeMap<String, String>>,
}

/// A flow with one of its definitions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FlowView {
    /// The flow.
    pub flow: Arc<Flow>,
    /// The text asked for, as it was given.
    pub definition: Arc<str>,
    /// What it is written in.
    pub dialect: Dialect,
    /// The published version it is, if one was asked for.
    pub version: Option<u64>,
}

/// What is to be said about a definition.
#[derive(Clone, PartialEq, Debug)]
pub struct FlowChecked {
    /// What it is written in, if that can be told.
    pub dialect: Option<Dialect>,
    /// Errors and warnings, in the order of the text; without errors it can be made a flow.
    pub problems: Vec<Problem>,
    /// Its graph, when there is no error.
    pub graph: Option<Graph>,
}

impl Engine {
    /// Checks a definition without making anything of it.
    ///
    /// # Errors
    /// `AccessDenied`. What is wrong with the text is in the answer.
    pub async fn flow_check(
        &self,
        caller: &Caller,
        definition: &str,
        mode: FlowMode,
    ) -> Result<FlowChecked, EngineError> {
        todo!()
    }

    /// Makes a flow.
    ///
    /// # Errors
    /// `FlowAlreadyExists`; `InvalidArgument` with the first problem of the definition; `LimitExceededError`.
    pub async fn flow_create(
        &self,
        caller: &Caller,
        input: FlowCreate,
    ) -> Result<FlowView, EngineError> {
        todo!()
    }

    /// Changes a flow.
    ///
    /// # Errors
    /// `FlowNotExists`; as `flow_create`.
    pub async fn flow_update(
        &self,
        caller: &Caller,
        name: &str,
        patch: &FlowPatch,
    ) -> Result<FlowView, EngineError> {
        todo!()
    }

    /// A flow and its definition; of the version or alias, if one is named.
    ///
    /// # Errors
    /// `FlowNotExists`, `FlowVersionNotExists`, `FlowAliasNotExists`.
    pub async fn flow_get(
        &self,
        caller: &Caller,
        name: &str,
        qualifier: Option<&str>,
    ) -> Result<FlowView, EngineError> {
        todo!()
    }

    /// Flows by name, with their newest definitions.
    ///
    /// # Errors
    /// `InvalidArgument` for a bad page.
    pub async fn flow_list(
        &self,
        caller: &Caller,
        listing: &FlowListing,
    ) -> Result<Page<FlowView>, EngineError> {
        todo!()
    }

    /// Deletes a flow with its versions, aliases and schedules. Its history is no longer reachable;
    /// what runs goes on to its end.
    ///
    /// # Errors
    /// `FlowNotExists`.
    pub async fn flow_delete(&self, caller: &Caller, name: &str) -> Result<(), EngineError> {
        todo!()
    }

    /// The graph of a definition.
    ///
    /// # Errors
    /// As `flow_get`.
    pub async fn flow_graph(
        &self,
        caller: &Caller,
        name: &str,
        qualifier: Option<&str>,
    ) -> Result<Graph, EngineError> {
        todo!()
    }

    /// Publishes the newest definition under the next number.
    ///
    /// # Errors
    /// `FlowNotExists`.
    pub async fn flow_version_publish(
        &self,
        caller: &Caller,
        flow: &str,
        description: &str,
    ) -> Result<Arc<FlowVersion>, EngineError> {
        todo!()
    }

    /// Versions, newest first.
    ///
    /// # Errors
    /// `FlowNotExists`; `InvalidArgument` for a bad page.
    pub async fn flow_version_list(
        &self,
        caller: &Caller,
        flow: &str,
        listing: &FlowListing,
    ) -> Result<Page<Arc<FlowVersion>>, EngineError> {
        todo!()
    }

    /// Deletes a version.
    ///
    /// # Errors
    /// `FlowVersionNotExists`; `InvalidArgument` while an alias leads to it.
    pub async fn flow_version_delete(
        &self,
        caller: &Caller,
        flow: &str,
        number: u64,
    ) -> Result<(), EngineError> {
        todo!()
    }
}
