//! Measures of a trade against the books: how its legs compare, what it paid, what leaving would cost.
//!
//! Pure; [`super::desk`] acts on what these say.

use super::desk::Floor;
use super::outcome::{Balance, is_final};
use super::{Leg, Trade};
use crate::core::band::is_beyond;
use crate::core::book::VWAP_SHIFT;
use crate::core::edge::ppb_floor;
use crate::core::limits::URGENT_COLLAR_FACTOR;
use crate::core::listing::{Listing, Served};
use crate::core::mode::Mode;
use crate::core::pair::expected_funding;
use crate::core::pair::size::{accepts, coarser_step};
use crate::domain::instrument::{Instrument, Price, Qty, VenueId};
use crate::domain::intent::{ONE_PPB, Ppb};
use crate::domain::money::Money;
use crate::domain::order::Side;
use crate::domain::params::ScanParams;
use crate::domain::time::Nanos;

/// The smallest quantity that an order may have.
pub fn order_min(instrument: &Instrument) -> i64 {
    instrument.qty_min.0.max(instrument.step).max(1)
}

/// The largest order of at most `qty`.
pub fn order_max(instrument: &Instrument, qty: i64) -> i64 {
    let step = instrument.step.max(1);
    qty.min(instrument.qty_max.0) / step * step
}

/// The largest order of at most `qty` at `price` that risk lets pass, which holds it to a notional of `most`. What is
/// left for a next one is as large as an order must be, where that can be.
pub fn order_within(instrument: &Instrument, qty: i64, price: Price, most: Money) -> i64 {
    let whole = order_max(instrument, qty);
    let notional = instrument.notional(Qty(whole), price);
    if notional <= most {
        return whole;
    }
    let (step, least) = (instrument.step.max(1), order_min(instrument));
    let part = i128::from(whole).saturating_mul(most.0) / notional.0;
    let part = i64::try_from(part).unwrap_or(whole) / step * step;
    let missing = (least - (qty - part)).max(0);
    let part = part - (missing + step - 1) / step * step;
    part.max(least).min(whole)
}

/// A price `urgent_slack_ppb` beyond the touch, as far as the venue accepts it at `now` (`mono`), but inside the
/// collar that risk holds urgent orders to: three times `collar`, the one of entries. `None` without a usable book,
/// and while a price inside the collar would not reach the touch: such an order only misses, and the other leg would
/// leave without it.
pub fn urgent_price(
    listing: &Listing,
    side: Side,
    now: Nanos,
    params: &ScanParams,
    collar: Ppb,
) -> Option<Price> {
    if listing.served != Served::Yes {
        return None;
    }
    let (touch, _) = listing.book.touch(side)?;
    let price = listing.limit_price(side, touch, params.urgent_slack_ppb, now)?;
    let collar = collar.saturating_mul(URGENT_COLLAR_FACTOR);
    let price = collared(&listing.instrument, side, price, listing.mid(), collar);
    reaches(side, price, touch).then_some(price)
}

/// A limit price brought within `collar` of the mid, rounded inward to the tick.
pub fn collared(instrument: &Instrument, side: Side, price: Price, mid: Price, collar: Ppb) -> Price {
    let (mid, tick) = (i128::from(mid.0), i128::from(instrument.tick.max(1)));
    let room = mid * i128::from(collar.max(0)) / i128::from(ONE_PPB);
    let wanted = i128::from(price.0);
    let within = match side {
        Side::Buy => wanted.min((mid + room).div_euclid(tick) * tick),
        Side::Sell => wanted.max((mid - room + tick - 1).div_euclid(tick) * tick),
    };
    i64::try_from(within).map_or(price, Price)
}

/// True when a limit price takes what rests at `at`.
pub fn reaches(side: Side, price: Price, at: i64) -> bool {
    // What lies beyond the limit price is what it does not reach.
    !is_beyond(side, Price(at), price)
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
    let home = &floor.listings[usize::from(leg.listing)];
    let may_hedge = trade.hedges < floor.params.hedge_attempts_max
        && floor.modes.at(home.params.venue) == Mode::Normal
        && !is_final(leg.reject)
        && home.served == Served::Yes
        && home.is_trading()
        && !home.is_locked(floor.now.wall)
        && accepts(instruments[lacking], hedge, trade.mid);
    let unwind = instruments[surplus].qty_for_base(gap, trade.mid).0;
    let unwind = unwind.min(order_max(instruments[surplus], trade.legs[surplus].held()));
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

/// Funding that the trade still receives until its holding time ends, ppb; 0 when it rather pays.
///
/// The entry's net counts it, so leaving before it has come would take the fees of four orders and leave what they
/// were paid for. What is yet to be paid is no reason to leave: the entry's net has borne it already.
pub fn funding_due(trade: &Trade, floor: &Floor<'_>) -> Ppb {
    let [long, short] = [0, 1].map(|leg| &floor.listings[usize::from(trade.legs[leg].listing)]);
    let left = trade.hold_until.saturating_sub(floor.now.mono).max(0);
    expected_funding(long, short, floor.now, left).max(0)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::limits::collar_ppb;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_price_within_the_collar_passes_the_check_of_risk_and_is_never_worse_than_wanted(
            mid in 1_000i64..1_000_000_000,
            tick in 1i64..100,
            collar in 10_000_000i64..400_000_000,
            away in -500_000_000i64..500_000_000,
            buys: bool,
        ) {
            let side = if buys { Side::Buy } else { Side::Sell };
            let instrument = Instrument { tick, ..Instrument::default() };
            let far = i64::try_from(i128::from(mid) * i128::from(away) / i128::from(ONE_PPB)).unwrap();
            let wanted = Price((mid + far).div_euclid(tick).max(1) * tick);
            let clipped = collared(&instrument, side, wanted, Price(mid), collar);
            prop_assert_eq!(clipped.0 % tick, 0);
            let inward = if buys { clipped <= wanted } else { clipped >= wanted };
            prop_assert!(inward);
            let beyond = if buys { clipped.0 > mid } else { clipped.0 < mid };
            if beyond {
                prop_assert!(collar_ppb(clipped, Price(mid)).unwrap() <= collar);
            }
            let fits = collar_ppb(wanted, Price(mid)).unwrap() < collar;
            prop_assert!(!fits || clipped == wanted, "what fits is left alone");
        }
    }
}
