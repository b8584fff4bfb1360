//! Tests of the dialect as a whole, and what the tests of its parts share.

use super::symbols::Listings;
use crate::domain::instrument::{Instrument, InstrumentId, Qty, VenueId, VenueSpec};
use crate::domain::number::Num;
use crate::domain::order::ClientId;
use crate::domain::params::ListingParams;
use crate::domain::text::{Currency, Symbol};

/// The n-th order of the first boot.
pub(super) fn client(sequence: u64) -> ClientId {
    ClientId::new(1, sequence)
}

pub(super) fn params() -> Vec<ListingParams> {
    ["BTCUSDT", "ETHUSDT"]
        .iter()
        .enumerate()
        .map(|(i, symbol)| ListingParams {
            id: InstrumentId(10 + i as u16),
            venue: VenueId(0),
            symbol: Symbol::new(symbol).unwrap(),
            ..ListingParams::default()
        })
        .collect()
}

pub(super) fn instrument(index: usize) -> Instrument {
    let listing = params()[index];
    Instrument {
        id: listing.id,
        symbol: listing.symbol,
        settle: Currency::new("USDT").unwrap(),
        spec: VenueSpec { multiplier: Num::new(1, 0), ..VenueSpec::default() },
        price_scale: 4,
        qty_scale: 3,
        tick: 1000,
        step: 1,
        qty_min: Qty(1),
        qty_max: Qty(i64::MAX),
        generation: 1,
        ..Instrument::default()
    }
}

pub(super) fn listings() -> Listings {
    let mut listings = Listings::new(&params());
    listings.define(&instrument(0));
    listings.define(&instrument(1));
    listings
}
