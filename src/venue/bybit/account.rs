//! Account rows of Bybit to order reports, positions and balances, and the reconciliation after a reconnect.
//!
//! Says what the venue said and no more: whether a fill is new, and what state an order is in, is decided
//! by the order ledger. States come from orders, fills from executions: an order's end that states more than
//! is booked waits there for its fills.

use super::adapter::{Ask, BybitAdapter};
use super::calls::{COINS, page};
use super::errors::classify;
use super::market::nanos;
use super::parse::{OrderOp, PrivateChannel, number_of};
use super::rows::{self, BalanceRow, ExecKind, ExecutionRow, OrderRow, PositionRow, Reply};
use super::{ACCOUNT, session::Phase};
use crate::domain::effect::HttpId;
use crate::domain::event::{BalanceReport, EventBody, FundingPayment, PositionReport};
use crate::domain::input::ConnId;
use crate::domain::number::Num;
use crate::domain::order::{ClientId, FillReport, OrderReport, OrderTerms, RejectClass, ReportKind};
use crate::domain::text::Symbol;
use crate::domain::time::{Nanos, Stamp};
use crate::venue::json::Cursor;
use crate::venue::message::DecodeError;
use crate::venue::{Emit, OddKind, Out};

/// The error code for an order that the venue does not know.
const NO_SUCH_ORDER: i32 = 110_001;
/// Pages of 100 executions in which the fills of a recent order are looked for.
const FILL_PAGES_MAX: u32 = 10;

impl BybitAdapter {
    /// The rows of a private topic.
    pub fn on_private(
        &mut self,
        conn: ConnId,
        channel: PrivateChannel,
        mut data: Cursor<'_>,
        now: Stamp,
        out: &mut Out,
    ) {
        let only = self.parser.only.take();
        let result = match channel {
            PrivateChannel::Orders if let Some(row) = only => {
                self.on_order(conn, &row, out);
                Ok(())
            }
            PrivateChannel::Orders => data.array(|c| {
                let row = rows::order(c)?;
                self.on_order(conn, &row, out);
                Ok(())
            }),
            PrivateChannel::Executions => data.array(|c| {
                let row = rows::execution(c)?;
                self.on_execution(conn, &row, out);
                Ok(())
            }),
            PrivateChannel::Positions => data.array(|c| {
                let row = rows::position(c)?;
                self.on_position(conn, &row, false, now, out);
                Ok(())
            }),
            PrivateChannel::Wallet => data.array(|c| rows::balances(c, |row| self.on_coin(&row, now, out))),
        };
        match result {
            Ok(()) => {}
            Err(DecodeError::Field("orderStatus" | "execType")) => {
                self.odd(conn, OddKind::UnknownExecution, out);
            }
            Err(_) => self.odd(conn, OddKind::Malformed, out),
        }
    }

    pub fn listing_of(&self, symbol: &[u8]) -> Option<usize> {
        Symbol::from_bytes(symbol).and_then(|symbol| self.find(&symbol))
    }

    fn on_order(&mut self, conn: ConnId, row: &OrderRow, out: &mut Out) {
        if !row.linear {
            return;
        }
        let found = self.find(&row.symbol);
        if found.is_none() && row.client_id == ClientId::NONE {
            // Somebody trades another instrument on this account: worth a word, but nothing to track.
            return self.odd(conn, OddKind::UnknownSymbol, out);
        }
        let listing = found.map(|at| &self.listings[at]);
        let filled = listing.filter(|l| l.instrument.generation > 0).map(|l| l.instrument.qty(row.filled));
        if filled == Some(None) {
            self.odd(conn, OddKind::Inexact, out);
        }
        out.emit(Emit::Report(OrderReport {
            venue: self.venue,
            instrument: found.map(|at| self.listings[at].id),
            client_id: row.client_id,
            venue_order_id: row.order_id,
            kind: row.kind,
            side: Some(row.side),
            filled: filled.flatten(),
            terms: listing.filter(|l| l.instrument.generation > 0).and_then(|l| {
                let (price, qty) = row.terms?;
                Some(OrderTerms { price: l.instrument.price(price)?, qty: l.instrument.qty(qty)? })
            }),
            reject: row.reject,
            venue_ns: nanos(row.time_ms),
            ..OrderReport::default()
        }));
    }

    /// A fill as a report that says nothing of the order's state, or funding.
    fn on_execution(&mut self, conn: ConnId, row: &ExecutionRow<'_>, out: &mut Out) {
        if !row.linear || row.kind == ExecKind::Other {
            return;
        }
        let Some(at) = self.listing_of(row.symbol) else {
            return self.odd(conn, OddKind::UnknownSymbol, out);
        };
        let listing = &self.listings[at];
        let currency = if row.currency.is_empty() { listing.instrument.settle } else { row.currency };
        if row.kind == ExecKind::Funding {
            return out.event(EventBody::Funding(FundingPayment {
                venue: self.venue,
                instrument: Some(listing.id),
                currency,
                amount: -row.fee,
                venue_ns: nanos(row.time_ms),
            }));
        }
        let exact = (listing.instrument.qty(row.qty), listing.instrument.price(row.price));
        let ((Some(qty), Some(price)), true) = (exact, listing.instrument.generation > 0) else {
            return self.odd(conn, OddKind::Inexact, out);
        };
        let fill = FillReport {
            trade_id: row.exec_id,
            qty,
            price,
            fee: Some(row.fee),
            fee_currency: currency,
            maker: row.maker,
        };
        out.emit(Emit::Report(OrderReport {
            venue: self.venue,
            instrument: Some(listing.id),
            client_id: if row.kind == ExecKind::Trade { row.client_id } else { ClientId::NONE },
            venue_order_id: row.order_id,
            kind: ReportKind::Acked,
            side: Some(row.side),
            fill: Some(fill),
            venue_ns: nanos(row.time_ms),
            ..OrderReport::default()
        }));
    }

    fn on_position(
        &mut self,
        conn: ConnId,
        row: &PositionRow<'_>,
        snapshot: bool,
        now: Stamp,
        out: &mut Out,
    ) {
        if !row.linear {
            return;
        }
        let Some(at) = self.listing_of(row.symbol) else {
            return self.odd(conn, OddKind::UnknownSymbol, out);
        };
        self.listings[at].seen = true;
        self.check_position(at, row, now.mono, out);
        if !row.one_way && !row.qty.is_zero() {
            // Hedge mode: orders with `positionIdx` 0 will be refused.
            self.odd(conn, OddKind::Refused, out);
        }
        let listing = &self.listings[at];
        if listing.instrument.generation == 0 {
            // Told again when the instrument is defined.
            return;
        }
        let Some(qty) = listing.instrument.qty(row.qty) else {
            return self.odd(conn, OddKind::Inexact, out);
        };
        let venue_ns = if row.time_ms > 0 { nanos(row.time_ms) } else { now.wall };
        let (instrument, entry) = (listing.id, row.entry);
        let report = PositionReport { instrument, qty: qty.0, entry, venue_ns, snapshot };
        out.event(EventBody::Position(report));
    }

    fn on_coin(&self, row: &BalanceRow, now: Stamp, out: &mut Out) {
        if row.currency.is_empty() {
            return;
        }
        out.event(EventBody::Balance(BalanceReport {
            venue: self.venue,
            currency: row.currency,
            wallet: row.wallet,
            available: None,
            venue_ns: now.wall,
        }));
    }

    /// The reply to an order operation. Accepted says that the request was taken, not that matching took the
    /// order; of a cancel and of an amendment it says nothing at all, as the `order` topic tells when it is done.
    pub fn on_reply(
        &mut self,
        conn: ConnId,
        op: OrderOp,
        id: &[u8],
        code: i32,
        data: Option<Cursor<'_>>,
        out: &mut Out,
    ) {
        let Some(client_id) = id.get(..32).and_then(ClientId::parse) else {
            return self.odd(conn, OddKind::Malformed, out);
        };
        let kind = match (op, code) {
            (OrderOp::Create, 0) => ReportKind::Acked,
            (OrderOp::Create, _) => ReportKind::Rejected,
            (OrderOp::Cancel, 0) => return,
            (OrderOp::Cancel, _) => ReportKind::CancelRejected,
            (OrderOp::Amend, 0) => return,
            (OrderOp::Amend, _) => ReportKind::AmendRejected,
        };
        let mut venue_order_id = 0;
        if let Some(mut data) = data {
            let read = data.object(|key, c| {
                if key != b"orderId" {
                    return c.skip();
                }
                let id = c.string()?;
                venue_order_id = if id.is_empty() { 0 } else { number_of(id) };
                Ok(())
            });
            if read.is_err() && code == 0 {
                self.odd(conn, OddKind::Malformed, out);
            }
        }
        out.emit(Emit::Report(OrderReport {
            venue: self.venue,
            client_id,
            venue_order_id,
            kind,
            reject: classify(code),
            code,
            ..OrderReport::default()
        }));
    }

    /// The reply to an order query. One that knows no such order names none: the report then carries
    /// [`ClientId::NONE`], and as `venue_order_id` the low 31 bits of the request's id, which route makes
    /// from [`ClientId::tag`].
    pub fn on_query(&mut self, id: HttpId, status: u16, body: &[u8], now: Nanos, out: &mut Out) {
        let conn = self.account_conn();
        if status == 0 {
            return;
        }
        let result = rows::envelope(body).and_then(|reply| {
            let mut rows = 0;
            if let (0, Some(mut list)) = (reply.code, reply.list) {
                list.array(|c| {
                    let row = rows::order(c)?;
                    rows += 1;
                    self.on_order(conn, &row, out);
                    if row.client_id != ClientId::NONE && !row.filled.is_zero() {
                        self.want_fills(row.client_id, &row.symbol, now);
                    }
                    Ok(())
                })?;
            }
            Ok((reply.code, rows))
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

    fn want_fills(&mut self, client_id: ClientId, symbol: &Symbol, now: Nanos) {
        let Some(at) = self.find(symbol) else { return };
        let wanted = (client_id, self.listings[at].id);
        if !self.fills_wanted.contains(&wanted) {
            self.fills_wanted.push(wanted);
        }
        if !self.wants(Ask::Fills) {
            self.next_fills(now);
        }
    }

    /// Asks for the executions of the first listing that has orders to be looked for.
    fn next_fills(&mut self, now: Nanos) {
        self.request_mut(Ask::Fills).wanted = false;
        if let Some((_, instrument)) = self.fills_wanted.first().copied() {
            self.want(Ask::Fills, now);
            self.request_mut(Ask::Fills).instrument = Some(instrument);
        }
    }

    /// A page of a listing's executions, newest first: those of the wanted orders are handed on.
    pub fn on_fills(&mut self, reply: &Reply<'_>, now: Nanos, out: &mut Out) -> Result<(), DecodeError> {
        let conn = self.account_conn();
        let asked = self.request_mut(Ask::Fills).instrument;
        reply.list.ok_or(DecodeError::Missing("list"))?.array(|c| {
            let row = rows::execution(c)?;
            let ours = |wanted: &(ClientId, _)| wanted.0 == row.client_id && Some(wanted.1) == asked;
            if row.kind == ExecKind::Trade && self.fills_wanted.iter().any(ours) {
                self.on_execution(conn, &row, out);
            }
            Ok(())
        })?;
        let pages = self.request_mut(Ask::Fills).pages + 1;
        if reply.more && pages < FILL_PAGES_MAX {
            self.want_page(Ask::Fills, page(0, true), now);
            self.request_mut(Ask::Fills).pages = pages;
            return Ok(());
        }
        self.fills_wanted.retain(|wanted| Some(wanted.1) != asked);
        self.next_fills(now);
        Ok(())
    }

    /// A page of the account's executions since its stream was away, newest first. Funding is not made good here:
    /// nothing tells whether it was told.
    pub fn on_missed(&mut self, reply: &Reply<'_>, now: Nanos, out: &mut Out) -> Result<(), DecodeError> {
        let conn = self.account_conn();
        reply.list.ok_or(DecodeError::Missing("list"))?.array(|c| {
            let row = rows::execution(c)?;
            if row.kind != ExecKind::Funding {
                self.on_execution(conn, &row, out);
            }
            Ok(())
        })?;
        if reply.more {
            self.want_missed(true, now);
        } else {
            self.request_mut(Ask::Missed).wanted = false;
            self.missed.end(out);
        }
        Ok(())
    }

    /// Asks for the first or the next page of the executions since the account's stream was away.
    pub fn want_missed(&mut self, next: bool, now: Nanos) {
        self.want_page(Ask::Missed, page(self.missed.since_ms(), next), now);
    }

    /// The next page of a list by settlement coin, the first page of the next coin, or the end (true).
    pub fn turn_page(&mut self, ask: Ask, more: bool, now: Nanos) -> bool {
        let coin = self.request_mut(ask).arg >> 1;
        if more {
            self.want_page(ask, page(coin, true), now);
        } else if coin + 1 < self.coins_used() && coin + 1 < COINS.len() as u64 {
            self.want_page(ask, page(coin + 1, false), now);
        } else {
            self.request_mut(ask).wanted = false;
            return true;
        }
        false
    }

    /// Contracts that settle in USDT say so in their names; the others (`BTCPERP`) settle in USDC.
    fn coins_used(&self) -> u64 {
        let other = self.listings.iter().any(|listing| !listing.symbol.as_bytes().ends_with(b"USDT"));
        if other { 2 } else { 1 }
    }

    /// A page of open orders.
    pub fn on_pending(&mut self, reply: &Reply<'_>, now: Nanos, out: &mut Out) -> Result<(), DecodeError> {
        let conn = self.account_conn();
        if self.request_mut(Ask::Pending).arg == 0 {
            self.standing.foreign = 0;
        }
        reply.list.ok_or(DecodeError::Missing("list"))?.array(|c| {
            let row = rows::order(c)?;
            self.standing.foreign += i64::from(row.linear && row.client_id == ClientId::NONE);
            self.on_order(conn, &row, out);
            Ok(())
        })?;
        if self.turn_page(Ask::Pending, reply.more, now) {
            self.on_foreign_counted(now, out);
        }
        Ok(())
    }

    /// A page of positions: what none of them names is flat.
    pub fn on_positions(&mut self, reply: &Reply<'_>, now: Stamp, out: &mut Out) -> Result<(), DecodeError> {
        let conn = self.account_conn();
        if self.request_mut(Ask::Positions).arg == 0 {
            for listing in &mut self.listings {
                listing.seen = false;
            }
        }
        reply.list.ok_or(DecodeError::Missing("list"))?.array(|c| {
            let row = rows::position(c)?;
            self.on_position(conn, &row, true, now, out);
            Ok(())
        })?;
        if self.turn_page(Ask::Positions, reply.more, now.mono) {
            for listing in self.listings.iter().filter(|listing| !listing.seen) {
                out.event(EventBody::Position(PositionReport {
                    instrument: listing.id,
                    qty: 0,
                    entry: Num::ZERO,
                    venue_ns: now.wall,
                    snapshot: true,
                }));
            }
        }
        Ok(())
    }

    /// The balances.
    pub fn on_balance(&mut self, reply: &Reply<'_>, now: Stamp, out: &mut Out) -> Result<(), DecodeError> {
        reply
            .list
            .ok_or(DecodeError::Missing("list"))?
            .array(|c| rows::balances(c, |row| self.on_coin(&row, now, out)))?;
        self.request_mut(Ask::Balance).wanted = false;
        Ok(())
    }

    /// When all three lists were read after authentication, the account is known again.
    pub fn reconcile_end(&mut self, out: &mut Out) {
        let Some(session) = self.sessions.get(ACCOUNT) else { return };
        let asked = session.phase == Phase::Up && session.logged_in && session.acks == 0;
        let open = [Ask::Pending, Ask::Positions, Ask::Balance].iter().any(|ask| self.wants(*ask));
        if asked && !open && !self.reconciled {
            self.reconciled = true;
            out.emit(Emit::ReconcileEnd(self.venue));
            self.status(ACCOUNT, true, out);
        }
    }
}
