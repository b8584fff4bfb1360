//! Bybit linear perpetuals, protocol v5: decoder, continuity, sessions, metadata, accounts and order entry.
//!
//! Sans-I/O like every dialect. Frames enter by `parse` (one pass, no allocation, no assumption about the
//! order of keys); `adapter` is the decode side with `market` for books and prices, `account` for orders and
//! balances, `standing` for what is read back before orders are opened, and the shared `session` for timers and
//! back-off; `encoder` is the route side. Both halves speak the codes of `calls`. `kill` stands beside both.
//!
//! Understood public topics: `orderbook.{1,25,50,100,200,500,1000}`, `publicTrade`, `tickers`,
//! `allLiquidation`, `priceLimit`. Private: `order`, `execution`, `position`, `wallet` (also `….linear`), replies to
//! `order.create` and `order.cancel`. The adapter subscribes `orderbook.1` (best prices, snapshots only),
//! `orderbook.50`, `publicTrade`, `tickers` and `priceLimit`; both books are compared by `seq`, which is common to all
//! depths, while `u` counts the messages of one topic.
//!
//! Documented types that are ignored, and counted as such:
//! - answers to `auth`, `subscribe`, `unsubscribe`, `ping` (session machines read them; `decode` counts them),
//!   replies to `order.amend`;
//! - `kline`, `kline_lt`, `tickers_lt`, `lt`, `liquidation` (removed), `insurance`, `adlAlert`,
//!   `orderbook.rpi`, `greeks`, `dcp`, `execution.fast`;
//! - HTTP bodies.
//!
//! Everything else is reported as unknown. The venue's dead man's switch (DCP) acts on the loss of connections
//! that subscribed `dcp.future`, and only for accounts to which the venue granted it.

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
mod relay;
mod rows;
mod schema;
mod standing;
#[cfg(test)]
mod tests;
mod ticker;

pub use continuity::BybitContinuity;
pub use decoder::BybitDecoder;

use super::message::Decoder;
use super::session::{self, Ping, Terms};
use super::shape::Shape;
use super::{Adapter, Amending, ConnSpec, Dialect, Encoder, KillSwitch, VenueContext};
use crate::domain::event::SessionRole;
use crate::domain::params::{Extras, MarketCopies};
use crate::domain::standing::CheckSet;
use crate::domain::time::{MILLI, SECOND};

/// The dialect of Bybit linear perpetuals.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bybit;

/// Position of the market connection among the venue's connections.
const MARKET: usize = 0;
/// Position of the account connection.
const ACCOUNT: usize = 1;
/// Position of the order entry connection.
const ORDERS: usize = 2;
/// Characters of all topics of a public connection. Source: the venue's "Public channel - Args limits".
const TOPICS_LEN: usize = 21_000;
/// What the connections are for, by position.
const ROLES: [SessionRole; 3] = [SessionRole::Market, SessionRole::Account, SessionRole::Orders];
/// What its connections are held to.
const TERMS: Terms = Terms {
    // The venue wants a ping this often, whatever else is sent.
    ping: Ping::Every(20 * SECOND),
    // 500 connections in 5 minutes are allowed.
    back_off_min: 500 * MILLI,
};

/// How many connections there are, before the second one for market data.
const fn connection_count(trading: bool) -> usize {
    if trading { ROLES.len() } else { 1 }
}

impl Dialect for Bybit {
    fn name(&self) -> &'static str {
        "bybit"
    }

    fn connections(&self, trading: bool) -> Vec<ConnSpec> {
        let used = connection_count(trading);
        let url = "wss://stream.bybit.com";
        ROLES[..used].iter().map(|role| ConnSpec { role: *role, url: url.to_owned() }).collect()
    }

    fn relays(&self) -> bool {
        true
    }

    fn listings_max(&self, extras: Extras, _: MarketCopies) -> usize {
        TOPICS_LEN / calls::topics_len(extras.liquidations)
    }

    fn orders_per_10s(&self) -> u32 {
        18 // at most 10 in any second
    }

    fn http_url(&self) -> &'static str {
        "https://api.bybit.com"
    }

    fn adapter(&self, context: &VenueContext) -> Box<dyn Adapter> {
        Box::new(adapter::BybitAdapter::new(context))
    }

    fn start_checks(&self) -> CheckSet {
        standing::CHECKS
    }

    fn amending(&self) -> Amending {
        Amending::InPlace
    }

    fn encoder(&self, context: &VenueContext) -> Box<dyn Encoder> {
        Box::new(encoder::BybitEncoder::new(context))
    }

    fn kill_switch(&self, _context: &VenueContext) -> Option<Box<dyn KillSwitch>> {
        Some(Box::new(kill::BybitKill::default()))
    }

    fn private_shapes(&self) -> &'static [Shape] {
        schema::PRIVATE
    }

    fn decoder(&self) -> Box<dyn Decoder> {
        Box::new(BybitDecoder::new())
    }
}
