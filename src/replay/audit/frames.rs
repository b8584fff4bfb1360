//! Frames: SHA-256 over the text frames of every connection, as recorded, beside what the venue says that it sent.
//!
//! A connection that was cut has only the first of them: venues keep the hash before each of their last frames, so
//! that this is proven too. Where a secret was blanked before it was recorded (login tokens), frames and bytes are
//! compared and the hash cannot be.

use super::finding::Findings;
use super::ledger::LedgerError;
use crate::domain::event::{Seq, SessionRole};
use crate::domain::input::{FrameKind, FrameMeta};
use crate::domain::text::Hex;
use crate::stage::decode::ConnInfo;
use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// What blanked secrets are filled with; shorter runs are nobody's secret.
const FILLER: &[u8] = b"xxxxxx";

/// A connection's record.
struct Sum {
    hash: Context,
    frames: u64,
    bytes: u64,
    blanked: bool,
}

/// All connections of a run.
pub(super) struct Frames {
    conns: Vec<ConnInfo>,
    sums: BTreeMap<(u8, u32), Sum>,
    /// The record begins with its run.
    whole: bool,
    /// Connections that were open where a part of a run begins.
    earlier: BTreeSet<(u8, u32)>,
}

/// Frames of a venue in figures.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FrameReport {
    /// The venue.
    pub venue: String,
    /// Connections in the record; of a part of a run those that were established within it.
    pub connections: u64,
    /// Their text frames.
    pub frames: u64,
    /// Connections whose hash is the venue's.
    pub equal: u64,
    /// Connections that were cut: their hash is the venue's before its last frames.
    pub cut: u64,
    /// Connections with a blanked secret: frames and bytes are the venue's.
    pub blanked: u64,
    /// Cut connections of which the venue does not keep the hash at that place any more.
    pub unproven: u64,
    /// Connections of the venue's that the record does not have and that carried nothing, or frames that were never read.
    pub unread: u64,
    /// Of a part of a run: connections that were established before it, which cannot be compared.
    pub before: u64,
}

#[derive(Deserialize)]
struct File {
    connections: Vec<Theirs>,
}

#[derive(Clone, Deserialize)]
struct Theirs {
    conn: u32,
    path: String,
    frames: u64,
    bytes: u64,
    sha256: String,
    #[serde(default)]
    tail: Vec<(u64, u64, String)>,
}

struct Ours {
    name: String,
    frames: u64,
    bytes: u64,
    sha256: String,
    blanked: bool,
}

impl Frames {
    /// Of these connections; `whole`: the record begins with its run.
    pub fn new(conns: Vec<ConnInfo>, whole: bool) -> Self {
        Self { conns, sums: BTreeMap::new(), whole, earlier: BTreeSet::new() }
    }

    /// A connection was established.
    pub fn up(&mut self, conn: u8, epoch: u32) {
        self.sum(conn, epoch);
    }

    fn sum(&mut self, conn: u8, epoch: u32) -> &mut Sum {
        self.sums.entry((conn, epoch)).or_insert_with(|| Sum {
            hash: Context::new(&SHA256),
            frames: 0,
            bytes: 0,
            blanked: false,
        })
    }

    /// A frame was received.
    pub fn frame(&mut self, meta: &FrameMeta, bytes: &[u8]) {
        if meta.kind != FrameKind::Text {
            return;
        }
        let key = (meta.conn.0, meta.epoch);
        if !self.whole && !self.sums.contains_key(&key) {
            self.earlier.insert(key); // its first frames are not in the record
            return;
        }
        let private = self.conns.get(meta.conn.index()).is_some_and(|conn| conn.role != SessionRole::Market);
        let sum = self.sum(meta.conn.0, meta.epoch);
        sum.hash.update(bytes);
        sum.hash.update(b"\n");
        sum.frames += 1;
        sum.bytes += bytes.len() as u64;
        sum.blanked |= private && memchr::memmem::find(bytes, FILLER).is_some();
    }

    /// Compares the connections of a venue with its own books.
    pub fn compare(
        &self,
        venue: usize,
        name: &str,
        dir: &Path,
        findings: &mut Findings,
    ) -> Result<FrameReport, LedgerError> {
        let file: File = super::ledger::object(dir, "frames.json")?;
        let of_venue = |conn: u8| self.conns.get(usize::from(conn)).is_some_and(|c| c.venue.index() == venue);
        let ours =
            self.sums.iter().filter(|((conn, _), _)| of_venue(*conn)).map(|((conn, epoch), sum)| Ours {
                name: format!("{name} connection {conn} epoch {epoch}"),
                frames: sum.frames,
                bytes: sum.bytes,
                sha256: hex(&sum.hash),
                blanked: sum.blanked,
            });
        let mut report = matched(name, ours.collect(), file.connections, self.whole, findings);
        report.before = self.earlier.iter().filter(|(conn, _)| of_venue(*conn)).count() as u64;
        Ok(report)
    }
}

/// Finds each connection of ours among theirs, the surest ones first: whole and equal, blanked, cut. Of a part of a run
/// theirs may lie outside of it: none is missing.
fn matched(
    name: &str,
    mut ours: Vec<Ours>,
    mut theirs: Vec<Theirs>,
    whole: bool,
    findings: &mut Findings,
) -> FrameReport {
    let mut report = FrameReport { venue: name.to_owned(), ..FrameReport::default() };
    report.connections = ours.len() as u64;
    report.frames = ours.iter().map(|row| row.frames).sum();
    let mut pass = |same: &dyn Fn(&Ours, &Theirs) -> bool| {
        let before = ours.len();
        ours.retain(|row| match theirs.iter().position(|other| same(row, other)) {
            Some(at) => {
                theirs.remove(at);
                false
            }
            None => true,
        });
        (before - ours.len()) as u64
    };
    let size = |row: &Ours, other: &Theirs| (row.frames, row.bytes) == (other.frames, other.bytes);
    report.equal = pass(&|row, other| size(row, other) && row.sha256 == other.sha256);
    report.blanked = pass(&|row, other| row.blanked && size(row, other));
    let prefix = |row: &Ours, other: &Theirs, hash: bool| {
        let at = other.tail.iter().find(|first| (first.0, first.1) == (row.frames, row.bytes));
        at.is_some_and(|first| !hash || first.2 == row.sha256)
    };
    report.cut = pass(&|row, other| row.frames > 0 && prefix(row, other, true));
    report.blanked += pass(&|row, other| row.blanked && prefix(row, other, false));
    // Same size, other bytes: said before anything weaker can hide it.
    let mut differ: Vec<(String, u64, String)> = Vec::new();
    ours.retain(|row| {
        let sized = theirs.iter().position(|other| size(row, other) || prefix(row, other, false));
        let wrong = sized.or_else(|| theirs.iter().position(|other| row.frames == other.frames));
        let Some(at) = wrong.filter(|_| row.frames > 0) else { return true };
        differ.push((row.name.clone(), row.frames, theirs.remove(at).sha256));
        false
    });
    for (subject, frames, hash) in differ {
        let detail = format!(
            "{frames} frames of the size that the venue sent, but not its bytes (its SHA-256: {hash})"
        );
        findings.add("frames", "frames_differ", (Seq(0), 0), subject, detail);
    }
    let begun = |row: &Ours, other: &Theirs| {
        let oldest = other.tail.first().map_or(other.frames, |first| first.0);
        row.frames < oldest && row.bytes < other.bytes
    };
    for row in ours {
        if let Some(at) = theirs.iter().position(|other| begun(&row, other)) {
            theirs.remove(at);
            report.unproven += 1;
        } else if row.frames > 0 {
            let detail = format!(
                "{} frames ({} bytes) that the venue did not send in this form",
                row.frames, row.bytes
            );
            findings.add("frames", "frames_unknown", (Seq(0), 0), row.name, detail);
        }
    }
    if !whole {
        return report;
    }
    for other in theirs {
        if other.frames == 0 {
            report.unread += 1;
            continue;
        }
        let subject = format!("{name} {} (its connection {})", other.path, other.conn);
        let detail = format!("{} frames were sent and none of them is in the record", other.frames);
        findings.add("frames", "frames_missing", (Seq(0), 0), subject, detail);
    }
    report
}

fn hex(hash: &Context) -> String {
    Hex(hash.clone().finish().as_ref()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours(frames: u64, bytes: u64, sha256: &str) -> Ours {
        Ours {
            name: "venue connection 0 epoch 1".into(),
            frames,
            bytes,
            sha256: sha256.into(),
            blanked: false,
        }
    }

    fn theirs(frames: u64, bytes: u64, sha256: &str, tail: &[(u64, u64, &str)]) -> Theirs {
        let tail = tail.iter().map(|(frames, bytes, hash)| (*frames, *bytes, (*hash).to_owned())).collect();
        Theirs { conn: 3, path: "/ws".into(), frames, bytes, sha256: sha256.into(), tail }
    }

    fn rules(ours: Vec<Ours>, theirs: Vec<Theirs>) -> (FrameReport, Vec<&'static str>) {
        let mut findings = Findings::default();
        let report = matched("venue", ours, theirs, true, &mut findings);
        (report, findings.first.iter().map(|finding| finding.rule).collect())
    }

    #[test]
    fn a_cut_connection_is_proven_by_the_venues_hash_at_that_place() {
        let sent = || theirs(9, 90, "whole", &[(7, 70, "seven"), (8, 80, "eight")]);
        let (report, found) = rules(vec![ours(7, 70, "seven")], vec![sent()]);
        assert_eq!((report.cut, found.len()), (1, 0));
        let (report, found) = rules(vec![ours(7, 70, "other")], vec![sent()]);
        assert_eq!((report.cut, found), (0, vec!["frames_differ"]));
        let (report, found) = rules(vec![ours(3, 30, "older")], vec![sent()]);
        assert_eq!((report.unproven, found.len()), (1, 0), "further back than the venue remembers");
    }

    #[test]
    fn changed_missing_and_unknown_frames_are_told_apart() {
        assert_eq!(rules(vec![ours(2, 9, "a")], vec![theirs(2, 9, "b", &[])]).1, ["frames_differ"]);
        assert_eq!(rules(vec![], vec![theirs(2, 9, "b", &[])]).1, ["frames_missing"]);
        assert_eq!(rules(vec![ours(3, 12, "a")], vec![]).1, ["frames_unknown"]);
        let (report, found) = rules(vec![], vec![theirs(0, 0, "", &[])]);
        assert_eq!((report.unread, found.len()), (1, 0));
        let blanked = Ours { blanked: true, ..ours(2, 9, "a") };
        let (report, found) = rules(vec![blanked], vec![theirs(2, 9, "b", &[])]);
        assert_eq!((report.blanked, found.len()), (1, 0));
    }
}
