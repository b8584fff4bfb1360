//! Counterfactuals over recorded simulated runs: what changes, what does not, and how well it is known.

use crate::simulated::{TempDir, sim_config, simulation};
use perpring::domain::codec::decode_output;
use perpring::domain::event::Seq;
use perpring::domain::intent::{BPS, Ppb};
use perpring::domain::money::Money;
use perpring::domain::output;
use perpring::domain::params::{EngineParams, PaperParams, RiskParams, ScanParams};
use perpring::domain::time::{MICRO, MILLI, Nanos, SECOND};
use perpring::journal::{Reader, Stream};
use perpring::replay::source::RunConfig;
use perpring::replay::whatif::report::{Change, TradeChange, WhatIf};
use perpring::replay::whatif::trades::TradeRow;
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
    crate::simulated::close(simulation);
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

/// What the recorded run brought up to input `to`.
fn recorded_until(dir: &Path, config: &RunConfig, to: u64) -> WhatIf {
    let (params, paper) = (config.params.clone(), PaperParams::default());
    let question = Question { params, paper, from: Seq(1), to: Seq(to) };
    whatif(dir, &question, &mut |_, _| {}).expect("a readable journal")
}

/// Approvals, denials and messages that the journal holds of the inputs before `seq`.
fn outputs_before(dir: &Path, seq: u64) -> u64 {
    let mut reader = Reader::open(dir, Stream::Outputs).expect("a journal");
    let mut count = 0;
    while let Some(record) = reader.next().expect("undamaged") {
        let output = decode_output(Seq(record.seq), record.body).expect("an output").1;
        let acts = matches!(output, output::Output::Approved(_) | output::Output::Denied(_))
            || matches!(output, output::Output::Message(_) | output::Output::Amendment(_));
        count += u64::from(acts && record.seq < seq);
    }
    count
}

#[test]
fn the_same_configuration_is_the_recorded_run_with_all_its_fills_and_nothing_is_modelled() {
    let dir = TempDir::new();
    let (config, net) = record(dir.path(), BPS, 100 * MICRO, 30);
    let same = ask(dir.path(), config.params.clone(), 100 * MICRO);
    assert_eq!(same.recorded.net, net, "the recorded run is the recorded run");
    assert!(same.recorded.trades > 2, "{same}");
    assert_eq!((same.divergence.clone(), same.trades.len(), same.config.len()), (None, 0, 0), "{same}");
    assert_eq!((same.difference.net, same.difference.uncertainty), (Money::ZERO, Some(Money::ZERO)));
    assert_eq!(same.unchanged, same.recorded.trades);
    for run in [&same.old_modelled, &same.new_modelled] {
        assert_eq!((run, run.open_loop), (&same.recorded, false), "to the last unit");
    }
    assert_eq!((same.closed_loop.to_seq, same.closed_loop.net), (same.to_seq, net));
    assert_eq!(same.closed_loop.counts, same.recorded.counts);
    assert_eq!(same.closed_loop.outputs, outputs_before(dir.path(), u64::MAX));
    assert_eq!(same.latencies, []);
    assert!(!same.to_string().contains("open loop"), "{same}");
}

#[test]
fn a_threshold_never_reached_makes_every_trade_vanish_and_names_it() {
    let dir = TempDir::new();
    let (config, _) = record(dir.path(), BPS, 100 * MICRO, 30);
    let never = ask(dir.path(), with_threshold(&config, 10_000 * BPS), 100 * MICRO);
    assert_eq!((never.new_modelled.trades, never.new_modelled.net), (0, Money::ZERO), "{never}");
    assert!(never.old_modelled.trades > 2);
    assert_eq!(never.trades.len() as u64, never.old_modelled.trades);
    assert!(never.trades.iter().all(|trade| trade.change == Change::Vanishes && trade.open_loop));
    assert_eq!(never.difference.net, -never.old_modelled.net);
    assert_eq!(never.old_modelled.unanswered, 0, "every request for market data was answered as recorded");
    let first = never.divergence.clone().expect("orders are not sent");
    assert_eq!((first.stage.as_str(), first.new.as_str()), ("risk", "nothing"));
    let opened = |row: &TradeRow| row.opened_seq >= first.seq && !row.pair.is_empty() && !row.buy.is_empty();
    assert!(never.trades.iter().all(|trade| trade.old.as_ref().is_some_and(opened)));
    assert_eq!(never.config.len(), 1);
    assert_eq!(never.config[0].key, "scan.threshold_ppb");
    assert!(never.to_string().contains("vanishes") && never.to_string().contains("open loop"));
}

#[test]
fn before_the_divergence_the_recorded_fills_and_outputs_are_kept_exactly() {
    let dir = TempDir::new();
    let (config, _) = record(dir.path(), BPS, 100 * MICRO, 30);
    // Trades end sooner: they begin as recorded.
    let mut sooner = config.params.clone();
    sooner.scan.hold_max_ns = 200 * MILLI;
    let report = ask(dir.path(), sooner, 100 * MICRO);
    println!("{report}");
    let first = report.divergence.clone().expect("a trade ends sooner");
    assert!(report.closed_loop.counts.fills > 0, "{report}");
    let until = recorded_until(dir.path(), &config, first.seq - 1).recorded;
    assert_eq!((report.closed_loop.to_seq, report.closed_loop.net), (first.seq - 1, until.net));
    assert_eq!(report.closed_loop.counts, until.counts);
    assert_eq!(report.closed_loop.outputs, outputs_before(dir.path(), first.seq));
    for run in [&report.old_modelled, &report.new_modelled] {
        assert_eq!(run.open_loop_net, run.net - until.net);
        assert!(run.open_loop && run.counts.fills >= until.counts.fills);
    }
    let sooner = |trade: &TradeChange| trade.change == Change::Changes && trade.opened_before;
    assert!(report.trades.iter().any(|trade| sooner(trade) && trade.open_loop), "{report}");
    assert_eq!(
        report.latencies.iter().map(|row| row.latency_ns).collect::<Vec<_>>(),
        [50 * MICRO, 100 * MICRO, 200 * MICRO]
    );
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
        .map(|latency| ask(dir.path(), with_threshold(&config, 20 * BPS), latency).new_modelled.net);
    assert!(fast > slow, "{fast} {slow}");
}

#[test]
fn from_a_place_on_the_new_configuration_holds_in_what_the_run_had_come_to() {
    let dir = TempDir::new();
    let (config, _) = record(dir.path(), BPS, 100 * MICRO, 30);
    let whole = ask(dir.path(), config.params.clone(), 100 * MICRO);
    let half = Seq(whole.to_seq / 2);
    let ask = |params: &EngineParams, from, to| {
        let question = Question { params: params.clone(), paper: PaperParams::default(), from, to };
        whatif(dir.path(), &question, &mut |_, _| {})
    };
    let late = ask(&config.params, half, Seq(u64::MAX)).expect("a readable journal");
    let early = ask(&config.params, Seq(1), half).expect("a readable journal");
    assert!(late.recorded.trades > 0 && early.recorded.trades > 0);
    assert_eq!((late.divergence.clone(), late.new_modelled.clone()), (None, late.recorded.clone()));
    assert_eq!(early.recorded.trades + late.recorded.trades, whole.recorded.trades);
    assert_eq!((early.to_seq, late.from_seq), (half.0, half.0));
    // A configuration that would have changed everything changes nothing before its place.
    let never = ask(&with_threshold(&config, 10_000 * BPS), half, Seq(u64::MAX)).expect("a readable journal");
    assert!(never.divergence.as_ref().is_some_and(|first| first.seq >= half.0), "{never}");
    assert_eq!(never.new_modelled.counts.entries, 0, "{never}");
    let why = ask(&config.params, Seq(whole.to_seq + 1), Seq(u64::MAX));
    let why = why.expect_err("nothing is there").to_string();
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
