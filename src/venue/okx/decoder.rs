//! The stateless parser for the `decode` and `book` commands: frames to venue-neutral messages, and the
//! canonical lines of the oracle. Holds scratch space only.

use super::continuity::OkxContinuity;
use super::parse::{Channel, Frame, Item, Parser, PrivateChannel, RestKind};
use crate::domain::number::Num;
use crate::domain::order::Side;
use crate::venue::drift::Marks;
use crate::venue::full::Full;
use crate::venue::message::{Continuity, DecodeError, Decoder, Depth, Level, Message};
use std::fmt::Write as _;

/// Parser of OKX frames and HTTP bodies.
#[derive(Debug)]
pub struct OkxDecoder {
    parser: Parser,
}

impl OkxDecoder {
    /// With its scratch space.
    pub fn new() -> Self {
        Self { parser: Parser::new() }
    }
}

impl Default for OkxDecoder {
    fn default() -> Self {
        Self::new()
    }
}

/// The best level, or nothing at price 0 when the side is empty.
fn best(levels: &[Level]) -> Level {
    levels.first().copied().unwrap_or((Num::ZERO, Num::ZERO))
}

impl Decoder for OkxDecoder {
    fn decode(&mut self, frame: &[u8], emit: &mut dyn FnMut(&Message<'_>)) -> Result<(), DecodeError> {
        let mut full = Full::new();
        let (channel, symbol, snapshot) = match self.parser.parse(frame, &mut full)? {
            Frame::Market { channel, symbol, snapshot } => (channel, symbol, snapshot),
            Frame::Rest { kind: RestKind::Books } => (Channel::Books("rest-depth"), Default::default(), true),
            other => {
                emit(&match other {
                    Frame::Pong => Message::Ignored { kind: "pong" },
                    Frame::Event { kind, .. } => Message::Ignored { kind: kind.label() },
                    Frame::Private { channel: PrivateChannel::Orders, .. } => {
                        Message::Private { kind: "orders" }
                    }
                    Frame::Private { channel: PrivateChannel::Positions, .. } => {
                        Message::Private { kind: "positions" }
                    }
                    Frame::Private { channel: PrivateChannel::Account, .. } => {
                        Message::Private { kind: "account" }
                    }
                    Frame::Reply { .. } => Message::Private { kind: "reply" },
                    Frame::Rest { kind: RestKind::Instruments } => {
                        Message::Ignored { kind: "rest-instruments" }
                    }
                    Frame::Rest { .. } => Message::Ignored { kind: "rest" },
                    Frame::Ignored(kind) => Message::Ignored { kind },
                    Frame::Market { .. } | Frame::Unknown => Message::Unknown,
                });
                return Ok(());
            }
        };
        for item in &self.parser.items {
            emit(&match item {
                Item::Depth(row) => {
                    let (bids, asks) = (self.parser.span(row.bids), self.parser.span(row.asks));
                    let symbol = symbol.as_bytes();
                    match channel {
                        Channel::Bbo => Message::Bbo {
                            symbol,
                            id: row.seq,
                            bid: best(bids),
                            ask: best(asks),
                            time_ms: row.time_ms,
                        },
                        _ => Message::Depth(Depth {
                            channel: match channel {
                                Channel::Books(name) => name,
                                _ => "books5",
                            },
                            symbol,
                            snapshot,
                            first: 0,
                            last: row.seq,
                            prev: row.prev,
                            checksum: row.checksum,
                            bids,
                            asks,
                            time_ms: row.time_ms,
                        }),
                    }
                }
                Item::Trade { symbol, id, price, qty, side, time_ms } => Message::Trade {
                    channel: "trades",
                    symbol: symbol.as_bytes(),
                    id: *id,
                    price: *price,
                    qty: *qty,
                    aggressor: *side,
                    time_ms: *time_ms,
                },
                Item::Ticker { symbol, last, bid, ask, time_ms } => Message::Ticker {
                    symbol: symbol.as_bytes(),
                    last: *last,
                    bid: *bid,
                    ask: *ask,
                    time_ms: *time_ms,
                },
                Item::Mark(row) => Message::Mark {
                    channel: match channel {
                        Channel::Mark => "mark-price",
                        Channel::Index => "index-tickers",
                        _ => "funding-rate",
                    },
                    symbol: row.symbol.as_bytes(),
                    mark: row.mark,
                    index: row.index,
                    settle: None,
                    rate: row.rate,
                    funding_ms: row.funding_ms,
                    next_funding_ms: row.next_funding_ms,
                    time_ms: row.time_ms,
                },
                Item::Interest { symbol, qty, time_ms } => {
                    Message::OpenInterest { symbol: symbol.as_bytes(), qty: *qty, time_ms: *time_ms }
                }
                Item::Limits { symbol, time_ms, .. } => Message::Mark {
                    channel: "price-limit",
                    symbol: symbol.as_bytes(),
                    mark: None,
                    index: None,
                    settle: None,
                    rate: None,
                    funding_ms: 0,
                    next_funding_ms: 0,
                    time_ms: *time_ms,
                },
                Item::Liquidation { symbol, side, price, qty, time_ms } => Message::Liquidation {
                    symbol: symbol.as_bytes(),
                    side: *side,
                    price: *price,
                    qty: *qty,
                    time_ms: *time_ms,
                },
            });
        }
        Ok(())
    }

    fn marks(&self) -> Marks {
        self.parser.marks
    }

    fn continuity(&self) -> Box<dyn Continuity> {
        Box::new(OkxContinuity::default())
    }

    fn channel(&self, message: &Message<'_>) -> &'static str {
        match message {
            Message::Depth(depth) => depth.channel,
            Message::Trade { channel, .. } | Message::Mark { channel, .. } => channel,
            Message::Bbo { .. } => "bbo-tbt",
            Message::Ticker { .. } => "tickers",
            Message::OpenInterest { .. } => "open-interest",
            Message::Liquidation { .. } => "liquidation-orders",
            other => other.type_name(),
        }
    }

    /// `B|symbol|s or u|number of bids|number of asks|ts|checksum` and `T|symbol|id|px|qty|b or s|ts`.
    fn oracle_line(&self, message: &Message<'_>, out: &mut String) -> bool {
        out.clear();
        let text = |bytes| std::str::from_utf8(bytes).unwrap_or_default();
        let written = match message {
            Message::Depth(depth) if depth.channel.starts_with("books") && depth.channel != "books5" => {
                write!(
                    out,
                    "B|{}|{}|{}|{}|{}|{}",
                    text(depth.symbol),
                    if depth.snapshot { 's' } else { 'u' },
                    depth.bids.len(),
                    depth.asks.len(),
                    depth.time_ms,
                    depth.checksum.unwrap_or(0),
                )
            }
            Message::Trade { symbol, id, price, qty, aggressor, time_ms, .. } => write!(
                out,
                "T|{}|{id}|{price}|{qty}|{}|{time_ms}",
                text(symbol),
                if *aggressor == Side::Buy { 'b' } else { 's' },
            ),
            _ => return false,
        };
        // Writing to a string cannot fail.
        written.is_ok()
    }
}
