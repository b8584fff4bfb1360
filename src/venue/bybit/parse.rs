//! One forward pass over a Bybit frame: envelope, topic, and the rows of market topics as exact decimals.
//!
//! No key order and no spacing is assumed: `ts` may stand before or after `type`, `cts` follows `data`, and
//! where `topic` follows `data` the rows are read in a second pass. Keeps scratch space only; nothing is
//! handed out before the whole frame was found well-formed. Private rows are left to [`super::rows`].

use super::rows::{self, OrderRow};
use super::schema;
use crate::domain::number::Num;
use crate::domain::order::Side;
use crate::domain::text::Symbol;
use crate::venue::drift::Marks;
use crate::venue::full::Full;
use crate::venue::json::{Cursor, Kind, fixed};
use crate::venue::message::{DecodeError, Level};
use serde::{Deserialize, Serialize};

pub(super) type Result<T> = std::result::Result<T, DecodeError>;

/// A public topic whose rows are understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Channel {
    /// `orderbook.{depth}`; the name without the symbol.
    Book(&'static str),
    /// `publicTrade`.
    Trades,
    /// `tickers`: a snapshot, then what changed.
    Tickers,
    /// `allLiquidation`.
    Liquidations,
    /// `priceLimit`: always whole.
    Limits,
}

impl Channel {
    /// Books and best prices: nothing else may hide that these are silent.
    pub const fn is_core(self) -> bool {
        matches!(self, Self::Book(_))
    }
}

/// The order book that carries the best prices only.
pub(super) const BEST: Channel = Channel::Book("orderbook.1");

/// Order book depths that the venue documents for any category.
const BOOKS: [(&[u8], &str); 7] = [
    (b"1", "orderbook.1"),
    (b"25", "orderbook.25"),
    (b"50", "orderbook.50"),
    (b"100", "orderbook.100"),
    (b"200", "orderbook.200"),
    (b"500", "orderbook.500"),
    (b"1000", "orderbook.1000"),
];

/// A private topic whose rows the adapter understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PrivateChannel {
    /// Orders.
    Orders,
    /// Fills and funding.
    Executions,
    /// Positions.
    Positions,
    /// Balances.
    Wallet,
}

/// What a topic means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Topic {
    Market(Channel),
    Private(PrivateChannel),
    Ignored(&'static str),
    Unknown,
}

/// Documented topics that carry nothing for us; see the module documentation of the dialect.
const IGNORED: [(&[u8], &str); 10] = [
    (b"kline.", "kline"),
    (b"kline_lt.", "kline_lt"),
    (b"tickers_lt.", "tickers_lt"),
    (b"lt.", "lt"),
    (b"liquidation.", "liquidation"),
    (b"insurance.", "insurance"),
    (b"adlAlert", "adlAlert"),
    (b"greeks", "greeks"),
    (b"dcp", "dcp"),
    (b"execution.fast", "execution.fast"),
];

fn topic(name: &[u8]) -> (Topic, &[u8]) {
    if let Some(rest) = name.strip_prefix(b"orderbook.") {
        let at = rest.iter().position(|byte| *byte == b'.').unwrap_or(rest.len());
        let symbol = rest.get(at + 1..).unwrap_or_default();
        return match BOOKS.iter().find(|(depth, _)| *depth == &rest[..at]) {
            Some((_, channel)) => (Topic::Market(Channel::Book(channel)), symbol),
            // Levels of three columns.
            None if &rest[..at] == b"rpi" => (Topic::Ignored("orderbook.rpi"), b""),
            None => (Topic::Unknown, b""),
        };
    }
    for (prefix, channel) in [
        (&b"publicTrade."[..], Channel::Trades),
        (b"tickers.", Channel::Tickers),
        (b"allLiquidation.", Channel::Liquidations),
        (b"priceLimit.", Channel::Limits),
    ] {
        if let Some(symbol) = name.strip_prefix(prefix) {
            return (Topic::Market(channel), symbol);
        }
    }
    let private = match name {
        b"order" | b"order.linear" => Some(PrivateChannel::Orders),
        b"execution" | b"execution.linear" => Some(PrivateChannel::Executions),
        b"position" | b"position.linear" => Some(PrivateChannel::Positions),
        b"wallet" => Some(PrivateChannel::Wallet),
        _ => None,
    };
    if let Some(channel) = private {
        return (Topic::Private(channel), b"");
    }
    let known = IGNORED.iter().find(|(prefix, _)| name.starts_with(prefix));
    (known.map_or(Topic::Unknown, |(_, kind)| Topic::Ignored(kind)), b"")
}

/// A run of levels in [`Parser::levels`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    from: u32,
    to: u32,
}

/// One row of a market topic.
#[derive(Clone, Copy, Debug)]
pub(super) enum Item {
    /// An order book message.
    Depth(DepthRow),
    /// A trade.
    Trade { symbol: Symbol, id: u64, price: Num, qty: Num, side: Side, time_ms: i64 },
    /// A ticker, or what changed of it.
    Ticker(TickerRow),
    /// Highest price to buy at and lowest to sell at.
    Limits { symbol: Symbol, buy_max: Option<Num>, sell_min: Option<Num> },
    /// A liquidation.
    Liquidation { symbol: Symbol, side: Side, price: Num, qty: Num, time_ms: i64 },
}

/// The row of an order book topic.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct DepthRow {
    /// Native name.
    pub symbol: Symbol,
    /// Bid levels.
    pub bids: Span,
    /// Ask levels.
    pub asks: Span,
    /// `u`: number of the message within its topic; 1 = the service restarted.
    pub update: u64,
    /// `seq`: comparable between depths and with trades; 0 when not sent (options).
    pub seq: u64,
}

/// A ticker: absent = unchanged or not applicable.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct TickerRow {
    /// Native name.
    pub symbol: Symbol,
    /// Last price.
    pub last: Option<Num>,
    /// Best bid.
    pub bid: Option<Num>,
    /// Best ask.
    pub ask: Option<Num>,
    /// Mark price.
    pub mark: Option<Num>,
    /// Index price.
    pub index: Option<Num>,
    /// Funding rate of the coming settlement.
    pub rate: Option<Num>,
    /// `nextFundingTime`, ms; 0 = not stated.
    pub funding_ms: i64,
    /// `fundingIntervalHour`; 0 = not stated.
    pub interval_hours: i64,
    /// Open interest in contracts.
    pub interest: Option<Num>,
    /// Mark, index or funding rate are stated not to apply: they are not what they were.
    pub has_blank: bool,
}

impl TickerRow {
    /// Whether it says anything about mark, index or funding.
    pub fn has_mark(&self) -> bool {
        self.mark.is_some() || self.index.is_some() || self.has_funding()
    }

    /// Whether it says anything about funding.
    pub fn has_funding(&self) -> bool {
        self.rate.is_some() || self.funding_ms > 0 || self.interval_hours > 0
    }
}

/// Operations of session messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Auth,
    Subscribe,
    Unsubscribe,
    /// Both shapes: public `op` ping with `ret_msg` pong, private `op` pong.
    Pong,
}

/// Order operations of the trade connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OrderOp {
    Create,
    Cancel,
    Amend,
}

/// What the `header` of a reply says of the budget that its request was counted against.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Window {
    /// `X-Bapi-Limit-Status`: requests that are left; `None` = not stated.
    pub left: Option<i64>,
    /// `X-Bapi-Limit-Reset-Timestamp`: when there are some again, ms; 0 = not stated.
    pub reset_ms: i64,
    /// `Timenow`: when the venue replied, ms; 0 = not stated.
    pub replied_ms: i64,
}

/// A frame, understood as far as its envelope goes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Frame<'a> {
    /// Rows of a market topic, in [`Parser::items`]. `time_ms`: `cts` (matching) where sent, else `ts`.
    Market { channel: Channel, symbol: Symbol, snapshot: bool, time_ms: i64 },
    /// Rows of a private topic; of one order alone in [`Parser::only`] as well.
    Private { channel: PrivateChannel, data: Cursor<'a> },
    /// The answer to a session message: `success`, or `retCode` 0.
    Session { op: Op, good: bool, code: i32, id: &'a [u8] },
    /// The reply to an order operation; `code` includes what `retExtInfo` says.
    Reply { op: OrderOp, id: &'a [u8], code: i32, data: Option<Cursor<'a>>, window: Window },
    /// The body of an HTTP reply.
    Rest,
    /// A documented type that carries nothing for us.
    Ignored(&'static str),
    /// Outside the documented lists.
    Unknown,
}

/// The envelope's fields.
#[derive(Clone, Copy, Default)]
struct Envelope<'a> {
    kind: &'a [u8],
    op: &'a [u8],
    id: &'a [u8],
    success: Option<bool>,
    code: Option<i64>,
    ext: i64,
    time: Option<i64>,
    matched: Option<i64>,
    result: bool,
    window: Window,
}

/// The envelope parser and its scratch space.
#[derive(Debug, Default)]
pub(super) struct Parser {
    /// Rows of the last market frame.
    pub items: Vec<Item>,
    /// The levels that they refer to.
    levels: Vec<Level>,
    /// The market topic that the last frame was about, as far as it could be read.
    pub hint: Option<(Channel, Symbol)>,
    /// The order of the last frame of an orders' channel, when it held exactly one and all of it was understood:
    /// read in passing, so that the row needs no second pass.
    pub only: Option<OrderRow>,
    /// What the last frame held beyond its documentation; complete for market frames.
    pub marks: Marks,
}

impl Parser {
    /// Room for a full snapshot and the longest trade list (1024) without allocation.
    pub fn new() -> Self {
        Self { items: Vec::with_capacity(1024), levels: Vec::with_capacity(2048), ..Self::default() }
    }

    /// The levels of a span.
    pub fn span(&self, span: Span) -> &[Level] {
        &self.levels[span.from as usize..span.to as usize]
    }

    /// Reads a frame; `full` is where it stands if it is not as venues usually write.
    #[inline]
    pub fn parse<'a>(&mut self, text: &'a [u8], full: &'a mut Full) -> Result<Frame<'a>> {
        full.read(text, |cursor| self.frame(cursor))
    }

    fn frame<'a>(&mut self, mut cursor: Cursor<'a>) -> Result<Frame<'a>> {
        self.items.clear();
        self.levels.clear();
        self.hint = None;
        self.only = None;
        self.marks = Marks::NONE;
        if let Some(frame) = self.usual_best(cursor.text()) {
            return Ok(frame);
        }
        if let Some(frame) = self.usual(cursor) {
            return Ok(frame);
        }
        self.levels.clear();
        if cursor.kind()? != Kind::Object {
            cursor.skip()?;
            cursor.end()?;
            return Ok(Frame::Unknown);
        }
        let mut envelope = Envelope::default();
        let mut meaning: Option<(Topic, &'a [u8])> = None;
        let mut data: Option<Cursor<'a>> = None;
        let mut read = false;
        cursor.object(|key, c| {
            match key {
                b"topic" => {
                    let found = topic(c.string()?);
                    if let Topic::Market(channel) = found.0 {
                        self.hint = Symbol::from_bytes(found.1).map(|symbol| (channel, symbol));
                    }
                    meaning = Some(found);
                }
                b"data" => match meaning {
                    Some((Topic::Market(channel), _)) if !read => {
                        self.rows(channel, c)?;
                        read = true;
                    }
                    _ => {
                        data = Some(*c);
                        let orders = matches!(meaning, Some((Topic::Private(PrivateChannel::Orders), _)));
                        self.only = if orders { c.attempt(|c| c.only(rows::order)) } else { None };
                        if self.only.is_none() {
                            c.skip()?;
                        }
                    }
                },
                b"type" => envelope.kind = c.string()?,
                b"ts" => envelope.time = Some(c.int("ts")?),
                b"cts" => envelope.matched = Some(c.int("cts")?),
                b"op" => envelope.op = c.string()?,
                b"reqId" | b"req_id" => envelope.id = c.number()?,
                b"success" => envelope.success = Some(c.boolean("success")?),
                b"retCode" => envelope.code = Some(c.int("retCode")?),
                b"retExtInfo" => envelope.ext = first_code(c)?,
                b"header" if c.kind()? == Kind::Object => envelope.window = window(c)?,
                b"result" => {
                    envelope.result = true;
                    c.skip()?;
                }
                _ => c.pass(key, &schema::ENVELOPE)?,
            }
            Ok(())
        })?;
        cursor.end()?;
        let Some((meaning, symbol)) = meaning else { return envelope.without_topic(data) };
        match meaning {
            Topic::Market(channel) => {
                if !read {
                    let mut late = data.ok_or(DecodeError::Missing("data"))?;
                    self.rows(channel, &mut late)?;
                    cursor.join(&late);
                }
                self.marks = cursor.marks();
                let snapshot = match envelope.kind {
                    b"snapshot" => true,
                    b"delta" => false,
                    b"" if channel == Channel::Limits => true,
                    b"" => return Err(DecodeError::Missing("type")),
                    _ => return Err(DecodeError::Field("type")),
                };
                let time = envelope.matched.or(envelope.time).ok_or(DecodeError::Missing("ts"))?;
                Ok(Frame::Market { channel, symbol: name(symbol)?, snapshot, time_ms: time })
            }
            Topic::Private(channel) => {
                Ok(Frame::Private { channel, data: data.ok_or(DecodeError::Missing("data"))? })
            }
            Topic::Ignored(kind) => Ok(Frame::Ignored(kind)),
            Topic::Unknown => Ok(Frame::Unknown),
        }
    }

    fn rows(&mut self, channel: Channel, c: &mut Cursor<'_>) -> Result<()> {
        match channel {
            Channel::Book(_) => {
                let row = self.depth(c)?;
                self.items.push(Item::Depth(row));
            }
            Channel::Tickers => {
                let row = ticker(c)?;
                self.items.push(Item::Ticker(row));
            }
            Channel::Limits => self.items.push(limits(c)?),
            Channel::Trades => c.array(|c| {
                self.items.push(trade(c)?);
                Ok(())
            })?,
            Channel::Liquidations => c.array(|c| {
                self.items.push(liquidation(c)?);
                Ok(())
            })?,
        }
        Ok(())
    }

    fn depth(&mut self, c: &mut Cursor<'_>) -> Result<DepthRow> {
        let mut row = DepthRow::default();
        let (mut bids, mut asks, mut update) = (None, None, None);
        c.object(|key, c| {
            match key {
                b"s" => row.symbol = name(c.string()?)?,
                b"b" => bids = Some(self.side(c)?),
                b"a" => asks = Some(self.side(c)?),
                b"u" => update = Some(c.uint("u")?),
                b"seq" => row.seq = c.uint("seq")?,
                _ => c.pass(key, &schema::BOOK)?,
            }
            Ok(())
        })?;
        if row.symbol.is_empty() {
            return Err(DecodeError::Missing("s"));
        }
        row.bids = bids.ok_or(DecodeError::Missing("b"))?;
        row.asks = asks.ok_or(DecodeError::Missing("a"))?;
        row.update = update.ok_or(DecodeError::Missing("u"))?;
        Ok(row)
    }

    /// `[price, size]`.
    fn side(&mut self, c: &mut Cursor<'_>) -> Result<Span> {
        let from = self.levels.len() as u32;
        if c.quoted_levels(&mut self.levels, |c, _| c.literal(b"]")).is_some() {
            return Ok(Span { from, to: self.levels.len() as u32 });
        }
        self.levels.truncate(from as usize);
        c.array(|c| {
            let (mut column, mut price, mut size) = (0, Num::ZERO, Num::ZERO);
            c.array(|c| {
                match column {
                    0 => price = c.num("price")?,
                    1 => size = c.num("size")?,
                    _ => c.skip()?,
                }
                column += 1;
                Ok(())
            })?;
            if column != 2 || size.mantissa < 0 {
                return Err(DecodeError::Field("size"));
            }
            self.levels.push((price, size));
            Ok(())
        })?;
        Ok(Span { from, to: self.levels.len() as u32 })
    }

    /// The best prices in the usual layout; `None` says nothing. Nothing was stored then.
    #[inline(always)]
    fn usual_best<'a>(&mut self, frame: &'a [u8]) -> Option<Frame<'a>> {
        let text = fixed::behind(frame, b"{\"topic\":\"orderbook.1.")?;
        // The time of the match is read from the end.
        let (text, end) = text.split_last_chunk::<22>()?;
        let time = fixed::behind(end, b"},\"cts\":")?.strip_suffix(b"}")?;
        let time_ms = fixed::millis(time.first_chunk()?)?;
        let (name, text) = fixed::name(text, b"\",\"t")?;
        // The venue writes time and type in either order.
        let text = match fixed::behind(text, b"ype\":\"snapshot\",\"ts\":") {
            Some(text) => sent(text)?,
            None => fixed::behind(sent(fixed::behind(text, b"s\":")?)?, b",\"type\":\"snapshot\"")?,
        };
        let (named, text) = fixed::name(fixed::behind(text, b",\"data\":{\"s\":\"")?, b"\",\"b\":[[\"")?;
        let (bid, text) = fixed::quoted(text, b"\",\"")?;
        let (bid_qty, text) = fixed::quoted(text, b"\"]],\"a\":[[\"")?;
        let (ask, text) = fixed::quoted(text, b"\",\"")?;
        let (ask_qty, text) = fixed::quoted(text, b"\"]],\"u\":")?;
        let (update, text) = fixed::int(text, b",\"seq\":")?;
        let seq = fixed::whole(text).filter(|seq| seq.scale == 0)?.mantissa;
        let (symbol, named) = (Symbol::from_bytes(name)?, Symbol::from_bytes(named)?);
        self.levels.extend([(bid, bid_qty), (ask, ask_qty)]);
        let (bids, asks) = (Span { from: 0, to: 1 }, Span { from: 1, to: 2 });
        let (update, seq) = (update.unsigned_abs(), seq.unsigned_abs());
        self.items.push(Item::Depth(DepthRow { symbol: named, bids, asks, update, seq }));
        Some(Frame::Market { channel: BEST, symbol, snapshot: true, time_ms })
    }

    /// A book in the usual layout; `None` says nothing, and the frame is read value by value.
    fn usual<'a>(&mut self, mut c: Cursor<'a>) -> Option<Frame<'a>> {
        c.literal(b"{\"topic\":\"orderbook.")?;
        let about = c.quoted_name()?;
        let (channel, text) = match about {
            [b'1', b'.', rest @ ..] => (BEST, rest),
            [b'5', b'0', b'.', rest @ ..] => (Channel::Book("orderbook.50"), rest),
            [b'2', b'0', b'0', b'.', rest @ ..] => (Channel::Book("orderbook.200"), rest),
            _ => return None,
        };
        let symbol = name(text).ok()?;
        // The venue writes time and type in either order.
        let mut kind = usual_kind(&mut c);
        c.literal(b",\"ts\":")?;
        c.bare_int()?;
        kind = kind.or_else(|| usual_kind(&mut c));
        c.literal(b",\"data\":{\"s\":\"")?;
        let named = c.quoted_name()?;
        let named = if named == text { symbol } else { name(named).ok()? };
        c.literal(b",\"b\":")?;
        let bids = self.side(&mut c).ok()?;
        c.literal(b",\"a\":")?;
        let asks = self.side(&mut c).ok()?;
        c.literal(b",\"u\":")?;
        let update = c.bare_int()?.unsigned_abs();
        c.literal(b",\"seq\":")?;
        let seq = c.bare_int()?.unsigned_abs();
        c.literal(b"},\"cts\":")?;
        let time_ms = c.bare_int()?;
        c.literal(b"}")?;
        if !c.is_done() {
            return None;
        }
        let snapshot = kind?;
        self.items.push(Item::Depth(DepthRow { symbol: named, bids, asks, update, seq }));
        Some(Frame::Market { channel, symbol, snapshot, time_ms })
    }
}

/// Passes over the time of the push.
#[inline(always)]
fn sent(text: &[u8]) -> Option<&[u8]> {
    let (time, rest) = text.split_first_chunk()?;
    fixed::millis(time).map(|_| rest)
}

/// `,"type":"snapshot"` or `delta`: whether it is a snapshot.
#[inline(always)]
fn usual_kind(c: &mut Cursor<'_>) -> Option<bool> {
    c.literal(b",\"type\":\"delta\"")
        .map(|()| false)
        .or_else(|| c.literal(b",\"type\":\"snapshot\"").map(|()| true))
}

impl<'a> Envelope<'a> {
    /// Session answers, order replies and HTTP bodies: three ways to say that something went well.
    fn without_topic(self, data: Option<Cursor<'a>>) -> Result<Frame<'a>> {
        let code = |code: i64| i32::try_from(code).map_err(|_| DecodeError::Field("retCode"));
        let session = match self.op {
            b"auth" => Some(Op::Auth),
            b"subscribe" => Some(Op::Subscribe),
            b"unsubscribe" => Some(Op::Unsubscribe),
            b"ping" | b"pong" => Some(Op::Pong),
            // Options answer without naming the operation.
            b"" if self.kind == b"COMMAND_RESP" => Some(Op::Subscribe),
            _ => None,
        };
        if let Some(op) = session {
            let good = self.success.unwrap_or(true) && self.code.unwrap_or(0) == 0;
            return Ok(Frame::Session { op, good, code: code(self.code.unwrap_or(0))?, id: self.id });
        }
        let order = match self.op {
            b"order.create" => OrderOp::Create,
            b"order.cancel" => OrderOp::Cancel,
            b"order.amend" => OrderOp::Amend,
            b"" if self.code.is_some() => return Ok(Frame::Rest),
            _ => return Ok(Frame::Unknown),
        };
        let mut said = self.code.ok_or(DecodeError::Missing("retCode"))?;
        if said == 0 {
            said = self.ext;
        }
        Ok(Frame::Reply { op: order, id: self.id, code: code(said)?, data, window: self.window })
    }
}

/// Reads the `header` of a reply. What is no number there is not stated: it must not cost us the outcome.
fn window(c: &mut Cursor<'_>) -> Result<Window> {
    let mut window = Window::default();
    c.object(|key, c| {
        let is = |name: &[u8]| key.eq_ignore_ascii_case(name);
        let (left, reset) = (is(b"X-Bapi-Limit-Status"), is(b"X-Bapi-Limit-Reset-Timestamp"));
        if !(left || reset || is(b"Timenow")) {
            return c.skip();
        }
        let mut at = *c;
        c.skip()?;
        let number = at.int("header").ok();
        if left {
            window.left = number;
        } else if reset {
            window.reset_ms = number.unwrap_or(0);
        } else {
            window.replied_ms = number.unwrap_or(0);
        }
        Ok(())
    })?;
    Ok(window)
}

/// The first code that is not 0 in `retExtInfo`, which is `""`, `{}`, or holds a `list` of codes.
pub(super) fn first_code(c: &mut Cursor<'_>) -> Result<i64> {
    if c.kind()? != Kind::Object {
        return c.skip().map(|()| 0);
    }
    let mut first = 0;
    c.object(|key, c| {
        if key != b"list" || c.kind()? != Kind::Array {
            return c.skip();
        }
        c.array(|c| {
            c.object(|key, c| {
                if key != b"code" {
                    return c.skip();
                }
                let code = c.int("code")?;
                if first == 0 {
                    first = code;
                }
                Ok(())
            })
        })
    })?;
    Ok(first)
}

fn trade(c: &mut Cursor<'_>) -> Result<Item> {
    let mut symbol = Symbol::EMPTY;
    let (mut id, mut price, mut qty, mut way, mut time) = (None, None, None, None, None);
    c.object(|key, c| {
        match key {
            b"s" => symbol = name(c.string()?)?,
            b"i" => id = Some(number_of(c.string()?)),
            b"p" => price = Some(c.num("p")?),
            b"v" => qty = Some(c.num("v")?),
            b"S" => way = Some(side(c)?),
            b"T" => time = Some(c.int("T")?),
            _ => c.pass(key, &schema::TRADE)?,
        }
        Ok(())
    })?;
    if symbol.is_empty() {
        return Err(DecodeError::Missing("s"));
    }
    Ok(Item::Trade {
        symbol,
        id: id.ok_or(DecodeError::Missing("i"))?,
        price: price.ok_or(DecodeError::Missing("p"))?,
        qty: qty.ok_or(DecodeError::Missing("v"))?,
        side: way.ok_or(DecodeError::Missing("S"))?,
        time_ms: time.ok_or(DecodeError::Missing("T"))?,
    })
}

fn liquidation(c: &mut Cursor<'_>) -> Result<Item> {
    let mut symbol = Symbol::EMPTY;
    let (mut price, mut qty, mut way, mut time) = (None, None, None, None);
    c.object(|key, c| {
        match key {
            b"s" => symbol = name(c.string()?)?,
            b"p" => price = Some(c.num("p")?),
            b"v" => qty = Some(c.num("v")?),
            b"S" => way = Some(side(c)?),
            b"T" => time = Some(c.int("T")?),
            _ => c.pass(key, &schema::LIQUIDATION)?,
        }
        Ok(())
    })?;
    if symbol.is_empty() {
        return Err(DecodeError::Missing("s"));
    }
    Ok(Item::Liquidation {
        symbol,
        side: way.ok_or(DecodeError::Missing("S"))?,
        price: price.ok_or(DecodeError::Missing("p"))?,
        qty: qty.ok_or(DecodeError::Missing("v"))?,
        time_ms: time.ok_or(DecodeError::Missing("T"))?,
    })
}

/// A field that is there; `""` says that it does not apply.
fn stated(has_blank: &mut bool, field: Option<Num>) -> Option<Num> {
    *has_blank |= field.is_none();
    field
}

fn ticker(c: &mut Cursor<'_>) -> Result<TickerRow> {
    let mut row = TickerRow::default();
    c.object(|key, c| {
        match key {
            b"symbol" => row.symbol = name(c.string()?)?,
            b"lastPrice" => row.last = c.num_or_absent("lastPrice")?,
            b"bid1Price" | b"bidPrice" => row.bid = c.num_or_absent("bid1Price")?,
            b"ask1Price" | b"askPrice" => row.ask = c.num_or_absent("ask1Price")?,
            b"markPrice" => row.mark = stated(&mut row.has_blank, c.num_or_absent("markPrice")?),
            b"indexPrice" => row.index = stated(&mut row.has_blank, c.num_or_absent("indexPrice")?),
            b"fundingRate" => row.rate = stated(&mut row.has_blank, c.num_or_absent("fundingRate")?),
            b"nextFundingTime" => row.funding_ms = int_or_zero(c, "nextFundingTime")?,
            b"fundingIntervalHour" => row.interval_hours = int_or_zero(c, "fundingIntervalHour")?,
            b"openInterest" => row.interest = c.num_or_absent("openInterest")?,
            _ => c.pass(key, &schema::TICKER)?,
        }
        Ok(())
    })?;
    if row.symbol.is_empty() { Err(DecodeError::Missing("symbol")) } else { Ok(row) }
}

fn limits(c: &mut Cursor<'_>) -> Result<Item> {
    let (mut symbol, mut buy_max, mut sell_min) = (Symbol::EMPTY, None, None);
    c.object(|key, c| {
        match key {
            b"symbol" => symbol = name(c.string()?)?,
            b"buyLmt" => buy_max = c.num_or_absent("buyLmt")?,
            b"sellLmt" => sell_min = c.num_or_absent("sellLmt")?,
            _ => c.pass(key, &schema::LIMITS)?,
        }
        Ok(())
    })?;
    if symbol.is_empty() {
        return Err(DecodeError::Missing("symbol"));
    }
    Ok(Item::Limits { symbol, buy_max, sell_min })
}

pub(super) fn side(c: &mut Cursor<'_>) -> Result<Side> {
    match c.string()? {
        b"Buy" => Ok(Side::Buy),
        b"Sell" => Ok(Side::Sell),
        _ => Err(DecodeError::Field("side")),
    }
}

/// An integer; `""` and `null` are 0.
pub(super) fn int_or_zero(c: &mut Cursor<'_>, field: &'static str) -> Result<i64> {
    let start = *c;
    match c.kind()? {
        Kind::Null => c.skip().map(|()| 0),
        Kind::String if c.string()?.is_empty() => Ok(0),
        _ => {
            *c = start;
            c.int(field)
        }
    }
}

/// Order, trade and execution ids are UUIDs or long numbers: a number stands for itself, any other text
/// for 64 of its bits, well mixed. Two of the ids that are remembered at one time (some ten thousand)
/// coincide with a probability below 10⁻¹⁰.
pub(super) fn number_of(id: &[u8]) -> u64 {
    let digits = !id.is_empty() && id.len() <= 19 && id.iter().all(u8::is_ascii_digit);
    if digits {
        return id.iter().fold(0u64, |value, byte| value * 10 + u64::from(byte - b'0'));
    }
    // FNV-1a, then SplitMix64's finaliser.
    let hash = id.iter().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let z = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn name(text: &[u8]) -> Result<Symbol> {
    match Symbol::from_bytes(text) {
        Some(symbol) if !symbol.is_empty() => Ok(symbol),
        Some(_) => Err(DecodeError::Missing("symbol")),
        None => Err(DecodeError::Field("symbol")),
    }
}
