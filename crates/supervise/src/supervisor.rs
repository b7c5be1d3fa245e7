//! Named tasks, each with a policy for its end. A return or a panic is always noticed; nothing is
//! spawned and forgotten.
//!
//! ```text
//!                 ┌────────── restarting: wait, doubled each quick time ──┐
//!   spawn ─► Running ─► asked to stop, returned ─► (gone)                 │
//!                 │     ended by itself ─► StopServer: Failure, Failed    │
//!                 │                        Ignore:     (gone)             │
//!                 └────────────────────────────────► Waiting ◄────────────┘
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use stint_model::time::{Span, Timestamp};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use crate::clock::Clock;
use crate::exit::{Crashed, Exit, caught, caught_async};
use crate::guests::Guests;
use crate::stop::Stop;

/// A restart waits at most this many times its named pause.
const PAUSE_GROWTH_MAX: u64 = 64;
/// Failed one-shot tasks that the health page still shows.
const FAILED_KEPT: usize = 32;

/// What happens when a task ends although nobody asked it to. A panic and a return are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnExit {
    /// The server cannot go on without it: [`Supervisor::failed`] returns.
    StopServer,
    /// It was a one-shot; an error is logged and shown.
    Ignore,
}

/// What a task is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It runs.
    Running,
    /// It ended and waits to be started again.
    Waiting,
    /// It ended badly and is not started again.
    Failed,
}

/// A line of the health page.
#[derive(Clone, Debug)]
pub struct Status {
    /// The task's name, which is also its span's.
    pub name: String,
    /// What it is doing.
    pub state: State,
    /// Since when.
    pub since: Timestamp,
    /// How it ended last time, if it ever did.
    pub last_result: Option<String>,
    /// How often it was started again.
    pub restarts: u64,
}

/// Why the server cannot go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The task that ended.
    pub name: String,
    /// How it ended.
    pub reason: String,
}

/// Spawns tasks and knows how each is doing. Cheap to clone. A [group](Supervisor::group) has its
/// own stop and its own waiting, and shares everything else.
#[derive(Clone, Debug)]
pub struct Supervisor {
    shared: Arc<Shared>,
    stop: Stop,
    tasks: TaskTracker,
}

#[derive(Debug)]
struct Shared {
    runtime: tokio::runtime::Handle,
    clock: Clock,
    board: Mutex<Board>,
    failure: watch::Sender<Option<Failure>>,
}

#[derive(Debug, Default)]
struct Board {
    spawned: u64,
    live: BTreeMap<u64, Status>,
    failed: VecDeque<Status>,
}

/// A handle to one task. Dropping it changes nothing.
#[derive(Clone, Debug)]
pub struct Supervised {
    stop: Stop,
    ended: Stop,
}

impl Supervised {
    /// Asks this task alone to end.
    pub fn stop(&self) {
        self.stop.request();
    }

    /// Returns when it has ended for good. Safe to drop.
    pub async fn ended(&self) {
        self.ended.stopped().await;
    }

    /// Whether it has ended for good.
    pub fn is_ended(&self) -> bool {
        self.ended.is_stopped()
    }
}

impl Supervisor {
    /// A supervisor on the current runtime.
    pub fn new(clock: Clock) -> Self {
        let shared = Shared {
            runtime: tokio::runtime::Handle::current(),
            clock,
            board: Mutex::default(),
            failure: watch::Sender::new(None),
        };
        Self { shared: Arc::new(shared), stop: Stop::new(), tasks: TaskTracker::new() }
    }

    /// A part of the house that is stopped and waited for by itself; it also stops with this one.
    #[must_use]
    pub fn group(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            stop: self.stop.child(),
            tasks: TaskTracker::new(),
        }
    }

    /// What everything spawned here listens to.
    pub fn stop(&self) -> &Stop {
        &self.stop
    }

    /// The clock everything here lives by.
    pub fn clock(&self) -> &Clock {
        &self.shared.clock
    }

    /// Runs one task to its end.
    pub fn spawn<F, Fut>(&self, name: impl Into<String>, on_exit: OnExit, start: F) -> Supervised
    where
        F: FnOnce(Stop) -> Fut,
        Fut: Future<Output: Exit> + Send + 'static,
    {
        let post = self.post(name.into());
        let work = start(post.stop.clone());
        let (handle, span) = (post.handle(), post.span());
        let run = async move {
            let ended = caught_async(work).await;
            post.end(on_exit, ended.map(Exit::failure));
        };
        self.track(run.instrument(span));
        handle
    }

    /// Runs a task that is started again when it ends: after `pause`, then twice as long each time
    /// it ends quickly, up to 64 times.
    pub fn spawn_restarting<F, Fut>(
        &self,
        name: impl Into<String>,
        pause: Span,
        mut start: F,
    ) -> Supervised
    where
        F: FnMut(Stop) -> Fut + Send + 'static,
        Fut: Future<Output: Exit> + Send + 'static,
    {
        let post = self.post(name.into());
        let (handle, span, clock) = (post.handle(), post.span(), self.shared.clock.clone());
        let pause_max = pause.times(PAUSE_GROWTH_MAX);
        let run = async move {
            let mut next_pause = pause;
            loop {
                let started = clock.now();
                let ended = match caught(|| start(post.stop.clone())) {
                    Ok(work) => caught_async(work).await.map(Exit::failure),
                    Err(crash) => Err(crash),
                };
                if post.stop.is_stopped() {
                    return post.leave(State::Waiting, None);
                }
                post.set(State::Waiting, Some(describe(ended)));
                if clock.now().since(started) > pause_max {
                    next_pause = pause;
                }
                if post.stop.until(clock.sleep(next_pause)).await.is_none() {
                    return post.leave(State::Waiting, None);
                }
                next_pause = next_pause.times(2).min(pause_max);
                post.restarted();
            }
        };
        self.track(run.instrument(span));
        handle
    }

    /// Runs `work` on an operating system thread of its own: for a loop that blocks, such as the
    /// embedded store's writer.
    #[expect(clippy::disallowed_methods, reason = "this is where threads are spawned")]
    pub fn thread<F, R>(
        &self,
        name: impl Into<String>,
        on_exit: OnExit,
        work: F,
    ) -> std::io::Result<Supervised>
    where
        F: FnOnce(Stop) -> R + Send + 'static,
        R: Exit,
    {
        let post = self.post(name.into());
        let (handle, span, counted) = (post.handle(), post.span(), self.tasks.token());
        // Linux shows the first 15 bytes of a thread's name.
        let thread = std::thread::Builder::new().name(post.name.clone());
        thread.spawn(move || {
            let _in_span = span.entered();
            let stop = post.stop.clone();
            let ended = caught(|| work(stop).failure());
            post.end(on_exit, ended);
            drop(counted);
        })?;
        Ok(handle)
    }

    /// Runs blocking `work` on the runtime's pool (bounded by the runtime) and waits for it. When
    /// the waiting is dropped the work still goes on to its end.
    #[expect(clippy::disallowed_methods, reason = "this is where blocking work is spawned")]
    pub async fn blocking<R: Send + 'static>(
        &self,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> Result<R, Crashed> {
        let counted = self.tasks.token();
        let span = tracing::Span::current();
        let job = self.shared.runtime.spawn_blocking(move || {
            let _in_span = span.entered();
            let result = caught(work);
            drop(counted);
            result
        });
        job.await.unwrap_or_else(|_| Err(Crashed("the runtime is shutting down".to_owned())))
    }

    /// A bounded group of short-lived tasks, such as connections.
    pub fn guests(&self, name: &'static str, max: usize) -> Guests {
        Guests::new(self.clone(), name, max)
    }

    /// Every task that is alive or failed, in the order of spawning.
    pub fn status(&self) -> Vec<Status> {
        let board = self.shared.board();
        board.live.values().chain(&board.failed).cloned().collect()
    }

    /// Returns when a task ended without which the server cannot go on. Safe to drop.
    pub async fn failed(&self) -> Failure {
        let mut seen = self.shared.failure.subscribe();
        let failure = seen.wait_for(Option::is_some).await;
        let failure = failure.expect("the sender lives as long as self");
        failure.clone().expect("waited for it")
    }

    /// Returns when everything spawned in this group has ended. Ask for the stop first. Safe to drop.
    pub async fn ended(&self) {
        self.tasks.close();
        self.tasks.wait().await;
        self.tasks.reopen();
    }

    pub(crate) fn track(&self, work: impl Future<Output = ()> + Send + 'static) {
        // The handle is not needed: the tracker waits for the task and nothing in it can panic.
        drop(self.tasks.spawn_on(work, &self.shared.runtime));
    }

    fn post(&self, name: String) -> Post {
        let status = Status {
            name: name.clone(),
            state: State::Running,
            since: self.shared.clock.now(),
            last_result: None,
            restarts: 0,
        };
        let mut board = self.shared.board();
        board.spawned += 1;
        let number = board.spawned;
        board.live.insert(number, status);
        drop(board);
        Post {
            shared: Arc::clone(&self.shared),
            number,
            name,
            stop: self.stop.child(),
            ended: Stop::new(),
        }
    }
}

impl Shared {
    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A task's place on the board.
#[derive(Debug)]
struct Post {
    shared: Arc<Shared>,
    number: u64,
    name: String,
    stop: Stop,
    ended: Stop,
}

impl Post {
    fn handle(&self) -> Supervised {
        Supervised { stop: self.stop.clone(), ended: self.ended.clone() }
    }

    fn span(&self) -> tracing::Span {
        tracing::info_span!("task", name = %self.name)
    }

    fn set(&self, state: State, last_result: Option<String>) {
        if let Some(result) = &last_result {
            tracing::warn!(name = %self.name, %result, "ended by itself, starting again");
        }
        let now = self.shared.clock.now();
        if let Some(status) = self.shared.board().live.get_mut(&self.number) {
            status.state = state;
            status.since = now;
            status.last_result = last_result.or(status.last_result.take());
        }
    }

    fn restarted(&self) {
        self.set(State::Running, None);
        if let Some(status) = self.shared.board().live.get_mut(&self.number) {
            status.restarts += 1;
        }
    }

    /// Applies the policy to a task that will not run again.
    fn end(&self, on_exit: OnExit, ended: Result<Option<String>, Crashed>) {
        let asked = self.stop.is_stopped();
        let well = matches!(ended, Ok(None));
        let reason = describe(ended);
        match on_exit {
            _ if asked && well => self.leave(State::Running, None),
            OnExit::Ignore if well => self.leave(State::Running, None),
            OnExit::Ignore => {
                tracing::error!(name = %self.name, %reason, "a one-shot task failed");
                self.leave(State::Failed, Some(reason));
            }
            OnExit::StopServer => {
                tracing::error!(name = %self.name, %reason, "a task the server needs has ended");
                let failure = Failure { name: self.name.clone(), reason: reason.clone() };
                self.leave(State::Failed, Some(reason));
                // The first failure is the cause; later ones are its consequences.
                self.shared.failure.send_if_modified(|first| {
                    let is_first = first.is_none();
                    first.get_or_insert(failure);
                    is_first
                });
            }
        }
    }

    fn leave(&self, state: State, last_result: Option<String>) {
        let now = self.shared.clock.now();
        let mut board = self.shared.board();
        if let Some(mut status) = board.live.remove(&self.number)
            && state == State::Failed
        {
            status.state = state;
            status.since = now;
            status.last_result = last_result;
            board.failed.push_back(status);
            if board.failed.len() > FAILED_KEPT {
                board.failed.pop_front();
            }
        }
        drop(board);
        self.ended.request();
    }
}

fn describe(ended: Result<Option<String>, Crashed>) -> String {
    match ended {
        Ok(None) => "returned without being asked to stop".to_owned(),
        Ok(Some(error)) => error,
        Err(crash) => crash.to_string(),
    }
}

#[cfg(test)]
mod tests;
