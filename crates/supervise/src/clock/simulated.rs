//! Time moved by hand, for tests and the simulator. Nothing in it depends on a runtime, a thread or
//! the order of a map, so a seed always tells the same story.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use stint_model::time::{Span, Timestamp};
use tokio::sync::oneshot;

#[derive(Debug)]
pub(super) struct Simulated {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    now: Timestamp,
    /// Set when a test pretends that the wall clock shows something else.
    wall: Option<Timestamp>,
    asleep: u64,
    sleepers: BTreeMap<(Timestamp, u64), oneshot::Sender<()>>,
}

impl Simulated {
    pub(super) fn new(start: Timestamp) -> Self {
        let state = State { now: start, wall: None, asleep: 0, sleepers: BTreeMap::new() };
        Self { state: Mutex::new(state) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn now(&self) -> Timestamp {
        self.lock().now
    }

    pub(super) fn wall(&self) -> Timestamp {
        let state = self.lock();
        state.wall.unwrap_or(state.now)
    }

    pub(super) async fn sleep_until(&self, at: Timestamp) {
        let woken = {
            let mut state = self.lock();
            if at <= state.now {
                return;
            }
            let (wake, woken) = oneshot::channel();
            state.asleep += 1;
            let turn = state.asleep;
            state.sleepers.insert((at, turn), wake);
            woken
        };
        // An error means that the clock is gone: nobody will ever move it again.
        if woken.await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// The hand that moves a simulated clock.
#[derive(Clone, Debug)]
pub struct SimClock {
    shared: Arc<Simulated>,
}

impl SimClock {
    pub(super) fn new(shared: Arc<Simulated>) -> Self {
        Self { shared }
    }

    /// The simulated time.
    pub fn now(&self) -> Timestamp {
        self.shared.now()
    }

    /// Moves time forward by `span` and wakes everybody whose time has come.
    pub fn advance(&self, span: Span) {
        self.advance_to(self.now() + span);
    }

    /// Moves time forward to `at` (never backwards) and wakes everybody whose time has come.
    pub fn advance_to(&self, at: Timestamp) {
        let mut state = self.shared.lock();
        state.now = state.now.max(at);
        while let Some(entry) = state.sleepers.first_entry() {
            if entry.key().0 > at {
                break;
            }
            // A sleeper that was dropped needs no waking.
            let (Ok(()) | Err(())) = entry.remove().send(());
        }
    }

    /// When the next sleeper wants to wake.
    pub fn next_wake(&self) -> Option<Timestamp> {
        let mut state = self.shared.lock();
        state.sleepers.retain(|_, wake| !wake.is_closed());
        state.sleepers.first_key_value().map(|((at, _), _)| *at)
    }

    /// How many sleep; a test waits for this before it moves time.
    pub fn sleepers(&self) -> usize {
        let mut state = self.shared.lock();
        state.sleepers.retain(|_, wake| !wake.is_closed());
        state.sleepers.len()
    }

    /// Makes the wall clock show something of its own from now on.
    pub fn set_wall(&self, wall: Timestamp) {
        self.shared.lock().wall = Some(wall);
    }
}
