//! The market connections of Hyperliquid: subscriptions within the limits of our address, and books whose snapshot
//! does not come.

use super::adapter::{HyperliquidAdapter, Listing};
use super::calls::{self, ACCOUNT_CHANNELS, BOOK_CHANNEL, MARKET_CHANNELS, call_for};
use super::continuity::HyperliquidContinuity;
use super::session::Session;
use crate::domain::time::{Nanos, SECOND, Stamp};
use crate::venue::Out;
use crate::venue::lines::Book;
use crate::venue::markets::Market;
use crate::venue::quota::Quota;
use crate::venue::twins::Twins;

/// Subscriptions of an IP address, all connections together.
const SUBSCRIPTIONS: usize = 1_000;
/// Messages for subscriptions; the venue allows 2,000 a minute and address, of which orders and pings need the rest.
pub(super) const MESSAGES: Quota = Quota::new(1_500, 60 * SECOND);

/// Listings whose market data one connection, or two, may carry.
pub(super) const fn listings_max(both: bool) -> usize {
    (SUBSCRIPTIONS - ACCOUNT_CHANNELS.len()) / MARKET_CHANNELS.len() / if both { 2 } else { 1 }
}

impl Market for HyperliquidAdapter {
    type Rule = HyperliquidContinuity;
    type Listing = Listing;

    fn market(&mut self) -> (&mut Twins, &mut [Session], &mut [Listing]) {
        (&mut self.twins, &mut self.sessions, &mut self.listings)
    }

    fn book(listing: &Listing) -> &Book<HyperliquidContinuity> {
        &listing.book
    }

    fn book_mut(listing: &mut Listing) -> &mut Book<HyperliquidContinuity> {
        &mut listing.book
    }

    fn forget(listing: &mut Listing, copy: usize) {
        listing.best.forget(copy);
        listing.context.forget(copy);
    }

    fn wake(&mut self, at: Nanos) {
        self.arm(at);
    }

    fn cut(&mut self, at: usize, now: Nanos, out: &mut Out) {
        self.close(at, now, out);
    }
}

impl HyperliquidAdapter {
    /// Subscribes the listings that are defined and not subscribed; every channel takes a message of its own.
    pub fn subscribe(&mut self, copy: usize, now: Stamp, out: &mut Out) {
        let market = self.twins.session(copy);
        for at in 0..self.listings.len() {
            let listing = &mut self.listings[at];
            if listing.instrument.generation == 0 || listing.book.lines[copy].subscribed {
                continue;
            }
            let channels = MARKET_CHANNELS.len() as u32;
            if let Err(due) = self.messages.take(channels, now.mono) {
                return self.arm(due);
            }
            listing.subscribed_wall[copy] = now.wall;
            listing.book.subscribe(copy, now.mono, out);
            let instrument = listing.id;
            for channel in 0..u64::from(channels) {
                self.send(market, call_for(calls::SUBSCRIBE_MARKET, channel, instrument), out);
            }
            self.sessions[market].acks += channels;
            self.sessions[market].step(now.mono);
            self.arm(now.mono);
        }
    }

    /// Resubscribes the books whose snapshot does not come, each on its own.
    pub fn resync(&mut self, copy: usize, now: Nanos, out: &mut Out) {
        for at in 0..self.listings.len() {
            if self.listings[at].book.is_due(copy, now) {
                if let Err(due) = self.messages.take(2, now) {
                    return self.arm(due);
                }
                self.listings[at].book.resync(copy, now);
                let (market, id) = (self.twins.session(copy), self.listings[at].id);
                self.send(market, call_for(calls::UNSUBSCRIBE_MARKET, BOOK_CHANNEL, id), out);
                self.send(market, call_for(calls::SUBSCRIBE_MARKET, BOOK_CHANNEL, id), out);
            }
            let due = self.listings[at].book.lines[copy].resync_due;
            self.arm(due);
        }
    }
}
