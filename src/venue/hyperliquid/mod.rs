//! Hyperliquid perpetuals: decoder, continuity, sessions, metadata, accounts and order entry.
//!
//! Sans-I/O like every dialect. Frames enter by `parse` (one pass, no allocation, any key order and
//! spacing); `adapter` is the decode side with `market` for books and prices, `account` for orders and
//! balances, `standing` and `limits` for settings and limits, and the shared `session` for timers and back-off;
//! `encoder` is the route side, which renders every action twice: as JSON to send and, by `action`, as the
//! MessagePack bytes that the egress gate hashes and signs; `kill` cancels everything beside both.
//!
//! Understood public channels: `bbo`, `l2Book`, `trades`, `activeAssetCtx`; HTTP: `l2Book`,
//! `metaAndAssetCtxs`. Private: `orderUpdates`, `userFills`, `userFundings`, `post`; HTTP:
//! `frontendOpenOrders`, `clearinghouseState`, `orderStatus`, `userFillsByTime`, `exchangeStatus`, `userRole`,
//! `extraAgents`, `userAbstraction`, `userFees`, `userRateLimit`, `activeAssetData`.
//!
//! Documented types that are ignored, and counted as such:
//! - `pong`, the greeting text, `subscriptionResponse` and `error` (session machines read them);
//! - `allMids`, `candle`, `activeSpotAssetCtx`, `activeAssetData`, `fastAssetCtxs`, `notification`;
//! - private ones that are not subscribed: `user` (events), `userEvents`, `userNonFundingLedgerUpdates`,
//!   `clearinghouseState`, `openOrders`, `webData2`, `webData3`, `userTwapSliceFills`, `userTwapHistory`,
//!   `twapStates`;
//! - HTTP bodies other than books.
//!
//! Everything else is reported as unknown.

mod account;
mod action;
mod adapter;
mod calls;
mod continuity;
mod decoder;
mod encoder;
mod errors;
mod kill;
mod limits;
mod market;
mod metadata;
mod parse;
mod relay;
mod rows;
mod schema;
mod standing;
#[cfg(test)]
mod tests;

pub use continuity::HyperliquidContinuity;
pub use decoder::HyperliquidDecoder;

use super::message::Decoder;
use super::session::{self, Ping, Terms};
use super::shape::Shape;
use super::{Adapter, Amending, ConnSpec, Dialect, Encoder, KillSwitch, VenueContext};
use crate::domain::event::SessionRole;
use crate::domain::intent::{BPS, Ppb};
use crate::domain::params::{Extras, MarketCopies};
use crate::domain::standing::CheckSet;
use crate::domain::time::{MILLI, SECOND};

/// The dialect of Hyperliquid perpetuals (the first, USDC-settled exchange of mainnet).
///
/// Credentials: the API key is the address of the account (the master, never that of the agent), the
/// secret the private key of an agent wallet that the account has approved.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hyperliquid;

/// Position of the market connection among the venue's connections.
const MARKET: usize = 0;
/// Position of the account connection.
const ACCOUNT: usize = 1;
/// Position of the order entry connection.
const ORDERS: usize = 2;
/// What its connections are held to.
const TERMS: Terms = Terms {
    // The venue cuts a connection to which it sent nothing for 60 s.
    ping: Ping::AfterSilence(20 * SECOND),
    back_off_min: 250 * MILLI,
};

impl Dialect for Hyperliquid {
    fn name(&self) -> &'static str {
        "hyperliquid"
    }

    fn connections(&self, trading: bool) -> Vec<ConnSpec> {
        let url = || "wss://api.hyperliquid.xyz".to_owned();
        let roles = [SessionRole::Market, SessionRole::Account, SessionRole::Orders];
        let used = if trading { 3 } else { 1 };
        roles[..used].iter().map(|role| ConnSpec { role: *role, url: url() }).collect()
    }

    fn relays(&self) -> bool {
        true
    }

    fn amending(&self) -> Amending {
        Amending::Replace
    }

    fn listings_max(&self, _: Extras, copies: MarketCopies) -> usize {
        relay::listings_max(copies == MarketCopies::Two)
    }

    fn orders_per_10s(&self) -> u32 {
        100 // an address earns one action for each USDC traded
    }

    /// Cancels and post-only orders of a block are matched before ours, which comes with a block of its own time: what
    /// we saw has had that long to leave.
    fn miss_prior(&self) -> Ppb {
        1_500 * BPS
    }

    fn http_url(&self) -> &'static str {
        "https://api.hyperliquid.xyz"
    }

    fn adapter(&self, context: &VenueContext) -> Box<dyn Adapter> {
        Box::new(adapter::HyperliquidAdapter::new(context))
    }

    fn start_checks(&self) -> CheckSet {
        standing::CHECKS
    }

    fn encoder(&self, context: &VenueContext) -> Box<dyn Encoder> {
        Box::new(encoder::HyperliquidEncoder::new(context))
    }

    fn kill_switch(&self, _context: &VenueContext) -> Option<Box<dyn KillSwitch>> {
        Some(Box::new(kill::HyperliquidKill::default()))
    }

    fn private_shapes(&self) -> &'static [Shape] {
        schema::PRIVATE
    }

    fn decoder(&self) -> Box<dyn Decoder> {
        Box::new(HyperliquidDecoder::new())
    }
}
