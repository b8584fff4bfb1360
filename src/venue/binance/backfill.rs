//! Single fills of orders of ours whose total the venue stated outside the user stream (`order.status`,
//! `openOrders`): the ledger books fills only with price, fee and trade id, so `userTrades` is asked for
//! them. Bounded: an order that finds no place is asked for again when the ledger's next query is answered.

use super::decode::side;
use super::link::backoff;
use super::symbols::Listings;
use crate::domain::input::ConnId;
use crate::domain::instrument::VenueId;
use crate::domain::money::Money;
use crate::domain::order::{ClientId, FillReport, OrderReport, ReportKind};
use crate::domain::text::Currency;
use crate::domain::time::{MILLI, Nanos};
use crate::venue::json::Cursor;
use crate::venue::message::DecodeError;
use crate::venue::{Emit, OddKind, Out};
use serde::{Deserialize, Serialize};

/// Orders that are asked for at the same time.
pub(super) const ROOM: usize = 32;
/// Between two requests: at a weight of 5 each, half of the venue's 2400 a minute at most.
pub(super) const PAUSE: Nanos = 250 * MILLI;
/// Then the order is left to the ledger's next query.
const ATTEMPTS_MAX: u32 = 6;

/// An order whose fills are wanted.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Want {
    /// What the venue last said about it.
    status: OrderReport,
    /// The request under way and when it is given up.
    request: Option<(u32, Nanos)>,
    due: Nanos,
    attempts: u32,
}

/// The orders whose fills are wanted, at most one request for each.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Backfill {
    wants: [Option<Want>; ROOM],
    /// No request before this.
    next: Nanos,
}

impl Backfill {
    /// Remembers to ask for the fills behind `status`, when it states any and the order is ours.
    pub fn want(&mut self, status: &OrderReport, now: Nanos) {
        let named = status.client_id != ClientId::NONE && status.venue_order_id != 0;
        if !named || status.instrument.is_none() || status.filled.is_none_or(|filled| filled.0 <= 0) {
            return;
        }
        if let Some(want) = self.wants.iter_mut().flatten().find(|want| same(&want.status, status)) {
            want.status = *status;
        } else if let Some(place) = self.wants.iter_mut().find(|place| place.is_none()) {
            *place = Some(Want { status: *status, request: None, due: now, attempts: 0 });
        }
    }

    /// Forgets everything: what was said before the account session was lost may no longer hold.
    pub fn clear(&mut self) {
        self.wants = [None; ROOM];
    }

    /// The next order to ask for: its place and what is known of it. [`Self::requested`] must follow.
    pub fn next(&mut self, base: ConnId, now: Nanos) -> Option<(usize, OrderReport)> {
        for place in &mut self.wants {
            let expired = |want: &Want| want.request.is_some_and(|(_, until)| now >= until);
            if place.as_ref().is_some_and(expired) {
                retry(place, base, now);
            }
        }
        if now < self.next {
            return None;
        }
        let ready = |want: &Want| want.request.is_none() && now >= want.due;
        let at = self.wants.iter().position(|place| place.as_ref().is_some_and(ready))?;
        self.wants[at].map(|want| (at, want.status))
    }

    /// The request for `place` is under way until `until`.
    pub fn requested(&mut self, place: usize, id: u32, now: Nanos, until: Nanos) {
        self.next = now + PAUSE;
        if let Some(want) = &mut self.wants[place] {
            want.request = Some((id, until));
        }
    }

    /// A reply: every fill as a report that says nothing of the order's state, then the state again, so that
    /// the ledger can close the order.
    ///
    /// # Errors
    /// What is odd about it; the fills that could be understood were emitted.
    pub fn on_reply(
        &mut self,
        place: usize,
        reply: (u32, u16, &[u8]),
        (base, listings): (ConnId, &Listings),
        now: Nanos,
        out: &mut Out,
    ) -> Result<(), OddKind> {
        let (id, status, body) = reply;
        let Some(place) = self.wants.get_mut(place) else { return Ok(()) };
        let Some(want) = place.filter(|want| want.request.is_some_and(|(request, _)| request == id)) else {
            return Ok(());
        };
        match status {
            200 => {
                *place = None;
                trades(body, &want.status, listings, out)?;
                // An end stays true; what was said of a live order some time ago may not.
                let ended = matches!(
                    want.status.kind,
                    ReportKind::Filled | ReportKind::Canceled | ReportKind::Expired
                );
                if ended || want.attempts == 0 {
                    out.emit(Emit::Report(want.status));
                }
                Ok(())
            }
            0 | 408 | 418 | 429 | 500.. => {
                retry(place, base, now);
                if status == 0 { Ok(()) } else { Err(OddKind::Refused) }
            }
            _ => {
                *place = None;
                Err(OddKind::Refused)
            }
        }
    }
}

fn same(a: &OrderReport, b: &OrderReport) -> bool {
    a.client_id == b.client_id && a.venue_order_id == b.venue_order_id
}

fn retry(place: &mut Option<Want>, base: ConnId, now: Nanos) {
    let Some(want) = place else { return };
    want.attempts += 1;
    want.request = None;
    want.due = now + backoff(base, want.attempts);
    if want.attempts >= ATTEMPTS_MAX {
        *place = None;
    }
}

/// Reply of `GET userTrades` for the order of `status`.
fn trades(body: &[u8], status: &OrderReport, listings: &Listings, out: &mut Out) -> Result<(), OddKind> {
    each_trade(body, status.venue, listings, |trade| {
        let report = trade?;
        if report.venue_order_id != status.venue_order_id {
            return Ok(());
        }
        if report.instrument != status.instrument {
            return Err(OddKind::UnknownSymbol);
        }
        out.emit(Emit::Report(OrderReport {
            client_id: status.client_id,
            side: report.side.or(status.side),
            ..report
        }));
        Ok(())
    })
}

/// Reply of `GET userTrades` for a listing, whoever's orders they are of; how many there are, and the last one's id.
///
/// # Errors
/// What is odd about it; the trades that could be understood were emitted.
pub(super) fn executions(
    body: &[u8],
    venue: VenueId,
    listings: &Listings,
    out: &mut Out,
) -> Result<(u32, u64), OddKind> {
    let (mut count, mut last) = (0, 0);
    each_trade(body, venue, listings, |trade| {
        count += 1;
        let report = trade?;
        last = report.fill.map_or(0, |fill| fill.trade_id);
        out.emit(Emit::Execution(report));
        Ok(())
    })?;
    Ok((count, last))
}

/// Hands on the trades of a reply; what is odd about one does not hold up the others.
fn each_trade(
    body: &[u8],
    venue: VenueId,
    listings: &Listings,
    mut each: impl FnMut(Result<OrderReport, OddKind>) -> Result<(), OddKind>,
) -> Result<(), OddKind> {
    let mut odd = Ok(());
    let mut cursor = Cursor::new(body);
    cursor
        .array(|cursor| {
            if let Err(kind) = each(trade(cursor, venue, listings)?) {
                odd = Err(kind);
            }
            Ok(())
        })
        .and_then(|()| cursor.end())
        .map_err(|_| OddKind::Malformed)?;
    odd
}

/// One trade, as a report that says nothing of its order's state. It names the venue's order only.
fn trade(
    cursor: &mut Cursor<'_>,
    venue: VenueId,
    listings: &Listings,
) -> Result<Result<OrderReport, OddKind>, DecodeError> {
    let (mut symbol, mut asset): (&[u8], &[u8]) = (&[], &[]);
    let (mut id, mut order, mut own_side, mut maker, mut time) = (None, None, None, false, 0);
    let (mut price, mut qty, mut fee) = (None, None, None);
    cursor.object(|key, cursor| match key {
        b"symbol" => cursor.string().map(|text| symbol = text),
        b"id" => cursor.uint("id").map(|number| id = Some(number)),
        b"orderId" => cursor.uint("orderId").map(|number| order = Some(number)),
        b"side" => side(cursor.string()?).map(|side| own_side = Some(side)),
        b"price" => cursor.num("price").map(|num| price = Some(num)),
        b"qty" => cursor.num("qty").map(|num| qty = Some(num)),
        b"commission" => cursor.num("commission").map(|num| fee = Some(num)),
        b"commissionAsset" => cursor.string().map(|text| asset = text),
        b"maker" => cursor.boolean("maker").map(|flag| maker = flag),
        b"time" => cursor.int("time").map(|ms| time = ms),
        _ => cursor.skip(),
    })?;
    let trade_id = id.ok_or(DecodeError::Missing("id"))?;
    let price = price.ok_or(DecodeError::Missing("price"))?;
    let qty = qty.ok_or(DecodeError::Missing("qty"))?;
    let fee = fee.ok_or(DecodeError::Missing("commission"))?;
    let venue_order_id = order.ok_or(DecodeError::Missing("orderId"))?;
    let Some(instrument) = listings.defined(symbol) else { return Ok(Err(OddKind::UnknownSymbol)) };
    let (Some(qty), Some(price)) = (instrument.qty(qty), instrument.price(price)) else {
        return Ok(Err(OddKind::Inexact));
    };
    let fill = FillReport {
        trade_id,
        qty,
        price,
        fee: Some(Money::from_num(fee)),
        fee_currency: Currency::from_bytes(asset).unwrap_or_default(),
        maker,
    };
    Ok(Ok(OrderReport {
        venue,
        instrument: Some(instrument.id),
        venue_order_id,
        kind: ReportKind::Acked,
        side: own_side,
        fill: Some(fill),
        venue_ns: time.saturating_mul(MILLI),
        ..OrderReport::default()
    }))
}
