//! Frames of Hyperliquid to rows: one pass over borrowed bytes, no allocation, any key order and spacing.
//!
//! The hot channels (`bbo`, `l2Book`, `trades`, `activeAssetCtx`) are read by their schema while `channel`
//! comes first, as the venue writes it; else `data` is remembered and read once the channel is known. What
//! is not understood falls to the checking skip of the cursor.

use super::schema;
use crate::domain::number::Num;
use crate::domain::order::Side;
use crate::domain::text::Symbol;
use crate::venue::drift::Marks;
use crate::venue::full::Full;
use crate::venue::json::{Cursor, Kind};
use crate::venue::message::{DecodeError, Level};

/// Result of parsing.
pub(super) type Result<T> = std::result::Result<T, DecodeError>;

/// A public channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Channel {
    Book,
    Bbo,
    Trades,
    Ctx,
}

/// A private channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PrivateChannel {
    Orders,
    Fills,
    Fundings,
    Post,
}

impl PrivateChannel {
    /// As the venue names it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Orders => "orderUpdates",
            Self::Fills => "userFills",
            Self::Fundings => "userFundings",
            Self::Post => "post",
        }
    }
}

/// What a frame is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Frame<'a> {
    /// Rows are in [`Parser::items`].
    Market,
    /// The cursor stands at `data`.
    Private(PrivateChannel, Cursor<'a>),
    /// A subscription was acknowledged.
    Subscribed,
    /// An unsubscription was acknowledged.
    Unsubscribed,
    /// The text of an error, escapes unresolved.
    Error(&'a [u8]),
    Pong,
    /// A documented type that carries nothing for us.
    Ignored(&'static str),
    /// An HTTP body of private content, shown by type.
    RestPrivate(&'static str),
    Unknown,
}

/// Levels in [`Parser::levels`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    from: u32,
    to: u32,
}

/// A row of a market frame.
#[derive(Clone, Copy, Debug)]
pub(super) enum Item {
    Book { symbol: Symbol, bids: Span, asks: Span, time_ms: i64, rest: bool },
    Bbo { symbol: Symbol, bid: Option<Level>, ask: Option<Level>, time_ms: i64 },
    Trade { symbol: Symbol, id: u64, price: Num, qty: Num, side: Side, time_ms: i64 },
    Ctx { symbol: Symbol, mark: Option<Num>, oracle: Option<Num>, rate: Option<Num>, interest: Option<Num> },
}

impl Item {
    /// A book or best prices: nothing else may hide that these are silent.
    pub const fn is_core(&self) -> bool {
        matches!(self, Self::Book { .. } | Self::Bbo { .. })
    }
}

/// The envelope parser and its scratch space.
#[derive(Debug, Default)]
pub(super) struct Parser {
    /// Rows of the last market frame.
    pub items: Vec<Item>,
    levels: Vec<Level>,
    /// The book that the last frame was about, as far as it could be read.
    pub book_hint: Option<Symbol>,
    /// What the last frame held beyond its documentation; complete for market frames.
    pub marks: Marks,
}

/// What a channel name says.
#[derive(Clone, Copy)]
enum Topic {
    Market(Channel),
    Private(PrivateChannel),
    Subscription,
    Error,
    Pong,
    Ignored(&'static str),
    Unknown,
}

fn topic(channel: &[u8]) -> Topic {
    const IGNORED: [&str; 18] = [
        "allMids",
        "candle",
        "activeSpotAssetCtx",
        "activeAssetData",
        "fastAssetCtxs",
        "notification",
        "user",
        "userEvents",
        "userNonFundingLedgerUpdates",
        "clearinghouseState",
        "openOrders",
        "webData2",
        "webData3",
        "userTwapSliceFills",
        "userTwapHistory",
        "twapStates",
        "allDexsAssetCtxs",
        "spotState",
    ];
    match channel {
        b"bbo" => Topic::Market(Channel::Bbo),
        b"l2Book" => Topic::Market(Channel::Book),
        b"trades" => Topic::Market(Channel::Trades),
        b"activeAssetCtx" => Topic::Market(Channel::Ctx),
        b"orderUpdates" => Topic::Private(PrivateChannel::Orders),
        b"userFills" => Topic::Private(PrivateChannel::Fills),
        b"userFundings" => Topic::Private(PrivateChannel::Fundings),
        b"post" => Topic::Private(PrivateChannel::Post),
        b"subscriptionResponse" => Topic::Subscription,
        b"error" => Topic::Error,
        b"pong" => Topic::Pong,
        other => match IGNORED.iter().find(|name| name.as_bytes() == other) {
            Some(name) => Topic::Ignored(name),
            None => Topic::Unknown,
        },
    }
}

/// What an HTTP body is, by a key that no other kind has.
fn rest_kind(key: &[u8]) -> Option<Frame<'static>> {
    Some(match key {
        b"universe" => Frame::Ignored("info-meta"),
        b"mids" | b"cumVlm" | b"role" | b"tokens" => Frame::Ignored("info"),
        b"assetPositions" | b"marginSummary" | b"balances" => Frame::RestPrivate("info-state"),
        b"status" => Frame::RestPrivate("exchange"),
        _ => return None,
    })
}

impl Parser {
    /// Room for full snapshots and a long trade list without allocation.
    pub fn new() -> Self {
        Self { items: Vec::with_capacity(256), levels: Vec::with_capacity(256), ..Self::default() }
    }

    /// The levels of a span.
    pub fn span(&self, span: Span) -> &[Level] {
        &self.levels[span.from as usize..span.to as usize]
    }

    /// Reads a frame or an HTTP body; `full` is where it stands if it is not as venues usually write.
    #[inline]
    pub fn parse<'a>(&mut self, text: &'a [u8], full: &'a mut Full) -> Result<Frame<'a>> {
        if text == b"Websocket connection established." {
            self.items.clear();
            self.marks = Marks::NONE;
            return Ok(Frame::Ignored("greeting"));
        }
        full.read(text, |cursor| self.frame(cursor))
    }

    fn frame<'a>(&mut self, mut cursor: Cursor<'a>) -> Result<Frame<'a>> {
        self.items.clear();
        self.levels.clear();
        self.book_hint = None;
        self.marks = Marks::NONE;
        if let Some(frame) = self.usual(cursor) {
            return Ok(frame);
        }
        match cursor.kind()? {
            Kind::Object => {}
            kind => {
                // Lists are HTTP bodies; a bare value may be JSON, but never a message.
                cursor.skip()?;
                cursor.end()?;
                return Ok(if kind == Kind::Array { Frame::Ignored("info") } else { Frame::Unknown });
            }
        }
        let start = cursor;
        let mut meaning: Option<Topic> = None;
        let mut data: Option<Cursor<'a>> = None;
        let (mut read, mut rest, mut book) = (false, None, false);
        cursor.object(|key, c| {
            match key {
                b"channel" => meaning = Some(topic(c.string()?)),
                b"data" => match meaning {
                    Some(Topic::Market(channel)) if !read => {
                        self.rows(channel, c)?;
                        read = true;
                    }
                    _ => {
                        data = Some(*c);
                        c.skip()?;
                    }
                },
                _ => {
                    book |= key == b"levels";
                    rest = rest.or_else(|| rest_kind(key));
                    c.pass(key, &schema::ENVELOPE)?;
                }
            }
            Ok(())
        })?;
        cursor.end()?;
        let needed = |data: Option<Cursor<'a>>| data.ok_or(DecodeError::Missing("data"));
        match meaning {
            Some(Topic::Market(channel)) => {
                if !read {
                    let mut late = needed(data)?;
                    self.rows(channel, &mut late)?;
                    cursor.join(&late);
                }
                self.marks = cursor.marks();
                Ok(Frame::Market)
            }
            Some(Topic::Private(channel)) => Ok(Frame::Private(channel, needed(data)?)),
            Some(Topic::Subscription) => subscription(&mut needed(data)?),
            Some(Topic::Error) => Ok(Frame::Error(needed(data)?.raw()?)),
            Some(Topic::Pong) => Ok(Frame::Pong),
            Some(Topic::Ignored(kind)) => Ok(Frame::Ignored(kind)),
            Some(Topic::Unknown) => Ok(Frame::Unknown),
            None if book => {
                self.book(&mut { start }, true)?;
                Ok(Frame::Market)
            }
            None => Ok(rest.unwrap_or(Frame::Unknown)),
        }
    }

    fn rows(&mut self, channel: Channel, c: &mut Cursor<'_>) -> Result<()> {
        match channel {
            Channel::Book => self.book(c, false),
            Channel::Bbo => {
                let item = bbo(c)?;
                self.items.push(item);
                Ok(())
            }
            Channel::Trades => c.array(|c| {
                let item = trade(c)?;
                self.items.push(item);
                Ok(())
            }),
            Channel::Ctx => {
                let item = context(c)?;
                self.items.push(item);
                Ok(())
            }
        }
    }

    /// `rest`: older HTTP snapshots carry no time.
    fn book(&mut self, c: &mut Cursor<'_>, rest: bool) -> Result<()> {
        let (mut name, mut time): (Option<&[u8]>, Option<i64>) = (None, None);
        let mut sides = [Span::default(); 2];
        let mut count = None;
        c.object(|key, c| {
            match key {
                b"coin" => {
                    let coin = c.string()?;
                    self.book_hint = Symbol::from_bytes(coin);
                    name = Some(coin);
                }
                b"time" => time = Some(c.int("time")?),
                b"levels" => {
                    let mut at = 0;
                    c.array(|c| {
                        let span = self.side(c)?;
                        *sides.get_mut(at).ok_or(DecodeError::Field("levels"))? = span;
                        at += 1;
                        Ok(())
                    })?;
                    count = Some(at);
                }
                _ => c.pass(key, &schema::BOOK)?,
            }
            Ok(())
        })?;
        match count {
            Some(2) => {}
            Some(_) => return Err(DecodeError::Field("levels")),
            None => return Err(DecodeError::Missing("levels")),
        }
        self.items.push(Item::Book {
            symbol: symbol(name)?,
            bids: sides[0],
            asks: sides[1],
            time_ms: match time {
                Some(time) => time,
                None if rest => 0,
                None => return Err(DecodeError::Missing("time")),
            },
            rest,
        });
        Ok(())
    }

    fn side(&mut self, c: &mut Cursor<'_>) -> Result<Span> {
        let from = self.levels.len() as u32;
        c.array(|c| {
            let row = level(c)?;
            self.levels.push(row);
            Ok(())
        })?;
        Ok(Span { from, to: self.levels.len() as u32 })
    }

    /// A best bid and ask in the usual layout; `None` says nothing, and the frame is read value by value.
    fn usual<'a>(&mut self, mut c: Cursor<'a>) -> Option<Frame<'a>> {
        c.literal(b"{\"channel\":\"bbo\",\"data\":{\"coin\":\"")?;
        let symbol = Symbol::from_bytes(c.quoted_name()?)?;
        c.literal(b",\"time\":")?;
        let time_ms = c.bare_int()?;
        c.literal(b",\"bbo\":[")?;
        let bid = Some(usual_level(&mut c)?);
        c.literal(b",")?;
        let ask = Some(usual_level(&mut c)?);
        c.literal(b"]}}")?;
        if !c.is_done() {
            return None;
        }
        self.items.push(Item::Bbo { symbol, bid, ask, time_ms });
        Some(Frame::Market)
    }
}

/// A level in its usual form, `{"px":"61800.5","sz":"0.25","n":3}`.
#[inline(always)]
fn usual_level(c: &mut Cursor<'_>) -> Option<Level> {
    let mut ahead = *c;
    ahead.literal(b"{\"px\":\"")?;
    let price = ahead.quoted_num()?;
    ahead.literal(b",\"sz\":\"")?;
    let size = ahead.quoted_num()?;
    ahead.literal(b",\"n\":")?;
    ahead.short_int()?;
    ahead.literal(b"}")?;
    *c = ahead;
    Some((price, size))
}

/// `{"px":"…","sz":"…","n":…}`; a size of zero has no place in a snapshot.
#[inline]
fn level(c: &mut Cursor<'_>) -> Result<Level> {
    if let Some(level) = usual_level(c) {
        return Ok(level);
    }
    let (mut price, mut size) = (None, None);
    c.object(|key, c| {
        match key {
            b"px" => price = Some(c.num("px")?),
            b"sz" => size = Some(c.num("sz")?),
            _ => c.pass(key, &schema::LEVEL)?,
        }
        Ok(())
    })?;
    let (price, size) = (price.ok_or(DecodeError::Missing("px"))?, size.ok_or(DecodeError::Missing("sz"))?);
    if price.mantissa < 0 || size.mantissa < 0 {
        return Err(DecodeError::Field(if price.mantissa < 0 { "px" } else { "sz" }));
    }
    Ok((price, size))
}

fn bbo(c: &mut Cursor<'_>) -> Result<Item> {
    let (mut name, mut time): (Option<&[u8]>, Option<i64>) = (None, None);
    let mut sides: Option<[Option<Level>; 2]> = None;
    c.object(|key, c| {
        match key {
            b"coin" => name = Some(c.string()?),
            b"time" => time = Some(c.int("time")?),
            b"bbo" => {
                let (mut best, mut at) = ([None, None], 0);
                c.array(|c| {
                    let slot = best.get_mut(at).ok_or(DecodeError::Field("bbo"))?;
                    at += 1;
                    if c.kind()? == Kind::Null {
                        return c.skip();
                    }
                    *slot = Some(level(c)?);
                    Ok(())
                })?;
                sides = Some(best);
            }
            _ => c.pass(key, &schema::BBO)?,
        }
        Ok(())
    })?;
    let [bid, ask] = sides.ok_or(DecodeError::Missing("bbo"))?;
    Ok(Item::Bbo { symbol: symbol(name)?, bid, ask, time_ms: time.ok_or(DecodeError::Missing("time"))? })
}

fn trade(c: &mut Cursor<'_>) -> Result<Item> {
    let mut name: Option<&[u8]> = None;
    let (mut id, mut price, mut qty, mut way, mut time) = (None, None, None, None, None);
    c.object(|key, c| {
        match key {
            b"coin" => name = Some(c.string()?),
            b"tid" => id = Some(c.uint("tid")?),
            b"px" => price = Some(c.num("px")?),
            b"sz" => qty = Some(c.num("sz")?),
            b"side" => way = Some(side(c)?),
            b"time" => time = Some(c.int("time")?),
            _ => c.pass(key, &schema::TRADE)?,
        }
        Ok(())
    })?;
    Ok(Item::Trade {
        symbol: symbol(name)?,
        id: id.ok_or(DecodeError::Missing("tid"))?,
        price: price.ok_or(DecodeError::Missing("px"))?,
        qty: qty.ok_or(DecodeError::Missing("sz"))?,
        side: way.ok_or(DecodeError::Missing("side"))?,
        time_ms: time.ok_or(DecodeError::Missing("time"))?,
    })
}

/// Numbers that we do not use (`premium`, `midPx`, `impactPxs`, volumes) may be `null` or long.
fn context(c: &mut Cursor<'_>) -> Result<Item> {
    let mut name: Option<&[u8]> = None;
    let mut found = false;
    let (mut mark, mut oracle, mut rate, mut interest) = (None, None, None, None);
    c.object(|key, c| {
        match key {
            b"coin" => name = Some(c.string()?),
            b"ctx" => {
                found = true;
                c.object(|key, c| {
                    match key {
                        b"markPx" => mark = c.num_or_absent("markPx")?,
                        b"oraclePx" => oracle = c.num_or_absent("oraclePx")?,
                        b"funding" => rate = c.num_or_absent("funding")?,
                        b"openInterest" => interest = c.num_or_absent("openInterest")?,
                        _ => c.pass(key, &schema::FIGURES)?,
                    }
                    Ok(())
                })?;
            }
            _ => c.pass(key, &schema::CONTEXT)?,
        }
        Ok(())
    })?;
    if !found {
        return Err(DecodeError::Missing("ctx"));
    }
    Ok(Item::Ctx { symbol: symbol(name)?, mark, oracle, rate, interest })
}

fn subscription<'a>(c: &mut Cursor<'_>) -> Result<Frame<'a>> {
    let mut ends = false;
    c.object(|key, c| {
        if key == b"method" {
            ends = c.string()? == b"unsubscribe";
            return Ok(());
        }
        c.skip()
    })?;
    Ok(if ends { Frame::Unsubscribed } else { Frame::Subscribed })
}

/// `B` buys, `A` sells.
pub(super) fn side(c: &mut Cursor<'_>) -> Result<Side> {
    match c.string()? {
        b"B" => Ok(Side::Buy),
        b"A" => Ok(Side::Sell),
        _ => Err(DecodeError::Field("side")),
    }
}

fn symbol(text: Option<&[u8]>) -> Result<Symbol> {
    match Symbol::from_bytes(text.ok_or(DecodeError::Missing("coin"))?) {
        Some(symbol) if !symbol.is_empty() => Ok(symbol),
        _ => Err(DecodeError::Field("coin")),
    }
}
