//! Route side of OKX: renders logins, subscriptions, order operations and HTTP requests, with holes where
//! secrets go. Knows the listings and their scales, nothing of sessions.

use super::calls::{self, MARKET_CHANNELS};
use super::standing::LEVERAGE_PAGE;
use super::{MARKET, ORDERS, connection_count};
use crate::domain::effect::{
    HoleKind, OutMeta, Payload, PayloadFull, Redact, SecretSlot, SignScheme, VenueCall,
};
use crate::domain::input::ConnId;
use crate::domain::instrument::{Instrument, InstrumentId};
use crate::domain::intent::OrderRef;
use crate::domain::order::{OrderSpec, Side, TimeInForce};
use crate::domain::params::{Extras, ListingParams, OrderRoute};
use crate::domain::time::{SECOND, Stamp};
use crate::venue::{Encoder, Rendered, VenueContext};
use serde::{Deserialize, Serialize};
use std::fmt::Write;

type Result<T> = std::result::Result<T, PayloadFull>;

/// A hedge, and over HTTP a reduction, is refused after this at the earliest, ms.
const HEDGE_VALID_MS: i64 = 5_000;

/// What is signed to log in on a WebSocket, after the timestamp.
const LOGIN_TEXT: &[u8] = b"GET/users/self/verify";

/// Renders OKX requests.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct OkxEncoder {
    conn_base: ConnId,
    /// Before the second one for market data.
    connections: usize,
    order_valid_ms: i64,
    orders: OrderRoute,
    listings: Vec<ListingParams>,
    /// By position in `listings`; generation 0 = not defined yet.
    instruments: Vec<Instrument>,
    extras: Extras,
}

impl OkxEncoder {
    /// From the configuration.
    pub fn new(context: &VenueContext) -> Self {
        Self {
            conn_base: context.conn_base,
            connections: connection_count(context.trading),
            order_valid_ms: context.params.order_valid_ms,
            orders: context.params.orders,
            instruments: vec![Instrument::default(); context.listings.len()],
            listings: context.listings.clone(),
            extras: context.params.extras,
        }
    }

    fn position(&self, id: InstrumentId) -> Result<usize> {
        self.listings.iter().position(|listing| listing.id == id).ok_or(PayloadFull)
    }

    /// The instrument of an order. There is no rendering for one that was never defined: risk and route
    /// do not let such an order come this far.
    fn instrument(&self, id: InstrumentId) -> Result<&Instrument> {
        let instrument = &self.instruments[self.position(id)?];
        if instrument.generation == 0 { Err(PayloadFull) } else { Ok(instrument) }
    }

    fn orders_conn(&self) -> ConnId {
        ConnId(self.conn_base.0 + ORDERS as u8)
    }

    /// `"instIdCode":10459`; the name where the venue publishes no code, and over HTTP.
    fn name_instrument(&self, instrument: &Instrument, to: &mut impl Write) -> std::fmt::Result {
        match instrument.spec.code {
            code if code > 0 && self.orders == OrderRoute::Websocket => write!(to, "\"instIdCode\":{code}"),
            _ => write!(to, "\"instId\":\"{}\"", instrument.symbol),
        }
    }

    /// The arguments of an order, the same by both ways.
    fn arguments(&self, instrument: &Instrument, order: &OrderSpec, to: &mut impl Write) -> std::fmt::Result {
        let side = match order.side {
            Side::Buy => "buy",
            Side::Sell => "sell",
        };
        to.write_str("{")?;
        self.name_instrument(instrument, to)?;
        write!(
            to,
            ",\"tdMode\":\"cross\",\"side\":\"{side}\",\"ordType\":\"{}\",\"px\":\"{}\",\"sz\":\"{}\",\"clOrdId\":\"{}\"",
            order_type(order.tif),
            instrument.price_num(order.price),
            instrument.qty_num(order.qty),
            order.client_id,
        )?;
        if order.reduce_only {
            to.write_str(",\"reduceOnly\":true")?;
        }
        to.write_str(",\"stpMode\":\"cancel_maker\"}")
    }

    /// The arguments of an amendment, the same by both ways: `newSz` is the total.
    fn amended(&self, instrument: &Instrument, order: &OrderSpec, to: &mut impl Write) -> std::fmt::Result {
        to.write_str("{")?;
        self.name_instrument(instrument, to)?;
        write!(
            to,
            ",\"clOrdId\":\"{id}\",\"reqId\":\"{id}\",\"newSz\":\"{}\",\"newPx\":\"{}\",\"cxlOnFail\":false}}",
            instrument.qty_num(order.qty),
            instrument.price_num(order.price),
            id = order.client_id,
        )
    }

    /// When an order is worth nothing any more, ms since the epoch: an opening one that arrives late is; a
    /// reduction is not, and a hedge for a while. But everything has an end: a request may be overtaken by the
    /// question what became of it, over HTTP or when the connection breaks behind it.
    fn deadline(&self, order: &OrderSpec, meta: &OutMeta, now: Stamp) -> i64 {
        let lasting = meta.urgent || order.reduce_only || self.order_valid_ms <= 0;
        let valid = if lasting { self.order_valid_ms.max(HEDGE_VALID_MS) } else { self.order_valid_ms };
        now.wall_ms() + valid
    }

    /// `POST /api/v5/trade/order`: the deadline is a header there.
    fn http_order(&self, order: &OrderSpec, deadline: i64, now: Stamp, to: &mut Payload) -> Result<Rendered> {
        let mut body = Names::default();
        self.arguments(self.instrument(order.instrument)?, order, &mut body).map_err(|_| PayloadFull)?;
        let path = format_args!("/api/v5/trade/order");
        signed_with(format_args!("expTime: {deadline}\n"), "POST", path, body.bytes(), now, to)?;
        Ok(Rendered::Http)
    }

    fn subscription(&self, op: &str, id: InstrumentId, to: &mut Payload) -> Result<()> {
        let symbol = self.listings[self.position(id)?].symbol;
        text(
            to,
            format_args!("{{\"op\":\"{op}\",\"args\":[{{\"channel\":\"books\",\"instId\":\"{symbol}\"}}]}}"),
        )
    }
}

/// `write!` with the payload's error.
fn text(to: &mut Payload, what: std::fmt::Arguments<'_>) -> Result<()> {
    to.write_fmt(what).map_err(|_| PayloadFull)
}

/// A signed GET request.
pub(super) fn signed_get(path: std::fmt::Arguments<'_>, now: Stamp, to: &mut Payload) -> Result<()> {
    signed("GET", path, b"", now, to)
}

/// A signed request: request line, authentication headers with holes, body, text to sign.
pub(super) fn signed(
    method: &str,
    path: std::fmt::Arguments<'_>,
    body: &[u8],
    now: Stamp,
    to: &mut Payload,
) -> Result<()> {
    signed_with(format_args!(""), method, path, body, now, to)
}

/// The same with further `headers`, each with its line feed.
fn signed_with(
    headers: std::fmt::Arguments<'_>,
    method: &str,
    path: std::fmt::Arguments<'_>,
    body: &[u8],
    now: Stamp,
    to: &mut Payload,
) -> Result<()> {
    to.push(method.as_bytes())?;
    to.push(b" ")?;
    let from = usize::from(to.text_len);
    text(to, path)?;
    let until = usize::from(to.text_len);
    let stamp = iso_8601(now.wall_ms());
    to.push(b"\nOK-ACCESS-KEY: ")?;
    to.push_hole(HoleKind::ApiKey)?;
    to.push(b"\nOK-ACCESS-SIGN: ")?;
    to.push_hole(HoleKind::Signature)?;
    to.push(b"\nOK-ACCESS-TIMESTAMP: ")?;
    to.push(&stamp)?;
    to.push(b"\nOK-ACCESS-PASSPHRASE: ")?;
    to.push_hole(HoleKind::Passphrase)?;
    to.push(b"\nContent-Type: application/json\n")?;
    text(to, headers)?;
    to.push(b"\n")?;
    to.push(body)?;
    let mut signed = [0; 256];
    let signed = signed.get_mut(..until - from).ok_or(PayloadFull)?;
    signed.copy_from_slice(&to.bytes[from..until]);
    to.push_sign(&stamp)?;
    to.push_sign(method.as_bytes())?;
    to.push_sign(signed)?;
    to.push_sign(body)?;
    to.scheme = SignScheme::HmacSha256Base64;
    Ok(())
}

/// `2020-12-08T09:08:57.715Z` of milliseconds since the Unix epoch (years 1970 to 9999).
fn iso_8601(ms: i64) -> [u8; 24] {
    let (days, rest) = (ms.div_euclid(86_400_000), ms.rem_euclid(86_400_000));
    // Days to civil date in eras of 400 years, years beginning in March (Howard Hinnant's algorithm).
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let mut out = *b"0000-00-00T00:00:00.000Z";
    let mut put = |from: usize, len: usize, mut value: i64| {
        for at in (from..from + len).rev() {
            out[at] = b'0' + (value % 10) as u8;
            value /= 10;
        }
    };
    put(0, 4, year);
    put(5, 2, month);
    put(8, 2, day);
    put(11, 2, rest / 3_600_000);
    put(14, 2, rest / 60_000 % 60);
    put(17, 2, rest / 1_000 % 60);
    put(20, 3, rest % 1_000);
    out
}

/// `ordType` of a limit order.
const fn order_type(tif: TimeInForce) -> &'static str {
    match tif {
        TimeInForce::Ioc => "ioc",
        TimeInForce::Fok => "fok",
        TimeInForce::Gtc => "limit",
        TimeInForce::PostOnly => "post_only",
    }
}

impl Encoder for OkxEncoder {
    fn on_instrument(&mut self, instrument: &Instrument) {
        if let Ok(at) = self.position(instrument.id) {
            self.instruments[at] = *instrument;
        }
    }

    fn take_route(&mut self, route: OrderRoute) {
        self.orders = route;
    }

    /// `{"id":"<client id>","op":"order",…}`: the id comes back in every reply, also in those without rows.
    fn order(&mut self, order: &OrderSpec, meta: &OutMeta, now: Stamp, to: &mut Payload) -> Result<Rendered> {
        to.clear();
        let deadline = self.deadline(order, meta, now);
        if self.orders == OrderRoute::Http {
            return self.http_order(order, deadline, now, to);
        }
        let instrument = self.instrument(order.instrument)?;
        let id = order.client_id;
        text(to, format_args!("{{\"id\":\"{id}\",\"op\":\"order\","))?;
        text(to, format_args!("\"expTime\":\"{deadline}\",\"args\":["))?;
        self.arguments(instrument, order, to).map_err(|_| PayloadFull)?;
        to.push(b"]}")?;
        Ok(Rendered::Socket(self.orders_conn()))
    }

    /// The request id is an `x` and the last 31 digits of the client id: a reply without rows still tells
    /// a cancel from an order.
    fn cancel(
        &mut self,
        order: &OrderRef,
        _meta: &OutMeta,
        now: Stamp,
        to: &mut Payload,
    ) -> Result<Rendered> {
        to.clear();
        let instrument = self.instrument(order.instrument)?;
        if self.orders == OrderRoute::Http {
            let (symbol, id) = (instrument.symbol, order.client_id);
            let mut body = Names::default();
            write!(body, "{{\"instId\":\"{symbol}\",\"clOrdId\":\"{id}\"}}").map_err(|_| PayloadFull)?;
            signed("POST", format_args!("/api/v5/trade/cancel-order"), body.bytes(), now, to)?;
            return Ok(Rendered::Http);
        }
        let id = order.client_id.hex();
        to.push(b"{\"id\":\"x")?;
        to.push(&id[1..])?;
        to.push(b"\",\"op\":\"cancel-order\",\"args\":[{")?;
        self.name_instrument(instrument, to).map_err(|_| PayloadFull)?;
        to.push(b",\"clOrdId\":\"")?;
        to.push(&id)?;
        to.push(b"\"}]}")?;
        Ok(Rendered::Socket(self.orders_conn()))
    }

    /// The request id is an `m` and the last 31 digits of the client id. What cannot be amended is left alone, and
    /// not cancelled (`cxlOnFail`).
    fn amend(
        &mut self,
        order: &OrderSpec,
        meta: &OutMeta,
        now: Stamp,
        to: &mut Payload,
    ) -> Result<Option<Rendered>> {
        to.clear();
        let instrument = self.instrument(order.instrument)?;
        let deadline = self.deadline(order, meta, now);
        if self.orders == OrderRoute::Http {
            let mut body = Names::default();
            self.amended(instrument, order, &mut body).map_err(|_| PayloadFull)?;
            let path = format_args!("/api/v5/trade/amend-order");
            signed_with(format_args!("expTime: {deadline}\n"), "POST", path, body.bytes(), now, to)?;
            return Ok(Some(Rendered::Http));
        }
        to.push(b"{\"id\":\"m")?;
        to.push(&order.client_id.hex()[1..])?;
        text(to, format_args!("\",\"op\":\"amend-order\",\"expTime\":\"{deadline}\",\"args\":["))?;
        self.amended(instrument, order, to).map_err(|_| PayloadFull)?;
        to.push(b"]}")?;
        Ok(Some(Rendered::Socket(self.orders_conn())))
    }

    fn query(&mut self, order: &OrderRef, _meta: &OutMeta, now: Stamp, to: &mut Payload) -> Result<Rendered> {
        to.clear();
        let symbol = self.listings[self.position(order.instrument)?].symbol;
        let id = order.client_id;
        signed_get(format_args!("/api/v5/trade/order?instId={symbol}&clOrdId={id}"), now, to)?;
        Ok(Rendered::Http)
    }

    fn send(&mut self, _conn: ConnId, what: VenueCall, now: Stamp, to: &mut Payload) -> Result<()> {
        to.clear();
        match what.op {
            calls::PING => to.push(b"ping"),
            calls::LOGIN => {
                let seconds = now.wall / SECOND;
                to.push(b"{\"op\":\"login\",\"args\":[{\"apiKey\":\"")?;
                to.push_hole(HoleKind::ApiKey)?;
                to.push(b"\",\"passphrase\":\"")?;
                to.push_hole(HoleKind::Passphrase)?;
                text(to, format_args!("\",\"timestamp\":\"{seconds}\",\"sign\":\""))?;
                to.push_hole(HoleKind::Signature)?;
                to.push(b"\"}]}")?;
                let mut digits = Decimal::default();
                to.push_sign(digits.of(seconds))?;
                to.push_sign(LOGIN_TEXT)?;
                to.scheme = SignScheme::HmacSha256Base64;
                Ok(())
            }
            calls::SUBSCRIBE_MARKET => {
                let (first, count, wide) = calls::unpack_range(what.arg);
                let listings = self.listings.get(first..first + count).ok_or(PayloadFull)?;
                to.push(b"{\"op\":\"subscribe\",\"args\":[")?;
                let mut comma = "";
                for listing in listings {
                    for channel in MARKET_CHANNELS {
                        let name = listing.symbol;
                        let mut symbol = name.as_str();
                        if channel == calls::INDEX_CHANNEL {
                            symbol = symbol.strip_suffix(calls::SWAP_SUFFIX).unwrap_or(symbol);
                        }
                        text(
                            to,
                            format_args!("{comma}{{\"channel\":\"{channel}\",\"instId\":\"{symbol}\"}}"),
                        )?;
                        comma = ",";
                    }
                }
                if wide {
                    // The venue's word about its contracts.
                    to.push(b",{\"channel\":\"instruments\",\"instType\":\"SWAP\"}")?;
                }
                to.push(b"]}")
            }
            calls::SUBSCRIBE_EXTRAS => {
                let (first, count, wide) = calls::unpack_range(what.arg);
                let listings = self.listings.get(first..first + count).ok_or(PayloadFull)?;
                to.push(b"{\"op\":\"subscribe\",\"args\":[")?;
                let mut comma = "";
                let channels = calls::EXTRA_CHANNELS.iter().zip(calls::wanted(self.extras));
                for (channel, _) in channels.filter(|(_, wanted)| *wanted) {
                    for listing in listings {
                        let symbol = listing.symbol;
                        text(
                            to,
                            format_args!("{comma}{{\"channel\":\"{channel}\",\"instId\":\"{symbol}\"}}"),
                        )?;
                        comma = ",";
                    }
                }
                if wide && self.extras.liquidations {
                    let of_all = "{\"channel\":\"liquidation-orders\",\"instType\":\"SWAP\"}";
                    text(to, format_args!("{comma}{of_all}"))?;
                }
                to.push(b"]}")
            }
            calls::SUBSCRIBE_ACCOUNT => to.push(
                b"{\"op\":\"subscribe\",\"args\":[{\"channel\":\"orders\",\"instType\":\"SWAP\"},\
                {\"channel\":\"positions\",\"instType\":\"SWAP\"},{\"channel\":\"account\"}]}",
            ),
            calls::SUBSCRIBE_BOOK => self.subscription("subscribe", what.instrument.ok_or(PayloadFull)?, to),
            calls::UNSUBSCRIBE_BOOK => {
                self.subscription("unsubscribe", what.instrument.ok_or(PayloadFull)?, to)
            }
            _ => Err(PayloadFull),
        }
    }

    fn http(&mut self, what: VenueCall, now: Stamp, to: &mut Payload) -> Result<Option<Redact>> {
        to.clear();
        match what.op {
            calls::INSTRUMENTS => to.push(b"GET /api/v5/public/instruments?instType=SWAP\n\n")?,
            calls::PENDING if what.arg == 0 => {
                signed_get(format_args!("/api/v5/trade/orders-pending?instType=SWAP"), now, to)?;
            }
            calls::PENDING => {
                let after = what.arg;
                signed_get(
                    format_args!("/api/v5/trade/orders-pending?instType=SWAP&after={after}"),
                    now,
                    to,
                )?;
            }
            calls::FILLS => {
                let order = what.arg;
                signed_get(format_args!("/api/v5/trade/fills?instType=SWAP&ordId={order}"), now, to)?;
            }
            calls::MISSED if what.arg == 0 => {
                signed_get(format_args!("/api/v5/trade/fills?instType=SWAP&limit=100"), now, to)?;
            }
            calls::MISSED => {
                let after = what.arg;
                signed_get(
                    format_args!("/api/v5/trade/fills?instType=SWAP&limit=100&after={after}"),
                    now,
                    to,
                )?;
            }
            calls::POSITIONS => signed_get(format_args!("/api/v5/account/positions?instType=SWAP"), now, to)?,
            calls::TIME => to.push(b"GET /api/v5/public/time\n\n")?,
            calls::CONFIG => signed_get(format_args!("/api/v5/account/config"), now, to)?,
            calls::FEE => signed_get(format_args!("/api/v5/account/trade-fee?instType=SWAP"), now, to)?,
            calls::LEVERAGE => {
                let first = usize::try_from(what.arg).map_err(|_| PayloadFull)?;
                let page = self.listings.get(first..).ok_or(PayloadFull)?;
                let mut names = Names::default();
                for listing in page.iter().take(LEVERAGE_PAGE) {
                    names.add(listing.symbol.as_str())?;
                }
                let names = names.text();
                signed_get(
                    format_args!("/api/v5/account/leverage-info?instId={names}&mgnMode=cross"),
                    now,
                    to,
                )?;
            }
            calls::DEAD_MAN => {
                let mut digits = Decimal::default();
                let seconds = digits.of(i64::try_from(what.arg).map_err(|_| PayloadFull)?);
                let seconds = std::str::from_utf8(seconds).map_err(|_| PayloadFull)?;
                let mut body = Names::default();
                for part in ["{\"timeOut\":\"", seconds, "\"}"] {
                    body.push(part)?;
                }
                signed("POST", format_args!("/api/v5/trade/cancel-all-after"), body.bytes(), now, to)?;
            }
            calls::BALANCE => signed_get(format_args!("/api/v5/account/balance"), now, to)?,
            _ => return Err(PayloadFull),
        }
        Ok(None)
    }

    fn connect(&mut self, conn: ConnId, _slot: Option<SecretSlot>, to: &mut Payload) -> Result<()> {
        to.clear();
        let at = usize::from(conn.0 - self.conn_base.0);
        if at == MARKET || at >= self.connections {
            to.push(b"/ws/v5/public")
        } else {
            to.push(b"/ws/v5/private")
        }
    }
}

/// Bytes that a [`Names`] holds: the arguments of an order, or the names of a page of leverages.
const NAMES_MAX: usize = 512;
const _: () = assert!(40 * LEVERAGE_PAGE <= NAMES_MAX);

/// A short text, without allocation.
struct Names {
    bytes: [u8; NAMES_MAX],
    len: usize,
}

impl Default for Names {
    fn default() -> Self {
        Self { bytes: [0; NAMES_MAX], len: 0 }
    }
}

impl Names {
    fn push(&mut self, part: &str) -> Result<()> {
        let to = self.bytes.get_mut(self.len..self.len + part.len()).ok_or(PayloadFull)?;
        to.copy_from_slice(part.as_bytes());
        self.len += part.len();
        Ok(())
    }

    /// Another name, after a comma.
    fn add(&mut self, name: &str) -> Result<()> {
        if self.len > 0 {
            self.push(",")?;
        }
        self.push(name)
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn text(&self) -> &str {
        std::str::from_utf8(self.bytes()).unwrap_or_default()
    }
}

impl Write for Names {
    fn write_str(&mut self, part: &str) -> std::fmt::Result {
        self.push(part).map_err(|_| std::fmt::Error)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_iso_8601_with_milliseconds() {
        for (ms, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_607_418_537_715, "2020-12-08T09:08:57.715Z"),
            (1_709_251_199_999, "2024-02-29T23:59:59.999Z"),
            (1_709_251_200_000, "2024-03-01T00:00:00.000Z"),
            (4_102_444_799_001, "2099-12-31T23:59:59.001Z"),
        ] {
            assert_eq!(std::str::from_utf8(&iso_8601(ms)), Ok(expected));
        }
    }
}
