//! What happened on the account while its stream was away: from when on the venue's own list of executions is read.
//!
//! An execution of an order of ours is asked about by the order; one of no order of ours (deleveraging, liquidation, a
//! hand) is told once, on the stream. So after every outage the list is read from the last word before it on, until
//! that succeeds. The ledger counts each trade id once, so reading too much costs nothing. What was before the stream
//! came up for the first time is the account's past, and no news.

use super::{Emit, Out};
use crate::domain::instrument::VenueId;
use crate::domain::time::{MILLI, Nanos, SECOND};
use serde::{Deserialize, Serialize};

/// The list is read from this long before the last word, ns: clocks differ, the last words were on their way, and a venue that
/// stays connected may have said nothing of what it did.
const MARGIN: Nanos = 60 * SECOND;

/// One account's executions. Times are `wall`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Missed {
    venue: VenueId,
    /// When the stream came up for the first time.
    first: Option<Nanos>,
    /// When something was heard on it last.
    heard: Nanos,
    /// The list is to be read from here on.
    since: Option<Nanos>,
}

impl Missed {
    /// Nothing was heard yet.
    pub const fn new(venue: VenueId) -> Self {
        Self { venue, first: None, heard: 0, since: None }
    }

    /// A message on the stream.
    #[inline]
    pub fn hear(&mut self, wall: Nanos) {
        self.heard = self.heard.max(wall);
    }

    /// The stream is away.
    pub fn lose(&mut self) {
        let Some(first) = self.first else { return };
        let from = (self.heard - MARGIN).max(first);
        self.since = Some(self.since.map_or(from, |since| since.min(from)));
    }

    /// The stream tells again what happens. Whether there is something to be read.
    pub fn resume(&mut self) -> bool {
        self.first.get_or_insert(self.heard);
        self.since.is_some()
    }

    /// From when on, ms since the epoch; now, where nothing is to be read.
    pub fn since_ms(&self) -> u64 {
        let at = self.since.unwrap_or(self.heard);
        u64::try_from(at.div_euclid(MILLI)).unwrap_or(0)
    }

    /// Whether an execution of that time, ms since the epoch, belongs to what is read.
    pub fn covers(&self, time_ms: i64) -> bool {
        u64::try_from(time_ms).is_ok_and(|ms| ms >= self.since_ms())
    }

    /// The list was read to its end.
    pub fn end(&mut self, out: &mut Out) {
        if self.since.take().is_some() {
            out.emit(Emit::ExecutionsRead(self.venue));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executions_are_read_from_the_last_word_on_until_that_succeeds_and_never_from_before_the_first() {
        let mut missed = Missed::new(VenueId(0));
        missed.lose();
        missed.hear(100 * SECOND);
        assert!(!missed.resume(), "the past is no news");
        missed.hear(103 * SECOND);
        missed.lose();
        assert!(missed.resume());
        assert_eq!(missed.since_ms(), 100_000, "not before the first word");
        missed.hear(200 * SECOND);
        missed.lose();
        assert_eq!(missed.since_ms(), 100_000, "it was not read in between");
        let mut out = Out::default();
        missed.end(&mut out);
        assert_eq!(out.items(), [Emit::ExecutionsRead(VenueId(0))]);
        assert!(!missed.resume());
        missed.lose();
        assert_eq!(missed.since_ms(), 140_000);
        assert!(missed.covers(140_000) && !missed.covers(139_999));
    }
}
