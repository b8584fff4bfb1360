//! The byte layout of a journal: where every field lies, how it is checked. Nothing here opens a file.
//! `docs/JOURNAL.md` shows the same tables; change both together and raise [`VERSION`].
//!
//! All numbers are little-endian. A segment is one page of header and then records:
//!
//! ```text
//! segment header (4096 bytes)
//! offset  size  field
//!      0     8  magic "PERPJRNL"
//!      8     4  format version (2; 1 is read too)
//!     12     4  header bytes (4096)
//!     16     8  schema hash: the meaning of kinds and bodies, chosen by the writer
//!     24    16  run id
//!     40     4  stream (0 inputs, 1 outputs)
//!     44     4  zero
//!     48     8  ordinal of the segment in its stream, from 0
//!     56     8  base sequence: sequence of the segment's first record
//!     64     8  segment bytes, this header included
//!     72     8  anchor: time-stamp counter
//!     80     8  anchor: wall clock, ns since the Unix epoch
//!     88    32  SHA-256 of the manifest's configuration hash
//!    120    32  host fingerprint
//!    152  3940  zero
//!   4092     4  CRC32C of bytes 0..4092
//!
//! record (32-byte aligned)
//! offset  size  field
//!      0     4  length: 32 + body bytes; written last with release order; 0 = empty
//!      4     4  CRC32C of run id, length, position in the stream (since version 2), bytes 8..length
//!      8     2  kind (0 = padding)
//!     10     1  class
//!     11     1  flags: bit 0 continues the record before, bit 1 padding
//!     12     4  rest: body bytes that follow in continuing records (0 = last)
//!     16     8  sequence
//!     24     8  event time, ns
//!     32     n  body, then zeros to the next multiple of 32
//! ```
//!
//! A padding record reaches exactly to the segment's end; its checksum covers the header only, its body is
//! zero.

pub use super::checksum::{crc_seed, record_crc};
use super::error::DamageKind;

/// Version of this layout.
pub const VERSION: u32 = 2;
/// The oldest that is read. Version 1 did not check a record's position.
pub const VERSION_OLDEST: u32 = 1;
/// First bytes of every segment.
pub const MAGIC: [u8; 8] = *b"PERPJRNL";
/// Size of a segment's header.
pub const HEADER_BYTES: usize = 4096;
/// Records begin at multiples of this.
pub const ALIGN: usize = 32;
/// Size of a record without its body.
pub const RECORD_HEADER_BYTES: usize = 32;
/// Largest body that a record (with its continuations) may have.
pub const BODY_BYTES_MAX: usize = 64 << 20;
/// Smallest segment: a header and a page of records.
pub const SEGMENT_BYTES_MIN: usize = 2 * HEADER_BYTES;
/// Largest segment: offsets and lengths fit `u32`.
pub const SEGMENT_BYTES_MAX: usize = 1 << 30;

/// The record continues the body of the record before.
pub const FLAG_CONTINUES: u8 = 1;
/// The record fills the rest of the segment.
pub const FLAG_PADDING: u8 = 2;

const _: () = assert!(RECORD_HEADER_BYTES == ALIGN && HEADER_BYTES.is_multiple_of(ALIGN));
const _: () = assert!(SEGMENT_BYTES_MAX < u32::MAX as usize);
const _: () = assert!(BODY_BYTES_MAX < SEGMENT_BYTES_MAX);

/// One of the two streams of a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// Everything that changes state, in its one sequence.
    Inputs,
    /// Everything that the stages made of it.
    Outputs,
}

impl Stream {
    /// Both streams.
    pub const ALL: [Self; 2] = [Self::Inputs, Self::Outputs];

    /// `inputs` or `outputs`: the first part of file names.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Inputs => "inputs",
            Self::Outputs => "outputs",
        }
    }

    /// The number in a segment's header.
    pub const fn code(self) -> u32 {
        match self {
            Self::Inputs => 0,
            Self::Outputs => 1,
        }
    }
}

impl std::fmt::Display for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// Rounds up to the next record boundary.
pub const fn align(bytes: usize) -> usize {
    bytes.next_multiple_of(ALIGN)
}

/// File name of a segment: `inputs-000002-00000000000000004711.seg`.
pub fn segment_name(stream: Stream, ordinal: u64, base_seq: u64) -> String {
    format!("{}.seg", segment_stem(stream, ordinal, base_seq))
}

/// The same without its ending.
pub(super) fn segment_stem(stream: Stream, ordinal: u64, base_seq: u64) -> String {
    format!("{}-{ordinal:06}-{base_seq:020}", stream.name())
}

/// Ordinal and base sequence of a segment's file name, raw (`.seg`) or packed (`.seg.zst`); `None` when it is
/// another file's.
pub fn parse_segment_name(stream: Stream, name: &str) -> Option<(u64, u64)> {
    let name = name.strip_suffix(".zst").unwrap_or(name);
    let rest = name.strip_prefix(stream.name())?.strip_prefix('-')?.strip_suffix(".seg")?;
    let (ordinal, base) = rest.split_once('-')?;
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    if !digits(ordinal) || !digits(base) {
        return None;
    }
    Some((ordinal.parse().ok()?, base.parse().ok()?))
}

fn get<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}

/// The header of a segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Version of the layout.
    pub version: u32,
    /// Meaning of kinds and bodies.
    pub schema_hash: u64,
    /// The run that wrote it.
    pub run_id: u128,
    /// [`Stream::code`].
    pub stream: u32,
    /// Number of the segment in its stream, from 0.
    pub ordinal: u64,
    /// Sequence of its first record.
    pub base_seq: u64,
    /// Size of the segment, header included.
    pub segment_bytes: u64,
    /// Time-stamp counter at the anchor.
    pub anchor_tsc: u64,
    /// Wall clock at the anchor, ns since the Unix epoch.
    pub anchor_wall_ns: i64,
    /// Hash of the configuration.
    pub configuration_hash: [u8; 32],
    /// Hash of the host's description.
    pub host_fingerprint: [u8; 32],
}

impl SegmentHeader {
    /// Writes the header page.
    pub fn encode(&self, page: &mut [u8; HEADER_BYTES]) {
        page.fill(0);
        page[0..8].copy_from_slice(&MAGIC);
        page[8..12].copy_from_slice(&self.version.to_le_bytes());
        page[12..16].copy_from_slice(&(HEADER_BYTES as u32).to_le_bytes());
        page[16..24].copy_from_slice(&self.schema_hash.to_le_bytes());
        page[24..40].copy_from_slice(&self.run_id.to_le_bytes());
        page[40..44].copy_from_slice(&self.stream.to_le_bytes());
        page[48..56].copy_from_slice(&self.ordinal.to_le_bytes());
        page[56..64].copy_from_slice(&self.base_seq.to_le_bytes());
        page[64..72].copy_from_slice(&self.segment_bytes.to_le_bytes());
        page[72..80].copy_from_slice(&self.anchor_tsc.to_le_bytes());
        page[80..88].copy_from_slice(&self.anchor_wall_ns.to_le_bytes());
        page[88..120].copy_from_slice(&self.configuration_hash);
        page[120..152].copy_from_slice(&self.host_fingerprint);
        let crc = crc32c::crc32c(&page[..HEADER_BYTES - 4]);
        page[HEADER_BYTES - 4..].copy_from_slice(&crc.to_le_bytes());
    }

    /// Reads and checks a header page; the version is checked before the rest.
    pub fn decode(page: &[u8]) -> Result<Self, DamageKind> {
        if page.len() < HEADER_BYTES || page[0..8] != MAGIC {
            return Err(DamageKind::NotASegment);
        }
        let version = u32::from_le_bytes(get(page, 8));
        let crc = u32::from_le_bytes(get(page, HEADER_BYTES - 4));
        if crc != crc32c::crc32c(&page[..HEADER_BYTES - 4]) {
            return Err(DamageKind::Header);
        }
        if !(VERSION_OLDEST..=VERSION).contains(&version) {
            return Err(DamageKind::Version { found: version });
        }
        Ok(Self {
            version,
            schema_hash: u64::from_le_bytes(get(page, 16)),
            run_id: u128::from_le_bytes(get(page, 24)),
            stream: u32::from_le_bytes(get(page, 40)),
            ordinal: u64::from_le_bytes(get(page, 48)),
            base_seq: u64::from_le_bytes(get(page, 56)),
            segment_bytes: u64::from_le_bytes(get(page, 64)),
            anchor_tsc: u64::from_le_bytes(get(page, 72)),
            anchor_wall_ns: i64::from_le_bytes(get(page, 80)),
            configuration_hash: get(page, 88),
            host_fingerprint: get(page, 120),
        })
    }
}

/// The header of a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordHeader {
    /// 32 + body bytes.
    pub length: u32,
    /// Checksum as stored.
    pub crc: u32,
    /// What the body is; 0 = padding.
    pub kind: u16,
    /// The input's class.
    pub class: u8,
    /// `FLAG_*`.
    pub flags: u8,
    /// Body bytes in continuing records after this one.
    pub rest: u32,
    /// Sequence.
    pub seq: u64,
    /// Event time, ns.
    pub time_ns: i64,
}

impl RecordHeader {
    /// Writes bytes 8..32; length and checksum come when the body is in place.
    pub fn encode_fields(&self, at: &mut [u8]) {
        // One store: the checksum reads these eight bytes at once, and would wait for four narrow ones.
        let [kind, rest] = [u64::from(self.kind), u64::from(self.rest) << 32];
        let word = kind | u64::from(self.class) << 16 | u64::from(self.flags) << 24 | rest;
        at[8..16].copy_from_slice(&word.to_le_bytes());
        at[16..24].copy_from_slice(&self.seq.to_le_bytes());
        at[24..32].copy_from_slice(&self.time_ns.to_le_bytes());
    }

    /// Reads the 32 bytes of a header, unchecked.
    pub fn decode(bytes: &[u8; RECORD_HEADER_BYTES]) -> Self {
        Self {
            length: u32::from_le_bytes(get(bytes, 0)),
            crc: u32::from_le_bytes(get(bytes, 4)),
            kind: u16::from_le_bytes(get(bytes, 8)),
            class: bytes[10],
            flags: bytes[11],
            rest: u32::from_le_bytes(get(bytes, 12)),
            seq: u64::from_le_bytes(get(bytes, 16)),
            time_ns: i64::from_le_bytes(get(bytes, 24)),
        }
    }

    /// True for a padding record.
    pub fn is_padding(&self) -> bool {
        self.flags & FLAG_PADDING != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_header_survives_the_round_trip_and_any_flipped_byte_is_noticed() {
        let header = SegmentHeader {
            version: VERSION,
            schema_hash: 7,
            run_id: 0xabcd_ef01,
            stream: 1,
            ordinal: 3,
            base_seq: 99,
            segment_bytes: 65536,
            anchor_tsc: 5,
            anchor_wall_ns: -6,
            configuration_hash: [9; 32],
            host_fingerprint: [8; 32],
        };
        let mut page = [0; HEADER_BYTES];
        header.encode(&mut page);
        assert_eq!(SegmentHeader::decode(&page), Ok(header));
        for at in 0..HEADER_BYTES {
            page[at] ^= 0x10;
            assert!(SegmentHeader::decode(&page).is_err(), "byte {at}");
            page[at] ^= 0x10;
        }
    }

    #[test]
    fn segment_names_sort_in_writing_order_and_parse_back() {
        let name = segment_name(Stream::Inputs, 2, 4711);
        assert_eq!(name, "inputs-000002-00000000000000004711.seg");
        assert_eq!(parse_segment_name(Stream::Inputs, &name), Some((2, 4711)));
        assert_eq!(parse_segment_name(Stream::Outputs, &name), None);
        assert_eq!(parse_segment_name(Stream::Inputs, "inputs-+1-2.seg"), None);
        assert_eq!(parse_segment_name(Stream::Inputs, "inputs.next"), None);
    }
}
