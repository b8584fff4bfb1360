//! The full JSON parser behind the hot path: serde_json reads the whole text and writes it anew in the one form
//! that the hot path always understands. Same values, same order, numbers digit by digit as they were sent; no
//! spaces, and escapes resolved wherever the character can stand for itself.
//!
//! Frames come here when the hot path refuses anything in them: an escape, a text that is no JSON, or a field that
//! is missing or wrong. What is said in the end is always what the full parser says, so that the two can only
//! differ on a frame that the hot path took; `tests/decode_paths.rs` and the fuzz target `decode` compare those.
//! Nothing is marked as drift in a text that was written anew: its places are not those of the frame, and the next
//! frame of that kind without an escape shows the same. May allocate: venues send such frames rarely (texts of refusals).

use super::json::Cursor;
use super::message::DecodeError;
use serde::de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// Deepest nesting; more than the hot path follows, which decides in the end.
const DEPTH_MAX: usize = 256;

/// Where a text stands that was written anew.
#[derive(Debug, Default)]
pub struct Full {
    text: Vec<u8>,
}

impl Full {
    /// Empty; allocates when it is needed.
    pub const fn new() -> Self {
        Self { text: Vec::new() }
    }

    /// What `read` makes of `text`: on the hot path, and where that refuses it, on the text that the full parser
    /// makes of it.
    ///
    /// # Errors
    /// Of the second reading; [`DecodeError::Json`] when `text` is not JSON.
    #[inline(always)]
    pub fn read<'a, T>(
        &'a mut self,
        text: &'a [u8],
        mut read: impl FnMut(Cursor<'a>) -> Result<T, DecodeError>,
    ) -> Result<T, DecodeError> {
        match read(Cursor::plain(text)) {
            Ok(found) => Ok(found),
            Err(error) => read(Cursor::anew(self.after(text, error)?)),
        }
    }

    /// `text` as the full parser writes it.
    ///
    /// # Errors
    /// [`DecodeError::Json`] when it is not JSON.
    pub fn plain(&mut self, text: &[u8]) -> Result<&[u8], DecodeError> {
        self.text.clear();
        let read = std::str::from_utf8(text).ok().and_then(|text| {
            let value: &RawValue = serde_json::from_str(text).ok()?;
            write(value, 0, &mut self.text).ok()
        });
        read.map(|()| self.text.as_slice()).ok_or(DecodeError::Json { at: 0 })
    }

    /// [`Full::plain`]; where a text is not JSON, the place that the hot path stumbled at says more.
    #[cold]
    #[inline(never)]
    fn after(&mut self, text: &[u8], error: DecodeError) -> Result<&[u8], DecodeError> {
        self.plain(text).map_err(|full| if matches!(error, DecodeError::Json { .. }) { error } else { full })
    }
}

/// Appends a value without spaces and needless escapes.
fn write(value: &RawValue, depth: usize, out: &mut Vec<u8>) -> serde_json::Result<()> {
    if depth == DEPTH_MAX {
        return Err(serde_json::Error::custom("too deep"));
    }
    let mut deserializer = serde_json::Deserializer::from_str(value.get());
    match value.get().as_bytes().first() {
        Some(b'{') => deserializer.deserialize_map(Writer { depth, out }),
        Some(b'[') => deserializer.deserialize_seq(Writer { depth, out }),
        Some(b'"') => deserializer.deserialize_str(Writer { depth, out }),
        _ => {
            out.extend_from_slice(value.get().as_bytes());
            Ok(())
        }
    }
}

/// Writes what it is shown.
struct Writer<'o> {
    depth: usize,
    out: &'o mut Vec<u8>,
}

impl<'de> Visitor<'de> for Writer<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        serde_json::to_writer(self.out, text).map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut before = b'{';
        while let Some(key) = map.next_key::<String>()? {
            self.out.push(before);
            before = b',';
            serde_json::to_writer(&mut *self.out, &key).map_err(A::Error::custom)?;
            self.out.push(b':');
            write(map.next_value()?, self.depth + 1, self.out).map_err(A::Error::custom)?;
        }
        self.out.extend_from_slice(if before == b'{' { b"{}" } else { b"}" });
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let mut before = b'[';
        while let Some(value) = seq.next_element()? {
            self.out.push(before);
            before = b',';
            write(value, self.depth + 1, self.out).map_err(A::Error::custom)?;
        }
        self.out.extend_from_slice(if before == b'[' { b"[]" } else { b"]" });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn plain(text: &str) -> Result<String, DecodeError> {
        Full::new().plain(text.as_bytes()).map(|text| String::from_utf8(text.to_vec()).unwrap())
    }

    #[test]
    fn values_stay_digit_by_digit_and_escapes_are_resolved() {
        for (text, expected) in [
            (
                " { \"\\u0061\" : [ 1.50e+3 , -0.0000000000000000000001 ] , \"b\" : \"x\\/\\u0042\" } ",
                "{\"a\":[1.50e+3,-0.0000000000000000000001],\"b\":\"x/B\"}",
            ),
            ("[]", "[]"),
            ("{\"a\":{}}", "{\"a\":{}}"),
            ("\"say \\\"no\\\"\\u000a\\ud83d\\ude00\"", "\"say \\\"no\\\"\\n😀\""),
            ("{\"a\":1,\"a\":2}", "{\"a\":1,\"a\":2}"),
            ("null", "null"),
        ] {
            assert_eq!(plain(text).as_deref(), Ok(expected), "{text}");
        }
        for text in ["", "{", "[1,]", "01", "\"\\ud800\"", "{\"a\":\"\\q\"}", "nul", "1 2", "[\"\x01\"]"] {
            assert_eq!(plain(text), Err(DecodeError::Json { at: 0 }), "{text}");
        }
        let deep = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(plain(&deep(200)).is_ok() && plain(&deep(300)).is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_anew_means_the_same(text in "[ \\[\\]{}:,\"a-e0-9.truefalsn\\\\-]{0,40}") {
            let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
            match plain(&text) {
                // A value may be out of a float's range.
                Ok(plain) => {
                    prop_assert!(serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok());
                    prop_assert_eq!(value(&plain), value(&text));
                }
                Err(_) => prop_assert_eq!(value(&text), None),
            }
        }
    }
}
