//! Hedging: for how long and for how much each trade stood with one leg alone, from fills only.

use super::finding::Findings;
use crate::domain::carry::{CarriedPosition, CarriedTrade};
use crate::domain::event::Seq;
use crate::domain::instrument::{Instrument, Price, Qty};
use crate::domain::intent::TradeId;
use crate::domain::money::{Amount, Money};
use crate::domain::number::POW10;
use crate::domain::order::{OrderUpdate, Side};
use crate::domain::time::{Nanos, Stamp};
use crate::replay::plain::duration;
use serde::Serialize;
use std::collections::BTreeMap;

/// Trades of the run before have numbers from here, until one of this run closes them.
const CARRIED: u32 = 1 << 31;

/// Trades that are open at the end, named.
const NAMED: usize = 20;

#[derive(Clone, Copy, Debug, Default)]
struct Trade {
    net: Amount,
    /// What counts as flat: one step of the coarsest leg.
    dust: Amount,
    since: Option<(Seq, Stamp)>,
    value: Money,
    longest: Nanos,
    largest: Money,
    told_long: bool,
    told_large: bool,
}

/// The worst of all trades.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Worst<T> {
    /// How much.
    pub value: T,
    /// Of which trade.
    pub trade: u32,
    /// The input at which it showed.
    pub seq: u64,
    /// Its wall time, ns since the epoch.
    pub time_ns: Nanos,
}

/// Over trades that had a fill: half, nine of ten, 99 of 100 of them were not worse than this.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Spread<T> {
    /// Median.
    pub p50: T,
    /// 90 %.
    pub p90: T,
    /// 99 %.
    pub p99: T,
}

/// A trade that is unhedged when the record ends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OpenTrade {
    /// Its number.
    pub trade: u32,
    /// Unhedged notional, quote currency.
    pub notional: Money,
    /// For how long by then, ns.
    pub for_ns: Nanos,
}

/// How the trades of a run were hedged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct HedgingReport {
    /// Trades with a fill.
    pub trades: u64,
    /// The largest unhedged notional, quote currency.
    pub largest: Worst<Money>,
    /// The longest time without a hedge, ns.
    pub longest_ns: Worst<Nanos>,
    /// Largest of each trade.
    pub notional: Spread<Money>,
    /// Longest of each trade.
    pub time_ns: Spread<Nanos>,
    /// Trades that are unhedged at the end.
    pub open: u64,
    /// The first of them.
    pub open_trades: Vec<OpenTrade>,
    /// No limit is broken.
    pub clean: bool,
}

#[derive(Default)]
pub(super) struct Hedging {
    trades: BTreeMap<u32, Trade>,
    /// The trade that filled last on a listing: the only one that can hold something of it.
    holders: BTreeMap<u16, TradeId>,
    /// The last mids of positions that were taken over.
    marks: BTreeMap<u16, Price>,
    notional_max: Option<Money>,
    ns_max: Option<Nanos>,
    report: HedgingReport,
}

impl Hedging {
    /// Held against these limits, where there are any.
    pub fn new(notional_max: Option<Money>, ns_max: Option<Nanos>) -> Self {
        Self { notional_max, ns_max, ..Self::default() }
    }

    /// A position that was taken over.
    pub fn carried_position(&mut self, position: &CarriedPosition) {
        self.marks.extend(position.mark.map(|mark| (position.instrument.0, mark)));
    }

    /// A trade of the run before: what its legs hold is where it begins.
    pub fn carried_over(
        &mut self,
        trade: &CarriedTrade,
        instruments: &BTreeMap<u16, Instrument>,
        place: (Seq, Stamp),
    ) {
        let row = self.held(trade, instruments);
        self.insert(TradeId(CARRIED | trade.id), trade, row, place);
    }

    /// A trade of this run that is open where the record begins. `by_fills` is what its fills amount to and since when
    /// that is more than dust, where that is known: it counts, unless something else than its fills changed the trade.
    pub fn begins(
        &mut self,
        trade: &CarriedTrade,
        instruments: &BTreeMap<u16, Instrument>,
        (seq, at): (Seq, Stamp),
        by_fills: Option<(Amount, Option<Nanos>)>,
    ) {
        if trade.legs.iter().all(|leg| leg.position == 0) {
            return;
        }
        let mut row = self.held(trade, instruments);
        let mut since = at;
        if let Some((net, alone)) = by_fills.filter(|(net, _)| (*net - row.net).abs() <= row.dust) {
            row.net = net;
            let mono = alone.unwrap_or(at.mono);
            since = Stamp { mono, wall: at.wall - (at.mono - mono) };
        }
        self.insert(TradeId(trade.id), trade, row, (seq, since));
    }

    /// What the legs of a trade amount to at the last mids.
    fn held(&self, trade: &CarriedTrade, instruments: &BTreeMap<u16, Instrument>) -> Trade {
        let mut row = Trade::default();
        for leg in &trade.legs {
            let Some(of) = instruments.get(&leg.instrument.0) else { continue };
            let Some(mark) = self.marks.get(&leg.instrument.0).copied() else { continue };
            let amount = of.base_amount(Qty(leg.position.saturating_abs()), mark);
            if leg.position < 0 {
                row.net -= amount
            } else {
                row.net += amount
            }
            row.dust = row.dust.max(of.base_amount(Qty(of.step), mark));
            row.value = at_price(row.net.abs(), mark, of);
        }
        row
    }

    fn insert(&mut self, id: TradeId, trade: &CarriedTrade, mut row: Trade, place: (Seq, Stamp)) {
        for leg in &trade.legs {
            self.holders.insert(leg.instrument.0, id);
        }
        if row.net.abs() > row.dust {
            row.since = Some(place);
            row.largest = row.value;
        }
        self.trades.insert(id.0, row);
    }

    /// A trade of this run goes on with what one of the run before held, where it closes that.
    fn adopt(&mut self, trade: TradeId, listing: u16) {
        let Some(old) = self.holders.get(&listing).copied().filter(|old| old.0 >= CARRIED) else { return };
        if trade == old || self.trades.contains_key(&trade.0) {
            return;
        }
        if let Some(row) = self.trades.remove(&old.0) {
            self.trades.insert(trade.0, row);
            self.holders.values_mut().filter(|holder| **holder == old).for_each(|holder| *holder = trade);
        }
    }

    /// A fill of a trade; without one (deleveraging, somebody's hand) it takes from the trade that holds the listing.
    pub fn fill(
        &mut self,
        trade: Option<TradeId>,
        update: &OrderUpdate,
        instrument: &Instrument,
        (seq, at): (Seq, Stamp),
        findings: &mut Findings,
    ) {
        let Some(trade) = trade.or_else(|| self.holders.get(&instrument.id.0).copied()) else { return };
        self.adopt(trade, instrument.id.0);
        self.holders.insert(instrument.id.0, trade);
        let row = self.trades.entry(trade.0).or_default();
        let amount = instrument.base_amount(update.fill_qty, update.fill_price);
        match update.side {
            Side::Buy => row.net += amount,
            Side::Sell => row.net -= amount,
        }
        row.dust = row.dust.max(instrument.base_amount(Qty(instrument.step), update.fill_price));
        if row.net.abs() <= row.dust {
            row.value = Money::ZERO;
            if let Some(since) = row.since.take() {
                self.lasted(trade.0, since, at, findings);
            }
            return;
        }
        row.since.get_or_insert((seq, at));
        row.value = at_price(row.net.abs(), update.fill_price, instrument);
        row.largest = row.largest.max(row.value);
        let value = row.value;
        if value > self.report.largest.value {
            self.report.largest = Worst { value, trade: trade.0 & !CARRIED, seq: seq.0, time_ns: at.wall };
        }
        if let Some(limit) = self.notional_max.filter(|limit| value > *limit && !row.told_large) {
            row.told_large = true;
            let detail = format!("{value} {} unhedged, limit {limit}", instrument.quote);
            findings.add(
                "hedging",
                "unhedged_notional",
                (seq, at.wall),
                format!("trade {}", trade.0),
                detail,
            );
        }
    }

    fn lasted(&mut self, trade: u32, (seq, since): (Seq, Stamp), now: Stamp, findings: &mut Findings) {
        let Some(row) = self.trades.get_mut(&trade) else { return };
        let lasted = now.mono - since.mono;
        row.longest = row.longest.max(lasted);
        if lasted > self.report.longest_ns.value {
            self.report.longest_ns =
                Worst { value: lasted, trade: trade & !CARRIED, seq: seq.0, time_ns: since.wall };
        }
        if let Some(limit) = self.ns_max.filter(|limit| lasted > *limit && !row.told_long) {
            row.told_long = true;
            let detail = format!("unhedged for {}, limit {}", duration(lasted), duration(limit));
            findings.add("hedging", "unhedged_time", (seq, since.wall), format!("trade {trade}"), detail);
        }
    }

    /// The record ends at `end`.
    pub fn finish(mut self, end: Stamp, findings: &mut Findings) -> HedgingReport {
        let open: Vec<(u32, Seq, Stamp)> =
            self.trades.iter().filter_map(|(id, row)| row.since.map(|(seq, at)| (*id, seq, at))).collect();
        for (id, seq, since) in open {
            self.lasted(id, (seq, since), end, findings);
            self.report.open += 1;
            if self.report.open_trades.len() < NAMED {
                let notional = self.trades.get(&id).map_or(Money::ZERO, |row| row.value);
                let for_ns = end.mono - since.mono;
                self.report.open_trades.push(OpenTrade { trade: id & !CARRIED, notional, for_ns });
            }
        }
        self.report.trades = self.trades.len() as u64;
        self.report.notional = spread(self.trades.values().map(|row| row.largest).collect());
        self.report.time_ns = spread(self.trades.values().map(|row| row.longest).collect());
        self.report
    }
}

fn spread<T: Ord + Copy + Default>(mut values: Vec<T>) -> Spread<T> {
    values.sort_unstable();
    let at = |percent: usize| {
        let rank = (values.len() * percent).div_ceil(100).max(1) - 1;
        values.get(rank).copied().unwrap_or_default()
    };
    Spread { p50: at(50), p90: at(90), p99: at(99) }
}

/// A base amount in the quote currency.
fn at_price(amount: Amount, price: Price, instrument: &Instrument) -> Money {
    let unit = i128::from(POW10[usize::from(instrument.price_scale).min(18)]);
    Money(amount.0.saturating_mul(i128::from(price.0)) / unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        assert_eq!(spread::<i64>(vec![]), Spread { p50: 0, p90: 0, p99: 0 });
        assert_eq!(spread(vec![7]), Spread { p50: 7, p90: 7, p99: 7 });
        assert_eq!(spread((1..=200).collect::<Vec<i64>>()), Spread { p50: 100, p90: 180, p99: 198 });
    }
}
