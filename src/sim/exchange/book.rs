//! A limit order book with price-time priority.
//!
//! Each price holds a queue. Client orders stand in it singly; the makers of the simulated market stand in
//! it as shares that are topped up at the back and taken away from the back, so that they never jump a
//! client's place.

use super::types::{LevelView, OrderId, Side, Steps, Ticks};
use std::collections::BTreeMap;

/// Who stands in a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// The simulated makers.
    Market,
    /// A client's order.
    Order(OrderId),
}

/// A place in a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub owner: Owner,
    pub qty: Steps,
}

/// A price's queue, oldest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Level {
    pub entries: Vec<Entry>,
    pub qty: Steps,
}

impl Level {
    fn view(&self, price: Ticks) -> LevelView {
        LevelView { price, qty: self.qty, orders: self.entries.len() as u32 }
    }

    /// Quantity of the makers.
    pub fn market_qty(&self) -> Steps {
        self.entries.iter().filter(|e| e.owner == Owner::Market).map(|e| e.qty).sum()
    }
}

/// Both sides of a listing.
#[derive(Clone, Debug, Default)]
pub struct Book {
    bids: BTreeMap<Ticks, Level>,
    asks: BTreeMap<Ticks, Level>,
}

impl Book {
    /// Best level of a side.
    pub fn best(&self, side: Side) -> Option<LevelView> {
        match side {
            Side::Buy => self.bids.last_key_value(),
            Side::Sell => self.asks.first_key_value(),
        }
        .map(|(price, level)| level.view(*price))
    }

    /// The best `depth` levels of a side, best first.
    pub fn levels(&self, side: Side, depth: usize) -> Vec<LevelView> {
        let view = |(price, level): (&Ticks, &Level)| level.view(*price);
        match side {
            Side::Buy => self.bids.iter().rev().take(depth).map(view).collect(),
            Side::Sell => self.asks.iter().take(depth).map(view).collect(),
        }
    }

    /// The level at a price; quantity 0 when there is none.
    pub fn level(&self, side: Side, price: Ticks) -> LevelView {
        self.side(side).get(&price).map_or(LevelView { price, qty: 0, orders: 0 }, |level| level.view(price))
    }

    /// Quantity on `side` that an opposite order limited at `limit` could take, counted up to `enough`.
    pub(crate) fn available(
        &self,
        side: Side,
        limit: Ticks,
        enough: Steps,
        mut counts: impl FnMut(Owner) -> bool,
    ) -> Steps {
        let mut total = 0;
        let mut add = |level: &Level| {
            total += level.entries.iter().filter(|e| counts(e.owner)).map(|e| e.qty).sum::<Steps>();
            total < enough
        };
        match side {
            Side::Sell => self.asks.range(..=limit).all(|(_, level)| add(level)),
            Side::Buy => self.bids.range(limit..).rev().all(|(_, level)| add(level)),
        };
        total
    }

    pub(crate) fn side(&self, side: Side) -> &BTreeMap<Ticks, Level> {
        match side {
            Side::Buy => &self.bids,
            Side::Sell => &self.asks,
        }
    }

    fn side_mut(&mut self, side: Side) -> &mut BTreeMap<Ticks, Level> {
        match side {
            Side::Buy => &mut self.bids,
            Side::Sell => &mut self.asks,
        }
    }

    /// The oldest entry of the best level of a side, with its price.
    pub(crate) fn front(&self, side: Side) -> Option<(Ticks, Entry)> {
        let (price, level) = match side {
            Side::Buy => self.bids.last_key_value(),
            Side::Sell => self.asks.first_key_value(),
        }?;
        level.entries.first().map(|entry| (*price, *entry))
    }

    /// Takes `qty` from the oldest entry of the best level.
    pub(crate) fn take_front(&mut self, side: Side, qty: Steps) {
        let entry = match side {
            Side::Buy => self.bids.last_entry(),
            Side::Sell => self.asks.first_entry(),
        };
        let Some(mut entry) = entry else { return };
        let level = entry.get_mut();
        level.qty -= qty;
        level.entries[0].qty -= qty;
        if level.entries[0].qty <= 0 {
            level.entries.remove(0);
        }
        if level.entries.is_empty() {
            entry.remove();
        }
    }

    /// Puts an order at the back of its queue.
    pub(crate) fn add(&mut self, side: Side, price: Ticks, owner: Owner, qty: Steps) {
        let level = self.side_mut(side).entry(price).or_default();
        level.qty += qty;
        match level.entries.last_mut() {
            Some(last) if last.owner == Owner::Market && owner == Owner::Market => last.qty += qty,
            _ => level.entries.push(Entry { owner, qty }),
        }
    }

    /// Makes an order smaller in place (its priority stays); removes it at zero. False when it is not there.
    pub(crate) fn shrink(&mut self, side: Side, price: Ticks, order: OrderId, to: Steps) -> bool {
        let levels = self.side_mut(side);
        let Some(level) = levels.get_mut(&price) else { return false };
        let Some(at) = level.entries.iter().position(|e| e.owner == Owner::Order(order)) else {
            return false;
        };
        level.qty += to - level.entries[at].qty;
        level.entries[at].qty = to;
        if to <= 0 {
            level.entries.remove(at);
        }
        if level.entries.is_empty() {
            levels.remove(&price);
        }
        true
    }

    /// Sets the makers' quantity at a price: more joins at the back, less leaves from the back. True when
    /// anything changed.
    pub(crate) fn set_market(&mut self, side: Side, price: Ticks, qty: Steps) -> bool {
        let levels = self.side_mut(side);
        let now = levels.get(&price).map_or(0, Level::market_qty);
        if now == qty {
            return false;
        }
        if qty > now {
            self.add(side, price, Owner::Market, qty - now);
            return true;
        }
        let Some(level) = levels.get_mut(&price) else { return false };
        let mut excess = now - qty;
        level.qty -= excess;
        while excess > 0 {
            let Some(at) = level.entries.iter().rposition(|e| e.owner == Owner::Market) else { break };
            let taken = excess.min(level.entries[at].qty);
            level.entries[at].qty -= taken;
            excess -= taken;
            if level.entries[at].qty == 0 {
                level.entries.remove(at);
            }
        }
        if level.entries.is_empty() {
            levels.remove(&price);
        }
        true
    }
}
