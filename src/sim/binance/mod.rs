//! Binance USDⓈ-M and COIN-M futures, and Aster, as simulated venues: REST, market streams, user stream and WebSocket API, by
//! the venues' public documentation. What differs between the markets is in `flavour`.
//!
//! Connections, time and delivery are here; `stream`/`market_data` hold the market side, `rest`, `api`, `order`
//! and `auth` the requests, `info`/`account` the larger replies, `user`/`users` the private stream. The rules
//! of trading are the exchange's alone.

mod account;
mod api;
mod auth;
mod error;
mod flavour;
mod info;
mod limits;
mod market_data;
mod order;
mod rest;
mod stream;
mod user;
mod users;

use super::delay::DelayQueue;
use super::exchange::{
    AccountId, EndReason, Exchange, Exec, ListingId, RateWindow, SimEvent, SimEventBody, VenueLedger,
};
use super::market::SimVenue;
use super::{HttpReply, HttpRequest, LedgerServer, Push, Server, SimConfig, SimConn};
use crate::domain::money::Money;
use crate::domain::time::{MILLI, Nanos, SECOND};
use api::{ApiRequest, INVALID};
use flavour::Flavour;
use limits::Limits;
use market_data::{MarketData, TICK_NS};
use serde_json::Value;
use std::collections::BTreeMap;
use stream::{Group, Stream};
use user::AccountUpdate;
use users::Users;

/// No connection lives longer.
const LIFE_NS: Nanos = 24 * 3_600 * SECOND;
/// Funding settlements kept for `GET /fapi/v1/fundingRate`.
const FUNDING_ROWS_MAX: usize = 1_000;

/// What a connection is.
#[derive(Clone, Debug)]
enum Role {
    /// Market streams: path group, whether frames are wrapped, names subscribed (the stream, if it exists).
    Streams { group: Group, combined: bool, names: Vec<(String, Option<Stream>)> },
    /// User data.
    User,
    /// WebSocket API.
    Api,
}

#[derive(Clone, Debug)]
struct Conn {
    role: Role,
    messages: RateWindow,
    since: Nanos,
    ping_at: Nanos,
}

/// The protocol server.
pub struct BinanceServer {
    venue: SimVenue,
    flavour: Flavour,
    market_data: MarketData,
    users: Users,
    limits: Limits,
    conns: BTreeMap<SimConn, Conn>,
    /// Connections of the WebSocket API that were logged on.
    sessions: BTreeMap<SimConn, AccountId>,
    inbox: DelayQueue<ApiRequest>,
    outbox: DelayQueue<(SimConn, String)>,
    /// Dead man's switches: when they fire.
    countdowns: BTreeMap<(AccountId, ListingId), Nanos>,
    /// Settlements: symbol, rate, mark, time.
    funding_paid: Vec<(String, i64, Money, Nanos)>,
    /// Next multiple of [`TICK_NS`]; none before the first `advance`.
    tick_at: Option<Nanos>,
    events: Vec<SimEvent>,
}

impl BinanceServer {
    /// The `venue`-th venue of a checked configuration.
    pub fn new(config: &SimConfig, venue: usize) -> Self {
        let core = SimVenue::new(config, venue);
        let settings = core.exchange().settings();
        Self {
            flavour: Flavour::of(&settings.dialect),
            users: Users::new(config.seed, &settings.name),
            limits: Limits::new(settings),
            market_data: MarketData::new(core.exchange()),
            conns: BTreeMap::new(),
            sessions: BTreeMap::new(),
            inbox: DelayQueue::default(),
            outbox: DelayQueue::default(),
            countdowns: BTreeMap::new(),
            funding_paid: Vec::new(),
            tick_at: None,
            events: Vec::new(),
            venue: core,
        }
    }

    /// Everything that is due up to and including `now`, in order of time.
    fn run(&mut self, now: Nanos, out: &mut Vec<Push>) {
        if self.tick_at.is_none() {
            self.venue.advance(now);
            self.tick_at = Some((now.div_euclid(TICK_NS) + 1) * TICK_NS);
            self.publish(now, out);
        }
        loop {
            let due = self.next_due();
            if due > now {
                break;
            }
            self.venue.advance(due);
            self.publish(due, out);
            while let Some((at, request)) = self.inbox.pop_due(due) {
                let reply = self.execute(&request, at);
                let late = self.venue.exchange_mut().take_ack_delay();
                let latency = self.venue.exchange().settings().latency_out_ns + late;
                self.outbox.push(at + latency, (request.conn, reply));
                self.publish(at, out);
            }
            if self.tick_at == Some(due) {
                self.tick_at = Some(due + TICK_NS);
                self.on_tick(due, out);
            }
            while let Some((_, (conn, text))) = self.outbox.pop_due(due) {
                if self.conns.contains_key(&conn) {
                    out.push(Push::Text(conn, text.into_bytes()));
                }
            }
        }
    }

    fn on_tick(&mut self, at: Nanos, out: &mut Vec<Push>) {
        let fired: Vec<(AccountId, ListingId)> =
            self.countdowns.iter().filter(|(_, due)| **due <= at).map(|(key, _)| *key).collect();
        for (account, listing) in fired {
            self.countdowns.remove(&(account, listing));
            self.venue.exchange_mut().cancel_all(account, Some(listing), EndReason::Countdown, at);
        }
        self.publish(at, out);
        self.market_data.on_tick(self.venue.exchange(), at, out);
        for (key, conns) in self.users.expire(at) {
            for conn in conns {
                let text =
                    format!("{{\"e\":\"listenKeyExpired\",\"E\":{},\"listenKey\":\"{key}\"}}", at / MILLI);
                out.push(Push::Text(conn, text.into_bytes()));
            }
        }
        let mut old = Vec::new();
        for (id, conn) in &mut self.conns {
            if at >= conn.ping_at {
                conn.ping_at += self.flavour.ping_ns();
                out.push(Push::Ping(*id, (at / MILLI).to_string().into_bytes()));
            }
            if at - conn.since >= LIFE_NS {
                old.push(*id);
            }
        }
        for conn in old {
            self.forget(conn);
            out.push(Push::Close(conn));
        }
    }

    /// Tells everyone what happened at the exchange since the last time.
    fn publish(&mut self, now: Nanos, out: &mut Vec<Push>) {
        let mut events = std::mem::take(&mut self.events);
        self.venue.take_events(&mut events);
        for event in &events {
            self.market_data.on_event(event, self.venue.exchange(), out);
            self.tell_user(event);
            if let SimEventBody::FundingSettled { listing, rate_ppb } = event.body {
                let listing = self.venue.exchange().listing(listing);
                self.funding_paid.push((listing.symbol.clone(), rate_ppb, listing.mark, event.at));
                if self.funding_paid.len() > FUNDING_ROWS_MAX {
                    self.funding_paid.remove(0);
                }
            }
        }
        if !events.is_empty() {
            self.market_data.on_batch(self.venue.exchange(), now, out);
        }
        events.clear();
        self.events = events;
    }

    /// Queues private events; `TRADE_LITE` goes ahead of the full notice.
    fn tell_user(&mut self, event: &SimEvent) {
        let exchange = self.venue.exchange();
        let account = match &event.body {
            SimEventBody::Order { order, .. } => order.account,
            SimEventBody::Account { account, .. } => *account,
            _ => return,
        };
        let listeners = self.users.listeners(account);
        if listeners.is_empty() {
            return;
        }
        let sent = event.at + exchange.settings().latency_out_ns;
        let mut texts: Vec<(Nanos, String)> = Vec::new();
        match &event.body {
            SimEventBody::Order { order, exec } => {
                let listing = exchange.listing(order.listing);
                if let Exec::Trade(fill) = exec
                    && self.flavour == Flavour::Usdm
                    && !order.by_venue
                {
                    let early = event.at + exchange.settings().latency_out_ns * 3 / 4;
                    texts.push((early, user::trade_lite(listing, order, fill, event.at, early)));
                }
                texts.push((sent, user::order_trade_update(listing, order, *exec, event.at, sent)));
            }
            SimEventBody::Account { account, reason, wallet, change, listing, position } => {
                let contract = exchange.listing(*listing);
                let update = AccountUpdate {
                    listing: contract,
                    reason: *reason,
                    wallet: *wallet,
                    change: *change,
                    position: *position,
                    unrealised: exchange.account(*account).unrealised(listing.index(), contract),
                };
                texts.push((sent, user::account_update(&update, event.at, sent)));
            }
            _ => {}
        }
        for (due, text) in texts {
            for conn in &listeners {
                self.outbox.push(due, (*conn, text.clone()));
            }
        }
    }

    /// `SUBSCRIBE`, `UNSUBSCRIBE`, `LIST_SUBSCRIPTIONS` on a stream connection.
    fn control(&mut self, conn: SimConn, text: &[u8]) -> String {
        let invalid = |id: &Value, code: i64, what: &str| {
            format!("{{\"error\":{{\"code\":{code},\"msg\":{}}},\"id\":{id}}}", Value::from(what))
        };
        let Ok(request) = serde_json::from_slice::<Value>(text) else {
            return invalid(&Value::Null, 3, "Invalid JSON: expected value at line 1 column 1");
        };
        let id = request["id"].clone();
        let names: Option<Vec<String>> = request["params"]
            .as_array()
            .map(|params| params.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect());
        let method = request["method"].as_str().unwrap_or_default();
        match (method, names) {
            ("SUBSCRIBE", Some(names)) => {
                if !self.subscribe(conn, &names) {
                    return invalid(&id, 2, "Invalid request: too many streams");
                }
                format!("{{\"result\":null,\"id\":{id}}}")
            }
            ("UNSUBSCRIBE", Some(names)) => {
                let Some(Conn { role: Role::Streams { names: held, .. }, .. }) = self.conns.get_mut(&conn)
                else {
                    return invalid(&id, 2, "Invalid request: no streams here");
                };
                for name in &names {
                    if let Some(at) = held.iter().position(|(theirs, _)| theirs == name)
                        && let (_, Some(stream)) = held.remove(at)
                    {
                        self.market_data.unsubscribe(stream, conn);
                    }
                }
                format!("{{\"result\":null,\"id\":{id}}}")
            }
            ("LIST_SUBSCRIPTIONS", _) => {
                let names = match self.conns.get(&conn).map(|conn| &conn.role) {
                    Some(Role::Streams { names, .. }) => {
                        names.iter().map(|(name, _)| name.as_str()).collect()
                    }
                    _ => Vec::new(),
                };
                format!("{{\"result\":{},\"id\":{id}}}", Value::from(names))
            }
            ("SUBSCRIBE" | "UNSUBSCRIBE", None) => invalid(&id, 2, "Invalid request: missing field `params`"),
            (other, _) => invalid(&id, 2, &format!("Invalid request: unknown variant `{other}`")),
        }
    }

    fn subscribe(&mut self, conn: SimConn, wanted: &[String]) -> bool {
        let exchange = self.venue.exchange();
        let Some(Conn { role: Role::Streams { group, combined, names }, .. }) = self.conns.get_mut(&conn)
        else {
            return false;
        };
        if names.len() + wanted.len() > self.flavour.streams_max() {
            return false;
        }
        for name in wanted {
            if names.iter().any(|(held, _)| held == name) {
                continue;
            }
            let stream = Stream::parse(name, *group, exchange).filter(|stream| self.flavour.has(*stream));
            if let Some(stream) = stream {
                self.market_data.subscribe(stream, conn, name, *combined, exchange);
            }
            names.push((name.clone(), stream));
        }
        true
    }

    fn forget(&mut self, conn: SimConn) {
        self.conns.remove(&conn);
        self.market_data.forget(conn);
        self.users.forget(conn);
        self.sessions.remove(&conn);
    }
}

impl Server for BinanceServer {
    fn on_connect(&mut self, conn: SimConn, path: &str, now: Nanos, out: &mut Vec<Push>) -> bool {
        self.run(now, out);
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let asked = |name: &str| {
            query
                .split('&')
                .find_map(|pair| pair.strip_prefix(name).and_then(|rest| rest.strip_prefix('=')))
                .unwrap_or("")
        };
        let mut wanted = Vec::new();
        let role = if self.flavour.api_path() == Some(path) {
            Role::Api
        } else if let Some(key) = self.flavour.listen_key(path) {
            self.users.connect(conn, key);
            Role::User
        } else if self.flavour == Flavour::Usdm && (path == "/private/ws" || path == "/private/stream") {
            let key = if asked("listenKey").is_empty() { asked("streams") } else { asked("listenKey") };
            self.users.connect(conn, key);
            Role::User
        } else {
            let Some((group, rest)) = self.flavour.group(path) else { return false };
            let (combined, names) = match rest {
                "stream" => (true, asked("streams")),
                "ws" => (false, ""),
                rest => match rest.strip_prefix("ws/") {
                    Some(names) => (false, names),
                    None => return false,
                },
            };
            wanted = names.split('/').filter(|name| !name.is_empty()).map(str::to_owned).collect();
            Role::Streams { group, combined, names: Vec::new() }
        };
        let messages = RateWindow::new(self.venue.exchange().settings().messages_per_second_max, SECOND);
        self.conns.insert(conn, Conn { role, messages, since: now, ping_at: now + self.flavour.ping_ns() });
        if !wanted.is_empty() {
            self.subscribe(conn, &wanted);
        }
        true
    }

    fn on_text(&mut self, conn: SimConn, text: &[u8], now: Nanos, out: &mut Vec<Push>) {
        self.run(now, out);
        let Some(state) = self.conns.get_mut(&conn) else { return };
        match &state.role {
            Role::Api => match serde_json::from_slice::<Value>(text) {
                Ok(body) if body.is_object() => {
                    let latency = self.venue.exchange().settings().latency_in_ns;
                    self.inbox.push(now + latency, ApiRequest { conn, received: now, body });
                    self.run(now, out); // a latency of zero is matched at once
                }
                _ => out.push(Push::Text(conn, INVALID.as_bytes().to_vec())),
            },
            Role::Streams { .. } => {
                if !state.messages.take(1, now) {
                    self.forget(conn);
                    out.push(Push::Close(conn));
                    return;
                }
                let reply = self.control(conn, text);
                out.push(Push::Text(conn, reply.into_bytes()));
            }
            // Nothing is to be said on a user stream.
            Role::User => {}
        }
    }

    fn on_closed(&mut self, conn: SimConn, now: Nanos, out: &mut Vec<Push>) {
        self.run(now, out);
        self.forget(conn);
    }

    fn on_http(&mut self, request: &HttpRequest, now: Nanos, out: &mut Vec<Push>) -> HttpReply {
        self.run(now, out);
        let reply = self.answer(request, now);
        self.publish(now, out);
        reply
    }

    fn order_travel(&self, request: &HttpRequest) -> Option<Nanos> {
        let latency = self.venue.exchange().settings().latency_in_ns;
        let asks = request.method == "GET";
        request.path.ends_with("/order").then_some(if asks { 0 } else { latency })
    }

    fn reply_travel(&mut self) -> Nanos {
        let exchange = self.venue.exchange_mut();
        exchange.take_ack_delay() + exchange.settings().latency_out_ns
    }

    fn advance(&mut self, now: Nanos, out: &mut Vec<Push>) {
        self.run(now, out);
    }

    fn next_due(&self) -> Nanos {
        let Some(tick_at) = self.tick_at else { return Nanos::MIN };
        self.venue.next_due().min(tick_at).min(self.inbox.next_due()).min(self.outbox.next_due())
    }

    fn notice(&self, _conn: SimConn, now: Nanos) -> Option<Vec<u8>> {
        Some(format!(r#"{{"e":"serverShutdown","E":{}}}"#, now / MILLI).into_bytes())
    }

    fn is_private(&self, conn: SimConn) -> bool {
        self.conns.get(&conn).is_some_and(|conn| !matches!(conn.role, Role::Streams { .. }))
    }
}

impl LedgerServer for BinanceServer {
    fn ledger(&self) -> &VenueLedger {
        self.venue.exchange().ledger()
    }

    fn ledger_mut(&mut self) -> &mut VenueLedger {
        self.venue.exchange_mut().ledger_mut()
    }

    fn exchange(&self) -> Option<&Exchange> {
        Some(self.venue.exchange())
    }

    fn exchange_mut(&mut self) -> Option<&mut Exchange> {
        Some(self.venue.exchange_mut())
    }
}

#[cfg(test)]
mod tests;
