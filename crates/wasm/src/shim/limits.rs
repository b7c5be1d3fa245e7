//! What a guest may take: all its memories and tables together count towards one bound.

use wasmtime::{ResourceLimiter, Result};

use crate::engine::TABLE_ELEMENTS_MAX;

/// What one element of a table costs.
const ELEMENT_BYTES: usize = 16;

#[derive(Debug)]
pub(crate) struct Limits {
    bytes: usize,
    bytes_max: usize,
    /// It asked for more memory than there is: what fails afterwards fails for that.
    denied: bool,
}

impl Limits {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { bytes: 0, bytes_max, denied: false }
    }

    pub(crate) fn was_denied(&self) -> bool {
        self.denied
    }

    fn grow(&mut self, current: usize, desired: usize) -> bool {
        let total = self.bytes.saturating_sub(current).saturating_add(desired);
        let fits = total <= self.bytes_max;
        if fits {
            self.bytes = total;
        } else {
            self.denied = true;
        }
        fits
    }
}

impl ResourceLimiter for Limits {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> Result<bool> {
        Ok(self.grow(current, desired))
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> Result<bool> {
        let bytes = |elements: usize| elements.saturating_mul(ELEMENT_BYTES);
        Ok(desired <= TABLE_ELEMENTS_MAX && self.grow(bytes(current), bytes(desired)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_and_tables_share_one_bound() {
        let mut limits = Limits::new(1 << 20);
        assert!(limits.memory_growing(0, 512 << 10, None).unwrap());
        assert!(limits.memory_growing(0, 256 << 10, None).unwrap(), "a second memory");
        assert!(limits.table_growing(0, 8 << 10, None).unwrap());
        assert!(!limits.was_denied());
        assert!(!limits.memory_growing(256 << 10, 512 << 10, None).unwrap());
        assert!(limits.was_denied());
        assert!(limits.memory_growing(256 << 10, 320 << 10, None).unwrap(), "less still fits");
    }

    #[test]
    fn a_table_has_a_bound_of_its_own() {
        let mut limits = Limits::new(usize::MAX);
        assert!(limits.table_growing(0, TABLE_ELEMENTS_MAX, None).unwrap());
        assert!(!limits.table_growing(0, TABLE_ELEMENTS_MAX + 1, None).unwrap());
        assert!(!limits.was_denied(), "that is not memory");
    }
}
