//! Tasks: durable async invocations with recorded state. Fields are private; the moves below are
//! the only ways to change one, and each refuses what its state or fence does not allow.
//!
//! ```text
//!             ┌────────────── requeue (throttled, platform, lost lease) ──────────────┐
//!             ▼                                                                       │
//! submit ─► Enqueued ──lease──► Dequeued ──started──► Running ──settle ok──► Succeeded│
//!             │  ▲                 │                    │ │ └───settle fail───► Failed │
//!             │  │                 └────────────────────┼─┴───────────────────────────┘
//!             │  └── retry (by hand, from any end) ─────┤
//!             │        Retrying ◄──settle fail, retries left
//!             │           └──lease──► Dequeued …
//!             ├─ expire ──► Expired          ├─ invalidate ──► Invalid
//!             └─ stop ────► Stopped          Dequeued/Running ─ stop ─► Stopping ─► Stopped
//! ```
//! `Retrying` waits exactly as `Enqueued` does. Terminal states move only by `retry`, which is a
//! person's wish and starts the counts anew.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use crate::code::{Code, Refusal};
use crate::function::RetryPolicy;
use crate::id::{AccountId, FunctionId, InstanceId, NodeId, RequestId, RevisionId, TaskUid};
use crate::limit::{Priority, Resources};
use crate::payload::Payload;
use crate::shard::{Epoch, LetterId};
use crate::time::{Span, Timestamp};

mod moves;
mod parts;
#[cfg(test)]
mod tests;

pub use moves::{Backoff, Measured, Next, Place, Stop};
pub use parts::{BadTask, TaskParts};

/// Where a task is. The words are upstream's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum TaskState {
    /// Accepted, durable, waiting.
    Enqueued,
    /// Handed to a node, not yet in user code.
    Dequeued,
    /// In user code.
    Running,
    /// An attempt failed; waiting for the next.
    Retrying,
    /// Stop asked for, being carried out.
    Stopping,
    /// The user code returned.
    Succeeded,
    /// The user code failed and no retries are left, or the platform gave up.
    Failed,
    /// Stopped on request.
    Stopped,
    /// Too old before it started.
    Expired,
    /// Cannot run: its function is gone or cannot start.
    Invalid,
}

impl TaskState {
    /// All of them; the index is the stored number.
    pub const ALL: [Self; 10] = [
        Self::Enqueued,
        Self::Dequeued,
        Self::Running,
        Self::Retrying,
        Self::Stopping,
        Self::Succeeded,
        Self::Failed,
        Self::Stopped,
        Self::Expired,
        Self::Invalid,
    ];

    /// Upstream's word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Enqueued => "Enqueued",
            Self::Dequeued => "Dequeued",
            Self::Running => "Running",
            Self::Retrying => "Retrying",
            Self::Stopping => "Stopping",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Stopped => "Stopped",
            Self::Expired => "Expired",
            Self::Invalid => "Invalid",
        }
    }

    /// From upstream's word, any case.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.word().eq_ignore_ascii_case(word))
    }

    /// The stored number.
    pub const fn number(self) -> u8 {
        match self {
            Self::Enqueued => 0,
            Self::Dequeued => 1,
            Self::Running => 2,
            Self::Retrying => 3,
            Self::Stopping => 4,
            Self::Succeeded => 5,
            Self::Failed => 6,
            Self::Stopped => 7,
            Self::Expired => 8,
            Self::Invalid => 9,
        }
    }

    /// From the stored number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// Whether nothing moves it any more but a person.
    pub const fn is_terminal(self) -> bool {
        match self {
            Self::Succeeded | Self::Failed | Self::Stopped | Self::Expired | Self::Invalid => true,
            Self::Enqueued | Self::Dequeued | Self::Running | Self::Retrying | Self::Stopping => {
                false
            }
        }
    }

    /// Whether it waits in the backlog.
    pub const fn is_waiting(self) -> bool {
        matches!(self, Self::Enqueued | Self::Retrying)
    }
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// What was asked for at submit, fixed for the task's life.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Order {
    /// The task's own id.
    pub uid: TaskUid,
    /// Whose it is.
    pub account: AccountId,
    /// Of which function.
    pub function: FunctionId,
    /// The function's name at submit, for history that outlives the function.
    pub function_name: Arc<str>,
    /// Through which qualifier it was submitted.
    pub qualifier: Arc<str>,
    /// The id the client chose; `None`: the task goes by its `uid`.
    pub chosen_id: Option<String>,
    /// The submission's request id; the same through all attempts. What a client gave, or ours.
    pub request_id: Arc<str>,
    /// Whether the FC task API shows it (task mode), or it is a plain async invocation.
    pub task_mode: bool,
    /// When it was accepted.
    pub submitted_at: Timestamp,
    /// Not before this.
    pub not_before: Timestamp,
    /// Dropped when it has not started by then.
    pub expires_at: Timestamp,
    /// 0 (last) to 9 (first).
    pub priority: Priority,
    /// Labels to search by.
    pub tags: BTreeMap<String, String>,
    /// Tasks of one key go one at a time, in order of submission.
    pub order_key: Option<String>,
    /// Limits at key level count by this.
    pub limit_key: Option<String>,
    /// Ends before it starts unless these tasks end (well).
    pub after: Vec<Dependency>,
    /// A bound for one attempt that replaces the function's.
    pub timeout: Option<Span>,
    /// An attempt in user code that says nothing for so long is ended and counts as failed.
    pub heartbeat: Option<Span>,
    /// An instance of another size than the function's.
    pub size: Option<Resources>,
    /// How it is retried (resolved from task, configuration and defaults at submit).
    pub retry: RetryPolicy,
    /// Where the outcome goes; empty for nowhere.
    pub on_success: String,
    /// Where the outcome goes when it is bad.
    pub on_failure: String,
    /// What the user code gets.
    pub payload: Payload,
    /// The letter that brought it, when it did not come from a client.
    pub letter: Option<LetterId>,
}

/// A task that another waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Dependency {
    /// Which task.
    pub task: TaskUid,
    /// What it takes.
    pub when: When,
}

/// What a dependency waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum When {
    /// The other task succeeds; any other end makes this one `Invalid`.
    #[default]
    Succeeded,
    /// The other task ends in any way.
    Ended,
}

/// One try at a task. The five phases are differences of its times:
/// queued (`queued_at`→`leased_at`), placed (→`placed_at`), cold start (→`started_at`, zero when
/// warm), ran (→`ended_at`), settled (→`settled_at`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Attempt {
    /// 1, 2, …: every try counts, charged or not.
    pub number: u32,
    /// The owner's epoch when it was leased.
    pub epoch: Epoch,
    /// Which node.
    pub node: NodeId,
    /// Which revision of the function.
    pub revision: RevisionId,
    /// Which instance, once known.
    pub instance: Option<InstanceId>,
    /// Eligible since.
    pub queued_at: Timestamp,
    /// The scheduler's decision.
    pub leased_at: Timestamp,
    /// An instance was chosen or its start begun.
    pub placed_at: Timestamp,
    /// User code was entered. Zero while it was not.
    pub started_at: Timestamp,
    /// User code was left.
    pub ended_at: Timestamp,
    /// The outcome was in the book.
    pub settled_at: Timestamp,
    /// Whether an instance was started for it.
    pub cold: bool,
    /// Peak memory of the instance in MB, thousandths.
    pub memory_milli_mb: u64,
    /// CPU time used in microseconds, when the sandbox could tell.
    pub cpu_micros: u64,
    /// How it ended; `None` while it runs.
    pub outcome: Option<AttemptOutcome>,
}

/// How an attempt ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AttemptOutcome {
    /// The user code returned.
    Ok,
    /// The user code failed: charged.
    UserError(TaskError),
    /// A limit was hit or there was no room: not charged.
    Throttled(String),
    /// The platform failed or the lease was lost: not charged.
    SystemError(String),
    /// Stopped on request.
    Stopped,
}

/// What went wrong, in the user's terms.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TaskError {
    /// Class on the wire: `UnhandledInvocationError`, `HandledInvocationError`,
    /// `InvocationError`, `InitializationError`, `FunctionNotStarted`.
    pub class: String,
    /// The `errorType` of the error body; what `RetryPolicy::final_errors` match.
    pub kind: String,
    /// A short message.
    pub message: String,
}

/// A transition, as upstream reports it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TaskEvent {
    /// From 1, without gaps except where old events were dropped to stay in bounds.
    pub id: u32,
    /// The state entered.
    pub state: TaskState,
    /// When.
    pub at: Timestamp,
    /// JSON text or empty.
    pub detail: String,
}

/// What user code says about how far it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Progress {
    /// 0 to 1000.
    pub permille: u16,
    /// A short message.
    pub message: String,
    /// When it was said.
    pub at: Timestamp,
}

/// What became of the outcome's delivery.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Delivery {
    /// No destination is configured for the outcome.
    #[default]
    None,
    /// Not yet delivered.
    Pending,
    /// Delivered.
    Succeeded,
    /// Given up.
    Failed,
}

/// A durable async invocation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Task {
    order: Arc<Order>,
    state: TaskState,
    /// When it may next start (backoff, delay).
    eligible_at: Timestamp,
    /// Dependencies not yet met.
    waits_for: Vec<Dependency>,
    attempts: Vec<Attempt>,
    attempts_total: u32,
    user_retries: u32,
    system_retries: u32,
    /// When the current run of system retries began; zero when the last try was the user's.
    system_since: Timestamp,
    events: Vec<TaskEvent>,
    events_total: u32,
    first_started_at: Timestamp,
    ended_at: Timestamp,
    result: Payload,
    error: Option<TaskError>,
    progress: Option<Progress>,
    delivery: Delivery,
    watchers: Vec<TaskUid>,
    stop_reason: String,
}

/// Attempts kept in the row; older ones are dropped, their count stays.
pub const ATTEMPTS_KEPT_MAX: usize = 32;
/// Events kept in the row: the first ones and the latest.
pub const EVENTS_KEPT_MAX: usize = 128;
/// Tasks that may wait for one task.
pub const WATCHERS_MAX: usize = 10_000;
/// System retries go on this long (§3.3), then the task fails.
pub const SYSTEM_RETRY_WINDOW: Span = Span::from_secs(5 * 3_600);

impl Task {
    /// What was asked for.
    pub fn order(&self) -> &Order {
        &self.order
    }

    /// Its own id.
    pub fn uid(&self) -> TaskUid {
        self.order.uid
    }

    /// The id it goes by in the FC API: the chosen one, else its own.
    pub fn task_id(&self) -> String {
        match &self.order.chosen_id {
            Some(id) => id.clone(),
            None => alloc::format!("{}", self.order.uid),
        }
    }

    /// Where it is.
    pub fn state(&self) -> TaskState {
        self.state
    }

    /// When it may next start.
    pub fn eligible_at(&self) -> Timestamp {
        self.eligible_at
    }

    /// Dependencies that still hold it back.
    pub fn waits_for(&self) -> &[Dependency] {
        &self.waits_for
    }

    /// The tries that are kept, oldest first.
    pub fn attempts(&self) -> &[Attempt] {
        &self.attempts
    }

    /// The latest try.
    pub fn attempt(&self) -> Option<&Attempt> {
        self.attempts.last()
    }

    /// All tries, kept or not.
    pub fn attempts_total(&self) -> u32 {
        self.attempts_total
    }

    /// Retries charged to the user.
    pub fn user_retries(&self) -> u32 {
        self.user_retries
    }

    /// Retries after throttling, platform failures and lost leases.
    pub fn system_retries(&self) -> u32 {
        self.system_retries
    }

    /// When the current run of system retries began; zero when the last try was the user's.
    pub fn system_since(&self) -> Timestamp {
        self.system_since
    }

    /// Transitions, oldest first.
    pub fn events(&self) -> &[TaskEvent] {
        &self.events
    }

    /// When user code was first entered; zero before.
    pub fn first_started_at(&self) -> Timestamp {
        self.first_started_at
    }

    /// When it ended; zero before.
    pub fn ended_at(&self) -> Timestamp {
        self.ended_at
    }

    /// What the user code returned, or its error body.
    pub fn result(&self) -> &Payload {
        &self.result
    }

    /// Why it is not well.
    pub fn error(&self) -> Option<&TaskError> {
        self.error.as_ref()
    }

    /// How far it says it is.
    pub fn progress(&self) -> Option<&Progress> {
        self.progress.as_ref()
    }

    /// What became of the destination.
    pub fn delivery(&self) -> Delivery {
        self.delivery
    }

    /// Who waits for its end.
    pub fn watchers(&self) -> &[TaskUid] {
        &self.watchers
    }

    /// Why it was stopped, in the words of who did.
    pub fn stop_reason(&self) -> &str {
        &self.stop_reason
    }

    /// Time in user code of the latest attempt that entered it; zero until it ended.
    pub fn duration(&self) -> Span {
        self.attempts
            .iter()
            .rev()
            .find(|attempt| attempt.started_at != Timestamp::ZERO)
            .filter(|attempt| attempt.ended_at != Timestamp::ZERO)
            .map_or(Span::ZERO, |attempt| attempt.ended_at.since(attempt.started_at))
    }

    /// Where its outcome goes, once it has ended; empty for nowhere.
    pub fn destination(&self) -> &str {
        match self.state {
            TaskState::Succeeded => &self.order.on_success,
            TaskState::Failed | TaskState::Stopped | TaskState::Expired | TaskState::Invalid => {
                &self.order.on_failure
            }
            TaskState::Enqueued
            | TaskState::Dequeued
            | TaskState::Running
            | TaskState::Retrying
            | TaskState::Stopping => "",
        }
    }
}

/// What names one attempt for ever; a settle that carries another is stale.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct AttemptFence {
    /// The owner's epoch at the lease.
    pub epoch: Epoch,
    /// The try's number.
    pub number: u32,
}

fn finished(task: &Task) -> Refusal {
    Refusal::new(
        Code::AsyncTaskAlreadyFinished,
        alloc::format!("task '{}' has ended as {}", task.task_id(), task.state),
    )
}

/// Text of our own request ids; clients may bring others.
pub fn request_text(id: RequestId) -> Arc<str> {
    alloc::format!("{id}").into()
}
