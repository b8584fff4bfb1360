//! What differs between the venue's two markets: paths, and the few fields of their messages.

use super::stream::Group;
use crate::sim::exchange::Listing;
use std::borrow::Cow;

/// Which market.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flavour {
    /// USDⓈ-M: linear contracts, stream paths by group.
    Usdm,
    /// COIN-M: inverse contracts, one stream path, no `TRADE_LITE`.
    Coinm,
}

impl Flavour {
    /// Of a dialect's name.
    pub fn of(dialect: &str) -> Self {
        if dialect == "binance-coinm" { Self::Coinm } else { Self::Usdm }
    }

    /// Upgrade path of the WebSocket API.
    pub fn api_path(self) -> &'static str {
        match self {
            Self::Usdm => "/ws-fapi/v1",
            Self::Coinm => "/ws-dapi/v1",
        }
    }

    /// The listen key of a user-data path. Stream names hold `@` or begin with `!`.
    pub fn listen_key(self, path: &str) -> Option<&str> {
        match self {
            Self::Usdm => path.strip_prefix("/private/ws/"),
            Self::Coinm => path.strip_prefix("/ws/").filter(|key| !key.contains(['@', '!'])),
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
            Self::Coinm => path.strip_prefix('/').map(|rest| (Group::All, rest)),
        }
    }

    /// A REST path as USDⓈ-M has it; `None` where the market has no such path.
    pub fn rest_path(self, path: &str) -> Option<Cow<'_, str>> {
        match self {
            Self::Usdm => path.starts_with("/fapi/").then_some(Cow::Borrowed(path)),
            Self::Coinm if path == "/dapi/v2/leverageBracket" => {
                Some(Cow::Borrowed("/fapi/v1/leverageBracket"))
            }
            Self::Coinm => path.strip_prefix("/dapi/v1/").map(|rest| Cow::Owned(format!("/fapi/v1/{rest}"))),
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
