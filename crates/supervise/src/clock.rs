//! The engine's time. It is anchored to the wall clock when the server starts and driven by the
//! monotonic clock from then on, so it never jumps and never goes backwards, whatever an operator or
//! NTP does to the wall clock: a difference is worked off slowly ([`SLEW_PARTS_PER_HUNDRED`]). A
//! delay, lease or expiry that was right when it was written therefore stays right.
//!
//! Only signature checks look at the wall clock itself ([`Clock::wall_now`]): their other end does.

mod simulated;
mod slew;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use stint_model::time::{Span, Timestamp};

pub use simulated::SimClock;
pub use slew::SLEW_PARTS_PER_HUNDRED;

use simulated::Simulated;
use slew::Slew;

/// The longest single sleep. Engine time may run a little faster than the monotonic clock while it
/// catches up, so a long sleep looks at it again this often and is never late by more than the slew
/// rate of this span.
const SLEEP_SLICE: Duration = Duration::from_secs(20);

/// A cheap handle to the time; every component gets one and none asks the system.
#[derive(Clone, Debug)]
pub struct Clock {
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Real(Arc<Real>),
    Simulated(Arc<Simulated>),
}

/// Where a real clock reads its two hands; tests put a fake here.
trait Hands: Send + Sync {
    fn wall(&self) -> Timestamp;
    /// What has passed since these hands were made.
    fn elapsed(&self) -> Span;
}

struct Real {
    hands: Box<dyn Hands>,
    slew: Mutex<Slew>,
}

impl Clock {
    /// A clock that starts at the wall clock's time.
    pub fn start() -> Self {
        Self::starting_at(Timestamp::ZERO)
    }

    /// A clock that starts at the wall clock's time but never before `floor`: after a restart time
    /// goes on from the last moment the book saw, even when the wall clock was set back meanwhile.
    pub fn starting_at(floor: Timestamp) -> Self {
        Self::with_hands(Box::new(SystemHands::new()), floor)
    }

    /// A clock that stands still until the returned hand moves it. Sleepers wake in the order of
    /// their time, then of their falling asleep.
    pub fn simulated(start: Timestamp) -> (Self, SimClock) {
        let shared = Arc::new(Simulated::new(start));
        (Self { kind: Kind::Simulated(Arc::clone(&shared)) }, SimClock::new(shared))
    }

    fn with_hands(hands: Box<dyn Hands>, floor: Timestamp) -> Self {
        let slew = Slew::new(hands.wall().max(floor), hands.elapsed());
        Self { kind: Kind::Real(Arc::new(Real { hands, slew: Mutex::new(slew) })) }
    }

    /// The engine's time: never jumps, never goes backwards.
    pub fn now(&self) -> Timestamp {
        match &self.kind {
            Kind::Real(real) => real.now(),
            Kind::Simulated(sim) => sim.now(),
        }
    }

    /// The wall clock as it is, jumps included. For checking what others signed, nothing else.
    pub fn wall_now(&self) -> Timestamp {
        match &self.kind {
            Kind::Real(real) => real.hands.wall(),
            Kind::Simulated(sim) => sim.wall(),
        }
    }

    /// How far the engine's time is from the wall clock, and whether it is ahead; a metric and a
    /// warning in the log show it.
    pub fn skew(&self) -> (Span, bool) {
        let (now, wall) = (self.now(), self.wall_now());
        if now > wall { (now.since(wall), true) } else { (wall.since(now), false) }
    }

    /// Returns when the engine's time has reached `at`. Safe to drop.
    pub async fn sleep_until(&self, at: Timestamp) {
        match &self.kind {
            Kind::Real(_) => loop {
                let left = at.since(self.now()).to_std();
                if left.is_zero() {
                    return;
                }
                tokio::time::sleep(left.min(SLEEP_SLICE)).await;
            },
            Kind::Simulated(sim) => sim.sleep_until(at).await,
        }
    }

    /// Returns after `span` of the engine's time. Safe to drop.
    pub async fn sleep(&self, span: Span) {
        self.sleep_until(self.now() + span).await;
    }

    /// Runs `work` until the engine's time reaches `at`; `None` when it was not done by then and was
    /// dropped.
    pub async fn within<F: Future>(&self, span: Span, work: F) -> Option<F::Output> {
        tokio::select! {
            biased;
            // Done: nothing is dropped but a sleep.
            output = work => Some(output),
            // Late: the caller agreed to drop the work.
            () = self.sleep(span) => None,
        }
    }
}

impl Real {
    fn now(&self) -> Timestamp {
        // The hands are read under the lock: two readers must not hand in their times out of order.
        let mut slew = self.slew.lock().unwrap_or_else(PoisonError::into_inner);
        slew.read(self.hands.wall(), self.hands.elapsed())
    }
}

impl std::fmt::Debug for Real {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Real").field("now", &self.now()).finish_non_exhaustive()
    }
}

struct SystemHands {
    origin: Instant,
}

impl SystemHands {
    #[expect(clippy::disallowed_methods, reason = "this is the clock everybody else asks")]
    fn new() -> Self {
        Self { origin: Instant::now() }
    }
}

impl Hands for SystemHands {
    #[expect(clippy::disallowed_methods, reason = "this is the clock everybody else asks")]
    fn wall(&self) -> Timestamp {
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let micros = since_epoch.map_or(0, |d| d.as_micros());
        Timestamp::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
    }

    fn elapsed(&self) -> Span {
        Span::from_micros(u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests;
