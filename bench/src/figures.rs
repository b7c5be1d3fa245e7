//! Numbers of a measurement: percentiles, medians, rates, and how they are written.

use std::time::Duration;

/// Latencies of one run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Latencies {
    sorted: Vec<f64>,
}

impl Latencies {
    /// From milliseconds in any order.
    pub(crate) fn of(mut millis: Vec<f64>) -> Self {
        millis.sort_by(f64::total_cmp);
        Self { sorted: millis }
    }

    /// The value below which `percent` of them lie; zero when there are none.
    pub(crate) fn percentile(&self, percent: usize) -> f64 {
        let last = self.sorted.len().saturating_sub(1);
        self.sorted.get((last * percent).div_ceil(100)).copied().unwrap_or(0.0)
    }
}

/// The middle one; of an even number the lower.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len().saturating_sub(1) / 2).copied().unwrap_or(0.0)
}

/// Milliseconds.
pub(crate) fn millis(span: Duration) -> f64 {
    span.as_secs_f64() * 1e3
}

/// A count as a number one can divide by.
pub(crate) fn float(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

/// `12,345` for a large number, `1.23` for a small one.
pub(crate) fn write(value: f64) -> String {
    if value < 100.0 {
        return format!("{value:.2}");
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_and_medians() {
        let many = Latencies::of((1..=100).rev().map(f64::from).collect());
        assert_eq!((many.percentile(50), many.percentile(99)), (51.0, 100.0));
        assert_eq!(Latencies::default().percentile(99), 0.0);
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[]), 0.0);
    }

    #[test]
    fn numbers_are_readable() {
        assert_eq!(write(1_234_567.4), "1,234,567");
        assert_eq!(write(100.0), "100");
        assert_eq!(write(0.456), "0.46");
        assert_eq!(millis(Duration::from_micros(1_500)), 1.5);
        assert_eq!(float(7), 7.0);
    }
}
