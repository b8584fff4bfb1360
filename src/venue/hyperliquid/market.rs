//! Market rows of Hyperliquid to events: books by whole snapshots, best bid and ask, trades, mark, funding.
//!
//! Best prices come with every block in which they change, depth about twice a second: the best prices are
//! laid over the depth by their common time, and it is they that move the scanner in between. A book that
//! cannot be trusted is told `Invalid` and not served until its next snapshot.

use super::adapter::{Ask, HyperliquidAdapter, REFRESH_EVERY};
use super::parse::{Item, Span};
use super::session::NEVER;
use crate::domain::event::{
    Bbo, BookReason, BookState, BookStatus, CHUNK_LEVELS, EventBody, LevelsChunk, Mark, OpenInterest,
    PublicTrade,
};
use crate::domain::input::ConnId;
use crate::domain::instrument::{Price, Qty};
use crate::domain::time::{MILLI, Nanos, SECOND, Stamp};
use crate::venue::message::{Continuity, Depth, Level, Verdict};
use crate::venue::{OddKind, Out};

/// Time between funding settlements: every full hour.
const FUNDING_EVERY: Nanos = 3_600 * SECOND;

/// Milliseconds as sent to nanoseconds.
pub(super) fn nanos(ms: i64) -> Nanos {
    ms.saturating_mul(MILLI)
}

impl HyperliquidAdapter {
    /// The rows of a market frame.
    pub fn on_market(&mut self, conn: ConnId, now: Stamp, out: &mut Out) {
        for i in 0..self.parser.items.len() {
            let item = self.parser.items[i];
            let (Item::Book { symbol, .. }
            | Item::Bbo { symbol, .. }
            | Item::Trade { symbol, .. }
            | Item::Ctx { symbol, .. }) = &item;
            let Some(at) = self.find(symbol) else {
                self.odd(conn, OddKind::UnknownSymbol, out);
                continue;
            };
            if self.listings[at].instrument.generation == 0 {
                continue;
            }
            match item {
                Item::Book { bids, asks, time_ms, rest: false, .. } => {
                    self.on_book(conn, at, bids, asks, time_ms, now.mono, out);
                }
                Item::Book { .. } => self.odd(conn, OddKind::Unknown, out),
                Item::Bbo { bid, ask, time_ms, .. } => {
                    self.on_bbo(conn, at, bid, ask, time_ms, now.mono, out)
                }
                Item::Trade { id, price, qty, side, time_ms, .. } => {
                    let listing = &self.listings[at];
                    if nanos(time_ms) < listing.subscribed_wall {
                        // A subscription begins with trades of before.
                        continue;
                    }
                    let (price, qty) = (listing.instrument.price(price), listing.instrument.qty(qty));
                    let (Some(price), Some(qty)) = (price, qty) else {
                        self.inexact(conn, at, now.mono, out);
                        continue;
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
                Item::Ctx { mark, oracle, rate, interest, .. } => {
                    let listing = &mut self.listings[at];
                    // The message carries no time; settlements are at full hours.
                    let (instrument, venue_ns) = (listing.id, now.wall);
                    if let Some(qty) = interest {
                        let stated = OpenInterest { instrument, qty, venue_ns };
                        listing.told.interest(self.extras, stated, out);
                    }
                    out.event(EventBody::Mark(Mark {
                        instrument,
                        mark,
                        index: oracle,
                        rate,
                        funding_ns: (now.wall.div_euclid(FUNDING_EVERY) + 1) * FUNDING_EVERY,
                        interval_ns: FUNDING_EVERY,
                        venue_ns,
                        accrues: false,
                    }));
                }
            }
        }
    }

    fn on_bbo(
        &mut self,
        conn: ConnId,
        at: usize,
        bid: Option<Level>,
        ask: Option<Level>,
        time_ms: i64,
        now: Nanos,
        out: &mut Out,
    ) {
        let listing = &self.listings[at];
        if listing.book != BookState::Live {
            // An instrument in quarantine is not served, not even its best prices.
            return;
        }
        let best = |side: Option<Level>| match side {
            Some((price, qty)) => Some((listing.instrument.price(price)?, listing.instrument.qty(qty)?)),
            None => Some((Price(0), Qty(0))),
        };
        let (Some((bid, bid_qty)), Some((ask, ask_qty))) = (best(bid), best(ask)) else {
            return self.inexact(conn, at, now, out);
        };
        out.event(EventBody::Bbo(Bbo {
            instrument: listing.id,
            bid,
            bid_qty,
            ask,
            ask_qty,
            update_id: u64::try_from(time_ms).unwrap_or(0),
            venue_ns: nanos(time_ms),
        }));
    }

    fn on_book(
        &mut self,
        conn: ConnId,
        at: usize,
        bids: Span,
        asks: Span,
        time_ms: i64,
        now: Nanos,
        out: &mut Out,
    ) {
        let (bids, asks) = (self.parser.span(bids), self.parser.span(asks));
        let listing = &mut self.listings[at];
        let update_id = u64::try_from(time_ms).unwrap_or(0);
        let depth = Depth {
            channel: "l2Book",
            symbol: listing.symbol.as_bytes(),
            snapshot: true,
            first: 0,
            last: update_id,
            prev: -1,
            checksum: None,
            bids,
            asks,
            time_ms,
        };
        if listing.continuity.on_depth(&depth) != Verdict::Snapshot {
            return;
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
            clear: true,
            update_id,
            venue_ns: nanos(time_ms),
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
        listing.resync_due = NEVER;
        if listing.book != BookState::Live {
            listing.book = BookState::Live;
            let (instrument, state) = (listing.id, BookState::Live);
            out.event(EventBody::Book(BookStatus { instrument, state, reason: BookReason::Sync }));
        }
    }

    /// A number does not fit the instrument's scales: the specification must have changed.
    fn inexact(&mut self, conn: ConnId, at: usize, now: Nanos, out: &mut Out) {
        self.odd(conn, OddKind::Inexact, out);
        self.lose_book(at, BookReason::Malformed, now, out);
        if now.saturating_sub(self.refreshed_at) >= REFRESH_EVERY && !self.asking(Ask::Meta, now) {
            self.refreshed_at = now;
            self.want(Ask::Meta, now);
        }
    }

    /// Quarantines one book. The next snapshot, half a second later, brings it back; the subscription is
    /// renewed only when none comes.
    pub fn lose_book(&mut self, at: usize, reason: BookReason, now: Nanos, out: &mut Out) {
        let listing = &mut self.listings[at];
        listing.continuity.invalidate();
        if listing.book == BookState::Invalid || !listing.subscribed {
            return;
        }
        listing.book = BookState::Invalid;
        listing.resync_due = now + super::adapter::SNAPSHOT_WITHIN;
        let (instrument, due) = (listing.id, listing.resync_due);
        out.event(EventBody::Book(BookStatus { instrument, state: BookState::Invalid, reason }));
        self.arm(due);
    }
}
