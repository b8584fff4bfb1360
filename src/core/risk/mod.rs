//! Risk: admits baskets whole or denies them whole, binds their margin, keeps positions and profit, and
//! cancels everything when trading is halted.
//!
//! Consumes what scan passes on, in order, and never touches a book or a venue. Every check fails closed:
//! what is not known denies. The first failing check, in the order below, is the typed reason.
//!
//! | check | entries | hedges ¹ | reduce-only ² |
//! |---|---|---|---|
//! | kill, halt | denied | denied | pass |
//! | reducing | denied | pass | pass |
//! | venue ready | account + orders session, no stray order | orders session | orders session |
//! | order validity | yes | yes | yes |
//! | notional of an order | limit | 2 × | 2 × |
//! | age of the book | limit | 10 × | 10 × |
//! | price collar | limit | 3 × | 3 × |
//! | position, venue, gross exposure | limit | 2 × | – |
//! | margin | yes | – | – |
//! | open orders, rate, daily loss, failures, baskets in flight | yes | – | – |
//!
//! ¹ Kind `Hedge`, and the orders bring the trade's own net base amount towards zero: proven here, not
//! believed. ² Every leg is reduce-only, which the venue enforces. Anything else is treated as an entry.

#[cfg(test)]
mod tests;
mod trades;

use self::trades::{Trades, Verdict};
use super::capital::{AccountId, Capital};
use super::digest::Digest;
use super::limits::{
    Exposure, RateWindow, TradingState, URGENT_AGE_FACTOR, URGENT_COLLAR_FACTOR, URGENT_SIZE_FACTOR,
    Violation, collar_ppb, order_valid,
};
use super::order::LIVE_MAX;
use super::order::entry::{NEVER, rescale};
use super::position::{Positions, mul_div, mul_div_up, settled};
use super::table::IdMap;
use crate::domain::event::{EventBody, Flow, FlowBody, SessionRole, SessionStatus};
use crate::domain::input::{Command, Scope};
use crate::domain::instrument::{Instrument, InstrumentId, Price, Qty, Status, VENUES_MAX};
use crate::domain::intent::{
    Basket, BasketKind, Denial, DenyReason, Intent, LEGS_MAX, ONE_PPB, OrderRef, Ppb, TradeId,
};
use crate::domain::money::Money;
use crate::domain::order::{ClientId, OrderSpec, OrderState, OrderUpdate};
use crate::domain::params::{EngineParams, RiskParams};
use crate::domain::time::{Nanos, SECOND, Stamp};
use serde::{Deserialize, Serialize};

/// Baskets that can be in flight at the same time, urgent ones included.
const BASKETS_MAX: usize = 1024;
/// Pause before an unanswered cancel is repeated, ns.
const CANCEL_RETRY: Nanos = SECOND;
/// Recorder lag above which nothing is opened, percent of its ring.
const LAG_REDUCING_PERCENT: u8 = 25;
/// Recorder lag above which trading halts, percent of its ring.
const LAG_HALTED_PERCENT: u8 = 75;

/// What risk passes on; preallocated, drained after each flow.
#[derive(Debug, Default)]
pub struct RiskOut {
    /// For route, in order: events, admitted baskets, cancels.
    pub flows: Vec<FlowBody>,
    /// Denied baskets; they re-enter the river.
    pub denials: Vec<Denial>,
}

impl RiskOut {
    /// Room for `capacity` items without allocation.
    pub fn with_capacity(capacity: usize) -> Self {
        Self { flows: Vec::with_capacity(capacity), denials: Vec::with_capacity(capacity) }
    }

    /// Empties the buffers, keeping their room.
    pub fn clear(&mut self) {
        self.flows.clear();
        self.denials.clear();
    }
}

/// An admitted order that is not closed.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Tracked {
    spec: OrderSpec,
    leaves: i64,
    account: AccountId,
    /// Margin of the whole order.
    margin: Money,
    /// Margin still reserved for it.
    reserved: Money,
    basket: u32,
    leg: u8,
    /// `mono` when a cancel is (re)sent, else [`NEVER`].
    cancel_due: Nanos,
    open_at: u32,
}

/// An admitted basket whose orders are not all closed.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Flight {
    /// Rises with every basket; 0 = free slot.
    serial: u64,
    trade: TradeId,
    attempt: u16,
    kind: BasketKind,
    len: u8,
    live: u8,
    /// The ledger has spoken of one of its orders: route has not denied it.
    heard: bool,
    rejected: bool,
    orders: [ClientId; LEGS_MAX],
    filled: [bool; LEGS_MAX],
}

/// A live order on our account that was not admitted here (of an earlier boot epoch).
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Stray {
    order: OrderRef,
    cancel_due: Nanos,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct VenueState {
    account_ready: bool,
    orders_ready: bool,
    killed: bool,
    strays: u32,
    margin_ppb: Ppb,
    configured: bool,
}

/// A basket that passed every check, with what it binds.
#[derive(Clone, Copy, Debug, Default)]
struct Admission {
    margins: [(AccountId, Money); LEGS_MAX],
}

/// The risk stage's state.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Risk {
    params: RiskParams,
    boot_epoch: u64,
    venues: [VenueState; VENUES_MAX],
    positions: Positions,
    capital: Capital,
    exposure: Exposure,
    rate: RateWindow,
    trades: Trades,
    orders: Vec<Tracked>,
    orders_free: Vec<u32>,
    orders_index: IdMap,
    open: Vec<u32>,
    flights: Vec<Flight>,
    flights_live: u32,
    serial: u64,
    strays: Vec<Stray>,
    /// What each listing contributes to its account: margin used, unrealised profit.
    valued: Vec<(Money, Money)>,
    killed: bool,
    halted_by_recorder: bool,
    stopping: bool,
    reduce_ordered: bool,
    recorder_lags: bool,
    failures: u32,
    cancel_due: Nanos,
    digest: Digest,
}

impl Risk {
    /// Nothing known, nothing open: every basket is denied until sessions, listings and balances are.
    pub fn new(params: &EngineParams) -> Self {
        let mut venues = [VenueState::default(); VENUES_MAX];
        for (state, venue) in venues.iter_mut().zip(&params.venues) {
            // Without a margin rate the whole notional is bound.
            state.margin_ppb = if venue.margin_ppb > 0 { venue.margin_ppb } else { ONE_PPB };
            state.configured = true;
        }
        Self {
            boot_epoch: params.boot_epoch,
            venues,
            positions: Positions::new(params),
            capital: Capital::new(params),
            exposure: Exposure::new(params.listings.len()),
            rate: RateWindow::new(params.risk.order_rate_per_s_max),
            trades: Trades::new(),
            orders: vec![Tracked::default(); LIVE_MAX],
            orders_free: (0..LIVE_MAX as u32).rev().collect(),
            orders_index: IdMap::new(LIVE_MAX),
            open: Vec::with_capacity(LIVE_MAX),
            flights: vec![Flight::default(); BASKETS_MAX],
            flights_live: 0,
            serial: 0,
            strays: Vec::with_capacity(64),
            valued: vec![(Money::ZERO, Money::ZERO); params.listings.len()],
            killed: false,
            halted_by_recorder: false,
            stopping: false,
            reduce_ordered: false,
            recorder_lags: false,
            failures: 0,
            cancel_due: NEVER,
            digest: Digest::new(),
            params: params.risk.clone(),
        }
    }

    /// Handles one item of the flow from scan.
    pub fn on_flow(&mut self, flow: &Flow, out: &mut RiskOut) {
        self.positions.on_time(flow.at.wall);
        match &flow.body {
            FlowBody::Event(event) => self.on_event(event, flow.at, out),
            FlowBody::Mid(id, mid) => {
                self.positions.on_mid(*id, *mid);
                self.refresh(*id);
            }
            FlowBody::Intent(Intent::Basket(basket)) => self.on_basket(basket, flow.at, out),
            FlowBody::Intent(cancel @ Intent::Cancel(_)) => out.flows.push(FlowBody::Intent(*cancel)),
        }
    }

    /// What may be sent now.
    pub const fn state(&self) -> TradingState {
        if self.killed || self.halted_by_recorder || self.stopping {
            TradingState::Halted
        } else if self.reduce_ordered || self.recorder_lags {
            TradingState::Reducing
        } else {
            TradingState::Active
        }
    }

    /// Positions and profit.
    pub const fn positions(&self) -> &Positions {
        &self.positions
    }

    /// Accounts and reservations.
    pub const fn capital(&self) -> &Capital {
        &self.capital
    }

    /// Worst-case exposure.
    pub const fn exposure(&self) -> &Exposure {
        &self.exposure
    }

    /// Admitted orders that are not closed.
    pub const fn open_orders(&self) -> usize {
        self.open.len()
    }

    /// Admitted baskets that are not closed.
    pub const fn baskets_in_flight(&self) -> u32 {
        self.flights_live
    }

    /// Live orders that this run did not admit.
    pub const fn strays(&self) -> usize {
        self.strays.len()
    }

    /// Trades lost or failed in a row.
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    /// Digest of everything decided and booked.
    pub fn digest(&self) -> u64 {
        let mut digest = self.digest;
        digest.mix(self.positions.digest());
        digest.value()
    }

    fn on_event(&mut self, event: &EventBody, at: Stamp, out: &mut RiskOut) {
        match event {
            EventBody::Tick => {
                out.flows.push(FlowBody::Event(*event));
                self.on_tick(at.mono, out);
                return;
            }
            EventBody::Order(update) => {
                out.flows.push(FlowBody::Event(*event));
                self.on_update(update, at.mono, out);
                return;
            }
            EventBody::Command(command) => {
                out.flows.push(FlowBody::Event(*event));
                self.on_command(command, at.mono, out);
                return;
            }
            EventBody::Instrument(instrument) => self.on_instrument(instrument),
            EventBody::Session(status) => self.on_session(status),
            EventBody::Conn(_) | EventBody::Action(_) | EventBody::Outcome(_) => {}
            EventBody::Position(report) => {
                self.positions.on_report(report, at.mono);
                self.refresh(report.instrument);
                return;
            }
            EventBody::Balance(report) => return self.capital.on_balance(report),
            EventBody::Funding(payment) => return self.positions.on_funding(payment),
            EventBody::Denied(denial) => return self.on_denied(denial),
            // Market data ends at scan.
            EventBody::Bbo(_)
            | EventBody::Levels(_)
            | EventBody::Trade(_)
            | EventBody::Mark(_)
            | EventBody::Book(_)
            | EventBody::BurstEnd(_) => return,
        }
        out.flows.push(FlowBody::Event(*event));
    }

    fn on_tick(&mut self, now: Nanos, out: &mut RiskOut) {
        if self.positions.on_tick(now) {
            for id in 0..self.valued.len() {
                self.refresh(InstrumentId(id as u16));
            }
        }
        if now < self.cancel_due {
            return;
        }
        self.cancel_due = NEVER;
        for at in 0..self.open.len() {
            let order = &mut self.orders[self.open[at] as usize];
            if order.cancel_due <= now {
                order.cancel_due = now + CANCEL_RETRY;
                out.flows.push(cancel(&order.spec));
            }
            self.cancel_due = self.cancel_due.min(order.cancel_due);
        }
        for stray in &mut self.strays {
            if stray.cancel_due <= now {
                stray.cancel_due = now + CANCEL_RETRY;
                out.flows.push(FlowBody::Intent(Intent::Cancel(stray.order)));
            }
            self.cancel_due = self.cancel_due.min(stray.cancel_due);
        }
    }

    fn on_command(&mut self, command: &Command, now: Nanos, out: &mut RiskOut) {
        match *command {
            Command::Start => {}
            Command::Reduce => {
                self.reduce_ordered = true;
                self.cancel_where(now, out, |order| !order.reduce_only);
            }
            Command::Kill(Scope::Global) => {
                self.killed = true;
                self.cancel_where(now, out, |_| true);
            }
            Command::Kill(Scope::Venue(venue)) => {
                if let Some(state) = self.venues.get_mut(venue.index()) {
                    state.killed = true;
                }
                self.cancel_where(now, out, |order| order.venue == venue);
            }
            Command::Stop => {
                self.stopping = true;
                self.cancel_where(now, out, |_| true);
            }
            Command::RecorderLag { percent } => {
                // Reducing passes with the lag; a halt only by the operator's word.
                self.recorder_lags = percent > LAG_REDUCING_PERCENT;
                if percent > LAG_HALTED_PERCENT && !self.halted_by_recorder {
                    self.halted_by_recorder = true;
                    self.cancel_where(now, out, |_| true);
                }
            }
            Command::Resume => {
                (self.killed, self.halted_by_recorder, self.reduce_ordered) = (false, false, false);
                self.failures = 0;
                self.venues.iter_mut().for_each(|venue| venue.killed = false);
            }
        }
        self.digest.mix(self.state() as u64);
    }

    /// Cancels open orders and sees to it that the cancels are repeated until the orders are closed.
    fn cancel_where(&mut self, now: Nanos, out: &mut RiskOut, concerned: impl Fn(&OrderSpec) -> bool) {
        for slot in &self.open {
            let order = &mut self.orders[*slot as usize];
            if concerned(&order.spec) {
                order.cancel_due = now + CANCEL_RETRY;
                self.cancel_due = self.cancel_due.min(order.cancel_due);
                out.flows.push(cancel(&order.spec));
            }
        }
    }

    fn on_session(&mut self, status: &SessionStatus) {
        if let Some(venue) = self.venues.get_mut(status.venue.index()) {
            match status.role {
                SessionRole::Market => {}
                SessionRole::Account => venue.account_ready = status.ready,
                SessionRole::Orders => venue.orders_ready = status.ready,
            }
        }
    }

    fn on_instrument(&mut self, instrument: &Instrument) {
        let before = self.positions.instrument(instrument.id).copied();
        self.positions.on_instrument(instrument);
        if let Some(before) = before {
            for at in 0..self.open.len() {
                let order = &mut self.orders[self.open[at] as usize];
                if order.spec.instrument != instrument.id {
                    continue;
                }
                // Inexact only if the venue could not have accepted it; the ledger reports that.
                let qty =
                    |value: i64| rescale(value, before.qty_scale, instrument.qty_scale).unwrap_or(value);
                let leaves = qty(order.leaves);
                self.exposure.add_open(instrument.id, order.spec.side, leaves - order.leaves);
                (order.leaves, order.spec.qty) = (leaves, Qty(qty(order.spec.qty.0)));
                let price = rescale(order.spec.price.0, before.price_scale, instrument.price_scale);
                order.spec.price = price.map_or(order.spec.price, Price);
                self.exposure.set_price(instrument.id, order.spec.price);
            }
        }
        self.refresh(instrument.id);
    }

    fn on_basket(&mut self, basket: &Basket, at: Stamp, out: &mut RiskOut) {
        match self.admit(basket, at) {
            Ok(admission) => {
                self.bind(basket, &admission, at.mono);
                out.flows.push(FlowBody::Intent(Intent::Basket(*basket)));
            }
            Err(Violation { reason, leg, value, limit }) => {
                let Basket { trade, attempt, kind, .. } = *basket;
                self.digest.mix(u64::from(trade.0) << 16 | u64::from(attempt));
                self.digest.mix(reason as u64);
                out.denials.push(Denial { trade, attempt, kind, reason, leg, value, limit });
            }
        }
    }

    /// Every check, in order; nothing is changed.
    fn admit(&self, basket: &Basket, at: Stamp) -> Result<Admission, Violation> {
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
            self.check_venue(leg, order, safe)?;
        }
        for (leg, order) in legs.iter().enumerate() {
            self.check_order(leg, order, basket, safe)?;
        }
        self.check_books(basket, safe)?;
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
            TradingState::Halted if !reduce_only && self.killed => return denied(DenyReason::KillSwitch),
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

    fn check_venue(&self, leg: usize, order: &OrderSpec, safe: bool) -> Result<(), Violation> {
        let venue = self.venues.get(order.venue.index()).copied().unwrap_or_default();
        let listed = self.positions.instrument(order.instrument);
        let trading = listed.is_none_or(|instrument| instrument.spec.status == Status::Trading);
        let ready = venue.configured && venue.orders_ready && trading;
        if ready && (safe || (venue.account_ready && venue.strays == 0)) {
            return Ok(());
        }
        let strays = Money::from_units(i64::from(venue.strays));
        Err(Violation::leg(DenyReason::VenueNotReady, leg, strays, Money::ZERO))
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

    fn check_books(&self, basket: &Basket, safe: bool) -> Result<(), Violation> {
        let (age_factor, collar_factor) =
            if safe { (URGENT_AGE_FACTOR, URGENT_COLLAR_FACTOR) } else { (1, 1) };
        let age_max = self.params.book_age_max_ns.saturating_mul(age_factor);
        let collar_max = self.params.price_collar_ppb.saturating_mul(collar_factor);
        let units = Money::from_units;
        for (leg, order) in basket.orders().iter().enumerate() {
            let age = basket.book_age_ns[leg];
            if age > age_max {
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
        }
        Ok(())
    }

    fn check_exposure(&self, basket: &Basket, hedge: bool) -> Result<(), Violation> {
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

    /// Account and margin that an order binds; reduce-only orders bind none.
    fn margin(&self, order: &OrderSpec) -> (AccountId, Money) {
        let account = self.capital.account_of(order.instrument).unwrap_or_default();
        let margin_ppb = self.venues.get(order.venue.index()).map_or(ONE_PPB, |venue| venue.margin_ppb);
        match self.positions.instrument(order.instrument) {
            Some(instrument) if !order.reduce_only => {
                (account, mul_div_up(settled(instrument, order.qty, order.price), margin_ppb, ONE_PPB))
            }
            _ => (account, Money::ZERO),
        }
    }

    /// Reserves and follows an admitted basket.
    fn bind(&mut self, basket: &Basket, admission: &Admission, now: Nanos) {
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

    fn on_update(&mut self, update: &OrderUpdate, now: Nanos, out: &mut RiskOut) {
        if let Some(slot) = self.orders_index.get(update.client_id.0) {
            self.on_own_update(slot, update);
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
        if update.fill_qty.0 > 0
            && let Some(instrument) = self.positions.instrument(update.instrument)
        {
            let fee = if update.fee_currency == instrument.settle { update.fee } else { Money::ZERO };
            self.trades.book(trade, update, instrument, fee);
        }
        if terminal {
            self.close(slot);
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
    fn on_denied(&mut self, denial: &Denial) {
        if denial.reason != DenyReason::RouteUnavailable {
            return;
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
            self.close(slot);
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

    /// Forgets a closed order, whose reservation was given back.
    fn close(&mut self, slot: u32) {
        let order = std::mem::take(&mut self.orders[slot as usize]);
        self.orders_index.remove(order.spec.client_id.0);
        self.open.swap_remove(order.open_at as usize);
        if let Some(moved) = self.open.get(order.open_at as usize) {
            self.orders[*moved as usize].open_at = order.open_at;
        }
        self.orders_free.push(slot);
    }

    /// A listing's position, orders, mark or scales changed: its exposure and margin follow.
    fn refresh(&mut self, id: InstrumentId) {
        let Some(instrument) = self.positions.instrument(id) else { return };
        self.exposure.refresh(&self.positions, instrument);
        let Some(account) = self.capital.account_of(id) else { return };
        let position = self.positions.get(id);
        let margin_ppb = self.venues.get(instrument.venue.index()).map_or(ONE_PPB, |venue| venue.margin_ppb);
        let value = position
            .mark
            .map_or(Money::ZERO, |mark| settled(instrument, Qty(position.qty.saturating_abs()), mark));
        let valued = (mul_div_up(value, margin_ppb, ONE_PPB), self.positions.unrealised(id));
        if let Some(before) = self.valued.get_mut(id.index()) {
            self.capital.revalue(account, valued.0 - before.0, valued.1 - before.1);
            *before = valued;
        }
    }

    fn listing(&self, id: InstrumentId) -> Option<Instrument> {
        self.positions.instrument(id).copied()
    }
}

/// A cancel of one of our orders.
fn cancel(order: &OrderSpec) -> FlowBody {
    let OrderSpec { client_id, venue, instrument, .. } = *order;
    FlowBody::Intent(Intent::Cancel(OrderRef { client_id, venue, instrument }))
}
