//! Queues: what waits, in which order.
//!
//! Every entry lives in one ladder, by work number. What could start also stands in a queue: one
//! per lane and limit key, with a ladder per class and priority, first by eligible time, then by
//! work number. The front of each queue is known to its lane as a [`Head`], so that a key at its
//! limit hides nobody else. Held entries, and entries behind their order key, stand in no queue.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use hashbrown::HashMap;
use stint_model::id::FunctionId;
use stint_model::limit::{Class, Priority};
use stint_model::time::Timestamp;

use crate::change::{Lane, Pool, Work};
use crate::deadlines::Deadlines;
use crate::fair::{CLASSES, PerClass, class_index};
use crate::ladder::{Ladder, Rung};

/// What waits in one function.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct BacklogView {
    /// Everything that waits.
    pub waiting: u64,
    /// Of class online, among what stands in a queue.
    pub online: u64,
    /// Of class batch, likewise.
    pub batch: u64,
    /// By priority, both classes, likewise.
    pub by_priority: [u64; Priority::COUNT],
    /// Whose dependencies are not met.
    pub held: u64,
    /// In a queue, but not yet eligible at the last time the scheduler was told.
    pub delayed: u64,
    /// Behind other work with the same order key.
    pub ordered: u64,
    /// The earliest eligible time in the queues.
    pub oldest: Option<Timestamp>,
    /// Live leases.
    pub running: u32,
}

/// Since ever.
pub(crate) const ALWAYS: Timestamp = Timestamp::from_micros(i64::MIN);

/// Marks of an entry. An entry without `HELD` and `BEHIND` stands in a queue.
const HELD: u8 = 1;
const BEHIND: u8 = 2;
const KEYED: u8 = 4;
const HIDDEN: u8 = HELD | BEHIND;

/// One waiting piece of work, kept small: there may be ten million.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) work: Work,
    pub(crate) eligible_at: Timestamp,
    /// [`Timestamp::MAX`] for none.
    pub(crate) deadline: Timestamp,
    pub(crate) lane: Lane,
    class: u8,
    priority: u8,
    marks: u8,
}

impl Rung for Entry {
    type Key = Work;
    fn key(&self) -> Work {
        self.work
    }
}

impl Entry {
    pub(crate) fn new(work: Work, lane: Lane, class: Class, priority: Priority) -> Self {
        Self {
            work,
            eligible_at: Timestamp::ZERO,
            deadline: Timestamp::MAX,
            lane,
            class: u8::from(class == Class::Batch),
            priority: priority.value(),
            marks: 0,
        }
    }

    pub(crate) fn class(&self) -> Class {
        CLASSES[usize::from(self.class)]
    }

    pub(crate) fn priority(&self) -> usize {
        usize::from(self.priority)
    }

    pub(crate) fn is_held(&self) -> bool {
        self.marks & HELD != 0
    }

    pub(crate) fn is_behind(&self) -> bool {
        self.marks & BEHIND != 0
    }

    /// Whether it says the same, whatever became of it since.
    pub(crate) fn says(&self, other: &Self) -> bool {
        let all = |entry: &Self| {
            (entry.eligible_at, entry.deadline, entry.lane, entry.class, entry.priority)
        };
        all(self) == all(other)
    }

    fn is_queued(&self) -> bool {
        self.marks & HIDDEN == 0
    }

    pub(crate) fn spot(&self) -> Spot {
        Spot { eligible_at: self.eligible_at, work: self.work }
    }
}

/// The keys of an entry that has some; most have none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Keys {
    pub(crate) order: Option<u64>,
    pub(crate) limit: Option<u64>,
}

/// A place in a queue.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Spot {
    pub(crate) eligible_at: Timestamp,
    pub(crate) work: Work,
}

impl Rung for Spot {
    type Key = Self;
    fn key(&self) -> Self {
        *self
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct QueueIndex(u32);

/// The front of a queue: when its key lets it start, and who it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Head {
    pub(crate) ready_at: Timestamp,
    pub(crate) spot: Spot,
    pub(crate) queue: QueueIndex,
}

pub(crate) type Heads = BTreeSet<Head>;

#[derive(Debug)]
pub(crate) struct LaneState {
    pub(crate) function: FunctionId,
    pub(crate) pool: Pool,
    heads: PerClass<[Heads; Priority::COUNT]>,
    /// The queue of work without a limit key.
    main: Option<QueueIndex>,
    /// Queues of limit keys.
    keyed: BTreeMap<u64, QueueIndex>,
    // Counts of entries; they change in `Backlog::count` only.
    pub(crate) waiting: u64,
    held: u64,
    behind: u64,
}

#[derive(Debug)]
struct Queue {
    lane: Lane,
    limit_key: Option<u64>,
    /// When the limits of its key let one more start.
    open_at: Timestamp,
    ladders: PerClass<[Ladder<Spot>; Priority::COUNT]>,
}

impl Queue {
    fn head(&self, index: QueueIndex, class: usize, priority: usize) -> Option<Head> {
        let spot = self.ladders[class][priority].first()?;
        let ready_at = spot.eligible_at.max(self.open_at);
        (ready_at < Timestamp::MAX).then_some(Head { ready_at, spot, queue: index })
    }

    fn is_empty(&self) -> bool {
        self.ladders.iter().flatten().all(Ladder::is_empty)
    }
}

/// Work of one function with one order key.
#[derive(Debug, Default)]
struct Line {
    running: BTreeSet<Work>,
    waiting: BTreeSet<Work>,
    /// The one that is not behind.
    front: Option<Work>,
}

type LineKey = (FunctionId, u64);

/// Everything that waits.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    entries: Ladder<Entry>,
    pub(crate) deadlines: Deadlines,
    keys: HashMap<Work, Keys>,
    lanes: HashMap<Lane, LaneState>,
    queues: Vec<Option<Queue>>,
    free: Vec<QueueIndex>,
    lines: HashMap<LineKey, Line>,
    /// When the limits of a key let one more start; nothing for keys that are open.
    gates: HashMap<(FunctionId, u64), Timestamp>,
}

impl Backlog {
    pub(crate) fn len(&self) -> u64 {
        self.entries.len()
    }

    pub(crate) fn entry(&self, work: Work) -> Option<&Entry> {
        self.entries.get(work)
    }

    pub(crate) fn keys(&self, entry: &Entry) -> Keys {
        if entry.marks & KEYED == 0 {
            return Keys::default();
        }
        self.keys.get(&entry.work).copied().unwrap_or_default()
    }

    pub(crate) fn lane(&self, lane: Lane) -> Option<&LaneState> {
        self.lanes.get(&lane)
    }

    /// Sets a lane or moves it to another pool; a lane never changes its function.
    pub(crate) fn set_lane(&mut self, lane: Lane, function: FunctionId, pool: Pool) -> bool {
        let state = self.lanes.entry(lane).or_insert_with(|| LaneState {
            function,
            pool,
            heads: Default::default(),
            main: None,
            keyed: BTreeMap::new(),
            waiting: 0,
            held: 0,
            behind: 0,
        });
        let same = state.function == function;
        if same {
            state.pool = pool;
        }
        same
    }

    pub(crate) fn drop_lane(&mut self, lane: Lane) {
        if let Some(state) = self.lanes.remove(&lane)
            && let Some(main) = state.main
        {
            self.queues[slot(main)] = None;
            self.free.push(main);
        }
    }

    /// Adds an entry whose lane is known and whose number is not.
    pub(crate) fn put(&mut self, mut entry: Entry, keys: Keys) {
        let function = self.lanes[&entry.lane].function;
        if keys != Keys::default() {
            entry.marks |= KEYED;
            self.keys.insert(entry.work, keys);
        }
        if keys.order.is_some() {
            entry.marks |= BEHIND;
        }
        self.entries.insert(entry);
        self.deadlines.add(&entry);
        self.count(&entry, 1);
        if entry.is_queued() {
            self.enqueue(&entry, keys);
        }
        if let Some(order) = keys.order {
            let line = (function, order);
            self.lines.entry(line).or_default().waiting.insert(entry.work);
            self.settle_line(line);
        }
    }

    /// Removes an entry.
    pub(crate) fn take(&mut self, work: Work) -> Option<(Entry, Keys)> {
        let entry = *self.entries.get(work)?;
        let keys = self.keys(&entry);
        let function = self.lanes[&entry.lane].function;
        if entry.is_queued() {
            self.dequeue(&entry, keys);
        }
        self.count(&entry, -1);
        self.entries.remove(work);
        self.deadlines.remove(&entry);
        if entry.marks & KEYED != 0 {
            self.keys.remove(&work);
        }
        if let Some(order) = keys.order {
            let line = (function, order);
            let state = self.lines.get_mut(&line).expect("an ordered entry has its line");
            state.waiting.remove(&work);
            if state.front == Some(work) {
                state.front = None;
            }
            self.settle_line(line);
        }
        Some((entry, keys))
    }

    /// Holds or releases an entry. Whether it was known and something changed.
    pub(crate) fn set_held(&mut self, work: Work, held: bool) -> bool {
        self.mark(work, HELD, held)
    }

    /// Sets the time after which an entry is too old.
    pub(crate) fn set_deadline(&mut self, work: Work, deadline: Timestamp) {
        let Some(entry) = self.entries.get_mut(work) else { return };
        self.deadlines.remove(entry);
        entry.deadline = deadline;
        self.deadlines.add(entry);
    }

    /// Ordered work runs: its line stands still.
    pub(crate) fn line_started(&mut self, function: FunctionId, order: u64, work: Work) {
        let line = (function, order);
        self.lines.entry(line).or_default().running.insert(work);
        self.settle_line(line);
    }

    pub(crate) fn line_ended(&mut self, function: FunctionId, order: u64, work: Work) {
        let line = (function, order);
        if let Some(state) = self.lines.get_mut(&line) {
            state.running.remove(&work);
            self.settle_line(line);
        }
    }

    /// Who stands before `work` in its line.
    pub(crate) fn line_blocker(&self, function: FunctionId, order: u64) -> Option<Work> {
        let line = self.lines.get(&(function, order))?;
        line.running.first().or_else(|| line.waiting.first()).copied()
    }

    /// The limits of a key let its work, which waits in `lanes`, start from `open_at` on.
    pub(crate) fn set_gate(
        &mut self,
        (function, key): (FunctionId, u64),
        lanes: &[Lane],
        open_at: Timestamp,
    ) {
        if open_at == ALWAYS {
            self.gates.remove(&(function, key));
        } else {
            self.gates.insert((function, key), open_at);
        }
        for lane in lanes {
            self.set_open_at(*lane, key, open_at);
        }
    }

    /// Forgets the gates of a function that is gone.
    pub(crate) fn drop_gates(&mut self, function: FunctionId) {
        self.gates.retain(|(owner, _), _| *owner != function);
    }

    fn set_open_at(&mut self, lane: Lane, limit_key: u64, open_at: Timestamp) {
        let Some(state) = self.lanes.get_mut(&lane) else { return };
        let Some(&index) = state.keyed.get(&limit_key) else { return };
        let queue = self.queues[slot(index)].as_mut().expect("a lane's queues are there");
        if queue.open_at == open_at {
            return;
        }
        for class in 0..CLASSES.len() {
            for priority in 0..Priority::COUNT {
                if let Some(head) = queue.head(index, class, priority) {
                    state.heads[class][priority].remove(&head);
                }
            }
        }
        queue.open_at = open_at;
        for class in 0..CLASSES.len() {
            for priority in 0..Priority::COUNT {
                if let Some(head) = queue.head(index, class, priority) {
                    state.heads[class][priority].insert(head);
                }
            }
        }
    }

    /// The fronts of a lane's queues, in the order in which they may start.
    pub(crate) fn heads(&self, lane: Lane, class: usize) -> Option<&[Heads; Priority::COUNT]> {
        self.lanes.get(&lane).map(|state| &state.heads[class])
    }

    /// When the first of a lane may start; [`Timestamp::MAX`] for "not before something changes".
    pub(crate) fn ready_at(&self, lane: Lane, class: usize) -> Timestamp {
        let heads = self.lanes.get(&lane).map(|state| state.heads[class].iter());
        let firsts = heads.into_iter().flatten().filter_map(BTreeSet::first);
        firsts.map(|head| head.ready_at).min().unwrap_or(Timestamp::MAX)
    }

    /// Who follows `head` in its queue.
    pub(crate) fn after(&self, head: Head, class: usize, priority: usize) -> Option<Head> {
        let queue = self.queues[slot(head.queue)].as_ref()?;
        let spot = queue.ladders[class][priority].after(head.spot)?;
        Some(Head { ready_at: spot.eligible_at.max(queue.open_at), spot, queue: head.queue })
    }

    /// The limit keys whose work stands in a lane's queues.
    pub(crate) fn limit_keys(&self, lane: Lane) -> impl Iterator<Item = u64> {
        self.lanes.get(&lane).into_iter().flat_map(|state| state.keyed.keys().copied())
    }

    /// The limit key of a queue.
    pub(crate) fn limit_key(&self, queue: QueueIndex) -> Option<u64> {
        self.queues[slot(queue)].as_ref().and_then(|queue| queue.limit_key)
    }

    /// The ladders of a lane that are open at `now`: class, priority and ladder.
    pub(crate) fn ladders(
        &self,
        lane: Lane,
        now: Timestamp,
    ) -> impl Iterator<Item = (Class, usize, &Ladder<Spot>)> {
        let state = self.lanes.get(&lane);
        let queues =
            state.into_iter().flat_map(|state| state.main.iter().chain(state.keyed.values()));
        queues
            .filter_map(|index| self.queues[slot(*index)].as_ref())
            .filter(move |queue| queue.open_at <= now)
            .flat_map(|queue| CLASSES.into_iter().zip(&queue.ladders))
            .flat_map(|(class, ladders)| {
                ladders.iter().enumerate().map(move |(priority, ladder)| (class, priority, ladder))
            })
            .filter(|(_, _, ladder)| !ladder.is_empty())
    }

    /// Adds what waits in a lane to a view.
    pub(crate) fn view(&self, lane: Lane, now: Timestamp, view: &mut BacklogView) {
        let Some(state) = self.lanes.get(&lane) else { return };
        view.waiting += state.waiting;
        view.held += state.held;
        view.ordered += state.behind;
        let not_yet = Spot { eligible_at: now, work: Work(u64::MAX) };
        for (class, priority, ladder) in self.ladders(lane, Timestamp::MAX) {
            match class {
                Class::Online => view.online += ladder.len(),
                Class::Batch => view.batch += ladder.len(),
            }
            view.by_priority[priority] += ladder.len();
            view.delayed += ladder.count_from(not_yet);
            let first = ladder.first().map(|spot| spot.eligible_at);
            view.oldest = match (view.oldest, first) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
        }
    }

    fn count(&mut self, entry: &Entry, by: i64) {
        let lane = self.lanes.get_mut(&entry.lane).expect("an entry's lane is there");
        let add = |count: &mut u64| {
            *count = count.checked_add_signed(by).expect("what leaves has come");
        };
        add(&mut lane.waiting);
        if entry.is_held() {
            add(&mut lane.held);
        } else if entry.is_behind() {
            add(&mut lane.behind);
        }
    }

    fn mark(&mut self, work: Work, mark: u8, on: bool) -> bool {
        let Some(entry) = self.entries.get_mut(work) else { return false };
        let before = *entry;
        entry.marks = if on { before.marks | mark } else { before.marks & !mark };
        let after = *entry;
        if after.marks == before.marks {
            return false;
        }
        self.count(&before, -1);
        self.count(&after, 1);
        let keys = self.keys(&after);
        match (before.is_queued(), after.is_queued()) {
            (true, false) => self.dequeue(&before, keys),
            (false, true) => self.enqueue(&after, keys),
            (true, true) | (false, false) => {}
        }
        true
    }

    /// Lets the first of a line that does not run stand in its queue, and nobody else.
    fn settle_line(&mut self, line: LineKey) {
        let Some(state) = self.lines.get_mut(&line) else { return };
        let front = if state.running.is_empty() { state.waiting.first().copied() } else { None };
        let old = core::mem::replace(&mut state.front, front);
        if state.running.is_empty() && state.waiting.is_empty() {
            self.lines.remove(&line);
        }
        if old != front {
            if let Some(old) = old {
                self.mark(old, BEHIND, true);
            }
            if let Some(front) = front {
                self.mark(front, BEHIND, false);
            }
        }
    }

    fn enqueue(&mut self, entry: &Entry, keys: Keys) {
        let index = self.queue_of(entry.lane, keys.limit);
        self.change_queue(index, entry, |ladder, spot| ladder.insert(spot));
    }

    fn dequeue(&mut self, entry: &Entry, keys: Keys) {
        let index = self.queue_of(entry.lane, keys.limit);
        self.change_queue(index, entry, |ladder, spot| {
            ladder.remove(spot).expect("a queued entry stands in its queue");
        });
        let Some(limit_key) = keys.limit else { return };
        if self.queues[slot(index)].as_ref().is_some_and(Queue::is_empty) {
            self.queues[slot(index)] = None;
            self.free.push(index);
            self.lanes.get_mut(&entry.lane).expect("seen above").keyed.remove(&limit_key);
        }
    }

    fn change_queue(
        &mut self,
        index: QueueIndex,
        entry: &Entry,
        change: impl FnOnce(&mut Ladder<Spot>, Spot),
    ) {
        let (class, priority) = (class_index(entry.class()), entry.priority());
        let queue = self.queues[slot(index)].as_mut().expect("made by queue_of");
        let before = queue.head(index, class, priority);
        change(&mut queue.ladders[class][priority], entry.spot());
        let after = queue.head(index, class, priority);
        if before != after {
            let lane = self.lanes.get_mut(&queue.lane).expect("a queue's lane is there");
            let heads = &mut lane.heads[class][priority];
            if let Some(before) = before {
                heads.remove(&before);
            }
            if let Some(after) = after {
                heads.insert(after);
            }
        }
    }

    fn queue_of(&mut self, lane: Lane, limit_key: Option<u64>) -> QueueIndex {
        let state = self.lanes.get_mut(&lane).expect("an entry's lane is there");
        let known = match limit_key {
            None => state.main,
            Some(key) => state.keyed.get(&key).copied(),
        };
        if let Some(index) = known {
            return index;
        }
        let gate = limit_key.and_then(|key| self.gates.get(&(state.function, key)));
        let open_at = gate.copied().unwrap_or(ALWAYS);
        let queue = Queue { lane, limit_key, open_at, ladders: Default::default() };
        let index = if let Some(index) = self.free.pop() {
            self.queues[slot(index)] = Some(queue);
            index
        } else {
            self.queues.push(Some(queue));
            QueueIndex(u32::try_from(self.queues.len() - 1).expect("fewer queues than 2^32"))
        };
        match limit_key {
            None => state.main = Some(index),
            Some(key) => {
                state.keyed.insert(key, index);
            }
        }
        index
    }

    /// Counts everything again.
    #[cfg(test)]
    pub(crate) fn check(&self) {
        let mut lanes: HashMap<Lane, (u64, u64, u64, u64)> = HashMap::new();
        let timed = self.entries.iter().filter(|entry| entry.deadline < Timestamp::MAX).count();
        assert_eq!(self.deadlines.len(), u64::try_from(timed).expect("a count"));
        for entry in self.entries.iter() {
            assert!(self.deadlines.has(entry));
            let counts = lanes.entry(entry.lane).or_default();
            counts.0 += 1;
            counts.1 += u64::from(entry.is_held());
            counts.2 += u64::from(!entry.is_held() && entry.is_behind());
            counts.3 += u64::from(entry.is_queued());
        }
        for (id, lane) in &self.lanes {
            let counts = lanes.get(id).copied().unwrap_or_default();
            assert_eq!((lane.waiting, lane.held, lane.behind), (counts.0, counts.1, counts.2));
            let queued: u64 = self.ladders(*id, Timestamp::MAX).map(|(_, _, l)| l.len()).sum();
            assert_eq!(queued, counts.3);
            for (class, by_priority) in lane.heads.iter().enumerate() {
                for (priority, heads) in by_priority.iter().enumerate() {
                    for head in heads {
                        let queue = self.queues[slot(head.queue)].as_ref().expect("a live queue");
                        assert_eq!(queue.head(head.queue, class, priority), Some(*head));
                    }
                }
            }
        }
        for line in self.lines.values() {
            assert!(!(line.running.is_empty() && line.waiting.is_empty()));
        }
    }
}

fn slot(index: QueueIndex) -> usize {
    usize::try_from(index.0).expect("an index fits in memory")
}
