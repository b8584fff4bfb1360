//! Amendments at the limits: what they add is checked, the worst of both terms is bound, and a refusal gives it back.

use super::*;
use crate::domain::intent::{Amend, Replace, WorstPrices};
use crate::domain::order::{AmendUpdate, OrderTerms, TimeInForce};

impl Bench {
    fn amend(&mut self, to: OrderSpec) -> Option<DenyReason> {
        self.next += 1;
        let attempt = self.next as u16;
        let amend = Amend { trade: TradeId(9), attempt, to, mid: Price(MID), ..Amend::default() };
        self.flow(FlowBody::Intent(Intent::Amend(amend)));
        match (self.out.flows.as_slice(), self.out.denials.as_slice()) {
            ([FlowBody::Intent(Intent::Amend(admitted))], []) => {
                assert_eq!(*admitted, amend);
                None
            }
            ([], [denial]) => {
                assert_eq!(
                    (denial.trade, denial.attempt, denial.kind),
                    (TradeId(9), attempt, BasketKind::Amend)
                );
                Some(denial.reason)
            }
            other => panic!("neither admitted nor denied: {other:?}"),
        }
    }

    /// Asks for `to` in the place of `old`: the order that is admitted.
    fn replace(&mut self, old: ClientId, to: OrderSpec) -> Result<OrderSpec, DenyReason> {
        self.next += 1;
        let client_id = ClientId::new(EPOCH, 1_000 + self.next);
        let trade = TradeId(1_000 + self.next as u32);
        let with = Amend { trade, to: OrderSpec { client_id, ..to }, mid: Price(MID), ..Amend::default() };
        self.flow(FlowBody::Intent(Intent::Replace(Replace { old, with })));
        match (self.out.flows.as_slice(), self.out.denials.as_slice()) {
            ([FlowBody::Intent(Intent::Replace(admitted))], []) => {
                assert_eq!((admitted.old, admitted.with.trade), (old, trade));
                Ok(admitted.with.to)
            }
            ([], [denial]) => {
                assert_eq!((denial.trade, denial.kind), (trade, BasketKind::Amend));
                Err(denial.reason)
            }
            other => panic!("neither admitted nor denied: {other:?}"),
        }
    }

    fn amended(&mut self, order: &OrderSpec, terms: OrderTerms, pending: Option<OrderTerms>) {
        let OrderSpec { client_id, venue, instrument, .. } = *order;
        self.event(EventBody::Amended(AmendUpdate {
            client_id,
            venue,
            instrument,
            terms,
            pending,
            ..AmendUpdate::default()
        }));
    }

    /// Open buys of the first listing, and what is reserved.
    fn bound(&self) -> (i64, Money) {
        (self.risk.exposure().open(InstrumentId(0)).0, self.risk.capital().reserved())
    }

    /// A resting buy of `qty` lots.
    fn rest(&mut self, qty: i64) -> OrderSpec {
        let order = OrderSpec { tif: TimeInForce::Gtc, ..self.order(0, Side::Buy, qty) };
        let basket = self.basket(BasketKind::Entry, &[order]);
        assert_eq!(self.ask(basket), None);
        self.update(&order, OrderState::Open, 0, 0);
        order
    }
}

#[test]
fn the_larger_of_both_is_bound_until_the_outcome_is_known() {
    let mut bench = Bench::new();
    let order = bench.rest(10);
    let (open, reserved) = bench.bound();
    assert_eq!(open, 10);
    let larger = OrderSpec { qty: Qty(20), ..order };
    assert_eq!(bench.amend(larger), None);
    assert_eq!(bench.bound(), (20, Money(reserved.0 * 2)));
    assert_eq!(bench.amend(larger), Some(DenyReason::InFlightExceeded), "one at a time");
    bench.amended(&order, order.terms(), Some(larger.terms()));
    assert_eq!(bench.bound(), (20, Money(reserved.0 * 2)));
    // Refused: as before.
    bench.amended(&order, order.terms(), None);
    assert_eq!(bench.bound(), (10, reserved));
    // Executed, and a part filled; then smaller, which is free when it is known and not before.
    assert_eq!(bench.amend(larger), None);
    bench.amended(&order, larger.terms(), None);
    bench.update(&larger, OrderState::PartiallyFilled, 5, 5);
    assert_eq!(bench.bound().0, 15);
    let smaller = OrderSpec { qty: Qty(8), ..order };
    assert_eq!(bench.amend(smaller), None);
    assert_eq!(bench.bound().0, 15);
    bench.amended(&order, smaller.terms(), None);
    assert_eq!(bench.bound().0, 3);
    bench.update(&smaller, OrderState::Canceled, 5, 0);
    assert_eq!(bench.bound(), (0, Money::ZERO));
    assert_eq!((bench.risk.open_orders(), bench.risk.baskets_in_flight()), (0, 0));
}

#[test]
fn what_an_amendment_adds_passes_the_checks_of_an_entry_or_nothing_changes() {
    let mut bench = Bench::new();
    let order = bench.rest(10);
    let before = bench.bound();
    let cases = [
        (OrderSpec { qty: Qty(10_000), ..order }, DenyReason::OrderNotionalExceeded),
        (OrderSpec { price: Price(MID * 2), ..order }, DenyReason::PriceCollarExceeded),
        (OrderSpec { qty: Qty(0), ..order }, DenyReason::OrderInvalid),
        (OrderSpec { side: Side::Sell, qty: Qty(20), ..order }, DenyReason::OrderInvalid),
        (OrderSpec { tif: TimeInForce::Ioc, qty: Qty(20), ..order }, DenyReason::OrderInvalid),
        (OrderSpec { client_id: ClientId::new(EPOCH, 999), qty: Qty(20), ..order }, DenyReason::OrderInvalid),
        (order, DenyReason::OrderInvalid),
    ];
    for (to, reason) in cases {
        let told = bench.amend(to);
        assert_eq!(told, Some(reason), "{to:?}");
        assert_eq!(bench.bound(), before);
    }
    bench.event(EventBody::Command(Command::Reduce));
    assert_eq!(
        bench.amend(OrderSpec { qty: Qty(11), ..order }),
        Some(DenyReason::InFlightExceeded),
        "it is being cancelled"
    );
}

#[test]
fn nothing_is_added_while_new_risk_is_held_and_taking_away_is_free() {
    let held = [
        (Command::JournalSpace { short: true }, DenyReason::TradingReducing),
        (Command::Kill(Scope::Global), DenyReason::KillSwitch),
    ];
    for (command, reason) in held {
        let mut bench = Bench::new();
        let order = bench.rest(10);
        bench.event(EventBody::Command(command));
        let told = bench.amend(OrderSpec { qty: Qty(12), ..order });
        let is_cancelled = matches!(command, Command::Kill(_));
        // What a kill cancels is not amended at all.
        let expected = if is_cancelled { DenyReason::InFlightExceeded } else { reason };
        assert_eq!(told, Some(expected), "{command:?}");
        assert_eq!(bench.amend(OrderSpec { qty: Qty(8), ..order }).is_none(), !is_cancelled, "{command:?}");
    }
}

#[test]
fn an_amendment_keeps_to_the_band_of_its_venue_and_to_its_locks() {
    let mut bench = Bench::new();
    let order = bench.rest(10);
    let amend = |bench: &mut Bench, attempt, worst| {
        let to = OrderSpec { qty: Qty(20), ..order };
        let worst = WorstPrices([Price(worst); 4]);
        let amend = Amend { trade: TradeId(9), attempt, to, mid: Price(MID), worst, ..Amend::default() };
        bench.flow(FlowBody::Intent(Intent::Amend(amend)));
        bench.out.denials.first().map(|denial| denial.reason)
    };
    assert_eq!(amend(&mut bench, 1, order.price.0 - 1), Some(DenyReason::PriceBandExceeded));
    let lock = |until| EventBody::Lock(TradingLock { instrument: order.instrument, until });
    bench.event(lock(i64::MAX));
    assert_eq!(amend(&mut bench, 2, order.price.0), Some(DenyReason::ListingLocked));
    bench.event(lock(0));
    assert_eq!(amend(&mut bench, 3, order.price.0), None);
}

#[test]
fn route_gives_back_what_it_could_not_send() {
    let mut bench = Bench::new();
    let order = bench.rest(10);
    let before = bench.bound();
    assert_eq!(bench.amend(OrderSpec { qty: Qty(20), ..order }), None);
    let attempt = bench.next as u16;
    let denial = |attempt| Denial {
        trade: TradeId(9),
        attempt,
        kind: BasketKind::Amend,
        reason: DenyReason::RouteUnavailable,
        leg: 0,
        value: Money::ZERO,
        limit: Money::ZERO,
    };
    bench.event(EventBody::Denied(denial(attempt + 1)));
    assert_eq!(bench.bound().0, 20, "that was another one");
    bench.event(EventBody::Denied(denial(attempt)));
    assert_eq!(bench.bound(), before);
    assert_eq!(bench.amend(OrderSpec { qty: Qty(12), ..order }), None, "and it may be tried again");
}

#[test]
fn an_order_in_the_place_of_another_one_counts_beside_it_until_the_end_of_that_one_is_stated() {
    let mut bench = Bench::new();
    let old = bench.rest(10);
    let (open, reserved) = bench.bound();
    bench.update(&old, OrderState::PartiallyFilled, 4, 4);
    // A total of 16, of which 4 have filled.
    let new = bench.replace(old.client_id, OrderSpec { qty: Qty(16), ..old }).unwrap();
    assert_eq!((open, new.qty), (10, Qty(12)));
    assert_eq!(bench.bound().0, 6 + 12, "what the old one may still fill comes on top");
    assert!(bench.bound().1 > reserved);
    assert_eq!(bench.risk.open_orders(), 2);
    // One at a time.
    let again = bench.replace(old.client_id, OrderSpec { qty: Qty(8), ..old });
    assert_eq!(again, Err(DenyReason::InFlightExceeded));
    bench.update(&old, OrderState::Canceled, 4, 0);
    assert_eq!(bench.bound().0, 12);
    bench.update(&new, OrderState::Open, 0, 0);
    // It is an order like any other, and may itself be replaced.
    let third = bench.replace(new.client_id, OrderSpec { qty: Qty(6), ..new }).unwrap();
    assert_eq!((third.qty, bench.bound().0), (Qty(6), 18));
    // Refused: the second one is as before.
    bench.update(&third, OrderState::Rejected, 0, 0);
    assert_eq!(bench.bound().0, 12);
    bench.update(&new, OrderState::Canceled, 0, 0);
    assert_eq!(bench.bound(), (0, Money::ZERO));
    assert_eq!((bench.risk.failures(), bench.risk.baskets_in_flight()), (0, 0), "no failed trade");
}

#[test]
fn nothing_is_put_in_the_place_of_an_order_that_has_filled_what_is_asked_for() {
    let mut bench = Bench::new();
    let old = bench.rest(10);
    bench.update(&old, OrderState::PartiallyFilled, 4, 4);
    for total in [3, 4] {
        let asked = bench.replace(old.client_id, OrderSpec { qty: Qty(total), ..old });
        assert_eq!(asked, Err(DenyReason::OrderInvalid), "{total}");
    }
    let other = OrderSpec { side: Side::Sell, qty: Qty(12), ..old };
    assert_eq!(bench.replace(old.client_id, other), Err(DenyReason::OrderInvalid));
    let unknown = ClientId::new(EPOCH, 999);
    assert_eq!(bench.replace(unknown, OrderSpec { qty: Qty(12), ..old }), Err(DenyReason::OrderInvalid));
    bench.event(EventBody::Command(Command::Kill(Scope::Global)));
    let killed = bench.replace(old.client_id, OrderSpec { qty: Qty(12), ..old });
    assert_eq!(killed, Err(DenyReason::InFlightExceeded), "it is being cancelled");
    assert_eq!(bench.bound().0, 6, "the old one is as before");
}

#[test]
fn what_route_cannot_send_in_the_place_of_an_order_is_given_back() {
    let mut bench = Bench::new();
    let old = bench.rest(10);
    let before = bench.bound();
    let new = bench.replace(old.client_id, OrderSpec { qty: Qty(8), ..old }).unwrap();
    bench.event(EventBody::Denied(Denial {
        trade: TradeId(1_000 + bench.next as u32),
        attempt: 0,
        kind: BasketKind::Amend,
        reason: DenyReason::RouteUnavailable,
        leg: 0,
        value: Money::ZERO,
        limit: Money::ZERO,
    }));
    assert_eq!((bench.bound(), bench.risk.open_orders()), (before, 1));
    assert!(bench.replace(old.client_id, OrderSpec { qty: Qty(8), client_id: new.client_id, ..old }).is_ok());
}

#[test]
fn an_order_in_the_place_of_another_one_needs_room_beside_it() {
    let mut bench = Bench::with(RiskParams { instrument_position_max_usd: 100, ..RiskParams::default() });
    let old = bench.rest(10);
    // The old one is not counted as gone.
    let asked = bench.replace(old.client_id, OrderSpec { qty: Qty(92), ..old });
    assert_eq!(asked, Err(DenyReason::InstrumentPositionExceeded));
    assert!(bench.replace(old.client_id, OrderSpec { qty: Qty(90), ..old }).is_ok());
    assert_eq!(bench.bound().0, 100);
}
