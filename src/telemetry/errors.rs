//! The distinct-error log: each different error once, with its count and its first and last time, in a
//! memory-mapped file that survives a crash. Bounded: when it is full, further new errors only count.
//!
//! ```text
//! error file
//! offset  size  field
//!      0     8  magic "PERPERR1"
//!      8     8  number of slots
//!     16     8  errors that found no slot
//!     24    40  zero
//! slot i at 64 + 512 × i
//!      0     8  count; stored last; 0 = free
//!      8     8  first time, ns since the Unix epoch
//!     16     8  last time
//!     24    40  code, zero-padded
//!     64   448  message of the first occurrence, zero-padded
//! ```

use super::mapped::{Mapped, TelemetryError, cut, failed};
use std::path::Path;
use std::sync::atomic::Ordering;

const MAGIC: u64 = u64::from_le_bytes(*b"PERPERR1");
const HEADER_BYTES: usize = 64;
const SLOT_BYTES: usize = 512;
const CODE_BYTES: usize = 40;
const MESSAGE_BYTES: usize = 448;

/// Default number of different errors.
pub const SLOTS: usize = 128;

/// A distinct error.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ErrorEntry {
    /// What makes it distinct, such as `okx/login-refused`.
    pub code: String,
    /// The message of its first occurrence.
    pub message: String,
    /// Occurrences.
    pub count: u64,
    /// First time, ns since the Unix epoch.
    pub first_ns: i64,
    /// Last time, ns since the Unix epoch.
    pub last_ns: i64,
}

/// The log, on the side that writes it. Two errors are the same when their codes are; put into the code what
/// tells them apart (venue, connection), never what varies with each occurrence. No secrets.
#[derive(Debug)]
pub struct ErrorLog {
    map: Mapped,
    slots: usize,
    used: Vec<String>,
}

impl ErrorLog {
    /// Opens the log at `path` and goes on counting, or creates it.
    pub fn open(path: &Path) -> Result<Self, TelemetryError> {
        if path.exists() {
            let map = Mapped::open(path, true)?;
            let slots = check(&map, path)?;
            let used = (0..slots).take_while(|i| word(&map, *i, 0) > 0).map(|i| code(&map, i)).collect();
            return Ok(Self { map, slots, used });
        }
        let mut content = vec![0; HEADER_BYTES + SLOT_BYTES * SLOTS];
        content[..8].copy_from_slice(&MAGIC.to_le_bytes());
        content[8..16].copy_from_slice(&(SLOTS as u64).to_le_bytes());
        Ok(Self { map: Mapped::create(path, &content)?, slots: SLOTS, used: Vec::with_capacity(SLOTS) })
    }

    /// A log in anonymous memory.
    pub fn anonymous() -> Result<Self, TelemetryError> {
        let map = Mapped::anonymous(HEADER_BYTES + SLOT_BYTES * SLOTS);
        let map = map.map_err(failed("map memory for", Path::new("errors")))?;
        map.word(0).store(MAGIC, Ordering::Relaxed);
        map.word(8).store(SLOTS as u64, Ordering::Relaxed);
        Ok(Self { map, slots: SLOTS, used: Vec::with_capacity(SLOTS) })
    }

    /// Notes an error at `wall_ns`. True when it is new: worth a line in the log.
    pub fn note(&mut self, error_code: &str, message: &str, wall_ns: i64) -> bool {
        let error_code = cut(error_code, CODE_BYTES);
        if let Some(slot) = self.used.iter().position(|c| c == error_code) {
            let count = self.word(slot, 0).load(Ordering::Relaxed);
            self.word(slot, 16).store(wall_ns as u64, Ordering::Relaxed);
            self.word(slot, 0).store(count.saturating_add(1), Ordering::Release);
            return false;
        }
        let slot = self.used.len();
        if slot == self.slots {
            let lost = self.map.word(16);
            lost.store(lost.load(Ordering::Relaxed).saturating_add(1), Ordering::Relaxed);
            return false;
        }
        let at = HEADER_BYTES + SLOT_BYTES * slot;
        self.map.write(at + 24, error_code.as_bytes());
        self.map.write(at + 64, cut(message, MESSAGE_BYTES).as_bytes());
        self.word(slot, 8).store(wall_ns as u64, Ordering::Relaxed);
        self.word(slot, 16).store(wall_ns as u64, Ordering::Relaxed);
        self.word(slot, 0).store(1, Ordering::Release);
        self.used.push(error_code.to_owned());
        true
    }

    /// All errors, in the order of their first occurrence.
    pub fn entries(&self) -> Vec<ErrorEntry> {
        entries(&self.map, self.slots)
    }

    /// Errors that found no slot.
    pub fn lost(&self) -> u64 {
        self.map.word(16).load(Ordering::Relaxed)
    }

    fn word(&self, slot: usize, at: usize) -> &std::sync::atomic::AtomicU64 {
        self.map.word(HEADER_BYTES + SLOT_BYTES * slot + at)
    }
}

/// Reads the log at `path`, from any process.
pub fn read_errors(path: &Path) -> Result<Vec<ErrorEntry>, TelemetryError> {
    let map = Mapped::open(path, false)?;
    let slots = check(&map, path)?;
    Ok(entries(&map, slots))
}

fn check(map: &Mapped, path: &Path) -> Result<usize, TelemetryError> {
    let foreign = || TelemetryError::Foreign { path: path.to_owned(), what: "an error log" };
    if map.len() < HEADER_BYTES || map.word(0).load(Ordering::Acquire) != MAGIC {
        return Err(foreign());
    }
    let slots = map.word(8).load(Ordering::Relaxed);
    let fits = ((map.len() - HEADER_BYTES) / SLOT_BYTES) as u64;
    if slots <= fits { Ok(slots as usize) } else { Err(foreign()) }
}

fn word(map: &Mapped, slot: usize, at: usize) -> u64 {
    map.word(HEADER_BYTES + SLOT_BYTES * slot + at).load(Ordering::Acquire)
}

fn code(map: &Mapped, slot: usize) -> String {
    map.text(HEADER_BYTES + SLOT_BYTES * slot + 24, CODE_BYTES)
}

fn entries(map: &Mapped, slots: usize) -> Vec<ErrorEntry> {
    (0..slots)
        .take_while(|slot| word(map, *slot, 0) > 0)
        .map(|slot| ErrorEntry {
            code: code(map, slot),
            message: map.text(HEADER_BYTES + SLOT_BYTES * slot + 64, MESSAGE_BYTES),
            count: word(map, slot, 0),
            first_ns: word(map, slot, 8) as i64,
            last_ns: word(map, slot, 16) as i64,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_count_by_code_and_survive_a_restart() {
        let path = std::env::temp_dir().join(format!("perpring-errors-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let mut log = ErrorLog::open(&path).expect("temporary file");
        assert!(log.note("okx/login", "login refused: 60009", 5));
        assert!(!log.note("okx/login", "login refused: other words", 9));
        assert!(log.note("binance/gap", &"ä".repeat(400), 7));
        #[allow(clippy::mem_forget)] // what a crash does: no destructor runs
        std::mem::forget(log);
        let mut log = ErrorLog::open(&path).expect("the same file");
        log.note("okx/login", "", 11);
        let entries = read_errors(&path).expect("the same file");
        assert_eq!(entries.len(), 2);
        let first = ErrorEntry {
            code: "okx/login".into(),
            message: "login refused: 60009".into(),
            count: 3,
            first_ns: 5,
            last_ns: 11,
        };
        assert_eq!((&entries[0], entries[1].message.chars().count()), (&first, 224));
        for i in 0..200 {
            log.note(&format!("code-{i}"), "x", 1);
        }
        assert_eq!((log.entries().len(), log.lost()), (SLOTS, 200 - (SLOTS as u64 - 2)));
        std::fs::remove_file(&path).expect("clean up");
    }

    #[test]
    fn another_file_is_refused_and_kept() {
        let path = std::env::temp_dir().join(format!("perpring-errors-bad-{}", std::process::id()));
        std::fs::write(&path, vec![7; 4096]).expect("write");
        assert!(matches!(ErrorLog::open(&path), Err(TelemetryError::Foreign { .. })));
        assert_eq!(std::fs::read(&path).expect("kept").len(), 4096);
        std::fs::remove_file(&path).expect("clean up");
    }
}
