//! Which checks apply to which basket, in order; see the table in the parent module. Changes nothing.
//!
//! One list for two readers: a decision ends at the first check that fails, an explanation hears all of them.

use super::{Admission, BASKETS_MAX, Risk};
use crate::core::band::is_beyond;
use crate::core::limits::{
    Checked, Decide, Judge, RiskCheck as C, TradingState, URGENT_AGE_FACTOR, URGENT_COLLAR_FACTOR,
    URGENT_SIZE_FACTOR, Violation, Witness, collar_ppb, order_valid,
};
use crate::core::order::LIVE_MAX;
use crate::domain::carry::Halt;
use crate::domain::instrument::{Price, Status};
use crate::domain::intent::{Amend, Basket, BasketKind, LEGS_MAX, Replace};
use crate::domain::money::Money;
use crate::domain::order::{ClientId, OrderSpec};
use crate::domain::params::RiskParams;
use crate::domain::time::{Nanos, Stamp};

impl Risk {
    /// Every check, in order; nothing is changed. One copy of its code, for orders and rehearsals.
    #[inline(never)]
    pub(super) fn admit(&self, basket: &Basket, at: Stamp) -> Result<Admission, Violation> {
        self.examine(basket, at, &mut Decide)
    }

    /// Every check of a basket as if it were decided at `at` on the state as it is, those behind the first that fails
    /// too. Allocates: for explanations, never for decisions.
    pub fn explain(&self, basket: &Basket, at: Stamp) -> Vec<Checked> {
        let mut witness = Witness::default();
        // What it ends with is among what was heard.
        let _ = self.at(at).examine(basket, at, &mut witness);
        witness.0
    }

    /// The same of an amendment.
    pub fn explain_amend(&self, amend: &Amend, at: Stamp) -> Vec<Checked> {
        let mut witness = Witness::default();
        let _ = self.at(at).examine_amend(amend, at, &mut witness);
        witness.0
    }

    /// The same of an order that takes another one's place.
    pub fn explain_replace(&self, replace: &Replace, at: Stamp) -> Vec<Checked> {
        let mut witness = Witness::default();
        let _ = self.at(at).examine_replace(replace, at, &mut witness);
        witness.0
    }

    /// As it is when a decision begins at `at`.
    fn at(&self, at: Stamp) -> Self {
        let mut then = self.clone();
        then.positions.on_time(at.wall);
        then
    }

    pub(super) fn examine(
        &self,
        basket: &Basket,
        at: Stamp,
        judge: &mut impl Judge,
    ) -> Result<Admission, Violation> {
        let legs = basket.orders();
        let (count, most) = (Money::from_units(i64::from(basket.len)), Money::from_units(LEGS_MAX as i64));
        let counted = !legs.is_empty() && usize::from(basket.len) <= LEGS_MAX;
        let checked = Checked::whole(C::Legs, count, most, counted);
        if !counted {
            return Err(judge.end(checked));
        }
        judge.see(checked)?;
        let reduce_only = legs.iter().all(|leg| leg.reduce_only);
        let hedge = basket.kind == BasketKind::Hedge && self.trades.reduces(basket, |id| self.listing(id));
        let safe = reduce_only || hedge;

        self.check_state(legs, reduce_only, safe, judge)?;
        for (leg, order) in legs.iter().enumerate() {
            self.check_venue(leg, order, safe, at, judge)?;
        }
        for (leg, order) in legs.iter().enumerate() {
            self.check_order(leg, order, basket, safe, judge)?;
        }
        self.check_books(basket, reduce_only, safe, judge)?;
        if !reduce_only {
            self.check_exposure(basket, hedge, judge)?;
        }
        let mut admission = Admission::default();
        for (leg, order) in legs.iter().enumerate() {
            admission.margins[leg] = self.margin(order);
        }
        if safe {
            return self.check_room(legs.len(), judge).map(|()| admission);
        }
        self.capital.check(&admission.margins[..legs.len()], judge)?;
        self.check_counts(legs.len(), at.mono, judge)?;
        self.check_room(legs.len(), judge).map(|()| admission)
    }

    fn check_state(
        &self,
        legs: &[OrderSpec],
        reduce_only: bool,
        safe: bool,
        judge: &mut impl Judge,
    ) -> Result<(), Violation> {
        let whole = |check, passed| Checked::whole(check, Money::ZERO, Money::ZERO, passed);
        let state = self.state();
        let halted = state == TradingState::Halted && !reduce_only;
        judge.see(whole(C::Kill, !(halted && (self.killed || self.halted == Some(Halt::Killed)))))?;
        judge.see(whole(C::Halt, !halted))?;
        judge.see(whole(C::Reducing, safe || state != TradingState::Reducing))?;
        for (leg, order) in legs.iter().enumerate() {
            let killed = self.venues.get(order.venue.index()).is_some_and(|venue| venue.killed);
            judge.see(Checked::state(C::VenueKill, leg, order.reduce_only || !killed))?;
        }
        Ok(())
    }

    pub(super) fn check_venue(
        &self,
        leg: usize,
        order: &OrderSpec,
        safe: bool,
        at: Stamp,
        judge: &mut impl Judge,
    ) -> Result<(), Violation> {
        let venue = self.venues.get(order.venue.index()).copied().unwrap_or_default();
        let listed = self.positions.instrument(order.instrument);
        // What is held on a suspended contract may still be reduced, if the venue lets it.
        let trading =
            order.reduce_only || listed.is_none_or(|instrument| instrument.spec.status == Status::Trading);
        // While the order session is down, orders may take the other way, if so configured.
        let reachable = venue.orders_ready || (venue.account_ready && venue.fallback.covers(safe));
        let ready = venue.configured && reachable && trading;
        let fit = venue.account_ready && venue.strays == 0 && self.start.is_open(order.venue);
        let strays = Money::from_units(i64::from(venue.strays));
        judge.see(Checked::leg(C::Venue, leg, strays, Money::ZERO, ready && (safe || fit)))?;
        self.check_lock(leg, order, at, judge)
    }

    /// A listing that its venue has locked takes only orders that reduce: anything else would be refused there.
    fn check_lock(
        &self,
        leg: usize,
        order: &OrderSpec,
        at: Stamp,
        judge: &mut impl Judge,
    ) -> Result<(), Violation> {
        let until = self.locks.get(order.instrument.index()).copied().unwrap_or(0);
        if order.reduce_only || until == 0 {
            return judge.see(Checked::state(C::Lock, leg, true));
        }
        let offset = self.start.clocks().estimate(order.venue, at).map_or(0, |estimate| estimate.offset);
        let now = at.wall.saturating_add(offset);
        let units = Money::from_units;
        judge.see(Checked::leg(C::Lock, leg, units(now), units(until), now >= until))
    }

    fn check_order(
        &self,
        leg: usize,
        order: &OrderSpec,
        basket: &Basket,
        safe: bool,
        judge: &mut impl Judge,
    ) -> Result<(), Violation> {
        let Some(instrument) = self.positions.instrument(order.instrument) else {
            // Nothing of the order can be measured; for an explanation the other legs still can.
            return judge.see(Checked::state(C::Listing, leg, false));
        };
        let id = order.client_id;
        let reused = self.orders_index.get(id.0).is_some()
            || basket.orders()[..leg].iter().any(|earlier| earlier.client_id == id);
        let fresh = id.epoch() == self.boot_epoch && id != ClientId::NONE && !reused;
        judge.see(Checked::state(C::Listing, leg, instrument.canonical == basket.canonical))?;
        judge.see(Checked::state(C::ClientId, leg, fresh))?;
        order_valid(leg, order, instrument, judge)?;
        let factor = if safe { URGENT_SIZE_FACTOR } else { 1 };
        let limit = RiskParams::money(self.params.order_notional_max_usd.saturating_mul(factor));
        let notional = instrument.notional(order.qty, order.price);
        judge.see(Checked::leg(C::Notional, leg, notional, limit, notional <= limit))
    }

    /// A reduction may stand on a book of any age: its price bounds what it pays, it fills at what the venue quotes
    /// then, and a quiet market must not keep anybody in. Scan prices it from live books only, else it has no mid.
    pub(super) fn check_books(
        &self,
        basket: &Basket,
        reduce_only: bool,
        safe: bool,
        judge: &mut impl Judge,
    ) -> Result<(), Violation> {
        let (age_factor, collar_factor) =
            if safe { (URGENT_AGE_FACTOR, URGENT_COLLAR_FACTOR) } else { (1, 1) };
        let age_max = self.params.book_age_max_ns.saturating_mul(age_factor);
        let collar_max = self.params.price_collar_ppb.saturating_mul(collar_factor);
        let units = Money::from_units;
        for (leg, order) in basket.orders().iter().enumerate() {
            if !reduce_only {
                let age = basket.book_age_ns[leg];
                judge.see(Checked::leg(C::BookAge, leg, units(age), units(age_max), age <= age_max))?;
            }
            let mid = basket.mids[leg];
            let distance = collar_ppb(order.price, mid);
            judge.see(Checked::leg(C::Mid, leg, units(mid.0), Money::ZERO, distance.is_some()))?;
            if let Some(distance) = distance {
                let (value, limit) = (units(distance), units(collar_max));
                judge.see(Checked::leg(C::Collar, leg, value, limit, distance <= collar_max))?;
            }
            let worst = basket.worst.0[leg];
            if worst.0 > 0 {
                judge.see(band(leg, order, worst))?;
            }
        }
        Ok(())
    }

    pub(super) fn check_exposure(
        &self,
        basket: &Basket,
        hedge: bool,
        judge: &mut impl Judge,
    ) -> Result<(), Violation> {
        let legs = basket.orders();
        let factor = if hedge { URGENT_SIZE_FACTOR } else { 1 };
        let limit = |units: i64| RiskParams::money(units.saturating_mul(factor));
        let projection = self.exposure.project(&self.positions, legs, &basket.mids);
        let by_leg = [
            (projection.listing, self.params.instrument_position_max_usd, C::InstrumentPosition),
            (projection.venue, self.params.venue_position_max_usd, C::VenuePosition),
        ];
        for (values, most, check) in by_leg {
            let most = limit(most);
            for (leg, value) in values[..legs.len()].iter().enumerate() {
                judge.see(Checked::leg(check, leg, *value, most, *value <= most))?;
            }
        }
        let most = limit(self.params.gross_exposure_max_usd);
        judge.see(Checked::whole(C::GrossExposure, projection.gross, most, projection.gross <= most))
    }

    fn check_counts(&self, legs: usize, now: Nanos, judge: &mut impl Judge) -> Result<(), Violation> {
        let params = &self.params;
        let most = |value: usize, limit: u32, check| {
            let units = Money::from_units;
            let passed = value <= limit as usize;
            Checked::whole(check, units(value as i64), units(i64::from(limit)), passed)
        };
        let open = self.open.len() + self.strays.len() + legs;
        judge.see(most(open, params.open_orders_max, C::OpenOrders))?;
        judge.see(most(self.rate.count(now) + legs, params.order_rate_per_s_max, C::OrderRate))?;
        self.check_results(judge)?;
        // The limit is the count after which entries stop.
        judge.see(most(self.failures as usize + 1, params.consecutive_failures_max, C::Failures))?;
        judge.see(most(self.flights_live as usize + 1, params.baskets_in_flight_max, C::InFlight))
    }

    /// The day's loss and the fall from the highest result against their limits.
    pub(super) fn check_results(&self, judge: &mut impl Judge) -> Result<(), Violation> {
        let loss = (-self.positions.daily(), RiskParams::money(self.params.daily_loss_max_usd));
        judge.see(Checked::whole(C::DailyLoss, loss.0, loss.1, loss.0 < loss.1))?;
        let fall = (self.drawdown(), RiskParams::money(self.params.drawdown_max_usd));
        judge.see(Checked::whole(C::Drawdown, fall.0, fall.1, fall.0 < fall.1))
    }

    /// Room in our own tables, which even urgent orders need: they are not sent if they cannot be followed.
    fn check_room(&self, legs: usize, judge: &mut impl Judge) -> Result<(), Violation> {
        let units = |count: usize| Money::from_units(count as i64);
        let orders = units(self.open.len() + legs);
        judge.see(Checked::whole(C::OrderRoom, orders, units(LIVE_MAX), self.orders_free.len() >= legs))?;
        let flights = self.flights_live as usize;
        let (value, most) = (units(flights + 1), units(BASKETS_MAX));
        judge.see(Checked::whole(C::BasketRoom, value, most, flights < BASKETS_MAX))
    }
}

fn band(leg: usize, order: &OrderSpec, worst: Price) -> Checked {
    let units = Money::from_units;
    let passed = !is_beyond(order.side, order.price, worst);
    Checked::leg(C::Band, leg, units(order.price.0), units(worst.0), passed)
}
