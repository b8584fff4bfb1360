//! Latency histograms with fixed bounds: 1 ns to 60 s at three digits, all memory allocated at the start.
//! What lies above counts as the upper bound and is counted apart. No percentile is stated that the number
//! of samples does not support.

use hdrhistogram::Histogram;
use serde::Serialize;

/// Largest value kept, ns.
pub const VALUE_MAX_NS: u64 = 60_000_000_000;

/// Durations of one kind.
#[derive(Clone, Debug)]
pub struct Samples {
    histogram: Histogram<u64>,
    overflow: u64,
}

impl Default for Samples {
    fn default() -> Self {
        Self::new()
    }
}

impl Samples {
    /// Empty; about 220 KiB.
    pub fn new() -> Self {
        let histogram = Histogram::new_with_bounds(1, VALUE_MAX_NS, 3);
        Self { histogram: histogram.expect("1 ns to 60 s at 3 digits are valid bounds"), overflow: 0 }
    }

    /// Adds a duration, ns; less than 1 counts as 1.
    #[inline]
    pub fn record(&mut self, duration_ns: i64) {
        let value = duration_ns.max(1) as u64;
        self.overflow += u64::from(value > VALUE_MAX_NS);
        self.histogram.saturating_record(value);
    }

    /// Adds all of another's.
    pub fn merge(&mut self, other: &Self) {
        // The bounds are equal, so nothing has to grow and adding cannot fail.
        let added = self.histogram.add(&other.histogram);
        debug_assert!(added.is_ok());
        self.overflow += other.overflow;
    }

    /// Empties it, keeping its memory.
    pub fn clear(&mut self) {
        self.histogram.reset();
        self.overflow = 0;
    }

    /// Number of samples.
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// Samples above [`VALUE_MAX_NS`].
    pub fn overflow(&self) -> u64 {
        self.overflow
    }

    /// The histogram itself.
    pub fn histogram(&self) -> &Histogram<u64> {
        &self.histogram
    }

    /// The percentiles.
    pub fn percentiles(&self) -> Percentiles {
        Percentiles::of(&self.histogram)
    }
}

/// The value at `parts` of 100 000 of the samples; `None` with fewer than 10 / (1 − p) of them.
pub fn percentile(histogram: &Histogram<u64>, parts: u32) -> Option<u64> {
    let above = u128::from(100_000_u32.checked_sub(parts)?);
    let enough = u128::from(histogram.len()) * above >= 10 * 100_000;
    enough.then(|| histogram.value_at_quantile(f64::from(parts) / 100_000.0))
}

/// A histogram in a line, ns. Absent percentiles lack samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Percentiles {
    /// Samples.
    pub count: u64,
    /// Median.
    pub p50: Option<u64>,
    /// 75 %.
    pub p75: Option<u64>,
    /// 90 %.
    pub p90: Option<u64>,
    /// 95 %.
    pub p95: Option<u64>,
    /// 99 %.
    pub p99: Option<u64>,
    /// 99.9 %.
    pub p999: Option<u64>,
    /// 99.99 %; left out of JSON without samples.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p9999: Option<u64>,
    /// The largest; absent without samples.
    pub max: Option<u64>,
}

impl Percentiles {
    /// Of a histogram.
    pub fn of(histogram: &Histogram<u64>) -> Self {
        Self {
            count: histogram.len(),
            p50: percentile(histogram, 50_000),
            p75: percentile(histogram, 75_000),
            p90: percentile(histogram, 90_000),
            p95: percentile(histogram, 95_000),
            p99: percentile(histogram, 99_000),
            p999: percentile(histogram, 99_900),
            p9999: percentile(histogram, 99_990),
            max: (!histogram.is_empty()).then(|| histogram.max()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(n: i64) -> Samples {
        let mut samples = Samples::new();
        (1..=n).for_each(|i| samples.record(i * 1000));
        samples
    }

    #[test]
    fn no_percentile_without_ten_samples_beyond_it() {
        for (n, p50, p90, p99, p999) in [
            (19, false, false, false, false),
            (20, true, false, false, false),
            (100, true, true, false, false),
            (999, true, true, false, false),
            (1000, true, true, true, false),
            (9999, true, true, true, false),
            (10_000, true, true, true, true),
        ] {
            let p = filled(n).percentiles();
            let shown = (p.p50.is_some(), p.p90.is_some(), p.p99.is_some(), p.p999.is_some());
            assert_eq!(shown, (p50, p90, p99, p999), "{n} samples");
        }
        assert_eq!(percentile(filled(99_999).histogram(), 99_990), None);
        assert!(percentile(filled(100_000).histogram(), 99_990).is_some());
        assert_eq!(Samples::new().percentiles(), Percentiles::default());
    }

    #[test]
    fn values_are_right_to_three_digits() {
        let p = filled(10_000).percentiles();
        let near = |value: Option<u64>, expected: u64| {
            let value = value.expect("enough samples");
            assert!(value.abs_diff(expected) * 1000 <= expected, "{value} instead of {expected}");
        };
        near(p.p50, 5_000_000);
        near(p.p99, 9_900_000);
        near(p.p999, 9_990_000);
        near(p.max, 10_000_000);
    }

    #[test]
    fn what_lies_outside_the_bounds_is_kept_and_counted() {
        let mut samples = Samples::new();
        samples.record(-5);
        samples.record(i64::MAX);
        assert_eq!((samples.count(), samples.overflow()), (2, 1));
        let mut sum = filled(10);
        sum.merge(&samples);
        assert_eq!((sum.count(), sum.overflow()), (12, 1));
        sum.clear();
        assert_eq!((sum.count(), sum.overflow()), (0, 0));
    }
}
