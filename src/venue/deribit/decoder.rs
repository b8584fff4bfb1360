//! The stateless parser for the `decode` and `book` commands: frames to venue-neutral messages, and the
//! canonical lines of the oracle. Holds scratch space only.

use super::continuity::DeribitContinuity;
use super::parse::{Channel, Frame, Item, Parser, PrivateChannel};
use crate::domain::number::Num;
use crate::venue::drift::Marks;
use crate::venue::full::Full;
use crate::venue::message::{Continuity, DecodeError, Decoder, Depth, Message};
use std::fmt::Write as _;

/// Parser of Deribit frames and HTTP bodies.
#[derive(Debug)]
pub struct DeribitDecoder {
    parser: Parser,
}

impl DeribitDecoder {
    /// With its scratch space.
    pub fn new() -> Self {
        Self { parser: Parser::new() }
    }
}

impl Default for DeribitDecoder {
    fn default() -> Self {
        Self::new()
    }
}

/// A frame that is shown by its type only.
fn by_type(frame: &Frame<'_>) -> Message<'static> {
    match frame {
        Frame::Heartbeat => Message::Ignored { kind: "heartbeat" },
        Frame::TestRequest => Message::Ignored { kind: "test_request" },
        Frame::Result { .. } => Message::Ignored { kind: "result" },
        Frame::Error { .. } => Message::Ignored { kind: "error" },
        Frame::Ignored(kind) => Message::Ignored { kind },
        Frame::Private { channel, .. } => Message::Private {
            kind: match channel {
                PrivateChannel::Orders => "user.orders",
                PrivateChannel::Trades => "user.trades",
                PrivateChannel::Changes => "user.changes",
                PrivateChannel::Portfolio => "user.portfolio",
            },
        },
        Frame::Market { .. } | Frame::Unknown => Message::Unknown,
    }
}

impl Decoder for DeribitDecoder {
    fn decode(&mut self, frame: &[u8], emit: &mut dyn FnMut(&Message<'_>)) -> Result<(), DecodeError> {
        let mut full = Full::new();
        let channel = match self.parser.parse(frame, &mut full)? {
            Frame::Market { channel } => channel,
            other => {
                emit(&by_type(&other));
                return Ok(());
            }
        };
        for item in &self.parser.items {
            match item {
                Item::Depth(row) => emit(&Message::Depth(Depth {
                    channel: if channel == Channel::Book { "book" } else { "book.grouped" },
                    symbol: row.symbol.as_bytes(),
                    snapshot: row.snapshot,
                    first: 0,
                    last: row.change,
                    prev: row.prev,
                    checksum: None,
                    bids: self.parser.span(row.bids),
                    asks: self.parser.span(row.asks),
                    time_ms: row.time_ms,
                })),
                Item::Trade { symbol, id, price, qty, side, liquidation, time_ms } => {
                    emit(&Message::Trade {
                        channel: "trades",
                        symbol: symbol.as_bytes(),
                        id: *id,
                        price: *price,
                        qty: *qty,
                        aggressor: *side,
                        time_ms: *time_ms,
                    });
                    // Where both sides were liquidated, the taker's stands for both.
                    if liquidation.maker || liquidation.taker {
                        emit(&Message::Liquidation {
                            symbol: symbol.as_bytes(),
                            side: if liquidation.taker { *side } else { side.opposite() },
                            price: *price,
                            qty: *qty,
                            time_ms: *time_ms,
                        });
                    }
                }
                Item::Ticker(row) if channel == Channel::Quote => {
                    let level = |price: Option<Num>, qty: Option<Num>| {
                        (price.unwrap_or(Num::ZERO), qty.unwrap_or(Num::ZERO))
                    };
                    emit(&Message::Bbo {
                        symbol: row.symbol.as_bytes(),
                        id: 0,
                        bid: level(row.bid, row.bid_qty),
                        ask: level(row.ask, row.ask_qty),
                        time_ms: row.time_ms,
                    });
                }
                Item::Ticker(row) => {
                    let symbol = row.symbol.as_bytes();
                    emit(&Message::FullTicker {
                        symbol,
                        bid: row.bid,
                        bid_qty: row.bid_qty,
                        ask: row.ask,
                        ask_qty: row.ask_qty,
                        mark: row.mark,
                        time_ms: row.time_ms,
                    });
                    if row.rate.is_some() {
                        emit(&Message::Mark {
                            channel: "ticker.funding",
                            symbol,
                            mark: row.mark,
                            index: row.index,
                            settle: None,
                            rate: row.rate,
                            funding_ms: 0,
                            next_funding_ms: 0,
                            time_ms: row.time_ms,
                        });
                    }
                    if let Some(qty) = row.interest {
                        emit(&Message::OpenInterest { symbol, qty, time_ms: row.time_ms });
                    }
                }
                Item::State { .. } => emit(&Message::Ignored { kind: "instrument.state" }),
            }
        }
        Ok(())
    }

    fn marks(&self) -> Marks {
        self.parser.marks
    }

    fn continuity(&self) -> Box<dyn Continuity> {
        Box::new(DeribitContinuity::default())
    }

    fn channel(&self, message: &Message<'_>) -> &'static str {
        match message {
            Message::Depth(depth) => depth.channel,
            Message::Trade { channel, .. } | Message::Mark { channel, .. } => channel,
            Message::Bbo { .. } => "quote",
            other => other.type_name(),
        }
    }

    /// `B|symbol|s or c|change_id|prev or -|bids|asks` and `K|symbol|bid|bidqty|ask|askqty|mark|timestamp`.
    fn oracle_line(&self, message: &Message<'_>, out: &mut String) -> bool {
        out.clear();
        let text = |bytes| std::str::from_utf8(bytes).unwrap_or_default();
        let written = match message {
            Message::Depth(depth) if depth.channel == "book" => {
                let prev = if depth.prev < 0 { "-".to_owned() } else { depth.prev.to_string() };
                write!(
                    out,
                    "B|{}|{}|{}|{prev}|{}|{}",
                    text(depth.symbol),
                    if depth.snapshot { 's' } else { 'c' },
                    depth.last,
                    depth.bids.len(),
                    depth.asks.len(),
                )
            }
            Message::FullTicker { symbol, bid, bid_qty, ask, ask_qty, mark, time_ms } => {
                let show = |num: &Option<Num>| num.map_or_else(|| "-".to_owned(), |num| num.to_string());
                write!(
                    out,
                    "K|{}|{}|{}|{}|{}|{}|{time_ms}",
                    text(symbol),
                    show(bid),
                    show(bid_qty),
                    show(ask),
                    show(ask_qty),
                    show(mark),
                )
            }
            _ => return false,
        };
        // Writing to a string cannot fail.
        written.is_ok()
    }
}
