//! Scan: applies events to books, evaluates edges, runs trades; passes on what risk and route need.

use crate::core::scanner::{ScanOut, Scanner};
use crate::domain::event::{Event, Flow};
use crate::domain::params::EngineParams;
use crate::stage::{Made, StateClock};
use serde::{Deserialize, Serialize};

/// The scan stage.
#[derive(Serialize, Deserialize)]
pub struct Scan {
    scanner: Scanner,
    #[serde(skip)]
    out: ScanOut,
    clock: StateClock,
    listings: usize,
}

impl Scan {
    /// For `params`.
    pub fn new(params: &EngineParams) -> Self {
        Self {
            scanner: Scanner::new(params),
            out: ScanOut::default(),
            clock: StateClock::default(),
            listings: params.listings.len(),
        }
    }

    /// Handles one event.
    #[inline]
    pub fn on_event(&mut self, event: &Event, sink: &mut impl FnMut(Made<'_, Flow>)) {
        if self.clock.is_due(event.seq) {
            sink(Made::State(self.scanner.digest()));
        }
        self.scanner.on_event(event, &mut self.out);
        for body in &self.out.items {
            sink(Made::Item(&Flow { seq: event.seq, at: event.at, body: *body }));
        }
        self.out.items.clear();
    }

    /// How many listings there are.
    pub fn listings(&self) -> usize {
        self.listings
    }

    /// The rules and their state.
    pub fn scanner(&self) -> &Scanner {
        &self.scanner
    }
}
