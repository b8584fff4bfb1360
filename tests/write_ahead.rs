//! The write-ahead gate in whole engines over real sockets, on every profile.

use crate::simulated::TempDir;
use perpring::cli::Signals;
use perpring::cli::demo::{DemoArgs, trade};
use perpring::replay::verify::verify;
use perpring::runtime::idle::IdleMode;
use perpring::stage::egress::WriteAhead;
use std::time::Duration;

fn args(profile: &str, write_ahead: WriteAhead) -> DemoArgs {
    DemoArgs {
        duration: Some(Duration::from_secs(6)),
        instruments: 2,
        pinning: Some(profile.into()),
        idle: Some(IdleMode::Yield),
        write_ahead,
        json: true,
        ..DemoArgs::default()
    }
}

#[test]
fn orders_leave_behind_their_record_on_every_profile_and_the_run_replays() {
    for (profile, mode) in [
        ("fused", WriteAhead::Written),
        ("split", WriteAhead::Written),
        ("dedicated", WriteAhead::Written),
        ("split", WriteAhead::Synced),
        ("dedicated", WriteAhead::Synced),
    ] {
        let dir = TempDir::new();
        std::fs::create_dir_all(dir.path()).expect("temporary disk");
        let journal = dir.path().join("journal");
        let args = DemoArgs { journal: Some(journal.clone()), ..args(profile, mode) };
        let report = trade(&args, &Signals::default()).expect("a demo on loopback");
        let json = serde_json::to_value(&report).expect("plain data");
        println!("{profile} {mode:?}: {json}");
        assert_eq!(json["failure"], serde_json::Value::Null, "{profile} {mode:?}");
        assert_eq!(json["violations"], 0, "{profile} {mode:?}: {}", json["violation_details"]);
        for ledger in json["ledgers"].as_array().expect("a list") {
            assert_eq!(ledger["equal"], true, "{profile} {mode:?}: {ledger}");
        }
        let report = verify(&journal, &mut |_| {}).expect("a readable journal");
        assert_eq!((&report.divergence, report.unrecorded), (&None, 0), "{profile} {mode:?}");
        assert!(report.compared["message"] > 0, "{profile} {mode:?}: {report:?}");
    }
}

#[test]
fn synced_without_a_recorders_thread_is_refused_with_what_to_do() {
    let said = trade(&args("fused", WriteAhead::Synced), &Signals::default()).expect_err("cannot be kept");
    let said = said.to_string();
    assert!(said.contains("split") && said.contains("written"), "{said}");
}
