//! A forward-only JSON reader over borrowed bytes: no allocation, no key order assumed, any spacing.
//!
//! It checks the structure of everything that it passes, and refuses what it does not understand. It
//! is the only parser of hot messages; large cold replies go through simd-json. Strings are handed out
//! raw (escapes unresolved): venue symbols and numbers contain none, and a compare with them then fails.

use super::drift::{Marks, Words};
use super::message::DecodeError;
use crate::domain::number::Num;

/// Deepest nesting that is followed.
const DEPTH_MAX: usize = 32;

/// A position in a JSON text.
#[derive(Clone, Copy, Debug)]
pub struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    marks: Marks,
}

/// What kind of value stands next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `{`
    Object,
    /// `[`
    Array,
    /// `"`
    String,
    /// A digit or minus
    Number,
    /// `true` or `false`
    Bool,
    /// `null`
    Null,
}

type Result<T> = std::result::Result<T, DecodeError>;

impl<'a> Cursor<'a> {
    /// At the beginning of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, marks: Marks::NONE }
    }

    /// The error for the present position.
    pub fn bad<T>(&self) -> Result<T> {
        Err(DecodeError::Json { at: self.at })
    }

    #[inline]
    fn peek(&mut self) -> u8 {
        while let Some(byte) = self.bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return *byte;
            }
            self.at += 1;
        }
        0
    }

    #[inline]
    fn eat(&mut self, byte: u8) -> Result<()> {
        if self.peek() == byte {
            self.at += 1;
            Ok(())
        } else {
            self.bad()
        }
    }

    /// The kind of the next value.
    #[inline]
    pub fn kind(&mut self) -> Result<Kind> {
        match self.peek() {
            b'{' => Ok(Kind::Object),
            b'[' => Ok(Kind::Array),
            b'"' => Ok(Kind::String),
            b'-' | b'0'..=b'9' => Ok(Kind::Number),
            b't' | b'f' => Ok(Kind::Bool),
            b'n' => Ok(Kind::Null),
            _ => self.bad(),
        }
    }

    /// Reads an object; `field` gets each key and must consume exactly its value.
    #[inline]
    pub fn object(&mut self, mut field: impl FnMut(&'a [u8], &mut Self) -> Result<()>) -> Result<()> {
        self.eat(b'{')?;
        if self.peek() == b'}' {
            self.at += 1;
            return Ok(());
        }
        loop {
            let key = self.string()?;
            self.eat(b':')?;
            field(key, self)?;
            match self.peek() {
                b',' => self.at += 1,
                b'}' => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return self.bad(),
            }
        }
    }

    /// Reads an array; `element` must consume exactly one value at each call.
    #[inline]
    pub fn array(&mut self, mut element: impl FnMut(&mut Self) -> Result<()>) -> Result<()> {
        self.eat(b'[')?;
        if self.peek() == b']' {
            self.at += 1;
            return Ok(());
        }
        loop {
            element(self)?;
            match self.peek() {
                b',' => self.at += 1,
                b']' => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return self.bad(),
            }
        }
    }

    /// Reads a string; escapes are left as they stand.
    #[inline]
    pub fn string(&mut self) -> Result<&'a [u8]> {
        self.eat(b'"')?;
        let from = self.at;
        while let Some(byte) = self.bytes.get(self.at) {
            match byte {
                b'"' => {
                    let text = &self.bytes[from..self.at];
                    self.at += 1;
                    return Ok(text);
                }
                b'\\' => self.at += 2,
                0..=0x1f => return self.bad(),
                _ => self.at += 1,
            }
        }
        self.at = self.bytes.len();
        self.bad()
    }

    /// The text of a bare number.
    #[inline]
    fn number_text(&mut self) -> Result<&'a [u8]> {
        if !matches!(self.peek(), b'-' | b'0'..=b'9') {
            return self.bad();
        }
        let from = self.at;
        while matches!(self.bytes.get(self.at), Some(b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')) {
            self.at += 1;
        }
        Ok(&self.bytes[from..self.at])
    }

    /// Text of a string, number, boolean or null, and whether it stood in quotes. Strings come without them.
    #[inline]
    pub fn scalar(&mut self) -> Result<(&'a [u8], bool)> {
        match self.peek() {
            b'"' => Ok((self.string()?, true)),
            b'-' | b'0'..=b'9' => {
                let at = self.at;
                let text = self.number_text()?;
                let plain = text.iter().all(u8::is_ascii_digit)
                    || Num::parse(text) != Err(crate::domain::number::NumError::Syntax);
                if plain { Ok((text, false)) } else { Err(DecodeError::Json { at }) }
            }
            b't' | b'f' | b'n' => Ok((self.raw()?, false)),
            _ => self.bad(),
        }
    }

    /// Text of a number that may stand in quotes.
    #[inline]
    pub fn number(&mut self) -> Result<&'a [u8]> {
        if self.peek() == b'"' { self.string() } else { self.number_text() }
    }

    /// An exact decimal, quoted or bare.
    #[inline]
    pub fn num(&mut self, name: &'static str) -> Result<Num> {
        Num::parse(self.number()?).map_err(|_| DecodeError::Field(name))
    }

    /// An exact decimal, quoted or bare; `null` and `""` are absent.
    #[inline]
    pub fn num_or_absent(&mut self, name: &'static str) -> Result<Option<Num>> {
        if self.peek() == b'n' {
            self.skip()?;
            return Ok(None);
        }
        match self.number()? {
            b"" => Ok(None),
            text => Num::parse(text).map(Some).map_err(|_| DecodeError::Field(name)),
        }
    }

    /// An integer, quoted or bare.
    #[inline]
    pub fn int(&mut self, name: &'static str) -> Result<i64> {
        let text = self.number()?;
        let (negative, digits) = match text {
            [b'-', rest @ ..] => (true, rest),
            rest => (false, rest),
        };
        if digits.is_empty() || digits.len() > 19 {
            return Err(DecodeError::Field(name));
        }
        let mut value: i64 = 0;
        for byte in digits {
            if !byte.is_ascii_digit() {
                return Err(DecodeError::Field(name));
            }
            value = value
                .checked_mul(10)
                .and_then(|v| v.checked_add(i64::from(byte - b'0')))
                .ok_or(DecodeError::Field(name))?;
        }
        Ok(if negative { -value } else { value })
    }

    /// A non-negative integer, quoted or bare.
    #[inline]
    pub fn uint(&mut self, name: &'static str) -> Result<u64> {
        u64::try_from(self.int(name)?).map_err(|_| DecodeError::Field(name))
    }

    /// `true` or `false`, quoted or bare.
    #[inline]
    pub fn boolean(&mut self, name: &'static str) -> Result<bool> {
        if self.peek() == b'"' {
            return match self.string()? {
                b"true" => Ok(true),
                b"false" => Ok(false),
                _ => Err(DecodeError::Field(name)),
            };
        }
        if self.bytes[self.at..].starts_with(b"true") {
            self.at += 4;
            Ok(true)
        } else if self.bytes[self.at..].starts_with(b"false") {
            self.at += 5;
            Ok(false)
        } else {
            self.bad()
        }
    }

    /// Passes over the value of a key that is not read, and marks the key when it is not `known` either.
    #[inline]
    pub fn pass(&mut self, key: &'a [u8], known: &Words) -> Result<()> {
        self.expect(key, known);
        self.skip()
    }

    /// A string, number or boolean as text, marked when it is not `known`.
    #[inline]
    pub fn word(&mut self, known: &Words) -> Result<&'a [u8]> {
        let text = self.scalar()?.0;
        self.expect(text, known);
        Ok(text)
    }

    /// Marks a part of the text that is not `known`.
    #[inline]
    pub fn expect(&mut self, part: &'a [u8], known: &Words) {
        if !known.has(part) {
            self.mark(part);
        }
    }

    #[cold]
    fn mark(&mut self, part: &'a [u8]) {
        let place = part.as_ptr().addr().wrapping_sub(self.bytes.as_ptr().addr());
        self.marks.add(place, self.bytes);
    }

    /// What was marked so far.
    #[inline]
    pub fn marks(&self) -> Marks {
        self.marks
    }

    /// Takes over the marks of a second reader of the same text.
    #[inline]
    pub fn join(&mut self, other: &Self) {
        self.marks.join(other.marks, self.bytes);
    }

    /// Passes over one value of any kind.
    pub fn skip(&mut self) -> Result<()> {
        self.skip_nested(0)
    }

    fn skip_nested(&mut self, depth: usize) -> Result<()> {
        if depth == DEPTH_MAX {
            return self.bad();
        }
        match self.kind()? {
            Kind::Object => self.object(|_, cursor| cursor.skip_nested(depth + 1)),
            Kind::Array => self.array(|cursor| cursor.skip_nested(depth + 1)),
            Kind::String => self.string().map(|_| ()),
            Kind::Number => {
                let at = self.at;
                let text = self.number_text()?;
                let valid = Num::parse(text) != Err(crate::domain::number::NumError::Syntax);
                if valid { Ok(()) } else { Err(DecodeError::Json { at }) }
            }
            Kind::Bool => self.boolean("").map(|_| ()),
            Kind::Null => {
                if self.bytes[self.at..].starts_with(b"null") {
                    self.at += 4;
                    Ok(())
                } else {
                    self.bad()
                }
            }
        }
    }

    /// Passes over one value and returns its text.
    pub fn raw(&mut self) -> Result<&'a [u8]> {
        self.peek();
        let from = self.at;
        self.skip()?;
        Ok(&self.bytes[from..self.at])
    }

    /// Nothing but spaces may follow.
    pub fn end(&mut self) -> Result<()> {
        if self.peek() == 0 && self.at >= self.bytes.len() { Ok(()) } else { self.bad() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_are_read_with_any_order_and_spacing() {
        let text =
            br#" { "a" : "1.50" , "b":[ [ "1","2" ] ,["3","4"]],"c":{"x":null,"y":[true,false]}, "d":-12 } "#;
        let mut cursor = Cursor::new(text);
        let (mut a, mut sum, mut d) = (Num::ZERO, 0, 0);
        cursor
            .object(|key, c| match key {
                b"a" => c.num("a").map(|n| a = n),
                b"b" => c.array(|c| c.array(|c| c.int("b").map(|n| sum += n))),
                b"d" => c.int("d").map(|n| d = n),
                _ => c.skip(),
            })
            .unwrap();
        cursor.end().unwrap();
        assert_eq!((a.mantissa, a.scale, sum, d), (150, 2, 10, -12));
    }

    #[test]
    fn what_is_not_known_is_marked_and_read_all_the_same() {
        use crate::venue::drift::Mark;
        const KEYS: Words = Words::new(&["b"]);
        const STATES: Words = Words::new(&["open", "closed"]);
        let text =
            br#"{"a":1,"b":[{"a":2}],"state":"frozen","new":{"b":null},"rows":[{"new":1},{"newer":2}]}"#;
        let mut cursor = Cursor::new(text);
        let mut state = &b""[..];
        cursor
            .object(|key, c| match key {
                b"a" => c.skip(),
                b"state" => c.word(&STATES).map(|word| state = word),
                b"rows" => c.array(|c| c.object(|key, c| c.pass(key, &KEYS))),
                _ => c.pass(key, &KEYS),
            })
            .unwrap();
        cursor.end().unwrap();
        assert_eq!(state, b"frozen");
        let marks: Vec<Mark<'_>> = cursor.marks().of(text).map(|(_, mark)| mark).collect();
        let expected = [
            Mark::Value { name: b"state", value: b"frozen" },
            Mark::Field { name: b"new" },
            Mark::Field { name: b"newer" },
        ];
        assert_eq!(marks, expected);
    }

    #[test]
    fn broken_json_is_refused() {
        for text in [
            "",
            "{",
            "{\"a\"}",
            "{\"a\":1,}",
            "[1,]",
            "\"a",
            "tru",
            "nul",
            "{\"a\":1} x",
            "1.2.3",
            "{a:1}",
            "\"\\",
        ] {
            let mut cursor = Cursor::new(text.as_bytes());
            assert!(cursor.skip().and_then(|()| cursor.end()).is_err(), "{text}");
        }
        let deep = "[".repeat(100);
        assert!(Cursor::new(deep.as_bytes()).skip().is_err());
    }

    proptest! {
        #[test]
        fn agrees_with_serde_json_on_what_is_json(bytes in "[\\[\\]{}:,\"a-e0-9.truefalsn \\\\-]{0,40}") {
            let mut cursor = Cursor::new(bytes.as_bytes());
            let ours = cursor.skip().and_then(|()| cursor.end()).is_ok();
            let theirs = serde_json::from_str::<serde_json::Value>(&bytes).is_ok();
            // We are laxer on escapes, leading zeros and exponents; never stricter but in depth.
            prop_assert!(ours || !theirs);
        }
    }
}
