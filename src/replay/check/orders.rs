//! The checker's own view of orders: approved, rendered, sent, filled, ended.

use super::known::KnownOrder;
use crate::domain::instrument::{Price, Qty};
use crate::domain::intent::{Amend, Basket, BasketKind, Replace, TradeId};
use crate::domain::order::{AmendUpdate, ClientId, OrderSpec, OrderUpdate, Side};
use crate::domain::state::pairs;
use crate::domain::time::Nanos;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A basket's name: trade, attempt, kind.
pub(super) type BasketKey = (u32, u16, u8);

/// An approved order.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
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
    /// The largest quantity that was ever approved for it.
    most: i64,
    /// The worst price that was.
    limit: Price,
    amend: Option<UnderWay>,
    /// The order that was approved last to take its place.
    #[serde(default)]
    successor: ClientId,
}

/// An approved amendment that is under way.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct UnderWay {
    to: OrderSpec,
    key: BasketKey,
    rendered: bool,
    sent: bool,
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
            most: spec.qty.0,
            limit: spec.price,
            amend: None,
            successor: ClientId::NONE,
        }
    }

    /// Its fills so far.
    pub const fn filled(&self) -> i64 {
        self.filled
    }

    /// What others may know of it.
    pub fn told(&self) -> KnownOrder {
        let Self { spec, kind, trade, basket: (_, attempt, _), sent, filled, .. } = *self;
        KnownOrder { spec, kind, trade, attempt, sent: sent || filled > 0, filled: Qty(filled) }
    }
}

/// All orders of a run.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Orders {
    #[serde(with = "pairs")]
    all: BTreeMap<ClientId, Known>,
    open: BTreeSet<ClientId>,
    #[serde(with = "pairs")]
    baskets: BTreeMap<BasketKey, Vec<ClientId>>,
    /// `mono` of the entry orders of the last second.
    entries: VecDeque<Nanos>,
    /// Venue, instrument, trade id, client id: what a fill is known by.
    fills: BTreeSet<(u8, u16, u64, ClientId)>,
    /// Orders of the run before whose end it did not record: what they were is not known here.
    #[serde(default)]
    carried: BTreeSet<ClientId>,
}

impl Orders {
    /// Forgets what no later fact can concern: all but the open orders and the latest `kept`.
    pub fn forget_old(&mut self, kept: usize) {
        let old = self.all.len().saturating_sub(kept);
        let old: BTreeSet<ClientId> =
            self.all.keys().take(old).filter(|id| !self.open.contains(id)).copied().collect();
        self.all.retain(|id, _| !old.contains(id));
        self.fills.retain(|fill| self.all.contains_key(&fill.3) || self.carried.contains(&fill.3));
        self.baskets.retain(|_, ids| ids.iter().any(|id| self.all.contains_key(id)));
    }

    /// An order was taken over from the run before.
    pub fn carry(&mut self, id: ClientId) {
        self.carried.insert(id);
    }

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
        if basket.2 == BasketKind::Amend as u8 {
            let under_way = |known: &&mut Known| known.amend.is_some_and(|amend| amend.key == basket);
            self.all.values_mut().filter(under_way).for_each(|known| known.amend = None);
        }
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

    /// An amendment was approved. From now on the order may be the larger of both.
    pub fn approve_amend(&mut self, amend: &Amend, now: Nanos) -> Result<(), &'static str> {
        if !amend.to.reduce_only {
            self.entries.push_back(now);
        }
        let to = amend.to;
        let Some(known) = self.all.get_mut(&to.client_id).filter(|known| !known.denied && !known.ended)
        else {
            return Err("amend_unknown");
        };
        let overlaps = known.amend.is_some();
        let key = (amend.trade.0, amend.attempt, BasketKind::Amend as u8);
        known.amend = Some(UnderWay { to, key, rendered: false, sent: false });
        known.most = known.most.max(to.qty.0);
        known.limit = match to.side {
            Side::Buy => known.limit.max(to.price),
            Side::Sell => known.limit.min(to.price),
        };
        let as_before = OrderSpec { qty: known.spec.qty, price: known.spec.price, ..to } == known.spec;
        match (overlaps, as_before) {
            (true, _) => Err("amend_overlaps"),
            (_, false) => Err("sent_differs"),
            _ => Ok(()),
        }
    }

    /// An order was approved that takes another one's place: the same but for price and quantity, and the only one.
    pub fn approve_replace(&mut self, replace: &Replace) -> Result<(), &'static str> {
        let to = replace.with.to;
        let Some(old) = self.all.get_mut(&replace.old).filter(|old| !old.denied && !old.ended) else {
            return Err("amend_unknown");
        };
        let before = std::mem::replace(&mut old.successor, to.client_id);
        let OrderSpec { client_id, qty, price, .. } = old.spec;
        let as_before = OrderSpec { client_id, qty, price, ..to } == old.spec;
        match () {
            () if old.amend.is_some() || self.open.contains(&before) => Err("amend_overlaps"),
            () if !as_before => Err("sent_differs"),
            () => Ok(()),
        }
    }

    /// A message that amends the order was made.
    pub fn render_amend(&mut self, order: &OrderSpec) -> Result<(), &'static str> {
        self.amend_once(order, |amend| &mut amend.rendered)
    }

    /// The amendment was handed to a socket, or may have been.
    pub fn send_amend(&mut self, order: &OrderSpec) -> Result<(), &'static str> {
        self.amend_once(order, |amend| &mut amend.sent)
    }

    fn amend_once(
        &mut self,
        order: &OrderSpec,
        mark: impl Fn(&mut UnderWay) -> &mut bool,
    ) -> Result<(), &'static str> {
        let Some(known) = self.all.get_mut(&order.client_id) else { return Err("sent_without_approval") };
        let Some(amend) = &mut known.amend else {
            // It was under way when the order ended.
            return if known.ended { Ok(()) } else { Err("sent_without_approval") };
        };
        let again = std::mem::replace(mark(amend), true);
        match () {
            () if again => Err("sent_twice"),
            () if amend.to != *order => Err("sent_differs"),
            () => Ok(()),
        }
    }

    /// An amendment was refused before it left.
    pub fn end_amend(&mut self, id: ClientId) {
        if let Some(known) = self.all.get_mut(&id) {
            known.amend = None;
        }
    }

    /// What became of an amendment.
    pub fn amended(&mut self, update: &AmendUpdate) {
        if let Some(known) = self.all.get_mut(&update.client_id) {
            (known.spec.price, known.spec.qty) = (update.terms.price, update.terms.qty);
            if update.pending.is_none() {
                known.amend = None;
            }
        }
    }

    /// An order's state changed; the rules that the change breaks.
    pub fn update(&mut self, update: &OrderUpdate) -> Vec<&'static str> {
        let id = update.client_id;
        let fill = update.fill_qty.0;
        let number = (update.venue.0, update.instrument.0, update.trade_id, id);
        let Some(known) = self.all.get_mut(&id) else {
            return match fill > 0 {
                true if !self.carried.contains(&id) => vec!["fill_unknown"],
                true if update.trade_id != 0 && !self.fills.insert(number) => vec!["fill_repeated"],
                _ => Vec::new(),
            };
        };
        let mut broken = Vec::new();
        let spec = &known.spec;
        if fill > 0 {
            let place =
                (spec.venue, spec.instrument, spec.side) == (update.venue, update.instrument, update.side);
            let within = match spec.side {
                Side::Buy => update.fill_price <= known.limit,
                Side::Sell => update.fill_price >= known.limit,
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
        if update.filled.0 > known.most || update.filled.0 + update.leaves.0 > known.most {
            broken.push("fill_exceeds");
        }
        if update.state.is_terminal() {
            known.ended = true;
            known.amend = None;
            self.open.remove(&id);
        }
        broken
    }

    pub fn get(&self, id: ClientId) -> Option<&Known> {
        self.all.get(&id)
    }

    /// All that are known, in the order of their ids.
    pub fn ids(&self) -> impl DoubleEndedIterator<Item = ClientId> + '_ {
        self.all.keys().copied()
    }

    /// Approved orders that are neither refused nor ended.
    pub fn open_ids(&self) -> impl Iterator<Item = ClientId> + '_ {
        self.open.iter().copied()
    }

    /// How many of them there are.
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
