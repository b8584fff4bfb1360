//! Amendments: the checks of an opening order for what they add, and the worst of both terms until the venue's
//! word is known. A refused amendment leaves the order as it is.

use super::{Admission, Risk, RiskOut, Tracked};
use crate::core::limits::{
    Checked, Decide, Judge, RiskCheck as C, TradingState, URGENT_SIZE_FACTOR, Violation, order_valid,
};
use crate::core::order::entry::NEVER;
use crate::core::position::mul_div_up;
use crate::domain::event::FlowBody;
use crate::domain::instrument::{Instrument, Price, Qty};
use crate::domain::intent::{Amend, Basket, BasketKind, Denial, Intent, Replace};
use crate::domain::money::Money;
use crate::domain::order::{AmendUpdate, ClientId, OrderSpec, OrderTerms, TimeInForce};
use crate::domain::params::RiskParams;
use crate::domain::time::Stamp;

impl Risk {
    /// Admits an amendment, and counts the larger order from now on; or denies it.
    pub(super) fn on_amend(&mut self, amend: &Amend, at: Stamp, out: &mut RiskOut) {
        let Amend { trade, attempt, to, .. } = *amend;
        self.digest.mix(u64::from(trade.0) << 16 | u64::from(attempt));
        match self.admit_amend(amend, at) {
            Ok(slot) => {
                self.digest.mix(to.qty.0 as u64);
                self.digest.mix(to.price.0 as u64);
                self.rate.push(at.mono);
                let order = &mut self.orders[slot as usize];
                (order.pending, order.attempt) = (Some(to.terms()), (trade, attempt));
                self.rebind(slot);
                out.flows.push(FlowBody::Intent(Intent::Amend(*amend)));
            }
            Err(Violation { reason, value, limit, .. }) => {
                self.digest.mix(reason as u64);
                let kind = BasketKind::Amend;
                out.denials.push(Denial { trade, attempt, kind, reason, leg: 0, value, limit });
            }
        }
    }

    /// The ledger says what the order works with, and what it may have become.
    pub(super) fn on_amended(&mut self, update: &AmendUpdate) {
        let Some(slot) = self.orders_index.get(update.client_id.0) else { return };
        let order = &mut self.orders[slot as usize];
        (order.terms, order.pending) = (update.terms, update.pending);
        self.digest.mix(update.terms.qty.0 as u64);
        self.rebind(slot);
    }

    /// Route could not send it: the order is as before.
    pub(super) fn on_amend_denied(&mut self, denial: &Denial) {
        let concerned = |slot: &&u32| {
            let order = &self.orders[**slot as usize];
            order.pending.is_some() && order.attempt == (denial.trade, denial.attempt)
        };
        if let Some(slot) = self.open.iter().find(concerned).copied() {
            self.orders[slot as usize].pending = None;
            self.rebind(slot);
        }
    }

    /// Open quantity and margin of an order follow its terms: the worst of what it is and may be.
    fn rebind(&mut self, slot: u32) {
        let order = self.orders[slot as usize];
        let filled = order.filled();
        let worst = order.worst();
        let leaves = (worst.0 - filled).max(0);
        let price = |price| self.margin(&OrderSpec { price, qty: Qty(worst.0), ..order.spec }).1;
        let margin = price(worst.1[0]).max(price(worst.1[1]));
        let reserved =
            if worst.0 > 0 { mul_div_up(margin, leaves, worst.0).min(margin) } else { Money::ZERO };
        if reserved > order.reserved {
            self.capital.reserve(order.account, reserved - order.reserved);
        } else {
            self.capital.release(order.account, order.reserved - reserved, false);
        }
        let OrderSpec { instrument, side, .. } = order.spec;
        self.exposure.add_open(instrument, side, leaves - order.leaves);
        self.exposure.set_price(instrument, worst.1[0].max(worst.1[1]));
        let order = &mut self.orders[slot as usize];
        (order.spec.qty, order.leaves, order.margin, order.reserved) =
            (Qty(worst.0), leaves, margin, reserved);
        order.spec.price = order.terms.price;
        self.refresh(instrument);
    }

    /// Every check; the slot of the order.
    fn admit_amend(&self, amend: &Amend, at: Stamp) -> Result<u32, Violation> {
        self.examine_amend(amend, at, &mut Decide)
    }

    /// Every check in its turn; the slot of the order.
    pub(super) fn examine_amend(
        &self,
        amend: &Amend,
        at: Stamp,
        judge: &mut impl Judge,
    ) -> Result<u32, Violation> {
        let to = &amend.to;
        let (slot, instrument) = self.amendable(to.client_id, to, judge)?;
        let order = &self.orders[slot as usize];
        let filled = order.filled();
        order_valid(0, to, instrument, judge)?;
        let more = to.qty.0 - order.spec.qty.0;
        let safe = to.reduce_only;
        self.check_amend_state(to, more, judge)?;
        self.check_venue(0, to, safe, at, judge)?;
        let factor = if safe { URGENT_SIZE_FACTOR } else { 1 };
        let limit = RiskParams::money(self.params.order_notional_max_usd.saturating_mul(factor));
        let notional = instrument.notional(to.qty, to.price);
        judge.see(Checked::leg(C::Notional, 0, notional, limit, notional <= limit))?;
        let mut basket = amend.as_basket(instrument.canonical);
        self.check_books(&basket, safe, safe, judge)?;
        if safe {
            return Ok(slot);
        }
        if more > 0 {
            // What it adds must have room beside everything that is open.
            basket.legs[0].qty = Qty(more);
            self.check_exposure(&basket, false, judge)?;
        }
        let (account, margin) = self.margin(to);
        let needed = mul_div_up(margin, to.qty.0 - filled, to.qty.0) - order.reserved;
        if needed > Money::ZERO {
            self.capital.check(&[(account, needed)], judge)?;
        }
        self.check_pace(at, judge)?;
        Ok(slot)
    }

    /// An order of ours that may become as `to` says, and its contract.
    fn amendable(
        &self,
        id: ClientId,
        to: &OrderSpec,
        judge: &mut impl Judge,
    ) -> Result<(u32, &Instrument), Violation> {
        let units = |value: i64| Money::from_units(value);
        let slot = self.orders_index.get(id.0);
        let (Some(slot), Some(instrument)) = (slot, self.positions.instrument(to.instrument)) else {
            return Err(judge.end(Checked::state(C::AmendOrder, 0, false)));
        };
        judge.see(Checked::state(C::AmendOrder, 0, true))?;
        let order = &self.orders[slot as usize];
        let is_same = |a: &OrderSpec, b: &OrderSpec| {
            (a.venue, a.instrument, a.side, a.tif, a.reduce_only)
                == (b.venue, b.instrument, b.side, b.tif, b.reduce_only)
        };
        let filled = order.filled();
        let rests = matches!(to.tif, TimeInForce::Gtc | TimeInForce::PostOnly);
        let changes = is_same(&order.spec, to) && rests && to.qty.0 > filled && order.terms != to.terms();
        judge.see(Checked::leg(C::AmendTerms, 0, units(to.qty.0), units(filled), changes))?;
        // One at a time, and none of an order that is being cancelled.
        let replaced = || self.open.iter().any(|slot| self.orders[*slot as usize].replaces == id);
        let alone = order.pending.is_none() && order.cancel_due == NEVER && !replaced();
        judge.see(Checked::whole(C::AmendPending, units(if alone { 1 } else { 2 }), units(1), alone))?;
        Ok((slot, instrument))
    }

    /// Admits the order that takes another one's place, and counts both until the venue has stated the end of the old
    /// one: what the old one fills while the request is on its way comes on top. Or denies it, and the old one stays.
    pub(super) fn on_replace(&mut self, replace: &Replace, at: Stamp, out: &mut RiskOut) {
        let Amend { trade, attempt, .. } = replace.with;
        self.digest.mix(u64::from(trade.0) << 16 | u64::from(attempt));
        match self.examine_replace(replace, at, &mut Decide) {
            Ok((basket, admission)) => {
                let to = basket.legs[0];
                self.digest.mix(to.qty.0 as u64);
                self.digest.mix(to.price.0 as u64);
                self.bind(&basket, &admission, at.mono);
                if let Some(slot) = self.orders_index.get(to.client_id.0) {
                    self.orders[slot as usize].replaces = replace.old;
                }
                let with = Amend { to, ..replace.with };
                out.flows.push(FlowBody::Intent(Intent::Replace(Replace { with, ..*replace })));
            }
            Err(Violation { reason, value, limit, .. }) => {
                self.digest.mix(reason as u64);
                let kind = BasketKind::Amend;
                out.denials.push(Denial { trade, attempt, kind, reason, leg: 0, value, limit });
            }
        }
    }

    /// Every check in its turn; the new order, less what the old one has filled of the total that is asked for.
    pub(super) fn examine_replace(
        &self,
        replace: &Replace,
        at: Stamp,
        judge: &mut impl Judge,
    ) -> Result<(Basket, Admission), Violation> {
        let mut with = replace.with;
        let (slot, instrument) = self.amendable(replace.old, &with.to, judge)?;
        with.to.qty = Qty((with.to.qty.0 - self.orders[slot as usize].filled()).max(0));
        let basket = with.as_basket(instrument.canonical);
        self.examine(&basket, at, judge).map(|admission| (basket, admission))
    }

    /// While trading is stopped nothing but reduce-only orders is amended; while it is reduced, only what makes
    /// an order smaller.
    fn check_amend_state(&self, to: &OrderSpec, more: i64, judge: &mut impl Judge) -> Result<(), Violation> {
        let whole = |check, passed| Checked::whole(check, Money::ZERO, Money::ZERO, passed);
        let is_killed = self.killed || self.venues.get(to.venue.index()).is_some_and(|venue| venue.killed);
        let (state, exempt) = (self.state(), to.reduce_only);
        judge.see(whole(C::Kill, exempt || !is_killed))?;
        judge.see(whole(C::Halt, exempt || state != TradingState::Halted))?;
        judge.see(whole(C::Reducing, exempt || state != TradingState::Reducing || more < 0))
    }

    /// Orders of the last second, and the results.
    fn check_pace(&self, at: Stamp, judge: &mut impl Judge) -> Result<(), Violation> {
        let units = Money::from_units;
        let (count, most) = (self.rate.count(at.mono) + 1, self.params.order_rate_per_s_max);
        let (value, limit) = (units(count as i64), units(i64::from(most)));
        judge.see(Checked::whole(C::OrderRate, value, limit, count <= most as usize))?;
        self.check_results(judge)
    }
}

impl Tracked {
    /// What of it has filled.
    const fn filled(&self) -> i64 {
        self.spec.qty.0 - self.leaves
    }

    /// The largest quantity, and the prices, that the order has or may have.
    fn worst(&self) -> (i64, [Price; 2]) {
        let OrderTerms { price, qty } = self.terms;
        let pending = self.pending.unwrap_or(self.terms);
        (qty.0.max(pending.qty.0), [price, pending.price])
    }
}
