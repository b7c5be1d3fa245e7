//! The sandboxed process: its handle and its end, which is seen once and remembered.

use std::pin::pin;

use stint_model::time::Span;
use stint_sandbox::{Exit, ExitHow, Instance, Signal};
use stint_supervise::Clock;
use stint_wire::node::PoolSpec;
use tokio::sync::oneshot;

use crate::failure::{self, Failure};
use crate::output::Output;

/// After a kill the end must come within this, or the spawner is in trouble.
const KILL_BOUND: Span = Span::from_secs(10);

/// Killed when it is dropped.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) instance: Instance,
    exit: oneshot::Receiver<Exit>,
    ended: Option<Ended>,
    /// How long the initializer ran.
    pub(super) initialized: Span,
}

/// How it ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Ended {
    /// The spawner saw it.
    Exit(Exit),
    /// The spawner is gone, and every instance with it.
    Lost,
}

impl Ended {
    /// A shell's exit code.
    pub(super) fn code(&self) -> i32 {
        match self {
            Self::Exit(exit) => match exit.how {
                ExitHow::Code(code) => code,
                ExitHow::Signal(signal) => 128 + signal,
            },
            Self::Lost => 137,
        }
    }
}

impl Process {
    pub(super) fn new(instance: Instance, exit: oneshot::Receiver<Exit>) -> Self {
        Self { instance, exit, ended: None, initialized: Span::ZERO }
    }

    /// Returns when it has ended. Safe to drop.
    pub(super) async fn ended(&mut self) -> &Ended {
        if self.ended.is_none() {
            let exit = (&mut self.exit).await;
            self.ended = Some(exit.map_or(Ended::Lost, Ended::Exit));
        }
        self.ended.as_ref().expect("set just above")
    }

    /// Peak memory of a process that has ended, thousandths of a MB.
    pub(super) async fn peak(&mut self) -> u64 {
        match self.ended().await {
            Ended::Exit(exit) => {
                exit.usage.memory_peak_bytes.unwrap_or(0).saturating_mul(1_000) >> 20
            }
            Ended::Lost => 0,
        }
    }

    /// What to say of a process that ended before it served, `ran` after that began.
    pub(super) async fn failed_early(
        &mut self,
        class: &str,
        spec: &PoolSpec,
        ran: Span,
    ) -> Failure {
        let memory = self.peak().await;
        match self.ended().await {
            Ended::Exit(exit) if exit.out_of_memory => {
                failure::out_of_memory(class, ran, memory, spec.size.memory_mb)
            }
            Ended::Exit(_) => failure::crashed(class, ran, memory),
            Ended::Lost => failure::lost(),
        }
    }

    /// SIGTERM, a moment, SIGKILL; reads the output meanwhile.
    pub(super) async fn terminate(&mut self, clock: &Clock, grace: Span, output: &mut Output) {
        self.instance.signal(Signal::Terminate);
        let ended = attend(self, output, clock.sleep(grace)).await;
        if ended.is_some() {
            self.kill(clock, output).await;
        }
    }

    /// Ends it now and waits until it is gone.
    pub(super) async fn kill(&mut self, clock: &Clock, output: &mut Output) {
        self.instance.kill();
        if attend(self, output, clock.sleep(KILL_BOUND)).await.is_some() {
            tracing::error!(pid = self.instance.pid(), "a killed instance does not end");
            self.ended = Some(Ended::Lost);
        }
        output.drain();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.ended.is_none() {
            self.instance.kill();
        }
    }
}

/// Does something while the output is read, so that a full pipe cannot hold the process up. `None`:
/// the process ended first.
pub(super) async fn attend<T>(
    process: &mut Process,
    output: &mut Output,
    work: impl Future<Output = T>,
) -> Option<T> {
    let mut work = pin!(work);
    loop {
        tokio::select! {
            biased;
            // Done: the others are only waits.
            done = &mut work => return Some(done),
            // Ended: the caller agreed to lose the work.
            _ = process.ended() => return None,
            // What was read stays in the output.
            () = output.wait() => {}
        }
    }
}
