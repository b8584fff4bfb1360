//! `perpring bench replay`: how fast a recorded run passes again, and how soon one is at a place in it.
//!
//! Records a run of the simulated world in which nearly every frame is a best price, as a run leaves it: closed
//! segments compressed, or with `--raw` as they were written. Then, each over the whole journal and in turns: the floors
//! (reading the files, checking the records, decoding the inputs), the stages one after the other, the replay without
//! and with comparison. What a stage costs is the difference of two rows. Memory: the peak of a replay of a quarter of
//! the journal and of the whole. Places: snapshots on the way, then seeks to places that a fixed sequence draws, with the
//! files forgotten by the page cache.

pub mod passes;
pub mod places;
pub mod record;

use super::journal::{Scratch, Target, target};
use crate::cli::Failure;
use crate::cli::progress::ProgressBar;
use crate::domain::event::Seq;
use crate::replay::snapshot::SPACING;
use crate::runtime::affinity::AllowedCpus;
use crate::runtime::clock::{Clock, ClockOrigin};
use clap::Args;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Events a second on one thread.
const EVENTS_PER_S: f64 = 2e6;
/// Longest seek, ms.
const SEEK_MS: f64 = 1_000.0;
/// How much of the inputs between a quarter and the whole the peak of memory may have grown by: what a replay learns of a
/// market fills windows of fixed sizes, and what it has read is gone.
const KEPT: f64 = 0.05;
/// Bytes of inputs from which that can be told: the windows are filled in the first part of a run.
const KEPT_BYTES_MIN: u64 = 100_000_000;

/// Arguments of `bench replay`.
#[derive(Args, Debug)]
pub struct ReplayBenchArgs {
    /// Size of the journal that is recorded, GB before compression.
    #[arg(long, default_value_t = 0.5)]
    pub gb: f64,
    /// Where to write it: a directory with as much room, made if it is not there. Left as it was found.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Leave closed segments as they were written.
    #[arg(long)]
    pub raw: bool,
    /// Measure this journal and record none. Snapshots are left beside it.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["gb", "dir", "raw"])]
    pub journal: Option<PathBuf>,
    /// Rounds of every row; the best counts, because what disturbs them only ever makes them slower.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=100))]
    pub rounds: u64,
    /// Seeks.
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub seeks: u64,
    /// Inputs between two snapshots.
    #[arg(long, default_value_t = SPACING, value_parser = clap::value_parser!(u64).range(1..))]
    pub spacing: u64,
    /// One JSON object instead of text.
    #[arg(long)]
    pub json: bool,
}

/// The report; its keys are stable.
#[derive(Debug, Serialize)]
pub struct ReplayBenchReport {
    /// Cores that the process may use.
    pub cores: usize,
    /// What was replayed.
    pub journal: JournalFigures,
    /// Every pass over the journal.
    pub passes: Vec<Pass>,
    /// Peaks of memory.
    pub memory: Memory,
    /// Snapshots and what they cost.
    pub snapshots: SnapshotFigures,
    /// Going to a place.
    pub seek: SeekFigures,
    /// What should hold.
    pub targets: Vec<Target>,
}

/// The journal.
#[derive(Clone, Debug, Default, Serialize)]
pub struct JournalFigures {
    /// Inputs.
    pub inputs: u64,
    /// Inputs that are frames.
    pub frames: u64,
    /// Typed events, and one for every input that made none.
    pub events: u64,
    /// Best prices among the events.
    pub best_prices: u64,
    /// Bytes of both streams before compression.
    pub bytes: u64,
    /// Bytes of their files.
    pub file_bytes: u64,
    /// Bytes of the inputs before compression.
    pub input_bytes: u64,
    /// Events that the present input has made, while they are counted.
    #[serde(skip)]
    pub made: u64,
}

/// A pass over the whole journal.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Pass {
    /// `files`: the bytes of the files of the inputs alone; `records`: with their checksums; `inputs`: decoded; `decode`,
    /// `scan`: the stages up to that one; `replay`: all of them, as `perpring replay`; `verify`: with every output
    /// compared.
    pub what: &'static str,
    /// Inputs a second.
    pub inputs_per_s: u64,
    /// Events a second.
    pub events_per_s: u64,
    /// Time for an input, ns.
    pub ns_per_input: f64,
    /// Processor time of the thread for an input, ns: the same, but for what neighbours take.
    pub cpu_ns_per_input: f64,
}

/// Peak of resident memory, kB; absent where the system does not tell.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Memory {
    /// While a quarter of the inputs was replayed.
    pub quarter_kb: Option<u64>,
    /// While all of them were.
    pub whole_kb: Option<u64>,
    /// The same, with every output compared.
    pub verify_kb: Option<u64>,
}

/// Snapshots of the run.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct SnapshotFigures {
    /// Inputs between two.
    pub spacing: u64,
    /// How many there are.
    pub count: u64,
    /// Bytes of the largest state.
    pub state_bytes: u64,
    /// Bytes of all their files.
    pub file_bytes: u64,
    /// Making and keeping one, ms; the median.
    pub save_ms: f64,
    /// Reading one and putting it into new stages, ms; the median.
    pub load_ms: f64,
}

/// Seeks, each from nothing: manifest, configuration, snapshot, index, the inputs behind it.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct SeekFigures {
    /// How many.
    pub count: u64,
    /// Median, ms.
    pub p50_ms: f64,
    /// The longest, ms.
    pub max_ms: f64,
    /// Inputs replayed behind the snapshot, in the longest.
    pub max_inputs: u64,
}

/// Runs the command.
///
/// # Errors
/// When nothing can be written or the journal cannot be replayed.
pub fn run(args: &ReplayBenchArgs) -> Result<u8, Failure> {
    let report = measure(args)?;
    if args.json {
        say!("{}", serde_json::to_string_pretty(&report)?)?;
    } else {
        print(&report)?;
    }
    Ok(0)
}

fn print(report: &ReplayBenchReport) -> Result<(), Failure> {
    let JournalFigures { inputs, frames, events, best_prices, bytes, file_bytes, .. } = report.journal;
    say!(
        "{} cores; {inputs} inputs ({frames} frames), {events} events ({best_prices} best prices), {bytes} bytes in \
         {file_bytes}",
        report.cores
    )?;
    say!("{:>8} {:>12} {:>12} {:>10} {:>10}", "", "inputs/s", "events/s", "ns/input", "cpu ns")?;
    for pass in &report.passes {
        let Pass { what, inputs_per_s, events_per_s, ns_per_input, cpu_ns_per_input } = pass;
        say!(
            "{what:>8} {inputs_per_s:>12} {events_per_s:>12} {ns_per_input:>10.1} {cpu_ns_per_input:>10.1}"
        )?;
    }
    let kb = |value: Option<u64>| value.map_or_else(|| "-".to_owned(), |value| value.to_string());
    let Memory { quarter_kb, whole_kb, verify_kb } = report.memory;
    let [quarter, whole, verify] = [quarter_kb, whole_kb, verify_kb].map(kb);
    say!("peak memory, kB: a quarter {quarter}, the whole {whole}, compared {verify}")?;
    let SnapshotFigures { spacing, count, state_bytes, file_bytes, save_ms, load_ms } = report.snapshots;
    say!(
        "snapshots every {spacing} inputs: {count}, {file_bytes} bytes in all; a state of {state_bytes} bytes is saved in \
         {save_ms:.1} ms and loaded in {load_ms:.1} ms"
    )?;
    let SeekFigures { count, p50_ms, max_ms, max_inputs } = report.seek;
    say!(
        "{count} seeks: median {p50_ms:.0} ms, longest {max_ms:.0} ms ({max_inputs} inputs behind its snapshot)"
    )?;
    for target in &report.targets {
        say!("{target}")?;
    }
    Ok(())
}

/// What all parts work with.
pub struct Bench<'a> {
    /// The journal.
    pub dir: &'a Path,
    /// This thread's clock.
    pub clock: Clock,
}

/// Records a journal, unless one is named, and measures it.
///
/// # Errors
/// See [`run`].
pub fn measure(args: &ReplayBenchArgs) -> Result<ReplayBenchReport, Failure> {
    let bar = ProgressBar::new();
    let scratch = Scratch::create(args.dir.as_deref())?;
    let recorded = scratch.path().join("journal");
    let dir = match &args.journal {
        Some(dir) => dir,
        None => {
            record::record(&recorded, (args.gb * 1e9) as u64, args.raw, &bar)?;
            &recorded
        }
    };
    let mut bench = Bench { dir, clock: ClockOrigin::begin().clock() };
    let journal = passes::figures(dir)?;
    let memory = passes::memory(&bench, &journal)?;
    let passes = passes::measure(&mut bench, &journal, args.rounds, &bar)?;
    let snapshots = places::snapshots(&mut bench, args.spacing, &bar)?;
    let seek = places::seek(&mut bench, Seq(journal.inputs), args.seeks, &bar)?;
    drop(bar);
    let pass = |what: &str| passes.iter().find(|pass| pass.what == what);
    let kept = memory.whole_kb.zip(memory.quarter_kb).map(|(whole, quarter)| {
        whole.saturating_sub(quarter) as f64 * 1024.0 / (journal.input_bytes.max(1) as f64 * 0.75)
    });
    // The replay is one thread, and no seek has more: two cores can tell.
    let targets = vec![
        target("events a second", EVENTS_PER_S, pass("replay").map(|p| p.events_per_s as f64), true, f64::ge),
        target("longest seek, ms", SEEK_MS, Some(seek.max_ms), true, f64::le),
        target("memory kept ÷ inputs read", KEPT, kept, journal.input_bytes >= KEPT_BYTES_MIN, f64::le),
    ];
    Ok(ReplayBenchReport {
        cores: AllowedCpus::capture().count(),
        journal,
        passes,
        memory,
        snapshots,
        seek,
        targets,
    })
}
