//! How many interpreters of a kind wait: what follows from what was taken lately, a number and a sum
//! of memory. No process is touched here.

use std::collections::VecDeque;

use stint_model::time::{Span, Timestamp};
use stint_sandbox::Family;

use super::Kind;

/// What was taken within this time is expected to be taken again.
const DEMAND_OVER: Span = Span::from_secs(30);
/// How many of a kind wait when nobody has asked for any lately.
const AT_REST: usize = 2;
/// After a take nothing is made for so long, unless takes never cease: the taker is using the
/// processor.
const QUIET: Span = Span::from_millis(30);
/// After a failure nothing of that kind is made for so long, and after each further one in a row for
/// twice as long as before, up to the second figure. Somebody may just have killed the one that started.
const AFTER_FAILURE: Span = Span::from_secs(1);
const AFTER_FAILURES: Span = Span::from_secs(60);

/// What one that waits costs, rounded up.
fn memory_mb(family: Family) -> u32 {
    match family {
        Family::Python => 24,
        Family::Node => 64,
        Family::Java | Family::Bash => unreachable!("their shims poll, none of them waits"),
    }
}

/// What bounds them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) most: usize,
    pub(super) memory_mb: u32,
}

/// Those of one kind.
pub(super) struct Shelf<P> {
    kind: Kind,
    ready: VecDeque<P>,
    /// When some were asked for, lately.
    asked: VecDeque<Timestamp>,
    /// What could not be made since the last that could.
    failures: u32,
    not_before: Timestamp,
}

impl<P> Shelf<P> {
    pub(super) fn put(&mut self, made: Option<P>) {
        self.failures = 0;
        self.ready.extend(made);
    }

    pub(super) fn failed(&mut self, now: Timestamp) {
        let pause = AFTER_FAILURE.times(1 << self.failures.min(10));
        self.failures = self.failures.saturating_add(1);
        self.not_before = now + pause.min(AFTER_FAILURES);
    }

    /// A few, and as many more as were asked for lately.
    fn wanted(&self, plan: Plan) -> usize {
        (AT_REST + self.asked.len()).min(plan.most)
    }

    fn lack(&self, plan: Plan) -> usize {
        self.wanted(plan).saturating_sub(self.ready.len())
    }
}

/// All of them. Generic over what waits, so that the numbers can be tested without processes.
pub(super) struct Shelves<P> {
    plan: Plan,
    all: Vec<Shelf<P>>,
    quiet_until: Timestamp,
}

impl<P> Shelves<P> {
    pub(super) const fn new(plan: Plan) -> Self {
        Self { plan, all: Vec::new(), quiet_until: Timestamp::ZERO }
    }

    /// How many wait.
    pub(super) fn count(&self) -> usize {
        self.all.iter().map(|shelf| shelf.ready.len()).sum()
    }

    /// Lets go of those that `keeps` says no to, and says how many they were.
    pub(super) fn retain(&mut self, mut keeps: impl FnMut(&mut P) -> bool) -> usize {
        let before = self.count();
        for shelf in &mut self.all {
            shelf.ready.retain_mut(&mut keeps);
        }
        before - self.count()
    }

    pub(super) fn of(&mut self, kind: &Kind) -> &mut Shelf<P> {
        let at = self.all.iter().position(|shelf| shelf.kind == *kind).unwrap_or_else(|| {
            self.all.push(Shelf {
                kind: kind.clone(),
                ready: VecDeque::new(),
                asked: VecDeque::new(),
                failures: 0,
                not_before: Timestamp::ZERO,
            });
            self.all.len() - 1
        });
        &mut self.all[at]
    }

    pub(super) fn take(&mut self, kind: &Kind, now: Timestamp) -> Option<P> {
        let most = self.plan.most;
        let shelf = self.of(kind);
        shelf.asked.push_back(now);
        // More than that would not make more wait.
        while shelf.asked.len() > most {
            shelf.asked.pop_front();
        }
        let taken = shelf.ready.pop_front();
        if now >= self.quiet_until + QUIET {
            self.quiet_until = now + QUIET;
        }
        taken
    }

    /// Forgets demand that is too old, and gives up what waits for nobody.
    pub(super) fn forget(&mut self, now: Timestamp) -> Vec<P> {
        let mut given_up = Vec::new();
        for shelf in &mut self.all {
            while shelf.asked.front().is_some_and(|at| now.since(*at) >= DEMAND_OVER) {
                shelf.asked.pop_front();
            }
            while shelf.ready.len() > shelf.wanted(self.plan) {
                given_up.extend(shelf.ready.pop_front());
            }
        }
        given_up
    }

    /// What to make next: of the kind that lacks most, if the memory allows one more.
    pub(super) fn lacking(&self, now: Timestamp) -> Option<Kind> {
        if now < self.quiet_until {
            return None;
        }
        let held: u32 = self.all.iter().map(Self::held_mb).sum();
        let room = |shelf: &&Shelf<P>| {
            held + memory_mb(shelf.kind.interpreter.family) <= self.plan.memory_mb
        };
        let due = |shelf: &&Shelf<P>| now >= shelf.not_before && shelf.lack(self.plan) > 0;
        let able = self.all.iter().filter(due);
        // Of equals the first: those the node began with.
        let most = able.filter(room).rev().max_by_key(|shelf| shelf.lack(self.plan));
        most.map(|shelf| shelf.kind.clone())
    }

    fn held_mb(shelf: &Shelf<P>) -> u32 {
        let count = u32::try_from(shelf.ready.len()).unwrap_or(u32::MAX);
        count.saturating_mul(memory_mb(shelf.kind.interpreter.family))
    }

    /// When there may be something to do without anybody asking.
    pub(super) fn next_wake(&self, now: Timestamp) -> Option<Timestamp> {
        let demand = self.all.iter().filter_map(|shelf| shelf.asked.front());
        let demand = demand.map(|at| *at + DEMAND_OVER);
        let pauses = self.all.iter().map(|shelf| shelf.not_before).chain([self.quiet_until]);
        demand.chain(pauses).filter(|at| *at > now).min()
    }
}

#[cfg(test)]
mod tests {
    use stint_sandbox::{Interpreter, Network};

    use super::*;

    fn kind(path: &str, family: Family) -> Kind {
        let interpreter =
            Interpreter { family, path: path.into(), version: (3, 11, 0), binds: Vec::new() };
        Kind { interpreter, network: Network::Loopback }
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(1_000_000 + millis)
    }

    fn shelves(most: usize, memory_mb: u32) -> Shelves<u32> {
        Shelves::new(Plan { most, memory_mb })
    }

    /// Makes until nothing is lacking; how many of each wait then.
    fn fill(shelves: &mut Shelves<u32>, now: Timestamp) -> Vec<usize> {
        while let Some(kind) = shelves.lacking(now) {
            shelves.of(&kind).put(Some(0));
        }
        shelves.all.iter().map(|shelf| shelf.ready.len()).collect()
    }

    #[test]
    fn a_few_of_each_wait_and_more_when_they_are_asked_for() {
        let mut shelves = shelves(5, 1_000);
        let (python, node) = (kind("/p", Family::Python), kind("/n", Family::Node));
        shelves.of(&python);
        shelves.of(&node);
        assert_eq!(fill(&mut shelves, at(0)), [2, 2]);
        assert_eq!(shelves.take(&python, at(100)), Some(0));
        assert_eq!(shelves.take(&python, at(100)), Some(0));
        assert_eq!(shelves.take(&python, at(100)), None, "whoever finds none starts otherwise");
        assert_eq!(shelves.lacking(at(110)), None, "the takers use the processor");
        shelves.take(&python, at(125));
        assert!(shelves.lacking(at(131)).is_some(), "but not for ever");
        assert_eq!(fill(&mut shelves, at(150)), [5, 2], "never more than the bound");
        assert_eq!(shelves.forget(at(20_000)).len(), 0);
        assert_eq!(shelves.next_wake(at(20_000)), Some(at(30_100)));
        assert_eq!(shelves.forget(at(31_000)).len(), 3, "demand is over");
        assert_eq!(shelves.next_wake(at(31_000)), None, "nothing moves at rest");
    }

    #[test]
    fn what_fails_once_is_tried_again_soon_and_what_always_fails_seldom() {
        let mut shelves = shelves(5, 1_000);
        let python = kind("/p", Family::Python);
        shelves.of(&python).failed(at(0));
        assert_eq!(shelves.lacking(at(999)), None);
        assert_eq!(fill(&mut shelves, at(1_000)), [2]);
        let pauses = (0..9).map(|_| {
            let shelf = shelves.of(&python);
            shelf.failed(at(0));
            shelf.not_before.since(at(0)).secs()
        });
        assert_eq!(pauses.collect::<Vec<_>>(), [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    }

    #[test]
    fn the_memory_is_a_bound_and_none_means_none() {
        let mut shelves = shelves(8, 100);
        let (python, node) = (kind("/p", Family::Python), kind("/n", Family::Node));
        shelves.of(&python);
        shelves.of(&node);
        for _ in 0..8 {
            shelves.take(&python, at(0));
        }
        assert_eq!(fill(&mut shelves, at(100)), [4, 0]);
        let mut tiny = self::shelves(8, 0);
        tiny.of(&python);
        assert_eq!(fill(&mut tiny, at(0)), [0]);
        let mut off = self::shelves(0, 1_000);
        off.of(&python);
        assert_eq!(fill(&mut off, at(0)), [0]);
    }
}
