//! The boot epoch: part of every client id, so that no run ever uses an id of an earlier one. It is on the
//! disk before the first connect, and it rises with every run even when the clock was set back.
//!
//! The file `epoch` in the root of the journals holds one line, `perpring epoch 1764220000 <CRC32C in hex>`;
//! it is replaced by renaming, never written in place. `epoch.lock` is locked while a run takes its epoch.

use super::error::JournalError;
use super::manifest::sync_dir;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;

/// The file with the last epoch that was taken.
pub const EPOCH_FILE: &str = "epoch";
const LOCK_FILE: &str = "epoch.lock";
const PREFIX: &str = "perpring epoch ";

/// Takes the next epoch of the journals in `root`, which exists: `wall_s` (s since the Unix epoch), or one more
/// than the last where that is not larger. It is durable when this returns.
///
/// # Errors
/// When the file cannot be read or written; a damaged one is refused, because the last epoch is unknown then.
pub fn take_epoch(root: &Path, wall_s: u64) -> Result<u64, JournalError> {
    let path = root.join(LOCK_FILE);
    let lock = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(|e| JournalError::write("create", &path, 0, &e))?;
    lock.lock().map_err(|e| JournalError::io("lock", &path, &e))?;
    let last = read_epoch(root)?.unwrap_or(0);
    let epoch = wall_s.max(last.saturating_add(1));
    write_epoch(root, epoch)?;
    Ok(epoch)
}

/// The last epoch that was taken; `None` = never one.
///
/// # Errors
/// See [`take_epoch`].
pub fn read_epoch(root: &Path) -> Result<Option<u64>, JournalError> {
    let path = root.join(EPOCH_FILE);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(JournalError::io("read", &path, &e)),
    };
    let parsed = text.strip_prefix(PREFIX).and_then(|rest| rest.trim_end().split_once(' '));
    let parsed = parsed.and_then(|(epoch, crc)| Some((epoch.parse().ok()?, crc)));
    match parsed {
        Some((epoch, crc)) if crc == checksum(epoch) => Ok(Some(epoch)),
        _ => Err(JournalError::Epoch { path }),
    }
}

fn write_epoch(root: &Path, epoch: u64) -> Result<(), JournalError> {
    let (path, fresh) = (root.join(EPOCH_FILE), root.join("epoch.new"));
    let write = |e: &std::io::Error| JournalError::write("write", &fresh, 64, e);
    let mut file = File::create(&fresh).map_err(|e| write(&e))?;
    writeln!(file, "{PREFIX}{epoch} {}", checksum(epoch)).map_err(|e| write(&e))?;
    file.sync_all().map_err(|e| write(&e))?;
    fs::rename(&fresh, &path).map_err(|e| JournalError::write("rename", &fresh, 0, &e))?;
    sync_dir(root)
}

fn checksum(epoch: u64) -> String {
    format!("{:08x}", crc32c::crc32c(format!("{PREFIX}{epoch}").as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(name: &str) -> std::path::PathBuf {
        let root = std::env::temp_dir().join(format!("perpring-epoch-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(&root).expect("temporary directory");
        root
    }

    #[test]
    fn an_epoch_is_larger_than_any_before_even_if_the_clock_was_set_back() {
        let root = root("rises");
        let taken: Vec<u64> = [1_000, 1_005, 1_005, 10, 1_006, 2_000]
            .map(|wall| take_epoch(&root, wall).expect("a disk"))
            .into();
        assert_eq!(taken, [1_000, 1_005, 1_006, 1_007, 1_008, 2_000]);
        assert_eq!(read_epoch(&root).expect("a disk"), Some(2_000));
        // A run that died between writing and renaming has taken nothing.
        fs::write(root.join("epoch.new"), "perpring ep").expect("a disk");
        assert_eq!(take_epoch(&root, 0).expect("a disk"), 2_001);
        fs::remove_dir_all(&root).expect("clean up");
    }

    #[test]
    fn runs_that_begin_at_the_same_time_take_different_epochs() {
        let root = root("races");
        let take = |_| {
            let root = root.clone();
            std::thread::spawn(move || {
                (0..20).map(|_| take_epoch(&root, 7).expect("a disk")).collect::<Vec<u64>>()
            })
        };
        let threads: Vec<_> = (0..4).map(take).collect();
        let mut all: Vec<u64> =
            threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect();
        all.sort_unstable();
        assert_eq!(all, (7..87).collect::<Vec<u64>>());
        fs::remove_dir_all(&root).expect("clean up");
    }

    #[test]
    fn a_damaged_file_is_refused_with_its_name() {
        let root = root("damaged");
        take_epoch(&root, 5).expect("a disk");
        let good = fs::read_to_string(root.join(EPOCH_FILE)).expect("written");
        for bad in ["", "perpring epoch", &good.replace('5', "6"), &good[..good.len() - 3]] {
            fs::write(root.join(EPOCH_FILE), bad).expect("a disk");
            let said = take_epoch(&root, 9).expect_err(bad).to_string();
            assert!(said.contains(EPOCH_FILE) && said.contains("client ids"), "{said}");
        }
        fs::remove_dir_all(&root).expect("clean up");
    }
}
