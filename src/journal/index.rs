//! The index of a closed segment: every 64 KiB or 1024 records, what lies before an offset. A cache: without it
//! a seek reads more, never something else.
//!
//! ```text
//! inputs-000000-00000000000000000001.idx, little-endian
//! offset  size  field
//!      0     8  magic "PERPINDX"
//!      8     4  version (1)
//!     12     4  number of entries
//!     16    16  run id
//!     32     8  ordinal of the segment
//!     40     8  number, in the stream, of the first record that begins in it
//!     48     8  largest sequence before it
//!     56     8  largest event time before it, ns
//!     64  24×n  entries: largest sequence before, largest time before, offset (4), records before in the segment (4)
//!      …     4  CRC32C of all before
//! ```
//!
//! "Largest before" makes an entry's columns rise even where the records of several threads interleave (outputs).

use super::error::JournalError;
use super::layout::{Stream, segment_stem};
use super::reader::Reader;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

const MAGIC: [u8; 8] = *b"PERPINDX";
const VERSION: u32 = 1;
const HEAD_BYTES: usize = 64;
const ENTRY_BYTES: usize = 24;
/// An entry at least every so many bytes...
const STEP_BYTES: u64 = 64 << 10;
/// ...and every so many records.
const STEP_RECORDS: u64 = 1024;

/// What lies before an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub seq: u64,
    pub time_ns: i64,
    pub offset: u32,
    pub records: u32,
}

/// The index of one segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Index {
    pub ordinal: u64,
    /// Number of the first record that begins in the segment.
    pub first_record: u64,
    /// Largest sequence before the segment; 0 = none.
    pub seq: u64,
    /// Largest event time before it.
    pub time_ns: i64,
    pub entries: Vec<Entry>,
}

/// Path of a segment's index.
pub(super) fn index_path(dir: &Path, stream: Stream, ordinal: u64, base_seq: u64) -> PathBuf {
    dir.join(format!("{}.idx", segment_stem(stream, ordinal, base_seq)))
}

impl Index {
    fn encode(&self, run_id: u128) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEAD_BYTES + ENTRY_BYTES * self.entries.len() + 4);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&(self.entries.len() as u32).to_le_bytes());
        out.extend_from_slice(&run_id.to_le_bytes());
        out.extend_from_slice(&self.ordinal.to_le_bytes());
        out.extend_from_slice(&self.first_record.to_le_bytes());
        out.extend_from_slice(&self.seq.to_le_bytes());
        out.extend_from_slice(&self.time_ns.to_le_bytes());
        for entry in &self.entries {
            out.extend_from_slice(&entry.seq.to_le_bytes());
            out.extend_from_slice(&entry.time_ns.to_le_bytes());
            out.extend_from_slice(&entry.offset.to_le_bytes());
            out.extend_from_slice(&entry.records.to_le_bytes());
        }
        let crc = crc32c::crc32c(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out
    }

    fn decode(bytes: &[u8], run_id: u128, ordinal: u64) -> Option<Self> {
        let (covered, crc) = bytes.split_last_chunk::<4>()?;
        let whole = covered.len() >= HEAD_BYTES && crc32c::crc32c(covered).to_le_bytes() == *crc;
        if !whole || covered[..8] != MAGIC || covered[8..12] != VERSION.to_le_bytes() {
            return None;
        }
        let word = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| covered[at + i]));
        let half = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| covered[at + i]));
        let entries = &covered[HEAD_BYTES..];
        let fits = entries.len() == half(12) as usize * ENTRY_BYTES;
        if !fits || covered[16..32] != run_id.to_le_bytes() || word(32) != ordinal {
            return None;
        }
        let entry = |at: usize| Entry {
            seq: word(at),
            time_ns: word(at + 8) as i64,
            offset: half(at + 16),
            records: half(at + 20),
        };
        let entries = (0..half(12) as usize).map(|n| entry(HEAD_BYTES + n * ENTRY_BYTES)).collect();
        Some(Self { ordinal, first_record: word(40), seq: word(48), time_ns: word(56) as i64, entries })
    }

    /// Reads an index; `None` when there is none that is whole and of this run.
    pub fn read(path: &Path, run_id: u128, ordinal: u64) -> Option<Self> {
        Self::decode(&fs::read(path).ok()?, run_id, ordinal)
    }

    /// Writes it, whole or not at all.
    pub fn write(&self, path: &Path, run_id: u128) -> Result<(), JournalError> {
        let aside = path.with_extension("idx.tmp");
        let bytes = self.encode(run_id);
        let fail = |e: &std::io::Error| JournalError::write("write", path, bytes.len() as u64, e);
        let written = File::create(&aside)
            .and_then(|mut file| file.write_all(&bytes).and_then(|()| file.sync_data()))
            .and_then(|()| fs::rename(&aside, path));
        if written.is_err() {
            let _ = fs::remove_file(&aside); // gives the space back; the error that matters is the first
        }
        written.map_err(|e| fail(&e))
    }
}

/// What a segment holds, beside its index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Contents {
    /// Records that begin in it.
    pub records: u64,
    /// Sequence and event time of the last of them.
    pub last: Option<(u64, i64)>,
}

/// Indexes the segments of a stream one after the other, behind its writer.
pub(super) struct Indexer {
    reader: Reader,
    open: Index,
    contents: Contents,
    seq: u64,
    time_ns: i64,
    done: std::collections::VecDeque<(Index, Contents)>,
}

impl Indexer {
    /// Begins where the stream begins.
    pub fn new(dir: &Path, stream: Stream) -> Result<Self, JournalError> {
        let open = Index { ordinal: 0, first_record: 0, seq: 0, time_ns: i64::MIN, entries: Vec::new() };
        Ok(Self {
            reader: Reader::open(dir, stream)?,
            open,
            contents: Contents::default(),
            seq: 0,
            time_ns: i64::MIN,
            done: std::collections::VecDeque::new(),
        })
    }

    /// Reads on until segment `ordinal` (the next in turn) is left behind, or to the end of what is written.
    /// `last`: the stream has ended, and so has its last segment.
    pub fn next(&mut self, ordinal: u64, last: bool) -> Result<Option<(Index, Contents)>, JournalError> {
        loop {
            if let Some(done) = self.done.pop_front_if(|(index, _)| index.ordinal <= ordinal) {
                if done.0.ordinal == ordinal {
                    return Ok(Some(done));
                }
                continue;
            }
            if self.open.ordinal > ordinal {
                return Ok(None); // it lies before the stream's beginning
            }
            let Some((index, seq, time_ns)) = self.reader.next()?.map(|r| (r.index, r.seq, r.time_ns)) else {
                if last || self.reader.ordinal() > ordinal {
                    let next = self.open.ordinal + 1;
                    self.turn(next, self.reader.records());
                    continue;
                }
                return Ok(None);
            };
            self.take(self.reader.began(), index, seq, time_ns);
        }
    }

    /// Takes back what could not be used yet.
    pub fn again(&mut self, index: Index, contents: Contents) {
        self.done.push_front((index, contents));
    }

    fn take(&mut self, began: u64, index: u64, seq: u64, time_ns: i64) {
        let size = self.reader.segment_bytes();
        let (ordinal, offset) = (began / size, began % size);
        while self.open.ordinal < ordinal {
            self.turn(self.open.ordinal + 1, index);
        }
        let far = self.open.entries.last().is_none_or(|entry| {
            offset - u64::from(entry.offset) >= STEP_BYTES
                || self.contents.records - u64::from(entry.records) >= STEP_RECORDS
        });
        if far {
            let records = self.contents.records as u32;
            let entry = Entry { seq: self.seq, time_ns: self.time_ns, offset: offset as u32, records };
            self.open.entries.push(entry);
        }
        self.contents.records += 1;
        self.contents.last = Some((seq, time_ns));
        self.seq = self.seq.max(seq);
        self.time_ns = self.time_ns.max(time_ns);
    }

    /// Ends the open index and begins the next.
    fn turn(&mut self, ordinal: u64, first_record: u64) {
        let (seq, time_ns) = (self.seq, self.time_ns);
        let next = Index { ordinal, first_record, seq, time_ns, entries: Vec::new() };
        let done = std::mem::replace(&mut self.open, next);
        self.done.push_back((done, std::mem::take(&mut self.contents)));
    }
}
