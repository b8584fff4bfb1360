//! Venue messages in venue-neutral form, before symbols and scales are applied: what the `decode` and
//! `book` commands show and what adapters normalise. Numbers are exact decimals as sent.

use super::drift::Marks;
use crate::domain::event::BookState;
use crate::domain::number::Num;
use crate::domain::order::Side;

/// Price and absolute quantity; quantity zero removes the level.
pub type Level = (Num, Num);

/// One normalised message; a frame may carry several.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)] // field names are the venue-neutral vocabulary; times are ms as sent
pub enum Message<'a> {
    /// A depth update or snapshot with its sequence numbers (venue meaning in `first`, `last`, `prev`).
    Depth(Depth<'a>),
    /// Best bid and ask.
    Bbo { symbol: &'a [u8], id: u64, bid: Level, ask: Level, time_ms: i64 },
    /// A public trade. `channel` tells `trade` from `aggTrade`.
    Trade {
        channel: &'static str,
        symbol: &'a [u8],
        id: u64,
        price: Num,
        qty: Num,
        aggressor: Side,
        time_ms: i64,
    },
    /// Mark, index, funding; absent parts are `None`.
    Mark {
        channel: &'static str,
        symbol: &'a [u8],
        mark: Option<Num>,
        index: Option<Num>,
        settle: Option<Num>,
        rate: Option<Num>,
        funding_ms: i64,
        next_funding_ms: i64,
        time_ms: i64,
    },
    /// Open interest in contracts or base units, as the venue has it.
    OpenInterest { symbol: &'a [u8], qty: Num, time_ms: i64 },
    /// Ticker: last, best bid and ask.
    Ticker { symbol: &'a [u8], last: Option<Num>, bid: Option<Num>, ask: Option<Num>, time_ms: i64 },
    /// A ticker with quantities and the mark price in one message (Deribit).
    FullTicker {
        symbol: &'a [u8],
        bid: Option<Num>,
        bid_qty: Option<Num>,
        ask: Option<Num>,
        ask_qty: Option<Num>,
        mark: Option<Num>,
        time_ms: i64,
    },
    /// A liquidation order.
    Liquidation { symbol: &'a [u8], side: Side, price: Num, qty: Num, time_ms: i64 },
    /// A message of a documented type that carries nothing for us: acks, klines, pongs. `kind` is from the
    /// venue's list in its module documentation.
    Ignored { kind: &'static str },
    /// A private or session message; understood by the adapter, shown by type only.
    Private { kind: &'static str },
    /// A type outside the documented lists.
    Unknown,
}

impl<'a> Message<'a> {
    /// The native symbol that the message names; empty when it names none.
    pub fn symbol(&self) -> &'a [u8] {
        match self {
            Self::Depth(depth) => depth.symbol,
            Self::Bbo { symbol, .. }
            | Self::Trade { symbol, .. }
            | Self::Mark { symbol, .. }
            | Self::OpenInterest { symbol, .. }
            | Self::Ticker { symbol, .. }
            | Self::FullTicker { symbol, .. }
            | Self::Liquidation { symbol, .. } => symbol,
            Self::Ignored { .. } | Self::Private { .. } | Self::Unknown => &[],
        }
    }

    /// The type in one word, for summaries.
    pub const fn type_name(&self) -> &'static str {
        match self {
            Self::Depth(_) => "depth",
            Self::Bbo { .. } => "bbo",
            Self::Trade { .. } => "trade",
            Self::Mark { .. } => "mark",
            Self::OpenInterest { .. } => "open_interest",
            Self::Ticker { .. } | Self::FullTicker { .. } => "ticker",
            Self::Liquidation { .. } => "liquidation",
            Self::Ignored { .. } => "ignored",
            Self::Private { .. } => "private",
            Self::Unknown => "unknown",
        }
    }
}

/// A depth message.
#[derive(Clone, Debug, PartialEq)]
pub struct Depth<'a> {
    /// Channel as the oracle names it (`depth`, `books`, `books-l2-tbt`, `rest-depth`).
    pub channel: &'static str,
    /// Native symbol; empty when the message does not name it (Binance REST snapshot).
    pub symbol: &'a [u8],
    /// Snapshot or update.
    pub snapshot: bool,
    /// First sequence number that it covers (Binance `U`), else 0.
    pub first: u64,
    /// Last sequence number (Binance `u`, `lastUpdateId`; OKX `seqId`).
    pub last: u64,
    /// Sequence number that it follows (Binance `pu`; OKX `prevSeqId`), −1 when none.
    pub prev: i64,
    /// Checksum where sent and not 0.
    pub checksum: Option<i32>,
    /// Bid levels.
    pub bids: &'a [Level],
    /// Ask levels.
    pub asks: &'a [Level],
    /// Venue time (matching engine where stated), ms.
    pub time_ms: i64,
}

/// Why a frame could not be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)] // the variant's sentence names its fields
pub enum DecodeError {
    /// Not JSON.
    #[error("not valid JSON at byte {at}")]
    Json { at: usize },
    /// A field is missing.
    #[error("field `{0}` is missing")]
    Missing(&'static str),
    /// A field has the wrong type or an impossible value.
    #[error("field `{0}` has the wrong type or an impossible value")]
    Field(&'static str),
}

/// Parses frames; keeps scratch space only (levels), no state between frames.
pub trait Decoder: Send {
    /// Parses one frame (or HTTP body) and hands every message to `emit`, in order.
    fn decode(&mut self, frame: &[u8], emit: &mut dyn FnMut(&Message<'_>)) -> Result<(), DecodeError>;
    /// What the last frame held beyond the documentation of its channel, where it was a public one.
    fn marks(&self) -> Marks {
        Marks::NONE
    }
    /// A continuity machine for one symbol, for the `book` command and the conformance tests.
    fn continuity(&self) -> Box<dyn Continuity>;
    /// The venue's name of the channel that the message came from, for messages that name a symbol.
    fn channel(&self, message: &Message<'_>) -> &'static str {
        match message {
            Message::Depth(depth) => depth.channel,
            Message::Trade { channel, .. } | Message::Mark { channel, .. } => channel,
            other => other.type_name(),
        }
    }
    /// The line of `message` in the format of the oracle (`D|…`, `Q|…`), without newline; `None` when
    /// the oracle has no line for it. `out` is cleared first.
    fn oracle_line(&self, message: &Message<'_>, out: &mut String) -> bool;
}

/// A venue's sequence rule for one book: decides whether a depth message may be applied.
pub trait Continuity: Send {
    /// What to do with this depth message, given all earlier ones.
    fn on_depth(&mut self, depth: &Depth<'_>) -> Verdict;
    /// After the levels were applied: verifies a checksum where there is one (`top` yields the best 25
    /// levels of each side, as sent). False = mismatch: the book is invalid.
    fn verify(&mut self, depth: &Depth<'_>, bids: &[Level], asks: &[Level]) -> bool;
    /// Where the book stands.
    fn state(&self) -> BookState;
}

/// What to do with a depth message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Clear the book and apply; then apply the messages buffered before it (by calling again).
    Snapshot,
    /// Apply.
    Apply,
    /// Keep it until the snapshot arrives, then offer it again.
    Buffer,
    /// Already contained in the snapshot, or a keep-alive: nothing to apply.
    Skip,
    /// A gap: the book is invalid until the next snapshot.
    Gap,
}
