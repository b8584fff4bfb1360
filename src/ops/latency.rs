//! Latency: the histograms of a run, their summaries and the verdicts against the targets.
//!
//! All values are nanoseconds. A percentile is stated only when enough samples support it.

use crate::domain::output::{STAGES, Stage};
use crate::domain::time::{MILLI, Nanos};
use crate::telemetry::histogram::Samples;
use hdrhistogram::Histogram;
use serde::Serialize;

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
    /// The part of one of them in [`Path::TickToOrder`].
    Order(OrderPart),
    /// Frame read → the write of the first order begins: what the engine itself takes. One thread only.
    TickToWrite,
}

/// What the way from a frame to its first order consists of, in order. Measured on one thread only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderPart {
    /// Numbering, timers that were due, decoding.
    Decode,
    /// Books, edge, basket.
    Scan,
    /// Checks.
    Risk,
    /// Rendering of all legs.
    Route,
    /// Egress gate, secrets, signature.
    Gate,
    /// The frame and the system call that takes it.
    Write,
}

/// Every part of an order's way, in order.
pub const ORDER_PARTS: [OrderPart; 6] = [
    OrderPart::Decode,
    OrderPart::Scan,
    OrderPart::Risk,
    OrderPart::Route,
    OrderPart::Gate,
    OrderPart::Write,
];

/// Everything that is measured, in the order of [`NAMES`].
pub const ALL: [Path; 15] = [
    Path::Stage(STAGES[0]),
    Path::Stage(STAGES[1]),
    Path::Stage(STAGES[2]),
    Path::Stage(STAGES[3]),
    Path::MarketData,
    Path::TickToOrder,
    Path::WireToWire,
    Path::EndToEndTrade,
    Path::Order(ORDER_PARTS[0]),
    Path::Order(ORDER_PARTS[1]),
    Path::Order(ORDER_PARTS[2]),
    Path::Order(ORDER_PARTS[3]),
    Path::Order(ORDER_PARTS[4]),
    Path::Order(ORDER_PARTS[5]),
    Path::TickToWrite,
];

/// Names in reports, in order.
pub const NAMES: [&str; 15] = [
    "decode",
    "scan",
    "risk",
    "route",
    "market_data",
    "tick_to_order",
    "wire_to_wire",
    "end_to_end_trade",
    "order_decode",
    "order_scan",
    "order_risk",
    "order_route",
    "order_gate",
    "order_write",
    "tick_to_write",
];

pub use crate::telemetry::histogram::Percentiles as Summary;

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
    /// Samples; without any there is no verdict.
    pub samples: u64,
    /// Whether a miss is a finding: there were samples, and the host was fit to judge (see
    /// [`Target::unfit_host`]).
    pub judged: bool,
}

impl Target {
    /// The host cannot tell how fast the engine is: the target is shown, but nobody is blamed.
    #[must_use]
    pub fn unfit_host(mut self) -> Self {
        self.judged = false;
        self
    }

    /// Measured, judged, and missed.
    pub fn is_finding(&self) -> bool {
        self.judged && !self.pass
    }

    /// `passed`, `MISSED`, `missed` (where it is not judged) or `not measured`.
    pub fn verdict(&self) -> &'static str {
        match (self.samples > 0, self.pass, self.judged) {
            (false, ..) => "not measured",
            (_, true, _) => "passed",
            (_, _, true) => "MISSED",
            (_, _, false) => "missed",
        }
    }
}

/// The histograms of a run, or those that one thread fills.
#[derive(Clone, Debug)]
pub struct Latency {
    samples: [Option<Samples>; NAMES.len()],
}

impl Default for Latency {
    fn default() -> Self {
        Self::new()
    }
}

impl Latency {
    /// All paths, empty; allocates everything it will ever need.
    pub fn new() -> Self {
        Self { samples: std::array::from_fn(|_| Some(Samples::new())) }
    }

    /// Only these paths, empty; others are not kept.
    pub fn of(paths: &[Path]) -> Self {
        let mut samples = [const { None }; NAMES.len()];
        for path in paths {
            samples[index(*path)] = Some(Samples::new());
        }
        Self { samples }
    }

    /// Records a duration, ns.
    #[inline]
    pub fn record(&mut self, path: Path, duration: Nanos) {
        let samples = &mut self.samples[index(path)];
        debug_assert!(samples.is_some(), "{path:?} was not asked for");
        if let Some(samples) = samples {
            samples.record(duration);
        }
    }

    /// Adds another run's or thread's samples.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.samples.iter_mut().zip(&other.samples) {
            if let Some(theirs) = theirs.as_ref().filter(|theirs| theirs.count() > 0) {
                mine.get_or_insert_with(Samples::new).merge(theirs);
            }
        }
    }

    /// Empties it, keeping its memory.
    pub fn clear(&mut self) {
        self.samples.iter_mut().flatten().for_each(Samples::clear);
    }

    /// Name and summary of every path.
    pub fn summaries(&self) -> Vec<(&'static str, Summary)> {
        let of = |samples: &Option<Samples>| samples.as_ref().map(Samples::percentiles).unwrap_or_default();
        NAMES.iter().copied().zip(self.samples.iter().map(of)).collect()
    }

    /// Name and histogram of every path that has samples.
    pub fn histograms(&self) -> impl Iterator<Item = (&'static str, &Histogram<u64>)> {
        let named = NAMES.iter().copied().zip(&self.samples);
        named.filter_map(|(name, samples)| {
            samples.as_ref().filter(|samples| samples.count() > 0).map(|samples| (name, samples.histogram()))
        })
    }

    /// The histogram of a path that is kept.
    pub fn histogram(&self, path: Path) -> Option<&Histogram<u64>> {
        self.samples[index(path)].as_ref().map(Samples::histogram)
    }

    /// The summary of a path.
    pub fn summary(&self, path: Path) -> Summary {
        self.samples[index(path)].as_ref().map(Samples::percentiles).unwrap_or_default()
    }

    /// The verdicts: 1 ms for market data, 200 ms for a whole trade.
    pub fn targets(&self) -> Vec<Target> {
        [("market_data", Path::MarketData, MILLI), ("end_to_end_trade", Path::EndToEndTrade, 200 * MILLI)]
            .into_iter()
            .map(|(name, path, limit)| {
                let summary = self.summary(path);
                let (p999, basis) =
                    summary.p999.map_or((summary.max.unwrap_or(0), "max"), |p999| (p999, "p999"));
                let limit_ns = limit as u64;
                let samples = summary.count;
                let measured = samples > 0;
                let pass = measured && p999 <= limit_ns;
                Target { name, limit_ns, p999, basis, pass, samples, judged: measured }
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
        Path::Order(part) => 8 + part as usize,
        Path::TickToWrite => 14,
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

    /// Time per stage of the present input so far, in the order of [`STAGES`].
    #[inline]
    pub fn so_far(&self, now: Nanos) -> [Nanos; STAGES.len()] {
        let mut spent = self.spent;
        if let Some(current) = self.current {
            spent[current as usize] += now - self.since;
        }
        spent
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
        let summary = latency.summary(Path::MarketData);
        assert_eq!(
            (summary.count, summary.p50.is_some(), summary.p99, summary.p999),
            (999, true, None, None)
        );
        latency.record(Path::MarketData, 5_000_000);
        assert!(latency.summary(Path::MarketData).p99.is_some());
        let targets = latency.targets();
        assert_eq!((targets[0].basis, targets[0].pass), ("max", false));
        assert!(targets[0].is_finding() && targets[0].verdict() == "MISSED");
        let unfit = targets[0].clone().unfit_host();
        assert!(!unfit.is_finding() && !unfit.pass && unfit.verdict() == "missed");
        assert!(!targets[1].pass, "a target without samples is not met");
        assert!(!targets[1].is_finding(), "nor is it missed");
        assert_eq!((targets[1].verdict(), targets[1].samples), ("not measured", 0));
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
        assert_eq!(latency.summary(Path::Stage(Stage::Decode)).max, Some(15));
        assert_eq!(latency.summary(Path::Stage(Stage::Scan)).max, Some(15));
    }
}
