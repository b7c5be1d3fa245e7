//! The dimensions of usage, and what they come to in compute units.

use stint_model::link::UsagePiece;

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
}

/// The disk every instance has for nothing.
const DISK_FREE_MB: u32 = 512;
/// How many numbers there are.
pub(super) const FIELDS: usize = 8;

impl Sums {
    pub(super) fn of(piece: &UsagePiece) -> Self {
        let (active, idle) = (piece.active.micros(), piece.idle.micros());
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
        }
    }

    pub(super) fn add(&mut self, other: &Self) {
        for (sum, more) in self.fields_mut().into_iter().zip(other.fields()) {
            *sum = sum.saturating_add(more);
        }
    }

    /// Compute units in millionths, by §8's coefficients: vCPU·s 1, GB·s 0.15, disk GB·s 0.05, an
    /// invocation 0.0075. An instance that waits for its next request costs nothing.
    pub fn micro_units(&self) -> u64 {
        let memory = u128::from(self.memory_active_micros) * 15 / 100;
        let units = u128::from(self.vcpu_micros)
            + memory
            + u128::from(self.disk_micros) / 20
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
        ]
    }
}
