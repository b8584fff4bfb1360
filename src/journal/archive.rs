//! What becomes of a segment once its writer has left it: an index beside it, a line in the stream's chain, and
//! its bytes compressed. Every step is whole or undone, and each may be repeated after a crash.

use super::chain::{Chain, ChainEntry, ChainWriter, ClosedSegment};
use super::error::JournalError;
use super::index::{Indexer, index_path};
use super::layout::{Stream, segment_stem};
use super::manifest::{Hash256, Manifest, sync_dir};
use super::mark::{alone, read_mark};
use super::packed::{BLOCK_BYTES, Packer};
use super::reader::{SegmentFile, list_segments};
use super::source::Source;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// What archiving has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Archived {
    /// Segments indexed and chained.
    pub segments: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Segments compressed.
    pub packed: u64,
    /// Bytes before compression...
    pub raw_bytes: u64,
    /// ...and after.
    pub packed_bytes: u64,
}

/// Archives the segments of a stream in their order.
pub(super) struct StreamArchive {
    dir: PathBuf,
    stream: Stream,
    run_id: u128,
    indexer: Indexer,
    chain: ChainWriter,
    /// The next to be archived.
    next: u64,
    /// Compression level; `None` leaves segments raw.
    level: Option<i32>,
    pub done: Archived,
}

impl StreamArchive {
    pub fn open(dir: &Path, stream: Stream, level: Option<i32>) -> Result<Self, JournalError> {
        let run_id = Manifest::read(dir)?.run_id.0;
        let chain = ChainWriter::open(dir, stream, run_id)?;
        let next = list_segments(dir, stream)?.first().map_or(0, |first| first.ordinal);
        let indexer = Indexer::new(dir, stream)?;
        let done = Archived::default();
        Ok(Self { dir: dir.to_owned(), stream, run_id, indexer, chain, next, level, done })
    }

    pub fn chain(&self) -> &Chain {
        self.chain.chain()
    }

    pub fn note_removed(&mut self, ordinal: u64, why: String) -> Result<(), JournalError> {
        self.chain.append(ChainEntry::Removed { ordinal, why })
    }

    /// What a crash left behind: a half-packed file, or the raw one beside the packed one.
    fn clear(&self, segment: &SegmentFile, aside: &Path) {
        let _ = fs::remove_file(aside); // mostly absent
        if segment.is_packed() {
            let _ = fs::remove_file(segment.path.with_extension("")); // mostly absent
        }
    }

    /// Archives the next segment if its number is below `closed_below`. True when there may be more to do.
    /// `ended`: the writer is gone, and its last segment is closed too; it is not compressed.
    pub fn step(&mut self, closed_below: u64, ended: bool) -> Result<bool, JournalError> {
        if self.next >= closed_below {
            return Ok(false);
        }
        let segments = list_segments(&self.dir, self.stream)?;
        let Some(segment) = segments.iter().find(|segment| segment.ordinal == self.next) else {
            return Ok(false);
        };
        let is_last = ended && self.next + 1 == closed_below;
        let index_at = index_path(&self.dir, self.stream, segment.ordinal, segment.base_seq);
        let Some((index, contents)) = self.indexer.next(self.next, is_last)? else { return Ok(false) };
        index.write(&index_at, self.run_id)?;
        let stem = segment_stem(self.stream, segment.ordinal, segment.base_seq);
        let aside = self.dir.join(format!("{stem}.seg.zst.tmp"));
        let known = self.chain.chain().segment(self.next).map(|closed| closed.sha256);
        let level = self.level.filter(|_| !is_last && !segment.is_packed());
        self.clear(segment, &aside);
        let read = read_through(segment, level.map(|level| (aside.as_path(), level)));
        let (bytes, sha256, packed) = match read {
            Ok(read) => read,
            Err(failure) => {
                let _ = fs::remove_file(&aside); // gives the space back; the error that matters is the first
                self.indexer.again(index, contents);
                return Err(failure);
            }
        };
        if known.is_none() {
            let (last_seq, last_ns) = contents.last.unwrap_or((index.seq, index.time_ns));
            let closed = ClosedSegment {
                ordinal: segment.ordinal,
                base_seq: segment.base_seq,
                first_record: index.first_record,
                records: contents.records,
                last_seq,
                last_ns,
                bytes,
                sha256,
                closed_wall_ns: written_at(&segment.path),
            };
            if let Err(failure) = self.chain.append(ChainEntry::Segment(closed)) {
                let _ = fs::remove_file(&aside);
                self.indexer.again(index, contents);
                return Err(failure);
            }
            self.done.segments += 1;
            self.done.bytes += bytes;
        }
        self.next += 1;
        if let Some(packed_bytes) = packed {
            replace(&self.dir, segment, &aside)?;
            self.done.packed += 1;
            self.done.raw_bytes += bytes;
            self.done.packed_bytes += packed_bytes;
        }
        Ok(true)
    }
}

/// Compresses, indexes and chains what is left raw of a finished journal (all but the last segment of each stream,
/// which is small, is compressed). A journal that was not closed in order must be recovered first.
///
/// # Errors
/// Damage; nothing is packed that does not read cleanly.
pub fn pack(dir: &Path, level: i32) -> Result<Archived, JournalError> {
    pack_told(dir, level, &mut |_, _, _| {})
}

/// The same; `progress` gets the stream, how many of its segments are done, and of how many.
///
/// # Errors
/// As [`pack`].
pub fn pack_told(
    dir: &Path,
    level: i32,
    progress: &mut dyn FnMut(Stream, u64, u64),
) -> Result<Archived, JournalError> {
    let run_id = Manifest::read(dir)?.run_id.0;
    let mut sum = Archived::default();
    for stream in Stream::ALL {
        let segments = list_segments(dir, stream)?;
        let Some(last) = segments.last() else { continue };
        if !read_mark(dir, stream, run_id).is_some_and(|mark| mark.closed) {
            alone(dir, stream)?;
            let reason = "it was not closed in order: run `perpring journal recover` first".to_owned();
            return Err(JournalError::Io { action: "pack", path: dir.to_owned(), reason });
        }
        let mut archive = StreamArchive::open(dir, stream, Some(level))?;
        let (mut done, whole) = (0, segments.len() as u64);
        progress(stream, done, whole);
        while archive.step(last.ordinal + 1, true)? {
            done += 1;
            progress(stream, done, whole);
        }
        sum.add(&archive.done);
    }
    Ok(sum)
}

impl Archived {
    pub(super) fn add(&mut self, other: &Self) {
        self.segments += other.segments;
        self.bytes += other.bytes;
        self.packed += other.packed;
        self.raw_bytes += other.raw_bytes;
        self.packed_bytes += other.packed_bytes;
    }
}

/// A segment's length, its SHA-256 and, when packed into `to` at a level, the packed length.
type ReadThrough = (u64, Hash256, Option<u64>);

/// Reads a segment once: hashes it and, if told to, packs it (synchronised, not yet named).
fn read_through(segment: &SegmentFile, to: Option<(&Path, i32)>) -> Result<ReadThrough, JournalError> {
    let path = &segment.path;
    let reading = |e: &std::io::Error| JournalError::io("read", path, e);
    let mut source = Source::open(path).map_err(|e| reading(&e))?;
    let mut packer = match to {
        Some((aside, level)) => {
            let begun = File::create(aside).and_then(|file| Packer::new(file, level));
            Some(begun.map_err(|e| JournalError::write("pack", aside, BLOCK_BYTES as u64, &e))?)
        }
        None => None,
    };
    let mut hash = ring::digest::Context::new(&ring::digest::SHA256);
    let mut block = vec![0; BLOCK_BYTES];
    let mut at = 0;
    loop {
        let got = source.read_up_to(&mut block, at).map_err(|e| reading(&e))?;
        if got == 0 {
            break;
        }
        hash.update(&block[..got]);
        if let Some(packer) = &mut packer {
            let packed = packer.block(&block[..got]);
            packed.map_err(|e| JournalError::write("pack", path, got as u64, &e))?;
        }
        at += got as u64;
    }
    let mut sha256 = Hash256::default();
    sha256.0.copy_from_slice(hash.finish().as_ref());
    let packed = match packer {
        Some(packer) => {
            let finished = packer.finish().and_then(|file| file.sync_data().and_then(|()| file.metadata()));
            Some(finished.map_err(|e| JournalError::write("pack", path, 4096, &e))?.len())
        }
        None => None,
    };
    Ok((at, sha256, packed))
}

/// Puts the packed file in the place of the raw one. Readers find one of them at any moment.
fn replace(dir: &Path, segment: &SegmentFile, aside: &Path) -> Result<(), JournalError> {
    let packed = segment.path.with_extension("seg.zst");
    let fail = |e: &std::io::Error| JournalError::write("rename", aside, 0, e);
    fs::rename(aside, &packed).map_err(|e| fail(&e))?;
    sync_dir(dir)?;
    fs::remove_file(&segment.path).map_err(|e| JournalError::write("remove", &segment.path, 0, &e))
}

/// When a file was last written to, ns since the Unix epoch; 0 if the system does not say.
fn written_at(path: &Path) -> i64 {
    let modified = fs::metadata(path).and_then(|data| data.modified()).ok();
    modified.and_then(|at| at.duration_since(UNIX_EPOCH).ok()).map_or(0, |since| since.as_nanos() as i64)
}

/// The SHA-256 of a segment's bytes, raw or packed, header included.
pub(super) fn segment_hash(segment: &SegmentFile) -> Result<(u64, Hash256), JournalError> {
    read_through(segment, None).map(|(bytes, hash, _)| (bytes, hash))
}
