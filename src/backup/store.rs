//! Where backups lie: a directory, or (with the feature `s3`) a bucket; behind one blocking interface.

use super::dir::Dir;
#[cfg(feature = "s3")]
use super::s3::Bucket;
use super::{BackupError, sync_file_system};
use std::collections::BTreeMap;
use std::error::Error;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

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
pub struct Store {
    kind: Kind,
    /// Set when somebody wants it to end.
    stop: Arc<AtomicBool>,
}

enum Kind {
    Dir(Dir),
    #[cfg(feature = "s3")]
    Bucket(Bucket),
}

/// Calls the same method of whichever it is.
macro_rules! each {
    ($store:expr, $it:ident => $call:expr) => {
        match &$store.kind {
            Kind::Dir($it) => $call,
            #[cfg(feature = "s3")]
            Kind::Bucket($it) => $call,
        }
    };
}

impl Store {
    /// A directory, or `s3://bucket/prefix` with credentials and endpoint from the environment (`AWS_…`).
    ///
    /// # Errors
    /// A place that cannot be a store. Nothing is fetched yet, and nothing made: a directory that is to be created is
    /// when the first object comes.
    pub fn open(place: &str, create: bool) -> Result<Self, BackupError> {
        let kind = Self::kind(place, create)?;
        Ok(Self { kind, stop: Arc::default() })
    }

    /// The same, which ends what it does with [`BackupError::Stopped`] when `stop` is set.
    #[must_use]
    pub fn until(self, stop: Arc<AtomicBool>) -> Self {
        Self { stop, ..self }
    }

    /// An error once somebody wants it to end.
    pub(super) fn heed(&self) -> Result<(), BackupError> {
        if self.stop.load(Ordering::Relaxed) { Err(BackupError::Stopped) } else { Ok(()) }
    }

    fn kind(place: &str, create: bool) -> Result<Kind, BackupError> {
        let bad = |why: &str| BackupError::Place { place: place.to_owned(), why: why.to_owned() };
        if let Some(rest) = place.strip_prefix("s3://") {
            let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            if bucket.is_empty() {
                return Err(bad("it names no bucket"));
            }
            #[cfg(feature = "s3")]
            return match Bucket::open(bucket, prefix.trim_matches('/')) {
                Ok(bucket) => Ok(Kind::Bucket(bucket)),
                Err(why) => Err(bad(&why)),
            };
            #[cfg(not(feature = "s3"))]
            {
                let _ = prefix;
                return Err(bad("this program was built without the feature s3, which is on by default"));
            }
        }
        if place.contains("://") {
            return Err(bad("no such kind of store"));
        }
        Ok(Kind::Dir(Dir::open(Path::new(place), create)?))
    }

    /// The directory that it is, if it is one.
    pub fn dir(&self) -> Option<&Path> {
        match &self.kind {
            Kind::Dir(dir) => Some(dir.root()),
            #[cfg(feature = "s3")]
            Kind::Bucket(_) => None,
        }
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
            self.heed()?;
            let mut part = Vec::new();
            let read = from.by_ref().take(PART_BYTES as u64).read_to_end(&mut part);
            read.map(|_| part).map_err(|e| BackupError::io("read", path, e))
        };
        each!(self, store => store.put(key, &mut next, sent))
    }

    /// Fetches a small object.
    pub(super) fn get(&self, key: &str) -> Result<Vec<u8>, BackupError> {
        each!(self, store => store.get(key))
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
            self.heed()?;
            let end = bytes.min(at + PART_BYTES as u64);
            let part = each!(self, store => store.range(key, at, end))?;
            to.write_all(&part).map_err(|e| BackupError::io("write", path, e))?;
            got(part.len() as u64);
            at = end;
        }
        Ok(())
    }

    /// The objects directly below a prefix, by the last part of their names.
    pub(super) fn list(&self, prefix: &str) -> Result<BTreeMap<String, Object>, BackupError> {
        each!(self, store => store.list(prefix))
    }

    /// Removes what writers that are gone have left; a bucket shows nothing of it.
    pub(super) fn sweep(&self) {
        if let Some(root) = self.dir() {
            super::dir::sweep(root);
        }
    }

    /// Removes an object.
    pub(super) fn delete(&self, key: &str) -> Result<(), BackupError> {
        each!(self, store => store.delete(key))
    }

    /// Waits until what was written is on the disk, where the store is a directory; others answer when it is.
    pub(super) fn settle(&self) -> Result<(), BackupError> {
        self.dir().map_or(Ok(()), sync_file_system)
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
