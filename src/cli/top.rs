//! `perpring top`: a run seen from outside, by its counters and its distinct errors, while it runs and after it has
//! ended or crashed. Reads two mapped files and nothing of the engine.
#![allow(clippy::disallowed_methods)] // its own pace

use super::error::CliError;
use super::{Failure, Signals};
use crate::telemetry::counters::{CountersReader, Kind, Reading};
use crate::telemetry::errors::{ErrorEntry, read_errors};
use crate::topology::observer::{COUNTERS_FILE, ERRORS_FILE};
use clap::Args;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::text::{Line, Text};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Arguments of `top`.
#[derive(Args, Clone, Debug)]
pub struct TopArgs {
    /// Directory of a run, or of runs (the newest is taken), or the process id of a running engine.
    #[arg(value_name = "DIR|PID")]
    pub target: String,
    /// Once, as text.
    #[arg(long)]
    pub once: bool,
    /// Once, as one JSON object.
    #[arg(long)]
    pub json: bool,
    /// Time between two readings.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = super::parse_duration)]
    pub every: Duration,
}

/// What the files say.
#[derive(Clone, Debug, Serialize)]
pub struct Snapshot {
    /// The run's directory.
    pub dir: PathBuf,
    /// Process that wrote, or writes.
    pub pid: u64,
    /// That process has the file mapped now.
    pub running: bool,
    /// When the run began, ns since the Unix epoch.
    pub started_wall_ns: i64,
    /// Values by name, with labels in braces.
    pub values: BTreeMap<String, i64>,
    /// Distinct errors, the first one first.
    pub errors: Vec<ErrorEntry>,
    #[serde(skip)]
    readings: Vec<Reading>,
}

/// Runs the command.
pub fn run(args: &TopArgs) -> Result<u8, Failure> {
    let dir = find(&args.target)?;
    if args.json {
        say!("{}", serde_json::to_string_pretty(&Snapshot::read(&dir)?)?)?;
        return Ok(0);
    }
    if args.once || !std::io::stdout().is_terminal() {
        say!("{}", Snapshot::read(&dir)?.lines(None).join("\n"))?;
        return Ok(0);
    }
    live(args, &dir)
}

/// Shows the run until `q`, Escape or Ctrl-C.
fn live(args: &TopArgs, dir: &Path) -> Result<u8, Failure> {
    let signals = Signals::listen()?;
    // Before the terminal is taken over: what cannot be read is said plainly.
    let mut now = Snapshot::read(dir)?;
    let mut before: Option<(Snapshot, Duration)> = None;
    let mut terminal = ratatui::try_init()?;
    let shown = loop {
        let lines = now.lines(before.as_ref().map(|(snapshot, since)| (snapshot, *since)));
        let text = Text::from_iter(lines.into_iter().map(Line::from));
        if let Err(failure) = terminal.draw(|frame| frame.render_widget(text, frame.area())) {
            break Err(failure.into());
        }
        let begun = Instant::now();
        let mut quit = false;
        while !quit && begun.elapsed() < args.every {
            quit = signals.stop.load(Ordering::Acquire) || wants_to_quit(Duration::from_millis(50));
        }
        if quit {
            break Ok(0);
        }
        match Snapshot::read(dir) {
            Ok(next) => before = Some((std::mem::replace(&mut now, next), begun.elapsed())),
            Err(failure) => break Err(failure),
        }
    };
    let _ = ratatui::try_restore(); // nothing can be done about a terminal that is gone
    shown
}

fn wants_to_quit(patience: Duration) -> bool {
    if !event::poll(patience).unwrap_or(true) {
        return false;
    }
    match event::read() {
        Ok(Event::Key(key)) if key.kind != KeyEventKind::Release => {
            let control = key.modifiers.contains(KeyModifiers::CONTROL);
            matches!(key.code, KeyCode::Char('q') | KeyCode::Esc)
                || (control && key.code == KeyCode::Char('c'))
        }
        Ok(_) => false,
        Err(_) => true,
    }
}

/// The directory of the run that is meant.
fn find(target: &str) -> Result<PathBuf, CliError> {
    let path = Path::new(target);
    if path.is_dir() {
        if path.join(COUNTERS_FILE).exists() {
            return Ok(path.to_owned());
        }
        let entries = std::fs::read_dir(path)
            .map_err(|source| CliError::Read { path: path.to_owned(), source })?
            .flatten()
            .map(|entry| entry.path());
        let begun = |dir: &PathBuf| {
            CountersReader::open(&dir.join(COUNTERS_FILE)).ok().map(|reader| reader.origin().0)
        };
        let newest = entries.filter_map(|dir| begun(&dir).map(|at| (at, dir))).max();
        return newest.map(|(_, dir)| dir).ok_or_else(|| {
            CliError::Argument(format!(
                "no run in {target}: neither it nor a directory in it holds a {COUNTERS_FILE}"
            ))
        });
    }
    match target.parse::<u64>() {
        Ok(pid) => mapped_by(pid).ok_or_else(|| {
            CliError::Argument(format!(
                "process {pid} has no {COUNTERS_FILE} mapped: it has ended, is another's, or records no journal; \
                 name the directory of its journal instead"
            ))
        }),
        Err(_) => Err(CliError::Argument(format!("`{target}` is neither a directory nor a process id"))),
    }
}

/// The directory of the counters that a process has mapped.
fn mapped_by(pid: u64) -> Option<PathBuf> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
    let path = maps.lines().find_map(|line| {
        let path = line.get(line.find('/')?..)?;
        path.ends_with(&format!("/{COUNTERS_FILE}")).then_some(path)
    })?;
    Path::new(path).parent().map(Path::to_owned)
}

impl Snapshot {
    /// Reads both files of the run in `dir`.
    ///
    /// # Errors
    /// When the counters are not there or not ours; a run without an error log has no errors.
    pub fn read(dir: &Path) -> Result<Self, Failure> {
        let reader = CountersReader::open(&dir.join(COUNTERS_FILE))?;
        let (started_wall_ns, pid) = reader.origin();
        let readings = reader.read();
        // Our own mapping must not pass for the writer's.
        drop(reader);
        let name = |reading: &Reading| match reading.definition.labels.as_str() {
            "" => reading.definition.name.clone(),
            labels => format!("{}{{{labels}}}", reading.definition.name),
        };
        let errors = dir.join(ERRORS_FILE);
        Ok(Self {
            dir: dir.to_owned(),
            pid,
            running: is_same(mapped_by(pid), dir),
            started_wall_ns,
            values: readings
                .iter()
                .map(|reading| (name(reading), i64::try_from(reading.value).unwrap_or(i64::MAX)))
                .collect(),
            errors: if errors.exists() { read_errors(&errors)? } else { Vec::new() },
            readings,
        })
    }

    /// For people: a head, values with rates, errors.
    fn lines(&self, before: Option<(&Self, Duration)>) -> Vec<String> {
        let state = if self.running { "running" } else { "ended (or crashed)" };
        let since = (wall_ns() - self.started_wall_ns).max(0) / 1_000_000_000;
        let mut lines = vec![
            format!("{}  process {} {state}, begun {since} s ago  q quits", self.dir.display(), self.pid),
            format!("{:<32}{:>16}{:>12}", "", "value", "per second"),
        ];
        for (at, reading) in self.readings.iter().enumerate() {
            let mut line = format!("{:<32}{:>16}", reading.definition.name, reading.value);
            if let Some((old, time)) = before
                && reading.definition.kind == Kind::Counter
                && let Some(old) = old.readings.get(at)
                && old.definition == reading.definition
            {
                let rate = (reading.value - old.value) as f64 / time.as_secs_f64().max(1e-3);
                let _ = write!(line, "{rate:>12.1}");
            }
            lines.push(line);
        }
        if !self.errors.is_empty() {
            lines.push(format!("{:>8}  error, first occurrence", "times"));
        }
        lines.extend(self.errors.iter().map(|error| format!("{:>8}  {}", error.count, error.message)));
        lines
    }
}

fn is_same(mapped: Option<PathBuf>, dir: &Path) -> bool {
    mapped.is_some_and(|mapped| mapped.canonicalize().ok() == dir.canonicalize().ok())
}

fn wall_ns() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::demo::tempdir;
    use crate::telemetry::counters::{Counters, Definition};
    use crate::telemetry::errors::ErrorLog;

    fn counters(dir: &Path, created_ns: i64) -> Counters {
        std::fs::create_dir_all(dir).unwrap();
        let definitions = vec![
            Definition::counter("frames_total", "", "Frames"),
            Definition::gauge("net_cents", "", "PnL"),
        ];
        Counters::create(&dir.join(COUNTERS_FILE), definitions, created_ns).unwrap()
    }

    #[test]
    fn a_run_is_seen_by_directory_and_by_root_while_it_runs_and_afterwards() {
        let root = tempdir().unwrap();
        let (old, new) = (root.join("run-1"), root.join("run-2"));
        drop(counters(&old, 1_000));
        let mut file = counters(&new, 2_000);
        let mut frames = file.take("frames_total", "").unwrap();
        file.take("net_cents", "").unwrap().set_gauge(-250);
        frames.add(40);
        let mut log = ErrorLog::open(&new.join(ERRORS_FILE)).unwrap();
        log.note("okx/login", "okx: login refused", 5);
        log.note("okx/login", "okx: login refused", 9);
        let text = root.path.display().to_string();
        assert_eq!(find(&text).unwrap(), new, "the newest run of a root");
        assert_eq!(find(&new.display().to_string()).unwrap(), new);
        let first = Snapshot::read(&new).unwrap();
        assert!(first.running);
        assert_eq!((first.values["frames_total"], first.values["net_cents"]), (40, -250));
        assert_eq!((first.errors.len(), first.errors[0].count), (1, 2));
        frames.add(30);
        let second = Snapshot::read(&new).unwrap();
        let lines = second.lines(Some((&first, Duration::from_secs(2)))).join("\n");
        assert!(lines.contains("15.0") && lines.contains("okx: login refused"), "{lines}");
        // The process is gone, or lets go: the values stay.
        drop((frames, file, log));
        let after = Snapshot::read(&new).unwrap();
        assert!(!after.running && after.values["frames_total"] == 70);
        assert!(after.lines(None)[0].contains("ended"));
        let json = serde_json::to_value(&after).unwrap();
        assert_eq!((&json["values"]["net_cents"], &json["running"]), (&(-250).into(), &false.into()));
    }

    #[test]
    fn what_is_no_run_is_refused_with_what_to_do() {
        let root = tempdir().unwrap();
        for (target, expected) in [
            (root.path.display().to_string(), "no run in"),
            ("no-such-thing".to_owned(), "neither a directory nor a process id"),
            ("4294967295".to_owned(), "name the directory"),
        ] {
            let said = find(&target).unwrap_err().to_string();
            assert!(said.contains(expected), "{said}");
        }
    }
}
