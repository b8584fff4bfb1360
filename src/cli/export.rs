//! `perpring export`: a journal as tables, messages or market data for other tools.

use super::progress::ProgressBar;
use super::source::Source;
use super::stop::{self, EXIT_STOPPED};
use super::{CliError, Failure};
use crate::config::names;
use crate::domain::event::Seq;
use crate::domain::instrument::{InstrumentId, VenueId};
use crate::domain::params::EngineParams;
use crate::export::table::Kind;
use crate::export::{ExportError, Format, Request, export};
use crate::replay::cursor::Cursor;
use crate::replay::place::Place;
use crate::replay::source::{Inputs, read_config};
use clap::Args;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Arguments of `export`.
#[derive(Args, Debug)]
pub struct ExportArgs {
    /// Directory of the journal, or the file of a bundle.
    dir: PathBuf,
    /// What to write (a range ends with --until).
    #[arg(long, value_name = "FORMAT")]
    to: Format,
    /// Directory to make; it must not exist.
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,
    /// Only these tables, separated by commas or named one by one.
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    kind: Vec<Kind>,
    /// Only these venues.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    venue: Vec<String>,
    /// Only these instruments: unified, native or `SYMBOL.VENUE` names.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    instrument: Vec<String>,
    /// First input to export: its number, a time of receipt (2026-11-27T13:40:00Z, 13:40:00.5), +12.5s after the
    /// beginning, or end.
    #[arg(long, value_name = "T|SEQ")]
    from: Option<Place>,
    /// Last input to export, said in the same way (other commands call it --to, which is the format here).
    #[arg(long, value_name = "T|SEQ")]
    until: Option<Place>,
    /// One JSON object instead of text.
    #[arg(long)]
    json: bool,
}

/// Runs the command: 0 all was exported, 1 the journal is damaged and what came before was exported, 130 stopped.
pub fn run(args: &ExportArgs) -> Result<u8, Failure> {
    let source = Source::open(&args.dir)?;
    let (_, _, config) = read_config(source.dir())?;
    let request = Request { stop: stop::flag()?, ..request(args, source.dir(), &config.params)? };
    let bar = ProgressBar::new();
    let done = export(&request, &mut |part, inputs| {
        bar.show((part * 1_000.0) as u64, 1_000, &format!("{inputs} inputs"));
    });
    drop(bar);
    let report = match done {
        Ok(report) => report,
        Err(ExportError::Stopped) => {
            tell!("perpring: stopped; nothing was exported, and nothing is left of it");
            return Ok(EXIT_STOPPED);
        }
        // An unusable name is the operator's to change, like any other argument.
        Err(why @ ExportError::Exists { .. }) => return Err(CliError::Argument(why.to_string()).into()),
        Err(why) => return Err(why.into()),
    };
    if args.json {
        say!("{}", serde_json::to_string_pretty(&report)?)?;
    } else {
        for (name, rows) in &report.rows {
            match report.stated.get(name) {
                None => say!("{name:>14}: {rows} rows")?,
                Some(stated) => {
                    say!("{name:>14}: {rows} rows, {stated} of them what was known when the range began")?;
                }
            }
        }
        let bytes: u64 = report.files.values().sum();
        say!("{} files, {bytes} bytes in {}", report.files.len(), args.out.display())?;
    }
    let Some(cut) = &report.cut else { return Ok(0) };
    tell!("perpring: {cut}; what came before was exported");
    Ok(1)
}

fn request(args: &ExportArgs, dir: &Path, params: &EngineParams) -> Result<Request, Failure> {
    let can: &[Kind] = args.to.kinds();
    if let Some(kind) = args.kind.iter().find(|kind| !can.contains(kind)) {
        let known: Vec<&str> = can.iter().map(|kind| kind.name()).collect();
        let what = format!("npz holds no {}; it holds {}", kind.name(), known.join(", "));
        return Err(CliError::Argument(what).into());
    }
    let (venues, instruments) = (venues(&args.venue, params)?, instruments(&args.instrument, params)?);
    let (from, to) = range(args, dir)?;
    let kinds = if args.kind.is_empty() { can } else { &args.kind };
    Ok(Request {
        dir: dir.to_owned(),
        out: args.out.clone(),
        format: args.to,
        kinds: kinds.iter().copied().collect(),
        venues,
        instruments,
        from,
        to,
        stop: Arc::default(),
    })
}

/// Both ends of the range by their numbers.
fn range(args: &ExportArgs, dir: &Path) -> Result<(Option<Seq>, Option<Seq>), Failure> {
    if args.from.is_none() && args.until.is_none() {
        return Ok((None, None));
    }
    let mut cursor = Cursor::open(dir)?;
    let refused = |what: String| CliError::Argument(format!("{what}: nothing could be exported"));
    let end = || refused(format!("--from lies after the end of the run in {}", args.dir.display()));
    // Before the run says what the wall clock is, nothing lies before a time.
    if let Some(until) = args.until.map(|place| place.wall(dir)).transpose()?.flatten()
        && Place::Since(0).wall(dir)?.is_some_and(|began| until < began)
    {
        return Err(refused("--until lies before the beginning of the run".to_owned()).into());
    }
    let from = match args.from {
        None => Seq(cursor.begins_after().0 + 1),
        Some(place) => place.first(&mut cursor)?.ok_or_else(end)?,
    };
    let to = match args.until {
        None => None,
        Some(place) => place.last(&mut cursor)?,
    };
    if let Some(to) = to.filter(|to| from > *to) {
        let what = match args.from {
            Some(_) => format!("--from (input {}) lies after --until (input {})", from.0, to.0),
            None => format!("--until lies before the first input, {}", from.0),
        };
        return Err(refused(what).into());
    }
    let mut inputs = Inputs::open_after(dir, Seq(from.0 - 1))?;
    if inputs.next()?.is_none() && inputs.hole().get().is_none() {
        return Err(end().into());
    }
    Ok((args.from.map(|_| from), to))
}

/// The venues of the run that are named.
fn venues(wanted: &[String], params: &EngineParams) -> Result<Option<BTreeSet<VenueId>>, CliError> {
    let mut found = BTreeSet::new();
    for text in wanted {
        let dialect = super::error::full_name(text);
        let here = params.venues.iter().position(|venue| venue.dialect == dialect);
        let Some(at) = here else {
            let known: Vec<&str> = params.venues.iter().map(|venue| venue.dialect.as_str()).collect();
            return Err(CliError::Venue { name: text.clone(), known: known.join(", ") });
        };
        found.insert(VenueId(at as u8));
    }
    Ok((!wanted.is_empty()).then_some(found))
}

/// The listings of the run that are named: a unified name means all of them, a native one the venue's own.
fn instruments(wanted: &[String], params: &EngineParams) -> Result<Option<BTreeSet<InstrumentId>>, CliError> {
    let dialects: Vec<&str> = params.venues.iter().map(|venue| venue.dialect.as_str()).collect();
    let mut found = BTreeSet::new();
    for text in wanted {
        let native = params.listings.iter().filter(|listing| listing.symbol.as_str() == text);
        let mut ids: Vec<InstrumentId> = native.map(|listing| listing.id).collect();
        if ids.is_empty() {
            let name = names::resolve(text, &dialects).map_err(CliError::Argument)?.to_string();
            let unified = params.listings.iter().filter(|listing| {
                params
                    .canonicals
                    .get(listing.canonical.index())
                    .is_some_and(|canonical| canonical.name == name)
            });
            ids = unified.map(|listing| listing.id).collect();
        }
        if ids.is_empty() {
            return Err(CliError::Argument(format!("the run has no instrument {text}")));
        }
        found.extend(ids);
    }
    Ok((!wanted.is_empty()).then_some(found))
}
