//! What a run hands over to the next one: what must not be forgotten by ending or by crashing.
//!
//! Recorded as the raw bytes (JSON) of [`super::input::Input::Carry`], so that a run with a past replays like any other;
//! decode takes it apart into [`Carried`] events. Listings and venues are numbered as in the new run: who derives a
//! `Carry` has matched them. Quantities and prices are in the scales of [`Carry::instruments`].

use super::instrument::CanonicalId;
use super::instrument::{Instrument, InstrumentId, Price, VENUES_MAX, VenueId};
use super::money::Money;
use super::order::{ClientId, OrderSpec, OrderState, Side};
use super::standing::TradingLock;
use super::time::Nanos;
use serde::{Deserialize, Serialize};

/// How the run before ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// There was none.
    #[default]
    First,
    /// It was told to stop, and recorded that.
    Ordered,
    /// It was not: what it did in its last moments may not be recorded.
    Crashed,
    /// The operator said that it shall not count.
    Forgotten,
}

/// Why nothing is opened until the operator says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Halt {
    /// A kill of everything.
    Killed,
    /// The record could not follow, or failed.
    Recorder,
    /// The operator started without the run before, of which nothing is known then.
    Forgotten,
    /// What the run before left could not be understood.
    Unreadable,
}

impl Halt {
    /// As a part of a sentence.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Killed => "killed",
            Self::Recorder => "halted because its record could not follow or failed",
            Self::Forgotten => "not to count, so nothing is known of halts and losses",
            Self::Unreadable => "not understood",
        }
    }
}

/// What holds of the engine as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Standing {
    /// Nothing is opened until the operator says so.
    pub halted: Option<Halt>,
    /// Venues that are killed.
    pub venues_killed: [bool; VENUES_MAX],
    /// Nothing is opened until the venues in `awaited` were reconciled and nothing is held any more.
    pub reducing: bool,
    /// What these accounts hold beyond what was recorded is ours: the run before crashed.
    pub adopts: bool,
    /// Venues whose accounts are compared first.
    pub awaited: [bool; VENUES_MAX],
    /// The UTC day of `daily`, in days since 1970-01-01.
    pub day: i64,
    /// Net result of that day; negative = loss.
    pub daily: Money,
    /// Net result of this and all earlier runs.
    pub result: Money,
    /// The largest that `result` ever was (or was at the operator's last word).
    pub peak: Money,
    /// Trades lost or failed in a row.
    pub failures: u32,
}

/// What is held of a listing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CarriedPosition {
    /// Listing.
    pub instrument: InstrumentId,
    /// Signed contracts that our fills amount to.
    pub qty: i64,
    /// Cash flow of what is open, settlement currency: negative for a linear long (paid).
    pub open_cash: Money,
    /// The last mid.
    pub mark: Option<Price>,
    /// Signed contracts that the account held besides; `None`: to be read anew.
    pub base: Option<i64>,
}

/// A leg of a trade.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CarriedLeg {
    /// Listing.
    pub instrument: InstrumentId,
    /// Side of the entry.
    pub side: Side,
    /// Signed contracts held.
    pub position: i64,
    /// The order that was out.
    pub working: Option<CarriedWorking>,
}

/// An order as its trade knew it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CarriedWorking {
    /// Its id.
    pub id: ClientId,
    /// Buy or sell.
    pub side: Side,
    /// Wanted contracts.
    pub qty: i64,
    /// Of them, counted as filled.
    pub filled: i64,
    /// Limit price.
    pub limit: Price,
}

/// An open trade: long leg, short leg.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CarriedTrade {
    /// Its number in the run before.
    pub id: u32,
    /// What it trades.
    pub canonical: CanonicalId,
    /// Its legs.
    pub legs: [CarriedLeg; 2],
}

/// How often legs of entries on a listing missed, as it was learnt (`core/miss.rs`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CarriedMiss {
    /// Listing.
    pub instrument: InstrumentId,
    /// Legs that are remembered, ppb of an order.
    pub orders: i64,
    /// What of them missed, ppb of an order.
    pub missed: i64,
}

/// An order whose end is not known, or that is owed fills.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CarriedOrder {
    /// What was asked; without `placed` only its listing and side.
    pub spec: OrderSpec,
    /// The whole order is known.
    pub placed: bool,
    /// Matching had it.
    pub live: bool,
    /// Cumulative filled contracts that were booked.
    pub booked: i64,
    /// Largest cumulative filled contracts that the venue stated.
    pub known: i64,
    /// The end that the venue stated, while fills are missing.
    pub end: Option<OrderState>,
}

/// A fill that was booked: venue, listing and the venue's number of it.
pub type CarriedFill = (VenueId, InstrumentId, u64);

/// Everything that a run takes over.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Carry {
    /// The run before, 32 hex digits; empty = none.
    pub run: String,
    /// How it ended.
    pub ending: Ending,
    /// The instant of its last input, ns since the epoch.
    pub wall_ns: Nanos,
    /// What holds of the engine as a whole.
    pub standing: Standing,
    /// The listings as it knew them.
    pub instruments: Vec<Instrument>,
    /// Positions.
    pub positions: Vec<CarriedPosition>,
    /// Open trades.
    pub trades: Vec<CarriedTrade>,
    /// Orders without an end.
    pub orders: Vec<CarriedOrder>,
    /// The fills that were booked last.
    pub fills: Vec<CarriedFill>,
    /// Listings that take only orders that reduce.
    pub locks: Vec<TradingLock>,
    /// What was learnt of legs that miss.
    pub misses: Vec<CarriedMiss>,
}

/// A part of a [`Carry`] as an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Carried {
    /// A position.
    Position(CarriedPosition),
    /// An open trade; its positions were told before.
    Trade(CarriedTrade),
    /// The last part: what holds of the engine as a whole.
    Standing(Standing),
    /// The venue's account was compared with what was taken over, and its orders have ended.
    Reconciled(VenueId),
    /// What was learnt of legs that miss.
    Miss(CarriedMiss),
}

impl Carry {
    /// The start without the run before, by the operator's word: halted until the next one.
    pub fn forgotten() -> Self {
        let standing = Standing { halted: Some(Halt::Forgotten), ..Standing::default() };
        Self { ending: Ending::Forgotten, standing, ..Self::default() }
    }

    /// What is recorded.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// What was recorded. What cannot be understood halts.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        serde_json::from_slice(bytes).unwrap_or_else(|_| {
            let standing = Standing { halted: Some(Halt::Unreadable), ..Standing::default() };
            Self { standing, ..Self::default() }
        })
    }

    /// Restates quantities and prices in the scales that `now` gives a listing. What is finer than these is cut off:
    /// the venue's own statement shows it then.
    pub fn rescale(&mut self, now: impl Fn(InstrumentId) -> Option<Instrument>) {
        let Self { instruments, positions, trades, orders, .. } = self;
        let scales = |id: InstrumentId| {
            let before = instruments.iter().find(|instrument| instrument.id == id)?;
            Some((*before, now(id)?))
        };
        let qty = |id, value: &mut i64| {
            if let Some((before, after)) = scales(id) {
                *value = rescaled(*value, before.qty_scale, after.qty_scale);
            }
        };
        let price = |id, value: &mut Price| {
            if let Some((before, after)) = scales(id) {
                value.0 = rescaled(value.0, before.price_scale, after.price_scale);
            }
        };
        for position in positions {
            let id = position.instrument;
            qty(id, &mut position.qty);
            position.base.iter_mut().for_each(|base| qty(id, base));
            position.mark.iter_mut().for_each(|mark| price(id, mark));
        }
        for leg in trades.iter_mut().flat_map(|trade| &mut trade.legs) {
            let id = leg.instrument;
            qty(id, &mut leg.position);
            if let Some(working) = &mut leg.working {
                qty(id, &mut working.qty);
                qty(id, &mut working.filled);
                price(id, &mut working.limit);
            }
        }
        for order in orders {
            let id = order.spec.instrument;
            qty(id, &mut order.spec.qty.0);
            qty(id, &mut order.booked);
            qty(id, &mut order.known);
            price(id, &mut order.spec.price);
        }
    }
}

/// `value` from one decimal scale to another, towards zero.
fn rescaled(value: i64, from: u8, to: u8) -> i64 {
    let power = |digits: u8| super::number::POW10.get(usize::from(digits)).copied().unwrap_or(i64::MAX);
    if to >= from { value.saturating_mul(power(to - from)) } else { value / power(from - to) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::instrument::Qty;

    fn full() -> Carry {
        let id = InstrumentId(0);
        let working =
            CarriedWorking { id: ClientId::new(3, 9), qty: 500, limit: Price(7), ..Default::default() };
        let leg = CarriedLeg { instrument: id, position: -200, working: Some(working), ..Default::default() };
        Carry {
            run: "ab".into(),
            ending: Ending::Crashed,
            standing: Standing { halted: Some(Halt::Killed), daily: Money(-5), ..Standing::default() },
            instruments: vec![Instrument {
                qty_scale: 1,
                price_scale: 3,
                generation: 1,
                ..Instrument::default()
            }],
            positions: vec![CarriedPosition {
                qty: -200,
                base: Some(70),
                mark: Some(Price(12_000)),
                ..Default::default()
            }],
            trades: vec![CarriedTrade { legs: [leg, CarriedLeg::default()], ..Default::default() }],
            orders: vec![CarriedOrder {
                spec: OrderSpec { client_id: ClientId::new(3, 9), qty: Qty(500), ..OrderSpec::default() },
                booked: 100,
                ..Default::default()
            }],
            fills: vec![(VenueId(1), id, u64::MAX)],
            ..Carry::default()
        }
    }

    #[test]
    fn what_is_recorded_comes_back_and_what_is_not_understood_halts() {
        let carry = full();
        assert_eq!(Carry::from_bytes(&carry.to_bytes()), carry);
        assert_eq!(Carry::from_bytes(b"{}"), Carry::default(), "written by a version that knew less");
        for bad in [&b""[..], b"{\"run\":", b"[]x"] {
            assert_eq!(Carry::from_bytes(bad).standing.halted, Some(Halt::Unreadable));
        }
    }

    #[test]
    fn quantities_and_prices_follow_the_scales_of_the_new_run() {
        let mut carry = full();
        let now = Instrument { qty_scale: 3, price_scale: 2, ..Instrument::default() };
        carry.rescale(|_| Some(now));
        let position = carry.positions[0];
        assert_eq!((position.qty, position.base, position.mark), (-20_000, Some(7_000), Some(Price(1_200))));
        let leg = carry.trades[0].legs[0];
        assert_eq!((leg.position, leg.working.map(|working| working.qty)), (-20_000, Some(50_000)));
        assert_eq!((carry.orders[0].spec.qty, carry.orders[0].booked), (Qty(50_000), 10_000));
        let before = carry.clone();
        carry.rescale(|_| None);
        assert_eq!(carry, before, "of a listing that is not known nothing is changed");
    }
}
