//! A replay on the threads of a profile: journal in place of the gateway, comparer in place of the recorder.

#![allow(clippy::disallowed_methods)] // waiting for threads to end

use super::probe::Probe;
use super::threaded::record::Chores;
use super::threaded::{Feed, start};
use crate::domain::time::Nanos;
use crate::ops::view::Board;
use crate::replay::source::ReplayError;
use crate::replay::verify::{Begun, Compare, Comparer, Report, begin, replay};
use crate::runtime::clock::ClockOrigin;
use crate::runtime::profile::{Layout, Plan};
use std::path::Path;
use std::time::Duration;

/// Why a replay on threads could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ReplayedError {
    /// The journal.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// The system gave no thread.
    #[error("the system refused a thread: {0}")]
    System(#[from] std::io::Error),
    /// A thread failed.
    #[error("the replay broke off: {0}")]
    Failed(String),
}

impl Chores for Comparer {
    fn publish(&mut self, _probe: &mut Probe, _mono: Nanos, _board: &Board) {}
}

/// Verifies the journal in `dir` with the stages on the threads of `plan`.
pub fn verify_on(dir: &Path, plan: &Plan, progress: &mut dyn FnMut(u64)) -> Result<Report, ReplayedError> {
    replay_on(dir, plan, Compare::Outputs, progress)
}

/// Replays the journal in `dir` with the stages on the threads of `plan`.
pub fn replay_on(
    dir: &Path,
    plan: &Plan,
    compare: Compare,
    progress: &mut dyn FnMut(u64),
) -> Result<Report, ReplayedError> {
    if plan.layout == Layout::Fused {
        return Ok(replay(dir, compare, progress)?);
    }
    let Begun { parts, inputs, comparer } = match begin(dir, compare)? {
        Ok(begun) => begun,
        Err(report) => return Ok(*report),
    };
    let hole = inputs.hole();
    let feed = Feed::Journal(inputs);
    let threaded = start(plan, parts, feed, comparer, ClockOrigin::begin(), &Board::default())?;
    while !threaded.is_finished() && threaded.failure().is_none() {
        #[allow(clippy::disallowed_methods)] // waits for threads that end on their own
        std::thread::sleep(Duration::from_millis(2));
    }
    let ended = threaded.end();
    if let Some(failure) = ended.failure {
        return Err(ReplayedError::Failed(failure));
    }
    let comparer = ended.tap.ok_or_else(|| ReplayedError::Failed("the comparing thread is gone".into()))?;
    Ok(comparer.into_report(hole.get().copied())?)
}
