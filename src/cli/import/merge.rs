//! Many recordings as one, by receive time: a merge that holds one line of each file.
//!
//! Within a file the order of its lines stands: a receive time that steps back is lifted to the one before it.
//! Between files, equal times go by the order of the files. What is no message of a venue, or the same line again,
//! is counted and told with its place, and nothing after it is lost.

use super::stamp;
use crate::cli::capture::{self, LineKind, Lines};
use crate::cli::error::CliError;
use crate::domain::time::Nanos;
use serde::Serialize;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// Remarks of one kind that are told one by one; the rest is counted.
pub const TOLD_MAX: u64 = 20;

/// What the lines of a venue's files were, beside its messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LineCounts {
    /// All that are not empty.
    pub lines: u64,
    /// Written by the recorder itself: connects, sent messages, configuration.
    pub recorder: u64,
    /// Without a receive time, and so without a place.
    pub untimed: u64,
    /// Too long to be read.
    pub too_long: u64,
    /// Received before the line above it, as they say: taken as received with it.
    pub backwards: u64,
    /// The same bytes at the same instant again: passed over.
    pub duplicates: u64,
}

/// What an entry is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EntryKind {
    /// A message, or the body of an HTTP reply.
    #[default]
    Frame,
    /// The recorder made a connection anew.
    Reconnect,
}

/// One entry of the merged recording; its room is used again for the next.
#[derive(Clone, Debug, Default)]
pub struct Entry {
    /// Index of the venue.
    pub venue: usize,
    /// Index of the file in the order given.
    pub file: usize,
    /// Line number, from 1.
    pub number: u64,
    /// When it was received, ns since the Unix epoch; never less than that of the entry before.
    pub time: Nanos,
    /// What it is.
    pub kind: EntryKind,
    /// No other message of the venue was received at the same instant after it.
    pub last: bool,
    /// The message.
    pub payload: Vec<u8>,
    /// The symbol that the URL of an HTTP reply names.
    pub symbol: Vec<u8>,
    /// The URL of an HTTP reply.
    pub url: Vec<u8>,
}

struct Feed {
    venue: usize,
    file: usize,
    path: PathBuf,
    lines: Lines,
    head: Option<(Nanos, EntryKind)>,
    last: Nanos,
    /// A message of it was seen.
    begun: bool,
}

/// The merge.
pub struct Merge {
    feeds: Vec<Feed>,
    counts: Vec<LineCounts>,
    /// By venue: the instant of its latest message, and what came at it (length, checksum).
    latest: Vec<(Nanos, Vec<(usize, u32)>)>,
    unreadable: Vec<CliError>,
    remarks: Vec<String>,
    read: Arc<AtomicU64>,
}

impl Merge {
    /// Opens the files; each with the index of its venue.
    ///
    /// # Errors
    /// [`CliError::Read`] for a file that cannot be opened.
    pub fn open(files: &[(usize, PathBuf)]) -> Result<Self, CliError> {
        let venues = files.iter().map(|(venue, _)| venue + 1).max().unwrap_or(0);
        let read = Arc::new(AtomicU64::new(0));
        let mut merge = Self {
            feeds: Vec::new(),
            counts: vec![LineCounts::default(); venues],
            latest: vec![(Nanos::MIN, Vec::new()); venues],
            unreadable: Vec::new(),
            remarks: Vec::new(),
            read: Arc::clone(&read),
        };
        for (file, (venue, path)) in files.iter().enumerate() {
            let lines = Lines::open_counted(file, path, Arc::clone(&read))
                .map_err(|source| CliError::Read { path: path.clone(), source })?;
            let (venue, path) = (*venue, path.clone());
            merge.feeds.push(Feed { venue, file, path, lines, head: None, last: 0, begun: false });
            merge.go_on(file);
        }
        Ok(merge)
    }

    /// Takes the next entry; false at the end of all.
    pub fn next(&mut self, entry: &mut Entry) -> bool {
        loop {
            let heads = self.feeds.iter().enumerate();
            let first = heads.filter_map(|(at, feed)| Some((feed.head?.0, at))).min();
            let Some((time, at)) = first else { return false };
            let feed = &self.feeds[at];
            let line = feed.lines.line();
            (entry.venue, entry.file, entry.number) = (feed.venue, feed.file, line.number);
            (entry.time, entry.kind) = (time, feed.head.map_or(EntryKind::Frame, |head| head.1));
            let parts = [line.payload, line.url_symbol, line.url];
            for (to, part) in [&mut entry.payload, &mut entry.symbol, &mut entry.url].into_iter().zip(parts) {
                to.clear();
                to.extend_from_slice(part);
            }
            self.go_on(at);
            if entry.kind == EntryKind::Frame && self.is_repeated(entry) {
                continue;
            }
            let seen = &self.latest[entry.venue].1;
            entry.last = !self.feeds.iter().any(|feed| {
                feed.venue == entry.venue
                    && feed.head == Some((entry.time, EntryKind::Frame))
                    && !seen.contains(&print(feed.lines.line().payload))
            });
            return true;
        }
    }

    /// Counts of a venue's lines.
    pub fn counts(&self, venue: usize) -> LineCounts {
        self.counts.get(venue).copied().unwrap_or_default()
    }

    /// Files that could not be read to their end.
    pub fn unreadable(&self) -> &[CliError] {
        &self.unreadable
    }

    /// Remarks about single lines since the last call.
    pub fn take_remarks(&mut self) -> Vec<String> {
        std::mem::take(&mut self.remarks)
    }

    /// Bytes read from the files so far.
    pub fn bytes_read(&self) -> u64 {
        self.read.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Whether the venue has brought the same bytes at this instant already.
    fn is_repeated(&mut self, entry: &Entry) -> bool {
        let (time, seen) = &mut self.latest[entry.venue];
        if *time != entry.time {
            *time = entry.time;
            seen.clear();
        }
        let print = print(&entry.payload);
        if !seen.contains(&print) {
            seen.push(print);
            return false;
        }
        let counts = &mut self.counts[entry.venue];
        counts.duplicates += 1;
        if counts.duplicates <= TOLD_MAX {
            let name = capture::name(&self.feeds[entry.file].path);
            self.remarks.push(format!("{name}: line {}: the same again, passed over", entry.number));
        }
        true
    }

    /// Moves a feed to its next line that has a place in the merge.
    fn go_on(&mut self, at: usize) {
        let Self { feeds, counts, unreadable, remarks, .. } = self;
        let feed = &mut feeds[at];
        let counts = &mut counts[feed.venue];
        feed.head = None;
        loop {
            match feed.lines.advance() {
                Ok(true) => {}
                Ok(false) => return,
                Err(source) => {
                    unreadable.push(CliError::Read { path: feed.path.clone(), source });
                    return;
                }
            }
            counts.lines += 1;
            let line = feed.lines.line();
            let mut say = |count: u64, what: &str| {
                if count <= TOLD_MAX {
                    remarks.push(format!("{}: line {}: {what}", capture::name(&feed.path), line.number));
                }
            };
            let time = stamp::parse(line.received);
            let kind = match (line.kind, time) {
                (LineKind::TooLong, _) => {
                    counts.too_long += 1;
                    say(counts.too_long, "longer than any message, passed over");
                    continue;
                }
                // The first one of a file only says that the recorder began.
                (LineKind::Recorder("connect"), Some(_)) if feed.begun => EntryKind::Reconnect,
                (LineKind::Recorder(_), _) => {
                    counts.recorder += 1;
                    continue;
                }
                (LineKind::Frame, Some(_)) => EntryKind::Frame,
                (LineKind::Frame, None) => {
                    counts.untimed += 1;
                    say(counts.untimed, "no receive time, passed over");
                    continue;
                }
            };
            let time = time.unwrap_or(feed.last);
            if time < feed.last {
                counts.backwards += 1;
                say(counts.backwards, "received before the line above it: taken as received with it");
            }
            feed.last = feed.last.max(time);
            feed.begun |= kind == EntryKind::Frame;
            feed.head = Some((feed.last, kind));
            return;
        }
    }
}

/// What tells messages of one instant apart.
fn print(payload: &[u8]) -> (usize, u32) {
    (payload.len(), crc32c::crc32c(payload))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fmt::Write as _;

    const BASE: i64 = 1_700_000_000_000_000_000;

    /// Time, file, line, and whether it is the last of its burst.
    type Place = (i64, usize, u64, bool);

    fn merged(files: &[(usize, Vec<i64>)]) -> (Vec<Place>, Vec<LineCounts>) {
        let dir = crate::cli::demo::tempdir().unwrap();
        let mut opened = Vec::new();
        for (at, (venue, times)) in files.iter().enumerate() {
            let mut text = String::new();
            for (line, time) in times.iter().enumerate() {
                let _ = writeln!(text, "{} {{\"f\":{at},\"l\":{line}}}", BASE + time);
            }
            let path = dir.join(at.to_string());
            std::fs::write(&path, text).unwrap();
            opened.push((*venue, path));
        }
        let mut merge = Merge::open(&opened).unwrap();
        let (mut entry, mut out) = (Entry::default(), Vec::new());
        while merge.next(&mut entry) {
            out.push((entry.time - BASE, entry.file, entry.number, entry.last));
        }
        (out, (0..3).map(|venue| merge.counts(venue)).collect())
    }

    proptest! {
        #[test]
        fn the_merge_is_complete_in_order_of_time_and_keeps_each_files_own_order(
            files in proptest::collection::vec(
                (0usize..3, proptest::collection::vec(0i64..40, 0..30)), 1..5),
        ) {
            let (out, counts) = merged(&files);
            prop_assert_eq!(out.len(), files.iter().map(|(_, times)| times.len()).sum::<usize>());
            prop_assert!(out.windows(2).all(|two| (two[0].0, two[0].1) <= (two[1].0, two[1].1)
                || two[0].0 < two[1].0), "{out:?}");
            let mut backwards = 0;
            for (file, (venue, times)) in files.iter().enumerate() {
                let own: Vec<_> = out.iter().filter(|entry| entry.1 == file).collect();
                let mut most = i64::MIN;
                for (line, time) in times.iter().enumerate() {
                    backwards += u64::from(*time < most);
                    most = most.max(*time);
                    prop_assert_eq!((own[line].0, own[line].2), (most, line as u64 + 1));
                }
                // A burst ends where the venue has nothing more at the same instant.
                for (at, entry) in out.iter().enumerate().filter(|(_, entry)| entry.1 == file) {
                    let more = out[at + 1..].iter().any(|next| next.0 == entry.0 && files[next.1].0 == *venue);
                    prop_assert_eq!(entry.3, !more);
                }
            }
            prop_assert_eq!(counts.iter().map(|counts| counts.backwards).sum::<u64>(), backwards);
        }
    }

    #[test]
    fn lines_without_a_place_are_counted_and_what_follows_is_not_lost() {
        let dir = crate::cli::demo::tempdir().unwrap();
        let (one, two) = (dir.join("one"), dir.join("two"));
        let text = "wss://x <-> 1700000000.5\nconfiguration: {}\n{\"untimed\":1}\n1700000001.0: {\"a\":1}\n\
                    1700000001.0: {\"a\":1}\n1700000000.9: {\"b\":1}\nwss://x <-> 1700000002.5\n1700000003.0: {\"c\":1}\n";
        std::fs::write(&one, text).unwrap();
        std::fs::write(&two, "1700000001000 {\"a\":1}\n1700000001000 {\"d\":1}\n").unwrap();
        let mut merge = Merge::open(&[(0, one), (0, two)]).unwrap();
        let (mut entry, mut out) = (Entry::default(), Vec::new());
        while merge.next(&mut entry) {
            out.push((String::from_utf8(entry.payload.clone()).unwrap(), entry.kind));
        }
        let frames: Vec<&str> =
            out.iter().filter(|(_, kind)| *kind == EntryKind::Frame).map(|(text, _)| text.as_str()).collect();
        assert_eq!(frames, [r#"{"a":1}"#, r#"{"b":1}"#, r#"{"d":1}"#, r#"{"c":1}"#]);
        assert_eq!(out.len(), 5, "one reconnect: {out:?}");
        let counts = merge.counts(0);
        let expected =
            LineCounts { lines: 10, recorder: 2, untimed: 1, too_long: 0, backwards: 1, duplicates: 2 };
        assert_eq!(counts, expected);
        let remarks = merge.take_remarks();
        assert!(remarks.iter().any(|said| said.contains("one: line 3: no receive time")), "{remarks:?}");
        assert!(remarks.iter().any(|said| said.contains("two: line 1: the same again")), "{remarks:?}");
    }
}
