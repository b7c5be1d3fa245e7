//! A node that exists only in the simulator: runs attempts for a drawn time with a drawn outcome,
//! loses, doubles and delays reports, and writes a diary that survives the process.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use stint_model::id::{InstanceId, NodeId, TaskUid};
use stint_model::limit::Resources;
use stint_model::link::{FromNode, Lease, Outcome, Start, StopReason, ToNode};
use stint_model::task::Measured;
use stint_model::time::{Span, Timestamp};
use stint_supervise::{Clock, Stop};
use tokio::sync::mpsc;

use crate::dice::Dice;

/// One run of user code, as the node saw it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ran {
    /// In which life of the process.
    pub life: u32,
    /// Which lease.
    pub lease: Lease,
    /// The function's name.
    pub function: String,
    /// When user code was entered.
    pub from: Timestamp,
    /// When it was left; `MAX` if the process died first.
    pub until: Timestamp,
}

/// What nodes wrote down, over all lives.
#[derive(Clone, Debug, Default)]
pub struct Diary(Arc<Mutex<Vec<Ran>>>);

impl Diary {
    /// Every run so far.
    pub fn runs(&self) -> Vec<Ran> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn enter(&self, ran: Ran) -> usize {
        let mut runs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        runs.push(ran);
        runs.len() - 1
    }

    fn leave(&self, index: usize, at: Timestamp) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)[index].until = at;
    }

    /// The process died: what ran then ran until now.
    pub fn cut(&self, at: Timestamp) {
        for ran in self.0.lock().unwrap_or_else(PoisonError::into_inner).iter_mut() {
            ran.until = ran.until.min(at);
        }
    }
}

/// How unreliable a node is, in percent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// An end is reported twice.
    pub doubled: u64,
    /// An end is reported late.
    pub late: u64,
    /// An attempt is refused for want of room.
    pub refused: u64,
    /// User code fails.
    pub failing: u64,
}

/// A simulated node.
pub struct SimNode {
    /// Which life of the process it belongs to.
    pub life: u32,
    /// The simulated clock.
    pub clock: Clock,
    /// Where it writes what it saw.
    pub diary: Diary,
    /// How it misbehaves.
    pub faults: Faults,
    /// Its own throws.
    pub dice: Dice,
    /// To the engine.
    pub outbox: mpsc::Sender<FromNode>,
}

impl std::fmt::Debug for SimNode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SimNode").field("life", &self.life).finish_non_exhaustive()
    }
}

struct Busy {
    start: Box<Start>,
    from: Timestamp,
    diary: usize,
    outcome: Outcome,
}

/// What happens on the node at a time; the count keeps equal times apart.
type Agenda = BTreeMap<(Timestamp, u64), Item>;

enum Item {
    End(Lease),
    Say(Box<FromNode>),
}

const NODE: NodeId = NodeId(1);

impl SimNode {
    /// Runs until the process dies.
    pub async fn run(mut self, capacity: Resources, mut inbox: mpsc::Receiver<ToNode>, stop: Stop) {
        let hello = FromNode::Hello { node: NODE, capacity, runtimes: BTreeMap::new() };
        self.say(hello).await;
        let mut busy: BTreeMap<Lease, Busy> = BTreeMap::new();
        let mut agenda = Agenda::new();
        let mut live: BTreeMap<u32, u32> = BTreeMap::new();
        let mut count = 0;
        while !stop.is_stopped() {
            let next = agenda.first_key_value().map_or(Timestamp::MAX, |((at, _), _)| *at);
            let clock = self.clock.clone();
            tokio::select! {
                biased;
                // A sleep loses nothing.
                () = clock.sleep_until(next), if next < Timestamp::MAX => {
                    let ((_, _), item) = agenda.pop_first().expect("just seen");
                    match item {
                        Item::Say(report) => self.say(*report).await,
                        Item::End(lease) => {
                            if let Some(done) = busy.remove(&lease) {
                                count += 1;
                                self.end(done, &mut agenda, count).await;
                            }
                        }
                    }
                }
                // Receiving takes nothing when it is dropped.
                message = inbox.recv() => {
                    let Some(message) = message else { return };
                    count += 1;
                    self.hear(message, (&mut busy, &mut agenda, &mut live), count).await;
                }
            }
        }
    }

    async fn hear(
        &mut self,
        message: ToNode,
        (busy, agenda, live): (&mut BTreeMap<Lease, Busy>, &mut Agenda, &mut BTreeMap<u32, u32>),
        count: u64,
    ) {
        match message {
            ToNode::Start(start) => {
                if self.dice.percent(self.faults.refused) {
                    let outcome = Outcome::Refused { reason: "drawn".to_owned() };
                    return self.finish(start.lease, outcome, Measured::default()).await;
                }
                if !start.warm {
                    *live.entry(start.spec.pool).or_default() += 1;
                    self.pool(start.spec.pool, live).await;
                }
                let from = self.clock.now();
                let lasts = Span::from_millis(1 + self.dice.below(2_000));
                let outcome = self.draw_outcome();
                let diary = self.diary.enter(Ran {
                    life: self.life,
                    lease: start.lease,
                    function: start.spec.function_name.to_string(),
                    from,
                    until: Timestamp::MAX,
                });
                let measured = measured(from, Timestamp::ZERO);
                self.say(FromNode::Started { lease: start.lease, measured }).await;
                agenda.insert((from + lasts, count), Item::End(start.lease));
                busy.insert(start.lease, Busy { start, from, diary, outcome });
            }
            ToNode::Stop { lease, reason, .. } => {
                if let Some(mut stopped) = busy.remove(&lease) {
                    stopped.outcome = Outcome::Stopped(reason);
                    self.end(stopped, agenda, count).await;
                }
            }
            ToNode::Keep { spec, count, .. } => {
                let here = live.entry(spec.pool).or_default();
                *here = (*here).max(count);
                self.pool(spec.pool, live).await;
            }
            ToNode::Evict { pool, count } => {
                let left = live.entry(pool).or_default();
                *left = left.saturating_sub(count);
                self.pool(pool, live).await;
            }
            ToNode::Retire { pool } => {
                let used: BTreeSet<u32> = busy.values().map(|b| b.start.spec.pool).collect();
                if !used.contains(&pool) {
                    live.insert(pool, 0);
                    self.pool(pool, live).await;
                }
            }
            ToNode::Fence { shard, epoch } => {
                let old: Vec<Lease> = busy
                    .keys()
                    .filter(|lease| lease.shard == shard && lease.epoch < epoch)
                    .copied()
                    .collect();
                for lease in old {
                    let mut stopped = busy.remove(&lease).expect("just seen");
                    stopped.outcome = Outcome::Stopped(StopReason::Deposed);
                    self.end(stopped, agenda, count).await;
                }
            }
            // Nothing here runs an image.
            ToNode::Prepare(_)
            | ToNode::StopInstance { .. }
            | ToNode::Exec { .. }
            | ToNode::Session(_)
            | ToNode::Drain { .. } => {}
        }
    }

    async fn pool(&mut self, pool: u32, live: &BTreeMap<u32, u32>) {
        let live = live.get(&pool).copied().unwrap_or(0);
        self.say(FromNode::Pool { node: NODE, pool, live, starting: 0 }).await;
    }

    fn draw_outcome(&mut self) -> Outcome {
        if self.dice.percent(self.faults.failing) {
            return Outcome::UserError {
                class: "UnhandledInvocationError".to_owned(),
                kind: "Drawn".to_owned(),
                message: "drawn".to_owned(),
            };
        }
        Outcome::Ok
    }

    async fn end(&mut self, done: Busy, agenda: &mut Agenda, count: u64) {
        let now = self.clock.now();
        self.diary.leave(done.diary, now);
        let measured = measured(done.from, now);
        let report = |outcome| FromNode::Finished {
            lease: done.start.lease,
            outcome,
            body: Bytes::from_static(b"{}"),
            measured: measured.clone(),
            log_tail: Bytes::new(),
        };
        if self.dice.percent(self.faults.doubled) {
            let again = now + Span::from_millis(self.dice.below(500));
            agenda.insert((again, count), Item::Say(Box::new(report(done.outcome.clone()))));
        }
        if self.dice.percent(self.faults.late) {
            let later = now + Span::from_millis(self.dice.below(3_000));
            let say = Item::Say(Box::new(report(done.outcome)));
            agenda.insert((later, u64::MAX - count), say);
            return;
        }
        self.say(report(done.outcome)).await;
    }

    async fn finish(&mut self, lease: Lease, outcome: Outcome, measured: Measured) {
        let (body, log_tail) = (Bytes::new(), Bytes::new());
        self.say(FromNode::Finished { lease, outcome, body, measured, log_tail }).await;
    }

    async fn say(&mut self, report: FromNode) {
        // A closed pump means that the process is dying.
        drop(self.outbox.send(report).await);
    }
}

fn measured(from: Timestamp, until: Timestamp) -> Measured {
    Measured {
        instance: Some(InstanceId(1)),
        placed_at: from,
        started_at: from,
        ended_at: until,
        ..Measured::default()
    }
}

/// The task behind a lease; `None` for sync calls.
pub fn task_of(lease: &Lease) -> Option<TaskUid> {
    (lease.work >> 63 == 0).then(|| TaskUid::from_number(lease.work))
}
