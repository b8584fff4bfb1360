//! The bytes of market data: levels, books, prices, in the documented field order.

use super::session::Channel;
use super::wire::{amount, ms, price, price_limits, size};
use crate::domain::time::Nanos;
use crate::sim::exchange::{AccountId, Exchange, LevelView, Listing, ListingId, PublicTrade, Side, Steps};
use std::fmt::Write;

/// `[["px","sz","0","orders"],…]`.
pub(super) fn levels(listing: &Listing, levels: &[LevelView]) -> String {
    let mut text = String::with_capacity(2 + levels.len() * 32);
    text.push('[');
    for level in levels {
        if text.len() > 1 {
            text.push(',');
        }
        let (price, size) = (price(listing, level.price), size(listing, level.qty));
        let _ = write!(text, r#"["{price}","{size}","0","{}"]"#, level.orders); // writing to a String cannot fail
    }
    text.push(']');
    text
}

pub(super) fn books_frame(
    listing: &Listing,
    action: &str,
    sides: [&[LevelView]; 2],
    at: Nanos,
    sequence: u64,
    previous: i64,
) -> String {
    format!(
        r#"{{"arg":{{"channel":"books","instId":"{}"}},"action":"{action}","data":[{{"asks":{},"bids":{},"ts":"{}","checksum":0,"seqId":{sequence},"prevSeqId":{previous}}}]}}"#,
        listing.symbol,
        levels(listing, sides[1]),
        levels(listing, sides[0]),
        ms(at),
    )
}

/// `bbo-tbt` and `books5`: the best levels, whole.
pub(super) fn top_frame(
    exchange: &Exchange,
    id: ListingId,
    channel: Channel,
    depth: usize,
    at: Nanos,
) -> String {
    let (listing, book) = (exchange.listing(id), exchange.book(id));
    let asks = levels(listing, &book.levels(Side::Sell, depth));
    let bids = levels(listing, &book.levels(Side::Buy, depth));
    let named =
        if channel == Channel::Books5 { format!(r#""instId":"{}","#, listing.symbol) } else { String::new() };
    let sequence = exchange.last_update(id);
    let data = format!(r#"{{"asks":{asks},"bids":{bids},{named}"ts":"{}","seqId":{sequence}}}"#, ms(at));
    wrap(channel, &listing.symbol, &data)
}

pub(super) fn wrap(channel: Channel, symbol: &str, data: &str) -> String {
    format!(r#"{{"arg":{{"channel":"{}","instId":"{symbol}"}},"data":[{data}]}}"#, channel.name())
}

pub(super) fn best_text(exchange: &Exchange, id: ListingId, side: Side) -> (String, String) {
    let listing = exchange.listing(id);
    match exchange.book(id).best(side) {
        Some(level) => (price(listing, level.price), size(listing, level.qty)),
        None => (String::new(), String::new()),
    }
}

/// The mark as published: two places finer than the tick.
pub(super) fn mark_text(listing: &Listing) -> String {
    amount(listing.mark, (listing.tick.scale + 2).min(18))
}

/// Name of the index that an instrument follows.
pub(super) fn index_name(listing: &Listing) -> String {
    format!("{}-{}", listing.base, listing.quote)
}

pub(super) fn mark(listing: &Listing, at: Nanos) -> String {
    let (symbol, mark) = (&listing.symbol, mark_text(listing));
    format!(r#"{{"instId":"{symbol}","instType":"SWAP","markPx":"{mark}","ts":"{}"}}"#, ms(at))
}

pub(super) fn limits(exchange: &Exchange, listing: &Listing, at: Nanos) -> String {
    let (buy, sell) = price_limits(exchange, listing);
    let symbol = &listing.symbol;
    format!(
        r#"{{"buyLmt":"{buy}","enabled":true,"instId":"{symbol}","instType":"SWAP","sellLmt":"{sell}","ts":"{}"}}"#,
        ms(at)
    )
}

pub(super) fn index_ticker(listing: &Listing, at: Nanos) -> String {
    let index = amount(listing.index, (listing.tick.scale + 2).min(18));
    format!(
        r#"{{"instId":"{}","idxPx":"{index}","open24h":"{index}","high24h":"{index}","low24h":"{index}","sodUtc0":"{index}","sodUtc8":"{index}","ts":"{}"}}"#,
        index_name(listing),
        ms(at),
    )
}

/// A liquidation, told to whoever listens to those of all swaps.
pub(super) fn liquidation(listing: &Listing, trade: &PublicTrade, at: Nanos) -> String {
    let (side, position) = if trade.taker == Side::Buy { ("buy", "short") } else { ("sell", "long") };
    format!(
        r#"{{"arg":{{"channel":"liquidation-orders","instType":"SWAP"}},"data":[{{"details":[{{"bkLoss":"0","bkPx":"{}","ccy":"","posSide":"{position}","side":"{side}","sz":"{}","ts":"{}"}}],"instFamily":"{}","instId":"{}","instType":"SWAP","uly":"{}"}}]}}"#,
        price(listing, trade.price),
        size(listing, trade.qty),
        ms(at),
        index_name(listing),
        listing.symbol,
        index_name(listing),
    )
}

/// Open interest: what all longs hold.
pub(super) fn interest(exchange: &Exchange, id: ListingId, at: Nanos) -> String {
    let listing = exchange.listing(id);
    let accounts = 0..=exchange.settings().accounts.len() as u16;
    let held = |account: u16| exchange.account(AccountId(account)).positions[id.index()].qty.max(0);
    let qty: Steps = accounts.map(held).sum();
    format!(
        r#"{{"instId":"{}","instType":"SWAP","oi":"{}","oiCcy":"{}","oiUsd":"{}","ts":"{}"}}"#,
        listing.symbol,
        size(listing, qty),
        listing.face(qty),
        listing.notional_at_mark(qty),
        ms(at),
    )
}
