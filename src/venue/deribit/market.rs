//! Market rows of Deribit to events: books with mandatory continuity, best bid and ask, trades, mark, funding.
//!
//! A book that lost continuity is told `Invalid` and not served until its next snapshot; nothing here
//! allocates in steady state.

use super::TERMS;
use super::adapter::{DeribitAdapter, REFRESH_EVERY};
use super::asks::Ask;
use super::parse::{Channel, DepthRow, Item, Liquidated, TickerRow};
use super::session::NEVER;
use crate::domain::event::{
    Bbo, BookReason, BookState, BookStatus, CHUNK_LEVELS, EventBody, LevelsChunk, Liquidation, Mark,
    OpenInterest, PublicTrade, Ticker,
};
use crate::domain::input::ConnId;
use crate::domain::instrument::{Price, Qty};
use crate::domain::number::Num;
use crate::domain::order::Side;
use crate::domain::text::Symbol;
use crate::domain::time::{MILLI, Nanos, SECOND};
use crate::venue::message::{Continuity, Depth, Verdict};
use crate::venue::{OddKind, Out, extras};

/// A book that was good for this long starts its back-off anew.
const GOOD_AFTER: Nanos = 60 * SECOND;

/// `current_funding` is the rate of what accrues in this time.
const FUNDING_RATE_TIME: Nanos = 8 * 3_600 * SECOND;

/// Milliseconds as sent to nanoseconds.
pub(super) fn nanos(ms: i64) -> Nanos {
    ms.saturating_mul(MILLI)
}

impl DeribitAdapter {
    /// The rows of a market frame.
    pub fn on_market(&mut self, conn: ConnId, channel: Channel, now: Nanos, out: &mut Out) {
        for i in 0..self.parser.items.len() {
            match self.parser.items[i] {
                Item::Depth(row) if channel == Channel::Book => {
                    if let Some(at) = self.defined(conn, &row.symbol, out) {
                        self.on_depth(conn, at, row, now, out);
                    }
                }
                Item::Ticker(row) => {
                    if let Some(at) = self.defined(conn, &row.symbol, out) {
                        self.on_ticker(conn, at, channel, row, now, out);
                    }
                }
                Item::Trade { symbol, id, price, qty, side, liquidation, time_ms } => {
                    let Some(at) = self.defined(conn, &symbol, out) else { continue };
                    self.on_liquidation(at, liquidation, (side, price, qty, time_ms), out);
                    let listing = &self.listings[at];
                    let (price, qty) = (listing.instrument.price(price), listing.instrument.qty(qty));
                    let (Some(price), Some(qty)) = (price, qty) else {
                        self.inexact(conn, at, now, out);
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
        conn: ConnId,
        at: usize,
        channel: Channel,
        row: TickerRow,
        now: Nanos,
        out: &mut Out,
    ) {
        let extras = self.extras;
        let listing = &mut self.listings[at];
        if channel == Channel::Ticker {
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
                venue_ns: nanos(row.time_ms),
                accrues: true,
            }));
            if row.closed {
                self.refresh(now);
            }
            return;
        }
        if listing.book != BookState::Live {
            // An instrument in quarantine is not served, not even its best prices.
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
            return self.inexact(conn, at, now, out);
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

    fn on_depth(&mut self, conn: ConnId, at: usize, row: DepthRow, now: Nanos, out: &mut Out) {
        let (bids, asks) = (self.parser.span(row.bids), self.parser.span(row.asks));
        let listing = &mut self.listings[at];
        let depth = Depth {
            channel: "book",
            symbol: listing.symbol.as_bytes(),
            snapshot: row.snapshot,
            first: 0,
            last: row.change,
            prev: row.prev,
            checksum: None,
            bids,
            asks,
            time_ms: row.time_ms,
        };
        match listing.continuity.on_depth(&depth) {
            Verdict::Snapshot | Verdict::Apply => {}
            Verdict::Skip | Verdict::Buffer => return,
            Verdict::Gap => return self.lose_book(at, BookReason::Gap, now, out),
        }
        self.scratch.clear();
        for (price, qty) in bids.iter().chain(asks) {
            let (Some(price), Some(qty)) = (listing.instrument.price(*price), listing.instrument.qty(*qty))
            else {
                return self.inexact(conn, at, now, out);
            };
            self.scratch.push((price, qty));
        }
        let mut chunk = LevelsChunk {
            instrument: listing.id,
            clear: row.snapshot,
            update_id: row.change,
            venue_ns: nanos(row.time_ms),
            ..LevelsChunk::default()
        };
        let mut from = 0;
        while !chunk.last {
            let count = CHUNK_LEVELS.min(self.scratch.len() - from);
            let of_bids = bids.len().saturating_sub(from).min(count);
            chunk.bids = of_bids as u8;
            chunk.asks = (count - of_bids) as u8;
            chunk.levels[..count].copy_from_slice(&self.scratch[from..from + count]);
            from += count;
            chunk.last = from == self.scratch.len();
            out.event(EventBody::Levels(chunk));
            chunk.clear = false;
        }
        if row.snapshot {
            listing.book = BookState::Live;
            listing.live_since = now;
            listing.resync_due = NEVER;
            let (instrument, state) = (listing.id, BookState::Live);
            out.event(EventBody::Book(BookStatus { instrument, state, reason: BookReason::Sync }));
        }
    }

    /// A number does not fit the instrument's scales: the specification must have changed.
    fn inexact(&mut self, conn: ConnId, at: usize, now: Nanos, out: &mut Out) {
        self.odd(conn, OddKind::Inexact, out);
        self.lose_book(at, BookReason::Malformed, now, out);
        self.refresh(now);
    }

    /// Asks for the specifications again, unless that was done a moment ago.
    fn refresh(&mut self, now: Nanos) {
        if now.saturating_sub(self.refreshed_at) >= REFRESH_EVERY && !self.asking(Ask::Instruments, now) {
            self.refreshed_at = now;
            self.want(Ask::Instruments, now);
        }
    }

    /// Quarantines one book and plans its resynchronisation.
    pub fn lose_book(&mut self, at: usize, reason: BookReason, now: Nanos, out: &mut Out) {
        let listing = &mut self.listings[at];
        listing.continuity.invalidate();
        if listing.book == BookState::Invalid || !listing.subscribed {
            return;
        }
        if listing.book == BookState::Live && now - listing.live_since >= GOOD_AFTER {
            listing.resyncs = 0;
        }
        listing.book = BookState::Invalid;
        let wait = match listing.resyncs {
            0 => 0,
            n => TERMS.back_off(n, u64::from(listing.id.0)),
        };
        listing.resync_due = now + wait;
        let (instrument, due) = (listing.id, listing.resync_due);
        out.event(EventBody::Book(BookStatus { instrument, state: BookState::Invalid, reason }));
        self.arm(due);
    }
}
