//! The market connections of OKX: when one is left for the other, what its loss means for the books, and books that
//! have to be asked for anew.

use super::adapter::OkxAdapter;
use super::calls::{self, call_for};
use crate::domain::event::BookReason;
use crate::domain::time::Nanos;
use crate::venue::Out;
use crate::venue::copies::COPIES;
use crate::venue::twins::Step;

impl OkxAdapter {
    /// The venue is about to cut a connection.
    pub fn leave(&mut self, at: usize, now: Nanos, out: &mut Out) {
        match self.twins.copy_of(at) {
            Some(copy) if self.twins.leave(copy, now) => self.arm(now),
            _ => self.close(at, false, now, out),
        }
    }

    /// Opens the second connection when the first is to be left, and leaves it once the second brings everything.
    pub fn relay(&mut self, now: Nanos, out: &mut Out) {
        for copy in 0..COPIES {
            let Self { twins, sessions, listings, .. } = self;
            let carries = |copy| listings.iter().all(|listing| listing.book.is_followed_by(copy));
            match twins.step(copy, sessions, now, carries) {
                Step::Wait(due) => self.arm(due),
                Step::Close => self.close(self.twins.session(copy), false, now, out),
            }
        }
    }

    /// A market connection is gone: books that the other one does not carry are void.
    pub fn quarantine_market(&mut self, copy: usize, now: Nanos, out: &mut Out) {
        self.twins.down(copy);
        for at in 0..self.listings.len() {
            let listing = &mut self.listings[at];
            listing.best.forget(copy);
            if listing.book.on_down(copy, now, out) {
                self.arm(now);
            }
        }
    }

    /// Resubscribes the books that lost continuity, each on its own. A connection that may not ask for more is left
    /// for one that may.
    pub fn resync(&mut self, copy: usize, now: Nanos, out: &mut Out) {
        for at in 0..self.listings.len() {
            self.check_kept(at, now, out);
            if self.listings[at].book.is_due(copy, now) {
                if let Err(due) = self.quotas[copy].take(2, now) {
                    self.twins.leave(copy, now);
                    return self.arm(due);
                }
                self.listings[at].book.resync(copy, now);
                let (market, id) = (self.twins.session(copy), self.listings[at].id);
                self.send(market, call_for(calls::UNSUBSCRIBE_BOOK, id), out);
                self.send(market, call_for(calls::SUBSCRIBE_BOOK, id), out);
            }
            let due = self.listings[at].book.lines[copy].resync_due;
            self.arm(due);
        }
    }

    /// What one connection lost has not come on the other one in time: the book is void.
    fn check_kept(&mut self, at: usize, now: Nanos, out: &mut Out) {
        let until = self.listings[at].book.hole_until();
        if now < until {
            return self.arm(until);
        }
        self.lose_book(at, self.listings[at].book.culprit(), BookReason::Gap, now, out);
    }

    /// A message on a connection could not be read, and may have been a change of this book. While the other
    /// connection carries the book, the next change tells what is missing.
    pub fn lose_message(&mut self, at: usize, copy: usize, now: Nanos, out: &mut Out) {
        if !self.listings[at].book.is_carried_by(1 - copy) {
            self.lose_book(at, copy, BookReason::Malformed, now, out);
        }
    }

    /// Quarantines one book and plans its resynchronisation on a connection.
    pub fn lose_book(&mut self, at: usize, copy: usize, reason: BookReason, now: Nanos, out: &mut Out) {
        let due = self.listings[at].book.void(copy, reason, now, out);
        self.arm(due);
    }
}
