//! Places in a run as people say them.

use super::WhyError;
use crate::domain::calendar;
use crate::domain::time::{Nanos, SECOND, Stamp};

/// Numbers from here on are nanoseconds since the epoch (April 1970), below they are sequences.
const EPOCH_NANOS_MIN: u64 = 10_000_000_000_000_000;

/// A place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// After this input.
    Seq(u64),
    /// After the first input that was received then or later, ns since the epoch.
    Wall(Nanos),
    /// The same, counted from the first input.
    Since(Nanos),
}

impl Place {
    /// A sequence, `+12.5s`, an RFC 3339 time, or nanoseconds since the epoch.
    pub fn parse(text: &str) -> Result<Self, WhyError> {
        let text = text.trim();
        let bad = || {
            WhyError::Place(format!(
                "`{text}` is no place in a run: give a sequence (4711), a time since its start (+12.5s), a time of \
                 receipt (2026-11-27T13:40:00Z) or nanoseconds since 1970"
            ))
        };
        if let Some(since) = text.strip_prefix('+') {
            let (number, unit) = [("ms", SECOND / 1_000), ("m", 60 * SECOND), ("s", SECOND), ("", SECOND)]
                .into_iter()
                .find_map(|(unit, ns)| Some((since.strip_suffix(unit)?, ns)))
                .ok_or_else(bad)?;
            let number = crate::domain::number::Num::parse(number.as_bytes()).map_err(|_| bad())?;
            let ns = crate::domain::money::Money::from_num(number).0 / 1_000_000_000 * i128::from(unit)
                / 1_000_000_000;
            return i64::try_from(ns).ok().filter(|ns| *ns >= 0).map(Self::Since).ok_or_else(bad);
        }
        match text.parse::<u64>() {
            Ok(number) if number < EPOCH_NANOS_MIN => Ok(Self::Seq(number)),
            Ok(number) => i64::try_from(number).map(Self::Wall).map_err(|_| bad()),
            Err(_) => calendar::parse(text).map(Self::Wall).ok_or_else(bad),
        }
    }

    /// Whether an input at `now` stands at it or behind; `first` is the instant of the first input.
    pub fn is_reached(self, seq: u64, now: Stamp, first: Stamp) -> bool {
        match self {
            Self::Seq(at) => seq >= at,
            Self::Wall(at) => now.wall >= at,
            Self::Since(at) => now.mono - first.mono >= at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_in_every_way_they_are_said_and_nothing_else() {
        let read = |text| Place::parse(text).ok();
        assert_eq!(read("4711"), Some(Place::Seq(4711)));
        assert_eq!(read("1760000000000000001"), Some(Place::Wall(1_760_000_000_000_000_001)));
        assert_eq!(read("+12.5s"), Some(Place::Since(12_500_000_000)));
        assert_eq!(read("+250ms"), Some(Place::Since(250_000_000)));
        assert_eq!(read("+2m"), Some(Place::Since(120 * SECOND)));
        assert_eq!(read("2024-02-29T12:00:00.5Z"), Some(Place::Wall(1_709_208_000_500_000_000)));
        for bad in ["", "-1", "+", "+-1s", "tomorrow", "1.5", "+1h"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
