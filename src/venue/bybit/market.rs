//! Market rows of Bybit to events: books with mandatory continuity, best bid and ask, trades, mark, funding.
//!
//! A book that lost continuity is told `Invalid` and not served until its next snapshot; nothing here
//! allocates in steady state.

use super::TERMS;
use super::adapter::{Ask, BybitAdapter, REFRESH_EVERY};
use super::calls::BOOK_TOPIC;
use super::parse::{BEST, Channel, DepthRow, Item, TickerRow};
use super::session::NEVER;
use crate::domain::event::{
    Bbo, BookReason, BookState, BookStatus, CHUNK_LEVELS, EventBody, LevelsChunk, Liquidation, Mark,
    OpenInterest, PublicTrade, Ticker,
};
use crate::domain::input::ConnId;
use crate::domain::instrument::{Price, Qty};
use crate::domain::text::Symbol;
use crate::domain::time::{MILLI, Nanos, SECOND, Stamp};
use crate::venue::message::{Continuity, Depth, Level, Verdict};
use crate::venue::{OddKind, Out, extras};

/// A book that was good for this long starts its back-off anew.
const GOOD_AFTER: Nanos = 60 * SECOND;
/// An hour, ns.
const HOUR: Nanos = 3_600 * SECOND;

/// Milliseconds as sent to nanoseconds.
pub(super) fn nanos(ms: i64) -> Nanos {
    ms.saturating_mul(MILLI)
}

/// What a market frame says besides its rows.
#[derive(Clone, Copy, Debug)]
pub(super) struct About {
    pub conn: ConnId,
    pub channel: Channel,
    pub snapshot: bool,
    pub time_ms: i64,
}

impl BybitAdapter {
    /// The rows of a market frame.
    pub fn on_market(&mut self, about: About, symbol: &Symbol, now: Stamp, out: &mut Out) {
        let conn = about.conn;
        let Some(at) = self.find(symbol) else { return self.odd(conn, OddKind::UnknownSymbol, out) };
        if self.listings[at].instrument.generation == 0 {
            return;
        }
        for i in 0..self.parser.items.len() {
            match self.parser.items[i] {
                Item::Depth(row) if row.symbol == *symbol && about.channel == BEST && about.snapshot => {
                    self.on_bbo(about, at, row, now.mono, out);
                }
                Item::Depth(row) if row.symbol == *symbol && about.channel == Channel::Book(BOOK_TOPIC) => {
                    self.on_depth(about, at, row, now.mono, out);
                }
                Item::Trade { symbol: name, id, price, qty, side, time_ms } if name == *symbol => {
                    let listing = &self.listings[at];
                    let (price, qty) = (listing.instrument.price(price), listing.instrument.qty(qty));
                    let (Some(price), Some(qty)) = (price, qty) else {
                        return self.inexact(conn, at, now.mono, out);
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
                Item::Ticker(row) if row.symbol == *symbol => self.on_ticker(at, row, about, out),
                // The venue names the side of the position; an order of the other side closes it.
                Item::Liquidation { symbol: name, side, price, qty, time_ms } if name == *symbol => {
                    let (instrument, venue_ns) = (self.listings[at].id, nanos(time_ms));
                    let side = side.opposite();
                    let forced = Liquidation { instrument, side, price, qty, venue_ns };
                    extras::liquidation(self.extras, forced, out);
                }
                // Topics that are understood but not subscribed by this machine, or another's row.
                _ => self.odd(conn, OddKind::Unknown, out),
            }
        }
    }

    /// Tickers come whole once and then as changes: rate, settlement and interval belong together, so what
    /// was said last of each is said again with the others.
    fn on_ticker(&mut self, at: usize, row: TickerRow, about: About, out: &mut Out) {
        let listing = &mut self.listings[at];
        if about.snapshot {
            listing.funding = TickerRow::default();
        }
        let (instrument, venue_ns) = (listing.id, nanos(about.time_ms));
        if let Some(qty) = row.interest {
            listing.told.interest(self.extras, OpenInterest { instrument, qty, venue_ns }, out);
        }
        let ticker = Ticker { instrument, last: row.last, bid: row.bid, ask: row.ask, venue_ns };
        listing.told.ticker(self.extras, ticker, out);
        let funding = &mut listing.funding;
        funding.rate = row.rate.or(funding.rate);
        if row.funding_ms > 0 {
            funding.funding_ms = row.funding_ms;
        }
        if row.interval_hours > 0 {
            funding.interval_hours = row.interval_hours;
        }
        if !row.has_mark() {
            return;
        }
        let told = row.has_funding();
        out.event(EventBody::Mark(Mark {
            instrument: listing.id,
            mark: row.mark,
            index: row.index,
            rate: funding.rate.filter(|_| told),
            funding_ns: if told { nanos(funding.funding_ms) } else { 0 },
            interval_ns: if told { funding.interval_hours.saturating_mul(HOUR) } else { 0 },
            venue_ns: nanos(about.time_ms),
            accrues: false,
        }));
    }

    fn on_bbo(&mut self, about: About, at: usize, row: DepthRow, now: Nanos, out: &mut Out) {
        let listing = &mut self.listings[at];
        // After three seconds without a change the same message comes again. An instrument in quarantine is
        // not served, not even its best prices.
        if listing.book != BookState::Live || row.update == listing.best_update {
            return;
        }
        let (bids, asks) = (self.parser.span(row.bids), self.parser.span(row.asks));
        let best = |side: &[Level]| match side.first() {
            Some((price, qty)) => Some((listing.instrument.price(*price)?, listing.instrument.qty(*qty)?)),
            None => Some((Price(0), Qty(0))),
        };
        let (Some((bid, bid_qty)), Some((ask, ask_qty))) = (best(bids), best(asks)) else {
            return self.inexact(about.conn, at, now, out);
        };
        listing.best_update = row.update;
        out.event(EventBody::Bbo(Bbo {
            instrument: listing.id,
            bid,
            bid_qty,
            ask,
            ask_qty,
            update_id: row.seq,
            venue_ns: nanos(about.time_ms),
        }));
    }

    fn on_depth(&mut self, about: About, at: usize, row: DepthRow, now: Nanos, out: &mut Out) {
        let (bids, asks) = (self.parser.span(row.bids), self.parser.span(row.asks));
        let listing = &mut self.listings[at];
        let depth = Depth {
            channel: BOOK_TOPIC,
            symbol: listing.symbol.as_bytes(),
            snapshot: about.snapshot || row.update == 1,
            first: row.seq,
            last: row.update,
            prev: -1,
            checksum: None,
            bids,
            asks,
            time_ms: about.time_ms,
        };
        let snapshot = match listing.continuity.on_depth(&depth) {
            Verdict::Snapshot => true,
            Verdict::Apply => false,
            Verdict::Skip | Verdict::Buffer => return,
            Verdict::Gap => return self.lose_book(at, BookReason::Gap, now, out),
        };
        self.scratch.clear();
        for (price, qty) in bids.iter().chain(asks) {
            let exact = (listing.instrument.price(*price), listing.instrument.qty(*qty));
            let (Some(price), Some(qty)) = exact else { return self.inexact(about.conn, at, now, out) };
            self.scratch.push((price, qty));
        }
        let mut chunk = LevelsChunk {
            instrument: listing.id,
            clear: snapshot,
            update_id: row.seq,
            venue_ns: nanos(about.time_ms),
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
        if snapshot && listing.book != BookState::Live {
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
