//! The stateless parser: raw and combined stream frames, arrays of events, REST depth and open interest.
//!
//! One pass over the bytes collects single-letter fields and depth levels; the event type is looked up
//! afterwards, because key order is not promised. Nothing is emitted before the whole frame was found to be
//! well-formed. Keys that are not read are passed over, and marked where `schema` does not list them.

use super::continuity::{BinanceContinuity, DEPTH, PARTIAL_DEPTH, REST_DEPTH};
use super::schema;
use crate::domain::number::Num;
use crate::domain::order::Side;
use crate::venue::drift::Marks;
use crate::venue::full::Full;
use crate::venue::json::{Cursor, Kind};
use crate::venue::message::{Continuity, DecodeError, Decoder, Depth, Level, Message};
use std::cell::Cell;
use std::fmt::Write;

/// Documented event types that carry nothing for us.
pub const IGNORED: &[&str] = &[
    "kline",
    "continuous_kline",
    "indexPrice_kline",
    "markPrice_kline",
    "indexPriceUpdate",
    "24hrMiniTicker",
    "1hTicker",
    "4hTicker",
    "avgPrice",
    "assetIndexUpdate",
    "compositeIndex",
    "contractInfo",
    "tradingSession",
    "serverShutdown",
];

/// Documented event types of the user stream.
pub const PRIVATE: &[&str] = &[
    "ORDER_TRADE_UPDATE",
    "TRADE_LITE",
    "ACCOUNT_UPDATE",
    "ACCOUNT_CONFIG_UPDATE",
    "MARGIN_CALL",
    "ALGO_UPDATE",
    "STRATEGY_UPDATE",
    "GRID_UPDATE",
    "CONDITIONAL_ORDER_TRIGGER_REJECT",
    "listenKeyExpired",
    "eventStreamTerminated",
];

/// Levels of a side for which there is room from the start.
const LEVELS_ROOM: usize = 1024;

type Result<T> = std::result::Result<T, DecodeError>;

/// Text of the single-letter fields `A`…`z` of one event, and the few longer ones.
pub(super) struct Fields<'a> {
    letters: [&'a [u8]; 58],
    /// Bit per letter: the value stood in quotes.
    quoted: u64,
    /// Bit per letter: the key was there.
    seen: u64,
    prev: &'a [u8],
    stream: &'a [u8],
    symbol: &'a [u8],
    last_update_id: &'a [u8],
    open_interest: &'a [u8],
    time: &'a [u8],
    /// What else was there; see the `HAS_` constants.
    has: u16,
    /// Why the levels could not be read, if the event turns out to have levels.
    bad_levels: Option<DecodeError>,
    /// `data` was an array, or came before `stream`: where it stands.
    late_data: Option<Cursor<'a>>,
}

const HAS_ID: u16 = 1;
const HAS_RESULT: u16 = 1 << 1;
const HAS_ERROR: u16 = 1 << 2;
const HAS_STATUS: u16 = 1 << 3;
const HAS_SYMBOLS: u16 = 1 << 4;
const HAS_LISTEN_KEY: u16 = 1 << 5;
const HAS_ORDER_ID: u16 = 1 << 6;
const HAS_BIDS: u16 = 1 << 7;
const HAS_ASKS: u16 = 1 << 8;
const HAS_CODE: u16 = 1 << 9;
const HAS_MSG: u16 = 1 << 10;
const HAS_METHOD: u16 = 1 << 11;

impl<'a> Fields<'a> {
    /// None yet.
    pub(super) const fn new() -> Self {
        Self {
            letters: [&[]; 58],
            quoted: 0,
            seen: 0,
            prev: &[],
            stream: &[],
            symbol: &[],
            last_update_id: &[],
            open_interest: &[],
            time: &[],
            has: 0,
            bad_levels: None,
            late_data: None,
        }
    }

    /// The single-letter fields of an object, arrays and objects as raw text; everything else is passed over.
    pub(super) fn scan(text: &'a [u8]) -> Result<Self> {
        let (mut fields, mut cursor) = (Self::new(), Cursor::new(text));
        cursor.object(|key, cursor| fields.letter(key, cursor))?;
        cursor.end()?;
        Ok(fields)
    }

    /// Takes the value of one key.
    #[inline]
    pub(super) fn letter(&mut self, key: &'a [u8], cursor: &mut Cursor<'a>) -> Result<()> {
        match key {
            [letter @ (b'A'..=b'Z' | b'a'..=b'z')] => {
                let index = usize::from(letter - b'A');
                let (text, quoted) = value(cursor)?;
                self.letters[index] = text;
                self.quoted |= u64::from(quoted) << index;
                Ok(())
            }
            _ => cursor.skip(),
        }
    }

    #[inline]
    pub(super) fn get(&self, letter: u8) -> &'a [u8] {
        self.letters[usize::from(letter - b'A')]
    }

    #[inline]
    fn is_quoted(&self, letter: u8) -> bool {
        self.quoted & (1 << (letter - b'A')) != 0
    }

    #[inline]
    pub(super) fn required(&self, letter: u8, name: &'static str) -> Result<&'a [u8]> {
        match self.get(letter) {
            [] => Err(DecodeError::Missing(name)),
            text => Ok(text),
        }
    }

    /// The symbol: a non-empty string.
    #[inline]
    pub(super) fn name(&self) -> Result<&'a [u8]> {
        let text = self.required(b's', "s")?;
        if self.is_quoted(b's') { Ok(text) } else { Err(DecodeError::Field("s")) }
    }

    /// A decimal that is not negative.
    #[inline]
    pub(super) fn num(&self, letter: u8, name: &'static str) -> Result<Num> {
        positive(self.required(letter, name)?, name)
    }

    fn optional(&self, letter: u8, name: &'static str) -> Result<Option<Num>> {
        match self.get(letter) {
            b"" | b"null" => Ok(None),
            text => Num::parse(text).map(Some).map_err(|_| DecodeError::Field(name)),
        }
    }

    #[inline]
    pub(super) fn uint(&self, letter: u8, name: &'static str) -> Result<u64> {
        uint(self.required(letter, name)?, name)
    }

    /// Milliseconds; 0 when absent.
    #[inline]
    pub(super) fn millis(&self, letter: u8, name: &'static str) -> Result<i64> {
        match self.get(letter) {
            b"" => Ok(0),
            text => int(text, name),
        }
    }

    /// Matching engine time, or the time of the push where there is no other.
    #[inline]
    pub(super) fn time(&self) -> Result<i64> {
        if self.get(b'T').is_empty() { self.millis(b'E', "E") } else { self.millis(b'T', "T") }
    }

    /// Side of the taker: `m` tells whether the buyer was the maker.
    fn aggressor(&self) -> Result<Side> {
        match self.required(b'm', "m")? {
            b"true" if !self.is_quoted(b'm') => Ok(Side::Sell),
            b"false" if !self.is_quoted(b'm') => Ok(Side::Buy),
            _ => Err(DecodeError::Field("m")),
        }
    }
}

fn positive(text: &[u8], name: &'static str) -> Result<Num> {
    match Num::parse(text) {
        Ok(num) if num.mantissa >= 0 => Ok(num),
        _ => Err(DecodeError::Field(name)),
    }
}

/// An integer; the text is a scalar's.
#[inline]
pub(super) fn int(text: &[u8], name: &'static str) -> Result<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    if digits.is_empty() || digits.len() > 18 || !digits.iter().all(u8::is_ascii_digit) {
        return Err(DecodeError::Field(name));
    }
    let value = digits.iter().fold(0i64, |value, byte| value * 10 + i64::from(byte - b'0'));
    Ok(if negative { -value } else { value })
}

/// An integer that is not negative.
#[inline]
pub(super) fn uint(text: &[u8], name: &'static str) -> Result<u64> {
    u64::try_from(int(text, name)?).map_err(|_| DecodeError::Field(name))
}

/// The parser with its scratch space.
#[derive(Debug)]
pub struct Parser {
    bids: Vec<Level>,
    asks: Vec<Level>,
    strange: Strange,
}

/// What the last frame held beyond the documentation of its events.
#[derive(Debug, Default)]
struct Strange {
    /// Single-letter keys, as in [`Fields`].
    letters: Cell<u64>,
    /// Whether there was an event of the market at all: other frames have no list of their keys.
    event: Cell<bool>,
    marks: Marks,
}

impl Strange {
    /// An event of the market whose keys are known.
    #[inline]
    fn event(&self, seen: u64, known: u64) {
        self.event.set(true);
        self.letters.set(self.letters.get() | seen & !known);
    }

    #[inline]
    fn clear(&mut self) {
        *self = Self::default();
    }

    /// The frame was read; the reader marked its longer keys.
    #[inline]
    fn end(&mut self, reader: &Cursor<'_>) {
        if self.event.get() {
            self.marks = reader.marks();
            if self.letters.get() != 0 && !reader.is_anew() {
                self.find_letters(reader.text());
            }
        }
    }

    #[cold]
    fn find_letters(&mut self, frame: &[u8]) {
        for letter in (b'A'..=b'z').filter(|letter| self.letters.get() >> (letter - b'A') & 1 != 0) {
            let key = [b'"', letter, b'"'];
            // The first one that is no value.
            let mut places = memchr::memmem::find_iter(frame, &key);
            let is_key = |at: &usize| frame[at + 3..].trim_ascii_start().first() == Some(&b':');
            if let Some(at) = places.find(is_key) {
                self.marks.add(at + 1, frame);
            }
        }
    }
}

impl Default for Parser {
    fn default() -> Self {
        Self {
            bids: Vec::with_capacity(LEVELS_ROOM),
            asks: Vec::with_capacity(LEVELS_ROOM),
            strange: Strange::default(),
        }
    }
}

impl Parser {
    /// Parses one frame or HTTP body and hands every message to `emit`.
    ///
    /// # Errors
    /// When the frame is not JSON, or an event of a known type lacks fields or has wrong ones; events of an
    /// array that precede the bad one were emitted.
    #[inline]
    pub fn parse(&mut self, frame: &[u8], mut emit: impl FnMut(&Message<'_>)) -> Result<()> {
        self.strange.clear();
        let Self { bids, asks, .. } = self;
        if let Some(message) = super::fast::book_ticker(frame) {
            emit(&message);
            return Ok(());
        }
        let short = super::fast::depth_update(frame, bids, asks).or_else(|| super::fast::agg_trade(frame));
        if let Some(message) = short {
            emit(&message);
            return Ok(());
        }
        self.parse_at_leisure(frame, &mut emit)
    }

    /// [`Parser::parse`] without the short cuts for usual layouts.
    #[inline(never)]
    fn parse_at_leisure(&mut self, frame: &[u8], emit: &mut impl FnMut(&Message<'_>)) -> Result<()> {
        let mut full = Full::new();
        let mut emitted = 0;
        full.read(frame, |cursor| {
            // Events of an array that were already handed out are not handed out again.
            let (mut at, before) = (0, emitted);
            self.parse_general(cursor, &mut |message: &Message<'_>| {
                at += 1;
                if at > before {
                    emitted += 1;
                    emit(message);
                }
            })
        })
    }

    /// One reading, from wherever the text stands.
    pub(super) fn parse_general(
        &mut self,
        mut cursor: Cursor<'_>,
        emit: &mut impl FnMut(&Message<'_>),
    ) -> Result<()> {
        self.strange.clear();
        match cursor.kind()? {
            Kind::Object => {
                let mut fields = Fields::new();
                self.read(&mut cursor, &mut fields, true)?;
                cursor.end()?;
                match fields.late_data.take() {
                    Some(data) => self.late(data, fields.stream, emit),
                    None => {
                        self.event(&fields, emit)?;
                        self.strange.end(&cursor);
                        Ok(())
                    }
                }
            }
            Kind::Array => {
                let start = cursor;
                cursor.skip()?;
                cursor.end()?;
                self.late(start, b"", emit)
            }
            Kind::Null => {
                cursor.skip()?;
                cursor.end()?;
                emit(&Message::Ignored { kind: "null" });
                Ok(())
            }
            _ => cursor.bad(),
        }
    }

    /// An object or array of events that was already found to be well-formed.
    fn late<'a>(
        &mut self,
        mut at: Cursor<'a>,
        stream: &'a [u8],
        emit: &mut impl FnMut(&Message<'_>),
    ) -> Result<()> {
        if at.kind()? != Kind::Array {
            let mut fields = Fields::new();
            self.read(&mut at, &mut fields, false)?;
            fields.stream = stream;
            self.event(&fields, emit)?;
            self.strange.end(&at);
            return Ok(());
        }
        let mut count = 0;
        at.array(|at| {
            count += 1;
            if at.kind()? != Kind::Object {
                at.skip()?;
                if count == 1 {
                    emit(&Message::Unknown);
                }
                return Ok(());
            }
            let mut fields = Fields::new();
            self.read(at, &mut fields, false)?;
            fields.stream = stream;
            self.event(&fields, emit)
        })?;
        if count == 0 {
            emit(&Message::Ignored { kind: "empty" });
        }
        self.strange.end(&at);
        Ok(())
    }

    /// Collects the fields of an object; `data` of a combined frame into the same fields.
    #[inline]
    fn read<'a>(&mut self, cursor: &mut Cursor<'a>, fields: &mut Fields<'a>, top: bool) -> Result<()> {
        cursor.object(|key, cursor| match key {
            b"b" | b"a" if cursor.kind()? == Kind::Array => self.levels(key[0] == b'b', cursor, fields),
            [letter @ (b'A'..=b'Z' | b'a'..=b'z')] => {
                let index = usize::from(letter - b'A');
                let (text, quoted) = value(cursor)?;
                fields.letters[index] = text;
                fields.quoted |= u64::from(quoted) << index;
                fields.seen |= 1 << index;
                Ok(())
            }
            b"pu" => value(cursor).map(|(text, _)| fields.prev = text),
            b"stream" if top => cursor.string().map(|text| fields.stream = text),
            b"data" if top => {
                if cursor.kind()? == Kind::Object && !fields.stream.is_empty() {
                    return self.read(cursor, fields, false);
                }
                fields.late_data = matches!(cursor.kind()?, Kind::Object | Kind::Array).then_some(*cursor);
                cursor.skip()
            }
            b"bids" if cursor.kind()? == Kind::Array => {
                fields.has |= HAS_BIDS;
                self.levels(true, cursor, fields)
            }
            b"asks" if cursor.kind()? == Kind::Array => {
                fields.has |= HAS_ASKS;
                self.levels(false, cursor, fields)
            }
            b"lastUpdateId" => value(cursor).map(|(text, _)| fields.last_update_id = text),
            b"symbol" => value(cursor).map(|(text, _)| fields.symbol = text),
            b"openInterest" => value(cursor).map(|(text, _)| fields.open_interest = text),
            b"time" => value(cursor).map(|(text, _)| fields.time = text),
            _ => {
                fields.has |= match key {
                    b"id" => HAS_ID,
                    b"result" => HAS_RESULT,
                    b"error" => HAS_ERROR,
                    b"status" => HAS_STATUS,
                    b"symbols" => HAS_SYMBOLS,
                    b"listenKey" => HAS_LISTEN_KEY,
                    b"orderId" => HAS_ORDER_ID,
                    b"code" => HAS_CODE,
                    b"msg" => HAS_MSG,
                    b"method" => HAS_METHOD,
                    _ => {
                        cursor.expect(key, &schema::LONG);
                        0
                    }
                };
                cursor.skip()
            }
        })
    }

    /// Reads levels; when they are none (an event of another type), passes over the value instead.
    #[inline]
    fn levels<'a>(&mut self, bids: bool, cursor: &mut Cursor<'a>, fields: &mut Fields<'a>) -> Result<()> {
        let start = *cursor;
        let side = if bids { &mut self.bids } else { &mut self.asks };
        match read_levels(cursor, side, if bids { "b" } else { "a" }) {
            Ok(()) => {
                fields.seen |= 1 << (if bids { b'b' } else { b'a' } - b'A');
                fields.has |= if bids { HAS_BIDS } else { HAS_ASKS };
                Ok(())
            }
            Err(error) => {
                fields.bad_levels = Some(error);
                *cursor = start;
                cursor.skip()
            }
        }
    }

    /// What the last frame held beyond the documentation of its events.
    #[inline]
    pub fn marks(&self) -> Marks {
        self.strange.marks
    }

    #[inline]
    fn event(&self, fields: &Fields<'_>, emit: &mut impl FnMut(&Message<'_>)) -> Result<()> {
        let message = match fields.get(b'e') {
            b"bookTicker" => Message::Bbo {
                symbol: fields.name()?,
                id: fields.uint(b'u', "u")?,
                bid: (fields.num(b'b', "b")?, fields.num(b'B', "B")?),
                ask: (fields.num(b'a', "a")?, fields.num(b'A', "A")?),
                time_ms: fields.time()?,
            },
            b"depthUpdate" => self.depth(fields)?,
            b"aggTrade" => trade(fields, "aggTrade", b'a')?,
            b"trade" => trade(fields, "trade", b't')?,
            b"markPriceUpdate" => Message::Mark {
                channel: "markPrice",
                symbol: fields.name()?,
                mark: fields.optional(b'p', "p")?,
                index: fields.optional(b'i', "i")?,
                settle: fields.optional(b'P', "P")?,
                rate: fields.optional(b'r', "r")?,
                funding_ms: fields.millis(b'T', "T")?,
                next_funding_ms: 0,
                time_ms: fields.millis(b'E', "E")?,
            },
            b"24hrTicker" => Message::Ticker {
                symbol: fields.name()?,
                last: fields.optional(b'c', "c")?,
                bid: fields.optional(b'b', "b")?,
                ask: fields.optional(b'a', "a")?,
                time_ms: fields.millis(b'E', "E")?,
            },
            b"forceOrder" => liquidation(fields, &self.strange)?,
            b"" => self.bare(fields)?,
            other => match listed(IGNORED, other) {
                Some(kind) => Message::Ignored { kind },
                None => listed(PRIVATE, other).map_or(Message::Unknown, |kind| Message::Private { kind }),
            },
        };
        let known = match message {
            Message::Bbo { .. } => schema::BOOK_TICKER,
            Message::Depth(ref depth) if depth.channel != REST_DEPTH => schema::DEPTH,
            Message::Trade { channel: "aggTrade", .. } => schema::AGG_TRADE,
            Message::Trade { .. } => schema::TRADE,
            Message::Mark { .. } => schema::MARK,
            Message::Ticker { .. } => schema::TICKER,
            Message::Liquidation { .. } => schema::FORCE,
            _ => {
                emit(&message);
                return Ok(());
            }
        };
        self.strange.event(fields.seen, known);
        emit(&message);
        Ok(())
    }

    fn depth<'a>(&'a self, fields: &Fields<'a>) -> Result<Message<'a>> {
        let (bids, asks) = self.sides(fields, "b", "a")?;
        let (first, last) = (fields.uint(b'U', "U")?, fields.uint(b'u', "u")?);
        if first > last {
            return Err(DecodeError::Field("U"));
        }
        let partial = is_partial(fields.stream);
        Ok(Message::Depth(Depth {
            channel: if partial { PARTIAL_DEPTH } else { DEPTH },
            symbol: fields.name()?,
            snapshot: partial,
            first,
            last,
            prev: if fields.prev.is_empty() { -1 } else { int(fields.prev, "pu")? },
            checksum: None,
            bids,
            asks,
            time_ms: fields.time()?,
        }))
    }

    fn sides<'a>(
        &'a self,
        fields: &Fields<'_>,
        bids: &'static str,
        asks: &'static str,
    ) -> Result<(&'a [Level], &'a [Level])> {
        if let Some(error) = fields.bad_levels {
            return Err(error);
        }
        if fields.has & HAS_BIDS == 0 {
            return Err(DecodeError::Missing(bids));
        }
        if fields.has & HAS_ASKS == 0 {
            return Err(DecodeError::Missing(asks));
        }
        Ok((&self.bids, &self.asks))
    }

    /// Messages without an event type: replies.
    fn bare<'a>(&'a self, fields: &Fields<'a>) -> Result<Message<'a>> {
        let has = |bit| fields.has & bit != 0;
        if !fields.last_update_id.is_empty() {
            let (bids, asks) = self.sides(fields, "bids", "asks")?;
            return Ok(Message::Depth(Depth {
                channel: REST_DEPTH,
                symbol: fields.symbol,
                snapshot: true,
                first: 0,
                last: uint(fields.last_update_id, "lastUpdateId")?,
                prev: -1,
                checksum: None,
                bids,
                asks,
                time_ms: fields.time()?,
            }));
        }
        if !fields.open_interest.is_empty() {
            return Ok(Message::OpenInterest {
                symbol: if fields.symbol.is_empty() {
                    return Err(DecodeError::Missing("symbol"));
                } else {
                    fields.symbol
                },
                qty: positive(fields.open_interest, "openInterest")?,
                time_ms: if fields.time.is_empty() { 0 } else { int(fields.time, "time")? },
            });
        }
        Ok(if has(HAS_ID) && has(HAS_STATUS) {
            Message::Private { kind: "ws-api reply" }
        } else if has(HAS_ID) && has(HAS_METHOD) {
            Message::Ignored { kind: "request" }
        } else if has(HAS_ID) && has(HAS_RESULT) {
            Message::Ignored { kind: "ack" }
        } else if has(HAS_ERROR) || (has(HAS_CODE) && has(HAS_MSG)) {
            Message::Ignored { kind: "refusal" }
        } else if has(HAS_SYMBOLS) {
            Message::Ignored { kind: "exchangeInfo" }
        } else if has(HAS_LISTEN_KEY) {
            Message::Private { kind: "listenKey" }
        } else if has(HAS_ORDER_ID) {
            Message::Private { kind: "order" }
        } else {
            Message::Unknown
        })
    }
}

/// Any value as text: scalars without quotes, objects and arrays raw.
#[inline]
fn value<'a>(cursor: &mut Cursor<'a>) -> Result<(&'a [u8], bool)> {
    match cursor.kind()? {
        Kind::Object | Kind::Array => Ok((cursor.raw()?, false)),
        _ => cursor.scalar(),
    }
}

/// `[["price","quantity"],…]`; further elements of a level are passed over.
#[inline]
fn read_levels(cursor: &mut Cursor<'_>, side: &mut Vec<Level>, name: &'static str) -> Result<()> {
    if super::fast::levels(cursor, side).is_some() {
        return Ok(());
    }
    side.clear();
    cursor.array(|cursor| {
        let (mut level, mut count) = ((Num::ZERO, Num::ZERO), 0u32);
        cursor.array(|cursor| {
            match count {
                0 => level.0 = cursor.num(name)?,
                1 => level.1 = cursor.num(name)?,
                _ => cursor.skip()?,
            }
            count += 1;
            Ok(())
        })?;
        if count < 2 || level.0.mantissa <= 0 || level.1.mantissa < 0 {
            return Err(DecodeError::Field(name));
        }
        side.push(level);
        Ok(())
    })
}

fn trade<'a>(fields: &Fields<'a>, channel: &'static str, id: u8) -> Result<Message<'a>> {
    Ok(Message::Trade {
        channel,
        symbol: fields.name()?,
        id: fields.uint(id, if id == b'a' { "a" } else { "t" })?,
        price: fields.num(b'p', "p")?,
        qty: fields.num(b'q', "q")?,
        aggressor: fields.aggressor()?,
        time_ms: fields.time()?,
    })
}

fn liquidation<'a>(fields: &Fields<'a>, strange: &Strange) -> Result<Message<'a>> {
    let mut order = Fields::new();
    let mut cursor = Cursor::new(fields.required(b'o', "o")?);
    if cursor.kind()? != Kind::Object {
        return Err(DecodeError::Field("o"));
    }
    let mut reader = Parser { bids: Vec::new(), asks: Vec::new(), strange: Strange::default() };
    reader.read(&mut cursor, &mut order, false)?;
    strange.event(order.seen, schema::FORCE_ORDER);
    Ok(Message::Liquidation {
        symbol: order.name()?,
        side: side(order.required(b'S', "S")?)?,
        price: order.num(b'p', "p")?,
        qty: order.num(b'q', "q")?,
        time_ms: order.time()?,
    })
}

/// `BUY` or `SELL`.
pub(super) fn side(text: &[u8]) -> Result<Side> {
    match text {
        b"BUY" => Ok(Side::Buy),
        b"SELL" => Ok(Side::Sell),
        _ => Err(DecodeError::Field("S")),
    }
}

fn listed(list: &'static [&'static str], name: &[u8]) -> Option<&'static str> {
    list.iter().copied().find(|known| known.as_bytes() == name)
}

/// `<symbol>@depth5`, `10` and `20` have the same event type and fields as differences: only the stream
/// name tells them apart.
fn is_partial(stream: &[u8]) -> bool {
    let Some(at) = memchr::memchr(b'@', stream) else { return false };
    stream[at + 1..].strip_prefix(b"depth").is_some_and(|rest| rest.first().is_some_and(u8::is_ascii_digit))
}

/// [`Parser`] for the `decode` and `book` commands.
#[derive(Debug, Default)]
pub struct BinanceDecoder {
    parser: Parser,
}

impl Decoder for BinanceDecoder {
    fn decode(&mut self, frame: &[u8], emit: &mut dyn FnMut(&Message<'_>)) -> Result<()> {
        self.parser.parse(frame, emit)
    }

    fn marks(&self) -> Marks {
        self.parser.marks()
    }

    fn continuity(&self) -> Box<dyn Continuity> {
        Box::new(BinanceContinuity::default())
    }

    fn channel(&self, message: &Message<'_>) -> &'static str {
        match message {
            Message::Depth(depth) => depth.channel,
            Message::Trade { channel, .. } | Message::Mark { channel, .. } => channel,
            Message::Bbo { .. } => "bookTicker",
            Message::OpenInterest { .. } => "openInterest",
            Message::Liquidation { .. } => "forceOrder",
            other => other.type_name(),
        }
    }

    fn oracle_line(&self, message: &Message<'_>, out: &mut String) -> bool {
        out.clear();
        match message {
            Message::Depth(depth) if !depth.snapshot => write!(
                out,
                "D|{}|{}|{}|{}|{}|{}|{}",
                text(depth.symbol),
                depth.first,
                depth.last,
                depth.prev,
                depth.bids.len(),
                depth.asks.len(),
                depth.time_ms
            ),
            Message::Bbo { symbol, id, bid, ask, time_ms } => {
                write!(out, "Q|{}|{id}|{}|{}|{}|{}|{time_ms}", text(symbol), bid.0, bid.1, ask.0, ask.1)
            }
            Message::Trade { symbol, id, price, qty, aggressor, time_ms, .. } => {
                let maker = u8::from(*aggressor == Side::Sell);
                write!(out, "T|{}|{id}|{price}|{qty}|{maker}|{time_ms}", text(symbol))
            }
            Message::Mark { symbol, mark, index, settle, rate, funding_ms, time_ms, .. } => {
                write!(out, "M|{}", text(symbol))
                    .and_then(|()| {
                        [mark, index, settle, rate].iter().try_for_each(|part| match part {
                            Some(num) => write!(out, "|{num}"),
                            None => write!(out, "|-"),
                        })
                    })
                    .and_then(|()| write!(out, "|{funding_ms}|{time_ms}"))
            }
            _ => return false,
        }
        .is_ok()
    }
}

fn text(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}
