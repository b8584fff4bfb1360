//! One forward pass over an OKX frame: envelope, channel, and the rows of market channels as exact decimals.
//!
//! Keeps scratch space only. Nothing is handed out before the whole frame was read and found well-formed.
//! `arg` may stand before or after `data`; `data` is always an array. Private rows are left to
//! [`super::rows`], which reads them from the cursor that stands at `data`.

use super::rows::{self, OrderRow};
use super::schema;
use crate::domain::number::Num;
use crate::domain::order::Side;
use crate::domain::text::Symbol;
use crate::venue::drift::Marks;
use crate::venue::full::Full;
use crate::venue::json::{Cursor, Kind};
use crate::venue::message::{DecodeError, Level};

pub(super) type Result<T> = std::result::Result<T, DecodeError>;

/// A public channel whose rows are understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Channel {
    /// Best bid and ask.
    Bbo,
    /// Snapshot and updates; the name as sent.
    Books(&'static str),
    /// Five levels, always a snapshot.
    Books5,
    /// Trades aggregated per taker order and price.
    Trades,
    /// Last, best bid and ask.
    Tickers,
    /// Mark price.
    Mark,
    /// Index price (`instId` is the index).
    Index,
    /// Funding rate.
    Funding,
    /// Open interest.
    Interest,
    /// Liquidation orders.
    Liquidations,
    /// Prices that are accepted.
    Limits,
}

impl Channel {
    /// Books and best prices: nothing else may hide that these are silent.
    pub const fn is_core(self) -> bool {
        matches!(self, Self::Bbo | Self::Books(_) | Self::Books5)
    }
}

/// A private channel whose rows the adapter understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PrivateChannel {
    /// Orders and fills.
    Orders,
    /// Positions.
    Positions,
    /// Balances.
    Account,
}

/// What a channel name means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Topic {
    Market(Channel),
    Private(PrivateChannel),
    Ignored(&'static str),
    Unknown,
}

/// Documented channels that carry nothing for us; see the module documentation of the dialect.
const IGNORED: &[(&[u8], &str)] = &[
    (b"trades-all", "trades-all"),
    (b"option-trades", "option-trades"),
    (b"opt-summary", "opt-summary"),
    (b"estimated-price", "estimated-price"),
    (b"instruments", "instruments"),
    (b"status", "status"),
    (b"adl-warning", "adl-warning"),
    (b"block-tickers", "block-tickers"),
    (b"public-block-trades", "block-trades"),
    (b"public-struc-block-trades", "block-trades"),
    (b"struc-block-trades", "block-trades"),
    (b"rfqs", "block-trades"),
    (b"quotes", "block-trades"),
    (b"economic-calendar", "economic-calendar"),
    (b"call-auction-details", "call-auction-details"),
    (b"books-rpi", "books-rpi"),
    (b"books-elp", "books-elp"),
];

/// Families of ignored channels by their first letters.
const IGNORED_PREFIXES: &[(&[u8], &str)] = &[
    (b"candle", "candle"),
    (b"mark-price-candle", "mark-price-candle"),
    (b"index-candle", "index-candle"),
    (b"sprd-", "spread"),
];

/// Documented private channels that the adapter does not subscribe.
const PRIVATE_PREFIXES: &[(&[u8], &str)] = &[
    (b"balance_and_position", "balance_and_position"),
    (b"liquidation-warning", "liquidation-warning"),
    (b"account-greeks", "account-greeks"),
    (b"fills", "fills"),
    (b"orders-algo", "orders-algo"),
    (b"algo-", "algo"),
    (b"grid-", "grid"),
    (b"deposit-info", "deposit-info"),
    (b"withdrawal-info", "withdrawal-info"),
    (b"copytrading", "copytrading"),
];

fn topic(channel: &[u8]) -> Topic {
    match channel {
        b"bbo-tbt" => Topic::Market(Channel::Bbo),
        b"books" => Topic::Market(Channel::Books("books")),
        b"books-l2-tbt" => Topic::Market(Channel::Books("books-l2-tbt")),
        b"books50-l2-tbt" => Topic::Market(Channel::Books("books50-l2-tbt")),
        b"books5" => Topic::Market(Channel::Books5),
        b"trades" => Topic::Market(Channel::Trades),
        b"tickers" => Topic::Market(Channel::Tickers),
        b"mark-price" => Topic::Market(Channel::Mark),
        b"index-tickers" => Topic::Market(Channel::Index),
        b"funding-rate" => Topic::Market(Channel::Funding),
        b"open-interest" => Topic::Market(Channel::Interest),
        b"price-limit" => Topic::Market(Channel::Limits),
        b"liquidation-orders" => Topic::Market(Channel::Liquidations),
        b"orders" => Topic::Private(PrivateChannel::Orders),
        b"positions" => Topic::Private(PrivateChannel::Positions),
        b"account" => Topic::Private(PrivateChannel::Account),
        other => {
            let exact = IGNORED.iter().find(|(name, _)| *name == other);
            let family = || {
                IGNORED_PREFIXES.iter().chain(PRIVATE_PREFIXES).find(|(prefix, _)| other.starts_with(prefix))
            };
            exact.or_else(family).map_or(Topic::Unknown, |(_, kind)| Topic::Ignored(kind))
        }
    }
}

/// A run of levels in [`Parser::levels`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    from: u32,
    to: u32,
}

/// One row of a market channel.
#[derive(Clone, Copy, Debug)]
pub(super) enum Item {
    /// A depth message or a best bid and ask.
    Depth(DepthRow),
    /// A trade.
    Trade { symbol: Symbol, id: u64, price: Num, qty: Num, side: Side, time_ms: i64 },
    /// Last, best bid, best ask.
    Ticker { symbol: Symbol, last: Option<Num>, bid: Option<Num>, ask: Option<Num>, time_ms: i64 },
    /// Mark, index or funding.
    Mark(MarkRow),
    /// Open interest.
    Interest { symbol: Symbol, qty: Num, time_ms: i64 },
    /// Highest price to buy at and lowest to sell at; absent = any.
    Limits { symbol: Symbol, buy_max: Option<Num>, sell_min: Option<Num>, time_ms: i64 },
    /// A liquidation.
    Liquidation { symbol: Symbol, side: Side, price: Num, qty: Num, time_ms: i64 },
}

/// A row of a book channel; its symbol is the envelope's.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct DepthRow {
    /// Bid levels.
    pub bids: Span,
    /// Ask levels.
    pub asks: Span,
    /// `seqId`, 0 when not sent.
    pub seq: u64,
    /// `prevSeqId`, −1 when none.
    pub prev: i64,
    /// Checksum, when sent and not 0.
    pub checksum: Option<i32>,
    /// `ts`, ms.
    pub time_ms: i64,
}

/// A row of mark-price, index-tickers or funding-rate.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct MarkRow {
    /// Instrument, or index.
    pub symbol: Symbol,
    /// Mark price.
    pub mark: Option<Num>,
    /// Index price.
    pub index: Option<Num>,
    /// Funding rate.
    pub rate: Option<Num>,
    /// Next settlement, ms; 0 = not stated.
    pub funding_ms: i64,
    /// The settlement after it, ms; 0 = not stated.
    pub next_funding_ms: i64,
    /// Venue time, ms.
    pub time_ms: i64,
}

/// A control message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EventKind {
    Subscribe,
    Unsubscribe,
    Login,
    Error,
    Notice,
    ConnCount,
    ConnCountError,
}

impl EventKind {
    fn parse(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"subscribe" => Self::Subscribe,
            b"unsubscribe" => Self::Unsubscribe,
            b"login" => Self::Login,
            b"error" => Self::Error,
            b"notice" => Self::Notice,
            b"channel-conn-count" => Self::ConnCount,
            b"channel-conn-count-error" => Self::ConnCountError,
            _ => return None,
        })
    }

    /// As the `decode` command counts it.
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Subscribe => "event:subscribe",
            Self::Unsubscribe => "event:unsubscribe",
            Self::Login => "event:login",
            Self::Error => "event:error",
            Self::Notice => "event:notice",
            Self::ConnCount => "event:channel-conn-count",
            Self::ConnCountError => "event:channel-conn-count-error",
        }
    }
}

/// A frame, understood as far as its envelope goes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Frame<'a> {
    /// The text `pong` (or `ping`).
    Pong,
    /// A control message; `id` of the request where it is echoed.
    Event { kind: EventKind, code: i32, id: &'a [u8] },
    /// Rows of a market channel, in [`Parser::items`].
    Market { channel: Channel, symbol: Symbol, snapshot: bool },
    /// Rows of a private channel; `snapshot` as far as the venue says so.
    Private { channel: PrivateChannel, data: Cursor<'a>, snapshot: bool },
    /// The reply to an order operation.
    Reply { op: &'a [u8], id: &'a [u8], code: i32, data: Option<Cursor<'a>> },
    /// The body of an HTTP reply. A book's single row is in [`Parser::items`].
    Rest { kind: RestKind },
    /// A documented type that carries nothing for us.
    Ignored(&'static str),
    /// Outside the documented lists.
    Unknown,
}

/// Kinds of HTTP bodies that are told apart without knowing the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RestKind {
    /// `/api/v5/market/books`.
    Books,
    /// `/api/v5/public/instruments`.
    Instruments,
    /// Anything else, errors too.
    Other,
}

#[derive(Clone, Copy, Default)]
struct Arg<'a> {
    channel: &'a [u8],
    symbol: &'a [u8],
}

/// The envelope parser and its scratch space.
#[derive(Debug, Default)]
pub(super) struct Parser {
    /// Rows of the last market frame.
    pub items: Vec<Item>,
    /// The levels that they refer to.
    levels: Vec<Level>,
    /// The book that the last frame was about, as far as it could be read.
    pub book_hint: Option<Symbol>,
    /// The order of the last frame of an orders' channel, when it held exactly one and all of it was understood:
    /// read in passing, so that the row needs no second pass.
    pub only: Option<OrderRow>,
    /// What the last frame held beyond its documentation; complete for market frames.
    pub marks: Marks,
}

impl Parser {
    /// Room for a full snapshot and a long trade list without allocation.
    pub fn new() -> Self {
        Self { items: Vec::with_capacity(256), levels: Vec::with_capacity(1024), ..Self::default() }
    }

    /// The levels of a span.
    pub fn span(&self, span: Span) -> &[Level] {
        &self.levels[span.from as usize..span.to as usize]
    }

    /// Reads a frame; `full` is where it stands if it is not as venues usually write.
    #[inline]
    pub fn parse<'a>(&mut self, text: &'a [u8], full: &'a mut Full) -> Result<Frame<'a>> {
        if matches!(text, b"pong" | b"ping") {
            self.marks = Marks::NONE;
            return Ok(Frame::Pong);
        }
        full.read(text, |cursor| self.frame(cursor))
    }

    fn frame<'a>(&mut self, mut cursor: Cursor<'a>) -> Result<Frame<'a>> {
        self.items.clear();
        self.levels.clear();
        self.book_hint = None;
        self.only = None;
        self.marks = Marks::NONE;
        if let Some(frame) = self.usual(cursor) {
            return Ok(frame);
        }
        self.levels.clear();
        if cursor.kind()? != Kind::Object {
            // A bare value may be JSON, but never a message; still say which of the two it is.
            cursor.skip()?;
            cursor.end()?;
            return Ok(Frame::Unknown);
        }
        let mut arg: Option<Arg<'a>> = None;
        let mut meaning = Topic::Unknown;
        let (mut event, mut op, mut id): (Option<&[u8]>, Option<&[u8]>, &[u8]) = (None, None, b"");
        let mut action: Option<&[u8]> = None;
        let mut snapshot_push = false;
        let mut code: Option<i64> = None;
        let mut data: Option<Cursor<'a>> = None;
        let mut read = false;
        cursor.object(|key, c| {
            match key {
                b"arg" => {
                    let got = read_arg(c)?;
                    meaning = topic(got.channel);
                    if matches!(meaning, Topic::Market(Channel::Books(_))) {
                        self.book_hint = Symbol::from_bytes(got.symbol);
                    }
                    arg = Some(got);
                }
                b"action" => action = Some(c.string()?),
                b"data" => match meaning {
                    Topic::Market(channel) if !read => {
                        self.rows(channel, arg.unwrap_or_default().symbol, c)?;
                        read = true;
                    }
                    _ => {
                        data = Some(*c);
                        let orders = meaning == Topic::Private(PrivateChannel::Orders);
                        self.only = if orders { c.attempt(|c| c.only(rows::order)) } else { None };
                        if self.only.is_none() {
                            c.skip()?;
                        }
                    }
                },
                b"event" => event = Some(c.string()?),
                b"op" => op = Some(c.string()?),
                b"id" => id = c.number().or_else(|_| c.skip().map(|()| &b""[..]))?,
                b"code" => code = Some(c.int("code")?),
                b"eventType" => snapshot_push = c.string()? == b"snapshot",
                _ => c.pass(key, &schema::ENVELOPE)?,
            }
            Ok(())
        })?;
        cursor.end()?;
        let code = code.map(|c| i32::try_from(c).map_err(|_| DecodeError::Field("code"))).transpose()?;
        if let Some(name) = event {
            let Some(kind) = EventKind::parse(name) else { return Ok(Frame::Unknown) };
            return Ok(Frame::Event { kind, code: code.unwrap_or(0), id });
        }
        if let Some(op) = op {
            return Ok(Frame::Reply { op, id, code: code.ok_or(DecodeError::Missing("code"))?, data });
        }
        let Some(arg) = arg else {
            return match (code, data) {
                (Some(_), Some(mut data)) => self.rest(&mut data),
                (Some(_), None) => Ok(Frame::Rest { kind: RestKind::Other }),
                _ => Ok(Frame::Unknown),
            };
        };
        match meaning {
            Topic::Market(channel) => {
                if !read {
                    let mut late = data.ok_or(DecodeError::Missing("data"))?;
                    self.rows(channel, arg.symbol, &mut late)?;
                    cursor.join(&late);
                }
                self.marks = cursor.marks();
                let snapshot = match (channel, action) {
                    (Channel::Books(_), Some(b"snapshot")) => true,
                    (Channel::Books(_), Some(b"update")) => false,
                    (Channel::Books(_), Some(_)) => return Err(DecodeError::Field("action")),
                    (Channel::Books(_), None) => return Err(DecodeError::Missing("action")),
                    _ => true,
                };
                // Liquidations are subscribed by instrument type; their rows name the instrument.
                let symbol =
                    if channel == Channel::Liquidations { Symbol::EMPTY } else { symbol(arg.symbol)? };
                Ok(Frame::Market { channel, symbol, snapshot })
            }
            Topic::Private(channel) => {
                let data = data.ok_or(DecodeError::Missing("data"))?;
                Ok(Frame::Private { channel, data, snapshot: snapshot_push })
            }
            Topic::Ignored(kind) => Ok(Frame::Ignored(kind)),
            Topic::Unknown => Ok(Frame::Unknown),
        }
    }

    /// Tells HTTP bodies apart by the keys of their first row.
    fn rest<'a>(&mut self, data: &mut Cursor<'a>) -> Result<Frame<'a>> {
        let start = *data;
        let mut kind = RestKind::Other;
        if data.kind()? == Kind::Array {
            let mut first = true;
            data.array(|c| {
                if !first || c.kind()? != Kind::Object {
                    return c.skip();
                }
                first = false;
                let (mut sides, mut spec) = (0, 0);
                c.object(|key, c| {
                    match key {
                        b"asks" | b"bids" => sides += 1,
                        b"tickSz" | b"lotSz" => spec += 1,
                        _ => {}
                    }
                    c.skip()
                })?;
                if sides == 2 {
                    kind = RestKind::Books;
                } else if spec == 2 {
                    kind = RestKind::Instruments;
                }
                Ok(())
            })?;
        }
        if kind == RestKind::Books {
            self.rows(Channel::Books5, b"", &mut { start })?;
        }
        Ok(Frame::Rest { kind })
    }

    fn rows(&mut self, channel: Channel, instrument: &[u8], c: &mut Cursor<'_>) -> Result<()> {
        c.array(|c| {
            let item = match channel {
                Channel::Bbo | Channel::Books(_) | Channel::Books5 => Item::Depth(self.depth(c)?),
                Channel::Trades => trade(instrument, c)?,
                Channel::Tickers => ticker(instrument, c)?,
                Channel::Mark | Channel::Index | Channel::Funding => {
                    Item::Mark(mark(channel, instrument, c)?)
                }
                Channel::Interest => interest(instrument, c)?,
                Channel::Limits => limits(instrument, c)?,
                Channel::Liquidations => return self.liquidations(c),
            };
            self.items.push(item);
            Ok(())
        })
    }

    fn depth(&mut self, c: &mut Cursor<'_>) -> Result<DepthRow> {
        let mut row = DepthRow { prev: -1, ..DepthRow::default() };
        let (mut bids, mut asks, mut time) = (None, None, None);
        c.object(|key, c| {
            match key {
                b"asks" => asks = Some(self.side(c)?),
                b"bids" => bids = Some(self.side(c)?),
                b"ts" => time = Some(c.int("ts")?),
                b"seqId" => row.seq = c.uint("seqId")?,
                b"prevSeqId" => row.prev = c.int("prevSeqId")?,
                b"checksum" => {
                    let sum =
                        i32::try_from(c.int("checksum")?).map_err(|_| DecodeError::Field("checksum"))?;
                    row.checksum = (sum != 0).then_some(sum);
                }
                _ => c.pass(key, &schema::BOOK)?,
            }
            Ok(())
        })?;
        row.bids = bids.ok_or(DecodeError::Missing("bids"))?;
        row.asks = asks.ok_or(DecodeError::Missing("asks"))?;
        row.time_ms = time.ok_or(DecodeError::Missing("ts"))?;
        if row.prev < -1 {
            return Err(DecodeError::Field("prevSeqId"));
        }
        Ok(row)
    }

    /// `[price, size, deprecated, order count]`: the first two are read, the rest is passed over.
    fn side(&mut self, c: &mut Cursor<'_>) -> Result<Span> {
        let from = self.levels.len() as u32;
        if c.quoted_levels(&mut self.levels, |c, _| orders(c)).is_some() {
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
            if column < 2 {
                return Err(DecodeError::Missing("size"));
            }
            if size.mantissa < 0 {
                return Err(DecodeError::Field("size"));
            }
            self.levels.push((price, size));
            Ok(())
        })?;
        Ok(Span { from, to: self.levels.len() as u32 })
    }

    /// A best bid and ask or a book in the usual layout; `None` says nothing, and the frame is read value by value.
    fn usual<'a>(&mut self, mut c: Cursor<'a>) -> Option<Frame<'a>> {
        c.literal(b"{\"arg\":{\"channel\":\"b")?;
        if c.literal(b"bo-tbt\",\"instId\":\"").is_none() {
            c.literal(b"ooks\",\"instId\":\"")?;
            return self.usual_book(c);
        }
        let symbol = Symbol::from_bytes(c.quoted_name()?)?;
        c.literal(b"},\"data\":[{\"asks\":[[\"")?;
        let ask = usual_best(&mut c)?;
        c.literal(b"],\"bids\":[[\"")?;
        let bid = usual_best(&mut c)?;
        c.literal(b"],\"ts\":\"")?;
        let time_ms = c.quoted_int()?;
        c.literal(b",\"seqId\":")?;
        let seq = c.bare_int()?.unsigned_abs();
        c.literal(b"}]}")?;
        if !c.is_done() {
            return None;
        }
        self.levels.extend_from_slice(&[ask, bid]);
        let (asks, bids) = (Span { from: 0, to: 1 }, Span { from: 1, to: 2 });
        self.items.push(Item::Depth(DepthRow { asks, bids, seq, prev: -1, checksum: None, time_ms }));
        Some(Frame::Market { channel: Channel::Bbo, symbol, snapshot: true })
    }

    /// A message of `books`, behind the quote that opens the instrument's name.
    fn usual_book<'a>(&mut self, mut c: Cursor<'a>) -> Option<Frame<'a>> {
        let symbol = Symbol::from_bytes(c.quoted_name()?)?;
        c.literal(b"},\"action\":\"")?;
        let snapshot = c.literal(b"update").is_none();
        if snapshot {
            c.literal(b"snapshot")?;
        }
        c.literal(b"\",\"data\":[{\"asks\":")?;
        let asks = self.side(&mut c).ok()?;
        c.literal(b",\"bids\":")?;
        let bids = self.side(&mut c).ok()?;
        c.literal(b",\"ts\":\"")?;
        let time_ms = c.quoted_int()?;
        c.literal(b",\"checksum\":")?;
        let sign = if c.literal(b"-").is_some() { -1 } else { 1 };
        let sum = i32::try_from(sign * c.bare_int()?).ok()?;
        c.literal(b",\"seqId\":")?;
        let seq = c.bare_int()?.unsigned_abs();
        c.literal(b",\"prevSeqId\":")?;
        let prev = if c.literal(b"-1}").is_some() {
            -1
        } else {
            let prev = c.bare_int()?;
            c.literal(b"}")?;
            prev
        };
        c.literal(b"]}")?;
        if !c.is_done() {
            return None;
        }
        let checksum = (sum != 0).then_some(sum);
        self.items.push(Item::Depth(DepthRow { asks, bids, seq, prev, checksum, time_ms }));
        Some(Frame::Market { channel: Channel::Books("books"), symbol, snapshot })
    }

    fn liquidations(&mut self, c: &mut Cursor<'_>) -> Result<()> {
        let (mut instrument, mut details): (Option<&[u8]>, Option<Cursor<'_>>) = (None, None);
        c.object(|key, c| {
            match key {
                b"instId" => instrument = Some(c.string()?),
                b"details" => {
                    details = Some(*c);
                    c.skip()?;
                }
                _ => c.pass(key, &schema::LIQUIDATION)?,
            }
            Ok(())
        })?;
        let symbol = symbol(instrument.ok_or(DecodeError::Missing("instId"))?)?;
        let mut details = details.ok_or(DecodeError::Missing("details"))?;
        details.array(|c| {
            let (mut way, mut price, mut size, mut time) = (None, None, None, None);
            c.object(|key, c| {
                match key {
                    b"side" => way = Some(side(c)?),
                    b"bkPx" => price = Some(c.num("bkPx")?),
                    b"sz" => size = Some(c.num("sz")?),
                    b"ts" => time = Some(c.int("ts")?),
                    _ => c.pass(key, &schema::LIQUIDATION_DETAIL)?,
                }
                Ok(())
            })?;
            self.items.push(Item::Liquidation {
                symbol,
                side: way.ok_or(DecodeError::Missing("side"))?,
                price: price.ok_or(DecodeError::Missing("bkPx"))?,
                qty: size.ok_or(DecodeError::Missing("sz"))?,
                time_ms: time.ok_or(DecodeError::Missing("ts"))?,
            });
            Ok(())
        })?;
        c.join(&details);
        Ok(())
    }
}

/// The columns behind price and size in their usual form, `,"0","12"]`.
#[inline(always)]
fn orders(c: &mut Cursor<'_>) -> Option<()> {
    c.literal(b",\"0\",\"")?;
    c.short_string()?;
    c.literal(b"]")
}

/// A level behind its first quote.
#[inline(always)]
fn usual_best(c: &mut Cursor<'_>) -> Option<Level> {
    let price = c.quoted_num()?;
    c.literal(b",\"")?;
    let size = c.quoted_num()?;
    orders(c)?;
    Some((price, size))
}

fn read_arg<'a>(c: &mut Cursor<'a>) -> Result<Arg<'a>> {
    let mut arg = Arg::default();
    c.object(|key, c| {
        match key {
            b"channel" => arg.channel = c.string()?,
            b"instId" => arg.symbol = c.string()?,
            _ => c.pass(key, &schema::ARG)?,
        }
        Ok(())
    })?;
    Ok(arg)
}

fn trade(instrument: &[u8], c: &mut Cursor<'_>) -> Result<Item> {
    let mut name = instrument;
    let (mut id, mut price, mut qty, mut way, mut time) = (None, None, None, None, None);
    c.object(|key, c| {
        match key {
            b"instId" => name = c.string()?,
            b"tradeId" => id = Some(c.uint("tradeId")?),
            b"px" => price = Some(c.num("px")?),
            b"sz" => qty = Some(c.num("sz")?),
            b"side" => way = Some(side(c)?),
            b"ts" => time = Some(c.int("ts")?),
            _ => c.pass(key, &schema::TRADE)?,
        }
        Ok(())
    })?;
    Ok(Item::Trade {
        symbol: symbol(name)?,
        id: id.ok_or(DecodeError::Missing("tradeId"))?,
        price: price.ok_or(DecodeError::Missing("px"))?,
        qty: qty.ok_or(DecodeError::Missing("sz"))?,
        side: way.ok_or(DecodeError::Missing("side"))?,
        time_ms: time.ok_or(DecodeError::Missing("ts"))?,
    })
}

fn ticker(instrument: &[u8], c: &mut Cursor<'_>) -> Result<Item> {
    let mut name = instrument;
    let (mut last, mut bid, mut ask, mut time) = (None, None, None, None);
    c.object(|key, c| {
        match key {
            b"instId" => name = c.string()?,
            b"last" => last = c.num_or_absent("last")?,
            b"bidPx" => bid = c.num_or_absent("bidPx")?,
            b"askPx" => ask = c.num_or_absent("askPx")?,
            b"ts" => time = Some(c.int("ts")?),
            _ => c.pass(key, &schema::TICKER)?,
        }
        Ok(())
    })?;
    let time_ms = time.ok_or(DecodeError::Missing("ts"))?;
    Ok(Item::Ticker { symbol: symbol(name)?, last, bid, ask, time_ms })
}

fn mark(channel: Channel, instrument: &[u8], c: &mut Cursor<'_>) -> Result<MarkRow> {
    let mut name = instrument;
    let mut row = MarkRow::default();
    c.object(|key, c| {
        match key {
            b"instId" => name = c.string()?,
            b"markPx" => row.mark = c.num_or_absent("markPx")?,
            b"idxPx" => row.index = c.num_or_absent("idxPx")?,
            b"fundingRate" => row.rate = c.num_or_absent("fundingRate")?,
            b"fundingTime" => row.funding_ms = int_or_zero(c, "fundingTime")?,
            b"nextFundingTime" => row.next_funding_ms = int_or_zero(c, "nextFundingTime")?,
            // Older funding messages carry no time of their own.
            b"ts" => row.time_ms = int_or_zero(c, "ts")?,
            _ => c.pass(key, &schema::MARK)?,
        }
        Ok(())
    })?;
    match channel {
        Channel::Mark if row.mark.is_none() => return Err(DecodeError::Missing("markPx")),
        Channel::Index if row.index.is_none() => return Err(DecodeError::Missing("idxPx")),
        Channel::Funding if row.funding_ms == 0 => return Err(DecodeError::Missing("fundingTime")),
        _ => {}
    }
    row.symbol = symbol(name)?;
    Ok(row)
}

fn limits(instrument: &[u8], c: &mut Cursor<'_>) -> Result<Item> {
    let mut name = instrument;
    let (mut buy_max, mut sell_min, mut in_force, mut time) = (None, None, true, None);
    c.object(|key, c| {
        match key {
            b"instId" => name = c.string()?,
            b"buyLmt" => buy_max = c.num_or_absent("buyLmt")?,
            b"sellLmt" => sell_min = c.num_or_absent("sellLmt")?,
            b"enabled" => in_force = c.boolean("enabled")?,
            b"ts" => time = Some(c.int("ts")?),
            _ => c.pass(key, &schema::LIMITS)?,
        }
        Ok(())
    })?;
    let (buy_max, sell_min) = (buy_max.filter(|_| in_force), sell_min.filter(|_| in_force));
    let time_ms = time.ok_or(DecodeError::Missing("ts"))?;
    Ok(Item::Limits { symbol: symbol(name)?, buy_max, sell_min, time_ms })
}

fn interest(instrument: &[u8], c: &mut Cursor<'_>) -> Result<Item> {
    let mut name = instrument;
    let (mut qty, mut time) = (None, None);
    c.object(|key, c| {
        match key {
            b"instId" => name = c.string()?,
            b"oi" => qty = Some(c.num("oi")?),
            b"ts" => time = Some(c.int("ts")?),
            _ => c.pass(key, &schema::INTEREST)?,
        }
        Ok(())
    })?;
    Ok(Item::Interest {
        symbol: symbol(name)?,
        qty: qty.ok_or(DecodeError::Missing("oi"))?,
        time_ms: time.ok_or(DecodeError::Missing("ts"))?,
    })
}

pub(super) fn side(c: &mut Cursor<'_>) -> Result<Side> {
    match c.string()? {
        b"buy" => Ok(Side::Buy),
        b"sell" => Ok(Side::Sell),
        _ => Err(DecodeError::Field("side")),
    }
}

/// An integer; `""` and `null` are 0.
pub(super) fn int_or_zero(c: &mut Cursor<'_>, name: &'static str) -> Result<i64> {
    let start = *c;
    match c.kind()? {
        Kind::Null => c.skip().map(|()| 0),
        Kind::String if c.string()?.is_empty() => Ok(0),
        _ => {
            *c = start;
            c.int(name)
        }
    }
}

fn symbol(text: &[u8]) -> Result<Symbol> {
    match Symbol::from_bytes(text) {
        Some(symbol) if !symbol.is_empty() => Ok(symbol),
        Some(_) => Err(DecodeError::Missing("instId")),
        None => Err(DecodeError::Field("instId")),
    }
}
