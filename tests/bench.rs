//! The benches run end to end and their reports have the documented keys. Times are not judged here.

use perpring::cli::bench::{hop, pipeline, wire};
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
