//! What the run before left open: adopted to be closed, never to be held. Its trades leave as pairs where both legs are
//! still listed; what is held beyond them is a residual. Nothing is sent before the account was compared.

use super::{Desk, Floor};
use crate::core::listing::Listing;
use crate::core::trade::{ExitReason, Leg, Phase, Trade, Working};
use crate::domain::carry::{CarriedLeg, CarriedPosition, CarriedTrade, CarriedWorking, Carry};
use crate::domain::instrument::Price;
use crate::domain::intent::{BasketKind, TradeId};
use crate::domain::order::{OrderState, OrderUpdate};

impl Desk {
    /// Adds the open trades.
    pub fn carry(&self, listings: &[Listing], to: &mut Carry) {
        let instrument = |at: u16| listings.get(usize::from(at)).map(|listing| listing.params.id);
        for trade in self.trades() {
            let mut carried =
                CarriedTrade { id: trade.id.0, canonical: trade.canonical, ..Default::default() };
            for (to, leg) in carried.legs.iter_mut().zip(&trade.legs) {
                *to = CarriedLeg {
                    instrument: instrument(leg.listing).unwrap_or_default(),
                    side: leg.side,
                    position: leg.position,
                    working: leg.working.map(|working| working.carried()),
                };
            }
            to.trades.push(carried);
        }
    }

    /// A position of the run before: nobody's, until a trade claims its part.
    pub fn adopt_position(&mut self, carried: &CarriedPosition, floor: &mut Floor<'_>) {
        if let Some(listing) = floor.listings.get_mut(carried.instrument.index()) {
            listing.residual += carried.qty;
        }
    }

    /// A trade of the run before. Without a place for it (another configuration) its positions stay residuals.
    pub fn adopt_trade(&mut self, carried: &CarriedTrade, floor: &mut Floor<'_>) {
        let at = carried.legs.map(|leg| leg.instrument.index());
        let listings = at.map(|at| at as u16);
        let is_pair = |pair: [u16; 2]| pair == listings || pair == [listings[1], listings[0]];
        let Some(pair) = floor.pairs.iter().position(|pair| is_pair(pair.listings)) else { return };
        if at.iter().any(|at| floor.listings[*at].trade.is_some()) {
            return;
        }
        let Some(slot) = self.trades.iter().position(Option::is_none) else { return };
        self.trade_last += 1;
        let mids = at.map(|at| floor.listings[at].mid());
        let mut trade = Trade {
            id: TradeId(self.trade_last),
            pair: pair as u16,
            way: u8::from(floor.pairs[pair].listings != listings),
            canonical: floor.pairs[pair].canonical,
            mid: Price(i64::midpoint(mids[0].0, mids[1].0)),
            phase: Phase::Exiting,
            kind: BasketKind::Exit,
            closing: Some(ExitReason::Restarted),
            retry_at: floor.now.mono,
            ..Trade::default()
        };
        for (leg, carried) in trade.legs.iter_mut().zip(&carried.legs) {
            let listing = &mut floor.listings[carried.instrument.index()];
            listing.residual -= carried.position;
            listing.trade = Some(slot as u16);
            *leg = Leg {
                listing: carried.instrument.0,
                side: carried.side,
                position: carried.position,
                working: carried.working.map(|working| Working::adopted(&working)),
                ..Leg::default()
            };
        }
        self.trades[slot] = Some(trade);
        self.open += 1;
        self.reschedule();
    }

    /// Everything was told: what is held is closed, as soon as that may be.
    pub fn begin_again(&mut self, floor: &mut Floor<'_>) {
        self.close_residuals(floor);
        self.reschedule();
    }

    /// Whether a trade waits for the account of a venue to be compared first.
    pub(super) fn must_wait(trade: &Trade, floor: &Floor<'_>) -> bool {
        let awaited = |leg: &Leg| {
            let venue = floor.listings[usize::from(leg.listing)].params.venue;
            leg.position != 0 && floor.modes.restart.awaits(venue)
        };
        trade.legs.iter().any(awaited)
    }

    /// A fill of an order of the run before that none of its trades waits for.
    pub(super) fn on_old_fill(&mut self, update: &OrderUpdate, floor: &mut Floor<'_>) {
        let is_old = update.client_id.epoch() != self.epoch && floor.modes.restart.has_begun();
        if is_old && update.fill_qty.0 > 0 {
            self.add_residual(update, floor);
        }
    }

    /// What an account turns out to hold beyond the record of a run that crashed is ours.
    pub(super) fn adopt_excess(&mut self, update: &OrderUpdate, floor: &mut Floor<'_>) {
        if floor.modes.restart.adopts_at(update.venue) {
            self.add_residual(update, floor);
        }
    }

    fn add_residual(&mut self, update: &OrderUpdate, floor: &mut Floor<'_>) {
        let at = update.instrument;
        if let Some(listing) = floor.listings.get_mut(at.index()) {
            listing.residual += update.side.sign() * update.fill_qty.0;
            self.close_residual_soon(at.0, floor);
        }
    }

    /// Whether nothing is open or left that an order could close.
    pub fn is_clear(&self, listings: &[Listing]) -> bool {
        let is_dust = |listing: &Listing| {
            listing.residual.abs() < super::super::measure::order_min(&listing.instrument)
        };
        self.open == 0 && listings.iter().all(is_dust)
    }
}

impl Working {
    fn carried(&self) -> CarriedWorking {
        let Self { id, side, qty, filled, limit, .. } = *self;
        CarriedWorking { id, side, qty, filled, limit }
    }

    fn adopted(carried: &CarriedWorking) -> Self {
        let CarriedWorking { id, side, qty, filled, limit } = *carried;
        Self { id, side, qty, filled, limit, state: OrderState::Unknown, cancel_at: None, called_off: false }
    }
}
