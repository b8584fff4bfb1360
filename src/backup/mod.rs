//! Backups of journals (and whatever lies beside them) in a directory or an S3 bucket, and their way back.
//!
//! ```text
//! objects/<SHA-256>      the bytes of a file, once, whichever backups have it
//! backups/<id>.json      {"sha256":"<of the listing's text>","listing":{"files":[…]}}, written last
//! ```
//!
//! A backup exists from the moment its listing does: an interrupted one leaves objects, which the next one finds. What is
//! known to be unchanged (a closed segment of the same size and time) is neither read nor sent again. A run may go on
//! meanwhile: `survey` reads what vouches for the data before the data. Nothing here is near a trading thread.

mod dir;
#[cfg(feature = "s3")]
mod http;
mod listing;
mod restore;
#[cfg(feature = "s3")]
mod s3;
mod source;
mod store;
mod survey;
mod take;

pub use listing::{Entry, Listing};
pub use restore::{Restored, restore};
pub use source::{Choice, Source};
pub use store::Store;
pub use take::{Listings, Plan, Taken, listings, take};

use crate::journal::JournalError;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Tells of progress: bytes done, bytes in all, what is at hand.
pub type Progress<'a> = &'a mut dyn FnMut(u64, u64, &str);

/// Why a backup could not be made or used.
#[derive(Debug, Error)]
pub enum BackupError {
    /// The place of the backups is not understood.
    #[error("{place}: {why}; give a directory, or s3://bucket/prefix with AWS_* in the environment")]
    Place {
        /// As given.
        place: String,
        /// What is wrong with it.
        why: String,
    },
    /// The store refused.
    #[error("cannot {action} {key} in the store: {source}")]
    Store {
        /// What was tried.
        action: &'static str,
        /// The object.
        key: String,
        /// There is no such object.
        absent: bool,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The file system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Files came and went faster than they could be read.
    #[error("{} changed again and again while it was read; try again when it is quieter", dir.display())]
    Changing {
        /// The directory.
        dir: PathBuf,
    },
    /// There is nothing to back up.
    #[error("{} {}: name a journal, or a directory of journals", dir.display(), if *empty { "is empty" } else { "holds no journal" })]
    NoJournal {
        /// The directory.
        dir: PathBuf,
        /// There is nothing at all.
        empty: bool,
    },
    /// Somebody wants it to end.
    #[error("stopped")]
    Stopped,
    /// Which backup is meant is not clear.
    #[error(
        "the backups there are of several sources; say with --of (a name, or the beginning of a run) which is meant:{list}"
    )]
    Several {
        /// The sources, a line each.
        list: String,
    },
    /// There is nothing of the source that is wanted.
    #[error("no backup of {of} there; there are:{list}")]
    NoneOf {
        /// As it was named.
        of: String,
        /// The sources, a line each.
        list: String,
    },
    /// A file where a directory is wanted.
    #[error("{} is no directory, and a backup is restored to one: name another, or move the file away", path.display())]
    NoDirectory {
        /// It.
        path: PathBuf,
    },
    /// There is nothing to restore.
    #[error("no backup{} there; a backup that was interrupted does not count", id.as_ref().map_or(String::new(), |id| format!(" {id}")))]
    Absent {
        /// The one that was asked for.
        id: Option<String>,
    },
    /// The listing is not what was written.
    #[error(
        "the listing of backup {id} is damaged ({what}): `restore --list` shows the others, --backup takes one of them"
    )]
    Listing {
        /// The backup.
        id: String,
        /// What is wrong.
        what: String,
    },
    /// An object is absent or not what the listing says. Nothing was changed.
    #[error(
        "backup {id} is not whole: {path} {what}. Nothing was changed; `restore --list` shows the others, --backup takes one of them"
    )]
    Partial {
        /// The backup.
        id: String,
        /// The file.
        path: String,
        /// What is wrong.
        what: String,
    },
}

impl BackupError {
    pub(crate) fn io(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), source }
    }
}

/// Carries everything of the file system that `dir` is on to the disk.
fn sync_file_system(dir: &Path) -> Result<(), BackupError> {
    let fail = |e: std::io::Error| BackupError::io("synchronise", dir, e);
    let open = std::fs::File::open(dir).map_err(fail)?;
    rustix::fs::syncfs(open).map_err(|e| fail(e.into()))
}
