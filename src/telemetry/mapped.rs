//! A small memory-mapped file of a fixed size: the ground under counters and errors. One process writes it;
//! any number may map it to read. It is created whole under another name and then renamed, so that a reader
//! never sees a short one.

use memmap2::{MmapMut, MmapOptions, MmapRaw};
use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// A telemetry file could not be used.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The system refused.
    #[error("cannot {action} {}: {source}", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file is something else.
    #[error("{} is not {what} of a version that this program reads; remove it or name another", .path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What was expected.
        what: &'static str,
    },
    /// More entries than the file has slots.
    #[error(
        "{wanted} {what} exceed the {max} that fit; this is a limit of the program, not of the configuration"
    )]
    Full {
        /// Of what.
        what: &'static str,
        /// How many were asked for.
        wanted: usize,
        /// How many fit.
        max: usize,
    },
}

pub(super) fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> TelemetryError {
    let path = path.to_owned();
    move |source| TelemetryError::Io { action, path, source }
}

/// Mapped memory, in words. All access is by atomic words and by copies of plain bytes, so that readers in
/// other processes and threads see defined values.
#[derive(Debug)]
pub(super) struct Mapped {
    map: MmapRaw,
}

impl Mapped {
    /// Anonymous memory, for runs without a directory.
    pub fn anonymous(bytes: usize) -> io::Result<Self> {
        Ok(Self { map: MmapMut::map_anon(bytes)?.into() })
    }

    /// A new file with `content`, mapped for writing. Replaces an older file: whoever maps that keeps it.
    pub fn create(path: &Path, content: &[u8]) -> Result<Self, TelemetryError> {
        let mut aside = path.as_os_str().to_owned();
        aside.push(format!(".{}.new", std::process::id()));
        let aside = PathBuf::from(aside);
        fs::write(&aside, content).map_err(failed("write", &aside))?;
        fs::rename(&aside, path).map_err(failed("rename a new file to", path))?;
        Self::open(path, true)
    }

    /// An existing file.
    pub fn open(path: &Path, writable: bool) -> Result<Self, TelemetryError> {
        let file = OpenOptions::new().read(true).write(writable).open(path).map_err(failed("open", path))?;
        let map = match writable {
            true => MmapOptions::new().map_raw(&file),
            false => MmapOptions::new().map_raw_read_only(&file),
        };
        Ok(Self { map: map.map_err(failed("map", path))? })
    }

    /// Size in bytes.
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// The word at a byte offset that is a multiple of eight.
    #[inline]
    pub fn word(&self, at: usize) -> &AtomicU64 {
        assert!(at.is_multiple_of(8) && at + 8 <= self.map.len(), "word {at} outside the mapped file");
        // SAFETY: the offset lies inside the map (asserted) and is aligned, the map being page-aligned; the
        // memory lives as long as `self`; this type makes no reference to it but atomics. Telemetry files
        // are never shortened while mapped: they are replaced by rename. Readers only load.
        unsafe { AtomicU64::from_ptr(self.map.as_mut_ptr().add(at).cast()) }
    }

    /// Writes bytes, a word at a time; the offset is a multiple of eight, the end is padded with zeros.
    pub fn write(&self, at: usize, bytes: &[u8]) {
        for (i, part) in bytes.chunks(8).enumerate() {
            let mut word = [0; 8];
            word[..part.len()].copy_from_slice(part);
            self.word(at + 8 * i).store(u64::from_le_bytes(word), Ordering::Relaxed);
        }
    }

    /// Reads bytes, a word at a time.
    pub fn read(&self, at: usize, len: usize) -> Vec<u8> {
        let words =
            (0..len.div_ceil(8)).flat_map(|i| self.word(at + 8 * i).load(Ordering::Relaxed).to_le_bytes());
        words.take(len).collect()
    }

    /// Text up to the first zero byte, whatever is not UTF-8 replaced.
    pub fn text(&self, at: usize, len: usize) -> String {
        let bytes = self.read(at, len);
        let end = bytes.iter().position(|b| *b == 0).unwrap_or(len);
        String::from_utf8_lossy(&bytes[..end]).into_owned()
    }
}

/// Cuts text to at most `max` bytes at a character boundary.
pub(super) fn cut(text: &str, max: usize) -> &str {
    let mut end = text.len().min(max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
