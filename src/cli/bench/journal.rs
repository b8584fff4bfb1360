//! `perpring bench journal`: what recording costs, each figure beside its floor of the same run.
//!
//! Hand-off: batches of appends of 128 bytes on one thread, divided by their number, so that the clock does not
//! count; the floor copies the same bytes into mapped memory. Sustained: half a gigabyte as fast as it goes, rolls
//! and the helper's zero-writing included; the floor writes as many bytes to a file beside it. Scan: the reader that
//! recovery uses, over what was just written; the floor reads the bytes. Compression: the journal of a simulated run of
//! five venues, and any capture that is named. Write-ahead: the gate and the recorder of the engine, on two threads.

pub mod append;
pub mod frames;
pub mod gate;

use super::wire::Tail;
use crate::cli::Failure;
use crate::cli::progress::ProgressBar;
use crate::domain::time::{Nanos, SECOND};
use crate::runtime::affinity::AllowedCpus;
use crate::runtime::clock::{Clock, ClockOrigin};
use clap::Args;
use serde::Serialize;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// Bytes of a record's body in the hand-off and in the first sustained row.
pub const RECORD_BYTES: usize = 128;
/// Longest median of a hand-off, ns.
const HAND_OFF_NS: f64 = 60.0;
/// Records of 128 bytes a second.
const RECORDS_PER_S: f64 = 2e6;
/// Megabytes a second with large records.
const MB_PER_S: f64 = 500.0;
/// Gigabytes a second that recovery reads.
const SCAN_GB_PER_S: f64 = 1.0;
/// Bytes before compression to bytes after.
const COMPRESSION: f64 = 4.0;
/// Fewer cores cannot tell how fast recording is: the helper works beside the writer.
const CORES_TO_JUDGE: usize = 4;

/// Arguments of `bench journal`.
#[derive(Args, Debug)]
pub struct JournalBenchArgs {
    /// Seconds in all, about.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub seconds: u64,
    /// Where to write: a directory on the file system that is to be measured, made if it is not there. Needs 2 GiB; left as it was found.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Measure compression on this capture too (see `perpring decode --help`); may be repeated.
    #[arg(long = "frames", value_name = "FILE")]
    pub frames: Vec<PathBuf>,
    /// One JSON object instead of text.
    #[arg(long)]
    pub json: bool,
}

/// The report; its keys are stable.
#[derive(Debug, Serialize)]
pub struct JournalReport {
    /// Cores that the process may use.
    pub cores: usize,
    /// Bytes of a record's body in `hand_off_ns`.
    pub record_bytes: usize,
    /// One append, ns.
    pub hand_off_ns: Tail,
    /// The same bytes copied into mapped memory, ns.
    pub hand_off_floor_ns: Tail,
    /// As fast as it goes, by size of record.
    pub sustained: Vec<Sustained>,
    /// Reading it all again, by size of record.
    pub scan: Vec<Scan>,
    /// What compression makes of inputs.
    pub compression: Vec<Compression>,
    /// How long an opening order waits at the egress gate for its record.
    pub write_ahead: Vec<Wait>,
    /// What should hold.
    pub targets: Vec<Target>,
}

/// Throughput of one size of record.
#[derive(Debug, Serialize)]
pub struct Sustained {
    /// Bytes of a record's body.
    pub record_bytes: usize,
    /// Records a second.
    pub records_per_s: u64,
    /// Megabytes of bodies a second.
    pub mb_per_s: f64,
    /// Megabytes a second that plain writes to the same file system reach.
    pub floor_mb_per_s: f64,
    /// Rolls that had to wait for the next segment.
    pub roll_waits: u64,
}

/// Speed of the recovery scan.
#[derive(Debug, Serialize)]
pub struct Scan {
    /// Bytes of a record's body.
    pub record_bytes: usize,
    /// Gigabytes of segments a second.
    pub gb_per_s: f64,
    /// Gigabytes a second that reading the files alone reaches.
    pub floor_gb_per_s: f64,
}

/// Compression of the inputs of one journal.
#[derive(Debug, Serialize)]
pub struct Compression {
    /// `simulated`, or the file.
    pub source: String,
    /// Bytes before.
    pub raw_bytes: u64,
    /// Bytes after.
    pub packed_bytes: u64,
    /// The one to the other.
    pub ratio: f64,
}

/// The wait of opening orders in one mode.
#[derive(Debug, Serialize)]
pub struct Wait {
    /// `fused`: recorded inline; `split`: by a thread of its own.
    pub layout: &'static str,
    /// `off`, `written` or `synced`.
    pub mode: &'static str,
    /// From the order's readiness to its passing the gate, ns.
    pub wait_ns: Tail,
}

/// A target and whether it is met.
#[derive(Debug, Serialize)]
pub struct Target {
    /// What is compared.
    pub name: &'static str,
    /// The limit.
    pub limit: f64,
    /// The figure; absent without enough samples.
    pub measured: Option<f64>,
    /// Whether it is met; absent when this machine cannot judge.
    pub pass: Option<bool>,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, limit, measured, pass } = self;
        let measured = measured.map_or_else(|| "-".to_owned(), |value| format!("{value:.2}"));
        let verdict = match pass {
            Some(true) => "met",
            Some(false) => "MISSED",
            None => "not judged",
        };
        write!(f, "{name}: {measured} (limit {limit}): {verdict}")
    }
}

/// Runs the command.
///
/// # Errors
/// When nothing can be written or a capture cannot be read.
pub fn run(args: &JournalBenchArgs) -> Result<u8, Failure> {
    let report = measure(args)?;
    if args.json {
        say!("{}", serde_json::to_string_pretty(&report)?)?;
    } else {
        print(&report)?;
    }
    Ok(0)
}

fn print(report: &JournalReport) -> Result<(), Failure> {
    let text = |value: Option<u64>| value.map_or_else(|| "-".to_owned(), |value| value.to_string());
    let row = |name: &str, tail: &Tail| {
        let [p50, p90, p99, p999, max] = [tail.p50, tail.p90, tail.p99, tail.p999, tail.max].map(text);
        format!("{name:>16} {:>9} {p50:>8} {p90:>8} {p99:>9} {p999:>10} {max:>11}", tail.count)
    };
    say!("{} cores; ns", report.cores)?;
    say!("{:>16} {:>9} {:>8} {:>8} {:>9} {:>10} {:>11}", "", "count", "p50", "p90", "p99", "p99.9", "max")?;
    say!("{}", row("append 128 B", &report.hand_off_ns))?;
    say!("{}", row("floor: copy", &report.hand_off_floor_ns))?;
    for wait in &report.write_ahead {
        say!("{}", row(&format!("{} {}", wait.layout, wait.mode), &wait.wait_ns))?;
    }
    for row in &report.sustained {
        say!(
            "records of {} B: {} a second, {:.0} MB/s; floor {:.0} MB/s; {} rolls waited",
            row.record_bytes,
            row.records_per_s,
            row.mb_per_s,
            row.floor_mb_per_s,
            row.roll_waits
        )?;
    }
    for row in &report.scan {
        say!(
            "scan of {} B records: {:.2} GB/s; floor {:.2} GB/s",
            row.record_bytes,
            row.gb_per_s,
            row.floor_gb_per_s
        )?;
    }
    for row in &report.compression {
        let Compression { source, raw_bytes, packed_bytes, ratio } = row;
        say!("compression of {source}: {raw_bytes} to {packed_bytes} bytes, {ratio:.1} : 1")?;
    }
    for target in &report.targets {
        say!("{target}")?;
    }
    Ok(())
}

/// What all parts work with.
pub struct Bench<'a> {
    /// Where files may be made.
    pub dir: &'a Path,
    /// This thread's clock.
    pub clock: Clock,
    /// Time for each part, ns.
    pub share: Nanos,
}

/// Measures for about the seconds asked for.
///
/// # Errors
/// See [`run`].
pub fn measure(args: &JournalBenchArgs) -> Result<JournalReport, Failure> {
    let bar = ProgressBar::new();
    let scratch = Scratch::create(args.dir.as_deref())?;
    let cores = AllowedCpus::capture().count();
    let share = args.seconds.clamp(1, 3_600) as Nanos * SECOND / 6;
    let mut bench = Bench { dir: scratch.path(), clock: ClockOrigin::begin().clock(), share };
    bar.show(0, 6, "hand-off of a record");
    let (hand_off, floor) = append::hand_off(&mut bench)?;
    let (mut sustained, mut scan) = (Vec::new(), Vec::new());
    for (part, bytes) in [(1, RECORD_BYTES), (2, 4096)] {
        bar.show(part, 6, &format!("records of {bytes} bytes"));
        let (written, read) = append::sustained(&mut bench, bytes)?;
        sustained.push(written);
        scan.push(read);
    }
    bar.show(3, 6, "the write-ahead gate");
    let write_ahead = gate::waits(&mut bench)?;
    bar.show(5, 6, "compression");
    let compression = frames::compression(&bench, &args.frames)?;
    drop(bar);
    let fit = cores >= CORES_TO_JUDGE;
    let hand_off = Tail::of(hand_off.histogram());
    let least = |values: &mut dyn Iterator<Item = f64>| values.reduce(f64::min);
    let targets = vec![
        target("hand-off p50, ns", HAND_OFF_NS, hand_off.p50.map(|ns| ns as f64), fit, f64::le),
        target(
            "records of 128 B a second",
            RECORDS_PER_S,
            sustained.first().map(|row| row.records_per_s as f64),
            fit,
            f64::ge,
        ),
        target("MB/s of 4 KiB records", MB_PER_S, sustained.last().map(|row| row.mb_per_s), fit, f64::ge),
        target("scan, GB/s", SCAN_GB_PER_S, least(&mut scan.iter().map(|row| row.gb_per_s)), fit, f64::ge),
        // A matter of bytes, the same on every machine.
        target(
            "compression",
            COMPRESSION,
            least(&mut compression.iter().map(|row| row.ratio)),
            true,
            f64::ge,
        ),
    ];
    Ok(JournalReport {
        cores,
        record_bytes: RECORD_BYTES,
        hand_off_ns: hand_off,
        hand_off_floor_ns: Tail::of(floor.histogram()),
        sustained,
        scan,
        compression,
        write_ahead,
        targets,
    })
}

/// A target and the verdict on it; `judge` = this machine can tell.
pub(super) fn target(
    name: &'static str,
    limit: f64,
    measured: Option<f64>,
    judge: bool,
    holds: fn(&f64, &f64) -> bool,
) -> Target {
    Target { name, limit, measured, pass: measured.filter(|_| judge).map(|value| holds(&value, &limit)) }
}

/// Directories that were made on the way to another one, the innermost first; gone with the value, but for those in which
/// something else lies by then.
struct Made(Vec<PathBuf>);

impl Made {
    /// Makes `dir` unless it is there.
    fn way_to(dir: &Path) -> std::io::Result<Self> {
        let missing = |dir: &&Path| !dir.as_os_str().is_empty() && !dir.exists();
        let made = Self(dir.ancestors().take_while(missing).map(Path::to_owned).collect());
        std::fs::create_dir_all(dir)?;
        Ok(made)
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        for dir in &self.0 {
            let _ = std::fs::remove_dir(dir); // not empty: somebody else uses it
        }
    }
}

/// A directory of the bench, gone with the value.
pub(super) struct Scratch {
    path: PathBuf,
    /// Removed behind it.
    _made: Made,
}

impl Scratch {
    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes it in `parent`, which is made, too, or where the system keeps temporary files.
    pub(super) fn create(parent: Option<&Path>) -> Result<Self, Failure> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let parent = parent.map_or_else(std::env::temp_dir, Path::to_owned);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = parent.join(format!("perpring-bench-{}-{number}", std::process::id()));
        let failed = |e: std::io::Error| {
            format!("cannot make a directory in {}: {e}; name another one with --dir", parent.display())
        };
        let made = Made::way_to(&parent).map_err(failed)?;
        std::fs::create_dir(&path).map_err(failed)?;
        Ok(Self { path, _made: made })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path); // what is left is in a temporary directory
    }
}
