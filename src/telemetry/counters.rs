//! Counters in a memory-mapped file: one writer each, any number of readers in any process, no lock. A
//! counter is one store to a cache line of its own; the exposition for monitors is made by readers.
//!
//! ```text
//! counters file
//! offset  size  field
//!      0     8  magic "PERPCTR1"
//!      8     8  number of slots
//!     16     8  when it was created, ns since the Unix epoch
//!     24     8  process id of the writer
//!     32   224  zero
//! slot i at 256 + 256 × i
//!      0     8  value
//!      8     8  1 = counter (only rises), 2 = gauge (signed)
//!     16    48  name, zero-padded
//!     64    64  labels in exposition form without braces: venue="okx"
//!    128   128  help, zero-padded
//! ```

use super::mapped::{Mapped, TelemetryError, cut, failed};
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

const MAGIC: u64 = u64::from_le_bytes(*b"PERPCTR1");
const HEADER_BYTES: usize = 256;
const SLOT_BYTES: usize = 256;
const NAME_BYTES: usize = 48;
const LABEL_BYTES: usize = 64;
const HELP_BYTES: usize = 128;

/// Most counters in one file.
pub const COUNTERS_MAX: usize = 1024;

/// What a slot counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only rises.
    Counter,
    /// Rises and falls; may be negative.
    Gauge,
}

/// A slot to be: name in lower case with underscores, labels as `venue="okx"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// Name without the program's prefix; at most 48 bytes.
    pub name: String,
    /// Labels without braces, at most 64 bytes; may be empty.
    pub labels: String,
    /// What it says, with its unit; at most 128 bytes.
    pub help: String,
    /// Counter or gauge.
    pub kind: Kind,
}

impl Definition {
    /// A counter.
    pub fn counter(name: &str, labels: &str, help: &str) -> Self {
        Self { name: name.into(), labels: labels.into(), help: help.into(), kind: Kind::Counter }
    }

    /// A gauge.
    pub fn gauge(name: &str, labels: &str, help: &str) -> Self {
        Self { kind: Kind::Gauge, ..Self::counter(name, labels, help) }
    }
}

/// The file, on the side that writes it: hands out each counter once.
#[derive(Debug)]
pub struct Counters {
    map: Arc<Mapped>,
    definitions: Vec<Definition>,
    taken: Vec<bool>,
}

impl Counters {
    /// Creates the file at `path` with these slots, all zero. `created_ns` is a remark for readers.
    pub fn create(
        path: &Path,
        definitions: Vec<Definition>,
        created_ns: i64,
    ) -> Result<Self, TelemetryError> {
        let bytes = size(&definitions)?;
        let map = Mapped::create(path, &vec![0; bytes])?;
        Ok(Self::fill(map, definitions, created_ns))
    }

    /// The same in anonymous memory.
    pub fn anonymous(definitions: Vec<Definition>, created_ns: i64) -> Result<Self, TelemetryError> {
        let bytes = size(&definitions)?;
        let map = Mapped::anonymous(bytes).map_err(failed("map memory for", Path::new("counters")))?;
        Ok(Self::fill(map, definitions, created_ns))
    }

    fn fill(map: Mapped, definitions: Vec<Definition>, created_ns: i64) -> Self {
        for (i, d) in definitions.iter().enumerate() {
            let at = HEADER_BYTES + SLOT_BYTES * i;
            map.word(at + 8).store(if d.kind == Kind::Counter { 1 } else { 2 }, Ordering::Relaxed);
            map.write(at + 16, cut(&d.name, NAME_BYTES).as_bytes());
            map.write(at + 64, cut(&d.labels, LABEL_BYTES).as_bytes());
            map.write(at + 128, cut(&d.help, HELP_BYTES).as_bytes());
        }
        map.word(8).store(definitions.len() as u64, Ordering::Relaxed);
        map.word(16).store(created_ns as u64, Ordering::Relaxed);
        map.word(24).store(u64::from(std::process::id()), Ordering::Relaxed);
        map.word(0).store(MAGIC, Ordering::Release); // last: a reader that sees it sees the rest
        Self { map: Arc::new(map), taken: vec![false; definitions.len()], definitions }
    }

    /// The counter of this name and labels, to its one writer. `None` when there is no such slot, or when it
    /// was taken before.
    pub fn take(&mut self, name: &str, labels: &str) -> Option<Counter> {
        let i = self.definitions.iter().position(|d| d.name == name && d.labels == labels)?;
        if std::mem::replace(&mut self.taken[i], true) {
            return None;
        }
        Some(Counter { map: self.map.clone(), at: HEADER_BYTES + SLOT_BYTES * i })
    }

    /// A reader of the same memory, for the exposition in this process.
    pub fn reader(&self) -> CountersReader {
        CountersReader { map: self.map.clone() }
    }
}

/// One value with one writer. Moves between threads; cannot be shared or copied.
#[derive(Debug)]
pub struct Counter {
    map: Arc<Mapped>,
    at: usize,
}

impl Counter {
    /// Adds; a plain load and store, because nobody else writes here.
    #[inline]
    pub fn add(&mut self, n: u64) {
        let word = self.map.word(self.at);
        word.store(word.load(Ordering::Relaxed).wrapping_add(n), Ordering::Release);
    }

    /// Sets a counter that is kept elsewhere.
    #[inline]
    pub fn set(&mut self, value: u64) {
        self.map.word(self.at).store(value, Ordering::Release);
    }

    /// Sets a gauge.
    #[inline]
    pub fn set_gauge(&mut self, value: i64) {
        self.set(value as u64);
    }

    /// The value.
    pub fn get(&self) -> u64 {
        self.map.word(self.at).load(Ordering::Relaxed)
    }
}

/// A value as read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// What it is.
    pub definition: Definition,
    /// The value; gauges may be negative.
    pub value: i128,
}

/// Reads a counters file, from this process or another.
#[derive(Clone, Debug)]
pub struct CountersReader {
    map: Arc<Mapped>,
}

impl CountersReader {
    /// Maps the file at `path`.
    pub fn open(path: &Path) -> Result<Self, TelemetryError> {
        let map = Mapped::open(path, false)?;
        let foreign = || TelemetryError::Foreign { path: path.to_owned(), what: "a counters file" };
        if map.len() < HEADER_BYTES || map.word(0).load(Ordering::Acquire) != MAGIC {
            return Err(foreign());
        }
        let slots = map.word(8).load(Ordering::Relaxed);
        if slots > COUNTERS_MAX as u64 || map.len() < HEADER_BYTES + SLOT_BYTES * slots as usize {
            return Err(foreign());
        }
        Ok(Self { map: Arc::new(map) })
    }

    /// When the file was created, ns since the Unix epoch, and by which process.
    pub fn origin(&self) -> (i64, u64) {
        let word = |at| self.map.word(at).load(Ordering::Relaxed);
        (word(16) as i64, word(24))
    }

    /// All values, in slot order.
    pub fn read(&self) -> Vec<Reading> {
        let slots = (self.map.word(8).load(Ordering::Relaxed) as usize).min(COUNTERS_MAX);
        let slots = slots.min((self.map.len() - HEADER_BYTES) / SLOT_BYTES);
        (0..slots)
            .map(|i| {
                let at = HEADER_BYTES + SLOT_BYTES * i;
                let kind = if self.map.word(at + 8).load(Ordering::Relaxed) == 2 {
                    Kind::Gauge
                } else {
                    Kind::Counter
                };
                let value = self.map.word(at).load(Ordering::Acquire);
                let value = if kind == Kind::Gauge { i128::from(value as i64) } else { i128::from(value) };
                let definition = Definition {
                    name: self.map.text(at + 16, NAME_BYTES),
                    labels: self.map.text(at + 64, LABEL_BYTES),
                    help: self.map.text(at + 128, HELP_BYTES),
                    kind,
                };
                Reading { definition, value }
            })
            .collect()
    }

    /// The values as Prometheus text (exposition format 0.0.4), every name with `prefix` in front.
    pub fn prometheus(&self, prefix: &str) -> String {
        let mut readings = self.read();
        readings.sort_by(|a, b| a.definition.name.cmp(&b.definition.name)); // one block per name, slots in order
        let mut text = String::new();
        let mut last = None;
        for Reading { definition: d, value } in &readings {
            if last != Some(&d.name) {
                let kind = if d.kind == Kind::Counter { "counter" } else { "gauge" };
                let help = d.help.replace('\\', "\\\\").replace('\n', "\\n");
                let _ = writeln!(text, "# HELP {prefix}{} {help}\n# TYPE {prefix}{} {kind}", d.name, d.name);
                last = Some(&d.name);
            }
            let _ = match d.labels.is_empty() {
                true => writeln!(text, "{prefix}{} {value}", d.name),
                false => writeln!(text, "{prefix}{}{{{}}} {value}", d.name, d.labels),
            };
        }
        text
    }
}

fn size(definitions: &[Definition]) -> Result<usize, TelemetryError> {
    let too_long = definitions.iter().any(|d| d.name.len() > NAME_BYTES || d.labels.len() > LABEL_BYTES);
    if definitions.len() > COUNTERS_MAX || too_long {
        let wanted = definitions.len();
        return Err(TelemetryError::Full {
            what: "counters (or bytes of a name)",
            wanted,
            max: COUNTERS_MAX,
        });
    }
    Ok(HEADER_BYTES + SLOT_BYTES * definitions.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definitions() -> Vec<Definition> {
        vec![
            Definition::counter("frames_total", "venue=\"okx\"", "Frames received."),
            Definition::gauge("position", "", "Signed."),
            Definition::counter("frames_total", "venue=\"binance\"", "Frames received."),
        ]
    }

    #[test]
    fn another_mapping_sees_every_value_by_name() {
        let path = std::env::temp_dir().join(format!("perpring-counters-{}", std::process::id()));
        let mut counters = Counters::create(&path, definitions(), 42).expect("temporary file");
        let mut okx = counters.take("frames_total", "venue=\"okx\"").expect("defined");
        assert!(counters.take("frames_total", "venue=\"okx\"").is_none(), "one writer each");
        assert!(counters.take("frames_total", "").is_none());
        let mut position = counters.take("position", "").expect("defined");
        let reader = CountersReader::open(&path).expect("just created");
        std::thread::spawn(move || (0..1000).for_each(|_| okx.add(2))).join().expect("writer");
        position.set_gauge(-7);
        let values: Vec<_> = reader.read().into_iter().map(|r| r.value).collect();
        assert_eq!(values, [2000, -7, 0]);
        assert_eq!(reader.origin(), (42, u64::from(std::process::id())));
        assert_eq!(
            reader.prometheus("perpring_"),
            "# HELP perpring_frames_total Frames received.\n# TYPE perpring_frames_total counter\n\
             perpring_frames_total{venue=\"okx\"} 2000\nperpring_frames_total{venue=\"binance\"} 0\n\
             # HELP perpring_position Signed.\n# TYPE perpring_position gauge\nperpring_position -7\n"
        );
        std::fs::remove_file(&path).expect("clean up");
    }

    #[test]
    fn a_file_of_something_else_is_refused() {
        let path = std::env::temp_dir().join(format!("perpring-counters-bad-{}", std::process::id()));
        let mut lies = vec![0; 512];
        lies[..8].copy_from_slice(b"PERPCTR1");
        lies[8] = 2; // two slots, room for one
        for content in [&b"short"[..], &[0; 4096], &lies] {
            std::fs::write(&path, content).expect("write");
            assert!(matches!(CountersReader::open(&path), Err(TelemetryError::Foreign { .. })));
        }
        std::fs::remove_file(&path).expect("clean up");
        assert!(matches!(CountersReader::open(&path), Err(TelemetryError::Io { .. })));
    }

    #[test]
    fn names_that_do_not_fit_are_refused() {
        let long = vec![Definition::counter(&"x".repeat(49), "", "")];
        assert!(matches!(Counters::anonymous(long, 0), Err(TelemetryError::Full { .. })));
    }
}
