//! What a venue may change of a listing while it trades: its grid of prices, its lots, whether it trades at all.
//!
//! Prices and quantities stay whole ticks and steps of the configuration; a venue that makes its grid coarser states a
//! multiple of them and takes only what lies on it, so books and accounts need no conversion. Orders that rest keep
//! their price and quantity, as at the venues.

use super::Exchange;
use super::listing::Listing;
use super::types::{EndReason, ListingId, OrderId, OrderStatus, Steps, Ticks};
use crate::domain::number::Num;
use crate::domain::time::Nanos;
use serde::Deserialize;

/// By how much a changed grid or lot is coarser: a decimal less.
const COARSER: i64 = 10;

/// Whether a listing trades.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// It trades.
    #[default]
    Open,
    /// It takes only orders that reduce positions.
    Suspended,
    /// It is not in the venue's list; nobody quotes, no order is taken.
    Delisted,
}

/// What a venue states of a listing and may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Ticks in a price step.
    pub grid: Ticks,
    /// Steps in a quantity step.
    pub lot: Steps,
    /// Whether it trades.
    pub standing: Standing,
}

impl Default for Terms {
    fn default() -> Self {
        Self { grid: 1, lot: 1, standing: Standing::Open }
    }
}

/// A change of a listing on request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Price steps are ten times as large.
    Tick,
    /// Quantity steps, and with them the least quantity, are ten times as large.
    Lot,
    /// Only orders that reduce positions are taken.
    Suspended,
    /// The listing leaves the list of the venue.
    Delisted,
}

impl Change {
    /// Every change.
    pub const ALL: [Self; 4] = [Self::Tick, Self::Lot, Self::Suspended, Self::Delisted];

    /// As files write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tick => "tick",
            Self::Lot => "lot",
            Self::Suspended => "suspended",
            Self::Delisted => "delisted",
        }
    }

    /// Whether a venue of the dialect can make it. Hyperliquid's ticks follow from price and lot, and it knows no
    /// suspension.
    pub fn is_known_to(self, dialect: &str) -> bool {
        dialect != "hyperliquid" || matches!(self, Self::Lot | Self::Delisted)
    }
}

impl Listing {
    /// What the venue states at `now`.
    pub fn terms(&self, now: Nanos) -> Terms {
        let within = (self.suspended.0..self.suspended.1).contains(&now);
        let standing = match self.terms.standing {
            Standing::Open if within => Standing::Suspended,
            standing => standing,
        };
        Terms { standing, ..self.terms }
    }

    /// Whether it takes orders that open positions.
    pub fn is_trading(&self, now: Nanos) -> bool {
        self.terms(now).standing == Standing::Open
    }

    /// Whether it stands in the venue's list.
    pub fn is_listed(&self) -> bool {
        self.terms.standing != Standing::Delisted
    }

    /// Whether it takes an order; those that reduce are taken as long as it is listed, unless a venue's own rule
    /// (OKX) has refused them before.
    pub(super) fn takes(&self, reduce_only: bool, now: Nanos) -> bool {
        match self.terms(now).standing {
            Standing::Open => true,
            Standing::Suspended => reduce_only,
            Standing::Delisted => false,
        }
    }

    /// The price step that the venue states.
    pub fn stated_tick(&self) -> Num {
        Num::new(self.tick.mantissa * self.terms.grid, self.tick.scale).normalized()
    }

    /// The quantity step that the venue states, contracts.
    pub fn stated_step(&self) -> Num {
        Num::new(self.step.mantissa * self.terms.lot, self.step.scale).normalized()
    }

    /// The smallest quantity that the venue states: whole lots.
    pub fn stated_min(&self) -> Steps {
        up_to(self.qty_min, self.terms.lot)
    }

    /// A touch on the grid: down for bids, up for asks.
    pub(in crate::sim) fn on_grid(&self, bid: Ticks, ask: Ticks) -> (Ticks, Ticks) {
        let grid = self.terms.grid;
        let bid = (bid.div_euclid(grid) * grid).max(grid);
        (bid, up_to(ask, grid).max(bid + grid))
    }

    /// A distance of quotes: whole price steps, at least one.
    pub(in crate::sim) fn grid_gap(&self, gap: Ticks) -> Ticks {
        up_to(gap, self.terms.grid)
    }

    /// A quantity of whole lots, at least one.
    pub(in crate::sim) fn whole_lots(&self, qty: Steps) -> Steps {
        (qty / self.terms.lot * self.terms.lot).max(self.terms.lot)
    }
}

impl Exchange {
    /// Makes a change, or takes it back. Orders at a delisted contract are cancelled.
    pub fn change(&mut self, listing: ListingId, change: Change, made: bool, now: Nanos) {
        let Some(contract) = self.listings.get_mut(listing.index()) else { return };
        let size = if made { COARSER } else { 1 };
        match change {
            Change::Tick => contract.terms.grid = size,
            Change::Lot => contract.terms.lot = size,
            Change::Suspended | Change::Delisted if !made => contract.terms.standing = Standing::Open,
            Change::Suspended => contract.terms.standing = Standing::Suspended,
            Change::Delisted => contract.terms.standing = Standing::Delisted,
        }
        if contract.is_listed() {
            return;
        }
        let open = self.orders.values().filter(|order| order.listing == listing && order.status.is_open());
        let open: Vec<OrderId> = open.map(|order| order.id).collect();
        for id in open {
            self.end_resting(id, OrderStatus::Canceled, EndReason::Delisted, now);
        }
    }
}

/// The next multiple of `unit` from `value` upwards.
fn up_to(value: i64, unit: i64) -> i64 {
    (value + unit - 1).div_euclid(unit) * unit
}

#[cfg(test)]
mod tests {
    use super::super::tests::{BTC, CLIENT, exchange, order};
    use super::super::types::{NewOrder, Reject, Side};
    use super::*;

    #[test]
    fn a_coarser_grid_takes_only_what_lies_on_it_and_comes_back() {
        let mut x = exchange();
        x.change(BTC, Change::Tick, true, 1);
        x.change(BTC, Change::Lot, true, 1);
        let listing = x.listing(BTC);
        assert_eq!(
            (listing.stated_tick().to_string(), listing.stated_step().to_string()),
            ("1".into(), "0.01".into())
        );
        assert_eq!(listing.stated_min(), 10);
        assert_eq!((listing.parse_price("60000.5"), listing.parse_price("60001")), (None, Some(600_010)));
        assert_eq!((listing.parse_qty("0.015"), listing.parse_qty("0.02")), (None, Some(20)));
        assert_eq!(listing.on_grid(600_005, 600_006), (600_000, 600_010));
        assert_eq!((listing.grid_gap(15), listing.whole_lots(27), listing.whole_lots(3)), (20, 20, 10));
        assert_eq!(x.place(&order(CLIENT, Side::Buy, 599_990, 5), 2), Err(Reject::QtyTooSmall));
        x.change(BTC, Change::Tick, false, 3);
        x.change(BTC, Change::Lot, false, 3);
        let listing = x.listing(BTC);
        assert_eq!((listing.parse_price("60000.5"), listing.stated_min()), (Some(600_005), 1));
        assert!(x.place(&order(CLIENT, Side::Buy, 599_990, 5), 4).is_ok());
    }

    #[test]
    fn a_suspended_listing_takes_reductions_only_and_a_delisted_one_nothing() {
        let mut x = exchange();
        x.market_quote(BTC, Side::Sell, 600_000, 1_000, 0);
        x.market_quote(BTC, Side::Buy, 599_990, 1_000, 0);
        x.place(&order(CLIENT, Side::Buy, 600_000, 10), 1).unwrap();
        let resting = x.place(&order(CLIENT, Side::Buy, 599_000, 10), 1).unwrap();
        let reduce = NewOrder { reduce_only: true, ..order(CLIENT, Side::Sell, 599_990, 4) };
        x.change(BTC, Change::Suspended, true, 2);
        assert_eq!(x.place(&order(CLIENT, Side::Buy, 600_000, 10), 3), Err(Reject::Closed));
        assert!(x.place(&reduce, 3).is_ok());
        x.change(BTC, Change::Delisted, true, 4);
        assert_eq!(x.place(&reduce, 5), Err(Reject::Closed));
        let order = x.order(CLIENT, &super::super::types::OrderKey::Id(resting)).unwrap();
        assert_eq!((order.status, order.ended), (OrderStatus::Canceled, EndReason::Delisted));
        x.change(BTC, Change::Delisted, false, 6);
        assert!(x.place(&reduce, 7).is_ok());
    }
}
