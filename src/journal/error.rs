//! What can go wrong with a journal, in words that name the file and say what to do.

use super::layout::{BODY_BYTES_MAX, Stream, VERSION};
use std::io;
use std::path::{Path, PathBuf};

/// Why bytes of a segment cannot be taken as records.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DamageKind {
    /// No magic where a segment's header should be.
    #[error("not a journal segment (no magic)")]
    NotASegment,
    /// Header checksum.
    #[error("the segment's header does not match its checksum")]
    Header,
    /// A version that this program does not read.
    #[error("format version {found}; this program reads up to {VERSION}")]
    Version {
        /// The version found.
        found: u32,
    },
    /// Header of a good segment that does not belong here.
    #[error("the segment's header names another {what} than its file and manifest")]
    Misplaced {
        /// `stream`, `ordinal`, `base sequence`, `segment size` or `schema`.
        what: &'static str,
    },
    /// A segment between two others, or the first, is absent.
    #[error("segment {ordinal} is missing")]
    MissingSegment {
        /// Its number.
        ordinal: u64,
    },
    /// The segment's file ends inside a record.
    #[error("the file ends inside a record of {length} bytes")]
    Cut {
        /// Length stated by the record.
        length: u32,
    },
    /// A length that no record can have.
    #[error("a record states an impossible length of {length} bytes")]
    Length {
        /// The stated length.
        length: u32,
    },
    /// Record checksum.
    #[error("a record does not match its checksum")]
    Checksum,
    /// Bytes between records or after the last are not zero.
    #[error("bytes that must be zero are not")]
    NotZero,
    /// A continued record without its beginning or its rest.
    #[error("a record that spans several is incomplete")]
    Span,
    /// Nothing where records are known to follow.
    #[error("an empty record, though more was written after it")]
    Hole,
    /// A compressed segment that cannot be decompressed.
    #[error("the compressed segment cannot be decompressed")]
    Packed,
    /// A segment is not the one that the chain speaks of.
    #[error("segment {ordinal} is not the one that was closed: its SHA-256 differs from the chain's")]
    Changed {
        /// Its number.
        ordinal: u64,
    },
    /// A line of the chain does not continue the line before it.
    #[error("line {line} breaks the chain: an entry was changed, left out or added")]
    Link {
        /// Number of the line, from 1.
        line: u64,
    },
    /// A compressed segment that the chain does not speak of.
    #[error("segment {ordinal} was closed, but the chain has no entry for it")]
    Unchained {
        /// Its number.
        ordinal: u64,
    },
    /// Inputs are numbered without holes.
    #[error("the sequence jumps from {from} to {to}")]
    Sequence {
        /// Sequence before.
        from: u64,
        /// Sequence after.
        to: u64,
    },
}

/// A place in a journal that is damaged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} at offset {offset}: {kind}", .file.display())]
pub struct Damage {
    /// The stream.
    pub stream: Stream,
    /// The segment's file.
    pub file: PathBuf,
    /// Byte offset in the file.
    pub offset: u64,
    /// Position in the stream: segment ordinal × segment bytes + offset.
    pub position: u64,
    /// What is wrong.
    pub kind: DamageKind,
}

/// Everything that a journal operation may answer instead of success.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// The parent of the journal directory is absent.
    #[error("cannot create the journal directory {}: {} does not exist; create it or choose another directory", .path.display(), .parent.display())]
    MissingParent {
        /// The directory asked for.
        path: PathBuf,
        /// What is absent.
        parent: PathBuf,
    },
    /// No permission, or a read-only file system.
    #[error("cannot write to the journal directory {} ({reason}); make it writable or choose another directory", .path.display())]
    Unwritable {
        /// The directory.
        path: PathBuf,
        /// The system's words.
        reason: String,
    },
    /// A directory with something in it is never written into.
    #[error("the journal directory {} is not empty (it holds {found}); a journal is never overwritten: choose a new directory or move that one away", .path.display())]
    NotEmpty {
        /// The directory.
        path: PathBuf,
        /// One of the things in it.
        found: String,
    },
    /// The file with the last boot epoch is damaged.
    #[error("{} is damaged, so it is not known which client ids were used before; find the largest `boot_epoch` in the journals beside it, remove the file, and begin the next run at a later time than that", .path.display())]
    Epoch {
        /// The file.
        path: PathBuf,
    },
    /// Another run is alive where only one may be.
    #[error("{} is locked: another run of this kind is alive and uses these journals; end it first, or give this run another journal_dir", .path.display())]
    Busy {
        /// The locked file.
        path: PathBuf,
    },
    /// The run that writes the journal is alive.
    #[error("{} is being written: its run is alive; end the run first (it closes and packs its journal itself)", .path.display())]
    Alive {
        /// The journal.
        path: PathBuf,
    },
    /// The disk is full.
    #[error("the disk is full: no room for the next {needed} bytes of {}; free space or move the journal; everything recorded so far is intact", .path.display())]
    DiskFull {
        /// The file that could not grow.
        path: PathBuf,
        /// Bytes asked for.
        needed: u64,
    },
    /// Less space than the configured reserve.
    #[error("{} has {free} bytes free, less than the {min} to be kept; free space or lower the reserve", .path.display())]
    SpaceLow {
        /// The directory.
        path: PathBuf,
        /// Bytes free.
        free: u64,
        /// Bytes to be kept.
        min: u64,
    },
    /// Another failure of the system.
    #[error("cannot {action} {}: {reason}", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's words.
        reason: String,
    },
    /// The directory holds no manifest, or none that can be read.
    #[error("{} is not a journal: {reason}", .path.display())]
    NotAJournal {
        /// The directory.
        path: PathBuf,
        /// What is wrong with the manifest, and what to do.
        reason: String,
    },
    /// Options outside their bounds.
    #[error("journal options: {reason}")]
    Options {
        /// Which and why.
        reason: String,
    },
    /// A body above the limit.
    #[error("a record body of {bytes} bytes exceeds the limit of {BODY_BYTES_MAX}")]
    BodyTooLarge {
        /// Its size.
        bytes: usize,
    },
    /// The helper thread did not deliver the next segment.
    #[error("no prepared segment for {} after {waited_ms} ms: the disk is too slow; use a faster one or larger segments", .path.display())]
    HelperLate {
        /// The directory.
        path: PathBuf,
        /// Time waited.
        waited_ms: u64,
    },
    /// A synchronisation with the disk failed; nothing after it can be trusted to be durable.
    #[error("the journal in {} failed to reach the disk earlier and takes no more records; stop trading, check the disk, start a new journal", .path.display())]
    Failed {
        /// The directory.
        path: PathBuf,
    },
    /// Records cannot be read.
    #[error("damaged journal: {0}; run `perpring journal verify` for the full list")]
    Damaged(Damage),
    /// Damage below the durable watermark: not the trace of a crash.
    #[error(
        "corrupt journal: {damage}, below the durable position {synced}; this is not the trace of a crash: keep the file, check the disk, do not trade on it"
    )]
    Corrupt {
        /// Where and what.
        damage: Damage,
        /// Everything below this position had reached the disk.
        synced: u64,
    },
    /// Retention went on while the journal was read.
    #[error("retention has removed segment {ordinal} of the {stream} in {} while they were read; begin again: what is left begins later", .path.display())]
    Removed {
        /// The directory.
        path: PathBuf,
        /// The stream.
        stream: Stream,
        /// Number of the segment.
        ordinal: u64,
    },
    /// A segment of another run.
    #[error("{} belongs to run {found:032x}, the manifest to run {expected:032x}; journals of two runs were mixed: separate them", .file.display())]
    ForeignRun {
        /// The file.
        file: PathBuf,
        /// Its run id.
        found: u128,
        /// The manifest's run id.
        expected: u128,
    },
    /// No such record.
    #[error("{stream} has {records} records; record {index} does not exist")]
    NoSuchRecord {
        /// The stream.
        stream: Stream,
        /// Asked for, from 0.
        index: u64,
        /// What there is.
        records: u64,
    },
}

impl JournalError {
    /// Sorts a system error into the words above.
    pub(super) fn io(action: &'static str, path: &Path, error: &io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), reason: error.to_string() }
    }

    /// The same for an operation that writes.
    pub(super) fn write(action: &'static str, path: &Path, needed: u64, error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                Self::DiskFull { path: path.to_owned(), needed }
            }
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                let dir = if path.is_dir() { path } else { path.parent().unwrap_or(path) };
                let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
                Self::Unwritable { path: dir.to_owned(), reason: error.to_string() }
            }
            _ => Self::io(action, path, error),
        }
    }
}
