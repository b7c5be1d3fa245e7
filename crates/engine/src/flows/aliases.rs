//! Aliases of flows: names for versions, by weight.

use std::sync::Arc;

use stint_model::access::Caller;
use stint_model::flow::{FlowAlias, FlowRoute};
use stint_store::Page;

use super::FlowListing;
use crate::engine::Engine;
use crate::error::EngineError;

/// A new alias.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FlowAliasCreate {
    /// Unique in the flow; not a number and not `LATEST`.
    pub name: String,
    /// Free text.
    pub description: String,
    /// Versions that exist, each once, with weights of 1 to 100 that add up to 100.
    pub routes: Vec<FlowRoute>,
}

/// A change of an alias; what is `None` stays.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FlowAliasPatch {
    /// Free text.
    pub description: Option<String>,
    /// Replaces all routes.
    pub routes: Option<Vec<FlowRoute>>,
}

impl Engine {
    /// Creates an alias.
    ///
    /// # Errors
    /// `FlowNotExists`, `FlowVersionNotExists`, `FlowAliasAlreadyExists`, `InvalidArgument`.
    pub async fn flow_alias_create(
        &self,
        caller: &Caller,
        flow: &str,
        input: &FlowAliasCreate,
    ) -> Result<Arc<FlowAlias>, EngineError> {
        todo!()
    }

    /// Changes an alias.
    ///
    /// # Errors
    /// `FlowAliasNotExists`; as `flow_alias_create`.
    pub async fn flow_alias_update(
        &self,
        caller: &Caller,
        flow: &str,
        alias: &str,
        patch: &FlowAliasPatch,
    ) -> Result<Arc<FlowAlias>, EngineError> {
        todo!()
    }

    /// An alias.
    ///
    /// # Errors
    /// `FlowNotExists`, `FlowAliasNotExists`.
    pub async fn flow_alias_get(
        &self,
        caller: &Caller,
        flow: &str,
        alias: &str,
    ) -> Result<Arc<FlowAlias>, EngineError> {
        todo!()
    }

    /// Aliases by name.
    ///
    /// # Errors
    /// `FlowNotExists`; `InvalidArgument` for a bad page.
    pub async fn flow_alias_list(
        &self,
        caller: &Caller,
        flow: &str,
        listing: &FlowListing,
    ) -> Result<Page<Arc<FlowAlias>>, EngineError> {
        todo!()
    }

    /// Deletes an alias; starts through it fail.
    ///
    /// # Errors
    /// `FlowAliasNotExists`.
    pub async fn flow_alias_delete(
        &self,
        caller: &Caller,
        flow: &str,
        alias: &str,
    ) -> Result<(), EngineError> {
        todo!()
    }
}
