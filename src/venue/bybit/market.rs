//! Market rows of Bybit to events: books with mandatory continuity, best bid and ask, trades, mark, funding.
//!
//! A book that lost continuity is told `Invalid` and not served until its next snapshot; nothing here
//! allocates in steady state.

use super::adapter::{Ask, BybitAdapter, Listing};
use super::calls::BOOK_TOPIC;
use super::parse::{BEST, Channel, DepthRow, Item, TickerRow};
use crate::domain::event::{
    Bbo, BookReason, EventBody, Liquidation, Mark, OpenInterest, PublicTrade, Ticker,
};
use crate::domain::input::ConnId;
use crate::domain::instrument::{Price, Qty};
use crate::domain::text::Symbol;
use crate::domain::time::{MILLI, Nanos, SECOND, Stamp};
use crate::venue::lines::{Loss, tell_levels};
use crate::venue::markets::Market as _;
use crate::venue::message::{Depth, Level};
use crate::venue::{OddKind, Out, extras};
use std::cmp::Ordering;

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
    pub copy: usize,
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
                    let Self { listings, twins, .. } = self;
                    let listing = &mut listings[at];
                    let (price, qty) = (listing.instrument.price(price), listing.instrument.qty(qty));
                    let (Some(price), Some(qty)) = (price, qty) else {
                        return self.inexact(about, at, now.mono, out);
                    };
                    let trade = (id, time_ms);
                    if listing.book.is_merged() && !listing.trades.admit(about.copy, trade, &mut twins.counts)
                    {
                        continue;
                    }
                    out.event(EventBody::Trade(PublicTrade {
                        instrument: listing.id,
                        id,
                        price,
                        qty,
                        aggressor: side,
                        venue_ns: nanos(time_ms),
                    }));
                }
                Item::Ticker(row) if row.symbol == *symbol => {
                    self.on_ticker(at, row, about, now.mono, out);
                }
                Item::Limits { symbol: name, buy_max, sell_min } if name == *symbol => {
                    let listing = &mut self.listings[at];
                    listing.limits.hear(about.copy);
                    listing.limits.state((buy_max, sell_min));
                    let (instrument, venue_ns) = (listing.id, nanos(about.time_ms));
                    out.event(EventBody::Mark(Mark {
                        instrument,
                        buy_max,
                        sell_min,
                        venue_ns,
                        ..Mark::default()
                    }));
                }
                // The venue names the side of the position; an order of the other side closes it.
                Item::Liquidation { symbol: name, side, price, qty, time_ms } if name == *symbol => {
                    let Self { listings, twins, .. } = self;
                    let (listing, key) = (&mut listings[at], time_ms.unsigned_abs());
                    let is_merged = listing.book.is_merged();
                    if is_merged && !listing.forced.admit(about.copy, key, now.mono, &mut twins.counts) {
                        continue;
                    }
                    let (instrument, venue_ns) = (listing.id, nanos(time_ms));
                    let side = side.opposite();
                    let forced = Liquidation { instrument, side, price, qty, venue_ns };
                    extras::liquidation(self.extras, forced, out);
                }
                // Topics that are understood but not subscribed by this machine, or another's row.
                _ => self.odd(conn, OddKind::Unknown, out),
            }
        }
    }

    fn on_ticker(&mut self, at: usize, row: TickerRow, about: About, now: Nanos, out: &mut Out) {
        let Self { listings, twins, .. } = self;
        let (listing, key) = (&mut listings[at], about.time_ms.unsigned_abs());
        listing.whole.hear(about.copy, about.snapshot);
        if listing.book.is_merged() && !listing.ticker.admit(about.copy, key, now, &mut twins.counts) {
            return;
        }
        let (instrument, venue_ns) = (listing.id, nanos(about.time_ms));
        if let Some(qty) = row.interest {
            listing.told.interest(self.extras, OpenInterest { instrument, qty, venue_ns }, out);
        }
        let ticker = Ticker { instrument, last: row.last, bid: row.bid, ask: row.ask, venue_ns };
        listing.told.ticker(self.extras, ticker, out);
        let Some(row) = listing.whole.take(about.copy, row, about.snapshot, now) else { return };
        let (buy_max, sell_min) = listing.limits.beside(about.copy, row.mark);
        out.event(EventBody::Mark(Mark {
            instrument,
            mark: row.mark,
            index: row.index,
            rate: row.rate,
            funding_ns: nanos(row.funding_ms),
            interval_ns: row.interval_hours.saturating_mul(HOUR),
            buy_max,
            sell_min,
            venue_ns,
            accrues: false,
        }));
    }

    fn on_bbo(&mut self, about: About, at: usize, row: DepthRow, now: Nanos, out: &mut Out) {
        let Self { listings, twins, .. } = self;
        let listing = &mut listings[at];
        // An instrument in quarantine is not served, not even its best prices.
        if !listing.book.is_live() {
            return;
        }
        let key = if row.seq > 0 { row.seq } else { about.time_ms.unsigned_abs() };
        if listing.book.is_merged() && !listing.best.admit(about.copy, key, now, &mut twins.counts) {
            return;
        }
        // After three seconds without a change the same message comes again.
        if row.update == listing.best_update {
            return;
        }
        let (bids, asks) = (self.parser.span(row.bids), self.parser.span(row.asks));
        let best = |side: &[Level]| match side.first() {
            Some((price, qty)) => Some((listing.instrument.price(*price)?, listing.instrument.qty(*qty)?)),
            None => Some((Price(0), Qty(0))),
        };
        let (Some((bid, bid_qty)), Some((ask, ask_qty))) = (best(bids), best(asks)) else {
            return self.inexact(about, at, now, out);
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
        let Self { parser, listings, scratch, twins, .. } = self;
        let Listing { book, instrument, symbol, numbers, .. } = &mut listings[at];
        let depth = Depth {
            channel: BOOK_TOPIC,
            symbol: symbol.as_bytes(),
            snapshot: about.snapshot || row.update == 1,
            first: row.seq,
            last: row.update,
            prev: i64::try_from(row.update).unwrap_or(0) - 1,
            checksum: None,
            bids: parser.span(row.bids),
            asks: parser.span(row.asks),
            time_ms: about.time_ms,
        };
        let copy = about.copy;
        let is_joined = row.update != 1 && book.is_live() && book.is_carried_by(1 - copy);
        if is_joined && !agree((row.update, row.seq), *numbers) {
            let due = book.set_apart(copy, now);
            return self.arm(due);
        }
        let told = book.on_depth(copy, &depth, now, &mut twins.counts, out, |change, levels, out| {
            *numbers = (change.last, change.about.update_id);
            tell_levels(instrument, change, levels, scratch, out)
        });
        match told {
            Ok(due) => self.arm(due),
            Err(Loss::Void(reason)) => self.lose_book(at, copy, reason, now, out),
            Err(Loss::Inexact) => self.inexact(about, at, now, out),
        }
    }

    /// A number does not fit the instrument's scales: the specification must have changed.
    fn inexact(&mut self, about: About, at: usize, now: Nanos, out: &mut Out) {
        self.odd(about.conn, OddKind::Inexact, out);
        self.lose_book(at, about.copy, BookReason::Malformed, now, out);
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

/// Whether `u` and `seq` of a message and of the book are in the same order. The venue does not promise that `u` is
/// the same on every connection: one that counts otherwise must not be joined.
fn agree((update, seq): (u64, u64), (book_update, book_seq): (u64, u64)) -> bool {
    match update.cmp(&book_update) {
        Ordering::Less => seq <= book_seq,
        Ordering::Equal => seq == book_seq,
        Ordering::Greater => seq >= book_seq,
    }
}
