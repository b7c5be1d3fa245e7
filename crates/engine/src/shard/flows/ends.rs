//! Executions end: the head says how, whoever waits is told: the parent, the map run, the holder of
//! `CallbackFnFTaskToken`, long polls.

use bytes::Bytes;
use stint_flow::{Outcome, Report, TokenAddress};
use stint_model::execution::{Execution, ExecutionStatus};
use stint_model::id::{AccountId, ExecutionUid};
use stint_model::payload::Payload;
use stint_model::shard::Shard as ShardNumber;

use super::letters::FlowLetter;
use super::live::Live;
use super::{Happening, ReportTo, Shard, call_id};
use crate::shard::{Reads, tell};

impl Shard {
    pub(super) fn finish_execution(
        &mut self,
        live: &mut Live,
        outcome: Outcome,
        reads: &mut Reads,
    ) {
        let head = &mut live.head;
        head.ended_at = reads.now;
        head.events = live.state.history_len();
        match &outcome {
            Outcome::Succeeded { output } => {
                head.status = ExecutionStatus::Succeeded;
                head.output = Payload::Inline(Bytes::from(output.to_string()));
            }
            Outcome::Failed { error, cause } => {
                head.status = ExecutionStatus::Failed;
                (head.error, head.cause) = (error.clone(), cause.clone());
            }
            Outcome::TimedOut { error, cause } => {
                head.status = ExecutionStatus::TimedOut;
                (head.error, head.cause) = (error.clone(), cause.clone());
            }
            Outcome::Stopped { error, cause } => {
                head.status = ExecutionStatus::Stopped;
                (head.error, head.cause) = (error.clone(), cause.clone());
            }
        }
        let word = head.status.word();
        metrics::counter!("stint_executions_ended_total", "status" => word).increment(1);
        live.is_changed = true;
        live.notes.clear();
        self.touch(live.head.uid);
        self.tell_of_end(&live.head, outcome);
    }

    fn tell_of_end(&mut self, head: &Execution, outcome: Outcome) {
        if let Some(parent) = head.parent {
            let call = call_id(parent.call);
            let what = match parent.unit {
                Some(unit) => Happening::Unit { call, unit, outcome: Box::new(outcome.clone()) },
                None => Happening::ChildEnded(call, Box::new(head.clone())),
            };
            self.tell_execution(parent.execution, what);
        }
        let Some(token) = head.callback.clone() else { return };
        let report = match outcome {
            Outcome::Succeeded { output } => Report::Succeeded(output),
            Outcome::Failed { error, cause }
            | Outcome::TimedOut { error, cause }
            | Outcome::Stopped { error, cause } => Report::Failed { error, cause },
        };
        match self.address_of(head.account, &token) {
            Some((home, to)) => self.post_flow(home, FlowLetter::Report { to, token, report }),
            None => tracing::debug!(execution = %head.uid, "the callback's token leads nowhere"),
        }
    }

    /// Where a token leads: the home of its execution, and which one.
    pub(super) fn address_of(
        &self,
        account: AccountId,
        token: &str,
    ) -> Option<(ShardNumber, ReportTo)> {
        let address = TokenAddress::parse(token)?;
        let last = address.execution_id.rsplit(':').next()?;
        if let Ok(uid) = last.parse::<ExecutionUid>() {
            return Some((uid.shard(), ReportTo::Uid(uid)));
        }
        let entry = self.catalog.flow(account, &address.flow_name)?;
        let list = entry.flow.id.number();
        let home = ShardNumber::of_execution(list, last, self.config.shards);
        Some((home, ReportTo::Named((list, last.to_owned()))))
    }

    /// Long polls and followers of an execution whose batch is in the book.
    pub(super) fn tell_execution_waiters(&mut self, uid: ExecutionUid) {
        let Some(waiters) = self.flows.waiters.remove(&uid) else { return };
        let Some(live) = self.flows.live.get(&uid) else { return };
        // What the gathering batch holds is not in the book yet.
        let has_ended = live.head.status.is_terminal() && !self.flows.dirty.contains(&uid);
        let written = live.rows.first().map_or(live.state.history_len(), |row| row.id - 1);
        let head = live.head.clone();
        let (done, rest): (Vec<_>, Vec<_>) = waiters
            .into_iter()
            .partition(|(after, _)| has_ended || after.is_some_and(|after| written > after));
        for (_, reply) in done {
            tell(reply, Ok(head.clone()));
        }
        let rest: Vec<_> = rest.into_iter().filter(|(_, reply)| !reply.is_closed()).collect();
        if !rest.is_empty() {
            self.flows.waiters.insert(uid, rest);
        }
    }
}
