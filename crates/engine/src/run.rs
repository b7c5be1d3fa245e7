//! The shard loop: waits, takes everything that is there, reads, decides, commits once, acts. One
//! commit is in flight while the next batch gathers. When a commit fails, memory is dropped, a new
//! epoch is opened and everything is read again: recovery is the same code as a quiet start.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use stint_model::id::{AccountId, ExecutionUid, FlowId, FunctionId, Mint};
use stint_model::link::{Outcome, ToNode};
use stint_model::shard::Shard as ShardNumber;
use stint_model::time::{Span, Timestamp};
use stint_store::{CommitError, Committed, ListedName, Store, StoreError, TaskQuery};
use stint_supervise::{Clock, Guests, Stop};
use tokio::sync::{mpsc, watch};

use crate::destination;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::flows::outside;
use crate::shard::{Act, GoneBlob, Input, Loaded, NodeEvent, Parts, Reads, Returned, Shard, Wants};

/// Recovery and sweeps read this many tasks at a time.
const PAGE: usize = 2_000;
/// What waits for its turn outside the loop at most; the rest is left to the next recovery.
const LATER_MAX: usize = 65_536;
/// How often it is tried again.
const LATER_PAUSE: Span = Span::from_millis(20);
/// After a failed commit the shard is opened again after this long.
const REOPEN_PAUSE: Span = Span::from_millis(200);

/// Why a shard's life ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ShardError {
    /// Another owner opened the shard: this server must not write it any more.
    #[error("keep the shard: it has a newer owner")]
    Deposed,
}

/// What runs one shard.
#[derive(Debug)]
pub(crate) struct Runner {
    pub(crate) number: ShardNumber,
    pub(crate) parts: Parts,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Clock,
    pub(crate) inbox: mpsc::Receiver<Input>,
    pub(crate) engine: Engine,
    pub(crate) guests: Guests,
    /// What steps of flows wait for outside: a slow server holds up other steps and nothing else.
    pub(crate) flow_guests: Guests,
    /// What could not be begun outside yet.
    pub(crate) later: VecDeque<Act>,
    /// How many shards are open and recovered.
    pub(crate) ready: watch::Sender<u16>,
}

type Commit = Pin<Box<dyn Future<Output = Result<Committed, CommitError>> + Send>>;

enum Failure {
    Store(StoreError),
    Commit(CommitError),
}

impl Runner {
    pub(crate) async fn run(mut self, stop: Stop) -> Result<(), ShardError> {
        while !stop.is_stopped() {
            let mut shard = match self.open().await {
                Ok(shard) => shard,
                Err(error) => {
                    tracing::error!(shard = self.number.number(), %error, "cannot open the shard");
                    self.clock.sleep(REOPEN_PAUSE).await;
                    continue;
                }
            };
            self.ready.send_modify(|ready| *ready += 1);
            let ended = self.live(&mut shard, &stop).await;
            self.ready.send_modify(|ready| *ready -= 1);
            let Err(failure) = ended else { return Ok(()) };
            let deposed = matches!(failure, Failure::Commit(CommitError::Deposed));
            let text = match failure {
                Failure::Store(error) => stint_supervise::chain(&error),
                Failure::Commit(error) => stint_supervise::chain(&error),
            };
            // Whatever is still to be done follows from the book.
            self.later.clear();
            tracing::error!(
                shard = self.number.number(),
                error = text,
                "a turn failed: memory is dropped and read again from the book"
            );
            metrics::counter!("stint_shard_reopened_total").increment(1);
            self.nudge(self.parts.grants.closed(shard.holder()));
            shard.fail(Vec::new(), || {
                EngineError::Bug(format!("the book could not be written: {text}"))
            });
            if deposed {
                return Err(ShardError::Deposed);
            }
            self.clock.sleep(REOPEN_PAUSE).await;
        }
        Ok(())
    }

    async fn open(&self) -> Result<Shard, StoreError> {
        let opened = self.store.shard_open(self.number, self.clock.now()).await?;
        {
            let index = usize::from(self.number.number());
            let mut mint =
                self.parts.mint[index].lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            *mint = Mint::resume(self.number, mint.last().max(opened.minted_max));
        }
        let now = self.clock.now();
        let mut shard = Shard::open(self.number, &opened, self.parts.clone(), now);
        let fence = ToNode::Fence { shard: self.number, epoch: opened.epoch };
        self.engine.link().broadcast(&fence);
        // Whatever others start from now on reaches the nodes after that.
        self.nudge(self.parts.grants.opened(shard.holder()));
        let mut after = None;
        loop {
            let tasks = self.store.task_open(self.number, after, PAGE).await?;
            let Some(last) = tasks.last() else { break };
            after = Some(last.uid());
            shard.recover(tasks, self.clock.now());
        }
        let mut after = None;
        loop {
            let open = self.store.execution_open(self.number, after, PAGE).await?;
            let Some(last) = open.last() else { break };
            after = Some(last.uid);
            shard.recover_executions(open);
        }
        Ok(shard)
    }

    async fn live(&mut self, shard: &mut Shard, stop: &Stop) -> Result<(), Failure> {
        let turn_max = self.parts.config.turn_inputs_max;
        let mut inputs: Vec<Input> = Vec::new();
        let mut commit: Option<Commit> = None;
        let mut closing = false;
        loop {
            self.act(shard, &mut inputs);
            if commit.is_none() {
                commit = shard.take_batch(self.clock.now()).map(|batch| {
                    let store = Arc::clone(&self.store);
                    Box::pin(async move { store.commit(batch).await }) as Commit
                });
                self.act(shard, &mut inputs);
            }
            if closing && commit.is_none() && inputs.is_empty() && self.inbox.is_empty() {
                return Ok(());
            }
            let mut wake_at =
                if inputs.is_empty() { shard.wake_at(self.clock.now()) } else { Timestamp::ZERO };
            if !self.later.is_empty() {
                wake_at = wake_at.min(self.clock.now() + LATER_PAUSE);
            }
            tokio::select! {
                biased;
                // The commit goes on in the store whatever happens here.
                result = async { commit.as_mut().expect("guarded").await }, if commit.is_some() => {
                    commit = None;
                    result.map_err(Failure::Commit)?;
                    shard.committed(self.clock.now());
                    if inputs.is_empty() && self.inbox.is_empty() {
                        continue;
                    }
                }
                // Receiving many takes nothing when it is dropped.
                _ = self.inbox.recv_many(&mut inputs, turn_max), if inputs.len() < turn_max && wake_at > Timestamp::ZERO => {}
                // A sleep loses nothing.
                () = self.clock.sleep_until(wake_at), if wake_at < Timestamp::MAX => {}
                // The wish to stop stays.
                () = stop.stopped(), if !closing => closing = true,
            }
            while inputs.len() < turn_max
                && let Ok(input) = self.inbox.try_recv()
            {
                inputs.push(input);
            }
            let wants = shard.wants(&inputs);
            let reads = self.read(wants).await.map_err(Failure::Store)?;
            shard.decide(self.clock.now(), std::mem::take(&mut inputs), reads);
        }
    }

    async fn read(&self, wants: Wants) -> Result<Reads, StoreError> {
        let mut reads = Reads::default();
        if !wants.chosen.is_empty() {
            let found = self.store.task_find(&wants.chosen).await?;
            let found = wants.chosen.into_iter().zip(found);
            reads.chosen = found.filter_map(|(key, uid)| Some((key, uid?))).collect();
        }
        if !wants.tasks.is_empty() {
            let found = self.store.task_get(&wants.tasks).await?;
            reads.tasks = found.into_iter().flatten().map(|task| (task.uid(), task)).collect();
        }
        for key in wants.records {
            if let Some(record) = self.store.record_get(&key).await? {
                reads.records.insert(key, record.version);
            }
        }
        for (function, cursor) in wants.sweeps {
            let query = TaskQuery {
                functions: vec![function],
                states: vec![
                    stint_model::task::TaskState::Enqueued,
                    stint_model::task::TaskState::Retrying,
                ],
                ascending: true,
                limit: PAGE,
                cursor,
                ..TaskQuery::default()
            };
            let page = self.store.task_list(&query).await?;
            reads.sweeps.push((function, page.items, page.next));
        }
        let flows = (wants.executions, wants.names, wants.plans);
        self.read_flows(flows, &mut reads).await?;
        reads.seed[..16].copy_from_slice(&self.engine.random_u128().to_le_bytes());
        reads.seed[16..].copy_from_slice(&self.engine.random_u128().to_le_bytes());
        Ok(reads)
    }

    /// Executions with their documents, definitions and map runs.
    async fn read_flows(
        &self,
        (mut uids, names, plans): (Vec<ExecutionUid>, Vec<ListedName>, Vec<(FlowId, u64)>),
        reads: &mut Reads,
    ) -> Result<(), StoreError> {
        for (flow, revision) in plans {
            let found = self.parts.plans.load(self.store.as_ref(), flow, revision).await?;
            if let Some(definition) = found {
                reads.plans.insert((flow, revision), definition);
            }
        }
        if !names.is_empty() {
            let found = self.store.execution_find(&names).await?;
            let found = names.into_iter().zip(found);
            reads.names = found.filter_map(|(name, uid)| Some((name, uid?))).collect();
            uids.extend(reads.names.values());
        }
        uids.sort_unstable();
        uids.dedup();
        if uids.is_empty() {
            return Ok(());
        }
        let heads = self.store.execution_get(&uids).await?;
        let documents = self.store.execution_document(&uids).await?;
        for (head, document) in heads.into_iter().zip(documents) {
            let Some(head) = head else { continue };
            let (flow, revision) = (head.flow, head.revision);
            let definition = self.parts.plans.load(self.store.as_ref(), flow, revision).await?;
            let Some(definition) = definition else {
                tracing::error!(execution = %head.uid, "its definition is gone; it is left alone");
                continue;
            };
            let uid = head.uid;
            match Loaded::read(head, definition, document.as_ref(), self.store.as_ref()).await {
                Ok(loaded) => drop(reads.executions.insert(uid, loaded)),
                // One that does not read must not keep the others from running.
                Err(error @ StoreError::Corrupt { .. }) => {
                    let error = stint_supervise::chain(&error);
                    tracing::error!(execution = %uid, error, "it does not read; it is left alone");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Does what the shard decided. What a node does not take comes back as refused.
    fn act(&mut self, shard: &mut Shard, inputs: &mut Vec<Input>) {
        let mut acts = std::mem::take(&mut self.later);
        acts.extend(shard.take_acts());
        for act in acts {
            match act {
                Act::Send(node, message) => {
                    let lease = match &message {
                        ToNode::Start(start) => Some(start.lease),
                        ToNode::Stop { .. }
                        | ToNode::Evict { .. }
                        | ToNode::Keep { .. }
                        | ToNode::Retire { .. }
                        | ToNode::StopInstance { .. }
                        | ToNode::Exec { .. }
                        | ToNode::Session(_)
                        | ToNode::Prepare(_)
                        | ToNode::Fence { .. }
                        | ToNode::Drain { .. } => None,
                    };
                    if self.engine.link().send(node, message) {
                        continue;
                    }
                    let Some(lease) = lease else { continue };
                    let reason = "the node is away or does not keep up".to_owned();
                    let outcome = Outcome::Refused { reason };
                    inputs.push(Input::Node(NodeEvent::Finished {
                        lease,
                        outcome,
                        returned: Returned::default(),
                    }));
                }
                Act::Nudge(other) => self.nudge([other]),
                Act::Broadcast(message) => self.engine.link().broadcast(&message),
                Act::Issue { .. }
                | Act::Deliver(_)
                | Act::TellAccounts(_)
                | Act::DeleteBlobs(_)
                | Act::Flow(_) => self.outside(act),
            }
        }
    }

    /// Begins something outside the loop, or keeps it until there is a place.
    fn outside(&mut self, act: Act) {
        let guests = if matches!(act, Act::Flow(_)) { &self.flow_guests } else { &self.guests };
        let Some(guest) = guests.try_admit() else {
            if self.later.len() < LATER_MAX {
                return self.later.push_back(act);
            }
            return tracing::warn!("too much waits outside the loop; left to the next recovery");
        };
        let engine = self.engine.clone();
        match act {
            Act::Issue { function, account, name } => {
                let number = self.number;
                guest.spawn(move |_stop| issue(engine, number, (function, account, name)));
            }
            Act::Deliver(task) => guest.spawn(move |_stop| destination::deliver(engine, *task)),
            Act::TellAccounts(accounts) => {
                let number = self.number;
                guest.spawn(move |_stop| tell_accounts(engine, number, accounts));
            }
            Act::DeleteBlobs(blobs) => {
                guest.spawn(move |_stop| async move { delete_blobs(&engine, blobs).await });
            }
            Act::Flow(act) => {
                let number = self.number;
                guest.spawn(move |_stop| outside::act(engine, number, act));
            }
            Act::Send(..) | Act::Broadcast(_) | Act::Nudge(_) => {
                unreachable!("done at once, inside the loop")
            }
        }
    }

    /// Other shards should look again. One whose inbox is full turns anyway.
    fn nudge(&self, others: impl IntoIterator<Item = ShardNumber>) {
        others.into_iter().for_each(|other| self.engine.nudge_shard(other));
    }
}

/// Deletes blobs of tasks; one that stays is found by the sweep.
pub(crate) async fn delete_blobs(engine: &Engine, blobs: Vec<GoneBlob>) {
    for GoneBlob { account, name, len } in blobs {
        match engine.blobs().delete(&name).await {
            Ok(()) => engine.storage().give_back(account, len),
            Err(error) => tracing::warn!(%error, name, "a blob stays; the sweep will find it"),
        }
    }
}

/// Issues credentials and tells the shard. Without them instances start bare, and it is tried again
/// when they would have been renewed.
async fn issue(
    engine: Engine,
    shard: ShardNumber,
    (function, account, name): (FunctionId, AccountId, Arc<str>),
) {
    let env = match engine.issue_for_function(account, &name).await {
        Ok(issued) => [
            ("ALIBABA_CLOUD_ACCESS_KEY_ID", issued.access_key_id.to_string()),
            ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", issued.access_key_secret.expose().to_owned()),
            ("ALIBABA_CLOUD_SECURITY_TOKEN", issued.security_token.expose().to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into(),
        Err(error) => {
            tracing::warn!(%error, function = %name, "no credentials for the function's instances");
            BTreeMap::new()
        }
    };
    // A closed inbox means that the server is stopping.
    drop(engine.tell_shard(shard, Input::Credentialed { function, env }).await);
}

/// Tells every other shard that accounts changed.
async fn tell_accounts(engine: Engine, from: ShardNumber, accounts: Vec<AccountId>) {
    for other in (0..engine.shards()).map(ShardNumber::new).filter(|other| *other != from) {
        // A closed inbox means that the server is stopping.
        drop(engine.tell_shard(other, Input::Accounts(accounts.clone())).await);
    }
}

/// Brings the letters that wait for a shard to its inbox.
pub(crate) async fn carry_letters(engine: Engine, shard: ShardNumber, stop: Stop) {
    const LETTERS_MAX: usize = 512;
    loop {
        let letters = match engine.store().letter_list(shard, LETTERS_MAX).await {
            Ok(letters) => letters,
            Err(error) => {
                tracing::warn!(%error, "cannot read letters");
                engine.clock().sleep(REOPEN_PAUSE).await;
                continue;
            }
        };
        if letters.is_empty() {
            let waited = stop.until(engine.store().change_wait(shard)).await;
            if !matches!(waited, Some(Some(()))) {
                return;
            }
            continue;
        }
        let applied = engine.ask_shard(shard, |reply| Input::Letters { letters, reply }).await;
        if let Err(error) = applied {
            if stop.is_stopped() {
                return;
            }
            tracing::warn!(%error, "letters were not applied; they are brought again");
            engine.clock().sleep(REOPEN_PAUSE).await;
        }
    }
}
