//! Distributions in bounded room: values in buckets of one width, lengths in buckets of one part in 64.

use crate::domain::time::{MILLI, Nanos};
use serde::Serialize;
use std::collections::BTreeMap;

/// Lengths at which survival is told, ms.
pub const SURVIVAL_MS: [i64; 13] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000];

/// How often each value came.
#[derive(Clone, Debug)]
pub struct Tally {
    width: i64,
    buckets: BTreeMap<i64, u64>,
    count: u64,
    sum: i128,
    ends: Option<(i64, i64)>,
}

impl Tally {
    /// Values within `width` of each other count as one.
    pub fn new(width: i64) -> Self {
        Self { width: width.max(1), buckets: BTreeMap::new(), count: 0, sum: 0, ends: None }
    }

    /// A value came.
    pub fn add(&mut self, value: i64) {
        *self.buckets.entry(value.div_euclid(self.width)).or_default() += 1;
        self.count += 1;
        self.sum += i128::from(value);
        let (least, most) = self.ends.unwrap_or((value, value));
        self.ends = Some((least.min(value), most.max(value)));
    }

    /// How many came.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The least and the greatest, exact.
    pub fn ends(&self) -> Option<(i64, i64)> {
        self.ends
    }

    /// Their mean.
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum as f64 / self.count as f64)
    }

    /// The smallest value that at least `per_mille` of all do not exceed, to the bucket's width.
    pub fn percentile(&self, per_mille: u64) -> Option<i64> {
        let rank = (self.count * per_mille).div_ceil(1_000).max(1);
        let mut seen = 0;
        let at = self.buckets.iter().find(|(_, count)| {
            seen += **count;
            seen >= rank
        });
        let (least, most) = self.ends?;
        at.map(|(bucket, _)| (bucket * self.width).clamp(least, most))
    }
}

/// Times during which something held without a break.
#[derive(Clone, Debug, Default)]
pub struct Episodes {
    since: Option<Nanos>,
    count: u64,
    open: u64,
    total: Nanos,
    longest: Nanos,
    lengths: BTreeMap<i64, u64>,
    survivors: [u64; SURVIVAL_MS.len()],
}

/// What is told of episodes.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct EpisodesReport {
    /// Of what.
    pub above: &'static str,
    /// How many.
    pub count: u64,
    /// Of them those that the end of the recording cut off.
    pub open_at_end: u64,
    /// All lengths together, ms.
    pub total_ms: f64,
    /// Lengths, ms; empty without episodes.
    pub length_ms: BTreeMap<&'static str, f64>,
    /// Which part of them lasted at least so many ms.
    pub survival: Vec<(i64, f64)>,
}

impl Episodes {
    /// Whether it holds at `now`. One that stopped holding for lack of news ended at `until` already.
    pub fn on(&mut self, holds: bool, now: Nanos, until: Nanos) {
        match (self.since, holds) {
            (None, true) => self.since = Some(now),
            (Some(since), false) => self.end(since, now.min(until)),
            _ => {}
        }
    }

    /// The end of the recording.
    pub fn finish(&mut self, now: Nanos) {
        if let Some(since) = self.since {
            self.open += 1;
            self.end(since, now);
        }
    }

    fn end(&mut self, since: Nanos, at: Nanos) {
        let length = (at - since).max(0);
        self.since = None;
        self.count += 1;
        self.total += length;
        self.longest = self.longest.max(length);
        *self.lengths.entry(rounded(length)).or_default() += 1;
        for (survivors, ms) in self.survivors.iter_mut().zip(SURVIVAL_MS) {
            *survivors += u64::from(length >= ms * MILLI);
        }
    }

    /// As told.
    pub fn report(&self, above: &'static str) -> EpisodesReport {
        let ms = |ns: Nanos| ns as f64 / MILLI as f64;
        let mut length_ms = BTreeMap::new();
        if self.count > 0 {
            for (name, per_mille) in [("p50", 500), ("p90", 900), ("p99", 990)] {
                let rank = (self.count * per_mille).div_ceil(1_000).max(1);
                let mut seen = 0;
                let at = self.lengths.iter().find(|(_, count)| {
                    seen += **count;
                    seen >= rank
                });
                length_ms.insert(name, ms(at.map_or(0, |(length, _)| *length)));
            }
            length_ms.insert("max", ms(self.longest));
        }
        let part = |survivors: u64| survivors as f64 / self.count.max(1) as f64;
        EpisodesReport {
            above,
            count: self.count,
            open_at_end: self.open,
            total_ms: ms(self.total),
            length_ms,
            survival: SURVIVAL_MS.into_iter().zip(self.survivors.map(part)).collect(),
        }
    }
}

/// Keeps the seven highest bits.
fn rounded(length: Nanos) -> Nanos {
    let shift = (64 - length.leading_zeros()).saturating_sub(7);
    length >> shift << shift
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_percentile_is_the_nearest_rank_to_the_buckets_width(
            mut values in proptest::collection::vec(-100_000i64..100_000, 1..200),
            per_mille in 0u64..=1_000,
        ) {
            let mut tally = Tally::new(1_000);
            values.iter().for_each(|value| tally.add(*value));
            values.sort_unstable();
            let rank = ((values.len() as u64 * per_mille).div_ceil(1_000).max(1) - 1) as usize;
            let told = tally.percentile(per_mille).unwrap();
            prop_assert!((values[rank] - told).abs() < 1_000, "{told} {}", values[rank]);
            prop_assert_eq!(tally.ends(), Some((values[0], values[values.len() - 1])));
        }
    }

    #[test]
    fn episodes_end_where_they_end_or_where_news_ended() {
        let mut episodes = Episodes::default();
        let never = Nanos::MAX;
        for (holds, now, until) in [
            (true, 0, never),
            (true, MILLI, never),
            (false, 3 * MILLI, never),
            (false, 4 * MILLI, never),
            (true, 10 * MILLI, never),
            (false, 900 * MILLI, 16 * MILLI),
            (true, 1_000 * MILLI, never),
        ] {
            episodes.on(holds, now, until);
        }
        episodes.finish(1_100 * MILLI);
        let told = episodes.report("zero");
        assert_eq!((told.count, told.open_at_end), (3, 1));
        assert!((told.total_ms - 109.0).abs() < 1e-9, "{told:?}");
        assert!((told.length_ms["max"] - 100.0).abs() < 1e-9, "{told:?}");
        assert!((told.length_ms["p50"] / 6.0 - 1.0).abs() < 0.02, "{told:?}");
        let third = |part: f64, thirds: f64| (part * 3.0 - thirds).abs() < 1e-9;
        assert!(
            told.survival.iter().all(|(ms, part)| third(
                *part,
                match ms {
                    ..=2 => 3.0,
                    3..=5 => 2.0,
                    6..=100 => 1.0,
                    _ => 0.0,
                }
            )),
            "{told:?}"
        );
        assert_eq!(Episodes::default().report("zero").length_ms.len(), 0);
    }
}
