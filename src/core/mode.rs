//! What the operator and the runtime allow the scanner to want. Only tightens, until resumed.

use super::digest::Digest;
use super::restart::Restart;
use crate::domain::input::Scope;
use crate::domain::instrument::{VENUES_MAX, VenueId};
use serde::{Deserialize, Serialize};

/// What the operator and the runtime allow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Mode {
    /// Entries and exits.
    #[default]
    Normal,
    /// Exits only; what is open is closed.
    Reducing,
    /// As reducing, after a kill or a lost record.
    Halted,
}

/// The modes in force, globally and per venue. They only tighten until [`Modes::resume`].
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Modes {
    global: Mode,
    killed: [bool; VENUES_MAX],
    /// The run ends: nothing is sent any more.
    pub stopped: bool,
    /// The journal's disk is short of room: reducing, as long as that lasts.
    pub short: bool,
    /// The run before left something: reducing, until that is cleared up.
    pub restart: Restart,
}

impl Modes {
    /// Tightens the global mode.
    pub fn tighten(&mut self, mode: Mode) {
        self.global = self.global.max(mode);
    }

    /// Kills everything or one venue.
    pub fn kill(&mut self, scope: Scope) {
        match scope {
            Scope::Global => self.tighten(Mode::Halted),
            Scope::Venue(venue) => {
                if let Some(killed) = self.killed.get_mut(venue.index()) {
                    *killed = true;
                }
            }
        }
    }

    /// Back to normal.
    pub fn resume(&mut self) {
        // A condition is not an order: it stays until it has passed.
        let Self { stopped, short, restart, .. } = *self;
        *self = Self { stopped, short, restart, ..Self::default() };
    }

    /// The mode that holds everywhere.
    pub fn global(&self) -> Mode {
        if self.stopped { Mode::Halted } else { self.passing() }
    }

    /// The mode that holds for orders at `venue`.
    pub fn at(&self, venue: VenueId) -> Mode {
        if self.killed.get(venue.index()).copied().unwrap_or(true) || self.stopped {
            Mode::Halted
        } else {
            self.passing()
        }
    }

    fn passing(&self) -> Mode {
        if self.short || self.restart.holds() { self.global.max(Mode::Reducing) } else { self.global }
    }

    /// Adds the state to a digest.
    pub fn digest(&self, to: &mut Digest) {
        to.mix(self.global as u64);
        to.mix(u64::from(self.stopped));
        self.killed.iter().for_each(|killed| to.mix(u64::from(*killed)));
        if self.short {
            to.mix(1); // only then: runs that never were short digest as they always did
        }
        self.restart.digest(to);
    }
}
