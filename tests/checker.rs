//! The independent checker over the journal of a simulated run.

use crate::simulated::{sim_config, simulation};
use perpring::domain::money::Money;
use perpring::domain::params::RiskParams;
use perpring::domain::time::{MICRO, SECOND};
use perpring::journal::{Stream, rewrite};
use perpring::replay::check::{CheckLimits, CheckReport, check_journal};
use perpring::topology::world;
use std::path::PathBuf;

/// A minute of trading, recorded: the directory and the limits that it ran under.
fn recorded(name: &str) -> (PathBuf, CheckLimits) {
    let dir = std::env::temp_dir().join(format!("perpring-checker-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&dir);
    let sim = sim_config(7, &["binance-usdm", "okx"], |_| {});
    let (mut simulation, config) =
        simulation(&sim, world::demo_scan(), RiskParams::default(), 100 * MICRO, Some(&dir));
    simulation.run_for(30 * SECOND);
    let (_, keeper) = simulation.into_parts().0.into_parts();
    let recorder = keeper.into_parts().0.expect("the run was recorded");
    recorder.close().expect("temporary disk");
    (dir, CheckLimits::of(&config.params))
}

fn checked(dir: &std::path::Path, limits: Option<&CheckLimits>) -> CheckReport {
    check_journal(dir, limits).expect("a readable journal")
}

#[test]
fn a_recorded_run_is_clean_and_tightened_limits_are_seen_to_be_broken() {
    let (dir, own) = recorded("clean");
    let report = checked(&dir, None);
    println!("{report:?}");
    assert_eq!(report.first, []);
    assert!(report.orders > 0 && report.fills > 0, "nothing was traded, nothing is proven");
    assert!(report.unhedged_max > Money::ZERO);

    let half = CheckLimits { order_notional_max: Money::from_units(10), ..own };
    assert!(checked(&dir, Some(&half)).violations > 0);

    // One dropped input shows as a hole.
    rewrite(&dir, Stream::Inputs, |index, record, out| {
        if index != 1000 {
            out.push(record);
        }
    })
    .expect("temporary disk");
    let report = checked(&dir, None);
    assert!(report.first.iter().any(|v| v.rule == "input_hole" && v.seq == 1002), "{:?}", report.first);
    std::fs::remove_dir_all(&dir).expect("clean up");
}
