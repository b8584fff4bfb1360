//! A journal that does not begin with its run: what a bundle is unpacked to, and what retention leaves ([`super::floor`]).
//!
//! Beside its segments lie the configuration (`config.json`) and the stages before its first input N
//! (`start-<N-1>.json.zst`, a [`Snapshot`]). Of several starts, which a retention that was broken off leaves, the first
//! counts behind which every input is there. Every reading command takes it as any other journal.

use super::check::{CheckLimits, Checker};
use super::course::Course;
use super::denials::Denials;
use super::snapshot::{Rules, Snapshot, read_packed};
use super::source::{ReplayError, RunConfig};
use crate::domain::event::Seq;
use crate::domain::time::Nanos;
use crate::journal::{Manifest, Reader, Stream};
use crate::stage::LOGIC_VERSION;
use crate::stage::river::River;
use std::fs;
use std::path::{Path, PathBuf};

/// The configuration of the run.
pub const CONFIG_FILE: &str = "config.json";
const START: &str = "start-";
const CHECKS: &str = "checks-";
const END: &str = ".json.zst";

/// Where the state after input `seq` lies.
pub fn start_path(dir: &Path, seq: Seq) -> PathBuf {
    dir.join(format!("{START}{:020}{END}", seq.0))
}

/// Where what a [`Checker`] knows after input `seq` lies.
pub(super) fn checks_path(dir: &Path, seq: Seq) -> PathBuf {
    dir.join(format!("{CHECKS}{:020}{END}", seq.0))
}

/// Files whose name is `begin`, the number of an input and the usual end, in the order of these.
fn numbered(dir: &Path, begin: &str) -> Vec<(Seq, PathBuf)> {
    let paths = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let number = |path: PathBuf| {
        let name = path.file_name()?.to_str()?;
        let seq = name.strip_prefix(begin)?.strip_suffix(END)?.parse().ok()?;
        Some((Seq(seq), path))
    };
    let mut found: Vec<_> = paths.filter_map(number).collect();
    found.sort_unstable();
    found
}

/// Everything that lies in `dir` so that the journal can begin later than its run.
pub(super) fn floors(dir: &Path) -> Vec<(Seq, PathBuf)> {
    [numbered(dir, START), numbered(dir, CHECKS)].concat()
}

/// The input behind which the journal in `dir` begins; 0 = it begins with the run.
pub fn begins_after(dir: &Path) -> Seq {
    let starts = numbered(dir, START);
    let Some((earliest, _)) = starts.first() else { return Seq(0) };
    let first = Reader::open(dir, Stream::Inputs)
        .and_then(|mut reader| Ok(reader.next()?.map(|record| record.seq)))
        .unwrap_or_default(); // what cannot be read is told by whoever reads on
    match first {
        None => *earliest,
        Some(1) => Seq(0),
        Some(first) => {
            let reaches = starts.iter().find(|(seq, _)| seq.0 + 1 >= first);
            reaches.or(starts.last()).map_or(Seq(0), |(seq, _)| *seq)
        }
    }
}

/// A checker that has seen the run up to input `seq`, where the journal in `dir` begins.
pub(super) fn checker(dir: &Path, seq: Seq, limits: CheckLimits) -> Result<Checker, ReplayError> {
    if seq == Seq(0) {
        return Ok(Checker::new(limits));
    }
    let failed = |why: String| ReplayError::Part { dir: dir.to_owned(), why };
    let path = checks_path(dir, seq);
    if !path.exists() {
        return Err(failed(format!(
            "the program that made it kept nothing of what a check knows before input {}, and this needs that or the whole run",
            seq.0 + 1
        )));
    }
    let text = read_packed(&path).map_err(|why| failed(why.to_string()))?;
    let checker: Checker = serde_json::from_slice(&text)
        .map_err(|why| failed(format!("{} cannot be read by this version: {why}", path.display())))?;
    Ok(checker.under(limits))
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

/// Puts the stages of a part's beginning into freshly built ones, and tells the denials that are on their way and the course.
pub fn enter(dir: &Path, start: &Snapshot, river: &mut River) -> Result<(Denials, Course), ReplayError> {
    start.restore(river).map_err(|why| ReplayError::Part {
        dir: dir.to_owned(),
        why: format!(
            "version {} of the rules wrote the state after input {}, and this version ({LOGIC_VERSION}) cannot read it: {why}",
            start.logic_version, start.seq.0
        ),
    })
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
