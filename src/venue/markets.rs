//! The market side of an adapter, as far as it is the same for every dialect with [`Twins`] and a [`Book`] of each
//! listing: handing over, and what becomes of the books when a connection or a message is lost.

use super::Out;
use super::copies::COPIES;
use super::lines::{Book, Chain};
use super::session::Session;
use super::twins::{Step, Twins};
use crate::domain::event::BookReason;
use crate::domain::time::Nanos;

/// An adapter whose books come on a market connection and, at times or always, on a second one.
pub(super) trait Market {
    /// The venue's sequence rule.
    type Rule: Chain;
    /// A configured listing.
    type Listing;

    /// Its market connections, all sessions, and the listings.
    fn market(&mut self) -> (&mut Twins, &mut [Session], &mut [Self::Listing]);
    /// The book of a listing.
    fn book(listing: &Self::Listing) -> &Book<Self::Rule>;
    /// The book of a listing.
    fn book_mut(listing: &mut Self::Listing) -> &mut Book<Self::Rule>;
    /// A connection does not bring a listing's other messages any more.
    fn forget(listing: &mut Self::Listing, copy: usize);
    /// Something has to be done at that instant.
    fn wake(&mut self, at: Nanos);
    /// Closes a session.
    fn cut(&mut self, at: usize, now: Nanos, out: &mut Out);

    /// A connection is about to end, or is of no use any more: it is left for another one.
    fn leave(&mut self, at: usize, now: Nanos, out: &mut Out) {
        let (twins, ..) = self.market();
        match twins.copy_of(at) {
            Some(copy) if twins.leave(copy, now) => self.wake(now),
            _ => self.cut(at, now, out),
        }
    }

    /// Opens the second connection when the first is to be left, and leaves it once the second brings everything.
    fn relay(&mut self, now: Nanos, out: &mut Out) {
        for copy in 0..COPIES {
            let (twins, sessions, listings) = self.market();
            let carries = |copy| listings.iter().all(|listing| Self::book(listing).is_followed_by(copy));
            let (step, at) = (twins.step(copy, sessions, now, carries), twins.session(copy));
            match step {
                Step::Wait(due) => self.wake(due),
                Step::Close => self.cut(at, now, out),
            }
        }
    }

    /// A market connection is gone: books that the other one does not carry are void.
    fn lose_market(&mut self, copy: usize, now: Nanos, out: &mut Out) {
        let (twins, _, listings) = self.market();
        twins.down(copy);
        let mut is_needed = false;
        for listing in listings {
            Self::forget(listing, copy);
            is_needed |= Self::book_mut(listing).on_down(copy, now, out);
        }
        if is_needed {
            self.wake(now);
        }
    }

    /// The book is void when what one connection lost has not come on the other one in time.
    fn check_hole(&mut self, at: usize, now: Nanos, out: &mut Out) {
        let (.., listings) = self.market();
        let book = Self::book(&listings[at]);
        let (until, culprit) = (book.hole_until(), book.culprit());
        if now >= until {
            self.lose_book(at, culprit, BookReason::Gap, now, out);
        } else {
            self.wake(until);
        }
    }

    /// A message on a connection could not be read, and may have been a change of this book. While the other
    /// connection carries the book, the next change tells what is missing.
    fn lose_message(&mut self, at: usize, copy: usize, now: Nanos, out: &mut Out) {
        let (.., listings) = self.market();
        if !Self::book(&listings[at]).is_carried_by(1 - copy) {
            self.lose_book(at, copy, BookReason::Malformed, now, out);
        }
    }

    /// Quarantines one book and plans its resynchronisation.
    fn lose_book(&mut self, at: usize, copy: usize, reason: BookReason, now: Nanos, out: &mut Out) {
        let (.., listings) = self.market();
        let due = Self::book_mut(&mut listings[at]).void(copy, reason, now, out);
        self.wake(due);
    }

    /// The scales of a listing changed: what every connection told in the old ones is void.
    fn rescale(&mut self, at: usize, now: Nanos, out: &mut Out) {
        for copy in 0..COPIES {
            let (.., listings) = self.market();
            if Self::book(&listings[at]).lines[copy].subscribed {
                self.lose_book(at, copy, BookReason::Generation, now, out);
            }
        }
    }
}
