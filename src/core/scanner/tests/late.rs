//! What is heard of an order after its time: late fills, and fates that were unknown for long.

use super::rig::{MID, Rig, scan_params};
use crate::core::trade::Phase;
use crate::domain::instrument::{InstrumentId, Qty};
use crate::domain::intent::{BPS, BasketKind};
use crate::domain::order::{OrderState, RejectClass};
use crate::domain::params::ScanParams;

/// No pause, and orders that miss are not held against a listing.
fn busy(scan: ScanParams) -> ScanParams {
    ScanParams { cooldown_ns: 0, quality_orders_min: u32::MAX, ..scan }
}

#[test]
fn an_order_of_unknown_fate_is_not_forgotten_over_many_newer_ones() {
    let mut rig = Rig::warm_with(4, busy(scan_params()));
    rig.spread(30);
    let entry = rig.basket().unwrap();
    rig.fill(&entry.legs[0]);
    rig.update(&entry.legs[1], OrderState::Unknown, 0, RejectClass::None);
    for _ in 0..550 {
        rig.quote(3, MID + 180_000);
        let miss = rig.basket().expect("the other pair trades on");
        miss.orders().iter().for_each(|order| rig.zero(order));
        rig.quote(3, MID);
    }
    assert_eq!(rig.trade().unwrap().id, entry.trade);
    rig.fill(&entry.legs[1]);
    assert_eq!((rig.phase(), rig.scanner.totals().desk.strays), (Some(Phase::Open), 0));
    let missed = rig.scanner.quality(entry.legs[1].instrument).unwrap();
    assert_eq!((missed.orders, missed.missed), (1, 0), "and it is judged");
}

#[test]
fn what_was_filled_late_counts_for_the_price_of_the_entry() {
    let (mut rig, entry) = Rig::entered();
    rig.fill(&entry.legs[1]);
    rig.zero(&entry.legs[0]);
    let hedge = rig.basket().unwrap();
    rig.partial(&entry.legs[0], 160);
    rig.zero(&hedge.legs[0]);
    let trade = rig.trade().unwrap();
    assert_eq!((trade.phase, trade.legs[0].position), (Phase::Open, 160));
    assert!(trade.realised > 29 * BPS && trade.realised < 30 * BPS, "as it was bought: {}", trade.realised);
    rig.flow.clear();
    rig.run_ms(1_000);
    assert_eq!(rig.basket(), None, "nothing is lost");
}

#[test]
fn a_late_fill_without_a_free_place_is_closed_once_there_is_one() {
    let scan = ScanParams { trades_open_max: 1, ..busy(scan_params()) };
    let mut rig = Rig::warm_with(6, scan);
    let mut orders = Vec::new();
    for at in 1..6 {
        rig.quote(at, MID + 180_000);
        let miss = rig.basket().unwrap();
        miss.orders().iter().for_each(|order| rig.zero(order));
        rig.quote(at, MID);
        let short = miss.legs[1];
        assert_eq!(short.instrument, InstrumentId(at));
        orders.extend(if at == 1 { vec![miss.legs[0], short] } else { vec![short] });
    }
    let mut exits = Vec::new();
    for order in &orders {
        rig.partial(order, order.qty.0);
        exits.extend(rig.basket());
    }
    assert_eq!((exits.len(), rig.scanner.totals().trades_open), (5, 5), "every place is taken");
    assert_eq!(rig.scanner.residuals().count(), 1);
    rig.run_ms(1_000);
    assert_eq!(rig.basket(), None);
    rig.fill(&exits[0].legs[0]);
    rig.tick_ms(100);
    let last = rig.basket().expect("a place is free");
    let order = last.legs[0];
    assert_eq!(
        (last.kind, order.instrument, order.qty),
        (BasketKind::Exit, orders[5].instrument, Qty(1_600))
    );
    rig.fill(&order);
    exits[1..].iter().for_each(|exit| rig.fill(&exit.legs[0]));
    assert_eq!((rig.trade(), rig.scanner.residuals().count()), (None, 0));
}

#[test]
fn an_order_is_judged_once_however_often_its_end_is_told() {
    let (mut rig, entry) = Rig::entered();
    let judged = |rig: &Rig| rig.scanner.quality(InstrumentId(1)).map(|seen| (seen.orders, seen.missed));
    rig.zero(&entry.legs[1]);
    assert_eq!(judged(&rig), Some((1, 1)));
    rig.zero(&entry.legs[1]);
    rig.partial(&entry.legs[1], 700);
    assert_eq!(judged(&rig), Some((1, 1)));
}
