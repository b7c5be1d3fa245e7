//! A distributed map, decided: which items are read, which children start, when too many have failed,
//! and what the map gives. The same shape as an execution (state, event, commands), and as pure.
//!
//! ```text
//!  Read ─► Items ─► units ─► Start ─► ChildEnded ─┬─► more units, more reading
//!                                                 ├─► too many failed: StopChild for all, Finish
//!                                                 └─► all ended: Finish
//! ```
//!
//! Memory is flat: items wait only as far ahead as children may run, and outputs are kept only where
//! no writer takes them, within the payload limit. Which children failed is for the shell to list; it
//! keeps them as executions.

use alloc::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::command::{MapRun, Outcome};
use crate::fault::Fault;
use crate::prelude::*;
use crate::value;

/// Items that are asked for at a time. The reader may give fewer.
const READ_MAX: u64 = 1_000;
/// Children at one moment where nobody says how many.
const CONCURRENCY_MAX: u32 = 1_000;

/// A map run between two turns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MapRunState {
    concurrency: u32,
    tolerated_count: Option<u64>,
    tolerated_basis_points: Option<u32>,
    items_max: u64,
    batch: Option<Batch>,
    /// Bytes of outputs that may be kept; none where a writer takes them.
    output_bytes_max: Option<usize>,
    /// Items read so far, and whether that is all.
    read: u64,
    is_reading: bool,
    is_all_read: bool,
    /// Items that wait to be put into a unit.
    items: Vec<Value>,
    /// Units that wait to start.
    waiting: VecDeque<Unit>,
    unit_next: u64,
    /// Items of each unit that runs.
    running: BTreeMap<u64, u64>,
    outputs: BTreeMap<u64, Value>,
    output_bytes: usize,
    counts: MapCounts,
    status: MapStatus,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Batch {
    items_max: u64,
    bytes_max: usize,
    input: Option<Value>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Unit {
    input: Value,
    items: u64,
}

/// How a map run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MapStatus {
    /// Children run, or items are read.
    Running,
    /// All ended, within the tolerance.
    Succeeded,
    /// Too many failed, or items could not be read or shaped.
    Failed,
    /// It was stopped.
    Aborted,
}

/// Items by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapCounts {
    /// Known so far.
    pub total: u64,
    /// Not started.
    pub pending: u64,
    /// In a child that runs.
    pub running: u64,
    /// In a child that ended well.
    pub succeeded: u64,
    /// In a child that failed.
    pub failed: u64,
    /// In a child whose time was up.
    pub timed_out: u64,
    /// In a child that was stopped.
    pub aborted: u64,
}

/// What happens to a map run.
#[derive(Clone, Debug, PartialEq)]
pub enum MapEvent {
    /// It begins.
    Begun,
    /// The reader gave items, shaped by [`crate::map_item`].
    Items {
        /// In order, following those that were read before.
        items: Vec<Value>,
        /// There are no more.
        is_last: bool,
    },
    /// Items could not be read or shaped.
    ReadFailed(Fault),
    /// A child ended.
    ChildEnded {
        /// Which.
        unit: u64,
        /// How.
        outcome: Outcome,
    },
    /// Somebody changed its bounds; none leaves one as it is.
    Updated {
        /// Children at one moment.
        concurrency: Option<u32>,
        /// Items that may fail.
        tolerated_count: Option<u64>,
        /// Items that may fail, in hundredths of a percent.
        tolerated_basis_points: Option<u32>,
    },
    /// Its execution does not want it any more.
    Stopped,
}

/// What a map run wants.
#[derive(Clone, Debug, PartialEq)]
pub enum MapCommand {
    /// Read up to `count` items from number `from`.
    Read {
        /// The first item.
        from: u64,
        /// How many at most.
        count: u64,
    },
    /// Start a child. Its id follows from the map run's and the unit.
    Start {
        /// Counts from zero.
        unit: u64,
        /// Its input: an item, or a batch of them.
        input: Value,
        /// Items in it.
        items: u64,
    },
    /// Stop a child.
    StopChild {
        /// Which.
        unit: u64,
    },
    /// It has ended: the outputs in order, unless a writer has them, or error and cause.
    Finish(Result<Option<Value>, Fault>),
}

impl MapRunState {
    /// As the map's step describes it. Outputs are kept up to `payload_bytes_max`.
    pub fn new(run: &MapRun, payload_bytes_max: usize) -> Self {
        let number = |name: &str| {
            let said = run.batch.as_ref().and_then(|batch| value::whole(batch.get(name)?));
            said.and_then(|number| u64::try_from(number).ok()).filter(|number| *number > 0)
        };
        let batch = run.batch.as_ref().map(|batch| Batch {
            items_max: number("MaxItemsPerBatch").unwrap_or(u64::MAX),
            bytes_max: number("MaxInputBytesPerBatch")
                .and_then(|bytes| usize::try_from(bytes).ok())
                .unwrap_or(payload_bytes_max)
                .min(payload_bytes_max),
            input: batch.get("BatchInput").cloned(),
        });
        let of_reader = run.reader.as_ref().and_then(|reader| {
            let config = reader.get("ReaderConfig")?;
            u64::try_from(value::whole(config.get("MaxItems")?)?).ok().filter(|most| *most > 0)
        });
        let is_strict = run.tolerated_count.is_none() && run.tolerated_basis_points.is_none();
        Self {
            concurrency: run.concurrency.unwrap_or(CONCURRENCY_MAX).max(1),
            tolerated_count: if is_strict { Some(0) } else { run.tolerated_count },
            tolerated_basis_points: run.tolerated_basis_points,
            items_max: run.items_max.or(of_reader).unwrap_or(u64::MAX),
            batch,
            output_bytes_max: run.writer.is_none().then_some(payload_bytes_max),
            read: 0,
            is_reading: false,
            is_all_read: false,
            items: Vec::new(),
            waiting: VecDeque::new(),
            unit_next: 0,
            running: BTreeMap::new(),
            outputs: BTreeMap::new(),
            output_bytes: 0,
            counts: MapCounts::default(),
            status: MapStatus::Running,
        }
    }

    /// Items by what became of them.
    pub const fn counts(&self) -> MapCounts {
        self.counts
    }

    /// How it stands.
    pub const fn status(&self) -> MapStatus {
        self.status
    }

    /// Applies one event. What comes after the end changes nothing.
    pub fn advance(mut self, event: MapEvent) -> (Self, Vec<MapCommand>) {
        let mut commands = Vec::new();
        if self.status == MapStatus::Running {
            match event {
                MapEvent::Begun => {}
                MapEvent::Items { items, is_last } => self.take(items, is_last),
                MapEvent::ReadFailed(fault) => {
                    self.end(MapStatus::Failed, Err(fault), &mut commands)
                }
                MapEvent::ChildEnded { unit, outcome } => self.ended(unit, outcome, &mut commands),
                MapEvent::Updated { concurrency, tolerated_count, tolerated_basis_points } => {
                    self.concurrency = concurrency.unwrap_or(self.concurrency).max(1);
                    self.tolerated_count = tolerated_count.or(self.tolerated_count);
                    self.tolerated_basis_points =
                        tolerated_basis_points.or(self.tolerated_basis_points);
                }
                MapEvent::Stopped => {
                    let fault = Fault::new("States.TaskFailed", "The map run was stopped");
                    self.end(MapStatus::Aborted, Err(fault), &mut commands);
                }
            }
            self.go_on(&mut commands);
        }
        (self, commands)
    }

    fn take(&mut self, mut items: Vec<Value>, is_last: bool) {
        self.is_reading = false;
        let room = usize::try_from(self.items_max - self.read).unwrap_or(usize::MAX);
        let is_full = items.len() >= room;
        items.truncate(room);
        let count = u64::try_from(items.len()).unwrap_or(u64::MAX);
        self.read += count;
        self.counts.total += count;
        self.counts.pending += count;
        // A reader that gives nothing has nothing more.
        self.is_all_read = is_last || is_full || count == 0;
        match &self.batch {
            None => self.waiting.extend(items.into_iter().map(|input| Unit { input, items: 1 })),
            Some(_) => {
                self.items.append(&mut items);
                self.fill_batches();
            }
        }
    }

    /// Puts waiting items into batches; the last one waits for more, unless there is none.
    fn fill_batches(&mut self) {
        let Some(batch) = self.batch.clone() else { return };
        let around = batch.input.as_ref().map_or(0, value::size).saturating_add(32);
        let mut full = Vec::new();
        let mut bytes = around;
        for item in core::mem::take(&mut self.items) {
            let size = value::size(&item).saturating_add(1);
            let is_full = u64::try_from(full.len()).unwrap_or(u64::MAX) >= batch.items_max
                || (!full.is_empty() && bytes.saturating_add(size) > batch.bytes_max);
            if is_full {
                self.waiting.push_back(batch.unit(core::mem::take(&mut full)));
                bytes = around;
            }
            bytes = bytes.saturating_add(size);
            full.push(item);
        }
        if self.is_all_read && !full.is_empty() {
            self.waiting.push_back(batch.unit(core::mem::take(&mut full)));
        }
        self.items = full;
    }

    fn ended(&mut self, unit: u64, outcome: Outcome, commands: &mut Vec<MapCommand>) {
        // A child that nobody waits for has been counted already.
        let Some(items) = self.running.remove(&unit) else { return };
        self.counts.running -= items;
        match outcome {
            Outcome::Succeeded { output } => {
                self.counts.succeeded += items;
                self.keep(unit, output, commands);
            }
            Outcome::Failed { .. } => self.counts.failed += items,
            Outcome::TimedOut { .. } => self.counts.timed_out += items,
            Outcome::Stopped { .. } => self.counts.aborted += items,
        }
        if self.status == MapStatus::Running && self.has_failed() {
            let cause = "The specified tolerated failure threshold was exceeded";
            let fault = Fault::new("States.ExceedToleratedFailureThreshold", cause);
            self.end(MapStatus::Failed, Err(fault), commands);
        }
    }

    fn keep(&mut self, unit: u64, output: Value, commands: &mut Vec<MapCommand>) {
        let Some(most) = self.output_bytes_max else { return };
        self.output_bytes = self.output_bytes.saturating_add(value::size(&output));
        if self.output_bytes > most {
            let cause = format!("The outputs of the children have more than {most} bytes as JSON");
            let fault = Fault::new("States.DataLimitExceeded", cause);
            return self.end(MapStatus::Failed, Err(fault), commands);
        }
        self.outputs.insert(unit, output);
    }

    /// Whether more failed than may. A share of the whole can be told once the whole is known.
    fn has_failed(&self) -> bool {
        let MapCounts { failed, timed_out, aborted, total, .. } = self.counts;
        let lost = failed + timed_out + aborted;
        let is_above =
            |points: u32| u128::from(lost) * 10_000 > u128::from(points) * u128::from(total);
        self.tolerated_count.is_some_and(|most| lost > most)
            || (self.is_all_read && self.tolerated_basis_points.is_some_and(is_above))
    }

    fn end(
        &mut self,
        status: MapStatus,
        result: Result<Option<Value>, Fault>,
        commands: &mut Vec<MapCommand>,
    ) {
        self.status = status;
        for (unit, items) in core::mem::take(&mut self.running) {
            self.counts.running -= items;
            self.counts.aborted += items;
            commands.push(MapCommand::StopChild { unit });
        }
        (self.waiting, self.items) = (VecDeque::new(), Vec::new());
        self.outputs = BTreeMap::new();
        commands.push(MapCommand::Finish(result));
    }

    /// Starts what may start, reads ahead as far as children may run, ends when all have.
    fn go_on(&mut self, commands: &mut Vec<MapCommand>) {
        if self.status != MapStatus::Running {
            return;
        }
        let concurrency = usize::try_from(self.concurrency).unwrap_or(usize::MAX);
        while self.running.len() < concurrency {
            let Some(Unit { input, items }) = self.waiting.pop_front() else { break };
            let unit = self.unit_next;
            self.unit_next += 1;
            self.running.insert(unit, items);
            self.counts.pending -= items;
            self.counts.running += items;
            commands.push(MapCommand::Start { unit, input, items });
        }
        if !self.is_all_read && !self.is_reading && self.waiting.len() < concurrency {
            self.is_reading = true;
            let count = READ_MAX.min(self.items_max - self.read);
            commands.push(MapCommand::Read { from: self.read, count });
        }
        if self.is_all_read && self.running.is_empty() && self.waiting.is_empty() {
            if self.has_failed() {
                let cause = "The specified tolerated failure threshold was exceeded";
                let fault = Fault::new("States.ExceedToleratedFailureThreshold", cause);
                return self.end(MapStatus::Failed, Err(fault), commands);
            }
            let outputs = core::mem::take(&mut self.outputs).into_values().collect();
            let kept = self.output_bytes_max.map(|_| Value::Array(outputs));
            self.end(MapStatus::Succeeded, Ok(kept), commands);
        }
    }
}

impl Batch {
    fn unit(&self, items: Vec<Value>) -> Unit {
        let count = u64::try_from(items.len()).unwrap_or(u64::MAX);
        let mut input = json!({"Items": items});
        if let Some(around) = &self.input {
            input["BatchInput"] = around.clone();
        }
        Unit { input, items: count }
    }
}
