//! The bridge from a journal directory to the independent checker.

use super::check::{CheckLimits, check_journal};
use super::source::ReplayError;
use crate::domain::params::EngineParams;
use std::path::Path;

/// Checks the journal in `dir` against `params`: a sentence per violation.
pub fn check_dir(dir: &Path, params: &EngineParams) -> Result<Vec<String>, ReplayError> {
    let report = check_journal(dir, Some(&CheckLimits::of(params)))?;
    let mut sentences: Vec<String> = report.first.iter().map(ToString::to_string).collect();
    let more = report.violations.saturating_sub(sentences.len() as u64);
    if more > 0 {
        sentences.push(format!("{more} further violations"));
    }
    Ok(sentences)
}
