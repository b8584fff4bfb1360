//! What a run that follows another one waits for before it opens anything: the accounts compared, the orders ended, and
//! what was held closed. Scan and risk each keep one, fed by the same events.

use super::digest::Digest;
use crate::domain::carry::Standing;
use crate::domain::instrument::{VENUES_MAX, VenueId};
use serde::{Deserialize, Serialize};

/// Where the restart stands. Of a first run: nowhere, and nothing waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restart {
    /// Another run came before, and left something or crashed.
    begun: bool,
    /// Nothing is opened yet.
    holds: bool,
    /// What an account holds beyond the record is ours.
    adopts: bool,
    awaited: [bool; VENUES_MAX],
}

impl Restart {
    /// The run before left this.
    pub fn begin(&mut self, standing: &Standing) {
        let Standing { reducing, adopts, awaited, .. } = *standing;
        *self = Self { begun: reducing, holds: reducing, adopts, awaited };
    }

    /// The account of a venue was compared, and its orders have ended.
    pub fn on_reconciled(&mut self, venue: VenueId) {
        if let Some(awaited) = self.awaited.get_mut(venue.index()) {
            *awaited = false;
        }
    }

    /// Whether nothing may be opened yet.
    pub const fn holds(&self) -> bool {
        self.holds
    }

    /// Ends the hold when every account was compared and `is_flat`; true when it just ended.
    pub fn end_when(&mut self, is_flat: impl FnOnce() -> bool) -> bool {
        let ends = self.holds && !self.awaited.contains(&true) && is_flat();
        self.holds &= !ends;
        ends
    }

    /// Whether the venue's account was not compared yet.
    pub fn awaits(&self, venue: VenueId) -> bool {
        self.awaited.get(venue.index()).copied().unwrap_or(false)
    }

    /// Whether what the account of the venue turns out to hold is ours.
    pub fn adopts_at(&self, venue: VenueId) -> bool {
        self.adopts && self.awaits(venue)
    }

    /// Whether orders of the run before are ours to clear up.
    pub const fn has_begun(&self) -> bool {
        self.begun
    }

    /// Adds the state to a digest; that of a first run adds nothing.
    pub fn digest(&self, to: &mut Digest) {
        if *self != Self::default() {
            to.mix(u64::from(self.begun) << 2 | u64::from(self.holds) << 1 | u64::from(self.adopts));
            self.awaited.iter().for_each(|awaited| to.mix(u64::from(*awaited)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_until_every_account_was_compared_and_nothing_is_held() {
        let mut restart = Restart::default();
        assert!(!restart.holds() && !restart.awaits(VenueId(0)), "a first run waits for nothing");
        let mut awaited = [false; VENUES_MAX];
        (awaited[0], awaited[2]) = (true, true);
        restart.begin(&Standing { reducing: true, adopts: true, awaited, ..Standing::default() });
        restart.on_reconciled(VenueId(0));
        assert!(
            !restart.end_when(|| true) && restart.adopts_at(VenueId(2)) && !restart.adopts_at(VenueId(0))
        );
        restart.on_reconciled(VenueId(2));
        assert!(!restart.end_when(|| false), "something is held");
        assert!(restart.end_when(|| true) && !restart.holds() && restart.has_begun());
        assert!(!restart.end_when(|| true), "it ends once");
    }
}
