//! Admitted baskets until their last order is closed: reservations, open quantities, trades, failures; and
//! orders that nobody here admitted.

use super::trades::Verdict;
use super::{Admission, CANCEL_RETRY, CLOSED_MAX, Flight, Risk, RiskOut, Stray, Tracked};
use crate::core::order::entry::NEVER;
use crate::core::position::{mul_div, mul_div_up};
use crate::domain::event::FlowBody;
use crate::domain::intent::{Basket, BasketKind, Denial, DenyReason, Intent, OrderRef, TradeId};
use crate::domain::order::{ClientId, OrderState, OrderUpdate};
use crate::domain::time::Nanos;

impl Risk {
    /// Reserves and follows an admitted basket.
    pub(super) fn bind(&mut self, basket: &Basket, admission: &Admission, now: Nanos) {
        // Room was checked.
        let Some(at) = self.flights.iter().position(|flight| flight.serial == 0) else { return };
        self.serial += 1;
        self.flights_live += 1;
        let mut flight = Flight {
            serial: self.serial,
            trade: basket.trade,
            attempt: basket.attempt,
            kind: basket.kind,
            len: basket.len,
            live: basket.len,
            ..Flight::default()
        };
        for (leg, order) in basket.orders().iter().enumerate() {
            let Some(slot) = self.orders_free.pop() else { continue };
            let (account, margin) = admission.margins[leg];
            self.capital.reserve(account, margin);
            self.orders[slot as usize] = Tracked {
                spec: *order,
                terms: order.terms(),
                pending: None,
                attempt: Default::default(),
                replaces: ClientId::NONE,
                leaves: order.qty.0,
                account,
                margin,
                reserved: margin,
                basket: at as u32,
                leg: leg as u8,
                cancel_due: NEVER,
                open_at: self.open.len() as u32,
            };
            self.open.push(slot);
            // As large as the table of orders.
            let _ = self.orders_index.set(order.client_id.0, slot);
            flight.orders[leg] = order.client_id;
            self.exposure.set_price(order.instrument, basket.mids[leg].max(order.price));
            self.exposure.add_open(order.instrument, order.side, order.qty.0);
            self.refresh(order.instrument);
            self.rate.push(now);
            self.digest.mix_wide(order.client_id.0 as i128);
        }
        self.flights[at] = flight;
        self.trades.begin(basket.trade);
    }

    pub(super) fn on_update(&mut self, update: &OrderUpdate, now: Nanos, out: &mut RiskOut) {
        if let Some(slot) = self.orders_index.get(update.client_id.0) {
            self.on_own_update(slot, update);
        } else if let Some(trade) = self.closed.get(update.client_id.0) {
            self.book_trade(TradeId(trade), update);
        } else if update.client_id != ClientId::NONE {
            self.on_stray(update, now, out);
        }
        self.positions.on_update(update);
        self.refresh(update.instrument);
    }

    fn on_own_update(&mut self, slot: u32, update: &OrderUpdate) {
        let order = &mut self.orders[slot as usize];
        let terminal = update.state.is_terminal();
        // From our own order, not `update.leaves`: the ledger may hear of an order before it knows its size.
        let leaves = if terminal { 0 } else { (order.spec.qty.0 - update.filled.0).clamp(0, order.leaves) };
        self.exposure.add_open(order.spec.instrument, order.spec.side, leaves - order.leaves);
        order.leaves = leaves;
        let keep = mul_div_up(order.margin, leaves, order.spec.qty.0).min(order.reserved);
        let freed = order.reserved - keep;
        let filled = mul_div(order.margin, update.fill_qty.0, order.spec.qty.0).min(freed);
        order.reserved = keep;
        let (account, basket, leg) = (order.account, order.basket as usize, usize::from(order.leg));
        self.capital.release(account, filled, true);
        self.capital.release(account, freed - filled, false);

        let flight = &mut self.flights[basket];
        flight.heard = true;
        flight.filled[leg] |= update.fill_qty.0 > 0;
        flight.rejected |= update.state == OrderState::Rejected;
        let trade = flight.trade;
        self.book_trade(trade, update);
        if terminal {
            self.close(slot, trade);
            let flight = &mut self.flights[basket];
            flight.live -= 1;
            if flight.live == 0 {
                self.land(basket);
            }
        }
    }

    /// All orders of a basket are closed: a reject or a lone leg is a failure, nothing at all is a miss.
    fn land(&mut self, at: usize) {
        let flight = std::mem::take(&mut self.flights[at]);
        self.flights_live -= 1;
        let filled = &flight.filled[..usize::from(flight.len)];
        let lone_leg = filled.contains(&true) && filled.contains(&false);
        let failed = flight.kind == BasketKind::Entry && (flight.rejected || lone_leg);
        let positions = &self.positions;
        let (newly_failed, verdict) =
            self.trades.finish(flight.trade, failed, |id| positions.instrument(id).copied());
        if newly_failed || verdict == Some(Verdict::Lost) {
            self.failures = self.failures.saturating_add(1);
        } else if verdict == Some(Verdict::Won) {
            self.failures = 0;
        }
        self.digest.mix(u64::from(self.failures));
    }

    /// A basket was denied after we admitted it: nothing of it was sent. Our own denials bound nothing.
    pub(super) fn on_denied(&mut self, denial: &Denial) {
        if denial.reason != DenyReason::RouteUnavailable {
            return;
        }
        if denial.kind == BasketKind::Amend {
            self.on_amend_denied(denial);
        }
        let concerned = |flight: &&Flight| {
            flight.serial > 0
                && !flight.heard
                && (flight.trade, flight.attempt, flight.kind) == (denial.trade, denial.attempt, denial.kind)
        };
        let Some(serial) = self.flights.iter().filter(concerned).map(|flight| flight.serial).min() else {
            return;
        };
        let Some(at) = self.flights.iter().position(|flight| flight.serial == serial) else { return };
        let flight = std::mem::take(&mut self.flights[at]);
        self.flights_live -= 1;
        for id in &flight.orders[..usize::from(flight.len)] {
            let Some(slot) = self.orders_index.get(id.0) else { continue };
            let order = self.orders[slot as usize];
            self.capital.release(order.account, order.reserved, false);
            self.exposure.add_open(order.spec.instrument, order.spec.side, -order.leaves);
            self.close(slot, flight.trade);
            self.refresh(order.spec.instrument);
        }
        let positions = &self.positions;
        self.trades.finish(flight.trade, false, |id| positions.instrument(id).copied());
    }

    /// An order that is live although it was not admitted here: cancel it, and admit no entry on its venue
    /// until it is closed.
    fn on_stray(&mut self, update: &OrderUpdate, now: Nanos, out: &mut RiskOut) {
        let at = self.strays.iter().position(|stray| stray.order.client_id == update.client_id);
        let Some(venue) = self.venues.get_mut(update.venue.index()) else { return };
        match at {
            Some(at) if update.state.is_terminal() => {
                self.strays.swap_remove(at);
                venue.strays = venue.strays.saturating_sub(1);
            }
            None if !update.state.is_terminal() => {
                let OrderUpdate { client_id, venue: at, instrument, .. } = *update;
                let order = OrderRef { client_id, venue: at, instrument };
                venue.strays += 1;
                self.strays.push(Stray { order, cancel_due: now + CANCEL_RETRY });
                self.cancel_due = self.cancel_due.min(now + CANCEL_RETRY);
                out.flows.push(FlowBody::Intent(Intent::Cancel(order)));
            }
            _ => {}
        }
    }

    fn book_trade(&mut self, trade: TradeId, update: &OrderUpdate) {
        if update.fill_qty.0 > 0
            && let Some(instrument) = self.positions.instrument(update.instrument)
        {
            let (exact, estimated) = self.positions.fee_of(instrument, update);
            self.trades.book(trade, update, instrument, exact + estimated);
        }
    }

    /// Forgets a closed order, whose reservation was given back; its late fills still count for the trade.
    fn close(&mut self, slot: u32, trade: TradeId) {
        let order = std::mem::take(&mut self.orders[slot as usize]);
        let id = order.spec.client_id;
        self.orders_index.remove(id.0);
        if self.closed_order.len() >= CLOSED_MAX
            && let Some(oldest) = self.closed_order.pop_front()
        {
            self.closed.remove(oldest.0);
        }
        self.closed_order.push_back(id);
        // As large as the queue.
        let _ = self.closed.set(id.0, trade.0);
        self.open.swap_remove(order.open_at as usize);
        if let Some(moved) = self.open.get(order.open_at as usize) {
            self.orders[*moved as usize].open_at = order.open_at;
        }
        self.orders_free.push(slot);
    }
}
