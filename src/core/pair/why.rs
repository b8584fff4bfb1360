//! The reasons for which a pair does not trade: what the live view shows and tests ask for.

use serde::Serialize;
use std::fmt;

/// Why a direction of a pair does not enter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub enum WhyNot {
    /// Nothing stands in the way: it enters.
    Ready,
    /// A contract is unknown, closed for trading, or differs in quote or settlement currency.
    NoInstrument,
    /// A book is not live.
    #[default]
    NotLive,
    /// A book is crossed, locked or one-sided.
    Crossed,
    /// A connection has unread data: what we know is not current.
    Behind,
    /// A book is too old.
    Stale,
    /// No common size that both venues accept.
    TooSmall,
    /// The books are not deep enough for the intended size.
    Thin,
    /// The mids differ too much to be the same thing.
    MidsDisagree,
    /// Too few samples of the basis.
    Warmup,
    /// The basis has shifted; a new baseline is being learnt.
    LevelShift,
    /// The edge is too good to be true.
    InsaneEdge,
    /// Halted or killed.
    Halted,
    /// Only closing is allowed.
    Reducing,
    /// One of the listings serves an open trade.
    TradeOpen,
    /// The net edge is below the threshold.
    BelowThreshold,
    /// The net edge has not lasted yet for as long as it must.
    Unproven,
    /// Pausing after a miss or a trade.
    Cooldown,
    /// As many trades are open as allowed.
    MaxTrades,
}

impl WhyNot {
    /// Short words for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::NoInstrument => "no instrument",
            Self::NotLive => "book not live",
            Self::Crossed => "book crossed",
            Self::Behind => "connection behind",
            Self::Stale => "book stale",
            Self::TooSmall => "too small",
            Self::Thin => "book thin",
            Self::MidsDisagree => "mids disagree",
            Self::Warmup => "warming up",
            Self::LevelShift => "level shift",
            Self::InsaneEdge => "insane edge",
            Self::Halted => "halted",
            Self::Reducing => "reducing",
            Self::TradeOpen => "trade open",
            Self::BelowThreshold => "below threshold",
            Self::Unproven => "not proven yet",
            Self::Cooldown => "cooling down",
            Self::MaxTrades => "max trades",
        }
    }
}

impl fmt::Display for WhyNot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
