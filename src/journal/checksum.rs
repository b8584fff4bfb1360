//! A record's checksum: CRC32C over run id, length, position in the stream and the record itself.
//!
//! Short records take one pass of the processor's own instruction: the length and the position go straight from
//! registers into it. Through the general functions (a call for the twelve bytes in front, another for the rest) a record
//! of 128 bytes took twice as long.

/// From here on the crate's three interleaved passes are faster than one.
#[cfg(target_arch = "x86_64")]
const ONE_PASS_MAX: usize = 1024;

/// The part of a record's checksum that is the same for a whole run.
pub fn crc_seed(run_id: u128) -> u32 {
    crc32c::crc32c(&run_id.to_le_bytes())
}

/// A record's checksum; `covered` is bytes 8..length (8..32 for padding). `position` is where the record begins in
/// its stream, so that a whole record in another's place does not pass; `None` = a segment of version 1.
#[inline]
pub fn record_crc(seed: u32, position: Option<u64>, length: u32, covered: &[u8]) -> u32 {
    #[cfg(target_arch = "x86_64")]
    if let Some(position) = position
        && covered.len() < ONE_PASS_MAX
        && is_x86_feature_detected!("sse4.2")
    {
        // SAFETY: the processor has the feature that the function was compiled for; it has no other demand.
        return unsafe { one_pass(seed, position, length, covered) };
    }
    record_crc_plain(seed, position, length, covered)
}

/// The same on any processor.
fn record_crc_plain(seed: u32, position: Option<u64>, length: u32, covered: &[u8]) -> u32 {
    let mut head = [0; 12];
    head[..4].copy_from_slice(&length.to_le_bytes());
    let head = match position {
        Some(position) => {
            head[4..].copy_from_slice(&position.to_le_bytes());
            &head[..]
        }
        None => &head[..4],
    };
    crc32c::crc32c_append(crc32c::crc32c_append(seed, head), covered)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sse4.2")]
fn one_pass(seed: u32, position: u64, length: u32, covered: &[u8]) -> u32 {
    use std::arch::x86_64::{_mm_crc32_u8, _mm_crc32_u32, _mm_crc32_u64};
    let mut crc = _mm_crc32_u64(u64::from(_mm_crc32_u32(!seed, length)), position);
    let (words, rest) = covered.as_chunks::<8>();
    for word in words {
        crc = _mm_crc32_u64(crc, u64::from_le_bytes(*word));
    }
    !rest.iter().fold(crc as u32, |crc, byte| _mm_crc32_u8(crc, *byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_pass_gives_what_the_general_functions_give_at_every_length() {
        let bytes: Vec<u8> = (0..2_100_u32).map(|i| (i * 31 + i / 7) as u8).collect();
        for len in (0..300).chain([1015, 1016, 1023, 1024, 1025, 2000]) {
            for from in [0, 1, 3, 8] {
                let covered = &bytes[from..from + len];
                for (seed, position) in [(0, 0), (crc_seed(77), 4096), (u32::MAX, u64::MAX)] {
                    let length = len as u32 + 8;
                    assert_eq!(
                        record_crc(seed, Some(position), length, covered),
                        record_crc_plain(seed, Some(position), length, covered),
                        "{len} bytes from {from}"
                    );
                }
            }
        }
        assert_eq!(record_crc(5, None, 40, &bytes[..32]), record_crc_plain(5, None, 40, &bytes[..32]));
    }

    #[test]
    fn the_checksum_is_crc32c_of_all_that_it_covers_in_their_order() {
        let (run, position, length, covered) =
            (0xabcd_u128, 8_192_u64, 41_u32, b"sixteen bytes and some more");
        let mut all = run.to_le_bytes().to_vec();
        all.extend_from_slice(&length.to_le_bytes());
        all.extend_from_slice(&position.to_le_bytes());
        all.extend_from_slice(covered);
        assert_eq!(record_crc(crc_seed(run), Some(position), length, covered), crc32c::crc32c(&all));
    }
}
