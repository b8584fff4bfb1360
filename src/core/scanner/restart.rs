//! What the scanner hands over to the next run, and takes over from the one before.

use super::{ScanOut, Scanner};
use crate::core::mode::Mode;
use crate::domain::carry::{Carried, CarriedMiss, Carry, Standing};
use crate::domain::input::Scope;
use crate::domain::instrument::VenueId;

impl Scanner {
    /// Adds the open trades, and what was learnt of legs that miss.
    pub fn carry(&self, to: &mut Carry) {
        self.desk.carry(&self.listings, to);
        let learnt = self.listings.iter().map(|listing| {
            let (orders, missed) = listing.misses.learnt();
            CarriedMiss { instrument: listing.params.id, orders, missed }
        });
        to.misses.extend(learnt.filter(|learnt| learnt.orders > 0));
    }

    /// Takes over a part.
    pub(super) fn on_carried(&mut self, carried: &Carried, out: &mut ScanOut) {
        match carried {
            Carried::Position(position) => {
                self.with_desk(out, |desk, floor| desk.adopt_position(position, floor));
            }
            Carried::Trade(trade) => self.with_desk(out, |desk, floor| desk.adopt_trade(trade, floor)),
            Carried::Standing(standing) => self.begin_again(standing, out),
            Carried::Reconciled(venue) => self.modes.restart.on_reconciled(*venue),
            Carried::Miss(CarriedMiss { instrument, orders, missed }) => {
                if let Some(listing) = self.listings.get_mut(instrument.index()) {
                    listing.misses.go_on((*orders, *missed), self.now.mono, &self.params);
                }
            }
        }
    }

    fn begin_again(&mut self, standing: &Standing, out: &mut ScanOut) {
        if standing.halted.is_some() {
            self.modes.tighten(Mode::Halted);
        }
        for (venue, killed) in (0..).map(VenueId).zip(standing.venues_killed) {
            if killed {
                self.modes.kill(Scope::Venue(venue));
            }
        }
        self.modes.restart.begin(standing);
        self.with_desk(out, super::super::trade::desk::Desk::begin_again);
    }

    /// Entries are held until everything that the run before left is closed.
    pub(super) fn end_restart(&mut self) {
        let Self { modes, desk, listings, .. } = self;
        modes.restart.end_when(|| desk.is_clear(listings));
    }
}
