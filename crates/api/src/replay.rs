//! The replay filter: signed mutations are remembered for as long as their signature is fresh, so
//! that a captured request cannot be sent a second time. Two generations, each at least as old as a
//! signature may be, are looked through; the older one is forgotten when the newer is full or old.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, PoisonError};

use stint_model::time::{Span, Timestamp};
use stint_sign::SKEW_MAX;

/// Remembers signatures; see the module comment. Bounded by `entries_max`: past it, the oldest are
/// forgotten early, and `forgotten_early` counts how often that happened.
#[derive(Debug)]
pub(crate) struct ReplayFilter {
    hasher: RandomState,
    generation_max: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    newer: HashSet<u64>,
    older: HashSet<u64>,
    since: Timestamp,
}

/// A signature made 15 minutes ahead of us stays fresh for 30.
const GENERATION_AGE: Span = SKEW_MAX.times(2);

impl ReplayFilter {
    pub(crate) fn new(entries_max: usize) -> Self {
        Self {
            hasher: RandomState::new(),
            generation_max: (entries_max / 2).max(1),
            state: Mutex::default(),
        }
    }

    /// Whether this is the first time that this key sent this nonce.
    pub(crate) fn is_new(&self, key_id: &str, nonce: &[u8], now: Timestamp) -> bool {
        let print = self.hasher.hash_one((key_id, nonce));
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let full = state.newer.len() >= self.generation_max;
        if full || now.since(state.since) >= GENERATION_AGE {
            if full && now.since(state.since) < GENERATION_AGE {
                metrics::counter!("stint_api_replay_forgotten_early_total").increment(1);
            }
            state.older = std::mem::take(&mut state.newer);
            state.since = now;
        }
        !state.older.contains(&print) && state.newer.insert(print)
    }

    /// How many are remembered.
    pub(crate) fn len(&self) -> usize {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.newer.len() + state.older.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_767_323_045_000);

    #[test]
    fn a_nonce_is_good_once_per_key() {
        let filter = ReplayFilter::new(100);
        assert!(filter.is_new("a", b"n", NOW));
        assert!(!filter.is_new("a", b"n", NOW));
        assert!(filter.is_new("b", b"n", NOW));
        assert!(filter.is_new("a", b"m", NOW));
    }

    #[test]
    fn it_remembers_as_long_as_a_signature_is_fresh() {
        let filter = ReplayFilter::new(100);
        let second = Span::from_secs(1);
        assert!(filter.is_new("a", b"n", NOW));
        assert!(!filter.is_new("a", b"n", NOW + GENERATION_AGE));
        assert!(filter.is_new("a", b"other", NOW + GENERATION_AGE + second));
        assert!(filter.is_new("a", b"n", NOW + GENERATION_AGE.times(2) + second));
    }

    #[test]
    fn it_is_bounded() {
        let filter = ReplayFilter::new(100);
        for n in 0..1_000_u32 {
            assert!(filter.is_new("a", &n.to_be_bytes(), NOW));
            assert!(filter.len() <= 100);
        }
        assert!(!filter.is_new("a", &999_u32.to_be_bytes(), NOW));
    }
}
