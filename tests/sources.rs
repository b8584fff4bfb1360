//! Every command that reads a run, on each kind of source: the directory of a run that ended, an archive (its segments
//! compressed), the journal of a running engine, a bundle of a whole run, and one of a stretch.

use crate::simulated::{TempDir, sim_config, simulation};
use perpring::domain::codec::decode_output;
use perpring::domain::event::Seq;
use perpring::domain::intent::{BasketKind, Intent};
use perpring::domain::output::Output;
use perpring::domain::params::RiskParams;
use perpring::domain::time::{MICRO, MILLI, Nanos, SECOND};
use perpring::journal::{Reader, Stream, pack};
use perpring::replay::bundle::write::{Request, write};
use perpring::topology::simulated::Simulation;
use perpring::topology::world;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn started(dir: &Path) -> Simulation {
    let sim = sim_config(7, &["binance-usdm", "okx"], |sim| {
        sim.step_ns = 20 * MILLI;
        sim.instruments.iter_mut().for_each(|instrument| instrument.jump_every_ns = 2 * SECOND);
        for venue in &mut sim.venues {
            venue.levels = 6;
            venue.listings.retain(|listing| listing.instrument == 0);
        }
    });
    simulation(&sim, world::demo_scan(), RiskParams::default(), 100 * MICRO, Some(dir)).0
}

/// The order of the first message that places one at this input or later, and the input.
fn order_after(dir: &Path, from: u64) -> (String, u64) {
    let mut reader = Reader::open(dir, Stream::Outputs).expect("a journal");
    while let Some(record) = reader.next().expect("undamaged") {
        let seq = record.seq;
        if seq >= from
            && let (_, Output::Message(shape), _) = decode_output(Seq(seq), record.body).expect("an output")
            && let Some(order) = shape.meta.order
        {
            return (String::from_utf8_lossy(&order.client_id.hex()).into_owned(), seq);
        }
    }
    panic!("the world trades");
}

/// The first order of the first exit, and the input at which it is wanted.
fn first_exit(dir: &Path) -> (String, u64) {
    let mut reader = Reader::open(dir, Stream::Outputs).expect("a journal");
    while let Some(record) = reader.next().expect("undamaged") {
        let seq = record.seq;
        if let (_, Output::Intent(Intent::Basket(basket)), _) =
            decode_output(Seq(seq), record.body).expect("an output")
            && basket.kind == BasketKind::Exit
        {
            return (String::from_utf8_lossy(&basket.orders()[0].client_id.hex()).into_owned(), seq);
        }
    }
    panic!("the world trades");
}

fn bundle(dir: &Path, out: &Path, around: u64, window: Nanos) -> PathBuf {
    let around = around.to_string();
    let request = Request {
        dir,
        around: around.parse().expect("a place"),
        said: &around,
        before: window,
        after: window,
        out,
        expect: None,
        notes: String::new(),
    };
    assert!(write(&request, &mut |_| {}).expect("a bundle").about.reproduced);
    out.to_owned()
}

fn perpring(args: &[String]) -> (Option<i32>, String) {
    let done = Command::new(env!("CARGO_BIN_EXE_perpring")).args(args).output().expect("the program");
    let text = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    (done.status.code(), text)
}

/// The files of a directory, but for the snapshots that readers leave beside a journal.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry").path());
    entries
        .filter(|path| path.is_file())
        .map(|path| (path.clone(), fs::read(path).expect("a file")))
        .collect()
}

/// What a command is to come to.
#[derive(Clone, Copy)]
enum Comes {
    /// It does its work.
    Well,
    /// It says why not.
    Refused(&'static str),
}
use Comes::{Refused, Well};

/// A kind of source and what a command comes to there.
struct Kind<'a> {
    name: &'a str,
    path: &'a Path,
    is_bundle: bool,
}

fn walk(kind: &Kind<'_>, order: &str, at: u64, place: &Path) {
    let out = |name: &str| place.join(format!("{}-{name}", kind.name)).display().to_string();
    let config = place.join("new.toml");
    let (path, config, at) = (kind.path.display().to_string(), config.display().to_string(), at.to_string());
    let (tables, cut) = (out("tables"), out("cut.ppz"));
    let goto = format!("goto {at}");
    let expects = if kind.is_bundle { Well } else { Refused("is no bundle") };
    let table: [(&[&str], Comes); 15] = [
        (&["replay", &path], Well),
        (&["replay", &path, "--verify"], Well),
        (&["replay", &path, "--verify", "--from", &at], Well),
        (&["replay", &path, "--expect"], expects),
        (&["step", &path, "-c", &goto, "-c", "print books"], Well),
        (&["why", order, &path], Well),
        (&["why-not", "BTC-USDT binance-usdm/okx", &path, "--at", &at], Well),
        (&["diff", &path], Well),
        (&["diff", &path, &path], Well),
        (&["diff", &path, "--binary", env!("CARGO_BIN_EXE_perpring")], Well),
        (&["whatif", &path, "--config", &config], Well),
        (&["audit", &path], Well),
        (&["export", &path, "--to", "ndjson", "--out", &tables], Well),
        (&["bundle", &path, "--around", &at, "--window", "200ms", "-o", &cut], Well),
        (&["journal", "verify", &path], Well),
    ];
    for (args, comes) in table {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let (code, said) = perpring(&args);
        match comes {
            Well => assert_eq!(code, Some(0), "{}: {args:?}: {said}", kind.name),
            Refused(why) => {
                assert_eq!(code, Some(2), "{}: {args:?}: {said}", kind.name);
                let name = kind.path.file_name().unwrap_or_default().to_string_lossy();
                assert!(said.contains(why) && said.contains(&*name), "{}: {args:?}: {said}", kind.name);
            }
        }
    }
    let (code, said) = perpring(&["diff", &path, "--set", "scan.threshold_ppb=900000000"].map(str::to_owned));
    assert!(code == Some(1) && said.contains("entries that vanish"), "{}: {said}", kind.name);
    let dump: Vec<String> =
        ["journal", "dump", &path, "--events", "--from", &at, "--to", &at].map(str::to_owned).to_vec();
    let (code, said) = perpring(&dump);
    assert!(code == Some(0) && said.contains("\"event\""), "{}: {said}", kind.name);
}

#[test]
fn every_reading_command_takes_every_kind_of_source_or_says_why_not() {
    let (dir, place) = (TempDir::new(), TempDir::new());
    fs::create_dir_all(place.path()).expect("temporary disk");
    let venue = |name: &str| {
        format!("[[venues]]\ndialect = \"{name}\"\ntaker_fee_bps = 3.0\nmaker_fee_bps = 1.0\nleverage = 5\n")
    };
    let rules = "[[instruments]]\nname = \"BTC/USDT:USDT\"\n[scan]\nnotional_usd = 1000\nthreshold_bps = 2.5\n[risk]\n\
         order_notional_max_usd = 5000\ninstrument_position_max_usd = 10000\nvenue_position_max_usd = 50000\n\
         gross_exposure_max_usd = 100000\ndaily_loss_max_usd = 1000\n";
    let text = venue("binance-usdm") + &venue("okx") + rules;
    fs::write(place.path().join("new.toml"), text).expect("temporary disk");

    let mut simulation = started(dir.path());
    simulation.run_for(8 * SECOND);
    let (order, at) = order_after(dir.path(), 1_000);
    let running = Kind { name: "running", path: dir.path(), is_bundle: false };
    let before = files(dir.path());
    walk(&running, &order, at, place.path());
    assert!(files(dir.path()) == before, "nothing in it is changed");
    let inputs = |path: &Path| {
        let (_, said) = perpring(&["replay".to_owned(), path.display().to_string(), "--json".to_owned()]);
        let report: serde_json::Value = serde_json::from_str(&said).expect("JSON");
        report["inputs"].as_u64().expect("a count")
    };
    let seen = inputs(dir.path());
    simulation.run_for(SECOND);
    assert!(inputs(dir.path()) > seen && seen > at, "as far as it is written, and then further");

    let (_, keeper) = simulation.into_parts().0.into_parts();
    keeper.into_parts().0.expect("recorded").close().expect("temporary disk");
    let ended = Kind { name: "ended", ..running };
    walk(&ended, &order, at, place.path());
    let stretch = bundle(dir.path(), &place.path().join("stretch.ppz"), at, SECOND);
    walk(&Kind { name: "stretch", path: &stretch, is_bundle: true }, &order, at, place.path());
    let all = bundle(dir.path(), &place.path().join("whole.ppz"), at, 60 * SECOND);
    walk(&Kind { name: "whole", path: &all, is_bundle: true }, &order, at, place.path());
    // A whole run in a bundle, and the same in a directory: no difference.
    let (code, said) =
        perpring(&["diff", &all.display().to_string(), &dir.path().display().to_string()].map(str::to_owned));
    assert_eq!(code, Some(0), "{said}");
    let (code, said) =
        perpring(&["diff", &stretch.display().to_string(), &all.display().to_string()].map(str::to_owned));
    assert!(code == Some(2) && said.contains("begins at input"), "{said}");
    // What became of a trade whose entry a bundle does not hold, and that it does not.
    let (exit, wanted) = first_exit(dir.path());
    let late = bundle(dir.path(), &place.path().join("late.ppz"), wanted, 20 * MILLI);
    let (code, said) = perpring(&["why".to_owned(), exit, late.display().to_string()]);
    assert!(code == Some(0) && said.contains("behind the entry of this trade"), "{said}");
    assert!(said.contains("pair BTC/USDT:USDT"), "{said}");
    let backups = place.path().join("store");
    ["backups", "objects"].iter().for_each(|name| fs::create_dir_all(backups.join(name)).expect("room"));
    let (code, said) = perpring(&["audit".to_owned(), backups.display().to_string()]);
    assert!(code == Some(2) && said.contains("perpring restore"), "{said}");
    pack(dir.path(), 3).expect("an ended run");
    walk(&Kind { name: "archive", ..ended }, &order, at, place.path());
}
