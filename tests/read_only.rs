//! File systems that nothing can be written to: a journal on one is read by every command, a run is not begun on one,
//! and a run whose journal's file system becomes read-only ends in order with a record that replays.

use crate::full_disk::{Mount, follow};
use crate::simulated::TempDir;
use perpring::cli::Signals;
use perpring::cli::demo::{DemoArgs, trade};
use perpring::replay::verify::verify;
use perpring::runtime::idle::IdleMode;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

/// A directory as it is, to be read only.
fn read_only(dir: &Path) -> Option<Mount> {
    let mount = |options: &[&str]| {
        let done = Command::new("mount").args(options).arg(dir).output().ok()?;
        done.status.success().then_some(())
    };
    let path = dir.to_str()?;
    mount(&["--bind", path])?;
    let mounted = Mount::over(dir);
    mount(&["-o", "remount,bind,ro"])?;
    Some(mounted)
}

fn demo(journal: PathBuf, profile: &str, seconds: u64) -> DemoArgs {
    DemoArgs {
        duration: Some(Duration::from_secs(seconds)),
        instruments: 4,
        journal: Some(journal),
        pinning: Some(profile.into()),
        idle: Some(IdleMode::Yield),
        segment_kib: 256,
        json: true,
        ..DemoArgs::default()
    }
}

fn perpring(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_perpring")).args(arguments).output().expect("it starts")
}

#[test]
fn a_file_system_that_becomes_read_only_stops_trading_and_leaves_a_record_that_replays() {
    for profile in ["fused", "split"] {
        let dir = TempDir::new();
        let journal = dir.path().join("disk").join("journal");
        std::fs::create_dir_all(&journal).expect("room");
        let args = demo(journal.clone(), profile, 12);
        let run = std::thread::spawn(move || {
            trade(&args, &Signals::default()).map_err(|failure| failure.to_string())
        });
        let mut reader = None;
        follow(&journal, &mut reader, "the engine reads the market", |seq, _| seq > 500);
        let mounted = read_only(&journal);
        if mounted.is_none() {
            eprintln!("skipped: mounting is not permitted here");
        }
        let report = run.join().expect("no panic").expect("the run ends with a report");
        if mounted.is_none() {
            return;
        }
        let json = serde_json::to_value(&report).expect("plain data");
        println!("{profile}: {json}");
        let failure = json["failure"].as_str().unwrap_or_default();
        assert!(failure.contains("cannot write to the journal directory"), "{profile}: {failure}");
        for ledger in json["ledgers"].as_array().expect("a list") {
            assert_eq!(ledger["equal"], true, "{profile}: {ledger}");
        }
        assert_eq!(json["open_at_end"], 0, "{profile}: trades were closed and orders cancelled");
        let verified = verify(&journal, &mut |_| {}).expect("what was recorded can be read");
        assert_eq!(verified.divergence, None, "{profile}");
        assert!(verified.total() > 100, "{profile}: {verified:?}");
    }
}

#[test]
fn a_journal_on_a_read_only_file_system_is_read_by_every_command_and_takes_no_run() {
    let dir = TempDir::new();
    let root = dir.path().join("disk");
    let (journal, path) = (root.join("journal"), root.join("journal").display().to_string());
    std::fs::create_dir_all(&root).expect("room");
    let report = trade(&demo(journal.clone(), "fused", 3), &Signals::default()).expect("a run");
    assert_eq!(serde_json::to_value(&report).expect("plain data")["failure"], serde_json::Value::Null);
    let Some(_mounted) = read_only(&root) else {
        eprintln!("skipped: mounting is not permitted here");
        return;
    };
    let out = dir.path().join("cut.ppz").display().to_string();
    let tables = dir.path().join("tables").display().to_string();
    for command in [
        &["journal", "verify", &path][..],
        &["replay", &path],
        &["replay", &path, "--verify"],
        &["replay", &path, "--from", "1000", "--to", "2000"],
        &["audit", &path],
        &["diff", &path, &path],
        &["bundle", &path, "--around", "1000", "--window", "200ms", "-o", &out],
        &["export", &path, "--to", "csv", "--out", &tables],
    ] {
        let ended = perpring(command);
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(0), "{command:?}: {said}");
        assert!(!said.contains("Read-only"), "{command:?}: {said}");
    }
    let refused =
        perpring(&["demo", "--for", "1s", "--journal", &root.join("another").display().to_string()]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("another") && said.contains("Read-only"), "{said}");
}
