//! The checker's own view of orders: approved, rendered, sent, filled, ended.

use crate::domain::intent::{Basket, BasketKind, TradeId};
use crate::domain::order::{ClientId, OrderSpec, OrderUpdate, Side};
use crate::domain::time::Nanos;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A basket's name: trade, attempt, kind.
pub(super) type BasketKey = (u32, u16, u8);

/// An approved order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    /// As approved.
    pub spec: OrderSpec,
    /// Why it was sent.
    pub kind: BasketKind,
    /// The trade it belongs to.
    pub trade: TradeId,
    basket: BasketKey,
    rendered: bool,
    sent: bool,
    denied: bool,
    ended: bool,
    filled: i64,
}

impl Known {
    pub fn approved(spec: OrderSpec, basket: &Basket, key: BasketKey) -> Self {
        Self {
            spec,
            kind: basket.kind,
            trade: basket.trade,
            basket: key,
            rendered: false,
            sent: false,
            denied: false,
            ended: false,
            filled: 0,
        }
    }
}

/// All orders of a run.
#[derive(Debug, Default)]
pub(super) struct Orders {
    all: BTreeMap<ClientId, Known>,
    open: BTreeSet<ClientId>,
    baskets: BTreeMap<BasketKey, Vec<ClientId>>,
    /// `mono` of the entry orders of the last second.
    entries: VecDeque<Nanos>,
    /// Venue, instrument, trade id, client id: what a fill is known by.
    fills: BTreeSet<(u8, u16, u64, ClientId)>,
}

impl Orders {
    /// False when the id was used before.
    pub fn approve(&mut self, known: Known, now: Nanos) -> bool {
        let id = known.spec.client_id;
        if known.kind == BasketKind::Entry {
            self.entries.push_back(now);
        }
        if id == ClientId::NONE || self.all.contains_key(&id) {
            return false;
        }
        self.baskets.entry(known.basket).or_default().push(id);
        self.all.insert(id, known);
        self.open.insert(id);
        true
    }

    /// The orders of a denied basket are never sent.
    pub fn deny(&mut self, basket: BasketKey) {
        for id in self.baskets.remove(&basket).unwrap_or_default() {
            self.open.remove(&id);
            if let Some(known) = self.all.get_mut(&id) {
                known.denied = true;
            }
        }
    }

    /// The egress gate refused the order.
    pub fn refuse(&mut self, id: ClientId) {
        self.open.remove(&id);
    }

    /// A message that places the order was made.
    pub fn render(&mut self, order: &OrderSpec) -> Result<(), &'static str> {
        self.once(order, |known| &mut known.rendered)
    }

    /// The order was handed to a socket, or may have been.
    pub fn send(&mut self, order: &OrderSpec) -> Result<(), &'static str> {
        self.once(order, |known| &mut known.sent)
    }

    fn once(
        &mut self,
        order: &OrderSpec,
        mark: impl Fn(&mut Known) -> &mut bool,
    ) -> Result<(), &'static str> {
        let Some(known) = self.all.get_mut(&order.client_id).filter(|known| !known.denied) else {
            return Err("sent_without_approval");
        };
        let again = std::mem::replace(mark(known), true);
        match () {
            () if again => Err("sent_twice"),
            () if known.spec != *order => Err("sent_differs"),
            () => Ok(()),
        }
    }

    /// An order's state changed; the rules that the change breaks.
    pub fn update(&mut self, update: &OrderUpdate) -> Vec<&'static str> {
        let id = update.client_id;
        let fill = update.fill_qty.0;
        let Some(known) = self.all.get_mut(&id) else {
            return if fill > 0 { vec!["fill_unknown"] } else { Vec::new() };
        };
        let mut broken = Vec::new();
        let spec = &known.spec;
        if fill > 0 {
            let place =
                (spec.venue, spec.instrument, spec.side) == (update.venue, update.instrument, update.side);
            let number = (update.venue.0, update.instrument.0, update.trade_id, id);
            let within = match spec.side {
                Side::Buy => update.fill_price <= spec.price,
                Side::Sell => update.fill_price >= spec.price,
            };
            known.filled += fill;
            let rules = [
                (!place, "fill_mismatch"),
                // The fill may overtake the news that the order was sent, not the making of its message.
                (!known.rendered || known.denied, "fill_unknown"),
                (known.ended, "fill_after_end"),
                (update.trade_id != 0 && !self.fills.insert(number), "fill_repeated"),
                (!within, "fill_beyond_limit"),
            ];
            broken.extend(rules.into_iter().filter(|(is, _)| *is).map(|(_, rule)| rule));
        }
        if fill < 0 || update.filled.0 != known.filled {
            broken.push("fill_sum");
            known.filled = update.filled.0; // named once, not at every later change
        }
        if update.filled.0 > spec.qty.0 || update.filled.0 + update.leaves.0 > spec.qty.0 {
            broken.push("fill_exceeds");
        }
        if update.state.is_terminal() {
            known.ended = true;
            self.open.remove(&id);
        }
        broken
    }

    pub fn get(&self, id: ClientId) -> Option<&Known> {
        self.all.get(&id)
    }

    /// Approved orders that are neither refused nor ended.
    pub fn open(&self) -> usize {
        self.open.len()
    }

    /// Entry orders approved after `time`.
    pub fn entries_since(&mut self, time: Nanos) -> usize {
        while self.entries.front().is_some_and(|at| *at <= time) {
            self.entries.pop_front();
        }
        self.entries.len()
    }
}
