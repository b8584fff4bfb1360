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

impl<const N: usize> Text<N> {
    /// The empty text.
    pub const EMPTY: Self = Self { bytes: [0; N] };

    /// Copies `text`; `None` when it is longer than `N` bytes, not ASCII or contains a NUL.
    pub fn new(text: &str) -> Option<Self> {
        Self::from_bytes(text.as_bytes())
    }

    /// Copies `text`; `None` when it is longer than `N` bytes, not ASCII or contains a NUL.
    pub fn from_bytes(text: &[u8]) -> Option<Self> {
        // ASCII without NUL.
        let plain =
            |word: u64| (word.wrapping_sub(0x0101_0101_0101_0101) | word) & 0x8080_8080_8080_8080 == 0;
        let mut bytes = [0; N];
        let room = bytes.get_mut(..text.len())?;
        match (text.first_chunk::<8>(), text.last_chunk::<8>()) {
            // As most symbols: two words that overlap.
            (Some(head), Some(tail)) if text.len() <= 16 => {
                if !plain(u64::from_le_bytes(*head)) || !plain(u64::from_le_bytes(*tail)) {
                    return None;
                }
                *room.first_chunk_mut()? = *head;
                *room.last_chunk_mut()? = *tail;
            }
            _ => {
                if !text.iter().all(|byte| matches!(byte, 1..=0x7f)) {
                    return None;
                }
                room.copy_from_slice(text);
            }
        }
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
