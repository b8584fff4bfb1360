//! A forward-only JSON reader over borrowed bytes: no allocation, no key order assumed, any spacing.
//!
//! It checks everything that it passes and takes nothing that is not JSON (a property test holds it to
//! serde_json). Strings are handed out raw. On the hot path ([`Cursor::plain`]) an escape is refused, and the
//! frame goes through the full parser, [`super::full`]; [`Cursor::new`] leaves escapes as they stand: a compare
//! with a symbol or a number then fails. What nobody lists is marked in passing ([`super::drift`]). What stands next
//! in its usual form is read by [`usual`] at once.

pub mod fixed;
pub mod usual;

use super::drift::{Marks, Words};
use super::message::DecodeError;
use crate::domain::digits;
use crate::domain::number::Num;

/// Deepest nesting of what is passed over.
const DEPTH_MAX: u32 = 127;

/// A position in a JSON text.
#[derive(Clone, Copy, Debug)]
pub struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Whether strings with escapes are handed out.
    escapes: bool,
    /// Whether the text was written anew: places in it are none of the frame.
    anew: bool,
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
    /// At the beginning of `bytes`; strings are handed out with their escapes.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, escapes: true, anew: false, marks: Marks::NONE }
    }

    /// At the beginning of `bytes`; a string with an escape is an error.
    pub fn plain(bytes: &'a [u8]) -> Self {
        Self { escapes: false, ..Self::new(bytes) }
    }

    /// At the beginning of what the full parser made of a frame: as [`Cursor::new`], but without marks.
    pub fn anew(bytes: &'a [u8]) -> Self {
        Self { anew: true, ..Self::new(bytes) }
    }

    /// The whole text, from its beginning.
    pub const fn text(&self) -> &'a [u8] {
        self.bytes
    }

    /// Whether the text is the one that the full parser made.
    pub const fn is_anew(&self) -> bool {
        self.anew
    }

    /// The error for the present position.
    #[cold]
    pub fn bad<T>(&self) -> Result<T> {
        Err(DecodeError::Json { at: self.at })
    }

    #[inline(always)]
    fn peek(&mut self) -> u8 {
        match self.bytes.get(self.at) {
            Some(byte) if *byte > b' ' => *byte,
            _ => self.peek_spaced(),
        }
    }

    #[inline(never)]
    fn peek_spaced(&mut self) -> u8 {
        while let Some(byte) = self.bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return *byte;
            }
            self.at += 1;
        }
        0
    }

    #[inline(always)]
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
            let key = self.key()?;
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

    #[inline(always)]
    fn key(&mut self) -> Result<&'a [u8]> {
        let key = self.string()?;
        self.eat(b':')?;
        Ok(key)
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

    /// Reads a string; escapes are refused or left as they stand.
    #[inline]
    pub fn string(&mut self) -> Result<&'a [u8]> {
        self.eat(b'"')?;
        let from = self.at;
        while let Some(text) = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk::<8>()) {
            let stop = digits::string_stop(*text);
            self.at += stop;
            if stop < 8 {
                if text[stop] != b'"' {
                    break;
                }
                self.at += 1;
                return Ok(&self.bytes[from..self.at - 1]);
            }
        }
        self.string_slowly(from)
    }

    /// The rest of a string that is near the end of the text, or has more than plain ASCII in it.
    #[inline(never)]
    fn string_slowly(&mut self, from: usize) -> Result<&'a [u8]> {
        let mut ascii = true;
        while let Some(byte) = self.bytes.get(self.at) {
            match byte {
                b'"' => {
                    let text = &self.bytes[from..self.at];
                    if !ascii && std::str::from_utf8(text).is_err() {
                        return self.bad();
                    }
                    self.at += 1;
                    return Ok(text);
                }
                b'\\' if self.escapes => self.escape()?,
                b'\\' | 0..=0x1f => return self.bad(),
                _ => {
                    ascii &= byte.is_ascii();
                    self.at += 1;
                }
            }
        }
        self.bad()
    }

    /// One escape; two where they make one character.
    fn escape(&mut self) -> Result<()> {
        let unit = |at: usize| {
            let hex = self.bytes.get(at..at + 6)?.strip_prefix(b"\\u")?;
            hex.iter().try_fold(0, |unit, byte| Some((unit << 4) | char::from(*byte).to_digit(16)?))
        };
        self.at += match self.bytes.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
            Some(b'u') => match unit(self.at) {
                Some(0xd800..=0xdbff) if matches!(unit(self.at + 6), Some(0xdc00..=0xdfff)) => 12,
                Some(0xd800..=0xdfff) | None => return self.bad(),
                Some(_) => 6,
            },
            _ => return self.bad(),
        };
        Ok(())
    }

    /// The text of a bare number.
    #[inline]
    fn number_text(&mut self) -> Result<&'a [u8]> {
        self.peek();
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        match number_len(rest) {
            Some(len) => {
                self.at += len;
                Ok(&rest[..len])
            }
            None => self.bad(),
        }
    }

    /// Text of a string, number, boolean or null, and whether it stood in quotes. Strings come without them.
    #[inline]
    pub fn scalar(&mut self) -> Result<(&'a [u8], bool)> {
        match self.peek() {
            b'"' => Ok((self.string()?, true)),
            b'-' | b'0'..=b'9' => Ok((self.number_text()?, false)),
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
        if let Some(num) = self.usual_num() {
            return Ok(num);
        }
        Num::parse(self.number()?).map_err(|_| DecodeError::Field(name))
    }

    /// An exact decimal, quoted or bare; `null` and `""` are absent.
    #[inline]
    pub fn num_or_absent(&mut self, name: &'static str) -> Result<Option<Num>> {
        if let Some(num) = self.usual_num() {
            return Ok(Some(num));
        }
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
        match self.usual_num() {
            Some(Num { mantissa, scale: 0 }) => Ok(mantissa),
            Some(_) => Err(DecodeError::Field(name)),
            None => self.int_slowly(name),
        }
    }

    #[inline(never)]
    fn int_slowly(&mut self, name: &'static str) -> Result<i64> {
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
        match self.peek() {
            b'"' => match self.string()? {
                b"true" => Ok(true),
                b"false" => Ok(false),
                _ => Err(DecodeError::Field(name)),
            },
            b't' => self.bare(b"true").map(|()| true),
            _ => self.bare(b"false").map(|()| false),
        }
    }

    #[inline]
    fn bare(&mut self, word: &[u8]) -> Result<()> {
        if self.bytes.get(self.at..).is_some_and(|rest| rest.starts_with(word)) {
            self.at += word.len();
            Ok(())
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
        if self.anew {
            return;
        }
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

    /// What `read` makes of what stands next; where it fails, nothing was passed.
    #[inline]
    pub fn attempt<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T>) -> Option<T> {
        let start = *self;
        let found = read(self).ok();
        if found.is_none() {
            *self = start;
        }
        found
    }

    /// The only element of an array.
    #[inline]
    pub fn only<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.eat(b'[')?;
        let found = read(self)?;
        self.eat(b']')?;
        Ok(found)
    }

    /// Passes over one value of any kind.
    #[inline]
    pub fn skip(&mut self) -> Result<()> {
        if self.peek() == b'"' { self.string().map(|_| ()) } else { self.skip_nested() }
    }

    /// [`Cursor::skip`] of what may hold other values.
    fn skip_nested(&mut self) -> Result<()> {
        // A bit per open bracket, the innermost lowest: whether it is an object's.
        let (mut objects, mut depth) = (0u128, 0);
        loop {
            match self.peek() {
                b'"' => _ = self.string()?,
                b'-' | b'0'..=b'9' => _ = self.number_text()?,
                b't' => self.bare(b"true")?,
                b'f' => self.bare(b"false")?,
                b'n' => self.bare(b"null")?,
                open @ (b'{' | b'[') => {
                    self.at += 1;
                    if self.peek() == closing(open == b'{') {
                        self.at += 1;
                    } else {
                        if depth == DEPTH_MAX {
                            return self.bad();
                        }
                        depth += 1;
                        objects = (objects << 1) | u128::from(open == b'{');
                        if open == b'{' {
                            self.key()?;
                        }
                        continue;
                    }
                }
                _ => return self.bad(),
            }
            // A value ended, and with it perhaps what it stands in.
            loop {
                if depth == 0 {
                    return Ok(());
                }
                let object = objects & 1 == 1;
                let next = self.peek();
                if next == closing(object) {
                    depth -= 1;
                    objects >>= 1;
                } else if next != b',' {
                    return self.bad();
                }
                self.at += 1;
                if next == b',' {
                    if object {
                        self.key()?;
                    }
                    break;
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
    #[inline]
    pub fn end(&mut self) -> Result<()> {
        if self.peek() == 0 && self.at >= self.bytes.len() { Ok(()) } else { self.bad() }
    }
}

const fn closing(object: bool) -> u8 {
    if object { b'}' } else { b']' }
}

/// Length of the JSON number that `text` starts with.
fn number_len(text: &[u8]) -> Option<usize> {
    let digits = |from: usize| {
        let count = text.get(from..)?.iter().take_while(|byte| byte.is_ascii_digit()).count();
        (count > 0).then_some(from + count)
    };
    let whole = usize::from(text.first() == Some(&b'-'));
    let mut end = digits(whole)?;
    if text[whole] == b'0' && end > whole + 1 {
        return None;
    }
    if text.get(end) == Some(&b'.') {
        end = digits(end + 1)?;
    }
    if matches!(text.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(text.get(end + 1), Some(b'+' | b'-')));
        end = digits(end + 1 + sign)?;
    }
    Some(end)
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
    fn the_only_element_is_read_or_nothing_is_passed() {
        for (text, expected) in [
            ("[7],8", Some(7)),
            (" [ 7 ] ,8", Some(7)),
            ("[7,7],8", None),
            ("[],8", None),
            ("[true],8", None),
        ] {
            let mut cursor = Cursor::new(text.as_bytes());
            assert_eq!(cursor.attempt(|c| c.only(|c| c.int("x"))), expected, "{text}");
            if expected.is_none() {
                assert_eq!(cursor.raw(), Ok(&text.as_bytes()[..text.len() - 2]));
            }
            cursor.eat(b',').unwrap();
            assert_eq!(cursor.int("x"), Ok(8));
        }
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
        for (depth, good) in [(127, true), (128, false), (100_000, false)] {
            let deep = "[".repeat(depth) + "0" + &"]".repeat(depth);
            assert_eq!(Cursor::new(deep.as_bytes()).skip().is_ok(), good, "{depth}");
        }
    }

    #[test]
    fn escapes_are_left_as_they_stand_or_refused() {
        let text = br#"["a\"\u00e9\ud83d\ude00b"]"#;
        let mut seen: &[u8] = b"";
        Cursor::new(text).array(|c| c.string().map(|text| seen = text)).unwrap();
        assert_eq!(seen, br#"a\"\u00e9\ud83d\ude00b"#);
        assert!(Cursor::plain(text).skip().is_err());
        for bad in [r#""\x""#, r#""\u12g4""#, r#""\ud800""#, r#""\ud800\u0041""#, r#""\udc00""#, "\"\\"] {
            assert!(Cursor::new(bad.as_bytes()).skip().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_taken_is_what_serde_json_takes(
            text in "[ \\[\\]{}:,\"a-e0-9.truefalsn\\\\+-]{0,40}",
            garbage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..2),
        ) {
            let mut bytes = text.into_bytes();
            for (at, byte) in garbage {
                if !bytes.is_empty() {
                    let at = at.index(bytes.len());
                    bytes[at] = byte;
                }
            }
            let mut cursor = Cursor::new(&bytes);
            let ours = cursor.skip().and_then(|()| cursor.end()).is_ok();
            let theirs = serde_json::from_slice::<serde::de::IgnoredAny>(&bytes).is_ok()
                && std::str::from_utf8(&bytes).is_ok();
            prop_assert_eq!(ours, theirs);
            let mut cursor = Cursor::plain(&bytes);
            let plain = cursor.skip().and_then(|()| cursor.end()).is_ok();
            prop_assert_eq!(plain, theirs && !bytes.contains(&b'\\'));
        }

        #[test]
        fn numbers_are_taken_and_read_as_json_has_them(text in "-?[0-9]{0,9}[.]?[0-9]{0,12}([eE][+-]?[0-9]?)?", spaces in 0..20usize) {
            let padded = text.clone() + &" ".repeat(spaces);
            let theirs = serde_json::from_str::<serde_json::Value>(&padded).is_ok();
            let mut cursor = Cursor::new(padded.as_bytes());
            let ours = cursor.num("x").and_then(|num| cursor.end().map(|()| num));
            match Num::parse(text.as_bytes()) {
                Ok(num) if theirs => prop_assert_eq!(ours, Ok(num)),
                _ => prop_assert!(ours.is_err()),
            }
            let quoted = format!("\"{text}\"{}", " ".repeat(spaces));
            let ours = Cursor::new(quoted.as_bytes()).num("x");
            prop_assert_eq!(ours.ok(), Num::parse(text.as_bytes()).ok());
        }
    }
}
