//! What people see of a running engine: plain figures, published by the stages a few times a second.
//!
//! Off the deciding path: a stage that cannot get the lock at once publishes the next time.

use super::latency::Summary;
use super::watch::{Counts, MarketState};
use crate::core::pair::Mode;
use crate::core::position::{PositionView, Totals};
use crate::core::scanner::{PairView, QualityView};
use crate::core::sentinel::Finding;
use crate::domain::event::SessionStatus;
use crate::domain::instrument::{CanonicalId, InstrumentId, VenueId};
use crate::domain::money::Money;
use crate::domain::params::EngineParams;
use crate::domain::text::Currency;
use crate::domain::time::Nanos;
use crate::journal::{Kept, Space};
use crate::venue::copies::CopyCounts;
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A venue's account in one currency.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AccountView {
    /// Venue.
    pub venue: VenueId,
    /// Currency.
    pub currency: Currency,
    /// Wallet balance; `None` = not stated yet.
    pub wallet: Option<Money>,
    /// Free for new orders.
    pub free: Option<Money>,
}

/// What the numbers of a run stand for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Names {
    /// Venues.
    pub venues: Vec<String>,
    /// Canonical instruments.
    pub canonicals: Vec<String>,
    /// Listings: venue and native name.
    pub listings: Vec<(VenueId, String)>,
}

impl Names {
    /// Of a run.
    pub fn of(params: &EngineParams) -> Self {
        Self {
            venues: params.venues.iter().map(|venue| venue.dialect.clone()).collect(),
            canonicals: params.canonicals.iter().map(|canonical| canonical.name.clone()).collect(),
            listings: params.listings.iter().map(|row| (row.venue, row.symbol.to_string())).collect(),
        }
    }

    /// The venue's name.
    pub fn venue(&self, venue: VenueId) -> &str {
        self.venues.get(venue.index()).map_or("?", String::as_str)
    }

    /// The canonical instrument's name.
    pub fn canonical(&self, canonical: CanonicalId) -> &str {
        self.canonicals.get(canonical.index()).map_or("?", String::as_str)
    }

    /// The name of the venue of a listing.
    pub fn venue_of(&self, listing: InstrumentId) -> &str {
        self.listings.get(listing.index()).map_or("?", |(venue, _)| self.venue(*venue))
    }
}

/// Counts of what was odd on the wire, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OddCounts {
    /// Frames that could not be decoded.
    pub malformed: u64,
    /// Types or channels outside the documented lists.
    pub unknown: u64,
    /// Symbols that are not configured.
    pub symbols: u64,
    /// Numbers that are not exact at their scale.
    pub inexact: u64,
    /// Execution types outside the documented list.
    pub executions: u64,
    /// Session requests that the venue refused.
    pub refused: u64,
    /// Contract specifications that cannot be expressed exactly.
    pub specs: u64,
    /// Words about orders that contradict what is known.
    pub orders: u64,
    /// Executions that no list of the venue told: booked at the mark and without a fee.
    pub at_mark: u64,
    /// Orders that a venue did not resolve however often it was asked.
    pub unresolved: u64,
}

/// Where the engine had to wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stalls {
    /// Times that the gateway found a ring or the frame memory full.
    pub gateway: u64,
    /// Attempts of decode that found its ring full.
    pub decode: u64,
    /// Segments of the journal that were not prepared in time.
    pub journal: u64,
    /// How full the fullest ring to the recorder ever was, percent.
    pub recorder_lag_max: u8,
    /// Turns of the gateway's duty cycle that began too late: the core was taken away, or a turn was long.
    pub duty_cycle: u64,
    /// The longest time between two turns, ns.
    pub duty_cycle_worst_ns: i64,
}

/// Why a venue is held by the start gate, or a warning on paper.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FindingView {
    /// Venue.
    pub venue: String,
    /// Native name of the listing concerned; `None` = the account.
    pub symbol: Option<String>,
    /// What was checked.
    pub check: &'static str,
    /// As a sentence.
    pub what: String,
    /// False on paper, where it only warns.
    pub holds: bool,
}

impl std::fmt::Display for FindingView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { venue, symbol, what, holds, .. } = self;
        let symbol = symbol.as_ref().map_or_else(String::new, |symbol| format!(" {symbol}"));
        write!(f, "{venue}{symbol}: {what}{}", if *holds { "" } else { " (ignored on paper)" })
    }
}

/// Everything.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// What the numbers stand for.
    pub names: Arc<Names>,
    /// Seconds since the start.
    pub seconds: f64,
    /// Counts.
    pub counts: Counts,
    /// Ordered venue pairs.
    pub pairs: Vec<PairView>,
    /// How our orders fare, by listing.
    pub quality: Vec<QualityView>,
    /// What holds venues, or would.
    pub findings: Vec<FindingView>,
    /// Which state of the start gate `findings` tell; `None` = none yet.
    pub findings_revision: Option<u32>,
    /// What venues last stated beside prices, by listing; may end before the last listing.
    pub markets: Vec<MarketState>,
    /// Age of each listing's book, ns; `None` = not served.
    pub book_ages: Vec<Option<Nanos>>,
    /// Listings with their positions.
    pub positions: Vec<PositionView>,
    /// Accounts.
    pub accounts: Vec<AccountView>,
    /// Profit and loss of the run.
    pub totals: Totals,
    /// Orders that are not terminal.
    pub open_orders: usize,
    /// Scanner's mode.
    pub mode: Mode,
    /// Trades open, and of them those with unequal legs.
    pub trades_open: u32,
    /// See `trades_open`.
    pub unbalanced: u32,
    /// Largest number of trades with unequal legs that was seen.
    pub unbalanced_max: u32,
    /// What was odd on the wire.
    pub odd: OddCounts,
    /// Where public messages depart from the venues' documentation.
    pub drift: Vec<Finding>,
    /// Departures by kind, in the order of [`crate::core::sentinel::What::ALL`].
    pub drift_kinds: [u64; 5],
    /// Departures that found no place among `drift`.
    pub drift_untold: u64,
    /// What became of the copies of market data, by venue that may have two connections for it.
    pub copies: Vec<(VenueId, CopyCounts)>,
    /// Where the engine had to wait.
    pub stalls: Stalls,
    /// For how long the leg has stood alone that does so for the longest time, s; 0 = none does.
    pub alone_s: f64,
    /// Notional that no other leg hedges now, quote currency.
    pub unhedged: Money,
    /// Largest such notional that was seen.
    pub unhedged_max: Money,
    /// Edges that were too good for too long: broken data, the pair was disarmed.
    pub alarms: u64,
    /// Latency lines.
    pub latency: Vec<(&'static str, Summary)>,
    /// Sessions that have come up or gone down, with their last state.
    pub sessions: Vec<SessionStatus>,
    /// Records and body bytes in the journal.
    pub journal: (u64, u64),
    /// Room for the journal, and what its housekeeping has done; `None` = there is none.
    pub kept: Option<(Space, Kept)>,
    /// Latest failures as sentences.
    pub notes: Vec<String>,
    /// Number of failures ever.
    pub notes_total: u64,
}

/// The shared view.
#[derive(Clone, Debug, Default)]
pub struct Board {
    view: Arc<Mutex<View>>,
}

impl Board {
    /// Changes the view if nobody holds it now; returns whether it did.
    pub fn try_update(&self, change: impl FnOnce(&mut View)) -> bool {
        match self.view.try_lock() {
            Ok(mut view) => {
                change(&mut view);
                true
            }
            Err(_) => false,
        }
    }

    /// The view, for readers (never on a pinned thread).
    pub fn read(&self) -> MutexGuard<'_, View> {
        // A reader that panicked cannot have damaged plain figures.
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
