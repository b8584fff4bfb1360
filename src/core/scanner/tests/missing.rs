//! What legs that miss teach, and what that costs the next entry.

use super::rig::{MID, Rig, engine, scan_params};
use crate::core::pair::WhyNot;
use crate::core::scanner::Scanner;
use crate::domain::instrument::InstrumentId;
use crate::domain::intent::{BPS, Basket, Ppb};
use crate::domain::order::{OrderSpec, OrderState, RejectClass};
use crate::domain::params::ScanParams;

/// Priors of both venues in percent, learning with the weight of so many orders, without pauses.
fn rig(priors: [i64; 2], orders: u32) -> Rig {
    let scan = ScanParams { miss_prior_orders: orders, cooldown_ns: 0, ..scan_params() };
    let mut params = engine(2, scan);
    params.venues.iter_mut().zip(priors).for_each(|(venue, prior)| venue.miss_prior_ppb = prior * 100 * BPS);
    let mut rig = Rig::of(&params);
    rig.run_ms(1_500);
    rig.flow.clear();
    rig
}

fn misses(rig: &Rig) -> [Ppb; 2] {
    [0, 1].map(|at| rig.scanner.quality(InstrumentId(at)).unwrap().miss_ppb)
}

/// Enters at 30 bps, lets both legs end as `end` says, and takes the edge away again.
fn enter(rig: &mut Rig, end: impl Fn(&mut Rig, &OrderSpec)) -> Basket {
    rig.spread(30);
    let entry = rig.basket().expect("an edge of 30 bps enters");
    entry.orders().iter().for_each(|order| end(rig, order));
    rig.spread(0);
    entry
}

#[test]
fn what_is_expected_to_miss_is_a_cost_from_the_first_entry_on_and_stands_beside_the_allowance() {
    let (plain, mut dearer) = (rig([5, 15], 0).view(0), rig([5, 15], 20));
    let view = dearer.view(0);
    assert_eq!((plain.failure, plain.terms.allowance), (0, ScanParams::default().allowance_ppb));
    // A leg alone: two fees of 1 bp and a spread of 0.2 at 60 000. 0.05 · 0.85 of one, 0.15 · 0.95 of the other.
    let alone = 2 * BPS + 2 * 1_667;
    assert_eq!(view.failure, alone * 425 / 10_000 + 1 + alone * 1_425 / 10_000 + 1);
    assert_eq!(view.terms.allowance, plain.terms.allowance + view.failure);
    assert_eq!(view.terms.net, plain.terms.net - view.failure);
    assert_eq!(dearer.view(1).failure, view.failure, "whichever leg is bought");
    dearer.spread(30);
    let entry = dearer.basket().expect("30 bps are enough");
    assert_eq!(entry.edge, dearer.view(0).terms, "the record has it");
}

#[test]
fn an_edge_that_was_enough_is_not_any_more_once_legs_have_missed() {
    let mut rig = rig([0, 0], 20);
    let marginal = |rig: &mut Rig| {
        rig.quote(0, MID);
        rig.quote(1, MID + 36_000); // 6 bps; costs and the threshold are 5.5 and a little
    };
    marginal(&mut rig);
    let entry = rig.basket().expect("nothing has missed yet");
    entry.orders().iter().for_each(|order| rig.fill(order));
    rig.spread(0);
    let exit = rig.basket().expect("converged");
    exit.orders().iter().for_each(|order| rig.fill(order));
    assert_eq!(misses(&rig), [0, 0]);
    for _ in 0..6 {
        let [filled, missed] = [InstrumentId(0), InstrumentId(1)];
        enter(
            &mut rig,
            |rig, order| {
                if order.instrument == missed { rig.zero(order) } else { rig.fill(order) }
            },
        );
        // Hedged once, then unwound: whatever it is, it ends, and none of it is a leg of an entry.
        while let Some(basket) = rig.basket() {
            basket
                .orders()
                .iter()
                .for_each(|order| if order.instrument == filled { rig.fill(order) } else { rig.zero(order) });
            rig.run_ms(200);
        }
        assert_eq!(rig.trade(), None);
    }
    assert_eq!(misses(&rig), [0, 222_222_223], "6 of 20 and 7");
    rig.flow.clear();
    marginal(&mut rig);
    assert_eq!(rig.basket(), None);
    let view = rig.view(0);
    assert_eq!((view.why, view.failure > BPS / 3), (WhyNot::BelowThreshold, true), "{view:?}");
    assert!(view.terms.net + view.failure >= view.terms.threshold, "and nothing but that");
}

#[test]
fn what_does_not_speak_of_the_book_is_no_miss() {
    let mut rig = rig([10, 10], 20);
    for class in [RejectClass::Retry, RejectClass::Margin, RejectClass::RateLimit, RejectClass::Never] {
        enter(&mut rig, |rig, order| rig.reject(order, class));
    }
    // An order that should not rest, and is cancelled for it.
    enter(&mut rig, |rig, order| rig.update(order, OrderState::Open, 0, RejectClass::None));
    let resting = rig.trade().expect("it waits").legs.map(|leg| leg.working.expect("resting").id);
    rig.run_ms(1_100);
    assert_eq!(rig.cancels(), resting);
    for (at, id) in resting.into_iter().enumerate() {
        let order = OrderSpec { client_id: id, instrument: InstrumentId(at as u16), ..OrderSpec::default() };
        rig.zero(&order);
    }
    assert_eq!(rig.trade(), None);
    assert_eq!(misses(&rig), [100_000_000; 2]);
    let orders = rig.scanner.quality(InstrumentId(0)).unwrap();
    assert_eq!((orders.orders, orders.missed), (1, 1), "the venue counts it all the same");
    // What half fills misses by half, and is judged once.
    let entry = enter(&mut rig, |rig, order| rig.partial(order, order.qty.0 / 2));
    entry.orders().iter().for_each(|order| rig.partial(order, order.qty.0 / 2));
    assert_eq!(misses(&rig), [119_047_620; 2], "2.5 of 21");
}

#[test]
fn a_snapshot_of_before_it_was_learnt_is_read_as_not_learnt() {
    let (rig, _) = Rig::entered();
    let mut state = serde_json::to_string(&rig.scanner).expect("a state is text");
    let new = [
        ("\"misses\":{", "}", 2),
        ("\"failure\":", "", 2),
        ("\"alone\":", "", 2),
        ("\"taker_fees\":[", "]", 1),
        ("\"called_off\":", "", 2),
        ("\"miss_prior_orders\":", "", 1),
        ("\"miss_half_life_ns\":", "", 1),
    ];
    for (key, closed, times) in new {
        for _ in 0..times {
            let (before, after) = state.split_once(&format!(",{key}")).expect("a new field");
            let end =
                if closed.is_empty() { after.find([',', '}']) } else { after.find(closed).map(|at| at + 1) };
            state = format!("{before}{}", &after[end.expect("an end")..]);
        }
        assert!(!state.contains(key), "{key}");
    }
    let back: Scanner = serde_json::from_str(&state).expect("what is absent was not learnt");
    assert_eq!(back.quality(InstrumentId(0)).expect("a listing").miss_ppb, 0);
    assert_eq!(back.digest(), rig.scanner.digest(), "and the state is the same one");
}
