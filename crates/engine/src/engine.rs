//! The handle that every door holds: the ports, the catalog, the shards' inboxes. Verbs are methods
//! on it, each in the file of its station.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use stint_model::access::Caller;
use stint_model::account::AccountLimits;
use stint_model::code::Code;
use stint_model::function::Function;
use stint_model::id::{AccountId, FlowId, FunctionId, Mint, RevisionId, TaskUid};
use stint_model::link::StopReason;
use stint_model::shard::Shard;
use stint_model::time::Span;
use stint_sched::SchedConfig;
use stint_store::{Blobs, Store};
use stint_supervise::Clock;
use tokio::sync::{Notify, mpsc, oneshot};

use crate::budget::Spending;
use crate::catalog::{Catalog, FunctionEntry};
use crate::control::code::{CodeBuckets, CodeJudge};
use crate::control::keys::Issued;
use crate::edit::Edit;
use crate::entropy::Entropy;
use crate::error::EngineError;
use crate::flows::FlowConfig;
use crate::flows::evaluate::Evaluator;
use crate::flows::http::HttpCaller;
use crate::flows::items::Sources;
use crate::flows::plans::Plans;
use crate::invoke::CallSlot;
use crate::link::Link;
use crate::schema::Schemas;
use crate::secret::Keyring;
use crate::shard::{Ask, Input};
use crate::storage::Storage;

/// Resolved settings.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// How many shards the book has; fixed when the book is made.
    pub shards: u16,
    /// Shown in ARNs and given to functions.
    pub region: String,
    /// The largest payload accepted.
    pub payload_bytes_max: u64,
    /// Larger payloads go to the blob store.
    pub payload_inline_max: usize,
    /// Larger results go to the blob store.
    pub result_inline_max: usize,
    /// How many waiting inputs a shard holds before its doors wait.
    pub inbox_max: usize,
    /// How many inputs one turn takes.
    pub turn_inputs_max: usize,
    /// How many attempts one plan starts.
    pub plan_max: u32,
    /// A lease that is not settled by then is written to the book as running.
    pub lease_write_delay: Span,
    /// How long an online call may wait for room.
    pub online_wait: Span,
    /// How much memory of waiting tasks' bodies a shard keeps, in bytes.
    pub cache_bytes_max: usize,
    /// Ended tasks are kept this long.
    pub history_retention: Span,
    /// Audit entries are kept this long.
    pub audit_retention: Span,
    /// How long a stopped attempt has to end, PreStop included.
    pub stop_grace: Span,
    /// What an account may take when nothing else was said at its making.
    pub account_limits: AccountLimits,
    /// Bounds of flows.
    pub flows: FlowConfig,
    /// The scheduler's own settings.
    pub sched: SchedConfig,
}

impl EngineConfig {
    /// Values for tests.
    pub fn for_tests() -> Self {
        Self {
            shards: 1,
            region: "local".into(),
            payload_bytes_max: 32 << 20,
            payload_inline_max: 128 << 10,
            result_inline_max: 1 << 20,
            inbox_max: 65_536,
            turn_inputs_max: 4_096,
            plan_max: 256,
            lease_write_delay: Span::from_millis(20),
            online_wait: Span::from_secs(10),
            cache_bytes_max: 64 << 20,
            history_retention: Span::from_secs(30 * 86_400),
            audit_retention: Span::from_secs(90 * 86_400),
            stop_grace: Span::from_secs(90),
            account_limits: AccountLimits::default(),
            flows: FlowConfig::default(),
            sched: SchedConfig::for_tests(),
        }
    }
}

/// What the engine stands on.
#[derive(Debug)]
pub struct Ports {
    /// The book.
    pub store: Arc<dyn Store>,
    /// Code, large payloads and results.
    pub blobs: Arc<dyn Blobs>,
    /// Buckets that code may be taken from.
    pub buckets: Arc<dyn CodeBuckets>,
    /// Who looks at code before it is kept.
    pub judge: Arc<dyn CodeJudge>,
    /// Requests of flows' steps.
    pub http: Arc<dyn HttpCaller>,
    /// The engine's time.
    pub clock: Clock,
    /// Request ids, draws, jitter.
    pub entropy: Entropy,
    /// What seals secrets.
    pub keyring: Keyring,
    /// What accounts have used.
    pub spending: Arc<dyn Spending>,
    /// False while the disk is nearly full: submits are refused, settling goes on.
    pub storage_allows: Arc<AtomicBool>,
}

/// A cheap handle; see the module comment.
#[derive(Clone, Debug)]
pub struct Engine {
    inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) config: EngineConfig,
    pub(crate) ports: Ports,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) inboxes: Vec<mpsc::Sender<Input>>,
    pub(crate) mints: Arc<Vec<Mutex<Mint>>>,
    pub(crate) link: Arc<Link>,
    pub(crate) schemas: Schemas,
    pub(crate) issued: Issued,
    images: Notify,
    flows: FlowTools,
    pub(crate) storage: Storage,
    admitting: AtomicBool,
}

/// What flows need beside the shards.
#[derive(Debug)]
pub(crate) struct FlowTools {
    pub(crate) plans: Arc<Plans>,
    pub(crate) evaluator: Evaluator,
    pub(crate) sources: Sources,
    /// Told when work waits for pollers.
    pub(crate) work: Notify,
    /// Told when a schedule changed.
    pub(crate) schedules: Notify,
}

/// What assembling an engine takes beyond its ports; made by `start`.
pub(crate) struct Assembly {
    pub(crate) config: EngineConfig,
    pub(crate) ports: Ports,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) inboxes: Vec<mpsc::Sender<Input>>,
    pub(crate) mints: Arc<Vec<Mutex<Mint>>>,
    pub(crate) link: Arc<Link>,
    pub(crate) flows: FlowTools,
}

impl Engine {
    pub(crate) fn assemble(parts: Assembly) -> Self {
        let inner = Inner {
            config: parts.config,
            ports: parts.ports,
            catalog: parts.catalog,
            inboxes: parts.inboxes,
            mints: parts.mints,
            link: parts.link,
            schemas: Schemas::new(),
            issued: Issued::default(),
            images: Notify::new(),
            flows: parts.flows,
            storage: Storage::default(),
            admitting: AtomicBool::new(true),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The settings it runs with.
    pub fn config(&self) -> &EngineConfig {
        &self.inner.config
    }

    /// The control records.
    pub fn catalog(&self) -> &Catalog {
        &self.inner.catalog
    }

    /// The engine's time.
    pub fn clock(&self) -> &Clock {
        &self.inner.ports.clock
    }

    /// Nodes, pools and instances as the engine knows them.
    pub fn link(&self) -> &Arc<Link> {
        &self.inner.link
    }

    /// Takes nothing new from now on; what was accepted goes on.
    pub fn close_door(&self) {
        self.inner.admitting.store(false, Ordering::Release);
    }

    pub(crate) fn admitting(&self) -> Result<(), EngineError> {
        if self.inner.admitting.load(Ordering::Acquire) {
            return Ok(());
        }
        Err(EngineError::refused(
            Code::ServiceUnavailable,
            "the server is stopping; try again, or on another server",
        ))
    }

    pub(crate) fn storage_allows(&self) -> Result<(), EngineError> {
        if self.inner.ports.storage_allows.load(Ordering::Acquire) {
            return Ok(());
        }
        Err(EngineError::refused(
            Code::InsufficientStorage,
            "the disk is nearly full: nothing new is accepted until room is made; what was \
             accepted goes on",
        ))
    }

    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        &self.inner.ports.store
    }

    pub(crate) fn blobs(&self) -> &Arc<dyn Blobs> {
        &self.inner.ports.blobs
    }

    pub(crate) fn buckets(&self) -> &dyn CodeBuckets {
        self.inner.ports.buckets.as_ref()
    }

    pub(crate) fn spending(&self) -> &dyn Spending {
        self.inner.ports.spending.as_ref()
    }

    pub(crate) fn judge(&self) -> &dyn CodeJudge {
        self.inner.ports.judge.as_ref()
    }

    /// What seals secrets.
    pub(crate) fn keyring(&self) -> &Keyring {
        &self.inner.ports.keyring
    }

    pub(crate) fn storage(&self) -> &Storage {
        &self.inner.storage
    }

    pub(crate) fn issued(&self) -> &Issued {
        &self.inner.issued
    }

    /// Told when an image is waited for, or a node may fetch one.
    pub(crate) fn images_nudge(&self) -> &Notify {
        &self.inner.images
    }

    pub(crate) fn plans(&self) -> &Plans {
        &self.inner.flows.plans
    }

    pub(crate) fn evaluator(&self) -> &Evaluator {
        &self.inner.flows.evaluator
    }

    pub(crate) fn sources(&self) -> &Sources {
        &self.inner.flows.sources
    }

    pub(crate) fn work_nudge(&self) -> &Notify {
        &self.inner.flows.work
    }

    pub(crate) fn schedules_nudge(&self) -> &Notify {
        &self.inner.flows.schedules
    }

    pub(crate) fn http(&self) -> &Arc<dyn HttpCaller> {
        &self.inner.ports.http
    }

    pub(crate) fn shards(&self) -> u16 {
        self.inner.config.shards
    }

    fn mint(&self, shard: Shard) -> std::sync::MutexGuard<'_, Mint> {
        self.inner.mints[usize::from(shard.number())].lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn mint_task(&self, shard: Shard) -> TaskUid {
        self.mint(shard).task(self.clock().now())
    }

    pub(crate) fn mint_function(&self, shard: Shard) -> FunctionId {
        self.mint(shard).function(self.clock().now())
    }

    pub(crate) fn mint_flow(&self, shard: Shard) -> FlowId {
        self.mint(shard).flow(self.clock().now())
    }

    pub(crate) fn mint_revision(&self, shard: Shard) -> RevisionId {
        self.mint(shard).revision(self.clock().now())
    }

    pub(crate) fn random_u128(&self) -> u128 {
        self.inner.ports.entropy.wide_bits()
    }

    pub(crate) fn check_schema(
        &self,
        function: &Function,
        payload: &[u8],
    ) -> Result<(), EngineError> {
        match &function.limits.payload_schema {
            Some(schema) => Ok(self.inner.schemas.check(function.id, schema, payload)?),
            None => Ok(()),
        }
    }

    pub(crate) fn function_entry(
        &self,
        caller: &Caller,
        name: &str,
    ) -> Result<Arc<FunctionEntry>, EngineError> {
        self.catalog().function(caller.account, name).ok_or_else(|| {
            let message = format!("function '{name}' does not exist");
            EngineError::refused(Code::FunctionNotFound, message)
        })
    }

    /// Commits an edit of control records; the catalog shows it when this returns.
    ///
    /// # Errors
    /// `Commit(Stale)` when somebody else wrote meanwhile: read again.
    pub(crate) async fn edit(&self, edit: Edit) -> Result<(), EngineError> {
        let shard = edit.shard;
        self.ask_shard(shard, |reply| Input::Edit { edit, reply }).await
    }

    /// Puts an input into a shard's inbox, waiting while it is full.
    pub(crate) async fn tell_shard(&self, shard: Shard, input: Input) -> Result<(), EngineError> {
        let inbox = &self.inner.inboxes[usize::from(shard.number())];
        inbox.send(input).await.map_err(|_| EngineError::Stopping)
    }

    /// Makes a shard turn, unless its inbox is full and it turns anyway.
    pub(crate) fn nudge_shard(&self, shard: Shard) {
        drop(self.inner.inboxes[usize::from(shard.number())].try_send(Input::Nudge));
    }

    /// Puts an input into a shard's inbox and waits for its answer.
    pub(crate) async fn ask_shard<T>(
        &self,
        shard: Shard,
        input: impl FnOnce(oneshot::Sender<Result<T, EngineError>>) -> Input,
    ) -> Result<T, EngineError> {
        let (reply, answer) = oneshot::channel();
        self.tell_shard(shard, input(reply)).await?;
        answer.await.map_err(|_| EngineError::Stopping)?
    }

    /// Asks every shard and gathers the answers in shard order.
    pub(crate) async fn ask_all<T>(
        &self,
        ask: impl Fn(oneshot::Sender<Result<T, EngineError>>) -> Ask,
    ) -> Result<Vec<T>, EngineError> {
        let mut answers = Vec::with_capacity(usize::from(self.shards()));
        for number in 0..self.shards() {
            answers.push(self.ask_shard(Shard::new(number), |reply| Input::Ask(ask(reply))).await?);
        }
        Ok(answers)
    }

    pub(crate) fn open_call(&self, shard: Shard) -> Arc<CallSlot> {
        let number = self.mint(shard).number(self.clock().now());
        self.inner.link.open_call(number | (1 << 63), shard)
    }

    /// The caller of a running call is gone.
    pub(crate) fn abandon(&self, slot: &CallSlot) {
        self.inner.link.close_call(slot.work);
        let inbox = &self.inner.inboxes[usize::from(slot.shard.number())];
        let gone = Input::EndCall { work: slot.work, reason: StopReason::ClientGone };
        // A full inbox only delays what the attempt's own time-out would do.
        if inbox.try_send(gone).is_err() {
            tracing::debug!(work = slot.work, "the inbox is full; the call runs to its end");
        }
    }

    /// Names of an account's functions by their ids, for history that outlives functions.
    pub(crate) fn function_ids(&self, account: AccountId) -> BTreeMap<String, FunctionId> {
        let functions = self.catalog().functions().into_iter();
        functions
            .filter(|entry| entry.function.account == account)
            .map(|entry| (entry.function.name.to_string(), entry.function.id))
            .collect()
    }
}
