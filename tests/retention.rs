//! Retention of inputs: a journal whose beginning was removed while the run went on is replayed, looked into and taken over
//! from the snapshot that was laid before, wherever the removal was broken off.
#![allow(clippy::disallowed_methods)] // a thread is waited for

use crate::simulated::{START, TempDir, sim_config};
use perpring::domain::carry::{Ending, Halt};
use perpring::domain::codec::decode_output;
use perpring::domain::event::Seq;
use perpring::domain::input::{Command, Scope};
use perpring::domain::money::Money;
use perpring::domain::output::Output;
use perpring::domain::params::{EngineParams, RiskParams};
use perpring::domain::time::{MICRO, MILLI, Nanos, SECOND};
use perpring::journal::{
    self, Floor, Housekeeping, JournalOptions, KeepWatch, Manifest, Reader, RunId, Stream, recover,
};
use perpring::replay::cursor::Cursor;
use perpring::replay::floor::SnapshotFloor;
use perpring::replay::part::begins_after;
use perpring::replay::source::RunConfig;
use perpring::replay::verify::verify;
use perpring::sim::{FaultPlan, SimConfig, server_with};
use perpring::stage::egress::Vault;
use perpring::stage::record::Recorder;
use perpring::stage::river::{Parts, River};
use perpring::topology::fused::Fused;
use perpring::topology::keeper::Keeper;
use perpring::topology::launch::manifest;
use perpring::topology::restart::previous;
use perpring::topology::simulated::Simulation;
use perpring::topology::world;
use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command as Process;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// One busy instrument, so that few seconds hold many trades; the second venue is slow, so that legs stand alone.
fn busy() -> SimConfig {
    sim_config(7, &["binance-usdm", "okx"], |sim| {
        sim.step_ns = 10 * MILLI;
        sim.instruments.iter_mut().for_each(|instrument| instrument.jump_every_ns = 2 * SECOND);
        sim.venues[1].latency_in_ns = 8 * MILLI;
        for venue in &mut sim.venues {
            venue.levels = 6;
            venue.listings.retain(|listing| listing.instrument == 0);
        }
    })
}

fn params(sim: &SimConfig) -> EngineParams {
    world::engine_params(sim, 7, world::demo_scan(), RiskParams::default())
}

/// A run that is recorded; with a floor its inputs are removed beyond so many bytes.
struct Run {
    simulation: Simulation,
    dir: PathBuf,
    keep: Option<KeepWatch>,
}

impl Run {
    fn begin(dir: &Path, [segment_bytes, keep_bytes]: [usize; 2], floor: Option<Box<dyn Floor>>) -> Self {
        let sim = busy();
        let config = RunConfig { trading: true, params: params(&sim) };
        let bytes = config.to_bytes();
        let notes = BTreeMap::from([("mode".to_owned(), "live".to_owned())]);
        let about = Manifest { run_id: RunId(42), ..manifest(&bytes, START, notes) };
        let every = Duration::from_millis(1);
        let keep = Housekeeping { keep_bytes: Some(keep_bytes as u64), every, ..Housekeeping::default() };
        let keep = floor.is_some().then_some(keep);
        let options = JournalOptions { segment_bytes, helper: false, keep, ..JournalOptions::default() };
        fs::create_dir_all(dir.parent().expect("below the temporary directory")).expect("temporary disk");
        let recorder = Recorder::create_on(dir, &about, &options, floor).expect("a fresh directory");
        let keep = recorder.housekeeping();
        let parts = Parts::new(&config.params, true).expect("known dialects");
        let conns = parts.conns.clone();
        let servers = (0..sim.venues.len())
            .map(|venue| server_with(&sim, venue, &FaultPlan::default()).expect("a valid world"))
            .collect();
        let engine = Fused::new(River::new(parts), Keeper::new(Some(recorder)));
        let vault = Vault::new(world::credentials(&sim));
        let simulation = Simulation::new(engine, servers, conns, vault, START, 100 * MICRO, &bytes);
        Self { simulation, dir: dir.to_owned(), keep }
    }

    /// Goes on for `span`; where inputs are removed, until some more of them are.
    fn run_for(&mut self, span: Nanos) {
        let before = begins_after(&self.dir);
        self.simulation.run_for(span);
        let Some(keep) = &self.keep else { return };
        let begun = Instant::now();
        while begins_after(&self.dir) == before {
            let kept = keep.look().1;
            assert!(begun.elapsed().as_secs() < 600, "no input was removed: {kept:?}");
            // Housekeeping is the least urgent of all threads: one that spins here would take its time away.
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn end(self) {
        let (_, keeper) = self.simulation.into_parts().0.into_parts();
        keeper.into_parts().0.expect("recorded").close().expect("temporary disk");
    }
}

fn floor() -> Option<Box<dyn Floor>> {
    Some(Box::new(SnapshotFloor))
}

/// The same run twice: whole, and with its inputs removed again and again.
fn twins(root: &Path, sizes: [usize; 2], play: impl Fn(&mut Run)) -> [Run; 2] {
    [("whole", None), ("cut", floor())].map(|(name, floor)| {
        let mut run = Run::begin(&root.join(name).join("run"), sizes, floor);
        play(&mut run);
        run
    })
}

/// The state of all stages after the last input.
fn last_state(dir: &Path) -> (Seq, String) {
    let mut cursor = Cursor::open(dir).expect("a journal");
    cursor.snapshots().set_spacing(0);
    cursor.seek(Seq(u64::MAX), &mut (), &mut |_| {}).expect("undamaged");
    (cursor.seq(), cursor.snapshot().expect("saves").state().to_owned())
}

/// The outputs of the inputs behind `after`, and the first order among them.
fn outputs(dir: &Path, after: Seq) -> (Vec<(u64, Vec<u8>)>, Option<String>) {
    let mut reader = Reader::open(dir, Stream::Outputs).expect("a journal");
    let (mut found, mut order) = (Vec::new(), None);
    while let Some(record) = reader.next().expect("undamaged") {
        if record.seq <= after.0 {
            continue;
        }
        found.push((record.seq, record.body.to_vec()));
        let decoded = decode_output(Seq(record.seq), record.body).expect("an output").1;
        if let (Output::Message(shape), None) = (decoded, &order) {
            order =
                shape.meta.order.map(|order| String::from_utf8_lossy(&order.client_id.hex()).into_owned());
        }
    }
    (found, order)
}

/// The program's exit code and all that it says.
fn perpring(args: &[&str]) -> (Option<i32>, String) {
    let done = Process::new(env!("CARGO_BIN_EXE_perpring")).args(args).output().expect("the program");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (done.status.code(), text(&done.stdout) + &text(&done.stderr))
}

#[test]
fn a_run_whose_inputs_are_removed_again_and_again_is_replayed_from_where_it_begins() {
    let root = TempDir::new();
    let runs = twins(root.path(), [16 << 10, 100_000], |run| {
        [6, 2, 2].iter().for_each(|seconds| run.run_for(seconds * SECOND));
    });
    let [whole, cut] = runs.map(|run| {
        let dir = run.dir.clone();
        run.end();
        dir
    });
    let after = begins_after(&cut);
    let names = |begin: &str| {
        let all = fs::read_dir(&cut).expect("a journal").map(|entry| entry.expect("an entry").file_name());
        all.filter(|name| name.to_string_lossy().starts_with(begin)).count()
    };
    assert_eq!((names("start-"), names("checks-")), (1, 1), "older floors are gone");
    let report = verify(&cut, &mut |_| {}).expect("readable");
    assert!(report.divergence.is_none() && report.unrecorded == 0, "{report:?}");
    let (end, state) = last_state(&whole);
    assert!(last_state(&cut) == (end, state), "the state at the end is that of the whole run");
    assert_eq!(report.inputs, end.0 - after.0);
    let (kept, order) = outputs(&cut, after);
    assert_eq!(report.total(), kept.len() as u64);
    assert!(kept == outputs(&whole, after).0, "every output of what is kept is there");
    let record = journal::verify(&cut).expect("readable");
    assert_eq!(record.damages(), 0, "{} {}", record.streams[0], record.streams[1]);
    assert!(record.streams[0].removed > 2 && record.streams[1].removed > 0, "{record:?}");
    assert!(record.streams.iter().all(|stream| stream.first_seq > Some(1)), "{record:?}");

    // What people do with it.
    let (cut, out) = (cut.display().to_string(), root.path().join("out").display().to_string());
    let order = order.expect("it trades to its end");
    let said = |args: &[&str], code: i32, what: &str| {
        let (is, said) = perpring(args);
        assert!(is == Some(code) && said.contains(what), "{args:?}: {is:?} {said}");
    };
    let place = (after.0 + 500).to_string();
    said(&["replay", &cut, "--verify"], 0, "identical");
    said(&["replay", &cut, "--verify", "--from", &place], 0, "identical");
    said(&["replay", &cut, "--verify", "--pinning", "split"], 0, "identical");
    said(&["replay", &cut, "--from", "100"], 2, "is not kept: the record begins at input");
    said(&["journal", "verify", &cut], 0, "by retention");
    said(&["journal", "recover", &cut], 0, "closed in order");
    said(&["why", &order, &cut], 0, &order);
    said(&["step", &cut, "-c", &format!("goto {place}")], 0, &place);
    let bundle = format!("{out}.ppz");
    said(&["bundle", &cut, "--around", &order, "--window", "1s", "--out", &bundle], 0, "");
    said(&["replay", &bundle, "--expect"], 0, "");
    let tables = format!("{out}-tables");
    said(&["export", &cut, "--to", "csv", "--out", &tables], 0, "");
    let rows = |table: &str| {
        let path = Path::new(&tables).join(table);
        fs::read_to_string(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
    };
    let orders = rows("messages.csv");
    assert!(orders.contains(&order) && orders.lines().count() > 2, "{orders}");
    said(&["backup", &cut, "--to", &out], 0, "files");
    let back = format!("{out}-back");
    said(&["restore", &out, "--to", &back], 0, "every hash checked");
    said(&["replay", &back, "--verify"], 0, "identical");
    let begins =
        format!("the journal begins at input {}: what was before is taken from the state", after.0 + 1);
    said(&["audit", &cut], 0, &begins);
}

/// Keeps what the journal held whenever the floor was asked, as if the run had crashed there.
struct Copying {
    to: PathBuf,
    copies: Arc<Mutex<Vec<PathBuf>>>,
}

impl Copying {
    fn keep(&self, dir: &Path) {
        let mut copies = self.copies.lock().expect("one thread");
        let to = self.to.join(copies.len().to_string()).join("run");
        // The run goes on: a segment that is begun meanwhile would be missing behind what is copied after it.
        loop {
            let before = names(dir);
            copy(dir, &to);
            if names(dir) == before {
                return copies.push(to);
            }
            fs::remove_dir_all(&to).expect("temporary disk");
        }
    }
}

impl Floor for Copying {
    fn lay(&mut self, dir: &Path, after: u64, go_on: &dyn Fn() -> bool) -> Result<(), String> {
        self.keep(dir);
        SnapshotFloor.lay(dir, after, go_on)?;
        self.keep(dir);
        Ok(())
    }

    fn clear(&mut self, dir: &Path, after: u64) -> Result<(), String> {
        self.keep(dir);
        SnapshotFloor.clear(dir, after)?;
        self.keep(dir);
        Ok(())
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("temporary disk");
    for name in names(from) {
        match fs::copy(from.join(&name), to.join(&name)) {
            Err(why) if why.kind() == ErrorKind::NotFound => {} // the run goes on
            copied => assert!(copied.expect("temporary disk") < u64::MAX),
        }
    }
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("a directory");
    let mut found: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    found.sort();
    found
}

/// The journal of a crashed run is whole behind `after`, and can be taken over.
fn assert_whole(dir: &Path, after: Seq, what: &str) {
    let verdict = recover(dir).unwrap_or_else(|why| panic!("{what}: {why}"));
    assert_eq!(begins_after(dir), after, "{what}");
    let report = verify(dir, &mut |_| {}).unwrap_or_else(|why| panic!("{what}: {why}"));
    assert!(report.divergence.is_none(), "{what}: {:?}", report.divergence);
    assert_eq!(Some(report.inputs + after.0), verdict.streams[0].last_seq, "{what}");
    assert!(report.total() > 100, "{what}");
    assert_eq!(journal::verify(dir).expect("readable").damages(), 0, "{what}");
    let root = dir.parent().expect("a directory of journals");
    let carry =
        previous(root, true, &params(&busy()), &mut |_| {}).unwrap_or_else(|why| panic!("{what}: {why}"));
    assert_eq!(carry.ending, Ending::Crashed, "{what}");
}

#[test]
fn a_crash_at_any_step_of_a_removal_leaves_a_journal_that_is_whole_behind_one_of_its_floors() {
    let root = TempDir::new();
    let copies = Arc::new(Mutex::new(Vec::new()));
    let watching = Copying { to: root.path().join("copies"), copies: Arc::clone(&copies) };
    let mut run = Run::begin(&root.path().join("run"), [64 << 10, 1], Some(Box::new(watching)));
    while copies.lock().expect("one thread").len() < 8 {
        run.run_for(2 * SECOND);
    }
    drop(run);
    let copies = copies.lock().expect("ended").clone();
    // The first removal begins with a whole run, the second with a floor.
    for at in [0, 4] {
        let [begun, laid, removed, done] = [0, 1, 2, 3].map(|step| copies[at + step].as_path());
        let (old, new) = (begins_after(begun), begins_after(done));
        assert!(old < new && (at == 0) == (old == Seq(0)));
        // While the snapshot is written; and where its name is there, but not its bytes.
        let of_new = |name: &&String| name.starts_with("start-") && name.contains(&new.0.to_string());
        let name = names(laid).iter().find(of_new).expect("a snapshot").clone();
        let bytes = fs::read(laid.join(&name)).expect("a snapshot");
        for (torn, len) in [(format!("{name}.tmp"), 1000), (name.clone(), 0), (name, bytes.len() / 2)] {
            let dir = root.path().join(format!("torn-{at}-{len}")).join("run");
            copy(begun, &dir);
            fs::write(dir.join(torn), &bytes[..len]).expect("temporary disk");
            assert_whole(&dir, old, &format!("{len} bytes of the snapshot, {old:?}"));
        }
        // While files are removed: each is told in the chain first.
        let left = names(removed);
        let gone = |stream: &str| -> Vec<String> {
            let is_gone =
                |name: &String| name.starts_with(stream) && name.contains(".seg") && !left.contains(name);
            names(laid).into_iter().filter(is_gone).collect()
        };
        let gone = [gone("inputs-"), gone("outputs-")].concat();
        assert!(!gone.is_empty());
        for count in 0..gone.len().min(2) {
            let dir = root.path().join(format!("removed-{at}-{count}")).join("run");
            copy(removed, &dir);
            for name in &gone[count..] {
                fs::copy(laid.join(name), dir.join(name)).expect("temporary disk");
            }
            // Told and not yet done: what is told does not count, but where the run's beginning is there.
            let after = if (at, count) == (0, 0) { old } else { new };
            assert_whole(&dir, after, &format!("{count} of {} removed, {old:?}", gone.len()));
        }
        for (dir, after, what) in [(begun, old, "before"), (laid, old, "laid"), (removed, new, "removed")] {
            assert_whole(dir, after, what);
        }
        assert_whole(done, new, "done");
    }
}

#[test]
fn a_restart_takes_over_from_a_journal_that_was_cut_what_it_takes_over_from_the_whole_one() {
    type Play = fn(&mut Run);
    let plays: [(&str, Play); 3] = [
        ("something is open", |run| {
            run.run_for(4 * SECOND);
            let holds = |run: &mut Run| {
                let scanner = run.simulation.engine().river().parts().scan.scanner();
                scanner.trades().any(|trade| trade.legs.iter().any(|leg| leg.position != 0))
            };
            while !holds(run) {
                run.simulation.run_for(MILLI);
            }
        }),
        ("killed", |run| {
            run.run_for(2 * SECOND);
            run.simulation.command(Command::Kill(Scope::Global));
            (0..2).for_each(|_| run.run_for(2 * SECOND));
        }),
        ("killed and resumed", |run| {
            run.run_for(2 * SECOND);
            run.simulation.command(Command::Kill(Scope::Global));
            run.run_for(2 * SECOND);
            run.simulation.command(Command::Resume);
            run.run_for(2 * SECOND);
        }),
    ];
    for (what, play) in plays {
        let root = TempDir::new();
        let [whole, cut] = twins(root.path(), [64 << 10, 1], play).map(|run| {
            // The kill threads write for themselves; before the resumption, if there is one.
            if what.starts_with("killed") {
                let line = format!("{{\"wall_ns\":{}}}\n", START + 3 * SECOND);
                fs::write(run.dir.join("kill.jsonl"), line).expect("temporary disk");
            }
            drop(run.simulation.die(SECOND));
            let root = run.dir.parent().expect("a directory of journals");
            let begins = begins_after(&run.dir);
            (previous(root, true, &params(&busy()), &mut |_| {}).expect("readable"), begins, run.dir)
        });
        assert!(whole.1 == Seq(0) && cut.1 > Seq(100), "{what}: {:?}", cut.1);
        assert_eq!(cut.0, whole.0, "{what}");
        assert_eq!(cut.0.ending, Ending::Crashed);
        assert_eq!(cut.0.standing.halted, (what == "killed").then_some(Halt::Killed), "{what}");
        if what == "something is open" {
            assert!(!cut.0.trades.is_empty() && cut.0.standing.reducing, "{:?}", cut.0);
            assert_ne!(cut.0.standing.result, Money::ZERO, "it has traded before");
        }
        if what != "killed" {
            continue;
        }
        // Snapshots that somebody left behind change nothing: what the run was told before them counts.
        let mut cursor = Cursor::open(&whole.2).expect("a journal");
        cursor.snapshots().set_spacing(1000);
        cursor.seek(Seq(u64::MAX), &mut (), &mut |_| {}).expect("undamaged");
        assert!(!cursor.snapshots().list().is_empty());
        let root = whole.2.parent().expect("a directory of journals");
        let again = previous(root, true, &params(&busy()), &mut |_| {}).expect("readable");
        assert_eq!(again, whole.0, "{what}, beside snapshots");
    }
}
