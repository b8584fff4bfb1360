//! Market data of the venue: who gets what, when, and in which bytes.
//!
//! Each topic has one stream per instrument that all its subscribers share, so a frame is written once.

use super::wire::{fine, ms, ppb, trade_uuid};
use crate::domain::time::{Nanos, SECOND};
use crate::sim::exchange::{AccountId, Exchange, LevelView, Listing, ListingId, PublicTrade, Side, Steps};
use crate::sim::{Push, SimConn};
use std::collections::BTreeMap;
use std::fmt::Write;

/// The book topics that there are: depth of each.
pub(super) const DEPTHS: [usize; 2] = [1, 50];
/// Place of the best prices in [`DEPTHS`].
pub(super) const BEST: usize = 0;
/// Place of the book.
pub(super) const BOOK: usize = 1;
/// Best prices that do not change are sent again, under the same number.
const REPEAT: Nanos = 3 * SECOND;

/// A topic of one instrument.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Topic {
    /// A place in [`DEPTHS`].
    Book(usize),
    Trades,
    Ticker,
    Liquidations,
    Limits,
}

impl Topic {
    /// Reads `orderbook.50.BTCUSDT` and the like.
    pub(super) fn parse(text: &str, exchange: &Exchange) -> Option<(Self, ListingId)> {
        let (topic, symbol) = text.rsplit_once('.')?;
        let topic = match topic {
            "orderbook.1" => Self::Book(BEST),
            "orderbook.50" => Self::Book(BOOK),
            "publicTrade" => Self::Trades,
            "tickers" => Self::Ticker,
            "allLiquidation" => Self::Liquidations,
            "priceLimit" => Self::Limits,
            _ => return None,
        };
        Some((topic, exchange.find(symbol)?))
    }
}

/// A book topic as its subscribers have it.
#[derive(Clone, Debug, Default)]
struct BookStream {
    /// Bids and asks, best first.
    levels: [Vec<LevelView>; 2],
    /// `u`.
    update: u64,
    /// `seq`.
    sequence: u64,
    sent_at: Nanos,
}

/// What was published of one instrument.
#[derive(Clone, Debug, Default)]
struct Stream {
    books: [BookStream; 2],
    last: Option<PublicTrade>,
    /// The ticker's fields as last sent.
    ticker: Vec<(&'static str, String)>,
    /// Highest price to buy at and lowest to sell at, as last sent.
    limits: [i64; 2],
}

/// All streams of the venue.
#[derive(Clone, Debug)]
pub(super) struct Feed {
    streams: Vec<Stream>,
    subscribers: BTreeMap<(Topic, ListingId), Vec<SimConn>>,
}

impl Feed {
    pub(super) fn new(listings: usize) -> Self {
        Self { streams: vec![Stream::default(); listings], subscribers: BTreeMap::new() }
    }

    /// Subscribes, and returns the first message where the topic has one.
    pub(super) fn subscribe(
        &mut self,
        exchange: &Exchange,
        topic: Topic,
        id: ListingId,
        conn: SimConn,
        at: Nanos,
    ) -> Option<String> {
        let running = self.subscribers.contains_key(&(topic, id));
        let conns = self.subscribers.entry((topic, id)).or_default();
        if !conns.contains(&conn) {
            conns.push(conn);
        }
        let stream = &mut self.streams[id.index()];
        match topic {
            Topic::Book(depth) => {
                let book = &mut stream.books[depth];
                if !running {
                    // Numbers go on where they were: only a restart of the service begins at 1.
                    book.update = book.update.max(1_000 * (1 + u64::from(id.0))) + 1;
                    book.levels = window(exchange, id, DEPTHS[depth]);
                    book.sequence = exchange.last_update(id);
                    book.sent_at = at;
                }
                Some(book.frame(exchange.listing(id), depth, "snapshot", &book.levels, at))
            }
            Topic::Trades | Topic::Liquidations => None,
            Topic::Limits => {
                stream.limits = limits(exchange, id);
                Some(limits_frame(exchange.listing(id), stream.limits, at))
            }
            Topic::Ticker => {
                let fields = ticker(exchange, id, stream.last);
                if !running {
                    stream.ticker.clone_from(&fields);
                }
                let known = if running { &stream.ticker } else { &fields };
                Some(ticker_frame(exchange, id, "snapshot", known.iter(), at))
            }
        }
    }

    pub(super) fn unsubscribe(&mut self, topic: Topic, id: ListingId, conn: SimConn) {
        if let Some(conns) = self.subscribers.get_mut(&(topic, id)) {
            conns.retain(|other| *other != conn);
            if conns.is_empty() {
                self.subscribers.remove(&(topic, id));
            }
        }
    }

    pub(super) fn forget(&mut self, conn: SimConn) {
        self.subscribers.retain(|_, conns| {
            conns.retain(|other| *other != conn);
            !conns.is_empty()
        });
    }

    fn send(&self, topic: Topic, id: ListingId, frame: &str, out: &mut Vec<Push>) {
        for conn in self.subscribers.get(&(topic, id)).into_iter().flatten() {
            out.push(Push::Text(*conn, frame.as_bytes().to_vec()));
        }
    }

    /// A trade: published at once.
    pub(super) fn on_trade(
        &mut self,
        exchange: &Exchange,
        trade: PublicTrade,
        at: Nanos,
        out: &mut Vec<Push>,
    ) {
        self.streams[trade.listing.index()].last = Some(trade);
        if trade.is_liquidation() && self.subscribers.contains_key(&(Topic::Liquidations, trade.listing)) {
            let frame = liquidation(exchange.listing(trade.listing), &trade, at);
            self.send(Topic::Liquidations, trade.listing, &frame, out);
        }
        if !self.subscribers.contains_key(&(Topic::Trades, trade.listing)) {
            return;
        }
        let listing = exchange.listing(trade.listing);
        let side = if trade.taker == Side::Buy { "Buy" } else { "Sell" };
        let frame = format!(
            r#"{{"topic":"publicTrade.{symbol}","type":"snapshot","ts":{at},"data":[{{"T":{at},"s":"{symbol}","S":"{side}","v":"{}","p":"{}","L":"PlusTick","i":"{}","BT":false,"RPI":false,"seq":{}}}]}}"#,
            listing.qty_text(trade.qty),
            listing.price_text(trade.price),
            trade_uuid(trade.listing, trade.last, 0xa000),
            exchange.last_update(trade.listing),
            at = ms(at),
            symbol = listing.symbol,
        );
        self.send(Topic::Trades, trade.listing, &frame, out);
    }

    /// Changed books of one depth: whole for the best prices, else what changed.
    pub(super) fn publish_books(
        &mut self,
        exchange: &Exchange,
        depth: usize,
        at: Nanos,
        out: &mut Vec<Push>,
    ) {
        for index in 0..self.streams.len() {
            let id = ListingId(index as u16);
            if !self.subscribers.contains_key(&(Topic::Book(depth), id)) {
                continue;
            }
            let now = window(exchange, id, DEPTHS[depth]);
            let book = &mut self.streams[index].books[depth];
            let listing = exchange.listing(id);
            let frame = if now == book.levels {
                if depth != BEST || at - book.sent_at < REPEAT {
                    continue;
                }
                book.sent_at = at;
                book.frame(listing, depth, "snapshot", &now, at)
            } else {
                book.update += 1;
                (book.sequence, book.sent_at) = (exchange.last_update(id), at);
                let changed = [changes(&book.levels[0], &now[0]), changes(&book.levels[1], &now[1])];
                book.levels = now;
                match depth {
                    BEST => book.frame(listing, depth, "snapshot", &book.levels, at),
                    _ => book.frame(listing, depth, "delta", &changed, at),
                }
            };
            self.send(Topic::Book(depth), id, &frame, out);
        }
    }

    /// Prices that are accepted, where they changed.
    pub(super) fn publish_limits(&mut self, exchange: &Exchange, at: Nanos, out: &mut Vec<Push>) {
        for index in 0..self.streams.len() {
            let id = ListingId(index as u16);
            let now = limits(exchange, id);
            if self.streams[index].limits == now || !self.subscribers.contains_key(&(Topic::Limits, id)) {
                continue;
            }
            self.streams[index].limits = now;
            let frame = limits_frame(exchange.listing(id), now, at);
            self.send(Topic::Limits, id, &frame, out);
        }
    }

    /// Tickers: the fields that changed.
    pub(super) fn publish_tickers(&mut self, exchange: &Exchange, at: Nanos, out: &mut Vec<Push>) {
        for index in 0..self.streams.len() {
            let id = ListingId(index as u16);
            if !self.subscribers.contains_key(&(Topic::Ticker, id)) {
                continue;
            }
            let stream = &mut self.streams[index];
            let fields = ticker(exchange, id, stream.last);
            let before = std::mem::replace(&mut stream.ticker, fields);
            let changed: Vec<_> =
                stream.ticker.iter().filter(|field| !before.contains(field)).cloned().collect();
            if !changed.is_empty() {
                let frame = ticker_frame(exchange, id, "delta", changed.iter(), at);
                self.send(Topic::Ticker, id, &frame, out);
            }
        }
    }

    /// A ticker's fields for REST.
    pub(super) fn ticker(&self, exchange: &Exchange, id: ListingId) -> Vec<(&'static str, String)> {
        ticker(exchange, id, self.streams[id.index()].last)
    }
}

impl BookStream {
    /// The best prices name `ts` before `type`, as the venue does.
    fn frame(
        &self,
        listing: &Listing,
        depth: usize,
        kind: &str,
        sides: &[Vec<LevelView>; 2],
        at: Nanos,
    ) -> String {
        let (symbol, deep, at) = (&listing.symbol, DEPTHS[depth], ms(at));
        let head = if depth == BEST {
            format!(r#""ts":{at},"type":"{kind}""#)
        } else {
            format!(r#""type":"{kind}","ts":{at}"#)
        };
        format!(
            r#"{{"topic":"orderbook.{deep}.{symbol}",{head},"data":{{"s":"{symbol}","b":{},"a":{},"u":{},"seq":{}}},"cts":{at}}}"#,
            levels(listing, &sides[0]),
            levels(listing, &sides[1]),
            self.update,
            self.sequence,
        )
    }
}

/// `[["price","size"],…]`.
pub(super) fn levels(listing: &Listing, levels: &[LevelView]) -> String {
    let mut text = String::with_capacity(2 + levels.len() * 28);
    text.push('[');
    for level in levels {
        if text.len() > 1 {
            text.push(',');
        }
        let price = listing.price_text(level.price);
        let size = if level.qty == 0 { "0".to_owned() } else { listing.qty_text(level.qty) };
        let _ = write!(text, r#"["{price}","{size}"]"#); // writing to a String cannot fail
    }
    text.push(']');
    text
}

fn window(exchange: &Exchange, id: ListingId, depth: usize) -> [Vec<LevelView>; 2] {
    let book = exchange.book(id);
    [book.levels(Side::Buy, depth), book.levels(Side::Sell, depth)]
}

/// Levels that differ; a quantity of 0 deletes.
fn changes(old: &[LevelView], new: &[LevelView]) -> Vec<LevelView> {
    let gone = old.iter().filter(|level| !new.iter().any(|other| other.price == level.price));
    let mut changed: Vec<LevelView> = gone.map(|level| LevelView { qty: 0, ..*level }).collect();
    let same = |level: &LevelView| old.iter().any(|o| (o.price, o.qty) == (level.price, level.qty));
    changed.extend(new.iter().filter(|level| !same(level)));
    changed
}

/// A liquidation, by the side of the position.
fn liquidation(listing: &Listing, trade: &PublicTrade, at: Nanos) -> String {
    let position = if trade.taker == Side::Buy { "Sell" } else { "Buy" };
    format!(
        r#"{{"topic":"allLiquidation.{symbol}","type":"snapshot","ts":{at},"data":[{{"T":{at},"s":"{symbol}","S":"{position}","v":"{}","p":"{}"}}]}}"#,
        listing.qty_text(trade.qty),
        listing.price_text(trade.price),
        at = ms(at),
        symbol = listing.symbol,
    )
}

fn limits(exchange: &Exchange, id: ListingId) -> [i64; 2] {
    [exchange.worst_price(id, Side::Buy), exchange.worst_price(id, Side::Sell)]
}

/// As the venue writes it, without a `type`.
fn limits_frame(listing: &Listing, [buy, sell]: [i64; 2], at: Nanos) -> String {
    let (symbol, buy, sell) = (&listing.symbol, listing.price_text(buy), listing.price_text(sell));
    format!(
        r#"{{"topic":"priceLimit.{symbol}","data":{{"symbol":"{symbol}","buyLmt":"{buy}","sellLmt":"{sell}"}},"ts":{}}}"#,
        ms(at)
    )
}

/// Open interest: what all longs hold.
fn interest(exchange: &Exchange, id: ListingId) -> Steps {
    let accounts = 0..=exchange.settings().accounts.len() as u16;
    accounts.map(|account| exchange.account(AccountId(account)).positions[id.index()].qty.max(0)).sum()
}

fn ticker(exchange: &Exchange, id: ListingId, last: Option<PublicTrade>) -> Vec<(&'static str, String)> {
    let (listing, book) = (exchange.listing(id), exchange.book(id));
    let at_mark = listing.to_ticks(listing.mark, Side::Buy);
    let last = listing.price_text(last.map_or(at_mark, |trade| trade.price));
    let best = |side| {
        book.best(side).map_or_else(Default::default, |level: LevelView| {
            (listing.price_text(level.price), listing.qty_text(level.qty))
        })
    };
    let ((bid, bid_size), (ask, ask_size)) = (best(Side::Buy), best(Side::Sell));
    vec![
        ("lastPrice", last.clone()),
        ("prevPrice24h", last.clone()),
        ("highPrice24h", last.clone()),
        ("lowPrice24h", last),
        ("price24hPcnt", "0".into()),
        ("markPrice", fine(listing, listing.mark)),
        ("indexPrice", fine(listing, listing.index)),
        ("openInterest", listing.qty_text(interest(exchange, id))),
        ("turnover24h", "0".into()),
        ("volume24h", "0".into()),
        ("nextFundingTime", ms(listing.funding_at).to_string()),
        ("fundingRate", ppb(listing.funding_rate_ppb)),
        ("fundingIntervalHour", (listing.funding_interval_ns / (3_600 * SECOND)).to_string()),
        ("bid1Price", bid),
        ("bid1Size", bid_size),
        ("ask1Price", ask),
        ("ask1Size", ask_size),
    ]
}

fn ticker_frame<'a>(
    exchange: &Exchange,
    id: ListingId,
    kind: &str,
    fields: impl Iterator<Item = &'a (&'static str, String)>,
    at: Nanos,
) -> String {
    let symbol = &exchange.listing(id).symbol;
    let mut text = format!(r#"{{"topic":"tickers.{symbol}","type":"{kind}","data":{{"symbol":"{symbol}""#);
    for (name, value) in fields {
        let _ = write!(text, r#","{name}":"{value}""#); // writing to a String cannot fail
    }
    let _ = write!(text, r#"}},"cs":{},"ts":{}}}"#, exchange.last_update(id), ms(at));
    text
}
