//! The prices that a venue accepts now: none above for a purchase, none below for a sale.
//!
//! A venue states them as prices with its mark, or as a distance from the mark in its metadata. What it does
//! not state, or stated too long ago, is unknown and limits nothing: the collar of the configuration remains.

use crate::domain::event::Mark;
use crate::domain::instrument::{Instrument, Price};
use crate::domain::intent::ONE_PPB;
use crate::domain::number::Num;
use crate::domain::order::Side;
use crate::domain::time::{Nanos, SECOND};

/// How long a statement holds: venues repeat it every few seconds at most.
pub const BAND_AGE_MAX: Nanos = 10 * SECOND;

/// What a listing's orders may cost, rounded inward to the tick.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PriceBand {
    /// Highest price to buy at.
    pub buy_max: Option<Price>,
    /// Lowest price to sell at.
    pub sell_min: Option<Price>,
    /// Venue time of the statement, ns since the epoch.
    pub stated: Nanos,
}

impl PriceBand {
    /// The band that a mark message tells of, if it does.
    pub fn of(instrument: &Instrument, mark: &Mark) -> Option<Self> {
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
            stated: mark.venue_ns,
        })
    }

    /// The price, or the last one that the venue accepts on this side.
    pub fn clip(&self, side: Side, price: Price) -> Price {
        match side {
            Side::Buy => self.buy_max.map_or(price, |most| price.min(most)),
            Side::Sell => self.sell_min.map_or(price, |least| price.max(least)),
        }
    }
}

/// `num` × `factor` (ppb) in units of the price scale, on the tick towards the mark; `None` when it is no price.
fn inward(instrument: &Instrument, num: Num, factor: i64, side: Side) -> Option<Price> {
    let tick = i128::from(instrument.tick);
    if tick <= 0 || num.mantissa <= 0 || factor <= 0 {
        return None;
    }
    let power = |digits: u8| 10i128.checked_pow(u32::from(digits));
    let over = power(num.scale)?.checked_mul(i128::from(ONE_PPB))?.checked_mul(tick)?;
    let value = i128::from(num.mantissa)
        .checked_mul(i128::from(factor))?
        .checked_mul(power(instrument.price_scale)?)?;
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
        let mark = Mark { mark: num("100.07"), venue_ns: 7, ..Mark::default() };
        let band = PriceBand::of(&instrument(Some(ratio)), &mark).unwrap();
        // 105.0735 and 95.0665.
        assert_eq!(band, PriceBand { buy_max: Some(Price(10_500)), sell_min: Some(Price(9_510)), stated: 7 });
        assert_eq!(band.clip(Side::Buy, Price(10_510)), Price(10_500));
        assert_eq!(band.clip(Side::Buy, Price(9_000)), Price(9_000), "a low purchase is accepted");
        assert_eq!(band.clip(Side::Sell, Price(9_500)), Price(9_510));
        assert_eq!(band.clip(Side::Sell, Price(11_000)), Price(11_000));
    }

    #[test]
    fn stated_prices_go_before_the_ratio_and_what_is_not_stated_limits_nothing() {
        let mark = Mark { mark: num("100"), buy_max: num("101.55"), ..Mark::default() };
        let band = PriceBand::of(&instrument(None), &mark).unwrap();
        assert_eq!((band.buy_max, band.sell_min), (Some(Price(10_150)), None));
        assert_eq!(band.clip(Side::Sell, Price(10)), Price(10));
        let ratio = BandRatio { up: 1_050_000_000, down: 950_000_000 };
        let band = PriceBand::of(&instrument(Some(ratio)), &mark).unwrap();
        assert_eq!((band.buy_max, band.sell_min), (Some(Price(10_150)), Some(Price(9_500))));
        assert_eq!(PriceBand::of(&instrument(None), &Mark { buy_max: None, ..mark }), None);
        assert_eq!(PriceBand::of(&instrument(Some(ratio)), &Mark::default()), None, "no mark");
        let wild = Mark { buy_max: Some(Num::new(i64::MAX, 0)), ..Mark::default() };
        assert_eq!(PriceBand::of(&instrument(None), &wild).unwrap().buy_max, None, "no price");
    }
}
