//! Submit, at the door: what a caller may ask of a task, the checks that need no turn of a shard,
//! and the order that the function's home shard then accepts.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use stint_model::access::Caller;
use stint_model::code::{Code, Refusal};
use stint_model::function::{AsyncConfig, RetryPolicy};
use stint_model::id::{NotAnId, RequestId, TaskUid, is_name};
use stint_model::limit::{Priority, Resources};
use stint_model::payload::Payload;
use stint_model::shard::Shard;
use stint_model::task::{Dependency, Order, When, request_text};
use stint_model::time::{Span, Timestamp};

use crate::access::Operation;
use crate::catalog::FunctionEntry;
use crate::control::functions::ready;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::run::delete_blobs;
use crate::shard::{GoneBlob, Input};

mod batch;

/// The most tasks one task may depend on.
const DEPENDENCIES_MAX: usize = 1_000;
/// The most tags of a task.
const TAGS_MAX: usize = 20;
/// The longest key or tag text in bytes.
const KEY_BYTES_MAX: usize = 256;
/// Leases are looked over once a second, so a shorter silence would not be seen.
const HEARTBEAT_MIN: Span = Span::from_secs(1);
/// The longest time a task may be put off.
const DELAY_MAX: Span = Span::from_secs(10 * 365 * 86_400);

/// Which function, through which qualifier.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FunctionRef {
    /// The function's name.
    pub name: String,
    /// `LATEST`, a version's number or an alias.
    pub qualifier: String,
}

impl FunctionRef {
    /// Through `LATEST`.
    pub fn latest(name: impl Into<String>) -> Self {
        Self { name: name.into(), qualifier: stint_model::function::LATEST.to_owned() }
    }
}

/// Which task: by its own id, or by its function and the id it goes by there.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum TaskRef {
    /// `tsk_…`
    Uid(TaskUid),
    /// `function/task id`
    Named {
        /// The function's name.
        function: String,
        /// The id within it.
        task_id: String,
    },
}

impl fmt::Display for TaskRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uid(uid) => uid.fmt(f),
            Self::Named { function, task_id } => write!(f, "{function}/{task_id}"),
        }
    }
}

impl FromStr for TaskRef {
    type Err = NotAnId;
    fn from_str(text: &str) -> Result<Self, NotAnId> {
        if let Some((function, task_id)) = text.split_once('/') {
            if !is_name(function) || !is_task_id(task_id) {
                return Err(NotAnId);
            }
            return Ok(Self::Named { function: function.to_owned(), task_id: task_id.to_owned() });
        }
        text.parse().map(Self::Uid)
    }
}

/// Everything about a task that is not its payload; all optional.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TaskOptions {
    /// The id the client chooses: the same twice is refused, in this function, for as long as the
    /// history is kept.
    pub task_id: Option<String>,
    /// The request's id; ours if absent.
    pub request_id: Option<String>,
    /// Not before this time …
    pub not_before: Option<Timestamp>,
    /// … or this long after acceptance.
    pub delay: Option<Span>,
    /// 4 unless said.
    pub priority: Option<Priority>,
    /// At most 20.
    pub tags: BTreeMap<String, String>,
    /// One at a time, in order, among tasks of this key.
    pub order_key: Option<String>,
    /// Limits at key level count by this.
    pub limit_key: Option<String>,
    /// Tasks that must end first.
    pub depends_on: Vec<(TaskRef, When)>,
    /// A bound for one attempt instead of the function's; may exceed 24 h.
    pub timeout: Option<Span>,
    /// An attempt that says nothing for so long is ended and counts as failed.
    pub heartbeat: Option<Span>,
    /// vCPU thousandths; not above the function's.
    pub cpu_milli: Option<u32>,
    /// MB; not above the function's.
    pub memory_mb: Option<u32>,
    /// Retries instead of the configuration's.
    pub retries_max: Option<u32>,
    /// Before the first retry.
    pub backoff_base: Option<Span>,
    /// The longest wait between retries.
    pub backoff_cap: Option<Span>,
    /// Error types that are final at once.
    pub final_errors: Option<Vec<String>>,
    /// Dropped when it has not started by then.
    pub deadline: Option<Timestamp>,
}

/// A task to submit.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Submit {
    /// What the user code gets.
    pub payload: Bytes,
    /// The rest.
    pub options: TaskOptions,
}

/// What was accepted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Accepted {
    /// The task's own id.
    pub uid: TaskUid,
    /// The id it goes by in its function.
    pub task_id: String,
    /// The submission's request id.
    pub request_id: Arc<str>,
    /// Whether the FC task API shows it.
    pub task_mode: bool,
}

/// What one bad item does to a batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum BatchMode {
    /// Nothing is submitted unless everything is.
    #[default]
    AllOrNothing,
    /// Every item has its own result.
    PerItem,
}

/// What the door gives the shard: orders that passed every check it can make alone.
#[derive(Debug)]
pub(crate) struct Orders {
    /// What depends on another of them comes after it.
    pub(crate) items: Vec<Result<Order, Refusal>>,
    /// Where each stood in what the caller sent; empty: where it stands.
    pub(crate) places: Vec<usize>,
    pub(crate) mode: BatchMode,
}

/// Whether `text` may be a task id (§1.1).
pub fn is_task_id(text: &str) -> bool {
    is_name(text) || text.parse::<TaskUid>().is_ok() || is_request_id(text)
}

/// Whether a client may call a request so. A task goes by its request id when the client gave one and
/// no task id (§2.2).
pub fn is_request_id(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

impl Engine {
    /// Accepts one task: durable when this returns.
    ///
    /// # Errors
    /// Refusals of §2.4; `AsyncTaskAlreadyExists` for an id that is taken; `InsufficientStorage`.
    pub async fn submit(
        &self,
        caller: &Caller,
        function: &FunctionRef,
        submit: Submit,
    ) -> Result<Accepted, EngineError> {
        let door = self.door(caller, Operation::Submit, function)?;
        let after = self.dependencies(caller, &submit.options.depends_on).await?;
        let uid = self.mint_task(door.shard);
        let order = self.order(&door, (uid, after), submit).await?;
        let spilled = [spilled(&order)];
        let orders =
            Orders { items: vec![Ok(order)], places: Vec::new(), mode: BatchMode::PerItem };
        let mut accepted =
            self.ask_shard(door.shard, |reply| Input::Submit { orders, reply }).await?;
        self.forget_refused(&spilled, &accepted).await;
        accepted.pop().expect("one result for one order").map_err(EngineError::Refused)
    }

    /// The checks that come before the size of the payload (§2.4): who, what, in which state.
    pub(crate) fn door(
        &self,
        caller: &Caller,
        operation: Operation,
        function: &FunctionRef,
    ) -> Result<Door, EngineError> {
        self.authorize(caller, operation, Some(&function.name))?;
        self.admitting()?;
        let entry = self.function_entry(caller, &function.name)?;
        let target = entry.resolve(&function.qualifier, 0)?;
        self.budget_allows(caller.account)?;
        if let Some(disabled) = &entry.function.disabled {
            return Err(disabled.refusal(&function.name).into());
        }
        if target.revision.id == entry.function.head.id {
            ready(&entry.function)?;
        }
        let shard = Shard::of_function(caller.account, &function.name, self.shards());
        let config = entry.async_config(&function.qualifier);
        Ok(Door { entry, qualifier: target.qualifier, shard, config })
    }

    /// One order from one submit. Large payloads are in the blob store when this returns.
    async fn order(
        &self,
        door: &Door,
        (uid, after): (TaskUid, Vec<Dependency>),
        submit: Submit,
    ) -> Result<Order, EngineError> {
        let function = &door.entry.function;
        let bytes_max = self.config().payload_bytes_max;
        if submit.payload.len() as u64 > bytes_max {
            let message = format!("payload size exceeds maximum allowed size ({bytes_max} bytes)");
            return Err(EngineError::refused(Code::EntityTooLarge, message));
        }
        self.storage_allows()?;
        let options = submit.options;
        check_options(&options)?;
        self.check_schema(function, &submit.payload)?;
        let size = size_within(&options, door)?;
        let now = self.clock().now();
        let not_before = match (options.not_before, options.delay) {
            (Some(at), _) => at,
            (None, Some(delay)) => now + delay,
            (None, None) => now,
        };
        let payload = self.keep_payload(function.account, uid, submit.payload).await?;
        let (chosen_id, request_id) = self.ids(now, door.config.task_mode, &options);
        Ok(Order {
            uid,
            account: function.account,
            function: function.id,
            function_name: Arc::clone(&function.name),
            qualifier: Arc::clone(&door.qualifier),
            chosen_id,
            request_id,
            task_mode: door.config.task_mode,
            submitted_at: now,
            not_before,
            // §2.4: age runs from submission, except that a task put off on purpose is not
            // dropped for it.
            expires_at: match options.deadline {
                Some(deadline) => deadline,
                // Nor is one that waits for others: its age counts from when nothing holds it.
                None if !after.is_empty() => Timestamp::MAX,
                None => now.max(not_before) + door.config.age_max,
            },
            priority: options.priority.unwrap_or_default(),
            tags: options.tags,
            order_key: options.order_key,
            limit_key: options.limit_key,
            after,
            timeout: options.timeout,
            heartbeat: options.heartbeat,
            size,
            retry: retry_policy(
                &door.config,
                options.retries_max,
                options.backoff_base,
                options.backoff_cap,
                options.final_errors,
            ),
            on_success: door.config.on_success.clone(),
            on_failure: door.config.on_failure.clone(),
            payload,
            letter: None,
        })
    }

    /// The chosen id and the request id (§2.2: without a task id the client's request id is it).
    fn ids(
        &self,
        now: Timestamp,
        task_mode: bool,
        options: &TaskOptions,
    ) -> (Option<String>, Arc<str>) {
        let request_id = match &options.request_id {
            Some(given) => Arc::from(given.as_str()),
            None => request_text(RequestId::new(now, self.random_u128())),
        };
        let chosen = match (&options.task_id, &options.request_id) {
            (Some(id), _) => Some(id.clone()),
            (None, Some(given)) if task_mode => Some(given.clone()),
            (None, _) => None,
        };
        (chosen, request_id)
    }

    async fn dependencies(
        &self,
        caller: &Caller,
        wanted: &[(TaskRef, When)],
    ) -> Result<Vec<Dependency>, EngineError> {
        if wanted.len() > DEPENDENCIES_MAX {
            let message = format!("a task depends on at most {DEPENDENCIES_MAX} tasks");
            return Err(Refusal::invalid(message).into());
        }
        let mut after = Vec::with_capacity(wanted.len());
        for (task, when) in wanted {
            after.push(Dependency { task: self.dependency(caller, task).await?, when: *when });
        }
        Ok(after)
    }

    /// A task of the same account that another may wait for, if the caller may see how it ends.
    async fn dependency(&self, caller: &Caller, task: &TaskRef) -> Result<TaskUid, EngineError> {
        let account = caller.account;
        if let TaskRef::Named { function, .. } = task {
            self.authorize(caller, Operation::TaskGet, Some(function))?;
        }
        let found = self.find_task(account, task).await?;
        if let (Some(uid), TaskRef::Named { .. }) = (found, task) {
            return Ok(uid);
        }
        let wanted: Vec<TaskUid> = found.into_iter().collect();
        let known = self.store().task_get(&wanted).await?.pop().flatten();
        match known.filter(|known| known.order().account == account) {
            Some(known) => {
                self.authorize(caller, Operation::TaskGet, Some(&known.order().function_name))?;
                Ok(known.uid())
            }
            None => {
                let message = format!("dependsOn names task '{task}', which does not exist");
                Err(EngineError::refused(Code::AsyncTaskNotFound, message))
            }
        }
    }
}

/// What a call found at the door.
#[derive(Debug)]
pub(crate) struct Door {
    pub(crate) entry: Arc<FunctionEntry>,
    pub(crate) qualifier: Arc<str>,
    pub(crate) shard: Shard,
    pub(crate) config: Arc<AsyncConfig>,
}

fn retry_policy(
    config: &AsyncConfig,
    retries_max: Option<u32>,
    base: Option<Span>,
    cap: Option<Span>,
    final_errors: Option<Vec<String>>,
) -> RetryPolicy {
    let policy = &config.retry;
    RetryPolicy {
        retries_max: retries_max.unwrap_or(policy.retries_max),
        backoff_base: base.unwrap_or(policy.backoff_base),
        backoff_cap: cap.unwrap_or(policy.backoff_cap),
        final_errors: final_errors.unwrap_or_else(|| policy.final_errors.clone()),
    }
}

fn size_within(options: &TaskOptions, door: &Door) -> Result<Option<Resources>, Refusal> {
    if options.cpu_milli.is_none() && options.memory_mb.is_none() {
        return Ok(None);
    }
    let bound = door.entry.function.head.config.size;
    let size = Resources {
        cpu_milli: options.cpu_milli.unwrap_or(bound.cpu_milli),
        memory_mb: options.memory_mb.unwrap_or(bound.memory_mb),
    };
    let fits = (50..=bound.cpu_milli).contains(&size.cpu_milli)
        && (128..=bound.memory_mb).contains(&size.memory_mb);
    if fits {
        return Ok(Some(size));
    }
    Err(Refusal::invalid(format!(
        "a task may take 0.05 to {} vCPU and 128 to {} MB of this function",
        f64::from(bound.cpu_milli) / 1_000.0,
        bound.memory_mb
    )))
}

fn check_options(options: &TaskOptions) -> Result<(), Refusal> {
    if let Some(id) = &options.task_id
        && !is_name(id)
    {
        let pattern = "^[A-Za-z_][A-Za-z0-9_-]{0,127}$";
        return Err(Refusal::invalid(format!("async task id '{id}' does not match {pattern}")));
    }
    if let Some(id) = &options.request_id
        && !is_request_id(id)
    {
        return Err(Refusal::invalid(
            "the request id has 1 to 128 letters, digits, hyphens and underscores",
        ));
    }
    let texts = options.order_key.iter().chain(&options.limit_key);
    let texts = texts.chain(options.tags.keys()).chain(options.tags.values());
    for text in texts {
        if text.len() > KEY_BYTES_MAX {
            let message = format!("keys and tags have at most {KEY_BYTES_MAX} bytes");
            return Err(Refusal::invalid(message));
        }
    }
    if options.tags.keys().any(String::is_empty) {
        return Err(Refusal::invalid("a tag has a name"));
    }
    if options.tags.len() > TAGS_MAX {
        return Err(Refusal::invalid(format!("a task has at most {TAGS_MAX} tags")));
    }
    if options.delay.is_some() && options.not_before.is_some() {
        return Err(Refusal::invalid("a task is put off by a delay or to a moment, not both"));
    }
    if options.order_key.as_deref().is_some_and(str::is_empty) {
        return Err(Refusal::invalid("an ordering key has at least one character"));
    }
    if options.delay.is_some_and(|delay| delay > DELAY_MAX) {
        return Err(Refusal::invalid("a task can be put off by ten years at most"));
    }
    if options.timeout.is_some_and(|timeout| timeout < Span::from_millis(1)) {
        return Err(Refusal::invalid("a timeout is at least one millisecond"));
    }
    if options.heartbeat.is_some_and(|heartbeat| heartbeat < HEARTBEAT_MIN) {
        return Err(Refusal::invalid("a heartbeat is expected once a second at the most often"));
    }
    if options.retries_max.is_some_and(|retries| retries > 100) {
        return Err(Refusal::invalid("a task is retried at most 100 times"));
    }
    Ok(())
}

/// A payload that lies in the blob store, by the order that names it.
fn spilled(order: &Order) -> Option<GoneBlob> {
    match &order.payload {
        Payload::Inline(_) => None,
        Payload::Blob { name, len } => {
            Some(GoneBlob { account: order.account, name: name.clone(), len: *len })
        }
    }
}

fn spilled_of(item: &Result<Order, Refusal>) -> Option<GoneBlob> {
    item.as_ref().ok().and_then(spilled)
}

/// Says which item of a batch was refused.
fn of_item(index: usize, error: EngineError) -> EngineError {
    match error {
        EngineError::Refused(refusal) => {
            let message = format!("item {index}: {}", refusal.message);
            EngineError::Refused(Refusal::new(refusal.code, message))
        }
        other => other,
    }
}

impl Engine {
    /// Deletes the payloads of orders that were refused.
    async fn forget_refused(
        &self,
        spilled: &[Option<GoneBlob>],
        answers: &[Result<Accepted, Refusal>],
    ) {
        let refused = spilled.iter().zip(answers).filter(|(_, answer)| answer.is_err());
        let blobs: Vec<GoneBlob> = refused.filter_map(|(blob, _)| blob.clone()).collect();
        delete_blobs(self, blobs).await;
    }

    async fn keep_payload(
        &self,
        account: stint_model::id::AccountId,
        uid: TaskUid,
        bytes: Bytes,
    ) -> Result<Payload, EngineError> {
        if bytes.len() <= self.config().payload_inline_max {
            return Ok(Payload::Inline(bytes));
        }
        let name = format!("payload/{account}/{uid}");
        let len = bytes.len() as u64;
        self.storage_take(account, len)?;
        if let Err(error) = self.blobs().put(&name, bytes).await {
            self.storage().give_back(account, len);
            return Err(error.into());
        }
        Ok(Payload::Blob { name, len })
    }
}
