//! What a trade bought and sold, by orders of ours and by none, and what it came to.

use super::{Follow, Heard};
use crate::core::position::settled;
use crate::core::trade::{Phase, Trade};
use crate::domain::event::Seq;
use crate::domain::instrument::{ContractKind, Instrument, Qty};
use crate::domain::money::Money;
use crate::domain::order::{OrderSpec, OrderUpdate, Side};
use crate::replay::why::card::{LegResult, Others};
use crate::replay::why::words;
use crate::stage::river::Parts;
use std::collections::BTreeMap;

/// Contracts of both sides with their values.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Sides {
    bought: i64,
    bought_value: Money,
    sold: i64,
    sold_value: Money,
}

impl Sides {
    fn add(&mut self, instrument: &Instrument, update: &OrderUpdate) {
        let value = settled(instrument, update.fill_qty, update.fill_price);
        match update.side {
            Side::Buy => {
                self.bought += update.fill_qty.0;
                self.bought_value += value;
            }
            Side::Sell => {
                self.sold += update.fill_qty.0;
                self.sold_value += value;
            }
        }
    }
}

/// What was booked on a listing.
#[derive(Clone, Copy, Default)]
pub(super) struct Booked {
    /// By our orders.
    own: Sides,
    /// By no order of ours.
    others: Sides,
    /// An execution did not say its price.
    unpriced: bool,
    pub(super) funding: Money,
}

impl Booked {
    const fn left(&self) -> i64 {
        self.own.bought + self.others.bought - self.own.sold - self.others.sold
    }

    /// What it earned before fees, once nothing is left.
    fn gain(&self, of: &Instrument) -> Money {
        let bought = self.own.bought_value + self.others.bought_value;
        let sold = self.own.sold_value + self.others.sold_value;
        match of.spec.kind {
            ContractKind::Linear => sold - bought + self.funding,
            ContractKind::Inverse => bought - sold + self.funding,
        }
    }
}

impl Follow<'_> {
    /// An execution by no order of ours takes from the trade that holds the listing, as the audit has it: from the one
    /// that filled there last.
    pub(super) fn taken(&mut self, heard: &Heard, update: &OrderUpdate, parts: &Parts) {
        let id = update.instrument;
        let holds = self.holds.get(&id).copied().unwrap_or(self.open && self.is_leg(id));
        let Some(of) = parts.risk.rules().positions().instrument(id).copied() else { return };
        if update.fill_qty.0 <= 0 || !holds {
            return;
        }
        self.scales.insert(id, of);
        let booked = self.booked.entry(id).or_default();
        booked.others.add(&of, update);
        booked.unpriced |= update.fill_price.0 <= 0;
        *self.fees.entry((id, update.fee_currency.to_string())).or_default() += update.fee;
        let place = OrderSpec { venue: update.venue, instrument: id, ..OrderSpec::default() };
        let what = format!(
            "{} of {} {} at {} on our account by no order of ours: the venue or somebody else",
            words::side(update.side),
            words::qty(Some(&of), update.fill_qty),
            words::symbol(&self.names, id),
            words::price(Some(&of), update.fill_price),
        );
        self.moment(heard, "taken", Some(&place), what);
    }

    /// Books a fill of an order of ours.
    pub(super) fn book(&mut self, instrument: &Instrument, update: &OrderUpdate) {
        self.booked.entry(update.instrument).or_default().own.add(instrument, update);
        self.holds.insert(update.instrument, true);
        *self.fees.entry((update.instrument, update.fee_currency.to_string())).or_default() += update.fee;
    }

    pub(super) fn sum(&mut self) {
        let trade = self.last;
        let placed = self.why.baskets.iter().any(|basket| basket.kind != "amend");
        let entry = |legs| self.why.baskets.iter().any(|of| of.kind == "entry" && of.orders.len() == legs);
        let by_hand = entry(1);
        // Where the record begins later, a trade that the desk knows has no entry in it.
        let pair = entry(2) || (self.begins > Seq(0) && trade.is_some() && !by_hand);
        let to = &mut self.why.trade;
        to.id = self.subject.trade.filter(|_| placed).map(|id| id.0);
        to.sort = match (placed, pair, by_hand) {
            (false, _, _) => "foreign",
            (_, true, _) => "pair",
            (_, _, true) => "by hand",
            _ => "residual",
        };
        // The desk knows when a trade of its own is over; nobody closes an order by hand but its owner.
        let is_flat = self.booked.values().all(|booked| booked.left() == 0);
        let is_done = if trade.is_some() { !self.open } else { is_flat };
        to.closed = is_done && self.orders.values().all(|order| order.over);
        to.closing = trade.and_then(|trade| trade.closing).map(words::exit_reason);
        let filled = |trade: &Trade| trade.legs.iter().all(|leg| leg.entered > 0);
        to.entry_basis_ppb =
            trade.filter(|t| filled(t) && t.phase >= Phase::Open).map(|trade| trade.realised);
        let canonical = self.scales.values().next().map(|of| self.names.canonical(of.canonical).to_owned());
        to.instrument = canonical.unwrap_or_default();
        let is_told = is_flat && self.booked.values().all(|booked| !booked.unpriced);
        for (id, booked) in &self.booked {
            let Some(of) = self.scales.get(id) else { continue };
            let fees: BTreeMap<String, Money> = self
                .fees
                .iter()
                .filter(|((at, _), _)| at == id)
                .map(|((_, c), fee)| (c.clone(), *fee))
                .collect();
            let currency = of.settle.to_string();
            // A part of the legs would be no result of the trade.
            if is_told {
                *to.result.entry(currency.clone()).or_default() += booked.gain(of);
                for (currency, fee) in &fees {
                    *to.result.entry(currency.clone()).or_default() += -*fee;
                }
            }
            let contracts = |units| words::qty(Some(of), Qty(units));
            let others = booked.others;
            to.legs.push(LegResult {
                venue: self.names.venue_of(*id).to_owned(),
                symbol: words::symbol(&self.names, *id),
                currency,
                bought: contracts(booked.own.bought),
                bought_value: booked.own.bought_value,
                sold: contracts(booked.own.sold),
                sold_value: booked.own.sold_value,
                others: (others != Sides::default()).then(|| Others {
                    bought: contracts(others.bought),
                    bought_value: others.bought_value,
                    sold: contracts(others.sold),
                    sold_value: others.sold_value,
                }),
                left: contracts(booked.left()),
                fees,
                funding: booked.funding,
            });
        }
        let is_closed = to.closed;
        if self.booked.values().any(|booked| booked.others != Sides::default()) {
            self.why.notes.push(
                "executions by no order of ours took a part of it: they are told apart in the sums, and count in what \
                 is left and in the result"
                    .to_owned(),
            );
        }
        if self.booked.values().any(|booked| booked.unpriced) {
            self.why.notes.push("such an execution came without a price: the result is not known".to_owned());
        }
        if is_closed && !is_flat && self.begins == Seq(0) {
            self.why.notes.push(
                "the trade is closed with something left: what is too little for an order goes to the residual of its \
                 listing, and a late fill to the trade that uses it then; there is no result"
                    .to_owned(),
            );
        }
        if !placed {
            self.why.notes.push(
                "no basket of this run placed this order: it is told as far as this run touched it"
                    .to_owned(),
            );
        }
    }
}
