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
    // State digests and journals count these by their place: new ones stand at the end.
    /// A venue accepts no price that would reach what is to be taken.
    PriceBand,
    /// A venue has locked a listing for our account: it takes only orders that reduce.
    Locked,
    /// A leg of some trade has stood alone for too long.
    Unhedged,
}

impl WhyNot {
    /// Every reason, by its place.
    pub const ALL: [Self; 27] = [
        Self::Ready,
        Self::NoInstrument,
        Self::Suspended,
        Self::ClockOff,
        Self::ClockAhead,
        Self::NotLive,
        Self::Crossed,
        Self::Behind,
        Self::Stale,
        Self::TooSmall,
        Self::Thin,
        Self::MidsDisagree,
        Self::IndicesDisagree,
        Self::Warmup,
        Self::LevelShift,
        Self::InsaneEdge,
        Self::Halted,
        Self::Reducing,
        Self::VenueHeld,
        Self::TradeOpen,
        Self::BelowThreshold,
        Self::Unproven,
        Self::Cooldown,
        Self::MaxTrades,
        Self::Quality,
        Self::PriceBand,
        Self::Locked,
    ];

    /// The reason with this place, as a journal has it; `None` = one of a later version.
    pub fn of_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }

    /// Whether it kept a direction that was priced from entering. An open trade does not count: the edge that it was
    /// entered for stands for a while.
    pub const fn is_near_miss(self) -> bool {
        matches!(
            self,
            Self::LevelShift
                | Self::InsaneEdge
                | Self::Halted
                | Self::Reducing
                | Self::VenueHeld
                | Self::BelowThreshold
                | Self::Unproven
                | Self::Cooldown
                | Self::MaxTrades
                | Self::Quality
                | Self::PriceBand
        )
    }

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
            Self::Unhedged => "a leg stands alone",
        }
    }
}

impl fmt::Display for WhyNot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_found_by_its_place() {
        for (place, why) in WhyNot::ALL.into_iter().enumerate() {
            assert_eq!((why as usize, WhyNot::of_code(place as u8)), (place, Some(why)));
        }
        assert_eq!(WhyNot::of_code(WhyNot::ALL.len() as u8), None);
    }
}
