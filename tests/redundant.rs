//! Whole engines with second connections for market data, among venues that lose messages and connections:
//! nothing that only one connection lost makes a book unusable, and every run replays.

use crate::simulated::{START, TempDir, sim_config};
use perpring::domain::instrument::InstrumentId;
use perpring::domain::params::{MarketCopies, RiskParams};
use perpring::domain::time::{MICRO, MILLI, Nanos, SECOND};
use perpring::journal::{JournalOptions, Manifest, RunId};
use perpring::replay::source::RunConfig;
use perpring::replay::verify::verify;
use perpring::sim::{FaultCounts, FaultPlan, LedgerServer, SimConfig, server_with};
use perpring::stage::egress::Vault;
use perpring::stage::record::Recorder;
use perpring::stage::river::{Parts, River};
use perpring::topology::fused::Fused;
use perpring::topology::keeper::Keeper;
use perpring::topology::launch::manifest;
use perpring::topology::simulated::Simulation;
use perpring::topology::world;
use perpring::venue::copies::CopyCounts;
use std::path::Path;

const BOTH: [&str; 2] = ["binance-usdm", "okx"];
const OTHERS: [&str; 3] = ["bybit", "deribit", "hyperliquid"];
/// All books are live well before.
const WARM: Nanos = 15 * SECOND;

fn build(sim: &SimConfig, copies: MarketCopies, plan: &FaultPlan, journal: &Path) -> Simulation {
    let mut params = world::engine_params(sim, 7, world::demo_scan(), RiskParams::default());
    for venue in &mut params.venues {
        venue.market_copies = copies;
    }
    let config = RunConfig { trading: true, params };
    let bytes = config.to_bytes();
    let about = Manifest { run_id: RunId(42), ..manifest(&bytes, START, Default::default()) };
    let options = JournalOptions { segment_bytes: 4 << 20, helper: false, ..JournalOptions::default() };
    let recorder = Recorder::create(journal, &about, &options).expect("a fresh directory");
    let parts = Parts::new(&config.params, true).expect("known dialects");
    let conns = parts.conns.clone();
    let engine = Fused::new(River::new(parts), Keeper::new(Some(recorder)));
    let servers: Vec<Box<dyn LedgerServer>> =
        (0..sim.venues.len()).map(|venue| server_with(sim, venue, plan).expect("a valid world")).collect();
    let vault = Vault::new(world::credentials(sim));
    Simulation::new(engine, servers, conns, vault, START, 100 * MICRO, &bytes)
}

/// How long each listing's book was not served from [`WARM`] on; the run is recorded and replays.
fn outages(venues: &[&str], copies: MarketCopies, plan: &str, seconds: i64) -> Run {
    const STEP: Nanos = 20 * MILLI;
    let dir = TempDir::new();
    let sim = sim_config(11, venues, |_| {});
    let plan = FaultPlan::parse("faults", plan).expect("a valid plan");
    let mut simulation = build(&sim, copies, &plan, dir.path());
    let mut outages = vec![0; 2 * venues.len()];
    for step in 0..seconds * SECOND / STEP {
        simulation.run_for(STEP);
        let scanner = simulation.engine().river().parts().scan.scanner();
        for (id, outage) in outages.iter_mut().enumerate() {
            let is_served = scanner.book_age(InstrumentId(id as u16)).is_some();
            if step * STEP >= WARM && !is_served {
                *outage += STEP;
            }
        }
    }
    let mut faults = FaultCounts::default();
    simulation.servers().iter().for_each(|server| faults.add(&server.faults()));
    let decode = &simulation.engine().river().parts().decode;
    let copies = decode.copies().map(|(_, counts)| *counts).collect();
    let recorder = simulation.into_parts().0.into_parts().1.into_parts().0;
    recorder.expect("recorded").close().expect("temporary disk");
    assert_eq!(verify(dir.path(), &mut |_| {}).expect("a journal").divergence, None);
    Run { outages, faults, copies }
}

/// What a run brought.
struct Run {
    /// By listing, ns.
    outages: Vec<Nanos>,
    faults: FaultCounts,
    /// By venue.
    copies: Vec<CopyCounts>,
}

/// Instants, seconds after the start.
fn every(first: f64, last: f64, step: f64) -> String {
    let count = ((last - first) / step) as usize;
    let at: Vec<String> = (0..count).map(|i| format!("{:.3}", first + step * i as f64)).collect();
    format!("[{}]", at.join(", "))
}

/// Losses of every kind on the market connections, none of them on both at once.
fn losses() -> String {
    format!(
        "seed = 5\n\
         [[fault]]\nkind = \"gap\"\nat_s = {}\n\
         [[fault]]\nkind = \"duplicate\"\nat_s = {}\n\
         [[fault]]\nkind = \"reorder\"\nat_s = {}\n\
         [[fault]]\nkind = \"disconnect\"\non = \"market\"\nat_s = {}\n\
         [[fault]]\nkind = \"half_open\"\non = \"market\"\nat_s = [56]\n",
        every(20.0, 40.0, 0.37),
        every(20.1, 40.0, 0.91),
        every(20.2, 40.0, 0.83),
        every(45.0, 75.0, 5.0),
    )
}

#[test]
fn with_two_connections_no_single_loss_takes_a_book_away() {
    let Run { outages, faults, copies } = outages(&BOTH, MarketCopies::Two, &losses(), 75);
    println!("{faults}; outages {outages:?}; {copies:?}");
    assert!(faults.total() > 120);
    assert_eq!(outages, [0; 4]);
    for counts in copies {
        assert!(counts.wins.iter().all(|wins| *wins > 1_000), "either connection was first at times");
        assert!(counts.duplicates.iter().sum::<u64>() > 1_000);
    }
}

#[test]
fn with_two_connections_no_single_loss_takes_a_book_away_at_the_other_venues_either() {
    let Run { outages, faults, copies } = outages(&OTHERS, MarketCopies::Two, &losses(), 75);
    println!("{faults}; outages {outages:?}; {copies:?}");
    assert!(faults.total() > 180);
    assert_eq!(outages, [0; 6]);
    for counts in copies {
        assert!(counts.wins.iter().all(|wins| *wins > 100), "either connection was first at times");
        assert!(counts.duplicates.iter().sum::<u64>() > 300);
    }
}

/// Sockets that are half open twice at every venue, one connection being kept.
fn half_open(venues: &[&str]) -> Vec<Nanos> {
    let plan: String = venues
        .iter()
        .map(|venue| {
            format!(
                "[[fault]]\nkind = \"half_open\"\nvenue = \"{venue}\"\non = \"market\"\nat_s = [50, 60]\n"
            )
        })
        .collect();
    let Run { outages, faults, .. } = outages(venues, MarketCopies::Relay, &plan, 75);
    println!("{faults}; outages {outages:?}");
    assert_eq!(faults.total(), 2 * venues.len() as u64);
    outages
}

#[test]
fn a_half_open_socket_is_found_within_seconds_once_it_is_known_how_busy_it_is() {
    // A fixed patience took 20 s (Binance) or 30 s (OKX) each time.
    let outages = half_open(&BOTH);
    assert!(outages.iter().all(|outage| *outage < 12 * SECOND), "{outages:?}");
    let outages = half_open(&OTHERS);
    assert!(outages.iter().all(|outage| *outage < 12 * SECOND), "{outages:?}");
}

#[test]
fn a_journal_that_does_not_say_means_one_connection() {
    let sim = sim_config(11, &BOTH, |_| {});
    let mut params = world::engine_params(&sim, 7, world::demo_scan(), RiskParams::default());
    assert!(params.venues.iter().all(|venue| venue.market_copies == MarketCopies::Relay));
    let conns = |params: &_| Parts::new(params, true).expect("known dialects").conns.len();
    assert_eq!(conns(&params), 4 + 2 + 3 + 1);
    let config = RunConfig { trading: true, params: params.clone() };
    let mut old: serde_json::Value = serde_json::from_slice(&config.to_bytes()).expect("JSON");
    for venue in old["params"]["venues"].as_array_mut().expect("venues") {
        assert!(venue.as_object_mut().expect("a venue").remove("market_copies").is_some());
    }
    let read: RunConfig = serde_json::from_value(old).expect("an older journal's configuration");
    for venue in &mut params.venues {
        venue.market_copies = MarketCopies::One;
    }
    assert_eq!(read.params, params);
    assert_eq!(conns(&read.params), 4 + 3);
}
