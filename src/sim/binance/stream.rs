//! Market-data streams: names, routing by path, and the frames.
//!
//! `/public` carries `bookTicker` and `depth*`, `/market` everything else; a stream asked for on the wrong
//! path is accepted and stays silent, as is a stream that does not exist.

use super::flavour::pair_field;
use crate::domain::money::Money;
use crate::domain::time::{MILLI, Nanos};
use crate::sim::exchange::{
    Exchange, LevelView, Listing, ListingId, MoneyText, PublicTrade, Side, Steps, Ticks,
};
use std::collections::BTreeMap;

/// Which path a stream connection came in on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    /// `/public`.
    Public,
    /// `/market`.
    Market,
    /// Everything on one path (COIN-M).
    All,
}

/// A stream that pushes something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stream {
    /// `<s>@bookTicker`
    BookTicker(ListingId),
    /// `!bookTicker`
    BookTickerAll,
    /// `<s>@depth[@…ms]`; speed in ms, 0 = every change.
    Depth(ListingId, u16),
    /// `<s>@depth<levels>[@…ms]`
    Partial(ListingId, u16, u8),
    /// `<s>@aggTrade`
    AggTrade(ListingId),
    /// `<s>@trade`
    Trade(ListingId),
    /// `<s>@forceOrder`
    ForceOrder(ListingId),
    /// `<s>@markPrice[@1s]`; speed in s.
    Mark(ListingId, u8),
    /// `!markPrice@arr[@1s]`
    MarkAll(u8),
    /// `<s>@ticker`
    Ticker(ListingId),
    /// `<s>@miniTicker`
    MiniTicker(ListingId),
    /// `!contractInfo`
    ContractInfo,
}

impl Stream {
    /// The stream of that name on that path, if it ever pushes anything.
    pub fn parse(name: &str, group: Group, exchange: &Exchange) -> Option<Self> {
        let stream = Self::of_name(name, exchange)?;
        (group == Group::All || stream.group() == group).then_some(stream)
    }

    fn of_name(name: &str, exchange: &Exchange) -> Option<Self> {
        match name {
            "!contractInfo" => return Some(Self::ContractInfo),
            "!bookTicker" => return Some(Self::BookTickerAll),
            "!markPrice@arr" => return Some(Self::MarkAll(3)),
            "!markPrice@arr@1s" => return Some(Self::MarkAll(1)),
            _ => {}
        }
        let (symbol, rest) = name.split_once('@')?;
        if symbol.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return None; // names are lower case
        }
        let listing = exchange.find(&symbol.to_ascii_uppercase())?;
        let (kind, speed) = rest.split_once('@').map_or((rest, None), |(kind, speed)| (kind, Some(speed)));
        let depth_speed = match speed {
            None => Some(250),
            Some("0ms") => Some(0),
            Some("100ms") => Some(100),
            Some("250ms") => Some(250),
            Some("500ms") => Some(500),
            Some(_) => None,
        };
        match (kind, speed) {
            ("bookTicker", None) => Some(Self::BookTicker(listing)),
            ("depth", _) => Some(Self::Depth(listing, depth_speed?)),
            ("depth5" | "depth10" | "depth20", _) => {
                Some(Self::Partial(listing, depth_speed?, kind[5..].parse().ok()?))
            }
            ("aggTrade", None) => Some(Self::AggTrade(listing)),
            ("trade", None) => Some(Self::Trade(listing)),
            ("forceOrder", None) => Some(Self::ForceOrder(listing)),
            ("markPrice", None) => Some(Self::Mark(listing, 3)),
            ("markPrice", Some("1s")) => Some(Self::Mark(listing, 1)),
            ("ticker", None) => Some(Self::Ticker(listing)),
            ("miniTicker", None) => Some(Self::MiniTicker(listing)),
            _ => None,
        }
    }

    fn group(self) -> Group {
        match self {
            Self::BookTicker(_) | Self::BookTickerAll | Self::Depth(..) | Self::Partial(..) => Group::Public,
            _ => Group::Market,
        }
    }
}

/// Changes of one book since the last `depthUpdate` of one speed.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    first: u64,
    last: u64,
    /// `u` of the last event sent.
    sent: u64,
    bids: BTreeMap<Ticks, Steps>,
    asks: BTreeMap<Ticks, Steps>,
}

impl Pending {
    /// A chain that starts after update `sent`.
    pub fn after(sent: u64) -> Self {
        Self { first: 0, last: 0, sent, bids: BTreeMap::new(), asks: BTreeMap::new() }
    }

    /// Notes a level change.
    pub fn note(&mut self, side: Side, level: LevelView, update: u64) {
        if self.first == 0 {
            self.first = update;
        }
        self.last = update;
        match side {
            Side::Buy => self.bids.insert(level.price, level.qty),
            Side::Sell => self.asks.insert(level.price, level.qty),
        };
    }

    /// The event for everything noted, if anything; starts anew. With `top`, the best levels of the book
    /// instead of the changes.
    pub fn flush(
        &mut self,
        listing: &Listing,
        top: Option<(&[LevelView], &[LevelView])>,
        at: Nanos,
    ) -> Option<String> {
        if self.first == 0 {
            return None;
        }
        let (bids, asks) = match top {
            Some((bids, asks)) => (levels_text(listing, bids), levels_text(listing, asks)),
            None => (
                pairs_text(listing, self.bids.iter().rev().map(|(price, qty)| (*price, *qty))),
                pairs_text(listing, self.asks.iter().map(|(price, qty)| (*price, *qty))),
            ),
        };
        let text = format!(
            "{{\"e\":\"depthUpdate\",\"E\":{},\"T\":{},\"s\":\"{}\",{}\"U\":{},\"u\":{},\"pu\":{},\"b\":{},\"a\":{}}}",
            at / MILLI,
            at / MILLI,
            listing.symbol,
            pair_field("ps", listing),
            self.first,
            self.last,
            self.sent,
            bids,
            asks
        );
        *self = Self::after(self.last);
        Some(text)
    }
}

/// `[["price","qty"],…]`.
pub(super) fn levels_text(listing: &Listing, levels: &[LevelView]) -> String {
    pairs_text(listing, levels.iter().map(|level| (level.price, level.qty)))
}

fn pairs_text(listing: &Listing, pairs: impl Iterator<Item = (Ticks, Steps)>) -> String {
    let mut text = String::from("[");
    for (price, qty) in pairs {
        if text.len() > 1 {
            text.push(',');
        }
        text.push_str("[\"");
        text.push_str(&listing.price_text(price));
        text.push_str("\",\"");
        text.push_str(&listing.qty_text(qty));
        text.push_str("\"]");
    }
    text.push(']');
    text
}

/// `bookTicker`; nothing while a side is empty.
pub(super) fn book_ticker(
    listing: &Listing,
    bid: Option<LevelView>,
    ask: Option<LevelView>,
    update: u64,
    at: Nanos,
) -> Option<String> {
    let (bid, ask) = (bid?, ask?);
    Some(format!(
        "{{\"e\":\"bookTicker\",\"u\":{},\"s\":\"{}\",{}\"b\":\"{}\",\"B\":\"{}\",\"a\":\"{}\",\"A\":\"{}\",\"T\":{},\"E\":{}}}",
        update,
        listing.symbol,
        pair_field("ps", listing),
        listing.price_text(bid.price),
        listing.qty_text(bid.qty),
        listing.price_text(ask.price),
        listing.qty_text(ask.qty),
        at / MILLI,
        at / MILLI
    ))
}

/// `aggTrade`; `number` is the aggregate's own id.
pub(super) fn agg_trade(listing: &Listing, trade: &PublicTrade, number: u64, at: Nanos) -> String {
    let qty = listing.qty_text(trade.qty);
    format!(
        concat!(
            "{{\"e\":\"aggTrade\",\"E\":{},\"a\":{},\"s\":\"{}\",\"p\":\"{}\",\"q\":\"{}\",\"nq\":\"{}\",\"f\":{},\"l\":{},",
            "\"T\":{},\"m\":{}}}"
        ),
        at / MILLI,
        number,
        listing.symbol,
        listing.price_text(trade.price),
        qty,
        qty,
        trade.first,
        trade.last,
        at / MILLI,
        trade.taker == Side::Sell
    )
}

/// `trade` (undocumented by the venue; the last fill id stands for the aggregate).
pub(super) fn trade(listing: &Listing, trade: &PublicTrade, at: Nanos) -> String {
    format!(
        "{{\"e\":\"trade\",\"E\":{},\"T\":{},\"s\":\"{}\",\"t\":{},\"p\":\"{}\",\"q\":\"{}\",\"X\":\"MARKET\",\"m\":{}}}",
        at / MILLI,
        at / MILLI,
        listing.symbol,
        trade.last,
        listing.price_text(trade.price),
        listing.qty_text(trade.qty),
        trade.taker == Side::Sell
    )
}

/// `forceOrder`: the order that closes a position.
pub(super) fn force_order(listing: &Listing, trade: &PublicTrade, at: Nanos) -> String {
    let (qty, price) = (listing.qty_text(trade.qty), listing.price_text(trade.price));
    let side = if trade.taker == Side::Buy { "BUY" } else { "SELL" };
    format!(
        concat!(
            "{{\"e\":\"forceOrder\",\"E\":{time},\"o\":{{\"s\":\"{symbol}\",\"S\":\"{side}\",\"o\":\"LIMIT\",\"f\":\"IOC\",",
            "\"q\":\"{qty}\",\"p\":\"{price}\",\"ap\":\"{price}\",\"X\":\"FILLED\",\"l\":\"{qty}\",\"z\":\"{qty}\",\"T\":{time}}}}}"
        ),
        time = at / MILLI,
        symbol = listing.symbol,
        side = side,
        qty = qty,
        price = price,
    )
}

/// `markPriceUpdate`.
pub(super) fn mark_price(listing: &Listing, at: Nanos) -> String {
    format!(
        "{{\"e\":\"markPriceUpdate\",\"E\":{},\"s\":\"{}\",\"p\":\"{}\",\"P\":\"{}\",\"i\":\"{}\",\"r\":\"{}\",\"T\":{}}}",
        at / MILLI,
        listing.symbol,
        listing.mark.fixed(8),
        listing.mark.fixed(8),
        listing.index.fixed(8),
        rate_text(listing.funding_rate_ppb),
        listing.funding_at / MILLI
    )
}

/// A funding rate with 8 decimals.
pub(super) fn rate_text(rate_ppb: i64) -> String {
    Money(i128::from(rate_ppb) * 1_000_000_000).fixed(8)
}

/// Running figures of a listing's day.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Day {
    pub first: Ticks,
    pub last: Ticks,
    pub last_qty: Steps,
    pub high: Ticks,
    pub low: Ticks,
    pub volume: Steps,
    pub turnover: Money,
    pub first_id: u64,
    pub last_id: u64,
    pub count: u64,
    pub since: Nanos,
    /// Number of the last aggregate trade.
    pub aggregates: u64,
}

impl Day {
    /// Adds a trade.
    pub fn note(&mut self, listing: &Listing, trade: &PublicTrade, at: Nanos) {
        if self.count == 0 {
            (self.first, self.high, self.low) = (trade.price, trade.price, trade.price);
            (self.first_id, self.since) = (trade.first, at);
        }
        self.last = trade.price;
        self.last_qty = trade.qty;
        self.high = self.high.max(trade.price);
        self.low = self.low.min(trade.price);
        self.volume += trade.qty;
        self.turnover += listing.settled(trade.price, trade.qty);
        self.last_id = trade.last;
        self.count += trade.last - trade.first + 1;
        self.aggregates += 1;
    }

    fn change_percent(&self) -> String {
        let ppb = i128::from(self.last - self.first) * 1_000_000_000 / i128::from(self.first.max(1));
        crate::sim::exchange::fixed(ppb / 10_000, 3)
    }

    /// `GET /fapi/v1/ticker/24hr`.
    pub fn json(&self, listing: &Listing, now: Nanos) -> String {
        format!(
            concat!(
                "{{\"symbol\":\"{}\",\"priceChange\":\"{}\",\"priceChangePercent\":\"{}\",\"weightedAvgPrice\":\"{}\",",
                "\"lastPrice\":\"{}\",\"lastQty\":\"{}\",\"openPrice\":\"{}\",\"highPrice\":\"{}\",\"lowPrice\":\"{}\",",
                "\"volume\":\"{}\",\"quoteVolume\":\"{}\",\"openTime\":{},\"closeTime\":{},\"firstId\":{},\"lastId\":{},\"count\":{}}}"
            ),
            listing.symbol,
            listing.price_text(self.last - self.first),
            self.change_percent(),
            listing.average_text(self.turnover, self.volume, listing.tick.scale),
            listing.price_text(self.last),
            listing.qty_text(self.last_qty),
            listing.price_text(self.first),
            listing.price_text(self.high),
            listing.price_text(self.low),
            listing.qty_text(self.volume),
            self.turnover.fixed(2),
            self.since / MILLI,
            now / MILLI,
            self.first_id,
            self.last_id,
            self.count
        )
    }

    /// `24hrTicker` / `24hrMiniTicker`.
    pub fn frame(&self, listing: &Listing, mini: bool, at: Nanos) -> String {
        let (last, open) = (listing.price_text(self.last), listing.price_text(self.first));
        let (high, low) = (listing.price_text(self.high), listing.price_text(self.low));
        let (volume, turnover) = (listing.qty_text(self.volume), self.turnover.fixed(2));
        let (time, symbol) = (at / MILLI, &listing.symbol);
        if mini {
            return format!(
                "{{\"e\":\"24hrMiniTicker\",\"E\":{time},\"s\":\"{symbol}\",\"c\":\"{last}\",\"o\":\"{open}\",\"h\":\"{high}\",\"l\":\"{low}\",\"v\":\"{volume}\",\"q\":\"{turnover}\"}}"
            );
        }
        format!(
            concat!(
                "{{\"e\":\"24hrTicker\",\"E\":{},\"s\":\"{}\",\"p\":\"{}\",\"P\":\"{}\",\"w\":\"{}\",\"c\":\"{}\",\"Q\":\"{}\",",
                "\"o\":\"{}\",\"h\":\"{}\",\"l\":\"{}\",\"v\":\"{}\",\"q\":\"{}\",\"O\":{},\"C\":{},\"F\":{},\"L\":{},\"n\":{}}}"
            ),
            time,
            symbol,
            listing.price_text(self.last - self.first),
            self.change_percent(),
            listing.average_text(self.turnover, self.volume, listing.tick.scale),
            last,
            listing.qty_text(self.last_qty),
            open,
            high,
            low,
            volume,
            turnover,
            self.since / MILLI,
            time,
            self.first_id,
            self.last_id,
            self.count
        )
    }
}

/// Something about a listing changed.
pub(super) fn contract_info(listing: &Listing, at: Nanos) -> String {
    format!(
        concat!(
            "{{\"e\":\"contractInfo\",\"E\":{},\"s\":\"{}\",\"ps\":\"{}\",\"ct\":\"PERPETUAL\",\"dt\":4133404800000,",
            "\"ot\":1569398400000,\"cs\":\"{}\"}}"
        ),
        at / MILLI,
        listing.symbol,
        listing.symbol,
        super::info::status(listing, at),
    )
}
