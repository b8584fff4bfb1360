//! Route side of Deribit: renders logins, subscriptions, orders and requests as JSON-RPC, with holes where
//! secrets go. Knows the listings and their scales, nothing of sessions.
//!
//! Only the login is signed: it holds for the connection. The JSON-RPC id names what a reply is about:
//! an order's client id; an `x` (cancel), `m` (amendment) or `q` (query) and its last 31 digits; else a code of [`super::calls`].

use super::calls::{self, ACCOUNT_CHANNELS, INTERVAL, currency_of};
use super::{ACCOUNT, ORDERS};
use crate::domain::effect::{
    HoleKind, OutMeta, Payload, PayloadFull, Redact, SecretSlot, SignScheme, VenueCall,
};
use crate::domain::input::ConnId;
use crate::domain::instrument::{Instrument, InstrumentId};
use crate::domain::intent::OrderRef;
use crate::domain::order::{OrderSpec, Side, TimeInForce};
use crate::domain::params::ListingParams;
use crate::domain::text::Symbol;
use crate::domain::time::Stamp;
use crate::venue::{Encoder, Rendered, VenueContext};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;

/// A hedge is worth something for a while: the least validity of an urgent order, ms.
const HEDGE_VALID_MS: i64 = 5_000;
/// The account's trades are listed up to this far ahead of the time of the request, which the venue's clock may be, ms.
const MISSED_AHEAD_MS: i64 = 60_000;

type Result<T> = std::result::Result<T, PayloadFull>;

/// Renders Deribit requests.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct DeribitEncoder {
    conn_base: ConnId,
    order_valid_ms: i64,
    listings: Vec<ListingParams>,
    /// By position in `listings`; generation 0 = not defined yet.
    instruments: Vec<Instrument>,
}

impl DeribitEncoder {
    /// From the configuration.
    pub fn new(context: &VenueContext) -> Self {
        Self {
            conn_base: context.conn_base,
            order_valid_ms: context.params.order_valid_ms,
            instruments: vec![Instrument::default(); context.listings.len()],
            listings: context.listings.clone(),
        }
    }

    fn position(&self, id: InstrumentId) -> Result<usize> {
        self.listings.iter().position(|listing| listing.id == id).ok_or(PayloadFull)
    }

    fn symbol(&self, id: Option<InstrumentId>) -> Result<Symbol> {
        Ok(self.listings[self.position(id.ok_or(PayloadFull)?)?].symbol)
    }

    fn conn(&self, at: usize) -> ConnId {
        ConnId(self.conn_base.0 + at as u8)
    }
}

/// `write!` with the payload's error.
fn text(to: &mut Payload, what: std::fmt::Arguments<'_>) -> Result<()> {
    to.write_fmt(what).map_err(|_| PayloadFull)
}

/// A request with a number as its id, up to its parameters.
fn request(to: &mut Payload, id: u64, method: &str, params: std::fmt::Arguments<'_>) -> Result<()> {
    text(
        to,
        format_args!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"{method}\",\"params\":{{{params}}}}}"),
    )
}

const fn time_in_force(tif: TimeInForce) -> &'static str {
    match tif {
        TimeInForce::Ioc => "immediate_or_cancel",
        TimeInForce::Fok => "fill_or_kill",
        TimeInForce::Gtc | TimeInForce::PostOnly => "good_til_cancelled",
    }
}

/// The login: signed text `timestamp LF nonce LF data`, with the timestamp as nonce and no data.
fn auth(now: Stamp, to: &mut Payload) -> Result<()> {
    let ms = now.wall_ms();
    text(
        to,
        format_args!(
            "{{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"public/auth\",\"params\":{{\"grant_type\":\"client_signature\",\"client_id\":\"",
            calls::AUTH
        ),
    )?;
    to.push_hole(HoleKind::ApiKey)?;
    text(to, format_args!("\",\"timestamp\":{ms},\"nonce\":\"{ms}\",\"data\":\"\",\"signature\":\""))?;
    to.push_hole(HoleKind::Signature)?;
    to.push(b"\"}}")?;
    let mut digits = [b'0'; 20];
    let mut rest = digits.len();
    let mut value = ms.max(0);
    while value > 0 || rest == digits.len() {
        rest -= 1;
        digits[rest] = b'0' + (value % 10) as u8;
        value /= 10;
    }
    to.push_sign(&digits[rest..])?;
    to.push_sign(b"\n")?;
    to.push_sign(&digits[rest..])?;
    to.push_sign(b"\n")?;
    to.scheme = SignScheme::HmacSha256Hex;
    Ok(())
}

impl Encoder for DeribitEncoder {
    fn on_instrument(&mut self, instrument: &Instrument) {
        if let Ok(at) = self.position(instrument.id) {
            self.instruments[at] = *instrument;
        }
    }

    fn order(&mut self, order: &OrderSpec, meta: &OutMeta, now: Stamp, to: &mut Payload) -> Result<Rendered> {
        to.clear();
        let instrument = &self.instruments[self.position(order.instrument)?];
        if instrument.generation == 0 {
            return Err(PayloadFull);
        }
        let id = order.client_id;
        let side = match order.side {
            Side::Buy => "buy",
            Side::Sell => "sell",
        };
        text(
            to,
            format_args!(
                "{{\"jsonrpc\":\"2.0\",\"id\":\"{id}\",\"method\":\"private/{side}\",\"params\":{{\"instrument_name\":\"{}\",\"amount\":{},\"type\":\"limit\",\"price\":{},\"label\":\"{id}\",\"time_in_force\":\"{}\"",
                instrument.symbol,
                instrument.qty_num(order.qty),
                instrument.price_num(order.price),
                time_in_force(order.tif),
            ),
        )?;
        // The venue's default is true, and it then moves prices that would take: always say what is meant.
        to.push(match order.tif {
            TimeInForce::PostOnly => b",\"post_only\":true,\"reject_post_only\":true",
            _ => b",\"post_only\":false",
        })?;
        if order.reduce_only {
            to.push(b",\"reduce_only\":true")?;
        } else if self.order_valid_ms > 0 {
            // An opening order that arrives late is worth nothing; a reduction is, and a hedge for a while.
            let valid =
                if meta.urgent { self.order_valid_ms.max(HEDGE_VALID_MS) } else { self.order_valid_ms };
            text(to, format_args!(",\"valid_until\":{}", now.wall_ms() + valid))?;
        }
        to.push(b"}}")?;
        Ok(Rendered::Socket(self.conn(ORDERS)))
    }

    fn cancel(
        &mut self,
        order: &OrderRef,
        _meta: &OutMeta,
        _now: Stamp,
        to: &mut Payload,
    ) -> Result<Rendered> {
        to.clear();
        let currency = self.symbol(Some(order.instrument))?;
        named(to, b'x', order, "cancel_by_label", currency_of(&currency))?;
        Ok(Rendered::Socket(self.conn(ORDERS)))
    }

    fn cancel_all(&mut self, _now: Stamp, to: &mut Payload) -> Result<Option<Rendered>> {
        to.clear();
        request(to, u64::from(calls::CANCEL_ALL), "private/cancel_all", format_args!(""))?;
        Ok(Some(Rendered::Socket(self.conn(ORDERS))))
    }

    /// `private/edit_by_label`: `amount` is the total.
    fn amend(
        &mut self,
        order: &OrderSpec,
        meta: &OutMeta,
        now: Stamp,
        to: &mut Payload,
    ) -> Result<Option<Rendered>> {
        to.clear();
        let instrument = &self.instruments[self.position(order.instrument)?];
        if instrument.generation == 0 {
            return Err(PayloadFull);
        }
        let id = order.client_id.hex();
        to.push(b"{\"jsonrpc\":\"2.0\",\"id\":\"m")?;
        to.push(&id[1..])?;
        text(
            to,
            format_args!(
                "\",\"method\":\"private/edit_by_label\",\"params\":{{\"label\":\"{}\",\"instrument_name\":\"{}\",\"amount\":{},\"price\":{}",
                order.client_id,
                instrument.symbol,
                instrument.qty_num(order.qty),
                instrument.price_num(order.price),
            ),
        )?;
        to.push(match order.tif {
            TimeInForce::PostOnly => b",\"post_only\":true,\"reject_post_only\":true".as_slice(),
            _ => b",\"post_only\":false",
        })?;
        if order.reduce_only {
            to.push(b",\"reduce_only\":true")?;
        } else if self.order_valid_ms > 0 {
            let valid =
                if meta.urgent { self.order_valid_ms.max(HEDGE_VALID_MS) } else { self.order_valid_ms };
            text(to, format_args!(",\"valid_until\":{}", now.wall_ms() + valid))?;
        }
        to.push(b"}}")?;
        Ok(Some(Rendered::Socket(self.conn(ORDERS))))
    }

    fn query(
        &mut self,
        order: &OrderRef,
        _meta: &OutMeta,
        _now: Stamp,
        to: &mut Payload,
    ) -> Result<Rendered> {
        to.clear();
        let currency = self.symbol(Some(order.instrument))?;
        named(to, b'q', order, "get_order_state_by_label", currency_of(&currency))?;
        Ok(Rendered::Socket(self.conn(ACCOUNT)))
    }

    fn send(&mut self, _conn: ConnId, what: VenueCall, now: Stamp, to: &mut Payload) -> Result<()> {
        to.clear();
        let id = u64::from(what.op);
        match what.op {
            calls::TEST => request(to, id, "public/test", format_args!("")),
            calls::AUTH => auth(now, to),
            calls::HEARTBEAT => {
                request(to, id, "public/set_heartbeat", format_args!("\"interval\":{}", what.arg))
            }
            calls::SUBSCRIBE_MARKET => {
                let (first, count) = calls::unpack_range(what.arg);
                let listings = self.listings.get(first..first + count).ok_or(PayloadFull)?;
                text(
                    to,
                    format_args!(
                        "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"public/subscribe\",\"params\":{{\"channels\":["
                    ),
                )?;
                let mut comma = "";
                for ListingParams { symbol: s, .. } in listings {
                    text(
                        to,
                        format_args!(
                            "{comma}\"quote.{s}\",\"book.{s}.{INTERVAL}\",\"trades.{s}.{INTERVAL}\",\"ticker.{s}.{INTERVAL}\""
                        ),
                    )?;
                    comma = ",";
                }
                to.push(b"]}}")
            }
            calls::SUBSCRIBE_STATES => request(
                to,
                id,
                "public/subscribe",
                format_args!("\"channels\":[\"instrument.state.future.any\"]"),
            ),
            calls::SUBSCRIBE_ACCOUNT => {
                let [a, b, c, d] = ACCOUNT_CHANNELS;
                request(
                    to,
                    id,
                    "private/subscribe",
                    format_args!("\"channels\":[\"{a}\",\"{b}\",\"{c}\",\"{d}\"]"),
                )
            }
            calls::SUBSCRIBE_BOOK | calls::UNSUBSCRIBE_BOOK => {
                let symbol = self.symbol(what.instrument)?;
                let subscribe = what.op == calls::SUBSCRIBE_BOOK;
                let method = if subscribe { "public/subscribe" } else { "public/unsubscribe" };
                request(to, id, method, format_args!("\"channels\":[\"book.{symbol}.{INTERVAL}\"]"))
            }
            calls::CANCEL_ON_DISCONNECT => request(
                to,
                id,
                if what.arg > 0 {
                    "private/enable_cancel_on_disconnect"
                } else {
                    "private/disable_cancel_on_disconnect"
                },
                format_args!("\"scope\":\"connection\""),
            ),
            // Of all kinds: those of others hold the venue whatever they are.
            calls::OPEN_ORDERS => request(to, what.arg, "private/get_open_orders", format_args!("")),
            calls::TIME => request(to, what.arg, "public/get_time", format_args!("")),
            calls::SETTINGS => {
                request(to, what.arg, "private/get_account_summaries", format_args!("\"extended\":true"))
            }
            calls::POSITIONS => request(
                to,
                what.arg,
                "private/get_positions",
                format_args!("\"currency\":\"any\",\"kind\":\"future\""),
            ),
            calls::SUMMARIES => request(to, what.arg, "private/get_account_summaries", format_args!("")),
            calls::TRADES => {
                let symbol = self.symbol(what.instrument)?;
                request(
                    to,
                    what.arg,
                    "private/get_user_trades_by_instrument",
                    format_args!("\"instrument_name\":\"{symbol}\",\"count\":1000,\"sorting\":\"desc\""),
                )
            }
            calls::MISSED => {
                let (second, id) = calls::unpack_since(what.arg);
                let symbol = self.symbol(what.instrument)?;
                let currency = currency_of(&symbol);
                request(
                    to,
                    id,
                    "private/get_user_trades_by_currency_and_time",
                    format_args!(
                        "\"currency\":\"{currency}\",\"kind\":\"future\",\"start_timestamp\":{second}000,\"end_timestamp\":{},\"count\":1000,\"sorting\":\"asc\"",
                        now.wall_ms() + MISSED_AHEAD_MS
                    ),
                )
            }
            _ => Err(PayloadFull),
        }
    }

    fn http(&mut self, what: VenueCall, _now: Stamp, to: &mut Payload) -> Result<Option<Redact>> {
        to.clear();
        match what.op {
            calls::INSTRUMENTS => {
                to.push(b"GET /api/v2/public/get_instruments?currency=any&kind=future&expired=false\n\n")?;
                Ok(None)
            }
            _ => Err(PayloadFull),
        }
    }

    fn connect(&mut self, _conn: ConnId, _slot: Option<SecretSlot>, to: &mut Payload) -> Result<()> {
        to.clear();
        to.push(b"/ws/api/v2")
    }
}

/// A request about an order by its label; the first digit of a client id belongs to a boot epoch beyond 2⁶⁰ and
/// is zero.
fn named(to: &mut Payload, mark: u8, order: &OrderRef, method: &str, currency: &str) -> Result<()> {
    let id = order.client_id.hex();
    to.push(b"{\"jsonrpc\":\"2.0\",\"id\":\"")?;
    to.push(&[mark])?;
    to.push(&id[1..])?;
    text(
        to,
        format_args!(
            "\",\"method\":\"private/{method}\",\"params\":{{\"currency\":\"{currency}\",\"label\":\"{}\"}}}}",
            order.client_id
        ),
    )
}
