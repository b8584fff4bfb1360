//! Amendments of one order: the terms that it works with, and those that it may have become already.
//!
//! An acknowledgement is no outcome: an amendment is executed when the venue states the new terms, and refused
//! when it says so. A reply that is lost leaves it pending; the order is queried, and what the venue then states
//! wins. Until the outcome is known the larger of both quantities can fill.

use super::entry::{Entry, Heard};
use super::{Ledger, LedgerOddKind, LedgerOut, odd, reject_class};
use crate::domain::input::{RefuseReason, SendFate, SendOutcome};
use crate::domain::order::{AmendUpdate, OrderReport, OrderSpec, OrderTerms, RejectClass, ReportKind};
use crate::domain::time::{Nanos, SECOND, Stamp};
use serde::{Deserialize, Serialize};

/// For so long after an amendment was sent it may still be on its way: a statement of the old terms does not
/// mean before that it was refused, ns. Over HTTP, where it may wait for a thread: as long as the venue takes it.
const UNDER_WAY: Nanos = 2 * SECOND;

/// An amendment whose outcome is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// What the order shall be.
    pub terms: OrderTerms,
    /// `mono` until which it may still be on its way.
    pub until: Nanos,
}

impl Entry {
    /// Order quantity, where known: what is bookable at most, whatever became of a pending amendment.
    pub fn qty(&self) -> Option<i64> {
        let pending = self.pending.map_or(0, |pending| pending.terms.qty.0);
        self.placed.then(|| self.spec.qty.0.max(pending))
    }

    /// Takes in what a report says of an amendment and of the order's terms; before anything else of it.
    pub(super) fn hear_terms(&mut self, report: &OrderReport, now: Nanos) {
        if !self.amended {
            // As sent. Venues cut reduce-only orders to the position: that is no amendment.
            return;
        }
        let executed = report.kind == ReportKind::Amended;
        // A reply that was overtaken tells of the past.
        let stated = report.terms.filter(|_| report.venue_ns == 0 || report.venue_ns >= self.terms_ns);
        if let Some(terms) = stated {
            self.terms_ns = self.terms_ns.max(report.venue_ns);
            let (old, pending) = (self.spec.terms(), self.pending);
            let is_late = pending.is_some_and(|pending| now >= pending.until);
            if executed || is_late || pending.is_some_and(|pending| terms == pending.terms) {
                self.pending = None;
            }
            if terms != old && terms.qty.0 > 0 {
                (self.spec.price, self.spec.qty) = (terms.price, terms.qty);
            }
        } else if let Some(pending) = self.pending.filter(|_| executed) {
            (self.spec.price, self.spec.qty) = (pending.terms.price, pending.terms.qty);
            self.pending = None;
        }
    }

    /// The venue refuses an amendment. Where it does not say that nothing was changed, the order is asked about.
    pub(super) fn hear_amend_rejected(&mut self, reject: RejectClass) -> Heard {
        if matches!(reject, RejectClass::NotFound | RejectClass::UnknownOutcome) {
            return if self.terminal.is_none() { Heard::Doubt } else { Heard::Nothing };
        }
        self.pending = None;
        Heard::Nothing
    }
}

impl Ledger {
    /// The fate of a message that amends an order.
    pub fn on_amend_outcome(&mut self, outcome: &SendOutcome, now: Stamp, out: &mut LedgerOut) {
        let Some(spec) = outcome.order else { return };
        let Some(slot) = self.index.get(spec.client_id.0) else {
            odd(out, spec.client_id, spec.venue, LedgerOddKind::Contradiction);
            return;
        };
        if let SendFate::Withdrawn(reason) = outcome.fate {
            return self.on_amend_withdrawn(slot, &spec, reason, now, out);
        }
        let timeout = self.ack_timeout(spec.venue);
        let under_way = match outcome.fate {
            SendFate::Handed => self.http_valid_ns.get(spec.venue.index()).copied().unwrap_or(UNDER_WAY),
            _ => UNDER_WAY,
        };
        let entry = &mut self.entries[slot as usize];
        let mut reject = match outcome.fate {
            SendFate::Refused(reason) => reject_class(reason),
            _ => RejectClass::None,
        };
        if reject == RejectClass::None && entry.terminal.is_some() {
            // It ended on the way: the venue will find nothing to change.
            reject = RejectClass::NotFound;
        }
        if reject == RejectClass::None {
            if entry.pending.is_some() {
                odd(out, spec.client_id, spec.venue, LedgerOddKind::Contradiction);
            }
            let entry = &mut self.entries[slot as usize];
            let until = now.mono.saturating_add(under_way);
            entry.pending = Some(Pending { terms: spec.terms(), until });
            entry.amended = true;
            if !entry.unknown {
                entry.due = now.mono.saturating_add(timeout);
            }
            if outcome.fate == SendFate::Unknown {
                entry.unknown = true;
                self.query(slot, now.mono, out);
            }
        }
        self.publish_amend(slot, reject, out);
        self.settle(slot, None, now.mono, out);
    }

    /// The gate took an amendment back that waited for an HTTP thread: the order is as before.
    fn on_amend_withdrawn(
        &mut self,
        slot: u32,
        spec: &OrderSpec,
        reason: RefuseReason,
        now: Stamp,
        out: &mut LedgerOut,
    ) {
        let entry = &mut self.entries[slot as usize];
        if entry.pending.is_none_or(|pending| pending.terms != spec.terms()) {
            // The order has ended meanwhile, which also ended the amendment.
            if entry.terminal.is_none() {
                odd(out, spec.client_id, spec.venue, LedgerOddKind::Contradiction);
            }
            return;
        }
        entry.pending = None;
        self.publish_amend(slot, reject_class(reason), out);
        self.settle(slot, None, now.mono, out);
    }

    /// Tells the terms of an order, what they may have become, and why they did not.
    pub(super) fn publish_amend(&mut self, slot: u32, reject: RejectClass, out: &mut LedgerOut) {
        let entry = &self.entries[slot as usize];
        if !entry.bookable {
            return;
        }
        let update = AmendUpdate {
            client_id: entry.spec.client_id,
            venue: entry.spec.venue,
            instrument: entry.spec.instrument,
            terms: entry.spec.terms(),
            pending: entry.pending.map(|pending| pending.terms),
            reject,
            venue_ns: entry.venue_ns,
        };
        let digest = &mut self.digest;
        digest.mix_wide(update.client_id.0 as i128);
        digest.mix(update.terms.price.0 as u64);
        digest.mix(update.terms.qty.0 as u64);
        digest.mix(update.pending.map_or(0, |terms| terms.qty.0 as u64));
        digest.mix(reject as u64);
        out.amends.push(update);
    }
}
