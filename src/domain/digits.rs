//! Decimal digits sixteen bytes at a time: plain integer arithmetic on two words, no `unsafe`, no lookup.
//!
//! A number as venues write it (`61800.20`, `1700000001000`) is found, measured and converted without a loop and
//! without a branch per digit. What does not fit the sixteen bytes is left to [`Num::parse`], which is also what
//! the property tests compare with.
//!
//! [`Num::parse`]: super::number::Num::parse

/// `0x01` in every byte.
const ONES: u64 = 0x0101_0101_0101_0101;
/// The top bit of every byte.
const TOPS: u64 = 0x8080_8080_8080_8080;
/// `'0'` in every byte.
const ZEROS: u64 = 0x3030_3030_3030_3030;

/// Powers of ten.
const TENS: [u64; 8] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000];

/// An unsigned decimal at the start of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Its digits as an integer, below 10¹⁵.
    pub mantissa: i64,
    /// Digits behind the point.
    pub scale: u8,
    /// Bytes that it takes, 1 to 15. The byte behind it is no digit; whether it may stand there is for the caller.
    pub len: u8,
}

/// The decimal that `text` starts with: digits, or digits, point and digits, ended by another byte within the
/// sixteen. `None` = longer, or not of that form.
#[inline(always)]
pub fn run(text: &[u8; 16]) -> Option<Run> {
    let values = word(text, 0)? ^ ZEROS;
    let ends = others(values);
    if ends == 0 {
        return integer(text, values);
    }
    let bits = ends.trailing_zeros() & !7;
    let point = (values >> bits) as u8 == b'.' ^ b'0';
    // Behind the point, or at the end: then no digit follows, and all below is for nothing but no branch.
    let from = (bits / 8) as usize + usize::from(point);
    let behind = word(text, from)? ^ ZEROS;
    let ends = others(behind);
    if ends == 0 {
        return long(text);
    }
    let scale = (ends.trailing_zeros() / 8) as usize;
    if bits == 0 || (point && scale == 0) {
        return None;
    }
    let whole = eight(values << (64 - bits));
    let mantissa = whole * TENS[scale & 7] + eight(first(behind, scale));
    Some(Run { mantissa: mantissa as i64, scale: scale as u8, len: (from + scale) as u8 })
}

/// [`run`] where the first eight bytes are digits: mostly times and ids.
#[inline(always)]
fn integer(text: &[u8; 16], values: u64) -> Option<Run> {
    let behind = word(text, 8)? ^ ZEROS;
    let ends = others(behind);
    if ends == 0 {
        return None;
    }
    let count = (ends.trailing_zeros() / 8) as usize;
    if text[(8 + count) & 15] == b'.' {
        return long(text);
    }
    let mantissa = eight(values) * TENS[count & 7] + eight(first(behind, count));
    Some(Run { mantissa: mantissa as i64, scale: 0, len: (8 + count) as u8 })
}

/// [`run`] with a point behind more than seven digits, or more than seven digits behind it.
#[inline(never)]
fn long(text: &[u8; 16]) -> Option<Run> {
    let (low, high) = (word(text, 0)? ^ ZEROS, word(text, 8)? ^ ZEROS);
    let ends = u128::from(others(low)) | (u128::from(others(high)) << 64);
    let values = u128::from(low) | (u128::from(high) << 64);
    let first = ends.trailing_zeros() & !7;
    let rest = ends & ends.wrapping_sub(1);
    if rest == 0 {
        return None;
    }
    let last = rest.trailing_zeros() & !7;
    if first == 0 || (values >> first) as u8 != b'.' ^ b'0' || last == first + 8 {
        return None;
    }
    // The point is taken out: the digits behind it move down by one byte. Then all move to the top.
    let before = (1u128 << first) - 1;
    let joined = ((values & before) | ((values >> 8) & !before)) << (136 - last);
    let mantissa = eight(joined as u64) * 100_000_000 + eight((joined >> 64) as u64);
    let (scale, len) = (((last - first) / 8 - 1) as u8, (last / 8) as u8);
    Some(Run { mantissa: mantissa as i64, scale, len })
}

/// Eight bytes from `from` on.
#[inline(always)]
fn word(text: &[u8; 16], from: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*text.get(from..)?.first_chunk()?))
}

/// The first `count` of eight digits' values, up to seven, moved to the top.
#[inline(always)]
const fn first(values: u64, count: usize) -> u64 {
    (values << (63 - 8 * (count & 7))) << 1
}

/// The decimal that is the whole of `text`, up to fifteen bytes; `None` = another form, or longer.
#[inline]
pub fn whole(text: &[u8]) -> Option<Run> {
    let mut padded = [0u8; 16];
    match text.len() {
        8..=15 => {
            let (head, tail) = (text.first_chunk::<8>()?, text.last_chunk::<8>()?);
            let (head, tail) = (u64::from_le_bytes(*head), u64::from_le_bytes(*tail));
            let joined = u128::from(head) | (u128::from(tail) << (8 * (text.len() - 8)));
            padded = joined.to_le_bytes();
        }
        4..=7 => {
            let (head, tail) = (text.first_chunk::<4>()?, text.last_chunk::<4>()?);
            let (head, tail) = (u32::from_le_bytes(*head), u32::from_le_bytes(*tail));
            let joined = u128::from(head) | (u128::from(tail) << (8 * (text.len() - 4)));
            padded = joined.to_le_bytes();
        }
        1..=3 => {
            for (to, from) in padded.iter_mut().zip(text) {
                *to = *from;
            }
        }
        _ => return None,
    }
    run(&padded).filter(|run| usize::from(run.len) == text.len())
}

/// Marks (by their top bit) the bytes that are no digit's value.
#[inline(always)]
const fn others(values: u64) -> u64 {
    // 0x76 + 10 sets the top bit; bytes above 0x7f are marked by their own.
    (((values & !TOPS) + (ONES * 0x76)) | values) & TOPS
}

/// The integer of eight digits' values, the most significant in the lowest byte: pairs, then fours, then all.
#[inline(always)]
const fn eight(values: u64) -> u64 {
    const MASK: u64 = 0x0000_00ff_0000_00ff;
    let pairs = values.wrapping_mul(10).wrapping_add(values >> 8);
    let high = (pairs & MASK).wrapping_mul(100 + (1_000_000 << 32));
    let low = ((pairs >> 16) & MASK).wrapping_mul(1 + (10_000 << 32));
    high.wrapping_add(low) >> 32
}

/// How many digits `text` starts with.
#[inline(always)]
pub const fn leading(text: [u8; 8]) -> usize {
    others(u64::from_le_bytes(text) ^ ZEROS).trailing_zeros() as usize / 8
}

/// Where the first byte stands that ends or complicates a JSON string: a quote, a backslash, a control or a byte
/// above ASCII; 8 = none of the eight.
#[inline(always)]
pub const fn string_stop(text: [u8; 8]) -> usize {
    let x = u64::from_le_bytes(text);
    let quote = (x ^ (ONES * b'"' as u64)).wrapping_sub(ONES);
    let backslash = (x ^ (ONES * b'\\' as u64)).wrapping_sub(ONES);
    let control = x.wrapping_sub(ONES * 0x20);
    // A borrow marks only bytes above one that is marked rightly.
    ((quote | backslash | control | x) & TOPS).trailing_zeros() as usize / 8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::number::Num;
    use proptest::prelude::*;

    /// Byte by byte, the obvious way.
    fn slowly(text: &[u8]) -> Option<Run> {
        let digits = |from: usize| text[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let whole = digits(0);
        let mut len = whole;
        let mut scale = 0;
        if text.get(whole) == Some(&b'.') {
            scale = digits(whole + 1);
            len = whole + 1 + scale;
            if scale == 0 {
                return None;
            }
        }
        if whole == 0 || len >= text.len() {
            return None;
        }
        let num = Num::parse(&text[..len]).ok()?;
        Some(Run { mantissa: num.mantissa, scale: scale as u8, len: len as u8 })
    }

    #[test]
    fn strings_stop_where_they_end_or_get_difficult() {
        for (text, at) in [
            (b"BTCUSDT\"", 7),
            (b"\"BTCUSDT", 0),
            (b"ab\\\"cdef", 2),
            (b"abcdefgh", 8),
            (b"abc\x1fdefg", 3),
            (b"abc\x80defg", 3),
            (b"ab #!~\x7f\"", 7),
            (b"\xff\x00\"\\abcd", 0),
        ] {
            assert_eq!(string_stop(*text), at, "{}", text.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn sixteen_bytes_read_at_once_are_those_read_one_by_one(
            text in proptest::array::uniform16(prop::sample::select(b"0123456789012345678901234567890123456789.\"-e,".to_vec())),
        ) {
            prop_assert_eq!(run(&text), slowly(&text));
        }

        #[test]
        fn arbitrary_bytes_are_not_mistaken_for_digits(text in proptest::array::uniform16(any::<u8>())) {
            prop_assert_eq!(run(&text), slowly(&text));
        }

        #[test]
        fn a_whole_text_is_read_or_left(text in "[0-9]{0,9}[.]?[0-9]{0,9}x?") {
            let bytes = text.as_bytes();
            let ended: Vec<u8> = bytes.iter().copied().chain([0]).collect();
            let expected = slowly(&ended).filter(|run| bytes.len() < 16 && usize::from(run.len) == bytes.len());
            prop_assert_eq!(whole(bytes), expected);
        }

        #[test]
        fn strings_stop_at_the_first_stop(text in proptest::array::uniform8(any::<u8>())) {
            let stop = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..=0x1f | 0x80..);
            prop_assert_eq!(string_stop(text), text.iter().position(stop).unwrap_or(8));
            prop_assert_eq!(leading(text), text.iter().take_while(|byte| byte.is_ascii_digit()).count());
        }
    }
}
