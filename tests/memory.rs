//! A run does not grow: after warming up, anonymous memory stays where it is. The short form of an endurance
//! run, in simulated time.

use crate::simulated::{sim_config, simulation};
use perpring::domain::params::RiskParams;
use perpring::domain::time::{MICRO, SECOND};
use perpring::topology::world;

/// Anonymous memory of this process, kB.
fn anonymous_kb() -> Option<i64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?.split_whitespace().next()?.parse().ok()
}

#[test]
fn anonymous_memory_is_flat_after_warming_up() {
    /// Growth per simulated minute that is still flat, kB: the simulated venues' own books grow with trading.
    const SLOPE_MAX_KB: i64 = 1_024;
    let sim = sim_config(7, &["binance-usdm", "okx"], |_| {});
    let (mut simulation, _) = simulation(&sim, world::demo_scan(), RiskParams::default(), 100 * MICRO, None);
    simulation.run_for(40 * SECOND);
    let Some(warm) = anonymous_kb() else {
        println!("skipped: this system does not tell RssAnon");
        return;
    };
    let mut samples = vec![warm];
    for _ in 0..4 {
        simulation.run_for(15 * SECOND);
        samples.extend(anonymous_kb());
    }
    let counts = simulation.engine().keeper().watch().counts();
    println!("{samples:?} kB, {counts:?}");
    assert!(counts.trades_closed > 10, "nothing happened: {counts:?}");
    let slope = samples[samples.len() - 1] - warm;
    assert!(slope <= SLOPE_MAX_KB, "{slope} kB more in a minute: {samples:?}");
}
