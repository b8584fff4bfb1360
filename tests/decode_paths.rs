//! A message means the same however it is written: in the venue's layout (short cuts), in another order of keys,
//! with spaces and unknown fields (read value by value), with escapes (the full JSON parser). Every dialect, every
//! kind of message, on the messages of the decoding bench and on the fuzz corpus.

#[allow(dead_code)] // the bench uses the rest
#[path = "../bench/decode/payloads.rs"]
mod payloads;

use crate::fuzz::targets::venues::decode;
use perpring::venue::drift::Mark;
use perpring::venue::message::DecodeError;
use perpring::venue::{DIALECTS, Dialect};
use proptest::prelude::*;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use serde_json::value::RawValue;
use std::path::Path;
use std::sync::LazyLock;

/// A few frames of each case of the bench, and the corpus of the fuzz target.
static FRAMES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(frames);

fn frames() -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    for case in payloads::cases().into_iter().filter(|case| !case.reordered && case.levels < 400) {
        frames.extend(case.frames.into_iter().take(2));
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/decode");
    let mut paths: Vec<_> =
        std::fs::read_dir(folder).expect("a corpus").map(|entry| entry.expect("readable").path()).collect();
    paths.sort();
    frames.extend(paths.iter().map(|path| std::fs::read(path).expect("readable")));
    frames
}

/// Messages, and whether there was an error and of JSON.
fn outcome(dialect: &dyn Dialect, frame: &[u8]) -> (Vec<String>, Option<bool>) {
    let mut messages = Vec::new();
    let end = dialect.decoder().decode(frame, &mut |message| messages.push(format!("{message:?}")));
    (messages, end.err().map(|error| matches!(error, DecodeError::Json { .. })))
}

/// How a text is written anew.
#[derive(Clone, Copy, Debug)]
struct Manner {
    spaces: bool,
    shuffle: bool,
    unknown: bool,
    escapes: bool,
}

/// A key that no venue has.
const UNKNOWN: &str = "unheard of";

/// The same JSON, written in another manner.
struct Rewriter {
    random: ChaCha8Rng,
    manner: Manner,
    out: String,
}

impl Rewriter {
    fn rewrite(text: &[u8], manner: Manner, seed: u64) -> Option<Vec<u8>> {
        let value: &RawValue = serde_json::from_slice(text).ok()?;
        let mut rewriter = Self { random: ChaCha8Rng::seed_from_u64(seed), manner, out: String::new() };
        rewriter.value(value);
        rewriter.space();
        Some(rewriter.out.into_bytes())
    }

    fn one_in(&mut self, n: u32) -> bool {
        self.random.random_range(0..n) == 0
    }

    fn space(&mut self) {
        while self.manner.spaces && self.one_in(3) {
            self.out.push([' ', '\n', '\r', '\t'][self.random.random_range(0..4)]);
        }
    }

    fn value(&mut self, value: &RawValue) {
        self.space();
        let text = value.get();
        match text.as_bytes()[0] {
            b'{' => {
                let fields: Fields<'_> = serde_json::from_str(text).expect("an object");
                self.object(fields.0);
            }
            b'[' => {
                let elements: Vec<&RawValue> = serde_json::from_str(text).expect("an array");
                self.out.push('[');
                for (i, element) in elements.iter().enumerate() {
                    if i > 0 {
                        self.out.push(',');
                    }
                    self.value(element);
                    self.space();
                }
                self.out.push(']');
            }
            b'"' => {
                let string: String = serde_json::from_str(text).expect("a string");
                self.string(&string);
            }
            _ => self.out.push_str(text),
        }
    }

    fn object(&mut self, fields: Vec<(String, &RawValue)>) {
        let unknown =
            RawValue::from_string(r#"{"a":[1.5e-3,null,{"b":"c"}],"e":true}"#.to_owned()).expect("JSON");
        let mut fields: Vec<(String, &RawValue)> = fields;
        if self.manner.unknown && self.one_in(2) {
            fields.push((UNKNOWN.to_owned(), &unknown));
        }
        if self.manner.shuffle {
            for i in (1..fields.len()).rev() {
                let other = self.random.random_range(0..i + 1);
                fields.swap(i, other);
            }
        }
        self.out.push('{');
        for (i, (key, value)) in fields.into_iter().enumerate() {
            if i > 0 {
                self.out.push(',');
            }
            self.space();
            self.string(&key);
            self.space();
            self.out.push(':');
            // What is inserted is not itself added to, or there would be no end.
            if key == UNKNOWN {
                self.out.push_str(value.get());
            } else {
                self.value(value);
            }
            self.space();
        }
        self.out.push('}');
    }

    fn string(&mut self, text: &str) {
        self.out.push('"');
        for char in text.chars() {
            let needed = matches!(char, '"' | '\\' | '\0'..='\x1f');
            if needed || (self.manner.escapes && self.one_in(12)) {
                for unit in char.encode_utf16(&mut [0; 2]) {
                    self.out.push_str(&format!("\\u{unit:04x}"));
                }
            } else {
                self.out.push(char);
            }
        }
        self.out.push('"');
    }
}

/// An object's fields in their order.
struct Fields<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> serde::Deserialize<'de> for Fields<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Fields<'de>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

fn check(frame: &[u8], manner: Manner, seed: u64) {
    let Some(other) = Rewriter::rewrite(frame, manner, seed) else { return };
    for dialect in DIALECTS {
        let (expected, found) = (outcome(*dialect, frame), outcome(*dialect, &other));
        // Which of several faults is met first depends on the order of the keys.
        assert_eq!(expected, found, "{}: {}", dialect.name(), other.escape_ascii());
    }
}

#[test]
fn every_message_means_the_same_in_every_manner_of_writing() {
    for (i, frame) in FRAMES.iter().enumerate() {
        for bits in 0..16u8 {
            let [spaces, shuffle, unknown, escapes] = [1, 2, 4, 8].map(|bit| bits & bit != 0);
            check(frame, Manner { spaces, shuffle, unknown, escapes }, i as u64);
        }
    }
}

#[test]
fn marks_of_drift_are_of_the_last_frame_as_it_was_sent() {
    let (mut marked, mut escaped) = (0, 0);
    for (i, frame) in FRAMES.iter().enumerate() {
        let written = |escapes| {
            let manner = Manner { spaces: false, shuffle: false, unknown: true, escapes };
            Rewriter::rewrite(frame, manner, i as u64)
        };
        let (Some(strange), Some(anew)) = (written(false), written(true)) else { continue };
        for dialect in DIALECTS {
            let mut decoder = dialect.decoder();
            let mut marks = |frame: &[u8]| {
                let _ = decoder.decode(frame, &mut |_| {});
                decoder.marks()
            };
            let before = marks(frame);
            let named = marks(&strange)
                .of(&strange)
                .filter(|(_, mark)| matches!(mark, Mark::Field { name } if *name == UNKNOWN.as_bytes()));
            marked += named.count();
            assert_eq!(marks(frame), before, "{}: {}", dialect.name(), frame.escape_ascii());
            // Places in a text that the full parser wrote would point anywhere.
            if anew.contains(&b'\\') {
                marks(&strange);
                assert!(marks(&anew).is_empty(), "{}: {}", dialect.name(), anew.escape_ascii());
                escaped += 1;
            }
        }
    }
    assert!(marked > 10 && escaped > 10, "{marked} {escaped}");
}

#[test]
fn every_kind_of_message_is_understood_by_its_venue() {
    for case in payloads::cases() {
        let dialect = DIALECTS.iter().find(|dialect| dialect.name() == case.venue).expect("a dialect");
        for frame in case.frames.iter().take(8) {
            let (messages, error) = outcome(*dialect, frame);
            let expected = if case.kind == payloads::Kind::Order { "Private" } else { "" };
            let understood =
                messages.len() == 1 && messages[0].starts_with(expected) && messages[0] != "Unknown";
            assert!(error.is_none() && understood, "{} {}: {messages:?}", case.venue, case.kind.name());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_message_means_the_same_in_any_manner_of_writing(which in any::<prop::sample::Index>(), bits in 0..16u8, seed in any::<u64>()) {
        let frames = &*FRAMES;
        let [spaces, shuffle, unknown, escapes] = [1, 2, 4, 8].map(|bit| bits & bit != 0);
        check(&frames[which.index(frames.len())], Manner { spaces, shuffle, unknown, escapes }, seed);
    }

    #[test]
    fn both_paths_say_the_same_of_damaged_messages(
        which in any::<prop::sample::Index>(),
        bits in 0..16u8,
        seed in any::<u64>(),
        edits in proptest::collection::vec(
            (any::<prop::sample::Index>(), prop::sample::select(b"0123456789.\",:{}[]-+eE \\u/\x01\xc3n".to_vec()), 0..3u8),
            1..4,
        ),
    ) {
        let frames = &*FRAMES;
        let frame = &frames[which.index(frames.len())];
        let [spaces, shuffle, unknown, escapes] = [1, 2, 4, 8].map(|bit| bits & bit != 0);
        let mut frame = Rewriter::rewrite(frame, Manner { spaces, shuffle, unknown, escapes }, seed).unwrap_or_else(|| frame.clone());
        // The beginning is where envelopes are, and books are long.
        let len = frame.len().min(600);
        for (at, byte, how) in edits {
            let at = at.index(len.min(frame.len()));
            match how {
                0 => frame[at] = byte,
                1 => frame.insert(at, byte),
                _ => { frame.remove(at); }
            }
        }
        decode(&frame);
    }
}
