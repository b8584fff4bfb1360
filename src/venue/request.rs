//! A request of a session machine that is wanted until it succeeds: sent when due, given up when no reply comes, sent again
//! later. What is asked for, how often, and what a reply says is the dialect's (its `adapter`).

use crate::domain::instrument::InstrumentId;
use crate::domain::time::Nanos;
use serde::{Deserialize, Serialize};

/// The count in an id begins again behind this: 27 bits of count and [`KIND_BITS`] of kind stay below the half of the range
/// that route uses.
const COUNT_MAX: u32 = 0x07ff_fffe;
/// Low bits of an id that say what was asked for.
const KIND_BITS: u32 = 4;

/// A request of one kind; at most one of a kind is outstanding.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Request {
    /// Not yet answered to our satisfaction.
    pub wanted: bool,
    /// Outstanding id, 0 = none.
    id: u32,
    /// When to give up waiting (outstanding) or to send (not outstanding).
    pub due: Nanos,
    /// Failures in a row.
    pub failures: u32,
    /// What it is about, or where a list goes on, as the dialect counts.
    #[serde(default)]
    pub arg: u64,
    /// Which instrument, where it is about one.
    #[serde(default)]
    pub instrument: Option<InstrumentId>,
    /// Pages read of a list.
    #[serde(default)]
    pub pages: u32,
}

impl Request {
    /// Wanted, from its first page, to be sent at `due`.
    pub fn wanted_at(due: Nanos) -> Self {
        Self { wanted: true, due, ..Self::default() }
    }

    /// A reply is waited for.
    pub fn is_out(&self) -> bool {
        self.id != 0
    }

    /// The reply with that id is the one that is waited for.
    pub fn awaits(&self, id: u32) -> bool {
        self.wanted && self.id == id
    }

    /// It is being asked for, or is about to be; a later date is not.
    pub fn is_asking(&self, now: Nanos) -> bool {
        self.wanted && (self.is_out() || self.failures > 0 || self.due <= now)
    }

    /// It waits for its time, which is later than `at`.
    pub fn is_later(&self, at: Nanos) -> bool {
        self.wanted && !self.is_out() && self.due > at
    }

    /// It goes out under the number `id`, to be answered until `until`.
    pub fn send(&mut self, id: u32, until: Nanos) {
        (self.id, self.due) = (id, until);
    }

    /// It failed: it is sent again after the delay that is due for so many failures. Returns when.
    pub fn fail(&mut self, now: Nanos, delay: impl FnOnce(u32) -> Nanos) -> Nanos {
        self.id = 0;
        self.failures = self.failures.saturating_add(1);
        self.due = now + delay(self.failures);
        self.due
    }
}

/// The next id of a request of that kind, never 0; `count` counts them.
pub(super) fn next_id(count: &mut u32, kind: usize) -> u32 {
    *count = *count % COUNT_MAX + 1;
    (*count << KIND_BITS) | kind as u32
}

/// The kind that an id names.
pub(super) fn kind_of(id: u32) -> usize {
    (id & ((1 << KIND_BITS) - 1)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::SECOND;

    #[test]
    fn it_is_asked_until_it_is_answered() {
        let mut request = Request::wanted_at(5);
        assert!(request.is_later(4) && !request.is_later(5) && !request.is_asking(4) && request.is_asking(5));
        assert!(!request.awaits(77));
        request.send(77, SECOND);
        assert!(request.is_out() && request.awaits(77) && !request.awaits(78) && !request.is_later(0));
        assert_eq!(request.fail(SECOND, |failures| Nanos::from(failures) * 10), SECOND + 10);
        assert!(!request.awaits(77) && request.is_asking(SECOND), "sent again as soon as its delay is over");
        assert_eq!(request.fail(SECOND, |failures| Nanos::from(failures) * 10), SECOND + 20);
    }

    #[test]
    fn ids_name_their_kind_and_stay_in_the_lower_half() {
        let mut count = 0;
        assert_eq!((next_id(&mut count, 3), next_id(&mut count, 15)), (0x13, 0x2f));
        assert_eq!((kind_of(0x13), kind_of(0x2f)), (3, 15));
        count = COUNT_MAX - 1;
        assert_eq!(next_id(&mut count, 15) >> 31, 0);
        assert_eq!(next_id(&mut count, 1), 0x11, "begins again");
    }
}
