//! Bybit linear perpetuals as a simulated venue: WebSocket and REST as documented for API v5, over the
//! simulated exchange.
//!
//! A state machine of bytes and time. Publications, the way of orders to matching and back and the cut of
//! silent clients are due times in [`BybitServer::next_due`], handled in order of time. Shares nothing with
//! `venue/bybit`.

mod auth;
mod feed;
mod private;
mod request;
mod rest;
mod settings;
#[cfg(test)]
mod tests;
mod trade;
mod wire;

use super::delay::DelayQueue;
use super::exchange::{AccountId, EndReason, Exchange, RateWindow, SimEvent, SimEventBody, VenueLedger};
use super::market::SimVenue;
use super::{HttpReply, HttpRequest, LedgerServer, Push, Server, SimConfig, SimConn};
use crate::domain::time::{MICRO, MILLI, Nanos, SECOND};
use feed::Feed;
use request::{Client, OrderRequest, Service};
use std::collections::BTreeMap;

/// The protocol server of one Bybit-like venue.
pub struct BybitServer {
    venue: SimVenue,
    clients: BTreeMap<SimConn, Client>,
    feed: Feed,
    /// Requests on their way in, messages on their way out.
    under_way: DelayQueue<Travel>,
    /// Requests per account and path.
    budgets: BTreeMap<(AccountId, &'static str), RateWindow>,
    /// Seconds without a protected connection after which an account's orders are cancelled, where changed.
    windows: BTreeMap<AccountId, i64>,
    /// When that will be.
    countdowns: BTreeMap<AccountId, Nanos>,
    /// When each of [`TIMERS`] is due; empty until the market opens.
    timers: Vec<Nanos>,
    events: Vec<SimEvent>,
    /// Private messages so far: their `id`.
    pushed: u64,
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
    Best,
    Books,
    Tickers,
    Limits,
    Silence,
}

const TIMERS: [(Nanos, Timer); 5] = [
    (10 * MILLI, Timer::Best),
    (20 * MILLI, Timer::Books),
    (100 * MILLI, Timer::Tickers),
    (300 * MILLI, Timer::Limits),
    (SECOND, Timer::Silence),
];

/// Private topics tell of an order this much later than its acknowledgement leaves.
const TOPIC_DELAY: Nanos = 50 * MICRO;
/// A client that sends nothing for this long is cut.
const SILENCE_MAX: Nanos = 600 * SECOND;

impl BybitServer {
    /// The `venue`-th venue of a checked configuration.
    pub fn new(config: &SimConfig, venue: usize) -> Self {
        Self {
            venue: SimVenue::new(config, venue),
            clients: BTreeMap::new(),
            feed: Feed::new(config.venues[venue].listings.len()),
            under_way: DelayQueue::default(),
            budgets: BTreeMap::new(),
            windows: BTreeMap::new(),
            countdowns: BTreeMap::new(),
            timers: Vec::new(),
            events: Vec::new(),
            pushed: 0,
        }
    }

    /// Does all that is due up to `now`, in order of time.
    fn run_to(&mut self, now: Nanos, out: &mut Vec<Push>) {
        if self.timers.is_empty() {
            self.venue.advance(now);
            self.collect();
            self.timers = TIMERS.iter().map(|(period, _)| (now.div_euclid(*period) + 1) * period).collect();
        }
        self.publish(out);
        loop {
            let due = self.next_due();
            if due > now {
                break;
            }
            if self.venue.next_due() <= due {
                self.venue.advance(due);
                self.collect();
            }
            self.publish(out);
            while let Some((at, travel)) = self.under_way.pop_due(due) {
                match travel {
                    Travel::Request(request) => self.run_request(*request, at),
                    Travel::Message(conn, text) if self.clients.contains_key(&conn) => {
                        out.push(Push::Text(conn, text.into_bytes()));
                    }
                    Travel::Message(..) => {}
                }
                self.publish(out);
            }
            self.run_countdowns(due);
            self.publish(out);
            for (index, (period, timer)) in TIMERS.iter().enumerate() {
                if self.timers[index] <= due {
                    self.timers[index] += period;
                    self.run_timer(*timer, due, out);
                }
            }
        }
    }

    fn run_timer(&mut self, timer: Timer, at: Nanos, out: &mut Vec<Push>) {
        let exchange = self.venue.exchange();
        match timer {
            Timer::Best => self.feed.publish_books(exchange, feed::BEST, at, out),
            Timer::Books => self.feed.publish_books(exchange, feed::BOOK, at, out),
            Timer::Tickers => self.feed.publish_tickers(exchange, at, out),
            Timer::Limits => self.feed.publish_limits(exchange, at, out),
            Timer::Silence => {
                let silent = self.clients.iter().filter(|(_, client)| client.active_at + SILENCE_MAX <= at);
                let silent: Vec<SimConn> = silent.map(|(conn, _)| *conn).collect();
                for conn in silent {
                    out.push(Push::Close(conn));
                    self.forget(conn, at);
                }
            }
        }
    }

    /// Takes what happened at the exchange: private news set out for their clients at once, public news are
    /// published by the next [`BybitServer::publish`].
    fn collect(&mut self) {
        let from = self.events.len();
        self.venue.take_events(&mut self.events);
        for event in self.events.split_off(from) {
            match &event.body {
                SimEventBody::Order { order, exec } => self.push_order(order, exec, event.at),
                SimEventBody::Account { account, listing, change, reason, .. } => {
                    if *account != AccountId::MARKET {
                        self.push_account(*account, *listing, *reason, *change, event.at);
                    }
                }
                _ => self.events.push(event),
            }
        }
    }

    /// Publishes trades and marks what else has changed.
    fn publish(&mut self, out: &mut Vec<Push>) {
        let exchange = self.venue.exchange();
        for event in self.events.drain(..) {
            if let SimEventBody::Trade(trade) = event.body {
                self.feed.on_trade(exchange, trade, event.at, out);
            }
        }
    }

    fn run_countdowns(&mut self, now: Nanos) {
        while let Some((&account, _)) = self.countdowns.iter().find(|(_, at)| **at <= now) {
            self.countdowns.remove(&account);
            self.venue.exchange_mut().cancel_all(account, None, EndReason::Countdown, now);
            self.collect();
        }
    }

    /// A connection is gone. With the last one that was protected its account's countdown begins.
    fn forget(&mut self, conn: SimConn, now: Nanos) {
        let gone = self.clients.remove(&conn);
        self.feed.forget(conn);
        let protected = |client: &Client| client.topics.contains(settings::PROTECTED);
        let Some(account) = gone.filter(protected).and_then(|client| client.account) else { return };
        let another =
            self.clients.values().any(|client| client.account == Some(account) && protected(client));
        if !another && self.venue.exchange().account_settings(account).disconnect_protection {
            self.countdowns.insert(account, now + self.window_of(account) * SECOND);
        }
    }
}

impl Server for BybitServer {
    fn on_connect(&mut self, conn: SimConn, path: &str, now: Nanos, out: &mut Vec<Push>) -> bool {
        self.run_to(now, out);
        let Some(service) = Service::of_path(path) else { return false };
        self.clients.insert(conn, Client::new(service, conn.0, now));
        true
    }

    fn on_text(&mut self, conn: SimConn, text: &[u8], now: Nanos, out: &mut Vec<Push>) {
        self.run_to(now, out);
        let Some(client) = self.clients.get_mut(&conn) else { return };
        client.active_at = now;
        self.on_request(conn, text, now, out);
        self.run_to(now, out); // a venue without latency answers at once
    }

    fn on_closed(&mut self, conn: SimConn, now: Nanos, out: &mut Vec<Push>) {
        self.run_to(now, out);
        self.forget(conn, now);
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

    fn is_private(&self, conn: SimConn) -> bool {
        self.clients.get(&conn).is_some_and(|client| client.service != Service::Public)
    }
}

impl LedgerServer for BybitServer {
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
