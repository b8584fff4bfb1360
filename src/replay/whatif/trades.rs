//! The trades of one run, followed from their entry to flat, whoever executed them.

use crate::core::position::{Positions, cash_flow, to_quote};
use crate::core::trade::Trade;
use crate::domain::calendar;
use crate::domain::event::{Event, EventBody, Seq};
use crate::domain::input::SendFate;
use crate::domain::instrument::{Instrument, InstrumentId, Price, Qty};
use crate::domain::intent::{BasketKind, Intent, Ppb, TradeId};
use crate::domain::money::Money;
use crate::domain::number::{Num, POW10};
use crate::domain::order::{ClientId, OrderUpdate, Side};
use crate::domain::params::EngineParams;
use crate::domain::time::{Nanos, Stamp};
use serde::Serialize;
use std::collections::BTreeMap;

/// Decimals of a basis point in ppb.
const BPS_SCALE: u8 = 5;

/// A trade of which a leg filled, as reports show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TradeRow {
    /// The recorded input that made its entry; of a trade that was open before, the first one that counts.
    pub opened_seq: u64,
    /// When, UTC.
    pub opened: String,
    /// It was open before the first input that counts: its result counts from there, at the mids.
    pub carried: bool,
    /// When it was flat again; `None` = not within the run.
    pub closed: Option<String>,
    /// Unified name of what it trades.
    pub pair: String,
    /// Where it buys at the entry: venue and symbol.
    pub buy: String,
    /// Where it sells.
    pub sell: String,
    /// Net edge that the entry was decided on, bps.
    pub entry_edge_bps: String,
    /// Fills of all its orders.
    pub fills: u32,
    /// Fills of none of our orders that took from it: a venue that deleveraged, somebody's hand.
    pub foreign_fills: u32,
    /// Fees paid, quote currency.
    pub fees: Money,
    /// What it brought after fees, quote currency; what is still open counts at the last mid. Without funding.
    pub result: Money,
    /// How long its legs were not equal, ns.
    pub unhedged_ns: Nanos,
}

impl TradeRow {
    /// Without what the entry was decided on.
    #[must_use]
    pub fn without_edge(self) -> Self {
        Self { entry_edge_bps: String::new(), ..self }
    }
}

/// Counts of a run, from where its trades count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TradeCounts {
    /// Entries that risk approved.
    pub entries: u64,
    /// Orders that left.
    pub orders: u64,
    /// Fills of our orders.
    pub fills: u64,
    /// Fills of no order of ours: deleveraging, somebody's hand.
    pub foreign_fills: u64,
}

/// A trade as it is followed.
#[derive(Clone, Debug)]
pub struct Followed {
    /// The recorded input of its entry; the first one that counts, if it was open before.
    pub opened: Seq,
    /// When.
    pub at: Stamp,
    /// It was open before.
    pub carried: bool,
    /// When it was flat again.
    pub closed: Option<Stamp>,
    /// Listings that it buys and sells at the entry.
    pub legs: [InstrumentId; 2],
    edge: Ppb,
    /// Contracts with the decimals that they are counted with: a venue may define a contract anew meanwhile.
    held: [(i64, u8); 2],
    flow: Money,
    fees: Money,
    fills: u32,
    foreign: u32,
    /// Price of its first fill, with its decimals: what its legs are compared at.
    price: Option<(i64, u8)>,
    /// When it filled last.
    filled: Stamp,
    unhedged_since: Option<Nanos>,
    unhedged_ns: Nanos,
    /// The longest time at a stretch.
    unhedged_longest: Nanos,
}

impl Followed {
    fn new(opened: Seq, at: Stamp, legs: [InstrumentId; 2], edge: Ppb) -> Self {
        Self {
            opened,
            at,
            carried: false,
            closed: None,
            legs,
            edge,
            held: [(0, 0); 2],
            flow: Money::ZERO,
            fees: Money::ZERO,
            fills: 0,
            foreign: 0,
            price: None,
            filled: at,
            unhedged_since: None,
            unhedged_ns: 0,
            unhedged_longest: 0,
        }
    }

    /// What it brought, its open legs at their marks.
    pub fn result(&self, positions: &Positions) -> Money {
        self.flow - self.fees + self.worth(positions)
    }

    /// What closing its legs at their marks would bring.
    fn worth(&self, positions: &Positions) -> Money {
        let open = self.legs.iter().zip(self.held).filter(|(_, (held, _))| *held != 0);
        let open = open.filter_map(|(id, held)| {
            let (instrument, mark) = (positions.instrument(*id)?, positions.get(*id).mark?);
            let held = with_decimals(held, instrument.qty_scale);
            let side = if held > 0 { Side::Sell } else { Side::Buy };
            let flow = cash_flow(instrument, side, Qty(held.saturating_abs()), mark);
            Some(to_quote(instrument, flow, Some(mark)))
        });
        open.fold(Money::ZERO, |sum, value| sum + value)
    }

    /// Whether both hold at some time; an open one holds until the end.
    pub fn overlaps(&self, other: &Self) -> bool {
        let ends = |of: &Self| of.closed.map_or(Nanos::MAX, |closed| closed.mono);
        self.at.mono <= ends(other) && other.at.mono <= ends(self)
    }

    /// Books a fill; the legs are compared in the quote currency at the price of the first fill.
    fn fill(&mut self, update: &OrderUpdate, at: Stamp, positions: &Positions) {
        let Some(instrument) = positions.instrument(update.instrument) else { return };
        let Some(leg) = self.legs.iter().position(|id| *id == update.instrument) else { return };
        self.price.get_or_insert((update.fill_price.0, instrument.price_scale));
        let flow = cash_flow(instrument, update.side, update.fill_qty, update.fill_price);
        let (exact, estimated) = positions.fee_of(instrument, update);
        self.flow += to_quote(instrument, flow, Some(update.fill_price));
        self.fees += to_quote(instrument, exact + estimated, Some(update.fill_price));
        match update.client_id {
            ClientId::NONE => self.foreign += 1,
            _ => self.fills += 1,
        }
        let held = with_decimals(self.held[leg], instrument.qty_scale);
        self.held[leg] = (held + update.side.sign() * update.fill_qty.0, instrument.qty_scale);
        self.weigh(at, positions);
        self.filled = at;
        self.closed = self.is_flat().then_some(at);
    }

    /// Holds its legs against each other.
    fn weigh(&mut self, at: Stamp, positions: &Positions) {
        let Some(price) = self.price else { return };
        let (mut net, mut step) = (Money::ZERO, Money::ZERO);
        for (id, held) in self.legs.iter().zip(self.held) {
            let Some(instrument) = positions.instrument(*id) else { continue };
            let price = Price(with_decimals(price, instrument.price_scale));
            let held = with_decimals(held, instrument.qty_scale);
            let value = instrument.notional(Qty(held.saturating_abs()), price);
            net += if held < 0 { -value } else { value };
            step = step.max(instrument.notional(Qty(instrument.step), price));
        }
        // Steps of two venues need not divide each other: up to one of the coarser leg is left, as the audit has it.
        match (net.abs() > step, self.unhedged_since) {
            (true, None) => self.unhedged_since = Some(at.mono),
            (false, Some(_)) => self.hedged(at.mono),
            _ => {}
        }
    }

    /// Nothing is held.
    fn is_flat(&self) -> bool {
        self.held.iter().all(|(held, _)| *held == 0)
    }

    /// It is followed no more: closed, if what is left is less than an order could close. That is one leg alone which counts
    /// as hedged, or less than a step of the coarser leg on each.
    fn release(&mut self, positions: &Positions) {
        let Some(price) = self.price.filter(|_| self.unhedged_since.is_none()) else { return };
        let [Some(a), Some(b)] = self.legs.map(|id| positions.instrument(id)) else { return };
        let value = |of: &Instrument, qty: i64| {
            of.notional(Qty(qty.saturating_abs()), Price(with_decimals(price, of.price_scale)))
        };
        let step = value(a, a.step).max(value(b, b.step));
        let mut held = [a, b].into_iter().zip(self.held);
        let is_small = held.all(|(of, held)| value(of, with_decimals(held, of.qty_scale)) <= step);
        if is_small || self.held.iter().any(|(held, _)| *held == 0) {
            self.closed.get_or_insert(self.filled);
        }
    }

    /// Its legs are equal again, or the run ends.
    fn hedged(&mut self, now: Nanos) {
        let lasted = self.unhedged_since.take().map_or(0, |since| now - since);
        self.unhedged_ns += lasted;
        self.unhedged_longest = self.unhedged_longest.max(lasted);
    }
}

/// A number with its decimals, counted with `decimals`.
fn with_decimals((value, scale): (i64, u8), decimals: u8) -> i64 {
    let power = |more: u8| POW10[usize::from(more).min(18)];
    match decimals.checked_sub(scale) {
        Some(more) => value.saturating_mul(power(more)),
        None => value / power(scale - decimals),
    }
}

/// Follows the trades of a run.
#[derive(Clone)]
pub struct TradeLog {
    /// Trades of earlier inputs do not count.
    from: Seq,
    trades: Vec<Followed>,
    by_id: BTreeMap<TradeId, usize>,
    by_order: BTreeMap<ClientId, usize>,
    /// The trade that filled last on a listing: the only one that can hold something of it.
    holders: BTreeMap<InstrumentId, usize>,
    counts: TradeCounts,
    /// Fills that wait for the input to be done.
    updates: Vec<(OrderUpdate, Stamp)>,
}

impl TradeLog {
    /// Follows trades from input `from` on, and those that are open then: see [`TradeLog::carry`].
    pub fn new(from: Seq) -> Self {
        Self {
            from,
            trades: Vec::new(),
            by_id: BTreeMap::new(),
            by_order: BTreeMap::new(),
            holders: BTreeMap::new(),
            counts: TradeCounts::default(),
            updates: Vec::new(),
        }
    }

    /// Trades that were open before the first input that counts go on from `at`.
    pub fn carry<'a>(&mut self, open: impl Iterator<Item = &'a Trade>, at: Stamp, positions: &Positions) {
        for trade in open {
            let index = self.trades.len();
            self.by_id.insert(trade.id, index);
            let out = trade.legs.iter().filter_map(|leg| leg.working);
            self.by_order.extend(out.map(|order| (order.id, index)));
            let legs = trade.legs.map(|leg| InstrumentId(leg.listing));
            self.holders.extend(legs.map(|leg| (leg, index)));
            let decimals = |id| positions.instrument(id).map_or((0, 0), |of| (of.qty_scale, of.price_scale));
            let mut scales = legs.map(|leg| decimals(leg).0).into_iter();
            let mid = (trade.mid.0 > 0).then_some(trade.mid).or_else(|| positions.get(legs[0]).mark);
            let mut followed = Followed {
                carried: true,
                held: trade.legs.map(|leg| (leg.position, scales.next().unwrap_or(0))),
                price: mid.map(|mid| (mid.0, decimals(legs[0]).1)),
                ..Followed::new(self.from, at, legs, trade.edge.net)
            };
            followed.flow = -followed.worth(positions);
            followed.weigh(at, positions);
            self.trades.push(followed);
        }
    }

    /// Risk approved something at recorded input `seq`.
    pub fn approved(&mut self, seq: Seq, at: Stamp, intent: &Intent) {
        if seq < self.from {
            return;
        }
        let basket = match intent {
            Intent::Basket(basket) => basket,
            // The order that takes another one's place has an id of its own.
            Intent::Replace(replace) => {
                if let Some(trade) = self.by_id.get(&replace.with.trade) {
                    self.by_order.insert(replace.with.to.client_id, *trade);
                }
                return;
            }
            Intent::Amend(_) | Intent::Cancel(_) => return,
        };
        let sided = |side| basket.orders().iter().find(|order| order.side == side);
        if let (BasketKind::Entry, Some(buy), Some(sell)) = (basket.kind, sided(Side::Buy), sided(Side::Sell))
        {
            self.counts.entries += 1;
            self.by_id.insert(basket.trade, self.trades.len());
            let legs = [buy.instrument, sell.instrument];
            self.trades.push(Followed::new(seq, at, legs, basket.edge.net));
        }
        if let Some(trade) = self.by_id.get(&basket.trade) {
            self.by_order.extend(basket.orders().iter().map(|order| (order.client_id, *trade)));
        }
    }

    /// An event of recorded input `seq`.
    pub fn event(&mut self, seq: Seq, event: &Event) {
        if seq < self.from {
            return;
        }
        match &event.body {
            EventBody::Order(update) if update.fill_qty.0 > 0 => {
                match update.client_id {
                    ClientId::NONE => self.counts.foreign_fills += 1,
                    _ => self.counts.fills += 1,
                }
                self.updates.push((*update, event.at));
            }
            EventBody::Outcome(outcome) if outcome.order.is_some() => {
                self.counts.orders += u64::from(matches!(outcome.fate, SendFate::Sent | SendFate::Handed));
            }
            _ => {}
        }
    }

    /// Books the fills of an input that is done. One of no order of ours takes from the trade that holds the listing.
    pub fn settle(&mut self, positions: &Positions) {
        for (update, at) in self.updates.drain(..) {
            let holder = || self.holders.get(&update.instrument);
            let Some(trade) = self.by_order.get(&update.client_id).or_else(holder).copied() else { continue };
            self.holders.insert(update.instrument, trade);
            self.trades[trade].fill(&update, at, positions);
        }
    }

    /// The run ends: what is not hedged was not until then. `open` are the trades that it still follows.
    pub fn finish(&mut self, now: Nanos, open: &[TradeId], positions: &Positions) {
        for (_, at) in self.by_id.iter().filter(|(id, _)| !open.contains(id)) {
            self.trades[*at].release(positions);
        }
        for trade in &mut self.trades {
            trade.hedged(now);
        }
    }

    /// Counts so far.
    pub fn counts(&self) -> TradeCounts {
        self.counts
    }

    /// Trades of which a leg filled or was held before, in the order of their entries.
    pub fn filled(&self) -> Vec<&Followed> {
        self.trades.iter().filter(|trade| trade.fills > 0 || !trade.is_flat()).collect()
    }

    /// Those of them that were opened here, and not before.
    pub fn opened(&self) -> u64 {
        self.filled().iter().filter(|trade| !trade.carried).count() as u64
    }

    /// Time with unequal legs, summed over trades, ns.
    pub fn unhedged_ns(&self) -> Nanos {
        self.trades.iter().map(|trade| trade.unhedged_ns).sum()
    }

    /// The longest stretch of it in one trade, ns.
    pub fn unhedged_longest_ns(&self) -> Nanos {
        self.trades.iter().map(|trade| trade.unhedged_longest).max().unwrap_or(0)
    }
}

/// The trade as reports show it.
pub fn row(trade: &Followed, params: &EngineParams, positions: &Positions) -> TradeRow {
    let listing = |id: InstrumentId| params.listings.get(id.index());
    let name = |id| {
        let of = listing(id).and_then(|of| Some((params.venues.get(of.venue.index())?, of.symbol)));
        of.map_or_else(String::new, |(venue, symbol)| format!("{} {symbol}", venue.dialect))
    };
    let canonical = listing(trade.legs[0]).and_then(|of| params.canonicals.get(of.canonical.index()));
    TradeRow {
        opened_seq: trade.opened.0,
        opened: calendar::shown(trade.at.wall),
        carried: trade.carried,
        closed: trade.closed.map(|at| calendar::shown(at.wall)),
        pair: canonical.map_or_else(String::new, |of| of.name.clone()),
        buy: name(trade.legs[0]),
        sell: name(trade.legs[1]),
        entry_edge_bps: Num::new(trade.edge, BPS_SCALE).to_string(),
        fills: trade.fills,
        foreign_fills: trade.foreign,
        fees: trade.fees,
        result: trade.result(positions),
        unhedged_ns: trade.unhedged_ns,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_counts_with_the_decimals_of_a_contract_that_is_defined_anew() {
        assert_eq!(with_decimals((5, 3), 4), 50);
        assert_eq!(with_decimals((-50, 4), 3), -5);
        assert_eq!(with_decimals((0, 0), 8), 0);
    }
}
