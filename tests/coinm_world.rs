//! Inverse contracts: the engine trades COIN-M futures between two simulated venues, and its ledgers of orders, fills,
//! positions, fees and profit equal the venues' own.

use crate::simulated::{sim_config, simulation};
use perpring::domain::input::Command;
use perpring::domain::instrument::{ContractKind, VenueId};
use perpring::domain::money::Money;
use perpring::domain::params::RiskParams;
use perpring::domain::time::{MICRO, SECOND};
use perpring::sim::exchange::OrderStatus;
use perpring::topology::world;

const TWO: [&str; 2] = ["binance-coinm", "binance-coinm"];

#[test]
fn inverse_trades_equal_the_venues_ledgers() {
    let sim = sim_config(7, &TWO, |_| {});
    assert_eq!(sim.instruments[0].name(), "BTC/USD:BTC");
    let (mut simulation, _) = simulation(&sim, world::demo_scan(), RiskParams::default(), 100 * MICRO, None);
    simulation.run_for(60 * SECOND);
    // In the middle: every position as the venue has it, at the same moment.
    simulation.command(Command::Reduce);
    simulation.run_for(5 * SECOND);
    let counts = *simulation.engine().keeper().watch().counts();
    println!("{counts:?}");
    assert!(counts.trades_opened >= 5, "{counts:?}");
    assert_eq!(counts.trades_opened, counts.trades_closed);
    let rules = simulation.engine().river().parts().risk.rules().positions().clone();
    assert_eq!((rules.discrepancies(), rules.unknown_fills()), (0, 0));
    let mut orders = 0;
    for (index, server) in simulation.servers().iter().enumerate() {
        let ledger = server.ledger();
        let account = ledger.account_ids().next().expect("one account");
        let row = rules.positions().find(|row| row.instrument.venue == VenueId(index as u8)).expect("traded");
        assert_eq!(row.instrument.spec.kind, ContractKind::Inverse);
        assert_eq!(row.position.qty, 0, "flat at the end");
        let theirs = ledger.totals(account);
        assert_eq!(row.position.fees, theirs.fees, "fees in coins, to the last digit");
        assert!(row.position.fees > Money::ZERO);
        // Both are exact sums of face ÷ price; each cuts its own way at 10⁻¹⁸, once a fill.
        let fills = ledger.fills().len() as i128;
        let apart = (row.position.realised.0 - theirs.realised.0).abs();
        assert!(fills > 0 && apart <= fills, "{} and {}", row.position.realised, theirs.realised);
        // Face ÷ price by hand, over all fills of the venue.
        let mut coins = 0.0;
        for fill in ledger.fills() {
            let price = fill.fill.price as f64 / 10.0;
            coins += fill.fill.qty as f64 * 100.0 / price
                * if fill.side == perpring::sim::exchange::Side::Buy { 1.0 } else { -1.0 };
        }
        assert!((coins - theirs.realised.to_f64()).abs() < 1e-9, "{coins} {}", theirs.realised);
        orders +=
            ledger.orders().iter().filter(|row| row.order.status != OrderStatus::Rejected).count() as u64;
    }
    assert_eq!(counts.orders_sent, orders, "every order that was sent is in the venues' books");
}

#[test]
fn inverse_positions_are_the_venues_in_the_middle_of_trading() {
    let sim = sim_config(11, &TWO, |_| {});
    let (mut simulation, _) = simulation(&sim, world::demo_scan(), RiskParams::default(), 100 * MICRO, None);
    let mut held = 0;
    for _ in 0..60 {
        simulation.run_for(SECOND / 2);
        let positions = simulation.engine().river().parts().risk.rules().positions().clone();
        for view in positions.positions() {
            // The venue's own word, through the user stream or positionRisk, agrees whenever it is not on its way.
            if view.position.qty != 0 && view.venue_qty == Some(view.position.qty) {
                held += 1;
            }
            assert!(!view.discrepant);
        }
    }
    assert!(held > 0, "positions were held and confirmed");
}
