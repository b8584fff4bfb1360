//! The reasons for which a pair does not trade: what the live view shows and tests ask for.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Why a direction of a pair does not enter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum WhyNot {
    /// Nothing stands in the way: it enters.
    Ready,
    /// A contract is unknown, or differs in quote or settlement currency.
    NoInstrument,
    /// A venue has delisted or suspended a contract.
    Suspended,
    /// A venue's clock is unknown, known too badly, or too far from ours.
    ClockOff,
    /// A venue's data carry times that lie in its future.
    ClockAhead,
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
    /// The index prices differ too much to be of the same thing, or one is absent and must not be.
    IndicesDisagree,
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
    /// A venue's account is not as configured, or was not read back yet.
    VenueHeld,
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
    /// Too many orders on a listing filled nothing.
    Quality,
    // State digests count these by their place: new ones stand at the end.
    /// A venue accepts no price that would reach what is to be taken.
    PriceBand,
    /// A venue has locked a listing for our account: it takes only orders that reduce.
    Locked,
}

impl WhyNot {
    /// Short words for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::NoInstrument => "no instrument",
            Self::Suspended => "suspended",
            Self::ClockOff => "clock off",
            Self::ClockAhead => "clock ahead",
            Self::NotLive => "book not live",
            Self::Crossed => "book crossed",
            Self::Behind => "connection behind",
            Self::Stale => "book stale",
            Self::TooSmall => "too small",
            Self::Thin => "book thin",
            Self::MidsDisagree => "mids disagree",
            Self::IndicesDisagree => "indices disagree",
            Self::Warmup => "warming up",
            Self::LevelShift => "level shift",
            Self::InsaneEdge => "insane edge",
            Self::Halted => "halted",
            Self::Reducing => "reducing",
            Self::VenueHeld => "venue held",
            Self::TradeOpen => "trade open",
            Self::BelowThreshold => "below threshold",
            Self::Unproven => "not proven yet",
            Self::Cooldown => "cooling down",
            Self::MaxTrades => "max trades",
            Self::Quality => "order quality",
            Self::PriceBand => "beyond price band",
            Self::Locked => "locked by venue",
        }
    }
}

impl fmt::Display for WhyNot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
