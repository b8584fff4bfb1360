//! The whole engine between all five simulated venues at once, in one process under one simulated clock: every venue
//! is traded, every book of account agrees to the last unit, and the recorded run replays.

use crate::simulated::{TempDir, sim_config, simulation};
use perpring::domain::input::Command;
use perpring::domain::instrument::VenueId;
use perpring::domain::money::Money;
use perpring::domain::params::RiskParams;
use perpring::domain::time::{MICRO, SECOND};
use perpring::replay::verify::verify;
use perpring::topology::world;

const VENUES: [&str; 5] = ["binance-usdm", "okx", "bybit", "deribit", "hyperliquid"];

#[test]
fn all_five_venues_are_traded_equal_their_ledgers_and_replay() {
    let dir = TempDir::new();
    let sim = sim_config(7, &VENUES, |_| {});
    let (mut simulation, _) =
        simulation(&sim, world::demo_scan(), RiskParams::default(), 100 * MICRO, Some(dir.path()));
    simulation.run_for(30 * SECOND);
    simulation.command(Command::Reduce);
    simulation.run_for(5 * SECOND);
    let counts = *simulation.engine().keeper().watch().counts();
    println!("{counts:?}");
    assert!(counts.trades_opened >= 10, "{counts:?}");
    assert_eq!(counts.trades_opened, counts.trades_closed);
    let odd = simulation.engine().river().parts().decode.odd();
    assert_eq!((odd.malformed, odd.unknown, odd.inexact, odd.symbols), (0, 0, 0, 0), "{odd:?}");
    let positions = simulation.engine().river().parts().risk.rules().positions().clone();
    for (index, server) in simulation.servers().iter().enumerate() {
        let ledger = server.ledger();
        let account = ledger.account_ids().next().expect("one account");
        let (mut fees, mut realised) = (Money::ZERO, Money::ZERO);
        for row in positions.positions().filter(|row| row.instrument.venue == VenueId(index as u8)) {
            assert_eq!(row.position.qty, 0, "flat at the end at {}", ledger.venue());
            fees += row.position.fees;
            realised += row.position.realised;
        }
        let theirs = ledger.totals(account);
        assert_eq!((fees, realised), (theirs.fees, theirs.realised), "{}", ledger.venue());
        assert!(fees > Money::ZERO, "{} had its part", ledger.venue());
    }
    crate::simulated::close(simulation);
    let report = verify(dir.path(), &mut |_| {}).expect("a readable journal");
    assert_eq!(report.divergence, None);
}
