//! The probability that a leg of an entry misses, learnt per listing, and what it costs when one does.
//!
//! A Beta prior, which the venue's dialect or the configuration states and which weighs as much as so many orders, plus
//! the outcomes of our own legs, which are forgotten by half in every half-life: a listing whose legs missed so often
//! that nothing is entered any more finds its way back to the prior. What counts is the book: the share of an entry's
//! quantity that was not there when our order came. A refusal counts for nothing, and neither does an order that we asked
//! to be cancelled: they do not say what the book held. [`super::quality`] counts all of our orders, as venues do.
//!
//! With a weight of 0 nothing is learnt and nothing is charged, as in journals from before.

use super::book::{Fill, VWAP_SHIFT};
use super::digest::Digest;
use super::edge::ppb_ceil;
use crate::domain::intent::{ONE_PPB, Ppb};
use crate::domain::params::ScanParams;
use crate::domain::time::Nanos;
use serde::{Deserialize, Serialize};

/// In each of so many parts of a half-life a 64th is forgotten: (63/64)⁴⁴ = 0.5001.
const PARTS: i64 = 44;
/// Half-lives after which nothing is left.
const LIVES_MAX: i64 = 20;
/// Orders that are remembered at most, ppb: sums of them stay far inside an `i64`.
const ORDERS_MAX: i64 = 1_000_000 * ONE_PPB;

/// How often a leg on one listing misses.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct MissRate {
    /// Before anything was seen.
    prior: Ppb,
    /// Legs that are remembered, and of those what missed; both in ppb of an order.
    orders: i64,
    missed: i64,
    /// Number of the part of a half-life up to which it has forgotten.
    part: i64,
    /// As of the last change.
    probability: Ppb,
}

impl MissRate {
    /// Nothing seen yet; `prior` is the venue's, ppb.
    pub fn new(prior: Ppb, params: &ScanParams) -> Self {
        let mut rate = Self { prior: prior.clamp(0, ONE_PPB), ..Self::default() };
        rate.renew(params);
        rate
    }

    /// A leg of an entry ended by what the book held: of `wanted` contracts `filled` traded. `now` is `mono`.
    pub fn on_end(&mut self, wanted: i64, filled: i64, now: Nanos, params: &ScanParams) {
        if params.miss_prior_orders == 0 || wanted <= 0 {
            return;
        }
        self.forget(now, params);
        let missed = ppb_ceil(wanted.saturating_sub(filled).clamp(0, wanted), wanted).min(ONE_PPB);
        if self.orders < ORDERS_MAX {
            self.orders += ONE_PPB;
            self.missed += missed;
        }
        self.renew(params);
    }

    /// What was learnt until now, to be handed over: legs that are remembered and what of them missed, ppb of an order.
    pub const fn learnt(&self) -> (i64, i64) {
        (self.orders, self.missed)
    }

    /// Goes on with what another run has learnt. The time between the runs counts for nothing.
    pub fn go_on(&mut self, (orders, missed): (i64, i64), now: Nanos, params: &ScanParams) {
        if params.miss_prior_orders == 0 {
            return;
        }
        self.orders = orders.clamp(0, ORDERS_MAX);
        self.missed = missed.clamp(0, self.orders);
        self.part = part_at(now, params);
        self.renew(params);
    }

    /// Forgets what is due at `now` (`mono`).
    pub fn forget(&mut self, now: Nanos, params: &ScanParams) {
        let part = part_at(now, params);
        let passed = part.saturating_sub(self.part);
        if passed <= 0 {
            return;
        }
        self.part = part;
        if self.orders == 0 {
            return;
        }
        if passed > PARTS * LIVES_MAX {
            (self.orders, self.missed) = (0, 0);
        }
        // The same for both, and rising with its argument: what missed is never more than what was seen.
        for _ in 0..passed.min(PARTS * LIVES_MAX) {
            self.orders -= self.orders >> 6;
            self.missed -= self.missed >> 6;
        }
        self.renew(params);
    }

    /// Probability that a leg misses, or the share of it that does; rounded up, 0..=1 in ppb. 0 while nothing is learnt.
    pub const fn probability(&self) -> Ppb {
        self.probability
    }

    /// Legs behind it, the prior left out; rounded down.
    pub const fn orders(&self) -> i64 {
        self.orders / ONE_PPB
    }

    fn renew(&mut self, params: &ScanParams) {
        let weight = i64::from(params.miss_prior_orders.min(MISS_PRIOR_ORDERS_MAX));
        if weight == 0 {
            self.probability = 0;
            return;
        }
        let missed = self.prior * weight + self.missed;
        self.probability = ppb_ceil(missed, weight * ONE_PPB + self.orders).clamp(0, ONE_PPB);
    }

    /// Adds the state to a digest; nothing where nothing was learnt, so that older journals keep theirs.
    pub fn digest(&self, to: &mut Digest) {
        if self.orders != 0 {
            to.mix_signed(self.orders);
            to.mix_signed(self.missed);
        }
    }
}

/// Number of the part of a half-life in which `now` lies.
fn part_at(now: Nanos, params: &ScanParams) -> i64 {
    now.div_euclid((params.miss_half_life_ns / PARTS).max(1))
}

/// The largest weight of a prior, orders.
pub const MISS_PRIOR_ORDERS_MAX: u32 = 1_000_000;

/// What it costs when a leg stands alone and is unwound where it was filled: the taker fee twice, the spread, and what
/// its book's depth takes of the intended size on both sides; ppb of its mid, rounded up. A side that is not deep enough
/// to tell counts as the other one.
pub fn alone_cost(
    taker_fee: Ppb,
    half_spread: Ppb,
    buy: Option<&Fill>,
    sell: Option<&Fill>,
    mid2: i64,
) -> Ppb {
    let depth = |fill: &Fill| (fill.vwap - (fill.top << VWAP_SHIFT)).abs();
    let depth = match (buy.map(depth), sell.map(depth)) {
        (Some(buy), Some(sell)) => buy.saturating_add(sell),
        (Some(one), None) | (None, Some(one)) => one.saturating_mul(2),
        (None, None) => 0,
    };
    let depth = if depth == 0 { 0 } else { ppb_ceil(depth, mid2 << (VWAP_SHIFT - 1)) };
    taker_fee.saturating_add(half_spread).saturating_mul(2).saturating_add(depth).max(0)
}

/// What legs that miss cost an entry on average: of two legs that miss with `probability` independently of each other,
/// one misses while the other one fills, and that one is left at the cost of standing `alone`. Both missing cost nothing.
/// Ppb, rounded up.
pub fn failure_cost(probability: [Ppb; 2], alone: [Ppb; 2]) -> Ppb {
    if probability == [0, 0] {
        return 0;
    }
    let left_alone = |leg: usize| {
        let missed = part_of(probability[1 - leg], ONE_PPB - probability[leg]);
        part_of(missed, alone[leg])
    };
    left_alone(0).saturating_add(left_alone(1))
}

/// A part (ppb of 1) of an amount, both not negative, rounded up.
fn part_of(part: Ppb, amount: i64) -> i64 {
    let (part, amount) = (part.clamp(0, ONE_PPB), amount.max(0));
    match part.checked_mul(amount) {
        Some(product) => product / ONE_PPB + i64::from(product % ONE_PPB > 0),
        None => {
            let one = i128::from(ONE_PPB);
            let wide = (i128::from(part) * i128::from(amount) + one - 1) / one;
            i64::try_from(wide).unwrap_or(i64::MAX)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::intent::BPS;
    use crate::domain::time::SECOND;
    use proptest::prelude::*;

    const HALF_LIFE: Nanos = 440 * SECOND;

    fn params(orders: u32) -> ScanParams {
        ScanParams { miss_prior_orders: orders, miss_half_life_ns: HALF_LIFE, ..ScanParams::default() }
    }

    #[test]
    fn it_begins_with_the_prior_and_moves_towards_what_is_seen() {
        let params = params(20);
        let mut rate = MissRate::new(100_000_000, &params);
        assert_eq!((rate.probability(), rate.orders()), (100_000_000, 0));
        (0..20).for_each(|_| rate.on_end(10, 0, 0, &params));
        assert_eq!((rate.probability(), rate.orders()), (550_000_000, 20), "half prior, half seen");
        (0..160).for_each(|_| rate.on_end(10, 10, 0, &params));
        assert_eq!(rate.probability(), 110_000_000, "22 of 200");
    }

    #[test]
    fn a_partial_fill_misses_in_part() {
        let params = params(1);
        let mut rate = MissRate::new(0, &params);
        rate.on_end(4, 3, 0, &params);
        assert_eq!(rate.probability(), 125_000_000, "a quarter of one of two orders");
        rate.on_end(0, 0, 0, &params);
        rate.on_end(4, 5, 0, &params);
        assert_eq!(
            (rate.probability(), rate.orders()),
            (83_333_334, 2),
            "more than wanted is no miss, rounded up"
        );
    }

    #[test]
    fn half_is_forgotten_in_a_half_life_and_all_in_the_end() {
        let params = params(10);
        let mut rate = MissRate::new(50_000_000, &params);
        (0..100).for_each(|_| rate.on_end(1, 0, 0, &params));
        rate.forget(HALF_LIFE, &params);
        assert_eq!(rate.orders(), 50);
        let so_far = rate.probability();
        rate.forget(HALF_LIFE / 2, &params);
        assert_eq!(rate.probability(), so_far, "time does not run back");
        rate.forget(100 * HALF_LIFE, &params);
        assert_eq!((rate.probability(), rate.orders()), (50_000_000, 0));
    }

    #[test]
    fn another_run_goes_on_with_it_from_its_own_time() {
        let params = params(10);
        let mut before = MissRate::new(50_000_000, &params);
        (0..100).for_each(|_| before.on_end(1, 0, 7 * HALF_LIFE, &params));
        let mut after = MissRate::new(50_000_000, &params);
        after.go_on(before.learnt(), HALF_LIFE / 2, &params);
        assert_eq!(after.probability(), before.probability());
        after.forget(HALF_LIFE / 2, &params);
        assert_eq!(after.orders(), 100, "nothing is forgotten for the time of another clock");
        after.forget(HALF_LIFE * 3 / 2, &params);
        assert_eq!(after.orders(), 50);
        let mut damaged = MissRate::new(50_000_000, &params);
        damaged.go_on((i64::MIN, i64::MAX), 0, &params);
        assert_eq!((damaged.probability(), damaged.orders()), (50_000_000, 0));
    }

    #[test]
    fn without_a_weight_nothing_is_learnt_or_charged() {
        let params = params(0);
        let mut rate = MissRate::new(900_000_000, &params);
        rate.on_end(1, 0, 0, &params);
        rate.go_on((ONE_PPB, ONE_PPB), 0, &params);
        rate.forget(HALF_LIFE, &params);
        let (mut seen, mut none) = (Digest::default(), Digest::default());
        rate.digest(&mut seen);
        MissRate::default().digest(&mut none);
        assert_eq!((rate.probability(), rate.orders(), seen.value()), (0, 0, none.value()));
    }

    #[test]
    fn a_leg_alone_costs_two_fees_the_spread_and_the_depth_of_both_sides() {
        let fill =
            |vwap: i64, top: i64| Fill { vwap: vwap << VWAP_SHIFT, top, worst: vwap, deep: vwap != top };
        // Mid 10 000: one price step is 1 bp.
        let [buy, sell] = [fill(10_003, 10_001), fill(9_998, 9_999)];
        let cost = |buy: Option<&Fill>, sell: Option<&Fill>| alone_cost(5 * BPS, BPS, buy, sell, 20_000);
        assert_eq!(cost(Some(&buy), Some(&sell)), (10 + 2 + 3) * BPS);
        assert_eq!(cost(Some(&buy), None), (10 + 2 + 4) * BPS, "what is not known counts as the other side");
        assert_eq!(cost(None, None), (10 + 2) * BPS);
        assert_eq!(
            alone_cost(-5 * BPS, BPS, None, None, 20_000),
            0,
            "a rebate is no reason to be left alone"
        );
    }

    #[test]
    fn the_leg_that_fills_bears_the_cost_of_the_one_that_misses() {
        let p = [200_000_000, 100_000_000];
        // 0.2 · 0.9 · 30 + 0.1 · 0.8 · 10
        assert_eq!(failure_cost(p, [10 * BPS, 30 * BPS]), 620_000);
        assert_eq!(failure_cost([0, 0], [10 * BPS, 30 * BPS]), 0);
        assert_eq!(failure_cost([ONE_PPB, ONE_PPB], [10 * BPS, 30 * BPS]), 0, "nothing is ever filled");
        assert_eq!(failure_cost([ONE_PPB, 0], [10 * BPS, 30 * BPS]), 30 * BPS);
    }

    proptest! {
        #[test]
        fn a_probability_lies_between_0_and_1_and_rises_with_every_miss(
            prior in -10i64..=ONE_PPB + 10,
            weight in 1u32..=MISS_PRIOR_ORDERS_MAX,
            ends in proptest::collection::vec((1i64..1_000, 0i64..1_200, 0i64..600), 0..200),
            wanted in 1i64..1_000,
            filled in 0i64..1_000,
        ) {
            let params = params(weight);
            let mut rate = MissRate::new(prior, &params);
            let mut now = 0;
            for (wanted, filled, later) in ends {
                now += later * SECOND;
                rate.on_end(wanted, filled, now, &params);
                prop_assert!((0..=ONE_PPB).contains(&rate.probability()));
                prop_assert!(rate.missed <= rate.orders);
            }
            let after = |filled: i64| {
                let mut rate = rate;
                rate.on_end(wanted, filled, now, &params);
                rate.probability()
            };
            prop_assert!(after(0) >= rate.probability(), "a miss");
            prop_assert!(after(wanted) <= rate.probability(), "a fill");
            prop_assert!(after(filled.min(wanted)) >= after((filled + 1).min(wanted)), "the less was filled");
            // Never less than the exact ratio.
            let weight = i128::from(weight);
            let exact = (i128::from(rate.prior) * weight + i128::from(rate.missed)) * i128::from(ONE_PPB);
            let seen = weight * i128::from(ONE_PPB) + i128::from(rate.orders);
            prop_assert!(i128::from(rate.probability()) * seen >= exact);
        }

        #[test]
        fn the_cost_of_failure_is_never_negative_and_rounds_against_us(
            a in 0i64..=ONE_PPB, b in 0i64..=ONE_PPB, x in -BPS..i64::MAX, y in 0i64..1_000 * BPS,
        ) {
            let cost = failure_cost([a, b], [x, y]);
            let (wide, one) = (i128::from, i128::from(ONE_PPB));
            // In parts of 10¹⁸ where it fits: the largest x stays inside an i128.
            let exact = wide(b) * (one - wide(a)) * wide(x.max(0)) + wide(a) * (one - wide(b)) * wide(y);
            prop_assert!(cost >= 0);
            prop_assert!(wide(cost) * one * one >= exact || cost == i64::MAX);
            let most = x.max(0).max(y);
            prop_assert!(cost <= most.saturating_add(2 * (most / ONE_PPB + 2)), "no more than the dearer leg alone");
            prop_assert!(failure_cost([a, b], [x, y + 1]) >= cost, "a dearer leg costs more");
            prop_assert!(failure_cost([a, 0], [x, y]) >= failure_cost([a / 2, 0], [x, y]), "as does a worse one");
        }

        #[test]
        fn what_a_leg_alone_costs_is_never_less_than_its_way_there_and_back(
            mid in 10_000i64..1 << 40,
            spread in 1i64..100, up in 0i64..50, down in 0i64..50, fee in 0i64..10 * BPS,
        ) {
            let (bid, ask) = (mid, mid + spread);
            let fill = |top: i64, away: i64| Fill { vwap: (top + away) << VWAP_SHIFT, top, worst: top + away, deep: away != 0 };
            let (buy, sell) = (fill(ask, up), fill(bid, -down));
            let half = ppb_ceil(ask - bid, ask + bid);
            let cost = alone_cost(fee, half, Some(&buy), Some(&sell), bid + ask);
            let lost = i128::from(buy.vwap - sell.vwap) * 2 * i128::from(ONE_PPB);
            let exact = lost + i128::from(2 * fee) * (i128::from(bid + ask) << VWAP_SHIFT);
            prop_assert!(i128::from(cost) * (i128::from(bid + ask) << VWAP_SHIFT) >= exact);
        }
    }
}
