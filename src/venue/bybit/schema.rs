//! What the public topics of Bybit are documented to hold beside what is read here (API v5, documentation of
//! 2026-07-24, and captured messages). A key outside these lists is drift.

use crate::venue::drift::Words;

/// The envelope.
pub(super) const ENVELOPE: Words =
    Words::new(&["id", "cs", "ret_msg", "conn_id", "retMsg", "header", "connId", "time"]);
/// `publicTrade`.
pub(super) const TRADE: Words = Words::new(&["L", "BT", "RPI", "seq", "mP", "iP", "mIv", "iv"]);
/// `allLiquidation` has nothing but what is read.
pub(super) const LIQUIDATION: Words = Words::new(&[]);
/// `priceLimit` has nothing but what is read.
pub(super) const LIMITS: Words = Words::new(&[]);
/// `orderbook` has nothing but what is read.
pub(super) const BOOK: Words = Words::new(&[]);
/// `tickers`, of all categories.
pub(super) const TICKER: Words = Words::new(&[
    "tickDirection",
    "price24hPcnt",
    "prevPrice24h",
    "highPrice24h",
    "lowPrice24h",
    "prevPrice1h",
    "openInterestValue",
    "turnover24h",
    "volume24h",
    "bid1Size",
    "ask1Size",
    "bidSize",
    "askSize",
    "preOpenPrice",
    "preQty",
    "curPreListingPhase",
    "fundingCap",
    "basisRateYear",
    "basis",
    "basisRate",
    "deliveryTime",
    "deliveryFeeRate",
    "predictedDeliveryPrice",
    "usdIndexPrice",
    "bidIv",
    "askIv",
    "bid1Iv",
    "ask1Iv",
    "markPriceIv",
    "underlyingPrice",
    "totalVolume",
    "totalTurnover",
    "delta",
    "gamma",
    "vega",
    "theta",
    "change24h",
]);
