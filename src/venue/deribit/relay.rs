//! The market connections of Deribit: subscriptions within the credits of our address, and books that have to be
//! asked for anew.

use super::adapter::{DeribitAdapter, Listing};
use super::calls::{self, call_arg, call_for};
use super::continuity::DeribitContinuity;
use super::credits::{self, Pool};
use super::session::Session;
use crate::domain::time::Nanos;
use crate::venue::Out;
use crate::venue::lines::Book;
use crate::venue::markets::Market;
use crate::venue::twins::Twins;

impl Market for DeribitAdapter {
    type Rule = DeribitContinuity;
    type Listing = Listing;

    fn market(&mut self) -> (&mut Twins, &mut [Session], &mut [Listing]) {
        (&mut self.twins, &mut self.sessions, &mut self.listings)
    }

    fn book(listing: &Listing) -> &Book<DeribitContinuity> {
        &listing.book
    }

    fn book_mut(listing: &mut Listing) -> &mut Book<DeribitContinuity> {
        &mut listing.book
    }

    fn forget(listing: &mut Listing, copy: usize) {
        listing.best.forget(copy);
    }

    fn wake(&mut self, at: Nanos) {
        self.arm(at);
    }

    fn cut(&mut self, at: usize, now: Nanos, out: &mut Out) {
        self.close(at, false, now, out);
    }
}

impl DeribitAdapter {
    /// Subscribes the listings that are defined and not subscribed, in messages of neighbours.
    pub fn subscribe(&mut self, copy: usize, now: Nanos, out: &mut Out) {
        let market = self.twins.session(copy);
        let mut at = 0;
        while at < self.listings.len() {
            let wants = |l: &Listing| l.instrument.generation > 0 && !l.book.lines[copy].subscribed;
            let count =
                self.listings[at..].iter().take(calls::LISTINGS_PER_BATCH).take_while(|l| wants(l)).count();
            if count == 0 {
                at += 1;
                continue;
            }
            if let Err(due) = self.credits[Pool::Address as usize].take(credits::SUBSCRIPTION, now) {
                return self.arm(due);
            }
            for listing in &mut self.listings[at..at + count] {
                listing.confirmed[copy] = false;
                listing.book.subscribe(copy, now, out);
            }
            self.send(market, call_arg(calls::SUBSCRIBE_MARKET, calls::range(at, count)), out);
            self.sessions[market].acks += 1;
            self.sessions[market].step(now);
            self.arm(now);
            at += count;
        }
    }

    /// Resubscribes the books that lost continuity, each on its own.
    pub fn resync(&mut self, copy: usize, now: Nanos, out: &mut Out) {
        for at in 0..self.listings.len() {
            self.check_hole(at, now, out);
            if self.listings[at].book.is_due(copy, now) {
                let pool = &mut self.credits[Pool::Address as usize];
                if let Err(due) = pool.take(2 * credits::SUBSCRIPTION, now) {
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
