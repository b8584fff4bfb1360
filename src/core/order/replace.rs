//! Replacements: one message ends an order and places another one in its stead, with a client id of its own.
//!
//! Two orders, each with its own words of the venue. What the reply says is about the new one; that the old one is over,
//! the venue states of that one. A refusal does not say whether the old one was ended first, so it is asked about, and
//! so are both when no reply comes.

use super::entry::Word;
use super::{Ledger, LedgerOut};
use crate::domain::input::{SendFate, SendOutcome};
use crate::domain::order::{ClientId, OrderState};
use crate::domain::time::{Nanos, SECOND, Stamp};

/// For so long after it was sent the message may still be on its way: a statement that the old order lives does not mean
/// before that it was refused, ns.
const UNDER_WAY: Nanos = 2 * SECOND;

impl Ledger {
    /// The fate of a message that places the order of `outcome` in the stead of `old`.
    pub fn on_replace_outcome(
        &mut self,
        outcome: &SendOutcome,
        old: ClientId,
        now: Stamp,
        out: &mut LedgerOut,
    ) {
        self.on_outcome(outcome, now, out);
        let Some(spec) = outcome.order else { return };
        let left = outcome.fate.has_left() || outcome.fate == SendFate::Unknown;
        let timeout = self.ack_timeout(spec.venue);
        if let Some(slot) = self.index.get(old.0) {
            let entry = &mut self.entries[slot as usize];
            let lives = entry.terminal.is_none() && !entry.is_complete();
            if left && lives {
                entry.leaving = now.mono.saturating_add(UNDER_WAY);
                if !entry.unknown {
                    entry.due = now.mono.saturating_add(timeout);
                }
                if outcome.fate == SendFate::Unknown && !std::mem::replace(&mut entry.unknown, true) {
                    self.query(slot, now.mono, out);
                }
            } else {
                entry.leaving = 0;
            }
            self.settle(slot, None, now.mono, out);
        }
        if left && let Some(slot) = self.index.get(spec.client_id.0) {
            self.entries[slot as usize].replaces = old;
            self.heed_replaced(slot, now, out);
        }
    }

    /// Where the venue has spoken of an order that was placed in the stead of another one, it has dealt with the request,
    /// and what it says of the other one from now on counts.
    pub(super) fn heed_replaced(&mut self, slot: u32, now: Stamp, out: &mut LedgerOut) {
        let entry = &mut self.entries[slot as usize];
        if entry.replaces == ClientId::NONE || (entry.word == Word::Silent && entry.terminal.is_none()) {
            return;
        }
        let old = std::mem::take(&mut entry.replaces);
        let refused = entry.terminal == Some(OrderState::Rejected);
        let Some(slot) = self.index.get(old.0) else { return };
        let entry = &mut self.entries[slot as usize];
        if entry.leaving == 0 {
            return;
        }
        entry.leaving = now.mono.max(1);
        if refused && !std::mem::replace(&mut entry.unknown, true) {
            self.query(slot, now.mono, out);
            self.settle(slot, None, now.mono, out);
        }
    }
}
