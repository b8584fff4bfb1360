//! Trades that are entered for funding: they are held until it has come.

use super::rig::{MID, Rig, WALL};
use crate::core::trade::Phase;
use crate::domain::event::{EventBody, Mark};
use crate::domain::instrument::InstrumentId;
use crate::domain::intent::{BPS, Basket, BasketKind};
use crate::domain::number::Num;
use crate::domain::time::SECOND;

/// Venue 1 settles funding of so many bps in 10 s, venue 0 none.
fn settles(rig: &mut Rig, bps: i64) {
    for (at, bps) in [(0, 0), (1, bps)] {
        rig.event(EventBody::Mark(Mark {
            instrument: InstrumentId(at),
            rate: Some(Num::new(bps, 4)),
            funding_ns: WALL + rig.now + 10 * SECOND,
            interval_ns: 8 * 3_600 * SECOND,
            venue_ns: WALL + rig.now,
            ..Mark::default()
        }));
    }
}

/// Entered and filled with both books at the same price: for the funding alone.
fn held_for_funding() -> (Rig, Basket) {
    let mut rig = Rig::warm();
    settles(&mut rig, 30);
    rig.spread(0);
    let entry = rig.basket().expect("30 bps pay for the fees");
    assert_eq!((entry.kind, entry.legs[1].instrument), (BasketKind::Entry, InstrumentId(1)));
    assert!(entry.edge.funding == 30 * BPS && entry.edge.entry_basis <= 0, "{:?}", entry.edge);
    entry.orders().iter().for_each(|order| rig.fill(order));
    assert_eq!(rig.phase(), Some(Phase::Open));
    (rig, entry)
}

#[test]
fn a_trade_entered_for_funding_is_held_until_it_is_settled_and_not_repeated() {
    let (mut rig, _) = held_for_funding();
    rig.run_ms(9_990);
    assert_eq!((rig.basket(), rig.phase()), (None, Some(Phase::Open)), "converged all the time");
    rig.run_ms(20);
    let exit = rig.basket().expect("settled: nothing keeps it");
    assert_eq!(exit.kind, BasketKind::Exit);
    exit.orders().iter().for_each(|order| rig.fill(order));
    rig.run_ms(30_000);
    assert_eq!((rig.basket(), rig.trade()), (None, None), "one settlement, one trade");
}

#[test]
fn a_basis_that_pays_more_than_the_funding_to_come_is_taken() {
    let (mut rig, _) = held_for_funding();
    rig.quote(1, MID - 27 * MID / 10_000);
    assert_eq!(rig.basket(), None, "less than the funding");
    rig.quote(1, MID - 32 * MID / 10_000);
    assert_eq!(rig.basket().expect("more").kind, BasketKind::Exit);
}

#[test]
fn a_rate_that_fades_no_longer_keeps_the_trade() {
    let (mut rig, _) = held_for_funding();
    settles(&mut rig, -1);
    rig.quote(1, MID);
    assert_eq!(rig.basket().expect("nothing more to wait for").kind, BasketKind::Exit);
}

#[test]
fn funding_to_be_paid_neither_keeps_a_trade_nor_drives_it_out() {
    let mut rig = Rig::warm();
    settles(&mut rig, -3);
    rig.spread(30);
    let entry = rig.basket().unwrap();
    assert_eq!(entry.edge.funding, -3 * BPS);
    entry.orders().iter().for_each(|order| rig.fill(order));
    rig.spread(5);
    assert_eq!(rig.basket(), None, "not converged");
    rig.spread(0);
    assert_eq!(rig.basket().unwrap().kind, BasketKind::Exit);
}
