//! Names of what a run trades, and the scales of its numbers at each moment of it.

use super::table::{Cell, Decimal};
use crate::domain::instrument::{Instrument, InstrumentId, Price, Qty, VenueId};
use crate::domain::params::EngineParams;

/// A listing: where, its unified name, the venue's own.
#[derive(Clone, Debug)]
struct Named {
    venue: VenueId,
    unified: String,
    symbol: String,
}

/// Names and scales.
#[derive(Clone, Debug)]
pub struct Listings {
    venues: Vec<String>,
    names: Vec<Named>,
    /// By listing: from which input on which specification holds.
    generations: Vec<Vec<(u64, Instrument)>>,
}

impl Listings {
    /// Of a run's configuration.
    pub fn new(params: &EngineParams) -> Self {
        let names = params.listings.iter().map(|listing| Named {
            venue: listing.venue,
            unified: params
                .canonicals
                .get(listing.canonical.index())
                .map(|canonical| canonical.name.clone())
                .unwrap_or_default(),
            symbol: listing.symbol.to_string(),
        });
        Self {
            venues: params.venues.iter().map(|venue| venue.dialect.clone()).collect(),
            names: names.collect(),
            generations: vec![Vec::new(); params.listings.len()],
        }
    }

    /// A specification begins with input `seq`.
    pub fn define(&mut self, seq: u64, instrument: &Instrument) {
        if let Some(known) = self.generations.get_mut(instrument.id.index()) {
            known.push((seq, *instrument));
        }
    }

    /// The specification that holds at input `seq`.
    pub fn at(&self, id: InstrumentId, seq: u64) -> Option<&Instrument> {
        let known = self.generations.get(id.index())?;
        known.iter().rev().find(|(from, _)| *from <= seq).map(|(_, instrument)| instrument)
    }

    /// How many listings there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// A venue's name.
    pub fn venue(&self, id: VenueId) -> &str {
        self.venues.get(id.index()).map_or("", String::as_str)
    }

    /// Where an instrument is listed.
    pub fn venue_of(&self, id: InstrumentId) -> Option<VenueId> {
        self.names.get(id.index()).map(|named| named.venue)
    }

    /// Unified name and the venue's own.
    pub fn names(&self, id: InstrumentId) -> Option<(&str, &str)> {
        self.names.get(id.index()).map(|named| (named.unified.as_str(), named.symbol.as_str()))
    }

    /// A price of input `seq`; not known before the instrument is.
    pub fn price(&self, id: InstrumentId, seq: u64, price: Price) -> Option<Decimal> {
        self.at(id, seq).map(|instrument| Decimal::new(price.0, instrument.price_scale))
    }

    /// A quantity of input `seq`.
    pub fn qty(&self, id: InstrumentId, seq: u64, qty: Qty) -> Option<Decimal> {
        self.at(id, seq).map(|instrument| Decimal::new(qty.0, instrument.qty_scale))
    }

    /// The same as cells.
    pub fn price_cell(&self, id: InstrumentId, seq: u64, price: Price) -> Cell<'static> {
        Cell::maybe(self.price(id, seq, price), Cell::Decimal)
    }

    /// The same as cells.
    pub fn qty_cell(&self, id: InstrumentId, seq: u64, qty: Qty) -> Cell<'static> {
        Cell::maybe(self.qty(id, seq, qty), Cell::Decimal)
    }
}
