//! Marks of what a message holds beyond the venue's documentation: keys that nobody lists and words outside a list.
//!
//! Parsers mark in passing, in the arm of keys that they do not read, so that a message of the known shape pays for
//! the keys it has too many and for nothing else. Marks are places in the frame; names are made of them off the
//! usual path, by whoever counts findings. Each dialect lists what it knows in its `schema` file.

use super::message::DecodeError;
use crate::domain::input::ConnId;

/// Most words in one list.
const WORDS_MAX: usize = 112;

/// A list of known words: keys of a row, or values of a field.
#[derive(Clone, Copy, Debug)]
pub struct Words {
    words: &'static [&'static str],
    /// Length, first, middle and last byte of each: enough to tell nearly all words apart without reading them.
    prints: [u32; WORDS_MAX],
}

impl Words {
    /// Of these words; too many fail to compile.
    pub const fn new(words: &'static [&'static str]) -> Self {
        let mut prints = [0; WORDS_MAX];
        let mut at = 0;
        while at < words.len() {
            prints[at] = print(words[at].as_bytes());
            at += 1;
        }
        Self { words, prints }
    }

    /// Whether the list has the word.
    #[inline]
    pub fn has(&self, word: &[u8]) -> bool {
        let wanted = print(word);
        self.prints.iter().zip(self.words).any(|(print, known)| *print == wanted && known.as_bytes() == word)
    }
}

const fn print(word: &[u8]) -> u32 {
    if word.is_empty() {
        return 0;
    }
    let len = word.len();
    u32::from_le_bytes([len as u8, word[0], word[len / 2], word[len - 1]])
}

/// Up to four different places in one frame, as offset + 1 in 16 bits each. What lies further back than 65,534 bytes is
/// not marked: smaller messages of the same channel will show it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks(u64);

/// What a mark stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark<'a> {
    /// A key that is not listed.
    Field {
        /// The key.
        name: &'a [u8],
    },
    /// A value that is not listed.
    Value {
        /// The key of it; empty in a list.
        name: &'a [u8],
        /// The value.
        value: &'a [u8],
    },
}

impl Marks {
    /// Nothing was marked.
    pub const NONE: Self = Self(0);

    /// Whether nothing was marked.
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Adds the text at `offset` of `frame`, unless its like is marked already.
    #[cold]
    pub fn add(&mut self, offset: usize, frame: &[u8]) {
        let Some(place) = offset.checked_add(1).and_then(|place| u16::try_from(place).ok()) else { return };
        let text = text_at(frame, offset);
        if self.0 >> 48 == 0 && self.places().all(|known| text_at(frame, known) != text) {
            self.0 = self.0 << 16 | u64::from(place);
        }
    }

    /// Adds what another reader of the same frame marked.
    #[inline]
    pub fn join(&mut self, other: Self, frame: &[u8]) {
        if other.0 != 0 {
            other.places().for_each(|place| self.add(place, frame));
        }
    }

    /// Offsets in the frame.
    pub fn places(self) -> impl Iterator<Item = usize> {
        (0..4)
            .filter_map(move |slot| (self.0 >> (48 - 16 * slot) & 0xffff).checked_sub(1))
            .map(|at| at as usize)
    }

    /// What was marked in `frame`, with its place.
    pub fn of(self, frame: &[u8]) -> impl Iterator<Item = (usize, Mark<'_>)> {
        self.places().map(move |place| (place, mark_at(frame, place)))
    }
}

/// The text that begins at `offset`: a string without its quotes, or a bare word.
fn text_at(frame: &[u8], offset: usize) -> &[u8] {
    let rest = frame.get(offset..).unwrap_or_default();
    let quoted = offset.checked_sub(1).and_then(|before| frame.get(before)) == Some(&b'"');
    let ends =
        |byte: &u8| if quoted { *byte == b'"' } else { matches!(byte, b',' | b'}' | b']' | b' ' | b'\n') };
    &rest[..rest.iter().position(ends).unwrap_or(rest.len())]
}

fn mark_at(frame: &[u8], offset: usize) -> Mark<'_> {
    let text = text_at(frame, offset);
    let after = frame.get(offset + text.len()..).unwrap_or_default();
    if after.strip_prefix(b"\"").unwrap_or(after).trim_ascii_start().first() == Some(&b':') {
        return Mark::Field { name: text };
    }
    // Back over the quote, spaces and the colon to the key.
    let before = trimmed(frame.get(..offset).unwrap_or_default());
    let before = trimmed(before.strip_suffix(b"\"").unwrap_or(before));
    let key = before.strip_suffix(b":").map(trimmed).and_then(|before| before.strip_suffix(b"\""));
    let name = key.map_or(&[][..], |key| {
        let from = key.iter().rposition(|byte| *byte == b'"').map_or(0, |quote| quote + 1);
        &key[from..]
    });
    Mark::Value { name, value: text }
}

fn trimmed(text: &[u8]) -> &[u8] {
    text.trim_ascii_end()
}

/// What a venue calls the channel of a message: the text after the first of its usual keys, up to a point where
/// instruments follow (`tickers.BTCUSDT`); empty when there is none.
pub fn channel_of(frame: &[u8]) -> &[u8] {
    let name = named(frame);
    &name[..name.iter().position(|byte| *byte == b'.').unwrap_or(name.len())]
}

/// [`channel_of`] with what follows a point.
pub(super) fn named(frame: &[u8]) -> &[u8] {
    const KEYS: [&[u8]; 5] = [b"\"channel\":", b"\"topic\":", b"\"e\":", b"\"event\":", b"\"method\":"];
    // They stand in front as a rule: large messages are searched to the end only where they do not.
    for head in [&frame[..frame.len().min(128)], frame] {
        let found = KEYS.iter().find_map(|key| memchr::memmem::find(head, key).map(|at| at + key.len()));
        let text = found.and_then(|at| frame[at..].trim_ascii_start().strip_prefix(b"\""));
        if let Some(text) = text {
            return &text[..text.iter().position(|byte| *byte == b'"').unwrap_or(text.len())];
        }
    }
    &[]
}

/// What a dialect found in one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drift {
    /// Where the message came from.
    pub conn: ConnId,
    /// What is not as documented.
    pub what: DriftKind,
}

/// Departures from the documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DriftKind {
    /// Keys and values that are not listed.
    Marked(Marks),
    /// A field is missing or has a value that cannot be read.
    Broken(&'static str),
    /// A type or channel that is not listed.
    Type,
}

impl DriftKind {
    /// What an error says of the schema; broken JSON is damage, not drift.
    pub const fn of_error(error: DecodeError) -> Option<Self> {
        match error {
            DecodeError::Json { .. } => None,
            DecodeError::Missing(name) | DecodeError::Field(name) => Some(Self::Broken(name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: Words = Words::new(&["count", "source", "seqId"]);

    #[test]
    fn lists_know_their_words_only() {
        for word in ["count", "source", "seqId"] {
            assert!(KNOWN.has(word.as_bytes()));
        }
        // The same length and the same first, middle and last byte are not enough.
        for word in ["", "coxnt", "counts", "seqid", "sXuXcX"] {
            assert!(!KNOWN.has(word.as_bytes()), "{word}");
        }
    }

    #[test]
    fn marks_are_told_by_name_and_only_once_each() {
        let frame = br#"{"a":1, "odd" : [2],"way": "sideways","x":true,"odd":3,"l":["w"]}"#;
        let mut marks = Marks::default();
        let at = |text: &str| memchr::memmem::find(frame, text.as_bytes()).unwrap();
        for place in [at("odd\" :"), at("sideways"), at("true"), at("odd\":3"), at("w\"]"), at("a\":1")] {
            marks.add(place, frame);
        }
        let found: Vec<Mark<'_>> = marks.of(frame).map(|(_, mark)| mark).collect();
        assert_eq!(
            found,
            [
                Mark::Field { name: b"odd" },
                Mark::Value { name: b"way", value: b"sideways" },
                Mark::Value { name: b"x", value: b"true" },
                Mark::Value { name: b"", value: b"w" },
            ]
        );
        let mut other = Marks::default();
        other.add(at("odd\":3"), frame);
        other.join(marks, frame);
        assert_eq!(other.places().count(), 4, "the key is the same");
        marks.add(70_000, frame);
        assert_eq!(Marks::default().of(frame).count(), 0);
    }

    #[test]
    fn channels_are_named_as_the_venues_do() {
        for (frame, name) in [
            (r#"{"arg":{"channel":"books","instId":"X"}}"#, "books"),
            (r#"{"topic":"orderbook.50.BTCUSDT"}"#, "orderbook"),
            (r#"{"params":{"channel": "book.BTC-PERPETUAL.100ms"}}"#, "book"),
            (r#"{"e":"depthUpdate"}"#, "depthUpdate"),
            (r#"{"channel":7}"#, ""),
            (&format!(r#"{{"data":"{}","topic":"tickers.X"}}"#, "x".repeat(500)), "tickers"),
            (&format!(r#"{{"data":"{}","topic":"tickers.X"}}"#, "x".repeat(107)), "tickers"),
            ("", ""),
        ] {
            assert_eq!(channel_of(frame.as_bytes()), name.as_bytes(), "{frame}");
        }
    }
}
