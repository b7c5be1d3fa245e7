//! Stored forms of a task. It is kept in two pieces, because one of them never changes: the *order*
//! (with the payload, which may be large) is written once, at submit; its *life* (state, attempts,
//! events, result) is written again with each transition and stays small. A task that is exactly as
//! it was submitted has no life yet.
//!
//! Both are tagged enums of versions; a reader knows all of them, a writer writes the newest. Bytes
//! from a disk get no special trust: they pass the checks of [`TaskParts`], and what does not is
//! [`StoreError::Corrupt`].
//!
//! The forms borrow from the task on the way out and from the bytes on the way in. Times are kept as
//! differences to the submission, which makes most of them one to five bytes.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use stint_model::function::RetryPolicy;
use stint_model::id::{AccountId, FunctionId, InstanceId, NodeId, RevisionId, TaskUid};
use stint_model::limit::{Priority, Resources};
use stint_model::payload::Payload;
use stint_model::shard::{Epoch, LetterId, Shard};
use stint_model::task::{
    Attempt, AttemptOutcome, Delivery, Dependency, Order, Progress, Task, TaskError, TaskEvent,
    TaskParts, TaskState, When,
};
use stint_model::time::{Span, Timestamp};

use crate::store::StoreError;

mod pieces;
#[cfg(test)]
mod tests;

use pieces::{Moment, Raw, fail, list};

#[derive(Serialize, Deserialize)]
enum StoredOrder<'a> {
    #[serde(borrow)]
    V1(OrderV1<'a>),
    /// Written only for what the first cannot say.
    #[serde(borrow)]
    V2(OrderV2<'a>),
}

#[derive(Serialize, Deserialize)]
struct OrderV2<'a> {
    #[serde(borrow)]
    order: OrderV1<'a>,
    heartbeat: u64,
}

#[derive(Serialize, Deserialize)]
enum StoredLife<'a> {
    #[serde(borrow)]
    V1(LifeV1<'a>),
}

/// The stored form of what was ordered.
pub fn write_order(order: &Order) -> Vec<u8> {
    let form = OrderV1::of(order);
    let form = match order.heartbeat {
        None => StoredOrder::V1(form),
        Some(heartbeat) => StoredOrder::V2(OrderV2 { order: form, heartbeat: heartbeat.micros() }),
    };
    pieces::write(&form, 192 + inline_len(&order.payload))
}

/// The stored form of what became of it, or `None` when nothing has yet.
pub fn write_life(task: &Task) -> Option<Vec<u8>> {
    (!is_as_submitted(task)).then(|| write_life_always(task))
}

/// The stored form of what became of it, also when it is as it was submitted.
pub fn write_life_always(task: &Task) -> Vec<u8> {
    pieces::write(&StoredLife::V1(LifeV1::of(task)), 192 + inline_len(task.result()))
}

/// A task from its two pieces.
///
/// # Errors
/// `Corrupt` when the bytes make no task.
pub fn read(order: &[u8], life: Option<&[u8]>) -> Result<Task, StoreError> {
    let order = read_order(order)?;
    let Some(life) = life else {
        return Ok(Task::submit(Arc::new(order)));
    };
    let StoredLife::V1(life) = pieces::read(life)?;
    let parts = life.into_parts(order)?;
    Task::try_from(parts).map_err(|bad| fail(bad.0))
}

/// What was ordered, without its life.
///
/// # Errors
/// `Corrupt` when the bytes make no order.
pub fn read_order(order: &[u8]) -> Result<Order, StoreError> {
    match pieces::read(order)? {
        StoredOrder::V1(order) => order.into_order(),
        StoredOrder::V2(OrderV2 { order, heartbeat }) => {
            Ok(Order { heartbeat: Some(Span::from_micros(heartbeat)), ..order.into_order()? })
        }
    }
}

/// Whether `Task::submit` of its order gives exactly this task.
fn is_as_submitted(task: &Task) -> bool {
    let order = task.order();
    task.state() == TaskState::Enqueued
        && task.attempts_total() == 0
        && task.watchers().is_empty()
        && task.progress().is_none()
        && task.delivery() == Delivery::None
        && matches!(task.events(), [only] if only.id == 1)
        && task.eligible_at() == order.not_before.max(order.submitted_at)
        && task.waits_for() == order.after
}

fn inline_len(payload: &Payload) -> usize {
    match payload {
        Payload::Inline(bytes) => bytes.len(),
        Payload::Blob { name, .. } => name.len(),
    }
}

#[derive(Serialize, Deserialize)]
struct OrderV1<'a> {
    uid: u64,
    account: u64,
    function: u64,
    function_name: &'a str,
    qualifier: &'a str,
    chosen_id: Option<&'a str>,
    request_id: &'a str,
    task_mode: bool,
    submitted_at: i64,
    not_before: Moment,
    expires_at: Moment,
    priority: u8,
    #[serde(borrow)]
    tags: Vec<(&'a str, &'a str)>,
    order_key: Option<&'a str>,
    limit_key: Option<&'a str>,
    after: Vec<DependencyV1>,
    timeout: Option<u64>,
    size: Option<(u32, u32)>,
    #[serde(borrow)]
    retry: RetryV1<'a>,
    on_success: &'a str,
    on_failure: &'a str,
    #[serde(borrow)]
    payload: PayloadV1<'a>,
    letter: Option<(u16, u64)>,
}

impl<'a> OrderV1<'a> {
    fn of(order: &'a Order) -> Self {
        let base = order.submitted_at;
        Self {
            uid: order.uid.number(),
            account: order.account.number(),
            function: order.function.number(),
            function_name: &order.function_name,
            qualifier: &order.qualifier,
            chosen_id: order.chosen_id.as_deref(),
            request_id: &order.request_id,
            task_mode: order.task_mode,
            submitted_at: base.micros(),
            not_before: Moment::of(order.not_before, base),
            expires_at: Moment::of(order.expires_at, base),
            priority: order.priority.value(),
            tags: order.tags.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect(),
            order_key: order.order_key.as_deref(),
            limit_key: order.limit_key.as_deref(),
            after: list(&order.after, DependencyV1::of),
            timeout: order.timeout.map(Span::micros),
            size: order.size.map(|size| (size.cpu_milli, size.memory_mb)),
            retry: RetryV1::of(&order.retry),
            on_success: &order.on_success,
            on_failure: &order.on_failure,
            payload: PayloadV1::of(&order.payload),
            letter: order.letter.map(|letter| (letter.from.number(), letter.number)),
        }
    }

    fn into_order(self) -> Result<Order, StoreError> {
        let base = Timestamp::from_micros(self.submitted_at);
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Ok(Order {
            uid: task_uid(self.uid)?,
            account: AccountId::new(self.account),
            function: FunctionId::from_number(pieces::minted(self.function)?),
            function_name: self.function_name.into(),
            qualifier: self.qualifier.into(),
            chosen_id: owned(self.chosen_id),
            request_id: self.request_id.into(),
            task_mode: self.task_mode,
            submitted_at: base,
            not_before: self.not_before.at(base),
            expires_at: self.expires_at.at(base),
            priority: Priority::new(self.priority).ok_or_else(|| fail("a priority above 9"))?,
            tags: self.tags.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
            order_key: owned(self.order_key),
            limit_key: owned(self.limit_key),
            after: dependencies(self.after)?,
            timeout: self.timeout.map(Span::from_micros),
            heartbeat: None,
            size: self.size.map(|(cpu_milli, memory_mb)| Resources { cpu_milli, memory_mb }),
            retry: self.retry.into_policy(),
            on_success: self.on_success.to_owned(),
            on_failure: self.on_failure.to_owned(),
            payload: self.payload.into_payload(),
            letter: self.letter.map(letter_id).transpose()?,
        })
    }
}

#[derive(Serialize, Deserialize)]
struct LifeV1<'a> {
    state: u8,
    expires_at: Moment,
    eligible_at: Moment,
    waits_for: Vec<DependencyV1>,
    #[serde(borrow)]
    attempts: Vec<AttemptV1<'a>>,
    attempts_total: u32,
    user_retries: u32,
    system_retries: u32,
    system_since: Moment,
    #[serde(borrow)]
    events: Vec<EventV1<'a>>,
    first_started_at: Moment,
    ended_at: Moment,
    #[serde(borrow)]
    result: PayloadV1<'a>,
    #[serde(borrow)]
    error: Option<ErrorV1<'a>>,
    progress: Option<(u16, &'a str, Moment)>,
    delivery: u8,
    watchers: Vec<u64>,
    stop_reason: &'a str,
}

impl<'a> LifeV1<'a> {
    fn of(task: &'a Task) -> Self {
        let base = task.order().submitted_at;
        let progress = task.progress();
        Self {
            state: task.state().number(),
            expires_at: Moment::of(task.order().expires_at, base),
            eligible_at: Moment::of(task.eligible_at(), base),
            waits_for: list(task.waits_for(), DependencyV1::of),
            attempts: list(task.attempts(), |attempt| AttemptV1::of(attempt, base)),
            attempts_total: task.attempts_total(),
            user_retries: task.user_retries(),
            system_retries: task.system_retries(),
            system_since: Moment::of(task.system_since(), base),
            events: list(task.events(), |event| EventV1::of(event, base)),
            first_started_at: Moment::of(task.first_started_at(), base),
            ended_at: Moment::of(task.ended_at(), base),
            result: PayloadV1::of(task.result()),
            error: task.error().map(ErrorV1::of),
            progress: progress.map(|p| (p.permille, p.message.as_str(), Moment::of(p.at, base))),
            delivery: delivery_number(task.delivery()),
            watchers: list(task.watchers(), |uid| uid.number()),
            stop_reason: task.stop_reason(),
        }
    }

    fn into_parts(self, mut order: Order) -> Result<TaskParts, StoreError> {
        let base = order.submitted_at;
        order.expires_at = self.expires_at.at(base);
        let attempts = self.attempts.into_iter().map(|attempt| attempt.into_attempt(base));
        let events = self.events.into_iter().map(|event| event.into_event(base));
        let events: Vec<TaskEvent> = events.collect::<Result<_, _>>()?;
        Ok(TaskParts {
            state: state(self.state)?,
            eligible_at: self.eligible_at.at(base),
            waits_for: dependencies(self.waits_for)?,
            attempts: attempts.collect::<Result<_, _>>()?,
            attempts_total: self.attempts_total,
            user_retries: self.user_retries,
            system_retries: self.system_retries,
            system_since: self.system_since.at(base),
            events_total: events.last().map_or(0, |event| event.id),
            events,
            first_started_at: self.first_started_at.at(base),
            ended_at: self.ended_at.at(base),
            result: self.result.into_payload(),
            error: self.error.map(ErrorV1::into_error),
            progress: self.progress.map(|(permille, message, at)| Progress {
                permille,
                message: message.to_owned(),
                at: at.at(base),
            }),
            delivery: delivery(self.delivery)?,
            watchers: self.watchers.into_iter().map(task_uid).collect::<Result<_, _>>()?,
            stop_reason: self.stop_reason.to_owned(),
            order: Arc::new(order),
        })
    }
}

#[derive(Serialize, Deserialize)]
struct DependencyV1 {
    task: u64,
    ended: bool,
}

impl DependencyV1 {
    fn of(dependency: &Dependency) -> Self {
        Self { task: dependency.task.number(), ended: dependency.when == When::Ended }
    }

    fn into_dependency(self) -> Result<Dependency, StoreError> {
        let when = if self.ended { When::Ended } else { When::Succeeded };
        Ok(Dependency { task: task_uid(self.task)?, when })
    }
}

#[derive(Serialize, Deserialize)]
struct RetryV1<'a> {
    retries_max: u32,
    backoff_base: u64,
    backoff_cap: u64,
    #[serde(borrow)]
    final_errors: Vec<&'a str>,
}

impl<'a> RetryV1<'a> {
    fn of(policy: &'a RetryPolicy) -> Self {
        Self {
            retries_max: policy.retries_max,
            backoff_base: policy.backoff_base.micros(),
            backoff_cap: policy.backoff_cap.micros(),
            final_errors: policy.final_errors.iter().map(String::as_str).collect(),
        }
    }

    fn into_policy(self) -> RetryPolicy {
        RetryPolicy {
            retries_max: self.retries_max,
            backoff_base: Span::from_micros(self.backoff_base),
            backoff_cap: Span::from_micros(self.backoff_cap),
            final_errors: self.final_errors.into_iter().map(str::to_owned).collect(),
        }
    }
}

#[derive(Serialize, Deserialize)]
enum PayloadV1<'a> {
    Inline(#[serde(borrow)] Raw<'a>),
    Blob(&'a str, u64),
}

impl<'a> PayloadV1<'a> {
    fn of(payload: &'a Payload) -> Self {
        match payload {
            Payload::Inline(bytes) => Self::Inline(Raw(bytes)),
            Payload::Blob { name, len } => Self::Blob(name, *len),
        }
    }

    fn into_payload(self) -> Payload {
        match self {
            Self::Inline(Raw([])) => Payload::empty(),
            Self::Inline(Raw(bytes)) => Payload::Inline(Bytes::copy_from_slice(bytes)),
            Self::Blob(name, len) => Payload::Blob { name: name.to_owned(), len },
        }
    }
}

#[derive(Serialize, Deserialize)]
struct AttemptV1<'a> {
    number: u32,
    epoch: u64,
    node: u32,
    revision: u64,
    instance: Option<[u8; 16]>,
    queued_at: Moment,
    leased_at: Moment,
    placed_at: Moment,
    started_at: Moment,
    ended_at: Moment,
    settled_at: Moment,
    cold: bool,
    memory_milli_mb: u64,
    cpu_micros: u64,
    #[serde(borrow)]
    outcome: Option<OutcomeV1<'a>>,
}

impl<'a> AttemptV1<'a> {
    fn of(attempt: &'a Attempt, base: Timestamp) -> Self {
        Self {
            number: attempt.number,
            epoch: attempt.epoch.0,
            node: attempt.node.0,
            revision: attempt.revision.number(),
            instance: attempt.instance.map(|instance| instance.0.to_be_bytes()),
            queued_at: Moment::of(attempt.queued_at, base),
            leased_at: Moment::of(attempt.leased_at, base),
            placed_at: Moment::of(attempt.placed_at, base),
            started_at: Moment::of(attempt.started_at, base),
            ended_at: Moment::of(attempt.ended_at, base),
            settled_at: Moment::of(attempt.settled_at, base),
            cold: attempt.cold,
            memory_milli_mb: attempt.memory_milli_mb,
            cpu_micros: attempt.cpu_micros,
            outcome: attempt.outcome.as_ref().map(OutcomeV1::of),
        }
    }

    fn into_attempt(self, base: Timestamp) -> Result<Attempt, StoreError> {
        Ok(Attempt {
            number: self.number,
            epoch: Epoch(self.epoch),
            node: NodeId(self.node),
            revision: RevisionId::from_number(pieces::minted(self.revision)?),
            instance: self.instance.map(|bytes| InstanceId(u128::from_be_bytes(bytes))),
            queued_at: self.queued_at.at(base),
            leased_at: self.leased_at.at(base),
            placed_at: self.placed_at.at(base),
            started_at: self.started_at.at(base),
            ended_at: self.ended_at.at(base),
            settled_at: self.settled_at.at(base),
            cold: self.cold,
            memory_milli_mb: self.memory_milli_mb,
            cpu_micros: self.cpu_micros,
            outcome: self.outcome.map(OutcomeV1::into_outcome),
        })
    }
}

#[derive(Serialize, Deserialize)]
enum OutcomeV1<'a> {
    Ok,
    UserError(#[serde(borrow)] ErrorV1<'a>),
    Throttled(&'a str),
    SystemError(&'a str),
    Stopped,
}

impl<'a> OutcomeV1<'a> {
    fn of(outcome: &'a AttemptOutcome) -> Self {
        match outcome {
            AttemptOutcome::Ok => Self::Ok,
            AttemptOutcome::UserError(error) => Self::UserError(ErrorV1::of(error)),
            AttemptOutcome::Throttled(why) => Self::Throttled(why),
            AttemptOutcome::SystemError(why) => Self::SystemError(why),
            AttemptOutcome::Stopped => Self::Stopped,
        }
    }

    fn into_outcome(self) -> AttemptOutcome {
        match self {
            Self::Ok => AttemptOutcome::Ok,
            Self::UserError(error) => AttemptOutcome::UserError(error.into_error()),
            Self::Throttled(why) => AttemptOutcome::Throttled(why.to_owned()),
            Self::SystemError(why) => AttemptOutcome::SystemError(why.to_owned()),
            Self::Stopped => AttemptOutcome::Stopped,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct ErrorV1<'a> {
    class: &'a str,
    kind: &'a str,
    message: &'a str,
}

impl<'a> ErrorV1<'a> {
    fn of(error: &'a TaskError) -> Self {
        Self { class: &error.class, kind: &error.kind, message: &error.message }
    }

    fn into_error(self) -> TaskError {
        TaskError {
            class: self.class.to_owned(),
            kind: self.kind.to_owned(),
            message: self.message.to_owned(),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct EventV1<'a> {
    id: u32,
    state: u8,
    at: Moment,
    detail: &'a str,
}

impl<'a> EventV1<'a> {
    fn of(event: &'a TaskEvent, base: Timestamp) -> Self {
        let at = Moment::of(event.at, base);
        Self { id: event.id, state: event.state.number(), at, detail: &event.detail }
    }

    fn into_event(self, base: Timestamp) -> Result<TaskEvent, StoreError> {
        let (state, at) = (state(self.state)?, self.at.at(base));
        Ok(TaskEvent { id: self.id, state, at, detail: self.detail.to_owned() })
    }
}

fn dependencies(forms: Vec<DependencyV1>) -> Result<Vec<Dependency>, StoreError> {
    forms.into_iter().map(DependencyV1::into_dependency).collect()
}

fn task_uid(number: u64) -> Result<TaskUid, StoreError> {
    pieces::minted(number).map(TaskUid::from_number)
}

fn letter_id((from, number): (u16, u64)) -> Result<LetterId, StoreError> {
    let from =
        if from < Shard::COUNT_MAX { Shard::new(from) } else { return Err(fail("a shard")) };
    Ok(LetterId { from, number })
}

fn state(number: u8) -> Result<TaskState, StoreError> {
    TaskState::from_number(number).ok_or_else(|| fail("an unknown state"))
}

fn delivery_number(delivery: Delivery) -> u8 {
    match delivery {
        Delivery::None => 0,
        Delivery::Pending => 1,
        Delivery::Succeeded => 2,
        Delivery::Failed => 3,
    }
}

fn delivery(number: u8) -> Result<Delivery, StoreError> {
    match number {
        0 => Ok(Delivery::None),
        1 => Ok(Delivery::Pending),
        2 => Ok(Delivery::Succeeded),
        3 => Ok(Delivery::Failed),
        _ => Err(fail("an unknown delivery")),
    }
}
