//! The dead man's switch: the venue cancels the orders of a listing when it has not heard of us in time.
//!
//! Armed listing by listing (`countdownCancelAll`, 10 of 2400 weight units each), in turn, three times as
//! often as it would fire. With more listings than that allows the time grows instead of the rate.

use crate::domain::time::{MILLI, Nanos};
use crate::venue::binance::link::NEVER;

/// How often a switch is armed anew within its time.
const ROUNDS: Nanos = 3;
/// Shortest pause between two listings: half of the weight of a minute.
const PAUSE_MIN: Nanos = 500 * MILLI;
/// Pause in the first round of a few listings.
const PAUSE_FIRST: Nanos = 100 * MILLI;
/// So many are few.
const FEW: usize = 20;

/// Whose turn it is, and when.
#[derive(Clone, Copy, Debug)]
pub struct DeadMan {
    timeout: Nanos,
    count: usize,
    at: usize,
    first: bool,
}

impl DeadMan {
    /// For so many listings; `timeout` 0 = off.
    pub fn new(timeout: Nanos, count: usize) -> Self {
        let round = PAUSE_MIN.saturating_mul(count as Nanos);
        let timeout = if timeout > 0 && count > 0 { timeout.max(ROUNDS * round) } else { 0 };
        Self { timeout, count, at: 0, first: true }
    }

    /// From the first listing on, quickly.
    pub fn begin(&mut self) {
        (self.at, self.first) = (0, true);
    }

    /// The listing whose turn it is.
    pub const fn at(&self) -> usize {
        self.at
    }

    /// After how many ms of silence the venue cancels.
    pub const fn milliseconds(&self) -> u64 {
        (self.timeout / MILLI).unsigned_abs()
    }

    /// The venue confirmed: the next listing's turn.
    pub fn posted(&mut self) {
        self.at += 1;
        if self.at >= self.count {
            (self.at, self.first) = (0, false);
        }
    }

    /// When to arm the listing whose turn it is, `now` being the last one's moment.
    pub fn due(&self, now: Nanos) -> Nanos {
        if self.timeout == 0 {
            return NEVER;
        }
        if self.first && self.at == 0 {
            return now;
        }
        let pause = if self.first && self.count <= FEW {
            PAUSE_FIRST
        } else {
            self.timeout / ROUNDS / self.count.max(1) as Nanos
        };
        now.saturating_add(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::SECOND;

    #[test]
    fn every_listing_is_armed_well_before_its_switch_fires() {
        for count in [1, 4, 20, 21, 150, 512] {
            let mut switch = DeadMan::new(60 * SECOND, count);
            let timeout = switch.milliseconds() as Nanos * MILLI;
            assert!(timeout >= 60 * SECOND);
            let (mut now, mut armed) = (switch.due(0), vec![None; count]);
            let mut posts_in_a_minute = 0;
            while now < 10 * timeout {
                let last = armed[switch.at()].replace(now);
                assert!(last.is_none_or(|last| now - last <= timeout / 2), "{count}");
                posts_in_a_minute += u32::from((60 * SECOND..120 * SECOND).contains(&now));
                switch.posted();
                now = switch.due(now);
            }
            assert!(armed.iter().all(Option::is_some) && posts_in_a_minute <= 120, "{count}");
        }
    }

    #[test]
    fn zero_is_off() {
        assert_eq!(DeadMan::new(0, 5).due(0), NEVER);
        assert_eq!(DeadMan::new(SECOND, 0).due(0), NEVER);
    }
}
