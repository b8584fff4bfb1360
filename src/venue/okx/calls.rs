//! Codes of the requests that the OKX session machines ask for and the encoder renders: the private
//! language between the two halves of this dialect. Nothing outside this folder may interpret them.

use crate::domain::effect::VenueCall;
use crate::domain::instrument::InstrumentId;
use crate::domain::params::Extras;

/// The text `ping`.
pub(super) const PING: u16 = 1;
/// Log in on a private connection.
pub(super) const LOGIN: u16 = 2;
/// Subscribe all market channels of the listings that `arg` names ([`range`]).
pub(super) const SUBSCRIBE_MARKET: u16 = 3;
/// Subscribe orders, positions and account.
pub(super) const SUBSCRIBE_ACCOUNT: u16 = 4;
/// Subscribe the book of `instrument`.
pub(super) const SUBSCRIBE_BOOK: u16 = 5;
/// Unsubscribe the book of `instrument`.
pub(super) const UNSUBSCRIBE_BOOK: u16 = 6;
/// Subscribe what else of the market is wanted ([`EXTRA_CHANNELS`]) of the listings that `arg` names ([`range`]).
pub(super) const SUBSCRIBE_EXTRAS: u16 = 7;
/// `GET /api/v5/public/instruments`.
pub(super) const INSTRUMENTS: u16 = 16;
/// `GET /api/v5/trade/orders-pending`; `arg` = order id to continue after, 0 = first page.
pub(super) const PENDING: u16 = 17;
/// `GET /api/v5/account/positions`.
pub(super) const POSITIONS: u16 = 18;
/// `GET /api/v5/account/balance`.
pub(super) const BALANCE: u16 = 19;
/// `GET /api/v5/trade/fills`; `arg` = order id.
pub(super) const FILLS: u16 = 20;

/// `GET /api/v5/public/time`.
pub(super) const TIME: u16 = 21;
/// `GET /api/v5/account/config`.
pub(super) const CONFIG: u16 = 22;
/// `GET /api/v5/account/leverage-info`; `arg` = first listing.
pub(super) const LEVERAGE: u16 = 23;
/// `GET /api/v5/account/trade-fee`.
pub(super) const FEE: u16 = 24;
/// `POST /api/v5/trade/cancel-all-after`; `arg` = seconds.
pub(super) const DEAD_MAN: u16 = 25;
/// `GET /api/v5/trade/fills` of all orders, newest first; `arg` = bill id to continue after, 0 = first page.
pub(super) const MISSED: u16 = 26;

/// Channels subscribed for every listing, in the order of the subscription; [`INDEX_CHANNEL`] by the name of
/// its index.
pub(super) const MARKET_CHANNELS: [&str; 7] =
    ["bbo-tbt", "books", "trades", "mark-price", "funding-rate", INDEX_CHANNEL, "price-limit"];

/// Channels of a listing that are subscribed on demand: last prices, open interest. Liquidations are told for all
/// contracts together.
pub(super) const EXTRA_CHANNELS: [&str; 2] = ["tickers", "open-interest"];

/// Which of [`EXTRA_CHANNELS`] are wanted.
pub(super) const fn wanted(extras: Extras) -> [bool; 2] {
    [extras.ticker, extras.open_interest]
}

/// Index prices.
pub(super) const INDEX_CHANNEL: &str = "index-tickers";

/// What a swap's name has beyond that of its index.
pub(super) const SWAP_SUFFIX: &str = "-SWAP";

/// Channels of the account connection.
pub(super) const ACCOUNT_CHANNELS: u32 = 3;

/// Listings in one subscription: seven channels of a 32-byte symbol are about 500 bytes each.
pub(super) const LISTINGS_PER_BATCH: usize = 3;

/// Rows in a full page of executions.
pub(super) const MISSED_PAGE: usize = 100;

/// Rows in a full page of pending orders.
pub(super) const PENDING_PAGE: usize = 100;

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

/// Packs `count` listings from position `first` of the venue's configuration; `wide`: with the channels that are about
/// no listing in particular.
pub(super) const fn range(first: usize, count: usize, wide: bool) -> u64 {
    ((first as u64) << 32) | if wide { WIDE } else { 0 } | count as u64
}

const WIDE: u64 = 1 << 31;

/// Unpacks [`range`].
pub(super) const fn unpack_range(arg: u64) -> (usize, usize, bool) {
    ((arg >> 32) as usize, (arg & 0x7fff_ffff) as usize, arg & WIDE != 0)
}
