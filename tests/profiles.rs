//! The three pinning profiles over real sockets: what is recorded under each replays under each.

use crate::simulated::TempDir;
use perpring::cli::Signals;
use perpring::cli::demo::{DemoArgs, plan, trade};
use perpring::runtime::idle::IdleMode;
use perpring::topology::replayed::verify_on;
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
