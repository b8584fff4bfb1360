//! Bundles of incidents: a stretch of a run in one file, with everything that a replay of it needs and what must hold.
//!
//! A zip of small members ([`About`] names them): the configuration, the stages and the independent checker before the first
//! input, the inputs and outputs of the stretch, notes, and `expect.toml`. It is unpacked to a [`super::part`] of a run, so
//! that everything that looks into a journal looks into a bundle, too. Start reading at [`mod@write`] and [`judge`].

pub mod expect;
pub mod file;
pub mod judge;
pub mod records;
pub mod secrets;
pub mod write;

use super::source::ReplayError;
use crate::journal::{Hash256, JournalError, RunId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

/// Version of the file that is written; older ones are read.
pub const FORMAT: u32 = 1;

/// Names of the members.
#[allow(missing_docs)] // named after what they hold
pub mod member {
    pub const ABOUT: &str = "bundle.toml";
    pub const CONFIG: &str = "config.json";
    pub const MANIFEST: &str = "manifest.json";
    pub const SNAPSHOT: &str = "snapshot.json.zst";
    pub const CHECKER: &str = "checker.json.zst";
    pub const INPUTS: &str = "inputs.zst";
    pub const OUTPUTS: &str = "outputs.zst";
    pub const EXPECT: &str = "expect.toml";
    pub const NOTES: &str = "notes.md";
}

/// What a bundle says of itself: `bundle.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// [`FORMAT`] of the file.
    pub format: u32,
    /// Program and version that wrote it.
    pub created_by: String,
    /// The run.
    pub run_id: RunId,
    /// Version of the rules that recorded the run.
    pub logic_version: u32,
    /// Number of the first input.
    pub first: u64,
    /// Number of the last input.
    pub last: u64,
    /// Instant of the first input.
    pub from: String,
    /// Instant of the last input.
    pub to: String,
    /// What the stretch was chosen by.
    pub around: String,
    /// The outputs of the stretch are all there: none may be missing.
    pub ended: bool,
    /// The program that wrote it made the recorded outputs again from the bundle.
    pub reproduced: bool,
    /// What looked like a secret and was blanked: input and name.
    #[serde(default)]
    pub blanked: Vec<String>,
    /// SHA-256 of every other member.
    pub members: BTreeMap<String, Hash256>,
}

/// Why a bundle cannot be written or read.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the fields are the parts of the sentence
pub enum BundleError {
    /// The journal, or what the bundle was unpacked to.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// The file system.
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    /// A file that is no bundle, or a damaged one.
    #[error("{path} cannot be read as a bundle: {why}")]
    Unfit { path: PathBuf, why: String },
    /// What is expected makes no sense.
    #[error("{path}: expect.toml: {why}")]
    Expect { path: PathBuf, why: String },
    /// A stretch that the run does not have, or that may not leave it.
    #[error("{0}")]
    Stretch(String),
}

impl From<JournalError> for BundleError {
    fn from(failure: JournalError) -> Self {
        Self::Replay(failure.into())
    }
}
