//! The rows of OKX's market channels but books and liquidations, as exact decimals. Keeps nothing.

use super::parse::{Channel, Item, MarkRow, Result};
use super::schema;
use crate::domain::order::Side;
use crate::domain::text::Symbol;
use crate::venue::json::{Cursor, Kind};
use crate::venue::message::DecodeError;

pub(super) fn trade(instrument: &[u8], c: &mut Cursor<'_>) -> Result<Item> {
    let mut name = instrument;
    let (mut id, mut price, mut qty, mut way, mut time) = (None, None, None, None, None);
    c.object(|key, c| {
        match key {
            b"instId" => name = c.string()?,
            b"tradeId" => id = Some(c.uint("tradeId")?),
            b"px" => price = Some(c.num("px")?),
            b"sz" => qty = Some(c.num("sz")?),
            b"side" => way = Some(side(c)?),
            b"ts" => time = Some(c.int("ts")?),
            _ => c.pass(key, &schema::TRADE)?,
        }
        Ok(())
    })?;
    Ok(Item::Trade {
        symbol: symbol(name)?,
        id: id.ok_or(DecodeError::Missing("tradeId"))?,
        price: price.ok_or(DecodeError::Missing("px"))?,
        qty: qty.ok_or(DecodeError::Missing("sz"))?,
        side: way.ok_or(DecodeError::Missing("side"))?,
        time_ms: time.ok_or(DecodeError::Missing("ts"))?,
    })
}

pub(super) fn ticker(instrument: &[u8], c: &mut Cursor<'_>) -> Result<Item> {
    let mut name = instrument;
    let (mut last, mut bid, mut ask, mut time) = (None, None, None, None);
    c.object(|key, c| {
        match key {
            b"instId" => name = c.string()?,
            b"last" => last = c.num_or_absent("last")?,
            b"bidPx" => bid = c.num_or_absent("bidPx")?,
            b"askPx" => ask = c.num_or_absent("askPx")?,
            b"ts" => time = Some(c.int("ts")?),
            _ => c.pass(key, &schema::TICKER)?,
        }
        Ok(())
    })?;
    let time_ms = time.ok_or(DecodeError::Missing("ts"))?;
    Ok(Item::Ticker { symbol: symbol(name)?, last, bid, ask, time_ms })
}

pub(super) fn mark(channel: Channel, instrument: &[u8], c: &mut Cursor<'_>) -> Result<MarkRow> {
    let mut name = instrument;
    let mut row = MarkRow::default();
    c.object(|key, c| {
        match key {
            b"instId" => name = c.string()?,
            b"markPx" => row.mark = c.num_or_absent("markPx")?,
            b"idxPx" => row.index = c.num_or_absent("idxPx")?,
            b"fundingRate" => row.rate = c.num_or_absent("fundingRate")?,
            b"fundingTime" => row.funding_ms = int_or_zero(c, "fundingTime")?,
            b"nextFundingTime" => row.next_funding_ms = int_or_zero(c, "nextFundingTime")?,
            // Older funding messages carry no time of their own.
            b"ts" => row.time_ms = int_or_zero(c, "ts")?,
            _ => c.pass(key, &schema::MARK)?,
        }
        Ok(())
    })?;
    match channel {
        Channel::Mark if row.mark.is_none() => return Err(DecodeError::Missing("markPx")),
        Channel::Index if row.index.is_none() => return Err(DecodeError::Missing("idxPx")),
        Channel::Funding if row.funding_ms == 0 => return Err(DecodeError::Missing("fundingTime")),
        _ => {}
    }
    row.symbol = symbol(name)?;
    Ok(row)
}

pub(super) fn limits(instrument: &[u8], c: &mut Cursor<'_>) -> Result<Item> {
    let mut name = instrument;
    let (mut buy_max, mut sell_min, mut in_force, mut time) = (None, None, true, None);
    c.object(|key, c| {
        match key {
            b"instId" => name = c.string()?,
            b"buyLmt" => buy_max = c.num_or_absent("buyLmt")?,
            b"sellLmt" => sell_min = c.num_or_absent("sellLmt")?,
            b"enabled" => in_force = c.boolean("enabled")?,
            b"ts" => time = Some(c.int("ts")?),
            _ => c.pass(key, &schema::LIMITS)?,
        }
        Ok(())
    })?;
    let (buy_max, sell_min) = (buy_max.filter(|_| in_force), sell_min.filter(|_| in_force));
    let time_ms = time.ok_or(DecodeError::Missing("ts"))?;
    Ok(Item::Limits { symbol: symbol(name)?, buy_max, sell_min, time_ms })
}

pub(super) fn interest(instrument: &[u8], c: &mut Cursor<'_>) -> Result<Item> {
    let mut name = instrument;
    let (mut qty, mut time) = (None, None);
    c.object(|key, c| {
        match key {
            b"instId" => name = c.string()?,
            b"oi" => qty = Some(c.num("oi")?),
            b"ts" => time = Some(c.int("ts")?),
            _ => c.pass(key, &schema::INTEREST)?,
        }
        Ok(())
    })?;
    Ok(Item::Interest {
        symbol: symbol(name)?,
        qty: qty.ok_or(DecodeError::Missing("oi"))?,
        time_ms: time.ok_or(DecodeError::Missing("ts"))?,
    })
}

pub(super) fn side(c: &mut Cursor<'_>) -> Result<Side> {
    match c.string()? {
        b"buy" => Ok(Side::Buy),
        b"sell" => Ok(Side::Sell),
        _ => Err(DecodeError::Field("side")),
    }
}

/// An integer; `""` and `null` are 0.
pub(super) fn int_or_zero(c: &mut Cursor<'_>, name: &'static str) -> Result<i64> {
    let start = *c;
    match c.kind()? {
        Kind::Null => c.skip().map(|()| 0),
        Kind::String if c.string()?.is_empty() => Ok(0),
        _ => {
            *c = start;
            c.int(name)
        }
    }
}

pub(super) fn symbol(text: &[u8]) -> Result<Symbol> {
    match Symbol::from_bytes(text) {
        Some(symbol) if !symbol.is_empty() => Ok(symbol),
        Some(_) => Err(DecodeError::Missing("instId")),
        None => Err(DecodeError::Field("instId")),
    }
}
