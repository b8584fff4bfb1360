//! A writer that is killed at any moment: nothing that was appended is lost, nothing that was synchronised is in
//! doubt, and what housekeeping was doing can be gone on with.
//!
//! `PERPRING_KILLS=200` runs so many kills; without it a short form.
#![allow(clippy::disallowed_methods)] // a deadline, and random moments

use perpring::journal::{
    Housekeeper, Housekeeping, JournalOptions, Manifest, Reader, Record, RunId, Stream, SyncPolicy, Writer,
    pack, recover, verify,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const DIR: &str = "PERPRING_CRASH_DIR";
const SEED: &str = "PERPRING_CRASH_SEED";

fn body(seq: u64) -> Vec<u8> {
    let len = [0, 96, 128, 700, 96, 96, 9000, 20][seq as usize % 8] + (seq as usize * 7) % 64;
    (0..len).map(|i| (seq as usize * 31 + i * 7) as u8 | 1).collect()
}

fn run_id(seed: u64) -> u128 {
    u128::from(seed) + 1
}

/// What the writer has promised: the last input appended, the last output, the last input on the disk.
struct Promises(File);

impl Promises {
    fn make(&self, at: u64, seq: u64) {
        self.0.write_all_at(&seq.to_le_bytes(), 8 * at).expect("page cache");
    }

    fn read(dir: &Path) -> [u64; 3] {
        let mut bytes = [0; 24];
        let read = File::open(dir.join("promises")).and_then(|file| file.read_exact_at(&mut bytes, 0));
        if read.is_err() {
            return [0; 3];
        }
        [0, 1, 2].map(|at| u64::from_le_bytes(std::array::from_fn(|i| bytes[8 * at + i])))
    }
}

/// The writer; started by the test below and killed by it.
#[test]
#[ignore = "the child of a_writer_killed_at_any_moment_loses_nothing"]
fn child() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let dir = Path::new(&dir);
    let seed: u64 = std::env::var(SEED).expect("a seed").parse().expect("a number");
    let promises = OpenOptions::new().write(true).create(true).truncate(true).open(dir.join("promises"));
    let promises = Promises(promises.expect("a file"));
    promises.0.set_len(24).expect("page cache");
    let sync = [SyncPolicy::None, SyncPolicy::Async, SyncPolicy::Sync][seed as usize % 3];
    let options = JournalOptions {
        segment_bytes: 64 << 10,
        sync,
        sync_every: Duration::from_millis(1),
        ..JournalOptions::default()
    };
    let manifest = Manifest { run_id: RunId(run_id(seed)), schema_hash: 5, ..Manifest::default() };
    let journal = dir.join("journal");
    let mut inputs = Writer::create(&journal, Stream::Inputs, &manifest, &options).expect("fresh");
    let mut outputs = Writer::create(&journal, Stream::Outputs, &manifest, &options).expect("fresh");
    let keep = Housekeeping { every: Duration::from_millis(1), ..Housekeeping::default() };
    let marks = [inputs.watermark(), outputs.watermark()];
    let _keeper = Housekeeper::start(&journal, marks, 64 << 10, &keep, None).expect("a thread");
    for seq in 1.. {
        let bytes = body(seq);
        let record = Record { kind: 4, class: 1, seq, time_ns: seq as i64, parts: &[&bytes] };
        inputs.append(&record).expect("room");
        promises.make(0, seq);
        outputs.append(&record).expect("room");
        promises.make(1, seq);
        if sync == SyncPolicy::Sync && seq % 64 == 0 {
            inputs.sync().expect("disk");
        }
        promises.make(2, inputs.watermark().synced_seq());
    }
}

/// A directory in memory where there is such a file system: what survives a process does not depend on the disk, and
/// many synchronisations cost nothing there.
struct Memory(PathBuf);

impl Memory {
    fn new(seed: u64) -> Self {
        let memory = Path::new("/dev/shm");
        let root = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let dir = root.join(format!("perpring-crash-{}-{seed}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).expect("a directory");
        Self(dir)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Kills a writer once it has promised so much and a little later; what is left must keep every promise.
fn kill_one(seed: u64) -> u64 {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let scratch = Memory::new(seed);
    let dir = &scratch.0;
    let mut writer = Command::new(std::env::current_exe().expect("this program"))
        .args(["crash::child", "--exact", "--ignored", "--nocapture"])
        .env(DIR, dir)
        .env(SEED, seed.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("a process");
    let (enough, begun) = (rng.random_range(1..3000), Instant::now());
    while Promises::read(dir)[0] < enough {
        assert!(begun.elapsed().as_secs() < 120, "the writer writes: {:?}", writer.try_wait());
        std::thread::yield_now();
    }
    (0..rng.random_range(0..20_000)).for_each(|_| std::hint::spin_loop());
    writer.kill().expect("SIGKILL");
    writer.wait().expect("it is gone");
    let [input, output, synced] = Promises::read(dir);
    let journal = dir.join("journal");
    let verdict = recover(&journal).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
    for (found, promised) in verdict.streams.iter().zip([input.max(synced), output]) {
        let last = found.last_seq.unwrap_or(0);
        // At most the record whose promise was not made yet.
        assert!((promised..=promised + 1).contains(&last), "seed {seed}: {found}, promised {promised}");
        let mut reader = Reader::open(&journal, found.stream).expect("recovered");
        for seq in 1..=last {
            let record = reader.next().expect("whole").expect("there");
            assert_eq!((record.seq, record.body), (seq, &body(seq)[..]), "seed {seed}: {found}");
        }
        assert_eq!(reader.next().expect("whole"), None);
    }
    let report = verify(&journal).expect("readable");
    assert_eq!(report.damages(), 0, "seed {seed}: {} {}", report.streams[0], report.streams[1]);
    pack(&journal, 1).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
    let report = verify(&journal).expect("readable");
    assert_eq!(report.damages(), 0, "seed {seed}: {} {}", report.streams[0], report.streams[1]);
    for stream in &report.streams {
        assert_eq!(stream.chained, stream.segments, "seed {seed}: all that is closed is chained: {stream}");
    }
    report.streams[0].packed
}

#[test]
fn a_writer_killed_at_any_moment_loses_nothing() {
    let kills = std::env::var("PERPRING_KILLS").ok().and_then(|n| n.parse::<u64>().ok()).unwrap_or(6);
    let packed: u64 = (0..kills).map(kill_one).sum();
    println!("{kills} kills, {packed} segments were compressed");
    assert!(packed > 0, "housekeeping was at work");
}
