//! Which checks apply to which basket, in order; see the table in the parent module. Changes nothing.

use super::{Admission, BASKETS_MAX, Risk};
use crate::core::band::is_beyond;
use crate::core::limits::{
    TradingState, URGENT_AGE_FACTOR, URGENT_COLLAR_FACTOR, URGENT_SIZE_FACTOR, Violation, collar_ppb,
    order_valid,
};
use crate::core::order::LIVE_MAX;
use crate::domain::carry::Halt;
use crate::domain::instrument::Status;
use crate::domain::intent::{Basket, BasketKind, DenyReason, LEGS_MAX};
use crate::domain::money::Money;
use crate::domain::order::{ClientId, OrderSpec};
use crate::domain::params::RiskParams;
use crate::domain::time::{Nanos, Stamp};

impl Risk {
    /// Every check, in order; nothing is changed. One copy of its code, for orders and rehearsals.
    #[inline(never)]
    pub(super) fn admit(&self, basket: &Basket, at: Stamp) -> Result<Admission, Violation> {
        use DenyReason as R;
        let legs = basket.orders();
        if legs.is_empty() || usize::from(basket.len) > LEGS_MAX {
            let count = Money::from_units(i64::from(basket.len));
            return Err(Violation::whole(R::OrderInvalid, count, Money::from_units(LEGS_MAX as i64)));
        }
        let reduce_only = legs.iter().all(|leg| leg.reduce_only);
        let hedge = basket.kind == BasketKind::Hedge && self.trades.reduces(basket, |id| self.listing(id));
        let safe = reduce_only || hedge;

        self.check_state(legs, reduce_only, safe)?;
        for (leg, order) in legs.iter().enumerate() {
            self.check_venue(leg, order, safe, at)?;
        }
        for (leg, order) in legs.iter().enumerate() {
            self.check_order(leg, order, basket, safe)?;
        }
        self.check_books(basket, reduce_only, safe)?;
        if !reduce_only {
            self.check_exposure(basket, hedge)?;
        }
        let mut admission = Admission::default();
        for (leg, order) in legs.iter().enumerate() {
            admission.margins[leg] = self.margin(order);
        }
        if safe {
            return self.check_room(legs.len()).map(|()| admission);
        }
        self.capital
            .check(&admission.margins[..legs.len()])
            .map_err(|short| Violation::leg(R::MarginInsufficient, short.wish, short.left, short.least))?;
        self.check_counts(legs.len(), at.mono)?;
        self.check_room(legs.len()).map(|()| admission)
    }

    fn check_state(&self, legs: &[OrderSpec], reduce_only: bool, safe: bool) -> Result<(), Violation> {
        let denied = |reason| Err(Violation::whole(reason, Money::ZERO, Money::ZERO));
        match self.state() {
            TradingState::Halted if !reduce_only && (self.killed || self.halted == Some(Halt::Killed)) => {
                return denied(DenyReason::KillSwitch);
            }
            TradingState::Halted if !reduce_only => return denied(DenyReason::TradingHalted),
            TradingState::Reducing if !safe => return denied(DenyReason::TradingReducing),
            _ => {}
        }
        let killed = |order: &OrderSpec| {
            !order.reduce_only && self.venues.get(order.venue.index()).is_some_and(|venue| venue.killed)
        };
        match legs.iter().position(killed) {
            Some(leg) => Err(Violation::leg(DenyReason::KillSwitch, leg, Money::ZERO, Money::ZERO)),
            None => Ok(()),
        }
    }

    pub(super) fn check_venue(
        &self,
        leg: usize,
        order: &OrderSpec,
        safe: bool,
        at: Stamp,
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
        if ready && (safe || fit) {
            return self.check_lock(leg, order, at);
        }
        let strays = Money::from_units(i64::from(venue.strays));
        Err(Violation::leg(DenyReason::VenueNotReady, leg, strays, Money::ZERO))
    }

    /// A listing that its venue has locked takes only orders that reduce: anything else would be refused there.
    fn check_lock(&self, leg: usize, order: &OrderSpec, at: Stamp) -> Result<(), Violation> {
        let until = self.locks.get(order.instrument.index()).copied().unwrap_or(0);
        if order.reduce_only || until == 0 {
            return Ok(());
        }
        let offset = self.start.clocks().estimate(order.venue, at).map_or(0, |estimate| estimate.offset);
        let now = at.wall.saturating_add(offset);
        if now >= until {
            return Ok(());
        }
        let units = Money::from_units;
        Err(Violation::leg(DenyReason::ListingLocked, leg, units(now), units(until)))
    }

    fn check_order(
        &self,
        leg: usize,
        order: &OrderSpec,
        basket: &Basket,
        safe: bool,
    ) -> Result<(), Violation> {
        let invalid = Violation::leg(DenyReason::OrderInvalid, leg, Money::ZERO, Money::ZERO);
        let instrument = self.positions.instrument(order.instrument).ok_or(invalid)?;
        let id = order.client_id;
        let reused = self.orders_index.get(id.0).is_some()
            || basket.orders()[..leg].iter().any(|earlier| earlier.client_id == id);
        if id.epoch() != self.boot_epoch
            || id == ClientId::NONE
            || reused
            || instrument.canonical != basket.canonical
        {
            return Err(invalid);
        }
        order_valid(leg, order, instrument)?;
        let factor = if safe { URGENT_SIZE_FACTOR } else { 1 };
        let limit = RiskParams::money(self.params.order_notional_max_usd.saturating_mul(factor));
        let notional = instrument.notional(order.qty, order.price);
        if notional > limit {
            return Err(Violation::leg(DenyReason::OrderNotionalExceeded, leg, notional, limit));
        }
        Ok(())
    }

    /// A reduction may stand on a book of any age: its price bounds what it pays, it fills at what the venue quotes
    /// then, and a quiet market must not keep anybody in. Scan prices it from live books only, else it has no mid.
    pub(super) fn check_books(
        &self,
        basket: &Basket,
        reduce_only: bool,
        safe: bool,
    ) -> Result<(), Violation> {
        let (age_factor, collar_factor) =
            if safe { (URGENT_AGE_FACTOR, URGENT_COLLAR_FACTOR) } else { (1, 1) };
        let age_max = self.params.book_age_max_ns.saturating_mul(age_factor);
        let collar_max = self.params.price_collar_ppb.saturating_mul(collar_factor);
        let units = Money::from_units;
        for (leg, order) in basket.orders().iter().enumerate() {
            let age = basket.book_age_ns[leg];
            if !reduce_only && age > age_max {
                return Err(Violation::leg(DenyReason::BookStale, leg, units(age), units(age_max)));
            }
            let mid = basket.mids[leg];
            let Some(distance) = collar_ppb(order.price, mid) else {
                return Err(Violation::leg(DenyReason::BookCrossed, leg, units(mid.0), Money::ZERO));
            };
            if distance > collar_max {
                let (value, limit) = (units(distance), units(collar_max));
                return Err(Violation::leg(DenyReason::PriceCollarExceeded, leg, value, limit));
            }
            let worst = basket.worst.0[leg];
            if worst.0 > 0 && is_beyond(order.side, order.price, worst) {
                let (value, limit) = (units(order.price.0), units(worst.0));
                return Err(Violation::leg(DenyReason::PriceBandExceeded, leg, value, limit));
            }
        }
        Ok(())
    }

    pub(super) fn check_exposure(&self, basket: &Basket, hedge: bool) -> Result<(), Violation> {
        let legs = basket.orders();
        let factor = if hedge { URGENT_SIZE_FACTOR } else { 1 };
        let limit = |units: i64| RiskParams::money(units.saturating_mul(factor));
        let projection = self.exposure.project(&self.positions, legs, &basket.mids);
        let by_leg = [
            (
                projection.listing,
                self.params.instrument_position_max_usd,
                DenyReason::InstrumentPositionExceeded,
            ),
            (projection.venue, self.params.venue_position_max_usd, DenyReason::VenuePositionExceeded),
        ];
        for (values, most, reason) in by_leg {
            let most = limit(most);
            if let Some(leg) = values[..legs.len()].iter().position(|value| *value > most) {
                return Err(Violation::leg(reason, leg, values[leg], most));
            }
        }
        let most = limit(self.params.gross_exposure_max_usd);
        if projection.gross > most {
            return Err(Violation::whole(DenyReason::GrossExposureExceeded, projection.gross, most));
        }
        Ok(())
    }

    fn check_counts(&self, legs: usize, now: Nanos) -> Result<(), Violation> {
        let params = &self.params;
        let most = |value: usize, limit: u32, reason| {
            if value <= limit as usize {
                return Ok(());
            }
            let units = Money::from_units;
            Err(Violation::whole(reason, units(value as i64), units(i64::from(limit))))
        };
        most(
            self.open.len() + self.strays.len() + legs,
            params.open_orders_max,
            DenyReason::OpenOrdersExceeded,
        )?;
        most(self.rate.count(now) + legs, params.order_rate_per_s_max, DenyReason::OrderRateExceeded)?;
        let (loss, loss_max) = (-self.positions.daily(), RiskParams::money(params.daily_loss_max_usd));
        if loss >= loss_max {
            return Err(Violation::whole(DenyReason::DailyLossExceeded, loss, loss_max));
        }
        let (fall, fall_max) = (self.drawdown(), RiskParams::money(params.drawdown_max_usd));
        if fall >= fall_max {
            return Err(Violation::whole(DenyReason::DrawdownExceeded, fall, fall_max));
        }
        // The limit is the count after which entries stop.
        most(self.failures as usize + 1, params.consecutive_failures_max, DenyReason::ConsecutiveFailures)?;
        most(self.flights_live as usize + 1, params.baskets_in_flight_max, DenyReason::InFlightExceeded)
    }

    /// Room in our own tables, which even urgent orders need: they are not sent if they cannot be followed.
    fn check_room(&self, legs: usize) -> Result<(), Violation> {
        let units = |count: usize| Money::from_units(count as i64);
        if self.orders_free.len() < legs {
            let value = units(self.open.len() + legs);
            return Err(Violation::whole(DenyReason::OpenOrdersExceeded, value, units(LIVE_MAX)));
        }
        if self.flights_live as usize >= BASKETS_MAX {
            let value = units(BASKETS_MAX + 1);
            return Err(Violation::whole(DenyReason::InFlightExceeded, value, units(BASKETS_MAX)));
        }
        Ok(())
    }
}
