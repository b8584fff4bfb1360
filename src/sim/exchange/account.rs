//! Accounts: one wallet in the settlement currency, one net position per listing, exact to 10⁻¹⁸.
//!
//! Σ over all accounts of (wallet − cost of open positions) plus the house's fees never changes except by
//! deposits: what one side gains the other has lost, whatever is rounded.

use super::listing::{Listing, MoneyText};
use super::types::{OrderId, Position, Side, Steps, Ticks};
use crate::domain::money::Money;
use crate::domain::time::Nanos;
use std::collections::BTreeSet;

/// An account.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// Name in ledgers (never a key).
    pub name: String,
    /// Wallet balance: deposits + realised PnL − fees + funding.
    pub wallet: Money,
    /// What was put in.
    pub deposits: Money,
    /// Per listing.
    pub positions: Vec<Position>,
    /// Open orders.
    pub open: BTreeSet<OrderId>,
    /// Wall time of the last change, ns.
    pub updated: Nanos,
}

impl Account {
    pub(crate) fn new(name: String, deposit: Money, listings: usize, now: Nanos) -> Self {
        Self {
            name,
            wallet: deposit,
            deposits: deposit,
            positions: vec![Position::default(); listings],
            open: BTreeSet::new(),
            updated: now,
        }
    }

    /// Books a fill of `qty` at `price` with `fee`; returns the PnL that it realised.
    ///
    /// PnL of a partial close is by average cost, cut to `decimals` towards zero; what is cut stays in the
    /// cost of the rest, and the last close takes it all, so nothing is lost.
    pub(crate) fn book(
        &mut self,
        listing: (usize, &Listing),
        side: Side,
        fill: (Ticks, Steps),
        fee: Money,
        decimals: u8,
        now: Nanos,
    ) -> Money {
        let (index, listing) = listing;
        let (price, qty) = fill;
        let sign = i128::from(side.sign());
        let cost = |qty| Money(sign * listing.cost(listing.settled(price, qty)).0);
        let position = &mut self.positions[index];
        let closed = if position.qty * side.sign() < 0 { qty.min(position.qty.abs()) } else { 0 };
        let mut realised = Money::ZERO;
        if closed > 0 {
            let proceeds = -cost(closed);
            if closed == position.qty.abs() {
                realised = proceeds - position.cost;
                position.cost = Money::ZERO;
            } else {
                let share = Money(position.cost.0 * i128::from(closed) / i128::from(position.qty.abs()));
                realised = (proceeds - share).cut(decimals);
                position.cost -= proceeds - realised;
            }
            position.qty += side.sign() * closed;
        }
        position.qty += side.sign() * (qty - closed);
        // Not the cost of the opened part alone: what is cut off inverse values must not be lost.
        position.cost += cost(qty) - cost(closed);
        position.realised += realised;
        position.fees += fee;
        position.updated = now;
        self.wallet += realised - fee;
        self.updated = now;
        realised
    }

    /// Unrealised PnL of a position at the mark.
    pub fn unrealised(&self, index: usize, listing: &Listing) -> Money {
        let position = &self.positions[index];
        if position.qty == 0 {
            return Money::ZERO;
        }
        (listing.cost(listing.settled_at_mark(position.qty)) - position.cost).cut(8)
    }

    /// Unrealised PnL of all positions at the marks.
    pub fn unrealised_all(&self, listings: &[Listing]) -> Money {
        let mut sum = Money::ZERO;
        for (index, listing) in listings.iter().enumerate() {
            sum += self.unrealised(index, listing);
        }
        sum
    }
}
