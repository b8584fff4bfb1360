//! The benches run end to end and their reports have the documented keys. Times are not judged here.

use crate::simulated::TempDir;
use perpring::cli::bench::{hop, journal, pipeline, replay, wire};
use perpring::runtime::affinity::AllowedCpus;
use serde_json::Value;

fn has(value: &Value, keys: &[&str]) {
    for key in keys {
        assert!(value.get(key).is_some(), "no `{key}` in {value}");
    }
}

const TAIL: [&str; 7] = ["count", "p50", "p90", "p99", "p999", "p9999", "max"];

#[test]
fn hop_reports_its_keys() {
    let report = serde_json::to_value(hop::measure(1, &AllowedCpus::capture())).expect("plain data");
    has(&report, &["floor_ns", "hop_ns", "crossbeam_ns", "std_ns"]);
}

#[test]
fn pipeline_makes_orders_of_frames_on_one_thread_and_through_hops() {
    let report = pipeline::measure(2).expect("the bench runs");
    assert!(report.fused.count > 0, "no order was made of a frame");
    assert!(report.hops.count > 0, "no order came through the hops");
    assert_eq!(report.throughput.len(), 2);
    let json = serde_json::to_value(&report).expect("plain data");
    has(&json["fused"], &TAIL);
    has(&json["hops"], &TAIL);
}

#[test]
fn wire_measures_accepted_orders_of_the_engine_against_its_floor() {
    let report = wire::measure(2, true, &[]).expect("the bench runs");
    let json = serde_json::to_value(&report).expect("plain data");
    for leg in ["first_leg", "last_leg", "plain_echo"] {
        has(&json["floor"][leg], &TAIL);
    }
    let case = &json["cases"][0];
    has(case, &["profile", "tls", "journal", "rate", "first_leg", "last_leg", "tick_to_order", "parts"]);
    has(&case["first_leg"], &TAIL);
    assert!(report.floor.first_leg.count > 0, "the floor answered no trigger");
    assert_eq!(report.targets.len(), 3);
    let case = &report.cases[0];
    assert!(
        case.parts.iter().all(|part| part.count == case.tick_to_order.count),
        "every order has all parts"
    );
    assert!(case.first_leg.count > 0, "the engine answered no trigger: {case:?}");
    assert_eq!((case.refused, case.first_leg.count + case.unanswered), (0, case.triggers));
}

#[test]
fn journal_measures_recording_and_its_floors() {
    let capture = std::env::temp_dir().join(format!("perpring-bench-capture-{}.jsonl", std::process::id()));
    let line = |i: u64| {
        format!("{{\"e\":\"bookTicker\",\"u\":{i},\"s\":\"BTCUSDT\",\"b\":\"{}.1\"}}\n", 60_000 + i % 97)
    };
    std::fs::write(&capture, (0..40_000).map(line).collect::<String>()).expect("temporary disk");
    let args = journal::JournalBenchArgs { seconds: 1, dir: None, frames: vec![capture.clone()], json: true };
    let report = journal::measure(&args).expect("the bench runs");
    std::fs::remove_file(capture).expect("clean up");
    let json = serde_json::to_value(&report).expect("plain data");
    has(&json, &["cores", "record_bytes", "hand_off_ns", "hand_off_floor_ns", "sustained", "scan"]);
    has(&json, &["compression", "write_ahead", "targets"]);
    has(&json["hand_off_ns"], &TAIL);
    assert!(report.hand_off_ns.count > 0 && report.hand_off_floor_ns.count > 0);
    for row in &report.sustained {
        assert!(row.records_per_s > 0 && row.mb_per_s > 0.0 && row.floor_mb_per_s > 0.0, "{row:?}");
    }
    assert!(report.scan.iter().all(|row| row.gb_per_s > 0.0 && row.floor_gb_per_s > 0.0));
    let modes: Vec<_> = report.write_ahead.iter().map(|wait| (wait.layout, wait.mode)).collect();
    assert_eq!(modes, [("fused", "written"), ("split", "off"), ("split", "written"), ("split", "synced")]);
    assert!(report.write_ahead.iter().all(|wait| wait.wait_ns.count > 0), "no order passed the gate");
    assert_eq!(report.compression.len(), 2);
    assert!(report.compression.iter().all(|row| row.ratio > 4.0), "{:?}", report.compression);
    assert_eq!(report.targets.len(), 5);
}

#[test]
fn replay_measures_passes_memory_snapshots_and_seeks() {
    let place = TempDir::new();
    std::fs::create_dir_all(place.path()).expect("temporary disk");
    let args = replay::ReplayBenchArgs {
        gb: 0.006,
        dir: Some(place.path().join("made/for it")),
        raw: false,
        journal: None,
        rounds: 1,
        seeks: 3,
        spacing: 2_000,
        json: true,
    };
    let report = replay::measure(&args).expect("the bench runs");
    let json = serde_json::to_value(&report).expect("plain data");
    has(&json, &["cores", "journal", "passes", "memory", "snapshots", "seek", "targets"]);
    has(
        &json["journal"],
        &["inputs", "frames", "events", "best_prices", "bytes", "file_bytes", "input_bytes"],
    );
    has(&json["passes"][0], &["what", "inputs_per_s", "events_per_s", "ns_per_input", "cpu_ns_per_input"]);
    has(&json["snapshots"], &["spacing", "count", "state_bytes", "file_bytes", "save_ms", "load_ms"]);
    has(&json["seek"], &["count", "p50_ms", "max_ms", "max_inputs"]);
    let journal = &report.journal;
    assert!(journal.best_prices * 5 > journal.frames * 4, "mostly best prices: {journal:?}");
    assert!(journal.file_bytes < journal.bytes && journal.events > journal.inputs, "{journal:?}");
    let passes: Vec<_> = report.passes.iter().map(|pass| pass.what).collect();
    assert_eq!(passes, ["files", "records", "inputs", "decode", "scan", "replay", "verify"]);
    assert!(report.passes.iter().all(|pass| pass.inputs_per_s > 0 && pass.cpu_ns_per_input > 0.0));
    let spaces = journal.inputs / args.spacing;
    assert!(spaces > 1 && report.snapshots.count == spaces, "{:?} of {journal:?}", report.snapshots);
    assert!(report.seek.count == 3 && report.seek.max_inputs < args.spacing, "{:?}", report.seek);
    let replay::Memory { quarter_kb, whole_kb, verify_kb } = report.memory;
    let told = [quarter_kb, whole_kb, verify_kb].into_iter().flatten().all(|kb| kb > 1_000);
    assert!(told, "{:?}", report.memory);
    let judged: Vec<_> = report.targets.iter().map(|target| target.pass.is_some()).collect();
    assert_eq!(judged, [true, true, false], "so short a run cannot tell what is kept");
    let left = std::fs::read_dir(place.path()).expect("what was there before stays").count();
    assert_eq!(left, 0, "what was made for it is gone");
}
