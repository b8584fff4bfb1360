//! From what the command line names to what an engine is built from. Whatever is missing is refused with what to
//! do, before anything is written.

use super::stamp;
use crate::cli::capture::{LineKind, Lines, name};
use crate::cli::error::{CliError, dialect, full_name};
use crate::config::Config;
use crate::config::names::Name;
use crate::domain::instrument::{CanonicalId, ContractKind, InstrumentId, VENUES_MAX, VenueId};
use crate::domain::intent::{BPS, ONE_PPB, Ppb};
use crate::domain::params::{
    CanonicalParams, EngineParams, Extras, ListingParams, MarketCopies, OrderFallback, OrderRoute,
    PaperParams, SessionKind, VenueParams,
};
use crate::domain::standing::CheckSet;
use crate::domain::text::{Currency, Text};
use crate::domain::time::{Nanos, SECOND};
use crate::topology::imported::{Ask, KNOWN, Recorded, StandIn, stand_in};
use crate::venue::message::Message;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Lines of a file that are looked at to learn what it holds.
const LOOKED_MAX: u64 = 5_000;

/// What one `--venue` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Full name of the dialect.
    pub dialect: String,
    /// Its recordings.
    pub files: Vec<PathBuf>,
}

/// A venue of the import.
#[derive(Debug)]
pub struct Venue {
    /// Dialect.
    pub dialect: String,
    /// Its recordings.
    pub files: Vec<PathBuf>,
    /// What the engine is told of it.
    pub recorded: Recorded,
}

/// Everything that an import is made of.
#[derive(Debug)]
pub struct Setup {
    /// In the order of the engine's venues.
    pub venues: Vec<Venue>,
    /// Parameters.
    pub params: EngineParams,
    /// What was recorded and is nothing to trade, with the reason.
    pub left_out: Vec<String>,
}

/// What the beginning of a venue's recordings shows.
struct Seen {
    symbols: BTreeSet<String>,
    first: Nanos,
    /// Contracts, where a recorder asked for them.
    metadata: Option<Vec<u8>>,
}

/// Checks everything and looks into the recordings.
///
/// # Errors
/// What is missing or contradicts itself, and what to do.
pub fn prepare(
    sources: &[Source],
    metadata: &[(String, PathBuf)],
    config: Option<&Path>,
) -> Result<Setup, CliError> {
    let refuse = |what: String| Err(CliError::Argument(what));
    if sources.len() > VENUES_MAX {
        return refuse(format!("{} venues; at most {VENUES_MAX} are possible", sources.len()));
    }
    for (at, source) in sources.iter().enumerate() {
        dialect(&source.dialect)?;
        if sources[..at].iter().any(|other| other.dialect == source.dialect) {
            return refuse(format!("{} is named twice: give all its files at once", source.dialect));
        }
    }
    if let Some((stray, _)) = metadata.iter().find(|(of, _)| !sources.iter().any(|it| it.dialect == *of)) {
        return refuse(format!("--metadata {stray}=…: no recording of {stray} is imported"));
    }
    let mut venues = Vec::new();
    let mut symbols = Vec::new();
    for source in sources {
        let known = stand_in(&source.dialect).ok_or_else(|| no_stand_in(&source.dialect))?;
        let seen = look(&source.dialect, known, &source.files)?;
        let supplied = metadata.iter().find(|(of, _)| *of == source.dialect);
        let metadata = match (supplied, seen.metadata) {
            (Some((_, path)), _) => {
                std::fs::read(path).map_err(|source| CliError::Read { path: path.clone(), source })?
            }
            (None, Some(recorded)) => recorded,
            (None, None) => return refuse(no_metadata(&source.dialect, known)),
        };
        venues.push(Venue {
            dialect: source.dialect.clone(),
            files: source.files.clone(),
            recorded: Recorded { stand_in: known, metadata, first: seen.first },
        });
        symbols.push(seen.symbols);
    }
    let (params, left_out) = match config {
        Some(path) => (configured(path, &mut venues)?, Vec::new()),
        None => derived(&venues, &symbols)?,
    };
    Ok(Setup { venues, params, left_out })
}

fn no_stand_in(dialect: &str) -> CliError {
    let known: Vec<&str> = KNOWN.iter().flat_map(|known| known.dialects).copied().collect();
    CliError::Argument(format!(
        "{dialect} cannot be imported yet: what its subscriptions are answered with is known only for {}; its \
         captures can be read with `perpring decode` and `perpring book`",
        known.join(", ")
    ))
}

fn no_metadata(dialect: &str, known: &StandIn) -> String {
    let url = crate::venue::dialect(dialect).map_or("", |of| of.http_url());
    format!(
        "{dialect}: the recording does not hold the contracts (scales, sizes, limits), and they are never guessed: \
         supply {} with --metadata {dialect}=FILE (at {url} today; one of the time of the recording is better)",
        known.metadata
    )
}

/// Reads the beginning of every file: symbols, the first instant, contracts.
fn look(dialect: &str, known: &StandIn, files: &[PathBuf]) -> Result<Seen, CliError> {
    let mut seen = Seen { symbols: BTreeSet::new(), first: Nanos::MAX, metadata: None };
    for path in files {
        let fail = |source| CliError::Read { path: path.clone(), source };
        if path == Path::new("-") {
            return Err(CliError::Argument(
                "standard input cannot be imported: recordings are read twice".to_owned(),
            ));
        }
        let mut decoder = crate::cli::error::dialect(dialect)?.decoder();
        let mut lines = Lines::open(0, path).map_err(fail)?;
        let (mut timed, mut frames, mut known_messages) = (false, 0u64, 0u64);
        let mut count = 0;
        while count < LOOKED_MAX {
            match lines.advance() {
                Ok(true) => count += 1,
                Ok(false) => break,
                // What is cut off is imported up to there, if there is anything before.
                Err(_) if timed && known_messages > 0 => break,
                Err(source) => return Err(fail(source)),
            }
            let line = lines.line();
            if line.kind != LineKind::Frame {
                continue;
            }
            frames += 1;
            if let Some(time) = stamp::parse(line.received) {
                timed = true;
                seen.first = seen.first.min(time);
            }
            if !line.url.is_empty() && is_metadata(known, line.url) {
                seen.metadata = Some(line.payload.to_vec());
                known_messages += 1;
                continue;
            }
            // What is wrong with single lines is told when they are imported.
            let _ = decoder.decode(line.payload, &mut |message| {
                known_messages += u64::from(!matches!(message, Message::Unknown));
                if matches!(message, Message::Bbo { .. } | Message::Depth(_)) && !message.symbol().is_empty()
                {
                    seen.symbols.insert(String::from_utf8_lossy(message.symbol()).into_owned());
                }
            });
        }
        let name = name(path);
        let what = match (frames, timed, known_messages) {
            (0, ..) => "holds no recorded message: is it the right file?".to_owned(),
            (_, _, 0) => format!(
                "none of its first {frames} messages is one that {dialect} sends: is it the right venue, and a recording of \
                 raw frames?"
            ),
            (_, false, _) => "its lines have no receive time, and none is made up: recordings are lines of `<receive time> \
                              <frame>`, {\"localTimestamp\":…,\"message\":…}, {\"receive_ns\":…,\"frame\":…}, or of the \
                              cryptofeed recorder"
                .to_owned(),
            _ => continue,
        };
        return Err(CliError::Argument(format!("{name}: {what}")));
    }
    if seen.symbols.is_empty() {
        return Err(CliError::Argument(format!(
            "{dialect}: no best price and no depth in the first {LOOKED_MAX} lines of its files: there is nothing to trade on"
        )));
    }
    Ok(seen)
}

/// Whether a recorded URL asked for the contracts.
fn is_metadata(known: &StandIn, url: &[u8]) -> bool {
    let path = memchr::memmem::find(url, b"://").map_or(url, |at| &url[at + 3..]);
    let path = memchr::memchr(b'/', path).map_or(&b""[..], |at| &path[at..]);
    (known.ask)(&[b"GET ", path, b"\n"].concat()) == Ask::Metadata
}

/// The parameters of a configuration file; the venues in its order.
fn configured(path: &Path, venues: &mut [Venue]) -> Result<EngineParams, CliError> {
    let config = Config::load(path).map_err(|error| CliError::Argument(error.to_string()))?;
    let settings = config
        .settings(false)
        .map_err(|findings| CliError::Argument(format!("{}: {}", path.display(), findings.join("; "))))?;
    let mut params = settings.params;
    let wanted: Vec<&str> = params.venues.iter().map(|venue| venue.dialect.as_str()).collect();
    let given: Vec<&str> = venues.iter().map(|venue| venue.dialect.as_str()).collect();
    if wanted.len() != given.len() || !wanted.iter().all(|venue| given.contains(venue)) {
        return Err(CliError::Argument(format!(
            "{} is of the venues {}, and recordings are given of {}: make them the same",
            path.display(),
            wanted.join(", "),
            given.join(", ")
        )));
    }
    let place = |dialect: &str| params.venues.iter().position(|venue| venue.dialect == dialect);
    venues.sort_by_key(|venue| place(&venue.dialect));
    params.venues.iter_mut().for_each(|venue| venue.market_copies = MarketCopies::One);
    params.boot_epoch = 1;
    Ok(params)
}

/// Taker and maker fees of an ordinary account without any discount, ppb.
fn base_fees(dialect: &str) -> (Ppb, Ppb) {
    match dialect {
        "aster" => (4 * BPS, BPS / 2),
        "bybit" => (11 * BPS / 2, 2 * BPS),
        "deribit" => (5 * BPS, 0),
        "hyperliquid" => (9 * BPS / 2, 3 * BPS / 2),
        _ => (5 * BPS, 2 * BPS),
    }
}

/// Parameters without a configuration: everything that was recorded, at base fees and the defaults of `run`.
fn derived(venues: &[Venue], symbols: &[BTreeSet<String>]) -> Result<(EngineParams, Vec<String>), CliError> {
    let mut left_out = Vec::new();
    let mut params =
        EngineParams { boot_epoch: 1, paper: Some(PaperParams::default()), ..EngineParams::default() };
    for (index, venue) in venues.iter().enumerate() {
        let of = dialect(full_name(&venue.dialect))?;
        let (taker_fee_ppb, maker_fee_ppb) = base_fees(&venue.dialect);
        params.venues.push(VenueParams {
            dialect: venue.dialect.clone(),
            taker_fee_ppb,
            maker_fee_ppb,
            margin_ppb: ONE_PPB / 5,
            orders_per_10s_max: 100,
            ack_timeout_ns: SECOND,
            order_valid_ms: 2_000,
            start_checks: CheckSet::EMPTY,
            dead_man_ns: 0,
            session: SessionKind::Signed,
            orders: of.order_routes().first().copied().unwrap_or(OrderRoute::Websocket),
            orders_fallback: OrderFallback::Off,
            settle_at_par: Currency::EMPTY,
            market_copies: MarketCopies::One,
            settle_haircut_ppb: 0,
            allowance_ppb: 0,
            extras: Extras::FREE,
            miss_prior_ppb: of.miss_prior(),
            amending: of.amending(),
            connection_age_max_ns: 0,
        });
        let before = params.listings.len();
        let mut why = Vec::new();
        for symbol in &symbols[index] {
            let perpetual = perpetual(&venue.dialect, symbol);
            let listed = perpetual
                .and_then(|meant| listing(&mut params, index, symbol, &meant).ok_or("a name too long"));
            why.extend(listed.err().map(|why| format!("{symbol} of {}: {why}", venue.dialect)));
        }
        if params.listings.len() == before {
            return Err(CliError::Argument(format!(
                "nothing that was recorded of {} can be traded ({}): is it the right venue? A configuration (--config) can \
                 say what a symbol is",
                venue.dialect,
                why.join("; ")
            )));
        }
        left_out.extend(why);
    }
    Ok((params, left_out))
}

/// What a recorded symbol means; an error says why it is nothing to trade. Recorders take what they are told to: spot,
/// options and dated contracts may stand beside the perpetual ones.
fn perpetual(dialect: &str, symbol: &str) -> Result<Name, &'static str> {
    let meant =
        Name::native(dialect, symbol).ok_or("no contract that the venue is known to name like that")?;
    // The other dialects' metadata state dated contracts too.
    let is_dated = dialect == "okx" && !symbol.ends_with("-SWAP");
    if is_dated { Err("no perpetual contract") } else { Ok(meant) }
}

/// Adds a listing of what `meant` means; `None` when a name is too long.
fn listing(params: &mut EngineParams, venue: usize, symbol: &str, meant: &Name) -> Option<()> {
    let name = meant.to_string();
    let symbol = Text::new(symbol)?;
    let known = params.canonicals.iter().position(|canonical| canonical.name == name);
    let canonical = match known {
        Some(at) => at,
        None => {
            params.canonicals.push(CanonicalParams {
                name,
                base: Text::new(&meant.base)?,
                quote: Text::new(&meant.quote)?,
                settle: Text::new(&meant.settle)?,
                kind: if meant.settle == meant.base { ContractKind::Inverse } else { ContractKind::Linear },
            });
            params.canonicals.len() - 1
        }
    };
    params.listings.push(ListingParams {
        id: InstrumentId(params.listings.len() as u16),
        venue: VenueId(venue as u8),
        canonical: CanonicalId(canonical as u16),
        symbol,
    });
    Some(())
}
