//! A directory that appears whole or not at all.

use super::ExportError;
use crate::runtime::litter;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The directory under its temporary name; removed unless it is committed.
pub struct Staging {
    temporary: PathBuf,
    out: PathBuf,
    committed: bool,
}

impl Staging {
    /// Begins `out`, which must not exist.
    pub fn begin(out: &Path) -> Result<Self, ExportError> {
        let exists = || ExportError::Exists { path: out.to_owned() };
        if fs::symlink_metadata(out).is_ok() {
            return Err(exists());
        }
        let name = out.file_name().ok_or_else(exists)?.to_string_lossy();
        let partial = format!(".{name}.partial-");
        let temporary = out.with_file_name(format!("{partial}{}", std::process::id()));
        let beside = out.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        litter::sweep(beside, |name| name.strip_prefix(&partial)?.parse().ok());
        if let Some(parent) = out.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            fs::create_dir_all(parent).map_err(|source| ExportError::write(parent, source))?;
        }
        fs::create_dir(&temporary).map_err(|source| ExportError::write(&temporary, source))?;
        Ok(Self { temporary, out: out.to_owned(), committed: false })
    }

    /// Where the files are written.
    pub fn path(&self) -> &Path {
        &self.temporary
    }

    /// Brings the files to the disk and gives the directory its name; returns the files with their sizes.
    pub fn commit(mut self) -> Result<BTreeMap<String, u64>, ExportError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| ExportError::Write { path, source }
        };
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(&self.temporary).map_err(failed(&self.temporary))? {
            let path = entry.map_err(failed(&self.temporary))?.path();
            let file = fs::File::open(&path).map_err(failed(&path))?;
            file.sync_all().map_err(failed(&path))?;
            let bytes = file.metadata().map_err(failed(&path))?.len();
            files.insert(path.file_name().unwrap_or_default().to_string_lossy().into_owned(), bytes);
        }
        if fs::symlink_metadata(&self.out).is_ok() {
            return Err(ExportError::Exists { path: self.out.clone() });
        }
        fs::rename(&self.temporary, &self.out).map_err(failed(&self.out))?;
        self.committed = true;
        Ok(files)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if !self.committed {
            // What cannot be removed has a name that tells what it is.
            let _ = fs::remove_dir_all(&self.temporary);
        }
    }
}
