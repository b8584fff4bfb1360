//! The USDⓈ-M sequence rule of a local book ("How to manage a local order book correctly", USDⓈ-M page):
//! drop `u < L`, the first event applied has `U <= L <= u` (or `pu == L`), then every `pu` equals the
//! previous `u`. The spot rule (`L + 1`) differs and would drift. Knows numbers only, no levels.

use crate::domain::event::BookState;
use crate::venue::message::{Continuity, Depth, Level, Verdict};
use serde::{Deserialize, Serialize};

/// Channel name of the REST snapshot.
pub const REST_DEPTH: &str = "rest-depth";
/// Channel name of partial depth streams: the best levels only, never a base for differences.
pub const PARTIAL_DEPTH: &str = "depth-partial";
/// Channel name of the difference stream.
pub const DEPTH: &str = "depth";

/// Sequence numbers of one depth difference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ids {
    /// `U`: first update id of the event.
    pub first: u64,
    /// `u`: last update id of the event.
    pub last: u64,
    /// `pu`: last update id of the event before it; −1 when absent.
    pub prev: i64,
}

impl Ids {
    /// Of a depth message.
    pub const fn of(depth: &Depth<'_>) -> Self {
        Self { first: depth.first, last: depth.last, prev: depth.prev }
    }

    /// True when this event follows `last` directly.
    fn follows(self, last: u64) -> bool {
        u64::try_from(self.prev) == Ok(last)
    }

    /// True when this may be the first event after a snapshot of `last`.
    pub fn joins(self, last: u64) -> bool {
        (self.first <= last && last <= self.last) || self.follows(last)
    }
}

/// Where the chain stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Stage {
    /// No snapshot, or a gap since.
    #[default]
    Await,
    /// A snapshot of this id; nothing applied on it yet.
    First(u64),
    /// This event was the last one applied.
    Chain(Ids),
}

/// The rule as a state machine.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct DepthRule {
    stage: Stage,
}

impl DepthRule {
    /// A snapshot of `last` was taken as the base.
    pub fn snapshot(&mut self, last: u64) {
        self.stage = Stage::First(last);
    }

    /// Back to waiting for a snapshot.
    pub fn reset(&mut self) {
        self.stage = Stage::Await;
    }

    /// What to do with a difference.
    #[inline]
    pub fn difference(&mut self, ids: Ids) -> Verdict {
        let verdict = match self.stage {
            Stage::Await => Verdict::Buffer,
            Stage::First(last) if ids.last < last => Verdict::Skip,
            Stage::First(last) if ids.joins(last) => Verdict::Apply,
            // The very same event again carries nothing new: quantities are absolute.
            Stage::Chain(before) if ids == before => Verdict::Skip,
            Stage::Chain(before) if ids.follows(before.last) => Verdict::Apply,
            Stage::First(_) | Stage::Chain(_) => Verdict::Gap,
        };
        match verdict {
            Verdict::Apply => self.stage = Stage::Chain(ids),
            Verdict::Gap => self.stage = Stage::Await,
            _ => {}
        }
        verdict
    }

    /// True while differences can be applied.
    pub fn is_synced(&self) -> bool {
        self.stage != Stage::Await
    }
}

/// [`DepthRule`] for the `book` command.
#[derive(Debug, Default)]
pub struct BinanceContinuity {
    rule: DepthRule,
    gap: bool,
}

impl Continuity for BinanceContinuity {
    fn on_depth(&mut self, depth: &Depth<'_>) -> Verdict {
        if depth.channel == PARTIAL_DEPTH {
            return Verdict::Skip;
        }
        if depth.snapshot {
            self.rule.snapshot(depth.last);
            self.gap = false;
            return Verdict::Snapshot;
        }
        let verdict = self.rule.difference(Ids::of(depth));
        self.gap |= verdict == Verdict::Gap;
        verdict
    }

    /// The venue sends no checksum.
    fn verify(&mut self, _: &Depth<'_>, _: &[Level], _: &[Level]) -> bool {
        true
    }

    fn state(&self) -> BookState {
        match (self.rule.is_synced(), self.gap) {
            (true, _) => BookState::Live,
            (false, true) => BookState::Invalid,
            (false, false) => BookState::AwaitSnapshot,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ids(first: u64, last: u64, prev: i64) -> Ids {
        Ids { first, last, prev }
    }

    #[test]
    fn the_first_event_contains_or_continues_the_snapshot() {
        for (event, expected) in [
            (ids(90, 99, 80), Verdict::Skip),
            (ids(90, 100, 80), Verdict::Apply),
            (ids(95, 120, 80), Verdict::Apply),
            (ids(100, 120, 99), Verdict::Apply),
            (ids(105, 120, 100), Verdict::Apply),
            (ids(101, 120, 99), Verdict::Gap),
        ] {
            let mut rule = DepthRule::default();
            rule.snapshot(100);
            assert_eq!(rule.difference(event), expected, "{event:?}");
        }
    }

    #[test]
    fn a_dropped_swapped_or_foreign_event_is_a_gap_and_a_repeated_one_is_nothing() {
        let mut rule = DepthRule::default();
        assert_eq!(rule.difference(ids(1, 2, 0)), Verdict::Buffer);
        rule.snapshot(100);
        assert_eq!(rule.difference(ids(99, 101, 98)), Verdict::Apply);
        assert_eq!(rule.difference(ids(107, 110, 101)), Verdict::Apply);
        assert_eq!(rule.difference(ids(107, 110, 101)), Verdict::Skip);
        assert_eq!(rule.difference(ids(120, 130, 115)), Verdict::Gap);
        assert_eq!(rule.difference(ids(131, 140, 130)), Verdict::Buffer);
        assert!(!rule.is_synced());
    }

    #[test]
    fn a_missing_pu_never_continues_a_chain() {
        let mut rule = DepthRule::default();
        rule.snapshot(100);
        assert_eq!(rule.difference(ids(99, 101, -1)), Verdict::Apply);
        assert_eq!(rule.difference(ids(102, 103, -1)), Verdict::Gap);
    }
}
