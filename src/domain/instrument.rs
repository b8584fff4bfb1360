//! What is traded where: venues, canonical assets and each venue's contract specification.

use super::money::{Amount, MONEY_SCALE, Money};
use super::number::{Num, POW10};
use super::state::text_only;
use super::text::{Currency, Symbol};
use serde::{Deserialize, Serialize};

/// Most venues in one run.
pub const VENUES_MAX: usize = 8;
/// Most instruments (venue listings) in one run.
pub const INSTRUMENTS_MAX: usize = 512;

/// Index of a venue in the run's configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct VenueId(pub u8);

/// Index of a venue's listing in the run's configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct InstrumentId(pub u16);

/// Index of a canonical instrument (base, quote, kind), listed on one or more venues.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CanonicalId(pub u16);

impl VenueId {
    /// As an index.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl InstrumentId {
    /// As an index.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl CanonicalId {
    /// As an index.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A price in units of 10^-`price_scale` of the canonical instrument's generation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Price(pub i64);

/// A quantity in units of 10^-`qty_scale` of the venue's contracts (or base units where contracts are 1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Qty(pub i64);

/// How a contract's value follows the price.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ContractKind {
    /// One contract is `multiplier` units of the base asset; settled in the quote currency.
    #[default]
    Linear,
    /// One contract is `multiplier` units of the quote currency; settled in the base asset.
    Inverse,
}

/// Whether the venue lets an instrument trade.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// Open for trading.
    Trading,
    /// Listed, but not tradable now (suspended, settling, pre-open, delisted).
    #[default]
    Suspended,
}

/// How far from the mark price a venue accepts orders, as factors of it in ppb.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BandRatio {
    /// Purchases cost at most this much of the mark.
    pub up: i64,
    /// Sales bring at least this much of the mark.
    pub down: i64,
}

/// A venue's contract specification as the venue states it, before a canonical scale is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VenueSpec {
    /// The configured listing that this describes.
    pub instrument: InstrumentId,
    /// Linear or inverse.
    pub kind: ContractKind,
    /// Contract value: base units (linear) or quote units (inverse) per contract.
    pub multiplier: Num,
    /// Smallest price step.
    pub tick: Num,
    /// Smallest quantity step, in contracts.
    pub step: Num,
    /// Smallest order quantity, in contracts.
    pub qty_min: Num,
    /// Largest order quantity, in contracts; zero when the venue states none.
    pub qty_max: Num,
    /// Smallest order notional in the quote currency; zero when the venue states none.
    pub notional_min: Num,
    /// Tradable or not.
    pub status: Status,
    /// The venue's numeric code where orders need one (OKX `instIdCode`), else 0.
    pub code: u64,
    /// Prices that the venue accepts; `None` when the metadata states no ratio. No part of binary records: journals
    /// keep the metadata itself, and digests made before this was read must come out again.
    #[serde(default, with = "text_only")]
    pub band: Option<BandRatio>,
}

/// A listing with its scales: everything needed to turn venue numbers into integers and back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instrument {
    /// This listing.
    pub id: InstrumentId,
    /// Where it is listed.
    pub venue: VenueId,
    /// What it is, across venues.
    pub canonical: CanonicalId,
    /// The venue's native name.
    pub symbol: Symbol,
    /// Base asset.
    pub base: Currency,
    /// Quote currency.
    pub quote: Currency,
    /// Settlement currency.
    pub settle: Currency,
    /// What the venue states.
    pub spec: VenueSpec,
    /// Decimals of [`Price`]; shared by all listings of the canonical instrument in one generation.
    pub price_scale: u8,
    /// Decimals of [`Qty`] for this listing.
    pub qty_scale: u8,
    /// Smallest price step in [`Price`] units.
    pub tick: i64,
    /// Smallest quantity step in [`Qty`] units.
    pub step: i64,
    /// Smallest order quantity.
    pub qty_min: Qty,
    /// Largest order quantity; `i64::MAX` when unlimited.
    pub qty_max: Qty,
    /// Rises by one at every metadata change; 0 = not known yet.
    pub generation: u16,
}

impl Instrument {
    /// The venue's decimal as a price, when it is exact at this scale.
    pub fn price(&self, num: Num) -> Option<Price> {
        num.at_scale(self.price_scale).map(Price)
    }

    /// The venue's decimal as a quantity, when it is exact at this scale.
    pub fn qty(&self, num: Num) -> Option<Qty> {
        num.at_scale(self.qty_scale).map(Qty)
    }

    /// The price as the venue's decimal.
    pub fn price_num(&self, price: Price) -> Num {
        Num::new(price.0, self.price_scale)
    }

    /// The quantity as the venue's decimal.
    pub fn qty_num(&self, qty: Qty) -> Num {
        Num::new(qty.0, self.qty_scale)
    }

    /// Base-asset amount of `qty` contracts at `price`. Inverse contracts round towards zero at 10⁻¹⁸.
    pub fn base_amount(&self, qty: Qty, price: Price) -> Amount {
        let face = self.face(qty);
        match self.spec.kind {
            ContractKind::Linear => face,
            ContractKind::Inverse if price.0 == 0 => Amount::ZERO,
            ContractKind::Inverse => {
                Money(face.0 * i128::from(POW10[usize::from(self.price_scale)]) / i128::from(price.0))
            }
        }
    }

    /// Notional of `qty` contracts at `price`, in the quote currency: exact for linear contracts
    /// whose scales add up to at most 18 (checked when the instrument is defined).
    pub fn notional(&self, qty: Qty, price: Price) -> Money {
        match self.spec.kind {
            ContractKind::Linear => {
                let scale = self.price_scale + self.qty_scale + self.spec.multiplier.scale;
                let value =
                    i128::from(price.0) * i128::from(qty.0) * i128::from(self.spec.multiplier.mantissa);
                if scale <= MONEY_SCALE {
                    Money(value * 10i128.pow(u32::from(MONEY_SCALE - scale)))
                } else {
                    Money(value / 10i128.pow(u32::from(scale - MONEY_SCALE)))
                }
            }
            ContractKind::Inverse => self.face(qty),
        }
    }

    /// The largest order quantity, a multiple of the step, whose base amount at `price` is at most `amount`.
    pub fn qty_for_base(&self, amount: Amount, price: Price) -> Qty {
        let one_step = self.base_amount(Qty(self.step), price).0;
        if one_step <= 0 || amount.0 <= 0 {
            return Qty(0);
        }
        let steps = i64::try_from(amount.0 / one_step).unwrap_or(i64::MAX / self.step.max(1));
        Qty(steps.saturating_mul(self.step))
    }

    /// `qty` contracts × multiplier: base units (linear) or quote units (inverse).
    fn face(&self, qty: Qty) -> Money {
        let scale = self.qty_scale + self.spec.multiplier.scale;
        let value = i128::from(qty.0) * i128::from(self.spec.multiplier.mantissa);
        if scale <= MONEY_SCALE {
            Money(value * 10i128.pow(u32::from(MONEY_SCALE - scale)))
        } else {
            Money(value / 10i128.pow(u32::from(scale - MONEY_SCALE)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn num(text: &str) -> Num {
        Num::parse(text.as_bytes()).unwrap()
    }

    fn listing(kind: ContractKind, multiplier: &str, qty_scale: u8) -> Instrument {
        Instrument {
            spec: VenueSpec { kind, multiplier: num(multiplier), ..VenueSpec::default() },
            price_scale: 2,
            qty_scale,
            step: 1,
            ..Instrument::default()
        }
    }

    #[test]
    fn linear_inverse_and_multiplier_contracts_have_their_notional() {
        let binance = listing(ContractKind::Linear, "1", 3);
        let price = binance.price(num("60000.50")).unwrap();
        assert_eq!(binance.notional(Qty(1500), price).to_string(), "90000.75");
        assert_eq!(binance.base_amount(Qty(1500), price).to_string(), "1.5");

        let okx = listing(ContractKind::Linear, "0.01", 2);
        assert_eq!(okx.notional(Qty(15000), price).to_string(), "90000.75");
        assert_eq!(okx.qty_for_base(Money::from_num(num("1.50009")), price), Qty(15000));

        let inverse = listing(ContractKind::Inverse, "100", 0);
        assert_eq!(inverse.notional(Qty(6), price).to_string(), "600");
        let price = inverse.price(num("50000")).unwrap();
        assert_eq!(inverse.base_amount(Qty(5), price).to_string(), "0.01");
        assert_eq!(inverse.qty_for_base(Money::from_num(num("0.0105")), price), Qty(5));
    }
}
