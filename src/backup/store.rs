//! Where backups lie: objects with names, in a directory. What another kind of store would have to do shows `Dir`.

use super::dir::Dir;
use super::{BackupError, sync_file_system};
use std::collections::BTreeMap;
use std::error::Error;
use std::io::{Read, Write};
use std::path::Path;

/// Bytes that are sent or fetched at once.
pub const PART_BYTES: usize = 8 << 20;

/// An object in a listing of the store.
#[derive(Clone, Copy, Debug)]
pub struct Object {
    /// Bytes.
    pub bytes: u64,
    /// When it was written, ns since the Unix epoch.
    pub modified_ns: i64,
}

/// A store of objects with names.
pub struct Store(Dir);

impl Store {
    /// A directory.
    ///
    /// # Errors
    /// A place that cannot be a store. Nothing is fetched yet.
    pub fn open(place: &str, create: bool) -> Result<Self, BackupError> {
        if place.contains("://") {
            let why = "only directories can hold backups so far".to_owned();
            return Err(BackupError::Place { place: place.to_owned(), why });
        }
        Ok(Self(Dir::open(Path::new(place), create)?))
    }

    /// The directory that it is.
    pub fn dir(&self) -> &Path {
        self.0.root()
    }

    /// Stores bytes whole or not at all.
    pub(super) fn put(&self, key: &str, bytes: Vec<u8>) -> Result<(), BackupError> {
        self.put_from(key, bytes.as_slice(), Path::new(key), &mut |_| {})
    }

    /// Stores what `from` (the file at `path`) gives, whole or not at all. `sent` gets the bytes of each part.
    pub(super) fn put_from(
        &self,
        key: &str,
        mut from: impl Read,
        path: &Path,
        sent: &mut dyn FnMut(u64),
    ) -> Result<(), BackupError> {
        let mut next = || {
            let mut part = Vec::new();
            let read = from.by_ref().take(PART_BYTES as u64).read_to_end(&mut part);
            read.map(|_| part).map_err(|e| BackupError::io("read", path, e))
        };
        self.0.put(key, &mut next, sent)
    }

    /// Fetches a small object.
    pub(super) fn get(&self, key: &str) -> Result<Vec<u8>, BackupError> {
        self.0.get(key)
    }

    /// Fetches `bytes` of an object, part by part, into the file at `path`.
    pub(super) fn get_into(
        &self,
        key: &str,
        bytes: u64,
        mut to: impl Write,
        path: &Path,
        got: &mut dyn FnMut(u64),
    ) -> Result<(), BackupError> {
        let mut at = 0;
        while at < bytes {
            let end = bytes.min(at + PART_BYTES as u64);
            let part = self.0.range(key, at, end)?;
            to.write_all(&part).map_err(|e| BackupError::io("write", path, e))?;
            got(part.len() as u64);
            at = end;
        }
        Ok(())
    }

    /// The objects directly below a prefix, by the last part of their names.
    pub(super) fn list(&self, prefix: &str) -> Result<BTreeMap<String, Object>, BackupError> {
        self.0.list(prefix)
    }

    /// Removes an object.
    pub(super) fn delete(&self, key: &str) -> Result<(), BackupError> {
        self.0.delete(key)
    }

    /// Waits until what was written is on the disk.
    pub(super) fn settle(&self) -> Result<(), BackupError> {
        sync_file_system(self.dir())
    }
}

/// A refusal of the store.
pub(super) fn failed<E: Error + Send + Sync + 'static>(
    action: &'static str,
    key: &str,
    absent: bool,
    source: E,
) -> BackupError {
    BackupError::Store { action, key: key.to_owned(), absent, source: Box::new(source) }
}
