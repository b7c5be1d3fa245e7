//! The one word that ends things: asked for once, seen by everybody below, never taken back.

use tokio_util::sync::CancellationToken;

/// Says whether its holder should come to an end. Cheap to clone; a child also stops when its
/// parent does.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    token: CancellationToken,
}

impl Stop {
    /// A stop of its own.
    pub fn new() -> Self {
        Self::default()
    }

    /// Stops when this stops, and may be stopped alone.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { token: self.token.child_token() }
    }

    /// Asks every holder and child to come to an end. Asking twice is asking once.
    pub fn request(&self) {
        self.token.cancel();
    }

    /// Whether the end was asked for.
    pub fn is_stopped(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Returns once the end was asked for. Safe to drop.
    pub async fn stopped(&self) {
        self.token.cancelled().await;
    }

    /// Runs `work` until it is done or the end was asked for; `None` means that it was dropped.
    pub async fn until<F: Future>(&self, work: F) -> Option<F::Output> {
        self.token.run_until_cancelled(work).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_child_stops_with_its_parent_and_not_the_other_way() {
        let parent = Stop::new();
        let (one, two) = (parent.child(), parent.child());
        one.request();
        assert!(one.is_stopped() && !parent.is_stopped() && !two.is_stopped());
        parent.request();
        parent.request();
        two.stopped().await;
        assert!(parent.child().is_stopped(), "a late child is born stopped");
    }

    #[tokio::test]
    async fn work_ends_or_is_dropped() {
        let stop = Stop::new();
        assert_eq!(stop.until(async { 1 }).await, Some(1));
        stop.request();
        assert_eq!(stop.until(std::future::pending::<()>()).await, None);
    }
}
