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

/// A point as the value of a digit.
const POINT: u8 = b'.' ^ b'0';

/// Powers of ten.
const TENS: [u64; 8] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000];

/// An unsigned decimal at the start of a text, or nothing.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::len_without_is_empty)] // `is_some`
pub struct Run {
    mantissa: u64,
    len: u32,
    scale: u32,
    next: u8,
}

impl Run {
    const NONE: Self = Self { mantissa: 0, len: 0, scale: 0, next: 0 };

    #[inline(always)]
    fn new(bad: bool, mantissa: u64, len: u32, scale: u32, next: u8) -> Self {
        Self { mantissa, len: if bad { 0 } else { len }, scale, next }
    }

    /// Whether there is one.
    #[inline(always)]
    pub const fn is_some(self) -> bool {
        self.len != 0
    }

    /// Its digits as an integer, below 10¹⁵.
    #[inline(always)]
    pub const fn mantissa(self) -> i64 {
        self.mantissa as i64
    }

    /// Bytes that it takes, 1 to 15; 0 = nothing.
    #[inline(always)]
    pub const fn len(self) -> usize {
        self.len as usize
    }

    /// Digits behind the point.
    #[inline(always)]
    pub const fn scale(self) -> u8 {
        self.scale as u8
    }

    /// The byte behind it, which is neither digit nor point; whether it may stand there is for the caller.
    #[inline(always)]
    pub const fn next(self) -> u8 {
        self.next
    }
}

/// The decimal that `text` starts with: digits, or digits, point and digits, ended by another byte within the
/// sixteen. Nothing = longer, or not of that form.
#[inline(always)]
pub fn run(text: &[u8; 16]) -> Run {
    let low = word(text, 0) ^ ZEROS;
    let points = points(low);
    let stops = others(low) & !points;
    if stops == 0 {
        return long(text, low, points);
    }
    // All that matters is the way from here to the length: the next number waits for it.
    let bits = stops.trailing_zeros() & 56;
    if bits == 0 {
        return Run::NONE;
    }
    let points = points << (64 - bits);
    let (digits, scale) = without_point(low << (64 - bits), points);
    let bad = several(points) | pointless(points, scale) | (low as u8 == POINT);
    Run::new(bad, eight(digits), bits / 8, scale, (low >> bits) as u8 ^ b'0')
}

/// [`run`] of what stands at `at`; behind the end of the text it is as if zeros followed.
#[inline(always)]
pub fn run_at(text: &[u8], at: usize) -> Run {
    match text.get(at..).and_then(|rest| rest.first_chunk()) {
        Some(sixteen) => run(sixteen),
        None => {
            let (mantissa, rest) = run_near_end(text, at);
            let [len, scale, next, _] = rest.to_le_bytes();
            Run { mantissa, len: len.into(), scale: scale.into(), next }
        }
    }
}

/// In two words, as what is returned in memory is slow to be read again.
#[inline(never)]
fn run_near_end(text: &[u8], at: usize) -> (u64, u32) {
    let few = text.len().saturating_sub(at);
    let padded = match text.last_chunk::<16>() {
        // The last sixteen bytes without those before.
        Some(last) if few > 0 => (u128::from_le_bytes(*last) >> (8 * (16 - few.min(16)))).to_le_bytes(),
        _ => {
            let mut padded = [0; 16];
            for (to, from) in padded.iter_mut().zip(text.get(at..).unwrap_or_default()) {
                *to = *from;
            }
            padded
        }
    };
    let run = run(&padded);
    (run.mantissa, u32::from_le_bytes([run.len as u8, run.scale as u8, run.next, 0]))
}

/// [`run`] where it takes eight bytes and more.
#[inline(always)]
fn long(text: &[u8; 16], low: u64, points: u64) -> Run {
    let high = word(text, 8) ^ ZEROS;
    let stops = others(high) & !self::points(high);
    if stops == 0 {
        return Run::NONE;
    }
    let bits = stops.trailing_zeros() & 56;
    let count = bits / 8;
    // To the top, in two steps as there may be none.
    let behind = (high << (63 - bits)) << 1;
    let next = (high >> bits) as u8 ^ b'0';
    if others(behind) != 0 {
        let (mantissa, scale) = late_point(low, high, bits);
        return Run::new(scale == 0, mantissa, 8 + count, scale, next);
    }
    let (digits, scale) = without_point(low, points);
    let scale = if points == 0 { 0 } else { scale + count };
    let bad = several(points) | pointless(points, scale) | (low as u8 == POINT);
    let mantissa = eight(digits) * TENS[(count & 7) as usize] + eight(behind);
    Run::new(bad, mantissa, 8 + count, scale, next)
}

/// [`run`] with eight digits and more before the point.
#[inline(never)]
fn late_point(low: u64, high: u64, bits: u32) -> (u64, u32) {
    let shift = 64 - bits;
    let (behind, points) = (high << shift, points(high) << shift);
    let (digits, scale) = without_point(behind, points);
    let bad = others(low) != 0 || several(points) || pointless(points, scale);
    let mantissa = eight(low) * TENS[(bits / 8 - 1) as usize & 7] + eight(digits);
    (if bad { 0 } else { mantissa }, if bad { 0 } else { scale })
}

/// Digits' values that end at the top, without the first point (marked in `points`) among them, and how many stand
/// behind it; those before it move up.
#[inline(always)]
fn without_point(values: u64, points: u64) -> (u64, u32) {
    // Everything up to the point; everything at all where there is none.
    let before = points ^ points.wrapping_sub(1);
    let shift = if points == 0 { 0 } else { 8 };
    (((values & (before >> shift)) << shift) | (values & !before), before.leading_zeros() / 8)
}

/// More than one mark.
#[inline(always)]
const fn several(points: u64) -> bool {
    points & points.wrapping_sub(1) != 0
}

/// A point with nothing behind it.
#[inline(always)]
const fn pointless(points: u64, scale: u32) -> bool {
    points != 0 && scale == 0
}

/// Marks the points; what it marks besides is none of digit and point.
#[inline(always)]
const fn points(values: u64) -> u64 {
    let zeros = values ^ (ONES * POINT as u64);
    zeros.wrapping_sub(ONES) & !zeros & TOPS
}

/// Eight bytes from `from` on, which is 0 or 8.
#[inline(always)]
fn word(text: &[u8; 16], from: usize) -> u64 {
    text.get(from..).and_then(|rest| rest.first_chunk()).map_or(0, |word| u64::from_le_bytes(*word))
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
    Some(run(&padded)).filter(|run| run.is_some() && run.len() == text.len())
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
    fn slowly(text: &[u8]) -> Option<(i64, u8, usize, u8)> {
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
        Some((num.mantissa, scale as u8, len, text[len])).filter(|_| text[len] != b'.')
    }

    fn parts(run: Run) -> Option<(i64, u8, usize, u8)> {
        run.is_some().then(|| (run.mantissa(), run.scale(), run.len(), run.next()))
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
        fn what_stands_near_the_end_is_read_like_anything_else(text in "[0-9.,\"]{0,24}", at in 0..30usize) {
            let bytes = text.as_bytes();
            let rest = bytes.get(at..).unwrap_or_default();
            let padded: Vec<u8> = rest.iter().copied().chain([0; 16]).take(16).collect();
            prop_assert_eq!(parts(run_at(bytes, at)), slowly(&padded));
        }

        #[test]
        fn sixteen_bytes_read_at_once_are_those_read_one_by_one(
            text in proptest::array::uniform16(prop::sample::select(b"0123456789012345678901234567890123456789.\"-e,".to_vec())),
        ) {
            prop_assert_eq!(parts(run(&text)), slowly(&text));
        }

        #[test]
        fn arbitrary_bytes_are_not_mistaken_for_digits(text in proptest::array::uniform16(any::<u8>())) {
            prop_assert_eq!(parts(run(&text)), slowly(&text));
        }

        #[test]
        fn a_whole_text_is_read_or_left(text in "[0-9]{0,9}[.]?[0-9]{0,9}x?") {
            let bytes = text.as_bytes();
            let ended: Vec<u8> = bytes.iter().copied().chain([0]).collect();
            let expected = slowly(&ended).filter(|run| bytes.len() < 16 && run.2 == bytes.len());
            prop_assert_eq!(whole(bytes).and_then(parts), expected);
        }

        #[test]
        fn strings_stop_at_the_first_stop(text in proptest::array::uniform8(any::<u8>())) {
            let stop = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..=0x1f | 0x80..);
            prop_assert_eq!(string_stop(text), text.iter().position(stop).unwrap_or(8));
            prop_assert_eq!(leading(text), text.iter().take_while(|byte| byte.is_ascii_digit()).count());
        }
    }
}
