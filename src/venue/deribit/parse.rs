//! One forward pass over a Deribit frame: JSON-RPC envelope, channel, and the rows of market channels as exact
//! decimals.
//!
//! Assumes neither key order nor spacing. Where the channel stands before the data (as the venue sends it) the
//! rows are read as they pass; else the data is passed over and read afterwards. Keeps scratch space only, and
//! hands out nothing before the whole frame was found well-formed. Private rows are left to [`super::rows`].

use super::rows::{self, OrderRow};
use super::schema;
use crate::domain::number::{Num, NumError};
use crate::domain::order::Side;
use crate::domain::text::Symbol;
use crate::venue::drift::Marks;
use crate::venue::full::Full;
use crate::venue::json::{Cursor, Kind, fixed};
use crate::venue::message::{DecodeError, Level};

pub(super) type Result<T> = std::result::Result<T, DecodeError>;

/// A public channel whose rows are understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Channel {
    /// Snapshot and changes.
    Book,
    /// `[price, amount]` pairs, whole each time.
    Grouped,
    /// Best bid and ask.
    Quote,
    /// Best prices, mark, index, funding.
    Ticker,
    /// Trades.
    Trades,
    /// `instrument.state`.
    State,
}

impl Channel {
    /// Books and best prices: nothing else may hide that these are silent.
    pub const fn is_core(self) -> bool {
        matches!(self, Self::Book | Self::Grouped | Self::Quote)
    }
}

/// A private channel whose rows the adapter understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PrivateChannel {
    /// Orders: one object (`raw`) or several.
    Orders,
    /// Own trades.
    Trades,
    /// Orders, trades and positions; only the positions are read.
    Changes,
    /// Balances.
    Portfolio,
}

/// What a channel name means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Topic {
    Market(Channel),
    Private(PrivateChannel),
    Ignored(&'static str),
    Unknown,
}

/// Families of documented channels that carry nothing for us, by their first letters.
const IGNORED: &[(&[u8], &str)] = &[
    (b"incremental_ticker.", "incremental_ticker"),
    (b"perpetual.", "perpetual"),
    (b"chart.", "chart"),
    (b"markprice.", "markprice"),
    (b"estimated_expiration_price.", "estimated_expiration_price"),
    (b"deribit_price_index.", "deribit_price_index"),
    (b"deribit_price_ranking.", "deribit_price_ranking"),
    (b"deribit_price_statistics.", "deribit_price_statistics"),
    (b"deribit_volatility_index.", "deribit_volatility_index"),
    (b"announcements", "announcements"),
    (b"platform_state", "platform_state"),
    (b"block_", "block"),
    (b"rfq.", "rfq"),
    (b"user.access_log", "user.access_log"),
    (b"user.lock", "user.lock"),
    (b"user.mmp_trigger", "user.mmp_trigger"),
    (b"user.combo_trades", "user.combo_trades"),
];

fn topic(channel: &[u8]) -> Topic {
    let starts = |prefix: &[u8]| channel.starts_with(prefix);
    // Instrument names contain no dots: `book.<inst>.<interval>`, `book.<inst>.<group>.<depth>.<interval>`.
    if starts(b"book.") {
        return match channel.iter().filter(|byte| **byte == b'.').count() {
            2 => Topic::Market(Channel::Book),
            4 => Topic::Market(Channel::Grouped),
            _ => Topic::Unknown,
        };
    }
    let known = [
        (&b"quote."[..], Topic::Market(Channel::Quote)),
        (b"ticker.", Topic::Market(Channel::Ticker)),
        (b"trades.", Topic::Market(Channel::Trades)),
        (b"instrument.state.", Topic::Market(Channel::State)),
        (b"user.orders.", Topic::Private(PrivateChannel::Orders)),
        (b"user.trades.", Topic::Private(PrivateChannel::Trades)),
        (b"user.changes.", Topic::Private(PrivateChannel::Changes)),
        (b"user.portfolio.", Topic::Private(PrivateChannel::Portfolio)),
    ];
    if let Some((_, topic)) = known.iter().find(|(prefix, _)| starts(prefix)) {
        return *topic;
    }
    IGNORED.iter().find(|(prefix, _)| starts(prefix)).map_or(Topic::Unknown, |(_, kind)| Topic::Ignored(kind))
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
    /// A book message.
    Depth(DepthRow),
    /// A trade.
    Trade { symbol: Symbol, id: u64, price: Num, qty: Num, side: Side, liquidation: Liquidated, time_ms: i64 },
    /// A quote or ticker.
    Ticker(TickerRow),
    /// A change of an instrument's state.
    State { symbol: Symbol },
}

/// Which sides of a trade were liquidations: the flag `M`, `T` or `MT`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Liquidated {
    pub maker: bool,
    pub taker: bool,
}

/// A row of a book channel.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct DepthRow {
    /// Instrument.
    pub symbol: Symbol,
    /// Whole book, or changes.
    pub snapshot: bool,
    /// Bid levels.
    pub bids: Span,
    /// Ask levels.
    pub asks: Span,
    /// `change_id`.
    pub change: u64,
    /// `prev_change_id`, −1 when none.
    pub prev: i64,
    /// `timestamp`, ms.
    pub time_ms: i64,
}

/// A row of quote or ticker. Amounts are null or absent where a side is empty.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct TickerRow {
    /// Instrument.
    pub symbol: Symbol,
    /// `best_bid_price`; some channels write 0 for an empty side.
    pub bid: Option<Num>,
    /// `best_bid_amount`.
    pub bid_qty: Option<Num>,
    /// `best_ask_price`.
    pub ask: Option<Num>,
    /// `best_ask_amount`.
    pub ask_qty: Option<Num>,
    /// `mark_price`.
    pub mark: Option<Num>,
    /// `min_price`: sales below it are not accepted.
    pub min: Option<Num>,
    /// `max_price`: purchases above it are not accepted.
    pub max: Option<Num>,
    /// `index_price`.
    pub index: Option<Num>,
    /// `current_funding`: the 8 h equivalent of what accrues now.
    pub rate: Option<Num>,
    /// `last_price`.
    pub last: Option<Num>,
    /// `open_interest`.
    pub interest: Option<Num>,
    /// `state` is stated and not `open`.
    pub closed: bool,
    /// `timestamp`, ms.
    pub time_ms: i64,
}

/// A frame, understood as far as its envelope goes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Frame<'a> {
    /// A sign of life.
    Heartbeat,
    /// A sign of life that must be answered at once.
    TestRequest,
    /// Rows of a market channel, in [`Parser::items`].
    Market { channel: Channel },
    /// The data of a private channel; of one order alone in [`Parser::only`] as well.
    Private { channel: PrivateChannel, data: Cursor<'a> },
    /// A reply with a result; `id` as text, without quotes.
    Result { id: &'a [u8], data: Cursor<'a> },
    /// A refusal.
    Error { id: &'a [u8], code: i32 },
    /// A documented type that carries nothing for us.
    Ignored(&'static str),
    /// Outside the documented lists.
    Unknown,
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

#[derive(Default)]
struct Params<'a> {
    topic: Option<Topic>,
    kind: &'a [u8],
    data: Option<Cursor<'a>>,
    read: bool,
}

impl Parser {
    /// Room for a full snapshot and a long trade list without allocation.
    pub fn new() -> Self {
        Self { items: Vec::with_capacity(256), levels: Vec::with_capacity(4096), ..Self::default() }
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
        self.book_hint = None;
        self.only = None;
        self.marks = Marks::NONE;
        if let Some(frame) = self.usual(cursor) {
            return Ok(frame);
        }
        self.levels.clear();
        if cursor.kind()? != Kind::Object {
            cursor.skip()?;
            cursor.end()?;
            return Ok(Frame::Unknown);
        }
        let mut params = Params::default();
        let (mut method, mut id): (&[u8], &[u8]) = (b"", b"");
        let (mut result, mut code) = (None, None);
        cursor.object(|key, c| {
            match key {
                b"method" => method = c.string()?,
                b"params" if c.kind()? == Kind::Object => self.params(&mut params, c)?,
                b"id" => id = c.scalar()?.0,
                b"result" => {
                    result = Some(*c);
                    c.skip()?;
                }
                b"error" => code = Some(error_code(c)?),
                _ => c.pass(key, &schema::ENVELOPE)?,
            }
            Ok(())
        })?;
        cursor.end()?;
        if let Some(code) = code {
            return Ok(Frame::Error { id, code });
        }
        if let Some(data) = result {
            return Ok(Frame::Result { id, data });
        }
        match (method, params.topic) {
            (b"heartbeat", _) if params.kind == b"test_request" => Ok(Frame::TestRequest),
            (b"heartbeat", _) => Ok(Frame::Heartbeat),
            (b"subscription", Some(Topic::Market(channel))) => {
                if !params.read {
                    let mut late = params.data.ok_or(DecodeError::Missing("data"))?;
                    self.rows(channel, &mut late)?;
                    cursor.join(&late);
                }
                self.marks = cursor.marks();
                Ok(Frame::Market { channel })
            }
            (b"subscription", Some(Topic::Private(channel))) => {
                Ok(Frame::Private { channel, data: params.data.ok_or(DecodeError::Missing("data"))? })
            }
            (b"subscription", Some(Topic::Ignored(kind))) => Ok(Frame::Ignored(kind)),
            (b"subscription", None) => Err(DecodeError::Missing("channel")),
            _ => Ok(Frame::Unknown),
        }
    }

    fn params<'a>(&mut self, params: &mut Params<'a>, c: &mut Cursor<'a>) -> Result<()> {
        c.object(|key, c| {
            match key {
                b"channel" => {
                    let channel = c.string()?;
                    params.topic = Some(topic(channel));
                    if params.topic == Some(Topic::Market(Channel::Book)) {
                        self.book_hint =
                            channel.split(|byte| *byte == b'.').nth(1).and_then(Symbol::from_bytes);
                    }
                }
                b"type" => params.kind = c.string()?,
                b"data" => match params.topic {
                    Some(Topic::Market(channel)) if !params.read => {
                        self.rows(channel, c)?;
                        params.read = true;
                    }
                    _ => {
                        params.data = Some(*c);
                        let orders = params.topic == Some(Topic::Private(PrivateChannel::Orders));
                        self.only = if orders { c.attempt(only_order) } else { None };
                        if self.only.is_none() {
                            c.skip()?;
                        }
                    }
                },
                _ => c.pass(key, &schema::PARAMS)?,
            }
            Ok(())
        })
    }

    fn rows(&mut self, channel: Channel, c: &mut Cursor<'_>) -> Result<()> {
        let item = match channel {
            Channel::Book | Channel::Grouped => Item::Depth(self.depth(channel == Channel::Grouped, c)?),
            Channel::Quote | Channel::Ticker => Item::Ticker(ticker(c)?),
            Channel::State => state(c)?,
            Channel::Trades => {
                return c.array(|c| {
                    self.items.push(trade(c)?);
                    Ok(())
                });
            }
        };
        self.items.push(item);
        Ok(())
    }

    fn depth(&mut self, grouped: bool, c: &mut Cursor<'_>) -> Result<DepthRow> {
        let mut row = DepthRow { prev: -1, ..DepthRow::default() };
        let (mut bids, mut asks, mut time, mut change, mut kind) = (None, None, None, None, None);
        c.object(|key, c| {
            match key {
                b"bids" => bids = Some(self.side(grouped, c)?),
                b"asks" => asks = Some(self.side(grouped, c)?),
                b"timestamp" => time = Some(c.int("timestamp")?),
                b"change_id" => change = Some(c.uint("change_id")?),
                b"prev_change_id" if c.kind()? == Kind::Null => c.skip()?,
                b"prev_change_id" => row.prev = c.int("prev_change_id")?,
                b"type" => kind = Some(c.string()?),
                b"instrument_name" => row.symbol = symbol(c)?,
                _ => c.pass(key, &schema::BOOK)?,
            }
            Ok(())
        })?;
        row.bids = bids.ok_or(DecodeError::Missing("bids"))?;
        row.asks = asks.ok_or(DecodeError::Missing("asks"))?;
        row.time_ms = time.ok_or(DecodeError::Missing("timestamp"))?;
        row.change = change.ok_or(DecodeError::Missing("change_id"))?;
        row.snapshot = match kind {
            _ if grouped => true,
            Some(b"snapshot") => true,
            Some(b"change") if row.prev >= 0 => false,
            Some(b"change") => return Err(DecodeError::Missing("prev_change_id")),
            Some(_) => return Err(DecodeError::Field("type")),
            // Captures of 2019 and 2020 do not state it.
            None => row.prev < 0,
        };
        if row.symbol.is_empty() {
            return Err(DecodeError::Missing("instrument_name"));
        }
        Ok(row)
    }

    /// `[action, price, amount]`, or `[price, amount]` where books are grouped.
    fn side(&mut self, grouped: bool, c: &mut Cursor<'_>) -> Result<Span> {
        let from = self.levels.len() as u32;
        c.array(|c| {
            if let Some(level) = usual_level(grouped, c) {
                self.levels.push(level);
                return Ok(());
            }
            let (mut column, mut price, mut size) = (usize::from(grouped), Num::ZERO, Num::ZERO);
            let mut delete = false;
            c.array(|c| {
                match column {
                    0 => {
                        delete = match c.string()? {
                            b"delete" => true,
                            b"new" | b"change" => false,
                            _ => return Err(DecodeError::Field("action")),
                        }
                    }
                    1 => price = c.num("price")?,
                    2 => size = c.num("amount")?,
                    _ => c.skip()?,
                }
                column += 1;
                Ok(())
            })?;
            if column < 3 {
                return Err(DecodeError::Missing("amount"));
            }
            // A level that is new or changed has an amount; one that is deleted has none.
            if size.mantissa < 0 || delete != size.is_zero() {
                return Err(DecodeError::Field("amount"));
            }
            self.levels.push((price, size));
            Ok(())
        })?;
        Ok(Span { from, to: self.levels.len() as u32 })
    }

    /// A best bid and ask or a book in the usual layout; `None` says nothing, and the frame is read value by value.
    fn usual<'a>(&mut self, mut c: Cursor<'a>) -> Option<Frame<'a>> {
        c.literal(b"{\"jsonrpc\":\"2.0\",\"method\":\"subscription\",\"params\":{\"channel\":\"")?;
        if c.literal(b"quote.").is_none() {
            c.literal(b"book.")?;
            return self.usual_book(c);
        }
        self.items.push(Item::Ticker(usual_quote(c.rest())?));
        Some(Frame::Market { channel: Channel::Quote })
    }

    /// A message of `book.<instrument>.<interval>`, behind that `book.`.
    fn usual_book<'a>(&mut self, mut c: Cursor<'a>) -> Option<Frame<'a>> {
        if c.quoted_name()?.iter().filter(|byte| **byte == b'.').count() != 1 {
            return None;
        }
        c.literal(b",\"data\":{\"timestamp\":")?;
        let time_ms = c.bare_int()?;
        let snapshot = c.literal(b",\"type\":\"change\"").is_none();
        if snapshot {
            c.literal(b",\"type\":\"snapshot\"")?;
        }
        c.literal(b",\"change_id\":")?;
        let change = c.bare_int()?.unsigned_abs();
        c.literal(b",\"instrument_name\":\"")?;
        let symbol = Symbol::from_bytes(c.quoted_name()?)?;
        c.literal(b",\"bids\":")?;
        let bids = self.side(false, &mut c).ok()?;
        c.literal(b",\"asks\":")?;
        let asks = self.side(false, &mut c).ok()?;
        let prev = match c.literal(b",\"prev_change_id\":") {
            Some(()) => c.bare_int()?,
            None => -1,
        };
        c.literal(b"}}}")?;
        if !c.is_done() || snapshot != (prev < 0) {
            return None;
        }
        self.items.push(Item::Depth(DepthRow { symbol, snapshot, bids, asks, change, prev, time_ms }));
        Some(Frame::Market { channel: Channel::Book })
    }
}

/// A message of `quote.<instrument>`, behind that `quote.`.
#[inline(always)]
fn usual_quote(text: &[u8]) -> Option<TickerRow> {
    let (_, text) = fixed::name(text, b"\",\"data\":{\"timestamp\":")?;
    let (time, text) = text.split_first_chunk()?;
    let time_ms = fixed::millis(time)?;
    let (symbol, text) =
        fixed::name(fixed::behind(text, b",\"instrument_name\":\"")?, b"\",\"best_bid_price\":")?;
    let (bid, text) = fixed::bare(text, b",\"best_bid_amount\":")?;
    let (bid_qty, text) = fixed::bare(text, b",\"best_ask_price\":")?;
    let (ask, text) = fixed::bare(text, b",\"best_ask_amount\":")?;
    let ask_qty = fixed::whole(text.strip_suffix(b"}}}")?)?;
    let symbol = Symbol::from_bytes(symbol)?;
    let (bid, bid_qty, ask, ask_qty) = (Some(bid), Some(bid_qty), Some(ask), Some(ask_qty));
    Some(TickerRow { symbol, bid, bid_qty, ask, ask_qty, time_ms, ..TickerRow::default() })
}

/// `"new",`, `"change",` or `"delete",`: whether it is the last. Without a branch, as no habit foretells which.
#[inline(always)]
fn usual_action(c: &mut Cursor<'_>) -> Option<bool> {
    const NEW: u64 = u64::from_le_bytes(*b"\"new\",\0\0");
    const CHANGE: u64 = u64::from_le_bytes(*b"\"change\"");
    const DELETE: u64 = u64::from_le_bytes(*b"\"delete\"");
    let text = u64::from_le_bytes(c.ahead()?);
    let (new, delete) = (text & 0xffff_ffff_ffff == NEW, text == DELETE);
    if !(new | delete | (text == CHANGE)) {
        return None;
    }
    c.advance(if new { 5 } else { 8 });
    c.literal(b",")?;
    Some(delete)
}

/// A level in its usual form, `["new",61800.5,1000.0]` or `[61800.5,1000.0]`.
#[inline(always)]
fn usual_level(grouped: bool, c: &mut Cursor<'_>) -> Option<Level> {
    let mut ahead = *c;
    ahead.literal(b"[")?;
    let delete = !grouped && usual_action(&mut ahead)?;
    let price = ahead.bare_num()?;
    ahead.literal(b",")?;
    let size = ahead.bare_num()?;
    ahead.literal(b"]")?;
    if delete != size.is_zero() {
        return None;
    }
    *c = ahead;
    Some((price, size))
}

/// One order, in a list or not.
fn only_order(c: &mut Cursor<'_>) -> Result<OrderRow> {
    if c.kind()? == Kind::Array { c.only(rows::order) } else { rows::order(c) }
}

fn trade(c: &mut Cursor<'_>) -> Result<Item> {
    let (mut name, mut id, mut price, mut qty) = (None, None, None, None);
    let (mut way, mut time, mut liquidation) = (None, None, Liquidated::default());
    c.object(|key, c| {
        match key {
            b"instrument_name" => name = Some(symbol(c)?),
            b"trade_id" => id = Some(id_number(c.number()?).ok_or(DecodeError::Field("trade_id"))?),
            b"price" => price = Some(c.num("price")?),
            b"amount" => qty = Some(c.num("amount")?),
            b"direction" => way = Some(side(c)?),
            b"timestamp" => time = Some(c.int("timestamp")?),
            b"liquidation" => {
                let flag = c.word(&schema::LIQUIDATIONS)?;
                liquidation = Liquidated { maker: flag.contains(&b'M'), taker: flag.contains(&b'T') };
            }
            _ => c.pass(key, &schema::TRADE)?,
        }
        Ok(())
    })?;
    Ok(Item::Trade {
        symbol: name.ok_or(DecodeError::Missing("instrument_name"))?,
        id: id.ok_or(DecodeError::Missing("trade_id"))?,
        price: price.ok_or(DecodeError::Missing("price"))?,
        qty: qty.ok_or(DecodeError::Missing("amount"))?,
        side: way.ok_or(DecodeError::Missing("direction"))?,
        liquidation,
        time_ms: time.ok_or(DecodeError::Missing("timestamp"))?,
    })
}

fn ticker(c: &mut Cursor<'_>) -> Result<TickerRow> {
    let mut row = TickerRow::default();
    let mut time = None;
    c.object(|key, c| {
        match key {
            b"instrument_name" => row.symbol = symbol(c)?,
            b"timestamp" => time = Some(c.int("timestamp")?),
            b"best_bid_price" => row.bid = c.num_or_absent("best_bid_price")?,
            b"best_bid_amount" => row.bid_qty = c.num_or_absent("best_bid_amount")?,
            b"best_ask_price" => row.ask = c.num_or_absent("best_ask_price")?,
            b"best_ask_amount" => row.ask_qty = c.num_or_absent("best_ask_amount")?,
            b"last_price" => row.last = c.num_or_absent("last_price")?,
            b"mark_price" => row.mark = c.num_or_absent("mark_price")?,
            b"min_price" => row.min = informative(c, "min_price")?,
            b"max_price" => row.max = informative(c, "max_price")?,
            b"index_price" => row.index = informative(c, "index_price")?,
            b"current_funding" => row.rate = informative(c, "current_funding")?,
            b"open_interest" => row.interest = informative(c, "open_interest")?,
            b"state" => row.closed = c.word(&schema::STATES)? != b"open",
            _ => c.pass(key, &schema::TICKER)?,
        }
        Ok(())
    })?;
    row.time_ms = time.ok_or(DecodeError::Missing("timestamp"))?;
    if row.symbol.is_empty() {
        return Err(DecodeError::Missing("instrument_name"));
    }
    Ok(row)
}

fn state(c: &mut Cursor<'_>) -> Result<Item> {
    let mut name = None;
    c.object(|key, c| {
        match key {
            b"instrument_name" => name = Some(symbol(c)?),
            _ => c.pass(key, &schema::STATE)?,
        }
        Ok(())
    })?;
    Ok(Item::State { symbol: name.ok_or(DecodeError::Missing("instrument_name"))? })
}

fn error_code(c: &mut Cursor<'_>) -> Result<i32> {
    let mut code = None;
    c.object(|key, c| {
        match key {
            b"code" => code = Some(c.int("code")?),
            _ => c.skip()?,
        }
        Ok(())
    })?;
    i32::try_from(code.ok_or(DecodeError::Missing("code"))?).map_err(|_| DecodeError::Field("code"))
}

pub(super) fn side(c: &mut Cursor<'_>) -> Result<Side> {
    match c.string()? {
        b"buy" => Ok(Side::Buy),
        b"sell" => Ok(Side::Sell),
        _ => Err(DecodeError::Field("direction")),
    }
}

fn symbol(c: &mut Cursor<'_>) -> Result<Symbol> {
    match Symbol::from_bytes(c.string()?) {
        Some(symbol) if !symbol.is_empty() => Ok(symbol),
        Some(_) => Err(DecodeError::Missing("instrument_name")),
        None => Err(DecodeError::Field("instrument_name")),
    }
}

/// The number of an order or trade: `42710123456`, `ETH-349249`, `USDC-104819327443`. The part before the
/// dash follows from the instrument, so that the digits alone are unique per instrument.
pub(super) fn id_number(text: &[u8]) -> Option<u64> {
    let digits = text.rsplit(|byte| *byte == b'-').next()?;
    if digits.is_empty() || digits.len() > 19 {
        return None;
    }
    digits
        .iter()
        .try_fold(0u64, |value, byte| byte.is_ascii_digit().then(|| value * 10 + u64::from(byte - b'0')))
}

/// A figure that nothing is booked by, cut to what can be kept (the venue writes binary floats in full);
/// `null` is absent.
pub(super) fn informative(c: &mut Cursor<'_>, name: &'static str) -> Result<Option<Num>> {
    if c.kind()? == Kind::Null {
        return c.skip().map(|()| None);
    }
    cut(c.number()?).map(Some).ok_or(DecodeError::Field(name))
}

/// The number with as many of its decimals as can be kept.
pub(super) fn cut(text: &[u8]) -> Option<Num> {
    match Num::parse(text) {
        Ok(num) => return Some(num),
        Err(NumError::TooLong) => {}
        Err(_) => return None,
    }
    let exponent = text.iter().position(|byte| matches!(byte, b'e' | b'E')).unwrap_or(text.len());
    let point = text.iter().position(|byte| *byte == b'.').unwrap_or(exponent);
    let mut short = [0u8; 64];
    for end in (point + 2..exponent).rev() {
        let len = end + text.len() - exponent;
        let to = short.get_mut(..len)?;
        to[..end].copy_from_slice(&text[..end]);
        to[end..].copy_from_slice(&text[exponent..]);
        if let Ok(num) = Num::parse(to) {
            return Some(num);
        }
    }
    // Smaller than anything that can be kept.
    text[exponent..].starts_with(b"e-").then_some(Num::ZERO)
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn long_floats_are_cut_and_garbage_is_refused() {
        for (text, expected) in [
            ("-2.1714e-4", Some("-0.00021714")),
            ("-4.467407940520975e-5", Some("-0.000044674079405209")),
            ("1.7362511643080387", Some("1.7362511643080387")),
            ("83251.030000000000001234", Some("83251.03")),
            ("1e-30", Some("0")),
            ("abc", None),
            ("", None),
        ] {
            assert_eq!(cut(text.as_bytes()).map(|n| n.to_string()).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_trade_says_which_of_its_sides_were_liquidations() {
        let mut parser = Parser::new();
        for (flag, maker, taker) in
            [("M", true, false), ("T", false, true), ("MT", true, true), ("none", false, false)]
        {
            let frame = format!(
                r#"{{"jsonrpc":"2.0","method":"subscription","params":{{"channel":"trades.BTC-PERPETUAL.100ms","data":[{{"trade_seq":1,"trade_id":"7","timestamp":5,"price":1.5,"instrument_name":"BTC-PERPETUAL","direction":"sell","amount":10.0,"liquidation":"{flag}"}}]}}}}"#
            );
            let mut full = Full::new();
            let read = parser.parse(frame.as_bytes(), &mut full);
            assert!(matches!(read, Ok(Frame::Market { channel: Channel::Trades })));
            let [Item::Trade { liquidation, .. }] = parser.items[..] else { panic!("{:?}", parser.items) };
            assert_eq!(liquidation, Liquidated { maker, taker }, "{flag}");
            assert!(parser.marks.is_empty());
        }
    }

    #[test]
    fn ids_are_their_digits() {
        assert_eq!(id_number(b"USDC-104819327443"), Some(104_819_327_443));
        assert_eq!(id_number(b"267258393"), Some(267_258_393));
        for bad in ["", "ETH-", "ETH-12a", "99999999999999999999"] {
            assert_eq!(id_number(bad.as_bytes()), None, "{bad}");
        }
    }
}
