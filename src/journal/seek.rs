//! Seeking in a stream: by sequence or event time, through the indexes of closed segments. Reads one index per
//! halving of the number of segments, and then at most 64 KiB or 1024 records too many.

use super::error::JournalError;
use super::index::{Entry, Index, index_path};
use super::layout::{HEADER_BYTES, RECORD_HEADER_BYTES, RecordHeader, Stream};
use super::reader::{Reader, RecordRef, SegmentFile, Spot, list_segments};
use super::source::Source;
use std::path::{Path, PathBuf};

/// What is sought.
#[derive(Clone, Copy)]
enum Target {
    Seq(u64),
    Time(i64),
}

impl Target {
    /// Whether everything before a place lies before the target.
    fn is_past(self, seq: u64, time_ns: i64) -> bool {
        match self {
            Self::Seq(target) => seq < target,
            Self::Time(target) => time_ns < target,
        }
    }

    fn is_reached(self, record: &RecordRef<'_>) -> bool {
        !self.is_past(record.seq, record.time_ns)
    }
}

/// The last segment of a stream, and how far it is written, whether or not its writer still goes on: bytes from its
/// beginning. `None` = no segment. A damaged one counts whole.
///
/// # Errors
/// The directory or the segment cannot be read.
pub fn written_end(dir: &Path, stream: Stream) -> Result<Option<(PathBuf, u64)>, JournalError> {
    let Some(last) = list_segments(dir, stream)?.pop() else { return Ok(None) };
    let mut reader = Reader::open(dir, stream)?;
    let resync = last.ordinal > 0; // it may begin with the rest of a record
    reader.go(Spot { ordinal: last.ordinal, offset: HEADER_BYTES, index: 0, resync });
    loop {
        match reader.next() {
            Ok(Some(_)) => {}
            Ok(None) => break,
            Err(JournalError::Damaged(_)) => return Ok(Some((last.path, u64::MAX))),
            Err(other) => return Err(other),
        }
    }
    // Full to its end where none is open any more; another one is open where the writer has gone on to it.
    Ok(Some(match reader.file() {
        Some(path) => (path, reader.offset()),
        None => (last.path, u64::MAX),
    }))
}

impl Reader {
    /// Goes to the first record, in the order of the stream, with this sequence or a larger one; to the end when
    /// there is none (yet). What retention has removed is not there: then the first record that is left.
    ///
    /// # Errors
    /// Damage on the way.
    pub fn seek(&mut self, seq: u64) -> Result<(), JournalError> {
        self.seek_to(Target::Seq(seq))
    }

    /// Goes to the first record, in the order of the stream, with this event time (ns) or a later one.
    ///
    /// # Errors
    /// Damage on the way.
    pub fn seek_time(&mut self, time_ns: i64) -> Result<(), JournalError> {
        self.seek_to(Target::Time(time_ns))
    }

    fn seek_to(&mut self, target: Target) -> Result<(), JournalError> {
        let (dir, stream, run_id) = self.place();
        let segments = list_segments(dir, stream)?;
        let read = |segment: &SegmentFile| {
            let path = index_path(dir, stream, segment.ordinal, segment.base_seq);
            Index::read(&path, run_id, segment.ordinal)
        };
        let past = |segment: &SegmentFile| match read(segment) {
            Some(index) => target.is_past(index.seq, index.time_ns),
            None => stream == Stream::Inputs && begins_before(segment, target),
        };
        // A segment of which is not known that everything before it lies before the target: not begun with.
        let at = segments.partition_point(past).saturating_sub(1);
        let spot = segments.get(at).map(|segment| match read(segment) {
            Some(index) => spot_in(&index, target),
            None => Spot {
                ordinal: segment.ordinal,
                offset: HEADER_BYTES,
                index: first_record(&segments, at, &read),
                resync: at > 0,
            },
        });
        // From the beginning, with whatever retention removed before it?
        let mut at_beginning = true;
        match spot {
            Some(spot) if at > 0 || spot.offset > HEADER_BYTES => {
                at_beginning = false;
                self.go(spot);
            }
            _ => self.begin(),
        }
        loop {
            let before = self.spot();
            match self.next()?.map(|record| target.is_reached(&record)) {
                Some(false) => at_beginning = false,
                Some(true) if at_beginning => {
                    self.begin();
                    return Ok(());
                }
                Some(true) => {
                    self.go(before);
                    return Ok(());
                }
                None => return Ok(()),
            }
        }
    }
}

fn spot_in(index: &Index, target: Target) -> Spot {
    let is_past = |entry: &Entry| target.is_past(entry.seq, entry.time_ns);
    let entry = index.entries.partition_point(is_past).checked_sub(1).map(|at| index.entries[at]);
    let (offset, records) =
        entry.map_or((HEADER_BYTES, 0), |entry| (entry.offset as usize, u64::from(entry.records)));
    Spot { ordinal: index.ordinal, offset, index: index.first_record + records, resync: true }
}

/// Inputs only, whose sequences and times rise: whether a segment without an index begins before the target.
fn begins_before(segment: &SegmentFile, target: Target) -> bool {
    let Target::Time(time_ns) = target else { return target.is_past(segment.base_seq, 0) };
    let mut head = [0; RECORD_HEADER_BYTES];
    let got = Source::open(&segment.path)
        .and_then(|mut source| source.read_up_to(&mut head, HEADER_BYTES as u64))
        .unwrap_or(0);
    let header = RecordHeader::decode(&head);
    got == head.len() && header.length > 0 && !header.is_padding() && header.time_ns < time_ns
}

/// Number of the first record that begins in segment `at`, which has no index: what is known of inputs, which are
/// numbered without holes. A segment that begins with the rest of a record counts from the next.
fn first_record(segments: &[SegmentFile], at: usize, read: &impl Fn(&SegmentFile) -> Option<Index>) -> u64 {
    let segment = &segments[at];
    let continues = {
        let mut head = [0; RECORD_HEADER_BYTES];
        let got = Source::open(&segment.path)
            .and_then(|mut source| source.read_up_to(&mut head, HEADER_BYTES as u64));
        got.is_ok() && RecordHeader::decode(&head).flags & super::layout::FLAG_CONTINUES != 0
    };
    let first = &segments[0];
    let origin = read(first).map_or((first.base_seq, 0), |index| (first.base_seq, index.first_record));
    segment.base_seq.saturating_sub(origin.0) + origin.1 + u64::from(continues)
}
