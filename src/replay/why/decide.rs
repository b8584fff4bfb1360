//! Decides an input once more, on copies of scan and risk as they were before it, and hears every check.

use super::card::{AccountCard, BookCard, CheckCard, LeavingCard, PairCard, RouteCard};
use super::words;
use crate::core::capital::Account;
use crate::core::risk::{Risk, RiskOut};
use crate::core::scanner::{ScanOut, Scanner};
use crate::core::trade::Trade;
use crate::domain::event::{Event, Flow, FlowBody};
use crate::domain::instrument::{InstrumentId, VenueId};
use crate::domain::intent::{Basket, BasketKind, Intent, TradeId};
use crate::domain::order::OrderSpec;
use crate::domain::time::Stamp;
use crate::ops::view::Names;
use crate::stage::river::Parts;

/// The stages before an input.
pub(super) struct Before {
    scanner: Scanner,
    risk: Risk,
}

/// What a decision stood on.
#[derive(Clone, Debug)]
pub(super) struct Decision {
    pub trade: TradeId,
    pub attempt: u16,
    pub kind: BasketKind,
    pub checks: Vec<CheckCard>,
    pub accounts: Vec<AccountCard>,
    pub books: Vec<BookCard>,
    pub pair: Option<PairCard>,
    pub leaving: Option<LeavingCard>,
    pub closing: Option<&'static str>,
    /// The trade as it was when its basket was wanted.
    pub of: Option<Trade>,
}

impl Before {
    /// Copies what the next input will change.
    pub fn of(parts: &Parts) -> Self {
        Self { scanner: parts.scan.scanner().clone(), risk: parts.risk.rules().clone() }
    }

    /// Every basket and amendment that the events of an input make, with what each stood on.
    pub fn decide(mut self, names: &Names, events: &[Event]) -> Vec<Decision> {
        let (mut made, mut denied) = (ScanOut::default(), RiskOut::default());
        let mut decisions = Vec::new();
        for event in events {
            made.clear();
            self.scanner.on_event(event, &mut made);
            for body in &made.items {
                match body {
                    FlowBody::Intent(Intent::Basket(basket)) => {
                        let heard = self.risk.explain(basket, event.at);
                        let orders = basket.orders();
                        decisions.push(self.decision(names, basket, orders, &heard, event.at));
                    }
                    FlowBody::Intent(Intent::Amend(amend)) => {
                        let heard = self.risk.explain_amend(amend, event.at);
                        let basket = amend.as_basket(Default::default());
                        decisions.push(self.decision(names, &basket, &[amend.to], &heard, event.at));
                    }
                    FlowBody::Intent(Intent::Replace(replace)) => {
                        let heard = self.risk.explain_replace(replace, event.at);
                        let basket = replace.with.as_basket(Default::default());
                        decisions.push(self.decision(names, &basket, &[replace.with.to], &heard, event.at));
                    }
                    _ => {}
                }
                denied.clear();
                self.risk.on_flow(&Flow { seq: event.seq, at: event.at, body: *body }, &mut denied);
            }
        }
        decisions
    }

    fn decision(
        &self,
        names: &Names,
        basket: &Basket,
        orders: &[OrderSpec],
        heard: &[crate::core::limits::Checked],
        now: Stamp,
    ) -> Decision {
        let Self { scanner, risk } = self;
        let of = scanner.trades().find(|trade| trade.id == basket.trade).copied();
        let legs: Vec<InstrumentId> = orders.iter().map(|order| order.instrument).collect();
        let ends = match (&of, legs.as_slice()) {
            (Some(trade), _) => Some(trade.legs.map(|leg| InstrumentId(leg.listing))),
            (None, [buy, sell]) => Some([*buy, *sell]),
            _ => None,
        };
        let view =
            ends.and_then(|[buy, sell]| scanner.views().find(|view| view.buy == buy && view.sell == sell));
        let listed = |id: InstrumentId| scanner.listing(id);
        let mut shown: Vec<InstrumentId> = ends.into_iter().flatten().chain(legs).collect();
        shown.dedup();
        let closing = of.and_then(|trade| trade.closing);
        let left = of.filter(|_| closing.is_some()).map(|trade| scanner.leaving(&trade));
        Decision {
            trade: basket.trade,
            attempt: basket.attempt,
            kind: basket.kind,
            checks: words::checks(names, orders, heard, |id| risk.positions().instrument(id).copied()),
            accounts: accounts(names, risk, orders),
            books: unique(&shown)
                .into_iter()
                .filter_map(|id| Some(words::book(names, listed(id)?, now)))
                .collect(),
            pair: view.as_ref().map(|view| words::pair(names, view)),
            leaving: left.map(|left| LeavingCard {
                exit_basis_ppb: left.basis,
                converged_at_ppb: left.tolerated,
                entry_basis_ppb: left.realised,
                loss_max_ppb: left.loss_max,
                hold_left_ns: left.hold_left,
            }),
            closing: closing.map(words::exit_reason),
            of,
        }
    }
}

fn unique(ids: &[InstrumentId]) -> Vec<InstrumentId> {
    let mut kept: Vec<InstrumentId> = Vec::new();
    for id in ids {
        if !kept.contains(id) {
            kept.push(*id);
        }
    }
    kept
}

/// The accounts that orders draw on.
pub(super) fn accounts(names: &Names, risk: &Risk, orders: &[OrderSpec]) -> Vec<AccountCard> {
    let capital = risk.capital();
    let mut ids: Vec<_> = orders.iter().filter_map(|order| capital.account_of(order.instrument)).collect();
    ids.dedup();
    let card = |account: &Account| AccountCard {
        venue: names.venue(account.venue).to_owned(),
        currency: account.currency.to_string(),
        wallet: account.wallet,
        reserved: account.reserved,
        used: account.used,
        free: account.free(),
    };
    ids.into_iter().filter_map(|id| capital.get(id)).map(card).collect()
}

/// What route and risk know of the venues of orders at `now`.
pub(super) fn standings(
    names: &Names,
    parts: &Parts,
    venues: &[VenueId],
    urgent: bool,
    now: Stamp,
) -> Vec<RouteCard> {
    let card = |venue: &VenueId| RouteCard {
        venue: names.venue(*venue).to_owned(),
        route: parts.route.standing(*venue, urgent, now.mono),
        risk: parts.risk.rules().venue(*venue),
    };
    venues.iter().map(card).collect()
}
