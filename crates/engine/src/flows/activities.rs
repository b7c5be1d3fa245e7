//! Activities: work that outside pollers take, do, and report with a token.

use stint_model::access::Caller;
use stint_model::flow::Activity;
use stint_model::time::Span;
use stint_store::Page;

use super::FlowListing;
use crate::engine::Engine;
use crate::error::EngineError;

/// An activity and what waits in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ActivityView {
    /// The activity.
    pub activity: Activity,
    /// Work that waits for a poller.
    pub waiting: u64,
}

/// Work that a poller took.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ActivityTask {
    /// To report with.
    pub token: String,
    /// JSON text.
    pub input: String,
}

impl Engine {
    /// Creates an activity; one that exists is given as it is.
    ///
    /// # Errors
    /// `InvalidArgument` for a bad name (1 to 80 characters without blanks, brackets and controls).
    pub async fn activity_create(
        &self,
        caller: &Caller,
        name: &str,
    ) -> Result<ActivityView, EngineError> {
        todo!()
    }

    /// An activity.
    ///
    /// # Errors
    /// `ActivityNotExists`.
    pub async fn activity_get(
        &self,
        caller: &Caller,
        name: &str,
    ) -> Result<ActivityView, EngineError> {
        todo!()
    }

    /// Activities by name.
    ///
    /// # Errors
    /// `InvalidArgument` for a bad page.
    pub async fn activity_list(
        &self,
        caller: &Caller,
        listing: &FlowListing,
    ) -> Result<Page<ActivityView>, EngineError> {
        todo!()
    }

    /// Deletes an activity; work that waits in it stays until its steps time out.
    ///
    /// # Errors
    /// `ActivityNotExists`.
    pub async fn activity_delete(&self, caller: &Caller, name: &str) -> Result<(), EngineError> {
        todo!()
    }

    /// Takes the oldest work that waits, for `poller`; waits for some at most `wait`. None when there
    /// was none.
    ///
    /// # Errors
    /// `ActivityNotExists`.
    pub async fn activity_take(
        &self,
        caller: &Caller,
        name: &str,
        poller: Option<String>,
        wait: Span,
    ) -> Result<Option<ActivityTask>, EngineError> {
        todo!()
    }
}
