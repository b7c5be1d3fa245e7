//! How many instances a pool's demand asks for: Little's law over a window, in whole numbers.
//!
//! ```text
//! load   = starts/s × mean time in an instance, over a whole WINDOW
//! law    = ⌈load ÷ slots⌉ + SLACK                    (without starts in the window: 0)
//! wanted = the largest law of the windows that ended within the last HOLD, each at most BURST above
//!          those before it; at most the limit, at least what is busy
//! ```
//! It is a function of what was counted and of the time, with no memory of what it said before: the same
//! facts give the same number, and a lower load has to last for the hold until it counts.

use stint_model::time::{Span, Timestamp};

/// What the load is looked at over, in pieces: the number changes at most once in each.
pub(crate) const WINDOW: Span = Span::from_secs(60);
/// One of them.
pub(crate) const PIECE: Span = Span::from_secs(10);
/// Pieces of a window, and of the time for which the largest number counts.
const IN_WINDOW: usize = 6;
const IN_HOLD: usize = 6;
/// The one of now, and all that some window needs.
const PIECES: usize = 1 + IN_WINDOW + IN_HOLD;
/// More than the law says, while there is load: arrivals are not evenly spaced.
const SLACK: u32 = 1;
/// By so many it grows in one piece (upstream's burst, §5.4).
const BURST: u32 = 300;

/// What was started and what ended in one piece of the window.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Piece {
    started: u64,
    ended: u64,
    /// Time that what ended spent in instances.
    spent_micros: u64,
}

impl Piece {
    fn plus(self, other: &Self) -> Self {
        Self {
            started: self.started.saturating_add(other.started),
            ended: self.ended.saturating_add(other.ended),
            spent_micros: self.spent_micros.saturating_add(other.spent_micros),
        }
    }
}

/// The demand for one pool.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Demand {
    /// The piece of now, then the whole ones, newest first.
    pieces: [Piece; PIECES],
    /// When the piece of now began.
    began_at: Timestamp,
    /// How long what ended last was in an instance, for windows in which nothing did.
    mean_micros: u64,
}

/// What bounds the number, and what is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Bounds {
    /// Leases one instance serves at once.
    pub(crate) slots: u32,
    /// Leases now.
    pub(crate) busy: u32,
    /// The most instances.
    pub(crate) most: Option<u32>,
}

/// The demand for one pool, or several, for people.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct DemandView {
    /// Starts in the last whole window, per thousand seconds.
    pub starts_per_1000s: u64,
    /// How many slots that keeps busy, in thousandths.
    pub load_milli: u64,
    /// How many instances that asks for.
    pub wanted: u32,
    /// How many there are.
    pub instances: u32,
}

impl DemandView {
    /// Of two pools together.
    #[must_use]
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            starts_per_1000s: self.starts_per_1000s.saturating_add(other.starts_per_1000s),
            load_milli: self.load_milli.saturating_add(other.load_milli),
            wanted: self.wanted.saturating_add(other.wanted),
            instances: self.instances.saturating_add(other.instances),
        }
    }
}

impl Demand {
    pub(crate) fn new() -> Self {
        Self { pieces: [Piece::default(); PIECES], began_at: Timestamp::ZERO, mean_micros: 0 }
    }

    /// Something was started.
    pub(crate) fn started(&mut self, now: Timestamp) {
        self.turn(now);
        self.pieces[0].started = self.pieces[0].started.saturating_add(1);
    }

    /// Something has ended that ran for so long.
    pub(crate) fn ended(&mut self, now: Timestamp, ran: Span) {
        self.turn(now);
        let piece = &mut self.pieces[0];
        piece.ended = piece.ended.saturating_add(1);
        piece.spent_micros = piece.spent_micros.saturating_add(ran.micros());
    }

    /// Begins the pieces that are due.
    fn turn(&mut self, now: Timestamp) {
        let due = now.since(self.began_at).micros() / PIECE.micros();
        let all = u64::try_from(PIECES).unwrap_or(u64::MAX);
        for _ in 0..due.min(all) {
            let whole = self.pieces[0];
            if let Some(mean) = whole.spent_micros.checked_div(whole.ended) {
                self.mean_micros = mean;
            }
            self.pieces.rotate_right(1);
            self.pieces[0] = Piece::default();
        }
        self.began_at = self.began_at + PIECE.times(due);
    }

    /// The window that ended so many pieces ago.
    fn window(&self, ago: usize) -> Piece {
        let pieces = &self.pieces[1 + ago..1 + ago + IN_WINDOW];
        pieces.iter().fold(Piece::default(), Piece::plus)
    }

    fn mean(&self, window: Piece) -> u64 {
        window.spent_micros.checked_div(window.ended).unwrap_or(self.mean_micros)
    }

    /// Slots that a window's load keeps busy, in thousandths: starts a second times seconds each.
    fn load_milli(&self, window: Piece) -> u64 {
        let spent = u128::from(window.started) * u128::from(self.mean(window));
        let milli = spent.saturating_mul(1_000).div_ceil(u128::from(WINDOW.micros()));
        u64::try_from(milli).unwrap_or(u64::MAX)
    }

    fn law(&self, ago: usize, slots: u32) -> u32 {
        let window = self.window(ago);
        if window.started == 0 {
            return 0;
        }
        let per_instance = u64::from(slots.max(1)) * 1_000;
        let count = self.load_milli(window).div_ceil(per_instance);
        u32::try_from(count).unwrap_or(u32::MAX).saturating_add(SLACK)
    }

    /// How many instances there should be.
    pub(crate) fn wanted(&self, now: Timestamp, bounds: Bounds) -> u32 {
        let mut at = self.clone();
        at.turn(now);
        // From the oldest on, each at most a burst above the largest before it.
        let laws = (0..=IN_HOLD).rev().map(|ago| at.law(ago, bounds.slots));
        let peak = laws.fold(0_u32, |peak, law| peak.max(law.min(peak.saturating_add(BURST))));
        let busy = bounds.busy.div_ceil(bounds.slots.max(1));
        peak.min(bounds.most.unwrap_or(u32::MAX)).max(busy)
    }

    pub(crate) fn view(&self, now: Timestamp, bounds: Bounds) -> DemandView {
        let mut at = self.clone();
        at.turn(now);
        let window = at.window(0);
        DemandView {
            starts_per_1000s: window.started.saturating_mul(1_000) / WINDOW.secs(),
            load_milli: at.load_milli(window),
            wanted: self.wanted(now, bounds),
            instances: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use std::vec::Vec;

    use super::*;

    const BEGAN: Timestamp = Timestamp::from_millis(1_000_000);

    fn at(millis: u64) -> Timestamp {
        BEGAN + Span::from_millis(millis)
    }

    fn bounds(slots: u32) -> Bounds {
        Bounds { slots, busy: 0, most: None }
    }

    /// Starts evenly spaced, each of the same length: what is wanted at the end of each piece.
    fn constant(every: u64, takes: u64, slots: u32, seconds: u64) -> Vec<u32> {
        let mut events: Vec<(u64, bool)> = Vec::new();
        for start in (0..seconds * 1_000).step_by(usize::try_from(every).unwrap()) {
            events.extend([(start, true), (start + takes, false)]);
        }
        events.sort_unstable();
        let mut demand = Demand::new();
        let mut wanted = Vec::new();
        let mut look = 10_000;
        for (time, starts) in events {
            while look <= time && look <= seconds * 1_000 {
                wanted.push(demand.wanted(at(look), bounds(slots)));
                look += 10_000;
            }
            if starts {
                demand.started(at(time));
            } else {
                demand.ended(at(time), Span::from_millis(takes));
            }
        }
        wanted
    }

    #[test]
    fn a_constant_load_is_what_littles_law_says() {
        // Ten a second, a third of a second each: 3.3 at once.
        assert_eq!(*constant(100, 330, 1, 200).last().unwrap(), 5);
        assert_eq!(*constant(100, 330, 2, 200).last().unwrap(), 3);
        assert_eq!(*constant(1_000, 5, 1, 200).last().unwrap(), 2);
        assert_eq!(*constant(50_000, 5, 1, 300).last().unwrap(), 2, "seldom is some load");
    }

    #[test]
    fn a_peak_counts_for_the_hold_and_then_no_more() {
        let mut demand = Demand::new();
        for n in 0..600 {
            demand.started(at(n * 100));
            demand.ended(at(n * 100), Span::from_millis(500));
        }
        let wanted = |seconds: u64| demand.wanted(at(seconds * 1_000), bounds(1));
        assert_eq!(wanted(60), 6);
        assert_eq!((wanted(100), wanted(119)), (6, 6));
        assert!(wanted(140) < 6 && wanted(140) > 0);
        assert_eq!(wanted(200), 0);
    }

    #[test]
    fn what_is_busy_is_wanted_however_long_it_takes() {
        let mut demand = Demand::new();
        demand.started(at(0));
        let busy = Bounds { slots: 2, busy: 5, most: None };
        assert_eq!(demand.wanted(at(3_600_000), busy), 3);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// It comes to the law and stays there: what changes is at most one arrival at a window's edge.
        #[test]
        fn a_constant_load_converges_and_does_not_swing(every in 40..2_000_u64, takes in 1..4_000_u64, slots in 1..8_u32) {
            let wanted = constant(every, takes, slots, 300);
            let law = takes.div_ceil(every * u64::from(slots)) + u64::from(SLACK);
            // One arrival more in a window is a load of so much more.
            let edge = (takes * 1_000 / 60_000).div_ceil(u64::from(slots) * 1_000) + 1;
            for count in &wanted[13..] {
                prop_assert!(u64::from(*count).abs_diff(law) <= edge, "{count} for {law}");
            }
            let (least, most) = (wanted[13..].iter().min().unwrap(), wanted[13..].iter().max().unwrap());
            prop_assert!(most - least <= 1, "{wanted:?}");
        }

        /// Whatever happens: within the limit but for what is busy, and at most a burst above what there was.
        #[test]
        fn it_stays_within_its_bounds(steps in proptest::collection::vec((0..30_000_u64, 0..500_u32, 0..9_000_u64, 0..40_u32), 1..40), most in 1..400_u32, slots in 1..4_u32) {
            let mut demand = Demand::new();
            let mut time = 0;
            for (later, starts, takes, busy) in steps {
                time += later;
                for _ in 0..starts {
                    demand.started(at(time));
                    demand.ended(at(time), Span::from_millis(takes));
                }
                let wanted = demand.wanted(at(time), Bounds { slots, busy, most: Some(most) });
                prop_assert!(wanted <= most.max(busy.div_ceil(slots)));
                prop_assert!(wanted >= busy.div_ceil(slots));
                let before = demand.wanted(at(time), Bounds { slots, busy: 0, most: None });
                let next = demand.wanted(at(time) + PIECE, Bounds { slots, busy: 0, most: None });
                prop_assert!(next <= before + BURST);
            }
        }

        /// Without anything it is zero, wherever it was, after a window and a hold.
        #[test]
        fn silence_ends_at_zero(starts in 1..3_000_u32, takes in 0..60_000_u64) {
            let mut demand = Demand::new();
            for _ in 0..starts {
                demand.started(at(0));
                demand.ended(at(1), Span::from_millis(takes));
            }
            prop_assert!(demand.wanted(at(10_000), bounds(1)) > 0);
            prop_assert_eq!(demand.wanted(at(131_000), bounds(1)), 0);
        }
    }
}
