//! Subscriptions, and the news of accounts: what happened at the exchange becomes messages to those who
//! follow an address. Anyone may follow any address.

use super::feed::Channel;
use super::wire::ms;
use super::{HyperliquidServer, Travel, rows};
use crate::domain::time::{MICRO, Nanos};
use crate::sim::exchange::{AccountId, ChangeReason, Exec, FillRow, Order, SimEvent, SimEventBody, Tif};
use crate::sim::{Push, SimConn};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Channels tell of an order this much later than its reply leaves.
const CHANNEL_DELAY: Nanos = 50 * MICRO;
/// Fills and fundings in a snapshot.
const SNAPSHOT_ROWS: usize = 2_000;

/// What can be subscribed per address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UserChannel {
    Orders,
    Fills,
    Fundings,
}

impl UserChannel {
    fn of_name(name: &str) -> Option<Self> {
        Some(match name {
            "orderUpdates" => Self::Orders,
            "userFills" => Self::Fills,
            "userFundings" => Self::Fundings,
            _ => return None,
        })
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Orders => "orderUpdates",
            Self::Fills => "userFills",
            Self::Fundings => "userFundings",
        }
    }
}

impl HyperliquidServer {
    /// Subscribes or unsubscribes; the error is the text of the `error` message.
    pub(super) fn subscribe(
        &mut self,
        conn: SimConn,
        method: &str,
        subscription: &Value,
        now: Nanos,
        out: &mut Vec<Push>,
    ) -> Result<(), String> {
        let name = subscription["type"].as_str().unwrap_or_default();
        let invalid = || format!("Invalid subscription {subscription}");
        let standing = || format!("Already subscribed: {subscription}");
        let ends = method == "unsubscribe";
        let first = if let Some(channel) = Channel::of_name(name) {
            let coin = subscription["coin"].as_str().unwrap_or_default();
            let listing = self.venue.exchange().find(coin).ok_or_else(invalid)?;
            if ends {
                if !self.feed.unsubscribe(channel, listing, conn) {
                    return Err(format!("Already unsubscribed: {subscription}"));
                }
                None
            } else {
                if !self.feed.subscribe(channel, listing, conn) {
                    return Err(standing());
                }
                Some(self.feed.first(self.venue.exchange(), channel, listing, now))
            }
        } else {
            let channel = UserChannel::of_name(name).ok_or_else(invalid)?;
            let user = subscription["user"].as_str().unwrap_or_default().to_ascii_lowercase();
            if user.len() != 42 || !user.starts_with("0x") {
                return Err(invalid());
            }
            let Some(client) = self.clients.get_mut(&conn) else { return Ok(()) };
            let entry = (channel, user.clone());
            let stands = client.users.contains(&entry);
            client.users.retain(|other| *other != entry);
            if !ends {
                client.users.push(entry);
                if stands {
                    return Err(standing());
                }
            }
            if ends { None } else { self.snapshot(channel, &user) }
        };
        let ack = json!({"channel": "subscriptionResponse", "data": {"method": method, "subscription": subscription}});
        self.say(conn, ack.to_string(), now, out);
        if let Some(first) = first {
            self.say(conn, first, now, out);
        }
        Ok(())
    }

    /// The past of an account; orders have none.
    fn snapshot(&self, channel: UserChannel, user: &str) -> Option<String> {
        let exchange = self.venue.exchange();
        let account = exchange.authenticate(user);
        let mut list = match channel {
            UserChannel::Orders => return None,
            UserChannel::Fills => account.map(|account| rows::fills(exchange, account, 0)),
            UserChannel::Fundings => account.map(|account| self.fundings(account)),
        }
        .unwrap_or_default();
        let old = list.len().saturating_sub(SNAPSHOT_ROWS);
        list.drain(..old);
        let name = if channel == UserChannel::Fills { "fills" } else { "fundings" };
        let data = json!({"isSnapshot": true, "user": user, name: list});
        Some(json!({"channel": channel.name(), "data": data}).to_string())
    }

    /// Every funding payment of an account, oldest first.
    pub(super) fn fundings(&self, account: AccountId) -> Vec<Value> {
        let exchange = self.venue.exchange();
        let own = exchange.ledger().funding().iter().filter(|row| row.account == account);
        own.map(|row| rows::funding(exchange.listing(row.listing), row.qty, row.rate_ppb, row.amount, row.at))
            .collect()
    }

    /// Takes what happened at the exchange: public news wait for their block, private ones set out at once.
    pub(super) fn collect(&mut self) {
        let mut events = std::mem::take(&mut self.events);
        self.venue.take_events(&mut events);
        // One message per account and channel: orders first, as the venue has it.
        let mut orders: BTreeMap<AccountId, Vec<Value>> = BTreeMap::new();
        let mut fills: BTreeMap<AccountId, Vec<Value>> = BTreeMap::new();
        let mut fundings: BTreeMap<AccountId, Vec<Value>> = BTreeMap::new();
        let mut last = 0;
        let held = held_before(self.venue.exchange(), &events);
        let mut held = held;
        for SimEvent { at, body } in &events {
            let exchange = self.venue.exchange();
            match body {
                SimEventBody::Trade(trade) => self.feed.on_trade(*trade, *at),
                SimEventBody::Bbo { listing, .. } => self.feed.on_bbo(*listing),
                SimEventBody::Order { order, exec } => {
                    last = *at;
                    if is_news(order, exec) {
                        let shown = rows::with_status(rows::order(exchange, order), order);
                        orders.entry(order.account).or_default().push(shown);
                    }
                    if let Exec::Trade(fill) = exec {
                        let before = held.entry((order.account, order.listing)).or_default();
                        let row = FillRow {
                            order: order.id,
                            account: order.account,
                            listing: order.listing,
                            side: order.side,
                            fill: *fill,
                            notional: exchange.listing(order.listing).notional(fill.price, fill.qty),
                            at: *at,
                        };
                        fills.entry(order.account).or_default().push(rows::fill(exchange, &row, *before));
                        if let Some(address) = self.addresses.get_mut(&order.account) {
                            address.on_traded(row.notional);
                        }
                        *before += order.side.sign() * fill.qty;
                    }
                }
                SimEventBody::Account { account, reason: ChangeReason::Funding, .. }
                    if *account != AccountId::MARKET =>
                {
                    last = *at;
                    let paid = self.fundings(*account);
                    let new = paid.into_iter().filter(|row| row["time"] == ms(*at));
                    let rows = fundings.entry(*account).or_default();
                    rows.clear();
                    rows.extend(new);
                }
                _ => {}
            }
        }
        events.clear();
        self.events = events;
        for (account, list) in orders {
            self.tell(account, UserChannel::Orders, last, |_| Value::from(list.clone()));
        }
        for (account, list) in fills {
            self.tell(account, UserChannel::Fills, last, |user| json!({"user": user, "fills": list}));
        }
        for (account, list) in fundings {
            self.tell(account, UserChannel::Fundings, last, |user| json!({"user": user, "fundings": list}));
        }
    }

    /// Sends to everyone who follows the account, after the venue's latency.
    fn tell(&mut self, account: AccountId, channel: UserChannel, at: Nanos, data: impl Fn(&str) -> Value) {
        let exchange = self.venue.exchange();
        let address = exchange.keys(account).api_key.clone();
        let due = at + exchange.settings().latency_out_ns + CHANNEL_DELAY;
        for (conn, client) in &self.clients {
            if client.users.iter().any(|(own, user)| *own == channel && *user == address) {
                let text = json!({"channel": channel.name(), "data": data(&address)}).to_string();
                self.under_way.push(due, Travel::Message(*conn, text));
            }
        }
    }
}

/// Whether `orderUpdates` tells of it: resting, shrinking and ended orders, but not the way of an immediate one.
fn is_news(order: &Order, exec: &Exec) -> bool {
    let immediate = matches!(order.tif, Tif::Ioc | Tif::Fok);
    match exec {
        Exec::New | Exec::Amended => !immediate,
        Exec::Trade(_) => !order.status.is_open() || !immediate,
        Exec::Ended => true,
    }
}

type Held = BTreeMap<(AccountId, crate::sim::exchange::ListingId), i64>;

/// Positions before the fills of these events.
fn held_before(exchange: &crate::sim::exchange::Exchange, events: &[SimEvent]) -> Held {
    let mut held = Held::new();
    for event in events {
        if let SimEventBody::Order { order, exec: Exec::Trade(fill) } = &event.body {
            let now = exchange.account(order.account).positions[order.listing.index()].qty;
            *held.entry((order.account, order.listing)).or_insert(now) -= order.side.sign() * fill.qty;
        }
    }
    held
}
