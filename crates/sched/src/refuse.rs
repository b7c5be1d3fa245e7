//! Why not: the cause that keeps work waiting, in words a console can show.

use stint_model::id::FunctionId;
use stint_model::limit::{Class, Priority, Resources};
use stint_model::time::{Span, Timestamp};

use crate::backlog::{Entry, Spot};
use crate::change::Work;
use crate::ladder::Ladder;
use crate::limits::Stop;
use crate::plan::{Planner, aged};
use crate::roster::Function;
use crate::scheduler::Scheduler;

/// What keeps work from starting.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cause {
    /// The backlog is paused.
    Paused,
    /// The function was deleted.
    FunctionGone,
    /// Something it depends on is not settled.
    HeldByDependency,
    /// Its time has not come.
    NotYetEligible {
        /// When it comes.
        at: Timestamp,
    },
    /// Its deadline is over: the next plans end it.
    Expired {
        /// When it was.
        at: Timestamp,
    },
    /// Other work with its order key is before it.
    OrderKeyBusy {
        /// Which.
        by: Work,
    },
    /// The account has used up its budget.
    AccountBudget {
        /// When it begins anew.
        until: Timestamp,
    },
    /// The account has its most leases.
    AccountConcurrency {
        /// How many.
        limit: u32,
    },
    /// The function has its most leases.
    FunctionConcurrency {
        /// How many.
        limit: u32,
    },
    /// The function has its most instances, and none has a free slot.
    InstancesMax {
        /// How many.
        limit: u32,
    },
    /// The account has its most instances, all busy or kept.
    AccountInstances {
        /// How many.
        limit: u32,
    },
    /// Only kept instances serve the function, and none has a free slot.
    OnlyKept {
        /// How many are kept.
        kept: u32,
    },
    /// The key has its most leases.
    KeyConcurrency {
        /// How many.
        limit: u32,
    },
    /// The account may not start more per second.
    AccountRate {
        /// When it may.
        next_at: Timestamp,
    },
    /// The function may not start more per second.
    FunctionRate {
        /// When it may.
        next_at: Timestamp,
    },
    /// The key may not start more per second.
    KeyRate {
        /// When it may.
        next_at: Timestamp,
    },
    /// Nothing serves its lane: the pool is not there.
    NoPool,
    /// No node is there.
    NoNode,
    /// No node could hold an instance even when empty.
    TooBigForAnyNode {
        /// What an instance takes.
        size: Resources,
    },
    /// Every node that could hold an instance is full.
    NodeFull {
        /// What lacks on the node that comes closest.
        missing: Resources,
    },
    /// Its turn has not come.
    BehindOthers {
        /// Its place in its function's backlog, from one.
        position: u64,
    },
    /// Nothing: the next plan starts it.
    Next,
}

/// A backlog that could not go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// Whose.
    pub function: FunctionId,
    /// Why.
    pub cause: Cause,
    /// How much work waits in the function, less what the same plan starts.
    pub count: u64,
}

/// Why one piece of work waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Explanation {
    /// What stands in its way first.
    pub cause: Cause,
    /// Its place in its function's backlog, from one; zero while it is not eligible.
    pub position: u64,
    /// When it will start if things go on as they did; unknown when nothing started lately.
    pub start_at: Option<Timestamp>,
}

/// How far ahead [`Scheduler::explain`] plans to see whose turn it is.
const LOOK_AHEAD: u32 = 256;

impl Scheduler {
    /// Why `work` waits; `None` when it does not wait here. The first of several causes is named:
    /// those of the work itself, then limits, then room, then turn.
    pub fn explain(&self, work: Work, now: Timestamp) -> Option<Explanation> {
        let entry = *self.backlog.entry(work)?;
        let id = self.backlog.lane(entry.lane)?.function;
        let function = self.functions.get(&id)?;
        let own = self.own_cause(id, &entry, now);
        let position = match own {
            Some(_) => 0,
            None => self.position(function, &entry, now),
        };
        let cause = own
            .or_else(|| self.limit_cause(id, function, &entry, now))
            .or_else(|| self.never_cause(&entry))
            .unwrap_or_else(|| self.turn_cause(&entry, position, now));
        let start_at = match cause {
            Cause::NotYetEligible { at } | Cause::AccountBudget { until: at } => Some(at),
            Cause::AccountRate { next_at }
            | Cause::FunctionRate { next_at }
            | Cause::KeyRate { next_at } => match position {
                0 | 1 => Some(next_at).filter(|at| *at < Timestamp::MAX),
                _ => function.pace.estimate(position - 1, next_at),
            },
            Cause::Next => Some(now),
            // Never, as long as the limit stays.
            Cause::AccountConcurrency { limit: 0 }
            | Cause::FunctionConcurrency { limit: 0 }
            | Cause::InstancesMax { limit: 0 }
            | Cause::AccountInstances { limit: 0 }
            | Cause::KeyConcurrency { limit: 0 } => None,
            Cause::AccountConcurrency { .. }
            | Cause::FunctionConcurrency { .. }
            | Cause::InstancesMax { .. }
            | Cause::AccountInstances { .. }
            | Cause::OnlyKept { .. }
            | Cause::KeyConcurrency { .. }
            | Cause::NodeFull { .. }
            | Cause::BehindOthers { .. } => function.pace.estimate(position, now),
            Cause::Paused
            | Cause::FunctionGone
            | Cause::HeldByDependency
            | Cause::Expired { .. }
            | Cause::OrderKeyBusy { .. }
            | Cause::NoPool
            | Cause::NoNode
            | Cause::TooBigForAnyNode { .. } => None,
        };
        Some(Explanation { cause, position, start_at })
    }

    /// What stands still a whole backlog, if something does: paused, or at a limit.
    pub fn backlog_cause(&self, id: FunctionId, now: Timestamp) -> Option<Cause> {
        let function = self.functions.get(&id)?;
        if function.paused {
            return Some(Cause::Paused);
        }
        self.function_cause(function, now)
    }

    fn own_cause(&self, id: FunctionId, entry: &Entry, now: Timestamp) -> Option<Cause> {
        if entry.deadline <= now {
            return Some(Cause::Expired { at: entry.deadline });
        }
        if entry.is_held() {
            return Some(Cause::HeldByDependency);
        }
        if entry.eligible_at > now {
            return Some(Cause::NotYetEligible { at: entry.eligible_at });
        }
        if !entry.is_behind() {
            return None;
        }
        let order = self.backlog.keys(entry).order?;
        self.backlog.line_blocker(id, order).map(|by| Cause::OrderKeyBusy { by })
    }

    fn limit_cause(
        &self,
        id: FunctionId,
        function: &Function,
        entry: &Entry,
        now: Timestamp,
    ) -> Option<Cause> {
        let key = || {
            let key = self.backlog.keys(entry).limit?;
            match self.keys.get(&(id, key))?.stop(0, now)? {
                Stop::Concurrency { limit } => Some(Cause::KeyConcurrency { limit }),
                Stop::Rate { next_at } => Some(Cause::KeyRate { next_at }),
            }
        };
        let paused = function.paused && entry.class() == Class::Batch;
        let paused = paused.then_some(Cause::Paused);
        paused.or_else(|| self.function_cause(function, now)).or_else(key)
    }

    fn function_cause(&self, function: &Function, now: Timestamp) -> Option<Cause> {
        if function.gone {
            return Some(Cause::FunctionGone);
        }
        if function.instances_max == Some(0) {
            return Some(Cause::InstancesMax { limit: 0 });
        }
        match function.limits.stop(0, now) {
            Some(Stop::Concurrency { limit }) => return Some(Cause::FunctionConcurrency { limit }),
            Some(Stop::Rate { next_at }) => return Some(Cause::FunctionRate { next_at }),
            None => {}
        }
        let account = self.accounts.get(&function.account)?;
        if account.shut_until > now {
            return Some(Cause::AccountBudget { until: account.shut_until });
        }
        match account.limits.stop(0, now)? {
            Stop::Concurrency { limit } => Some(Cause::AccountConcurrency { limit }),
            Stop::Rate { next_at } => Some(Cause::AccountRate { next_at }),
        }
    }

    /// What keeps it from ever starting on the nodes that are there.
    fn never_cause(&self, entry: &Entry) -> Option<Cause> {
        let lane = self.backlog.lane(entry.lane)?;
        let Some(pool) = self.floor.pool(lane.pool) else { return Some(Cause::NoPool) };
        if self.floor.nodes.is_empty() {
            return Some(Cause::NoNode);
        }
        if !pool.warm.is_empty() || self.floor.could_hold(pool.size) {
            return None;
        }
        Some(Cause::TooBigForAnyNode { size: pool.size })
    }

    /// Whether its turn has come, and then what room it lacks. A plan knows.
    fn turn_cause(&self, entry: &Entry, position: u64, now: Timestamp) -> Cause {
        let (plan, blocked) = Planner::new(self, now, LOOK_AHEAD).run();
        if plan.assignments.iter().any(|assignment| assignment.work == entry.work) {
            return Cause::Next;
        }
        match blocked.get(&entry.lane) {
            Some(cause) if position <= 1 => *cause,
            Some(_) | None => Cause::BehindOthers { position },
        }
    }

    /// The place of eligible work in its function's backlog, from one: online first, then by
    /// priority with age, then by eligible time and number. Work that waits for its key is not
    /// before anybody.
    fn position(&self, function: &Function, entry: &Entry, now: Timestamp) -> u64 {
        let mut before = 0;
        for lane in &function.lanes {
            for (class, priority, ladder) in self.backlog.ladders(*lane, now) {
                before += match (class, entry.class()) {
                    (Class::Batch, Class::Online) => 0,
                    (Class::Online, Class::Batch) => ladder.count_below(until(now)),
                    (Class::Online, Class::Online) | (Class::Batch, Class::Batch) => {
                        self.before(ladder, priority, entry, now)
                    }
                };
            }
        }
        before + 1
    }

    /// How many of a ladder of the same class come before `entry`.
    fn before(&self, ladder: &Ladder<Spot>, priority: usize, entry: &Entry, now: Timestamp) -> u64 {
        let aging = self.config.aging;
        let rank = aged(entry.priority(), now.since(entry.eligible_at), aging);
        // Of this ladder, what is eligible since then has at least that rank.
        let since = |rank: usize| match rank.checked_sub(priority) {
            None | Some(0) => Some(now),
            Some(_) if aging == Span::ZERO => None,
            Some(classes) => {
                let classes = u64::try_from(classes).expect("at most ten");
                Some(now - aging.times(classes))
            }
        };
        let higher = match since(rank + 1) {
            Some(at) if rank + 1 < Priority::COUNT => ladder.count_below(until(at)),
            Some(_) | None => 0,
        };
        let equal = since(rank).map_or(0, |at| ladder.count_below(until(at).min(entry.spot())));
        higher.max(equal)
    }
}

/// Above every spot that is eligible at `at`.
pub(crate) fn until(at: Timestamp) -> Spot {
    Spot { eligible_at: at, work: Work(u64::MAX) }
}
