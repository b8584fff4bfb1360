//! What an audit reads: inputs in order, the events that decode derives from them, and the recorded outputs of each
//! input. Neither scan nor risk nor route runs again: what they did is read, not repeated.

use crate::domain::codec::decode_output;
use crate::domain::event::Seq;
use crate::domain::output::{Output, Stage};
use crate::journal::{Damage, JournalError, Reader, Stream};
use crate::replay::source::ReplayError;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// How many inputs the outputs are read ahead: stages on different threads interleave in the file, and none lags
/// behind another one by more than the rings between them hold.
const AHEAD: u64 = 1 << 16;
/// A running engine's outputs are looked for again after so many inputs.
const AGAIN: u64 = 1 << 10;

/// Stage and number of an output among those of its cause.
type Place = (u64, Stage, u16);

/// Recorded outputs without digests and state hashes, sorted by their cause.
pub(super) struct Recorded {
    dir: PathBuf,
    /// What inputs up to this one made is none of the record's.
    after: u64,
    reader: Reader,
    waiting: BTreeMap<Place, (Output, Vec<u8>)>,
    /// Largest cause read.
    seen: u64,
    /// At the end of what is written, as it was found when this input was read.
    ended_at: Option<u64>,
    /// Where the stream is damaged.
    pub damage: Option<Damage>,
    /// Records read.
    pub records: u64,
    /// Outputs that stand twice.
    pub repeated: Vec<u64>,
}

impl Recorded {
    /// Of the journal in `dir`, behind input `after`.
    pub fn open(dir: &Path, after: Seq) -> Result<Self, ReplayError> {
        Ok(Self {
            dir: dir.to_owned(),
            after: after.0,
            reader: Reader::open(dir, Stream::Outputs)?,
            waiting: BTreeMap::new(),
            seen: 0,
            ended_at: None,
            damage: None,
            records: 0,
            repeated: Vec::new(),
        })
    }

    /// The last cause that the record holds an output of.
    pub fn last_cause(&self) -> u64 {
        self.seen
    }

    /// The record ends before what input `seq` made could be in it.
    pub fn ends_before(&self, seq: u64) -> bool {
        (self.ended_at.is_some() || self.damage.is_some()) && seq > self.seen
    }

    /// The next output whose cause is not later than `seq`.
    pub fn next(&mut self, seq: u64) -> Result<Option<(Output, Vec<u8>)>, ReplayError> {
        self.read_to(seq)?;
        let Some(first) = self.waiting.first_entry().filter(|first| first.key().0 <= seq) else {
            return Ok(None);
        };
        Ok(Some(first.remove()))
    }

    fn read_to(&mut self, seq: u64) -> Result<(), ReplayError> {
        if self.ended_at.is_some_and(|at| seq < at + AGAIN) {
            return Ok(());
        }
        while self.damage.is_none() && self.seen < seq + AHEAD {
            let record = match self.reader.next() {
                Ok(Some(record)) => record,
                Ok(None) => {
                    self.ended_at = Some(seq);
                    return Ok(());
                }
                Err(JournalError::Damaged(damage)) => {
                    self.damage = Some(damage);
                    return Ok(());
                }
                Err(other) => return Err(other.into()),
            };
            let cause = record.seq;
            if cause <= self.after {
                continue;
            }
            let (key, output, raw) =
                decode_output(Seq(cause), record.body).map_err(|why| ReplayError::Record {
                    dir: self.dir.clone(),
                    stream: "output",
                    seq: cause,
                    why: why.to_string(),
                })?;
            self.records += 1;
            self.seen = self.seen.max(cause);
            if matches!(output, Output::Events(_) | Output::State(_) | Output::NearMiss(_)) {
                continue;
            }
            let place = (cause, key.stage, key.ordinal);
            if self.waiting.insert(place, (output, raw.to_vec())).is_some() {
                self.repeated.push(cause);
            }
        }
        self.ended_at = None;
        Ok(())
    }
}
