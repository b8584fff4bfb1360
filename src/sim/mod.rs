//! Simulated venues: matching, accounts, a seeded market, and each venue's documented protocol.
//!
//! Sans-I/O: a [`Server`] is driven by wall time and bytes, so the same venue runs behind real sockets
//! (`socket.rs`), and in process under a simulated clock. Shares no encoder or decoder with `venue/`:
//! one's mistake must not hide the other's. Prices here are its own; only the plain words of `domain` are
//! common.

pub mod binance;
pub mod bybit;
pub mod config;
pub mod delay;
pub mod deribit;
pub mod exchange;
pub mod faults;
pub mod frames;
pub mod hyperliquid;
pub mod market;
pub mod okx;
pub mod socket;

pub use config::{
    ConfigError, SimAccount, SimAccountSettings, SimConfig, SimInstrument, SimListing, SimVenueConfig,
};
pub use exchange::{Exchange, VenueLedger};
pub use faults::{FaultCounts, FaultError, FaultPlan};

use crate::domain::time::Nanos;
use faults::Faulty;
use std::path::Path;

/// A client connection of one simulated venue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SimConn(pub u32);

/// What a simulated venue does to its clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Push {
    /// A WebSocket text message.
    Text(SimConn, Vec<u8>),
    /// A WebSocket ping.
    Ping(SimConn, Vec<u8>),
    /// Close the connection.
    Close(SimConn),
}

/// An HTTP request as it arrives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpRequest {
    /// `GET`, `POST`, …
    pub method: String,
    /// Path without query.
    pub path: String,
    /// Query without `?`, exactly as sent.
    pub query: String,
    /// Header names in lower case.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
}

/// An HTTP reply. Status 0 is none: the request came, and the connection ends without a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpReply {
    /// Status code.
    pub status: u16,
    /// Extra headers.
    pub headers: Vec<(String, String)>,
    /// Body (JSON).
    pub body: Vec<u8>,
}

/// A simulated venue: its whole behaviour as a state machine. `now` is wall time, ns since the epoch.
///
/// Inputs must come in rising time; the server first advances its market to `now`, then handles them.
pub trait Server: Send {
    /// A WebSocket upgrade on `path` (with query). False refuses it (404).
    fn on_connect(&mut self, conn: SimConn, path: &str, now: Nanos, out: &mut Vec<Push>) -> bool;
    /// A text message of a client.
    fn on_text(&mut self, conn: SimConn, text: &[u8], now: Nanos, out: &mut Vec<Push>);
    /// The client is gone.
    fn on_closed(&mut self, conn: SimConn, now: Nanos, out: &mut Vec<Push>);
    /// An HTTP request.
    fn on_http(&mut self, request: &HttpRequest, now: Nanos, out: &mut Vec<Push>) -> HttpReply;
    /// How long a request about an order travels inside the venue to its matching engine: whoever owns the
    /// transport holds it for so long, and then hands it over by [`Server::on_http`]. `None` = about no order.
    fn order_travel(&self, _request: &HttpRequest) -> Option<Nanos> {
        None
    }
    /// How long the reply to such a request travels back; to be asked once, right after [`Server::on_http`].
    fn reply_travel(&mut self) -> Nanos {
        0
    }
    /// Moves the market, timers and publications to `now`.
    fn advance(&mut self, now: Nanos, out: &mut Vec<Push>);
    /// When `advance` has something to do next.
    fn next_due(&self) -> Nanos;
    /// How the venue announces on that connection that it will soon be cut; `None` = it does not.
    fn notice(&self, _conn: SimConn, _now: Nanos) -> Option<Vec<u8>> {
        None
    }
    /// Orders or the news of an account travel on that connection, as far as the venue knows by now.
    fn is_private(&self, _conn: SimConn) -> bool {
        false
    }
}

/// A server whose venue keeps books.
pub trait LedgerServer: Server {
    /// The venue's books of account.
    fn ledger(&self) -> &VenueLedger;
    /// The same with the frame hashes up to date.
    fn ledger_mut(&mut self) -> &mut VenueLedger;
    /// Writes the books to a directory (`--ledger DIR`): see [`VenueLedger::write`].
    fn write_ledger(&mut self, dir: &Path) -> std::io::Result<()> {
        self.ledger_mut().write(dir)
    }
    /// What the venue runs on, where it is an [`exchange`]: where faults of matching and accounts strike.
    fn exchange(&self) -> Option<&Exchange> {
        None
    }
    /// The same, to be told of faults.
    fn exchange_mut(&mut self) -> Option<&mut Exchange> {
        None
    }
    /// The faults that there were (see [`faults`]).
    fn faults(&self) -> FaultCounts {
        FaultCounts::default()
    }
}

impl<S: Server + ?Sized> Server for Box<S> {
    fn on_connect(&mut self, conn: SimConn, path: &str, now: Nanos, out: &mut Vec<Push>) -> bool {
        (**self).on_connect(conn, path, now, out)
    }

    fn on_text(&mut self, conn: SimConn, text: &[u8], now: Nanos, out: &mut Vec<Push>) {
        (**self).on_text(conn, text, now, out);
    }

    fn on_closed(&mut self, conn: SimConn, now: Nanos, out: &mut Vec<Push>) {
        (**self).on_closed(conn, now, out);
    }

    fn on_http(&mut self, request: &HttpRequest, now: Nanos, out: &mut Vec<Push>) -> HttpReply {
        (**self).on_http(request, now, out)
    }

    fn order_travel(&self, request: &HttpRequest) -> Option<Nanos> {
        (**self).order_travel(request)
    }

    fn reply_travel(&mut self) -> Nanos {
        (**self).reply_travel()
    }

    fn advance(&mut self, now: Nanos, out: &mut Vec<Push>) {
        (**self).advance(now, out);
    }

    fn next_due(&self) -> Nanos {
        (**self).next_due()
    }

    fn notice(&self, conn: SimConn, now: Nanos) -> Option<Vec<u8>> {
        (**self).notice(conn, now)
    }

    fn is_private(&self, conn: SimConn) -> bool {
        (**self).is_private(conn)
    }
}

impl<S: LedgerServer + ?Sized> LedgerServer for Box<S> {
    fn ledger(&self) -> &VenueLedger {
        (**self).ledger()
    }

    fn ledger_mut(&mut self) -> &mut VenueLedger {
        (**self).ledger_mut()
    }

    fn exchange(&self) -> Option<&Exchange> {
        (**self).exchange()
    }

    fn exchange_mut(&mut self) -> Option<&mut Exchange> {
        (**self).exchange_mut()
    }

    fn faults(&self) -> FaultCounts {
        (**self).faults()
    }
}

/// Makes the server of a venue of a checked configuration.
type Build = fn(&SimConfig, usize) -> Box<dyn LedgerServer>;

/// Every dialect that a simulated venue speaks. Its fees, limits and listings are in [`config`].
pub const DIALECTS: [(&str, Build); 7] = [
    ("binance-usdm", |config, venue| Box::new(binance::BinanceServer::new(config, venue))),
    ("binance-coinm", |config, venue| Box::new(binance::BinanceServer::new(config, venue))),
    ("okx", |config, venue| Box::new(okx::OkxServer::new(config, venue))),
    ("bybit", |config, venue| Box::new(bybit::BybitServer::new(config, venue))),
    ("deribit", |config, venue| Box::new(deribit::DeribitServer::new(config, venue))),
    ("hyperliquid", |config, venue| Box::new(hyperliquid::HyperliquidServer::new(config, venue))),
    ("aster", |config, venue| Box::new(binance::BinanceServer::new(config, venue))),
];

/// The first venue of `config` that speaks `dialect`, its frames hashed; `None` when there is none.
pub fn server(dialect: &str, config: &SimConfig) -> Option<Box<dyn LedgerServer>> {
    server_at(config, config.venue(dialect)?).ok()
}

/// The `venue`-th venue of `config`, its frames hashed.
pub fn server_at(config: &SimConfig, venue: usize) -> Result<Box<dyn LedgerServer>, ConfigError> {
    server_with(config, venue, &FaultPlan::default())
}

/// The same with its faults of `plan`; what is hashed is what left.
pub fn server_with(
    config: &SimConfig,
    venue: usize,
    plan: &FaultPlan,
) -> Result<Box<dyn LedgerServer>, ConfigError> {
    config.check()?;
    let dialect = config.venues[venue].dialect.as_str();
    let build = DIALECTS.iter().find(|(name, _)| *name == dialect).map(|(_, build)| build);
    let bare = build.ok_or_else(|| ConfigError::Dialect(dialect.into()))?(config, venue);
    let name = &config.venues[venue].name;
    if plan.of(name).next().is_none() {
        return Ok(Box::new(frames::FrameHasher::new(bare)));
    }
    Ok(Box::new(frames::FrameHasher::new(Faulty::new(bare, plan, name, config.start_wall_ns))))
}
