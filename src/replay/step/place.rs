//! Places of a run as they are written, and lengths of time.

use crate::domain::calendar;
use crate::domain::number::Num;
use crate::domain::time::{MICRO, MILLI, Nanos, SECOND, Stamp};

/// From here on a number is no sequence, but ns since the epoch: 2001-09-09, and more inputs than any run has.
const EPOCH_LEAST: u64 = 1_000_000_000_000_000_000;

/// A place of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// After this input.
    Seq(u64),
    /// At the first input so long after the run's first one, ns.
    Since(Nanos),
    /// At the first input received at this instant or later, ns since the epoch.
    Wall(Nanos),
    /// At the end.
    End,
}

impl Place {
    /// `4711`, `+12.5s`, `2026-11-27T13:40:00Z`, ns since the epoch, `end`.
    pub fn parse(text: &str) -> Option<Self> {
        if text == "end" {
            return Some(Self::End);
        }
        if let Some(rest) = text.strip_prefix('+') {
            return duration(rest).map(Self::Since);
        }
        match text.parse::<u64>() {
            Ok(number) if number >= EPOCH_LEAST => Nanos::try_from(number).ok().map(Self::Wall),
            Ok(number) => Some(Self::Seq(number)),
            Err(_) => calendar::parse(text).map(Self::Wall),
        }
    }

    /// How an instant of a run that began at `start` (`mono`) lies to a time; `None` for other places.
    pub fn compare(self, at: Stamp, start: Nanos) -> Option<std::cmp::Ordering> {
        match self {
            Self::Since(since) => Some(at.mono.saturating_sub(start).cmp(&since)),
            Self::Wall(wall) => Some(at.wall.cmp(&wall)),
            Self::Seq(_) | Self::End => None,
        }
    }
}

/// `250ms`, `1.5s`, `10us`, `5m`, `2h`, `7ns`.
pub fn duration(text: &str) -> Option<Nanos> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "ns" => 1,
        "us" => MICRO,
        "ms" => MILLI,
        "s" => SECOND,
        "m" => 60 * SECOND,
        "h" => 3_600 * SECOND,
        _ => return None,
    };
    let number = Num::parse(digits.as_bytes()).ok().filter(|number| number.mantissa >= 0)?;
    let (wide, per) = (i128::from(number.mantissa) * i128::from(unit), 10i128.pow(u32::from(number.scale)));
    (wide % per == 0).then(|| Nanos::try_from(wide / per).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sequences_times_and_lengths_are_told_apart() {
        assert_eq!(Place::parse("4711"), Some(Place::Seq(4711)));
        assert_eq!(Place::parse("+12.5s"), Some(Place::Since(12_500_000_000)));
        assert_eq!(Place::parse("1795786800000000000"), Place::parse("2026-11-27T13:40:00Z"));
        assert_eq!(Place::parse("end"), Some(Place::End));
        for bad in ["", "+", "+5", "+-1s", "-3", "5s", "1.5", "+0.1ns", "99999999999999999999"] {
            assert_eq!(Place::parse(bad), None, "{bad}");
        }
        assert_eq!(
            (duration("250ms"), duration("2m"), duration("1e3us")),
            (Some(250 * MILLI), Some(120 * SECOND), Some(MILLI))
        );
    }

    proptest! {
        #[test]
        fn any_text_is_a_place_or_none(text in "\\PC{0,20}") {
            let _ = (Place::parse(&text), duration(&text));
        }
    }
}
