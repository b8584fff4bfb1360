//! Fills: each booked once, by trade id and by cumulative quantity; held while their fee is missing.

use super::entry::Entry;
use super::{Ledger, LedgerOddKind, LedgerOut, odd};
use crate::core::table::IdMap;
use crate::domain::carry::CarriedFill;
use crate::domain::instrument::{InstrumentId, VenueId};
use crate::domain::order::{ClientId, FillReport, OrderReport, OrderState, OrderUpdate, ReportKind};
use crate::domain::time::{MILLI, Nanos, Stamp};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Fills remembered for deduplication.
pub const FILLS_MAX: usize = 16_384;

/// Executions that wait for their order's name. More are left to the comparison of positions.
pub const UNNAMED_MAX: usize = 256;
/// They are looked at this often, ns.
const UNNAMED_EVERY: Nanos = 50 * MILLI;

/// A fill that was published.
const BOOKED: u32 = 1;
/// A fill that waits for its fee.
const HELD: u32 = 0;

/// The most recent fills by [`key`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Fills {
    marks: IdMap,
    order: VecDeque<u128>,
}

impl Fills {
    /// None, with all its room.
    pub fn new() -> Self {
        Self { marks: IdMap::new(FILLS_MAX), order: VecDeque::with_capacity(FILLS_MAX + 1) }
    }

    /// True when the fill was published.
    pub fn is_booked(&self, key: u128) -> bool {
        self.get(key) == Some(BOOKED)
    }

    /// How many are remembered, held ones included.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// The fills that were published, the oldest first.
    pub fn booked(&self) -> impl Iterator<Item = CarriedFill> + '_ {
        let unpacked = |key: u128| (VenueId((key >> 80) as u8), InstrumentId((key >> 64) as u16), key as u64);
        self.order.iter().filter(|key| self.is_booked(**key)).map(move |key| unpacked(*key))
    }

    /// A fill that was published by the run before.
    pub fn remember(&mut self, (venue, instrument, trade_id): CarriedFill) {
        self.set(key(venue, instrument, trade_id), BOOKED);
    }

    fn get(&self, key: u128) -> Option<u32> {
        self.marks.get(key)
    }

    /// Remembers a fill, forgetting the oldest when there is no room.
    fn set(&mut self, key: u128, mark: u32) {
        if self.get(key).is_none() {
            if self.order.len() >= FILLS_MAX
                && let Some(oldest) = self.order.pop_front()
            {
                self.marks.remove(oldest);
            }
            self.order.push_back(key);
        }
        // Room is kept by the lines above: the map is as large as the queue.
        let _ = self.marks.set(key, mark);
    }
}

/// A fill's unique name: trade ids are unique per venue and listing.
pub fn key(venue: VenueId, instrument: InstrumentId, trade_id: u64) -> u128 {
    1 << 127 | u128::from(venue.0) << 80 | u128::from(instrument.0) << 64 | u128::from(trade_id)
}

impl Ledger {
    /// An execution out of the venue's list, which names the venue's order and not ours. Whose it is may show later:
    /// of an order whose acknowledgement was lost, the venue's id is known when it was asked about.
    pub fn on_execution(&mut self, report: &OrderReport, now: Stamp, out: &mut LedgerOut) {
        if self.name_execution(report, now, out) {
            return;
        }
        if self.unnamed.len() < UNNAMED_MAX {
            self.unnamed.push(*report);
        } else {
            odd(out, ClientId::NONE, report.venue, LedgerOddKind::TableFull);
        }
    }

    /// Looks again at those that wait.
    pub(super) fn name_executions(&mut self, now: Stamp, out: &mut LedgerOut) {
        if self.unnamed.is_empty() || now.mono < self.unnamed_due {
            return;
        }
        self.unnamed_due = now.mono + UNNAMED_EVERY;
        for at in (0..self.unnamed.len()).rev() {
            let report = self.unnamed[at];
            if self.name_execution(&report, now, out) {
                self.unnamed.remove(at);
            }
        }
    }

    /// Books it, when it is known whose it is.
    fn name_execution(&mut self, report: &OrderReport, now: Stamp, out: &mut LedgerOut) -> bool {
        let (Some(fill), Some(instrument)) = (report.fill, report.instrument) else { return true };
        if self.fills.is_booked(key(report.venue, instrument, fill.trade_id)) {
            return true;
        }
        let of_venue = |entry: &Entry| entry.spec.venue == report.venue && entry.id() != ClientId::NONE;
        let is_it = |entry: &&Entry| of_venue(entry) && entry.venue_order_id == report.venue_order_id;
        if let Some(entry) = self.entries.iter().find(is_it) {
            let report = OrderReport { client_id: entry.id(), ..*report };
            self.on_report(&report, now, out);
            return true;
        }
        let may_be = |entry: &Entry| {
            of_venue(entry)
                && entry.venue_order_id == 0
                && (!entry.bookable || entry.spec.instrument == instrument)
        };
        if self.watched.iter().any(|slot| may_be(&self.entries[*slot as usize])) {
            return false;
        }
        self.on_foreign(report, out);
        true
    }

    /// An execution on our account under no id of ours (liquidation, deleveraging, by hand): passed on
    /// once per trade id. Reports without the fee are skipped: the full one follows on the same stream.
    pub(super) fn on_foreign(&mut self, report: &OrderReport, out: &mut LedgerOut) {
        let (Some(fill), Some(instrument), Some(side)) = (report.fill, report.instrument, report.side) else {
            if report.fill.is_some() {
                odd(out, ClientId::NONE, report.venue, LedgerOddKind::Malformed);
            }
            return;
        };
        let Some(fee) = fill.fee else { return };
        if fill.qty.0 <= 0 || fill.price.0 <= 0 {
            odd(out, ClientId::NONE, report.venue, LedgerOddKind::Malformed);
            return;
        }
        let key = key(report.venue, instrument, fill.trade_id);
        if self.fills.is_booked(key) {
            return;
        }
        self.fills.set(key, BOOKED);
        let state = match report.kind {
            ReportKind::Filled => OrderState::Filled,
            ReportKind::Canceled => OrderState::Canceled,
            ReportKind::Expired => OrderState::Expired,
            _ => OrderState::PartiallyFilled,
        };
        self.emit(
            OrderUpdate {
                client_id: ClientId::NONE,
                venue: report.venue,
                instrument,
                side,
                state,
                filled: report.filled.unwrap_or(fill.qty),
                fill_qty: fill.qty,
                fill_price: fill.price,
                fee,
                fee_currency: fill.fee_currency,
                maker: fill.maker,
                trade_id: fill.trade_id,
                venue_ns: report.venue_ns,
                ..OrderUpdate::default()
            },
            out,
        );
    }

    /// Books or holds a fill. True when it is booked, and so to be published.
    pub(super) fn take_fill(
        &mut self,
        slot: u32,
        report: &OrderReport,
        fill: &FillReport,
        out: &mut LedgerOut,
    ) -> bool {
        let entry = &mut self.entries[slot as usize];
        if fill.qty.0 <= 0 || fill.price.0 <= 0 {
            odd(out, report.client_id, report.venue, LedgerOddKind::Malformed);
            return false;
        }
        if !entry.bookable {
            // Cannot be attributed yet: its quantity is known to be missing, and will be asked for.
            entry.known = entry.known.max(fill.qty.0);
            return false;
        }
        let key = key(report.venue, entry.spec.instrument, fill.trade_id);
        let seen = self.fills.get(key);
        if seen == Some(BOOKED) || (seen == Some(HELD) && fill.fee.is_none()) {
            return false;
        }
        // Without a cumulative quantity in this message only the order's own quantity bounds it.
        let bound = match (report.filled, entry.qty()) {
            (Some(_), _) => entry.known,
            (None, Some(qty)) => qty.max(entry.known),
            (None, None) => i64::MAX,
        };
        let held_others = if seen.is_some() { entry.held - fill.qty.0.min(entry.held) } else { entry.held };
        if fill.fee.is_none() {
            if entry.booked + held_others + fill.qty.0 > bound {
                odd(out, report.client_id, report.venue, LedgerOddKind::BeyondCumulative);
                return false;
            }
            entry.held += fill.qty.0;
            entry.known = entry.known.max(entry.booked + entry.held);
            self.fills.set(key, HELD);
            return false;
        }
        if entry.booked.saturating_add(fill.qty.0) > bound {
            odd(out, report.client_id, report.venue, LedgerOddKind::BeyondCumulative);
            return false;
        }
        entry.held = held_others;
        entry.booked += fill.qty.0;
        entry.known = entry.known.max(entry.booked + entry.held);
        self.fills.set(key, BOOKED);
        true
    }
}
