//! The dead man's switch: the venue cancels the orders of a listing when it has not heard of us in time.
//!
//! Armed listing by listing (`countdownCancelAll`, 10 of 2400 weight units each), in turn, three times as
//! often as it would fire. With more listings than that allows the time grows instead of the rate.

use super::link::NEVER;
use super::symbols::Listings;
use crate::domain::standing::Check;
use crate::domain::time::{MILLI, Nanos};
use crate::venue::json::Cursor;
use crate::venue::standing::States;
use crate::venue::{OddKind, Out};
use serde::{Deserialize, Serialize};

/// How often a switch is armed anew within its time.
const ROUNDS: Nanos = 3;
/// Shortest pause between two listings: half of the weight of a minute.
const PAUSE_MIN: Nanos = 500 * MILLI;
/// Pause in the first round of a few listings.
const PAUSE_FIRST: Nanos = 100 * MILLI;
/// So many are few.
const FEW: usize = 20;

/// Whose turn it is, and when; and who is armed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeadMan {
    timeout: Nanos,
    count: usize,
    at: usize,
    first: bool,
    /// `mono` until which each listing's switch is armed for certain; `None` = it is not, and was told so.
    until: Vec<Option<Nanos>>,
}

impl DeadMan {
    /// For so many listings; `timeout` 0 = off.
    pub fn new(timeout: Nanos, count: usize) -> Self {
        let round = PAUSE_MIN.saturating_mul(count as Nanos);
        let timeout = if timeout > 0 && count > 0 { timeout.max(ROUNDS * round) } else { 0 };
        Self { timeout, count, at: 0, first: true, until: vec![None; count] }
    }

    /// The listing whose turn it is.
    pub const fn at(&self) -> usize {
        self.at
    }

    /// After how many ms of silence the venue cancels.
    pub const fn milliseconds(&self) -> u64 {
        (self.timeout / MILLI).unsigned_abs()
    }

    /// The account came up: nothing is armed before the venue says so, listing by listing, from the first one on,
    /// quickly. When to arm that one.
    pub fn begin(&mut self, now: Nanos, listings: &Listings, to: &impl States, out: &mut Out) -> Nanos {
        (self.at, self.first) = (0, true);
        self.until.fill(None);
        if self.timeout == 0 {
            to.equal(Check::DeadMan, None, 2, 2, out);
        }
        for at in (0..self.count).filter(|_| self.timeout > 0) {
            to.equal(Check::DeadMan, Some(listings.params(at).id), 2, 1, out);
        }
        self.due(now)
    }

    /// The reply to the request of the listing whose turn it is, which was sent at `sent`: armed, if it names the
    /// listing and our time.
    ///
    /// # Errors
    /// When it does not.
    pub fn on_reply(
        &mut self,
        body: &[u8],
        (sent, listings): (Nanos, &Listings),
        to: &impl States,
        out: &mut Out,
    ) -> Result<(), OddKind> {
        let (mut named, mut stated) = (false, None);
        let listing = listings.params(self.at);
        Cursor::new(body)
            .object(|key, c| match key {
                b"symbol" => c.string().map(|text| named = text == listing.symbol.as_bytes()),
                b"countdownTime" => c.int("countdownTime").map(|ms| stated = Some(ms)),
                _ => c.skip(),
            })
            .map_err(|_| OddKind::Malformed)?;
        if !named || stated.map(i64::unsigned_abs) != Some(self.milliseconds()) {
            return Err(OddKind::Refused);
        }
        if self.until[self.at].replace(sent.saturating_add(self.timeout)).is_none() {
            to.equal(Check::DeadMan, Some(listing.id), 1, 1, out);
        }
        self.posted();
        Ok(())
    }

    /// The request of the listing whose turn it is was refused, or no reply came. The others do not wait for it.
    pub fn on_failed(&mut self, listings: &Listings, to: &impl States, out: &mut Out) {
        if self.at < self.count && self.until[self.at].take().is_some() {
            to.equal(Check::DeadMan, Some(listings.params(self.at).id), 2, 1, out);
        }
        self.posted();
    }

    /// What was not armed anew in time has fired, or is about to.
    pub fn on_time(&mut self, now: Nanos, listings: &Listings, to: &impl States, out: &mut Out) {
        for (at, until) in self.until.iter_mut().enumerate() {
            if until.is_some_and(|until| now >= until) {
                *until = None;
                to.equal(Check::DeadMan, Some(listings.params(at).id), 2, 1, out);
            }
        }
    }

    /// The next listing's turn.
    fn posted(&mut self) {
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
