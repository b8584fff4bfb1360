//! What trades have left over, and what was filled after them: closed once an order can do that.
//!
//! A residual that is large enough becomes a trade of its own. Where no slot is free for it, and where a trade ends
//! and leaves so much behind, a timer comes back to it: nothing held is ever without somebody who closes it.

use super::{Desk, Floor};
use crate::core::trade::measure::order_min;
use crate::core::trade::{ExitReason, Leg, Phase, Trade};
use crate::domain::intent::TradeId;
use crate::domain::time::Nanos;

impl Desk {
    /// Opens the trade that closes a listing's residual. False when that has to wait for a free slot.
    pub(super) fn close_residual(&mut self, listing: u16, floor: &mut Floor<'_>) -> bool {
        let home = &mut floor.listings[usize::from(listing)];
        // A trade that uses the listing takes the residual along, or leaves it to the timer.
        if home.trade.is_some() || home.residual.abs() < order_min(&home.instrument) {
            return true;
        }
        if floor.modes.restart.awaits(home.params.venue) {
            return false;
        }
        let Some(pair) = home.pairs.first() else { return true };
        let Some(slot) = self.trades.iter().position(Option::is_none) else { return false };
        // A trade of one listing: the second leg names it too and stays empty.
        self.trade_last += 1;
        let mut trade = Trade {
            id: TradeId(self.trade_last),
            pair: *pair,
            canonical: home.params.canonical,
            legs: [Leg { listing, ..Leg::default() }; 2],
            mid: home.mid(),
            phase: Phase::Exiting,
            closing: Some(ExitReason::Residual),
            retry_at: floor.now.mono,
            ..Trade::default()
        };
        trade.legs[0].position = std::mem::take(&mut home.residual);
        trade.legs[0].side = trade.legs[0].closing_side().opposite();
        home.trade = Some(slot as u16);
        self.trades[slot] = Some(trade);
        self.open += 1;
        self.advance(slot, floor);
        true
    }

    /// Closes a listing's residual, now or once a slot is free.
    pub(super) fn close_residual_soon(&mut self, listing: u16, floor: &mut Floor<'_>) {
        if !self.close_residual(listing, floor) {
            self.residual_due = self.residual_due.min(floor.now.mono.saturating_add(floor.params.retry_ns));
        }
    }

    /// Closes every residual that an order can close.
    #[cold]
    pub(super) fn close_residuals(&mut self, floor: &mut Floor<'_>) {
        self.residual_due = Nanos::MAX;
        let mut waits = false;
        for listing in 0..floor.listings.len() {
            waits |= !self.close_residual(listing as u16, floor);
        }
        if waits {
            self.residual_due = floor.now.mono.saturating_add(floor.params.retry_ns.max(1));
        }
    }

    /// A trade that ends hands what it still holds over to its listings.
    pub(super) fn leave_behind(&mut self, slot: usize, floor: &mut Floor<'_>) {
        let Some(trade) = &mut self.trades[slot] else { return };
        for leg in &mut trade.legs {
            floor.listings[usize::from(leg.listing)].residual += std::mem::take(&mut leg.position);
        }
    }
}
