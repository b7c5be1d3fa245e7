//! Assembling a running engine: catalog, shards, letter carriers, retention; and the pump between a
//! node and the shards.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use stint_model::id::Mint;
use stint_model::link::{
    FromNode, InstanceReport, InstanceState, Lease, NodeLoad, Outcome, ToNode,
};
use stint_model::payload::Payload;
use stint_model::shard::Shard as ShardNumber;
use stint_model::time::Span;
use stint_store::StoreError;
use stint_supervise::{Guests, OnExit, Stop, Supervisor};
use tokio::sync::{mpsc, watch};

use crate::catalog::Catalog;
use crate::engine::{Assembly, Engine, EngineConfig, FlowTools, Ports};
use crate::error::EngineError;
use crate::flows::evaluate::Evaluator;
use crate::flows::plans::Plans;
use crate::flows::scheduler;
use crate::images;
use crate::invoke::Ended;
use crate::link::{Link, NodeView};
use crate::retention;
use crate::run::{Runner, carry_letters};
use crate::shard::{Ask, Input, NodeEvent, Parts, Returned};

/// Deliveries, blob deletions and large results at once.
const OUTSIDE_MAX: usize = 1_024;
/// How often draining looks whether everything has ended.
const DRAIN_LOOK: Span = Span::from_millis(20);

/// A running engine and how to know that it is ready.
#[derive(Debug)]
pub struct Running {
    /// The handle.
    pub engine: Engine,
    ready: watch::Receiver<u16>,
}

impl Running {
    /// Whether every shard is open and recovered.
    pub fn is_ready(&self) -> bool {
        *self.ready.borrow() == self.engine.shards()
    }

    /// Returns when every shard is open and recovered. Safe to drop.
    pub async fn ready(&mut self) {
        let shards = self.engine.shards();
        // The sender lives as long as the shards; without them nothing becomes ready any more.
        drop(self.ready.wait_for(|ready| *ready == shards).await);
    }

    /// Another look at the readiness.
    pub fn watch_ready(&self) -> watch::Receiver<u16> {
        self.ready.clone()
    }
}

/// Starts the shards of a book.
///
/// # Errors
/// When the control records cannot be read.
pub async fn start(
    config: EngineConfig,
    ports: Ports,
    supervisor: &Supervisor,
) -> Result<Running, StoreError> {
    let catalog = Arc::new(Catalog::load(ports.store.as_ref()).await?);
    let shards = config.shards;
    let mints: Vec<Mutex<Mint>> =
        (0..shards).map(|n| Mutex::new(Mint::resume(ShardNumber::new(n), 0))).collect();
    let (mints, link) = (Arc::new(mints), Arc::new(Link::default()));
    let (senders, receivers): (Vec<_>, Vec<_>) =
        (0..shards).map(|_| mpsc::channel(config.inbox_max)).unzip();
    let (ready, seen) = watch::channel(0);
    let plans = Arc::new(Plans::default());
    let parts = Parts {
        config: Arc::new(config.clone()),
        catalog: Arc::clone(&catalog),
        link: Arc::clone(&link),
        mint: Arc::clone(&mints),
        grants: Arc::default(),
        keyring: ports.keyring.clone(),
        spending: Arc::clone(&ports.spending),
        plans: Arc::clone(&plans),
        seed: ports.entropy.bits(),
    };
    let (store, clock) = (Arc::clone(&ports.store), ports.clock.clone());
    let flows = FlowTools {
        plans,
        evaluator: Evaluator::new(supervisor.clone(), config.flows.evaluators),
        sources: Default::default(),
        work: Default::default(),
        schedules: Default::default(),
    };
    let inboxes = senders;
    let engine = Engine::assemble(Assembly { config, ports, catalog, inboxes, mints, link, flows });
    for (number, inbox) in (0..shards).zip(receivers) {
        let number = ShardNumber::new(number);
        let runner = Runner {
            number,
            parts: parts.clone(),
            store: Arc::clone(&store),
            clock: clock.clone(),
            inbox,
            engine: engine.clone(),
            guests: supervisor.guests("engine/outside", OUTSIDE_MAX),
            flow_guests: supervisor.guests("engine/flows", OUTSIDE_MAX),
            later: Default::default(),
            ready: ready.clone(),
        };
        let name = format!("shard/{}", number.number());
        supervisor.spawn(name, OnExit::StopServer, |stop| runner.run(stop));
        let carrier = engine.clone();
        let name = format!("letters/{}", number.number());
        supervisor.spawn_restarting(name, Span::from_secs(1), move |stop| {
            carry_letters(carrier.clone(), number, stop)
        });
    }
    let keeper = engine.clone();
    supervisor.spawn_restarting("retention", Span::from_secs(60), move |stop| {
        retention::run(keeper.clone(), stop)
    });
    let asker = engine.clone();
    supervisor.spawn_restarting("images", Span::from_secs(1), move |stop| {
        images::run(asker.clone(), stop)
    });
    let timer = engine.clone();
    supervisor.spawn_restarting("schedules", Span::from_secs(1), move |stop| {
        scheduler::run(timer.clone(), stop)
    });
    Ok(Running { engine, ready: seen })
}

impl Engine {
    /// Carries values between one node and the shards until the node is gone.
    pub async fn run_node(
        self,
        mut from: mpsc::Receiver<FromNode>,
        to: mpsc::Sender<ToNode>,
        guests: Guests,
        stop: Stop,
    ) {
        const REPORTS_MAX: usize = 512;
        let mut reports = Vec::new();
        let mut node = None;
        loop {
            let received = stop.until(from.recv_many(&mut reports, REPORTS_MAX)).await;
            if received.is_none_or(|count| count == 0) {
                break;
            }
            for report in reports.drain(..) {
                if let FromNode::Hello { node: id, .. } = &report {
                    node = Some(*id);
                }
                // Only a closed inbox refuses, and then the server is stopping.
                if self.report(report, &to, &guests).await.is_err() {
                    break;
                }
            }
        }
        if let Some(node) = node {
            self.link().leave(node);
            for shard in self.shard_numbers() {
                drop(self.tell_shard(shard, Input::Node(NodeEvent::Left { node })).await);
            }
        }
    }

    fn shard_numbers(&self) -> impl Iterator<Item = ShardNumber> + use<> {
        (0..self.shards()).map(ShardNumber::new)
    }

    async fn report(
        &self,
        report: FromNode,
        to: &mpsc::Sender<ToNode>,
        guests: &Guests,
    ) -> Result<(), EngineError> {
        match report {
            FromNode::Hello { node, capacity, runtimes } => {
                let load = NodeLoad::default();
                self.link().join(NodeView { node, capacity, runtimes, load }, to.clone());
                for shard in self.shard_numbers() {
                    let joined = NodeEvent::Joined { node, capacity };
                    self.tell_shard(shard, Input::Node(joined)).await?;
                }
                self.images_nudge().notify_one();
                Ok(())
            }
            FromNode::Image { function, revision, found } => {
                let engine = self.clone();
                let heard = move |_stop| engine.image_heard(function, revision, found);
                guests.admit().await.spawn(heard);
                Ok(())
            }
            FromNode::Started { lease, measured } => {
                self.link().seated(lease, measured.instance);
                self.tell_shard(lease.shard, Input::Node(NodeEvent::Started { lease, measured }))
                    .await
            }
            FromNode::Progress { lease, progress } => {
                self.tell_shard(lease.shard, Input::Node(NodeEvent::Progress { lease, progress }))
                    .await
            }
            FromNode::Head { lease, head } => {
                if let Some(slot) = self.link().call(lease.work) {
                    slot.head(head);
                }
                Ok(())
            }
            FromNode::Chunk { lease, bytes } => {
                if let Some(slot) = self.link().call(lease.work)
                    && !slot.push(bytes)
                {
                    self.abandon(&slot);
                }
                Ok(())
            }
            FromNode::Finished { lease, outcome, body, measured, log_tail } => {
                let ended = Ended { outcome, body, measured, log_tail };
                self.finished(lease, ended, guests).await
            }
            FromNode::Pool { node, pool, live, starting } => {
                let Some(shard) = self.link().pool_home(pool) else { return Ok(()) };
                let event = NodeEvent::Pool { node, pool, live, starting };
                self.tell_shard(shard, Input::Node(event)).await
            }
            FromNode::Instance(report) => self.lived(report).await,
            FromNode::Gauge { instance, pool, gauge } => {
                let Some(shard) = self.link().pool_home(pool) else { return Ok(()) };
                let event = NodeEvent::Gauge { instance, pool, gauge };
                self.tell_shard(shard, Input::Node(event)).await
            }
            FromNode::Exec { id, word } => {
                self.link().execs().hear(id, word);
                Ok(())
            }
            FromNode::Load { node, load } => {
                self.link().load(node, load);
                Ok(())
            }
            FromNode::Drained { node } => {
                tracing::info!(node = node.0, "the node is drained");
                Ok(())
            }
        }
    }

    /// An instance's life, for lists; who keeps some hears whether it came up.
    async fn lived(&self, report: InstanceReport) -> Result<(), EngineError> {
        let (pool, instance) = (report.pool, report.instance);
        let (state, reason) = (report.state, report.reason.clone());
        let event = match (state, self.link().instance(report)) {
            (InstanceState::Running, _) => NodeEvent::Came { pool },
            (InstanceState::Destroyed, before) => {
                let failed = before == Some(InstanceState::Creating);
                NodeEvent::Went { instance, pool, failed: failed.then_some(reason) }
            }
            (InstanceState::Creating | InstanceState::Terminating, _) => return Ok(()),
        };
        let Some(shard) = self.link().pool_home(pool) else { return Ok(()) };
        self.tell_shard(shard, Input::Node(event)).await
    }

    /// A call's answer goes straight to its caller; a task's large result goes to the blob store
    /// before the shard hears of it.
    async fn finished(
        &self,
        lease: Lease,
        ended: Ended,
        guests: &Guests,
    ) -> Result<(), EngineError> {
        if lease.work >> 63 == 1 {
            let (outcome, measured) = (ended.outcome.clone(), ended.measured.clone());
            // Without room on the node it may find another: the shard decides.
            let is_refused = matches!(outcome, Outcome::Refused { .. });
            if !is_refused && let Some(slot) = self.link().close_call(lease.work) {
                slot.end(ended);
            }
            let returned = Returned { measured, ..Returned::default() };
            let event = NodeEvent::Finished { lease, outcome, returned };
            return self.tell_shard(lease.shard, Input::Node(event)).await;
        }
        if ended.body.len() <= self.config().result_inline_max {
            let Ended { outcome, body, measured, .. } = ended;
            let returned = Returned { result: Payload::Inline(body), measured, note: None };
            let event = NodeEvent::Finished { lease, outcome, returned };
            return self.tell_shard(lease.shard, Input::Node(event)).await;
        }
        let engine = self.clone();
        guests
            .admit()
            .await
            .spawn(move |_stop| async move { engine.keep_result(lease, ended).await });
        Ok(())
    }

    /// A result that does not fit into the account's limit is not kept, which is told; the task is
    /// settled as it ended.
    async fn keep_result(self, lease: Lease, ended: Ended) {
        let mut returned = Returned { measured: ended.measured, ..Returned::default() };
        let mut outcome = ended.outcome;
        match self.result_blob(lease, ended.body).await {
            Ok(result) => returned.result = result,
            Err(EngineError::Refused(refusal)) => {
                returned.note = Some(format!("the result was not kept: {}", refusal.message));
            }
            Err(error) => {
                let error = stint_supervise::chain(&error);
                outcome = Outcome::SystemError { reason: format!("keep the result: {error}") };
            }
        }
        let event = NodeEvent::Finished { lease, outcome, returned };
        // A closed inbox means that the server is stopping; the lease is lost and found again.
        drop(self.tell_shard(lease.shard, Input::Node(event)).await);
    }

    async fn result_blob(&self, lease: Lease, body: Bytes) -> Result<Payload, EngineError> {
        let uid = stint_model::id::TaskUid::from_number(lease.work);
        let Some(task) = self.store().task_get(&[uid]).await?.into_iter().flatten().next() else {
            // Forgotten meanwhile: the report is stale, whatever it says.
            return Ok(Payload::empty());
        };
        let (account, len) = (task.order().account, body.len() as u64);
        self.storage_take(account, len)?;
        let name = format!("result/{account}/{uid}/{}-{}", lease.epoch.0, lease.attempt);
        if let Err(error) = self.blobs().put(&name, body).await {
            self.storage().give_back(account, len);
            return Err(error.into());
        }
        Ok(Payload::Blob { name, len })
    }

    /// Starts nothing new and waits until everything that runs has ended, or for the grace.
    /// Gives how much still runs.
    pub async fn drain(&self, grace: Span) -> u64 {
        self.close_door();
        for shard in self.shard_numbers() {
            drop(self.tell_shard(shard, Input::Drain).await);
        }
        let until = self.clock().now() + grace;
        loop {
            let running = match self.ask_all(Ask::Report).await {
                Ok(reports) => reports.iter().map(|report| report.running).sum(),
                Err(_) => 0,
            };
            if running == 0 || self.clock().now() >= until {
                return running;
            }
            self.clock().sleep(DRAIN_LOOK).await;
        }
    }
}
