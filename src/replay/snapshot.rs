//! Snapshots of a run: all stages after one input, made by replay, so that a later replay may begin there.
//!
//! A cache beside the journal: `DIR/snapshots/v<logic version>/<number of the input>.json.zst`, or the same below another
//! directory. What does not belong to the run, its configuration or these rules, or is not whole, is never used.
//! Nothing is written beside a run that has not ended, nor where that is not possible: then seeks only take longer.

use super::course::Course;
use super::denials::Denials;
use crate::domain::event::Seq;
use crate::domain::state::State as _;
use crate::domain::time::{Nanos, Stamp};
use crate::journal::{Hash256, Manifest, RunId, Stream, read_mark};
use crate::stage::LOGIC_VERSION;
use crate::stage::river::River;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

/// Inputs between two snapshots of a run of up to [`COUNT_MAX`] times as many. A seek replays fewer than that: measured in
/// docs/JOURNAL.md, so that it takes less than a second with room to spare.
pub const SPACING: u64 = 1 << 18;
/// Most snapshots of a run: longer runs have them farther apart, so that the cache is bounded.
pub const COUNT_MAX: u64 = 1024;
/// Version of the file.
const FORMAT: u32 = 1;
/// A file whose content is longer is none of ours: reading it would cost memory that the file decides.
const BYTES_MAX: u64 = 1 << 30;
const END: &str = ".json.zst";

/// All that a replay needs to go on after an input.
#[derive(Debug, Serialize, Deserialize)]
pub struct Snapshot {
    /// Version of the file's layout.
    pub format: u32,
    /// Whose rules made it.
    pub logic_version: u32,
    /// The run.
    pub run_id: RunId,
    /// SHA-256 of its configuration, as its manifest states it.
    pub configuration_hash: String,
    /// The last input.
    pub seq: Seq,
    /// Its monotonic time.
    pub mono: Nanos,
    /// What the wall clock was ahead of it.
    pub wall_anchor: Nanos,
    /// SHA-256 of `state`.
    pub sha256: Hash256,
    /// The stages and the denials on their way, canonically.
    state: Box<RawValue>,
}

/// What stands before the state: enough to search by.
#[derive(Debug, Deserialize)]
pub(super) struct Head {
    /// Monotonic time of the last input.
    pub mono: Nanos,
    /// What the wall clock was ahead of it.
    pub wall_anchor: Nanos,
}

/// A head is shorter.
const HEAD_BYTES: u64 = 4 << 10;

/// What is hashed.
#[derive(Serialize, Deserialize)]
struct Content {
    denials: Denials,
    /// Not in those of older programs.
    #[serde(default = "Course::unknown")]
    course: Course,
    river: Box<RawValue>,
}

/// Why a snapshot could not be made, or is not used.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the fields are the parts of the sentence
pub enum SnapshotError {
    /// The file system.
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    /// Its content.
    #[error("the snapshot {path} is not used: {why}")]
    Unfit { path: PathBuf, why: String },
}

impl Snapshot {
    /// Of `river` as it is now.
    pub fn take(
        manifest: &Manifest,
        river: &River,
        denials: &Denials,
        course: &Course,
    ) -> Result<Self, serde_json::Error> {
        let river_state = RawValue::from_string(river.save().map_err(|error| error.source)?)?;
        let content = Content { denials: denials.clone(), course: *course, river: river_state };
        let state = RawValue::from_string(serde_json::to_string(&content)?)?;
        let (seq, Stamp { mono, wall }) = river.now();
        Ok(Self {
            format: FORMAT,
            logic_version: LOGIC_VERSION,
            run_id: manifest.run_id,
            configuration_hash: manifest.configuration_hash.clone(),
            seq,
            mono,
            wall_anchor: wall - mono,
            sha256: Hash256::of(state.get().as_bytes()),
            state,
        })
    }

    /// The canonical text of the state.
    pub fn state(&self) -> &str {
        self.state.get()
    }

    /// Puts the state into freshly built stages of the same run.
    pub fn restore(&self, river: &mut River) -> Result<(Denials, Course), String> {
        let content: Content = serde_json::from_str(self.state.get()).map_err(|why| why.to_string())?;
        river.load(content.river.get()).map_err(|why| why.to_string())?;
        Ok((content.denials, content.course))
    }

    /// Writes it to `path`, whole or not at all.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        write_packed(path, &serde_json::to_vec(self)?)
    }

    /// Reads the file `path` and checks that it is of the run of `manifest` after input `seq`.
    ///
    /// # Errors
    /// It cannot be read, or is of another run or damaged.
    pub fn read(path: &Path, manifest: &Manifest, seq: Seq, rules: Rules) -> Result<Self, SnapshotError> {
        let unfit = |why: String| SnapshotError::Unfit { path: path.to_owned(), why };
        let text = read_packed(path)?;
        let snapshot: Self =
            serde_json::from_slice(&text).map_err(|why| unfit(format!("it is damaged ({why})")))?;
        match snapshot.unfit(manifest, seq, rules) {
            Some(why) => Err(unfit(why)),
            None => Ok(snapshot),
        }
    }

    /// What keeps it from being used for the run of `manifest` after input `seq`.
    fn unfit(&self, manifest: &Manifest, seq: Seq, rules: Rules) -> Option<String> {
        let checks = [
            (self.format == FORMAT, "it has another format"),
            (rules == Rules::Any || self.logic_version == LOGIC_VERSION, "other rules made it"),
            (self.run_id == manifest.run_id, "it is of another run"),
            (self.configuration_hash == manifest.configuration_hash, "it is of another configuration"),
            (self.seq == seq, "its name is that of another input"),
            (self.sha256 == Hash256::of(self.state.get().as_bytes()), "it is damaged (SHA-256)"),
        ];
        checks.iter().find(|(good, _)| !good).map(|(_, why)| (*why).to_owned())
    }
}

/// Whose snapshots are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rules {
    /// These rules'.
    Own,
    /// Any version's, as far as its fields can be read: what cannot be made anew.
    Any,
}

/// Inputs between two snapshots of a run whose last input has the number `last`.
const fn spacing(last: u64) -> u64 {
    let mut spacing = SPACING;
    while last / spacing > COUNT_MAX {
        spacing *= 2;
    }
    spacing
}

/// The snapshots of a run.
#[derive(Debug)]
pub struct Snapshots {
    dir: PathBuf,
    writable: bool,
    spacing: u64,
    /// What was not as it should be, in words, until it is taken.
    told: Vec<String>,
}

impl Snapshots {
    /// Those of the run in `dir`, or below `cache` if that is given. They are written only beside a run that has ended,
    /// and below a `cache`.
    pub fn of(dir: &Path, manifest: &Manifest, cache: Option<&Path>) -> Self {
        let mark = read_mark(dir, Stream::Inputs, manifest.run_id.0);
        let writable = cache.is_some() || mark.is_some_and(|mark| mark.closed);
        let place = match cache {
            Some(cache) => cache.join(manifest.run_id.to_string()),
            None => dir.join("snapshots"),
        };
        let dir = place.join(format!("v{LOGIC_VERSION}"));
        Self { dir, writable, spacing: spacing(mark.map_or(0, |mark| mark.seq)), told: Vec::new() }
    }

    /// Makes one every `spacing` inputs; 0 = none.
    pub fn set_spacing(&mut self, spacing: u64) {
        self.spacing = spacing;
    }

    /// Whether one is to be made after input `seq`.
    #[inline]
    pub fn is_due(&self, seq: Seq) -> bool {
        self.writable && self.spacing > 0 && seq.0.is_multiple_of(self.spacing)
    }

    /// The inputs after which there is one, in their order.
    pub fn list(&self) -> Vec<Seq> {
        let names = fs::read_dir(&self.dir).into_iter().flatten().flatten().map(|entry| entry.file_name());
        let number = |name: std::ffi::OsString| name.to_str()?.strip_suffix(END)?.parse().ok().map(Seq);
        let mut found: Vec<Seq> = names.filter_map(number).collect();
        found.sort_unstable();
        found
    }

    /// The latest that is at `to` or before, but after `after`. One that cannot be used is told, removed where that is
    /// possible, and the one before it taken.
    pub fn nearest(&mut self, manifest: &Manifest, after: Seq, to: Seq) -> Option<Snapshot> {
        let candidates = self.list().into_iter().rev();
        for seq in candidates.skip_while(|seq| *seq > to).take_while(|seq| *seq > after) {
            match self.read(manifest, seq) {
                Ok(snapshot) => return Some(snapshot),
                Err(why) => self.refuse(seq, why.to_string()),
            }
        }
        None
    }

    /// Says why one is not used and removes it, so that it is made anew.
    pub fn refuse(&mut self, seq: Seq, why: String) {
        self.told.push(why);
        if self.writable {
            // Still there, it is refused again and never replaced: slower, and told.
            let _ = fs::remove_file(self.path(seq));
        }
    }

    /// What was not as it should be since the last look.
    pub fn take_told(&mut self) -> Vec<String> {
        std::mem::take(&mut self.told)
    }

    /// Where the one after input `seq` is.
    pub fn path(&self, seq: Seq) -> PathBuf {
        self.dir.join(format!("{:020}{END}", seq.0))
    }

    /// Reads the one after input `seq` and checks whose it is.
    ///
    /// # Errors
    /// It cannot be read, or is of another run or damaged.
    pub fn read(&self, manifest: &Manifest, seq: Seq) -> Result<Snapshot, SnapshotError> {
        Snapshot::read(&self.path(seq), manifest, seq, Rules::Own)
    }

    /// The head of the one after input `seq`, without its state; `None` when it cannot be read. Whose it is, is not checked:
    /// good for looking where to begin, and no more.
    pub(super) fn head(&self, seq: Seq) -> Option<Head> {
        let mut text = Vec::new();
        let file = File::open(self.path(seq)).ok()?;
        zstd::Decoder::new(file).ok()?.take(HEAD_BYTES).read_to_end(&mut text).ok()?;
        let end = memchr::memmem::find(&text, b",\"state\":")?;
        text.truncate(end);
        text.push(b'}');
        serde_json::from_slice(&text).ok()
    }

    /// Keeps a snapshot, whole or not at all, unless there is one already. Where it cannot be written, that is told once
    /// and no further one is tried: it is a cache.
    pub fn keep(&mut self, snapshot: &Snapshot) {
        let path = self.path(snapshot.seq);
        if !self.writable || path.exists() {
            return;
        }
        if let Err(why) = fs::create_dir_all(&self.dir).and_then(|()| snapshot.write(&path)) {
            self.writable = false;
            self.told.push(format!("no snapshots are kept: {}: {why}", path.display()));
        }
    }
}

/// Writes text to `path`, compressed, whole or not at all, and waits for the disk.
pub(super) fn write_packed(path: &Path, text: &[u8]) -> io::Result<()> {
    write_whole(path, |file| {
        let mut to = zstd::Encoder::new(file, zstd::DEFAULT_COMPRESSION_LEVEL)?;
        to.include_checksum(true)?;
        to.write_all(text)?;
        to.finish()
    })
}

/// Writes the file `path` whole or not at all, and waits for the disk.
pub(super) fn write_whole(path: &Path, write: impl FnOnce(File) -> io::Result<File>) -> io::Result<()> {
    // Two commands may work on one run: each writes aside under its own name.
    let aside = path.with_extension(format!("{}.tmp", std::process::id()));
    let written = (|| {
        write(File::create(&aside)?)?.sync_data()?;
        fs::rename(&aside, path)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&aside); // the error that matters is the first
        return written;
    }
    File::open(path.parent().unwrap_or(path)).and_then(|dir| dir.sync_all())
}

/// Reads what [`write_packed`] wrote.
pub(super) fn read_packed(path: &Path) -> Result<Vec<u8>, SnapshotError> {
    let file = File::open(path).map_err(|source| SnapshotError::Io { path: path.to_owned(), source })?;
    let mut text = Vec::new();
    match zstd::Decoder::new(file).and_then(|bytes| bytes.take(BYTES_MAX).read_to_end(&mut text)) {
        Ok(_) => Ok(text),
        Err(why) => {
            Err(SnapshotError::Unfit { path: path.to_owned(), why: format!("it is damaged ({why})") })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_snapshots_of_a_run_is_bounded_whatever_its_length() {
        assert_eq!(spacing(0), SPACING, "not known");
        assert_eq!(spacing(SPACING * COUNT_MAX), SPACING);
        for last in [SPACING * COUNT_MAX * 3, 1 << 40, u64::MAX] {
            let count = last / spacing(last);
            assert!((COUNT_MAX / 2..=COUNT_MAX).contains(&count), "{count} of {last}");
        }
    }
}
