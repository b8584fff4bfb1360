//! The market connection of a dialect and the second one beside it: when the second is wanted, when one may be left
//! for the other, and what its silence means. Knows sessions and instants; what flows over them is in [`super::lines`].

use super::copies::{COPIES, CopyCounts};
use super::session::{NEVER, Phase, Session};
use super::silence::Silence;
use crate::domain::params::{MarketCopies, VenueParams, connection_age_usual};
use crate::domain::time::{MILLI, Nanos, SECOND};
use serde::{Deserialize, Serialize};

/// By how much later the second connection is left than the first, at most.
const SPREAD: Nanos = 900 * SECOND;
/// A connection is dead, not its market, when the other one brought so many messages meanwhile.
const MISSED_MIN: u32 = 8;
/// While one waits to be left, it is looked at this often.
const LOOK_EVERY: Nanos = 50 * MILLI;

/// What is to be done about a market connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing before that instant.
    Wait(Nanos),
    /// Close it: it is dead, or the other one brings everything.
    Close,
}

/// The market connections of a venue.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Twins {
    copies: MarketCopies,
    /// Their positions among the venue's sessions; the second one may not be there.
    at: [usize; COPIES],
    /// When each of them is to be left for the other.
    leave_at: [Nanos; COPIES],
    /// What became of the messages of both.
    pub counts: CopyCounts,
    /// Of the core streams (books and best prices) on each.
    silence: [Silence; COPIES],
    /// Core messages of the other one since the last one of this.
    missed: [u32; COPIES],
    /// A market connection is left for a new one at this age.
    #[serde(default = "connection_age_usual")]
    age_max: Nanos,
}

impl Twins {
    /// With the first connection at position `first` among the sessions and the second one, if any, at `second`.
    pub fn new(params: &VenueParams, copies: MarketCopies, first: usize, second: usize) -> Self {
        Self {
            copies,
            at: [first, second],
            leave_at: [NEVER; COPIES],
            counts: CopyCounts::default(),
            silence: [Silence::default(); COPIES],
            missed: [0; COPIES],
            age_max: params.connection_age_max(),
        }
    }

    /// Whether there ever is a second connection.
    pub fn has_second(&self) -> bool {
        self.copies.has_second()
    }

    /// The counts, where there ever is a second connection.
    pub fn counted(&self) -> Option<&CopyCounts> {
        self.has_second().then_some(&self.counts)
    }

    /// Which market connection that session is.
    pub fn copy_of(&self, at: usize) -> Option<usize> {
        self.at.iter().position(|market| *market == at)
    }

    /// The session of a market connection.
    pub fn session(&self, copy: usize) -> usize {
        self.at[copy]
    }

    /// Whether a session waits for the first one to be left before it is made.
    pub fn is_spare(&self, at: usize) -> bool {
        self.copies == MarketCopies::Relay && at == self.at[1]
    }

    /// Whether a market connection stands.
    pub fn is_up(&self, sessions: &[Session], copy: usize) -> bool {
        sessions.get(self.at[copy]).is_some_and(|session| session.phase == Phase::Up)
    }

    /// The market connection that stands, the first one if both or neither do.
    pub fn standing(&self, sessions: &[Session]) -> usize {
        let is_second = !self.is_up(sessions, 0) && self.is_up(sessions, 1);
        self.at[usize::from(is_second)]
    }

    /// A book or best prices came on a connection. Whatever else it brings must not hide that these do not come.
    #[inline]
    pub fn hear(&mut self, copy: usize, now: Nanos) {
        if self.copies.has_second() {
            self.silence[copy].heard(now);
            self.missed[copy] = 0;
            self.missed[1 - copy] = self.missed[1 - copy].saturating_add(1);
        }
    }

    /// A market connection stands: plans its end.
    pub fn up(&mut self, copy: usize, now: Nanos) {
        self.silence[copy].begin(now);
        self.missed[copy] = 0;
        self.leave_at[copy] = match self.copies {
            MarketCopies::One => NEVER,
            _ => now + self.age_max + copy as Nanos * SPREAD.min(self.age_max / 20),
        };
    }

    /// A market connection is gone.
    pub fn down(&mut self, copy: usize) {
        self.leave_at[copy] = NEVER;
    }

    /// A connection is to be left as soon as the other one brings everything; false where there is no other, so that
    /// it has to be closed.
    pub fn leave(&mut self, copy: usize, now: Nanos) -> bool {
        if self.has_second() {
            self.leave_at[copy] = self.leave_at[copy].min(now);
        }
        self.has_second()
    }

    /// Makes the second connection wanted when the first is to be left, and says when that may be closed;
    /// `carries`: whether a connection brings everything that the other one does.
    pub fn step(
        &mut self,
        copy: usize,
        sessions: &mut [Session],
        now: Nanos,
        carries: impl FnOnce(usize) -> bool,
    ) -> Step {
        if !self.has_second() {
            return Step::Wait(NEVER);
        }
        let (at, twin) = (self.at[copy], 1 - copy);
        let is_twin_up = self.is_up(sessions, twin);
        if self.copies == MarketCopies::Relay && is_twin_up {
            let is_wanted = now >= self.leave_at[twin];
            let phase = &mut sessions[at].phase;
            match phase {
                Phase::Idle if is_wanted => *phase = Phase::Down { due: now },
                Phase::Down { .. } if !is_wanted => *phase = Phase::Idle,
                _ => {}
            }
        }
        if !self.is_up(sessions, copy) {
            return Step::Wait(NEVER);
        }
        let Step::Wait(judged) = self.judge(copy, sessions[at].ready, now) else { return Step::Close };
        if now < self.leave_at[copy] {
            Step::Wait(judged.min(self.leave_at[copy]))
        } else if is_twin_up && sessions[self.at[twin]].ready && carries(twin) {
            Step::Close
        } else {
            Step::Wait(judged.min(now + LOOK_EVERY))
        }
    }

    /// Judges the silence of a market connection. One that may be dead is left for a second one, which costs nothing
    /// if it was not; one that is silent while the other is not is dead. A dead socket whose market was never busy is
    /// found by its unanswered ping.
    fn judge(&mut self, copy: usize, is_ready: bool, now: Nanos) -> Step {
        let until = self.silence[copy].until(NEVER);
        if !is_ready {
            Step::Wait(NEVER)
        } else if now < until {
            Step::Wait(until)
        } else if self.missed[copy] >= MISSED_MIN {
            Step::Close
        } else if self.copies == MarketCopies::Relay && now < self.leave_at[copy] {
            self.silence[copy].doubt();
            self.leave_at[copy] = now;
            Step::Wait(NEVER)
        } else {
            Step::Wait(now + SECOND)
        }
    }
}
