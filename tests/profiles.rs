//! The three pinning profiles over real sockets: what is recorded under each replays under each.

use crate::simulated::{TempDir, sim_config, simulation};
use perpring::cli::Signals;
use perpring::cli::demo::{DemoArgs, plan, trade};
use perpring::domain::params::RiskParams;
use perpring::domain::time::{MICRO, MILLI, SECOND};
use perpring::replay::bundle::file::Bundle;
use perpring::replay::bundle::write::{Request, WINDOW_MAX, write};
use perpring::replay::part::begins_after;
use perpring::runtime::idle::IdleMode;
use perpring::topology::replayed::verify_on;
use perpring::topology::world;
use std::time::Duration;

const PROFILES: [&str; 3] = ["fused", "split", "dedicated"];

#[test]
fn a_run_recorded_under_each_profile_replays_identically_under_each() {
    for (number, recorded_on) in PROFILES.into_iter().enumerate() {
        let dir = TempDir::new();
        std::fs::create_dir_all(dir.path()).expect("temporary disk");
        let journal = dir.path().join("journal");
        let args = DemoArgs {
            duration: Some(Duration::from_secs(6)),
            instruments: 2,
            journal: Some(journal.clone()),
            // TLS once: it must not matter.
            tls: number == 1,
            pinning: Some(recorded_on.into()),
            idle: Some(IdleMode::Yield),
            json: true,
            ..DemoArgs::default()
        };
        let report = trade(&args, &Signals::default()).expect("a demo on loopback");
        let json = serde_json::to_value(&report).expect("plain data");
        println!("{recorded_on}: {json}");
        assert_eq!(json["failure"], serde_json::Value::Null, "{recorded_on}");
        assert_eq!(json["violations"], 0, "{recorded_on}: {}", json["violation_details"]);
        for ledger in json["ledgers"].as_array().expect("a list") {
            assert_eq!(ledger["equal"], true, "{recorded_on}: {ledger}");
        }
        for replayed_on in PROFILES {
            let plan = plan(Some(replayed_on), Some(IdleMode::Yield)).expect("yielding threads fit anywhere");
            let report = verify_on(&journal, &plan, &mut |_| {}).expect("a readable journal");
            assert_eq!(report.divergence, None, "recorded {recorded_on}, replayed {replayed_on}");
            assert_eq!(report.unrecorded, 0, "recorded {recorded_on}, replayed {replayed_on}");
            assert!(report.total() > 1_000, "recorded {recorded_on}, replayed {replayed_on}: {report:?}");
        }
    }
}

#[test]
fn a_part_of_a_run_replays_identically_under_each_profile() {
    let [dir, out] = [TempDir::new(), TempDir::new()];
    std::fs::create_dir_all(out.path()).expect("temporary disk");
    let sim = sim_config(7, &["binance-usdm", "okx"], |sim| {
        sim.step_ns = 10 * MILLI;
        sim.instruments.iter_mut().for_each(|instrument| instrument.jump_every_ns = 2 * SECOND);
    });
    let (mut simulation, _) =
        simulation(&sim, world::demo_scan(), RiskParams::default(), 100 * MICRO, Some(dir.path()));
    simulation.run_for(10 * SECOND);
    crate::simulated::close(simulation);
    let file = out.path().join("part.ppz");
    let (around, said) = ("+4s".parse().expect("a place"), "+4s");
    let (dir, notes) = (dir.path(), String::new());
    let request =
        Request { dir, around, said, before: 0, after: WINDOW_MAX, out: &file, expect: None, notes };
    write(&request, &mut |_| {}).expect("a bundle");
    let part = Bundle::open(&file).expect("a bundle").unpack().expect("unpacks");
    assert!(begins_after(part.dir()).0 > 1_000, "it does not begin with the run");
    let reports = PROFILES.map(|profile| {
        let plan = plan(Some(profile), Some(IdleMode::Yield)).expect("yielding threads fit anywhere");
        verify_on(part.dir(), &plan, &mut |_| {}).expect("a readable journal")
    });
    for (profile, report) in PROFILES.iter().zip(&reports) {
        assert_eq!((&report.divergence, report.unrecorded), (&None, 0), "{profile}");
        assert_eq!((report.inputs, report.events), (reports[0].inputs, reports[0].events), "{profile}");
        assert!(report.total() > 1_000 && report.compared == reports[0].compared, "{profile}: {report:?}");
    }
}
