//! Exits of a pair of which one leg cannot be closed: a book is away, a contract is suspended.

use super::rig::{MID, Rig, instrument, scan_params};
use crate::core::pair::WhyNot;
use crate::domain::event::{BookState, EventBody};
use crate::domain::input::{Command, Scope};
use crate::domain::instrument::{InstrumentId, Qty, Status};
use crate::domain::intent::{Basket, BasketKind};
use crate::domain::order::{RejectClass, Side};
use crate::domain::params::ScanParams;

fn state(rig: &mut Rig, at: u16, status: Status) {
    let mut changed = instrument(at);
    changed.spec.status = status;
    rig.event(EventBody::Instrument(changed));
}

/// The only order of an exit: listing, side, contracts.
fn lone(basket: Option<Basket>) -> (InstrumentId, Side, Qty) {
    let basket = basket.expect("an exit");
    assert_eq!((basket.kind, basket.len, basket.legs[0].reduce_only), (BasketKind::Exit, 1, true));
    (basket.legs[0].instrument, basket.legs[0].side, basket.legs[0].qty)
}

const SHORT: (InstrumentId, Side, Qty) = (InstrumentId(1), Side::Buy, Qty(1_600));
const LONG: (InstrumentId, Side, Qty) = (InstrumentId(0), Side::Sell, Qty(160));

#[test]
fn a_leg_that_stands_alone_for_too_long_stops_entries_everywhere_until_it_is_closed() {
    let mut rig = Rig::warm_with(4, ScanParams { trades_open_max: 4, ..scan_params() });
    rig.spread(30);
    let entry = rig.basket().expect("an edge of 30 bps enters");
    let [long, short] = [entry.legs[0], entry.legs[1]];
    let free: Vec<u16> = (0..4).filter(|at| ![long.instrument.0, short.instrument.0].contains(at)).collect();
    rig.fill(&long);
    rig.reject(&short, RejectClass::Never);
    // The hedge is hopeless, and the venue takes no reduction.
    for _ in 0..400 {
        rig.tick_ms(100);
        [0, 1, 2, 3].into_iter().for_each(|at| rig.quote(at, MID));
        for basket in rig.baskets() {
            basket.orders().iter().for_each(|order| rig.reject(order, RejectClass::Retry));
        }
    }
    assert!(rig.scanner.totals().alone_ns > scan_params().unhedged_max_ns);
    let spread = |rig: &mut Rig| {
        rig.quote(free[0], MID);
        rig.quote(free[1], MID + 30 * MID / 10_000);
    };
    spread(&mut rig);
    assert!(rig.baskets().iter().all(|basket| basket.kind != BasketKind::Entry));
    assert!(rig.scanner.views().any(|view| view.why == WhyNot::Unhedged));
    // It is closed at last.
    for _ in 0..200 {
        rig.tick_ms(100);
        if let Some(basket) = rig.baskets().into_iter().next() {
            basket.orders().iter().for_each(|order| rig.fill(order));
            break;
        }
        [0, 1, 2, 3].into_iter().for_each(|at| rig.quote(at, MID));
    }
    assert_eq!(rig.scanner.totals().alone_ns, 0);
    rig.tick_ms(1_000);
    spread(&mut rig);
    assert!(rig.baskets().iter().any(|basket| basket.kind == BasketKind::Entry), "back to business");
}

#[test]
fn neither_time_nor_loss_nor_a_kill_closes_a_leg_beside_one_that_its_venue_keeps() {
    type Cause = fn(&mut Rig);
    let causes: [Cause; 3] = [
        |rig| rig.run_ms(31_000),
        |rig| rig.quote(0, MID - 90 * MID / 10_000),
        |rig| rig.command(Command::Kill(Scope::Global)),
    ];
    for cause in causes {
        let mut rig = Rig::open();
        state(&mut rig, 1, Status::Suspended);
        cause(&mut rig);
        for _ in 0..10 {
            let asked = rig.basket();
            assert_eq!(lone(asked), SHORT, "the suspended leg is tried, alone");
            rig.reject(&asked.unwrap().legs[0], RejectClass::Never);
            assert_eq!(rig.basket(), None, "with a pause");
            rig.run_ms(6_500);
        }
        let last = rig.basket().unwrap();
        state(&mut rig, 1, Status::Trading);
        rig.reject(&last.legs[0], RejectClass::Never);
        rig.run_ms(6_500);
        assert_eq!(rig.basket().expect("it trades again: both").len, 2);
    }
}

#[test]
fn where_a_suspended_contract_may_be_reduced_the_other_leg_follows_by_as_much() {
    let mut rig = Rig::open();
    state(&mut rig, 1, Status::Suspended);
    rig.command(Command::Reduce);
    let first = rig.basket();
    assert_eq!(lone(first), SHORT);
    rig.partial(&first.unwrap().legs[0], 800);
    rig.tick_ms(100);
    let second = rig.basket();
    assert_eq!(lone(second), (InstrumentId(0), Side::Sell, Qty(80)), "no further than the other leg");
    rig.fill(&second.unwrap().legs[0]);
    rig.tick_ms(100);
    let third = rig.basket();
    assert_eq!(lone(third), (InstrumentId(1), Side::Buy, Qty(800)));
    rig.fill(&third.unwrap().legs[0]);
    rig.tick_ms(100);
    let fourth = rig.basket();
    assert_eq!(lone(fourth), (InstrumentId(0), Side::Sell, Qty(80)));
    rig.fill(&fourth.unwrap().legs[0]);
    assert_eq!(rig.trade(), None);
}

#[test]
fn a_pair_that_is_suspended_on_both_venues_is_kept() {
    let mut rig = Rig::open();
    state(&mut rig, 0, Status::Suspended);
    state(&mut rig, 1, Status::Suspended);
    rig.run_ms(40_000);
    assert_eq!(rig.basket(), None, "one might take what the other refuses");
    state(&mut rig, 0, Status::Trading);
    rig.run_ms(200);
    let first = rig.basket();
    assert_eq!(lone(first), SHORT);
    rig.fill(&first.unwrap().legs[0]);
    rig.tick_ms(100);
    assert_eq!(lone(rig.basket()), LONG);
}

#[test]
fn an_unequal_rest_is_made_equal_while_the_other_book_is_away() {
    let mut rig = Rig::open();
    rig.quote(1, MID);
    let exit = rig.basket().unwrap();
    rig.zero(&exit.legs[0]);
    rig.partial(&exit.legs[1], 1_000);
    rig.book(1, BookState::Invalid);
    rig.tick_ms(100);
    let rest = rig.basket();
    assert_eq!(lone(rest), (InstrumentId(0), Side::Sell, Qty(100)), "600 contracts are 60 steps here");
    rig.fill(&rest.unwrap().legs[0]);
    rig.run_ms(5_000);
    assert_eq!(rig.basket(), None, "equal: they wait for each other");
    rig.book(1, BookState::Live);
    rig.quote(1, MID);
    rig.tick_ms(100);
    let both = rig.basket().unwrap();
    assert_eq!((both.len, both.legs[0].qty, both.legs[1].qty), (2, Qty(60), Qty(600)));
}

#[test]
fn the_smaller_rest_waits_for_the_larger() {
    let mut rig = Rig::open();
    rig.quote(1, MID);
    let exit = rig.basket().unwrap();
    rig.partial(&exit.legs[0], 100);
    rig.zero(&exit.legs[1]);
    rig.book(1, BookState::Invalid);
    rig.run_ms(5_000);
    assert_eq!(rig.basket(), None, "less here would leave more alone there");
}
