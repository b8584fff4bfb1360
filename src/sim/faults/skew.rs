//! A venue's clock that is wrong for a while.
//!
//! It runs towards its new offset at half as fast again, or at half the speed, and never jumps: everything that the
//! venue does and states stays in order of its own time.

use crate::domain::time::Nanos;

/// What a venue's clock shows more than the true wall time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Skew {
    /// Offset at `at`, ns.
    from: Nanos,
    /// When the last turn began, true wall ns.
    at: Nanos,
    /// Offset that it runs towards, ns.
    to: Nanos,
}

impl Skew {
    /// From `now` on the clock runs towards an offset of `to` ns.
    pub(super) fn turn(&mut self, now: Nanos, to: Nanos) {
        *self = Self { from: self.offset(now), at: now, to };
    }

    fn offset(&self, now: Nanos) -> Nanos {
        let moved = (now - self.at).max(0) / 2;
        let way = self.to - self.from;
        self.from + way.clamp(-moved, moved)
    }

    /// What the venue's clock shows at `now`.
    pub(super) fn venue(&self, now: Nanos) -> Nanos {
        if self.from == 0 && self.to == 0 { now } else { now + self.offset(now) }
    }

    /// The first instant not before `now` at which the venue's clock shows `due`.
    pub(super) fn wall(&self, due: Nanos, now: Nanos) -> Nanos {
        let ahead = due.saturating_sub(self.venue(now));
        if (self.from == 0 && self.to == 0) || ahead <= 0 || due == Nanos::MAX {
            return due;
        }
        // At half the speed everything has come after twice the time; the clock never steps back.
        let (mut early, mut late) = (now, now.saturating_add(2 * ahead + 2));
        while late - early > 1 {
            let middle = early + (late - early) / 2;
            if self.venue(middle) < due { early = middle } else { late = middle }
        }
        late
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::{MILLI, SECOND};

    #[test]
    fn a_skewed_clock_never_steps_back_reaches_its_offset_and_comes_home() {
        for to in [-1_500 * MILLI, 1_500 * MILLI] {
            let mut skew = Skew::default();
            let mut last = 0;
            for step in 1..2_000 {
                let now = step * 10 * MILLI;
                match step {
                    100 => skew.turn(now, to),
                    1_000 => skew.turn(now, 0),
                    _ => {}
                }
                let shown = skew.venue(now);
                assert!(shown >= last, "{step}");
                let due = shown + 7 * MILLI;
                let wall = skew.wall(due, now);
                assert!(skew.venue(wall) >= due && skew.venue(wall - 1) < due, "{step}");
                last = shown;
            }
            let mut skew = Skew::default();
            skew.turn(SECOND, to);
            assert_eq!(skew.venue(9 * SECOND) - 9 * SECOND, to);
            skew.turn(9 * SECOND, 0);
            assert_eq!(skew.venue(20 * SECOND), 20 * SECOND);
        }
    }
}
