//! Measures of a trade against the books: how its legs compare, what it paid, what leaving would cost.
//!
//! Pure; [`super::desk`] acts on what these say.

use super::desk::Floor;
use super::outcome::{Balance, is_final};
use super::{Leg, Trade};
use crate::core::book::VWAP_SHIFT;
use crate::core::edge::ppb_floor;
use crate::core::listing::{Listing, Served};
use crate::core::mode::Mode;
use crate::core::pair::size::{accepts, coarser_step};
use crate::domain::instrument::{Instrument, Price, Qty, VenueId};
use crate::domain::intent::Ppb;
use crate::domain::order::Side;
use crate::domain::params::ScanParams;
use crate::domain::time::Nanos;

/// The smallest quantity that an order may have.
pub fn order_min(instrument: &Instrument) -> i64 {
    instrument.qty_min.0.max(instrument.step).max(1)
}

/// A price `urgent_slack_ppb` beyond the touch, as far as the venue accepts it at `now` (`mono`). `None` without a
/// usable book.
pub fn urgent_price(listing: &Listing, side: Side, now: Nanos, params: &ScanParams) -> Option<Price> {
    if listing.served != Served::Yes {
        return None;
    }
    let (touch, _) = listing.book.touch(side)?;
    listing.limit_price(side, touch, params.urgent_slack_ppb, now)
}

/// Compares what both legs hold, in base at the mid of the entry.
pub fn compare(trade: &Trade, floor: &Floor<'_>) -> Balance {
    let instruments = [0, 1].map(|leg| &floor.listings[usize::from(trade.legs[leg].listing)].instrument);
    let held = [0, 1].map(|at| {
        let leg: &Leg = &trade.legs[at];
        instruments[at].base_amount(Qty(leg.position * leg.side.sign()), trade.mid)
    });
    let both = held.iter().all(|amount| amount.0 > 0);
    let gap = (held[0] - held[1]).abs();
    if trade.is_flat() || (both && gap < coarser_step(instruments[0], instruments[1], trade.mid)) {
        return Balance { flat: trade.is_flat(), both, ..Balance::default() };
    }
    let surplus = usize::from(held[1] > held[0]);
    let lacking = 1 - surplus;
    let hedge = instruments[lacking].qty_for_base(gap, trade.mid);
    let leg = &trade.legs[lacking];
    let venue = floor.listings[usize::from(leg.listing)].params.venue;
    let may_hedge = trade.hedges < floor.params.hedge_attempts_max
        && floor.modes.at(venue) == Mode::Normal
        && !is_final(leg.reject)
        && floor.listings[usize::from(leg.listing)].served == Served::Yes
        && !floor.listings[usize::from(leg.listing)].is_locked(floor.now.wall)
        && accepts(instruments[lacking], hedge, trade.mid);
    let unwind = instruments[surplus].qty_for_base(gap, trade.mid).0.min(trade.legs[surplus].held());
    Balance {
        flat: false,
        both,
        surplus: Some(surplus),
        hedge_qty: if may_hedge { hedge.0 } else { 0 },
        unwind_qty: if unwind >= order_min(instruments[surplus]) { unwind } else { 0 },
    }
}

/// Executed entry basis: average sale − average purchase, ppb of the mid.
pub fn realised_basis(trade: &Trade, listings: &[Listing]) -> Ppb {
    let average = |leg: &Leg| {
        let fixed = (leg.entered_value << VWAP_SHIFT) / i128::from(leg.entered.max(1));
        i64::try_from(fixed).unwrap_or(0)
    };
    let mid2 = trade.legs.iter().map(|leg| listings[usize::from(leg.listing)].mid2).sum::<i64>();
    ppb_floor(average(&trade.legs[1]) - average(&trade.legs[0]), mid2 << (VWAP_SHIFT - 2))
}

/// What closing the whole trade now would cost as a basis: buying back the short − selling the long.
/// `None` while a book is not served, too old or too thin.
pub fn executable_exit(trade: &Trade, floor: &Floor<'_>) -> Option<Ppb> {
    let mut vwap = [0; 2];
    let mut mid2 = 0;
    for (at, leg) in trade.legs.iter().enumerate() {
        let listing = &floor.listings[usize::from(leg.listing)];
        let fill = listing.book.fill(leg.closing_side(), leg.held())?;
        let wall = floor.now.wall;
        let age = if fill.deep {
            listing.depth_age(wall).max(listing.touch_age(wall))
        } else {
            listing.touch_age(wall)
        };
        if listing.served != Served::Yes || age > floor.params.book_age_max_ns {
            return None;
        }
        vwap[at] = fill.vwap;
        mid2 += listing.mid2;
    }
    Some(ppb_floor(vwap[1] - vwap[0], mid2 << (VWAP_SHIFT - 2)))
}

/// Restates an integer from one decimal scale in another; what does not divide is dropped.
pub fn rescale(value: i64, from: u8, to: u8) -> i64 {
    let power = |digits: u8| 10i64.checked_pow(u32::from(digits)).unwrap_or(i64::MAX);
    if to >= from { value.saturating_mul(power(to - from)) } else { value / power(from - to) }
}

/// True when the trade touches the venue.
pub fn touches(trade: &Trade, listings: &[Listing], venue: VenueId) -> bool {
    trade.legs.iter().any(|leg| listings[usize::from(leg.listing)].params.venue == venue)
}
