//! Route side of Hyperliquid: renders subscriptions, actions and HTTP requests, with holes where the
//! account's address and the signature go. Every action is written as JSON and, for the signature, as
//! MessagePack. Counts nonces; knows nothing of sessions.

use super::action::{DECIMALS_MAX, Pack, Short, accepted_price};
use super::calls::{self, Posted, post_id};
use super::{MARKET, ORDERS};
use crate::domain::effect::{
    HoleKind, OutMeta, Payload, PayloadFull, Redact, SecretSlot, SignScheme, VenueCall,
};
use crate::domain::input::ConnId;
use crate::domain::instrument::{Instrument, InstrumentId};
use crate::domain::intent::OrderRef;
use crate::domain::order::{ClientId, OrderSpec, Side, TimeInForce};
use crate::domain::params::ListingParams;
use crate::domain::time::Stamp;
use crate::venue::{Encoder, Rendered, VenueContext};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;

/// A hedge is worth something for a while: the least validity of an urgent order, ms.
const HEDGE_VALID_MS: i64 = 5_000;

type Result<T> = std::result::Result<T, PayloadFull>;

/// Renders Hyperliquid requests.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct HyperliquidEncoder {
    conn_base: ConnId,
    order_valid_ms: i64,
    listings: Vec<ListingParams>,
    /// By position in `listings`; generation 0 = not defined yet.
    instruments: Vec<Instrument>,
    /// The last nonce used; the signer's nonces must never repeat.
    last_nonce: i64,
    /// The one before the latest order.
    nonce_before: i64,
}

/// `write!` with the payload's error.
fn text(to: &mut Payload, what: std::fmt::Arguments<'_>) -> Result<()> {
    to.write_fmt(what).map_err(|_| PayloadFull)
}

/// Ends a posted action: nonce, the signature's hole, no vault, deadline.
fn close(nonce: i64, expires: Option<i64>, to: &mut Payload) -> Result<()> {
    text(to, format_args!(",\"nonce\":{nonce},\"signature\":"))?;
    to.push_hole(HoleKind::Signature)?;
    match expires {
        Some(deadline) => text(to, format_args!(",\"vaultAddress\":null,\"expiresAfter\":{deadline}}}}}}}")),
        None => to.push(b",\"vaultAddress\":null,\"expiresAfter\":null}}}"),
    }
}

/// Begins a posted action.
fn open(posted: Posted, to: &mut Payload) -> Result<()> {
    to.clear();
    let id = post_id(posted).ok_or(PayloadFull)?;
    text(
        to,
        format_args!(
            "{{\"method\":\"post\",\"id\":{id},\"request\":{{\"type\":\"action\",\"payload\":{{\"action\":"
        ),
    )
}

/// A request for private information about the account, whose address stands in a hole.
pub(super) fn info(kind: &str, to: &mut Payload) -> Result<()> {
    to.push(b"POST /info\nContent-Type: application/json\n\n")?;
    text(to, format_args!("{{\"type\":\"{kind}\",\"user\":\""))?;
    to.push_hole(HoleKind::ApiKey)?;
    to.push(b"\"")
}

/// A request for public information.
fn public_info(kind: &str, to: &mut Payload) -> Result<()> {
    text(to, format_args!("POST /info\nContent-Type: application/json\n\n{{\"type\":\"{kind}\"}}"))
}

impl HyperliquidEncoder {
    /// From the configuration.
    pub fn new(context: &VenueContext) -> Self {
        Self {
            conn_base: context.conn_base,
            order_valid_ms: context.params.order_valid_ms,
            instruments: vec![Instrument::default(); context.listings.len()],
            listings: context.listings.clone(),
            last_nonce: -1,
            nonce_before: -1,
        }
    }

    fn position(&self, id: InstrumentId) -> Result<usize> {
        self.listings.iter().position(|listing| listing.id == id).ok_or(PayloadFull)
    }

    /// The instrument of an order. There is no rendering for one that was never defined: risk and route
    /// do not let such an order come this far.
    fn instrument(&self, id: InstrumentId) -> Result<Instrument> {
        let instrument = self.instruments[self.position(id)?];
        if instrument.generation == 0 { Err(PayloadFull) } else { Ok(instrument) }
    }

    fn orders_conn(&self) -> ConnId {
        ConnId(self.conn_base.0 + ORDERS as u8)
    }

    /// Wall time in ms, but always greater than the last one.
    fn nonce(&mut self, now: Stamp) -> i64 {
        self.last_nonce = now.wall_ms().max(self.last_nonce + 1);
        self.last_nonce
    }

    /// An order as both texts say it.
    fn wire(&self, order: &OrderSpec) -> Result<Wire> {
        let instrument = self.instrument(order.instrument)?;
        let buy = order.side == Side::Buy;
        let decimals = DECIMALS_MAX.saturating_sub(instrument.spec.step.scale);
        Ok(Wire {
            asset: instrument.spec.code,
            buy,
            price: Short::of(accepted_price(instrument.price_num(order.price), decimals, buy))?,
            size: Short::of(instrument.qty_num(order.qty))?,
            reduce: order.reduce_only,
            tif: time_in_force(order.tif)?,
            id: order.client_id,
        })
    }

    /// An opening order that arrives late is worth nothing; a reduction is, and a hedge for a while.
    fn expires(&self, order: &OrderSpec, meta: &OutMeta, now: Stamp) -> Option<i64> {
        let limited = self.order_valid_ms > 0 && !order.reduce_only;
        let valid = if meta.urgent { self.order_valid_ms.max(HEDGE_VALID_MS) } else { self.order_valid_ms };
        limited.then(|| now.wall_ms() + valid)
    }

    /// The dead man's switch, to fire `after_ms` from now by the venue's clock; 0 clears it.
    fn schedule_cancel(&mut self, after_ms: u64, now: Stamp, to: &mut Payload) -> Result<()> {
        let at_ms = if after_ms == 0 { 0 } else { now.wall_ms().unsigned_abs().saturating_add(after_ms) };
        let nonce = self.nonce(now);
        open(Posted::Schedule, to)?;
        match at_ms {
            0 => to.push(b"{\"type\":\"scheduleCancel\"}")?,
            time => text(to, format_args!("{{\"type\":\"scheduleCancel\",\"time\":{time}}}"))?,
        }
        close(nonce, None, to)?;
        let mut pack = Pack(to);
        pack.map(if at_ms == 0 { 1 } else { 2 })?.text(b"type")?.text(b"scheduleCancel")?;
        if at_ms > 0 {
            pack.text(b"time")?.uint(at_ms)?;
        }
        pack.tail(nonce.unsigned_abs(), None)?;
        to.scheme = SignScheme::AgentMainnet;
        Ok(())
    }

    fn subscription(&self, method: &str, what: VenueCall, to: &mut Payload) -> Result<()> {
        let channel = calls::MARKET_CHANNELS.get(what.arg as usize).ok_or(PayloadFull)?;
        let symbol = self.listings[self.position(what.instrument.ok_or(PayloadFull)?)?].symbol;
        text(
            to,
            format_args!(
                "{{\"method\":\"{method}\",\"subscription\":{{\"type\":\"{channel}\",\"coin\":\"{symbol}\"}}}}"
            ),
        )
    }
}

/// A limit order with a client id, in the documented order of its keys.
struct Wire {
    asset: u64,
    buy: bool,
    price: Short,
    size: Short,
    reduce: bool,
    tif: &'static str,
    id: ClientId,
}

impl Wire {
    /// As JSON.
    fn write(&self, to: &mut Payload) -> Result<()> {
        let Self { asset, buy, reduce, tif, id, .. } = self;
        text(to, format_args!("{{\"a\":{asset},\"b\":{buy},\"p\":\""))?;
        to.push(self.price.as_bytes())?;
        to.push(b"\",\"s\":\"")?;
        to.push(self.size.as_bytes())?;
        text(
            to,
            format_args!("\",\"r\":{reduce},\"t\":{{\"limit\":{{\"tif\":\"{tif}\"}}}},\"c\":\"0x{id}\"}}"),
        )
    }

    /// As MessagePack.
    fn pack(&self, pack: &mut Pack<'_>) -> Result<()> {
        pack.map(7)?.text(b"a")?.uint(self.asset)?.text(b"b")?.boolean(self.buy)?;
        pack.text(b"p")?.text(self.price.as_bytes())?.text(b"s")?.text(self.size.as_bytes())?;
        pack.text(b"r")?.boolean(self.reduce)?;
        pack.text(b"t")?.map(1)?.text(b"limit")?.map(1)?.text(b"tif")?.text(self.tif.as_bytes())?;
        pack.text(b"c")?.text(&cloid(self.id.hex()))?;
        Ok(())
    }
}

/// `tif` of a limit order; the venue has no fill-or-kill.
const fn time_in_force(tif: TimeInForce) -> Result<&'static str> {
    match tif {
        TimeInForce::Ioc => Ok("Ioc"),
        TimeInForce::Gtc => Ok("Gtc"),
        TimeInForce::PostOnly => Ok("Alo"),
        TimeInForce::Fok => Err(PayloadFull),
    }
}

impl Encoder for HyperliquidEncoder {
    fn on_instrument(&mut self, instrument: &Instrument) {
        if let Ok(at) = self.position(instrument.id) {
            self.instruments[at] = *instrument;
        }
    }

    fn order(&mut self, order: &OrderSpec, meta: &OutMeta, now: Stamp, to: &mut Payload) -> Result<Rendered> {
        self.nonce_before = self.last_nonce;
        let wire = self.wire(order)?;
        let expires = self.expires(order, meta, now);
        let nonce = self.nonce(now);
        open(Posted::Place(order.client_id), to)?;
        to.push(b"{\"type\":\"order\",\"orders\":[")?;
        wire.write(to)?;
        to.push(b"],\"grouping\":\"na\"}")?;
        close(nonce, expires, to)?;
        let mut pack = Pack(to);
        pack.map(3)?.text(b"type")?.text(b"order")?.text(b"orders")?.array(1)?;
        wire.pack(&mut pack)?;
        pack.text(b"grouping")?.text(b"na")?;
        pack.tail(nonce.unsigned_abs(), expires.map(i64::unsigned_abs))?;
        to.scheme = SignScheme::AgentMainnet;
        Ok(Rendered::Socket(self.orders_conn()))
    }

    fn replace(
        &mut self,
        old: ClientId,
        with: &OrderSpec,
        meta: &OutMeta,
        now: Stamp,
        to: &mut Payload,
    ) -> Result<Option<Rendered>> {
        let wire = self.wire(with)?;
        let expires = self.expires(with, meta, now);
        let nonce = self.nonce(now);
        // What the reply says is about the new order.
        open(Posted::Place(with.client_id), to)?;
        text(to, format_args!("{{\"type\":\"batchModify\",\"modifies\":[{{\"oid\":\"0x{old}\",\"order\":"))?;
        wire.write(to)?;
        to.push(b"}]}")?;
        close(nonce, expires, to)?;
        let mut pack = Pack(to);
        pack.map(2)?.text(b"type")?.text(b"batchModify")?.text(b"modifies")?.array(1)?.map(2)?;
        pack.text(b"oid")?.text(&cloid(old.hex()))?.text(b"order")?;
        wire.pack(&mut pack)?;
        pack.tail(nonce.unsigned_abs(), expires.map(i64::unsigned_abs))?;
        to.scheme = SignScheme::AgentMainnet;
        Ok(Some(Rendered::Socket(self.orders_conn())))
    }

    fn take_back(&mut self) {
        self.last_nonce = self.nonce_before;
    }

    fn cancel(
        &mut self,
        order: &OrderRef,
        _meta: &OutMeta,
        now: Stamp,
        to: &mut Payload,
    ) -> Result<Rendered> {
        let asset = self.instrument(order.instrument)?.spec.code;
        let (nonce, id) = (self.nonce(now), order.client_id);
        open(Posted::Cancel(id), to)?;
        text(
            to,
            format_args!(
                "{{\"type\":\"cancelByCloid\",\"cancels\":[{{\"asset\":{asset},\"cloid\":\"0x{id}\"}}]}}"
            ),
        )?;
        close(nonce, None, to)?;
        let mut pack = Pack(to);
        pack.map(2)?.text(b"type")?.text(b"cancelByCloid")?.text(b"cancels")?.array(1)?.map(2)?;
        pack.text(b"asset")?.uint(asset)?.text(b"cloid")?.text(&cloid(id.hex()))?;
        pack.tail(nonce.unsigned_abs(), None)?;
        to.scheme = SignScheme::AgentMainnet;
        Ok(Rendered::Socket(self.orders_conn()))
    }

    fn query(
        &mut self,
        order: &OrderRef,
        _meta: &OutMeta,
        _now: Stamp,
        to: &mut Payload,
    ) -> Result<Rendered> {
        to.clear();
        info("orderStatus", to)?;
        text(to, format_args!(",\"oid\":\"0x{}\"}}", order.client_id))?;
        Ok(Rendered::Http)
    }

    fn send(&mut self, _conn: ConnId, what: VenueCall, now: Stamp, to: &mut Payload) -> Result<()> {
        to.clear();
        match what.op {
            calls::PING => to.push(b"{\"method\":\"ping\"}"),
            calls::SUBSCRIBE_MARKET => self.subscription("subscribe", what, to),
            calls::UNSUBSCRIBE_MARKET => self.subscription("unsubscribe", what, to),
            calls::SUBSCRIBE_ACCOUNT => {
                let channel = calls::ACCOUNT_CHANNELS.get(what.arg as usize).ok_or(PayloadFull)?;
                text(
                    to,
                    format_args!(
                        "{{\"method\":\"subscribe\",\"subscription\":{{\"type\":\"{channel}\",\"user\":\""
                    ),
                )?;
                to.push_hole(HoleKind::ApiKey)?;
                to.push(b"\"}}")
            }
            calls::SCHEDULE_CANCEL => self.schedule_cancel(what.arg, now, to),
            _ => Err(PayloadFull),
        }
    }

    fn http(&mut self, what: VenueCall, _now: Stamp, to: &mut Payload) -> Result<Option<Redact>> {
        to.clear();
        let kind = match what.op {
            calls::META => return public_info("metaAndAssetCtxs", to).map(|()| None),
            calls::TIME => return public_info("exchangeStatus", to).map(|()| None),
            calls::PENDING => "frontendOpenOrders",
            calls::STATE => "clearinghouseState",
            calls::FILLS => "userFillsByTime",
            calls::ROLE => "userRole",
            calls::AGENTS => "extraAgents",
            calls::ABSTRACTION => "userAbstraction",
            calls::FEES => "userFees",
            calls::RATE => "userRateLimit",
            calls::ASSET => "activeAssetData",
            _ => return Err(PayloadFull),
        };
        info(kind, to)?;
        match what.op {
            calls::FILLS => text(to, format_args!(",\"startTime\":{}}}", what.arg))?,
            calls::ASSET => {
                let listing = self.listings.get(what.arg as usize).ok_or(PayloadFull)?;
                text(to, format_args!(",\"coin\":\"{}\"}}", listing.symbol))?;
            }
            _ => to.push(b"}")?,
        }
        // Some of these replies repeat the address, or name our wallet.
        Ok(Some(Redact::KNOWN))
    }

    fn connect(&mut self, conn: ConnId, _slot: Option<SecretSlot>, to: &mut Payload) -> Result<()> {
        to.clear();
        debug_assert!(conn.0 >= self.conn_base.0 + MARKET as u8);
        to.push(b"/ws")
    }
}

/// `0x` and the 32 hex digits.
fn cloid(hex: [u8; 32]) -> [u8; 34] {
    let mut text = [0; 34];
    text[..2].copy_from_slice(b"0x");
    text[2..].copy_from_slice(&hex);
    text
}
