//! The dimensions of usage, and what they come to in compute units.

use stint_model::link::UsagePiece;
use stint_model::scaling::IdleCpu;

/// What was used of each dimension (§8). Sizes are those configured, times are microseconds.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Sums {
    /// Serving.
    pub active_micros: u64,
    /// Alive with nothing to do.
    pub idle_micros: u64,
    /// vCPU times the time serving.
    pub vcpu_micros: u64,
    /// GB of memory times the time serving.
    pub memory_active_micros: u64,
    /// GB of memory times the time idle.
    pub memory_idle_micros: u64,
    /// GB of disk beyond the free part, times the time serving.
    pub disk_micros: u64,
    /// Attempts and calls.
    pub invocations: u64,
    /// Processor time that was really taken.
    pub cpu_micros: u64,
    /// Kept with nothing to do; not part of the idle time.
    pub kept_micros: u64,
    /// vCPU times that, of those that had their processor meanwhile.
    pub kept_vcpu_micros: u64,
    /// GB of memory times that.
    pub kept_memory_micros: u64,
    /// GB of disk beyond the free part times that.
    pub kept_disk_micros: u64,
}

/// The disk every instance has for nothing.
const DISK_FREE_MB: u32 = 512;
/// How many numbers there are.
pub(super) const FIELDS: usize = 12;

impl Sums {
    pub(super) fn of(piece: &UsagePiece) -> Self {
        let active = piece.active.micros();
        let (idle, kept) = match piece.kept {
            None => (piece.idle.micros(), 0),
            Some(_) => (0, piece.idle.micros()),
        };
        let awake = if piece.kept == Some(IdleCpu::Allocated) { kept } else { 0 };
        let times = |micros: u64, amount: u32, unit: u64| {
            let product = u128::from(micros) * u128::from(amount) / u128::from(unit);
            u64::try_from(product).unwrap_or(u64::MAX)
        };
        let disk = piece.disk_mb.saturating_sub(DISK_FREE_MB);
        Self {
            active_micros: active,
            idle_micros: idle,
            vcpu_micros: times(active, piece.size.cpu_milli, 1_000),
            memory_active_micros: times(active, piece.size.memory_mb, 1_024),
            memory_idle_micros: times(idle, piece.size.memory_mb, 1_024),
            disk_micros: times(active, disk, 1_024),
            invocations: u64::from(piece.invocations),
            cpu_micros: piece.cpu_micros,
            kept_micros: kept,
            kept_vcpu_micros: times(awake, piece.size.cpu_milli, 1_000),
            kept_memory_micros: times(kept, piece.size.memory_mb, 1_024),
            kept_disk_micros: times(kept, disk, 1_024),
        }
    }

    pub(super) fn add(&mut self, other: &Self) {
        for (sum, more) in self.fields_mut().into_iter().zip(other.fields()) {
            *sum = sum.saturating_add(more);
        }
    }

    /// Compute units in millionths, by §8's coefficients: vCPU·s 1, GB·s 0.15, disk GB·s 0.05, an
    /// invocation 0.0075. An instance that waits for its next request costs nothing, unless it is kept:
    /// then its memory and disk do, and its vCPU when it has it meanwhile.
    pub fn micro_units(&self) -> u64 {
        let sum = |active: u64, kept: u64| u128::from(active) + u128::from(kept);
        let units = sum(self.vcpu_micros, self.kept_vcpu_micros)
            + sum(self.memory_active_micros, self.kept_memory_micros) * 15 / 100
            + sum(self.disk_micros, self.kept_disk_micros) / 20
            + u128::from(self.invocations) * 7_500;
        u64::try_from(units).unwrap_or(u64::MAX)
    }

    /// In the order they are written.
    pub(super) fn fields(&self) -> [u64; FIELDS] {
        let mut copy = *self;
        copy.fields_mut().map(|field| *field)
    }

    pub(super) fn fields_mut(&mut self) -> [&mut u64; FIELDS] {
        let Self {
            active_micros,
            idle_micros,
            vcpu_micros,
            memory_active_micros,
            memory_idle_micros,
            disk_micros,
            invocations,
            cpu_micros,
            kept_micros,
            kept_vcpu_micros,
            kept_memory_micros,
            kept_disk_micros,
        } = self;
        [
            active_micros,
            idle_micros,
            vcpu_micros,
            memory_active_micros,
            memory_idle_micros,
            disk_micros,
            invocations,
            cpu_micros,
            kept_micros,
            kept_vcpu_micros,
            kept_memory_micros,
            kept_disk_micros,
        ]
    }
}
