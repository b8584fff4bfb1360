//! Order quality of a listing: how many of our orders fill nothing, over a sliding window.
//!
//! Venues measure the same and stop accounts whose orders mostly do not trade (Binance's unfilled ratio over
//! 10 min). We stop first: an instrument whose ratio is too high takes no entries until the window forgets.

use super::digest::Digest;
use crate::domain::intent::ONE_PPB;
use crate::domain::params::ScanParams;
use crate::domain::time::Nanos;
use serde::{Deserialize, Serialize};

/// Parts of the window: it slides by one of them.
const PARTS: usize = 10;

/// Orders of one part of the window.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Part {
    orders: u32,
    missed: u32,
}

/// Our orders on one listing.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Quality {
    parts: [Part; PARTS],
    /// Number of the part that is being filled, since the start.
    current: i64,
}

impl Quality {
    /// An order ended; `filled` = it traded at all.
    pub fn on_end(&mut self, filled: bool, now: Nanos, params: &ScanParams) {
        self.slide(now, params);
        let part = &mut self.parts[self.current.rem_euclid(PARTS as i64) as usize];
        part.orders = part.orders.saturating_add(1);
        part.missed = part.missed.saturating_add(u32::from(!filled));
    }

    /// Orders and misses of the window that ends at `now` (`mono`).
    pub fn counts(&self, now: Nanos, params: &ScanParams) -> (u32, u32) {
        let mut seen = *self;
        seen.slide(now, params);
        let sum = |of: fn(&Part) -> u32| seen.parts.iter().map(of).fold(0, u32::saturating_add);
        (sum(|part| part.orders), sum(|part| part.missed))
    }

    /// True while the listing takes no entries.
    pub fn is_paused(&self, now: Nanos, params: &ScanParams) -> bool {
        // Asked for both legs of every pair that is evaluated. What the window forgets only lowers the count.
        let most = self.parts.iter().map(|part| u64::from(part.orders)).sum::<u64>();
        if most < u64::from(params.quality_orders_min.max(1)) {
            return false;
        }
        let (orders, missed) = self.counts(now, params);
        orders >= params.quality_orders_min.max(1)
            && i64::from(missed) * ONE_PPB > params.quality_miss_max_ppb.saturating_mul(i64::from(orders))
    }

    fn slide(&mut self, now: Nanos, params: &ScanParams) {
        let part = now / (params.quality_window_ns / PARTS as i64).max(1);
        let passed = (part - self.current).clamp(0, PARTS as i64);
        for back in 0..passed {
            self.parts[(part - back).rem_euclid(PARTS as i64) as usize] = Part::default();
        }
        self.current = self.current.max(part);
    }

    /// Adds the state to a digest.
    pub fn digest(&self, to: &mut Digest) {
        to.mix_signed(self.current);
        self.parts.iter().for_each(|part| to.mix(u64::from(part.orders) << 32 | u64::from(part.missed)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::SECOND;

    fn params() -> ScanParams {
        ScanParams {
            quality_window_ns: 100 * SECOND,
            quality_orders_min: 10,
            quality_miss_max_ppb: 800_000_000,
            ..ScanParams::default()
        }
    }

    #[test]
    fn too_many_misses_pause_until_the_window_forgets_them() {
        let (mut quality, params) = (Quality::default(), params());
        for at in 0..9 {
            quality.on_end(false, at * SECOND, &params);
        }
        assert!(!quality.is_paused(9 * SECOND, &params), "too few to judge");
        quality.on_end(false, 9 * SECOND, &params);
        assert!(quality.is_paused(9 * SECOND, &params));
        assert!(quality.is_paused(99 * SECOND, &params));
        assert!(!quality.is_paused(100 * SECOND, &params), "forgotten");
        assert_eq!(quality.counts(1_000 * SECOND, &params), (0, 0));
    }

    #[test]
    fn a_ratio_at_the_limit_is_still_allowed() {
        let (mut quality, params) = (Quality::default(), params());
        for at in 0..20 {
            quality.on_end(at % 5 == 0, at * SECOND, &params);
        }
        assert_eq!(quality.counts(20 * SECOND, &params), (20, 16));
        assert!(!quality.is_paused(20 * SECOND, &params));
        quality.on_end(false, 20 * SECOND, &params);
        assert!(quality.is_paused(20 * SECOND, &params));
        quality.on_end(true, 20 * SECOND, &params);
        assert!(!quality.is_paused(20 * SECOND, &params), "a fill helps at once");
    }

    #[test]
    fn a_long_gap_leaves_nothing_behind() {
        let (mut quality, params) = (Quality::default(), params());
        (0..15).for_each(|_| quality.on_end(false, 0, &params));
        quality.on_end(true, 10_000 * SECOND, &params);
        assert_eq!(quality.counts(10_000 * SECOND, &params), (1, 0));
    }
}
