//! What the public channels of Deribit are documented to hold beside what is read here (API v2, OpenAPI 2.1.1 of
//! March 2026, and captured messages). A key or state outside these lists is drift.

use crate::venue::drift::Words;

/// The JSON-RPC envelope.
pub(super) const ENVELOPE: Words = Words::new(&["jsonrpc", "usIn", "usOut", "usDiff", "testnet"]);
/// Its parameters: those of a subscription and of a heartbeat.
pub(super) const PARAMS: Words = Words::new(&["label"]);
/// `book` has nothing but what is read.
pub(super) const BOOK: Words = Words::new(&[]);
/// `trades`.
pub(super) const TRADE: Words = Words::new(&[
    "trade_seq",
    "tick_direction",
    "mark_price",
    "index_price",
    "iv",
    "contracts",
    "starbase_match_id",
    "starbase_timestamp",
    "block_trade_id",
    "block_trade_leg_count",
    "block_rfq_id",
    "combo_id",
    "combo_trade_id",
    "combo",
]);
/// `ticker` and `quote`.
pub(super) const TICKER: Words = Words::new(&[
    "stats",
    "settlement_price",
    "interest_value",
    "funding_8h",
    "estimated_delivery_price",
    "delivery_price",
    "combo_state",
    "greeks",
    "implied_ask",
    "implied_bid",
    "interest_rate",
    "mark_iv",
    "bid_iv",
    "ask_iv",
    "underlying_index",
    "underlying_price",
]);
/// `instrument.state`.
pub(super) const STATE: Words = Words::new(&["state", "timestamp"]);
/// States of an instrument in its ticker.
pub(super) const STATES: Words =
    Words::new(&["open", "closed", "settlement", "delivered", "inactive", "locked", "halted"]);
/// Which sides of a trade were liquidations.
pub(super) const LIQUIDATIONS: Words = Words::new(&["M", "T", "MT", "none", "null", ""]);
