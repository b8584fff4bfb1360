//! Reads one stream of a journal, also while it is written. Works by `pread` into its own buffer, never by
//! a map: a file that shrinks or rots gives an error, not a signal. What it returns passed its checksum.

use super::chain::read_chain;
use super::error::{Damage, DamageKind, JournalError};
use super::layout::{
    BODY_BYTES_MAX, FLAG_CONTINUES, FLAG_PADDING, HEADER_BYTES, RECORD_HEADER_BYTES, RecordHeader,
    SegmentHeader, Stream, align, crc_seed, parse_segment_name, record_crc,
};
use super::manifest::Manifest;
use super::mark::read_mark;
use super::source::Source;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Least number of bytes read at once.
const BLOCK_BYTES: usize = 1 << 18;

/// A record as read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordRef<'a> {
    /// What the body is.
    pub kind: u16,
    /// The input's class.
    pub class: u8,
    /// Sequence.
    pub seq: u64,
    /// Event time, ns.
    pub time_ns: i64,
    /// Number of the record in its stream, from 0.
    pub index: u64,
    /// End of the record in its stream: the writer's token for it.
    pub position: u64,
    /// The body, whole.
    pub body: &'a [u8],
}

/// A segment's place in the directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SegmentFile {
    pub ordinal: u64,
    pub base_seq: u64,
    pub path: PathBuf,
}

impl SegmentFile {
    /// True when the file is compressed.
    pub fn is_packed(&self) -> bool {
        self.path.extension().is_some_and(|end| end == "zst")
    }
}

/// The segments of a stream, by rising ordinal. Where a crash left one both raw and packed, the packed one counts:
/// it was whole when it got its name.
pub(super) fn list_segments(dir: &Path, stream: Stream) -> Result<Vec<SegmentFile>, JournalError> {
    let fail = |e: &std::io::Error| JournalError::io("list", dir, e);
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(|e| fail(&e))? {
        let entry = entry.map_err(|e| fail(&e))?;
        if let Some((ordinal, base_seq)) = parse_segment_name(stream, &entry.file_name().to_string_lossy()) {
            found.push(SegmentFile { ordinal, base_seq, path: entry.path() });
        }
    }
    found.sort(); // `….seg` before `….seg.zst`
    found.reverse();
    found.dedup_by_key(|segment| segment.ordinal);
    found.reverse();
    Ok(found)
}

/// A segment being read.
struct Open {
    source: Source,
    place: SegmentFile,
    header: SegmentHeader,
    /// Bytes `buffer_at..buffer_at + buffer.len()` of the file.
    buffer: Vec<u8>,
    buffer_at: usize,
}

/// What stands at a place.
enum Step {
    /// A good record or part of one: its header; the body is in the buffer.
    Part(RecordHeader),
    /// Padding: the segment ends.
    Padding(RecordHeader),
    /// Nothing (yet).
    Empty,
}

/// A place of a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spot {
    pub ordinal: u64,
    pub offset: usize,
    /// Number of the next record.
    pub index: u64,
    /// The rest of a record that began before is skipped.
    pub resync: bool,
}

/// Reads a stream from its beginning. See [`Reader::next`].
pub struct Reader {
    dir: PathBuf,
    stream: Stream,
    manifest: Manifest,
    seed: u32,
    open: Option<Open>,
    /// Ordinal of the open segment, or of the one to be opened.
    ordinal: u64,
    offset: usize,
    /// Segment size, known once one was opened.
    segment_bytes: u64,
    /// Body of a spanning record.
    span: Vec<u8>,
    index: u64,
    abandoned: u64,
    /// Where the record being read begins: the place to cut when it turns out to be incomplete.
    start: u64,
    /// Where the last record that was returned begins.
    began: u64,
    /// Set after damage was skipped: the rest of a record whose beginning was lost is skipped too.
    resync: bool,
}

impl Reader {
    /// Opens a stream of the journal in `dir`.
    pub fn open(dir: &Path, stream: Stream) -> Result<Self, JournalError> {
        let manifest = Manifest::read(dir)?;
        let seed = crc_seed(manifest.run_id.0);
        Ok(Self {
            dir: dir.to_owned(),
            stream,
            manifest,
            seed,
            open: None,
            ordinal: 0,
            offset: HEADER_BYTES,
            segment_bytes: 0,
            span: Vec::new(),
            index: 0,
            abandoned: 0,
            start: 0,
            began: 0,
            resync: false,
        })
    }

    /// The journal's manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Records returned so far.
    pub fn records(&self) -> u64 {
        self.index
    }

    /// Spanning records that the writer gave up (disk full) and that were skipped.
    pub fn abandoned(&self) -> u64 {
        self.abandoned
    }

    /// The header of the segment that the last record came from.
    pub fn segment(&self) -> Option<&SegmentHeader> {
        self.open.as_ref().map(|o| &o.header)
    }

    /// Position of the next byte to be read.
    pub fn position(&self) -> u64 {
        self.ordinal * self.segment_bytes + self.offset as u64
    }

    /// Size of the stream's segments; 0 before one was opened.
    pub(super) fn segment_bytes(&self) -> u64 {
        self.segment_bytes
    }

    /// The file being read.
    pub(super) fn file(&self) -> Option<PathBuf> {
        self.open.as_ref().map(|o| o.place.path.clone())
    }

    /// Offset of the next byte in it.
    pub(super) fn offset(&self) -> u64 {
        self.offset as u64
    }

    /// Segment that is read, or that will be opened next.
    pub(super) fn ordinal(&self) -> u64 {
        self.ordinal
    }

    /// Position of the first byte of the record that was returned last.
    pub(super) fn began(&self) -> u64 {
        self.began
    }

    /// Directory, stream and run.
    pub(super) fn place(&self) -> (&Path, Stream, u128) {
        (&self.dir, self.stream, self.manifest.run_id.0)
    }

    /// Where the reader stands, to come back to.
    pub(super) fn spot(&self) -> Spot {
        Spot { ordinal: self.ordinal, offset: self.offset, index: self.index, resync: self.resync }
    }

    /// Goes to a place where a record, or a segment's first record, begins.
    pub(super) fn go(&mut self, spot: Spot) {
        if spot.ordinal != self.ordinal {
            self.open = None;
        }
        (self.ordinal, self.offset) = (spot.ordinal, spot.offset);
        (self.index, self.resync) = (spot.index, spot.resync);
    }

    /// Goes to the beginning of the stream.
    pub(super) fn begin(&mut self) {
        self.open = None;
        (self.ordinal, self.offset, self.index) = (0, HEADER_BYTES, 0);
        (self.segment_bytes, self.start, self.resync) = (0, 0, false);
    }

    /// Position after the last whole record.
    pub(super) fn whole_position(&self) -> u64 {
        self.start
    }

    /// The next record; `None` at the end of what is written so far (call again later to follow a running
    /// writer). After an error the reader stays where it is.
    #[allow(clippy::should_implement_trait)] // lends its buffer, which an iterator cannot
    pub fn next(&mut self) -> Result<Option<RecordRef<'_>>, JournalError> {
        let mut spanning: Option<RecordHeader> = None;
        self.start = self.position();
        loop {
            if self.open.is_none() && !self.open_segment()? {
                return if spanning.is_some() { self.rewind() } else { Ok(None) };
            }
            match self.step()? {
                Step::Padding(header) => {
                    if spanning.take().is_some() {
                        self.abandoned += 1;
                    }
                    self.offset += header.length as usize;
                    self.leave_segment();
                    self.start = self.position();
                }
                Step::Empty => {
                    if self.offset as u64 == self.segment_bytes {
                        self.leave_segment();
                        if spanning.is_none() {
                            self.start = self.position();
                        }
                        continue;
                    }
                    self.check_end()?;
                    return if spanning.is_some() { self.rewind() } else { Ok(None) };
                }
                Step::Part(header) => {
                    let continues = header.flags & FLAG_CONTINUES != 0;
                    let body = header.length as usize - RECORD_HEADER_BYTES;
                    if !continues {
                        if spanning.take().is_some() {
                            self.abandoned += 1;
                        }
                        self.start = self.position();
                        self.span.clear();
                    } else if !self.resync && spanning.is_none_or(|before| !follows(&before, &header, body)) {
                        return Err(self.damage(DamageKind::Span));
                    }
                    let at = self.offset;
                    self.offset += align(header.length as usize);
                    if self.resync && continues {
                        self.start = self.position();
                        continue;
                    }
                    self.resync = false;
                    if !continues && header.rest == 0 {
                        return Ok(Some(self.whole(&header, Some((at, body)))));
                    }
                    self.take_part(at, body);
                    if header.rest == 0 {
                        return Ok(Some(self.whole(&header, None)));
                    }
                    if self.span.len() + header.rest as usize > BODY_BYTES_MAX {
                        self.offset = at;
                        return Err(self.damage(DamageKind::Span));
                    }
                    spanning = Some(header);
                }
            }
        }
    }

    /// The record that ends here; its body is in the buffer at `at`, or in `span`.
    fn whole(&mut self, header: &RecordHeader, at: Option<(usize, usize)>) -> RecordRef<'_> {
        let index = self.index;
        self.index += 1;
        self.began = self.start;
        self.start = self.position();
        let body = match (at, &self.open) {
            (Some((at, len)), Some(open)) => {
                let from = at + RECORD_HEADER_BYTES - open.buffer_at;
                &open.buffer[from..from + len]
            }
            _ => &self.span,
        };
        RecordRef {
            kind: header.kind,
            class: header.class,
            seq: header.seq,
            time_ns: header.time_ns,
            index,
            position: self.start,
            body,
        }
    }

    fn take_part(&mut self, at: usize, body: usize) {
        if let Some(open) = &self.open {
            let from = at + RECORD_HEADER_BYTES - open.buffer_at;
            self.span.extend_from_slice(&open.buffer[from..from + body]);
        }
    }

    /// The rest of a spanning record is not written yet: start over with it next time.
    fn rewind(&mut self) -> Result<Option<RecordRef<'_>>, JournalError> {
        let ordinal = self.start / self.segment_bytes;
        self.offset = (self.start % self.segment_bytes) as usize;
        if ordinal != self.ordinal {
            self.ordinal = ordinal;
            self.open = None;
        }
        Ok(None)
    }

    fn leave_segment(&mut self) {
        self.open = None;
        self.ordinal += 1;
        self.offset = HEADER_BYTES;
    }

    /// Opens segment `self.ordinal`. False when it does not exist yet.
    fn open_segment(&mut self) -> Result<bool, JournalError> {
        // The mark is read before the directory: what it counts must then be there. Looked at twice, because
        // a running writer renames files while the directory is listed.
        let known = read_mark(&self.dir, self.stream, self.manifest.run_id.0).map_or(0, |m| m.position);
        let mut found = None;
        let mut more = false;
        for _ in 0..4 {
            let segments = list_segments(&self.dir, self.stream)?;
            more = segments.last().is_some_and(|s| s.ordinal > self.ordinal);
            if let Some(place) = segments.into_iter().find(|s| s.ordinal == self.ordinal) {
                match Source::open(&place.path) {
                    Ok(source) => {
                        found = Some((place, source));
                        break;
                    }
                    // Packed meanwhile: look again.
                    Err(e) if e.kind() == std::io::ErrorKind::NotFound => more = true,
                    Err(e) if e.kind() == std::io::ErrorKind::InvalidData => {
                        return Err(self.damage_at(&place.path, 0, DamageKind::Packed));
                    }
                    Err(e) => return Err(JournalError::io("open", &place.path, &e)),
                }
            } else if !more || self.skip_removed()? {
                continue;
            }
        }
        let Some((place, mut source)) = found else {
            if more || known > self.start.max(HEADER_BYTES as u64) {
                let chain = read_chain(&self.dir, self.stream, self.manifest.run_id.0)?;
                if self.ordinal < chain.removed_below() {
                    let (path, stream, ordinal) = (self.dir.clone(), self.stream, self.ordinal);
                    return Err(JournalError::Removed { path, stream, ordinal });
                }
                return Err(self.damage(DamageKind::MissingSegment { ordinal: self.ordinal }));
            }
            return Ok(false);
        };
        let mut page = vec![0; HEADER_BYTES];
        let got = match source.read_up_to(&mut page, 0) {
            Ok(got) => got,
            Err(e) if e.kind() == std::io::ErrorKind::InvalidData => {
                return Err(self.damage_at(&place.path, 0, DamageKind::Packed));
            }
            Err(e) => return Err(JournalError::io("read", &place.path, &e)),
        };
        let header = SegmentHeader::decode(&page[..got]).and_then(|h| self.check_header(h, &place));
        let header = match header {
            Ok(header) => header,
            Err(kind) => return Err(self.damage_at(&place.path, 0, kind)),
        };
        if header.run_id != self.manifest.run_id.0 {
            let expected = self.manifest.run_id.0;
            return Err(JournalError::ForeignRun { file: place.path, found: header.run_id, expected });
        }
        if self.segment_bytes == 0 {
            self.segment_bytes = header.segment_bytes;
            self.start = self.position();
        }
        self.open = Some(Open { source, place, header, buffer: Vec::new(), buffer_at: 0 });
        Ok(true)
    }

    /// Before anything was read: goes to the first segment that retention left. False when none was removed.
    fn skip_removed(&mut self) -> Result<bool, JournalError> {
        if self.segment_bytes != 0 {
            return Ok(false);
        }
        let chain = read_chain(&self.dir, self.stream, self.manifest.run_id.0)?;
        let first = chain.removed_below();
        if first <= self.ordinal {
            return Ok(false);
        }
        self.index = chain.segment(first - 1).map_or(0, |closed| closed.first_record + closed.records);
        (self.ordinal, self.offset, self.resync) = (first, HEADER_BYTES, true);
        Ok(true)
    }

    fn check_header(&self, header: SegmentHeader, place: &SegmentFile) -> Result<SegmentHeader, DamageKind> {
        let size = header.segment_bytes;
        let sizes = super::layout::SEGMENT_BYTES_MIN as u64..=super::layout::SEGMENT_BYTES_MAX as u64;
        let checks = [
            (header.stream == self.stream.code(), "stream"),
            (header.ordinal == place.ordinal, "ordinal"),
            (header.base_seq == place.base_seq, "base sequence"),
            (sizes.contains(&size) && size.is_multiple_of(HEADER_BYTES as u64), "segment size"),
            (self.segment_bytes == 0 || size == self.segment_bytes, "segment size"),
            (header.schema_hash == self.manifest.schema_hash, "schema"),
        ];
        match checks.iter().find(|(good, _)| !good) {
            Some((_, what)) => Err(DamageKind::Misplaced { what }),
            None => Ok(header),
        }
    }

    /// Looks at the record under the cursor. What looks wrong is read anew once: a running writer may have
    /// been in the middle of it.
    fn step(&mut self) -> Result<Step, JournalError> {
        let first = self.try_step(false)?;
        match first {
            Ok(Step::Empty) | Err(_) => self.try_step(true)?.map_err(|kind| self.damage(kind)),
            Ok(step) => Ok(step),
        }
    }

    fn try_step(&mut self, anew: bool) -> Result<Result<Step, DamageKind>, JournalError> {
        let Some(open) = self.open.as_mut() else { return Ok(Ok(Step::Empty)) };
        if anew {
            open.buffer.clear();
        }
        let left = (self.segment_bytes as usize).saturating_sub(self.offset);
        let position = self.ordinal * self.segment_bytes + self.offset as u64;
        let position = (open.header.version > 1).then_some(position);
        let Some(head) = open.bytes(self.offset, RECORD_HEADER_BYTES.min(left))? else {
            return Ok(Ok(Step::Empty)); // a trimmed file ends here
        };
        let Some(head) = head.first_chunk() else { return Ok(Ok(Step::Empty)) };
        let header = RecordHeader::decode(head);
        let length = header.length as usize;
        if length == 0 {
            return Ok(Ok(Step::Empty));
        }
        if length < RECORD_HEADER_BYTES || align(length) > left {
            return Ok(Err(DamageKind::Length { length: header.length }));
        }
        if header.is_padding() {
            let good = header.flags == FLAG_PADDING
                && length == left
                && header.crc == record_crc(self.seed, position, header.length, &head[8..]);
            return Ok(if good { Ok(Step::Padding(header)) } else { Err(DamageKind::Checksum) });
        }
        // The last record of a trimmed file keeps its alignment: the writer trims at a multiple of 32.
        let Some(bytes) = open.bytes(self.offset, align(length))? else {
            return Ok(Err(DamageKind::Cut { length: header.length }));
        };
        if header.crc != record_crc(self.seed, position, header.length, &bytes[8..length]) {
            return Ok(Err(DamageKind::Checksum));
        }
        if bytes[length..].iter().any(|b| *b != 0) {
            return Ok(Err(DamageKind::NotZero));
        }
        if header.flags & !FLAG_CONTINUES != 0 || header.kind == 0 {
            return Ok(Err(DamageKind::Checksum));
        }
        Ok(Ok(Step::Part(header)))
    }

    /// At an empty record: an error when more is known to have been written behind it.
    fn check_end(&mut self) -> Result<(), JournalError> {
        let more = list_segments(&self.dir, self.stream)?.last().is_some_and(|s| s.ordinal > self.ordinal);
        let mark = read_mark(&self.dir, self.stream, self.manifest.run_id.0).unwrap_or_default();
        if !more && mark.position <= self.start {
            return Ok(());
        }
        // A running writer may have gone on since the look at the record.
        match self.try_step(true)? {
            Ok(Step::Empty) => Err(self.damage(DamageKind::Hole)),
            Ok(_) => Ok(()),
            Err(kind) => Err(self.damage(kind)),
        }
    }

    fn damage(&self, kind: DamageKind) -> JournalError {
        let path = match &self.open {
            Some(open) => open.place.path.clone(),
            None => self.dir.join(format!("{}-{:06}-….seg", self.stream, self.ordinal)),
        };
        let offset = if self.open.is_some() { self.offset as u64 } else { 0 };
        self.damage_at(&path, offset, kind)
    }

    fn damage_at(&self, file: &Path, offset: u64, kind: DamageKind) -> JournalError {
        JournalError::Damaged(Damage {
            stream: self.stream,
            file: file.to_owned(),
            offset,
            position: self.ordinal * self.segment_bytes + offset,
            kind,
        })
    }

    /// Continues at the beginning of the next segment, past damage in this one (for reports only). False
    /// when there is no later segment.
    pub(super) fn skip_segment(&mut self) -> Result<bool, JournalError> {
        let later = list_segments(&self.dir, self.stream)?.into_iter().find(|s| s.ordinal > self.ordinal);
        let Some(later) = later else { return Ok(false) };
        self.open = None;
        self.ordinal = later.ordinal;
        self.offset = HEADER_BYTES;
        self.resync = true;
        Ok(true)
    }
}

/// Whether a continuing part belongs to the part before it.
fn follows(before: &RecordHeader, part: &RecordHeader, body: usize) -> bool {
    u64::from(before.rest) == u64::from(part.rest) + body as u64
        && (before.kind, before.class, before.seq, before.time_ns)
            == (part.kind, part.class, part.seq, part.time_ns)
}

impl Open {
    /// Bytes `at..at + len` of the file; `None` when it ends before them.
    fn bytes(&mut self, at: usize, len: usize) -> Result<Option<&[u8]>, JournalError> {
        let end = self.buffer_at + self.buffer.len();
        if at < self.buffer_at || at + len > end {
            self.buffer.resize(len.max(BLOCK_BYTES), 0);
            self.buffer_at = at;
            let got = self.source.read_up_to(&mut self.buffer, at as u64);
            self.buffer.truncate(*got.as_ref().unwrap_or(&0));
            got.map_err(|e| self.failed(at, &e))?;
        }
        let from = at - self.buffer_at;
        Ok(self.buffer.get(from..from + len))
    }
}

impl Open {
    fn failed(&self, at: usize, failure: &std::io::Error) -> JournalError {
        if failure.kind() != std::io::ErrorKind::InvalidData {
            return JournalError::io("read", &self.place.path, failure);
        }
        JournalError::Damaged(Damage {
            stream: if self.header.stream == Stream::Inputs.code() {
                Stream::Inputs
            } else {
                Stream::Outputs
            },
            file: self.place.path.clone(),
            offset: at as u64,
            position: self.header.ordinal * self.header.segment_bytes + at as u64,
            kind: DamageKind::Packed,
        })
    }
}

/// Reads until `buffer` is full or the file ends; returns the number of bytes read.
pub(super) fn read_up_to(file: &File, buffer: &mut [u8], at: u64) -> std::io::Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        match file.read_at(&mut buffer[done..], at + done as u64) {
            Ok(0) => break,
            Ok(n) => done += n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(done)
}
