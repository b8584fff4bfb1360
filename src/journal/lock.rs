//! One run at a time: whoever continues the run before must be its only successor, and must not take a run that still
//! works for one that crashed; and one writer of a journal: whoever mends or packs it must not do so below a run that
//! still writes. The system lifts a lock when the process ends, however it ends.

use super::error::JournalError;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

/// Held for as long as a run lives.
#[derive(Debug)]
pub struct RunLock {
    /// Locked; closing it unlocks.
    _file: File,
}

impl RunLock {
    /// Locks the file `name` in the root of the journals, which exists.
    ///
    /// # Errors
    /// Another run holds it, or the file cannot be made.
    pub fn take(root: &Path, name: &str) -> Result<Self, JournalError> {
        let path = root.join(name);
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|e| JournalError::write("create", &path, 0, &e))?;
        match hold(&file, &path)? {
            true => Ok(Self { _file: file }),
            false => Err(JournalError::Busy { path }),
        }
    }
}

/// Locks `file`, which is at `path`, until it is closed; false: somebody else holds it.
pub(super) fn hold(file: &File, path: &Path) -> Result<bool, JournalError> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(e)) => Err(JournalError::io("lock", path, &e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_run_is_refused_until_the_first_has_ended() {
        let root = std::env::temp_dir().join(format!("perpring-lock-{}", std::process::id()));
        std::fs::create_dir_all(&root).expect("temporary directory");
        let first = RunLock::take(&root, "live.lock").expect("nobody else");
        let other = RunLock::take(&root, "paper.lock").expect("of another kind");
        let refused = RunLock::take(&root, "live.lock").expect_err("one at a time").to_string();
        assert!(refused.contains("live.lock") && refused.contains("another run"), "{refused}");
        drop(first);
        RunLock::take(&root, "live.lock").expect("it has ended");
        drop(other);
        std::fs::remove_dir_all(&root).expect("clean up");
    }
}
