//! The audit's book of orders: each from its approval to its end, with its fills.

use super::finding::Findings;
use crate::domain::event::Seq;
use crate::domain::input::{SendFate, SendOutcome};
use crate::domain::instrument::{Instrument, InstrumentId, Price, VenueId};
use crate::domain::intent::{Basket, BasketKind, Denial, TradeId};
use crate::domain::money::Money;
use crate::domain::order::{ClientId, OrderSpec, OrderState, OrderUpdate, Side};
use crate::domain::time::{Nanos, SECOND, Stamp};
use crate::replay::check::KnownOrder;
use serde::Serialize;
use std::collections::BTreeMap;

/// An approved order without a fate for longer than this before the end of the record is a finding.
const FATE_WITHIN: Nanos = 2 * SECOND;
/// The same of a sent order without an end. None of the engine's orders rests.
const END_WITHIN: Nanos = 30 * SECOND;

/// What became of an approved order on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Nothing yet.
    None,
    /// Its basket was denied by route.
    Denied,
    /// The egress gate refused it.
    Refused,
    /// Handed to a socket.
    Sent,
    /// Perhaps.
    Unknown,
}

/// An order. Quantities and prices as decimals, so that a change of the contract's scales changes nothing.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub spec: OrderSpec,
    pub kind: BasketKind,
    pub trade: TradeId,
    attempt: u16,
    pub qty: Money,
    pub price: Money,
    /// Mid price of its book at the decision; 0 = not known.
    pub mid: Price,
    pub fate: Fate,
    pub state: Option<OrderState>,
    pub filled: Money,
    /// Of an order that was under way where the record begins: what was filled by then.
    pub before: Option<Money>,
    /// When it was approved, as far as the record tells.
    pub at: Stamp,
    pub seq: Seq,
}

/// A fill on our accounts.
#[derive(Clone, Debug)]
pub(super) struct FillRow {
    pub seq: Seq,
    pub at: Nanos,
    /// [`ClientId::NONE`] when no order of ours explains it.
    pub order: ClientId,
    pub venue: VenueId,
    pub instrument: InstrumentId,
    pub trade_id: u64,
    pub side: Side,
    pub qty: Money,
    pub price: Money,
    pub fee: Money,
}

/// Orders of a run in figures.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OrderReport {
    /// Orders of approved baskets.
    pub approved: u64,
    /// Of a part of a run: approved before it, and not ended where it begins. The figures below count them, too.
    pub under_way: u64,
    /// Handed to a socket.
    pub sent: u64,
    /// Of unknown fate at the gate: perhaps sent.
    pub perhaps_sent: u64,
    /// Refused by the egress gate.
    pub refused: u64,
    /// Approved by risk, then denied by route.
    pub denied: u64,
    /// Approved, and without a fate when the record ends.
    pub without_fate: u64,
    /// Sent, and completely filled.
    pub filled: u64,
    /// Sent, and ended by a cancel or at the end of their time.
    pub canceled: u64,
    /// Sent, and refused by the venue.
    pub rejected: u64,
    /// Sent, and not ended when the record ends.
    pub open_at_end: u64,
    /// Fills of our orders.
    pub fills: u64,
    /// Fills on our accounts that no order of ours explains.
    pub strays: u64,
    /// No rule about orders is broken.
    pub clean: bool,
}

/// All orders and, where they are wanted, all fills.
#[derive(Default)]
pub(super) struct Book {
    pub orders: BTreeMap<ClientId, Row>,
    baskets: BTreeMap<(u32, u16, u8), Vec<ClientId>>,
    /// Kept for a comparison with ledgers only.
    pub fills: Option<Vec<FillRow>>,
    pub report: OrderReport,
}

impl Book {
    /// Empty; keeps fills when they are to be compared.
    pub fn new(keep_fills: bool) -> Self {
        Self { fills: keep_fills.then(Vec::new), ..Self::default() }
    }

    /// An order that is under way where the record begins, in that state.
    pub fn begins(
        &mut self,
        order: &KnownOrder,
        state: Option<OrderState>,
        of: &Instrument,
        (seq, at): (Seq, Stamp),
    ) {
        let KnownOrder { spec, kind, trade, attempt, sent, filled } = *order;
        let filled = Money::from_num(of.qty_num(filled));
        let row = Row {
            spec,
            kind,
            trade,
            attempt,
            qty: Money::from_num(of.qty_num(spec.qty)),
            price: Money::from_num(of.price_num(spec.price)),
            mid: Price(0),
            fate: if sent { Fate::Sent } else { Fate::None },
            state,
            filled,
            before: Some(filled),
            at,
            seq,
        };
        self.report.under_way += 1;
        if !sent {
            self.baskets.entry((trade.0, attempt, kind as u8)).or_default().push(spec.client_id);
        }
        self.orders.insert(spec.client_id, row);
    }

    pub fn approved(
        &mut self,
        basket: &Basket,
        instruments: &BTreeMap<u16, Instrument>,
        seq: Seq,
        at: Stamp,
    ) {
        let key = (basket.trade.0, basket.attempt, basket.kind as u8);
        for (leg, spec) in basket.orders().iter().enumerate() {
            self.report.approved += 1;
            let instrument = instruments.get(&spec.instrument.0).copied().unwrap_or_default();
            let row = Row {
                spec: *spec,
                kind: basket.kind,
                trade: basket.trade,
                attempt: basket.attempt,
                qty: Money::from_num(instrument.qty_num(spec.qty)),
                price: Money::from_num(instrument.price_num(spec.price)),
                mid: basket.mids[leg],
                fate: Fate::None,
                state: None,
                filled: Money::ZERO,
                before: None,
                at,
                seq,
            };
            // A repeated id is the checker's finding; the first order keeps its row.
            self.orders.entry(spec.client_id).or_insert(row);
            self.baskets.entry(key).or_default().push(spec.client_id);
        }
    }

    pub fn denied(&mut self, denial: &Denial) {
        for id in
            self.baskets.remove(&(denial.trade.0, denial.attempt, denial.kind as u8)).unwrap_or_default()
        {
            self.fate(id, Fate::Denied);
        }
    }

    pub fn outcome(&mut self, outcome: &SendOutcome) {
        let Some(order) = &outcome.order else { return };
        let fate = match outcome.fate {
            SendFate::Sent | SendFate::Handed => Fate::Sent,
            SendFate::Refused(_) | SendFate::Withdrawn(_) => Fate::Refused,
            SendFate::Unknown => Fate::Unknown,
        };
        self.fate(order.client_id, fate);
        if let Some(row) = self.orders.get(&order.client_id) {
            let key = (row.trade.0, row.attempt, row.kind as u8);
            self.baskets.remove(&key);
        }
    }

    fn fate(&mut self, id: ClientId, fate: Fate) {
        if let Some(row) = self.orders.get_mut(&id) {
            row.fate = fate;
        }
    }

    pub fn update(&mut self, update: &OrderUpdate, instrument: Option<&Instrument>, seq: Seq, at: Stamp) {
        let qty = instrument.map_or(Money::ZERO, |i| Money::from_num(i.qty_num(update.fill_qty)));
        if let Some(row) = self.orders.get_mut(&update.client_id) {
            row.state = Some(update.state);
            row.filled += qty;
        }
        if update.fill_qty.0 <= 0 {
            return;
        }
        match update.client_id {
            ClientId::NONE => self.report.strays += 1,
            _ => self.report.fills += 1,
        }
        if let Some(fills) = &mut self.fills {
            fills.push(FillRow {
                seq,
                at: at.wall,
                order: update.client_id,
                venue: update.venue,
                instrument: update.instrument,
                trade_id: update.trade_id,
                side: update.side,
                qty,
                price: instrument.map_or(Money::ZERO, |i| Money::from_num(i.price_num(update.fill_price))),
                fee: update.fee,
            });
        }
    }

    /// The record ends at `end`.
    pub fn finish(&mut self, end: Stamp, findings: &mut Findings) {
        let report = &mut self.report;
        for (id, row) in &self.orders {
            let age = end.mono - row.at.mono;
            match row.fate {
                Fate::None => {
                    report.without_fate += 1;
                    if age > FATE_WITHIN && row.state.is_none() {
                        let detail = format!(
                            "approved {}.{:09} s before the record ends, neither sent nor refused nor denied",
                            age / SECOND,
                            age % SECOND
                        );
                        findings.add(
                            "orders",
                            "approved_unaccounted",
                            (row.seq, row.at.wall),
                            id.to_string(),
                            detail,
                        );
                    }
                    continue;
                }
                Fate::Denied => report.denied += 1,
                Fate::Refused => report.refused += 1,
                Fate::Sent => report.sent += 1,
                Fate::Unknown => report.perhaps_sent += 1,
            }
            if matches!(row.fate, Fate::Denied | Fate::Refused) {
                continue;
            }
            match row.state {
                Some(OrderState::Filled) => report.filled += 1,
                Some(OrderState::Canceled | OrderState::Expired) => report.canceled += 1,
                Some(OrderState::Rejected) => report.rejected += 1,
                state => {
                    report.open_at_end += 1;
                    if age > END_WITHIN {
                        let detail =
                            format!("{} s after it was approved its state is {state:?}", age / SECOND);
                        findings.add(
                            "orders",
                            "order_without_end",
                            (row.seq, row.at.wall),
                            id.to_string(),
                            detail,
                        );
                    }
                }
            }
        }
    }
}
