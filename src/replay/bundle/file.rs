//! The file of a bundle: members in, members out, each checked by its hash; and unpacked to a part of a run.

use super::{About, BundleError, FORMAT, member, records};
use crate::domain::event::Seq;
use crate::journal::{Hash256, JournalOptions, Manifest, OwnedRecord, Record, Stream, SyncPolicy, Writer};
use crate::replay::part;
use crate::runtime::litter::sweep;
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Cursor, Read as _, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use zip::write::{SimpleFileOptions, ZipWriter};
use zip::{CompressionMethod, ZipArchive};

/// Directories of unpacked bundles begin with this, in the temporary directory.
const PLACE: &str = "perpring-bundle-";
/// More are never tried.
const NUMBER_MAX: u32 = 1 << 20;

/// A member is not longer: reading it would cost memory that the file decides.
const MEMBER_MAX: u64 = 256 << 20;

/// A bundle in memory.
#[derive(Clone, Debug)]
pub struct Bundle {
    /// Where it was read from; for messages.
    pub path: PathBuf,
    /// What it says of itself.
    pub about: About,
    members: BTreeMap<String, Vec<u8>>,
}

impl Bundle {
    /// Of these members; `about` gets their hashes.
    pub fn new(path: &Path, mut about: About, members: BTreeMap<String, Vec<u8>>) -> Self {
        about.members = members.iter().map(|(name, bytes)| (name.clone(), Hash256::of(bytes))).collect();
        Self { path: path.to_owned(), about, members }
    }

    /// Whether `path` is to be read as a bundle and not as a directory.
    pub fn is_one(path: &Path) -> bool {
        path.is_file()
    }

    /// Reads and checks the file.
    ///
    /// # Errors
    /// What cannot be read, by the name of the member.
    pub fn open(path: &Path) -> Result<Self, BundleError> {
        let bytes = fs::read(path).map_err(|source| BundleError::Io { path: path.to_owned(), source })?;
        Self::from_bytes(path, &bytes)
    }

    /// The same from bytes.
    pub fn from_bytes(path: &Path, bytes: &[u8]) -> Result<Self, BundleError> {
        let unfit = |why: String| BundleError::Unfit { path: path.to_owned(), why };
        let mut zip = ZipArchive::new(Cursor::new(bytes))
            .map_err(|why| unfit(format!("it is cut off, or something else ({why})")))?;
        let mut read = |name: &str| {
            let damaged = |why: String| unfit(format!("its member {name} is damaged or missing ({why})"));
            let file = zip.by_name(name).map_err(|why| damaged(why.to_string()))?;
            let mut content = Vec::new();
            file.take(MEMBER_MAX).read_to_end(&mut content).map_err(|why| damaged(why.to_string()))?;
            Ok::<_, BundleError>(content)
        };
        let text = String::from_utf8_lossy(&read(member::ABOUT)?).into_owned();
        let wrong = |why: &dyn std::fmt::Display| unfit(format!("its member {}: {why}", member::ABOUT));
        let table: toml::Table = text.parse().map_err(|why| wrong(&why))?;
        let format = table.get("format").and_then(toml::Value::as_integer);
        if !format.is_some_and(|format| (1..=i64::from(FORMAT)).contains(&format)) {
            let found = format.map_or("unknown".to_owned(), |format| format.to_string());
            return Err(unfit(format!("its format is {found}; this version reads up to {FORMAT}")));
        }
        let about: About = toml::from_str(&text).map_err(|why| wrong(&why))?;
        let mut members = BTreeMap::new();
        for (name, hash) in &about.members {
            let content = read(name)?;
            if Hash256::of(&content) != *hash {
                return Err(unfit(format!("its member {name} is damaged (SHA-256)")));
            }
            members.insert(name.clone(), content);
        }
        Ok(Self { path: path.to_owned(), about, members })
    }

    /// The file's bytes.
    pub fn to_bytes(&self) -> io::Result<Vec<u8>> {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        let about = toml::to_string(&self.about).map_err(io::Error::other)?;
        let first = (member::ABOUT, about.as_bytes());
        let rest = self.members.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice()));
        for (name, bytes) in std::iter::once(first).chain(rest) {
            let packed =
                if name.ends_with(".zst") { CompressionMethod::Stored } else { CompressionMethod::Deflated };
            zip.start_file(name, SimpleFileOptions::default().compression_method(packed))?;
            zip.write_all(bytes)?;
        }
        Ok(zip.finish()?.into_inner())
    }

    /// Writes the file, whole or not at all.
    pub fn write(&self) -> Result<u64, BundleError> {
        let path = &self.path;
        let failed = |source| BundleError::Io { path: path.clone(), source };
        let bytes = self.to_bytes().map_err(failed)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let aside = path.with_file_name(format!(".{name}.partial-{}", std::process::id()));
        let written = fs::write(&aside, &bytes)
            .and_then(|()| fs::File::open(&aside)?.sync_all())
            .and_then(|()| fs::rename(&aside, path));
        if written.is_err() {
            let _ = fs::remove_file(&aside); // the error that matters is the first
        }
        written.map_err(failed)?;
        Ok(bytes.len() as u64)
    }

    /// A member.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.members.get(name).map(Vec::as_slice)
    }

    /// Another content for a member.
    pub fn set(&mut self, name: &str, bytes: Vec<u8>) {
        self.about.members.insert(name.to_owned(), Hash256::of(&bytes));
        self.members.insert(name.to_owned(), bytes);
    }

    /// A member as text; empty where there is none.
    pub fn text(&self, name: &str) -> String {
        String::from_utf8_lossy(self.get(name).unwrap_or_default()).into_owned()
    }

    fn must(&self, name: &str) -> Result<&[u8], BundleError> {
        self.get(name).ok_or_else(|| self.unfit(name, "it is missing"))
    }

    fn unfit(&self, name: &str, why: impl std::fmt::Display) -> BundleError {
        BundleError::Unfit { path: self.path.clone(), why: format!("its member {name}: {why}") }
    }

    /// Unpacks it to a journal of its own in a temporary directory.
    ///
    /// # Errors
    /// A member that makes no sense, or the file system.
    pub fn unpack(&self) -> Result<Unpacked, BundleError> {
        let unpacked = Unpacked::fresh(&self.path)?;
        let dir = unpacked.dir();
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| BundleError::Io { path, source }
        };
        let manifest: Manifest = serde_json::from_slice(self.must(member::MANIFEST)?)
            .map_err(|why| self.unfit(member::MANIFEST, why))?;
        let put = |path: PathBuf, name: &str| fs::write(&path, self.must(name)?).map_err(io(&path));
        let first = self.about.first;
        for (stream, name) in [(Stream::Inputs, member::INPUTS), (Stream::Outputs, member::OUTPUTS)] {
            let found = records::unpack(self.must(name)?).map_err(|why| self.unfit(name, why))?;
            let ended = stream == Stream::Inputs || self.about.ended;
            write_stream(dir, stream, &manifest, first, &found, ended)?;
        }
        put(dir.join(part::CONFIG_FILE), member::CONFIG)?;
        if first > 1 {
            put(part::start_path(dir, Seq(first - 1)), member::SNAPSHOT)?;
            if self.get(member::CHECKER).is_some() {
                put(part::checks_path(dir, Seq(first - 1)), member::CHECKER)?;
            }
        }
        Ok(unpacked)
    }
}

fn write_stream(
    dir: &Path,
    stream: Stream,
    manifest: &Manifest,
    first: u64,
    records: &[OwnedRecord],
    ended: bool,
) -> Result<(), BundleError> {
    let options = JournalOptions {
        segment_bytes: 4 << 20,
        sync: SyncPolicy::None,
        helper: false,
        first_seq: first,
        ..JournalOptions::default()
    };
    let mut writer = Writer::create(dir, stream, manifest, &options)?;
    for record in records {
        let OwnedRecord { kind, class, seq, time_ns, body } = record;
        writer.append(&Record {
            kind: *kind,
            class: *class,
            seq: *seq,
            time_ns: *time_ns,
            parts: &[body],
        })?;
    }
    if ended {
        writer.close()?;
    }
    Ok(())
}

/// A bundle as a journal; removed when it goes.
#[derive(Debug)]
pub struct Unpacked {
    /// What is removed.
    place: PathBuf,
    /// In it, named like the bundle: errors name it.
    dir: PathBuf,
}

impl Unpacked {
    /// A directory that nobody else can read, and that was not there before.
    fn fresh(bundle: &Path) -> Result<Self, BundleError> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        // What programs that were ended from outside left unpacked.
        sweep(&std::env::temp_dir(), |name| name.strip_prefix(PLACE)?.split_once('-')?.0.parse().ok());
        let make = |path: &Path| fs::DirBuilder::new().mode(0o700).create(path);
        loop {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let place = std::env::temp_dir().join(format!("{PLACE}{}-{number}", std::process::id()));
            match make(&place) {
                Ok(()) => {
                    let made = Self { dir: place.join(bundle.file_name().unwrap_or_default()), place };
                    let failed = |source| BundleError::Io { path: made.dir.clone(), source };
                    make(&made.dir).map_err(failed)?;
                    return Ok(made);
                }
                // A program of the same number elsewhere has it.
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists && number < NUMBER_MAX => {}
                Err(source) => return Err(BundleError::Io { path: place, source }),
            }
        }
    }

    /// The directory of the journal.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Drop for Unpacked {
    fn drop(&mut self) {
        // What cannot be removed lies in the temporary directory under a name that tells what it is.
        let _ = fs::remove_dir_all(&self.place);
    }
}
