//! News: what happened at the exchange becomes messages. Public ones go out as they are; private ones travel for the
//! venue's latency to every subscription of the account concerned.

use super::session::{Channel, Subscription};
use super::{CHANNEL_DELAY, OkxServer, Travel, private};
use crate::domain::time::Nanos;
use crate::sim::Push;
use crate::sim::exchange::{AccountId, ChangeReason, Exec, ListingId, SimEvent, SimEventBody};
use serde_json::{Value, json};

impl OkxServer {
    /// Takes what happened at the exchange: private news set out for their clients at once, public news are
    /// published by the next [`OkxServer::publish`].
    pub(super) fn collect(&mut self, now: Nanos) {
        let from = self.events.len();
        self.venue.take_events(&mut self.events);
        let mut changed: Vec<AccountId> = Vec::new();
        for index in from..self.events.len() {
            match &self.events[index].body {
                SimEventBody::Order { order, .. } => {
                    let account = order.account;
                    self.push_order(index);
                    if !changed.contains(&account) {
                        changed.push(account);
                    }
                }
                SimEventBody::Account { account, .. } => {
                    let account = *account;
                    if account != AccountId::MARKET {
                        self.push_position(index);
                        if !changed.contains(&account) {
                            changed.push(account);
                        }
                    }
                }
                _ => {}
            }
        }
        for account in changed {
            let at = self.events.last().map_or(now, |event| event.at);
            let value = private::balance(self.venue.exchange(), account, at);
            self.push_private(account, at, |subscription| subscription.channel == Channel::Account, &value);
        }
        self.events
            .retain(|event| !matches!(event.body, SimEventBody::Order { .. } | SimEventBody::Account { .. }));
    }

    /// Publishes trades and marks what else has changed.
    pub(super) fn publish(&mut self, _now: Nanos, out: &mut Vec<Push>) {
        let exchange = self.venue.exchange();
        for event in self.events.drain(..) {
            match event.body {
                SimEventBody::Trade(trade) => self.feed.on_trade(exchange, trade, event.at, out),
                SimEventBody::Level { listing, .. } => self.feed.on_level(listing),
                SimEventBody::Bbo { listing, .. } => self.feed.on_bbo(listing),
                SimEventBody::FundingSettled { listing, rate_ppb } => {
                    self.feed.on_settled(exchange, listing, rate_ppb, event.at, out);
                }
                SimEventBody::Order { .. } | SimEventBody::Account { .. } => {}
            }
        }
    }

    fn push_order(&mut self, index: usize) {
        let SimEvent { at, body: SimEventBody::Order { order, exec } } = &self.events[index] else { return };
        let (at, account, listing) = (*at, order.account, order.listing);
        let value = private::order_push(self.venue.exchange(), order, exec, &self.amend_request, at);
        self.push_private(
            account,
            at,
            |s| s.channel == Channel::Orders && s.listing.is_none_or(|own| own == listing),
            &value,
        );
    }

    fn push_position(&mut self, index: usize) {
        let SimEvent { at, body: SimEventBody::Account { account, reason, listing, position, .. } } =
            &self.events[index]
        else {
            return;
        };
        let (at, account, listing) = (*at, *account, *listing);
        let trades: Vec<(ListingId, u64)> = self.events[..index]
            .iter()
            .filter_map(|event| match &event.body {
                SimEventBody::Order { order, exec: Exec::Trade(fill) }
                    if order.account == account && event.at == at =>
                {
                    Some((order.listing, fill.trade_id))
                }
                _ => None,
            })
            .collect();
        let event = match reason {
            ChangeReason::Order => "filled",
            ChangeReason::Funding => "funding_fee",
        };
        let exchange = self.venue.exchange();
        let value = private::position(exchange, &self.feed, account, listing, position);
        let both = private::balance_and_position(exchange, account, &[listing], event, &trades, at);
        self.push_private(
            account,
            at,
            |s| s.channel == Channel::Positions && s.listing.is_none_or(|own| own == listing),
            &value,
        );
        self.push_private(account, at, |s| s.channel == Channel::BalanceAndPosition, &both);
    }

    /// Sends one object to the matching subscriptions of an account, after the venue's latency.
    fn push_private(
        &mut self,
        account: AccountId,
        at: Nanos,
        matching: impl Fn(&Subscription) -> bool,
        value: &Value,
    ) {
        let due = at + self.venue.exchange().settings().latency_out_ns + CHANNEL_DELAY;
        for (conn, client) in self.clients.iter().filter(|(_, client)| client.account == Some(account)) {
            for subscription in client.subscriptions.iter().filter(|s| matching(s)) {
                let text = private_frame(account, subscription, std::slice::from_ref(value));
                self.under_way.push(due, Travel::Message(*conn, text));
            }
        }
    }

    /// Positions and balances of those who did not ask for events only.
    pub(super) fn push_periodically(&mut self, at: Nanos, out: &mut Vec<Push>) {
        for (conn, client) in &self.clients {
            let Some(account) = client.account else { continue };
            for subscription in client.subscriptions.iter().filter(|s| !s.events_only) {
                if matches!(subscription.channel, Channel::Positions | Channel::Account)
                    && let Some(text) = self.private_snapshot(account, subscription, at)
                {
                    out.push(Push::Text(*conn, text.into_bytes()));
                }
            }
        }
    }

    /// The whole state of a private channel; `orders` has none.
    pub(super) fn private_snapshot(
        &self,
        account: AccountId,
        subscription: &Subscription,
        at: Nanos,
    ) -> Option<String> {
        let exchange = self.venue.exchange();
        let holder = exchange.account(account);
        let held: Vec<ListingId> = (0..holder.positions.len())
            .filter(|index| holder.positions[*index].qty != 0)
            .map(|index| ListingId(index as u16))
            .filter(|id| subscription.listing.is_none_or(|own| own == *id))
            .collect();
        let data = match subscription.channel {
            Channel::Positions => {
                let show = |id: &ListingId| {
                    private::position(exchange, &self.feed, account, *id, &holder.positions[id.index()])
                };
                held.iter().map(show).collect()
            }
            Channel::Account => vec![private::balance(exchange, account, at)],
            Channel::BalanceAndPosition => {
                vec![private::balance_and_position(exchange, account, &held, "snapshot", &[], at)]
            }
            _ => return None,
        };
        Some(private_frame(account, subscription, &data))
    }
}

/// A message of a private channel: the subscription's argument with the user number, and the data.
fn private_frame(account: AccountId, subscription: &Subscription, data: &[Value]) -> String {
    let mut arg = subscription.arg.clone();
    if let Some(fields) = arg.as_object_mut() {
        fields.remove("extraParams");
        fields.insert("uid".to_owned(), Value::from(private::uid(account)));
    }
    json!({"arg": arg, "data": data}).to_string()
}
