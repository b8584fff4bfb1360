//! After a crash: decides whether a journal is whole, can be cut to its last whole record, or is corrupt.
//!
//! | what is found | where | verdict |
//! |---|---|---|
//! | every record good, nothing behind the last | – | whole; marked as ended |
//! | damage, a hole, an incomplete record | at or above the durable position | pages of the last moments are missing, in any order: cut at the first hole, say how much |
//! | the same | below the durable position | corruption, not a crash: refuse, keep the file, name the offset |
//! | a segment of another run, or of an unknown version | anywhere | refuse: nothing is cut from what is not understood |
//!
//! What is cut off is kept beside the journal in files ending in `.cut`.

use super::error::{Damage, DamageKind, JournalError};
use super::layout::{HEADER_BYTES, Stream, segment_name};
use super::manifest::{Manifest, sync_dir};
use super::mark::{Mark, MarkFile, alone, read_mark};
use super::reader::{Reader, SegmentFile, list_segments, read_up_to};
use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};

/// How a stream ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Closed in order by its writer, or recovered before.
    Closed,
    /// The writer crashed, and every record that it wrote is there.
    Complete,
    /// The writer crashed; the stream was cut at its first hole.
    Cut {
        /// What was found.
        damage: Option<Damage>,
        /// The segment that now ends the stream.
        file: PathBuf,
        /// Where it ends.
        offset: u64,
        /// Written bytes that were taken away (kept in `.cut` files).
        bytes: u64,
    },
}

/// What recovery found and did in one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamVerdict {
    /// The stream.
    pub stream: Stream,
    /// Good records.
    pub records: u64,
    /// Sequence of the last one.
    pub last_seq: Option<u64>,
    /// How it ended.
    pub end: End,
}

/// What recovery found and did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The run.
    pub manifest: Manifest,
    /// Inputs, then outputs.
    pub streams: Vec<StreamVerdict>,
}

impl Verdict {
    /// True when both streams were closed in order.
    pub fn clean(&self) -> bool {
        self.streams.iter().all(|s| s.end == End::Closed)
    }
}

impl std::fmt::Display for StreamVerdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {} records", self.stream, self.records)?;
        if let Some(seq) = self.last_seq {
            write!(f, ", the last with sequence {seq}")?;
        }
        match &self.end {
            End::Closed => write!(f, "; closed in order"),
            End::Complete => write!(f, "; not closed (the writer ended abruptly), complete"),
            End::Cut { damage, file, offset, bytes } => {
                write!(f, "; cut at offset {offset} of {}: {bytes} bytes were not whole", file.display())?;
                damage.as_ref().map_or(Ok(()), |d| write!(f, " ({d})"))
            }
        }
    }
}

/// Brings the journal in `dir` to a state that reads cleanly to its end, or refuses, as while its writer is alive. A
/// journal that was closed in order is not touched.
pub fn recover(dir: &Path) -> Result<Verdict, JournalError> {
    recover_told(dir, &mut |_, _, _| {})
}

/// The same; `progress` gets the stream, how many of its bytes are read, and how many were known to be on the disk.
///
/// # Errors
/// As [`recover`].
pub fn recover_told(dir: &Path, progress: &mut dyn FnMut(Stream, u64, u64)) -> Result<Verdict, JournalError> {
    let manifest = Manifest::read(dir)?;
    let _held = Stream::ALL.map(|stream| alone(dir, stream)).into_iter().collect::<Result<Vec<_>, _>>()?;
    let mut streams = Vec::new();
    for stream in Stream::ALL {
        let found = inspect(dir, stream, progress)?; // both are judged before either is touched
        streams.push(found);
    }
    let streams = streams.into_iter().map(|found| found.apply(dir, &manifest)).collect::<Result<_, _>>()?;
    Ok(Verdict { manifest, streams })
}

/// The state of a stream before anything is done about it.
struct Found {
    stream: Stream,
    records: u64,
    last_seq: Option<u64>,
    mark: Mark,
    damage: Option<Damage>,
    /// End of the last whole record.
    position: u64,
    segment_bytes: u64,
}

fn inspect(
    dir: &Path,
    stream: Stream,
    progress: &mut dyn FnMut(Stream, u64, u64),
) -> Result<Found, JournalError> {
    let mut reader = Reader::open(dir, stream)?;
    let run_id = reader.manifest().run_id.0;
    let mut mark = read_mark(dir, stream, run_id).unwrap_or_default();
    // A packed segment was on the disk before it got its name, and everything before it too.
    let packed = list_segments(dir, stream)?.into_iter().rfind(SegmentFile::is_packed);
    let mut last_seq: Option<u64> = None;
    let mut misplaced = None;
    let damage = loop {
        let (begin, file, offset) = (reader.whole_position(), reader.file(), reader.offset());
        if reader.records().is_multiple_of(1 << 16) {
            progress(stream, begin, mark.position);
        }
        match reader.next() {
            // Numbered without holes: a good record in another's place is damage too.
            Ok(Some(record))
                if stream == Stream::Inputs && last_seq.is_some_and(|last| record.seq != last + 1) =>
            {
                let (from, to) = (last_seq.unwrap_or(0), record.seq);
                let kind = DamageKind::Sequence { from, to };
                let file = file.unwrap_or_else(|| dir.to_owned());
                misplaced = Some(begin);
                break Some(Damage { stream, file, offset, position: begin, kind });
            }
            Ok(Some(record)) => last_seq = Some(record.seq),
            Ok(None) => break None,
            Err(JournalError::Damaged(damage)) => break Some(damage),
            Err(other) => return Err(other),
        }
    };
    let segment_bytes = reader.segment_bytes();
    let position = match &damage {
        // A segment without its header holds nothing: the stream ends with the one before.
        Some(damage)
            if damage.offset == 0 && reader.whole_position() == damage.position + HEADER_BYTES as u64 =>
        {
            damage.position
        }
        _ => misplaced.unwrap_or(reader.whole_position()),
    };
    if let Some(packed) = packed {
        mark.position = mark.position.max((packed.ordinal + 1) * segment_bytes);
    }
    if let Some(damage) = &damage {
        if matches!(damage.kind, DamageKind::Version { .. }) {
            return Err(JournalError::Damaged(damage.clone()));
        }
        if position < mark.position {
            return Err(JournalError::Corrupt { damage: damage.clone(), synced: mark.position });
        }
    }
    let records = reader.records() - u64::from(misplaced.is_some());
    Ok(Found { stream, records, last_seq, mark, damage, position, segment_bytes })
}

impl Found {
    fn apply(self, dir: &Path, manifest: &Manifest) -> Result<StreamVerdict, JournalError> {
        let (ordinal, offset) = match self.segment_bytes {
            0 => (0, 0), // no segment was readable
            size => (self.position / size, self.position % size),
        };
        let segments = list_segments(dir, self.stream)?;
        let mut bytes = 0;
        let mut last = (dir.join(segment_name(self.stream, 0, 0)), 0);
        let mut doomed: Vec<&SegmentFile> = Vec::new();
        let mut shorten = None;
        for segment in &segments {
            if segment.ordinal < ordinal {
                last = (segment.path.clone(), self.segment_bytes);
            } else if segment.ordinal == ordinal && offset >= HEADER_BYTES as u64 {
                bytes += written_after(&segment.path, offset)?;
                last = (segment.path.clone(), offset);
                shorten = Some(segment);
            } else {
                bytes += written_after(&segment.path, HEADER_BYTES as u64)?;
                doomed.push(segment);
            }
        }
        let cut = bytes > 0 || self.damage.is_some();
        let verdict =
            |end| StreamVerdict { stream: self.stream, records: self.records, last_seq: self.last_seq, end };
        let absent = segments.is_empty() && self.mark == Mark::default(); // never begun
        if (self.mark.closed || absent) && !cut {
            return Ok(verdict(End::Closed));
        }
        if let Some(segment) = shorten {
            cut_tail(&segment.path, offset)?;
        }
        for segment in doomed {
            let aside = beside(&segment.path);
            fs::rename(&segment.path, aside)
                .map_err(|e| JournalError::write("rename", &segment.path, 0, &e))?;
        }
        let _ = fs::remove_file(dir.join(format!("{}.reserve", self.stream))); // mostly absent
        let _ = fs::remove_file(dir.join(format!("{}.next", self.stream))); // prepared, never begun; may be absent
        if !segments.is_empty() {
            let mut mark = MarkFile::create(dir, self.stream, manifest.run_id.0)?;
            let end = Mark {
                position: self.position,
                seq: self.last_seq.unwrap_or(0),
                closed: true,
                recovered: true,
            };
            mark.write(end, true)?;
        }
        sync_dir(dir)?;
        Ok(verdict(match cut {
            false => End::Complete,
            true => End::Cut { damage: self.damage, file: last.0, offset: last.1, bytes },
        }))
    }
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".cut");
    name.into()
}

/// Bytes from `offset` to the last byte of the file that is not zero.
pub(super) fn written_after(path: &Path, offset: u64) -> Result<u64, JournalError> {
    let fail = |e: &std::io::Error| JournalError::io("read", path, e);
    let file = File::open(path).map_err(|e| fail(&e))?;
    let mut block = vec![0; 1 << 18];
    let (mut at, mut written) = (offset, 0);
    loop {
        let got = read_up_to(&file, &mut block, at).map_err(|e| fail(&e))?;
        if let Some(last) = block[..got].iter().rposition(|b| *b != 0) {
            written = at + last as u64 + 1 - offset;
        }
        at += got as u64;
        if got < block.len() {
            return Ok(written);
        }
    }
}

/// Ends the file at `offset`; what was written behind is copied aside first.
fn cut_tail(path: &Path, offset: u64) -> Result<(), JournalError> {
    let written = written_after(path, offset)?;
    let fail = |e: &std::io::Error| JournalError::write("cut", path, written, e);
    let file = OpenOptions::new().read(true).write(true).open(path).map_err(|e| fail(&e))?;
    if written > 0 {
        let mut tail = vec![0; written as usize];
        let got = read_up_to(&file, &mut tail, offset).map_err(|e| fail(&e))?;
        fs::write(beside(path), &tail[..got]).map_err(|e| fail(&e))?;
    }
    let len = file.metadata().map_err(|e| fail(&e))?.len();
    file.set_len(offset.min(len)).and_then(|()| file.sync_data()).map_err(|e| fail(&e))
}
