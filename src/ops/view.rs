//! What people see of a running engine: plain figures, published by the stages a few times a second.
//!
//! Off the deciding path: a stage that cannot get the lock at once publishes the next time.

use super::watch::Counts;
use crate::core::scanner::PairView;
use serde::Serialize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A venue as seen from risk and from the market.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct VenueView {
    /// Dialect.
    pub name: String,
    /// Account and order sessions are ready.
    pub ready: bool,
    /// Age of the newest market data, ms.
    pub feed_age_ms: i64,
    /// Positions, as `symbol qty` with exact decimals; flat ones are left out.
    pub positions: Vec<(String, String)>,
    /// Sum of absolute positions, quote currency.
    pub exposure: f64,
    /// Wallet balance, quote currency.
    pub wallet: f64,
    /// Part of the wallet that is free for new positions, percent.
    pub margin_free_percent: f64,
}

/// Profit and loss of the run.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct PnlView {
    /// Realised, fees not yet taken off.
    pub realised: String,
    /// Unrealised.
    pub unrealised: String,
    /// Fees paid.
    pub fees: String,
    /// Funding received (negative = paid).
    pub funding: String,
    /// What remains.
    pub net: String,
}

/// Everything.
#[derive(Clone, Debug, Default, Serialize)]
pub struct View {
    /// Seconds since the start.
    pub seconds: f64,
    /// Profile and idle strategy.
    pub profile: String,
    /// Trading state.
    pub state: String,
    /// Counts.
    pub counts: Counts,
    /// Ordered venue pairs.
    pub pairs: Vec<PairView>,
    /// Venues.
    pub venues: Vec<VenueView>,
    /// Profit and loss.
    pub pnl: PnlView,
    /// Orders that are not terminal.
    pub open_orders: usize,
    /// Notional that hangs on one leg, now and at most, quote currency.
    pub unhedged_now: f64,
    /// See `unhedged_now`.
    pub unhedged_max: f64,
    /// Latency lines: name and percentiles in ns.
    pub latency: Vec<(String, super::latency::Summary)>,
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
