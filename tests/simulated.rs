//! The engine and the simulated venues in one process under one simulated clock.

use perpring::core::position::Totals;
use perpring::domain::instrument::VenueId;
use perpring::domain::money::Money;
use perpring::domain::params::{EngineParams, RiskParams, ScanParams};
use perpring::domain::time::{MICRO, Nanos, SECOND};
use perpring::journal::{JournalOptions, Manifest, RunId};
use perpring::ops::watch::Counts;
use perpring::replay::source::RunConfig;
use perpring::sim::{FaultPlan, LedgerServer, SimConfig, server_with};
use perpring::stage::egress::Vault;
use perpring::stage::record::Recorder;
use perpring::stage::river::{Parts, River};
use perpring::topology::fused::Fused;
use perpring::topology::keeper::Keeper;
use perpring::topology::launch::manifest;
use perpring::topology::simulated::Simulation;
use perpring::topology::world;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

pub const START: Nanos = 1_760_000_000 * SECOND;

/// A directory of this test, removed at its end.
pub struct TempDir(PathBuf);

impl TempDir {
    pub fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        // A process of the same number that was killed may have left its own.
        loop {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let path = std::env::temp_dir().join(format!("perpring-test-{}-{number}", std::process::id()));
            if !path.exists() {
                return Self(path);
            }
        }
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A world with `tune` applied.
pub fn sim_config(seed: u64, venues: &[&str], tune: impl FnOnce(&mut SimConfig)) -> SimConfig {
    let mut config = SimConfig::demo(seed, venues, 2).expect("known dialects");
    config.start_wall_ns = START;
    tune(&mut config);
    config
}

/// Builds a simulation; records to `journal` when given.
pub fn simulation(
    sim: &SimConfig,
    scan: ScanParams,
    risk: RiskParams,
    latency: Nanos,
    journal: Option<&Path>,
) -> (Simulation, RunConfig) {
    faulty_simulation(sim, scan, risk, latency, journal, &FaultPlan::default())
}

/// The same, the venues with their faults of `plan`.
pub fn faulty_simulation(
    sim: &SimConfig,
    scan: ScanParams,
    risk: RiskParams,
    latency: Nanos,
    journal: Option<&Path>,
    plan: &FaultPlan,
) -> (Simulation, RunConfig) {
    changed_simulation(world::engine_params(sim, 7, scan, risk), sim, latency, journal, plan)
}

/// The same with parameters of one's own.
pub fn changed_simulation(
    params: EngineParams,
    sim: &SimConfig,
    latency: Nanos,
    journal: Option<&Path>,
    plan: &FaultPlan,
) -> (Simulation, RunConfig) {
    let server = |venue| server_with(sim, venue, plan).expect("a valid world");
    let servers = (0..sim.venues.len()).map(server).collect();
    assembled(sim, params, servers, latency, journal)
}

/// The same of these parameters and servers.
pub fn assembled(
    sim: &SimConfig,
    params: EngineParams,
    servers: Vec<Box<dyn LedgerServer>>,
    latency: Nanos,
    journal: Option<&Path>,
) -> (Simulation, RunConfig) {
    let config = RunConfig { trading: true, params };
    let bytes = config.to_bytes();
    let recorder = journal.map(|dir| {
        let manifest = Manifest { run_id: RunId(42), ..manifest(&bytes, START, Default::default()) };
        let options = JournalOptions { segment_bytes: 4 << 20, helper: false, ..JournalOptions::default() };
        Recorder::create(dir, &manifest, &options).expect("a fresh directory")
    });
    let parts = Parts::new(&config.params, true).expect("known dialects");
    let conns = parts.conns.clone();
    let engine = Fused::new(River::new(parts), Keeper::new(recorder));
    let vault = Vault::new(world::credentials(sim));
    (Simulation::new(engine, servers, conns, vault, START, latency, &bytes), config)
}

/// Ends the journal of a recorded run in order.
pub fn close(simulation: Simulation) {
    let (_, keeper) = simulation.into_parts().0.into_parts();
    keeper.into_parts().0.expect("the run was recorded").close().expect("temporary disk");
}

/// Every venue is flat, and its own books hold the fees and the profit that the engine knows.
pub fn assert_ledgers_equal(simulation: &mut Simulation) {
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
    }
}

/// What a stretch of trading brought.
pub struct Outcome {
    pub counts: Counts,
    pub totals: Totals,
    pub servers: Vec<Box<dyn LedgerServer>>,
}

/// What `seconds` of trading bring. Losing streaks and the day's loss must not end the experiment.
pub fn outcome(sim: &SimConfig, scan: ScanParams, latency: Nanos, seconds: i64) -> Outcome {
    let risk = RiskParams {
        consecutive_failures_max: 1_000_000,
        daily_loss_max_usd: 1_000_000,
        drawdown_max_usd: 1_000_000,
        ..RiskParams::default()
    };
    let (mut simulation, _) = simulation(sim, scan, risk, latency, None);
    simulation.run_for(seconds * SECOND);
    let totals = *simulation.engine().river().parts().risk.rules().positions().totals();
    let counts = *simulation.engine().keeper().watch().counts();
    Outcome { counts, totals, servers: simulation.into_parts().1 }
}

const BOTH: [&str; 2] = ["binance-usdm", "okx"];

#[test]
fn trades_open_and_close_in_a_lagging_market_and_equal_the_ledgers() {
    let sim = sim_config(7, &BOTH, |_| {});
    let (mut simulation, _) = simulation(&sim, world::demo_scan(), RiskParams::default(), 100 * MICRO, None);
    simulation.run_for(60 * SECOND);
    simulation.command(perpring::domain::input::Command::Reduce);
    simulation.run_for(5 * SECOND);
    let counts = *simulation.engine().keeper().watch().counts();
    println!("{counts:?}");
    assert!(counts.trades_opened >= 5, "{counts:?}");
    assert_eq!(counts.trades_opened, counts.trades_closed);
    let positions = simulation.engine().river().parts().risk.rules().positions().clone();
    for (index, server) in simulation.servers().iter().enumerate() {
        let venue = VenueId(index as u8);
        let ledger = server.ledger();
        let account = ledger.account_ids().next().expect("one account");
        let ours = positions.positions().filter(|row| row.instrument.venue == venue);
        let (mut fees, mut realised) = (Money::ZERO, Money::ZERO);
        for row in ours {
            assert_eq!(row.position.qty, 0, "flat at the end");
            fees += row.position.fees;
            realised += row.position.realised;
        }
        let theirs = ledger.totals(account);
        assert_eq!((fees, realised), (theirs.fees, theirs.realised), "{}", ledger.venue());
        assert!(fees > Money::ZERO);
    }
}

#[test]
fn simulated_time_runs_far_faster_than_the_wall() {
    let sim = sim_config(7, &BOTH, |_| {});
    #[allow(clippy::disallowed_methods)] // shown, never judged
    let begun = std::time::Instant::now();
    let counts = outcome(&sim, world::demo_scan(), 100 * MICRO, 60).counts;
    // Printed, not asserted: the factor (100 and more in a release build) is shown by `bench pipeline`.
    println!("{:.0} × real time, {} frames", 60.0 / begun.elapsed().as_secs_f64(), counts.frames);
    assert!(counts.frames > 0);
}
