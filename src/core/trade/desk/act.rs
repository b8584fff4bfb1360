//! What the desk does next for a trade that has no order out: balance, hold, close, end.

use super::{Desk, Floor};
use crate::core::listing::Listing;
use crate::core::trade::measure::{
    compare, order_max, order_min, order_within, realised_basis, urgent_price,
};
use crate::core::trade::outcome::{Action, Outcome, decide};
use crate::core::trade::{ExitReason, Leg, Phase, Trade, Working};
use crate::domain::event::FlowBody;
use crate::domain::instrument::{Price, Qty};
use crate::domain::intent::{Basket, BasketKind, Intent, LEGS_MAX};
use crate::domain::order::{ClientId, OrderSpec, OrderState, Side, TimeInForce};
use crate::domain::time::{Nanos, Stamp};

/// Retries after refusals in a row wait up to `retry_ns` × 2 to this power.
const BACKOFF_MAX: u32 = 6;

/// A leg of a basket in the making.
#[derive(Clone, Copy, Debug)]
pub(super) struct Want {
    pub leg: usize,
    pub side: Side,
    pub qty: i64,
    pub price: Price,
    pub reduce_only: bool,
}

/// An order as wanted, the mid of its book and the age of what it was priced from.
#[inline(never)]
pub(super) fn leg_order(
    listing: &Listing,
    want: &Want,
    id: ClientId,
    deep: bool,
    now: Stamp,
) -> (OrderSpec, Price, Nanos) {
    let order = OrderSpec {
        client_id: id,
        venue: listing.params.venue,
        instrument: listing.params.id,
        side: want.side,
        qty: Qty(want.qty),
        price: want.price,
        tif: TimeInForce::Ioc,
        reduce_only: want.reduce_only,
    };
    let age = if deep { listing.depth_age(now.wall) } else { 0 };
    (order, listing.mid(), age.max(listing.touch_age(now.wall)))
}

impl Desk {
    /// Every order of the last basket is terminal.
    pub(super) fn on_settled(&mut self, slot: usize, floor: &mut Floor<'_>) {
        let Some(trade) = &mut self.trades[slot] else { return };
        match trade.kind {
            BasketKind::Entry => {
                let way = &mut floor.pairs[usize::from(trade.pair)].ways[usize::from(trade.way & 1)];
                if trade.is_hit() {
                    way.hits += 1;
                    self.counters.opened += 1;
                    self.counters.failures += u64::from(trade.legs.iter().any(|leg| leg.entered == 0));
                } else {
                    way.misses += 1;
                    self.counters.missed += 1;
                }
                trade.phase = Phase::Balancing;
                trade.retry_at = floor.now.mono;
            }
            BasketKind::Hedge | BasketKind::Amend => trade.retry_at = floor.now.mono,
            BasketKind::Exit | BasketKind::Unwind => {
                let pause = floor.params.retry_ns.max(1) << u32::from(trade.rejects).min(BACKOFF_MAX);
                trade.retry_at = floor.now.mono.saturating_add(pause);
            }
        }
        self.advance(slot, floor);
    }

    /// Does what is next for a trade that has no order out.
    pub(super) fn advance(&mut self, slot: usize, floor: &mut Floor<'_>) {
        let Some(trade) = &mut self.trades[slot] else { return };
        trade.note_alone(floor.now.mono);
        if trade.is_waiting() || floor.modes.stopped {
            return;
        }
        if self.is_done(slot, floor) {
            self.finish(slot, floor);
            return;
        }
        let Some(trade) = &mut self.trades[slot] else { return };
        if trade.closing.is_some() && trade.phase != Phase::Exiting {
            trade.phase = Phase::Exiting;
            trade.retry_at = floor.now.mono;
        }
        match trade.phase {
            Phase::Open | Phase::Entering => {}
            Phase::Balancing => self.balance(slot, floor),
            Phase::Exiting if floor.now.mono >= trade.retry_at => self.exit(slot, floor),
            Phase::Exiting => {}
        }
    }

    /// True when nothing is left that an order could close. Leftovers join the listing's residual; when
    /// they add up to an order they come back as a position to close.
    fn is_done(&mut self, slot: usize, floor: &mut Floor<'_>) -> bool {
        let Some(trade) = &mut self.trades[slot] else { return false };
        if trade.phase == Phase::Open || trade.phase == Phase::Entering {
            return false;
        }
        let is_dust = |leg: &Leg, listings: &[Listing]| {
            leg.held() < order_min(&listings[usize::from(leg.listing)].instrument)
        };
        if !trade.legs.iter().all(|leg| is_dust(leg, floor.listings)) {
            return false;
        }
        for leg in &mut trade.legs {
            let listing = &mut floor.listings[usize::from(leg.listing)];
            let total = leg.position + listing.residual;
            if total.abs() < order_min(&listing.instrument) {
                listing.residual = total;
                leg.position = 0;
            } else {
                listing.residual = 0;
                leg.position = total;
            }
        }
        if trade.is_flat() {
            return true;
        }
        trade.closing = trade.closing.or(Some(ExitReason::Residual));
        false
    }

    fn finish(&mut self, slot: usize, floor: &mut Floor<'_>) {
        if self.trades[slot].as_ref().is_some_and(Trade::is_hit) {
            self.counters.closed += 1;
        }
        self.release(slot, floor);
    }

    /// Frees the slot and its listings; the pair pauses. What is left over on them is looked at next.
    pub(super) fn release(&mut self, slot: usize, floor: &mut Floor<'_>) {
        self.leave_behind(slot, floor);
        let Some(trade) = self.trades[slot].take() else { return };
        self.open -= 1;
        for leg in &trade.legs {
            let listing = &mut floor.listings[usize::from(leg.listing)];
            listing.trade = None;
            if listing.residual.abs() >= order_min(&listing.instrument) {
                self.residual_due = self.residual_due.min(floor.now.mono);
            }
        }
        floor.pairs[usize::from(trade.pair)].cooldown_until =
            floor.now.mono.saturating_add(floor.params.cooldown_ns);
    }

    /// Makes the legs equal, or finds that they are.
    fn balance(&mut self, slot: usize, floor: &mut Floor<'_>) {
        let Some(trade) = &mut self.trades[slot] else { return };
        let balance = compare(trade, floor);
        match decide([trade.legs[0].last, trade.legs[1].last], &balance) {
            Action::Wait => {}
            Action::Open => {
                trade.phase = Phase::Open;
                trade.realised = realised_basis(trade, floor.listings);
            }
            Action::Miss | Action::Residual => self.finish(slot, floor),
            Action::Hedge(leg) if floor.now.mono >= trade.retry_at => {
                let side = trade.legs[leg].side;
                if self.order(slot, BasketKind::Hedge, leg, side, balance.hedge_qty, floor) {
                    self.counters.hedges += 1;
                    if let Some(trade) = &mut self.trades[slot] {
                        trade.hedges += 1;
                    }
                }
            }
            Action::Unwind(leg) if floor.now.mono >= trade.retry_at => {
                let side = trade.legs[leg].closing_side();
                if self.order(slot, BasketKind::Unwind, leg, side, balance.unwind_qty, floor) {
                    self.counters.unwinds += 1;
                }
            }
            Action::Hedge(_) | Action::Unwind(_) => {}
        }
    }

    /// Sends a single urgent order; without a usable book, tries again later.
    fn order(
        &mut self,
        slot: usize,
        kind: BasketKind,
        leg: usize,
        side: Side,
        qty: i64,
        floor: &mut Floor<'_>,
    ) -> bool {
        let Some(trade) = &mut self.trades[slot] else { return false };
        let listing = &floor.listings[usize::from(trade.legs[leg].listing)];
        let Some(price) = urgent_price(listing, side, floor.now.mono, floor.params, self.collar) else {
            trade.retry_at = floor.now.mono.saturating_add(floor.params.retry_ns);
            return false;
        };
        let qty = order_within(&listing.instrument, qty, price, self.notional_max);
        let want = Want { leg, side, qty, price, reduce_only: kind == BasketKind::Unwind };
        self.send(slot, kind, [Some(want), None], [false; 2], floor);
        true
    }

    /// Closes whatever both legs hold. While both hold something they go together or not at all, whatever the reason:
    /// a pair has no market risk, and one leg alone is nothing but that. So neither a loss nor a kill closes a healthy
    /// leg beside one that cannot be closed now; a loss is measured against a price that stands still there, and a
    /// kill ends new risk. [`apart`] says what may go first. What is larger than risk lets an order be leaves in parts.
    fn exit(&mut self, slot: usize, floor: &mut Floor<'_>) {
        let Some(trade) = &mut self.trades[slot] else { return };
        if Self::must_wait(trade, floor) {
            trade.retry_at = floor.now.mono.saturating_add(floor.params.retry_ns);
            return;
        }
        let (mut wants, mut held, mut halted) = ([None; 2], 0, [false; 2]);
        for (at, leg) in trade.legs.iter().enumerate() {
            let listing = &floor.listings[usize::from(leg.listing)];
            if leg.held() < order_min(&listing.instrument) {
                continue;
            }
            held += 1;
            halted[at] = !listing.is_trading();
            let side = leg.closing_side();
            let price = urgent_price(listing, side, floor.now.mono, floor.params, self.collar);
            wants[at] = price.map(|price| {
                let qty = order_within(&listing.instrument, leg.held(), price, self.notional_max);
                Want { leg: at, side, qty, price, reduce_only: true }
            });
        }
        if held == 2 && (wants.iter().any(Option::is_none) || halted.contains(&true)) {
            wants = apart(trade, wants, halted, floor);
        } else if held == 2 {
            wants = alike(trade, wants, floor);
        }
        if wants.iter().all(Option::is_none) {
            trade.retry_at = floor.now.mono.saturating_add(floor.params.retry_ns);
            return;
        }
        self.send(slot, BasketKind::Exit, wants, [false; 2], floor);
    }

    /// Emits a basket and remembers its orders. `deep`: the leg's price stands on more than the touch.
    pub(super) fn send(
        &mut self,
        slot: usize,
        kind: BasketKind,
        wants: [Option<Want>; 2],
        deep: [bool; 2],
        floor: &mut Floor<'_>,
    ) {
        let Some(trade) = &mut self.trades[slot] else { return };
        if kind != BasketKind::Entry {
            trade.attempt = trade.attempt.wrapping_add(1);
        }
        trade.kind = kind;
        let mut basket = Basket {
            trade: trade.id,
            attempt: trade.attempt,
            kind,
            canonical: trade.canonical,
            edge: if kind == BasketKind::Entry { trade.edge } else { Default::default() },
            detected: floor.now.mono,
            ..Basket::default()
        };
        for want in wants.into_iter().flatten() {
            self.order_last += 1;
            let leg = &mut trade.legs[want.leg];
            let listing = &floor.listings[usize::from(leg.listing)];
            let id = ClientId::new(self.epoch, self.order_last);
            let at = usize::from(basket.len).min(LEGS_MAX - 1);
            (basket.legs[at], basket.mids[at], basket.book_age_ns[at]) =
                leg_order(listing, &want, id, deep[want.leg], floor.now);
            basket.worst.0[at] = listing.band.worst(want.side, floor.now.mono).unwrap_or_default();
            basket.len = at as u8 + 1;
            leg.working = Some(Working {
                id,
                side: want.side,
                qty: want.qty,
                filled: 0,
                limit: want.price,
                state: OrderState::PendingNew,
                cancel_at: None,
                called_off: false,
            });
            leg.last = Outcome::Unknown;
            self.recent.remember(id, leg.listing, want.side, want.qty, want.price);
        }
        floor.out.push(FlowBody::Intent(Intent::Basket(basket)));
    }
}

/// Where one leg leaves in part only, the other one does not leave before it: both by the same amount.
fn alike(trade: &Trade, wants: [Option<Want>; 2], floor: &Floor<'_>) -> [Option<Want>; 2] {
    let listing = |want: &Want| &floor.listings[usize::from(trade.legs[want.leg].listing)].instrument;
    let is_part = |want: &Want| want.qty < order_max(listing(want), trade.legs[want.leg].held());
    let [Some(one), Some(other)] = wants else { return wants };
    if !is_part(&one) && !is_part(&other) {
        return wants;
    }
    let amount = |want: &Want| listing(want).base_amount(Qty(want.qty), trade.mid);
    let common = amount(&one).min(amount(&other));
    [one, other].map(|want| {
        let qty = listing(&want).qty_for_base(common, trade.mid).0;
        Some(Want { qty: qty.clamp(order_min(listing(&want)).min(want.qty), want.qty), ..want })
    })
}

/// What may be closed while the legs of a pair cannot leave together, because a book is away or a contract is
/// suspended: what one leg holds more than the other, down to the other's amount. When they are equal, the suspended
/// leg alone: some venues take reductions then, and one that refuses leaves the pair as it is. `wants` are the orders
/// that have a price.
fn apart(trade: &Trade, wants: [Option<Want>; 2], halted: [bool; 2], floor: &Floor<'_>) -> [Option<Want>; 2] {
    let balance = compare(trade, floor);
    let mut first = [None; 2];
    if let Some(leg) = balance.surplus
        && balance.unwind_qty > 0
        && let Some(want) = wants[leg]
    {
        first[leg] = Some(Want { qty: want.qty.min(balance.unwind_qty), ..want });
    } else if halted[0] != halted[1] && wants.iter().all(Option::is_some) {
        let leg = usize::from(halted[1]);
        first[leg] = wants[leg];
    }
    first
}
