//! The stateless parser for the `decode` and `book` commands: frames to venue-neutral messages, and the
//! canonical lines of the oracle. Holds scratch space only.

use super::continuity::BybitContinuity;
use super::parse::{BEST, Channel, Frame, Item, Op, Parser, PrivateChannel};
use crate::domain::number::Num;
use crate::domain::order::Side;
use crate::venue::drift::Marks;
use crate::venue::full::Full;
use crate::venue::message::{Continuity, DecodeError, Decoder, Depth, Level, Message};
use std::fmt::Write as _;

/// Parser of Bybit frames and HTTP bodies.
#[derive(Debug)]
pub struct BybitDecoder {
    parser: Parser,
}

impl BybitDecoder {
    /// With its scratch space.
    pub fn new() -> Self {
        Self { parser: Parser::new() }
    }
}

impl Default for BybitDecoder {
    fn default() -> Self {
        Self::new()
    }
}

/// The best level, or nothing at price 0 when the side is empty.
pub(super) fn best(levels: &[Level]) -> Level {
    levels.first().copied().unwrap_or((Num::ZERO, Num::ZERO))
}

fn simple(frame: &Frame<'_>) -> Message<'static> {
    match frame {
        Frame::Session { op: Op::Auth, .. } => Message::Ignored { kind: "op:auth" },
        Frame::Session { op: Op::Subscribe, .. } => Message::Ignored { kind: "op:subscribe" },
        Frame::Session { op: Op::Unsubscribe, .. } => Message::Ignored { kind: "op:unsubscribe" },
        Frame::Session { op: Op::Pong, .. } => Message::Ignored { kind: "op:pong" },
        Frame::Private { channel, .. } => Message::Private {
            kind: match channel {
                PrivateChannel::Orders => "order",
                PrivateChannel::Executions => "execution",
                PrivateChannel::Positions => "position",
                PrivateChannel::Wallet => "wallet",
            },
        },
        Frame::Reply { .. } => Message::Private { kind: "reply" },
        Frame::Rest => Message::Ignored { kind: "rest" },
        Frame::Ignored(kind) => Message::Ignored { kind },
        Frame::Market { .. } | Frame::Unknown => Message::Unknown,
    }
}

impl BybitDecoder {
    fn emit(
        &self,
        item: &Item,
        channel: Channel,
        snapshot: bool,
        time_ms: i64,
        emit: &mut dyn FnMut(&Message<'_>),
    ) {
        match item {
            Item::Depth(row) => {
                let (bids, asks) = (self.parser.span(row.bids), self.parser.span(row.asks));
                let symbol = row.symbol.as_bytes();
                let Channel::Book(name) = channel else { return };
                if channel == BEST && snapshot {
                    let (bid, ask) = (best(bids), best(asks));
                    emit(&Message::Bbo { symbol, id: row.seq, bid, ask, time_ms });
                    return;
                }
                emit(&Message::Depth(Depth {
                    channel: name,
                    symbol,
                    snapshot: snapshot || row.update == 1,
                    first: row.seq,
                    last: row.update,
                    prev: -1,
                    checksum: None,
                    bids,
                    asks,
                    time_ms,
                }));
            }
            Item::Trade { symbol, id, price, qty, side, time_ms } => emit(&Message::Trade {
                channel: "publicTrade",
                symbol: symbol.as_bytes(),
                id: *id,
                price: *price,
                qty: *qty,
                aggressor: *side,
                time_ms: *time_ms,
            }),
            Item::Ticker(row) => {
                let symbol = row.symbol.as_bytes();
                emit(&Message::Ticker { symbol, last: row.last, bid: row.bid, ask: row.ask, time_ms });
                if row.has_mark() {
                    let interval = row.interval_hours.saturating_mul(3_600_000);
                    let next = if row.funding_ms > 0 && interval > 0 { row.funding_ms + interval } else { 0 };
                    emit(&Message::Mark {
                        channel: "tickers",
                        symbol,
                        mark: row.mark,
                        index: row.index,
                        settle: None,
                        rate: row.rate,
                        funding_ms: row.funding_ms,
                        next_funding_ms: next,
                        time_ms,
                    });
                }
                if let Some(qty) = row.interest {
                    emit(&Message::OpenInterest { symbol, qty, time_ms });
                }
            }
            Item::Limits { symbol, .. } => emit(&Message::Mark {
                channel: "priceLimit",
                symbol: symbol.as_bytes(),
                mark: None,
                index: None,
                settle: None,
                rate: None,
                funding_ms: 0,
                next_funding_ms: 0,
                time_ms,
            }),
            Item::Liquidation { symbol, side, price, qty, time_ms } => emit(&Message::Liquidation {
                symbol: symbol.as_bytes(),
                side: *side,
                price: *price,
                qty: *qty,
                time_ms: *time_ms,
            }),
        }
    }
}

impl Decoder for BybitDecoder {
    fn decode(&mut self, frame: &[u8], emit: &mut dyn FnMut(&Message<'_>)) -> Result<(), DecodeError> {
        let mut full = Full::new();
        match self.parser.parse(frame, &mut full)? {
            Frame::Market { channel, snapshot, time_ms, .. } => {
                for item in &self.parser.items {
                    self.emit(item, channel, snapshot, time_ms, emit);
                }
            }
            other => emit(&simple(&other)),
        }
        Ok(())
    }

    fn marks(&self) -> Marks {
        self.parser.marks
    }

    fn continuity(&self) -> Box<dyn Continuity> {
        Box::new(BybitContinuity::default())
    }

    fn channel(&self, message: &Message<'_>) -> &'static str {
        match message {
            Message::Depth(depth) => depth.channel,
            Message::Trade { channel, .. } | Message::Mark { channel, .. } => channel,
            Message::Bbo { .. } => "orderbook.1",
            Message::Ticker { .. } | Message::OpenInterest { .. } => "tickers",
            Message::Liquidation { .. } => "allLiquidation",
            other => other.type_name(),
        }
    }

    /// `B|symbol|s or d|u|seq|number of bids|number of asks|cts` and `T|symbol|id|px|qty|b or s|ts`.
    fn oracle_line(&self, message: &Message<'_>, out: &mut String) -> bool {
        out.clear();
        let text = |bytes| std::str::from_utf8(bytes).unwrap_or_default();
        let written = match message {
            Message::Depth(depth) => write!(
                out,
                "B|{}|{}|{}|{}|{}|{}|{}",
                text(depth.symbol),
                if depth.snapshot { 's' } else { 'd' },
                depth.last,
                depth.first,
                depth.bids.len(),
                depth.asks.len(),
                depth.time_ms,
            ),
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
