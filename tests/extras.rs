//! Open interest, last prices and liquidations: what the simulated venues state becomes events, subscribed where that
//! was asked for, and the journal's events can be printed.

use crate::simulated::{TempDir, changed_simulation, sim_config};
use perpring::domain::params::{Extras, RiskParams};
use perpring::domain::time::{MICRO, SECOND};
use perpring::ops::metrics::exposition;
use perpring::ops::view::{Names, View};
use perpring::ops::watch::MarketState;
use perpring::replay::source::RunConfig;
use perpring::replay::verify::verify;
use perpring::sim::FaultPlan;
use perpring::topology::world;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

pub const VENUES: [&str; 5] = ["binance-usdm", "okx", "bybit", "deribit", "hyperliquid"];

/// Records 40 s of a world whose venues are asked for `extras`; what was last stated, by listing.
pub fn record(dir: &Path, venues: &[&str], extras: Extras) -> (RunConfig, Vec<MarketState>) {
    let sim = sim_config(7, venues, |_| {});
    let mut params = world::engine_params(&sim, 7, world::demo_scan(), RiskParams::default());
    for venue in &mut params.venues {
        venue.extras = extras;
    }
    let (mut simulation, config) =
        changed_simulation(params, &sim, 100 * MICRO, Some(dir), &FaultPlan::default());
    simulation.run_for(40 * SECOND);
    let odd = simulation.engine().river().parts().decode.odd();
    assert_eq!((odd.malformed, odd.unknown, odd.symbols, odd.refused), (0, 0, 0, 0), "{odd:?}");
    let states = simulation.engine().keeper().watch().markets().to_vec();
    crate::simulated::close(simulation);
    (config, states)
}

/// `journal dump --events`: the objects of each kind.
fn dumped(dir: &Path) -> BTreeMap<String, Vec<Value>> {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_perpring"))
        .args(["journal", "dump", "--events"])
        .arg(dir)
        .output()
        .expect("the program");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut kinds: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for line in output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let line: Value = serde_json::from_slice(line).expect("an object a line");
        if let Some((kind, event)) = line["event"].as_object().and_then(|event| event.iter().next()) {
            kinds.entry(kind.clone()).or_default().push(event.clone());
        }
    }
    kinds
}

/// How many events of a kind each venue has.
fn by_venue(config: &RunConfig, events: Option<&Vec<Value>>) -> Vec<usize> {
    let mut counts = vec![0; config.params.venues.len()];
    for event in events.into_iter().flatten() {
        let (_, venue) =
            event["instrument"].as_str().and_then(|name| name.rsplit_once('.')).expect("a listing");
        let at = config.params.venues.iter().position(|one| one.dialect == venue).expect("a venue");
        counts[at] += 1;
    }
    counts
}

#[test]
fn what_was_asked_for_comes_from_every_venue_that_has_it_and_replays() {
    let dir = TempDir::new();
    let (config, states) = record(dir.path(), &VENUES, Extras::ALL);
    let events = dumped(dir.path());
    let told = |kind: &str| -> Vec<bool> {
        by_venue(&config, events.get(kind)).into_iter().map(|count| count > 0).collect()
    };
    let all_but_hyperliquid = [true, true, true, true, false];
    assert_eq!(told("OpenInterest"), [true; 5]);
    assert_eq!(told("Ticker"), all_but_hyperliquid);
    assert_eq!(told("Liquidation"), all_but_hyperliquid);
    // The simulated venues tell of the taker of a trade: whatever their words, the side is that of its order.
    for forced in &events["Liquidation"] {
        let same = |trade: &&Value| {
            ["instrument", "venue_ns"].iter().all(|field| trade[*field] == forced[*field])
                && trade["aggressor"] == forced["side"]
        };
        assert!(events["Trade"].iter().any(|trade| same(&trade)), "{forced}");
    }
    assert_eq!(verify(dir.path(), &mut |_| {}).expect("a readable journal").divergence, None);
    // The watch holds what the events said last.
    let names = Names::of(&config.params);
    let last = |kind: &str, listing: usize, field: &str| {
        let (venue, symbol) = &names.listings[listing];
        let name = format!("{symbol}.{}", names.venue(*venue));
        let events = events.get(kind).into_iter().flatten();
        events
            .filter(|event| event["instrument"] == name.as_str())
            .map(|event| event[field].to_string())
            .next_back()
    };
    let text = |num: Option<perpring::domain::number::Num>| num.map(|num| format!("\"{num}\""));
    for (listing, state) in states.iter().enumerate() {
        assert_eq!(text(state.last), last("Ticker", listing, "last"), "listing {listing}");
        assert_eq!(text(state.open_interest), last("OpenInterest", listing, "qty"), "listing {listing}");
    }
    let view = View { names: Arc::new(Names::of(&config.params)), markets: states, ..View::default() };
    let page = exposition(&view);
    for row in [
        "perpring_last_price{venue=\"okx\",symbol=\"BTC-USDT-SWAP\"} ",
        "perpring_open_interest{venue=\"hyperliquid\",symbol=\"BTC\"} ",
        "perpring_liquidations_seen_total{venue=\"bybit\",symbol=\"BTCUSDT\",position=\"long\"} ",
    ] {
        assert!(page.contains(row), "{row} is not in {page}");
    }
}

#[test]
fn without_being_asked_for_only_what_comes_anyway_is_stated() {
    let dir = TempDir::new();
    let (config, _) = record(dir.path(), &VENUES, Extras::FREE);
    let events = dumped(dir.path());
    let told = |kind: &str| -> Vec<bool> {
        by_venue(&config, events.get(kind)).into_iter().map(|count| count > 0).collect()
    };
    assert_eq!(told("OpenInterest"), [false, false, true, true, true]);
    assert_eq!(told("Ticker"), [false, false, true, true, false]);
    assert_eq!(told("Liquidation"), [false, false, false, true, false]);
}

#[test]
fn runs_recorded_before_have_none_and_replay_as_they_were() {
    let dir = TempDir::new();
    let (config, _) = record(dir.path(), &["binance-usdm", "bybit"], Extras::default());
    let events = dumped(dir.path());
    assert!(["OpenInterest", "Ticker", "Liquidation"].iter().all(|kind| !events.contains_key(*kind)));
    assert!(events.contains_key("Bbo"), "the others are there");
    // What an older version wrote lacks the key: it reads as nothing asked for and nothing stated.
    let mut json = serde_json::to_value(&config).expect("plain data");
    for venue in json["params"]["venues"].as_array_mut().expect("venues") {
        assert!(venue.as_object_mut().expect("an object").remove("extras").is_some());
    }
    assert_eq!(serde_json::from_value::<RunConfig>(json).expect("the key has a default"), config);
}
