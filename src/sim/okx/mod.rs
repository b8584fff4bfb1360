//! OKX swaps as a simulated venue: WebSocket and REST as documented for API v5, over the simulated exchange.
//!
//! A state machine of bytes and time. Publications, the way of orders to matching and back, dead man's switches and
//! the cut of silent clients are all due times in [`OkxServer::next_due`], handled in order of time. Shares nothing
//! with `venue/okx`.

mod auth;
mod feed;
mod instruments;
mod private;
mod rest;
mod session;
#[cfg(test)]
mod tests;
mod trade;
mod wire;

use super::delay::DelayQueue;
use super::exchange::{
    AccountId, ChangeReason, EndReason, Exec, ListingId, SimEvent, SimEventBody, VenueLedger,
};
use super::market::SimVenue;
use super::{HttpReply, HttpRequest, LedgerServer, Push, Server, SimConfig, SimConn};
use crate::domain::time::{MICRO, MILLI, Nanos, SECOND};
use feed::Feed;
use serde_json::{Value, json};
use session::{Channel, Client, Endpoint, Subscription};
use std::collections::BTreeMap;
use trade::{Action, BATCH_MAX, Limits, Naming, listing_of, summary};
use wire::{Fault, quoted, us};

/// The protocol server of one OKX-like venue.
pub struct OkxServer {
    venue: SimVenue,
    clients: BTreeMap<SimConn, Client>,
    feed: Feed,
    /// Requests on their way in, messages on their way out.
    under_way: DelayQueue<Travel>,
    limits: Limits,
    /// Dead man's switches.
    countdowns: BTreeMap<AccountId, Nanos>,
    /// When each of [`TIMERS`] is due; empty until the market opens.
    timers: Vec<Nanos>,
    events: Vec<SimEvent>,
    /// `reqId` of the amendment that is being executed.
    amend_request: String,
}

/// Something between a client and the matching engine.
enum Travel {
    /// An order request, due at the engine.
    Request(Box<OrderRequest>),
    /// A message, due at a client.
    Message(SimConn, String),
}

struct OrderRequest {
    conn: SimConn,
    account: AccountId,
    action: Action,
    op: String,
    /// The client's `id` as JSON, or nothing.
    id: Option<Value>,
    args: Vec<Value>,
    arrived: Nanos,
    /// The client's deadline, ns.
    expires: Nanos,
}

/// What happens periodically, aligned to the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Timer {
    Bbo,
    Books,
    Marks,
    Interest,
    Funding,
    Accounts,
    Silence,
}

const TIMERS: [(Nanos, Timer); 7] = [
    (10 * MILLI, Timer::Bbo),
    (100 * MILLI, Timer::Books),
    (200 * MILLI, Timer::Marks),
    (3 * SECOND, Timer::Interest),
    (60 * SECOND, Timer::Funding),
    (5 * SECOND, Timer::Accounts),
    (SECOND, Timer::Silence),
];

/// Private channels tell of an order this much later than its acknowledgement leaves.
const CHANNEL_DELAY: Nanos = 50 * MICRO;
/// A client with no message in either direction for this long is cut.
const SILENCE_MAX: Nanos = 30 * SECOND;

impl OkxServer {
    /// The `venue`-th venue of a checked configuration.
    pub fn new(config: &SimConfig, venue: usize) -> Self {
        Self {
            venue: SimVenue::new(config, venue),
            clients: BTreeMap::new(),
            feed: Feed::new(config.venues[venue].listings.len()),
            under_way: DelayQueue::default(),
            limits: Limits::default(),
            countdowns: BTreeMap::new(),
            timers: Vec::new(),
            events: Vec::new(),
            amend_request: String::new(),
        }
    }

    /// Does all that is due up to `now`, in order of time.
    fn run_to(&mut self, now: Nanos, out: &mut Vec<Push>) {
        let sent_before = out.len();
        if self.timers.is_empty() {
            self.venue.advance(now);
            self.collect(now);
            self.timers = TIMERS.iter().map(|(period, _)| (now.div_euclid(*period) + 1) * period).collect();
        }
        self.publish(now, out);
        loop {
            let due = self.next_due();
            if due > now {
                break;
            }
            if self.venue.next_due() <= due {
                self.venue.advance(due);
                self.collect(due);
            }
            self.publish(due, out);
            while let Some((at, travel)) = self.under_way.pop_due(due) {
                match travel {
                    Travel::Request(request) => self.run_request(*request, at),
                    Travel::Message(conn, text) if self.clients.contains_key(&conn) => {
                        out.push(Push::Text(conn, text.into_bytes()));
                    }
                    Travel::Message(..) => {}
                }
                self.publish(due, out);
            }
            self.run_countdowns(due);
            self.publish(due, out);
            for (index, (period, timer)) in TIMERS.iter().enumerate() {
                if self.timers[index] <= due {
                    self.timers[index] += period;
                    self.run_timer(*timer, due, out);
                }
            }
        }
        self.note_sent(sent_before, now, out);
    }

    /// Sending keeps a connection alive as well as receiving.
    fn note_sent(&mut self, from: usize, now: Nanos, out: &[Push]) {
        for push in &out[from..] {
            if let Push::Text(conn, _) = push
                && let Some(client) = self.clients.get_mut(conn)
            {
                client.active_at = now;
            }
        }
    }

    fn run_timer(&mut self, timer: Timer, at: Nanos, out: &mut Vec<Push>) {
        let exchange = self.venue.exchange();
        match timer {
            Timer::Bbo => self.feed.publish_bbo(exchange, at, out),
            Timer::Books => self.feed.publish_books(exchange, at, out),
            Timer::Marks => self.feed.publish_marks(exchange, at, out),
            Timer::Interest => self.feed.publish_interest(exchange, at, out),
            Timer::Funding => self.feed.publish_funding(exchange, None, at, out),
            Timer::Accounts => self.push_periodically(at, out),
            Timer::Silence => {
                let silent = self.clients.iter().filter(|(_, client)| client.active_at + SILENCE_MAX <= at);
                let silent: Vec<SimConn> = silent.map(|(conn, _)| *conn).collect();
                for conn in silent {
                    // What was published to it in this very call counts as well.
                    let spoken_to = out.iter().any(|push| matches!(push, Push::Text(to, _) if *to == conn));
                    if !spoken_to {
                        out.push(Push::Close(conn));
                        self.forget(conn);
                    }
                }
            }
        }
    }

    fn run_countdowns(&mut self, now: Nanos) {
        while let Some((&account, _)) = self.countdowns.iter().find(|(_, at)| **at <= now) {
            self.countdowns.remove(&account);
            self.venue.exchange_mut().cancel_all(account, None, EndReason::Countdown, now);
            self.collect(now);
        }
    }

    /// Takes what happened at the exchange: private news set out for their clients at once, public news are
    /// published by the next [`OkxServer::publish`].
    fn collect(&mut self, now: Nanos) {
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
    fn publish(&mut self, _now: Nanos, out: &mut Vec<Push>) {
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
    fn push_periodically(&mut self, at: Nanos, out: &mut Vec<Push>) {
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
    fn private_snapshot(&self, account: AccountId, subscription: &Subscription, at: Nanos) -> Option<String> {
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

    fn run_request(&mut self, request: OrderRequest, at: Nanos) {
        let late = request.expires < at;
        let mut acks = Vec::with_capacity(request.args.len());
        for arg in &request.args {
            let mut ack = if late {
                let text = |name: &str| trade::text(arg, name).unwrap_or_default();
                trade::Ack {
                    client_id: text("clOrdId"),
                    order_id: text("ordId"),
                    tag: None,
                    request_id: None,
                    fault: None,
                }
            } else {
                self.execute(request.account, request.action, Naming::Code, arg, at)
            };
            if late {
                ack.fault = Some(Fault::new("51149", "Order timed out. Please try again."));
            }
            acks.push(ack);
        }
        let done = at + self.venue.exchange().settings().latency_out_ns;
        let data: Vec<String> = acks.iter().map(|ack| ack.to_json(at)).collect();
        let reply = order_reply(&request, summary(&acks), "", &data, done);
        self.under_way.push(done, Travel::Message(request.conn, reply));
    }

    fn forget(&mut self, conn: SimConn) {
        self.clients.remove(&conn);
        self.feed.forget(conn);
    }

    fn on_request(&mut self, conn: SimConn, text: &[u8], now: Nanos, out: &mut Vec<Push>) {
        let request: Value = serde_json::from_slice(text).unwrap_or_default();
        let op = request.get("op").and_then(Value::as_str).unwrap_or_default();
        match op {
            "login" => self.login(conn, &request, now, out),
            "subscribe" | "unsubscribe" => self.subscribe(conn, op, &request, now, out),
            _ if Action::of_op(op).is_some() => self.order_request(conn, op, &request, now, out),
            _ => {
                let shown = String::from_utf8_lossy(text);
                let fault = Fault::new("60012", format!("Illegal request: {shown}"));
                self.send_error(conn, &request, &fault, out);
            }
        }
    }

    fn send_error(&self, conn: SimConn, request: &Value, fault: &Fault, out: &mut Vec<Push>) {
        let Some(client) = self.clients.get(&conn) else { return };
        let text = format!(
            r#"{{{}"event":"error","code":"{}","msg":{},"connId":"{}"}}"#,
            id_prefix(request.get("id")),
            fault.code,
            quoted(&fault.message),
            client.conn_id,
        );
        out.push(Push::Text(conn, text.into_bytes()));
    }

    /// Counts a login or subscription against the hourly budget.
    fn count_request(&mut self, conn: SimConn, request: &Value, now: Nanos, out: &mut Vec<Push>) -> bool {
        let within = self.clients.get_mut(&conn).is_some_and(|client| client.requests.take(1, now));
        if !within {
            self.send_error(conn, request, &Fault::new("60014", "Requests too frequent"), out);
        }
        within
    }

    fn login(&mut self, conn: SimConn, request: &Value, now: Nanos, out: &mut Vec<Push>) {
        if !self.count_request(conn, request, now, out) {
            return;
        }
        let Some(client) = self.clients.get_mut(&conn) else { return };
        match auth::login(self.venue.exchange(), request.get("args"), now) {
            Ok(account) => {
                client.account = Some(account);
                let text =
                    format!(r#"{{"event":"login","code":"0","msg":"","connId":"{}"}}"#, client.conn_id);
                out.push(Push::Text(conn, text.into_bytes()));
            }
            Err(fault) => self.send_error(conn, request, &fault, out),
        }
    }

    fn subscribe(&mut self, conn: SimConn, op: &str, request: &Value, now: Nanos, out: &mut Vec<Push>) {
        if !self.count_request(conn, request, now, out) {
            return;
        }
        let Some(args) = request.get("args").and_then(Value::as_array).filter(|args| !args.is_empty()) else {
            let fault = Fault::new("60012", format!("Illegal request: {request}"));
            return self.send_error(conn, request, &fault, out);
        };
        for arg in args {
            if let Err(fault) = self.subscribe_one(conn, op, arg, request.get("id"), now, out) {
                self.send_error(conn, request, &fault, out);
            }
        }
    }

    fn subscribe_one(
        &mut self,
        conn: SimConn,
        op: &str,
        arg: &Value,
        id: Option<&Value>,
        now: Nanos,
        out: &mut Vec<Push>,
    ) -> Result<(), Fault> {
        let Some(client) = self.clients.get_mut(&conn) else { return Ok(()) };
        let subscription = Subscription::parse(arg, client.endpoint, self.venue.exchange())?;
        let account = match (client.endpoint, client.account) {
            (Endpoint::Private, None) => return Err(Fault::new("60011", "Please log in")),
            (_, account) => account,
        };
        let (channel, listing) = (subscription.channel, subscription.listing);
        client.subscriptions.retain(|other| !other.same(&subscription));
        let ack = format!(r#"{{{}"event":"{op}","arg":{arg},"connId":"{}"}}"#, id_prefix(id), client.conn_id);
        let mut send = |text: String| out.push(Push::Text(conn, text.into_bytes()));
        send(ack);
        if op == "unsubscribe" {
            if let Some(listing) = listing {
                self.feed.unsubscribe(channel, listing, conn);
            }
            return Ok(());
        }
        client.subscriptions.push(subscription.clone());
        if let Some(account) = account
            && channel.endpoint() == Endpoint::Private
        {
            let same = |client: &&Client| {
                client.account == Some(account) && client.subscriptions.iter().any(|s| s.channel == channel)
            };
            let count = self.clients.values().filter(same).count();
            send(format!(
                r#"{{"event":"channel-conn-count","channel":"{}","connCount":"{count}","connId":"{}"}}"#,
                channel.name(),
                self.clients[&conn].conn_id,
            ));
            if let Some(snapshot) = self.private_snapshot(account, &subscription, now) {
                send(snapshot);
            }
        } else if let Some(listing) = listing {
            if let Some(first) = self.feed.first(self.venue.exchange(), channel, listing, now) {
                send(first);
            }
            self.feed.subscribe(channel, listing, conn);
        } else if channel == Channel::Instruments {
            let exchange = self.venue.exchange();
            let all: Vec<Value> =
                exchange.listings().iter().map(|l| instruments::instrument(exchange, l)).collect();
            send(json!({"arg": arg, "data": all}).to_string());
        }
        Ok(())
    }

    fn order_request(&mut self, conn: SimConn, op: &str, request: &Value, now: Nanos, out: &mut Vec<Push>) {
        let Some((action, batch)) = Action::of_op(op) else { return };
        let Some(client) = self.clients.get(&conn) else { return };
        let (Endpoint::Private, Some(account)) = (client.endpoint, client.account) else {
            let fault = match client.endpoint {
                Endpoint::Private => Fault::new("60011", "Please log in"),
                _ => Fault::new("60012", format!("Illegal request: {request}")),
            };
            return self.send_error(conn, request, &fault, out);
        };
        let expires = trade::text(request, "expTime").and_then(|ms| ms.parse::<i64>().ok());
        let order_request = OrderRequest {
            conn,
            account,
            action,
            op: op.to_owned(),
            id: request.get("id").cloned(),
            args: request.get("args").and_then(Value::as_array).cloned().unwrap_or_default(),
            arrived: now,
            expires: expires.map_or(Nanos::MAX, |ms| ms.saturating_mul(MILLI)),
        };
        let exchange = self.venue.exchange();
        let settings = exchange.settings();
        let (latency_in, latency_out) = (settings.latency_in_ns, settings.latency_out_ns);
        let most = if batch { BATCH_MAX } else { 1 };
        let wrong_id = match &order_request.id {
            Some(Value::String(id)) => {
                id.is_empty() || id.len() > 32 || !id.bytes().all(|b| b.is_ascii_alphanumeric())
            }
            Some(_) => true,
            None => false,
        };
        let fault = if wrong_id || order_request.args.is_empty() || order_request.args.len() > most {
            Some(Fault::new("60013", "Invalid args"))
        } else if order_request.expires < now {
            Some(rest::expired())
        } else {
            let args = order_request.args.iter();
            let listings: Vec<ListingId> =
                args.filter_map(|arg| listing_of(exchange, Naming::Code, arg).ok()).collect();
            self.limits.take_orders(exchange, account, action, batch, &listings, now).err()
        };
        match fault {
            Some(fault) => {
                let done = now + latency_out;
                let reply = order_reply(&order_request, fault.code, &fault.message, &[], done);
                self.under_way.push(done, Travel::Message(conn, reply));
            }
            None => self.under_way.push(now + latency_in, Travel::Request(Box::new(order_request))),
        }
    }
}

fn id_prefix(id: Option<&Value>) -> String {
    id.map_or_else(String::new, |id| format!(r#""id":{id},"#))
}

fn order_reply(request: &OrderRequest, code: &str, message: &str, data: &[String], done: Nanos) -> String {
    format!(
        r#"{{{}"op":"{}","code":"{code}","msg":{},"data":[{}],"inTime":"{}","outTime":"{}"}}"#,
        id_prefix(request.id.as_ref()),
        request.op,
        quoted(message),
        data.join(","),
        us(request.arrived),
        us(done),
    )
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

impl Server for OkxServer {
    fn on_connect(&mut self, conn: SimConn, path: &str, now: Nanos, out: &mut Vec<Push>) -> bool {
        self.run_to(now, out);
        let Some(endpoint) = Endpoint::of_path(path) else { return false };
        self.clients.insert(conn, Client::new(endpoint, conn.0, now));
        true
    }

    fn on_text(&mut self, conn: SimConn, text: &[u8], now: Nanos, out: &mut Vec<Push>) {
        self.run_to(now, out);
        let Some(client) = self.clients.get_mut(&conn) else { return };
        client.active_at = now;
        if text == b"ping" {
            out.push(Push::Text(conn, b"pong".to_vec()));
        } else {
            self.on_request(conn, text, now, out);
            self.run_to(now, out); // a venue without latency answers at once
        }
    }

    fn on_closed(&mut self, conn: SimConn, now: Nanos, out: &mut Vec<Push>) {
        self.run_to(now, out);
        self.forget(conn);
    }

    fn on_http(&mut self, request: &HttpRequest, now: Nanos, out: &mut Vec<Push>) -> HttpReply {
        self.run_to(now, out);
        let reply = self.rest(request, now);
        self.run_to(now, out);
        reply
    }

    fn advance(&mut self, now: Nanos, out: &mut Vec<Push>) {
        self.run_to(now, out);
    }

    fn next_due(&self) -> Nanos {
        if self.timers.is_empty() {
            return Nanos::MIN; // opens at once
        }
        let timer = self.timers.iter().copied().min().unwrap_or(Nanos::MAX);
        let countdown = self.countdowns.values().copied().min().unwrap_or(Nanos::MAX);
        timer.min(countdown).min(self.venue.next_due()).min(self.under_way.next_due())
    }
}

impl LedgerServer for OkxServer {
    fn ledger(&self) -> &VenueLedger {
        self.venue.exchange().ledger()
    }

    fn ledger_mut(&mut self) -> &mut VenueLedger {
        self.venue.exchange_mut().ledger_mut()
    }
}
