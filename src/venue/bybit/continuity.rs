//! When a Bybit order book message may be applied: `u` rises by one with every delta of a topic.
//!
//! The documentation promises no more than an "update id", the captures show steps of one: anything else is
//! taken for a gap. A snapshot replaces the book at any time, and so does `u` = 1 (the service restarted).

use crate::domain::event::BookState;
use crate::venue::lines::Chain;
use crate::venue::message::{Continuity, Depth, Level, Verdict};
use serde::{Deserialize, Serialize};

/// The sequence rule of one Bybit book.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BybitContinuity {
    state: BookState,
    /// `u` of the last message applied.
    update: u64,
    /// `seq` of it; 0 when not sent.
    seq: u64,
}

impl Chain for BybitContinuity {
    /// `seq` is common to all depths.
    fn update_id(depth: &Depth<'_>) -> u64 {
        depth.first
    }

    fn invalidate(&mut self) {
        self.state = BookState::Invalid;
    }

    fn rejoin(&mut self, depth: &Depth<'_>) {
        *self = Self { state: BookState::Live, update: depth.last, seq: depth.first };
    }
}

impl Continuity for BybitContinuity {
    /// `last` is `u`, `first` is `seq`.
    fn on_depth(&mut self, depth: &Depth<'_>) -> Verdict {
        if depth.snapshot {
            *self = Self { state: BookState::Live, update: depth.last, seq: depth.first };
            return Verdict::Snapshot;
        }
        if self.state == BookState::Invalid {
            return Verdict::Skip;
        }
        if self.state == BookState::Live {
            if (depth.last, depth.first) == (self.update, self.seq) {
                // The very message that was applied last.
                return Verdict::Skip;
            }
            if Some(depth.last) == self.update.checked_add(1) && depth.first >= self.seq {
                (self.update, self.seq) = (depth.last, depth.first);
                return Verdict::Apply;
            }
        }
        // Also a delta without a snapshot: it has lost its base.
        self.state = BookState::Invalid;
        Verdict::Gap
    }

    /// There are no checksums.
    fn verify(&mut self, _depth: &Depth<'_>, _bids: &[Level], _asks: &[Level]) -> bool {
        true
    }

    fn state(&self) -> BookState {
        self.state
    }
}
