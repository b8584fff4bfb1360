//! The stateless parser for the `decode` and `book` commands: frames to venue-neutral messages, and the
//! canonical lines of the oracle. Holds scratch space only.

use super::continuity::HyperliquidContinuity;
use super::parse::{Frame, Item, Parser};
use crate::domain::number::Num;
use crate::domain::order::Side;
use crate::venue::drift::Marks;
use crate::venue::full::Full;
use crate::venue::message::{Continuity, DecodeError, Decoder, Depth, Message};
use std::fmt::Write as _;

/// Parser of Hyperliquid frames and HTTP bodies.
#[derive(Debug)]
pub struct HyperliquidDecoder {
    parser: Parser,
}

impl HyperliquidDecoder {
    /// With its scratch space.
    pub fn new() -> Self {
        Self { parser: Parser::new() }
    }
}

impl Default for HyperliquidDecoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder for HyperliquidDecoder {
    fn decode(&mut self, frame: &[u8], emit: &mut dyn FnMut(&Message<'_>)) -> Result<(), DecodeError> {
        let mut full = Full::new();
        let other = match self.parser.parse(frame, &mut full)? {
            Frame::Market => None,
            Frame::Private(channel, _) => Some(Message::Private { kind: channel.label() }),
            Frame::RestPrivate(kind) => Some(Message::Private { kind }),
            Frame::Subscribed | Frame::Unsubscribed => {
                Some(Message::Ignored { kind: "subscriptionResponse" })
            }
            Frame::Error(_) => Some(Message::Ignored { kind: "error" }),
            Frame::Pong => Some(Message::Ignored { kind: "pong" }),
            Frame::Ignored(kind) => Some(Message::Ignored { kind }),
            Frame::Unknown => Some(Message::Unknown),
        };
        if let Some(message) = other {
            emit(&message);
        }
        for item in &self.parser.items {
            match item {
                Item::Book { symbol, bids, asks, time_ms, rest } => emit(&Message::Depth(Depth {
                    channel: if *rest { "rest-depth" } else { "l2Book" },
                    symbol: symbol.as_bytes(),
                    snapshot: true,
                    first: 0,
                    last: u64::try_from(*time_ms).unwrap_or(0),
                    prev: -1,
                    checksum: None,
                    bids: self.parser.span(*bids),
                    asks: self.parser.span(*asks),
                    time_ms: *time_ms,
                })),
                Item::Bbo { symbol, bid, ask, time_ms } => emit(&Message::Bbo {
                    symbol: symbol.as_bytes(),
                    id: u64::try_from(*time_ms).unwrap_or(0),
                    bid: bid.unwrap_or((Num::ZERO, Num::ZERO)),
                    ask: ask.unwrap_or((Num::ZERO, Num::ZERO)),
                    time_ms: *time_ms,
                }),
                Item::Trade { symbol, id, price, qty, side, time_ms } => emit(&Message::Trade {
                    channel: "trades",
                    symbol: symbol.as_bytes(),
                    id: *id,
                    price: *price,
                    qty: *qty,
                    aggressor: *side,
                    time_ms: *time_ms,
                }),
                Item::Ctx { symbol, mark, oracle, rate, interest } => {
                    let symbol = symbol.as_bytes();
                    emit(&Message::Mark {
                        channel: "activeAssetCtx",
                        symbol,
                        mark: *mark,
                        index: *oracle,
                        settle: None,
                        rate: *rate,
                        funding_ms: 0,
                        next_funding_ms: 0,
                        time_ms: 0,
                    });
                    if let Some(qty) = *interest {
                        emit(&Message::OpenInterest { symbol, qty, time_ms: 0 });
                    }
                }
            }
        }
        Ok(())
    }

    fn marks(&self) -> Marks {
        self.parser.marks
    }

    fn continuity(&self) -> Box<dyn Continuity> {
        Box::new(HyperliquidContinuity::default())
    }

    /// `L|coin|time|number of bids|number of asks` and `T|coin|tid|px|sz|A or B|time`.
    fn oracle_line(&self, message: &Message<'_>, out: &mut String) -> bool {
        out.clear();
        let text = |bytes| std::str::from_utf8(bytes).unwrap_or_default();
        let written = match message {
            Message::Depth(depth) if depth.channel == "l2Book" => write!(
                out,
                "L|{}|{}|{}|{}",
                text(depth.symbol),
                depth.time_ms,
                depth.bids.len(),
                depth.asks.len(),
            ),
            Message::Trade { symbol, id, price, qty, aggressor, time_ms, .. } => write!(
                out,
                "T|{}|{id}|{price}|{qty}|{}|{time_ms}",
                text(symbol),
                if *aggressor == Side::Buy { 'B' } else { 'A' },
            ),
            _ => return false,
        };
        // Writing to a string cannot fail.
        written.is_ok()
    }
}
