//! The manifest: which run wrote a journal, with what logic, configuration and host. One JSON file,
//! written once, before the first record.

use super::error::JournalError;
use super::host::Host;
use crate::domain::text::Hex;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;

/// Name of the manifest's file.
pub const MANIFEST_FILE: &str = "manifest.json";
/// Journals of a directory that are named.
const NAMED: usize = 3;

/// Identity of a run: 32 hex digits in JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(pub u128);

impl std::fmt::Display for RunId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl Serialize for RunId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RunId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        u128::from_str_radix(&text, 16).map(Self).map_err(serde::de::Error::custom)
    }
}

/// A SHA-256: 64 hex digits in JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash256(pub [u8; 32]);

impl Hash256 {
    /// The SHA-256 of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
        let mut out = [0; 32];
        out.copy_from_slice(digest.as_ref());
        Self(out)
    }

    /// The SHA-256 of everything that `source` has.
    ///
    /// # Errors
    /// Those of reading it.
    pub fn of_reader(mut source: impl std::io::Read) -> std::io::Result<Self> {
        let mut context = ring::digest::Context::new(&ring::digest::SHA256);
        let mut block = vec![0; 1 << 16];
        loop {
            match source.read(&mut block)? {
                0 => break,
                count => context.update(&block[..count]),
            }
        }
        let mut out = Self::default();
        out.0.copy_from_slice(context.finish().as_ref());
        Ok(out)
    }
}

impl std::fmt::Display for Hash256 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Hex(&self.0).fmt(f)
    }
}

impl Serialize for Hash256 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hash256 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bad = || serde::de::Error::custom("a hash has 64 hex digits");
        if text.len() != 64 || !text.is_ascii() {
            return Err(bad());
        }
        let mut out = [0; 32];
        for (i, byte) in out.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).map_err(|_| bad())?;
        }
        Ok(Self(out))
    }
}

/// The clocks of a run, read at the same moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clocks {
    /// Time-stamp counter, or `CLOCK_MONOTONIC` where there is none to trust.
    pub ticks: u64,
    /// Monotonic time of the run, ns: the time of its inputs.
    pub mono_ns: i64,
    /// Wall clock, ns since the Unix epoch.
    pub wall_ns: i64,
    /// What the ticks are: `tsc` or `monotonic`.
    pub counter: String,
}

/// Which run wrote a journal. Stored as `manifest.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The run.
    pub run_id: RunId,
    /// The run that it continues after a restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_id: Option<RunId>,
    /// Version of the rules: identity of outputs is demanded within one.
    pub logic_version: u32,
    /// Meaning of kinds and bodies.
    pub schema_hash: u64,
    /// When it began, ns since the Unix epoch.
    pub created_wall_ns: i64,
    /// Hash of the configuration, in the writer's own notation (the configuration itself is an input).
    pub configuration_hash: String,
    /// SHA-256 of the program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binary_hash: Option<Hash256>,
    /// SHA-256 of what the run knew of the instruments when it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata_hash: Option<Hash256>,
    /// The clocks when it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clocks: Option<Clocks>,
    /// The host.
    pub host: Host,
    /// Remarks for readers: profile, seed, command. Never secrets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub notes: BTreeMap<String, String>,
}

impl Manifest {
    /// Reads the manifest of the journal in `dir`.
    pub fn read(dir: &Path) -> Result<Self, JournalError> {
        let bad = |reason: String| JournalError::NotAJournal { path: dir.to_owned(), reason };
        let text = fs::read_to_string(dir.join(MANIFEST_FILE)).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => bad(absent(dir)),
            _ => bad(format!("its {MANIFEST_FILE} cannot be read ({e})")),
        })?;
        serde_json::from_str(&text)
            .map_err(|e| bad(format!("its {MANIFEST_FILE} is damaged ({e}); take it from a backup")))
    }

    /// Writes it into `dir`, durably, unless one is there.
    pub(super) fn write_new(&self, dir: &Path) -> Result<(), JournalError> {
        let path = dir.join(MANIFEST_FILE);
        let fail = |e: &std::io::Error| JournalError::write("write", &path, 4096, e);
        let mut text = serde_json::to_string_pretty(self)
            .map_err(|e| JournalError::Options { reason: format!("manifest: {e}") })?;
        text.push('\n');
        let mut file = OpenOptions::new().write(true).create_new(true).open(&path).map_err(|e| fail(&e))?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_data()).map_err(|e| fail(&e))?;
        sync_dir(dir)
    }
}

/// What to do about a directory without a manifest.
fn absent(dir: &Path) -> String {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let journals = entries.filter(|entry| entry.path().join(MANIFEST_FILE).is_file());
    let mut names: Vec<String> =
        journals.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    match names.len() {
        0 => format!("it has no {MANIFEST_FILE}; name the directory that was given with --journal"),
        count => {
            let last = names.split_off(count.saturating_sub(NAMED));
            format!("it holds {count} journals; name one of them, such as {}", last.join(", "))
        }
    }
}

/// The latest run among the journals in `dir`: the one that the next continues. Directories without a readable
/// manifest are none.
pub fn latest_run(dir: &Path) -> Option<RunId> {
    let entries = fs::read_dir(dir).ok()?;
    let manifests = entries.filter_map(|entry| Manifest::read(&entry.ok()?.path()).ok());
    manifests.max_by_key(|manifest| manifest.created_wall_ns).map(|manifest| manifest.run_id)
}

/// Makes creations and renames in `dir` durable.
pub(super) fn sync_dir(dir: &Path) -> Result<(), JournalError> {
    File::open(dir).and_then(|d| d.sync_all()).map_err(|e| JournalError::io("synchronise", dir, &e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_journal_says_why_and_what_to_do() {
        let dir = std::env::temp_dir().join(format!("perpring-manifest-{}", std::process::id()));
        let run = dir.join("run-7");
        fs::create_dir_all(&run).expect("temporary directory");
        let said = |dir: &Path| Manifest::read(dir).expect_err("none").to_string();
        assert!(said(&dir).contains("given with --journal"), "{}", said(&dir));
        fs::write(run.join(MANIFEST_FILE), "{\"run_id\":").expect("temporary directory");
        assert!(said(&run).contains("manifest.json is damaged"), "{}", said(&run));
        assert!(
            said(&dir).contains("it holds 1 journals; name one of them, such as run-7"),
            "{}",
            said(&dir)
        );
        fs::remove_dir_all(&dir).expect("clean up");
    }

    #[test]
    fn a_manifest_of_an_older_version_is_read() {
        let text = r#"{"run_id":"00000000000000000000000000001234","logic_version":3,"schema_hash":1,
            "created_wall_ns":5,"configuration_hash":"c0ffee",
            "host":{"cpu":"x","kernel":"6.1","cores":2}}"#;
        let manifest: Manifest = serde_json::from_str(text).expect("what older versions wrote");
        assert_eq!((manifest.run_id, manifest.logic_version, manifest.host.cores), (RunId(0x1234), 3, 2));
        assert_eq!((&manifest.binary_hash, &manifest.metadata_hash, &manifest.clocks), (&None, &None, &None));
        assert_eq!(manifest.host.fingerprint(), Hash256::of(b"x\n6.1\n2"), "means what it meant");
    }

    #[test]
    fn the_latest_run_is_the_one_that_began_last() {
        let dir = std::env::temp_dir().join(format!("perpring-latest-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(dir.join("not-a-journal")).expect("temporary disk");
        assert_eq!(latest_run(&dir), None);
        for (id, created) in [(1, 10), (2, 30), (3, 20)] {
            let at = dir.join(format!("run-{id}"));
            fs::create_dir(&at).expect("temporary disk");
            let manifest = Manifest { run_id: RunId(id), created_wall_ns: created, ..Manifest::default() };
            manifest.write_new(&at).expect("temporary disk");
        }
        assert_eq!(latest_run(&dir), Some(RunId(2)));
        fs::remove_dir_all(&dir).expect("clean up");
    }

    #[test]
    fn a_manifest_survives_json() {
        let manifest = Manifest {
            run_id: RunId(0x1234),
            parent_id: Some(RunId(7)),
            configuration_hash: "c0ffee".into(),
            binary_hash: super::super::host::program_hash(),
            metadata_hash: Some(Hash256::of(b"instruments")),
            clocks: Some(Clocks { ticks: 1, mono_ns: 2, wall_ns: 3, counter: "tsc".into() }),
            host: Host::detect(),
            ..Manifest::default()
        };
        let text = serde_json::to_string(&manifest).expect("plain data");
        assert!(text.contains("\"00000000000000000000000000001234\""));
        assert_eq!(serde_json::from_str::<Manifest>(&text).expect("own text"), manifest);
    }
}
