//! One segment file while it is written: zero-written, mapped and pre-faulted before its first record, so
//! that an append never waits for the disk to allocate and finds a full disk ahead of time, not inside a
//! store to mapped memory.

use super::error::JournalError;
use super::layout::{HEADER_BYTES, SegmentHeader, Stream, segment_name};
use memmap2::{Advice, MmapMut, MmapOptions};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// A segment open for writing.
#[derive(Debug)]
pub(super) struct Segment {
    /// The file; shared with whoever synchronises it.
    pub file: Arc<File>,
    /// Where it is.
    pub path: PathBuf,
    /// Its bytes, private: all writes go through the methods below.
    map: MmapMut,
}

/// What a stream's segments have in common.
#[derive(Clone, Debug)]
pub(super) struct SegmentPlan {
    /// The journal's directory.
    pub dir: PathBuf,
    /// The stream.
    pub stream: Stream,
    /// Size of each.
    pub segment_bytes: usize,
    /// Space to leave free on the file system.
    pub space_min_bytes: u64,
    /// A segment is kept in reserve, for when the disk is full.
    pub reserve: bool,
}

impl SegmentPlan {
    /// Where a segment waits before its first record.
    pub fn next_path(&self) -> PathBuf {
        self.dir.join(format!("{}.next", self.stream))
    }

    /// Where the reserve lies.
    pub fn reserve_path(&self) -> PathBuf {
        self.dir.join(format!("{}.reserve", self.stream))
    }

    /// Writes the reserve, if there is to be one and there is none. Slow: one segment's worth of zeros.
    pub fn fill_reserve(&self) -> Result<(), JournalError> {
        let path = self.reserve_path();
        if !self.reserve || path.exists() {
            return Ok(());
        }
        let needed = self.segment_bytes as u64;
        let free = space_free(&self.dir)?;
        // Room for the next segment in order goes first.
        if free < needed.saturating_mul(2).saturating_add(self.space_min_bytes) {
            return Err(JournalError::DiskFull { path, needed });
        }
        let aside = path.with_extension("reserve.tmp");
        let filled = self.zero_write(&aside).and_then(|_| {
            fs::rename(&aside, &path).map_err(|e| JournalError::write("rename", &aside, 0, &e))
        });
        if filled.is_err() {
            let _ = fs::remove_file(&aside); // give the space back
        }
        filled
    }

    /// The next segment: a new one, or the reserve where there is no room for one. With the failure that made
    /// the reserve necessary.
    pub fn prepare_or_reserve(&self) -> Result<(Segment, Option<JournalError>), JournalError> {
        match self.prepare() {
            Ok(segment) => Ok((segment, None)),
            Err(full @ (JournalError::DiskFull { .. } | JournalError::SpaceLow { .. })) => {
                match self.take_reserve() {
                    Ok(segment) => Ok((segment, Some(full))),
                    Err(_) => Err(full), // used up
                }
            }
            Err(other) => Err(other),
        }
    }

    fn take_reserve(&self) -> Result<Segment, JournalError> {
        let (from, path) = (self.reserve_path(), self.next_path());
        fs::rename(&from, &path).map_err(|e| JournalError::write("rename", &from, 0, &e))?;
        let opened = OpenOptions::new().read(true).write(true).open(&path);
        self.map(opened.map_err(|e| JournalError::write("open", &path, 0, &e))?, &path)
    }

    /// Writes, maps and touches a new segment under its waiting name. Slow: one segment's worth of zeros.
    /// On failure nothing is left behind.
    pub fn prepare(&self) -> Result<Segment, JournalError> {
        let needed = self.segment_bytes as u64;
        let free = space_free(&self.dir)?;
        if free < needed.saturating_add(self.space_min_bytes) {
            let path = self.dir.clone();
            return Err(if self.space_min_bytes == 0 {
                JournalError::DiskFull { path: self.next_path(), needed }
            } else {
                JournalError::SpaceLow { path, free, min: self.space_min_bytes.saturating_add(needed) }
            });
        }
        let path = self.next_path();
        let prepared = self.prepare_at(&path);
        if prepared.is_err() {
            let _ = fs::remove_file(&path); // give the space back; the error that matters is the first
        }
        prepared
    }

    fn prepare_at(&self, path: &Path) -> Result<Segment, JournalError> {
        self.map(self.zero_write(path)?, path)
    }

    /// A file full of zeros: its blocks are there before they are needed.
    fn zero_write(&self, path: &Path) -> Result<File, JournalError> {
        let needed = self.segment_bytes as u64;
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)
            .map_err(|e| JournalError::write("create", path, needed, &e))?;
        let zeros = vec![0; self.segment_bytes.min(1 << 18)];
        let mut left = self.segment_bytes;
        while left > 0 {
            let part = left.min(zeros.len());
            file.write_all(&zeros[..part]).map_err(|e| JournalError::write("extend", path, needed, &e))?;
            left -= part;
        }
        Ok(file)
    }

    fn map(&self, file: File, path: &Path) -> Result<Segment, JournalError> {
        // SAFETY: the file was created for this journal, is `segment_bytes` long and stays so while it is
        // mapped: only `Segment::trim`, which consumes the map first, shortens it. Nothing in this process
        // maps it a second time (readers use `pread`), so the map's bytes change only through `&mut self`.
        let mut map = unsafe { MmapOptions::new().len(self.segment_bytes).map_mut(&file) }
            .map_err(|e| JournalError::io("map", path, &e))?;
        if map.advise(Advice::PopulateWrite).is_err() {
            // Kernels before 5.14: touch every page by hand. Nobody else has the segment yet.
            for at in (0..map.len()).step_by(4096) {
                map[at] = std::hint::black_box(0);
            }
        }
        Ok(Segment { file: Arc::new(file), path: path.to_owned(), map })
    }
}

impl Segment {
    /// Writes the header and gives the file its final name.
    pub fn begin(&mut self, dir: &Path, stream: Stream, header: &SegmentHeader) -> Result<(), JournalError> {
        let page = self.map.first_chunk_mut::<HEADER_BYTES>();
        header.encode(page.ok_or_else(|| JournalError::Options { reason: "segment without a page".into() })?);
        let path = dir.join(segment_name(stream, header.ordinal, header.base_seq));
        fs::rename(&self.path, &path).map_err(|e| JournalError::write("rename", &self.path, 0, &e))?;
        self.path = path;
        Ok(())
    }

    /// The bytes of a record to be: everything but its length, which [`Segment::commit`] writes.
    #[inline]
    pub fn record_mut(&mut self, offset: usize, bytes: usize) -> &mut [u8] {
        &mut self.map[offset..offset + bytes]
    }

    /// Makes the record at `offset` visible: stores its length last, with release order, so that a reader
    /// that sees the length sees the rest.
    #[inline]
    pub fn commit(&mut self, offset: usize, length: u32) {
        let place = &mut self.map[offset..offset + 4];
        debug_assert!(place.as_ptr().cast::<AtomicU32>().is_aligned());
        // SAFETY: `place` is four bytes of the map that we hold exclusively; the map begins on a page and
        // records on multiples of 32, so the pointer is aligned for `AtomicU32`; the atomic does not
        // outlive the borrow.
        let word = unsafe { AtomicU32::from_ptr(place.as_mut_ptr().cast()) };
        word.store(length.to_le(), Ordering::Release);
    }

    /// Unmaps the segment and cuts the file to its used length.
    pub fn trim(self, used_bytes: u64) -> Result<Arc<File>, JournalError> {
        let Self { file, path, map } = self;
        drop(map);
        file.set_len(used_bytes).map_err(|e| JournalError::write("trim", &path, 0, &e))?;
        Ok(file)
    }
}

/// Bytes that this process may still use on the file system of `dir`.
pub(super) fn space_free(dir: &Path) -> Result<u64, JournalError> {
    let stat =
        rustix::fs::statvfs(dir).map_err(|e| JournalError::io("measure the space of", dir, &e.into()))?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}
