//! Watches free space, so that submits are refused with a clear code while there is still room to
//! settle what was accepted. Two marks: below the low one submits stop, above the high one they go on.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use metrics::gauge;
use stint_model::time::Span;
use stint_supervise::{OnExit, Stop, Supervisor};

use crate::figure;

/// Between two looks.
const PERIOD: Span = Span::from_secs(1);

/// What is watched.
#[derive(Clone, Debug)]
pub struct DiskConfig {
    /// A directory of the file system in question.
    pub path: PathBuf,
    /// Below this many free bytes submits stop.
    pub low_bytes: u64,
    /// Above this many they go on; not below `low_bytes`.
    pub high_bytes: u64,
}

/// Says whether there is room. Cheap to clone.
#[derive(Clone, Debug)]
pub struct DiskGuard {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    config: DiskConfig,
    allowed: Arc<AtomicBool>,
    free_bytes: AtomicU64,
}

impl DiskGuard {
    /// Looks once, and from then on every second until the supervisor stops.
    pub fn start(config: DiskConfig, supervisor: &Supervisor) -> Self {
        let guard = Self::new(config);
        guard.look();
        let (looking, clock) = (guard.clone(), supervisor.clock().clone());
        supervisor.spawn("store/disk", OnExit::StopServer, move |stop: Stop| async move {
            while stop.until(clock.sleep(PERIOD)).await.is_some() {
                looking.look();
            }
        });
        guard
    }

    fn new(config: DiskConfig) -> Self {
        let (allowed, free_bytes) = (Arc::new(AtomicBool::new(true)), AtomicU64::new(u64::MAX));
        Self { shared: Arc::new(Shared { config, allowed, free_bytes }) }
    }

    /// Whether a new task may be accepted. What was accepted is settled in any case.
    pub fn submits_allowed(&self) -> bool {
        self.shared.allowed.load(Ordering::Acquire)
    }

    /// The same, for whoever asks on every submit.
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.shared.allowed)
    }

    /// As of the last look.
    pub fn free_bytes(&self) -> u64 {
        self.shared.free_bytes.load(Ordering::Relaxed)
    }

    fn look(&self) {
        match rustix::fs::statvfs(&self.shared.config.path) {
            Ok(about) => self.saw(about.f_bavail.saturating_mul(about.f_frsize)),
            // Not knowing is no reason to stop; the commits will say when the disk is full.
            Err(error) => tracing::warn!(%error, "free space is not known"),
        }
    }

    fn saw(&self, free: u64) {
        let Shared { config, allowed, free_bytes } = &*self.shared;
        free_bytes.store(free, Ordering::Relaxed);
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
        gauge!(figure::DISK_FREE_BYTES).set(free as f64);
        let was_low = !allowed.load(Ordering::Acquire);
        let now_low = if was_low { free <= config.high_bytes } else { free < config.low_bytes };
        if now_low != was_low {
            allowed.store(!now_low, Ordering::Release);
            let path = config.path.display();
            if now_low {
                tracing::error!(%path, free, "the disk is nearly full: submits are refused");
            } else {
                tracing::info!(%path, free, "there is room again: submits are accepted");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn submits_stop_at_the_low_mark_and_go_on_above_the_high_one() {
        let config = DiskConfig { path: "/".into(), low_bytes: 100, high_bytes: 200 };
        let guard = DiskGuard::new(config);
        let seen: Vec<bool> = [300, 100, 99, 150, 200, 201, 150, 100, 0]
            .into_iter()
            .map(|free| {
                guard.saw(free);
                assert_eq!(guard.free_bytes(), free);
                guard.submits_allowed()
            })
            .collect();
        assert_eq!(seen, [true, true, false, false, false, true, true, true, false]);
    }

    #[tokio::test]
    async fn a_real_disk_has_some_room() {
        let dir = tempfile::tempdir().expect("a directory");
        let supervisor = Supervisor::new(stint_supervise::Clock::start());
        let config = DiskConfig { path: dir.path().into(), low_bytes: 1, high_bytes: 2 };
        let guard = DiskGuard::start(config, &supervisor);
        assert!(guard.submits_allowed() && guard.free_bytes() < u64::MAX);
        supervisor.stop().request();
        supervisor.ended().await;
    }
}
