//! Route side of Bybit: renders authentication, subscriptions, order operations and HTTP requests, with holes
//! where secrets go. Knows the listings and their scales, nothing of sessions.
//!
//! A page cursor is a text that only the next request needs: it travels like a secret, from the reply to a
//! slot and from there into a hole.

use super::calls::{self, BOOK_TOPIC, COINS, MARKET_TOPICS, NEXT_PAGE};
use super::{ACCOUNT, MARKET, ORDERS, connection_count};
use crate::domain::effect::{
    HoleKind, OutMeta, Payload, PayloadFull, Redact, SecretSlot, SignScheme, VenueCall,
};
use crate::domain::input::ConnId;
use crate::domain::instrument::{Instrument, InstrumentId};
use crate::domain::intent::OrderRef;
use crate::domain::order::{OrderSpec, Side, TimeInForce};
use crate::domain::params::ListingParams;
use crate::domain::text::Text;
use crate::domain::time::Stamp;
use crate::venue::{Encoder, Rendered, VenueContext};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;

type Result<T> = std::result::Result<T, PayloadFull>;

/// What is signed to authenticate a WebSocket, before the expiry.
const AUTH_TEXT: &[u8] = b"GET/realtime";
/// How long an authentication may travel, ms.
const AUTH_VALID_MS: i64 = 10_000;
/// Receive window where a late request still is worth something, ms (the venue's default).
const WINDOW_MS: i64 = 5_000;

/// Renders Bybit requests.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct BybitEncoder {
    conn_base: ConnId,
    /// How many there are before the second one for market data.
    connections: usize,
    slot_base: SecretSlot,
    order_valid_ms: i64,
    listings: Vec<ListingParams>,
    /// By position in `listings`; generation 0 = not defined yet.
    instruments: Vec<Instrument>,
}

/// What a paged request is about: its path and arguments, and where its cursor is kept.
pub(super) struct Listed<'a> {
    pub path: &'static str,
    pub query: std::fmt::Arguments<'a>,
    pub cursor: Option<SecretSlot>,
}

impl BybitEncoder {
    /// From the configuration.
    pub fn new(context: &VenueContext) -> Self {
        Self {
            conn_base: context.conn_base,
            connections: connection_count(context.trading),
            slot_base: context.slot_base,
            order_valid_ms: context.params.order_valid_ms,
            instruments: vec![Instrument::default(); context.listings.len()],
            listings: context.listings.clone(),
        }
    }

    fn position(&self, id: Option<InstrumentId>) -> Result<usize> {
        self.listings.iter().position(|listing| Some(listing.id) == id).ok_or(PayloadFull)
    }

    /// The instrument of an order. There is no rendering for one that was never defined: risk and route
    /// do not let such an order come this far.
    fn instrument(&self, id: InstrumentId) -> Result<&Instrument> {
        let instrument = &self.instruments[self.position(Some(id))?];
        if instrument.generation == 0 { Err(PayloadFull) } else { Ok(instrument) }
    }

    fn orders_conn(&self) -> ConnId {
        ConnId(self.conn_base.0 + ORDERS as u8)
    }

    /// Where the cursor of a call's replies is kept.
    fn slot(&self, op: u16) -> SecretSlot {
        let at = match op {
            calls::INSTRUMENTS => 0,
            calls::PENDING => 1,
            calls::POSITIONS => 2,
            _ => 3,
        };
        SecretSlot(self.slot_base.0 + at)
    }

    /// Renders a request whose reply has no pages.
    fn http_once(&self, what: VenueCall, now: Stamp, to: &mut Payload) -> Result<Option<Redact>> {
        match what.op {
            calls::BALANCE => {
                signed_once("/v5/account/wallet-balance", format_args!("accountType=UNIFIED"), now, to)
            }
            calls::TIME => to.push(b"GET /v5/market/time\n\n"),
            calls::INFO => signed_once("/v5/account/info", format_args!(""), now, to),
            calls::KEY => {
                // The reply repeats the key.
                signed_once("/v5/user/query-api", format_args!(""), now, to)?;
                return Ok(Text::new("apiKey").map(|key| Redact { slot: SecretSlot::NOWHERE, key }));
            }
            calls::LEVERAGE => {
                let symbol = self.listings[self.position(what.instrument)?].symbol;
                let query = format_args!("category=linear&symbol={symbol}");
                signed_once("/v5/position/list", query, now, to)
            }
            calls::FEE => signed_once("/v5/account/fee-rate", format_args!("category=linear"), now, to),
            calls::FOREIGN => {
                let coin = coin_of(what.arg);
                let query = format_args!("category=linear&settleCoin={coin}&limit=50");
                signed_once("/v5/order/realtime", query, now, to)
            }
            calls::DEAD_MAN => signed_once("/v5/account/query-dcp-info", format_args!(""), now, to),
            calls::SET_DEAD_MAN => {
                let mut digits = Decimal::default();
                let seconds = digits.of(i64::try_from(what.arg).map_err(|_| PayloadFull)?);
                let body = [b"{\"product\":\"DERIVATIVES\",\"timeWindow\":", seconds, b"}"];
                signed_post("/v5/order/disconnected-cancel-all", &body, now, to)
            }
            _ => Err(PayloadFull),
        }?;
        Ok(None)
    }

    fn subscription(&self, op: &str, topic: &str, id: Option<InstrumentId>, to: &mut Payload) -> Result<()> {
        let at = self.position(id)?;
        let symbol = self.listings[at].symbol;
        text(
            to,
            format_args!(
                "{{\"req_id\":\"{}{at}\",\"op\":\"{op}\",\"args\":[\"{topic}.{symbol}\"]}}",
                &op[..1]
            ),
        )
    }

    /// `{"reqId":"…","header":{…},"op":"…","args":[{"category":"linear","symbol":"…"`
    fn open_operation(
        to: &mut Payload,
        id: std::fmt::Arguments<'_>,
        now: Stamp,
        window_ms: i64,
        op: &str,
    ) -> Result<()> {
        text(
            to,
            format_args!(
                "{{\"reqId\":\"{id}\",\"header\":{{\"X-BAPI-TIMESTAMP\":\"{}\",\"X-BAPI-RECV-WINDOW\":\"{window_ms}\"}},\
                 \"op\":\"{op}\",\"args\":[{{\"category\":\"linear\",",
                now.wall_ms(),
            ),
        )
    }
}

/// The coin of a call's `arg`.
fn coin_of(arg: u64) -> &'static str {
    COINS.get((arg >> 1) as usize).copied().unwrap_or(COINS[0])
}

/// `write!` with the payload's error.
fn text(to: &mut Payload, what: std::fmt::Arguments<'_>) -> Result<()> {
    to.write_fmt(what).map_err(|_| PayloadFull)
}

/// Headers that say who asks and when, with holes.
fn authenticate(now: Stamp, to: &mut Payload) -> Result<()> {
    to.push(b"\nX-BAPI-API-KEY: ")?;
    to.push_hole(HoleKind::ApiKey)?;
    text(
        to,
        format_args!("\nX-BAPI-TIMESTAMP: {}\nX-BAPI-RECV-WINDOW: {WINDOW_MS}\nX-BAPI-SIGN: ", now.wall_ms()),
    )?;
    to.push_hole(HoleKind::Signature)
}

/// The text to sign: time, key, window, and `what` (query or body).
fn sign(what: &[u8], now: Stamp, to: &mut Payload) -> Result<()> {
    to.push_sign(Decimal::default().of(now.wall_ms()))?;
    to.push_sign_hole(HoleKind::ApiKey)?;
    to.push_sign(Decimal::default().of(WINDOW_MS))?;
    to.push_sign(what)?;
    to.scheme = SignScheme::HmacSha256Hex;
    Ok(())
}

/// A signed POST request with a body of these parts.
pub(super) fn signed_post(path: &str, body: &[&[u8]], now: Stamp, to: &mut Payload) -> Result<()> {
    text(to, format_args!("POST {path}"))?;
    authenticate(now, to)?;
    to.push(b"\nContent-Type: application/json\n\n")?;
    body.iter().try_for_each(|part| to.push(part))?;
    sign(b"", now, to)?;
    body.iter().try_for_each(|part| to.push_sign(part))
}

/// A signed GET request: request line, authentication headers with holes, text to sign.
pub(super) fn signed_get(what: &Listed<'_>, now: Stamp, to: &mut Payload) -> Result<()> {
    text(to, format_args!("GET {}", what.path))?;
    if what.query.as_str() != Some("") {
        to.push(b"?")?;
    }
    let from = usize::from(to.text_len);
    text(to, what.query)?;
    if let Some(slot) = what.cursor {
        to.push(b"&cursor=")?;
        to.push_hole(HoleKind::Slot(slot))?;
    }
    let until = usize::from(to.text_len);
    let mut query = [0; 256];
    let query = query.get_mut(..until - from).ok_or(PayloadFull)?;
    query.copy_from_slice(&to.bytes[from..until]);
    authenticate(now, to)?;
    to.push(b"\n\n")?;
    sign(query, now, to)?;
    if let Some(slot) = what.cursor {
        to.push_sign_hole(HoleKind::Slot(slot))?;
    }
    Ok(())
}

/// A signed GET request without pages.
fn signed_once(
    path: &'static str,
    query: std::fmt::Arguments<'_>,
    now: Stamp,
    to: &mut Payload,
) -> Result<()> {
    signed_get(&Listed { path, query, cursor: None }, now, to)
}

impl Encoder for BybitEncoder {
    fn on_instrument(&mut self, instrument: &Instrument) {
        if let Ok(at) = self.position(Some(instrument.id)) {
            self.instruments[at] = *instrument;
        }
    }

    /// The client id is `reqId` (which comes back in every reply) as well as `orderLinkId`.
    fn order(&mut self, order: &OrderSpec, meta: &OutMeta, now: Stamp, to: &mut Payload) -> Result<Rendered> {
        to.clear();
        let instrument = self.instrument(order.instrument)?;
        let id = order.client_id;
        // An opening order that arrives late is worth nothing; a reduction and a hedge are.
        let brief = self.order_valid_ms > 0 && !order.reduce_only && !meta.urgent;
        let window = if brief { self.order_valid_ms } else { WINDOW_MS };
        Self::open_operation(to, format_args!("{id}"), now, window, "order.create")?;
        let side = match order.side {
            Side::Buy => "Buy",
            Side::Sell => "Sell",
        };
        let tif = match order.tif {
            TimeInForce::Ioc => "IOC",
            TimeInForce::Fok => "FOK",
            TimeInForce::Gtc => "GTC",
            TimeInForce::PostOnly => "PostOnly",
        };
        text(
            to,
            format_args!(
                "\"symbol\":\"{}\",\"side\":\"{side}\",\"orderType\":\"Limit\",\"qty\":\"{}\",\"price\":\"{}\",\
                 \"timeInForce\":\"{tif}\",\"orderLinkId\":\"{id}\",\"positionIdx\":0,\"reduceOnly\":{},\
                 \"smpType\":\"CancelMaker\"}}]}}",
                instrument.symbol,
                instrument.qty_num(order.qty),
                instrument.price_num(order.price),
                order.reduce_only,
            ),
        )?;
        Ok(Rendered::Socket(self.orders_conn()))
    }

    /// `reqId` is the client id, an `x` and the last digits of the message's number: it must never repeat,
    /// and an order may be cancelled twice.
    fn cancel(&mut self, order: &OrderRef, meta: &OutMeta, now: Stamp, to: &mut Payload) -> Result<Rendered> {
        to.clear();
        let symbol = self.instrument(order.instrument)?.symbol;
        let (id, count) = (order.client_id, meta.message.0 & 0xfff);
        Self::open_operation(to, format_args!("{id}x{count:03x}"), now, WINDOW_MS, "order.cancel")?;
        text(to, format_args!("\"symbol\":\"{symbol}\",\"orderLinkId\":\"{id}\"}}]}}"))?;
        Ok(Rendered::Socket(self.orders_conn()))
    }

    /// `reqId` as of a cancel, with an `m`; `qty` is the total.
    fn amend(
        &mut self,
        order: &OrderSpec,
        meta: &OutMeta,
        now: Stamp,
        to: &mut Payload,
    ) -> Result<Option<Rendered>> {
        to.clear();
        let instrument = self.instrument(order.instrument)?;
        let (id, count) = (order.client_id, meta.message.0 & 0xfff);
        let brief = self.order_valid_ms > 0 && !order.reduce_only && !meta.urgent;
        let window = if brief { self.order_valid_ms } else { WINDOW_MS };
        Self::open_operation(to, format_args!("{id}m{count:03x}"), now, window, "order.amend")?;
        text(
            to,
            format_args!(
                "\"symbol\":\"{}\",\"orderLinkId\":\"{id}\",\"qty\":\"{}\",\"price\":\"{}\"}}]}}",
                instrument.symbol,
                instrument.qty_num(order.qty),
                instrument.price_num(order.price),
            ),
        )?;
        Ok(Some(Rendered::Socket(self.orders_conn())))
    }

    fn query(&mut self, order: &OrderRef, _meta: &OutMeta, now: Stamp, to: &mut Payload) -> Result<Rendered> {
        to.clear();
        let symbol = self.listings[self.position(Some(order.instrument))?].symbol;
        let id = order.client_id;
        let query = format_args!("category=linear&symbol={symbol}&orderLinkId={id}");
        signed_get(&Listed { path: "/v5/order/realtime", query, cursor: None }, now, to)?;
        Ok(Rendered::Http)
    }

    fn send(&mut self, _conn: ConnId, what: VenueCall, now: Stamp, to: &mut Payload) -> Result<()> {
        to.clear();
        match what.op {
            calls::PING => to.push(b"{\"op\":\"ping\"}"),
            calls::AUTH => {
                let expires = now.wall_ms() + AUTH_VALID_MS;
                to.push(b"{\"op\":\"auth\",\"args\":[\"")?;
                to.push_hole(HoleKind::ApiKey)?;
                text(to, format_args!("\",{expires},\""))?;
                to.push_hole(HoleKind::Signature)?;
                to.push(b"\"]}")?;
                to.push_sign(AUTH_TEXT)?;
                to.push_sign(Decimal::default().of(expires))?;
                to.scheme = SignScheme::HmacSha256Hex;
                Ok(())
            }
            calls::SUBSCRIBE_MARKET => {
                let at = self.position(what.instrument)?;
                let (letter, symbol) = (char::from(calls::AWAITED), self.listings[at].symbol);
                text(
                    to,
                    format_args!("{{\"req_id\":\"{letter}{at}\",\"op\":\"subscribe\",\"args\":[\""),
                )?;
                for (i, topic) in MARKET_TOPICS.iter().enumerate() {
                    let comma = if i > 0 { "\",\"" } else { "" };
                    text(to, format_args!("{comma}{topic}.{symbol}"))?;
                }
                to.push(b"\"]}")
            }
            calls::SUBSCRIBE_ACCOUNT => to.push(
                b"{\"req_id\":\"m\",\"op\":\"subscribe\",\"args\":[\"order\",\"execution\",\"position\",\"wallet\"]}",
            ),
            calls::SUBSCRIBE_DEAD_MAN => text(
                to,
                format_args!(
                    "{{\"req_id\":\"{}\",\"op\":\"subscribe\",\"args\":[\"dcp.future\"]}}",
                    char::from(calls::DEAD_MAN_ID)
                ),
            ),
            calls::SUBSCRIBE_BOOK => self.subscription("subscribe", BOOK_TOPIC, what.instrument, to),
            calls::UNSUBSCRIBE_BOOK => self.subscription("unsubscribe", BOOK_TOPIC, what.instrument, to),
            calls::SUBSCRIBE_TICKER => {
                self.subscription("subscribe", calls::TICKER_TOPIC, what.instrument, to)
            }
            calls::UNSUBSCRIBE_TICKER => {
                self.subscription("unsubscribe", calls::TICKER_TOPIC, what.instrument, to)
            }
            calls::SUBSCRIBE_LIQUIDATIONS => {
                self.subscription("subscribe", calls::LIQUIDATION_TOPIC, what.instrument, to)
            }
            _ => Err(PayloadFull),
        }
    }

    fn http(&mut self, what: VenueCall, now: Stamp, to: &mut Payload) -> Result<Option<Redact>> {
        to.clear();
        let slot = self.slot(what.op);
        let cursor = (what.arg & NEXT_PAGE != 0).then_some(slot);
        let coin = coin_of(what.arg);
        match what.op {
            calls::INSTRUMENTS => {
                to.push(b"GET /v5/market/instruments-info?category=linear&limit=1000")?;
                if let Some(slot) = cursor {
                    to.push(b"&cursor=")?;
                    to.push_hole(HoleKind::Slot(slot))?;
                }
                to.push(b"\n\n")?;
            }
            calls::PENDING => {
                let query = format_args!("category=linear&settleCoin={coin}&limit=50");
                signed_get(&Listed { path: "/v5/order/realtime", query, cursor }, now, to)?;
            }
            calls::POSITIONS => {
                let query = format_args!("category=linear&settleCoin={coin}&limit=200");
                signed_get(&Listed { path: "/v5/position/list", query, cursor }, now, to)?;
            }
            calls::FILLS => {
                let symbol = self.listings[self.position(what.instrument)?].symbol;
                let query = format_args!("category=linear&symbol={symbol}&limit=100");
                signed_get(&Listed { path: "/v5/execution/list", query, cursor }, now, to)?;
            }
            calls::MISSED => {
                let query = format_args!("category=linear&startTime={}&limit=100", what.arg >> 1);
                signed_get(&Listed { path: "/v5/execution/list", query, cursor }, now, to)?;
            }
            _ => return self.http_once(what, now, to),
        }
        Ok(Text::new("nextPageCursor").map(|key| Redact { slot, key }))
    }

    fn connect(&mut self, conn: ConnId, _slot: Option<SecretSlot>, to: &mut Payload) -> Result<()> {
        to.clear();
        match usize::from(conn.0.wrapping_sub(self.conn_base.0)) {
            at if at == MARKET || at >= self.connections => to.push(b"/v5/public/linear"),
            ACCOUNT => to.push(b"/v5/private"),
            _ => to.push(b"/v5/trade"),
        }
    }
}

/// A non-negative number as digits, without allocation.
#[derive(Default)]
struct Decimal {
    digits: [u8; 20],
}

impl Decimal {
    fn of(&mut self, mut value: i64) -> &[u8] {
        let mut at = self.digits.len();
        loop {
            at -= 1;
            self.digits[at] = b'0' + (value % 10).unsigned_abs() as u8;
            value /= 10;
            if value == 0 {
                return &self.digits[at..];
            }
        }
    }
}
