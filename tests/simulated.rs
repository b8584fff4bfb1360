//! The engine and the simulated venues in one process under one simulated clock.

use perpring::domain::params::{RiskParams, ScanParams};
use perpring::domain::time::{MICRO, Nanos, SECOND};
use perpring::journal::{JournalOptions, Manifest};
use perpring::replay::source::RunConfig;
use perpring::sim::config::SimConfig;
use perpring::sim::server_at;
use perpring::stage::egress::Vault;
use perpring::stage::record::Recorder;
use perpring::stage::river::{Parts, River};
use perpring::topology::fused::Fused;
use perpring::topology::keeper::Keeper;
use perpring::topology::launch::manifest;
use perpring::topology::simulated::Simulation;
use perpring::topology::world;
use std::path::Path;

pub const START: Nanos = 1_760_000_000 * SECOND;

/// A world with `tune` applied.
pub fn sim_config(seed: u64, venues: &[&str], tune: impl FnOnce(&mut SimConfig)) -> SimConfig {
    let mut config = SimConfig::demo(seed, venues, 2).expect("known dialects");
    config.start_wall_ns = START;
    tune(&mut config);
    config
}

/// Builds a simulation; records to `journal` when given.
pub fn simulation(sim: &SimConfig, scan: ScanParams, risk: RiskParams, latency: Nanos, journal: Option<&Path>) -> (Simulation, RunConfig) {
    let params = world::engine_params(sim, 7, scan, risk);
    let config = RunConfig { trading: true, params };
    let bytes = config.to_bytes();
    let recorder = journal.map(|dir| {
        let manifest = Manifest { created_wall_ns: START, run_id: perpring::journal::RunId(42), ..manifest(&bytes, START, Default::default()) };
        let options = JournalOptions { segment_bytes: 4 << 20, helper: false, ..JournalOptions::default() };
        Recorder::create(dir, &manifest, &options).expect("a fresh directory")
    });
    let parts = Parts::new(&config.params, true).expect("known dialects");
    let conns = parts.conns.clone();
    let engine = Fused::new(River::new(parts), Keeper::new(recorder));
    let servers = (0..sim.venues.len()).map(|venue| server_at(sim, venue).expect("a valid world")).collect();
    let vault = Vault::new(world::credentials(sim));
    (Simulation::new(engine, servers, conns, vault, START, latency, &bytes), config)
}

#[test]
fn trades_open_and_close_in_a_lagging_market() {
    let sim = sim_config(7, &["okx", "okx"], |_| {});
    let (mut simulation, _) = simulation(&sim, world::demo_scan(), RiskParams::default(), 100 * MICRO, None);
    simulation.run_for(60 * SECOND);
    let counts = *simulation.engine().keeper().watch().counts();
    let scanner = simulation.engine().river().parts().scan.scanner();
    println!("{counts:?}\n{:?}", scanner.totals());
    for view in scanner.views() {
        println!("{view:?}");
    }
    println!("{:?}", simulation.engine().river().parts().decode.odd());
    assert!(counts.trades_opened > 0 && counts.trades_closed > 0);
}
