//! What differs between the venue's two markets, and at the venue that was modelled on it: paths, parameters, and
//! the few fields of their messages.

use super::auth::Params;
use super::stream::{Group, Stream};
use crate::domain::time::{Nanos, SECOND};
use crate::sim::exchange::Listing;
use std::borrow::Cow;

/// Which market, or venue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flavour {
    /// USDⓈ-M: linear contracts, stream paths by group.
    Usdm,
    /// COIN-M: inverse contracts, one stream path, no `TRADE_LITE`.
    Coinm,
    /// Aster: as USDⓈ-M on one stream path; no WebSocket API, no `TRADE_LITE`, no `!contractInfo`, fewer
    /// parameters and streams, settings of the account in other places.
    Aster,
}

/// REST paths of USDⓈ-M that Aster's documentation does not have.
const NOT_AT_ASTER: [&str; 9] = [
    "/fapi/v1/accountConfig",
    "/fapi/v1/symbolConfig",
    "/fapi/v1/account",
    "/fapi/v3/account",
    "/fapi/v1/balance",
    "/fapi/v3/balance",
    "/fapi/v1/positionRisk",
    "/fapi/v3/positionRisk",
    "/fapi/v1/apiTradingStatus",
];

/// Parameters of USDⓈ-M that Aster's documentation does not have, by path.
const UNREAD_AT_ASTER: [(&str, &str); 4] = [
    ("/fapi/v1/order", "selfTradePreventionMode"),
    ("/fapi/v1/order", "goodTillDate"),
    ("/fapi/v1/order", "priceMatch"),
    ("/fapi/v1/userTrades", "orderId"),
];

impl Flavour {
    /// Of a dialect's name.
    pub fn of(dialect: &str) -> Self {
        match dialect {
            "binance-coinm" => Self::Coinm,
            "aster" => Self::Aster,
            _ => Self::Usdm,
        }
    }

    /// Upgrade path of the WebSocket API, where there is one.
    pub fn api_path(self) -> Option<&'static str> {
        match self {
            Self::Usdm => Some("/ws-fapi/v1"),
            Self::Coinm => Some("/ws-dapi/v1"),
            Self::Aster => None,
        }
    }

    /// Streams per connection.
    pub fn streams_max(self) -> usize {
        if self == Self::Aster { 200 } else { 1_024 }
    }

    /// The server pings every connection this often.
    pub fn ping_ns(self) -> Nanos {
        if self == Self::Aster { 300 * SECOND } else { 180 * SECOND }
    }

    /// A parameter of a request that the venue does not read, and therefore refuses.
    pub fn unread(self, path: &str, params: &Params) -> Option<&'static str> {
        let unread = |(at, name): &&(&str, &str)| *at == path && params.get(name).is_some();
        UNREAD_AT_ASTER.iter().filter(|_| self == Self::Aster).find(unread).map(|(_, name)| *name)
    }

    /// The listen key of a user-data path. Stream names hold `@` or begin with `!`.
    pub fn listen_key(self, path: &str) -> Option<&str> {
        match self {
            Self::Usdm => path.strip_prefix("/private/ws/"),
            Self::Coinm | Self::Aster => path.strip_prefix("/ws/").filter(|key| !key.contains(['@', '!'])),
        }
    }

    /// Streams that a path serves, and the rest of the path. The un-prefixed paths of USDⓈ-M were shut off in
    /// April 2026.
    pub fn group(self, path: &str) -> Option<(Group, &str)> {
        match self {
            Self::Usdm => path
                .strip_prefix("/public/")
                .map(|rest| (Group::Public, rest))
                .or_else(|| path.strip_prefix("/market/").map(|rest| (Group::Market, rest))),
            Self::Coinm | Self::Aster => path.strip_prefix('/').map(|rest| (Group::All, rest)),
        }
    }

    /// Whether that stream exists here.
    pub fn has(self, stream: Stream) -> bool {
        self != Self::Aster || stream != Stream::ContractInfo
    }

    /// A REST path as USDⓈ-M has it; `None` where the market has no such path.
    pub fn rest_path(self, path: &str) -> Option<Cow<'_, str>> {
        match self {
            Self::Usdm => path.starts_with("/fapi/").then_some(Cow::Borrowed(path)),
            Self::Coinm if path == "/dapi/v2/leverageBracket" => {
                Some(Cow::Borrowed("/fapi/v1/leverageBracket"))
            }
            Self::Coinm => path.strip_prefix("/dapi/v1/").map(|rest| Cow::Owned(format!("/fapi/v1/{rest}"))),
            Self::Aster if path == "/fapi/v4/account" => Some(Cow::Borrowed("/fapi/v2/account")),
            Self::Aster if NOT_AT_ASTER.contains(&path) => None,
            Self::Aster => path.starts_with("/fapi/").then_some(Cow::Borrowed(path)),
        }
    }
}

/// `"ps":"BTCUSD",` where the venue sends the pair.
pub(super) fn pair_field(name: &str, listing: &Listing) -> String {
    if listing.is_inverse() {
        format!("\"{name}\":\"{}{}\",", listing.base, listing.quote)
    } else {
        String::new()
    }
}
