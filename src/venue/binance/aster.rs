//! Aster perpetual futures (fapi.asterdex.com): Binance's protocol of USDⓈ-M with one stream path, without a
//! WebSocket API, and with the account's settings in other places. Facts are from the venue's own documentation
//! ("Aster Finance Futures API", version 1: keys and HMAC, as of May 2026); its version 3, which signs with a
//! wallet, is another dialect.

use super::{Knows, RestPaths, Variant};
use crate::domain::instrument::ContractKind;
use crate::domain::params::OrderRoute;

/// Aster's linear perpetuals.
pub static ASTER: Variant = Variant {
    name: "aster",
    http_url: "https://fapi.asterdex.com",
    stream_url: "wss://fstream.asterdex.com",
    api_url: "",
    path_public: "/ws",
    path_market: "/ws",
    path_private: "/ws/",
    path_api: "",
    rest: RestPaths {
        exchange_info: "/fapi/v1/exchangeInfo",
        funding_info: "/fapi/v1/fundingInfo",
        depth: "/fapi/v1/depth",
        order: "/fapi/v1/order",
        listen_key: "/fapi/v1/listenKey",
        open_orders: "/fapi/v1/openOrders",
        all_open_orders: "/fapi/v1/allOpenOrders",
        position_risk: "/fapi/v2/positionRisk",
        balance: "/fapi/v2/balance",
        user_trades: "/fapi/v1/userTrades",
        time: "/fapi/v1/time",
        account_config: &["/fapi/v4/account", "/fapi/v1/positionSide/dual", "/fapi/v1/multiAssetsMargin"],
        // Margin mode and leverage stand beside the positions, for every symbol.
        symbol_config: "/fapi/v2/positionRisk",
        commission_rate: "/fapi/v1/commissionRate",
        countdown: "/fapi/v1/countdownCancelAll",
        open_interest: "/fapi/v1/openInterest",
        indicators: "",
    },
    kind: ContractKind::Linear,
    orders: &[OrderRoute::Http],
    streams_max: 200,
    // The documentation lists none of these; a parameter that the venue does not know is refused (−1104).
    knows: Knows { self_trade: false, contract_info: false, trades_of_order: false, indicators: false },
};
