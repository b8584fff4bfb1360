//! The run before this one: finds its journal, brings it to an end, replays it, and derives what must not be forgotten.
//!
//! | the newest run of the same kind (live, paper) | then |
//! |---|---|
//! | there is none, or none that ever started | a first run |
//! | ended in order, nothing open | its halts, losses and peak hold on |
//! | ended in order with something open | the same; reducing until the accounts were compared and that is closed |
//! | crashed | the same, whatever seems open: its last moments may not be recorded |
//! | cannot be read | refused, unless the operator says that it shall not count |
//!
//! Paper accounts end with their run: of those only halts, losses and the peak are taken over.

use super::kill::KILL_FILE;
use crate::domain::carry::{CarriedOrder, CarriedWorking, Carry, Ending, Halt};
use crate::domain::event::Seq;
use crate::domain::instrument::{InstrumentId, Qty, VENUES_MAX, VenueId};
use crate::domain::order::OrderSpec;
use crate::domain::params::EngineParams;
use crate::domain::time::Nanos;
use crate::journal::{MANIFEST_FILE, Manifest, Stream, recover};
use crate::replay::cursor::Cursor;
use std::fs;
use std::path::{Path, PathBuf};

/// Why a run cannot follow the one before.
#[derive(Debug, thiserror::Error)]
pub enum RestartError {
    /// Its journal is damaged, or of a newer version.
    #[error(
        "the run before cannot be read, so it is not known whether it was halted, what it lost and what it left open; \
         nothing is started\n  {}: {why}\n\
         look at it with `perpring journal verify`; if a newer perpring wrote it, use that one. To start without it: \
         look at the accounts, close what is open by hand, and start with --forget-previous-run; the engine is halted \
         then until it is also told --resume",
        .dir.display()
    )]
    Unreadable {
        /// Its journal.
        dir: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Something is open in a listing that this configuration does not have.
    #[error(
        "the run before left {what} open, which this configuration does not list; nothing is started\n  {}\n\
         list it again, so that it is closed, or close it by hand and start with --forget-previous-run",
        .dir.display()
    )]
    Unlisted {
        /// Its journal.
        dir: PathBuf,
        /// What is open, and where.
        what: String,
    },
}

/// What the newest run in `root` of the kind that `params` and `trading` describe left. `progress` gets the number of
/// inputs that were replayed so far.
///
/// # Errors
/// See [`RestartError`]; nothing is concluded from what cannot be read.
pub fn previous(
    root: &Path,
    trading: bool,
    params: &EngineParams,
    progress: &mut dyn FnMut(Seq),
) -> Result<Carry, RestartError> {
    for (dir, manifest) in runs(root)? {
        let mode = if trading { "live" } else { "paper" };
        if manifest.notes.get("mode").is_some_and(|of| of != mode) {
            continue;
        }
        if let Some(carry) = left_by(&dir, trading, params, progress)? {
            return Ok(carry);
        }
    }
    Ok(Carry::default())
}

/// The journals in `root`, the newest run first.
fn runs(root: &Path) -> Result<Vec<(PathBuf, Manifest)>, RestartError> {
    let unreadable = |dir: &Path, why: String| RestartError::Unreadable { dir: dir.to_owned(), why };
    let entries = match fs::read_dir(root) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(unreadable(root, e.to_string())),
    };
    let mut found = Vec::new();
    for entry in entries {
        let dir = entry.map_err(|e| unreadable(root, e.to_string()))?.path();
        let begins = |name: &str| Stream::ALL.iter().any(|stream| name.starts_with(&stream.to_string()));
        let has_record = || {
            let mut names = fs::read_dir(&dir).into_iter().flatten().flatten();
            names.any(|file| {
                file.file_name().to_str().is_some_and(|name| name == MANIFEST_FILE || begins(name))
            })
        };
        match Manifest::read(&dir) {
            Ok(manifest) => found.push((dir, manifest)),
            // Any other directory, or one in which a run died before it wrote anything.
            Err(_) if !dir.is_dir() || !has_record() => {}
            Err(why) => return Err(unreadable(&dir, why.to_string())),
        }
    }
    found.sort_by_key(|(_, manifest)| std::cmp::Reverse(manifest.created_wall_ns));
    Ok(found)
}

/// What the run in `dir` left; `None` when it was of another kind or never started.
fn left_by(
    dir: &Path,
    trading: bool,
    params: &EngineParams,
    progress: &mut dyn FnMut(Seq),
) -> Result<Option<Carry>, RestartError> {
    let unreadable = |why: String| RestartError::Unreadable { dir: dir.to_owned(), why };
    let verdict = recover(dir).map_err(|e| unreadable(e.to_string()))?;
    if verdict.streams.iter().any(|found| found.stream == Stream::Inputs && found.records == 0) {
        return Ok(None);
    }
    let mut cursor = Cursor::open(dir).map_err(|e| unreadable(e.to_string()))?;
    let before = cursor.config().clone();
    if before.trading != trading || before.params.paper.is_some() != params.paper.is_some() {
        return Ok(None);
    }
    cursor.seek(Seq(u64::MAX), &mut (), progress).map_err(|e| unreadable(e.to_string()))?;
    if let Some((expected, found)) = cursor.hole() {
        return Err(unreadable(format!("input {found} follows input {}", expected - 1)));
    }
    let course = *cursor.course();
    if !course.started {
        return Ok(None);
    }
    let mut carry = Carry {
        run: verdict.manifest.run_id.to_string(),
        ending: if course.stopped { Ending::Ordered } else { Ending::Crashed },
        wall_ns: cursor.now().wall,
        ..Carry::default()
    };
    let parts = cursor.parts();
    parts.risk.rules().carry(&mut carry);
    if params.paper.is_none() {
        parts.scan.scanner().carry(&mut carry);
        parts.decode.carry(&mut carry);
    } else {
        (carry.positions, carry.locks) = (Vec::new(), Vec::new());
    }
    if was_killed_since(dir, course.resumed) {
        carry.standing.halted = carry.standing.halted.or(Some(Halt::Killed));
    }
    let numbers = Numbers::new(&before.params, params);
    judge(&mut carry, params.paper.is_none(), &numbers);
    numbers.apply(&mut carry).map_err(|what| {
        let what = what.describe(&before.params);
        RestartError::Unlisted { dir: dir.to_owned(), what }
    })?;
    Ok(Some(carry))
}

/// Decides from what is open, and how the run ended, what the next one has to wait for.
fn judge(carry: &mut Carry, at_venues: bool, numbers: &Numbers) {
    carry.trades.retain(|trade| trade.legs.iter().any(|leg| leg.position != 0 || leg.working.is_some()));
    follow_unsent(carry);
    let least = |id: InstrumentId| {
        let known = carry.instruments.iter().find(|known| known.id == id);
        known.map_or(1, |known| known.qty_min.0.max(known.step).max(1))
    };
    let held =
        carry.positions.iter().any(|position| position.qty.saturating_abs() >= least(position.instrument));
    let crashed = carry.ending == Ending::Crashed && at_venues;
    let reducing = crashed || held || !carry.trades.is_empty() || !carry.orders.is_empty();
    if !reducing {
        // Whatever the accounts hold by now besides is not ours, and read anew.
        carry.positions.retain(|position| position.qty != 0);
        carry.positions.iter_mut().for_each(|position| position.base = None);
    }
    (carry.standing.reducing, carry.standing.adopts) = (reducing, crashed);
    if reducing {
        for venue in numbers.venues.iter().flatten() {
            carry.standing.awaited[venue.index()] = true;
        }
    }
}

/// An order that a trade waits for and whose fate at the gate is not recorded may have left all the same: it is asked
/// about like any other.
fn follow_unsent(carry: &mut Carry) {
    for leg in carry.trades.iter().flat_map(|trade| trade.legs) {
        let Some(CarriedWorking { id: client_id, side, qty, filled, limit: price }) = leg.working else {
            continue;
        };
        if carry.orders.iter().any(|order| order.spec.client_id == client_id) {
            continue;
        }
        let venue =
            carry.instruments.iter().find(|known| known.id == leg.instrument).map(|known| known.venue);
        let (instrument, venue) = (leg.instrument, venue.unwrap_or_default());
        let spec =
            OrderSpec { client_id, venue, instrument, side, qty: Qty(qty), price, ..OrderSpec::default() };
        let (booked, known) = (filled, filled);
        carry.orders.push(CarriedOrder { spec, placed: true, booked, known, ..CarriedOrder::default() });
    }
}

/// Whether the kill threads, which write for themselves, were at work after the instant `resumed` (wall, ns): a kill
/// counts even if the engine did not live to record it. A line that cannot be read is one of a kill.
fn was_killed_since(dir: &Path, resumed: Nanos) -> bool {
    #[derive(serde::Deserialize)]
    struct Line {
        wall_ns: i64,
    }
    let Ok(text) = fs::read_to_string(dir.join(KILL_FILE)) else { return false };
    let is_later =
        |line: &str| serde_json::from_str::<Line>(line).map_or(true, |line| line.wall_ns > resumed);
    text.lines().any(is_later)
}

/// Venues and listings of the run before, as this run numbers them.
struct Numbers<'a> {
    venues: Vec<Option<VenueId>>,
    listings: Vec<Option<InstrumentId>>,
    params: &'a EngineParams,
}

/// Something open without a listing.
enum Homeless {
    Position(InstrumentId),
    Order(InstrumentId),
}

impl Homeless {
    fn describe(&self, before: &EngineParams) -> String {
        let (what, id) = match self {
            Self::Position(id) => ("a position in", id),
            Self::Order(id) => ("an order in", id),
        };
        let listing = before.listings.get(id.index());
        let venue = listing.and_then(|listing| before.venues.get(listing.venue.index()));
        match listing.zip(venue) {
            Some((listing, venue)) => format!("{what} {} at {}", listing.symbol, venue.dialect),
            None => format!("{what} listing {}", id.0),
        }
    }
}

impl<'a> Numbers<'a> {
    /// Venues are the same by dialect, several of one dialect by their order; listings by venue and symbol.
    fn new(before: &EngineParams, now: &'a EngineParams) -> Self {
        let nth = |at: usize| {
            let dialect = &before.venues[at].dialect;
            before.venues[..at].iter().filter(|venue| venue.dialect == *dialect).count()
        };
        let venue = |at: usize| {
            let same =
                now.venues.iter().enumerate().filter(|(_, venue)| venue.dialect == before.venues[at].dialect);
            same.map(|(index, _)| VenueId(index as u8)).nth(nth(at))
        };
        let venues: Vec<Option<VenueId>> = (0..before.venues.len()).map(venue).collect();
        let listing = |old: &crate::domain::params::ListingParams| {
            let venue = venues.get(old.venue.index()).copied().flatten()?;
            let same = now.listings.iter().find(|new| new.venue == venue && new.symbol == old.symbol)?;
            Some(same.id)
        };
        let listings = before.listings.iter().map(listing).collect();
        Self { venues, listings, params: now }
    }

    fn listing(&self, old: InstrumentId) -> Option<InstrumentId> {
        self.listings.get(old.index()).copied().flatten()
    }

    /// Renumbers everything. What is not listed any more is left out where nothing is open of it.
    fn apply(&self, carry: &mut Carry) -> Result<(), Homeless> {
        let mut killed = [false; VENUES_MAX];
        for (at, venue) in self.venues.iter().enumerate() {
            if let Some(venue) = venue {
                killed[venue.index()] = carry.standing.venues_killed.get(at).copied().unwrap_or(false);
            }
        }
        carry.standing.venues_killed = killed;
        carry.instruments.retain_mut(|known| {
            let Some(new) = self.listing(known.id).and_then(|id| self.params.listings.get(id.index())) else {
                return false;
            };
            (known.id, known.spec.instrument) = (new.id, new.id);
            (known.venue, known.canonical) = (new.venue, new.canonical);
            true
        });
        let place = |id: &mut InstrumentId| {
            let new = self.listing(*id);
            *id = new.unwrap_or(*id);
            new.is_some()
        };
        for position in carry.positions.iter().filter(|position| position.qty != 0) {
            self.listing(position.instrument).ok_or(Homeless::Position(position.instrument))?;
        }
        for order in &carry.orders {
            self.listing(order.spec.instrument).ok_or(Homeless::Order(order.spec.instrument))?;
        }
        carry.positions.retain_mut(|position| place(&mut position.instrument));
        carry.trades.retain_mut(|trade| trade.legs.iter_mut().all(|leg| place(&mut leg.instrument)));
        carry.locks.retain_mut(|lock| place(&mut lock.instrument));
        carry.misses.retain_mut(|miss| place(&mut miss.instrument));
        let venue_of = |id: InstrumentId| self.params.listings.get(id.index()).map(|listing| listing.venue);
        for order in &mut carry.orders {
            place(&mut order.spec.instrument);
            order.spec.venue = venue_of(order.spec.instrument).unwrap_or(order.spec.venue);
        }
        carry.fills.retain_mut(|(venue, instrument, _)| {
            let is_listed = place(instrument);
            *venue = venue_of(*instrument).unwrap_or(*venue);
            is_listed
        });
        Ok(())
    }
}
