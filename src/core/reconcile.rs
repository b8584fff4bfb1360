//! Positions after an outage: what the venue states, held against what our booked fills amount to.
//!
//! A fill that is no order of ours (deleveraging, liquidation, a hand) is told once, on the account's stream. What was
//! executed while that was down is read from the venue's own list and booked as it was, by the order ledger; only then
//! the positions are compared. A difference that is left, and that no order of ours can explain any more, is booked
//! as a foreign execution at the mark and without a fee, as neither is known, and counted apart: the venue did not
//! answer, or does not list what it did. Until then, and for ever where it cannot be booked, the listing's
//! [`Check::Positions`] is not passed, which holds opening orders.
//!
//! | after an outage the venue states | then |
//! |---|---|
//! | what our fills amount to | passed |
//! | something else | not passed; executions not read yet, orders of ours that are open or owed may explain it |
//! | something else, [`EXPLAINED_WITHIN`] after the last word, with no such order and the executions read | booked at the mark, passed |
//! | the same, [`READ_WITHIN`] after the statement, the executions still not read | booked at the mark, passed; taken back when they are |
//!
//! A position is compared without an outage, too, when an order is not resolved by its venue, and while something is
//! held in a contract that does not trade: what a venue settles (expiry, delisting) it may not tell as an execution.
//!
//! What an account held when it was first read is not ours and stays out of the comparison. Pure: time is an
//! argument.

use super::order::entry::rescale;
use crate::domain::carry::{CarriedPosition, Carry};
use crate::domain::event::{EventBody, Mark, PositionReport};
use crate::domain::instrument::{Instrument, InstrumentId, Price, Qty, Status, VENUES_MAX, VenueId};
use crate::domain::number::{Num, POW10};
use crate::domain::order::{ClientId, OrderState, OrderUpdate, Side};
use crate::domain::params::EngineParams;
use crate::domain::standing::{Check, StartCheck};
use crate::domain::time::{Nanos, SECOND};
use serde::{Deserialize, Serialize};

/// Messages about positions and fills are not ordered against each other: a difference stands so long before it is
/// one, ns.
pub const EXPLAINED_WITHIN: Nanos = 2 * SECOND;

/// How long a difference waits for the venue's list of executions, ns.
pub const READ_WITHIN: Nanos = 60 * SECOND;

/// Positions in a contract that does not trade are looked at this often, ns.
const SETTLED_EVERY: Nanos = 15 * SECOND;

/// A list of positions that arrives this soon after a fill may have been made before it, ns.
const LIST_AGE: Nanos = SECOND;

/// The venue's last word about a position.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Stated {
    qty: i64,
    at: Nanos,
    listed: bool,
    venue_ns: Nanos,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Row {
    instrument: Instrument,
    venue: VenueId,
    /// What our fills, and foreign ones that were told, amount to.
    ours: i64,
    /// What the account held besides, when it was read first.
    base: Option<i64>,
    stated: Option<Stated>,
    /// When `ours` changed last.
    moved: Nanos,
    mark: Option<Price>,
    /// Something may have been missed: the next statement is compared.
    suspect: bool,
    /// A difference was told.
    told: bool,
    /// An execution was booked that nobody told: it may still be told.
    guessed: bool,
    /// When the position is to be read again although nothing was missed; 0 = not.
    doubted: Nanos,
}

impl Row {
    fn expected(&self) -> i64 {
        self.ours.saturating_add(self.base.unwrap_or(0))
    }

    /// The difference that the venue's last word shows, when that word counts.
    fn difference(&self) -> Option<(i64, Stated)> {
        let stated = self.stated?;
        let difference = stated.qty.saturating_sub(self.expected());
        let since = if stated.listed { self.moved.saturating_add(LIST_AGE) } else { self.moved };
        (difference == 0 || stated.at >= since).then_some((difference, stated))
    }

    /// Something is held in a contract that does not trade.
    fn may_be_settled(&self) -> bool {
        self.ours != 0 && self.instrument.spec.status != Status::Trading
    }

    fn check(&self, id: InstrumentId, passed: bool) -> EventBody {
        let (stated, wanted) = (self.stated.map_or(0, |stated| stated.qty), self.expected());
        EventBody::Check(StartCheck {
            venue: self.venue,
            check: Check::Positions,
            listing: Some(id),
            passed,
            stated: if passed { wanted } else { stated },
            wanted,
        })
    }
}

/// All listings of the run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Reconciler {
    rows: Vec<Row>,
    /// Rows that are suspect.
    suspects: u32,
    /// Venues whose list of executions since the outage was not read yet.
    unread: [bool; VENUES_MAX],
    /// Some row is doubted.
    doubts: bool,
}

impl Reconciler {
    /// Nothing is known of any account.
    pub fn new(params: &EngineParams) -> Self {
        let row = |venue| Row { venue, moved: Nanos::MIN, ..Row::default() };
        Self {
            rows: params.listings.iter().map(|listing| row(listing.venue)).collect(),
            suspects: 0,
            unread: [false; VENUES_MAX],
            doubts: false,
        }
    }

    /// Adds what our fills amount to and what the accounts held besides, where that is known.
    pub fn carry(&self, to: &mut Carry) {
        for (instrument, row) in (0..).map(InstrumentId).zip(&self.rows) {
            let Some(base) = row.base else { continue };
            match to.positions.iter_mut().find(|position| position.instrument == instrument) {
                Some(position) => position.base = Some(base),
                None => to.positions.push(CarriedPosition {
                    instrument,
                    base: Some(base),
                    ..CarriedPosition::default()
                }),
            }
        }
    }

    /// What the run before held is ours; where it is known what the account held besides, its first statement is
    /// compared like one after an outage.
    pub fn adopt(&mut self, carried: &CarriedPosition) {
        let Some(row) = self.rows.get_mut(carried.instrument.index()) else { return };
        (row.ours, row.base, row.mark) = (carried.qty, carried.base, carried.mark);
        if carried.base.is_some() {
            self.suspects += u32::from(!std::mem::replace(&mut row.suspect, true));
        }
    }

    /// Whether every listing of a venue was read and compared.
    pub fn is_settled(&self, venue: VenueId) -> bool {
        self.rows.iter().filter(|row| row.venue == venue).all(|row| row.base.is_some() && !row.suspect)
    }

    /// The account's stream is down: what happens is not told.
    pub fn on_account_down(&mut self, venue: VenueId) {
        if let Some(unread) = self.unread.get_mut(venue.index()) {
            *unread = true;
        }
        for row in self.rows.iter_mut().filter(|row| row.venue == venue && row.base.is_some()) {
            row.stated = None;
            self.suspects += u32::from(!std::mem::replace(&mut row.suspect, true));
        }
    }

    /// What our fills amount to in a listing is not certain: its position is to be read again, and compared.
    pub fn doubt(&mut self, id: InstrumentId) {
        if let Some(row) = self.rows.get_mut(id.index()).filter(|row| row.base.is_some()) {
            row.stated = None;
            row.doubted = row.doubted.max(1);
            self.suspects += u32::from(!std::mem::replace(&mut row.suspect, true));
            self.doubts = true;
        }
    }

    /// The next venue whose positions are to be read again now. A contract that does not trade may be settled at any
    /// time, which not every venue tells as an execution: while something is held there it is looked at again and
    /// again.
    pub fn next_doubt(&mut self, now: Nanos) -> Option<VenueId> {
        if !self.doubts {
            return None;
        }
        let at = self.rows.iter().position(|row| row.doubted > 0 && now >= row.doubted);
        self.doubts = at.is_some() || self.rows.iter().any(|row| row.doubted > 0);
        let id = InstrumentId(at? as u16);
        let venue = self.rows[id.index()].venue;
        self.doubt(id);
        for row in self.rows.iter_mut().filter(|row| row.venue == venue && row.doubted > 0) {
            row.doubted = if row.may_be_settled() { now.saturating_add(SETTLED_EVERY) } else { 0 };
        }
        Some(venue)
    }

    /// All executions since the outage were handed to the ledger.
    pub fn on_executions_read(&mut self, venue: VenueId) {
        if let Some(unread) = self.unread.get_mut(venue.index()) {
            *unread = false;
        }
    }

    /// A listing was (re)defined: quantities follow its scales.
    pub fn on_instrument(&mut self, instrument: &Instrument) {
        let Some(row) = self.rows.get_mut(instrument.id.index()) else { return };
        let before = std::mem::replace(&mut row.instrument, *instrument);
        if before.generation == 0 {
            return;
        }
        if row.may_be_settled() && row.doubted == 0 {
            row.doubted = 1;
            self.doubts = true;
        }
        let qty = |value| rescale(value, before.qty_scale, instrument.qty_scale);
        row.ours = qty(row.ours).unwrap_or(row.ours);
        row.base = row.base.and_then(qty);
        row.stated = row.stated.and_then(|stated| Some(Stated { qty: qty(stated.qty)?, ..stated }));
        let price = |mark: Price| rescale(mark.0, before.price_scale, instrument.price_scale).map(Price);
        row.mark = row.mark.and_then(price);
    }

    /// The venue states a mark price.
    pub fn on_mark(&mut self, mark: &Mark) {
        if let Some(row) = self.rows.get_mut(mark.instrument.index())
            && row.instrument.generation > 0
            && let Some(price) = mark.mark.and_then(|mark| truncated(mark, row.instrument.price_scale))
        {
            row.mark = Some(price);
        }
    }

    /// An order changed: a fill moves the position. A foreign one may be the one that was booked already.
    pub fn on_update(&mut self, update: &OrderUpdate, now: Nanos) {
        let Some(row) = self.rows.get_mut(update.instrument.index()) else { return };
        if update.fill_qty.0 <= 0 {
            return;
        }
        row.ours = row.ours.saturating_add(update.side.sign() * update.fill_qty.0);
        row.moved = now;
        // Or what an order did that was given up.
        if row.guessed && (update.client_id == ClientId::NONE || update.state.is_terminal()) {
            self.suspects += u32::from(!std::mem::replace(&mut row.suspect, true));
        }
    }

    /// The venue states a position.
    pub fn on_report(&mut self, report: &PositionReport, now: Nanos, emit: &mut impl FnMut(EventBody)) {
        let Some(row) = self.rows.get_mut(report.instrument.index()) else { return };
        let PositionReport { qty, snapshot: listed, venue_ns, .. } = *report;
        if row.base.is_none() {
            if listed {
                row.base = Some(qty.saturating_sub(row.ours));
            }
            return;
        }
        if !row.suspect {
            return;
        }
        // The list of an outage comes first; what is pushed after it is newer.
        if row.stated.is_none() && !listed {
            return;
        }
        row.stated = Some(Stated { qty, at: now, listed, venue_ns });
        if row.difference().is_some_and(|(difference, _)| difference != 0) && !row.told {
            row.told = true;
            emit(row.check(report.instrument, false));
        }
    }

    /// Time passed. `pending` tells whether an order of ours on a listing may still explain a difference. Returns the
    /// listings that were compared, and where nothing differs any more.
    pub fn on_tick(
        &mut self,
        now: Nanos,
        pending: impl Fn(VenueId, InstrumentId) -> bool,
        emit: &mut impl FnMut(EventBody),
    ) -> Vec<(VenueId, InstrumentId)> {
        let mut settled = Vec::new();
        if self.suspects == 0 {
            return settled;
        }
        for at in 0..self.rows.len() {
            let row = &mut self.rows[at];
            let id = InstrumentId(at as u16);
            if !row.suspect {
                continue;
            }
            let Some((difference, stated)) = row.difference() else { continue };
            if now - stated.at < EXPLAINED_WITHIN || now.saturating_sub(row.moved) < EXPLAINED_WITHIN {
                continue;
            }
            if difference != 0 {
                let unread = self.unread.get(row.venue.index()).copied().unwrap_or(false);
                if pending(row.venue, id) || (unread && now - stated.at < READ_WITHIN) {
                    continue;
                }
                // Without a price it is not booked, and the listing stays held.
                let Some(price) = row.mark.filter(|mark| mark.0 > 0) else { continue };
                row.ours = row.ours.saturating_add(difference);
                row.guessed = true;
                emit(EventBody::Order(foreign(row, id, (difference, price), stated.venue_ns)));
            }
            row.suspect = false;
            self.suspects -= 1;
            if std::mem::replace(&mut row.told, false) {
                emit(row.check(id, true));
            }
            settled.push((row.venue, id));
        }
        settled
    }
}

/// The execution that the venue did not tell.
fn foreign(
    row: &Row,
    instrument: InstrumentId,
    (difference, fill_price): (i64, Price),
    venue_ns: Nanos,
) -> OrderUpdate {
    let qty = Qty(difference.saturating_abs());
    OrderUpdate {
        client_id: ClientId::NONE,
        venue: row.venue,
        instrument,
        side: if difference > 0 { Side::Buy } else { Side::Sell },
        state: OrderState::Filled,
        filled: qty,
        fill_qty: qty,
        fill_price,
        fee_currency: row.instrument.settle,
        venue_ns,
        ..OrderUpdate::default()
    }
}

/// A decimal at a scale, towards zero: marks are finer than prices.
fn truncated(num: Num, scale: u8) -> Option<Price> {
    let unit = |digits: u8| POW10.get(usize::from(digits)).copied();
    if num.scale <= scale {
        return num.at_scale(scale).map(Price);
    }
    Some(Price(num.mantissa / unit(num.scale - scale)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::params::ListingParams;

    const BTC: InstrumentId = InstrumentId(0);

    struct Bench {
        reconciler: Reconciler,
        now: Nanos,
        pending: bool,
        /// How often the positions were to be read again.
        rereads: u32,
        seen: Vec<EventBody>,
    }

    impl Bench {
        /// Ten contracts held, the account read once, a mark known.
        fn new() -> Self {
            let params = EngineParams { listings: vec![ListingParams::default()], ..EngineParams::default() };
            let reconciler = Reconciler::new(&params);
            let mut bench =
                Self { reconciler, now: 100 * SECOND, pending: false, rereads: 0, seen: Vec::new() };
            let instrument = Instrument { id: BTC, generation: 1, price_scale: 2, ..Instrument::default() };
            bench.reconciler.on_instrument(&instrument);
            bench.reconciler.on_mark(&Mark { mark: Some(Num::new(123_456, 3)), ..Mark::default() });
            bench.states(0, true);
            bench.fills(ClientId::new(1, 1), Side::Buy, 10);
            bench.pass(60 * SECOND);
            bench
        }

        fn states(&mut self, qty: i64, snapshot: bool) {
            let report = PositionReport { instrument: BTC, qty, snapshot, ..PositionReport::default() };
            self.reconciler.on_report(&report, self.now, &mut |event| self.seen.push(event));
        }

        fn fills(&mut self, client_id: ClientId, side: Side, qty: i64) {
            let update = OrderUpdate { client_id, side, fill_qty: Qty(qty), ..OrderUpdate::default() };
            self.reconciler.on_update(&update, self.now);
        }

        /// What is emitted in the meantime: the passing of checks, and foreign quantities at their prices.
        fn pass(&mut self, span: Nanos) -> (Vec<bool>, Vec<(i64, i64)>) {
            let until = self.now + span;
            while self.now < until {
                self.now += SECOND / 10;
                let pending = self.pending;
                self.reconciler.on_tick(self.now, |_, _| pending, &mut |event| self.seen.push(event));
                while self.reconciler.next_doubt(self.now).is_some() {
                    self.rereads += 1;
                }
            }
            let (mut checks, mut booked) = (Vec::new(), Vec::new());
            for event in self.seen.drain(..) {
                match event {
                    EventBody::Check(check) => {
                        assert_eq!((check.check, check.listing), (Check::Positions, Some(BTC)));
                        checks.push(check.passed);
                    }
                    EventBody::Order(update) => {
                        assert_eq!((update.client_id, update.state), (ClientId::NONE, OrderState::Filled));
                        booked.push((update.side.sign() * update.fill_qty.0, update.fill_price.0));
                    }
                    other => panic!("{other:?}"),
                }
            }
            (checks, booked)
        }
    }

    #[test]
    fn what_was_taken_during_an_outage_holds_the_listing_and_is_booked_once() {
        let mut bench = Bench::new();
        bench.reconciler.on_account_down(VenueId(0));
        assert_eq!(bench.pass(60 * SECOND), (vec![], vec![]), "nothing is known of an outage while it lasts");
        bench.states(5, true);
        assert_eq!(bench.pass(EXPLAINED_WITHIN - SECOND / 5), (vec![false], vec![]), "held at once");
        bench.reconciler.on_executions_read(VenueId(0));
        assert_eq!(bench.pass(SECOND), (vec![true], vec![(-5, 12_345)]), "at the mark");
        assert_eq!(bench.pass(600 * SECOND), (vec![], vec![]));
        // The next outage finds nothing.
        bench.reconciler.on_account_down(VenueId(0));
        bench.states(5, true);
        assert_eq!(bench.pass(60 * SECOND), (vec![], vec![]));
    }

    #[test]
    fn a_difference_that_our_own_orders_explain_is_not_booked() {
        let mut bench = Bench::new();
        bench.pending = true;
        bench.reconciler.on_account_down(VenueId(0));
        bench.states(4, true);
        assert_eq!(bench.pass(60 * SECOND), (vec![false], vec![]), "an order is still asked about");
        bench.fills(ClientId::new(1, 2), Side::Sell, 6);
        bench.pending = false;
        assert_eq!(bench.pass(60 * SECOND), (vec![true], vec![]));
    }

    #[test]
    fn what_is_not_explained_and_has_no_price_stays_held() {
        let mut bench = Bench::new();
        bench.reconciler.rows[0].mark = None;
        bench.reconciler.on_account_down(VenueId(0));
        bench.states(5, true);
        assert_eq!(bench.pass(600 * SECOND), (vec![false], vec![]));
        bench.states(10, false);
        assert_eq!(bench.pass(60 * SECOND), (vec![true], vec![]), "the venue takes it back");
    }

    #[test]
    fn a_list_that_was_made_before_a_fill_proves_nothing() {
        let mut bench = Bench::new();
        bench.reconciler.on_account_down(VenueId(0));
        bench.now += SECOND;
        bench.fills(ClientId::new(1, 2), Side::Sell, 10);
        bench.now += SECOND / 100;
        bench.states(10, true);
        assert_eq!(bench.pass(60 * SECOND), (vec![], vec![]));
        bench.states(0, false);
        assert_eq!(bench.pass(60 * SECOND), (vec![], vec![]));
        assert_eq!(bench.reconciler.suspects, 0);
    }

    #[test]
    fn an_execution_that_is_told_after_it_was_booked_is_not_counted_twice() {
        let mut bench = Bench::new();
        bench.reconciler.on_account_down(VenueId(0));
        bench.states(5, true);
        assert_eq!(
            bench.pass(READ_WITHIN - SECOND),
            (vec![false], vec![]),
            "the list of executions is awaited"
        );
        assert_eq!(bench.pass(2 * SECOND).1, [(-5, 12_345)], "the venue does not answer");
        bench.fills(ClientId::NONE, Side::Sell, 5);
        assert_eq!(bench.pass(60 * SECOND), (vec![], vec![]), "no word since");
        bench.states(5, false);
        assert_eq!(bench.pass(60 * SECOND), (vec![false, true], vec![(5, 12_345)]), "taken back");
    }

    #[test]
    fn a_position_that_is_settled_in_a_contract_that_does_not_trade_is_found_without_an_outage() {
        let mut bench = Bench::new();
        let mut instrument = bench.reconciler.rows[0].instrument;
        instrument.spec.status = Status::Suspended;
        bench.reconciler.on_instrument(&instrument);
        assert_eq!(bench.pass(SECOND), (vec![], vec![]));
        assert_eq!(bench.rereads, 1);
        bench.states(10, true);
        assert_eq!(bench.pass(SETTLED_EVERY), (vec![], vec![]), "not settled yet");
        bench.states(0, true);
        assert_eq!(bench.pass(10 * SECOND), (vec![false, true], vec![(-10, 12_345)]), "at the mark");
        let before = bench.rereads;
        bench.pass(600 * SECOND);
        assert!(before >= 2 && bench.rereads <= before + 1, "nothing is held any more: {}", bench.rereads);
    }

    #[test]
    fn a_doubted_position_is_read_once_and_compared() {
        let mut bench = Bench::new();
        bench.reconciler.doubt(BTC);
        assert_eq!(bench.pass(SECOND), (vec![], vec![]));
        bench.states(4, true);
        assert_eq!(bench.pass(10 * SECOND), (vec![false, true], vec![(-6, 12_345)]));
        assert_eq!(bench.rereads, 1);
    }

    #[test]
    fn what_the_run_before_held_is_compared_with_the_first_statement_of_the_account() {
        for (stated, booked) in [(40, vec![]), (47, vec![(7, 12_345)]), (30, vec![(-10, 12_345)])] {
            let mut bench = Bench::new();
            let held =
                CarriedPosition { qty: 10, base: Some(30), mark: Some(Price(12_345)), ..Default::default() };
            bench.reconciler = Reconciler::new(&EngineParams {
                listings: vec![ListingParams::default()],
                ..EngineParams::default()
            });
            bench.reconciler.adopt(&held);
            assert_eq!(bench.pass(60 * SECOND), (vec![], vec![]), "the account is not read yet");
            assert!(!bench.reconciler.is_settled(VenueId(0)));
            bench.states(stated, true);
            assert_eq!(bench.pass(60 * SECOND).1, booked, "stated: {stated}");
            assert!(bench.reconciler.is_settled(VenueId(0)));
            let mut carry = Carry::default();
            bench.reconciler.carry(&mut carry);
            assert_eq!(carry.positions[0].base, Some(30), "what is not ours stays so");
        }
    }

    #[test]
    fn what_the_account_held_before_is_not_ours() {
        let params = EngineParams { listings: vec![ListingParams::default()], ..EngineParams::default() };
        let mut bench = Bench { reconciler: Reconciler::new(&params), ..Bench::new() };
        bench.states(70, true);
        bench.reconciler.on_account_down(VenueId(0));
        bench.states(70, true);
        assert_eq!(bench.pass(60 * SECOND), (vec![], vec![]));
    }
}
