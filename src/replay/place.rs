//! Naming a place in a run: by the number of an input, or by time. One notation for every command.
//!
//! | written | means |
//! |---|---|
//! | `12345` | input 12345 |
//! | `1764220000123456789` | ns since 1970, as `--json` prints them (from 10¹⁵ on) |
//! | `2026-11-27T13:40:00.5Z` | RFC 3339 |
//! | `13:40:00.5` | a time of day in UTC, the first such after the run began |
//! | `+12.5s`, `+250ms`, `+3m`, `+1h` | since the first input |
//! | `end` | the last input |

use super::cursor::Cursor;
use super::part;
use super::source::{Inputs, ReplayError};
use crate::domain::calendar;
use crate::domain::event::Seq;
use crate::domain::input::{Input, RawInput};
use crate::domain::order::ClientId;
use crate::domain::time::{MILLI, Nanos, SECOND, Stamp};
use crate::journal::{Stream, read_mark};
use std::path::Path;
use std::str::FromStr;

/// A bare number from here on is a time: 12 days after 1970 as nanoseconds, and more inputs than a run has.
const NANOS_MIN: u64 = 1_000_000_000_000_000;
const DAY: Nanos = 86_400 * SECOND;

/// A place in a run, as somebody wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The number of an input.
    Seq(Seq),
    /// Wall time, ns since the epoch.
    Wall(Nanos),
    /// A time of day in UTC, ns.
    OfDay(Nanos),
    /// Monotonic time since the first input, ns.
    Since(Nanos),
    /// The last input.
    End,
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let place = match (text.strip_prefix('+'), text.parse::<u64>()) {
            _ if text == "end" => Some(Self::End),
            (Some(rest), _) => duration(rest).map(Self::Since),
            (None, Ok(number)) if number < NANOS_MIN => Some(Self::Seq(Seq(number))),
            (None, Ok(number)) => i64::try_from(number).ok().map(Self::Wall),
            (None, Err(_)) => calendar::parse(text).map(Self::Wall).or_else(|| of_day(text).map(Self::OfDay)),
        };
        place.ok_or_else(|| {
            format!(
                "{text} is no place in a run: give the number of an input, a time such as 2026-11-27T13:40:00Z or \
                 13:40:00.5 (UTC), nanoseconds since 1970, +12.5s after the beginning, or end"
            )
        })
    }
}

/// `12.5s`, `3m`, `250ms`, `10us`; at most nine decimals, and whole nanoseconds.
pub fn duration(text: &str) -> Option<Nanos> {
    let unit_at = text.find(|c: char| c.is_ascii_alphabetic())?;
    let unit = match &text[unit_at..] {
        "ns" => 1,
        "us" => 1_000,
        "ms" => MILLI,
        "s" => SECOND,
        "m" => 60 * SECOND,
        "h" => 3_600 * SECOND,
        _ => return None,
    };
    let unit = i128::from(unit);
    let nanos = decimal(&text[..unit_at])?.checked_mul(unit)?;
    (nanos % i128::from(SECOND) == 0).then(|| (nanos / i128::from(SECOND)).try_into().ok()).flatten()
}

/// An order of the run with this boot epoch: 32 hex digits, or those of its number within the run (`2a`).
pub fn order_named(text: &str, epoch: u64) -> Option<ClientId> {
    if text.len() == 32 {
        return ClientId::parse(text.as_bytes());
    }
    let is_number = (1..=16).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = is_number.then(|| u64::from_str_radix(text, 16).ok()).flatten()?;
    Some(ClientId::new(epoch, number))
}

/// A number without sign, times 10⁹.
fn decimal(text: &str) -> Option<i128> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(part) || part.len() > 9 {
        return None;
    }
    let part: i128 = format!("{part:0<9}").parse().ok()?;
    whole.parse::<i128>().ok()?.checked_mul(SECOND.into())?.checked_add(part)
}

/// `HH:MM:SS` with decimals.
fn of_day(text: &str) -> Option<Nanos> {
    calendar::parse(&format!("1970-01-01T{text}Z")).filter(|nanos| (0..DAY).contains(nanos))
}

impl Place {
    /// How an instant of a run that began at `start` (`mono`) lies to a time; `None` for places that are none.
    pub fn compare(self, at: Stamp, start: Nanos) -> Option<std::cmp::Ordering> {
        match self {
            Self::Since(since) => Some(at.mono.saturating_sub(start).cmp(&since)),
            Self::Wall(wall) => Some(at.wall.cmp(&wall)),
            Self::Seq(_) | Self::OfDay(_) | Self::End => None,
        }
    }

    /// The first input that is at the place or after it; `None` when the run ends before. `cursor` stays where it is.
    pub fn first(self, cursor: &mut Cursor) -> Result<Option<Seq>, ReplayError> {
        match self {
            Self::Seq(seq) => kept(cursor, Seq(seq.0.max(1))).map(Some),
            Self::End => end(cursor),
            _ => reach(cursor, self.wanted(cursor.dir(), 0)?),
        }
    }

    /// The last input that is at the place or before it (0 = none); `None` when the run ends before the place.
    pub fn last(self, cursor: &mut Cursor) -> Result<Option<Seq>, ReplayError> {
        match self {
            Self::Seq(seq) => kept(cursor, seq).map(Some),
            Self::End => Ok(None),
            _ => Ok(reach(cursor, self.wanted(cursor.dir(), 1)?)?.map(|seq| Seq(seq.0 - 1))),
        }
    }

    /// The time as ns since the epoch, where it is one.
    pub fn wall(self, dir: &Path) -> Result<Option<Nanos>, ReplayError> {
        Ok(match self {
            Self::Seq(_) | Self::End => None,
            Self::Wall(wall) => Some(wall),
            Self::OfDay(nanos) => {
                let began = began(dir)?.wall;
                let today = began.div_euclid(DAY) * DAY + nanos;
                Some(if today < began { today + DAY } else { today })
            }
            Self::Since(nanos) => Some(began(dir)?.wall.saturating_add(nanos)),
        })
    }

    /// What an input must have reached, `more` ns later.
    fn wanted(self, dir: &Path, more: Nanos) -> Result<Wanted, ReplayError> {
        Ok(match self {
            Self::Since(nanos) => Wanted::Mono(began(dir)?.mono.saturating_add(nanos).saturating_add(more)),
            // A sequence is none of these; the first input has reached it.
            _ => Wanted::Wall(self.wall(dir)?.unwrap_or(Nanos::MIN).saturating_add(more)),
        })
    }
}

/// The wall clock of a run, also before the first input that tells it (input 2 of a run): by then the engine knows none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WallClock(Option<Nanos>);

impl WallClock {
    /// Of the journal in `dir`; its first inputs are read.
    pub fn of(dir: &Path) -> Result<Self, ReplayError> {
        match began(dir) {
            Ok(start) => Ok(Self(Some(start.wall - start.mono))),
            Err(ReplayError::Place { .. }) => Ok(Self(None)),
            Err(why) => Err(why),
        }
    }

    /// An instant as the engine had it, with the wall clock that was told later; as it is where none was.
    pub fn at(self, stamp: Stamp) -> Stamp {
        match self.0 {
            Some(ahead) if stamp.wall == stamp.mono => Stamp { wall: stamp.mono + ahead, ..stamp },
            _ => stamp,
        }
    }
}

/// An input by its number, unless it stood before the first that is kept.
fn kept(cursor: &Cursor, seq: Seq) -> Result<Seq, ReplayError> {
    let after = cursor.begins_after();
    if seq > after || seq.0 <= 1 {
        return Ok(seq); // 1 is the beginning of whatever is there
    }
    let (dir, first) = (cursor.dir().to_owned(), after.0 + 1);
    let why = format!("input {} is not kept: the record begins at input {first}", seq.0);
    Err(ReplayError::Place { dir, why })
}

/// The last input of the record, found from where the journal says that it is written to.
fn end(cursor: &Cursor) -> Result<Option<Seq>, ReplayError> {
    let (dir, run_id) = (cursor.dir(), cursor.manifest().run_id.0);
    let written = read_mark(dir, Stream::Inputs, run_id).map_or(0, |mark| mark.seq);
    for after in [written.saturating_sub(1), 0] {
        let mut inputs = Inputs::open_after(dir, Seq(after))?;
        let mut last = None;
        while let Some((seq, _)) = inputs.next()? {
            last = Some(seq);
        }
        if last.is_some() {
            return Ok(last);
        }
    }
    Ok(None)
}

#[derive(Clone, Copy)]
enum Wanted {
    Mono(Nanos),
    Wall(Nanos),
}

/// When the run began, by the first input and the first word about the wall clock.
fn began(dir: &Path) -> Result<Stamp, ReplayError> {
    let mut inputs = Inputs::open(dir)?;
    let (mut mono, known) = (None, part::start_wall(dir)?);
    while let Some((_, RawInput { mono: at, input, .. })) = inputs.next()? {
        let mono = *mono.get_or_insert(at);
        if let Some(anchor) = known {
            return Ok(Stamp { mono, wall: mono + anchor });
        }
        if let Input::Anchor(anchor) = input {
            return Ok(Stamp { mono, wall: mono + anchor });
        }
    }
    Err(ReplayError::Place {
        dir: dir.to_owned(),
        why: "the run does not say what its wall clock was: name a place by the number of an input"
            .to_owned(),
    })
}

/// The first input that has reached a time: the monotonic one through the index of the journal, the wall clock, which an
/// input may set anew, from the last snapshot before it.
fn reach(cursor: &mut Cursor, wanted: Wanted) -> Result<Option<Seq>, ReplayError> {
    match wanted {
        Wanted::Mono(mono) => scan(Inputs::open_at_time(cursor.dir(), mono)?, 0, |stamp| stamp.mono >= mono),
        Wanted::Wall(wall) => {
            let (seq, anchor) = cursor.known_before(wall);
            scan(Inputs::open_after(cursor.dir(), seq)?, anchor, |stamp| stamp.wall >= wall)
        }
    }
}

/// The first input whose instant is as wanted, where the wall clock is `anchor` ahead at the beginning.
fn scan(
    mut inputs: Inputs,
    mut anchor: Nanos,
    is_there: impl Fn(Stamp) -> bool,
) -> Result<Option<Seq>, ReplayError> {
    let mut mono = Nanos::MIN;
    while let Some((seq, raw)) = inputs.next()? {
        mono = mono.max(raw.mono);
        if let Input::Anchor(to) = raw.input {
            anchor = to;
        }
        if is_there(Stamp { mono, wall: mono + anchor }) {
            return Ok(Some(seq));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_notation_is_read_and_what_is_none_is_refused_with_the_notations() {
        let hour = 3_600 * SECOND;
        for (text, place) in [
            ("12345", Place::Seq(Seq(12_345))),
            ("1764220000123456789", Place::Wall(1_764_220_000_123_456_789)),
            ("2026-11-27T13:40:00Z", Place::Wall(1_795_786_800_000_000_000)),
            ("13:40:00.5", Place::OfDay(13 * hour + 40 * 60 * SECOND + SECOND / 2)),
            ("+12.5s", Place::Since(12 * SECOND + SECOND / 2)),
            ("+250ms", Place::Since(250 * MILLI)),
            ("+1.5h", Place::Since(hour + hour / 2)),
            ("+0ns", Place::Since(0)),
            ("+10055100000ns", Place::Since(10_055_100_000)),
            ("end", Place::End),
        ] {
            assert_eq!(text.parse(), Ok(place), "{text}");
        }
        for bad in [
            "",
            "-1",
            "+",
            "+5",
            "+s",
            "+1.s",
            "+0.1ns",
            "+-1s",
            "25:00:00",
            "13:40",
            "1e9",
            "yesterday",
            "+1d",
            "+99999999999999999999ns",
            "+999999999999999999999999999999999999999h",
        ] {
            let error = bad.parse::<Place>().expect_err(bad);
            assert!(error.contains("+12.5s"), "{error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_a_place_or_none(text in "\\PC{0,20}") {
            let _ = (text.parse::<Place>(), duration(&text));
        }
    }
}
