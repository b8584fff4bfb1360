//! Market rows of Deribit to events: books with mandatory continuity, best bid and ask, trades, mark, funding.
//!
//! A book that lost continuity is told `Invalid` and not served until its next snapshot; nothing here
//! allocates in steady state.

use super::adapter::{DeribitAdapter, Listing};
use super::asks::Ask;
use super::parse::{Channel, DepthRow, Item, Liquidated, TickerRow};
use crate::domain::event::{
    Bbo, BookReason, EventBody, Liquidation, Mark, OpenInterest, PublicTrade, Ticker,
};
use crate::domain::input::ConnId;
use crate::domain::instrument::{Price, Qty};
use crate::domain::number::Num;
use crate::domain::order::Side;
use crate::domain::text::Symbol;
use crate::domain::time::{MILLI, Nanos, SECOND};
use crate::venue::lines::{Loss, tell_levels};
use crate::venue::markets::Market as _;
use crate::venue::message::Depth;
use crate::venue::{OddKind, Out, extras};

/// `current_funding` is the rate of what accrues in this time.
const FUNDING_RATE_TIME: Nanos = 8 * 3_600 * SECOND;

/// Milliseconds as sent to nanoseconds.
pub(super) fn nanos(ms: i64) -> Nanos {
    ms.saturating_mul(MILLI)
}

impl DeribitAdapter {
    /// The rows of a market frame.
    pub fn on_market(&mut self, (conn, copy): (ConnId, usize), channel: Channel, now: Nanos, out: &mut Out) {
        for i in 0..self.parser.items.len() {
            match self.parser.items[i] {
                Item::Depth(row) if channel == Channel::Book => {
                    if let Some(at) = self.defined(conn, &row.symbol, out) {
                        self.on_depth((conn, copy), at, row, now, out);
                    }
                }
                Item::Ticker(row) => {
                    if let Some(at) = self.defined(conn, &row.symbol, out) {
                        self.on_ticker((conn, copy), at, channel, row, now, out);
                    }
                }
                Item::Trade { symbol, id, price, qty, side, liquidation, time_ms } => {
                    let Some(at) = self.defined(conn, &symbol, out) else { continue };
                    let Self { listings, twins, .. } = self;
                    let (listing, trade) = (&mut listings[at], (id, time_ms));
                    if listing.book.is_merged() && !listing.trades.admit(copy, trade, &mut twins.counts) {
                        continue;
                    }
                    self.on_liquidation(at, liquidation, (side, price, qty, time_ms), out);
                    let listing = &self.listings[at];
                    let (price, qty) = (listing.instrument.price(price), listing.instrument.qty(qty));
                    let (Some(price), Some(qty)) = (price, qty) else {
                        self.inexact((conn, copy), at, now, out);
                        return;
                    };
                    out.event(EventBody::Trade(PublicTrade {
                        instrument: listing.id,
                        id,
                        price,
                        qty,
                        aggressor: side,
                        venue_ns: nanos(time_ms),
                    }));
                }
                // Every instrument of the venue is told of; ours have to be looked up.
                Item::State { symbol } => {
                    if self.find(&symbol).is_some() {
                        self.refresh(now);
                    }
                }
                // Understood, but not subscribed by this machine.
                Item::Depth(_) => self.odd(conn, OddKind::Unknown, out),
            }
        }
    }

    /// A trade in which a liquidation took part, as the taker, the maker, or both. Its side is the taker's.
    fn on_liquidation(
        &mut self,
        at: usize,
        liquidation: Liquidated,
        (taker, price, qty, time_ms): (Side, Num, Num, i64),
        out: &mut Out,
    ) {
        let (instrument, venue_ns) = (self.listings[at].id, nanos(time_ms));
        for (took_part, side) in [(liquidation.taker, taker), (liquidation.maker, taker.opposite())] {
            if took_part {
                let forced = Liquidation { instrument, side, price, qty, venue_ns };
                extras::liquidation(self.extras, forced, out);
            }
        }
    }

    /// Position of a listing whose scales are known.
    fn defined(&self, conn: ConnId, symbol: &Symbol, out: &mut Out) -> Option<usize> {
        let found = self.find(symbol);
        if found.is_none() {
            self.odd(conn, OddKind::UnknownSymbol, out);
        }
        found.filter(|at| self.listings[*at].instrument.generation > 0)
    }

    fn on_ticker(
        &mut self,
        (conn, copy): (ConnId, usize),
        at: usize,
        channel: Channel,
        row: TickerRow,
        now: Nanos,
        out: &mut Out,
    ) {
        let extras = self.extras;
        let Self { listings, twins, .. } = self;
        let (listing, key) = (&mut listings[at], row.time_ms.unsigned_abs());
        let is_merged = listing.book.is_merged();
        if channel == Channel::Ticker {
            if is_merged && !listing.ticker.admit(copy, key, now, &mut twins.counts) {
                return;
            }
            let (instrument, venue_ns) = (listing.id, nanos(row.time_ms));
            if let Some(qty) = row.interest {
                listing.told.interest(extras, OpenInterest { instrument, qty, venue_ns }, out);
            }
            let ticker = Ticker { instrument, last: row.last, bid: row.bid, ask: row.ask, venue_ns };
            listing.told.ticker(extras, ticker, out);
            out.event(EventBody::Mark(Mark {
                instrument: listing.id,
                mark: row.mark,
                index: row.index,
                rate: row.rate,
                // Funding accrues continuously: there is no settlement to name, only the time of the rate.
                funding_ns: 0,
                interval_ns: if row.rate.is_some() { FUNDING_RATE_TIME } else { 0 },
                buy_max: row.max,
                sell_min: row.min,
                venue_ns: nanos(row.time_ms),
                accrues: true,
            }));
            if row.closed {
                self.refresh(now);
            }
            return;
        }
        // An instrument in quarantine is not served, not even its best prices.
        let is_served = listing.book.is_live();
        if !is_served || (is_merged && !listing.best.admit(copy, key, now, &mut twins.counts)) {
            return;
        }
        let level = |price: Option<Num>, qty: Option<Num>| match (price, qty) {
            (Some(price), Some(qty)) => {
                Some((listing.instrument.price(price)?, listing.instrument.qty(qty)?))
            }
            // An empty side.
            _ => Some((Price(0), Qty(0))),
        };
        let (bid, ask) = (level(row.bid, row.bid_qty), level(row.ask, row.ask_qty));
        let (Some((bid, bid_qty)), Some((ask, ask_qty))) = (bid, ask) else {
            return self.inexact((conn, copy), at, now, out);
        };
        out.event(EventBody::Bbo(Bbo {
            instrument: listing.id,
            bid,
            bid_qty,
            ask,
            ask_qty,
            // A quote carries no change id: it is compared by its time.
            update_id: 0,
            venue_ns: nanos(row.time_ms),
        }));
    }

    fn on_depth(
        &mut self,
        (conn, copy): (ConnId, usize),
        at: usize,
        row: DepthRow,
        now: Nanos,
        out: &mut Out,
    ) {
        let Self { parser, listings, scratch, twins, .. } = self;
        let Listing { book, instrument, symbol, .. } = &mut listings[at];
        let depth = Depth {
            channel: "book",
            symbol: symbol.as_bytes(),
            snapshot: row.snapshot,
            first: 0,
            last: row.change,
            prev: row.prev,
            checksum: None,
            bids: parser.span(row.bids),
            asks: parser.span(row.asks),
            time_ms: row.time_ms,
        };
        let told = book.on_depth(copy, &depth, now, &mut twins.counts, out, |change, levels, out| {
            tell_levels(instrument, change, levels, scratch, out)
        });
        match told {
            Ok(due) => self.arm(due),
            Err(Loss::Void(reason)) => self.lose_book(at, copy, reason, now, out),
            Err(Loss::Inexact) => self.inexact((conn, copy), at, now, out),
        }
    }

    /// A number does not fit the instrument's scales: the specification must have changed.
    fn inexact(&mut self, (conn, copy): (ConnId, usize), at: usize, now: Nanos, out: &mut Out) {
        self.odd(conn, OddKind::Inexact, out);
        self.lose_book(at, copy, BookReason::Malformed, now, out);
        self.refresh(now);
    }

    /// Asks for the specifications again, as soon as the pace for it allows.
    pub fn refresh(&mut self, now: Nanos) {
        let request = &self.requests[Ask::Instruments as usize];
        if let Some(due) = self.rereading.wish(request.is_out(), now)
            && request.failures == 0
            && (!request.wanted || request.due > due)
        {
            self.want(Ask::Instruments, due);
        }
    }
}
