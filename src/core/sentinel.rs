//! The sentinel: departures of public market data from what the venue documents, by name, counted and with a sample,
//! so that a silent change of a venue is seen the day it happens.
//!
//! Decides nothing and stops nothing. The table is bounded; what finds no place is counted as one figure. Samples
//! come from public messages only: the caller hands over none of private ones.

use super::cadence::Change;
use crate::domain::instrument::VenueId;
use crate::domain::state::array;
use crate::domain::text::Text;
use crate::domain::time::{Nanos, SECOND};
use serde::{Deserialize, Serialize};

/// Most findings that are told apart.
pub const FINDINGS_MAX: usize = 64;
/// Bytes of a sample.
pub const SAMPLE_MAX: usize = 160;

/// What departs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum What {
    /// A key that is not documented.
    #[default]
    Field,
    /// A value that is not documented.
    Value,
    /// A documented field is missing or cannot be read.
    Broken,
    /// A type or channel that is not documented.
    Type,
    /// A channel publishes at another pace.
    Cadence,
}

impl What {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Field, Self::Value, Self::Broken, Self::Type, Self::Cadence];

    /// In one word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Field => "field",
            Self::Value => "value",
            Self::Broken => "broken",
            Self::Type => "type",
            Self::Cadence => "cadence",
        }
    }
}

/// What tells findings apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// Whose message.
    pub venue: VenueId,
    /// Kind.
    pub what: What,
    /// Channel as the venue names it; empty where a message names none.
    pub channel: Text<32>,
    /// Name of the field or type.
    pub name: Text<32>,
    /// The value, where it is one.
    pub value: Text<32>,
}

/// A departure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What it is.
    pub key: Key,
    /// Messages (or windows) that showed it.
    pub count: u64,
    /// When it was first seen, wall time, ns.
    pub first: Nanos,
    /// Day on which it was last seen, since the Unix epoch in UTC.
    pub day: i64,
    /// Pace before and now, ns; 0 but for [`What::Cadence`].
    pub pace: [Nanos; 2],
    #[serde(with = "array")]
    sample: [u8; SAMPLE_MAX],
    sample_len: u8,
}

impl Finding {
    /// A part of the first message that showed it; empty where it may not be shown.
    pub fn sample(&self) -> &[u8] {
        &self.sample[..usize::from(self.sample_len)]
    }
}

/// The table of findings.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sentinel {
    findings: Vec<Finding>,
    kinds: [u64; What::ALL.len()],
    untold: u64,
}

impl Default for Sentinel {
    fn default() -> Self {
        Self { findings: Vec::with_capacity(FINDINGS_MAX), kinds: Default::default(), untold: 0 }
    }
}

impl Sentinel {
    /// A message departs. `sample` is cut to [`SAMPLE_MAX`] bytes.
    #[cold]
    pub fn note(&mut self, key: Key, sample: &[u8], wall: Nanos) {
        self.put(key, [0; 2], sample, wall);
    }

    /// A channel changed its pace. Both paces are those of the latest window.
    #[cold]
    pub fn note_pace(&mut self, change: Change, wall: Nanos) {
        let text = |text: &str| Text::new(text).unwrap_or_default();
        let (venue, channel) = (change.venue, text(change.channel.as_str()));
        let key = Key { venue, what: What::Cadence, channel, name: text("interval"), value: Text::EMPTY };
        self.put(key, [change.long_ns, change.short_ns], &[], wall);
    }

    fn put(&mut self, key: Key, pace: [Nanos; 2], sample: &[u8], wall: Nanos) {
        self.kinds[key.what as usize] += 1;
        let day = wall.div_euclid(86_400 * SECOND);
        if let Some(finding) = self.findings.iter_mut().find(|finding| finding.key == key) {
            (finding.count, finding.day, finding.pace) = (finding.count + 1, day, pace);
            return;
        }
        if self.findings.len() == FINDINGS_MAX {
            self.untold += 1;
            return;
        }
        let len = sample.len().min(SAMPLE_MAX);
        let mut kept = [0; SAMPLE_MAX];
        kept[..len].copy_from_slice(&sample[..len]);
        let sample_len = len as u8;
        self.findings.push(Finding { key, count: 1, first: wall, day, pace, sample: kept, sample_len });
    }

    /// Everything found, in order of its first appearance.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Departures by kind, in the order of [`What::ALL`].
    pub fn kinds(&self) -> [u64; What::ALL.len()] {
        self.kinds
    }

    /// Departures that found no place in the table.
    pub fn untold(&self) -> u64 {
        self.untold
    }

    /// Rises with every departure.
    pub fn revision(&self) -> u64 {
        self.kinds.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key { channel: Text::new("trades").unwrap(), name: Text::new(name).unwrap(), ..Key::default() }
    }

    #[test]
    fn a_departure_is_counted_under_its_name_with_its_first_sample() {
        let mut sentinel = Sentinel::default();
        let day = 86_400 * SECOND;
        sentinel.note(key("a"), b"first", 3 * day);
        sentinel.note(key("a"), b"second", 5 * day + 1);
        sentinel.note(Key { venue: VenueId(1), ..key("a") }, &[b'x'; 500], 5 * day);
        let [first, other] = sentinel.findings() else { panic!() };
        assert_eq!((first.count, first.first, first.day, first.sample()), (2, 3 * day, 5, &b"first"[..]));
        assert_eq!((other.count, other.sample().len()), (1, SAMPLE_MAX));
        assert_eq!((sentinel.revision(), sentinel.kinds()), (3, [3, 0, 0, 0, 0]));
    }

    #[test]
    fn the_table_is_bounded_and_what_finds_no_place_is_counted() {
        let mut sentinel = Sentinel::default();
        for n in 0..FINDINGS_MAX + 5 {
            sentinel.note(key(&format!("field{n}")), b"", 1);
        }
        sentinel.note(key("field3"), b"", 2);
        assert_eq!((sentinel.findings().len(), sentinel.untold()), (FINDINGS_MAX, 5));
        assert_eq!(sentinel.findings()[3].count, 2);
    }
}
