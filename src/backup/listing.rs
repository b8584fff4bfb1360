//! The listing of a backup: which files it has and by which hashes they are told.

use super::BackupError;
use super::source::Source;
use crate::journal::Hash256;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::path::{Component, Path};

/// Version of the listing; a reader refuses what it does not know.
const VERSION: u32 = 1;

/// A file of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Path below the directory, with `/`.
    pub path: String,
    /// Bytes.
    pub bytes: u64,
    /// SHA-256 of them; the object's name.
    pub sha256: Hash256,
    /// When the file was last written to, ns since the Unix epoch.
    pub modified_ns: i64,
    /// Written once and closed: the same size and time are the same bytes.
    pub closed: bool,
}

/// What a backup consists of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// Version of this listing.
    pub version: u32,
    /// Name of the backup: its time.
    pub id: String,
    /// When it was begun, ns since the Unix epoch.
    pub created_wall_ns: i64,
    /// Version of the program that made it.
    pub program: String,
    /// What it is of; `None` in those of older programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// The files, by path.
    pub files: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
struct Sealed<'a> {
    sha256: Hash256,
    #[serde(borrow)]
    listing: &'a RawValue,
}

impl Listing {
    /// An empty one of `now`, ns since the Unix epoch.
    pub fn begin(now: i64) -> Self {
        let id = crate::domain::calendar::shown(now).replace(':', "-");
        let program = env!("CARGO_PKG_VERSION").to_owned();
        Self { version: VERSION, id, created_wall_ns: now, program, source: None, files: Vec::new() }
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// As text, with its own hash before it.
    pub fn seal(&self) -> Result<String, BackupError> {
        let bad = |e: serde_json::Error| self.bad(e.to_string());
        let text = serde_json::to_string(self).map_err(bad)?;
        Ok(format!("{{\"sha256\":\"{}\",\"listing\":{text}}}\n", Hash256::of(text.as_bytes())))
    }

    /// Reads and checks the text of backup `id`.
    pub fn open(id: &str, text: &[u8]) -> Result<Self, BackupError> {
        let bad = |what: String| BackupError::Listing { id: id.to_owned(), what };
        let sealed: Sealed<'_> = serde_json::from_slice(text).map_err(|e| bad(e.to_string()))?;
        if Hash256::of(sealed.listing.get().as_bytes()) != sealed.sha256 {
            return Err(bad("it does not have its hash".to_owned()));
        }
        let listing: Self = serde_json::from_str(sealed.listing.get()).map_err(|e| bad(e.to_string()))?;
        if listing.version != VERSION || listing.id != id {
            return Err(bad(format!("version {} of {}", listing.version, listing.id)));
        }
        match listing.files.iter().find(|file| !is_inside(&file.path)) {
            Some(file) => Err(bad(format!("it names {}", file.path))),
            None => Ok(listing),
        }
    }

    fn bad(&self, what: String) -> BackupError {
        BackupError::Listing { id: self.id.clone(), what }
    }
}

/// A path that stays below its directory.
fn is_inside(path: &str) -> bool {
    !path.is_empty() && Path::new(path).components().all(|part| matches!(part, Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(path: &str) -> Listing {
        let sha256 = Hash256::of(b"x");
        let entry = Entry { path: path.to_owned(), bytes: 1, sha256, modified_ns: 5, closed: true };
        Listing { files: vec![entry], ..Listing::begin(1_764_261_000_123_456_789) }
    }

    #[test]
    fn a_listing_survives_the_round_trip_and_any_change_of_it_is_noticed() {
        let listing = listing("run-1/inputs.chain");
        let text = listing.seal().expect("plain data");
        assert_eq!(Listing::open(&listing.id, text.as_bytes()).expect("own text"), listing);
        assert!(!listing.id.contains([':', '/']), "{}", listing.id);
        for at in 0..text.len() - 1 {
            let mut changed = text.clone().into_bytes();
            changed[at] ^= 1;
            assert!(Listing::open(&listing.id, &changed).is_err(), "byte {at}");
        }
        assert!(Listing::open("another", text.as_bytes()).is_err());
    }

    #[test]
    fn a_listing_of_an_older_program_says_no_source_and_is_read() {
        let listing = Listing { source: Some(Source::default()), ..listing("run-1/inputs.chain") };
        let text = listing.seal().expect("plain data");
        assert_eq!(Listing::open(&listing.id, text.as_bytes()).expect("own text"), listing);
        let older = Listing { source: None, ..listing };
        let text = older.seal().expect("plain data");
        assert!(!text.contains("source"), "{text}");
        assert_eq!(Listing::open(&older.id, text.as_bytes()).expect("an older text"), older);
    }

    #[test]
    fn a_path_that_leaves_its_directory_is_refused() {
        for path in ["../etc/passwd", "/etc/passwd", "a/../../b", "", "./a"] {
            let listing = listing(path);
            let said = Listing::open(&listing.id, listing.seal().expect("plain data").as_bytes());
            assert!(said.is_err(), "{path}");
        }
    }
}
