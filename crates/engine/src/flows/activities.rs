//! Activities: work that outside pollers take, do, and report with a token.

use std::sync::Arc;

use stint_model::access::Caller;
use stint_model::code::{Code, Refusal};
use stint_model::flow::Activity;
use stint_model::shard::Shard;
use stint_model::time::Span;
use stint_store::record::flow as stored;
use stint_store::{CommitError, Page};

use super::FlowListing;
use super::start::is_free_name;
use crate::access::Operation;
use crate::catalog::{CatalogChange, FlowChange};
use crate::control::{Change, Deed, expect_of, retrying};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::shard::flows::activity_name;
use crate::shard::{FlowInput, Input};

fn missing(name: &str) -> EngineError {
    let message = format!("activity '{name}' does not exist");
    EngineError::refused(Code::ActivityNotExists, message)
}

fn deed(operation: Operation, name: &str) -> Deed {
    Deed::on(operation, format!("activities/{name}"))
}

impl Engine {
    async fn activity_view(
        &self,
        caller: &Caller,
        name: &str,
    ) -> Result<ActivityView, EngineError> {
        let activity = self.catalog().activity(caller.account, name);
        let activity = activity.ok_or_else(|| missing(name))?;
        let mut waiting = 0;
        for shard in (0..self.shards()).map(Shard::new) {
            let activity = (caller.account, name.to_owned());
            let input = |reply| Input::Flow(FlowInput::Waiting { activity, reply });
            waiting += self.ask_shard(shard, input).await?;
        }
        Ok(ActivityView { activity: Activity::clone(&activity), waiting })
    }
}

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
        self.authorize(caller, Operation::ActivityCreate, Some(name))?;
        if !is_free_name(name) {
            let rule = "has 1 to 80 characters without blanks, brackets and controls";
            return Err(Refusal::invalid(format!("activity name '{name}': a name {rule}")).into());
        }
        if self.catalog().activity(caller.account, name).is_none() {
            let created_at = self.clock().now();
            let (account, name) = (caller.account, name.to_owned());
            let activity = Arc::new(Activity { account, name, created_at });
            let mut change = Change::new(self.account_home(account));
            let key = stored::activity_key(account, &activity.name);
            change.create(key, stored::encode_activity(&activity));
            let shown = FlowChange::ActivitySet(Arc::clone(&activity));
            change.shows(CatalogChange::Flow(shown));
            let deed = deed(Operation::ActivityCreate, &activity.name);
            match self.commit(caller, deed, change).await {
                // Somebody else was faster: it is there.
                Err(EngineError::Commit(CommitError::Stale(_))) => {}
                done => done?,
            }
        }
        self.activity_view(caller, name).await
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
        self.authorize(caller, Operation::ActivityGet, Some(name))?;
        self.activity_view(caller, activity_name(name)).await
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
        self.authorize(caller, Operation::ActivityGet, None)?;
        let asked = listing.checked()?;
        let all = self.catalog().activities_of(caller.account);
        let page = asked.page_of(all.into_iter(), |activity| activity.name.clone());
        let mut items = Vec::with_capacity(page.items.len());
        for activity in page.items {
            items.push(self.activity_view(caller, &activity.name).await?);
        }
        Ok(Page { items, next: page.next })
    }

    /// Deletes an activity; work that waits in it stays until its steps time out.
    ///
    /// # Errors
    /// `ActivityNotExists`.
    pub async fn activity_delete(&self, caller: &Caller, name: &str) -> Result<(), EngineError> {
        let name = activity_name(name);
        self.authorize(caller, Operation::ActivityDelete, Some(name))?;
        let key = stored::activity_key(caller.account, name);
        retrying!({
            let record = self.store().record_get(&key).await?;
            let Some(record) = record else { return Err(missing(name)) };
            let mut change = Change::new(self.account_home(caller.account));
            change.delete(expect_of(&record));
            let (account, gone) = (caller.account, name.to_owned());
            let shown = FlowChange::ActivityGone { account, name: gone };
            change.shows(CatalogChange::Flow(shown));
            self.commit(caller, deed(Operation::ActivityDelete, name), change).await
        })
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
        let name = activity_name(name);
        self.authorize(caller, Operation::ActivityTake, Some(name))?;
        if self.catalog().activity(caller.account, name).is_none() {
            return Err(missing(name));
        }
        let activity = (caller.account, name.to_owned());
        let until = self.clock().now() + wait;
        loop {
            // Made before the look, so that work which comes in between wakes it.
            let mut offered = std::pin::pin!(self.work_nudge().notified());
            offered.as_mut().enable();
            // A look is never cut short: work that was taken must reach whoever asked.
            for shard in (0..self.shards()).map(Shard::new) {
                let input = |reply| {
                    let (activity, poller) = (activity.clone(), poller.clone());
                    Input::Flow(FlowInput::Take { activity, poller, reply })
                };
                if let Some(task) = self.ask_shard(shard, input).await? {
                    return Ok(Some(task));
                }
            }
            let left = until.since(self.clock().now());
            if left == Span::ZERO || self.clock().within(left, offered).await.is_none() {
                return Ok(None);
            }
        }
    }
}
