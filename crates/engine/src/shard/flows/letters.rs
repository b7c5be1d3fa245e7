//! Letters of executions: what crosses shards, and what a shard tells itself because it has to read first.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use stint_flow::{CallId, EventBody, Outcome, Report};
use stint_model::execution::Execution;
use stint_model::id::{ExecutionUid, FunctionId, TaskUid};
use stint_model::shard::Shard as ShardNumber;
use stint_store::record::execution as head;

use super::integration::{TaskEnd, Wrong};
use super::{Happening, ReportTo, Shard, StartOrder};
use crate::shard::{LetterBody, Reads, Wants};

/// What a letter about executions says.
#[derive(Clone, Debug)]
pub(crate) enum FlowLetter {
    /// Something happens to an execution.
    Happened { to: ExecutionUid, what: Happening },
    /// An execution begins.
    Start(Box<StartOrder>),
    /// Nobody waits for the task of a step any more.
    StopStep { function: FunctionId, chosen: String, reason: String },
    /// The same, of a task that is known.
    StopTask { task: TaskUid, reason: String },
    /// Nobody waits for an execution any more.
    StopExecution { list: u64, name: String },
    /// A report by token.
    Report { to: ReportTo, token: String, report: Report },
}

/// The stored form.
#[derive(Serialize, Deserialize)]
pub(crate) enum StoredFlowLetter {
    HappenedV1 {
        to: u64,
        what: StoredHappening,
    },
    /// The head as the book writes it, in Base64.
    StartV1 {
        head: String,
        asker: Option<(u64, CallId)>,
    },
    StopStepV1 {
        function: u64,
        chosen: String,
        reason: String,
    },
    StopTaskV1 {
        task: u64,
        reason: String,
    },
    StopExecutionV1 {
        list: u64,
        name: String,
    },
    ReportV1 {
        uid: Option<u64>,
        name: Option<(u64, String)>,
        token: String,
        report: Report,
    },
}

#[derive(Serialize, Deserialize)]
pub(crate) enum StoredHappening {
    Event(Box<EventBody>),
    Task(CallId, Box<TaskEnd>),
    Started(CallId, String),
    NotStarted(CallId, String, String),
    Ended(CallId, String),
    Unit { call: CallId, unit: u64, outcome: Box<Outcome> },
}

fn write_head(execution: &Execution) -> String {
    STANDARD.encode(head::encode(execution))
}

fn read_head(text: &str) -> Option<Box<Execution>> {
    head::decode(&STANDARD.decode(text).ok()?).ok().map(Box::new)
}

impl FlowLetter {
    pub(crate) fn store(&self) -> StoredFlowLetter {
        match self {
            Self::Happened { to, what } => {
                StoredFlowLetter::HappenedV1 { to: to.number(), what: what.store() }
            }
            Self::Start(order) => StoredFlowLetter::StartV1 {
                head: write_head(&order.head),
                asker: order.asker.map(|(uid, call)| (uid.number(), call)),
            },
            Self::StopStep { function, chosen, reason } => StoredFlowLetter::StopStepV1 {
                function: function.number(),
                chosen: chosen.clone(),
                reason: reason.clone(),
            },
            Self::StopTask { task, reason } => {
                StoredFlowLetter::StopTaskV1 { task: task.number(), reason: reason.clone() }
            }
            Self::StopExecution { list, name } => {
                StoredFlowLetter::StopExecutionV1 { list: *list, name: name.clone() }
            }
            Self::Report { to, token, report } => {
                let (uid, name) = match to {
                    ReportTo::Uid(uid) => (Some(uid.number()), None),
                    ReportTo::Named(name) => (None, Some(name.clone())),
                };
                let (token, report) = (token.clone(), report.clone());
                StoredFlowLetter::ReportV1 { uid, name, token, report }
            }
        }
    }

    pub(crate) fn read(stored: StoredFlowLetter) -> Option<Self> {
        Some(match stored {
            StoredFlowLetter::HappenedV1 { to, what } => {
                Self::Happened { to: ExecutionUid::from_number(to), what: what.read()? }
            }
            StoredFlowLetter::StartV1 { head, asker } => Self::Start(Box::new(StartOrder {
                head: *read_head(&head)?,
                asker: asker.map(|(uid, call)| (ExecutionUid::from_number(uid), call)),
                is_fresh: false,
            })),
            StoredFlowLetter::StopStepV1 { function, chosen, reason } => {
                Self::StopStep { function: FunctionId::from_number(function), chosen, reason }
            }
            StoredFlowLetter::StopTaskV1 { task, reason } => {
                Self::StopTask { task: TaskUid::from_number(task), reason }
            }
            StoredFlowLetter::StopExecutionV1 { list, name } => Self::StopExecution { list, name },
            StoredFlowLetter::ReportV1 { uid, name, token, report } => {
                let uid = uid.map(|uid| ReportTo::Uid(ExecutionUid::from_number(uid)));
                let to = uid.or(name.map(ReportTo::Named))?;
                Self::Report { to, token, report }
            }
        })
    }
}

impl Happening {
    fn store(&self) -> StoredHappening {
        match self {
            Self::Event(body) => StoredHappening::Event(body.clone()),
            Self::Task(call, end) => StoredHappening::Task(*call, end.clone()),
            Self::ChildStarted(call, Ok(child)) => {
                StoredHappening::Started(*call, write_head(child))
            }
            Self::ChildStarted(call, Err(wrong)) => {
                StoredHappening::NotStarted(*call, wrong.error.clone(), wrong.cause.clone())
            }
            Self::ChildEnded(call, child) => StoredHappening::Ended(*call, write_head(child)),
            Self::Unit { call, unit, outcome } => {
                StoredHappening::Unit { call: *call, unit: *unit, outcome: outcome.clone() }
            }
        }
    }
}

impl StoredHappening {
    fn read(self) -> Option<Happening> {
        Some(match self {
            Self::Event(body) => Happening::Event(body),
            Self::Task(call, end) => Happening::Task(call, end),
            Self::Started(call, child) => Happening::ChildStarted(call, Ok(read_head(&child)?)),
            Self::NotStarted(call, error, cause) => {
                Happening::ChildStarted(call, Err(Wrong { error, cause }))
            }
            Self::Ended(call, child) => Happening::ChildEnded(call, read_head(&child)?),
            Self::Unit { call, unit, outcome } => Happening::Unit { call, unit, outcome },
        })
    }
}

impl Shard {
    pub(super) fn post_flow(&mut self, to: ShardNumber, letter: FlowLetter) {
        self.post(to, &LetterBody::Flow(letter));
    }

    pub(in crate::shard) fn wants_of_flow_letter(&self, letter: &FlowLetter, wants: &mut Wants) {
        match letter {
            FlowLetter::Happened { to, .. } => self.want_execution(*to, wants),
            FlowLetter::Start(order) => {
                self.want_name((order.head.list(), order.head.name.clone()), wants);
                wants.plans.push((order.head.flow, order.head.revision));
            }
            FlowLetter::StopStep { function, chosen, .. } => {
                let key = (*function, chosen.clone());
                if !self.new_ids.contains_key(&key) {
                    wants.chosen.push(key);
                }
            }
            FlowLetter::StopTask { task, .. } => self.want(*task, wants),
            FlowLetter::StopExecution { list, name } => {
                self.want_name((*list, name.clone()), wants);
            }
            FlowLetter::Report { to: ReportTo::Uid(uid), .. } => self.want_execution(*uid, wants),
            FlowLetter::Report { to: ReportTo::Named(name), .. } => {
                self.want_name(name.clone(), wants);
            }
        }
    }

    /// A letter about executions; what it is about is read, or not there any more.
    pub(in crate::shard) fn flow_letter(&mut self, letter: FlowLetter, reads: &mut Reads) {
        match letter {
            FlowLetter::Happened { to, what } => self.answered(to, what, reads),
            FlowLetter::Start(order) => self.begin_asked(*order, reads),
            FlowLetter::StopStep { function, chosen, reason } => {
                let key = (function, chosen);
                let fresh = self.new_ids.get(&key).map(|(_, uid)| *uid);
                if let Some(uid) = fresh.or_else(|| reads.chosen.get(&key).copied()) {
                    self.stop_task(uid, &reason, reads);
                }
            }
            FlowLetter::StopTask { task, reason } => {
                let is_here = self.leases.contains_key(&task.number());
                if is_here || self.look(task, reads).is_some() {
                    self.stop_task(task, &reason, reads);
                }
            }
            FlowLetter::StopExecution { list, name } => self.stop_named(list, &name, reads),
            FlowLetter::Report { to, token, report } => {
                if let Err(error) = self.report_by_token(to, None, (token, report), reads) {
                    tracing::debug!(%error, "the end of an execution is not reported");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes written by the first version: a later one must read them for ever.
    #[test]
    fn the_examples_of_version_1_still_read() {
        for kept in [
            r#"{"HappenedV1":{"to":5,"what":{"Task":[{"entered":2,"attempt":1},{"state":4,"class":"","kind":"","message":"","body":"{}","request_id":"r","qualifier":"LATEST"}]}}}"#,
            r#"{"HappenedV1":{"to":5,"what":{"Unit":{"call":{"entered":2,"attempt":1},"unit":7,"outcome":{"Succeeded":{"output":1}}}}}}"#,
            r#"{"HappenedV1":{"to":5,"what":{"NotStarted":[{"entered":2,"attempt":1},"E","c"]}}}"#,
            r#"{"StopStepV1":{"function":3,"chosen":"c","reason":"r"}}"#,
            r#"{"StopTaskV1":{"task":3,"reason":"r"}}"#,
            r#"{"StopExecutionV1":{"list":3,"name":"n"}}"#,
            r#"{"ReportV1":{"uid":null,"name":[3,"n"],"token":"t","report":"Alive"}}"#,
        ] {
            let stored: StoredFlowLetter = serde_json::from_str(kept).expect("reads");
            let letter = FlowLetter::read(stored).expect("is a letter");
            assert_eq!(serde_json::to_string(&letter.store()).expect("writes"), kept);
        }
    }
}
