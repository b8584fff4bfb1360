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
use serde::{Deserialize, Serialize};

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

/// True when two positive decimals differ by at most `limit` of their mean. What cannot be compared
/// exactly does not agree.
pub fn agree_within(a: Num, b: Num, limit: Ppb) -> bool {
    let scale = a.scale.max(b.scale);
    let at = |num: Num| {
        let unit = 10i128.checked_pow(u32::from(scale - num.scale))?;
        i128::from(num.mantissa).checked_mul(unit).filter(|value| *value > 0)
    };
    let judged = || {
        let (a, b) = (at(a)?, at(b)?);
        let difference = (a - b).abs().checked_mul(2 * i128::from(ONE_PPB))?;
        Some(difference <= a.checked_add(b)?.checked_mul(i128::from(limit))?)
    };
    judged().unwrap_or(false)
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
    /// Configured allowance, and the expected cost of a leg that misses.
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

/// A listing's funding: the rate of the next settlement and its instants; or, where it accrues all the time, the rate
/// that it reaches in the interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FundingTerms {
    /// Rate, ppb of notional; a long pays it when positive.
    pub rate: Ppb,
    /// Next settlement, ns since the epoch; 0 = not known, or there is none.
    pub at: Nanos,
    /// Time between settlements; 0 = not known.
    pub interval: Nanos,
    /// It accrues, and knows no settlements: as the venue's dialect says, never concluded from what is missing.
    pub accrues: bool,
}

impl FundingTerms {
    /// What a position of that sign (1 = long, −1 = short) receives (negative: pays) when it is held from `now`
    /// (wall) for `hold`.
    fn received(&self, sign: i64, now: Nanos, hold: Nanos) -> Ppb {
        if self.accrues {
            if self.interval <= 0 {
                return 0;
            }
            let accrued = i128::from(-sign) * i128::from(self.rate) * i128::from(hold.max(0));
            return i64::try_from(accrued.div_euclid(i128::from(self.interval))).unwrap_or(i64::MIN / 4);
        }
        self.paid_by_long(now, hold).saturating_mul(-sign)
    }

    /// What a long pays (negative: receives) at the settlements of a holding time from `now` (wall) for `hold`.
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
    short.received(-1, now, hold).saturating_add(long.received(1, now, hold))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::intent::BPS;
    use crate::domain::time::SECOND;
    use proptest::prelude::*;

    fn fill(top: i64, vwap: i64) -> Fill {
        Fill { vwap, top, worst: top, deep: false }
    }

    #[test]
    fn the_edge_of_a_worked_example() {
        // Buy where it is 99.99/100.01, sell where it is 100.49/100.51; two decimals; the pair's mid is 100.25.
        let mid = PairMid { first: 9_999 + 10_001, second: 10_049 + 10_051 };
        // 0.50 / 100.25 = 0.00498753117 of the mid.
        assert_eq!(mid.basis(), 4_987_531);
        let half_spreads = ppb_ceil(2, 20_000) + ppb_ceil(2, 20_100);
        assert_eq!(half_spreads, 100_000 + 99_503);
        let input = EdgeInput {
            buy: fill(10_001, 10_001 << VWAP_SHIFT),
            sell: fill(10_049, 10_049 << VWAP_SHIFT),
            mid: mid.fixed(),
            exit_basis: 1_000_000,
            fees: 2 * (5 * BPS + 4 * BPS),
            exit_half_spreads: half_spreads,
            allowance: BPS / 2,
            funding: -30_000,
            threshold: BPS,
        };
        let edge = terms(&input);
        // 0.48 / 100.25 = 0.0047880299.
        assert_eq!(edge.entry_basis, 4_788_029);
        assert_eq!(edge.slippage, 0);
        assert_eq!(edge.net, 4_788_029 - 1_000_000 - 1_800_000 - 199_503 - 50_000 - 30_000);

        // 4 of 10 contracts at 100.01, 6 at 100.03: 1.2 ticks (1229/1024) away from the top.
        let deep = fill(10_001, (10_001 << VWAP_SHIFT) + 1_229);
        let deeper = terms(&EdgeInput { buy: deep, ..input });
        assert_eq!(deeper.slippage, 119_721);
        assert_eq!(deeper.entry_basis, 4_668_309);
        assert_eq!(
            deeper.net,
            edge.net - (4_788_029 - 4_668_309) - 119_721,
            "entry once inside, exit once more"
        );
    }

    #[test]
    fn an_edge_at_a_realistic_spread_is_positive() {
        // A basis 30 bps away from its baseline, 1 bps books, 5 bps taker fees everywhere.
        let mid = PairMid { first: 2 * 6_000_000, second: 2 * 6_018_000 };
        let edge = terms(&EdgeInput {
            buy: fill(6_000_300, 6_000_300 << VWAP_SHIFT),
            sell: fill(6_017_700, 6_017_700 << VWAP_SHIFT),
            mid: mid.fixed(),
            exit_basis: 0,
            fees: 20 * BPS,
            exit_half_spreads: BPS,
            allowance: BPS / 2,
            funding: 0,
            threshold: BPS,
        });
        assert!(edge.net > 7 * BPS && edge.net < 8 * BPS, "{edge:?}");
    }

    #[test]
    fn the_other_direction_has_the_other_sign() {
        let mid = PairMid { first: 20_000, second: 20_100 };
        let reversed = PairMid { first: 20_100, second: 20_000 };
        assert!((mid.basis() + reversed.basis()).abs() <= 1);
        assert!(mid.agrees_within(50 * BPS) && !mid.agrees_within(49 * BPS));
        assert!(reversed.agrees_within(50 * BPS) && !reversed.agrees_within(49 * BPS));
    }

    #[test]
    fn decimals_of_different_scales_are_compared_exactly_or_not_at_all() {
        let num = |text: &str| Num::parse(text.as_bytes()).unwrap();
        assert!(agree_within(num("60000.5"), num("60000.50000000"), 0));
        assert!(agree_within(num("100"), num("102.0"), 200 * BPS));
        assert!(!agree_within(num("100"), num("102.1"), 200 * BPS));
        assert!(agree_within(num("0.00000074573"), num("0.0000007457"), BPS));
        assert!(!agree_within(num("0"), num("0"), 200 * BPS), "no price");
        assert!(!agree_within(Num::new(i64::MAX, 0), Num::new(1, 18), 200 * BPS));
    }

    #[test]
    fn funding_counts_only_instants_inside_the_holding_time_and_is_netted() {
        let hour = 3_600 * SECOND;
        let settles = FundingTerms { at: 10 * hour, ..FundingTerms::default() };
        let long = FundingTerms { rate: 3 * BPS, interval: 8 * hour, ..settles };
        let short = FundingTerms { rate: 5 * BPS, interval: 4 * hour, ..settles };
        assert_eq!(net_funding(&long, &short, 9 * hour, hour / 2), 0, "no instant inside");
        assert_eq!(
            net_funding(&long, &short, 9 * hour, hour),
            2 * BPS,
            "the short receives 5, the long pays 3"
        );
        assert_eq!(net_funding(&short, &long, 9 * hour, hour), -2 * BPS, "netted, never added");
        assert_eq!(
            net_funding(&long, &short, 9 * hour, 6 * hour),
            10 * BPS - 3 * BPS,
            "each at its own instants"
        );
        let missing = FundingTerms::default();
        assert_eq!(net_funding(&missing, &short, 9 * hour, hour), 5 * BPS);
        // The stated instant has passed and the next message is not there yet.
        assert_eq!(long.paid_by_long(17 * hour, hour), 3 * BPS);
        assert_eq!(long.paid_by_long(10 * hour, hour), 0, "the instant itself is over");
        assert_eq!(FundingTerms { interval: 0, ..long }.paid_by_long(17 * hour, hour), 0);
        assert_eq!(rate_ppb(Num::new(-189, 8)), -1_890);
    }

    #[test]
    fn funding_that_accrues_counts_by_the_time_held_and_rounds_against_us() {
        let hour = 3_600 * SECOND;
        let accrues = FundingTerms { rate: 8 * BPS, at: 0, interval: 8 * hour, accrues: true };
        let settles = FundingTerms { rate: 5 * BPS, at: 10 * hour, accrues: false, ..accrues };
        assert_eq!(net_funding(&settles, &accrues, 0, hour), BPS, "an eighth of the rate, to the short");
        assert_eq!(net_funding(&accrues, &settles, 0, 2 * hour), -2 * BPS, "the long pays it");
        assert_eq!(net_funding(&accrues, &settles, 9 * hour, 2 * hour), 5 * BPS - 2 * BPS);
        assert_eq!(net_funding(&accrues, &accrues, 0, 8 * hour), 0);
        let negative = FundingTerms { rate: -8 * BPS, ..accrues };
        assert_eq!(net_funding(&negative, &settles, 0, hour), BPS, "a long receives a negative rate");
        // 30 s at 1 ppb in 8 h is less than a unit: nothing is received, and one is paid.
        let little = FundingTerms { rate: 1, ..accrues };
        let nothing = FundingTerms::default();
        assert_eq!(net_funding(&nothing, &little, 0, 30 * SECOND), 0);
        assert_eq!(net_funding(&little, &nothing, 0, 30 * SECOND), -1);
        let wild = FundingTerms { rate: i64::MAX, interval: 1, ..accrues };
        assert!(net_funding(&wild, &nothing, 0, i64::MAX) < 0, "never wraps into a gain");
        let unknown = FundingTerms { interval: 0, ..accrues };
        assert_eq!(net_funding(&nothing, &unknown, 0, hour), 0, "a rate without its time says nothing");
    }

    #[test]
    fn a_settlement_that_is_not_stated_is_no_funding_that_accrues() {
        let hour = 3_600 * SECOND;
        // Binance sends a next funding time of 0 for contracts that are not settling now, with their interval.
        let unstated = FundingTerms { rate: 8 * BPS, at: 0, interval: 8 * hour, accrues: false };
        let nothing = FundingTerms::default();
        for hold in [hour, 8 * hour, 80 * hour] {
            assert_eq!(net_funding(&nothing, &unstated, 9 * hour, hold), 0, "received");
            assert_eq!(net_funding(&unstated, &nothing, 9 * hour, hold), 0, "paid");
        }
        // Where it accrues, an instant that stands there all the same changes nothing.
        let accrues = FundingTerms { accrues: true, ..unstated };
        let dated = FundingTerms { at: 10 * hour, ..accrues };
        assert_eq!(net_funding(&nothing, &dated, 9 * hour, hour), BPS);
        assert_eq!(net_funding(&nothing, &accrues, 9 * hour, hour), BPS);
    }

    #[test]
    fn limit_prices_round_outward_to_the_tick() {
        let instrument = Instrument { tick: 10, ..Instrument::default() };
        let limit = |side, from, slack| limit_price(&instrument, side, from, slack).map(|price| price.0);
        assert_eq!(limit(Side::Buy, 10_000, 0), Some(10_000));
        assert_eq!(limit(Side::Buy, 10_000, BPS), Some(10_010));
        assert_eq!(limit(Side::Buy, 10_001, 0), Some(10_010));
        assert_eq!(limit(Side::Sell, 10_000, BPS), Some(9_990));
        assert_eq!(limit(Side::Sell, 10_009, 0), Some(10_000));
        assert_eq!(limit(Side::Sell, 5, 0), Some(10), "never below a tick");
        assert_eq!(limit(Side::Buy, 0, 0), None);
        assert_eq!(limit_price(&Instrument::default(), Side::Buy, 5, 0), None, "no tick is known");
    }

    proptest! {
        #[test]
        fn ppb_rounds_down_and_up(numerator in -(1i64 << 58)..1i64 << 58, denominator in 1i64..1 << 58) {
            let exact = i128::from(numerator) * 1_000_000_000;
            let (down, up) = (ppb_floor(numerator, denominator), ppb_ceil(numerator, denominator));
            if exact.abs() / i128::from(denominator) < i128::from(i64::MAX / 8) {
                prop_assert!(i128::from(down) * i128::from(denominator) <= exact);
                prop_assert!(i128::from(up) * i128::from(denominator) >= exact);
                prop_assert!(up - down <= 1);
            }
        }
    }
}
