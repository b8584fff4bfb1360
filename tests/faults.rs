//! The whole engine among venues that misbehave in every way that `--faults` knows: it trades on, every order's
//! fate becomes known, books of account agree in the end, no limit is broken, and the run replays.

use crate::simulated::{TempDir, changed_simulation, sim_config};
use perpring::cli::Signals;
use perpring::cli::demo::{DemoArgs, trade};
use perpring::domain::input::Command;
use perpring::domain::money::Money;
use perpring::domain::params::{OrderRoute, RiskParams};
use perpring::domain::time::{MICRO, SECOND};
use perpring::ops::watch::Counts;
use perpring::replay::audit::check_dir;
use perpring::replay::verify::verify;
use perpring::runtime::idle::IdleMode;
use perpring::sim::faults::FaultKind;
use perpring::sim::{FaultCounts, FaultPlan};
use perpring::topology::world;
use std::time::Duration;

const VENUES: [&str; 3] = ["binance-usdm", "okx", "bybit"];
const EXAMPLE: &str = include_str!("../docs/faults.example.toml");

/// The documented example up to the 60th second, with another seed and without deleveraging: a venue tells that once,
/// on a stream that other faults close, and then only its positions show it. See [`survives_deleveraging`].
fn plan(seed: u64) -> FaultPlan {
    let (rest, _) = EXAMPLE.split_once("\n# The venue takes half of a position").expect("the last kind");
    let text = rest.replace("seed = 1\n", &format!("seed = {seed}\nuntil_s = 60\n"));
    FaultPlan::parse("faults", &text).expect("the documented example")
}

/// A minute with the faults of `plan`, then two minutes without, in which everything that is open is closed: a ban
/// holds our requests for that long, whatever the venue says.
fn survives(seed: u64, plan: &FaultPlan) -> (Counts, FaultCounts) {
    survives_among(&VENUES, seed, plan, [60, 120])
}

/// Seconds with the faults of `plan`, then seconds in which everything that is open is closed. Everything that must
/// hold at the end is asserted.
fn survives_among(venues: &[&str], seed: u64, plan: &FaultPlan, times: [i64; 2]) -> (Counts, FaultCounts) {
    survives_by(OrderRoute::Websocket, venues, seed, plan, times)
}

/// The same with orders by that way, where a venue has it.
fn survives_by(
    route: OrderRoute,
    venues: &[&str],
    seed: u64,
    plan: &FaultPlan,
    [trading, closing]: [i64; 2],
) -> (Counts, FaultCounts) {
    let dir = TempDir::new();
    let sim = sim_config(seed, venues, |_| {});
    // Misses and losses are the faults' doing here and must not end the experiment.
    let risk = RiskParams {
        consecutive_failures_max: 1_000_000,
        daily_loss_max_usd: 1_000_000,
        ..RiskParams::default()
    };
    let mut params = world::engine_params(&sim, 7, world::demo_scan(), risk);
    if route == OrderRoute::Http {
        world::route_orders(&mut params, route);
    }
    let (mut simulation, config) = changed_simulation(params, &sim, 100 * MICRO, Some(dir.path()), plan);
    simulation.run_for(trading * SECOND);
    simulation.command(Command::Reduce);
    simulation.run_for(closing * SECOND);
    let counts = *simulation.engine().keeper().watch().counts();
    let mut faults = FaultCounts::default();
    simulation.servers().iter().for_each(|server| faults.add(&server.faults()));
    println!("seed {seed}: {counts:?}; faults: {faults}");
    let rules = simulation.engine().river().parts().risk.rules();
    assert_eq!(rules.open_orders(), 0, "every order's fate is known");
    assert_eq!(counts.trades_opened, counts.trades_closed, "seed {seed}");
    let positions = rules.positions().clone();
    let (engine, servers) = simulation.into_parts();
    for (index, server) in servers.iter().enumerate() {
        let ledger = server.ledger();
        let account = ledger.account_ids().next().expect("one account");
        let (mut fees, mut realised) = (Money::ZERO, Money::ZERO);
        for row in positions.positions().filter(|row| row.instrument.venue.index() == index) {
            assert_eq!(row.position.qty, 0, "flat at the end: {}", row.instrument.symbol);
            fees += row.position.fees;
            realised += row.position.realised;
        }
        let theirs = ledger.totals(account);
        assert_eq!((fees, realised), (theirs.fees, theirs.realised), "seed {seed}, {}", ledger.venue());
    }
    engine.into_parts().1.into_parts().0.expect("recorded").close().expect("temporary disk");
    assert_eq!(check_dir(dir.path(), &config.params).expect("a journal"), Vec::<String>::new());
    assert_eq!(verify(dir.path(), &mut |_| {}).expect("a journal").divergence, None);
    (counts, faults)
}

#[test]
fn trading_survives_most_kinds_of_faults_and_the_books_agree() {
    let (counts, faults) = survives(1, &plan(1));
    assert!(counts.trades_closed > 10 && faults.total() > 60, "{counts:?}, {faults}");
}

/// Every kind struck, and orders whose acknowledgement was lost were resolved by asking.
fn survives_all(seed: u64) {
    let (counts, faults) = survives(seed, &plan(seed));
    assert!(counts.trades_closed > 10 && counts.unknown > 0, "{counts:?}");
    for kind in FaultKind::ALL.into_iter().filter(|kind| *kind != FaultKind::Adl) {
        assert!(faults.of(kind) > 0, "no {}: {faults}", kind.name());
    }
}

#[test]
fn trading_survives_every_kind_of_fault_and_lost_acknowledgements_are_resolved() {
    survives_all(3);
}

#[test]
fn refusals_of_requests_sent_together_are_one_offence_and_a_ban_ends_in_time_to_close_trades() {
    survives_all(2);
}

/// Faults of matching and accounts at one venue: everything of `text` strikes there, nothing else anywhere.
fn matching_faults(venue: &str, text: &str) -> (Counts, FaultCounts) {
    let plan = FaultPlan::parse("faults", text).expect("a plan");
    let other = if venue == "binance-usdm" { "okx" } else { "binance-usdm" };
    survives_among(&[other, venue], 7, &plan, [24, 8])
}

/// Early fills, halves, refusals, a moving clock and a narrow band, all at `venue`.
fn survives_a_venue_that_matches_badly(venue: &str) {
    let text = format!(
        "until_s = 24\n\
         [[fault]]\nkind = 'fill_before_ack'\nvenue = '{venue}'\nper_minute = 30\nfor_ms = 20\n\
         [[fault]]\nkind = 'partial_fill'\nvenue = '{venue}'\nper_minute = 30\n\
         [[fault]]\nkind = 'reject'\nvenue = '{venue}'\nper_minute = 30\n\
         [[fault]]\nkind = 'clock_skew'\nvenue = '{venue}'\nat_s = [8]\nby_ms = 1_500\nfor_ms = 4_000\n\
         [[fault]]\nkind = 'price_band'\nvenue = '{venue}'\nat_s = [15]\nband_bps = 1\nfor_ms = 2_000\n"
    );
    let (counts, faults) = matching_faults(venue, &text);
    for kind in [
        FaultKind::FillBeforeAck,
        FaultKind::PartialFill,
        FaultKind::Reject,
        FaultKind::ClockSkew,
        FaultKind::PriceBand,
    ] {
        assert!(faults.of(kind) > 0, "no {} at {venue}: {faults}", kind.name());
    }
    assert!(counts.rejects > 0 && counts.trades_closed > 0 && counts.foreign == 0, "{counts:?}");
}

/// Orders over HTTP, everything of which a reply is capable, and what befalls the streams that tell of fills.
#[test]
fn orders_over_http_meet_the_same_faults_and_the_books_agree() {
    let text = "until_s = 45\n\
         [[fault]]\nkind = 'ack_lost'\nper_minute = 8\n\
         [[fault]]\nkind = 'reject'\nper_minute = 4\n\
         [[fault]]\nkind = 'partial_fill'\nper_minute = 8\n\
         [[fault]]\nkind = 'fill_before_ack'\nper_minute = 8\nfor_ms = 40\n\
         [[fault]]\nkind = 'duplicate'\nper_minute = 10\non = 'private'\n\
         [[fault]]\nkind = 'delay'\nper_minute = 2\nfor_ms = 800\non = 'private'\n\
         [[fault]]\nkind = 'truncated'\nat_s = [12]\non = 'private'\n\
         [[fault]]\nkind = 'malformed'\nat_s = [24]\non = 'private'\n\
         [[fault]]\nkind = 'disconnect'\nat_s = [30]\non = 'private'\n\
         [[fault]]\nkind = 'http_429'\nvenue = 'binance-usdm'\nat_s = [38]\nfor_ms = 3000\n\
         [[fault]]\nkind = 'http_418'\nvenue = 'okx'\nat_s = [44]\nfor_ms = 2000\n";
    let plan = FaultPlan::parse("faults", text).expect("a plan");
    let (counts, faults) = survives_by(OrderRoute::Http, &["binance-usdm", "okx"], 2, &plan, [46, 130]);
    assert!(counts.trades_closed >= 5 && counts.rejects > 0 && counts.unknown > 0, "{counts:?}");
    for kind in [
        FaultKind::AckLost,
        FaultKind::Reject,
        FaultKind::PartialFill,
        FaultKind::FillBeforeAck,
        FaultKind::Duplicate,
        FaultKind::Delay,
        FaultKind::Disconnect,
        FaultKind::Http429,
        FaultKind::Http418,
    ] {
        assert!(faults.of(kind) > 0, "no {}: {faults}", kind.name());
    }
}

/// The venue takes halves of positions away: booked as what they are, alarmed, and the other leg is closed.
fn survives_deleveraging(venue: &str) {
    let text = format!("[[fault]]\nkind = 'adl'\nvenue = '{venue}'\nat_s = [4, 9, 14, 19]\n");
    let (counts, faults) = matching_faults(venue, &text);
    assert!(faults.of(FaultKind::Adl) >= 2, "{faults}");
    assert_eq!(counts.foreign, faults.of(FaultKind::Adl), "{venue}: each is seen, once");
}

#[test]
fn binance_may_match_badly_and_take_positions_away() {
    survives_a_venue_that_matches_badly("binance-usdm");
    survives_deleveraging("binance-usdm");
}

#[test]
fn okx_may_match_badly_and_take_positions_away() {
    survives_a_venue_that_matches_badly("okx");
    survives_deleveraging("okx");
}

#[test]
fn bybit_may_match_badly_and_take_positions_away() {
    survives_a_venue_that_matches_badly("bybit");
    survives_deleveraging("bybit");
}

#[test]
fn deribit_may_match_badly_and_take_positions_away() {
    survives_a_venue_that_matches_badly("deribit");
    survives_deleveraging("deribit");
}

#[test]
fn hyperliquid_may_match_badly_and_take_positions_away() {
    survives_a_venue_that_matches_badly("hyperliquid");
    survives_deleveraging("hyperliquid");
}

#[test]
fn a_demo_with_faults_tells_them() {
    let dir = TempDir::new();
    std::fs::create_dir_all(dir.path()).expect("temporary disk");
    let file = dir.path().join("faults.toml");
    let text = "[[fault]]\nkind = 'gap'\nper_minute = 600\nvenue = 'okx'\n\
                [[fault]]\nkind = 'disconnect'\nat_s = [2]\non = 'market'\nvenue = 'binance-usdm'\n";
    std::fs::write(&file, text).expect("temporary disk");
    let args = DemoArgs {
        duration: Some(Duration::from_secs(3)),
        instruments: 1,
        pinning: Some("fused".into()),
        idle: Some(IdleMode::Yield),
        faults: Some(file),
        json: true,
        ..DemoArgs::default()
    };
    let report = trade(&args, &Signals::default()).expect("a demo on loopback");
    assert!(report.to_string().contains("faults of the venues, as asked: disconnect 1, gap "), "{report}");
    let json = serde_json::to_value(&report).expect("plain data");
    assert_eq!(json["faults"]["disconnect"], 1, "{json}");
    assert!(json["faults"]["gap"].as_u64() > Some(0) && json["faults"]["stale"] == 0, "{json}");
    assert!(json["ledgers"].as_array().expect("a list").iter().all(|row| row["equal"] == true), "{json}");
}
