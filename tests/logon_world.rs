//! Ed25519 sessions: the order connection is logged on once, orders carry neither key nor signature, and a wrong key
//! trades nothing.

use crate::simulated::{TempDir, sim_config, simulation};
use perpring::domain::input::Command;
use perpring::domain::instrument::VenueId;
use perpring::domain::money::Money;
use perpring::domain::params::{RiskParams, SessionKind};
use perpring::domain::time::{MICRO, SECOND};
use perpring::replay::source::RunConfig;
use perpring::replay::verify::verify;
use perpring::sim::SimConfig;
use perpring::topology::simulated::Simulation;
use perpring::topology::world;

/// RFC 8032 §7.1, test 1.
const SEED: &str = "ed25519:9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
const PUBLIC: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
/// Test 2's.
const OTHER_PUBLIC: &str = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";

fn run(public: &str, dir: &TempDir) -> (Simulation, RunConfig) {
    let sim = sim_config(7, &["binance-usdm", "okx"], |config: &mut SimConfig| {
        let account = &mut config.venues[0].accounts[0];
        (account.secret, account.ed25519_public) = (SEED.to_owned(), public.to_owned());
    });
    let (mut simulation, config) =
        simulation(&sim, world::demo_scan(), RiskParams::default(), 100 * MICRO, Some(dir.path()));
    simulation.run_for(60 * SECOND);
    simulation.command(Command::Reduce);
    simulation.run_for(5 * SECOND);
    (simulation, config)
}

#[test]
fn a_logged_on_session_trades_and_equals_the_ledger() {
    let dir = TempDir::new();
    let (mut simulation, config) = run(PUBLIC, &dir);
    assert_eq!(config.params.venues[0].session, SessionKind::Logon);
    let counts = *simulation.engine().keeper().watch().counts();
    assert!(counts.trades_opened >= 5, "{counts:?}");
    assert_eq!(counts.trades_opened, counts.trades_closed);
    let positions = simulation.engine().river().parts().risk.rules().positions().clone();
    let ledger = simulation.servers()[0].ledger();
    let account = ledger.account_ids().next().expect("one account");
    let (mut fees, mut realised) = (Money::ZERO, Money::ZERO);
    for row in positions.positions().filter(|row| row.instrument.venue == VenueId(0)) {
        fees += row.position.fees;
        realised += row.position.realised;
    }
    let theirs = ledger.totals(account);
    assert_eq!((fees, realised), (theirs.fees, theirs.realised));
    assert!(fees > Money::ZERO);
    crate::simulated::close(simulation);
    let report = verify(dir.path(), &mut |_| {}).expect("a readable journal");
    assert_eq!((report.divergence, report.unrecorded), (None, 0), "a replay renders the same session");
    for entry in std::fs::read_dir(dir.path()).expect("the journal") {
        let bytes = std::fs::read(entry.expect("an entry").path()).expect("readable");
        assert!(!bytes.windows(32).any(|part| part == &SEED.as_bytes()[8..40]), "no key in the journal");
    }
}

#[test]
fn a_wrong_key_is_refused_and_nothing_is_traded() {
    let dir = TempDir::new();
    let (mut simulation, _) = run(OTHER_PUBLIC, &dir);
    let counts = *simulation.engine().keeper().watch().counts();
    assert_eq!((counts.orders_sent, counts.trades_opened), (0, 0), "{counts:?}");
    assert!(simulation.servers()[0].ledger().orders().is_empty());
}
