//! `perpring replay`: passes a journal through the engine again, and with `--verify` compares every output.

use super::progress::ProgressBar;
use super::source::Source;
use super::{CliError, Failure};
use crate::domain::calendar;
use crate::domain::event::Seq;
use crate::domain::time::Nanos;
use crate::journal::{Stream, read_mark};
use crate::replay::bundle::file::Bundle;
use crate::replay::cursor::Cursor;
use crate::replay::outputs::record_outputs;
use crate::replay::place::Place;
use crate::replay::verify::{Compare, Report, replay_behind};
use crate::runtime::idle::IdleMode;
use crate::runtime::profile::Layout;
use crate::topology::replayed::replay_on;
use clap::Args;
use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::{Duration, Instant};

/// Arguments of `replay`.
#[derive(Args, Clone, Debug)]
pub struct ReplayArgs {
    /// Directory of the journal, or the file of a bundle.
    pub dir: PathBuf,
    /// Compare every output with the recorded one (exit 1 at the first divergence).
    #[arg(long)]
    pub verify: bool,
    /// Of a bundle: look whether what it expects holds (exit 1 where it does not).
    #[arg(long, conflicts_with_all = ["verify", "from", "to", "speed", "outputs", "snapshots", "cache", "pinning"])]
    pub expect: bool,
    /// First input: its number, a time (2026-11-27T13:40:00Z, 13:40:00.5), or +12.5s after the beginning.
    #[arg(long, value_name = "T|SEQ")]
    pub from: Option<Place>,
    /// Last input, said in the same way.
    #[arg(long, value_name = "T|SEQ")]
    pub to: Option<Place>,
    /// As fast as it goes, or at a multiple of the recorded pace: max, 1x, 10x.
    #[arg(long, default_value = "max")]
    pub speed: Speed,
    /// Leave snapshots behind on the way, so that every later look into the run begins near its place.
    #[arg(long)]
    pub snapshots: bool,
    /// Keep snapshots below this directory and not beside the journal.
    #[arg(long, value_name = "DIR")]
    pub cache: Option<PathBuf>,
    /// Run the stages on the threads of this profile (fused, split, dedicated) or file.
    #[arg(long, value_name = "NAME|FILE", default_value = "fused")]
    pub pinning: String,
    /// How idle threads wait: spin, yield or park.
    #[arg(long, default_value = "yield")]
    pub idle: IdleMode,
    /// Compare nothing; write what this program makes of the recorded inputs to this new directory, as a journal of
    /// outputs alone (what `diff --binary` asks another program for).
    #[arg(long, value_name = "OUT", conflicts_with_all = ["verify", "from", "to", "speed", "snapshots", "cache", "pinning", "json"])]
    pub outputs: Option<PathBuf>,
    /// Write the state of all stages after the last input to this new file, as JSON (what `diff --binary` asks another
    /// program for).
    #[arg(long, value_name = "FILE", conflicts_with_all = ["expect", "outputs", "pinning"])]
    pub state: Option<PathBuf>,
    /// One JSON object instead of text.
    #[arg(long)]
    pub json: bool,
}

/// How fast a replay goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Speed {
    /// As fast as it can.
    Max,
    /// This many times the recorded pace.
    Times(f64),
}

impl FromStr for Speed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let times = text.strip_suffix('x').and_then(|times| times.parse::<f64>().ok());
        match times.filter(|times| times.is_finite() && *times > 0.0) {
            _ if text == "max" => Ok(Self::Max),
            Some(times) => Ok(Self::Times(times)),
            None => Err(format!("{text} is no speed: give max, or a multiple such as 1x, 10x or 0.5x")),
        }
    }
}

impl ReplayArgs {
    /// What is done with the outputs.
    fn compare(&self) -> Compare {
        if self.verify { Compare::Outputs } else { Compare::Nothing }
    }

    /// The whole run, at once.
    fn is_plain(&self) -> bool {
        let places = self.from.is_none() && self.to.is_none();
        places && self.speed == Speed::Max && !self.snapshots && self.cache.is_none() && self.state.is_none()
    }
}

/// Runs the command.
pub fn run(args: &ReplayArgs) -> Result<u8, Failure> {
    if args.expect {
        if !Bundle::is_one(&args.dir) {
            let what = format!("{} is no bundle: only a bundle says what it expects", args.dir.display());
            return Err(CliError::Argument(what).into());
        }
        return super::bundle::expect(&args.dir, args.json);
    }
    let source = Source::open(&args.dir)?;
    of_dir(&ReplayArgs { dir: source.dir().to_owned(), ..args.clone() })
}

/// Of a journal.
fn of_dir(args: &ReplayArgs) -> Result<u8, Failure> {
    if let Some(out) = &args.outputs {
        let bar = ProgressBar::over(&args.dir);
        let inputs = record_outputs(&args.dir, out, &mut |seq| bar.input(seq, "replayed"))?;
        drop(bar);
        say!("inputs replayed: {inputs}; outputs written to {}", out.display())?;
        return Ok(0);
    }
    let plan = super::demo::plan(Some(&args.pinning), Some(args.idle))?;
    let report = if args.is_plain() {
        let bar = ProgressBar::over(&args.dir);
        let progress = &mut |seq| bar.input(seq, "replayed");
        replay_on(&args.dir, &plan, args.compare(), progress)?
    } else if plan.layout == Layout::Fused {
        replay_part(args)?
    } else {
        let what = "--from, --to, --speed, --snapshots and --cache replay on one thread: leave out --pinning";
        return Err(CliError::Argument(what.to_owned()).into());
    };
    if args.json {
        let mut said = serde_json::to_value(&report)?;
        said["verified"] = args.verify.into();
        say!("{}", serde_json::to_string_pretty(&said)?)?;
    } else {
        if let Some(warning) = report.logic.warning() {
            say!("warning: {warning}")?;
        }
        say!("inputs replayed: {}; events: {}", report.inputs, report.events)?;
        if !args.verify {
            say!("no output was compared: --verify does")?;
        }
        for (kind, count) in &report.compared {
            say!("compared {kind:>10}: {count}")?;
        }
        if report.unrecorded > 0 {
            say!("outputs beyond the end of the journal (unclean end): {}", report.unrecorded)?;
        }
        if let Some(state) = report.state {
            say!("state after the last input: {state}")?;
        }
        if let Some(verdict) = report.verdict() {
            say!("{verdict}")?;
        }
    }
    if !args.verify {
        return Ok(0);
    }
    if report.divergence.is_some() {
        return Ok(1);
    }
    if report.total() == 0 {
        let what = if args.is_plain() { "outputs" } else { "outputs there" };
        return Err(format!("nothing to compare: {} holds no {what}", args.dir.display()).into());
    }
    Ok(0)
}

/// A part of the run, from the nearest snapshot.
fn replay_part(args: &ReplayArgs) -> Result<Report, Failure> {
    let mut cursor = Cursor::open_with(&args.dir, args.cache.as_deref())?;
    let bar = ProgressBar::new();
    let run_id = cursor.manifest().run_id.0;
    let end =
        read_mark(&args.dir, Stream::Inputs, run_id).filter(|mark| mark.closed).map_or(0, |mark| mark.seq);
    let from = match args.from {
        None => Seq(1),
        Some(place) => place.first(&mut cursor)?.ok_or_else(|| beyond("--from"))?,
    };
    let to = match args.to {
        None => Seq(u64::MAX),
        Some(place) => place.last(&mut cursor)?.unwrap_or_else(|| {
            if !args.json {
                tell!("perpring: --to lies after the end of the run: all there is is replayed");
            }
            Seq(u64::MAX)
        }),
    };
    if from > to {
        return Err(CliError::Argument("--from lies after --to: nothing could be replayed".to_owned()).into());
    }
    let before = Seq(from.0 - 1);
    cursor.seek(before, &mut (), &mut |seq| bar.show(seq.0, before.0, "going there"))?;
    let is_beyond = cursor.seq() < before || (end > 0 && from.0 > end);
    if is_beyond && cursor.hole().is_none() {
        return Err(beyond("--from").into());
    }
    let whole = to.0.min(end).saturating_sub(before.0);
    let mut pace = Pace::new(args.speed, cursor.now().mono);
    let report = replay_behind(&mut cursor, to, args.compare(), &mut |seq, at| {
        let late = pace.keep(at.mono);
        if late || seq.0.is_multiple_of(1 << 16) {
            let done = seq.0 - before.0;
            bar.show(done, whole, &format!("{}  input {}", calendar::shown(at.wall), seq.0));
        }
    })?;
    if let Some(file) = &args.state {
        // A comparison ends at the first divergence.
        cursor.seek(to, &mut (), &mut |seq| bar.show(seq.0 - before.0, whole, "going on"))?;
        let snapshot = cursor.snapshot()?;
        let made = File::create_new(file).and_then(|mut file| file.write_all(snapshot.state().as_bytes()));
        made.map_err(|source| CliError::Argument(format!("cannot write {}: {source}", file.display())))?;
    }
    drop(bar);
    for told in cursor.snapshots().take_told() {
        tell!("perpring: {told}");
    }
    Ok(report)
}

fn beyond(option: &str) -> CliError {
    CliError::Argument(format!("{option} lies after the end of the run: nothing could be replayed"))
}

/// How often a paced replay shows where it is.
const SHOWN_EVERY: Duration = Duration::from_millis(100);

/// Keeps a replay at a multiple of the recorded pace.
struct Pace {
    times: Option<f64>,
    mono: Nanos,
    begun: Instant,
    shown: Instant,
}

#[allow(clippy::disallowed_methods)] // how fast somebody watches is no part of what is replayed
impl Pace {
    fn new(speed: Speed, mono: Nanos) -> Self {
        let times = match speed {
            Speed::Max => None,
            Speed::Times(times) => Some(times),
        };
        let now = Instant::now();
        Self { times, mono, begun: now, shown: now }
    }

    /// Waits until it is time for what was recorded at `mono`; true when it is time to show it.
    fn keep(&mut self, mono: Nanos) -> bool {
        let Some(times) = self.times else { return false };
        if self.mono == 0 {
            // Before the first input there is no time.
            self.mono = mono;
        }
        let due = self.begun + due_after(mono - self.mono, times);
        let now = Instant::now();
        if let Some(rest) = due.checked_duration_since(now) {
            std::thread::sleep(rest);
        }
        let show = now.duration_since(self.shown) >= SHOWN_EVERY;
        if show {
            self.shown = now;
        }
        show
    }
}

/// How long after the beginning something is due that was recorded `passed` ns after it.
fn due_after(passed: Nanos, times: f64) -> Duration {
    Duration::try_from_secs_f64(passed.max(0) as f64 / 1e9 / times).unwrap_or(Duration::MAX / 4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::SECOND;

    #[test]
    fn a_speed_is_a_multiple_of_the_recorded_pace() {
        for (text, speed) in [("max", Speed::Max), ("1x", Speed::Times(1.0)), ("0.5x", Speed::Times(0.5))] {
            assert_eq!(text.parse(), Ok(speed), "{text}");
        }
        for bad in ["", "x", "0x", "-1x", "infx", "NaNx", "10", "fast"] {
            assert!(bad.parse::<Speed>().expect_err(bad).contains("10x"), "{bad}");
        }
        assert_eq!(due_after(3 * SECOND, 10.0), Duration::from_millis(300));
        assert_eq!(due_after(-1, 1.0), Duration::ZERO, "time never steps back");
    }
}
