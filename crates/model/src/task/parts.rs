//! A task taken apart for storing, and put together again with the checks a fresh one passes: a
//! record from disk gets no special trust.

use super::*;

/// Every field of a [`Task`], in the open.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "named as in Task")]
pub struct TaskParts {
    pub order: Arc<Order>,
    pub state: TaskState,
    pub eligible_at: Timestamp,
    pub waits_for: Vec<Dependency>,
    pub attempts: Vec<Attempt>,
    pub attempts_total: u32,
    pub user_retries: u32,
    pub system_retries: u32,
    pub system_since: Timestamp,
    pub events: Vec<TaskEvent>,
    pub events_total: u32,
    pub first_started_at: Timestamp,
    pub ended_at: Timestamp,
    pub result: Payload,
    pub error: Option<TaskError>,
    pub progress: Option<Progress>,
    pub delivery: Delivery,
    pub watchers: Vec<TaskUid>,
    pub stop_reason: String,
}

/// Why parts do not make a task.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BadTask(pub &'static str);

impl fmt::Display for BadTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the parts make no task: {}", self.0)
    }
}

impl core::error::Error for BadTask {}

impl From<Task> for TaskParts {
    fn from(task: Task) -> Self {
        Self {
            order: task.order,
            state: task.state,
            eligible_at: task.eligible_at,
            waits_for: task.waits_for,
            attempts: task.attempts,
            attempts_total: task.attempts_total,
            user_retries: task.user_retries,
            system_retries: task.system_retries,
            system_since: task.system_since,
            events: task.events,
            events_total: task.events_total,
            first_started_at: task.first_started_at,
            ended_at: task.ended_at,
            result: task.result,
            error: task.error,
            progress: task.progress,
            delivery: task.delivery,
            watchers: task.watchers,
            stop_reason: task.stop_reason,
        }
    }
}

impl TryFrom<TaskParts> for Task {
    type Error = BadTask;

    fn try_from(parts: TaskParts) -> Result<Self, BadTask> {
        let check =
            |holds: bool, what: &'static str| if holds { Ok(()) } else { Err(BadTask(what)) };
        let terminal = parts.state.is_terminal();
        let leased = !terminal && !parts.state.is_waiting();
        check(terminal == (parts.ended_at != Timestamp::ZERO), "an end time exactly when ended")?;
        check(!terminal || parts.waits_for.is_empty(), "an ended task waits for nothing")?;
        check(!leased || !parts.attempts.is_empty(), "a leased task has an attempt")?;
        check(parts.attempts.len() <= ATTEMPTS_KEPT_MAX, "few attempts")?;
        check(parts.events.len() <= EVENTS_KEPT_MAX, "few events")?;
        check(parts.watchers.len() <= WATCHERS_MAX, "few watchers")?;
        let last = parts.attempts.last().map_or(0, |attempt| attempt.number);
        check(last == parts.attempts_total, "the last attempt bears the count")?;
        let rising = parts.attempts.windows(2).all(|pair| pair[0].number < pair[1].number);
        check(rising, "attempts rise")?;
        let last = parts.events.last().map(|event| (event.state, event.id));
        check(last == Some((parts.state, parts.events_total)), "the last event is the state")?;
        Ok(Self {
            order: parts.order,
            state: parts.state,
            eligible_at: parts.eligible_at,
            waits_for: parts.waits_for,
            attempts: parts.attempts,
            attempts_total: parts.attempts_total,
            user_retries: parts.user_retries,
            system_retries: parts.system_retries,
            system_since: parts.system_since,
            events: parts.events,
            events_total: parts.events_total,
            first_started_at: parts.first_started_at,
            ended_at: parts.ended_at,
            result: parts.result,
            error: parts.error,
            progress: parts.progress,
            delivery: parts.delivery,
            watchers: parts.watchers,
            stop_reason: parts.stop_reason,
        })
    }
}
