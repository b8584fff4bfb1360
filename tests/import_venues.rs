//! Recordings of every venue can be imported: what the simulated venues sent in a run comes back as lines of a recorder,
//! and as the same prices in the engine. A real capture of OKX with its contracts, and one of Hyperliquid, when they
//! are there.

use super::oracle::shared;
use crate::simulated::{TempDir, sim_config, simulation};
use perpring::cli::demo::tempdir;
use perpring::cli::import::{Job, Source, run};
use perpring::domain::event::{Seq, SessionRole};
use perpring::domain::input::Input;
use perpring::domain::order::Side;
use perpring::domain::params::RiskParams;
use perpring::domain::time::{MICRO, SECOND};
use perpring::replay::cursor::Cursor;
use perpring::replay::source::Inputs;
use perpring::stage::decode::ConnInfo;
use perpring::topology::world;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

const VENUES: [&str; 4] = ["okx", "bybit", "deribit", "hyperliquid"];
/// What only the contracts of each of them hold.
const MARKS: [&str; 4] = ["\"ctVal\"", "\"lotSizeFilter\"", "\"min_trade_amount\"", "\"universe\""];

/// What a recorder beside the engine would have kept: the market frames of each venue, and its contracts.
fn recordings(journal: &Path, conns: &[ConnInfo]) -> [(String, Vec<u8>); 4] {
    let mut kept: [(String, Vec<u8>); 4] = Default::default();
    let mut inputs = Inputs::open(journal).unwrap();
    let mut anchor = 0;
    while let Some((_, raw)) = inputs.next().unwrap() {
        match raw.input {
            Input::Anchor(at) => anchor = at,
            Input::Frame(meta) if conns[meta.conn.index()].role == SessionRole::Market => {
                let text = std::str::from_utf8(raw.bytes).unwrap();
                let lines = &mut kept[conns[meta.conn.index()].venue.index()].0;
                writeln!(lines, "{} {text}", anchor + raw.mono).unwrap();
            }
            Input::HttpReply { venue, status: 200, .. } => {
                let body = String::from_utf8_lossy(raw.bytes);
                if body.contains(MARKS[venue.index()]) {
                    kept[venue.index()].1 = raw.bytes.to_vec();
                }
            }
            _ => {}
        }
    }
    kept
}

/// Price and quantity of the best bid and the best ask.
type Touch = [Option<(i64, i64)>; 2];

/// Best bid and ask of every listing after the last frame of a run, by dialect and symbol.
fn touches(journal: &Path) -> BTreeMap<(String, String), Touch> {
    let mut cursor = Cursor::open(journal).unwrap();
    let (mut inputs, mut last) = (Inputs::open(journal).unwrap(), Seq(0));
    while let Some((seq, raw)) = inputs.next().unwrap() {
        last = if matches!(raw.input, Input::Frame(_)) { seq } else { last };
    }
    cursor.seek(last, &mut (), &mut |_| {}).unwrap();
    let params = &cursor.config().params;
    let scanner = cursor.parts().scan.scanner();
    let listings = params.listings.iter().map(|of| {
        let book = &scanner.listing(of.id).unwrap().book;
        assert!(book.is_served(), "{}", of.symbol);
        let name = (params.venues[of.venue.index()].dialect.clone(), of.symbol.to_string());
        (name, [book.touch(Side::Buy), book.touch(Side::Sell)])
    });
    listings.collect()
}

fn import(job: &Job) -> (Value, String) {
    let mut err = Vec::new();
    let (report, _) = run(job, false, &mut err).unwrap();
    (serde_json::to_value(report).unwrap(), String::from_utf8(err).unwrap())
}

fn replays(dir: &Path) {
    let report = perpring::replay::verify::verify(dir, &mut |_| {}).unwrap();
    assert!(report.divergence.is_none() && report.total() > 0, "{report:?}");
}

#[test]
fn what_four_venues_sent_is_imported_without_a_gap_and_gives_the_same_prices() {
    let (dir, out) = (TempDir::new(), tempdir().unwrap());
    let sim = sim_config(11, &VENUES, |_| {});
    let (mut simulation, _) =
        simulation(&sim, world::demo_scan(), RiskParams::default(), 100 * MICRO, Some(dir.path()));
    simulation.run_for(8 * SECOND);
    let conns = simulation.engine().river().parts().conns.clone();
    crate::simulated::close(simulation);

    let mut job = Job { output: out.join("journal"), ..Job::default() };
    for ((lines, contracts), venue) in recordings(dir.path(), &conns).into_iter().zip(VENUES) {
        let (file, metadata) = (out.join(venue), out.join(format!("{venue}.json")));
        assert!(!contracts.is_empty(), "{venue} stated its contracts");
        std::fs::write(&file, lines).unwrap();
        std::fs::write(&metadata, contracts).unwrap();
        job.sources.push(Source { dialect: venue.to_owned(), files: vec![file] });
        job.metadata.push((venue.to_owned(), metadata));
    }
    let (report, remarks) = import(&job);
    assert_eq!(touches(&job.output), touches(dir.path()), "the same best prices at the end");
    for (venue, name) in report["venues"].as_array().unwrap().iter().zip(VENUES) {
        assert_eq!(venue["venue"], json!(name));
        let count = |key: &str| venue[key].as_u64().unwrap();
        let heard = count("frames") + count("duplicates");
        assert_eq!(heard, count("lines"), "{name}: every frame was heard: {remarks}");
        assert_eq!(
            (&venue["gaps"], &venue["unheard"], &venue["undecodable"]),
            (&json!(0), &json!(0), &json!(0))
        );
        assert_eq!(venue["live_at_end"], json!(venue["instruments"].as_array().unwrap().len()), "{name}");
    }
    let priced = |at: usize| {
        let way = report["pairs"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|way| way["engine_pair"] == json!(true))
            .nth(at);
        way.unwrap()["why_not"]["below threshold"].as_u64().unwrap_or(0)
    };
    assert!((0..8).all(|at| priced(at) > 0), "all clocks are known, and every pair is priced by the engine");
    replays(&job.output);
}

#[test]
fn a_real_capture_of_okx_is_imported_with_the_contracts_that_its_recorder_asked_for() {
    let Some(captures) = shared() else { return };
    let out = tempdir().unwrap();
    let file = |name: &str| captures.join("corpus/okx/capture").join(name);
    let files: Vec<PathBuf> =
        vec![file("cryptofeed_OKX.0__2022-05-13.txt.gz"), file("cryptofeed_OKX.ws.1.0__2022-05-13.txt")];
    let job = Job {
        sources: vec![Source { dialect: "okx".to_owned(), files }],
        output: out.join("journal"),
        ..Job::default()
    };
    let (report, remarks) = import(&job);
    let venue = &report["venues"][0];
    assert_eq!(
        venue["instruments"],
        json!(["UNI/USD:UNI"]),
        "spot and dated contracts are left out: {remarks}"
    );
    assert!(remarks.contains("left out: BTC-USDT of okx"), "{remarks}");
    assert_eq!((&venue["gaps"], &venue["live_at_end"]), (&json!(0), &json!(1)), "{venue:#}");
    replays(&job.output);
}
