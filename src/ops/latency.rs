//! Latency: the histograms of a run, their summaries and the verdicts against the targets.
//!
//! All values are nanoseconds. A percentile is stated only when enough samples support it.

use crate::domain::output::{STAGES, Stage};
use crate::domain::time::{MILLI, Nanos};
use hdrhistogram::Histogram;
use serde::Serialize;

/// Largest value kept; anything above counts as this and shows as the maximum.
const VALUE_MAX_NS: u64 = 60_000_000_000;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// Time in one stage per input.
    Stage(Stage),
    /// Frame readable → book and edges up to date.
    MarketData,
    /// Frame read → first order bytes handed to the socket.
    TickToOrder,
    /// Frame readable → last order bytes of the basket handed to the socket.
    WireToWire,
    /// Detection → both legs terminal.
    EndToEndTrade,
}

/// Names in reports, in order.
pub const NAMES: [&str; 8] =
    ["decode", "scan", "risk", "route", "market_data", "tick_to_order", "wire_to_wire", "end_to_end_trade"];

/// Percentiles of one path; absent where fewer than 10 / (1 − p) samples support them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
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
    /// 99.99 %.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p9999: Option<u64>,
    /// Largest.
    pub max: u64,
}

impl Summary {
    /// Of a histogram.
    pub fn of(histogram: &Histogram<u64>) -> Self {
        let count = histogram.len();
        // Parts per 100 000, so that the support rule is integer arithmetic.
        let at = |p: u64| {
            (count * (100_000 - p) >= 10 * 100_000).then(|| histogram.value_at_quantile(p as f64 / 100_000.0))
        };
        Self {
            count,
            p50: at(50_000),
            p75: at(75_000),
            p90: at(90_000),
            p95: at(95_000),
            p99: at(99_000),
            p999: at(99_900),
            p9999: at(99_990),
            max: histogram.max(),
        }
    }
}

/// A target and how it was met.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Target {
    /// Path.
    pub name: &'static str,
    /// Limit at P99.9, ns.
    pub limit_ns: u64,
    /// P99.9; where too few samples support it, the maximum, which is never less.
    pub p999: u64,
    /// What `p999` is: `p999` or `max`.
    pub basis: &'static str,
    /// There were samples and the limit held.
    pub pass: bool,
}

/// The histograms of a run.
#[derive(Clone, Debug)]
pub struct Latency {
    histograms: Vec<Histogram<u64>>,
}

impl Default for Latency {
    fn default() -> Self {
        Self::new()
    }
}

impl Latency {
    /// Empty; allocates everything it will ever need.
    pub fn new() -> Self {
        // Fixed bounds: recording never allocates.
        let make = || Histogram::new_with_bounds(1, VALUE_MAX_NS, 3);
        let histograms = NAMES.iter().map(|_| make().expect("1 ns to 60 s at 3 digits are valid bounds"));
        Self { histograms: histograms.collect() }
    }

    /// Records a duration, ns.
    #[inline]
    pub fn record(&mut self, path: Path, duration: Nanos) {
        self.histograms[index(path)].saturating_record(duration.max(1) as u64);
    }

    /// Adds another run's or thread's samples.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.histograms.iter_mut().zip(&other.histograms) {
            // Equal bounds: adding cannot fail.
            let _ = mine.add(theirs);
        }
    }

    /// Name and summary of every path.
    pub fn summaries(&self) -> Vec<(&'static str, Summary)> {
        NAMES.iter().copied().zip(self.histograms.iter().map(Summary::of)).collect()
    }

    /// The histogram of a path.
    pub fn histogram(&self, path: Path) -> &Histogram<u64> {
        &self.histograms[index(path)]
    }

    /// The verdicts: 1 ms for market data, 200 ms for a whole trade.
    pub fn targets(&self) -> Vec<Target> {
        [("market_data", Path::MarketData, MILLI), ("end_to_end_trade", Path::EndToEndTrade, 200 * MILLI)]
            .into_iter()
            .map(|(name, path, limit)| {
                let summary = Summary::of(self.histogram(path));
                let (p999, basis) = summary.p999.map_or((summary.max, "max"), |p999| (p999, "p999"));
                let limit_ns = limit as u64;
                Target { name, limit_ns, p999, basis, pass: summary.count > 0 && p999 <= limit_ns }
            })
            .collect()
    }
}

fn index(path: Path) -> usize {
    match path {
        Path::Stage(stage) => STAGES.iter().position(|s| *s == stage).unwrap_or(0),
        Path::MarketData => 4,
        Path::TickToOrder => 5,
        Path::WireToWire => 6,
        Path::EndToEndTrade => 7,
    }
}

/// Splits the time of one input among the stages that work on it, which nest in each other.
#[derive(Clone, Copy, Debug, Default)]
pub struct StageClock {
    current: Option<Stage>,
    since: Nanos,
    spent: [Nanos; STAGES.len()],
}

impl StageClock {
    /// `stage` works from `now` on.
    #[inline]
    pub fn enter(&mut self, stage: Option<Stage>, now: Nanos) {
        if let Some(current) = self.current {
            self.spent[current as usize] += now - self.since;
        }
        self.current = stage;
        self.since = now;
    }

    /// Forgets the time per stage (ticks are not worth a sample).
    pub fn discard(&mut self) {
        self.spent = Default::default();
    }

    /// Hands the time per stage to `latency` and begins anew.
    pub fn flush(&mut self, latency: &mut Latency) {
        for stage in STAGES {
            let spent = &mut self.spent[stage as usize];
            if *spent > 0 {
                latency.record(Path::Stage(stage), *spent);
                *spent = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_need_enough_samples() {
        let mut latency = Latency::new();
        for i in 1..=999 {
            latency.record(Path::MarketData, i);
        }
        let summary = Summary::of(latency.histogram(Path::MarketData));
        assert_eq!(
            (summary.count, summary.p50.is_some(), summary.p99, summary.p999),
            (999, true, None, None)
        );
        latency.record(Path::MarketData, 5_000_000);
        assert!(Summary::of(latency.histogram(Path::MarketData)).p99.is_some());
        let targets = latency.targets();
        assert_eq!((targets[0].basis, targets[0].pass), ("max", false));
        assert!(!targets[1].pass, "a target without samples is not met");
    }

    #[test]
    fn nested_stages_get_their_own_time_only() {
        let (mut clock, mut latency) = (StageClock::default(), Latency::new());
        for (stage, now) in
            [(Some(Stage::Decode), 0), (Some(Stage::Scan), 10), (Some(Stage::Decode), 25), (None, 30)]
        {
            clock.enter(stage, now);
        }
        clock.flush(&mut latency);
        assert_eq!(latency.histogram(Path::Stage(Stage::Decode)).max(), 15);
        assert_eq!(latency.histogram(Path::Stage(Stage::Scan)).max(), 15);
    }
}
