//! Deribit perpetuals, JSON-RPC 2.0 over WebSocket (API v2): decoder, continuity, sessions, metadata, accounts
//! and order entry. Linear (`BTC_USDC-PERPETUAL`) and inverse (`BTC-PERPETUAL`) contracts.
//!
//! Sans-I/O like every dialect. Frames enter by `parse` (one pass, no allocation, any key order); `adapter`
//! is the decode side with `market` for books and prices, `contracts` for metadata, `account` for orders and balances and the shared
//! `session` for timers and back-off; `standing` is what the venue says of our account, its clock and its limits;
//! `credits` keeps within the latter. `encoder` is the route side, `kill` what cancels everything beside it. Both
//! halves speak the codes of `calls`.
//!
//! Quantities are the venue's *amounts*: base coins of linear contracts, US dollars of inverse ones; a contract
//! multiplier of 1 therefore holds for both, and `contract_size` is the quantity step.
//!
//! Understood public channels: `book` (full and grouped), `quote`, `ticker`, `trades`, `instrument.state`;
//! `public/get_instruments`. Private: `user.orders`, `user.trades`, `user.changes` (positions),
//! `user.portfolio`, and the replies to `private/buy`, `sell`, `cancel_by_label`, `get_order_state_by_label`,
//! `get_open_orders`, `get_positions`, `get_account_summaries`, `get_user_trades_by_instrument`; `public/get_time`.
//!
//! Documented types that are ignored, and counted as such: heartbeats, replies and errors (session machines
//! read them), `incremental_ticker`, `perpetual`, `chart`, `markprice.options`, `estimated_expiration_price`,
//! `deribit_price_index`, `deribit_price_ranking`, `deribit_price_statistics`, `deribit_volatility_index`,
//! `announcements`, `platform_state`, `block_…`, `rfq`, and of the private ones `user.access_log`,
//! `user.lock`, `user.mmp_trigger`, `user.combo_trades`. Everything else is reported as unknown.

mod account;
mod adapter;
mod asks;
mod calls;
mod continuity;
mod contracts;
mod credits;
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

pub use continuity::DeribitContinuity;
pub use decoder::DeribitDecoder;

use super::message::Decoder;
use super::session::{self, Ping, Terms};
use super::shape::Shape;
use super::{Adapter, Amending, ConnSpec, Dialect, Encoder, KillSwitch, VenueContext};
use crate::domain::event::SessionRole;
use crate::domain::standing::CheckSet;
use crate::domain::time::{MILLI, SECOND};

/// The dialect of Deribit perpetuals.
#[derive(Clone, Copy, Debug, Default)]
pub struct Deribit;

/// Position of the market connection among the venue's connections.
const MARKET: usize = 0;
/// Position of the account connection.
const ACCOUNT: usize = 1;
/// Position of the order entry connection.
const ORDERS: usize = 2;
/// What its connections are held to.
const TERMS: Terms = Terms {
    // The venue sends a heartbeat every 10 s.
    ping: Ping::AfterSilence(20 * SECOND),
    back_off_min: 250 * MILLI,
};

impl Dialect for Deribit {
    fn name(&self) -> &'static str {
        "deribit"
    }

    fn connections(&self, trading: bool) -> Vec<ConnSpec> {
        let url = || "wss://www.deribit.com".to_owned();
        let roles = [SessionRole::Market, SessionRole::Account, SessionRole::Orders];
        let used = if trading { 3 } else { 1 };
        roles[..used].iter().map(|role| ConnSpec { role: *role, url: url() }).collect()
    }

    fn relays(&self) -> bool {
        true
    }

    fn orders_per_10s(&self) -> u32 {
        40 // a burst of 20, then 2 a second
    }

    fn dead_man_min_s(&self) -> i64 {
        20 // two heartbeats of the least interval
    }

    fn http_url(&self) -> &'static str {
        "https://www.deribit.com"
    }

    fn adapter(&self, context: &VenueContext) -> Box<dyn Adapter> {
        Box::new(adapter::DeribitAdapter::new(context))
    }

    fn start_checks(&self) -> CheckSet {
        standing::CHECKS
    }

    fn amending(&self) -> Amending {
        Amending::InPlace
    }

    fn encoder(&self, context: &VenueContext) -> Box<dyn Encoder> {
        Box::new(encoder::DeribitEncoder::new(context))
    }

    fn kill_switch(&self, _: &VenueContext) -> Option<Box<dyn KillSwitch>> {
        Some(Box::new(kill::DeribitKill::new()))
    }

    fn private_shapes(&self) -> &'static [Shape] {
        schema::PRIVATE
    }

    fn decoder(&self) -> Box<dyn Decoder> {
        Box::new(DeribitDecoder::new())
    }
}
