//! Deribit perpetuals as a simulated venue: JSON-RPC 2.0 over WebSocket and HTTP as documented for API v2, over
//! the simulated exchange (linear USDC contracts).
//!
//! A state machine of bytes and time. Publications, heartbeats, and the way of orders to matching and back are
//! due times in [`DeribitServer::next_due`], handled in order of time. Shares nothing with `venue/deribit`.

mod auth;
mod feed;
mod history;
mod limits;
mod news;
mod private;
mod request;
mod session;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_http;
mod trade;
mod wire;

use super::delay::DelayQueue;
use super::exchange::{SimEvent, VenueLedger};
use super::market::SimVenue;
use super::{HttpReply, HttpRequest, LedgerServer, Push, Server, SimConfig, SimConn};
use crate::domain::time::{MILLI, Nanos};
use feed::Feed;
use limits::Limits;
use session::Client;
use std::collections::BTreeMap;
use trade::OrderRequest;

/// The protocol server of one Deribit-like venue.
pub struct DeribitServer {
    venue: SimVenue,
    clients: BTreeMap<SimConn, Client>,
    feed: Feed,
    /// Requests on their way in, messages on their way out.
    under_way: DelayQueue<Travel>,
    limits: Limits,
    /// When books, trades and tickers are published next; `None` until the market opens.
    publish_at: Option<Nanos>,
    events: Vec<SimEvent>,
}

/// Something between a client and the matching engine.
enum Travel {
    /// An order request, due at the engine.
    Request(Box<OrderRequest>),
    /// A message, due at a client.
    Message(SimConn, String),
}

/// Interval of the `100ms` channels.
const INTERVAL: Nanos = 100 * MILLI;

impl DeribitServer {
    /// The `venue`-th venue of a checked configuration.
    pub fn new(config: &SimConfig, venue: usize) -> Self {
        Self {
            venue: SimVenue::new(config, venue),
            clients: BTreeMap::new(),
            feed: Feed::new(config.venues[venue].listings.len()),
            under_way: DelayQueue::default(),
            limits: Limits::new(&config.venues[venue]),
            publish_at: None,
            events: Vec::new(),
        }
    }

    /// Does all that is due up to `now`, in order of time.
    fn run_to(&mut self, now: Nanos, out: &mut Vec<Push>) {
        if self.publish_at.is_none() {
            self.venue.advance(now);
            self.collect();
            self.publish_at = Some((now.div_euclid(INTERVAL) + 1) * INTERVAL);
        }
        self.publish(now, out);
        loop {
            let due = self.next_due();
            if due > now {
                break;
            }
            if self.venue.next_due() <= due {
                self.venue.advance(due);
                self.collect();
            }
            self.publish(due, out);
            while let Some((at, travel)) = self.under_way.pop_due(due) {
                match travel {
                    Travel::Request(request) => self.run_request(&request, at),
                    Travel::Message(conn, text) if self.clients.contains_key(&conn) => {
                        out.push(Push::Text(conn, text.into_bytes()));
                    }
                    Travel::Message(..) => {}
                }
                self.publish(due, out);
            }
            self.beat(due, out);
            if let Some(at) = self.publish_at.filter(|at| *at <= due) {
                self.publish_at = Some(at + INTERVAL);
                self.feed.publish_interval(self.venue.exchange(), at, out);
            }
        }
    }

    /// Heartbeats; who did not answer the last test is cut.
    fn beat(&mut self, now: Nanos, out: &mut Vec<Push>) {
        let due: Vec<SimConn> =
            self.clients.iter().filter(|(_, client)| client.beat_at <= now).map(|(conn, _)| *conn).collect();
        for conn in due {
            let Some(client) = self.clients.get_mut(&conn) else { continue };
            if client.tested {
                out.push(Push::Close(conn));
                self.forget(conn, now);
                continue;
            }
            client.tested = true;
            client.beat_at = now + client.beat_every;
            let text = |kind: &str| {
                // In this order of keys, as captured.
                format!(r#"{{"params":{{"type":"{kind}"}},"method":"heartbeat","jsonrpc":"2.0"}}"#)
                    .into_bytes()
            };
            out.push(Push::Text(conn, text("heartbeat")));
            out.push(Push::Text(conn, text("test_request")));
        }
    }
}

impl Server for DeribitServer {
    fn on_connect(&mut self, conn: SimConn, path: &str, now: Nanos, out: &mut Vec<Push>) -> bool {
        self.run_to(now, out);
        if path.split('?').next() != Some("/ws/api/v2") {
            return false;
        }
        self.clients.insert(conn, Client::default());
        true
    }

    fn on_text(&mut self, conn: SimConn, text: &[u8], now: Nanos, out: &mut Vec<Push>) {
        self.run_to(now, out);
        if let Some(client) = self.clients.get_mut(&conn) {
            client.tested = false;
            self.on_request(conn, text, now, out);
            self.run_to(now, out); // a venue without latency answers at once
        }
    }

    fn on_closed(&mut self, conn: SimConn, now: Nanos, out: &mut Vec<Push>) {
        self.run_to(now, out);
        self.forget(conn, now);
        self.run_to(now, out);
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
        let Some(publish_at) = self.publish_at else {
            return Nanos::MIN; // opens at once
        };
        let beat = self.clients.values().map(|client| client.beat_at).min().unwrap_or(Nanos::MAX);
        publish_at.min(beat).min(self.venue.next_due()).min(self.under_way.next_due())
    }

    fn is_private(&self, conn: SimConn) -> bool {
        self.clients.get(&conn).is_some_and(|client| client.account.is_some())
    }
}

impl LedgerServer for DeribitServer {
    fn ledger(&self) -> &VenueLedger {
        self.venue.exchange().ledger()
    }

    fn ledger_mut(&mut self) -> &mut VenueLedger {
        self.venue.exchange_mut().ledger_mut()
    }
}
