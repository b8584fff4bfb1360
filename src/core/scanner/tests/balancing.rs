//! What follows from every outcome of the two legs of an entry.

use super::rig::{Rig, scan_params};
use crate::core::trade::Phase;
use crate::domain::instrument::{InstrumentId, Qty};
use crate::domain::intent::{Basket, BasketKind};
use crate::domain::order::{OrderSpec, OrderState, RejectClass, Side, TimeInForce};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Full,
    Half,
    Zero,
    Reject,
    Unknown,
}

fn meet(rig: &mut Rig, order: &OrderSpec, fate: Fate) {
    match fate {
        Fate::Full => rig.fill(order),
        Fate::Half => rig.partial(order, order.qty.0 / 2),
        Fate::Zero => rig.zero(order),
        Fate::Reject => rig.reject(order, RejectClass::Retry),
        Fate::Unknown => rig.update(order, OrderState::Unknown, 0, RejectClass::None),
    }
}

/// What is expected after the entry; a hedge is of so many halves of a leg's intended quantity.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Then {
    Waits,
    Ends,
    Holds,
    Hedges { leg: usize, halves: i64 },
}

#[test]
fn every_outcome_of_two_legs_leads_to_its_one_action() {
    use Fate::{Full, Half, Reject, Unknown, Zero};
    let hedge = |leg, halves| Then::Hedges { leg, halves };
    let table = [
        (Full, Full, Then::Holds),
        (Full, Half, hedge(1, 1)),
        (Full, Zero, hedge(1, 2)),
        (Full, Reject, hedge(1, 2)),
        (Full, Unknown, Then::Waits),
        (Half, Full, hedge(0, 1)),
        (Half, Half, Then::Holds),
        (Half, Zero, hedge(1, 1)),
        (Half, Reject, hedge(1, 1)),
        (Half, Unknown, Then::Waits),
        (Zero, Full, hedge(0, 2)),
        (Zero, Half, hedge(0, 1)),
        (Zero, Zero, Then::Ends),
        (Zero, Reject, Then::Ends),
        (Zero, Unknown, Then::Waits),
        (Reject, Full, hedge(0, 2)),
        (Reject, Half, hedge(0, 1)),
        (Reject, Zero, Then::Ends),
        (Reject, Reject, Then::Ends),
        (Reject, Unknown, Then::Waits),
        (Unknown, Full, Then::Waits),
        (Unknown, Half, Then::Waits),
        (Unknown, Zero, Then::Waits),
        (Unknown, Reject, Then::Waits),
        (Unknown, Unknown, Then::Waits),
    ];
    for (long, short, then) in table {
        for short_first in [false, true] {
            let (mut rig, entry) = Rig::entered();
            let fates = [(0, long), (1, short)];
            for at in if short_first { [1, 0] } else { [0, 1] } {
                meet(&mut rig, &entry.legs[fates[at].0], fates[at].1);
            }
            check(
                &mut rig,
                &entry,
                [long, short],
                then,
                &format!("{long:?}/{short:?}, short first: {short_first}"),
            );
        }
    }
}

fn check(rig: &mut Rig, entry: &Basket, fates: [Fate; 2], then: Then, case: &str) {
    let basket = rig.basket();
    let view = rig.view(0);
    let rejects = fates.iter().filter(|fate| **fate == Fate::Reject).count() as u64;
    match then {
        Then::Waits => {
            assert_eq!((basket, rig.phase()), (None, Some(Phase::Entering)), "{case}");
            assert_eq!((view.hits, view.misses), (0, 0), "{case}: nothing is known yet");
        }
        Then::Ends => {
            assert_eq!((basket, rig.phase()), (None, None), "{case}");
            assert_eq!((view.hits, view.misses), (0, 1), "{case}");
            assert_eq!(rig.scanner.totals().desk.failures, rejects, "{case}: only a refusal is a failure");
        }
        Then::Holds => {
            assert_eq!((basket, rig.phase()), (None, Some(Phase::Open)), "{case}");
            assert_eq!((view.hits, view.misses), (1, 0), "{case}");
        }
        Then::Hedges { leg, halves } => {
            let basket = basket.unwrap_or_else(|| panic!("{case}: no basket"));
            let (order, intended) = (basket.legs[0], entry.legs[leg]);
            assert_eq!((basket.kind, basket.len, basket.attempt), (BasketKind::Hedge, 1, 1), "{case}");
            assert_eq!((order.venue, order.side), (intended.venue, intended.side), "{case}");
            assert_eq!(order.qty.0, intended.qty.0 * halves / 2, "{case}");
            assert!(!order.reduce_only && order.tif == TimeInForce::Ioc, "{case}");
            rig.fill(&order);
            assert_eq!(rig.phase(), Some(Phase::Open), "{case}: balanced");
            let held = rig.trade().unwrap().legs.map(|leg| leg.position);
            assert_eq!(held[0] * 10, -held[1], "{case}: equal base on both legs");
        }
    }
}

#[test]
fn unknown_is_acted_upon_once_resolved() {
    let (mut rig, entry) = Rig::entered();
    rig.fill(&entry.legs[0]);
    meet(&mut rig, &entry.legs[1], Fate::Unknown);
    rig.run_ms(5_000);
    assert_eq!(rig.baskets(), vec![], "however long it takes");
    rig.zero(&entry.legs[1]);
    assert_eq!(rig.basket().unwrap().kind, BasketKind::Hedge);
}

#[test]
fn hedges_that_fail_end_in_an_unwind_where_it_was_filled_never_on_a_third_venue() {
    // Three venues; the third would pay better than either.
    let mut rig = Rig::warm_with(3, scan_params());
    rig.spread(30);
    let entry = rig.basket().unwrap();
    let (filled, missing) = (entry.legs[0].venue, entry.legs[1].venue);
    let third = (0u16..3).find(|at| ![filled.0, missing.0].contains(&(*at as u8))).unwrap();
    rig.bbo(third, super::rig::MID + 500_000, 10_000_000, super::rig::MID + 500_200, 10_000_000, 0);
    rig.burst_end(third, true);
    rig.fill(&entry.legs[0]);
    rig.zero(&entry.legs[1]);
    for attempt in 1..=2 {
        let hedge = rig.basket().unwrap();
        assert_eq!((hedge.kind, hedge.attempt, hedge.legs[0].venue), (BasketKind::Hedge, attempt, missing));
        rig.zero(&hedge.legs[0]);
    }
    let unwind = rig.basket().unwrap();
    let order = unwind.legs[0];
    assert_eq!((unwind.kind, order.venue, order.side), (BasketKind::Unwind, filled, Side::Sell));
    assert!(order.reduce_only);
    assert_eq!(order.qty, entry.legs[0].qty);
    // Half of it fills: the rest again, after a pause.
    rig.partial(&order, order.qty.0 / 2);
    assert_eq!(rig.basket(), None);
    rig.tick_ms(99);
    assert_eq!(rig.basket(), None);
    rig.tick_ms(1);
    let again = rig.basket().unwrap();
    assert_eq!((again.kind, again.legs[0].qty.0), (BasketKind::Unwind, order.qty.0 / 2));
    rig.fill(&again.legs[0]);
    assert_eq!(rig.trade(), None, "flat");
    assert_eq!(rig.scanner.totals().desk.unwinds, 2);
}

#[test]
fn a_hopeless_refusal_is_not_hedged_again() {
    let (mut rig, entry) = Rig::entered();
    rig.fill(&entry.legs[0]);
    rig.reject(&entry.legs[1], RejectClass::Margin);
    assert_eq!(rig.basket().unwrap().kind, BasketKind::Unwind);
}

#[test]
fn a_denied_hedge_counts_as_an_attempt_and_waits_before_the_next() {
    let (mut rig, entry) = Rig::entered();
    rig.fill(&entry.legs[0]);
    rig.zero(&entry.legs[1]);
    let hedge = rig.basket().unwrap();
    rig.deny(&hedge);
    assert_eq!(rig.basket(), None);
    rig.tick_ms(100);
    let second = rig.basket().unwrap();
    assert_eq!((second.kind, second.attempt), (BasketKind::Hedge, 2));
    rig.deny(&hedge);
    assert!(rig.trade().unwrap().is_waiting(), "a denial of an older attempt means nothing");
    rig.deny(&second);
    rig.tick_ms(100);
    assert_eq!(rig.basket().unwrap().kind, BasketKind::Unwind);
}

#[test]
fn an_imbalance_below_a_step_is_held() {
    let (mut rig, entry) = Rig::entered();
    // 0.0155 BTC on the short leg: half a step of venue 0 short of 0.016.
    rig.fill(&entry.legs[0]);
    rig.partial(&entry.legs[1], 1_550);
    assert_eq!((rig.basket(), rig.phase()), (None, Some(Phase::Open)));
}

#[test]
fn what_cannot_be_hedged_is_unwound_and_what_cannot_be_unwound_is_a_residual() {
    let (mut rig, entry) = Rig::entered();
    // Only 0.0005 BTC, on the short leg: venue 0 cannot hedge that, venue 1 can take it back.
    rig.zero(&entry.legs[0]);
    rig.partial(&entry.legs[1], 50);
    let unwind = rig.basket().unwrap();
    assert_eq!(
        (unwind.kind, unwind.legs[0].qty, unwind.legs[0].side),
        (BasketKind::Unwind, Qty(50), Side::Buy)
    );
    // It takes back all but half a step: no order can close that.
    rig.partial(&unwind.legs[0], 45);
    assert_eq!(rig.trade(), None);
    assert_eq!(rig.scanner.residuals().collect::<Vec<_>>(), vec![(InstrumentId(1), Qty(-5))]);
}

#[test]
fn a_repeated_update_is_counted_once() {
    let (mut rig, entry) = Rig::entered();
    for _ in 0..3 {
        rig.update(&entry.legs[0], OrderState::PartiallyFilled, 80, RejectClass::None);
    }
    rig.update(&entry.legs[0], OrderState::PartiallyFilled, 30, RejectClass::None);
    assert_eq!(rig.trade().unwrap().legs[0].position, 80);
    rig.fill(&entry.legs[0]);
    rig.fill(&entry.legs[0]);
    assert_eq!(rig.trade().unwrap().legs[0].position, 160);
}
