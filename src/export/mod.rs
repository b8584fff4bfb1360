//! Export: a journal as tables (Parquet, CSV), as messages (NDJSON) or as market data for hftbacktest (npz).
//!
//! Typed events are derived from the recorded inputs, as a replay does; intents and messages are the recorded outputs.
//! Memory does not grow with the journal: rows are written in groups. Start reading at `walk`; the tables are in
//! `table`, the formats beside it.

mod columnar;
mod csv;
pub mod listings;
mod ndjson;
mod npz;
pub mod rows;
mod staging;
pub mod table;
mod targets;
mod walk;

pub use walk::{Taker, walk};

use crate::domain::event::Seq;
use crate::domain::instrument::{InstrumentId, VenueId};
use crate::journal::JournalError;
use crate::replay::source::ReplayError;
use crate::stage::decode::UnknownDialect;
use rows::About;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use table::Kind;

/// Why an export could not be made. What was begun is removed.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the fields are the parts of the sentence
pub enum ExportError {
    /// The journal cannot be read.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// The run needs a dialect that this build does not have.
    #[error(transparent)]
    Dialect(#[from] UnknownDialect),
    /// Somebody wanted it to end.
    #[error("stopped")]
    Stopped,
    /// The disk.
    #[error("cannot write {}: {source}", path.display())]
    Write { path: PathBuf, source: std::io::Error },
    /// Nothing is overwritten.
    #[error("{} exists already: name another directory with -o, or remove it", path.display())]
    Exists { path: PathBuf },
    /// A number that the format cannot hold exactly.
    #[error("input {seq}: {value} in column {column} of {table} cannot be written exactly; export it to csv")]
    Inexact { seq: u64, table: &'static str, column: &'static str, value: String },
    /// The Parquet library.
    #[error("cannot write {}: {why}", path.display())]
    Parquet { path: PathBuf, why: String },
    /// More rows out of order than are sorted in memory.
    #[error("more than {limit} rows of {} are out of order by venue time: export a shorter range", path.display())]
    Disorder { path: PathBuf, limit: usize },
}

impl From<JournalError> for ExportError {
    fn from(source: JournalError) -> Self {
        Self::Replay(source.into())
    }
}

impl ExportError {
    pub(crate) fn write(path: &Path, source: impl Into<std::io::Error>) -> Self {
        Self::Write { path: path.to_owned(), source: source.into() }
    }
}

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Apache Parquet, a file per table.
    Parquet,
    /// Comma-separated values, a file per table.
    Csv,
    /// JSON lines: market data as normalised messages in one file, a file per table for the rest.
    Ndjson,
    /// The event arrays of hftbacktest, a file per instrument.
    Npz,
}

impl Format {
    /// What it can hold.
    pub const fn kinds(self) -> &'static [Kind] {
        match self {
            Self::Npz => &[Kind::Trades, Kind::Depth, Kind::Books],
            _ => &Kind::ALL,
        }
    }
}

/// What is wanted.
#[derive(Clone, Debug)]
pub struct Request {
    /// The journal.
    pub dir: PathBuf,
    /// The directory to be made.
    pub out: PathBuf,
    /// The format.
    pub format: Format,
    /// The tables.
    pub kinds: BTreeSet<Kind>,
    /// Only these venues; rows that concern none are left out then.
    pub venues: Option<BTreeSet<VenueId>>,
    /// Only these instruments; rows that concern none are left out then.
    pub instruments: Option<BTreeSet<InstrumentId>>,
    /// First input; `None` = the first there is.
    pub from: Option<Seq>,
    /// Last input; `None` = the last there is.
    pub to: Option<Seq>,
    /// Set when somebody wants it to end.
    pub stop: Arc<AtomicBool>,
}

impl Request {
    /// Whether a row about this is wanted.
    pub fn selects(&self, about: About) -> bool {
        let venue = |wanted: &BTreeSet<VenueId>| about.venue.is_some_and(|venue| wanted.contains(&venue));
        let instrument =
            |wanted: &BTreeSet<InstrumentId>| about.instrument.is_some_and(|id| wanted.contains(&id));
        self.venues.as_ref().is_none_or(venue) && self.instruments.as_ref().is_none_or(instrument)
    }

    /// Whether an input lies in the range; the ends belong to it.
    pub fn covers(&self, seq: Seq) -> bool {
        self.from.is_none_or(|from| seq >= from) && self.to.is_none_or(|to| seq <= to)
    }

    /// An error once somebody wants it to end.
    fn heed(&self) -> Result<(), ExportError> {
        if self.stop.load(Ordering::Relaxed) { Err(ExportError::Stopped) } else { Ok(()) }
    }
}

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Report {
    /// Rows by table (messages of market data count as the rows that they are made of).
    pub rows: BTreeMap<&'static str, u64>,
    /// Those of them that say what was known when the range began: contracts, and books as snapshots.
    pub stated: BTreeMap<&'static str, u64>,
    /// The files, by name, with their sizes in bytes.
    pub files: BTreeMap<String, u64>,
    /// Inputs read.
    pub inputs: u64,
    /// Why the export ends before the journal does: damage, or a hole in the sequence.
    pub cut: Option<String>,
}

/// Exports; `progress` gets the part that is done (0 to 1) and the inputs read so far.
///
/// # Errors
/// [`ExportError`]; nothing is left behind then.
pub fn export(request: &Request, progress: &mut dyn FnMut(f64, u64)) -> Result<Report, ExportError> {
    let staging = staging::Staging::begin(&request.out)?;
    let (folder, kinds) = (staging.path(), &request.kinds);
    let walked = match request.format {
        Format::Parquet => {
            // The scales of the columns must be known before the first row: the journal is read twice.
            let mut scales = columnar::Scales::default();
            walk(request, &mut scales, &mut |part, inputs| progress(part / 2.0, inputs))?;
            let mut tables = columnar::Tables::begin(folder, kinds, &scales)?;
            let walked = walk(request, &mut tables, &mut |part, inputs| progress(0.5 + part / 2.0, inputs))?;
            tables.finish()?;
            walked
        }
        Format::Csv => {
            let mut tables = csv::Tables::begin(folder, kinds)?;
            let walked = walk(request, &mut tables, progress)?;
            tables.finish()?;
            walked
        }
        Format::Ndjson => {
            let mut messages = ndjson::Messages::begin(folder, kinds)?;
            let walked = walk(request, &mut messages, progress)?;
            messages.finish()?;
            walked
        }
        Format::Npz => {
            let mut arrays = npz::Arrays::begin(folder);
            let walked = walk(request, &mut arrays, progress)?;
            arrays.finish()?;
            walked
        }
    };
    let files = staging.commit()?;
    Ok(Report { files, ..walked })
}
