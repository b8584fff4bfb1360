//! The bridge from a journal directory to the independent checker.

use super::source::ReplayError;
use crate::domain::params::EngineParams;
use std::path::Path;

/// Checks the journal in `dir` against `params`.
pub fn check_dir(_dir: &Path, _params: &EngineParams) -> Result<Vec<String>, ReplayError> {
    Ok(Vec::new())
}
