//! Market data of the venue: who gets what, when, and in which bytes.
//!
//! Each channel has one stream per instrument that all its subscribers share, so a frame is written once.

use super::wire::{amount, ms, notification, price, rate, size};
use crate::domain::time::Nanos;
use crate::sim::exchange::{AccountId, Exchange, LevelView, ListingId, PublicTrade, Side, Standing, Steps};
use crate::sim::{Push, SimConn};
use std::collections::BTreeMap;

/// What can be subscribed to without a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Channel {
    Quote,
    Book,
    Trades,
    Ticker,
    State,
}

/// All streams of the venue.
#[derive(Clone, Debug)]
pub(super) struct Feed {
    streams: Vec<Stream>,
    /// What was told of each instrument.
    told: Vec<Standing>,
    subscribers: BTreeMap<(Channel, ListingId), Vec<SimConn>>,
}

/// What was published of one instrument, and what is to be.
#[derive(Clone, Debug, Default)]
struct Stream {
    quote_changed: bool,
    book_changed: bool,
    /// The book as subscribers have it: bids, asks; best first.
    published: [Vec<LevelView>; 2],
    /// `change_id` of it.
    change: u64,
    trades: Vec<(PublicTrade, Nanos)>,
    last: Option<PublicTrade>,
}

impl Channel {
    /// Reads a channel name; `None` for what this venue does not have, which it silently leaves out.
    pub(super) fn parse(name: &str, exchange: &Exchange) -> Option<(Self, ListingId)> {
        let parts: Vec<&str> = name.split('.').collect();
        let channel = match parts[..] {
            ["quote", _] => Self::Quote,
            ["book", _, "100ms"] => Self::Book,
            ["trades", _, "100ms"] => Self::Trades,
            ["ticker", _, "100ms"] => Self::Ticker,
            ["instrument", "state", ..] => return Some((Self::State, ListingId(0))),
            _ => return None,
        };
        Some((channel, exchange.find(parts[1])?))
    }

    fn name(self, symbol: &str) -> String {
        match self {
            Self::Quote => format!("quote.{symbol}"),
            Self::Book => format!("book.{symbol}.100ms"),
            Self::Trades => format!("trades.{symbol}.100ms"),
            Self::Ticker => format!("ticker.{symbol}.100ms"),
            Self::State => "instrument.state.future.any".to_owned(),
        }
    }
}

impl Feed {
    pub(super) fn new(listings: usize) -> Self {
        let told = vec![Standing::default(); listings];
        Self { streams: vec![Stream::default(); listings], told, subscribers: BTreeMap::new() }
    }

    /// Subscribes, and returns the first message where the channel has one.
    pub(super) fn subscribe(
        &mut self,
        exchange: &Exchange,
        channel: Channel,
        id: ListingId,
        conn: SimConn,
        now: Nanos,
    ) -> Option<String> {
        let symbol = &exchange.listing(id).symbol;
        let first = match channel {
            Channel::Book => {
                let running = self.subscribers.contains_key(&(channel, id));
                let stream = &mut self.streams[id.index()];
                if !running {
                    stream.published = window(exchange, id);
                    stream.change = exchange.last_update(id);
                    stream.book_changed = false;
                }
                let sides = [0, 1].map(|side| changes(&[], &stream.published[side], side_of(side)));
                Some(notification(
                    &channel.name(symbol),
                    &book(exchange, id, &sides, stream.change, None, now),
                ))
            }
            Channel::Quote => Some(notification(&channel.name(symbol), &quote(exchange, id, now))),
            Channel::Ticker => Some(notification(&channel.name(symbol), &self.ticker(exchange, id, now))),
            Channel::Trades | Channel::State => None,
        };
        let conns = self.subscribers.entry((channel, id)).or_default();
        if !conns.contains(&conn) {
            conns.push(conn);
        }
        first
    }

    pub(super) fn unsubscribe(&mut self, channel: Channel, listing: ListingId, conn: SimConn) {
        if let Some(conns) = self.subscribers.get_mut(&(channel, listing)) {
            conns.retain(|other| *other != conn);
            if conns.is_empty() {
                self.subscribers.remove(&(channel, listing));
            }
        }
    }

    pub(super) fn forget(&mut self, conn: SimConn) {
        self.subscribers.retain(|_, conns| {
            conns.retain(|other| *other != conn);
            !conns.is_empty()
        });
    }

    /// A level changed.
    pub(super) fn on_level(&mut self, listing: ListingId) {
        self.streams[listing.index()].book_changed = true;
    }

    /// The best price or its quantity changed.
    pub(super) fn on_bbo(&mut self, listing: ListingId) {
        self.streams[listing.index()].quote_changed = true;
    }

    /// A trade: published with the next interval.
    pub(super) fn on_trade(&mut self, trade: PublicTrade, at: Nanos) {
        let stream = &mut self.streams[trade.listing.index()];
        stream.last = Some(trade);
        stream.trades.push((trade, at));
    }

    fn send(&self, exchange: &Exchange, channel: Channel, id: ListingId, data: &str, out: &mut Vec<Push>) {
        let Some(conns) = self.subscribers.get(&(channel, id)) else { return };
        let frame = notification(&channel.name(&exchange.listing(id).symbol), data).into_bytes();
        out.extend(conns.iter().map(|conn| Push::Text(*conn, frame.clone())));
    }

    fn has(&self, channel: Channel, id: ListingId) -> bool {
        self.subscribers.contains_key(&(channel, id))
    }

    /// At once: changed best prices.
    pub(super) fn publish_quotes(&mut self, exchange: &Exchange, at: Nanos, out: &mut Vec<Push>) {
        for index in 0..self.streams.len() {
            let id = ListingId(index as u16);
            if std::mem::take(&mut self.streams[index].quote_changed) && self.has(Channel::Quote, id) {
                self.send(exchange, Channel::Quote, id, &quote(exchange, id, at), out);
            }
        }
    }

    /// Every 100 ms: changed books, trades, tickers.
    pub(super) fn publish_interval(&mut self, exchange: &Exchange, at: Nanos, out: &mut Vec<Push>) {
        self.publish_states(exchange, at, out);
        for index in 0..self.streams.len() {
            let id = ListingId(index as u16);
            let trades = std::mem::take(&mut self.streams[index].trades);
            if self.has(Channel::Trades, id) && !trades.is_empty() {
                let rows: Vec<String> =
                    trades.iter().map(|(row, traded)| trade(exchange, row, *traded)).collect();
                self.send(exchange, Channel::Trades, id, &format!("[{}]", rows.join(",")), out);
            }
            if self.has(Channel::Book, id)
                && let Some(data) = self.streams[index].book_update(exchange, id, at)
            {
                self.send(exchange, Channel::Book, id, &data, out);
            }
            if self.has(Channel::Ticker, id) {
                let data = self.ticker(exchange, id, at);
                self.send(exchange, Channel::Ticker, id, &data, out);
            }
        }
    }

    /// What ceased or began to trade. Other changes of a contract the venue does not announce here.
    fn publish_states(&mut self, exchange: &Exchange, at: Nanos, out: &mut Vec<Push>) {
        for (index, listing) in exchange.listings().iter().enumerate() {
            let standing = listing.terms(at).standing;
            if std::mem::replace(&mut self.told[index], standing) == standing {
                continue;
            }
            let state = match standing {
                Standing::Open => "started",
                Standing::Suspended => "closed",
                Standing::Delisted => "terminated",
            };
            let (ms, symbol) = (ms(at), &listing.symbol);
            let data = format!(r#"{{"timestamp":{ms},"state":"{state}","instrument_name":"{symbol}"}}"#);
            self.send(exchange, Channel::State, ListingId(0), &data, out);
        }
    }

    /// A ticker object. Statistics are `null`, as on instruments without history.
    pub(super) fn ticker(&self, exchange: &Exchange, id: ListingId, at: Nanos) -> String {
        let listing = exchange.listing(id);
        let last = self.streams[id.index()].last;
        let last = last.map_or_else(|| "null".to_owned(), |trade| price(listing, trade.price));
        format!(
            r#"{{"timestamp":{},"state":"open","stats":{{"high":null,"low":null,"price_change":null,"volume":null,"volume_usd":null}},"index_price":{index},"instrument_name":"{}","last_price":{last},"settlement_price":{index},"open_interest":{interest},"min_price":{min},"max_price":{max},"mark_price":{mark},"interest_value":-4.467407940520975e-5,"current_funding":{funding},"estimated_delivery_price":{index},"funding_8h":{funding},{}}}"#,
            ms(at),
            listing.symbol,
            best(exchange, id),
            index = amount(listing.index),
            interest = size(listing, interest(exchange, id)),
            min = price(listing, exchange.worst_price(id, Side::Sell)),
            max = price(listing, exchange.worst_price(id, Side::Buy)),
            mark = amount(listing.mark),
            funding = rate(listing.funding_rate_ppb),
        )
    }
}

impl Stream {
    fn book_update(&mut self, exchange: &Exchange, id: ListingId, at: Nanos) -> Option<String> {
        if !std::mem::take(&mut self.book_changed) {
            return None;
        }
        let now = window(exchange, id);
        let sides = [0, 1].map(|side| changes(&self.published[side], &now[side], side_of(side)));
        let change = exchange.last_update(id);
        if sides.iter().all(Vec::is_empty) || change <= self.change {
            return None;
        }
        let data = book(exchange, id, &sides, change, Some(self.change), at);
        self.published = now;
        self.change = change;
        Some(data)
    }
}

const fn side_of(index: usize) -> Side {
    if index == 0 { Side::Buy } else { Side::Sell }
}

fn window(exchange: &Exchange, id: ListingId) -> [Vec<LevelView>; 2] {
    [0, 1].map(|side| exchange.book(id).levels(side_of(side), usize::MAX))
}

/// `["new",price,amount]` of the levels that differ, best first.
fn changes(old: &[LevelView], new: &[LevelView], side: Side) -> Vec<(&'static str, LevelView)> {
    let by_price = |levels: &[LevelView]| -> BTreeMap<i64, LevelView> {
        levels.iter().map(|level| (-level.price * side.sign(), *level)).collect()
    };
    let (old, new) = (by_price(old), by_price(new));
    let mut changed: BTreeMap<i64, (&'static str, LevelView)> = BTreeMap::new();
    for (rank, level) in &new {
        match old.get(rank) {
            Some(before) if before.qty == level.qty => {}
            Some(_) => drop(changed.insert(*rank, ("change", *level))),
            None => drop(changed.insert(*rank, ("new", *level))),
        }
    }
    for (rank, level) in old.iter().filter(|(rank, _)| !new.contains_key(rank)) {
        changed.insert(*rank, ("delete", LevelView { qty: 0, ..*level }));
    }
    changed.into_values().collect()
}

fn book(
    exchange: &Exchange,
    id: ListingId,
    sides: &[Vec<(&'static str, LevelView)>; 2],
    change: u64,
    before: Option<u64>,
    at: Nanos,
) -> String {
    let listing = exchange.listing(id);
    let [bids, asks] = [0, 1].map(|side: usize| {
        let rows: Vec<String> = sides[side]
            .iter()
            .map(|(action, level)| {
                format!(r#"["{action}",{},{}]"#, price(listing, level.price), size(listing, level.qty))
            })
            .collect();
        rows.join(",")
    });
    let kind = if before.is_some() { "change" } else { "snapshot" };
    let prev = before.map_or_else(String::new, |id| format!(r#","prev_change_id":{id}"#));
    format!(
        r#"{{"timestamp":{},"type":"{kind}","change_id":{change},"instrument_name":"{}","bids":[{bids}],"asks":[{asks}]{prev}}}"#,
        ms(at),
        listing.symbol,
    )
}

fn best(exchange: &Exchange, id: ListingId) -> String {
    let listing = exchange.listing(id);
    let of = |side| {
        exchange.book(id).best(side).map_or_else(
            || ("null".to_owned(), "0.0".to_owned()),
            |level| (price(listing, level.price), size(listing, level.qty)),
        )
    };
    let ((bid, bid_qty), (ask, ask_qty)) = (of(Side::Buy), of(Side::Sell));
    format!(
        r#""best_bid_price":{bid},"best_bid_amount":{bid_qty},"best_ask_price":{ask},"best_ask_amount":{ask_qty}"#
    )
}

fn quote(exchange: &Exchange, id: ListingId, at: Nanos) -> String {
    let symbol = &exchange.listing(id).symbol;
    format!(r#"{{"timestamp":{},"instrument_name":"{symbol}",{}}}"#, ms(at), best(exchange, id))
}

/// Open interest: what all longs hold.
fn interest(exchange: &Exchange, id: ListingId) -> Steps {
    let accounts = 0..=exchange.settings().accounts.len() as u16;
    accounts.map(|account| exchange.account(AccountId(account)).positions[id.index()].qty.max(0)).sum()
}

fn trade(exchange: &Exchange, trade: &PublicTrade, at: Nanos) -> String {
    let listing = exchange.listing(trade.listing);
    let side = if trade.taker == Side::Buy { "buy" } else { "sell" };
    let forced = if trade.is_liquidation() { r#""liquidation":"T","# } else { "" };
    format!(
        r#"{{{forced}"timestamp":{},"price":{},"amount":{},"direction":"{side}","index_price":{},"instrument_name":"{}","trade_seq":{},"mark_price":{},"tick_direction":0,"starbase_match_id":{},"trade_id":"{}-{}","starbase_timestamp":{at}}}"#,
        ms(at),
        price(listing, trade.price),
        size(listing, trade.qty),
        amount(listing.index),
        listing.symbol,
        trade.last,
        amount(listing.mark),
        225_046_781_992_378_368 + trade.last,
        listing.settle,
        trade.last,
    )
}
