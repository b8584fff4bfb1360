//! Naming a difference: the first differing field of two outputs, by path.

use crate::domain::output::{Output, OutputKey};
use serde::Serialize;
use serde_json::Value;
use std::fmt;

/// The first place where a replay and its journal differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Divergence {
    /// The input at which it shows.
    pub seq: u64,
    /// Stage, or `journal` when the record itself is wrong.
    pub stage: String,
    /// Number of the output among the stage's outputs of that input.
    pub ordinal: u16,
    /// Field path, such as `Events.prices` or `Message.meta.order.price`.
    pub field: String,
    /// What the journal has.
    pub recorded: String,
    /// What the replay made.
    pub replayed: String,
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "first divergence at input {} in {} (output {}): {}: recorded {}, replayed {}",
            self.seq, self.stage, self.ordinal, self.field, self.recorded, self.replayed
        )
    }
}

/// Compares two outputs under the same key; `None` when they are identical.
pub fn compare(key: OutputKey, recorded: (&Output, &[u8]), replayed: (&Output, &[u8])) -> Option<Divergence> {
    let found = |field: String, recorded: String, replayed: String| Divergence {
        seq: key.cause.0,
        stage: format!("{:?}", key.stage).to_lowercase(),
        ordinal: key.ordinal,
        field,
        recorded,
        replayed,
    };
    if recorded.0 != replayed.0 {
        let (a, b) = (json(recorded.0), json(replayed.0));
        let (field, a, b) = first_difference("", &a, &b)
            .unwrap_or_else(|| ("output".into(), format!("{:?}", recorded.0), format!("{:?}", replayed.0)));
        return Some(found(field, a, b));
    }
    (recorded.1 != replayed.1).then(|| {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        found("Message.payload".into(), text(recorded.1), text(replayed.1))
    })
}

/// As JSON; `i128` amounts do not fit JSON numbers and are written as text.
pub(super) fn json(output: &Output) -> Value {
    serde_json::to_value(output).unwrap_or_else(|_| Value::String(format!("{output:?}")))
}

/// Path and both values of the first difference in document order.
fn first_difference(path: &str, a: &Value, b: &Value) -> Option<(String, String, String)> {
    let mut found = Vec::new();
    differences(path, a, b, &mut found);
    (!found.is_empty()).then(|| found.swap_remove(0))
}

/// Path and both values of every difference, in document order.
pub(super) fn differences(path: &str, a: &Value, b: &Value, to: &mut Vec<(String, String, String)>) {
    let join = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            for (key, value) in a {
                differences(&join(key), value, b.get(key).unwrap_or(&Value::Null), to);
            }
            let extra = b.iter().filter(|(key, _)| !a.contains_key(*key));
            to.extend(extra.map(|(key, value)| (join(key), "absent".into(), value.to_string())));
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (at, (a, b)) in a.iter().zip(b).enumerate() {
                differences(&format!("{path}[{at}]"), a, b, to);
            }
        }
        _ if a == b => {}
        _ => to.push((path.to_owned(), a.to_string(), b.to_string())),
    }
}
