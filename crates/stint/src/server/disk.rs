//! The disk guard: looks how much is free and says whether new work may be taken. Submits are
//! refused below the low mark and accepted again above the high one; settling always goes on.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use stint_model::time::Span;
use stint_supervise::{Clock, Stop};

use crate::config::resolved::Disk;

/// Between two looks.
const LOOK: Span = Span::from_secs(2);

/// Bytes free for us on the disk of `path` (or of its nearest parent that exists).
pub(crate) fn free(path: &Path) -> Option<u64> {
    path.ancestors().find_map(|path| {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let stat = rustix::fs::statvfs(path).ok()?;
        Some(stat.f_bavail.saturating_mul(stat.f_frsize))
    })
}

/// The guard.
#[derive(Debug)]
pub(crate) struct Guard {
    dir: PathBuf,
    marks: Disk,
    allows: Arc<AtomicBool>,
    clock: Clock,
}

impl Guard {
    /// A guard that has looked once.
    pub(crate) fn new(dir: PathBuf, marks: Disk, clock: Clock) -> Self {
        let guard = Self { dir, marks, allows: Arc::new(AtomicBool::new(true)), clock };
        guard.look();
        guard
    }

    /// What the engine asks on every submit.
    pub(crate) fn allows(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.allows)
    }

    /// Looks until stopped.
    pub(crate) async fn run(self, stop: Stop) {
        while stop.until(self.clock.sleep(LOOK)).await.is_some() {
            self.look();
        }
    }

    fn look(&self) {
        // A disk that cannot be looked at changes nothing.
        let Some(free) = free(&self.dir) else { return };
        metrics::gauge!("stint_disk_free_bytes").set(stint_wire::time::to_f64(free));
        let before = self.allows.load(Ordering::Acquire);
        let after = verdict(before, free, self.marks);
        if before != after {
            let dir = self.dir.display();
            match after {
                true => tracing::info!(%dir, free, "there is room again: submits are accepted"),
                false => {
                    tracing::error!(%dir, free, "the disk is nearly full: submits are refused")
                }
            }
            self.allows.store(after, Ordering::Release);
        }
    }
}

fn verdict(before: bool, free: u64, marks: Disk) -> bool {
    if before { free >= marks.low } else { free >= marks.high }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn between_the_marks_nothing_changes() {
        let marks = Disk { low: 10, high: 20 };
        assert!(verdict(true, 10, marks) && !verdict(true, 9, marks));
        assert!(!verdict(false, 19, marks) && verdict(false, 20, marks));
    }

    #[test]
    fn a_disk_is_looked_at_even_before_the_directory_exists() {
        assert!(free(Path::new("/tmp/not/there/yet")).unwrap() > 0);
        assert!(free(Path::new("relative")).unwrap() > 0);
    }

    #[test]
    fn marks_beyond_the_disk_refuse_at_once() {
        let clock = Clock::start();
        let full = Guard::new("/tmp".into(), Disk { low: u64::MAX, high: u64::MAX }, clock.clone());
        assert!(!full.allows().load(Ordering::Acquire));
        let fine = Guard::new("/tmp".into(), Disk { low: 0, high: 0 }, clock);
        assert!(fine.allows().load(Ordering::Acquire));
    }
}
