//! Orders of the run before: their end is not known, so each is Unknown and asked about under its old id, and what had
//! been booked of it is not booked again.

use super::entry::Entry;
use super::{Ledger, LedgerOut};
use crate::domain::carry::{CarriedFill, CarriedOrder, Carry};
use crate::domain::instrument::VenueId;
use crate::domain::time::Stamp;

/// Fills that are handed over: more than any order has that can still be asked about.
const FILLS_CARRIED: usize = 4096;

impl Ledger {
    /// Adds the orders whose end is not known or that are owed fills, and the fills that were booked last. An order of
    /// which not even the listing is known cannot be asked about.
    pub fn carry(&self, to: &mut Carry) {
        let watched = self.watched.iter().map(|slot| &self.entries[*slot as usize]);
        to.orders.extend(watched.filter(|entry| entry.bookable).map(Entry::carried));
        let fills = self.fills.booked();
        to.fills.extend(fills.skip(self.fills.len().saturating_sub(FILLS_CARRIED)));
    }

    /// Follows an order of the run before.
    pub fn adopt(&mut self, order: &CarriedOrder, now: Stamp, out: &mut LedgerOut) {
        let Some(slot) = self.insert(Entry::adopted(order, now.mono), out) else { return };
        // Nothing was heard of it since: it is asked about when the venue has listed its open orders.
        self.entries[slot as usize].blind = true;
        self.settle(slot, None, now.mono, out);
    }

    /// A fill that the run before booked.
    pub fn remember_fill(&mut self, fill: CarriedFill) {
        self.fills.remember(fill);
    }

    /// Whether an order of an earlier run is not done with at a venue.
    pub fn has_adopted(&self, venue: VenueId) -> bool {
        let concerns = |entry: &Entry| entry.adopted && entry.spec.venue == venue;
        self.watched.iter().any(|slot| concerns(&self.entries[*slot as usize]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::instrument::{InstrumentId, Price, Qty};
    use crate::domain::money::Money;
    use crate::domain::order::{
        ClientId, FillReport, OrderReport, OrderSpec, OrderState, OrderUpdate, ReportKind,
    };
    use crate::domain::params::{EngineParams, ListingParams};
    use crate::domain::time::{SECOND, Stamp};

    const OLD: ClientId = ClientId::new(1, 7);

    fn at(seconds: i64) -> Stamp {
        Stamp { mono: seconds * SECOND, wall: seconds * SECOND }
    }

    fn report(kind: ReportKind, filled: i64, fill: Option<(u64, i64)>) -> OrderReport {
        OrderReport {
            client_id: OLD,
            kind,
            instrument: Some(InstrumentId(0)),
            filled: Some(Qty(filled)),
            fill: fill.map(|(trade_id, qty)| FillReport {
                trade_id,
                qty: Qty(qty),
                price: Price(100),
                fee: Some(Money::ZERO),
                ..FillReport::default()
            }),
            ..OrderReport::default()
        }
    }

    /// A ledger of epoch 2 that has taken over an order of ten, four of which were booked by their fill 1.
    fn ledger(out: &mut LedgerOut) -> Ledger {
        let params = EngineParams {
            boot_epoch: 2,
            listings: vec![ListingParams::default()],
            ..EngineParams::default()
        };
        let mut ledger = Ledger::new(&params);
        ledger.remember_fill((VenueId(0), InstrumentId(0), 1));
        let spec = OrderSpec { client_id: OLD, qty: Qty(10), price: Price(100), ..OrderSpec::default() };
        let order =
            CarriedOrder { spec, placed: true, live: true, booked: 4, known: 4, ..CarriedOrder::default() };
        ledger.adopt(&order, at(1), out);
        ledger
    }

    #[test]
    fn an_order_of_the_run_before_is_asked_about_and_its_fills_are_booked_once() {
        let mut out = LedgerOut::with_capacity(16);
        let mut ledger = ledger(&mut out);
        let states: Vec<OrderState> = out.updates.iter().map(|update| update.state).collect();
        assert_eq!((states, ledger.has_adopted(VenueId(0))), (vec![OrderState::Unknown], true));
        out.clear();
        ledger.on_reconcile_end(VenueId(0), at(2), &mut out);
        assert_eq!(
            out.queries.iter().map(|query| query.client_id).collect::<Vec<_>>(),
            [OLD],
            "under its old id"
        );
        out.clear();
        // The venue tells both fills: the one that was booked before, and the one that was not.
        for fill in [(1, 4), (2, 6)] {
            ledger.on_report(&report(ReportKind::Filled, 10, Some(fill)), at(3), &mut out);
        }
        let booked: Vec<(i64, u64)> = out
            .updates
            .iter()
            .filter(|update| update.fill_qty.0 > 0)
            .map(|OrderUpdate { fill_qty, trade_id, .. }| (fill_qty.0, *trade_id))
            .collect();
        assert_eq!(booked, [(6, 2)]);
        assert_eq!(ledger.order(OLD), Some((OrderState::Filled, Qty(10))));
        assert!(!ledger.has_adopted(VenueId(0)));
        let mut carry = Carry::default();
        ledger.carry(&mut carry);
        assert_eq!((carry.orders.len(), carry.fills.len()), (0, 2), "nothing is left but what was booked");
    }

    #[test]
    fn an_order_that_is_still_not_known_is_handed_on() {
        let mut out = LedgerOut::with_capacity(16);
        let mut carry = Carry::default();
        ledger(&mut out).carry(&mut carry);
        let order = carry.orders[0];
        assert_eq!((order.spec.client_id, order.booked, order.known, order.live), (OLD, 4, 4, true));
        assert_eq!(carry.fills, [(VenueId(0), InstrumentId(0), 1)]);
    }
}
