//! What decode hands over to the next run, and takes over from the one before: the listings, the orders without an end,
//! what the accounts held. Scan and risk hear of the rest by events.

use super::Decode;
use crate::domain::carry::{Carried, Carry};
use crate::domain::event::EventBody;
use crate::domain::instrument::VenueId;
use crate::domain::time::Stamp;

impl Decode {
    /// Adds what decode knows. On paper there is nothing: the imagined accounts end with their run.
    pub fn carry(&self, to: &mut Carry) {
        let Some(reconciler) = &self.reconciler else { return };
        to.instruments.extend(self.registry.instruments().iter().filter(|known| known.generation > 0));
        self.ledger.carry(to);
        reconciler.carry(to);
    }

    /// Takes over what the run before left.
    #[cold]
    pub(super) fn on_carry(&mut self, bytes: &[u8], at: Stamp, emit: &mut impl FnMut(EventBody)) {
        let mut carry = Carry::from_bytes(bytes);
        for known in &carry.instruments {
            self.define(&known.spec, at, false, emit);
        }
        carry.rescale(|id| self.registry.get(id).copied());
        for position in &carry.positions {
            if let Some(reconciler) = &mut self.reconciler {
                reconciler.adopt(position);
            }
            emit(EventBody::Carried(Carried::Position(*position)));
        }
        for trade in &carry.trades {
            emit(EventBody::Carried(Carried::Trade(*trade)));
        }
        for fill in &carry.fills {
            self.ledger.remember_fill(*fill);
        }
        for order in &carry.orders {
            self.ledger.adopt(order, at, &mut self.ledger_out);
        }
        self.drain_ledger(at, emit);
        for lock in &carry.locks {
            emit(EventBody::Lock(*lock));
        }
        for miss in &carry.misses {
            emit(EventBody::Carried(Carried::Miss(*miss)));
        }
        self.awaited = carry.standing.awaited;
        emit(EventBody::Carried(Carried::Standing(carry.standing)));
    }

    /// Tells of each account when it was compared and its orders of the run before have ended.
    pub(super) fn watch_restart(&mut self, emit: &mut impl FnMut(EventBody)) {
        let Some(reconciler) = &self.reconciler else { return };
        for (venue, awaited) in (0..).map(VenueId).zip(&mut self.awaited) {
            if *awaited && reconciler.is_settled(venue) && !self.ledger.has_adopted(venue) {
                *awaited = false;
                emit(EventBody::Carried(Carried::Reconciled(venue)));
            }
        }
    }
}
