//! Hyperliquid as a simulated venue: `/info`, `/exchange` and the WebSocket as documented, over the
//! simulated exchange.
//!
//! A state machine of bytes and time: blocks that match posted actions and publish, the way of actions and replies, dead
//! man's switches and the cut of silent connections are due times, handled in order. Whoever acts is known
//! by recovering the signer's address from the signature. Shares nothing with `venue/hyperliquid` or the
//! egress gate. Simplifications: the market itself moves between blocks, and an action over HTTP, whose reply is due at
//! once, is a block of its own.

mod action;
mod address;
mod block;
mod feed;
mod info;
mod rows;
mod signature;
#[cfg(test)]
mod tests;
mod users;
mod wire;

use super::delay::DelayQueue;
use super::exchange::{AccountId, EndReason, Exchange, RateWindow, SimEvent, VenueLedger};
use super::market::SimVenue;
use super::{HttpReply, HttpRequest, LedgerServer, Push, Server, SimConfig, SimConn};
use crate::domain::time::{MILLI, Nanos, SECOND};
use address::Address;
use feed::Feed;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use users::UserChannel;

/// Time between blocks.
const BLOCK: Nanos = 70 * MILLI;
/// Blocks between books.
const BOOK_BLOCKS: i64 = 7;
/// Time between asset contexts.
const CONTEXT_EVERY: Nanos = SECOND;
/// A connection to which nothing was sent for this long is cut.
const SILENCE_MAX: Nanos = 60 * SECOND;
/// Actions of a signer that are remembered by their nonce.
const NONCES_MAX: usize = 100;
/// Triggers of a dead man's switch per UTC day.
const TRIGGERS_PER_DAY_MAX: u32 = 10;

/// A connected client.
#[derive(Clone, Debug, Default)]
struct Client {
    /// Private subscriptions: channel and the address as it was given.
    users: Vec<(UserChannel, String)>,
    /// When something was last sent to it.
    spoken_at: Nanos,
    /// It has posted an action.
    posts: bool,
}

/// Something between a client and the matching engine.
enum Travel {
    /// A posted action, due at the engine.
    Action { conn: SimConn, id: u64, payload: Value },
    /// A message, due at a client.
    Message(SimConn, String),
}

/// A dead man's switch.
#[derive(Clone, Copy, Debug, Default)]
struct Switch {
    due: Option<Nanos>,
    day: i64,
    triggers: u32,
}

/// The protocol server of one Hyperliquid-like venue.
pub struct HyperliquidServer {
    venue: SimVenue,
    /// Address of each account's agent, by position in the configuration.
    agents: Vec<String>,
    clients: BTreeMap<SimConn, Client>,
    feed: Feed,
    under_way: DelayQueue<Travel>,
    /// Actions that wait for their block, as they came.
    pending: Vec<(SimConn, u64, Value)>,
    nonces: BTreeMap<String, Vec<u64>>,
    switches: BTreeMap<AccountId, Switch>,
    /// What each account's address has done and traded.
    addresses: BTreeMap<AccountId, Address>,
    /// Wall time of the start.
    started: Nanos,
    weight: RateWindow,
    /// Next block, next context; 0 until the market opens.
    block_at: Nanos,
    context_at: Nanos,
    events: Vec<SimEvent>,
}

impl HyperliquidServer {
    /// The `venue`-th venue of a checked configuration.
    pub fn new(config: &SimConfig, venue: usize) -> Self {
        let settings = &config.venues[venue];
        Self {
            venue: SimVenue::new(config, venue),
            agents: settings
                .accounts
                .iter()
                .map(|account| signature::address_of_key(&account.secret).unwrap_or_default())
                .collect(),
            clients: BTreeMap::new(),
            feed: Feed::new(settings.listings.len()),
            under_way: DelayQueue::default(),
            pending: Vec::new(),
            nonces: BTreeMap::new(),
            switches: BTreeMap::new(),
            addresses: (1..)
                .map(AccountId)
                .zip(&settings.accounts)
                .map(|(id, account)| (id, Address::new(settings, account)))
                .collect(),
            started: config.start_wall_ns,
            weight: RateWindow::new(settings.weight_per_minute_max, 60 * SECOND),
            block_at: 0,
            context_at: 0,
            events: Vec::new(),
        }
    }

    /// Does all that is due up to `now`, in order of time.
    fn run_to(&mut self, now: Nanos, out: &mut Vec<Push>) {
        let before = out.len();
        if self.block_at == 0 {
            self.venue.advance(now);
            self.block_at = (now.div_euclid(BLOCK) + 1) * BLOCK;
            self.context_at = (now.div_euclid(CONTEXT_EVERY) + 1) * CONTEXT_EVERY;
        }
        self.collect();
        loop {
            let due = self.next_due();
            if due > now {
                break;
            }
            if self.venue.next_due() <= due {
                self.venue.advance(due);
                self.collect();
            }
            while let Some((_, travel)) = self.under_way.pop_due(due) {
                self.arrive(travel, due, out);
            }
            self.run_switches(due);
            if self.block_at <= due {
                self.run_block(due);
                let books = (self.block_at / BLOCK) % BOOK_BLOCKS == 0;
                self.feed.publish(self.venue.exchange(), due, books, out);
                self.block_at += BLOCK;
            }
            if self.context_at <= due {
                self.feed.publish_contexts(self.venue.exchange(), out);
                self.context_at += CONTEXT_EVERY;
                self.cut_silent(due, before, out);
            }
        }
        for push in &out[before..] {
            if let Push::Text(conn, _) = push
                && let Some(client) = self.clients.get_mut(conn)
            {
                client.spoken_at = now;
            }
        }
    }

    fn say(&mut self, conn: SimConn, text: String, now: Nanos, out: &mut Vec<Push>) {
        if let Some(client) = self.clients.get_mut(&conn) {
            client.spoken_at = now;
            out.push(Push::Text(conn, text.into_bytes()));
        }
    }

    /// Time of the last block.
    fn block_time(&self, now: Nanos) -> Nanos {
        now.div_euclid(BLOCK) * BLOCK
    }

    /// A reply to a posted request, after the way out.
    fn reply(&mut self, conn: SimConn, id: u64, response: Value, at: Nanos) {
        let late = self.venue.exchange_mut().take_ack_delay();
        let due = at + self.venue.exchange().settings().latency_out_ns + late;
        let text = json!({"channel": "post", "data": {"id": id, "response": response}}).to_string();
        self.under_way.push(due, Travel::Message(conn, text));
    }

    fn cut_silent(&mut self, now: Nanos, before: usize, out: &mut Vec<Push>) {
        let spoken =
            |conn: SimConn| out[before..].iter().any(|push| matches!(push, Push::Text(to, _) if *to == conn));
        let silent = self.clients.iter().filter(|(_, client)| client.spoken_at + SILENCE_MAX <= now);
        let silent: Vec<SimConn> = silent.map(|(conn, _)| *conn).filter(|conn| !spoken(*conn)).collect();
        for conn in silent {
            out.push(Push::Close(conn));
            self.forget(conn);
        }
    }

    fn run_switches(&mut self, now: Nanos) {
        let due: Vec<AccountId> = self
            .switches
            .iter()
            .filter(|(_, switch)| switch.due.is_some_and(|at| at <= now))
            .map(|(account, _)| *account)
            .collect();
        for account in due {
            if let Some(switch) = self.switches.get_mut(&account) {
                switch.due = None;
                switch.triggers += 1;
            }
            self.venue.exchange_mut().cancel_all(account, None, EndReason::Countdown, now);
            self.collect();
        }
    }

    fn forget(&mut self, conn: SimConn) {
        self.clients.remove(&conn);
        self.feed.forget(conn);
    }

    fn on_message(&mut self, conn: SimConn, text: &[u8], now: Nanos, out: &mut Vec<Push>) {
        let shown = String::from_utf8_lossy(text);
        let request: Value = serde_json::from_slice(text).unwrap_or_default();
        match request["method"].as_str() {
            Some("ping") => self.say(conn, r#"{"channel":"pong"}"#.into(), now, out),
            Some(method @ ("subscribe" | "unsubscribe")) => {
                match self.subscribe(conn, method, &request["subscription"], now, out) {
                    Ok(()) => {}
                    Err(text) => {
                        self.say(conn, json!({"channel": "error", "data": text}).to_string(), now, out);
                    }
                }
            }
            Some("post") if request["id"].is_u64() => {
                let id = request["id"].as_u64().unwrap_or_default();
                let payload = &request["request"]["payload"];
                match request["request"]["type"].as_str() {
                    Some("action") => {
                        self.clients.entry(conn).and_modify(|client| client.posts = true);
                        let due = now + self.venue.exchange().settings().latency_in_ns;
                        self.under_way.push(due, Travel::Action { conn, id, payload: payload.clone() });
                    }
                    Some("info") => {
                        let response = match self.info(payload, now) {
                            Ok(data) => {
                                json!({"type": "info", "payload": {"type": payload["type"], "data": data}})
                            }
                            Err(text) => json!({"type": "error", "payload": text}),
                        };
                        self.reply(conn, id, response, now);
                    }
                    _ => {
                        let response = json!({"type": "error", "payload": "Failed to deserialize the JSON body into the target type"});
                        self.reply(conn, id, response, now);
                    }
                }
            }
            _ => {
                let text = format!("Error parsing JSON into valid websocket request: {shown}");
                self.say(conn, json!({"channel": "error", "data": text}).to_string(), now, out);
            }
        }
    }
}

impl Server for HyperliquidServer {
    fn on_connect(&mut self, conn: SimConn, path: &str, now: Nanos, out: &mut Vec<Push>) -> bool {
        self.run_to(now, out);
        if path.split('?').next() != Some("/ws") {
            return false;
        }
        self.clients.insert(conn, Client { spoken_at: now, ..Client::default() });
        true
    }

    fn on_text(&mut self, conn: SimConn, text: &[u8], now: Nanos, out: &mut Vec<Push>) {
        self.run_to(now, out);
        if self.clients.contains_key(&conn) {
            self.on_message(conn, text, now, out);
            self.run_to(now, out); // a venue without latency answers at once
        }
    }

    fn on_closed(&mut self, conn: SimConn, now: Nanos, out: &mut Vec<Push>) {
        self.run_to(now, out);
        self.forget(conn);
    }

    fn on_http(&mut self, request: &HttpRequest, now: Nanos, out: &mut Vec<Push>) -> HttpReply {
        self.run_to(now, out);
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let known = request.method == "POST" && matches!(request.path.as_str(), "/info" | "/exchange");
        if !known {
            return wire::reply(404, Value::Null);
        }
        if !self.weight.take(info::weight(&request.path, &body), now) {
            return wire::reply(429, Value::Null);
        }
        if request.path == "/exchange" {
            let reply = self.act(&body, now);
            self.run_to(now, out);
            return wire::reply(200, reply);
        }
        match self.info(&body, now) {
            Ok(data) => wire::reply(200, data),
            Err(text) => wire::reply(422, text.into()),
        }
    }

    fn advance(&mut self, now: Nanos, out: &mut Vec<Push>) {
        self.run_to(now, out);
    }

    fn next_due(&self) -> Nanos {
        if self.block_at == 0 {
            return Nanos::MIN; // opens at once
        }
        let switch = self.switches.values().filter_map(|switch| switch.due).min().unwrap_or(Nanos::MAX);
        self.block_at
            .min(self.context_at)
            .min(switch)
            .min(self.venue.next_due())
            .min(self.under_way.next_due())
    }

    fn is_private(&self, conn: SimConn) -> bool {
        self.clients.get(&conn).is_some_and(|client| client.posts || !client.users.is_empty())
    }
}

impl LedgerServer for HyperliquidServer {
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
