//! Market rows of OKX to events: books with mandatory continuity, best bid and ask, trades, mark, funding.
//!
//! A book that lost continuity is told `Invalid` and not served until its next snapshot; nothing here
//! allocates in steady state.

use super::adapter::{Listing, OkxAdapter};
use super::calls::SWAP_SUFFIX;
use super::continuity::{SentBook, checksum};
use super::parse::{Channel, DepthRow, Item};
use crate::domain::event::{
    Bbo, BookReason, EventBody, Liquidation, Mark, OpenInterest, PublicTrade, Ticker,
};
use crate::domain::input::ConnId;
use crate::domain::instrument::{Price, Qty};
use crate::domain::text::Symbol;
use crate::domain::time::{MILLI, Nanos, Stamp};
use crate::venue::lines::{Change, Loss, tell_levels};
use crate::venue::markets::Market as _;
use crate::venue::message::{Depth, Level};
use crate::venue::{OddKind, Out, extras};

/// Places in [`Listing::marks`].
const MARK: usize = 0;
const INDEX: usize = 1;
const FUNDING: usize = 2;
const INTEREST: usize = 3;
const TICKER: usize = 4;
const LIQUIDATION: usize = 5;
const LIMITS: usize = 6;
/// How many there are.
pub(super) const MARKS: usize = 7;

/// Milliseconds as sent to nanoseconds.
pub(super) fn nanos(ms: i64) -> Nanos {
    ms.saturating_mul(MILLI)
}

impl OkxAdapter {
    /// The rows of a market frame.
    pub fn on_market(
        &mut self,
        (conn, copy): (ConnId, usize),
        channel: Channel,
        symbol: &Symbol,
        snapshot: bool,
        now: Stamp,
        out: &mut Out,
    ) {
        match channel {
            Channel::Index => return self.on_index(conn, copy, now.mono, out),
            Channel::Liquidations => return self.on_liquidations(copy, now.mono, out),
            _ => {}
        }
        let Some(at) = self.find(symbol) else { return self.odd(conn, OddKind::UnknownSymbol, out) };
        if self.listings[at].instrument.generation == 0 {
            return;
        }
        for i in 0..self.parser.items.len() {
            match (channel, self.parser.items[i]) {
                (Channel::Books("books"), Item::Depth(row)) => {
                    self.on_depth((conn, copy), at, row, snapshot, now.mono, out);
                }
                (Channel::Bbo, Item::Depth(row)) => self.on_bbo((conn, copy), at, row, now.mono, out),
                (_, Item::Trade { symbol: name, id, price, qty, side, time_ms }) if name == *symbol => {
                    let listing = &mut self.listings[at];
                    let (price, qty) = (listing.instrument.price(price), listing.instrument.qty(qty));
                    let (Some(price), Some(qty)) = (price, qty) else {
                        self.inexact((conn, copy), at, now.mono, out);
                        return;
                    };
                    let is_merged = listing.book.is_merged();
                    if is_merged && !listing.trades.admit(copy, id, now.mono, &mut self.twins.counts) {
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
                (_, Item::Mark(row)) if row.symbol == *symbol => {
                    let kind = if channel == Channel::Funding { FUNDING } else { MARK };
                    if !self.is_first_mark(copy, at, kind, row.time_ms, now.mono) {
                        continue;
                    }
                    let limits = &mut self.listings[at].limits;
                    // Limits come when they change, marks every 10 s at least: with these the limits stay known.
                    let (buy_max, sell_min) =
                        if kind == MARK { limits.beside(copy, row.mark) } else { (None, None) };
                    let both = row.funding_ms > 0 && row.next_funding_ms > row.funding_ms;
                    out.event(EventBody::Mark(Mark {
                        instrument: self.listings[at].id,
                        mark: row.mark,
                        index: row.index,
                        rate: row.rate,
                        funding_ns: nanos(row.funding_ms),
                        interval_ns: if both { nanos(row.next_funding_ms - row.funding_ms) } else { 0 },
                        buy_max,
                        sell_min,
                        venue_ns: nanos(row.time_ms),
                        accrues: false,
                    }));
                }
                (_, Item::Limits { symbol: name, buy_max, sell_min, time_ms }) if name == *symbol => {
                    self.listings[at].limits.hear(copy);
                    if !self.is_first_mark(copy, at, LIMITS, time_ms, now.mono) {
                        continue;
                    }
                    let listing = &mut self.listings[at];
                    listing.limits.state((buy_max, sell_min));
                    let (instrument, venue_ns) = (listing.id, nanos(time_ms));
                    out.event(EventBody::Mark(Mark {
                        instrument,
                        buy_max,
                        sell_min,
                        venue_ns,
                        ..Mark::default()
                    }));
                }
                (_, Item::Interest { symbol: name, qty, time_ms }) if name == *symbol => {
                    if !self.is_first_mark(copy, at, INTEREST, time_ms, now.mono) {
                        continue;
                    }
                    let listing = &mut self.listings[at];
                    let stated = OpenInterest { instrument: listing.id, qty, venue_ns: nanos(time_ms) };
                    listing.told.interest(self.extras, stated, out);
                }
                (_, Item::Ticker { symbol: name, last, bid, ask, time_ms }) if name == *symbol => {
                    if !self.is_first_mark(copy, at, TICKER, time_ms, now.mono) {
                        continue;
                    }
                    let listing = &mut self.listings[at];
                    let (instrument, venue_ns) = (listing.id, nanos(time_ms));
                    listing.told.ticker(self.extras, Ticker { instrument, last, bid, ask, venue_ns }, out);
                }
                // Channels that are understood but not subscribed by this machine, or another instrument's row.
                _ => self.odd(conn, OddKind::Unknown, out),
            }
        }
    }

    /// Liquidations are told for all contracts of the venue; ours have to be looked up.
    fn on_liquidations(&mut self, copy: usize, now: Nanos, out: &mut Out) {
        for i in 0..self.parser.items.len() {
            let Item::Liquidation { symbol, side, price, qty, time_ms } = self.parser.items[i] else {
                continue;
            };
            let Some(at) = self.find(&symbol) else { continue };
            if !self.is_first_mark(copy, at, LIQUIDATION, time_ms, now) {
                continue;
            }
            let (instrument, venue_ns) = (self.listings[at].id, nanos(time_ms));
            extras::liquidation(self.extras, Liquidation { instrument, side, price, qty, venue_ns }, out);
        }
    }

    /// Whether a price is the first copy, where two connections bring the same.
    fn is_first_mark(&mut self, copy: usize, at: usize, kind: usize, time_ms: i64, now: Nanos) -> bool {
        let listing = &mut self.listings[at];
        let key = time_ms.unsigned_abs();
        !listing.book.is_merged() || listing.marks[kind].admit(copy, key, now, &mut self.twins.counts)
    }

    /// Index prices go by the name of the index; they are those of the swap on it.
    fn on_index(&mut self, conn: ConnId, copy: usize, now: Nanos, out: &mut Out) {
        for i in 0..self.parser.items.len() {
            let Item::Mark(row) = self.parser.items[i] else { continue };
            let name = row.symbol.as_bytes();
            let mut swap = [0; 32];
            let end = name.len() + SWAP_SUFFIX.len();
            let found = swap.get_mut(..end).and_then(|swap| {
                swap[..name.len()].copy_from_slice(name);
                swap[name.len()..].copy_from_slice(SWAP_SUFFIX.as_bytes());
                Symbol::from_bytes(swap).and_then(|symbol| self.find(&symbol))
            });
            let Some(at) = found else {
                self.odd(conn, OddKind::UnknownSymbol, out);
                continue;
            };
            let is_defined = self.listings[at].instrument.generation > 0;
            if is_defined && self.is_first_mark(copy, at, INDEX, row.time_ms, now) {
                out.event(EventBody::Mark(Mark {
                    instrument: self.listings[at].id,
                    index: row.index,
                    venue_ns: nanos(row.time_ms),
                    ..Mark::default()
                }));
            }
        }
    }

    fn on_bbo(&mut self, (conn, copy): (ConnId, usize), at: usize, row: DepthRow, now: Nanos, out: &mut Out) {
        let listing = &mut self.listings[at];
        if !listing.book.is_live() {
            // An instrument in quarantine is not served, not even its best prices.
            return;
        }
        if listing.book.is_merged() && !listing.best.admit(copy, row.seq, now, &mut self.twins.counts) {
            return;
        }
        let (bids, asks) = (self.parser.span(row.bids), self.parser.span(row.asks));
        let best = |side: &[Level]| match side.first() {
            Some((price, qty)) => Some((listing.instrument.price(*price)?, listing.instrument.qty(*qty)?)),
            None => Some((Price(0), Qty(0))),
        };
        let (Some((bid, bid_qty)), Some((ask, ask_qty))) = (best(bids), best(asks)) else {
            return self.inexact((conn, copy), at, now, out);
        };
        out.event(EventBody::Bbo(Bbo {
            instrument: listing.id,
            bid,
            bid_qty,
            ask,
            ask_qty,
            update_id: row.seq,
            venue_ns: nanos(row.time_ms),
        }));
    }

    fn on_depth(
        &mut self,
        (conn, copy): (ConnId, usize),
        at: usize,
        row: DepthRow,
        snapshot: bool,
        now: Nanos,
        out: &mut Out,
    ) {
        let Self { parser, listings, scratch, twins, .. } = self;
        let Listing { book, instrument, symbol, sent, sent_live, .. } = &mut listings[at];
        let depth = Depth {
            channel: "books",
            symbol: symbol.as_bytes(),
            snapshot,
            first: 0,
            last: row.seq,
            prev: row.prev,
            checksum: row.checksum,
            bids: parser.span(row.bids),
            asks: parser.span(row.asks),
            time_ms: row.time_ms,
        };
        let told = book.on_depth(copy, &depth, now, &mut twins.counts, out, |change, levels, out| {
            verify(sent, sent_live, change, levels)?;
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
        self.refresh(0, now);
    }
}

/// Applies a message to the book as sent, where the venue sends checksums, and holds it against its own.
fn verify(
    sent: &mut Option<Box<SentBook>>,
    sent_live: &mut bool,
    change: Change,
    (bids, asks): (&[Level], &[Level]),
) -> Result<(), Loss> {
    if change.snapshot {
        // Sites that send checksums do so from the snapshot on; the others pay nothing for them.
        *sent_live = change.about.checksum.is_some();
        if *sent_live {
            sent.get_or_insert_with(|| Box::new(SentBook::new())).clear();
        }
    }
    if let (true, Some(sent)) = (*sent_live, sent) {
        sent.apply(bids, asks);
        let (bids, asks) = sent.top();
        if change.about.checksum.is_some_and(|sum| sum != checksum(bids, asks)) {
            return Err(Loss::Void(BookReason::Checksum));
        }
    }
    Ok(())
}
