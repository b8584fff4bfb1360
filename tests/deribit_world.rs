//! The whole engine, in one process under one simulated clock, trades between Binance and Deribit: its books equal
//! the venues' own to the last unit, no token enters the journal, and a replay gives the same outputs.

use crate::simulated::{TempDir, sim_config, simulation};
use perpring::domain::input::Command;
use perpring::domain::instrument::VenueId;
use perpring::domain::money::Money;
use perpring::domain::params::RiskParams;
use perpring::domain::time::{MICRO, SECOND};
use perpring::journal::{Reader, Stream};
use perpring::replay::verify::verify;
use perpring::topology::world;
use std::path::Path;

const BOTH: [&str; 2] = ["binance-usdm", "deribit"];

/// Values of `key` in everything that was recorded.
fn recorded_values(dir: &Path, key: &str) -> Vec<Vec<u8>> {
    let needle = format!("\"{key}\":\"");
    let mut found = Vec::new();
    let mut reader = Reader::open(dir, Stream::Inputs).expect("a journal");
    while let Some(record) = reader.next().expect("undamaged") {
        let body = record.body;
        for at in memchr::memmem::find_iter(body, needle.as_bytes()) {
            let value = &body[at + needle.len()..];
            let end = value.iter().position(|byte| *byte == b'"').expect("a closed string");
            found.push(value[..end].to_vec());
        }
    }
    found
}

#[test]
fn trades_with_deribit_equal_the_ledgers_and_replay() {
    let dir = TempDir::new();
    let sim = sim_config(7, &BOTH, |_| {});
    let (mut simulation, _) =
        simulation(&sim, world::demo_scan(), RiskParams::default(), 100 * MICRO, Some(dir.path()));
    simulation.run_for(60 * SECOND);
    simulation.command(Command::Reduce);
    simulation.run_for(5 * SECOND);
    let counts = *simulation.engine().keeper().watch().counts();
    println!("{counts:?}");
    let odd = simulation.engine().river().parts().decode.odd();
    println!("{odd:?}");
    assert!(counts.trades_opened >= 5, "{counts:?}");
    assert_eq!(counts.trades_opened, counts.trades_closed);
    assert_eq!((odd.malformed, odd.unknown, odd.inexact, odd.symbols), (0, 0, 0, 0), "{odd:?}");
    let positions = simulation.engine().river().parts().risk.rules().positions().clone();
    for (index, server) in simulation.servers().iter().enumerate() {
        let venue = VenueId(index as u8);
        let ledger = server.ledger();
        let account = ledger.account_ids().next().expect("one account");
        let (mut fees, mut realised) = (Money::ZERO, Money::ZERO);
        for row in positions.positions().filter(|row| row.instrument.venue == venue) {
            assert_eq!(row.position.qty, 0, "flat at the end");
            fees += row.position.fees;
            realised += row.position.realised;
        }
        let theirs = ledger.totals(account);
        assert_eq!((fees, realised), (theirs.fees, theirs.realised), "{}", ledger.venue());
        assert!(fees > Money::ZERO, "{} had its part", ledger.venue());
    }
    let (_, keeper) = simulation.into_parts().0.into_parts();
    keeper.into_parts().0.expect("the run was recorded").close().expect("temporary disk");
    for key in ["access_token", "refresh_token"] {
        let values = recorded_values(dir.path(), key);
        assert!(values.len() >= 2, "two connections logged in");
        assert!(values.iter().flatten().all(|byte| *byte == b'x'), "{key} is in the journal");
    }
    let report = verify(dir.path(), &mut |_| {}).expect("a readable journal");
    assert!(report.divergence.is_none(), "{:?}", report.divergence);
}
