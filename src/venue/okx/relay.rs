//! The second market connection of OKX: when it is wanted, when the first may be left for it, and what its loss
//! means for the books.

use super::adapter::OkxAdapter;
use super::session::{NEVER, Phase};
use crate::domain::event::{BookReason, BookState, BookStatus, EventBody};
use crate::domain::params::MarketCopies;
use crate::domain::time::{MILLI, Nanos, SECOND};
use crate::venue::Out;
use crate::venue::copies::COPIES;

/// A market connection is left for a new one after this, each at another time. The venue states no lifetime; load
/// balancers and this dialect's neighbours know one of a day.
const LIFETIME: Nanos = 23 * 3600 * SECOND;
/// By how much earlier or later, by connection.
const SPREAD: Nanos = 900 * SECOND;
/// A connection is dead, not its market, when the other one brought so many messages meanwhile.
const MISSED_MIN: u32 = 8;
/// While one waits to be left, it is looked at this often.
const LOOK_EVERY: Nanos = 50 * MILLI;

impl OkxAdapter {
    /// Which market connection that is.
    pub fn copy_of(&self, at: usize) -> Option<usize> {
        self.market.iter().position(|market| *market == at)
    }

    pub fn is_market_up(&self, copy: usize) -> bool {
        self.sessions.get(self.market[copy]).is_some_and(|session| session.phase == Phase::Up)
    }

    /// Market data came on a connection.
    #[inline]
    pub fn hear(&mut self, copy: usize, now: Nanos) {
        if self.copies.has_second() {
            self.silence[copy].heard(now);
            self.missed[copy] = 0;
            self.missed[1 - copy] = self.missed[1 - copy].saturating_add(1);
        }
    }

    /// Judges the silence of a market connection. One that may be dead is left for a second one, which costs nothing
    /// if it was not; one that is silent while the other is not is dead. A dead socket whose market was never busy is
    /// found by its unanswered ping.
    fn suspect(&mut self, copy: usize, now: Nanos, out: &mut Out) {
        let until = self.silence[copy].until(NEVER);
        if now < until {
            return self.arm(until);
        }
        if self.missed[copy] >= MISSED_MIN {
            self.close(self.market[copy], false, now, out);
        } else if self.copies == MarketCopies::Relay && now < self.leave_at[copy] {
            self.silence[copy].doubt();
            self.leave_at[copy] = now;
        } else {
            self.arm(now + SECOND);
        }
    }

    /// A market connection stands: plans its end.
    pub fn plan_leave(&mut self, copy: usize, now: Nanos) {
        self.silence[copy].begin(now);
        self.missed[copy] = 0;
        self.leave_at[copy] = match self.copies {
            MarketCopies::One => NEVER,
            _ => now + LIFETIME + copy as Nanos * SPREAD,
        };
    }

    /// The venue is about to cut a connection.
    pub fn leave(&mut self, at: usize, now: Nanos, out: &mut Out) {
        match self.copy_of(at) {
            Some(copy) if self.copies.has_second() => {
                self.leave_at[copy] = self.leave_at[copy].min(now);
                self.arm(now);
            }
            _ => self.close(at, false, now, out),
        }
    }

    /// Opens the second connection when the first is to be left, and leaves it once the second brings everything.
    pub fn relay(&mut self, now: Nanos, out: &mut Out) {
        if !self.copies.has_second() {
            return;
        }
        for copy in 0..COPIES {
            let (at, twin) = (self.market[copy], 1 - copy);
            if self.copies == MarketCopies::Relay && self.is_market_up(twin) {
                let is_wanted = now >= self.leave_at[twin];
                let phase = &mut self.sessions[at].phase;
                match phase {
                    Phase::Idle if is_wanted => *phase = Phase::Down { due: now },
                    Phase::Down { .. } if !is_wanted => *phase = Phase::Idle,
                    _ => {}
                }
            }
            if self.is_market_up(copy) && self.sessions[at].ready {
                self.suspect(copy, now, out);
            }
            if !self.is_market_up(copy) {
                continue;
            }
            if now < self.leave_at[copy] {
                self.arm(self.leave_at[copy]);
            } else if self.is_market_up(twin) && self.carries(twin) {
                self.close(at, false, now, out);
            } else {
                self.arm(now + LOOK_EVERY);
            }
        }
    }

    /// Whether a market connection brings everything that the other one does.
    fn carries(&self, copy: usize) -> bool {
        self.sessions[self.market[copy]].ready
            && self.listings.iter().filter(|listing| listing.lines[1 - copy].subscribed).all(|listing| {
                let is_merged = listing.merge.is_some_and(|merge| merge.carries(copy));
                listing.lines[copy].subscribed && (listing.book != BookState::Live || is_merged)
            })
    }

    /// A market connection is gone: books that the other one does not carry are void.
    pub fn quarantine_market(&mut self, copy: usize, now: Nanos, out: &mut Out) {
        self.leave_at[copy] = NEVER;
        self.asked_wide[copy] = false;
        let mut resync = false;
        for listing in &mut self.listings {
            listing.best.forget(copy);
            let line = &mut listing.lines[copy];
            line.continuity.invalidate();
            line.resync_due = NEVER;
            let was_subscribed = std::mem::take(&mut line.subscribed);
            if !listing.lines[1 - copy].subscribed {
                listing.limits = (None, None);
            }
            if listing.merge.as_mut().is_some_and(|merge| merge.drop_copy(copy)) {
                continue;
            }
            listing.lose();
            if was_subscribed && listing.book != BookState::Invalid {
                listing.book = BookState::Invalid;
                let (instrument, state) = (listing.id, BookState::Invalid);
                out.event(EventBody::Book(BookStatus {
                    instrument,
                    state,
                    reason: BookReason::Disconnected,
                }));
            }
            // Whatever was asked for on the one that is gone is asked for on the other.
            let other = &mut listing.lines[1 - copy];
            if other.subscribed && other.resync_due == NEVER {
                other.resync_due = now;
                resync = true;
            }
        }
        if resync {
            self.arm(now);
        }
    }

    /// What one connection lost has not come on the other one in time: the book is void.
    pub fn check_kept(&mut self, at: usize, now: Nanos, out: &mut Out) {
        let listing = &self.listings[at];
        if now < listing.kept.until() {
            let until = listing.kept.until();
            return self.arm(until);
        }
        let lost = |copy: &usize| {
            listing.lines[*copy].subscribed && listing.merge.is_some_and(|merge| !merge.carries(*copy))
        };
        let copy = (0..COPIES).find(lost).unwrap_or(0);
        self.lose_book(at, copy, BookReason::Gap, now, out);
    }

    /// A message on a connection could not be read, and may have been a change of this book. While the other
    /// connection carries the book, the next change tells what is missing.
    pub fn lose_message(&mut self, at: usize, copy: usize, now: Nanos, out: &mut Out) {
        if self.listings[at].merge.is_none_or(|merge| !merge.carries(1 - copy)) {
            self.lose_book(at, copy, BookReason::Malformed, now, out);
        }
    }
}
