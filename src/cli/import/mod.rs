//! `perpring import`: recorded feeds become a journal, merged by receive time, with a paper run of the whole engine
//! over them. What the history says of edges, clocks and gaps is reported at the end (docs/IMPORT.md).
#![allow(clippy::disallowed_methods)] // the wall time in the journal's manifest; inputs carry the recorder's

mod merge;
mod report;
mod setup;
mod stamp;
mod study;
mod tally;

use super::Failure;
use super::capture;
use super::error::{CliError, EXIT_CANNOT, EXIT_CLEAN, EXIT_FINDING, dialect, full_name, naming};
use super::progress::draw;
use crate::domain::instrument::{InstrumentId, VenueId};
use crate::domain::time::Nanos;
use crate::journal::JournalOptions;
use crate::replay::source::RunConfig;
use crate::stage::decode::ConnInfo;
use crate::stage::record::Recorder;
use crate::stage::river::{Parts, River};
use crate::topology::fused::Fused;
use crate::topology::imported::{Imported, Recorded};
use crate::topology::keeper::Keeper;
use crate::topology::launch::manifest;
use crate::venue::message::{Decoder, Message};
use clap::{Arg, ArgAction, ArgMatches, Args, FromArgMatches};
use merge::{Entry, EntryKind, Merge, TOLD_MAX};
use report::{FileReport, Report, VenueReport, text};
pub use setup::Source;
use setup::{Setup, Venue, prepare};
use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};
use study::Study;

/// Messages between two looks at the progress bar.
const SHOWN_EVERY: u64 = 1 << 12;

/// Arguments of `import`.
#[derive(Args, Debug)]
pub struct ImportArgs {
    #[command(flatten)]
    sources: Sources,
    /// Directory of the journal to be written; must be empty or not exist.
    #[arg(short = 'o', long = "output", value_name = "DIR")]
    output: PathBuf,
    /// The contracts of a venue, as it states them (Binance, Aster: the reply to exchangeInfo; others: docs/IMPORT.md).
    #[arg(long, value_name = "VENUE=FILE")]
    metadata: Vec<String>,
    /// Fees, limits and instruments from a configuration of `run`; without it base fees and defaults.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// End with one JSON object instead of text.
    #[arg(long)]
    json: bool,
}

/// The `--venue V FILE…` groups.
#[derive(Debug, Clone, Default)]
struct Sources(Vec<Source>);

impl Args for Sources {
    fn augment_args(command: clap::Command) -> clap::Command {
        let help = naming("A venue and its recordings, plain, gzip or zstd; may be repeated");
        command.arg(
            Arg::new("venue")
                .long("venue")
                .num_args(2..)
                .value_names(["VENUE", "FILE"])
                .action(ArgAction::Append)
                .required(true)
                .help(help),
        )
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Sources {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let groups = matches.get_occurrences::<String>("venue").into_iter().flatten();
        let sources = groups.map(|mut group| Source {
            dialect: group.next().map_or_else(String::new, |name| full_name(name).to_owned()),
            files: group.map(PathBuf::from).collect(),
        });
        Ok(Self(sources.collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// What to import.
#[derive(Clone, Debug, Default)]
pub struct Job {
    /// Venues and their recordings.
    pub sources: Vec<Source>,
    /// Contracts by dialect.
    pub metadata: Vec<(String, PathBuf)>,
    /// A configuration of `run`.
    pub config: Option<PathBuf>,
    /// Where the journal goes.
    pub output: PathBuf,
}

/// Runs the command.
///
/// # Errors
/// Why it could not run (exit code 2).
pub fn main(args: &ImportArgs) -> Result<u8, Failure> {
    let mut metadata = Vec::new();
    for pair in &args.metadata {
        let (venue, path) = pair.split_once('=').ok_or_else(|| {
            CliError::Argument(format!(
                "--metadata {pair}: write VENUE=FILE, such as binance=exchangeInfo.json"
            ))
        })?;
        metadata.push((full_name(venue).to_owned(), PathBuf::from(path)));
    }
    let job = Job {
        sources: args.sources.0.clone(),
        metadata,
        config: args.config.clone(),
        output: args.output.clone(),
    };
    let mut err = std::io::stderr();
    let show = err.is_terminal();
    let (report, code) = run(&job, show, &mut err)?;
    if args.json {
        say!("{}", serde_json::to_string_pretty(&report)?)?;
    } else {
        say!("{}", text(&report).trim_end())?;
    }
    Ok(code)
}

/// Imports; the exit code is 1 when lines were passed over, 2 when a file could not be read to its end (what came
/// before stands in the journal). Remarks about lines go to `err`, a progress bar too with `show`.
///
/// # Errors
/// What is missing or wrong; nothing is written then, but for a failure of the journal itself.
pub fn run(job: &Job, show: bool, err: &mut dyn Write) -> Result<(Report, u8), Failure> {
    let Setup { venues, params, left_out } = prepare(&job.sources, &job.metadata, job.config.as_deref())?;
    for what in &left_out {
        writeln!(err, "left out: {what}")?;
    }
    let config = RunConfig { trading: false, params };
    check_contracts(&config, &venues)?;
    let files: Vec<(usize, PathBuf)> = venues
        .iter()
        .enumerate()
        .flat_map(|(at, venue)| venue.files.iter().map(move |file| (at, file.clone())))
        .collect();
    let hashes = files.iter().map(|(_, path)| hash(path)).collect::<Result<Vec<_>, _>>()?;
    let size: u64 = files.iter().filter_map(|(_, path)| Some(std::fs::metadata(path).ok()?.len())).sum();
    let merge = Merge::open(&files)?;

    let config_bytes = config.to_bytes();
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as i64);
    let manifest = manifest(&config_bytes, wall, notes(&venues, &files, &hashes));
    let recorder = Recorder::create(&job.output, &manifest, &JournalOptions::default())?;
    let mut importer = Importer::new(&config, &venues, &config_bytes, recorder, merge)?;
    for (at, venue) in importer.reports.iter_mut().enumerate() {
        let own = files.iter().zip(&hashes).filter(|((of, _), _)| *of == at);
        venue.files = own
            .map(|((_, path), sha256)| FileReport { file: capture::name(path), sha256: sha256.clone() })
            .collect();
    }
    importer.through(&files, if show { size } else { 0 }, err)?;
    importer.end(&config, job)
}

/// Where an import came from, for the journal's manifest.
fn notes(venues: &[Venue], files: &[(usize, PathBuf)], hashes: &[String]) -> BTreeMap<String, String> {
    let mut notes = BTreeMap::from([("orders".to_owned(), "paper".to_owned())]);
    for (n, ((venue, path), hash)) in files.iter().zip(hashes).enumerate() {
        let of = format!("{} {} sha256 {hash}", venues[*venue].dialect, capture::name(path));
        notes.insert(format!("imported_from_{n:03}"), of);
    }
    for venue in venues {
        let hash = crate::journal::Hash256::of(&venue.recorded.metadata);
        notes.insert(format!("metadata_{}", venue.dialect), format!("sha256 {hash}"));
    }
    notes
}

/// The SHA-256 of a file, in hex.
fn hash(path: &Path) -> Result<String, CliError> {
    let fail = |source| CliError::Read { path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(fail)?;
    Ok(crate::journal::Hash256::of_reader(file).map_err(fail)?.to_string())
}

fn world(
    config: &RunConfig,
    venues: &[Venue],
    bytes: &[u8],
    recorder: Option<Recorder>,
) -> Result<Imported, Failure> {
    let parts = Parts::new(&config.params, config.trading)?;
    let conns: Vec<ConnInfo> = parts.conns.clone();
    let recorded: Vec<Recorded> = venues.iter().map(|venue| venue.recorded.clone()).collect();
    Ok(Imported::new(Fused::new(River::new(parts), Keeper::new(recorder)), conns, recorded, bytes))
}

/// Whether the contracts that were supplied are those of the recording, before anything is written.
fn check_contracts(config: &RunConfig, venues: &[Venue]) -> Result<(), Failure> {
    let first = venues.iter().map(|venue| venue.recorded.first).min().unwrap_or(0);
    let mut world = world(config, venues, &[], None)?;
    world.advance(first);
    let scanner = world.engine().river().parts().scan.scanner();
    for listing in &config.params.listings {
        if scanner.listing(listing.id).is_none_or(|listing| !listing.is_known()) {
            let venue = &venues[listing.venue.index()];
            return Err(Box::new(CliError::Argument(format!(
                "the contracts supplied for {} do not state {} in a form that it is traded by: supply {}",
                venue.dialect, listing.symbol, venue.recorded.stand_in.metadata
            ))));
        }
    }
    Ok(())
}

/// An import that is under way.
struct Importer {
    world: Imported,
    merge: Merge,
    study: Study,
    decoders: Vec<Box<dyn Decoder>>,
    /// By venue: depth snapshots answer requests, and are not frames.
    asks_depth: Vec<bool>,
    /// By venue: its listings with their symbols.
    listings: Vec<Vec<(Vec<u8>, InstrumentId)>>,
    reports: Vec<VenueReport>,
    /// Listings whose prices the present entries brought, until the burst ends.
    touched: Vec<InstrumentId>,
    from: Nanos,
    to: Nanos,
    /// How often a snapshot was not waited for, and how often a book broke off.
    remarked: [u64; 2],
}

impl Importer {
    fn new(
        config: &RunConfig,
        venues: &[Venue],
        bytes: &[u8],
        recorder: Recorder,
        merge: Merge,
    ) -> Result<Self, Failure> {
        let params = &config.params;
        let of = |at: usize| params.listings.iter().filter(move |listing| listing.venue.index() == at);
        let from = venues.iter().map(|venue| venue.recorded.first).min().unwrap_or(0);
        Ok(Self {
            world: world(config, venues, bytes, Some(recorder))?,
            merge,
            study: Study::new(params, from),
            decoders: venues
                .iter()
                .map(|venue| Ok(dialect(&venue.dialect)?.decoder()))
                .collect::<Result<_, CliError>>()?,
            asks_depth: venues.iter().map(|venue| venue.recorded.stand_in.asks_depth).collect(),
            listings: (0..venues.len())
                .map(|at| of(at).map(|it| (it.symbol.as_str().as_bytes().to_vec(), it.id)).collect())
                .collect(),
            reports: venues
                .iter()
                .map(|venue| VenueReport { venue: venue.dialect.clone(), ..VenueReport::default() })
                .collect(),
            touched: Vec::new(),
            from,
            to: from,
            remarked: [0; 2],
        })
    }

    /// Passes everything through the engine. `size`: bytes of all files for a progress bar, 0 = none.
    fn through(&mut self, files: &[(usize, PathBuf)], size: u64, err: &mut dyn Write) -> Result<(), Failure> {
        let mut entry = Entry::default();
        let mut count = 0u64;
        while self.merge.next(&mut entry) {
            for remark in self.merge.take_remarks() {
                writeln!(err, "{remark}")?;
            }
            if let Some(remark) = self.entry(&entry) {
                writeln!(err, "{}: line {}: {remark}", capture::name(&files[entry.file].1), entry.number)?;
            }
            count += 1;
            if size > 0 && count.is_multiple_of(SHOWN_EVERY) {
                draw(err, self.merge.bytes_read(), size, &format!("{count} messages"));
            }
        }
        for remark in self.merge.take_remarks() {
            writeln!(err, "{remark}")?;
        }
        if size > 0 {
            draw(err, size, size, &format!("{count} messages"));
            writeln!(err)?;
        }
        Ok(())
    }

    /// One entry; what is remarkable about it.
    fn entry(&mut self, entry: &Entry) -> Option<String> {
        let now = entry.time;
        let venue = VenueId(entry.venue as u8);
        let Self { world, study, .. } = self;
        world.advance(now);
        study.advance(now, world.engine().river().parts().scan.scanner());
        self.to = self.to.max(now);
        if entry.kind == EntryKind::Reconnect {
            self.reports[entry.venue].reconnects += 1;
            self.world.lost(venue);
            return self.lost(entry.venue);
        }
        let mut found = Found::default();
        let (decoder, listings) = (&mut self.decoders[entry.venue], &self.listings[entry.venue]);
        let (asks_depth, report) = (self.asks_depth[entry.venue], &mut self.reports[entry.venue]);
        let decoded = decoder.decode(&entry.payload, &mut |message| {
            found.message(message, listings, asks_depth, report);
        });
        // What a recorder asked for over HTTP beside depth is for itself.
        if let (Err(error), true) = (decoded, entry.url.is_empty()) {
            report.undecodable += 1;
            return (report.undecodable <= TOLD_MAX).then(|| format!("{error}; not passed to the engine"));
        }
        if found.time_ms > 0 {
            self.study.offsets[entry.venue].add(now - found.time_ms * 1_000_000);
            self.world.venue_time(venue, found.time_ms);
        }
        let mut remark = None;
        if (found.is_snapshot && self.asks_depth[entry.venue]) || !entry.url.is_empty() {
            if found.is_snapshot && !self.world.snapshot(venue, found.symbol(&entry.symbol), &entry.payload) {
                self.remarked[0] += 1;
                remark = (self.remarked[0] <= TOLD_MAX)
                    .then(|| "a depth snapshot that the engine was not waiting for".to_owned());
            }
        } else {
            self.world.frame(venue, &entry.payload, entry.last);
        }
        for listing in found.listings {
            self.study.hear(listing, now);
            if !self.touched.contains(&listing) {
                self.touched.push(listing);
            }
        }
        let lost = self.lost(entry.venue);
        if entry.last {
            let scanner = self.world.engine().river().parts().scan.scanner();
            for listing in self.touched.drain(..) {
                self.study.evaluate(listing, now, scanner);
            }
        }
        lost.or(remark)
    }

    /// Whether a book of the venue was lost just now.
    fn lost(&mut self, venue: usize) -> Option<String> {
        let scanner = self.world.engine().river().parts().scan.scanner();
        let mut lost = None;
        for (symbol, listing) in &self.listings[venue] {
            if self.study.look(*listing, scanner) {
                lost = Some(format!("the book of {} breaks off", String::from_utf8_lossy(symbol)));
            }
        }
        self.remarked[1] += u64::from(lost.is_some());
        lost.filter(|_| self.remarked[1] <= TOLD_MAX)
    }

    fn end(mut self, config: &RunConfig, job: &Job) -> Result<(Report, u8), Failure> {
        self.study.finish(self.to);
        let params = &config.params;
        let mut live = vec![false; params.listings.len()];
        for (at, live) in live.iter_mut().enumerate() {
            let scanner = self.world.engine().river().parts().scan.scanner();
            *live = scanner.listing(InstrumentId(at as u16)).is_some_and(|listing| listing.book.is_served());
        }
        self.world.stop();
        for (at, report) in self.reports.iter_mut().enumerate() {
            let offered = self.world.offered(VenueId(at as u8));
            report.lines = self.merge.counts(at);
            (report.frames, report.unheard) = (offered.frames, offered.unheard);
            (report.snapshots, report.snapshots_unasked) = (offered.snapshots, offered.unasked);
        }
        let (river, keeper) = self.world.into_engine().into_parts();
        let (recorder, watch) = keeper.into_parts();
        let counts = *watch.counts();
        if let Some(recorder) = recorder {
            recorder.close()?;
        }
        let report = Report {
            journal: job.output.display().to_string(),
            inputs: river.parts().decode.next_seq().0 - 1,
            from_ns: self.from,
            to_ns: self.to,
            notional: params.scan.notional_usd,
            threshold_bps: params.scan.threshold_ppb as f64 / crate::domain::intent::BPS as f64,
            venues: self.reports,
            pairs: Vec::new(),
            trades: counts.trades_opened,
            orders: counts.orders_sent,
            why_not: Vec::new(),
            unreadable: self.merge.unreadable().iter().map(ToString::to_string).collect(),
        }
        .with_study(params, &self.study, &live);
        let passed_over = |venue: &VenueReport| {
            let lines = venue.lines;
            lines.untimed
                + lines.too_long
                + lines.backwards
                + lines.duplicates
                + venue.undecodable
                + venue.gaps
        };
        let code = match report.venues.iter().any(|venue| passed_over(venue) > 0) {
            _ if !report.unreadable.is_empty() => EXIT_CANNOT,
            true => EXIT_FINDING,
            false => EXIT_CLEAN,
        };
        Ok((report, code))
    }
}

/// What a message holds, for the study.
#[derive(Default)]
struct Found {
    time_ms: i64,
    is_snapshot: bool,
    named: Vec<u8>,
    listings: Vec<InstrumentId>,
}

impl Found {
    fn message(
        &mut self,
        message: &Message<'_>,
        known: &[(Vec<u8>, InstrumentId)],
        asks_depth: bool,
        report: &mut VenueReport,
    ) {
        *report.events.entry(message.type_name()).or_default() += 1;
        match message {
            Message::Depth(depth) => {
                self.is_snapshot = depth.snapshot;
                // Over HTTP it is of the time of the request.
                self.time_ms = if depth.snapshot && asks_depth { 0 } else { depth.time_ms };
            }
            Message::Bbo { time_ms, .. } => self.time_ms = *time_ms,
            Message::Trade { time_ms, .. } => {
                self.time_ms = *time_ms;
                return;
            }
            _ => return,
        }
        self.named.clear();
        self.named.extend_from_slice(message.symbol());
        // A snapshot over HTTP need not name its symbol: then it is of the only one that there is.
        let only = self.named.is_empty() && known.len() == 1;
        let listing = known.iter().find(|(symbol, _)| only || *symbol == self.named);
        self.listings.extend(listing.map(|(_, listing)| *listing));
    }

    /// The symbol of a snapshot: its own, or that of the request.
    fn symbol<'a>(&'a self, asked: &'a [u8]) -> &'a [u8] {
        if self.named.is_empty() { asked } else { &self.named }
    }
}
