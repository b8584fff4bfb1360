//! Record and replay: identity, and every kind of tampering found and named.

use crate::simulated::{START, TempDir, sim_config, simulation};
use perpring::domain::calendar;
use perpring::domain::codec::{HEADER_MAX, decode_output, encode_output, input_kind};
use perpring::domain::effect::HttpId;
use perpring::domain::event::{EventBody, FlowBody, Seq};
use perpring::domain::input::{ConnId, DownReason, FrameMeta, Input};
use perpring::domain::instrument::Instrument;
use perpring::domain::output::{Output, Stage};
use perpring::domain::params::RiskParams;
use perpring::domain::state::{State, StateError};
use perpring::domain::time::{MICRO, SECOND, Stamp};
use perpring::journal::{JournalOptions, OwnedRecord, Reader, Stream, mark_path, recover, rewrite};
use perpring::replay::cursor::Cursor;
use perpring::replay::divergence::Divergence;
use perpring::replay::source::{Inputs, RunConfig};
use perpring::replay::verify::{self, Compare, Report, replay_behind, verify, verify_with};
use perpring::stage::Made;
use perpring::stage::record::Recorder;
use perpring::stage::river::{Ordinals, Parts, Tap as _};
use perpring::topology::keeper::Keeper;
use perpring::topology::world;
use perpring::venue::{Adapter, Emit, Out};
use std::path::Path;

/// Records `seconds` of the simulated world.
fn record(dir: &Path, seed: u64, seconds: i64) -> RunConfig {
    let sim = sim_config(seed, &["binance-usdm", "okx"], |_| {});
    let (mut simulation, config) =
        simulation(&sim, world::demo_scan(), RiskParams::default(), 100 * MICRO, Some(dir));
    simulation.run_for(seconds * SECOND);
    crate::simulated::close(simulation);
    config
}

fn check(dir: &Path) -> Report {
    verify(dir, &mut |_| {}).expect("a readable journal")
}

fn records(dir: &Path, stream: Stream) -> Vec<OwnedRecord> {
    let mut reader = Reader::open(dir, stream).expect("a journal");
    let mut all = Vec::new();
    while let Some(r) = reader.next().expect("undamaged") {
        all.push(OwnedRecord {
            kind: r.kind,
            class: r.class,
            seq: r.seq,
            time_ns: r.time_ns,
            body: r.body.to_vec(),
        });
    }
    all
}

/// Changes the `nth` record (from 0) for which `edit` returns true; panics when there is none.
fn tamper(dir: &Path, stream: Stream, mut edit: impl FnMut(&mut OwnedRecord) -> bool) -> u64 {
    let mut at = None;
    rewrite(dir, stream, |_, mut record, out| {
        if at.is_none() && edit(&mut record) {
            at = Some(record.seq);
        }
        out.push(record);
    })
    .expect("temporary disk");
    at.expect("something to tamper with")
}

fn found(dir: &Path) -> Divergence {
    check(dir).divergence.expect("the tampering is found")
}

#[test]
fn the_same_seed_twice_gives_identical_journals_and_another_seed_does_not() {
    let dirs = [TempDir::new(), TempDir::new(), TempDir::new()];
    for (dir, seed) in dirs.iter().zip([11, 11, 12]) {
        record(dir.path(), seed, 12);
    }
    for stream in [Stream::Inputs, Stream::Outputs] {
        let [a, b, c] = [0, 1, 2].map(|i| records(dirs[i].path(), stream));
        assert!(a.len() > 1_000, "{} records", a.len());
        assert!(a == b, "{stream:?} differ with the same seed");
        assert!(a != c, "{stream:?} are the same with another seed");
    }
}

#[test]
fn a_recorded_run_replays_identically_and_says_what_it_compared() {
    let dir = TempDir::new();
    record(dir.path(), 7, 30);
    let report = check(dir.path());
    assert_eq!(report.divergence, None);
    assert_eq!(report.unrecorded, 0);
    for kind in ["events", "intent", "approved", "message", "state"] {
        assert!(report.compared.get(kind).copied().unwrap_or(0) > 0, "no {kind} was compared: {report:?}");
    }
}

#[test]
fn a_replay_that_compares_nothing_ends_in_the_same_state() {
    let dir = TempDir::new();
    record(dir.path(), 7, 12);
    let compared = check(dir.path());
    let passed = verify::replay(dir.path(), Compare::Nothing, &mut |_| {}).expect("a readable journal");
    assert_eq!(passed, Report { compared: passed.compared.clone(), ..compared.clone() });
    assert!(passed.compared.is_empty() && passed.verdict().is_none(), "{passed:?}");
    assert!(passed.state.is_some() && passed.events > passed.inputs, "{passed:?}");
    // In parts, from and to any place.
    let mut cursor = Cursor::open(dir.path()).expect("a journal");
    let mut events = 0;
    for to in [1_000, u64::MAX] {
        let part = replay_behind(&mut cursor, Seq(to), Compare::Nothing, &mut |_, _| {}).expect("a journal");
        events += part.events;
        assert_eq!(part.state == passed.state, to == u64::MAX, "{part:?}");
    }
    assert_eq!(events, passed.events);
    // It has no need of the outputs; a comparison has.
    for entry in std::fs::read_dir(dir.path()).expect("a journal") {
        let path = entry.expect("a journal").path();
        if path.to_string_lossy().contains("/outputs") {
            std::fs::remove_file(path).expect("temporary disk");
        }
    }
    let without = verify::replay(dir.path(), Compare::Nothing, &mut |_| {}).expect("a readable journal");
    assert_eq!(without, passed);
    assert_eq!(verify(dir.path(), &mut |_| {}).expect("readable").total(), 0);
}

#[test]
fn a_replay_that_compares_nothing_still_says_where_the_inputs_break_off() {
    let dir = TempDir::new();
    record(dir.path(), 7, 6);
    rewrite(dir.path(), Stream::Inputs, |at, record, out| {
        if at != 700 {
            out.push(record);
        }
    })
    .expect("temporary disk");
    let passed = verify::replay(dir.path(), Compare::Nothing, &mut |_| {}).expect("a readable journal");
    let divergence = passed.divergence.expect("an input is missing");
    assert_eq!((divergence.stage.as_str(), divergence.field.as_str()), ("journal", "input sequence"));
}

#[test]
fn one_changed_price_in_a_recorded_frame_is_found_at_its_input() {
    let dir = TempDir::new();
    record(dir.path(), 7, 12);
    let frame = input_kind(&Input::Frame(FrameMeta::default()));
    let mut seen = 0;
    let at = tamper(dir.path(), Stream::Inputs, |record| {
        // The last digit of a best bid in a Binance bookTicker some way into the run.
        let key = b"\"b\":\"";
        let is_ticker = record.kind == frame && memchr::memmem::find(&record.body, b"bookTicker").is_some();
        seen += usize::from(is_ticker);
        let from = memchr::memmem::find(&record.body, key).map(|at| at + key.len());
        let (true, Some(from)) = (is_ticker && seen > 200, from) else { return false };
        let end = from + record.body[from..].iter().position(|b| *b == b'"').expect("a closed string");
        let digit = &mut record.body[end - 1];
        *digit = if *digit == b'0' { b'1' } else { b'0' };
        true
    });
    let divergence = found(dir.path());
    assert_eq!(divergence.seq, at);
    assert!(divergence.field.contains("prices"), "{divergence}");
}

#[test]
fn one_changed_output_is_found_with_its_field() {
    let dir = TempDir::new();
    record(dir.path(), 7, 30);
    let at = tamper(dir.path(), Stream::Outputs, |record| {
        let Ok((key, output, raw)) = decode_output(Seq(record.seq), &record.body) else { return false };
        let Output::Message(mut shape) = output else { return false };
        let Some(order) = &mut shape.meta.order else { return false };
        order.price.0 += 1;
        let raw = raw.to_vec();
        let mut scratch = [0; HEADER_MAX];
        record.body = encode_output(key, &Output::Message(shape), &mut scratch).to_vec();
        record.body.extend_from_slice(&raw);
        true
    });
    let divergence = found(dir.path());
    assert_eq!((divergence.seq, divergence.stage.as_str()), (at, "route"));
    assert_eq!(divergence.field, "Message.meta.order.price");
}

#[test]
fn one_changed_configuration_value_is_found() {
    let dir = TempDir::new();
    let config = record(dir.path(), 7, 30);
    // Replaying under another configuration: the first decision that it changes is named.
    let mut other = config.clone();
    other.params.scan.allowance_ppb += 1;
    let report = verify_with(
        dir.path(),
        Some(&other),
        |config| Parts::new(&config.params, config.trading),
        &mut |_| {},
    )
    .expect("a readable journal");
    let divergence = report.divergence.expect("the change is found");
    assert_eq!(divergence.stage, "scan");
    assert!(divergence.field.contains("allowance") || divergence.field == "State", "{divergence}");
    // A changed value inside the recorded configuration contradicts the manifest.
    let kind = input_kind(&Input::Config);
    tamper(dir.path(), Stream::Inputs, |record| {
        let Some(at) = memchr::memmem::find(&record.body, b"\"threshold_ppb\":") else { return false };
        let digit = &mut record.body[at + 16];
        *digit = if *digit == b'9' { b'8' } else { *digit + 1 };
        record.kind == kind
    });
    let divergence = found(dir.path());
    assert_eq!((divergence.seq, divergence.field.as_str()), (1, "configuration hash"));
}

#[test]
fn one_dropped_input_is_found() {
    let dir = TempDir::new();
    record(dir.path(), 7, 12);
    rewrite(dir.path(), Stream::Inputs, |index, record, out| {
        if index != 2_000 {
            out.push(record);
        }
    })
    .expect("temporary disk");
    let divergence = found(dir.path());
    assert_eq!((divergence.seq, divergence.field.as_str()), (2_001, "input sequence"));
}

/// An adapter that peeks at the machine's clock: what must never be in `venue` or `core`.
struct ClockPeeker(Box<dyn Adapter>);

impl ClockPeeker {
    #[allow(clippy::disallowed_methods)] // the fault that is planted
    fn spoil(out: &mut Out) {
        let spoilt: Vec<Emit> = out
            .items()
            .iter()
            .map(|emit| match *emit {
                Emit::Event(EventBody::Bbo(mut bbo)) => {
                    bbo.venue_ns += std::time::Instant::now().elapsed().as_nanos() as i64 + 1;
                    Emit::Event(EventBody::Bbo(bbo))
                }
                other => other,
            })
            .collect();
        out.clear();
        spoilt.into_iter().for_each(|emit| out.emit(emit));
    }
}

impl State for ClockPeeker {
    fn save(&self) -> Result<String, StateError> {
        self.0.save()
    }
    fn load(&mut self, saved: &str) -> Result<(), StateError> {
        self.0.load(saved)
    }
}

impl Adapter for ClockPeeker {
    fn on_start(&mut self, now: Stamp, out: &mut Out) {
        self.0.on_start(now, out);
    }
    fn on_conn_up(&mut self, conn: ConnId, epoch: u32, now: Stamp, out: &mut Out) {
        self.0.on_conn_up(conn, epoch, now, out);
    }
    fn on_conn_down(&mut self, conn: ConnId, epoch: u32, reason: DownReason, now: Stamp, out: &mut Out) {
        self.0.on_conn_down(conn, epoch, reason, now, out);
    }
    fn on_frame(&mut self, meta: FrameMeta, frame: &[u8], now: Stamp, out: &mut Out) {
        self.0.on_frame(meta, frame, now, out);
        Self::spoil(out);
    }
    fn on_http(&mut self, id: HttpId, status: u16, body: &[u8], now: Stamp, out: &mut Out) {
        self.0.on_http(id, status, body, now, out);
    }
    fn on_instrument(&mut self, instrument: &Instrument, now: Stamp, out: &mut Out) {
        self.0.on_instrument(instrument, now, out);
    }
    fn on_tick(&mut self, now: Stamp, out: &mut Out) {
        self.0.on_tick(now, out);
    }
    fn depart(&mut self, conn: ConnId, now: Stamp, out: &mut Out) {
        self.0.depart(conn, now, out);
    }
    fn on_stop(&mut self, now: Stamp, out: &mut Out) {
        self.0.on_stop(now, out);
    }
}

#[test]
fn a_clock_read_planted_in_a_stage_is_found() {
    let dir = TempDir::new();
    record(dir.path(), 7, 12);
    let build = |config: &RunConfig| {
        Parts::with_adapters(&config.params, config.trading, |adapter| Box::new(ClockPeeker(adapter)))
    };
    let report = verify_with(dir.path(), None, build, &mut |_| {}).expect("a readable journal");
    let divergence = report.divergence.expect("the clock is found");
    assert_eq!(divergence.stage, "decode");
    assert!(divergence.field.contains("times"), "{divergence}");
}

#[test]
fn one_missing_output_is_found_wherever_it_stood() {
    for from_the_end in [0, 100] {
        let dir = TempDir::new();
        record(dir.path(), 7, 12);
        let count = records(dir.path(), Stream::Outputs).len() as u64;
        rewrite(dir.path(), Stream::Outputs, |index, record, out| {
            if index != count - 1 - from_the_end {
                out.push(record);
            }
        })
        .expect("temporary disk");
        let divergence = found(dir.path());
        assert!(divergence.recorded == "nothing" || divergence.field == "output", "{divergence}");
    }
}

#[test]
fn what_a_crash_kept_from_being_recorded_is_no_divergence_also_after_recovery() {
    let dir = TempDir::new();
    record(dir.path(), 7, 4);
    let count = records(dir.path(), Stream::Outputs).len() as u64;
    rewrite(dir.path(), Stream::Outputs, |index, record, out| {
        if index < count - 20 {
            out.push(record);
        }
    })
    .expect("temporary disk");
    assert!(check(dir.path()).divergence.is_some(), "the stream says that it was closed in order");
    std::fs::remove_file(mark_path(dir.path(), Stream::Outputs)).expect("it was there");
    let crashed = check(dir.path());
    assert_eq!((&crashed.divergence, crashed.unrecorded), (&None, 20));
    assert!(!recover(dir.path()).expect("undamaged").clean());
    assert_eq!(
        check(dir.path()),
        crashed,
        "recovery finds the end, and makes no promise of what stood behind it"
    );
}

/// Replays the inputs of the journal in `dir` through the stages and records the outcome in `to`, with a clock
/// read between decode and scan: what `core` would do if it asked the machine for the time.
#[allow(clippy::disallowed_methods)] // the fault that is planted
fn record_with_a_clock_in_scan(dir: &Path, to: &Path, config: &RunConfig) {
    let options = JournalOptions { segment_bytes: 4 << 20, helper: false, ..JournalOptions::default() };
    let manifest = Reader::open(dir, Stream::Inputs).expect("a journal").manifest().clone();
    let mut keeper = Keeper::new(Some(Recorder::create(to, &manifest, &options).expect("fresh")));
    let Parts { mut decode, mut scan, mut risk, mut route, .. } =
        Parts::new(&config.params, config.trading).expect("known dialects");
    let mut keys = [Stage::Scan, Stage::Risk, Stage::Route].map(Ordinals::new);
    let begun = std::time::Instant::now();
    let mut inputs = Inputs::open(dir).expect("a journal");
    while let Some((_, raw)) = inputs.next().expect("undamaged") {
        let (seq, at) = decode.sequence(&raw);
        keeper.input(seq, at, decode.class(&raw.input), &raw);
        let [scan_keys, risk_keys, route_keys] = &mut keys;
        decode.on_input(&raw, seq, at, &mut |event| {
            keeper.event(event);
            let mut event = *event;
            event.at.mono += 1 + begun.elapsed().as_nanos() as i64;
            scan.on_event(&event, &mut |made| match made {
                Made::State(hash) => keeper.state(scan_keys.next(seq), hash),
                Made::Denied(_) => {}
                Made::Item(flow) => {
                    let mut flow = *flow;
                    flow.at = at;
                    if let FlowBody::Intent(intent) = &flow.body {
                        keeper.intent(scan_keys.next(seq), intent);
                    }
                    risk.on_flow(&flow, &mut |made| match made {
                        Made::State(hash) => keeper.state(risk_keys.next(seq), hash),
                        Made::Denied(denial) => keeper.denied(risk_keys.next(seq), denial),
                        Made::Item(flow) => {
                            if let FlowBody::Intent(intent) = &flow.body {
                                keeper.approved(risk_keys.next(seq), intent);
                            }
                            route.on_flow(flow, &mut |made| match made {
                                Made::State(hash) => keeper.state(route_keys.next(seq), hash),
                                Made::Denied(denial) => keeper.denied(route_keys.next(seq), denial),
                                Made::Item(message) => keeper.message(route_keys.next(seq), message),
                            });
                        }
                    });
                }
            });
        });
        keeper.end(seq);
    }
    keeper.into_parts().0.expect("recorded").close().expect("temporary disk");
}

#[test]
fn a_clock_read_planted_in_core_is_found_and_its_stage_named() {
    let (dir, planted) = (TempDir::new(), TempDir::new());
    let config = record(dir.path(), 7, 12);
    record_with_a_clock_in_scan(dir.path(), planted.path(), &config);
    let divergence = found(planted.path());
    println!("{divergence}");
    assert_eq!(divergence.stage, "scan");
}

/// `perpring replay` as a shell sees it: exit code and output.
fn replay(args: &[&str], dir: &Path) -> (Option<i32>, String) {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_perpring"))
        .arg("replay")
        .args(args)
        .arg(dir)
        .output()
        .expect("the program");
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code(), said)
}

#[test]
fn verify_ends_with_0_when_identical_1_on_a_divergence_and_2_when_it_cannot_tell() {
    let dir = TempDir::new();
    record(dir.path(), 7, 12);
    let (code, said) = replay(&["--verify"], dir.path());
    assert!(code == Some(0) && said.contains("identical"), "{code:?}: {said}");

    let at = tamper(dir.path(), Stream::Outputs, |record| {
        let Ok((_, Output::State(_), _)) = decode_output(Seq(record.seq), &record.body) else { return false };
        *record.body.last_mut().expect("a hash") ^= 1;
        true
    });
    let (code, said) = replay(&["--verify"], dir.path());
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&at.to_string()) && !said.contains("identical"), "{said}");
    let (code, said) = replay(&["--verify", "--json"], dir.path());
    let json: serde_json::Value = serde_json::from_str(&said).expect("one object");
    assert_eq!((code, &json["divergence"]["seq"]), (Some(1), &at.into()), "{said}");
    // Without --verify it only shows.
    assert_eq!(replay(&[], dir.path()).0, Some(0));

    std::fs::remove_file(dir.path().join("manifest.json")).expect("it was there");
    let (code, said) = replay(&["--verify"], dir.path());
    assert!(code == Some(2) && said.contains(&dir.path().display().to_string()), "{code:?}: {said}");
    let (code, said) = replay(&["--verify"], Path::new("/nowhere/at/all"));
    assert!(code == Some(2) && said.contains("/nowhere/at/all"), "{code:?}: {said}");
}

/// Writes another version of the rules into the manifest.
fn rewrite_version(dir: &Path, version: u32) {
    let path = dir.join("manifest.json");
    let text = std::fs::read_to_string(&path).expect("a manifest");
    let own = format!("\"logic_version\": {}", perpring::topology::launch::LOGIC_VERSION);
    assert!(text.contains(&own), "{text}");
    std::fs::write(&path, text.replace(&own, &format!("\"logic_version\": {version}")))
        .expect("temporary disk");
}

#[test]
fn a_journal_of_another_version_of_the_rules_says_so_and_its_differences_are_those_of_versions() {
    let dir = TempDir::new();
    record(dir.path(), 21, 4);
    let same = check(dir.path());
    assert_eq!((same.logic.warning(), same.verdict().as_deref()), (None, Some("identical")));

    rewrite_version(dir.path(), 1);
    let report = check(dir.path());
    let warning = report.logic.warning().expect("the versions differ");
    assert!(warning.contains("version 1") && warning.contains(&format!("version {}", report.logic.replayed)));
    assert_eq!(report.verdict().as_deref(), Some("identical"), "that it differs is not claimed");
    let json = serde_json::to_value(&report).expect("plain data");
    assert_eq!((&json["logic"]["recorded"], &json["logic"]["same"]), (&1.into(), &false.into()));

    let text = |out: std::process::Output| String::from_utf8(out.stdout).expect("text");
    let run = |more: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_perpring"));
        command.arg("replay").arg(dir.path()).args(more);
        command.output().expect("our own program")
    };
    let said = text(run(&["--verify"]));
    assert!(said.contains("warning: ") && said.contains("version 1 of the rules"), "{said}");
    let said = text(run(&["--verify", "--json"]));
    let json: serde_json::Value = serde_json::from_str(&said).expect("one object");
    assert_eq!(json["logic"]["recorded"], 1);

    let was = |record: &mut OwnedRecord| {
        matches!(decode_output(Seq(record.seq), &record.body), Ok((_, Output::Events(_), _)))
    };
    tamper(dir.path(), Stream::Outputs, |record| {
        let hit = was(record);
        if hit && let Some(last) = record.body.last_mut() {
            *last ^= 1;
        }
        hit
    });
    let out = run(&["--verify"]);
    assert_eq!(out.status.code(), Some(1));
    let said = text(out);
    assert!(said.contains("difference between versions 1 and"), "{said}");
}

/// The report of a replay with these options, which is one without a divergence.
fn told(dir: &Path, args: &[&str]) -> serde_json::Value {
    let (code, said) = replay(&[args, &["--json", "--verify"]].concat(), dir);
    assert_eq!(code, Some(0), "{args:?}: {said}");
    serde_json::from_str(&said).unwrap_or_else(|why| panic!("{args:?}: {why}: {said}"))
}

#[test]
fn a_part_of_a_run_is_chosen_by_number_and_by_every_kind_of_time() {
    let dir = TempDir::new();
    record(dir.path(), 7, 6);
    let inputs = records(dir.path(), Stream::Inputs);
    let start = inputs[0].time_ns;
    let last = inputs.last().expect("inputs").seq;
    let count = |args: &[&str]| told(dir.path(), args)["inputs"].as_u64().expect("a count");
    assert_eq!(count(&[]), last);
    assert_eq!(count(&["--from", "100", "--to", "199"]), 100);
    assert_eq!(count(&["--from", "100"]), last - 99);
    assert_eq!(count(&["--to", "300"]), 300);
    assert_eq!(count(&["--to", &(last + 1_000).to_string()]), last, "all there is");
    assert_eq!(count(&["--to", "+1h"]), last);

    let [from, to] = [2 * SECOND + SECOND / 2, 3 * SECOND];
    let within = inputs.iter().filter(|one| (from..=to).contains(&(one.time_ns - start))).count() as u64;
    assert!(within > 10, "{within}");
    let shown = |since| calendar::shown(START + since);
    for [from, to] in [
        ["+2.5s".to_owned(), "+3000ms".to_owned()],
        [shown(from), shown(to)],
        [shown(from)[11..].trim_end_matches('Z').to_owned(), "+3s".to_owned()],
        [(START + from).to_string(), (START + to).to_string()],
    ] {
        assert_eq!(count(&["--from", &from, "--to", &to]), within, "{from} {to}");
    }
}

#[test]
fn the_pace_changes_nothing_that_a_replay_tells() {
    let dir = TempDir::new();
    record(dir.path(), 7, 4);
    let part = ["--from", "+3s", "--to", "+3.1s"];
    let at = |speed| told(dir.path(), &[&part[..], &["--speed", speed]].concat());
    let as_fast_as_it_goes = told(dir.path(), &part);
    assert!(as_fast_as_it_goes["inputs"].as_u64() > Some(2));
    for speed in ["max", "1x", "10x", "0.5x"] {
        assert_eq!(at(speed), as_fast_as_it_goes, "{speed}");
    }
}

#[test]
fn options_without_sense_are_refused_with_the_option_and_what_to_write() {
    let dir = TempDir::new();
    record(dir.path(), 7, 2);
    let last = records(dir.path(), Stream::Inputs).last().expect("inputs").seq;
    let beyond = (last + 1).to_string();
    for (args, parts) in [
        (&["--from", "yesterday"][..], ["--from", "+12.5s after the beginning"]),
        (&["--to", "+5"], ["--to", "no place in a run"]),
        (&["--to", "25:00:00"], ["25:00:00", "13:40:00.5"]),
        (&["--speed", "fast"], ["--speed", "10x"]),
        (&["--speed", "0x"], ["0x is no speed", "max"]),
        (&["--speed", "10"], ["--speed", "10x"]),
        (&["--from", "200", "--to", "100"], ["--from lies after --to", "nothing"]),
        (&["--from", "+1.5s", "--to", "+1s"], ["--from lies after --to", "nothing"]),
        (&["--to", "0"], ["--from lies after --to", "nothing"]),
        (&["--from", &beyond], ["--from lies after the end", "nothing"]),
        (&["--from", "+1h"], ["--from lies after the end", "nothing"]),
        (&["--from", "+1s", "--pinning", "split"], ["leave out --pinning", "--from"]),
        (&["--pinning", "nowhere"], ["nowhere", "pinning"]),
        (&["--outputs", "/nowhere/at/all/out"], ["/nowhere/at/all/out", ""]),
        (&["--outputs", "out", "--from", "5"], ["--outputs", "--from"]),
        (&["--outputs", "out", "--cache", "c"], ["--outputs", "--cache"]),
        (&["--state", "/nowhere/at/all/state"], ["cannot write /nowhere/at/all/state", ""]),
        (&["--expect"], ["is no bundle", ""]),
        (&["--expect", "--speed", "1x"], ["--expect", "--speed"]),
    ] {
        let (code, said) = replay(args, dir.path());
        assert_eq!(code, Some(2), "{args:?}: {said}");
        assert!(parts.iter().all(|part| said.contains(part)), "{args:?}: {said}");
    }
}

#[test]
fn a_divergence_is_found_only_where_one_looks() {
    let dir = TempDir::new();
    record(dir.path(), 7, 6);
    let at = tamper(dir.path(), Stream::Outputs, |record| {
        let is = matches!(decode_output(Seq(record.seq), &record.body), Ok((_, Output::Events(_), _)));
        let hit = is && record.seq > 500;
        if hit {
            *record.body.last_mut().expect("a digest") ^= 1;
        }
        hit
    });
    let code = |from: u64, to: u64| {
        replay(&["--verify", "--from", &from.to_string(), "--to", &to.to_string()], dir.path()).0
    };
    assert_eq!(code(1, at - 1), Some(0));
    assert_eq!(code(at + 1, at + 100), Some(0));
    assert_eq!(code(at - 10, at + 10), Some(1));
    assert_eq!(code(at, at), Some(1));
}

#[test]
fn snapshots_of_a_cache_are_begun_at_and_nothing_is_written_beside_the_journal() {
    let [dir, cache] = [TempDir::new(), TempDir::new()];
    record(dir.path(), 7, 4);
    let cache = cache.path();
    let mut cursor = Cursor::open_with(dir.path(), Some(cache)).expect("a journal");
    cursor.snapshots().set_spacing(100);
    cursor.seek(Seq(u64::MAX), &mut (), &mut |_| {}).expect("undamaged");
    let kept: Vec<Seq> = cursor.snapshots().list();
    assert!(kept.len() > 1, "{kept:?}");
    let options = ["--from", "+3s", "--cache", cache.to_str().expect("text")];
    let part = told(dir.path(), &["--from", "+3s"]);
    assert_eq!(told(dir.path(), &options), part);
    // That they were read shows when they are damaged.
    for seq in &kept {
        std::fs::write(cursor.snapshots().path(*seq), "nothing").expect("temporary disk");
    }
    let (code, said) = replay(&[&options[..], &["--verify"]].concat(), dir.path());
    assert!(code == Some(0) && said.contains("damaged") && said.contains("identical"), "{said}");
    assert!(!dir.path().join("snapshots").exists());
    assert_eq!(told(dir.path(), &["--snapshots"])["divergence"], serde_json::Value::Null);
}

#[test]
fn outputs_and_states_are_written_as_they_are_and_nothing_is_overwritten() {
    let [dir, to] = [TempDir::new(), TempDir::new()];
    record(dir.path(), 7, 3);
    std::fs::create_dir_all(to.path()).expect("temporary disk");
    let [outputs, state] = ["outputs", "state.json"].map(|name| to.path().join(name));
    let text = |path: &Path| path.to_str().expect("text").to_owned();
    let (code, said) = replay(&["--outputs", &text(&outputs)], dir.path());
    assert!(code == Some(0) && said.contains("outputs written to"), "{said}");
    let bodies = |dir: &Path| {
        let mut all: Vec<_> =
            records(dir, Stream::Outputs).into_iter().map(|one| (one.seq, one.class, one.body)).collect();
        all.sort();
        all
    };
    assert!(bodies(dir.path()) == bodies(&outputs));

    let mut cursor = Cursor::open(dir.path()).expect("a journal");
    cursor.seek(Seq(321), &mut (), &mut |_| {}).expect("undamaged");
    assert_eq!(replay(&["--to", "321", "--state", &text(&state)], dir.path()).0, Some(0));
    let written = std::fs::read_to_string(&state).expect("written");
    assert!(written == cursor.snapshot().expect("a state").state(), "the state after that input");

    for (option, path) in [("--outputs", &outputs), ("--state", &state)] {
        let (code, said) = replay(&[option, &text(path)], dir.path());
        assert!(code == Some(2) && said.contains(&text(path)), "{option}: {said}");
    }
    assert_eq!(std::fs::read_to_string(&state).expect("still there"), written);
}

#[test]
fn a_printed_line_says_both_clocks_and_its_wall_time_is_its_place() {
    let dir = TempDir::new();
    record(dir.path(), 7, 3);
    let journal = dir.path().to_str().expect("text");
    let dumped = |more: &[&str]| -> Vec<serde_json::Value> {
        let args = [&["journal", "dump", journal], more].concat();
        let output =
            std::process::Command::new(env!("CARGO_BIN_EXE_perpring")).args(args).output().expect("ours");
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        let lines = output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| serde_json::from_slice(line).expect("an object a line")).collect()
    };
    for form in [&["--stream", "inputs"][..], &["--stream", "outputs"], &[], &["--events"]] {
        let lines = dumped(form);
        let line = &lines[lines.len() / 2];
        let wall = line["wall_ns"].as_i64().expect("a wall clock").to_string();
        let there = dumped(&[form, &["--from", &wall, "--to", &wall]].concat());
        assert!(there.contains(line), "{form:?}: {line}");
        assert!(there.len() < lines.len() / 2 && line["time_ns"].is_null(), "{form:?}");
        let ahead = |line: &serde_json::Value| line["wall_ns"].as_i64().zip(line["mono_ns"].as_i64());
        let known: Vec<_> = lines.iter().filter_map(ahead).map(|(wall, mono)| wall - mono).collect();
        assert!(known.len() > 10 && known.iter().all(|ahead| *ahead == known[0]), "one anchor: {form:?}");
    }
}

#[test]
fn records_are_printed_of_places_in_every_notation() {
    let dir = TempDir::new();
    record(dir.path(), 7, 3);
    let start = records(dir.path(), Stream::Inputs)[0].time_ns;
    let dumped = |from: &str, to: &str| -> Vec<(u64, i64)> {
        let journal = dir.path().to_str().expect("text");
        let args = ["journal", "dump", journal, "--stream", "inputs", "--raw", "--from", from, "--to", to];
        let output =
            std::process::Command::new(env!("CARGO_BIN_EXE_perpring")).args(args).output().expect("ours");
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        let lines = output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let line = |line| -> serde_json::Value { serde_json::from_slice(line).expect("an object a line") };
        lines.map(line).map(|one| (one["seq"].as_u64().unwrap(), one["mono_ns"].as_i64().unwrap())).collect()
    };
    let all = dumped("0", "+1h");
    let slice = |keep: &dyn Fn(&(u64, i64)) -> bool| -> Vec<_> { all.iter().copied().filter(keep).collect() };
    assert_eq!(dumped("20", "29"), slice(&|one| (20..30).contains(&one.0)));
    let within = slice(&|one| (SECOND..=2 * SECOND).contains(&(one.1 - start)));
    assert!(within.len() > 10);
    assert_eq!(dumped("+1s", "+2s"), within);
    assert_eq!(dumped(&calendar::shown(START + SECOND), &(START + 2 * SECOND).to_string()), within);
    assert_eq!(dumped("end", "end"), all[all.len() - 1..]);
    let (code, said) = {
        let args = ["journal", "dump", dir.path().to_str().expect("text"), "--from", "+1h"];
        let output =
            std::process::Command::new(env!("CARGO_BIN_EXE_perpring")).args(args).output().expect("ours");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert!(code == Some(2) && said.contains("--from lies after the end"), "{said}");
}
