//! News: what happened at the exchange becomes messages. Public ones go out as they are; private ones travel for
//! the venue's latency to every subscription of the account concerned.

use super::wire::notification;
use super::{DeribitServer, Travel, private};
use crate::domain::time::{MICRO, Nanos};
use crate::sim::Push;
use crate::sim::exchange::{AccountId, Exec, FillRow, ListingId, Order, SimEvent, SimEventBody};

/// Private channels tell of an order this much later than its reply leaves.
const CHANNEL_DELAY: Nanos = 50 * MICRO;

impl DeribitServer {
    /// Takes what happened at the exchange: private news set out for their clients at once, public news are
    /// published by the next [`DeribitServer::publish`].
    pub(super) fn collect(&mut self) {
        let from = self.events.len();
        self.venue.take_events(&mut self.events);
        let mut news: Vec<(AccountId, Nanos, &'static str, String)> = Vec::new();
        let exchange = self.venue.exchange();
        for SimEvent { at, body } in &self.events[from..] {
            match body {
                SimEventBody::Order { order, exec } => {
                    if let Exec::Trade(fill) = exec {
                        let row = fill_row(order, *fill, *at, exchange);
                        news.push((
                            order.account,
                            *at,
                            "trades",
                            format!("[{}]", private::trade(exchange, &row)),
                        ));
                    }
                    news.push((order.account, *at, "orders", private::order(exchange, order)));
                }
                SimEventBody::Account { account, listing, position, .. } if *account != AccountId::MARKET => {
                    let row = private::position(exchange, *account, *listing, position);
                    let name = &exchange.listing(*listing).symbol;
                    let changes = format!(
                        r#"{{"trades":[],"positions":[{row}],"orders":[],"instrument_name":"{name}"}}"#
                    );
                    news.push((*account, *at, "changes", changes));
                    news.push((*account, *at, "portfolio", private::portfolio(exchange, *account)));
                }
                _ => {}
            }
        }
        let delay = exchange.settings().latency_out_ns + CHANNEL_DELAY;
        for (account, at, kind, data) in news {
            for (conn, client) in self.clients.iter().filter(|(_, client)| client.account == Some(account)) {
                let named = |channel: &&String| channel.split('.').nth(1) == Some(kind);
                for channel in client.channels.iter().filter(named) {
                    let text = notification(channel, &data);
                    self.under_way.push(at + delay, Travel::Message(*conn, text));
                }
            }
        }
        self.events
            .retain(|event| !matches!(event.body, SimEventBody::Order { .. } | SimEventBody::Account { .. }));
    }

    /// Publishes best prices and marks what else has changed.
    pub(super) fn publish(&mut self, now: Nanos, out: &mut Vec<Push>) {
        if self.events.is_empty() {
            return;
        }
        let exchange = self.venue.exchange();
        for event in self.events.drain(..) {
            match event.body {
                SimEventBody::Trade(trade) => self.feed.on_trade(trade, event.at),
                SimEventBody::Level { listing, .. } => self.feed.on_level(listing),
                SimEventBody::Bbo { listing, .. } => self.feed.on_bbo(listing),
                SimEventBody::FundingSettled { .. }
                | SimEventBody::Order { .. }
                | SimEventBody::Account { .. } => {}
            }
        }
        self.feed.publish_quotes(exchange, now, out);
    }
}

fn fill_row(
    order: &Order,
    fill: crate::sim::exchange::Fill,
    at: Nanos,
    exchange: &crate::sim::exchange::Exchange,
) -> FillRow {
    let listing: ListingId = order.listing;
    FillRow {
        order: order.id,
        account: order.account,
        listing,
        side: order.side,
        fill,
        notional: exchange.listing(listing).notional(fill.price, fill.qty),
        at,
    }
}
