//! The targets of `bench wire`: what was measured, whether this host can judge it, and the verdict.

use super::{Case, WireReport};
use serde::Serialize;

/// Fewer cores than these cannot judge: the engine, two venues and the system each want one.
pub const CORES_MIN: usize = 4;
/// Samples beyond a percentile that make it worth a verdict.
const BEYOND: u64 = 10;
/// First leg against its floor, median.
const FIRST_P50_MAX: f64 = 1.3;
/// First leg against its floor, 99 %.
const FIRST_P99_MAX: f64 = 1.6;
/// Tick-to-order median, ns.
const TICK_P50_MAX: f64 = 3_000.0;

/// A target and how it was met.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WireTarget {
    /// What: a ratio to the floor, or nanoseconds where it ends in `_ns`.
    pub name: &'static str,
    /// The most that is allowed.
    pub limit: f64,
    /// What it was; absent without enough samples for the percentile.
    pub measured: Option<f64>,
    /// The fewest samples that it stands on (of the engine or of the floor).
    pub samples: u64,
    /// Whether a miss is a finding.
    pub judged: bool,
    /// Why it is not judged.
    pub reason: Option<String>,
    /// It was measured and within the limit.
    pub passed: bool,
}

/// The targets of the first case of profile `fused` at × 1 with journal, without TLS and with rehearsals;
/// none when that case was not run.
pub fn targets(cores: usize, cases: &[Case]) -> Vec<WireTarget> {
    let Some(case) = cases.iter().find(|case| case.name == "fused") else { return Vec::new() };
    let ratio = |a: Option<u64>, b: Option<u64>| Some(a? as f64 / b?.max(1) as f64);
    let pairs = case.first_leg.count.min(case.floor_first_leg.count);
    let tick = &case.tick_to_order;
    let (p50, p99) = (BEYOND * 2, BEYOND * 100);
    [
        (
            "first_leg_p50_to_floor",
            FIRST_P50_MAX,
            ratio(case.first_leg.p50, case.floor_first_leg.p50),
            pairs,
            p50,
        ),
        (
            "first_leg_p99_to_floor",
            FIRST_P99_MAX,
            ratio(case.first_leg.p99, case.floor_first_leg.p99),
            pairs,
            p99,
        ),
        ("tick_to_order_p50_ns", TICK_P50_MAX, tick.p50.map(|ns| ns as f64), tick.count, p50),
    ]
    .into_iter()
    .map(|(name, limit, measured, samples, needed)| {
        let reason = if cores < CORES_MIN {
            Some(format!("{cores} cores, at least {CORES_MIN} are needed"))
        } else if samples < needed {
            Some(format!("{samples} samples, at least {needed} are needed"))
        } else {
            None
        };
        let judged = reason.is_none() && measured.is_some();
        let passed = measured.is_some_and(|value| value <= limit);
        WireTarget { name, limit, measured, samples, judged, reason, passed }
    })
    .collect()
}

impl WireTarget {
    /// One line for people.
    pub fn line(&self) -> String {
        let measured = self.measured.map_or_else(|| "-".to_owned(), |value| format!("{value:.2}"));
        let verdict = match (&self.reason, self.passed) {
            (Some(reason), _) => format!("not judged ({reason})"),
            (None, true) => "met".to_owned(),
            (None, false) => "MISSED".to_owned(),
        };
        format!("{}: {measured} (limit {:.2}): {verdict}", self.name, self.limit)
    }
}

/// 1 when a judged target was missed or a venue refused an order, else 0.
pub fn exit_code(report: &WireReport) -> u8 {
    let missed = report.targets.iter().any(|target| target.judged && !target.passed);
    u8::from(missed || report.cases.iter().any(|case| case.refused > 0))
}

#[cfg(test)]
mod tests {
    use super::super::Tail;
    use super::*;

    fn case(ours: u64, samples: u64) -> Case {
        let tail = |value| Tail {
            count: samples,
            p50: Some(value),
            p99: (samples >= 1_000).then_some(value),
            ..Tail::default()
        };
        Case {
            name: "fused",
            first_leg: tail(ours),
            floor_first_leg: tail(100),
            tick_to_order: tail(2_000),
            ..Case::default()
        }
    }

    fn report(cores: usize, case: Case) -> WireReport {
        let cases = vec![case];
        WireReport { cores, targets: targets(cores, &cases), floor: Default::default(), cases }
    }

    #[test]
    fn a_verdict_needs_samples_beyond_the_percentile_and_cores() {
        let judged = |report: &WireReport| report.targets.iter().map(|t| t.judged).collect::<Vec<_>>();
        let fit = report(4, case(200, 1_000));
        assert_eq!(judged(&fit), [true; 3]);
        assert_eq!(fit.targets.iter().map(|t| t.passed).collect::<Vec<_>>(), [false, false, true]);
        assert_eq!(exit_code(&fit), 1);
        assert_eq!(judged(&report(4, case(200, 999))), [true, false, true]);
        assert_eq!(judged(&report(4, case(120, 19))), [false; 3]);
        let small = report(3, case(200, 5_000));
        assert_eq!((judged(&small), exit_code(&small)), (vec![false; 3], 0));
        assert!(small.targets[0].line().contains("not judged (3 cores"), "{}", small.targets[0].line());
    }

    #[test]
    fn a_refused_order_is_a_finding_on_any_host() {
        let mut clean = report(2, case(110, 50));
        assert_eq!(exit_code(&clean), 0);
        clean.cases[0].refused = 1;
        assert_eq!(exit_code(&clean), 1);
    }

    #[test]
    fn without_the_case_that_they_are_about_there_are_no_targets() {
        assert!(targets(8, &[Case { name: "x10", ..Case::default() }]).is_empty());
    }
}
