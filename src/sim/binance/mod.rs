//! Binance USDⓈ-M futures as a simulated venue.

use super::exchange::VenueLedger;
use super::market::SimVenue;
use super::{HttpReply, HttpRequest, LedgerServer, Push, Server, SimConfig, SimConn};
use crate::domain::time::Nanos;

/// The protocol server.
pub struct BinanceServer {
    venue: SimVenue,
}

impl BinanceServer {
    /// The `venue`-th venue of a checked configuration.
    pub fn new(config: &SimConfig, venue: usize) -> Self {
        Self { venue: SimVenue::new(config, venue) }
    }
}

impl Server for BinanceServer {
    fn on_connect(&mut self, _conn: SimConn, _path: &str, _now: Nanos, _out: &mut Vec<Push>) -> bool {
        false
    }
    fn on_text(&mut self, _conn: SimConn, _text: &[u8], _now: Nanos, _out: &mut Vec<Push>) {}
    fn on_closed(&mut self, _conn: SimConn, _now: Nanos, _out: &mut Vec<Push>) {}
    fn on_http(&mut self, _request: &HttpRequest, _now: Nanos, _out: &mut Vec<Push>) -> HttpReply {
        HttpReply { status: 404, headers: Vec::new(), body: b"{}".to_vec() }
    }
    fn advance(&mut self, now: Nanos, _out: &mut Vec<Push>) {
        self.venue.advance(now);
        self.venue.take_events(&mut Vec::new());
    }
    fn next_due(&self) -> Nanos {
        self.venue.next_due()
    }
}

impl LedgerServer for BinanceServer {
    fn ledger(&self) -> &VenueLedger {
        self.venue.exchange().ledger()
    }
    fn ledger_mut(&mut self) -> &mut VenueLedger {
        self.venue.exchange_mut().ledger_mut()
    }
}
