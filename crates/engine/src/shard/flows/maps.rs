//! Distributed maps: a record with the frontier and an inbox. What children tell is put into the inbox in the
//! batch that ends them; each turn works off its share, so that quick children neither run all in one turn nor
//! lose an end. Items are read and results written outside.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stint_flow::{
    CallId, EventBody, MapCommand, MapEvent, MapRun, MapRunState, MapStatus, Outcome,
};
use stint_model::id::ExecutionUid;
use stint_model::time::Timestamp;
use stint_store::record::flow::map_run_key;
use stint_store::{Key, Put, StoreError};

use super::integration::Wrong;
use super::letters::FlowLetter;
use super::live::Live;
use super::notes::{Ask, Target};
use super::{FlowAct, Happening, Shard};
use crate::flows::{MapRunPatch, MapRunView};
use crate::shard::{Act, Effect, Reads};

/// Ends of children that one turn works off.
pub(super) const TURN_SHARE: usize = 2_000;

/// See the module comment.
#[derive(Debug)]
pub(crate) struct MapLive {
    run: Arc<MapRun>,
    state: MapRunState,
    inbox: VecDeque<(u64, Outcome)>,
    /// What is read, from where and how many.
    reading: Option<(u64, u64)>,
    is_writing: bool,
    is_dirty: bool,
    bounds: Bounds,
    started_at: Timestamp,
    ended_at: Timestamp,
}

/// As asked for or changed since; the state keeps them to itself.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Bounds {
    concurrency: u32,
    tolerated_count: Option<u64>,
    tolerated_basis_points: Option<u32>,
}

/// Tagged from outside: maps by number do not read back from inside of an internal tag.
#[derive(Serialize, Deserialize)]
enum Stored {
    #[serde(rename = "1")]
    V1(Box<Form>),
}

#[derive(Serialize, Deserialize)]
struct Form {
    run: Arc<MapRun>,
    state: MapRunState,
    inbox: VecDeque<(u64, Outcome)>,
    reading: Option<(u64, u64)>,
    is_writing: bool,
    bounds: Bounds,
    started_us: i64,
    ended_us: i64,
}

/// Where a map run's record lies.
pub(crate) fn key_of(execution: ExecutionUid, call: CallId) -> Key {
    map_run_key(execution, call.entered, call.attempt)
}

impl MapLive {
    fn new(run: MapRun, payload_bytes_max: usize, now: Timestamp) -> Self {
        let bounds = Bounds {
            concurrency: run.concurrency.unwrap_or(0),
            tolerated_count: run.tolerated_count,
            tolerated_basis_points: run.tolerated_basis_points,
        };
        Self {
            state: MapRunState::new(&run, payload_bytes_max),
            run: Arc::new(run),
            inbox: VecDeque::new(),
            reading: None,
            is_writing: false,
            is_dirty: true,
            bounds,
            started_at: now,
            ended_at: Timestamp::ZERO,
        }
    }

    pub(super) fn is_busy(&self) -> bool {
        !self.inbox.is_empty()
    }

    /// How it stands, for people.
    pub(crate) fn view(&self) -> MapRunView {
        MapRunView {
            name: self.run.id.to_string(),
            step: self.run.step.clone(),
            status: self.state.status(),
            counts: self.state.counts(),
            started_at: self.started_at,
            ended_at: self.ended_at,
            concurrency: self.bounds.concurrency,
            tolerated_count: self.bounds.tolerated_count,
            tolerated_basis_points: self.bounds.tolerated_basis_points,
        }
    }

    fn encode(&self) -> Bytes {
        let form = Stored::V1(Box::new(Form {
            run: Arc::clone(&self.run),
            state: self.state.clone(),
            inbox: self.inbox.clone(),
            reading: self.reading,
            is_writing: self.is_writing,
            bounds: self.bounds,
            started_us: self.started_at.micros(),
            ended_us: self.ended_at.micros(),
        }));
        serde_json::to_vec(&form).expect("a form with text keys and no failing parts").into()
    }

    /// A map run as the book has it.
    ///
    /// # Errors
    /// `Corrupt`.
    pub(crate) fn decode(body: &[u8]) -> Result<Self, StoreError> {
        let corrupt =
            |error: serde_json::Error| StoreError::Corrupt { what: format!("map run: {error}") };
        let mut reader = serde_json::Deserializer::from_slice(body);
        reader.disable_recursion_limit();
        let Stored::V1(form) = Stored::deserialize(&mut reader).map_err(corrupt)?;
        Ok(Self {
            run: form.run,
            state: form.state,
            inbox: form.inbox,
            reading: form.reading,
            is_writing: form.is_writing,
            is_dirty: false,
            bounds: form.bounds,
            started_at: Timestamp::from_micros(form.started_us),
            ended_at: Timestamp::from_micros(form.ended_us),
        })
    }
}

impl Shard {
    pub(super) fn start_map_run(&mut self, live: &mut Live, mut run: MapRun, reads: &mut Reads) {
        let (uid, call) = (live.head.uid, run.id);
        let most = self.config.flows.map_concurrency_max.max(1);
        run.concurrency = Some(run.concurrency.unwrap_or(most).min(most));
        let items_max = self.config.flows.map_items_max;
        run.items_max = Some(run.items_max.unwrap_or(items_max).min(items_max));
        live.notes.call(call, Target::Map);
        live.notes.ask(Ask::Map(call));
        metrics::counter!("stint_map_runs_started_total").increment(1);
        let payload = self.config.flows.map_output_bytes_max;
        self.flows.maps.insert((uid, call), MapLive::new(run, payload, reads.now));
        let parent = live.head.clone();
        let definition = Arc::clone(&live.definition);
        self.map_moves((uid, call), MapEvent::Begun, (&parent, &definition), reads);
    }

    /// The execution does not want it any more.
    pub(super) fn stop_map_run(&mut self, uid: ExecutionUid, call: CallId) {
        let Some(mut map) = self.flows.maps.remove(&(uid, call)) else { return };
        let (state, commands) = map.state.advance(MapEvent::Stopped);
        map.state = state;
        map.inbox.clear();
        self.flows.maps_busy.remove(&(uid, call));
        for command in commands {
            if let MapCommand::StopChild { unit } = command {
                self.stop_unit(uid, call, unit);
            }
        }
        (map.is_dirty, map.reading, map.is_writing) = (true, None, false);
        self.flows.maps.insert((uid, call), map);
    }

    fn stop_unit(&mut self, uid: ExecutionUid, call: CallId, unit: u64) {
        use stint_model::shard::Shard as ShardNumber;
        let (list, name) = (uid.number(), format!("{call}-{unit}"));
        let home = ShardNumber::of_execution(list, &name, self.config.shards);
        self.post_flow(home, FlowLetter::StopExecution { list, name });
    }

    /// A child ended: into the inbox.
    pub(super) fn unit_ended(&mut self, key: (ExecutionUid, CallId), unit: u64, outcome: Outcome) {
        let Some(map) = self.flows.maps.get_mut(&key) else { return };
        map.inbox.push_back((unit, outcome));
        map.is_dirty = true;
        self.flows.maps_busy.insert(key);
    }

    /// Works off inboxes within the share. True when something moved.
    pub(super) fn maps_go_on(&mut self, share: &mut usize, reads: &mut Reads) -> bool {
        let mut has_moved = false;
        for key in self.flows.maps_busy.clone() {
            if !self.hold(key.0, reads) {
                self.flows.wanted.insert(key.0);
                continue;
            }
            while *share > 0 {
                let Some(map) = self.flows.maps.get_mut(&key) else { break };
                let Some((unit, outcome)) = map.inbox.pop_front() else { break };
                map.is_dirty = true;
                *share -= 1;
                has_moved = true;
                self.map_happens(key, MapEvent::ChildEnded { unit, outcome }, reads);
            }
            let is_done = self.flows.maps.get(&key).is_none_or(|map| !map.is_busy());
            if is_done {
                self.flows.maps_busy.remove(&key);
            }
        }
        has_moved
    }

    /// Something happens to a map run whose execution is at hand.
    pub(super) fn map_happens(
        &mut self,
        key: (ExecutionUid, CallId),
        event: MapEvent,
        reads: &mut Reads,
    ) {
        let Some(live) = self.flows.live.get(&key.0) else { return };
        let (parent, definition) = (live.head.clone(), Arc::clone(&live.definition));
        self.map_moves(key, event, (&parent, &definition), reads);
    }

    fn map_moves(
        &mut self,
        key: (ExecutionUid, CallId),
        event: MapEvent,
        (parent, definition): (
            &stint_model::execution::Execution,
            &Arc<crate::flows::plans::Definition>,
        ),
        reads: &mut Reads,
    ) {
        let Some(mut map) = self.flows.maps.remove(&key) else { return };
        if matches!(event, MapEvent::Items { .. } | MapEvent::ReadFailed(_)) {
            map.reading = None;
        }
        let (state, commands) = map.state.advance(event);
        map.state = state;
        map.is_dirty = true;
        let mut starts = Vec::new();
        for command in commands {
            match command {
                MapCommand::Read { from, count } => {
                    map.reading = Some((from, count));
                    let (execution, run) = (Box::new(parent.clone()), Arc::clone(&map.run));
                    let definition = Arc::clone(definition);
                    let act = FlowAct::Items { execution, definition, run, from, count };
                    self.after_commit(Effect::Act(Act::Flow(act)));
                }
                MapCommand::Start { unit, input, items } => starts.push((unit, input, items)),
                MapCommand::StopChild { unit } => self.stop_unit(key.0, key.1, unit),
                MapCommand::Finish(result) => {
                    map.ended_at = reads.now;
                    self.map_finishes(key, &mut map, result, parent);
                }
            }
        }
        let run = Arc::clone(&map.run);
        self.flows.maps.insert(key, map);
        for (unit, input, items) in starts {
            self.start_unit(parent, (&run, unit), (&input, items), reads);
        }
    }

    fn map_finishes(
        &mut self,
        (uid, call): (ExecutionUid, CallId),
        map: &mut MapLive,
        result: Result<Option<Value>, stint_flow::Fault>,
        parent: &stint_model::execution::Execution,
    ) {
        map.inbox.clear();
        let outcome = match result {
            Ok(_) if map.run.writer.is_some() => {
                map.is_writing = true;
                let (execution, run) = (Box::new(parent.clone()), Arc::clone(&map.run));
                return self
                    .after_commit(Effect::Act(Act::Flow(FlowAct::Write { execution, run })));
            }
            Ok(output) => Ok(output.unwrap_or(Value::Array(Vec::new()))),
            Err(fault) => {
                let error = fault.error.unwrap_or_else(|| "States.TaskFailed".to_owned());
                Err((error, fault.cause.unwrap_or_default()))
            }
        };
        let event = EventBody::MapRunEnded { call, outcome };
        self.flows.queue.push_back((uid, Happening::Event(Box::new(event))));
    }

    pub(super) fn map_items(
        &mut self,
        key: (ExecutionUid, CallId),
        items: Result<(Vec<Value>, bool), Wrong>,
        reads: &mut Reads,
    ) {
        let is_reading = self.flows.maps.get(&key).is_some_and(|map| map.reading.is_some());
        if !is_reading {
            // Asked for twice, after a crash; the first answer counted.
            return;
        }
        let event = match items {
            Ok((items, is_last)) => MapEvent::Items { items, is_last },
            Err(wrong) => {
                let fault = stint_flow::Fault::reported(Some(wrong.error), Some(wrong.cause));
                MapEvent::ReadFailed(fault)
            }
        };
        self.map_happens(key, event, reads);
    }

    pub(super) fn map_written(
        &mut self,
        (uid, call): (ExecutionUid, CallId),
        result: Result<Value, Wrong>,
    ) {
        let Some(map) = self.flows.maps.get_mut(&(uid, call)) else { return };
        if !std::mem::replace(&mut map.is_writing, false) {
            return;
        }
        map.is_dirty = true;
        let outcome = result.map_err(|wrong| (wrong.error, wrong.cause));
        let event = EventBody::MapRunEnded { call, outcome };
        self.flows.queue.push_back((uid, Happening::Event(Box::new(event))));
    }

    /// How a map run stands, after a change if there is one. None when it is not going on here.
    pub(super) fn map_view(
        &mut self,
        key: (ExecutionUid, CallId),
        patch: Option<MapRunPatch>,
        reads: &mut Reads,
    ) -> Option<MapRunView> {
        let map = self.flows.maps.get_mut(&key)?;
        if let Some(patch) = patch {
            if map.state.status() != MapStatus::Running {
                return None;
            }
            let MapRunPatch { concurrency, tolerated_count, tolerated_basis_points } = patch;
            let most = self.config.flows.map_concurrency_max.max(1);
            let concurrency = concurrency.map(|said| said.clamp(1, most));
            let bounds = &mut map.bounds;
            bounds.concurrency = concurrency.unwrap_or(bounds.concurrency);
            bounds.tolerated_count = tolerated_count.or(bounds.tolerated_count);
            bounds.tolerated_basis_points =
                tolerated_basis_points.or(bounds.tolerated_basis_points);
            let event = MapEvent::Updated { concurrency, tolerated_count, tolerated_basis_points };
            self.map_happens(key, event, reads);
        }
        self.flows.maps.get(&key).map(MapLive::view)
    }

    /// What an opened shard finds: items are asked for again, results written again.
    pub(super) fn map_again(&mut self, key: (ExecutionUid, CallId)) {
        let Some(live) = self.flows.live.get(&key.0) else { return };
        let Some(map) = self.flows.maps.get(&key) else {
            return tracing::error!(execution = %key.0, call = %key.1, "a map run has no record");
        };
        let (execution, run) = (Box::new(live.head.clone()), Arc::clone(&map.run));
        if let Some((from, count)) = map.reading {
            let definition = Arc::clone(&live.definition);
            let act = FlowAct::Items { execution, definition, run, from, count };
            self.acts.push(Act::Flow(act));
        } else if map.is_writing {
            self.acts.push(Act::Flow(FlowAct::Write { execution, run }));
        }
    }

    /// Map runs that moved go into the batch; what has ended leaves memory.
    pub(super) fn write_maps(&mut self) {
        let mut gone = Vec::new();
        for (key, map) in &mut self.flows.maps {
            if !map.is_dirty {
                continue;
            }
            map.is_dirty = false;
            let (shard, body) = (self.fence.shard, map.encode());
            self.batch.puts.push(Put::Record { key: key_of(key.0, key.1), shard, body });
            if map.state.status() != MapStatus::Running && !map.is_writing {
                gone.push(*key);
            }
        }
        for key in gone {
            self.flows.maps.remove(&key);
            self.flows.maps_busy.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use stint_flow::{ExecutionMode, MapFrame};

    use super::*;

    #[test]
    fn a_map_run_under_way_reads_back() {
        let run = MapRun {
            id: CallId { entered: 2, attempt: 1 },
            step: "M".into(),
            mode: ExecutionMode::Standard,
            label: None,
            items: Some(json!([1, 2, 3])),
            reader: None,
            writer: None,
            batch: None,
            concurrency: Some(2),
            items_max: Some(9),
            tolerated_count: None,
            tolerated_basis_points: None,
            frame: Box::new(MapFrame {
                input: json!({}),
                context: json!({}),
                variables: Default::default(),
            }),
        };
        let mut map = MapLive::new(run, 100, Timestamp::from_micros(5));
        for event in [
            MapEvent::Begun,
            MapEvent::Items { items: vec![json!(1), json!(2), json!(3)], is_last: true },
            MapEvent::ChildEnded { unit: 0, outcome: Outcome::Succeeded { output: json!("x") } },
        ] {
            map.state = map.state.advance(event).0;
        }
        map.inbox.push_back((1, Outcome::Failed { error: Some("E".into()), cause: None }));
        let body = map.encode();
        let read = MapLive::decode(&body).expect("reads back");
        assert_eq!((&read.state, &read.inbox), (&map.state, &map.inbox));
        assert_eq!(read.encode(), body);
        assert!(body.starts_with(br#"{"1":{"run":{"id":{"entered":2,"attempt":1},"step":"M""#));
    }
}
