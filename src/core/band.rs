//! The prices that a venue accepts now: none above for a purchase, none below for a sale.
//!
//! A venue states them as prices, or as a distance from the mark in its metadata. What it does not state, or
//! stated too long ago, is unknown and limits nothing: the collar of the configuration remains. An order that an
//! old band would hold back may be the one that closes a position, and a price that the venue no longer accepts
//! costs no more than a refusal.

use crate::domain::event::Mark;
use crate::domain::instrument::{Instrument, Price};
use crate::domain::intent::ONE_PPB;
use crate::domain::number::Num;
use crate::domain::order::Side;
use crate::domain::time::{Nanos, SECOND};
use serde::{Deserialize, Serialize};

/// How long a statement holds after its arrival. The slowest venue repeats its mark every 10 s.
pub const BAND_AGE_MAX: Nanos = 15 * SECOND;
/// Bands follow the mark: so much of it is left for what it moves while an order is on its way, ppb.
pub const BAND_GUARD_PPB: i64 = 200_000;

/// What a listing's orders may cost, [`BAND_GUARD_PPB`] inside what the venue accepts, rounded inward to the tick.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PriceBand {
    /// Highest price to buy at.
    pub buy_max: Option<Price>,
    /// Lowest price to sell at.
    pub sell_min: Option<Price>,
    /// `mono` of its arrival.
    pub stated: Nanos,
}

impl PriceBand {
    /// The band that a mark message tells of that arrived at `now` (`mono`), if it does.
    pub fn of(instrument: &Instrument, mark: &Mark, now: Nanos) -> Option<Self> {
        let ratio = |factor: i64| Some((mark.mark?, factor));
        let stated = |num: Option<Num>| num.map(|num| (num, ONE_PPB));
        let spec = instrument.spec.band;
        let buy = stated(mark.buy_max).or_else(|| ratio(spec?.up));
        let sell = stated(mark.sell_min).or_else(|| ratio(spec?.down));
        if buy.is_none() && sell.is_none() {
            return None;
        }
        let price = |(num, factor), side| inward(instrument, num, factor, side);
        Some(Self {
            buy_max: buy.and_then(|of| price(of, Side::Buy)),
            sell_min: sell.and_then(|of| price(of, Side::Sell)),
            stated: now,
        })
    }

    /// The worst price of this side at `now` (`mono`); `None` while it is not known.
    pub fn worst(&self, side: Side, now: Nanos) -> Option<Price> {
        let stated = match side {
            Side::Buy => self.buy_max,
            Side::Sell => self.sell_min,
        };
        stated.filter(|_| now.saturating_sub(self.stated) <= BAND_AGE_MAX)
    }
}

/// True when `price` is beyond the worst one of its side.
pub const fn is_beyond(side: Side, price: Price, worst: Price) -> bool {
    match side {
        Side::Buy => price.0 > worst.0,
        Side::Sell => price.0 < worst.0,
    }
}

/// `num` × `factor` (ppb) and the guard, in units of the price scale, on the tick towards the mark; `None` when it
/// is no price.
fn inward(instrument: &Instrument, num: Num, factor: i64, side: Side) -> Option<Price> {
    let tick = i128::from(instrument.tick);
    if tick <= 0 || num.mantissa <= 0 || factor <= 0 {
        return None;
    }
    let power = |digits: u8| 10i128.checked_pow(u32::from(digits));
    let guarded = match side {
        Side::Buy => ONE_PPB - BAND_GUARD_PPB,
        Side::Sell => ONE_PPB + BAND_GUARD_PPB,
    };
    let factor = i128::from(factor) * i128::from(guarded) / i128::from(ONE_PPB);
    let over = power(num.scale)?.checked_mul(i128::from(ONE_PPB))?.checked_mul(tick)?;
    let value = i128::from(num.mantissa).checked_mul(factor)?.checked_mul(power(instrument.price_scale)?)?;
    let ticks = match side {
        Side::Buy => value.div_euclid(over),
        Side::Sell => value.div_euclid(over) + i128::from(value.rem_euclid(over) != 0),
    };
    i64::try_from(ticks.checked_mul(tick)?).ok().filter(|price| *price > 0).map(Price)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::instrument::{BandRatio, VenueSpec};

    fn num(text: &str) -> Option<Num> {
        Num::parse(text.as_bytes()).ok()
    }

    /// Two decimals, tick 0.10.
    fn instrument(band: Option<BandRatio>) -> Instrument {
        let spec = VenueSpec { band, ..VenueSpec::default() };
        Instrument { tick: 10, price_scale: 2, spec, ..Instrument::default() }
    }

    #[test]
    fn a_ratio_of_the_mark_is_rounded_inward_to_the_tick() {
        let ratio = BandRatio { up: 1_050_000_000, down: 950_000_000 };
        let mark = Mark { mark: num("100.07"), ..Mark::default() };
        let band = PriceBand::of(&instrument(Some(ratio)), &mark, 7).unwrap();
        // 105.0735 and 95.0665, less and more 2 bp: 105.0525 and 95.0855.
        assert_eq!(band, PriceBand { buy_max: Some(Price(10_500)), sell_min: Some(Price(9_510)), stated: 7 });
        assert_eq!(band.worst(Side::Buy, 7 + BAND_AGE_MAX), Some(Price(10_500)));
        assert_eq!(band.worst(Side::Sell, 7 + BAND_AGE_MAX + 1), None, "too long ago");
        assert!(is_beyond(Side::Buy, Price(10_510), Price(10_500)));
        assert!(!is_beyond(Side::Buy, Price(9_000), Price(10_500)), "a low purchase is accepted");
        assert!(is_beyond(Side::Sell, Price(9_500), Price(9_510)));
        assert!(!is_beyond(Side::Sell, Price(11_000), Price(9_510)));
    }

    #[test]
    fn a_guard_is_left_for_what_the_mark_moves_meanwhile() {
        let mark = Mark { buy_max: num("100000"), sell_min: num("100000"), ..Mark::default() };
        let band = PriceBand::of(&instrument(None), &mark, 0).unwrap();
        assert_eq!((band.buy_max, band.sell_min), (Some(Price(9_998_000)), Some(Price(10_002_000))));
    }

    #[test]
    fn stated_prices_go_before_the_ratio_and_what_is_not_stated_limits_nothing() {
        let mark = Mark { mark: num("100"), buy_max: num("101.57"), ..Mark::default() };
        let band = PriceBand::of(&instrument(None), &mark, 0).unwrap();
        assert_eq!((band.buy_max, band.sell_min), (Some(Price(10_150)), None));
        assert_eq!(band.worst(Side::Sell, 0), None);
        let ratio = BandRatio { up: 1_050_000_000, down: 950_000_000 };
        let band = PriceBand::of(&instrument(Some(ratio)), &mark, 0).unwrap();
        assert_eq!((band.buy_max, band.sell_min), (Some(Price(10_150)), Some(Price(9_510))));
        assert_eq!(PriceBand::of(&instrument(None), &Mark { buy_max: None, ..mark }, 0), None);
        assert_eq!(PriceBand::of(&instrument(Some(ratio)), &Mark::default(), 0), None, "no mark");
        let wild = Mark { buy_max: Some(Num::new(i64::MAX, 0)), ..Mark::default() };
        assert_eq!(PriceBand::of(&instrument(None), &wild, 0).unwrap().buy_max, None, "no price");
    }
}
