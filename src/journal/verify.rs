//! Reads a whole journal and reports what it holds and everything that is wrong with it. Changes nothing.

use super::archive::segment_hash;
use super::chain::{chain_path, read_chain};
use super::error::{Damage, DamageKind, JournalError};
use super::layout::{HEADER_BYTES, Stream};
use super::manifest::Manifest;
use super::mark::read_mark;
use super::reader::{Reader, list_segments};
use super::recover::written_after;
use std::path::Path;

/// What a stream holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamReport {
    /// The stream.
    pub stream: Stream,
    /// Segment files.
    pub segments: u64,
    /// Whole records.
    pub records: u64,
    /// Bytes of their bodies.
    pub body_bytes: u64,
    /// Bytes of all segment files.
    pub file_bytes: u64,
    /// Sequence of the first record.
    pub first_seq: Option<u64>,
    /// Sequence of the last record.
    pub last_seq: Option<u64>,
    /// Spanning records that the writer gave up for lack of space.
    pub abandoned: u64,
    /// Ended in order (otherwise the writer crashed or still runs).
    pub closed: bool,
    /// Everything below it is known to be on the disk.
    pub synced: u64,
    /// Closed segments that stand in the chain and are there.
    pub chained: u64,
    /// Compressed segments.
    pub packed: u64,
    /// Segments that retention removed: the stream starts at [`StreamReport::first_seq`] by retention.
    pub removed: u64,
    /// Everything that is wrong, in order.
    pub damage: Vec<Damage>,
}

/// What a journal holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The run.
    pub manifest: Manifest,
    /// Inputs, then outputs.
    pub streams: Vec<StreamReport>,
}

impl Report {
    /// Number of damaged places.
    pub fn damages(&self) -> usize {
        self.streams.iter().map(|s| s.damage.len()).sum()
    }
}

/// Reads everything. Damage is reported, not returned as an error; reading goes on at the next segment.
pub fn verify(dir: &Path) -> Result<Report, JournalError> {
    verify_told(dir, &mut |_, _, _| {})
}

/// The same; `progress` gets the stream, how many of its bytes are read, and of how many, now and then.
///
/// # Errors
/// What cannot be read at all.
pub fn verify_told(dir: &Path, progress: &mut dyn FnMut(Stream, u64, u64)) -> Result<Report, JournalError> {
    let manifest = Manifest::read(dir)?;
    let streams =
        Stream::ALL.into_iter().map(|s| verify_stream(dir, s, progress)).collect::<Result<_, _>>()?;
    Ok(Report { manifest, streams })
}

fn verify_stream(
    dir: &Path,
    stream: Stream,
    progress: &mut dyn FnMut(Stream, u64, u64),
) -> Result<StreamReport, JournalError> {
    let mut reader = Reader::open(dir, stream)?;
    let mark = read_mark(dir, stream, reader.manifest().run_id.0).unwrap_or_default();
    let segments = list_segments(dir, stream)?;
    let size = |s: &super::reader::SegmentFile| std::fs::metadata(&s.path).map_or(0, |m| m.len());
    let mut report = StreamReport {
        stream,
        segments: segments.len() as u64,
        records: 0,
        body_bytes: 0,
        file_bytes: segments.iter().map(size).sum(),
        first_seq: None,
        last_seq: None,
        abandoned: 0,
        closed: mark.closed,
        synced: mark.position,
        chained: 0,
        packed: segments.iter().filter(|s| s.is_packed()).count() as u64,
        removed: 0,
        damage: Vec::new(),
    };
    loop {
        let (offset, file) = (reader.offset(), reader.file());
        if reader.records().is_multiple_of(1 << 16) {
            progress(stream, reader.position(), mark.position);
        }
        match reader.next() {
            Ok(Some(record)) => {
                report.body_bytes += record.body.len() as u64;
                report.first_seq.get_or_insert(record.seq);
                let (from, to) = (report.last_seq.unwrap_or(record.seq), record.seq);
                let jumps = to < from || to > from.saturating_add(1);
                if stream == Stream::Inputs && jumps {
                    let place = file.clone().unwrap_or_else(|| dir.to_owned());
                    let kind = DamageKind::Sequence { from, to };
                    report.damage.push(Damage {
                        stream,
                        file: place,
                        offset,
                        position: record.position,
                        kind,
                    });
                }
                report.last_seq = Some(to);
            }
            Ok(None) => break,
            Err(JournalError::Damaged(damage)) => {
                report.damage.push(damage);
                if !reader.skip_segment()? {
                    break;
                }
            }
            Err(JournalError::ForeignRun { file, .. }) => {
                let kind = DamageKind::Misplaced { what: "run" };
                report.damage.push(Damage { stream, file, offset: 0, position: reader.position(), kind });
                if !reader.skip_segment()? {
                    break;
                }
            }
            Err(other) => return Err(other),
        }
    }
    report.records = reader.records();
    report.abandoned = reader.abandoned();
    if report.damage.is_empty() {
        check_tail(&mut report, &reader)?;
    }
    check_chain(dir, &mut report, reader.manifest().run_id.0, reader.segment_bytes())?;
    Ok(report)
}

/// Every line of the chain continues the one before; every closed segment that is there is the one that was
/// closed; none is compressed without an entry.
fn check_chain(
    dir: &Path,
    report: &mut StreamReport,
    run_id: u128,
    segment_bytes: u64,
) -> Result<(), JournalError> {
    let stream = report.stream;
    let chain = read_chain(dir, stream, run_id)?;
    report.removed = chain.removed_below();
    if let Some((line, offset)) = chain.broken {
        let (file, kind) = (chain_path(dir, stream), DamageKind::Link { line });
        report.damage.push(Damage { stream, file, offset, position: 0, kind });
    }
    for segment in list_segments(dir, stream)? {
        let ordinal = segment.ordinal;
        let kind = match chain.segment(ordinal) {
            // What cannot be read is reported as such already.
            Some(closed) => match segment_hash(&segment) {
                Ok((bytes, hash)) if (bytes, hash) == (closed.bytes, closed.sha256) => {
                    report.chained += 1;
                    continue;
                }
                Ok(_) => DamageKind::Changed { ordinal },
                Err(_) => continue,
            },
            None if segment.is_packed() && chain.broken.is_none() => DamageKind::Unchained { ordinal },
            None => continue,
        };
        let position = ordinal * segment_bytes;
        report.damage.push(Damage { stream, file: segment.path, offset: 0, position, kind });
    }
    Ok(())
}

/// After an empty record the segment must be zero to its end.
fn check_tail(report: &mut StreamReport, reader: &Reader) -> Result<(), JournalError> {
    let Some(file) = reader.file().filter(|file| file.extension().is_some_and(|end| end == "seg")) else {
        return Ok(()); // packed: full to its end, or it would not be closed
    };
    let offset = reader.offset().max(HEADER_BYTES as u64);
    if written_after(&file, offset)? > 0 {
        let position = reader.position();
        report.damage.push(Damage {
            stream: report.stream,
            file,
            offset,
            position,
            kind: DamageKind::NotZero,
        });
    }
    Ok(())
}

impl std::fmt::Display for StreamReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let seq = |s: Option<u64>| s.map_or_else(|| "-".to_owned(), |s| s.to_string());
        write!(
            f,
            "{:<8} {} records, {} body bytes in {} segments ({} bytes), sequence {}..{}, {}",
            self.stream,
            self.records,
            self.body_bytes,
            self.segments,
            self.file_bytes,
            seq(self.first_seq),
            seq(self.last_seq),
            if self.closed { "closed in order" } else { "not closed (crashed or still written)" },
        )?;
        if self.packed > 0 {
            write!(f, ", {} compressed", self.packed)?;
        }
        if self.chained > 0 {
            write!(f, ", {} chained", self.chained)?;
        }
        if self.removed > 0 {
            write!(
                f,
                "; starts at sequence {} by retention ({} segments removed)",
                seq(self.first_seq),
                self.removed
            )?;
        }
        if self.abandoned > 0 {
            write!(f, ", {} records given up by the writer", self.abandoned)?;
        }
        self.damage.iter().try_for_each(|d| write!(f, "\n  damage: {d}"))
    }
}
