//! The debugger over a run with faults: places that it finds are held against scans that share nothing with it.

use crate::simulated::{TempDir, faulty_simulation, sim_config};
use perpring::core::book::Book;
use perpring::domain::codec::{decode_output, input_kind};
use perpring::domain::event::{BookState, Event, EventBody, Seq};
use perpring::domain::input::{FrameMeta, Input};
use perpring::domain::instrument::{InstrumentId, VenueId};
use perpring::domain::order::Side;
use perpring::domain::output::Output;
use perpring::domain::params::RiskParams;
use perpring::domain::time::{MICRO, MILLI, SECOND};
use perpring::journal::{Reader, Stream, rewrite};
use perpring::replay::source::{Inputs, RunConfig};
use perpring::replay::step::command::parse;
use perpring::replay::step::show::What;
use perpring::replay::step::{Answer, Debugger, Driver, Patient, Stop};
use perpring::sim::FaultPlan;
use perpring::stage::river::{Parts, River};
use perpring::topology::simulated::Simulation;
use perpring::topology::world;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

const FAULTS: &str = "seed = 3
[[fault]]
kind = 'disconnect'
venue = 'okx'
on = 'market'
at_s = [5]
[[fault]]
kind = 'partial_fill'
per_minute = 120
[[fault]]
kind = 'reject'
per_minute = 20
";

/// Contracts whose lots grow while trades are held: what they leave is below the new steps.
const LARGER_LOTS: &str = "seed = 3
[[fault]]
kind = 'metadata'
change = 'lot'
at_s = [3, 7, 11, 15]
for_ms = 3000
[[fault]]
kind = 'partial_fill'
per_minute = 120
";

/// A world of one busy instrument at two venues, recorded to `dir`.
pub fn started(dir: &Path) -> (Simulation, RunConfig) {
    started_with(dir, FAULTS)
}

fn started_with(dir: &Path, faults: &str) -> (Simulation, RunConfig) {
    let sim = sim_config(5, &["binance-usdm", "okx"], |sim| {
        sim.step_ns = 10 * MILLI;
        sim.instruments.iter_mut().for_each(|instrument| instrument.jump_every_ns = 2 * SECOND);
        for venue in &mut sim.venues {
            venue.levels = 12;
            venue.listings.retain(|listing| listing.instrument == 0);
        }
    });
    let plan = FaultPlan::parse("faults", faults).expect("a plan");
    faulty_simulation(&sim, world::demo_scan(), RiskParams::default(), 100 * MICRO, Some(dir), &plan)
}

/// The same, of `seconds` and ended.
pub fn record(dir: &Path, seconds: i64) -> RunConfig {
    let (mut simulation, config) = started(dir);
    simulation.run_for(seconds * SECOND);
    crate::simulated::close(simulation);
    config
}

/// Every event of the run, by decode alone.
fn events(dir: &Path, config: &RunConfig) -> Vec<Event> {
    let mut decode = Parts::new(&config.params, config.trading).expect("known dialects").decode;
    let mut inputs = Inputs::open(dir).expect("a journal");
    let mut found = Vec::new();
    while let Some((_, raw)) = inputs.next().expect("undamaged") {
        let (seq, at) = decode.sequence(&raw);
        decode.on_input(&raw, seq, at, &mut |event| found.push(*event));
    }
    found
}

fn ask(debugger: &mut Debugger, line: &str) -> Answer {
    let command = parse(line).expect(line).expect("a command");
    debugger.run(&command, &mut Patient).unwrap_or_else(|why| panic!("{line}: {why}"))
}

/// Where a line leads, from the beginning.
fn found(dir: &Path, line: &str) -> Option<u64> {
    let answer = ask(&mut Debugger::open(dir).expect("a journal"), line);
    (answer.stop == Some(Stop::Reached)).then(|| answer.here.expect("a place").seq)
}

const OKX: InstrumentId = InstrumentId(1);

#[test]
fn until_stops_where_a_scan_of_the_events_does() {
    let dir = TempDir::new();
    let config = record(dir.path(), 12);
    assert_eq!(config.params.listings[OKX.index()].venue, VenueId(1));
    let events = events(dir.path(), &config);
    let first = |wanted: &mut dyn FnMut(&Event) -> bool| events.iter().find(|e| wanted(e)).map(|e| e.seq.0);

    let mut held = 0;
    let position = first(&mut |event| {
        let EventBody::Order(update) = &event.body else { return false };
        held += if update.instrument == OKX { update.side.sign() * update.fill_qty.0 } else { 0 };
        held != 0
    });
    assert_eq!(found(dir.path(), "until position[okx] != 0"), position.map(Some).expect("okx was traded"));

    let mut live = false;
    let lost = first(&mut |event| {
        let EventBody::Book(status) = &event.body else { return false };
        let was = live;
        live = if status.instrument == OKX { status.state == BookState::Live } else { live };
        was && !live
    });
    let lost = lost.expect("the connection was cut");
    let mut debugger = Debugger::open(dir.path()).expect("a journal");
    ask(&mut debugger, "until book.live and venue == okx");
    assert_eq!(ask(&mut debugger, "until not book.live[okx]").here.expect("a place").seq, lost);

    let trade = first(&mut |event| matches!(&event.body, EventBody::Trade(trade) if trade.instrument == OKX));
    assert_eq!(found(dir.path(), "until event == trade and venue == okx"), trade);
    assert!(trade.is_some());

    // Every input that tells of an order, one after the other.
    let id = events.iter().find_map(|event| match &event.body {
        EventBody::Order(update) if update.fill_qty.0 != 0 => Some(update.client_id),
        _ => None,
    });
    let id = id.expect("something was filled");
    let filled = first(
        &mut |event| matches!(&event.body, EventBody::Order(update) if update.client_id == id && update.fill_qty.0 != 0),
    );
    assert_eq!(found(dir.path(), &format!("until order == {id} and order.filled > 0")), filled);
    let by_number = format!("until order == {:x} and order.filled > 0", id.sequence());
    assert_eq!(found(dir.path(), &by_number), filled);
    assert_eq!(found(dir.path(), "until seq > 999999999"), None, "the end is told");
}

#[test]
fn a_residual_is_found_at_the_input_that_left_it() {
    let dir = TempDir::new();
    let (mut simulation, config) = started_with(dir.path(), LARGER_LOTS);
    simulation.run_for(16 * SECOND);
    let mut river = River::new(Parts::new(&config.params, config.trading).expect("known dialects"));
    let mut inputs = Inputs::open(dir.path()).expect("a journal");
    let mut first = None;
    while let (None, Some((seq, raw))) = (first, inputs.next().expect("undamaged")) {
        river.input(&raw, &mut ());
        let left = river.parts().scan.scanner().residuals().next();
        first = left.map(|_| seq.0);
    }
    assert!(first.is_some(), "the larger lots left something");
    assert_eq!(found(dir.path(), "until residual != 0"), first);
}

#[test]
fn decisions_and_edges_are_found_as_the_outputs_have_them() {
    let dir = TempDir::new();
    record(dir.path(), 12);
    let mut reader = Reader::open(dir.path(), Stream::Outputs).expect("a journal");
    let mut first = None;
    while let (None, Some(record)) = (first, reader.next().expect("undamaged")) {
        if let Ok((_, Output::Intent(_), _)) = decode_output(Seq(record.seq), record.body) {
            first = Some(record.seq);
        }
    }
    let first = first.expect("it traded");
    assert_eq!(found(dir.path(), "until output == intent"), Some(first));
    // The edge reached its threshold there, or before, when it had to last.
    let edge = found(dir.path(), "until edge_bps >= edge.threshold_bps").expect("an edge");
    assert!(edge <= first, "{edge} {first}");
    let mut debugger = Debugger::open(dir.path()).expect("a journal");
    ask(&mut debugger, &format!("goto {first}"));
    let told = ask(&mut debugger, "show edge_bps >= edge.threshold_bps");
    assert_eq!(told.tables[0].rows[0][2], "true");
    let outputs = ask(&mut debugger, "print outputs").tables.remove(0);
    let kinds: Vec<&str> = outputs.rows.iter().filter_map(|row| row[1].as_str()).collect();
    assert!(kinds.starts_with(&["intent", "approved", "message"]), "{kinds:?}");
}

#[test]
fn a_crossed_book_that_is_planted_is_found_at_its_input() {
    let dir = TempDir::new();
    let config = record(dir.path(), 4);
    let frame = input_kind(&Input::Frame(FrameMeta::default()));
    let (mut seen, mut planted) = (0, None);
    rewrite(dir.path(), Stream::Inputs, |_, mut record, out| {
        let is_ticker = record.kind == frame && memchr::memmem::find(&record.body, b"bookTicker").is_some();
        seen += usize::from(is_ticker);
        if is_ticker && seen > 100 && planted.is_none() {
            let from = memchr::memmem::find(&record.body, b"\"b\":\"").expect("a bid") + 5;
            assert_ne!(record.body[from], b'9');
            record.body[from] = b'9';
            planted = Some(record.seq);
        }
        out.push(record);
    })
    .expect("temporary disk");
    let mut books = vec![Book::new(); config.params.listings.len()];
    let crossed = events(dir.path(), &config).into_iter().find(|event| {
        let id = match &event.body {
            EventBody::Bbo(bbo) => {
                books[bbo.instrument.index()].set_bbo(bbo);
                bbo.instrument
            }
            EventBody::Levels(chunk) => {
                books[chunk.instrument.index()].apply(chunk);
                chunk.instrument
            }
            EventBody::Book(status) => {
                books[status.instrument.index()].set_state(status.state);
                status.instrument
            }
            _ => return false,
        };
        let book = &books[id.index()];
        let both = book.touch(Side::Sell).zip(book.touch(Side::Buy));
        book.is_served() && both.is_some_and(|((bid, _), (ask, _))| bid >= ask)
    });
    assert!(planted.is_some());
    assert_eq!(crossed.map(|event| event.seq.0), planted);
    assert_eq!(found(dir.path(), "until book.crossed"), planted);
    assert_eq!(found(dir.path(), "until book.crossed and venue == okx"), None);
    let mut debugger = Debugger::open(dir.path()).expect("a journal");
    ask(&mut debugger, "u book.crossed");
    let books = ask(&mut debugger, "print books binance").tables.remove(0);
    assert_eq!(books.rows[0][2], "Crossed");
}

#[test]
fn until_tells_what_made_the_expression_hold() {
    let dir = TempDir::new();
    record(dir.path(), 6);
    let mut debugger = Debugger::open(dir.path()).expect("a journal");
    let answer = ask(&mut debugger, "until edge_bps > 1 and seq > 3 and not book.crossed[okx]");
    let table = answer.tables.last().expect("what made it hold");
    assert_eq!(table.what, "found");
    let names: Vec<&str> = table.rows.iter().filter_map(|row| row[0].as_str()).collect();
    assert_eq!(names, ["edge_bps", "seq", "book.crossed[okx]"]);
    // The direction that it names has that value when it is asked for alone.
    let (of, value) = (table.rows[0][1].as_str().expect("a direction"), &table.rows[0][2]);
    let way = of.rsplit(' ').next().expect("buy>sell");
    assert!(value.as_str().and_then(|text| text.parse::<f64>().ok()).is_some_and(|bps| bps > 1.0), "{value}");
    let alone = ask(&mut debugger, &format!("show edge_bps[{way}]"));
    assert!(alone.tables[0].rows.iter().any(|row| row[1] == of && row[2] == *value), "{alone}");
    assert!(answer.to_string().contains(way), "{answer}");
}

#[test]
fn a_record_that_is_damaged_stops_at_the_last_input_that_can_be_read() {
    let dir = TempDir::new();
    record(dir.path(), 4);
    let segment = std::fs::read_dir(dir.path()).expect("a directory").flatten().find(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        name.starts_with("inputs-") && name.ends_with(".seg")
    });
    let path = segment.expect("a segment").path();
    let mut bytes = std::fs::read(&path).expect("it is there");
    let at = memchr::memmem::find_iter(&bytes, "bookTicker").nth(200).expect("so many");
    bytes[at] ^= 1;
    std::fs::write(&path, &bytes).expect("temporary disk");
    // The last input that a reader gets.
    let (mut inputs, mut good) = (Inputs::open(dir.path()).expect("a journal"), 0);
    while let Ok(Some((seq, _))) = inputs.next() {
        good = seq.0;
    }
    assert!(good > 200, "{good}");
    for line in ["goto 800000", "goto end", "until seq > 800000", "goto +3s", "step 800000"] {
        let mut debugger = Debugger::open(dir.path()).expect("a journal");
        let answer = ask(&mut debugger, line);
        let here = answer.here.as_ref().map(|here| here.seq);
        assert_eq!((answer.stop, here), (Some(Stop::Damaged), Some(good)), "{line}");
        assert!(answer.misses(), "{line}");
        assert!(answer.to_string().contains(&format!("behind input {good}: ")), "{answer}");
        assert_eq!(ask(&mut debugger, "step").stop, Some(Stop::Damaged), "and stays there");
        assert_eq!(ask(&mut debugger, "back").here.map(|here| here.seq), Some(good - 1));
    }
    let (code, told, said) = program(dir.path(), &["-c", "goto 800000"], "");
    assert_eq!(code, Some(1), "{told}{said}");
}

#[test]
fn a_place_before_a_part_of_a_run_is_told_and_the_wall_clock_is_known_from_the_first_input() {
    let dir = TempDir::new();
    record(dir.path(), 4);
    let part = dir.path().join("part.ppz");
    let around = ["--around", "+3s", "--window", "1s", "-o"];
    let made = Command::new(env!("CARGO_BIN_EXE_perpring"))
        .arg("bundle")
        .arg(dir.path())
        .args(around)
        .arg(&part)
        .output()
        .expect("the program");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let (code, told, _) = program(&part, &["-c", "goto 5", "-c", "back", "-c", "step"], "");
    assert_eq!(code, Some(1), "it is not there: {told}");
    let first: u64 = told
        .split_once("what lies before is not kept: the record begins at input ")
        .and_then(|(_, rest)| rest.lines().next()?.parse().ok())
        .unwrap_or_else(|| panic!("it says so: {told}"));
    assert_eq!(told.matches(&format!("input {first} ·")).count(), 2, "back and forth: {told}");
    assert!(told.contains("before the first input"), "{told}");
    assert_eq!(program(&part, &["-c", "goto 1"], "").0, Some(0), "the beginning of whatever is there");

    let mut debugger = Debugger::open(dir.path()).expect("a journal");
    let places = ["goto 1", "goto 100"].map(|line| ask(&mut debugger, line).here.expect("a place"));
    assert!(!places[0].time.starts_with("1970"), "{}", places[0].time);
    assert_eq!(places[0].time[..10], places[1].time[..10]);
    // A connection that is down has no epoch.
    let sessions = ask(&mut debugger, "print sessions").tables.remove(0);
    assert!(sessions.rows.iter().any(|row| row[4] == false), "{sessions}");
    assert!(sessions.rows.iter().all(|row| (row[4] == false) == row[3].is_null()), "{sessions}");
    // A frame is whole for programs.
    ask(&mut debugger, "until input == frame");
    let event = ask(&mut debugger, "print event").tables.remove(0);
    let frame = event.rows[0][4].as_str().expect("its text");
    assert_eq!(frame.as_bytes(), debugger.moment().last.bytes, "{event}");
}

/// Everything that can be printed, as text.
fn prints(debugger: &mut Debugger) -> String {
    let mut all = ask(debugger, "where").to_string();
    for (name, _) in What::ALL {
        all += &ask(debugger, &format!("print {name}")).to_string();
    }
    all
}

#[test]
fn a_place_looks_the_same_however_it_is_reached() {
    let dir = TempDir::new();
    record(dir.path(), 8);
    let mut debugger = Debugger::open(dir.path()).expect("a journal");
    let here = ask(&mut debugger, "goto +6s").here.expect("a place");
    // The first record of that time in the journal itself.
    let mut reader = Reader::open(dir.path(), Stream::Inputs).expect("a journal");
    let start = reader.next().expect("undamaged").expect("a record").time_ns;
    reader.seek_time(start + 6 * SECOND).expect("undamaged");
    assert_eq!(reader.next().expect("undamaged").map(|record| record.seq), Some(here.seq));

    let shown = prints(&mut debugger);
    for column in ["BTC", "okx", "gross_exposure_usd", "counts_cancels", "input frame", "wallet"] {
        assert!(shown.contains(column), "{column} is missing in\n{shown}");
    }
    ask(&mut debugger, "step 70");
    assert_ne!(prints(&mut debugger), shown);
    ask(&mut debugger, "back 70");
    assert_eq!(prints(&mut debugger), shown);
    ask(&mut debugger, "goto end");
    ask(&mut debugger, &format!("goto {}", here.time));
    assert_eq!(prints(&mut debugger), shown, "by its time");
    ask(&mut debugger, "goto 0");
    assert!(ask(&mut debugger, "where").to_string().contains("before the first input"));
    for _ in 0..3 {
        ask(&mut debugger, "step");
    }
    assert_eq!(ask(&mut debugger, "where").here.map(|here| here.seq), Some(3));

    // Beyond the end: it stands on the last input, and has seen it.
    let end = ask(&mut debugger, "goto end").here.expect("a place");
    let mut fresh = Debugger::open(dir.path()).expect("a journal");
    for line in
        [format!("goto {}", end.seq + 1), format!("goto {}", end.seq + 100_000), format!("goto {}", end.seq)]
    {
        let answer = ask(&mut fresh, &line);
        assert_eq!(answer.here.as_ref(), Some(&end), "{line}");
        assert_eq!(answer.misses(), line != format!("goto {}", end.seq));
    }
}

struct Impatient(u64);

impl Driver for Impatient {
    fn progress(&mut self, _seq: u64) {}
    fn wants_stop(&mut self) -> bool {
        self.0 -= 1;
        self.0 == 0
    }
}

#[test]
fn a_run_that_is_interrupted_stays_where_it_is_and_watches_are_shown() {
    let dir = TempDir::new();
    record(dir.path(), 2);
    let mut debugger = Debugger::open(dir.path()).expect("a journal");
    ask(&mut debugger, "watch seq");
    ask(&mut debugger, "watch book.live[okx]");
    let command = parse("until seq > 999999").expect("a command").expect("one");
    let answer = debugger.run(&command, &mut Impatient(25)).expect("a journal");
    assert_eq!((answer.stop, answer.here.as_ref().map(|here| here.seq)), (Some(Stop::Interrupted), Some(25)));
    assert_eq!(answer.tables[0].rows[0][2], "25");
    assert_eq!(answer.tables.len(), 2);
    ask(&mut debugger, "unwatch 1");
    let answer = ask(&mut debugger, "step");
    assert_eq!(answer.here.map(|here| here.seq), Some(26));
    assert_eq!(answer.tables.len(), 1);
}

#[test]
fn the_journal_of_a_running_engine_is_followed() {
    let dir = TempDir::new();
    let (mut simulation, _) = started(dir.path());
    simulation.run_for(2 * SECOND);
    let mut debugger = Debugger::open(dir.path()).expect("a journal");
    let before = ask(&mut debugger, "goto end").here.expect("a place");
    assert!(ask(&mut debugger, "step").misses(), "nothing more is written");
    simulation.run_for(SECOND);
    let after = ask(&mut debugger, "step");
    assert!(!after.misses());
    assert_eq!(after.here.map(|here| here.seq), Some(before.seq + 1));
}

/// `perpring step` as a shell sees it.
fn program(dir: &Path, args: &[&str], typed: &str) -> (Option<i32>, String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_perpring"))
        .arg("step")
        .arg(dir)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program");
    child.stdin.take().expect("piped").write_all(typed.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("the program");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn the_program_takes_commands_as_arguments_and_from_a_pipe_and_tells_by_its_code() {
    let dir = TempDir::new();
    record(dir.path(), 2);
    let commands = ["goto +1s", "watch book.bid[okx]", "step", "print books BTC", "help quantities"];
    let args: Vec<&str> = commands.iter().flat_map(|line| ["--command", line]).chain(["--json"]).collect();
    let (code, told, said) = program(dir.path(), &args, "");
    assert_eq!(code, Some(0), "{said}");
    let objects: Vec<serde_json::Value> =
        told.lines().map(|line| serde_json::from_str(line).expect("an object a line")).collect();
    assert_eq!(
        objects.iter().map(|object| object["command"].as_str().expect("told")).collect::<Vec<_>>(),
        commands
    );
    let [goto, _, step, books, help] = objects.as_slice() else { panic!("{told}") };
    assert_eq!(step["here"]["seq"].as_u64(), goto["here"]["seq"].as_u64().map(|seq| seq + 1));
    let bid = books["tables"][0]["rows"].as_array().expect("rows").iter().find(|row| row["venue"] == "okx");
    assert_eq!(step["tables"][0]["rows"][0]["value"], bid.expect("okx")["bid"]);
    assert!(help["tables"][0]["rows"].as_array().is_some_and(|rows| rows.len() > 40));

    let (code, told, _) =
        program(dir.path(), &[], "# a script\ngoto 10\n\nuntil seq >= 12\nquit\nnonsense\n");
    assert_eq!(code, Some(0));
    assert!(told.contains("input 10 ·") && told.contains("input 12 ·"), "{told}");
    assert_eq!(program(dir.path(), &["-c", "until open_trades > 400"], "").0, Some(1), "it never came");
    let (code, told, _) = program(dir.path(), &["-c", "goto end"], "");
    assert_eq!(code, Some(0), "that is where it was to go: {told}");
    assert_eq!(program(dir.path(), &["-c", "goto 99999999"], "").0, Some(1), "that is not");
    let (code, _, said) = program(dir.path(), &["-c", "until seq > 1 and bok.crossed"], "");
    assert_eq!(code, Some(2));
    assert!(said.contains("column 13") && said.contains("book.crossed"), "{said}");
    assert_eq!(program(Path::new("/nowhere/at/all"), &["-c", "where"], "").0, Some(2));
}

#[test]
fn a_terminal_has_completion_and_a_history_that_outlives_the_session() {
    let dir = TempDir::new();
    record(dir.path(), 2);
    let home = dir.path().join("home");
    let typed = |keys: &[[&str; 2]]| -> (Option<i32>, String) {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/py/pty_drive.py");
        let keys = serde_json::to_string(keys).expect("plain text");
        let output = Command::new("python3")
            .args([script, &keys, env!("CARGO_BIN_EXE_perpring"), "step"])
            .arg(dir.path())
            .env("XDG_STATE_HOME", &home)
            .env("TERM", "xterm")
            .output()
            .expect("python3");
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr),
        )
    };
    if Command::new("python3").arg("--version").output().is_err() {
        println!("skipped: there is no python3");
        return;
    }
    let prompt = "(step) ";
    let (code, seen) = typed(&[
        [prompt, "ste\t5\r"], // completed with a blank
        ["input 5 ·", ""],
        [prompt, "\u{1b}[A\r"], // the line before once more
        ["input 10 ·", ""],
        [prompt, "nonsense\r"],
        ["there is no command `nonsense`", ""],
        [prompt, "step 99\u{3}"], // Ctrl-C takes the line back
        ["step 99", ""],
        ["\n", ""],
        [prompt, "until event == bb\t and event.pr\t > 0 or seq >= 12\r"],
        ["input 12 ·", ""],
        [prompt, "\u{4}"],
    ]);
    assert_eq!(code, Some(0), "{seen}");
    assert!(!seen.contains("input 109 ·"), "{seen}");
    let history = std::fs::read_to_string(home.join("perpring/step-history")).expect("it is kept");
    assert!(
        history.contains("step 5\n") && history.contains("until event == bbo and event.price > 0 or"),
        "{history}"
    );
    let (code, seen) = typed(&[
        [prompt, "\u{12}ste"], // searched for in the history
        ["step 5", "\r"],
        ["input 5 ·", ""],
        [prompt, "q\r"],
    ]);
    assert_eq!(code, Some(0), "{seen}");
}
