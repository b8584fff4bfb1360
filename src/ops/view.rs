//! What people see of a running engine: plain figures, published by the stages a few times a second.
//!
//! Off the deciding path: a stage that cannot get the lock at once publishes the next time.

use super::latency::Summary;
use super::watch::Counts;
use crate::core::pair::Mode;
use crate::core::position::{PositionView, Totals};
use crate::core::scanner::PairView;
use crate::domain::instrument::VenueId;
use crate::domain::money::Money;
use crate::domain::text::Currency;
use crate::domain::time::Nanos;
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

/// Everything.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Seconds since the start.
    pub seconds: f64,
    /// Counts.
    pub counts: Counts,
    /// Ordered venue pairs.
    pub pairs: Vec<PairView>,
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
    /// Latency lines.
    pub latency: Vec<(&'static str, Summary)>,
    /// Latest failures as sentences.
    pub notes: Vec<String>,
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
