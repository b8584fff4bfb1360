//! Account rows of Deribit to order reports, positions and balances, and the reconciliation after a reconnect.
//!
//! Says what the venue said and no more: whether a fill is new, and what state an order is in, is decided
//! by the order ledger. A fill is told by the reply to its order and again by `user.trades`: the trade id
//! makes it one.

use super::adapter::DeribitAdapter;
use super::asks::{ACCOUNT_ASKS, Ask};
use super::calls;
use super::credits::{self, Pool};
use super::errors::{NO_SUCH_ORDER, TOO_MANY, classify};
use super::market::nanos;
use super::parse::PrivateChannel;
use super::rows::{self, BalanceRow, OrderRow, PositionRow, TradeRow};
use super::{ACCOUNT, session::Phase};
use crate::domain::event::{BalanceReport, EventBody, FundingPayment, PositionReport};
use crate::domain::input::ConnId;
use crate::domain::money::Money;
use crate::domain::number::Num;
use crate::domain::order::{ClientId, FillReport, OrderReport, OrderTerms, RejectClass, ReportKind};
use crate::domain::text::{Currency, Symbol};
use crate::domain::time::{Nanos, SECOND, Stamp};
use crate::venue::json::{Cursor, Kind};
use crate::venue::message::DecodeError;
use crate::venue::{Emit, OddKind, Out};

/// What linear contracts settle in.
const LINEAR_SETTLE: &str = "USDC";
/// Sessions are settled daily at 08:00 UTC; session figures start from zero then.
const SETTLED_AT: Nanos = 8 * 3_600 * SECOND;
/// A day.
const DAY: Nanos = 24 * 3_600 * SECOND;
/// Our clock and the venue's may differ by less than this, and a statement may be on its way for less: so near to
/// a settlement the sum itself tells the session.
const SETTLEMENT_MARGIN: Nanos = 5 * SECOND;

/// The session (day from settlement to settlement) that a statement of `funding` at `wall` belongs to; `last` is the
/// statement before it. Near a settlement a sum that is nearer to nothing than to the last one has begun anew.
fn session_of(wall: Nanos, funding: Money, last: Option<(Money, i64)>) -> i64 {
    let since = wall - SETTLED_AT;
    let session = since.div_euclid(DAY);
    let next = (since + SETTLEMENT_MARGIN).div_euclid(DAY);
    let previous = (since - SETTLEMENT_MARGIN).div_euclid(DAY);
    match last {
        Some((before, of)) if next != previous && of < next => {
            let is_new = funding.0.unsigned_abs() < (funding - before).0.unsigned_abs();
            if is_new { next } else { previous }
        }
        // The new session was seen to begin, by our clock before its time.
        Some((_, of)) => session.max(of),
        None => session,
    }
}

/// Which order operation a reply is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Place,
    Cancel,
    Query,
    Amend,
}

/// What a request id says; `None` when it is not one of an order operation.
pub(super) fn of_request(id: &[u8]) -> Option<(Operation, ClientId)> {
    if id.len() != 32 {
        return None;
    }
    let operation = match id[0] {
        b'x' => Operation::Cancel,
        b'q' => Operation::Query,
        b'm' => Operation::Amend,
        _ => Operation::Place,
    };
    let mut text = [b'0'; 32];
    text[1..].copy_from_slice(&id[1..]);
    if operation == Operation::Place {
        text[0] = id[0];
    }
    ClientId::parse(&text).filter(|id| *id != ClientId::NONE).map(|id| (operation, id))
}

impl DeribitAdapter {
    /// The data of a private channel.
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
            PrivateChannel::Orders => one_or_several(&mut data, |c| {
                let row = rows::order(c)?;
                self.on_order(conn, &row, out);
                Ok(())
            }),
            PrivateChannel::Trades => one_or_several(&mut data, |c| {
                let row = rows::trade(c)?;
                self.on_trade(conn, &row, out);
                Ok(())
            }),
            PrivateChannel::Changes => {
                rows::changes(&mut data, |row| self.on_position(conn, row, false, now, out))
            }
            PrivateChannel::Portfolio => rows::balance(&mut data).map(|row| self.on_balance(&row, now, out)),
        };
        self.said(conn, result, out);
    }

    fn said(&self, conn: ConnId, result: Result<(), DecodeError>, out: &mut Out) {
        match result {
            Ok(()) => {}
            Err(DecodeError::Field("order_state")) => self.odd(conn, OddKind::UnknownExecution, out),
            Err(_) => self.odd(conn, OddKind::Malformed, out),
        }
    }

    fn on_order(&self, conn: ConnId, row: &OrderRow, out: &mut Out) {
        let listing = self.find(&row.symbol).map(|at| &self.listings[at]);
        if listing.is_none() && row.client_id == ClientId::NONE {
            // Somebody trades another instrument on this account: worth a word, but nothing to track.
            return self.odd(conn, OddKind::UnknownSymbol, out);
        }
        let defined = listing.filter(|listing| listing.instrument.generation > 0);
        let filled = defined.and_then(|listing| listing.instrument.qty(row.filled));
        if defined.is_some() && filled.is_none() {
            self.odd(conn, OddKind::Inexact, out);
        }
        let terms = defined.and_then(|listing| {
            let (price, qty) = row.terms?;
            Some(OrderTerms { price: listing.instrument.price(price)?, qty: listing.instrument.qty(qty)? })
        });
        out.emit(Emit::Report(OrderReport {
            venue: self.venue,
            terms,
            instrument: listing.map(|listing| listing.id),
            client_id: row.client_id,
            venue_order_id: row.order_id,
            kind: row.kind,
            side: Some(row.side),
            filled,
            reject: if row.kind == ReportKind::Rejected { RejectClass::Never } else { RejectClass::None },
            venue_ns: nanos(row.time_ms),
            ..OrderReport::default()
        }));
    }

    /// An own trade, as a report that says nothing of the order's state.
    fn on_trade(&self, conn: ConnId, row: &TradeRow<'_>, out: &mut Out) {
        let found = Symbol::from_bytes(row.symbol).and_then(|symbol| self.find(&symbol));
        let Some(listing) = found.map(|at| &self.listings[at]).filter(|l| l.instrument.generation > 0) else {
            return self.odd(conn, OddKind::UnknownSymbol, out);
        };
        let (qty, price) = (listing.instrument.qty(row.qty), listing.instrument.price(row.price));
        let (Some(qty), Some(price)) = (qty, price) else {
            return self.odd(conn, OddKind::Inexact, out);
        };
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
                fee: Some(row.fee),
                fee_currency: self.settled(row.fee_currency),
                maker: row.maker,
            }),
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
        let found = Symbol::from_bytes(row.symbol).and_then(|symbol| self.find(&symbol));
        let Some(at) = found else { return self.odd(conn, OddKind::UnknownSymbol, out) };
        self.listings[at].seen = true;
        let listing = &self.listings[at];
        if listing.instrument.generation == 0 {
            // Told again when the instrument is defined.
            return;
        }
        let Some(qty) = listing.instrument.qty(row.qty) else { return self.odd(conn, OddKind::Inexact, out) };
        out.event(EventBody::Position(PositionReport {
            instrument: listing.id,
            qty: qty.0,
            entry: row.entry,
            venue_ns: now.wall,
            snapshot,
        }));
        if let Some(funding) = row.funding {
            self.on_funding(at, funding, now.wall, out);
        }
    }

    /// Funding accrues all the time, and the venue states its sum since the daily settlement: what it changed
    /// by was paid in between. What was before the first statement is not news.
    fn on_funding(&mut self, at: usize, funding: Money, wall: Nanos, out: &mut Out) {
        let listing = &mut self.listings[at];
        let session = session_of(wall, funding, listing.funding);
        let Some((before, of)) = listing.funding.replace((funding, session)) else { return };
        let before = if of == session { before } else { Money::ZERO };
        if funding != before {
            out.event(EventBody::Funding(FundingPayment {
                venue: self.venue,
                instrument: Some(listing.id),
                currency: listing.instrument.settle,
                amount: funding - before,
                venue_ns: wall,
            }));
        }
    }

    fn on_balance(&self, row: &BalanceRow, now: Stamp, out: &mut Out) {
        if row.currency.is_empty() {
            return;
        }
        out.event(EventBody::Balance(BalanceReport {
            venue: self.venue,
            currency: self.settled(row.currency),
            wallet: row.wallet,
            available: row.available,
            venue_ns: now.wall,
        }));
    }

    /// The currency as which an amount counts: the configured one where it stands at par for USDC, in which
    /// linear contracts settle.
    fn settled(&self, currency: Currency) -> Currency {
        if currency.as_str() == LINEAR_SETTLE && !self.at_par.is_empty() { self.at_par } else { currency }
    }

    /// The reply to an order operation.
    pub fn on_operation(
        &mut self,
        conn: ConnId,
        operation: Operation,
        client_id: ClientId,
        mut data: Cursor<'_>,
        now: Nanos,
        out: &mut Out,
    ) {
        let result = match operation {
            // The reply comes from matching: it states the order as it is now.
            Operation::Place | Operation::Amend => {
                // Fills first: the order's state then names a quantity that is booked.
                let placed = rows::placed(&mut data, |row| self.on_trade(conn, row, out));
                placed.map(|row| self.on_order(conn, &row, out))
            }
            // The number of orders cancelled: `user.orders` tells when it is done.
            Operation::Cancel => match data.kind() {
                Ok(Kind::Number) => data.int("result").map(|count| {
                    if count == 0 {
                        self.outcome(operation, client_id, NO_SUCH_ORDER, out);
                    }
                }),
                Ok(_) => Ok(()),
                Err(error) => Err(error),
            },
            Operation::Query => {
                self.credits[Pool::Account as usize].spend(credits::REQUEST, now);
                self.on_query(conn, client_id, &mut data, now, out)
            }
        };
        self.said(conn, result, out);
    }

    /// The orders that carry a label: ours is unique.
    fn on_query(
        &mut self,
        conn: ConnId,
        client_id: ClientId,
        data: &mut Cursor<'_>,
        now: Nanos,
        out: &mut Out,
    ) -> Result<(), DecodeError> {
        let mut found = false;
        one_or_several(data, |c| {
            let row = rows::order(c)?;
            found |= row.client_id == client_id;
            self.on_order(conn, &row, out);
            if !row.filled.is_zero()
                && let Some(at) = self.find(&row.symbol)
            {
                // A query states no single fills: list those of the instrument.
                self.want_trades(at, now);
            }
            Ok(())
        })?;
        if !found {
            self.outcome(Operation::Query, client_id, NO_SUCH_ORDER, out);
        }
        Ok(())
    }

    /// An order operation was refused, or found nothing.
    pub fn outcome(&self, operation: Operation, client_id: ClientId, code: i32, out: &mut Out) {
        let reject = classify(code);
        let kind = match operation {
            Operation::Place => ReportKind::Rejected,
            Operation::Cancel => ReportKind::CancelRejected,
            Operation::Amend => ReportKind::AmendRejected,
            Operation::Query if reject == RejectClass::NotFound => ReportKind::NotFound,
            // Nothing was said about the order: the ledger asks again.
            Operation::Query => return self.odd(self.account_conn(), OddKind::Refused, out),
        };
        out.emit(Emit::Report(OrderReport {
            venue: self.venue,
            client_id,
            kind,
            reject,
            code,
            ..OrderReport::default()
        }));
    }

    /// The session is ended by the venue for too many requests: come back late.
    pub fn is_too_many(code: i32) -> bool {
        code == TOO_MANY
    }

    fn want_trades(&mut self, at: usize, now: Nanos) {
        let id = self.listings[at].id;
        if !self.trades_wanted.contains(&id) {
            self.trades_wanted.push(id);
        }
        if !self.requests[Ask::Trades as usize].wanted {
            self.want(Ask::Trades, now);
        }
    }

    /// The reply to an ask of the account.
    pub fn on_listed(
        &mut self,
        ask: Ask,
        mut data: Cursor<'_>,
        now: Stamp,
        out: &mut Out,
    ) -> Result<(), DecodeError> {
        let conn = self.account_conn();
        match ask {
            Ask::Instruments | Ask::Time | Ask::Settings | Ask::Foreign => return Ok(()),
            Ask::OpenOrders => {
                let mut foreign = 0;
                one_or_several(&mut data, |c| {
                    let row = rows::order(c)?;
                    // Orders of an earlier run of ours are cancelled as strays.
                    foreign += i64::from(row.client_id == ClientId::NONE);
                    self.on_order(conn, &row, out);
                    Ok(())
                })?;
                self.on_foreign_counted(foreign, now.mono, out);
            }
            Ask::Positions => self.on_positions(conn, &mut data, now, out)?,
            Ask::Summaries => rows::summaries(&mut data, |row| self.on_balance(row, now, out))?,
            Ask::Missed => {
                if self.on_missed(conn, &mut data, now.mono, out)? {
                    return Ok(());
                }
            }
            Ask::Trades => {
                // Of orders of ours only: what others did before this run is no news.
                rows::user_trades(&mut data, |row| {
                    if row.client_id != ClientId::NONE {
                        self.on_trade(conn, row, out);
                    }
                })?;
                if !self.trades_wanted.is_empty() {
                    self.trades_wanted.remove(0);
                }
                if !self.trades_wanted.is_empty() {
                    self.want(Ask::Trades, now.mono);
                    return Ok(());
                }
            }
        }
        self.requests[ask as usize].wanted = false;
        Ok(())
    }

    /// Reads the account's trades since its stream was away, currency by currency.
    pub fn want_missed(&mut self, now: Nanos) {
        self.missed_at = (0, self.missed.since_ms() / 1_000);
        self.want(Ask::Missed, now);
    }

    /// A page of them, oldest first. Whether another one is asked for.
    fn on_missed(
        &mut self,
        conn: ConnId,
        data: &mut Cursor<'_>,
        now: Nanos,
        out: &mut Out,
    ) -> Result<bool, DecodeError> {
        let mut last = 0;
        let more = rows::user_trades(data, |row| {
            last = u64::try_from(row.time_ms / 1_000).unwrap_or(0);
            if self.missed.covers(row.time_ms) {
                self.on_trade(conn, row, out);
            }
        })?;
        let (at, second) = self.missed_at;
        if more && last > 0 {
            // A page of a single second is not read twice.
            self.missed_at.1 = last.max(second + u64::from(last == second));
        } else {
            let currency = |at: usize| calls::currency_of(&self.listings[at].symbol);
            let is_new = |next: &usize| (0..*next).all(|before| currency(before) != currency(*next));
            match (at + 1..self.listings.len()).find(is_new) {
                Some(next) => self.missed_at = (next, self.missed.since_ms() / 1_000),
                None => {
                    self.missed.end(out);
                    return Ok(false);
                }
            }
        }
        self.want(Ask::Missed, now);
        Ok(true)
    }

    /// The list of positions: what it does not name is flat.
    fn on_positions(
        &mut self,
        conn: ConnId,
        data: &mut Cursor<'_>,
        now: Stamp,
        out: &mut Out,
    ) -> Result<(), DecodeError> {
        for listing in &mut self.listings {
            listing.seen = false;
        }
        data.array(|c| {
            let row = rows::position(c)?;
            self.on_position(conn, &row, true, now, out);
            Ok(())
        })?;
        for listing in self.listings.iter_mut().filter(|listing| !listing.seen) {
            out.event(EventBody::Position(PositionReport {
                instrument: listing.id,
                qty: 0,
                entry: Num::ZERO,
                venue_ns: now.wall,
                snapshot: true,
            }));
        }
        Ok(())
    }

    /// When all three lists were read after a login, the account is known again.
    pub fn reconcile_end(&mut self, out: &mut Out) {
        let Some(session) = self.sessions.get(ACCOUNT) else { return };
        let asked = session.phase == Phase::Up && session.logged_in && session.acks == 0;
        let open = ACCOUNT_ASKS.iter().any(|ask| self.requests[*ask as usize].wanted);
        if asked && !open && !self.reconciled {
            self.reconciled = true;
            out.emit(Emit::ReconcileEnd(self.venue));
            self.status(ACCOUNT, true, out);
        }
    }
}

/// An object, or an array of them: channels differ by their interval.
pub(super) fn one_or_several<'a>(
    c: &mut Cursor<'a>,
    mut each: impl FnMut(&mut Cursor<'a>) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    match c.kind()? {
        Kind::Array => c.array(each),
        _ => each(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EIGHT: Nanos = 20_000 * DAY + SETTLED_AT;

    /// What is booked of statements, (time from the settlement, sum).
    fn booked(statements: &[(Nanos, i128)]) -> Vec<i128> {
        let mut last = None;
        let booked = statements.iter().filter_map(|&(at, sum)| {
            let session = session_of(EIGHT + at, Money(sum), last);
            let (before, of) = last.replace((Money(sum), session))?;
            Some(sum - if of == session { before.0 } else { 0 })
        });
        booked.collect()
    }

    #[test]
    fn a_session_of_funding_begins_once_however_far_the_clocks_are_apart() {
        for lead in [-2 * SECOND, -SECOND, 0, SECOND, 2 * SECOND] {
            let at = |from_eight: Nanos| from_eight + lead;
            let told = [(-60, -900), (-1, -1_000), (0, 0), (1, -2), (30, -5), (3_600, -70)]
                .map(|(s, sum)| (at(s * SECOND), sum));
            assert_eq!(booked(&told), [-100, 0, -2, -3, -65], "our clock leads by {lead} ns");
        }
    }

    #[test]
    fn a_sum_that_shrinks_within_a_session_was_received_back() {
        assert_eq!(booked(&[(100 * SECOND, -500), (200 * SECOND, -10), (300 * SECOND, 40)]), [490, 50]);
    }
}
