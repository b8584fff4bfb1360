//! Market rows of OKX to events: books with mandatory continuity, best bid and ask, trades, mark, funding.
//!
//! A book that lost continuity is told `Invalid` and not served until its next snapshot; nothing here
//! allocates in steady state.

use super::TERMS;
use super::adapter::OkxAdapter;
use super::calls::SWAP_SUFFIX;
use super::continuity::SentBook;
use super::parse::{Channel, DepthRow, Item};
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

/// Milliseconds as sent to nanoseconds.
pub(super) fn nanos(ms: i64) -> Nanos {
    ms.saturating_mul(MILLI)
}

impl OkxAdapter {
    /// The rows of a market frame.
    pub fn on_market(
        &mut self,
        conn: ConnId,
        channel: Channel,
        symbol: &Symbol,
        snapshot: bool,
        now: Stamp,
        out: &mut Out,
    ) {
        match channel {
            Channel::Index => return self.on_index(conn, out),
            Channel::Liquidations => return self.on_liquidations(out),
            _ => {}
        }
        let Some(at) = self.find(symbol) else { return self.odd(conn, OddKind::UnknownSymbol, out) };
        if self.listings[at].instrument.generation == 0 {
            return;
        }
        for i in 0..self.parser.items.len() {
            match (channel, self.parser.items[i]) {
                (Channel::Books("books"), Item::Depth(row)) => {
                    self.on_depth(conn, at, row, snapshot, now.mono, out);
                }
                (Channel::Bbo, Item::Depth(row)) => self.on_bbo(conn, at, row, now.mono, out),
                (_, Item::Trade { symbol: name, id, price, qty, side, time_ms }) if name == *symbol => {
                    let listing = &self.listings[at];
                    let (price, qty) = (listing.instrument.price(price), listing.instrument.qty(qty));
                    let (Some(price), Some(qty)) = (price, qty) else {
                        self.inexact(conn, at, now.mono, out);
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
                (_, Item::Mark(row)) if row.symbol == *symbol => {
                    let both = row.funding_ms > 0 && row.next_funding_ms > row.funding_ms;
                    out.event(EventBody::Mark(Mark {
                        instrument: self.listings[at].id,
                        mark: row.mark,
                        index: row.index,
                        rate: row.rate,
                        funding_ns: nanos(row.funding_ms),
                        interval_ns: if both { nanos(row.next_funding_ms - row.funding_ms) } else { 0 },
                        venue_ns: nanos(row.time_ms),
                    }));
                }
                (_, Item::Interest { symbol: name, qty, time_ms }) if name == *symbol => {
                    let listing = &mut self.listings[at];
                    let stated = OpenInterest { instrument: listing.id, qty, venue_ns: nanos(time_ms) };
                    listing.told.interest(self.extras, stated, out);
                }
                (_, Item::Ticker { symbol: name, last, bid, ask, time_ms }) if name == *symbol => {
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
    fn on_liquidations(&mut self, out: &mut Out) {
        for item in &self.parser.items {
            let Item::Liquidation { symbol, side, price, qty, time_ms } = *item else { continue };
            let Some(at) = self.find(&symbol) else { continue };
            let (instrument, venue_ns) = (self.listings[at].id, nanos(time_ms));
            extras::liquidation(self.extras, Liquidation { instrument, side, price, qty, venue_ns }, out);
        }
    }

    /// Index prices go by the name of the index; they are those of the swap on it.
    fn on_index(&mut self, conn: ConnId, out: &mut Out) {
        for item in &self.parser.items {
            let Item::Mark(row) = item else { continue };
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
            if self.listings[at].instrument.generation > 0 {
                out.event(EventBody::Mark(Mark {
                    instrument: self.listings[at].id,
                    index: row.index,
                    venue_ns: nanos(row.time_ms),
                    ..Mark::default()
                }));
            }
        }
    }

    fn on_bbo(&mut self, conn: ConnId, at: usize, row: DepthRow, now: Nanos, out: &mut Out) {
        let listing = &self.listings[at];
        if listing.book != BookState::Live {
            // An instrument in quarantine is not served, not even its best prices.
            return;
        }
        let (bids, asks) = (self.parser.span(row.bids), self.parser.span(row.asks));
        let best = |side: &[Level]| match side.first() {
            Some((price, qty)) => Some((listing.instrument.price(*price)?, listing.instrument.qty(*qty)?)),
            None => Some((Price(0), Qty(0))),
        };
        let (Some((bid, bid_qty)), Some((ask, ask_qty))) = (best(bids), best(asks)) else {
            return self.inexact(conn, at, now, out);
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
        conn: ConnId,
        at: usize,
        row: DepthRow,
        snapshot: bool,
        now: Nanos,
        out: &mut Out,
    ) {
        let (bids, asks) = (self.parser.span(row.bids), self.parser.span(row.asks));
        let listing = &mut self.listings[at];
        let depth = Depth {
            channel: "books",
            symbol: listing.symbol.as_bytes(),
            snapshot,
            first: 0,
            last: row.seq,
            prev: row.prev,
            checksum: row.checksum,
            bids,
            asks,
            time_ms: row.time_ms,
        };
        match listing.continuity.on_depth(&depth) {
            Verdict::Snapshot => {
                // Sites that send checksums do so from the snapshot on; the others pay nothing for them.
                listing.sent_live = depth.checksum.is_some();
                if listing.sent_live {
                    listing.sent.get_or_insert_with(|| Box::new(SentBook::new())).clear();
                }
            }
            Verdict::Apply => {}
            Verdict::Skip | Verdict::Buffer => return,
            Verdict::Gap => return self.lose_book(at, BookReason::Gap, now, out),
        }
        if let (true, Some(sent)) = (listing.sent_live, &mut listing.sent) {
            sent.apply(bids, asks);
            let (bids, asks) = sent.top();
            if !listing.continuity.verify(&depth, bids, asks) {
                return self.lose_book(at, BookReason::Checksum, now, out);
            }
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
            clear: snapshot,
            update_id: row.seq,
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
        if snapshot {
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
        self.refresh(0, now);
    }

    /// Quarantines one book and plans its resynchronisation.
    pub fn lose_book(&mut self, at: usize, reason: BookReason, now: Nanos, out: &mut Out) {
        let listing = &mut self.listings[at];
        listing.continuity.invalidate();
        listing.sent_live = false;
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
