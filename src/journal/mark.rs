//! How far a stream is written and how far it is durable: shared atomics for the running process, and a
//! small file (`inputs.mark`) that tells recovery after a crash. The file never says more than is true: it
//! is written after the data reached the disk.
//!
//! ```text
//! mark file: two slots, at 0 and 512, written in turn; the valid one with the higher counter counts
//! offset  size  field
//!      0     8  magic "PERPMARK"
//!      8    16  run id
//!     24     8  counter
//!     32     8  position: every byte of the stream below it is durable
//!     40     8  sequence of the last record below it
//!     48     4  1 = the stream was closed in order, and ends at the position; 2 = it ends there by recovery, and what was
//!               made last may be missing
//!     52     4  CRC32C of bytes 0..52
//! ```

use super::error::JournalError;
use super::layout::Stream;
use super::lock::hold;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

const MAGIC: [u8; 8] = *b"PERPMARK";
const SLOT_BYTES: usize = 56;
const SLOT_STRIDE: u64 = 512;

/// The condition of a writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Health {
    /// All is well.
    Good = 0,
    /// The next segment could not be prepared (disk full or below its reserve); recording goes on in the
    /// current one until it is full.
    NoRoomAhead = 1,
    /// A synchronisation failed: final.
    Failed = 2,
}

/// How far a stream has come, for other threads to read. Positions compare with
/// [`Token`](super::writer::Token)s.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Watermark {
    written: AtomicU64,
    written_seq: AtomicU64,
    synced: AtomicU64,
    synced_seq: AtomicU64,
    health: AtomicU8,
}

impl Watermark {
    /// Position below which every record is complete in memory (survives the end of the process).
    #[inline]
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    /// Position below which every record is on the disk (survives the loss of power).
    #[inline]
    pub fn synced(&self) -> u64 {
        self.synced.load(Ordering::Acquire)
    }

    /// Sequence of the last record written.
    pub fn written_seq(&self) -> u64 {
        self.written_seq.load(Ordering::Acquire)
    }

    /// Sequence of the last record known to be on the disk.
    pub fn synced_seq(&self) -> u64 {
        self.synced_seq.load(Ordering::Acquire)
    }

    /// The writer's condition.
    pub fn health(&self) -> Health {
        match self.health.load(Ordering::Acquire) {
            0 => Health::Good,
            1 => Health::NoRoomAhead,
            _ => Health::Failed,
        }
    }

    /// Writer only. The position goes first, so that [`Watermark::pair`] never pairs a sequence with a
    /// position before it.
    #[inline]
    pub(super) fn set_written(&self, position: u64, seq: u64) {
        self.written.store(position, Ordering::Release);
        self.written_seq.store(seq, Ordering::Release);
    }

    /// Position and a sequence that lies below it.
    pub(super) fn pair(&self) -> (u64, u64) {
        let seq = self.written_seq();
        (self.written(), seq)
    }

    pub(super) fn set_synced(&self, position: u64, seq: u64) {
        self.synced.store(position, Ordering::Release);
        self.synced_seq.store(seq, Ordering::Release);
    }

    /// Failure is final: it is never taken back.
    pub(super) fn set_health(&self, health: Health) {
        let _ = self.health.try_update(Ordering::AcqRel, Ordering::Acquire, |now| {
            (now != Health::Failed as u8).then_some(health as u8)
        });
    }
}

/// How a stream ends: not yet, in order, by recovery.
const OPEN: u32 = 0;
const CLOSED: u32 = 1;
const RECOVERED: u32 = 2;

/// What a mark file says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// Every byte of the stream below it is durable.
    pub position: u64,
    /// Sequence of the last record below it.
    pub seq: u64,
    /// The stream ends at `position`.
    pub closed: bool,
    /// It was not closed in order: recovery found its end, and what was made last may never have been written.
    pub recovered: bool,
}

/// Path of a stream's mark file.
pub fn mark_path(dir: &Path, stream: Stream) -> PathBuf {
    dir.join(format!("{stream}.mark"))
}

/// Reads a stream's mark. `None` when there is none that is whole and of this run: then nothing is known to
/// be durable.
pub fn read_mark(dir: &Path, stream: Stream, run_id: u128) -> Option<Mark> {
    let file = File::open(mark_path(dir, stream)).ok()?;
    [0, SLOT_STRIDE]
        .into_iter()
        .filter_map(|at| read_slot(&file, at, run_id))
        .max_by_key(|(n, _)| *n)
        .map(|(_, m)| m)
}

fn read_slot(file: &File, at: u64, run_id: u128) -> Option<(u64, Mark)> {
    let mut slot = [0; SLOT_BYTES];
    file.read_exact_at(&mut slot, at).ok()?;
    let word = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| slot[at + i]));
    let half = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| slot[at + i]));
    let good =
        slot[..8] == MAGIC && slot[8..24] == run_id.to_le_bytes() && half(52) == crc32c::crc32c(&slot[..52]);
    good.then(|| {
        (
            word(24),
            Mark {
                position: word(32),
                seq: word(40),
                closed: matches!(half(48), CLOSED | RECOVERED),
                recovered: half(48) == RECOVERED,
            },
        )
    })
}

/// Makes sure that no run writes the journal in `dir`; there may be none.
///
/// # Errors
/// One does.
pub fn nobody_writes(dir: &Path) -> Result<(), JournalError> {
    Stream::ALL.into_iter().try_for_each(|stream| alone(dir, stream).map(drop))
}

/// Makes sure that nobody writes the stream, for as long as what is returned lives; there may be no mark yet.
///
/// # Errors
/// Its writer is alive.
pub(super) fn alone(dir: &Path, stream: Stream) -> Result<Option<File>, JournalError> {
    let path = mark_path(dir, stream);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(JournalError::io("open", &path, &e)),
    };
    match hold(&file, &path)? {
        true => Ok(Some(file)),
        false => Err(JournalError::Alive { path: dir.to_owned() }),
    }
}

/// Writes a mark file.
#[derive(Debug)]
pub(super) struct MarkFile {
    file: File,
    path: PathBuf,
    run_id: u128,
    counter: u64,
}

impl MarkFile {
    /// Creates the file, with nothing durable yet.
    pub(super) fn create(dir: &Path, stream: Stream, run_id: u128) -> Result<Self, JournalError> {
        let path = mark_path(dir, stream);
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)
            .map_err(|e| JournalError::write("create", &path, 1024, &e))?;
        let mut mark = Self { file, path, run_id, counter: 0 };
        mark.write(Mark::default(), false)?;
        mark.write(Mark::default(), false)?;
        Ok(mark)
    }

    /// The writer's: held for as long as it lives, see [`alone`].
    pub(super) fn hold(self, dir: &Path) -> Result<Self, JournalError> {
        match hold(&self.file, &self.path)? {
            true => Ok(self),
            false => Err(JournalError::Alive { path: dir.to_owned() }),
        }
    }

    /// Replaces the older slot; `durable` waits for the disk.
    pub(super) fn write(&mut self, mark: Mark, durable: bool) -> Result<(), JournalError> {
        self.counter += 1;
        let mut slot = [0; SLOT_BYTES];
        slot[..8].copy_from_slice(&MAGIC);
        slot[8..24].copy_from_slice(&self.run_id.to_le_bytes());
        slot[24..32].copy_from_slice(&self.counter.to_le_bytes());
        slot[32..40].copy_from_slice(&mark.position.to_le_bytes());
        slot[40..48].copy_from_slice(&mark.seq.to_le_bytes());
        let end = match (mark.closed, mark.recovered) {
            (false, _) => OPEN,
            (true, false) => CLOSED,
            (true, true) => RECOVERED,
        };
        slot[48..52].copy_from_slice(&end.to_le_bytes());
        let crc = crc32c::crc32c(&slot[..52]);
        slot[52..].copy_from_slice(&crc.to_le_bytes());
        let at = (self.counter % 2) * SLOT_STRIDE;
        self.file
            .write_all_at(&slot, at)
            .and_then(|()| if durable { self.file.sync_data() } else { Ok(()) })
            .map_err(|e| JournalError::write("write", &self.path, 1024, &e))
    }
}
