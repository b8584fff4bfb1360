//! Outputs without a run: what this program makes of recorded inputs, written as a journal of its own; and the outputs
//! of a journal in the order of their keys, in little memory.

use super::cursor::Cursor;
use super::source::{RecordedOutput, ReplayError, RunConfig};
use crate::domain::codec::decode_output;
use crate::domain::effect::OutMsg;
use crate::domain::event::{Event, Seq};
use crate::domain::input::{InputClass, RawInput};
use crate::domain::intent::{Denial, Intent, NearMiss};
use crate::domain::output::{Output, OutputKey, STAGES, Stage};
use crate::domain::time::{Nanos, Stamp};
use crate::journal::{JournalOptions, Manifest, Reader, Stream};
use crate::stage::LOGIC_VERSION;
use crate::stage::record::Recorder;
use crate::stage::river::{Parts, Tap};
use std::path::{Path, PathBuf};

/// Records outputs and no inputs.
struct OutputsOnly {
    recorder: Recorder,
    mono: Nanos,
}

impl OutputsOnly {
    fn output(&mut self, key: OutputKey, output: &Output) {
        self.recorder.output(key, self.mono, output, &[]);
    }
}

impl Tap for OutputsOnly {
    fn input(&mut self, _seq: Seq, at: Stamp, _class: InputClass, _raw: &RawInput<'_>) {
        self.mono = at.mono;
    }

    fn event(&mut self, event: &Event) {
        self.recorder.event(event);
    }

    fn intent(&mut self, key: OutputKey, intent: &Intent) {
        self.output(key, &Output::Intent(*intent));
    }

    fn approved(&mut self, key: OutputKey, intent: &Intent) {
        self.output(key, &Output::Approved(*intent));
    }

    fn denied(&mut self, key: OutputKey, denial: &Denial) {
        self.output(key, &Output::Denied(*denial));
    }

    fn message(&mut self, key: OutputKey, message: &OutMsg) {
        self.recorder.message(key, self.mono, message);
    }

    fn near_miss(&mut self, key: OutputKey, near: &NearMiss) {
        self.output(key, &Output::NearMiss(*near));
    }

    fn state(&mut self, key: OutputKey, hash: u64) {
        self.output(key, &Output::State(hash));
    }

    fn end(&mut self, seq: Seq) {
        self.recorder.end(seq, self.mono);
    }
}

/// Passes the inputs of the journal in `dir` through the stages of this program and writes what they make to `out`, a
/// new directory: a journal whose stream of inputs is empty and whose manifest names these rules. Returns the number of
/// inputs.
///
/// # Errors
/// Either journal's.
pub fn record_outputs(dir: &Path, out: &Path, progress: &mut dyn FnMut(u64)) -> Result<u64, ReplayError> {
    let mut cursor = Cursor::open(dir)?;
    cursor.snapshots().set_spacing(0); // on the way once only
    let manifest = Manifest { logic_version: LOGIC_VERSION, ..cursor.manifest().clone() };
    let options = JournalOptions { segment_bytes: 16 << 20, helper: false, ..JournalOptions::default() };
    let recorder = Recorder::create(out, &manifest, &options)?;
    let mut tap = OutputsOnly { recorder, mono: 0 };
    let mut count = 0;
    while cursor.step(&mut tap)? {
        count += 1;
        if cursor.seq().0.is_multiple_of(1 << 16) {
            progress(cursor.seq().0);
        }
    }
    tap.recorder.close()?;
    Ok(count)
}

/// Stages for a configuration.
pub(super) fn parts(dir: &Path, config: &RunConfig) -> Result<Parts, ReplayError> {
    Parts::new(&config.params, config.trading)
        .map_err(|source| ReplayError::Dialect { dir: dir.to_owned(), source })
}

/// The outputs of a journal by cause, stage and ordinal. Stages on threads interleave in the file, and some are silent
/// for hours: each is read by its own reader, so that nothing has to be kept.
pub struct Ordered {
    dir: PathBuf,
    stages: [(Stage, Reader, Option<RecordedOutput>); STAGES.len()],
    closed: bool,
    /// Outputs of inputs up to here are not told: retention has left them, but not their causes.
    after: Seq,
}

impl Ordered {
    /// Opens the output stream of the journal in `dir`.
    ///
    /// # Errors
    /// The journal's.
    pub fn open(dir: &Path) -> Result<Self, ReplayError> {
        let (open, after) = (|_| Reader::open(dir, Stream::Outputs), super::part::begins_after(dir));
        let [a, b, c, d] = STAGES.map(open);
        let readers = [a?, b?, c?, d?];
        let mut at = STAGES.into_iter();
        let stages = readers.map(|reader| (at.next().unwrap_or(Stage::Decode), reader, None));
        let mut ordered = Self { dir: dir.to_owned(), stages, closed: super::verify::is_closed(dir)?, after };
        for stage in 0..STAGES.len() {
            ordered.advance(stage)?;
        }
        Ok(ordered)
    }

    /// Reads the next output of a stage; the class of a record names its stage.
    fn advance(&mut self, at: usize) -> Result<Option<RecordedOutput>, ReplayError> {
        let (stage, reader, next) = &mut self.stages[at];
        let before = next.take();
        while let Some(record) = reader.next()? {
            if record.class != *stage as u8 || record.seq <= self.after.0 {
                continue;
            }
            let (key, output, raw) =
                decode_output(Seq(record.seq), record.body).map_err(|why| ReplayError::Record {
                    dir: self.dir.clone(),
                    stream: "output",
                    seq: record.seq,
                    why: why.to_string(),
                })?;
            *next = Some((key, output, raw.to_vec()));
            break;
        }
        Ok(before)
    }

    /// The outputs of `seq` (and whatever stands before it and was not taken).
    ///
    /// # Errors
    /// The journal's.
    pub fn take(&mut self, seq: Seq) -> Result<Vec<RecordedOutput>, ReplayError> {
        let mut found = Vec::new();
        for at in 0..self.stages.len() {
            while self.stages[at].2.as_ref().is_some_and(|next| next.0.cause <= seq) {
                found.extend(self.advance(at)?);
            }
        }
        Ok(found)
    }

    /// The stage's record breaks off here: what it made afterwards is not known.
    pub fn breaks_off(&self, stage: Stage) -> bool {
        !self.closed && self.stages[stage as usize].2.is_none()
    }
}
