//! When a Deribit book message may be applied: each change names the `change_id` that it follows.
//!
//! The ids are not consecutive; a snapshot names none before it. Books that are sent whole each time (grouped)
//! are snapshots all along.

use crate::domain::event::BookState;
use crate::venue::lines::Chain;
use crate::venue::message::{Continuity, Depth, Level, Verdict};
use serde::{Deserialize, Serialize};

/// The sequence rule of one Deribit book.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeribitContinuity {
    state: BookState,
    /// `change_id` and `prev_change_id` of the last message applied.
    last: (u64, i64),
    /// Newest `change_id` of the changes that were passed over since the book was lost: a snapshot older than
    /// that lacks them.
    passed_over: u64,
}

impl DeribitContinuity {
    fn gap(&mut self) -> Verdict {
        self.state = BookState::Invalid;
        Verdict::Gap
    }
}

impl Chain for DeribitContinuity {
    fn invalidate(&mut self) {
        self.state = BookState::Invalid;
        self.passed_over = 0;
    }

    fn rejoin(&mut self, depth: &Depth<'_>) {
        *self = Self { state: BookState::Live, last: (depth.last, depth.prev), passed_over: 0 };
    }
}

impl Continuity for DeribitContinuity {
    fn on_depth(&mut self, depth: &Depth<'_>) -> Verdict {
        let this = (depth.last, depth.prev);
        if depth.snapshot {
            if depth.last < self.passed_over {
                return self.gap();
            }
            *self = Self { state: BookState::Live, last: this, passed_over: 0 };
            return Verdict::Snapshot;
        }
        let live = self.state == BookState::Live;
        let verdict = match self.state {
            // The very message that was applied last.
            BookState::Live if this == self.last => Verdict::Skip,
            BookState::Live if u64::try_from(depth.prev).is_ok_and(|prev| prev == self.last.0) => {
                self.last = this;
                Verdict::Apply
            }
            // The venue sends the snapshot first: a change without one has lost its base.
            BookState::Live | BookState::AwaitSnapshot => self.gap(),
            BookState::Invalid => Verdict::Skip,
        };
        if !live || verdict == Verdict::Gap {
            self.passed_over = self.passed_over.max(depth.last);
        }
        verdict
    }

    fn verify(&mut self, _depth: &Depth<'_>, _bids: &[Level], _asks: &[Level]) -> bool {
        true
    }

    fn state(&self) -> BookState {
        self.state
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn depth(snapshot: bool, last: u64, prev: i64) -> Depth<'static> {
        Depth {
            channel: "book",
            symbol: b"BTC-PERPETUAL",
            snapshot,
            first: 0,
            last,
            prev,
            checksum: None,
            bids: &[],
            asks: &[],
            time_ms: 0,
        }
    }

    #[test]
    fn changes_apply_only_in_an_unbroken_chain_from_a_snapshot() {
        let mut c = DeribitContinuity::default();
        assert_eq!(c.on_depth(&depth(false, 12, 10)), Verdict::Gap, "no base");
        assert_eq!(c.on_depth(&depth(false, 13, 12)), Verdict::Skip);
        assert_eq!(c.on_depth(&depth(true, 12, -1)), Verdict::Gap, "it lacks the changes before it");
        assert_eq!(c.on_depth(&depth(true, 20, -1)), Verdict::Snapshot);
        assert_eq!(c.on_depth(&depth(false, 25, 20)), Verdict::Apply);
        assert_eq!(c.on_depth(&depth(false, 25, 20)), Verdict::Skip, "a repetition");
        assert_eq!(c.on_depth(&depth(false, 31, 27)), Verdict::Gap);
        assert_eq!(c.state(), BookState::Invalid);
        assert_eq!(c.on_depth(&depth(true, 40, -1)), Verdict::Snapshot);
        assert_eq!(c.state(), BookState::Live);
    }
}
