//! Market data of the venue: who gets what, when, and in which bytes.
//!
//! Each channel has one stream per instrument that all its subscribers share, so a frame is written once. Written
//! by hand in the documented field order, as these are the frames that come by the thousand.

use super::frames::{
    best_text, books_frame, index_name, index_ticker, interest, limits, liquidation, mark, top_frame, wrap,
};
use super::session::Channel;
use super::wire::{ms, ppb, price, size};
use crate::domain::money::Money;
use crate::domain::time::{Nanos, SECOND};
use crate::sim::exchange::{Exchange, LevelView, Listing, ListingId, PublicTrade, Side, Steps, Ticks};
use crate::sim::{Push, SimConn};
use std::collections::BTreeMap;

/// Depth of the `books` window.
const BOOKS_DEPTH: usize = 400;
/// An unchanged `books` stream says that it lives.
const KEEP_ALIVE: Nanos = 60 * SECOND;
/// Mark and index prices are sent this often at least.
const REPEAT: Nanos = 10 * SECOND;

/// All streams of the venue.
#[derive(Clone, Debug)]
pub(super) struct Feed {
    streams: Vec<Stream>,
    subscribers: BTreeMap<(Channel, ListingId), Vec<SimConn>>,
}

/// What was published of one instrument, and what is to be.
#[derive(Clone, Debug, Default)]
struct Stream {
    bbo_changed: bool,
    book_changed: bool,
    book5_changed: bool,
    ticker_changed: bool,
    /// The `books` window as subscribers have it: bids, asks; best first.
    published: [Vec<LevelView>; 2],
    /// `seqId` of it.
    sequence: u64,
    /// When the last `books` message left.
    published_at: Nanos,
    last: Option<(PublicTrade, Nanos)>,
    open: Ticks,
    high: Ticks,
    low: Ticks,
    volume: Steps,
    /// Price and time last sent.
    mark: (Money, Nanos),
    index: (Money, Nanos),
    settled_rate_ppb: Option<i64>,
}

impl Feed {
    pub(super) fn new(listings: usize) -> Self {
        Self { streams: vec![Stream::default(); listings], subscribers: BTreeMap::new() }
    }

    pub(super) fn subscribe(&mut self, channel: Channel, listing: ListingId, conn: SimConn) {
        let conns = self.subscribers.entry((channel, listing)).or_default();
        if !conns.contains(&conn) {
            conns.push(conn);
        }
    }

    pub(super) fn unsubscribe(&mut self, channel: Channel, listing: ListingId, conn: SimConn) {
        if let Some(conns) = self.subscribers.get_mut(&(channel, listing)) {
            conns.retain(|other| *other != conn);
            if conns.is_empty() {
                self.subscribers.remove(&(channel, listing));
            }
        }
    }

    pub(super) fn forget(&mut self, conn: SimConn) {
        self.subscribers.retain(|_, conns| {
            conns.retain(|other| *other != conn);
            !conns.is_empty()
        });
    }

    fn has(&self, channel: Channel, listing: ListingId) -> bool {
        self.subscribers.contains_key(&(channel, listing))
    }

    fn send(&self, channel: Channel, listing: ListingId, frame: String, out: &mut Vec<Push>) {
        let Some((last, others)) =
            self.subscribers.get(&(channel, listing)).and_then(|conns| conns.split_last())
        else {
            return;
        };
        let frame = frame.into_bytes();
        out.extend(others.iter().map(|conn| Push::Text(*conn, frame.clone())));
        out.push(Push::Text(*last, frame));
    }

    /// A level changed.
    pub(super) fn on_level(&mut self, listing: ListingId) {
        let stream = &mut self.streams[listing.index()];
        stream.book_changed = true;
        stream.book5_changed = true;
    }

    /// The best price or its quantity changed.
    pub(super) fn on_bbo(&mut self, listing: ListingId) {
        let stream = &mut self.streams[listing.index()];
        stream.bbo_changed = true;
        stream.ticker_changed = true;
    }

    /// A trade: published at once.
    pub(super) fn on_trade(
        &mut self,
        exchange: &Exchange,
        trade: PublicTrade,
        at: Nanos,
        out: &mut Vec<Push>,
    ) {
        let stream = &mut self.streams[trade.listing.index()];
        if stream.last.is_none() {
            (stream.open, stream.high, stream.low) = (trade.price, trade.price, trade.price);
        }
        stream.high = stream.high.max(trade.price);
        stream.low = stream.low.min(trade.price);
        stream.volume += trade.qty;
        stream.last = Some((trade, at));
        stream.ticker_changed = true;
        if self.has(Channel::Trades, trade.listing) {
            let listing = exchange.listing(trade.listing);
            let side = if trade.taker == Side::Buy { "buy" } else { "sell" };
            let frame = format!(
                r#"{{"arg":{{"channel":"trades","instId":"{id}"}},"data":[{{"instId":"{id}","tradeId":"{}","px":"{}","sz":"{}","side":"{side}","ts":"{}","count":"{}","source":"0","seqId":{}}}]}}"#,
                trade.last,
                price(listing, trade.price),
                size(listing, trade.qty),
                ms(at),
                trade.last - trade.first + 1,
                exchange.last_update(trade.listing),
                id = listing.symbol,
            );
            self.send(Channel::Trades, trade.listing, frame, out);
        }
        if trade.is_liquidation() && self.has(Channel::Liquidations, trade.listing) {
            let frame = liquidation(exchange.listing(trade.listing), &trade, at);
            self.send(Channel::Liquidations, trade.listing, frame, out);
        }
    }

    /// A settlement: remembered and published.
    pub(super) fn on_settled(
        &mut self,
        exchange: &Exchange,
        listing: ListingId,
        rate_ppb: i64,
        at: Nanos,
        out: &mut Vec<Push>,
    ) {
        self.streams[listing.index()].settled_rate_ppb = Some(rate_ppb);
        self.publish_funding(exchange, Some(listing), at, out);
    }

    /// Every 10 ms: changed best prices.
    pub(super) fn publish_bbo(&mut self, exchange: &Exchange, at: Nanos, out: &mut Vec<Push>) {
        for index in 0..self.streams.len() {
            let id = ListingId(index as u16);
            if std::mem::take(&mut self.streams[index].bbo_changed) && self.has(Channel::BboTbt, id) {
                let frame = top_frame(exchange, id, Channel::BboTbt, 1, at);
                self.send(Channel::BboTbt, id, frame, out);
            }
        }
    }

    /// Every 100 ms: changed books and tickers.
    pub(super) fn publish_books(&mut self, exchange: &Exchange, at: Nanos, out: &mut Vec<Push>) {
        for index in 0..self.streams.len() {
            let id = ListingId(index as u16);
            if self.has(Channel::Books, id)
                && let Some(frame) = self.streams[index].book_update(exchange, id, at)
            {
                self.send(Channel::Books, id, frame, out);
            }
            if std::mem::take(&mut self.streams[index].book5_changed) && self.has(Channel::Books5, id) {
                let frame = top_frame(exchange, id, Channel::Books5, 5, at);
                self.send(Channel::Books5, id, frame, out);
            }
            if std::mem::take(&mut self.streams[index].ticker_changed) && self.has(Channel::Tickers, id) {
                let frame =
                    wrap(Channel::Tickers, &exchange.listing(id).symbol, &self.ticker(exchange, id, at));
                self.send(Channel::Tickers, id, frame, out);
            }
        }
    }

    /// Every 200 ms: changed mark, index and limit prices.
    pub(super) fn publish_marks(&mut self, exchange: &Exchange, at: Nanos, out: &mut Vec<Push>) {
        for index in 0..self.streams.len() {
            let id = ListingId(index as u16);
            let listing = exchange.listing(id);
            let stale = |sent: (Money, Nanos), value: Money| sent.0 != value || sent.1 + REPEAT <= at;
            if stale(self.streams[index].mark, listing.mark) {
                self.streams[index].mark = (listing.mark, at);
                if self.has(Channel::MarkPrice, id) {
                    self.send(
                        Channel::MarkPrice,
                        id,
                        wrap(Channel::MarkPrice, &listing.symbol, &mark(listing, at)),
                        out,
                    );
                }
                if self.has(Channel::PriceLimit, id) {
                    let frame = wrap(Channel::PriceLimit, &listing.symbol, &limits(exchange, listing, at));
                    self.send(Channel::PriceLimit, id, frame, out);
                }
            }
            if stale(self.streams[index].index, listing.index) {
                self.streams[index].index = (listing.index, at);
                if self.has(Channel::IndexTickers, id) {
                    let frame = wrap(Channel::IndexTickers, &index_name(listing), &index_ticker(listing, at));
                    self.send(Channel::IndexTickers, id, frame, out);
                }
            }
        }
    }

    /// Every minute, and after a settlement.
    pub(super) fn publish_funding(
        &mut self,
        exchange: &Exchange,
        only: Option<ListingId>,
        at: Nanos,
        out: &mut Vec<Push>,
    ) {
        for index in 0..self.streams.len() {
            let id = ListingId(index as u16);
            if self.has(Channel::FundingRate, id) && only.is_none_or(|only| only == id) {
                let frame =
                    wrap(Channel::FundingRate, &exchange.listing(id).symbol, &self.funding(exchange, id, at));
                self.send(Channel::FundingRate, id, frame, out);
            }
        }
    }

    /// Every 3 s.
    pub(super) fn publish_interest(&mut self, exchange: &Exchange, at: Nanos, out: &mut Vec<Push>) {
        for index in 0..self.streams.len() {
            let id = ListingId(index as u16);
            if self.has(Channel::OpenInterest, id) {
                let frame =
                    wrap(Channel::OpenInterest, &exchange.listing(id).symbol, &interest(exchange, id, at));
                self.send(Channel::OpenInterest, id, frame, out);
            }
        }
    }

    /// The first message of a new subscription, where the channel has one. Call before [`Feed::subscribe`].
    pub(super) fn first(
        &mut self,
        exchange: &Exchange,
        channel: Channel,
        id: ListingId,
        at: Nanos,
    ) -> Option<String> {
        let listing = exchange.listing(id);
        let symbol = &listing.symbol;
        Some(match channel {
            Channel::Books => {
                let running = self.has(Channel::Books, id);
                self.streams[id.index()].book_snapshot(exchange, id, running, at)
            }
            Channel::BboTbt => top_frame(exchange, id, channel, 1, at),
            Channel::Books5 => top_frame(exchange, id, channel, 5, at),
            Channel::Tickers => wrap(channel, symbol, &self.ticker(exchange, id, at)),
            Channel::MarkPrice => wrap(channel, symbol, &mark(listing, at)),
            Channel::PriceLimit => wrap(channel, symbol, &limits(exchange, listing, at)),
            Channel::IndexTickers => wrap(channel, &index_name(listing), &index_ticker(listing, at)),
            Channel::FundingRate => wrap(channel, symbol, &self.funding(exchange, id, at)),
            Channel::OpenInterest => wrap(channel, symbol, &interest(exchange, id, at)),
            _ => return None,
        })
    }

    /// A ticker object. Figures of "24 h" reach back to the venue's opening.
    pub(super) fn ticker(&self, exchange: &Exchange, id: ListingId, at: Nanos) -> String {
        let (listing, stream) = (exchange.listing(id), &self.streams[id.index()]);
        let at_mark = listing.to_ticks(listing.mark, Side::Buy);
        let (last, last_qty) = stream.last.map_or((at_mark, 0), |(trade, _)| (trade.price, trade.qty));
        let or_last = |ticks: Ticks| price(listing, if stream.last.is_some() { ticks } else { last });
        let (ask_price, ask_size) = best_text(exchange, id, Side::Sell);
        let (bid_price, bid_size) = best_text(exchange, id, Side::Buy);
        let open = or_last(stream.open);
        format!(
            r#"{{"instType":"SWAP","instId":"{}","last":"{}","lastSz":"{}","askPx":"{ask_price}","askSz":"{ask_size}","bidPx":"{bid_price}","bidSz":"{bid_size}","open24h":"{open}","high24h":"{}","low24h":"{}","sodUtc0":"{open}","sodUtc8":"{open}","volCcy24h":"{}","vol24h":"{}","ts":"{}"}}"#,
            listing.symbol,
            price(listing, last),
            size(listing, last_qty),
            or_last(stream.high),
            or_last(stream.low),
            listing.face(stream.volume),
            size(listing, stream.volume),
            ms(at),
        )
    }

    /// A funding-rate object.
    pub(super) fn funding(&self, exchange: &Exchange, id: ListingId, at: Nanos) -> String {
        let listing = exchange.listing(id);
        let settled = self.streams[id.index()].settled_rate_ppb.map_or_else(String::new, ppb);
        format!(
            r#"{{"formulaType":"withRate","fundingRate":"{}","fundingTime":"{}","impactValue":"20000.0000000000000000","instId":"{}","instType":"SWAP","interestRate":"0.0001000000000000","maxFundingRate":"0.00375","method":"current_period","minFundingRate":"-0.00375","nextFundingRate":"","nextFundingTime":"{}","premium":"0","prevFundingTime":"{}","settFundingRate":"{settled}","settState":"settled","ts":"{}"}}"#,
            ppb(listing.funding_rate_ppb),
            ms(listing.funding_at),
            listing.symbol,
            ms(listing.funding_at + listing.funding_interval_ns),
            ms(listing.funding_at - listing.funding_interval_ns),
            ms(at),
        )
    }

    /// The last trade price, else the mark.
    pub(super) fn last_price(&self, listing: &Listing, id: ListingId) -> String {
        match self.streams[id.index()].last {
            Some((trade, _)) => price(listing, trade.price),
            None => price(listing, listing.to_ticks(listing.mark, Side::Buy)),
        }
    }
}

impl Stream {
    /// The book as the stream's subscribers have it, so that the next update follows for all alike.
    fn book_snapshot(&mut self, exchange: &Exchange, id: ListingId, running: bool, at: Nanos) -> String {
        if !running {
            self.published = window(exchange, id);
            self.sequence = exchange.last_update(id);
            self.published_at = at;
            self.book_changed = false;
        }
        let listing = exchange.listing(id);
        let [bids, asks] = &self.published;
        books_frame(listing, "snapshot", [bids, asks], at, self.sequence, -1)
    }

    /// What changed since the last message; a sign of life when nothing did for long.
    fn book_update(&mut self, exchange: &Exchange, id: ListingId, at: Nanos) -> Option<String> {
        let listing = exchange.listing(id);
        if std::mem::take(&mut self.book_changed) {
            let now = window(exchange, id);
            let bids = changes(&self.published[0], &now[0], Side::Buy);
            let asks = changes(&self.published[1], &now[1], Side::Sell);
            let sequence = exchange.last_update(id);
            if (!bids.is_empty() || !asks.is_empty()) && sequence > self.sequence {
                let frame =
                    books_frame(listing, "update", [&bids, &asks], at, sequence, self.sequence as i64);
                self.published = now;
                self.sequence = sequence;
                self.published_at = at;
                return Some(frame);
            }
        }
        if at - self.published_at < KEEP_ALIVE {
            return None;
        }
        self.published_at = at;
        Some(books_frame(listing, "update", [&[], &[]], at, self.sequence, self.sequence as i64))
    }
}

fn window(exchange: &Exchange, id: ListingId) -> [Vec<LevelView>; 2] {
    let book = exchange.book(id);
    [book.levels(Side::Buy, BOOKS_DEPTH), book.levels(Side::Sell, BOOKS_DEPTH)]
}

/// Levels that differ, best first; a quantity of 0 deletes. Both sides are sorted best first.
fn changes(old: &[LevelView], new: &[LevelView], side: Side) -> Vec<LevelView> {
    let mut changed = Vec::new();
    let (mut old, mut new) = (old.iter().peekable(), new.iter().peekable());
    loop {
        // Larger is better, on both sides.
        let rank = |level: &LevelView| level.price * side.sign();
        match (old.peek(), new.peek()) {
            (None, None) => return changed,
            (Some(a), Some(b)) if a.price == b.price => {
                if a != b {
                    changed.push(**b);
                }
                old.next();
                new.next();
            }
            (Some(a), b) if b.is_none_or(|b| rank(a) > rank(b)) => {
                changed.push(LevelView { price: a.price, qty: 0, orders: 0 });
                old.next();
            }
            (_, Some(b)) => {
                changed.push(**b);
                new.next();
            }
            (Some(_), None) => return changed, // taken by the arm before: a rest of old levels is deleted there
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(price: Ticks, qty: Steps) -> LevelView {
        LevelView { price, qty, orders: 1 }
    }

    #[test]
    fn changes_applied_to_the_old_window_give_the_new_one() {
        let old = [level(105, 1), level(103, 2), level(100, 3)];
        let new = [level(106, 9), level(103, 4), level(101, 1), level(100, 3)];
        let changed = changes(&old, &new, Side::Buy);
        assert_eq!(
            changed,
            [level(106, 9), LevelView { price: 105, qty: 0, orders: 0 }, level(103, 4), level(101, 1)]
        );
        let asks: Vec<LevelView> = changes(&new.map(|l| level(200 - l.price, l.qty)), &[], Side::Sell);
        assert!(asks.len() == 4 && asks.iter().all(|l| l.qty == 0));
        assert!(changes(&old, &old, Side::Buy).is_empty());
    }
}
