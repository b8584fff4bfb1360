//! Counterfactuals over recorded simulated runs: what changes, what does not, and how well it is known.

use crate::simulated::{TempDir, sim_config, simulation};
use perpring::domain::event::Seq;
use perpring::domain::intent::{BPS, Ppb};
use perpring::domain::money::Money;
use perpring::domain::params::{EngineParams, PaperParams, RiskParams, ScanParams};
use perpring::domain::time::{MICRO, MILLI, Nanos, SECOND};
use perpring::replay::source::RunConfig;
use perpring::replay::whatif::report::{Change, WhatIf};
use perpring::replay::whatif::{Question, whatif};
use perpring::topology::world;
use std::path::Path;
use std::process::{Command, Output};

const BOTH: [&str; 2] = ["binance-usdm", "okx"];
const SEED: u64 = 7;

/// Limits that end no experiment.
fn risk() -> RiskParams {
    RiskParams { consecutive_failures_max: 1_000_000, daily_loss_max_usd: 1_000_000, ..RiskParams::default() }
}

fn scan(threshold_ppb: Ppb) -> ScanParams {
    ScanParams { threshold_ppb, ..world::demo_scan() }
}

/// Records a run of the simulated world, flat at its end, and tells what it brought by its own books.
fn record(dir: &Path, threshold_ppb: Ppb, latency: Nanos, seconds: i64) -> (RunConfig, Money) {
    let sim = sim_config(SEED, &BOTH, |_| {});
    let (mut simulation, config) = simulation(&sim, scan(threshold_ppb), risk(), latency, Some(dir));
    simulation.run_for(seconds * SECOND);
    let net = simulation.engine().river().parts().risk.rules().positions().totals().net();
    let (_, keeper) = simulation.into_parts().0.into_parts();
    keeper.into_parts().0.expect("the run was recorded").close().expect("temporary disk");
    (config, net)
}

fn ask(dir: &Path, params: EngineParams, latency_ns: Nanos) -> WhatIf {
    let paper = PaperParams { latency_ns, ..PaperParams::default() };
    let question = Question { params, paper, from: Seq(1), to: Seq(u64::MAX) };
    whatif(dir, &question, &mut |_, _| {}).expect("a readable journal")
}

fn with_threshold(config: &RunConfig, threshold_ppb: Ppb) -> EngineParams {
    let mut params = config.params.clone();
    params.scan.threshold_ppb = threshold_ppb;
    params
}

#[test]
fn the_same_configuration_changes_no_trade_and_no_threshold_reached_makes_all_of_them_vanish() {
    let dir = TempDir::new();
    let (config, net) = record(dir.path(), BPS, 100 * MICRO, 30);
    let same = ask(dir.path(), config.params.clone(), 100 * MICRO);
    assert_eq!(same.recorded.net, net, "the recorded run is the recorded run");
    assert!(same.recorded.trades > 2 && same.old_modelled.trades > 2, "{same}");
    assert_eq!((same.divergence.clone(), same.trades.len(), same.config.len()), (None, 0, 0), "{same}");
    assert_eq!((same.difference.net, same.difference.uncertainty), (Money::ZERO, Some(Money::ZERO)));
    assert_eq!(same.unchanged, same.old_modelled.trades);
    assert_eq!(same.old_modelled.unanswered, 0, "every request for market data was answered as recorded");

    let never = ask(dir.path(), with_threshold(&config, 10_000 * BPS), 100 * MICRO);
    assert_eq!((never.new_modelled.trades, never.new_modelled.net), (0, Money::ZERO), "{never}");
    assert_eq!(never.trades.len() as u64, never.old_modelled.trades);
    assert!(never.trades.iter().all(|trade| trade.change == Change::Vanishes && trade.open_loop));
    assert_eq!(never.difference.net, -never.old_modelled.net);
    let first = never.divergence.expect("orders are not sent");
    assert_eq!((first.stage.as_str(), first.new.as_str()), ("risk", "nothing"));
    assert!(
        never.trades.iter().all(|trade| trade.old.as_ref().is_some_and(|row| row.opened_seq >= first.seq))
    );
    assert_eq!(never.config.len(), 1);
    assert_eq!(never.config[0].key, "scan.threshold_ppb");
}

#[test]
fn a_lower_threshold_makes_trades_appear_and_the_same_question_gets_the_same_bytes() {
    let dir = TempDir::new();
    let (config, _) = record(dir.path(), 30 * BPS, 100 * MICRO, 30);
    let json = || {
        let lower = ask(dir.path(), with_threshold(&config, BPS / 2), 100 * MICRO);
        assert!(lower.new_modelled.trades > lower.old_modelled.trades, "{lower}");
        assert!(lower.trades.iter().any(|trade| trade.change == Change::Appears && trade.open_loop));
        assert!(lower.new_modelled.open_loop && !lower.recorded.open_loop);
        serde_json::to_string(&lower).expect("plain data")
    };
    assert_eq!(json(), json());
}

/// The truth is known here: the same world, really traded with the other configuration.
#[test]
fn the_uncertainty_covers_what_the_venues_would_have_made_of_it() {
    let (dir, other) = (TempDir::new(), TempDir::new());
    let (config, recorded) = record(dir.path(), BPS, 100 * MICRO, 60);
    let (_, truth) = record(other.path(), 20 * BPS, 100 * MICRO, 60);
    let report = ask(dir.path(), with_threshold(&config, 20 * BPS), 100 * MICRO);
    println!("{report}\ntruth {truth}, recorded {recorded}");
    let covers = |modelled: Money, truth: Money, within: Option<Money>| {
        (modelled - truth).abs() <= within.expect("trades tell")
    };
    assert!(report.divergence.is_some() && report.model_error.matched > 3, "{report}");
    assert!(covers(report.old_modelled.net, recorded, report.old_modelled.uncertainty), "{report}");
    assert!(covers(report.new_modelled.net, truth, report.new_modelled.uncertainty), "{truth}: {report}");
    assert!(
        covers(report.difference.net, truth - recorded, report.difference.uncertainty),
        "{truth}: {report}"
    );
    // It says something all the same: less than what was paid in fees.
    assert!(report.new_modelled.uncertainty < Some(report.new_modelled.fees), "{report}");
}

#[test]
fn a_longer_latency_is_not_better() {
    let dir = TempDir::new();
    let (config, _) = record(dir.path(), BPS, 100 * MICRO, 60);
    let [fast, slow] = [100 * MICRO, 120 * MILLI]
        .map(|latency| ask(dir.path(), config.params.clone(), latency).new_modelled.net);
    assert!(fast > slow, "{fast} {slow}");
}

#[test]
fn from_a_place_on_the_runs_on_paper_begin_flat_and_earlier_trades_do_not_count() {
    let dir = TempDir::new();
    let (config, _) = record(dir.path(), BPS, 100 * MICRO, 30);
    let whole = ask(dir.path(), config.params.clone(), 100 * MICRO);
    let half = Seq(whole.to_seq / 2);
    let ask = |from, to| {
        let question = Question { params: config.params.clone(), paper: PaperParams::default(), from, to };
        whatif(dir.path(), &question, &mut |_, _| {})
    };
    let late = ask(half, Seq(u64::MAX)).expect("a readable journal");
    let early = ask(Seq(1), half).expect("a readable journal");
    assert!(late.recorded.trades > 0 && late.old_modelled.trades > 0 && early.recorded.trades > 0);
    assert_eq!(early.recorded.trades + late.recorded.trades, whole.recorded.trades);
    assert_eq!((early.to_seq, late.from_seq), (half.0, half.0));
    assert!(late.old_modelled.trades < whole.old_modelled.trades);
    let why = ask(Seq(whole.to_seq + 1), Seq(u64::MAX)).expect_err("nothing is there").to_string();
    assert!(why.contains("it ends with input"), "{why}");
}

fn program(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_perpring"));
    command.args(args).output().expect("the program")
}

#[test]
fn the_command_names_what_differs_and_refuses_another_world() {
    let dir = TempDir::new();
    std::fs::create_dir_all(dir.path()).expect("temporary disk");
    record(&dir.path().join("journal"), BPS, 100 * MICRO, 5);
    let journal = dir.path().join("journal").display().to_string();
    let file = dir.path().join("new.toml");
    let toml = |venues: [&str; 2], instruments: &[&str]| {
        let venue = |dialect: &str| {
            format!(
                "[[venues]]\ndialect = \"{dialect}\"\ntaker_fee_bps = 3.0\nmaker_fee_bps = 1.0\nleverage = 5\n"
            )
        };
        let instrument = |name: &&str| format!("[[instruments]]\nname = \"{name}\"\n");
        let parts = venues.map(venue).concat() + &instruments.iter().map(instrument).collect::<String>();
        let rules = "[scan]\nnotional_usd = 1000\nthreshold_bps = 2.5\n[risk]\norder_notional_max_usd = 5000\n\
             instrument_position_max_usd = 10000\nvenue_position_max_usd = 50000\ngross_exposure_max_usd = 100000\n\
             daily_loss_max_usd = 1000\n";
        std::fs::write(&file, parts + rules).expect("temporary disk");
    };
    let config = file.display().to_string();
    let args = ["whatif", &journal, "--config", &config, "--latency", "1ms", "--json"];

    toml(BOTH, &["BTC/USDT:USDT", "ETH/USDT:USDT"]);
    let output = program(&args);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let keys: Vec<_> = report["config"].as_array().expect("a list").iter().map(|of| &of["key"]).collect();
    assert!(keys.iter().any(|key| **key == "scan.threshold_ppb"), "{keys:?}");
    assert_eq!(report["latency_ns"], MILLI);
    assert!(report["difference"]["net"].is_string(), "exact decimals are text");

    for (venues, instruments, named) in [
        (["binance-usdm", "bybit"], &["BTC/USDT:USDT", "ETH/USDT:USDT"][..], "the journal has the venue okx"),
        (BOTH, &["BTC/USDT:USDT"][..], "the journal has the instrument ETH/USDT:USDT"),
    ] {
        toml(venues, instruments);
        let output = program(&args);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(named) && said.contains("new.toml"), "{said}");
    }
}
