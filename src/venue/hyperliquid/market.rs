//! Market rows of Hyperliquid to events: books by whole snapshots, best bid and ask, trades, mark, funding.
//!
//! Best prices come with every block in which they change, depth about twice a second: the best prices are
//! laid over the depth by their common time, and it is they that move the scanner in between. A book that
//! cannot be trusted is told `Invalid` and not served until its next snapshot.

use super::adapter::{Ask, HyperliquidAdapter, Listing};
use super::parse::{Item, Span};
use crate::domain::event::{Bbo, BookReason, EventBody, Mark, OpenInterest, PublicTrade};
use crate::domain::input::ConnId;
use crate::domain::instrument::{Price, Qty};
use crate::domain::time::{MILLI, Nanos, SECOND, Stamp};
use crate::venue::lines::{Loss, tell_levels};
use crate::venue::markets::Market as _;
use crate::venue::message::{Depth, Level};
use crate::venue::{OddKind, Out};

/// Settings of a listing come with every block, and at least this often; they carry no time, so that those of one
/// connection are followed until they stay away.
const CONTEXT_WITHIN: Nanos = 5 * SECOND;
/// Time between funding settlements: every full hour.
pub(super) const FUNDING_EVERY: Nanos = 3_600 * SECOND;

/// Milliseconds as sent to nanoseconds.
pub(super) fn nanos(ms: i64) -> Nanos {
    ms.saturating_mul(MILLI)
}

impl HyperliquidAdapter {
    /// The rows of a market frame.
    pub fn on_market(&mut self, (conn, copy): (ConnId, usize), now: Stamp, out: &mut Out) {
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
                    self.on_book((conn, copy), at, bids, asks, time_ms, now.mono, out);
                }
                Item::Book { .. } => self.odd(conn, OddKind::Unknown, out),
                Item::Bbo { bid, ask, time_ms, .. } => {
                    self.on_bbo((conn, copy), at, bid, ask, time_ms, now.mono, out)
                }
                Item::Trade { id, price, qty, side, time_ms, .. } => {
                    let Self { listings, twins, .. } = self;
                    let listing = &mut listings[at];
                    if nanos(time_ms) < listing.subscribed_wall[copy] {
                        // A subscription begins with trades of before.
                        continue;
                    }
                    let (price, qty) = (listing.instrument.price(price), listing.instrument.qty(qty));
                    let (Some(price), Some(qty)) = (price, qty) else {
                        self.inexact((conn, copy), at, now.mono, out);
                        continue;
                    };
                    let trade = (id, time_ms);
                    if listing.book.is_merged() && !listing.trades.admit(copy, trade, &mut twins.counts) {
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
                Item::Ctx { mark, oracle, rate, interest, .. } => {
                    let Self { listings, twins, .. } = self;
                    let listing = &mut listings[at];
                    let counts = &mut twins.counts;
                    if listing.book.is_merged()
                        && !listing.context.admit(copy, CONTEXT_WITHIN, now.mono, counts)
                    {
                        continue;
                    }
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
                        buy_max: None,
                        sell_min: None,
                        venue_ns,
                        accrues: false,
                    }));
                }
            }
        }
    }

    fn on_bbo(
        &mut self,
        (conn, copy): (ConnId, usize),
        at: usize,
        bid: Option<Level>,
        ask: Option<Level>,
        time_ms: i64,
        now: Nanos,
        out: &mut Out,
    ) {
        let Self { listings, twins, .. } = self;
        let (listing, key) = (&mut listings[at], u64::try_from(time_ms).unwrap_or(0));
        // An instrument in quarantine is not served, not even its best prices.
        if !listing.book.is_live()
            || (listing.book.is_merged() && !listing.best.admit(copy, key, now, &mut twins.counts))
        {
            return;
        }
        let best = |side: Option<Level>| match side {
            Some((price, qty)) => Some((listing.instrument.price(price)?, listing.instrument.qty(qty)?)),
            None => Some((Price(0), Qty(0))),
        };
        let (Some((bid, bid_qty)), Some((ask, ask_qty))) = (best(bid), best(ask)) else {
            return self.inexact((conn, copy), at, now, out);
        };
        out.event(EventBody::Bbo(Bbo {
            instrument: listing.id,
            bid,
            bid_qty,
            ask,
            ask_qty,
            update_id: key,
            venue_ns: nanos(time_ms),
        }));
    }

    fn on_book(
        &mut self,
        (conn, copy): (ConnId, usize),
        at: usize,
        bids: Span,
        asks: Span,
        time_ms: i64,
        now: Nanos,
        out: &mut Out,
    ) {
        let Self { parser, listings, scratch, twins, .. } = self;
        let Listing { book, instrument, symbol, .. } = &mut listings[at];
        let depth = Depth {
            channel: "l2Book",
            symbol: symbol.as_bytes(),
            snapshot: true,
            first: 0,
            last: u64::try_from(time_ms).unwrap_or(0),
            prev: -1,
            checksum: None,
            bids: parser.span(bids),
            asks: parser.span(asks),
            time_ms,
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
        let request = &self.requests[Ask::Meta as usize];
        if let Some(due) = self.rereading.wish(request.is_out(), now)
            && request.failures == 0
            && (!request.wanted || request.due > due)
        {
            self.want(Ask::Meta, due);
        }
    }
}
