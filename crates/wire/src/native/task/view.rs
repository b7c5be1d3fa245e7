//! From the model's task to the one that is shown.

use stint_model::payload::Payload;
use stint_model::task::{Attempt as ModelAttempt, AttemptOutcome, Delivery, Task as ModelTask};
use stint_model::time::Timestamp;

use super::{Attempt, Phases, Progress, Task, TaskError, TaskEvent};
use crate::native::DependsOn;
use crate::time::{Time, millis, to_f64};

impl Task {
    /// A task as it is shown, without the bytes of its payload and result.
    pub fn of(task: &ModelTask) -> Self {
        let order = task.order();
        let state = task.state();
        let waits = state.is_waiting();
        let expires = (order.expires_at != Timestamp::MAX).then_some(Time(order.expires_at));
        Self {
            uid: task.uid().to_string(),
            task_id: task.task_id(),
            function: order.function_name.to_string(),
            qualifier: order.qualifier.to_string(),
            account: order.account.to_string(),
            request_id: order.request_id.to_string(),
            state: state.word().to_owned(),
            ended: state.is_terminal(),
            task_mode: order.task_mode,
            priority: order.priority.value(),
            tags: order.tags.clone(),
            order_key: order.order_key.clone(),
            limit_key: order.limit_key.clone(),
            submitted_at: Time(order.submitted_at),
            eligible_at: waits.then_some(Time(task.eligible_at())),
            started_at: Time::known(task.first_started_at()),
            ended_at: Time::known(task.ended_at()),
            expires_at: expires,
            duration_ms: millis(task.duration()),
            attempts_total: task.attempts_total(),
            retries: task.user_retries(),
            system_retries: task.system_retries(),
            attempts: task.attempts().iter().map(Attempt::of).collect(),
            events: task.events().iter().map(TaskEvent::of).collect(),
            waits_for: task
                .waits_for()
                .iter()
                .map(|dependency| DependsOn {
                    task: dependency.task.to_string(),
                    when: dependency.when.into(),
                })
                .collect(),
            error: task.error().map(TaskError::of),
            progress: task.progress().map(|progress| Progress {
                percent: f64::from(progress.permille) / 10.0,
                message: progress.message.clone(),
                at: Time(progress.at),
            }),
            delivery: delivery(task.delivery()).to_owned(),
            stop_reason: some_text(task.stop_reason()),
            payload_bytes: Payload::len(&order.payload),
            result_bytes: task.result().len(),
            payload: None,
            result: None,
        }
    }
}

fn some_text(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn delivery(delivery: Delivery) -> &'static str {
    match delivery {
        Delivery::None => "none",
        Delivery::Pending => "pending",
        Delivery::Succeeded => "succeeded",
        Delivery::Failed => "failed",
    }
}

impl TaskEvent {
    fn of(event: &stint_model::task::TaskEvent) -> Self {
        Self {
            id: event.id,
            state: event.state.word().to_owned(),
            at: Time(event.at),
            detail: event.detail.clone(),
        }
    }
}

impl TaskError {
    fn of(error: &stint_model::task::TaskError) -> Self {
        Self {
            class: error.class.clone(),
            kind: error.kind.clone(),
            message: error.message.clone(),
        }
    }

    fn ours(class: &str, message: &str) -> Self {
        Self { class: class.to_owned(), kind: String::new(), message: message.to_owned() }
    }
}

impl Attempt {
    fn of(attempt: &ModelAttempt) -> Self {
        let (outcome, error) = match &attempt.outcome {
            None => (None, None),
            Some(AttemptOutcome::Ok) => (Some("ok"), None),
            Some(AttemptOutcome::UserError(error)) => {
                (Some("userError"), Some(TaskError::of(error)))
            }
            Some(AttemptOutcome::Throttled(why)) => {
                (Some("throttled"), Some(TaskError::ours("Throttled", why)))
            }
            Some(AttemptOutcome::SystemError(why)) => {
                (Some("systemError"), Some(TaskError::ours("SystemError", why)))
            }
            Some(AttemptOutcome::Stopped) => (Some("stopped"), None),
        };
        Self {
            number: attempt.number,
            node: attempt.node.0.to_string(),
            instance: attempt.instance.map(|id| id.to_string()),
            revision: attempt.revision.to_string(),
            outcome: outcome.map(str::to_owned),
            error,
            cold: attempt.cold,
            queued_at: Time(attempt.queued_at),
            started_at: Time::known(attempt.started_at),
            ended_at: Time::known(attempt.ended_at),
            phases: Phases::of(attempt),
            memory_mb: to_f64(attempt.memory_milli_mb) / 1e3,
            cpu_ms: to_f64(attempt.cpu_micros) / 1e3,
        }
    }
}

impl Phases {
    /// The differences of an attempt's times; zero for what has not happened.
    fn of(attempt: &ModelAttempt) -> Self {
        let between = |from: Timestamp, to: Timestamp| {
            if from == Timestamp::ZERO || to == Timestamp::ZERO {
                0.0
            } else {
                millis(to.since(from))
            }
        };
        Self {
            queued_ms: between(attempt.queued_at, attempt.leased_at),
            placed_ms: between(attempt.leased_at, attempt.placed_at),
            cold_start_ms: between(attempt.placed_at, attempt.started_at),
            ran_ms: between(attempt.started_at, attempt.ended_at),
            settled_ms: between(attempt.ended_at, attempt.settled_at),
        }
    }
}
