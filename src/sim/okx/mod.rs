//! OKX swaps as a simulated venue: WebSocket and REST as documented for API v5, over the simulated exchange.
//!
//! A state machine of bytes and time. Publications, the way of orders to matching and back, dead man's switches and
//! the cut of silent clients are all due times in [`OkxServer::next_due`], handled in order of time. Shares nothing
//! with `venue/okx`.

mod auth;
mod feed;
mod frames;
mod instruments;
mod news;
mod private;
mod request;
mod rest;
mod session;
#[cfg(test)]
mod tests;
mod trade;
mod wire;

use super::delay::DelayQueue;
use super::exchange::{AccountId, EndReason, Exchange, SimEvent, Terms, VenueLedger};
use super::market::SimVenue;
use super::{HttpReply, HttpRequest, LedgerServer, Push, Server, SimConfig, SimConn};
use crate::domain::time::{MICRO, MILLI, Nanos, SECOND};
use feed::Feed;
use request::OrderRequest;
use session::{Channel, Client, Endpoint};
use std::collections::BTreeMap;
use trade::Limits;

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
    /// What was told of each listing.
    told: Vec<Terms>,
}

/// Something between a client and the matching engine.
enum Travel {
    /// An order request, due at the engine.
    Request(Box<OrderRequest>),
    /// A message, due at a client.
    Message(SimConn, String),
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
            told: vec![Terms::default(); config.venues[venue].listings.len()],
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
            Timer::Marks => {
                self.feed.publish_marks(exchange, at, out);
                self.tell_changes(at, out);
            }
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

    /// Tells who follows `instruments` what changed.
    fn tell_changes(&mut self, at: Nanos, out: &mut Vec<Push>) {
        let exchange = self.venue.exchange();
        let mut changed = Vec::new();
        for (before, listing) in self.told.iter_mut().zip(exchange.listings()) {
            let terms = listing.terms(at);
            if std::mem::replace(before, terms) != terms {
                changed.push(instruments::instrument(exchange, listing, at));
            }
        }
        if changed.is_empty() {
            return;
        }
        for (conn, client) in &self.clients {
            for follower in client.subscriptions.iter().filter(|s| s.channel == Channel::Instruments) {
                let text = serde_json::json!({"arg": follower.arg, "data": changed}).to_string();
                out.push(Push::Text(*conn, text.into_bytes()));
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

    fn forget(&mut self, conn: SimConn) {
        self.clients.remove(&conn);
        self.feed.forget(conn);
    }
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

    fn order_travel(&self, request: &HttpRequest) -> Option<Nanos> {
        let latency = self.venue.exchange().settings().latency_in_ns;
        rest::is_about_an_order(&request.path).then_some(if request.method == "GET" { 0 } else { latency })
    }

    fn reply_travel(&mut self) -> Nanos {
        let exchange = self.venue.exchange_mut();
        exchange.take_ack_delay() + exchange.settings().latency_out_ns
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

    fn notice(&self, conn: SimConn, _now: Nanos) -> Option<Vec<u8>> {
        let text = format!(
            r#"{{"event":"notice","code":"64008","msg":"The connection will soon be closed for a service upgrade. Please reconnect.","connId":"{:08x}"}}"#,
            conn.0
        );
        Some(text.into_bytes())
    }

    fn is_private(&self, conn: SimConn) -> bool {
        self.clients.get(&conn).is_some_and(|client| client.endpoint == Endpoint::Private)
    }
}

impl LedgerServer for OkxServer {
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
