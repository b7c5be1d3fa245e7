//! What an attempt has used, from cheap sources: the shim says it with each answer, the sandbox is
//! asked at most every so often.

use stint_model::limit::Resources;
use stint_model::time::{Span, Timestamp};
use stint_sandbox::{Instance, Usage};
use stint_wire::node::Gauge;

/// What a shim said about itself. It is on the hostile side: good for figures, not for limits.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Claim {
    pub(super) cpu_micros: u64,
    pub(super) peak_kb: u64,
}

/// Sums and the last reading of one instance.
#[derive(Debug, Default)]
pub(super) struct Meter {
    peak_milli_mb: u64,
    /// CPU of the whole instance at the last reading.
    cpu_read: u64,
    /// What attempts have been charged since that reading.
    cpu_charged: u64,
    read_at: Timestamp,
    /// CPU of the whole instance at the last gauge, and when that was.
    gauged: (u64, Timestamp),
}

impl Meter {
    /// Peak of the instance so far, in thousandths of a MB.
    pub(super) fn peak_milli_mb(&self) -> u64 {
        self.peak_milli_mb
    }

    /// Reads the sandbox, when the last reading is old enough.
    pub(super) fn read(&mut self, now: Timestamp, every: Span, instance: &Instance) -> Option<u64> {
        if now.since(self.read_at) < every && self.read_at != Timestamp::ZERO {
            return None;
        }
        self.read_at = now;
        Some(self.note(&instance.usage()))
    }

    /// What it takes of what it has, since the last gauge; nothing where the machine cannot tell.
    pub(super) fn gauge(
        &mut self,
        now: Timestamp,
        instance: &Instance,
        size: Resources,
    ) -> Option<Gauge> {
        let usage = instance.usage();
        let cpu = u64::try_from(usage.cpu?.as_micros()).unwrap_or(u64::MAX);
        let (before, at) = std::mem::replace(&mut self.gauged, (cpu, now));
        let has = now.since(at).micros().saturating_mul(u64::from(size.cpu_milli)) / 1_000;
        let share = |taken: u64, of: u64| {
            let permille = u128::from(taken) * 1_000 / u128::from(of.max(1));
            u32::try_from(permille).unwrap_or(u32::MAX)
        };
        // Since nobody knows when: nothing yet.
        let cpu_permille =
            if at == Timestamp::ZERO { 0 } else { share(cpu.saturating_sub(before), has) };
        let bytes = usage.memory_bytes.unwrap_or(0);
        let memory_permille = share(bytes, u64::from(size.memory_mb) << 20);
        Some(Gauge { cpu_permille, memory_permille })
    }

    /// Takes a reading; returns the CPU since the last one that nobody was charged for.
    pub(super) fn note(&mut self, usage: &Usage) -> u64 {
        let bytes = usage.memory_peak_bytes.or(usage.memory_bytes).unwrap_or(0);
        self.peak_milli_mb = self.peak_milli_mb.max(milli_mb(bytes));
        let Some(cpu) = usage.cpu else { return 0 };
        let cpu = u64::try_from(cpu.as_micros()).unwrap_or(u64::MAX);
        let free = cpu.saturating_sub(self.cpu_read).saturating_sub(self.cpu_charged);
        self.cpu_read = self.cpu_read.max(cpu);
        self.cpu_charged = 0;
        free
    }

    /// What an attempt that just ended is charged: what the shim claims, or more if the sandbox was
    /// read and knows better (children count there).
    pub(super) fn charge(&mut self, claim: Claim, read: Option<u64>) -> u64 {
        self.peak_milli_mb = self.peak_milli_mb.max(milli_mb(claim.peak_kb.saturating_mul(1024)));
        match read {
            Some(free) => free.max(claim.cpu_micros),
            None => {
                self.cpu_charged = self.cpu_charged.saturating_add(claim.cpu_micros);
                claim.cpu_micros
            }
        }
    }
}

fn milli_mb(bytes: u64) -> u64 {
    bytes.saturating_mul(1_000) >> 20
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn usage(mb: u64, cpu_ms: u64) -> Usage {
        Usage {
            memory_bytes: None,
            memory_peak_bytes: Some(mb << 20),
            cpu: Some(Duration::from_millis(cpu_ms)),
            oom_kills: 0,
        }
    }

    #[test]
    fn cpu_is_charged_once() {
        let mut meter = Meter::default();
        assert_eq!(meter.note(&usage(10, 30)), 30_000, "the start's");
        assert_eq!(meter.charge(Claim { cpu_micros: 500, peak_kb: 2_048 }, None), 500);
        let free = meter.note(&usage(12, 40));
        assert_eq!(free, 9_500);
        assert_eq!(meter.charge(Claim { cpu_micros: 100, peak_kb: 0 }, Some(free)), 9_500);
        assert_eq!(meter.peak_milli_mb(), 12_000);
    }

    #[test]
    fn a_machine_that_cannot_tell_leaves_the_claim() {
        let mut meter = Meter::default();
        let free = meter.note(&Usage::default());
        assert_eq!(meter.charge(Claim { cpu_micros: 70, peak_kb: 10_240 }, Some(free)), 70);
        assert_eq!(meter.peak_milli_mb(), 10_000);
    }
}
