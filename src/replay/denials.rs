//! Denials that are on their way back: what a comparison remembers from one input to a later one.
//!
//! A basket that risk or route denies re-enters the river as an input. The recorded one must be the one that the stages
//! make again, in their order. Part of a snapshot, so that a comparison may begin anywhere.

use crate::domain::event::Seq;
use crate::domain::intent::{Denial, DenyReason};
use crate::domain::output::Stage;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Denials that were made and not yet seen as inputs, and the other way round, by who denies (risk, route).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Denials {
    made: [VecDeque<Denial>; 2],
    recorded: [VecDeque<(Seq, Denial)>; 2],
    mismatch: Option<Mismatch>,
}

/// A recorded denial that is not the one that the stages made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mismatch {
    /// Number of the recorded one.
    pub seq: Seq,
    /// As recorded.
    pub recorded: Denial,
    /// As made.
    pub made: Denial,
}

impl Denials {
    /// A stage denied something.
    pub fn on_made(&mut self, stage: Stage, denial: &Denial) {
        self.put(usize::from(stage == Stage::Route), |queues, from| queues.made[from].push_back(*denial));
    }

    /// An input is a denial. On threads either of the two may be seen first, so both wait for each other.
    pub fn on_recorded(&mut self, seq: Seq, denial: &Denial) {
        let from = usize::from(denial.reason == DenyReason::RouteUnavailable);
        self.put(from, |queues, from| queues.recorded[from].push_back((seq, *denial)));
    }

    /// The first pair that differs: nothing is matched after it, and nothing kept.
    pub fn mismatch(&self) -> Option<&Mismatch> {
        self.mismatch.as_ref()
    }

    /// Those that were made and have not come back, of risk before those of route.
    pub fn made(&self) -> impl Iterator<Item = &Denial> + '_ {
        self.made.iter().flatten()
    }

    /// A recorded denial that was never made.
    pub fn unmade(&self) -> Option<&(Seq, Denial)> {
        self.recorded.iter().find_map(|queue| queue.front())
    }

    fn put(&mut self, from: usize, add: impl FnOnce(&mut Self, usize)) {
        if self.mismatch.is_some() {
            return;
        }
        add(self, from);
        while let (Some((seq, recorded)), Some(made)) = (self.recorded[from].front(), self.made[from].front())
        {
            if recorded != made {
                let mismatch = Some(Mismatch { seq: *seq, recorded: *recorded, made: *made });
                *self = Self { mismatch, ..Self::default() };
                return;
            }
            self.recorded[from].pop_front();
            self.made[from].pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::intent::{BasketKind, TradeId};
    use crate::domain::money::Money;
    use crate::domain::state::State as _;

    fn denial(leg: u8) -> Denial {
        let (trade, attempt, kind) = (TradeId(1), 0, BasketKind::Entry);
        let (reason, value, limit) = (DenyReason::KillSwitch, Money::ZERO, Money::ZERO);
        Denial { trade, attempt, kind, reason, leg, value, limit }
    }

    #[test]
    fn made_and_recorded_wait_for_each_other_and_leave_nothing_behind() {
        let mut denials = Denials::default();
        denials.on_made(Stage::Risk, &denial(1));
        denials.on_made(Stage::Risk, &denial(2));
        denials.on_recorded(Seq(7), &denial(1));
        let mut later = Denials::default();
        later.load(&denials.save().expect("saves")).expect("loads");
        later.on_recorded(Seq(8), &denial(2));
        assert_eq!(later, Denials::default());
        later.on_recorded(Seq(9), &denial(3));
        assert_eq!(later.unmade(), Some(&(Seq(9), denial(3))));
        later.on_made(Stage::Risk, &denial(3));
        assert_eq!(later, Denials::default());
    }

    #[test]
    fn the_first_difference_is_kept_and_nothing_grows_behind_it() {
        let mut denials = Denials::default();
        denials.on_made(Stage::Risk, &denial(1));
        denials.on_recorded(Seq(7), &denial(2));
        let found = Mismatch { seq: Seq(7), recorded: denial(2), made: denial(1) };
        assert_eq!(denials.mismatch(), Some(&found));
        let text = denials.save().expect("saves");
        denials.on_made(Stage::Risk, &denial(3));
        assert_eq!(denials.save().expect("saves"), text);
    }
}
