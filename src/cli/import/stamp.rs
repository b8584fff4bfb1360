//! Receive times as recorders write them, in nanoseconds since the Unix epoch.
//!
//! Whole numbers are told apart by their length, which is unambiguous between 2001 and 2286: 10 digits are
//! seconds, 13 milliseconds, 16 microseconds, 19 nanoseconds. With a point they are seconds. ISO 8601 is UTC.

use crate::domain::calendar;
use crate::domain::time::{Nanos, SECOND};

/// The time that the text means; `None` when it means none.
pub fn parse(text: &[u8]) -> Option<Nanos> {
    let text = std::str::from_utf8(text).ok()?;
    if text.len() > 10 && text.as_bytes()[4] == b'-' {
        return iso(text);
    }
    match text.split_once('.') {
        Some((seconds, fraction)) if seconds.len() == 10 => {
            whole(seconds)?.checked_mul(SECOND)?.checked_add(nanos(fraction)?)
        }
        Some(_) => None,
        None => {
            let unit = match text.len() {
                10 => SECOND,
                13 => 1_000_000,
                16 => 1_000,
                19 => 1,
                _ => return None,
            };
            whole(text)?.checked_mul(unit)
        }
    }
}

fn whole(text: &str) -> Option<i64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// A fraction of a second; digits beyond the ninth are cut.
fn nanos(fraction: &str) -> Option<Nanos> {
    if fraction.is_empty() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits = &fraction[..fraction.len().min(9)];
    whole(digits)?.checked_mul(10i64.pow(9 - digits.len() as u32))
}

/// `YYYY-MM-DDThh:mm:ss[.fraction]Z`.
fn iso(text: &str) -> Option<Nanos> {
    let text = text.strip_suffix('Z')?;
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let begun =
        calendar::parse(&format!("{seconds}Z")).filter(|_| seconds.as_bytes().get(10) == Some(&b'T'))?;
    begun.checked_add(nanos(fraction)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_recorders_time_is_read_to_the_nanosecond() {
        for (text, expected) in [
            ("1723161255030314667", Some(1_723_161_255_030_314_667)),
            ("1723161255030314", Some(1_723_161_255_030_314_000)),
            ("1723161255030", Some(1_723_161_255_030_000_000)),
            ("1723161255", Some(1_723_161_255_000_000_000)),
            ("1626992741.06217", Some(1_626_992_741_062_170_000)),
            ("1626992741.0621701234567", Some(1_626_992_741_062_170_123)),
            ("2024-08-08T23:54:15.0303146Z", Some(1_723_161_255_030_314_600)),
            ("2024-02-29T00:00:00Z", Some(1_709_164_800_000_000_000)),
            ("2000-03-01T00:00:00.5Z", Some(951_868_800_500_000_000)),
            ("1970-01-01T00:00:00Z", Some(0)),
            ("", None),
            ("12", None),
            ("17231612550303146670", None),
            ("1626992741.", None),
            ("16269927411.5", None),
            ("2024-13-01T00:00:00Z", None),
            ("2024-08-08T23:54:15", None),
            ("2024-08-08T23:54Z", None),
            ("99999999999999999999", None),
            ("2024-02-30T00:00:00Z", None),
            ("2024-08-08T23:54:60Z", None),
            ("2024-08-08 23:54:15Z", None),
            ("2024-08-08T23:54:15.12345678\u{e9}Z", None),
            ("1723161255.12345678\u{e9}", None),
            ("2024-08-08T23:54:15.0303146789Z", Some(1_723_161_255_030_314_678)),
        ] {
            assert_eq!(parse(text.as_bytes()), expected, "{text}");
        }
    }
}
