//! Images of container functions: nodes fetch them, the book says what came of it.
//!
//! ```text
//! create, update ─► book: Pending / InProgress ─► Prepare ─► node fetches ─► Image ─► book: pinned, Active
//!                          ▲       (again until there is an answer)            └────► book: Failed
//!                          └─ restart, a node joins
//! ```
//! Asking is an idempotent pass over the catalog, so a restart at any point needs no other code.

use std::sync::Arc;

use stint_model::function::{Function, HeadUpdate, Readiness, Revision, registry_secret_owner};
use stint_model::id::{FunctionId, RevisionId};
use stint_model::image::{ImageFault, PinnedImage};
use stint_model::link::{ImageOrder, RegistryAccess, ToNode};
use stint_model::time::{Span, Timestamp};
use stint_store::record::function as stored;
use stint_supervise::Stop;

use crate::catalog::CatalogChange;
use crate::control::functions::what_runs;
use crate::control::{Change, retrying};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::secret::Keyring;

/// How soon a node is asked again while there is no answer.
const AGAIN: Span = Span::from_secs(30);

/// What a node reports of an image.
pub(crate) type Found = Result<PinnedImage, ImageFault>;

/// A function with what a node found of the image of one of its revisions; `None` when it is about
/// something that is no more.
pub(crate) fn decide_image(
    function: &Function,
    revision: RevisionId,
    found: &Found,
    now: Timestamp,
) -> Option<Function> {
    if let Some(HeadUpdate { revision: next, failed: None }) = &function.update
        && next.id == revision
    {
        return Some(match found {
            Ok(pinned) => {
                let head = in_force(&function.head, pinned_to(next, pinned));
                let readiness = Readiness::Active;
                Function { head, readiness, update: None, modified_at: now, ..function.clone() }
            }
            Err(fault) => {
                let (revision, failed) = (Arc::clone(next), Some(fault.clone()));
                let update = Some(HeadUpdate { revision, failed });
                Function { update, ..function.clone() }
            }
        });
    }
    if function.head.id != revision {
        return None;
    }
    match (&function.readiness, found) {
        (Readiness::Pending, Ok(pinned)) => {
            let head = Arc::new(pinned_to(&function.head, pinned));
            Some(Function { head, readiness: Readiness::Active, ..function.clone() })
        }
        (Readiness::Pending | Readiness::Active, Err(fault)) => {
            Some(Function { readiness: Readiness::Failed(fault.clone()), ..function.clone() })
        }
        // An answer that was asked for twice.
        (Readiness::Active, Ok(_)) | (Readiness::Failed(_), _) => None,
    }
}

fn pinned_to(revision: &Revision, pinned: &PinnedImage) -> Revision {
    let mut revision = revision.clone();
    if let Some(container) = &mut revision.config.custom_container {
        container.pinned = Some(pinned.clone());
    }
    revision
}

/// The same image run in the same way keeps its warm instances.
fn in_force(head: &Revision, next: Revision) -> Arc<Revision> {
    let sha = |revision: &Revision| revision.code.as_ref().map(|code| code.sha256);
    let same = what_runs(&head.config) == what_runs(&next.config) && sha(head) == sha(&next);
    let (id, created_at) =
        if same { (head.id, head.created_at) } else { (next.id, next.created_at) };
    Arc::new(Revision { id, created_at, ..next })
}

/// What a node must know to fetch the image of a revision; `None` when it has none.
pub(crate) fn order_of(
    keyring: &Keyring,
    function: &Function,
    revision: &Revision,
) -> Option<ImageOrder> {
    if !revision.config.is_container() {
        return None;
    }
    let container = revision.config.custom_container.as_ref()?;
    let registry = &container.registry;
    let owner = registry_secret_owner(function.account, function.id);
    let password = registry.password.as_ref().map(|sealed| keyring.open(sealed, &owner));
    let password = match password.transpose() {
        Ok(password) => password.map(|secret| secret.expose().to_owned()).unwrap_or_default(),
        Err(error) => {
            tracing::error!(%error, function = %function.name, "a registry's password is lost");
            String::new()
        }
    };
    Some(ImageOrder {
        account: function.account,
        function: function.id,
        revision: revision.id,
        reference: container.image.clone(),
        pinned: container.pinned.clone(),
        access: RegistryAccess {
            user: registry.user.clone(),
            password,
            insecure: registry.insecure,
            root_ca_base64: registry.root_ca_base64.clone(),
        },
        code: revision.code.clone(),
    })
}

/// Asks nodes for the images that functions wait for: when told to look, and again while there is no
/// answer. Sleeps while nothing waits.
pub(crate) async fn run(engine: Engine, stop: Stop) {
    loop {
        let nudged = engine.images_nudge().notified();
        let waiting = engine.images_ask();
        let until = async {
            if waiting == 0 {
                return nudged.await;
            }
            // Nudged or not: it looks again.
            engine.clock().within(AGAIN, nudged).await.unwrap_or_default();
        };
        if stop.until(until).await.is_none() {
            return;
        }
    }
}

impl Engine {
    /// Asks for every image that is waited for; gives how many.
    fn images_ask(&self) -> usize {
        let nodes = self.link().nodes();
        let mut waiting = 0;
        for entry in self.catalog().functions() {
            let function = &entry.function;
            let order = function.fetching().and_then(|r| order_of(self.keyring(), function, r));
            let Some(order) = order else { continue };
            waiting += 1;
            if let Some(node) = nodes.first() {
                // Not taken is asked again.
                self.link().send(node.node, ToNode::Prepare(Arc::new(order)));
            }
        }
        waiting
    }

    /// A node said what became of an image. What cannot be written now is asked for again.
    pub(crate) async fn image_heard(self, id: FunctionId, revision: RevisionId, found: Found) {
        if let Err(error) = self.image_settle(id, revision, &found).await {
            let error = stint_supervise::chain(&error);
            tracing::warn!(error, "an image's state cannot be written; it is asked for again");
        }
    }

    async fn image_settle(
        &self,
        id: FunctionId,
        revision: RevisionId,
        found: &Found,
    ) -> Result<(), EngineError> {
        retrying!({
            let Some(entry) = self.catalog().function_by_id(id) else { return Ok(()) };
            let (account, name) = (entry.function.account, Arc::clone(&entry.function.name));
            let read = self.function_read(account, &name).await?;
            let now = self.clock().now();
            let Some(next) = decide_image(&read.value, revision, found, now) else {
                return Ok(());
            };
            let next = Arc::new(next);
            let mut change = Change::new(self.home_of(account, &name));
            change.replace(read.expect, stored::encode(&next));
            change.shows(CatalogChange::FunctionSet(next));
            self.commit_untold(change).await
        })
    }
}

#[cfg(test)]
mod tests;
