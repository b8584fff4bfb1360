//! Passes over a whole journal: its floors, the stages one after the other, the replay; and the memory that one takes.

use super::{Bench, JournalFigures, Memory, Pass};
use crate::cli::Failure;
use crate::cli::progress::ProgressBar;
use crate::domain::effect::OutMsg;
use crate::domain::event::{Event, EventBody, Seq};
use crate::domain::input::{Input, InputClass, RawInput};
use crate::domain::intent::{Denial, Intent, NearMiss};
use crate::domain::output::OutputKey;
use crate::domain::time::{Nanos, SECOND, Stamp};
use crate::journal::{Reader, Stream, read_mark};
use crate::replay::cursor::Cursor;
use crate::replay::source::{Inputs, read_config};
use crate::replay::verify::{Compare, Report, replay, replay_behind};
use crate::stage::river::{Parts, Tap};
use rustix::time::{ClockId, clock_gettime};
use std::fs::{self, File};
use std::hint::black_box;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Bytes that the floor reads at once.
const BLOCK_BYTES: usize = 256 << 10;

/// What a row is called, and its pass over the journal.
type Row = (&'static str, fn(&Path) -> Result<(), Failure>);

/// The rows, in the order in which they are measured.
const ROWS: [Row; 7] = [
    ("files", files),
    ("records", records),
    ("inputs", inputs),
    ("decode", |dir| {
        decode(dir, &mut |event| {
            black_box(event);
        })
    }),
    ("scan", scan),
    ("replay", |dir| whole(dir, Compare::Nothing).map(drop)),
    ("verify", |dir| whole(dir, Compare::Outputs).map(drop)),
];

/// Counts what passes.
impl Tap for JournalFigures {
    fn input(&mut self, _seq: Seq, _at: Stamp, _class: InputClass, raw: &RawInput<'_>) {
        self.inputs += 1;
        self.frames += u64::from(matches!(raw.input, Input::Frame(_)));
        self.made = 0;
    }
    fn event(&mut self, event: &Event) {
        self.made += 1;
        self.best_prices += u64::from(matches!(event.body, EventBody::Bbo(_)));
    }
    fn intent(&mut self, _key: OutputKey, _intent: &Intent) {}
    fn approved(&mut self, _key: OutputKey, _intent: &Intent) {}
    fn denied(&mut self, _key: OutputKey, _denial: &Denial) {}
    fn message(&mut self, _key: OutputKey, _message: &OutMsg) {}
    fn near_miss(&mut self, _key: OutputKey, _miss: &NearMiss) {}
    fn state(&mut self, _key: OutputKey, _hash: u64) {}
    fn end(&mut self, _seq: Seq) {
        self.events += self.made.max(1);
    }
}

/// What the journal consists of.
///
/// # Errors
/// It cannot be read.
pub fn figures(dir: &Path) -> Result<JournalFigures, Failure> {
    let mut figures = JournalFigures::default();
    let mut cursor = Cursor::open(dir)?;
    cursor.snapshots().set_spacing(0);
    while cursor.step(&mut figures)? {}
    let run_id = cursor.manifest().run_id.0;
    let bytes = |stream| read_mark(dir, stream, run_id).map_or(0, |mark| mark.position);
    figures.input_bytes = bytes(Stream::Inputs);
    figures.bytes = figures.input_bytes + bytes(Stream::Outputs);
    for path in segments(dir, "")? {
        figures.file_bytes += fs::metadata(path)?.len();
    }
    Ok(figures)
}

/// Measures every row, round by round; the best of each.
///
/// # Errors
/// The journal's.
pub fn measure(
    bench: &mut Bench<'_>,
    journal: &JournalFigures,
    rounds: u64,
    bar: &ProgressBar,
) -> Result<Vec<Pass>, Failure> {
    let mut best = [[Nanos::MAX; 2]; ROWS.len()];
    for round in 0..rounds {
        for (row, (what, pass)) in ROWS.into_iter().enumerate() {
            bar.show(round * ROWS.len() as u64 + row as u64, rounds * ROWS.len() as u64, what);
            let began = [bench.clock.mono_ns(), cpu_ns()];
            pass(bench.dir)?;
            let ended = [bench.clock.mono_ns(), cpu_ns()];
            for (best, (ended, began)) in best[row].iter_mut().zip(ended.into_iter().zip(began)) {
                *best = (*best).min(ended - began);
            }
        }
    }
    let of = |((what, _), ns): ((&'static str, _), [Nanos; 2])| {
        let [ns, cpu_ns] = ns.map(|ns| ns.max(1) as f64);
        let per_s = |count: u64| (count as f64 * 1e9 / ns) as u64;
        Pass {
            what,
            inputs_per_s: per_s(journal.inputs),
            events_per_s: per_s(journal.events),
            ns_per_input: ns / journal.inputs.max(1) as f64,
            cpu_ns_per_input: cpu_ns / journal.inputs.max(1) as f64,
        }
    };
    Ok(ROWS.into_iter().zip(best).map(of).collect())
}

/// Processor time of this thread.
fn cpu_ns() -> Nanos {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec * SECOND + time.tv_nsec
}

/// The files of the segments whose names begin in that way.
fn segments(dir: &Path, begin: &str) -> Result<Vec<PathBuf>, Failure> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    paths.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(begin) && (name.ends_with(".seg") || name.ends_with(".seg.zst"))
    });
    Ok(paths)
}

fn files(dir: &Path) -> Result<(), Failure> {
    let mut block = vec![0; BLOCK_BYTES];
    for path in segments(dir, "inputs-")? {
        let mut file = File::open(path)?;
        while file.read(&mut block)? > 0 {
            black_box(&mut block);
        }
    }
    Ok(())
}

fn records(dir: &Path) -> Result<(), Failure> {
    let mut reader = Reader::open(dir, Stream::Inputs)?;
    while let Some(record) = reader.next()? {
        black_box(record.body);
    }
    Ok(())
}

fn inputs(dir: &Path) -> Result<(), Failure> {
    let mut inputs = Inputs::open(dir)?;
    while let Some(input) = inputs.next()? {
        black_box(input);
    }
    Ok(())
}

/// Every input through decode.
fn decode(dir: &Path, sink: &mut impl FnMut(&Event)) -> Result<(), Failure> {
    let (_, _, config) = read_config(dir)?;
    let Parts { mut decode, .. } = Parts::new(&config.params, config.trading)?;
    let mut inputs = Inputs::open(dir)?;
    while let Some((_, raw)) = inputs.next()? {
        let (seq, at) = decode.sequence(&raw);
        decode.on_input(&raw, seq, at, sink);
    }
    Ok(())
}

/// Every input through decode and scan.
fn scan(dir: &Path) -> Result<(), Failure> {
    let (_, _, config) = read_config(dir)?;
    let Parts { mut scan, .. } = Parts::new(&config.params, config.trading)?;
    decode(dir, &mut |event| {
        scan.on_event(event, &mut |made| {
            black_box(made);
        });
    })
}

/// The replay as the command makes it.
fn whole(dir: &Path, compare: Compare) -> Result<Report, Failure> {
    let report = replay(dir, compare, &mut |_| {})?;
    match &report.divergence {
        Some(divergence) => Err(format!("the journal does not replay: {divergence}").into()),
        None => Ok(report),
    }
}

/// The peaks of memory of a replay of a quarter of the journal and of the whole.
///
/// # Errors
/// The journal's.
pub fn memory(bench: &Bench<'_>, journal: &JournalFigures) -> Result<Memory, Failure> {
    let peak = |work: &mut dyn FnMut() -> Result<(), Failure>| {
        // 5 = the peak counts from here.
        let told = fs::write("/proc/self/clear_refs", "5").is_ok();
        work()?;
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kb = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        Ok::<_, Failure>(kb.filter(|_| told))
    };
    let quarter = Seq(journal.inputs / 4);
    let quarter_kb = peak(&mut || {
        let mut cursor = Cursor::open(bench.dir)?;
        cursor.snapshots().set_spacing(0);
        replay_behind(&mut cursor, quarter, Compare::Nothing, &mut |_, _| {})?;
        Ok(())
    })?;
    let whole_kb = peak(&mut || whole(bench.dir, Compare::Nothing).map(drop))?;
    let verify_kb = peak(&mut || whole(bench.dir, Compare::Outputs).map(drop))?;
    Ok(Memory { quarter_kb, whole_kb, verify_kb })
}
