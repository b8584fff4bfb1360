//! A journal whose files were edited: nothing false is ever read, and what recovery leaves reads cleanly.

use perpring::journal::{
    JournalError, JournalOptions, Manifest, Reader, Record, RunId, Stream, Writer, recover, verify,
};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// Bodies of the records of both streams: short ones, an empty one, and some that span segments.
const LENGTHS: [usize; 14] = [40, 0, 700, 1, 33, 9_000, 64, 2_000, 31, 32, 4_060, 5, 800, 120];

/// Name and bytes of every file of a small journal.
type Files = Vec<(String, Vec<u8>)>;

struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("perpring-fuzz-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn body(index: usize) -> Vec<u8> {
    (0..LENGTHS[index]).map(|at| (index * 31 + at * 7) as u8 | 1).collect()
}

/// Two journals: one closed in order, one abandoned by its writer.
fn originals() -> &'static [Files; 2] {
    static FILES: OnceLock<[Files; 2]> = OnceLock::new();
    FILES.get_or_init(|| [true, false].map(write))
}

fn write(close: bool) -> Files {
    let scratch = Scratch::new();
    let manifest = Manifest { run_id: RunId(77), logic_version: 1, ..Manifest::default() };
    let options = JournalOptions { segment_bytes: 8_192, helper: false, ..JournalOptions::default() };
    for stream in Stream::ALL {
        let mut writer = Writer::create(&scratch.0, stream, &manifest, &options).expect("temporary disk");
        for index in 0..LENGTHS.len() {
            let (seq, body) = (index as u64 + 1, body(index));
            let record = Record { kind: 4, class: 1, seq, time_ns: seq as i64, parts: &[&body] };
            writer.append(&record).expect("temporary disk");
        }
        if close {
            writer.close().expect("temporary disk");
        }
    }
    let entries =
        fs::read_dir(&scratch.0).expect("just written").map(|entry| entry.expect("readable").path());
    let mut paths: Vec<PathBuf> = entries.collect();
    paths.sort();
    let name = |path: &Path| path.file_name().expect("a file").to_string_lossy().into_owned();
    paths.iter().map(|path| (name(path), fs::read(path).expect("just written"))).collect()
}

/// `data`: which journal, then edits of six bytes: file, kind, place (2 bytes), length, value.
fn edited(data: &[u8]) -> Files {
    let mut files = originals()[usize::from(data.first().is_some_and(|byte| byte % 2 == 1))].clone();
    for edit in data.get(1..).unwrap_or_default().chunks_exact(6).take(16) {
        let count = files.len();
        let bytes = &mut files[usize::from(edit[0]) % count].1;
        if bytes.is_empty() {
            continue;
        }
        let from = usize::from(u16::from_le_bytes([edit[2], edit[3]])) % bytes.len();
        let to = (from + 1 + usize::from(edit[4])).min(bytes.len());
        match edit[1] % 5 {
            0 => bytes[from] = edit[5],
            1 => bytes[from] ^= 1 << (edit[5] % 8),
            2 => bytes[from..to].fill(0),
            3 => bytes.truncate(from),
            _ => {
                let places = bytes.len() - (to - from) + 1;
                bytes.copy_within(from..to, (from + 32 * usize::from(edit[5] % 16)) % places);
            }
        }
    }
    files
}

/// Reads a stream past damage as far as it goes; every record must be one of those written, in order.
/// Returns how many were read, and the first error.
fn read(dir: &Path, stream: Stream) -> (usize, Option<JournalError>) {
    let mut reader = match Reader::open(dir, stream) {
        Ok(reader) => reader,
        Err(error) => return (0, Some(error)),
    };
    let (mut count, mut last, mut first_error) = (0, 0, None);
    // Damage may be met more than once; a reader that never ends would be caught here too.
    for _ in 0..10 * LENGTHS.len() {
        match reader.next() {
            Ok(Some(record)) => {
                let index = record.seq as usize - 1;
                assert!(record.seq > last, "record {} after {last}", record.seq);
                assert_eq!((record.kind, record.class, record.time_ns), (4, 1, record.seq as i64));
                assert!(record.body == body(index), "a record that nobody wrote");
                (last, count) = (record.seq, count + 1);
            }
            Ok(None) => return (count, first_error),
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    assert!(first_error.is_some(), "a stream of {} records does not end", LENGTHS.len());
    (count, first_error)
}

/// Reader, verification and recovery over an edited journal.
pub fn journal(data: &[u8]) {
    let scratch = Scratch::new();
    fs::create_dir_all(&scratch.0).expect("temporary disk");
    for (name, bytes) in edited(data) {
        fs::write(scratch.0.join(name), bytes).expect("temporary disk");
    }
    for stream in Stream::ALL {
        read(&scratch.0, stream);
    }
    let _ = verify(&scratch.0);
    let Ok(verdict) = recover(&scratch.0) else { return };
    for (stream, found) in Stream::ALL.into_iter().zip(&verdict.streams) {
        let (count, error) = read(&scratch.0, stream);
        assert!(error.is_none(), "after recovery: {error:?}");
        assert_eq!((count as u64, found.last_seq.unwrap_or(0)), (found.records, found.records), "{stream}");
    }
    assert!(recover(&scratch.0).expect("it was recovered").clean(), "recovering twice changes nothing");
}
