//! A listing: contract numbers and exact conversion between the venue's decimal text and ticks and steps.
//!
//! A linear contract is worth face × price in the quote currency, an inverse one face ÷ price in the base coin,
//! cut at 10⁻¹⁸. Profit follows from *cost*: what a long position pays for, negative for inverse contracts, whose
//! holder owes coins; so one rule books both kinds.

use super::super::config::{SimListing, SimVenueConfig};
use super::types::{Side, Steps, Ticks};
use crate::domain::instrument::ContractKind;
use crate::domain::money::{MONEY_SCALE, Money};
use crate::domain::number::{Num, POW10};
use crate::domain::time::Nanos;

/// A venue's listing.
#[derive(Clone, Debug)]
pub struct Listing {
    /// Native name.
    pub symbol: String,
    /// Base asset.
    pub base: String,
    /// Quote currency.
    pub quote: String,
    /// Settlement currency.
    pub settle: String,
    /// The venue's numeric code.
    pub code: u64,
    /// Price step.
    pub tick: Num,
    /// Quantity step, contracts.
    pub step: Num,
    /// Linear: settled in the quote currency; inverse: in the base coin.
    pub kind: ContractKind,
    /// Base units (linear) or quote units (inverse) per contract.
    pub multiplier: Num,
    /// Smallest quantity.
    pub qty_min: Steps,
    /// Largest quantity.
    pub qty_max: Steps,
    /// Smallest notional; zero = none.
    pub notional_min: Money,
    /// One tick times one step of one contract: the unit of a linear contract's notional.
    pub unit: Money,
    /// Mark price (10⁻¹⁸ quote units per base unit), set by the market.
    pub mark: Money,
    /// Index price.
    pub index: Money,
    /// Rate of the coming settlement, ppb.
    pub funding_rate_ppb: i64,
    /// Instant of the coming settlement, wall ns.
    pub funding_at: Nanos,
    /// Time between settlements, ns.
    pub funding_interval_ns: Nanos,
    /// Suspended from, and until (wall ns).
    pub suspended: (Nanos, Nanos),
}

impl Listing {
    /// From the configuration; `SimConfig::check` has passed.
    pub(crate) fn new(
        venue: &SimVenueConfig,
        listing: &SimListing,
        currencies: [&str; 3],
        price0: Num,
        start: Nanos,
    ) -> Self {
        let scale = listing.tick.scale + listing.step.scale + listing.multiplier.scale;
        let unit = i128::from(listing.tick.mantissa)
            * i128::from(listing.step.mantissa)
            * i128::from(listing.multiplier.mantissa)
            * 10i128.pow(u32::from(MONEY_SCALE - scale));
        let steps = |num: Num| {
            i64::try_from(Money::from_num(num).0 / Money::from_num(listing.step).0).unwrap_or(i64::MAX)
        };
        let interval = venue.funding_interval_ns.max(1);
        let after = |ns: Nanos| if ns > 0 { start + ns } else { Nanos::MAX };
        Self {
            symbol: listing.symbol.clone(),
            base: currencies[0].into(),
            quote: currencies[1].into(),
            settle: currencies[2].into(),
            code: listing.code,
            tick: listing.tick,
            step: listing.step,
            kind: kind_of(currencies),
            multiplier: listing.multiplier,
            qty_min: steps(listing.qty_min).max(1),
            qty_max: steps(listing.qty_max).max(1),
            notional_min: Money::from_num(listing.notional_min),
            unit: Money(unit),
            mark: Money::from_num(price0),
            index: Money::from_num(price0),
            funding_rate_ppb: 0,
            funding_at: (start.div_euclid(interval) + 1) * interval,
            funding_interval_ns: interval,
            suspended: (after(listing.suspend_after_ns), after(listing.resume_after_ns)),
        }
    }

    /// Whether it takes orders; while it does not, some venues (Binance) still take those that reduce.
    pub fn is_trading(&self, now: Nanos) -> bool {
        !(self.suspended.0..self.suspended.1).contains(&now)
    }

    /// Settled in the base coin.
    pub fn is_inverse(&self) -> bool {
        self.kind == ContractKind::Inverse
    }

    /// Exact notional in the quote currency.
    pub fn notional(&self, price: Ticks, qty: Steps) -> Money {
        match self.kind {
            ContractKind::Linear => Money(self.unit.0 * i128::from(price) * i128::from(qty)),
            ContractKind::Inverse => self.face(qty),
        }
    }

    /// Notional of a (signed) quantity at the mark in the quote currency, cut below 10⁻⁸ towards zero.
    pub fn notional_at_mark(&self, qty: Steps) -> Money {
        match self.kind {
            // 10^-18 base × 10^-8 price stays inside i128 up to notionals of 10^12.
            ContractKind::Linear => {
                Money(self.face(qty).0 * (self.mark.0 / 10_000_000_000) / 100_000_000).cut(8)
            }
            ContractKind::Inverse => self.face(qty),
        }
    }

    /// Value of a (signed) quantity in the settlement currency: exact (linear) or cut at 10⁻¹⁸ (inverse).
    pub fn settled(&self, price: Ticks, qty: Steps) -> Money {
        match self.kind {
            ContractKind::Linear => self.notional(price, qty),
            ContractKind::Inverse => {
                let price = i128::from(self.tick.mantissa) * i128::from(price.max(1));
                Money(self.face(qty).0 * 10i128.pow(u32::from(self.tick.scale)) / price)
            }
        }
    }

    /// Value of a (signed) quantity at the mark in the settlement currency, cut below 10⁻⁸ towards zero.
    pub fn settled_at_mark(&self, qty: Steps) -> Money {
        match self.kind {
            ContractKind::Linear => self.notional_at_mark(qty),
            ContractKind::Inverse => {
                let mark = (self.mark.0 / 10_000_000_000).max(1);
                Money(self.face(qty).0 * 100_000_000 / mark).cut(8)
            }
        }
    }

    /// What a long position of this value has paid: the value itself, or coins owed.
    pub fn cost(&self, value: Money) -> Money {
        match self.kind {
            ContractKind::Linear => value,
            ContractKind::Inverse => -value,
        }
    }

    /// Base units (linear) or quote units (inverse) of a (signed) quantity, 10⁻¹⁸.
    pub fn face(&self, qty: Steps) -> Money {
        let scale = self.step.scale + self.multiplier.scale;
        let face = i128::from(self.step.mantissa) * i128::from(self.multiplier.mantissa);
        Money(face * i128::from(qty) * 10i128.pow(u32::from(MONEY_SCALE - scale)))
    }

    /// A price as the venue writes it, with the tick's decimals.
    pub fn price_text(&self, price: Ticks) -> String {
        fixed(i128::from(price) * i128::from(self.tick.mantissa), self.tick.scale)
    }

    /// A quantity as the venue writes it, with the step's decimals.
    pub fn qty_text(&self, qty: Steps) -> String {
        fixed(i128::from(qty) * i128::from(self.step.mantissa), self.step.scale)
    }

    /// Average price of a settlement value over a quantity, with `decimals`, cut towards zero; `0.00…` for none.
    pub fn average_text(&self, value: Money, qty: Steps, decimals: u8) -> String {
        let face = self.face(qty).0;
        let (above, below) = match self.kind {
            ContractKind::Linear => (value.0, face),
            ContractKind::Inverse => (face.abs(), value.0.abs()),
        };
        if below == 0 {
            return fixed(0, decimals);
        }
        // Both at 10^-18, to `decimals` places; split to stay inside i128.
        let (whole, rest) = (above / below, above % below);
        let power = i128::from(POW10[usize::from(decimals.min(18))]);
        let fraction = match rest.checked_mul(power) {
            Some(product) => product / below,
            None => rest / (below / power).max(1),
        };
        fixed(whole * power + fraction, decimals)
    }

    /// Ticks of the venue's decimal text; `None` when it is no number or not a whole number of ticks.
    pub fn parse_price(&self, text: &str) -> Option<Ticks> {
        whole_units(text, self.tick)
    }

    /// Steps of the venue's decimal text; `None` when it is no number or not a whole number of steps.
    pub fn parse_qty(&self, text: &str) -> Option<Steps> {
        whole_units(text, self.step)
    }

    /// A price (10⁻¹⁸ quote units) as ticks, rounded away from the makers' advantage: down for bids, up for asks.
    pub fn to_ticks(&self, price: Money, side: Side) -> Ticks {
        let tick = Money::from_num(self.tick).0;
        let down = price.0.div_euclid(tick);
        let up = match side {
            Side::Buy => 0,
            Side::Sell => i128::from(price.0.rem_euclid(tick) != 0),
        };
        i64::try_from(down + up).unwrap_or(i64::MAX)
    }

    /// Ticks as a price in 10⁻¹⁸ quote units.
    pub fn to_price(&self, price: Ticks) -> Money {
        Money(Money::from_num(self.tick).0 * i128::from(price))
    }
}

/// Rounding helpers of venue money.
pub trait MoneyText {
    /// Cuts to `decimals` towards zero, as the venues do with fees and PnL.
    fn cut(self, decimals: u8) -> Self;
    /// With exactly `decimals` places, cut towards zero.
    fn fixed(self, decimals: u8) -> String;
}

impl MoneyText for Money {
    fn cut(self, decimals: u8) -> Self {
        let unit = 10i128.pow(u32::from(MONEY_SCALE - decimals.min(MONEY_SCALE)));
        Self(self.0 / unit * unit)
    }

    fn fixed(self, decimals: u8) -> String {
        fixed(self.0 / 10i128.pow(u32::from(MONEY_SCALE - decimals.min(MONEY_SCALE))), decimals)
    }
}

/// `mantissa × 10^-scale` with exactly `scale` decimals.
pub fn fixed(mantissa: i128, scale: u8) -> String {
    if scale == 0 {
        return mantissa.to_string();
    }
    let power = 10u128.pow(u32::from(scale));
    let sign = if mantissa < 0 { "-" } else { "" };
    let digits = mantissa.unsigned_abs();
    format!("{sign}{}.{:0width$}", digits / power, digits % power, width = usize::from(scale))
}

/// Contracts that settle in their base coin are inverse.
fn kind_of([base, quote, settle]: [&str; 3]) -> ContractKind {
    if settle == base && settle != quote { ContractKind::Inverse } else { ContractKind::Linear }
}

fn whole_units(text: &str, unit: Num) -> Option<i64> {
    let value = Money::from_num(Num::parse(text.as_bytes()).ok()?).0;
    let unit = Money::from_num(unit).0;
    if value % unit != 0 {
        return None;
    }
    i64::try_from(value / unit).ok()
}
