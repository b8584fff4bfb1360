//! What a checker knows where it stands, for those who go on from there with it: contracts, orders, legs that stand alone.

use super::Checker;
use super::orders::Known;
use crate::domain::instrument::{Instrument, Qty};
use crate::domain::intent::{BasketKind, TradeId};
use crate::domain::money::Amount;
use crate::domain::order::{ClientId, OrderSpec};
use crate::domain::time::Nanos;

/// An approved order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownOrder {
    /// As approved, or as amended since.
    pub spec: OrderSpec,
    /// Why it was sent.
    pub kind: BasketKind,
    /// The trade it belongs to.
    pub trade: TradeId,
    /// Number of its basket within the trade.
    pub attempt: u16,
    /// It was handed to a socket, or may have been.
    pub sent: bool,
    /// Its fills so far.
    pub filled: Qty,
}

impl Checker {
    /// Contracts as they were stated last.
    pub fn instruments(&self) -> impl Iterator<Item = &Instrument> {
        self.instruments.values()
    }

    /// Orders that are neither denied nor refused nor ended, by their ids.
    pub fn open_orders(&self) -> impl Iterator<Item = KnownOrder> + '_ {
        self.orders.open_ids().filter_map(|id| self.order_of(id))
    }

    /// An order that is open, or one of those that ended last.
    pub fn order_of(&self, id: ClientId) -> Option<KnownOrder> {
        self.orders.get(id).map(Known::told)
    }

    /// The order of the run `epoch` that was approved last: ids grow.
    pub fn last_order(&self, epoch: u64) -> Option<ClientId> {
        self.orders.ids().rev().find(|id| id.epoch() == epoch)
    }

    /// The net base amount of a trade by its own fills, and since when (`mono`) that is more than dust.
    pub fn residual_of(&self, trade: TradeId) -> Option<(Amount, Option<Nanos>)> {
        self.residuals.of(trade)
    }
}
