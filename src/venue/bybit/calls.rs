//! Codes of the requests that the Bybit session machines ask for and the encoder renders: the private
//! language between the two halves of this dialect. Nothing outside this folder may interpret them.

use crate::domain::effect::VenueCall;
use crate::domain::instrument::InstrumentId;

/// `{"op":"ping"}`.
pub(super) const PING: u16 = 1;
/// Authenticate a private or trade connection.
pub(super) const AUTH: u16 = 2;
/// Subscribe all market topics of `instrument`: one request each, as one bad topic fails a whole request.
pub(super) const SUBSCRIBE_MARKET: u16 = 3;
/// Subscribe orders, executions, positions and the wallet.
pub(super) const SUBSCRIBE_ACCOUNT: u16 = 4;
/// Subscribe the book of `instrument`.
pub(super) const SUBSCRIBE_BOOK: u16 = 5;
/// Unsubscribe the book of `instrument`.
pub(super) const UNSUBSCRIBE_BOOK: u16 = 6;
/// Subscribe `dcp.future`: this connection is one whose loss the dead man's switch counts.
pub(super) const SUBSCRIBE_DEAD_MAN: u16 = 7;
/// Subscribe the liquidations of `instrument`; nobody waits for the acknowledgement.
pub(super) const SUBSCRIBE_LIQUIDATIONS: u16 = 8;
/// Subscribe the ticker of `instrument` anew, for its snapshot.
pub(super) const SUBSCRIBE_TICKER: u16 = 9;
/// Unsubscribe the ticker of `instrument`.
pub(super) const UNSUBSCRIBE_TICKER: u16 = 10;
/// `GET /v5/market/instruments-info`; `arg` = [`NEXT_PAGE`] or 0.
pub(super) const INSTRUMENTS: u16 = 16;
/// `GET /v5/order/realtime`; `arg` = coin and page ([`page`]).
pub(super) const PENDING: u16 = 17;
/// `GET /v5/position/list`; `arg` = coin and page ([`page`]).
pub(super) const POSITIONS: u16 = 18;
/// `GET /v5/account/wallet-balance`.
pub(super) const BALANCE: u16 = 19;
/// `GET /v5/execution/list` of `instrument`; `arg` = [`NEXT_PAGE`] or 0.
pub(super) const FILLS: u16 = 20;
/// `GET /v5/market/time`.
pub(super) const TIME: u16 = 21;
/// `GET /v5/account/info`.
pub(super) const INFO: u16 = 22;
/// `GET /v5/user/query-api`.
pub(super) const KEY: u16 = 23;
/// `GET /v5/position/list` of `instrument`.
pub(super) const LEVERAGE: u16 = 24;
/// `GET /v5/account/fee-rate`.
pub(super) const FEE: u16 = 25;
/// `GET /v5/order/realtime`, the first page only; `arg` = coin ([`page`]).
pub(super) const FOREIGN: u16 = 26;
/// `GET /v5/account/query-dcp-info`.
pub(super) const DEAD_MAN: u16 = 27;
/// `POST /v5/order/disconnected-cancel-all`; `arg` = seconds.
pub(super) const SET_DEAD_MAN: u16 = 28;
/// `GET /v5/execution/list` of all linear contracts; `arg` = twice the first time, ms, and [`NEXT_PAGE`].
pub(super) const MISSED: u16 = 29;

/// Bit of `arg`: go on where the last reply ended (its cursor is in the call's secret slot).
pub(super) const NEXT_PAGE: u64 = 1;

/// Settlement coins of linear contracts.
pub(super) const COINS: [&str; 2] = ["USDT", "USDC"];

/// The book that is kept: 50 levels every 20 ms.
pub(super) const BOOK_TOPIC: &str = "orderbook.50";

/// Mark, index, funding, open interest and last price.
pub(super) const TICKER_TOPIC: &str = "tickers";

/// Topics subscribed for every listing.
pub(super) const MARKET_TOPICS: [&str; 5] =
    ["orderbook.1", BOOK_TOPIC, "publicTrade", TICKER_TOPIC, "priceLimit"];

/// Liquidations.
pub(super) const LIQUIDATION_TOPIC: &str = "allLiquidation";

/// Longest native name that a connection's room is reckoned with: the venue's longest is `1000000BABYDOGEUSDT`.
const NAME_LEN: usize = 20;

/// Characters of the topics of one listing in an array, each with its dot, quotes and comma.
pub(super) fn topics_len(liquidations: bool) -> usize {
    let topics = MARKET_TOPICS.into_iter().chain(liquidations.then_some(LIQUIDATION_TOPIC));
    topics.map(|topic| topic.len() + NAME_LEN + 4).sum()
}

/// First letter of `req_id` of subscriptions that a session waits for.
pub(super) const AWAITED: u8 = b'm';

/// First letter of `req_id` of [`SUBSCRIBE_DEAD_MAN`].
pub(super) const DEAD_MAN_ID: u8 = b'd';

/// A call without arguments.
pub(super) const fn call(op: u16) -> VenueCall {
    VenueCall { op, arg: 0, instrument: None }
}

/// A call about an instrument.
pub(super) const fn call_for(op: u16, instrument: InstrumentId) -> VenueCall {
    VenueCall { op, arg: 0, instrument: Some(instrument) }
}

/// Packs a position in [`COINS`] and whether it is a further page.
pub(super) const fn page(coin: u64, next: bool) -> u64 {
    coin << 1 | next as u64
}
