//! A journal that does not begin with its run: what a bundle is unpacked to.
//!
//! Beside its segments lie the configuration (`config.json`) and the stages before its first input N
//! (`start-<N-1>.json.zst`, a [`Snapshot`]). Replays, places and the debugger take it as any other journal; what needs
//! the whole run says so.

use super::snapshot::{Rules, Snapshot};
use super::source::{ReplayError, RunConfig};
use crate::domain::event::Seq;
use crate::domain::time::Nanos;
use crate::journal::Manifest;
use std::fs;
use std::path::{Path, PathBuf};

/// The configuration of the run.
pub const CONFIG_FILE: &str = "config.json";
const START: &str = "start-";
const END: &str = ".json.zst";

/// Where the state after input `seq` lies.
pub fn start_path(dir: &Path, seq: Seq) -> PathBuf {
    dir.join(format!("{START}{:020}{END}", seq.0))
}

/// The input behind which the journal in `dir` begins; 0 = it begins with the run.
pub fn begins_after(dir: &Path) -> Seq {
    let names = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let number =
        |name: std::ffi::OsString| name.to_str()?.strip_prefix(START)?.strip_suffix(END)?.parse().ok();
    names.filter_map(number).map(Seq).min().unwrap_or(Seq(0))
}

/// The stages before the first input; `None` where that is the run's first. Those of other versions of the rules are
/// read, too: they cannot be made anew.
pub fn start(dir: &Path, manifest: &Manifest) -> Result<Option<Snapshot>, ReplayError> {
    let seq = begins_after(dir);
    if seq == Seq(0) {
        return Ok(None);
    }
    let read = Snapshot::read(&start_path(dir, seq), manifest, seq, Rules::Any);
    read.map(Some).map_err(|why| ReplayError::Part { dir: dir.to_owned(), why: why.to_string() })
}

/// What the wall clock was ahead of the monotonic one before the first input of a part.
pub fn start_wall(dir: &Path) -> Result<Option<Nanos>, ReplayError> {
    Ok(start(dir, &Manifest::read(dir)?)?.map(|snapshot| snapshot.wall_anchor))
}

/// The configuration that lies beside a part of a run: its bytes and what they say.
pub fn config(dir: &Path) -> Result<(Vec<u8>, RunConfig), ReplayError> {
    let failed =
        |why: String| ReplayError::Part { dir: dir.to_owned(), why: format!("{CONFIG_FILE}: {why}") };
    let bytes = fs::read(dir.join(CONFIG_FILE)).map_err(|why| failed(why.to_string()))?;
    let config = serde_json::from_slice(&bytes).map_err(|why| failed(why.to_string()))?;
    Ok((bytes, config))
}

/// An error where the journal in `dir` does not begin with the run.
pub fn must_be_whole(dir: &Path) -> Result<(), ReplayError> {
    match begins_after(dir) {
        Seq(0) => Ok(()),
        Seq(after) => Err(ReplayError::Part {
            dir: dir.to_owned(),
            why: format!(
                "it begins at input {}, and this needs the whole run: `replay` and `step` do without",
                after + 1
            ),
        }),
    }
}
