//! The arithmetic of the edge, in parts per billion of the mid price, and limit prices.
//!
//! Signs: a *basis* is "price where we are short − price where we are long"; selling dear and buying
//! cheap makes the entry basis positive. Costs are positive numbers that are subtracted. Funding is what
//! we receive: a long pays a positive rate, a short receives it, each at its own venue's instants.
//! Everything rounds against us.

use super::book::{Fill, VWAP_SHIFT};
use crate::domain::instrument::{Instrument, Price};
use crate::domain::intent::{EdgeTerms, ONE_PPB, Ppb};
use crate::domain::number::{Num, POW10};
use crate::domain::order::Side;
use crate::domain::time::Nanos;

/// `numerator / denominator` in ppb, rounded down; 0 when the denominator is not positive.
pub fn ppb_floor(numerator: i64, denominator: i64) -> Ppb {
    if denominator <= 0 {
        return 0;
    }
    match numerator.checked_mul(ONE_PPB) {
        Some(scaled) => scaled.div_euclid(denominator),
        None => {
            let wide = (i128::from(numerator) * i128::from(ONE_PPB)).div_euclid(i128::from(denominator));
            i64::try_from(wide).unwrap_or(if wide < 0 { i64::MIN / 4 } else { i64::MAX / 4 })
        }
    }
}

/// `numerator / denominator` in ppb, rounded up.
pub fn ppb_ceil(numerator: i64, denominator: i64) -> Ppb {
    -ppb_floor(-numerator, denominator)
}

/// Twice the mid prices of two books: the common denominator of a pair's figures.
///
/// The pair's mid is the mean of both mids, a quarter of `sum`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PairMid {
    /// Twice the mid of the first book.
    pub first: i64,
    /// Twice the mid of the second book.
    pub second: i64,
}

impl PairMid {
    /// The pair's mid in the fixed point of [`Fill::vwap`].
    pub const fn fixed(self) -> i64 {
        (self.first + self.second) << (VWAP_SHIFT - 2)
    }

    /// Mid basis, second − first.
    pub fn basis(self) -> Ppb {
        ppb_floor((self.second - self.first) << (VWAP_SHIFT - 1), self.fixed())
    }

    /// True when both mids differ by at most `limit` of the pair's mid.
    pub fn agrees_within(self, limit: Ppb) -> bool {
        let difference = i128::from((self.second - self.first).abs()) * 2 * i128::from(ONE_PPB);
        difference <= i128::from(limit) * i128::from(self.first + self.second)
    }
}

/// What one direction of a pair is priced from.
#[derive(Clone, Copy, Debug)]
pub struct EdgeInput {
    /// Taking the asks of the venue where we buy.
    pub buy: Fill,
    /// Taking the bids of the venue where we sell.
    pub sell: Fill,
    /// The pair's mid, fixed point.
    pub mid: i64,
    /// Expected mid basis at exit, in this direction.
    pub exit_basis: Ppb,
    /// Fees of four legs.
    pub fees: Ppb,
    /// Half-spreads of both books.
    pub exit_half_spreads: Ppb,
    /// Configured allowance.
    pub allowance: Ppb,
    /// Net funding received.
    pub funding: Ppb,
    /// What the net is held against.
    pub threshold: Ppb,
}

/// All terms of the edge of one direction.
pub fn terms(input: &EdgeInput) -> EdgeTerms {
    let entry_basis = ppb_floor(input.sell.vwap - input.buy.vwap, input.mid);
    let distance =
        (input.buy.vwap - (input.buy.top << VWAP_SHIFT)) + ((input.sell.top << VWAP_SHIFT) - input.sell.vwap);
    let slippage = if distance == 0 { 0 } else { ppb_ceil(distance, input.mid) };
    let costs = input
        .fees
        .saturating_add(input.exit_half_spreads)
        .saturating_add(slippage)
        .saturating_add(input.allowance);
    EdgeTerms {
        entry_basis,
        exit_basis: input.exit_basis,
        fees: input.fees,
        exit_half_spreads: input.exit_half_spreads,
        slippage,
        allowance: input.allowance,
        funding: input.funding,
        net: entry_basis.saturating_sub(input.exit_basis).saturating_sub(costs).saturating_add(input.funding),
        threshold: input.threshold,
    }
}

/// A listing's funding: the rate of the next settlement and its instants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FundingTerms {
    /// Rate, ppb of notional; a long pays it when positive.
    pub rate: Ppb,
    /// Next settlement, ns since the epoch; 0 = not known.
    pub at: Nanos,
    /// Time between settlements; 0 = not known.
    pub interval: Nanos,
}

impl FundingTerms {
    /// What a long pays (negative: receives) when it is held from `now` (wall) for `hold`.
    pub fn paid_by_long(&self, now: Nanos, hold: Nanos) -> Ppb {
        let until = now.saturating_add(hold);
        if self.at == 0 || self.at > until {
            return 0;
        }
        if self.interval <= 0 {
            return if self.at > now { self.rate } else { 0 };
        }
        // Instants after `now` up to and including `until`; the stated one may lie in the past.
        let passed = |instant: Nanos| {
            if instant < self.at { 0 } else { (instant - self.at) / self.interval + 1 }
        };
        self.rate.saturating_mul(passed(until) - passed(now))
    }
}

/// Funding received while long one listing and short the other, each with its own instants.
pub fn net_funding(long: &FundingTerms, short: &FundingTerms, now: Nanos, hold: Nanos) -> Ppb {
    short.paid_by_long(now, hold).saturating_sub(long.paid_by_long(now, hold))
}

/// A venue's decimal rate in ppb, towards zero; saturates at ± 1.
pub fn rate_ppb(rate: Num) -> Ppb {
    let unit = i128::from(POW10[usize::from(rate.scale).min(POW10.len() - 1)]);
    let value = i128::from(rate.mantissa) * i128::from(ONE_PPB) / unit;
    i64::try_from(value.clamp(i128::from(-ONE_PPB), i128::from(ONE_PPB))).unwrap_or(0)
}

/// A limit price `slack` beyond `from`, rounded outward to the tick; `None` when it leaves the price range.
pub fn limit_price(instrument: &Instrument, side: Side, from: i64, slack: Ppb) -> Option<Price> {
    let tick = i128::from(instrument.tick);
    if tick <= 0 || from <= 0 {
        return None;
    }
    let beyond =
        (i128::from(from) * i128::from(slack.max(0)) + i128::from(ONE_PPB - 1)) / i128::from(ONE_PPB);
    let price = match side {
        Side::Buy => (i128::from(from) + beyond + tick - 1).div_euclid(tick) * tick,
        Side::Sell => ((i128::from(from) - beyond).div_euclid(tick) * tick).max(tick),
    };
    i64::try_from(price).ok().map(Price)
}
