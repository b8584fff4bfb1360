//! Findings of the sentinel for people and programs: a sentence a day, an object for reports, rows for monitors.

use super::view::{Names, View};
use crate::core::sentinel::{Finding, What};
use crate::domain::calendar;
use crate::domain::time::{MILLI, Nanos};
use serde::Serialize;

/// A finding in a report.
#[derive(Clone, Debug, Serialize)]
pub struct DriftReport {
    /// Venue.
    pub venue: String,
    /// Channel as the venue names it.
    pub channel: String,
    /// What departs: field, value, broken, type or cadence.
    pub kind: &'static str,
    /// Name of the field or type.
    pub name: String,
    /// The value, where it is one; of a cadence the interval before and now.
    pub value: String,
    /// Messages that showed it (windows of a cadence).
    pub count: u64,
    /// When it was first seen, ms since the Unix epoch.
    pub first_ms: i64,
    /// A part of the first message that showed it.
    pub sample: String,
}

impl DriftReport {
    /// Of one finding.
    pub fn of(finding: &Finding, names: &Names) -> Self {
        let key = &finding.key;
        Self {
            venue: names.venue(key.venue).to_owned(),
            channel: key.channel.to_string(),
            kind: key.what.as_str(),
            name: key.name.to_string(),
            value: match key.what {
                What::Cadence => pace(finding.pace),
                _ => key.value.to_string(),
            },
            count: finding.count,
            first_ms: finding.first / MILLI,
            sample: printable(finding.sample()),
        }
    }
}

/// All findings of a view.
pub fn reports(view: &View) -> Vec<DriftReport> {
    view.drift.iter().map(|finding| DriftReport::of(finding, &view.names)).collect()
}

/// A finding as a sentence that is the same for the whole of a day, so that a log that leaves out what it has just said
/// has it once a day.
pub fn sentence(finding: &Finding, names: &Names) -> String {
    let report = DriftReport::of(finding, names);
    let DriftReport { venue, channel, name, value, sample, .. } = &report;
    let what = match finding.key.what {
        What::Field => format!("the field `{name}` is not documented"),
        What::Value => format!("`{value}` is no documented value of `{name}`"),
        What::Broken => format!("the field `{name}` is missing or cannot be read"),
        What::Type => "messages of this type are not documented".to_owned(),
        // The paces vary from window to window.
        What::Cadence => {
            return format!("drift: {venue} {channel}: published at another pace, {}", date(finding.day));
        }
    };
    format!("drift: {venue} {channel}: {what}, seen {}: {sample}", date(finding.day))
}

fn pace([before, now]: [Nanos; 2]) -> String {
    format!("{} ms, now {} ms", before / MILLI, now / MILLI)
}

/// What is no printable ASCII becomes a dot.
fn printable(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| if matches!(byte, b' '..=b'~') { char::from(*byte) } else { '.' }).collect()
}

/// The date of a day since the Unix epoch.
fn date(day: i64) -> String {
    let (year, month, day) = calendar::date(day);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::cadence::{Change, Paced};
    use crate::core::sentinel::{Key, Sentinel};
    use crate::domain::instrument::VenueId;
    use crate::domain::text::Text;
    use crate::domain::time::SECOND;

    #[test]
    fn a_sentence_changes_with_the_day_and_not_with_the_count() {
        let names = Names { venues: vec!["okx".into()], ..Names::default() };
        let text = |text: &str| Text::new(text).unwrap();
        let mut sentinel = Sentinel::default();
        let key = Key {
            what: What::Value,
            channel: text("trades"),
            name: text("side"),
            value: text("up"),
            ..Key::default()
        };
        let day = 86_400 * SECOND;
        sentinel.note(key, b"{\"side\":\"up\"\x01\xff", 20_784 * day);
        let first = sentence(&sentinel.findings()[0], &names);
        let expected =
            "drift: okx trades: `up` is no documented value of `side`, seen 2026-11-27: {\"side\":\"up\"..";
        assert_eq!(first, expected);
        sentinel.note(key, b"", 20_784 * day + 5);
        assert_eq!(sentence(&sentinel.findings()[0], &names), first);
        sentinel.note(key, b"", 20_785 * day);
        assert!(sentence(&sentinel.findings()[0], &names).contains("2026-11-28"));
        let (long_ns, short_ns) = (100 * MILLI, 200 * MILLI);
        sentinel.note_pace(Change { venue: VenueId(0), channel: Paced::Mark, long_ns, short_ns }, 0);
        let report = DriftReport::of(&sentinel.findings()[1], &names);
        assert_eq!((report.kind, report.value.as_str()), ("cadence", "100 ms, now 200 ms"));
        assert!(sentence(&sentinel.findings()[1], &names).ends_with("at another pace, 1970-01-01"));
    }
}
