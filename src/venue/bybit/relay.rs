//! The market connections of Bybit: subscriptions, and books that have to be asked for anew.

use super::adapter::{BybitAdapter, Listing};
use super::calls::{self, call_for};
use super::continuity::BybitContinuity;
use super::parse::{BEST, Channel};
use super::session::Session;
use crate::domain::time::Nanos;
use crate::venue::Out;
use crate::venue::lines::Book;
use crate::venue::markets::Market;
use crate::venue::twins::Twins;

impl Market for BybitAdapter {
    type Rule = BybitContinuity;
    type Listing = Listing;

    fn market(&mut self) -> (&mut Twins, &mut [Session], &mut [Listing]) {
        (&mut self.twins, &mut self.sessions, &mut self.listings)
    }

    fn book(listing: &Listing) -> &Book<BybitContinuity> {
        &listing.book
    }

    fn book_mut(listing: &mut Listing) -> &mut Book<BybitContinuity> {
        &mut listing.book
    }

    fn forget(listing: &mut Listing, copy: usize) {
        listing.best.forget(copy);
        listing.best_update = 0;
        listing.whole.forget(copy);
        listing.limits.forget(copy);
    }

    fn wake(&mut self, at: Nanos) {
        self.arm(at);
    }

    fn cut(&mut self, at: usize, now: Nanos, out: &mut Out) {
        self.close(at, false, now, out);
    }
}

impl BybitAdapter {
    /// Subscribes the listings that are defined and not subscribed.
    pub fn subscribe(&mut self, copy: usize, now: Nanos, out: &mut Out) {
        let market = self.twins.session(copy);
        for at in 0..self.listings.len() {
            let listing = &mut self.listings[at];
            if listing.instrument.generation == 0 || listing.book.lines[copy].subscribed {
                continue;
            }
            listing.book.subscribe(copy, now, out);
            let instrument = listing.id;
            self.send(market, call_for(calls::SUBSCRIBE_MARKET, instrument), out);
            if self.extras.liquidations {
                self.send(market, call_for(calls::SUBSCRIBE_LIQUIDATIONS, instrument), out);
            }
            self.sessions[market].acks += 1;
            self.sessions[market].step(now);
            self.arm(now);
        }
    }

    /// A frame of a market connection could not be read: what it may have changed is not known any more.
    pub fn lose_frame(&mut self, copy: usize, now: Nanos, out: &mut Out) {
        let Some((channel, symbol)) = self.parser.hint else {
            // A hole in a book shows in its numbers; the others have none.
            for at in 0..self.listings.len() {
                self.lose_ticker(at, copy, now);
                self.listings[at].limits.forget(copy);
            }
            return;
        };
        let Some(at) = self.find(&symbol) else { return };
        match channel {
            BEST | Channel::Trades | Channel::Liquidations => {}
            Channel::Book(_) => self.lose_message(at, copy, now, out),
            Channel::Tickers => self.lose_ticker(at, copy, now),
            Channel::Limits => self.listings[at].limits.forget(copy),
        }
    }

    fn lose_ticker(&mut self, at: usize, copy: usize, now: Nanos) {
        if self.listings[at].book.lines[copy].subscribed {
            let due = self.listings[at].whole.lose(copy, now);
            self.arm(due);
        }
    }

    /// Resubscribes the books that lost continuity, each on its own, and the tickers.
    pub fn resync(&mut self, copy: usize, now: Nanos, out: &mut Out) {
        for at in 0..self.listings.len() {
            self.check_hole(at, now, out);
            if self.listings[at].book.is_due(copy, now) {
                self.listings[at].book.resync(copy, now);
                let (market, id) = (self.twins.session(copy), self.listings[at].id);
                self.send(market, call_for(calls::UNSUBSCRIBE_BOOK, id), out);
                self.send(market, call_for(calls::SUBSCRIBE_BOOK, id), out);
            }
            let due = self.listings[at].book.lines[copy].resync_due;
            self.arm(due);
            if self.listings[at].whole.due(copy) <= now {
                let (market, id) = (self.twins.session(copy), self.listings[at].id);
                self.listings[at].whole.asked(copy, u64::from(id.0), now);
                self.send(market, call_for(calls::UNSUBSCRIBE_TICKER, id), out);
                self.send(market, call_for(calls::SUBSCRIBE_TICKER, id), out);
            }
            let due = self.listings[at].whole.due(copy);
            self.arm(due);
        }
    }
}
