//! Making a backup: what is new is sent, the listing last; then the backups that are too old go.

use super::listing::{Entry, Listing};
use super::source::{Source, groups};
use super::store::{Object, Store};
use super::survey::{Found, beside, is_gone, survey};
use super::{BackupError, Progress};
use crate::journal::Hash256;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// A directory that changes meanwhile is looked at so many times.
const TRIES: usize = 5;
/// Bytes hashed at once.
const BLOCK_BYTES: usize = 1 << 20;
/// A day, ns.
const DAY_NS: i64 = 86_400_000_000_000;

/// What is to be backed up, and what may go afterwards.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The directory: a journal, or a directory of journals.
    pub dir: PathBuf,
    /// What stands elsewhere and belongs to it: a configuration, a directory of ledgers. Below `also/` in the backup.
    pub also: Vec<PathBuf>,
    /// The newest backups of the same source that stay; `None` = all.
    pub keep: Option<usize>,
    /// Backups younger than these days stay; `None` = no matter.
    pub keep_days: Option<u32>,
    /// Objects that no backup names are left alone while they are younger than this, ns: another backup may be on its way.
    pub grace_ns: i64,
}

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Taken {
    /// Name of the backup.
    pub id: String,
    /// Its files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files whose bytes were sent now; the store had the others.
    pub sent_files: u64,
    /// Bytes that were sent.
    pub sent_bytes: u64,
    /// Backups that were removed because of their age.
    pub removed_backups: u64,
    /// Objects that went with them.
    pub removed_objects: u64,
    /// Why nothing was removed, where something should have been looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept_all: Option<String>,
    /// What it is of.
    pub source: Source,
}

/// Backs up as `plan` says at `now`, ns since the Unix epoch.
///
/// # Errors
/// See [`BackupError`]; what was sent by then is found again by the next one.
pub fn take(store: &Store, plan: &Plan, now: i64, progress: Progress<'_>) -> Result<Taken, BackupError> {
    store.sweep();
    let objects = store.list("objects")?;
    let mut sender = Sender { store, objects, before: None, taken: Taken::default(), sent: BTreeSet::new() };
    let mut listing = Listing::begin(now);
    for _ in 0..TRIES {
        match sender.files(plan, &mut *progress) {
            Ok(Some(files)) => {
                listing.files = files;
                listing.source = Some(sender.taken.source.clone());
                break;
            }
            Ok(None) | Err(BackupError::Changing { .. }) => {}
            Err(other) => return Err(other),
        }
    }
    if listing.files.is_empty() {
        return Err(BackupError::Changing { dir: plan.dir.clone() });
    }
    store.settle()?; // the objects before what names them
    store.put(&format!("backups/{}.json", listing.id), listing.seal()?.into_bytes())?;
    store.settle()?;
    let mut taken = sender.taken;
    (taken.files, taken.bytes) = (listing.files.len() as u64, listing.bytes());
    taken.id = listing.id;
    forget(store, plan, now, &mut taken)?;
    Ok(taken)
}

/// The newest backup of `source` whose listing reads; `None` = none.
fn newest(store: &Store, source: &Source) -> Result<Option<Listing>, BackupError> {
    for id in ids(store)?.into_iter().rev() {
        match read_listing(store, &id) {
            Ok(listing) if listing.source.as_ref().is_some_and(|of| of.is_same(source)) => {
                return Ok(Some(listing));
            }
            Ok(_) | Err(BackupError::Listing { .. }) => {}
            Err(other) => return Err(other),
        }
    }
    Ok(None)
}

/// The backups of a store, the oldest first.
fn ids(store: &Store) -> Result<Vec<String>, BackupError> {
    let names = store.list("backups")?.into_keys();
    Ok(names.filter_map(|name| name.strip_suffix(".json").map(str::to_owned)).collect())
}

fn read_listing(store: &Store, id: &str) -> Result<Listing, BackupError> {
    Listing::open(id, &store.get(&format!("backups/{id}.json"))?)
}

/// What a store says of its backups.
#[derive(Debug, Default)]
pub struct Listings {
    /// Those that read, the oldest first.
    pub good: Vec<Listing>,
    /// The others, with what is wrong.
    pub damaged: Vec<(String, BackupError)>,
}

/// The listings of a store.
///
/// # Errors
/// The store refuses.
pub fn listings(store: &Store) -> Result<Listings, BackupError> {
    let mut found = Listings::default();
    for id in ids(store)? {
        match read_listing(store, &id) {
            Ok(listing) => found.good.push(listing),
            Err(why @ BackupError::Listing { .. }) => found.damaged.push((id, why)),
            Err(other) => return Err(other),
        }
    }
    Ok(found)
}

/// The object that has these bytes.
pub fn object(sha256: &Hash256) -> String {
    format!("objects/{sha256}")
}

struct Sender<'a> {
    store: &'a Store,
    /// What the store had before.
    objects: BTreeMap<String, Object>,
    /// The last backup of the same source.
    before: Option<Listing>,
    taken: Taken,
    /// What was sent now.
    sent: BTreeSet<Hash256>,
}

impl Sender<'_> {
    /// Sends what is not there; `None` when a file came or went meanwhile.
    fn files(&mut self, plan: &Plan, progress: Progress<'_>) -> Result<Option<Vec<Entry>>, BackupError> {
        let mut found = survey(&plan.dir)?;
        self.taken.source = Source::of(&plan.dir, &found)?;
        self.before = newest(self.store, &self.taken.source)?;
        for (number, also) in plan.also.iter().enumerate() {
            let name = also
                .file_name()
                .map_or_else(|| "files".to_owned(), |name| name.to_string_lossy().into_owned());
            found.extend(beside(also, &format!("also/{number}-{name}"))?);
        }
        let whole = found.iter().map(|file| file.bytes).sum();
        let (mut done, mut files) = (0, Vec::with_capacity(found.len()));
        for file in &found {
            progress(done, whole, &file.path);
            self.store.heed()?;
            match self.file(file, &mut |bytes| progress(done + bytes, whole, &file.path)) {
                Ok(sha256) => {
                    let Found { path, bytes, modified_ns, closed, .. } = file.clone();
                    files.push(Entry { path, bytes, sha256, modified_ns, closed });
                }
                Err(BackupError::Io { source, .. }) if is_gone(&source) => return Ok(None),
                Err(other) => return Err(other),
            }
            done += file.bytes;
        }
        Ok(Some(files))
    }

    fn file(&mut self, file: &Found, sent: &mut dyn FnMut(u64)) -> Result<Hash256, BackupError> {
        if let Some(known) = self.known(file) {
            return Ok(known);
        }
        let sha256 = hash(self.store, open(file)?, &file.at)?;
        if self.is_there(&sha256, file.bytes) {
            return Ok(sha256);
        }
        let mut read =
            Hashing { inner: open(file)?, hash: ring::digest::Context::new(&ring::digest::SHA256) };
        let mut bytes = 0;
        self.store.put_from(&object(&sha256), &mut read, &file.at, &mut |part| {
            bytes += part;
            sent(bytes);
        })?;
        if finish(read.hash) != sha256 || bytes != file.bytes {
            // It changed between the two looks: what was sent is not what its name says.
            self.store.delete(&object(&sha256))?;
            return Err(BackupError::Changing { dir: file.at.clone() });
        }
        self.sent.insert(sha256);
        self.taken.sent_files += 1;
        self.taken.sent_bytes += bytes;
        Ok(sha256)
    }

    /// The hash of a closed file that an earlier backup has, by size and time.
    fn known(&self, file: &Found) -> Option<Hash256> {
        let before = self.before.as_ref().filter(|_| file.closed)?;
        let entry = before.files.iter().find(|entry| entry.closed && entry.path == file.path)?;
        let same = entry.bytes == file.bytes && entry.modified_ns == file.modified_ns;
        (same && self.is_there(&entry.sha256, entry.bytes)).then_some(entry.sha256)
    }

    fn is_there(&self, sha256: &Hash256, bytes: u64) -> bool {
        self.sent.contains(sha256)
            || self.objects.get(&sha256.to_string()).is_some_and(|object| object.bytes == bytes)
    }
}

/// The bytes of a file that count.
fn open(file: &Found) -> Result<Box<dyn Read + '_>, BackupError> {
    match &file.held {
        Some(held) => Ok(Box::new(held.as_slice())),
        None => {
            let open = File::open(&file.at).map_err(|e| BackupError::io("open", &file.at, e))?;
            Ok(Box::new(open.take(file.bytes)))
        }
    }
}

/// The SHA-256 of what a reader gives.
pub fn hash(store: &Store, mut from: impl Read, path: &Path) -> Result<Hash256, BackupError> {
    let mut hash = ring::digest::Context::new(&ring::digest::SHA256);
    let mut block = vec![0; BLOCK_BYTES];
    loop {
        store.heed()?;
        match from.read(&mut block).map_err(|e| BackupError::io("read", path, e))? {
            0 => return Ok(finish(hash)),
            got => hash.update(&block[..got]),
        }
    }
}

/// The value of a finished hash.
pub fn finish(hash: ring::digest::Context) -> Hash256 {
    let mut out = Hash256::default();
    out.0.copy_from_slice(hash.finish().as_ref());
    out
}

/// Hashes what passes.
struct Hashing<R> {
    inner: R,
    hash: ring::digest::Context,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        let got = self.inner.read(to)?;
        self.hash.update(&to[..got]);
        Ok(got)
    }
}

/// Removes backups of the same source that nothing keeps, then the objects that no backup names any more.
fn forget(store: &Store, plan: &Plan, now: i64, taken: &mut Taken) -> Result<(), BackupError> {
    if plan.keep.is_none() && plan.keep_days.is_none() {
        return Ok(());
    }
    let Listings { good, damaged } = listings(store)?;
    if let Some((_, why)) = damaged.first() {
        // It names objects that nobody knows.
        taken.kept_all = Some(why.to_string());
        return Ok(());
    }
    let groups = groups(&good);
    let same = groups.iter().find(|group| group.backups.iter().any(|one| one.id == taken.id));
    let mut removed = BTreeSet::new();
    for (newer, listing) in same.into_iter().flat_map(|group| &group.backups).enumerate() {
        let by_number = plan.keep.is_some_and(|keep| newer < keep);
        let age = now.saturating_sub(listing.created_wall_ns);
        let by_age = plan.keep_days.is_some_and(|days| age <= i64::from(days).saturating_mul(DAY_NS));
        if !by_number && !by_age && listing.id != taken.id {
            removed.insert(listing.id.as_str());
        }
    }
    for id in &removed {
        store.delete(&format!("backups/{id}.json"))?;
        taken.removed_backups += 1;
    }
    let stays = good.iter().filter(|listing| !removed.contains(listing.id.as_str()));
    let named: BTreeSet<String> =
        stays.flat_map(|listing| &listing.files).map(|file| file.sha256.to_string()).collect();
    for (name, object) in store.list("objects")? {
        if !named.contains(&name) && now.saturating_sub(object.modified_ns) >= plan.grace_ns {
            store.delete(&format!("objects/{name}"))?;
            taken.removed_objects += 1;
        }
    }
    Ok(())
}
