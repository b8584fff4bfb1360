//! OKX swaps, protocol v5: decoder, continuity, sessions, metadata, accounts and order entry.
//!
//! Sans-I/O like every dialect. Frames enter by `parse` (one pass, no allocation); `adapter` is the
//! decode side with `market` for books and prices, `account` for orders and balances and the
//! shared `session` for timers and back-off; `encoder` is the route side. Both halves speak the codes of
//! `calls`.
//!
//! Understood public channels: `bbo-tbt`, `books`, `books-l2-tbt`, `books50-l2-tbt`, `books5`, `trades`,
//! `tickers`, `mark-price`, `index-tickers`, `funding-rate`, `open-interest`, `price-limit`,
//! `liquidation-orders`; HTTP: order book and instruments. Private: `orders`, `positions`, `account`, replies to `order` and
//! `cancel-order`.
//!
//! Documented types that are ignored, and counted as such:
//! - the texts `ping` and `pong`, and the events `subscribe`, `unsubscribe`, `login`, `error`, `notice`,
//!   `channel-conn-count`, `channel-conn-count-error` (session machines read them; `decode` counts them);
//! - `candle…`, `mark-price-candle…`, `index-candle…`, `sprd-…`, `trades-all`, `option-trades`,
//!   `opt-summary`, `estimated-price`, `instruments`, `status`, `adl-warning`,
//!   `block-tickers`, `public-block-trades`, `public-struc-block-trades`, `struc-block-trades`, `rfqs`,
//!   `quotes`, `economic-calendar`, `call-auction-details`, `books-rpi`, `books-elp`;
//! - private ones that are not subscribed: `balance_and_position`, `liquidation-warning`,
//!   `account-greeks`, `fills`, `orders-algo`, `algo-…`, `grid-…`, `deposit-info`, `withdrawal-info`,
//!   `copytrading…`;
//! - HTTP bodies other than books.
//!
//! Everything else is reported as unknown.

mod account;
mod adapter;
mod calls;
mod continuity;
mod decoder;
mod encoder;
mod errors;
mod kill;
mod market;
mod parse;
mod public;
mod relay;
mod rows;
mod schema;
mod standing;
#[cfg(test)]
mod tests;

pub use continuity::OkxContinuity;
pub use decoder::OkxDecoder;

use super::message::Decoder;
use super::session::{self, Ping, Terms};
use super::shape::Shape;
use super::{Adapter, Amending, ConnSpec, Dialect, Encoder, KillSwitch, VenueContext};
use crate::domain::event::SessionRole;
use crate::domain::params::OrderRoute;
use crate::domain::standing::CheckSet;
use crate::domain::time::{MILLI, SECOND};

/// The dialect of OKX perpetual swaps.
#[derive(Clone, Copy, Debug, Default)]
pub struct Okx;

/// Position of the market connection among the venue's connections.
const MARKET: usize = 0;
/// Position of the account connection.
const ACCOUNT: usize = 1;
/// Position of the order entry connection.
const ORDERS: usize = 2;
/// What its connections are held to.
const TERMS: Terms = Terms {
    // The venue cuts a connection to which it sent nothing for 30 s.
    ping: Ping::AfterSilence(20 * SECOND),
    back_off_min: 250 * MILLI,
};

/// How many connections there are, before the second one for market data.
const fn connection_count(trading: bool) -> usize {
    if trading { 3 } else { 1 }
}

impl Dialect for Okx {
    fn name(&self) -> &'static str {
        "okx"
    }

    fn connections(&self, trading: bool) -> Vec<ConnSpec> {
        let url = || "wss://ws.okx.com:8443".to_owned();
        let roles = [SessionRole::Market, SessionRole::Account, SessionRole::Orders];
        roles[..connection_count(trading)].iter().map(|role| ConnSpec { role: *role, url: url() }).collect()
    }

    fn relays(&self) -> bool {
        true
    }

    fn orders_per_10s(&self) -> u32 {
        100 // never above 60 in 2 s, the limit of one instrument
    }

    fn http_url(&self) -> &'static str {
        "https://www.okx.com"
    }

    fn adapter(&self, context: &VenueContext) -> Box<dyn Adapter> {
        Box::new(adapter::OkxAdapter::new(context))
    }

    fn start_checks(&self) -> CheckSet {
        standing::CHECKS
    }

    fn order_routes(&self) -> &'static [OrderRoute] {
        &[OrderRoute::Websocket, OrderRoute::Http]
    }

    fn amending(&self) -> Amending {
        Amending::InPlace
    }

    fn encoder(&self, context: &VenueContext) -> Box<dyn Encoder> {
        Box::new(encoder::OkxEncoder::new(context))
    }

    fn kill_switch(&self, _context: &VenueContext) -> Option<Box<dyn KillSwitch>> {
        Some(Box::new(kill::OkxKill))
    }

    fn private_shapes(&self) -> &'static [Shape] {
        schema::PRIVATE
    }

    fn decoder(&self) -> Box<dyn Decoder> {
        Box::new(OkxDecoder::new())
    }
}
