//! Binance USDⓈ-M and COIN-M futures, and Aster: decoder, continuity, sessions, account, order entry, metadata.
//!
//! What differs between Binance's look-alike markets and venues (COIN-M: `dapi`, inverse contracts settled in their base
//! coin, no split of the stream paths) stands in [`Variant`]; everything else is common. The protocol's facts are cited by section of the venue's
//! documentation (`developers.binance.com/docs/derivatives`). Start at [`adapter`] for the decode side,
//! [`encode`] for the route side, [`decode`] for the messages.
//!
//! Message types that are documented but carry nothing for us (shown as *ignored*): the list is
//! [`decode::IGNORED`]. Private ones are [`decode::PRIVATE`]. Everything else is *unknown*.

pub mod account;
pub mod adapter;
mod aster;
mod backfill;
pub mod continuity;
mod dead_man;
pub mod decode;
mod duties;
pub mod encode;
pub mod errors;
pub mod fast;
pub mod feed;
mod kill;
pub mod limits;
mod link;
mod locks;
pub mod market;
pub mod metadata;
mod nested;
pub mod orders;
mod schema;
mod standing;
pub mod symbols;

pub use self::aster::ASTER;
use super::message::Decoder;
use super::shape::Shape;
use super::{Adapter, Amending, ConnSpec, Dialect, Encoder, KillSwitch, VenueContext};
use crate::domain::event::SessionRole;
use crate::domain::instrument::ContractKind;
use crate::domain::params::{Extras, MarketCopies, OrderRoute};
use crate::domain::standing::CheckSet;

/// What differs between Binance's derivative markets.
#[derive(Debug)]
pub struct Variant {
    /// Dialect name.
    pub name: &'static str,
    /// HTTP base address in production.
    pub http_url: &'static str,
    /// Base address of the three stream connections.
    pub stream_url: &'static str,
    /// Base address of the WebSocket API; empty = there is none.
    pub api_url: &'static str,
    /// Upgrade path of the order book streams.
    pub path_public: &'static str,
    /// Upgrade path of the other market streams.
    pub path_market: &'static str,
    /// Upgrade path of the user stream, before the listen key.
    pub path_private: &'static str,
    /// Upgrade path of the WebSocket API.
    pub path_api: &'static str,
    /// REST paths, complete with version.
    pub rest: RestPaths,
    /// Linear or inverse contracts.
    pub kind: ContractKind,
    /// The ways of orders, the usual one first.
    pub orders: &'static [OrderRoute],
    /// Streams that one connection carries.
    pub streams_max: usize,
    /// What requests may say and streams offer.
    pub knows: Knows,
}

/// Variants in a saved state: by their name.
mod by_name {
    use super::{ASTER, COINM, USDM, Variant};
    use serde::de::{Deserialize, Deserializer, Error};
    use serde::ser::Serializer;

    pub(super) fn serialize<S: Serializer>(variant: &&'static Variant, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(variant.name)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<&'static Variant, D::Error> {
        let name = String::deserialize(from)?;
        let variant = [&USDM, &COINM, &ASTER].into_iter().find(|variant| variant.name == name);
        variant.ok_or_else(|| D::Error::custom(format!("no variant is called `{name}`")))
    }
}

/// What not every market knows.
#[derive(Debug)]
pub struct Knows {
    /// Orders say `selfTradePreventionMode`.
    pub self_trade: bool,
    /// `!contractInfo` is a stream.
    pub contract_info: bool,
    /// `userTrades` can be asked for a single order.
    pub trades_of_order: bool,
    /// `apiTradingStatus` tells which symbols the venue has locked for the account.
    pub indicators: bool,
    /// Orders can be modified.
    pub amending: bool,
}

/// Everything, as at Binance itself.
const ALL: Knows =
    Knows { self_trade: true, contract_info: true, trades_of_order: true, indicators: true, amending: true };
/// Both ways.
const BOTH: &[OrderRoute] = &[OrderRoute::Websocket, OrderRoute::Http];

/// REST paths of a market.
#[derive(Debug)]
#[allow(missing_docs)] // named after the venue's endpoints
pub struct RestPaths {
    pub exchange_info: &'static str,
    pub funding_info: &'static str,
    pub depth: &'static str,
    pub order: &'static str,
    pub listen_key: &'static str,
    pub open_orders: &'static str,
    pub all_open_orders: &'static str,
    pub position_risk: &'static str,
    pub balance: &'static str,
    pub user_trades: &'static str,
    pub time: &'static str,
    /// Modes and permission of the account, in one reply or one each.
    pub account_config: &'static [&'static str],
    pub symbol_config: &'static str,
    pub commission_rate: &'static str,
    pub countdown: &'static str,
    pub open_interest: &'static str,
    /// Asked for where [`Knows::indicators`] says so.
    pub indicators: &'static str,
}

/// USDⓈ-margined futures.
pub static USDM: Variant = Variant {
    name: "binance-usdm",
    http_url: "https://fapi.binance.com",
    stream_url: "wss://fstream.binance.com",
    api_url: "wss://ws-fapi.binance.com",
    path_public: "/public/ws",
    path_market: "/market/ws",
    path_private: "/private/ws/",
    path_api: "/ws-fapi/v1",
    rest: RestPaths {
        exchange_info: "/fapi/v1/exchangeInfo",
        funding_info: "/fapi/v1/fundingInfo",
        depth: "/fapi/v1/depth",
        order: "/fapi/v1/order",
        listen_key: "/fapi/v1/listenKey",
        open_orders: "/fapi/v1/openOrders",
        all_open_orders: "/fapi/v1/allOpenOrders",
        position_risk: "/fapi/v3/positionRisk",
        balance: "/fapi/v3/balance",
        user_trades: "/fapi/v1/userTrades",
        time: "/fapi/v1/time",
        account_config: &["/fapi/v1/accountConfig"],
        symbol_config: "/fapi/v1/symbolConfig",
        commission_rate: "/fapi/v1/commissionRate",
        countdown: "/fapi/v1/countdownCancelAll",
        open_interest: "/fapi/v1/openInterest",
        indicators: "/fapi/v1/apiTradingStatus",
    },
    kind: ContractKind::Linear,
    orders: BOTH,
    streams_max: 1_024,
    knows: ALL,
};

/// COIN-margined futures: inverse contracts of `contractSize` US dollars.
pub static COINM: Variant = Variant {
    name: "binance-coinm",
    http_url: "https://dapi.binance.com",
    stream_url: "wss://dstream.binance.com",
    api_url: "wss://ws-dapi.binance.com",
    path_public: "/ws",
    path_market: "/ws",
    path_private: "/ws/",
    path_api: "/ws-dapi/v1",
    rest: RestPaths {
        exchange_info: "/dapi/v1/exchangeInfo",
        funding_info: "/dapi/v1/fundingInfo",
        depth: "/dapi/v1/depth",
        order: "/dapi/v1/order",
        listen_key: "/dapi/v1/listenKey",
        open_orders: "/dapi/v1/openOrders",
        all_open_orders: "/dapi/v1/allOpenOrders",
        position_risk: "/dapi/v1/positionRisk",
        balance: "/dapi/v1/balance",
        user_trades: "/dapi/v1/userTrades",
        time: "/dapi/v1/time",
        // *verify*: documented for USDⓈ-M only. A venue that does not serve them is never ready for live orders.
        account_config: &["/dapi/v1/accountConfig"],
        symbol_config: "/dapi/v1/symbolConfig",
        commission_rate: "/dapi/v1/commissionRate",
        countdown: "/dapi/v1/countdownCancelAll",
        open_interest: "/dapi/v1/openInterest",
        indicators: "",
    },
    kind: ContractKind::Inverse,
    orders: BOTH,
    streams_max: 1_024,
    // The indicators are documented for USDⓈ-M only.
    knows: Knows { indicators: false, ..ALL },
};

/// Connections in the order of [`Dialect::connections`].
pub(crate) mod conn {
    /// `bookTicker` and `depth`.
    pub const PUBLIC: usize = 0;
    /// `aggTrade` and `markPrice`.
    pub const MARKET: usize = 1;
    /// The user stream.
    pub const PRIVATE: usize = 2;
    /// The WebSocket API: orders. Where the venue has none, or orders go over HTTP, it is never established.
    pub const API: usize = 3;
    /// How many Binance has when trading, before second ones for market data.
    #[cfg(test)]
    pub const COUNT: usize = 4;

    /// Which market stream a connection carries, and as which copy: [`PUBLIC`] or [`MARKET`], and `LINKS` more
    /// on a second connection. Those stand behind the venue's first `count`.
    pub const fn slot(index: usize, count: usize) -> Option<usize> {
        if index < super::market::LINKS {
            Some(index)
        } else if index >= count {
            Some(super::market::LINKS + index - count)
        } else {
            None
        }
    }
}

/// Operation codes of [`crate::domain::effect::VenueCall`].
pub(crate) mod op {
    /// `GET exchangeInfo`.
    pub const EXCHANGE_INFO: u16 = 1;
    /// `GET fundingInfo`.
    pub const FUNDING_INFO: u16 = 2;
    /// `GET depth` of the call's instrument.
    pub const DEPTH: u16 = 3;
    /// `POST listenKey`.
    pub const LISTEN_KEY: u16 = 4;
    /// `PUT listenKey`.
    pub const LISTEN_KEY_KEEP: u16 = 5;
    /// `GET openOrders`.
    pub const OPEN_ORDERS: u16 = 6;
    /// `GET positionRisk`.
    pub const POSITION_RISK: u16 = 7;
    /// `GET balance`.
    pub const BALANCE: u16 = 8;
    /// `GET userTrades` of the call's instrument and order (`arg` = the venue's order id).
    pub const USER_TRADES: u16 = 9;
    /// `GET time`.
    pub const TIME: u16 = 10;
    /// `GET` the `arg`-th of [`super::RestPaths::account_config`].
    pub const ACCOUNT_CONFIG: u16 = 11;
    /// `GET symbolConfig`.
    pub const SYMBOL_CONFIG: u16 = 12;
    /// `GET commissionRate` of the call's instrument.
    pub const COMMISSION: u16 = 13;
    /// `POST countdownCancelAll` of the call's instrument (`arg` = ms).
    pub const COUNTDOWN: u16 = 14;
    /// `GET openInterest` of the call's instrument.
    pub const OPEN_INTEREST: u16 = 15;
    /// `GET apiTradingStatus` of all symbols.
    pub const INDICATORS: u16 = 16;
    /// `GET userTrades` of the call's instrument: from `arg` ms on, or, with [`FROM_ID`] set, from that trade on.
    pub const MISSED: u16 = 17;
    /// See [`MISSED`].
    pub const FROM_ID: u64 = 1 << 63;
    /// `session.logon` on the WebSocket API.
    pub const LOGON: u16 = 21;
    /// `SUBSCRIBE` to the streams of a [`super::Batch`].
    pub const SUBSCRIBE: u16 = 20;
    /// `SUBSCRIBE` to what else is wanted of the listings of a [`super::Batch`].
    pub const SUBSCRIBE_EXTRAS: u16 = 22;
}

/// Listings whose streams are asked for in one message: a start in the venue's listings and a mask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// First listing (index in [`VenueContext::listings`]).
    pub start: u16,
    /// Bit i: listing `start + i`.
    pub mask: u32,
    /// Number of the request, echoed by the venue.
    pub request: u32,
    /// With the streams that are about no listing in particular.
    pub wide: bool,
}

/// The bit of a batch's start that says whether it is wide: there are far fewer listings.
const WIDE: u16 = 0x8000;

impl Batch {
    /// Listings that one message spans: two streams of at most 47 bytes each stay below `PAYLOAD_MAX`.
    pub const SPAN: usize = 20;

    /// As the argument of a [`crate::domain::effect::VenueCall`].
    pub const fn encode(self) -> u64 {
        (self.start & !WIDE | if self.wide { WIDE } else { 0 }) as u64
            | ((self.mask as u64 & 0xf_ffff) << 16)
            | ((self.request as u64 & 0xfff_ffff) << 36)
    }

    /// From the argument of a call.
    pub const fn decode(arg: u64) -> Self {
        Self {
            start: arg as u16 & !WIDE,
            mask: ((arg >> 16) & 0xf_ffff) as u32,
            request: ((arg >> 36) & 0xfff_ffff) as u32,
            wide: arg as u16 & WIDE != 0,
        }
    }

    /// Indices of the listings.
    pub fn listings(self) -> impl Iterator<Item = usize> {
        (0..Self::SPAN)
            .filter(move |bit| self.mask & (1 << bit) != 0)
            .map(move |bit| usize::from(self.start) + bit)
    }
}

/// A market as a [`Dialect`].
macro_rules! market {
    ($(#[$about:meta])* $name:ident = $variant:ident) => {
        $(#[$about])*
        #[derive(Debug)]
        pub struct $name;

        impl Dialect for $name {
            fn name(&self) -> &'static str {
                $variant.name
            }

            fn connections(&self, trading: bool) -> Vec<ConnSpec> {
                $variant.connections(trading)
            }

            fn relays(&self) -> bool {
                true
            }

            fn orders_per_10s(&self) -> u32 {
                200 // of 300 on USDⓈ-M, and of 1,200 a minute on Aster
            }

            fn http_url(&self) -> &'static str {
                $variant.http_url
            }

            fn adapter(&self, context: &VenueContext) -> Box<dyn Adapter> {
                Box::new(adapter::BinanceAdapter::new(&$variant, context))
            }

            fn start_checks(&self) -> CheckSet {
                standing::CHECKS
            }

            fn order_routes(&self) -> &'static [OrderRoute] {
                $variant.orders
            }

            fn amending(&self) -> Amending {
                if $variant.knows.amending { Amending::InPlace } else { Amending::None }
            }

            fn listings_max(&self, extras: Extras, _: MarketCopies) -> usize {
                // Two streams of each listing on each connection; the extras join those of one.
                let streams = 2 + usize::from(extras.ticker) + usize::from(extras.liquidations);
                ($variant.streams_max - usize::from($variant.knows.contract_info)) / streams
            }

            fn encoder(&self, context: &VenueContext) -> Box<dyn Encoder> {
                Box::new(encode::BinanceEncoder::new(&$variant, context))
            }

            fn kill_switch(&self, context: &VenueContext) -> Option<Box<dyn KillSwitch>> {
                Some(Box::new(kill::BinanceKill::new(&$variant, context)))
            }

            fn private_shapes(&self) -> &'static [Shape] {
        schema::PRIVATE
    }

    fn decoder(&self) -> Box<dyn Decoder> {
                Box::new(decode::BinanceDecoder::default())
            }
        }
    };
}

market! {
    /// Binance USDⓈ-M futures.
    BinanceUsdm = USDM
}
market! {
    /// Binance COIN-M futures.
    BinanceCoinm = COINM
}
market! {
    /// Aster perpetual futures.
    Aster = ASTER
}

impl Variant {
    fn connections(&self, trading: bool) -> Vec<ConnSpec> {
        let spec = |role, url: &str| ConnSpec { role, url: url.to_owned() };
        let mut specs =
            vec![spec(SessionRole::Market, self.stream_url), spec(SessionRole::Market, self.stream_url)];
        if trading {
            specs.push(spec(SessionRole::Account, self.stream_url));
        }
        if trading && !self.api_url.is_empty() {
            specs.push(spec(SessionRole::Orders, self.api_url));
        }
        specs
    }

    /// The way of orders: as configured, where the market has it.
    fn route(&self, context: &VenueContext) -> OrderRoute {
        let configured = context.params.orders;
        self.orders.iter().copied().find(|route| *route == configured).unwrap_or(self.orders[0])
    }
}

#[cfg(test)]
mod tests;
