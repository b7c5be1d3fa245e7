//! Randomness as a port: the system's, or a sequence from a seed so that a simulated life can be
//! played again.

use std::sync::{Mutex, PoisonError};

/// Where random numbers come from.
#[derive(Debug)]
pub enum Entropy {
    /// The operating system's generator.
    System,
    /// The same seed, the same numbers (SplitMix64).
    Seeded(Mutex<u64>),
}

impl Entropy {
    /// A sequence from a seed.
    pub fn seeded(seed: u64) -> Self {
        Self::Seeded(Mutex::new(seed))
    }

    /// 64 random bits.
    pub fn bits(&self) -> u64 {
        match self {
            Self::System => rand::random(),
            Self::Seeded(state) => {
                let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
                *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let mut z = *state;
                z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                z ^ (z >> 31)
            }
        }
    }

    /// 128 random bits.
    pub fn wide_bits(&self) -> u128 {
        (u128::from(self.bits()) << 64) | u128::from(self.bits())
    }
}
