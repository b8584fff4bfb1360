//! Differences between runs: what is planted is found at its event and field, and what is the same is called so.

use crate::simulated::{TempDir, sim_config, simulation};
use crate::step::{record, started};
use perpring::domain::codec::{HEADER_MAX, decode_output, encode_output, input_kind};
use perpring::domain::event::Seq;
use perpring::domain::input::{FrameMeta, Input};
use perpring::domain::output::Output;
use perpring::domain::params::{RiskParams, ScanParams};
use perpring::domain::time::{MICRO, MILLI, SECOND};
use perpring::journal::{Reader, Stream, rewrite};
use perpring::replay::diff::{Against, DiffReport, diff};
use perpring::replay::outputs::record_outputs;
use perpring::replay::source::{Inputs, RunConfig};
use perpring::stage::river::{Parts, River};
use perpring::topology::world;
use serde_json::Value;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

fn compared(a: &Path, against: Against) -> DiffReport {
    let report = diff(a, &against, &mut |_| {}).expect("readable journals");
    println!("{report}");
    report
}

fn replayed(dir: &Path, config: RunConfig) -> DiffReport {
    compared(dir, Against::Replay(Some(Box::new(config)), "another configuration".to_owned()))
}

/// Records of the outputs of `dir`, as (sequence, output).
fn outputs(dir: &Path) -> Vec<(u64, Output)> {
    let mut reader = Reader::open(dir, Stream::Outputs).expect("a journal");
    let mut found = Vec::new();
    while let Some(record) = reader.next().expect("undamaged") {
        let (_, output, _) = decode_output(Seq(record.seq), record.body).expect("an output");
        found.push((record.seq, output));
    }
    found
}

#[test]
fn what_is_the_same_is_called_so() {
    let [a, b, made] = [TempDir::new(), TempDir::new(), TempDir::new()];
    let config = record(a.path(), 6);
    record(b.path(), 6);
    let count = outputs(a.path()).len() as u64;
    let report = compared(a.path(), Against::Journal(b.path().to_owned()));
    assert!(report.identical && report.summary.is_empty() && report.configuration.is_empty());
    assert_eq!((report.compared, report.a.outputs, report.b.outputs), (count, count, count));
    let report = replayed(a.path(), config);
    assert!(report.identical && report.compared == count);
    assert!(
        report.trades.same > 0
            && report.trades.changed + report.trades.appeared + report.trades.vanished == 0
    );

    record_outputs(a.path(), made.path(), &mut |_| {}).expect("temporary disk");
    let report =
        compared(a.path(), Against::Outputs(made.path().to_owned(), "this program".to_owned(), None));
    assert!(report.identical && report.compared == count);
}

#[test]
fn a_running_journal_is_compared_as_far_as_it_is_written() {
    let dir = TempDir::new();
    let (mut simulation, _) = started(dir.path());
    simulation.run_for(3 * SECOND);
    let report = compared(dir.path(), Against::Replay(None, "a replay".to_owned()));
    assert!(report.identical && report.compared > 100);
}

#[test]
fn another_threshold_is_found_at_the_first_decision_that_it_changes() {
    let dir = TempDir::new();
    let config = record(dir.path(), 8);
    let (first, intents) = {
        let all = outputs(dir.path());
        let mut intents =
            all.iter().filter(|(_, output)| matches!(output, Output::Intent(_))).map(|(seq, _)| *seq);
        (
            intents.next().expect("it traded"),
            all.iter().filter(|(_, output)| matches!(output, Output::Approved(_))).count(),
        )
    };
    assert!(intents > 0);
    let mut other = config;
    other.params.scan.threshold_ppb = i64::MAX / 4; // nothing is worth it
    let report = replayed(dir.path(), other);
    assert_eq!(report.configuration.len(), 1);
    assert_eq!(report.configuration[0].field, "params.scan.threshold_ppb");
    let found = report.summary.iter().find(|row| row.kind == "intent").expect("no entry was wanted");
    assert_eq!((found.stage.as_str(), found.first_seq, found.field.as_str()), ("scan", first, "output"));
    assert_eq!(found.b, "nothing");
    assert!(
        found.instrument.contains(".okx") && found.instrument.contains(".binance-usdm"),
        "{}",
        found.instrument
    );
    assert!(report.trades.vanished > 0 && report.trades.appeared + report.trades.same == 0);
    assert_eq!(report.trades.vanished_rows[0].seq, first);

    // A hash of the state may tell before; else it is this one, with its chain on both sides.
    let told = report.first.expect("a difference");
    assert!(told.seq <= first);
    if told.kind == "intent" {
        let kinds = |chain: &[perpring::replay::diff::Link]| -> Vec<String> {
            chain.iter().map(|link| format!("{} {}", link.of, link.kind)).collect()
        };
        let (a, b) = (kinds(&told.chain_a), kinds(&told.chain_b));
        assert_eq!(a[0], "input frame");
        assert!(a.contains(&"scan intent".to_owned()) && a.contains(&"route message".to_owned()), "{a:?}");
        assert!(b[0] == a[0] && !b.contains(&"scan intent".to_owned()), "{b:?}");
    }
}

#[test]
fn entries_that_differ_in_what_they_were_held_against_alone_are_the_same() {
    let dir = TempDir::new();
    let config = record(dir.path(), 8);
    let mut other = config.clone();
    other.params.scan.threshold_ppb -= 1;
    let report = replayed(dir.path(), other);
    assert!(report.trades.same > 0 && report.trades.changed == 0, "{:?}", report.trades);
    // A size is a term; the first difference of all has its time, though the clock is known only later.
    let mut other = config;
    other.params.scan.notional_usd /= 2;
    let report = replayed(dir.path(), other);
    let row = &report.trades.changed_rows[1];
    assert!(row.differs.iter().any(|field| field.field.ends_with("qty")), "{row:?}");
    let first = report.first.expect("a difference");
    assert!(first.time.starts_with("20"), "{first:?}");
}

#[test]
fn runs_of_other_venues_have_nothing_in_common_and_are_refused_at_once() {
    let [a, b] = [TempDir::new(), TempDir::new()];
    record(a.path(), 1);
    let sim = sim_config(5, &["bybit", "okx"], |_| ());
    let (simulation, _) =
        simulation(&sim, world::demo_scan(), RiskParams::default(), 100 * MICRO, Some(b.path()));
    crate::simulated::close(simulation);
    let refused = diff(a.path(), &Against::Journal(b.path().to_owned()), &mut |_| {}).expect_err("others");
    let said = refused.to_string();
    assert!(said.contains("it is of bybit, okx") && said.contains("binance-usdm, okx"), "{said}");
}

#[test]
fn one_changed_output_is_found_with_its_field_and_counted_once() {
    let dir = TempDir::new();
    record(dir.path(), 8);
    let mut at = None;
    rewrite(dir.path(), Stream::Outputs, |_, mut record, out| {
        if let (None, Ok((key, Output::Message(mut shape), raw))) =
            (at, decode_output(Seq(record.seq), &record.body))
            && let Some(order) = &mut shape.meta.order
        {
            order.price.0 += 1;
            at = Some(record.seq);
            let raw = raw.to_vec();
            let mut scratch = [0; HEADER_MAX];
            record.body = [encode_output(key, &Output::Message(shape), &mut scratch), &raw].concat();
        }
        out.push(record);
    })
    .expect("temporary disk");
    let report = compared(dir.path(), Against::Replay(None, "a replay".to_owned()));
    let first = report.first.expect("it is found");
    assert_eq!(Some(first.seq), at);
    assert_eq!((first.stage.as_str(), first.kind.as_str()), ("route", "message"));
    assert_eq!(first.field.field, "Message.meta.order.price");
    assert_eq!((report.summary.len(), report.summary[0].count), (1, 1), "{:?}", report.summary);
    assert!(first.chain_b.iter().any(|link| link.kind == "approved"));
    assert!(first.chain_b[0].of == "input" && first.chain_b.iter().any(|link| link.of == "event"));
}

#[test]
fn one_changed_frame_is_found_at_its_bytes_and_then_in_what_follows() {
    let [a, b] = [TempDir::new(), TempDir::new()];
    record(a.path(), 4);
    record(b.path(), 4);
    let frame = input_kind(&Input::Frame(FrameMeta::default()));
    let (mut seen, mut at) = (0, None);
    rewrite(b.path(), Stream::Inputs, |_, mut record, out| {
        let place = memchr::memmem::find(&record.body, b"\"b\":\"").filter(|_| record.kind == frame);
        seen += usize::from(place.is_some());
        if let (None, 200, Some(place)) = (at, seen, place) {
            let digit = &mut record.body[place + 5];
            *digit = if *digit == b'9' { b'8' } else { *digit + 1 };
            at = Some(record.seq);
        }
        out.push(record);
    })
    .expect("temporary disk");
    let report = compared(a.path(), Against::Journal(b.path().to_owned()));
    let first = report.first.expect("it is found");
    assert_eq!((Some(first.seq), first.stage.as_str(), first.kind.as_str()), (at, "input", "frame"));
    assert!(first.field.field.starts_with("bytes[") && first.instrument == "binance-usdm", "{first}");
    // The outputs were recorded before: the two chains show what the price would have done.
    assert_eq!(report.summary.len(), 1);
    let event = |chain: &[perpring::replay::diff::Link]| {
        chain.iter().find(|link| link.kind == "bbo").map(|link| link.what.clone())
    };
    assert!(event(&first.chain_a).is_some());
    assert_ne!(event(&first.chain_a), event(&first.chain_b));
}

#[test]
fn a_dropped_input_is_told() {
    let [a, b] = [TempDir::new(), TempDir::new()];
    record(a.path(), 2);
    record(b.path(), 2);
    let mut last = 0;
    rewrite(b.path(), Stream::Inputs, |index, record, out| {
        last = record.seq;
        if index < 300 {
            out.push(record);
        }
    })
    .expect("temporary disk");
    let report = compared(a.path(), Against::Journal(b.path().to_owned()));
    let first = report.first.expect("it is found");
    assert_eq!((first.seq, first.field.field.as_str(), first.field.b.as_str()), (301, "input", "nothing"));
    let missing: u64 = report.summary.iter().filter(|row| row.stage == "input").map(|row| row.count).sum();
    assert_eq!((report.b.inputs, missing), (300, last - 300));
}

/// `perpring diff` as a shell sees it.
fn program(args: &[&str]) -> (Option<i32>, String, String) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_perpring")).arg("diff").args(args).output().expect("the program");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn the_program_ends_with_0_when_identical_1_when_different_and_2_when_it_cannot_tell() {
    let [a, b] = [TempDir::new(), TempDir::new()];
    record(a.path(), 4);
    record(b.path(), 3);
    let (a, b) = (a.path().to_str().expect("text"), b.path().to_str().expect("text"));
    let (code, told, said) = program(&[a]);
    assert!(code == Some(0) && told.contains("identical: "), "{told}{said}");
    assert_eq!(program(&[a, b]).0, Some(1));
    let (code, told, said) = program(&[a, "--set", "scan.allowance_ppb=12345678", "--json"]);
    let json: Value = serde_json::from_str(&told).unwrap_or_else(|why| panic!("{why}: {told}{said}"));
    assert_eq!((code, &json["identical"]), (Some(1), &Value::Bool(false)));
    assert_eq!(json["configuration"][0]["field"], "params.scan.allowance_ppb");
    assert!(json["first"]["chain_a"].as_array().is_some_and(|chain| !chain.is_empty()));
    for (args, part) in [
        (vec![a, "--set", "scan.nothing=1"], "there is no `nothing`"),
        (vec![a, "--set", "venues.0.dialect=okx"], "lays out venues otherwise"),
        (vec![a, "--config", concat!(env!("CARGO_MANIFEST_DIR"), "/docs/config.example.toml")], "lays out"),
        (vec![a, "--binary", "/bin/false"], "could not replay"),
        (vec![a, "--binary", "/nowhere/at/all"], "cannot run /nowhere/at/all"),
        (vec!["/nowhere/at/all"], "/nowhere/at/all"),
    ] {
        let (code, _, said) = program(&args);
        assert!(code == Some(2) && said.contains(part), "{args:?}: {code:?} {said}");
    }
}

#[test]
fn a_file_as_used_for_paper_is_enough_for_a_run_at_venues() {
    let [dir, files] = [TempDir::new(), TempDir::new()];
    record(dir.path(), 2);
    std::fs::create_dir_all(files.path()).expect("temporary disk");
    let venue = |name: &str| {
        format!("[[venues]]\ndialect = \"{name}\"\ntaker_fee_bps = 5.0\nmaker_fee_bps = 2.0\nleverage = 5\n")
    };
    let rules = "[[instruments]]\nname = \"BTC/USDT:USDT\"\n[scan]\n\
         notional_usd = 1000\nthreshold_bps = 9.5\n[risk]\norder_notional_max_usd = 5000\n\
         instrument_position_max_usd = 10000\nvenue_position_max_usd = 50000\ngross_exposure_max_usd = 100000\n\
         daily_loss_max_usd = 1000\n";
    let (dir, file) = (dir.path().to_str().expect("text"), files.path().join("paper.toml"));
    for engine in ["", "[engine]\nwrite_ahead = \"written\"\n", "[engine]\nlive = true\n"] {
        std::fs::write(&file, [engine, &venue("binance-usdm"), &venue("okx"), rules].concat())
            .expect("temporary disk");
        let (code, told, said) = program(&[dir, "--config", file.to_str().expect("text"), "--json"]);
        let json: Value = serde_json::from_str(&told).unwrap_or_else(|why| panic!("{why}: {told}{said}"));
        let changed = json["configuration"].as_array().expect("a list").iter();
        let changed: Vec<_> = changed.filter_map(|row| row["field"].as_str()).collect();
        assert!(code == Some(1) && changed.contains(&"params.scan.threshold_ppb"), "{changed:?} {said}");
    }
}

#[test]
fn another_program_is_asked_for_its_outputs() {
    let [a, folder] = [TempDir::new(), TempDir::new()];
    record(a.path(), 3);
    let a = a.path().to_str().expect("text");
    let own = env!("CARGO_BIN_EXE_perpring");
    let (code, told, said) = program(&[a, "--binary", own]);
    assert!(code == Some(0) && told.contains(own) && told.contains("identical"), "{told}{said}");

    // One that makes something else of the same inputs: it replays a shorter journal.
    let shorter = TempDir::new();
    record(shorter.path(), 2);
    std::fs::create_dir_all(folder.path()).expect("temporary disk");
    let script = folder.path().join("other");
    let text = format!("#!/bin/sh\nexec {own} replay {} --outputs \"$4\"\n", shorter.path().display());
    std::fs::write(&script, text).expect("temporary disk");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).expect("temporary disk");
    let (code, told, said) = program(&[a, "--binary", script.to_str().expect("text")]);
    assert!(code == Some(1) && told.contains("nothing"), "{code:?} {told}{said}");
}

/// A run that finds no entry worth it, and tells of none that it nearly took: its configuration.
fn record_quietly(dir: &Path, seconds: i64) -> RunConfig {
    let sim = sim_config(5, &["binance-usdm", "okx"], |sim| sim.step_ns = 10 * MILLI);
    let scan = ScanParams {
        threshold_ppb: i64::MAX / 4,
        near_miss_per_s: 0,
        basis_samples: 201,
        ..world::demo_scan()
    };
    let (mut simulation, config) = simulation(&sim, scan, RiskParams::default(), 100 * MICRO, Some(dir));
    simulation.run_for(seconds * SECOND);
    crate::simulated::close(simulation);
    config
}

/// The first input after which the hashes of scan's states differ, found without the code that is tested.
fn first_unequal(dir: &Path, configs: [&RunConfig; 2]) -> u64 {
    let [mut a, mut b] =
        configs.map(|of| River::new(Parts::new(&of.params, of.trading).expect("known dialects")));
    let mut inputs = Inputs::open(dir).expect("a journal");
    while let Some((seq, raw)) = inputs.next().expect("undamaged") {
        a.input(&raw, &mut ());
        b.input(&raw, &mut ());
        if a.parts().scan.scanner().digest() != b.parts().scan.scanner().digest() {
            return seq.0;
        }
    }
    panic!("they never differ")
}

#[test]
fn states_that_part_are_named_with_their_values_and_the_input_that_made_them_differ() {
    let dir = TempDir::new();
    let config = record_quietly(dir.path(), 5);
    let mut other = config.clone();
    other.params.scan.allowance_ppb += 7;
    let at = first_unequal(dir.path(), [&config, &other]);
    let report = replayed(dir.path(), other);
    let first = report.first.as_ref().expect("the hashes differ");
    assert_eq!((first.stage.as_str(), first.kind.as_str()), ("scan", "state"));
    let parting = first.parting.as_ref().expect("both states are made again");
    assert_eq!(parting.seq, at);
    assert!(parting.seq < first.seq && !parting.time.is_empty());
    let [net, allowance] = ["net", "allowance"].map(|term| {
        let path = |field: &str| {
            field.starts_with("scan.scanner.pairs[") && field.ends_with(&format!("terms.{term}"))
        };
        let found = parting.fields.iter().find(|field| path(&field.field));
        let number = |text: &str| text.parse::<i64>().expect("a number");
        found.map(|found| number(&found.b) - number(&found.a)).unwrap_or_else(|| panic!("{parting:?}"))
    });
    assert_eq!((net, allowance), (-7, 7), "the values themselves");
    assert!(parting.fields.iter().all(|field| !field.field.contains("params")), "{parting:?}");
    // The chains are those of that input.
    assert!(first.chain_a[0].of == "input" && first.chain_a[0] == first.chain_b[0]);
    let text = report.to_string();
    assert!(text.contains(&format!("the states differ after input {at} ")), "{text}");
    assert!(text.contains("terms.net: a "), "{text}");
}

#[test]
fn a_recorded_hash_that_no_replay_makes_is_called_that() {
    let dir = TempDir::new();
    record(dir.path(), 8);
    let mut at = None;
    rewrite(dir.path(), Stream::Outputs, |_, mut record, out| {
        if at.is_none()
            && matches!(decode_output(Seq(record.seq), &record.body), Ok((_, Output::State(_), _)))
        {
            *record.body.last_mut().expect("a hash") ^= 1;
            at = Some(record.seq);
        }
        out.push(record);
    })
    .expect("temporary disk");
    let report = compared(dir.path(), Against::Replay(None, "a replay".to_owned()));
    let first = report.first.as_ref().expect("it is found");
    assert_eq!((Some(first.seq), first.kind.as_str(), &first.parting), (at, "state", &None));
    assert!(
        report.notes.iter().any(|note| note.contains("does not make the recorded state again")),
        "{report}"
    );
}

/// A program at `name` that does what this one does, but of another journal, after this line of shell.
fn other_program(folder: &Path, name: &str, first: &str, journal: &Path) -> String {
    std::fs::create_dir_all(folder).expect("temporary disk");
    let (script, own) = (folder.join(name), env!("CARGO_BIN_EXE_perpring"));
    let text = format!("#!/bin/sh\n{first}\nshift 2\nexec {own} replay {} \"$@\"\n", journal.display());
    std::fs::write(&script, text).expect("temporary disk");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).expect("temporary disk");
    script.to_str().expect("text").to_owned()
}

/// The journal's recorded configuration gets another value of a parameter of the scanner, of the same length.
fn rewrite_scan(dir: &Path, from: &str, to: &str) -> RunConfig {
    assert_eq!(from.len(), to.len());
    let (kind, mut config) = (input_kind(&Input::Config), None);
    rewrite(dir, Stream::Inputs, |_, mut record, out| {
        if record.kind == kind {
            let scan = memchr::memmem::find(&record.body, b"\"scan\":{").expect("a table");
            let found = memchr::memmem::find(&record.body[scan..], from.as_bytes()).expect("a value");
            record.body[scan + found..][..to.len()].copy_from_slice(to.as_bytes());
            let begin = record.body.iter().position(|byte| *byte == b'{').expect("a table");
            config = serde_json::from_slice(&record.body[begin..]).ok();
        }
        out.push(record);
    })
    .expect("temporary disk");
    config.expect("a configuration")
}

fn asked(journal: &Path, program_path: &str) -> Value {
    let (code, told, said) = program(&[journal.to_str().expect("text"), "--binary", program_path, "--json"]);
    assert_eq!(code, Some(1), "{said}");
    serde_json::from_str(&told).expect("one object")
}

/// Another program, whose runs have `to` where these have `from` among the scanner's parameters, is found to differ at the
/// first input of a run of that length after which the states do, in values with these words in their names.
fn finds_the_input(from: &str, to: &str, named: &str, seconds: i64) -> u64 {
    let [a, b, folder] = [TempDir::new(), TempDir::new(), TempDir::new()];
    let config = record_quietly(a.path(), seconds);
    record_quietly(b.path(), seconds);
    let other = rewrite_scan(b.path(), from, to);
    let at = first_unequal(a.path(), [&config, &other]);
    let asks = folder.path().join("asks");
    let log = format!("case \"$*\" in *--state*) echo \"$*\" >> {};; esac", asks.display());
    let report = asked(a.path(), &other_program(folder.path(), "changed", &log, b.path()));
    let first = &report["first"];
    assert_eq!((&first["stage"], &first["kind"]), (&"scan".into(), &"state".into()), "{report}");
    let parting = &first["parting"];
    assert_eq!(parting["seq"], at, "{parting}");
    let fields = parting["fields"].as_array().expect("named");
    let has = |word: &str| {
        fields.iter().any(|field| field["field"].as_str().is_some_and(|path| path.contains(word)))
    };
    assert!(has(named) && !has("params"), "not the configuration: {fields:?}");
    let asks = std::fs::read_to_string(&asks).expect("it was asked").lines().count();
    assert!((2..=14).contains(&asks), "{asks} questions");
    // The chain is that of the input, and values and chain are those of a replay of both in this program.
    let here = replayed(a.path(), other).first.expect("a difference");
    assert_eq!(serde_json::to_value(&here.chain_a).expect("text"), first["chain_a"]);
    assert_eq!(serde_json::to_value(&here.parting).expect("text"), *parting);
    assert!(report["notes"].to_string().contains("what this program makes"), "{report}");
    at
}

#[test]
fn the_input_after_which_another_program_differs_is_searched_for_by_asking_for_its_state() {
    finds_the_input("\"allowance_ppb\":50000", "\"allowance_ppb\":50007", "terms.net", 5);
}

#[test]
fn it_is_searched_for_behind_a_hash_that_is_equal() {
    // A shorter memory of bases, from when that is full on.
    let at = finds_the_input("\"basis_samples\":201", "\"basis_samples\":181", ".newest.", 7);
    assert!(at > 4096, "{at}");
}

#[test]
fn another_program_that_cannot_tell_its_state_is_called_that() {
    let [a, b, folder] = [TempDir::new(), TempDir::new(), TempDir::new()];
    record_quietly(a.path(), 5);
    record_quietly(b.path(), 5);
    rewrite_scan(b.path(), "\"allowance_ppb\":50000", "\"allowance_ppb\":50007");
    // One from before it could be asked; one whose state is another's.
    let refuses =
        "case \"$*\" in *--state*) echo \"error: unexpected argument '--state' found\" >&2; exit 2;; esac";
    let strange = "case \"$*\" in *--state*) echo '{\"river\":{\"scan\":{\"x\":1}}}' > \"$8\"; exit 0;; esac";
    let report = asked(a.path(), &other_program(folder.path(), "older", refuses, b.path()));
    assert_eq!(report["first"]["parting"], Value::Null);
    let notes = report["notes"].to_string();
    assert!(notes.contains("does not tell its state") && notes.contains("unexpected argument"), "{notes}");

    let report = asked(a.path(), &other_program(folder.path(), "strange", strange, b.path()));
    let (first, notes) = (&report["first"], report["notes"].to_string());
    assert_eq!(first["parting"]["seq"].as_u64(), first["seq"].as_u64().map(|seq| seq - 1));
    assert!(notes.contains("cannot read the state") && notes.contains("is not known"), "{notes}");
}
