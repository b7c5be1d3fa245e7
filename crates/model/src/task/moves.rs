//! The legal moves of a task. A move that the state or the fence does not allow changes nothing.

use super::*;

/// Where a lease is placed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// The node.
    pub node: NodeId,
    /// The function's revision that will run.
    pub revision: RevisionId,
}

/// How long to wait, with the randomness brought from outside.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Backoff {
    /// 0 to 1,000,000: where in the jitter's range this wait falls.
    pub draw_millionths: u32,
}

impl Backoff {
    /// Half of the wait is fixed, half is drawn: `base · 2^n`, never above `cap`.
    pub fn wait(self, base: Span, cap: Span, failures: u32) -> Span {
        let doubled = base.times(1_u64 << failures.min(40)).min(cap);
        let half = doubled.micros() / 2;
        let drawn = half / 1_000_000 * u64::from(self.draw_millionths)
            + half % 1_000_000 * u64::from(self.draw_millionths) / 1_000_000;
        Span::from_micros(doubled.micros() - half + drawn)
    }
}

/// What a settle led to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// The task has ended.
    Ended(TaskState),
    /// It waits again, until this time.
    Waits(Timestamp),
    /// The report was of another attempt: nothing changed.
    Stale,
}

/// What a stop led to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stop {
    /// It waited and has ended.
    Ended,
    /// It runs: the node must be told.
    TellNode(AttemptFence),
    /// It was being stopped already.
    Already,
}

/// What a node measured of an attempt.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Measured {
    /// Which instance served it.
    pub instance: Option<InstanceId>,
    /// An instance was chosen or begun.
    pub placed_at: Timestamp,
    /// User code was entered; zero if it never was.
    pub started_at: Timestamp,
    /// User code was left.
    pub ended_at: Timestamp,
    /// Whether an instance was started for it.
    pub cold: bool,
    /// Peak memory in thousandths of a MB.
    pub memory_milli_mb: u64,
    /// CPU time in microseconds.
    pub cpu_micros: u64,
}

/// System errors and throttling wait this long first (§3.3) …
const SYSTEM_BACKOFF_BASE: Span = Span::from_millis(500);
/// … and at most this long.
const SYSTEM_BACKOFF_CAP: Span = Span::from_secs(60);

impl Task {
    /// A task as it is accepted.
    pub fn submit(order: Arc<Order>) -> Self {
        let at = order.submitted_at;
        let eligible_at = order.not_before.max(at);
        let waits_for = order.after.clone();
        let mut task = Self {
            order,
            state: TaskState::Enqueued,
            eligible_at,
            waits_for,
            attempts: Vec::new(),
            attempts_total: 0,
            user_retries: 0,
            system_retries: 0,
            system_since: Timestamp::ZERO,
            events: Vec::new(),
            events_total: 0,
            first_started_at: Timestamp::ZERO,
            ended_at: Timestamp::ZERO,
            result: Payload::empty(),
            error: None,
            progress: None,
            delivery: Delivery::None,
            watchers: Vec::new(),
            stop_reason: String::new(),
        };
        task.enter(TaskState::Enqueued, at, String::new());
        task
    }

    /// Hands the task to a node. `None` when it does not wait or is held by a dependency.
    pub fn lease(&mut self, epoch: Epoch, place: Place, now: Timestamp) -> Option<AttemptFence> {
        if !self.state.is_waiting() || !self.waits_for.is_empty() {
            return None;
        }
        self.attempts_total += 1;
        let fence = AttemptFence { epoch, number: self.attempts_total };
        if self.attempts.len() == ATTEMPTS_KEPT_MAX {
            self.attempts.remove(0);
        }
        self.attempts.push(Attempt {
            number: fence.number,
            epoch,
            node: place.node,
            revision: place.revision,
            instance: None,
            queued_at: self.eligible_at,
            leased_at: now,
            placed_at: Timestamp::ZERO,
            started_at: Timestamp::ZERO,
            ended_at: Timestamp::ZERO,
            settled_at: Timestamp::ZERO,
            cold: false,
            memory_milli_mb: 0,
            cpu_micros: 0,
            outcome: None,
        });
        self.enter(TaskState::Dequeued, now, String::new());
        Some(fence)
    }

    /// User code was entered. False for a stale report.
    pub fn started(&mut self, fence: AttemptFence, measured: &Measured) -> bool {
        if self.live(fence).is_none() {
            return false;
        }
        if self.state == TaskState::Dequeued {
            self.enter(TaskState::Running, measured.started_at, String::new());
        }
        if self.first_started_at == Timestamp::ZERO {
            self.first_started_at = measured.started_at;
        }
        self.measure(measured);
        true
    }

    /// User code reported how far it is. False for a stale report.
    pub fn report(&mut self, fence: AttemptFence, progress: Progress) -> bool {
        let live = self.live(fence).is_some();
        if live {
            self.progress = Some(progress);
        }
        live
    }

    /// An attempt ended with `outcome`; `result` is what the user code returned or its error body.
    #[expect(clippy::too_many_arguments, reason = "self, the fence, and what a report carries")]
    pub fn settle(
        &mut self,
        fence: AttemptFence,
        outcome: AttemptOutcome,
        result: Payload,
        measured: &Measured,
        (now, backoff): (Timestamp, Backoff),
    ) -> Next {
        if self.live(fence).is_none() {
            return Next::Stale;
        }
        if self.state == TaskState::Dequeued && measured.started_at != Timestamp::ZERO {
            self.enter(TaskState::Running, measured.started_at, String::new());
        }
        if self.first_started_at == Timestamp::ZERO {
            self.first_started_at = measured.started_at;
        }
        self.measure(measured);
        let attempt = self.attempts.last_mut().expect("a live attempt");
        attempt.settled_at = now;
        attempt.outcome = Some(outcome.clone());
        if self.state == TaskState::Stopping {
            // Whatever the attempt says now: the person's wish came first, unless it was done.
            return match outcome {
                AttemptOutcome::Ok => self.succeed(result, now),
                AttemptOutcome::UserError(_)
                | AttemptOutcome::Throttled(_)
                | AttemptOutcome::SystemError(_)
                | AttemptOutcome::Stopped => self.end(TaskState::Stopped, now, String::new()),
            };
        }
        match outcome {
            AttemptOutcome::Ok => self.succeed(result, now),
            AttemptOutcome::UserError(error) => self.fail(error, result, now, backoff),
            AttemptOutcome::Throttled(why) => {
                self.requeue("FunctionResourceExhausted", why, now, backoff)
            }
            AttemptOutcome::SystemError(why) => self.requeue("SystemError", why, now, backoff),
            AttemptOutcome::Stopped => self.end(TaskState::Stopped, now, String::new()),
        }
    }

    /// A task found without a live lease after its owner restarted: waits again, not charged.
    pub fn lost(&mut self, now: Timestamp) -> Next {
        match self.state {
            TaskState::Dequeued | TaskState::Running => {
                if let Some(attempt) = self.attempts.last_mut() {
                    attempt.settled_at = now;
                    attempt.outcome =
                        Some(AttemptOutcome::SystemError("the lease was lost".into()));
                }
                self.system_retries += 1;
                self.eligible_at = now;
                self.enter(TaskState::Enqueued, now, "{\"Reason\":\"LeaseLost\"}".into());
                Next::Waits(now)
            }
            TaskState::Stopping => self.end(TaskState::Stopped, now, String::new()),
            TaskState::Enqueued
            | TaskState::Retrying
            | TaskState::Succeeded
            | TaskState::Failed
            | TaskState::Stopped
            | TaskState::Expired
            | TaskState::Invalid => Next::Stale,
        }
    }

    /// Takes a running batch attempt back for online work: waits again, not charged.
    pub fn take_back(&mut self, fence: AttemptFence, measured: &Measured, now: Timestamp) -> Next {
        if self.live(fence).is_none() || self.state == TaskState::Stopping {
            return Next::Stale;
        }
        self.measure(measured);
        self.lost(now)
    }

    /// A person stops it.
    ///
    /// # Errors
    /// `AsyncTaskAlreadyFinished` when it has ended.
    pub fn stop(&mut self, reason: &str, now: Timestamp) -> Result<Stop, Refusal> {
        match self.state {
            TaskState::Enqueued | TaskState::Retrying => {
                self.stop_reason = reason.into();
                self.enter(TaskState::Stopping, now, String::new());
                self.end(TaskState::Stopped, now, String::new());
                Ok(Stop::Ended)
            }
            TaskState::Dequeued | TaskState::Running => {
                self.stop_reason = reason.into();
                self.enter(TaskState::Stopping, now, String::new());
                let attempt = self.attempts.last().expect("a leased task has an attempt");
                Ok(Stop::TellNode(AttemptFence { epoch: attempt.epoch, number: attempt.number }))
            }
            TaskState::Stopping => Ok(Stop::Already),
            TaskState::Succeeded
            | TaskState::Failed
            | TaskState::Stopped
            | TaskState::Expired
            | TaskState::Invalid => Err(finished(self)),
        }
    }

    /// Too old before it started. False when it is not waiting or not too old.
    pub fn expire(&mut self, now: Timestamp) -> bool {
        if !self.state.is_waiting() || now < self.order.expires_at {
            return false;
        }
        self.error = Some(TaskError {
            class: "AsyncEventExpired".into(),
            kind: "AsyncEventExpired".into(),
            message: "it did not start in time: before its deadline, or else within \
                      maxAsyncEventAgeInSeconds of being due"
                .into(),
        });
        self.end(TaskState::Expired, now, String::new());
        true
    }

    /// Cannot run: the function is gone, or a dependency ended badly. False when it has ended.
    pub fn invalidate(&mut self, why: &str, now: Timestamp) -> bool {
        if self.state.is_terminal() {
            return false;
        }
        self.error = Some(TaskError {
            class: "Invalid".into(),
            kind: "Invalid".into(),
            message: why.into(),
        });
        self.end(TaskState::Invalid, now, String::new());
        true
    }

    /// A dependency ended. `Some(true)`: nothing holds the task any more; `Some(false)`: the
    /// task cannot run and is now `Invalid`; `None`: it waits for others, or did not wait for it.
    pub fn dependency_ended(
        &mut self,
        task: TaskUid,
        state: TaskState,
        now: Timestamp,
    ) -> Option<bool> {
        let index = self.waits_for.iter().position(|dependency| dependency.task == task)?;
        if self.state.is_terminal() {
            return None;
        }
        let dependency = self.waits_for.remove(index);
        if dependency.when == When::Succeeded && state != TaskState::Succeeded {
            let why = alloc::format!("task {task}, which it depends on, ended as {state}");
            self.invalidate(&why, now);
            return Some(false);
        }
        if self.waits_for.is_empty() {
            self.eligible_at = self.eligible_at.max(now);
            return Some(true);
        }
        None
    }

    /// What held the task holds it no more, so that its age begins to count. One with a deadline of
    /// its own keeps that.
    pub fn age_from(&mut self, now: Timestamp, age_max: Span) {
        if self.order.expires_at == Timestamp::MAX {
            let mut order = (*self.order).clone();
            order.expires_at = now.max(order.not_before) + age_max;
            self.order = Arc::new(order);
        }
    }

    /// A person runs an ended task again: counts start anew, the history goes on, and it waits again
    /// for what it depends on.
    ///
    /// # Errors
    /// `AsyncTaskNotFinished` while it has not ended.
    pub fn retry(&mut self, age_max: Span, now: Timestamp) -> Result<(), Refusal> {
        if !self.state.is_terminal() {
            return Err(Refusal::new(
                Code::AsyncTaskNotFinished,
                alloc::format!(
                    "task '{}' is {}; only an ended task can be retried",
                    self.task_id(),
                    self.state
                ),
            ));
        }
        let mut order = (*self.order).clone();
        self.waits_for.clone_from(&order.after);
        // §2.4: what is held does not age.
        order.expires_at = if self.waits_for.is_empty() { now + age_max } else { Timestamp::MAX };
        self.order = Arc::new(order);
        self.user_retries = 0;
        self.system_retries = 0;
        self.system_since = Timestamp::ZERO;
        self.ended_at = Timestamp::ZERO;
        self.result = Payload::empty();
        self.error = None;
        self.progress = None;
        self.delivery = Delivery::None;
        self.stop_reason.clear();
        self.eligible_at = now;
        self.enter(TaskState::Enqueued, now, "{\"Reason\":\"RetriedByHand\"}".into());
        Ok(())
    }

    /// Another task waits for this one's end. False when too many do or it has ended.
    pub fn watch(&mut self, by: TaskUid) -> bool {
        if self.state.is_terminal() || self.watchers.len() >= WATCHERS_MAX {
            return false;
        }
        if !self.watchers.contains(&by) {
            self.watchers.push(by);
        }
        true
    }

    /// Something worth telling about the last event, beside what it says.
    pub fn note(&mut self, text: &str) {
        let Some(event) = self.events.last_mut() else { return };
        let note = alloc::format!("\"Note\":{}}}", json_text(text));
        event.detail = match event.detail.strip_suffix('}') {
            Some(said) => alloc::format!("{said},{note}"),
            None => alloc::format!("{{{note}"),
        };
    }

    /// The destination was reached or given up.
    pub fn delivered(&mut self, delivery: Delivery) {
        self.delivery = delivery;
    }

    fn live(&self, fence: AttemptFence) -> Option<&Attempt> {
        let running = match self.state {
            TaskState::Dequeued | TaskState::Running | TaskState::Stopping => true,
            TaskState::Enqueued
            | TaskState::Retrying
            | TaskState::Succeeded
            | TaskState::Failed
            | TaskState::Stopped
            | TaskState::Expired
            | TaskState::Invalid => false,
        };
        self.attempts
            .last()
            .filter(|last| running && last.epoch == fence.epoch && last.number == fence.number)
    }

    fn measure(&mut self, measured: &Measured) {
        let attempt = self.attempts.last_mut().expect("a live attempt");
        attempt.instance = measured.instance.or(attempt.instance);
        attempt.placed_at = measured.placed_at;
        attempt.started_at = measured.started_at;
        attempt.ended_at = measured.ended_at;
        attempt.cold = measured.cold;
        attempt.memory_milli_mb = measured.memory_milli_mb;
        attempt.cpu_micros = measured.cpu_micros;
    }

    fn succeed(&mut self, result: Payload, now: Timestamp) -> Next {
        self.result = result;
        self.error = None;
        self.end(TaskState::Succeeded, now, String::new())
    }

    fn fail(
        &mut self,
        error: TaskError,
        result: Payload,
        now: Timestamp,
        backoff: Backoff,
    ) -> Next {
        let policy = &self.order.retry;
        let is_final = policy.final_errors.contains(&error.kind);
        let detail = error_detail(&error);
        let wait = backoff.wait(policy.backoff_base, policy.backoff_cap, self.user_retries);
        let spent = self.user_retries >= policy.retries_max;
        self.error = Some(error);
        self.result = result;
        self.system_since = Timestamp::ZERO;
        if is_final || spent {
            return self.end(TaskState::Failed, now, detail);
        }
        self.user_retries += 1;
        self.eligible_at = now + wait;
        self.enter(TaskState::Retrying, now, detail);
        Next::Waits(self.eligible_at)
    }

    /// §3.3: throttling and platform errors wait 0.5 s, doubling, for up to five hours, and the
    /// task shows as `Enqueued` meanwhile.
    fn requeue(&mut self, kind: &str, why: String, now: Timestamp, backoff: Backoff) -> Next {
        if self.system_since == Timestamp::ZERO {
            self.system_since = now;
            self.system_retries = 0;
        }
        if now.since(self.system_since) >= SYSTEM_RETRY_WINDOW {
            let error = TaskError { class: kind.into(), kind: kind.into(), message: why };
            let detail = error_detail(&error);
            self.error = Some(error);
            return self.end(TaskState::Failed, now, detail);
        }
        let wait = backoff.wait(SYSTEM_BACKOFF_BASE, SYSTEM_BACKOFF_CAP, self.system_retries);
        self.system_retries += 1;
        self.eligible_at = now + wait;
        self.enter(TaskState::Enqueued, now, reason_detail(kind, &why));
        Next::Waits(self.eligible_at)
    }

    fn end(&mut self, state: TaskState, now: Timestamp, detail: String) -> Next {
        assert!(state.is_terminal(), "end is for terminal states");
        self.ended_at = now;
        self.waits_for.clear();
        self.enter(state, now, detail);
        if !self.destination().is_empty() {
            self.delivery = Delivery::Pending;
        }
        Next::Ended(state)
    }

    fn enter(&mut self, state: TaskState, at: Timestamp, detail: String) {
        self.state = state;
        self.events_total += 1;
        if self.events.len() == EVENTS_KEPT_MAX {
            // The beginning tells how it came, the end where it is; the middle goes.
            self.events.remove(EVENTS_KEPT_MAX / 2);
        }
        self.events.push(TaskEvent { id: self.events_total, state, at, detail });
    }
}

fn error_detail(error: &TaskError) -> String {
    alloc::format!(
        "{{\"Error\":{},\"ErrorType\":{},\"Message\":{}}}",
        json_text(&error.class),
        json_text(&error.kind),
        json_text(&error.message)
    )
}

fn reason_detail(kind: &str, why: &str) -> String {
    alloc::format!("{{\"Reason\":{},\"Message\":{}}}", json_text(kind), json_text(why))
}

/// A JSON string literal; the model has no serializer.
fn json_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if u32::from(c) < 0x20 => {
                use core::fmt::Write as _;
                write!(out, "\\u{:04x}", u32::from(c)).expect("a String takes everything");
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
