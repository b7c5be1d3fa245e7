//! Limits that accounts, functions and keys carry, and what a node can hold.

/// CPU in thousandths of a vCPU and memory in MB: what an instance takes and a node offers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Resources {
    /// Thousandths of a vCPU.
    pub cpu_milli: u32,
    /// Megabytes (2^20 bytes).
    pub memory_mb: u32,
}

/// A token bucket: `per_second` thousandths of a token a second, holding at most `burst` tokens.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Rate {
    /// Thousandths of a start per second (so that 0.5/s can be said).
    pub milli_per_second: u64,
    /// The most starts saved up; at least one.
    pub burst: u32,
}

/// Classes of work that share a machine.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Class {
    /// Somebody waits: placed first, may take back what batch work uses.
    Online,
    /// Durable tasks.
    #[default]
    Batch,
}

/// A task's priority class: 0 (last) to 9 (first).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Priority(u8);

impl Priority {
    /// What a task has when nobody said otherwise.
    pub const DEFAULT: Self = Self(4);
    /// How many there are.
    pub const COUNT: usize = 10;

    /// `None` above 9.
    pub const fn new(value: u8) -> Option<Self> {
        if value <= 9 { Some(Self(value)) } else { None }
    }

    /// 0 to 9.
    pub const fn value(self) -> u8 {
        self.0
    }
}

impl Default for Priority {
    fn default() -> Self {
        Self::DEFAULT
    }
}
