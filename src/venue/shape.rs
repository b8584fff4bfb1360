//! What private messages are documented to hold, and what is in one beyond that, by name.
//!
//! Looked at after a message has had its effect, so that no reaction to a fill waits for it. A [`Shape`] lists the keys
//! of a channel by the depth at which they stand, and the words of its few fields that have such. Values are compared
//! and never handed out: whoever counts departures of an account gets names of fields and nothing else.

use super::drift::{Marks, Words, named};
use super::json::{Cursor, Kind};
use super::message::DecodeError;

/// A private channel as its venue documents it.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// What the venue calls it, up to a point where instruments follow.
    pub channel: &'static str,
    /// Keys of objects, the outermost first; what stands deeper is not looked at.
    pub levels: &'static [Words],
    /// Fields whose values are of a list.
    pub values: &'static [(&'static str, Words)],
    /// Keys of objects whose own keys are data, such as currencies.
    pub opaque: &'static [&'static str],
}

/// The channel of a private message and what in it is not documented; `None` when it is of no channel in `shapes`.
pub fn departures(shapes: &[Shape], frame: &[u8]) -> Option<(&'static str, Marks)> {
    let name = named(frame);
    let of = |shape: &&Shape| {
        let rest = name.strip_prefix(shape.channel.as_bytes());
        rest.is_some_and(|rest| rest.is_empty() || rest[0] == b'.')
    };
    let shape = shapes.iter().find(of)?;
    let mut cursor = Cursor::new(frame);
    // What cannot be read is damage, and somebody else's affair.
    let _ = if frame.starts_with(b"{\"stream\"") {
        cursor.object(|key, c| if key == b"data" { shape.walk(c, 0) } else { c.skip() })
    } else {
        shape.walk(&mut cursor, 0)
    };
    Some((shape.channel, cursor.marks()))
}

/// The name of an undocumented key, if it looks like one: keys may be data, such as an id or an address.
pub fn shown(name: &[u8]) -> &[u8] {
    let digits = name.iter().filter(|byte| byte.is_ascii_digit()).count();
    let is_word = name.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    if is_word && digits <= 2 && name.len() <= 32 { name } else { b"?" }
}

impl Shape {
    fn walk(&self, c: &mut Cursor<'_>, depth: usize) -> Result<(), DecodeError> {
        match c.kind()? {
            Kind::Array => c.array(|c| self.walk(c, depth)),
            Kind::Object => {
                let Some(known) = self.levels.get(depth) else { return c.skip() };
                c.object(|key, c| {
                    if !known.has(key) || self.opaque.iter().any(|opaque| opaque.as_bytes() == key) {
                        return c.pass(key, known);
                    }
                    match self.values.iter().find(|(name, _)| name.as_bytes() == key) {
                        Some((_, words)) if c.kind()? == Kind::String => {
                            let word = c.string()?;
                            if !word.is_empty() {
                                c.expect(word, words);
                            }
                            Ok(())
                        }
                        _ => self.walk(c, depth + 1),
                    }
                })
            }
            _ => c.skip(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::venue::drift::Mark;

    const SHAPE: Shape = Shape {
        channel: "orders",
        levels: &[Words::new(&["topic", "data"]), Words::new(&["state", "id", "fees"]), Words::new(&["x"])],
        values: &[("state", Words::new(&["live", "filled"]))],
        opaque: &["fees"],
    };

    #[test]
    fn keys_are_known_by_their_depth_and_values_by_their_field() {
        let told = |frame: &'static [u8]| {
            let (channel, marks) = departures(&[SHAPE], frame)?;
            assert_eq!(channel, "orders");
            Some(marks.of(frame).map(|(_, mark)| mark).collect::<Vec<_>>())
        };
        assert_eq!(
            told(br#"{"topic":"orders.BTC","data":[{"state":"live","id":7,"fees":{"ABC":1}}]}"#),
            Some(vec![])
        );
        assert_eq!(told(br#"{"topic":"orders","data":{"state":""}}"#), Some(vec![]));
        assert_eq!(told(br#"{"topic":"ordersx","data":[{"new":1}]}"#), None);
        let frame = br#"{"topic":"orders","id":{"state":"odd"},"data":[{"state":"odd","id":{"x":1,"y":2},"new":[1]}]}"#;
        let expected = [
            Mark::Field { name: b"id" },
            Mark::Value { name: b"state", value: b"odd" },
            Mark::Field { name: b"y" },
            Mark::Field { name: b"new" },
        ];
        assert_eq!(told(frame), Some(expected.to_vec()));
        assert_eq!(
            told(br#"{"topic":"orders","data":[{"new":1},"#),
            Some(vec![Mark::Field { name: b"new" }])
        );
        let wrapped = br#"{"stream":"k","data":{"topic":"orders","new":1}}"#;
        assert_eq!(told(wrapped), Some(vec![Mark::Field { name: b"new" }]));
    }

    #[test]
    fn a_key_that_may_be_data_has_no_name() {
        for name in ["fresh", "fee_2", "new-field", "ABC"] {
            assert_eq!(shown(name.as_bytes()), name.as_bytes());
        }
        for name in ["0x12ab34", "a b", "550e8400-e29b-41d4", "1234567890", "ü", &"a".repeat(33)] {
            assert_eq!(shown(name.as_bytes()), b"?", "{name}");
        }
    }
}
