//! What the public channels of OKX are documented to hold beside what is read here (API v5, as of Sept 2026, and
//! captured messages). A key outside these lists is drift.

use crate::venue::drift::Words;

/// The envelope.
pub(super) const ENVELOPE: Words =
    Words::new(&["connId", "msg", "inTime", "outTime", "curPage", "lastPage", "channel", "connCount"]);
/// `arg`.
pub(super) const ARG: Words = Words::new(&["instType", "instFamily", "uly", "extraParams"]);
/// `bbo-tbt`, `books`, `books5` and their like.
pub(super) const BOOK: Words = Words::new(&["instId"]);
/// `trades`.
pub(super) const TRADE: Words = Words::new(&["count", "source", "seqId"]);
/// `tickers`.
pub(super) const TICKER: Words = Words::new(&[
    "instType",
    "lastSz",
    "askSz",
    "bidSz",
    "open24h",
    "high24h",
    "low24h",
    "sodUtc0",
    "sodUtc8",
    "volCcy24h",
    "vol24h",
]);
/// `mark-price`, `index-tickers`, `funding-rate`.
pub(super) const MARK: Words = Words::new(&[
    "instType",
    "high24h",
    "low24h",
    "open24h",
    "sodUtc0",
    "sodUtc8",
    "formulaType",
    "impactValue",
    "interestRate",
    "maxFundingRate",
    "method",
    "minFundingRate",
    "nextFundingRate",
    "premium",
    "prevFundingTime",
    "settFundingRate",
    "settState",
]);
/// `open-interest`.
pub(super) const INTEREST: Words = Words::new(&["instType", "oiCcy", "oiUsd"]);
/// `price-limit`.
pub(super) const LIMITS: Words = Words::new(&["instType"]);
/// `liquidation-orders`, rows.
pub(super) const LIQUIDATION: Words = Words::new(&["instFamily", "instType", "uly"]);
/// `liquidation-orders`, details of a row.
pub(super) const LIQUIDATION_DETAIL: Words = Words::new(&["bkLoss", "ccy", "posSide"]);
