//! The observer: a thread beside the pinned ones that empties the latency boxes, keeps the board's
//! percentiles, and feeds the telemetry files beside the journal: counters, distinct errors, histograms.
//! The engine neither waits for it nor notices when it is late.

use super::probe::Pool;
use crate::domain::money::{MONEY_UNIT, Money};
use crate::journal::{KeepWatch, Kept, Space};
use crate::ops::latency::Latency;
use crate::ops::metrics::COUNTS;
use crate::ops::view::{Board, View};
use crate::telemetry::TelemetryError;
use crate::telemetry::counters::{Counter, Counters, Definition};
use crate::telemetry::errors::ErrorLog;
use crate::telemetry::hlog::HlogWriter;
use std::fs::File;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Counters, in the journal's directory.
pub const COUNTERS_FILE: &str = "counters.dat";
/// Distinct errors, in the journal's directory.
pub const ERRORS_FILE: &str = "errors.dat";
/// Latency histograms, in the journal's directory; written at the end.
pub const HLOG_FILE: &str = "latency.hlog";

/// Interval of its rounds.
const INTERVAL: Duration = Duration::from_millis(200);

/// Names of the gauges beside the counts.
const GAUGES: [(&str, &str); 13] = [
    ("trades_open", "Trades open now"),
    ("trades_unbalanced", "Trades open now whose legs are unequal"),
    ("orders_open", "Orders that are not terminal"),
    ("journal_bytes", "Body bytes in the journal"),
    ("updated_seconds", "When these values were written, s since the Unix epoch"),
    ("trading_state", "0 = normal, 1 = reducing, 2 = halted"),
    ("net_cents", "Profit and loss after fees and funding, 0.01 of the quote currency"),
    ("unhedged_cents", "Notional that no other leg hedges, 0.01 of the quote currency"),
    ("unhedged_max_cents", "Largest such notional, 0.01 of the quote currency"),
    ("stalls_gateway", "Times that the gateway found a ring or the frame memory full"),
    ("stalls_decode", "Attempts of decode that found its ring full"),
    ("stalls_journal", "Segments that were not prepared in time"),
    ("recorder_lag_max_percent", "How full the recorder's fullest ring ever was"),
];

/// The files that the observer feeds; without a directory they are anonymous memory.
pub struct ObserverFiles {
    counts: Vec<Counter>,
    gauges: Vec<Counter>,
    errors: ErrorLog,
    noted: u64,
    keep: Option<KeepWatch>,
    hlog: Option<PathBuf>,
    started: SystemTime,
}

impl ObserverFiles {
    /// Creates them in `dir`, which exists.
    ///
    /// # Errors
    /// When a file cannot be created, or is another's.
    pub fn create(dir: Option<&Path>, created_ns: i64) -> Result<Self, TelemetryError> {
        let counts =
            COUNTS.iter().map(|(name, help, _)| Definition::counter(&format!("{name}_total"), "", help));
        let gauges = GAUGES.iter().map(|(name, help)| Definition::gauge(name, "", help));
        let definitions: Vec<Definition> = counts.chain(gauges).collect();
        let (mut counters, errors) = match dir {
            Some(dir) => (
                Counters::create(&dir.join(COUNTERS_FILE), definitions, created_ns)?,
                ErrorLog::open(&dir.join(ERRORS_FILE))?,
            ),
            None => (Counters::anonymous(definitions, created_ns)?, ErrorLog::anonymous()?),
        };
        let counts =
            COUNTS.iter().filter_map(|(name, ..)| counters.take(&format!("{name}_total"), "")).collect();
        let gauges = GAUGES.iter().filter_map(|(name, _)| counters.take(name, "")).collect();
        let started = UNIX_EPOCH + Duration::from_nanos(created_ns.max(0) as u64);
        Ok(Self {
            counts,
            gauges,
            errors,
            noted: 0,
            keep: None,
            hlog: dir.map(|dir| dir.join(HLOG_FILE)),
            started,
        })
    }

    /// Looks at the journal's housekeeping too.
    #[must_use]
    pub fn with_housekeeping(mut self, keep: Option<KeepWatch>) -> Self {
        self.keep = keep;
        self
    }

    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives none.
    pub fn start(mut self, pool: Pool, board: Board) -> io::Result<Observer> {
        let stop = Arc::new(AtomicBool::new(false));
        let (seen, shown) = (Arc::clone(&stop), board.clone());
        let thread = std::thread::Builder::new().name("observer".into()).spawn(move || {
            while !seen.load(Ordering::Acquire) {
                self.round(&pool, &board);
                std::thread::park_timeout(INTERVAL);
            }
            self.round(&pool, &board);
            self
        })?;
        Ok(Observer { stop, thread, board: shown })
    }

    fn round(&mut self, pool: &Pool, board: &Board) {
        let summaries = pool.summaries();
        let mut view = board.read();
        view.latency = summaries;
        if let Some(keep) = &self.keep {
            keep_house(keep.look(), &mut view);
        }
        self.feed(&view, wall_ns());
    }

    fn feed(&mut self, view: &View, wall_ns: i64) {
        for (counter, (_, _, of)) in self.counts.iter_mut().zip(&COUNTS) {
            counter.set(of(&view.counts));
        }
        let values = [
            i64::from(view.trades_open),
            i64::from(view.unbalanced),
            view.open_orders as i64,
            view.journal.1 as i64,
            wall_ns / 1_000_000_000,
            view.mode as i64,
            cents(view.totals.net()),
            cents(view.unhedged),
            cents(view.unhedged_max),
            view.stalls.gateway as i64,
            view.stalls.decode as i64,
            view.stalls.journal as i64,
            i64::from(view.stalls.recorder_lag_max),
        ];
        for (gauge, value) in self.gauges.iter_mut().zip(values) {
            gauge.set_gauge(value);
        }
        let fresh = (view.notes_total - self.noted.min(view.notes_total)) as usize;
        self.noted = view.notes_total;
        for note in &view.notes[view.notes.len().saturating_sub(fresh)..] {
            self.errors.note(&code(note), note, wall_ns);
        }
    }

    fn write_hlog(&self, latency: &Latency) -> io::Result<()> {
        let Some(path) = &self.hlog else { return Ok(()) };
        let length = SystemTime::UNIX_EPOCH + Duration::from_nanos(wall_ns().max(0) as u64);
        let length = length.duration_since(self.started).unwrap_or_default();
        let file = BufWriter::new(File::create(path)?);
        let mut log = HlogWriter::begin(file, self.started, &["perpring latencies, ns"])?;
        for (name, histogram) in latency.histograms() {
            log.write(name, Duration::ZERO, length, histogram)?;
        }
        log.finish().map(drop)
    }
}

/// Shows what housekeeping did and found; what is new becomes a note.
fn keep_house((space, kept): (Space, Kept), view: &mut View) {
    let (room, trouble) = view.kept.take().map_or((Space::Enough, None), |(room, kept)| (room, kept.trouble));
    let free = kept.free_bytes;
    let news = match space {
        _ if space == room => None,
        Space::Enough => Some(format!("journal: the disk has room again: {free} bytes free")),
        Space::Low => Some(format!("journal: the disk is getting full, {free} bytes free: make room")),
        Space::Short => Some(format!(
            "journal: the disk is almost full, {free} bytes free: no new trades until there is room"
        )),
    };
    let failed = kept.trouble.clone().filter(|words| trouble.as_ref() != Some(words));
    for note in news.into_iter().chain(failed) {
        view.notes_total += 1;
        view.notes.push(note);
    }
    view.kept = Some((space, kept));
}

/// Hundredths, for people; accounts are kept exactly elsewhere.
fn cents(money: Money) -> i64 {
    i64::try_from(money.0 / (MONEY_UNIT / 100)).unwrap_or(i64::MAX)
}

/// What makes a failure distinct: its sentence without the numbers that vary.
fn code(note: &str) -> String {
    let mut code = String::with_capacity(note.len());
    for c in note.chars() {
        match c {
            '0'..='9' if code.ends_with('#') => {}
            '0'..='9' => code.push('#'),
            _ => code.push(c),
        }
    }
    code
}

/// The wall clock, for remarks only; nothing of the engine sees it.
#[allow(clippy::disallowed_methods)]
fn wall_ns() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as i64)
}

/// The running observer.
pub struct Observer {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<ObserverFiles>,
    board: Board,
}

impl Observer {
    /// Ends it after the engine: a last round, then the histograms of the whole run. A failure becomes a note.
    pub fn end(self, latency: &Latency) {
        self.stop.store(true, Ordering::Release);
        self.thread.thread().unpark();
        let written = match self.thread.join() {
            Ok(files) => {
                files.write_hlog(latency).map_err(|failure| format!("cannot write {HLOG_FILE}: {failure}"))
            }
            Err(_) => Err("the observer panicked; counters and histograms are incomplete".to_owned()),
        };
        if let Err(failure) = written {
            let mut view = self.board.read();
            view.notes_total += 1;
            view.notes.push(failure);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::counters::CountersReader;
    use crate::telemetry::errors::read_errors;

    #[test]
    fn what_happens_to_the_journal_s_room_is_told_once_each_time() {
        let mut view = View::default();
        let kept = |trouble: Option<&str>| Kept { trouble: trouble.map(str::to_owned), ..Kept::default() };
        let told: Vec<usize> = [
            (Space::Enough, kept(None)),
            (Space::Short, kept(None)),
            (Space::Short, kept(Some("cannot pack"))),
            (Space::Short, kept(Some("cannot pack"))),
            (Space::Enough, kept(None)),
        ]
        .into_iter()
        .map(|look| {
            keep_house(look, &mut view);
            view.notes.len()
        })
        .collect();
        assert_eq!(told, [0, 1, 2, 2, 3]);
        assert!(view.notes[0].contains("no new trades") && view.notes[2].contains("room again"));
    }

    #[test]
    fn the_files_tell_what_the_board_told() {
        let dir = std::env::temp_dir().join(format!("perpring-observer-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).expect("temporary directory");
        let (pool, board) = (Pool::new(), Board::default());
        let mut probe = pool.probe(&[crate::ops::latency::Path::MarketData]);
        {
            let mut view = board.read();
            (view.counts.fills, view.journal, view.trades_open) = (12, (3, 4096), 2);
            view.notes =
                vec!["no answer after 10 ms".into(), "no answer after 250 ms".into(), "refused".into()];
            view.notes_total = 3;
        }
        let observer = ObserverFiles::create(Some(&dir), 1_700_000_000_000_000_000).expect("files");
        let observer = observer.start(pool.clone(), board.clone()).expect("a thread");
        (1..=100).for_each(|i| probe.record(crate::ops::latency::Path::MarketData, i));
        probe.close();
        observer.end(&pool.sum());
        assert_eq!(board.read().latency[4].1.count, 100);
        let readings = CountersReader::open(&dir.join(COUNTERS_FILE)).expect("counters").read();
        let value = |name: &str| readings.iter().find(|r| r.definition.name == name).map(|r| r.value);
        assert_eq!(
            (value("fills_total"), value("journal_bytes"), value("trades_open")),
            (Some(12), Some(4096), Some(2))
        );
        let errors = read_errors(&dir.join(ERRORS_FILE)).expect("errors");
        let counts: Vec<u64> = errors.iter().map(|error| error.count).collect();
        assert_eq!((counts, errors[0].code.as_str()), (vec![2, 1], "no answer after # ms"));
        let hlog = std::fs::read_to_string(dir.join(HLOG_FILE)).expect("histograms");
        assert!(hlog.lines().any(|line| line.starts_with("Tag=market_data,")), "{hlog}");
        assert!(board.read().notes.len() == 3, "nothing failed");
        std::fs::remove_dir_all(&dir).expect("clean up");
    }
}
