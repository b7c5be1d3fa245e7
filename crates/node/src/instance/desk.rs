//! What serving has in common, whatever the contract: running attempts, their clocks, logs, figures
//! and reports, and the ends an instance can come to.

use std::sync::Arc;

use bytes::Bytes;
use stint_model::id::InstanceId;
use stint_model::limit::Class;
use stint_model::scaling::IdleCpu;
use stint_model::task::{Measured, Progress};
use stint_model::time::{Span, Timestamp};
use stint_sandbox::CpuClass;
use stint_wire::node::{FromNode, Lease, Outcome, PoolSpec, StopReason, UsagePiece};
use tokio::sync::mpsc;

use super::exec::{self, Home, Visit};
use super::meter::{Claim, Meter};
use super::process::{Ended, Process};
use super::start::mark;
use super::tally::{Counted, Tally};
use super::{Invocation, Order};
use crate::agent::{AgentEvent, InstanceKey};
use crate::config::Freeze;
use crate::failure::{self, Failure, UNHANDLED};
use crate::output::{AttemptLog, Output, Rest, valid};
use crate::shared::NodeShared;

/// Log bytes that are handed over without waiting for more.
const LOG_FLUSH_BYTES: usize = 64 * 1024;
/// Upstream's bound on PreStop (§4.4).
pub(super) const PRE_STOP_MAX: Span = Span::from_secs(90);

/// An attempt in user code.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) invocation: Box<Invocation>,
    started_at: Timestamp,
    deadline: Timestamp,
    log: AttemptLog,
    /// Since when log lines wait.
    log_since: Timestamp,
    progress: Option<Progress>,
    progress_last: Option<Progress>,
    progress_sent_at: Timestamp,
}

/// Which instance this is.
#[derive(Debug)]
pub(super) struct Who {
    pub(super) key: InstanceKey,
    pub(super) id: InstanceId,
    pub(super) spec: Arc<PoolSpec>,
    /// Whether it is kept while idle, and with what.
    pub(super) kept: Option<IdleCpu>,
    /// What its program found when it started.
    pub(super) home: Arc<Home>,
}

/// See the module.
pub(super) struct Desk {
    pub(super) shared: Arc<NodeShared>,
    pub(super) who: Who,
    pub(super) inbox: mpsc::Receiver<Order>,
    pub(super) process: Process,
    pub(super) output: Output,
    pub(super) running: Vec<Running>,
    frozen: bool,
    /// Whether it stands back for those somebody waits for.
    class: CpuClass,
    /// Commands that somebody runs beside it.
    visits: u32,
    meter: Meter,
    tally: Tally,
    /// The runtime ends attempts itself; how long it may take to.
    overtime: Span,
}

/// A limit that a runtime holds by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Limit {
    Time,
    Memory,
}

impl Desk {
    pub(super) fn new(
        shared: Arc<NodeShared>,
        who: Who,
        inbox: mpsc::Receiver<Order>,
        process: Process,
        output: Output,
    ) -> Self {
        let mut meter = Meter::default();
        meter.read(shared.clock.now(), Span::ZERO, &process.instance);
        let mut tally = Tally::new(shared.clock.now());
        tally.hook(process.initialized);
        Self {
            shared,
            who,
            inbox,
            process,
            output,
            running: Vec::new(),
            frozen: false,
            class: CpuClass::Usual,
            visits: 0,
            meter,
            tally,
            overtime: Span::ZERO,
        }
    }

    pub(super) fn into_inbox(self) -> mpsc::Receiver<Order> {
        self.inbox
    }

    pub(super) fn allow_overtime(&mut self, overtime: Span) {
        self.overtime = overtime;
    }

    pub(super) fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }

    /// Whether it stands still; only its own requests and its end wake it.
    pub(super) fn is_frozen(&self) -> bool {
        self.frozen
    }

    /// Lets nothing of it run until there is something to do, where the node is told to.
    pub(super) async fn rest(&mut self) {
        let sleeps = self.who.kept == Some(IdleCpu::Released)
            || self.shared.config.bounds.freeze != Freeze::Never;
        if !sleeps || !self.running.is_empty() || self.visits > 0 {
            return;
        }
        match self.process.instance.freeze().await {
            Ok(()) => self.frozen = true,
            // Its end is on the way here.
            Err(error) => tracing::debug!(%error, "an instance cannot be frozen"),
        }
    }

    /// From now on it is kept, or not any more.
    pub(super) async fn keep(&mut self, kept: Option<IdleCpu>) {
        self.say_used(self.now(), Pace::Now).await;
        self.who.kept = kept;
        self.wake().await;
    }

    /// Lets it go on.
    pub(super) async fn wake(&mut self) {
        if std::mem::take(&mut self.frozen)
            && let Err(error) = self.process.instance.thaw().await
        {
            tracing::debug!(%error, "an instance cannot be thawed");
        }
    }

    /// Somebody runs a command in it. That is paid for as an invocation is, and takes no slot (§1.20).
    pub(super) async fn receive(&mut self, visit: Visit) {
        let Some(place) = self.shared.visits.try_admit() else {
            let why = "too many commands run in instances of this node";
            return exec::refuse(&self.shared, self.who.key, &visit, why).await;
        };
        self.wake().await;
        self.tally.begin(self.now());
        self.visits += 1;
        let (shared, home) = (Arc::clone(&self.shared), Arc::clone(&self.who.home));
        let at = (self.who.key, self.process.instance.clone(), home);
        place.spawn(move |_| exec::visit(shared, at, visit));
    }

    /// One of them has ended.
    pub(super) fn visited(&mut self) {
        self.visits = self.visits.saturating_sub(1);
        self.tally.end(self.now(), Counted::Yes, 0);
    }

    /// An instance that runs nothing but tasks has the processor time that nobody else wants.
    fn stand(&mut self, also: Option<Class>) {
        let mut classes = self.running.iter().map(|running| running.invocation.start.class);
        let online = also == Some(Class::Online) || classes.any(|class| class == Class::Online);
        let class = match online {
            true => CpuClass::Usual,
            // What has nothing to do stays as it is: the next may be of the same kind.
            false if also.is_none() && self.running.is_empty() => return,
            false => CpuClass::Idle,
        };
        if class == self.class {
            return;
        }
        self.class = class;
        let cpu_milli = self.who.spec.size.cpu_milli.max(10);
        if let Err(error) = self.process.instance.set_class(class, cpu_milli) {
            tracing::debug!(%error, "an instance's processor class cannot be set");
        }
    }

    /// User code is entered: from here the time counts.
    pub(super) async fn begin(&mut self, invocation: Box<Invocation>) {
        self.wake().await;
        self.stand(Some(invocation.start.class));
        let now = self.now();
        let start = &invocation.start;
        let bounds = &self.shared.config.bounds;
        let log = AttemptLog::new(
            Arc::clone(&start.request_id),
            bounds.attempt_log_bytes_max,
            start.log_tail,
        );
        let measured = Measured {
            instance: Some(self.who.id),
            placed_at: invocation.placed_at,
            started_at: now,
            cold: invocation.cold,
            ..Measured::default()
        };
        let started = FromNode::Started { lease: start.lease, measured };
        self.tally.begin(now);
        self.running.push(Running {
            started_at: now,
            deadline: now + start.timeout + self.overtime,
            log,
            log_since: Timestamp::ZERO,
            progress: None,
            progress_last: None,
            progress_sent_at: Timestamp::ZERO,
            invocation,
        });
        self.shared.send(started).await;
    }

    pub(super) fn position(&self, lease: Lease) -> Option<usize> {
        self.running.iter().position(|running| running.invocation.start.lease == lease)
    }

    /// The user code returned.
    pub(super) async fn succeed(&mut self, at: usize, body: Bytes, claim: Claim) {
        self.finish(at, Failure { outcome: Outcome::Ok, body, log_word: "" }, claim, Alive::Yes)
            .await;
    }

    /// The user code failed and the instance serves on.
    pub(super) async fn fail(&mut self, at: usize, failure: Failure, claim: Claim) {
        self.finish(at, failure, claim, Alive::Yes).await;
    }

    /// The runtime ended the attempt at a limit, and the instance serves on.
    pub(super) async fn limited(&mut self, at: usize, limit: Limit, claim: Claim) {
        let Some(running) = self.running.get(at) else { return };
        let claimed = claim.peak_kb.saturating_mul(1_000) >> 10;
        let memory = self.meter.peak_milli_mb().max(claimed);
        let failure = match limit {
            Limit::Time => failure::timed_out(UNHANDLED, running.invocation.start.timeout, memory),
            Limit::Memory => {
                let ran = self.now().since(running.started_at);
                let limit_mb = self.who.spec.size.memory_mb;
                failure::out_of_memory(UNHANDLED, ran, memory, limit_mb)
            }
        };
        self.fail(at, failure, claim).await;
    }

    /// Settles one attempt. Order matters: its output is in before it is finished, and the agent
    /// knows of the free slot before the server can use it.
    async fn finish(&mut self, at: usize, end: Failure, claim: Claim, alive: Alive) {
        self.output.drain();
        // An unfinished line is this attempt's only when nobody else can be writing it.
        let rest = if self.running.len() == 1 { Rest::Take } else { Rest::Keep };
        self.sort_output(rest).await;
        let now = self.now();
        let mut running = self.running.swap_remove(at);
        self.stand(None);
        let read = match alive {
            Alive::Yes => {
                let every = self.shared.config.bounds.usage_every;
                self.meter.read(now, every, &self.process.instance)
            }
            Alive::No => None,
        };
        let cpu_micros = self.meter.charge(claim, read);
        self.tally.end(now, counted(&end.outcome), cpu_micros);
        self.say_used(now, Pace::WhenDue).await;
        if alive == Alive::No
            && let Some(epitaph) = end.epitaph()
        {
            running.log.add(epitaph.as_bytes());
        }
        let ran = now.since(running.started_at);
        let log_tail = running.log.end(&end.words(ran, self.meter.peak_milli_mb()));
        let start = &running.invocation.start;
        if running.log.is_pending() {
            let text = running.log.take_pending();
            self.shared.log(&self.who.spec, self.who.id, start, text).await;
        }
        let measured = Measured {
            instance: Some(self.who.id),
            placed_at: running.invocation.placed_at,
            started_at: running.started_at,
            ended_at: now,
            cold: running.invocation.cold,
            memory_milli_mb: self.meter.peak_milli_mb(),
            cpu_micros,
        };
        let lease = start.lease;
        if alive == Alive::Yes {
            self.shared.tell(AgentEvent::Done { key: self.who.key, lease }).await;
        }
        if let Some(progress) = running.progress.take() {
            self.shared.send(FromNode::Progress { lease, progress }).await;
        }
        let Failure { outcome, body, .. } = end;
        let finished = FromNode::Finished { lease, outcome, body, measured, log_tail };
        self.shared.send(finished).await;
    }

    /// Progress said by user code, passed on at a bounded rate.
    pub(super) async fn progress(&mut self, at: usize, permille: Option<u16>, message: &str) {
        let now = self.now();
        let Some(running) = self.running.get_mut(at) else { return };
        let before = running.progress_last.as_ref();
        let permille = permille.or(before.map(|last| last.permille)).unwrap_or(0).min(1_000);
        let message = match (message, before) {
            ("", Some(last)) => last.message.clone(),
            (message, _) => message.chars().take(MESSAGE_CHARS_MAX).collect(),
        };
        let progress = Progress { permille, message, at: now };
        running.progress_last = Some(progress.clone());
        if now.since(running.progress_sent_at) < self.shared.config.bounds.progress_every {
            running.progress = Some(progress);
            return;
        }
        running.progress_sent_at = now;
        running.progress = None;
        let lease = running.invocation.start.lease;
        self.shared.send(FromNode::Progress { lease, progress }).await;
    }

    /// Gives what was read to the attempts it belongs to: the only one that runs; else the one whose
    /// request id a line holds; else nobody's.
    pub(super) async fn sort_output(&mut self, rest: Rest) {
        let text = self.output.take(rest);
        if text.is_empty() {
            return;
        }
        let now = self.now();
        let mut loose = Vec::new();
        if let [only] = self.running.as_mut_slice() {
            only.add(&text, now);
        } else {
            for line in text.split_inclusive(|b| *b == b'\n') {
                match self.running.iter_mut().find(|running| running.is_named_in(line)) {
                    Some(running) => running.add(line, now),
                    None => loose.extend_from_slice(line),
                }
            }
        }
        if !loose.is_empty() {
            self.shared.log_loose(&self.who.spec, self.who.id, valid(loose)).await;
        }
        self.flush(now, LOG_FLUSH_BYTES).await;
    }

    /// Hands over log lines that have waited long enough or are many, and held-back progress.
    async fn flush(&mut self, now: Timestamp, bytes: usize) {
        let bounds = &self.shared.config.bounds;
        for running in &mut self.running {
            let waited = now.since(running.log_since) >= bounds.log_delay;
            if running.log.is_pending() && (waited || running.log.pending_bytes() >= bytes) {
                let text = running.log.take_pending();
                let start = &running.invocation.start;
                self.shared.log(&self.who.spec, self.who.id, start, text).await;
            }
            if now.since(running.progress_sent_at) >= bounds.progress_every
                && let Some(progress) = running.progress.take()
            {
                running.progress_sent_at = now;
                let lease = running.invocation.start.lease;
                self.shared.send(FromNode::Progress { lease, progress }).await;
            }
        }
    }

    /// When something is due next, if anything is.
    pub(super) fn next_wake(&self) -> Option<Timestamp> {
        let bounds = &self.shared.config.bounds;
        let metered = self.tally.due_at(bounds.metered_every);
        self.running
            .iter()
            .map(|running| {
                let mut at = running.deadline;
                if running.log.is_pending() {
                    at = at.min(running.log_since + bounds.log_delay);
                }
                if running.progress.is_some() {
                    at = at.min(running.progress_sent_at + bounds.progress_every);
                }
                at
            })
            .chain([metered])
            .min()
    }

    /// Sleeps until [`Self::next_wake`]; for ever when nothing runs. Safe to drop.
    pub(super) async fn sleep(shared: &NodeShared, until: Option<Timestamp>) {
        match until {
            Some(at) => shared.clock.sleep_until(at).await,
            None => std::future::pending().await,
        }
    }

    /// Does what is due; the lease of an attempt whose time is over, if one is.
    pub(super) async fn tick(&mut self) -> Option<Lease> {
        let now = self.now();
        self.flush(now, LOG_FLUSH_BYTES).await;
        self.say_used(now, Pace::WhenDue).await;
        let late = self.running.iter().find(|running| running.deadline <= now)?;
        Some(late.invocation.start.lease)
    }

    // ---- ends

    /// The process ended by itself.
    pub(super) async fn exited(&mut self) -> &'static str {
        self.gone().await;
        let ended = self.process.ended().await.clone();
        let (out_of_memory, lost) = match &ended {
            Ended::Exit(exit) => (exit.out_of_memory, false),
            Ended::Lost => (false, true),
        };
        let limit_mb = self.who.spec.size.memory_mb;
        let memory = self.meter.peak_milli_mb();
        self.end_all(|now, running| {
            let ran = now.since(running.started_at);
            if lost {
                failure::lost()
            } else if out_of_memory {
                failure::out_of_memory(UNHANDLED, ran, memory, limit_mb)
            } else {
                failure::crashed(UNHANDLED, ran, memory)
            }
        })
        .await;
        if out_of_memory { "killed for memory" } else { "the process exited" }
    }

    /// The time of one attempt is over: the instance cannot be trusted to have stopped its work.
    pub(super) async fn timed_out(&mut self, lease: Lease) -> &'static str {
        self.ending().await;
        let grace = self.shared.config.bounds.term_grace;
        let Self { shared, process, output, .. } = self;
        process.terminate(&shared.clock, grace, output).await;
        self.gone().await;
        let memory = self.meter.peak_milli_mb();
        self.end_all(|_, running| {
            if running.invocation.start.lease == lease {
                failure::timed_out(UNHANDLED, running.invocation.start.timeout, memory)
            } else {
                failure::system("another request of the instance ran out of time")
            }
        })
        .await;
        "a request timed out"
    }

    /// After PreStop: kills, and settles everything.
    pub(super) async fn stopped(&mut self, lease: Lease, reason: StopReason) -> &'static str {
        self.kill().await;
        self.end_all(|_, running| {
            if running.invocation.start.lease == lease {
                failure::stopped(reason)
            } else {
                failure::system("the instance was ended to stop another request")
            }
        })
        .await;
        "a request was stopped"
    }

    /// The answer cannot be read: the failure goes to what runs, and the instance ends.
    pub(super) async fn broken(&mut self, failure: Failure) -> &'static str {
        self.ending().await;
        self.kill().await;
        self.end_all(|_, _| failure.clone()).await;
        "the runtime broke the protocol"
    }

    /// Ends it without ceremony.
    pub(super) async fn killed(&mut self, reason: &'static str) -> &'static str {
        self.ending().await;
        self.kill().await;
        self.end_all(|_, _| failure::system(reason)).await;
        reason
    }

    /// The agent sends nothing more, and hooks and signals must arrive.
    pub(super) async fn ending(&mut self) {
        self.wake().await;
        self.shared.tell(AgentEvent::Ending { key: self.who.key }).await;
    }

    async fn kill(&mut self) {
        let Self { shared, process, output, .. } = self;
        process.kill(&shared.clock, output).await;
        self.gone().await;
    }

    /// The process is gone: last readings, and its room is free.
    async fn gone(&mut self) {
        self.output.drain();
        if let Ended::Exit(exit) = self.process.ended().await {
            self.meter.note(&exit.usage);
        }
        self.sort_output(Rest::Take).await;
        self.shared.tell(AgentEvent::Ended { key: self.who.key }).await;
    }

    /// A hook has run since `begun`; beside a request it costs nothing more.
    pub(super) fn hook_ran(&mut self, begun: Timestamp, request_id: &str) {
        self.output.mark(&mark("PreStop End", request_id));
        if self.running.is_empty() {
            self.tally.begin(begun);
            self.tally.end(self.now(), Counted::No, 0);
        }
    }

    /// Tells what was used, all of it or once it is worth a word.
    async fn say_used(&mut self, now: Timestamp, pace: Pace) {
        let every = self.shared.config.bounds.metered_every;
        if pace == Pace::WhenDue && now < self.tally.due_at(every) {
            return;
        }
        let Some(sums) = self.tally.take(now) else { return };
        let spec = &self.who.spec;
        self.shared.usage.put(UsagePiece {
            account: spec.account,
            function_name: Arc::clone(&spec.function_name),
            size: spec.size,
            disk_mb: spec.config.disk_mb,
            at: now,
            active: sums.active,
            idle: sums.idle,
            kept: self.who.kept,
            invocations: sums.invocations,
            cpu_micros: sums.cpu_micros,
        });
        if self.who.kept.is_some()
            && let Some(gauge) = self.meter.gauge(now, &self.process.instance, spec.size)
        {
            let (instance, pool) = (self.who.id, spec.pool);
            self.shared.send(FromNode::Gauge { instance, pool, gauge }).await;
        }
    }

    async fn end_all(&mut self, make: impl Fn(Timestamp, &Running) -> Failure) {
        while let Some(running) = self.running.last() {
            let failure = make(self.now(), running);
            let at = self.running.len() - 1;
            self.finish(at, failure, Claim::default(), Alive::No).await;
        }
        self.say_used(self.now(), Pace::Now).await;
    }
}

/// Characters of a progress message.
const MESSAGE_CHARS_MAX: usize = 1_024;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Alive {
    Yes,
    No,
}

/// When what was used is told.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pace {
    WhenDue,
    Now,
}

/// What the platform failed, and what never ran, is not counted (§8).
fn counted(outcome: &Outcome) -> Counted {
    match outcome {
        Outcome::Ok | Outcome::UserError { .. } | Outcome::Stopped(_) => Counted::Yes,
        Outcome::NotStarted { .. } | Outcome::Refused { .. } | Outcome::SystemError { .. } => {
            Counted::No
        }
    }
}

impl Running {
    fn add(&mut self, lines: &[u8], now: Timestamp) {
        if !self.log.is_pending() {
            self.log_since = now;
        }
        self.log.add(lines);
    }

    fn is_named_in(&self, line: &[u8]) -> bool {
        let id = self.invocation.start.request_id.as_bytes();
        !id.is_empty() && line.windows(id.len()).any(|window| window == id)
    }
}
