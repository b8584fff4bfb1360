//! The whole engine between the simulated Binance and the simulated Bybit, which shares no code with the
//! dialect: trades open and close, books of account agree to the last unit, and a recorded run replays.

use crate::simulated::{TempDir, sim_config, simulation};
use perpring::domain::input::Command;
use perpring::domain::instrument::VenueId;
use perpring::domain::money::Money;
use perpring::domain::params::RiskParams;
use perpring::domain::time::{MICRO, SECOND};
use perpring::replay::verify::verify;
use perpring::sim::exchange::OrderStatus;
use perpring::topology::world;

const VENUES: [&str; 2] = ["binance-usdm", "bybit"];

#[test]
fn trades_between_binance_and_bybit_equal_the_ledgers() {
    let sim = sim_config(7, &VENUES, |_| {});
    let (mut simulation, _) = simulation(&sim, world::demo_scan(), RiskParams::default(), 100 * MICRO, None);
    simulation.run_for(60 * SECOND);
    simulation.command(Command::Reduce);
    simulation.run_for(5 * SECOND);
    let counts = *simulation.engine().keeper().watch().counts();
    println!("{counts:?}");
    assert!(counts.trades_opened >= 5, "{counts:?}");
    assert_eq!(counts.trades_opened, counts.trades_closed);
    let positions = simulation.engine().river().parts().risk.rules().positions().clone();
    for (index, server) in simulation.servers().iter().enumerate() {
        let ledger = server.ledger();
        let account = ledger.account_ids().next().expect("one account");
        let (mut fees, mut realised) = (Money::ZERO, Money::ZERO);
        for row in positions.positions().filter(|row| row.instrument.venue == VenueId(index as u8)) {
            assert_eq!(row.position.qty, 0, "flat at the end");
            fees += row.position.fees;
            realised += row.position.realised;
        }
        let theirs = ledger.totals(account);
        assert_eq!((fees, realised), (theirs.fees, theirs.realised), "{}", ledger.venue());
        assert!(fees > Money::ZERO);
        let rejected = ledger.orders().iter().filter(|row| row.order.status == OrderStatus::Rejected);
        assert_eq!(rejected.count(), 0, "no order is refused by {}", ledger.venue());
    }
}

#[test]
fn a_run_with_bybit_replays_identically() {
    let dir = TempDir::new();
    let sim = sim_config(11, &VENUES, |_| {});
    let (mut simulation, _) =
        simulation(&sim, world::demo_scan(), RiskParams::default(), 100 * MICRO, Some(dir.path()));
    simulation.run_for(20 * SECOND);
    let (_, keeper) = simulation.into_parts().0.into_parts();
    keeper.into_parts().0.expect("the run was recorded").close().expect("temporary disk");
    let report = verify(dir.path(), &mut |_| {}).expect("a readable journal");
    assert_eq!(report.divergence, None);
}
