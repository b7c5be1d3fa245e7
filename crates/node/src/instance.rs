//! One instance: a supervised task that starts a sandbox, serves what the agent sends it, and ends
//! it. Everything that happens to an instance happens here, in one loop, so nothing is locked.
//!
//! ```text
//! first invocation ─► start (code, volumes, launch, load, initializer) ─► serve ⇄ idle ─► end ─► gone
//!                 └── fails: every bound invocation gets the reason ────────────────────────────┘
//! ```
//! The agent binds an invocation to an instance before it is sent; one that reaches an instance too late
//! goes back to the agent and is placed anew.

mod container;
mod desk;
mod exec;
mod meter;
mod orders;
mod parking;
mod poll;
mod process;
mod server;
mod shim;
mod start;
mod tally;

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;

use stint_model::id::InstanceId;
use stint_model::scaling::IdleCpu;
use stint_model::time::{Span, Timestamp};
use stint_wire::node::{
    FromNode, InstanceReport, InstanceState, Lease, Outcome, PoolSpec, Start, StopReason,
};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use crate::agent::{AgentEvent, InstanceKey};
use crate::egress::Gate;
use crate::failure;
use crate::output::{AttemptLog, Rest, valid};
use crate::shared::NodeShared;

use desk::Desk;

pub(crate) use exec::Visit;
pub(crate) use parking::{Kind, Lot, Parking};

/// An invocation bound to an instance.
#[derive(Debug)]
pub(crate) struct Invocation {
    pub(crate) start: Box<Start>,
    pub(crate) placed_at: Timestamp,
    /// An instance was begun for it.
    pub(crate) cold: bool,
}

/// Agent to instance.
#[derive(Debug)]
pub(crate) enum Order {
    /// Run this; there is a free slot.
    Run(Box<Invocation>),
    /// End this attempt, and the instance with it.
    Stop { lease: Lease, reason: StopReason, grace: Span },
    /// It is kept while idle from now on, or not any more.
    Keep(Option<IdleCpu>),
    /// Somebody runs a command beside it.
    Exec(Box<Visit>),
    /// Such a command has ended.
    Visited,
    /// End when idle, politely. Jobs that are still running end first.
    End { reason: &'static str },
    /// End now; what runs gets a system error.
    Kill { reason: &'static str },
}

/// What the agent gives to a new instance.
pub(crate) struct Birth {
    pub(crate) key: InstanceKey,
    pub(crate) id: InstanceId,
    pub(crate) spec: Arc<PoolSpec>,
    /// What it is started for; nothing for one that is kept.
    pub(crate) first: Option<Box<Invocation>>,
    pub(crate) inbox: mpsc::Receiver<Order>,
}

/// The instance's whole life.
pub(crate) async fn live(shared: Arc<NodeShared>, birth: Birth) {
    let Birth { key, id, spec, first, inbox } = birth;
    let funeral = Funeral { shared: Arc::clone(&shared), key, held: true };
    let created_at = shared.clock.now();
    let mut life = Life { shared, key, id, spec, inbox, created_at, traffic: (0, 0), kept: None };
    life.report(InstanceState::Creating, &[], "").await;
    let reason = life.whole(first).await;
    funeral.over();
    life.give_back().await;
    life.report(InstanceState::Destroyed, &[], &reason).await;
}

/// Tells the agent that the instance is gone even when its task panics.
struct Funeral {
    shared: Arc<NodeShared>,
    key: InstanceKey,
    held: bool,
}

impl Funeral {
    fn over(mut self) {
        self.held = false;
    }
}

impl Drop for Funeral {
    fn drop(&mut self) {
        if !self.held {
            return;
        }
        let told = self.shared.events.try_send(AgentEvent::Ended { key: self.key });
        // When the node itself is gone, as at a stop in a hurry, there is nobody who could miss it.
        if let Err(TrySendError::Full(_)) = told {
            tracing::error!(key = self.key.0, "an instance was lost without a word");
        }
    }
}

struct Life {
    shared: Arc<NodeShared>,
    key: InstanceKey,
    id: InstanceId,
    spec: Arc<PoolSpec>,
    inbox: mpsc::Receiver<Order>,
    created_at: Timestamp,
    /// Bytes that left and came in through its door.
    traffic: (u64, u64),
    /// Whether it is kept while idle.
    kept: Option<IdleCpu>,
}

impl Life {
    /// Returns why it ended, in words.
    async fn whole(&mut self, first: Option<Box<Invocation>>) -> String {
        let request_id = match &first {
            Some(first) => first.start.request_id.to_string(),
            None => crate::agent::fresh_request_id(self.created_at),
        };
        let mut waiting: VecDeque<_> = first.into_iter().collect();
        let started = self.start(&request_id, &mut waiting).await;
        let live = match started {
            Ok(live) => live,
            Err(failed) => {
                self.tell(AgentEvent::Ended { key: self.key }).await;
                let reason = words(&failed.failure.outcome);
                for invocation in waiting {
                    self.never_ran(*invocation, &failed).await;
                }
                return reason;
            }
        };
        self.report(InstanceState::Running, &live.enforced, "").await;
        self.tell(AgentEvent::Ready { key: self.key }).await;
        let start::Live { process, mut output, contract, held, enforced, gate, home } = live;
        if start::hook(self.spec.config.initializer.as_ref()).is_some() {
            self.log_hook(output.take(Rest::Take), waiting.front().map(|first| &**first)).await;
        }
        let (_, inbox) = mpsc::channel(1);
        let desk = Desk::new(
            Arc::clone(&self.shared),
            desk::Who {
                key: self.key,
                id: self.id,
                spec: Arc::clone(&self.spec),
                kept: self.kept,
                home: Arc::new(home),
            },
            std::mem::replace(&mut self.inbox, inbox),
            process,
            output,
        );
        let (desk, reason) = match contract {
            start::Contract::Shim(shim) => shim::serve(desk, shim, waiting).await,
            start::Contract::Server(server) => server::serve(desk, *server, waiting).await,
            start::Contract::Polls(polls) => poll::serve(desk, *polls, waiting).await,
        };
        self.inbox = desk.into_inbox();
        self.traffic = gate.as_ref().map(Gate::bytes).unwrap_or_default();
        drop((held, enforced, gate));
        reason.to_owned()
    }

    /// What the initializer wrote: the request's it is run for, if one is.
    async fn log_hook(&self, text: Vec<u8>, request: Option<&Invocation>) {
        match request {
            _ if text.is_empty() => {}
            Some(first) => self.shared.log(&self.spec, self.id, &first.start, valid(text)).await,
            None => self.shared.log_loose(&self.spec, self.id, valid(text)).await,
        }
    }

    /// What came too late goes back, except what was stopped meanwhile: that ends here.
    async fn give_back(&mut self) {
        self.inbox.close();
        let (mut late, mut stopped) = (Vec::new(), Vec::new());
        while let Some(order) = self.inbox.recv().await {
            match order {
                Order::Run(invocation) => late.push(invocation),
                Order::Stop { lease, reason, .. } => stopped.push((lease, reason)),
                Order::Exec(visit) => {
                    exec::refuse(&self.shared, self.key, &visit, "the instance is ending").await;
                }
                Order::End { .. } | Order::Kill { .. } | Order::Keep(_) | Order::Visited => {}
            }
        }
        for invocation in late {
            let lease = invocation.start.lease;
            match stopped.iter().find(|(other, _)| *other == lease) {
                Some((_, reason)) => self.never_ran(*invocation, &stopped_early(*reason)).await,
                None => self.tell(AgentEvent::Return { invocation }).await,
            }
        }
    }

    /// Starts while orders keep coming in.
    async fn start(
        &mut self,
        request_id: &str,
        waiting: &mut VecDeque<Box<Invocation>>,
    ) -> Result<start::Live, start::NotStarted> {
        let (shared, spec) = (Arc::clone(&self.shared), Arc::clone(&self.spec));
        let mut start = pin!(start::start(&shared, &spec, self.id, request_id));
        loop {
            let order = tokio::select! {
                biased;
                // Nothing is dropped but a wait for orders.
                started = &mut start => return started,
                // An order is taken whole or not at all.
                order = self.inbox.recv() => order,
            };
            let reason = match order {
                Some(Order::Run(invocation)) => {
                    waiting.push_back(invocation);
                    continue;
                }
                Some(Order::Stop { lease, reason, .. }) => {
                    if let Some(at) =
                        waiting.iter().position(|invocation| invocation.start.lease == lease)
                        && let Some(invocation) = waiting.remove(at)
                    {
                        self.tell(AgentEvent::Done { key: self.key, lease }).await;
                        let failed = stopped_early(reason);
                        self.never_ran(*invocation, &failed).await;
                    }
                    if !waiting.is_empty() {
                        continue;
                    }
                    "stopped while starting"
                }
                Some(Order::Keep(kept)) => {
                    self.kept = kept;
                    continue;
                }
                Some(Order::Exec(visit)) => {
                    exec::refuse(&shared, self.key, &visit, "the instance is starting").await;
                    continue;
                }
                Some(Order::Visited) => continue,
                Some(Order::End { reason } | Order::Kill { reason }) => reason,
                None => "the node is ending",
            };
            // Dropping the start kills what it has begun.
            return Err(start::NotStarted { failure: failure::system(reason), output: Vec::new() });
        }
    }

    /// The answer to an invocation whose instance did not come up.
    async fn never_ran(&self, invocation: Invocation, failed: &start::NotStarted) {
        let start = &invocation.start;
        let bounds = &self.shared.config.bounds;
        let request_id = Arc::clone(&start.request_id);
        let mut log = AttemptLog::new(request_id, bounds.attempt_log_bytes_max, start.log_tail);
        log.add(&failed.output);
        if let Some(epitaph) = failed.failure.epitaph() {
            log.add(epitaph.as_bytes());
        }
        let log_tail = log.end(failed.failure.log_word);
        if log.is_pending() {
            self.shared.log(&self.spec, self.id, start, log.take_pending()).await;
        }
        let measured = stint_model::task::Measured {
            instance: Some(self.id),
            placed_at: invocation.placed_at,
            ended_at: self.shared.clock.now(),
            cold: invocation.cold,
            ..Default::default()
        };
        let finished = FromNode::Finished {
            lease: start.lease,
            outcome: failed.failure.outcome.clone(),
            body: failed.failure.body.clone(),
            measured,
            log_tail,
        };
        self.shared.send(finished).await;
    }

    async fn tell(&self, event: AgentEvent) {
        self.shared.tell(event).await;
    }

    async fn report(&self, state: InstanceState, enforced: &[String], reason: &str) {
        let now = self.shared.clock.now();
        let gone = state == InstanceState::Destroyed;
        let report = InstanceReport {
            instance: self.id,
            node: self.shared.config.node,
            pool: self.spec.pool,
            function: self.spec.function,
            revision: self.spec.revision,
            version: Arc::clone(&self.spec.version),
            state,
            created_at: self.created_at,
            destroyed_at: if gone { now } else { Timestamp::ZERO },
            enforced: enforced.into(),
            reason: reason.to_owned(),
            sent_bytes: self.traffic.0,
            received_bytes: self.traffic.1,
        };
        self.shared.send(FromNode::Instance(report)).await;
    }
}

fn stopped_early(reason: StopReason) -> start::NotStarted {
    let failure = failure::stopped(reason);
    start::NotStarted { failure, output: Vec::new() }
}

fn words(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Ok => "ended".to_owned(),
        Outcome::UserError { kind, message, .. } => format!("{kind}: {message}"),
        Outcome::NotStarted { message } => message.clone(),
        Outcome::Refused { reason } | Outcome::SystemError { reason } => reason.clone(),
        Outcome::Stopped(_) => "stopped while starting".to_owned(),
    }
}
