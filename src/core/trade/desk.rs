//! The desk: keeps the open trades and carries out their decisions as baskets.
//!
//! One basket of a trade is out at a time; nothing further is decided until every order of it is
//! terminal. Reduces only on the venue where something is held, never on a third one.

mod act;
mod adopt;
mod by_hand;
mod imagine;
mod residual;
#[cfg(test)]
mod tests;

use super::measure::{collared, executable_exit, funding_due, reaches, rescale};
use super::outcome::Outcome;
use super::recent::{News, Recent};
use super::{ExitReason, Leg, Phase, Trade, Working};
use crate::core::digest::Digest;
use crate::core::limits::URGENT_SIZE_FACTOR;
use crate::core::listing::Listing;
use crate::core::mode::Modes;
use crate::core::pair::Pair;
use crate::domain::event::FlowBody;
use crate::domain::instrument::{Instrument, Price, Qty};
use crate::domain::intent::{BasketKind, Denial, Intent, OrderRef, Ppb, TradeId};
use crate::domain::money::Money;
use crate::domain::order::{ClientId, OrderState, OrderUpdate, Side};
use crate::domain::params::{RiskParams, ScanParams};
use crate::domain::time::{Nanos, SECOND, Stamp};
use act::Want;
use serde::{Deserialize, Serialize};

/// Most trades open at a time, whatever is configured.
pub const TRADES_MAX: usize = 64;

/// Slots beyond those for trades, in which late fills are closed.
const SPARE_SLOTS: usize = 4;

/// An IOC order that still rests after this is cancelled, and again each time it passes.
const REST_MAX_NS: Nanos = SECOND;

/// What the desk works on besides its own trades.
pub struct Floor<'a> {
    /// All listings.
    pub listings: &'a mut [Listing],
    /// All pairs.
    pub pairs: &'a mut [Pair],
    /// Modes in force.
    pub modes: &'a Modes,
    /// Parameters.
    pub params: &'a ScanParams,
    /// The instant of the input at hand.
    pub now: Stamp,
    /// Where intents go.
    pub out: &'a mut Vec<FlowBody>,
}

/// Counters of the desk, all since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeskCounters {
    /// Trades whose entry had any fill.
    pub opened: u64,
    /// Of those, closed.
    pub closed: u64,
    /// Entries without a fill.
    pub missed: u64,
    /// Baskets denied.
    pub denied: u64,
    /// Orders refused, and entries that left one leg alone.
    pub failures: u64,
    /// Hedges sent.
    pub hedges: u64,
    /// Unwinds sent.
    pub unwinds: u64,
    /// Fills reported after the end of their order.
    pub late_fills: u64,
    /// Order updates about orders that the desk does not remember.
    pub strays: u64,
    /// Executions that are not ours: the venue or somebody else traded on our account.
    pub foreign: u64,
}

/// An order that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Contracts that it wanted, when it was a leg of an entry that we did not ask to be cancelled.
    pub entered: Option<i64>,
}

/// The open trades.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Desk {
    trades: Vec<Option<Trade>>,
    open: usize,
    epoch: u64,
    order_last: u64,
    trade_last: u32,
    /// Amendments by hand so far.
    amended_last: u16,
    due: Nanos,
    /// When listings are looked through for residuals that an order could close.
    residual_due: Nanos,
    /// How far from the mid risk lets the limit price of an entry lie, ppb.
    collar: Ppb,
    /// Most notional that risk lets an order have that reduces or hedges.
    notional_max: Money,
    recent: Recent,
    counters: DeskCounters,
}

impl Desk {
    /// An empty desk for boot `epoch`, whose prices and urgent orders keep within what `risk` demands.
    pub fn new(epoch: u64, params: &ScanParams, risk: &RiskParams) -> Self {
        let slots = usize::from(params.trades_open_max).clamp(1, TRADES_MAX);
        Self {
            trades: vec![None; slots + SPARE_SLOTS],
            open: 0,
            epoch,
            order_last: 0,
            trade_last: 0,
            amended_last: 0,
            due: Nanos::MAX,
            residual_due: Nanos::MAX,
            collar: risk.price_collar_ppb,
            notional_max: RiskParams::money(risk.order_notional_max_usd.saturating_mul(URGENT_SIZE_FACTOR)),
            recent: Recent::new(),
            counters: DeskCounters::default(),
        }
    }

    /// True when no further trade may be opened.
    pub fn is_full(&self, params: &ScanParams) -> bool {
        self.open >= usize::from(params.trades_open_max).min(self.trades.len() - SPARE_SLOTS)
    }

    /// For how long the leg has stood alone that does so for the longest time, ns; 0 when none does.
    pub fn alone_for(&self, now: Nanos) -> Nanos {
        let since = self.trades().take(self.open).filter_map(|trade| trade.alone_since).min();
        since.map_or(0, |since| now.saturating_sub(since))
    }

    /// When the next deadline falls; [`Nanos::MAX`] when there is none.
    pub fn due(&self) -> Nanos {
        self.due
    }

    /// Counters.
    pub fn counters(&self) -> DeskCounters {
        self.counters
    }

    /// The open trades.
    pub fn trades(&self) -> impl Iterator<Item = &Trade> + '_ {
        self.trades.iter().flatten()
    }

    /// The trade in a slot.
    pub fn trade(&self, slot: u16) -> Option<&Trade> {
        self.trades.get(usize::from(slot))?.as_ref()
    }

    /// Opens a trade in a direction that the pair has found ready.
    pub fn enter(&mut self, pair_at: usize, way: usize, floor: &mut Floor<'_>) {
        let Some(slot) = self.trades.iter().position(Option::is_none) else { return };
        let pair = &floor.pairs[pair_at];
        let Some(fills) = pair.fills(way) else { return };
        let Some((at, wants)) =
            entry_wants(pair, way, floor.listings, floor.now.mono, floor.params, self.collar)
        else {
            return;
        };
        let mid2 = floor.listings[usize::from(at[0])].mid2 + floor.listings[usize::from(at[1])].mid2;
        self.trade_last += 1;
        let mut trade = Trade {
            id: TradeId(self.trade_last),
            pair: pair_at as u16,
            way: way as u8,
            canonical: pair.canonical,
            edge: pair.ways[way].terms,
            mid: Price(mid2 / 4),
            hold_until: floor.now.mono.saturating_add(floor.params.hold_max_ns),
            ..Trade::default()
        };
        for leg in 0..2 {
            trade.legs[leg] = Leg { listing: at[leg], side: ENTRY_SIDES[leg], ..Leg::default() };
            floor.listings[usize::from(at[leg])].trade = Some(slot as u16);
        }
        trade.edge.threshold = pair.ways[way].terms.threshold;
        self.trades[slot] = Some(trade);
        self.open += 1;
        let deep = [fills[0].deep, fills[1].deep];
        self.send(slot, BasketKind::Entry, wants, deep, floor);
        self.reschedule();
    }

    /// An order changed.
    pub fn on_order(&mut self, update: &OrderUpdate, floor: &mut Floor<'_>) {
        if update.client_id == ClientId::NONE && update.fill_qty.0 > 0 {
            self.on_foreign(update, floor);
            self.reschedule();
            return;
        }
        let Some(news) = self.recent.take(update) else {
            // Newer orders have displaced it; the trade that waits for it has not forgotten it.
            match self.find_working(update.client_id) {
                Some((slot, leg)) => self.on_working(slot, leg, update, floor),
                None => {
                    self.counters.strays += 1;
                    self.on_old_fill(update, floor);
                }
            }
            self.reschedule();
            return;
        };
        match self.find_leg(news.listing, floor.listings) {
            Some((slot, leg)) if self.is_working(slot, leg, update.client_id) => {
                self.on_working(slot, leg, update, floor);
            }
            found if news.filled > 0 => {
                let price = if update.fill_price.0 > 0 { update.fill_price } else { news.limit };
                self.on_late_fill(&news, price, found, floor);
            }
            _ => {}
        }
        self.reschedule();
    }

    /// Once for each order of ours that a trade sent: it has ended, and its listing's quality may count it.
    pub fn judge(&mut self, id: ClientId) -> Option<Ended> {
        let working = self.find_working(id);
        let is_new = self.recent.judge(id) || (!self.recent.knows(id) && working.is_some());
        is_new.then(|| Ended { entered: working.and_then(|(slot, leg)| self.entering(slot, leg)) })
    }

    /// Contracts that the order wants which is out for a leg, when it is of an entry and only the book ends it.
    fn entering(&self, slot: usize, leg: usize) -> Option<i64> {
        let trade = self.trades[slot].as_ref().filter(|trade| trade.kind == BasketKind::Entry)?;
        trade.legs[leg].working.filter(|working| !working.called_off).map(|working| working.qty)
    }

    /// The order that is out changed.
    fn on_working(&mut self, slot: usize, leg: usize, update: &OrderUpdate, floor: &mut Floor<'_>) {
        let Some(trade) = &mut self.trades[slot] else { return };
        let is_over = trade.legs[leg].apply(update).unwrap_or(false);
        trade.note_alone(floor.now.mono);
        if let Some(working) = &mut trade.legs[leg].working
            && matches!(working.state, OrderState::Open | OrderState::PartiallyFilled)
        {
            working.cancel_at = working.cancel_at.or(Some(floor.now.mono + REST_MAX_NS));
        }
        if is_over {
            let is_rejected = trade.legs[leg].last == Outcome::Rejected;
            trade.rejects = if is_rejected { trade.rejects.saturating_add(1) } else { 0 };
            self.counters.failures += u64::from(is_rejected);
            if !trade.is_waiting() {
                self.on_settled(slot, floor);
            }
        }
    }

    /// A fill arrived after the end of its order. It is a position like any other: the trade that uses the
    /// listing takes it over; without one it joins the residual, and is closed once an order can do that.
    fn on_late_fill(
        &mut self,
        news: &News,
        price: Price,
        found: Option<(usize, usize)>,
        floor: &mut Floor<'_>,
    ) {
        self.counters.late_fills += 1;
        if let Some((slot, leg)) = found
            && let Some(trade) = &mut self.trades[slot]
        {
            // In a trade that only closes a residual nothing was entered.
            if trade.phase == Phase::Exiting && !trade.is_hit() {
                trade.legs[leg].position += news.side.sign() * news.filled;
            } else {
                trade.legs[leg].book(news.side, news.filled, price);
            }
            if trade.phase == Phase::Open {
                trade.phase = Phase::Balancing;
                trade.retry_at = floor.now.mono;
            }
            self.advance(slot, floor);
            return;
        }
        floor.listings[usize::from(news.listing)].residual += news.side.sign() * news.filled;
        self.close_residual_soon(news.listing, floor);
    }

    /// An execution on our account that no order of ours explains: deleveraging, liquidation, somebody's hand. What
    /// it takes from a leg is gone, and the trade is closed: the other leg stands unhedged, and a venue that takes
    /// positions away is no place to enter again. What it does beyond that is none of the desk's positions; the
    /// venue's statement shows it.
    fn on_foreign(&mut self, update: &OrderUpdate, floor: &mut Floor<'_>) {
        self.counters.foreign += 1;
        let Some(listing) = floor.listings.iter().position(|l| l.params.id == update.instrument) else {
            return;
        };
        let mut left = update.side.sign() * update.fill_qty.0;
        if let Some((slot, leg)) = self.find_leg(listing as u16, floor.listings)
            && let Some(trade) = &mut self.trades[slot]
        {
            let taken = taken_from(trade.legs[leg].position, left);
            if taken != 0 {
                left -= taken;
                trade.legs[leg].position += taken;
                trade.closing = trade.closing.or(Some(ExitReason::Reduced));
                self.advance(slot, floor);
            }
        }
        let residual = &mut floor.listings[listing].residual;
        let taken = taken_from(*residual, left);
        *residual += taken;
        let excess = OrderUpdate { fill_qty: Qty((left - taken).abs()), ..*update };
        self.adopt_excess(&excess, floor);
    }

    fn is_working(&self, slot: usize, leg: usize, id: ClientId) -> bool {
        let trade = self.trades.get(slot).and_then(Option::as_ref);
        trade.is_some_and(|trade| trade.legs[leg].working.is_some_and(|working| working.id == id))
    }

    /// A basket was denied whole: its orders do not exist.
    pub fn on_denied(&mut self, denial: &Denial, floor: &mut Floor<'_>) {
        let found = self.trades.iter().position(|trade| {
            trade
                .as_ref()
                .is_some_and(|t| t.id == denial.trade && t.attempt == denial.attempt && t.is_waiting())
        });
        let Some(slot) = found else { return };
        self.counters.denied += 1;
        let Some(trade) = &mut self.trades[slot] else { return };
        for leg in trade.legs.iter_mut().filter(|leg| leg.working.is_some()) {
            leg.working = None;
            leg.last = Outcome::Zero;
        }
        if trade.kind == BasketKind::Entry && trade.is_flat() {
            floor.pairs[usize::from(trade.pair)].ways[usize::from(trade.way & 1)].denials += 1;
            self.release(slot, floor);
        } else {
            trade.retry_at = floor.now.mono.saturating_add(floor.params.retry_ns);
        }
        self.reschedule();
    }

    /// Fires the deadlines that have come: holding times, retries, orders that rest.
    pub fn on_time(&mut self, floor: &mut Floor<'_>) {
        let now = floor.now.mono;
        for slot in 0..self.trades.len() {
            let Some(trade) = &mut self.trades[slot] else { continue };
            if trade.is_waiting() {
                cancel_rested(trade, floor, |working| working.cancel_at.is_some_and(|at| now >= at));
            } else {
                if trade.phase == Phase::Open && now >= trade.hold_until {
                    trade.closing = trade.closing.or(Some(ExitReason::Held));
                }
                self.advance(slot, floor);
            }
        }
        if now >= self.residual_due {
            self.close_residuals(floor);
        }
        self.reschedule();
    }

    /// A listing of an open trade has a new price: converged, or too much lost?
    pub fn on_price(&mut self, slot: u16, floor: &mut Floor<'_>) {
        let slot = usize::from(slot);
        let Some(Some(trade)) = self.trades.get_mut(slot) else { return };
        if trade.phase != Phase::Open {
            return;
        }
        let Some(exit_basis) = executable_exit(trade, floor) else { return };
        let tolerated = trade.expected_exit().saturating_add(floor.params.exit_tolerance_ppb);
        let tolerated = tolerated.saturating_sub(funding_due(trade, floor));
        // A trade entered at random must not leave by choice either: it is closed by time or loss.
        if exit_basis <= tolerated && floor.params.random_entry_ns == 0 {
            trade.closing = Some(ExitReason::Converged);
        } else if exit_basis.saturating_sub(trade.realised) > floor.params.loss_max_ppb {
            trade.closing = Some(ExitReason::Loss);
        } else {
            return;
        }
        self.advance(slot, floor);
        self.reschedule();
    }

    /// Closes every trade that `concerned` picks, and cancels its orders that rest.
    pub fn close(
        &mut self,
        why: ExitReason,
        floor: &mut Floor<'_>,
        concerned: impl Fn(&Trade, &[Listing]) -> bool,
    ) {
        for slot in 0..self.trades.len() {
            let Some(trade) = &mut self.trades[slot] else { continue };
            if !concerned(trade, floor.listings) {
                continue;
            }
            trade.closing = trade.closing.or(Some(why));
            cancel_rested(trade, floor, |working| working.cancel_at.is_some());
            self.advance(slot, floor);
        }
        self.reschedule();
    }

    /// A listing's contract changed: what is held is restated in the new quantity scale, and closed.
    pub fn on_redefined(&mut self, listing: u16, before: &Instrument, floor: &mut Floor<'_>) {
        let after = floor.listings[usize::from(listing)].instrument;
        let residual = &mut floor.listings[usize::from(listing)].residual;
        *residual = rescale(*residual, before.qty_scale, after.qty_scale);
        self.recent.rescale(listing, |qty| rescale(qty, before.qty_scale, after.qty_scale));
        let slot = floor.listings[usize::from(listing)].trade;
        if let Some(Some(trade)) = slot.and_then(|slot| self.trades.get_mut(usize::from(slot))) {
            if trade.legs[0].listing == listing {
                trade.mid = Price(rescale(trade.mid.0, before.price_scale, after.price_scale));
            }
            for leg in trade.legs.iter_mut().filter(|leg| leg.listing == listing) {
                leg.position = rescale(leg.position, before.qty_scale, after.qty_scale);
                if let Some(working) = &mut leg.working {
                    working.qty = rescale(working.qty, before.qty_scale, after.qty_scale);
                    working.filled = rescale(working.filled, before.qty_scale, after.qty_scale);
                }
            }
        }
        self.close(ExitReason::Metadata, floor, |trade, _| {
            trade.legs.iter().any(|leg| leg.listing == listing)
        });
        // Smaller lots: what was less than an order may be one now.
        self.close_residual_soon(listing, floor);
        self.reschedule();
    }

    /// Adds the state to a digest.
    pub fn digest(&self, to: &mut Digest) {
        to.mix(self.order_last);
        if self.amended_last > 0 {
            to.mix(u64::from(self.amended_last));
        }
        self.recent.digest(to);
        to.mix(u64::from(self.trade_last));
        to.mix_signed(self.residual_due);
        for trade in &self.trades {
            match trade {
                Some(trade) => trade.digest(to),
                None => to.mix(0),
            }
        }
    }

    fn find_leg(&self, listing: u16, listings: &[Listing]) -> Option<(usize, usize)> {
        let slot = usize::from(listings.get(usize::from(listing))?.trade?);
        let trade = self.trades.get(slot)?.as_ref()?;
        Some((slot, trade.legs.iter().position(|leg| leg.listing == listing)?))
    }

    fn find_working(&self, id: ClientId) -> Option<(usize, usize)> {
        let is_it = |leg: &Leg| leg.working.is_some_and(|working| working.id == id);
        let found = |trade: &Option<Trade>| trade.as_ref()?.legs.iter().position(is_it);
        self.trades.iter().enumerate().find_map(|(slot, trade)| Some((slot, found(trade)?)))
    }

    /// Finds the next deadline.
    fn reschedule(&mut self) {
        let trades = self.trades.iter().flatten().map(next_due).min().unwrap_or(Nanos::MAX);
        self.due = trades.min(self.residual_due);
    }
}

/// How much of a signed fill brings a position towards zero, with the fill's sign.
fn taken_from(position: i64, fill: i64) -> i64 {
    if position.signum() * fill.signum() >= 0 { 0 } else { fill.signum() * fill.abs().min(position.abs()) }
}

/// Sides of an entry: the first leg buys.
const ENTRY_SIDES: [Side; 2] = [Side::Buy, Side::Sell];

/// Listings and orders with which a pair enters in a direction, at the quotes that it was priced from. Prices keep
/// within the collar; where that would not take what was priced they are left to risk, which denies them by name.
/// One copy of its code, so that a rehearsal warms what an entry runs.
#[inline(never)]
fn entry_wants(
    pair: &Pair,
    way: usize,
    listings: &[Listing],
    now: Nanos,
    params: &ScanParams,
    collar: Ppb,
) -> Option<([u16; 2], [Option<Want>; 2])> {
    let (size, fills) = (pair.size?, pair.fills(way)?);
    let at = [pair.listings[way], pair.listings[1 - way]];
    let qty = [size.qty[way].0, size.qty[1 - way].0];
    let mut wants = [None; 2];
    for leg in 0..2 {
        let listing = &listings[usize::from(at[leg])];
        let (side, worst) = (ENTRY_SIDES[leg], fills[leg].worst);
        let wanted = listing.limit_price(side, worst, params.limit_slack_ppb, now)?;
        let clipped = collared(&listing.instrument, side, wanted, listing.mid(), collar);
        let price = if reaches(side, clipped, worst) { clipped } else { wanted };
        wants[leg] = Some(Want { leg, side, qty: qty[leg], price, reduce_only: false });
    }
    Some((at, wants))
}

fn next_due(trade: &Trade) -> Nanos {
    if trade.is_waiting() {
        let resting = trade.legs.iter().filter_map(|leg| leg.working?.cancel_at);
        return resting.min().unwrap_or(Nanos::MAX);
    }
    match trade.phase {
        Phase::Open => trade.hold_until,
        _ => trade.retry_at,
    }
}

/// Asks for the cancellation of the trade's acknowledged orders that `picks` names.
fn cancel_rested(trade: &mut Trade, floor: &mut Floor<'_>, picks: impl Fn(&Working) -> bool) {
    for leg in &mut trade.legs {
        let listing = &floor.listings[usize::from(leg.listing)];
        if let Some(working) = leg.working.as_mut().filter(|working| picks(working)) {
            working.cancel_at = Some(floor.now.mono + REST_MAX_NS);
            working.called_off = true;
            let order = OrderRef {
                client_id: working.id,
                venue: listing.params.venue,
                instrument: listing.params.id,
            };
            floor.out.push(FlowBody::Intent(Intent::Cancel(order)));
        }
    }
}
