//! What a recording says of its venues and pairs, beside what the engine does with it: how far prices lie apart net
//! of all costs, for how long, and how far the venues' clocks are from the recorder's.
//!
//! Reads the engine's own books and prices with the engine's own arithmetic (`core::edge`); ages are counted by
//! receive time. Pairs are all listings of one coin on two venues, also those that the engine never pairs because
//! they settle in different currencies: their edge is a comparison of prices, not of money.

use super::tally::{Episodes, Tally};
use crate::core::edge::{EdgeInput, PairMid, ppb_ceil, terms};
use crate::core::listing::Listing;
use crate::core::median::Median;
use crate::core::pair::WhyNot;
use crate::core::scanner::Scanner;
use crate::domain::instrument::{Instrument, InstrumentId, Qty};
use crate::domain::intent::{EdgeTerms, Ppb};
use crate::domain::money::Money;
use crate::domain::order::Side;
use crate::domain::params::EngineParams;
use crate::domain::time::Nanos;
use std::collections::BTreeMap;

/// What an episode is an episode of.
pub const LEVELS: [&str; 3] = ["before_fees", "zero", "threshold"];

/// Samples that one step of time can bring.
const SAMPLES_MAX: i64 = 100_000;

/// One direction of a pair.
#[derive(Debug)]
pub struct WayStudy {
    /// Net edges, ppb.
    pub edges: Tally,
    /// By [`LEVELS`].
    pub episodes: [Episodes; 3],
    /// Why it was not priced, with how often.
    pub unpriced: BTreeMap<&'static str, u64>,
    /// Why the engine did not enter, with how often; empty where the engine has no such pair.
    pub why_not: BTreeMap<&'static str, u64>,
}

/// A pair.
#[derive(Debug)]
pub struct PairStudy {
    /// Listings, by rising index.
    pub legs: [InstrumentId; 2],
    /// Taker fees of a round trip, ppb.
    pub fees: Ppb,
    /// Allowance, ppb.
    pub allowance: Ppb,
    /// The engine pairs them too.
    pub is_engine: bool,
    /// Direction 0 buys the first.
    pub ways: [WayStudy; 2],
    window: Median,
    sampled: Option<Nanos>,
}

/// All of it.
#[derive(Debug)]
pub struct Study {
    params: EngineParams,
    /// When each listing's prices were last heard of.
    heard: Vec<Option<Nanos>>,
    live: Vec<bool>,
    /// By listing: how often a live book was lost.
    pub gaps: Vec<u64>,
    /// By venue: receive time less venue time, ns.
    pub offsets: Vec<Tally>,
    /// All pairs.
    pub pairs: Vec<PairStudy>,
    sample_at: Nanos,
}

/// A leg that can be priced.
struct Leg<'a> {
    listing: &'a Listing,
    /// Brings its prices to the finer scale of both.
    factor: i64,
    bid: i64,
    ask: i64,
}

impl Study {
    /// Of a run with these parameters that begins at `start`, wall ns.
    pub fn new(params: &EngineParams, start: Nanos) -> Self {
        let base = |at: usize| params.canonicals.get(params.listings[at].canonical.index()).map(|it| it.base);
        let mut pairs = Vec::new();
        for a in 0..params.listings.len() {
            for b in a + 1..params.listings.len() {
                let legs = [&params.listings[a], &params.listings[b]];
                if legs[0].venue == legs[1].venue || base(a) != base(b) {
                    continue;
                }
                let venues = legs.map(|leg| &params.venues[leg.venue.index()]);
                let way = || WayStudy {
                    edges: Tally::new(1_000),
                    episodes: Default::default(),
                    unpriced: BTreeMap::new(),
                    why_not: BTreeMap::new(),
                };
                pairs.push(PairStudy {
                    legs: legs.map(|leg| leg.id),
                    fees: 2 * (venues[0].taker_fee_ppb + venues[1].taker_fee_ppb),
                    allowance: params.scan.allowance_ppb + venues[0].allowance_ppb + venues[1].allowance_ppb,
                    is_engine: legs[0].canonical == legs[1].canonical,
                    ways: [way(), way()],
                    window: Median::new(usize::from(params.scan.basis_samples.max(1))),
                    sampled: None,
                });
            }
        }
        Self {
            heard: vec![None; params.listings.len()],
            live: vec![false; params.listings.len()],
            gaps: vec![0; params.listings.len()],
            offsets: params.venues.iter().map(|_| Tally::new(10_000)).collect(),
            pairs,
            sample_at: start,
            params: params.clone(),
        }
    }

    /// Time passes up to `now`, with the books as they are: the basis is sampled.
    pub fn advance(&mut self, now: Nanos, scanner: &Scanner) {
        let step = self.params.scan.basis_sample_ns.max(1);
        // After hours of nothing there is nothing to be sampled in between.
        let missed = (now - self.sample_at) / step;
        self.sample_at += if missed > SAMPLES_MAX { (missed - 1) * step } else { 0 };
        while self.sample_at <= now {
            let at = self.sample_at;
            for n in 0..self.pairs.len() {
                if let Ok(legs) = self.legs(n, at, scanner) {
                    let basis = mid(&legs).basis();
                    let span = step.saturating_mul(i64::from(self.params.scan.basis_samples));
                    let pair = &mut self.pairs[n];
                    if pair.sampled.is_some_and(|last| at - last > span) {
                        pair.window.clear();
                    }
                    pair.sampled = Some(at);
                    pair.window.push(basis);
                }
            }
            self.sample_at += step;
        }
    }

    /// A message of the listing's prices was received.
    pub fn hear(&mut self, listing: InstrumentId, now: Nanos) {
        if let Some(heard) = self.heard.get_mut(listing.index()) {
            *heard = Some(now);
        }
    }

    /// Whether the listing's book was lost by what was just passed to the engine.
    pub fn look(&mut self, listing: InstrumentId, scanner: &Scanner) -> bool {
        let at = listing.index();
        let live = scanner.listing(listing).is_some_and(|listing| listing.book.is_served());
        let lost = self.live[at] && !live;
        self.live[at] = live;
        self.gaps[at] += u64::from(lost);
        lost
    }

    /// The listing's prices were heard of and nothing more came at the same instant: prices its pairs.
    pub fn evaluate(&mut self, listing: InstrumentId, now: Nanos, scanner: &Scanner) {
        for n in 0..self.pairs.len() {
            if self.pairs[n].legs.contains(&listing) {
                self.price(n, now, scanner);
            }
        }
        for view in scanner.views() {
            let legs = [view.buy, view.sell];
            if !legs.contains(&listing) {
                continue;
            }
            for pair in &mut self.pairs {
                let way = usize::from(pair.legs[0] != view.buy);
                if pair.legs[way] == view.buy && pair.legs[1 - way] == view.sell {
                    *pair.ways[way].why_not.entry(WhyNot::as_str(view.why)).or_default() += 1;
                }
            }
        }
    }

    /// The end of the recording.
    pub fn finish(&mut self, now: Nanos) {
        for way in self.pairs.iter_mut().flat_map(|pair| &mut pair.ways) {
            way.episodes.iter_mut().for_each(|episodes| episodes.finish(now));
        }
    }

    fn price(&mut self, n: usize, now: Nanos, scanner: &Scanner) {
        let until = self.fresh_until(n);
        let found = self.legs(n, now, scanner).map_err(|why| [why; 2]);
        let edges = found.and_then(|legs| self.edges(n, &legs));
        let threshold = self.params.scan.threshold_ppb;
        let pair = &mut self.pairs[n];
        for (at, way) in pair.ways.iter_mut().enumerate() {
            let edge = match &edges {
                Ok(edges) => edges[at].ok_or("book thin"),
                Err(why) => Err(why[at]),
            };
            match edge {
                Ok(EdgeTerms { net, fees, allowance, .. }) => {
                    way.edges.add(net);
                    for (episodes, above) in
                        way.episodes.iter_mut().zip([net + fees + allowance > 0, net > 0, net >= threshold])
                    {
                        episodes.on(above, now, until);
                    }
                }
                Err(why) => {
                    *way.unpriced.entry(why).or_default() += 1;
                    way.episodes.iter_mut().for_each(|episodes| episodes.on(false, now, until));
                }
            }
        }
    }

    /// Until when both legs of a pair count as fresh, as far as has been heard.
    fn fresh_until(&self, n: usize) -> Nanos {
        let heard = self.pairs[n].legs.map(|leg| self.heard[leg.index()].unwrap_or(Nanos::MIN / 2));
        heard[0].min(heard[1]) + self.params.scan.book_age_max_ns
    }

    /// Both legs, if their books can be priced now.
    fn legs<'a>(&self, n: usize, now: Nanos, scanner: &'a Scanner) -> Result<[Leg<'a>; 2], &'static str> {
        let ids = self.pairs[n].legs;
        let listings = ids.map(|id| scanner.listing(id).filter(|listing| listing.is_known()));
        let [Some(a), Some(b)] = listings else { return Err(WhyNot::NoInstrument.as_str()) };
        let scale = a.instrument.price_scale.max(b.instrument.price_scale);
        let leg = |listing: &'a Listing| {
            if !listing.book.is_served() {
                return Err(WhyNot::NotLive.as_str());
            }
            let touch = |side| listing.book.touch(side).map(|(price, _)| price);
            let (Some(bid), Some(ask)) = (touch(Side::Sell), touch(Side::Buy)) else {
                return Err(WhyNot::Crossed.as_str());
            };
            let factor = 10i64.pow(u32::from(scale - listing.instrument.price_scale));
            if bid >= ask { Err(WhyNot::Crossed.as_str()) } else { Ok(Leg { listing, factor, bid, ask }) }
        };
        let legs = [leg(a)?, leg(b)?];
        if now > self.fresh_until(n) {
            return Err(WhyNot::Stale.as_str());
        }
        Ok(legs)
    }

    /// The edges of both directions; `None` where the depth does not bear the size.
    fn edges(&self, n: usize, legs: &[Leg<'_>; 2]) -> Result<[Option<EdgeTerms>; 2], [&'static str; 2]> {
        let scan = &self.params.scan;
        let pair = &self.pairs[n];
        let sizes = [&legs[0], &legs[1]].map(|leg| intended(leg, scan.notional_usd));
        let [Some(a), Some(b)] = sizes else { return Err([WhyNot::TooSmall.as_str(); 2]) };
        if pair.window.len() < usize::from(scan.basis_samples_min.max(1)) {
            return Err([WhyNot::Warmup.as_str(); 2]);
        }
        let baseline = pair.window.value().unwrap_or(0);
        let half_spreads = legs.iter().map(|leg| ppb_ceil(leg.ask - leg.bid, leg.ask + leg.bid)).sum();
        let qty = [a, b];
        let fill = |at: usize, side| {
            let mut fill = legs[at].listing.book.fill(side, qty[at].0)?;
            let factor = legs[at].factor;
            (fill.vwap, fill.top, fill.worst) = (fill.vwap * factor, fill.top * factor, fill.worst * factor);
            Some(fill)
        };
        Ok([0, 1].map(|way: usize| {
            Some(terms(&EdgeInput {
                buy: fill(way, Side::Buy)?,
                sell: fill(1 - way, Side::Sell)?,
                mid: mid(legs).fixed(),
                exit_basis: if way == 0 { baseline } else { -baseline },
                fees: pair.fees,
                exit_half_spreads: half_spreads,
                allowance: pair.allowance,
                funding: 0,
                threshold: scan.threshold_ppb,
            }))
        }))
    }
}

fn mid(legs: &[Leg<'_>; 2]) -> PairMid {
    let twice = |leg: &Leg<'_>| (leg.bid + leg.ask) * leg.factor;
    PairMid { first: twice(&legs[0]), second: twice(&legs[1]) }
}

/// What the intended notional buys of a leg at its own mid, in whole steps; `None` below the smallest order.
fn intended(leg: &Leg<'_>, notional_usd: i64) -> Option<Qty> {
    let instrument: &Instrument = &leg.listing.instrument;
    let mid = crate::domain::instrument::Price((leg.bid + leg.ask) / 2);
    let step = instrument.notional(Qty(instrument.step), mid).0;
    let steps = Money::from_units(notional_usd).0.checked_div(step)?;
    let qty = Qty(i64::try_from(steps).ok()?.checked_mul(instrument.step)?.min(instrument.qty_max.0));
    (qty.0 > 0 && qty >= instrument.qty_min).then_some(qty)
}
