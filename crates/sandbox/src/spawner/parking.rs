//! How many children are to wait, and when making them rests: after a failure the spawner goes on
//! without parked children for some rounds, and tries again. It never gives up, because what was
//! missing (processes, memory) comes back.

/// Rounds of rest after the first failure; each further one in a row doubles them.
const REST: u32 = 2;
const REST_MAX: u32 = 256;

#[derive(Debug)]
pub(super) struct Parking {
    wanted: usize,
    failures: u32,
    rest: u32,
}

impl Parking {
    pub(super) fn new(wanted: usize) -> Self {
        Self { wanted, failures: 0, rest: 0 }
    }

    /// How many should wait now. Each asking while it rests is a round; the last one ends the rest.
    pub(super) fn wanted(&mut self) -> usize {
        self.rest = self.rest.saturating_sub(1);
        if self.rest > 0 { 0 } else { self.wanted }
    }

    /// Whether it rests, so that somebody must come round again.
    pub(super) fn pauses(&self) -> bool {
        self.rest > 0
    }

    pub(super) fn failed(&mut self) {
        self.rest = REST.checked_shl(self.failures).unwrap_or(REST_MAX).min(REST_MAX);
        self.failures = self.failures.saturating_add(1).min(16);
    }

    pub(super) fn succeeded(&mut self) {
        self.failures = 0;
        self.rest = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_rests_longer_each_time_and_never_gives_up() {
        let mut parking = Parking::new(3);
        let rounds = |parking: &mut Parking| {
            let mut rounds = 1;
            // As long as it pauses somebody comes round again.
            while parking.wanted() == 0 {
                assert!(parking.pauses());
                rounds += 1;
            }
            assert!(!parking.pauses());
            rounds
        };
        let mut rests = Vec::new();
        for _ in 0..12 {
            parking.failed();
            rests.push(rounds(&mut parking));
        }
        assert_eq!(rests[..4], [2, 4, 8, 16]);
        assert_eq!(rests[11], REST_MAX);
        parking.failed();
        parking.succeeded();
        assert_eq!(parking.wanted(), 3);
    }
}
