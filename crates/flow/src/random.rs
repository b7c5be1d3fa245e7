//! Randomness that came in as a value. The shell puts 128 bits of entropy into every event; what one
//! turn draws is derived from them, so the same turn made twice draws the same.

use core::cell::Cell;

use sha2::{Digest as _, Sha256};

use crate::prelude::*;
use crate::value;

/// Draws of one turn.
#[derive(Debug)]
pub(crate) struct Random {
    entropy: [u8; 16],
    drawn: Cell<u64>,
}

impl Random {
    pub(crate) const fn new(entropy: [u8; 16]) -> Self {
        Self { entropy, drawn: Cell::new(0) }
    }

    /// Randomness that depends on a seed of the user's alone.
    pub(crate) fn seeded(seed: &str) -> Self {
        let digest = Sha256::digest(seed.as_bytes());
        let mut entropy = [0; 16];
        entropy.copy_from_slice(&digest[..16]);
        Self::new(entropy)
    }

    fn draw(&self) -> [u8; 16] {
        let count = self.drawn.get();
        self.drawn.set(count.wrapping_add(1));
        let digest =
            Sha256::new().chain_update(self.entropy).chain_update(count.to_be_bytes()).finalize();
        let mut drawn = [0; 16];
        drawn.copy_from_slice(&digest[..16]);
        drawn
    }

    /// Evenly in `0..bound`; zero if there is nothing to choose from.
    pub(crate) fn below(&self, bound: u64) -> u64 {
        if bound == 0 {
            return 0;
        }
        let wide = u128::from_be_bytes(self.draw()) % u128::from(bound);
        u64::try_from(wide).unwrap_or(0)
    }

    /// Evenly in `0..1`.
    pub(crate) fn fraction(&self) -> f64 {
        const STEPS: u32 = 1 << 31;
        let step = i64::try_from(self.below(u64::from(STEPS))).unwrap_or(0);
        value::to_f64(step) / f64::from(STEPS)
    }

    /// A version 4 UUID.
    pub(crate) fn uuid(&self) -> String {
        let mut bytes = self.draw();
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        let hex = hex::encode(bytes);
        format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }

    /// Text nobody can guess.
    pub(crate) fn secret(&self) -> String {
        hex::encode(self.draw())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_turn_draws_the_same() {
        let (a, b) = (Random::new([7; 16]), Random::new([7; 16]));
        let draw = |r: &Random| (r.uuid(), r.below(100), r.secret());
        assert_eq!(draw(&a), draw(&b));
        assert_ne!(draw(&a), draw(&Random::new([8; 16])));
        assert_eq!(a.below(0), 0);
        assert!((0.0..1.0).contains(&a.fraction()));
        assert_eq!(a.uuid().as_bytes()[14], b'4');
    }
}
