//! Bundles: a stretch of a run that is replayed anywhere, tells what is damaged, and holds no secret.

use crate::restart::{Desk, slow_second, until_between_legs};
use crate::simulated::{START, TempDir, close, sim_config, simulation};
use perpring::domain::codec::{decode_input, decode_output};
use perpring::domain::event::Seq;
use perpring::domain::input::Input;
use perpring::domain::output::Output;
use perpring::domain::params::RiskParams;
use perpring::domain::time::{MICRO, MILLI, Nanos, SECOND};
use perpring::journal::{Reader, Stream, rewrite};
use perpring::replay::bundle::file::Bundle;
use perpring::replay::bundle::judge::judge;
use perpring::replay::bundle::write::{Request, WINDOW_MAX, Written, write};
use perpring::replay::bundle::{BundleError, member};
use perpring::replay::check::check_journal;
use perpring::replay::cursor::Cursor;
use perpring::replay::verify::verify;
use perpring::topology::world;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Output as ProcessOutput;

fn record(dir: &Path) {
    let sim = sim_config(7, &["binance-usdm", "okx"], |sim| {
        sim.step_ns = 10 * MILLI;
        sim.instruments.iter_mut().for_each(|instrument| instrument.jump_every_ns = 2 * SECOND);
        for venue in &mut sim.venues {
            venue.levels = 6;
            venue.listings.retain(|listing| listing.instrument == 0);
        }
    });
    let (mut simulation, _) =
        simulation(&sim, world::demo_scan(), RiskParams::default(), 100 * MICRO, Some(dir));
    simulation.run_for(10 * SECOND);
    close(simulation);
}

fn bundle(dir: &Path, out: &Path, around: &str, window: [Nanos; 2]) -> Result<Written, BundleError> {
    let request = Request {
        dir,
        around: around.parse().expect("a place"),
        said: around,
        before: window[0],
        after: window[1],
        out,
        expect: None,
        notes: "what happened".to_owned(),
    };
    write(&request, &mut |_| {})
}

/// The first order that a message places.
fn first_order(dir: &Path) -> (String, u64) {
    let mut reader = Reader::open(dir, Stream::Outputs).expect("a journal");
    while let Some(record) = reader.next().expect("undamaged") {
        let seq = record.seq;
        if let (_, Output::Message(shape), _) = decode_output(Seq(seq), record.body).expect("an output")
            && let Some(order) = shape.meta.order
        {
            return (String::from_utf8_lossy(&order.client_id.hex()).into_owned(), seq);
        }
    }
    panic!("the world trades");
}

fn perpring(args: &[&str]) -> (ProcessOutput, String) {
    let done =
        std::process::Command::new(env!("CARGO_BIN_EXE_perpring")).args(args).output().expect("the program");
    let text = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    (done, text)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("plain")
}

struct Place {
    dir: TempDir,
    out: TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self { dir: TempDir::new(), out: TempDir::new() };
        record(place.dir.path());
        fs::create_dir_all(place.out.path()).expect("temporary disk");
        place
    }

    fn out(&self, name: &str) -> PathBuf {
        self.out.path().join(name)
    }
}

#[test]
fn a_bundle_is_the_stretch_of_the_run_and_is_looked_into_like_a_journal() {
    let place = Place::new();
    let (order, at) = first_order(place.dir.path());
    let out = place.out("a.ppz");
    let written = bundle(place.dir.path(), &out, &order, [SECOND, SECOND]).expect("a bundle");
    let about = &written.about;
    assert!(about.reproduced && about.ended && about.blanked.is_empty(), "{about:?}");
    assert!(1 < about.first && about.first < at && at < about.last, "{about:?}");
    assert!(written.bytes < 400_000, "{} bytes", written.bytes);
    assert!(written.verdict.is_met(), "{:?}", written.verdict.outcomes);
    // The same state at every place as in the whole run.
    let bundle = Bundle::open(&out).expect("a bundle");
    let unpacked = bundle.unpack().expect("unpacks");
    let report = verify(unpacked.dir(), &mut |_| {}).expect("a part");
    assert_eq!((report.divergence, report.inputs), (None, about.last - about.first + 1));
    for seq in [at, about.first, about.last, 1] {
        let there = |dir: &Path| {
            let mut cursor = Cursor::open(dir).expect("a journal");
            cursor.snapshots().set_spacing(0);
            cursor.seek(Seq(seq.max(about.first)), &mut (), &mut |_| {}).expect("undamaged");
            cursor.snapshot().expect("saves").state().to_owned()
        };
        assert!(there(unpacked.dir()) == there(place.dir.path()), "input {seq}");
    }
    // It knows what was held at its beginning.
    let report = check_journal(unpacked.dir(), None).expect("a part");
    assert!(report.violations == 0 && report.baskets > 0, "{:?}", report.first);
    // From the command line.
    let (done, said) = perpring(&["replay", text(&out), "--verify"]);
    assert!(done.status.code() == Some(0) && said.contains("identical"), "{said}");
    let (done, said) = perpring(&["replay", text(&out), "--expect"]);
    assert!(done.status.code() == Some(0) && said.contains("met: limits"), "{said}");
    let (done, said) =
        perpring(&["step", text(&out), "-c", &format!("until order == {order}"), "-c", "print orders"]);
    assert!(done.status.code() == Some(0) && said.contains("input "), "{said}");
    let (done, said) = perpring(&["replay", text(place.dir.path()), "--expect"]);
    assert!(done.status.code() == Some(2) && said.contains("is no bundle"), "{said}");
}

#[test]
fn a_bundle_from_the_beginning_of_a_run_needs_no_state() {
    let place = Place::new();
    let out = place.out("a.ppz");
    let written = bundle(place.dir.path(), &out, "1", [0, SECOND]).expect("a bundle");
    assert_eq!((written.about.first, written.about.reproduced), (1, true));
    assert!(!written.about.members.contains_key(member::SNAPSHOT));
    assert!(judge(&Bundle::open(&out).expect("a bundle")).expect("replays").is_met());
}

#[test]
fn a_damaged_member_is_named_and_another_format_refused() {
    let place = Place::new();
    let out = place.out("a.ppz");
    bundle(place.dir.path(), &out, "+6s", [SECOND / 4, SECOND / 4]).expect("a bundle");
    let good = Bundle::open(&out).expect("a bundle");
    let refused = |bundle: &Bundle| {
        Bundle::from_bytes(&out, &bundle.to_bytes().expect("packs"))
            .map(|_| ())
            .expect_err("refused")
            .to_string()
    };
    for name in [member::INPUTS, member::OUTPUTS, member::SNAPSHOT, member::CONFIG, member::EXPECT] {
        let mut bad = good.clone();
        let hash = bad.about.members[name];
        let mut bytes = bad.get(name).expect("a member").to_vec();
        bytes.push(b' ');
        bad.set(name, bytes);
        bad.about.members.insert(name.to_owned(), hash);
        let why = refused(&bad);
        assert!(why.contains(&format!("its member {name} is damaged (SHA-256)")), "{why}");
    }
    let mut later = good.clone();
    later.about.format = 2;
    assert!(refused(&later).contains("format is 2; this version reads up to 1"));
    let mut bytes = good.to_bytes().expect("packs");
    let name = member::OUTPUTS.as_bytes();
    let begins = |part: &[u8]| part.starts_with(b"PK\x03\x04") && part[30..].starts_with(name);
    let at = bytes.windows(30 + name.len()).position(begins).expect("its header");
    bytes[at + 30 + name.len() + 40] ^= 1;
    fs::write(&out, &bytes).expect("temporary disk");
    let (done, said) = perpring(&["replay", text(&out), "--expect"]);
    assert!(done.status.code() == Some(2) && said.contains("its member outputs.zst is damaged"), "{said}");
    let mut other = good.clone();
    other.set(member::SNAPSHOT, zstd::encode_all(&b"{}"[..], 3).expect("packs"));
    let why = judge(&other).map(|_| ()).expect_err("no state").to_string();
    assert!(why.contains("cannot be entered") && why.contains("damaged"), "{why}");
}

#[test]
fn a_secret_in_a_recorded_message_is_blanked_and_the_bundle_still_replays() {
    let place = Place::new();
    let key = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A";
    let mut planted = 0;
    rewrite(place.dir.path(), Stream::Inputs, |_, mut record, out| {
        if record.seq > 1_000
            && let Ok((Input::Frame(_), bytes)) = decode_input(&record.body)
            && bytes.ends_with(b"}")
            && planted == 0
        {
            // A field that no decoder asks for.
            record.body.pop();
            record.body.extend_from_slice(format!(",\"apiKey\":\"{key}\"}}").as_bytes());
            planted = record.seq;
        }
        out.push(record);
    })
    .expect("temporary disk");
    let out = place.out("a.ppz");
    let around = planted.to_string();
    let written = bundle(place.dir.path(), &out, &around, [SECOND / 4, SECOND / 4]).expect("a bundle");
    assert_eq!(written.about.blanked, [format!("input {planted}: apiKey")]);
    let unpacked = Bundle::open(&out).expect("a bundle").unpack().expect("unpacks");
    let mut reader = Reader::open(unpacked.dir(), Stream::Inputs).expect("a journal");
    while let Some(record) = reader.next().expect("undamaged") {
        assert!(!String::from_utf8_lossy(record.body).contains(key), "input {}", record.seq);
    }
}

#[test]
fn what_is_expected_decides_the_exit_code_and_says_where() {
    let place = Place::new();
    let (out, expect) = (place.out("a.ppz"), place.out("expect.toml"));
    fs::write(&expect, "[[expect]]\nname = 'no trade'\nnever = 'open_trades > 0'\n").expect("temporary disk");
    let (order, _) = first_order(place.dir.path());
    let args = ["bundle", text(place.dir.path()), "--around", &order, "--window", "2s", "-o", text(&out)];
    let (done, said) = perpring(&[&args[..], &["--expect", text(&expect)]].concat());
    assert!(done.status.code() == Some(0) && said.contains("identical"), "{said}");
    let (done, said) = perpring(&["replay", text(&out), "--expect"]);
    assert!(done.status.code() == Some(1) && said.contains("NOT MET: no trade"), "{said}");
    assert!(said.contains("broken at input "), "{said}");
    let (done, said) = perpring(&args);
    assert!(done.status.code() == Some(2) && said.contains("exists: name a new file"), "{said}");
    let mut bad = Bundle::open(&out).expect("a bundle");
    bad.set(member::EXPECT, b"[[expect]]\nname = 'a'\nnever = 'residul != 0'\n".to_vec());
    fs::write(&out, bad.to_bytes().expect("packs")).expect("temporary disk");
    let (done, said) = perpring(&["replay", text(&out), "--expect"]);
    assert!(done.status.code() == Some(2) && said.contains("line 3, column 10"), "{said}");
}

#[test]
fn a_stretch_that_the_run_does_not_have_is_refused_with_the_reason() {
    let place = Place::new();
    let out = place.out("a.ppz");
    let none = "ffffffffffffffffffffffffffffffff";
    for (around, window, why) in [
        (none, [SECOND, SECOND], "no output of the run"),
        ("+2h", [SECOND, SECOND], "lies after the end"),
        ("99999999", [SECOND, SECOND], "lies after the end"),
        ("+5s", [WINDOW_MAX + 1, SECOND], "time before it must be from 0 to 3600 s"),
        ("+5s", [SECOND, -1], "time after it must be from 0 to 3600 s"),
    ] {
        let said = bundle(place.dir.path(), &out, around, window).map(|_| ()).expect_err(why).to_string();
        assert!(said.contains(why), "{said}");
        assert!(!out.exists());
    }
}

#[test]
fn a_bundle_of_a_run_that_took_over_knows_the_orders_that_it_took_over() {
    let mut desk = Desk::new(slow_second);
    let venues = desk.venues();
    let (mut first, _) = desk.run(venues, START);
    until_between_legs(&mut first);
    let now = first.now();
    let (mut next, carry) = desk.run(first.die(SECOND), now + SECOND);
    assert!(!carry.orders.is_empty());
    next.run_for(3 * SECOND);
    close(next);
    let out = TempDir::new();
    fs::create_dir_all(out.path()).expect("temporary disk");
    let path = out.path().join("a.ppz");
    let written = bundle(&desk.dir(2), &path, "+1s", [60 * SECOND, 60 * SECOND]).expect("a bundle");
    assert!(written.about.reproduced && written.about.blanked.is_empty(), "{:?}", written.about);
    assert!(written.verdict.is_met(), "{:?}", written.verdict.outcomes);
}

#[test]
fn what_is_unpacked_is_nobody_elses_to_read_and_what_a_killed_program_left_is_swept() {
    let place = Place::new();
    let (order, _) = first_order(place.dir.path());
    let out = place.out("a.ppz");
    bundle(place.dir.path(), &out, &order, [SECOND / 10, SECOND / 10]).expect("a bundle");
    // Larger than any number of a process.
    let left = std::env::temp_dir().join("perpring-bundle-2147483647-0");
    fs::create_dir_all(left.join("a.ppz")).expect("temporary disk");
    let unpacked = Bundle::open(&out).expect("a bundle").unpack().expect("unpacks");
    assert!(!left.exists());
    let mode = fs::metadata(unpacked.dir()).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o077, 0, "{mode:o}");
    let dir = unpacked.dir().to_owned();
    drop(unpacked);
    assert!(!dir.exists());
    let (bytes, half) = (fs::read(&out).expect("it is there"), place.out("half.ppz"));
    fs::write(&half, &bytes[..bytes.len() / 2]).expect("temporary disk");
    let (done, said) = perpring(&["replay", text(&half)]);
    assert!(done.status.code() == Some(2) && said.contains("it is cut off"), "{said}");
}
