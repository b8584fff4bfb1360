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
//! | venue ready | account + orders session, start gate, no stray order | orders session | orders session |
//! | contract open for trading, and to us | yes | yes | – |
//! | order validity | yes | yes | yes |
//! | notional of an order | limit | 2 × | 2 × |
//! | age of the book | limit | 10 × | – |
//! | price collar | limit | 3 × | 3 × |
//! | price band of the venue, where known | yes | yes | yes |
//! | position, venue, gross exposure | limit | 2 × | – |
//! | margin | yes | – | – |
//! | open orders, rate, daily loss, drawdown, failures, baskets in flight | yes | – | – |
//!
//! An amendment passes the checks of an entry for what it adds, but for the count of open orders (`amend.rs`). Where it
//! makes a new order, that one passes all checks of an entry beside the old one, which counts until its end is stated.
//!
//! ¹ Kind `Hedge`, and the orders bring the trade's own net base amount towards zero: proven here, not
//! believed. ² Every leg is reduce-only, which the venue enforces. Anything else is treated as an entry.

mod admit;
mod amend;
mod follow;
mod rehearse;
mod restart;
#[cfg(test)]
mod tests;
mod trades;
mod view;

pub use view::VenueStanding;

use self::trades::Trades;
use super::capital::{AccountId, Capital};
use super::digest::Digest;
use super::limits::{Exposure, RateWindow, TradingState, Violation};
use super::order::LIVE_MAX;
use super::order::entry::{NEVER, rescale};
use super::position::{Positions, mul_div_up, settled};
use super::restart::Restart;
use super::start_gate::StartGate;
use super::table::IdMap;
use crate::domain::carry::Halt;
use crate::domain::event::{EventBody, Flow, FlowBody, SessionRole, SessionStatus};
use crate::domain::input::{Command, Scope};
use crate::domain::instrument::{Instrument, InstrumentId, Price, Qty, VENUES_MAX};
use crate::domain::intent::{
    Basket, BasketKind, Denial, DenyReason, EVERY_TRADE, Intent, LEGS_MAX, ONE_PPB, OrderRef, Ppb, TradeId,
};
use crate::domain::money::Money;
use crate::domain::order::{ClientId, OrderSpec, OrderTerms};
use crate::domain::params::{EngineParams, OrderFallback, RiskParams};
use crate::domain::state::sparse;
use crate::domain::time::{Nanos, SECOND, Stamp};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Baskets that can be in flight at the same time, urgent ones included.
const BASKETS_MAX: usize = 1024;
/// Closed orders of which late fills still count for their trade.
const CLOSED_MAX: usize = 1024;
/// Pause before an unanswered cancel is repeated, ns.
const CANCEL_RETRY: Nanos = SECOND;
/// A UTC day, ns.
const DAY: Nanos = 86_400 * SECOND;
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Tracked {
    /// The order; its quantity is the largest that it has or, by a pending amendment, may have.
    spec: OrderSpec,
    /// What it works with.
    terms: OrderTerms,
    /// What it may have become already.
    pending: Option<OrderTerms>,
    /// Trade and number of its last amendment.
    attempt: (TradeId, u16),
    /// The order in whose place it was placed, by one request.
    #[serde(default)]
    replaces: ClientId,
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
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
    fallback: OrderFallback,
    configured: bool,
}

/// A basket that passed every check, with what it binds: [`Risk::bind_flow`] wants it.
#[derive(Clone, Copy, Debug, Default)]
#[must_use]
pub struct Admission {
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
    #[serde(with = "sparse")]
    orders: Vec<Tracked>,
    orders_free: Vec<u32>,
    orders_index: IdMap,
    open: Vec<u32>,
    #[serde(with = "sparse")]
    flights: Vec<Flight>,
    flights_live: u32,
    /// Trades of recently closed orders, for late fills.
    closed: IdMap,
    closed_order: VecDeque<ClientId>,
    serial: u64,
    strays: Vec<Stray>,
    /// What each listing contributes to its account: margin used, unrealised profit.
    valued: Vec<(Money, Money)>,
    killed: bool,
    halted_by_recorder: bool,
    stopping: bool,
    reduce_ordered: bool,
    recorder_lags: bool,
    journal_short: bool,
    failures: u32,
    cancel_due: Nanos,
    start: StartGate,
    /// By listing: until when its venue takes only orders that reduce, by its clock; 0 = it takes all.
    #[serde(default)]
    locks: Vec<Nanos>,
    /// The UTC day whose loss has closed the open trades; 0 = none.
    loss_day: i64,
    /// The run before was halted.
    #[serde(default)]
    halted: Option<Halt>,
    /// What a restart waits for.
    #[serde(default)]
    restart: Restart,
    /// Net result of the runs before, less what they left open at its mark.
    #[serde(default)]
    result_before: Money,
    /// The largest net result that there ever was, or was at the operator's last word.
    #[serde(default)]
    peak: Money,
    digest: Digest,
}

impl Risk {
    /// Nothing known, nothing open: every basket is denied until sessions, listings and balances are.
    pub fn new(params: &EngineParams) -> Self {
        let mut venues = [VenueState::default(); VENUES_MAX];
        for (state, venue) in venues.iter_mut().zip(&params.venues) {
            // Without a margin rate the whole notional is bound.
            state.fallback = venue.orders_fallback;
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
            closed: IdMap::new(CLOSED_MAX),
            closed_order: VecDeque::with_capacity(CLOSED_MAX),
            serial: 0,
            strays: Vec::with_capacity(64),
            valued: vec![(Money::ZERO, Money::ZERO); params.listings.len()],
            killed: false,
            halted_by_recorder: false,
            stopping: false,
            reduce_ordered: false,
            recorder_lags: false,
            journal_short: false,
            failures: 0,
            cancel_due: NEVER,
            start: StartGate::new(params),
            locks: vec![0; params.listings.len()],
            loss_day: 0,
            halted: None,
            restart: Restart::default(),
            result_before: Money::ZERO,
            peak: Money::ZERO,
            digest: Digest::new(),
            params: params.risk.clone(),
        }
    }

    /// Handles one item of the flow from scan.
    pub fn on_flow(&mut self, flow: &Flow, out: &mut RiskOut) {
        if let Some(admission) = self.decide(flow, out) {
            self.bind_flow(flow, &admission);
        }
    }

    /// Handles one item, but for the bookkeeping of a basket that it admits: [`Risk::bind_flow`] must follow
    /// with what this returns, before anything else. Between the two the basket may leave, so that reserving
    /// and following it does not stand between a price and its order.
    #[must_use]
    pub fn decide(&mut self, flow: &Flow, out: &mut RiskOut) -> Option<Admission> {
        self.positions.on_time(flow.at.wall);
        match &flow.body {
            FlowBody::Event(event) => self.on_event(event, flow.at, out),
            FlowBody::Mid(id, mid) => {
                self.positions.on_mid(*id, *mid);
                self.refresh(*id);
            }
            FlowBody::Intent(Intent::Basket(basket)) => return self.on_basket(basket, flow.at, out),
            FlowBody::Intent(Intent::Amend(amend)) => self.on_amend(amend, flow.at, out),
            FlowBody::Intent(Intent::Replace(replace)) => self.on_replace(replace, flow.at, out),
            FlowBody::Intent(cancel @ Intent::Cancel(_)) => out.flows.push(FlowBody::Intent(*cancel)),
            FlowBody::NearMiss(_) => {}
        }
        None
    }

    /// Reserves and follows the basket that [`Risk::decide`] has just admitted.
    pub fn bind_flow(&mut self, flow: &Flow, admission: &Admission) {
        if let FlowBody::Intent(Intent::Basket(basket)) = &flow.body {
            self.bind(basket, admission, flow.at.mono);
        }
    }

    /// What may be sent now.
    pub const fn state(&self) -> TradingState {
        if self.killed || self.halted_by_recorder || self.stopping || self.halted.is_some() {
            TradingState::Halted
        } else if self.reduce_ordered || self.recorder_lags || self.journal_short || self.restart.holds() {
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

    /// What venues have stated of our accounts.
    pub const fn start_gate(&self) -> &StartGate {
        &self.start
    }

    /// Trades lost or failed in a row.
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    /// Digest of everything decided and booked.
    pub fn digest(&self) -> u64 {
        let mut digest = self.digest;
        digest.mix(self.positions.digest());
        self.start.digest(&mut digest);
        digest.value()
    }

    fn on_event(&mut self, event: &EventBody, at: Stamp, out: &mut RiskOut) {
        match event {
            EventBody::Tick => {
                out.flows.push(FlowBody::Event(*event));
                self.on_tick(at.mono, out);
                self.follow_result();
                self.watch_loss(at, out);
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
            EventBody::Conn(_)
            | EventBody::Action(_)
            | EventBody::Outcome(_)
            | EventBody::AmendOutcome(_)
            | EventBody::Pace(_)
            | EventBody::Grant(_)
            | EventBody::Sweep(_) => {}
            EventBody::Amended(update) => self.on_amended(update),
            EventBody::Carried(carried) => return self.on_carried(carried),
            EventBody::Clock(sample) => self.start.on_clock(sample, at),
            EventBody::Check(check) => return self.start.on_check(check),
            EventBody::Lock(lock) => {
                if let Some(until) = self.locks.get_mut(lock.instrument.index()) {
                    *until = lock.until;
                }
                return;
            }
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
            | EventBody::BurstEnd(_)
            | EventBody::OpenInterest(_)
            | EventBody::Ticker(_)
            | EventBody::Liquidation(_) => return,
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

    /// Once a day, where that is configured: the daily loss tells scan, by a denial of every trade, to close
    /// what is open. Entries are denied by their own check.
    fn watch_loss(&mut self, at: Stamp, out: &mut RiskOut) {
        let day = at.wall.div_euclid(DAY);
        if !self.params.daily_loss_closes || self.loss_day == day {
            return;
        }
        let (loss, limit) = (-self.positions.daily(), RiskParams::money(self.params.daily_loss_max_usd));
        if loss < limit {
            return;
        }
        self.loss_day = day;
        self.digest.mix_signed(day);
        out.denials.push(Denial {
            trade: EVERY_TRADE,
            attempt: 0,
            kind: BasketKind::Entry,
            reason: DenyReason::DailyLossExceeded,
            leg: 255,
            value: loss,
            limit,
        });
    }

    fn on_command(&mut self, command: &Command, now: Nanos, out: &mut RiskOut) {
        match *command {
            Command::Start | Command::ByHand(_) => {}
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
            Command::JournalSpace { short } => self.journal_short = short,
            Command::Resume => {
                (self.killed, self.halted_by_recorder, self.reduce_ordered) = (false, false, false);
                self.failures = 0;
                self.forgive();
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
                for terms in std::iter::once(&mut order.terms).chain(&mut order.pending) {
                    terms.qty = Qty(qty(terms.qty.0));
                    let price = rescale(terms.price.0, before.price_scale, instrument.price_scale);
                    terms.price = price.map_or(terms.price, Price);
                }
                self.exposure.set_price(instrument.id, order.spec.price);
            }
        }
        self.refresh(instrument.id);
    }

    fn on_basket(&mut self, basket: &Basket, at: Stamp, out: &mut RiskOut) -> Option<Admission> {
        match self.admit(basket, at) {
            Ok(admission) => {
                out.flows.push(FlowBody::Intent(Intent::Basket(*basket)));
                Some(admission)
            }
            Err(Violation { reason, leg, value, limit }) => {
                let Basket { trade, attempt, kind, .. } = *basket;
                self.digest.mix(u64::from(trade.0) << 16 | u64::from(attempt));
                self.digest.mix(reason as u64);
                out.denials.push(Denial { trade, attempt, kind, reason, leg, value, limit });
                None
            }
        }
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
