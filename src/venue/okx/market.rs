//! Market rows of OKX to events: books with mandatory continuity, best bid and ask, trades, mark, funding.
//!
//! A book that lost continuity is told `Invalid` and not served until its next snapshot; nothing here
//! allocates in steady state.

use super::TERMS;
use super::adapter::{Listing, OkxAdapter};
use super::calls::SWAP_SUFFIX;
use super::continuity::{SentBook, checksum};
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
use crate::venue::copies::{CopyCounts, Place, Span};
use crate::venue::message::{Continuity, Depth, Level, Verdict};
use crate::venue::{OddKind, Out, extras};

/// A book that was good for this long starts its back-off anew.
const GOOD_AFTER: Nanos = 60 * SECOND;

/// Places in [`Listing::marks`].
const MARK: usize = 0;
const INDEX: usize = 1;
const FUNDING: usize = 2;
const INTEREST: usize = 3;
const TICKER: usize = 4;
const LIQUIDATION: usize = 5;
/// How many there are.
pub(super) const MARKS: usize = 6;

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
                    let is_merged = listing.merge.is_some();
                    if is_merged && !listing.trades.admit(copy, id, now.mono, &mut self.counts) {
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
                    let both = row.funding_ms > 0 && row.next_funding_ms > row.funding_ms;
                    out.event(EventBody::Mark(Mark {
                        instrument: self.listings[at].id,
                        mark: row.mark,
                        index: row.index,
                        rate: row.rate,
                        funding_ns: nanos(row.funding_ms),
                        interval_ns: if both { nanos(row.next_funding_ms - row.funding_ms) } else { 0 },
                        venue_ns: nanos(row.time_ms),
                        accrues: false,
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
        listing.merge.is_none() || listing.marks[kind].admit(copy, key, now, &mut self.counts)
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
        if listing.book != BookState::Live {
            // An instrument in quarantine is not served, not even its best prices.
            return;
        }
        if listing.merge.is_some() && !listing.best.admit(copy, row.seq, now, &mut self.counts) {
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
        let Self { parser, listings, scratch, counts, .. } = self;
        let (bids, asks) = (parser.span(row.bids), parser.span(row.asks));
        let listing = &mut listings[at];
        let symbol = listing.symbol;
        let depth = Depth {
            channel: "books",
            symbol: symbol.as_bytes(),
            snapshot,
            first: 0,
            last: row.seq,
            prev: row.prev,
            checksum: row.checksum,
            bids,
            asks,
            time_ms: row.time_ms,
        };
        let change = Change::of(&depth);
        let result = match listing.place(copy, &depth, now, counts) {
            Verdict::Snapshot | Verdict::Apply => listing
                .apply(change, (bids, asks), scratch, out)
                .and_then(|()| listing.rejoin(scratch, now, counts, out)),
            Verdict::Buffer => {
                let until = listing.kept.until();
                return self.arm(until);
            }
            Verdict::Skip => {
                let due = listing.lines[copy].resync_due;
                return self.arm(due);
            }
            Verdict::Gap => Err(Loss::Book(BookReason::Gap)),
        };
        match result {
            Ok(()) if snapshot => {
                listing.lines[copy].resync_due = NEVER;
                // Another connection may have brought it while the book stands.
                if listing.book != BookState::Live || listing.merge.is_none() {
                    listing.book = BookState::Live;
                    listing.live_since = now;
                    let (instrument, state) = (listing.id, BookState::Live);
                    out.event(EventBody::Book(BookStatus { instrument, state, reason: BookReason::Sync }));
                }
            }
            Ok(()) => {}
            Err(Loss::Book(reason)) => self.lose_book(at, copy, reason, now, out),
            Err(Loss::Inexact) => self.inexact((conn, copy), at, now, out),
        }
    }

    /// A number does not fit the instrument's scales: the specification must have changed.
    fn inexact(&mut self, (conn, copy): (ConnId, usize), at: usize, now: Nanos, out: &mut Out) {
        self.odd(conn, OddKind::Inexact, out);
        self.lose_book(at, copy, BookReason::Malformed, now, out);
        self.refresh(0, now);
    }

    /// Quarantines one book and plans its resynchronisation on a connection.
    pub fn lose_book(&mut self, at: usize, copy: usize, reason: BookReason, now: Nanos, out: &mut Out) {
        let listing = &mut self.listings[at];
        let id = listing.id;
        listing.lose();
        listing.lines[copy].continuity.invalidate();
        // What one connection can not ask for any more, the other one must.
        let is_gone = !listing.lines[copy].subscribed && listing.lines[1 - copy].subscribed;
        let copy = if is_gone { 1 - copy } else { copy };
        let is_lost = listing.book == BookState::Invalid;
        let was_good = listing.book == BookState::Live && now - listing.live_since >= GOOD_AFTER;
        let line = &mut listing.lines[copy];
        line.continuity.invalidate();
        if !line.subscribed || (is_lost && line.resync_due != NEVER) {
            return;
        }
        if was_good {
            line.resyncs = 0;
        }
        let wait = match line.resyncs {
            0 => 0,
            n => TERMS.back_off(n, u64::from(id.0)),
        };
        let due = now + wait;
        line.resync_due = due;
        // Neither may be able to answer: the first snapshot counts.
        let other = &mut listing.lines[1 - copy];
        if other.subscribed && other.resync_due == NEVER {
            other.resync_due = due;
        }
        if !is_lost {
            listing.book = BookState::Invalid;
            out.event(EventBody::Book(BookStatus { instrument: id, state: BookState::Invalid, reason }));
        }
        self.arm(due);
    }
}

/// Why a message could not be applied.
enum Loss {
    /// The book is void.
    Book(BookReason),
    /// A number does not fit the instrument's scales.
    Inexact,
}

/// A depth message but for its levels.
#[derive(Clone, Copy)]
struct Change {
    snapshot: bool,
    seq: u64,
    checksum: Option<i32>,
    time_ms: i64,
}

impl Change {
    const fn of(depth: &Depth<'_>) -> Self {
        Self { snapshot: depth.snapshot, seq: depth.last, checksum: depth.checksum, time_ms: depth.time_ms }
    }
}

impl Listing {
    /// What the book was made of is void.
    pub fn lose(&mut self) {
        self.sent_live = false;
        self.kept.clear();
        if let Some(merge) = &mut self.merge {
            merge.lose();
        }
    }

    /// What to do with a depth message that came on a connection.
    fn place(&mut self, copy: usize, depth: &Depth<'_>, now: Nanos, counts: &mut CopyCounts) -> Verdict {
        let Self { merge, kept, lines, id, .. } = self;
        let line = &mut lines[copy];
        let own = line.continuity.on_depth(depth);
        let Some(merge) = merge else { return own };
        if own == Verdict::Snapshot {
            line.resync_due = NEVER;
            return if merge.snapshot(copy, depth.last) { Verdict::Snapshot } else { Verdict::Skip };
        }
        if !matches!(own, Verdict::Apply | Verdict::Gap) {
            return own;
        }
        // A change without numbers cannot be placed among those of another connection.
        let Ok(prev) = u64::try_from(depth.prev) else { return Verdict::Gap };
        let is_live = merge.is_live();
        let span = Span { prev, last: depth.last };
        let place = merge.change(copy, span, false, now, counts);
        if place != Place::Gap {
            line.continuity.rejoin(depth);
        }
        match place {
            Place::Next => Verdict::Apply,
            Place::Known => Verdict::Skip,
            Place::Ahead => {
                let about = (depth.checksum, depth.time_ms);
                kept.keep(copy, span, about, (depth.bids, depth.asks), now);
                Verdict::Buffer
            }
            Place::Apart => {
                // Only a new snapshot may meet the other connection where it stands.
                if line.resync_due == NEVER {
                    line.resync_due = now + TERMS.back_off(line.resyncs + 1, u64::from(id.0));
                }
                Verdict::Skip
            }
            // There is no book, but this connection goes on: what it brings will be joined to the next one.
            Place::Gap if !is_live && own == Verdict::Apply => Verdict::Skip,
            Place::Gap => Verdict::Gap,
        }
    }

    /// Applies a message to the book as sent, where the venue sends checksums, and tells its levels.
    fn apply(
        &mut self,
        change: Change,
        (bids, asks): (&[Level], &[Level]),
        scratch: &mut Vec<(Price, Qty)>,
        out: &mut Out,
    ) -> Result<(), Loss> {
        if change.snapshot {
            // Sites that send checksums do so from the snapshot on; the others pay nothing for them.
            self.sent_live = change.checksum.is_some();
            if self.sent_live {
                self.sent.get_or_insert_with(|| Box::new(SentBook::new())).clear();
            }
        }
        if let (true, Some(sent)) = (self.sent_live, &mut self.sent) {
            sent.apply(bids, asks);
            let (bids, asks) = sent.top();
            if change.checksum.is_some_and(|sum| sum != checksum(bids, asks)) {
                return Err(Loss::Book(BookReason::Checksum));
            }
        }
        scratch.clear();
        for (price, qty) in bids.iter().chain(asks) {
            let (Some(price), Some(qty)) = (self.instrument.price(*price), self.instrument.qty(*qty)) else {
                return Err(Loss::Inexact);
            };
            scratch.push((price, qty));
        }
        let mut chunk = LevelsChunk {
            instrument: self.id,
            clear: change.snapshot,
            update_id: change.seq,
            venue_ns: nanos(change.time_ms),
            ..LevelsChunk::default()
        };
        let mut from = 0;
        while !chunk.last {
            let count = CHUNK_LEVELS.min(scratch.len() - from);
            let of_bids = bids.len().saturating_sub(from).min(count);
            chunk.bids = of_bids as u8;
            chunk.asks = (count - of_bids) as u8;
            chunk.levels[..count].copy_from_slice(&scratch[from..from + count]);
            from += count;
            chunk.last = from == scratch.len();
            out.event(EventBody::Levels(chunk));
            chunk.clear = false;
        }
        Ok(())
    }

    /// Applies what waited for what was just applied.
    fn rejoin(
        &mut self,
        scratch: &mut Vec<(Price, Qty)>,
        now: Nanos,
        counts: &mut CopyCounts,
        out: &mut Out,
    ) -> Result<(), Loss> {
        while !self.kept.is_empty() {
            let Some(merge) = &mut self.merge else { return Ok(()) };
            let next = self.kept.take(|kept| merge.kept(kept.copy, kept.span, false, now, counts));
            let Some(next) = next else { return Ok(()) };
            let change = Change {
                snapshot: false,
                seq: next.span.last,
                checksum: next.checksum,
                time_ms: next.time_ms,
            };
            let kept = std::mem::take(&mut self.kept);
            let result = self.apply(change, kept.levels(&next), scratch, out);
            self.kept = kept;
            result?;
        }
        Ok(())
    }
}
