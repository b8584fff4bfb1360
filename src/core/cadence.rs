//! How often venues publish: per listing and channel the median interval of the latest messages against the median
//! of the long run. A venue that slows a stream down, or merges two, says so nowhere else.
//!
//! Integers and a bounded table; time is the venue's, so that a slow network changes nothing. Streams that follow
//! the market (best prices, trades) are not watched: their pace says nothing of the venue. Of the others the listing
//! that publishes fastest is judged, because the quiet ones are silent for lack of changes.

use super::median::Median;
use crate::domain::event::EventBody;
use crate::domain::instrument::{InstrumentId, VenueId};
use crate::domain::time::Nanos;
use serde::{Deserialize, Serialize};

/// Intervals of a short window.
pub const WINDOW: u16 = 256;
/// Windows of the long run, and how many there must be before anything is judged.
const LONG: usize = 65;
const LONG_MIN: usize = 16;
/// Windows in a row that must depart before it is said.
const CONFIRM: u8 = 3;
/// A departure: 7/4 of the long run's interval, or 4/7.
const FACTOR: (i64, i64) = (7, 4);
/// Intervals are sorted into eight classes an octave from 2¹⁶ ns (65 µs) to 2⁴² ns (73 min).
const CLASSES: usize = 26 * 8;

/// Channels whose pace is the venue's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paced {
    /// Depth.
    Depth,
    /// Mark prices.
    Mark,
    /// Index prices where they come alone.
    Index,
    /// Funding where it comes alone.
    Funding,
}

impl Paced {
    const ALL: [Self; 4] = [Self::Depth, Self::Mark, Self::Index, Self::Funding];

    /// In one word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Depth => "depth",
            Self::Mark => "mark",
            Self::Index => "index",
            Self::Funding => "funding",
        }
    }

    /// The channel of an event with its listing and venue time; `None` where the pace is not watched.
    #[inline]
    pub fn of(event: &EventBody) -> Option<(Self, InstrumentId, Nanos)> {
        match event {
            EventBody::Levels(chunk) if chunk.last => Some((Self::Depth, chunk.instrument, chunk.venue_ns)),
            EventBody::Mark(mark) => {
                let channel = match (mark.mark, mark.index) {
                    (Some(_), _) => Self::Mark,
                    (None, Some(_)) => Self::Index,
                    (None, None) => Self::Funding,
                };
                Some((channel, mark.instrument, mark.venue_ns))
            }
            _ => None,
        }
    }
}

/// A channel that changed its pace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Whose.
    pub venue: VenueId,
    /// Which.
    pub channel: Paced,
    /// Median interval of the long run, ns.
    pub long_ns: Nanos,
    /// Median interval of the latest messages, ns.
    pub short_ns: Nanos,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Stream {
    last: Nanos,
    /// Of [`CLASSES`] classes of intervals.
    classes: Box<[u16]>,
    count: u16,
    long: Median,
    departed: u8,
}

/// All streams of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Cadence {
    /// By listing, [`Paced::ALL`] each.
    streams: Vec<Stream>,
    venues: Vec<VenueId>,
}

impl Cadence {
    /// For listings of these venues, in their order.
    pub fn new(venues: impl Iterator<Item = VenueId>) -> Self {
        let venues: Vec<VenueId> = venues.collect();
        let stream = || Stream {
            last: 0,
            classes: vec![0; CLASSES].into_boxed_slice(),
            count: 0,
            long: Median::new(LONG),
            departed: 0,
        };
        Self { streams: (0..venues.len() * Paced::ALL.len()).map(|_| stream()).collect(), venues }
    }

    /// An event passed: what it proves, if anything.
    #[inline]
    pub fn on_event(&mut self, event: &EventBody) -> Option<Change> {
        let (channel, listing, at) = Paced::of(event)?;
        let index = listing.index() * Paced::ALL.len() + channel as usize;
        let stream = self.streams.get_mut(index)?;
        let interval = at - std::mem::replace(&mut stream.last, at);
        // The first message, one without a time, or the same moment told in two messages.
        if interval <= 0 || interval == at {
            return None;
        }
        stream.classes[class_of(interval)] += 1;
        stream.count += 1;
        if stream.count < WINDOW {
            return None;
        }
        self.judge(index, channel)
    }

    /// A window is full.
    fn judge(&mut self, index: usize, channel: Paced) -> Option<Change> {
        let stream = &mut self.streams[index];
        let short = stream.take_median();
        let before = stream.long.value().filter(|_| stream.long.len() >= LONG_MIN);
        stream.long.push(short);
        let long = before?;
        let departs = short * FACTOR.1 >= long * FACTOR.0 || short * FACTOR.0 <= long * FACTOR.1;
        stream.departed = if departs { stream.departed.saturating_add(1) } else { 0 };
        if stream.departed < CONFIRM {
            return None;
        }
        let venue = self.venues[index / Paced::ALL.len()];
        self.is_fastest(index, venue, long).then_some(Change {
            venue,
            channel,
            long_ns: long,
            short_ns: short,
        })
    }

    /// Whether no other listing of the venue publishes the channel faster in the long run.
    fn is_fastest(&self, index: usize, venue: VenueId, long: Nanos) -> bool {
        let kinds = Paced::ALL.len();
        let others = self.streams.iter().skip(index % kinds).step_by(kinds).zip(&self.venues);
        others
            .filter(|(_, of)| **of == venue)
            .all(|(other, _)| other.long.value().is_none_or(|ns| ns >= long))
    }
}

impl Stream {
    /// The median of the window, as the middle of its class; the next window begins.
    fn take_median(&mut self) -> Nanos {
        let (mut seen, mut class) = (0, 0);
        for (at, count) in self.classes.iter().enumerate() {
            seen += count;
            if seen > WINDOW / 2 {
                class = at;
                break;
            }
        }
        self.classes.fill(0);
        self.count = 0;
        middle(class)
    }
}

/// The class of an interval: its octave and the three bits behind the first.
fn class_of(interval: Nanos) -> usize {
    let interval = (interval as u64).clamp(1 << 16, (1 << 42) - 1);
    let octave = interval.ilog2();
    ((octave - 16) as usize) << 3 | (interval >> (octave - 3) & 7) as usize
}

/// The middle of a class, ns.
fn middle(class: usize) -> Nanos {
    let (octave, eighth) = (class / 8 + 16, (class % 8) as i64);
    let width = 1 << (octave - 3);
    (8 + eighth) * width + width / 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::{LevelsChunk, Mark};
    use crate::domain::number::Num;
    use crate::domain::time::{MILLI, SECOND};

    fn depth(listing: u16, at: Nanos) -> EventBody {
        let instrument = InstrumentId(listing);
        EventBody::Levels(LevelsChunk { instrument, last: true, venue_ns: at, ..LevelsChunk::default() })
    }

    struct Run {
        cadence: Cadence,
        now: Nanos,
        changes: Vec<Change>,
    }

    impl Run {
        fn new() -> Self {
            let venues = [0, 0, 1].map(VenueId);
            Self { cadence: Cadence::new(venues.into_iter()), now: 1_700_000_000 * SECOND, changes: vec![] }
        }

        /// `windows` windows of messages of one listing.
        fn run(&mut self, windows: u32, listing: u16, interval: Nanos) {
            for n in 0..u32::from(WINDOW) * windows {
                // A few milliseconds early and late in turn, as timers are.
                self.now += interval + (Nanos::from(n % 3) - Nanos::from(n % 2)) * MILLI / 2;
                self.changes.extend(self.cadence.on_event(&depth(listing, self.now)));
            }
        }
    }

    #[test]
    fn classes_are_narrow_and_hold_their_middle() {
        for interval in
            [1, 70_000, MILLI, 20 * MILLI, 100 * MILLI, 333 * MILLI, SECOND, 60 * SECOND, 9_999 * SECOND]
        {
            let class = class_of(interval);
            assert_eq!(class_of(middle(class)), class);
            let inside = interval.clamp(1 << 16, (1 << 42) - 1);
            assert!((middle(class) - inside).abs() * 15 <= inside, "{interval}: {}", middle(class));
        }
        assert!(class_of(Nanos::MAX) < CLASSES);
    }

    #[test]
    fn half_the_pace_is_told_after_three_windows_and_the_usual_pace_never() {
        let mut run = Run::new();
        // Intervals begin with the second message.
        run.changes.extend(run.cadence.on_event(&depth(0, run.now)));
        run.run(40, 0, 100 * MILLI);
        assert_eq!(run.changes, []);
        run.run(2, 0, 200 * MILLI);
        assert_eq!(run.changes, [], "two windows are chance");
        run.run(1, 0, 200 * MILLI);
        let [change] = run.changes[..] else { panic!("{:?}", run.changes) };
        assert_eq!((change.venue, change.channel), (VenueId(0), Paced::Depth));
        assert!(
            (change.long_ns - 100 * MILLI).abs() < 8 * MILLI
                && (change.short_ns - 200 * MILLI).abs() < 16 * MILLI
        );
        run.run(80, 0, 200 * MILLI);
        let told = run.changes.len();
        run.run(40, 0, 200 * MILLI);
        assert_eq!(run.changes.len(), told, "the new pace has become the usual one");
        run.run(4, 0, 90 * MILLI);
        assert!(run.changes.len() > told, "faster is a change too");
    }

    #[test]
    fn a_quiet_listing_beside_a_busy_one_says_nothing() {
        let mut run = Run::new();
        run.run(40, 0, 100 * MILLI);
        run.run(40, 1, 150 * MILLI);
        run.run(8, 1, 900 * MILLI);
        assert_eq!(run.changes, []);
        run.run(8, 0, 900 * MILLI);
        assert!(!run.changes.is_empty());
    }

    #[test]
    fn only_streams_with_a_pace_of_their_own_are_watched() {
        let mark = |mark: Option<i64>, index: Option<i64>| {
            let num = |n: Option<i64>| n.map(|n| Num::new(n, 0));
            EventBody::Mark(Mark { mark: num(mark), index: num(index), venue_ns: 5, ..Mark::default() })
        };
        let channel = |event: &EventBody| Paced::of(event).map(|(channel, ..)| channel);
        assert_eq!(channel(&mark(Some(1), Some(2))), Some(Paced::Mark));
        assert_eq!(channel(&mark(None, Some(2))), Some(Paced::Index));
        assert_eq!(channel(&mark(None, None)), Some(Paced::Funding));
        assert_eq!(channel(&EventBody::Bbo(Default::default())), None);
        assert_eq!(channel(&EventBody::Trade(Default::default())), None);
        let mut cadence = Cadence::new(std::iter::empty());
        assert_eq!(cadence.on_event(&mark(Some(1), None)), None, "of no listing");
    }
}
