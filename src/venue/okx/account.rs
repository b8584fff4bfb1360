//! Account rows of OKX to order reports, positions and balances, and the reconciliation after a reconnect.
//!
//! Says what the venue said and no more: whether a fill is new, and what state an order is in, is decided
//! by the order ledger.

use super::adapter::{Ask, OkxAdapter};
use super::calls::{MISSED_PAGE, PENDING_PAGE};
use super::errors::classify;
use super::market::nanos;
use super::parse::PrivateChannel;
use super::rows::{self, BalanceRow, FillRow, OrderRow, PositionRow, ReplyRow};
use super::{ACCOUNT, ORDERS, session::Phase};
use crate::domain::effect::{HttpId, OrderCall};
use crate::domain::event::{BalanceReport, EventBody, FundingPayment, PositionReport};
use crate::domain::input::ConnId;
use crate::domain::money::Money;
use crate::domain::number::Num;
use crate::domain::order::{ClientId, FillReport, OrderReport, OrderTerms, RejectClass, ReportKind};
use crate::domain::text::Symbol;
use crate::domain::time::Stamp;
use crate::venue::json::Cursor;
use crate::venue::message::DecodeError;
use crate::venue::{Emit, OddKind, Out};

/// The error code for an order that the venue does not know.
const NO_SUCH_ORDER: i32 = 51603;
/// "Endpoint request timeout (does not mean that the request was successful or failed)": what no answer means.
const NO_ANSWER: i32 = 50004;

/// Which order operation a reply is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    Place,
    Cancel,
    Amend,
}

/// What a request id says: placements carry the client id, cancels an `x` and amendments an `m` and its last 31
/// digits (the first digit belongs to a boot epoch beyond 2⁶⁰ and is zero).
fn of_request(id: &[u8]) -> (Operation, ClientId) {
    let marked = |mark: &[u8], operation| id.strip_prefix(mark).map(|digits| (operation, digits));
    match marked(b"x", Operation::Cancel).or_else(|| marked(b"m", Operation::Amend)) {
        Some((operation, digits)) => {
            let mut text = [b'0'; 32];
            let fits = digits.len() == 31;
            if fits {
                text[1..].copy_from_slice(digits);
            }
            (operation, ClientId::parse(&text).filter(|_| fits).unwrap_or(ClientId::NONE))
        }
        None => (Operation::Place, ClientId::parse(id).unwrap_or(ClientId::NONE)),
    }
}

impl OkxAdapter {
    /// The rows of a private channel.
    pub fn on_private(
        &mut self,
        conn: ConnId,
        channel: PrivateChannel,
        mut data: Cursor<'_>,
        snapshot: bool,
        now: Stamp,
        out: &mut Out,
    ) {
        let only = self.parser.only.take();
        let result = match channel {
            PrivateChannel::Orders if let Some(row) = only => {
                self.on_order(conn, &row, Some(row.fill_cost), out);
                Ok(())
            }
            PrivateChannel::Orders => data.array(|c| {
                let row = rows::order(c)?;
                self.on_order(conn, &row, Some(row.fill_cost), out);
                Ok(())
            }),
            PrivateChannel::Positions => data.array(|c| {
                let row = rows::position(c)?;
                self.on_position(conn, &row, snapshot, now, out);
                Ok(())
            }),
            PrivateChannel::Account => {
                data.array(|c| rows::balances(c, |row| self.on_currency(&row, now, out)))
            }
        };
        match result {
            Ok(()) => {}
            Err(DecodeError::Field("state")) => self.odd(conn, OddKind::UnknownExecution, out),
            Err(_) => self.odd(conn, OddKind::Malformed, out),
        }
    }

    /// One order. `cost` is what its last fill cost: `None` when the source does not state single fills.
    fn on_order(&mut self, conn: ConnId, row: &OrderRow, cost: Option<Option<Money>>, out: &mut Out) {
        let listing = self.find(&row.symbol).map(|at| &self.listings[at]);
        if listing.is_none() && row.client_id == ClientId::NONE {
            // Somebody trades another instrument on this account: worth a word, but nothing to track.
            return self.odd(conn, OddKind::UnknownSymbol, out);
        }
        let defined =
            listing.filter(|listing| listing.instrument.generation > 0).map(|listing| &listing.instrument);
        let mut report = OrderReport {
            venue: self.venue,
            instrument: listing.map(|listing| listing.id),
            client_id: row.client_id,
            venue_order_id: row.order_id,
            kind: match row.kind {
                ReportKind::Open | ReportKind::PartiallyFilled if row.amended == Some(0) => {
                    ReportKind::Amended
                }
                kind => kind,
            },
            side: Some(row.side),
            reject: if row.would_take { RejectClass::PostOnly } else { RejectClass::None },
            venue_ns: nanos(row.time_ms),
            ..OrderReport::default()
        };
        let mut exact = true;
        if let Some(instrument) = defined {
            report.filled = instrument.qty(row.filled);
            report.terms = row.terms.and_then(|(price, qty)| {
                Some(OrderTerms { price: instrument.price(price)?, qty: instrument.qty(qty)? })
            });
            exact &= report.filled.is_some();
            if row.trade_id != 0 && !row.fill_qty.is_zero() {
                match (instrument.qty(row.fill_qty), instrument.price(row.fill_price)) {
                    (Some(qty), Some(price)) => {
                        report.fill = Some(FillReport {
                            trade_id: row.trade_id,
                            qty,
                            price,
                            // A query states the order's costs only; they are the fill's when it is the only one.
                            fee: cost.unwrap_or_else(|| row.cost.filter(|_| row.fill_qty == row.filled)),
                            fee_currency: row.fee_currency,
                            maker: row.maker,
                        });
                    }
                    _ => exact = false,
                }
            }
        }
        if !exact {
            self.odd(conn, OddKind::Inexact, out);
        }
        out.emit(Emit::Report(report));
        if row.amended == Some(-1) {
            let failed = ReplyRow { client_id: row.client_id, code: row.code, ..ReplyRow::default() };
            self.on_outcome(Operation::Amend, &failed, out);
        }
    }

    fn on_position(
        &mut self,
        conn: ConnId,
        row: &PositionRow<'_>,
        snapshot: bool,
        now: Stamp,
        out: &mut Out,
    ) {
        let found = Symbol::from_bytes(row.symbol).and_then(|symbol| self.find(&symbol));
        let Some(at) = found else { return self.odd(conn, OddKind::UnknownSymbol, out) };
        self.listings[at].seen = true;
        if !row.net && !row.qty.is_zero() {
            // Long/short mode: orders without `posSide` will be refused.
            self.odd(conn, OddKind::Refused, out);
        }
        let listing = &self.listings[at];
        if listing.instrument.generation == 0 {
            // Told again when the instrument is defined.
            return;
        }
        let Some(qty) = listing.instrument.qty(row.qty) else { return self.odd(conn, OddKind::Inexact, out) };
        let venue_ns = if row.time_ms > 0 { nanos(row.time_ms) } else { now.wall };
        let report =
            PositionReport { instrument: listing.id, qty: qty.0, entry: row.entry, venue_ns, snapshot };
        out.event(EventBody::Position(report));
        if let Some(funding) = row.funding {
            self.on_funding(at, funding, row, venue_ns, out);
        }
    }

    /// The venue states funding as a sum over the life of a position: what it grew by was paid now. It starts
    /// from zero with every position; what was before the first statement is not news.
    fn on_funding(&mut self, at: usize, funding: Money, row: &PositionRow<'_>, venue_ns: i64, out: &mut Out) {
        let listing = &mut self.listings[at];
        let Some(before) = listing.funding.replace(funding) else { return };
        if funding != before && funding != Money::ZERO {
            out.event(EventBody::Funding(FundingPayment {
                venue: self.venue,
                instrument: Some(listing.id),
                currency: row.currency,
                amount: funding - before,
                venue_ns,
            }));
        }
    }

    fn on_currency(&self, row: &BalanceRow, now: Stamp, out: &mut Out) {
        if row.currency.is_empty() {
            return;
        }
        out.event(EventBody::Balance(BalanceReport {
            venue: self.venue,
            currency: row.currency,
            wallet: row.wallet,
            available: row.available,
            venue_ns: if row.time_ms > 0 { nanos(row.time_ms) } else { now.wall },
        }));
    }

    /// The reply to an order operation: `sCode` of each row is what counts, not the code above them.
    pub fn on_reply(
        &mut self,
        conn: ConnId,
        op: &[u8],
        id: &[u8],
        code: i32,
        data: Option<Cursor<'_>>,
        out: &mut Out,
    ) {
        let (operation, requested) = match op {
            b"order" => (Operation::Place, of_request(id).1),
            b"cancel-order" => (Operation::Cancel, of_request(id).1),
            b"amend-order" => (Operation::Amend, of_request(id).1),
            _ => return self.odd(conn, OddKind::Unknown, out),
        };
        let mut rows = 0;
        let result = data.map_or(Ok(()), |mut data| {
            data.array(|c| {
                let mut row = rows::reply(c)?;
                rows += 1;
                if row.client_id == ClientId::NONE {
                    row.client_id = requested;
                }
                self.on_outcome(operation, &row, out);
                Ok(())
            })
        });
        match result {
            Ok(()) if rows == 0 && code != 0 => {
                self.on_outcome(
                    operation,
                    &ReplyRow { client_id: requested, code, ..ReplyRow::default() },
                    out,
                );
            }
            Ok(()) if rows > 0 => {}
            // Accepted without saying what: the ledger's timer asks.
            _ => self.odd(conn, OddKind::Malformed, out),
        }
    }

    /// The reply to an order or a cancel over HTTP. Without one, or one that nobody understands, the venue may
    /// have done it; such a report names no order, as the request's id does.
    pub fn on_order_reply(&mut self, call: OrderCall, status: u16, body: &[u8], out: &mut Out) {
        let (operation, op): (_, &[u8]) = match call {
            OrderCall::Place => (Operation::Place, b"order"),
            OrderCall::Amend => (Operation::Amend, b"amend-order"),
            OrderCall::Cancel | OrderCall::Query => (Operation::Cancel, b"cancel-order"),
        };
        let conn = self.account_conn();
        let said = if status == 0 { None } else { rows::envelope(body).ok() };
        let from = out.items().len();
        if let Some((code, data)) = said {
            self.on_reply(conn, op, b"", code, data, out);
        } else if status != 0 {
            self.odd(conn, OddKind::Malformed, out);
        }
        let told = out.items()[from..].iter().any(|item| matches!(item, Emit::Report(_)));
        // An accepted cancel says nothing, nor does an accepted amendment.
        let accepted = operation != Operation::Place && said.is_some_and(|(code, _)| code == 0);
        if !told && !accepted {
            self.on_outcome(operation, &ReplyRow { code: NO_ANSWER, ..ReplyRow::default() }, out);
        }
    }

    /// An `event` error that echoes the id of an order operation: the request was refused. False when the id
    /// is not one of an order operation.
    pub fn on_refused_operation(&mut self, id: &[u8], code: i32, out: &mut Out) -> bool {
        let (operation, client_id) = of_request(id);
        if client_id == ClientId::NONE {
            return false;
        }
        self.on_outcome(operation, &ReplyRow { client_id, code, ..ReplyRow::default() }, out);
        true
    }

    fn on_outcome(&self, operation: Operation, row: &ReplyRow, out: &mut Out) {
        let kind = match (operation, row.code) {
            (Operation::Place, 0) => ReportKind::Acked,
            (Operation::Place, _) => ReportKind::Rejected,
            // An accepted cancel says nothing: the `orders` channel tells when it is done.
            (Operation::Cancel, 0) => return,
            (Operation::Cancel, _) => ReportKind::CancelRejected,
            // Nor does an accepted amendment.
            (Operation::Amend, 0) => return,
            (Operation::Amend, _) => ReportKind::AmendRejected,
        };
        out.emit(Emit::Report(OrderReport {
            venue: self.venue,
            client_id: row.client_id,
            venue_order_id: row.order_id,
            kind,
            reject: classify(row.code),
            code: row.code,
            venue_ns: nanos(row.time_ms),
            ..OrderReport::default()
        }));
    }

    /// The reply to an order query. A reply that the venue does not know the order names no order: the
    /// report then carries [`ClientId::NONE`], and as `venue_order_id` the low 31 bits of the request's id,
    /// which route makes from [`ClientId::tag`].
    pub fn on_query(&mut self, id: HttpId, status: u16, body: &[u8], now: i64, out: &mut Out) {
        let conn = self.account_conn();
        if status == 0 {
            return;
        }
        let result = rows::envelope(body).and_then(|(code, data)| {
            let mut rows = 0;
            if let (0, Some(mut data)) = (code, data) {
                data.array(|c| {
                    let row = rows::order(c)?;
                    rows += 1;
                    self.on_order(conn, &row, None, out);
                    let partial = row.filled != row.fill_qty || row.cost.is_none() || row.trade_id == 0;
                    if row.client_id != ClientId::NONE && !row.filled.is_zero() && partial {
                        // A query states the last fill only.
                        self.want_fills(row.order_id, now);
                    }
                    Ok(())
                })?;
            }
            Ok((code, rows))
        });
        match result {
            Ok((0, 1..)) => {}
            Ok((0 | NO_SUCH_ORDER, _)) => out.emit(Emit::Report(OrderReport {
                venue: self.venue,
                venue_order_id: u64::from(id.0 & 0x7fff_ffff),
                kind: ReportKind::NotFound,
                reject: RejectClass::NotFound,
                code: NO_SUCH_ORDER,
                ..OrderReport::default()
            })),
            Ok(_) => self.odd(conn, OddKind::Refused, out),
            Err(_) => self.odd(conn, OddKind::Malformed, out),
        }
    }

    fn want_fills(&mut self, order_id: u64, now: i64) {
        if !self.fills_wanted.contains(&order_id) {
            self.fills_wanted.push(order_id);
        }
        if !self.requests[Ask::Fills as usize].wanted {
            self.want_page(Ask::Fills, self.fills_wanted[0], now);
        }
    }

    /// The fills of one order, each as a report that says nothing of the order's state.
    pub fn on_fills(&mut self, body: &[u8], now: i64, out: &mut Out) -> Result<i32, DecodeError> {
        let (code, data) = rows::envelope(body)?;
        if code != 0 {
            return Ok(code);
        }
        data.ok_or(DecodeError::Missing("data"))?.array(|c| {
            self.on_fill(&rows::fill(c)?, out);
            Ok(())
        })?;
        let done = self.requests[Ask::Fills as usize].arg;
        self.fills_wanted.retain(|order| *order != done);
        match self.fills_wanted.first() {
            Some(next) => self.want_page(Ask::Fills, *next, now),
            None => self.requests[Ask::Fills as usize].wanted = false,
        }
        Ok(0)
    }

    fn on_fill(&self, row: &FillRow<'_>, out: &mut Out) {
        let conn = self.account_conn();
        let found = Symbol::from_bytes(row.symbol).and_then(|symbol| self.find(&symbol));
        let Some(listing) = found.map(|at| &self.listings[at]).filter(|l| l.instrument.generation > 0) else {
            return self.odd(conn, OddKind::UnknownSymbol, out);
        };
        let (qty, price) = (listing.instrument.qty(row.qty), listing.instrument.price(row.price));
        let (Some(qty), Some(price)) = (qty, price) else { return self.odd(conn, OddKind::Inexact, out) };
        out.emit(Emit::Report(OrderReport {
            venue: self.venue,
            instrument: Some(listing.id),
            client_id: row.client_id,
            venue_order_id: row.order_id,
            kind: ReportKind::Acked,
            side: Some(row.side),
            fill: Some(FillReport {
                trade_id: row.trade_id,
                qty,
                price,
                fee: Some(row.cost),
                fee_currency: row.fee_currency,
                maker: row.maker,
            }),
            venue_ns: nanos(row.time_ms),
            ..OrderReport::default()
        }));
    }

    /// A page of the account's executions, newest first.
    pub fn on_missed(&mut self, body: &[u8], now: i64, out: &mut Out) -> Result<i32, DecodeError> {
        let (code, data) = rows::envelope(body)?;
        if code != 0 {
            return Ok(code);
        }
        let (mut count, mut oldest, mut done) = (0, 0, false);
        data.ok_or(DecodeError::Missing("data"))?.array(|c| {
            let row = rows::fill(c)?;
            (count, oldest) = (count + 1, row.bill_id);
            done |= !self.missed.covers(row.time_ms);
            if !done {
                self.on_fill(&row, out);
            }
            Ok(())
        })?;
        if count >= MISSED_PAGE && !done && oldest > 0 {
            self.want_page(Ask::Missed, oldest, now);
        } else {
            self.requests[Ask::Missed as usize].wanted = false;
            self.missed.end(out);
        }
        Ok(0)
    }

    /// A page of pending orders.
    pub fn on_pending(&mut self, body: &[u8], now: i64, out: &mut Out) -> Result<i32, DecodeError> {
        let (code, data) = rows::envelope(body)?;
        if code != 0 {
            return Ok(code);
        }
        let conn = self.account_conn();
        if self.requests[Ask::Pending as usize].arg == 0 {
            self.standing.foreign = 0;
        }
        let (mut count, mut oldest) = (0, 0);
        data.ok_or(DecodeError::Missing("data"))?.array(|c| {
            let row = rows::order(c)?;
            (count, oldest) = (count + 1, row.order_id);
            self.standing.foreign += i64::from(row.client_id == ClientId::NONE);
            self.on_order(conn, &row, None, out);
            Ok(())
        })?;
        if count >= PENDING_PAGE {
            self.want_page(Ask::Pending, oldest, now);
        } else {
            self.requests[Ask::Pending as usize].wanted = false;
            self.on_foreign_counted(now, out);
        }
        Ok(0)
    }

    /// The list of positions: what it does not name is flat.
    pub fn on_positions_list(&mut self, body: &[u8], now: Stamp, out: &mut Out) -> Result<i32, DecodeError> {
        let (code, data) = rows::envelope(body)?;
        if code != 0 {
            return Ok(code);
        }
        let conn = self.account_conn();
        for listing in &mut self.listings {
            listing.seen = false;
        }
        data.ok_or(DecodeError::Missing("data"))?.array(|c| {
            let row = rows::position(c)?;
            self.on_position(conn, &row, true, now, out);
            Ok(())
        })?;
        for listing in self.listings.iter_mut().filter(|listing| !listing.seen) {
            listing.funding = Some(Money::ZERO);
            out.event(EventBody::Position(PositionReport {
                instrument: listing.id,
                qty: 0,
                entry: Num::ZERO,
                venue_ns: now.wall,
                snapshot: true,
            }));
        }
        self.requests[Ask::Positions as usize].wanted = false;
        Ok(0)
    }

    /// The balances.
    pub fn on_balance(&mut self, body: &[u8], now: Stamp, out: &mut Out) -> Result<i32, DecodeError> {
        let (code, data) = rows::envelope(body)?;
        if code != 0 {
            return Ok(code);
        }
        data.ok_or(DecodeError::Missing("data"))?
            .array(|c| rows::balances(c, |row| self.on_currency(&row, now, out)))?;
        self.requests[Ask::Balance as usize].wanted = false;
        Ok(0)
    }

    /// When all three lists were read after a login, the account is known again.
    pub fn reconcile_end(&mut self, out: &mut Out) {
        let Some(session) = self.sessions.get(ACCOUNT) else { return };
        let asked = session.phase == Phase::Up && session.logged_in && session.acks == 0;
        let open = [Ask::Pending, Ask::Positions, Ask::Balance]
            .iter()
            .any(|ask| self.requests[*ask as usize].wanted);
        if asked && !open && !self.reconciled {
            self.reconciled = true;
            out.emit(Emit::ReconcileEnd(self.venue));
            self.status(ACCOUNT, true, out);
            if self.orders_http {
                self.status(ORDERS, true, out);
            }
        }
    }
}
