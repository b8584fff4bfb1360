//! Account rows of Hyperliquid to order reports, fills, positions, balance and funding, and the
//! reconciliation after a reconnect.
//!
//! Says what the venue said and no more: whether a fill is new, and what state an order is in, is decided
//! by the order ledger. An acknowledgement is not an outcome: orders end by `orderUpdates`, fills come by
//! `userFills`, and what a gap has swallowed is asked for.

use super::adapter::{Ask, HyperliquidAdapter, STATE_AFTER};
use super::calls::{FILLS_PAGE, Posted, of_post_id};
use super::errors::{classify, of_placement, of_status};
use super::limits::{CHEAP, ROWS_PER_WEIGHT};
use super::market::nanos;
use super::parse::PrivateChannel;
use super::rows::{self, FillRow, OrderRow, Outcome};
use super::{ACCOUNT, session::Phase};
use crate::domain::effect::HttpId;
use crate::domain::event::{BalanceReport, EventBody, FundingPayment, PositionReport};
use crate::domain::input::ConnId;
use crate::domain::number::Num;
use crate::domain::order::{ClientId, FillReport, OrderReport, RejectClass, ReportKind};
use crate::domain::text::{Currency, Symbol};
use crate::domain::time::{Nanos, SECOND, Stamp};
use crate::venue::json::Cursor;
use crate::venue::message::DecodeError;
use crate::venue::{Emit, OddKind, Out};

/// Fills of an order are asked for from this long before its placement, ms: clocks of parts may differ.
const FILLS_BEFORE_MS: i64 = 1_000;

impl HyperliquidAdapter {
    /// The rows of a private channel.
    pub fn on_private(
        &mut self,
        conn: ConnId,
        channel: PrivateChannel,
        mut data: Cursor<'_>,
        now: Stamp,
        out: &mut Out,
    ) {
        let result = match channel {
            PrivateChannel::Orders => data.array(|c| {
                let row = rows::order_update(c)?;
                if row.client_id == ClientId::NONE && row.status == b"open" {
                    self.standing.foreign_seen = true;
                    self.arm(now.mono);
                }
                self.on_order(conn, &row, out);
                Ok(())
            }),
            PrivateChannel::Fills => rows::user_rows(&mut data, "fills").and_then(|(snapshot, mut list)| {
                list.array(|c| {
                    let row = rows::fill(c)?;
                    self.on_fill(conn, &row, snapshot, now.mono, out);
                    Ok(())
                })
            }),
            PrivateChannel::Fundings => {
                rows::user_rows(&mut data, "fundings").and_then(|(snapshot, mut list)| {
                    list.array(|c| {
                        let row = rows::funding(c)?;
                        self.on_funding(conn, &row, snapshot, now.mono, out);
                        Ok(())
                    })
                })
            }
            PrivateChannel::Post => {
                rows::posted(&mut data, |id, outcome| self.on_posted(conn, id, outcome, now.mono, out))
            }
        };
        if result.is_err() {
            self.odd(conn, OddKind::Malformed, out);
        }
    }

    /// The listing that a row names, where it is one of ours.
    fn named(&self, symbol: &[u8]) -> Option<usize> {
        Symbol::from_bytes(symbol).and_then(|symbol| self.find(&symbol))
    }

    /// One order; its fills are told apart by `userFills`.
    fn on_order(&mut self, conn: ConnId, row: &OrderRow<'_>, out: &mut Out) {
        let listing = self.named(row.symbol).map(|at| &self.listings[at]);
        if listing.is_none() && row.client_id == ClientId::NONE {
            // Somebody trades another coin on this account: worth a word, but nothing to track.
            return self.odd(conn, OddKind::UnknownSymbol, out);
        }
        let said = match row.status {
            b"" => Some((ReportKind::Open, RejectClass::None)),
            status => of_status(status, !row.rest.is_zero()),
        };
        let Some((kind, reject)) = said else { return self.odd(conn, OddKind::UnknownExecution, out) };
        let defined =
            listing.filter(|listing| listing.instrument.generation > 0).map(|listing| &listing.instrument);
        let filled = defined.and_then(|instrument| instrument.qty(row.filled()?));
        let report = OrderReport {
            venue: self.venue,
            instrument: listing.map(|listing| listing.id),
            client_id: row.client_id,
            venue_order_id: row.order_id,
            kind,
            side: Some(row.side),
            filled: if kind == ReportKind::Rejected { None } else { filled },
            reject,
            venue_ns: nanos(if row.time_ms > 0 { row.time_ms } else { row.placed_ms }),
            ..OrderReport::default()
        };
        if defined.is_some() && filled.is_none() {
            self.odd(conn, OddKind::Inexact, out);
        }
        out.emit(Emit::Report(report));
    }

    /// One fill. A snapshot repeats the past: only fills of this run's orders in it can be news, as the
    /// position that everything else led to is asked for.
    fn on_fill(&mut self, conn: ConnId, row: &FillRow<'_>, past: bool, now: Nanos, out: &mut Out) {
        if past && (row.client_id == ClientId::NONE || nanos(row.time_ms) < self.started_wall) {
            return;
        }
        let Some(listing) = self.named(row.symbol).map(|at| &self.listings[at]) else {
            return self.odd(conn, OddKind::UnknownSymbol, out);
        };
        if listing.instrument.generation == 0 {
            return;
        }
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
                trade_id: row.name(),
                qty,
                price,
                fee: Some(row.cost),
                fee_currency: self.settled(row.fee_currency),
                maker: row.maker,
            }),
            venue_ns: nanos(row.time_ms),
            ..OrderReport::default()
        }));
        if !past {
            self.want_state(now + STATE_AFTER);
        }
    }

    fn on_funding(
        &mut self,
        conn: ConnId,
        row: &rows::FundingRow<'_>,
        past: bool,
        now: Nanos,
        out: &mut Out,
    ) {
        let Some(at) = self.named(row.symbol) else {
            if !past {
                self.odd(conn, OddKind::UnknownSymbol, out);
            }
            return;
        };
        let currency = self.settled(self.currency);
        let listing = &mut self.listings[at];
        if row.time_ms <= listing.funding_ms {
            return;
        }
        listing.funding_ms = row.time_ms;
        out.event(EventBody::Funding(FundingPayment {
            venue: self.venue,
            instrument: Some(listing.id),
            currency,
            amount: row.amount,
            venue_ns: nanos(row.time_ms),
        }));
        self.want_state(now + STATE_AFTER);
    }

    /// The reply to a posted action.
    fn on_posted(&mut self, conn: ConnId, id: u64, outcome: Outcome<'_>, now: Nanos, out: &mut Out) {
        let Some(posted) = of_post_id(id) else { return self.odd(conn, OddKind::Unknown, out) };
        self.on_action(out);
        if let Outcome::Refused(text) = outcome
            && classify(text) == RejectClass::RateLimit
            && !self.asking(Ask::Rate, now)
        {
            self.want(Ask::Rate, now);
        }
        let mut report = OrderReport { venue: self.venue, ..OrderReport::default() };
        match (posted, outcome) {
            (Posted::Place(client_id), Outcome::Accepted { order_id } | Outcome::Filled { order_id, .. }) => {
                // How far it was filled, and that it is over, is said by the channels.
                (report.client_id, report.venue_order_id) = (client_id, order_id);
            }
            (Posted::Place(client_id), Outcome::Refused(text)) => {
                report.client_id = client_id;
                (report.kind, report.reject) = of_placement(text);
            }
            // An accepted cancel says nothing: `orderUpdates` tells when it is done.
            (Posted::Cancel(_), Outcome::Accepted { .. } | Outcome::Filled { .. }) => return,
            (Posted::Cancel(client_id), Outcome::Refused(text)) => {
                report.client_id = client_id;
                (report.kind, report.reject) = (ReportKind::CancelRejected, classify(text));
            }
            (Posted::Schedule, outcome) => {
                return self.on_switch(!matches!(outcome, Outcome::Refused(_)), now, out);
            }
        }
        if report.client_id == ClientId::NONE {
            return self.odd(conn, OddKind::Unknown, out);
        }
        out.emit(Emit::Report(report));
    }

    /// The reply to an order query. A reply that the venue does not know the order names no order: the
    /// report then carries [`ClientId::NONE`], and as `venue_order_id` the low 31 bits of the request's id,
    /// which route makes from [`ClientId::tag`].
    pub fn on_query(&mut self, id: HttpId, status: u16, body: &[u8], now: Nanos, out: &mut Out) {
        let conn = self.account_conn();
        // Route asked it, urgently: it is counted when it is answered.
        self.weights.add(now, CHEAP);
        match (status, rows::order_status(body)) {
            (0, _) => {}
            (200, Ok(Some(row))) => {
                self.on_order(conn, &row, out);
                if row.filled().is_some_and(|filled| !filled.is_zero()) {
                    // A query states the sum only.
                    let from = u64::try_from(row.placed_ms - FILLS_BEFORE_MS).unwrap_or(0);
                    let open = &self.requests[Ask::Fills as usize];
                    let from = if open.wanted { from.min(open.arg) } else { from };
                    self.want_page(Ask::Fills, from, now);
                }
            }
            (200, Ok(None)) => out.emit(Emit::Report(OrderReport {
                venue: self.venue,
                venue_order_id: u64::from(id.0 & 0x7fff_ffff),
                kind: ReportKind::NotFound,
                reject: RejectClass::NotFound,
                ..OrderReport::default()
            })),
            (200, Err(_)) => self.odd(conn, OddKind::Malformed, out),
            _ => self.odd(conn, OddKind::Refused, out),
        }
    }

    /// A list of fills: those of our orders as reports that say nothing of the orders' states.
    pub fn on_fills(&mut self, body: &[u8], now: Nanos, out: &mut Out) -> Result<(), DecodeError> {
        let conn = self.account_conn();
        let mut c = Cursor::new(body);
        let mut count = 0;
        c.array(|c| {
            let row = rows::fill(c)?;
            self.on_fill(conn, &row, true, now, out);
            count += 1;
            Ok(())
        })?;
        self.weights.add(now, count / ROWS_PER_WEIGHT);
        c.end()
    }

    /// The account's executions since its stream was away, oldest first.
    pub fn on_missed(&mut self, body: &[u8], now: Nanos, out: &mut Out) -> Result<(), DecodeError> {
        let conn = self.account_conn();
        let mut c = Cursor::new(body);
        let (mut count, mut last) = (0, 0);
        c.array(|c| {
            let row = rows::fill(c)?;
            self.on_fill(conn, &row, false, now, out);
            (count, last) = (count + 1, u64::try_from(row.time_ms).unwrap_or(0));
            Ok(())
        })?;
        c.end()?;
        self.weights.add(now, count / ROWS_PER_WEIGHT);
        let from = self.requests[Ask::Missed as usize].arg;
        if count >= FILLS_PAGE {
            // A page of a single millisecond is not read twice.
            self.want_page(Ask::Missed, last.max(from + u64::from(last <= from)), now);
        } else {
            self.missed.end(out);
        }
        Ok(())
    }

    /// All open orders.
    pub fn on_pending(&mut self, body: &[u8], out: &mut Out) -> Result<(), DecodeError> {
        let conn = self.account_conn();
        let mut c = Cursor::new(body);
        c.array(|c| {
            let row = rows::order(c)?;
            self.on_order(conn, &row, out);
            Ok(())
        })?;
        c.end()
    }

    /// Positions and balance; what is not named is flat.
    pub fn on_state(&mut self, body: &[u8], now: Stamp, out: &mut Out) -> Result<(), DecodeError> {
        let conn = self.account_conn();
        for listing in &mut self.listings {
            listing.stated = (0, Num::ZERO);
        }
        let (mut odd, mut one_way) = (None, true);
        let mut leverages: Vec<(usize, (bool, i64))> = Vec::new();
        let state = rows::state(body, |row| {
            one_way &= !row.hedged;
            let Some(at) = self.named(row.symbol) else {
                odd = odd.or((!row.qty.is_zero()).then_some(OddKind::UnknownSymbol));
                return;
            };
            if let Some(leverage) = row.leverage {
                leverages.push((at, leverage));
            }
            let listing = &mut self.listings[at];
            match listing.instrument.qty(row.qty) {
                Some(qty) => listing.stated = (qty.0, row.entry),
                // Told again when the instrument is defined.
                None if listing.instrument.generation == 0 => {}
                None => odd = Some(OddKind::Inexact),
            }
        })?;
        if let Some(kind) = odd {
            self.odd(conn, kind, out);
        }
        self.state_one_way(one_way, out);
        for (at, leverage) in leverages {
            // Changed at the venue since it was read back.
            self.state_leverage(at, leverage, out);
        }
        let venue_ns = if state.time_ms > 0 { nanos(state.time_ms) } else { now.wall };
        for listing in self.listings.iter().filter(|listing| listing.instrument.generation > 0) {
            let (qty, entry) = listing.stated;
            out.event(EventBody::Position(PositionReport {
                instrument: listing.id,
                qty,
                entry,
                venue_ns,
                snapshot: true,
            }));
        }
        out.event(EventBody::Balance(BalanceReport {
            venue: self.venue,
            currency: self.settled(self.currency),
            wallet: state.wallet,
            available: state.available,
            venue_ns,
        }));
        Ok(())
    }

    /// The currency as which an amount counts: the configured one where it stands at par for the venue's.
    fn settled(&self, currency: Currency) -> Currency {
        if currency == self.currency && !self.at_par.is_empty() { self.at_par } else { currency }
    }

    /// When both lists were read after a subscription, the account is known again.
    pub fn reconcile_end(&mut self, now: Nanos, out: &mut Out) {
        let Some(session) = self.sessions.get(ACCOUNT) else { return };
        let asked = session.phase == Phase::Up && session.logged_in && session.acks == 0;
        let open = [Ask::Pending, Ask::State].iter().any(|ask| self.requests[*ask as usize].wanted);
        if asked && !open && !self.reconciled {
            self.reconciled = true;
            self.state_due = now + 10 * SECOND;
            out.emit(Emit::ReconcileEnd(self.venue));
            self.status(ACCOUNT, true, out);
        }
    }
}
