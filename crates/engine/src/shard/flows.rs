//! Executions in the shard's turn. An execution is loaded when something happens to it, advanced in memory by
//! `flow`, and written once a turn with what the turn makes durable: tasks of its steps, letters, history. Events
//! that come from this same turn (a task of a step ended, a child ended) wait in a queue that the turn
//! empties; what cannot be applied because its execution must be read first becomes a letter to oneself, so
//! that no event lives only in memory.
//!
//! ```text
//!  input, letter, due timer, end of a task ──► happen ──► flow::advance ──► rows, notes
//!                                                ▲                            │ commands
//!                                                └── queue ◄── tasks, children, acts
//! ```

mod activities;
mod calls;
mod children;
mod ends;
pub(crate) mod integration;
pub(crate) mod letters;
mod live;
mod maps;
pub(crate) mod notes;
mod recover;
mod verbs;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use stint_flow::{CallId, Command, Event, EventBody, State, Verdict, advance};
use stint_model::execution::{CallRef, Execution};
use stint_model::id::{AccountId, ExecutionUid, FlowId};
use stint_model::time::Timestamp;
use stint_store::{Key, ListedName};

pub(crate) use activities::activity_name;
pub(crate) use calls::step_of;
pub(crate) use children::{StartOrder, unborn, uuid};
use integration::{HttpOrder, TaskEnd, Wrong};
use letters::FlowLetter;
use live::Live;
pub(crate) use live::Loaded;
pub(crate) use maps::{MapLive, key_of as map_run_key_of};
use notes::{Ask, Target};
pub(crate) use verbs::Followup;

use super::{Act, Reads, Reply, Shard, Wants};
use crate::flows::plans::Definition;
use crate::flows::{ActivityTask, MapRunPatch, MapRunView};

/// Documents that one turn asks the book for because of timers and recovery.
const FETCH_MAX: usize = 1_000;
/// Executions whose timers one turn looks at.
const DUE_MAX: usize = 4_096;

/// What a shard is asked about executions.
#[derive(Debug)]
pub(crate) enum FlowInput {
    /// A new one.
    Start { order: Box<StartOrder>, reply: Reply<crate::flows::Started> },
    /// An answer from outside.
    Happened { execution: ExecutionUid, body: Box<EventBody> },
    /// A server outside answered a request that somebody will report about.
    Submitted { execution: ExecutionUid, call: CallId },
    /// Items of a map run.
    Items {
        execution: ExecutionUid,
        call: CallId,
        items: Result<(Vec<serde_json::Value>, bool), Wrong>,
    },
    /// The results of a map run are written.
    MapWritten { execution: ExecutionUid, call: CallId, result: Result<serde_json::Value, Wrong> },
    /// A report by token.
    Report {
        to: ReportTo,
        account: AccountId,
        token: String,
        report: stint_flow::Report,
        reply: Reply<Option<u64>>,
    },
    /// A person stops one.
    Stop {
        execution: ExecutionUid,
        error: Option<String>,
        cause: Option<String>,
        reply: Reply<Execution>,
    },
    /// A person runs one again.
    Redrive { execution: ExecutionUid, reply: Reply<Execution> },
    /// Somebody waits for its end, or for history beyond an event.
    Wait { execution: ExecutionUid, after: Option<u64>, reply: Reply<Execution> },
    /// What it waits for.
    Look { execution: ExecutionUid, reply: Reply<Looked> },
    /// A poller takes work.
    Take { activity: Activity, poller: Option<String>, reply: Reply<Option<ActivityTask>> },
    /// How much work waits.
    Waiting { activity: Activity, reply: Reply<u64> },
    /// How a map run stands; with a patch, after it is changed.
    MapRun {
        execution: ExecutionUid,
        call: CallId,
        patch: Option<MapRunPatch>,
        reply: Reply<Option<MapRunView>>,
    },
    /// Retention.
    Forget { executions: Vec<ExecutionUid>, map_runs: Vec<Key>, reply: Reply<usize> },
}

/// Whose activity, and its name.
pub(crate) type Activity = (AccountId, String);

/// Which execution a token leads to.
#[derive(Clone, Debug)]
pub(crate) enum ReportTo {
    Uid(ExecutionUid),
    Named(ListedName),
}

/// What an execution waits for.
#[derive(Debug)]
pub(crate) struct Looked {
    pub(crate) open: Vec<stint_flow::OpenStep>,
    pub(crate) targets: Vec<(CallId, Target)>,
}

/// What is to be done outside for an execution.
#[derive(Debug)]
pub(crate) enum FlowAct {
    Evaluate {
        execution: ExecutionUid,
        evaluation: Box<stint_flow::Evaluation>,
        entropy: [u8; 16],
    },
    Http {
        execution: ExecutionUid,
        call: CallId,
        order: Box<HttpOrder>,
    },
    Items {
        execution: Box<Execution>,
        definition: Arc<Definition>,
        run: Arc<stint_flow::MapRun>,
        from: u64,
        count: u64,
    },
    Write {
        execution: Box<Execution>,
        run: Arc<stint_flow::MapRun>,
    },
    /// Work waits for pollers.
    Work,
}

/// What happens to an execution beside what `flow` knows.
#[derive(Clone, Debug)]
pub(crate) enum Happening {
    Event(Box<EventBody>),
    /// The task of a call ended.
    Task(CallId, Box<TaskEnd>),
    /// A child of a call started, or not.
    ChildStarted(CallId, Result<Box<Execution>, Wrong>),
    /// A child of a call ended.
    ChildEnded(CallId, Box<Execution>),
    /// A child of a map run ended, or could not start.
    Unit {
        call: CallId,
        unit: u64,
        outcome: Box<stint_flow::Outcome>,
    },
}

/// Who waits for an execution's end, or for history beyond an event.
type Waiter = (Option<u64>, Reply<Execution>);

/// A shard's executions.
#[derive(Debug, Default)]
pub(super) struct Flows {
    live: HashMap<ExecutionUid, Box<Live>>,
    /// When each open execution is to be woken, and the same the other way round.
    wakes: BTreeSet<(Timestamp, ExecutionUid)>,
    wake_of: HashMap<ExecutionUid, Timestamp>,
    queue: VecDeque<(ExecutionUid, Happening)>,
    dirty: BTreeSet<ExecutionUid>,
    /// Documents to be read before the next turn.
    wanted: BTreeSet<ExecutionUid>,
    /// What is to be asked again once it is read.
    asking: BTreeSet<ExecutionUid>,
    /// Those that go on in the next turn.
    going: BTreeSet<ExecutionUid>,
    /// Names of executions in batches not yet committed, and by which gathering.
    new_names: HashMap<ListedName, (u64, ExecutionUid)>,
    waiters: HashMap<ExecutionUid, Vec<Waiter>>,
    /// Work that waits for pollers, oldest first.
    work: BTreeMap<Activity, VecDeque<(ExecutionUid, CallId)>>,
    maps: BTreeMap<(ExecutionUid, CallId), MapLive>,
    /// Map runs with something in their inbox.
    maps_busy: BTreeSet<(ExecutionUid, CallId)>,
    turn: u64,
    draws: u64,
}

impl Flows {
    /// The shard is dropped: who waits is told to ask again.
    pub(super) fn fail(self, error: &impl Fn() -> crate::EngineError) {
        for (_, waiter) in self.waiters.into_values().flatten() {
            super::tell(waiter, Err(error()));
        }
    }

    /// When it must turn even if nothing comes in.
    pub(super) fn wake_at(&self, now: Timestamp) -> Option<Timestamp> {
        let has_more =
            !self.wanted.is_empty() || !self.going.is_empty() || !self.maps_busy.is_empty();
        if has_more || !self.queue.is_empty() {
            return Some(now);
        }
        self.wakes.first().map(|(at, _)| *at)
    }

    /// 128 bits of this turn's seed; each draw gives others.
    fn entropy(&mut self, seed: &[u8; 32]) -> [u8; 16] {
        self.draws += 1;
        let mut hash = Sha256::new();
        hash.update(seed);
        hash.update(self.draws.to_le_bytes());
        let mut bits = [0; 16];
        bits.copy_from_slice(&hash.finalize()[..16]);
        bits
    }

    fn set_wake(&mut self, uid: ExecutionUid, at: Option<Timestamp>) {
        let before = match at {
            Some(at) => self.wake_of.insert(uid, at),
            None => self.wake_of.remove(&uid),
        };
        if before == at {
            return;
        }
        if let Some(before) = before {
            self.wakes.remove(&(before, uid));
        }
        if let Some(at) = at.filter(|at| *at < Timestamp::MAX) {
            self.wakes.insert((at, uid));
        }
    }
}

pub(crate) const fn call_ref(call: CallId) -> CallRef {
    CallRef { entered: call.entered, attempt: call.attempt }
}

pub(crate) const fn call_id(call: CallRef) -> CallId {
    CallId { entered: call.entered, attempt: call.attempt }
}

impl Shard {
    pub(super) fn wants_of_flows(&self, wants: &mut Wants) {
        wants.executions.extend(self.flows.wanted.iter().take(FETCH_MAX));
    }

    pub(super) fn want_execution(&self, uid: ExecutionUid, wants: &mut Wants) {
        if uid.shard() == self.fence.shard && !self.flows.live.contains_key(&uid) {
            wants.executions.push(uid);
        }
    }

    pub(super) fn want_name(&self, name: ListedName, wants: &mut Wants) {
        match self.flows.new_names.get(&name) {
            Some((_, uid)) => self.want_execution(*uid, wants),
            None => wants.names.push(name),
        }
    }

    /// The execution of a name: in a batch on its way, or as read.
    pub(super) fn named(&self, name: &ListedName, reads: &Reads) -> Option<ExecutionUid> {
        let fresh = self.flows.new_names.get(name).map(|(_, uid)| *uid);
        fresh.or_else(|| reads.names.get(name).copied())
    }

    /// An execution is at hand.
    fn hold(&mut self, uid: ExecutionUid, reads: &mut Reads) -> bool {
        if self.flows.live.contains_key(&uid) {
            return true;
        }
        let Some(loaded) = reads.executions.remove(&uid) else { return false };
        self.take_in(loaded);
        true
    }

    /// Applies an event to an execution. None when it is not at hand.
    pub(super) fn happen(
        &mut self,
        uid: ExecutionUid,
        body: EventBody,
        reads: &mut Reads,
    ) -> Option<Verdict> {
        if !self.hold(uid, reads) {
            return None;
        }
        let mut live = self.flows.live.remove(&uid)?;
        let entropy = self.flows.entropy(&reads.seed);
        let event = Event { at: reads.now, entropy, body };
        let state = std::mem::replace(&mut live.state, State::new());
        let decision = advance(&live.definition.plan, state, event);
        live.state = decision.state;
        if let Verdict::Applied { .. } = decision.verdict {
            metrics::counter!("stint_flow_events_total").increment(decision.rows.len() as u64);
            live.rows.extend(decision.rows);
            for command in decision.commands {
                self.obey(&mut live, command, reads);
            }
            self.touch(uid);
        }
        live.used = self.flows.turn;
        self.set_wake_of(&live);
        self.flows.live.insert(uid, live);
        Some(decision.verdict)
    }

    fn touch(&mut self, uid: ExecutionUid) {
        self.flows.dirty.insert(uid);
    }

    fn set_wake_of(&mut self, live: &Live) {
        let is_open = !live.head.status.is_terminal();
        self.flows.set_wake(live.head.uid, is_open.then(|| live.notes.wake_at()));
    }

    /// Does what an execution wants. What concerns others is decided in the same batch or follows it.
    fn obey(&mut self, live: &mut Live, command: Command, reads: &mut Reads) {
        let uid = live.head.uid;
        match command {
            Command::Submit(call) => self.submit_call(live, *call, reads),
            Command::Stop { call } => self.stop_call(live, call, reads),
            Command::Evaluate(evaluation) => {
                live.notes.ask(Ask::Evaluate(evaluation.clone()));
                let entropy = self.flows.entropy(&reads.seed);
                let act = FlowAct::Evaluate { execution: uid, evaluation, entropy };
                // It changes nothing outside: no commit has to come first.
                self.acts.push(Act::Flow(act));
            }
            Command::Wake { timer, at } => live.notes.wake(timer, at),
            Command::Unwake { timer } => live.notes.unwake(timer),
            Command::StartMapRun(run) => self.start_map_run(live, *run, reads),
            Command::StopMapRun { call } => {
                live.notes.end_call(call);
                self.stop_map_run(uid, call);
            }
            Command::Continue => {
                live.notes.ask(Ask::Go);
                self.flows.going.insert(uid);
            }
            Command::Finish(outcome) => self.finish_execution(live, outcome, reads),
        }
    }

    /// What a turn begins with: documents that were asked for are here, timers are due, executions go on.
    pub(super) fn flows_begin(&mut self, reads: &mut Reads) {
        self.flows.turn += 1;
        let wanted: Vec<ExecutionUid> = self.flows.wanted.iter().take(FETCH_MAX).copied().collect();
        for uid in wanted {
            self.flows.wanted.remove(&uid);
            if !self.hold(uid, reads) {
                tracing::error!(execution = %uid, "an open execution has no document; it is left alone");
                self.flows.set_wake(uid, None);
                self.flows.asking.remove(&uid);
                continue;
            }
            if self.flows.asking.remove(&uid) {
                self.ask_again(uid, reads);
            }
        }
        for uid in std::mem::take(&mut self.flows.going) {
            if !self.hold(uid, reads) {
                self.flows.wanted.insert(uid);
                self.flows.asking.insert(uid);
                continue;
            }
            if let Some(live) = self.flows.live.get_mut(&uid) {
                live.notes.answered(|ask| *ask == Ask::Go);
            }
            self.happen(uid, EventBody::Continued, reads);
        }
        self.wake_due(reads);
    }

    fn wake_due(&mut self, reads: &mut Reads) {
        let due = self.flows.wakes.iter().take_while(|(at, _)| *at <= reads.now).take(DUE_MAX);
        let due: Vec<ExecutionUid> = due.map(|(_, uid)| *uid).collect();
        for uid in due {
            if !self.hold(uid, reads) {
                self.flows.wanted.insert(uid);
                continue;
            }
            let Some(live) = self.flows.live.get_mut(&uid) else { continue };
            for timer in live.notes.take_due(reads.now) {
                self.happen(uid, EventBody::Woken { timer }, reads);
            }
            // A timer that changed nothing is gone all the same.
            if let Some(live) = self.flows.live.remove(&uid) {
                self.set_wake_of(&live);
                self.flows.live.insert(uid, live);
            }
        }
    }

    /// Empties the queue of what this turn made happen, within the turn's share of map runs.
    pub(super) fn flows_settle(&mut self, reads: &mut Reads) {
        let mut share = maps::TURN_SHARE;
        loop {
            while let Some((uid, what)) = self.flows.queue.pop_front() {
                if self.hold(uid, reads) {
                    self.befall(uid, what, reads);
                } else {
                    self.post_flow(self.fence.shard, FlowLetter::Happened { to: uid, what });
                }
            }
            if !self.maps_go_on(&mut share, reads) {
                break;
            }
        }
    }

    /// Something happens to an execution, here or in another shard.
    pub(super) fn tell_execution(&mut self, uid: ExecutionUid, what: Happening) {
        if uid.shard() == self.fence.shard {
            self.flows.queue.push_back((uid, what));
        } else {
            self.post_flow(uid.shard(), FlowLetter::Happened { to: uid, what });
        }
    }

    /// What stays in the queue when the batch is taken (a plan ended tasks after the turn) is written as
    /// letters; then every execution that moved is.
    pub(super) fn flows_write(&mut self) {
        while let Some((to, what)) = self.flows.queue.pop_front() {
            self.post_flow(self.fence.shard, FlowLetter::Happened { to, what });
        }
        self.write_executions();
        self.write_maps();
    }

    /// Applies what happened to an execution that is at hand.
    pub(super) fn befall(&mut self, uid: ExecutionUid, what: Happening, reads: &mut Reads) {
        let body = match what {
            Happening::Event(body) => *body,
            Happening::Task(call, end) => match self.task_ended(uid, call, &end) {
                Some(body) => body,
                None => return,
            },
            Happening::ChildStarted(call, child) => match self.child_started(uid, call, child) {
                Some(body) => body,
                None => return,
            },
            Happening::ChildEnded(call, child) => match self.child_ended(uid, call, &child) {
                Some(body) => body,
                None => return,
            },
            Happening::Unit { call, unit, outcome } => {
                return self.unit_ended((uid, call), unit, *outcome);
            }
        };
        self.forget_answered(uid, &body);
        self.happen(uid, body, reads);
    }

    /// An answer ends what was asked for, whatever becomes of it.
    fn forget_answered(&mut self, uid: ExecutionUid, body: &EventBody) {
        let Some(live) = self.flows.live.get_mut(&uid) else { return };
        match body {
            EventBody::Evaluated { evaluation, .. } => {
                live.notes.answered(|ask| matches!(ask, Ask::Evaluate(e) if e.id == *evaluation));
            }
            EventBody::Succeeded { call, .. }
            | EventBody::Failed { call, .. }
            | EventBody::MapRunEnded { call, .. } => {
                live.notes.end_call(*call);
            }
            EventBody::Submitted { call } => {
                live.notes
                    .answered(|ask| matches!(ask, Ask::Http { call: known, .. } if known == call));
            }
            EventBody::Taken { call, .. } => live.notes.taken(*call),
            EventBody::Started(_)
            | EventBody::Reported { .. }
            | EventBody::Woken { .. }
            | EventBody::Stop { .. }
            | EventBody::Continued
            | EventBody::Redriven => {}
        }
    }

    pub(super) fn follow_up(&mut self, followup: Followup) {
        match followup {
            Followup::Started(started, reply) => super::tell(reply, Ok(*started)),
            Followup::Reported(event, reply) => super::tell(reply, Ok(event)),
            Followup::Shown(head, reply) => super::tell(reply, Ok(*head)),
            Followup::Work(work, reply) => super::tell(reply, Ok(work)),
            Followup::Moved(moved) => self.executions_moved(&moved),
        }
    }

    /// A batch is in the book.
    pub(super) fn flows_committed(&mut self, done: u64) {
        self.flows.new_names.retain(|_, (number, _)| *number > done);
        self.cool(done);
    }

    /// Definitions that a turn has at hand.
    fn definition(&self, flow: FlowId, revision: u64, reads: &Reads) -> Option<Arc<Definition>> {
        let read = reads.plans.get(&(flow, revision)).cloned();
        read.or_else(|| self.plans.get(flow, revision))
    }
}
