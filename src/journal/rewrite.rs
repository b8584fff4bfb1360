//! Writes a stream anew with some records changed, left out or inserted, all checksums repaired. For tests
//! that must show that a replay notices; never for journals of real runs.

use super::chain::chain_path;
use super::error::JournalError;
use super::layout::Stream;
use super::manifest::{MANIFEST_FILE, sync_dir};
use super::mark::mark_path;
use super::reader::{Reader, list_segments};
use super::writer::{Anchor, JournalOptions, Record, SyncPolicy, Writer};
use std::fs;
use std::path::Path;

/// A record that owns its body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnedRecord {
    /// What the body is.
    pub kind: u16,
    /// The input's class.
    pub class: u8,
    /// Sequence.
    pub seq: u64,
    /// Event time, ns.
    pub time_ns: i64,
    /// The body.
    pub body: Vec<u8>,
}

/// Passes every record of a stream (with its index from 0) through `edit`, which pushes what shall stand in
/// its place: nothing, itself, or more. Returns the number of records after the change.
pub fn rewrite(
    dir: &Path,
    stream: Stream,
    mut edit: impl FnMut(u64, OwnedRecord, &mut Vec<OwnedRecord>),
) -> Result<u64, JournalError> {
    let mut reader = Reader::open(dir, stream)?;
    let manifest = reader.manifest().clone();
    let aside = dir.join(format!("{stream}.rewrite"));
    let mut writer: Option<Writer> = None;
    let mut replaced = Vec::new();
    while let Some(record) = reader.next()? {
        let (index, owned) = (
            record.index,
            OwnedRecord {
                kind: record.kind,
                class: record.class,
                seq: record.seq,
                time_ns: record.time_ns,
                body: record.body.to_vec(),
            },
        );
        if writer.is_none()
            && let Some(first) = reader.segment()
        {
            let options = JournalOptions {
                segment_bytes: first.segment_bytes as usize,
                sync: SyncPolicy::None,
                helper: false,
                first_seq: first.base_seq,
                anchor: Anchor { tsc: first.anchor_tsc, wall_ns: first.anchor_wall_ns },
                ..JournalOptions::default()
            };
            writer = Some(Writer::create(&aside, stream, &manifest, &options)?);
        }
        edit(index, owned, &mut replaced);
        if let Some(writer) = &mut writer {
            for r in replaced.drain(..) {
                let (kind, class, seq, time_ns) = (r.kind, r.class, r.seq, r.time_ns);
                writer.append(&Record { kind, class, seq, time_ns, parts: &[&r.body] })?;
            }
        }
    }
    let Some(writer) = writer else { return Ok(0) };
    let records = writer.stats().records;
    writer.close()?;
    let fail = |e: &std::io::Error| JournalError::io("replace segments in", dir, e);
    // The chain and the indexes speak of what was there before.
    let stale = |name: &str| {
        (name.starts_with(&format!("{stream}-")) && (name.ends_with(".seg.zst") || name.ends_with(".idx")))
            || chain_path(dir, stream).ends_with(name)
    };
    for old in list_segments(dir, stream)? {
        fs::remove_file(old.path).map_err(|e| fail(&e))?;
    }
    for entry in fs::read_dir(dir).map_err(|e| fail(&e))? {
        let entry = entry.map_err(|e| fail(&e))?;
        if stale(&entry.file_name().to_string_lossy()) {
            fs::remove_file(entry.path()).map_err(|e| fail(&e))?;
        }
    }
    for entry in fs::read_dir(&aside).map_err(|e| fail(&e))? {
        let entry = entry.map_err(|e| fail(&e))?;
        if entry.file_name() != MANIFEST_FILE {
            fs::rename(entry.path(), dir.join(entry.file_name())).map_err(|e| fail(&e))?;
        }
    }
    fs::remove_dir_all(&aside).map_err(|e| fail(&e))?;
    debug_assert!(mark_path(dir, stream).exists());
    sync_dir(dir)?;
    Ok(records)
}

/// Replaces the body of the record with this index (from 0).
pub fn patch_record(dir: &Path, stream: Stream, index: u64, body: &[u8]) -> Result<(), JournalError> {
    let mut found = false;
    let records = rewrite(dir, stream, |at, mut record, out| {
        if at == index {
            found = true;
            record.body = body.to_vec();
        }
        out.push(record);
    })?;
    if found { Ok(()) } else { Err(JournalError::NoSuchRecord { stream, index, records }) }
}
