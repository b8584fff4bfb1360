//! A store in a directory. An object appears under its name when it is whole and on the disk.

use super::BackupError;
use super::store::{Object, failed};
use crate::runtime::litter;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// Begins the name of what is not whole yet.
const PASSING: &str = ".part-";

/// Its root.
pub(super) struct Dir(PathBuf);

impl Dir {
    pub fn open(root: &Path, create: bool) -> Result<Self, BackupError> {
        match fs::read_dir(root) {
            Err(e) if e.kind() == ErrorKind::NotFound && create => {}
            found => drop(found.map_err(|e| BackupError::io("list", root, e))?),
        }
        Ok(Self(root.to_owned()))
    }

    pub fn root(&self) -> &Path {
        &self.0
    }

    pub fn put(
        &self,
        key: &str,
        next: &mut dyn FnMut() -> Result<Vec<u8>, BackupError>,
        sent: &mut dyn FnMut(u64),
    ) -> Result<(), BackupError> {
        let path = self.0.join(key);
        let (parent, name) = (path.parent().unwrap_or(&self.0), path.file_name().unwrap_or_default());
        let aside = parent.join(format!("{PASSING}{}-{}", std::process::id(), name.to_string_lossy()));
        let fail = |e: io::Error| refused("write", key, e);
        fs::create_dir_all(parent).map_err(fail)?;
        let mut write = || {
            let mut file = File::create(&aside).map_err(fail)?;
            loop {
                let part = next()?;
                if part.is_empty() {
                    break;
                }
                file.write_all(&part).map_err(fail)?;
                sent(part.len() as u64);
            }
            file.sync_data().and_then(|()| fs::rename(&aside, &path)).map_err(fail)
        };
        let done = write();
        if done.is_err() {
            let _ = fs::remove_file(&aside); // gives the space back; the error that matters is the first
        }
        done
    }

    pub fn get(&self, key: &str) -> Result<Vec<u8>, BackupError> {
        fs::read(self.0.join(key)).map_err(|e| refused("read", key, e))
    }

    pub fn range(&self, key: &str, from: u64, to: u64) -> Result<Vec<u8>, BackupError> {
        let mut part = vec![0; (to - from) as usize];
        let read = File::open(self.0.join(key)).and_then(|file| file.read_exact_at(&mut part, from));
        read.map(|()| part).map_err(|e| refused("read", key, e))
    }

    pub fn list(&self, prefix: &str) -> Result<BTreeMap<String, Object>, BackupError> {
        let fail = |e: io::Error| refused("list", prefix, e);
        let entries = match fs::read_dir(self.0.join(prefix)) {
            Ok(entries) => entries,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(BTreeMap::new()),
            Err(e) => return Err(fail(e)),
        };
        let mut found = BTreeMap::new();
        for entry in entries {
            let entry = entry.map_err(fail)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if !name.starts_with(PASSING) {
                let data = entry.metadata().map_err(fail)?;
                let since = data.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
                let modified_ns = since.map_or(i64::MAX, |since| since.as_nanos() as i64);
                found.insert(name, Object { bytes: data.len(), modified_ns });
            }
        }
        Ok(found)
    }

    pub fn delete(&self, key: &str) -> Result<(), BackupError> {
        fs::remove_file(self.0.join(key)).map_err(|e| refused("remove", key, e))
    }
}

/// Removes from the store in `root` what writers that are gone have begun.
pub(super) fn sweep(root: &Path) {
    let process = |name: &str| name.strip_prefix(PASSING)?.split_once('-')?.0.parse().ok();
    ["objects", "backups"].iter().for_each(|below| litter::sweep(&root.join(below), process));
}

fn refused(action: &'static str, key: &str, source: io::Error) -> BackupError {
    failed(action, key, source.kind() == ErrorKind::NotFound, source)
}
