//! The route side: orders, cancels and queries for the WebSocket API or HTTP, subscriptions, HTTP requests, upgrade
//! paths. Renders bytes with holes for key and signature; holds no secret and remembers nothing but scales.
//!
//! Signed text on the WebSocket API: the parameters in alphabetical order, `k=v` joined by `&`, without
//! percent-encoding; on HTTP: the query string as sent (venue documentation, "Request Security").

use super::market::LINKS;
use super::orders::{LOGON_ID, Request, RequestId};
use super::symbols::Listings;
use super::{Batch, Variant, conn, op};
use crate::domain::effect::{
    HoleKind, OutMeta, Payload, PayloadFull, Redact, SecretSlot, SignScheme, VenueCall,
};
use crate::domain::input::ConnId;
use crate::domain::instrument::Instrument;
use crate::domain::intent::OrderRef;
use crate::domain::number::Num;
use crate::domain::order::{OrderSpec, Side, TimeInForce};
use crate::domain::params::{Extras, OrderRoute, SessionKind};
use crate::domain::text::Text;
use crate::domain::time::Stamp;
use crate::venue::{Encoder, Rendered, VenueContext};
use serde::{Deserialize, Serialize};
use std::fmt::{Arguments, Write};

/// Largest `recvWindow` that the venue accepts, ms; also used for what must not be late (queries, cancels).
const RECV_WINDOW_MAX: i64 = 60_000;
/// `recvWindow` of requests that are no orders, ms: the venue's default.
const RECV_WINDOW: i64 = 5_000;
/// Authenticates a connection of the WebSocket API.
const LOGON: &str = "session.logon";
/// Levels of a depth snapshot; the stream touches more, and they arrive with it.
const DEPTH_LIMIT: &str = "1000";

/// Not the link itself: its streams are asked for without the venue's word about listings.
const EXTRAS: usize = usize::MAX;

/// Trades of one order in a reply: the venue's maximum.
pub(super) const TRADES_LIMIT: u32 = 1000;

/// The route side of one Binance market.
#[derive(Debug, Serialize, Deserialize)]
pub struct BinanceEncoder {
    #[serde(with = "super::by_name")]
    variant: &'static Variant,
    conn_base: ConnId,
    slot: SecretSlot,
    /// How many connections the venue has before second ones.
    conns: usize,
    recv_window: i64,
    session: SessionKind,
    orders: OrderRoute,
    listings: Listings,
    extras: Extras,
}

/// A parameter's value.
enum Value<'a> {
    Text(&'a str),
    Num(Num),
    Int(i64),
    /// A bare number in JSON (timestamps are `LONG`, everything decimal is a string).
    Key,
    /// Not said at all.
    Absent,
}

/// As in a query string; there the key is no parameter.
impl std::fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Num(num) => write!(f, "{num}"),
            Self::Int(value) => write!(f, "{value}"),
            Self::Key | Self::Absent => Ok(()),
        }
    }
}

impl BinanceEncoder {
    /// For the venue and listings of `context`.
    pub fn new(variant: &'static Variant, context: &VenueContext) -> Self {
        Self {
            variant,
            conn_base: context.conn_base,
            slot: context.slot_base,
            conns: variant.connections(context.trading).len(),
            recv_window: match context.params.order_valid_ms {
                ..=0 => RECV_WINDOW,
                ms => ms.min(RECV_WINDOW_MAX),
            },
            session: context.params.session,
            orders: variant.route(context),
            listings: Listings::new(&context.listings),
            extras: context.params.extras,
        }
    }

    fn instrument(&self, id: crate::domain::instrument::InstrumentId) -> Result<&Instrument, PayloadFull> {
        // Route sends nothing for instruments without definition; an order without scale cannot be written.
        self.listings.index(id).and_then(|index| self.listings.instrument(index)).ok_or(PayloadFull)
    }

    fn symbol(&self, what: VenueCall) -> Result<crate::domain::text::Symbol, PayloadFull> {
        let index = what.instrument.and_then(|id| self.listings.index(id)).ok_or(PayloadFull)?;
        Ok(self.listings.params(index).symbol)
    }

    fn api(&self) -> Rendered {
        Rendered::Socket(ConnId(self.conn_base.0 + conn::API as u8))
    }

    /// A request about an order, by the way that orders take: `method` on the WebSocket API, `verb` over HTTP.
    fn about_order(
        &self,
        id: RequestId,
        (method, verb): (&str, &str),
        params: &[(&str, Value<'_>)],
        to: &mut Payload,
    ) -> Result<Rendered, PayloadFull> {
        if self.orders == OrderRoute::Websocket {
            return self.request(&id.bytes(), method, params, to);
        }
        let params = params.iter().filter(|(_, value)| !matches!(value, Value::Key | Value::Absent));
        to.clear();
        write!(to, "{verb} {}?", self.variant.rest.order).map_err(|_| PayloadFull)?;
        for (name, value) in params.clone() {
            write!(to, "{name}={value}&").map_err(|_| PayloadFull)?;
        }
        to.push(b"signature=")?;
        to.push_hole(HoleKind::Signature)?;
        self.key_header(to)?;
        to.scheme = self.http_scheme();
        for (at, (name, value)) in params.enumerate() {
            let separator = if at == 0 { "" } else { "&" };
            write!(Signed(to), "{separator}{name}={value}").map_err(|_| PayloadFull)?;
        }
        Ok(Rendered::Http)
    }

    /// A request with its parameters in alphabetical order, signed; on a session that was logged on neither key
    /// nor signature are sent.
    fn request(
        &self,
        id: &[u8],
        method: &str,
        params: &[(&str, Value<'_>)],
        to: &mut Payload,
    ) -> Result<Rendered, PayloadFull> {
        debug_assert!(params.windows(2).all(|pair| pair[0].0 < pair[1].0), "signed text must be sorted");
        let signed = self.session == SessionKind::Signed || method == LOGON;
        let said = |value: &Value<'_>| match value {
            Value::Key => signed,
            Value::Absent => false,
            _ => true,
        };
        let params = params.iter().filter(|(_, value)| said(value));
        to.clear();
        to.push(b"{\"id\":\"")?;
        to.push(id)?;
        to.push(b"\",\"method\":\"")?;
        to.push(method.as_bytes())?;
        to.push(b"\",\"params\":{")?;
        let mut separator: &[u8] = b"\"";
        for (name, value) in params.clone() {
            to.push(separator)?;
            to.push(name.as_bytes())?;
            to.push(b"\":")?;
            match value {
                Value::Text(text) => {
                    to.push(b"\"")?;
                    to.push(text.as_bytes())?;
                    to.push(b"\"")?;
                }
                Value::Num(num) => write!(to, "\"{num}\"").map_err(|_| PayloadFull)?,
                Value::Int(value) => write!(to, "{value}").map_err(|_| PayloadFull)?,
                Value::Key => {
                    to.push(b"\"")?;
                    to.push_hole(HoleKind::ApiKey)?;
                    to.push(b"\"")?;
                }
                Value::Absent => {}
            }
            separator = b",\"";
        }
        if !signed {
            to.push(b"}}")?;
            return Ok(self.api());
        }
        to.push(b",\"signature\":\"")?;
        to.push_hole(HoleKind::Signature)?;
        to.push(b"\"}}")?;
        to.scheme = match self.session {
            SessionKind::Signed => SignScheme::HmacSha256Hex,
            SessionKind::Logon => SignScheme::Ed25519Base64,
        };
        let mut separator: &[u8] = b"";
        for (name, value) in params {
            to.push_sign(separator)?;
            to.push_sign(name.as_bytes())?;
            to.push_sign(b"=")?;
            match value {
                Value::Text(text) => to.push_sign(text.as_bytes())?,
                Value::Num(num) => write!(Signed(to), "{num}").map_err(|_| PayloadFull)?,
                Value::Int(value) => write!(Signed(to), "{value}").map_err(|_| PayloadFull)?,
                Value::Key => to.push_sign_hole(HoleKind::ApiKey)?,
                Value::Absent => {}
            }
            separator = b"&";
        }
        Ok(self.api())
    }

    fn by_client_id(
        &self,
        request: Request,
        methods: (&str, &str),
        order: &OrderRef,
        now: Stamp,
        to: &mut Payload,
    ) -> Result<Rendered, PayloadFull> {
        let index = self.listings.index(order.instrument).ok_or(PayloadFull)?;
        let symbol = self.listings.params(index).symbol;
        let hex = order.client_id.hex();
        self.about_order(
            RequestId { request, client_id: order.client_id },
            methods,
            &[
                ("apiKey", Value::Key),
                ("origClientOrderId", Value::Text(ascii(&hex))),
                ("recvWindow", Value::Int(RECV_WINDOW)),
                ("symbol", Value::Text(symbol.as_str())),
                ("timestamp", Value::Int(now.wall_ms())),
            ],
            to,
        )
    }

    /// A signed request without body; `query` is empty or ends with `&`.
    fn signed_get(
        &self,
        path: &str,
        query: Arguments<'_>,
        now: Stamp,
        to: &mut Payload,
    ) -> Result<(), PayloadFull> {
        self.signed("GET", path, query, now, to)
    }

    fn signed(
        &self,
        method: &str,
        path: &str,
        query: Arguments<'_>,
        now: Stamp,
        to: &mut Payload,
    ) -> Result<(), PayloadFull> {
        let (window, timestamp) = (RECV_WINDOW, now.wall_ms());
        write!(to, "{method} {path}?{query}recvWindow={window}&timestamp={timestamp}&signature=")
            .map_err(|_| PayloadFull)?;
        to.push_hole(HoleKind::Signature)?;
        self.key_header(to)?;
        to.scheme = self.http_scheme();
        write!(Signed(to), "{query}recvWindow={window}&timestamp={timestamp}").map_err(|_| PayloadFull)
    }

    fn http_scheme(&self) -> SignScheme {
        match self.session {
            SessionKind::Signed => SignScheme::HmacSha256Hex,
            SessionKind::Logon => SignScheme::Ed25519Percent,
        }
    }

    fn key_header(&self, to: &mut Payload) -> Result<(), PayloadFull> {
        to.push(b"\nX-MBX-APIKEY: ")?;
        to.push_hole(HoleKind::ApiKey)?;
        to.push(b"\n\n")
    }

    fn subscribe(&self, link: usize, batch: Batch, to: &mut Payload) -> Result<(), PayloadFull> {
        let streams: [&[u8]; 2] = if link == conn::PUBLIC {
            [b"@bookTicker", b"@depth@100ms"]
        } else {
            [b"@aggTrade", b"@markPrice@1s"]
        };
        self.streams(link, batch, &streams, to)
    }

    /// What else is wanted of the same listings: shorter names than those of [`Batch::SPAN`].
    fn subscribe_extras(&self, batch: Batch, to: &mut Payload) -> Result<(), PayloadFull> {
        let streams: [&[u8]; 2] = [b"@ticker", b"@forceOrder"];
        let wanted = match (self.extras.ticker, self.extras.liquidations) {
            (true, true) => &streams[..],
            (true, false) => &streams[..1],
            _ => &streams[1..],
        };
        self.streams(EXTRAS, batch, wanted, to)
    }

    fn streams(
        &self,
        link: usize,
        batch: Batch,
        streams: &[&[u8]],
        to: &mut Payload,
    ) -> Result<(), PayloadFull> {
        to.push(b"{\"method\":\"SUBSCRIBE\",\"params\":[")?;
        let mut separator: &[u8] = b"\"";
        if link == conn::MARKET && batch.wide && self.variant.knows.contract_info {
            // The venue's word about listings.
            to.push(b"\"!contractInfo\"")?;
            separator = b",\"";
        }
        for index in batch.listings().filter(|index| *index < self.listings.len()) {
            let mut name = [0u8; 32];
            let symbol = self.listings.params(index).symbol;
            let lower = &mut name[..symbol.as_bytes().len()];
            lower.copy_from_slice(symbol.as_bytes());
            lower.make_ascii_lowercase();
            for stream in streams {
                to.push(separator)?;
                to.push(lower)?;
                to.push(stream)?;
                to.push(b"\"")?;
                separator = b",\"";
            }
        }
        write!(to, "],\"id\":{}}}", batch.request).map_err(|_| PayloadFull)
    }
}

/// `write!` into the text to sign.
struct Signed<'a>(&'a mut Payload);

impl Write for Signed<'_> {
    fn write_str(&mut self, part: &str) -> std::fmt::Result {
        self.0.push_sign(part.as_bytes()).map_err(|_| std::fmt::Error)
    }
}

/// Hex digits as text.
fn ascii(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

impl Encoder for BinanceEncoder {
    fn on_instrument(&mut self, instrument: &Instrument) {
        self.listings.define(instrument);
    }

    fn take_route(&mut self, route: OrderRoute) {
        self.orders = route;
    }

    fn order(
        &mut self,
        order: &OrderSpec,
        meta: &OutMeta,
        now: Stamp,
        to: &mut Payload,
    ) -> Result<Rendered, PayloadFull> {
        let instrument = self.instrument(order.instrument)?;
        let hex = order.client_id.hex();
        let side = match order.side {
            Side::Buy => "BUY",
            Side::Sell => "SELL",
        };
        let tif = match order.tif {
            TimeInForce::Ioc => "IOC",
            TimeInForce::Fok => "FOK",
            TimeInForce::Gtc => "GTC",
            TimeInForce::PostOnly => "GTX",
        };
        // An opening order that arrives late is worth nothing; a reduction or a hedge must not be refused.
        let lasting = meta.urgent || order.reduce_only;
        let window = if lasting { self.recv_window.max(RECV_WINDOW) } else { self.recv_window };
        let said_if = |said: bool, text| if said { Value::Text(text) } else { Value::Absent };
        let params = [
            ("apiKey", Value::Key),
            ("newClientOrderId", Value::Text(ascii(&hex))),
            ("newOrderRespType", Value::Text("ACK")),
            ("price", Value::Num(instrument.price_num(order.price))),
            ("quantity", Value::Num(instrument.qty_num(order.qty))),
            ("recvWindow", Value::Int(window)),
            ("reduceOnly", said_if(order.reduce_only, "true")),
            ("selfTradePreventionMode", said_if(self.variant.knows.self_trade, "EXPIRE_MAKER")),
            ("side", Value::Text(side)),
            ("symbol", Value::Text(instrument.symbol.as_str())),
            ("timeInForce", Value::Text(tif)),
            ("timestamp", Value::Int(now.wall_ms())),
            ("type", Value::Text("LIMIT")),
        ];
        let id = RequestId { request: Request::Place, client_id: order.client_id };
        self.about_order(id, ("order.place", "POST"), &params, to)
    }

    fn cancel(
        &mut self,
        order: &OrderRef,
        _: &OutMeta,
        now: Stamp,
        to: &mut Payload,
    ) -> Result<Rendered, PayloadFull> {
        self.by_client_id(Request::Cancel, ("order.cancel", "DELETE"), order, now, to)
    }

    /// `order.modify`: price and total quantity, both, whichever changes.
    fn amend(
        &mut self,
        order: &OrderSpec,
        meta: &OutMeta,
        now: Stamp,
        to: &mut Payload,
    ) -> Result<Option<Rendered>, PayloadFull> {
        if !self.variant.knows.amending {
            return Ok(None);
        }
        let instrument = self.instrument(order.instrument)?;
        let hex = order.client_id.hex();
        let side = match order.side {
            Side::Buy => "BUY",
            Side::Sell => "SELL",
        };
        let lasting = meta.urgent || order.reduce_only;
        let window = if lasting { self.recv_window.max(RECV_WINDOW) } else { self.recv_window };
        let params = [
            ("apiKey", Value::Key),
            ("origClientOrderId", Value::Text(ascii(&hex))),
            ("price", Value::Num(instrument.price_num(order.price))),
            ("quantity", Value::Num(instrument.qty_num(order.qty))),
            ("recvWindow", Value::Int(window)),
            ("side", Value::Text(side)),
            ("symbol", Value::Text(instrument.symbol.as_str())),
            ("timestamp", Value::Int(now.wall_ms())),
        ];
        let id = RequestId { request: Request::Amend, client_id: order.client_id };
        self.about_order(id, ("order.modify", "PUT"), &params, to).map(Some)
    }

    fn query(
        &mut self,
        order: &OrderRef,
        _: &OutMeta,
        now: Stamp,
        to: &mut Payload,
    ) -> Result<Rendered, PayloadFull> {
        self.by_client_id(Request::Query, ("order.status", "GET"), order, now, to)
    }

    fn send(
        &mut self,
        conn: ConnId,
        what: VenueCall,
        now: Stamp,
        to: &mut Payload,
    ) -> Result<(), PayloadFull> {
        to.clear();
        let index = conn.index().checked_sub(self.conn_base.index()).ok_or(PayloadFull)?;
        match what.op {
            op::SUBSCRIBE => {
                let slot = conn::slot(index, self.conns).ok_or(PayloadFull)?;
                self.subscribe(slot % LINKS, Batch::decode(what.arg), to)
            }
            op::SUBSCRIBE_EXTRAS => self.subscribe_extras(Batch::decode(what.arg), to),
            op::LOGON => {
                let params = [("apiKey", Value::Key), ("timestamp", Value::Int(now.wall_ms()))];
                self.request(LOGON_ID, LOGON, &params, to).map(|_| ())
            }
            _ => Err(PayloadFull),
        }
    }

    fn http(&mut self, what: VenueCall, now: Stamp, to: &mut Payload) -> Result<Option<Redact>, PayloadFull> {
        to.clear();
        let rest = &self.variant.rest;
        let key = Text::new("listenKey").ok_or(PayloadFull)?;
        let redact = Redact { slot: self.slot, key };
        match what.op {
            op::EXCHANGE_INFO => write!(to, "GET {}\n\n", rest.exchange_info).map_err(|_| PayloadFull)?,
            op::FUNDING_INFO => write!(to, "GET {}\n\n", rest.funding_info).map_err(|_| PayloadFull)?,
            op::DEPTH => {
                let index = what.instrument.and_then(|id| self.listings.index(id)).ok_or(PayloadFull)?;
                let symbol = self.listings.params(index).symbol;
                write!(to, "GET {}?symbol={symbol}&limit={DEPTH_LIMIT}\n\n", rest.depth)
                    .map_err(|_| PayloadFull)?;
            }
            op::OPEN_INTEREST => {
                let symbol = self.symbol(what)?;
                write!(to, "GET {}?symbol={symbol}\n\n", rest.open_interest).map_err(|_| PayloadFull)?;
            }
            op::LISTEN_KEY | op::LISTEN_KEY_KEEP => {
                let method = if what.op == op::LISTEN_KEY { "POST" } else { "PUT" };
                write!(to, "{method} {}", rest.listen_key).map_err(|_| PayloadFull)?;
                self.key_header(to)?;
                return Ok(Some(redact));
            }
            op::OPEN_ORDERS => self.signed_get(rest.open_orders, format_args!(""), now, to)?,
            op::POSITION_RISK => self.signed_get(rest.position_risk, format_args!(""), now, to)?,
            op::BALANCE => self.signed_get(rest.balance, format_args!(""), now, to)?,
            op::TIME => write!(to, "GET {}\n\n", rest.time).map_err(|_| PayloadFull)?,
            op::ACCOUNT_CONFIG => {
                let at = usize::try_from(what.arg).map_err(|_| PayloadFull)?;
                let path = rest.account_config.get(at).ok_or(PayloadFull)?;
                self.signed_get(path, format_args!(""), now, to)?;
            }
            op::SYMBOL_CONFIG => self.signed_get(rest.symbol_config, format_args!(""), now, to)?,
            op::INDICATORS => self.signed_get(rest.indicators, format_args!(""), now, to)?,
            op::COMMISSION => {
                let symbol = self.symbol(what)?;
                self.signed_get(rest.commission_rate, format_args!("symbol={symbol}&"), now, to)?;
            }
            op::COUNTDOWN => {
                let (symbol, ms) = (self.symbol(what)?, what.arg);
                let query = format_args!("symbol={symbol}&countdownTime={ms}&");
                self.signed("POST", rest.countdown, query, now, to)?;
            }
            op::USER_TRADES => {
                let index = what.instrument.and_then(|id| self.listings.index(id)).ok_or(PayloadFull)?;
                let (symbol, order) = (self.listings.params(index).symbol, what.arg);
                if self.variant.knows.trades_of_order {
                    let query = format_args!("symbol={symbol}&orderId={order}&limit={TRADES_LIMIT}&");
                    self.signed_get(rest.user_trades, query, now, to)?;
                } else {
                    // The latest ones of the symbol: those of the order are among them.
                    let query = format_args!("symbol={symbol}&limit={TRADES_LIMIT}&");
                    self.signed_get(rest.user_trades, query, now, to)?;
                }
            }
            op::MISSED => {
                let index = what.instrument.and_then(|id| self.listings.index(id)).ok_or(PayloadFull)?;
                let symbol = self.listings.params(index).symbol;
                let (from, at) = match what.arg & op::FROM_ID {
                    0 => ("startTime", what.arg),
                    _ => ("fromId", what.arg & !op::FROM_ID),
                };
                let query = format_args!("symbol={symbol}&{from}={at}&limit={TRADES_LIMIT}&");
                self.signed_get(rest.user_trades, query, now, to)?;
            }
            _ => return Err(PayloadFull),
        }
        Ok(None)
    }

    fn connect(
        &mut self,
        conn: ConnId,
        slot: Option<SecretSlot>,
        to: &mut Payload,
    ) -> Result<(), PayloadFull> {
        to.clear();
        let index = conn.index().checked_sub(self.conn_base.index()).ok_or(PayloadFull)?;
        match (conn::slot(index, self.conns), index) {
            (Some(slot), _) if slot % LINKS == conn::PUBLIC => to.push(self.variant.path_public.as_bytes()),
            (Some(_), _) => to.push(self.variant.path_market.as_bytes()),
            (None, conn::PRIVATE) => {
                to.push(self.variant.path_private.as_bytes())?;
                to.push_hole(HoleKind::Slot(slot.unwrap_or(self.slot)))
            }
            (None, conn::API) => to.push(self.variant.path_api.as_bytes()),
            _ => Err(PayloadFull),
        }
    }
}
