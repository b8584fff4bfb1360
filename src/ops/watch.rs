//! The watch: follows what passes through the river and keeps the figures that people look at.
//!
//! Runs beside record, off the deciding path; decides nothing. Counts, trade life cycle, and the latency
//! histograms that the runner feeds.

use crate::domain::event::{Event, EventBody, SessionStatus};
use crate::domain::input::{SendFate, SendOutcome};
use crate::domain::instrument::{INSTRUMENTS_MAX, InstrumentId, VENUES_MAX};
use crate::domain::intent::{BasketKind, Intent, TradeId};
use crate::domain::number::Num;
use crate::domain::order::{ClientId, OrderUpdate, Side};
use crate::domain::time::Nanos;
use serde::Serialize;

/// Trades that can be followed at the same time.
const TRADES_MAX: usize = 64;

/// Counts since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// WebSocket frames.
    pub frames: u64,
    /// Typed events.
    pub events: u64,
    /// Baskets and cancels that scan wanted.
    pub intents: u64,
    /// Orders handed to a socket or an HTTP thread.
    pub orders_sent: u64,
    /// Fills of our orders.
    pub fills: u64,
    /// Entries of which no leg filled.
    pub misses: u64,
    /// Entries of which a leg filled.
    pub trades_opened: u64,
    /// Opened trades that are flat again.
    pub trades_closed: u64,
    /// Baskets denied by risk or route.
    pub denials: u64,
    /// Messages that the egress gate refused.
    pub refused: u64,
    /// Orders whose fate is or was unknown.
    pub unknown: u64,
    /// Orders rejected.
    pub rejects: u64,
    /// Last prices that venues stated.
    pub tickers: u64,
    /// Statements of open interest.
    pub open_interests: u64,
    /// Liquidations that venues published.
    pub liquidations: u64,
    /// Fills on our accounts that are not ours: deleveraging, liquidation, somebody's hand. Never expected.
    pub foreign: u64,
}

/// What a venue last stated of a listing beside its prices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MarketState {
    /// Price of the last trade.
    pub last: Option<Num>,
    /// Open interest in the unit of the venue's orders.
    pub open_interest: Option<Num>,
    /// Longs and shorts that were liquidated since the start, as far as the venue publishes them.
    pub liquidations: [u64; 2],
}

#[derive(Clone, Copy, Debug, Default)]
struct Followed {
    trade: TradeId,
    active: bool,
    detected: Nanos,
    legs: [ClientId; 2],
    terminal: [bool; 2],
    settled: bool,
    /// Signed quantity per leg venue slot: both zero = flat.
    net: [i64; 2],
    venues: [u8; 2],
    instruments: [InstrumentId; 2],
    opened: bool,
}

/// Follows counts and trades.
pub struct Watch {
    counts: Counts,
    trades: [Followed; TRADES_MAX],
    /// Which trade an order belongs to: ring by order sequence.
    orders: Vec<(ClientId, TradeId)>,
    entry_ns: Vec<Nanos>,
    sessions: Vec<SessionStatus>,
    /// By listing.
    markets: Vec<MarketState>,
}

impl Default for Watch {
    fn default() -> Self {
        Self::new()
    }
}

impl Watch {
    /// Nothing seen yet.
    pub fn new() -> Self {
        Self {
            counts: Counts::default(),
            trades: [Followed::default(); TRADES_MAX],
            orders: vec![(ClientId::NONE, TradeId(0)); 4096],
            entry_ns: Vec::with_capacity(256),
            sessions: Vec::with_capacity(3 * VENUES_MAX),
            markets: Vec::with_capacity(INSTRUMENTS_MAX),
        }
    }

    /// Counts so far.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// A frame was numbered.
    pub fn frame(&mut self) {
        self.counts.frames += 1;
    }

    /// Scan wants something.
    pub fn intent(&mut self, _intent: &Intent) {
        self.counts.intents += 1;
    }

    /// Risk approved something.
    pub fn approved(&mut self, intent: &Intent) {
        let Intent::Basket(basket) = intent else { return };
        for order in basket.orders() {
            let slot = order.client_id.sequence() as usize % self.orders.len();
            self.orders[slot] = (order.client_id, basket.trade);
        }
        if basket.kind == BasketKind::Entry && basket.len == 2 {
            let slot = basket.trade.0 as usize % TRADES_MAX;
            self.trades[slot] = Followed {
                trade: basket.trade,
                active: true,
                detected: basket.detected,
                legs: [basket.legs[0].client_id, basket.legs[1].client_id],
                venues: [basket.legs[0].venue.0, basket.legs[1].venue.0],
                instruments: [basket.legs[0].instrument, basket.legs[1].instrument],
                ..Followed::default()
            };
        }
    }

    /// A basket was denied.
    pub fn denied(&mut self) {
        self.counts.denials += 1;
    }

    /// An amendment is no further order.
    fn amend_outcome(&mut self, outcome: &SendOutcome) {
        self.outcome(&SendOutcome { order: None, ..*outcome });
    }

    fn outcome(&mut self, outcome: &SendOutcome) {
        match outcome.fate {
            SendFate::Sent | SendFate::Handed => {
                self.counts.orders_sent += u64::from(outcome.order.is_some())
            }
            SendFate::Refused(_) => self.counts.refused += 1,
            SendFate::Unknown => self.counts.unknown += 1,
            SendFate::Withdrawn(_) => {
                let orders = u64::from(outcome.order.is_some());
                self.counts.orders_sent = self.counts.orders_sent.saturating_sub(orders);
                self.counts.refused += 1;
            }
        }
    }

    /// An event passed. Durations from detection to both legs terminal are kept for [`Watch::drain_trades`].
    pub fn event(&mut self, event: &Event) {
        self.counts.events += 1;
        match &event.body {
            EventBody::Order(update) => self.order(update, event.at.mono),
            EventBody::Outcome(outcome) => self.outcome(outcome),
            EventBody::AmendOutcome(outcome) => self.amend_outcome(outcome),
            EventBody::Session(status) => self.session(status),
            EventBody::Ticker(ticker) => {
                self.counts.tickers += 1;
                self.market(ticker.instrument).last = ticker.last;
            }
            EventBody::OpenInterest(interest) => {
                self.counts.open_interests += 1;
                self.market(interest.instrument).open_interest = Some(interest.qty);
            }
            EventBody::Liquidation(liquidation) => {
                self.counts.liquidations += 1;
                let of_short = usize::from(liquidation.side == Side::Buy);
                self.market(liquidation.instrument).liquidations[of_short] += 1;
            }
            _ => {}
        }
    }

    /// The state of a listing; there is room for all that can be.
    fn market(&mut self, listing: InstrumentId) -> &mut MarketState {
        if self.markets.len() <= listing.index() {
            self.markets.resize(listing.index() + 1, MarketState::default());
        }
        &mut self.markets[listing.index()]
    }

    /// What venues last stated, by listing; shorter than the listings where the last ones were not told of.
    pub fn markets(&self) -> &[MarketState] {
        &self.markets
    }

    fn session(&mut self, status: &SessionStatus) {
        let same = |seen: &&mut SessionStatus| (seen.venue, seen.role) == (status.venue, status.role);
        match self.sessions.iter_mut().find(same) {
            Some(seen) => *seen = *status,
            None => self.sessions.push(*status),
        }
    }

    /// Sessions with their last state, in order of their first appearance.
    pub fn sessions(&self) -> &[SessionStatus] {
        &self.sessions
    }

    fn order(&mut self, update: &OrderUpdate, mono: Nanos) {
        use crate::domain::order::OrderState;
        if update.client_id == ClientId::NONE {
            return self.foreign(update);
        }
        self.counts.fills += u64::from(update.fill_qty.0 > 0);
        self.counts.unknown += u64::from(update.state == OrderState::Unknown);
        self.counts.rejects += u64::from(update.state == OrderState::Rejected);
        let (client_id, trade) = self.orders[update.client_id.sequence() as usize % self.orders.len()];
        if client_id != update.client_id {
            return;
        }
        let followed = &mut self.trades[trade.0 as usize % TRADES_MAX];
        if !followed.active || followed.trade != trade {
            return;
        }
        if let Some(leg) = followed.venues.iter().position(|venue| *venue == update.venue.0) {
            followed.net[leg] += update.side.sign() * update.fill_qty.0;
        }
        if let Some(leg) = followed.legs.iter().position(|id| *id == update.client_id) {
            followed.terminal[leg] |= update.state.is_terminal();
        }
        if update.fill_qty.0 > 0 && !followed.opened {
            followed.opened = true;
            self.counts.trades_opened += 1;
        }
        if !followed.settled && followed.terminal == [true, true] {
            followed.settled = true;
            // Drained a few times a second; more settled entries than this between two drains are not timed.
            if self.entry_ns.len() < self.entry_ns.capacity() {
                self.entry_ns.push(mono - followed.detected);
            }
            if !followed.opened {
                followed.active = false;
                self.counts.misses += 1;
            }
        }
        if followed.settled && followed.opened && followed.net == [0, 0] && update.state.is_terminal() {
            followed.active = false;
            self.counts.trades_closed += 1;
        }
    }

    /// A fill that no order of ours explains: what it takes from a followed trade is gone.
    fn foreign(&mut self, update: &OrderUpdate) {
        let mut left = update.side.sign() * update.fill_qty.0;
        if left == 0 {
            return;
        }
        self.counts.foreign += 1;
        for followed in self.trades.iter_mut().filter(|trade| trade.active && trade.opened) {
            for leg in 0..2 {
                let held = followed.net[leg];
                if followed.instruments[leg] == update.instrument && held.signum() * left.signum() < 0 {
                    let taken = left.signum() * left.abs().min(held.abs());
                    followed.net[leg] += taken;
                    left -= taken;
                }
            }
            if followed.settled && followed.net == [0, 0] {
                followed.active = false;
                self.counts.trades_closed += 1;
            }
        }
    }

    /// Hands out the durations (detection → both legs terminal, ns) of the entries settled since the last call.
    pub fn drain_trades(&mut self, mut sink: impl FnMut(Nanos)) {
        for duration in self.entry_ns.drain(..) {
            sink(duration);
        }
    }

    /// Largest quantity imbalance that a followed trade shows now: trades that hold one leg only.
    pub fn one_legged(&self) -> usize {
        self.trades
            .iter()
            .filter(|t| t.active && t.settled && t.opened && (t.net[0] == 0) != (t.net[1] == 0))
            .count()
    }
}
