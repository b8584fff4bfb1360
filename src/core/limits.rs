//! The limits themselves: what is measured, against what, and how far urgent orders may go.
//!
//! Exposure counts the worst case: positions plus everything that open orders, unknown ones included, can
//! still fill. Each check returns the typed reason with value and limit. Which checks apply to which
//! basket is decided in `risk`.

mod judge;

pub use judge::{Checked, Decide, Judge, RiskCheck, Unit, Witness};

use super::position::Positions;
use crate::domain::instrument::{Instrument, InstrumentId, Price, Qty, VENUES_MAX};
use crate::domain::intent::{DenyReason, LEGS_MAX, ONE_PPB, Ppb};
use crate::domain::money::Money;
use crate::domain::order::{OrderSpec, Side};
use crate::domain::time::{Nanos, SECOND};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Urgent orders may lie this many times further from the mid than entries.
pub const URGENT_COLLAR_FACTOR: i64 = 3;
/// Urgent orders may be decided on a book this many times older.
pub const URGENT_AGE_FACTOR: i64 = 10;
/// Urgent orders may be this many times larger in notional, and hedges may use exposure limits this many
/// times over: the price has moved since the entry that they complete or close was admitted.
pub const URGENT_SIZE_FACTOR: i64 = 2;

/// The leg of a violation that concerns the basket as a whole.
pub const WHOLE: u8 = 255;

/// What may be sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum TradingState {
    /// Everything within the limits.
    #[default]
    Active,
    /// Exits, unwinds and hedges; no entries.
    Reducing,
    /// Cancels and reduce-only orders.
    Halted,
}

/// A failed check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub reason: DenyReason,
    /// The leg that failed, or [`WHOLE`].
    pub leg: u8,
    /// What was measured.
    pub value: Money,
    /// What it was held against.
    pub limit: Money,
}

impl Violation {
    /// A check of one leg.
    pub const fn leg(reason: DenyReason, leg: usize, value: Money, limit: Money) -> Self {
        Self { reason, leg: leg as u8, value, limit }
    }

    /// A check of the basket as a whole.
    pub const fn whole(reason: DenyReason, value: Money, limit: Money) -> Self {
        Self { reason, leg: WHOLE, value, limit }
    }
}

/// Tick, step, minimum, maximum, sign, and that the order is for this listing. The value is the offending
/// figure, the limit what bounds it, in the listing's own units.
pub fn order_valid(
    leg: usize,
    order: &OrderSpec,
    instrument: &Instrument,
    judge: &mut impl Judge,
) -> Result<(), Violation> {
    use RiskCheck as C;
    let units = |value: i64| Money::from_units(value);
    let seen = |check, value, limit, passed| Checked::leg(check, leg, units(value), units(limit), passed);
    let (qty, price) = (order.qty.0, order.price.0);
    let (venue, home) = (i64::from(order.venue.0), i64::from(instrument.venue.0));
    judge.see(seen(C::OrderVenue, venue, home, order.venue == instrument.venue))?;
    let known = instrument.tick > 0 && instrument.step > 0;
    let scales = seen(C::TickAndStep, instrument.tick, instrument.step, known);
    if !known {
        return Err(judge.end(scales));
    }
    judge.see(scales)?;
    judge.see(seen(C::QtyMin, qty, instrument.qty_min.0, qty > 0 && qty >= instrument.qty_min.0))?;
    judge.see(seen(C::QtyMax, qty, instrument.qty_max.0, qty <= instrument.qty_max.0))?;
    judge.see(seen(C::QtyStep, qty, instrument.step, qty % instrument.step == 0))?;
    judge.see(seen(C::PriceTick, price, instrument.tick, price > 0 && price % instrument.tick == 0))?;
    // Venues exempt reduce-only orders from the smallest notional.
    let (notional, least) =
        (instrument.notional(order.qty, order.price), Money::from_num(instrument.spec.notional_min));
    judge.see(Checked::leg(C::NotionalMin, leg, notional, least, order.reduce_only || notional >= least))
}

/// Distance of a limit price from the mid, ppb, in either direction; `None` without a mid.
pub fn collar_ppb(price: Price, mid: Price) -> Option<Ppb> {
    if mid.0 <= 0 {
        return None;
    }
    let distance = (i128::from(price.0) - i128::from(mid.0)).abs() * i128::from(ONE_PPB) / i128::from(mid.0);
    Some(i64::try_from(distance).unwrap_or(i64::MAX))
}

/// Orders of the last second.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RateWindow {
    times: VecDeque<Nanos>,
    room: usize,
}

impl RateWindow {
    /// Room to tell whether `max` is exceeded.
    pub fn new(max: u32) -> Self {
        let room = max as usize + LEGS_MAX;
        Self { times: VecDeque::with_capacity(room), room }
    }

    /// Orders in the second that ends at `now` (`mono`).
    pub fn count(&self, now: Nanos) -> usize {
        // Times rise: the old ones are at the front.
        self.times.len() - self.times.partition_point(|at| *at <= now - SECOND)
    }

    /// Counts an order. When there is no room the limit is reached anyway, so the oldest may go.
    pub fn push(&mut self, now: Nanos) {
        if self.times.len() >= self.room {
            self.times.pop_front();
        }
        self.times.push_back(now);
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Row {
    /// Contracts that open buys can still fill.
    buys: i64,
    /// Contracts that open sells can still fill.
    sells: i64,
    /// Price to value with until there is a mark.
    price: i64,
    /// Worst-case notional, quote currency.
    worst: Money,
}

/// Worst-case exposure by listing, venue and in all; quote currencies are added at par.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Exposure {
    rows: Vec<Row>,
    venues: [Money; VENUES_MAX],
    gross: Money,
}

/// Exposure as it would be with a basket's orders open.
#[derive(Clone, Copy, Debug, Default)]
pub struct Projection {
    /// Of each leg's listing.
    pub listing: [Money; LEGS_MAX],
    /// Of each leg's venue.
    pub venue: [Money; LEGS_MAX],
    /// Of everything.
    pub gross: Money,
}

impl Exposure {
    /// None, with room for every listing.
    pub fn new(listings: usize) -> Self {
        Self { rows: vec![Row::default(); listings], venues: [Money::ZERO; VENUES_MAX], gross: Money::ZERO }
    }

    /// Open quantity of a side of a listing changed.
    pub fn add_open(&mut self, id: InstrumentId, side: Side, change: i64) {
        if let Some(row) = self.rows.get_mut(id.index()) {
            match side {
                Side::Buy => row.buys += change,
                Side::Sell => row.sells += change,
            }
        }
    }

    /// Open quantity of a listing, (buys, sells).
    pub fn open(&self, id: InstrumentId) -> (i64, i64) {
        self.rows.get(id.index()).map_or((0, 0), |row| (row.buys, row.sells))
    }

    /// A price to value a listing with while nothing better is known.
    pub fn set_price(&mut self, id: InstrumentId, price: Price) {
        if let Some(row) = self.rows.get_mut(id.index()) {
            row.price = price.0;
        }
    }

    /// A listing's position, orders, mark or scales changed.
    pub fn refresh(&mut self, positions: &Positions, instrument: &Instrument) {
        let Some(row) = self.rows.get_mut(instrument.id.index()) else { return };
        let worst = worst(positions, instrument, row.buys, row.sells, row.price);
        let change = worst - row.worst;
        row.worst = worst;
        if let Some(venue) = self.venues.get_mut(instrument.venue.index()) {
            *venue += change;
        }
        self.gross += change;
    }

    /// Worst-case notional of a venue.
    pub fn venue(&self, venue: crate::domain::instrument::VenueId) -> Money {
        self.venues.get(venue.index()).copied().unwrap_or_default()
    }

    /// Worst-case notional of everything.
    pub const fn gross(&self) -> Money {
        self.gross
    }

    /// What the exposure would be with these orders open too.
    pub fn project(&self, positions: &Positions, legs: &[OrderSpec], mids: &[Price]) -> Projection {
        let mut projection = Projection { gross: self.gross, ..Projection::default() };
        let mut change = [Money::ZERO; LEGS_MAX];
        for (at, leg) in legs.iter().enumerate() {
            let (Some(row), Some(instrument)) =
                (self.rows.get(leg.instrument.index()), positions.instrument(leg.instrument))
            else {
                continue; // refused as invalid before
            };
            let (mut buys, mut sells, mut price) = (row.buys, row.sells, row.price);
            for (other, mid) in legs.iter().zip(mids).filter(|(other, _)| other.instrument == leg.instrument)
            {
                match other.side {
                    Side::Buy => buys += other.qty.0,
                    Side::Sell => sells += other.qty.0,
                }
                price = price.max(mid.0).max(other.price.0);
            }
            projection.listing[at] = worst(positions, instrument, buys, sells, price);
            // A listing that several legs share changes the sums once.
            if !legs[..at].iter().any(|earlier| earlier.instrument == leg.instrument) {
                change[at] = projection.listing[at] - row.worst;
                projection.gross += change[at];
            }
        }
        for (at, leg) in legs.iter().enumerate() {
            let changes = legs.iter().zip(change).filter(|(other, _)| other.venue == leg.venue);
            projection.venue[at] = changes.fold(self.venue(leg.venue), |sum, (_, change)| sum + change);
        }
        projection
    }
}

/// Notional of the largest absolute position that is possible.
fn worst(positions: &Positions, instrument: &Instrument, buys: i64, sells: i64, price: i64) -> Money {
    let position = positions.get(instrument.id);
    let qty = position
        .qty
        .saturating_add(buys)
        .saturating_abs()
        .max(position.qty.saturating_sub(sells).saturating_abs())
        .max(positions.worst_qty(instrument.id));
    instrument.notional(Qty(qty), position.mark.unwrap_or(Price(price)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_collar_measures_both_directions_and_needs_a_mid() {
        assert_eq!(collar_ppb(Price(10_100), Price(10_000)), Some(10_000_000));
        assert_eq!(collar_ppb(Price(9_900), Price(10_000)), Some(10_000_000));
        assert_eq!(collar_ppb(Price(1), Price(0)), None);
        assert_eq!(collar_ppb(Price(i64::MAX), Price(1)), Some(i64::MAX));
    }

    #[test]
    fn the_rate_counts_exactly_the_last_second() {
        let mut rate = RateWindow::new(2);
        for at in [0, 1, SECOND] {
            rate.push(at);
        }
        assert_eq!(rate.count(SECOND - 1), 3);
        assert_eq!(rate.count(SECOND), 2);
        assert_eq!(rate.count(SECOND + 1), 1);
        for at in 0..100 {
            rate.push(2 * SECOND + at);
        }
        assert_eq!(rate.count(2 * SECOND + 100), 2 + LEGS_MAX, "more than enough to deny");
    }
}
