//! The market connections of OKX: their books, and those that have to be asked for anew.

use super::adapter::{Listing, OkxAdapter};
use super::calls::{self, call_for};
use super::continuity::OkxContinuity;
use super::session::Session;
use crate::domain::time::Nanos;
use crate::venue::Out;
use crate::venue::lines::Book;
use crate::venue::markets::Market;
use crate::venue::twins::Twins;

impl Market for OkxAdapter {
    type Rule = OkxContinuity;
    type Listing = Listing;

    fn market(&mut self) -> (&mut Twins, &mut [Session], &mut [Listing]) {
        (&mut self.twins, &mut self.sessions, &mut self.listings)
    }

    fn book(listing: &Listing) -> &Book<OkxContinuity> {
        &listing.book
    }

    fn book_mut(listing: &mut Listing) -> &mut Book<OkxContinuity> {
        &mut listing.book
    }

    fn forget(listing: &mut Listing, copy: usize) {
        listing.best.forget(copy);
        listing.limits.forget(copy);
    }

    fn wake(&mut self, at: Nanos) {
        self.arm(at);
    }

    fn cut(&mut self, at: usize, now: Nanos, out: &mut Out) {
        self.close(at, false, now, out);
    }
}

impl OkxAdapter {
    /// A frame of a market connection could not be read: what it may have changed is not known any more.
    pub fn lose_frame(&mut self, copy: usize, now: Nanos, out: &mut Out) {
        match self.parser.book_hint {
            Some(symbol) => {
                if let Some(at) = self.find(&symbol) {
                    self.lose_message(at, copy, now, out);
                }
            }
            // A hole in a book shows in its numbers; limits have none, and are stated again when they change.
            None => self.listings.iter_mut().for_each(|listing| listing.limits.forget(copy)),
        }
    }

    /// Resubscribes the books that lost continuity, each on its own. A connection that may not ask for more is left
    /// for one that may.
    pub fn resync(&mut self, copy: usize, now: Nanos, out: &mut Out) {
        for at in 0..self.listings.len() {
            self.check_hole(at, now, out);
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
}
