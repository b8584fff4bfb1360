//! Counterfactuals over recorded simulated runs: what changes, what does not, and how well it is known.

use crate::simulated::{TempDir, faulty_simulation, sim_config, simulation};
use perpring::domain::codec::decode_output;
use perpring::domain::event::Seq;
use perpring::domain::input::Command;
use perpring::domain::intent::{BPS, BasketKind, Intent, Ppb};
use perpring::domain::money::Money;
use perpring::domain::output;
use perpring::domain::params::{EngineParams, PaperParams, RiskParams, ScanParams};
use perpring::domain::time::{MICRO, MILLI, Nanos, SECOND};
use perpring::journal::{Floor as _, OwnedRecord, Reader, Stream, rewrite};
use perpring::replay::audit::{AuditOptions, audit};
use perpring::replay::bundle::file::Bundle;
use perpring::replay::cursor::Cursor;
use perpring::replay::floor::SnapshotFloor;
use perpring::replay::part::begins_after;
use perpring::replay::source::{RunConfig, read_config};
use perpring::replay::whatif::report::{Change, TradeChange, WhatIf};
use perpring::replay::whatif::trades::TradeRow;
use perpring::replay::whatif::{Question, whatif};
use perpring::sim::{FaultPlan, SimConfig};
use perpring::topology::world;
use std::path::Path;
use std::process::Output;

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
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_perpring"));
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

/// A recorded run of the venues of `sim`, and what it was configured with.
fn record_in(dir: &Path, sim: &SimConfig, risk: RiskParams, plan: &str, seconds: i64) -> RunConfig {
    let plan = match plan {
        "" => FaultPlan::default(),
        text => FaultPlan::parse("faults", text).expect("a plan"),
    };
    let (mut simulation, config) = faulty_simulation(sim, scan(BPS), risk, 100 * MICRO, Some(dir), &plan);
    simulation.run_for(seconds * SECOND);
    simulation.command(Command::Reduce);
    simulation.run_for(10 * SECOND);
    crate::simulated::close(simulation);
    config
}

#[test]
fn what_a_venue_takes_away_closes_trades_and_the_recorded_figures_are_those_of_the_audit() {
    let dir = TempDir::new();
    let plan = "[[fault]]\nkind = 'adl'\nvenue = 'okx'\nat_s = [4, 9, 14, 19]\n";
    let config = record_in(dir.path(), &sim_config(SEED, &BOTH, |_| {}), risk(), plan, 22);
    let audited = audit(dir.path(), &AuditOptions::default(), &mut |_| {}).expect("a whole run");
    let report = ask(dir.path(), with_threshold(&config, 10_000 * BPS), MILLI);
    println!("{audited}\n{report}");
    let (recorded, orders, hedging) = (&report.recorded, &audited.orders, &audited.hedging);
    assert!(recorded.counts.foreign_fills >= 2, "{report}");
    assert_eq!((recorded.counts.fills, recorded.counts.foreign_fills), (orders.fills, orders.strays));
    assert_eq!((recorded.trades, recorded.open_at_end), (hedging.trades, 0));
    assert_eq!((hedging.open, recorded.unhedged_longest_ns), (0, hedging.longest_ns.value));
    assert!(recorded.unhedged_ns >= recorded.unhedged_longest_ns);
    let shown = format!("fills {:>6} and {} not ours", orders.fills, orders.strays);
    assert!(report.to_string().contains(&shown), "{shown}: {report}");
}

#[test]
fn why_the_new_configuration_does_not_trade_is_said_at_the_divergence_and_counted() {
    let dir = TempDir::new();
    let (config, _) = record(dir.path(), BPS, 100 * MICRO, 12);
    let mut other = config.params.clone();
    // Another leverage than the accounts have.
    other.venues.iter_mut().for_each(|venue| venue.margin_ppb *= 2);
    let held = ask(dir.path(), other, MILLI);
    assert_eq!(held.new_modelled.trades, 0, "{held}");
    let why = held.divergence.as_ref().and_then(|parting| parting.why.clone()).expect("a reason");
    assert!(why.contains("venue held") && why.contains("leverage is "), "{why}");
    let looks = |why: &str| held.new_why_not.iter().filter_map(|way| way.why_not.get(why)).sum::<u64>();
    assert!(looks("venue held") > 50 && looks("ready") == 0, "{held}");
    assert!(held.to_string().contains("waits for: ") && held.to_string().contains(&why), "{held}");

    // A limit of risk: its figures are said.
    let mut small = config.params.clone();
    small.risk.order_notional_max_usd = 10;
    let denied = ask(dir.path(), small, MILLI);
    let why = denied.divergence.as_ref().and_then(|parting| parting.why.clone()).expect("a reason");
    assert!(why.contains("order_notional_exceeded: ") && why.ends_with("limit 10"), "{why}");
    assert!(denied.new_denials["order_notional_exceeded"] > 0, "{denied}");

    // Nothing is wanted: the edge.
    let never = ask(dir.path(), with_threshold(&config, 10_000 * BPS), MILLI);
    let why = never.divergence.and_then(|parting| parting.why).expect("a reason");
    assert!(why.contains("the net edge is ") && why.contains("10000 are needed"), "{why}");
}

#[test]
fn a_run_that_had_stopped_is_noted_with_the_time_and_the_cause() {
    let dir = TempDir::new();
    let limits = RiskParams { daily_loss_max_usd: 1, ..risk() };
    let config = record_in(dir.path(), &sim_config(SEED, &BOTH, |_| {}), limits, "", 12);
    let mut other = config.params.clone();
    other.risk.daily_loss_max_usd = 1_000_000;
    other.scan.threshold_ppb = 10_000 * BPS;
    let report = ask(dir.path(), other, MILLI);
    let noted = |run: &str, what: &str| {
        report
            .notes
            .iter()
            .any(|note| note.starts_with(run) && note.contains(what) && note.contains("(input "))
    };
    assert!(noted("the recorded run", "by the loss of the day, "), "{report}");
    assert!(!noted("the new one", "by the loss of the day, "), "{report}");
    // An order of the operator holds for all of them, and is said once.
    let all = "the recorded run, the old configuration, modelled, the new one, modelled: was REDUCING";
    assert!(
        report.notes.iter().any(|note| note.starts_with(all) && note.contains("command Reduce")),
        "{report}"
    );
}

#[test]
fn the_recorded_configuration_of_five_venues_is_printed_and_taken_back_unchanged() {
    let [dir, out] = [TempDir::new(), TempDir::new()];
    std::fs::create_dir_all(out.path()).expect("temporary disk");
    let venues = ["binance-usdm", "okx", "bybit", "deribit", "hyperliquid"];
    let limits = RiskParams { margin_free_min_ppb: 123_456_789, ..risk() };
    let config = record_in(dir.path(), &sim_config(SEED, &venues, |_| {}), limits, "", 1);
    let journal = dir.path().display().to_string();
    let file = out.path().join("recorded.toml").display().to_string();
    let printed = program(&["whatif", &journal, "--print-config"]);
    assert!(printed.status.success(), "{}", String::from_utf8_lossy(&printed.stderr));
    let text = String::from_utf8_lossy(&printed.stdout);
    assert!(!text.contains("Recorded otherwise"), "{text}");
    std::fs::write(&file, &printed.stdout).expect("temporary disk");
    let said = |args: &[&str]| {
        let output = program(args);
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&text).into_owned())
    };
    let report = |args: &[&str]| {
        let (code, text) = said(&[&["whatif", &journal, "--json"], args].concat());
        assert_eq!(code, Some(0), "{args:?}: {text}");
        serde_json::from_str::<serde_json::Value>(&text).expect("JSON")
    };
    let same = report(&["--config", &file]);
    assert_eq!((&same["config"], &same["divergence"]), (&serde_json::json!([]), &serde_json::Value::Null));
    assert_eq!(same["recorded"], same["new_modelled"]);
    let (code, text) = said(&["diff", &journal, "--config", &file]);
    assert_eq!(code, Some(0), "{text}");

    // Single parameters, on the file or on what was recorded; a venue by its name, as the report names it.
    let threshold = config.params.scan.threshold_ppb + 1;
    let (key, fee) = (format!("scan.threshold_ppb={threshold}"), "venues.okx.taker_fee_ppb=7");
    for with in [&["--config", file.as_str()][..], &[]] {
        let changed = report(&[with, &["--set", &key, "--set", fee, "--latency", "0.5ms"]].concat());
        let keys: Vec<_> =
            changed["config"].as_array().expect("a list").iter().map(|of| &of["key"]).collect();
        assert_eq!(keys, ["scan.threshold_ppb", "venues.okx.taker_fee_ppb"]);
        assert_eq!(changed["latency_ns"], 500 * MICRO);
    }
    for (change, part) in [
        ("venues.okx.dead_man_ns=1", "stays as it was recorded"),
        ("venues.ok.taker_fee_ppb=1", "okx, bybit"),
        ("scan.threshold=1", "threshold_ppb"),
    ] {
        let (code, text) = said(&["whatif", &journal, "--set", change]);
        assert!(code == Some(2) && text.contains(part), "{change}: {text}");
    }
}

#[test]
fn the_text_lists_the_first_trades_and_the_decimals_that_a_reader_needs() {
    let dir = TempDir::new();
    let (config, _) = record(dir.path(), BPS, 100 * MICRO, 12);
    let mut report = ask(dir.path(), with_threshold(&config, 10_000 * BPS), MILLI);
    let row = report.trades.first().expect("one vanishes").clone();
    report.trades = vec![row; 655];
    let text = report.to_string();
    assert_eq!(text.matches("\n  vanishes").count(), 40, "{text}");
    assert!(text.contains("… 615 more; --json has them all"), "{text}");
    let figures = text.split_once("closed loop").expect("figures").1;
    let decimals = |word: &str| {
        word.split_once('.').map_or(0, |(_, part)| part.bytes().take_while(u8::is_ascii_digit).count())
    };
    assert!(
        figures.split_whitespace().filter(|word| !word.contains('T')).all(|word| decimals(word) <= 5),
        "{text}"
    );
    assert!(
        serde_json::to_value(&report).expect("plain data")["trades"]
            .as_array()
            .is_some_and(|all| all.len() == 655)
    );
}
