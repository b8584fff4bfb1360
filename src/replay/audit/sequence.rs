//! Sequence and damage: numbers without a gap, whole records, and clocks that do not jump.

use super::finding::Findings;
use crate::domain::event::Seq;
use crate::domain::time::{MILLI, Nanos, SECOND, Stamp};
use crate::journal::{Damage, Mark};
use serde::Serialize;

/// A wall clock that moves by more than this against the monotonic one has stepped.
const STEP: Nanos = 10 * MILLI;
/// Such a step is a finding.
const STEP_MAX: Nanos = SECOND;

/// How whole the record is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SequenceReport {
    /// Number of the first input; more than 1 where the journal does not begin with its run.
    pub first: u64,
    /// Inputs read, numbered from there without a gap.
    pub inputs: u64,
    /// Output records read.
    pub outputs: u64,
    /// Wall time of the first input, ns since the epoch.
    pub begun_ns: Nanos,
    /// Wall time of the last one.
    pub ended_ns: Nanos,
    /// Both streams were closed in order; otherwise the run crashed or still writes.
    pub closed: bool,
    /// The tail of a stream is torn, above what was known to be on the disk: the trace of a crash, no finding.
    pub torn: Vec<String>,
    /// Steps of the wall clock by more than 10 ms.
    pub clock_steps: u64,
    /// The largest of them, ns.
    pub clock_step_max_ns: Nanos,
    /// Nothing is missing or damaged.
    pub clean: bool,
}

/// Watches numbers and clocks.
#[derive(Debug)]
pub(super) struct Sequence {
    pub report: SequenceReport,
    anchor: Option<Nanos>,
}

impl Sequence {
    /// Behind input `after`, at `at`; 0 = of a whole run.
    pub fn behind(after: Seq, at: Stamp) -> Self {
        let first = after.0 + 1;
        // The wall clock of a part is known from its state.
        let anchor = (first > 1).then_some(at.wall - at.mono);
        Self { report: SequenceReport { first, ..SequenceReport::default() }, anchor }
    }

    pub fn input(&mut self, at: Stamp) {
        self.report.inputs += 1;
        let settled = self.report.inputs > 2 || self.report.first > 1; // the anchor is a run's second input
        if self.report.begun_ns <= 0 || !settled {
            self.report.begun_ns = at.wall;
        }
        self.report.ended_ns = at.wall;
    }

    /// The wall clock is set.
    pub fn anchor(&mut self, anchor: Nanos, (seq, at): (Seq, Stamp), findings: &mut Findings) {
        let Some(before) = self.anchor.replace(anchor) else { return };
        let step = anchor - before;
        if step.abs() <= STEP {
            return;
        }
        self.report.clock_steps += 1;
        if step.abs() > self.report.clock_step_max_ns.abs() {
            self.report.clock_step_max_ns = step;
        }
        if step.abs() > STEP_MAX {
            let detail = format!("the wall clock stepped by {step} ns");
            findings.add("sequence", "clock_step", (seq, at.wall), "clock", detail);
        }
    }

    /// A stream cannot be read on.
    pub fn damage(
        &mut self,
        damage: &Damage,
        mark: Option<Mark>,
        place: (Seq, Nanos),
        findings: &mut Findings,
    ) {
        // What was never known to be on the disk may be lost when a run ends abruptly.
        let closed = mark.is_some_and(|mark| mark.closed);
        if !closed && damage.position >= mark.map_or(0, |mark| mark.position) {
            self.report.torn.push(damage.to_string());
        } else {
            findings.add("sequence", "damaged", place, damage.stream.to_string(), damage.to_string());
        }
    }
}
