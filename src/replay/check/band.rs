//! The prices that venues accept, computed from what they state: by other code than the engine's, without its guard.

use crate::domain::event::Mark;
use crate::domain::instrument::Instrument;
use crate::domain::number::Num;
use crate::domain::order::{OrderSpec, Side};
use crate::domain::time::{Nanos, SECOND};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The published policy: what was stated longer ago than this limits nothing.
const KNOWN_FOR: Nanos = 15 * SECOND;

/// A price as mantissa and decimals.
type Exact = (i128, u32);

/// What a venue last stated of a listing.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Stated {
    /// Nothing is bought above it.
    highest: Option<Exact>,
    /// Nothing is sold below it.
    lowest: Option<Exact>,
    at: Nanos,
}

/// By listing.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Bands(BTreeMap<u16, Stated>);

impl Bands {
    /// A statement at `now` (`mono`): prices, or the mark of which the contract names a share.
    pub(super) fn mark(&mut self, mark: &Mark, instrument: Option<&Instrument>, now: Nanos) {
        let exact = |num: Num| (i128::from(num.mantissa), u32::from(num.scale));
        let share = |of: i64| mark.mark.map(exact).map(|(price, scale)| (price * i128::from(of), scale + 9));
        let band = instrument.and_then(|instrument| instrument.spec.band);
        let highest = mark.buy_max.map(exact).or_else(|| share(band?.up));
        let lowest = mark.sell_min.map(exact).or_else(|| share(band?.down));
        if highest.is_some() || lowest.is_some() {
            self.0.insert(mark.instrument.0, Stated { highest, lowest, at: now });
        }
    }

    /// The contract is another one: what was stated is void.
    pub(super) fn forget(&mut self, instrument: u16) {
        self.0.remove(&instrument);
    }

    /// The price that an order crosses; `None` when it keeps to what is known.
    pub(super) fn crossed(&self, order: &OrderSpec, instrument: &Instrument, now: Nanos) -> Option<String> {
        let stated = self.0.get(&order.instrument.0).filter(|stated| now - stated.at <= KNOWN_FOR)?;
        let limit = match order.side {
            Side::Buy => stated.highest,
            Side::Sell => stated.lowest,
        };
        let (mantissa, scale) = limit.filter(|(mantissa, _)| *mantissa > 0)?;
        // price / 10^price_scale against mantissa / 10^scale.
        let ours = i128::from(order.price.0).checked_mul(10i128.checked_pow(scale)?)?;
        let theirs = mantissa.checked_mul(10i128.checked_pow(u32::from(instrument.price_scale))?)?;
        let crossed = match order.side {
            Side::Buy => ours > theirs,
            Side::Sell => ours < theirs,
        };
        crossed.then(|| format!("{} against {mantissa} of {scale} decimals", order.price.0))
    }
}
