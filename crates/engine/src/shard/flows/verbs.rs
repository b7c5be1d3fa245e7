//! What a shard is asked about executions: what must be read first, what is decided, what follows the commit.

use stint_flow::{EventBody, Refusal, Report, TokenAddress, Verdict};
use stint_model::code::Code;
use stint_model::execution::Execution;
use stint_model::id::{AccountId, ExecutionUid};
use stint_store::{Key, Put};

use super::{FlowInput, Happening, Looked, ReportTo, Shard};
use crate::error::EngineError;
use crate::flows::{ActivityTask, Started};
use crate::shard::{Effect, Reads, Reply, Wants, tell};

/// What follows a commit.
#[derive(Debug)]
pub(crate) enum Followup {
    Started(Box<Started>, Reply<Started>),
    Reported(Option<u64>, Reply<Option<u64>>),
    Shown(Box<Execution>, Reply<Execution>),
    Work(Option<ActivityTask>, Reply<Option<ActivityTask>>),
    /// These executions are written.
    Moved(Vec<ExecutionUid>),
}

impl Followup {
    /// The batch failed.
    pub(crate) fn fail(self, error: EngineError) {
        match self {
            Self::Started(_, reply) => tell(reply, Err(error)),
            Self::Reported(_, reply) => tell(reply, Err(error)),
            Self::Shown(_, reply) => tell(reply, Err(error)),
            Self::Work(_, reply) => tell(reply, Err(error)),
            Self::Moved(_) => {}
        }
    }
}

fn missing(uid: ExecutionUid) -> EngineError {
    let message = format!("execution '{uid}' does not exist");
    EngineError::refused(Code::ExecutionNotExists, message)
}

fn over() -> EngineError {
    let message =
        "the step has ended: its result is known, its time was up, or its execution ended";
    EngineError::refused(Code::TaskAlreadyCompleted, message)
}

impl Shard {
    pub(in crate::shard) fn wants_of_flow(&self, input: &FlowInput, wants: &mut Wants) {
        match input {
            FlowInput::Start { order, .. } => {
                if !order.is_fresh {
                    self.want_name((order.head.list(), order.head.name.clone()), wants);
                }
                wants.plans.push((order.head.flow, order.head.revision));
            }
            FlowInput::Report { to: ReportTo::Named(name), .. } => {
                self.want_name(name.clone(), wants);
            }
            FlowInput::Report { to: ReportTo::Uid(execution), .. }
            | FlowInput::Happened { execution, .. }
            | FlowInput::Submitted { execution, .. }
            | FlowInput::Items { execution, .. }
            | FlowInput::MapWritten { execution, .. }
            | FlowInput::Stop { execution, .. }
            | FlowInput::Redrive { execution, .. }
            | FlowInput::Wait { execution, .. }
            | FlowInput::Look { execution, .. }
            | FlowInput::MapRun { execution, .. } => self.want_execution(*execution, wants),
            FlowInput::Take { activity, .. } => {
                if let Some((uid, _)) = self.work_first(activity) {
                    self.want_execution(uid, wants);
                }
            }
            FlowInput::Waiting { .. } => {}
            FlowInput::Forget { executions, .. } => {
                executions.iter().for_each(|uid| self.want_execution(*uid, wants));
            }
        }
    }

    pub(in crate::shard) fn flow(&mut self, input: FlowInput, reads: &mut Reads) {
        match input {
            FlowInput::Start { order, reply } => self.start_execution(*order, reply, reads),
            FlowInput::Happened { execution, body } => {
                self.answered(execution, Happening::Event(body), reads);
            }
            FlowInput::Submitted { execution, call } => {
                let body = Box::new(EventBody::Submitted { call });
                self.answered(execution, Happening::Event(body), reads);
            }
            FlowInput::Items { execution, call, items } => {
                if self.hold(execution, reads) {
                    self.map_items((execution, call), items, reads);
                }
            }
            FlowInput::MapWritten { execution, call, result } => {
                if self.hold(execution, reads) {
                    self.map_written((execution, call), result);
                }
            }
            FlowInput::Report { to, account, token, report, reply } => {
                self.report_input((to, account), (token, report), reply, reads);
            }
            FlowInput::Stop { execution, error, cause, reply } => {
                let body = EventBody::Stop { error, cause };
                self.command_execution(execution, body, reply, reads);
            }
            FlowInput::Redrive { execution, reply } => {
                self.command_execution(execution, EventBody::Redriven, reply, reads);
            }
            FlowInput::Wait { execution, after, reply } => {
                self.wait_execution(execution, after, reply, reads);
            }
            FlowInput::Look { execution, reply } => self.look_execution(execution, reply, reads),
            FlowInput::Take { activity, poller, reply } => {
                self.take_work(&activity, poller, reply, reads);
            }
            FlowInput::Waiting { activity, reply } => {
                tell(reply, Ok(self.work_waiting(&activity)));
            }
            FlowInput::MapRun { execution, call, patch, reply } => {
                self.hold(execution, reads);
                let view = self.map_view((execution, call), patch, reads);
                tell(reply, Ok(view));
            }
            FlowInput::Forget { executions, map_runs, reply } => {
                self.forget_executions(&executions, map_runs, reply, reads);
            }
        }
    }

    /// An answer from outside; of an execution that is gone it is dropped.
    pub(in crate::shard) fn answered(
        &mut self,
        uid: ExecutionUid,
        what: Happening,
        reads: &mut Reads,
    ) {
        if self.hold(uid, reads) {
            self.befall(uid, what, reads);
        }
    }

    fn report_input(
        &mut self,
        (to, account): (ReportTo, AccountId),
        (token, report): (String, Report),
        reply: Reply<Option<u64>>,
        reads: &mut Reads,
    ) {
        match self.report_by_token(to, Some(account), (token, report), reads) {
            Ok(event) => {
                self.after_commit(Effect::Flow(Followup::Reported(event, reply)));
            }
            Err(error) => tell(reply, Err(error)),
        }
    }

    /// A report, of a person or of an execution that ended; gives the event that records it.
    pub(in crate::shard) fn report_by_token(
        &mut self,
        to: ReportTo,
        account: Option<AccountId>,
        (token, report): (String, Report),
        reads: &mut Reads,
    ) -> Result<Option<u64>, EngineError> {
        let unknown = || {
            let message = "the token is not one that an execution of this account has made";
            EngineError::refused(Code::InvalidTaskToken, message)
        };
        let uid = match to {
            ReportTo::Uid(uid) => Some(uid),
            ReportTo::Named(name) => self.named(&name, reads),
        };
        let uid = uid.ok_or_else(unknown)?;
        if !self.hold(uid, reads) {
            return Err(unknown());
        }
        let live = self.flows.live.get(&uid).ok_or_else(unknown)?;
        if account.is_some_and(|account| account != live.head.account) {
            return Err(unknown());
        }
        let address = TokenAddress::parse(&token).ok_or_else(unknown)?;
        let is_end = !matches!(report, Report::Alive);
        match self.happen(uid, EventBody::Reported { token, report }, reads) {
            Some(Verdict::Applied { event }) => {
                if is_end && let Some(live) = self.flows.live.get_mut(&uid) {
                    live.notes.end_call(address.call);
                }
                Ok(event)
            }
            Some(Verdict::Refused(_)) | None => Err(over()),
        }
    }

    fn command_execution(
        &mut self,
        uid: ExecutionUid,
        body: EventBody,
        reply: Reply<Execution>,
        reads: &mut Reads,
    ) {
        if !self.hold(uid, reads) {
            return tell(reply, Err(missing(uid)));
        }
        let is_redrive = matches!(body, EventBody::Redriven);
        if is_redrive {
            self.reopen(uid);
        }
        let verdict = self.happen(uid, body, reads);
        let Some(live) = self.flows.live.get(&uid) else { return tell(reply, Err(missing(uid))) };
        match verdict {
            Some(Verdict::Applied { .. }) => {
                let head = Box::new(live.head.clone());
                self.after_commit(Effect::Flow(Followup::Shown(head, reply)));
            }
            Some(Verdict::Refused(Refusal::NotFailed | Refusal::NotStarted)) if is_redrive => {
                let word = live.head.status.word();
                let message = format!("the execution is {word}: there is nothing to run again");
                tell(reply, Err(EngineError::refused(Code::ExecutionNotRedrivable, message)));
            }
            Some(Verdict::Refused(_)) | None => {
                let word = live.head.status.word();
                let message = format!("execution '{}' has ended as {word}", live.head.name);
                tell(reply, Err(EngineError::refused(Code::ExecutionAlreadyCompleted, message)));
            }
        }
    }

    /// A failed execution is open again, before the event that says so: what it starts is noted on an open
    /// one.
    fn reopen(&mut self, uid: ExecutionUid) {
        use stint_model::execution::ExecutionStatus as Status;
        let Some(live) = self.flows.live.get_mut(&uid) else { return };
        match live.head.status {
            Status::Running | Status::Succeeded => return,
            Status::Failed | Status::TimedOut | Status::Stopped => {}
        }
        if live.state.outcome().is_none() {
            return;
        }
        live.head.status = Status::Running;
        live.head.ended_at = stint_model::time::Timestamp::ZERO;
        (live.head.error, live.head.cause) = (None, None);
        live.head.redrives += 1;
        live.is_changed = true;
    }

    fn wait_execution(
        &mut self,
        uid: ExecutionUid,
        after: Option<u64>,
        reply: Reply<Execution>,
        reads: &mut Reads,
    ) {
        if !self.hold(uid, reads) {
            return tell(reply, Err(missing(uid)));
        }
        let Some(live) = self.flows.live.get(&uid) else { return tell(reply, Err(missing(uid))) };
        let waiters = self.flows.waiters.entry(uid).or_default();
        waiters.retain(|(_, reply)| !reply.is_closed());
        waiters.push((after, reply));
        let is_written = !self.flows.dirty.contains(&uid);
        // In flight is not written; what moves is told by the commit that writes it.
        let last = self.gathering_number.checked_sub(1);
        let in_flight = self.in_flight.is_some() && live.written.is_some() && live.written == last;
        if is_written && !in_flight {
            self.tell_execution_waiters(uid);
        }
    }

    fn look_execution(&mut self, uid: ExecutionUid, reply: Reply<Looked>, reads: &mut Reads) {
        if !self.hold(uid, reads) {
            return tell(reply, Err(missing(uid)));
        }
        let Some(live) = self.flows.live.get(&uid) else { return tell(reply, Err(missing(uid))) };
        let open = if live.head.status.is_terminal() {
            Vec::new()
        } else {
            live.state.open_steps(&live.definition.plan)
        };
        tell(reply, Ok(Looked { open, targets: live.notes.targets().to_vec() }));
    }

    fn forget_executions(
        &mut self,
        executions: &[ExecutionUid],
        map_runs: Vec<Key>,
        reply: Reply<usize>,
        reads: &mut Reads,
    ) {
        let mut count = 0;
        for uid in executions {
            if !self.hold(*uid, reads) {
                continue;
            }
            let Some(live) = self.flows.live.get(uid) else { continue };
            if !live.head.status.is_terminal() || self.flows.dirty.contains(uid) {
                continue;
            }
            self.flows.live.remove(uid);
            self.batch.puts.push(Put::ForgetExecution { execution: *uid });
            count += 1;
        }
        if count > 0 {
            self.batch.puts.extend(map_runs.into_iter().map(|key| Put::Delete { key }));
        }
        self.after_commit(Effect::Counted(count, reply));
    }

    /// Someone stops an execution by its list and name: a parent, or a map run.
    pub(in crate::shard) fn stop_named(&mut self, list: u64, name: &str, reads: &mut Reads) {
        let Some(uid) = self.named(&(list, name.to_owned()), reads) else { return };
        let cause = Some("whoever started it does not wait any more".to_owned());
        if self.hold(uid, reads) {
            self.happen(uid, EventBody::Stop { error: None, cause }, reads);
        }
    }
}
