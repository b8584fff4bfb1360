//! What risk hands over to the next run, and takes over from the one before.

use super::Risk;
use crate::domain::carry::{Carried, CarriedPosition, Carry, Halt, Standing};
use crate::domain::instrument::InstrumentId;
use crate::domain::money::Money;
use crate::domain::standing::TradingLock;

impl Risk {
    /// Adds what risk knows: halts, kills, losses, positions, locks.
    pub fn carry(&self, to: &mut Carry) {
        let halted = match (self.halted, self.killed, self.halted_by_recorder) {
            (Some(halt), ..) => Some(halt),
            (None, true, _) => Some(Halt::Killed),
            (None, false, true) => Some(Halt::Recorder),
            (None, false, false) => None,
        };
        let standing = &mut to.standing;
        (standing.halted, standing.failures) = (halted, self.failures);
        for (killed, venue) in standing.venues_killed.iter_mut().zip(&self.venues) {
            *killed = venue.killed;
        }
        (standing.day, standing.daily) = (self.positions.day(), self.positions.daily());
        (standing.result, standing.peak) = (self.result(), self.peak.max(self.result()));
        for view in self.positions.positions().filter(|view| view.position.qty != 0) {
            let (instrument, position) = (view.instrument.id, view.position);
            let (qty, open_cash, mark) = (position.qty, position.open_cash, position.mark);
            to.positions.push(CarriedPosition { instrument, qty, open_cash, mark, base: None });
        }
        let locked = (0..).map(InstrumentId).zip(&self.locks).filter(|(_, until)| **until > 0);
        to.locks.extend(locked.map(|(instrument, until)| TradingLock { instrument, until: *until }));
    }

    /// Takes over a part.
    pub(super) fn on_carried(&mut self, carried: &Carried) {
        match carried {
            Carried::Position(position) => {
                self.positions.adopt(position);
                self.refresh(position.instrument);
            }
            Carried::Trade(_) | Carried::Miss(_) => {}
            Carried::Standing(standing) => self.begin(standing),
            Carried::Reconciled(venue) => self.restart.on_reconciled(*venue),
        }
        self.restart.digest(&mut self.digest);
    }

    /// The last part: positions are known.
    fn begin(&mut self, standing: &Standing) {
        self.halted = standing.halted;
        self.failures = standing.failures;
        for (venue, killed) in self.venues.iter_mut().zip(standing.venues_killed) {
            venue.killed = killed;
        }
        self.positions.resume_day(standing.day, standing.daily);
        self.result_before = standing.result - self.positions.totals().net();
        self.peak = standing.peak;
        self.restart.begin(standing);
        self.digest.mix(self.state() as u64);
        self.digest.mix_wide(standing.daily.0);
        self.digest.mix_wide(standing.peak.0);
    }

    /// Net result of this run and those before it.
    pub fn result(&self) -> Money {
        self.result_before + self.positions.totals().net()
    }

    /// How far the result is below the largest that it ever was.
    pub fn drawdown(&self) -> Money {
        (self.peak - self.result()).max(Money::ZERO)
    }

    /// Follows the peak, and ends the hold of a restart once nothing is held that an order could close.
    pub(super) fn follow_result(&mut self) {
        self.peak = self.peak.max(self.result());
        let positions = &self.positions;
        self.restart.end_when(|| {
            positions.positions().all(|view| {
                let least = view.instrument.qty_min.0.max(view.instrument.step).max(1);
                view.position.qty.saturating_abs() < least
            })
        });
    }

    /// The operator's word: halts end, and a fall of the result is counted from here.
    pub(super) fn forgive(&mut self) {
        self.halted = None;
        self.peak = self.result();
    }
}
