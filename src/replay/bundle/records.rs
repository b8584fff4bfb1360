//! Records of a journal's stream in one piece: for each 24 bytes of header (body length `u32`, kind `u16`, class `u8`, zero,
//! sequence `u64`, event time `i64`, little-endian) and the body; all of it zstd.

use crate::journal::OwnedRecord;
use std::io::{self, Read};

const HEADER: usize = 24;
/// More is none of ours: reading it would cost memory that the file decides.
const BYTES_MAX: u64 = 1 << 30;

/// Packs records.
pub fn pack(records: &[OwnedRecord]) -> io::Result<Vec<u8>> {
    let mut plain = Vec::new();
    for record in records {
        let length = u32::try_from(record.body.len()).map_err(io::Error::other)?;
        plain.extend_from_slice(&length.to_le_bytes());
        plain.extend_from_slice(&record.kind.to_le_bytes());
        plain.extend_from_slice(&[record.class, 0]);
        plain.extend_from_slice(&record.seq.to_le_bytes());
        plain.extend_from_slice(&record.time_ns.to_le_bytes());
        plain.extend_from_slice(&record.body);
    }
    shrink(&plain)
}

/// Reads what [`pack`] wrote.
pub fn unpack(packed: &[u8]) -> io::Result<Vec<OwnedRecord>> {
    let plain = grow(packed)?;
    let (mut rest, mut records) = (&plain[..], Vec::new());
    while !rest.is_empty() {
        let cut =
            || io::Error::new(io::ErrorKind::InvalidData, format!("record {} is cut off", records.len() + 1));
        let (head, behind) = rest.split_first_chunk::<HEADER>().ok_or_else(cut)?;
        let word = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| head[at + i]));
        let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let (body, behind) = behind.split_at_checked(length).ok_or_else(cut)?;
        records.push(OwnedRecord {
            kind: u16::from_le_bytes([head[4], head[5]]),
            class: head[6],
            seq: word(8),
            time_ns: word(16).cast_signed(),
            body: body.to_vec(),
        });
        rest = behind;
    }
    Ok(records)
}

/// As zstd; small is what counts.
pub fn shrink(plain: &[u8]) -> io::Result<Vec<u8>> {
    zstd::encode_all(plain, 19)
}

/// From zstd.
pub fn grow(packed: &[u8]) -> io::Result<Vec<u8>> {
    let mut plain = Vec::new();
    zstd::Decoder::new(packed)?.take(BYTES_MAX).read_to_end(&mut plain)?;
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn records_are_read_as_they_were_packed(bodies in proptest::collection::vec(any::<Vec<u8>>(), 0..8), seq: u64) {
            let record = |body| OwnedRecord { kind: 3, class: 2, seq, time_ns: -7, body };
            let records: Vec<OwnedRecord> = bodies.into_iter().map(record).collect();
            prop_assert_eq!(unpack(&pack(&records).expect("packs")).expect("reads"), records);
        }

        #[test]
        fn anything_else_is_refused_or_read(bytes: Vec<u8>) {
            let _ = unpack(&shrink(&bytes).expect("packs"));
            let _ = unpack(&bytes);
        }
    }
}
