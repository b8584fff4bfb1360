//! Journals of older layouts stay readable.

use super::*;
use crate::journal::layout::{RecordHeader, crc_seed, record_crc};

/// Turns a journal of today into one of version 1: the header says so, and checksums do not know positions.
fn age(path: &Path) {
    let mut bytes = fs::read(path).expect("segment");
    let header = SegmentHeader { version: 1, ..SegmentHeader::decode(&bytes).expect("header") };
    header.encode(bytes.first_chunk_mut().expect("a page"));
    let mut at = HEADER_BYTES;
    while at + RECORD_HEADER_BYTES <= bytes.len() {
        let record = RecordHeader::decode(bytes[at..].first_chunk().expect("aligned"));
        let length = record.length as usize;
        if length == 0 {
            break;
        }
        let covered = if record.is_padding() { RECORD_HEADER_BYTES } else { length };
        let crc = record_crc(crc_seed(header.run_id), None, record.length, &bytes[at + 8..at + covered]);
        bytes[at + 4..at + 8].copy_from_slice(&crc.to_le_bytes());
        at += align(length);
    }
    fs::write(path, bytes).expect("segment");
}

#[test]
fn a_journal_of_version_1_reads_seeks_packs_and_recovers() {
    let scratch = Scratch::new();
    let lens: Vec<usize> = (0..60).map(|i| [40, 900, 20_000][i % 3]).collect();
    let writer = write(&scratch.0, Stream::Inputs, &small(), &lens);
    let segments = writer.stats().segments as usize;
    writer.close().expect("close");
    (0..segments).for_each(|ordinal| age(&segment(&scratch.0, Stream::Inputs, ordinal)));
    assert_eq!(read(&scratch.0, Stream::Inputs, &lens), (60, None));
    assert_eq!(verify(&scratch.0).expect("readable").damages(), 0);
    assert!(pack(&scratch.0, 3).expect("undamaged").packed > 0);
    let mut reader = Reader::open(&scratch.0, Stream::Inputs).expect("open");
    reader.seek(31).expect("whole");
    assert_eq!(reader.next().expect("whole").map(|r| (r.seq, r.index)), Some((31, 30)));
    assert!(recover(&scratch.0).expect("whole").clean());
}

#[test]
fn a_whole_record_in_anothers_place_does_not_pass_in_either_stream() {
    for stream in Stream::ALL {
        let scratch = Scratch::new();
        drop(write(&scratch.0, stream, &small(), &[64; 9]));
        let path = segment(&scratch.0, stream, 0);
        let bytes = fs::read(&path).expect("segment");
        let at = |n: usize| HEADER_BYTES + n * 96;
        poke(&path, at(3) as u64, &bytes[at(5)..at(6)]);
        poke(&path, at(5) as u64, &bytes[at(3)..at(4)]);
        let (n, error) = read(&scratch.0, stream, &[64; 9]);
        assert!(
            n == 3 && matches!(&error, Some(JournalError::Damaged(d)) if d.offset == at(3) as u64),
            "{error:?}"
        );
    }
}
