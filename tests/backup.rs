//! The restore drill: what was backed up comes back to the byte, only what is new is sent, and what is not whole is
//! refused before anything is touched.

use crate::simulated::{TempDir, sim_config, simulation};
use perpring::backup::{BackupError, Choice, Plan, Store, listings, restore, take};
use perpring::domain::params::RiskParams;
use perpring::domain::time::{MILLI, SECOND};
use perpring::journal::{
    Hash256, JournalOptions, Manifest, Record, RunId, Stream, Writer, pack, read_chain, recover, verify,
};
use perpring::replay::verify::verify as replay;
use perpring::topology::world;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Later than the store's own clock, so that its objects have an age.
const NOW: i64 = 4_000_000_000 * SECOND;
const HOUR: i64 = 3_600 * SECOND;

fn plan(dir: &Path) -> Plan {
    Plan { dir: dir.to_owned(), grace_ns: 0, ..Plan::default() }
}

fn store(place: &Path) -> Store {
    Store::open(&place.display().to_string(), true).expect("a directory")
}

fn silent(_: u64, _: u64, _: &str) {}

/// Every file below `dir` with its bytes.
fn contents(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(contents(&path));
        } else {
            found.insert(path.clone(), fs::read(&path).expect("readable"));
        }
    }
    found
}

pub(crate) fn relative(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let strip = |path: PathBuf| path.strip_prefix(dir).expect("below").to_owned();
    contents(dir).into_iter().map(|(path, bytes)| (strip(path), bytes)).collect()
}

fn options() -> JournalOptions {
    JournalOptions { segment_bytes: 64 << 10, helper: false, ..JournalOptions::default() }
}

fn manifest(id: u128) -> Manifest {
    Manifest { run_id: RunId(id), ..Manifest::default() }
}

fn append(writer: &mut Writer, seqs: std::ops::RangeInclusive<u64>) {
    for seq in seqs {
        let body = [seq as u8; 700];
        let record = Record { kind: 4, class: 0, seq, time_ns: seq as i64, parts: &[&body] };
        writer.append(&record).expect("room");
    }
}

/// A finished run of two streams, its closed segments compressed.
pub(crate) fn finished(dir: &Path, records: u64) {
    for stream in Stream::ALL {
        let mut writer = Writer::create(dir, stream, &manifest(7), &options()).expect("fresh");
        append(&mut writer, 1..=records);
        writer.close().expect("closed");
    }
    pack(dir, 3).expect("undamaged");
}

fn object_of(store: &Path, sha256: &Hash256) -> PathBuf {
    store.join("objects").join(sha256.to_string())
}

#[test]
fn a_recorded_run_comes_back_to_the_byte_and_replays() {
    let (root, to) = (TempDir::new(), TempDir::new());
    let journal = root.path().join("run-1");
    fs::create_dir_all(root.path()).expect("temporary disk");
    let sim = sim_config(3, &["binance-usdm", "okx"], |_| {});
    let (mut run, _) = simulation(&sim, world::demo_scan(), RiskParams::default(), MILLI, Some(&journal));
    run.run_for(3 * SECOND);
    let recorder = run.into_parts().0.into_parts().1.into_parts().0.expect("a recorder");
    recorder.close().expect("closed");
    let config = root.path().with_extension("toml");
    fs::write(&config, "# the configuration").expect("temporary disk");
    let store = store(to.path());
    let mut shown = Vec::new();
    let asked = Plan { also: vec![config.clone()], ..plan(root.path()) };
    let taken = take(&store, &asked, NOW, &mut |done, whole, _| shown.push((done, whole))).expect("a backup");
    fs::remove_file(config).expect("clean up");
    assert!(taken.files > 4 && taken.sent_bytes > 0 && taken.sent_bytes <= taken.bytes, "{taken:?}");
    assert!(shown.iter().all(|(done, whole)| done <= whole) && shown.len() > 4);

    let before = relative(root.path());
    fs::remove_dir_all(root.path()).expect("the loss");
    let restored = restore(&store, Choice::Newest, root.path(), &mut silent).expect("a restore");
    assert_eq!((restored.files, restored.before), (taken.files, None));
    let mut after = relative(root.path());
    let name = root.path().with_extension("toml");
    let also = Path::new("also").join(format!("0-{}", name.file_name().expect("a name").to_string_lossy()));
    assert_eq!(after.remove(&also).as_deref(), Some(&b"# the configuration"[..]));
    assert_eq!(after, before);
    let report = replay(&journal, &mut |_| {}).expect("readable");
    assert!(report.divergence.is_none() && report.total() > 0, "{report:?}");
}

#[test]
fn only_what_is_new_is_sent_and_an_interrupted_backup_is_gone_on_with() {
    let (journal, to) = (TempDir::new(), TempDir::new());
    finished(journal.path(), 600);
    let store = store(to.path());
    let first = take(&store, &plan(journal.path()), NOW, &mut silent).expect("a backup");
    let again = take(&store, &plan(journal.path()), NOW + HOUR, &mut silent).expect("a backup");
    assert_eq!((again.files, again.bytes, again.sent_files), (first.files, first.bytes, 0));
    fs::write(journal.path().join("kill.jsonl"), "{}\n").expect("temporary disk");
    let third = take(&store, &plan(journal.path()), NOW + 2 * HOUR, &mut silent).expect("a backup");
    assert_eq!((third.files, third.sent_files, third.sent_bytes), (first.files + 1, 1, 3));

    // Interrupted: objects without a listing, one of them cut off.
    let other = TempDir::new();
    let second_store = self::store(other.path());
    take(&second_store, &plan(journal.path()), NOW, &mut silent).expect("a backup");
    fs::remove_dir_all(other.path().join("backups")).expect("listings");
    let cut =
        fs::read_dir(other.path().join("objects")).expect("objects").next().expect("one").expect("entry");
    fs::OpenOptions::new().write(true).open(cut.path()).expect("open").set_len(1).expect("cut");
    let absent = restore(&second_store, Choice::Newest, &journal.path().with_extension("x"), &mut silent);
    assert!(matches!(absent, Err(BackupError::Absent { .. })), "{absent:?}");
    let resumed = take(&second_store, &plan(journal.path()), NOW + HOUR, &mut silent).expect("a backup");
    assert_eq!(resumed.sent_files, 1, "only the one that was cut off");
}

#[test]
fn a_missing_or_damaged_object_is_refused_before_anything_is_touched() {
    let (journal, to) = (TempDir::new(), TempDir::new());
    finished(journal.path(), 300);
    let store = store(to.path());
    take(&store, &plan(journal.path()), NOW, &mut silent).expect("a backup");
    let before = relative(journal.path());
    let listing = &listings(&store).expect("listings").good[0];
    let victim = listing.files.iter().find(|file| file.path.ends_with(".zst")).expect("a segment");
    let object = object_of(to.path(), &victim.sha256);
    let good = fs::read(&object).expect("an object");
    let refused = |what: &str| {
        let said = restore(&store, Choice::Newest, journal.path(), &mut silent).expect_err(what).to_string();
        assert!(said.contains(&victim.path) && said.contains(what), "{said}");
        assert_eq!(relative(journal.path()), before, "{what}");
        let parent = journal.path().parent().expect("a parent");
        let name = journal.path().file_name().expect("a name").to_string_lossy().into_owned();
        let left = fs::read_dir(parent).expect("a directory").filter(|entry| {
            let found = entry.as_ref().expect("an entry").file_name().to_string_lossy().into_owned();
            found.starts_with(&format!("{name}."))
        });
        assert_eq!(left.count(), 0, "{what}: something was left beside the directory");
    };
    let mut bad = good.clone();
    bad[good.len() / 2] ^= 1;
    fs::write(&object, &bad).expect("damage");
    refused("damaged");
    fs::write(&object, &good[1..]).expect("damage");
    refused("bytes instead of");
    fs::remove_file(&object).expect("damage");
    refused("missing");
    fs::write(&object, &good).expect("repair");
    let restored = restore(&store, Choice::Newest, journal.path(), &mut silent).expect("whole again");
    let kept = restored.before.expect("what was there");
    assert_eq!((relative(&kept), relative(journal.path())), (before.clone(), before));
    fs::remove_dir_all(kept).expect("clean up");
}

#[test]
fn a_journal_that_is_being_written_is_backed_up_to_its_last_whole_record() {
    let (journal, to) = (TempDir::new(), TempDir::new());
    let mut inputs = Writer::create(journal.path(), Stream::Inputs, &manifest(9), &options()).expect("fresh");
    append(&mut inputs, 1..=250);
    let store = store(to.path());
    let first = take(&store, &plan(journal.path()), NOW, &mut silent).expect("a backup");
    append(&mut inputs, 251..=400);
    let second = take(&store, &plan(journal.path()), NOW + HOUR, &mut silent).expect("a backup");
    assert!(second.sent_files < second.files, "closed segments are not sent again: {second:?}");
    append(&mut inputs, 401..=420);
    let refused = restore(&store, Choice::Backup(&second.id), journal.path(), &mut silent);
    assert!(refused.expect_err("a run writes there").to_string().contains("its run is alive"));
    append(&mut inputs, 421..=422);
    for (id, records) in [(first.id, 250), (second.id, 400)] {
        let there = TempDir::new();
        restore(&store, Choice::Backup(&id), there.path(), &mut silent).expect("a restore");
        let report = verify(there.path()).expect("readable");
        assert_eq!((report.streams[0].records, report.damages()), (records, 0), "{id}");
        let verdict = recover(there.path()).expect("recoverable");
        assert_eq!(verdict.streams[0].records, records);
    }
    drop(inputs);
}

#[test]
fn older_backups_go_with_the_objects_that_no_other_one_has() {
    let (journal, to) = (TempDir::new(), TempDir::new());
    finished(journal.path(), 300);
    let store = store(to.path());
    let day = 24 * HOUR;
    let note = journal.path().join("kill.jsonl");
    for n in 0..3 {
        fs::write(&note, format!("{n}\n")).expect("temporary disk");
        take(&store, &plan(journal.path()), NOW + n * day, &mut silent).expect("a backup");
    }
    let objects = || fs::read_dir(to.path().join("objects")).expect("objects").count();
    let before = objects();
    fs::write(&note, "3\n").expect("temporary disk");
    let young = Plan { keep: Some(9), grace_ns: i64::MAX, ..plan(journal.path()) };
    assert_eq!(take(&store, &young, NOW + 3 * day - HOUR, &mut silent).expect("a backup").removed_backups, 0);
    let both = Plan { keep: Some(1), keep_days: Some(1), ..plan(journal.path()) };
    let taken = take(&store, &both, NOW + 3 * day, &mut silent).expect("a backup");
    // Kept: this one as the newest, that of an hour ago and that of exactly a day ago.
    assert_eq!((taken.removed_backups, listings(&store).expect("listings").good.len()), (2, 3), "{taken:?}");
    assert_eq!(
        (taken.removed_objects, objects()),
        (2, before + 1 - 2),
        "two notes that nobody names any more"
    );
    let kept = listings(&store).expect("listings").good;
    for listing in &kept {
        let there = TempDir::new();
        restore(&store, Choice::Backup(&listing.id), there.path(), &mut silent)
            .expect("what is kept is whole");
        assert!(read_chain(there.path(), Stream::Inputs, 7).expect("readable").broken.is_none());
    }
}

/// A finished run of its own in `dir/name`.
fn run_in(dir: &Path, name: &str, id: u128) -> PathBuf {
    let journal = dir.join(name);
    fs::create_dir_all(dir).expect("temporary disk");
    let mut writer = Writer::create(&journal, Stream::Inputs, &manifest(id), &options()).expect("fresh");
    append(&mut writer, 1..=20);
    writer.close().expect("closed");
    journal
}

fn perpring(args: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_perpring")).args(args).output().expect("the program");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout) + &text(&output.stderr))
}

#[test]
fn retention_counts_the_backups_of_each_directory_and_a_restore_takes_none_of_another() {
    let root = TempDir::new();
    let (one, two) = (run_in(root.path(), "one", 0xaaaa << 112), run_in(root.path(), "two", 0xbbbb << 112));
    let elsewhere = run_in(&root.path().join("elsewhere"), "two", 0xcccc << 112);
    let at = root.path().join("store");
    let store = store(&at);
    let last = |dir: &Path| Plan { keep: Some(1), keep_days: Some(1), ..plan(dir) };
    let mut ids = Vec::new();
    for (n, dir) in [&one, &two, &elsewhere, &two].into_iter().enumerate() {
        let taken = take(&store, &last(dir), NOW + n as i64 * 99 * HOUR, &mut silent).expect("a backup");
        ids.push(taken.id);
    }
    let kept = || -> Vec<String> {
        listings(&store).expect("listings").good.into_iter().map(|listing| listing.id).collect()
    };
    assert_eq!(kept(), [&ids[0], &ids[2], &ids[3]].map(String::clone), "only the older one of `two` went");

    let (there, place) = (root.path().join("there"), at.display().to_string());
    let to = there.display().to_string();
    let (code, said) = perpring(&["restore", &place, "--to", &to]);
    assert!(code == Some(2) && said.contains("--of") && !there.exists(), "{said}");
    assert!(["one (run aaaa", "two (run bbbb", "two (run cccc"].iter().all(|of| said.contains(of)), "{said}");
    for (of, run) in [("one", &one), ("cccc", &elsewhere)] {
        let (code, said) = perpring(&["restore", &place, "--to", &to, "--of", of]);
        assert_eq!((code, relative(&there)), (Some(0), relative(run)), "{said}");
        fs::remove_dir_all(&there).expect("clean up");
    }
    let (code, said) = perpring(&["restore", &place, "--to", &to, "--of", "two"]);
    assert!(code == Some(2) && said.contains("bbbb") && !said.contains("aaaa"), "two bear the name: {said}");

    // One damaged listing hides nothing and lets nothing be removed.
    fs::write(at.join("backups").join(format!("{}.json", ids[2])), "{}").expect("damage");
    let (code, said) = perpring(&["restore", &place, "--list"]);
    assert!(code == Some(1) && ids[..4].iter().filter(|id| said.contains(*id)).count() == 3, "{said}");
    let json = perpring(&["restore", &place, "--list", "--json"]).1;
    assert!(json.contains("\"name\": \"one\"") && json.contains("\"aaaa0000"), "{json}");
    let taken = take(&store, &last(&two), NOW + 999 * HOUR, &mut silent).expect("a backup");
    assert!(taken.kept_all.is_some_and(|why| why.contains(&ids[2])) && taken.removed_backups == 0);
    assert_eq!(kept(), [&ids[0], &ids[3], &taken.id].map(String::clone));
}

#[test]
fn what_makes_no_sense_is_said_before_anything_is_made() {
    let root = TempDir::new();
    let journal = run_in(root.path(), "journal", 5);
    let text = |path: &Path| path.display().to_string();
    let [empty, notes, place, file] = ["empty", "notes", "store", "file"].map(|name| root.path().join(name));
    fs::create_dir(&empty).expect("temporary disk");
    fs::create_dir(&notes).expect("temporary disk");
    fs::write(notes.join("a.txt"), "x").expect("temporary disk");
    fs::write(&file, "mine").expect("temporary disk");
    let inside = journal.join("inside");
    for (dir, to, what) in [
        (&empty, &place, "is empty: name a journal"),
        (&notes, &place, "holds no journal"),
        (&root.path().join("nowhere"), &place, "nowhere"),
        (&journal, &inside, "lies inside of"),
        (&journal, &inside.join("deep"), "lies inside of"),
    ] {
        let (code, said) = perpring(&["backup", &text(dir), "--to", &text(to)]);
        assert!(code == Some(2) && said.contains(what), "{said}");
        assert!(!place.exists() && !inside.exists(), "{said}");
    }
    let (code, said) = perpring(&["restore", &text(&empty), "--list"]);
    assert!(code == Some(0) && said.contains("no backup in"), "{said}");
    let (code, said) = perpring(&["backup", &text(&journal), "--to", &text(&place)]);
    assert!(code == Some(0) && said.contains("sent all") && !said.contains("others"), "{said}");
    let (_, said) = perpring(&["backup", &text(&journal), "--to", &text(&place)]);
    assert!(said.contains("sent nothing"), "{said}");
    let (code, said) = perpring(&["restore", &text(&place), "--to", &text(&file)]);
    assert!(code == Some(2) && said.contains("is no directory"), "{said}");
    assert_eq!(fs::read(&file).expect("untouched"), b"mine");
}

#[test]
fn what_is_stopped_leaves_nothing_behind_and_what_was_killed_goes_with_the_next() {
    let root = TempDir::new();
    let journal = run_in(root.path(), "journal", 5);
    fs::write(journal.join("large.bin"), vec![7; 20 << 20]).expect("temporary disk");
    let (at, there) = (root.path().join("store"), root.path().join("there"));
    let stop = Arc::new(AtomicBool::new(false));
    let stopping = store(&at).until(Arc::clone(&stop));
    let names = |dir: &Path| -> Vec<String> {
        let entries = fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry"));
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    };
    // In the middle of the large file.
    let mut ctrl_c = |done: u64, _: u64, _: &str| stop.store(done > 1 << 20, Ordering::Relaxed);
    let taken = take(&stopping, &plan(&journal), NOW, &mut ctrl_c);
    assert!(matches!(taken, Err(BackupError::Stopped)), "{taken:?}");
    assert!(!names(&at.join("objects")).iter().any(|name| name.starts_with('.')));
    assert!(!at.join("backups").exists());

    let mut child = Command::new("true").spawn().expect("a process");
    let gone = child.id();
    child.wait().expect("its end");
    let part = at.join(format!("objects/.part-{gone}-abc"));
    let left = root.path().join(format!("there.restoring-1970-01-01T00-00-00.000000000Z-{gone}"));
    fs::write(&part, "x").expect("temporary disk");
    fs::create_dir(&left).expect("temporary disk");
    let whole = store(&at);
    take(&whole, &plan(&journal), NOW, &mut silent).expect("a backup");
    assert!(!part.exists() && left.exists());
    stop.store(false, Ordering::Relaxed);
    let mut ctrl_c = |done: u64, _: u64, _: &str| stop.store(done > 1 << 20, Ordering::Relaxed);
    let restored = restore(&stopping, Choice::Newest, &there, &mut ctrl_c);
    assert!(matches!(restored, Err(BackupError::Stopped)), "{restored:?}");
    assert!(!names(root.path()).iter().any(|name| name.starts_with("there")), "{:?}", names(root.path()));
}

#[test]
fn a_place_that_cannot_be_a_store_is_refused_with_what_to_do() {
    for (place, what) in [("s3://", "no bucket"), ("ftp://x/y", "no such kind")] {
        let said = Store::open(place, true).err().expect(place).to_string();
        assert!(said.contains(what) && said.contains("s3://bucket/prefix"), "{said}");
    }
}
