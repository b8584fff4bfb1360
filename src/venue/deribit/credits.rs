//! Credits of requests that do not reach the matching engine: one request too many ends the session, so they are
//! counted here and wait. Integers on event time.

use crate::domain::time::{Nanos, SECOND};
use serde::{Deserialize, Serialize};

/// Credits of most requests.
pub(super) const REQUEST: i64 = 500;
/// Credits of a subscription, and of taking one back.
pub(super) const SUBSCRIPTION: i64 = 3_000;
/// Credits of the list of instruments.
pub(super) const INSTRUMENTS: i64 = 10_000;
/// Credits of an account in full, and what flows in each second: what every account has.
const LEVEL_MAX: i64 = 50_000;
const REFILL: i64 = 10_000;
/// One part in this many is kept for what cannot wait: answers to test requests, logins, queries about orders.
const RESERVE_PART: i64 = 5;

/// Who pays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pool {
    /// Our address: whatever is asked without a login.
    Address,
    /// The account.
    Account,
}

/// The credits of one pool, counted in units of 10⁻⁹ so that a nanosecond's refill is whole.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Credits {
    level: i64,
    level_max: i64,
    /// Credits per second.
    refill: i64,
    at: Nanos,
}

impl Default for Credits {
    fn default() -> Self {
        Self { level: LEVEL_MAX * SECOND, level_max: LEVEL_MAX, refill: REFILL, at: 0 }
    }
}

impl Credits {
    /// Takes `cost`, or says when that will be possible.
    pub fn take(&mut self, cost: i64, now: Nanos) -> Result<(), Nanos> {
        self.flow(now);
        // What costs more than all that is not reserved may be had when the pool is full.
        let floor = (self.level_max / RESERVE_PART).min(self.level_max - cost).max(0);
        let wanted = (floor + cost).min(self.level_max) * SECOND;
        if self.level >= wanted {
            self.level -= (cost * SECOND).min(self.level);
            return Ok(());
        }
        Err(now + (wanted - self.level) / self.refill + 1)
    }

    /// Counts what was sent anyway.
    pub fn spend(&mut self, cost: i64, now: Nanos) {
        self.flow(now);
        self.level = (self.level - cost * SECOND).max(0);
    }

    /// The venue says that nothing is left.
    pub fn drained(&mut self, now: Nanos) {
        self.flow(now);
        self.level = 0;
    }

    /// The venue states what it grants: so many requests a second, and so many at once.
    pub fn grant(&mut self, rate: u32, burst: u32, now: Nanos) {
        self.flow(now);
        self.level_max = i64::from(burst.clamp(1, 100_000)) * REQUEST;
        self.refill = i64::from(rate.clamp(1, 100_000)) * REQUEST;
        self.level = self.level.min(self.level_max * SECOND);
    }

    fn flow(&mut self, now: Nanos) {
        let elapsed = now.saturating_sub(self.at).max(0);
        self.level =
            self.level.saturating_add(elapsed.saturating_mul(self.refill)).min(self.level_max * SECOND);
        self.at = self.at.max(now);
    }
}

/// When the next request over HTTP may be made.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct HttpPause {
    /// Nothing is asked before this, mono ns.
    pub free_at: Nanos,
    /// How often in a row the venue has refused for its limits.
    refused: u32,
}

/// The longest pause, unless the venue names a longer one.
const HTTP_PAUSE_MAX: Nanos = 300 * SECOND;

impl HttpPause {
    /// The venue refused for its limits: the next request waits, twice as long each time.
    pub fn refused(&mut self, now: Nanos) {
        let wait = (super::adapter::REFRESH_EVERY << self.refused.min(5)).min(HTTP_PAUSE_MAX);
        self.refused = self.refused.saturating_add(1);
        self.free_at = self.free_at.max(now + wait);
    }

    /// The venue answered.
    pub fn answered(&mut self) {
        self.refused = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_can_wait_leaves_a_fifth_and_waits_for_the_refill() {
        let mut credits = Credits::default();
        for _ in 0..13 {
            assert_eq!(credits.take(SUBSCRIPTION, 0), Ok(()));
        }
        let at = credits.take(SUBSCRIPTION, 0).unwrap_err();
        assert_eq!(at, SECOND / 5 + 1, "2,000 credits are missing");
        credits.spend(REQUEST, 0);
        assert!(credits.take(SUBSCRIPTION, at).is_err(), "what was sent meanwhile counts");
        assert_eq!(credits.take(SUBSCRIPTION, SECOND), Ok(()));
        credits.drained(SECOND);
        assert_eq!(credits.take(REQUEST, 2 * SECOND), Err(2 * SECOND + SECOND / 20 + 1));
    }

    #[test]
    fn a_grant_is_counted_in_requests_and_what_is_dearer_than_it_is_had_when_it_is_full() {
        let mut credits = Credits::default();
        credits.grant(2, 4, 0);
        assert_eq!(credits.take(SUBSCRIPTION, 0), Ok(()), "2,000 are all that there is");
        assert_eq!(credits.take(REQUEST, 0), Err(900 * SECOND / 1_000 + 1));
        assert!(credits.take(SUBSCRIPTION, SECOND).is_err());
        assert_eq!(credits.take(SUBSCRIPTION, 2 * SECOND), Ok(()));
    }

    proptest! {
        #[test]
        fn what_waits_as_long_as_it_is_told_never_overdraws(
            asks in proptest::collection::vec((0i64..200_000_000, 0usize..3), 1..200),
        ) {
            let mut credits = Credits::default();
            // The venue's own count: it starts full as well.
            let (mut venue, mut last, mut now) = (LEVEL_MAX * SECOND, 0, 0);
            for (gap, kind) in asks {
                let cost = [REQUEST, SUBSCRIPTION, INSTRUMENTS][kind];
                now += gap;
                if let Err(at) = credits.take(cost, now) {
                    prop_assert!(at > now);
                    now = at;
                    prop_assert_eq!(credits.take(cost, now), Ok(()));
                }
                venue = (venue + (now - last) * REFILL).min(LEVEL_MAX * SECOND) - cost * SECOND;
                last = now;
                prop_assert!(venue >= 0);
            }
        }
    }
}
