//! How many instances a qualifier keeps: a minimum, and policies that change it by the calendar or by
//! use. Provision configurations and scaling configurations are two doors to the same thing.

use alloc::string::String;
use alloc::vec::Vec;

use crate::time::Timestamp;

/// What a qualifier keeps, as it was put.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ScalingConfig {
    /// Through which door it was put; the other one refuses it.
    pub door: ScalingDoor,
    /// Instances that are kept when no policy says otherwise.
    pub minimum: u32,
    /// Whether kept instances have their processor while they wait.
    pub idle_cpu: IdleCpu,
    /// Numbers by the calendar.
    pub schedules: Vec<Schedule>,
    /// Numbers by use.
    pub trackings: Vec<Tracking>,
    /// Whether more than the kept instances may serve.
    pub on_demand: OnDemand,
    /// `alwaysAllocateGPU`, kept as it was said.
    pub always_gpu: bool,
    /// When it was last put.
    pub modified_at: Timestamp,
}

/// The two APIs that put configurations.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ScalingDoor {
    /// Provision configurations (§1.16).
    Provision,
    /// Scaling configurations (§1.17).
    Scaling,
}

impl ScalingDoor {
    /// The word in the book.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Provision => "provision",
            Self::Scaling => "scaling",
        }
    }
}

/// What a kept instance has while it waits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum IdleCpu {
    /// Nothing of it runs between requests (light sleep).
    Released,
    /// It goes on.
    #[default]
    Allocated,
}

/// Whether instances are made for work that finds no free slot.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum OnDemand {
    /// Only kept instances serve.
    Off,
    /// As usual.
    #[default]
    On,
}

/// A number from a moment of the calendar on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Schedule {
    /// Unique in the configuration.
    pub name: String,
    /// When it counts.
    pub span: PolicySpan,
    /// `at(…)` or `cron(…)`.
    pub expression: String,
    /// The number.
    pub target: u32,
}

/// A number that keeps a measure near a mark.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tracking {
    /// Unique in the configuration.
    pub name: String,
    /// When it counts.
    pub span: PolicySpan,
    /// What is measured.
    pub metric: Metric,
    /// The mark, in thousandths.
    pub mark_permille: u32,
    /// At least so many.
    pub minimum: u32,
    /// At most so many.
    pub maximum: u32,
}

/// From when until when a policy counts; the texts are shown as they were said.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PolicySpan {
    /// From this time; empty: always.
    pub start: String,
    /// Until this time; empty: for ever.
    pub end: String,
    /// IANA name; empty: UTC.
    pub zone: String,
}

/// What a tracking policy goes by.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Metric {
    /// Requests inside, of what kept instances can take.
    Concurrency,
    /// Processor time taken, of what kept instances have.
    Cpu,
    /// Memory held, of what kept instances have.
    Memory,
}

impl Metric {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Concurrency, Self::Cpu, Self::Memory];

    /// Upstream's name.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Concurrency => "ProvisionedConcurrencyUtilization",
            Self::Cpu => "CPUUtilization",
            Self::Memory => "MemoryUtilization",
        }
    }

    /// The one of that name.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|metric| metric.word() == word)
    }
}

/// How much of a shrinking number is given up at once: half, so that a short lull costs little.
const DAMPING_PERMILLE: u64 = 500;

impl Tracking {
    /// The next number, from the present one and the measure (§5.3): out by the whole of what lacks, in
    /// by a part of what is too much, always within the bounds.
    pub fn next(&self, now: u32, measured_permille: u32) -> u32 {
        let (now_wide, mark) = (u64::from(now), u64::from(self.mark_permille.max(1)));
        let measured = u64::from(measured_permille);
        let next = if measured >= mark {
            now_wide.saturating_mul(measured).div_ceil(mark)
        } else {
            let too_much =
                now_wide.saturating_mul(mark - measured).saturating_mul(DAMPING_PERMILLE);
            now_wide - (too_much / (mark * 1_000)).min(now_wide)
        };
        let next = u32::try_from(next).unwrap_or(u32::MAX);
        next.max(self.minimum).min(self.maximum.max(self.minimum))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tracking(mark_permille: u32, minimum: u32, maximum: u32) -> Tracking {
        let (name, span) = (String::new(), PolicySpan::default());
        Tracking { name, span, metric: Metric::Concurrency, mark_permille, minimum, maximum }
    }

    #[test]
    fn out_by_all_and_in_by_a_part() {
        let half = tracking(500, 1, 100);
        assert_eq!(half.next(4, 1_000), 8);
        assert_eq!(half.next(4, 510), 5, "rounded up");
        assert_eq!(half.next(8, 500), 8);
        assert_eq!(half.next(8, 0), 4);
        assert_eq!(half.next(8, 450), 8, "less than one is too much");
        assert_eq!(half.next(90, 1_000), 100);
        assert_eq!(half.next(0, 0), 1);
    }

    #[test]
    fn a_measure_at_rest_leads_to_the_minimum() {
        let tracking = tracking(600, 2, 50);
        let mut now = 50;
        for _ in 0..40 {
            now = tracking.next(now, 0);
        }
        assert!(now <= 3, "{now}");
    }
}
