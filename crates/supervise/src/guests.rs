//! Short-lived tasks that come from outside, such as connections: bounded in number, stopped with
//! their host, and a crash of one is noticed without hurting the rest.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::Instrument as _;

use crate::exit::caught_async;
use crate::stop::Stop;
use crate::supervisor::Supervisor;

/// A bounded group of guests. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Guests {
    name: &'static str,
    max: usize,
    places: Arc<Semaphore>,
    crashes: Arc<AtomicU64>,
    host: Supervisor,
}

/// A place that was taken and not used yet; dropping it gives it back.
#[derive(Debug)]
pub struct Guest {
    group: Guests,
    place: OwnedSemaphorePermit,
}

impl Guests {
    pub(crate) fn new(host: Supervisor, name: &'static str, max: usize) -> Self {
        let max = max.min(Semaphore::MAX_PERMITS);
        let (places, crashes) = (Arc::new(Semaphore::new(max)), Arc::new(AtomicU64::new(0)));
        Self { name, max, places, crashes, host }
    }

    /// Waits for a free place. Take it before accepting a connection, so that the rest wait in the
    /// kernel's queue and not in memory. Safe to drop.
    pub async fn admit(&self) -> Guest {
        let place = Arc::clone(&self.places).acquire_owned().await;
        Guest { group: self.clone(), place: place.expect("the semaphore is never closed") }
    }

    /// A free place, if there is one.
    pub fn try_admit(&self) -> Option<Guest> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        Some(Guest { group: self.clone(), place })
    }

    /// How many places are taken.
    pub fn count(&self) -> usize {
        self.max - self.places.available_permits()
    }

    /// How many there are.
    pub fn max(&self) -> usize {
        self.max
    }

    /// How many guests have panicked so far.
    pub fn crashes(&self) -> u64 {
        self.crashes.load(Ordering::Relaxed)
    }
}

impl Guest {
    /// Runs `work` in this place. The group's host waits for it at shutdown.
    pub fn spawn<F, Fut>(self, work: F)
    where
        F: FnOnce(Stop) -> Fut,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let Self { group, place } = self;
        let work = work(group.host.stop().clone());
        let span = tracing::debug_span!("guest", group = group.name);
        let host = group.host.clone();
        host.track(
            async move {
                if let Err(crash) = caught_async(work).await {
                    group.crashes.fetch_add(1, Ordering::Relaxed);
                    tracing::error!(group = group.name, %crash, "a guest crashed");
                }
                drop(place);
            }
            .instrument(span),
        );
    }
}
