//! Market data of the venue: who gets what, and in which bytes. Best prices go out with the block in which
//! they changed, books as whole snapshots a few blocks apart, trades with their block.

use super::rows::{context, side_text};
use super::wire::{ms, price, size};
use crate::domain::time::Nanos;
use crate::sim::exchange::{Exchange, LevelView, Listing, ListingId, PublicTrade, Side};
use crate::sim::{Push, SimConn};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Levels a side.
const DEPTH: usize = 20;
/// Trades that a subscription begins with.
const REPLAYED: usize = 30;

/// What can be subscribed per coin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Channel {
    Bbo,
    Book,
    Trades,
    Context,
}

impl Channel {
    pub(super) fn of_name(name: &str) -> Option<Self> {
        Some(match name {
            "bbo" => Self::Bbo,
            "l2Book" => Self::Book,
            "trades" => Self::Trades,
            "activeAssetCtx" => Self::Context,
            _ => return None,
        })
    }
}

/// What changed of one coin since the last block.
#[derive(Clone, Debug, Default)]
struct Stream {
    bbo_changed: bool,
    /// Trades of the block, then those that a subscription is shown.
    trades: Vec<(PublicTrade, Nanos)>,
    past: Vec<(PublicTrade, Nanos)>,
}

/// All streams of the venue.
#[derive(Clone, Debug)]
pub(super) struct Feed {
    streams: Vec<Stream>,
    subscribers: BTreeMap<(Channel, ListingId), Vec<SimConn>>,
}

impl Feed {
    pub(super) fn new(listings: usize) -> Self {
        Self { streams: vec![Stream::default(); listings], subscribers: BTreeMap::new() }
    }

    /// False when the subscription stands already.
    pub(super) fn subscribe(&mut self, channel: Channel, listing: ListingId, conn: SimConn) -> bool {
        let conns = self.subscribers.entry((channel, listing)).or_default();
        let new = !conns.contains(&conn);
        if new {
            conns.push(conn);
        }
        new
    }

    /// False when there was none.
    pub(super) fn unsubscribe(&mut self, channel: Channel, listing: ListingId, conn: SimConn) -> bool {
        let Some(conns) = self.subscribers.get_mut(&(channel, listing)) else { return false };
        let before = conns.len();
        conns.retain(|other| *other != conn);
        conns.len() < before
    }

    pub(super) fn forget(&mut self, conn: SimConn) {
        for conns in self.subscribers.values_mut() {
            conns.retain(|other| *other != conn);
        }
    }

    pub(super) fn on_bbo(&mut self, listing: ListingId) {
        self.streams[listing.index()].bbo_changed = true;
    }

    pub(super) fn on_trade(&mut self, trade: PublicTrade, at: Nanos) {
        self.streams[trade.listing.index()].trades.push((trade, at));
    }

    fn send(
        &self,
        channel: Channel,
        listing: ListingId,
        out: &mut Vec<Push>,
        frame: impl FnOnce() -> String,
    ) {
        let Some(conns) = self.subscribers.get(&(channel, listing)).filter(|conns| !conns.is_empty()) else {
            return;
        };
        let frame = frame().into_bytes();
        out.extend(conns.iter().map(|conn| Push::Text(*conn, frame.clone())));
    }

    /// A block.
    pub(super) fn publish(&mut self, exchange: &Exchange, at: Nanos, books: bool, out: &mut Vec<Push>) {
        for index in 0..self.streams.len() {
            let id = ListingId(index as u16);
            let trades = std::mem::take(&mut self.streams[index].trades);
            if !trades.is_empty() {
                self.send(Channel::Trades, id, out, || trades_frame(exchange, id, &trades));
                let past = &mut self.streams[index].past;
                past.extend(trades);
                let old = past.len().saturating_sub(REPLAYED);
                past.drain(..old);
            }
            if std::mem::take(&mut self.streams[index].bbo_changed) {
                self.send(Channel::Bbo, id, out, || bbo_frame(exchange, id, at));
            }
            if books {
                self.send(Channel::Book, id, out, || book_frame(exchange, id, at));
            }
        }
    }

    /// Every second: mark, oracle, funding.
    pub(super) fn publish_contexts(&mut self, exchange: &Exchange, out: &mut Vec<Push>) {
        for index in 0..self.streams.len() {
            let id = ListingId(index as u16);
            self.send(Channel::Context, id, out, || context_frame(exchange, id));
        }
    }

    /// What a subscription begins with.
    pub(super) fn first(&self, exchange: &Exchange, channel: Channel, id: ListingId, at: Nanos) -> String {
        match channel {
            Channel::Bbo => bbo_frame(exchange, id, at),
            Channel::Book => book_frame(exchange, id, at),
            Channel::Trades => trades_frame(exchange, id, &self.streams[id.index()].past),
            Channel::Context => context_frame(exchange, id),
        }
    }
}

fn level(listing: &Listing, level: &LevelView) -> String {
    format!(
        r#"{{"px":"{}","sz":"{}","n":{}}}"#,
        price(listing, level.price),
        size(listing, level.qty),
        level.orders.max(1)
    )
}

fn bbo_frame(exchange: &Exchange, id: ListingId, at: Nanos) -> String {
    let (listing, book) = (exchange.listing(id), exchange.book(id));
    let best = |side| book.best(side).map_or_else(|| "null".to_owned(), |best| level(listing, &best));
    format!(
        r#"{{"channel":"bbo","data":{{"coin":"{}","time":{},"bbo":[{},{}]}}}}"#,
        listing.symbol,
        ms(at),
        best(Side::Buy),
        best(Side::Sell),
    )
}

fn levels(listing: &Listing, side: &[LevelView]) -> String {
    let mut text = String::with_capacity(2 + side.len() * 44);
    for row in side {
        let comma = if text.is_empty() { "" } else { "," };
        let _ = write!(text, "{comma}{}", level(listing, row)); // writing to a String cannot fail
    }
    format!("[{text}]")
}

/// The `data` of a book.
pub(super) fn book(exchange: &Exchange, id: ListingId, at: Nanos) -> String {
    let (listing, book) = (exchange.listing(id), exchange.book(id));
    format!(
        r#"{{"coin":"{}","time":{},"levels":[{},{}]}}"#,
        listing.symbol,
        ms(at),
        levels(listing, &book.levels(Side::Buy, DEPTH)),
        levels(listing, &book.levels(Side::Sell, DEPTH)),
    )
}

fn book_frame(exchange: &Exchange, id: ListingId, at: Nanos) -> String {
    format!(r#"{{"channel":"l2Book","data":{}}}"#, book(exchange, id, at))
}

fn context_frame(exchange: &Exchange, id: ListingId) -> String {
    let data = json!({"coin": exchange.listing(id).symbol, "ctx": context(exchange, id)});
    json!({"channel": "activeAssetCtx", "data": data}).to_string()
}

fn trades_frame(exchange: &Exchange, id: ListingId, trades: &[(PublicTrade, Nanos)]) -> String {
    let listing = exchange.listing(id);
    let rows: Vec<Value> = trades
        .iter()
        .map(|(trade, at)| {
            json!({
                "coin": listing.symbol,
                "side": side_text(trade.taker),
                "px": price(listing, trade.price),
                "sz": size(listing, trade.qty),
                "time": ms(*at),
                "hash": format!("0x{:064x}", trade.last),
                "tid": trade.last,
                "users": ["0x0000000000000000000000000000000000000001", "0x0000000000000000000000000000000000000002"],
            })
        })
        .collect();
    json!({"channel": "trades", "data": rows}).to_string()
}
