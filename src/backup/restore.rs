//! The way back: everything is fetched and checked beside the directory before that is touched; then the two change
//! places in one step, and what was there before stays beside it.

use super::listing::Listing;
use super::source::{Choice, Source};
use super::store::Store;
use super::take::{hash, listings, object};
use super::{BackupError, Progress, sync_file_system};
use crate::journal::nobody_writes;
use crate::runtime::litter;
use rustix::fs::{CWD, RenameFlags};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

/// What was restored.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Restored {
    /// Name of the backup.
    pub id: String,
    /// Its files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Where that lies which was there before.
    pub before: Option<PathBuf>,
    /// What it is of, where it says so.
    pub source: Option<Source>,
}

/// Restores the backup of `choice` to `dir`.
///
/// # Errors
/// See [`BackupError`]. Up to the exchange at the end nothing of `dir` is touched.
pub fn restore(
    store: &Store,
    choice: Choice<'_>,
    dir: &Path,
    progress: Progress<'_>,
) -> Result<Restored, BackupError> {
    if dir.exists() && !dir.is_dir() {
        return Err(BackupError::NoDirectory { path: dir.to_owned() });
    }
    let listing = choice.pick(listings(store)?)?;
    let below = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    for journal in below.filter(|path| path.is_dir()).chain([dir.to_owned()]) {
        nobody_writes(&journal)?;
    }
    let id = listing.id.as_str();
    check_presence(store, &listing)?;
    sweep(dir);
    let aside = beside(dir, "restoring", &format!("{id}-{}", std::process::id()));
    let fetched = fetch(store, &listing, &aside, progress);
    let switched = fetched.and_then(|()| sync_file_system(&aside)).and_then(|()| switch(&aside, dir, id));
    if switched.is_err() {
        let _ = fs::remove_dir_all(&aside); // the error that matters is the first
    }
    let (files, bytes) = (listing.files.len() as u64, listing.bytes());
    Ok(Restored { id: id.to_owned(), files, bytes, before: switched?, source: listing.source })
}

/// Removes what restores to `dir` have left that are gone.
fn sweep(dir: &Path) {
    let whole = beside(dir, "restoring", "");
    let (Some(parent), Some(begin)) = (whole.parent(), whole.file_name().and_then(|name| name.to_str()))
    else {
        return;
    };
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    litter::sweep(parent, |name| name.strip_prefix(begin)?.rsplit_once("Z-")?.1.parse().ok());
}

/// `DIR.restoring-<id>` and the like, beside `dir`.
fn beside(dir: &Path, what: &str, id: &str) -> PathBuf {
    let mut name = dir.components().as_path().as_os_str().to_owned();
    name.push(format!(".{what}-{id}"));
    name.into()
}

/// Every object is there in its size: a cheap look before anything is fetched.
fn check_presence(store: &Store, listing: &Listing) -> Result<(), BackupError> {
    let objects = store.list("objects")?;
    for file in &listing.files {
        let what = match objects.get(&file.sha256.to_string()) {
            None => "is missing".to_owned(),
            Some(object) if object.bytes != file.bytes => {
                format!("has {} bytes instead of {}", object.bytes, file.bytes)
            }
            Some(_) => continue,
        };
        return Err(BackupError::Partial { id: listing.id.clone(), path: file.path.clone(), what });
    }
    Ok(())
}

/// Fetches every file to `aside` and checks it as it lies there.
fn fetch(store: &Store, listing: &Listing, aside: &Path, progress: Progress<'_>) -> Result<(), BackupError> {
    let (whole, mut done) = (listing.bytes(), 0);
    let create = |dir: &Path| fs::create_dir_all(dir).map_err(|e| BackupError::io("create", dir, e));
    create(aside)?;
    for file in &listing.files {
        let partial = |what: &str| BackupError::Partial {
            id: listing.id.clone(),
            path: file.path.clone(),
            what: what.to_owned(),
        };
        let path = aside.join(&file.path);
        create(path.parent().unwrap_or(aside))?;
        let fail = |e| BackupError::io("write", &path, e);
        let to = File::create(&path).map_err(fail)?;
        let fetched = store.get_into(&object(&file.sha256), file.bytes, &to, &path, &mut |part| {
            done += part;
            progress(done, whole, &file.path);
        });
        fetched.map_err(|e| match e {
            BackupError::Store { absent: true, .. } => partial("is missing"),
            other => other,
        })?;
        let modified = Duration::from_nanos(file.modified_ns.max(0).cast_unsigned());
        to.set_modified(UNIX_EPOCH + modified).map_err(fail)?;
        let read = File::open(&path).map_err(|e| BackupError::io("read", &path, e))?;
        if hash(store, read, &path)? != file.sha256 {
            return Err(partial("is damaged: it does not have its hash"));
        }
    }
    Ok(())
}

/// Puts `aside` in the place of `dir`; returns where `dir` went.
fn switch(aside: &Path, dir: &Path, id: &str) -> Result<Option<PathBuf>, BackupError> {
    let fail = |e: std::io::Error| BackupError::io("replace", dir, e);
    let before = if dir.exists() {
        rustix::fs::renameat_with(CWD, aside, CWD, dir, RenameFlags::EXCHANGE).map_err(|e| fail(e.into()))?;
        let before = free(beside(dir, "before", id));
        fs::rename(aside, &before).map_err(fail)?;
        Some(before)
    } else {
        fs::rename(aside, dir).map_err(fail)?;
        None
    };
    sync_file_system(dir)?;
    Ok(before)
}

/// The path, or the first with a number behind it that is free: nothing that was kept is overwritten.
fn free(path: PathBuf) -> PathBuf {
    let numbered = |number: u32| {
        let mut name = path.clone().into_os_string();
        name.push(format!(".{number}"));
        PathBuf::from(name)
    };
    if path.exists() { (1..).map(numbered).find(|path| !path.exists()).unwrap_or(path) } else { path }
}
