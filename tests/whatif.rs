//! Counterfactuals over recorded simulated runs: what changes, what does not, and how well it is known.

use crate::simulated::{TempDir, sim_config, simulation};
use perpring::domain::codec::decode_output;
use perpring::domain::event::Seq;
use perpring::domain::intent::{BPS, BasketKind, Intent, Ppb};
use perpring::domain::money::Money;
use perpring::domain::output;
use perpring::domain::params::{EngineParams, PaperParams, RiskParams, ScanParams};
use perpring::domain::time::{MICRO, MILLI, Nanos, SECOND};
use perpring::journal::{Floor as _, OwnedRecord, Reader, Stream, rewrite};
use perpring::replay::bundle::file::Bundle;
use perpring::replay::cursor::Cursor;
use perpring::replay::floor::SnapshotFloor;
use perpring::replay::part::begins_after;
use perpring::replay::source::{RunConfig, read_config};
use perpring::replay::whatif::report::{Change, TradeChange, WhatIf};
use perpring::replay::whatif::trades::TradeRow;
use perpring::replay::whatif::{Question, whatif};
use perpring::sim::SimConfig;
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

/// A small world in which much happens in a short time.
fn busy() -> SimConfig {
    sim_config(SEED, &BOTH, |sim| {
        sim.step_ns = 10 * MILLI;
        sim.instruments.iter_mut().for_each(|instrument| instrument.jump_every_ns = SECOND);
        for venue in &mut sim.venues {
            venue.levels = 6;
            venue.listings.retain(|listing| listing.instrument == 0);
        }
    })
}

fn record_busy(dir: &Path, seconds: i64) -> RunConfig {
    let (mut simulation, config) = simulation(&busy(), scan(BPS), risk(), 100 * MICRO, Some(dir));
    simulation.run_for(seconds * SECOND);
    crate::simulated::close(simulation);
    config
}

/// The run behind input `after`, as retention leaves it.
pub fn cut(dir: &Path, after: u64) -> TempDir {
    let part = TempDir::new();
    std::fs::create_dir_all(part.path()).expect("temporary disk");
    for entry in std::fs::read_dir(dir).expect("a journal").map(|entry| entry.expect("an entry")) {
        if entry.path().is_file() {
            std::fs::copy(entry.path(), part.path().join(entry.file_name())).expect("temporary disk");
        }
    }
    SnapshotFloor.lay(part.path(), after, &|| true).expect("a floor");
    let kept = |_, record: OwnedRecord, to: &mut Vec<OwnedRecord>| {
        if record.seq > after {
            to.push(record);
        }
    };
    rewrite(part.path(), Stream::Inputs, kept).expect("temporary disk");
    assert_eq!(begins_after(part.path()), Seq(after));
    part
}

/// Inputs that made such an output.
fn causes(dir: &Path, is_wanted: impl Fn(&output::Output) -> bool) -> Vec<u64> {
    let mut reader = Reader::open(dir, Stream::Outputs).expect("a journal");
    let mut found = Vec::new();
    while let Some(record) = reader.next().expect("undamaged") {
        if is_wanted(&decode_output(Seq(record.seq), record.body).expect("an output").1) {
            found.push(record.seq);
        }
    }
    found.dedup();
    found
}

/// Inputs of which an order was made.
pub fn ordering(dir: &Path) -> Vec<u64> {
    let orders = |output: &output::Output| matches!(output, output::Output::Message(shape) if shape.meta.order.is_some());
    causes(dir, orders)
}

/// Inputs behind which the run is cut: far from any order, between an order and its fate, and soon after the entry of a
/// trade that is held for a while.
fn places(dir: &Path) -> [u64; 3] {
    let orders = ordering(dir);
    let early = &orders[..orders.len() / 2];
    let gap = early.windows(2).max_by_key(|pair| pair[1] - pair[0]).expect("it trades");
    let is_entry = |output: &output::Output| matches!(output, output::Output::Approved(Intent::Basket(basket)) if basket.kind == BasketKind::Entry);
    let entries = causes(dir, is_entry);
    let held = early.windows(2).find(|pair| entries.contains(&pair[0]) && pair[1] > pair[0] + 150);
    [(gap[0] + gap[1]) / 2, early[early.len() - 1], held.expect("a trade is held")[0] + 20]
}

fn ask_from(dir: &Path, params: &EngineParams, from: Seq) -> WhatIf {
    let paper = PaperParams { latency_ns: MILLI, ..PaperParams::default() };
    let question = Question { params: params.clone(), paper, from, to: Seq(u64::MAX) };
    whatif(dir, &question, &mut |_, _| {}).expect("a readable journal")
}

/// Asks the same of a part of the run and of the whole from the part's first input on: the answers are equal.
pub fn of_part_and_whole(dir: &Path, part: &Path, params: &EngineParams) -> WhatIf {
    let first = Seq(begins_after(part).0 + 1);
    assert!(first > Seq(1), "it is a part");
    let [whole, part] = [(dir, first), (part, Seq(1))].map(|(dir, from)| ask_from(dir, params, from));
    assert!(part.notes.iter().any(|note| note.contains("the record begins with input")), "{:?}", part.notes);
    let plain = |report: &WhatIf| {
        let report = WhatIf { journal: String::new(), notes: Vec::new(), ..report.clone() };
        serde_json::to_string_pretty(&report).expect("plain data")
    };
    assert!(plain(&whole) == plain(&part), "whole from {first:?}:\n{whole}\npart:\n{part}");
    part
}

/// What is asked of the parts: another threshold, half the size, exits at any price.
fn questions(config: &RunConfig) -> [EngineParams; 3] {
    let changed = |change: fn(&mut EngineParams)| {
        let mut params = config.params.clone();
        change(&mut params);
        params
    };
    [
        changed(|params| params.scan.threshold_ppb = 20 * BPS),
        changed(|params| params.scan.notional_usd /= 2),
        changed(|params| params.scan.exit_tolerance_ppb = 500 * BPS),
    ]
}

#[test]
fn a_part_of_a_run_is_answered_as_the_whole_run_is_from_the_same_input() {
    let dir = TempDir::new();
    let config = record_busy(dir.path(), 12);
    let (mut carried, mut in_flight, mut labelled) = (0, 0, 0);
    for (at, params) in places(dir.path()).into_iter().zip(questions(&config)) {
        let part = cut(dir.path(), at);
        let [same, other] =
            [&config.params, &params].map(|params| of_part_and_whole(dir.path(), part.path(), params));
        assert_eq!((&same.divergence, &same.new_modelled), (&None, &same.recorded), "{same}");
        assert!(same.recorded.trades > 1 && same.trades.is_empty(), "{same}");
        assert_eq!(same.recorded.net, same.closed_loop.net);
        assert!(other.divergence.is_some() && other.new_modelled.open_loop, "{other}");
        // A trade that was open at the beginning belongs to both configurations, and is called so.
        for row in other.trades.iter().filter(|trade| trade.old.as_ref().is_some_and(|row| row.carried)) {
            assert!(row.opened_before && row.change == Change::Changes, "{other}");
            assert!(other.to_string().contains("open before, from here on"), "{other}");
            labelled += 1;
        }
        carried += same.recorded.carried;
        in_flight += Cursor::open(part.path()).expect("a journal").parts().route.on_their_way().0;
    }
    assert!(carried > 0 && in_flight > 0 && labelled > 0, "{carried} {in_flight} {labelled}");
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

#[test]
fn a_bundle_that_does_not_reach_the_beginning_is_asked_like_any_other_journal() {
    let [dir, out] = [TempDir::new(), TempDir::new()];
    std::fs::create_dir_all(out.path()).expect("temporary disk");
    let config = record_busy(dir.path(), 6);
    let place = out.path().join("stretch.ppz").display().to_string();
    let (file, journal) = (out.path().join("same.toml"), dir.path().display().to_string());
    let asked = ["bundle", &journal, "--around", "+4s", "--before", "1s", "--after", "9m", "--out", &place];
    let made = program(&asked);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let part = Bundle::open(Path::new(&place)).expect("a bundle").unpack().expect("unpacks");
    for params in questions(&config) {
        of_part_and_whole(dir.path(), part.dir(), &params);
    }

    // The command; a file of a live run, with no place to record to: nothing is recorded.
    let venue = |name| {
        format!("[[venues]]\ndialect = \"{name}\"\ntaker_fee_bps = 5\nmaker_fee_bps = 2\nleverage = 5\n")
    };
    let rules = "[[instruments]]\nname = \"BTC/USDT:USDT\"\n[scan]\nnotional_usd = 500\nthreshold_bps = 1\n[risk]\n\
         order_notional_max_usd = 5000\ninstrument_position_max_usd = 10000\nvenue_position_max_usd = 50000\n\
         gross_exposure_max_usd = 100000\ndaily_loss_max_usd = 1000\n";
    let toml = format!("[engine]\nlive = true\n{}{rules}", BOTH.map(venue).concat());
    std::fs::write(&file, toml).expect("temporary disk");
    let with = file.display().to_string();
    let said = |more: &[&str]| {
        let output = program(&[&["whatif", &place, "--config", &with][..], more].concat());
        (output.status.code(), [output.stdout, output.stderr].concat())
    };
    let (code, text) = said(&[]);
    let text = String::from_utf8_lossy(&text);
    assert!(code == Some(0) && text.contains("note: the record begins with input"), "{text}");
    let (code, text) = said(&["--from", "100"]);
    let text = String::from_utf8_lossy(&text);
    assert!(code == Some(2) && text.contains("is not kept: the record begins at input"), "{text}");
}

#[test]
fn a_venue_that_was_held_in_the_record_is_held_in_the_model() {
    for name in ["locked-for-longer", "taken-while-away"] {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/incidents/{name}.ppz"));
        let bundle = Bundle::open(&file).expect("a bundle").unpack().expect("unpacks");
        let (_, _, config) = read_config(bundle.dir()).expect("a configuration");
        let report = ask_from(bundle.dir(), &with_threshold(&config, 20 * BPS), Seq(1));
        assert!(report.divergence.is_some() && report.recorded.trades > 0, "{report}");
        assert_eq!(report.old_modelled.trades, report.recorded.trades, "{name}: {report}");
    }
}
