//! Ends guests that do not end by themselves: at the deadline the engine's epoch moves on, and
//! compiled code looks at it in every loop and function. Between invocations nothing ticks.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use wasmtime::Engine;

#[derive(Debug)]
pub(crate) struct Deadline {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// When the running invocation must end.
    at: Option<Instant>,
    gone: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Watches one invocation until it is dropped.
#[derive(Debug)]
pub(crate) struct Armed<'a> {
    shared: &'a Shared,
}

#[expect(clippy::disallowed_methods, reason = "a process of its own, without the house's clock")]
fn now() -> Instant {
    Instant::now()
}

impl Deadline {
    #[expect(clippy::disallowed_methods, reason = "a process of its own, without a supervisor")]
    pub(crate) fn start(engine: &Engine) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let (theirs, engine) = (Arc::clone(&shared), engine.clone());
        let watch = move || watch(&theirs, &engine);
        // Detached: it ends when this value goes, and with the process.
        std::thread::Builder::new().name("deadline".into()).spawn(watch).map(drop)?;
        Ok(Self { shared })
    }

    /// From now on `after` may pass.
    pub(crate) fn arm(&self, after: Duration) -> Armed<'_> {
        self.shared.state().at = now().checked_add(after);
        self.shared.changed.notify_one();
        Armed { shared: &self.shared }
    }
}

impl Drop for Armed<'_> {
    fn drop(&mut self) {
        // Under the lock: once this returns, the epoch does not move for this invocation any more.
        self.shared.state().at = None;
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        self.shared.state().gone = true;
        self.shared.changed.notify_one();
    }
}

fn watch(shared: &Shared, engine: &Engine) {
    let mut state = shared.state();
    while !state.gone {
        let Some(at) = state.at else {
            state = shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            continue;
        };
        let left = at.saturating_duration_since(now());
        if left.is_zero() {
            engine.increment_epoch();
            state.at = None;
            continue;
        }
        let waited = shared.changed.wait_timeout(state, left);
        state = waited.unwrap_or_else(PoisonError::into_inner).0;
    }
}
