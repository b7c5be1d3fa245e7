//! Map runs that are run again: the same map run goes on, and only children that did not end well run again, each
//! from where it failed. Its record is read first, as it has left memory; which children those are is asked
//! page by page. Both are acts: an opened shard asks again.

use std::sync::Arc;

use serde_json::Value;
use stint_flow::{CallId, EventBody, FoundChild, MapEvent, MapRun, Outcome, Verdict};
use stint_model::execution::{Execution, ExecutionStatus};
use stint_model::id::ExecutionUid;
use stint_model::shard::Shard as ShardNumber;
use stint_model::time::Timestamp;

use super::children::value_of;
use super::integration::Wrong;
use super::letters::FlowLetter;
use super::live::Live;
use super::maps::{Finding, MapLive};
use super::notes::{Ask, Target};
use super::{FlowAct, Happening, Shard};
use crate::shard::{Act, Effect, Reads};

/// A page of a map run's children with how often each was run again, and where the next page begins.
pub(crate) type FoundPage = (Vec<(FoundChild, u32)>, Option<String>);

/// How an execution ended, as its head tells.
fn outcome_of(head: &Execution) -> Option<Outcome> {
    let (error, cause) = (head.error.clone(), head.cause.clone());
    Some(match head.status {
        ExecutionStatus::Running => return None,
        ExecutionStatus::Succeeded => Outcome::Succeeded { output: value_of(&head.output) },
        ExecutionStatus::Failed => Outcome::Failed { error, cause },
        ExecutionStatus::TimedOut => Outcome::TimedOut { error, cause },
        ExecutionStatus::Stopped => Outcome::Stopped { error, cause },
    })
}

impl Shard {
    /// The execution goes on with a map run that has ended.
    pub(super) fn redrive_map_run(&mut self, live: &mut Live, call: CallId) {
        live.notes.call(call, Target::Map);
        live.notes.ask(Ask::Redrive(call));
        let act = FlowAct::Reopen { execution: live.head.uid, call };
        self.after_commit(Effect::Act(Act::Flow(act)));
    }

    /// The record of a map run to be redriven, if the book has one.
    pub(super) fn map_reopened(
        &mut self,
        key: (ExecutionUid, CallId),
        map: Option<Box<MapLive>>,
        reads: &mut Reads,
    ) {
        let Some(live) = self.flows.live.get_mut(&key.0) else { return };
        let asked = Ask::Redrive(key.1);
        if !live.notes.asks().contains(&asked) {
            // Read twice, after a crash; or it was stopped meanwhile.
            return;
        }
        live.notes.answered(|ask| *ask == asked);
        live.notes.ask(Ask::Map(key.1));
        self.touch(key.0);
        let Some(mut map) = map else {
            let outcome = Err(("States.Runtime".into(), "the map run is gone".into()));
            let event = EventBody::MapRunEnded { call: key.1, outcome };
            return self.flows.queue.push_back((key.0, Happening::Event(Box::new(event))));
        };
        (map.ended_at, map.is_writing) = (Timestamp::ZERO, false);
        (map.reading, map.finding) = (None, None);
        map.rounds.clear();
        self.flows.maps.insert(key, *map);
        self.map_happens(key, vec![MapEvent::Redriven], reads);
    }

    /// The next page of children is asked for.
    pub(super) fn find_children(
        &mut self,
        (execution, run): (ExecutionUid, &Arc<MapRun>),
        map: &mut MapLive,
    ) {
        let finding = map.finding.get_or_insert_default();
        finding.is_asked = true;
        let (call, cursor) = (run.id, finding.cursor.clone());
        let has_outputs = map.state.keeps_outputs();
        let act = FlowAct::Find { execution, call, cursor, has_outputs };
        self.after_commit(Effect::Act(Act::Flow(act)));
    }

    pub(super) fn map_found(
        &mut self,
        key: (ExecutionUid, CallId),
        (asked, found): (Option<String>, Result<FoundPage, Wrong>),
        reads: &mut Reads,
    ) {
        let Some(map) = self.flows.maps.get_mut(&key) else { return };
        let is_it = |finding: &&mut Finding| finding.is_asked && finding.cursor == asked;
        let Some(finding) = map.finding.as_mut().filter(is_it) else {
            // Asked for twice, after a crash, or by an earlier redrive.
            return;
        };
        finding.is_asked = false;
        let event = match found {
            Ok((children, cursor)) => {
                let is_last = cursor.is_none();
                let again = children.iter().filter(|(child, _)| child.output.is_none());
                map.rounds.extend(again.map(|(child, redrives)| (child.unit, redrives + 1)));
                let children = children.into_iter().map(|(child, _)| child).collect();
                map.finding =
                    cursor.map(|cursor| Finding { cursor: Some(cursor), is_asked: false });
                MapEvent::Found { children, is_last }
            }
            Err(Wrong { error, cause }) => {
                map.finding = None;
                MapEvent::ReadFailed(stint_flow::Fault::reported(Some(error), Some(cause)))
            }
        };
        self.map_happens(key, vec![event], reads);
    }

    pub(super) fn redrive_unit(&mut self, parent: ExecutionUid, call: CallId, unit: u64) {
        let (list, name) = (parent.number(), format!("{call}-{unit}"));
        let home = ShardNumber::of_execution(list, &name, self.config.shards);
        self.post_flow(home, FlowLetter::RedriveUnit { parent, call, unit });
    }

    /// A child of a map run runs again, here. Whatever becomes of that, the map run hears how it ends.
    pub(super) fn unit_redriven(
        &mut self,
        (parent, call, unit): (ExecutionUid, CallId, u64),
        reads: &mut Reads,
    ) {
        let name = (parent.number(), format!("{call}-{unit}"));
        let uid = self.named(&name, reads).filter(|uid| self.hold(*uid, reads));
        let outcome = match uid {
            Some(uid) => {
                // One that is under way after all begins again too, so that its end is one of after this.
                self.happen(uid, EventBody::Stop { error: None, cause: None }, reads);
                self.reopen(uid);
                match self.happen(uid, EventBody::Redriven, reads) {
                    Some(Verdict::Applied { .. }) => None,
                    Some(Verdict::Refused(_)) | None => {
                        self.flows.live.get(&uid).and_then(|live| outcome_of(&live.head))
                    }
                }
            }
            None => Some(Outcome::Failed {
                error: Some("States.Runtime".to_owned()),
                cause: Some("the child execution is gone".to_owned()),
            }),
        };
        // There is nothing to run again: it ended well meanwhile, or could never begin.
        if let Some(outcome) = outcome {
            let (redrives, outcome) = (u32::MAX, Box::new(outcome));
            self.tell_execution(parent, Happening::Unit { call, unit, redrives, outcome });
        }
    }
}

/// What a map run's redrive has to know of a child.
pub(crate) fn found_of(child: &Execution, output: Option<Value>) -> Option<(FoundChild, u32)> {
    let unit = child.parent?.unit?;
    let items = child.map.as_ref()?.items;
    Some((FoundChild { unit, items, output }, child.redrives))
}
