//! Token buckets on event time: how many orders route may send to a venue, with a share kept for urgent
//! ones. Integers only; time is an argument.
//!
//! What a venue grants is split into three shares with one owner each:
//!
//! | share | what for | owner | shrinks when |
//! |---|---|---|---|
//! | data | snapshots, metadata, settings, backfills over HTTP | the venue's adapter | the venue's used weight nears its limit |
//! | order | opening orders | route's [`Budget`] | the venue counts more orders than we did |
//! | urgent | hedges, unwinds, exits | the reserve of the same [`Budget`] | never to nothing by what the venue grants |
//!
//! A refusal for the sake of limits pauses the first two; a ban pauses all three.

use crate::domain::time::{Nanos, SECOND};
use serde::{Deserialize, Serialize};

/// The venue's window that a budget respects, ns.
pub const WINDOW_NS: Nanos = 10 * SECOND;

/// Share of the burst that only urgent orders may use, percent.
pub const URGENT_RESERVE_PERCENT: u64 = 20;

/// One token, in the bucket's units: with a refill of N tokens per window, N units flow in each ns.
const TOKEN: u64 = WINDOW_NS as u64;

/// First pause after an order was refused for being one too many; doubles up to 2 to [`STRIKES_MAX`] times.
const STRIKE_NS: Nanos = SECOND;
const STRIKES_MAX: u32 = 6;
/// So long without a refusal and the next one is the first.
const FORGIVE_NS: Nanos = 120 * SECOND;

/// Messages that left this long apart may arrive at once: so much of a granted burst stays unused.
const BUNCHED_NS: Nanos = SECOND / 5;

/// What urgent orders are tried with where the venue grants nothing or nonsense: so many at once, and so many in a
/// window. It may refuse them, but nobody else stops them.
const URGENT_LEAST: (u64, u64) = (2, 10);

/// More orders per window than any venue grants; keeps the arithmetic inside 64 bits.
const ORDERS_MAX: u32 = 100_000_000;

/// Orders that may be sent to one venue.
///
/// Half of the allowance is the burst, the other half flows in over the window, so no window of 10 s,
/// wherever it begins, sees more than the allowance. A fifth of the burst is for urgent orders only. An
/// allowance of zero admits nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// Tokens that flow in per window (units per ns).
    refill: u64,
    /// Largest level, units.
    level_max: u64,
    /// Both as configured: what a venue grants makes them smaller, never larger.
    configured: (u64, u64),
    /// Cancels are counted too.
    cancels: bool,
    /// Level below which only urgent orders pass, units.
    reserve: u64,
    /// Level now, units.
    level: u64,
    /// `mono` at which `level` was true; `None` before the first use.
    at: Option<Nanos>,
    /// The venue grants nothing: urgent orders only.
    #[serde(default)]
    shut: bool,
    /// Nothing but urgent orders before this.
    paused_until: Nanos,
    /// Nothing at all before this.
    banned_until: Nanos,
    /// Refusals in a row, and the last one's instant.
    strikes: u32,
    struck_at: Nanos,
}

impl Budget {
    /// A full bucket for at most `orders_per_10s_max` orders in any 10 s.
    pub fn new(orders_per_10s_max: u32) -> Self {
        let orders = u64::from(orders_per_10s_max.min(ORDERS_MAX));
        let burst = orders.div_ceil(2);
        let level_max = burst * TOKEN;
        Self {
            refill: orders - burst,
            level_max,
            configured: (orders - burst, level_max),
            cancels: false,
            reserve: burst * URGENT_RESERVE_PERCENT / 100 * TOKEN,
            level: level_max,
            at: None,
            shut: false,
            paused_until: Nanos::MIN,
            banned_until: Nanos::MIN,
            strikes: 0,
            struck_at: Nanos::MIN,
        }
    }

    /// How many orders could be sent now.
    pub fn available(&mut self, now: Nanos, urgent: bool) -> u32 {
        self.refill(now);
        if now < self.banned_until || (!urgent && (self.shut || now < self.paused_until)) {
            return 0;
        }
        let floor = if urgent { 0 } else { self.reserve };
        u32::try_from(self.level.saturating_sub(floor) / TOKEN).unwrap_or(u32::MAX)
    }

    /// The venue refuses for `pause`: only urgent orders are tried meanwhile.
    pub fn pause(&mut self, now: Nanos, pause: Nanos) {
        self.paused_until = self.paused_until.max(now.saturating_add(pause));
    }

    /// The venue banned us for `pause`: whatever is sent makes it longer.
    pub fn ban(&mut self, now: Nanos, pause: Nanos) {
        self.banned_until = self.banned_until.max(now.saturating_add(pause));
    }

    /// An order was refused for being one too many: pauses, longer each time that it happens again soon.
    pub fn strike(&mut self, now: Nanos) {
        if now.saturating_sub(self.struck_at) > FORGIVE_NS {
            self.strikes = 0;
        }
        let pause = STRIKE_NS << self.strikes.min(STRIKES_MAX);
        self.strikes = self.strikes.saturating_add(1);
        self.struck_at = now;
        self.pause(now, pause);
    }

    /// The venue counted `used` orders in the window under way: no more may be left than it leaves.
    pub fn on_used(&mut self, now: Nanos, used: u32) {
        self.refill(now);
        let allowed = self.level_max / TOKEN + self.refill;
        let left = allowed.saturating_sub(u64::from(used)).saturating_mul(TOKEN);
        self.level = self.level.min(left);
    }

    /// The venue grants `burst` requests at once and `per_10s` in the long run; with `cancels` it counts those
    /// as well. Takes the place of what it granted before. A grant of nothing stops what opens; what reduces goes on
    /// at a small pace. However small a grant is, its last token is for urgent orders.
    pub fn on_grant(&mut self, now: Nanos, burst: u32, per_10s: u32, cancels: bool) {
        self.refill(now);
        let (mut burst, mut per_window) =
            (u64::from(burst.min(ORDERS_MAX)), u64::from(per_10s.min(ORDERS_MAX)));
        self.shut = burst == 0 || per_window == 0;
        if self.shut {
            (burst, per_window) = (burst.max(URGENT_LEAST.0), per_window.max(URGENT_LEAST.1));
        }
        let bunched = (per_window * BUNCHED_NS as u64).div_ceil(WINDOW_NS as u64);
        let safe = burst.saturating_sub(bunched).max(burst.min(1));
        self.refill = self.configured.0.min(per_window);
        self.level_max = self.configured.1.min(safe * TOKEN);
        self.reserve = (self.level_max / TOKEN * URGENT_RESERVE_PERCENT).div_ceil(100) * TOKEN;
        self.level = self.level.min(self.level_max);
        self.cancels = cancels;
    }

    /// Whether a cancel takes a token.
    pub const fn counts_cancels(&self) -> bool {
        self.cancels
    }

    /// Takes `count` orders or none at all; `now` is `mono`.
    pub fn try_take(&mut self, now: Nanos, count: u32, urgent: bool) -> bool {
        if self.available(now, urgent) < count {
            return false;
        }
        self.level -= u64::from(count) * TOKEN;
        true
    }

    fn refill(&mut self, now: Nanos) {
        let at = *self.at.get_or_insert(now);
        // Time never steps back in a run; if it should, nothing flows in.
        let elapsed = u64::try_from(now - at).unwrap_or(0).min(WINDOW_NS as u64);
        self.level = (self.level + elapsed * self.refill).min(self.level_max);
        self.at = Some(at.max(now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_fifth_of_the_burst_is_kept_for_urgent_orders() {
        let mut budget = Budget::new(100);
        assert_eq!((budget.available(0, false), budget.available(0, true)), (40, 50));
        assert!(budget.try_take(0, 40, false));
        assert!(!budget.try_take(0, 1, false), "the rest is reserved");
        assert!(budget.try_take(0, 10, true));
        assert!(!budget.try_take(0, 1, true));
        assert!(!budget.try_take(SECOND / 5 - 1, 1, true), "one token each 200 ms");
        assert!(budget.try_take(SECOND / 5, 1, true));
        assert_eq!(budget.available(60 * SECOND, true), 50, "never more than the burst");
    }

    #[test]
    fn orders_are_taken_all_or_none_and_zero_admits_nothing() {
        let mut budget = Budget::new(10);
        assert!(!budget.try_take(0, 5, false));
        assert_eq!(budget.available(0, false), 4);
        assert!(!Budget::new(0).try_take(SECOND, 1, true));
        assert!(Budget::new(0).try_take(SECOND, 0, true));
    }

    #[test]
    fn a_pause_lets_urgent_orders_pass_and_a_ban_nothing() {
        let mut budget = Budget::new(100);
        budget.pause(0, SECOND);
        assert_eq!((budget.available(0, false), budget.available(0, true)), (0, 50));
        budget.ban(0, 2 * SECOND);
        assert_eq!((budget.available(SECOND, false), budget.available(SECOND, true)), (0, 0));
        budget.ban(0, SECOND);
        assert_eq!(budget.available(SECOND, true), 0, "never shortened");
        assert_eq!((budget.available(2 * SECOND, false), budget.available(2 * SECOND, true)), (40, 50));
    }

    #[test]
    fn refusals_in_a_row_pause_longer_and_are_forgiven() {
        let mut budget = Budget::new(100);
        let mut now = 0;
        for seconds in [1, 2, 4, 8, 16, 32, 64, 64] {
            budget.strike(now);
            assert_eq!(budget.available(now + seconds * SECOND - 1, false), 0);
            now += seconds * SECOND;
            assert!(budget.available(now, false) > 0, "{seconds}");
        }
        now += FORGIVE_NS + SECOND;
        budget.strike(now);
        assert!(budget.available(now + SECOND, false) > 0);
    }

    #[test]
    fn what_the_venue_counted_is_not_there_any_more() {
        let mut budget = Budget::new(100);
        budget.on_used(0, 40);
        assert_eq!(budget.available(0, true), 50, "the burst is within what is left");
        budget.on_used(0, 80);
        assert_eq!((budget.available(0, false), budget.available(0, true)), (10, 20));
        budget.on_used(0, 500);
        assert_eq!(budget.available(0, true), 0);
        assert_eq!(budget.available(SECOND, true), 5, "and flows in again");
    }

    #[test]
    fn a_grant_makes_the_bucket_smaller_and_a_later_one_larger_again_but_never_than_configured() {
        let mut budget = Budget::new(100);
        assert!(!budget.counts_cancels());
        budget.on_grant(0, 20, 50, true);
        assert!(budget.counts_cancels());
        assert_eq!((budget.available(0, false), budget.available(0, true)), (15, 19), "one may be bunched");
        assert!(budget.try_take(0, 19, true));
        assert!(!budget.try_take(SECOND / 5 - 1, 1, true) && budget.try_take(SECOND / 5, 1, true));
        budget.on_grant(SECOND, 1_000, 1_000, true);
        assert_eq!(budget.available(60 * SECOND, true), 50, "as configured");
        budget.on_grant(60 * SECOND, 1, 100, true);
        assert_eq!(budget.available(60 * SECOND, true), 1, "what is granted can be used");
    }

    #[test]
    fn a_grant_of_nothing_stops_what_opens_and_not_what_reduces() {
        for (burst, per_10s) in [(0, 0), (0, 50), (20, 0)] {
            let mut budget = Budget::new(100);
            budget.on_grant(0, burst, per_10s, true);
            assert_eq!(budget.available(0, false), 0, "{burst} {per_10s}");
            assert!(budget.try_take(0, 1, true), "{burst} {per_10s}");
            let mut now = 0;
            for _ in 0..60 {
                now += SECOND;
                assert!(budget.try_take(now, 1, true), "{burst} {per_10s}: one a second, for ever");
                assert!(!budget.try_take(now, 1, false));
            }
            budget.on_grant(now, 20, 50, true);
            assert!(budget.available(now + 60 * SECOND, false) > 0, "granted again");
        }
        let mut nothing = Budget::new(0);
        nothing.on_grant(0, 0, 0, true);
        assert_eq!(nothing.available(SECOND, true), 0, "as configured");
    }

    #[test]
    fn a_grant_that_shrinks_keeps_the_urgent_share() {
        for burst in 1..=20 {
            let mut budget = Budget::new(100);
            budget.on_grant(0, burst, 10, true);
            while budget.try_take(0, 1, false) {}
            assert!(budget.try_take(0, 1, true), "{burst}: openings leave one to a hedge");
        }
    }

    proptest! {
        /// Whatever the network does to messages within a fifth of a second.
        #[test]
        fn what_the_venue_grants_never_overflows(
            (burst, per_10s) in (2u32..120, 1u32..400),
            tries in proptest::collection::vec((0i64..400_000_000, 1u32..5, 0i64..200_000_000), 1..300),
        ) {
            prop_assume!(u64::from(burst) > (u64::from(per_10s)).div_ceil(50));
            let mut budget = Budget::new(10_000);
            budget.on_grant(0, burst, per_10s, true);
            let (mut now, mut last, mut level) = (0, 0, 0i64);
            for (gap, count, late) in tries {
                now += gap;
                if budget.try_take(now, count, true) {
                    // Arrives later, and never before what left before it.
                    let at = last.max(now + late);
                    level = (level - (at - last) * i64::from(per_10s)).max(0);
                    level += i64::from(count) * WINDOW_NS;
                    last = at;
                    prop_assert!(level <= i64::from(burst) * WINDOW_NS, "{level}");
                }
            }
        }

        #[test]
        fn no_window_of_ten_seconds_exceeds_the_allowance(
            max in 0u32..60,
            tries in proptest::collection::vec((0i64..2_000_000_000, 1u32..5, any::<bool>()), 1..300),
        ) {
            let mut budget = Budget::new(max);
            let mut now = 0;
            let mut sent: Vec<(Nanos, u32)> = Vec::new();
            for (gap, count, urgent) in tries {
                now += gap;
                if budget.try_take(now, count, urgent) {
                    sent.push((now, count));
                }
                let in_window: u32 = sent.iter().filter(|(at, _)| *at > now - WINDOW_NS).map(|(_, n)| n).sum();
                prop_assert!(in_window <= max, "{in_window} > {max}");
            }
        }
    }
}
