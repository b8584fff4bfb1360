//! What a command reads: the directory of a journal (raw, compressed, or of a running engine), or the file of a bundle.

use super::{CliError, Failure};
use crate::replay::bundle::file::{Bundle, Unpacked};
use std::path::{Path, PathBuf};

/// A journal that is open to be read. A bundle is unpacked for as long as this lives.
pub struct Source {
    dir: PathBuf,
    _unpacked: Option<Unpacked>,
}

impl Source {
    /// Opens `path`.
    ///
    /// # Errors
    /// A bundle that cannot be read, a directory of backups. What else a directory holds shows when it is read.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        if ["backups", "objects"].iter().all(|name| path.join(name).is_dir()) {
            let dir = path.display();
            let what = format!(
                "{dir} holds backups: `perpring restore {dir} --to DIR` brings one back, to be read there"
            );
            return Err(CliError::Argument(what).into());
        }
        if !Bundle::is_one(path) {
            return Ok(Self { dir: path.to_owned(), _unpacked: None });
        }
        let unpacked = Bundle::open(path)?.unpack()?;
        Ok(Self { dir: unpacked.dir().to_owned(), _unpacked: Some(unpacked) })
    }

    /// Directory of the journal.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}
