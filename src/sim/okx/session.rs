//! A WebSocket client of the venue: its endpoint, login, and subscriptions.

use super::wire::Fault;
use crate::domain::time::{Nanos, SECOND};
use crate::sim::exchange::{AccountId, Exchange, ListingId, RateWindow};
use serde_json::Value;

/// Subscribe, unsubscribe and login requests per connection and hour.
const REQUESTS_PER_HOUR_MAX: u32 = 480;

/// The three WebSocket services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    Public,
    Private,
    Business,
}

impl Endpoint {
    pub(super) fn of_path(path: &str) -> Option<Self> {
        match path.split('?').next()? {
            "/ws/v5/public" => Some(Self::Public),
            "/ws/v5/private" => Some(Self::Private),
            "/ws/v5/business" => Some(Self::Business),
            _ => None,
        }
    }
}

/// What can be subscribed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Channel {
    BboTbt,
    Books,
    Books5,
    Trades,
    Tickers,
    MarkPrice,
    IndexTickers,
    FundingRate,
    OpenInterest,
    Liquidations,
    PriceLimit,
    Instruments,
    Status,
    Orders,
    Positions,
    Account,
    BalanceAndPosition,
}

const CHANNELS: [(&str, Channel); 17] = [
    ("bbo-tbt", Channel::BboTbt),
    ("books", Channel::Books),
    ("books5", Channel::Books5),
    ("trades", Channel::Trades),
    ("tickers", Channel::Tickers),
    ("mark-price", Channel::MarkPrice),
    ("index-tickers", Channel::IndexTickers),
    ("funding-rate", Channel::FundingRate),
    ("open-interest", Channel::OpenInterest),
    ("liquidation-orders", Channel::Liquidations),
    ("price-limit", Channel::PriceLimit),
    ("instruments", Channel::Instruments),
    ("status", Channel::Status),
    ("orders", Channel::Orders),
    ("positions", Channel::Positions),
    ("account", Channel::Account),
    ("balance_and_position", Channel::BalanceAndPosition),
];

impl Channel {
    pub(super) fn name(self) -> &'static str {
        CHANNELS.iter().find(|(_, channel)| *channel == self).map_or("", |(name, _)| name)
    }

    pub(super) fn endpoint(self) -> Endpoint {
        match self {
            Self::Orders | Self::Positions | Self::Account | Self::BalanceAndPosition => Endpoint::Private,
            _ => Endpoint::Public,
        }
    }

    /// Channels of one instrument (or index), named by `instId`.
    fn needs_instrument(self) -> bool {
        self.endpoint() != Endpoint::Private
            && !matches!(self, Self::Instruments | Self::Status | Self::Liquidations)
    }
}

/// A subscription.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Subscription {
    pub(super) channel: Channel,
    /// The instrument; `None`: all.
    pub(super) listing: Option<ListingId>,
    /// The argument as it was sent, echoed in acknowledgements and private data.
    pub(super) arg: Value,
    /// Private channels: no periodic pushes (`extraParams` `updateInterval` 0).
    pub(super) events_only: bool,
}

impl Subscription {
    /// Reads one argument of a `subscribe` or `unsubscribe` request.
    pub(super) fn parse(arg: &Value, endpoint: Endpoint, exchange: &Exchange) -> Result<Self, Fault> {
        let field = |name: &str| arg.get(name).and_then(Value::as_str).unwrap_or_default();
        let name = field("channel");
        let wrong = || {
            let shown: Vec<String> = ["instType", "instFamily", "instId"]
                .iter()
                .filter(|key| !field(key).is_empty())
                .map(|key| format!(",{key}:{}", field(key)))
                .collect();
            let text = "Please use the correct URL, channel and parameters referring to API document.";
            Fault::new(
                "60018",
                format!("Wrong URL or channel:{name}{} doesn't exist. {text}", shown.concat()),
            )
        };
        let (_, channel) = CHANNELS.iter().find(|(known, _)| *known == name).ok_or_else(wrong)?;
        if channel.endpoint() != endpoint {
            return Err(wrong());
        }
        let symbol = field("instId");
        let listing = if symbol.is_empty() {
            None
        } else if *channel == Channel::IndexTickers {
            let index = |(_, listing): &(usize, &crate::sim::exchange::Listing)| {
                symbol == format!("{}-{}", listing.base, listing.quote)
            };
            let at = exchange.listings().iter().enumerate().find(index).ok_or_else(wrong)?.0;
            Some(ListingId(at as u16))
        } else {
            Some(exchange.find(symbol).ok_or_else(wrong)?)
        };
        if channel.needs_instrument() && listing.is_none() {
            return Err(wrong());
        }
        let typed = matches!(
            channel,
            Channel::Orders | Channel::Positions | Channel::Instruments | Channel::Liquidations
        );
        if typed && !matches!(field("instType"), "SWAP" | "ANY") {
            return Err(wrong());
        }
        let events_only = field("extraParams").replace(' ', "").contains("\"updateInterval\":\"0\"")
            || field("extraParams").replace(' ', "").contains("\"updateInterval\":0");
        Ok(Self { channel: *channel, listing, arg: arg.clone(), events_only })
    }

    /// Whether it is the same stream (other parameters do not matter).
    pub(super) fn same(&self, other: &Self) -> bool {
        self.channel == other.channel && self.listing == other.listing
    }
}

/// A connected client.
#[derive(Clone, Debug)]
pub(super) struct Client {
    pub(super) endpoint: Endpoint,
    /// Who logged in.
    pub(super) account: Option<AccountId>,
    pub(super) subscriptions: Vec<Subscription>,
    /// Last message in either direction.
    pub(super) active_at: Nanos,
    pub(super) requests: RateWindow,
    /// The venue's name for the connection.
    pub(super) conn_id: String,
}

impl Client {
    pub(super) fn new(endpoint: Endpoint, number: u32, now: Nanos) -> Self {
        // Looks random, is not: the same run gives the same names.
        let hash = number.wrapping_add(0x9e37_79b9).wrapping_mul(0x85eb_ca6b);
        Self {
            endpoint,
            account: None,
            subscriptions: Vec::new(),
            active_at: now,
            requests: RateWindow::new(REQUESTS_PER_HOUR_MAX, 3_600 * SECOND),
            conn_id: format!("{:08x}", hash ^ (hash >> 15)),
        }
    }
}
