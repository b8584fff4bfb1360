//! The checker's own positions, exposure and trade residuals, from fills alone.

use crate::domain::carry::CarriedPosition;
use crate::domain::event::PositionReport;
use crate::domain::instrument::{Instrument, InstrumentId, Price, Qty};
use crate::domain::intent::TradeId;
use crate::domain::money::{Amount, Money};
use crate::domain::number::POW10;
use crate::domain::order::{OrderSpec, OrderUpdate, Side};
use crate::domain::time::Nanos;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A position before and after a fill, contracts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moved {
    pub before: i64,
    pub after: i64,
}

impl Moved {
    pub fn enlarged(self) -> bool {
        self.after.abs() > self.before.abs()
    }

    pub fn turned(self) -> bool {
        self.before.signum() * self.after.signum() < 0
    }
}

/// Absolute notionals that concern a listing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Value {
    pub listing: Money,
    pub venue: Money,
    pub gross: Money,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Position {
    qty: i64,
    price: Price,
    known: bool,
}

/// Positions of all listings.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Exposure {
    positions: BTreeMap<u16, Position>,
}

impl Exposure {
    /// The venue's first statement of a position, before any fill of ours, is where it starts.
    pub fn baseline(&mut self, report: &PositionReport) {
        let position = self.positions.entry(report.instrument.0).or_default();
        if !position.known {
            position.qty = report.qty;
            position.known = true;
        }
    }

    /// What the run before held is where it starts.
    pub fn carried(&mut self, carried: &CarriedPosition) {
        let price = carried.mark.unwrap_or_default();
        let position = Position { qty: carried.qty + carried.base.unwrap_or(0), price, known: true };
        self.positions.insert(carried.instrument.0, position);
    }

    /// A new generation may have other scales.
    pub fn instrument(&mut self, old: Option<&Instrument>, new: &Instrument) {
        let (Some(old), Some(position)) = (old, self.positions.get_mut(&new.id.0)) else { return };
        position.qty = rescaled(position.qty, old.qty_scale, new.qty_scale);
        position.price = Price(rescaled(position.price.0, old.price_scale, new.price_scale));
    }

    pub fn fill(&mut self, update: &OrderUpdate, instruments: &BTreeMap<u16, Instrument>) -> Moved {
        let position = self.positions.entry(update.instrument.0).or_default();
        let before = position.qty;
        position.qty += update.side.sign() * update.fill_qty.0;
        position.known = true;
        if update.fill_price.0 > 0 && instruments.contains_key(&update.instrument.0) {
            position.price = update.fill_price;
        }
        Moved { before, after: position.qty }
    }

    /// Sums over all listings, each valued at its last fill.
    pub fn value(&self, id: InstrumentId, instruments: &BTreeMap<u16, Instrument>) -> Value {
        let mut value = Value::default();
        let venue = instruments.get(&id.0).map(|i| i.venue);
        for (listing, position) in &self.positions {
            let Some(instrument) = instruments.get(listing) else { continue };
            let notional = instrument.notional(Qty(position.qty), position.price).abs();
            value.gross += notional;
            if Some(instrument.venue) == venue {
                value.venue += notional;
            }
            if *listing == id.0 {
                value.listing = notional;
            }
        }
        value
    }
}

fn rescaled(value: i64, from: u8, to: u8) -> i64 {
    let factor = |digits: u8| POW10.get(usize::from(digits)).copied().unwrap_or(i64::MAX);
    if to >= from { value.saturating_mul(factor(to - from)) } else { value / factor(from - to) }
}

/// A trade's net base amount over all its legs.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Residual {
    net: Amount,
    /// What counts as flat: one step of the coarsest leg.
    dust: Amount,
    since: Option<Nanos>,
}

/// Residuals of all trades.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Residuals {
    trades: BTreeMap<u32, Residual>,
    pub notional_max: Money,
    pub longest_ns: Nanos,
}

impl Residuals {
    pub fn fill(&mut self, trade: TradeId, update: &OrderUpdate, instrument: &Instrument, now: Nanos) {
        let residual = self.trades.entry(trade.0).or_default();
        let amount = instrument.base_amount(update.fill_qty, update.fill_price);
        match update.side {
            Side::Buy => residual.net += amount,
            Side::Sell => residual.net -= amount,
        }
        residual.dust = residual.dust.max(instrument.base_amount(Qty(instrument.step), update.fill_price));
        if residual.net.abs() <= residual.dust {
            if let Some(since) = residual.since.take() {
                self.longest_ns = self.longest_ns.max(now - since);
            }
            return;
        }
        residual.since.get_or_insert(now);
        self.notional_max =
            self.notional_max.max(at_price(residual.net.abs(), update.fill_price, instrument));
    }

    /// A trade's net base amount, and since when it is more than dust.
    pub fn of(&self, trade: TradeId) -> Option<(Amount, Option<Nanos>)> {
        self.trades.get(&trade.0).map(|residual| (residual.net, residual.since))
    }

    /// Whether an order of a hedge would leave its trade further from flat than it is.
    pub fn enlarges(&self, trade: TradeId, order: &OrderSpec, instrument: &Instrument) -> bool {
        let residual = self.trades.get(&trade.0).copied().unwrap_or_default();
        let amount = instrument.base_amount(order.qty, order.price);
        let after = match order.side {
            Side::Buy => residual.net + amount,
            Side::Sell => residual.net - amount,
        };
        let step = instrument.base_amount(Qty(instrument.step), order.price);
        after.abs() > residual.net.abs() + residual.dust.max(step)
    }

    /// The record ends at `now`: how many trades are unhedged then.
    pub fn end(&mut self, now: Nanos) -> u64 {
        let open: Vec<Nanos> = self.trades.values().filter_map(|residual| residual.since).collect();
        let longest = open.iter().map(|since| now - since).max().unwrap_or(0);
        self.longest_ns = self.longest_ns.max(longest);
        open.len() as u64
    }
}

/// A base amount in the quote currency.
fn at_price(amount: Amount, price: Price, instrument: &Instrument) -> Money {
    let unit = i128::from(POW10[usize::from(instrument.price_scale).min(18)]);
    Money(amount.0.saturating_mul(i128::from(price.0)) / unit)
}
