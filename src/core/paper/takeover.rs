//! Going on on paper with what venues kept until now: a counterfactual takes over from a recorded run at one input.

use super::{Paper, PaperOrder, Wallet};
use crate::core::book::Book;
use crate::core::order::OpenOrder;
use crate::core::position::Position;
use crate::domain::instrument::{Instrument, InstrumentId, VenueId};
use crate::domain::money::Money;
use crate::domain::params::{EngineParams, PaperParams};
use crate::domain::text::Currency;
use crate::domain::time::Stamp;

/// Fills on paper are numbered from here: no venue has such numbers, so none is taken for a repetition.
const OWN_FILLS: u64 = 1 << 62;

/// What the venues' accounts held.
#[derive(Clone, Debug, Default)]
pub struct Accounts {
    /// Positions by listing.
    pub positions: Vec<(InstrumentId, Position)>,
    /// Wallets as they were stated last, in their currency. What was never stated is not known on paper either.
    pub wallets: Vec<(VenueId, Currency, Money)>,
}

impl Paper {
    /// Latency, fees and limits from now on.
    pub fn set_terms(&mut self, params: &EngineParams, paper: PaperParams) {
        self.params = paper;
        self.venues.clone_from(&params.venues);
    }

    /// A listing as the market has it now.
    pub fn see(&mut self, instrument: &Instrument, book: &Book) {
        self.with_row(instrument.id, |row| {
            row.instrument = *instrument;
            row.book.clone_from(book);
        });
    }

    /// Goes on with `accounts`, and with orders that were out: what is left of each meets the market after the latency.
    /// The imagined sessions are up, and state the wallets, with the next input.
    pub fn take_over(&mut self, accounts: &Accounts, orders: impl Iterator<Item = OpenOrder>, at: Stamp) {
        for row in &mut self.rows {
            row.position = Position::default();
        }
        for (id, position) in &accounts.positions {
            self.with_row(*id, |row| row.position = *position);
        }
        let wallet = |(venue, currency, amount): &(VenueId, Currency, Money)| Wallet {
            venue: *venue,
            currency: *currency,
            amount: *amount,
        };
        self.wallets = accounts.wallets.iter().map(wallet).collect();
        self.trades = self.trades.max(OWN_FILLS);
        self.orders.clear();
        self.queries.clear();
        let due = at.mono.saturating_add(self.params.latency_ns);
        for OpenOrder { spec, filled, .. } in orders.take(super::PAPER_ORDERS_MAX) {
            self.numbers += 1;
            let generation =
                self.rows.get(spec.instrument.index()).map_or(0, |row| row.instrument.generation);
            let (filled, number) = (filled.0, self.numbers);
            self.orders.push(PaperOrder { spec, generation, due, resting: false, filled, number });
        }
        self.set_next_due();
        self.start(at);
    }
}
