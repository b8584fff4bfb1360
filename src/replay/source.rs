//! Reading a run's journal as inputs and outputs of the domain.

use super::part;
use crate::domain::codec::{decode_input, decode_output};
use crate::domain::event::Seq;
use crate::domain::input::{Input, RawInput};
use crate::domain::output::{Output, OutputKey, STAGES, Stage};
use crate::domain::params::EngineParams;
use crate::domain::time::Nanos;
use crate::journal::{JournalError, Manifest, Reader, Stream};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// Why a journal cannot be replayed at all.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the fields are the parts of the sentence
pub enum ReplayError {
    /// The journal itself.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A record that this version cannot understand.
    #[error("record {seq} of the {stream} stream in {dir} cannot be understood by this version: {why}")]
    Record { dir: PathBuf, stream: &'static str, seq: u64, why: String },
    /// The first input must be the configuration.
    #[error("{dir} does not begin with a configuration record: is it a perpring journal of inputs?")]
    NoConfig { dir: PathBuf },
    /// A place that the run does not have.
    #[error("{dir}: {why}")]
    Place { dir: PathBuf, why: String },
    /// The state before the first input of a part of a run.
    #[error("the part of a run in {dir} cannot be entered: {why}")]
    Part { dir: PathBuf, why: String },
    /// A dialect that this build does not have.
    #[error("{dir}: {source}")]
    Dialect { dir: PathBuf, source: crate::stage::decode::UnknownDialect },
}

/// What the first input of every run holds.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct RunConfig {
    /// Whether private sessions and orders are part of the run.
    pub trading: bool,
    /// All parameters.
    pub params: EngineParams,
}

impl RunConfig {
    /// The canonical bytes: what is recorded and hashed.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// A hole in the sequence of recorded inputs: the number that was expected and the one found.
pub type Hole = Arc<OnceLock<(u64, u64)>>;

/// The inputs of a run, in order. Ends at the first hole in their sequence, which [`Inputs::hole`] then tells.
pub struct Inputs {
    dir: PathBuf,
    reader: Reader,
    /// Number of the input before; `None` when the next one tells.
    last: Option<u64>,
    hole: Hole,
}

impl Inputs {
    /// Opens the input stream of the journal in `dir`.
    pub fn open(dir: &Path) -> Result<Self, ReplayError> {
        let (mut reader, after) = (Reader::open(dir, Stream::Inputs)?, part::begins_after(dir).0);
        if after > 0 {
            reader.seek(after + 1)?; // a retention that was broken off leaves inputs before
        }
        Ok(Self { dir: dir.to_owned(), reader, last: Some(after), hole: Hole::default() })
    }

    /// Opens it behind input `seq`, through the indexes of the segments before.
    pub fn open_after(dir: &Path, seq: Seq) -> Result<Self, ReplayError> {
        let mut inputs = Self::open(dir)?;
        if seq.0 > 0 {
            inputs.reader.seek(seq.0 + 1)?;
            inputs.last = Some(seq.0);
        }
        Ok(inputs)
    }

    /// Opens it at the first input of this monotonic time or a later one.
    pub fn open_at_time(dir: &Path, mono: Nanos) -> Result<Self, ReplayError> {
        let mut inputs = Self::open(dir)?;
        inputs.reader.seek_time(mono)?;
        inputs.last = None;
        Ok(inputs)
    }

    /// Where a hole will be told, readable while another thread reads the inputs.
    pub fn hole(&self) -> Hole {
        Arc::clone(&self.hole)
    }

    /// Position of the next byte of the stream that will be read.
    pub fn position(&self) -> u64 {
        self.reader.position()
    }

    /// The next input with its recorded number.
    #[allow(clippy::should_implement_trait)] // it lends, which an iterator cannot
    pub fn next(&mut self) -> Result<Option<(Seq, RawInput<'_>)>, ReplayError> {
        let Some(record) = self.reader.next()? else { return Ok(None) };
        let seq = Seq(record.seq);
        if let Some(last) = self.last
            && seq.0 != last + 1
        {
            // A second hole changes nothing: the first one is kept.
            let _ = self.hole.set((last + 1, seq.0));
            return Ok(None);
        }
        self.last = Some(seq.0);
        match decode_input(record.body) {
            Ok((input, bytes)) => Ok(Some((seq, RawInput { mono: record.time_ns, input, bytes }))),
            Err(why) => Err(ReplayError::Record {
                dir: self.dir.clone(),
                stream: "input",
                seq: seq.0,
                why: why.to_string(),
            }),
        }
    }
}

/// Reads the configuration of a run and its manifest.
pub fn read_config(dir: &Path) -> Result<(Manifest, Vec<u8>, RunConfig), ReplayError> {
    let manifest = Manifest::read(dir)?;
    if part::begins_after(dir) > Seq(0) {
        let (bytes, config) = part::config(dir)?;
        return Ok((manifest, bytes, config));
    }
    let mut inputs = Inputs::open(dir)?;
    let Some((_, RawInput { input: Input::Config, bytes, .. })) = inputs.next()? else {
        return Err(ReplayError::NoConfig { dir: dir.to_owned() });
    };
    let config = serde_json::from_slice(bytes).map_err(|why| ReplayError::Record {
        dir: dir.to_owned(),
        stream: "input",
        seq: 1,
        why: why.to_string(),
    })?;
    Ok((manifest, bytes.to_vec(), config))
}

/// A recorded output: its key, what it is, its raw bytes.
pub type RecordedOutput = (OutputKey, Output, Vec<u8>);

/// Inputs by which the record of a stage can lie behind that of another: more than all rings between them hold.
pub const APART_MAX: u64 = 1 << 18;

/// The outputs of a run, a queue per stage: stages on different threads interleave in the file.
pub struct Outputs {
    dir: PathBuf,
    reader: Reader,
    queues: [VecDeque<RecordedOutput>; STAGES.len()],
    /// Input of the latest output that was read.
    reached: u64,
    ended: bool,
    /// Those of earlier inputs are left out.
    from: Seq,
}

impl Outputs {
    /// Opens the output stream of the journal in `dir`.
    pub fn open(dir: &Path) -> Result<Self, ReplayError> {
        Self::open_from(dir, Seq(0))
    }

    /// Opens it where the outputs of input `from` begin.
    pub fn open_from(dir: &Path, from: Seq) -> Result<Self, ReplayError> {
        let mut reader = Reader::open(dir, Stream::Outputs)?;
        if from.0 > 1 {
            // Stages on different threads interleave: none of the inputs from here on stands before this.
            reader.seek(from.0)?;
        }
        Ok(Self { dir: dir.to_owned(), reader, queues: Default::default(), reached: 0, ended: false, from })
    }

    /// The next output of `stage`. `None`: none was recorded of input `cause`, nor of the many that follow it, so that a
    /// silent stage does not make the queues of the others grow with the length of the run.
    pub fn next(&mut self, stage: Stage, cause: Seq) -> Result<Option<RecordedOutput>, ReplayError> {
        loop {
            if let Some(found) = self.queues[stage as usize].pop_front() {
                return Ok(Some(found));
            }
            if self.reached > cause.0.saturating_add(APART_MAX) || !self.fill()? {
                return Ok(None);
            }
        }
    }

    /// Everything that was recorded was read.
    pub fn is_at_end(&self) -> bool {
        self.ended
    }

    /// Reads one more record into its queue; false at the end.
    fn fill(&mut self) -> Result<bool, ReplayError> {
        if self.ended {
            return Ok(false);
        }
        let Some(record) = self.reader.next()? else {
            self.ended = true;
            return Ok(false);
        };
        self.reached = self.reached.max(record.seq);
        if record.seq < self.from.0 {
            return Ok(true);
        }
        let (key, output, raw) =
            decode_output(Seq(record.seq), record.body).map_err(|why| ReplayError::Record {
                dir: self.dir.clone(),
                stream: "output",
                seq: record.seq,
                why: why.to_string(),
            })?;
        self.queues[key.stage as usize].push_back((key, output, raw.to_vec()));
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::codec::{HEADER_MAX, encode_output, output_kind};
    use crate::journal::{JournalOptions, Record, SyncPolicy, Writer};

    #[test]
    fn a_stage_that_is_silent_does_not_make_the_others_wait_in_memory() {
        let dir = std::env::temp_dir().join(format!("perpring-outputs-{}", std::process::id()));
        let options = JournalOptions {
            segment_bytes: 1 << 16,
            sync: SyncPolicy::None,
            helper: false,
            ..JournalOptions::default()
        };
        let mut writer =
            Writer::create(&dir, Stream::Outputs, &Manifest::default(), &options).expect("temporary disk");
        let (mut scratch, apart) = ([0; HEADER_MAX], APART_MAX / 64);
        for seq in (1..=10 * APART_MAX).step_by(apart as usize) {
            let key = OutputKey { cause: Seq(seq), stage: Stage::Scan, ordinal: 0 };
            let output = Output::State(seq);
            let body = encode_output(key, &output, &mut scratch);
            let record = Record { kind: output_kind(&output), class: 1, seq, time_ns: 0, parts: &[body] };
            writer.append(&record).expect("temporary disk");
        }
        writer.close().expect("temporary disk");
        let mut outputs = Outputs::open(&dir).expect("a journal");
        assert!(outputs.next(Stage::Risk, Seq(1)).expect("undamaged").is_none());
        let waiting = |outputs: &Outputs| outputs.queues[Stage::Scan as usize].len();
        assert!(waiting(&outputs) <= 66 && !outputs.is_at_end(), "{} wait", waiting(&outputs));
        let first = outputs.next(Stage::Scan, Seq(1)).expect("undamaged").expect("recorded");
        assert_eq!(first.0.cause, Seq(1), "those that wait are still there");
        let mut last = first;
        while let Some(next) = outputs.next(Stage::Scan, last.0.cause).expect("undamaged") {
            last = next;
        }
        assert!(last.0.cause.0 > 10 * APART_MAX - apart && outputs.is_at_end());
        std::fs::remove_dir_all(&dir).expect("clean up");
    }
}
