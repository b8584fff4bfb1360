//! When a Hyperliquid book may be applied: every `l2Book` message is a whole snapshot, ordered by `time`.
//!
//! There is no sequence number. A lost snapshot does no harm, as the next one replaces everything; one that
//! is older than the book (overtaken on the way) must not step it back; one of the same block is the same
//! book again (a subscription begins with such a repetition).

use crate::domain::event::BookState;
use crate::venue::lines::Chain;
use crate::venue::message::{Continuity, Depth, Level, Verdict};
use serde::{Deserialize, Serialize};

/// The time rule of one Hyperliquid book.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HyperliquidContinuity {
    state: BookState,
    /// Time of the last snapshot that was applied, ms. Survives an invalidation: an old book is old.
    time_ms: i64,
}

impl Chain for HyperliquidContinuity {
    const SNAPSHOTS_COME: bool = true;

    fn invalidate(&mut self) {
        self.state = BookState::Invalid;
    }

    fn rejoin(&mut self, depth: &Depth<'_>) {
        *self = Self { state: BookState::Live, time_ms: depth.time_ms };
    }
}

impl Continuity for HyperliquidContinuity {
    fn on_depth(&mut self, depth: &Depth<'_>) -> Verdict {
        if !depth.snapshot {
            // There is no such message: whatever it is, the book can no longer be trusted.
            self.state = BookState::Invalid;
            return Verdict::Gap;
        }
        if depth.time_ms < self.time_ms {
            return Verdict::Skip;
        }
        *self = Self { state: BookState::Live, time_ms: depth.time_ms };
        Verdict::Snapshot
    }

    fn verify(&mut self, _depth: &Depth<'_>, _bids: &[Level], _asks: &[Level]) -> bool {
        true
    }

    fn state(&self) -> BookState {
        self.state
    }
}
