//! Codes of the requests that the Deribit session machines ask for and the encoder renders: the private
//! language between the two halves of this dialect. A code below [`ASKS_FROM`] is also the JSON-RPC id of its
//! request; asks are numbered from there on, and orders carry the client id.

use crate::domain::effect::VenueCall;
use crate::domain::instrument::InstrumentId;
use crate::domain::text::Symbol;

/// `public/test`: keeps the connection alive, and answers a test request.
pub(super) const TEST: u16 = 1;
/// `public/auth` by client signature.
pub(super) const AUTH: u16 = 2;
/// `public/set_heartbeat`; `arg` = seconds.
pub(super) const HEARTBEAT: u16 = 3;
/// Subscribe all market channels of the listings that `arg` names ([`range`]).
pub(super) const SUBSCRIBE_MARKET: u16 = 4;
/// Subscribe the private channels.
pub(super) const SUBSCRIBE_ACCOUNT: u16 = 5;
/// Subscribe the book of `instrument`.
pub(super) const SUBSCRIBE_BOOK: u16 = 6;
/// Unsubscribe the book of `instrument`.
pub(super) const UNSUBSCRIBE_BOOK: u16 = 7;
/// `private/enable_cancel_on_disconnect` for the connection, the dead man's switch; or, with `arg` 0, the opposite.
pub(super) const CANCEL_ON_DISCONNECT: u16 = 8;
/// Subscribe the states of instruments.
pub(super) const SUBSCRIBE_STATES: u16 = 9;
/// `private/cancel_all`.
pub(super) const CANCEL_ALL: u16 = 10;
/// First id of an ask.
pub(super) const ASKS_FROM: u32 = 16;
/// `public/get_instruments` over HTTP.
pub(super) const INSTRUMENTS: u16 = 16;
/// `private/get_open_orders`; `arg` = JSON-RPC id.
pub(super) const OPEN_ORDERS: u16 = 17;
/// `private/get_positions`; `arg` = JSON-RPC id.
pub(super) const POSITIONS: u16 = 18;
/// `private/get_account_summaries`; `arg` = JSON-RPC id.
pub(super) const SUMMARIES: u16 = 19;
/// `private/get_user_trades_by_instrument` of `instrument`; `arg` = JSON-RPC id.
pub(super) const TRADES: u16 = 20;

/// `public/get_time`; `arg` = JSON-RPC id.
pub(super) const TIME: u16 = 21;
/// `private/get_account_summaries` with settings, fees and limits; `arg` = JSON-RPC id.
pub(super) const SETTINGS: u16 = 22;
/// `private/get_user_trades_by_currency_and_time` of the currency of `instrument`; `arg` = first second since the
/// epoch and JSON-RPC id ([`since`]).
pub(super) const MISSED: u16 = 23;

/// Packs a second since the epoch and a JSON-RPC id.
pub(super) const fn since(second: u64, id: u32) -> u64 {
    second << 32 | id as u64
}

/// Unpacks [`since`].
pub(super) const fn unpack_since(arg: u64) -> (u64, u64) {
    (arg >> 32, arg & 0xffff_ffff)
}

/// Seconds between heartbeats where nothing rests: the least that the venue allows.
pub(super) const HEARTBEAT_SECONDS: u64 = 10;

/// Interval of public channels. `raw` books need a connection that is logged in; the market connection is
/// not, and gets every change of the best price by `quote`.
pub(super) const INTERVAL: &str = "100ms";

/// Private channels: `any` currency, every event at once.
pub(super) const ACCOUNT_CHANNELS: [&str; 4] = [
    "user.orders.future.any.raw",
    "user.trades.future.any.raw",
    "user.changes.future.any.raw",
    "user.portfolio.any",
];

/// Listings in one subscription: four channels of a 32-byte symbol are about 180 bytes.
pub(super) const LISTINGS_PER_BATCH: usize = 8;

/// The currency under which the venue keeps an instrument: `USDC` of `BTC_USDC-PERPETUAL`, `BTC` of
/// `BTC-PERPETUAL`.
pub(super) fn currency_of(symbol: &Symbol) -> &str {
    let pair = symbol.as_str().split('-').next().unwrap_or_default();
    pair.split_once('_').map_or(pair, |(_, settle)| settle)
}

/// A call without arguments.
pub(super) const fn call(op: u16) -> VenueCall {
    VenueCall { op, arg: 0, instrument: None }
}

/// A call with a number.
pub(super) const fn call_arg(op: u16, arg: u64) -> VenueCall {
    VenueCall { op, arg, instrument: None }
}

/// A call about an instrument.
pub(super) const fn call_for(op: u16, instrument: InstrumentId) -> VenueCall {
    VenueCall { op, arg: 0, instrument: Some(instrument) }
}

/// Packs `count` listings from position `first` of the venue's configuration.
pub(super) const fn range(first: usize, count: usize) -> u64 {
    ((first as u64) << 32) | count as u64
}

/// Unpacks [`range`].
pub(super) const fn unpack_range(arg: u64) -> (usize, usize) {
    ((arg >> 32) as usize, (arg & 0xffff_ffff) as usize)
}
