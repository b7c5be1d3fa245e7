//! Retention: an idempotent pass over the journal in bounded steps, on a period.

use std::sync::Arc;

use stint_model::time::Span;
use stint_store::{Journal, JournalError};
use stint_supervise::{Clock, Stop};

/// Chunks that are dropped in one step.
const STEP: usize = 2_000;

/// Drops what is older than `keep`.
#[derive(Clone, Debug)]
pub struct Retention {
    /// What is kept.
    pub keep: Span,
    /// Between passes.
    pub period: Span,
    /// Where.
    pub journal: Arc<dyn Journal>,
    /// By whose time.
    pub clock: Clock,
}

impl Retention {
    /// One pass; gives how many chunks went.
    pub async fn pass(&self, stop: &Stop) -> Result<usize, JournalError> {
        let before = self.clock.now() - self.keep;
        let mut gone = 0;
        while !stop.is_stopped() {
            let step = self.journal.retain(before, STEP).await?;
            gone += step;
            if step < STEP {
                break;
            }
            // Others write between two steps.
            tokio::task::yield_now().await;
        }
        Ok(gone)
    }

    /// Passes until stopped. A pass that fails is tried again at the next period.
    pub async fn run(self, stop: Stop) {
        loop {
            match self.pass(&stop).await {
                Ok(0) => {}
                Ok(gone) => tracing::info!(gone, "dropped log chunks past their retention"),
                Err(error) => {
                    let reason = stint_supervise::chain(&error);
                    tracing::warn!(%reason, "log retention did not finish");
                }
            }
            if stop.until(self.clock.sleep(self.period)).await.is_none() {
                return;
            }
        }
    }
}
