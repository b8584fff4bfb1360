//! Exits until flat: convergence, time, loss; retries, denials, late fills and changed contracts.

use super::rig::{MID, Rig, engine, instrument, scan_params};
use crate::core::limits::URGENT_SIZE_FACTOR;
use crate::core::pair::WhyNot;
use crate::core::trade::Phase;
use crate::domain::event::{BookState, EventBody};
use crate::domain::instrument::{InstrumentId, Price, Qty};
use crate::domain::intent::{BPS, Basket, BasketKind};
use crate::domain::money::Money;
use crate::domain::order::{OrderState, RejectClass, Side};
use crate::domain::params::ScanParams;
use crate::domain::time::{MILLI, SECOND};

fn assert_closes_both(basket: &Basket) {
    assert_eq!((basket.kind, basket.len), (BasketKind::Exit, 2));
    assert!(basket.orders().iter().all(|order| order.reduce_only));
    assert_eq!((basket.legs[0].side, basket.legs[0].qty), (Side::Sell, Qty(160)));
    assert_eq!((basket.legs[1].side, basket.legs[1].qty), (Side::Buy, Qty(1_600)));
}

#[test]
fn a_converged_basis_closes_both_legs_reduce_only() {
    let mut rig = Rig::open();
    rig.spread(20);
    assert_eq!(rig.basket(), None, "not there yet");
    rig.quote(1, MID + 6_000);
    let exit = rig.basket().expect("within the tolerance of 1 bps");
    assert_closes_both(&exit);
    // Bid 59 999.9, 20 bps lower, rounded outward.
    assert_eq!(exit.legs[0].price.0, 59_879_900);
    exit.orders().iter().for_each(|order| rig.fill(order));
    assert_eq!(rig.trade(), None);
    let totals = rig.scanner.totals();
    assert_eq!((totals.desk.opened, totals.desk.closed, totals.trades_open), (1, 1, 0));
    rig.spread(30);
    assert_eq!(rig.basket(), None, "a pause follows a trade");
    rig.tick_ms(500);
    rig.spread(30);
    assert!(rig.basket().is_some());
}

#[test]
fn an_exit_larger_than_an_order_may_be_leaves_in_parts_that_each_pass() {
    let mut params = engine(2, scan_params());
    params.risk.order_notional_max_usd = 200;
    let most = Money::from_units(200 * URGENT_SIZE_FACTOR);
    let mut rig = Rig::of(&params);
    rig.run_ms(1_500);
    rig.flow.clear();
    rig.spread(30);
    let entry = rig.basket().expect("an edge of 30 bps enters");
    entry.orders().iter().for_each(|order| rig.fill(order));
    rig.quote(1, MID + 6_000);
    let mut left = [160, 1_600];
    for part in 0.. {
        if part > 0 {
            rig.tick_ms(100);
        }
        let exit = rig.basket().expect("the next part");
        assert_eq!((exit.kind, exit.len), (BasketKind::Exit, 2));
        for (at, order) in exit.orders().iter().enumerate() {
            let notional = instrument(at as u16).notional(order.qty, order.price);
            assert!(order.reduce_only && notional <= most, "{notional} of at most {most}");
            left[at] -= order.qty.0;
        }
        assert_eq!(left[1], 10 * left[0], "both legs alike");
        exit.orders().iter().for_each(|order| rig.fill(order));
        if left == [0, 0] {
            assert!(part >= 2, "{part}");
            break;
        }
    }
    assert_eq!(rig.trade(), None);
}

#[test]
fn the_holding_time_ends_a_trade() {
    let mut rig = Rig::open();
    rig.run_ms(29_990);
    assert_eq!(rig.basket(), None);
    rig.run_ms(20);
    assert_closes_both(&rig.basket().unwrap());
}

#[test]
fn an_excessive_loss_ends_a_trade() {
    let mut rig = Rig::open();
    rig.quote(1, MID + 70 * 6_000);
    assert_eq!(rig.basket(), None, "40 bps lost");
    rig.quote(1, MID + 81 * 6_000);
    assert_closes_both(&rig.basket().expect("more than 50 bps lost"));
}

#[test]
fn what_one_leg_loses_the_other_gains() {
    let mut rig = Rig::open();
    let realised = rig.trade().unwrap().realised;
    assert!(realised > 29 * BPS && realised < 30 * BPS, "sold dear, bought cheap: {realised}");
    // Both prices fall by 1 %: the long loses what the short gains, so nothing happens.
    rig.bbo(0, MID - 600_100, 1_000_000, MID - 599_900, 1_000_000, 0);
    rig.quote(1, MID - 600_000 + 180_000);
    assert_eq!((rig.basket(), rig.phase()), (None, Some(Phase::Open)));
}

#[test]
fn an_exit_is_retried_until_flat() {
    let mut rig = Rig::open();
    rig.quote(1, MID);
    let exit = rig.basket().unwrap();
    rig.partial(&exit.legs[0], 60);
    rig.fill(&exit.legs[1]);
    assert_eq!(rig.basket(), None);
    rig.tick_ms(100);
    let rest = rig.basket().unwrap();
    assert_eq!((rest.kind, rest.len, rest.attempt), (BasketKind::Exit, 1, 2));
    assert_eq!((rest.legs[0].qty, rest.legs[0].side), (Qty(100), Side::Sell));
    rig.deny(&rest);
    rig.tick_ms(99);
    assert_eq!(rig.basket(), None);
    rig.tick_ms(1);
    let again = rig.basket().unwrap();
    assert_eq!((again.attempt, again.legs[0].qty), (3, Qty(100)));
    rig.fill(&again.legs[0]);
    assert_eq!(rig.trade(), None);
}

#[test]
fn refusals_in_a_row_slow_the_retries_down() {
    let mut rig = Rig::open();
    rig.quote(1, MID);
    let mut pauses = Vec::new();
    let mut exit = rig.basket().unwrap();
    for _ in 0..4 {
        exit.orders().iter().for_each(|order| rig.reject(order, RejectClass::RateLimit));
        let start = rig.now;
        exit = loop {
            rig.tick_ms(100);
            if let Some(basket) = rig.basket() {
                break basket;
            }
        };
        pauses.push((rig.now - start) / (100 * MILLI));
    }
    assert_eq!(pauses, vec![4, 16, 64, 64], "two orders a basket, each doubles; bounded");
}

#[test]
fn an_unknown_exit_is_waited_for() {
    let mut rig = Rig::open();
    rig.quote(1, MID);
    let exit = rig.basket().unwrap();
    rig.fill(&exit.legs[0]);
    rig.update(&exit.legs[1], OrderState::Unknown, 0, RejectClass::None);
    rig.run_ms(3_000);
    assert_eq!(rig.basket(), None);
    rig.fill(&exit.legs[1]);
    assert_eq!(rig.trade(), None);
}

#[test]
fn both_legs_leave_together_once_both_books_are_live() {
    let mut rig = Rig::open();
    rig.book(1, BookState::Invalid);
    rig.run_ms(31_000);
    assert_eq!(rig.basket(), None, "closing one leg alone would leave the other naked");
    rig.book(1, BookState::Live);
    rig.quote(1, MID + 180_000);
    rig.tick_ms(100);
    assert_closes_both(&rig.basket().unwrap());
}

#[test]
fn an_exit_ignores_the_age_of_a_book_but_states_it() {
    let mut rig = Rig::open();
    rig.tick_ms(40_000);
    let exit = rig.basket().unwrap();
    assert!(exit.book_age_ns[0] >= 40 * SECOND);
    assert!(exit.mids[0] > Price(0));
}

#[test]
fn an_ioc_that_rests_is_cancelled() {
    let (mut rig, entry) = Rig::entered();
    rig.fill(&entry.legs[0]);
    rig.update(&entry.legs[1], OrderState::Open, 0, RejectClass::None);
    rig.tick_ms(999);
    assert!(rig.cancels().is_empty());
    rig.tick_ms(1);
    assert_eq!(rig.cancels(), vec![entry.legs[1].client_id]);
    rig.tick_ms(1);
    assert!(rig.cancels().is_empty(), "asked once a second");
}

#[test]
fn a_late_fill_during_the_trade_is_balanced_again() {
    let (mut rig, entry) = Rig::entered();
    rig.fill(&entry.legs[0]);
    rig.partial(&entry.legs[1], 800);
    let hedge = rig.basket().unwrap();
    rig.fill(&hedge.legs[0]);
    assert_eq!(rig.phase(), Some(Phase::Open));
    rig.partial(&entry.legs[1], 1_200);
    let more = rig.basket().expect("400 contracts too many now");
    let order = more.legs[0];
    assert_eq!(
        (more.kind, order.venue, order.side, order.qty),
        (BasketKind::Hedge, entry.legs[0].venue, Side::Buy, Qty(40))
    );
    rig.fill(&order);
    assert_eq!(rig.phase(), Some(Phase::Open));
}

#[test]
fn a_late_fill_after_the_trade_is_closed_where_it_happened() {
    let (mut rig, entry) = Rig::entered();
    entry.orders().iter().for_each(|order| rig.zero(order));
    rig.partial(&entry.legs[1], 700);
    let exit = rig.basket().expect("nobody holds it: close it");
    let order = exit.legs[0];
    assert_eq!((exit.len, order.venue, order.side, order.qty), (1, entry.legs[1].venue, Side::Buy, Qty(700)));
    assert!(order.reduce_only);
    rig.fill(&order);
    assert_eq!(rig.trade(), None);
    assert_eq!(rig.scanner.totals().desk.late_fills, 1);
    assert_eq!(rig.scanner.residuals().count(), 0);
}

#[test]
fn leftovers_add_up_and_are_closed_once_an_order_can_do_it() {
    let mut rig = Rig::open();
    rig.scanner.listings[1].residual = -7;
    rig.quote(1, MID);
    let exit = rig.basket().unwrap();
    rig.fill(&exit.legs[0]);
    rig.partial(&exit.legs[1], 1_595);
    rig.tick_ms(100);
    let rest = rig.basket().expect("5 + 7 make an order of 10");
    assert_eq!((rest.legs[0].qty, rest.legs[0].side), (Qty(10), Side::Buy));
    rig.fill(&rest.legs[0]);
    assert_eq!(rig.trade(), None);
    assert_eq!(rig.scanner.residuals().collect::<Vec<_>>(), vec![(InstrumentId(1), Qty(-2))]);
}

#[test]
fn a_new_metadata_generation_closes_the_trade_in_the_new_scale() {
    let mut rig = Rig::open();
    let mut finer = instrument(1);
    finer.generation = 2;
    finer.qty_scale += 1;
    (finer.step, finer.qty_min, finer.qty_max) = (100, Qty(100), Qty(10_000_000));
    rig.event(EventBody::Instrument(finer));
    assert_eq!(rig.basket(), None, "the book of the old generation is void");
    assert_eq!(rig.phase(), Some(Phase::Exiting));
    rig.book(1, BookState::Live);
    rig.quote(1, MID);
    rig.tick_ms(100);
    let exit = rig.basket().unwrap();
    assert_eq!((exit.legs[0].qty, exit.legs[1].qty), (Qty(160), Qty(16_000)));
}

#[test]
fn random_entries_are_blind_to_the_edge_and_leave_by_time() {
    let scan = ScanParams { random_entry_ns: SECOND, hold_max_ns: 2 * SECOND, ..scan_params() };
    let mut rig = Rig::cold(2, scan);
    let mut ways = [0; 2];
    for _ in 0..6_000 {
        rig.run_ms(10);
        for basket in rig.baskets() {
            if basket.kind == BasketKind::Entry {
                ways[usize::from(basket.legs[0].venue.0)] += 1;
                assert!(basket.edge.net < 0, "no edge at all, and yet it enters");
                assert_eq!(basket.edge.threshold, basket.edge.net);
            } else {
                assert!(rig.now >= rig.trade().unwrap().hold_until, "closed by time only");
            }
            basket.orders().iter().for_each(|order| rig.fill(order));
        }
    }
    assert!(ways[0] >= 3 && ways[1] >= 3, "both directions: {ways:?}");
}

#[test]
fn a_listing_on_which_most_orders_miss_takes_no_entries_until_the_window_forgets() {
    let scan = ScanParams {
        quality_window_ns: 100 * SECOND,
        quality_orders_min: 6,
        quality_miss_max_ppb: 500_000_000,
        cooldown_ns: 0,
        ..scan_params()
    };
    let mut rig = Rig::warm_with(2, scan);
    // Three misses each: the entry and two hedges.
    for _ in 0..2 {
        rig.spread(30);
        let entry = rig.basket().expect("an edge");
        // The long leg fills and is unwound, the short one misses.
        rig.fill(&entry.legs[0]);
        rig.zero(&entry.legs[1]);
        // Back at once, so that no sample of the basis is of the edge.
        rig.spread(0);
        while let Some(next) = rig.basket() {
            match next.kind {
                BasketKind::Hedge => next.orders().iter().for_each(|order| rig.zero(order)),
                _ => next.orders().iter().for_each(|order| rig.fill(order)),
            }
            rig.tick_ms(200);
        }
        assert_eq!(rig.trade(), None);
    }
    rig.spread(30);
    assert_eq!((rig.basket(), rig.view(0).why), (None, WhyNot::Quality));
    assert!(!rig.scanner.quality(InstrumentId(0)).unwrap().paused, "every order filled there");
    let missed = rig.scanner.quality(InstrumentId(1)).unwrap();
    assert!(missed.paused && missed.missed == missed.orders && missed.orders >= 6, "{missed:?}");
    rig.spread(0);
    rig.run_ms(100_000);
    rig.spread(30);
    assert!(rig.basket().is_some(), "forgotten");
}
