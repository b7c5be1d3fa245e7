//! Executions begin: those that callers start, children of steps, units of map runs. A child's home is known
//! from its list and name; in another shard it begins by letter.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;
use stint_flow::{CallId, EventBody, ExecutionMode, Facts, Limits, Outcome, Start, State};
use stint_model::execution::{Execution, ExecutionStatus, MapChild, ParentCall};
use stint_model::flow::FlowMode;
use stint_model::id::ExecutionUid;
use stint_model::payload::Payload;
use stint_model::shard::Shard as ShardNumber;
use stint_model::time::Timestamp;
use stint_store::ListedName;

use super::integration::{Wait, Wrong, ended_of, execution_arn, started_of};
use super::letters::FlowLetter;
use super::live::Live;
use super::notes::{Notes, Target};
use super::{Flows, Followup, Happening, Shard, call_ref};
use crate::flows::plans::{Definition, mode_of};
use crate::flows::{StartOutcome, Started};
use crate::shard::{Effect, Reads, Reply, tell};

/// An execution to begin.
#[derive(Clone, Debug)]
pub(crate) struct StartOrder {
    /// Its head; uid and time are its home's to give.
    pub(crate) head: Execution,
    /// Who is told that it began, or why not.
    pub(crate) asker: Option<(ExecutionUid, CallId)>,
    /// Nobody else can have the name: it is random.
    pub(crate) is_fresh: bool,
}

/// What a uid is until its home has given one.
pub(crate) fn unborn() -> ExecutionUid {
    ExecutionUid::from_number(0)
}

fn name_of(head: &Execution) -> ListedName {
    (head.list(), head.name.clone())
}

fn value_of(payload: &Payload) -> Value {
    match payload {
        Payload::Inline(bytes) => serde_json::from_slice(bytes).unwrap_or(Value::Null),
        Payload::Blob { .. } => Value::Null,
    }
}

impl Flows {
    fn is_named(&self, name: &ListedName) -> bool {
        self.new_names.contains_key(name)
    }

    /// Text that nobody guesses, for names that nobody chose.
    pub(super) fn fresh_name(&mut self, seed: &[u8; 32]) -> String {
        uuid(self.entropy(seed))
    }
}

/// A random UUID from 128 random bits.
pub(crate) fn uuid(mut bits: [u8; 16]) -> String {
    bits[6] = (bits[6] & 0x0f) | 0x40;
    bits[8] = (bits[8] & 0x3f) | 0x80;
    let text = hex::encode(bits);
    format!("{}-{}-{}-{}-{}", &text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..])
}

impl Shard {
    /// A caller starts an execution; who has the name already is the answer then.
    pub(super) fn start_execution(
        &mut self,
        order: StartOrder,
        reply: Reply<Started>,
        reads: &mut Reads,
    ) {
        let name = name_of(&order.head);
        if let Some(uid) = self.named(&name, reads) {
            return self.answer_taken(uid, &order.head, reply, reads);
        }
        let definition = self.definition(order.head.flow, order.head.revision, reads);
        let Some(definition) = definition else {
            let message = format!("the definition of flow '{}' is gone", order.head.flow_name);
            let code = stint_model::code::Code::FlowNotExists;
            return tell(reply, Err(crate::EngineError::refused(code, message)));
        };
        let execution = self.begin(order.head, definition, reads);
        let started = Started { outcome: StartOutcome::New, execution, same_input: true };
        self.after_commit(Effect::Flow(Followup::Started(Box::new(started), reply)));
    }

    fn answer_taken(
        &mut self,
        uid: ExecutionUid,
        asked: &Execution,
        reply: Reply<Started>,
        reads: &mut Reads,
    ) {
        let head = if self.hold(uid, reads) {
            self.flows.live.get(&uid).map(|live| live.head.clone())
        } else {
            None
        };
        let Some(execution) = head else {
            let error = stint_store::CommitError::ExecutionExists(uid);
            return tell(reply, Err(error.into()));
        };
        let outcome = if execution.status.is_terminal() {
            StartOutcome::Ended
        } else {
            StartOutcome::Running
        };
        let same_input = value_of(&execution.input) == value_of(&asked.input);
        let started = Started { outcome, execution, same_input };
        // It may be in a batch on its way.
        self.after_commit(Effect::Flow(Followup::Started(Box::new(started), reply)));
    }

    /// An execution begins here, now; its name is free.
    pub(super) fn begin(
        &mut self,
        mut head: Execution,
        definition: Arc<Definition>,
        reads: &mut Reads,
    ) -> Execution {
        head.uid = self.mint_execution();
        head.started_at = reads.now;
        let uid = head.uid;
        self.flows.new_names.insert(name_of(&head), (self.gathering_number, uid));
        let start = self.start_of(&head, &definition);
        metrics::counter!("stint_executions_started_total").increment(1);
        let live = Live {
            head,
            definition,
            state: State::new(),
            notes: Notes::default(),
            rows: Vec::new(),
            is_new: true,
            is_changed: true,
            is_kept: false,
            written: None,
            used: self.flows.turn,
        };
        self.flows.live.insert(uid, Box::new(live));
        self.touch(uid);
        let verdict = self.happen(uid, EventBody::Started(Box::new(start)), reads);
        if !matches!(verdict, Some(stint_flow::Verdict::Applied { .. })) {
            self.fail_unstarted(uid, reads.now);
        }
        self.flows.live.get(&uid).map(|live| live.head.clone()).expect("inserted above")
    }

    /// A definition without the map's step: nothing can run.
    fn fail_unstarted(&mut self, uid: ExecutionUid, now: Timestamp) {
        let Some(mut live) = self.flows.live.remove(&uid) else { return };
        let cause = "the definition has no such map step".to_owned();
        let outcome =
            Outcome::Failed { error: Some("States.Runtime".to_owned()), cause: Some(cause) };
        self.finish_execution(&mut live, outcome, &mut Reads::at(now));
        self.set_wake_of(&live);
        self.flows.live.insert(uid, live);
    }

    fn start_of(&self, head: &Execution, definition: &Definition) -> Start {
        let dialect = definition.plan.dialect();
        let mode = mode_of(head.mode);
        let id = match dialect {
            stint_flow::Dialect::StatesLanguage => execution_arn(&self.config.region, head),
            stint_flow::Dialect::Fdl | stint_flow::Dialect::CloudFlow => head.uid.to_string(),
        };
        let environment = head.environment.iter();
        let environment =
            environment.map(|(key, value)| (key.clone(), Value::from(value.as_str())));
        let facts = Facts {
            id,
            name: head.name.clone(),
            flow_id: match dialect {
                stint_flow::Dialect::StatesLanguage => format!(
                    "arn:aws:states:{}:{}:stateMachine:{}",
                    self.config.region, head.account, head.flow_name
                ),
                stint_flow::Dialect::Fdl | stint_flow::Dialect::CloudFlow => head.flow.to_string(),
            },
            flow_name: head.flow_name.to_string(),
            role: head.role.clone(),
            mode,
            environment: environment.collect(),
        };
        let limits = self.limits_of(dialect, mode);
        let item_of = head.map.as_ref().map(|map| map.step.clone());
        Start { input: value_of(&head.input), facts, limits, item_of }
    }

    fn limits_of(&self, dialect: stint_flow::Dialect, mode: ExecutionMode) -> Limits {
        let (mut limits, said) = (Limits::of(dialect, mode), &self.config.flows);
        limits.payload_bytes_max = said.payload_bytes_max.unwrap_or(limits.payload_bytes_max);
        limits.history_events_max = said.history_events_max.unwrap_or(limits.history_events_max);
        limits.threads_max = said.threads_max;
        limits
    }

    /// A step starts an execution of another flow.
    pub(super) fn start_child(
        &mut self,
        live: &mut Live,
        (call, flow, execution): (CallId, String, Option<String>),
        (input, told, how): (Value, Option<String>, Wait),
        reads: &mut Reads,
    ) -> Result<(), Wrong> {
        let parent = &live.head;
        let is_states = live.definition.plan.dialect() == stint_flow::Dialect::StatesLanguage;
        let named = |states: &str, other: &str| (if is_states { states } else { other }).to_owned();
        let Some(entry) = self.catalog.flow(parent.account, &flow) else {
            let name =
                named("StepFunctions.StateMachineDoesNotExistException", "fnf.FlowNotExists");
            return Err(Wrong::new(name, format!("flow '{flow}' does not exist")));
        };
        if parent.depth >= self.config.flows.depth_max {
            let most = self.config.flows.depth_max;
            let name = named("States.Runtime", "fnf.LimitExceeded");
            return Err(Wrong::new(name, format!("flows call each other at most {most} deep")));
        }
        if !is_states && !input.is_object() {
            let name = named("", "fnf.InvalidArgument");
            return Err(Wrong::new(name, "the input of an execution must be a JSON object"));
        }
        let is_named = execution.is_some();
        let name = execution.unwrap_or_else(|| self.flows.fresh_name(&reads.seed));
        let head = Execution {
            name: name.clone(),
            input: Payload::Inline(Bytes::from(input.to_string())),
            parent: (matches!(how, Wait::Ended | Wait::EndedParsed)).then(|| ParentCall {
                execution: parent.uid,
                call: call_ref(call),
                unit: None,
            }),
            callback: told,
            depth: parent.depth + 1,
            ..self.head_of_flow(&entry)
        };
        let list = head.list();
        live.notes.call(call, Target::Child { list, flow, name: name.clone(), how });
        let order = StartOrder { head, asker: Some((live.head.uid, call)), is_fresh: !is_named };
        let home = ShardNumber::of_execution(list, &name, self.config.shards);
        let at_hand = self.definition(order.head.flow, order.head.revision, reads).is_some();
        if home == self.fence.shard && at_hand && !is_named {
            self.begin_asked(order, reads);
        } else {
            self.post_flow(home, FlowLetter::Start(Box::new(order)));
        }
        Ok(())
    }

    /// A head for the newest definition of a flow.
    fn head_of_flow(&self, entry: &crate::catalog::FlowEntry) -> Execution {
        let flow = &entry.flow;
        Execution {
            uid: unborn(),
            account: flow.account,
            flow: flow.id,
            flow_name: Arc::clone(&flow.name),
            name: String::new(),
            mode: flow.mode,
            revision: flow.revision,
            version: None,
            qualifier: String::new(),
            role: flow.role.clone(),
            environment: flow.environment.clone(),
            tags: Default::default(),
            input: Payload::empty(),
            started_at: Timestamp::ZERO,
            parent: None,
            callback: None,
            schedule: None,
            depth: 0,
            map: None,
            status: ExecutionStatus::Running,
            ended_at: Timestamp::ZERO,
            output: Payload::empty(),
            error: None,
            cause: None,
            events: 0,
            redrives: 0,
        }
    }

    /// A unit of a map run begins, at its home.
    pub(super) fn start_unit(
        &mut self,
        parent: &Execution,
        (run, unit): (&stint_flow::MapRun, u64),
        (input, items): (&Value, u64),
        reads: &mut Reads,
    ) {
        let mode = match run.mode {
            ExecutionMode::Standard => FlowMode::Standard,
            ExecutionMode::Express => FlowMode::Express,
        };
        let map = Some(MapChild { step: run.step.clone(), items });
        let parent_call =
            ParentCall { execution: parent.uid, call: call_ref(run.id), unit: Some(unit) };
        let head = Execution {
            uid: unborn(),
            name: format!("{}-{unit}", run.id),
            mode,
            input: Payload::Inline(Bytes::from(input.to_string())),
            parent: Some(parent_call),
            map,
            callback: None,
            schedule: None,
            tags: Default::default(),
            depth: parent.depth + 1,
            status: ExecutionStatus::Running,
            events: 0,
            redrives: 0,
            ..parent.clone()
        };
        let home = ShardNumber::of_execution(head.list(), &head.name, self.config.shards);
        let order = StartOrder { head, asker: None, is_fresh: false };
        if home == self.fence.shard {
            self.begin_asked(order, reads);
        } else {
            self.post_flow(home, FlowLetter::Start(Box::new(order)));
        }
    }

    /// An execution begins because another asked for it; that one is told.
    pub(in crate::shard) fn begin_asked(&mut self, order: StartOrder, reads: &mut Reads) {
        let StartOrder { head, asker, is_fresh: _ } = order;
        let name = name_of(&head);
        let taken = self.flows.is_named(&name) || reads.names.contains_key(&name);
        let definition = self.definition(head.flow, head.revision, reads);
        let parent = head.parent;
        let begun = match definition {
            _ if taken => Err(Wrong::new(
                "ExecutionAlreadyExists",
                format!("execution '{}' of flow '{}' already exists", head.name, head.flow_name),
            )),
            None => Err(Wrong::new(
                "FlowNotExists",
                format!("the definition of flow '{}' is gone", head.flow_name),
            )),
            Some(definition) => Ok(Box::new(self.begin(head, definition, reads))),
        };
        if let Some((uid, call)) = asker {
            return self.tell_execution(uid, Happening::ChildStarted(call, begun));
        }
        // A unit that was begun before a crash is told by its end; one that cannot begin has failed.
        if let (Err(wrong), Some(parent), false) = (begun, parent, taken)
            && let Some(unit) = parent.unit
        {
            let outcome = Outcome::Failed { error: Some(wrong.error), cause: Some(wrong.cause) };
            let call = super::call_id(parent.call);
            let outcome = Box::new(outcome);
            self.tell_execution(parent.execution, Happening::Unit { call, unit, outcome });
        }
    }

    /// What the beginning of a child is to its parent.
    pub(super) fn child_started(
        &mut self,
        uid: ExecutionUid,
        call: CallId,
        child: Result<Box<Execution>, Wrong>,
    ) -> Option<EventBody> {
        let live = self.flows.live.get(&uid)?;
        let Some(Target::Child { how, .. }) = live.notes.target(call) else { return None };
        let dialect = live.definition.plan.dialect();
        Some(match (child, how) {
            (Err(wrong), _) => {
                let name = match dialect {
                    stint_flow::Dialect::StatesLanguage => {
                        format!("StepFunctions.{}Exception", wrong.error)
                    }
                    stint_flow::Dialect::Fdl | stint_flow::Dialect::CloudFlow => {
                        format!("fnf.{}", wrong.error)
                    }
                };
                EventBody::Failed { call, error: Some(name), cause: Some(wrong.cause) }
            }
            (Ok(child), Wait::Accepted) => {
                let output = started_of(dialect, &self.config.region, &child);
                EventBody::Succeeded { call, output }
            }
            (Ok(_), Wait::Ended | Wait::EndedParsed | Wait::Reported) => {
                EventBody::Submitted { call }
            }
        })
    }

    /// What the end of a child is to its parent.
    pub(super) fn child_ended(
        &mut self,
        uid: ExecutionUid,
        call: CallId,
        child: &Execution,
    ) -> Option<EventBody> {
        let live = self.flows.live.get(&uid)?;
        let Some(Target::Child { how, .. }) = live.notes.target(call) else { return None };
        let dialect = live.definition.plan.dialect();
        Some(match ended_of(dialect, (&self.config.region, *how), child) {
            Ok(output) => EventBody::Succeeded { call, output },
            Err(wrong) => {
                EventBody::Failed { call, error: Some(wrong.error), cause: Some(wrong.cause) }
            }
        })
    }
}
