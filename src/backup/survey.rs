//! Which files a backup takes, and how much of each, while a run may go on writing them.
//!
//! What vouches for data is read before the data: marks and chains into memory, then how far each last segment is
//! written. So a mark never says more than is there, and every segment that a chain names is met.

use super::BackupError;
use crate::journal::{MANIFEST_FILE, Stream, written_end};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// Endings of what a run needs only while it goes on.
const PASSING: [&str; 6] = ["next", "reserve", "tmp", "new", "lock", "rewrite"];

/// A file to be backed up.
#[derive(Clone, Debug)]
pub struct Found {
    /// Path in the backup.
    pub path: String,
    /// Where it is.
    pub at: PathBuf,
    /// Bytes of it that count.
    pub bytes: u64,
    /// When it was last written to, ns since the Unix epoch.
    pub modified_ns: i64,
    /// Written once and closed.
    pub closed: bool,
    /// What it held when it was looked at: small files that change.
    pub held: Option<Vec<u8>>,
}

/// Everything below `dir`, by path.
pub fn survey(dir: &Path) -> Result<Vec<Found>, BackupError> {
    let mut found = Vec::new();
    walk(dir, "", &mut found)?;
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

/// A file, or everything below a directory, under a path of the backup.
pub fn beside(at: &Path, under: &str) -> Result<Vec<Found>, BackupError> {
    let mut found = Vec::new();
    if at.is_dir() {
        walk(at, under, &mut found)?;
    } else {
        found.push(look(at, under.to_owned())?);
    }
    Ok(found)
}

fn look(at: &Path, path: String) -> Result<Found, BackupError> {
    let data = fs::metadata(at).map_err(|e| BackupError::io("look at", at, e))?;
    let modified = data.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    let modified_ns = modified.map_or(0, |since| since.as_nanos() as i64);
    Ok(Found { path, at: at.to_owned(), bytes: data.len(), modified_ns, closed: false, held: None })
}

fn walk(dir: &Path, under: &str, found: &mut Vec<Found>) -> Result<(), BackupError> {
    let fail = |e| BackupError::io("list", dir, e);
    let mut here = Vec::new();
    for entry in fs::read_dir(dir).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if under.is_empty() { name.clone() } else { format!("{under}/{name}") };
        let kind = entry.file_type().map_err(fail)?;
        if kind.is_dir() {
            walk(&entry.path(), &path, found)?;
        } else if kind.is_file() && !is_passing(&name) {
            match look(&entry.path(), path) {
                Ok(file) => here.push(file),
                Err(BackupError::Io { source, .. }) if is_gone(&source) => {} // packed or removed meanwhile: `take` looks again
                Err(other) => return Err(other),
            }
        }
    }
    for file in here.iter_mut().filter(|file| changes(&file.at)) {
        let held = fs::read(&file.at).map_err(|e| BackupError::io("read", &file.at, e))?;
        file.bytes = held.len() as u64;
        file.held = Some(held);
    }
    if dir.join(MANIFEST_FILE).exists() {
        segments(dir, &mut here)?;
    }
    found.append(&mut here);
    Ok(())
}

/// Segments but the last of each stream are closed; of the last one counts what is written.
fn segments(dir: &Path, files: &mut [Found]) -> Result<(), BackupError> {
    let mut last = Vec::new();
    for stream in Stream::ALL {
        last.extend(written_end(dir, stream)?);
    }
    if last.iter().any(|(at, _)| files.iter().all(|file| file.at != *at)) {
        return Err(BackupError::Changing { dir: dir.to_owned() }); // begun after the directory was listed
    }
    for file in files.iter_mut().filter(|file| file.path.ends_with(".seg") || file.path.ends_with(".seg.zst"))
    {
        match last.iter().find(|(at, _)| *at == file.at) {
            Some((_, end)) => file.bytes = file.bytes.min(*end),
            None => file.closed = true,
        }
    }
    Ok(())
}

fn is_passing(name: &str) -> bool {
    PASSING.iter().any(|end| name.strip_suffix(end).is_some_and(|stem| stem.ends_with('.')))
}

/// Small files that are written in place or grow while a run goes on.
fn changes(at: &Path) -> bool {
    at.extension().is_some_and(|end| ["mark", "chain", "dat", "jsonl"].iter().any(|kind| end == *kind))
}

/// Not there any more.
pub fn is_gone(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::NotFound
}
