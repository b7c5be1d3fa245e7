//! What an instance is charged: time with something to do, time without, and how much it did. Pure.

use stint_model::time::{Span, Timestamp};

/// Sums since they were last taken.
#[derive(Debug)]
pub(super) struct Tally {
    /// Up to when time has been added up.
    since: Timestamp,
    /// Requests inside: several at once are charged once.
    inside: u32,
    taken_at: Timestamp,
    sums: Sums,
}

/// See [`Tally`].
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Sums {
    pub(super) active: Span,
    pub(super) idle: Span,
    pub(super) invocations: u32,
    pub(super) cpu_micros: u64,
}

/// An idle instance speaks so much more seldom.
const IDLE_TIMES: u64 = 60;

/// Whether an ended request counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Counted {
    Yes,
    /// The platform failed it.
    No,
}

impl Tally {
    pub(super) fn new(now: Timestamp) -> Self {
        Self { since: now, inside: 0, taken_at: now, sums: Sums::default() }
    }

    pub(super) fn begin(&mut self, now: Timestamp) {
        self.advance(now);
        self.inside += 1;
    }

    pub(super) fn end(&mut self, now: Timestamp, counted: Counted, cpu_micros: u64) {
        self.advance(now);
        self.inside = self.inside.saturating_sub(1);
        self.sums.cpu_micros = self.sums.cpu_micros.saturating_add(cpu_micros);
        if counted == Counted::Yes {
            self.sums.invocations += 1;
        }
    }

    /// The initializer ran before the first request.
    pub(super) fn hook(&mut self, ran: Span) {
        self.sums.active = self.sums.active + ran;
    }

    /// When the sums should be told at the latest; an idle instance is in no hurry.
    pub(super) fn due_at(&self, every: Span) -> Timestamp {
        let something =
            self.inside > 0 || self.sums.active > Span::ZERO || self.sums.invocations > 0;
        self.taken_at + if something { every } else { every.times(IDLE_TIMES) }
    }

    /// Takes the sums; nothing when there are none.
    pub(super) fn take(&mut self, now: Timestamp) -> Option<Sums> {
        self.advance(now);
        self.taken_at = now;
        let sums = std::mem::take(&mut self.sums);
        (sums != Sums::default()).then_some(sums)
    }

    fn advance(&mut self, now: Timestamp) {
        let passed = now.since(self.since);
        self.since = self.since.max(now);
        if self.inside > 0 {
            self.sums.active = self.sums.active + passed;
        } else {
            self.sums.idle = self.sums.idle + passed;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_active_while_anything_is_inside() {
        let at = |millis: i64| Timestamp::from_millis(1_000 + millis);
        let mut tally = Tally::new(at(0));
        tally.begin(at(100));
        tally.begin(at(150));
        tally.end(at(200), Counted::Yes, 7);
        tally.end(at(300), Counted::No, 3);
        tally.begin(at(1_000));
        assert_eq!(tally.due_at(Span::from_secs(10)), at(10_000));
        tally.end(at(1_001), Counted::Yes, 0);
        assert_eq!(tally.due_at(Span::from_secs(10)), at(10_000));
        tally.hook(Span::from_millis(9));
        let sums = Sums {
            active: Span::from_millis(210),
            idle: Span::from_millis(100 + 700 + 999),
            invocations: 2,
            cpu_micros: 10,
        };
        assert_eq!(tally.take(at(2_000)), Some(sums));
        assert_eq!(tally.take(at(2_000)), None);
        assert_eq!(tally.due_at(Span::from_secs(10)), at(602_000), "idle");
    }
}
