//! Near-misses in a whole run: recorded, few, reproduced, and absent where the parameters know none of them.

use crate::simulated::{TempDir, sim_config, simulation};
use perpring::domain::codec::decode_output;
use perpring::domain::event::Seq;
use perpring::domain::intent::{BPS, NearMiss};
use perpring::domain::output::Output;
use perpring::domain::params::{RiskParams, ScanParams};
use perpring::domain::time::{MILLI, SECOND};
use perpring::export::table::Kind;
use perpring::export::{Format, Request, export};
use perpring::journal::{Reader, Stream};
use perpring::replay::verify::verify;
use perpring::topology::world;
use std::collections::BTreeMap;
use std::path::Path;

fn record(dir: &Path, scan: ScanParams) {
    let sim = sim_config(3, &["binance-usdm", "okx"], |_| {});
    let (mut simulation, _) = simulation(&sim, scan, RiskParams::default(), MILLI, Some(dir));
    simulation.run_for(12 * SECOND);
    crate::simulated::close(simulation);
}

/// What was told, with the second of event time in which it was.
fn told(dir: &Path) -> Vec<(i64, NearMiss)> {
    let mut reader = Reader::open(dir, Stream::Outputs).expect("a journal");
    let mut told = Vec::new();
    while let Some(record) = reader.next().expect("whole") {
        let (_, output, _) = decode_output(Seq(record.seq), record.body).expect("ours");
        if let Output::NearMiss(near) = output {
            told.push((record.time_ns.div_euclid(SECOND), near));
        }
    }
    told
}

#[test]
fn near_misses_are_recorded_few_of_a_pair_in_a_second_and_made_again_by_a_replay() {
    let dir = TempDir::new();
    let scan = ScanParams { near_miss_ppb: 2 * BPS, near_miss_per_s: 2, ..world::demo_scan() };
    record(dir.path(), scan);
    let told = told(dir.path());
    assert!(!told.is_empty(), "twelve seconds without one");
    let mut per_second: BTreeMap<(i64, u16, u16), u32> = BTreeMap::new();
    for (second, near) in &told {
        let (low, high) = (near.long.0.min(near.short.0), near.long.0.max(near.short.0));
        *per_second.entry((*second, low, high)).or_default() += 1;
        assert!(near.edge.net >= near.edge.threshold - 2 * BPS, "{near:?}");
    }
    assert!(per_second.values().all(|count| *count <= 2), "{per_second:?}");
    let report = verify(dir.path(), &mut |_| {}).expect("a readable journal");
    assert_eq!((&report.divergence, report.compared["near_miss"]), (&None, told.len() as u64));

    let out = TempDir::new();
    let request = Request {
        dir: dir.path().to_owned(),
        out: out.path().to_owned(),
        format: Format::Csv,
        kinds: [Kind::NearMisses].into(),
        venues: None,
        instruments: None,
        from: None,
        to: None,
        stop: std::sync::Arc::default(),
    };
    export(&request, &mut |_, _| {}).expect("exports");
    let text = std::fs::read_to_string(out.path().join("near_misses.csv")).expect("a table");
    assert_eq!(text.lines().count(), told.len() + 1, "a heading and a row each");
    assert!(
        text.starts_with("seq,receive_ns,venue,instrument,symbol,short_venue,short_symbol,why,"),
        "{text}"
    );
}

#[test]
fn a_run_whose_parameters_know_no_near_misses_records_none_and_replays() {
    let dir = TempDir::new();
    record(dir.path(), ScanParams { near_miss_ppb: 0, near_miss_per_s: 0, ..world::demo_scan() });
    assert_eq!(told(dir.path()), []);
    let report = verify(dir.path(), &mut |_| {}).expect("a readable journal");
    assert_eq!((&report.divergence, report.compared.get("near_miss")), (&None, None));
}
