//! The makers and noise takers of one listing.
//!
//! A side is a touch, exactly half a spread from the quoted price, and a ladder of levels on a fixed price
//! grid behind it, so that a small move changes one level and a jump re-lays the ladder. What is taken is
//! replaced when the price moves or by slow random re-sizing. Work per step is bounded by the ladder.

use super::super::config::{SimConfig, SimVenueConfig};
use super::super::exchange::{Exchange, ListingId, Side, Steps, Terms, Ticks};
use super::latent::Latent;
use super::random::{Random, mix};
use crate::domain::money::Money;
use crate::domain::time::{Nanos, SECOND};

/// The lag is drawn anew this often.
const LAG_BLOCK_NS: Nanos = 4 * SECOND;

/// Makers and takers of one listing.
#[derive(Clone, Debug)]
pub(super) struct Maker {
    listing: ListingId,
    latent: Latent,
    random: Random,
    /// Salt of sizes and lags.
    salt: u64,
    price0: Money,
    basis_ppb: i64,
    start: Nanos,
    step_ns: Nanos,
    lag_ns: Nanos,
    lag_spread_ppm: i64,
    half_spread_ppb: i64,
    levels: i64,
    /// Distance of ladder levels, ticks.
    gap: Ticks,
    /// Steps of quantity at the best level.
    base_qty: Steps,
    taker_ppm: u64,
    flicker_ppm: u64,
    /// What is quoted now.
    bid: Option<Ladder>,
    ask: Option<Ladder>,
    /// On which terms.
    terms: Terms,
}

/// One side's prices: a touch and `levels` grid prices behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ladder {
    side: Side,
    touch: Ticks,
    /// Grid price next to the touch.
    first: Ticks,
    gap: Ticks,
    levels: i64,
}

impl Ladder {
    fn new(side: Side, touch: Ticks, gap: Ticks, levels: i64) -> Self {
        let first = match side {
            Side::Buy => (touch - 1).div_euclid(gap) * gap,
            Side::Sell => (touch.div_euclid(gap) + 1) * gap,
        };
        Self { side, touch, first, gap, levels }
    }

    /// Grid price number `k`; prices at or below zero do not exist.
    fn price(&self, k: i64) -> Ticks {
        self.first - self.side.sign() * k * self.gap
    }

    /// Number of a grid price on the ladder.
    fn rank(&self, price: Ticks) -> Option<i64> {
        let away = (self.first - price) * self.side.sign();
        (away >= 0 && away % self.gap == 0 && away / self.gap < self.levels).then_some(away / self.gap)
    }

    fn holds(&self, price: Ticks) -> bool {
        price == self.touch || self.rank(price).is_some()
    }

    fn prices(self) -> impl Iterator<Item = Ticks> {
        std::iter::once(self.touch)
            .chain((0..self.levels).map(move |k| self.price(k)))
            .filter(|price| *price > 0)
    }
}

impl Maker {
    pub fn new(config: &SimConfig, venue: &SimVenueConfig, index: usize, exchange: &Exchange) -> Self {
        let listing = &venue.listings[index];
        let instrument = &config.instruments[listing.instrument];
        let contract = exchange.listing(ListingId(index as u16));
        let price0 = Money::from_num(instrument.price0);
        let price_ticks = contract.to_ticks(price0, Side::Buy).max(1);
        let gap = (i128::from(price_ticks) * i128::from(venue.level_gap_ppb) / 1_000_000_000).max(1) as Ticks;
        let one_step = contract.notional(price_ticks, 1).0.max(1);
        let base_qty = (Money::from_units(venue.level_notional_usd).0 / one_step).max(1) as Steps;
        let random =
            Random::keyed(config.seed, &[b"maker", venue.name.as_bytes(), listing.symbol.as_bytes()]);
        let salt = random.clone().bits();
        Self {
            listing: ListingId(index as u16),
            latent: Latent::new(config.seed, instrument, config.step_ns),
            random,
            salt,
            price0,
            basis_ppb: listing.basis_ppb,
            start: config.start_wall_ns,
            step_ns: config.step_ns,
            lag_ns: venue.lag_ns,
            lag_spread_ppm: i64::from(venue.lag_spread_ppm.min(1_000_000)),
            half_spread_ppb: venue.half_spread_ppb,
            levels: i64::from(venue.levels),
            gap,
            base_qty,
            taker_ppm: (i128::from(venue.takers_per_second) * i128::from(config.step_ns) / 1_000) as u64,
            flicker_ppm: u64::from(venue.flicker_ppm),
            bid: None,
            ask: None,
            terms: Terms::default(),
        }
    }

    /// One step at wall time `now`: follow the latent price, re-quote, trade a little noise.
    pub fn step(&mut self, exchange: &mut Exchange, now: Nanos) {
        let behind = now - self.start - self.lag(now);
        let deviation = self.latent.advance_to(behind.div_euclid(self.step_ns).max(0) as u64);
        let at = |ppb: i64| Money(self.price0.0 / 1_000_000_000 * i128::from(1_000_000_000 + ppb));
        let (index, mark) = (at(deviation), at(deviation + self.basis_ppb));
        exchange.set_mark(self.listing, mark, index);
        let half = Money(mark.0 / 1_000_000_000 * i128::from(self.half_spread_ppb));
        let contract = exchange.listing(self.listing);
        let terms = contract.terms(now);
        let bid = contract.to_ticks(mark - half, Side::Buy).max(1);
        let ask = contract.to_ticks(mark + half, Side::Sell).max(bid + 1);
        let (bid, ask) = contract.on_grid(bid, ask);
        let listed = contract.is_listed();
        if std::mem::replace(&mut self.terms, terms) != terms {
            self.withdraw(exchange, now);
        }
        if !listed {
            return exchange.market_done(self.listing, now);
        }
        self.requote(exchange, bid, ask, now);
        if self.random.chance_ppm(self.flicker_ppm) {
            self.flicker(exchange, now);
        }
        if self.random.chance_ppm(self.taker_ppm) {
            self.take(exchange, now);
        }
        exchange.market_done(self.listing, now);
    }

    fn lag(&self, now: Nanos) -> Nanos {
        if self.lag_ns == 0 {
            return 0;
        }
        let block = now.div_euclid(LAG_BLOCK_NS) as u64;
        let draw = (mix(self.salt ^ block) % 2_000_001) as i64 - 1_000_000;
        let spread = i128::from(self.lag_spread_ppm) * i128::from(draw) / 1_000_000;
        (i128::from(self.lag_ns) * (1_000_000 + spread) / 1_000_000) as Nanos
    }

    /// Moves the quotes: first everything that is left behind goes, on both sides, then the new is laid.
    fn requote(&mut self, exchange: &mut Exchange, bid: Ticks, ask: Ticks, now: Nanos) {
        let old = [self.bid, self.ask];
        if old.iter().zip([bid, ask]).all(|(ladder, touch)| ladder.is_some_and(|l| l.touch == touch)) {
            return;
        }
        let gap = exchange.listing(self.listing).grid_gap(self.gap);
        let new =
            [Ladder::new(Side::Buy, bid, gap, self.levels), Ladder::new(Side::Sell, ask, gap, self.levels)];
        for (old, new) in old.iter().zip(&new) {
            for price in old.iter().flat_map(|ladder| ladder.prices()).filter(|price| !new.holds(*price)) {
                exchange.market_quote(self.listing, new.side, price, 0, now);
            }
        }
        for (old, new) in old.iter().zip(&new) {
            if old.is_some_and(|old| old.touch == new.touch) {
                continue;
            }
            for price in new.prices() {
                let known = old.is_some_and(|old| price != old.touch && old.holds(price));
                if price == new.touch || !known {
                    let qty = self.size(exchange, new, price);
                    exchange.market_quote(self.listing, new.side, price, qty, now);
                }
            }
        }
        (self.bid, self.ask) = (Some(new[0]), Some(new[1]));
    }

    /// Takes every quote away: prices and quantities of other terms have no place in the book.
    fn withdraw(&mut self, exchange: &mut Exchange, now: Nanos) {
        for ladder in [self.bid.take(), self.ask.take()].into_iter().flatten() {
            for price in ladder.prices() {
                exchange.market_quote(self.listing, ladder.side, price, 0, now);
            }
        }
    }

    /// One level gets another size.
    fn flicker(&mut self, exchange: &mut Exchange, now: Nanos) {
        let side = if self.random.chance_ppm(500_000) { self.bid } else { self.ask };
        let Some(ladder) = side else { return };
        let price = match self.random.below(self.levels as u64 + 8) as i64 - 8 {
            k if k < 0 => ladder.touch,
            k => ladder.price(k),
        };
        if price > 0 {
            let qty = self.size(exchange, &ladder, price);
            exchange.market_quote(self.listing, ladder.side, price, qty, now);
        }
    }

    /// A noise taker: mostly small, now and then through several levels.
    fn take(&mut self, exchange: &mut Exchange, now: Nanos) {
        let side = if self.random.chance_ppm(500_000) { Side::Buy } else { Side::Sell };
        let Some(best) = exchange.book(self.listing).best(side.opposite()) else { return };
        let percent = if self.random.chance_ppm(20_000) { 400 } else { self.random.between(1, 60) };
        let qty = exchange.listing(self.listing).whole_lots(self.base_qty * percent / 100);
        exchange.market_take(self.listing, side, best.price + side.sign() * self.gap * 4, qty, now);
    }

    /// A fresh size for a level: deeper is larger, ± 50 %.
    fn size(&mut self, exchange: &Exchange, ladder: &Ladder, price: Ticks) -> Steps {
        let depth = if price == ladder.touch { 0 } else { ladder.rank(price).unwrap_or(0) + 1 };
        let factor = self.random.between(50, 150) * (4 + depth.min(28));
        exchange.listing(self.listing).whole_lots(self.base_qty * factor / 400)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ladder_knows_its_prices() {
        for side in [Side::Buy, Side::Sell] {
            for touch in 95..=111 {
                let ladder = Ladder::new(side, touch, 5, 4);
                let prices: Vec<Ticks> = ladder.prices().collect();
                assert_eq!(prices.len(), 5);
                assert!(prices.windows(2).all(|w| (w[0] - w[1]) * side.sign() > 0), "{prices:?}");
                assert!(prices[1..].iter().all(|p| p % 5 == 0));
                let held: Vec<Ticks> = (1..=200).filter(|p| ladder.holds(*p)).collect();
                let mut sorted = prices.clone();
                sorted.sort_unstable();
                assert_eq!(held, sorted);
            }
        }
    }
}
