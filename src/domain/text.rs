//! Short inline text: symbols and currency codes as `Copy` values, without allocation.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// ASCII text of at most `N` bytes, stored inline and zero-padded.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text<const N: usize> {
    bytes: [u8; N],
}

/// A venue's native instrument name, such as `BTCUSDT` or `BTC-USDT-SWAP`.
pub type Symbol = Text<32>;

/// A currency code, such as `USDT`.
pub type Currency = Text<8>;

/// ASCII without NUL.
const fn is_plain(word: u64) -> bool {
    (word.wrapping_sub(0x0101_0101_0101_0101) | word) & 0x8080_8080_8080_8080 == 0
}

impl<const N: usize> Text<N> {
    /// The empty text.
    pub const EMPTY: Self = Self { bytes: [0; N] };

    /// Copies `text`; `None` when it is longer than `N` bytes, not ASCII or contains a NUL.
    pub fn new(text: &str) -> Option<Self> {
        Self::from_bytes(text.as_bytes())
    }

    /// Copies `text`; `None` when it is longer than `N` bytes, not ASCII or contains a NUL.
    pub fn from_bytes(text: &[u8]) -> Option<Self> {
        // As most symbols: up to sixteen bytes, put together in registers. What is stored in parts and read as a whole
        // a moment later is read slowly.
        let (start, plain) = match text.len() {
            8..=16 => {
                let (head, tail) =
                    (u64::from_le_bytes(*text.first_chunk()?), u64::from_le_bytes(*text.last_chunk()?));
                let joined = u128::from(head) | (u128::from(tail) << (8 * (text.len() - 8)));
                (joined, is_plain(head) && is_plain(tail))
            }
            4..=7 => {
                let (head, tail) =
                    (u32::from_le_bytes(*text.first_chunk()?), u32::from_le_bytes(*text.last_chunk()?));
                let joined = u128::from(head) | (u128::from(tail) << (8 * (text.len() - 4)));
                (joined, is_plain(u64::from(head) | (u64::from(tail) << 32)))
            }
            _ => return Self::from_bytes_one_by_one(text),
        };
        if !plain || text.len() > N {
            return None;
        }
        let (mut bytes, room) = ([0; N], N.min(16));
        bytes[..room].copy_from_slice(&start.to_le_bytes()[..room]);
        Some(Self { bytes })
    }

    fn from_bytes_one_by_one(text: &[u8]) -> Option<Self> {
        let mut bytes = [0; N];
        if !text.iter().all(|byte| matches!(byte, 1..=0x7f)) {
            return None;
        }
        bytes.get_mut(..text.len())?.copy_from_slice(text);
        Some(Self { bytes })
    }

    /// The text as bytes.
    pub fn as_bytes(&self) -> &[u8] {
        // The padding is all zeros, and the text has none: the length follows from the last word of text.
        let mut len = N;
        let mut words = self.bytes.rchunks_exact(8);
        for word in words.by_ref() {
            let word = word.first_chunk().map_or(0, |word| u64::from_le_bytes(*word));
            if word != 0 {
                return &self.bytes[..len - word.leading_zeros() as usize / 8];
            }
            len -= 8;
        }
        let short = words.remainder().iter().take_while(|byte| **byte != 0).count();
        &self.bytes[..short]
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    /// True when there is no text.
    pub fn is_empty(&self) -> bool {
        self.bytes.first().is_none_or(|b| *b == 0)
    }
}

impl<const N: usize> Default for Text<N> {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl<const N: usize> fmt::Display for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl<const N: usize> fmt::Debug for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

impl<const N: usize> Serialize for Text<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de, const N: usize> Deserialize<'de> for Text<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor<const N: usize>;
        impl<const N: usize> serde::de::Visitor<'_> for Visitor<N> {
            type Value = Text<N>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "ASCII text of at most {N} bytes")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Text::new(text).ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

/// The digits of base 16.
pub const HEX_DIGITS: &[u8; 16] = b"0123456789abcdef";

/// The two hex digits of a byte.
#[inline]
pub const fn hex(byte: u8) -> [u8; 2] {
    [HEX_DIGITS[(byte >> 4) as usize], HEX_DIGITS[(byte & 15) as usize]]
}

/// Bytes as hex digits, two each.
#[derive(Clone, Copy, Debug)]
pub struct Hex<'a>(pub &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| {
            hex(*byte).iter().try_for_each(|digit| fmt::Write::write_char(f, char::from(*digit)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_byte_has_two_hex_digits() {
        assert_eq!(Hex(&[]).to_string(), "");
        for byte in 0..=u8::MAX {
            assert_eq!(Hex(&[byte, 0xa5]).to_string(), format!("{byte:02x}a5"));
        }
    }

    proptest! {
        #[test]
        fn any_text_is_kept_whole_or_refused(text in proptest::collection::vec(prop_oneof![1 => 1..0x80u8, 8 => b'A'..=b'Z'], 0..40), odd in any::<(prop::sample::Index, u8)>()) {
            let mut text = text;
            for odd in [None, Some(odd)] {
                if let (Some((at, byte)), false) = (odd, text.is_empty()) {
                    let at = at.index(text.len());
                    text[at] = byte;
                }
                let plain = text.iter().all(|byte| matches!(byte, 1..=0x7f));
                let kept = |room| (plain && text.len() <= room).then(|| text.clone());
                prop_assert_eq!(Symbol::from_bytes(&text).map(|text| text.as_bytes().to_vec()), kept(32));
                prop_assert_eq!(Currency::from_bytes(&text).map(|text| text.as_bytes().to_vec()), kept(8));
                prop_assert_eq!(Text::<12>::from_bytes(&text).map(|text| text.as_bytes().to_vec()), kept(12));
            }
        }
    }
}
