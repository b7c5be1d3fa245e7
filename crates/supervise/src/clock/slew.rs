//! How a stepped wall clock is followed without a jump: pure arithmetic over two hands.

use stint_model::time::{Span, Timestamp};

/// The engine's time runs at most this many parts in a hundred faster or slower than the monotonic
/// clock while it works off a difference to the wall clock: an hour is caught up in twenty, and a
/// timeout is never wrong by more than a twentieth of itself.
pub const SLEW_PARTS_PER_HUNDRED: u64 = 5;

/// The last reading and what of the permitted correction was too small to use.
#[derive(Debug)]
pub(super) struct Slew {
    now: Timestamp,
    elapsed: Span,
    /// Microseconds times parts, below one hundred: frequent readings must not lose the correction.
    carry: u64,
}

impl Slew {
    pub(super) fn new(now: Timestamp, elapsed: Span) -> Self {
        Self { now, elapsed, carry: 0 }
    }

    /// The engine's time, given what the wall clock shows and how long the monotonic one has run.
    pub(super) fn read(&mut self, wall: Timestamp, elapsed: Span) -> Timestamp {
        let passed = elapsed.micros().saturating_sub(self.elapsed.micros());
        self.elapsed = self.elapsed.max(elapsed);
        let credit = passed.saturating_mul(SLEW_PARTS_PER_HUNDRED).saturating_add(self.carry);
        let permitted = credit / 100;
        self.carry = credit % 100;

        let straight = self.now + Span::from_micros(passed);
        self.now = if wall >= straight {
            straight + Span::from_micros(wall.since(straight).micros().min(permitted))
        } else {
            // `permitted` may exceed `passed` by the carry; time still never goes backwards.
            let back = straight.since(wall).micros().min(permitted).min(passed);
            straight - Span::from_micros(back)
        };
        self.now
    }
}
