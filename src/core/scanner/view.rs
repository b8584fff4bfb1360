//! What the scanner shows: figures per pair and direction, sums, leftovers. Read-only.

use super::Scanner;
use crate::core::edge::PairMid;
use crate::core::listing::{Listing, Served};
use crate::core::mode::Mode;
use crate::core::pair::{Pair, WhyNot};
use crate::core::trade::desk::DeskCounters;
use crate::core::trade::{Phase, Trade};
use crate::domain::instrument::{CanonicalId, InstrumentId, Price, Qty};
use crate::domain::intent::{EdgeTerms, Ppb, TradeId};
use crate::domain::time::Nanos;
use serde::Serialize;

/// One direction of a pair, for people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct PairView {
    /// What is traded.
    pub canonical: CanonicalId,
    /// Where it would be bought.
    pub buy: InstrumentId,
    /// Where it would be sold.
    pub sell: InstrumentId,
    /// Mid basis now, sell − buy; `None` unless both books are served.
    pub basis: Option<Ppb>,
    /// Its rolling median; `None` without samples.
    pub baseline: Option<Ppb>,
    /// Samples in the window.
    pub samples: u16,
    /// The edge when last priced.
    pub terms: EdgeTerms,
    /// What legs that miss cost on average, as learnt: a part of the allowance in `terms`, ppb.
    pub failure: Ppb,
    /// Intended contracts at `buy` and `sell`; zero when there is no common size.
    pub qty: [Qty; 2],
    /// Why it does not trade.
    pub why: WhyNot,
    /// Entries with any fill.
    pub hits: u32,
    /// Entries without a fill.
    pub misses: u32,
    /// Entries denied.
    pub denials: u32,
    /// The open trade in this direction.
    pub trade: Option<TradeId>,
    /// Level shifts of the pair.
    pub level_shifts: u32,
    /// Insane edges that lasted.
    pub alarms: u32,
}

/// Order quality of a listing, for people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct QualityView {
    /// Orders of the window.
    pub orders: u32,
    /// Of them those that filled nothing.
    pub missed: u32,
    /// The listing takes no entries for it.
    pub paused: bool,
    /// Learnt probability that a leg of an entry misses, ppb; 0 while nothing is learnt.
    pub miss_ppb: Ppb,
}

/// Sums over the scanner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ScanTotals {
    /// Trades and baskets.
    pub desk: DeskCounters,
    /// Trades open now.
    pub trades_open: u32,
    /// Trades open now whose legs are not equal yet (entering, balancing).
    pub unbalanced: u32,
    /// For how long the leg has stood alone that does so for the longest time, ns; 0 = none does.
    pub alone_ns: Nanos,
    /// Pair evaluations.
    pub evaluations: u64,
    /// Mode in force for all venues.
    pub mode: Mode,
    /// Level shifts.
    pub level_shifts: u64,
    /// Insane edges that lasted.
    pub alarms: u64,
    /// Book levels dropped because a side was full.
    pub levels_dropped: u64,
    /// Impossible prices and quantities refused.
    pub odd: u64,
}

impl Scanner {
    /// Figures of every direction of every pair, as of the last event.
    pub fn views(&self) -> impl Iterator<Item = PairView> + '_ {
        self.pairs.iter().flat_map(move |pair| (0..2).map(move |way| self.view(pair, way)))
    }

    /// The open trades.
    pub fn trades(&self) -> impl Iterator<Item = &Trade> + '_ {
        self.desk.trades()
    }

    /// Contracts left over per listing because no order may be that small, where not zero.
    pub fn residuals(&self) -> impl Iterator<Item = (InstrumentId, Qty)> + '_ {
        let left = self.listings.iter().filter(|listing| listing.residual != 0);
        left.map(|listing| (listing.params.id, Qty(listing.residual)))
    }

    /// A listing as the scanner sees it.
    pub fn listing(&self, instrument: InstrumentId) -> Option<&Listing> {
        self.listings.get(instrument.index())
    }

    /// Age of a listing's touch as of the last event; `None` while its book is not served.
    pub fn book_age(&self, instrument: InstrumentId) -> Option<Nanos> {
        let listing = self.listings.get(instrument.index())?;
        (listing.served == Served::Yes).then(|| listing.touch_age(self.now.wall))
    }

    /// A listing's mid; `None` while its book is not served.
    pub fn mid(&self, instrument: InstrumentId) -> Option<Price> {
        let listing = self.listings.get(instrument.index())?;
        (listing.served == Served::Yes).then(|| listing.mid())
    }

    /// How our orders on a listing fared in the window that ends now.
    pub fn quality(&self, instrument: InstrumentId) -> Option<QualityView> {
        let listing = self.listings.get(instrument.index())?;
        let (orders, missed) = listing.quality.counts(self.now.mono, &self.params);
        let paused = listing.quality.is_paused(self.now.mono, &self.params);
        Some(QualityView { orders, missed, paused, miss_ppb: listing.misses.probability() })
    }

    /// Sums.
    pub fn totals(&self) -> ScanTotals {
        let unbalanced = self.desk.trades().filter(|trade| trade.phase < Phase::Open).count();
        ScanTotals {
            desk: self.desk.counters(),
            trades_open: self.desk.trades().count() as u32,
            unbalanced: unbalanced as u32,
            alone_ns: self.desk.alone_for(self.now.mono),
            evaluations: self.evaluations,
            mode: self.modes.global(),
            level_shifts: self.pairs.iter().map(|pair| u64::from(pair.level_shifts)).sum(),
            alarms: self.pairs.iter().map(|pair| u64::from(pair.alarms)).sum(),
            levels_dropped: self.listings.iter().map(|listing| listing.book.dropped()).sum(),
            odd: self.odd + self.listings.iter().map(|listing| listing.book.odd()).sum::<u64>(),
        }
    }

    fn view(&self, pair: &Pair, way: usize) -> PairView {
        let [buy, sell] = [way, 1 - way].map(|at| &self.listings[usize::from(pair.listings[at])]);
        let is_served = buy.served == Served::Yes && sell.served == Served::Yes;
        let sign = if way == 0 { 1 } else { -1 };
        let basis = PairMid { first: buy.mid2, second: sell.mid2 }.basis();
        let limit = self.params.book_age_max_ns;
        let is_stale = buy.touch_age(self.now.wall) > limit || sell.touch_age(self.now.wall) > limit;
        let is_clock_off = [buy, sell].iter().any(|leg| !self.start.is_clock_fit(leg.params.venue, self.now));
        let why = match (buy.served, sell.served) {
            (Served::NoInstrument, _) | (_, Served::NoInstrument) => WhyNot::NoInstrument,
            _ if !buy.is_trading() || !sell.is_trading() => WhyNot::Suspended,
            _ if buy.is_locked(self.now.wall) || sell.is_locked(self.now.wall) => WhyNot::Locked,
            (Served::NotLive, _) | (_, Served::NotLive) => WhyNot::NotLive,
            (Served::Crossed, _) | (_, Served::Crossed) => WhyNot::Crossed,
            _ if is_clock_off => WhyNot::ClockOff,
            _ if is_stale => WhyNot::Stale,
            _ => pair.ways[way].why,
        };
        let open = |trade: &&Trade| {
            usize::from(trade.way) == way
                && self
                    .pairs
                    .get(usize::from(trade.pair))
                    .is_some_and(|other| other.listings == pair.listings)
        };
        let qty = pair.size.unwrap_or_default().qty;
        PairView {
            canonical: pair.canonical,
            buy: buy.params.id,
            sell: sell.params.id,
            basis: is_served.then_some(basis),
            baseline: pair.baseline().map(|baseline| sign * baseline),
            samples: pair.samples() as u16,
            terms: pair.ways[way].terms,
            failure: pair.ways[way].failure,
            qty: [qty[way], qty[1 - way]],
            why,
            hits: pair.ways[way].hits,
            misses: pair.ways[way].misses,
            denials: pair.ways[way].denials,
            trade: self.desk.trades().find(open).map(|trade| trade.id),
            level_shifts: pair.level_shifts,
            alarms: pair.alarms,
        }
    }
}
