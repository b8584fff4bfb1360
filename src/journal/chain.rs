//! The chain of a stream: `inputs.chain`, one line for each segment that was closed and for each that retention
//! removed. Each line's link is a SHA-256 over the link before it and its own entry, so that no segment can be
//! changed, swapped, left out or added afterwards without a broken link.
//!
//! ```text
//! {"link":"<hex>","entry":{"kind":"segment","ordinal":0,…,"sha256":"<hex of the segment's bytes>"}}
//! first link = SHA-256(SHA-256(run id, 16 bytes little-endian ‖ stream name) ‖ text of the entry)
//! next link  = SHA-256(link before, 32 bytes ‖ text of the entry)
//! ```

use super::error::JournalError;
use super::layout::Stream;
use super::manifest::{Hash256, sync_dir};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A line of a chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ChainEntry {
    /// A segment was closed.
    Segment(ClosedSegment),
    /// Retention removed the oldest segment that was left.
    Removed {
        /// Its number in the stream.
        ordinal: u64,
        /// Why, in words.
        why: String,
    },
}

/// What the chain knows of a closed segment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClosedSegment {
    /// Number in its stream, from 0.
    pub ordinal: u64,
    /// Sequence of its first record.
    pub base_seq: u64,
    /// Number, in the stream, of the first record that begins in it.
    pub first_record: u64,
    /// Records that begin in it.
    pub records: u64,
    /// Sequence of the last of them.
    pub last_seq: u64,
    /// Event time of the last of them, ns.
    pub last_ns: i64,
    /// Bytes of the segment, uncompressed, header included.
    pub bytes: u64,
    /// SHA-256 of those bytes.
    pub sha256: Hash256,
    /// When it was last written to, ns since the Unix epoch.
    pub closed_wall_ns: i64,
}

#[derive(Serialize, Deserialize)]
struct Line<'a> {
    link: Hash256,
    #[serde(borrow)]
    entry: &'a RawValue,
}

/// A chain as read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    /// Good entries, in order.
    pub entries: Vec<ChainEntry>,
    /// The last good link.
    pub tip: Hash256,
    /// Bytes of good lines.
    pub bytes: u64,
    /// Number (from 1) and offset of the first line that breaks the chain.
    pub broken: Option<(u64, u64)>,
}

impl Chain {
    /// Segments below this number were removed by retention.
    pub fn removed_below(&self) -> u64 {
        let removed = self.entries.iter().filter_map(|entry| match entry {
            ChainEntry::Removed { ordinal, .. } => Some(ordinal + 1),
            ChainEntry::Segment(_) => None,
        });
        removed.max().unwrap_or(0)
    }

    /// The closed segments, removed ones too.
    pub fn segments(&self) -> impl Iterator<Item = &ClosedSegment> {
        self.entries.iter().filter_map(|entry| match entry {
            ChainEntry::Segment(closed) => Some(closed),
            ChainEntry::Removed { .. } => None,
        })
    }

    /// A closed segment by its number.
    pub fn segment(&self, ordinal: u64) -> Option<&ClosedSegment> {
        self.segments().find(|closed| closed.ordinal == ordinal)
    }
}

/// Path of a stream's chain.
pub fn chain_path(dir: &Path, stream: Stream) -> PathBuf {
    dir.join(format!("{stream}.chain"))
}

fn genesis(stream: Stream, run_id: u128) -> Hash256 {
    Hash256::of(&[&run_id.to_le_bytes()[..], stream.name().as_bytes()].concat())
}

fn link(before: &Hash256, entry: &str) -> Hash256 {
    Hash256::of(&[&before.0[..], entry.as_bytes()].concat())
}

/// Reads a stream's chain up to its first broken link. Absent: an empty chain. A last line without its end is
/// the trace of a crash, and is left out.
pub fn read_chain(dir: &Path, stream: Stream, run_id: u128) -> Result<Chain, JournalError> {
    let path = chain_path(dir, stream);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(e) => return Err(JournalError::io("read", &path, &e)),
    };
    let mut chain = Chain { tip: genesis(stream, run_id), ..Chain::default() };
    for (number, line) in text.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let Some(whole) = line.strip_suffix(b"\n") else { break };
        let good = serde_json::from_slice::<Line<'_>>(whole).ok().and_then(|line| {
            let entry = serde_json::from_str::<ChainEntry>(line.entry.get()).ok()?;
            (link(&chain.tip, line.entry.get()) == line.link).then_some((line.link, entry))
        });
        let Some((link, entry)) = good else {
            chain.broken = Some((number as u64 + 1, chain.bytes));
            break;
        };
        chain.tip = link;
        chain.entries.push(entry);
        chain.bytes += line.len() as u64;
    }
    Ok(chain)
}

/// Appends to a stream's chain.
pub(super) struct ChainWriter {
    dir: PathBuf,
    path: PathBuf,
    file: Option<File>,
    chain: Chain,
}

impl ChainWriter {
    /// Continues what is there. A broken chain is not continued.
    pub fn open(dir: &Path, stream: Stream, run_id: u128) -> Result<Self, JournalError> {
        let (path, chain) = (chain_path(dir, stream), read_chain(dir, stream, run_id)?);
        if let Some((line, _)) = chain.broken {
            return Err(JournalError::Io {
                action: "continue",
                path,
                reason: format!("line {line} breaks the chain; run `perpring journal verify`"),
            });
        }
        Ok(Self { dir: dir.to_owned(), path, file: None, chain })
    }

    /// What was appended so far.
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// Appends an entry and waits for the disk.
    pub fn append(&mut self, entry: ChainEntry) -> Result<(), JournalError> {
        let (mut file, created) = match self.file.take() {
            Some(file) => (file, false),
            None => (self.create()?, true),
        };
        let bad = |e: serde_json::Error| JournalError::Options { reason: format!("chain: {e}") };
        let text = serde_json::to_string(&entry).map_err(bad)?;
        let link = link(&self.chain.tip, &text);
        let line = format!("{{\"link\":\"{link}\",\"entry\":{text}}}\n");
        // A line that fails half-way is cut off when the file is opened again.
        file.write_all(line.as_bytes())
            .and_then(|()| file.sync_data())
            .map_err(|e| JournalError::write("extend", &self.path, line.len() as u64, &e))?;
        if created {
            sync_dir(&self.dir)?;
        }
        self.chain.tip = link;
        self.chain.bytes += line.len() as u64;
        self.chain.entries.push(entry);
        self.file = Some(file);
        Ok(())
    }

    fn create(&self) -> Result<File, JournalError> {
        let fail = |e: &io::Error| JournalError::write("open", &self.path, 4096, e);
        let file = OpenOptions::new().append(true).create(true).open(&self.path).map_err(|e| fail(&e))?;
        file.set_len(self.chain.bytes).map_err(|e| fail(&e))?;
        Ok(file)
    }
}
